//! Numbers in, numbers out: what the tests of transforms compare with.
#![allow(dead_code)] // each test file uses a part

use gradloom_frontend::Tensor;

/// An f64 vector.
pub fn v(data: &[f64]) -> Tensor {
    Tensor::from_slice([data.len()], data)
}

/// An f64 scalar.
pub fn s(x: f64) -> Tensor {
    Tensor::from_slice((), &[x])
}

#[track_caller]
pub fn close(got: &Tensor, expected: &[f64]) {
    let got = got.to_vec::<f64>().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(got.len(), expected.len(), "{got:?} against {expected:?}");
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= 1e-9 * e.abs().max(1.0), "{got:?} against {expected:?}");
    }
}

/// Fourth-order central difference of a function of one number.
pub fn slope(f: impl Fn(f64) -> f64, x: f64) -> f64 {
    let h = 1e-4;
    (8.0 * (f(x + h) - f(x - h)) - (f(x + 2.0 * h) - f(x - 2.0 * h))) / (12.0 * h)
}

/// A traced function of one number, evaluated.
pub fn eval(f: &impl Fn(&Tensor) -> Tensor, x: f64) -> f64 {
    f(&s(x)).item::<f64>().unwrap_or_else(|e| panic!("{e}"))
}
