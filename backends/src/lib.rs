//! Program to running code: the interpreter (the oracle) and the CPU.
//!
//! This crate knows nothing of users' tensors. All of gradloom's `unsafe` lives here, each block with its reason.

pub mod cpu;
pub mod cuda;
mod executable;
pub mod grid;
pub mod kernel;
mod outline;

pub use executable::{Device, Executable, compile, compile_for, peak_bytes};
pub use gradloom_runtime::{ALIGN, Buffer, Ceilings, Cost, CpuProgram, Outputs, Profile, StepProfile};
