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

/// About `n` floats spread evenly over the bit patterns, and a few dozen on either side of every power of two.
fn samples(n: u32) -> impl Iterator<Item = f32> {
    let step = (u32::MAX / n) | 1;
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
    for x in samples.filter(|x| x.is_nan() || x.abs() <= range) {
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
        let range = if matches!(op, Unary::Sin | Unary::Cos | Unary::Tan) { 1e5 } else { INF };
        check(op, bound, range, samples(200_000));
    }
}

#[test]
fn special_values() {
    use Unary::*;
    let inf64 = f64::INFINITY;
    // every function at 0, -0, inf, -inf and NaN
    let edges =
        [0.0, -0.0, INF, -INF, NAN, f32::MIN_POSITIVE, 1e-45, -1e-45, f32::MAX, -f32::MAX, 1.0, -1.0, 0.5, -0.5];
    for &(op, bound) in BOUNDS {
        let angle = matches!(op, Sin | Cos | Tan);
        for x in edges.into_iter().filter(|x: &f32| !(angle && x.is_finite() && x.abs() > 1e5)) {
            let (got, want) = (apply_unary(&mut Scalar, op, x).unwrap(), unary_f64(op, f64::from(x)));
            assert!(ulps(got, want) <= bound, "{op:?}({x:?}) = {got:?}, not {want:?}");
        }
    }
    let table: &[(Unary, f32, f64)] = &[
        (Exp, 89.0, inf64),
        (Exp, -104.0, 0.0),
        (Exp, -103.0, 1e-45),
        (Exp, 88.72283, f64::from(f32::MAX)),
        (Expm1, -40.0, -1.0),
        (Expm1, 89.0, inf64),
        (Log, 0.0, -inf64),
        (Log, -1e-45, f64::NAN),
        (Log, 1.0, 0.0),
        (Log1p, -1.0, -inf64),
        (Log1p, -1.5, f64::NAN),
        (Ceil, -0.3, -0.0),
        (Ceil, -0.7, -0.0),
        (Floor, -0.3, -1.0),
        (Round, 0.5, 0.0),
        (Round, 1.5, 2.0),
        (Round, -2.5, -2.0),
        (Rsqrt, 0.0, inf64),
        (Rsqrt, -0.0, -inf64),
        (Rsqrt, -1.0, f64::NAN),
        (Sign, -0.0, -0.0),
        (Sign, -3.0, -1.0),
        (Asin, 1.0001, f64::NAN),
        (Acos, 1.0, 0.0),
        (Acosh, 0.999, f64::NAN),
        (Acosh, -1e9, f64::NAN),
        (Atanh, -1.0, -inf64),
        (Atanh, 1.5, f64::NAN),
        (Cosh, -100.0, inf64),
        (Sinh, -100.0, -inf64),
        (Tanh, 20.0, 1.0),
        (Logistic, -200.0, 0.0),
        (Logistic, 200.0, 1.0),
        (Erf, -5.0, -1.0),
        (ErfInv, 1.0, inf64),
        (ErfInv, -1.0, -inf64),
        (ErfInv, 1.1, f64::NAN),
        (Sin, INF, f64::NAN),
        (Cos, -INF, f64::NAN),
        (Tan, INF, f64::NAN),
    ];
    for &(op, x, want) in table {
        let got = apply_unary(&mut Scalar, op, x).unwrap();
        assert!(ulps(got, want) <= 1.0, "{op:?}({x:?}) = {got:?}, not {want:?}");
        assert!(ulps(unary_f64(op, f64::from(x)) as f32, want) <= 1.0, "{op:?} in f64 at {x:?}");
    }
}

#[test]
fn sine_and_cosine_stay_in_range_far_out() {
    for x in samples(20_000).filter(|x| x.is_finite()) {
        let (s, c) = (sin(&mut Scalar, x), cos(&mut Scalar, x));
        assert!(s.abs() <= 1.0 && c.abs() <= 1.0, "{x:?}: {s} {c}");
        assert!(x.abs() > 1e6 || (s * s + c * c - 1.0).abs() < 1e-6, "{x:?}: {s} {c}");
    }
}

#[test]
fn power_is_accurate() {
    let mut worst = (0.0, 0.0, 0.0);
    let mut bits = 1u32;
    for i in 0..400_000u32 {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let x = match i % 4 {
            0 => f32::from_bits(bits >> 1),
            1 => f32::from_bits(0x3f80_0000 ^ (bits >> 14)), // around 1
            2 => f32::from_bits(0x3f80_0000 ^ (bits >> 9)),
            _ => (bits >> 24) as f32 / 8.0,
        };
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // exponents that make the result any float, and small round ones
        let reach = 150.0 / x.log2().abs().max(1e-6);
        let y =
            if i % 3 == 0 { (bits >> 26) as f32 / 4.0 - 8.0 } else { (bits as f32 / 2.0f32.powi(31) - 1.0) * reach };
        let e = ulps(pow(&mut Scalar, x, y), f64::from(x).powf(f64::from(y)));
        if e > worst.0 {
            worst = (e, x, y);
        }
    }
    println!("pow: {worst:?}");
    assert!(worst.0 <= 2.0, "pow({:?}, {:?}) is {} ulp off", worst.1, worst.2, worst.0);
}

const EDGES: [f32; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    3.0,
    -3.0,
    0.5,
    -0.5,
    1.5,
    -2.5,
    INF,
    -INF,
    NAN,
    1e-45,
    -1e-45,
    f32::MAX,
    -f32::MAX,
    16777215.0,
    16777216.0,
    0.99999994,
];

#[test]
fn functions_of_two_operands_at_the_edges() {
    for x in EDGES {
        for y in EDGES {
            let (a, b) = (f64::from(x), f64::from(y));
            for (name, got, want) in
                [("pow", pow(&mut Scalar, x, y), pow_f64(a, b)), ("atan2", atan2(&mut Scalar, x, y), atan2_f64(a, b))]
            {
                assert!(ulps(got, want) <= 4.0, "{name}({x:?}, {y:?}) = {got:?}, not {want:?}");
            }
            let nan = x.is_nan() || y.is_nan();
            let (hi, lo) = (max(&mut Scalar, x, y), min(&mut Scalar, x, y));
            if nan {
                assert!(hi.is_nan() && lo.is_nan());
            } else {
                let (want_lo, want_hi) = if x.total_cmp(&y).is_lt() { (x, y) } else { (y, x) };
                assert_eq!((hi.to_bits(), lo.to_bits()), (want_hi.to_bits(), want_lo.to_bits()), "{x:?} {y:?}");
            }
        }
    }
}

#[test]
fn angles_of_points() {
    let mut worst = 0.0;
    for x in samples(600).filter(|x| x.is_finite()).step_by(13) {
        for y in samples(300).filter(|y| y.is_finite()).step_by(31) {
            let e = ulps(atan2(&mut Scalar, y, x), f64::from(y).atan2(f64::from(x)));
            worst = f64::max(worst, e);
            assert!(e <= 4.0, "atan2({y:?}, {x:?}) is {e} ulp off");
        }
    }
    println!("atan2: {worst}");
    assert_eq!(atan2(&mut Scalar, 1.0, 0.0), FRAC_PI_2);
    assert!((atan2(&mut Scalar, 1.0, 1.0) - FRAC_PI_4).abs() <= FRAC_PI_4 * f32::EPSILON);
    assert_eq!(atan2(&mut Scalar, -0.0, -1.0), -PI);
}

#[test]
fn inverse_error_function_in_f64() {
    for i in -999..1000 {
        let y = f64::from(i) / 1000.0 * 5.0;
        let x = libm::erf(y);
        let back = unary_f64(Unary::ErfInv, x);
        // one step of x moves y by this much
        let slack = f64::EPSILON * (2.0 + x.abs() * (y * y).exp());
        assert!((back - y).abs() <= slack, "{y}: {back}");
    }
    assert_eq!(unary_f64(Unary::ErfInv, 1e-300), 1e-300 * std::f64::consts::PI.sqrt() / 2.0);
}
