//! Convolutions by cuDNN.
//!
//! Its older functions are called, which each version since 9 has: a description of each array and of the convolution, and an
//! algorithm that the library names for them. Filters are never reversed (`CUDNN_CROSS_CORRELATION`): few of its kernels do that.

use super::{ProductPrecision, deterministic_products, tuning};
use crate::cuda::gpu::{Gpu, locked};
use crate::cuda::libraries::Library;
use crate::grid::Address;
use crate::grid::library::{Convolution, Direction};
use cudarc::cudnn::{result, sys};
use cudarc::driver::sys::CUstream;
use gradloom_ir::{DType, Error, Result};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};

/// How many algorithms are asked for: of none of the functions there are more.
const CANDIDATES: usize = 8;

/// Bytes of scratch memory that an algorithm may have.
const MOST_WORKSPACE: usize = 1 << 30;

/// The first version whose errors have the numbers that are known here.
const FIRST_VERSION: usize = 90_000;

type Asked<T> = Result<T, result::CudnnError>;

/// The library in use on a GPU: one thread at a time asks it or queues.
struct Handle {
    raw: Mutex<Raw>,
    version: usize,
}

struct Raw(sys::cudnnHandle_t);

// SAFETY: the handle may be used from all threads, one at a time, which its lock sees to.
unsafe impl Send for Raw {}

/// The convolutions that have been made ready, and those that the library does not take.
#[derive(Default)]
pub(super) struct Convolutions {
    /// `None` before it was asked for, then whether it is there.
    library: Option<Option<Arc<Handle>>>,
    ready: HashMap<(Convolution, ProductPrecision, bool), Option<Arc<Ready>>>,
}

impl Convolutions {
    fn handle(&mut self, gpu: &Gpu) -> Result<Option<Arc<Handle>>> {
        if let Some(found) = &self.library {
            return Ok(found.clone());
        }
        let found = match Library::Cudnn.load_for("convolution") {
            Ok(()) => {
                gpu.enter()?;
                // SAFETY: the library was found.
                let version = unsafe { sys::cudnnGetVersion() };
                if version < FIRST_VERSION {
                    Err(format!("cuDNN {version} is older than {FIRST_VERSION}"))
                } else {
                    let made = result::create_handle().map_err(|e| format!("cuDNN: no handle: {:?}", e.0));
                    made.map(|raw| Arc::new(Handle { raw: Mutex::new(Raw(raw)), version }))
                }
            }
            Err(e) => Err(e.to_string()),
        };
        let found = found.map_err(|error| tracing::warn!(error, "convolutions are computed by kernels")).ok();
        Ok(self.library.insert(found).clone())
    }
}

/// A convolution, ready to be queued; `None` if the library does not take it.
///
/// # Errors
/// If the GPU cannot be used.
pub(super) fn ready(gpu: &'static Gpu, c: &Convolution, precision: ProductPrecision) -> Result<Option<Arc<Ready>>> {
    let precision = if c.dtype == DType::F32 { precision } else { ProductPrecision::Full };
    let key = (c.clone(), precision, deterministic_products());
    let handle = {
        let mut known = locked(&gpu.libraries.convolutions);
        if let Some(found) = known.ready.get(&key) {
            return Ok(found.clone());
        }
        known.handle(gpu)?
    };
    let found = match handle {
        None => None,
        Some(handle) => {
            gpu.enter()?;
            make(gpu, handle, c, precision).unwrap_or_else(|e| {
                tracing::info!(convolution = ?c, status = ?e.0, "cuDNN does not take a convolution");
                None
            })
        }
    };
    // two threads may have made it: the first is kept, so that a program has one algorithm
    Ok(locked(&gpu.libraries.convolutions).ready.entry(key).or_insert(found.map(Arc::new)).clone())
}

/// A description that the library makes, given back at the end.
macro_rules! description {
    ($name:ident, $raw:ty, $create:ident, $destroy:ident) => {
        struct $name($raw);

        impl $name {
            fn new() -> Asked<$name> {
                let mut made = ptr::null_mut();
                // SAFETY: the library was found; the place is written.
                unsafe { sys::$create(&mut made) }.result().map(|()| $name(made))
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: it was made once. That it cannot be destroyed helps nobody to know.
                let _ = unsafe { sys::$destroy(self.0) };
            }
        }
    };
}

description!(Tensor, sys::cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
description!(Filter, sys::cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor);
description!(
    Description,
    sys::cudnnConvolutionDescriptor_t,
    cudnnCreateConvolutionDescriptor,
    cudnnDestroyConvolutionDescriptor
);

/// An algorithm of one of the three functions, as the library names it.
#[derive(Clone, Copy, Debug)]
enum Name {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    BackwardData(sys::cudnnConvolutionBwdDataAlgo_t),
    BackwardFilter(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// What the library says of an algorithm.
struct Candidate {
    name: Name,
    status: sys::cudnnStatus_t,
    math: sys::cudnnMathType_t,
    determinism: sys::cudnnDeterminism_t,
}

/// An algorithm, ready to be used: an algorithm is found for the kind of arithmetic that it is named with.
struct Algorithm {
    name: Name,
    math: sys::cudnnMathType_t,
    description: Description,
    workspace: usize,
}

/// A convolution and the algorithm that computes it.
pub(in crate::cuda) struct Ready {
    handle: Arc<Handle>,
    dtype: DType,
    x: Tensor,
    w: Filter,
    y: Tensor,
    algorithm: Algorithm,
}

// SAFETY: descriptions are only read once they are made, which may be done from all threads.
unsafe impl Send for Ready {}
// SAFETY: as above.
unsafe impl Sync for Ready {}

fn data_type(dtype: DType) -> Option<sys::cudnnDataType_t> {
    Some(match dtype {
        DType::F16 => sys::cudnnDataType_t::CUDNN_DATA_HALF,
        DType::BF16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        DType::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
        DType::F64 => sys::cudnnDataType_t::CUDNN_DATA_DOUBLE,
        _ => return None,
    })
}

/// What the library may compute with. Its default allows TF32 for f32.
fn math(dtype: DType, precision: ProductPrecision) -> sys::cudnnMathType_t {
    match (dtype, precision) {
        (DType::F16 | DType::BF16, _) => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        (DType::F32, ProductPrecision::Full) => sys::cudnnMathType_t::CUDNN_FMA_MATH,
        _ => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
    }
}

fn numbers(of: &[usize]) -> Vec<i32> {
    of.iter().map(|&n| n as i32).collect()
}

/// A dense array: batch, features, spatial lengths.
fn tensor(of: sys::cudnnDataType_t, c: &Convolution, features: usize, spatial: &[usize]) -> Asked<Tensor> {
    let dims = [&[c.batch, features][..], spatial].concat();
    let mut strides = vec![1; dims.len()];
    let mut next = 1;
    // the last axis first
    let spatial_axes = (2..dims.len()).rev();
    let order: Vec<usize> = match c.features_last {
        true => [1].into_iter().chain(spatial_axes).chain([0]).collect(),
        false => spatial_axes.chain([1, 0]).collect(),
    };
    for axis in order {
        strides[axis] = next;
        next *= dims[axis];
    }
    let (dims, strides) = (numbers(&dims), numbers(&strides));
    let made = Tensor::new()?;
    // SAFETY: the lists have as many numbers as are said, and are read while this runs.
    unsafe { sys::cudnnSetTensorNdDescriptor(made.0, of, dims.len() as i32, dims.as_ptr(), strides.as_ptr()) }
        .result()?;
    Ok(made)
}

fn filter(of: sys::cudnnDataType_t, c: &Convolution) -> Asked<Filter> {
    let dims = numbers(&[&[c.outputs, c.inputs / c.groups][..], &c.filter].concat());
    let format = match c.features_last {
        true => sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC,
        false => sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW,
    };
    let made = Filter::new()?;
    // SAFETY: as above.
    unsafe { sys::cudnnSetFilterNdDescriptor(made.0, of, format, dims.len() as i32, dims.as_ptr()) }.result()?;
    Ok(made)
}

fn description(c: &Convolution, math: sys::cudnnMathType_t) -> Asked<Description> {
    let computed = match c.dtype {
        DType::F64 => sys::cudnnDataType_t::CUDNN_DATA_DOUBLE,
        _ => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
    };
    let [padding, strides, dilation] = [&c.padding, &c.strides, &c.dilation].map(|of| numbers(of));
    let made = Description::new()?;
    // SAFETY: as above.
    unsafe {
        sys::cudnnSetConvolutionNdDescriptor(
            made.0,
            padding.len() as i32,
            padding.as_ptr(),
            strides.as_ptr(),
            dilation.as_ptr(),
            sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
            computed,
        )
        .result()?;
        sys::cudnnSetConvolutionGroupCount(made.0, c.groups as i32).result()?;
        sys::cudnnSetConvolutionMathType(made.0, math).result()?;
    }
    Ok(made)
}

/// The algorithms that a function has, best first: each function has a type of its own for them, with the same fields.
macro_rules! candidates {
    ($ask:ident($($arg:expr),*), $name:path) => {{
        let mut found = Vec::with_capacity(CANDIDATES);
        let mut count = 0;
        sys::$ask($($arg,)* CANDIDATES as i32, &mut count, found.as_mut_ptr()).result()?;
        found.set_len((count.max(0) as usize).min(CANDIDATES));
        let candidates = found.iter().map(|f| Candidate {
            name: $name(f.algo),
            status: f.status,
            math: f.mathType,
            determinism: f.determinism,
        });
        candidates.collect()
    }};
}

/// Describes a convolution, finds algorithms for it and chooses one.
fn make(gpu: &'static Gpu, handle: Arc<Handle>, c: &Convolution, precision: ProductPrecision) -> Asked<Option<Ready>> {
    let Some(of) = data_type(c.dtype) else { return Ok(None) };
    let (x, y) = (tensor(of, c, c.inputs, &c.input)?, tensor(of, c, c.outputs, &c.output)?);
    let w = filter(of, c)?;
    let mut found = algorithms(&handle, c, &x, &w, &y, math(c.dtype, precision))?;
    if found.is_empty() {
        tracing::info!(convolution = ?c, "cuDNN has no algorithm");
        return Ok(None);
    }
    let first = found.remove(0);
    let mut ready = Ready { handle, dtype: c.dtype, x, w, y, algorithm: first };
    if deterministic_products() || found.is_empty() {
        return Ok(Some(ready));
    }
    let chosen = {
        let all: Vec<&Algorithm> = [&ready.algorithm].into_iter().chain(&found).collect();
        let choices: Vec<tuning::Choice> = all.iter().map(|a| a.as_choice()).collect();
        let key = format!("{c:?} {precision:?} {} {}", gpu.name(), ready.handle.version);
        let size = [&[c.batch, c.outputs, c.inputs / c.groups][..], &c.filter, &c.output].concat();
        let bytes = c.lengths().map(|n| n * c.dtype.size());
        let work = tuning::Work { key: &key, size: &size, bytes: &bytes };
        tuning::choose(gpu, &work, &choices, |i, buffers| ready.run(all[i], gpu.stream, buffers))
    };
    if chosen > 0 {
        ready.algorithm = found.remove(chosen - 1);
    }
    Ok(Some(ready))
}

/// The algorithms that may be used, those first that the library thinks to be fast.
fn algorithms(
    handle: &Handle,
    c: &Convolution,
    x: &Tensor,
    w: &Filter,
    y: &Tensor,
    wanted: sys::cudnnMathType_t,
) -> Asked<Vec<Algorithm>> {
    let of = description(c, wanted)?;
    let asked = locked(&handle.raw);
    let raw = asked.0;
    // SAFETY: all that is handed over was made before; there is room for as many as are asked for, of which `count` are written.
    let found: Vec<Candidate> = unsafe {
        match c.direction {
            Direction::Forward => {
                candidates!(cudnnGetConvolutionForwardAlgorithm_v7(raw, x.0, w.0, of.0, y.0), Name::Forward)
            }
            Direction::BackwardData => {
                candidates!(cudnnGetConvolutionBackwardDataAlgorithm_v7(raw, w.0, y.0, of.0, x.0), Name::BackwardData)
            }
            Direction::BackwardFilter => {
                candidates!(
                    cudnnGetConvolutionBackwardFilterAlgorithm_v7(raw, x.0, y.0, of.0, w.0),
                    Name::BackwardFilter
                )
            }
        }
    };
    let (always, exact) = (deterministic_products(), wanted == sys::cudnnMathType_t::CUDNN_FMA_MATH);
    let mut taken = Vec::new();
    for f in found {
        let rounds = f.math == sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION
            || exact && f.math == sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH;
        let may_differ = f.determinism != sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC;
        if f.status != sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS || rounds || always && may_differ {
            continue;
        }
        let math = if exact { wanted } else { f.math };
        let of = description(c, math)?;
        let mut workspace = 0;
        let bytes = &mut workspace;
        // SAFETY: as above; the place for the size is written.
        let sized = unsafe {
            match f.name {
                Name::Forward(a) => sys::cudnnGetConvolutionForwardWorkspaceSize(raw, x.0, w.0, of.0, y.0, a, bytes),
                Name::BackwardData(a) => {
                    sys::cudnnGetConvolutionBackwardDataWorkspaceSize(raw, w.0, y.0, of.0, x.0, a, bytes)
                }
                Name::BackwardFilter(a) => {
                    sys::cudnnGetConvolutionBackwardFilterWorkspaceSize(raw, x.0, y.0, of.0, w.0, a, bytes)
                }
            }
        };
        if sized.result().is_ok() && workspace <= MOST_WORKSPACE {
            taken.push(Algorithm { name: f.name, math, description: of, workspace });
        }
    }
    Ok(taken)
}

impl Algorithm {
    fn as_choice(&self) -> tuning::Choice {
        let number = match self.name {
            Name::Forward(a) => a as u64,
            Name::BackwardData(a) => a as u64,
            Name::BackwardFilter(a) => a as u64,
        };
        let mut algorithm = [0; 8];
        algorithm[..2].copy_from_slice(&[number, self.math as u64]);
        tuning::Choice { algorithm, workspace: self.workspace }
    }
}

impl Ready {
    pub(super) fn workspace(&self) -> usize {
        self.algorithm.workspace
    }

    /// Queues the convolution of buffers: the two that are read, the one that is written, scratch memory.
    pub(super) fn queue(&self, stream: CUstream, buffers: &[Address]) -> Result<()> {
        self.run(&self.algorithm, stream, buffers)
            .map_err(|e| Error::limit("convolution", format!("cuDNN: it cannot be queued: {:?}", e.0)))
    }

    fn run(&self, by: &Algorithm, stream: CUstream, buffers: &[Address]) -> Asked<()> {
        let (one, zero) = ((1f32, 1f64), (0f32, 0f64));
        let factor = |of: &(f32, f64)| -> *const c_void {
            if self.dtype == DType::F64 { ptr::from_ref(&of.1).cast() } else { ptr::from_ref(&of.0).cast() }
        };
        let (one, zero) = (factor(&one), factor(&zero));
        let [a, b, to] = [0, 1, 2].map(|i| buffers[i] as *mut c_void);
        let scratch = buffers.get(3).map_or(ptr::null_mut(), |&at| at as *mut c_void);
        let (x, w, y, of, bytes) = (self.x.0, self.w.0, self.y.0, by.description.0, by.workspace);
        let handle = locked(&self.handle.raw);
        let raw = handle.0;
        // SAFETY: the buffers hold arrays of these descriptions, as the program was compiled, and are not given back before this
        // is queued; the scratch memory has as many bytes as the algorithm takes.
        unsafe {
            result::set_stream(raw, stream.cast())?;
            match by.name {
                Name::Forward(how) => {
                    sys::cudnnConvolutionForward(raw, one, x, a, w, b, of, how, scratch, bytes, zero, y, to)
                }
                Name::BackwardData(how) => {
                    sys::cudnnConvolutionBackwardData(raw, one, w, b, y, a, of, how, scratch, bytes, zero, x, to)
                }
                Name::BackwardFilter(how) => {
                    sys::cudnnConvolutionBackwardFilter(raw, one, x, a, y, b, of, how, scratch, bytes, zero, w, to)
                }
            }
            .result()
        }
    }
}
