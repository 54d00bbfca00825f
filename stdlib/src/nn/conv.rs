//! The convolution layer for images.

use super::initial::lecun_normal;
use gradloom_frontend::random::Key;
use gradloom_frontend::{Conv, Padding, Tensor, Tree};

/// y = x ⋆ w + b, the cross-correlation of images `[batch, height, width, channels]` with a bias for each output
/// channel.
#[derive(Tree, Clone)]
pub struct Conv2d {
    /// `[height, width, inputs / groups, outputs]`
    pub w: Tensor,
    /// `[outputs]`
    pub b: Tensor,
    /// How the window slides.
    #[tree(skip)]
    pub conv: Conv,
}

impl Conv2d {
    /// A square window that steps by 1 over an image padded so that the result has its size; weights by
    /// [`lecun_normal`], bias 0.
    #[track_caller]
    pub fn init(key: &Key, window: usize, inputs: usize, outputs: usize) -> Conv2d {
        let conv = Conv::new().padding(Padding::Same);
        Conv2d { w: lecun_normal(key, [window, window, inputs, outputs]), b: Tensor::zeros([outputs]), conv }
    }

    /// `[batch, height, width, inputs]` to `[batch, height', width', outputs]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.conv2d(&self.w, &self.conv) + &self.b
    }
}
