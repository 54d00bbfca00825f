//! Optimizers: a struct of constants with two pure functions,
//! `init(&params) -> state` and `update(&params, &grads, &state) -> (params, state)`.
//!
//! States are trees, so a training step that carries them compiles, batches and is saved like any other function. Leaves
//! that are no floats (tables of indices, keys) stay as they are.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::optim::Adam;
//!
//! let adam = Adam::new(0.1);
//! let step = jit(|(x, state): &(Tensor, _)| {
//!     let (loss, g) = value_and_grad(|x: &Tensor| (x - 3.0).square().sum(..))(x);
//!     (loss, adam.update(x, &g, state))
//! });
//! let x = Tensor::zeros([2]);
//! let mut carry = (x.clone(), adam.init(&x));
//! for _ in 0..200 {
//!     carry = step.run(carry)?.1;
//! }
//! assert!(carry.0.to_vec::<f32>()?.iter().all(|x| (x - 3.0).abs() < 1e-2));
//! # Ok::<(), gradloom::Error>(())
//! ```

mod adam;
mod clip;
mod sgd;

pub use adam::{Adam, AdamState, AdamW};
pub use clip::clip_by_norm;
pub use sgd::{Sgd, SgdState};

use gradloom_frontend::{Tensor, Tree};

/// `f` of two trees leaf by leaf where leaves are floats; leaves of `a` that are no floats stay.
#[track_caller]
fn floats<T: Tree>(a: &T, b: &T, f: impl Fn(&Tensor, &Tensor) -> Tensor) -> T {
    a.zip_map(b, |a, b| if a.dtype().is_float() { f(a, b) } else { a.clone() })
}
