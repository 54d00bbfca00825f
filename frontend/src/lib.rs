//! What users touch: [`Tensor`], [`Tree`], tracing, transforms, control flow, files.

extern crate self as gradloom_frontend;

pub mod debug;
mod device;
mod eager;
pub mod fft;
mod image;
pub mod io;
mod jit;
pub mod linalg;
mod log;
pub mod random;
mod segment;
pub mod special;
pub mod stablehlo;
mod tensor;
mod trace;
mod transform;
pub mod tree;

pub use device::{default_device, set_default_device};
pub use gradloom_backends::cpu::Processor;
pub use gradloom_backends::cuda;
pub use gradloom_backends::kernel;
pub use gradloom_backends::{Cost, Device, Profile, StepProfile};
pub use gradloom_derive::Tree;
pub use gradloom_ir as ir;
pub use gradloom_ir::{Complex, DType, Element, Error, ErrorKind, ReduceKind, Result, bf16, f16};
pub use gradloom_passes as passes;
pub use image::Resize;
pub use jit::{Compiled, Jit, Lowered, jit, write_object_files};
pub use random::Key;
pub use segment::{
    segment_logsumexp, segment_max, segment_mean, segment_min, segment_prod, segment_softmax, segment_sum,
};
pub use tensor::{
    At, Axes, Between, Conv, EinsumPath, Grid, Index, IntoAxes, IntoIndex, IntoIndices, IntoShape, IntoStarts, NewAxis,
    Operand, Outside, Overlap, PadMode, Padding, Scalar, Side, TakeMode, Tensor, Unique, broadcast_arrays,
    conv_general, einsum, einsum_as, einsum_path, interp, meshgrid, polyval, step, where_,
};
pub use transform::*;
pub use tree::Tree;

/// Everything a model file needs: `use gradloom::prelude::*;`
pub mod prelude {
    pub use crate::transform::*;
    pub use crate::{
        Compiled, Conv, Cost, DType, Device, Jit, Key, Lowered, NewAxis, Padding, Tensor, Tree, debug, einsum, fft,
        jit, linalg, random, special, step, where_,
    };
}
