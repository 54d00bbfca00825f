//! Rules of comparisons, choices and bits.

use super::view::View;
use gradloom_ir::{Binary, Comparison, DType, Op, Unary, Value};

pub(super) fn not(v: &mut View, x: Value) -> Option<Value> {
    // not(not(x)) = x
    if let Some(y) = v.unary_of(Unary::Not, x) {
        return Some(y);
    }
    // not(x < y) = x >= y, and so for all; of floats only == and !=, because of NaN
    let node = v.def(x)?;
    let Op::Compare(c) = node.op else { return None };
    let (a, b) = (node.args[0], node.args[1]);
    let c = match c {
        Comparison::Eq => Comparison::Ne,
        Comparison::Ne => Comparison::Eq,
        _ if v.dtype(a).is_inexact() => return None,
        Comparison::Lt => Comparison::Ge,
        Comparison::Le => Comparison::Gt,
        Comparison::Gt => Comparison::Le,
        Comparison::Ge => Comparison::Lt,
    };
    Some(v.op(Op::Compare(c), &[a, b]))
}

pub(super) fn compare(v: &mut View, c: Comparison, x: Value, y: Value) -> Option<Value> {
    if x == y {
        let float = v.dtype(x).is_inexact();
        let ty = v.ty(x).with_dtype(DType::Bool);
        return match c {
            // x < x = false, x > x = false
            Comparison::Lt | Comparison::Gt => Some(v.full(&ty, 0.0)),
            // x == x = true, ..; for floats it depends on NaN
            Comparison::Eq | Comparison::Le | Comparison::Ge if !float => Some(v.full(&ty, 1.0)),
            Comparison::Ne if !float => Some(v.full(&ty, 0.0)),
            _ => None,
        };
    }
    if v.dtype(x) != DType::Bool {
        return None;
    }
    let (x, constant) = match (v.splat_f64(x), v.splat_f64(y)) {
        (_, Some(c)) => (x, c),
        (Some(c), None) => (y, c),
        _ => return None,
    };
    match (c, constant == 1.0) {
        // (x == true) = x, (x != false) = x
        (Comparison::Eq, true) | (Comparison::Ne, false) => Some(x),
        // (x == false) = not(x), (x != true) = not(x)
        (Comparison::Eq, false) | (Comparison::Ne, true) => Some(v.unary(Unary::Not, x)),
        _ => None,
    }
}

pub(super) fn select(v: &mut View, p: Value, x: Value, y: Value) -> Option<Value> {
    // p ? x : x = x
    if x == y {
        return Some(x);
    }
    // true ? x : y = x, false ? x : y = y
    if let Some(c) = v.splat_f64(p) {
        return Some(if c == 1.0 { x } else { y });
    }
    // not(p) ? x : y = p ? y : x
    if let Some(q) = v.unary_of(Unary::Not, p) {
        return Some(v.op(Op::Select {}, &[q, y, x]));
    }
    if v.dtype(x) == DType::Bool {
        // p ? true : false = p, p ? false : true = not(p)
        match (v.splat_f64(x), v.splat_f64(y)) {
            (Some(1.0), Some(0.0)) => return Some(p),
            (Some(0.0), Some(1.0)) => return Some(v.unary(Unary::Not, p)),
            _ => {}
        }
    }
    let branches = |v: &View, z: Value| {
        v.def(z).filter(|n| n.op == Op::Select {} && n.args[0] == p).map(|n| (n.args[1], n.args[2]))
    };
    // p ? (p ? x : y) : z = p ? x : z
    if let Some((a, _)) = branches(v, x) {
        return Some(v.op(Op::Select {}, &[p, a, y]));
    }
    // p ? x : (p ? y : z) = p ? x : z
    if let Some((_, b)) = branches(v, y) {
        return Some(v.op(Op::Select {}, &[p, x, b]));
    }
    None
}

pub(super) fn bitwise(v: &mut View, f: Binary, x: Value, y: Value) -> Option<Value> {
    if x == y {
        // x and x = x, x or x = x, x xor x = 0
        return Some(if f == Binary::Xor { v.full_like(x, 0.0) } else { x });
    }
    let (zero, ones) = (v.is_splat(y, 0.0), v.is_all_ones(y));
    match f {
        // x and 1..1 = x, x and 0 = 0
        Binary::And if ones => Some(x),
        Binary::And if zero => Some(y),
        // x or 0 = x, x or 1..1 = 1..1
        Binary::Or if zero => Some(x),
        Binary::Or if ones => Some(y),
        // x xor 0 = x, x xor 1..1 = not(x)
        Binary::Xor if zero => Some(x),
        Binary::Xor if ones => Some(v.unary(Unary::Not, x)),
        _ => None,
    }
}
