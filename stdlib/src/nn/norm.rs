//! Normalisation.

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
        LayerNorm { gain: Tensor::ones([features]), bias: Tensor::zeros([features]), eps: 1e-5 }
    }

    /// `[.., features]` to the same.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let centred = x - x.mean_keepdims(-1);
        let variance = centred.square().mean_keepdims(-1);
        centred * (variance + self.eps).rsqrt() * &self.gain + &self.bias
    }
}
