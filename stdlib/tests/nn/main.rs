//! Layers against flax.linen and PyTorch (`../reference/layers.py`), and what must hold of them.

mod cases;
mod closed_forms;
mod configurations;
mod properties;
#[path = "../reference/mod.rs"]
mod reference;
