//! NVIDIA GPUs: grid kernels as CUDA C, compiled at run time by NVRTC.

mod functions;
mod nvrtc;
mod print;

pub use nvrtc::{Architecture, Binary, Nvrtc, Usage};
pub use print::{KernelSource, source};
