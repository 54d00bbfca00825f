//! NVIDIA GPUs: grid kernels as CUDA C, compiled at run time by NVRTC.
//!
//! What there is: source for every grid kernel ([`source`]), machine code for it ([`Nvrtc`]), and whether a GPU is there
//! ([`find`]). Programs are made and tried on an emulated GPU ([`crate::grid`]); running them on a real one is to come.

mod driver;
mod functions;
mod nvrtc;
mod print;

pub use driver::find;
pub use nvrtc::{Architecture, Binary, Nvrtc, Usage};
pub use print::{KernelSource, source};
