//! Optimizers: gradient transformations that compose.
//!
//! A [`Transformation`] makes updates of gradients, with a state that is a tree: a training step that carries it
//! compiles, batches and is saved like any other function. A tuple of transformations is their chain; [`adam`] and its
//! like are such chains by name. Constants that one may want to change over time take a number or a [`Schedule`].
//! Leaves that are no numbers to train (tables of indices, keys) stay as they are; complex ones move along the conjugate of
//! their gradient (see [`Transformation`]).
//!
//! [`Lbfgs`] takes the loss function, [`LevenbergMarquardt`] the residuals; [`riemannian_sgd`] and [`riemannian_adam`]
//! move on a [`crate::manifold::Manifold`].
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::optim::*;
//!
//! let optimizer = chain((clip_by_global_norm(1.0), adam(Schedule::cosine(0.1, 0.0, 200))));
//! let step = jit(|(x, state): &(Tensor, _)| {
//!     let (loss, g) = value_and_grad(|x: &Tensor| (x - 3.0).square().sum(..))(x);
//!     (loss, optimizer.step(x, &g, state))
//! });
//! let x = Tensor::zeros([2]);
//! let mut carry = (x.clone(), optimizer.init(&x));
//! for _ in 0..200 {
//!     carry = step.run(carry)?.1;
//! }
//! assert!(carry.0.to_vec::<f32>()?.iter().all(|x| (x - 3.0).abs() < 1e-2));
//! # Ok::<(), gradloom::Error>(())
//! ```

mod adam;
mod clip;
mod lbfgs;
pub(crate) mod leafwise;
mod least_squares;
mod line_search;
mod loss_scale;
mod matrix;
mod momentum;
mod muon;
mod named;
mod prodigy;
mod riemannian;
mod rms;
mod scale;
mod schedule;
mod transformation;
mod wrap;

pub use adam::{MomentState, ScaleByAdam, ScaleByBelief, ScaleByRadam};
pub use clip::{Clip, adaptive_grad_clip, clip, clip_by_global_norm, clip_by_rms};
pub use lbfgs::{Lbfgs, LbfgsMemory, LbfgsState, Minimum, ScaleByLbfgs};
pub use leafwise::global_norm;
pub use least_squares::{LeastSquares, LevenbergMarquardt};
pub use loss_scale::{LossScaleState, LossScaled, all_finite, loss_scaled};
pub use matrix::{ScaleByShampoo, ScaleBySoap, ShampooState, SoapState};
pub use momentum::{Ema, EmaState, ScaleByLion, Trace};
pub use muon::ScaleByMuon;
pub use named::*;
pub use prodigy::{Prodigy, ProdigyState, prodigy};
pub use riemannian::{RiemannianAdam, RiemannianSgd, RiemannianState, riemannian_adam, riemannian_sgd};
pub use rms::{FactoredState, RmsState, ScaleByFactoredRms, ScaleByRms, ScaleByRss};
pub use scale::{
    AddDecayedWeights, Scale, ScaleByParamRms, ScaleByPath, ScaleByTrustRatio, add_decayed_weights, scale,
    scale_by_learning_rate, scale_by_path,
};
pub use schedule::Schedule;
pub use transformation::{Transformation, apply_updates, chain};
pub use wrap::{
    Accumulate, AccumulateState, Average, AverageParams, Masked, SetToZero, accumulate, average_params, freeze, masked,
};
