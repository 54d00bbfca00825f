//! Rules of sums, products, powers and functions of one operand.

use super::view::View;
use gradloom_ir::{Binary, Literal, Op, Unary, Value};

pub(super) fn unary(v: &mut View, f: Unary, x: Value) -> Option<Value> {
    match f {
        Unary::Neg => negate(v, x),
        Unary::Not => super::logic::not(v, x),
        Unary::Abs => {
            // abs(abs(x)) = abs(x)
            if v.unary_of(Unary::Abs, x).is_some() {
                return Some(x);
            }
            // abs(-x) = abs(x), not of unsigned integers, whose abs is the identity
            let y = v.unary_of(Unary::Neg, x).filter(|_| !v.dtype(x).is_unsigned_int())?;
            Some(v.unary(Unary::Abs, y))
        }
        Unary::Floor | Unary::Ceil | Unary::Round => {
            // floor(floor(x)) = floor(x), and so for any two of floor, ceil, round: the operand is an integer
            let rounded = [Unary::Floor, Unary::Ceil, Unary::Round].iter().any(|&r| v.unary_of(r, x).is_some());
            // floor(float(i)) = float(i) for an integer i
            let from_integer =
                v.def(x).is_some_and(|n| matches!(n.op, Op::Convert { .. }) && !v.dtype(n.args[0]).is_float());
            (rounded || from_integer).then_some(x)
        }
        // sign(sign(x)) = sign(x) (complex: within rounding)
        Unary::Sign => v.unary_of(Unary::Sign, x).map(|_| x),
        // real(complex(x, y)) = x, imag(complex(x, y)) = y
        Unary::Real => v.binary_of(Binary::Complex, x).map(|(re, _)| re),
        Unary::Imag => v.binary_of(Binary::Complex, x).map(|(_, im)| im),
        _ => None,
    }
}

fn negate(v: &mut View, x: Value) -> Option<Value> {
    // --x = x
    if let Some(y) = v.unary_of(Unary::Neg, x) {
        return Some(y);
    }
    // -(x - y) = y - x for integers; for floats x = y gives -0 on the left and 0 on the right
    if let (Some((a, b)), true) = (v.binary_of(Binary::Sub, x), v.dtype(x).is_int()) {
        return Some(v.binary(Binary::Sub, b, a));
    }
    // -(x c) = x (-c) for a constant c, and so for x / c
    for f in [Binary::Mul, Binary::Div] {
        if let Some((a, c)) = v.binary_of(f, x)
            && v.dtype(x).is_float()
            && v.splat(c).is_some()
            && v.single_use(x)
        {
            let c = negated(v, c)?;
            return Some(v.binary(f, a, c));
        }
    }
    None
}

/// The constant -c.
fn negated(v: &mut View, c: Value) -> Option<Value> {
    let (ty, x) = (v.ty(c).clone(), v.splat_f64(c)?);
    ty.dtype.is_float().then(|| v.full(&ty, -x))
}

pub(super) fn binary(v: &mut View, f: Binary, x: Value, y: Value) -> Option<Value> {
    // c * x = x * c, and so for every commutative op: constants stand right
    if f.is_commutative() && v.splat(x).is_some() && v.splat(y).is_none() {
        return Some(v.binary(f, y, x));
    }
    match f {
        Binary::Add => add(v, x, y),
        Binary::Sub => sub(v, x, y),
        Binary::Mul => mul(v, x, y),
        Binary::Div => div(v, x, y),
        Binary::Rem => rem(v, x, y),
        Binary::Pow => pow(v, x, y),
        Binary::Max | Binary::Min => extremum(v, f, x, y),
        Binary::And | Binary::Or | Binary::Xor => super::logic::bitwise(v, f, x, y),
        // x << 0 = x, x >> 0 = x
        Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => v.is_splat(y, 0.0).then_some(x),
        // complex(real(z), imag(z)) = z
        Binary::Complex => {
            let z = v.unary_of(Unary::Real, x)?;
            (v.unary_of(Unary::Imag, y) == Some(z)).then_some(z)
        }
        Binary::Atan2 | Binary::NextAfter | Binary::Zeta => None,
    }
}

/// (x + c) + d = x + (c + d) for integer constants, and so for products
fn merge_constants(v: &mut View, f: Binary, x: Value, y: Value) -> Option<Value> {
    let (a, c) = v.binary_of(f, x)?;
    let ok = v.dtype(x).is_int() && v.splat(c).is_some() && v.splat(y).is_some() && v.splat(a).is_none();
    ok.then(|| {
        let c = v.binary(f, c, y);
        v.binary(f, a, c)
    })
}

fn add(v: &mut View, x: Value, y: Value) -> Option<Value> {
    let int = v.dtype(x).is_int();
    // x + 0 = x; for floats only -0 has this property: -0 + 0 = 0 (complex: not with a zero of either sign)
    if let Some(c) = v.splat_f64(y)
        && c == 0.0
        && !v.dtype(x).is_complex()
        && (int || c.is_sign_negative() || never_negative_zero(v, x))
    {
        return Some(x);
    }
    // x + (-y) = x - y
    if let Some(b) = v.unary_of(Unary::Neg, y) {
        return Some(v.binary(Binary::Sub, x, b));
    }
    // (-x) + y = y - x
    if let Some(a) = v.unary_of(Unary::Neg, x) {
        return Some(v.binary(Binary::Sub, y, a));
    }
    merge_constants(v, Binary::Add, x, y)
}

/// Whether no element of `x` can be -0.
fn never_negative_zero(v: &View, x: Value) -> bool {
    let Some(node) = v.def(x) else { return false };
    match node.op {
        Op::Unary(Unary::Exp | Unary::Abs | Unary::Logistic | Unary::Cosh) => true,
        Op::Binary(Binary::Mul) => node.args[0] == node.args[1],
        Op::Convert { .. } => !v.dtype(node.args[0]).is_float(),
        Op::Reduce { kind: gradloom_ir::ReduceKind::Sum, .. } => true, // starts from 0, and 0 + -0 = 0
        Op::Constant { ref value } => value.to_f64().iter().all(|c| *c != 0.0 || c.is_sign_positive()),
        Op::Iota { .. } => true,
        Op::Broadcast { .. } | Op::Reshape { .. } | Op::Transpose { .. } => never_negative_zero(v, node.args[0]),
        _ => false,
    }
}

fn sub(v: &mut View, x: Value, y: Value) -> Option<Value> {
    let int = v.dtype(x).is_int();
    // x - 0 = x; not x - -0
    if let Some(c) = v.splat_f64(y)
        && c == 0.0
        && !v.dtype(x).is_complex()
        && (int || c.is_sign_positive())
    {
        return Some(x);
    }
    // 0 - x = -x for integers; for floats it is -0 - x
    if let Some(c) = v.splat_f64(x)
        && c == 0.0
        && (int || c.is_sign_negative() && !v.dtype(x).is_complex())
    {
        return Some(v.unary(Unary::Neg, y));
    }
    // x - x = 0 for integers
    if int && x == y {
        return Some(v.full_like(x, 0.0));
    }
    // x - (-y) = x + y
    v.unary_of(Unary::Neg, y).map(|b| v.binary(Binary::Add, x, b))
}

fn mul(v: &mut View, x: Value, y: Value) -> Option<Value> {
    let int = v.dtype(x).is_int();
    if let Some(c) = v.splat_f64(y) {
        // x 1 = x
        if c == 1.0 {
            return Some(x);
        }
        // x 0 = 0 for integers
        if c == 0.0 && int {
            return Some(y);
        }
        // x (-1) = -x
        if c == -1.0 {
            return Some(v.unary(Unary::Neg, x));
        }
        // (-x) c = x (-c)
        if let (Some(a), false) = (v.unary_of(Unary::Neg, x), int) {
            let c = negated(v, y)?;
            return Some(v.binary(Binary::Mul, a, c));
        }
    }
    // (-x) (-y) = x y
    if let (Some(a), Some(b)) = (v.unary_of(Unary::Neg, x), v.unary_of(Unary::Neg, y)) {
        return Some(v.binary(Binary::Mul, a, b));
    }
    merge_constants(v, Binary::Mul, x, y)
}

fn div(v: &mut View, x: Value, y: Value) -> Option<Value> {
    // x / 1 = x
    if v.is_splat(y, 1.0) {
        return Some(x);
    }
    if !v.dtype(x).is_float() {
        return None;
    }
    // x / c = x (1 / c) where 1 / c is exact: c a power of two
    if let Some(c) = v.splat_f64(y)
        && exact_reciprocal(v.splat(y)?, c)
    {
        let r = v.full_like(y, 1.0 / c);
        return Some(v.binary(Binary::Mul, x, r));
    }
    // (-x) / (-y) = x / y
    if let (Some(a), Some(b)) = (v.unary_of(Unary::Neg, x), v.unary_of(Unary::Neg, y)) {
        return Some(v.binary(Binary::Div, a, b));
    }
    None
}

fn exact_reciprocal(c: &Literal, x: f64) -> bool {
    let power_of_two = x.is_normal() && x.to_bits() & ((1 << 52) - 1) == 0;
    let r = Literal::scalar(c.ty().dtype, 1.0 / x).get_f64(0);
    let normal = if c.ty().dtype == gradloom_ir::DType::F32 { (r as f32).is_normal() } else { r.is_normal() };
    power_of_two && normal && r * x == 1.0
}

fn rem(v: &mut View, x: Value, y: Value) -> Option<Value> {
    // x % 1 = 0 for integers
    (v.dtype(x).is_int() && v.is_splat(y, 1.0)).then(|| v.full_like(x, 0.0))
}

fn pow(v: &mut View, x: Value, y: Value) -> Option<Value> {
    let c = v.splat_f64(y)?;
    let float = v.dtype(x).is_float();
    // x^0 = 1
    if c == 0.0 {
        return Some(v.full_like(x, 1.0));
    }
    // x^1 = x
    if c == 1.0 {
        return Some(x);
    }
    // x^-1 = 1 / x (reassociates: both are within rounding)
    if c == -1.0 && float {
        let one = v.full_like(x, 1.0);
        return Some(v.binary(Binary::Div, one, x));
    }
    // x^2 = x x, x^3 = (x x) x, x^4 = (x x) (x x) (floats: reassociates)
    if [2.0, 3.0, 4.0].contains(&c) {
        let square = v.binary(Binary::Mul, x, x);
        return Some(match c as u8 {
            2 => square,
            3 => v.binary(Binary::Mul, square, x),
            _ => v.binary(Binary::Mul, square, square),
        });
    }
    None
}

fn extremum(v: &mut View, f: Binary, x: Value, y: Value) -> Option<Value> {
    // max(x, x) = x, min(x, x) = x
    if x == y {
        return Some(x);
    }
    // max(x, least) = x, max(x, greatest) = greatest; NaN wins, so the second holds for integers only
    let [(x, c), (_, d)] = [(x, v.splat(y)), (y, v.splat(x))];
    let (keep, c) = match (c, d) {
        (Some(c), _) => (x, c),
        (None, Some(d)) => (y, d),
        (None, None) => return None,
    };
    let dtype = c.ty().dtype;
    let is = |kind| crate::simplify::reductions::identity(kind, dtype).as_ref() == Some(c);
    let (neutral, absorbing) = match f {
        Binary::Max => (gradloom_ir::ReduceKind::Max, gradloom_ir::ReduceKind::Min),
        _ => (gradloom_ir::ReduceKind::Min, gradloom_ir::ReduceKind::Max),
    };
    if is(neutral) {
        return Some(keep);
    }
    (dtype.is_int() && is(absorbing)).then_some(if keep == x { y } else { x })
}
