//! Fewer residuals: what a few elementwise operations make of other residuals is computed again instead of handed over.
//!
//! In a loop each residual is an array with a row for each step, written forwards and read backwards: far dearer than what
//! most derivatives of elementwise functions add to the value they are computed from (tanh' = 1 - tanh²). PyTorch's
//! partitioner chooses by a minimal cut (functorch, 2022); here it is enough to ask of each residual in order.

use super::Split;
use crate::manager::{copy_inputs, copy_node};
use gradloom_ir::{Binary, Builder, Graph, Op, Result, Unary, Value};
use std::collections::{BTreeSet, HashMap};

/// Operations that may be done again for one residual.
const MAX_OPERATIONS: usize = 6;

/// Ops that cost less than a number read from memory.
fn is_cheap(op: &Op) -> bool {
    match op {
        Op::Unary(u) => matches!(u, Unary::Neg | Unary::Abs | Unary::Not | Unary::Sign),
        Op::Binary(b) => matches!(b, Binary::Add | Binary::Sub | Binary::Mul | Binary::Max | Binary::Min),
        Op::Compare(_) | Op::Select {} | Op::Convert { .. } | Op::Broadcast { .. } | Op::Constant { .. } => true,
        _ => false,
    }
}

/// The split without residuals that cheap ops make of others, and of inputs of the known half that are `at_hand` in the
/// unknown one for nothing (these become residuals).
///
/// **Ensures** the same results, bit by bit: the operations are the same ones.
pub(super) fn spare_residuals(s: Split, at_hand: &[bool]) -> Result<Split> {
    let first = s.known.num_outputs() - s.residuals;
    let all = &s.known.outputs()[first..];
    let listed: BTreeSet<Value> = all.iter().copied().collect();
    let search = Search { g: &s.known, listed: &listed, at_hand };
    let derived: HashMap<Value, BTreeSet<usize>> =
        listed.iter().filter_map(|&v| search.derivation(v).map(|nodes| (v, nodes))).collect();
    if derived.is_empty() {
        return Ok(s);
    }
    // what is handed over: what is not derived, and the inputs that derivations read
    let mut handed: Vec<Value> = Vec::new();
    let read = derived.values().flatten().flat_map(|&i| &s.known.nodes()[i].args).copied();
    let inputs = read.filter(|a| a.index() < s.known.num_inputs());
    for v in all.iter().copied().filter(|v| !derived.contains_key(v)).chain(inputs) {
        if !handed.contains(&v) {
            handed.push(v);
        }
    }
    let (mut b, mut map) = copy_inputs(&s.known);
    for node in s.known.nodes() {
        map.extend(copy_node(&mut b, &s.known, node, |a| map[a.index()]));
    }
    let outputs: Vec<Value> = s.known.outputs()[..first].iter().chain(&handed).map(|v| map[v.index()]).collect();
    let known = crate::dead_code(&b.finish(&outputs)?);

    let mut b = Builder::new();
    let mut there: HashMap<Value, Value> = handed.iter().map(|&v| (v, b.input(s.known.ty(v).clone(), ""))).collect();
    let rest: Vec<Value> = s.unknown.inputs().skip(s.residuals).map(|v| b.input(s.unknown.ty(v).clone(), "")).collect();
    let nodes: BTreeSet<usize> = derived.into_values().flatten().collect();
    for i in nodes {
        let node = &s.known.nodes()[i];
        let results = copy_node(&mut b, &s.known, node, |a| there[&a]);
        there.extend(node.results.iter().copied().zip(results));
    }
    let args: Vec<Value> = all.iter().map(|v| there[v]).chain(rest).collect();
    let outputs = b.inline(&s.unknown, &args)?;
    let unknown = crate::dead_code(&b.finish(&outputs)?);
    Ok(Split { known, unknown, residuals: handed.len(), known_outputs: s.known_outputs })
}

struct Search<'a> {
    g: &'a Graph,
    listed: &'a BTreeSet<Value>,
    at_hand: &'a [bool],
}

impl Search<'_> {
    /// The nodes that make `v` of other residuals; none if it takes more or dearer ones than it is worth.
    fn derivation(&self, v: Value) -> Option<BTreeSet<usize>> {
        let definitions = self.g.definitions();
        definitions[v.index()]?;
        let mut nodes = BTreeSet::new();
        let mut open = vec![v];
        let mut operations = 0;
        while let Some(x) = open.pop() {
            let Some(i) = definitions[x.index()] else {
                if self.at_hand[x.index()] {
                    continue;
                }
                return None;
            };
            let node = &self.g.nodes()[i];
            if !is_cheap(&node.op) {
                return None;
            }
            if nodes.insert(i) {
                operations += usize::from(!matches!(node.op, Op::Constant { .. } | Op::Broadcast { .. }));
                open.extend(node.args.iter().copied().filter(|a| !self.listed.contains(a)));
            }
            if operations > MAX_OPERATIONS {
                return None;
            }
        }
        Some(nodes)
    }
}
