//! Library kernels: ops that run as prepared calls into Rust code instead of generated loop nests.
//!
//! [`prepare`] does all that depends on types and attributes once; [`LibraryCall::run`] then only computes. Buffers
//! are dense and row-major. Results do not depend on the number of threads: work is cut by sizes alone, and each
//! element is computed by one thread in a fixed order.

mod conv;
mod depthwise;
mod dot;
mod parallel;
mod patches;
mod product;
mod scalar;
mod strided;

#[cfg(test)]
mod tests;

use gradloom_ir::{Error, Op, Result, Type, infer};
use std::fmt;

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
    /// 64 bytes; `scratch` has `scratch_bytes` bytes aligned to 64. No output overlaps anything else, except that
    /// for `dynamic_update_slice` and `scatter` `outs[0]` may be `args[0]`, which is then updated in place.
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

/// Prepares `op` on operands and results of the given types; `None` if it is not a library op.
pub fn prepare(op: &Op, args: &[Type], results: &[Type]) -> Option<Result<LibraryCall>> {
    let call = match op {
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => check(op, args, results)
            .and_then(|()| dot::dot_general(&args[0], &args[1], [lhs_batch, rhs_batch, lhs_contract, rhs_contract])),
        Op::Convolution { .. } => {
            check(op, args, results).and_then(|()| conv::convolution(op, &args[0], &args[1], &results[0]))
        }
        _ => return None,
    };
    Some(call)
}

/// More axes with windows than the kernels' fixed-size counters hold.
fn too_many(op: &str) -> Error {
    Error::limit(op, "more than 8 padded or dilated axes, or more than 12 with windows")
        .help("pad the operand with `pad` first, or reshape adjacent axes into one")
}

/// Kernels trust their types, so these are checked whoever prepared them.
fn check(op: &Op, args: &[Type], results: &[Type]) -> Result<()> {
    let inferred = infer(op, args)?;
    if inferred.as_slice() == results {
        return Ok(());
    }
    Err(Error::internal(op.name(), format!("has results {inferred:?}, not {results:?}")))
}
