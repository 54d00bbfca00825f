//! Dense linear algebra through `faer`, one matrix of the batch after the other, chunks of the batch in parallel.
//!
//! `faer` runs on one thread here, so results do not depend on how many there are. Its kernels want column-major
//! matrices: decompositions work on copies in scratch memory, scaled by a power of two so that squares neither overflow
//! nor underflow. A matrix with an element that is not finite never reaches an iteration: its results are NaN.

mod direct;
mod general;
mod number;
mod spectral;

use super::parallel::{self, In, Out, chunk};
use super::{LibraryCall, Scratch};
use faer::dyn_stack::{MemStack, StackReq};
use gradloom_ir::{Complex, DType, Error, Op, Result, Type};
use number::Number;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// Operands, results and scratch of one matrix of a batch.
struct One<'a> {
    args: &'a [*const u8],
    outs: &'a [*mut u8],
    /// Where the typed part of the scratch starts.
    room: *mut u8,
    /// Where the part for `faer` starts, and its size.
    stack: *mut u8,
    stack_bytes: usize,
}

impl One<'_> {
    /// # Safety
    /// Operand `i` has `n` elements of type `T`.
    unsafe fn arg<T>(&self, i: usize, n: usize) -> &[T] {
        // SAFETY: the caller's promise; operands are not written during a run.
        unsafe { std::slice::from_raw_parts(self.args[i].cast(), n) }
    }

    /// # Safety
    /// Result `i` has `n` elements of type `T`, and no other slice of it is in use.
    #[allow(clippy::mut_from_ref)] // the memory behind the pointers is not part of `self`
    unsafe fn out<T>(&self, i: usize, n: usize) -> &mut [T] {
        // SAFETY: the caller's promise; results overlap nothing.
        unsafe { std::slice::from_raw_parts_mut(self.outs[i].cast(), n) }
    }

    /// # Safety
    /// The typed scratch has room for `at + n` elements of type `T`, and no other slice of that part is in use.
    #[allow(clippy::mut_from_ref)]
    unsafe fn room<T: Number>(&self, at: usize, n: usize) -> &mut [T] {
        // SAFETY: the caller's promise; the scratch of a chunk belongs to it. It may hold any bytes, which floats may too.
        unsafe { std::slice::from_raw_parts_mut(self.room.cast::<T>().add(at), n) }
    }

    /// # Safety
    /// No other use of the stack is alive.
    #[allow(clippy::mut_from_ref)]
    unsafe fn stack(&self) -> &mut MemStack {
        // SAFETY: `stack_bytes` bytes start there, and the caller's promise.
        MemStack::new(unsafe { std::slice::from_raw_parts_mut(self.stack.cast::<MaybeUninit<u8>>(), self.stack_bytes) })
    }
}

/// What a kernel needs beyond operands and results.
struct Needs {
    /// Bytes of typed scratch.
    room: usize,
    /// Scratch of the kernels called.
    stack: StackReq,
    /// Arithmetic operations of one matrix.
    flops: usize,
}

impl Needs {
    fn new<T>(elements: usize, stack: StackReq, flops: usize) -> Needs {
        Needs { room: elements * size_of::<T>(), stack, flops }
    }
}

/// A call of `f` for every matrix of the batch.
fn each(
    name: String,
    args: &[Type],
    results: &[Type],
    needs: Needs,
    f: impl Fn(&One) + Send + Sync + 'static,
) -> LibraryCall {
    let rank = args[0].rank();
    let batch: usize = args[0].shape[..rank - 2].iter().product();
    let per = |types: &[Type]| -> Vec<usize> { types.iter().map(|t| t.bytes() / batch.max(1)).collect() };
    let (arg_bytes, out_bytes) = (per(args), per(results));
    let chunks = parallel::chunk_count(batch, needs.flops.max(1));
    let mut scratch = Scratch::default();
    let room = needs.room.next_multiple_of(super::ALIGN);
    let stack_bytes = needs.stack.unaligned_bytes_required().next_multiple_of(super::ALIGN);
    let at = scratch.take(chunks * (room + stack_bytes));
    LibraryCall::new(name, scratch, batch.saturating_mul(needs.flops) as u64, move |args, outs, scratch| {
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
                    let own = scratch.get().add(at + c * (room + stack_bytes));
                    f(&One { args: &args, outs: &outs, room: own, stack: own.add(room), stack_bytes });
                }
            }
        };
        if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
    })
}

/// Rows and columns.
fn size(ty: &Type) -> (usize, usize) {
    let rank = ty.rank();
    (ty.shape[rank - 2], ty.shape[rank - 1])
}

/// Runs `$body` with `$T` the type elements of `$dtype` are computed in.
macro_rules! with_number {
    ($op:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $T = f32;
                Ok($body)
            }
            DType::F64 => {
                type $T = f64;
                Ok($body)
            }
            DType::C64 => {
                type $T = Complex<f32>;
                Ok($body)
            }
            DType::C128 => {
                type $T = Complex<f64>;
                Ok($body)
            }
            d => Err(Error::bad_dtype($op.name(), d, "f32, f64 or complex")),
        }
    };
}

/// Prepares any op of linear algebra; results that are not `read` may be left as they are.
pub(super) fn prepare(op: &Op, args: &[Type], results: &[Type], read: &[bool]) -> Result<LibraryCall> {
    let name = format!("{} {args:?}", op.name());
    with_number!(op, args[0].dtype, T => match op {
        Op::Cholesky { lower } => direct::cholesky::<T>(name, args, results, *lower),
        Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal } => {
            let triangle = direct::Triangle { lower: *lower, unit: *unit_diagonal, op: *transpose_a };
            direct::triangular_solve::<T>(name, args, results, *left_side, triangle)
        }
        Op::Lu {} => direct::lu::<T>(name, args, results),
        Op::LuSolve { transpose_a } => direct::lu_solve::<T>(name, args, results, *transpose_a),
        Op::Qr { .. } => direct::qr::<T>(name, args, results, read[0]),
        Op::Svd { .. } => spectral::svd::<T>(name, args, results),
        Op::Eigh { .. } => spectral::eigh::<T>(name, args, results),
        Op::Eig { .. } => general::eig::<T>(name, args, results),
        Op::Pinv {} => spectral::pinv::<T>(name, args, results),
        Op::SpectralForm { order } => spectral::spectral_form::<T>(name, args, results, *order),
        _ => return Err(Error::internal(op.name(), "is not linear algebra")),
    })
}
