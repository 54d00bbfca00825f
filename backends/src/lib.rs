//! Program to running code: the interpreter (the oracle) and the CPU.
//!
//! This crate knows nothing of users' tensors. All of gradloom's `unsafe` lives here, each block with its reason.

mod buffer;
pub mod cpu;
mod executable;
pub mod kernel;

pub use buffer::{ALIGN, Buffer};
pub use executable::{Cost, Device, Executable, compile, compile_for};
