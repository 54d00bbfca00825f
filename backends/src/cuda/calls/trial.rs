//! Algorithms on arrays of their own, to learn what they do.

use super::tuning::Choice;
use crate::cuda::gpu::{Gpu, Queue, driver_error};
use crate::cuda::memory::GpuBuffer;
use crate::grid::Address;
use crate::grid::library::Product;
use cudarc::driver::result;
use gradloom_ir::Result;

/// Buffers for what an algorithm reads and writes, then scratch memory that is enough for each choice.
pub(super) struct Trial {
    buffers: Vec<GpuBuffer>,
}

impl Trial {
    /// # Errors
    /// If the GPU does not have that much memory.
    pub(super) fn new(gpu: &'static Gpu, bytes: &[usize], choices: &[Choice]) -> Result<Trial> {
        let workspace = choices.iter().map(|c| c.workspace).max().unwrap_or(0);
        let all = bytes.iter().chain([&workspace]);
        Ok(Trial { buffers: all.map(|&n| GpuBuffer::new(gpu, n)).collect::<Result<_>>()? })
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.buffers.iter().map(GpuBuffer::address).collect()
    }

    /// Sets each byte of all buffers.
    ///
    /// # Errors
    /// If that cannot be queued.
    pub(super) fn fill(&self, gpu: &Gpu, _: &mut Queue, byte: u8) -> Result<()> {
        self.buffers.iter().try_for_each(|b| {
            // SAFETY: the buffer has so many bytes.
            let done = unsafe { result::memset_d8_async(b.address(), byte, b.len(), gpu.stream) };
            done.map_err(|e| driver_error("an algorithm cannot be tried", e))
        })
    }
}

/// The choices whose rectifiers leave NaN what it is: it is for the program to say what becomes of it, and a library's `max(x, 0)` may
/// be 0. One that cannot be tried is none of them. `bytes` are those of the product's buffers.
///
/// # Errors
/// If there is no memory to try them in.
pub(super) fn keeping_nan<E: std::fmt::Display>(
    gpu: &'static Gpu,
    p: &Product,
    bytes: &[usize],
    choices: &[Choice],
    run: impl Fn(&Choice, &[Address]) -> Result<(), E>,
) -> Result<Vec<Choice>> {
    let trial = Trial::new(gpu, bytes, choices)?;
    let addresses = trial.addresses();
    let size = p.dtype.size();
    let last = addresses[2] + ((p.batch * p.rows * p.columns - 1) * size) as Address;
    // nobody else queues while they are tried
    let mut queue = gpu.queue()?;
    let mut kept = Vec::new();
    for choice in choices {
        // all bits are set in a NaN of each float
        trial.fill(gpu, &mut queue, 0xff)?;
        // SAFETY: the result has this many bytes; what was there must not be taken for what is computed.
        unsafe { result::memset_d8_async(addresses[2], 0, p.batch * p.rows * p.columns * size, gpu.stream) }
            .map_err(|e| driver_error("an algorithm cannot be tried", e))?;
        if run(choice, &addresses).is_err() {
            continue;
        }
        let mut is_nan = true;
        for at in [addresses[2], last] {
            let mut element = vec![0; size];
            queue.read(gpu, at, &mut element)?;
            is_nan &= gradloom_ir::Literal::from_bytes(gradloom_ir::Type::scalar(p.dtype), element)
                .is_some_and(|x| x.get_f64(0).is_nan());
        }
        if is_nan {
            kept.push(*choice);
        }
    }
    Ok(kept)
}
