//! Powers and roots.

use super::exponential::{round_scaled, split};
use super::{Lanes, copysign, poly};

/// 2 / ln 2 and a third of it, in two parts each: the first terms of log2((1 + s) / (1 - s)) / s in s^2.
const C0: (f32, f32) = (2.88539, 3.851926e-8);
const C1: (f32, f32) = (0.9617967, -7.028462e-9);
/// The rest of that series over s^4, |s| <= 1/5.
const LOG2: [f32; 3] = [0.57708365, 0.41153866, 0.34439418];
/// (2^f - 1) / f on |f| <= 1/2.
#[allow(clippy::approx_constant)] // fitted; that the first rounds to ln 2 is chance
const EXP2: [f32; 7] = [0.6931472, 0.2402265, 0.055504054, 0.009618083, 0.0013337457, 0.00015454328, 1.4475679e-5];

/// a + b as a rounded sum and what it lost, for |a| >= |b| or a = 0.
fn fast_two_sum<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> (L::F, L::F) {
    let s = l.add(a, b);
    let d = l.sub(a, s);
    (s, l.add(d, b))
}

/// log2 x in two parts, for positive finite x, with a relative error of about 2^-34.
fn log2_parts<L: Lanes>(l: &mut L, x: L::F) -> (L::F, L::F) {
    let (k, f) = split(l, x);
    // s = f / (2 + f) in two parts
    let (one, two) = (l.f(1.0), l.f(2.0));
    let d = l.add(two, f);
    let t = l.sub(two, d);
    let dl = l.add(t, f);
    let inverse = l.div(one, d);
    let s = l.mul(f, inverse);
    let minus = l.neg(s);
    let e = l.fma(minus, d, f);
    let e = l.fma(minus, dl, e);
    let sl = l.mul(e, inverse);
    // u = s^2 in two parts
    let u = l.mul(s, s);
    let minus_u = l.neg(u);
    let ul = l.fma(s, s, minus_u);
    let twice = l.add(s, s);
    let ul = l.fma(twice, sl, ul);
    // c1 + u q(u)
    let q = poly(l, u, &LOG2);
    let uq = l.mul(u, q);
    let (c1, c1_low) = (l.f(C1.0), l.f(C1.1));
    let (a, al) = fast_two_sum(l, c1, uq);
    let al = l.add(al, c1_low);
    // times u, plus c0
    let t = l.mul(u, a);
    let minus_t = l.neg(t);
    let tl = l.fma(u, a, minus_t);
    let tl = l.fma(u, al, tl);
    let tl = l.fma(ul, a, tl);
    let (c0, c0_low) = (l.f(C0.0), l.f(C0.1));
    let (d, dl) = fast_two_sum(l, c0, t);
    let tl = l.add(tl, c0_low);
    let dl = l.add(dl, tl);
    // times s, plus k
    let h = l.mul(s, d);
    let minus_h = l.neg(h);
    let hl = l.fma(s, d, minus_h);
    let hl = l.fma(s, dl, hl);
    let hl = l.fma(sl, d, hl);
    let (high, low) = fast_two_sum(l, k, h);
    (high, l.add(low, hl))
}

/// 2^(a + b) for small b; a may be anything but NaN.
fn exp2_parts<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> L::F {
    let bounded = l.clamp(a, -200.0, 200.0);
    let inside = l.eq(bounded, a);
    let zero = l.f(0.0);
    let b = l.select(inside, b, zero);
    let (n, i) = round_scaled(l, bounded, 1.0);
    let f = l.sub(bounded, n);
    let f = l.add(f, b);
    let p = poly(l, f, &EXP2);
    let one = l.f(1.0);
    let p = l.fma(f, p, one);
    l.scale(p, n, i)
}

/// x to the power y, with the special cases of IEEE 754.
pub fn pow<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let (zero, half, one, inf, nan) = (l.f(0.0), l.f(0.5), l.f(1.0), l.f(f32::INFINITY), l.f(f32::NAN));
    let a = l.abs(x);
    let (h, hl) = log2_parts(l, a);
    let p = l.mul(y, h);
    let minus = l.neg(p);
    let pl = l.fma(y, h, minus);
    let pl = l.fma(y, hl, pl);
    let r = exp2_parts(l, p, pl);

    let falling = l.lt(y, zero);
    let at_zero = l.select(falling, inf, zero);
    let at_inf = l.select(falling, zero, inf);
    let is_zero = l.eq(a, zero);
    let r = l.select(is_zero, at_zero, r);
    let is_inf = l.eq(a, inf);
    let r = l.select(is_inf, at_inf, r);
    let is_one = l.eq(a, one);
    let r = l.select(is_one, one, r);

    // an odd integer keeps the sign of x: half of it is no integer
    let whole = l.round(y);
    let is_whole = l.eq(whole, y);
    let h = l.mul(y, half);
    let hr = l.round(h);
    let is_even = l.eq(h, hr);
    let sign = copysign(l, one, x);
    let sign = l.select(is_even, one, sign);
    let sign = l.select(is_whole, sign, one);
    let r = l.mul(r, sign);

    // a negative finite base has no real power but whole ones
    let plus = l.select(is_whole, zero, x);
    let negative = l.lt(plus, zero);
    let least = l.f(f32::NEG_INFINITY);
    let finite = l.lt(least, x);
    let undefined = l.and(negative, finite);
    let r = l.select(undefined, nan, r);

    let x_known = l.eq(x, x);
    let y_known = l.eq(y, y);
    let known = l.and(x_known, y_known);
    let r = l.select(known, r, nan);
    let y_zero = l.eq(y, zero);
    let x_one = l.eq(x, one);
    let trivial = l.or(y_zero, x_one);
    l.select(trivial, one, r)
}

/// 1 / sqrt(x)
pub fn rsqrt<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.f(1.0);
    let s = l.sqrt(x);
    l.div(one, s)
}

/// Cube root: a guess from the exponent, two steps of Halley.
pub fn cbrt<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (zero, inf, two, third) = (l.f(0.0), l.f(f32::INFINITY), l.f(2.0), l.f(1.0 / 3.0));
    let a = l.abs(x);
    // cubes of powers of two bring m and m + 2 t^3 away from both ends
    let edge = l.f(2.0f32.powi(-100));
    let small = l.lt(a, edge);
    let (up, down) = (l.f(2.0f32.powi(24)), l.f(2.0f32.powi(-6)));
    let (back_down, back_up) = (l.f(2.0f32.powi(-8)), l.f(2.0f32.powi(2)));
    let factor = l.select(small, up, down);
    let back = l.select(small, back_down, back_up);
    let m = l.mul(a, factor);
    // a third of the exponent, plus two thirds of the bias
    let bits = l.bits(m);
    let bits = l.to_float(bits);
    let t = l.mul(bits, third);
    let t = l.to_int(t);
    let bias = l.i(0x2a51_2ce3);
    let t = l.iadd(t, bias);
    let mut t = l.from_bits(t);
    for _ in 0..2 {
        // t + t (m - t^3) / (2 t^3 + m)
        let t2 = l.mul(t, t);
        let minus = l.neg(t2);
        let d = l.fma(minus, t, m);
        let t3 = l.mul(t2, t);
        let e = l.fma(two, t3, m);
        let q = l.div(d, e);
        t = l.fma(t, q, t);
    }
    let y = l.mul(t, back);
    let y = copysign(l, y, x);
    // 0, infinities and NaN are their own roots
    let is_zero = l.eq(a, zero);
    let y = l.select(is_zero, x, y);
    let finite = l.lt(a, inf);
    l.select(finite, y, x)
}
