//! L-BFGS and Levenberg and Marquardt's method on functions whose minima are known.

use super::reference::stored;
use gradloom_frontend::prelude::*;
use gradloom_stdlib::optim::*;

/// Rosenbrock's function of any number of variables (least at 1, where it is 0).
fn rosenbrock(x: &Tensor) -> Tensor {
    let n = x.size();
    let (a, b) = (x.slice_axis(0, 0, n - 1), x.slice_axis(0, 1, n));
    ((b - a.square()).square() * 100.0 + (a - 1.0).square()).sum(..)
}

/// Beale's function (least at (3, 0.5), where it is 0).
fn beale(x: &Tensor) -> Tensor {
    let (a, b) = (x.i(0), x.i(1));
    [(1, 1.5), (2, 2.25), (3, 2.625)].iter().fold(a.zeros_like(), |sum, &(k, c)| {
        let power = (1..k).fold(b.clone(), |p, _| p * &b);
        sum + (&a * (power - 1.0) + c).square()
    })
}

/// A convex function of very different curvatures (least at 0).
fn valley(x: &Tensor) -> Tensor {
    let scale = Tensor::arange(x.size()).to(x.dtype()) * 0.7;
    (x.square() * scale.exp()).sum(..) * 0.5 + (x.square() + 1.0).log().sum(..)
}

fn f64s(x: &[f64]) -> Tensor {
    Tensor::from_slice([x.len()], x)
}

#[test]
fn lbfgs_finds_known_minima() {
    type Case = (&'static str, fn(&Tensor) -> Tensor, Vec<f64>);
    let cases: [Case; 4] = [
        ("rosenbrock2", rosenbrock, vec![-1.2, 1.0]),
        ("rosenbrock6", rosenbrock, vec![0.0; 6]),
        ("beale", beale, vec![1.0, 1.0]),
        ("valley", valley, vec![1.0, -2.0, 3.0, -1.0, 0.5]),
    ];
    for (name, f, start) in cases {
        let want = stored(&format!("minimum.{name}")).to_vec::<f64>().unwrap();
        // no more than half as often again as scipy's L-BFGS-B
        let evaluations = stored(&format!("evaluations.{name}")).item::<f64>().unwrap() * 1.5;
        let start = f64s(&start);
        let method = Lbfgs { tolerance: 1e-9, ..Lbfgs::default() };
        let eager = method.minimize(f, &start);
        let compiled = jit(|x: &Tensor| method.minimize(f, x)).call(&start).unwrap();
        for end in [eager, compiled] {
            assert!(end.converged.item::<bool>().unwrap(), "{name}: gradient {}", end.gradient);
            for (x, w) in end.params.to_vec::<f64>().unwrap().iter().zip(&want) {
                assert!((x - w).abs() < 1e-8, "{name}: {x} is not {w}");
            }
            let n = end.evaluations.item::<i32>().unwrap();
            assert!(f64::from(n) <= evaluations, "{name}: {n} evaluations, {evaluations} at most");
        }
    }
}

#[test]
fn each_step_of_lbfgs_satisfies_the_strong_wolfe_conditions() {
    let method = Lbfgs { c1: 1e-4, c2: 0.4, ..Lbfgs::default() };
    for f in [rosenbrock as fn(&Tensor) -> Tensor, valley] {
        let mut s = method.init(f, &f64s(&[-1.2, 1.0, 0.3]));
        for _ in 0..15 {
            let next = method.step(f, &s);
            let step = &next.params - &s.params;
            let [before, after] = [&s, &next].map(|s| s.memory.g.dot(&step).item::<f64>().unwrap());
            let [f0, f1] = [&s, &next].map(|s| s.value.item::<f64>().unwrap());
            assert!(f1 <= f0 + 1e-4 * before, "no decrease: {f0} to {f1}, slope {before}");
            assert!(after.abs() <= 0.4 * before.abs() * (1.0 + 1e-12), "slope {after} of {before}");
            s = next;
        }
    }
}

#[test]
fn lbfgs_of_trees_and_of_many_starts() {
    type P = (Tensor, Vec<Tensor>, Tensor);
    let loss = |(a, b, _): &P| {
        (a - 2.0).square().sum(..) + (&b[0] + 1.0).square().sum(..) * 3.0 + (a.sum(..) * b[0].sum(..)) * 0.1
    };
    let start: P = (Tensor::zeros([2]), vec![Tensor::zeros([1, 2])], Tensor::from([5]));
    let end = Lbfgs { tolerance: 1e-5, ..Lbfgs::default() }.minimize(loss, &start);
    assert!(end.converged.item::<bool>().unwrap());
    assert_eq!(end.params.2.item::<i32>().unwrap(), 5);
    let g = grad(loss)(&end.params);
    assert!(global_norm(&g).item::<f32>().unwrap() < 1e-4);

    let starts = Tensor::from([[-1.2f64, 1.0], [2.0, 2.0], [0.0, -1.0]]);
    let ends = vmap(|x: &Tensor| Lbfgs::default().minimize(rosenbrock, x))(&starts);
    assert!(ends.converged.to_vec::<bool>().unwrap().iter().all(|c| *c));
    assert!((ends.params - 1.0).abs().max(..).item::<f64>().unwrap() < 1e-5);
}

#[test]
fn at_a_minimum_lbfgs_stays() {
    let end = Lbfgs::default().minimize(rosenbrock, &f64s(&[1.0, 1.0]));
    assert_eq!((end.steps.item::<i32>().unwrap(), end.converged.item::<bool>().unwrap()), (0, true));
    // a function that is nowhere finite: no step, and no endless loop
    let end = Lbfgs::default().minimize(|x: &Tensor| (x.sum(..) * 0.0 - 1.0).log() * x.sum(..), &f64s(&[1.0]));
    assert!(!end.converged.item::<bool>().unwrap());
}

#[test]
fn levenberg_marquardt_fits_known_curves() {
    let t = Tensor::linspace_as(0.0, 3.0, 20, DType::F64);
    let y = (&t * -1.3).exp() * 2.5 + (&t * 2.0).sin() * 0.7;
    let residuals = |p: &Tensor| (&t * p.i(1)).exp() * p.i(0) + (&t * p.i(2)).sin() * p.i(3) - &y;
    let start = f64s(&[1.0, -1.0, 1.8, 1.0]);
    for method in [LevenbergMarquardt::default(), LevenbergMarquardt::gauss_newton()] {
        for end in
            [method.minimize(residuals, &start), jit(|x: &Tensor| method.minimize(residuals, x)).call(&start).unwrap()]
        {
            assert!(end.converged.item::<bool>().unwrap());
            for (x, want) in end.params.to_vec::<f64>().unwrap().iter().zip([2.5, -1.3, 2.0, 0.7]) {
                assert!((x - want).abs() < 1e-7, "{x} is not {want}");
            }
        }
    }
}

/// Residuals that do not vanish: the fit scipy's `least_squares` finds for the same data.
#[test]
fn levenberg_marquardt_where_the_model_is_wrong() {
    let t = f64s(&[0.0, 1.0, 2.0, 3.0, 4.0]);
    let y = f64s(&[1.0, 2.2, 2.9, 4.8, 9.1]);
    let residuals = |(a, b): &(Tensor, Tensor)| a * (b * &t).exp() - &y;
    let one = Tensor::full((), 1.0, DType::F64);
    let end =
        LevenbergMarquardt { tolerance: 1e-10, ..Default::default() }.minimize(residuals, &(one.clone(), one * 0.0));
    let got = [end.params.0, end.params.1, end.value].map(|t| t.item::<f64>().unwrap());
    for (got, want) in got.iter().zip(stored("fit").to_vec::<f64>().unwrap()) {
        assert!((got - want).abs() < 1e-8, "{got} is not {want}");
    }
}

/// More parameters than residuals: Gauss and Newton's matrix is singular, the damped one is not.
#[test]
fn levenberg_marquardt_where_there_are_many_solutions() {
    let residuals = |p: &Tensor| Tensor::stack(&[p.i(0) * p.i(1) - 2.0, p.i(1) + p.i(2).square() - 3.0], 0);
    let end = LevenbergMarquardt::default().minimize(residuals, &f64s(&[1.0, 1.0, 1.0]));
    assert!(end.value.item::<f64>().unwrap() < 1e-16);
}
