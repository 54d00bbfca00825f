//! What a training loop needs beside the compiled step: the loop itself, checkpoints, curves.

mod checkpoint;
mod trainer;
pub mod plot;

pub use checkpoint::Checkpoints;
pub use trainer::{Curve, Fitted, Trainer};
