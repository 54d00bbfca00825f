//! f32 functions against f64 ones over the whole range, and the special values of IEEE 754.

use super::*;
use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, PI};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

/// How far `got` is from `want`, in units of the last place of the f32 nearest to it.
fn ulps(got: f32, want: f64) -> f64 {
    let near = want as f32;
    if near.is_nan() || got.is_nan() {
        return if near.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == near {
        return if got == 0.0 && got.is_sign_negative() != near.is_sign_negative() { f64::INFINITY } else { 0.0 };
    }
    if near.is_infinite() || got.is_infinite() {
        // one of them just below the threshold of overflow counts as one step
        let last = |x: f32| x.abs() >= f32::MAX;
        return if last(near) && last(got) && (got > 0.0) == (near > 0.0) { 1.0 } else { f64::INFINITY };
    }
    let step = (f64::from(near.abs().next_up()) - f64::from(near.abs())).min(f64::from(f32::MAX));
    (f64::from(got) - want).abs() / step
}

/// About `n` floats spread evenly over the bit patterns, and a few thousand on either side of every power of two.
fn samples(n: u32) -> impl Iterator<Item = f32> {
    let step = u32::MAX / n | 1;
    let even = (0..n).map(move |i| f32::from_bits(i.wrapping_mul(step)));
    let near = (0u32..=255).flat_map(|e| {
        (0u32..40)
            .flat_map(move |d| [(e << 23).wrapping_add(d), (e << 23).wrapping_sub(d)])
            .flat_map(|b| [b, b ^ 1 << 31])
    });
    even.chain(near.map(f32::from_bits))
}

#[track_caller]
fn check(op: Unary, bound: f64, range: f32, samples: impl Iterator<Item = f32>) {
    let (mut worst, mut at) = (0.0, 0.0);
    for x in samples.filter(|x| !(x.abs() > range)) {
        let got = apply_unary(&mut Scalar, op, x).unwrap();
        let e = ulps(got, unary_f64(op, f64::from(x)));
        if e > worst {
            (worst, at) = (e, x);
        }
    }
    println!("{op:?}: {worst:.3} ulp at {at:?}");
    assert!(worst <= bound, "{op:?}({at:?}) is {worst} ulp off");
}

const BOUNDS: &[(Unary, f64)] = &[
    (Unary::Neg, 0.0),
    (Unary::Abs, 0.0),
    (Unary::Sign, 0.0),
    (Unary::Floor, 0.0),
    (Unary::Ceil, 0.0),
    (Unary::Round, 0.0),
    (Unary::Exp, 2.0),
    (Unary::Expm1, 2.0),
    (Unary::Log, 2.0),
    (Unary::Log1p, 2.0),
    (Unary::Sqrt, 0.5),
    (Unary::Rsqrt, 2.0),
    (Unary::Cbrt, 2.0),
    (Unary::Sin, 2.0),
    (Unary::Cos, 2.0),
    (Unary::Tan, 2.0),
    (Unary::Asin, 4.0),
    (Unary::Acos, 4.0),
    (Unary::Atan, 4.0),
    (Unary::Sinh, 4.0),
    (Unary::Cosh, 4.0),
    (Unary::Tanh, 2.0),
    (Unary::Asinh, 4.0),
    (Unary::Acosh, 4.0),
    (Unary::Atanh, 4.0),
    (Unary::Logistic, 2.0),
    (Unary::Erf, 2.0),
    (Unary::ErfInv, 40.0), // the formula rounds x^2 near 1
];

#[test]
fn every_function_is_near_its_f64_form() {
    assert_eq!(BOUNDS.len(), Unary::ALL.len() - 2);
    for &(op, bound) in BOUNDS {
        let range = if matches!(op, Unary::Sin | Unary::Cos | Unary::Tan) { 1e5 } else { NAN };
        check(op, bound, range, samples(200_000));
    }
}

#[test]
#[ignore]
fn exhaustive() {
    for op in std::env::var("OPS").unwrap().split(',') {
        let op = Unary::from_name(op).unwrap();
        let range = if matches!(op, Unary::Sin | Unary::Cos | Unary::Tan) { 1e5 } else { 110.0 };
        check(op, 100.0, range, (0..=u32::MAX).map(f32::from_bits).filter(|x| x.abs() > 1e-9));
    }
}
