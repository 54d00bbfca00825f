//! Modified Bessel functions of the first kind, times e^-|x|.

use super::exponential::exp;
use super::{Lanes, copysign, poly};

/// I0(x) in x^2 / 4, |x| <= 6; sqrt(x) e^-x I0(x) in 1 / x beyond.
const I0: [f32; 10] = [
    1.0,
    1.0,
    0.25,
    0.027777782,
    0.0017361033,
    6.945034e-05,
    1.9267527e-06,
    3.9847933e-08,
    5.581181e-10,
    1.1060653e-11,
];
#[allow(clippy::approx_constant)] // fitted
const I0_FAR: [f32; 8] =
    [0.3989423, 0.049860917, 0.028751267, 0.0023016974, 0.5362798, -4.4841475, 20.960546, -34.284492];
/// 2 I1(x) / x in x^2 / 4, |x| <= 6; sqrt(x) e^-x I1(x) in 1 / x beyond.
const I1: [f32; 10] = [
    1.0,
    0.5,
    0.083333336,
    0.006944439,
    0.00034722665,
    1.1572395e-05,
    2.758902e-07,
    4.895896e-09,
    6.790224e-11,
    9.405982e-13,
];
const I1_FAR: [f32; 8] =
    [0.3989423, -0.14960901, -0.046288975, -0.054935347, 0.1423982, -1.5604904, 5.1526594, -10.770699];

/// factor e^-a P(a^2 / 4) for a <= 6, Q(1 / a) / sqrt(a) beyond.
fn scaled<L: Lanes>(l: &mut L, a: L::F, factor: L::F, near: &[f32], far: &[f32]) -> L::F {
    let (one, half, edge) = (l.f(1.0), l.f(0.5), l.f(6.0));
    let h = l.mul(a, half);
    let t = l.mul(h, h);
    let p = poly(l, t, near);
    let minus = l.neg(a);
    let e = exp(l, minus);
    let p = l.mul(p, factor);
    let inner = l.mul(p, e);
    let inverse = l.div(one, a);
    let q = poly(l, inverse, far);
    let root = l.sqrt(a);
    let outer = l.div(q, root);
    let is_outer = l.lt(edge, a);
    l.select(is_outer, outer, inner)
}

/// e^-|x| I0(x)
pub fn bessel_i0e<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.abs(x);
    let one = l.f(1.0);
    scaled(l, a, one, &I0, &I0_FAR)
}

/// e^-|x| I1(x)
pub fn bessel_i1e<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.abs(x);
    let half = l.f(0.5);
    let h = l.mul(a, half);
    let y = scaled(l, a, h, &I1, &I1_FAR);
    copysign(l, y, x)
}
