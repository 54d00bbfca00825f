//! Makes each group a scan over blocks.

use super::by_rows::{Use, block_shape, by_rows, row_axes};
use super::grouping::Group;
use gradloom_ir::{Builder, Error, Graph, Literal, Op, Result, Shape, Type, Value};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

/// The program with its groups outlined. `None` if there are none, or if they cannot be brought into an order that keeps
/// that of effects.
pub(super) fn outlined(g: &Graph, rows: usize, groups: &[Group]) -> Result<Option<Graph>> {
    if groups.is_empty() {
        return Ok(None);
    }
    let Some(order) = order(g, groups) else { return Ok(None) };
    let mut b = Builder::new();
    let mut map: Vec<Option<Value>> = vec![None; g.num_values()];
    for v in g.inputs() {
        map[v.index()] = Some(b.input(g.ty(v).clone(), &g.input_names()[v.index()]));
    }
    let missing = || Error::internal("block_rows", "a value is used before it is computed");
    for unit in order {
        match unit {
            Unit::Node(i) => {
                let node = &g.nodes()[i];
                let args = node.args.iter().map(|a| map[a.index()].ok_or_else(missing)).collect::<Result<Vec<_>>>()?;
                b.set_loc(&node.loc);
                let types: Vec<Type> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
                for (r, new) in node.results.iter().zip(b.emit_typed(node.op.clone(), &args, types)) {
                    map[r.index()] = Some(new);
                }
            }
            Unit::Group(k) => emit(g, rows, &groups[k], &mut b, &mut map)?,
        }
    }
    let outputs = g.outputs().iter().map(|o| map[o.index()].ok_or_else(missing)).collect::<Result<Vec<_>>>()?;
    b.finish(&outputs).map(Some)
}

/// Emits the scan of a group.
fn emit(g: &Graph, rows: usize, group: &Group, b: &mut Builder, map: &mut [Option<Value>]) -> Result<()> {
    let missing = || Error::internal("block_rows", "an operand of a group is not there");
    let body = body(g, rows, group)?;
    let count = rows / group.block;
    b.set_loc(&g.nodes()[group.roots[0]].loc);
    let mut args = Vec::with_capacity(group.whole.len() + group.rows.len());
    for v in &group.whole {
        args.push(map[v.index()].ok_or_else(missing)?);
    }
    for v in &group.rows {
        let x = map[v.index()].ok_or_else(missing)?;
        let shape = blocks_shape(g, *v, rows, group.block)?;
        args.push(b.reshape(x, &shape));
    }
    let scan = Op::Scan { body: Arc::new(body), length: count, reverse: false, consts: group.whole.len(), carry: 0 };
    let results = b.emit(scan, &args)?;
    for (v, y) in group.outputs.iter().zip(results) {
        map[v.index()] = Some(b.reshape(y, &g.ty(*v).shape));
    }
    Ok(())
}

fn axes_of(g: &Graph, v: Value, rows: usize) -> Result<usize> {
    row_axes(&g.ty(v).shape, rows).ok_or_else(|| Error::internal("block_rows", "an array has no such rows"))
}

/// An array as blocks.
fn blocks_shape(g: &Graph, v: Value, rows: usize, block: usize) -> Result<Shape> {
    let shape = &g.ty(v).shape;
    Ok([rows / block].into_iter().chain(block_shape(shape, axes_of(g, v, rows)?, block)).collect())
}

/// The program of a block.
fn body(g: &Graph, rows: usize, group: &Group) -> Result<Graph> {
    let missing = || Error::internal("block_rows", "a value of a group is not there");
    let mut b = Builder::new();
    // by value, and whether it is a block of it
    let mut map: HashMap<(Value, bool), Value> = HashMap::new();
    for &v in &group.whole {
        map.insert((v, false), b.input(g.ty(v).clone(), ""));
    }
    for &v in &group.rows {
        let ty = g.ty(v);
        let ty = ty.with_shape(&block_shape(&ty.shape, axes_of(g, v, rows)?, group.block));
        map.insert((v, true), b.input(ty, ""));
    }
    for &(i, by_row) in &group.nodes {
        let node = &g.nodes()[i];
        b.set_loc(&node.loc);
        let (op, args) = match &node.op {
            Op::Constant { value } if by_row => {
                let shape = block_shape(&value.ty().shape, axes_of(g, node.results[0], rows)?, group.block);
                let one = value.splat_value().ok_or_else(missing)?;
                map.insert((node.results[0], true), filled(&mut b, &one, &shape));
                continue;
            }
            op if !by_row || matches!(op, Op::Barrier {}) => {
                let args = node.args.iter().map(|a| map.get(&(*a, by_row)).copied().ok_or_else(missing));
                (op.clone(), args.collect::<Result<Vec<_>>>()?)
            }
            _ => {
                let (op, uses) = by_rows(g, node, rows, group.block).ok_or_else(missing)?;
                let mut args = Vec::with_capacity(node.args.len());
                for (a, u) in node.args.iter().zip(uses) {
                    let x = map.get(&(*a, u == Use::Rows)).copied().ok_or_else(missing)?;
                    args.push(match u {
                        Use::Whole(dropped) if dropped > 0 => {
                            let shape: Shape = b.ty(x).shape[dropped..].into();
                            b.reshape(x, &shape)
                        }
                        _ => x,
                    });
                }
                (op, args)
            }
        };
        let results = b.emit(op, &args)?;
        for (r, new) in node.results.iter().zip(results) {
            map.insert((*r, by_row), new);
        }
    }
    let outputs = group.outputs.iter().map(|v| map.get(&(*v, true)).copied().ok_or_else(missing));
    let outputs = outputs.collect::<Result<Vec<_>>>()?;
    b.finish(&outputs)
}

/// An array all of whose elements are the one.
fn filled(b: &mut Builder, one: &Literal, shape: &[usize]) -> Value {
    let one = b.literal(one.clone());
    b.broadcast(one, shape, &[])
}

/// What is emitted at once.
#[derive(Clone, Copy)]
enum Unit {
    Node(usize),
    Group(usize),
}

/// The nodes that are not in groups, and the groups, in an order in which operands come before uses and effects stay in
/// order; close to the order of the graph.
fn order(g: &Graph, groups: &[Group]) -> Option<Vec<Unit>> {
    let nodes = g.nodes().len();
    // units by number: nodes, then groups; a unit's place is that of its last node
    let mut unit_of: Vec<usize> = (0..nodes).collect();
    for (k, group) in groups.iter().enumerate() {
        group.roots.iter().for_each(|&i| unit_of[i] = nodes + k);
    }
    let place = |u: usize| match u.checked_sub(nodes) {
        Some(k) => groups[k].roots.iter().copied().max().unwrap_or(0),
        None => u,
    };
    let definitions = g.definitions();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes + groups.len()];
    let mut waits = vec![0usize; nodes + groups.len()];
    let mut edge = |from: usize, to: usize| {
        if from != to {
            users[from].push(to);
            waits[to] += 1;
        }
    };
    let defined = |v: &Value| definitions[v.index()].map(|i| unit_of[i]);
    let live = live(g, groups, &definitions, &unit_of);
    let mut last_effect = None;
    for (i, node) in g.nodes().iter().enumerate().filter(|(i, _)| live[*i]) {
        node.args.iter().filter_map(defined).for_each(|from| edge(from, i));
        if node.op.has_effect()
            && let Some(before) = last_effect.replace(i)
        {
            edge(before, i);
        }
    }
    for (k, group) in groups.iter().enumerate() {
        group.whole.iter().chain(&group.rows).filter_map(defined).for_each(|from| edge(from, nodes + k));
    }
    let exists = |u: &usize| *u >= nodes || live[*u];
    let all: Vec<usize> = (0..nodes + groups.len()).filter(exists).collect();
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> =
        all.iter().filter(|&&u| waits[u] == 0).map(|&u| Reverse((place(u), u))).collect();
    let mut order = Vec::with_capacity(all.len());
    while let Some(Reverse((_, u))) = ready.pop() {
        order.push(if u < nodes { Unit::Node(u) } else { Unit::Group(u - nodes) });
        for &to in &users[u] {
            waits[to] -= 1;
            if waits[to] == 0 {
                ready.push(Reverse((place(to), to)));
            }
        }
    }
    (order.len() == all.len()).then_some(order)
}

/// Nodes outside of groups that are needed. Those that were inlined into members only are not.
fn live(g: &Graph, groups: &[Group], definitions: &[Option<usize>], unit_of: &[usize]) -> Vec<bool> {
    let mut live = vec![false; g.nodes().len()];
    let mut open: Vec<Value> = g.outputs().to_vec();
    open.extend(groups.iter().flat_map(|group| group.whole.iter().chain(&group.rows)));
    for (i, node) in g.nodes().iter().enumerate().filter(|(_, n)| n.op.has_effect()) {
        live[i] = true;
        open.extend(&node.args);
    }
    while let Some(v) = open.pop() {
        if let Some(i) = definitions[v.index()]
            && unit_of[i] == i
            && !live[i]
        {
            live[i] = true;
            open.extend(&g.nodes()[i].args);
        }
    }
    live
}
