//! What a program is: dtypes, shapes, ops, graphs, the verifier and the text form.
//!
//! This crate knows nothing of transforms, machines or users' tensors.

mod analysis;
mod attr;
mod builder;
mod callback;
mod dataflow;
mod dtype;
mod error;
pub mod eval;
mod graph;
mod literal;
mod loc;
pub mod math;
mod ops;
mod parse;
mod primitive;
mod print;
mod registry;
mod ty;
mod verify;

pub use analysis::Analysis;
pub use attr::Attr;
pub use builder::Builder;
pub use callback::Callback;
pub use dtype::{DType, Element};
pub use error::{Error, ErrorKind, Result};
pub use graph::{Graph, Node, Value, Values};
pub use half::{bf16, f16};
pub use literal::Literal;
pub use loc::Loc;
pub use num_complex::Complex;
pub use ops::{
    Binary, Comparison, ConvGeometry, FftKind, Op, ReduceKind, ScatterKind, Transposition, Types, Unary,
    WindowGeometry, conv_geometry, infer,
};
pub use parse::parse;
pub use primitive::{Primitive, PrimitiveRules};
pub use print::{Names, Text};
pub use ty::{Shape, Type, row_major_strides};
pub use verify::verify;
