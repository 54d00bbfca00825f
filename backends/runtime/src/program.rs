//! A compiled program: steps over a table of pointers.
//!
//! A run has a *frame*: the pointer table followed by the arena. The table lists the places of all values: inputs,
//! outputs, constants, views (parts of other values), then values in the arena. Steps name values by their position in
//! the table (*slot*). A program inside another one (a loop body, a branch) has its frame inside the arena of the outer
//! one, so that a steady-state call allocates nothing but its results.

use crate::kernel::{is_parallel, run_kernel};
use crate::profile::{Observer, Unobserved};
use crate::{ALIGN, Buffer, Control, HostCall, Kernel, KernelFn, KernelId, Prepared};
use gradloom_ir::Result;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Position in the pointer table.
pub type Slot = u32;

/// One unit of execution.
#[derive(Serialize, Deserialize)]
#[allow(missing_docs)] // fields are what their types say
pub enum Step {
    /// A loop nest; [`Program::place`] fills in the kernel's function.
    Kernel { name: String, id: KernelId, kernel: Kernel, params: Box<[Slot]> },
    /// A library call with scratch memory at this offset of the arena.
    Library { call: Prepared, args: Box<[Slot]>, outs: Box<[Slot]>, scratch: usize },
    /// An op with bodies.
    Control(Box<Control>),
    /// A function of the host; it lives in this process alone. The last one, so that what is written of the others has
    /// the number that it is read by.
    #[serde(skip)]
    Host(Box<HostCall>),
}

/// A result whose memory holds intermediates until the result is written.
#[derive(Serialize, Deserialize)]
pub struct Lent {
    /// The result.
    pub output: usize,
    /// The intermediates' slots and where they lie in the memory.
    pub values: Vec<(Slot, usize)>,
    /// Where they end.
    pub bytes: usize,
}

/// A compiled program.
#[derive(Serialize, Deserialize)]
pub struct Program {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// Constants that are read from memory; [`Program::place_constants`] sets those of a program that was read.
    #[serde(skip)]
    pub constants: Vec<Buffer>,
    /// Their sizes.
    pub constant_bytes: Vec<usize>,
    /// The slot that each view is part of, and the bytes behind it at which the view begins.
    pub views: Vec<(Slot, usize)>,
    /// Offsets of the arena values, in slot order; of those in `lent` memory 0.
    pub arena_values: Vec<usize>,
    /// Results that lend their memory to intermediates; of nested programs none does.
    pub lent: Vec<Lent>,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Bytes of the arena that are in use at each step.
    pub live_bytes: Vec<usize>,
    /// What runs, in order.
    pub steps: Vec<Step>,
    /// Results that are copies of another slot: output, source, bytes.
    pub copies: Vec<(usize, Slot, usize)>,
    /// The input in whose buffer an output may be computed, if nobody else needs that input.
    pub donors: Vec<Option<usize>>,
    /// Operations a run, nested programs included; counted by [`Program::place`].
    pub flops: u64,
    /// Bytes its steps read and write a run, nested programs included; counted by [`Program::place`].
    pub bytes: u64,
    /// Bytes each step reads and writes a run; of an op with bodies its operands and results.
    pub step_bytes: Vec<u64>,
    /// Whether any step is worth more than one thread.
    pub parallel: bool,
    /// Whether any step calls the host.
    pub calls_host: bool,
}

/// A run's memory.
#[derive(Clone, Copy)]
pub struct Frame {
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
    /// Fills in the kernels' functions, which are known once all code is placed, and counts what a run costs.
    pub fn place(&mut self, kernel: &impl Fn(KernelId) -> KernelFn) {
        self.bytes = self.step_bytes.iter().sum();
        for step in &mut self.steps {
            match step {
                Step::Kernel { id, kernel: k, .. } => {
                    k.func = kernel(*id);
                    self.parallel |= is_parallel(k);
                    self.flops += k.cost;
                }
                Step::Library { call, .. } => self.flops += call.flops,
                Step::Host(_) => self.calls_host = true,
                Step::Control(c) => {
                    let trips = c.trip_count();
                    self.parallel |= matches!(**c, Control::Scan { frames: 2.., .. });
                    for body in c.bodies_mut() {
                        body.place(kernel);
                        self.parallel |= body.parallel;
                        self.calls_host |= body.calls_host;
                        self.flops += body.flops.saturating_mul(trips);
                        self.bytes += body.bytes.saturating_mul(trips);
                    }
                }
            }
        }
    }

    /// An estimate of the arithmetic of a run, before the program is placed.
    pub fn estimated_flops(&self) -> u64 {
        let step = |s: &Step| match s {
            Step::Kernel { kernel, .. } => kernel.cost,
            Step::Library { call, .. } => call.flops,
            Step::Host(_) => 0,
            Step::Control(c) => {
                let bodies = c.bodies().into_iter().map(|(_, b)| b.estimated_flops());
                bodies.fold(0, u64::saturating_add).saturating_mul(c.trip_count())
            }
        };
        self.steps.iter().map(step).fold(0, u64::saturating_add)
    }

    /// Whether a step, or one of a nested program, calls the host.
    pub fn has_host_call(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Host(_))) || self.bodies().any(Program::has_host_call)
    }

    /// The programs inside this one, in the order of the steps.
    fn bodies(&self) -> impl Iterator<Item = &Program> {
        let controls = self.steps.iter().filter_map(|s| if let Step::Control(c) = s { Some(c) } else { None });
        controls.flat_map(|c| c.bodies().into_iter().map(|(_, body)| body))
    }

    /// The constants of this program and then those of nested ones.
    pub fn all_constants(&self) -> Vec<&Buffer> {
        self.constants.iter().chain(self.bodies().flat_map(Program::all_constants)).collect()
    }

    /// Sets the constants, asking for each by its size in the order of [`Program::all_constants`].
    pub fn place_constants(&mut self, constant: &mut dyn FnMut(usize) -> Buffer) {
        self.constants = self.constant_bytes.iter().map(|&n| constant(n)).collect();
        for step in &mut self.steps {
            if let Step::Control(c) = step {
                c.bodies_mut().into_iter().for_each(|body| body.place_constants(constant));
            }
        }
    }

    /// Number of slots.
    fn slots(&self) -> usize {
        self.inputs + self.outputs + self.constants.len() + self.views.len() + self.arena_values.len()
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
        slot += self.views.len();
        for &offset in &self.arena_values {
            // SAFETY: as above; offsets lie inside the arena.
            unsafe { frame.set(slot as Slot, frame.scratch(offset)) };
            slot += 1;
        }
        frame
    }

    /// Whether intermediates can lie in the result's memory: not if it is an argument's too, which is still read, nor if
    /// it is aligned to nothing but the result's own elements.
    ///
    /// # Safety
    /// The frame was begun by this program and its inputs and outputs are set.
    unsafe fn lends(&self, lent: &Lent, frame: Frame) -> bool {
        // SAFETY: the caller's promise.
        let (to, donor) = unsafe {
            let donor = self.donors[lent.output].map(|i| frame.get(i as Slot));
            (frame.get(self.output_slot(lent.output)), donor)
        };
        donor != Some(to) && to.addr().is_multiple_of(ALIGN)
    }

    /// Bytes that a run needs beside its frame, for intermediates whose result does not lend its memory in this run.
    ///
    /// # Safety
    /// The frame was begun by this program and its inputs and outputs are set.
    pub(crate) unsafe fn apart_bytes(&self, frame: Frame) -> usize {
        // SAFETY: the caller's promise.
        let apart = self.lent.iter().filter(|l| unsafe { !self.lends(l, frame) });
        apart.map(|l| l.bytes.next_multiple_of(ALIGN)).sum()
    }

    /// Places the intermediates that lie in the memory of results, or `apart` from it.
    ///
    /// # Safety
    /// As [`Program::apart_bytes`], which is how many bytes are at `apart`, aligned to 64, used by nobody else until the
    /// run ends.
    pub(crate) unsafe fn lend(&self, frame: Frame, mut apart: *mut u8) {
        for lent in &self.lent {
            // SAFETY: values end before `bytes`, which the result has too; what is apart has room for all that is.
            unsafe {
                let mut memory = frame.get(self.output_slot(lent.output));
                if !self.lends(lent, frame) {
                    memory = apart;
                    apart = apart.add(lent.bytes.next_multiple_of(ALIGN));
                }
                lent.values.iter().for_each(|&(slot, offset)| frame.set(slot, memory.add(offset)));
            }
        }
    }

    /// Runs the steps, up to the first host call that fails. The frame may be begun again after an error; outputs are
    /// then partly unwritten.
    ///
    /// # Safety
    /// The frame was begun by this program and its inputs and outputs are set to memory of their types; outputs
    /// overlap nothing, except that output `i` may be the memory of input `donors[i]`. What is `lent` has its place.
    pub unsafe fn run(&self, frame: Frame) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.run_observed(frame, &mut Unobserved) }
    }

    /// As [`Program::run`], told to `observer`.
    pub(crate) unsafe fn run_observed<O: Observer>(&self, frame: Frame, observer: &mut O) -> Result<()> {
        let first = self.inputs + self.outputs + self.constants.len();
        for (i, &(whole, offset)) in self.views.iter().enumerate() {
            // SAFETY: slots are counted as `slots` does; all others are set, and a view ends where what it is part of does, or before.
            unsafe { frame.set((first + i) as Slot, frame.get(whole).add(offset)) };
        }
        for (i, step) in self.steps.iter().enumerate() {
            // SAFETY: the plan gives every slot of a step memory of its type that is not in use otherwise.
            observer.step(self, i, |o| unsafe { step.run(frame, o) })?;
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
    unsafe fn run<O: Observer>(&self, frame: Frame, observer: &mut O) -> Result<()> {
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
                Step::Control(c) => c.run(frame, observer)?,
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
