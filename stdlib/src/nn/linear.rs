//! The dense layer.

use super::initial::lecun_normal;
use crate::checks::Checks;
use gradloom_frontend::random::Key;
use gradloom_frontend::{Tensor, Tree};

/// y = x w + b over the last axis of x.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::nn::Linear;
/// let layer = Linear::init(&Key::new(0), 3, 2);
/// assert_eq!(layer.forward(&Tensor::ones([5, 3])).shape(), [5, 2]);
/// ```
#[derive(Tree, Clone)]
pub struct Linear {
    /// `[inputs, outputs]`
    pub w: Tensor,
    /// `[outputs]`
    pub b: Option<Tensor>,
}

impl Linear {
    /// Weights by [`lecun_normal`], bias 0.
    #[track_caller]
    pub fn init(key: &Key, inputs: usize, outputs: usize) -> Linear {
        Linear { b: Some(Tensor::zeros([outputs])), ..Linear::unbiased(key, inputs, outputs) }
    }

    /// [`Linear::init`] without b.
    #[track_caller]
    pub fn unbiased(key: &Key, inputs: usize, outputs: usize) -> Linear {
        let checks = Checks::of("Linear").size("inputs", inputs).size("outputs", outputs);
        Linear { w: lecun_normal(&checks.key(key), [inputs, outputs]), b: None }
    }

    /// `[.., inputs]` to `[.., outputs]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        add_bias(x.matmul(&self.w), self.b.as_ref())
    }
}

/// x + b where there is a b.
#[track_caller]
pub(super) fn add_bias(x: Tensor, b: Option<&Tensor>) -> Tensor {
    match b {
        Some(b) => x + b,
        None => x,
    }
}
