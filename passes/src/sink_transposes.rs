//! Transpositions and reshapes sink through what does not care until they meet, or until an op takes them up.

use crate::manager::{Changed, copy_inputs, finish, replace};
use gradloom_ir::{Builder, Error, Graph, Node, Op, Result, Shape, Type, Value, Values, infer};
use smallvec::SmallVec;
use std::collections::HashSet;

/// Times that a program is gone through. Each finds transpositions that had better stay where they are; two is what
/// programs need.
const MAX_ROUNDS: usize = 8;

/// Moves transpositions and reshapes below elementwise ops, and transpositions below reductions, windows, slices, paddings
/// and concatenations. Where two meet they are one or none; products, convolutions, broadcasts and reductions take
/// transpositions up into their own dimension numbers.
///
/// Those that sink together are moved if fewer bytes are transposed for it in the end, and stay where they are if not: a
/// transposition of what several ops read apart, say.
///
/// **Ensures** the same results, up to the order in which a product or reduction sums. **Never** transposes or reshapes
/// more bytes than the program did.
///
/// ```
/// let mut g = gradloom_ir::parse("graph(%0: f32[2,3]) {
///   %1 = transpose(%0) {perm = [1, 0]} : f32[3,2]
///   %2 = tanh(%1) : f32[3,2]
///   %3 = transpose(%2) {perm = [1, 0]} : f32[2,3]
///   return %3 }")?;
/// gradloom_passes::sink_transposes(&mut g)?;
/// assert_eq!(g, gradloom_ir::parse("graph(%0: f32[2,3]) { %1 = tanh(%0) : f32[2,3] return %1 }")?);
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
///
/// # Errors
/// None that a program can cause.
pub fn sink_transposes(g: &mut Graph) -> Result<Changed> {
    if !g.nodes().iter().any(|n| matches!(n.op, Op::Transpose { .. } | Op::Reshape { .. })) {
        return Ok(Changed::No);
    }
    sink(g, false)
}

/// [`sink_transposes`], after convolutions that gain by it were turned to have channels last.
pub(crate) fn sink(g: &mut Graph, channels_last: bool) -> Result<Changed> {
    let mut changed = Changed::No;
    for _ in 0..MAX_ROUNDS {
        // what was turned back may be what others can meet
        if sink_once(g, channels_last)? == Changed::No {
            break;
        }
        changed = Changed::Yes;
    }
    Ok(changed)
}

/// One step of [`sink`]; each that changes something leaves fewer bytes to transpose, or fewer convolutions to turn.
fn sink_once(g: &mut Graph, channels_last: bool) -> Result<Changed> {
    let mut stays = HashSet::new();
    for _ in 0..MAX_ROUNDS {
        let mut s = Sinking::new(g, channels_last, &stays);
        let new = s.program()?;
        let lost = s.groups.lost();
        if lost.is_empty() {
            return Ok(replace(g, new));
        }
        stays.extend(lost);
    }
    Ok(Changed::No)
}

/// How the program that is made has a value.
#[derive(Clone, PartialEq)]
pub(crate) enum Form {
    /// As it is.
    Straight,
    /// With its axes in another order: axis `i` of it is axis `perm[i]` of the base.
    Turned(Shape),
    /// In another shape.
    Reshaped,
}

/// A value of the old program.
#[derive(Clone)]
pub(crate) struct Kept {
    pub base: Value,
    form: Form,
    /// The value as it is, once it was needed.
    straight: Option<Value>,
    /// What sank to it; nothing if it is straight.
    group: Option<usize>,
}

impl Kept {
    fn straight(base: Value) -> Kept {
        Kept { base, form: Form::Straight, straight: Some(base), group: None }
    }

    pub fn turned(base: Value, perm: Shape, group: Option<usize>) -> Kept {
        if perm.iter().copied().eq(0..perm.len()) {
            return Kept::straight(base);
        }
        Kept { base, form: Form::Turned(perm), straight: None, group }
    }

    pub fn group(&self) -> Option<usize> {
        self.group
    }

    /// The order of the axes, if it is another.
    pub fn perm(&self) -> Option<&Shape> {
        if let Form::Turned(perm) = &self.form { Some(perm) } else { None }
    }
}

/// Transpositions that sink together: what they saved, and what had to be turned back for them.
#[derive(Default)]
pub(crate) struct Groups {
    parents: Vec<usize>,
    groups: Vec<Group>,
}

#[derive(Default)]
struct Group {
    nodes: Vec<usize>,
    saved: usize,
    spent: usize,
    /// Something else gains by it.
    pays: bool,
}

impl Groups {
    fn find(&self, mut i: usize) -> usize {
        while self.parents[i] != i {
            i = self.parents[i];
        }
        i
    }

    fn add(&mut self, group: Group) -> usize {
        self.parents.push(self.groups.len());
        self.groups.push(group);
        self.groups.len() - 1
    }

    /// A group that stays sunk whatever it costs.
    pub fn paying(&mut self) -> usize {
        self.add(Group { pays: true, ..Group::default() })
    }

    /// One group of all these.
    pub fn join(&mut self, all: impl IntoIterator<Item = usize>) -> Option<usize> {
        all.into_iter().fold(None, |into, i| {
            let i = self.find(i);
            let Some(into) = into.filter(|&into| into != i) else { return Some(i) };
            self.parents[i] = into;
            let Group { nodes, saved, spent, pays } = std::mem::take(&mut self.groups[i]);
            let whole = &mut self.groups[into];
            whole.nodes.extend(nodes);
            whole.saved += saved;
            whole.spent += spent;
            whole.pays |= pays;
            Some(into)
        })
    }

    /// The nodes that had better stay.
    fn lost(&self) -> Vec<usize> {
        let lost = self.groups.iter().filter(|g| !g.pays && g.spent >= g.saved);
        lost.flat_map(|g| g.nodes.iter().copied()).collect()
    }
}

pub(crate) struct Sinking<'a> {
    pub g: &'a Graph,
    pub b: Builder,
    /// By value of the old program.
    pub values: Vec<Kept>,
    pub groups: Groups,
    pub channels_last: bool,
    stays: &'a HashSet<usize>,
}

/// Numbers by axis of the old value as numbers by axis of its base.
fn by_base<T: Clone>(perm: &[usize], of: &[T]) -> Vec<T> {
    let mut out: Vec<T> = of.to_vec();
    perm.iter().zip(of).for_each(|(&p, x)| out[p] = x.clone());
    out
}

impl<'a> Sinking<'a> {
    fn new(g: &'a Graph, channels_last: bool, stays: &'a HashSet<usize>) -> Sinking<'a> {
        let (b, map) = copy_inputs(g);
        let values = map.into_iter().map(Kept::straight).collect();
        Sinking { g, b, values, groups: Groups::default(), channels_last, stays }
    }

    fn program(&mut self) -> Result<Graph> {
        for (i, node) in self.g.nodes().iter().enumerate() {
            self.b.set_loc(&node.loc);
            match self.sunk(i, node)? {
                Some(result) => self.values.push(result),
                None => {
                    let results = self.plain(node);
                    self.values.extend(results);
                }
            }
        }
        let mut map = vec![Value::from_index(0); self.g.num_values()];
        for &v in self.g.outputs() {
            map[v.index()] = self.straight(v);
        }
        Ok(crate::dead_code(&finish(std::mem::take(&mut self.b), self.g, &map)?))
    }

    /// A value as it is.
    pub fn straight(&mut self, v: Value) -> Value {
        let Kept { base, form, straight, group } = self.values[v.index()].clone();
        if let Some(value) = straight {
            return value;
        }
        let ty = self.g.ty(v);
        let value = match &form {
            Form::Straight => base,
            Form::Turned(perm) => self.b.transpose(base, perm),
            Form::Reshaped => self.b.reshape(base, &ty.shape),
        };
        if let Some(group) = group {
            let group = self.groups.find(group);
            self.groups.groups[group].spent += ty.bytes();
        }
        self.values[v.index()].straight = Some(value);
        value
    }

    /// The node as it is.
    fn plain(&mut self, node: &Node) -> SmallVec<[Kept; 2]> {
        let args: SmallVec<[Value; 4]> = node.args.iter().map(|&a| self.straight(a)).collect();
        let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| self.g.ty(r).clone()).collect();
        let results: Values = self.b.emit_typed(node.op.clone(), &args, types);
        results.into_iter().map(Kept::straight).collect()
    }

    pub fn emit(&mut self, op: Op, args: &[Value]) -> Result<Value> {
        let types: SmallVec<[Type; 4]> = args.iter().map(|&a| self.b.ty(a).clone()).collect();
        let results = infer(&op, &types)?;
        Ok(self.b.emit_typed(op, args, results)[0])
    }

    /// The result of a node that takes operands as they are kept; `None` if it takes them straight.
    fn sunk(&mut self, i: usize, node: &Node) -> Result<Option<Kept>> {
        match &node.op {
            Op::Transpose { .. } | Op::Reshape { .. } if self.stays.contains(&i) => Ok(None),
            Op::Transpose { perm } => {
                let inner = self.turned_or_straight(node.args[0]);
                let perm = match inner.perm() {
                    Some(inner) => perm.iter().map(|&p| inner[p]).collect(),
                    None => perm.clone(),
                };
                let group = self.begin(i, node, inner.group);
                Ok(Some(Kept::turned(inner.base, perm, group)))
            }
            Op::Reshape { shape } => {
                let inner = match &self.values[node.args[0].index()] {
                    kept if kept.form == Form::Reshaped => kept.clone(),
                    _ => Kept::straight(self.straight(node.args[0])),
                };
                let group = self.begin(i, node, inner.group);
                if self.b.ty(inner.base).shape == *shape {
                    return Ok(Some(Kept::straight(inner.base)));
                }
                Ok(Some(Kept { base: inner.base, form: Form::Reshaped, straight: None, group }))
            }
            Op::Convolution { .. } => self.convolution(node),
            Op::DotGeneral { .. } => self.product(node),
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select {} | Op::Convert { .. } | Op::Bitcast { .. } => {
                self.elementwise(node, |_| Some(node.op.clone()))
            }
            Op::Concatenate { axis } => self.elementwise(node, |perm| Some(Op::Concatenate { axis: perm?[*axis] })),
            Op::SelectAndGather { kind, window, strides, padding }
            | Op::SelectAndScatter { kind, window, strides, padding } => self.elementwise(node, |perm| {
                let sizes = |s: &Shape| Some(by_base(perm?, s).into_iter().collect::<Shape>());
                let (kind, window, strides, padding) =
                    (*kind, sizes(window)?, sizes(strides)?, by_base(perm?, padding));
                Some(match node.op {
                    Op::SelectAndGather { .. } => Op::SelectAndGather { kind, window, strides, padding },
                    _ => Op::SelectAndScatter { kind, window, strides, padding },
                })
            }),
            _ => self.along_axes(node),
        }
    }

    /// A value as it is, or turned.
    pub fn turned_or_straight(&mut self, v: Value) -> Kept {
        let kept = &self.values[v.index()];
        if kept.perm().is_some() { kept.clone() } else { Kept::straight(self.straight(v)) }
    }

    /// A transposition or reshape that sinks, with those that it meets.
    fn begin(&mut self, i: usize, node: &Node, met: Option<usize>) -> Option<usize> {
        let saved = self.g.ty(node.results[0]).bytes();
        let group = self.groups.add(Group { nodes: vec![i], saved, ..Group::default() });
        self.groups.join([group].into_iter().chain(met))
    }

    /// An op on a turned operand of which each axis stands for itself, or goes.
    fn along_axes(&mut self, node: &Node) -> Result<Option<Kept>> {
        let Some(&x) = node.args.first() else { return Ok(None) };
        let Kept { base, group, ref form, .. } = self.values[x.index()];
        let Form::Turned(perm) = form.clone() else { return Ok(None) };
        let sizes = |s: &Shape| by_base(&perm, s).into_iter().collect::<Shape>();
        let (op, perm) = match &node.op {
            Op::Broadcast { shape, dims } => {
                let dims = by_base(&perm, dims).into_iter().collect();
                (Op::Broadcast { shape: shape.clone(), dims }, (0..shape.len()).collect())
            }
            Op::Reduce { kind, axes } => {
                let kept: Vec<usize> = (0..perm.len()).filter(|i| !axes.contains(i)).map(|i| perm[i]).collect();
                let mut reduced: Shape = axes.iter().map(|&a| perm[a]).collect();
                reduced.sort_unstable();
                (Op::Reduce { kind: *kind, axes: reduced }, ranks(&kept))
            }
            Op::ReduceWindow { kind, window, strides, padding, base_dilation, window_dilation } => {
                let op = Op::ReduceWindow {
                    kind: *kind,
                    window: sizes(window),
                    strides: sizes(strides),
                    padding: by_base(&perm, padding),
                    base_dilation: sizes(base_dilation),
                    window_dilation: sizes(window_dilation),
                };
                (op, perm)
            }
            Op::Slice { start, limit, stride } => {
                (Op::Slice { start: sizes(start), limit: sizes(limit), stride: sizes(stride) }, perm)
            }
            Op::Reverse { axes } => (Op::Reverse { axes: axes.iter().map(|&a| perm[a]).collect() }, perm),
            Op::Cumulative { kind, axis, reverse } => {
                (Op::Cumulative { kind: *kind, axis: perm[*axis], reverse: *reverse }, perm)
            }
            Op::Pad { low, high, interior } => {
                let value = self.straight(node.args[1]);
                let op = Op::Pad { low: by_base(&perm, low), high: by_base(&perm, high), interior: sizes(interior) };
                return Ok(Some(Kept::turned(self.emit(op, &[base, value])?, perm, group)));
            }
            _ => return Ok(None),
        };
        Ok(Some(Kept::turned(self.emit(op, &[base])?, perm, group)))
    }

    /// The form that all operands have, or can have for nothing because they repeat something smaller.
    fn common(&self, node: &Node) -> Option<(Form, Shape)> {
        let kept = node.args.iter().map(|a| &self.values[a.index()]).find(|k| k.form != Form::Straight)?;
        let (form, shape) = (kept.form.clone(), self.b.ty(kept.base).shape.clone());
        let agrees = |a: &Value| {
            let kept = &self.values[a.index()];
            match &kept.form {
                Form::Straight => self.repeats(*a, form == Form::Reshaped),
                Form::Turned(_) => kept.form == form,
                Form::Reshaped => form == Form::Reshaped && self.b.ty(kept.base).shape == shape,
            }
        };
        node.args.iter().all(agrees).then_some((form, shape))
    }

    /// Whether a value is a broadcast, which is made in any order of its axes, or of a scalar, which has any shape.
    fn repeats(&self, v: Value, scalar: bool) -> bool {
        let definition = self.g.definitions()[v.index()];
        definition.is_some_and(|i| match &self.g.nodes()[i].op {
            Op::Broadcast { dims, .. } => !scalar || dims.is_empty(),
            _ => false,
        })
    }

    /// An op of operands and a result whose axes correspond; `op` gives it for this order of axes, or for another shape.
    fn elementwise(&mut self, node: &Node, op: impl Fn(Option<&Shape>) -> Option<Op>) -> Result<Option<Kept>> {
        let Some((form, shape)) = self.common(node) else { return Ok(None) };
        let perm = if let Form::Turned(perm) = &form { Some(perm) } else { None };
        let Some(op) = op(perm) else { return Ok(None) };
        let mut args: SmallVec<[Value; 4]> = SmallVec::new();
        for &a in &node.args {
            args.push(match &self.values[a.index()] {
                kept if kept.form != Form::Straight => kept.base,
                _ => self.repeated(a, perm, &shape)?,
            });
        }
        let sunk = node.args.iter().filter_map(|a| self.values[a.index()].group).collect::<Vec<_>>();
        let group = self.groups.join(sunk);
        Ok(Some(Kept { base: self.emit(op, &args)?, form, straight: None, group }))
    }

    /// A broadcast with its axes in another order, or one of a scalar in this shape.
    fn repeated(&mut self, v: Value, perm: Option<&Shape>, shape: &Shape) -> Result<Value> {
        let node = self.g.definitions()[v.index()].map(|i| &self.g.nodes()[i]);
        let Some(Node { op: Op::Broadcast { shape: old, dims }, args, .. }) = node else {
            return Err(Error::internal("sink_transposes", "not a broadcast"));
        };
        let Some(perm) = perm else {
            let scalar = self.straight(args[0]);
            return self.emit(Op::Broadcast { shape: shape.clone(), dims: Shape::new() }, &[scalar]);
        };
        let inner = self.turned_or_straight(args[0]);
        let dims = match inner.perm() {
            Some(inner) => by_base(inner, dims),
            None => dims.to_vec(),
        };
        let shape: Shape = by_base(perm, old).into_iter().collect();
        self.emit(Op::Broadcast { shape, dims: dims.iter().map(|&d| perm[d]).collect() }, &[inner.base])
    }

    /// dot(transpose(x), y) = dot(x, y) with its axes renumbered, the free ones of its result in another order.
    fn product(&mut self, node: &Node) -> Result<Option<Kept>> {
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else { return Ok(None) };
        if node.args.iter().all(|a| self.values[a.index()].perm().is_none()) {
            return Ok(None);
        }
        let mut axes = [[lhs_batch.clone(), lhs_contract.clone()], [rhs_batch.clone(), rhs_contract.clone()]];
        let mut order: Shape = (0..lhs_batch.len()).collect();
        let (mut args, mut groups) = (SmallVec::<[Value; 2]>::new(), Vec::new());
        for (&a, [batch, contract]) in node.args.iter().zip(&mut axes) {
            let kept = self.turned_or_straight(a);
            let rank = self.g.ty(a).rank();
            let place = |a: usize| kept.perm().map_or(a, |perm| perm[a]);
            let free: Vec<usize> =
                (0..rank).filter(|a| !batch.contains(a) && !contract.contains(a)).map(place).collect();
            let first = order.len();
            order.extend(ranks(&free).iter().map(|r| first + r));
            [batch, contract].into_iter().flatten().for_each(|a| *a = place(*a));
            args.push(kept.base);
            groups.extend(kept.group);
        }
        let [[lhs_batch, lhs_contract], [rhs_batch, rhs_contract]] = axes;
        let y = self.emit(Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }, &args)?;
        let group = self.groups.join(groups);
        Ok(Some(Kept::turned(y, order, group)))
    }
}

/// The place of each number among all in order.
fn ranks(of: &[usize]) -> Shape {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    of.iter().map(|i| sorted.partition_point(|o| o < i)).collect()
}
