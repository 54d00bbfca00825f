//! Ops that move elements without computing.

use super::super::syntax::Attr;
use super::{Call, Constant, Lower};
use gradloom_ir::{Op, Result, Shape, Values};
use smallvec::smallvec;

pub(super) const RULES: &[(&str, Lower)] = &[
    ("broadcast_in_dim", broadcast_in_dim),
    ("broadcast", broadcast),
    ("reshape", reshape),
    ("transpose", transpose),
    ("slice", slice),
    ("pad", pad),
    ("concatenate", concatenate),
    ("reverse", reverse),
    ("iota", iota),
    // with a static result type the shape operand adds nothing
    ("dynamic_broadcast_in_dim", broadcast_in_dim),
    ("dynamic_reshape", reshape),
    ("dynamic_iota", iota),
];

fn broadcast_in_dim(c: &mut Call<'_, '_>) -> Result<Values> {
    static_operand(c);
    let dims = c.shape(&["dims", "broadcast_dimensions"])?;
    let shape = c.result(0)?.shape;
    let [x] = c.args()?;
    if let Some(literal) = c.literal(x) {
        return Ok(smallvec![c.body().constant(Constant { literal, shape: Some(shape) })]);
    }
    c.emit(Op::Broadcast { shape, dims }, 1)
}

/// New axes in front.
fn broadcast(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x] = c.args()?;
    let shape = c.result(0)?.shape;
    let rank = c.ty(x).rank();
    let front = shape.len().checked_sub(rank).ok_or_else(|| c.error("the result has fewer axes than the operand"))?;
    c.emit(Op::Broadcast { dims: (front..shape.len()).collect(), shape }, 1)
}

/// Drops the shape operand of a dynamic op.
fn static_operand(c: &mut Call<'_, '_>) {
    if c.op.name.contains("dynamic") {
        c.args.truncate(1);
    }
}

fn reshape(c: &mut Call<'_, '_>) -> Result<Values> {
    static_operand(c);
    let shape = c.result(0)?.shape;
    c.emit(Op::Reshape { shape }, 1)
}

fn transpose(c: &mut Call<'_, '_>) -> Result<Values> {
    let perm = c.shape(&["dims", "permutation"])?;
    c.emit(Op::Transpose { perm }, 1)
}

/// `[0:4, 1:8:2]`, or three lists.
fn slice(c: &mut Call<'_, '_>) -> Result<Values> {
    let (mut start, mut limit, mut stride) = (Shape::new(), Shape::new(), Shape::new());
    if let Some(Attr::List(ranges)) = c.attr(&[""]) {
        for r in ranges {
            let parts: Option<Vec<usize>> = match r {
                Attr::Range(parts) => parts.iter().map(|p| p.parse().ok()).collect(),
                _ => None,
            };
            let parts = parts.filter(|p| p.len() == 2 || p.len() == 3);
            let parts = parts.ok_or_else(|| c.error("a range is written start:limit or start:limit:stride"))?;
            start.push(parts[0]);
            limit.push(parts[1]);
            stride.push(parts.get(2).copied().unwrap_or(1));
        }
    } else {
        start = c.shape(&["start_indices"])?;
        limit = c.shape(&["limit_indices"])?;
        stride = c.shape(&["strides"])?;
    }
    c.emit(Op::Slice { start, limit, stride }, 1)
}

fn pad(c: &mut Call<'_, '_>) -> Result<Values> {
    let low = c.ints(&["low", "edge_padding_low"])?;
    let high = c.ints(&["high", "edge_padding_high"])?;
    let interior = c.shape(&["interior", "interior_padding"])?;
    c.emit(Op::Pad { low, high, interior }, 2)
}

fn concatenate(c: &mut Call<'_, '_>) -> Result<Values> {
    let axis = c.axis(&["dim", "dimension"])?;
    let n = c.args.len().max(1);
    c.emit(Op::Concatenate { axis }, n)
}

fn reverse(c: &mut Call<'_, '_>) -> Result<Values> {
    let axes = c.shape(&["dims", "dimensions"])?;
    c.emit(Op::Reverse { axes }, 1)
}

fn iota(c: &mut Call<'_, '_>) -> Result<Values> {
    let ty = c.result(0)?;
    let axis = c.axis(&["dim", "iota_dimension"])?;
    let v = c.node(Op::Iota { dtype: ty.dtype, shape: ty.shape, axis }, &[])?[0];
    Ok(smallvec![v])
}
