//! One op family a row, beside the same row of `tests/jax/ops.py`.

use crate::Size;
use crate::inputs::{u, u_in};
use crate::measure::{Workload, case};
use gradloom::prelude::*;
use gradloom::{fft, linalg};

/// A sum that any result has; of complex numbers that of their moduli.
fn total(y: &Tensor) -> gradloom::Result<f64> {
    let y = if y.dtype().is_complex() { y.abs() } else { y.clone() };
    Ok(y.to_f64_vec()?.iter().sum())
}

/// `i * 7919 mod n`: every row once, in no order.
fn scattered(rows: usize, n: usize) -> Tensor {
    Tensor::from_vec((0..rows).map(|i| (i * 7919 % n) as i32).collect())
}

macro_rules! ops {
    ($($name:ident = $args:expr => $f:expr;)*) => {$(
        pub fn $name(_: Size) -> Box<dyn Workload> {
            case($args, $f, total)
        }
    )*};
}
ops! {
    op_elementwise = u(&[2048, 2048], 1) => |x: &Tensor| (x * x + 1.0).sqrt() * x.tanh();
    op_elementwise_bf16 = u(&[2048, 2048], 1).to(DType::BF16) => |x: &Tensor| (x * x + 1.0).sqrt() * x.tanh();
    op_elementwise_complex = Tensor::complex(&u(&[1024, 1024], 1), &u(&[1024, 1024], 2)) => |z: &Tensor| (z * z).exp();
    op_reduce_rows = u(&[2048, 2048], 1) => |x: &Tensor| x.sum(1);
    op_reduce_columns = u(&[2048, 2048], 1) => |x: &Tensor| x.sum(0);
    op_reduce_all = u(&[2048, 2048], 1) => |x: &Tensor| x.max(..);
    op_transpose = u(&[2048, 2048], 1) => |x: &Tensor| x.t();
    op_gather = (u(&[65536, 64], 1), scattered(65536, 65536)) => |(x, i): &(Tensor, Tensor)| x.take(i, 0);
    op_scatter_add = (u(&[65536, 64], 1), scattered(65536, 4096)) => |(x, i): &(Tensor, Tensor)| Tensor::zeros([4096, 64]).at(i).add(x);
    op_sort = u(&[256, 4096], 1) => |x: &Tensor| x.sort(-1);
    op_top_k = u(&[256, 4096], 1) => |x: &Tensor| x.top_k(16).0;
    op_cumsum = u(&[1024, 4096], 1) => |x: &Tensor| x.cumsum(-1);
    op_fft = Tensor::complex(&u(&[256, 4096], 1), &u(&[256, 4096], 2)) => |z: &Tensor| fft::fft(z);
    op_rfft2 = u(&[64, 128, 128], 1) => |x: &Tensor| fft::rfft2(x);
    op_fft_prime = Tensor::complex(&u(&[64, 4093], 1), &u(&[64, 4093], 2)) => |z: &Tensor| fft::fft(z);
    op_cholesky = spd(64, 64) => |a: &Tensor| linalg::cholesky(a);
    op_eigh = spd(16, 64) => |a: &Tensor| linalg::eigh(a).0;
    op_svd = u(&[16, 64, 48], 1) => |a: &Tensor| linalg::svd(a).1;
    op_qr = u(&[64, 64, 48], 1) => |a: &Tensor| linalg::qr(a).1.abs();
    op_solve = (spd(64, 64), u(&[64, 64, 8], 2)) => |(a, b): &(Tensor, Tensor)| linalg::solve(a, b);
    op_uniform = Key::new(0) => |k: &Key| random::uniform(k, [1 << 20]);
    op_lgamma = u_in(&[1 << 20], 1, 0.5, 20.0) => |x: &Tensor| x.lgamma();
}

/// Symmetric positive definite matrices.
fn spd(batch: usize, n: usize) -> Tensor {
    let a = u(&[batch, n, n], 1);
    a.matmul(&a.swapaxes(-1, -2)) + Tensor::eye(n) * n as f32
}
