//! What a crate that is not part of gradloom can add to it, with the public API alone: ops, rules, a pass and transforms.
//! Each file stands by itself and is meant to be read as an example.

pub mod axis_names;
pub mod first_difference;
pub mod interval;
pub mod logdet;
pub mod lookup;
pub mod mixed_precision;
pub mod operations;
pub mod softplus;
pub mod sparsity;
