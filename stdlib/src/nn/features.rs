//! Features of coordinates: what lets networks of few inputs fit functions of high frequency.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::nn::{FourierFeatures, positional_encoding, sinusoidal_positions};
//! let x = Tensor::ones([5, 2]);
//! assert_eq!(FourierFeatures::init(&Key::new(0), 2, 16, 10.0).forward(&x).shape(), [5, 32]);
//! assert_eq!(positional_encoding(&x, 4).shape(), [5, 16]);
//! assert_eq!(sinusoidal_positions(&Tensor::arange(7), 8).shape(), [7, 8]);
//! ```

use super::initial::scaled_normal;
use crate::checks::{Checks, ensure};
use gradloom_frontend::random::Key;
use gradloom_frontend::{DType, Tensor, Tree, stop_gradient};
use std::f64::consts::PI;

/// γ(v) = [cos 2πvB, sin 2πvB] with random frequencies B (Tancik et al. 2020). B has no gradient; an optimizer that
/// moves weights without one, by weight decay for example, should leave it out.
#[derive(Tree, Clone)]
pub struct FourierFeatures {
    /// `[inputs, count]`
    pub frequencies: Tensor,
}

impl FourierFeatures {
    /// Normal frequencies of this deviation: the greater, the finer the details.
    #[track_caller]
    pub fn init(key: &Key, inputs: usize, count: usize, deviation: f64) -> FourierFeatures {
        let checks = Checks::of("FourierFeatures").size("inputs", inputs).size("count", count);
        FourierFeatures { frequencies: scaled_normal(&checks.key(key), [inputs, count], deviation) }
    }

    /// `[.., inputs]` to `[.., 2 count]`.
    #[track_caller]
    pub fn forward(&self, v: &Tensor) -> Tensor {
        let angles = v.matmul(&stop_gradient(&self.frequencies)) * (2.0 * PI);
        Tensor::concatenate(&[angles.cos(), angles.sin()], -1)
    }
}

/// γ(p) = [sin 2⁰πp, cos 2⁰πp, .., sin 2^(L-1)πp, cos 2^(L-1)πp] of each coordinate (Mildenhall et al. 2020):
/// `[.., inputs]` to `[.., inputs · 2 octaves]`, the numbers of one coordinate side by side.
#[track_caller]
pub fn positional_encoding(p: &Tensor, octaves: usize) -> Tensor {
    let checks = Checks::of("positional_encoding")
        .sound(p)
        .that(p.dtype().is_float(), || format!("p is {}, it should be of floats", p.ty()))
        .that(p.ndim() > 0, || "p is a scalar, it should be [.., inputs]".to_string())
        .that((1..=1000).contains(&octaves), || format!("{octaves} octaves, there must be 1 to 1000"));
    ensure!(checks);
    let scales: Vec<f64> = (0..octaves as i32).map(|i| 2f64.powi(i) * PI).collect();
    let angles = p.expand_dims(-1) * Tensor::from_vec(scales).to(p.dtype());
    let pairs = Tensor::stack(&[angles.sin(), angles.cos()], -1);
    let mut shape = p.shape().to_vec();
    shape[p.ndim() - 1] *= 2 * octaves;
    pairs.reshape(shape)
}

/// PE(t) = [sin t ω_0, cos t ω_0, sin t ω_1, ..] with ω_i = 10000^(-2i / width) (Vaswani et al. 2017): positions `[..]`,
/// numbers or times, to f32 `[.., width]`. The width must be even.
#[track_caller]
pub fn sinusoidal_positions(positions: &Tensor, width: usize) -> Tensor {
    let checks = Checks::of("sinusoidal_positions")
        .sound(positions)
        .that(width > 0 && width.is_multiple_of(2), || format!("the width {width} is not even"));
    ensure!(checks);
    let omega: Vec<f32> = (0..width / 2).map(|i| 1e4f64.powf(-2.0 * i as f64 / width as f64) as f32).collect();
    let angles = positions.to(DType::F32).expand_dims(-1) * Tensor::from_vec(omega);
    let mut shape = positions.shape().to_vec();
    shape.push(width);
    Tensor::stack(&[angles.sin(), angles.cos()], -1).reshape(shape)
}
