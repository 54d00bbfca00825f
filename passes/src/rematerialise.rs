//! Automatic rematerialisation: values are computed again instead of being kept, until a program fits into a given memory.

use crate::analyses::{Liveness, Storage, Uses, fused_storage, intermediates, stores};
use crate::context::PassContext;
use crate::cost::{Costs, OpCost};
use crate::manager::{Changed, Pass, copy_inputs, copy_node, finish};
use gradloom_ir::{Builder, Graph, Op, Result, Type, Value};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Computes values again where that keeps intermediate memory within a budget.
///
/// While the program needs more at some place, the values that are alive there without being used, and that are cheapest to
/// compute again for the memory they free, are computed again, each in front of its next use, behind a barrier that keeps
/// `cse` from joining the two (after Chen et al. 2016, arXiv 1604.06174, and Kirisame et al. 2020, arXiv 2006.09616, whose
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

/// A round frees one part in so many of the memory where the program needs most.
const STEP: usize = 8;

/// Rounds; some dozens are what programs need.
const MAX_ROUNDS: usize = 256;

/// Rounds in a row that may leave the program with as much memory as before.
const MAX_IDLE: usize = 8;

/// How many times the program's own operations it may do.
const MAX_WORK: u64 = 3;

impl Pass for Rematerialise {
    fn name(&self) -> &str {
        "rematerialise"
    }

    fn run(&self, g: &mut Graph, _: &mut PassContext) -> Result<Changed> {
        let work = |g: &Graph| g.analysis::<Costs>().0.iter().map(|&c| price(c)).fold(0, u64::saturating_add);
        let mut left = work(g).saturating_mul(MAX_WORK - 1);
        let (mut now, mut lowest, mut idle, mut changed) = (g.clone(), usize::MAX, 0, Changed::No);
        for round in 0..MAX_ROUNDS {
            let lives = Lives::new(&now, (self.storage)(&now));
            idle += 1;
            if lives.live.peak() < lowest {
                (lowest, idle) = (lives.live.peak(), 0);
                if round > 0 {
                    (*g, changed) = (now.clone(), Changed::Yes);
                }
            }
            let again = lives.choose(self.budget, left);
            if again.is_empty() || idle == MAX_IDLE {
                break;
            }
            left -= again.iter().map(|a| a.price).sum::<u64>();
            now = lives.recompute(&again)?;
        }
        Ok(changed)
    }
}

/// What a node costs to run again: its operations, and the memory it touches, at a few operations a byte.
fn price(cost: OpCost) -> u64 {
    cost.flops.saturating_add(cost.bytes.saturating_mul(4))
}

/// Where the values of a program are in memory, node by node.
struct Lives<'a> {
    g: &'a Graph,
    storage: Storage,
    definitions: Arc<[Option<usize>]>,
    uses: Arc<Uses>,
    costs: Arc<Costs>,
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
        Lives { g, definitions: g.definitions(), uses: g.analysis(), costs: g.analysis(), storage, live }
    }

    /// The values to compute again, if the program needs more than `budget` and there are any that help: wherever it needs
    /// nearly as much as where it needs most, the cheapest for the memory they free, as long as they do not build on each
    /// other.
    fn choose(&self, budget: usize, mut limit: u64) -> Vec<Again> {
        let top = self.live.peak();
        let mut target = budget.max(top - top.div_ceil(STEP));
        let mut bytes = self.live.bytes.clone();
        let intermediates = intermediates(self.g, &self.storage);
        let mut chosen = Vec::<Again>::new();
        // memory of values that are computed again, and memory that chains build on
        let (mut gone, mut needed) = (BTreeSet::new(), BTreeSet::new());
        while let Some(peak) = (0..bytes.len()).max_by_key(|&i| (bytes[i], std::cmp::Reverse(i)))
            && bytes[peak] > target
        {
            let found = self.found(peak, &intermediates, limit);
            if found.is_empty() && bytes[peak] == top {
                return Vec::new(); // the most is needed where nothing helps
            }
            for (span, again) in found {
                let reads = self.read_by(&again.chain);
                let apart = !needed.contains(&again.value) && reads.iter().all(|v| !gone.contains(v));
                if bytes[peak] <= target || again.price > limit || !apart || gone.contains(&again.value) {
                    continue;
                }
                limit -= again.price;
                bytes[span].iter_mut().for_each(|b| *b -= self.g.ty(again.value).bytes());
                gone.insert(again.value);
                needed.extend(reads);
                chosen.push(again);
            }
            // less than what is left here the program will not need
            target = target.max(bytes[peak]);
        }
        chosen
    }

    /// The values that are alive at a node without being used, and can be computed again, cheapest for the memory they free
    /// first; with each the nodes for which it frees that.
    fn found(&self, peak: usize, of: &[Value], limit: u64) -> Vec<(Range<usize>, Again)> {
        let mut found = Vec::new();
        for &value in of {
            let before = self.definitions[value.index()].is_some_and(|d| d < peak);
            if !before || self.live.last[value.index()] <= peak || self.g.ty(value).bytes() == 0 {
                continue;
            }
            let reads = self.reads(value);
            let Some(&at) = reads.iter().find(|&&r| r > peak).filter(|_| !reads.contains(&peak)) else { continue };
            let Some((chain, price)) = self.chain(value, at).filter(|c| c.1 <= limit) else { continue };
            let last = reads.range(..at).next_back().copied().or(self.definitions[value.index()]);
            let worth = self.g.ty(value).bytes() as f64 / (price as f64 + 1.0);
            found.push((worth, last.map_or(0, |l| l + 1)..at, Again { value, at, chain, price }));
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.into_iter().map(|(_, span, again)| (span, again)).collect()
    }

    /// The memory that a chain reads.
    fn read_by(&self, chain: &BTreeSet<usize>) -> BTreeSet<Value> {
        let read = chain.iter().flat_map(|&i| &self.g.nodes()[i].args);
        let outside = read.filter(|a| self.definitions[a.index()].is_none_or(|d| !chain.contains(&d)));
        outside.filter_map(|a| self.storage[a.index()]).collect()
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
                price_of_all = price_of_all.saturating_add(price(self.costs.0[i]));
                open.extend(node.args.iter().copied().filter(|&a| !self.is_there(a, at)));
            }
            if chain.len() > MAX_CHAIN {
                return None;
            }
        }
        Some((chain, price_of_all))
    }

    /// The program with these values computed again.
    fn recompute(&self, all: &[Again]) -> Result<Graph> {
        let (mut b, mut map) = copy_inputs(self.g);
        for (i, node) in self.g.nodes().iter().enumerate() {
            all.iter().filter(|a| a.at == i).for_each(|a| self.emit_again(&mut b, &mut map, a));
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
