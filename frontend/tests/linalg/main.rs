//! Linear algebra: against NumPy, SciPy and JAX, identities, differences, and itself under every transform.

mod complex;
mod degenerate;
mod derivatives;
mod shapes;
mod transformed;
mod values;

use gradloom_frontend::Tensor;
use gradloom_frontend::prelude::*;

/// An f64 tensor of numbers without pattern: sin(1.7 k^2 + seed) for k = 1, 2, ..
fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let n: usize = shape.iter().product();
    let data: Vec<f64> = (1..=n).map(|k| (1.7 * (k * k) as f64 + f64::from(seed)).sin()).collect();
    Tensor::from_slice(shape, &data)
}

/// A list of `reference.txt`.
fn of(name: &str) -> &'static [f64] {
    let line = include_str!("reference.txt").lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(" = "));
    let numbers = line.unwrap_or_else(|| panic!("no reference {name}")).split(' ');
    numbers.map(|x| x.parse().unwrap()).collect::<Vec<f64>>().leak()
}

/// The identity.
fn one(n: usize) -> Tensor {
    Tensor::eye(n).to(DType::F64)
}

/// A symmetric positive definite matrix, or a batch of them.
fn definite(shape: &[usize], seed: u32) -> Tensor {
    let x = numbers(shape, seed);
    x.matmul(&x.mt()) + one(x.dim(-1))
}

#[track_caller]
fn read(t: &Tensor) -> Vec<f64> {
    t.to_f64_vec().unwrap_or_else(|e| panic!("{e}"))
}

/// Each element within the tolerance, relative to the greatest.
#[track_caller]
fn near(got: &Tensor, want: &[f64], tolerance: f64) {
    let got = read(got);
    assert_eq!(got.len(), want.len());
    let top = want.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan());
        assert!(same || (g - w).abs() <= tolerance * top, "element {i}: {g} instead of {w}\n{got:?}\n{want:?}");
    }
}

#[track_caller]
fn same(got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.shape(), want.shape());
    near(got, &read(want), tolerance);
}

#[track_caller]
fn says(t: &Tensor, parts: &[&str]) {
    let e = t.check().expect_err("an error").to_string();
    for p in parts {
        assert!(e.contains(p), "`{e}` should contain `{p}`");
    }
}

/// First and second derivatives of the sum of `f` times fixed weights, against differences of fourth order, along a
/// direction; forward, reverse, forward over reverse and reverse over reverse.
#[track_caller]
fn differentiable(what: &str, f: impl Fn(&Tensor) -> Tensor, x: &Tensor) {
    differentiable_within(what, f, x, 1e-7);
}

#[track_caller]
fn differentiable_within(what: &str, f: impl Fn(&Tensor) -> Tensor, x: &Tensor, tolerance: f64) {
    let f = |x: &Tensor| {
        let y = f(x);
        (&y * numbers(y.shape(), 77)).sum(..)
    };
    let t = numbers(x.shape(), 5);
    let inner = |a: &Tensor, b: &Tensor| (a * b).sum(..);
    let value = |h: f64| read(&f(&(x + &t * h)))[0];
    let forward = |x: &Tensor| jvp(f, x, &t).1;
    let slope = |h: f64| read(&forward(&(x + &t * h)))[0];
    let difference = |g: &dyn Fn(f64) -> f64, h: f64| (8.0 * (g(h) - g(-h)) - (g(2.0 * h) - g(-2.0 * h))) / (12.0 * h);
    let check = |order: &str, got: f64, want: f64| {
        assert!((got - want).abs() <= tolerance * (1.0 + want.abs()), "{what}, {order}: {got} instead of {want}");
    };
    let first = difference(&value, 1e-3);
    check("forward", slope(0.0), first);
    check("reverse", read(&inner(&grad(f)(x), &t))[0], first);
    let second = difference(&slope, 1e-3);
    check("forward over forward", read(&jvp(forward, x, &t).1)[0], second);
    check("forward over reverse", read(&inner(&jvp(grad(f), x, &t).1, &t))[0], second);
    check("reverse over reverse", read(&inner(&grad(|x: &Tensor| inner(&grad(f)(x), &t))(x), &t))[0], second);
}
