//! Normalisation: elements are brought to mean 0 and variance 1 over some axes, then scaled and shifted by trained
//! parameters.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::nn::{BatchNorm, LayerNorm};
//! let x = random::normal(&Key::new(0), [32, 8]);
//! let y = LayerNorm::init(8).forward(&x);
//! // statistics of batches are returned, never kept inside
//! let norm = BatchNorm::init(8);
//! let (z, statistics) = norm.forward(&x, &norm.statistics());
//! let evaluated = norm.evaluate(&x, &statistics);
//! assert_eq!((y.shape(), z.shape(), evaluated.shape()), (x.shape(), x.shape(), x.shape()));
//! ```

mod batch;
mod group;
mod layer;

pub use batch::{BatchNorm, BatchStatistics};
pub use group::{GroupNorm, InstanceNorm};
pub use layer::{LayerNorm, RmsNorm};

use crate::checks::Checks;
use gradloom_frontend::{DType, IntoAxes, Tensor, Tree};

/// Which normalisation over the last axis a larger layer is made with.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum NormKind {
    /// [`LayerNorm`]
    #[default]
    Layer,
    /// [`RmsNorm`]
    Rms,
}

/// A normalisation over the last axis.
#[derive(Tree, Clone)]
pub enum Norm {
    /// [`LayerNorm`]
    Layer(LayerNorm),
    /// [`RmsNorm`]
    Rms(RmsNorm),
}

impl Norm {
    /// As the kind's own `init`.
    #[track_caller]
    pub fn init(kind: NormKind, features: usize) -> Norm {
        match kind {
            NormKind::Layer => Norm::Layer(LayerNorm::init(features)),
            NormKind::Rms => Norm::Rms(RmsNorm::init(features)),
        }
    }

    /// `[.., features]` to the same.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Norm::Layer(norm) => norm.forward(x),
            Norm::Rms(norm) => norm.forward(x),
        }
    }
}

/// (x - mean) / √(variance + ε), the statistics taken over `axes`.
#[track_caller]
fn standardised(x: &Tensor, axes: impl IntoAxes, eps: f64) -> Tensor {
    let axes = axes.axes();
    let centred = x - x.mean_keepdims(axes.clone());
    let variance = centred.square().mean_keepdims(axes);
    centred * (variance + eps).rsqrt()
}

/// The `[features]` of value `fill`, or the error that `features` is 0.
#[track_caller]
fn per_feature(op: &'static str, features: usize, fill: f64) -> Tensor {
    Checks::of(op).size("features", features).tensor(|| Tensor::full([features], fill, DType::F32))
}
