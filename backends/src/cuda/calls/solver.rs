//! Factorisations, eigenvalues and singular values by cuSOLVER: matrix after matrix of a batch, in place. What it finds wrong
//! with a matrix it writes down on the GPU.

use super::pointers::Tables;
use crate::cuda::gpu::{Gpu, locked};
use crate::cuda::libraries::Library;
use crate::grid::library::{Linear, Method, SMALL, Vectors};
use crate::grid::{ALIGNMENT, Address};
use cudarc::cusolver::{result, sys};
use cudarc::driver::sys::CUstream;
use gradloom_ir::{DType, Error, Result};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// The library in use on a GPU, and what it has made ready.
#[derive(Default)]
pub(super) struct Solver {
    handles: Option<Handles>,
    ready: HashMap<Linear, Arc<Ready>>,
}

#[derive(Clone, Copy)]
struct Handles {
    handle: sys::cusolverDnHandle_t,
    params: sys::cusolverDnParams_t,
}

// SAFETY: the handles may be used from all threads, one at a time: whoever queues holds the queue, and what is asked for while a
// program is compiled is asked under a lock and changes nothing.
unsafe impl Send for Handles {}
// SAFETY: as above.
unsafe impl Sync for Handles {}

fn said(op: &str, what: &str, e: result::CusolverError) -> Error {
    Error::limit(op, format!("cuSOLVER: {what}: {:?}", e.0))
}

impl Solver {
    fn handles(&mut self, gpu: &Gpu, op: &'static str) -> Result<Handles> {
        if let Some(found) = self.handles {
            return Ok(found);
        }
        Library::Cusolver.load_for(op)?;
        gpu.enter()?;
        let fail = |e| said(op, "no handle", e);
        let handle = result::dn_create().map_err(fail)?;
        let mut params = ptr::null_mut();
        // SAFETY: the handle was just made; the place for the settings is written.
        unsafe {
            sys::cusolverDnCreateParams(&mut params).result().map_err(fail)?;
        }
        Ok(*self.handles.insert(Handles { handle, params }))
    }
}

/// Whether the library that was loaded has a function: those of later versions are not in all.
fn has(function: &[u8]) -> bool {
    // SAFETY: the library was found; the function is looked up, not called.
    unsafe { sys::culib().get::<unsafe extern "C" fn()>(function).is_ok() }
}

/// Linear algebra, ready to be queued. It is kept as long as the process.
pub(in crate::cuda) struct Ready {
    handles: Handles,
    linear: Linear,
    /// Whether one call does the whole batch.
    at_once: bool,
    /// What writes the addresses of the matrices, if that call takes them.
    tables: Option<Tables>,
    /// Bytes of scratch memory on the GPU.
    workspace: usize,
    /// Scratch memory of the host, which whoever holds the queue uses.
    host: Host,
}

/// Memory of the host's.
struct Host(*mut u64, usize);

// SAFETY: what is there is used by one thread at a time: by whoever holds the queue.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// `bytes` bytes that are never given back: captured work may use them as long as the process lives.
    fn new(bytes: usize) -> Host {
        let words = vec![0u64; bytes.div_ceil(8)];
        Host(Box::leak(words.into_boxed_slice()).as_mut_ptr(), bytes)
    }
}

/// Linear algebra, ready to be queued.
///
/// # Errors
/// If there is no cuSOLVER, or one that is too old, or what it says is wrong.
pub(super) fn ready(gpu: &'static Gpu, linear: &Linear) -> Result<Arc<Ready>> {
    let mut solver = locked(&gpu.libraries.solver);
    if let Some(found) = solver.ready.get(linear) {
        return Ok(found.clone());
    }
    let op = linear.what.name();
    let handles = solver.handles(gpu, op)?;
    if matches!(linear.what, Method::Eig { .. }) && !has(b"cusolverDnXgeev\0") {
        let what = "cuSOLVER has no eigenvalues of general matrices before CUDA 12.6";
        return Err(Error::limit(op, what).help("install a later CUDA, or run the program on Device::cpu()"));
    }
    gpu.enter()?;
    let at_once = linear.batch > 1
        && match linear.what {
            Method::Cholesky { n, .. } => n <= SMALL,
            Method::Eigh { .. } => has(b"cusolverDnXsyevBatched\0"),
            _ => false,
        };
    let tables = match linear.what {
        Method::Cholesky { .. } if at_once => Some(Tables::new(gpu)?),
        _ => None,
    };
    let host = Host(ptr::null_mut(), 0);
    let mut made = Ready { handles, linear: linear.clone(), at_once, tables, workspace: 0, host };
    let sizes = made.sizes().map_err(|e| said(op, &format!("{linear:?} cannot be prepared"), e))?;
    (made.workspace, made.host) = (sizes.0, Host::new(sizes.1));
    let made = Arc::new(made);
    solver.ready.insert(linear.clone(), made.clone());
    Ok(made)
}

fn data_type(dtype: DType) -> sys::cudaDataType {
    match dtype {
        DType::F32 => sys::cudaDataType::CUDA_R_32F,
        DType::F64 => sys::cudaDataType::CUDA_R_64F,
        DType::C64 => sys::cudaDataType::CUDA_C_32F,
        _ => sys::cudaDataType::CUDA_C_64F,
    }
}

fn fill(upper: bool) -> sys::cublasFillMode_t {
    if upper { sys::cublasFillMode_t::CUBLAS_FILL_MODE_UPPER } else { sys::cublasFillMode_t::CUBLAS_FILL_MODE_LOWER }
}

fn mode(vectors: bool) -> sys::cusolverEigMode_t {
    match vectors {
        true => sys::cusolverEigMode_t::CUSOLVER_EIG_MODE_VECTOR,
        false => sys::cusolverEigMode_t::CUSOLVER_EIG_MODE_NOVECTOR,
    }
}

/// Which vectors, as the library names them.
fn job(vectors: Vectors) -> i8 {
    match vectors {
        Vectors::No => b'N' as i8,
        Vectors::Thin => b'S' as i8,
        Vectors::Full => b'A' as i8,
    }
}

/// The function for a dtype: real and complex ones have other names and types.
macro_rules! by_dtype {
    ($dtype:expr, [$s:ident, $d:ident, $c:ident, $z:ident]($handle:expr, $m:expr, $n:expr, $k:expr, $a:expr, $tau:expr, $($rest:expr),*)) => {
        match $dtype {
            DType::F32 => sys::$s($handle, $m, $n, $k, $a.cast(), $m, $tau.cast(), $($rest),*),
            DType::F64 => sys::$d($handle, $m, $n, $k, $a.cast(), $m, $tau.cast(), $($rest),*),
            DType::C64 => sys::$c($handle, $m, $n, $k, $a.cast(), $m, $tau.cast(), $($rest),*),
            _ => sys::$z($handle, $m, $n, $k, $a.cast(), $m, $tau.cast(), $($rest),*),
        }
    };
}

/// What a function of the library is called for.
enum Asked<'a> {
    /// Bytes of scratch memory on the GPU and of the host.
    Sizes { device: &'a mut usize, host: &'a mut usize },
    /// Its work.
    Run { workspace: *mut c_void, device: usize, host: *mut c_void, on_host: usize, info: *mut i32 },
}

/// The most arrays that a method works on.
const MOST_ARRAYS: usize = 5;

/// A function and the one that says what it takes: they have all params but the last in common.
macro_rules! routine {
    ($sizes:ident, $run:ident, $asked:expr, ($($arg:expr),*) $(, $batch:expr)?) => {
        match $asked {
            Asked::Sizes { device, host } => sys::$sizes($($arg,)* device, host $(, $batch)?),
            Asked::Run { workspace, device, host, on_host, info } => {
                sys::$run($($arg,)* workspace, device, host, on_host, info $(, $batch)?)
            }
        }
    };
}

impl Ready {
    pub(super) fn workspace(&self) -> usize {
        self.workspace
    }

    /// Bytes of each matrix's part of the buffers.
    fn bytes(&self) -> Vec<usize> {
        let size = self.linear.dtype.size();
        let (real, complex) = (self.linear.dtype.real().size(), 2 * self.linear.dtype.real().size());
        let info = size_of::<i32>();
        match self.linear.what {
            Method::Cholesky { n, .. } => vec![n * n * size, info],
            Method::Lu { rows, columns } => {
                vec![rows * columns * size, rows.min(columns) * size_of::<i64>(), info]
            }
            Method::Qr { rows, columns, stride } => vec![stride * size, rows.min(columns) * size, info],
            Method::Q { reflections, stride, .. } => vec![stride * size, reflections * size, info],
            Method::Eigh { n, .. } => vec![n * n * size, n * real, info],
            Method::Svd { rows, columns, vectors } => {
                let of_u = if vectors == Vectors::Full { rows } else { columns };
                let square = columns * columns * size;
                vec![rows * columns * size, columns * real, rows * of_u * size, square, info]
            }
            Method::Eig { n, .. } => vec![n * n * size, n * complex, n * n * size, info],
            Method::Solve { .. } | Method::SmallLu { .. } => Vec::new(),
        }
    }

    /// Bytes of scratch memory on the GPU and of the host that one call takes.
    fn sizes(&self) -> Result<(usize, usize), result::CusolverError> {
        let (mut device, mut host) = (0, 0);
        if self.tables.is_some() {
            return Ok((Tables::bytes(self.linear.batch), 0));
        }
        // arrays that nobody looks at, where some might be
        let none = [ptr::without_provenance_mut(ALIGNMENT); MOST_ARRAYS];
        self.routine(&none, Asked::Sizes { device: &mut device, host: &mut host })?;
        Ok((device, host))
    }

    /// Queues the method on buffers of a batch, then scratch memory.
    pub(super) fn queue(&self, stream: CUstream, buffers: &[Address]) -> Result<()> {
        let bytes = self.bytes();
        let workspace = buffers.get(bytes.len()).map_or(ptr::null_mut(), |&at| at as *mut c_void);
        let fail = |e| said(self.linear.what.name(), "it cannot be queued", e);
        // SAFETY: the handle lives; whoever calls holds the queue.
        unsafe { result::dn_set_stream(self.handles.handle, stream.cast()) }.map_err(fail)?;
        if let (Some(tables), Method::Cholesky { n, upper }) = (self.tables, &self.linear.what) {
            return self.cholesky_at_once(stream, tables, (*n, *upper), buffers);
        }
        let calls = if self.at_once { 1 } else { self.linear.batch };
        for i in 0..calls {
            let at: Vec<*mut c_void> =
                buffers.iter().zip(&bytes).map(|(&at, &n)| (at + (i * n) as Address) as *mut c_void).collect();
            self.one(&at, workspace).map_err(fail)?;
        }
        Ok(())
    }

    fn cholesky_at_once(
        &self,
        stream: CUstream,
        tables: Tables,
        (n, upper): (usize, bool),
        buffers: &[Address],
    ) -> Result<()> {
        let (handle, order, count) = (self.handles.handle, n as i32, self.linear.batch as i32);
        let table = buffers[2];
        // SAFETY: the buffers hold matrices, codes and room for the table, as the program was compiled, and are not given back
        // before this is queued; whoever calls holds the queue.
        let done = unsafe {
            tables.write(stream, table, buffers[0], n * n * self.linear.dtype.size(), self.linear.batch)?;
            let (info, uplo) = (buffers[1] as *mut i32, fill(upper));
            match self.linear.dtype {
                DType::F32 => sys::cusolverDnSpotrfBatched(handle, uplo, order, table as *mut _, order, info, count),
                DType::F64 => sys::cusolverDnDpotrfBatched(handle, uplo, order, table as *mut _, order, info, count),
                DType::C64 => sys::cusolverDnCpotrfBatched(handle, uplo, order, table as *mut _, order, info, count),
                _ => sys::cusolverDnZpotrfBatched(handle, uplo, order, table as *mut _, order, info, count),
            }
        };
        done.result().map_err(|e| said("cholesky", "it cannot be queued", e))
    }

    /// Queues the method for one matrix, or, where one call does it, for all.
    fn one(&self, at: &[*mut c_void], workspace: *mut c_void) -> Result<(), result::CusolverError> {
        let (device, host, on_host) = (self.workspace, self.host.0.cast(), self.host.1);
        let info = at[at.len() - 1].cast();
        self.routine(at, Asked::Run { workspace, device, host, on_host, info })
    }

    /// Calls the method's function, or the one that says what scratch memory it takes, on these arrays.
    fn routine(&self, at: &[*mut c_void], asked: Asked) -> Result<(), result::CusolverError> {
        let (Handles { handle, params }, dtype) = (self.handles, self.linear.dtype);
        let (of, real, batch) = (data_type(dtype), data_type(dtype.real()), self.linear.batch as i64);
        let count = |n: usize| n as i64;
        // SAFETY: the arrays hold what the method says, as the program was compiled, and are not given back before this is
        // queued; the scratch memory has as many bytes as the library has asked for; whoever calls holds the queue. Where sizes are
        // asked for, no array is looked at, and both places are written.
        unsafe {
            match self.linear.what {
                Method::Cholesky { n, upper } => {
                    let (n, uplo) = (count(n), fill(upper));
                    routine!(
                        cusolverDnXpotrf_bufferSize,
                        cusolverDnXpotrf,
                        asked,
                        (handle, params, uplo, n, of, at[0], n, of)
                    )
                }
                Method::Lu { rows, columns } => {
                    let (m, n) = (count(rows), count(columns));
                    match asked {
                        Asked::Sizes { device, host } => {
                            sys::cusolverDnXgetrf_bufferSize(handle, params, m, n, of, at[0], m, of, device, host)
                        }
                        Asked::Run { workspace, device, host, on_host, info } => {
                            let pivots = at[1].cast();
                            sys::cusolverDnXgetrf(
                                handle, params, m, n, of, at[0], m, pivots, of, workspace, device, host, on_host, info,
                            )
                        }
                    }
                }
                Method::Qr { rows, columns, .. } => {
                    let (m, n) = (count(rows), count(columns));
                    routine!(
                        cusolverDnXgeqrf_bufferSize,
                        cusolverDnXgeqrf,
                        asked,
                        (handle, params, m, n, of, at[0], m, of, at[1], of)
                    )
                }
                Method::Q { rows, columns, reflections, .. } => {
                    let (m, n, k) = (rows as i32, columns as i32, reflections as i32);
                    match asked {
                        // counted in numbers
                        Asked::Sizes { device, .. } => {
                            let mut numbers = 0;
                            let done = by_dtype!(
                                dtype,
                                [
                                    cusolverDnSorgqr_bufferSize,
                                    cusolverDnDorgqr_bufferSize,
                                    cusolverDnCungqr_bufferSize,
                                    cusolverDnZungqr_bufferSize
                                ](handle, m, n, k, at[0], at[1], &mut numbers)
                            );
                            *device = numbers.max(0) as usize * dtype.size();
                            done
                        }
                        Asked::Run { workspace, device, info, .. } => {
                            let numbers = (device / dtype.size()) as i32;
                            by_dtype!(
                                dtype,
                                [cusolverDnSorgqr, cusolverDnDorgqr, cusolverDnCungqr, cusolverDnZungqr](
                                    handle,
                                    m,
                                    n,
                                    k,
                                    at[0],
                                    at[1],
                                    workspace.cast(),
                                    numbers,
                                    info
                                )
                            )
                        }
                    }
                }
                Method::Eigh { n, vectors } => {
                    let (n, jobz, uplo) = (count(n), mode(vectors), fill(false));
                    if self.at_once {
                        routine!(
                            cusolverDnXsyevBatched_bufferSize,
                            cusolverDnXsyevBatched,
                            asked,
                            (handle, params, jobz, uplo, n, of, at[0], n, real, at[1], of),
                            batch
                        )
                    } else {
                        routine!(
                            cusolverDnXsyevd_bufferSize,
                            cusolverDnXsyevd,
                            asked,
                            (handle, params, jobz, uplo, n, of, at[0], n, real, at[1], of)
                        )
                    }
                }
                Method::Svd { rows, columns, vectors } => {
                    let (m, n, job) = (count(rows), count(columns), job(vectors));
                    routine!(
                        cusolverDnXgesvd_bufferSize,
                        cusolverDnXgesvd,
                        asked,
                        (handle, params, job, job, m, n, of, at[0], m, real, at[1], of, at[2], m, of, at[3], n, of)
                    )
                }
                Method::Eig { n, vectors } => {
                    let (n, left, right) = (count(n), mode(false), mode(vectors));
                    // of vectors from the left there are none; in their place stands what is not looked at
                    routine!(
                        cusolverDnXgeev_bufferSize,
                        cusolverDnXgeev,
                        asked,
                        (
                            handle,
                            params,
                            left,
                            right,
                            n,
                            of,
                            at[0],
                            n,
                            complex(of),
                            at[1],
                            of,
                            at[2],
                            n,
                            of,
                            at[2],
                            n,
                            of
                        )
                    )
                }
                Method::Solve { .. } | Method::SmallLu { .. } => sys::cusolverStatus_t::CUSOLVER_STATUS_NOT_SUPPORTED,
            }
        }
        .result()
    }
}

/// The type of eigenvalues of general matrices.
fn complex(of: sys::cudaDataType) -> sys::cudaDataType {
    match of {
        sys::cudaDataType::CUDA_R_32F => sys::cudaDataType::CUDA_C_32F,
        sys::cudaDataType::CUDA_R_64F => sys::cudaDataType::CUDA_C_64F,
        complex => complex,
    }
}
