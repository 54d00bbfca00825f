//! Sources, and ops that move elements without computing.

use super::writer::{Writer, array};
use gradloom_ir::{Error, Literal, Op, Result, Type, Value, Values};
use smallvec::smallvec;

impl Writer {
    /// An array without elements.
    pub(super) fn empty(&mut self, ty: &Type) -> Value {
        let none = Literal::from_bytes(ty.clone(), Vec::new()).expect("an array without elements has no bytes");
        self.constant(&none)
    }

    pub(super) fn broadcast(&mut self, x: Value, shape: &[usize], dims: &[usize]) -> Value {
        let ty = self.ty(x).with_shape(shape);
        let y = self.one("broadcast_in_dim", &[x], &format!("broadcast_dimensions = {}", array(dims)), &ty);
        if let Some(scalar) = self.known(x).cloned() {
            self.know(y, scalar);
        }
        y
    }

    pub(super) fn iota(&mut self, ty: &Type, axis: usize) -> Value {
        self.one("iota", &[], &format!("iota_dimension = {axis} : i64"), ty)
    }
}

pub(super) fn lower(w: &mut Writer, op: &Op, args: &[Value], ty: &Type) -> Result<Values> {
    let (name, attrs) = match op {
        Op::Constant { value } => return Ok(smallvec![w.constant(value)]),
        Op::Iota { axis, .. } => return Ok(smallvec![w.iota(ty, *axis)]),
        Op::Broadcast { shape, dims } => return Ok(smallvec![w.broadcast(args[0], shape, dims)]),
        Op::Reshape { .. } => ("reshape", String::new()),
        Op::Transpose { perm } => ("transpose", format!("permutation = {}", array(perm))),
        Op::Slice { start, limit, stride } => (
            "slice",
            format!("start_indices = {}, limit_indices = {}, strides = {}", array(start), array(limit), array(stride)),
        ),
        Op::Pad { low, high, interior } => (
            "pad",
            format!(
                "edge_padding_low = {}, edge_padding_high = {}, interior_padding = {}",
                array(low),
                array(high),
                array(interior)
            ),
        ),
        Op::Concatenate { axis } => ("concatenate", format!("dimension = {axis} : i64")),
        Op::Reverse { axes } => ("reverse", format!("dimensions = {}", array(axes))),
        _ => return Err(Error::internal(op.name(), "does not move elements")),
    };
    Ok(smallvec![w.one(name, args, &attrs, ty)])
}
