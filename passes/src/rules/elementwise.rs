//! Rules of elementwise ops: jvp `y_dot = f'(x) x_dot`, and transposes of the linear ones.

use super::{BatchArgs, Maybe, Operand, misrouted, not_linear};
use gradloom_ir::{Binary, Builder, Comparison, Op, Result, Type, Unary, Value, Values};
use smallvec::smallvec;
use std::f64::consts::{FRAC_2_SQRT_PI, PI};

/// a + b of symbolic zeros.
pub(super) fn add(b: &mut Builder, x: Option<Value>, y: Option<Value>) -> Option<Value> {
    match (x, y) {
        (Some(x), Some(y)) => Some(b.add(x, y)),
        (x, y) => x.or(y),
    }
}

/// The tangent, or zeros like `like`.
pub(super) fn or_zeros(b: &mut Builder, t: Option<Value>, like: Value) -> Value {
    t.unwrap_or_else(|| b.full_like(like, 0.0))
}

/// c - x
fn from_const(b: &mut Builder, c: f64, x: Value) -> Value {
    let c = b.full_like(x, c);
    b.sub(c, x)
}

/// (1 - x)(1 + x), without the cancellation of 1 - x^2 near 1
fn one_minus_square(b: &mut Builder, x: Value) -> Value {
    let (m, p) = (from_const(b, 1.0, x), b.offset(x, 1.0));
    b.mul(m, p)
}

/// c + x^2
fn plus_square(b: &mut Builder, c: f64, x: Value) -> Value {
    let s = b.mul(x, x);
    b.offset(s, c)
}

/// c / x
fn const_over(b: &mut Builder, c: f64, x: Value) -> Value {
    let c = b.full_like(x, c);
    b.div(c, x)
}

/// c e^(-x^2)
fn bell(b: &mut Builder, x: Value, c: f64) -> Value {
    let s = b.mul(x, x);
    let n = b.neg(s);
    let e = b.unary(Unary::Exp, n);
    b.scale(e, c)
}

/// `y_dot` of `y = f(x)`.
pub(super) fn jvp_unary(b: &mut Builder, f: Unary, x: Value, y: Value, t: Option<Value>) -> Option<Value> {
    let t = t?;
    let is_complex = b.ty(x).dtype.is_complex();
    let slope = match f {
        // -x_dot
        Unary::Neg => return Some(b.neg(t)),
        // x_dot / x
        Unary::Log => return Some(b.div(t, x)),
        // x_dot / (1 + x)
        Unary::Log1p => {
            let d = b.offset(x, 1.0);
            return Some(b.div(t, d));
        }
        // x_dot / (1 + x^2)
        Unary::Atan => {
            let d = plus_square(b, 1.0, x);
            return Some(b.div(t, d));
        }
        // x_dot / ((1 - x)(1 + x))
        Unary::Atanh => {
            let d = one_minus_square(b, x);
            return Some(b.div(t, d));
        }
        // Re(conj(sign x) x_dot)
        Unary::Abs if is_complex => return Some(along(b, x, t).0),
        // (x_dot - sign x Re(conj(sign x) x_dot)) / |x|, and 0 at 0
        Unary::Sign if is_complex => {
            let (radial, sign) = along(b, x, t);
            let radial = b.complex(radial, None);
            let radial = b.mul(radial, sign);
            let rest = b.sub(t, radial);
            let m = b.unary(Unary::Abs, x);
            let (zero, one) = (b.full_like(m, 0.0), b.full_like(m, 1.0));
            let at_zero = b.compare(Comparison::Eq, m, zero);
            let safe = b.select(at_zero, one, m);
            let safe = b.complex(safe, None);
            let turned = b.div(rest, safe);
            let nothing = b.full_like(turned, 0.0);
            return Some(b.select(at_zero, nothing, turned));
        }
        // constant wherever it has a derivative
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round | Unary::RoundAway | Unary::IsFinite => return None,
        // not defined on floats
        Unary::Not | Unary::PopulationCount | Unary::LeadingZeros => return None,
        // the same of x_dot
        Unary::Real | Unary::Imag => return Some(b.unary(f, t)),
        // sign x
        Unary::Abs => b.unary(Unary::Sign, x),
        // y
        Unary::Exp => y,
        // e^x; y + 1 has no correct digit left at large negative x
        Unary::Expm1 => b.unary(Unary::Exp, x),
        // 1 / (2 y)
        Unary::Sqrt => const_over(b, 0.5, y),
        // -y^3 / 2
        Unary::Rsqrt => {
            let y2 = b.mul(y, y);
            let y3 = b.mul(y2, y);
            b.scale(y3, -0.5)
        }
        // 1 / (3 y^2)
        Unary::Cbrt => {
            let y2 = b.mul(y, y);
            const_over(b, 1.0 / 3.0, y2)
        }
        // cos x
        Unary::Sin => b.unary(Unary::Cos, x),
        // -sin x
        Unary::Cos => {
            let s = b.unary(Unary::Sin, x);
            b.neg(s)
        }
        // 1 + y^2
        Unary::Tan => plus_square(b, 1.0, y),
        // 1 / sqrt((1 - x)(1 + x))
        Unary::Asin => {
            let d = one_minus_square(b, x);
            b.unary(Unary::Rsqrt, d)
        }
        // -1 / sqrt((1 - x)(1 + x))
        Unary::Acos => {
            let d = one_minus_square(b, x);
            let r = b.unary(Unary::Rsqrt, d);
            b.neg(r)
        }
        // cosh x
        Unary::Sinh => b.unary(Unary::Cosh, x),
        // sinh x
        Unary::Cosh => b.unary(Unary::Sinh, x),
        // 1 - y^2
        Unary::Tanh => {
            let s = b.mul(y, y);
            from_const(b, 1.0, s)
        }
        // 1 / sqrt(1 + x^2)
        Unary::Asinh => {
            let d = plus_square(b, 1.0, x);
            b.unary(Unary::Rsqrt, d)
        }
        // 1 / sqrt((x - 1)(x + 1)), as two roots where the product may cross the branch cut
        Unary::Acosh => {
            let (m, p) = (b.offset(x, -1.0), b.offset(x, 1.0));
            if is_complex {
                let (m, p) = (b.unary(Unary::Rsqrt, m), b.unary(Unary::Rsqrt, p));
                let t = b.mul(t, m);
                return Some(b.mul(t, p));
            }
            let d = b.mul(m, p);
            b.unary(Unary::Rsqrt, d)
        }
        // y (1 - y)
        Unary::Logistic => {
            let r = from_const(b, 1.0, y);
            b.mul(y, r)
        }
        // 2 / sqrt(pi) e^(-x^2)
        Unary::Erf => bell(b, x, FRAC_2_SQRT_PI),
        // -2 / sqrt(pi) e^(-x^2)
        Unary::Erfc => bell(b, x, -FRAC_2_SQRT_PI),
        // digamma(x)
        Unary::Lgamma => b.unary(Unary::Digamma, x),
        // zeta(2, x)
        Unary::Digamma => {
            let two = b.full_like(x, 2.0);
            b.binary(Binary::Zeta, two, x)
        }
        // I1e(x) - sign(x) y
        Unary::BesselI0e => {
            let (first, sign) = (b.unary(Unary::BesselI1e, x), b.unary(Unary::Sign, x));
            let s = b.mul(sign, y);
            b.sub(first, s)
        }
        // I0e(x) - y (sign(x) + 1 / x), where y / x is 1/2 at 0
        Unary::BesselI1e => {
            let (zero, one, half) = (b.full_like(x, 0.0), b.full_like(x, 1.0), b.full_like(x, 0.5));
            let at_zero = b.compare(Comparison::Eq, x, zero);
            let safe = b.select(at_zero, one, x);
            let ratio = b.div(y, safe);
            let ratio = b.select(at_zero, half, ratio);
            let (zeroth, sign) = (b.unary(Unary::BesselI0e, x), b.unary(Unary::Sign, x));
            let s = b.mul(sign, y);
            let rest = b.sub(zeroth, s);
            b.sub(rest, ratio)
        }
        // sqrt(pi) / 2 e^(y^2)
        Unary::ErfInv => {
            let s = b.mul(y, y);
            let e = b.unary(Unary::Exp, s);
            b.scale(e, PI.sqrt() / 2.0)
        }
    };
    Some(b.mul(t, slope))
}

/// Re(conj(sign x) t), the part of `t` along complex `x`, and sign x.
fn along(b: &mut Builder, x: Value, t: Value) -> (Value, Value) {
    let sign = b.unary(Unary::Sign, x);
    let [s0, s1] = [Unary::Real, Unary::Imag].map(|part| b.unary(part, sign));
    let [t0, t1] = [Unary::Real, Unary::Imag].map(|part| b.unary(part, t));
    let (p, q) = (b.mul(s0, t0), b.mul(s1, t1));
    (b.add(p, q), sign)
}

/// `y_dot` of `y = f(x0, x1)`.
pub(super) fn jvp_binary(b: &mut Builder, f: Binary, x: [Value; 2], y: Value, t: [Option<Value>; 2]) -> Option<Value> {
    if t == [None, None] {
        return None;
    }
    match f {
        // x0_dot + x1_dot
        Binary::Add => add(b, t[0], t[1]),
        // x0_dot - x1_dot
        Binary::Sub => match t {
            [Some(t0), Some(t1)] => Some(b.sub(t0, t1)),
            [t0, None] => t0,
            [None, Some(t1)] => Some(b.neg(t1)),
        },
        // x0_dot x1 + x0 x1_dot
        Binary::Mul => {
            let left = t[0].map(|t| b.mul(t, x[1]));
            let right = t[1].map(|t| b.mul(t, x[0]));
            add(b, left, right)
        }
        // x0_dot / x1 - x1_dot y / x1
        Binary::Div => {
            let left = t[0].map(|t| b.div(t, x[1]));
            let right = t[1].map(|t| {
                let q = b.div(y, x[1]);
                let n = b.neg(q);
                b.mul(t, n)
            });
            add(b, left, right)
        }
        // x0_dot - x1_dot trunc(x0 / x1), the truncated quotient being (x0 - y) / x1 up to rounding, x0 / 0 by 0
        Binary::Rem => {
            let right = t[1].map(|t| {
                let multiple = b.sub(y, x[0]);
                let zero = b.full_like(y, 0.0);
                let by_zero = b.compare(Comparison::Eq, x[1], zero);
                let minus = b.neg(x[0]);
                let multiple = b.select(by_zero, minus, multiple);
                let q = b.div(multiple, x[1]);
                let n = b.unary(Unary::Round, q);
                b.mul(t, n)
            });
            add(b, t[0], right)
        }
        Binary::Pow => {
            let left = t[0].map(|t| {
                let slope = pow_slope(b, x);
                b.mul(t, slope)
            });
            // log x0 * y, and 0 where x0 = 0
            let right = t[1].map(|t| {
                let (zero, one) = (b.full_like(x[0], 0.0), b.full_like(x[0], 1.0));
                let at_zero = b.compare(Comparison::Eq, x[0], zero);
                let safe = b.select(at_zero, one, x[0]);
                let l = b.unary(Unary::Log, safe);
                let slope = b.mul(l, y);
                b.mul(t, slope)
            });
            add(b, left, right)
        }
        Binary::Max => Some(extremum(b, Comparison::Gt, x, t)),
        Binary::Min => Some(extremum(b, Comparison::Lt, x, t)),
        // (x0_dot x1 - x1_dot x0) / (x0^2 + x1^2)
        Binary::Atan2 => {
            let (s0, s1) = (b.mul(x[0], x[0]), b.mul(x[1], x[1]));
            let d = b.add(s0, s1);
            let left = t[0].map(|t| {
                let slope = b.div(x[1], d);
                b.mul(t, slope)
            });
            let right = t[1].map(|t| {
                let n = b.neg(x[0]);
                let slope = b.div(n, d);
                b.mul(t, slope)
            });
            add(b, left, right)
        }
        // x0_dot + i x1_dot
        Binary::Complex => {
            let (re, im) = (or_zeros(b, t[0], x[0]), or_zeros(b, t[1], x[1]));
            Some(b.complex(re, Some(im)))
        }
        // x0_dot: the step to the next float is constant but at powers of two
        Binary::NextAfter => t[0],
        // zeta'(x0, x1) x0_dot - x0 zeta(x0 + 1, x1) x1_dot
        Binary::Zeta => {
            let left = t[0].map(|t| {
                let slope = zeta_slope(b, x);
                b.mul(t, slope)
            });
            let right = t[1].map(|t| {
                let above = b.offset(x[0], 1.0);
                let z = b.binary(Binary::Zeta, above, x[1]);
                let n = b.neg(x[0]);
                let slope = b.mul(n, z);
                b.mul(t, slope)
            });
            add(b, left, right)
        }
        // not defined on floats
        Binary::And
        | Binary::Or
        | Binary::Xor
        | Binary::ShiftLeft
        | Binary::ShiftRightLogical
        | Binary::ShiftRightArithmetic => None,
    }
}

/// x1 x0^(x1 - 1), and 0 at x0 = x1 = 0 where that would be 0 * inf. Elsewhere at x1 = 0 the formula is kept as it is:
/// it is 0 there too, and its own derivative in x1 is right.
fn pow_slope(b: &mut Builder, x: [Value; 2]) -> Value {
    let (zero, one) = (b.full_like(x[0], 0.0), b.full_like(x[0], 1.0));
    let base = b.compare(Comparison::Eq, x[0], zero);
    let exponent = b.compare(Comparison::Eq, x[1], zero);
    let both = b.binary(Binary::And, base, exponent);
    let lowered = b.sub(x[1], one);
    let safe = b.select(both, one, lowered);
    let p = b.binary(Binary::Pow, x[0], safe);
    b.mul(x[1], p)
}

/// The derivative of zeta(s, q) in s, by Euler and Maclaurin; NaN for q <= 0, where s has no neighbourhood.
fn zeta_slope(b: &mut Builder, [s, q]: [Value; 2]) -> Value {
    const TERMS: usize = 16;
    // B2k / (2k)!
    const COEFFICIENTS: [f64; 6] =
        [1.0 / 12.0, -1.0 / 720.0, 1.0 / 30240.0, -1.0 / 1209600.0, 1.0 / 47900160.0, -691.0 / 1307674368000.0];
    // (q + k)^-s and the logarithm of q + k
    let at = |b: &mut Builder, k: usize| {
        let w = b.offset(q, k as f64);
        let l = b.unary(Unary::Log, w);
        let n = b.neg(s);
        let p = b.binary(Binary::Pow, w, n);
        (w, l, p)
    };
    let mut sum = b.full_like(s, 0.0);
    for k in 0..TERMS {
        let (_, l, p) = at(b, k);
        let term = b.mul(l, p);
        sum = b.sub(sum, term);
    }
    let (w, l, p) = at(b, TERMS);
    // f = w / (s - 1) + 1/2 + sum c_k s (s + 1) .. (s + 2k - 2) w^-(2k - 1), and its derivative
    let d = b.offset(s, -1.0);
    let first = b.div(w, d);
    let mut f = b.offset(first, 0.5);
    let square = b.mul(d, d);
    let slope = b.div(w, square);
    let mut f_dot = b.neg(slope);
    let (mut c, mut c_dot) = (b.div(s, w), const_over(b, 1.0, w));
    for (k, coefficient) in COEFFICIENTS.into_iter().enumerate() {
        if k > 0 {
            // times (s + 2k - 1)(s + 2k) / w^2
            for j in [2 * k - 1, 2 * k] {
                let factor = b.offset(s, j as f64);
                let a = b.mul(c_dot, factor);
                let a = b.add(a, c);
                c_dot = b.div(a, w);
                let a = b.mul(c, factor);
                c = b.div(a, w);
            }
        }
        let (term, term_dot) = (b.scale(c, coefficient), b.scale(c_dot, coefficient));
        f = b.add(f, term);
        f_dot = b.add(f_dot, term_dot);
    }
    // (p f)' = p (f' - f ln w)
    let a = b.mul(f, l);
    let a = b.sub(f_dot, a);
    let tail = b.mul(p, a);
    b.add(sum, tail)
}

/// The tangent of the winner; at a tie the mean of both.
fn extremum(b: &mut Builder, wins: Comparison, x: [Value; 2], t: [Option<Value>; 2]) -> Value {
    let (t0, t1) = (or_zeros(b, t[0], x[0]), or_zeros(b, t[1], x[1]));
    let both = match t {
        [Some(a), None] | [None, Some(a)] => a,
        _ => b.add(t0, t1),
    };
    let mean = b.scale(both, 0.5);
    let first = b.compare(wins, x[0], x[1]);
    let tie = b.compare(Comparison::Eq, x[0], x[1]);
    let rest = b.select(tie, mean, t1);
    b.select(first, t0, rest)
}

/// Select and Convert.
pub(super) fn jvp(b: &mut Builder, op: &Op, x: &[Value], _y: &[Value], t: &[Option<Value>]) -> Result<Maybe> {
    Ok(smallvec![match op {
        // pred ? x1_dot : x2_dot
        Op::Select {} => {
            if t[1].is_none() && t[2].is_none() {
                None
            } else {
                let (on_true, on_false) = (or_zeros(b, t[1], x[1]), or_zeros(b, t[2], x[2]));
                Some(b.select(x[0], on_true, on_false))
            }
        }
        // the tangent converted; an integer has none
        Op::Convert { dtype } => t[0].filter(|_| dtype.is_inexact()).map(|t| b.convert(t, *dtype)),
        _ => return misrouted(op),
    }])
}

pub(super) fn transpose(
    b: &mut Builder,
    op: &Op,
    args: &[Operand],
    _outs: &[Type],
    ct: &[Option<Value>],
) -> Result<Maybe> {
    let Some(ct) = ct[0] else { return Ok(smallvec![None; args.len()]) };
    let linear = |i: usize| args[i].is_linear();
    Ok(match op {
        // of the pairing Re(ct t): ct + 0i, 0 - i ct
        Op::Unary(Unary::Real) => smallvec![Some(b.complex(ct, None))],
        Op::Unary(Unary::Imag) => {
            let (zero, minus) = (b.full_like(ct, 0.0), b.neg(ct));
            smallvec![Some(b.complex(zero, Some(minus)))]
        }
        // Re ct, -Im ct
        Op::Binary(Binary::Complex) => smallvec![
            linear(0).then(|| b.unary(Unary::Real, ct)),
            linear(1).then(|| {
                let im = b.unary(Unary::Imag, ct);
                b.neg(im)
            }),
        ],
        // -ct
        Op::Unary(Unary::Neg) => smallvec![Some(b.neg(ct))],
        // ct, ct
        Op::Binary(Binary::Add) => smallvec![linear(0).then_some(ct), linear(1).then_some(ct)],
        // ct, -ct
        Op::Binary(Binary::Sub) => smallvec![linear(0).then_some(ct), linear(1).then(|| b.neg(ct))],
        // ct * the known factor
        Op::Binary(Binary::Mul) => match (args[0].known(), args[1].known()) {
            (None, Some(k)) => smallvec![Some(b.mul(ct, k)), None],
            (Some(k), None) => smallvec![None, Some(b.mul(ct, k))],
            _ => return not_linear(op),
        },
        // ct / the known divisor
        Op::Binary(Binary::Div) => match (args[0].known(), args[1].known()) {
            (None, Some(k)) => smallvec![Some(b.div(ct, k)), None],
            _ => return not_linear(op),
        },
        // pred ? ct : 0, pred ? 0 : ct
        Op::Select {} => {
            let Some(pred) = args[0].known() else { return not_linear(op) };
            let zero = b.full_like(ct, 0.0);
            smallvec![None, linear(1).then(|| b.select(pred, ct, zero)), linear(2).then(|| b.select(pred, zero, ct))]
        }
        // ct back in the operand's dtype
        Op::Convert { dtype } => {
            let from = args[0].ty(b).dtype;
            if !(from.is_inexact() && dtype.is_inexact()) {
                return not_linear(op);
            }
            let ct = if dtype.is_complex() && !from.is_complex() { b.unary(Unary::Real, ct) } else { ct };
            smallvec![Some(b.convert(ct, from))]
        }
        _ => return not_linear(op),
    })
}

/// The same op on operands that all have the batch axis.
pub(super) fn batch(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let args = a.materialise_all(b);
    b.emit(op.clone(), &args)
}
