//! The CPU: clusters of ops become loop nests and machine code, the rest prepared library calls.
//!
//! Levels, each with its type: optimised graph ([`gradloom_ir::Graph`]), clustered graph (`cluster::Clustered`), loop
//! nests ([`crate::kernel::LoopNest`]), program ([`gradloom_runtime::Program`]): steps over planned memory.

mod block_rows;
mod cluster;
pub mod codegen;
mod compile;
mod divide_reductions;
mod explain;
mod fusion;
mod lead_batches;
mod memory;
mod narrow_products;
mod nest;
mod object;
mod orient_products;
mod passes;
mod places;
mod reduce_products;
mod skip_masked;
mod trim_sorts;
mod turn_components;
mod unroll;

pub use block_rows::{Blocking, block_rows};
pub use cluster::storage;
pub(crate) use cluster::{Step as Work, split_axes};
pub(crate) use compile::{Lowered, StepValues, kernel_of, lower as lower_graph, step_roots};
pub use compile::{compile, loop_nests};
pub(crate) use divide_reductions::For;
pub use explain::{Explained, StepInfo, StepKind, explain};
pub use fusion::why_apart;
pub use gradloom_library as library;
pub(crate) use nest::{Kernel, nest_of};
pub use object::{ObjectFile, Processor, compile_object};
pub(crate) use passes::{lowered_for_gpu, real};
pub use skip_masked::{Cutting, skip_masked};
pub(crate) use unroll::recurrence;
