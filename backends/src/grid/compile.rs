//! From an optimised graph to a program for a GPU: clusters become loop nests and grid kernels, the rest the kernels of its op,
//! loops over few numbers and over blocks of rows one kernel each, other loops and branches programs of their own.

use super::absorb_epilogues::{LayerCall, absorb_epilogues, has_product};
use super::library::{Does, Plan, Site, plans};
use super::ops::{Launches, Operand, launches};
use super::program::{
    ALIGNMENT, Body, Call, Carry, GridProgram, Host, KernelCost, Libraries, NoLibraries, Rows, Scan, Slot, Step, What,
    While,
};
use super::rows::rows_kernel;
use super::tiles::{TileKernel, Tiling};
use super::{GridKernel, Schedule, lower, lower_recurrence, schedule};
use crate::cpu::{
    Blocking, For, Lowered, StepValues, Work, block_rows, kernel_of, lower_graph, lowered_for_gpu, nest_of, real,
    recurrence, step_roots,
};
use crate::kernel::LoopNest;
use crate::outline::form_of;
use gradloom_ir::{Builder, Error, Graph, Node, Op, Result, Type, Value};
use gradloom_passes::PassContext;
use gradloom_passes::cost::node_cost;
use std::collections::{BTreeSet, HashMap};

/// Blocks of rows pay where more than a cache of arrays is read several times; what a block hands on fits shared memory.
pub const ROWS: Blocking = Blocking { min_saved: 1 << 20, block: 1 << 15, min_blocks: 64 };

/// Which arrays are not stored, although ops that share no loop nest read them.
#[derive(Clone, Copy, Debug)]
pub struct Fusing {
    /// When a kernel computes several ops on a block of rows.
    pub rows: Blocking,
    /// When products are computed by tiles; `None` on GPUs without tensor cores for 16-bit floats and TF32.
    pub tiles: Option<Tiling>,
}

impl Default for Fusing {
    fn default() -> Fusing {
        Fusing { rows: ROWS, tiles: Some(Tiling::default()) }
    }
}

/// The loop nests of a program on a GPU as it is written, before passes cut reductions and group rows; those of nested programs
/// left out.
///
/// # Errors
/// As [`compile`].
pub fn loop_nests(g: &Graph) -> Result<Vec<LoopNest>> {
    let g = real(g, &mut PassContext::from_env())?;
    Ok(lower_graph(&g, For::Gpu)?.steps.into_iter().filter_map(|s| s.nest.map(|k| k.nest)).collect())
}

/// Compiles an optimised graph to kernels and launches.
///
/// # Errors
/// If an op has no form on GPUs; the error names it.
pub fn compile(g: &Graph) -> Result<GridProgram> {
    compile_with(g, Fusing::default(), &NoLibraries)
}

/// As [`compile`], with what is fused as `fusing` says, and calls of libraries where there are some.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(g: &Graph, fusing: Fusing, libraries: &dyn Libraries) -> Result<GridProgram> {
    let mut c = Compiler {
        libraries,
        kernels: Vec::new(),
        costs: Vec::new(),
        numbers: HashMap::new(),
        calls: Vec::new(),
        constants: Vec::new(),
    };
    let mut cx = PassContext::from_env();
    let mut g = lowered_for_gpu(g, fusing.tiles, &mut cx)?.into_owned();
    if has_product(&g) {
        cx.step("absorb_epilogues", &mut g, |g, _| absorb_epilogues(g, libraries))?;
    }
    block_rows(&mut g, fusing.rows)?;
    let aligned = vec![ALIGNMENT; g.num_inputs() + g.num_outputs()];
    let main = c.body(&g, &aligned)?;
    Ok(GridProgram { kernels: c.kernels, costs: c.costs, calls: c.calls, constants: c.constants, main })
}

struct Compiler<'l> {
    libraries: &'l dyn Libraries,
    kernels: Vec<GridKernel>,
    costs: Vec<KernelCost>,
    numbers: HashMap<GridKernel, usize>,
    calls: Vec<Call>,
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

impl Compiler<'_> {
    /// Adds the launch of a kernel, if it does anything: no GPU launches no blocks.
    fn launch(&mut self, body: &mut Body, kernel: GridKernel, buffers: Vec<Slot>, flops: u64) {
        if kernel.blocks == 0 {
            return;
        }
        let number = *self.numbers.entry(kernel).or_insert_with_key(|kernel| {
            let bytes = kernel.params.iter().map(|p| (p.len * p.dtype.size()) as u64).sum();
            self.costs.push(KernelCost { flops, bytes });
            self.kernels.push(kernel.clone());
            self.kernels.len() - 1
        });
        body.push(What::Launch { kernel: number, buffers });
    }

    /// Compiles a program whose inputs and then outputs begin at multiples of `alignment`.
    fn body(&mut self, g: &Graph, alignment: &[usize]) -> Result<Body> {
        let Lowered { c, computed_by, steps } = lower_graph(g, For::Gpu)?;
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
        body.donors = donors(&slots, &steps, &last, inputs..inputs + outputs);
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for (s, (work, step)) in c.steps.iter().zip(&steps).enumerate() {
            let before = body.steps.len();
            match work {
                Work::Cluster(_) => {
                    let k =
                        step.nest.as_ref().ok_or_else(|| Error::internal("compile", "a cluster has no loop nest"))?;
                    let kernel = lower(&k.nest, &|p| slots.alignment(k.params[p]))?;
                    let buffers = k.params.iter().map(|&v| slots.get(v)).collect();
                    self.launch(&mut body, kernel, buffers, k.nest.flops());
                }
                Work::Library(i) => {
                    self.op(&g.nodes()[*i], &mut slots, &mut body).map_err(|e| e.at(&g.nodes()[*i].loc))?
                }
                Work::Control(i) => {
                    let node = &g.nodes()[*i];
                    let buffers = || node.args.iter().chain(&node.results).map(|&v| slots.get(v)).collect();
                    let kernel = match recurrence(g, node) {
                        Some(r) => Some(lower_recurrence(&r)?),
                        None => rows_of(node)?,
                    };
                    match kernel {
                        Some(kernel) => self.launch(&mut body, kernel, buffers(), node_cost(g, node).flops),
                        None => body.push(self.control(node, &slots)?),
                    }
                }
            }
            let takes = step.writes.iter().filter(|v| first[v.index()] == Some(s));
            let takes = takes.map(|&v| (slots.get(v), g.ty(v).bytes()));
            let own = step.reads.iter().chain(&step.writes).filter(|v| first[v.index()].is_some());
            let gives: BTreeSet<Slot> = own.filter(|v| last[v.index()] == s).map(|&v| slots.get(v)).collect();
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
        if let Some(tiles) = form_of::<TileKernel>(g, node)? {
            let values = || node.args.iter().chain(&node.results);
            let alignment: Vec<usize> = values().map(|&v| slots.alignment(v)).collect();
            let buffers = values().map(|&v| slots.get(v)).collect();
            self.launch(body, tiles.grid(&alignment)?, buffers, tiles.flops());
            return Ok(());
        }
        if let Some(layer) = form_of::<LayerCall>(g, node)? {
            if !self.call(node, &slots.types(&node.args), &slots.types(&node.results), slots, body)? {
                let once = self.once(&layer.meaning, node, slots)?;
                body.push(once);
            }
            return Ok(());
        }
        if let Some(nest) = kernel_of(g, node)? {
            let values: Vec<Value> = node.args.iter().chain(&node.results).copied().collect();
            let kernel = lower(&nest, &|p| slots.alignment(values[p]))?;
            self.launch(body, kernel, values.iter().map(|&v| slots.get(v)).collect(), node_cost(g, node).flops);
            return Ok(());
        }
        if let Op::Transpose { .. } = &node.op {
            // a processor exchanges large arrays by a call, a GPU by tiles of a loop nest
            let (mut b, inputs) = Builder::with_inputs(&slots.types(&node.args));
            let results = b.emit(node.op.clone(), &inputs)?;
            let nest = nest_of(&b.finish(&results)?)?.nest;
            let values: Vec<Value> = node.args.iter().chain(&node.results).copied().collect();
            let kernel = lower(&nest, &|p| slots.alignment(values[p]))?;
            self.launch(body, kernel, values.iter().map(|&v| slots.get(v)).collect(), 0);
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
        // an operand is what its memory holds
        let operand = |&v: &Value| Type::new(g.ty(slots.memory(v)).dtype, &g.ty(v).shape);
        let operands: Vec<Type> = node.args.iter().map(operand).collect();
        let results = slots.types(&node.results);
        let called = self.call(node, &operands, &results, slots, body);
        if matches!(called, Ok(true)) {
            return Ok(());
        }
        let found = called.and_then(|_| launches(&node.op, &operands, &results));
        if self.libraries.leaves_out() && !matches!(found, Ok(Some(_))) {
            return Ok(());
        }
        let Some(Launches { launches, scratch }) = found? else {
            return Err(Error::limit(node.op.name(), "has no form on GPUs").help("run the program on Device::cpu()"));
        };
        let own: Vec<Slot> = scratch.iter().map(|_| slots.fresh()).collect();
        let first = body.steps.len();
        // what the op costs is put down to its first kernel
        let mut flops = node_cost(g, node).flops;
        for launch in launches {
            let place = |o: &Operand| match *o {
                Operand::Arg(i) => slots.get(node.args[i]),
                Operand::Result(i) => slots.get(node.results[i]),
                Operand::Scratch(i) => own[i],
            };
            let buffers = launch.operands.iter().map(place).collect();
            self.launch(body, launch.kernel, buffers, std::mem::take(&mut flops));
        }
        if body.steps.len() > first {
            body.steps[first].takes.extend(own.iter().copied().zip(scratch));
            let last = body.steps.len() - 1;
            body.steps[last].gives.extend(own);
        }
        Ok(())
    }

    /// The scratch memory of each step of a plan; `None` if the machine's libraries do not take all that it is made of.
    fn needs(&self, plan: &Plan) -> Result<Option<Vec<usize>>> {
        let of = |does: &Does| match does {
            Does::Kernel(_) => Ok(Some(0)),
            Does::Routine(routine) => self.libraries.takes(routine),
        };
        plan.steps.iter().map(|(does, _)| of(does)).collect()
    }

    /// Computes an op by the machine's libraries, if they take all that it is made of; whether they do.
    fn call(
        &mut self,
        node: &Node,
        args: &[Type],
        results: &[Type],
        slots: &mut Slots,
        body: &mut Body,
    ) -> Result<bool> {
        let alignment = node.args.iter().chain(&node.results).map(|&v| slots.alignment(v)).collect();
        let site = Site { op: &node.op, args, results, alignment };
        let (op, flops, plans) = match form_of::<LayerCall>(slots.g, node)? {
            Some(of) => (of.layer.product.name(), of.flops(), of.layer.plan(&site)?.into_iter().collect()),
            None => (node.op.name(), node_cost(slots.g, node).flops, plans(&site)?),
        };
        let mut taken = None;
        for plan in plans {
            if let Some(needs) = self.needs(&plan)? {
                taken = Some((plan, needs));
                break;
            }
        }
        let Some((Plan { steps, scratch }, needs)) = taken else { return Ok(false) };
        let own: Vec<Slot> = scratch.iter().map(|_| slots.fresh()).collect();
        let first = body.steps.len();
        let cost = KernelCost { flops, bytes: args.iter().chain(results).map(|t| t.bytes() as u64).sum() };
        // what the op costs is put down to its first routine
        let mut cost = Some(cost);
        for ((does, operands), workspace) in steps.into_iter().zip(needs) {
            let place = |o: &Operand| match *o {
                Operand::Arg(i) => slots.get(node.args[i]),
                Operand::Result(i) => slots.get(node.results[i]),
                Operand::Scratch(i) => own[i],
            };
            let mut buffers: Vec<Slot> = operands.iter().map(place).collect();
            match does {
                Does::Kernel(kernel) => self.launch(body, kernel, buffers, 0),
                Does::Routine(routine) => {
                    let workspace_slot = (workspace > 0).then(|| slots.fresh());
                    buffers.extend(workspace_slot);
                    let cost = cost.take().unwrap_or_default();
                    let call = Call { op, routine, scratch: workspace, cost };
                    let number = self.calls.iter().position(|c| *c == call).unwrap_or_else(|| {
                        self.calls.push(call);
                        self.calls.len() - 1
                    });
                    body.steps.push(Step {
                        what: What::Call { call: number, buffers },
                        takes: workspace_slot.map(|slot| (slot, workspace)).into_iter().collect(),
                        gives: workspace_slot.into_iter().collect(),
                    });
                }
            }
        }
        if body.steps.len() > first {
            body.steps[first].takes.extend(own.iter().copied().zip(scratch));
            let last = body.steps.len() - 1;
            body.steps[last].gives.extend(own);
        }
        Ok(true)
    }

    /// A program in place of a node, on its operands.
    fn once(&mut self, program: &Graph, node: &Node, slots: &Slots) -> Result<What> {
        let values = || node.args.iter().chain(&node.results);
        let alignment: Vec<usize> = values().map(|&v| slots.alignment(v)).collect();
        let row = |&v: &Value| Rows { array: slots.get(v), bytes: slots.g.ty(v).bytes() };
        Ok(What::Scan(Box::new(Scan {
            body: self.body(program, &alignment)?,
            length: 1,
            reverse: false,
            consts: node.args.iter().map(|&v| slots.get(v)).collect(),
            carries: Vec::new(),
            xs: Vec::new(),
            ys: node.results.iter().map(row).collect(),
        })))
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
        // carries begin as they are handed in, then lie in memory of the loop's own, and end in the results
        let carried = |inits: &[Value], outs: &[Value]| -> Vec<usize> {
            inits.iter().zip(outs).map(|(&i, &o)| slots.alignment(i).min(slots.alignment(o))).collect()
        };
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
                let carried = carried(&node.args[n..n + m], &node.results[..m]);
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
                let carried = carried(inits, &node.results);
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

/// By result, the input whose memory it may be computed in; `last` is the last step that needs each value's memory.
fn donors(slots: &Slots, steps: &[StepValues], last: &[usize], results: std::ops::Range<usize>) -> Vec<Option<usize>> {
    let g = slots.g;
    let mut donors = vec![None; results.len()];
    let mut taken = vec![false; results.start];
    for (s, step) in steps.iter().enumerate() {
        // a thread of such a nest reads its elements before it writes them, and those of no other
        let pointwise = match &step.nest {
            Some(k) => matches!(schedule(&k.nest, &|p| slots.alignment(k.params[p])), Schedule::Points { .. }),
            None => false,
        };
        for &w in &step.writes {
            let Some(result) = slots.of[w.index()].and_then(|slot| slot.checked_sub(results.start)) else { continue };
            if result >= donors.len() || donors[result].is_some() {
                continue;
            }
            let bytes = g.ty(w).bytes();
            let read_once = |v: Value| step.reads.iter().filter(|&&r| slots.memory(r) == v).count() == 1;
            let in_place =
                |v: Value| pointwise && last[v.index()] == s && read_once(v) && step.in_place.contains(&(v, w));
            let fits = |v: &Value| {
                let dead = last[v.index()] < s;
                !taken[v.index()] && g.ty(*v).bytes() == bytes && bytes > 0 && (dead || in_place(*v))
            };
            if let Some(donor) = g.inputs().find(fits) {
                taken[donor.index()] = true;
                donors[result] = Some(donor.index());
            }
        }
    }
    donors
}

impl Body {
    fn push(&mut self, what: What) {
        self.steps.push(Step { what, takes: Vec::new(), gives: Vec::new() });
    }
}
