//! Triangular systems, and factors of many small matrices, by cuBLAS.

use super::pointers::Tables;
use crate::cuda::gpu::{Gpu, locked};
use crate::cuda::libraries::Library;
use crate::grid::Address;
use crate::grid::library::{Linear, Method, SMALL};
use cudarc::cublas::{result, sys};
use cudarc::driver::sys::CUstream;
use gradloom_ir::{Complex, DType, Error, Result, Transposition};
use std::ptr;

/// Bytes of scratch memory that the library is given: it would ask the driver for some of its own while work is captured.
const WORKSPACE: usize = 4 << 20;

fn said(op: &str, what: &str, e: result::CublasError) -> Error {
    Error::limit(op, format!("cuBLAS: {what}: {:?}", e.0))
}

/// The library in use on a GPU.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Handle(sys::cublasHandle_t);

// SAFETY: the handle may be used from all threads, one at a time, which the queue's lock sees to.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// Linear algebra, ready to be queued.
pub(in crate::cuda) struct Ready {
    handle: Handle,
    linear: Linear,
    /// What writes the addresses of the matrices, if one call takes all of a batch.
    tables: Option<Tables>,
}

/// Linear algebra, ready to be queued.
///
/// # Errors
/// If there is no cuBLAS.
pub(super) fn ready(gpu: &'static Gpu, linear: &Linear) -> Result<Ready> {
    let op = linear.what.name();
    let mut known = locked(&gpu.libraries.blas);
    let handle = match *known {
        Some(handle) => handle,
        None => {
            Library::Cublas.load_for(op)?;
            gpu.enter()?;
            *known.insert(Handle(result::create_handle().map_err(|e| said(op, "no handle", e))?))
        }
    };
    let at_once = match linear.what {
        Method::Solve { rows, columns, left, .. } => linear.batch > 1 && (if left { rows } else { columns }) <= SMALL,
        _ => true,
    };
    let tables = if at_once { Some(Tables::new(gpu)?) } else { None };
    Ok(Ready { handle, linear: linear.clone(), tables })
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

/// A function for a dtype, on systems of right-hand sides multiplied by one: the functions have names and types of their own.
macro_rules! trsm {
    ($function:ident, $one:expr, $s:expr, $a:expr, $b:expr $(, $batch:expr)?) => {{
        let (one, s) = ($one, $s);
        let [m, n, lda] = s.sizes;
        let (a, b) = ($a as *const _, $b as *mut _);
        let one = ptr::from_ref(&one).cast();
        sys::$function(s.handle, s.side, s.fill, s.op, s.diagonal, m, n, one, a, lda, b, m $(, $batch)?)
    }};
}

impl Ready {
    pub(super) fn workspace(&self) -> usize {
        let tables = if self.tables.is_some() { 2 } else { 0 };
        WORKSPACE + tables * Tables::bytes(self.linear.batch)
    }

    /// Queues what is to be done on buffers, then scratch memory.
    pub(super) fn queue(&self, stream: CUstream, buffers: &[Address]) -> Result<()> {
        let scratch = buffers.last().copied().unwrap_or_default();
        let op = self.linear.what.name();
        let fail = |e| said(op, "it cannot be queued", e);
        // SAFETY: the scratch memory has as many bytes as are said; whoever calls holds the queue.
        unsafe {
            // a stream that is set anew takes the scratch memory from the library
            result::set_stream(self.handle.0, stream.cast()).map_err(fail)?;
            sys::cublasSetWorkspace_v2(self.handle.0, scratch as *mut _, WORKSPACE).result().map_err(fail)?;
        }
        match self.linear.what {
            Method::Solve { .. } => self.solve(stream, buffers, scratch),
            Method::SmallLu { n } => self.small_lu(stream, n, buffers, scratch),
            _ => Err(Error::internal(op, "is not the work of cuBLAS")),
        }
    }

    /// Where the tables of addresses are.
    fn tables(&self, scratch: Address) -> [Address; 2] {
        let first = scratch + WORKSPACE as Address;
        [first, first + Tables::bytes(self.linear.batch) as Address]
    }

    fn small_lu(&self, stream: CUstream, n: usize, buffers: &[Address], scratch: Address) -> Result<()> {
        let [table, _] = self.tables(scratch);
        let Some(tables) = self.tables else { return Err(Error::internal("lu", "there is no table of addresses")) };
        let (batch, size) = (self.linear.batch, self.linear.dtype.size());
        let (handle, count, order) = (self.handle.0, batch as i32, n as i32);
        // SAFETY: the buffers hold matrices, pivots and codes of these sizes, as the program was compiled, and are not given back
        // before this is queued; the scratch memory has room for the table behind what the library uses.
        let done = unsafe {
            tables.write(stream, table, buffers[0], n * n * size, batch)?;
            let (pivots, info) = (buffers[1] as *mut i32, buffers[2] as *mut i32);
            match self.linear.dtype {
                DType::F32 => sys::cublasSgetrfBatched(handle, order, table as *const _, order, pivots, info, count),
                DType::F64 => sys::cublasDgetrfBatched(handle, order, table as *const _, order, pivots, info, count),
                DType::C64 => sys::cublasCgetrfBatched(handle, order, table as *const _, order, pivots, info, count),
                _ => sys::cublasZgetrfBatched(handle, order, table as *const _, order, pivots, info, count),
            }
        };
        done.result().map_err(|e| said("lu", "it cannot be queued", e))
    }

    fn system(&self) -> Option<System> {
        let Method::Solve { rows, columns, left, upper, op, unit } = self.linear.what else { return None };
        let order = if left { rows } else { columns };
        Some(System {
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
        })
    }

    /// Triangles, then right-hand sides.
    fn solve(&self, stream: CUstream, buffers: &[Address], scratch: Address) -> Result<()> {
        let op = self.linear.what.name();
        let s = self.system().ok_or_else(|| Error::internal(op, "is no triangular system"))?;
        let fail = |e| said(op, "it cannot be queued", e);
        let [rows, columns, order] = s.sizes.map(|n| n as usize);
        let (batch, dtype) = (self.linear.batch, self.linear.dtype);
        let (of_a, of_b) = (order * order * dtype.size(), rows * columns * dtype.size());
        // SAFETY: the buffers hold triangles and right-hand sides of these sizes, as the program was compiled, and are not given
        // back before this is queued; the scratch memory has room for the tables behind what the library uses.
        unsafe {
            if let Some(tables) = self.tables {
                let [a, b] = self.tables(scratch);
                tables.write(stream, a, buffers[0], of_a, batch)?;
                tables.write(stream, b, buffers[1], of_b, batch)?;
                let count = batch as i32;
                let done = match dtype {
                    DType::F32 => trsm!(cublasStrsmBatched, 1f32, &s, a, b, count),
                    DType::F64 => trsm!(cublasDtrsmBatched, 1f64, &s, a, b, count),
                    DType::C64 => trsm!(cublasCtrsmBatched, Complex::new(1f32, 0.0), &s, a, b, count),
                    _ => trsm!(cublasZtrsmBatched, Complex::new(1f64, 0.0), &s, a, b, count),
                };
                return done.result().map_err(fail);
            }
            for i in 0..batch {
                let a = buffers[0] + (i * of_a) as Address;
                let b = buffers[1] + (i * of_b) as Address;
                let done = match dtype {
                    DType::F32 => trsm!(cublasStrsm_v2, 1f32, &s, a, b),
                    DType::F64 => trsm!(cublasDtrsm_v2, 1f64, &s, a, b),
                    DType::C64 => trsm!(cublasCtrsm_v2, Complex::new(1f32, 0.0), &s, a, b),
                    _ => trsm!(cublasZtrsm_v2, Complex::new(1f64, 0.0), &s, a, b),
                };
                done.result().map_err(fail)?;
            }
        }
        Ok(())
    }
}
