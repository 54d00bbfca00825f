//! Calling a compiled program.

use crate::profile::{Observer, Stopwatch, Unobserved};
use crate::{ALIGN, Buffer, Profile, Program, Slot, Step};
use gradloom_ir::Result;
use gradloom_library::as_program;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What a compiled program costs.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Floating-point operations a call.
    pub flops: u64,
    /// Bytes read and written by its kernels a call.
    pub bytes: u64,
    /// Bytes of intermediate memory, beyond inputs and outputs. Until they are written, the results' buffers hold
    /// intermediates too, which need memory of their own in a run that computes results in the arguments' buffers.
    pub peak_bytes: usize,
    /// Kernels and library calls a call.
    pub kernels: usize,
    /// Tracing, passes and code generation.
    pub compile_time: Duration,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.3} Mflop, {:.3} MB moved, {:.3} MB of intermediates, {} kernels, compiled in {:.2} ms",
            self.flops as f64 / 1e6,
            self.bytes as f64 / 1e6,
            self.peak_bytes as f64 / 1e6,
            self.kernels,
            self.compile_time.as_secs_f64() * 1e3
        )
    }
}

/// Result buffers, in the order of the program's outputs.
pub type Outputs = SmallVec<[Arc<Buffer>; 8]>;

/// A program compiled for this processor.
pub struct CpuProgram {
    program: Program,
    output_bytes: Vec<usize>,
    /// Frames of runs that are over; a steady-state call takes one and puts it back.
    frames: Mutex<Vec<Buffer>>,
    /// The same for intermediates that lie in results' memory in other runs.
    apart: Mutex<Vec<Buffer>>,
    /// Keeps the machine code the kernels live in; dropped last.
    _code: Box<dyn Any + Send + Sync>,
}

impl CpuProgram {
    /// A program whose kernels are placed in `code`, and the sizes of its outputs.
    ///
    /// # Safety
    /// The kernels are those the program was compiled with, and live as long as `code`; slots, offsets and sizes are as
    /// the plan made them from the types of the program.
    pub unsafe fn new(program: Program, output_bytes: Vec<usize>, code: Box<dyn Any + Send + Sync>) -> CpuProgram {
        CpuProgram { program, output_bytes, frames: Mutex::default(), apart: Mutex::default(), _code: code }
    }

    /// Runs on buffers of the inputs' types.
    ///
    /// # Safety
    /// There are as many as the program has inputs, each as large as its type.
    pub unsafe fn run(&self, args: &[Arc<Buffer>]) -> Result<Outputs> {
        let mut outputs = Outputs::new();
        for &n in &self.output_bytes {
            outputs.push(Arc::new(Buffer::try_uninit(n)?));
        }
        // SAFETY: outputs are fresh and as large as their types; the rest is the caller's promise.
        unsafe { self.run_on_buffers(args, &outputs)? };
        Ok(outputs)
    }

    /// Runs and computes results in the buffers of the arguments from `keep` on that nobody else holds.
    ///
    /// # Safety
    /// As [`CpuProgram::run`].
    pub unsafe fn run_donating(&self, mut args: SmallVec<[Arc<Buffer>; 8]>, keep: usize) -> Result<Outputs> {
        let mut outputs = Outputs::new();
        for (o, &n) in self.output_bytes.iter().enumerate() {
            let donor = self.program.donors[o].filter(|&i| i >= keep && Arc::get_mut(&mut args[i]).is_some());
            outputs.push(match donor {
                // held twice from here on, which is fine: the run knows
                Some(i) => args[i].clone(),
                None => Arc::new(Buffer::try_uninit(n)?),
            });
        }
        // SAFETY: outputs are fresh, or the donated buffer the plan allows, which nobody else holds.
        unsafe { self.run_on_buffers(&args, &outputs)? };
        Ok(outputs)
    }

    unsafe fn run_on_buffers(&self, args: &[Arc<Buffer>], outputs: &[Arc<Buffer>]) -> Result<()> {
        let (args, outputs) = (args.iter().map(|a| a.as_mut_ptr()), outputs.iter().map(|o| o.as_mut_ptr()));
        // SAFETY: the caller's promise.
        unsafe { self.run_at(args, outputs) }
    }

    /// Runs on memory.
    ///
    /// # Safety
    /// There are as many pointers as the program has inputs and outputs, each to memory of its type, aligned to its
    /// elements, bools being 0 or 1. Nobody writes inputs or uses outputs meanwhile. Outputs overlap nothing, except that
    /// one may be the memory of its donor.
    pub unsafe fn run_at(
        &self,
        inputs: impl Iterator<Item = *mut u8>,
        outputs: impl Iterator<Item = *mut u8>,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.run_observed(inputs, outputs, &mut Unobserved) }
    }

    /// Runs on buffers of the inputs' types and measures each step.
    ///
    /// # Safety
    /// As [`CpuProgram::run`].
    pub unsafe fn profile(&self, args: &[Arc<Buffer>]) -> Result<Profile> {
        let outputs = self.output_bytes.iter().map(|&n| Buffer::try_uninit(n)).collect::<Result<Vec<_>>>()?;
        let mut watch = Stopwatch::new();
        let (args, outputs) = (args.iter().map(|a| a.as_mut_ptr()), outputs.iter().map(Buffer::as_mut_ptr));
        // SAFETY: outputs are fresh and as large as their types; the rest is the caller's promise.
        unsafe { self.run_observed(args, outputs, &mut watch)? };
        Ok(watch.finish())
    }

    unsafe fn run_observed<O: Observer>(
        &self,
        inputs: impl Iterator<Item = *mut u8>,
        outputs: impl Iterator<Item = *mut u8>,
        observer: &mut O,
    ) -> Result<()> {
        let p = &self.program;
        let frame_buffer = take(&self.frames, p.frame_bytes())?;
        // SAFETY: the frame has `frame_bytes` bytes and is ours until it is put back; the rest is the caller's promise.
        let outcome = unsafe {
            let frame = p.begin(frame_buffer.as_mut_ptr());
            inputs.enumerate().for_each(|(i, a)| frame.set(i as Slot, a));
            outputs.enumerate().for_each(|(i, o)| frame.set(p.output_slot(i), o));
            let apart = match p.apart_bytes(frame) {
                0 => None,
                bytes => Some(take(&self.apart, bytes)?),
            };
            p.lend(frame, apart.as_ref().map_or(std::ptr::null_mut(), Buffer::as_mut_ptr));
            let outcome = if p.parallel && !p.calls_host && rayon::current_thread_index().is_none() {
                // one move to the thread pool for the whole run, instead of one for each kernel
                rayon::join(move || as_program(|| p.run_observed(frame, observer)), || ()).0
            } else {
                // functions of the host run on their caller's thread, where the pool gives them nothing else to do
                p.run_observed(frame, observer)
            };
            apart.into_iter().for_each(|b| lock(&self.apart).push(b));
            outcome
        };
        lock(&self.frames).push(frame_buffer);
        outcome
    }

    /// Flops, bytes, memory and kernels.
    pub fn cost(&self) -> Cost {
        let p = &self.program;
        Cost { flops: p.flops, bytes: p.bytes, peak_bytes: p.arena_bytes, kernels: p.steps.len(), ..Cost::default() }
    }

    /// What runs, a step a line.
    pub fn schedule(&self) -> String {
        self.program.steps.iter().map(Step::describe).collect::<Vec<_>>().join("\n")
    }
}

fn lock(kept: &Mutex<Vec<Buffer>>) -> MutexGuard<'_, Vec<Buffer>> {
    kept.lock().unwrap_or_else(|e| e.into_inner())
}

/// The buffer that was kept last, or a new one if it is too small.
fn take(kept: &Mutex<Vec<Buffer>>, bytes: usize) -> Result<Buffer> {
    let last = lock(kept).pop();
    match last.filter(|b| b.len() >= bytes) {
        Some(b) => Ok(b),
        None => Buffer::try_uninit(bytes.max(ALIGN)),
    }
}
