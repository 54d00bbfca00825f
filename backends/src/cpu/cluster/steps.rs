//! Which stored values share a loop nest.

use super::{Cluster, Clustered, HEAVY, Step, inline_costs, is_fusible, moves_innermost, own_cost};
use gradloom_ir::{Graph, Node, Op, Shape, Value};
use smallvec::SmallVec;

/// Most values one cluster stores.
const MAX_ROOTS: usize = 8;

/// Most operations inlined into one cluster; beyond it registers spill and code grows for nothing.
const MAX_INLINED: u32 = 160;

/// How many of the newest steps a value may join.
const SIBLINGS: usize = 6;

/// A transposition of fewer elements is a loop nest like others.
const MIN_EXCHANGED: usize = 256;

/// Why a value does not join a loop nest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cpu) enum Obstacle {
    /// The nest stores as many values as it may.
    Roots,
    /// The nest would hold more operations than it may.
    Size,
    /// It loops over something else.
    Space,
    /// It would read what the nest computes at another index.
    Index,
    /// It reads what the nest reduces, and reduces itself.
    Stages,
    /// It reads nothing large that the nest reads or computes.
    Apart,
}

/// What keeps the stored value `r` out of step `k`, a loop nest; nothing if only the order of the steps does.
pub(in crate::cpu) fn obstacle(g: &Graph, c: &Clustered, k: usize, r: Value) -> Option<Obstacle> {
    let definitions = g.definitions();
    let (cost, _) = inline_costs(g);
    let grouper = Grouper { g, definitions: &definitions, cost: &cost, stored: &c.stored, alias: &c.alias };
    let mut position = vec![None; g.num_values()];
    for (at, step) in c.steps.iter().enumerate() {
        if let Step::Cluster(cluster) = step {
            cluster.roots.iter().for_each(|r| position[r.index()] = Some(at));
        }
    }
    let node = &g.nodes()[definitions[r.index()]?];
    let (Step::Cluster(cluster), reads) = (&c.steps[k], grouper.reads(node, r)) else { return None };
    grouper.obstacle(cluster, k, &Root::new(g, node, r, &reads), &position)
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
pub(super) struct Grouper<'a> {
    pub g: &'a Graph,
    pub definitions: &'a [Option<usize>],
    pub cost: &'a [u32],
    pub stored: &'a [bool],
    pub alias: &'a [Option<Value>],
}

/// A value to be stored by a loop nest.
struct Root<'a> {
    /// The iteration space, and the axes of it that are reduced.
    shape: Shape,
    reduced: Shape,
    reads: &'a Reads,
    value: Value,
}

impl<'a> Root<'a> {
    fn new(g: &Graph, node: &Node, value: Value, reads: &'a Reads) -> Root<'a> {
        let (shape, reduced) = match &node.op {
            Op::Reduce { axes, .. } => (g.ty(node.args[0]).shape.clone(), axes.clone()),
            _ => (g.ty(value).shape.clone(), Shape::new()),
        };
        Root { shape, reduced, reads, value }
    }
}

/// What a root reads.
struct Reads {
    /// Stored values, and whether every read of it is at the root's own index.
    values: SmallVec<[(Value, bool); 8]>,
    size: u32,
}

impl Grouper<'_> {
    pub fn steps(&self) -> Vec<Step> {
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
        let Some(&x) = node.args.first() else { return false };
        let in_memory = self.stored[x.index()] || self.alias[x.index()].is_some();
        in_memory && self.g.ty(x).numel() >= MIN_EXCHANGED && moves_innermost(self.g, node)
    }

    /// Adds a root to the cluster it fits best, or to a new one.
    fn place(&self, node: &Node, r: Value, steps: &mut Vec<Step>, position: &[Option<usize>]) -> usize {
        let reads = self.reads(node, r);
        let root = Root::new(self.g, node, r, &reads);
        // all operands must be there before the step, or be computed by the same step at the same index
        let last = reads.values.iter().filter_map(|(v, _)| position[v.index()]).max();
        // the step of the latest operand, however far back it is (what comes last in the program of many parameters, their
        // updates, belongs to what came first, their means), then the steps after it (siblings), newest first
        let from = last.map_or(0, |last| last + 1);
        let candidates = last.into_iter().chain((from..steps.len()).rev().take(SIBLINGS));
        for k in candidates {
            let Step::Cluster(c) = &mut steps[k] else { continue };
            if self.obstacle(c, k, &root, position).is_none() {
                c.roots.push(r);
                c.size += reads.size;
                return k;
            }
        }
        let Root { shape, reduced, .. } = root;
        steps.push(Step::Cluster(Cluster { shape, reduced, roots: [r].into_iter().collect(), size: reads.size }));
        steps.len() - 1
    }

    /// What keeps a root out of the cluster `c`, step `k`, if its operands are there by then.
    fn obstacle(&self, c: &Cluster, k: usize, root: &Root, position: &[Option<usize>]) -> Option<Obstacle> {
        let Root { shape, reduced, reads, value } = root;
        if c.roots.len() >= MAX_ROOTS {
            return Some(Obstacle::Roots);
        }
        if c.size + reads.size > MAX_INLINED {
            return Some(Obstacle::Size);
        }
        let own = |v: Value| position[v.index()] == Some(k);
        let uses_own = reads.values.iter().any(|(v, _)| own(*v));
        let at_index = reads.values.iter().all(|(v, same)| !own(*v) || *same);
        let unless = |fits: bool, obstacle| (!fits).then_some(obstacle);
        if reduced.is_empty() && !c.reduced.is_empty() {
            // an epilogue: of the reduced shape, computed from what the cluster reduced
            return unless(self.reduced_shape(c) == *shape, Obstacle::Space)
                .or(unless(uses_own, Obstacle::Apart))
                .or(unless(at_index, Obstacle::Index));
        }
        // a sibling over the same space; a reduction reads nothing the cluster computes
        unless(c.shape == *shape && c.reduced == *reduced, Obstacle::Space)
            .or(unless(reduced.is_empty() || !uses_own, Obstacle::Stages))
            .or(unless(at_index, Obstacle::Index))
            .or_else(|| unless(uses_own || self.shares_read(reads, c, *value), Obstacle::Apart))
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
