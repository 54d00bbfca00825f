//! The surface inside `jit`, `vmap`, `jvp` and `grad`: compiled equals eager, mapped equals a loop, derivatives equal
//! differences of the function itself.

use super::{near, numbers, read};
use gradloom_frontend::prelude::*;
use gradloom_frontend::{ReduceKind, Tensor};

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    read(a).1.iter().zip(read(b).1).map(|(x, y)| x * y).sum()
}

/// Checks `f` at `x` (f64) under every transform.
#[track_caller]
pub(super) fn holds(f: impl Fn(&Tensor) -> Tensor, x: &Tensor) {
    let y = f(x);
    y.check().unwrap_or_else(|e| panic!("eager: {e}"));
    let compiled = jit(&f).call(x).unwrap_or_else(|e| panic!("jit: {e}"));
    near(&compiled, y.shape(), &read(&y).1, 1e-12);
    let other = x * 0.7 + 0.05;
    let mapped = vmap(&f)(&Tensor::stack(&[x.clone(), other.clone()], 0));
    near(&mapped.i(0), y.shape(), &read(&y).1, 1e-12);
    near(&mapped.i(1), y.shape(), &read(&f(&other)).1, 1e-12);
    // one random direction: forward against a difference, reverse against forward
    let (dx, ct) = (numbers(x.shape(), 77), numbers(y.shape(), 78));
    let h = 1e-5;
    let difference = (f(&(x + &dx * h)) - f(&(x - &dx * h))) / (2.0 * h);
    let (_, dy) = jvp(&f, x, &dx);
    near(&dy, y.shape(), &read(&difference).1, 1e-7);
    let (_, pull) = vjp(&f, x);
    let pulled = pull(&ct);
    assert_eq!(pulled.shape(), x.shape());
    let (forward, reverse) = (dot(&dy, &ct), dot(&dx, &pulled));
    assert!((forward - reverse).abs() <= 1e-10 * forward.abs().max(1.0), "{forward} forward, {reverse} reverse");
    let second = vmap(|x: &Tensor| grad(|x: &Tensor| (f(x).square()).sum(..))(x))(&Tensor::stack(
        &[x.clone(), other.clone()],
        0,
    ));
    let alone = grad(|x: &Tensor| (f(x).square()).sum(..))(&other);
    near(&second.i(1), x.shape(), &read(&alone).1, 1e-10);
}

fn ints(data: &[i32]) -> Tensor {
    Tensor::from_slice([data.len()], data)
}

#[test]
fn shaping() {
    let x = numbers(&[4, 6], 1);
    holds(|x| x.t().reshape([3, -1]).pad(&[(1, -1), (0, 2)], 3.0), &x);
    holds(|x| Tensor::concatenate(&[x.clone(), x.flip(1)], 0).roll(3, 1), &x);
    holds(|x| Tensor::stack(&x.split(3, 1), 0), &x);
    holds(|x| x.tile(&[2, 1, 2]).repeat(2, -1), &x);
    holds(|x| x.tril(1).triu(-2), &x);
    holds(|x| x.diag().diag(), &x);
}

#[test]
fn reductions() {
    let x = numbers(&[3, 5], 2);
    holds(|x| x.mean(0) + x.var(0), &x);
    holds(|x| x.std_keepdims(1) * x.norm(..), &x);
    holds(|x| x.softmax(-1), &x);
    holds(|x| x.log_softmax(0), &x);
    holds(|x| x.logsumexp([0, 1]), &x);
    holds(|x| x.max(1) * x.min(1), &x);
    holds(|x| x.prod(1), &x);
    holds(|x| x.cumsum(1).cumprod(0), &x);
    holds(|x| x.cummax(1) + x.cummin(0) + x.cumsum_reverse(0), &x);
}

#[test]
fn contractions() {
    let x = numbers(&[3, 4], 3);
    holds(|x| x.matmul(&x.t()), &x);
    holds(|x| einsum("ij,kj,kl->il", &[x, x, x]), &x);
    holds(|x| x.matmul(&numbers(&[2, 1, 4, 3], 4)).tanh(), &x);
    holds(|x| einsum("...i,i->...", &[x, &x.i(0)]), &x);
    holds(|x| einsum("ii->i", &[&x.i((.., 0..3))]), &x);
    holds(|x| x.outer(x).dot(&x.flatten()), &x);
}

#[test]
fn convolutions() {
    let x = numbers(&[2, 5, 6, 3], 5);
    let w = numbers(&[3, 2, 3, 4], 6);
    let conv = Conv::new().strides([2, 1]).padding(Padding::Same);
    holds(|x| x.conv2d(&w, &conv), &x);
    holds(|w| x.conv2d(w, &Conv::new().dilation([1, 2])), &w);
    holds(|x| x.conv2d(&numbers(&[2, 2, 1, 6], 7), &Conv::new().groups(3)), &x);
    holds(|x| x.conv2d_transpose(&numbers(&[3, 3, 3, 2], 8), [2, 2], &Padding::Same), &x);
    holds(|x| x.max_pool(&[2, 2], &[2, 2], &Padding::Valid), &x);
    holds(|x| x.max_pool(&[3, 3], &[1, 2], &Padding::Same), &x);
    holds(|x| x.avg_pool(&[2, 3], &[1, 1], &Padding::Same), &x);
    holds(|x| x.reduce_window(ReduceKind::Min, &[1, 2, 2, 1], &[1], &Padding::Valid), &x);
}

#[test]
fn indexing() {
    let x = numbers(&[3, 4, 2], 9);
    let (a, b) = (ints(&[2, 0, 2]), ints(&[-1, 1, 1]));
    holds(|x| x.i((1, step(.., -2))), &x);
    holds(|x| x.i((&a, .., 1)), &x);
    holds(|x| x.i((.., &b, step(.., -1))), &x);
    holds(|x| x.i((&a, &b)), &x);
    holds(|x| x.i((&Tensor::from(1), ..)), &x);
    holds(|x| x.take(&a, 1), &x);
    holds(|x| x.take_along_axis(&x.argsort(1), 1), &x);
    holds(|x| x.at((0, 1..3)).set(x.i((2, 0..2))), &x);
    holds(|x| x.at(step(.., 2)).mul(x.i(1)), &x);
    holds(|x| x.at(&a).add(x), &x);
    holds(|x| x.at((.., &b)).set(2.5), &x);
    holds(|x| x.at((.., &ints(&[1, 0]))).mul(x.i((.., 0..2))), &x);
    holds(|x| x.at((&a, 1..3)).max(0.0), &x);
    let s = Tensor::from(1);
    holds(|x| x.dynamic_slice((&s, 0, -1), [2, 2, 1]), &x);
    holds(|x| x.dynamic_update_slice(&x.i((0..1, 0..1)).tanh(), (&s, 2, 0)), &x);
}

#[test]
fn sorting() {
    let x = numbers(&[3, 5], 11);
    holds(|x| x.sort(1) * Tensor::arange(5).to(DType::F64), &x);
    holds(|x| x.top_k(2).0.square(), &x);
    holds(|x| Tensor::sort_by_key(&x.sin(), &[x.cos()], 0).1[0].clone(), &x);
}

#[test]
fn traced_positions() {
    // positions that are values of the trace, mapped together with the array and without it
    let x = numbers(&[4, 3], 12);
    let rows = ints(&[3, 0, -1]);
    let pick = |i: &Tensor| x.i(i);
    near(&vmap(pick)(&rows), &[3, 3], &read(&x.i(&rows)).1, 0.0);
    let put = |(x, i): &(Tensor, Tensor)| x.at(i).set(0.0);
    let all = vmap(put)(&(Tensor::stack(&[x.clone(), x.clone(), x.clone()], 0), rows.clone()));
    for (k, row) in [3, 0, 3].into_iter().enumerate() {
        near(&all.i(k), &[4, 3], &read(&x.at(row).set(0.0)).1, 0.0);
    }
    let last = fori_loop(0..4, |i: &Tensor, c: &Tensor| c + x.i(i), &Tensor::zeros([3]).to(DType::F64));
    near(&last, &[3], &read(&x.sum(0)).1, 1e-14);
}
