//! Makes each group a scan over blocks.

use super::by_rows::{Use, block_shape, by_rows, row_axes};
use super::grouping::Group;
use crate::outline::{Outlined, outline};
use gradloom_ir::{Builder, Error, Graph, Literal, Op, Result, Shape, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// The program with its groups outlined. `None` if there are none, or if they cannot be brought into an order that keeps
/// that of effects.
pub(super) fn outlined(g: &Graph, rows: usize, groups: &[Group]) -> Result<Option<Graph>> {
    let parts: Vec<Outlined> = groups
        .iter()
        .map(|group| Outlined {
            roots: group.roots.clone(),
            inputs: group.whole.iter().chain(&group.rows).copied().collect(),
        })
        .collect();
    outline(g, &parts, |k, b, map| emit(g, rows, &groups[k], b, map))
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
