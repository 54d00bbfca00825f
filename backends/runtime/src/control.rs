//! Loops and branches, run natively: bodies are programs whose frames lie in the arena of the outer program.

use crate::profile::Observer;
use crate::{ALIGN, Frame, Program, Slot};
use gradloom_ir::Result;
use gradloom_library::{as_part, call_workers};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A value carried through a loop.
#[derive(Serialize, Deserialize)]
pub struct Carry {
    /// Where it starts.
    pub init: Slot,
    /// Where it ends.
    pub out: Slot,
    /// Its size.
    pub bytes: usize,
    /// Two places in the arena that take turns, unless the body updates it in place.
    pub buffers: Option<[usize; 2]>,
}

/// An array read or written one row a step.
#[derive(Serialize, Deserialize)]
pub struct Rows {
    /// The whole array.
    pub slot: Slot,
    /// Bytes of a row.
    pub bytes: usize,
}

/// An op with bodies.
#[derive(Serialize, Deserialize)]
#[allow(missing_docs)] // fields are what their types say
pub enum Control {
    /// See [`gradloom_ir::Op::Scan`]. Without carries its steps may run at once: there are then more `frames` than one,
    /// one after the other from `frame` on.
    Scan {
        body: Program,
        frame: usize,
        frames: usize,
        length: usize,
        reverse: bool,
        consts: Vec<Slot>,
        carries: Vec<Carry>,
        xs: Vec<Rows>,
        ys: Vec<Rows>,
    },
    /// See [`gradloom_ir::Op::While`]; `flag` is the place of the condition's result.
    While {
        cond: Box<Program>,
        cond_frame: usize,
        cond_consts: Vec<Slot>,
        flag: usize,
        body: Program,
        frame: usize,
        body_consts: Vec<Slot>,
        carries: Vec<Carry>,
    },
    /// See [`gradloom_ir::Op::Switch`]; every branch uses the frame.
    Switch { index: Slot, branches: Vec<Program>, frame: usize, args: Vec<Slot>, outs: Vec<Slot> },
}

/// Sets the inputs `from..` of `inner` to the places `slots` of `outer`.
unsafe fn bind(inner: Frame, from: usize, outer: Frame, slots: &[Slot]) {
    for (i, &s) in slots.iter().enumerate() {
        // SAFETY: the caller's contract is that of `Control::run`.
        unsafe { inner.set((from + i) as Slot, outer.get(s)) };
    }
}

/// Copies carries that are updated in place to where they end.
unsafe fn start_in_place(outer: Frame, carries: &[Carry]) {
    for c in carries.iter().filter(|c| c.buffers.is_none()) {
        // SAFETY: both slots hold `bytes` bytes; `copy` allows that they are one place.
        unsafe { outer.get(c.out).copy_from(outer.get(c.init), c.bytes) };
    }
}

/// A scan without carries.
struct Each<'a> {
    body: &'a Program,
    length: usize,
    consts: &'a [Slot],
    xs: &'a [Rows],
    ys: &'a [Rows],
    outer: Frame,
    /// Where the first of the body's frames may be begun; the others lie behind it.
    frames: *mut u8,
    /// The next step that nobody has taken.
    next: AtomicUsize,
}

// SAFETY: threads only read the frame's table; each writes its own rows and its own inner frame.
unsafe impl Sync for Each<'_> {}

impl Each<'_> {
    /// Runs steps on as many threads as there are `frames`, until all are done.
    ///
    /// # Safety
    /// As [`Control::run`]; there is room for the frames of this range.
    unsafe fn run<O: Observer>(&self, frames: Range<usize>, observer: &mut O) -> Result<()> {
        if frames.len() <= 1 {
            // SAFETY: the caller's promise; the frame is this thread's.
            return as_part(|| unsafe { self.take_steps(frames.start, observer) });
        }
        let middle = frames.start + frames.len() / 2;
        let mut other = observer.fork();
        let (one, two) = rayon::join(
            // SAFETY: the caller's promise; no frame is in both halves.
            || unsafe { self.run(frames.start..middle, observer) },
            || unsafe { self.run(middle..frames.end, &mut other) },
        );
        observer.merge(other);
        one.and(two)
    }

    unsafe fn take_steps<O: Observer>(&self, frame: usize, observer: &mut O) -> Result<()> {
        let size = self.body.frame_bytes().next_multiple_of(ALIGN);
        // SAFETY: slots and sizes are those the plan computed from the op's types; no step is taken twice.
        unsafe {
            let inner = self.body.begin(self.frames.add(frame * size));
            bind(inner, 0, self.outer, self.consts);
            loop {
                let row = self.next.fetch_add(1, Ordering::Relaxed);
                if row >= self.length {
                    return Ok(());
                }
                for (k, x) in self.xs.iter().enumerate() {
                    inner.set((self.consts.len() + k) as Slot, self.outer.get(x.slot).add(row * x.bytes));
                }
                for (k, y) in self.ys.iter().enumerate() {
                    inner.set(self.body.output_slot(k), self.outer.get(y.slot).add(row * y.bytes));
                }
                self.body.run_observed(inner, observer)?;
            }
        }
    }
}

impl Control {
    /// Runs the op, up to the first host call that fails.
    ///
    /// # Safety
    /// `outer` is the frame of the program this op was compiled for, with all slots set.
    pub(crate) unsafe fn run<O: Observer>(&self, outer: Frame, observer: &mut O) -> Result<()> {
        // SAFETY: slots, sizes and offsets are those the plan computed from the op's types.
        unsafe {
            match self {
                Control::Scan { body, frame, frames, length, consts, xs, ys, .. } if *frames > 1 => {
                    let first = outer.scratch(*frame);
                    let each =
                        Each { body, length: *length, consts, xs, ys, outer, frames: first, next: AtomicUsize::new(0) };
                    call_workers();
                    each.run(0..*frames, observer)?;
                }
                Control::Scan { body, frame, length, reverse, consts, carries, xs, ys, .. } => {
                    let inner = body.begin(outer.scratch(*frame));
                    bind(inner, 0, outer, consts);
                    start_in_place(outer, carries);
                    if *length == 0 {
                        for c in carries.iter().filter(|c| c.buffers.is_some()) {
                            outer.get(c.out).copy_from_nonoverlapping(outer.get(c.init), c.bytes);
                        }
                    }
                    for step in 0..*length {
                        let row = if *reverse { length - 1 - step } else { step };
                        for (k, c) in carries.iter().enumerate() {
                            let (input, output) = ((consts.len() + k) as Slot, body.output_slot(k));
                            let Some(buffers) = c.buffers else {
                                inner.set(input, outer.get(c.out));
                                inner.set(output, outer.get(c.out));
                                continue;
                            };
                            let place = |i: usize| outer.scratch(buffers[i % 2]);
                            inner.set(input, if step == 0 { outer.get(c.init) } else { place(step - 1) });
                            inner.set(output, if step + 1 == *length { outer.get(c.out) } else { place(step) });
                        }
                        for (k, x) in xs.iter().enumerate() {
                            let slot = (consts.len() + carries.len() + k) as Slot;
                            inner.set(slot, outer.get(x.slot).add(row * x.bytes));
                        }
                        for (k, y) in ys.iter().enumerate() {
                            inner.set(body.output_slot(carries.len() + k), outer.get(y.slot).add(row * y.bytes));
                        }
                        body.run_observed(inner, observer)?;
                    }
                }
                Control::While { cond, cond_frame, cond_consts, flag, body, frame, body_consts, carries } => {
                    let test = cond.begin(outer.scratch(*cond_frame));
                    bind(test, 0, outer, cond_consts);
                    let flag = outer.scratch(*flag);
                    test.set(cond.output_slot(0), flag);
                    let inner = body.begin(outer.scratch(*frame));
                    bind(inner, 0, outer, body_consts);
                    start_in_place(outer, carries);
                    let mut step = 0usize;
                    let current = |c: &Carry, step: usize| match c.buffers {
                        None => outer.get(c.out),
                        Some(_) if step == 0 => outer.get(c.init),
                        Some(b) => outer.scratch(b[(step - 1) % 2]),
                    };
                    loop {
                        for (k, c) in carries.iter().enumerate() {
                            test.set((cond_consts.len() + k) as Slot, current(c, step));
                        }
                        cond.run_observed(test, observer)?;
                        if *flag == 0 {
                            break;
                        }
                        for (k, c) in carries.iter().enumerate() {
                            inner.set((body_consts.len() + k) as Slot, current(c, step));
                            inner.set(body.output_slot(k), current(c, step + 1));
                        }
                        body.run_observed(inner, observer)?;
                        step += 1;
                    }
                    for c in carries.iter().filter(|c| c.buffers.is_some()) {
                        outer.get(c.out).copy_from_nonoverlapping(current(c, step), c.bytes);
                    }
                }
                Control::Switch { index, branches, frame, args, outs } => {
                    let i = outer.get(*index).cast::<i32>().read().clamp(0, branches.len() as i32 - 1);
                    let branch = &branches[i as usize];
                    let inner = branch.begin(outer.scratch(*frame));
                    bind(inner, 0, outer, args);
                    for (k, &o) in outs.iter().enumerate() {
                        inner.set(branch.output_slot(k), outer.get(o));
                    }
                    branch.run_observed(inner, observer)?;
                }
            }
        }
        Ok(())
    }

    /// The bodies.
    pub fn bodies(&self) -> Vec<(&'static str, &Program)> {
        match self {
            Control::Scan { body, .. } => vec![("body", body)],
            Control::While { cond, body, .. } => vec![("cond", cond), ("body", body)],
            Control::Switch { branches, .. } => branches.iter().map(|b| ("branch", b)).collect(),
        }
    }

    /// The bodies, to fill in their kernels.
    pub fn bodies_mut(&mut self) -> Vec<&mut Program> {
        match self {
            Control::Scan { body, .. } => vec![body],
            Control::While { cond, body, .. } => vec![&mut **cond, body],
            Control::Switch { branches, .. } => branches.iter_mut().collect(),
        }
    }

    /// The places in the arena of the program around it.
    pub fn places_mut(&mut self) -> Vec<&mut usize> {
        let (mut places, carries) = match self {
            Control::Scan { frame, carries, .. } => (vec![frame], carries),
            Control::While { cond_frame, frame, flag, carries, .. } => (vec![cond_frame, frame, flag], carries),
            Control::Switch { frame, .. } => return vec![frame],
        };
        places.extend(carries.iter_mut().flat_map(|c| c.buffers.iter_mut().flatten()));
        places
    }

    /// How often the bodies run a call, where that is known.
    pub fn trip_count(&self) -> u64 {
        match self {
            Control::Scan { length, .. } => *length as u64,
            Control::While { .. } | Control::Switch { .. } => 1,
        }
    }

    /// One line for the schedule, and the bodies' steps.
    pub fn describe(&self) -> String {
        let mut s = match self {
            Control::Scan { length, frames: 1, carries, .. } => {
                format!("scan of {length} steps, {} carries", carries.len())
            }
            Control::Scan { length, frames, .. } => format!("scan of {length} steps, {frames} at once"),
            Control::While { carries, .. } => format!("while, {} carries", carries.len()),
            Control::Switch { branches, .. } => format!("switch of {} branches", branches.len()),
        };
        for (name, body) in self.bodies() {
            s += &format!("\n  {name}:");
            for step in &body.steps {
                s += &format!("\n    {}", step.describe().replace('\n', "\n    "));
            }
        }
        s
    }
}
