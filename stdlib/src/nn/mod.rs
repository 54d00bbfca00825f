//! Layers: structs of weights that derive `Tree`, with `init(key, ..)` and `forward(&self, x)`, and the functions
//! between them. Images are `[batch, height, width, channels]`, kernels `[height, width, in, out]`.

mod activation;
mod conv;
mod dropout;
pub mod initial;
mod linear;
mod loss;
mod norm;

pub use activation::{gelu, relu, silu};
pub use conv::Conv2d;
pub use dropout::dropout;
pub use linear::Linear;
pub use loss::{accuracy, cross_entropy, cross_entropy_each};
pub use norm::LayerNorm;
