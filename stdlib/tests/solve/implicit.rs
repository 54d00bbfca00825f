//! Fixed points, linear systems and roots: solutions, and their implicit derivatives against differences.

use gradloom_frontend::{linalg, prelude::*};
use gradloom_stdlib::solve::*;

fn noise(seed: u64, shape: &[usize]) -> Tensor {
    random::normal(&Key::new(seed), shape).to(DType::F64)
}

/// The derivative of `f` along `d` by differences of fourth order.
fn difference<A: Tree>(f: impl Fn(&A) -> Tensor, x: &A, d: &A) -> f64 {
    let h = 1e-4;
    let at = |h: f64| f(&x.zip_map(d, |x, d| x + d * h)).item::<f64>().unwrap();
    (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h)
}

/// The gradient of a scalar function against differences, eager and compiled, and forward mode if there is one.
#[track_caller]
fn check<A: Tree>(f: impl Fn(&A) -> Tensor, x: &A, forward: bool) {
    let d = x.map(|t| (Tensor::arange(t.size()).to(t.dtype()).reshape(t.shape()) + 0.7).sin());
    let want = difference(&f, x, &d);
    let close =
        |what: &str, got: f64| assert!((got - want).abs() < 1e-8 * want.abs().max(1.0), "{what}: {got} is not {want}");
    for g in [grad(&f)(x), jit(grad(&f)).call(x).unwrap()] {
        close("gradient", g.leaves().iter().zip(d.leaves()).map(|(g, d)| (g * d).sum(..).item::<f64>().unwrap()).sum());
    }
    if forward {
        close("jvp", jvp(&f, x, &d).1.item().unwrap());
    }
}

#[test]
fn fixed_points() {
    // an equilibrium layer: x = tanh(W x + b)
    let args = (noise(1, &[4, 4]) * 0.2, noise(2, &[4]));
    let layer = |(w, b): &(Tensor, Tensor), x: &Tensor| (w.dot(x) + b).tanh();
    let method = FixedPoint { tolerance: 1e-14, ..FixedPoint::default() };
    let solve = |args: &(Tensor, Tensor)| method.solve(layer, args, &Tensor::full([4], 0.0, DType::F64));
    let x = solve(&args);
    assert!((layer(&args, &x) - &x).abs().max(..).item::<f64>().unwrap() < 1e-13);
    check(|args: &(Tensor, Tensor)| (solve(args) * noise(3, &[4])).sum(..), &args, false);
    // many at once
    let many = (args.0.clone(), noise(5, &[3, 4]));
    let all = vmap_with(Vmap::new().in_axes([None, Some(0)]), solve)(&many);
    for i in 0..3 {
        let one = solve(&(args.0.clone(), many.1.i(i)));
        assert!((all.i(i) - one).abs().max(..).item::<f64>().unwrap() < 1e-12);
    }
    // of a tree, and one that does not converge ends
    let pair = method.solve(
        |a: &Tensor, (x, y): &(Tensor, Tensor)| (y * a, x.cos()),
        &args.1.i(0),
        &(args.1.i(1), args.1.i(2)),
    );
    assert!((pair.0.cos() - pair.1).abs().item::<f64>().unwrap() < 1e-12);
    let away = FixedPoint { max_steps: 5, ..method }.solve(|_: &(), x: &Tensor| x * 2.0, &(), &Tensor::from([1.0f64]));
    assert_eq!(away.item::<f64>().unwrap(), 32.0);
}

#[test]
fn conjugate_gradients() {
    let a = noise(1, &[8, 8]);
    let a = a.matmul(&a.t()) + Tensor::eye(8).to(DType::F64);
    let b = noise(2, &[8]);
    let solve = |(a, b): &(Tensor, Tensor)| {
        Cg { tolerance: 1e-14, ..Cg::default() }.solve(|a: &Tensor, x: &Tensor| a.dot(x), a, b)
    };
    let s = solve(&(a.clone(), b.clone()));
    assert!((&s.x - linalg::solve(&a, &b)).abs().max(..).item::<f64>().unwrap() < 1e-11);
    assert!(s.products.item::<i32>().unwrap() <= 14);
    assert!(s.residual.item::<f64>().unwrap() < 1e-14);
    // a symmetric matrix is a function of what it is made of
    let symmetric = |(a, b): &(Tensor, Tensor)| (solve(&((a + a.t()) * 0.5, b.clone())).x * noise(3, &[8])).sum(..);
    check(symmetric, &(a, b), false);
    // unknowns that are trees: the Laplacian of a grid and one number beside
    let op = |k: &Tensor, (u, v): &(Tensor, Tensor)| {
        let padded = u.pad(&[(1, 1)], 0.0);
        (u * (k + 2.0) - padded.i(..-2) - padded.i(2..), v * 3.0)
    };
    let rhs = (noise(4, &[6]), noise(5, &[1]));
    let k = Tensor::full((), 0.3, DType::F64);
    let x = Cg::default().solve(op, &k, &rhs).x;
    let back = op(&k, &x);
    assert!(
        (back.0 - rhs.0).abs().max(..).item::<f64>().unwrap() < 1e-9
            && (back.1 - rhs.1).abs().max(..).item::<f64>().unwrap() < 1e-9
    );
    let zero = Cg::default().solve(|a: &Tensor, x: &Tensor| a * x, &k, &Tensor::full([3], 0.0, DType::F64));
    assert_eq!((zero.x.to_vec::<f64>().unwrap(), zero.residual.item::<f64>().unwrap()), (vec![0.0; 3], 0.0));
}

#[test]
fn generalised_minimal_residuals() {
    let a = noise(1, &[9, 9]) * 0.3 + Tensor::eye(9).to(DType::F64) * 2.0;
    let b = noise(2, &[9]);
    for restart in [20, 4] {
        let method = Gmres { tolerance: 1e-13, restart, ..Gmres::default() };
        let solve = |(a, b): &(Tensor, Tensor)| method.solve(|a: &Tensor, x: &Tensor| a.dot(x), a, b);
        let s = solve(&(a.clone(), b.clone()));
        assert!((&s.x - linalg::solve(&a, &b)).abs().max(..).item::<f64>().unwrap() < 1e-11, "restart {restart}");
        check(|x: &(Tensor, Tensor)| (solve(x).x * noise(3, &[9])).sum(..), &(a.clone(), b.clone()), false);
    }
    // a space that is complete after one vector
    let s = Gmres::default().solve(|a: &Tensor, x: &Tensor| x * a, &Tensor::full((), 4.0, DType::F64), &b);
    assert!((s.x * 4.0 - b).abs().max(..).item::<f64>().unwrap() < 1e-12);
}

#[test]
fn newton_steps() {
    let f = |(a, b): &(Tensor, Tensor), x: &Tensor| (x.exp() + a.dot(x)) - b;
    let args = (noise(1, &[3, 3]) * 0.3 + Tensor::eye(3).to(DType::F64), noise(2, &[3]) + 2.0);
    let solve = |args: &(Tensor, Tensor)| Newton::default().solve(f, args, &Tensor::full([3], 0.0, DType::F64));
    assert!(f(&args, &solve(&args)).abs().max(..).item::<f64>().unwrap() < 1e-12);
    check(|args: &(Tensor, Tensor)| (solve(args) * noise(3, &[3])).sum(..), &args, true);
    // whole steps lead away from here: arctan from 3
    let x = Newton::default().solve(|_: &(), x: &Tensor| x.atan(), &(), &Tensor::from([3.0f64]));
    assert!(x.item::<f64>().unwrap().abs() < 1e-12);
    // second derivatives: x³ = a has x'' = -2/9 a^(-5/3)
    let root = |a: &Tensor| Newton::default().solve(|a: &Tensor, x: &Tensor| x * x * x - a, a, &a.ones_like());
    let second = grad(grad(root))(&Tensor::full((), 8.0, DType::F64)).item::<f64>().unwrap();
    assert!((second + 2.0 / 9.0 / 32.0).abs() < 1e-12, "{second}");
}

#[test]
fn bisection() {
    let low = Tensor::full([4], -5.0, DType::F64);
    let solve =
        |a: &Tensor| Bisection::default().solve(|a: &Tensor, x: &Tensor| x * x * x + x - a, a, &low, &(&low + 9.0));
    let a = Tensor::from([1.0f64, -3.0, 0.0, 20.0]);
    let x = solve(&a);
    assert!((&x * &x * &x + &x - &a).abs().max(..).item::<f64>().unwrap() < 1e-13);
    check(|a: &Tensor| (solve(a).square() * noise(1, &[4])).sum(..), &a, true);
    let compiled = jit(solve).call(&a).unwrap();
    assert_eq!(compiled.to_vec::<f64>().unwrap(), x.to_vec::<f64>().unwrap());
    // one sign at both ends, a root at an end, a function that falls
    let ends = (Tensor::from([1.0f64, 0.0, -1.0]), Tensor::from([2.0f64, 1.0, 1.0]));
    let x =
        Bisection::default().solve(|a: &Tensor, x: &Tensor| a - x, &Tensor::from([0.0f64, 0.0, 0.5]), &ends.0, &ends.1);
    let x = x.to_vec::<f64>().unwrap();
    assert!(x[0].is_nan() && x[1].abs() < 1e-15 && (x[2] - 0.5).abs() < 1e-15, "{x:?}");
}
