//! Hyperbolic functions and their inverses.

use super::exponential::{exp, exp_shifted, log1p};
use super::{Lanes, copysign, poly};
use std::f32::consts::LN_2;

/// (tanh r - r) / r^3 in r^2, |r| <= 0.65.
const TANH: [f32; 5] = [-0.3333326, 0.13330829, -0.05368791, 0.020469056, -0.005514777];
/// (sinh r - r) / r^3 in r^2, |r| <= 1.
const SINH: [f32; 4] = [0.16666667, 0.0083333105, 0.00019842896, 2.7822132e-6];

/// Hyperbolic tangent: a polynomial near 0, 1 - 2 / (e^2|x| + 1) elsewhere.
pub fn tanh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (one, two) = (l.f(1.0), l.f(2.0));
    let a = l.abs(x);
    let twice = l.add(a, a);
    let e = exp(l, twice);
    let e = l.add(e, one);
    let q = l.div(two, e);
    let far = l.sub(one, q);
    let r2 = l.mul(a, a);
    let p = poly(l, r2, &TANH);
    let r3 = l.mul(r2, a);
    let near = l.fma(r3, p, a);
    let edge = l.f(0.625);
    let small = l.lt(a, edge);
    let y = l.select(small, near, far);
    copysign(l, y, x)
}

/// Hyperbolic sine.
pub fn sinh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (one, quarter) = (l.f(1.0), l.f(0.25));
    let a = l.abs(x);
    let h = exp_shifted(l, a, -1);
    let q = l.div(quarter, h);
    let far = l.sub(h, q);
    let r2 = l.mul(a, a);
    let p = poly(l, r2, &SINH);
    let r3 = l.mul(r2, a);
    let near = l.fma(r3, p, a);
    let small = l.lt(a, one);
    let y = l.select(small, near, far);
    copysign(l, y, x)
}

/// Hyperbolic cosine.
pub fn cosh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let quarter = l.f(0.25);
    let a = l.abs(x);
    let h = exp_shifted(l, a, -1);
    let q = l.div(quarter, h);
    l.add(h, q)
}

/// ln(1 + t), or ln(2 a) where a is so large that the two agree.
fn log1p_or_double<L: Lanes>(l: &mut L, a: L::F, t: L::F) -> L::F {
    let (edge, zero, ln2) = (l.f(2.0f32.powi(26)), l.f(0.0), l.f(LN_2));
    let large = l.lt(edge, a);
    let z = l.select(large, a, t);
    let y = log1p(l, z);
    let extra = l.select(large, ln2, zero);
    l.add(y, extra)
}

/// Inverse hyperbolic sine: ln(1 + a + a^2 / (1 + sqrt(1 + a^2))).
pub fn asinh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.f(1.0);
    let a = l.abs(x);
    let a2 = l.mul(a, a);
    let s = l.fma(a, a, one);
    let s = l.sqrt(s);
    let s = l.add(s, one);
    let q = l.div(a2, s);
    let t = l.add(a, q);
    let y = log1p_or_double(l, a, t);
    copysign(l, y, x)
}

/// Inverse hyperbolic cosine: ln(1 + t + sqrt(2 t + t^2)) with t = x - 1; NaN below 1.
pub fn acosh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.f(1.0);
    let t = l.sub(x, one);
    let twice = l.add(t, t);
    let s = l.fma(t, t, twice);
    let s = l.sqrt(s);
    let t = l.add(t, s);
    let y = log1p_or_double(l, x, t);
    let below = l.lt(x, one);
    let nan = l.f(f32::NAN);
    l.select(below, nan, y)
}

/// Inverse hyperbolic tangent: ln(1 + 2 a / (1 - a)) / 2.
pub fn atanh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (one, half) = (l.f(1.0), l.f(0.5));
    let a = l.abs(x);
    let twice = l.add(a, a);
    let d = l.sub(one, a);
    let q = l.div(twice, d);
    let y = log1p(l, q);
    let y = l.mul(y, half);
    copysign(l, y, x)
}
