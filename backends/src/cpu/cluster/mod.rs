//! Clusters: which values are stored, and which ops run together as one loop nest.
//!
//! Every value is one of
//! - *stored*: it has a place in memory (inputs, outputs, operands of library calls, values worth sharing);
//! - an *alias* of a stored value: the same bytes under another shape, some of them that lie side by side ([`views`]), or 8-bit
//!   integers that products widen;
//! - *inlined*: computed again, in registers, in each cluster that uses it.
//!
//! A [`Step`] is a cluster (one loop nest), a library call, or an op with bodies. Steps are in an order in which
//! operands come before uses.
//!
//! **Requires** a graph without remat and custom derivative ops. **Ensures** every output, and every operand of a
//! step other than a cluster, is stored or an alias. **Never** changes what is computed.

mod sharing;
mod steps;
mod views;

pub(super) use steps::{Obstacle, obstacle};

use super::divide_reductions::For;
use super::turn_components::OFTEN;
use gradloom_ir::{Binary, DType, Graph, Node, Op, Shape, Unary, Value};
use sharing::reconsider;
use smallvec::SmallVec;
use steps::Grouper;

/// A value inlined into more than one cluster may cost at most this much each time (in simple operations).
pub(super) const MAX_RECOMPUTE: u32 = 8;

/// A value may be computed again along a broadcast axis if it costs at most this much.
const MAX_BROADCAST_RECOMPUTE: u32 = 4;

/// What a transcendental function or a division counts for.
const HEAVY: u32 = 12;

/// A transpose of fewer elements may be part of a loop nest: they stay in the first-level cache.
const MIN_TURNED: usize = 1 << 12;

/// A value whose expression grows beyond this cost is stored, whoever uses it: code size stays linear in the graph.
const MAX_EXPRESSION: u32 = 600;

/// The unit of execution.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A loop nest over `shape`.
    Cluster(Cluster),
    /// The node at this position, by a library call or a call of the host.
    Library(usize),
    /// The node at this position, which has bodies.
    Control(usize),
}

/// Values computed by one loop nest.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// Iteration space: the shape of the roots, or of what is reduced.
    pub shape: Shape,
    /// The reduced axes of `shape`; empty if nothing is reduced.
    pub reduced: Shape,
    /// The values it computes, in SSA order. With reductions: results of `reduce` nodes over exactly these axes, and
    /// values of the reduced shape computed from them.
    pub roots: SmallVec<[Value; 4]>,
    /// Operations inlined so far.
    size: u32,
}

impl Cluster {
    /// Values of one shape, nothing reduced.
    pub fn new(shape: Shape, roots: SmallVec<[Value; 4]>) -> Cluster {
        Cluster { shape, reduced: Shape::new(), roots, size: 0 }
    }
}

/// A clustered graph.
#[derive(Debug)]
pub(crate) struct Clustered {
    /// The steps in order.
    pub steps: Vec<Step>,
    /// Which values have memory of their own.
    pub stored: Vec<bool>,
    /// The stored value whose bytes a value shares.
    pub alias: Vec<Option<Value>>,
    /// The element of that value which is the first of this one.
    pub first: Vec<usize>,
}

/// Aliases, as [`Clustered`] has them.
type Aliases = (Vec<Option<Value>>, Vec<usize>);

/// Whether the op can be part of a loop nest.
fn is_fusible(g: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select {}
        | Op::Convert { .. }
        | Op::Bitcast { .. }
        | Op::Threefry { .. }
        | Op::Iota { .. }
        | Op::Broadcast { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Reverse { .. } => true,
        Op::Constant { value } => value.ty().numel() == 1 || value.splat_value().is_some(),
        Op::Reshape { shape } => reshape_is_affine(&g.ty(node.args[0]).shape, shape),
        Op::Reduce { .. }
        | Op::Pad { .. }
        | Op::Concatenate { .. }
        | Op::DynamicSlice { .. }
        | Op::DynamicUpdateSlice {}
        | Op::Gather { .. }
        | Op::Scatter { .. }
        | Op::DotGeneral { .. }
        | Op::Convolution { .. }
        | Op::ArgReduce { .. }
        | Op::Cumulative { .. }
        | Op::ReduceWindow { .. }
        | Op::SelectAndGather { .. }
        | Op::SelectAndScatter { .. }
        | Op::Sort { .. }
        | Op::Fft { .. }
        | Op::AllReduce { .. }
        | Op::AxisIndex { .. }
        | Op::Barrier {}
        | Op::HostCall { .. }
        | Op::Custom { .. }
        | gradloom_ir::body_ops!()
        | gradloom_ir::linalg_ops!() => false,
    }
}

/// Whether every operand index is an affine function of result indices: each operand axis splits into consecutive
/// result axes (axes of length 1 may come and go).
pub(super) fn reshape_is_affine(from: &[usize], to: &[usize]) -> bool {
    split_axes(from, to).is_some()
}

/// For each operand axis the result axes it splits into.
pub(crate) fn split_axes(from: &[usize], to: &[usize]) -> Option<Vec<SmallVec<[usize; 4]>>> {
    if from.contains(&0) {
        return None;
    }
    let mut groups = Vec::with_capacity(from.len());
    let mut next = 0;
    for &n in from {
        let mut group = SmallVec::new();
        let mut product = 1;
        while product < n {
            let &m = to.get(next)?;
            if m != 1 {
                group.push(next);
            }
            product *= m;
            next += 1;
        }
        if product != n {
            return None;
        }
        groups.push(group);
    }
    to[next..].iter().all(|&m| m == 1).then_some(groups)
}

/// Whether the op only renames its operand's bytes.
fn is_alias(op: &Op) -> bool {
    matches!(op, Op::Reshape { .. } | Op::Barrier {})
}

/// Whether a broadcast repeats elements.
fn expands(g: &Graph, node: &Node) -> bool {
    matches!(node.op, Op::Broadcast { .. }) && g.ty(node.results[0]).numel() > g.ty(node.args[0]).numel()
}

/// Whether the node is a transpose after which other elements are side by side, of an array that is not made of a smaller one.
/// In a loop nest with other ops each element of one side would be in another cache line.
fn turns_memory(g: &Graph, node: &Node, definitions: &[Option<usize>]) -> bool {
    if !moves_innermost(g, node) {
        return false;
    }
    let x = node.args[0];
    let made = definitions[x.index()].map(|i| &g.nodes()[i].op);
    let repeats = matches!(made, Some(Op::Broadcast { .. } | Op::Iota { .. } | Op::Constant { .. }));
    g.ty(x).numel() >= MIN_TURNED && !repeats
}

/// Whether the node reads a transpose, after which other elements are side by side, so often that laying it out costs nothing beside that.
fn repeats_turned(g: &Graph, node: &Node, definitions: &[Option<usize>]) -> bool {
    expands(g, node)
        && g.ty(node.results[0]).numel() / OFTEN >= g.ty(node.args[0]).numel()
        && definitions[node.args[0].index()].is_some_and(|i| moves_innermost(g, &g.nodes()[i]))
}

/// Whether the node is a transpose that does not keep the innermost axis in its place.
fn moves_innermost(g: &Graph, node: &Node) -> bool {
    let Op::Transpose { perm } = &node.op else { return false };
    let shape = &g.ty(node.args[0]).shape;
    let innermost = (0..shape.len()).rev().find(|&a| shape[a] != 1);
    perm.iter().rev().copied().find(|&a| shape[a] != 1) != innermost
}

/// What one evaluation of the op costs, apart from its operands.
pub(super) fn own_cost(op: &Op) -> u32 {
    match op {
        Op::Unary(u) => match u {
            Unary::Real | Unary::Imag => 0,
            Unary::Neg | Unary::Abs | Unary::Not | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Sign => 1,
            Unary::Sqrt | Unary::Rsqrt | Unary::IsFinite | Unary::PopulationCount | Unary::LeadingZeros => 3,
            _ => HEAVY,
        },
        Op::Binary(b) => match b {
            Binary::Div => 4,
            Binary::Rem | Binary::Pow | Binary::Atan2 | Binary::Zeta => HEAVY,
            _ => 1,
        },
        Op::Compare(_) | Op::Select {} | Op::Convert { .. } | Op::Bitcast { .. } => 1,
        Op::Threefry { .. } => 100,
        _ => 0,
    }
}

/// Where the roots that a value is inlined into are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Users {
    None,
    One(u32),
    Many,
}

impl Users {
    fn join(self, other: Users) -> Users {
        match (self, other) {
            (Users::None, x) | (x, Users::None) => x,
            (Users::One(a), Users::One(b)) if a == b => self,
            _ => Users::Many,
        }
    }
}

/// Why a value has memory of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reason {
    /// It is an argument or a result of the program.
    Interface,
    /// What computes it is no loop nest.
    Made,
    /// The node at this position reads it from memory.
    Read(usize),
    /// Several loop nests use it, and it costs this much to compute.
    Shared(u32),
    /// The broadcast at this position would compute it once for each copy, at this cost.
    Repeated(usize, u32),
    /// Its expression has grown too large.
    Large,
    /// It is a transpose that is large, for memory is read and written by whole lines only where nothing else is done, or read often.
    Exchanged,
}

/// Clusters a graph.
pub(super) fn cluster(g: &Graph, machine: For) -> Clustered {
    decide(g, machine).0
}

/// Why each value is stored that is.
pub(super) fn reasons(g: &Graph) -> Vec<Option<Reason>> {
    decide(g, For::Processor).1
}

/// For each value the stored value whose memory it is, if it has any.
pub fn storage(g: &Graph) -> gradloom_passes::Storage {
    let Clustered { stored, alias, .. } = cluster(g, For::Processor);
    let of = |(v, (stored, alias)): (usize, (bool, Option<Value>))| alias.or(stored.then(|| Value::from_index(v)));
    stored.into_iter().zip(alias).enumerate().map(of).collect()
}

fn decide(g: &Graph, machine: For) -> (Clustered, Vec<Option<Reason>>) {
    let definitions = g.definitions();
    let (cost, large) = inline_costs(g);
    let (mut reasons, aliases) = decide_stored(g, machine, &definitions, &cost, large);
    let grouped = |reasons: &[Option<Reason>], (alias, first): Aliases| {
        let stored: Vec<bool> = reasons.iter().map(Option::is_some).collect();
        let steps = Grouper { g, definitions: &definitions, cost: &cost, stored: &stored, alias: &alias }.steps();
        Clustered { steps, stored, alias, first }
    };
    let mut c = grouped(&reasons, aliases);
    if reconsider(g, &c, &mut reasons) {
        c = grouped(&reasons, (c.alias, c.first));
    }
    (c, reasons)
}

/// An upper bound of what inlining each value costs, if everything it is computed from is inlined too, and the
/// values at which an expression has grown too large.
fn inline_costs(g: &Graph) -> (Vec<u32>, Vec<bool>) {
    let mut cost = vec![1; g.num_values()];
    let mut large = vec![false; g.num_values()];
    for node in g.nodes().iter().filter(|n| is_fusible(g, n)) {
        let r = node.results[0].index();
        let sum = node.args.iter().fold(own_cost(&node.op), |s, a| s.saturating_add(cost[a.index()]));
        large[r] = sum > MAX_EXPRESSION;
        cost[r] = match node.op {
            Op::Constant { .. } | Op::Iota { .. } => 0,
            _ if large[r] => 1,
            _ => sum,
        };
    }
    (cost, large)
}

/// By value: whether it is 8-bit integers as f32, which nothing reads but products with floats. These widen the integers
/// themselves.
fn widened_in_products(g: &Graph, definitions: &[Option<usize>]) -> Vec<bool> {
    let widens = |n: &Node| matches!(n.op, Op::Convert { dtype: DType::F32 }) && g.ty(n.args[0]).dtype == DType::I8;
    let mut widened = vec![false; g.num_values()];
    g.nodes().iter().filter(|n| widens(n)).for_each(|n| widened[n.results[0].index()] = true);
    if !widened.contains(&true) {
        return widened;
    }
    let defined = |v: Value| definitions[v.index()].is_some_and(|i| widens(&g.nodes()[i]));
    for node in g.nodes() {
        for (side, &a) in node.args.iter().enumerate() {
            // of two, the right one
            let reads = matches!(node.op, Op::DotGeneral { .. }) && !(side == 0 && defined(node.args[1]));
            widened[a.index()] &= reads;
        }
    }
    g.outputs().iter().for_each(|o| widened[o.index()] = false);
    widened
}

fn decide_stored(
    g: &Graph,
    machine: For,
    definitions: &[Option<usize>],
    cost: &[u32],
    large: Vec<bool>,
) -> (Vec<Option<Reason>>, Aliases) {
    let n = g.num_values();
    let mut stored = vec![None; n];
    let mut users = vec![Users::None; n];
    let widened = widened_in_products(g, definitions);
    // (kernels of a GPU are handed whole arrays)
    let views = if machine == For::Processor { views::views(g) } else { vec![None; n] };
    g.inputs().for_each(|v| stored[v.index()] = Some(Reason::Interface));
    // must be addressable memory (own or aliased)
    let mut needed: Vec<Option<Reason>> = large.into_iter().map(|large| large.then_some(Reason::Large)).collect();
    g.outputs().iter().for_each(|v| needed[v.index()] = Some(Reason::Interface));
    for (i, node) in g.nodes().iter().enumerate().rev() {
        if !is_fusible(g, node) {
            let alias = is_alias(&node.op);
            for r in &node.results {
                stored[r.index()] = (!alias).then_some(Reason::Made);
            }
            // a constant array is memory of the program; a reduction reads its operand in its own cluster
            for a in &node.args {
                match node.op {
                    Op::Reduce { .. } => {
                        users[a.index()] = users[a.index()].join(Users::One(node.results[0].index() as u32))
                    }
                    _ => needed[a.index()] = Some(Reason::Read(i)),
                }
            }
            continue;
        }
        // the parts of a complex number are read from memory
        if let Op::Unary(Unary::Real | Unary::Imag) = node.op {
            needed[node.args[0].index()] = Some(Reason::Read(i));
        }
        let r = node.results[0];
        if widened[r.index()] {
            needed[node.args[0].index()] = Some(Reason::Read(i));
            continue;
        }
        // (a GPU exchanges tiles in its shared memory within any loop nest)
        if machine == For::Processor && turns_memory(g, node, definitions) {
            needed[node.results[0].index()].get_or_insert(Reason::Exchanged);
        }
        if needed[node.results[0].index()] == Some(Reason::Exchanged) {
            needed[node.args[0].index()].get_or_insert(Reason::Read(i));
        }
        if machine == For::Processor && repeats_turned(g, node, definitions) {
            needed[node.args[0].index()].get_or_insert(Reason::Exchanged);
        }
        // a broadcast of what is stored for it costs nothing
        let repeats = |a: &Value| {
            expands(g, node) && cost[a.index()] > MAX_BROADCAST_RECOMPUTE && definitions[a.index()].is_some()
        };
        let repeated = node.args.iter().any(repeats);
        let shared = users[r.index()] == Users::Many && cost[r.index()] > MAX_RECOMPUTE && !repeated;
        let store = needed[r.index()].or(shared.then_some(Reason::Shared(cost[r.index()])));
        let is_view = views[r.index()].is_some() && store != Some(Reason::Interface);
        if store.is_some() && (matches!(node.op, Op::Reshape { .. }) || is_view) {
            let operand = &mut needed[node.args[0].index()];
            if *operand != Some(Reason::Interface) {
                *operand = store;
            }
            continue;
        }
        stored[r.index()] = store;
        let user = if store.is_some() { Users::One(r.index() as u32) } else { users[r.index()] };
        for a in &node.args {
            if repeated {
                needed[a.index()] = Some(Reason::Repeated(i, cost[a.index()]));
            }
            users[a.index()] = users[a.index()].join(user);
        }
    }
    let (mut alias, mut first) = (vec![None; n], vec![0; n]);
    for node in g.nodes() {
        for (k, r) in node.results.iter().enumerate() {
            let is = match node.op {
                Op::Barrier {} => true,
                Op::Reshape { .. } => !is_fusible(g, node) || needed[r.index()].is_some(),
                Op::Slice { .. } => needed[r.index()].is_some() && stored[r.index()].is_none(),
                Op::Convert { .. } => widened[r.index()],
                _ => false,
            };
            if is {
                let a = node.args[k];
                alias[r.index()] = Some(alias[a.index()].unwrap_or(a));
                first[r.index()] = first[a.index()] + views[r.index()].unwrap_or(0);
            }
        }
    }
    (stored, (alias, first))
}
