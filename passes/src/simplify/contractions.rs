//! Rules of dot_general and of other products.

use crate::rewriting::View;
use gradloom_ir::{Binary, DType, Op, Shape, Transposition, Value};

/// What is this many times smaller than an array is moved in its place.
pub(super) const SMALL: usize = 4;

/// The axes of a product.
#[derive(Clone)]
pub(super) struct Axes {
    pub batch: [Shape; 2],
    pub contract: [Shape; 2],
}

impl Axes {
    pub fn new(batch: [&Shape; 2], contract: [&Shape; 2]) -> Axes {
        Axes { batch: batch.map(Shape::clone), contract: contract.map(Shape::clone) }
    }

    /// Of the operands in the other order.
    pub fn swapped(self) -> Axes {
        let ([a, b], [c, d]) = (self.batch, self.contract);
        Axes { batch: [b, a], contract: [d, c] }
    }

    pub fn op(self) -> Op {
        let ([lhs_batch, rhs_batch], [lhs_contract, rhs_contract]) = (self.batch, self.contract);
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }
    }

    /// The axes of operand `side`, of this rank, that are neither batched nor contracted.
    pub fn free(&self, side: usize, rank: usize) -> Shape {
        (0..rank).filter(|a| !self.batch[side].contains(a) && !self.contract[side].contains(a)).collect()
    }
}

pub(super) fn dot_general(v: &mut View, args: &[Value], batch: [&Shape; 2], contract: [&Shape; 2]) -> Option<Value> {
    let (axes, operands) = (Axes::new(batch, contract), [args[0], args[1]]);
    of_transposes(v, operands, &axes).or_else(|| of_reshapes(v, operands, &axes))
}

/// dot(transpose(x), y) = dot(x, y) with its axes renumbered, where the free axes stay in order; or with its own axes in another
/// order after it, if it is a small part of x
fn of_transposes(v: &mut View, mut operands: [Value; 2], axes: &Axes) -> Option<Value> {
    let mut axes = axes.clone();
    let ranks = operands.map(|x| v.shape(x).len());
    let free = [0, 1].map(|i| axes.free(i, ranks[i]));
    let batch = axes.batch[0].len();
    let lengths = |i: usize| free[i].iter().map(move |&a| (i, a));
    let all = axes.batch[0].iter().map(|&a| (0, a)).chain(lengths(0)).chain(lengths(1));
    let numel: usize = all.map(|(i, a)| v.shape(operands[i])[a]).product();
    let mut order: Shape = (0..batch + free[0].len() + free[1].len()).collect();
    let mut any = false;
    for (i, operand) in operands.iter_mut().enumerate() {
        let Some(node) = v.def(*operand) else { continue };
        let Op::Transpose { perm } = &node.op else { continue };
        let from: Shape = free[i].iter().map(|&a| perm[a]).collect();
        if !from.is_sorted() {
            if numel > v.numel(*operand) / SMALL {
                continue;
            }
            let first = batch + if i == 0 { 0 } else { free[0].len() };
            for (k, a) in from.iter().enumerate() {
                order[first + k] = first + from.iter().filter(|b| *b < a).count();
            }
        }
        *operand = node.args[0];
        axes.batch[i] = axes.batch[i].iter().map(|&a| perm[a]).collect();
        axes.contract[i] = axes.contract[i].iter().map(|&a| perm[a]).collect();
        any = true;
    }
    if !any {
        return None;
    }
    let product = v.op(axes.op(), &operands);
    Some(if order.is_sorted() { product } else { v.transpose(product, &order) })
}

/// dot(reshape(x), reshape(y)) = dot(x, y) along several axes, where both reshapes make one axis of these and leave the
/// others
fn of_reshapes(v: &mut View, operands: [Value; 2], axes: &Axes) -> Option<Value> {
    let mut merged = Vec::new();
    for (i, &x) in operands.iter().enumerate() {
        let node = v.def(x)?;
        let (Op::Reshape { .. }, [c]) = (&node.op, &axes.contract[i][..]) else { return None };
        let (from, to) = (v.shape(node.args[0]), v.shape(x));
        let more = from.len().checked_sub(to.len()).filter(|&n| n > 0)?;
        if from[..*c] != to[..*c] || from[c + 1 + more..] != to[c + 1..] {
            return None;
        }
        merged.push((node.args[0], *c, more));
    }
    let [(x, l, n), (y, r, m)] = merged[..] else { return None };
    if v.shape(x)[l..=l + n] != v.shape(y)[r..=r + m] {
        return None;
    }
    let moved = |axes: &Shape, c: usize| axes.iter().map(|&a| if a > c { a + n } else { a }).collect();
    let batch = [moved(&axes.batch[0], l), moved(&axes.batch[1], r)];
    let contract = [(l..=l + n).collect(), (r..=r + n).collect()];
    Some(v.op(Axes { batch, contract }.op(), &[x, y]))
}

/// sum_pq (a_np b_nq) (c_mp d_mq) = (sum_p a_np c_mp) (sum_q b_nq d_mq): the outer products are never made (floats:
/// reassociates, and products of other factors may leave the dtype's range; 16-bit floats, whose range is small, stay)
pub(super) fn of_outer_products(
    v: &mut View,
    operands: &[Value],
    batch: [&Shape; 2],
    contract: [&Shape; 2],
) -> Option<Value> {
    let axes = Axes::new(batch, contract);
    let dtype = v.dtype(operands[0]);
    if dtype.is_half() || dtype == DType::Bool || axes.contract[0].len() < 2 || !axes.batch[0].is_empty() {
        return None;
    }
    // of each operand: the factors, and by factor the contracted axes as pairs (place, axis)
    let mut outer: Vec<([Value; 2], [Vec<(usize, usize)>; 2])> = Vec::new();
    for (i, &x) in operands.iter().enumerate() {
        let node = v.def(x)?;
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, .. } = &node.op else { return None };
        if !lhs_contract.is_empty() || !lhs_batch.is_sorted() || !rhs_batch.is_sorted() {
            return None;
        }
        let inner = Axes { batch: [lhs_batch.clone(), rhs_batch.clone()], contract: Default::default() };
        let factors = [node.args[0], node.args[1]];
        let free = [0, 1].map(|f| inner.free(f, v.shape(factors[f]).len()));
        let first = inner.batch[0].len();
        // all that is not common is contracted
        if axes.contract[i].len() != free[0].len() + free[1].len() || axes.contract[i].iter().any(|&a| a < first) {
            return None;
        }
        let mut contracted = [Vec::new(), Vec::new()];
        for (place, &a) in axes.contract[i].iter().enumerate() {
            match (a - first).checked_sub(free[0].len()) {
                None => contracted[0].push((place, free[0][a - first])),
                Some(b) => contracted[1].push((place, free[1][b])),
            }
        }
        outer.push((factors, contracted));
    }
    let [(x, of_x), (y, of_y)] = &outer[..] else { return None };
    let places = |pairs: &[(usize, usize)]| pairs.iter().map(|p| p.0).collect::<Vec<_>>();
    let pairing = [[0, 1], [1, 0]].into_iter().find(|o| (0..2).all(|f| places(&of_x[f]) == places(&of_y[o[f]])))?;
    let length = |f: usize| of_x[f].iter().map(|&(_, a)| v.shape(x[f])[a]).product::<usize>();
    if length(0) < 2 || length(1) < 2 {
        return None;
    }
    let sums = [0, 1].map(|f| {
        let of = |pairs: &[(usize, usize)]| -> Shape { pairs.iter().map(|p| p.1).collect() };
        let contract = [of(&of_x[f]), of(&of_y[pairing[f]])];
        let op = Axes { batch: Default::default(), contract }.op();
        v.op(op, &[x[f], y[pairing[f]]])
    });
    Some(v.binary(Binary::Mul, sums[0], sums[1]))
}

/// form(a, v, d_k, d_k+1, .., e..) = form(v, v, d_k, e..): the rest is there for derivatives, which are taken before
pub(super) fn spectral_form(v: &mut View, args: &[Value], order: usize) -> Option<Value> {
    if args[0] == args[1] && args.len() == order + 3 {
        return None;
    }
    let mut operands = vec![args[1], args[1], args[2]];
    operands.extend_from_slice(&args[args.len() - order..]);
    Some(v.op(Op::SpectralForm { order }, &operands))
}

/// solve(a, lu, p, b) = solve(lu, lu, p, b): the matrix is there for derivatives, which are taken before
pub(super) fn lu_solve(v: &mut View, args: &[Value], transpose_a: Transposition) -> Option<Value> {
    let operands = [args[1], args[1], args[2], args[3]];
    (args[0] != args[1]).then(|| v.op(Op::LuSolve { transpose_a }, &operands))
}
