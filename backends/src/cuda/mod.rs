//! NVIDIA GPUs: grid kernels as CUDA C, compiled at run time by NVRTC.
//!
//! Programs are made and tried on an emulated GPU ([`crate::grid`]), printed as CUDA C ([`source`]), compiled ([`Nvrtc`]) and
//! queued on a GPU ([`Gpu`], [`CudaProgram`]): arrays stay in its memory ([`GpuBuffer`]) until they are asked for, and a program
//! that comes again with the same arrays is one captured graph. NVIDIA's libraries are looked for when a program first has work
//! for them: without cuBLASLt kernels compute products, other ops need theirs.

mod calls;
mod conditional;
mod functions;
mod gpu;
mod graphs;
mod libraries;
mod memory;
mod modules;
mod nvrtc;
mod print;
mod program;
pub(crate) mod sources;
mod staging;

pub use calls::{
    ProductPrecision, deterministic_products, product_precision, set_deterministic_products, set_product_precision,
};
pub use gpu::Gpu;
pub use libraries::look_in;
pub use memory::{GpuBuffer, moved};
pub use modules::keep_kernels_in;
pub use nvrtc::{Architecture, Binary, Nvrtc, Usage};
pub use print::{KernelSource, source};
pub(crate) use program::peak_bytes;
pub use program::{CudaProgram, GpuOutputs};
