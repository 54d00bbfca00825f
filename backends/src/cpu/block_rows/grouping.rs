//! Which steps of a clustered graph run together on blocks of rows.

use super::Blocking;
use super::by_rows::{Use, by_rows, row_axes};
use crate::cpu::cluster::{Clustered, Step, cluster};
use crate::cpu::compile::{reads_of, step_roots};
use crate::cpu::divide_reductions::For;
use gradloom_ir::{Graph, Op, Value};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Numbers of rows that are tried, those of the largest arrays.
const MAX_TRIED: usize = 6;

/// Of the bytes that go through memory, one in this many must be saved.
const MIN_SHARE: usize = 4;

/// What some step needs of one row may be this many times larger than a block should be: it is in a cache that cores share then, still
/// nearer than memory.
const MAX_ROW: usize = 32;

/// A group of steps, and what makes their program on a block.
pub(super) struct Group {
    /// The nodes it takes part of, and whether by rows; a node used both ways is there twice. In the order of the graph.
    pub nodes: BTreeSet<(usize, bool)>,
    /// Values in memory that it reads block by block.
    pub rows: Vec<Value>,
    /// Values in memory that every block reads whole.
    pub whole: Vec<Value>,
    /// Stored values it computes that are read elsewhere.
    pub outputs: Vec<Value>,
    /// The nodes of the stored values it computes.
    pub roots: Vec<usize>,
    /// Rows of a block.
    pub block: usize,
}

/// What a step on rows is made of, with the nodes inlined into it.
#[derive(Clone, Default)]
struct Parts {
    nodes: BTreeSet<(usize, bool)>,
    rows: BTreeSet<Value>,
    whole: BTreeSet<Value>,
}

/// The numbers of rows of which something can be gained: where a step reduces along rows, or multiplies matrices of many.
/// Few large rows come first: more ops treat them alike than the many rows they consist of.
pub(super) fn numbers_of_rows(g: &Graph) -> Vec<usize> {
    let mut bytes: HashMap<usize, usize> = HashMap::new();
    for node in g.nodes() {
        let lead = match &node.op {
            Op::Reduce { axes, .. } => axes.iter().copied().min().unwrap_or(0),
            Op::DotGeneral { lhs_batch, .. } => lhs_batch.len(),
            _ => continue,
        };
        let shape = &g.ty(node.args[0]).shape;
        let rows: usize = shape[..lead].iter().product();
        if rows > 1 {
            let size = node.args.iter().chain(&node.results).map(|&v| g.ty(v).bytes()).max().unwrap_or(0);
            let sum = bytes.entry(rows).or_default();
            *sum = sum.saturating_add(size);
        }
    }
    let mut numbers: Vec<(usize, usize)> = bytes.into_iter().map(|(rows, bytes)| (bytes, rows)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers.truncate(MAX_TRIED);
    let mut numbers: Vec<usize> = numbers.into_iter().map(|(_, rows)| rows).collect();
    numbers.sort_unstable();
    numbers
}

/// A clustered graph seen as `rows` rows.
pub(super) struct Grouping<'a> {
    g: &'a Graph,
    rows: usize,
    with: Blocking,
    definitions: std::sync::Arc<[Option<usize>]>,
    c: Clustered,
    /// The step that computes each stored value.
    step_of: Vec<Option<usize>>,
    /// The stored values each step reads.
    reads: Vec<Vec<Value>>,
    /// Stored values that are results of the program, or operands of a barrier: that is a node of its own for whoever goes through it,
    /// with all of its operands.
    kept: Vec<Value>,
    /// The last step that reads each stored value; one more than all for those that are kept.
    last_reader: Vec<Option<usize>>,
}

impl<'a> Grouping<'a> {
    pub fn new(g: &'a Graph, rows: usize, with: Blocking) -> Grouping<'a> {
        let definitions = g.definitions();
        let c = cluster(g, For::Processor);
        let mut step_of = vec![None; g.num_values()];
        for (s, step) in c.steps.iter().enumerate() {
            step_roots(g, step).iter().for_each(|v| step_of[v.index()] = Some(s));
        }
        let reads: Vec<Vec<Value>> = c.steps.iter().map(|step| reads_of(g, &definitions, &c, step)).collect();
        let mut last_reader = vec![None; g.num_values()];
        for (s, reads) in reads.iter().enumerate() {
            reads.iter().for_each(|v| last_reader[v.index()] = Some(s));
        }
        let barriers = g.nodes().iter().filter(|n| n.op == Op::Barrier {}).flat_map(|n| &n.args);
        let memory = |v: &Value| c.alias[v.index()].unwrap_or(*v);
        let kept: Vec<Value> = g.outputs().iter().chain(barriers).map(memory).collect();
        kept.iter().for_each(|v| last_reader[v.index()] = Some(c.steps.len()));
        Grouping { g, rows, with, definitions, c, step_of, reads, kept, last_reader }
    }

    /// Where a value is computed, unless it is an argument.
    pub fn definition(&self, v: Value) -> Option<usize> {
        self.definitions[v.index()]
    }

    /// Whether a value has memory of its own.
    pub fn is_stored(&self, v: Value) -> bool {
        self.c.stored[v.index()]
    }

    /// The last step that reads a stored value that is not kept for something else.
    pub fn last_reader(&self, v: Value) -> Option<usize> {
        self.last_reader[v.index()].filter(|&s| s < self.c.steps.len())
    }

    /// Arrays of fewer bytes are handed over, whatever they are made of.
    pub fn min_remade(&self) -> usize {
        self.with.min_saved / 8
    }

    /// The groups that pay. None is entered again by a path that has left it, nor all of them together.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut members: Vec<(usize, Parts)> = Vec::new();
        let mut is_member = vec![false; self.c.steps.len()];
        // not members, but computed from what members compute
        let mut after: HashSet<usize> = HashSet::new();
        for s in 0..self.c.steps.len() {
            let sources = || self.reads[s].iter().filter_map(|v| self.step_of[v.index()]).filter(|&from| from != s);
            let parts = self.parts(s);
            let reads_member_whole =
                |p: &Parts| p.whole.iter().any(|v| self.step_of[v.index()].is_some_and(|from| is_member[from]));
            let joins =
                parts.as_ref().is_some_and(|p| !reads_member_whole(p)) && !sources().any(|from| after.contains(&from));
            if !joins && parts.is_some() {
                // begins the next group
                groups.extend(self.paying(&members));
                members.iter().for_each(|(m, _)| is_member[*m] = false);
                members.clear();
                after.clear();
            }
            match parts {
                Some(parts) => {
                    is_member[s] = true;
                    members.push((s, parts));
                }
                None if sources().any(|from| is_member[from] || after.contains(&from)) => {
                    after.insert(s);
                }
                None => {}
            }
        }
        groups.extend(self.paying(&members));
        groups
    }

    /// What a step on rows is made of, if it treats rows alike.
    fn parts(&self, s: usize) -> Option<Parts> {
        let step = &self.c.steps[s];
        if let Step::Control(_) = step {
            return None;
        }
        let roots = step_roots(self.g, step);
        let mut parts = Parts::default();
        let mut open: Vec<(Value, bool)> = Vec::new();
        for &r in roots {
            let i = self.definitions[r.index()]?;
            parts.nodes.insert((i, true));
            self.open_operands(i, true, &mut open)?;
        }
        while let Some((v, by_row)) = open.pop() {
            if self.c.stored[v.index()] {
                if by_row {
                    row_axes(&self.g.ty(v).shape, self.rows)?;
                }
                if !roots.contains(&v) {
                    if by_row {
                        parts.rows.insert(v)
                    } else {
                        parts.whole.insert(v)
                    };
                } else if !by_row {
                    return None;
                }
                continue;
            }
            let i = self.definitions[v.index()]?;
            if parts.nodes.insert((i, by_row)) {
                self.open_operands(i, by_row, &mut open)?;
            }
        }
        Some(parts)
    }

    fn open_operands(&self, i: usize, by_row: bool, open: &mut Vec<(Value, bool)>) -> Option<()> {
        let node = &self.g.nodes()[i];
        if !by_row || matches!(node.op, Op::Barrier {}) {
            open.extend(node.args.iter().map(|&a| (a, by_row)));
            return Some(());
        }
        if let Op::Constant { value } = &node.op {
            value.splat_value()?;
            return row_axes(&value.ty().shape, self.rows).map(|_| ());
        }
        let (_, uses) = by_rows(self.g, node, self.rows, 1)?;
        open.extend(node.args.iter().zip(uses).map(|(&a, u)| (a, u == Use::Rows)));
        Some(())
    }

    /// The parts of a set of steps that hang together, those that pay.
    fn paying(&self, members: &[(usize, Parts)]) -> Vec<Group> {
        let mut label: Vec<usize> = (0..members.len()).collect();
        let at: HashMap<usize, usize> = members.iter().enumerate().map(|(k, (s, _))| (*s, k)).collect();
        let mut readers: HashMap<Value, usize> = HashMap::new();
        let find = |label: &mut Vec<usize>, mut k: usize| {
            while label[k] != k {
                label[k] = label[label[k]];
                k = label[k];
            }
            k
        };
        for (k, (_, parts)) in members.iter().enumerate() {
            for v in &parts.rows {
                let from = self.step_of[v.index()].and_then(|s| at.get(&s).copied());
                let large = self.g.ty(*v).bytes() >= self.with.min_saved;
                let other = from.or_else(|| if large { readers.insert(*v, k) } else { None });
                if let Some(other) = other {
                    let (a, b) = (find(&mut label, k), find(&mut label, other));
                    label[a.max(b)] = a.min(b);
                }
            }
        }
        let mut sets: Vec<Vec<usize>> = vec![Vec::new(); members.len()];
        for k in 0..members.len() {
            let first = find(&mut label, k);
            sets[first].push(k);
        }
        sets.iter().filter(|set| set.len() > 1).filter_map(|set| self.group(members, set)).collect()
    }

    fn group(&self, members: &[(usize, Parts)], set: &[usize]) -> Option<Group> {
        let steps: HashSet<usize> = set.iter().map(|&k| members[k].0).collect();
        let is_own = |v: Value| self.step_of[v.index()].is_some_and(|s| steps.contains(&s));
        let mut read_elsewhere: HashSet<Value> = self.kept.iter().copied().collect();
        for (s, reads) in self.reads.iter().enumerate().filter(|(s, _)| !steps.contains(s)) {
            debug_assert!(!steps.contains(&s));
            read_elsewhere.extend(reads);
        }
        let mut parts = Parts::default();
        let mut times_read: HashMap<Value, usize> = HashMap::new();
        for &k in set {
            let p = &members[k].1;
            parts.nodes.extend(&p.nodes);
            parts.rows.extend(&p.rows);
            parts.whole.extend(&p.whole);
            p.rows.iter().for_each(|&v| *times_read.entry(v).or_default() += 1);
        }
        let own = |s: &usize| step_roots(self.g, &self.c.steps[*s]).iter().copied();
        let mut computed: Vec<Value> = steps.iter().flat_map(own).collect();
        computed.sort_unstable();
        let (mut saved, mut moved, mut row_bytes) = (0usize, 0usize, 0usize);
        for &v in computed.iter().chain(parts.rows.iter().filter(|&&v| !is_own(v))) {
            let bytes = self.g.ty(v).bytes();
            row_bytes += bytes / self.rows;
            let reads = times_read.get(&v).copied().unwrap_or(0);
            // a value is read once from where it comes, and written once to where it goes
            let ways = match (is_own(v), read_elsewhere.contains(&v)) {
                (true, false) if reads > 0 => reads + 1,
                (true, _) => reads,
                (false, _) => reads - 1,
            };
            saved = saved.saturating_add(bytes.saturating_mul(ways));
            moved = moved.saturating_add(bytes.saturating_mul(reads + usize::from(is_own(v))));
        }
        let block = self.block(row_bytes, self.alive(members, set) / self.rows)?;
        (saved >= self.with.min_saved && saved >= moved / MIN_SHARE).then(|| Group {
            outputs: computed.iter().copied().filter(|v| read_elsewhere.contains(v)).collect(),
            roots: computed.iter().filter_map(|v| self.definitions[v.index()]).collect(),
            rows: parts.rows.iter().copied().filter(|&v| !is_own(v)).collect(),
            whole: parts.whole.into_iter().collect(),
            nodes: parts.nodes,
            block,
        })
    }

    /// The greatest number of bytes that some step of a group needs, what it reads in blocks and what is computed for later.
    fn alive(&self, members: &[(usize, Parts)], set: &[usize]) -> usize {
        let mut used: HashMap<Value, (usize, usize)> = HashMap::new();
        for &k in set {
            let (step, parts) = &members[k];
            for &v in parts.rows.iter().chain(step_roots(self.g, &self.c.steps[*step])) {
                used.entry(v).or_insert((*step, *step)).1 = *step;
            }
        }
        // what begins, and what has ended
        let mut changes: Vec<(usize, bool, usize)> = Vec::with_capacity(2 * used.len());
        for (v, (first, last)) in used {
            changes.extend([(first, true, self.g.ty(v).bytes()), (last + 1, false, self.g.ty(v).bytes())]);
        }
        changes.sort_unstable();
        let (mut now, mut most) = (0usize, 0);
        for (_, begins, bytes) in changes {
            now = if begins { now.saturating_add(bytes) } else { now.saturating_sub(bytes) };
            most = most.max(now);
        }
        most
    }

    /// Rows of a block: a divisor of all rows, so that there is no rest. All values of a row take `row_bytes` together, those of
    /// one step `alive`.
    fn block(&self, row_bytes: usize, alive: usize) -> Option<usize> {
        if alive > MAX_ROW * self.with.block {
            return None;
        }
        let most = (self.with.block / row_bytes.max(1)).min(self.rows / self.with.min_blocks.max(1)).max(1);
        let block = (1..=most).rev().find(|d| self.rows.is_multiple_of(*d))?;
        // few bytes a block are not worth its loop
        (block * 8 >= most).then_some(block)
    }
}
