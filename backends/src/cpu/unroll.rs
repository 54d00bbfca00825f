//! Loops over few numbers as recurrences: every array of the body is taken apart into its elements.

use crate::kernel::{Affine, Carried, Inst, Param, Recurrence, Steps, Store, Val, combiner, identity};
use gradloom_ir::{Binary, DType, Graph, Literal, Node, Op, ReduceKind, Type, Unary, Value};
use smallvec::smallvec;

/// Most scalar operations of a step: above this, kernels over whole arrays are no slower than their calls.
const MAX_OPERATIONS: usize = 512;

/// Operations of an instruction, roughly.
fn operations(inst: &Inst) -> usize {
    use Unary::{Abs, Ceil, Floor, IsFinite, Neg, Not, Round, Sign, Sqrt};
    match inst {
        Inst::Threefry(..) => 70,
        Inst::Binary(Binary::Pow | Binary::Atan2 | Binary::Zeta, ..) => 50,
        Inst::Unary(Neg | Abs | Not | Sign | Floor | Ceil | Round | Sqrt | IsFinite, _) => 1,
        Inst::Unary(..) => 25,
        _ => 1,
    }
}

/// Elements of a value.
type Elements = Vec<Val>;

/// What the body's instructions are collected in.
struct Unroller {
    insts: Vec<Inst>,
    operations: usize,
}

/// The recurrence of a `scan` or a `while`, whose params are the node's operands followed by its results; `None` if the
/// body has an op that is not taken apart, or too many of them.
pub(crate) fn recurrence(g: &Graph, node: &Node) -> Option<Recurrence> {
    let ty = |v: &Value| g.ty(*v).clone();
    let types: Vec<Type> = node.args.iter().chain(&node.results).map(ty).collect();
    if types.iter().any(|t| !is_plain(t.dtype)) {
        return None;
    }
    let params: Vec<Param> = types.iter().map(|t| Param { dtype: t.dtype, len: t.numel() }).collect();
    let args = node.args.len();
    let mut u = Unroller { insts: Vec::new(), operations: 0 };
    let (steps, body_outs, first_carry, carries) = match &node.op {
        Op::Scan { body, length, reverse, consts, carry } => {
            if *length == 0 {
                return None;
            }
            let mut inputs = Vec::new();
            let mut carried = 0;
            for (k, t) in body.input_types().iter().enumerate() {
                inputs.push(if k < *consts {
                    u.loads(k, t, 0, 0)?
                } else if k < consts + carry {
                    u.carried(&mut carried, t)?
                } else {
                    let (row, n) = (t.numel() as i64, *length as i64);
                    if *reverse { u.loads(k, t, (n - 1) * row, -row)? } else { u.loads(k, t, 0, row)? }
                });
            }
            let outs = u.graph(body, inputs)?;
            (Steps::Known(*length), outs, *consts, *carry)
        }
        Op::While { cond, body, cond_consts, body_consts } => {
            let (cc, bc) = (*cond_consts, *body_consts);
            let mut carried = 0;
            let mut state = Vec::new();
            for t in &body.input_types()[bc..] {
                state.push(u.carried(&mut carried, t)?);
            }
            let mut inputs = Vec::new();
            for (k, t) in cond.input_types()[..cc].iter().enumerate() {
                inputs.push(u.loads(k, t, 0, 0)?);
            }
            inputs.extend(state.iter().cloned());
            let condition = *u.graph(cond, inputs)?.first()?.first()?;
            let head = u.insts.len();
            let mut inputs = Vec::new();
            for (k, t) in body.input_types()[..bc].iter().enumerate() {
                inputs.push(u.loads(cc + k, t, 0, 0)?);
            }
            inputs.extend(state);
            let outs = u.graph(body, inputs)?;
            (Steps::While(condition, head), outs, cc + bc, node.results.len())
        }
        _ => return None,
    };
    let mut carried = Vec::new();
    for k in 0..carries {
        for (i, &next) in body_outs[k].iter().enumerate() {
            let (init, end) = (((first_carry + k) as u32, i), ((args + k) as u32, i));
            carried.push(Carried { dtype: types[args + k].dtype, init, next, end });
        }
    }
    let mut stores = Vec::new();
    for (k, values) in body_outs.iter().enumerate().skip(carries) {
        let reverse = matches!(node.op, Op::Scan { reverse: true, .. });
        let (row, n) = (values.len() as i64, if let Steps::Known(n) = steps { n as i64 } else { 1 });
        let (start, step) = if reverse { ((n - 1) * row, -row) } else { (0, row) };
        for (i, &value) in values.iter().enumerate() {
            let at = Affine { offset: start + i as i64, strides: smallvec![step] };
            stores.push(Store { param: (args + k) as u32, value, at });
        }
    }
    Some(Recurrence { name: node.op.name().into(), params, steps, body: u.insts, carried, stores })
}

/// Dtypes that scalar code computes in.
fn is_plain(dtype: DType) -> bool {
    !dtype.is_half() && !dtype.is_complex()
}

/// The index of each axis of element `i`.
fn unravel(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (x, n) in index.iter_mut().zip(shape).rev() {
        *x = i % n;
        i /= n;
    }
    index
}

fn ravel(index: impl IntoIterator<Item = usize>, shape: &[usize]) -> usize {
    index.into_iter().zip(shape).fold(0, |sum, (i, n)| sum * n + i)
}

impl Unroller {
    fn push(&mut self, inst: Inst) -> Option<Val> {
        self.operations += operations(&inst);
        if self.operations > MAX_OPERATIONS {
            return None;
        }
        self.insts.push(inst);
        Some((self.insts.len() - 1) as Val)
    }

    /// The elements of row number `step` of a param.
    fn loads(&mut self, param: usize, ty: &Type, start: i64, step: i64) -> Option<Elements> {
        let at = |i: usize| Affine { offset: start + i as i64, strides: smallvec![step] };
        (0..ty.numel()).map(|i| self.push(Inst::Load { param: param as u32, at: at(i) })).collect()
    }

    /// The next carried numbers.
    fn carried(&mut self, first: &mut u32, ty: &Type) -> Option<Elements> {
        let elements = (0..ty.numel()).map(|i| self.push(Inst::Acc(*first + i as u32))).collect();
        *first += ty.numel() as u32;
        elements
    }

    /// The elements of the outputs.
    fn graph(&mut self, g: &Graph, inputs: Vec<Elements>) -> Option<Vec<Elements>> {
        let mut values: Vec<Elements> = inputs;
        values.resize(g.num_values(), Vec::new());
        for node in g.nodes() {
            if node.results.iter().any(|r| !is_plain(g.ty(*r).dtype) || g.ty(*r).numel() > MAX_OPERATIONS) {
                return None;
            }
            if let Op::Barrier {} = node.op {
                for (r, a) in node.results.iter().zip(&node.args) {
                    values[r.index()] = values[a.index()].clone();
                }
                continue;
            }
            let [result] = node.results[..] else { return None };
            let elements = self.node(g, node, &values)?;
            values[result.index()] = elements;
        }
        Some(g.outputs().iter().map(|v| values[v.index()].clone()).collect())
    }

    fn node(&mut self, g: &Graph, node: &Node, values: &[Elements]) -> Option<Elements> {
        let arg = |k: usize| &values[node.args[k].index()];
        let from = |k: usize| &g.ty(node.args[k]).shape;
        let ty = g.ty(node.results[0]);
        let n = ty.numel();
        // the element of operand 0 that each element of the result is
        let moved = |of: &dyn Fn(&[usize]) -> usize| -> Option<Elements> {
            Some((0..n).map(|i| arg(0)[of(&unravel(i, &ty.shape))]).collect())
        };
        match &node.op {
            Op::Unary(op) => arg(0).iter().map(|x| self.push(Inst::Unary(*op, *x))).collect(),
            Op::Binary(op) => arg(0).iter().zip(arg(1)).map(|(x, y)| self.push(Inst::Binary(*op, *x, *y))).collect(),
            Op::Compare(op) => arg(0).iter().zip(arg(1)).map(|(x, y)| self.push(Inst::Compare(*op, *x, *y))).collect(),
            Op::Select {} => (0..n).map(|i| self.push(Inst::Select(arg(0)[i], arg(1)[i], arg(2)[i]))).collect(),
            Op::Convert { dtype } if g.ty(node.args[0]).dtype == *dtype => Some(arg(0).clone()),
            Op::Convert { dtype } => arg(0).iter().map(|x| self.push(Inst::Convert(*dtype, *x))).collect(),
            Op::Bitcast { dtype } if g.ty(node.args[0]).dtype.size() == dtype.size() => {
                arg(0).iter().map(|x| self.push(Inst::Bitcast(*dtype, *x))).collect()
            }
            Op::Threefry { lane } => {
                (0..n).map(|i| self.push(Inst::Threefry(*lane, [arg(0)[i], arg(1)[i], arg(2)[i], arg(3)[i]]))).collect()
            }
            Op::Constant { value } => {
                let size = ty.dtype.size();
                (0..n).map(|i| self.constant(ty.dtype, &value.bytes()[i * size..(i + 1) * size])).collect()
            }
            Op::Iota { dtype, axis, .. } => (0..n)
                .map(|i| self.push(Inst::Const(Literal::scalar(*dtype, unravel(i, &ty.shape)[*axis] as f64))))
                .collect(),
            Op::Reshape { .. } => Some(arg(0).clone()),
            Op::Broadcast { dims, .. } => {
                let shape = from(0);
                moved(&|index| {
                    ravel(dims.iter().zip(shape).map(|(&d, &len)| if len == 1 { 0 } else { index[d] }), shape)
                })
            }
            Op::Transpose { perm } => {
                let shape = from(0);
                moved(&|index| {
                    let mut inner = vec![0; perm.len()];
                    perm.iter().zip(index).for_each(|(&p, &i)| inner[p] = i);
                    ravel(inner, shape)
                })
            }
            Op::Slice { start, stride, .. } => {
                let shape = from(0);
                moved(&|index| ravel((0..index.len()).map(|a| start[a] + index[a] * stride[a]), shape))
            }
            Op::Reverse { axes } => {
                let shape = from(0);
                let turn = |a: usize, i: usize| if axes.contains(&a) { shape[a] - 1 - i } else { i };
                moved(&|index| ravel(index.iter().enumerate().map(|(a, &i)| turn(a, i)), shape))
            }
            Op::Pad { low, interior, .. } => {
                let shape = from(0);
                let inside = |index: &[usize]| -> Option<usize> {
                    let mut inner = Vec::new();
                    for (a, &i) in index.iter().enumerate() {
                        let (at, step) = (i as i64 - low[a], interior[a] as i64 + 1);
                        let source = at.div_euclid(step);
                        if at % step != 0 || source < 0 || source >= shape[a] as i64 {
                            return None;
                        }
                        inner.push(source as usize);
                    }
                    Some(ravel(inner, shape))
                };
                Some((0..n).map(|i| inside(&unravel(i, &ty.shape)).map_or(arg(1)[0], |at| arg(0)[at])).collect())
            }
            Op::Concatenate { axis } => {
                let of = |i: usize| {
                    let mut index = unravel(i, &ty.shape);
                    let mut k = 0;
                    while index[*axis] >= from(k)[*axis] {
                        index[*axis] -= from(k)[*axis];
                        k += 1;
                    }
                    arg(k)[ravel(index, from(k))]
                };
                Some((0..n).map(of).collect())
            }
            Op::Reduce { kind, axes } => {
                let shape = from(0);
                let kept: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
                let mut parts: Vec<Vec<Val>> = vec![Vec::new(); n];
                for (i, &x) in arg(0).iter().enumerate() {
                    let index = unravel(i, shape);
                    parts[ravel(kept.iter().map(|&a| index[a]), &ty.shape)].push(x);
                }
                parts.into_iter().map(|p| self.combined(*kind, ty.dtype, &p)).collect()
            }
            Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
                self.dot(g, node, [arg(0), arg(1)], [lhs_batch, rhs_batch, lhs_contract, rhs_contract])
            }
            _ => None,
        }
    }

    fn constant(&mut self, dtype: DType, bytes: &[u8]) -> Option<Val> {
        let literal = Literal::from_bytes(Type::scalar(dtype), bytes.to_vec())?;
        self.push(Inst::Const(literal))
    }

    /// Values combined in their order, from the identity.
    fn combined(&mut self, kind: ReduceKind, dtype: DType, parts: &[Val]) -> Option<Val> {
        let op = combiner(kind);
        let mut sum = self.push(Inst::Const(identity(kind, dtype)))?;
        for &x in parts {
            sum = self.push(Inst::Binary(op, sum, x))?;
        }
        Some(sum)
    }

    /// A contraction, a sum of products an element.
    fn dot(
        &mut self,
        g: &Graph,
        node: &Node,
        args: [&Elements; 2],
        [lhs_batch, rhs_batch, lhs_contract, rhs_contract]: [&[usize]; 4],
    ) -> Option<Elements> {
        let (shape, dtype) = (&g.ty(node.results[0]).shape, g.ty(node.results[0]).dtype);
        let shapes = [0, 1].map(|k| &g.ty(node.args[k]).shape);
        let free = |k: usize, batch: &[usize], contract: &[usize]| -> Vec<usize> {
            (0..shapes[k].len()).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
        };
        let (lhs_free, rhs_free) = (free(0, lhs_batch, lhs_contract), free(1, rhs_batch, rhs_contract));
        let summed: Vec<usize> = lhs_contract.iter().map(|&a| shapes[0][a]).collect();
        let count: usize = summed.iter().product();
        if dtype == DType::Bool || shape.iter().product::<usize>().checked_mul(count)? > MAX_OPERATIONS {
            return None;
        }
        let mut out = Vec::new();
        for i in 0..shape.iter().product() {
            let index = unravel(i, shape);
            let (batch, rest) = index.split_at(lhs_batch.len());
            let (left, right) = rest.split_at(lhs_free.len());
            let mut products = Vec::new();
            for s in 0..count {
                let along = unravel(s, &summed);
                let place = |rank: usize, groups: [(&[usize], &[usize]); 3]| {
                    let mut inner = vec![0; rank];
                    for (axes, at) in groups {
                        axes.iter().zip(at).for_each(|(&a, &i)| inner[a] = i);
                    }
                    inner
                };
                let l = place(shapes[0].len(), [(lhs_batch, batch), (&lhs_free, left), (lhs_contract, &along)]);
                let r = place(shapes[1].len(), [(rhs_batch, batch), (&rhs_free, right), (rhs_contract, &along)]);
                let (l, r) = (args[0][ravel(l, shapes[0])], args[1][ravel(r, shapes[1])]);
                products.push(self.push(Inst::Binary(Binary::Mul, l, r))?);
            }
            out.push(self.combined(ReduceKind::Sum, dtype, &products)?);
        }
        Some(out)
    }
}
