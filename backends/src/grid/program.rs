//! Programs for a GPU: launches of kernels over buffers, loops and branches.
//!
//! A [`GridProgram`] knows no GPU. It runs on a [`Machine`], which has memory, launches kernels and copies: an NVIDIA GPU, or
//! this machine, where kernels are emulated ([`super::Emulator`]). Memory is taken from the machine's pool as a step needs it
//! and given back after the last step that does; everything but [`Machine::read`] may be queued.

use super::ops::{Launches, Operand, launches};
use super::rows::rows_kernel;
use super::{GridKernel, lower, lower_recurrence};
use crate::cpu::{Blocking, Lowered, Work, block_rows, lower_graph, lowered_for_gpu, recurrence, step_roots};
use gradloom_ir::{Callback, Error, Graph, Literal, Loc, Node, Op, Result, Type, Value};
use gradloom_passes::PassContext;
use std::collections::HashMap;

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

    /// Copies within the machine's memory.
    ///
    /// # Errors
    /// If the copy cannot be queued.
    fn copy(&mut self, to: Address, from: Address, bytes: usize) -> Result<()>;

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
type Slot = usize;

/// A program for a GPU, with its kernels and constants.
#[derive(Debug)]
pub struct GridProgram {
    /// All kernels, each once.
    pub kernels: Vec<GridKernel>,
    /// Arrays that are read from memory.
    pub constants: Vec<Vec<u8>>,
    main: Body,
}

/// A program or a nested one.
#[derive(Debug, Default)]
struct Body {
    inputs: usize,
    outputs: usize,
    slots: usize,
    /// The slot of each constant that it reads, and which that is.
    constants: Vec<(Slot, usize)>,
    steps: Vec<Step>,
    /// Results that are copies: result, source, bytes.
    copies: Vec<(usize, Slot, usize)>,
}

#[derive(Debug)]
struct Step {
    what: What,
    /// Memory that it is the first to need.
    takes: Vec<(Slot, usize)>,
    /// Memory that nothing needs after it.
    gives: Vec<Slot>,
}

#[derive(Debug)]
enum What {
    Launch { kernel: usize, buffers: Vec<Slot> },
    Scan(Box<Scan>),
    While(Box<While>),
    Switch { index: Slot, branches: Vec<Body>, args: Vec<Slot>, outs: Vec<Slot> },
    Host(Box<Host>),
}

/// A value carried through a loop.
#[derive(Debug)]
struct Carry {
    init: Slot,
    out: Slot,
    bytes: usize,
}

/// An array of which each step reads or writes a row.
#[derive(Debug)]
struct Rows {
    array: Slot,
    bytes: usize,
}

#[derive(Debug)]
struct Scan {
    body: Body,
    length: usize,
    reverse: bool,
    consts: Vec<Slot>,
    carries: Vec<Carry>,
    xs: Vec<Rows>,
    ys: Vec<Rows>,
}

#[derive(Debug)]
struct While {
    cond: Body,
    cond_consts: Vec<Slot>,
    body: Body,
    body_consts: Vec<Slot>,
    carries: Vec<Carry>,
}

#[derive(Debug)]
struct Host {
    callback: Callback,
    args: Vec<(Slot, Type)>,
    outs: Vec<Slot>,
    results: Vec<Type>,
    loc: Loc,
}

/// Blocks of rows pay where more than a cache of arrays is read several times; what a block hands on fits shared memory.
const ROWS: Blocking = Blocking { min_saved: 1 << 20, block: 1 << 15, min_blocks: 64 };

/// Compiles an optimised graph to kernels and launches.
///
/// # Errors
/// If an op has no form on GPUs; the error names it.
pub fn compile(g: &Graph) -> Result<GridProgram> {
    compile_with(g, ROWS)
}

/// As [`compile`], with blocks of rows where `rows` says that they pay.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(g: &Graph, rows: Blocking) -> Result<GridProgram> {
    let mut c = Compiler::default();
    let mut g = lowered_for_gpu(g, &mut PassContext::from_env())?.into_owned();
    block_rows(&mut g, rows)?;
    let aligned = vec![ALIGNMENT; g.num_inputs() + g.num_outputs()];
    let main = c.body(&g, &aligned)?;
    Ok(GridProgram { kernels: c.kernels, constants: c.constants, main })
}

#[derive(Default)]
struct Compiler {
    kernels: Vec<GridKernel>,
    numbers: HashMap<GridKernel, usize>,
    constants: Vec<Vec<u8>>,
}

/// The kernel of a loop whose steps are blocks of rows.
fn rows_of(node: &Node) -> Result<Option<GridKernel>> {
    match &node.op {
        Op::Scan { body, length, consts, carry: 0, .. } => rows_kernel("rows", body, *consts, *length),
        _ => Ok(None),
    }
}

/// The slots of one program while its steps are made.
struct Slots<'g> {
    g: &'g Graph,
    alias: &'g [Option<Value>],
    of: Vec<Option<Slot>>,
    count: usize,
    /// Of inputs and outputs, in bytes; memory of a program's own begins at [`ALIGNMENT`].
    alignment: Vec<usize>,
}

impl Slots<'_> {
    fn memory(&self, v: Value) -> Value {
        self.alias[v.index()].unwrap_or(v)
    }

    fn get(&self, v: Value) -> Slot {
        self.of[self.memory(v).index()].expect("a stored value has a slot before its first use")
    }

    fn alignment(&self, v: Value) -> usize {
        self.alignment.get(self.get(v)).copied().unwrap_or(ALIGNMENT)
    }

    fn types(&self, values: &[Value]) -> Vec<Type> {
        values.iter().map(|&v| self.g.ty(v).clone()).collect()
    }

    fn fresh(&mut self) -> Slot {
        self.count += 1;
        self.count - 1
    }
}

/// The greatest power of two that divides the bytes of a row, up to [`ALIGNMENT`].
fn row_alignment(bytes: usize) -> usize {
    if bytes == 0 { ALIGNMENT } else { (1 << bytes.trailing_zeros().min(8)).min(ALIGNMENT) }
}

impl Compiler {
    fn kernel(&mut self, kernel: GridKernel) -> usize {
        if let Some(&k) = self.numbers.get(&kernel) {
            return k;
        }
        self.kernels.push(kernel.clone());
        self.numbers.insert(kernel, self.kernels.len() - 1);
        self.kernels.len() - 1
    }

    /// Compiles a program whose inputs and then outputs begin at multiples of `alignment`.
    fn body(&mut self, g: &Graph, alignment: &[usize]) -> Result<Body> {
        let Lowered { c, computed_by, steps } = lower_graph(g)?;
        let (inputs, outputs) = (g.num_inputs(), g.num_outputs());
        let mut slots = Slots {
            g,
            alias: &c.alias,
            of: vec![None; g.num_values()],
            count: inputs + outputs,
            alignment: alignment.to_vec(),
        };
        let mut body = Body { inputs, outputs, ..Body::default() };
        g.inputs().for_each(|v| slots.of[v.index()] = Some(v.index()));
        for node in g.nodes() {
            if let Op::Constant { value } = &node.op
                && c.stored[node.results[0].index()]
            {
                let slot = slots.fresh();
                slots.of[node.results[0].index()] = Some(slot);
                body.constants.push((slot, self.constants.len()));
                self.constants.push(value.bytes().to_vec());
            }
        }
        for (i, &o) in g.outputs().iter().enumerate() {
            let v = slots.memory(o);
            if computed_by[v.index()].is_some() && slots.of[v.index()].is_none() {
                slots.of[v.index()] = Some(inputs + i);
            }
        }
        // memory of the program's own: the values that steps write elsewhere than into results
        let mut first = vec![None; g.num_values()];
        let mut last = vec![0; g.num_values()];
        for (s, (work, step)) in c.steps.iter().zip(&steps).enumerate() {
            for w in step_roots(g, work).iter().filter(|w| step.writes.contains(w)) {
                if slots.of[w.index()].is_none() {
                    slots.of[w.index()] = Some(slots.fresh());
                    first[w.index()] = Some(s);
                }
            }
            step.reads.iter().chain(&step.writes).for_each(|v| last[v.index()] = s);
        }
        for &o in g.outputs() {
            last[slots.memory(o).index()] = usize::MAX;
        }
        let owned = |s: usize, at: &dyn Fn(Value) -> bool| -> Vec<Value> {
            steps[s]
                .reads
                .iter()
                .chain(&steps[s].writes)
                .copied()
                .filter(|&v| first[v.index()].is_some() && at(v))
                .collect()
        };
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for (s, (work, step)) in c.steps.iter().zip(&steps).enumerate() {
            let before = body.steps.len();
            match work {
                Work::Cluster(_) => {
                    let k =
                        step.nest.as_ref().ok_or_else(|| Error::internal("compile", "a cluster has no loop nest"))?;
                    let kernel = lower(&k.nest, &|p| slots.alignment(k.params[p]))?;
                    let kernel = self.kernel(kernel);
                    let buffers = k.params.iter().map(|&v| slots.get(v)).collect();
                    body.push(What::Launch { kernel, buffers });
                }
                Work::Library(i) => {
                    self.op(&g.nodes()[*i], &mut slots, &mut body).map_err(|e| e.at(&g.nodes()[*i].loc))?
                }
                Work::Control(i) => {
                    let node = &g.nodes()[*i];
                    let what = match recurrence(g, node) {
                        Some(r) => {
                            let buffers = node.args.iter().chain(&node.results).map(|&v| slots.get(v)).collect();
                            What::Launch { kernel: self.kernel(lower_recurrence(&r)?), buffers }
                        }
                        None => match rows_of(node)? {
                            Some(kernel) => {
                                let buffers = node.args.iter().chain(&node.results).map(|&v| slots.get(v)).collect();
                                What::Launch { kernel: self.kernel(kernel), buffers }
                            }
                            None => self.control(node, &slots)?,
                        },
                    };
                    body.push(what);
                }
            }
            let mut takes: Vec<(Slot, usize)> = owned(s, &|v| first[v.index()] == Some(s))
                .into_iter()
                .map(|v| (slots.get(v), g.ty(v).bytes()))
                .collect();
            takes.sort_unstable();
            takes.dedup();
            let mut gives: Vec<Slot> = owned(s, &|v| last[v.index()] == s).into_iter().map(|v| slots.get(v)).collect();
            gives.sort_unstable();
            gives.dedup();
            // where nothing runs, on nothing, it is the next step that does
            early.extend(takes);
            late.extend(gives);
            if body.steps.len() > before {
                body.steps[before].takes.append(&mut early);
                let last = body.steps.len() - 1;
                body.steps[last].gives.append(&mut late);
            }
        }
        for (i, &o) in g.outputs().iter().enumerate() {
            let from = slots.get(o);
            if from != inputs + i {
                body.copies.push((i, from, g.ty(o).bytes()));
            }
        }
        body.slots = slots.count;
        Ok(body)
    }

    /// An op that is no loop nest and has no bodies.
    fn op(&mut self, node: &Node, slots: &mut Slots, body: &mut Body) -> Result<()> {
        let g = slots.g;
        if let Some(nest) = crate::cpu::kernel_of(g, node)? {
            let values: Vec<Value> = node.args.iter().chain(&node.results).copied().collect();
            let kernel = lower(&nest, &|p| slots.alignment(values[p]))?;
            let kernel = self.kernel(kernel);
            body.push(What::Launch { kernel, buffers: values.iter().map(|&v| slots.get(v)).collect() });
            return Ok(());
        }
        let callback = match &node.op {
            Op::HostCall { callback, .. } => Some(callback.clone()),
            Op::Custom { primitive } => Some(primitive.callback()),
            _ => None,
        };
        if let Some(callback) = callback {
            body.push(What::Host(Box::new(Host {
                callback,
                args: node.args.iter().map(|&a| (slots.get(a), g.ty(a).clone())).collect(),
                outs: node.results.iter().map(|&r| slots.get(r)).collect(),
                results: slots.types(&node.results),
                loc: node.loc.clone(),
            })));
            return Ok(());
        }
        if let Op::Constant { .. } = node.op {
            return Ok(());
        }
        let found = launches(&node.op, &slots.types(&node.args), &slots.types(&node.results))?;
        let Some(Launches { launches, scratch }) = found else {
            return Err(Error::limit(node.op.name(), "has no form on GPUs").help("run the program on Device::cpu()"));
        };
        let own: Vec<Slot> = scratch.iter().map(|_| slots.fresh()).collect();
        let first = body.steps.len();
        for launch in launches {
            let place = |o: &Operand| match *o {
                Operand::Arg(i) => slots.get(node.args[i]),
                Operand::Result(i) => slots.get(node.results[i]),
                Operand::Scratch(i) => own[i],
            };
            let buffers = launch.operands.iter().map(place).collect();
            let kernel = self.kernel(launch.kernel);
            body.push(What::Launch { kernel, buffers });
        }
        if body.steps.len() > first {
            body.steps[first].takes.extend(own.iter().copied().zip(scratch));
            let last = body.steps.len() - 1;
            body.steps[last].gives.extend(own);
        }
        Ok(())
    }

    fn control(&mut self, node: &Node, slots: &Slots) -> Result<What> {
        let g = slots.g;
        let bytes = |v: Value| g.ty(v).bytes();
        let of = |values: &[Value]| -> Vec<Slot> { values.iter().map(|&v| slots.get(v)).collect() };
        let carries = |inits: &[Value], outs: &[Value]| -> Vec<Carry> {
            let pairs = inits.iter().zip(outs);
            pairs.map(|(&i, &o)| Carry { init: slots.get(i), out: slots.get(o), bytes: bytes(o) }).collect()
        };
        let aligned = |values: &[Value]| -> Vec<usize> { values.iter().map(|&v| slots.alignment(v)).collect() };
        match &node.op {
            Op::Scan { body, length, reverse, consts, carry } => {
                let (n, m) = (*consts, *carry);
                let rows = |values: &[Value]| -> Vec<Rows> {
                    let row = |&v: &Value| Rows { array: slots.get(v), bytes: bytes(v) / (*length).max(1) };
                    values.iter().map(row).collect()
                };
                let (xs, ys) = (rows(&node.args[n + m..]), rows(&node.results[m..]));
                let of_rows = |values: &[Value], rows: &[Rows]| -> Vec<usize> {
                    values.iter().zip(rows).map(|(&v, r)| slots.alignment(v).min(row_alignment(r.bytes))).collect()
                };
                // carries begin as they are handed in, then lie in memory of the loop's own, and end in the results
                let carried: Vec<usize> =
                    (0..m).map(|k| slots.alignment(node.args[n + k]).min(slots.alignment(node.results[k]))).collect();
                let alignment = [
                    aligned(&node.args[..n]),
                    carried.clone(),
                    of_rows(&node.args[n + m..], &xs),
                    carried,
                    of_rows(&node.results[m..], &ys),
                ];
                Ok(What::Scan(Box::new(Scan {
                    body: self.body(body, &alignment.concat())?,
                    length: *length,
                    reverse: *reverse,
                    consts: of(&node.args[..n]),
                    carries: carries(&node.args[n..n + m], &node.results[..m]),
                    xs,
                    ys,
                })))
            }
            Op::While { cond, body, cond_consts, body_consts } => {
                let (cc, bc) = (*cond_consts, *body_consts);
                let inits = &node.args[cc + bc..];
                let carried: Vec<usize> = inits
                    .iter()
                    .zip(&node.results)
                    .map(|(&i, &o)| slots.alignment(i).min(slots.alignment(o)))
                    .collect();
                let test = [aligned(&node.args[..cc]), carried.clone(), vec![ALIGNMENT]].concat();
                let step = [aligned(&node.args[cc..cc + bc]), carried.clone(), carried].concat();
                Ok(What::While(Box::new(While {
                    cond: self.body(cond, &test)?,
                    cond_consts: of(&node.args[..cc]),
                    body: self.body(body, &step)?,
                    body_consts: of(&node.args[cc..cc + bc]),
                    carries: carries(inits, &node.results),
                })))
            }
            Op::Switch { branches } => {
                let alignment = [aligned(&node.args[1..]), aligned(&node.results)].concat();
                let branches: Result<Vec<Body>> = branches.iter().map(|b| self.body(b, &alignment)).collect();
                Ok(What::Switch {
                    index: slots.get(node.args[0]),
                    branches: branches?,
                    args: of(&node.args[1..]),
                    outs: of(&node.results),
                })
            }
            op => Err(Error::internal(op.name(), "is not a control op")),
        }
    }
}

impl Body {
    fn push(&mut self, what: What) {
        self.steps.push(Step { what, takes: Vec::new(), gives: Vec::new() });
    }
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
            What::Launch { .. } => 1,
            What::Scan(s) => s.body.launches(),
            What::While(w) => w.cond.launches() + w.body.launches(),
            What::Switch { branches, .. } => branches.iter().map(Body::launches).sum(),
            What::Host(_) => 0,
        };
        self.steps.iter().map(of).sum()
    }

    fn controls(&self) -> usize {
        let of = |s: &Step| match &s.what {
            What::Launch { .. } | What::Host(_) => 0,
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
            What::Scan(scan) => scan.run(m, constants, table),
            What::While(w) => w.run(m, constants, table),
            What::Switch { index, branches, args, outs } => {
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
        let results = self.callback.call(&args, &self.results).map_err(|e| e.at(&self.loc))?;
        results.iter().zip(&self.outs).try_for_each(|(x, &slot)| m.write(table[slot], x.bytes()))
    }
}
