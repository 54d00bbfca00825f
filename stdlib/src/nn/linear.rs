//! The dense layer.

use super::initial::lecun_normal;
use gradloom_frontend::random::Key;
use gradloom_frontend::{Tensor, Tree};

/// y = x w + b over the last axis of x.
#[derive(Tree, Clone)]
pub struct Linear {
    /// `[inputs, outputs]`
    pub w: Tensor,
    /// `[outputs]`
    pub b: Tensor,
}

impl Linear {
    /// Weights by [`lecun_normal`], bias 0.
    #[track_caller]
    pub fn init(key: &Key, inputs: usize, outputs: usize) -> Linear {
        Linear { w: lecun_normal(key, [inputs, outputs]), b: Tensor::zeros([outputs]) }
    }

    /// `[.., inputs]` to `[.., outputs]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.matmul(&self.w) + &self.b
    }
}
