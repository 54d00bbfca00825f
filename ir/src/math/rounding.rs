//! Rounding to integers, signs, and the greater and lesser of two.

use super::{Lanes, copysign};

/// Greatest integer not above x.
pub fn floor<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.f(1.0);
    let r = l.round(x);
    let over = l.lt(x, r);
    let lower = l.sub(r, one);
    l.select(over, lower, r)
}

/// Least integer not below x; -0 in (-1, 0).
pub fn ceil<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.f(1.0);
    let r = l.round(x);
    let under = l.lt(r, x);
    let upper = l.add(r, one);
    let y = l.select(under, upper, r);
    copysign(l, y, x)
}

/// Nearest integer, ties away from zero.
pub fn round_away<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (one, half) = (l.f(1.0), l.f(0.5));
    let a = l.abs(x);
    let r = l.round(a);
    let d = l.sub(a, r);
    let tie_fell = l.eq(d, half);
    let upper = l.add(r, one);
    let y = l.select(tie_fell, upper, r);
    copysign(l, y, x)
}

/// The next float after x towards y.
pub fn next_after<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let (zero, nan) = (l.f(0.0), l.f(f32::NAN));
    let (one, minus_one) = (l.i(1), l.i(-1));
    let bits = l.bits(x);
    // the bits of x count its size, whatever its sign
    let rising = l.lt(x, y);
    let positive = l.lt(zero, x);
    let up = l.iselect(positive, one, minus_one);
    let down = l.iselect(positive, minus_one, one);
    let step = l.iselect(rising, up, down);
    let bits = l.iadd(bits, step);
    let r = l.from_bits(bits);
    let least = l.from_bits(one);
    let first = copysign(l, least, y);
    let at_zero = l.eq(x, zero);
    let r = l.select(at_zero, first, r);
    let there = l.eq(x, y);
    let r = l.select(there, y, r);
    let x_known = l.eq(x, x);
    let y_known = l.eq(y, y);
    let known = l.and(x_known, y_known);
    l.select(known, r, nan)
}

/// -1 or 1 with the sign of x; x itself if it is a zero or NaN.
pub fn sign<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (zero, one) = (l.f(0.0), l.f(1.0));
    let a = l.abs(x);
    let some = l.lt(zero, a);
    let s = copysign(l, one, x);
    l.select(some, s, x)
}

/// a if `first` else b, `tie` if they are equal; NaN wins.
fn extremum<L: Lanes>(l: &mut L, a: L::F, b: L::F, first: L::M, tie: L::I) -> L::F {
    let r = l.select(first, a, b);
    let tie = l.from_bits(tie);
    let same = l.eq(a, b);
    let r = l.select(same, tie, r);
    let a_known = l.eq(a, a);
    let r = l.select(a_known, r, a);
    let b_known = l.eq(b, b);
    l.select(b_known, r, b)
}

/// The greater; NaN wins, 0 is above -0.
pub fn max<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> L::F {
    let first = l.lt(b, a);
    let (ab, bb) = (l.bits(a), l.bits(b));
    let tie = l.iand(ab, bb);
    extremum(l, a, b, first, tie)
}

/// The lesser; NaN wins, -0 is below 0.
pub fn min<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> L::F {
    let first = l.lt(a, b);
    let (ab, bb) = (l.bits(a), l.bits(b));
    let tie = l.ior(ab, bb);
    extremum(l, a, b, first, tie)
}
