//! Layers: structs of weights that derive `Tree`, with `init(key, ..)` and `forward(&self, x)`, and the functions
//! between them.
//!
//! Channels stand last: images are `[batch, height, width, channels]`, kernels `[height, width, in, out]`. There is no state
//! and no mode inside: randomness is a key argument, running statistics are handed in and handed back. What `init` cannot
//! make sense of gives weights that hold the error, with your file and line; `layer.check()` reads it.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::nn::{Attention, AttentionConfig};
//! let wrong = Attention::init(&Key::new(0), AttentionConfig::new(10, 3));
//! assert_eq!(wrong.check().unwrap_err().message(), "3 heads do not divide the width 10");
//! ```

mod activation;
mod attention;
mod bspline;
mod convolution;
mod dropout;
mod embedding;
mod features;
pub mod initial;
mod linear;
mod mlp;
mod norm;
mod pooling;
mod quantized;
mod recurrent;
mod siren;
mod transformer;

pub use activation::*;
pub use attention::{Attention, AttentionConfig, KvCache, Pairs, Positions, Rope, alibi, bucket, scaled_dot_product};
pub use bspline::{bspline_basis, extended_knots};
pub use convolution::{ConvConfig, Convolution, Pad, TransposedConvolution};
pub use dropout::{dropout, dropout_shared};
pub use embedding::Embedding;
pub use features::{FourierFeatures, positional_encoding, sinusoidal_positions};
pub use linear::Linear;
pub use mlp::Mlp;
pub use norm::{BatchNorm, BatchStatistics, GroupNorm, InstanceNorm, LayerNorm, Norm, NormKind, RmsNorm};
pub use pooling::{adaptive_max_pool, adaptive_mean_pool, global_max_pool, global_mean_pool, mean_pool};
pub use quantized::{Quantized, quantize, quantize_with};
pub use recurrent::{Cell, GruCell, LstmCell, LstmState, RnnCell, bidirectional, unroll, unroll_reverse};
pub use siren::{Siren, SirenConfig};
pub use transformer::{BlockConfig, DecoderBlock, EncoderBlock, FeedForward, NormOrder, Residual};
