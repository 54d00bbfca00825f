//! Triangular systems by cuBLAS, matrix after matrix of a batch.

use super::locked;
use crate::cuda::gpu::Gpu;
use crate::cuda::libraries::Library;
use crate::grid::Address;
use crate::grid::library::{Linear, Method};
use cudarc::cublas::{result, sys};
use cudarc::driver::sys::CUstream;
use gradloom_ir::{Complex, DType, Error, Result, Transposition};
use std::ptr;

/// Bytes of scratch memory that the library is given: it would ask the driver for some of its own while work is captured.
const WORKSPACE: usize = 4 << 20;

const OP: &str = "triangular_solve";

fn said(what: &str, e: result::CublasError) -> Error {
    Error::limit(OP, format!("cuBLAS: {what}: {:?}", e.0))
}

/// The library in use on a GPU.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Handle(sys::cublasHandle_t);

// SAFETY: the handle may be used from all threads, one at a time, which the queue's lock sees to.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// Triangular systems, ready to be queued.
pub(in crate::cuda) struct Ready {
    handle: Handle,
    linear: Linear,
}

/// Triangular systems, ready to be queued.
///
/// # Errors
/// If there is no cuBLAS.
pub(super) fn ready(gpu: &'static Gpu, linear: &Linear) -> Result<Ready> {
    let mut known = locked(&gpu.libraries.blas);
    let handle = match *known {
        Some(handle) => handle,
        None => {
            Library::Cublas.load_for(OP)?;
            gpu.enter()?;
            let handle = result::create_handle().map_err(|e| said("no handle", e))?;
            *known.insert(Handle(handle))
        }
    };
    Ok(Ready { handle, linear: linear.clone() })
}

/// One and the system, for a dtype: the functions have names and types of their own.
macro_rules! trsm {
    ($function:ident, $one:expr, $s:expr, $a:expr, $b:expr) => {{
        let (one, s) = ($one, $s);
        let [m, n, lda] = s.sizes;
        sys::$function(
            s.handle,
            s.side,
            s.fill,
            s.op,
            s.diagonal,
            m,
            n,
            ptr::from_ref(&one).cast(),
            $a as *const _,
            lda,
            $b as *mut _,
            m,
        )
    }};
}

/// A system as the library names it.
struct System {
    handle: sys::cublasHandle_t,
    side: sys::cublasSideMode_t,
    fill: sys::cublasFillMode_t,
    op: sys::cublasOperation_t,
    diagonal: sys::cublasDiagType_t,
    /// Rows and columns of the right-hand side, order of the triangle.
    sizes: [i32; 3],
}

impl Ready {
    pub(super) fn workspace(&self) -> usize {
        WORKSPACE
    }

    /// Queues the systems of buffers: triangles, right-hand sides, scratch memory.
    pub(super) fn queue(&self, stream: CUstream, buffers: &[Address]) -> Result<()> {
        let Method::Solve { rows, columns, left, upper, op, unit } = self.linear.what else {
            return Err(Error::internal(OP, "is no triangular system"));
        };
        let order = if left { rows } else { columns };
        let fail = |e| said("a system cannot be queued", e);
        let s = System {
            handle: self.handle.0,
            side: match left {
                true => sys::cublasSideMode_t::CUBLAS_SIDE_LEFT,
                false => sys::cublasSideMode_t::CUBLAS_SIDE_RIGHT,
            },
            fill: match upper {
                true => sys::cublasFillMode_t::CUBLAS_FILL_MODE_UPPER,
                false => sys::cublasFillMode_t::CUBLAS_FILL_MODE_LOWER,
            },
            op: match op {
                Transposition::None => sys::cublasOperation_t::CUBLAS_OP_N,
                Transposition::Transpose => sys::cublasOperation_t::CUBLAS_OP_T,
                Transposition::Adjoint => sys::cublasOperation_t::CUBLAS_OP_C,
            },
            diagonal: match unit {
                true => sys::cublasDiagType_t::CUBLAS_DIAG_UNIT,
                false => sys::cublasDiagType_t::CUBLAS_DIAG_NON_UNIT,
            },
            sizes: [rows as i32, columns as i32, order as i32],
        };
        let size = self.linear.dtype.size();
        // SAFETY: the buffers hold triangles and right-hand sides of these sizes, as the program was compiled, and are not given
        // back before this is queued; the scratch memory has as many bytes as are said; whoever calls holds the queue.
        unsafe {
            // a stream that is set anew takes the scratch memory from the library
            result::set_stream(s.handle, stream.cast()).map_err(fail)?;
            sys::cublasSetWorkspace_v2(s.handle, buffers[2] as *mut _, WORKSPACE).result().map_err(fail)?;
            for i in 0..self.linear.batch {
                let a = buffers[0] + (i * order * order * size) as Address;
                let b = buffers[1] + (i * rows * columns * size) as Address;
                match self.linear.dtype {
                    DType::F32 => trsm!(cublasStrsm_v2, 1f32, &s, a, b),
                    DType::F64 => trsm!(cublasDtrsm_v2, 1f64, &s, a, b),
                    DType::C64 => trsm!(cublasCtrsm_v2, Complex::new(1f32, 0.0), &s, a, b),
                    _ => trsm!(cublasZtrsm_v2, Complex::new(1f64, 0.0), &s, a, b),
                }
                .result()
                .map_err(fail)?;
            }
        }
        Ok(())
    }
}
