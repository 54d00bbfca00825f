//! gradloom: an array compiler for Rust.
//!
//! Write a model as a plain function of [`Tensor`]s. Transforms differentiate ([`grad`], [`jvp`], [`vjp`]), batch
//! ([`vmap`]) and compile ([`jit`]) it, in any order and any depth.
//!
//! ```
//! use gradloom::prelude::*;
//!
//! #[derive(Tree, Clone)]
//! struct Line {
//!     slope: Tensor,
//!     offset: Tensor,
//! }
//!
//! impl Line {
//!     fn forward(&self, x: &Tensor) -> Tensor {
//!         x * &self.slope + &self.offset
//!     }
//! }
//!
//! fn main() -> gradloom::Result<()> {
//!     // one compiled step of gradient descent on the mean squared error
//!     let step = jit(|(line, x, y): &(Line, Tensor, Tensor)| {
//!         let (loss, g) = value_and_grad(|l: &Line| (l.forward(x) - y).square().mean(..))(line);
//!         (loss, line.zip_map(&g, |p, g| p - g * 0.1))
//!     });
//!     let x = Tensor::from_slice([4], &[0.0f32, 1.0, 2.0, 3.0]);
//!     let y = &x * 2.0 + 1.0;
//!     let mut line = Line { slope: Tensor::from(0.0f32), offset: Tensor::from(0.0f32) };
//!     for _ in 0..200 {
//!         line = step.run((line, x.clone(), y.clone()))?.1; // compiled once; reuses the old parameters' memory
//!     }
//!     assert!((line.slope.item::<f32>()? - 2.0).abs() < 1e-3);
//!     assert!((line.offset.item::<f32>()? - 1.0).abs() < 1e-3);
//!     Ok(())
//! }
//! ```
//!
//! - [`prelude`] holds what a model file needs; [`Tree`] says what functions may take and return.
//! - [`nn`], [`losses`], [`metrics`], [`optim`], [`data`] and [`train`] are written with the public API only, and are meant to be read.
//! - Errors travel with values: an operation that has no meaning gives a tensor that holds the error, with the line in
//!   your code, and every read of it and every compiled call returns that error.

extern crate self as gradloom; // so that `#[derive(Tree)]` finds its crate inside this package too

pub use gradloom_frontend::*;
pub use gradloom_stdlib::{data, losses, manifold, metrics, nn, optim, solve, train};
