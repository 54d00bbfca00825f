//! Rules of broadcasts, reshapes and transposes.

use super::contractions::{Axes, SMALL};
use crate::rewriting::View;
use gradloom_ir::{Literal, Op, Shape, Value};

/// [c, c, ..] = broadcast(c)
pub(super) fn constant(v: &mut View, value: &Literal) -> Option<Value> {
    if value.ty().rank() == 0 {
        return None;
    }
    let c = v.literal(value.splat_value()?);
    Some(v.broadcast(c, &value.ty().shape, &[]))
}

/// The lengths that are not 1.
fn long_axes(shape: &[usize]) -> impl Iterator<Item = usize> + '_ {
    (0..shape.len()).filter(|&i| shape[i] != 1)
}

pub(super) fn broadcast(v: &mut View, x: Value, shape: &[usize], dims: &[usize]) -> Option<Value> {
    let from = v.shape(x).clone();
    // broadcast(x) = broadcast(reshape(x)) without the axes of length 1
    if from.contains(&1) {
        let kept: Shape = long_axes(&from).collect();
        let squeezed: Shape = kept.iter().map(|&i| from[i]).collect();
        let y = v.reshape(x, &squeezed);
        let dims: Shape = kept.iter().map(|&i| dims[i]).collect();
        return Some(v.broadcast(y, shape, &dims));
    }
    // broadcast(x) = reshape(transpose(x)) where no element is repeated
    if !from.is_empty() && v.numel(x) == shape.iter().product() && v.numel(x) > 0 {
        let mut perm: Shape = (0..from.len()).collect();
        perm.sort_by_key(|&i| dims[i]);
        let y = v.transpose(x, &perm);
        return Some(v.reshape(y, shape));
    }
    None
}

pub(super) fn reshape(v: &mut View, x: Value, shape: &[usize]) -> Option<Value> {
    let from = v.shape(x).clone();
    let (y, _, dims) = v.broadcast_of(x)?;
    // reshape(broadcast(x)) = broadcast(x) where only axes of length 1 come and go
    let (old, new): (Shape, Shape) = (long_axes(&from).collect(), long_axes(shape).collect());
    if !old.iter().map(|&i| from[i]).eq(new.iter().map(|&i| shape[i])) {
        return None;
    }
    let dims: Option<Shape> = dims.iter().map(|d| old.iter().position(|o| o == d).map(|i| new[i])).collect();
    dims.map(|dims| v.broadcast(y, shape, &dims))
}

pub(super) fn transpose(v: &mut View, x: Value, perm: &[usize]) -> Option<Value> {
    // transpose(x) = reshape(x) where only axes of length 1 move
    let from = v.shape(x).clone();
    let long: Shape = perm.iter().copied().filter(|&p| from[p] != 1).collect();
    if long.is_sorted() {
        let shape: Shape = perm.iter().map(|&p| from[p]).collect();
        return Some(v.reshape(x, &shape));
    }
    let node = v.def(x)?;
    let y = *node.args.first()?;
    match &node.op {
        // transpose(broadcast(x)) = broadcast(x)
        Op::Broadcast { shape, dims } => {
            let shape: Shape = perm.iter().map(|&p| shape[p]).collect();
            let dims: Option<Shape> = dims.iter().map(|d| perm.iter().position(|p| p == d)).collect();
            dims.map(|dims| v.broadcast(y, &shape, &dims))
        }
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
            let axes = Axes::new([lhs_batch, rhs_batch], [lhs_contract, rhs_contract]);
            of_product(v, x, [node.args[0], node.args[1]], axes, perm)
        }
        _ => None,
    }
}

/// transpose(a b) = a b or b a with the free axes of both in another order, where each of them keeps its axes together: a factor
/// whose axes change their places is a small part of the product
fn of_product(v: &mut View, x: Value, factors: [Value; 2], axes: Axes, perm: &[usize]) -> Option<Value> {
    let batch = axes.batch[0].len();
    let free = [0, 1].map(|i| axes.free(i, v.shape(factors[i]).len()));
    let first = batch + free[0].len();
    if !v.single_use(x) || perm[..batch].iter().copied().ne(0..batch) {
        return None;
    }
    let swaps = perm[batch..].first().is_some_and(|&p| p >= first) && !free[0].is_empty();
    let middle = if swaps { batch + free[1].len() } else { first };
    let (head, tail) = (&perm[batch..middle], &perm[middle..]);
    let of_side = if swaps { [tail, head] } else { [head, tail] };
    let mut operands = factors;
    for (side, places) in of_side.into_iter().enumerate() {
        let start = if side == 0 { batch } else { first };
        let order: Option<Shape> = places.iter().map(|p| free[side].get(p.checked_sub(start)?).copied()).collect();
        let order = order?;
        if order.is_sorted() {
            continue;
        }
        if v.numel(factors[side]) > v.numel(x) / SMALL {
            return None;
        }
        let mut turned: Shape = (0..v.shape(factors[side]).len()).collect();
        free[side].iter().zip(&order).for_each(|(&at, &axis)| turned[at] = axis);
        operands[side] = v.transpose(factors[side], &turned);
    }
    let op = if swaps { axes.swapped().op() } else { axes.op() };
    if swaps {
        operands.swap(0, 1);
    }
    Some(v.op(op, &operands))
}
