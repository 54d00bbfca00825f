//! Normalisation over the features of one example.

use super::{per_feature, standardised};
use gradloom_frontend::{Tensor, Tree};

/// (x - mean) / √(variance + ε) · gain + bias over the last axis (Ba et al. 2016).
#[derive(Tree, Clone)]
pub struct LayerNorm {
    /// `[features]`
    pub gain: Tensor,
    /// `[features]`
    pub bias: Tensor,
    /// Keeps the division finite.
    #[tree(skip)]
    pub eps: f64,
}

impl LayerNorm {
    /// Gain 1, bias 0, ε = 1e-5.
    #[track_caller]
    pub fn init(features: usize) -> LayerNorm {
        let op = "LayerNorm";
        LayerNorm { gain: per_feature(op, features, 1.0), bias: per_feature(op, features, 0.0), eps: 1e-5 }
    }

    /// `[.., features]` to the same.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        standardised(x, -1, self.eps) * &self.gain + &self.bias
    }
}

/// x / √(mean(x²) + ε) · gain over the last axis (Zhang and Sennrich 2019).
#[derive(Tree, Clone)]
pub struct RmsNorm {
    /// `[features]`
    pub gain: Tensor,
    /// Keeps the division finite.
    #[tree(skip)]
    pub eps: f64,
}

impl RmsNorm {
    /// Gain 1, ε = 1e-6.
    #[track_caller]
    pub fn init(features: usize) -> RmsNorm {
        RmsNorm { gain: per_feature("RmsNorm", features, 1.0), eps: 1e-6 }
    }

    /// `[.., features]` to the same.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x * (x.square().mean_keepdims(-1) + self.eps).rsqrt() * &self.gain
    }
}
