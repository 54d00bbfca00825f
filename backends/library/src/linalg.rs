//! Dense linear algebra, one matrix of the batch after the other, chunks of the batch in parallel.

use super::parallel::{self, In, Out, chunk};
use super::{LibraryCall, Scratch};
use gradloom_ir::{Op, Result, Type};
use smallvec::SmallVec;

/// Prepares any op of linear algebra; results that are not `read` may be left as they are.
pub(super) fn prepare(op: &Op, args: &[Type], results: &[Type], read: &[bool]) -> Result<LibraryCall> {
    let kernel = gradloom_linalg::prepare(op, args, results, read)?;
    let rank = args[0].rank();
    let batch: usize = args[0].shape[..rank - 2].iter().product();
    let per = |types: &[Type]| -> Vec<usize> { types.iter().map(|t| t.bytes() / batch.max(1)).collect() };
    let (arg_bytes, out_bytes) = (per(args), per(results));
    let chunks = parallel::chunk_count(batch, kernel.flops.max(1));
    let mut scratch = Scratch::default();
    let own_bytes = kernel.scratch_bytes();
    let at = scratch.take(chunks * own_bytes);
    let (name, flops) = (format!("{} {args:?}", op.name()), batch.saturating_mul(kernel.flops) as u64);
    Ok(LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
        let args: SmallVec<[In; 8]> = args.iter().map(|&p| In::new(p)).collect();
        let outs: SmallVec<[Out; 3]> = outs.iter().map(|&p| Out::new(p)).collect();
        let scratch = Out::new(scratch);
        let part = |c: usize| {
            for i in chunk(batch, chunks, c) {
                // SAFETY: matrix i of every array lies within it, and every chunk has scratch of its own.
                unsafe {
                    let args: SmallVec<[*const u8; 8]> =
                        args.iter().zip(&arg_bytes).map(|(p, n)| p.get().add(i * n)).collect();
                    let outs: SmallVec<[*mut u8; 3]> =
                        outs.iter().zip(&out_bytes).map(|(p, n)| p.get().add(i * n)).collect();
                    kernel.run(&args, &outs, scratch.get().add(at + c * own_bytes));
                }
            }
        };
        if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
    }))
}
