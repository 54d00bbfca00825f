//! Library kernels: ops that run as prepared calls into Rust code instead of generated loop nests.
//!
//! [`prepare`] does all that depends on types and attributes once; [`LibraryCall::run`] then only computes. Buffers
//! are dense and row-major. Results do not depend on the number of threads: work is cut by sizes alone (products into parts
//! that add as the whole would), and each element is computed by one thread in a fixed order.

#[cfg(target_arch = "x86_64")]
mod amx;
mod awake;
mod combine;
mod conv;
#[cfg(target_arch = "x86_64")]
mod conv_direct;
mod conv_few_features;
mod depthwise;
mod depthwise_direct;
mod dot;
mod exchange;
#[cfg(target_arch = "x86_64")]
mod few_rows;
mod fft;
mod half_product;
#[cfg(target_arch = "x86_64")]
mod half_strips;
mod indexing;
mod linalg;
mod parallel;
mod patches;
mod product;
mod reduction;
mod runs;
mod scalar;
mod scatter;
mod shaping;
mod sort;
mod strided;
mod turned;
mod vector_product;
mod widened;
mod window;
mod workspace;

use gradloom_ir::{DType, Error, Op, Result, Type, infer};
use smallvec::SmallVec;
use std::fmt;
use std::ops::Range;

pub use awake::{as_program, call_workers};
pub use half_product::multiplies_bf16;
pub use parallel::{as_part, threads};

/// Parts that [`prepare`] reaches on some processors only, and what is not to be seen from outside, for tests.
#[doc(hidden)]
pub mod parts {
    pub use crate::awake::workers_awake;
    #[cfg(target_arch = "x86_64")]
    pub use crate::exchange::narrow_tile;
    pub use crate::half_product::{Multiplier, multiply_bf16};
    pub use crate::product::{Product, Strides, multiply_f32};
}

type Run = dyn Fn(&[*const u8], &[*mut u8], *mut u8) + Send + Sync;

/// Alignment of scratch and of every part of it.
const ALIGN: usize = 64;

/// A prepared call: everything that depends only on types and attributes was computed once.
pub struct LibraryCall {
    /// Op and sizes, for dumps and profiles.
    pub name: String,
    /// Bytes of scratch memory that a run needs, aligned to 64.
    pub scratch_bytes: usize,
    /// Arithmetic operations of a run; elements for ops that only move them.
    pub flops: u64,
    run: Box<Run>,
}

impl LibraryCall {
    fn new(
        name: String,
        scratch: Scratch,
        flops: u64,
        run: impl Fn(&[*const u8], &[*mut u8], *mut u8) + Send + Sync + 'static,
    ) -> LibraryCall {
        LibraryCall { name, scratch_bytes: scratch.bytes, flops, run: Box::new(run) }
    }

    /// Computes `outs` from `args`.
    ///
    /// # Safety
    /// `args` and `outs` are as many as the prepared types, each the start of a dense array of its type aligned to
    /// its elements; `scratch` has `scratch_bytes` bytes aligned to 64. No output overlaps anything else, except that
    /// for `dynamic_update_slice`, `scatter` and complex Fourier transforms `outs[0]` may be `args[0]`, which is then
    /// updated in place.
    #[inline]
    pub unsafe fn run(&self, args: &[*const u8], outs: &[*mut u8], scratch: *mut u8) {
        (self.run)(args, outs, scratch)
    }
}

impl fmt::Debug for LibraryCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LibraryCall({}, {} bytes of scratch)", self.name, self.scratch_bytes)
    }
}

/// Hands out parts of a call's scratch memory while it is prepared.
#[derive(Default)]
struct Scratch {
    bytes: usize,
}

impl Scratch {
    /// Reserves `bytes` and returns where they start.
    fn take(&mut self, bytes: usize) -> usize {
        let at = self.bytes;
        self.bytes += bytes.next_multiple_of(ALIGN);
        at
    }
}

/// Prepares `op` on operands and results of the given types; `None` if it is not a library op. Of a product in f32 one
/// operand may be of 8-bit integers, which are widened as they are read.
pub fn prepare(op: &Op, args: &[Type], results: &[Type]) -> Option<Result<LibraryCall>> {
    if !is_library_op(op) {
        return None;
    }
    Some(check(op, args, results).and_then(|()| prepare_checked(op, args, results)))
}

/// What of a call's results is read afterwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reads {
    /// Which results are read at all.
    pub results: SmallVec<[bool; 4]>,
    /// Of a sort, the part of the sorted axis.
    pub part: Option<Range<usize>>,
}

/// As [`prepare`]; what is not read of the results may be left as it is.
pub fn prepare_for(op: &Op, args: &[Type], results: &[Type], reads: Reads) -> Option<Result<LibraryCall>> {
    let prepared = |f: &dyn Fn() -> Result<LibraryCall>| check(op, args, results).and_then(|()| f());
    match (op, reads.part) {
        (Op::Sort { axis, num_keys }, Some(part)) if part.end <= args[0].shape[*axis] => {
            Some(prepared(&|| Ok(sort::sort(args, *axis, *num_keys, part.clone()))))
        }
        (Op::Qr { .. }, _) => Some(prepared(&|| linalg::prepare(op, args, results, &reads.results))),
        _ => prepare(op, args, results),
    }
}

/// Whether [`prepare`] knows the op.
pub fn is_library_op(op: &Op) -> bool {
    matches!(
        op,
        Op::DotGeneral { .. }
            | Op::Convolution { .. }
            | Op::Pad { .. }
            | Op::Concatenate { .. }
            | Op::DynamicSlice { .. }
            | Op::DynamicUpdateSlice {}
            | Op::Gather { .. }
            | Op::Scatter { .. }
            | Op::Transpose { .. }
            | Op::Reverse { .. }
            | Op::Slice { .. }
            | Op::Broadcast { .. }
            | Op::ArgReduce { .. }
            | Op::Cumulative { .. }
            | Op::ReduceWindow { .. }
            | Op::SelectAndGather { .. }
            | Op::SelectAndScatter { .. }
            | Op::Sort { .. }
            | Op::Fft { .. }
            | gradloom_ir::linalg_ops!()
    )
}

fn prepare_checked(op: &Op, args: &[Type], results: &[Type]) -> Result<LibraryCall> {
    let out = results.first().ok_or_else(|| Error::internal(op.name(), "has no result"))?;
    match op {
        Op::Fft { kind, lengths } => fft::fft(*kind, lengths, &args[0], out),
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
            dot::dot_general(&args[0], &args[1], [lhs_batch, rhs_batch, lhs_contract, rhs_contract])
        }
        Op::Convolution { .. } => conv::convolution(op, &args[0], &args[1], out),
        Op::Pad { low, interior, .. } => Ok(shaping::pad(op, &args[0], low, interior, out)),
        Op::Concatenate { axis } => Ok(shaping::concatenate(op, args, *axis, out)),
        Op::Transpose { perm } => Ok(shaping::transpose(op, &args[0], perm, out)),
        Op::Reverse { axes } => Ok(shaping::reverse(op, axes, out)),
        Op::Slice { start, stride, .. } => Ok(shaping::slice(op, &args[0], start, stride, out)),
        Op::Broadcast { dims, .. } => Ok(shaping::broadcast(op, &args[0], dims, out)),
        Op::DynamicSlice { .. } => Ok(indexing::dynamic_slice(args, out)),
        Op::DynamicUpdateSlice {} => Ok(indexing::dynamic_update_slice(args)),
        Op::Gather { .. } => indexing::gather(op, &args[0], &args[1], out),
        Op::Scatter { .. } => scatter::scatter(op, &args[0], &args[1], &args[2]),
        Op::ArgReduce { kind, axis } => Ok(reduction::arg_reduce(*kind, &args[0], *axis)),
        Op::Cumulative { kind, axis, reverse } => Ok(reduction::cumulative(*kind, &args[0], *axis, *reverse)),
        Op::ReduceWindow { kind, .. } => window::reduce_window(op, *kind, &args[0], out),
        Op::SelectAndGather { kind, .. } => window::select_and_gather(op, *kind, args, out),
        Op::SelectAndScatter { kind, .. } => window::select_and_scatter(op, *kind, args, out),
        Op::Sort { axis, num_keys } => Ok(sort::sort(args, *axis, *num_keys, 0..args[0].shape[*axis])),
        gradloom_ir::linalg_ops!() => {
            linalg::prepare(op, args, results, &SmallVec::<[bool; 4]>::from_elem(true, results.len()))
        }
        _ => Err(Error::internal(op.name(), "is not a library op")),
    }
}

/// More axes with windows than the kernels' fixed-size counters hold.
fn too_many(op: &str) -> Error {
    Error::limit(op, "more than 8 padded or dilated axes, or more than 12 with windows")
        .help("pad the operand with `pad` first, or reshape adjacent axes into one")
}

/// Kernels trust their types, so these are checked whoever prepared them.
fn check(op: &Op, args: &[Type], results: &[Type]) -> Result<()> {
    let inferred = match (op, args) {
        (Op::DotGeneral { .. }, [l, r]) if widened::is_widened(l.dtype, r.dtype) => {
            infer(op, &[l, r].map(|t| Type::new(DType::F32, &t.shape)))?
        }
        _ => infer(op, args)?,
    };
    if inferred.as_slice() == results {
        return Ok(());
    }
    Err(Error::internal(op.name(), format!("has results {inferred:?}, not {results:?}")))
}
