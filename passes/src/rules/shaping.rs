//! Rules of ops that move elements: all linear, so jvp is the op itself and transpose moves the elements back.

use super::elementwise::or_zeros;
use super::{BatchArgs, Maybe, Operand, misrouted, repeat};
use gradloom_ir::{Builder, DType, Op, Result, Shape, Type, Value, Values};
use smallvec::{SmallVec, smallvec};

/// The axes of the operand one place to the right.
pub(super) fn shifted(axes: &[usize]) -> Shape {
    axes.iter().map(|a| a + 1).collect()
}

/// `first`, then `rest`.
pub(super) fn prepend<T: Clone>(first: T, rest: &[T]) -> Vec<T> {
    std::iter::once(first).chain(rest.iter().cloned()).collect()
}

/// `first`, then `rest`, as a shape.
pub(super) fn prepend_shape(first: usize, rest: &[usize]) -> Shape {
    prepend(first, rest).into_iter().collect()
}

/// The permutation that undoes `perm`.
pub(super) fn inverse(perm: &[usize]) -> Shape {
    let mut inv = Shape::from_elem(0, perm.len());
    perm.iter().enumerate().for_each(|(i, &p)| inv[p] = i);
    inv
}

/// Axis `from` moved to place `to`, the others keeping their order.
pub(super) fn move_axis(b: &mut Builder, x: Value, from: usize, to: usize) -> Value {
    let mut perm: Shape = (0..b.ty(x).rank()).filter(|&a| a != from).collect();
    perm.insert(to, from);
    b.transpose(x, &perm)
}

pub(super) fn jvp(b: &mut Builder, op: &Op, x: &[Value], y: &[Value], t: &[Option<Value>]) -> Result<Maybe> {
    if matches!(op, Op::Barrier {}) {
        // the tangents go through a barrier of their own
        let present: SmallVec<[Value; 4]> = t.iter().flatten().copied().collect();
        let mut through = b.emit(Op::Barrier {}, &present)?.into_iter();
        return Ok(t.iter().map(|t| t.and_then(|_| through.next())).collect());
    }
    debug_assert_eq!(y.len(), 1);
    // op(x_dot..), zeros standing for missing tangents beside present ones
    let tangents: SmallVec<[Value; 4]> = t.iter().zip(x).map(|(&t, &x)| or_zeros(b, t, x)).collect();
    Ok(smallvec![Some(b.op(op.clone(), &tangents))])
}

pub(super) fn transpose(
    b: &mut Builder,
    op: &Op,
    args: &[Operand],
    outs: &[Type],
    cts: &[Option<Value>],
) -> Result<Maybe> {
    if matches!(op, Op::Barrier {}) {
        let wanted = |i: usize| args[i].is_linear().then_some(cts[i]).flatten();
        let present: SmallVec<[Value; 4]> = (0..args.len()).filter_map(wanted).collect();
        let mut through = b.emit(Op::Barrier {}, &present)?.into_iter();
        return Ok((0..args.len()).map(|i| wanted(i).and_then(|_| through.next())).collect());
    }
    let Some(ct) = cts[0] else { return Ok(smallvec![None; args.len()]) };
    let ty = args[0].ty(b);
    let one = match op {
        Op::Broadcast { dims, .. } => transpose_broadcast(b, &ty, &outs[0], dims, ct),
        Op::Reshape { .. } => b.reshape(ct, &ty.shape),
        Op::Transpose { perm } => b.transpose(ct, &inverse(perm)),
        Op::Slice { start, stride, .. } => transpose_slice(b, &ty, &outs[0], start, stride, ct),
        Op::Reverse { .. } => b.op(op.clone(), &[ct]),
        Op::Pad { low, high, interior } => {
            let x = args[0].is_linear().then(|| unpad(b, &ty, low, high, interior, ct));
            // the sum of ct over the positions that are padding
            let value = args[1].is_linear().then(|| {
                let (mask, zero) = (padding_mask(b, &ty, op), b.full_like(ct, 0.0));
                let padding = b.select(mask, zero, ct);
                let axes: Shape = (0..ty.rank()).collect();
                b.sum(padding, &axes)
            });
            return Ok(smallvec![x, value]);
        }
        Op::Concatenate { axis } => {
            let mut start = 0;
            return Ok(args
                .iter()
                .map(|a| {
                    let n = a.ty(b).shape[*axis];
                    start += n;
                    a.is_linear().then(|| b.slice_axis(ct, *axis, start - n, start))
                })
                .collect());
        }
        _ => return misrouted(op),
    };
    Ok(smallvec![Some(one)])
}

/// Sum over the axes that are new or stretched, then the operand's order of axes.
fn transpose_broadcast(b: &mut Builder, ty: &Type, out: &Type, dims: &[usize], ct: Value) -> Value {
    let kept: Shape = (0..ty.rank()).filter(|&i| ty.shape[i] == out.shape[dims[i]]).map(|i| dims[i]).collect();
    let summed: Shape = (0..out.rank()).filter(|d| !kept.contains(d)).collect();
    let s = b.sum(ct, &summed);
    let place = |d: usize| kept.iter().filter(|&&k| k < d).count();
    let perm: Shape = kept.iter().map(|&d| place(d)).collect();
    let t = b.transpose(s, &perm);
    b.reshape(t, &ty.shape)
}

/// Pads with zeros where elements were left out.
fn transpose_slice(b: &mut Builder, ty: &Type, out: &Type, start: &[usize], stride: &[usize], ct: Value) -> Value {
    let span = |i: usize| if out.shape[i] == 0 { 0 } else { (out.shape[i] - 1) * stride[i] + 1 };
    let low = start.iter().map(|&s| s as i64).collect();
    let high = (0..ty.rank()).map(|i| (ty.shape[i] - start[i] - span(i)) as i64).collect();
    let interior = stride.iter().map(|s| s - 1).collect();
    let zero = b.scalar(ty.dtype, 0.0);
    b.op(Op::Pad { low, high, interior }, &[ct, zero])
}

/// The elements of a padded array at the places that the operand (of type `ty`) went to; 0 for cropped ones.
fn unpad(b: &mut Builder, ty: &Type, low: &[i64], high: &[i64], interior: &[usize], padded: Value) -> Value {
    let r = ty.rank();
    let stride: Shape = interior.iter().map(|i| i + 1).collect();
    let span = |i: usize| if ty.shape[i] == 0 { 0 } else { (ty.shape[i] - 1) * stride[i] + 1 };
    let limit: Shape = (0..r).map(span).collect();
    let zero = b.scalar(b.ty(padded).dtype, 0.0);
    let undo = Op::Pad {
        low: low.iter().map(|l| -l).collect(),
        high: high.iter().map(|h| -h).collect(),
        interior: Shape::from_elem(0, r),
    };
    let dilated = if low.iter().chain(high).all(|&n| n == 0) { padded } else { b.op(undo, &[padded, zero]) };
    if interior.iter().all(|&n| n == 0) {
        dilated
    } else {
        b.op(Op::Slice { start: Shape::from_elem(0, r), limit, stride }, &[dilated])
    }
}

/// Where the result of the `pad` op on an operand of type `ty` holds an element of it.
fn padding_mask(b: &mut Builder, ty: &Type, pad: &Op) -> Value {
    let inside = b.full(&ty.with_dtype(DType::Bool), 1.0);
    let outside = b.scalar(DType::Bool, 0.0);
    b.op(pad.clone(), &[inside, outside])
}

pub(super) fn batch(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let moved = match op {
        Op::Broadcast { shape, dims } => {
            Op::Broadcast { shape: prepend_shape(a.size, shape), dims: prepend_shape(0, &shifted(dims)) }
        }
        Op::Reshape { shape } => Op::Reshape { shape: prepend_shape(a.size, shape) },
        Op::Transpose { perm } => Op::Transpose { perm: prepend_shape(0, &shifted(perm)) },
        Op::Slice { start, limit, stride } => Op::Slice {
            start: prepend_shape(0, start),
            limit: prepend_shape(a.size, limit),
            stride: prepend_shape(1, stride),
        },
        Op::Pad { low, high, interior } => {
            let x = a.materialise(b, 0);
            let batched =
                Op::Pad { low: prepend(0, low), high: prepend(0, high), interior: prepend_shape(0, interior) };
            if !a.batched[1] {
                return b.emit(batched, &[x, a.args[1]]);
            }
            // mask ? pad(x, 0) : value
            let zero = b.scalar(b.ty(x).dtype, 0.0);
            let padded = b.op(batched, &[x, zero]);
            let shape = b.ty(padded).shape.clone();
            let row = b.ty(x).with_shape(&b.ty(x).shape[1..]);
            let mask = padding_mask(b, &row, op);
            let mask = repeat(b, mask, a.size);
            let value = b.broadcast(a.args[1], &shape, &[0]);
            return Ok(smallvec![b.select(mask, padded, value)]);
        }
        Op::Concatenate { axis } => Op::Concatenate { axis: axis + 1 },
        Op::Reverse { axes } => Op::Reverse { axes: shifted(axes) },
        Op::Barrier {} => Op::Barrier {},
        _ => return misrouted(op),
    };
    let args = a.materialise_all(b);
    b.emit(moved, &args)
}
