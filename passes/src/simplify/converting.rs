//! Rules of conversions between dtypes.

use super::view::View;
use gradloom_ir::{DType, Op, Value};

pub(super) fn convert(v: &mut View, x: Value, to: DType) -> Option<Value> {
    let via = v.dtype(x);
    // convert(x) = x where the dtype is the same
    if via == to {
        return Some(x);
    }
    // to(via(x)) = to(x) where via loses nothing
    let node = v.def(x).filter(|n| matches!(n.op, Op::Convert { .. }))?;
    let y = node.args[0];
    let from = v.dtype(y);
    // integer to float to integer saturates where integer to integer wraps
    let saturates = !from.is_float() && via.is_float() && to.is_int() && !lossless(from, to);
    (lossless(from, via) && !saturates).then(|| v.op(Op::Convert { dtype: to }, &[y]))
}

/// Whether every number of dtype `a` is one of dtype `b`.
fn lossless(a: DType, b: DType) -> bool {
    let bits = |d: DType| match d.real() {
        DType::Bool => 1,
        DType::BF16 => 8,
        DType::F16 => 11,
        DType::F32 => 24,
        DType::F64 => 53,
        d if d.is_signed_int() => d.size() * 8 - 1,
        d => d.size() * 8,
    };
    a == b
        || (bits(a) <= bits(b) && !a.is_inexact() && b != DType::Bool && (!a.is_signed_int() || !b.is_unsigned_int()))
        || (a.is_inexact()
            && b.is_inexact()
            && !b.is_half()
            && bits(a) <= bits(b)
            && (b.is_complex() || !a.is_complex()))
}

pub(super) fn bitcast(v: &mut View, x: Value, to: DType) -> Option<Value> {
    // bitcast(x) = x where the dtype is the same
    if v.dtype(x) == to {
        return Some(x);
    }
    // bitcast(bitcast(x)) = bitcast(x)
    let y = v.def(x).filter(|n| matches!(n.op, Op::Bitcast { .. })).map(|n| n.args[0])?;
    Some(v.op(Op::Bitcast { dtype: to }, &[y]))
}
