//! Programs in the frequency domain.

use crate::Size;
use crate::inputs::{init, u, u_in};
use crate::measure::{Workload, case, trained};
use gradloom::fft::Fft;
use gradloom::nn::gelu;
use gradloom::prelude::*;

/// Lifting and projecting weights; of each layer the pointwise weight and the real and imaginary spectral weights.
type Fno = (Tensor, Tensor, Vec<(Tensor, Tensor, Tensor)>);

/// The lowest frequencies of both corners of the half spectrum, each times a matrix of its own.
fn spectral(x: &Tensor, re: &Tensor, im: &Tensor) -> Tensor {
    let (n, m) = (x.shape()[1], re.shape()[1]);
    let over = Fft::over([1, 2]);
    let weights = Tensor::complex(re, im);
    let f = over.rfft(x);
    let mix = |low: &Tensor, corner: i64| einsum("bxyi,xyio->bxyo", &[low, &weights.i(corner)]);
    let (first, last) = (f.i((0.., 0..m, 0..m)), f.i((0.., n - m..n, 0..m)));
    let o = f.zeros_like().at((0.., 0..m, 0..m)).set(mix(&first, 0));
    let o = o.at((0.., n - m..n, 0..m)).set(mix(&last, 1));
    over.lengths(&[n, n]).irfft(&o)
}

fn fno_loss((lift, project, layers): &Fno, (x, y): &(Tensor, Tensor)) -> Tensor {
    let mut h = x.matmul(lift);
    for (w, re, im) in layers {
        h = gelu(&(spectral(&h, re, im) + h.matmul(w)));
    }
    (h.matmul(project) - y).square().mean(..)
}

pub fn fno2d_train(size: Size) -> Box<dyn Workload> {
    let (w, m, n, b) = size.pick((32, 12, 64, 8), (64, 32, 256, 16));
    let bound = 1.0 / w as f64;
    let layer = |i: u64| {
        let part = |k: u64| u_in(&[2, m, m, w, w], k + i, -bound, bound);
        (init(&[w, w], 10 + i), part(20), part(30))
    };
    let params: Fno = (init(&[1, w], 1), init(&[w, 1], 2), (0..4).map(layer).collect());
    trained(params, (u(&[b, n, n, 1], 3), u(&[b, n, n, 1], 4)), fno_loss)
}

/// y = irfft(rfft(x) rfft(k)), the kernel k from a diagonal state space.
pub fn ssm_fft(size: Size) -> Box<dyn Workload> {
    let (states, length, channels, batch) = size.pick((64, 4096, 64, 8), (64, 16384, 256, 16));
    let long = Fft::over(-1).lengths(&[2 * length]);
    let loss = move |a: &Tensor, bc: &Tensor, x: &Tensor| {
        let steps = Tensor::arange(length).to(DType::F32);
        let powers = (a.log().expand_dims(-1) * steps).exp();
        let kernel = einsum("cn,cnl->cl", &[bc, &powers]);
        let y = long.irfft(&(long.rfft(x) * long.rfft(&kernel)));
        y.i((.., 0..length)).square().mean(..)
    };
    let step =
        move |(p, x): &((Tensor, Tensor), Tensor)| value_and_grad(|(a, bc): &(Tensor, Tensor)| loss(a, bc, x))(p);
    let p = (u_in(&[channels, states], 1, 0.9, 0.999), u(&[channels, states], 2));
    case((p, u(&[batch, channels, length], 3)), step, |(l, _)| Ok(f64::from(l.item::<f32>()?)))
}
