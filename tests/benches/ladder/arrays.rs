//! Programs on plain arrays.

use crate::Size;
use crate::inputs::{u, u_in};
use crate::measure::{Workload, case, sum_of_squares};
use gradloom::linalg;
use gradloom::nn::gelu;
use gradloom::prelude::*;

/// (x - mean) / √(variance + 1e-5) · gain over the last axis.
pub fn layernorm(x: &Tensor, gain: &Tensor) -> Tensor {
    let centred = x - x.mean_keepdims(-1);
    let variance = centred.square().mean_keepdims(-1);
    centred * (variance + 1e-5).rsqrt() * gain
}

pub fn softmax_norm(size: Size) -> Box<dyn Workload> {
    let gain = Tensor::ones([1024]);
    let x = u_in(&[size.pick(4096, 262_144), 1024], 1, -3.0, 3.0);
    case(x, move |x: &Tensor| layernorm(&gelu(x), &gain).softmax(-1), sum_of_squares)
}

pub fn knn(size: Size) -> Box<dyn Workload> {
    let neighbours = |x: &Tensor| {
        let distances = (x.expand_dims(1) - x.expand_dims(0)).square().sum(-1);
        let (_, rows) = (-distances).top_k(16);
        x.i(&rows).mean(1)
    };
    case(u(&[size.pick(2048, 16_384), 3], 1), neighbours, sum_of_squares)
}

pub fn random_normal(size: Size) -> Box<dyn Workload> {
    let n = 1usize << size.pick(22, 28);
    let draw = move |key: &Key| {
        let x = random::normal(key, [n]);
        let mean_square = x.square().mean(..);
        (x, mean_square)
    };
    case(Key::new(0), draw, |(_, mean_square)| Ok(f64::from(mean_square.item::<f32>()?)))
}

pub fn matmul_1024(size: Size) -> Box<dyn Workload> {
    let n = size.pick(1024, 8192);
    case((u(&[n, n], 1), u(&[n, n], 2)), |(a, b): &(Tensor, Tensor)| a.matmul(b), sum_of_squares)
}

pub fn dispatch(_: Size) -> Box<dyn Workload> {
    case(u(&[8], 1), |x: &Tensor| x + 1.0, |y| Ok(y.to_vec::<f32>()?.iter().map(|&x| f64::from(x)).sum()))
}

pub fn linalg(size: Size) -> Box<dyn Workload> {
    let n = size.pick(64, 2048);
    let f = move |a: &Tensor| {
        let s = a.matmul(&a.swapaxes(-1, -2)) + Tensor::eye(48) * 48.0;
        let (w, _) = linalg::eigh(&s);
        let c = linalg::cholesky(&s);
        let x = linalg::solve(&s, &Tensor::ones([n, 48, 1]));
        w.log().sum(..) + x.sum(..) + linalg::trace(&c).sum(..)
    };
    case(u(&[n, 48, 48], 1), f, |y| Ok(f64::from(y.item::<f32>()?)))
}

pub fn matmul_bf16(size: Size) -> Box<dyn Workload> {
    let n = size.pick(1024, 8192);
    let bf16 = |k| u(&[n, n], k).to(DType::BF16);
    let check = |y: &Tensor| sum_of_squares(&y.to(DType::F32));
    case((bf16(1), bf16(2)), |(a, b): &(Tensor, Tensor)| a.matmul(b), check)
}
