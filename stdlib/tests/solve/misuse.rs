//! What has no meaning is one clear error.

use gradloom_frontend::prelude::*;
use gradloom_stdlib::solve::quadrature::*;
use gradloom_stdlib::solve::*;

#[track_caller]
fn says(t: &Tensor, part: &str) {
    let e = t.check().expect_err(part).to_string();
    assert!(e.contains(part), "{e}");
}

#[test]
fn initial_value_problems() {
    let y = Tensor::from([1.0f64]);
    let ts = Tensor::from([0.0f64, 1.0]);
    let f = |_: &Tensor, y: &Tensor, (): &()| -y;
    let run = |solver: Dopri5, ts: &Tensor| odeint(&solver, f, &y, ts, &()).ys;
    let good = Dopri5::default();
    says(&run(Dopri5 { rtol: 0.0, atol: 0.0, ..good }, &ts), "the tolerances are 0 and 0");
    says(&run(Dopri5 { max_steps: 0, ..good }, &ts), "0 steps");
    says(&run(Dopri5 { first_step: Some(0.0), ..good }, &ts), "the first step");
    says(&run(good, &Tensor::full((), 1.0, DType::F64)), "they must be a vector");
    says(&run(good, &ts.to(DType::F32)), "f32");
    says(&odeint_adjoint(&good, f, &y, &ts.to(DType::F32), &()).ys, "f32");
    let args = Tensor::from([1.0f32]);
    let scaled = |_: &Tensor, y: &Tensor, k: &Tensor| y * k.to(DType::F64);
    says(&odeint_adjoint(&good, scaled, &y, &ts, &args).ys, "f32");
    let steps = FixedStep { method: Tableau::RK4, steps: 0 };
    says(&odeint(&steps, f, &y, &ts, &()).ys, "0 steps from one time to the next");
    let table = FixedStep { method: Tableau { a: &[&[1.0]], b: &[1.0], c: &[0.0] }, steps: 1 };
    says(&odeint(&table, f, &y, &ts, &()).ys, "tableau");
    // a field of another shape
    assert!(
        odeint(&good, |_: &Tensor, _: &Tensor, (): &()| Tensor::from([1.0f64, 2.0]), &y, &ts, &()).ys.check().is_err()
    );
}

#[test]
fn systems() {
    let b = Tensor::from([1.0f64]);
    let same = |(): &(), x: &Tensor| x.clone();
    says(&Cg { tolerance: f64::NAN, ..Default::default() }.solve(same, &(), &b).x, "the tolerance is NaN");
    says(&Gmres { restart: 0, ..Default::default() }.solve(same, &(), &b).x, "a basis of 0 vectors");
    says(&FixedPoint { tolerance: -1.0, ..Default::default() }.solve(same, &(), &b), "the tolerance is -1");
    says(
        &Newton::default().solve(|(): &(), x: &Tensor| x.clone(), &(), &Tensor::from([1])),
        "no elements of a float dtype",
    );
    says(
        &Bisection::default().solve(|(): &(), x| x.clone(), &(), &b, &Tensor::from([1.0f64, 2.0])),
        "floats of one type",
    );
    let wrong = Newton::default().solve(|(): &(), _: &Tensor| Tensor::from([1.0f64, 2.0]), &(), &b);
    assert!(wrong.check().is_err());
}

/// What a closure captures has no derivative through an implicit solution: an error, not 0.
#[test]
fn captured_tensors_are_not_differentiated() {
    let a = Tensor::full((), 0.5, DType::F64);
    let x0 = a.ones_like();
    let b = Tensor::from([1.0f64, 2.0]);
    let ts = Tensor::from([0.0f64, 1.0]);
    let fixed = |a: &Tensor| FixedPoint::default().solve(|(): &(), x: &Tensor| (a * x).cos(), &(), &x0);
    let newton = |a: &Tensor| Newton::default().solve(|(): &(), x: &Tensor| x.exp() - a, &(), &x0);
    let bisection = |a: &Tensor| Bisection::default().solve(|(): &(), x: &Tensor| x - a, &(), &-&x0, &x0);
    let cg = |a: &Tensor| Cg::default().solve(|(): &(), x: &Tensor| x * a, &(), &b).x.sum(..);
    let adjoint = |a: &Tensor| {
        odeint_adjoint(&Dopri5::default(), |_: &Tensor, y: &Tensor, (): &()| y * a, &b, &ts, &()).ys.sum(..)
    };
    type F<'a> = &'a dyn Fn(&Tensor) -> Tensor;
    for (name, f) in
        [("fixed", &fixed as F), ("newton", &newton), ("bisection", &bisection), ("cg", &cg), ("ode", &adjoint)]
    {
        assert!(f(&a).check().is_ok(), "{name}");
        assert!(grad(f)(&a).check().is_err(), "{name}: {}", grad(f)(&a));
    }
}

#[test]
fn tables() {
    assert!(gauss_legendre(0).unwrap_err().to_string().contains("0 nodes"));
    assert!(gauss_hermite(513).is_err());
    assert!(clenshaw_curtis(1).is_err());
}
