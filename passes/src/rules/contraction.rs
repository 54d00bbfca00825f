//! Rules of dot_general and convolution: bilinear, so jvp is the op on each tangent in turn, and each transpose is
//! again a contraction.

use super::elementwise::add;
use super::shaping::{inverse, move_axis, prepend_shape, shifted};
use super::{BatchArgs, Maybe, Operand, misrouted, not_linear};
use gradloom_ir::{Builder, ConvGeometry, Op, Result, Shape, Type, Value, Values, conv_geometry, infer};
use smallvec::smallvec;

/// x0_dot * x1 + x0 * x1_dot
pub(super) fn jvp(b: &mut Builder, op: &Op, x: &[Value], _y: &[Value], t: &[Option<Value>]) -> Result<Maybe> {
    let left = t[0].map(|t| b.op(op.clone(), &[t, x[1]]));
    let right = t[1].map(|t| b.op(op.clone(), &[x[0], t]));
    Ok(smallvec![add(b, left, right)])
}

pub(super) fn transpose(
    b: &mut Builder,
    op: &Op,
    args: &[Operand],
    _outs: &[Type],
    ct: &[Option<Value>],
) -> Result<Maybe> {
    let Some(ct) = ct[0] else { return Ok(smallvec![None; 2]) };
    match (&args[0], &args[1]) {
        (Operand::Linear(lhs), Operand::Known(rhs)) => Ok(smallvec![Some(transpose_lhs(b, op, lhs, *rhs, ct)?), None]),
        (Operand::Known(lhs), Operand::Linear(rhs)) => Ok(smallvec![None, Some(transpose_rhs(b, op, *lhs, rhs, ct)?)]),
        _ => not_linear(op),
    }
}

fn transpose_lhs(b: &mut Builder, op: &Op, lhs: &Type, rhs: Value, ct: Value) -> Result<Value> {
    match op {
        Op::DotGeneral { .. } => dot_transpose_lhs(b, op, lhs, rhs, ct),
        _ => conv_transpose_lhs(b, op, lhs, rhs, ct),
    }
}

fn transpose_rhs(b: &mut Builder, op: &Op, lhs: Value, rhs: &Type, ct: Value) -> Result<Value> {
    match op {
        Op::DotGeneral { .. } => dot_transpose_rhs(b, op, lhs, rhs, ct),
        _ => conv_transpose_rhs(b, op, lhs, rhs, ct),
    }
}

pub(super) fn batch(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    match op {
        Op::DotGeneral { .. } => batch_dot(b, op, a),
        _ => batch_conv(b, op, a),
    }
}

/// The axes of an operand of this rank that are neither batch nor contracted.
fn free_axes(rank: usize, batch: &[usize], contract: &[usize]) -> Shape {
    (0..rank).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
}

/// For each contracted axis of one side in ascending order, its partner on the other side.
fn partners(own: &[usize], other: &[usize]) -> Shape {
    let mut pairs: Vec<(usize, usize)> = own.iter().copied().zip(other.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, p)| p).collect()
}

/// lhs_bar = ct . rhs over rhs's free axes; its axes come as: batch, lhs free, contracted in rhs's order.
fn dot_transpose_lhs(b: &mut Builder, op: &Op, lhs: &Type, rhs: Value, ct: Value) -> Result<Value> {
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = op else { return misrouted(op) };
    let lhs_free = free_axes(lhs.rank(), lhs_batch, lhs_contract);
    let rhs_free = free_axes(b.ty(rhs).rank(), rhs_batch, rhs_contract);
    let nb = lhs_batch.len();
    let first = nb + lhs_free.len();
    let dot = Op::DotGeneral {
        lhs_batch: (0..nb).collect(),
        rhs_batch: rhs_batch.clone(),
        lhs_contract: (first..first + rhs_free.len()).collect(),
        rhs_contract: rhs_free,
    };
    let bar = b.op(dot, &[ct, rhs]);
    let contracted = partners(rhs_contract, lhs_contract);
    let order: Shape = lhs_batch.iter().chain(&lhs_free).chain(&contracted).copied().collect();
    Ok(b.transpose(bar, &inverse(&order)))
}

/// rhs_bar = lhs . ct over lhs's free axes; its axes come as: batch, contracted in lhs's order, rhs free.
fn dot_transpose_rhs(b: &mut Builder, op: &Op, lhs: Value, rhs: &Type, ct: Value) -> Result<Value> {
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = op else { return misrouted(op) };
    let lhs_free = free_axes(b.ty(lhs).rank(), lhs_batch, lhs_contract);
    let rhs_free = free_axes(rhs.rank(), rhs_batch, rhs_contract);
    let nb = lhs_batch.len();
    let dot = Op::DotGeneral {
        lhs_batch: lhs_batch.clone(),
        rhs_batch: (0..nb).collect(),
        rhs_contract: (nb..nb + lhs_free.len()).collect(),
        lhs_contract: lhs_free,
    };
    let bar = b.op(dot, &[lhs, ct]);
    let contracted = partners(lhs_contract, rhs_contract);
    let order: Shape = rhs_batch.iter().chain(&contracted).chain(&rhs_free).copied().collect();
    Ok(b.transpose(bar, &inverse(&order)))
}

/// Both batched: one more batch axis. One batched: one more free axis, then moved to the front.
fn batch_dot(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = op else { return misrouted(op) };
    let (l, r) = (a.batched[0], a.batched[1]);
    let on = |batched: bool, axes: &Shape| if batched { shifted(axes) } else { axes.clone() };
    let pair = |axes: Shape| if l && r { prepend_shape(0, &axes) } else { axes };
    let dot = Op::DotGeneral {
        lhs_batch: pair(on(l, lhs_batch)),
        rhs_batch: pair(on(r, rhs_batch)),
        lhs_contract: on(l, lhs_contract),
        rhs_contract: on(r, rhs_contract),
    };
    let lhs_free = b.ty(a.args[0]).rank() - lhs_batch.len() - lhs_contract.len();
    let y = b.emit(dot, &[a.args[0], a.args[1]])?[0];
    Ok(smallvec![match (l, r) {
        (true, true) => y,
        (true, false) => move_axis(b, y, lhs_batch.len(), 0),
        _ => move_axis(b, y, lhs_batch.len() + lhs_free, 0),
    }])
}

/// Length with `d - 1` gaps between neighbours.
fn dilated(n: usize, d: usize) -> i64 {
    if n == 0 { 0 } else { (n as i64 - 1) * d as i64 + 1 }
}

/// The first two axes change places.
fn swapped(dims: &[usize]) -> Shape {
    let mut s: Shape = dims.into();
    s.swap(0, 1);
    s
}

/// Axis `axis` of length n as two axes (`outer`, n / outer).
fn split_axis(b: &mut Builder, x: Value, axis: usize, outer: usize) -> Value {
    let mut shape = b.ty(x).shape.clone();
    shape[axis] /= outer;
    shape.insert(axis, outer);
    b.reshape(x, &shape)
}

/// Axes `axis` and `axis + 1` as one.
fn join_axes(b: &mut Builder, x: Value, axis: usize) -> Value {
    let mut shape = b.ty(x).shape.clone();
    let outer = shape.remove(axis);
    shape[axis] *= outer;
    b.reshape(x, &shape)
}

/// The `groups` in front of axis `from` moved to the front of axis `to`.
fn move_groups(b: &mut Builder, x: Value, from: usize, to: usize, groups: usize) -> Value {
    if groups == 1 {
        return x;
    }
    let x = split_axis(b, x, from, groups);
    // without the group axis, which stands at `from`, the axes have their old places again
    let x = move_axis(b, x, from, to);
    join_axes(b, x, to)
}

/// With D(n, d) the dilated length, the equation `out[p] = sum_k lhs_dilated[p s + k r - low] rhs[k]` gives
/// `lhs_bar[j] = sum_k ct_dilated[j l + k r - ((D(K, r) - 1) - low)] rhs[K - 1 - k]`: the cotangent dilated by the stride and
/// convolved with the reversed kernel, input and output features swapped, with the dilation of lhs as the stride.
/// Groups of output features become groups of input features of the kernel; batch groups are feature groups of the
/// cotangent, and come back from the features to the batch at the end.
fn conv_transpose_lhs(b: &mut Builder, op: &Op, lhs: &Type, rhs: Value, ct: Value) -> Result<Value> {
    let Op::Convolution {
        lhs_dims,
        rhs_dims,
        out_dims,
        strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        feature_groups,
        batch_groups,
    } = op
    else {
        return misrouted(op);
    };
    let g: ConvGeometry = conv_geometry(op, lhs, b.ty(rhs))?;
    if lhs.numel() == 0 || b.ty(rhs).numel() == 0 || b.ty(ct).numel() == 0 {
        return Ok(b.full(lhs, 0.0));
    }
    let groups = feature_groups * batch_groups;
    let kernel = move_groups(b, rhs, rhs_dims[0], rhs_dims[1], groups);
    let kernel = b.op(Op::Reverse { axes: rhs_dims[2..].into() }, &[kernel]);
    let padding = (0..strides.len())
        .map(|i| {
            let window = dilated(g.rhs_spatial[i], rhs_dilation[i]);
            let low = window - 1 - padding[i].0;
            let needed = dilated(g.lhs_spatial[i], lhs_dilation[i]) - 1 + window;
            (low, needed - dilated(g.out_spatial[i], strides[i]) - low)
        })
        .collect();
    let conv = Op::Convolution {
        lhs_dims: out_dims.clone(),
        rhs_dims: swapped(rhs_dims),
        out_dims: lhs_dims.clone(),
        strides: lhs_dilation.clone(),
        padding,
        lhs_dilation: strides.clone(),
        rhs_dilation: rhs_dilation.clone(),
        feature_groups: groups,
        batch_groups: 1,
    };
    let bar = b.op(conv, &[ct, kernel]);
    Ok(move_groups(b, bar, lhs_dims[1], lhs_dims[0], *batch_groups))
}

/// `rhs_bar[k] = sum_p lhs_dilated[k r + p s - low] ct[p]`: lhs convolved with the cotangent as kernel, batch taking the
/// part of the input features and feature that of the batch, stride and kernel dilation swapped. The groups swap too.
fn conv_transpose_rhs(b: &mut Builder, op: &Op, lhs: Value, rhs: &Type, ct: Value) -> Result<Value> {
    let Op::Convolution {
        lhs_dims,
        rhs_dims,
        out_dims,
        strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        feature_groups,
        batch_groups,
    } = op
    else {
        return misrouted(op);
    };
    let g = conv_geometry(op, b.ty(lhs), rhs)?;
    if rhs.numel() == 0 || b.ty(lhs).numel() == 0 || b.ty(ct).numel() == 0 {
        return Ok(b.full(rhs, 0.0));
    }
    let padding = (0..strides.len())
        .map(|i| {
            let low = padding[i].0;
            let needed = dilated(g.rhs_spatial[i], rhs_dilation[i]) - 1 + dilated(g.out_spatial[i], strides[i]);
            (low, needed - dilated(g.lhs_spatial[i], lhs_dilation[i]) - low)
        })
        .collect();
    let conv = Op::Convolution {
        lhs_dims: swapped(lhs_dims),
        rhs_dims: swapped(out_dims),
        out_dims: swapped(rhs_dims),
        strides: rhs_dilation.clone(),
        padding,
        lhs_dilation: lhs_dilation.clone(),
        rhs_dilation: strides.clone(),
        feature_groups: *batch_groups,
        batch_groups: *feature_groups,
    };
    Ok(b.op(conv, &[lhs, ct]))
}

/// The batch axis, in front of `x`, folded into axis `axis` (counted without it), behind the `groups` of that axis.
fn fold(b: &mut Builder, x: Value, axis: usize, groups: usize) -> Value {
    if groups == 1 {
        let x = move_axis(b, x, 0, axis);
        return join_axes(b, x, axis);
    }
    let x = split_axis(b, x, axis + 1, groups);
    let x = move_axis(b, x, 0, axis + 1);
    let x = join_axes(b, x, axis + 1);
    join_axes(b, x, axis)
}

/// The inverse of [`fold`] on a result: a batch axis of length `size` out of axis `axis`, to the front.
fn unfold(b: &mut Builder, x: Value, axis: usize, groups: usize, size: usize) -> Value {
    if groups == 1 {
        let x = split_axis(b, x, axis, size);
        return move_axis(b, x, axis, 0);
    }
    let x = split_axis(b, x, axis, groups);
    let x = split_axis(b, x, axis + 1, size);
    let x = move_axis(b, x, axis + 1, 0);
    join_axes(b, x, axis + 1)
}

/// lhs alone: more batch. rhs alone: more output features. Both: more groups.
fn batch_conv(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let Op::Convolution { lhs_dims, rhs_dims, out_dims, feature_groups, batch_groups, .. } = op else {
        return misrouted(op);
    };
    let row = |i: usize| {
        let ty = b.ty(a.args[i]);
        if a.batched[i] { ty.with_shape(&ty.shape[1..]) } else { ty.clone() }
    };
    let out = infer(op, &[row(0), row(1)])?.remove(0);
    let out = out.with_shape(&prepend_shape(a.size, &out.shape));
    if out.numel() == 0 {
        return Ok(smallvec![b.full(&out, 0.0)]);
    }
    let (lhs, rhs) = (a.args[0], a.args[1]);
    let mut grown = op.clone();
    let y = match (a.batched[0], a.batched[1]) {
        (true, false) => {
            let lhs = fold(b, lhs, lhs_dims[0], *batch_groups);
            let y = b.op(grown, &[lhs, rhs]);
            unfold(b, y, out_dims[0], 1, a.size)
        }
        (false, true) => {
            let groups = feature_groups * batch_groups;
            let rhs = fold(b, rhs, rhs_dims[0], groups);
            let y = b.op(grown, &[lhs, rhs]);
            unfold(b, y, out_dims[1], groups, a.size)
        }
        _ => {
            let by_batch = *batch_groups > 1;
            if let Op::Convolution { feature_groups, batch_groups, .. } = &mut grown {
                *(if by_batch { batch_groups } else { feature_groups }) *= a.size;
            }
            let lhs = fold(b, lhs, lhs_dims[usize::from(!by_batch)], 1);
            let rhs = fold(b, rhs, rhs_dims[0], 1);
            let y = b.op(grown, &[lhs, rhs]);
            unfold(b, y, out_dims[1], 1, a.size)
        }
    };
    Ok(smallvec![y])
}
