//! `jit(f).memory_budget(bytes)`

use gradloom::prelude::*;
use gradloom::{Error, Jit};
use gradloom_frontend as gradloom;

type Weights = Vec<Tensor>;

fn weights(layers: usize, width: usize) -> Weights {
    let one = |k: &Key| random::normal(k, [width, width]) * (1.0 / (width as f64).sqrt());
    Key::new(3).split(layers).iter().map(one).collect()
}

/// A network of many layers, of which reverse mode keeps every activation.
fn deep(x: &Tensor) -> impl Fn(&Weights) -> Tensor + use<> {
    let x = x.clone();
    move |w: &Weights| w.iter().fold(x.clone(), |h, w| h.matmul(w).tanh()).square().mean(..)
}

/// Layers with norms and residuals, as transformers have them.
fn residual(x: &Tensor) -> impl Fn(&Weights) -> Tensor + use<> {
    let x = x.clone();
    move |w: &Weights| {
        let layer = |h: Tensor, w: &Tensor| {
            let centred = &h - h.mean_keepdims(-1);
            let normed = &centred * (centred.square().mean_keepdims(-1) + 1e-5).rsqrt();
            h + normed.matmul(w).sigmoid()
        };
        w.iter().fold(x.clone(), layer).square().mean(..)
    }
}

fn peak<A: Tree, B: Tree, F: Fn(&A) -> B>(f: Jit<A, B, F>, args: &A) -> Result<(usize, B), Error> {
    let compiled = f.lower(args)?.compile()?;
    Ok((compiled.cost().peak_bytes, compiled.call(args)?))
}

#[track_caller]
fn check<F: Fn(&Weights) -> Tensor + 'static>(f: impl Fn() -> F, w: &Weights, least: f64) -> Result<(), Error> {
    let (free, expected) = peak(jit(grad(f())), w)?;
    for share in [0.8, 0.6, least] {
        let budget = (free as f64 * share) as usize;
        let (needed, got) = peak(jit(grad(f())).memory_budget(budget), w)?;
        assert!(needed <= budget, "{needed} of {budget}, {free} without");
        for (x, y) in expected.iter().zip(&got) {
            assert_eq!(x.to_vec::<f32>()?, y.to_vec::<f32>()?, "at {share}");
        }
    }
    Ok(())
}

#[test]
fn gradients_are_the_same_in_less_memory() -> Result<(), Error> {
    let x = random::normal(&Key::new(1), [256, 32]);
    check(|| deep(&x), &weights(12, 32), 0.45)?;
    check(|| residual(&x), &weights(8, 32), 0.45)
}

#[test]
fn what_fits_is_left_alone() -> Result<(), Error> {
    let (x, w) = (random::normal(&Key::new(1), [64, 32]), weights(4, 32));
    let with = jit(grad(deep(&x))).memory_budget(usize::MAX).lower(&w)?.text();
    assert_eq!(with, jit(grad(deep(&x))).lower(&w)?.text());
    Ok(())
}

#[test]
fn a_budget_that_cannot_be_kept_is_an_error() {
    let (x, w) = (random::normal(&Key::new(1), [64, 32]), weights(4, 32));
    let e = jit(grad(deep(&x))).memory_budget(100).call(&w).unwrap_err();
    let text = e.to_string();
    assert!(e.op() == "memory_budget" && text.contains("100 bytes") && text.contains("memory.rs:"), "{text}");
}
