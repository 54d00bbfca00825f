//! Losses against optax and PyTorch, metrics against NumPy and SciPy (`../reference/losses.py`).

mod cases;
mod edges;
#[path = "../reference/mod.rs"]
mod reference;
