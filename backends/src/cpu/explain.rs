//! What a program is compiled to, as data for people and tools.

use super::cluster::{Clustered, Step as Work};
use super::codegen::{Code, Jit, Listing};
use super::compile::{Lowered, build, kernel_of, lower};
use super::divide_reductions::For;
use super::passes::lowered;
use super::places::Results;
use super::unroll::recurrence;
use gradloom_ir::{Graph, Op, Result, Value};
use gradloom_passes::PassContext;
use gradloom_runtime::{Program, Step};

/// What runs a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// A loop nest.
    Kernel,
    /// A whole `scan` or `while` as one loop over numbers in registers.
    Recurrence,
    /// A prepared call of a library function.
    Library,
    /// A call of a function of the host.
    Host,
    /// An op whose bodies are programs of their own.
    Control,
}

impl StepKind {
    /// The kind in a word.
    pub fn name(self) -> &'static str {
        match self {
            StepKind::Kernel => "kernel",
            StepKind::Recurrence => "recurrence",
            StepKind::Library => "library call",
            StepKind::Host => "host call",
            StepKind::Control => "control",
        }
    }
}

/// One step of a compiled program.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// What runs it.
    pub kind: StepKind,
    /// What it computes, in short.
    pub name: String,
    /// The nodes it computes, by position in the program, in order. One that is cheap may be computed by several steps.
    pub nodes: Vec<usize>,
    /// The values it reads from memory.
    pub reads: Vec<Value>,
    /// The values it writes to memory.
    pub writes: Vec<Value>,
    /// Estimated arithmetic operations of a run; those of bodies as often as they are known to run.
    pub flops: u64,
    /// Bytes of what it reads and writes; those of bodies as often as they are known to run.
    pub bytes: u64,
    /// Elements that are computed together.
    pub lanes: usize,
    /// The iterations that threads may share, and the multiple at which they are cut.
    pub split: (usize, usize),
    /// The loop nest or recurrence; empty for other kinds.
    pub nest: String,
    /// The code of it.
    pub code: Option<Listing>,
    /// Bytes of intermediate memory in use while it runs, its own scratch memory and that of its bodies included.
    pub live_bytes: usize,
    /// How often each body runs a call, where that is known; 1 otherwise.
    pub trips: u64,
    /// The steps of the bodies, in the order of [`gradloom_ir::Op::bodies`]; empty unless they are programs of their own.
    pub bodies: Vec<Vec<StepInfo>>,
}

/// A compiled program, explained.
pub struct Explained {
    /// The program as it is compiled, after the passes for this machine; positions and values are those of this graph.
    pub graph: Graph,
    /// What runs, in order.
    pub steps: Vec<StepInfo>,
    /// Bytes of intermediate memory.
    pub arena_bytes: usize,
}

/// Compiles an optimised graph as [`super::compile`] does and tells what came of it. `cx` observes the passes of this
/// backend.
///
/// # Errors
/// As [`super::compile`].
pub fn explain(g: &Graph, cx: &mut PassContext) -> Result<Explained> {
    let mut jit = Jit::new()?.with_listings();
    let graph = lowered(g, cx)?.into_owned();
    let mut program = build(&graph, &mut jit, Results::Lend)?;
    let code = jit.finish()?;
    program.place(&|id| code.kernel(id).func);
    let steps = steps(&graph, &program, &code)?;
    Ok(Explained { graph, steps, arena_bytes: program.arena_bytes })
}

/// The steps of a program that was built from `g`.
fn steps(g: &Graph, program: &Program, code: &Code) -> Result<Vec<StepInfo>> {
    let Lowered { c, steps: values, .. } = lower(g, For::Processor)?;
    let definitions = g.definitions();
    let mut infos = Vec::with_capacity(values.len());
    for (i, ((work, values), step)) in c.steps.iter().zip(values).zip(&program.steps).enumerate() {
        let moved = values.moved_bytes(g);
        let mut info = StepInfo {
            kind: StepKind::Control,
            name: String::new(),
            nodes: computed(g, &definitions, &c, work),
            reads: values.reads,
            writes: values.writes,
            flops: 0,
            bytes: moved,
            lanes: 1,
            split: (1, 1),
            nest: String::new(),
            code: None,
            live_bytes: program.live_bytes[i],
            trips: 1,
            bodies: Vec::new(),
        };
        let node = info.nodes.first().map(|&n| &g.nodes()[n]);
        match step {
            Step::Kernel { name, id, kernel, .. } => {
                (info.kind, info.name) = (StepKind::Kernel, name.clone());
                (info.flops, info.lanes, info.split) = (kernel.cost, kernel.lanes, (kernel.split, kernel.grain));
                info.code = code.listing(*id).cloned();
                match (values.nest, node) {
                    (Some(k), _) => info.nest = k.nest.to_string(),
                    (None, Some(node)) if matches!(node.op, Op::Custom { .. }) => {
                        info.nest = kernel_of(g, node)?.map_or_else(String::new, |nest| nest.to_string());
                    }
                    (None, Some(node)) => {
                        info.kind = StepKind::Recurrence;
                        info.nest = recurrence(g, node).map_or_else(String::new, |r| r.to_string());
                    }
                    _ => {}
                }
            }
            Step::Library { call, .. } => {
                (info.kind, info.name, info.flops) = (StepKind::Library, call.name.clone(), call.flops);
            }
            Step::Host(call) => (info.kind, info.name) = (StepKind::Host, format!("{:?}", call.callback)),
            Step::Control(control) => {
                info.trips = control.trip_count();
                info.name = node.map_or("", |n| n.op.name()).to_string();
                let graphs = node.map(|n| n.op.bodies()).unwrap_or_default();
                for (body, (_, inner)) in graphs.iter().zip(control.bodies()) {
                    info.flops = info.flops.saturating_add(inner.flops.saturating_mul(info.trips));
                    info.bytes = info.bytes.saturating_add(inner.bytes.saturating_mul(info.trips));
                    info.bodies.push(steps(body, inner, code)?);
                }
            }
        }
        infos.push(info);
    }
    Ok(infos)
}

/// The nodes a step computes: those of its values, and all that is inlined into them.
pub(super) fn computed(g: &Graph, definitions: &[Option<usize>], c: &Clustered, work: &Work) -> Vec<usize> {
    let roots = match work {
        Work::Library(i) | Work::Control(i) => return vec![*i],
        Work::Cluster(cluster) => &cluster.roots,
    };
    let in_memory = |v: Value| c.stored[v.index()] || c.alias[v.index()].is_some();
    let mut nodes = std::collections::BTreeSet::new();
    let mut stack: Vec<Value> = roots.to_vec();
    while let Some(v) = stack.pop() {
        if let Some(i) = definitions[v.index()]
            && nodes.insert(i)
        {
            stack.extend(g.nodes()[i].args.iter().filter(|a| !in_memory(**a)));
        }
    }
    nodes.into_iter().collect()
}
