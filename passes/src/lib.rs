//! Program to program: differentiate, batch, simplify, and the pass manager.
//!
//! This crate knows nothing of machines or of users' tensors, and holds no `unsafe`.

mod dce;
pub mod rules;
pub mod transform;

pub use dce::dead_code;
