//! Programs to running code.

pub mod cpu;
