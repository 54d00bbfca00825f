//! A GPU that programs run on: its context, one stream on which all work is queued, its memory and its kernels.
//!
//! One stream orders all work of a GPU, whatever threads ask for it. So memory that is given back may be taken again at
//! once, a copy needs no event to wait for the kernels before it, and the scratch memory of one program is free for the next.

use super::calls::Handles;
use super::conditional::Conditions;
use super::libraries::Library;
use super::memory::{Arena, Pool};
use super::modules::Modules;
use super::nvrtc::Architecture;
use super::staging::Staging;
use crate::grid::Address;
use cudarc::driver::{DriverError, result, sys};
use gradloom_ir::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock};

/// A GPU in use. It is opened once and stays open.
pub struct Gpu {
    index: usize,
    name: String,
    architecture: Architecture,
    /// Bytes of memory in all.
    total: usize,
    context: sys::CUcontext,
    pub(super) stream: sys::CUstream,
    device_pool: sys::CUmemoryPool,
    queue: Mutex<Queue>,
    memory: Mutex<Pool>,
    conditions: OnceLock<Option<Conditions>>,
    pub(super) modules: Modules,
    pub(super) libraries: Handles,
}

// SAFETY: the handles may be used from all threads; what must not be interleaved is behind locks.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

/// What only one thread may queue work with at a time.
pub(super) struct Queue {
    /// Scratch memory of programs; empty between two of them.
    pub(super) arena: Arena,
    pub(super) staging: Staging,
    /// Where work goes: the GPU's one stream, or, while a loop or branch is captured, one of the next.
    pub(super) stream: sys::CUstream,
    /// For loops and branches in captured graphs, by how deep they are nested.
    pub(super) streams: Vec<sys::CUstream>,
    /// Whether what is queued is being captured: nothing may be waited for, and no memory be asked of the driver.
    pub(super) capturing: bool,
}

/// What went wrong, in the driver's words.
pub(super) fn driver_error(what: &str, e: DriverError) -> Error {
    let words = e.error_string().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let name = e.error_name().map(|s| s.to_string_lossy().into_owned()).unwrap_or_else(|_| format!("{:?}", e.0));
    Error::limit("cuda", format!("{what}: {words} ({name})"))
}

/// The lock, whatever happened to a thread that held it: what it guards is whole after each statement.
pub(super) fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(|e| e.into_inner())
}

impl Gpu {
    /// GPU number `index`, as the driver counts them.
    ///
    /// # Errors
    /// If there is no driver (the names of the library that were looked for), no such GPU, or it cannot be used.
    pub fn open(index: usize) -> Result<&'static Gpu> {
        static OPEN: Mutex<BTreeMap<usize, &'static Gpu>> = Mutex::new(BTreeMap::new());
        let mut open = locked(&OPEN);
        if let Some(gpu) = open.get(&index) {
            return Ok(gpu);
        }
        let gpu: &'static Gpu = Box::leak(Box::new(Gpu::new(index)?));
        open.insert(index, gpu);
        tracing::info!(index, name = gpu.name, architecture = gpu.architecture.0, memory = gpu.total, "GPU opened");
        Ok(gpu)
    }

    fn new(index: usize) -> Result<Gpu> {
        Library::Driver.load()?;
        let fail = |what: String, help: &str| Error::limit("device", format!("cuda:{index}: {what}")).help(help);
        let said =
            |e: DriverError| fail(format!("the driver says {e}"), "see that the driver runs, or use Device::cpu()");
        let count = result::init().and_then(|()| result::device::get_count()).map_err(said)?;
        let number = i32::try_from(index).ok().filter(|&i| i < count);
        let number =
            number.ok_or_else(|| fail(format!("there are {count} GPUs"), "use one of them, or Device::cpu()"))?;
        // SAFETY: the device was just given by the driver; its context is made current before the stream is created in it.
        unsafe {
            let device = result::device::get(number).map_err(said)?;
            let attribute = |a| result::device::get_attribute(device, a).map_err(said);
            let major = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
            let minor = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
            let pools = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)?;
            if major < 7 || pools == 0 {
                let what = format!("compute capability {major}.{minor}, memory pools {pools}");
                return Err(fail(what, "use a GPU of compute capability 7.0 or later with memory pools"));
            }
            let context = result::primary_ctx::retain(device).map_err(said)?;
            result::ctx::set_current(context).map_err(said)?;
            let device_pool = result::device::get_default_mem_pool(device).map_err(said)?;
            // what is freed stays with this process: asking the system for memory takes longer than most programs
            let mut keep = u64::MAX;
            let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            result::mem_pool::set_attribute(device_pool, threshold, (&raw mut keep).cast()).map_err(said)?;
            let stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(said)?;
            Ok(Gpu {
                index,
                name: result::device::get_name(device).map_err(said)?,
                architecture: Architecture((major * 10 + minor) as u32),
                total: result::device::total_mem(device).map_err(said)?,
                context,
                stream,
                device_pool,
                queue: Mutex::new(Queue {
                    arena: Arena::default(),
                    staging: Staging::new().map_err(said)?,
                    stream,
                    streams: Vec::new(),
                    capturing: false,
                }),
                conditions: OnceLock::new(),
                memory: Mutex::default(),
                modules: Modules::default(),
                libraries: Handles::default(),
            })
        }
    }

    /// Its number, as the driver counts.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What code for it is made for.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Bytes of memory in all.
    pub fn total_bytes(&self) -> usize {
        self.total
    }

    /// Bytes that arrays of this program take at the moment.
    pub fn used_bytes(&self) -> usize {
        locked(&self.memory).used()
    }

    /// Makes the GPU the one that this thread's calls of the driver mean.
    pub(super) fn enter(&self) -> Result<()> {
        // SAFETY: the context lives as long as the process.
        unsafe { result::ctx::set_current(self.context) }.map_err(|e| driver_error("the GPU cannot be used", e))
    }

    /// The right to queue work; for one thread at a time.
    pub(super) fn queue(&self) -> Result<MutexGuard<'_, Queue>> {
        self.enter()?;
        Ok(self.queue_of_any())
    }

    /// As [`Gpu::queue`], for a thread that may mean another GPU by its calls of the driver.
    pub(super) fn queue_of_any(&self) -> MutexGuard<'_, Queue> {
        locked(&self.queue)
    }

    pub(super) fn context(&self) -> sys::CUcontext {
        self.context
    }

    /// What conditional nodes take; `None` if the driver has none: then the host reads conditions.
    pub(super) fn conditions(&self) -> Option<Conditions> {
        *self.conditions.get_or_init(|| {
            let loaded = self.enter().and_then(|()| Conditions::load(self));
            loaded.unwrap_or_else(|e| {
                tracing::warn!(error = %e, "loops and branches are not captured: the host reads their conditions");
                None
            })
        })
    }

    /// Makes streams for loops and branches that are nested so deep.
    pub(super) fn prepare_streams(&self, depth: usize) -> Result<()> {
        let mut queue = self.queue()?;
        while queue.streams.len() < depth {
            let stream = result::stream::create(result::stream::StreamKind::NonBlocking);
            queue.streams.push(stream.map_err(|e| driver_error("a stream cannot be made", e))?);
        }
        Ok(())
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Pool> {
        locked(&self.memory)
    }

    /// Waits until all that was queued is done.
    ///
    /// # Errors
    /// What went wrong in what was queued.
    pub fn synchronize(&self) -> Result<()> {
        self.enter()?;
        // SAFETY: the stream lives as long as the process.
        unsafe { result::stream::synchronize(self.stream) }.map_err(|e| driver_error("what was queued failed", e))
    }

    /// Memory of the driver's, in the order of the stream.
    ///
    /// # Errors
    /// If there is none, with what takes it.
    pub(super) fn fresh(&self, queue: &mut Queue, bytes: usize) -> Result<Address> {
        if queue.capturing {
            return Err(Error::internal("cuda", "memory was asked for while work is captured"));
        }
        // SAFETY: the stream lives as long as the process, and all uses are on it.
        let ask = || unsafe { result::malloc_async(self.stream, bytes) };
        if let Ok(at) = ask() {
            return Ok(at);
        }
        // what nobody uses may be in the way, in pieces of other sizes
        let unused = [self.memory().release(), queue.arena.release()].concat();
        // SAFETY: nobody holds these pieces; what was queued before is done with them when the driver frees them.
        unsafe {
            unused
                .iter()
                .try_for_each(|&at| result::free_async(at, self.stream))
                .map_err(|e| driver_error("free", e))?;
            result::stream::synchronize(self.stream).map_err(|e| driver_error("what was queued failed", e))?;
            result::mem_pool::trim_to(self.device_pool, 0).map_err(|e| driver_error("free", e))?;
        }
        ask().map_err(|e| {
            let gigabytes = |n: usize| n as f64 / 1e9;
            let free = result::mem_get_info().map_or(0, |(free, _)| free);
            let [used, scratch] = [self.memory().used(), queue.arena.bytes()];
            let what = format!(
                "cuda:{} has no {:.3} GB of memory: arrays take {:.3} GB, the program {:.3} GB, {:.3} of {:.3} GB are free",
                self.index,
                gigabytes(bytes),
                gigabytes(used),
                gigabytes(scratch),
                gigabytes(free),
                gigabytes(self.total),
            );
            tracing::warn!(error = %e, "out of memory");
            Error::limit("allocate", what).help("use smaller arrays or a smaller batch, or `memory_budget` or `checkpoint` to keep fewer intermediates")
        })
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{} ({}, sm_{})", self.index, self.name, self.architecture.0)
    }
}
