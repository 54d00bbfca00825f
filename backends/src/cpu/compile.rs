//! From an optimised graph to a program.
//!
//! **Requires** the passes to have removed remat and custom derivative ops. **Ensures** every op has a compiled form:
//! one without is an error that names it, never a slow path.

use super::cluster::{Clustered, Step as Work, cluster};
use super::codegen::{Codegen, Jit, Output};
use super::divide_reductions::For;
use super::memory::Arena;
use super::nest::{self, kernel};
use super::passes::lowered;
use super::places::{Planner, Results};
use super::trim_sorts::reads;
use super::unroll::recurrence;
use crate::kernel::{LoopNest, Recurrence, of_primitive};
use gradloom_ir::{Error, FftKind, Graph, Node, Op, Result, Type, Value};
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
    let mut program = build(&*lowered(g, &mut PassContext::from_env())?, &mut jit, Results::Lend)?;
    let code = jit.finish()?;
    program.place(&|id| code.kernel(id).func);
    let output_bytes = g.output_types().iter().map(Type::bytes).collect();
    // SAFETY: the program was planned from the types of `g`, for the kernels in `code`.
    Ok(unsafe { CpuProgram::new(program, output_bytes, Box::new(code)) })
}

/// As [`compile`], with kernels that `code` takes up and that are yet to be placed.
pub(super) fn compile_into<M: Output>(g: &Graph, code: &mut Codegen<M>) -> Result<Program> {
    build(&*lowered(g, &mut PassContext::from_env())?, code, Results::Lend)
}

/// The values a step reads and computes, as stored values.
pub(crate) struct StepValues {
    pub reads: Vec<Value>,
    /// The same as the program names them: a library call or a loop is handed views, a loop nest what they are part of.
    pub args: Vec<Value>,
    pub writes: Vec<Value>,
    /// `(read, write)`: the write may use the place of the read.
    pub in_place: Vec<(Value, Value)>,
    pub nest: Option<nest::Kernel>,
}

impl StepValues {
    /// Bytes it reads and writes.
    pub fn moved_bytes(&self, g: &Graph) -> u64 {
        let read = |(&v, &memory): (&Value, &Value)| g.ty(v).numel() * g.ty(memory).dtype.size();
        let reads = self.args.iter().zip(&self.reads).map(read);
        reads.chain(self.writes.iter().map(|&v| g.ty(v).bytes())).map(|n| n as u64).sum()
    }
}

/// A clustered graph with the loop nest of each cluster.
pub(crate) struct Lowered {
    pub c: Clustered,
    /// The step that computes each value.
    pub computed_by: Vec<Option<usize>>,
    pub steps: Vec<StepValues>,
}

pub(crate) fn lower(g: &Graph, machine: For) -> Result<Lowered> {
    for node in g.nodes() {
        refuse(&node.op).map_err(|e| e.at(&node.loc))?;
    }
    let definitions = g.definitions();
    let mut c = cluster(g, machine);
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
                    args: k.params[..n].to_vec(),
                    writes: k.params[n..].to_vec(),
                    in_place: k.in_place.iter().map(|&(r, w)| (k.params[r], k.params[w])).collect(),
                    nest: Some(k),
                }
            }
            Work::Library(i) | Work::Control(i) => {
                let node = &g.nodes()[*i];
                // a transform of complex numbers works in place, too
                let updates = match &node.op {
                    Op::DynamicUpdateSlice {} | Op::Scatter { .. } => true,
                    Op::Fft { kind, .. } => matches!(kind, FftKind::Fft | FftKind::Ifft),
                    _ => false,
                };
                StepValues {
                    reads: node.args.iter().map(|&a| memory_of(a)).collect(),
                    args: node.args.to_vec(),
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
    Ok(lower(&*lowered(g, &mut PassContext::from_env())?, For::Processor)?
        .steps
        .into_iter()
        .filter_map(|s| s.nest.map(|k| k.nest))
        .collect())
}

pub(super) fn build<M: Output>(g: &Graph, jit: &mut Codegen<M>, results: Results) -> Result<Program> {
    let Lowered { c, computed_by, steps } = lower(g, For::Processor)?;
    let mut p = Planner::new(g, &c, &steps);
    let (constants, copies) = p.fixed_places(&computed_by);
    let (mut program_steps, mut step_bytes) = (Vec::new(), Vec::new());
    for (s, (work, mut step)) in c.steps.iter().zip(steps).enumerate() {
        step_bytes.push(step.moved_bytes(g));
        let mut inner = None;
        if let Work::Control(i) = work {
            let node = &g.nodes()[*i];
            inner = Some(match recurrence(g, node) {
                Some(r) => Inner::Recurrence(Box::new(r)),
                None => {
                    let bodies = node.op.bodies();
                    let bodies: Result<Vec<Program>> = bodies.iter().map(|b| build(b, jit, Results::Keep)).collect();
                    let bodies = bodies?;
                    step.in_place = in_place_of_loop(node, &bodies, &step);
                    Inner::Bodies(bodies)
                }
            });
        }
        p.place_writes(s, &step);
        match work {
            Work::Cluster(_) => {
                let k = step.nest.expect("clusters were lowered above");
                let id = jit.define(&k.nest)?;
                let params = k.params.iter().map(|&v| p.slot(v)).collect();
                program_steps.push(Step::Kernel { name: k.nest.name, id, kernel: jit.kernel(id), params });
            }
            Work::Library(i) => {
                let node = &g.nodes()[*i];
                if let Some(nest) = kernel_of(g, node)? {
                    let id = jit.define(&nest)?;
                    let params = step.args.iter().chain(&step.writes).map(|&v| p.slot(v)).collect();
                    program_steps.push(Step::Kernel { name: nest.name, id, kernel: jit.kernel(id), params });
                    p.end_step(s);
                    continue;
                }
                let args: Box<[Slot]> = step.args.iter().map(|&v| p.slot(v)).collect();
                let outs: Box<[Slot]> = step.writes.iter().map(|&v| p.slot(v)).collect();
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
                    p.end_step(s);
                    continue;
                }
                let call = prepare(g, &c, node)?;
                let scratch = p.arena.take(call.scratch_bytes);
                p.arena.free(scratch);
                program_steps.push(Step::Library { call, args, outs, scratch });
            }
            Work::Control(i) => {
                let node = &g.nodes()[*i];
                let args: Vec<Slot> = step.args.iter().map(|&v| p.slot(v)).collect();
                let outs: Vec<Slot> = step.writes.iter().map(|&v| p.slot(v)).collect();
                match inner.expect("made above") {
                    Inner::Recurrence(r) => {
                        let id = jit.define_recurrence(&r)?;
                        let params = args.into_iter().chain(outs).collect();
                        program_steps.push(Step::Kernel { name: r.name, id, kernel: jit.kernel(id), params });
                    }
                    Inner::Bodies(bodies) => {
                        let control = control(g, node, bodies, &args, &outs, &mut p.arena)?;
                        program_steps.push(Step::Control(Box::new(control)));
                    }
                }
            }
        }
        p.end_step(s);
    }
    let copies = copies.into_iter().map(|(o, v, n): (usize, Value, usize)| (o, p.slot(v), n)).collect();
    let memory = p.finish(&mut program_steps, results);
    Ok(Program {
        inputs: g.num_inputs(),
        outputs: g.num_outputs(),
        constant_bytes: constants.iter().map(Buffer::len).collect(),
        constants,
        views: memory.views,
        arena_values: memory.values,
        lent: memory.lent,
        arena_bytes: memory.bytes,
        live_bytes: memory.live,
        steps: program_steps,
        copies,
        donors: memory.donors,
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
pub(crate) fn step_roots<'a>(g: &'a Graph, work: &'a Work) -> &'a [Value] {
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

/// The loop nest of an op of the user's own that has one.
pub(crate) fn kernel_of(g: &Graph, node: &Node) -> Result<Option<LoopNest>> {
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

/// What an op with bodies is compiled to.
enum Inner {
    Recurrence(Box<Recurrence>),
    Bodies(Vec<Program>),
}

/// What of a scan's results may use the place of an operand, as its body allows: a row is written when the row of the
/// operand has been read, a carry where it begins. Operands that are read in another way, too, keep their place.
fn in_place_of_loop(node: &Node, bodies: &[Program], step: &StepValues) -> Vec<(Value, Value)> {
    let (Op::Scan { consts, carry, .. }, [body]) = (&node.op, bodies) else { return Vec::new() };
    let pair = |(k, donor): (usize, &Option<usize>)| {
        let operand = donor.filter(|&i| if k < *carry { i == consts + k } else { i >= consts + carry })?;
        let memory = step.reads[operand];
        let alone = step.reads.iter().filter(|&&r| r == memory).count() == 1;
        alone.then_some((memory, node.results[k]))
    };
    body.donors.iter().enumerate().filter_map(pair).collect()
}

fn control(
    g: &Graph,
    node: &Node,
    bodies: Vec<Program>,
    args: &[Slot],
    outs: &[Slot],
    arena: &mut Arena,
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
    let mut bodies = bodies.into_iter();
    let mut body = || bodies.next().expect("as many as the op has");
    let control = match &node.op {
        Op::Scan { length, reverse, consts, carry: carries, .. } => {
            let (n, m) = (*consts, *carries);
            let program = body();
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
        Op::While { cond_consts, body_consts, .. } => {
            let (cc, bc) = (*cond_consts, *body_consts);
            let (test, program) = (body(), body());
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
        Op::Switch { .. } => {
            let branches: Vec<Program> = bodies.collect();
            let frame = take(branches.iter().map(Program::frame_bytes).max().unwrap_or(0));
            Control::Switch { index: args[0], branches, frame, args: args[1..].to_vec(), outs: outs.to_vec() }
        }
        op => return Err(Error::internal(op.name(), "is not a control op")),
    };
    taken.into_iter().for_each(|at| arena.free(at));
    Ok(control)
}
