//! Optimizers against their equations written as loops over numbers, and against closed forms.

use gradloom_frontend::prelude::*;
use gradloom_stdlib::optim::*;

/// Tensors, a nested list, and a table of integers that no optimizer may touch.
#[derive(Tree, Clone)]
struct Params {
    w: Tensor,
    more: Vec<Tensor>,
    table: Tensor,
}

fn params(w: [f32; 3], b: f32) -> Params {
    Params { w: Tensor::from_vec(w.to_vec()), more: vec![Tensor::from(b)], table: Tensor::from_vec(vec![4, 5]) }
}

const START: [f64; 4] = [1.0, -2.0, 0.5, 3.0];

/// A gradient that changes from step to step: one sequence an element.
fn gradient(step: usize) -> [f64; 4] {
    [0, 1, 2, 3].map(|i| ((step * 4 + i) as f64 * 0.7).sin() * 10f64.powi(i as i32 - 2))
}

fn as_params(x: [f64; 4]) -> Params {
    params([x[0] as f32, x[1] as f32, x[2] as f32], x[3] as f32)
}

/// 20 steps, eager and compiled, end where `reference` (one element, f64, all its gradients) says.
#[track_caller]
fn check<S: Tree + Clone>(
    init: impl Fn(&Params) -> S,
    update: impl Fn(&Params, &Params, &S) -> (Params, S),
    reference: impl Fn(f64, &[f64]) -> f64,
) {
    let gradients: Vec<[f64; 4]> = (0..20).map(gradient).collect();
    let expected: Vec<f64> =
        (0..4).map(|i| reference(START[i], &gradients.iter().map(|g| g[i]).collect::<Vec<_>>())).collect();
    let compiled = jit(|(p, g, s): &(Params, Params, S)| update(p, g, s));
    let p = as_params(START);
    let s = init(&p);
    let (mut eager, mut jitted) = ((p.clone(), s.clone()), (p, s));
    for g in &gradients {
        let g = as_params(*g);
        eager = update(&eager.0, &g, &eager.1);
        jitted = compiled.run((jitted.0, g, jitted.1)).unwrap();
    }
    for p in [eager.0, jitted.0] {
        let got = [p.w.to_vec::<f32>().unwrap(), p.more[0].to_vec::<f32>().unwrap()].concat();
        for (g, e) in got.iter().zip(&expected) {
            assert!((f64::from(*g) - e).abs() < 2e-6 * e.abs().max(1.0), "{got:?} is not {expected:?}");
        }
        assert_eq!(p.table.to_vec::<i32>().unwrap(), [4, 5]);
    }
}

fn adam_reference(a: Adam, decay: f64, start: f64, gradients: &[f64]) -> f64 {
    let (mut x, mut m, mut v) = (start, 0.0, 0.0);
    for (t, g) in (1..).zip(gradients) {
        m = a.b1 * m + (1.0 - a.b1) * g;
        v = a.b2 * v + (1.0 - a.b2) * g * g;
        let (m_hat, v_hat) = (m / (1.0 - a.b1.powi(t)), v / (1.0 - a.b2.powi(t)));
        x -= a.lr * (m_hat / (v_hat.sqrt() + a.eps) + decay * x);
    }
    x
}

#[test]
fn adam_follows_its_equations() {
    for a in [Adam::new(0.05), Adam { lr: 0.01, b1: 0.5, b2: 0.9, eps: 1e-2 }] {
        check(|p| a.init(p), |p, g, s| a.update(p, g, s), |x, g| adam_reference(a, 0.0, x, g));
    }
}

#[test]
fn adamw_decays_beside_the_adaptive_step() {
    let a = AdamW::new(0.05, 0.3);
    check(|p| a.init(p), |p, g, s| a.update(p, g, s), |x, g| adam_reference(a.adam, a.decay, x, g));
}

#[test]
fn the_first_step_of_adam_is_the_learning_rate() {
    let a = Adam::new(0.125);
    let x = Tensor::from_vec(vec![1.0f32, 1.0, 1.0]);
    let (x, state) = a.update(&x, &Tensor::from_vec(vec![1e-3f32, -1e3, 0.0]), &a.init(&x));
    for (got, expected) in x.to_vec::<f32>().unwrap().iter().zip([0.875, 1.125, 1.0]) {
        assert!((got - expected).abs() < 2e-6, "{got} is not {expected}");
    }
    assert_eq!(state.t.item::<f32>().unwrap(), 1.0);
}

#[test]
fn gradient_descent_with_and_without_momentum() {
    for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
        let sgd = Sgd { lr: 0.05, momentum, nesterov };
        let reference = |start: f64, gradients: &[f64]| {
            let (mut x, mut u) = (start, 0.0);
            for g in gradients {
                u = momentum * u + g;
                x -= 0.05 * if nesterov { momentum * u + g } else { u };
            }
            x
        };
        check(|p| sgd.init(p), |p, g, s| sgd.update(p, g, s), reference);
    }
    assert!(Sgd::new(0.1).init(&Tensor::zeros([3])).leaves().is_empty());
}

#[test]
fn f64_stays_f64() {
    let x = Tensor::ones([3]).to(DType::F64);
    let g = Tensor::from_vec(vec![1.0f64, -1e-3, 0.0]);
    let a = Adam::new(0.5);
    let (y, s) = a.update(&x, &g, &a.init(&x));
    assert_eq!((y.dtype(), s.m.dtype(), s.v.dtype()), (DType::F64, DType::F64, DType::F64));
    for ((y, g), x) in y.to_vec::<f64>().unwrap().iter().zip([1.0f64, -1e-3, 0.0]).zip([1.0; 3]) {
        assert!((y - (x - 0.5 * g / (g.abs() + 1e-8))).abs() < 1e-14, "{y}");
    }
}

#[test]
fn clipping_bounds_the_norm() {
    let p = params([3.0, 0.0, 0.0], 4.0);
    let clipped = clip_by_norm(&p, 1.0);
    assert_eq!(clipped.table.to_vec::<i32>().unwrap(), [4, 5]);
    for (got, expected) in [(clipped.w.i(0), 0.6f32), (clipped.more[0].clone(), 0.8)] {
        assert!((got.item::<f32>().unwrap() - expected).abs() < 1e-6);
    }
    // below the bound, and at norm 0, nothing changes
    assert_eq!(clip_by_norm(&p, 6.0).w.to_vec::<f32>().unwrap(), [3.0, 0.0, 0.0]);
    assert_eq!(clip_by_norm(&params([0.0; 3], 0.0), 1.0).w.to_vec::<f32>().unwrap(), [0.0; 3]);
}

#[test]
fn trees_that_differ_are_errors() {
    let a = Adam::new(0.1);
    let p = vec![Tensor::zeros([2]), Tensor::zeros([3])];
    let (updated, _) = a.update(&p, &p[..1].to_vec(), &a.init(&p));
    assert!(updated[0].to_vec::<f32>().is_err());
}
