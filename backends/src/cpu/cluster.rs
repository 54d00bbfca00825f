//! Clusters: which values are stored, and which ops run together as one loop nest.
//!
//! Every value is one of
//! - *stored*: it has a place in memory (inputs, outputs, operands of library calls, values worth sharing);
//! - an *alias* of a stored value: the same bytes under another shape, or 8-bit integers that products widen;
//! - *inlined*: computed again, in registers, in each cluster that uses it.
//!
//! A [`Step`] is a cluster (one loop nest), a library call, or an op with bodies. Steps are in an order in which
//! operands come before uses.
//!
//! **Requires** a graph without remat and custom derivative ops. **Ensures** every output, and every operand of a
//! step other than a cluster, is stored or an alias. **Never** changes what is computed.

use gradloom_ir::{Binary, DType, Graph, Node, Op, Shape, Unary, Value};
use smallvec::SmallVec;

/// A value inlined into more than one cluster may cost at most this much each time (in simple operations).
const MAX_RECOMPUTE: u32 = 8;

/// A value may be computed again along a broadcast axis if it costs at most this much.
const MAX_BROADCAST_RECOMPUTE: u32 = 4;

/// What a transcendental function or a division counts for.
const HEAVY: u32 = 12;

/// Most values one cluster stores.
const MAX_ROOTS: usize = 8;

/// A value whose expression grows beyond this cost is stored, whoever uses it: code size stays linear in the graph.
const MAX_EXPRESSION: u32 = 600;

/// Most operations inlined into one cluster; beyond it registers spill and code grows for nothing.
const MAX_INLINED: u32 = 160;

/// How many of the newest steps a value may join.
const SIBLINGS: usize = 6;

/// A transposition of fewer elements is a loop nest like others.
const MIN_EXCHANGED: usize = 256;

/// The unit of execution.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A loop nest over `shape`.
    Cluster(Cluster),
    /// The node at this position, by a library call or a call of the host.
    Library(usize),
    /// The node at this position, which has bodies.
    Control(usize),
}

/// Values computed by one loop nest.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
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

/// A clustered graph.
#[derive(Debug)]
pub(super) struct Clustered {
    /// The steps in order.
    pub steps: Vec<Step>,
    /// Which values have memory of their own.
    pub stored: Vec<bool>,
    /// The stored value whose bytes a value shares.
    pub alias: Vec<Option<Value>>,
}

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
pub(super) fn split_axes(from: &[usize], to: &[usize]) -> Option<Vec<SmallVec<[usize; 4]>>> {
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

/// What one evaluation of the op costs, apart from its operands.
fn own_cost(op: &Op) -> u32 {
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

/// Clusters a graph.
pub(super) fn cluster(g: &Graph) -> Clustered {
    let definitions = g.definitions();
    let (cost, large) = inline_costs(g);
    let (stored, alias) = decide_stored(g, &definitions, &cost, large);
    let steps = Grouper { g, definitions: &definitions, cost: &cost, stored: &stored, alias: &alias }.steps();
    Clustered { steps, stored, alias }
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
    definitions: &[Option<usize>],
    cost: &[u32],
    mut needed: Vec<bool>,
) -> (Vec<bool>, Vec<Option<Value>>) {
    let n = g.num_values();
    let mut stored = vec![false; n];
    let mut users = vec![Users::None; n];
    let widened = widened_in_products(g, definitions);
    g.inputs().for_each(|v| stored[v.index()] = true);
    // `needed`: must be addressable memory (own or aliased)
    g.outputs().iter().for_each(|v| needed[v.index()] = true);
    for node in g.nodes().iter().rev() {
        if !is_fusible(g, node) {
            let alias = is_alias(&node.op);
            for r in &node.results {
                stored[r.index()] = !alias;
            }
            // a constant array is memory of the program; a reduction reads its operand in its own cluster
            for a in &node.args {
                match node.op {
                    Op::Reduce { .. } => {
                        users[a.index()] = users[a.index()].join(Users::One(node.results[0].index() as u32))
                    }
                    _ => needed[a.index()] = true,
                }
            }
            continue;
        }
        // the parts of a complex number are read from memory
        if let Op::Unary(Unary::Real | Unary::Imag) = node.op {
            needed[node.args[0].index()] = true;
        }
        let r = node.results[0];
        if widened[r.index()] {
            needed[node.args[0].index()] = true;
            continue;
        }
        let shared = users[r.index()] == Users::Many && cost[r.index()] > MAX_RECOMPUTE;
        let store = needed[r.index()] || shared;
        let rename = store && matches!(node.op, Op::Reshape { .. });
        stored[r.index()] = store && !rename;
        if rename {
            needed[node.args[0].index()] = true;
            continue;
        }
        let user = if store { Users::One(r.index() as u32) } else { users[r.index()] };
        for a in &node.args {
            let repeated = expands(g, node) && cost[a.index()] > MAX_BROADCAST_RECOMPUTE;
            if repeated && definitions[a.index()].is_some() {
                needed[a.index()] = true;
            }
            users[a.index()] = users[a.index()].join(user);
        }
    }
    let mut alias = vec![None; n];
    for node in g.nodes() {
        for (k, r) in node.results.iter().enumerate() {
            let is = match node.op {
                Op::Barrier {} => true,
                Op::Reshape { .. } => !is_fusible(g, node) || needed[r.index()],
                Op::Convert { .. } => widened[r.index()],
                _ => false,
            };
            if is {
                let a = node.args[k];
                alias[r.index()] = Some(alias[a.index()].unwrap_or(a));
            }
        }
    }
    (stored, alias)
}

/// Values of at most this many elements wait for nothing large.
const FEW: usize = 16;

/// The nodes in an order in which those that compute a few numbers from a few come as early as they can: what reads both
/// large arrays and such numbers, as an optimizer's step its corrections, then need not wait, and shares a loop nest with
/// what computes the arrays. All others keep their order.
fn scalars_first(g: &Graph, definitions: &[Option<usize>]) -> Vec<usize> {
    let few = |v: &Value| g.ty(*v).numel() <= FEW;
    let early = |n: &Node| !n.op.has_effect() && n.args.iter().chain(&n.results).all(few);
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); g.nodes().len()];
    let mut waits = vec![0usize; g.nodes().len()];
    for (i, node) in g.nodes().iter().enumerate().filter(|(_, n)| early(n)) {
        for from in node.args.iter().filter_map(|a| definitions[a.index()]) {
            users[from].push(i);
            waits[i] += 1;
        }
    }
    let mut order = Vec::with_capacity(g.nodes().len());
    let mut open = Vec::new();
    // those that depend on nothing but each other
    open.extend((0..g.nodes().len()).rev().filter(|&i| early(&g.nodes()[i]) && waits[i] == 0));
    let mut next = 0;
    loop {
        while let Some(i) = open.pop() {
            order.push(i);
            for &user in users[i].iter().rev() {
                waits[user] -= 1;
                if waits[user] == 0 {
                    open.push(user);
                }
            }
        }
        while next < g.nodes().len() && early(&g.nodes()[next]) {
            next += 1;
        }
        if next == g.nodes().len() {
            return order;
        }
        open.push(next);
        next += 1;
    }
}

/// The step of a node that is in no loop nest.
fn own_step(i: usize, node: &Node) -> Step {
    if node.op.has_body() { Step::Control(i) } else { Step::Library(i) }
}

/// Assigns stored values to steps.
struct Grouper<'a> {
    g: &'a Graph,
    definitions: &'a [Option<usize>],
    cost: &'a [u32],
    stored: &'a [bool],
    alias: &'a [Option<Value>],
}

/// What a root reads.
struct Reads {
    /// Stored values, and whether every read of it is at the root's own index.
    values: SmallVec<[(Value, bool); 8]>,
    size: u32,
}

impl Grouper<'_> {
    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        // the step that computes each stored value
        let mut position = vec![None; self.g.num_values()];
        for i in scalars_first(self.g, self.definitions) {
            let node = &self.g.nodes()[i];
            let r = match node.results.first() {
                Some(&r) if self.stored[r.index()] => r,
                None => {
                    steps.push(own_step(i, node));
                    continue;
                }
                _ => continue,
            };
            if let Op::Constant { .. } = node.op {
                continue;
            }
            let fused = is_fusible(self.g, node) || matches!(node.op, Op::Reduce { .. });
            if !fused || self.is_exchange(node) {
                node.results.iter().for_each(|r| position[r.index()] = Some(steps.len()));
                steps.push(own_step(i, node));
                continue;
            }
            let at = self.place(node, r, &mut steps, &position);
            position[r.index()] = Some(at);
        }
        steps
    }

    /// Whether the node only moves elements of memory, and what is contiguous in it is not in the result. A loop nest
    /// would read or write a cache line an element.
    fn is_exchange(&self, node: &Node) -> bool {
        let Op::Transpose { perm } = &node.op else { return false };
        let x = node.args[0];
        let shape = &self.g.ty(x).shape;
        let in_memory = self.stored[x.index()] || self.alias[x.index()].is_some();
        let innermost = (0..shape.len()).rev().find(|&a| shape[a] != 1);
        let moved = perm.iter().rev().copied().find(|&a| shape[a] != 1) != innermost;
        in_memory && moved && self.g.ty(x).numel() >= MIN_EXCHANGED
    }

    /// Adds a root to the cluster it fits best, or to a new one.
    fn place(&self, node: &Node, r: Value, steps: &mut Vec<Step>, position: &[Option<usize>]) -> usize {
        let ty = self.g.ty(r);
        let (shape, reduced) = match &node.op {
            Op::Reduce { axes, .. } => (self.g.ty(node.args[0]).shape.clone(), axes.clone()),
            _ => (ty.shape.clone(), Shape::new()),
        };
        let reads = self.reads(node, r);
        // all operands must be there before the step, or be computed by the same step at the same index
        let last = reads.values.iter().filter_map(|(v, _)| position[v.index()]).max();
        // the step of the latest operand, however far back it is (what comes last in the program of many parameters, their
        // updates, belongs to what came first, their means), then the steps after it (siblings), newest first
        let from = last.map_or(0, |last| last + 1);
        let candidates = last.into_iter().chain((from..steps.len()).rev().take(SIBLINGS));
        for k in candidates {
            let Step::Cluster(c) = &steps[k] else { continue };
            if c.roots.len() >= MAX_ROOTS || c.size + reads.size > MAX_INLINED {
                continue;
            }
            let own = |v: Value| position[v.index()] == Some(k);
            let uses_own = reads.values.iter().any(|(v, _)| own(*v));
            let at_index = reads.values.iter().all(|(v, same)| !own(*v) || *same);
            let fits = if reduced.is_empty() && c.reduced.is_empty() {
                c.shape == shape && at_index && (uses_own || self.shares_read(&reads, c, r))
            } else if reduced.is_empty() {
                // an epilogue: of the reduced shape, computed from what the cluster reduced
                uses_own && at_index && self.reduced_shape(c) == shape
            } else {
                // a sibling reduction over the same space; it reads nothing the cluster computes
                c.shape == shape && c.reduced == reduced && !uses_own && self.shares_read(&reads, c, r)
            };
            if fits {
                let Step::Cluster(c) = &mut steps[k] else { continue };
                c.roots.push(r);
                c.size += reads.size;
                return k;
            }
        }
        let mut roots = SmallVec::new();
        roots.push(r);
        steps.push(Step::Cluster(Cluster { shape, reduced, roots, size: reads.size }));
        steps.len() - 1
    }

    fn reduced_shape(&self, c: &Cluster) -> Shape {
        (0..c.shape.len()).filter(|a| !c.reduced.contains(a)).map(|a| c.shape[a]).collect()
    }

    /// Whether the root reads a large value the cluster reads too, so that one pass over it serves both.
    fn shares_read(&self, reads: &Reads, c: &Cluster, r: Value) -> bool {
        let numel: usize = c.shape.iter().product();
        c.roots.iter().any(|&other| {
            let node = &self.g.nodes()[self.definitions[other.index()].expect("a root is computed")];
            let theirs = self.reads(node, other);
            let big = |v: Value| self.g.ty(v).numel() >= numel.min(64);
            other != r && reads.values.iter().any(|(v, _)| big(*v) && theirs.values.iter().any(|(w, _)| w == v))
        })
    }

    /// The stored values a root reads, through everything inlined.
    fn reads(&self, node: &Node, r: Value) -> Reads {
        let mut reads = Reads { values: SmallVec::new(), size: 0 };
        // a reduction reads its operand at its own index of the full space
        for &a in &node.args {
            let keeps = keeps_index(self.g, node);
            self.collect(a, keeps, &mut reads);
        }
        reads.size += own_cost(&node.op).min(HEAVY) + self.cost[r.index()].min(1);
        reads
    }

    fn collect(&self, v: Value, same: bool, reads: &mut Reads) {
        let root = self.alias[v.index()];
        let memory = root.or(self.stored[v.index()].then_some(v));
        if let Some(m) = memory {
            // under another shape the index is another one
            let same = same && root.is_none();
            match reads.values.iter_mut().find(|(w, _)| *w == m) {
                Some((_, s)) => *s &= same,
                None => reads.values.push((m, same)),
            }
            return;
        }
        if reads.size > MAX_INLINED {
            return self.collect_quickly(v, reads);
        }
        if let Some(i) = self.definitions[v.index()] {
            let node = &self.g.nodes()[i];
            reads.size += own_cost(&node.op).clamp(1, HEAVY);
            let same = same && keeps_index(self.g, node);
            for &a in &node.args {
                self.collect(a, same, reads);
            }
        }
    }

    /// The same for large expressions, visiting each value once; no read counts as being at the root's index.
    fn collect_quickly(&self, v: Value, reads: &mut Reads) {
        let mut seen = std::collections::HashSet::new();
        let mut stack = vec![v];
        while let Some(v) = stack.pop() {
            if !seen.insert(v) {
                continue;
            }
            if let Some(m) = self.alias[v.index()].or(self.stored[v.index()].then_some(v)) {
                match reads.values.iter_mut().find(|(w, _)| *w == m) {
                    Some((_, s)) => *s = false,
                    None => reads.values.push((m, false)),
                }
            } else if let Some(i) = self.definitions[v.index()] {
                stack.extend(&self.g.nodes()[i].args);
            }
        }
    }
}

/// Whether the op reads its operands at the index of its result.
fn keeps_index(g: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Broadcast { .. } => g.ty(node.args[0]).shape == g.ty(node.results[0]).shape,
        Op::Transpose { .. } | Op::Slice { .. } | Op::Reverse { .. } | Op::Reshape { .. } => false,
        _ => true,
    }
}
