//! Softmax as it goes along: what is summed up against the greatest number so far, made smaller when a greater one comes.
//!
//! Milakov and Gimelshein, Online normalizer calculation for softmax (2018); Dao et al., FlashAttention (2022).

use super::region::{Region, Side, Sink};
use gradloom_ir::{Binary, Graph, Node, Op, ReduceKind, Unary, Value};
use std::collections::{BTreeSet, HashMap};

/// What is done to a finished sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Late {
    Negate,
    /// Multiplied by, or divided by, what the row has, which this node spreads over columns.
    By(Binary, usize),
}

/// Sinks that one pass over columns computes although they depend on the greatest number of each row.
#[derive(Debug)]
pub(super) struct Online {
    /// The sink of the greatest numbers, among those of the region.
    pub greatest: usize,
    /// Other sinks, and what is done to their sums at the end.
    pub sums: Vec<(usize, Vec<Late>)>,
    /// For what is done at the end, the operand that is summed up instead.
    pub instead: HashMap<Value, Value>,
}

/// Which sinks and products of a region each value of the program depends on, by bits.
pub(super) struct Dependence {
    pub sinks: Vec<u64>,
    pub scores: Vec<u64>,
}

impl Dependence {
    /// `None` if there are more sinks than bits.
    pub fn new(g: &Graph, region: &Region) -> Option<Dependence> {
        if region.sinks.len() > 64 || region.scores.len() > 64 {
            return None;
        }
        let mut d = Dependence { sinks: vec![0; g.num_values()], scores: vec![0; g.num_values()] };
        let first = region.members.first().copied().unwrap_or(0);
        for (i, node) in g.nodes().iter().enumerate().skip(first) {
            let mut sinks = node.args.iter().fold(0, |all, a| all | d.sinks[a.index()]);
            let own = region.sinks.iter().position(|s| s.node == i && !s.is_stored);
            sinks |= own.map_or(0, |k| 1 << k);
            // inside of the region what is stored is made anew
            if own.is_none() && !region.members.contains(&i) {
                let read = |(_, s): &(usize, &Sink)| s.is_stored && node.args.contains(&s.value);
                sinks |= region.sinks.iter().enumerate().filter(read).fold(0, |all, (k, _)| all | 1 << k);
            }
            // only arrays of the region carry scores: sinks end it
            let mut scores = 0;
            if region.members.contains(&i) {
                scores = node.args.iter().fold(0, |all, a| all | d.scores[a.index()]);
                if let Some(k) = region.scores.iter().position(|&s| s == i) {
                    scores |= 1 << k;
                }
            }
            for r in &node.results {
                (d.sinks[r.index()], d.scores[r.index()]) = (sinks, scores);
            }
        }
        Some(d)
    }

    /// The sinks that a sink depends on.
    pub fn before(&self, g: &Graph, sink: &Sink) -> u64 {
        match sink.is_stored {
            true => self.sinks[sink.value.index()],
            false => g.nodes()[sink.node].args.iter().fold(0, |all, a| all | self.sinks[a.index()]),
        }
    }
}

struct Search<'a> {
    g: &'a Graph,
    region: &'a Region,
    depends: &'a Dependence,
    /// The exponentials of numbers less the greatest of their row.
    exponentials: BTreeSet<usize>,
}

/// The sinks that can be computed together with each greatest number.
pub(super) fn online(g: &Graph, region: &Region, depends: &Dependence, most: usize) -> Vec<Online> {
    let mut found: Vec<Online> = Vec::new();
    for (k, sink) in region.sinks.iter().enumerate() {
        let node = &g.nodes()[sink.node];
        let is_greatest = matches!(node.op, Op::Reduce { kind: ReduceKind::Max, .. });
        if !is_greatest || sink.is_stored || sink.over != Side::Columns {
            continue;
        }
        let mut search = Search { g, region, depends, exponentials: BTreeSet::new() };
        search.exponentials = region.members.iter().copied().filter(|&i| search.is_exponential(i, node)).collect();
        let mut one = Online { greatest: k, sums: Vec::new(), instead: HashMap::new() };
        let (mut own, mut columns) = (1u64 << k, 0);
        // sums of rows first, which what is done at the end depends on
        for products in [false, true] {
            for (s, sink) in region.sinks.iter().enumerate() {
                let node = &g.nodes()[sink.node];
                let is_product = matches!(node.op, Op::DotGeneral { .. });
                let is_sum = is_product || matches!(node.op, Op::Reduce { kind: ReduceKind::Sum, .. });
                let taken = found.iter().any(|o| o.greatest == s || o.sums.iter().any(|(t, _)| *t == s));
                if s == k || taken || sink.is_stored || products != is_product || !is_sum || sink.over != Side::Columns
                {
                    continue;
                }
                let before = depends.before(g, sink);
                if before & (1 << k) == 0 || before & !own != 0 {
                    continue;
                }
                let (mut late, mut instead) = (Vec::new(), HashMap::new());
                if search.chain(sink.value, &mut late, &mut instead).is_none() {
                    continue;
                }
                if is_product {
                    let free = g.ty(node.results[0]).numel() / rows(region);
                    if columns + free > most {
                        continue;
                    }
                    columns += free;
                } else if !late.is_empty() {
                    continue;
                } else {
                    own |= 1 << s;
                }
                one.sums.push((s, late));
                one.instead.extend(instead);
            }
        }
        if !one.sums.is_empty() {
            found.push(one);
        }
    }
    found
}

/// Rows of all batches.
fn rows(region: &Region) -> usize {
    region.axes.extents[..region.axes.columns.start].iter().product()
}

impl Search<'_> {
    fn definition(&self, v: Value) -> Option<(usize, &Node)> {
        self.g.definitions()[v.index()].map(|i| (i, &self.g.nodes()[i]))
    }

    /// A value before it was given other axes.
    fn reshaped(&self, v: Value) -> Value {
        match self.definition(v) {
            Some((_, node)) if matches!(node.op, Op::Reshape { .. }) => self.reshaped(node.args[0]),
            _ => v,
        }
    }

    /// Whether node `i` is the exponential of what `greatest` is of, less that.
    fn is_exponential(&self, i: usize, greatest: &Node) -> bool {
        let node = &self.g.nodes()[i];
        if node.op != Op::Unary(Unary::Exp) {
            return false;
        }
        let Some((_, difference)) = self.definition(self.reshaped(node.args[0])) else { return false };
        if difference.op != Op::Binary(Binary::Sub) {
            return false;
        }
        let Some((_, spread)) = self.definition(self.reshaped(difference.args[1])) else { return false };
        matches!(spread.op, Op::Broadcast { .. })
            && self.reshaped(spread.args[0]) == greatest.results[0]
            && self.reshaped(difference.args[0]) == self.reshaped(greatest.args[0])
    }

    /// Whether a value is known before the pass: it depends on no sink.
    fn is_early(&self, v: Value) -> bool {
        self.depends.sinks[v.index()] == 0
    }

    /// The node that spreads a value of rows over columns, if this is one.
    fn spread_row(&self, v: Value) -> Option<usize> {
        let (i, node) = self.definition(v)?;
        let Op::Broadcast { dims, .. } = &node.op else { return None };
        let axes = self.region.axes.split(&self.g.ty(v).shape)?;
        let rows = dims.iter().all(|&d| axes[d].iter().all(|&a| a < self.region.axes.columns.start));
        rows.then_some(i)
    }

    fn is_zero(&self, v: Value) -> bool {
        match self.definition(v) {
            Some((_, Node { op: Op::Constant { value }, .. })) => {
                value.splat_value().is_some_and(|one| one.bytes().iter().all(|&b| b == 0))
            }
            Some((_, Node { op: Op::Broadcast { .. } | Op::Reshape { .. }, args, .. })) => self.is_zero(args[0]),
            _ => false,
        }
    }

    /// Whether a value is linear in exponentials: what can be multiplied afterwards is added to `late`, the rest is known before.
    fn chain(&self, v: Value, late: &mut Vec<Late>, instead: &mut HashMap<Value, Value>) -> Option<()> {
        let (i, node) = self.definition(v)?;
        if self.exponentials.contains(&i) {
            return Some(());
        }
        if !self.region.members.contains(&i) {
            return None;
        }
        match &node.op {
            Op::Reshape { .. } => self.chain(node.args[0], late, instead),
            Op::Convert { dtype } if dtype.is_float() && self.g.ty(node.args[0]).dtype.is_float() => {
                self.chain(node.args[0], late, instead)
            }
            Op::Unary(Unary::Neg) => {
                self.chain(node.args[0], late, instead)?;
                instead.insert(v, node.args[0]);
                late.push(Late::Negate);
                Some(())
            }
            Op::Binary(op @ (Binary::Mul | Binary::Div)) => {
                let (mut x, mut by) = (node.args[0], node.args[1]);
                if *op == Binary::Mul && self.is_early(x) | self.spread_row(x).is_some() {
                    (x, by) = (by, x);
                }
                self.chain(x, late, instead)?;
                if self.is_early(by) {
                    return Some(());
                }
                late.push(Late::By(*op, self.spread_row(by)?));
                instead.insert(v, x);
                Some(())
            }
            Op::Select {} if self.is_early(node.args[0]) && self.is_zero(node.args[2]) => {
                self.chain(node.args[1], late, instead)
            }
            _ => None,
        }
    }
}
