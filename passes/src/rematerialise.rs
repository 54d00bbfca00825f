//! Automatic rematerialisation: values are computed again instead of being kept, until a program fits into a given memory.

use crate::analyses::{Liveness, Uses, intermediates, stores};
use crate::context::PassContext;
use crate::cost::node_cost;
use crate::manager::{Changed, Pass, copy_inputs, copy_node, finish};
use gradloom_ir::{Builder, Graph, Op, Result, Type, Value};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// For each value the stored value whose memory it is: itself, another one, or none if it is computed where it is used.
pub type Storage = Vec<Option<Value>>;

/// Computes values again where that keeps intermediate memory within a budget.
///
/// While the program needs more at some place, the value that is alive there without being used, and that is cheapest to
/// compute again for the memory it frees, is computed again in front of its next use, behind a barrier that keeps `cse` from
/// joining the two (after Chen et al. 2016, arXiv 1604.06174, and Kirisame et al. 2020, arXiv 2006.09616, whose
/// heuristic of cost by memory this is, here ahead of time).
///
/// **Ensures** the same bits. What is left where no value helps any more may still be above the budget.
/// **Never** runs ops with bodies or effects again, nor computes more than three times what the program did.
pub struct Rematerialise {
    /// Bytes of intermediate memory; inputs and results are not counted.
    pub budget: usize,
    /// Which values a backend stores.
    pub storage: fn(&Graph) -> Storage,
}

/// As little memory as it can find, on a backend that fuses elementwise ops.
impl Default for Rematerialise {
    fn default() -> Rematerialise {
        Rematerialise { budget: 0, storage: fused_storage }
    }
}

/// Nodes that are computed again for one value.
const MAX_CHAIN: usize = 48;

/// Values that are computed again, for each that the program has.
const MAX_ROUNDS: usize = 4;

/// How many times the program's own operations it may do.
const MAX_WORK: u64 = 3;

impl Pass for Rematerialise {
    fn name(&self) -> &str {
        "rematerialise"
    }

    fn run(&self, g: &mut Graph, _: &mut PassContext) -> Result<Changed> {
        let work = |g: &Graph| g.nodes().iter().map(|n| price(g, n)).fold(0, u64::saturating_add);
        let (mut left, mut changed) = (work(g).saturating_mul(MAX_WORK - 1), Changed::No);
        for _ in 0..MAX_ROUNDS * g.nodes().len() {
            let lives = Lives::new(g, (self.storage)(g));
            let Some(again) = lives.choose(self.budget, left) else { break };
            left -= again.price;
            *g = lives.recompute(&again)?;
            changed = Changed::Yes;
        }
        Ok(changed)
    }
}

/// What a node costs to run again: its operations, and the memory it touches, at a few operations a byte.
fn price(g: &Graph, node: &gradloom_ir::Node) -> u64 {
    let cost = node_cost(g, node);
    cost.flops.saturating_add(cost.bytes.saturating_mul(4))
}

/// The storage of a backend that stores what is no elementwise op, what is used by what is none, and what is used twice.
pub fn fused_storage(g: &Graph) -> Storage {
    let fusible = |op: &Op| {
        matches!(
            op,
            Op::Unary(_)
                | Op::Binary(_)
                | Op::Compare(_)
                | Op::Select {}
                | Op::Convert { .. }
                | Op::Iota { .. }
                | Op::Broadcast { .. }
        )
    };
    let mut uses = g.use_counts().to_vec();
    for node in g.nodes().iter().filter(|n| !fusible(&n.op)) {
        node.args.iter().for_each(|a| uses[a.index()] += 2);
    }
    g.outputs().iter().for_each(|o| uses[o.index()] += 2);
    let mut storage: Storage = g.types().iter().enumerate().map(|(v, _)| Some(Value::from_index(v))).collect();
    for node in g.nodes() {
        match &node.op {
            Op::Reshape { .. } | Op::Barrier {} => {
                for (r, a) in node.results.iter().zip(&node.args) {
                    storage[r.index()] = storage[a.index()];
                }
            }
            Op::Constant { value } if value.ty().rank() == 0 => storage[node.results[0].index()] = None,
            Op::Iota { .. } | Op::Broadcast { .. } if uses[node.results[0].index()] <= 2 => {
                storage[node.results[0].index()] = None;
            }
            op if fusible(op) && uses[node.results[0].index()] <= 1 => storage[node.results[0].index()] = None,
            _ => {}
        }
    }
    storage
}

/// Where the values of a program are in memory, node by node.
struct Lives<'a> {
    g: &'a Graph,
    storage: Storage,
    definitions: Arc<[Option<usize>]>,
    uses: Arc<Uses>,
    live: Liveness,
}

/// A value that is computed again.
struct Again {
    value: Value,
    /// In front of this node.
    at: usize,
    /// The nodes that are run for it, in order.
    chain: BTreeSet<usize>,
    price: u64,
}

impl<'a> Lives<'a> {
    fn new(g: &'a Graph, storage: Storage) -> Lives<'a> {
        let live = Liveness::with(g, &storage);
        Lives { g, definitions: g.definitions(), uses: g.analysis(), storage, live }
    }

    /// The value to compute again, if the program needs more than `budget` and there is one that helps.
    fn choose(&self, budget: usize, limit: u64) -> Option<Again> {
        let bytes = &self.live.bytes;
        let peak = (0..bytes.len()).max_by_key(|&i| (bytes[i], std::cmp::Reverse(i)))?;
        if bytes[peak] <= budget {
            return None;
        }
        let alive = |v: &Value| {
            let before = self.definitions[v.index()].is_some_and(|d| d < peak);
            before && self.live.last[v.index()] > peak && self.g.ty(*v).bytes() > 0
        };
        let mut best: Option<(f64, Again)> = None;
        for value in intermediates(self.g, &self.storage).into_iter().filter(alive) {
            let reads = self.reads(value);
            let Some(&at) = reads.iter().find(|&&r| r > peak).filter(|_| !reads.contains(&peak)) else { continue };
            let Some((chain, price)) = self.chain(value, at).filter(|c| c.1 <= limit) else { continue };
            let worth = self.g.ty(value).bytes() as f64 / (price as f64 + 1.0);
            if best.as_ref().is_none_or(|b| worth > b.0) {
                best = Some((worth, Again { value, at, chain, price }));
            }
        }
        best.map(|b| b.1)
    }

    /// The nodes that read the memory of a stored value: those that store something, through others that do not.
    fn reads(&self, v: Value) -> BTreeSet<usize> {
        let mut reads = BTreeSet::new();
        let mut open = vec![v];
        let mut seen = BTreeSet::new();
        while let Some(v) = open.pop() {
            for &i in self.uses.of(v) {
                if seen.insert(i) {
                    if self.is_stored(i) {
                        reads.insert(i);
                    } else {
                        open.extend(&self.g.nodes()[i].results);
                    }
                }
            }
        }
        reads
    }

    fn is_stored(&self, node: usize) -> bool {
        stores(&self.storage, &self.g.nodes()[node].results)
    }

    /// Whether the memory of `v` is there at node `at`, whatever is computed again.
    fn is_there(&self, v: Value, at: usize) -> bool {
        let Some(m) = self.storage[v.index()] else { return false };
        let fixed = self.definitions[m.index()].is_none_or(|d| matches!(self.g.nodes()[d].op, Op::Constant { .. }));
        fixed || self.live.last[m.index()] >= at
    }

    /// The nodes that compute `v` from what is there at node `at`, and what they cost.
    fn chain(&self, v: Value, at: usize) -> Option<(BTreeSet<usize>, u64)> {
        let (mut chain, mut price_of_all) = (BTreeSet::new(), 0u64);
        let mut open = vec![v];
        while let Some(v) = open.pop() {
            let i = self.definitions[v.index()]?;
            let node = &self.g.nodes()[i];
            if node.op.has_body() || matches!(node.op, Op::HostCall { .. }) {
                return None;
            }
            if chain.insert(i) {
                price_of_all = price_of_all.saturating_add(price(self.g, node));
                open.extend(node.args.iter().copied().filter(|&a| !self.is_there(a, at)));
            }
            if chain.len() > MAX_CHAIN {
                return None;
            }
        }
        Some((chain, price_of_all))
    }

    /// The program with a value computed again.
    fn recompute(&self, again: &Again) -> Result<Graph> {
        let (mut b, mut map) = copy_inputs(self.g);
        for (i, node) in self.g.nodes().iter().enumerate() {
            if i == again.at {
                self.emit_again(&mut b, &mut map, again);
            }
            let results = copy_node(&mut b, self.g, node, |a| map[a.index()]);
            map.extend(results);
        }
        Ok(crate::dead_code(&finish(b, self.g, &map)?))
    }

    /// Emits the chain behind a barrier, and what was to be inlined from the value; later nodes use these.
    fn emit_again(&self, b: &mut Builder, map: &mut [Value], again: &Again) {
        let outside = |a: &Value| self.definitions[a.index()].is_none_or(|d| !again.chain.contains(&d));
        let read: BTreeSet<Value> =
            again.chain.iter().flat_map(|&i| &self.g.nodes()[i].args).copied().filter(outside).collect();
        let kept: Vec<Value> = read.iter().map(|a| map[a.index()]).collect();
        b.set_loc(&self.g.nodes()[again.at].loc);
        let types: Vec<Type> = read.iter().map(|&a| self.g.ty(a).clone()).collect();
        let behind = if kept.is_empty() { Default::default() } else { b.emit_typed(Op::Barrier {}, &kept, types) };
        let mut fresh: HashMap<Value, Value> = read.iter().copied().zip(behind).collect();
        for &i in &again.chain {
            let node = &self.g.nodes()[i];
            let results = copy_node(b, self.g, node, |a| fresh.get(&a).copied().unwrap_or(map[a.index()]));
            fresh.extend(node.results.iter().copied().zip(results));
        }
        // from here on the value is the new one, and so is what is computed from it wherever it is used
        let mut moved: BTreeSet<Value> = [again.value].into();
        map[again.value.index()] = fresh[&again.value];
        for (i, node) in self.g.nodes().iter().enumerate().take(again.at) {
            if !self.is_stored(i) && !node.op.has_effect() && node.args.iter().any(|a| moved.contains(a)) {
                let results = copy_node(b, self.g, node, |a| map[a.index()]);
                for (&old, new) in node.results.iter().zip(results) {
                    map[old.index()] = new;
                    moved.insert(old);
                }
            }
        }
    }
}
