//! Fourier transforms by cuFFT.

use crate::cuda::gpu::{Gpu, locked};
use crate::cuda::libraries::Library;
use crate::grid::Address;
use crate::grid::library::Transform;
use cudarc::cufft::{result, sys};
use cudarc::driver::sys::CUstream;
use gradloom_ir::{DType, Error, FftKind, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// The signs of the exponent, as the library names them.
const FORWARD: i32 = -1;
const INVERSE: i32 = 1;

fn said(what: &str, e: result::CufftError) -> Error {
    Error::limit("fft", format!("cuFFT: {what}: {:?}", e.0))
}

/// The transforms that have been made ready.
pub(super) type Transforms = HashMap<Transform, Arc<Ready>>;

/// A transform, ready to be queued. It is kept as long as the process.
pub(in crate::cuda) struct Ready {
    plan: sys::cufftHandle,
    kind: FftKind,
    dtype: DType,
    workspace: usize,
}

/// A transform, ready to be queued.
///
/// # Errors
/// If there is no cuFFT, or what it says is wrong with the transform.
pub(super) fn ready(gpu: &'static Gpu, t: &Transform) -> Result<Arc<Ready>> {
    let mut transforms = locked(&gpu.libraries.transforms);
    if let Some(found) = transforms.get(t) {
        return Ok(found.clone());
    }
    Library::Cufft.load_for(t.kind.name())?;
    gpu.enter()?;
    let made = Arc::new(make(t)?);
    transforms.insert(t.clone(), made.clone());
    Ok(made)
}

fn make(t: &Transform) -> Result<Ready> {
    let fail = |e| said(&format!("{t:?} cannot be prepared"), e);
    let plan = result::create().map_err(fail)?;
    let all = |lengths: &[usize]| lengths.iter().map(|&n| n as i64).collect::<Vec<i64>>();
    let mut n = all(&t.lengths);
    // of a spectrum of real numbers half is there
    let mut half = n.clone();
    if let Some(last) = half.last_mut() {
        *last = *last / 2 + 1;
    }
    let whole = n.clone();
    let (mut from, mut to, of) = match (t.kind, t.dtype) {
        (FftKind::Fft | FftKind::Ifft, DType::F32) => (whole.clone(), whole, sys::cufftType::CUFFT_C2C),
        (FftKind::Fft | FftKind::Ifft, _) => (whole.clone(), whole, sys::cufftType::CUFFT_Z2Z),
        (FftKind::Rfft, DType::F32) => (whole, half, sys::cufftType::CUFFT_R2C),
        (FftKind::Rfft, _) => (whole, half, sys::cufftType::CUFFT_D2Z),
        (FftKind::Irfft, DType::F32) => (half, whole, sys::cufftType::CUFFT_C2R),
        (FftKind::Irfft, _) => (half, whole, sys::cufftType::CUFFT_Z2D),
    };
    let (from_size, to_size) = (from.iter().product(), to.iter().product());
    // SAFETY: the plan was just made; the lists have as many lengths as are said, and are read while this runs.
    let workspace = unsafe {
        result::set_auto_allocation(plan, false).map_err(fail)?;
        result::make_plan_many64(
            plan,
            n.len() as i32,
            n.as_mut_ptr(),
            from.as_mut_ptr(),
            1,
            from_size,
            to.as_mut_ptr(),
            1,
            to_size,
            of,
            t.batch as i64,
        )
        .map_err(fail)?
    };
    Ok(Ready { plan, kind: t.kind, dtype: t.dtype, workspace })
}

impl Ready {
    pub(super) fn workspace(&self) -> usize {
        self.workspace
    }

    /// Queues the transform of buffers: operand, result, scratch memory.
    pub(super) fn queue(&self, stream: CUstream, buffers: &[Address]) -> Result<()> {
        let (x, y) = (buffers[0], buffers[1]);
        let direction = if self.kind == FftKind::Fft { FORWARD } else { INVERSE };
        // SAFETY: operand and result have the sizes that the plan was made for and are not given back before this is queued; the
        // plan is used by whoever holds the queue.
        let done = unsafe {
            let area = match buffers.get(2) {
                Some(&area) => result::set_work_area(self.plan, area as *mut _),
                None => Ok(()),
            };
            area.and_then(|()| result::set_stream(self.plan, stream.cast())).and_then(|()| {
                match (self.kind, self.dtype) {
                    (FftKind::Fft | FftKind::Ifft, DType::F32) => {
                        result::exec_c2c(self.plan, x as *mut _, y as *mut _, direction)
                    }
                    (FftKind::Fft | FftKind::Ifft, _) => {
                        result::exec_z2z(self.plan, x as *mut _, y as *mut _, direction)
                    }
                    (FftKind::Rfft, DType::F32) => result::exec_r2c(self.plan, x as *mut _, y as *mut _),
                    (FftKind::Rfft, _) => result::exec_d2z(self.plan, x as *mut _, y as *mut _),
                    (FftKind::Irfft, DType::F32) => result::exec_c2r(self.plan, x as *mut _, y as *mut _),
                    (FftKind::Irfft, _) => result::exec_z2d(self.plan, x as *mut _, y as *mut _),
                }
            })
        };
        done.map_err(|e| said("a transform cannot be queued", e))
    }
}
