//! Calling a compiled program.

use super::program::{Program, Slot, Step};
use crate::executable::{Cost, Outputs};
use crate::{ALIGN, Buffer};
use gradloom_ir::Result;
use smallvec::SmallVec;
use std::sync::{Arc, Mutex};

/// A program compiled for this processor.
pub struct CpuProgram {
    program: Program,
    output_bytes: Vec<usize>,
    /// Frames of runs that are over; a steady-state call takes one and puts it back.
    frames: Mutex<Vec<Buffer>>,
}

impl CpuProgram {
    pub(super) fn new(program: Program, output_bytes: Vec<usize>) -> CpuProgram {
        CpuProgram { program, output_bytes, frames: Mutex::default() }
    }

    /// Runs on buffers of the inputs' types.
    pub(crate) fn run(&self, args: &[Arc<Buffer>]) -> Result<Outputs> {
        let mut outputs = Outputs::new();
        for &n in &self.output_bytes {
            outputs.push(Arc::new(Buffer::try_uninit(n)?));
        }
        self.run_into(args, &outputs)?;
        Ok(outputs)
    }

    /// Runs and computes results in the buffers of the arguments from `keep` on that nobody else holds.
    pub(crate) fn run_donating(&self, mut args: SmallVec<[Arc<Buffer>; 8]>, keep: usize) -> Result<Outputs> {
        let mut outputs = Outputs::new();
        for (o, &n) in self.output_bytes.iter().enumerate() {
            let donor = self.program.donors[o].filter(|&i| i >= keep && Arc::get_mut(&mut args[i]).is_some());
            outputs.push(match donor {
                // held twice from here on, which is fine: the run knows
                Some(i) => args[i].clone(),
                None => Arc::new(Buffer::try_uninit(n)?),
            });
        }
        self.run_into(&args, &outputs)?;
        Ok(outputs)
    }

    fn run_into(&self, args: &[Arc<Buffer>], outputs: &[Arc<Buffer>]) -> Result<()> {
        let p = &self.program;
        let take = || self.frames.lock().unwrap_or_else(|e| e.into_inner());
        let kept = take().pop();
        let frame_buffer = match kept {
            Some(b) => b,
            None => Buffer::try_uninit(p.frame_bytes().max(ALIGN))?,
        };
        // SAFETY: the frame has `frame_bytes` bytes and is ours until it is put back. The caller checked the number
        // and sizes of arguments; outputs are fresh, or the donated buffer the plan allows, which nobody else holds.
        let outcome = unsafe {
            let frame = p.begin(frame_buffer.as_mut_ptr());
            for (i, a) in args.iter().enumerate() {
                frame.set(i as Slot, a.as_mut_ptr());
            }
            for (i, o) in outputs.iter().enumerate() {
                frame.set(p.output_slot(i), o.as_mut_ptr());
            }
            if p.parallel && !p.calls_host && rayon::current_thread_index().is_none() {
                // one move to the thread pool for the whole run, instead of one for each kernel
                rayon::join(move || p.run(frame), || ()).0
            } else {
                // functions of the host run on their caller's thread, where the pool gives them nothing else to do
                p.run(frame)
            }
        };
        take().push(frame_buffer);
        outcome
    }

    /// Flops, bytes, memory and kernels.
    pub(crate) fn cost(&self) -> Cost {
        let p = &self.program;
        Cost { flops: p.flops, bytes: p.bytes, peak_bytes: p.arena_bytes, kernels: p.steps.len(), ..Cost::default() }
    }

    /// What runs, a step a line.
    pub(crate) fn schedule(&self) -> String {
        self.program.steps.iter().map(Step::describe).collect::<Vec<_>>().join("\n")
    }
}
