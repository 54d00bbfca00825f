//! The error function and its inverse.

use super::exponential::{exp, exp_parts, log_of_normal};
use super::{Lanes, copysign, poly};

/// erf(r) / r - 1 in r^2, |r| <= 0.93.
const ERF: [f32; 7] = [0.12837917, -0.3761263, 0.11283626, -0.026855731, 0.005192405, -0.00080497697, 7.99665e-5];
/// ln(1 - erf(a)), 0.92 <= a <= 4.
const LOG_ERFC: [f32; 7] =
    [-0.00019566654, -1.1276757, -0.63718224, -0.10393156, 0.022226868, -0.0030431908, 0.00019593247];

/// e^(x^2) erfc(x) / t in t = 1 / (x + 2), 1/2 <= x <= 10.2; by `fit.py`.
const ERFC: [f32; 10] =
    [0.5641732, 1.1292624, 1.9542952, 3.082922, 0.63085485, 9.570452, -34.312885, 15.247987, 35.125572, -31.488436];

/// Giles, "Approximating the erfinv function" (2011), single precision: w < 5 and w >= 5.
#[allow(clippy::excessive_precision)] // the digits as published
const ERF_INV_CENTRAL: [f32; 9] = [
    1.50140941,
    0.246640727,
    -0.00417768164,
    -0.00125372503,
    0.000218580870,
    -4.39150654e-06,
    -3.5233877e-06,
    3.43273939e-07,
    2.81022636e-08,
];
#[allow(clippy::excessive_precision)]
const ERF_INV_TAIL: [f32; 9] = [
    2.83297682,
    1.00167406,
    0.00943887047,
    -0.0076224613,
    0.00573950773,
    -0.00367342844,
    0.00134934322,
    0.000100950558,
    -0.000200214257,
];

/// Gauss error function: a polynomial near 0, 1 - e^p(|x|) elsewhere.
pub fn erf<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (one, edge, end) = (l.f(1.0), l.f(0.925), l.f(4.0));
    let a = l.abs(x);
    let beyond = l.lt(end, a);
    let b = l.select(beyond, end, a);
    let p = poly(l, b, &LOG_ERFC);
    let e = exp(l, p);
    let far = l.sub(one, e);
    let r2 = l.mul(a, a);
    let q = poly(l, r2, &ERF);
    let near = l.fma(a, q, a);
    let small = l.lt(a, edge);
    let y = l.select(small, near, far);
    copysign(l, y, x)
}

/// 1 - erf(x): the polynomial of erf near 0, e^(-x^2) times another one elsewhere.
pub fn erfc<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (zero, one, two, half) = (l.f(0.0), l.f(1.0), l.f(2.0), l.f(0.5));
    let a = l.abs(x);
    let b = l.clamp(a, 0.0, 11.0);
    let s = l.mul(b, b);
    let minus_s = l.neg(s);
    let lost = l.fma(b, b, minus_s);
    let minus_lost = l.neg(lost);
    let e = exp_parts(l, minus_s, minus_lost);
    let d = l.add(b, two);
    let t = l.div(one, d);
    // less the roundings of d and t
    let back = l.sub(d, two);
    let d_low = l.sub(b, back);
    let minus_t = l.neg(t);
    let rest = l.fma(minus_t, d, one);
    let rest = l.fma(minus_t, d_low, rest);
    let t = l.fma(t, rest, t);
    let p = poly(l, t, &ERFC);
    // e p t, rounded as if e (p t) were exact
    let pt = l.mul(p, t);
    let minus_pt = l.neg(pt);
    let rest = l.fma(p, t, minus_pt);
    let rest = l.mul(e, rest);
    let far = l.fma(e, pt, rest);
    let other = l.sub(two, far);
    let negative = l.lt(x, zero);
    let far = l.select(negative, other, far);
    let x2 = l.mul(x, x);
    let q = poly(l, x2, &ERF);
    let erf = l.fma(x, q, x);
    let near = l.sub(one, erf);
    let small = l.lt(a, half);
    l.select(small, near, far)
}

/// Inverse of erf on [-1, 1], NaN outside.
pub fn erf_inv<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    // w = -ln(1 - x^2), without the rounding of x^2 near 1
    let one = l.f(1.0);
    let size = l.abs(x);
    let (below, above) = (l.sub(one, size), l.add(one, size));
    // at least 2^-24 where x is inside
    let t = l.mul(below, above);
    let t = log_of_normal(l, t);
    let w = l.neg(t);
    let (five, shift, three) = (l.f(5.0), l.f(2.5), l.f(3.0));
    let central = l.lt(w, five);
    let wc = l.sub(w, shift);
    let wt = l.sqrt(w);
    let wt = l.sub(wt, three);
    let pc = poly(l, wc, &ERF_INV_CENTRAL);
    let pt = poly(l, wt, &ERF_INV_TAIL);
    let p = l.select(central, pc, pt);
    let y = l.mul(p, x);
    let (inf, nan) = (l.f(f32::INFINITY), l.f(f32::NAN));
    let inside = l.lt(size, one);
    let edge = l.eq(size, one);
    let signed = l.mul(inf, x);
    let outside = l.select(edge, signed, nan);
    l.select(inside, y, outside)
}

/// The same approximation of erf_inv(x) / x in f64, given w = -ln(1 - x^2) < 16.
pub(super) fn giles(w: f64) -> f64 {
    let (z, c) = if w < 5.0 { (w - 2.5, &ERF_INV_CENTRAL) } else { (w.sqrt() - 3.0, &ERF_INV_TAIL) };
    c.iter().rev().fold(0.0, |y, &k| y * z + f64::from(k))
}
