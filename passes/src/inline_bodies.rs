//! Nested programs that need not be nested.

use crate::manager::{Changed, copy_inputs, finish, replace};
use gradloom_ir::{Builder, Graph, Literal, Op, Result, Type, Value};
use smallvec::SmallVec;

/// Replaces ops with bodies by the body where that means the same:
/// `remat(f)`, `custom_jvp(f, ..)`, `custom_vjp(f, ..)` = f; a `switch` whose branch is known = that branch;
/// a `scan` of no rows = its init; a `scan` of one row = its body.
///
/// **Requires** that all differentiation is done: custom rules and the wish to recompute are forgotten here. What
/// `remat` set up for the backward pass is held in place by barriers, which stay.
/// **Ensures** no `remat`, `custom_jvp` or `custom_vjp` is left at this level.
pub fn inline_bodies(g: &mut Graph) -> Result<Changed> {
    if !g.nodes().iter().any(|n| n.op.has_body()) {
        return Ok(Changed::No);
    }
    let (mut b, mut map) = copy_inputs(g);
    let definitions = g.definitions();
    let constant = |v: Value| match &g.nodes()[definitions[v.index()]?].op {
        Op::Constant { value } => Some(value),
        _ => None,
    };
    for node in g.nodes() {
        let args: SmallVec<[Value; 4]> = node.args.iter().map(|a| map[a.index()]).collect();
        b.set_loc(&node.loc);
        let index = node.args.first().and_then(|&a| constant(a));
        match expand(&mut b, &node.op, &args, index)? {
            Some(results) => map.extend(results),
            None => {
                let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
                map.extend(b.emit_typed(node.op.clone(), &args, types));
            }
        }
    }
    let new = finish(b, g, &map)?;
    Ok(replace(g, new))
}

/// The results of an op with a body as computed without it, if [`inline_bodies`] has a rule for it. `first` is the
/// first operand's value if that is constant.
pub(crate) fn expand(b: &mut Builder, op: &Op, args: &[Value], first: Option<&Literal>) -> Result<Option<Vec<Value>>> {
    match op {
        Op::Remat { body } => b.inline(body, args).map(Some),
        Op::CustomJvp { primal, .. } | Op::CustomVjp { primal, .. } => b.inline(primal, args).map(Some),
        Op::Switch { branches } => {
            let last = branches.len() - 1;
            let chosen = match first {
                Some(i) => (i.get_f64(0).max(0.0) as usize).min(last),
                None if branches.iter().all(|g| g == &branches[0]) => 0,
                None => return Ok(None),
            };
            b.inline(&branches[chosen], &args[1..]).map(Some)
        }
        Op::Scan { body, length: 0, consts, carry, .. } => {
            let mut results = args[*consts..consts + carry].to_vec();
            for y in &body.output_types()[*carry..] {
                results.push(empty(b, y.dtype, [&[0], &y.shape[..]].concat()));
            }
            Ok(Some(results))
        }
        Op::Scan { body, length: 1, consts, carry, .. } => {
            let mut inner = args[..consts + carry].to_vec();
            for &x in &args[consts + carry..] {
                let row = b.ty(x).shape[1..].to_vec();
                inner.push(b.reshape(x, &row));
            }
            let mut results = b.inline(body, &inner)?;
            for y in &mut results[*carry..] {
                let stacked = [&[1], &b.ty(*y).shape[..]].concat();
                *y = b.reshape(*y, &stacked);
            }
            Ok(Some(results))
        }
        _ => Ok(None),
    }
}

/// A constant without elements.
pub(crate) fn empty(b: &mut Builder, dtype: gradloom_ir::DType, shape: Vec<usize>) -> Value {
    let value = Literal::from_bytes(Type::new(dtype, &shape), Vec::new()).expect("the shape has an empty axis");
    b.literal(value)
}
