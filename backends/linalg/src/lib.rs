//! Dense linear algebra through `faer`, one matrix at a time.
//!
//! `faer` runs on one thread here, so results do not depend on how many there are. Its kernels want column-major
//! matrices: decompositions work on copies in scratch memory, scaled by a power of two so that squares neither overflow
//! nor underflow. A matrix with an element that is not finite never reaches an iteration: its results are NaN.
//!
//! A crate of its own because `faer`'s code for four kinds of numbers takes minutes to compile: who changes or tests
//! other library kernels does not wait for it.

mod direct;
mod general;
mod number;
mod spectral;

use faer::dyn_stack::{MemStack, StackReq};
use gradloom_ir::{Complex, DType, Error, Op, Result, Type};
use number::Number;
use std::mem::MaybeUninit;

/// Alignment of scratch and of both of its parts.
const ALIGN: usize = 64;

/// An op of linear algebra, prepared for matrices of one size.
pub struct Kernel {
    /// Arithmetic operations of one matrix.
    pub flops: usize,
    /// Bytes of typed scratch.
    room: usize,
    /// Bytes of scratch of the kernels called.
    stack: usize,
    run: Box<dyn Fn(&One) + Send + Sync>,
}

impl Kernel {
    fn new(needs: Needs, run: impl Fn(&One) + Send + Sync + 'static) -> Kernel {
        Kernel {
            flops: needs.flops,
            room: needs.room.next_multiple_of(ALIGN),
            stack: needs.stack.unaligned_bytes_required().next_multiple_of(ALIGN),
            run: Box::new(run),
        }
    }

    /// Bytes of scratch of a run, a multiple of 64.
    pub fn scratch_bytes(&self) -> usize {
        self.room + self.stack
    }

    /// Computes one matrix of each result from one matrix of each operand.
    ///
    /// # Safety
    /// `args` and `outs` are as many as the prepared types, each the start of a dense matrix, or vector, of the last
    /// axes of its type, aligned to its elements; `scratch` has `scratch_bytes` bytes aligned to 64. No output overlaps
    /// anything else.
    pub unsafe fn run(&self, args: &[*const u8], outs: &[*mut u8], scratch: *mut u8) {
        let stack = scratch.wrapping_add(self.room);
        (self.run)(&One { args, outs, room: scratch, stack, stack_bytes: self.stack })
    }
}

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

/// Prepares any op of linear algebra on batches of matrices; results that are not `read` may be left as they are.
///
/// # Errors
/// If the op is not one of linear algebra, or its operands are neither f32, f64 nor complex.
pub fn prepare(op: &Op, args: &[Type], results: &[Type], read: &[bool]) -> Result<Kernel> {
    with_number!(op, args[0].dtype, T => match op {
        Op::Cholesky { lower } => direct::cholesky::<T>(args, *lower),
        Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal } => {
            let triangle = direct::Triangle { lower: *lower, unit: *unit_diagonal, op: *transpose_a };
            direct::triangular_solve::<T>(args, *left_side, triangle)
        }
        Op::Lu {} => direct::lu::<T>(args),
        Op::LuSolve { transpose_a } => direct::lu_solve::<T>(args, *transpose_a),
        Op::Qr { .. } => direct::qr::<T>(args, results, read[0]),
        Op::Svd { .. } => spectral::svd::<T>(args, results),
        Op::Eigh { .. } => spectral::eigh::<T>(args, results),
        Op::Eig { .. } => general::eig::<T>(args, results),
        Op::Pinv {} => spectral::pinv::<T>(args),
        Op::SpectralForm { order } => spectral::spectral_form::<T>(args, *order),
        _ => return Err(Error::internal(op.name(), "is not linear algebra")),
    })
}
