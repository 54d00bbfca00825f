//! Program to running code.

pub mod cpu;
pub mod kernel;
