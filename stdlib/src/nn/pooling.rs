//! Pooling over the spatial axes of `[batch, spatial.., channels]`, beside [`Tensor::max_pool`] and [`Tensor::avg_pool`].
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::nn::{adaptive_mean_pool, global_mean_pool};
//! let x = Tensor::arange(12).to(DType::F32).reshape([1, 6, 2]);
//! assert_eq!(global_mean_pool(&x).to_vec::<f32>()?, [5.0, 6.0]);
//! assert_eq!(adaptive_mean_pool(&x, &[2]).to_vec::<f32>()?, [2.0, 3.0, 8.0, 9.0]);
//! # Ok::<(), gradloom::Error>(())
//! ```

use crate::checks::{Checks, ensure};
use gradloom_frontend::{Padding, ReduceKind, Tensor};

/// Every axis but the first and the last.
fn spatial(x: &Tensor) -> Vec<usize> {
    (1..x.ndim().saturating_sub(1)).collect()
}

/// The mean over all places: `[batch, spatial.., channels]` to `[batch, channels]`.
#[track_caller]
pub fn global_mean_pool(x: &Tensor) -> Tensor {
    x.mean(spatial(x))
}

/// The greatest over all places: `[batch, spatial.., channels]` to `[batch, channels]`.
#[track_caller]
pub fn global_max_pool(x: &Tensor) -> Tensor {
    x.max(spatial(x))
}

/// The mean of those elements of each window that lie within the input, so that borders are not darkened by the zeros
/// around them ([`Tensor::avg_pool`] counts these).
#[track_caller]
pub fn mean_pool(x: &Tensor, window: &[usize], strides: &[usize], padding: &Padding) -> Tensor {
    let checks = Checks::of("mean_pool").sound(x).that(x.ndim() == window.len() + 2, || {
        format!("a window of {} axes over {}, which is no [batch, spatial.., channels]", window.len(), x.ty())
    });
    ensure!(checks);
    let places: Vec<usize> = [1].into_iter().chain(x.shape()[1..x.ndim() - 1].iter().copied()).chain([1]).collect();
    let inside = Tensor::full(places, 1.0, x.dtype());
    let around = |list: &[usize]| [1].into_iter().chain(list.iter().copied()).chain([1]).collect::<Vec<_>>();
    let padding = match padding {
        Padding::Explicit(widths) => {
            Padding::Explicit([(0, 0)].into_iter().chain(widths.iter().copied()).chain([(0, 0)]).collect())
        }
        other => other.clone(),
    };
    let (window, strides) = (around(window), around(strides));
    let sum = x.reduce_window(ReduceKind::Sum, &window, &strides, &padding);
    sum / inside.reduce_window(ReduceKind::Sum, &window, &strides, &padding)
}

/// Where window `i` of `count` over an axis of `length` begins and ends: they cover it, and overlap where `count` does not
/// divide `length`.
fn window(i: usize, count: usize, length: usize) -> (usize, usize) {
    (i * length / count, ((i + 1) * length).div_ceil(count))
}

#[track_caller]
fn adaptive_checks(op: &'static str, x: &Tensor, counts: &[usize]) -> Checks {
    let lengths = x.shape().iter().skip(1);
    let fits = x.ndim() == counts.len() + 2 && counts.iter().zip(lengths).all(|(n, length)| (1..=*length).contains(n));
    Checks::of(op).sound(x).that(fits, || {
        format!("{counts:?} windows do not cover the spatial axes of {}, which is [batch, spatial.., channels]", x.ty())
    })
}

/// The means of `counts` windows that cover each spatial axis evenly.
#[track_caller]
pub fn adaptive_mean_pool(x: &Tensor, counts: &[usize]) -> Tensor {
    ensure!(adaptive_checks("adaptive_mean_pool", x, counts));
    let mut y = x.clone();
    for (axis, &count) in counts.iter().enumerate() {
        let axis = axis as i64 + 1;
        let length = y.dim(axis);
        // means along one axis are a product with a matrix
        let mut weights = vec![0.0f64; count * length];
        for i in 0..count {
            let (from, to) = window(i, count, length);
            weights[i * length + from..i * length + to].fill(1.0 / (to - from) as f64);
        }
        let weights = Tensor::from_slice([count, length], &weights).to(x.dtype());
        y = y.tensordot(&weights, [axis], [1]).move_axis(-1, axis);
    }
    y
}

/// The greatest of `counts` windows that cover each spatial axis evenly.
#[track_caller]
pub fn adaptive_max_pool(x: &Tensor, counts: &[usize]) -> Tensor {
    ensure!(adaptive_checks("adaptive_max_pool", x, counts));
    let mut y = x.clone();
    for (axis, &count) in counts.iter().enumerate() {
        let axis = axis + 1;
        let length = y.shape()[axis];
        let mut parts = Vec::with_capacity(count);
        for i in 0..count {
            let (from, to) = window(i, count, length);
            parts.push(y.slice_axis(axis, from, to).max_keepdims([axis]));
        }
        y = Tensor::concatenate(&parts, axis as i64);
    }
    y
}
