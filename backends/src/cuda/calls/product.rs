//! Products by cuBLASLt.
//!
//! The library counts columns first: a matrix that lies row after row is to it the transpose, and what it is asked for is the
//! transposed result, `right^T left^T`. The number that it adds to each of its rows is one a column.

use super::{ProductPrecision, deterministic_products, trial, tuning};
use crate::cuda::gpu::{Gpu, Queue, locked};
use crate::cuda::libraries::Library;
use crate::grid::Address;
use crate::grid::library::{Epilogue, Factor, Product};
use cudarc::cublas::sys::cublasOperation_t;
use cudarc::cublaslt::{result, sys};
use cudarc::driver::sys::CUstream;
use gradloom_ir::{DType, Error, Result};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// How many algorithms are asked for.
const CANDIDATES: usize = 8;

/// Bytes of scratch memory that algorithms may have: what the library's authors recommend for Hopper and later, and before.
fn most_workspace(gpu: &Gpu) -> usize {
    if gpu.architecture().0 >= 90 { 32 << 20 } else { 8 << 20 }
}

fn said(what: &str, e: result::CublasError) -> Error {
    Error::limit("dot_general", format!("cuBLASLt: {what}: {e}"))
}

/// The library in use on a GPU.
#[derive(Clone, Copy)]
pub(super) struct Handle {
    handle: sys::cublasLtHandle_t,
    /// The library's version.
    pub(super) version: usize,
}

/// The products that have been made ready, and those that the library does not take.
#[derive(Default)]
pub(super) struct Products {
    /// `None` before it was asked for, then whether it is there.
    library: Option<Option<Handle>>,
    ready: HashMap<(Product, ProductPrecision, bool), Option<Arc<Ready>>>,
}

// SAFETY: the library's handle may be used from all threads.
unsafe impl Send for Handle {}

impl Products {
    fn handle(&mut self, gpu: &Gpu) -> Result<Option<Handle>> {
        if let Some(found) = self.library {
            return Ok(found);
        }
        if let Err(e) = Library::CublasLt.load() {
            tracing::warn!(error = %e, "products are computed by kernels");
            self.library = Some(None);
            return Ok(None);
        }
        gpu.enter()?;
        let handle = result::create_handle().map_err(|e| said("no handle", e))?;
        // SAFETY: the library was found.
        let version = unsafe { sys::cublasLtGetVersion() };
        self.library = Some(Some(Handle { handle, version }));
        Ok(Some(Handle { handle, version }))
    }
}

/// A product, ready to be queued; `None` if the library does not take it.
///
/// # Errors
/// What the library says is wrong with what it is asked.
pub(super) fn ready(gpu: &'static Gpu, product: &Product, precision: ProductPrecision) -> Result<Option<Arc<Ready>>> {
    let precision = if product.dtype == DType::F32 { precision } else { ProductPrecision::Full };
    let key = (product.clone(), precision, deterministic_products());
    let handle = {
        let mut products = locked(&gpu.libraries.products);
        if let Some(found) = products.ready.get(&key) {
            return Ok(found.clone());
        }
        products.handle(gpu)?
    };
    let found = match handle {
        Some(handle) => make(gpu, handle, product, precision)?.map(Arc::new),
        None => None,
    };
    // two threads may have made it: the first is kept, so that a program has one algorithm
    Ok(locked(&gpu.libraries.products).ready.entry(key).or_insert(found).clone())
}

/// A description that the library has made; given back at the end.
struct Layout(sys::cublasLtMatrixLayout_t);

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: it was made once. That it cannot be destroyed helps nobody to know.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

struct Description(sys::cublasLtMatmulDesc_t);

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: as above.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

struct Preference(sys::cublasLtMatmulPreference_t);

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: as above.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}

/// A product and the algorithm that computes it.
pub(in crate::cuda) struct Ready {
    handle: Handle,
    dtype: DType,
    has_bias: bool,
    description: Description,
    /// Of the right factor, the left one and the result, as the library counts.
    layouts: [Layout; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
    workspace: usize,
}

// SAFETY: descriptions are only read once they are made, which may be done from all threads; but for the address of the bias, which
// is set by who holds the queue.
unsafe impl Send for Ready {}
// SAFETY: as above.
unsafe impl Sync for Ready {}

fn data_type(dtype: DType) -> Option<sys::cudaDataType> {
    Some(match dtype {
        DType::F16 => sys::cudaDataType::CUDA_R_16F,
        DType::BF16 => sys::cudaDataType::CUDA_R_16BF,
        DType::F32 => sys::cudaDataType::CUDA_R_32F,
        DType::F64 => sys::cudaDataType::CUDA_R_64F,
        _ => return None,
    })
}

/// What is computed in, and the dtype of the number that results are multiplied by.
fn compute_type(dtype: DType, precision: ProductPrecision) -> (sys::cublasComputeType_t, sys::cudaDataType) {
    use sys::cublasComputeType_t as C;
    match (dtype, precision) {
        (DType::F64, _) => (C::CUBLAS_COMPUTE_64F, sys::cudaDataType::CUDA_R_64F),
        (DType::F32, ProductPrecision::Tf32) => (C::CUBLAS_COMPUTE_32F_FAST_TF32, sys::cudaDataType::CUDA_R_32F),
        _ => (C::CUBLAS_COMPUTE_32F, sys::cudaDataType::CUDA_R_32F),
    }
}

/// The layout of `rows` by `columns` matrices that lie column after column.
fn layout(
    of: sys::cudaDataType,
    [rows, columns, leading]: [usize; 3],
    batch: usize,
    stride: usize,
) -> Result<Layout, result::CublasError> {
    use sys::cublasLtMatrixLayoutAttribute_t as A;
    let layout = Layout(result::create_matrix_layout(of, rows as u64, columns as u64, leading as i64)?);
    let (count, stride) = (batch as i32, stride as i64);
    // SAFETY: the layout was just made; both attributes are read while these calls run and have these sizes.
    unsafe {
        result::set_matrix_layout_attribute(
            layout.0,
            A::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
            ptr::from_ref(&count).cast(),
            size_of::<i32>(),
        )?;
        result::set_matrix_layout_attribute(
            layout.0,
            A::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
            ptr::from_ref(&stride).cast(),
            size_of::<i64>(),
        )?;
    }
    Ok(layout)
}

impl Description {
    /// # Safety
    /// The library reads a `T` as the attribute's value.
    unsafe fn set<T>(
        &self,
        attribute: sys::cublasLtMatmulDescAttributes_t,
        value: T,
    ) -> Result<(), result::CublasError> {
        // SAFETY: the description lives; the value is read while this runs.
        unsafe { result::set_matmul_desc_attribute(self.0, attribute, ptr::from_ref(&value).cast(), size_of::<T>()) }
    }

    /// Asks for what is done to the numbers of a product.
    fn set_epilogue(&self, epilogue: &Epilogue) -> Result<(), result::CublasError> {
        use sys::cublasLtEpilogue_t as E;
        use sys::cublasLtMatmulDescAttributes_t as A;
        let which = match (epilogue.bias, epilogue.relu) {
            (None, false) => return Ok(()),
            (None, true) => E::CUBLASLT_EPILOGUE_RELU,
            (Some(_), false) => E::CUBLASLT_EPILOGUE_BIAS,
            (Some(_), true) => E::CUBLASLT_EPILOGUE_RELU_BIAS,
        };
        // SAFETY: of these types the library's manual says the attributes are.
        unsafe {
            self.set(A::CUBLASLT_MATMUL_DESC_EPILOGUE, which as u32)?;
            if let Some(bias) = epilogue.bias {
                self.set(A::CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, bias.batch as i64)?;
                // algorithms are looked for by how the address is aligned; nothing is read from there
                self.set(A::CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.alignment as Address)?;
            }
        }
        Ok(())
    }
}

/// The layout of a factor and whether it is transposed: as the library counts, rows are columns.
fn factor(
    of: sys::cudaDataType,
    f: &Factor,
    (rows, columns): (usize, usize),
    batch: usize,
) -> Result<(Layout, i32), result::CublasError> {
    let sizes = if f.by_columns { [rows, columns, f.leading] } else { [columns, rows, f.leading] };
    let operation = match f.by_columns {
        true => cublasOperation_t::CUBLAS_OP_T,
        false => cublasOperation_t::CUBLAS_OP_N,
    };
    Ok((layout(of, sizes, batch, f.batch)?, operation as i32))
}

/// Describes a product, finds algorithms for it and chooses one.
fn make(gpu: &'static Gpu, handle: Handle, p: &Product, precision: ProductPrecision) -> Result<Option<Ready>> {
    let Some(of) = data_type(p.dtype) else { return Ok(None) };
    let fail = |e| said(&format!("{p:?} cannot be described"), e);
    let (compute, scale) = compute_type(p.dtype, precision);
    let (right, of_right) = factor(of, &p.right, (p.depth, p.columns), p.batch).map_err(fail)?;
    let (left, of_left) = factor(of, &p.left, (p.rows, p.depth), p.batch).map_err(fail)?;
    let out = layout(of, [p.columns, p.rows, p.columns], p.batch, p.rows * p.columns).map_err(fail)?;
    let description = Description(result::create_matmul_desc(compute, scale).map_err(fail)?);
    {
        use sys::cublasLtMatmulDescAttributes_t as A;
        for (attribute, operation) in
            [(A::CUBLASLT_MATMUL_DESC_TRANSA, of_right), (A::CUBLASLT_MATMUL_DESC_TRANSB, of_left)]
        {
            // SAFETY: the attributes are of this type.
            unsafe { description.set(attribute, operation) }.map_err(fail)?;
        }
    }
    description.set_epilogue(&p.epilogue).map_err(fail)?;
    gpu.enter()?;
    let layouts = [right, left, out];
    let found = candidates(handle, gpu, p, &description, &layouts)?;
    let Some(first) = found.first() else {
        tracing::info!(product = ?p, "cuBLASLt has no algorithm: kernels compute it");
        return Ok(None);
    };
    let ready = Ready {
        handle,
        dtype: p.dtype,
        has_bias: p.epilogue.bias.is_some(),
        description,
        layouts,
        algorithm: first.algo,
        workspace: first.workspaceSize,
    };
    let mut choices: Vec<tuning::Choice> =
        found.iter().map(|c| tuning::Choice { algorithm: c.algo.data, workspace: c.workspaceSize }).collect();
    let bytes = bytes(p);
    let run = |choice: &tuning::Choice, buffers: &[Address]| ready.run(gpu.stream, choice, buffers);
    if p.epilogue.relu {
        choices = trial::keeping_nan(gpu, p, &bytes, &choices, run).unwrap_or_else(|e| {
            tracing::warn!(product = ?p, error = %e, "a rectifier could not be tried");
            Vec::new()
        });
    }
    let key = || format!("{p:?} {precision:?} {} {}", gpu.name(), handle.version);
    let chosen = match &choices[..] {
        [] => {
            tracing::info!(product = ?p, "cuBLASLt's rectifiers lose NaN: a kernel computes it");
            return Ok(None);
        }
        [_] => 0,
        _ if deterministic_products() => 0,
        several => {
            let work = tuning::Work { key: &key(), size: &[p.batch, p.rows, p.columns, p.depth], bytes: &bytes };
            tuning::choose(gpu, &work, several, |i, buffers| run(&several[i], buffers))
        }
    };
    let chosen = choices[chosen];
    let algorithm = sys::cublasLtMatmulAlgo_t { data: chosen.algorithm };
    Ok(Some(Ready { algorithm, workspace: chosen.workspace, ..ready }))
}

/// The elements from the first of a factor to its last.
fn extent(f: &Factor, (rows, columns): (usize, usize), batch: usize) -> usize {
    let (lines, along) = if f.by_columns { (columns, rows) } else { (rows, columns) };
    (batch - 1) * f.batch + (lines - 1) * f.leading + along
}

/// Bytes of the buffers of a product: left, right, result, biases if there are some.
fn bytes(p: &Product) -> Vec<usize> {
    let elements = [
        Some(extent(&p.left, (p.rows, p.depth), p.batch)),
        Some(extent(&p.right, (p.depth, p.columns), p.batch)),
        Some(p.batch * p.rows * p.columns),
        p.epilogue.bias.map(|b| (p.batch - 1) * b.batch + p.columns),
    ];
    elements.into_iter().flatten().map(|n| n * p.dtype.size()).collect()
}

/// The algorithms that the library names, best first.
fn candidates(
    handle: Handle,
    gpu: &Gpu,
    p: &Product,
    description: &Description,
    [a, b, d]: &[Layout; 3],
) -> Result<Vec<sys::cublasLtMatmulHeuristicResult_t>> {
    use sys::cublasLtMatmulPreferenceAttributes_t as A;
    let fail = |e| said("no algorithms can be asked for", e);
    let preference = Preference(result::create_matmul_pref().map_err(fail)?);
    let workspace = most_workspace(gpu) as u64;
    let [left, right, out] = p.alignment.map(|bytes| bytes as u32);
    // SAFETY: the preference was just made; attributes are read while these calls run and have these sizes.
    unsafe {
        let set = |attribute, at: *const c_void, bytes| {
            result::set_matmul_pref_attribute(preference.0, attribute, at, bytes).map_err(fail)
        };
        set(A::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, ptr::from_ref(&workspace).cast(), size_of::<u64>())?;
        for (attribute, bytes) in [
            (A::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &right),
            (A::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &left),
            (A::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &out),
            (A::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out),
        ] {
            set(attribute, ptr::from_ref(bytes).cast(), size_of::<u32>())?;
        }
    }
    let mut found: Vec<sys::cublasLtMatmulHeuristicResult_t> = Vec::with_capacity(CANDIDATES);
    let mut count = 0;
    // SAFETY: all that is handed over was made above; there is room for as many as are asked for, of which `count` are written.
    let done = unsafe {
        let done = sys::cublasLtMatmulAlgoGetHeuristic(
            handle.handle,
            description.0,
            a.0,
            b.0,
            d.0,
            d.0,
            preference.0,
            CANDIDATES as i32,
            found.as_mut_ptr(),
            &mut count,
        );
        found.set_len((count.max(0) as usize).min(CANDIDATES));
        done.result()
    };
    match done {
        Ok(()) => {
            found.retain(|c| c.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS);
            Ok(found)
        }
        // what it does not take is computed by kernels
        Err(result::CublasError(
            sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED | sys::cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE,
        )) => Ok(Vec::new()),
        Err(e) => Err(said(&format!("{p:?} cannot be asked for"), e)),
    }
}

impl Ready {
    pub(super) fn workspace(&self) -> usize {
        self.workspace
    }

    /// Queues the product of buffers: left, right, result, biases if there are some, scratch memory.
    pub(super) fn queue(&self, queue: &Queue, buffers: &[Address]) -> Result<()> {
        let choice = tuning::Choice { algorithm: self.algorithm.data, workspace: self.workspace };
        self.run(queue.stream, &choice, buffers).map_err(|e| said("a product cannot be queued", e))
    }

    /// As [`Ready::queue`], for who holds the queue.
    fn run(&self, stream: CUstream, choice: &tuning::Choice, buffers: &[Address]) -> Result<(), result::CublasError> {
        let (one, zero) = ((1f32, 1f64), (0f32, 0f64));
        let factor = |of: &(f32, f64)| -> *const c_void {
            if self.dtype == DType::F64 { ptr::from_ref(&of.1).cast() } else { ptr::from_ref(&of.0).cast() }
        };
        let [left, right, out] = [0, 1, 2].map(|i| buffers[i] as *mut c_void);
        let rest = &buffers[3..];
        let (bias, rest) = rest.split_at(usize::from(self.has_bias).min(rest.len()));
        if let Some(&bias) = bias.first() {
            // SAFETY: the attribute is an address. What was queued before has its own, and nobody else queues now.
            unsafe {
                self.description.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias)?;
            }
        }
        let workspace = rest.first().map_or(ptr::null_mut(), |&at| at as *mut c_void);
        let [a, b, d] = &self.layouts;
        // SAFETY: the buffers hold matrices of these layouts, as the program was compiled, and are not given back before this is
        // queued; the scratch memory has as many bytes as the algorithm takes.
        unsafe {
            result::matmul(
                self.handle.handle,
                self.description.0,
                factor(&one),
                factor(&zero),
                right,
                a.0,
                left,
                b.0,
                out,
                d.0,
                out,
                d.0,
                &sys::cublasLtMatmulAlgo_t { data: choice.algorithm },
                workspace,
                choice.workspace,
                stream.cast(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_ends_at_its_last_element() {
        let f = Factor { by_columns: false, leading: 10, batch: 7 };
        assert_eq!(extent(&f, (3, 4), 2), 7 + 20 + 4);
        assert_eq!(extent(&Factor { by_columns: true, ..f }, (3, 4), 1), 30 + 3);
    }
}
