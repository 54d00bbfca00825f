//! Programs for a GPU: launches of kernels over buffers, loops and branches.
//!
//! A [`GridProgram`] knows no GPU. It runs on a [`Machine`], which has memory, launches kernels and copies: an NVIDIA GPU, or
//! this machine, where kernels are emulated ([`super::Emulator`]). Memory is taken from the machine's pool as a step needs it
//! and given back after the last step that does; everything but [`Machine::read`] may be queued.

use super::GridKernel;
use super::library::Routine;
use gradloom_ir::{Callback, Error, Literal, Loc, Result, Type};

/// A place in the machine's memory.
pub type Address = u64;

/// Where kernels run.
pub trait Machine {
    /// Memory of `bytes` bytes, at a multiple of [`ALIGNMENT`].
    ///
    /// # Errors
    /// If there is none.
    fn take(&mut self, bytes: usize) -> Result<Address>;

    /// Gives memory back; what was queued before may still use it.
    fn give(&mut self, at: Address);

    /// Launches kernel number `kernel` of the program on its buffers.
    ///
    /// # Errors
    /// If it cannot be launched.
    fn launch(&mut self, kernel: usize, buffers: &[Address]) -> Result<()>;

    /// Does call number `call` of the program, on the buffers of its routine, then its scratch memory if it takes any.
    ///
    /// # Errors
    /// If it cannot be queued.
    fn call(&mut self, call: usize, buffers: &[Address]) -> Result<()>;

    /// Copies within the machine's memory.
    ///
    /// # Errors
    /// If the copy cannot be queued.
    fn copy(&mut self, to: Address, from: Address, bytes: usize) -> Result<()>;

    /// Lets the host compute something, for which it may use the machine by itself.
    ///
    /// # Errors
    /// What the computation returns.
    fn host(&mut self, compute: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        compute()
    }

    /// Whether it can decide by itself, in what is queued now, how often a loop's body is done and which branch: then
    /// [`Machine::repeat`] and [`Machine::choose`] are called; else the host reads the condition before each round.
    fn decides(&self) -> bool {
        false
    }

    /// Queues `body` to be done again and again while the bool at `flag` is true.
    ///
    /// # Errors
    /// If it cannot be queued.
    fn repeat(&mut self, flag: Address, body: &mut dyn FnMut(&mut dyn Machine) -> Result<()>) -> Result<()> {
        let _ = (flag, body);
        Err(Error::internal("repeat", "the machine does not decide by itself"))
    }

    /// Queues of `branches` branches the one that the i32 at `index`, clamped, will name.
    ///
    /// # Errors
    /// If it cannot be queued.
    fn choose(
        &mut self,
        index: Address,
        branches: usize,
        branch: &mut dyn FnMut(&mut dyn Machine, usize) -> Result<()>,
    ) -> Result<()> {
        let _ = (index, branches, branch);
        Err(Error::internal("choose", "the machine does not decide by itself"))
    }

    /// Waits for what was queued, and reads.
    ///
    /// # Errors
    /// What went wrong in the queue.
    fn read(&mut self, from: Address, to: &mut [u8]) -> Result<()>;

    /// Writes.
    ///
    /// # Errors
    /// If the copy cannot be queued.
    fn write(&mut self, to: Address, from: &[u8]) -> Result<()>;
}

/// Where memory of a machine begins, in bytes.
pub const ALIGNMENT: usize = 256;

/// A value of a program, by its position in the table of addresses.
pub(super) type Slot = usize;

/// A program for a GPU, with its kernels and constants.
#[derive(Debug)]
pub struct GridProgram {
    /// All kernels, each once.
    pub kernels: Vec<GridKernel>,
    /// What each kernel does in one launch.
    pub costs: Vec<KernelCost>,
    /// What libraries compute.
    pub calls: Vec<Call>,
    /// Arrays that are read from memory.
    pub constants: Vec<Vec<u8>>,
    pub(super) main: Body,
}

/// What one of the machine's libraries computes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The op that it is for, by name.
    pub op: &'static str,
    /// What is computed.
    pub routine: Routine,
    /// Bytes of scratch memory.
    pub scratch: usize,
    /// What it does.
    pub cost: KernelCost,
}

/// What the libraries of a machine compute.
pub trait Libraries {
    /// The bytes of scratch memory with which a library does the routine; `None` if none does, so that kernels compute the op
    /// or it is refused.
    ///
    /// # Errors
    /// What the library says is wrong.
    fn takes(&self, routine: &Routine) -> Result<Option<usize>>;

    /// Whether ops that have no form are left out instead of refused: of a program that is read and not run.
    fn leaves_out(&self) -> bool {
        false
    }
}

/// A machine without libraries.
pub struct NoLibraries;

impl Libraries for NoLibraries {
    fn takes(&self, _: &Routine) -> Result<Option<usize>> {
        Ok(None)
    }
}

/// What one launch of a kernel, or one call, does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct KernelCost {
    /// Arithmetic operations.
    pub flops: u64,
    /// Bytes of the arrays that it reads and writes.
    pub bytes: u64,
}

impl KernelCost {
    fn plus(self, other: KernelCost) -> KernelCost {
        KernelCost { flops: self.flops.saturating_add(other.flops), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn times(self, n: usize) -> KernelCost {
        KernelCost { flops: self.flops.saturating_mul(n as u64), bytes: self.bytes.saturating_mul(n as u64) }
    }
}

/// A program or a nested one.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) slots: usize,
    /// The slot of each constant that it reads, and which that is.
    pub(super) constants: Vec<(Slot, usize)>,
    pub(super) steps: Vec<Step>,
    /// Results that are copies: result, source, bytes.
    pub(super) copies: Vec<(usize, Slot, usize)>,
    /// The input in whose memory a result may be computed, if nobody else needs it.
    pub(super) donors: Vec<Option<usize>>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) what: What,
    /// Memory that it is the first to need.
    pub(super) takes: Vec<(Slot, usize)>,
    /// Memory that nothing needs after it.
    pub(super) gives: Vec<Slot>,
}

#[derive(Debug)]
pub(super) enum What {
    Launch { kernel: usize, buffers: Vec<Slot> },
    Call { call: usize, buffers: Vec<Slot> },
    Scan(Box<Scan>),
    While(Box<While>),
    Switch { index: Slot, branches: Vec<Body>, args: Vec<Slot>, outs: Vec<Slot> },
    Host(Box<Host>),
}

/// A value carried through a loop.
#[derive(Debug)]
pub(super) struct Carry {
    pub(super) init: Slot,
    pub(super) out: Slot,
    pub(super) bytes: usize,
}

/// An array of which each step reads or writes a row.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) array: Slot,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Scan {
    pub(super) body: Body,
    pub(super) length: usize,
    pub(super) reverse: bool,
    pub(super) consts: Vec<Slot>,
    pub(super) carries: Vec<Carry>,
    pub(super) xs: Vec<Rows>,
    pub(super) ys: Vec<Rows>,
}

#[derive(Debug)]
pub(super) struct While {
    pub(super) cond: Body,
    pub(super) cond_consts: Vec<Slot>,
    pub(super) body: Body,
    pub(super) body_consts: Vec<Slot>,
    pub(super) carries: Vec<Carry>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) callback: Callback,
    pub(super) args: Vec<(Slot, Type)>,
    pub(super) outs: Vec<Slot>,
    pub(super) results: Vec<Type>,
    pub(super) loc: Loc,
}

impl GridProgram {
    /// How many launches it takes, those of loops counted once.
    pub fn launches(&self) -> usize {
        self.main.launches()
    }

    /// How many loops and branches it has that are run step by step.
    pub fn controls(&self) -> usize {
        self.main.controls()
    }

    /// How many launches and copies are queued for a run, scans unrolled, if that is the same in each: `None` if the program
    /// calls the host, or a library that may wait for the machine, or reads a value to decide what it does, on a machine that does
    /// not decide by itself.
    pub fn steady_launches(&self, decides: bool) -> Option<usize> {
        self.main.queued(self, decides)
    }

    /// How deep loops and branches that a machine decides on are nested.
    pub fn decisions(&self) -> usize {
        self.main.decisions()
    }

    /// What a run does; of loops whose steps are not known, and of branches, one step and the longest.
    pub fn work(&self) -> KernelCost {
        self.main.work(self)
    }

    /// By result, the input whose memory it may be computed in, where nobody else needs that input: it has as many bytes, and is
    /// not read any more when the result is written, or is read by the thread that writes the same element, before it does.
    pub fn donors(&self) -> &[Option<usize>] {
        &self.main.donors
    }

    /// The most bytes that it takes of the machine's memory at once, as far as that is known before it runs.
    pub fn peak_bytes(&self) -> usize {
        self.main.peak()
    }

    /// Runs the program on buffers of a machine that knows its kernels; `constants` are the addresses of its constants.
    ///
    /// # Errors
    /// What the machine or a function of the host returns. Memory that was taken until then is given back.
    pub fn run(
        &self,
        m: &mut dyn Machine,
        constants: &[Address],
        inputs: &[Address],
        outputs: &[Address],
    ) -> Result<()> {
        if inputs.len() != self.main.inputs || outputs.len() != self.main.outputs {
            return Err(Error::internal("run", format!("{} and {} buffers", inputs.len(), outputs.len())));
        }
        self.main.run(m, constants, inputs.iter().chain(outputs).copied())
    }
}

impl Body {
    fn launches(&self) -> usize {
        let of = |s: &Step| match &s.what {
            What::Launch { .. } | What::Call { .. } => 1,
            What::Scan(s) => s.body.launches(),
            What::While(w) => w.cond.launches() + w.body.launches(),
            What::Switch { branches, .. } => branches.iter().map(Body::launches).sum(),
            What::Host(_) => 0,
        };
        self.steps.iter().map(of).sum()
    }

    fn queued(&self, of_program: &GridProgram, decides: bool) -> Option<usize> {
        let of = |s: &Step| match &s.what {
            What::Launch { .. } => Some(1),
            What::Call { call, .. } => of_program.calls[*call].routine.queued(),
            What::Scan(s) => s.body.queued(of_program, decides)?.checked_mul(s.length)?.checked_add(s.carries.len()),
            What::While(w) if decides => {
                let all = w
                    .cond
                    .queued(of_program, decides)?
                    .checked_mul(2)?
                    .checked_add(w.body.queued(of_program, decides)?)?;
                all.checked_add(3 * w.carries.len() + 3)
            }
            What::Switch { branches, .. } if decides => {
                branches.iter().try_fold(2 * branches.len(), |n, b| n.checked_add(b.queued(of_program, decides)?))
            }
            What::While(_) | What::Switch { .. } | What::Host(_) => None,
        };
        self.steps.iter().try_fold(self.copies.len(), |n, s| n.checked_add(of(s)?))
    }

    fn decisions(&self) -> usize {
        let of = |s: &Step| match &s.what {
            What::Scan(s) => s.body.decisions(),
            What::While(w) => 1 + w.cond.decisions().max(w.body.decisions()),
            What::Switch { branches, .. } => 1 + branches.iter().map(Body::decisions).max().unwrap_or(0),
            What::Launch { .. } | What::Call { .. } | What::Host(_) => 0,
        };
        self.steps.iter().map(of).max().unwrap_or(0)
    }

    fn work(&self, of_program: &GridProgram) -> KernelCost {
        let of = |s: &Step| match &s.what {
            What::Launch { kernel, .. } => of_program.costs[*kernel],
            What::Call { call, .. } => of_program.calls[*call].cost,
            What::Scan(s) => s.body.work(of_program).times(s.length),
            What::While(w) => w.cond.work(of_program).plus(w.body.work(of_program)),
            What::Switch { branches, .. } => {
                branches.iter().map(|b| b.work(of_program)).max_by_key(|c| c.flops.max(c.bytes)).unwrap_or_default()
            }
            What::Host(_) => KernelCost::default(),
        };
        self.steps.iter().map(of).fold(KernelCost::default(), KernelCost::plus)
    }

    fn peak(&self) -> usize {
        let (mut held, mut peak) = (0usize, 0);
        let mut sizes = std::collections::HashMap::new();
        let carried = |carries: &[Carry]| carries.iter().map(|c| 2 * c.bytes).sum::<usize>();
        for step in &self.steps {
            for &(slot, bytes) in &step.takes {
                sizes.insert(slot, bytes);
                held += bytes;
            }
            let inner = match &step.what {
                What::Launch { .. } | What::Call { .. } | What::Host(_) => 0,
                What::Scan(s) => carried(&s.carries) + s.body.peak(),
                What::While(w) => 1 + carried(&w.carries) + w.cond.peak().max(w.body.peak()),
                What::Switch { branches, .. } => branches.iter().map(Body::peak).max().unwrap_or(0),
            };
            peak = peak.max(held + inner);
            held -= step.gives.iter().map(|slot| sizes.get(slot).copied().unwrap_or(0)).sum::<usize>();
        }
        peak
    }

    fn controls(&self) -> usize {
        let of = |s: &Step| match &s.what {
            What::Launch { .. } | What::Call { .. } | What::Host(_) => 0,
            What::Scan(s) => 1 + s.body.controls(),
            What::While(w) => 1 + w.cond.controls() + w.body.controls(),
            What::Switch { branches, .. } => 1 + branches.iter().map(Body::controls).sum::<usize>(),
        };
        self.steps.iter().map(of).sum()
    }

    /// Runs the steps on buffers: inputs, then outputs.
    fn run(&self, m: &mut dyn Machine, constants: &[Address], buffers: impl Iterator<Item = Address>) -> Result<()> {
        let mut table: Vec<Address> = buffers.collect();
        table.resize(self.slots, 0);
        self.constants.iter().for_each(|&(slot, k)| table[slot] = constants[k]);
        let mut held = Vec::new();
        let done = self.steps.iter().try_for_each(|step| {
            for &(slot, bytes) in &step.takes {
                table[slot] = m.take(bytes)?;
                held.push(slot);
            }
            step.run(m, constants, &table)?;
            for &slot in &step.gives {
                m.give(table[slot]);
                held.retain(|&h| h != slot);
            }
            Ok(())
        });
        let done = done.and_then(|()| {
            let copies = self.copies.iter().filter(|(.., bytes)| *bytes > 0);
            copies.clone().try_for_each(|&(i, from, bytes)| m.copy(table[self.inputs + i], table[from], bytes))
        });
        held.into_iter().for_each(|slot| m.give(table[slot]));
        done
    }
}

impl Step {
    fn run(&self, m: &mut dyn Machine, constants: &[Address], table: &[Address]) -> Result<()> {
        let at = |slots: &[Slot]| -> Vec<Address> { slots.iter().map(|&s| table[s]).collect() };
        match &self.what {
            What::Launch { kernel, buffers } => m.launch(*kernel, &at(buffers)),
            What::Call { call, buffers } => m.call(*call, &at(buffers)),
            What::Scan(scan) => scan.run(m, constants, table),
            What::While(w) => w.run(m, constants, table),
            What::Switch { index, branches, args, outs } => {
                if m.decides() {
                    return m.choose(table[*index], branches.len(), &mut |m, i| {
                        branches[i].run(m, constants, at(args).into_iter().chain(at(outs)))
                    });
                }
                let mut i = [0; 4];
                m.read(table[*index], &mut i)?;
                let i = i32::from_ne_bytes(i).clamp(0, branches.len() as i32 - 1);
                branches[i as usize].run(m, constants, at(args).into_iter().chain(at(outs)))
            }
            What::Host(host) => host.run(m, table),
        }
    }
}

/// The places a carry takes turns in.
struct Turns {
    init: Address,
    own: [Address; 2],
}

impl Turns {
    fn take(m: &mut dyn Machine, carries: &[Carry], table: &[Address], held: &mut Vec<Address>) -> Result<Vec<Turns>> {
        let turns = |c: &Carry| {
            let mut own = [0; 2];
            for at in &mut own {
                *at = m.take(c.bytes)?;
                held.push(*at);
            }
            Ok(Turns { init: table[c.init], own })
        };
        carries.iter().map(turns).collect()
    }

    /// Where the value before step `step` is.
    fn before(&self, step: usize) -> Address {
        if step == 0 { self.init } else { self.own[(step - 1) % 2] }
    }
}

/// Copies what carries have become after `steps` steps to where they end.
fn end(m: &mut dyn Machine, carries: &[Carry], turns: &[Turns], steps: usize, table: &[Address]) -> Result<()> {
    let copies = carries.iter().zip(turns).filter(|(c, _)| c.bytes > 0);
    copies.clone().try_for_each(|(c, t)| m.copy(table[c.out], t.before(steps), c.bytes))
}

impl Scan {
    fn run(&self, m: &mut dyn Machine, constants: &[Address], table: &[Address]) -> Result<()> {
        let mut held = Vec::new();
        let done = Turns::take(m, &self.carries, table, &mut held).and_then(|turns| {
            for step in 0..self.length {
                let row = if self.reverse { self.length - 1 - step } else { step };
                let rows = |rows: &[Rows]| -> Vec<Address> {
                    rows.iter().map(|r| table[r.array] + (row * r.bytes) as Address).collect()
                };
                let consts = self.consts.iter().map(|&s| table[s]);
                let before = turns.iter().map(|t| t.before(step));
                let after = turns.iter().map(|t| t.before(step + 1));
                let buffers = consts.chain(before).chain(rows(&self.xs)).chain(after).chain(rows(&self.ys));
                self.body.run(m, constants, buffers)?;
            }
            end(m, &self.carries, &turns, self.length, table)
        });
        held.into_iter().for_each(|at| m.give(at));
        done
    }
}

impl While {
    fn run(&self, m: &mut dyn Machine, constants: &[Address], table: &[Address]) -> Result<()> {
        let mut held = vec![m.take(1)?];
        let flag = held[0];
        let done = Turns::take(m, &self.carries, table, &mut held).and_then(|turns| {
            let at = |slots: &[Slot]| -> Vec<Address> { slots.iter().map(|&s| table[s]).collect() };
            let (cond_consts, body_consts) = (at(&self.cond_consts), at(&self.body_consts));
            // without the host, a round begins where the one before began
            let [now, next] = [0, 1].map(|i| turns.iter().map(|t| t.own[i]).collect::<Vec<Address>>());
            let copied = |m: &mut dyn Machine, to: &[Address], from: &[Address]| {
                let all = self.carries.iter().zip(to.iter().zip(from)).filter(|(c, _)| c.bytes > 0);
                all.clone().try_for_each(|(c, (&to, &from))| m.copy(to, from, c.bytes))
            };
            if m.decides() {
                copied(m, &now, &turns.iter().map(|t| t.init).collect::<Vec<Address>>())?;
                self.cond.run(m, constants, cond_consts.iter().chain(&now).chain([&flag]).copied())?;
                m.repeat(flag, &mut |m| {
                    self.body.run(m, constants, body_consts.iter().chain(&now).chain(&next).copied())?;
                    copied(m, &now, &next)?;
                    self.cond.run(m, constants, cond_consts.iter().chain(&now).chain([&flag]).copied())
                })?;
                return copied(m, &at(&self.carries.iter().map(|c| c.out).collect::<Vec<Slot>>()), &now);
            }
            for step in 0.. {
                let before: Vec<Address> = turns.iter().map(|t| t.before(step)).collect();
                let test = cond_consts.iter().chain(&before).chain([&flag]).copied();
                self.cond.run(m, constants, test)?;
                let mut goes_on = [0];
                m.read(flag, &mut goes_on)?;
                if goes_on == [0] {
                    return end(m, &self.carries, &turns, step, table);
                }
                let after = turns.iter().map(|t| t.before(step + 1));
                self.body.run(m, constants, body_consts.iter().chain(&before).copied().chain(after))?;
            }
            Ok(())
        });
        held.into_iter().for_each(|at| m.give(at));
        done
    }
}

impl Host {
    fn run(&self, m: &mut dyn Machine, table: &[Address]) -> Result<()> {
        let mut args = Vec::with_capacity(self.args.len());
        for (slot, ty) in &self.args {
            let mut bytes = vec![0; ty.bytes()];
            m.read(table[*slot], &mut bytes)?;
            args.push(
                Literal::from_bytes(ty.clone(), bytes).ok_or_else(|| Error::internal("host_call", "bad operand"))?,
            );
        }
        let mut results = Vec::new();
        m.host(&mut || {
            results = self.callback.call(&args, &self.results).map_err(|e| e.at(&self.loc))?;
            Ok(())
        })?;
        results.iter().zip(&self.outs).try_for_each(|(x, &slot)| m.write(table[slot], x.bytes()))
    }
}
