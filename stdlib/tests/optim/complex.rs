//! Complex parameters: the steps that optax takes with the conjugates of the gradients, and what they are good for.

use super::reference::stored;
use gradloom_frontend::prelude::*;
use gradloom_stdlib::optim::*;

/// A scalar, a matrix, and a real vector beside them.
#[derive(Tree, Clone)]
struct Params {
    s: Tensor,
    z: Tensor,
    real: Tensor,
}

fn params(name: &str, step: usize) -> Params {
    let leaf = |k: &str| {
        let part = |p: &str| stored(&format!("{name}.{k}.{p}")).i(step);
        Tensor::complex(&part("re"), &part("im"))
    };
    Params { s: leaf("s"), z: leaf("z"), real: Tensor::from([1.0f64, -2.0]) }
}

fn gradients() -> Vec<Params> {
    // what optax was given has no real leaf: here it has no gradient
    let still = |g: Params| Params { real: g.real.zeros_like(), ..g };
    (0..stored("complex_grads.s.re").size()).map(|i| still(params("complex_grads", i))).collect()
}

/// Steps in f64 at once and compiled, where the state of a step is that of the next.
#[track_caller]
fn check<T: Transformation>(name: &str, tolerance: f64, optimizer: T) {
    let start = params("complex_start", 0);
    let step = jit(|(p, g, s): &(Params, Params, T::State<Params>)| optimizer.step(p, g, s));
    let mut eager = (start.clone(), optimizer.init(&start));
    let mut compiled = eager.clone();
    for (i, g) in gradients().iter().enumerate() {
        eager = optimizer.step(&eager.0, g, &eager.1);
        compiled = step.call(&(compiled.0, g.clone(), compiled.1)).unwrap();
        let want = params(&format!("complex_{name}"), i);
        for (how, got) in [("at once", &eager.0), ("compiled", &compiled.0)] {
            for (got, want, leaf) in [(&got.s, &want.s, "s"), (&got.z, &want.z, "z")] {
                let error = (got - want).abs().max(..).item::<f64>().unwrap();
                // also false for NaN
                assert!(error <= tolerance, "{name} {how}, step {i}, `{leaf}`: {error:e}");
            }
        }
    }
    let (before, after) = (optimizer.init(&start), &compiled.1);
    assert_eq!(
        before.leaves().iter().map(Tensor::ty).collect::<Vec<_>>(),
        after.leaves().iter().map(Tensor::ty).collect::<Vec<_>>()
    );
}

#[test]
fn complex_parameters_follow_optax() {
    let lr = || scale_by_learning_rate(0.1);
    check("sgd", 1e-12, sgd(0.1));
    check("nesterov", 1e-12, momentum(0.1, 0.9, true));
    check("adam", 1e-12, adam(0.1));
    let constants = ScaleByAdam { b1: 0.5, b2: 0.9, eps: 1e-2, eps_root: 1e-3, nesterov: false };
    check("adam_constants", 1e-12, (constants, lr()));
    check("nadam", 1e-12, (ScaleByAdam { nesterov: true, ..Default::default() }, lr()));
    check("adamw", 1e-12, adamw(0.1, 0.3));
    check("adabelief", 1e-12, adabelief(0.1));
    check("rmsprop", 1e-12, rmsprop(0.1));
    check("rmsprop_centered", 1e-12, (ScaleByRms { centered: true, eps: 1e-2, ..Default::default() }, lr()));
    check("adagrad", 1e-12, adagrad(0.1));
    check("lion", 1e-12, lion(0.1, 0.2));
    check("lamb", 1e-12, lamb(0.1, 0.2));
    check("radam_short", 1e-12, (ScaleByRadam { b2: 0.9, ..Default::default() }, lr()));
    let factored = ScaleByFactoredRms { min_dim: 2, ..Default::default() };
    check("adafactor", 1e-6, (factored, clip_by_rms(1.0), lr(), ScaleByParamRms::default()));
    check("clip_by_global_norm", 1e-12, (clip_by_global_norm(2.0), lr()));
    check("adaptive_grad_clip", 1e-12, (adaptive_grad_clip(0.1), lr()));
    check("clip_by_rms", 1e-12, (clip_by_rms(0.5), lr()));
    check("ema", 1e-12, (Ema { decay: 0.8, debias: true }, lr()));
    check("accumulate", 1e-12, accumulate(3, adam(0.1)));
    check("adam_cosine", 1e-6, adam(Schedule::cosine(0.1, 0.01, 6)));
}

/// A step along the gradient itself would climb in the imaginary direction.
#[test]
fn a_step_descends() {
    let z = Tensor::complex(&Tensor::from([1.0f64, -2.0]), &Tensor::from([3.0f64, 0.5]));
    let loss = |z: &Tensor| (z.exp() + z * 2.0).abs().square().sum(..);
    for (name, next) in [
        ("sgd", sgd(1e-3).step(&z, &grad(loss)(&z), &sgd(1e-3).init(&z)).0),
        ("adam", adam(1e-2).step(&z, &grad(loss)(&z), &adam(1e-2).init(&z)).0),
    ] {
        let [before, after] = [&z, &next].map(|z| loss(z).item::<f64>().unwrap());
        assert!(after < before, "{name}: {before} to {after}");
    }
}

/// Complex leaves that a mask leaves out, freezes or averages.
#[test]
fn wrapped_leaves() {
    let (p, g) = (params("complex_start", 0), gradients().remove(0));
    let optimizer = chain((sgd(0.5), freeze(|path, _| path == "z"), average_params(0.5)));
    let (next, state) = optimizer.step(&p, &g, &optimizer.init(&p));
    let apart = |a: &Tensor, b: &Tensor| (a - b).abs().max(..).item::<f64>().unwrap();
    assert_eq!(apart(&next.z, &p.z), 0.0);
    assert!(apart(&next.s, &(&p.s - g.s.conj() * 0.5)) < 1e-15);
    assert!(apart(&state.2.params.s, &((&p.s + &next.s) * 0.5)) < 1e-15);
    let z = (p.s.clone(), Tensor::from([1.0f64]));
    let norm = global_norm(&z);
    assert!(
        (norm.square() - p.s.abs().square() - 1.0).abs().item::<f64>().unwrap() < 1e-14 && norm.dtype() == DType::F64
    );
}
