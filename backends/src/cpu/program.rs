//! A compiled program: steps over a table of pointers.
//!
//! A run has a *frame*: the pointer table followed by the arena. The table lists the places of all values: inputs,
//! outputs, constants, then values in the arena. Steps name values by their position in the table (*slot*). A program
//! inside another one (a loop body, a branch) has its frame inside the arena of the outer one, so that a steady-state
//! call allocates nothing but its results.

use super::codegen::{Code, Kernel, KernelId};
use super::control::Control;
use super::host::HostCall;
use super::library::LibraryCall;
use crate::{ALIGN, Buffer};
use gradloom_ir::Result;
use smallvec::SmallVec;
use std::sync::Arc;

/// Position in the pointer table.
pub(super) type Slot = u32;

/// A kernel whose estimated cost is below this runs on the caller's thread.
const PARALLEL_COST: u64 = 100_000;

/// One unit of execution.
pub(super) enum Step {
    /// A loop nest; `kernel` is filled in from `id` once all code is placed.
    Kernel { name: String, id: KernelId, kernel: Kernel, params: Box<[Slot]> },
    /// A library call with scratch memory at this offset of the arena.
    Library { call: LibraryCall, args: Box<[Slot]>, outs: Box<[Slot]>, scratch: usize },
    /// A function of the host.
    Host(Box<HostCall>),
    /// An op with bodies.
    Control(Box<Control>),
}

/// A compiled program.
pub(super) struct Program {
    pub inputs: usize,
    pub outputs: usize,
    pub constants: Vec<Buffer>,
    /// Offsets of the arena values, in slot order.
    pub arena_values: Vec<usize>,
    pub arena_bytes: usize,
    /// Bytes of the arena that are in use at each step.
    pub live_bytes: Vec<usize>,
    pub steps: Vec<Step>,
    /// Results that are copies of another slot: output, source, bytes.
    pub copies: Vec<(usize, Slot, usize)>,
    /// The input in whose buffer an output may be computed, if nobody else needs that input.
    pub donors: Vec<Option<usize>>,
    /// The machine code the kernels live in (shared by nested programs).
    pub code: Option<Arc<Code>>,
    pub flops: u64,
    pub bytes: u64,
    /// Whether any step is worth more than one thread.
    pub parallel: bool,
    /// Whether any step calls the host.
    pub calls_host: bool,
}

/// A run's memory.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    table: *mut *mut u8,
    arena: *mut u8,
}

// SAFETY: a frame is used by one run at a time; kernels get only copies of its pointers.
unsafe impl Send for Frame {}

impl Frame {
    /// The pointer in a slot.
    ///
    /// # Safety
    /// The frame was begun by its program and the slot is one of its.
    pub unsafe fn get(self, slot: Slot) -> *mut u8 {
        unsafe { *self.table.add(slot as usize) }
    }

    /// Sets the pointer in a slot.
    ///
    /// # Safety
    /// As [`Frame::get`]; the memory must be as large as the slot's value.
    pub unsafe fn set(self, slot: Slot, p: *mut u8) {
        unsafe { *self.table.add(slot as usize) = p }
    }

    /// A place in the arena.
    ///
    /// # Safety
    /// The offset lies inside the arena.
    pub unsafe fn scratch(self, offset: usize) -> *mut u8 {
        unsafe { self.arena.add(offset) }
    }
}

impl Program {
    /// Number of slots.
    fn slots(&self) -> usize {
        self.inputs + self.outputs + self.constants.len() + self.arena_values.len()
    }

    fn table_bytes(&self) -> usize {
        (self.slots() * size_of::<*mut u8>()).next_multiple_of(ALIGN)
    }

    /// Bytes a run needs.
    pub fn frame_bytes(&self) -> usize {
        self.table_bytes() + self.arena_bytes
    }

    /// The slot of an output.
    pub fn output_slot(&self, i: usize) -> Slot {
        (self.inputs + i) as Slot
    }

    /// Prepares memory for a run; inputs and outputs are still to be set.
    ///
    /// # Safety
    /// `memory` has `frame_bytes` bytes, aligned to 64, used by nobody else until the run ends.
    pub unsafe fn begin(&self, memory: *mut u8) -> Frame {
        // SAFETY: table and arena lie one after the other in `memory`, as `frame_bytes` counts them.
        let frame = unsafe { Frame { table: memory.cast(), arena: memory.add(self.table_bytes()) } };
        let mut slot = self.inputs + self.outputs;
        for c in &self.constants {
            // SAFETY: slots are counted as `slots` does; constants are only read.
            unsafe { frame.set(slot as Slot, c.as_mut_ptr()) };
            slot += 1;
        }
        for &offset in &self.arena_values {
            // SAFETY: as above; offsets lie inside the arena.
            unsafe { frame.set(slot as Slot, frame.scratch(offset)) };
            slot += 1;
        }
        frame
    }

    /// Runs the steps, up to the first host call that fails. The frame may be begun again after an error; outputs are
    /// then partly unwritten.
    ///
    /// # Safety
    /// The frame was begun by this program and its inputs and outputs are set to memory of their types; outputs
    /// overlap nothing, except that output `i` may be the memory of input `donors[i]`.
    pub unsafe fn run(&self, frame: Frame) -> Result<()> {
        for step in &self.steps {
            // SAFETY: the plan gives every slot of a step memory of its type that is not in use otherwise.
            unsafe { step.run(frame)? };
        }
        for &(output, from, bytes) in &self.copies {
            // SAFETY: both slots hold `bytes` bytes; an output that is copied to is no donated buffer.
            unsafe {
                let to = frame.get(self.output_slot(output));
                let from = frame.get(from);
                if to != from {
                    to.copy_from_nonoverlapping(from, bytes);
                }
            }
        }
        Ok(())
    }
}

impl Step {
    unsafe fn run(&self, frame: Frame) -> Result<()> {
        // SAFETY: see Program::run.
        unsafe {
            match self {
                Step::Kernel { kernel, params, .. } => {
                    let mut pointers: SmallVec<[*mut u8; 16]> = SmallVec::new();
                    pointers.extend(params.iter().map(|&s| frame.get(s)));
                    run_kernel(kernel, pointers.as_ptr());
                }
                Step::Library { call, args, outs, scratch } => {
                    let mut a: SmallVec<[*const u8; 8]> = SmallVec::new();
                    a.extend(args.iter().map(|&s| frame.get(s).cast_const()));
                    let mut o: SmallVec<[*mut u8; 8]> = SmallVec::new();
                    o.extend(outs.iter().map(|&s| frame.get(s)));
                    call.run(&a, &o, frame.scratch(*scratch));
                }
                Step::Host(call) => call.run(frame)?,
                Step::Control(c) => c.run(frame)?,
            }
        }
        Ok(())
    }

    /// One line for the schedule.
    pub fn describe(&self) -> String {
        match self {
            Step::Kernel { name, kernel, params, .. } => {
                format!(
                    "kernel {name}: {} params, split {} by {}, cost {}",
                    params.len(),
                    kernel.split,
                    kernel.grain,
                    kernel.cost
                )
            }
            Step::Library { call, .. } => {
                format!("library {}: {} flops, {} bytes of scratch", call.name, call.flops, call.scratch_bytes)
            }
            Step::Host(h) => format!("host call of {:?}", h.callback),
            Step::Control(c) => c.describe(),
        }
    }
}

/// Whether a kernel is worth more than one thread.
pub(super) fn is_parallel(k: &Kernel) -> bool {
    k.cost >= PARALLEL_COST && k.split > k.grain.max(1)
}

/// Pointers handed to another thread.
#[derive(Clone, Copy)]
struct Params(*const *mut u8);

// SAFETY: the params of one kernel; threads run disjoint ranges of its split loop.
unsafe impl Send for Params {}
// SAFETY: the table of params is only read.
unsafe impl Sync for Params {}

/// Runs a kernel, on several threads if it is worth it.
///
/// # Safety
/// The contract of [`Kernel::func`].
unsafe fn run_kernel(kernel: &Kernel, params: *const *mut u8) {
    let blocks = kernel.split.div_ceil(kernel.grain.max(1));
    if !is_parallel(kernel) {
        // SAFETY: the whole range, once.
        return unsafe { (kernel.func)(params, 0, kernel.split as i64) };
    }
    let parts =
        (kernel.cost / (PARALLEL_COST / 2)).min(blocks as u64).min(rayon::current_num_threads() as u64) as usize;
    run_parts(kernel, Params(params), 0, blocks, parts);
}

/// Runs blocks `from..to` of the split loop as `parts` parts.
fn run_parts(kernel: &Kernel, params: Params, from: usize, to: usize, parts: usize) {
    if parts < 2 {
        let (start, end) = (from * kernel.grain.max(1), (to * kernel.grain.max(1)).min(kernel.split));
        // SAFETY: ranges of different parts are disjoint and cut at multiples of the grain.
        return unsafe { (kernel.func)(params.0, start as i64, end as i64) };
    }
    let left = parts / 2;
    let middle = from + (to - from) * left / parts;
    rayon::join(
        || run_parts(kernel, params, from, middle, left),
        || run_parts(kernel, params, middle, to, parts - left),
    );
}
