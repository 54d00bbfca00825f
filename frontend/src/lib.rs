//! What users touch: [`Tensor`], [`Tree`], tracing, transforms, control flow, files.

extern crate self as gradloom_frontend;

mod eager;
pub mod io;
mod jit;
mod tensor;
mod trace;
mod transform;
pub mod tree;

pub use gradloom_backends::{Cost, Device};
pub use gradloom_derive::Tree;
pub use gradloom_ir as ir;
pub use gradloom_ir::{DType, Element, Error, ErrorKind, Result};
pub use gradloom_passes as passes;
pub use jit::{Compiled, Jit, Lowered, jit};
pub use tensor::{IntoShape, Operand, Scalar, Tensor};
pub use transform::*;
pub use tree::Tree;

/// Everything a model file needs: `use gradloom::prelude::*;`
pub mod prelude {
    pub use crate::transform::*;
    pub use crate::{Compiled, Cost, DType, Device, Jit, Lowered, Tensor, Tree, jit};
}
