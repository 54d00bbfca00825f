//! Program to program: differentiate, batch, simplify, and the pass manager.
//!
//! This crate knows nothing of machines or of users' tensors, and holds no `unsafe`.

pub mod analyses;
mod catalogue;
mod choose_layouts;
mod context;
pub mod cost;
mod count_loops;
mod cse;
mod dce;
mod distribute;
mod dump;
mod expand_primitives;
mod fold;
mod fuse_loops;
mod hoist;
mod inline_bodies;
mod manager;
mod mixed_precision;
mod nan_check;
mod quantize_weights;
mod reassociate_products;
mod rematerialise;
pub mod rewriting;
pub mod rules;
mod simplify;
mod sink_transposes;
mod split_complex;
pub mod transform;
mod unroll_scans;
mod widen_sums;

pub use analyses::{Storage, fused_storage};
pub use catalogue::{Keeps, Offer, Role, catalogue, offer};
pub use choose_layouts::choose_layouts;
pub use context::{Event, PassContext, PassRecord};
pub use count_loops::{Counter, count_loops};
pub use cse::cse;
pub use dce::dead_code;
pub use distribute::distribute;
pub use expand_primitives::expand_primitives;
pub use fold::fold;
pub use fuse_loops::FuseLoops;
pub use hoist::hoist;
pub use inline_bodies::inline_bodies;
pub use manager::{Changed, Pass, Pipeline, map_bodies, pass_fn, rewrite_nodes};
pub use mixed_precision::MixedPrecision;
pub use nan_check::nan_check;
pub use quantize_weights::QuantizeWeights;
pub use reassociate_products::ReassociateProducts;
pub use rematerialise::Rematerialise;
pub use rewriting::Saturate;
pub use simplify::{simplification_rules, simplify};
pub use sink_transposes::sink_transposes;
pub use split_complex::split_complex;
pub use unroll_scans::UnrollScans;
pub use widen_sums::widen_sums;
