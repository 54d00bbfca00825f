//! f32 functions against f64 ones over the whole range, f64 functions against stored values, and the special values of
//! IEEE 754.

mod sweep;

use gradloom_ir::Unary;
use gradloom_ir::math::*;
use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, PI};
use sweep::{BOUNDS, POWER, samples, stored, stored_bound, ulps, worst, worst_power};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

#[test]
fn every_function_is_near_its_f64_form() {
    let floats = Unary::ALL.iter().filter(|op| apply_unary(&mut Scalar, **op, 1.0).is_some());
    assert_eq!(BOUNDS.len(), floats.count());
    for b in BOUNDS {
        let (e, at) = worst(b, samples(200_000));
        println!("{:?}: {e:.3} ulp at {at:?}", b.op);
        assert!(e <= b.ulps, "{:?}({at:?}) is {e} ulp off", b.op);
    }
}

/// Functions of f64 against values computed with 40 digits.
#[test]
fn f64_functions_are_near_stored_values() {
    let stored = stored();
    assert_eq!(stored.len(), 18);
    for (name, e, at) in stored {
        assert!(e <= stored_bound(&name), "{name} is {e} ulp off: {at}");
    }
}

#[test]
fn special_values() {
    use Unary::*;
    let inf64 = f64::INFINITY;
    // every function at 0, -0, inf, -inf and NaN
    let edges =
        [0.0, -0.0, INF, -INF, NAN, f32::MIN_POSITIVE, 1e-45, -1e-45, f32::MAX, -f32::MAX, 1.0, -1.0, 0.5, -0.5];
    for b in BOUNDS {
        let op = b.op;
        for x in edges.into_iter().filter(|x: &f32| !x.is_finite() || x.abs() <= b.range) {
            let (got, want) = (apply_unary(&mut Scalar, op, x).unwrap(), unary_f64(op, f64::from(x)));
            assert!(ulps(got, want) <= b.ulps, "{op:?}({x:?}) = {got:?}, not {want:?}");
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
    let (e, x, y) = worst_power(400_000);
    assert!(e <= POWER, "pow({x:?}, {y:?}) is {e} ulp off");
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
