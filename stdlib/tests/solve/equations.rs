//! Initial value problems: scipy's steps, orders, and derivatives through the steps and by the adjoint.

use gradloom_frontend::{io, prelude::*};
use gradloom_stdlib::solve::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub static STORED: LazyLock<BTreeMap<String, Tensor>> =
    LazyLock::new(|| io::load_npz(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/solve.npz")).unwrap());

fn rows(parts: &[Tensor]) -> Tensor {
    Tensor::stack(parts, 0)
}

/// The same fields as in `tests/reference/solve.py`.
fn field(name: &str, t: &Tensor, y: &Tensor) -> Tensor {
    let at = |i: usize| y.i(i);
    match name {
        "decay" => y * -0.7,
        "van_der_pol" => rows(&[at(1), (at(0).square() - 1.0) * -2.0 * at(1) - at(0)]),
        "lorenz" => {
            rows(&[(at(1) - at(0)) * 10.0, at(0) * (-at(2) + 28.0) - at(1), at(0) * at(1) - at(2) * (8.0 / 3.0)])
        }
        _ => t.cos() * y + (t * 3.0).sin(),
    }
}

#[track_caller]
fn close(what: &str, a: &Tensor, b: &Tensor, tolerance: f64) {
    let error = (a - b).abs().max(..).item::<f64>().unwrap();
    assert!(error <= tolerance, "{what}: differs by {error:e}\n{a}\n{b}");
}

#[test]
fn dopri5_takes_the_steps_of_scipy() {
    for name in ["decay", "van_der_pol", "lorenz", "forced", "backwards"] {
        let stored = |key: &str| STORED[&format!("{name}.{key}")].clone();
        let (y0, ts) = (stored("y0"), stored("ts"));
        for (tolerance, text) in [(1e-4, "1e-04"), (1e-8, "1e-08")] {
            let solver = Dopri5 { rtol: tolerance, atol: tolerance / 100.0, ..Dopri5::default() };
            let solve =
                |(y0, ts): &(Tensor, Tensor)| odeint(&solver, |t, y: &Tensor, (): &()| field(name, t, y), y0, ts, &());
            let input = (y0.clone(), ts.clone());
            for s in [solve(&input), jit(solve).call(&input).unwrap()] {
                assert!(s.success.item::<bool>().unwrap());
                // scipy evaluates twice for the first step, and six times a step
                let evaluations = STORED[&format!("{name}.{text}.nfev")].item::<f64>().unwrap();
                assert_eq!(f64::from(s.steps.item::<i32>().unwrap()) * 6.0 + 2.0, evaluations, "{name} {text}");
                // the Lorenz system multiplies rounding by thousands
                close(name, &s.ys, &STORED[&format!("{name}.{text}.ys")], if name == "lorenz" { 1e-8 } else { 1e-11 });
            }
        }
    }
}

/// Tolerances beyond the digits of f32 do not stop the method.
#[test]
fn f32_reaches_the_end() {
    let ts = Tensor::from([0.0f32, 2.0, 5.0]);
    let s =
        odeint(&Dopri5::default(), |t, y: &Tensor, (): &()| field("forced", t, y), &Tensor::from([0.5f32]), &ts, &());
    assert!(s.success.item::<bool>().unwrap() && s.steps.item::<i32>().unwrap() < 100);
    let exact = odeint(
        &Dopri5::default(),
        |t, y: &Tensor, (): &()| field("forced", t, y),
        &Tensor::from([0.5f64]),
        &ts.to(DType::F64),
        &(),
    );
    close("f32", &s.ys.to(DType::F64), &exact.ys, 2e-4);
}

#[test]
fn many_problems_at_once() {
    let y0 = Tensor::from([[2.0f64, 0.0], [0.5, 1.0], [-1.0, 0.3]]);
    let ts = Tensor::from([0.0f64, 1.0, 3.0]);
    let solve =
        |y0: &Tensor| odeint(&Dopri5::default(), |t, y: &Tensor, (): &()| field("van_der_pol", t, y), y0, &ts, &());
    let all = vmap(solve)(&y0);
    for i in 0..3 {
        let one = solve(&y0.i(i));
        close("vmap", &all.ys.i(i), &one.ys, 1e-12);
        assert_eq!(all.steps.i(i).item::<i32>().unwrap(), one.steps.item::<i32>().unwrap());
    }
}

#[test]
fn fixed_steps_have_their_order() {
    let ts = Tensor::from([0.0f64, 1.0, 2.5]);
    let y0 = Tensor::from([0.5f64]);
    let exact = odeint(
        &Dopri5 { rtol: 1e-13, atol: 1e-14, ..Dopri5::default() },
        |t, y: &Tensor, (): &()| field("forced", t, y),
        &y0,
        &ts,
        &(),
    );
    for (method, order) in [(Tableau::EULER, 1.0), (Tableau::MIDPOINT, 2.0), (Tableau::RK4, 4.0)] {
        let error = |steps: usize| {
            let s = odeint(&FixedStep { method, steps }, |t, y: &Tensor, (): &()| field("forced", t, y), &y0, &ts, &());
            assert_eq!(s.steps.item::<i32>().unwrap(), 2 * steps as i32);
            (s.ys - &exact.ys).abs().max(..).item::<f64>().unwrap()
        };
        let measured = (error(40) / error(80)).log2();
        assert!((measured - order).abs() < 0.15, "order {measured} is not {order}");
    }
}

/// A tree of states and of arguments, one of them a table that is no float.
type Args = (Tensor, Vec<Tensor>, Tensor);

fn pendulum(t: &Tensor, (q, p): &(Tensor, Tensor), (k, more, _): &Args) -> (Tensor, Tensor) {
    (p.clone(), -(q.sin() * k) - p * &more[0] + (t * &more[1]).cos())
}

fn pendulum_problem() -> ((Tensor, Tensor), Tensor, Args) {
    let f = |x: f64| Tensor::full((), x, DType::F64);
    (
        (Tensor::from([0.3f64, -1.0]), Tensor::from([0.5f64, 0.2])),
        Tensor::from([0.2f64, 0.9, 1.7]),
        (Tensor::from([2.0f64, 1.5]), vec![f(0.1), f(1.3)], Tensor::from([3])),
    )
}

/// A number made of all states at all times.
fn summary(s: Solution<(Tensor, Tensor)>) -> Tensor {
    let w = Tensor::from([[1.0f64, 2.0], [-1.0, 0.5], [0.7, 3.0]]);
    (s.ys.0 * &w).sum(..) + (s.ys.1.square() * w).sum(..)
}

/// The derivative of `f` along `d` by differences.
fn difference<A: Tree>(f: impl Fn(&A) -> Tensor, x: &A, d: &A) -> f64 {
    let h = 1e-5;
    let at = |h: f64| {
        f(&x.zip_map(d, |x, d| if x.dtype().is_float() { x + d * h } else { x.clone() })).item::<f64>().unwrap()
    };
    (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h)
}

fn direction<A: Tree>(x: &A) -> A {
    x.map(|t| {
        if t.dtype().is_float() {
            (Tensor::arange(t.size()).to(t.dtype()).reshape(t.shape()) + 1.3).sin()
        } else {
            t.zeros_like()
        }
    })
}

fn slope<A: Tree>(g: &A, d: &A) -> f64 {
    g.leaves()
        .iter()
        .zip(d.leaves())
        .filter(|(g, _)| g.dtype().is_float())
        .map(|(g, d)| (g * d).sum(..).item::<f64>().unwrap())
        .sum()
}

#[test]
fn derivatives_through_steps_and_by_the_adjoint() {
    let problem = pendulum_problem();
    let d = direction(&problem);
    type Problem = ((Tensor, Tensor), Tensor, Args);
    let tight = Dopri5 { rtol: 1e-11, atol: 1e-12, ..Dopri5::default() };
    let rk4 = FixedStep { method: Tableau::RK4, steps: 40 };
    let through = |(y0, ts, args): &Problem| summary(odeint(&tight, pendulum, y0, ts, args));
    let want = difference(through, &problem, &d);
    let adjoint = |(y0, ts, args): &Problem| summary(odeint_adjoint(&tight, pendulum, y0, ts, args));
    let fixed = |(y0, ts, args): &Problem| summary(odeint(&rk4, pendulum, y0, ts, args));
    let fixed_adjoint = |(y0, ts, args): &Problem| summary(odeint_adjoint(&rk4, pendulum, y0, ts, args));
    type F<'a> = &'a dyn Fn(&Problem) -> Tensor;
    for (name, f, tolerance) in [
        ("through steps", &through as F, 1e-8),
        ("adjoint", &adjoint, 1e-8),
        ("through fixed steps", &fixed, 1e-5),
        ("fixed adjoint", &fixed_adjoint, 1e-5),
    ] {
        for g in [grad(f)(&problem), jit(grad(f)).call(&problem).unwrap()] {
            let got = slope(&g, &d);
            assert!((got - want).abs() < tolerance * want.abs().max(1.0), "{name}: {got} is not {want}");
        }
    }
    // without arguments
    let free = |y: &Tensor| odeint_adjoint(&tight, |_, y: &Tensor, (): &()| -y, y, &problem.1, &()).ys.i(2).sum(..);
    let g = grad(free)(&Tensor::from([1.0f64])).item::<f64>().unwrap();
    assert!((g - (-1.5f64).exp()).abs() < 1e-9, "{g}");
    // exact for the numbers computed, whatever the step
    let coarse = FixedStep { method: Tableau::MIDPOINT, steps: 2 };
    let f = |(y0, ts, args): &Problem| summary(odeint(&coarse, pendulum, y0, ts, args));
    let (got, want) = (slope(&grad(f)(&problem), &d), difference(f, &problem, &d));
    assert!((got - want).abs() < 1e-8 * want.abs(), "{got} is not {want}");
    let (_, forward) = jvp(f, &problem, &d);
    assert!((forward.item::<f64>().unwrap() - want).abs() < 1e-8 * want.abs());
}

#[test]
fn what_cannot_be_reached_is_said() {
    // y' = y² from 1 ends at t = 1
    let ts = Tensor::from([0.0f64, 0.5, 2.0]);
    let one = Tensor::from([1.0f64]);
    let solver = Dopri5 { max_steps: 500, ..Dopri5::default() };
    let s = odeint(&solver, |_t, y: &Tensor, (): &()| y.square(), &one, &ts, &());
    assert!(!s.success.item::<bool>().unwrap());
    let ys = s.ys.to_vec::<f64>().unwrap();
    assert!((ys[1] - 2.0).abs() < 1e-6 && ys[2].is_nan(), "{ys:?}");
    let s = odeint(&solver, |_t, y: &Tensor, (): &()| y * f64::NAN, &one, &ts, &());
    assert!(!s.success.item::<bool>().unwrap() && s.ys.i(2).item::<f64>().unwrap().is_nan());
}

#[test]
fn equal_times_give_equal_states() {
    let ts = Tensor::from([1.0f64, 1.0, 2.0, 2.0]);
    let y0 = Tensor::from([1.0f64]);
    let solve = |y0: &Tensor| odeint(&Dopri5::default(), |_t, y: &Tensor, (): &()| -y, y0, &ts, &()).ys;
    let ys = solve(&y0).to_vec::<f64>().unwrap();
    assert_eq!((ys[0], ys[2]), (ys[1], ys[3]));
    let g = grad(|y: &Tensor| solve(y).sum(..))(&y0).item::<f64>().unwrap();
    assert!((g - 2.0 - 2.0 * (-1f64).exp()).abs() < 1e-6, "{g}");
}
