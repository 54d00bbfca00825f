//! What a group would hand over although something else that it hands over says as much.
//!
//! The exponentials of a softmax and the weights, which are these divided by their sums, are both wanted by the gradient. One of
//! them is enough in memory: the weights are made again where they are read.

use super::grouping::{Group, Grouping};
use crate::cpu::cluster::{MAX_RECOMPUTE, own_cost};
use crate::cpu::divide_reductions::is_elementwise;
use gradloom_ir::{Error, Graph, Op, Result, Value};
use gradloom_passes::rewrite_nodes;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is this many times smaller than an array counts for nothing beside it.
const SMALL: usize = 16;

/// The program with the results of groups made again outside that are cheaply made of another one that is kept as long.
/// `None` if there are none.
pub(super) fn remade(g: &Graph, grouping: &Grouping, groups: &[Group]) -> Result<Option<Graph>> {
    let mut again: HashMap<Value, BTreeSet<usize>> = HashMap::new();
    let mut inside: HashMap<Value, usize> = HashMap::new();
    for (k, group) in groups.iter().enumerate() {
        for &v in &group.outputs {
            // what others are made of stays
            if again.values().any(|e| reads(g, e, v)) {
                continue;
            }
            let kept = |from: Value| group.outputs.contains(&from) && !again.contains_key(&from);
            if let Some(expression) = expression(g, grouping, v, kept) {
                again.insert(v, expression);
                inside.insert(v, k);
            }
        }
    }
    if again.is_empty() {
        return Ok(None);
    }
    let members: Vec<HashSet<usize>> = groups.iter().map(|g| g.nodes.iter().map(|&(i, _)| i).collect()).collect();
    let mut of_old: Vec<Option<Value>> = g.inputs().map(Some).collect();
    of_old.resize(g.num_values(), None);
    let mut copies: HashMap<Value, Value> = HashMap::new();
    let missing = || Error::internal("block_rows", "an operand of what is made again is not there");
    let new = rewrite_nodes(g, |b, i, node, args| {
        for (&old, &new) in node.args.iter().zip(args) {
            of_old[old.index()] = Some(new);
        }
        let is_read = |v: &Value| inside.get(v).is_some_and(|&k| !members[k].contains(&i));
        if !node.args.iter().any(is_read) {
            return Ok(None);
        }
        let mut new_args = args.to_vec();
        for (k, &a) in node.args.iter().enumerate().filter(|(_, a)| is_read(a)) {
            if let Some(&copy) = copies.get(&a) {
                new_args[k] = copy;
                continue;
            }
            let mut made: HashMap<Value, Value> = HashMap::new();
            for &e in &again[&a] {
                let part = &g.nodes()[e];
                let of = |x: &Value| made.get(x).copied().or(of_old[x.index()]).ok_or_else(missing);
                let operands = part.args.iter().map(of).collect::<Result<Vec<_>>>()?;
                b.set_loc(&part.loc);
                made.insert(part.results[0], b.op(part.op.clone(), &operands));
            }
            let copy = made.get(&a).copied().ok_or_else(missing)?;
            copies.insert(a, copy);
            new_args[k] = copy;
        }
        b.set_loc(&node.loc);
        let types = node.results.iter().map(|&r| g.ty(r).clone());
        Ok(Some(b.emit_typed(node.op.clone(), &new_args, types)))
    })?;
    Ok(Some(new))
}

fn reads(g: &Graph, expression: &BTreeSet<usize>, v: Value) -> bool {
    expression.iter().any(|&i| g.nodes()[i].args.contains(&v))
}

/// The nodes that make a value of what is stored: of one array of its size that is `kept` and read as late as itself, and
/// small ones.
fn expression(g: &Graph, grouping: &Grouping, v: Value, kept: impl Fn(Value) -> bool) -> Option<BTreeSet<usize>> {
    let bytes = g.ty(v).bytes();
    let until = grouping.last_reader(v)?;
    if bytes < grouping.min_remade() {
        return None;
    }
    let (mut nodes, mut cost, mut large) = (BTreeSet::new(), 0, None);
    let mut open = vec![grouping.definition(v)?];
    while let Some(i) = open.pop() {
        let node = &g.nodes()[i];
        let is_made = is_elementwise(&node.op)
            || matches!(node.op, Op::Broadcast { .. })
            || matches!(&node.op, Op::Constant { value } if value.splat_value().is_some());
        if !is_made {
            return None;
        }
        if !nodes.insert(i) {
            continue;
        }
        cost += own_cost(&node.op);
        if cost > MAX_RECOMPUTE {
            return None;
        }
        for &a in &node.args {
            if !grouping.is_stored(a) {
                open.push(grouping.definition(a)?);
            } else if g.ty(a).bytes() * SMALL > bytes && large.replace(a).is_some_and(|other| other != a) {
                return None;
            }
        }
    }
    let from = large.filter(|&a| kept(a))?;
    (grouping.last_reader(from)? >= until).then_some(nodes)
}
