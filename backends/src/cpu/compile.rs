//! From an optimised graph to a program.
//!
//! **Requires** the passes to have removed remat and custom derivative ops. **Ensures** every op has a compiled form:
//! one without is an error that names it, never a slow path.

use super::cluster::{Clustered, Step as Work, cluster};
use super::codegen::{Codegen, Jit, Output};
use super::memory::Arena;
use super::nest::{self, kernel};
use super::passes::lowered;
use super::trim_sorts::reads;
use super::unroll::recurrence;
use crate::kernel::{LoopNest, of_primitive};
use gradloom_ir::{Error, Graph, Node, Op, Result, Type, Value};
use gradloom_passes::PassContext;
use gradloom_runtime::{
    ALIGN, Buffer, Carry, Control, CpuProgram, HostCall, PARALLEL_COST, Prepared, Program, Rows, Slot, Step,
};

/// Compiles an optimised graph.
///
/// # Errors
/// If an op has no compiled form; the error names it.
pub fn compile(g: &Graph) -> Result<CpuProgram> {
    let mut jit = Jit::new()?;
    let mut program = build(&*lowered(g, &mut PassContext::from_env())?, &mut jit)?;
    let code = jit.finish()?;
    program.place(&|id| code.kernel(id).func);
    let output_bytes = g.output_types().iter().map(Type::bytes).collect();
    // SAFETY: the program was planned from the types of `g`, for the kernels in `code`.
    Ok(unsafe { CpuProgram::new(program, output_bytes, Box::new(code)) })
}

/// As [`compile`], with kernels that `code` takes up and that are yet to be placed.
pub(super) fn compile_into<M: Output>(g: &Graph, code: &mut Codegen<M>) -> Result<Program> {
    build(&*lowered(g, &mut PassContext::from_env())?, code)
}

/// Where a stored value lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Input(usize),
    Output(usize),
    Constant(usize),
    Arena(usize),
}

/// Memory planning of one program.
struct Planner<'a> {
    g: &'a Graph,
    c: &'a Clustered,
    /// The step after which each stored value is no longer read; `usize::MAX` for values copied to outputs at the end
    /// and for values whose place has passed on to a result.
    last_use: Vec<usize>,
    place: Vec<Option<Place>>,
    arena: Arena,
    /// Offset of each arena value.
    arena_values: Vec<usize>,
    /// Bytes of the arena in use at each step so far.
    live_bytes: Vec<usize>,
    donors: Vec<Option<usize>>,
    donated: Vec<bool>,
}

/// The values a step reads and computes, as stored values.
pub(super) struct StepValues {
    pub reads: Vec<Value>,
    pub writes: Vec<Value>,
    /// `(read, write)`: the write may use the place of the read.
    in_place: Vec<(Value, Value)>,
    pub nest: Option<nest::Kernel>,
}

/// A clustered graph with the loop nest of each cluster.
pub(super) struct Lowered {
    pub c: Clustered,
    /// The step that computes each value.
    computed_by: Vec<Option<usize>>,
    pub steps: Vec<StepValues>,
}

pub(super) fn lower(g: &Graph) -> Result<Lowered> {
    for node in g.nodes() {
        refuse(&node.op).map_err(|e| e.at(&node.loc))?;
    }
    let definitions = g.definitions();
    let mut c = cluster(g);
    early_results(g, &definitions, &mut c);
    let memory_of = |v: Value| c.alias[v.index()].unwrap_or(v);

    // who computes what, and who reads it
    let mut computed_by = vec![None; g.num_values()];
    for (s, work) in c.steps.iter().enumerate() {
        for v in step_roots(g, work) {
            computed_by[v.index()] = Some(s);
        }
    }
    let mut read_elsewhere = vec![false; g.num_values()];
    g.outputs().iter().for_each(|&v| read_elsewhere[memory_of(v).index()] = true);
    let mut steps: Vec<StepValues> = Vec::with_capacity(c.steps.len());
    for (s, work) in c.steps.iter().enumerate() {
        for v in reads_of(g, &definitions, &c, work) {
            if computed_by[v.index()] != Some(s) {
                read_elsewhere[v.index()] = true;
            }
        }
    }
    for work in &c.steps {
        steps.push(match work {
            Work::Cluster(cl) => {
                let written: Vec<Value> = cl.roots.iter().copied().filter(|r| read_elsewhere[r.index()]).collect();
                let k = kernel(g, &definitions, &c, cl, &written)?;
                let n = k.params.len() - k.written;
                StepValues {
                    reads: k.params[..n].to_vec(),
                    writes: k.params[n..].to_vec(),
                    in_place: k.in_place.iter().map(|&(r, w)| (k.params[r], k.params[w])).collect(),
                    nest: Some(k),
                }
            }
            Work::Library(i) | Work::Control(i) => {
                let node = &g.nodes()[*i];
                let updates = matches!(node.op, Op::DynamicUpdateSlice {} | Op::Scatter { .. });
                StepValues {
                    reads: node.args.iter().map(|&a| memory_of(a)).collect(),
                    writes: node.results.to_vec(),
                    // the operand is updated in place unless it is also what it is updated with
                    in_place: if updates && !node.args[1..].iter().any(|&a| memory_of(a) == memory_of(node.args[0])) {
                        vec![(memory_of(node.args[0]), node.results[0])]
                    } else {
                        Vec::new()
                    },
                    nest: None,
                }
            }
        });
    }
    Ok(Lowered { c, computed_by, steps })
}

/// The loop nests a program is compiled to, those of nested programs left out.
///
/// # Errors
/// As [`compile`].
pub fn loop_nests(g: &Graph) -> Result<Vec<LoopNest>> {
    Ok(lower(&*lowered(g, &mut PassContext::from_env())?)?
        .steps
        .into_iter()
        .filter_map(|s| s.nest.map(|k| k.nest))
        .collect())
}

pub(super) fn build<M: Output>(g: &Graph, jit: &mut Codegen<M>) -> Result<Program> {
    let Lowered { c, computed_by, steps } = lower(g)?;
    let mut last_use = vec![0; g.num_values()];
    for (s, step) in steps.iter().enumerate() {
        step.reads.iter().chain(&step.writes).for_each(|v| last_use[v.index()] = s);
    }
    let mut dying: Vec<Vec<Value>> = vec![Vec::new(); steps.len()];
    for v in steps.iter().flat_map(|s| s.reads.iter().chain(&s.writes)) {
        let list = &mut dying[last_use[v.index()]];
        if list.last() != Some(v) && !list.contains(v) {
            list.push(*v);
        }
    }
    let mut p = Planner {
        g,
        c: &c,
        last_use,
        place: vec![None; g.num_values()],
        arena: Arena::default(),
        arena_values: Vec::new(),
        live_bytes: Vec::new(),
        donors: vec![None; g.num_outputs()],
        donated: vec![false; g.num_inputs()],
    };
    let (constants, copies) = p.fixed_places(&computed_by);
    let (mut program_steps, mut step_bytes) = (Vec::new(), Vec::new());
    for (s, (work, step)) in c.steps.iter().zip(steps).enumerate() {
        step_bytes.push(step.reads.iter().chain(&step.writes).map(|&v| g.ty(v).bytes() as u64).sum());
        p.place_writes(s, &step);
        let slot = |v: Value, p: &Planner| p.slot(v, constants.len());
        match work {
            Work::Cluster(_) => {
                let k = step.nest.expect("clusters were lowered above");
                let id = jit.define(&k.nest)?;
                let params = k.params.iter().map(|&v| slot(v, &p)).collect();
                program_steps.push(Step::Kernel { name: k.nest.name, id, kernel: jit.kernel(id), params });
            }
            Work::Library(i) => {
                let node = &g.nodes()[*i];
                if let Some(nest) = kernel_of(g, node)? {
                    let id = jit.define(&nest)?;
                    let params = step.reads.iter().chain(&step.writes).map(|&v| slot(v, &p)).collect();
                    program_steps.push(Step::Kernel { name: nest.name, id, kernel: jit.kernel(id), params });
                    p.free_dead(s, &dying[s]);
                    continue;
                }
                let args: Box<[Slot]> = step.reads.iter().map(|&v| slot(v, &p)).collect();
                let outs: Box<[Slot]> = step.writes.iter().map(|&v| slot(v, &p)).collect();
                let host = match &node.op {
                    Op::HostCall { callback, .. } => Some(callback.clone()),
                    Op::Custom { primitive } => Some(primitive.callback()),
                    _ => None,
                };
                if let Some(callback) = host {
                    let types = node.args.iter().map(|&a| g.ty(a).clone());
                    program_steps.push(Step::Host(Box::new(HostCall {
                        callback,
                        args: args.iter().copied().zip(types).collect(),
                        outs: outs.into_vec(),
                        results: node.results.iter().map(|&r| g.ty(r).clone()).collect(),
                        loc: node.loc.clone(),
                    })));
                    p.free_dead(s, &dying[s]);
                    continue;
                }
                let call = prepare(g, &c, node)?;
                let scratch = p.arena.take(call.scratch_bytes);
                p.arena.free(scratch);
                program_steps.push(Step::Library { call, args, outs, scratch });
            }
            Work::Control(i) => {
                let node = &g.nodes()[*i];
                let args: Vec<Slot> = step.reads.iter().map(|&v| slot(v, &p)).collect();
                let outs: Vec<Slot> = step.writes.iter().map(|&v| slot(v, &p)).collect();
                if let Some(r) = recurrence(g, node) {
                    let id = jit.define_recurrence(&r)?;
                    let params = args.into_iter().chain(outs).collect();
                    program_steps.push(Step::Kernel { name: r.name, id, kernel: jit.kernel(id), params });
                    p.free_dead(s, &dying[s]);
                    continue;
                }
                let control = control(g, node, &args, &outs, &mut p.arena, jit)?;
                program_steps.push(Step::Control(Box::new(control)));
            }
        }
        p.free_dead(s, &dying[s]);
    }
    let slots = |(o, v, n): (usize, Value, usize)| (o, p.slot(v, constants.len()), n);
    let copies = copies.into_iter().map(slots).collect();
    Ok(Program {
        inputs: g.num_inputs(),
        outputs: g.num_outputs(),
        constant_bytes: constants.iter().map(Buffer::len).collect(),
        constants,
        arena_values: p.arena_values.clone(),
        arena_bytes: p.arena.bytes(),
        live_bytes: p.live_bytes.clone(),
        steps: program_steps,
        copies,
        donors: p.donors.clone(),
        flops: 0,
        bytes: 0,
        step_bytes,
        parallel: false,
        calls_host: false,
    })
}

/// Moves loop nests that compute nothing but results of the program to where their operands are there, and where what
/// they read of the inputs is not read by others any more (a result may be computed in an input's place): an optimizer
/// then takes each gradient while it is in the cache, and its memory is free for the next.
fn early_results(g: &Graph, definitions: &[Option<usize>], c: &mut Clustered) {
    let mut is_result = vec![false; g.num_values()];
    g.outputs().iter().for_each(|o| is_result[c.alias[o.index()].unwrap_or(*o).index()] = true);
    let mut step_of = vec![None; g.num_values()];
    // the last step so far that reads each input
    let mut reader = vec![None; g.num_inputs()];
    // where a step goes: behind this step as it was, after so many others that go there
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(c.steps.len());
    for (s, work) in c.steps.iter().enumerate() {
        let reads = reads_of(g, definitions, c, work);
        let roots = step_roots(g, work);
        let moves = matches!(work, Work::Cluster(_)) && roots.iter().all(|r| is_result[r.index()]);
        let before = |v: &Value| match reader.get(v.index()) {
            Some(reader) => *reader,
            None => step_of[v.index()].filter(|&from| from != s),
        };
        let last: Option<(usize, usize)> = reads.iter().filter_map(before).map(|t: usize| places[t]).max();
        places.push(match (moves, last) {
            (true, Some((at, depth))) => (at, depth + 1),
            _ => (s, 0),
        });
        roots.iter().for_each(|r| step_of[r.index()] = Some(s));
        for v in reads.iter().filter(|v| v.index() < g.num_inputs()) {
            reader[v.index()] = Some(s);
        }
    }
    let mut order: Vec<usize> = (0..c.steps.len()).collect();
    order.sort_by_key(|&s| (places[s], s));
    let mut steps: Vec<Option<Work>> = std::mem::take(&mut c.steps).into_iter().map(Some).collect();
    c.steps = order.into_iter().filter_map(|s| steps[s].take()).collect();
}

/// The values a step computes.
pub(super) fn step_roots<'a>(g: &'a Graph, work: &'a Work) -> &'a [Value] {
    match work {
        Work::Cluster(cl) => &cl.roots,
        Work::Library(i) | Work::Control(i) => &g.nodes()[*i].results,
    }
}

/// The stored values a step reads, through everything inlined into it.
pub(super) fn reads_of(g: &Graph, definitions: &[Option<usize>], c: &Clustered, work: &Work) -> Vec<Value> {
    let memory = |v: Value| c.alias[v.index()].or(c.stored[v.index()].then_some(v));
    let (mut seen, mut reads, mut stack) = (std::collections::HashSet::new(), Vec::new(), Vec::new());
    match work {
        Work::Library(i) | Work::Control(i) => return g.nodes()[*i].args.iter().filter_map(|&a| memory(a)).collect(),
        Work::Cluster(cl) => {
            for r in &cl.roots {
                stack.extend(&g.nodes()[definitions[r.index()].expect("a root is computed")].args);
            }
        }
    }
    while let Some(v) = stack.pop() {
        if !seen.insert(v) {
            continue;
        }
        match memory(v) {
            Some(m) => reads.push(m),
            None => {
                if let Some(i) = definitions[v.index()] {
                    stack.extend(&g.nodes()[i].args);
                }
            }
        }
    }
    reads
}

impl Planner<'_> {
    fn slot(&self, v: Value, constants: usize) -> Slot {
        let v = self.c.alias[v.index()].unwrap_or(v);
        let (inputs, outputs) = (self.g.num_inputs(), self.g.num_outputs());
        let slot = match self.place[v.index()].expect("every stored value has a place before its first use") {
            Place::Input(i) => i,
            Place::Output(i) => inputs + i,
            Place::Constant(i) => inputs + outputs + i,
            Place::Arena(i) => inputs + outputs + constants + i,
        };
        slot as Slot
    }

    /// Places inputs, constants and outputs; returns the constants and the results that are copies of other values.
    fn fixed_places(&mut self, computed_by: &[Option<usize>]) -> (Vec<Buffer>, Vec<(usize, Value, usize)>) {
        for v in self.g.inputs() {
            self.place[v.index()] = Some(Place::Input(v.index()));
        }
        let mut constants = Vec::new();
        for node in self.g.nodes() {
            if let Op::Constant { value } = &node.op
                && self.c.stored[node.results[0].index()]
            {
                self.place[node.results[0].index()] = Some(Place::Constant(constants.len()));
                constants.push(Buffer::from_bytes(value.bytes()));
            }
        }
        let mut copies = Vec::new();
        for (i, &o) in self.g.outputs().iter().enumerate() {
            let v = self.c.alias[o.index()].unwrap_or(o);
            debug_assert!(self.c.stored[v.index()], "outputs are stored");
            if computed_by[v.index()].is_some() && self.place[v.index()].is_none() {
                self.place[v.index()] = Some(Place::Output(i));
            } else {
                copies.push((i, v, self.g.ty(v).bytes()));
                self.last_use[v.index()] = usize::MAX;
            }
        }
        (constants, copies)
    }

    /// Finds places for what step `s` computes.
    fn place_writes(&mut self, s: usize, step: &StepValues) {
        let mut taken: Vec<Value> = Vec::new();
        for &w in &step.writes {
            let donor = step.in_place.iter().find(|(r, to)| {
                *to == w && self.last_use[r.index()] == s && !taken.contains(r) && self.reusable(*r, w)
            });
            match (self.place[w.index()], donor) {
                (Some(Place::Output(o)), donor) => {
                    // an output may be computed in the buffer of an input that is not needed any more
                    let input = match donor {
                        Some((r, _)) => match self.place[r.index()] {
                            Some(Place::Input(i)) => Some((i, *r)),
                            _ => None,
                        },
                        None => self.dead_input(s, w),
                    };
                    if let Some((i, r)) = input {
                        self.donors[o] = Some(i);
                        self.donated[i] = true;
                        taken.push(r);
                    }
                }
                (Some(_), _) => {}
                (None, Some((r, _))) if matches!(self.place[r.index()], Some(Place::Arena(_))) => {
                    // the arena place passes on: the read value no longer owns it
                    let place = self.place[r.index()];
                    taken.push(*r);
                    self.place[w.index()] = place;
                    self.last_use[r.index()] = usize::MAX;
                }
                (None, _) => {
                    let offset = self.arena.take(self.g.ty(w).bytes());
                    self.place[w.index()] = Some(Place::Arena(self.arena_values.len()));
                    self.arena_values.push(offset);
                }
            }
        }
    }

    fn reusable(&self, r: Value, w: Value) -> bool {
        let same = self.g.ty(r).bytes() == self.g.ty(w).bytes();
        let free = match self.place[r.index()] {
            Some(Place::Input(i)) => !self.donated[i],
            Some(Place::Arena(_)) => true,
            _ => false,
        };
        same && free
    }

    /// An input of the type of `w` that nothing reads from step `s` on.
    fn dead_input(&self, s: usize, w: Value) -> Option<(usize, Value)> {
        let ty = self.g.ty(w);
        if ty.bytes() == 0 {
            return None;
        }
        (0..self.g.num_inputs()).map(Value::from_index).find_map(|v| {
            let unread = self.last_use[v.index()] < s;
            (unread && !self.donated[v.index()] && self.g.ty(v) == ty).then_some((v.index(), v))
        })
    }

    /// Frees the arena places whose last reader was step `s`.
    fn free_dead(&mut self, s: usize, dying: &[Value]) {
        for v in dying {
            // a place that was passed on is freed by its new owner
            if self.last_use[v.index()] == s
                && let Some(Place::Arena(i)) = self.place[v.index()]
            {
                self.arena.free(self.arena_values[i]);
            }
        }
        self.live_bytes.push(self.arena.mark());
    }
}

/// The loop nest of an op of the user's own that has one.
pub(super) fn kernel_of(g: &Graph, node: &Node) -> Result<Option<LoopNest>> {
    let Op::Custom { primitive } = &node.op else { return Ok(None) };
    let types: Vec<Type> = node.args.iter().map(|&a| g.ty(a).clone()).collect();
    of_primitive(primitive, &types).map_err(|e| e.at(&node.loc))
}

/// How many steps of a scan without carries run at once.
fn frames_at_once(body: &Program, length: usize) -> usize {
    let worth = body.estimated_flops().saturating_mul(length as u64) >= PARALLEL_COST;
    if worth && !body.has_host_call() { length.min(rayon::current_num_threads()).max(1) } else { 1 }
}

fn prepare(g: &Graph, c: &Clustered, node: &Node) -> Result<Prepared> {
    // an operand is what its memory holds
    let operand = |v: &Value| Type::new(g.ty(c.alias[v.index()].unwrap_or(*v)).dtype, &g.ty(*v).shape);
    let results: Vec<Type> = node.results.iter().map(|&v| g.ty(v).clone()).collect();
    let reads = matches!(node.op, Op::Sort { .. } | Op::Qr { .. }).then(|| reads(g, node));
    let call = Prepared::new(node.op.clone(), node.args.iter().map(operand).collect(), &results, reads);
    call.map_err(|e| e.at(&node.loc))
}

/// Ops that must not reach the backend, or have no meaning outside a mapped axis.
fn refuse(op: &Op) -> Result<()> {
    match op {
        Op::AllReduce { axis_name, .. } | Op::AxisIndex { axis_name } => {
            Err(Error::unmapped_axis(op.name(), axis_name))
        }
        Op::CustomLinear { .. } => Err(Error::reverse_mode_only()),
        Op::Remat { .. } | Op::CustomJvp { .. } | Op::CustomVjp { .. } => {
            Err(Error::internal(op.name(), "reached the backend; the pass `inline_bodies` removes it"))
        }
        _ => Ok(()),
    }
}

fn control<M: Output>(
    g: &Graph,
    node: &Node,
    args: &[Slot],
    outs: &[Slot],
    arena: &mut Arena,
    jit: &mut Codegen<M>,
) -> Result<Control> {
    let mut taken = Vec::new();
    let mut take = |bytes: usize| {
        let at = arena.take(bytes);
        taken.push(at);
        at
    };
    let bytes = |v: Value| g.ty(v).bytes();
    // carry `k` of a loop whose body is `body` with `consts` inputs before the carries
    let carry =
        |take: &mut dyn FnMut(usize) -> usize, body: &Program, consts: usize, k: usize, init: Slot, out: Slot| {
            let n = bytes(node.results[k]);
            let in_place = body.donors[k] == Some(consts + k);
            Carry { init, out, bytes: n, buffers: (!in_place).then(|| [take(n), take(n)]) }
        };
    let control = match &node.op {
        Op::Scan { body, length, reverse, consts, carry: carries } => {
            let (n, m) = (*consts, *carries);
            let program = build(body, jit)?;
            let frames = if m == 0 { frames_at_once(&program, *length) } else { 1 };
            let frame = take(program.frame_bytes().next_multiple_of(ALIGN) * frames);
            let rows = |slots: &[Slot], values: &[Value]| -> Vec<Rows> {
                slots.iter().zip(values).map(|(&slot, &v)| Rows { slot, bytes: bytes(v) / (*length).max(1) }).collect()
            };
            Control::Scan {
                frame,
                frames,
                length: *length,
                reverse: *reverse,
                consts: args[..n].to_vec(),
                carries: (0..m).map(|k| carry(&mut take, &program, n, k, args[n + k], outs[k])).collect(),
                xs: rows(&args[n + m..], &node.args[n + m..]),
                ys: rows(&outs[m..], &node.results[m..]),
                body: program,
            }
        }
        Op::While { cond, body, cond_consts, body_consts } => {
            let (cc, bc) = (*cond_consts, *body_consts);
            let (test, program) = (build(cond, jit)?, build(body, jit)?);
            let (cond_frame, frame, flag) = (take(test.frame_bytes()), take(program.frame_bytes()), take(1));
            let m = node.results.len();
            Control::While {
                cond_frame,
                cond_consts: args[..cc].to_vec(),
                flag,
                frame,
                body_consts: args[cc..cc + bc].to_vec(),
                carries: (0..m).map(|k| carry(&mut take, &program, bc, k, args[cc + bc + k], outs[k])).collect(),
                cond: Box::new(test),
                body: program,
            }
        }
        Op::Switch { branches } => {
            let branches: Result<Vec<Program>> = branches.iter().map(|b| build(b, jit)).collect();
            let branches = branches?;
            let frame = take(branches.iter().map(Program::frame_bytes).max().unwrap_or(0));
            Control::Switch { index: args[0], branches, frame, args: args[1..].to_vec(), outs: outs.to_vec() }
        }
        op => return Err(Error::internal(op.name(), "is not a control op")),
    };
    taken.into_iter().for_each(|at| arena.free(at));
    Ok(control)
}
