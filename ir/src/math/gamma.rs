//! Logarithm of the gamma function and its derivative.

use super::exponential::log_parts;
use super::{Lanes, poly};

// The polynomials of this file, of `bessel.rs` and of erfc are fitted by `fit.py`.

/// ln gamma(2 + z) / z, -3/4 <= z <= 1/2.
const LGAMMA: [f32; 11] = [
    0.42278433,
    0.32246703,
    -0.06735159,
    0.020581627,
    -0.0073974826,
    0.0028714538,
    -0.001133828,
    0.0006410418,
    -0.00026495385,
    -0.0001688404,
    -0.00024087854,
];
/// x (ln gamma(x) - (x - 1/2)(ln x - 1) - ln(2 pi) / 2 + 1/2) in x^-2, x >= 5/2.
const STIRLING: [f32; 4] = [0.08333333, -0.002776934, 0.0007707906, -0.00038147514];
/// ln(2 pi) / 2 - 1/2
const STIRLING_OFFSET: f32 = 0.418_938_55;
/// ln(sin(pi d) / (pi d)) / d^2 in d^2, |d| <= 1/2.
const LOG_SINC: [f32; 8] =
    [-1.644934, -0.54116505, -0.3388919, -0.2564288, -0.13740508, -0.542803, 0.9875794, -1.5131191];

/// The positive zero of digamma in two parts; less 1 the second part is the same.
const ZERO: f32 = 1.461_632_1;
const ZERO_LESS_1: f32 = 0.461_632_13;
const ZERO_REST: f32 = 1.243_815e-8;
/// digamma(zero + z) / z, 1 <= zero + z <= 2.
const DIGAMMA: [f32; 11] = [
    0.9676722,
    -0.44276315,
    0.258502,
    -0.16394319,
    0.107776515,
    -0.072224654,
    0.0491317,
    -0.032568987,
    0.02171338,
    -0.019299109,
    0.012494023,
];
/// x^2 (ln x - 1 / (2 x) - digamma(x)) in x^-2, x >= 1.
const DIGAMMA_FAR: [f32; 8] =
    [0.08333312, -0.008324862, 0.0038483418, -0.0032641324, 0.003044605, -0.0022260668, 0.001009004, -0.00020434569];
/// ((1 / d - pi cot(pi d)) / d - pi^2 / 3) / d^2 in d^2, |d| <= 3/8.
const COT: [f32; 6] = [2.1646464, 2.034718, 2.0061238, 2.0482519, 1.5440868, 3.8852127];
/// (pi tan(pi d) / d - pi^2) / d^2 in d^2, |d| <= 1/8.
const TAN: [f32; 5] = [32.469696, 128.18707, 511.5407, 2094.0527, 7515.267];
/// pi^2 / 3 in two parts.
const PI_SQUARE_THIRD: (f32, f32) = (3.289868, 1.731767e-8);
/// pi^2 in two parts.
const PI_SQUARE: (f32, f32) = (9.869604, 2.903716e-7);

/// a + b as a rounded sum and what it lost.
fn two_sum<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> (L::F, L::F) {
    let s = l.add(a, b);
    let t = l.sub(s, a);
    let u = l.sub(s, t);
    let u = l.sub(a, u);
    let v = l.sub(b, t);
    (s, l.add(u, v))
}

/// a b as a rounded product and what it lost.
fn two_product<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> (L::F, L::F) {
    let p = l.mul(a, b);
    let minus = l.neg(p);
    (p, l.fma(a, b, minus))
}

/// ln |gamma(y)| in two parts, for y >= -1/2, not zero.
fn lgamma_right<L: Lanes>(l: &mut L, y: L::F) -> (L::F, L::F) {
    let (one, two, half) = (l.f(1.0), l.f(2.0), l.f(0.5));
    let (edge0, edge1, edge2) = (l.f(0.25), l.f(1.25), l.f(2.5));
    let (is_tiny, is_low, is_near) = (l.lt(y, edge0), l.lt(y, edge1), l.lt(y, edge2));
    // near: ln gamma(2 + z) - ln w
    let less1 = l.sub(y, one);
    let less2 = l.sub(y, two);
    let z = l.select(is_low, less1, less2);
    let z = l.select(is_tiny, y, z);
    let rising = l.fma(y, y, y);
    let rising = l.abs(rising);
    let w = l.select(is_near, one, y);
    let w = l.select(is_low, y, w);
    let w = l.select(is_tiny, rising, w);
    let (h, h_low) = log_parts(l, w);
    let q = poly(l, z, &LGAMMA);
    let zq = l.mul(z, q);
    let minus_h = l.neg(h);
    let (near, lost) = two_sum(l, zq, minus_h);
    let near_low = l.sub(lost, h_low);
    // far: (y - 1/2)(ln y - 1) + c + P(y^-2) / y
    let h1 = l.sub(h, one);
    let t = l.sub(h, h1);
    let t = l.sub(t, one);
    let h1_low = l.add(h_low, t);
    let m = l.sub(y, half);
    let (far, lost) = two_product(l, m, h1);
    let inverse = l.div(one, y);
    let u = l.mul(inverse, inverse);
    let p = poly(l, u, &STIRLING);
    let offset = l.f(STIRLING_OFFSET);
    let rest = l.fma(p, inverse, offset);
    let rest = l.fma(m, h1_low, rest);
    let far_low = l.add(lost, rest);
    (l.select(is_near, near, far), l.select(is_near, near_low, far_low))
}

/// ln |gamma(x)|; infinite at 0 and the negative integers.
pub fn lgamma<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (zero, inf, edge) = (l.f(0.0), l.f(f32::INFINITY), l.f(-0.5));
    let reflected = l.lt(x, edge);
    let a = l.abs(x);
    let y = l.select(reflected, a, x);
    let (high, low) = lgamma_right(l, y);
    let right = l.add(high, low);
    // left of -1/2: -ln gamma(a) - ln(a sin(pi a) / pi), with d the distance of a to an integer
    let whole = l.round(a);
    let d = l.sub(a, whole);
    let d = l.abs(d);
    let (v, v_low) = two_product(l, a, d);
    let (g, g_low) = log_parts(l, v);
    let correction = l.div(v_low, v);
    let g_low = l.add(g_low, correction);
    let d2 = l.mul(d, d);
    let p = poly(l, d2, &LOG_SINC);
    let g_low = l.fma(d2, p, g_low);
    let (s, lost) = two_sum(l, high, g);
    let rest = l.add(low, g_low);
    let rest = l.add(rest, lost);
    let s = l.add(s, rest);
    let left = l.neg(s);
    let r = l.select(reflected, left, right);
    // poles, and where the far form overflows
    let at_zero = l.eq(x, zero);
    let at_integer = l.eq(d, zero);
    let at_integer = l.and(at_integer, reflected);
    let pole = l.or(at_zero, at_integer);
    let over = l.eq(high, inf);
    let infinite = l.eq(a, inf);
    let over = l.or(over, infinite);
    // minus a large gamma beside a pole is -inf only where gamma(a) itself is that large
    let pole = l.or(pole, over);
    let r = l.select(pole, inf, r);
    let known = l.eq(x, x);
    l.select(known, r, x)
}

/// pi cot(pi d) in two parts, |d| <= 1/2, |d| >= 2^-30.
fn pi_cot<L: Lanes>(l: &mut L, d: L::F) -> (L::F, L::F) {
    let (half, edge, one) = (l.f(0.5), l.f(0.375), l.f(1.0));
    // 1 / d - pi^2 / 3 d - d^3 C(d^2)
    let q = l.div(one, d);
    let minus_q = l.neg(q);
    let e = l.fma(minus_q, d, one);
    let e = l.mul(e, q);
    let minus_d = l.neg(d);
    let (c, c_low) = (l.f(PI_SQUARE_THIRD.0), l.f(PI_SQUARE_THIRD.1));
    let (p, p_low) = two_product(l, minus_d, c);
    let (inner, lost) = two_sum(l, q, p);
    let d2 = l.mul(d, d);
    let s = poly(l, d2, &COT);
    let s = l.fma(d2, s, c_low);
    let s = l.fma(minus_d, s, e);
    let s = l.add(s, p_low);
    let inner_low = l.add(s, lost);
    // pi tan(pi n) with n = 1/2 - |d|
    let a = l.abs(d);
    let n = l.sub(half, a);
    let n2 = l.mul(n, n);
    let t = poly(l, n2, &TAN);
    let (c, c_low) = (l.f(PI_SQUARE.0), l.f(PI_SQUARE.1));
    let (outer, lost) = two_product(l, n, c);
    let t = l.fma(n2, t, c_low);
    let outer_low = l.fma(n, t, lost);
    let zero = l.f(0.0);
    let falling = l.lt(d, zero);
    let (minus, minus_low) = (l.neg(outer), l.neg(outer_low));
    let outer = l.select(falling, minus, outer);
    let outer_low = l.select(falling, minus_low, outer_low);
    let is_outer = l.lt(edge, a);
    (l.select(is_outer, outer, inner), l.select(is_outer, outer_low, inner_low))
}

/// Derivative of ln gamma; infinite at 0 with the sign of -x, NaN at the negative integers.
pub fn digamma<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (zero, half, one, two) = (l.f(0.0), l.f(0.5), l.f(1.0), l.f(2.0));
    let negative = l.lt(x, zero);
    let y = l.abs(x);
    // for x > 0 digamma(x), and for x < 0 digamma(1 + |x|): by z around the zero, or by ln y
    let is_low = l.lt(y, one);
    let (z0, z1, z_low) = (l.f(ZERO), l.f(ZERO_LESS_1), l.f(ZERO_REST));
    let base = l.select(is_low, z1, z0);
    let z = l.sub(y, base);
    let z = l.sub(z, z_low);
    let p = poly(l, z, &DIGAMMA);
    let near = l.mul(z, p);
    let (h, h_low) = log_parts(l, y);
    let inverse = l.div(one, y);
    let minus_half = l.neg(half);
    let sign = l.select(negative, half, minus_half);
    let u = l.mul(inverse, inverse);
    let p = poly(l, u, &DIGAMMA_FAR);
    let minus_u = l.neg(u);
    let far_low = l.fma(sign, inverse, h_low);
    let far_low = l.fma(minus_u, p, far_low);
    let edge = l.select(negative, one, two);
    let is_near = l.lt(y, edge);
    let main = l.select(is_near, near, h);
    let main_low = l.select(is_near, zero, far_low);
    // for x < 0 add pi cot(pi |x|), for 0 < x < 1 subtract 1 / x
    let whole = l.round(y);
    let d = l.sub(y, whole);
    let (cot, cot_low) = pi_cot(l, d);
    let minus_inverse = l.neg(inverse);
    let rest = l.fma(minus_inverse, y, one);
    let rest = l.mul(rest, minus_inverse);
    let extra = l.select(is_low, minus_inverse, zero);
    let extra_low = l.select(is_low, rest, zero);
    let extra = l.select(negative, cot, extra);
    let extra_low = l.select(negative, cot_low, extra_low);
    let (s, lost) = two_sum(l, main, extra);
    let low = l.add(main_low, extra_low);
    let low = l.add(low, lost);
    let r = l.add(s, low);
    // the edges
    let (inf, nan, limit) = (l.f(f32::INFINITY), l.f(f32::NAN), l.f(2.0f32.powi(-30)));
    let at_integer = l.eq(d, zero);
    let at_pole = l.and(at_integer, negative);
    let r = l.select(at_pole, nan, r);
    let tiny = l.lt(y, limit);
    let minus_one = l.neg(one);
    let pole = l.div(minus_one, x);
    let r = l.select(tiny, pole, r);
    let endless = l.eq(y, inf);
    let end = l.select(negative, nan, inf);
    let r = l.select(endless, end, r);
    let known = l.eq(x, x);
    l.select(known, r, x)
}
