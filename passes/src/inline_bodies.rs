//! Nested programs that need not be nested.

use crate::manager::{Changed, replace, rewrite_nodes};
use gradloom_ir::{Builder, Graph, Literal, Op, Result, Type, Value, Values};

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
    let definitions = g.definitions();
    let constant = |v: Value| match &g.nodes()[definitions[v.index()]?].op {
        Op::Constant { value } => Some(value),
        _ => None,
    };
    let new = rewrite_nodes(g, |b, _, node, args| {
        let index = node.args.first().and_then(|&a| constant(a));
        Ok(expand(b, &node.op, args, index)?.map(Values::from_vec))
    })?;
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
        Op::Scan { length: 1, .. } => crate::unroll_scans::straight(b, op, args).map(Some),
        _ => Ok(None),
    }
}

/// A constant without elements.
pub(crate) fn empty(b: &mut Builder, dtype: gradloom_ir::DType, shape: Vec<usize>) -> Value {
    let value = Literal::from_bytes(Type::new(dtype, &shape), Vec::new()).expect("the shape has an empty axis");
    b.literal(value)
}
