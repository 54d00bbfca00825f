//! e^x, ln x and their forms around 0 and 1; the logistic function.

use super::{Lanes, poly};
use std::f32::consts::{LN_2, LOG2_E};

/// Adding and subtracting 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
const MAGIC: f32 = 12_582_912.0;
/// ln 2 in two parts; the high one has 15 bits, so that its product with an exponent is exact.
const LN_2_HIGH: f32 = 0.693_145_75;
const LN_2_LOW: f32 = 1.428_606_8e-6;
/// ln 2 minus its nearest f32.
const LN_2_REST: f32 = -1.904_654_2e-9;

/// (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2.
const EXP: [f32; 5] = [0.49999994, 0.16666517, 0.04166828, 0.008369248, 0.0013820742];
const EXPM1: [f32; 6] = [0.5, 0.16666666, 0.041666485, 0.008333541, 0.0013933228, 0.00019766994];
/// (ln(1 + f) - f + f^2 / 2) / f^3 on |f| <= 1/3.
const LOG: [f32; 9] =
    [0.33333334, -0.24999827, 0.19999681, -0.16679296, 0.14302717, -0.12199418, 0.10769556, -0.1283011, 0.1195846];

/// x c rounded to an integer, as a float and in the low bits of an integer; anything for NaN and beyond 2^22.
pub(super) fn round_scaled<L: Lanes>(l: &mut L, x: L::F, c: f32) -> (L::F, L::I) {
    let c = l.f(c);
    let magic = l.f(MAGIC);
    let t = l.fma(x, c, magic);
    let n = l.sub(t, magic);
    let tb = l.bits(t);
    let mb = l.i(MAGIC.to_bits() as i32);
    let i = l.isub(tb, mb);
    (n, i)
}

/// 2^n for -126 <= n <= 127.
pub(super) fn exp2_int<L: Lanes>(l: &mut L, n: L::I) -> L::F {
    let bias = l.i(127);
    let e = l.iadd(n, bias);
    let b = l.ishl(e, 23);
    l.from_bits(b)
}

/// x = n ln 2 + r with |r| <= ln(2) / 2: r, and n as a float and an integer.
fn reduce<L: Lanes>(l: &mut L, x: L::F) -> (L::F, L::F, L::I) {
    let (n, i) = round_scaled(l, x, LOG2_E);
    let minus = l.neg(n);
    let high = l.f(LN_2);
    let low = l.f(LN_2_REST);
    let r = l.fma(minus, high, x);
    (l.fma(minus, low, r), n, i)
}

/// p 2^n, n as a float and an integer, which is e^x or less. What rounds to 0 anyway is not computed: many processors interrupt
/// themselves for results below the smallest normal number, and causal attention masks half of its scores so.
fn scale_exp<L: Lanes>(l: &mut L, x: L::F, p: L::F, n: L::F, i: L::I) -> L::F {
    let least = l.f(-104.0);
    let zero = l.f(0.0);
    let none = l.lt(x, least);
    let p = l.select(none, zero, p);
    l.scale(p, n, i)
}

/// e^x 2^shift, for small `shift` of at most 0.
pub(super) fn exp_shifted<L: Lanes>(l: &mut L, x: L::F, shift: i32) -> L::F {
    let x = l.clamp(x, -105.0, 90.0);
    let (r, n, i) = reduce(l, x);
    let p = poly(l, r, &EXP);
    let r2 = l.mul(r, r);
    let q = l.fma(r2, p, r);
    let one = l.f(1.0);
    let p = l.add(q, one);
    if shift == 0 {
        return scale_exp(l, x, p, n, i);
    }
    let (k, ik) = (l.f(shift as f32), l.i(shift));
    let (n, i) = (l.add(n, k), l.iadd(i, ik));
    scale_exp(l, x, p, n, i)
}

/// e^(x + low) for a low part far below 1.
pub(super) fn exp_parts<L: Lanes>(l: &mut L, x: L::F, low: L::F) -> L::F {
    let x = l.clamp(x, -105.0, 90.0);
    let (r, n, i) = reduce(l, x);
    let r = l.add(r, low);
    let p = poly(l, r, &EXP);
    let r2 = l.mul(r, r);
    let q = l.fma(r2, p, r);
    let one = l.f(1.0);
    let p = l.add(q, one);
    scale_exp(l, x, p, n, i)
}

/// e^x
pub fn exp<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    exp_shifted(l, x, 0)
}

/// e^x - 1
pub fn expm1<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let y = l.clamp(x, -30.0, 89.0);
    let (r, _, n) = reduce(l, y);
    let p = poly(l, r, &EXPM1);
    let r2 = l.mul(r, r);
    let rp = l.mul(r2, p);
    // 2^n (e^r - 1) + (2^n - 1) at half scale, since 2^128 is no f32; the larger part of the sum comes last
    let one = l.i(1);
    let m = l.isub(n, one);
    let t = exp2_int(l, m);
    let half = l.f(0.5);
    let u = l.sub(t, half);
    let v = l.fma(t, r, u);
    // the rounding error of v, given |u| >= |t r| or u = 0
    let d = l.sub(u, v);
    let e = l.fma(t, r, d);
    let w = l.fma(t, rp, e);
    let s = l.add(v, w);
    let big = l.add(s, s);
    let limit = l.f(2.0f32.powi(-25));
    let a = l.abs(x);
    let tiny = l.lt(a, limit);
    l.select(tiny, x, big)
}

/// k and f with 1 + f = m 2^-k in [2/3, 4/3), for normal positive m.
fn exponent_and_fraction<L: Lanes>(l: &mut L, m: L::F) -> (L::I, L::F) {
    let b = l.bits(m);
    let low = l.i((2.0f32 / 3.0).to_bits() as i32);
    let d = l.isub(b, low);
    let k = l.isar(d, 23);
    let kb = l.ishl(k, 23);
    let fb = l.isub(b, kb);
    let f = l.from_bits(fb);
    let one = l.f(1.0);
    (k, l.sub(f, one))
}

/// [`exponent_and_fraction`] for any positive finite x, with k as a float.
pub(super) fn split<L: Lanes>(l: &mut L, x: L::F) -> (L::F, L::F) {
    let least = l.f(f32::MIN_POSITIVE);
    let subnormal = l.lt(x, least);
    let up = l.f(2.0f32.powi(24));
    let scaled = l.mul(x, up);
    let m = l.select(subnormal, scaled, x);
    let (k, f) = exponent_and_fraction(l, m);
    let k = l.to_float(k);
    let shift = l.f(24.0);
    let lower = l.sub(k, shift);
    (l.select(subnormal, lower, k), f)
}

/// ln(1 + f) + k ln 2
fn log_of_parts<L: Lanes>(l: &mut L, k: L::F, f: L::F) -> L::F {
    let q = poly(l, f, &LOG);
    let minus_half = l.f(-0.5);
    let p = l.fma(f, q, minus_half);
    let f2 = l.mul(f, f);
    let low = l.f(LN_2_LOW);
    let kl = l.mul(k, low);
    let y = l.fma(f2, p, kl);
    let y = l.add(f, y);
    let high = l.f(LN_2_HIGH);
    l.fma(k, high, y)
}

/// ln x in two parts, with an absolute error of about 1e-8; anything unless x is positive and finite.
pub(super) fn log_parts<L: Lanes>(l: &mut L, x: L::F) -> (L::F, L::F) {
    let (k, f) = split(l, x);
    let q = poly(l, f, &LOG);
    let minus_half = l.f(-0.5);
    let p = l.fma(f, q, minus_half);
    let f2 = l.mul(f, f);
    let low = l.f(LN_2_LOW);
    let kl = l.mul(k, low);
    let rest = l.fma(f2, p, kl);
    // k ln 2 is exact, and greater than f unless it is 0
    let high = l.f(LN_2_HIGH);
    let kh = l.mul(k, high);
    let s = l.add(kh, f);
    let d = l.sub(kh, s);
    let lost = l.add(d, f);
    let low = l.add(lost, rest);
    let y = l.add(s, low);
    let d = l.sub(s, y);
    (y, l.add(d, low))
}

/// What a logarithm is at the edges: y inside, -inf where z = 0, NaN where z < 0, z where it is infinite or NaN.
fn log_edges<L: Lanes>(l: &mut L, z: L::F, y: L::F) -> L::F {
    let zero = l.f(0.0);
    let inf = l.f(f32::INFINITY);
    let nan = l.f(f32::NAN);
    let least = l.f(f32::NEG_INFINITY);
    let inside = l.lt(z, inf);
    let y = l.select(inside, y, z);
    let negative = l.lt(z, zero);
    let y = l.select(negative, nan, y);
    let none = l.eq(z, zero);
    l.select(none, least, y)
}

/// ln x of a positive normal number; anything else gives anything.
pub(super) fn log_of_normal<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (k, f) = exponent_and_fraction(l, x);
    let k = l.to_float(k);
    log_of_parts(l, k, f)
}

/// ln x
pub fn log<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (k, f) = split(l, x);
    let y = log_of_parts(l, k, f);
    log_edges(l, x, y)
}

/// ln(1 + x)
pub fn log1p<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.f(1.0);
    let u = l.add(x, one);
    // 1 + x = u + c exactly
    let below = l.lt(x, one);
    let v = l.sub(u, one);
    let c1 = l.sub(x, v);
    let w = l.sub(u, x);
    let c2 = l.sub(one, w);
    let c = l.select(below, c1, c2);
    let (k, f) = exponent_and_fraction(l, u);
    // c 2^-k, or 0 where it is too small to matter and 2^-k no normal float
    let zero = l.f(0.0);
    let far = l.f(2.0f32.powi(60));
    let near = l.lt(x, far);
    let none = l.i(0);
    let minus = l.isub(none, k);
    let s = exp2_int(l, minus);
    let s = l.select(near, s, zero);
    let f = l.fma(c, s, f);
    let k = l.to_float(k);
    let y = log_of_parts(l, k, f);
    let y = log_edges(l, u, y);
    let limit = l.f(2.0f32.powi(-25));
    let a = l.abs(x);
    let tiny = l.lt(a, limit);
    l.select(tiny, x, y)
}

/// 1 / (1 + e^-x)
pub fn logistic<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.abs(x);
    let minus = l.neg(a);
    let e = exp(l, minus);
    let one = l.f(1.0);
    let zero = l.f(0.0);
    let negative = l.lt(x, zero);
    let top = l.select(negative, e, one);
    let d = l.add(one, e);
    let t = l.sub(one, d);
    let d_low = l.add(t, e);
    let q = l.div(top, d);
    // the remainder of the division by d + d_low, over d: 1 / d is q or 1 - q
    let minus_q = l.neg(q);
    let rest = l.fma(minus_q, d, top);
    let rest = l.fma(minus_q, d_low, rest);
    let other = l.sub(one, q);
    let inverse = l.select(negative, other, q);
    l.fma(rest, inverse, q)
}
