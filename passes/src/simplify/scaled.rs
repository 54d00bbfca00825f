//! Arrays of 8-bit integers with a scale: what reads them reads the integers, and the scale is applied to the result.

use crate::rewriting::View;
use gradloom_ir::{Binary, DType, Op, Shape, Value};

/// `convert(q) * s`, where `q` has 8 bits and `s` is repeated along some axes.
struct Scaled {
    integers: Value,
    scale: Value,
    /// The axis of the integers that each axis of the scale stands at.
    axes: Shape,
}

fn scaled(v: &View, x: Value) -> Option<Scaled> {
    let (a, b) = v.binary_of(Binary::Mul, x)?;
    [(a, b), (b, a)].into_iter().find_map(|(integers, scale)| {
        let node = v.def(integers).filter(|n| matches!(n.op, Op::Convert { .. }))?;
        let (scale, _, axes) = v.broadcast_of(scale)?;
        // an axis of length 1 is repeated, too
        let whole = v.shape(scale).iter().zip(axes).all(|(&n, &a)| n == v.shape(x)[a]);
        let narrow = matches!(v.dtype(node.args[0]), DType::I8 | DType::U8);
        (narrow && whole).then(|| Scaled { integers, scale, axes: axes.clone() })
    })
}

/// dot(x, q s) = dot(x, q) s where s is repeated along the contracted axes, = dot(x s, q) where it is repeated along the
/// others. The batch axes and contracted axes are those of lhs and rhs.
pub(super) fn dot_general(v: &mut View, args: &[Value], batch: [&Shape; 2], contract: [&Shape; 2]) -> Option<Value> {
    for side in 0..2 {
        let Some(Scaled { integers, scale, axes }) = scaled(v, args[side]) else { continue };
        let mut operands = [args[0], args[1]];
        operands[side] = integers;
        let op = Op::DotGeneral {
            lhs_batch: batch[0].clone(),
            rhs_batch: batch[1].clone(),
            lhs_contract: contract[0].clone(),
            rhs_contract: contract[1].clone(),
        };
        let place = |of: &Shape, a: usize| of.iter().position(|&b| b == a);
        if axes.iter().all(|a| !contract[side].contains(a)) {
            let free = |side: usize| -> Shape {
                let rank = v.shape(args[side]).len();
                (0..rank).filter(|a| !batch[side].contains(a) && !contract[side].contains(a)).collect()
            };
            let first = batch[0].len() + if side == 1 { free(0).len() } else { 0 };
            let own = free(side);
            let dims: Option<Shape> =
                axes.iter().map(|&a| place(batch[side], a).or_else(|| Some(first + place(&own, a)?))).collect();
            let dims = dims?;
            let y = v.op(op, &operands);
            return Some(times(v, y, scale, &dims));
        }
        let dims: Option<Shape> =
            axes.iter().map(|&a| place(contract[side], a).map(|i| contract[1 - side][i])).collect();
        if let Some(dims) = dims {
            let other = operands[1 - side];
            let shape = v.shape(other).clone();
            let scale = v.broadcast(scale, &shape, &dims);
            operands[1 - side] = v.binary(Binary::Mul, other, scale);
            return Some(v.op(op, &operands));
        }
    }
    None
}

/// conv(x, q s) = conv(x, q) s where there is one scale for each feature of the result.
pub(super) fn convolution(v: &mut View, op: &Op, args: &[Value]) -> Option<Value> {
    let Op::Convolution { rhs_dims, out_dims, .. } = op else { return None };
    let Scaled { integers, scale, axes } = scaled(v, args[1])?;
    let dims: Option<Shape> = axes.iter().map(|&a| (a == rhs_dims[0]).then_some(out_dims[1])).collect();
    let dims = dims?;
    let y = v.op(op.clone(), &[args[0], integers]);
    Some(times(v, y, scale, &dims))
}

/// gather(q s) = convert(gather(q)) s where s is repeated along all axes but those of which whole slices are taken.
pub(super) fn gather(v: &mut View, op: &Op, args: &[Value]) -> Option<Value> {
    let Op::Gather { offset_dims, collapsed_slice_dims, operand_batching_dims, slice_sizes, .. } = op else {
        return None;
    };
    let Scaled { integers, scale, axes } = scaled(v, args[0])?;
    let shape = v.shape(args[0]).clone();
    let window: Shape =
        (0..shape.len()).filter(|a| !collapsed_slice_dims.contains(a) && !operand_batching_dims.contains(a)).collect();
    let whole = |a: usize| (slice_sizes[a] == shape[a]).then(|| window.iter().position(|&w| w == a))?;
    let dims: Option<Shape> = axes.iter().map(|&a| whole(a).map(|i| offset_dims[i])).collect();
    let dims = dims.filter(|_| offset_dims.is_sorted())?;
    let dtype = v.dtype(integers);
    let narrow = v.def(integers)?.args[0];
    let taken = v.op(op.clone(), &[narrow, args[1]]);
    let taken = v.op(Op::Convert { dtype }, &[taken]);
    Some(times(v, taken, scale, &dims))
}

/// y s, the axes of s being the axes `dims` of y
fn times(v: &mut View, y: Value, scale: Value, dims: &[usize]) -> Value {
    let shape = v.shape(y).clone();
    let scale = v.broadcast(scale, &shape, dims);
    v.binary(Binary::Mul, y, scale)
}
