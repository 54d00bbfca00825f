//! Layouts: convolutions compute with channels last, and transpositions sink through what does not care until they meet.

use crate::manager::{Changed, copy_inputs, finish, replace};
use gradloom_ir::{Builder, Error, Graph, Node, Op, Result, Shape, Type, Value, Values, infer};
use smallvec::SmallVec;

/// Channels from which on it matters where they are: a vector's worth of them is then read at once.
const CHANNELS: usize = 8;

/// Turns convolutions of images with channels in front, as PyTorch has them, into convolutions with channels last, which
/// processors read whole vectors of.
///
/// - a convolution whose features are not the last axis of its result, and whose result is no smaller than its window (an
///   image, not a kernel's gradient), computes one with features last and transposes it; the same for its image;
/// - transpositions sink: below elementwise ops, reductions, windows, slices and paddings, as long as no other large
///   operand would have to be transposed for it. Where two meet they are one or none; convolutions, broadcasts and
///   reductions take them up into their own dimension numbers.
///
/// **Ensures** the same results, up to the order in which a convolution or reduction sums. **Never** leaves a transposition
/// where there was none unless a convolution gained by it.
pub fn choose_layouts(g: &mut Graph) -> Result<Changed> {
    if !g.nodes().iter().any(|n| matches!(n.op, Op::Convolution { .. })) {
        return Ok(Changed::No);
    }
    let (b, map) = copy_inputs(g);
    let mut l = Layouts { g, b, values: map.into_iter().map(Turned::plain).collect() };
    for node in g.nodes() {
        l.b.set_loc(&node.loc);
        let results = match l.turned(node)? {
            Some(result) => [result].into_iter().collect(),
            None => l.plain(node),
        };
        l.values.extend(results);
    }
    let outputs: Vec<Value> = g.outputs().to_vec();
    let mut map = vec![Value::from_index(0); g.num_values()];
    for v in outputs.iter().chain(&g.inputs().collect::<Vec<_>>()) {
        map[v.index()] = l.straight(*v);
    }
    let new = crate::dead_code(&finish(l.b, g, &map)?);
    Ok(replace(g, new))
}

/// A value that is kept with its axes in another order: axis `i` of the old program's value is axis `perm[i]` of `base`.
#[derive(Clone)]
struct Turned {
    base: Value,
    /// Nothing if the order is the same.
    perm: Option<Shape>,
    /// The value with its axes in order, once it was needed.
    straight: Option<Value>,
}

impl Turned {
    fn plain(base: Value) -> Turned {
        Turned { base, perm: None, straight: Some(base) }
    }

    fn by(base: Value, perm: Shape) -> Turned {
        let in_order = perm.iter().copied().eq(0..perm.len());
        Turned { base, perm: (!in_order).then_some(perm), straight: in_order.then_some(base) }
    }
}

struct Layouts<'a> {
    g: &'a Graph,
    b: Builder,
    /// By value of the old program.
    values: Vec<Turned>,
}

/// Numbers by axis of the old value as numbers by axis of `base`.
fn by_base<T: Clone>(perm: &[usize], of: &[T]) -> Vec<T> {
    let mut out: Vec<T> = of.to_vec();
    perm.iter().zip(of).for_each(|(&p, x)| out[p] = x.clone());
    out
}

impl Layouts<'_> {
    /// A value with its axes in order.
    fn straight(&mut self, v: Value) -> Value {
        let Turned { base, perm, straight } = &self.values[v.index()];
        let value = match (straight, perm) {
            (Some(value), _) => *value,
            (None, Some(perm)) => self.b.transpose(*base, perm),
            (None, None) => *base,
        };
        self.values[v.index()].straight = Some(value);
        value
    }

    /// The node as it is.
    fn plain(&mut self, node: &Node) -> SmallVec<[Turned; 2]> {
        let args: SmallVec<[Value; 4]> = node.args.iter().map(|&a| self.straight(a)).collect();
        let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| self.g.ty(r).clone()).collect();
        let results: Values = self.b.emit_typed(node.op.clone(), &args, types);
        results.into_iter().map(Turned::plain).collect()
    }

    fn emit(&mut self, op: Op, args: &[Value]) -> Result<Value> {
        let types: SmallVec<[Type; 4]> = args.iter().map(|&a| self.b.ty(a).clone()).collect();
        let results = infer(&op, &types)?;
        Ok(self.b.emit_typed(op, args, results)[0])
    }

    /// The result of a node that takes turned operands, or gives a turned result.
    fn turned(&mut self, node: &Node) -> Result<Option<Turned>> {
        let perm_of = |a: Value| self.values[a.index()].perm.clone();
        match &node.op {
            Op::Transpose { perm } => {
                let Turned { base, perm: inner, .. } = self.values[node.args[0].index()].clone();
                let perm = match inner {
                    Some(inner) => perm.iter().map(|&p| inner[p]).collect(),
                    None => perm.clone(),
                };
                Ok(Some(Turned::by(base, perm)))
            }
            Op::Convolution { .. } => self.convolution(node),
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select {} | Op::Convert { .. } => {
                self.elementwise(node, node.op.clone())
            }
            Op::SelectAndGather { kind, window, strides, padding }
            | Op::SelectAndScatter { kind, window, strides, padding } => {
                let Some(perm) = self.common(node) else { return Ok(None) };
                let sizes = |s: &Shape| by_base(&perm, s).into_iter().collect::<Shape>();
                let (kind, window, strides) = (*kind, sizes(window), sizes(strides));
                let padding = by_base(&perm, padding);
                let op = match node.op {
                    Op::SelectAndGather { .. } => Op::SelectAndGather { kind, window, strides, padding },
                    _ => Op::SelectAndScatter { kind, window, strides, padding },
                };
                self.elementwise(node, op)
            }
            op => {
                let Some(&x) = node.args.first() else { return Ok(None) };
                let Some(perm) = perm_of(x) else { return Ok(None) };
                let sizes = |s: &Shape| by_base(&perm, s).into_iter().collect::<Shape>();
                let base = self.values[x.index()].base;
                let (op, perm) = match op {
                    Op::Broadcast { shape, dims } => {
                        let dims = by_base(&perm, dims).into_iter().collect();
                        (Op::Broadcast { shape: shape.clone(), dims }, (0..shape.len()).collect())
                    }
                    Op::Reduce { kind, axes } => {
                        let kept: Vec<usize> = (0..perm.len()).filter(|i| !axes.contains(i)).collect();
                        let mut order: Vec<usize> = kept.iter().map(|&i| perm[i]).collect();
                        order.sort_unstable();
                        let place = |i: &usize| order.partition_point(|&o| o < perm[*i]);
                        let mut reduced: Shape = axes.iter().map(|&a| perm[a]).collect();
                        reduced.sort_unstable();
                        (Op::Reduce { kind: *kind, axes: reduced }, kept.iter().map(place).collect())
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
                        (op, perm.clone())
                    }
                    Op::Slice { start, limit, stride } => {
                        (Op::Slice { start: sizes(start), limit: sizes(limit), stride: sizes(stride) }, perm.clone())
                    }
                    Op::Reverse { axes } => {
                        (Op::Reverse { axes: axes.iter().map(|&a| perm[a]).collect() }, perm.clone())
                    }
                    Op::Pad { low, high, interior } => {
                        let value = self.straight(node.args[1]);
                        let (low, high) = (by_base(&perm, low), by_base(&perm, high));
                        let op = Op::Pad { low, high, interior: sizes(interior) };
                        return Ok(Some(Turned::by(self.emit(op, &[base, value])?, perm)));
                    }
                    _ => return Ok(None),
                };
                Ok(Some(Turned::by(self.emit(op, &[base])?, perm)))
            }
        }
    }

    /// The order that all operands have, or can have for nothing because they repeat something smaller.
    fn common(&self, node: &Node) -> Option<Shape> {
        let mut perms = node.args.iter().filter_map(|a| self.values[a.index()].perm.clone());
        let perm = perms.next()?;
        let agrees = |a: &Value| match &self.values[a.index()].perm {
            Some(p) => *p == perm,
            None => self.g.ty(*a).rank() == 0 || self.repeats(*a),
        };
        node.args.iter().all(agrees).then_some(perm)
    }

    /// Whether a value is a broadcast, which is made in any order.
    fn repeats(&self, v: Value) -> bool {
        let definition = self.g.definitions()[v.index()];
        definition.is_some_and(|i| matches!(self.g.nodes()[i].op, Op::Broadcast { .. }))
    }

    /// An op of operands and a result whose axes correspond.
    fn elementwise(&mut self, node: &Node, op: Op) -> Result<Option<Turned>> {
        let Some(perm) = self.common(node) else { return Ok(None) };
        let mut args: SmallVec<[Value; 4]> = SmallVec::new();
        for &a in &node.args {
            args.push(match &self.values[a.index()] {
                Turned { base, perm: Some(_), .. } => *base,
                Turned { base, .. } if self.g.ty(a).rank() == 0 => *base,
                _ => self.repeated(a, &perm)?,
            });
        }
        Ok(Some(Turned::by(self.emit(op, &args)?, perm)))
    }

    /// A broadcast with its axes in another order.
    fn repeated(&mut self, v: Value, perm: &[usize]) -> Result<Value> {
        let node = self.g.definitions()[v.index()].map(|i| &self.g.nodes()[i]);
        let Some(Node { op: Op::Broadcast { shape, dims }, args, .. }) = node else {
            return Err(Error::internal("choose_layouts", "not a broadcast"));
        };
        let Turned { base, perm: inner, .. } = self.values[args[0].index()].clone();
        let dims = match inner {
            Some(inner) => by_base(&inner, dims),
            None => dims.to_vec(),
        };
        let shape: Shape = by_base(perm, shape).into_iter().collect();
        self.emit(Op::Broadcast { shape, dims: dims.iter().map(|&d| perm[d]).collect() }, &[base])
    }

    fn convolution(&mut self, node: &Node) -> Result<Option<Turned>> {
        let mut op = node.op.clone();
        let Op::Convolution { lhs_dims, rhs_dims, out_dims, .. } = &mut op else { return Ok(None) };
        let rank = lhs_dims.len();
        let last: Shape = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        let [lhs, rhs] = [node.args[0], node.args[1]];
        // the spatial axes of an image are longer than those of its window
        let spatial = |v: Value, dims: &Shape| dims[2..].iter().map(|&d| self.g.ty(v).shape[d]).product::<usize>();
        let image = rank > 2 && spatial(node.results[0], out_dims) >= spatial(rhs, rhs_dims);
        let channels = |v: Value, dims: &Shape| self.g.ty(v).shape[dims[1]] >= CHANNELS;
        let turns = image && channels(node.results[0], out_dims) && out_dims[1] != rank - 1;
        let mut args = [Value::from_index(0); 2];
        for (to, (v, dims)) in args.iter_mut().zip([(lhs, &mut *lhs_dims), (rhs, &mut *rhs_dims)]) {
            let Turned { base, perm, .. } = self.values[v.index()].clone();
            if let Some(perm) = perm {
                dims.iter_mut().for_each(|d| *d = perm[*d]);
            }
            *to = base;
        }
        if image && self.b.ty(args[0]).shape[lhs_dims[1]] >= CHANNELS && lhs_dims[1] != rank - 1 {
            // where each axis of the image with channels last comes from
            let mut from: Shape = (0..rank).collect();
            last.iter().zip(lhs_dims.iter()).for_each(|(&to, &d)| from[to] = d);
            args[0] = self.b.transpose(args[0], &from);
            lhs_dims.clone_from(&last);
        }
        let perm = if turns {
            let mut perm: Shape = (0..rank).collect();
            out_dims.iter().zip(&last).for_each(|(&d, &l)| perm[d] = l);
            out_dims.clone_from(&last);
            perm
        } else {
            (0..rank).collect()
        };
        Ok(Some(Turned::by(self.emit(op, &args)?, perm)))
    }
}
