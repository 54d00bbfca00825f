//! Feed-forward networks.

use crate::Size;
use crate::inputs::{dense, init, labels, u};
use crate::measure::{Workload, case, trained};
use gradloom::losses::cross_entropy;
use gradloom::nn::{relu, silu};
use gradloom::prelude::*;

type Dense = Vec<(Tensor, Tensor)>;

pub fn mlp_train(size: Size) -> Box<dyn Workload> {
    let (width, batch) = size.pick((512, 256), (8192, 8192));
    let loss = |layers: &Dense, (x, y): &(Tensor, Tensor)| {
        let Some(((w, b), hidden)) = layers.split_last() else { return x.sum(..) };
        let h = hidden.iter().fold(x.clone(), |h, (w, b)| relu(&(h.matmul(w) + b)));
        cross_entropy(&(h.matmul(w) + b), y)
    };
    let data = (u(&[batch, 784], 9), Tensor::from_vec(labels(batch, 10, 10)));
    trained(dense(&[784, width, width, 10], 0), data, loss)
}

#[derive(Tree, Clone)]
struct Cnn {
    c1: Tensor,
    c2: Tensor,
    d1: Tensor,
    d2: Tensor,
}

pub fn cnn_train(size: Size) -> Box<dyn Workload> {
    let batch = size.pick(128, 4096);
    let params = Cnn {
        c1: init(&[3, 3, 1, 32], 0),
        c2: init(&[3, 3, 32, 64], 1),
        d1: init(&[3136, 128], 2),
        d2: init(&[128, 10], 3),
    };
    fn block(x: &Tensor, w: &Tensor) -> Tensor {
        let x = x.conv2d(w, &Conv::new().padding(Padding::Same));
        relu(&x).max_pool(&[2, 2], &[2, 2], &Padding::Valid)
    }
    let loss = |p: &Cnn, (x, y): &(Tensor, Tensor)| {
        let x = block(&block(x, &p.c1), &p.c2);
        let x = x.reshape([x.dim(0) as i64, -1]);
        cross_entropy(&relu(&x.matmul(&p.d1)).matmul(&p.d2), y)
    };
    let data = (u(&[batch, 28, 28, 1], 9), Tensor::from_vec(labels(batch, 10, 10)));
    trained(params, data, loss)
}

#[derive(Tree, Clone)]
struct Kan {
    /// Spline coefficients `[inputs, splines, outputs]`.
    c: Tensor,
    /// Base weights `[inputs, outputs]`.
    w: Tensor,
}

/// Intervals of the grid on [-1, 1] and degree of the splines.
const GRID: usize = 8;
const DEGREE: usize = 3;

/// B-spline basis functions of each element along a new last axis, by the Cox-de Boor recursion.
fn b_splines(x: &Tensor, knots: &Tensor) -> Tensor {
    let n = knots.dim(0);
    let from = |start: usize, limit: usize| knots.slice_axis(0, start, limit);
    let x = x.expand_dims(-1);
    let mut b = (x.ge(from(0, n - 1)) & x.lt(from(1, n))).to(DType::F32);
    for k in 1..=DEGREE {
        let m = n - 1 - k;
        let left = (&x - from(0, m)) / (from(k, n - 1) - from(0, m));
        let right = (from(k + 1, n) - &x) / (from(k + 1, n) - from(1, m + 1));
        let len = b.dim(-1);
        let (low, high) = (b.i((.., 0..len - 1)), b.i((.., 1..len)));
        b = left * low + right * high;
    }
    b
}

pub fn kan_train(size: Size) -> Box<dyn Workload> {
    let batch = size.pick(2048, 131_072);
    let widths = [4, 64, 64, 1];
    let layer =
        |(w, i): (&[usize], u64)| Kan { c: init(&[w[0], GRID + DEGREE, w[1]], 10 + i) * 0.3, w: init(w, 20 + i) };
    let params: Vec<Kan> = widths.windows(2).zip(0..).map(layer).collect();
    let loss = |layers: &Vec<Kan>, (x, y): &(Tensor, Tensor)| {
        let knots: Vec<f32> =
            (0..GRID + 2 * DEGREE + 1).map(|i| (i as f32 - DEGREE as f32) * (2.0 / GRID as f32) - 1.0).collect();
        let knots = Tensor::from_vec(knots);
        let out = layers.iter().fold(x.clone(), |x, l| {
            (einsum("nig,igo->no", &[&b_splines(&x, &knots), &l.c]) + silu(&x).matmul(&l.w)).tanh()
        });
        (out - y).square().mean(..)
    };
    trained(params, (u(&[batch, 4], 1), u(&[batch, 1], 2)), loss)
}

pub fn ntk(size: Size) -> Box<dyn Workload> {
    let params = vec![init(&[2, 256], 1), init(&[256, 256], 2), init(&[256, 1], 3)];
    let net = |p: &Vec<Tensor>, x: &Tensor| {
        let h = p[..2].iter().fold(x.clone(), |h, w| h.matmul(w).tanh());
        h.matmul(&p[2]).sum(..)
    };
    let kernel = move |(p, x): &(Vec<Tensor>, Tensor)| {
        let jacobian = vmap(|x: &Tensor| grad(|p: &Vec<Tensor>| net(p, x))(p))(x);
        let n = x.dim(0) as i64;
        let products = jacobian.iter().map(|j| {
            let j = j.reshape([n, -1]);
            j.matmul(&j.t())
        });
        products.reduce(|a, b| a + b).unwrap_or_else(|| x.zeros_like())
    };
    let trace = |k: &Tensor| {
        let n = k.dim(0);
        Ok(k.to_vec::<f32>()?.iter().step_by(n + 1).map(|&x| f64::from(x)).sum())
    };
    case((params, u(&[size.pick(128, 2048), 2], 4)), kernel, trace)
}
