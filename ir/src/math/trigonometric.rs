//! Circular functions and their inverses.

use super::exponential::round_scaled;
use super::{Lanes, copysign, poly};
use std::f32::consts::{FRAC_2_PI, FRAC_PI_2, PI};

/// pi / 2 = FRAC_PI_2 + PI_2_MID + PI_2_LOW to 70 bits.
const PI_2_MID: f32 = -4.371139e-8;
const PI_2_LOW: f32 = -1.7151245e-15;
/// pi minus its nearest f32.
const PI_REST: f32 = -8.742278e-8;

/// (sin r - r) / r^3 in r^2, |r| <= pi / 4.
const SIN: [f32; 4] = [-0.16666667, 0.008333378, -0.00019852062, 2.8202396e-6];
/// (cos r - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi / 4.
const COS: [f32; 3] = [0.04166664, -0.001388713, 2.4412086e-5];
/// (tan r - r) / r^3 in r^2, |r| <= pi / 4.
const TAN: [f32; 7] = [0.33333355, 0.13332462, 0.054083697, 0.021155683, 0.011171063, -0.00034280488, 0.004592448];
/// (atan r - r) / r^3 in r^2, |r| <= 1.
const ATAN: [f32; 9] = [
    -0.333333,
    0.19998531,
    -0.14264052,
    0.10951175,
    -0.08400475,
    0.057906546,
    -0.031127002,
    0.010887361,
    -0.0017875476,
];
/// (asin r - r) / r^3 in r^2, |r| <= 1/2.
const ASIN: [f32; 5] = [0.16666752, 0.074953094, 0.04546915, 0.024184778, 0.042158306];

/// The steps of a reduction by pi / 2, after which |r| <= pi / 4.
struct Reduced<F> {
    minus_n: F,
    a: F,
    b: F,
    r: F,
}

/// x = n pi/2 + r, and n mod 4 in the low bits.
///
/// Good to a rounding error of r up to |x| = 2^20; further out digits are lost, and from about 2^22 on r is only
/// kept in range.
fn reduce<L: Lanes>(l: &mut L, x: L::F) -> (Reduced<L::F>, L::I) {
    let (n, i) = round_scaled(l, x, FRAC_2_PI);
    let minus_n = l.neg(n);
    let high = l.f(FRAC_PI_2);
    let mid = l.f(PI_2_MID);
    let low = l.f(PI_2_LOW);
    let a = l.fma(minus_n, high, x); // exact
    let b = l.fma(minus_n, mid, a);
    let r = l.fma(minus_n, low, b);
    let r = l.clamp(r, -1.0, 1.0);
    (Reduced { minus_n, a, b, r }, i)
}

/// What the roundings in `r` lost.
fn lost<L: Lanes>(l: &mut L, x: &Reduced<L::F>) -> L::F {
    let mid = l.f(PI_2_MID);
    let low = l.f(PI_2_LOW);
    // a - b is exact only where the second step cancels little; elsewhere r is small and its error too
    let d = l.sub(x.a, x.b);
    let e = l.fma(x.minus_n, mid, d);
    let edge = l.f(0.02);
    let size = l.abs(x.b);
    let small = l.lt(size, edge);
    let zero = l.f(0.0);
    let e = l.select(small, zero, e);
    let d = l.sub(x.b, x.r);
    let d = l.fma(x.minus_n, low, d);
    let rest = l.add(d, e);
    l.clamp(rest, -1e-6, 1e-6)
}

fn sin_core<L: Lanes>(l: &mut L, r: L::F, r2: L::F) -> L::F {
    let p = poly(l, r2, &SIN);
    let r3 = l.mul(r2, r);
    l.fma(r3, p, r)
}

fn cos_core<L: Lanes>(l: &mut L, r2: L::F) -> L::F {
    let p = poly(l, r2, &COS);
    let minus_half = l.f(-0.5);
    let p = l.fma(r2, p, minus_half);
    let one = l.f(1.0);
    l.fma(r2, p, one)
}

/// sin(x + quarter pi / 2)
fn sin_from_quarter<L: Lanes>(l: &mut L, x: L::F, quarter: i32) -> L::F {
    let (Reduced { r, .. }, n) = reduce(l, x);
    let q = l.i(quarter);
    let n = l.iadd(n, q);
    let r2 = l.mul(r, r);
    let s = sin_core(l, r, r2);
    let c = cos_core(l, r2);
    let one = l.i(1);
    let odd = l.iand(n, one);
    let odd = l.ieq(odd, one);
    let y = l.select(odd, c, s);
    let two = l.i(2);
    let half = l.iand(n, two);
    let sign = l.ishl(half, 30);
    let b = l.bits(y);
    let b = l.ixor(b, sign);
    l.from_bits(b)
}

/// Where x is 0 or subnormal, x itself: reductions lose the sign of zero.
fn keep_tiny<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let limit = l.f(2.0f32.powi(-25));
    let a = l.abs(x);
    let tiny = l.lt(a, limit);
    l.select(tiny, x, y)
}

/// Sine of radians.
pub fn sin<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let y = sin_from_quarter(l, x, 0);
    keep_tiny(l, x, y)
}

/// Cosine of radians.
pub fn cos<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    sin_from_quarter(l, x, 1)
}

/// Tangent of radians.
pub fn tan<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (x_reduced, n) = reduce(l, x);
    let rest = lost(l, &x_reduced);
    let r = x_reduced.r;
    let r2 = l.mul(r, r);
    let p = poly(l, r2, &TAN);
    let r3 = l.mul(r2, r);
    // tan(r + rest) = tan r + rest (1 + tan^2 r)
    let slope = l.fma(r2, rest, rest);
    let w = l.fma(r3, p, slope);
    let t = l.add(r, w);
    // -1 / (t + lost) = -q - q (1 - q (t + lost)) for q near 1 / t
    let d = l.sub(r, t);
    let lost = l.add(d, w);
    let minus_one = l.f(-1.0);
    let q = l.div(minus_one, t);
    let one = l.f(1.0);
    let e = l.fma(q, t, one);
    let e = l.fma(q, lost, e);
    let inverse = l.fma(q, e, q);
    let i1 = l.i(1);
    let odd = l.iand(n, i1);
    let odd = l.ieq(odd, i1);
    let y = l.select(odd, inverse, t);
    keep_tiny(l, x, y)
}

/// atan r for 0 <= r <= 1.
fn atan_core<L: Lanes>(l: &mut L, r: L::F) -> L::F {
    let r2 = l.mul(r, r);
    let p = poly(l, r2, &ATAN);
    let r3 = l.mul(r2, r);
    l.fma(r3, p, r)
}

/// high + low - y, where high + low is a constant in two parts.
fn subtract_from<L: Lanes>(l: &mut L, high: f32, low: f32, y: L::F) -> L::F {
    let (high, low) = (l.f(high), l.f(low));
    let t = l.sub(low, y);
    l.add(high, t)
}

/// Inverse tangent.
pub fn atan<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.f(1.0);
    let a = l.abs(x);
    let inverted = l.lt(one, a);
    let inverse = l.div(one, a);
    let r = l.select(inverted, inverse, a);
    let y = atan_core(l, r);
    let z = subtract_from(l, FRAC_PI_2, PI_2_MID, y);
    let y = l.select(inverted, z, y);
    copysign(l, y, x)
}

/// Angle of the point (x, y), in [-pi, pi].
pub fn atan2<L: Lanes>(l: &mut L, y: L::F, x: L::F) -> L::F {
    let (zero, one) = (l.f(0.0), l.f(1.0));
    let (ax, ay) = (l.abs(x), l.abs(y));
    let steep = l.lt(ax, ay);
    let top = l.select(steep, ax, ay);
    let bottom = l.select(steep, ay, ax);
    let r = l.div(top, bottom);
    // 0 / 0 is 0 here and inf / inf is 1
    let origin = l.eq(bottom, zero);
    let r = l.select(origin, zero, r);
    let inf = l.f(f32::INFINITY);
    let corner = l.eq(top, inf);
    let r = l.select(corner, one, r);
    let a = atan_core(l, r);
    let b = subtract_from(l, FRAC_PI_2, PI_2_MID, a);
    let a = l.select(steep, b, a);
    let b = subtract_from(l, PI, PI_REST, a);
    let sign = copysign(l, one, x);
    let left = l.lt(sign, zero);
    let a = l.select(left, b, a);
    let a = copysign(l, a, y);
    let x_known = l.eq(x, x);
    let y_known = l.eq(y, y);
    let known = l.and(x_known, y_known);
    let nan = l.f(f32::NAN);
    l.select(known, a, nan)
}

/// asin r for 0 <= r <= 1/2, given r^2.
fn asin_core<L: Lanes>(l: &mut L, r: L::F, r2: L::F) -> L::F {
    let p = poly(l, r2, &ASIN);
    let r3 = l.mul(r2, r);
    l.fma(r3, p, r)
}

/// Whether |x| > 1/2, and asin of |x|, or of sqrt((1 - |x|) / 2) = sin((pi/2 - asin |x|) / 2) if so.
fn asin_parts<L: Lanes>(l: &mut L, x: L::F) -> (L::M, L::F) {
    let (half, minus_half) = (l.f(0.5), l.f(-0.5));
    let a = l.abs(x);
    let outer = l.lt(half, a);
    let inner_square = l.mul(a, a);
    let outer_square = l.fma(a, minus_half, half);
    let root = l.sqrt(outer_square);
    let r = l.select(outer, root, a);
    let r2 = l.select(outer, outer_square, inner_square);
    (outer, asin_core(l, r, r2))
}

/// Inverse sine.
pub fn asin<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (outer, y) = asin_parts(l, x);
    let twice = l.add(y, y);
    let z = subtract_from(l, FRAC_PI_2, PI_2_MID, twice);
    let y = l.select(outer, z, y);
    copysign(l, y, x)
}

/// Inverse cosine.
pub fn acos<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let zero = l.f(0.0);
    let (outer, y) = asin_parts(l, x);
    let twice = l.add(y, y);
    let negative = l.lt(x, zero);
    let far = subtract_from(l, PI, PI_REST, twice);
    let far = l.select(negative, far, twice);
    let signed = copysign(l, y, x);
    let near = subtract_from(l, FRAC_PI_2, PI_2_MID, signed);
    l.select(outer, far, near)
}
