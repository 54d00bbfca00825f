//! The algebraic simplifier.
//!
//! Rules stand in files by subject; each is its equation as a comment, a pattern and a result. A legal rule:
//! - gives the same bits on every input, NaNs counting as equal, unless its comment says **reassociates**: then
//!   results may differ by rounding or in the sign of a zero;
//! - is never worse on the right: no more work, and no more memory read or written. Where the left side's parts live
//!   on because others use them, a rule must not do their work twice ([`View::single_use`]);
//! - gets closer to the canonical form: constants that repeat one element are broadcast scalars, broadcasts stand
//!   outermost and have no operand axes of length 1, constants stand right of commutative ops.
//!
//! Rules that reassociate: powers by small constants (within the rounding of `power`), sums of what was broadcast,
//! sums of sums, sums over several transposed axes, sums of negatives, products of outer products.

mod arithmetic;
mod contractions;
mod control;
mod converting;
mod cutting;
mod indexing;
mod lifting;
mod logic;
mod reductions;
mod shaping;
mod view;

use crate::manager::Changed;
use gradloom_ir::{Graph, Op, Result, Type, Value};
use smallvec::SmallVec;
use view::View;

/// Sweeps after which the simplifier stops even if rules still apply. Two is what programs need.
const MAX_SWEEPS: usize = 8;

/// Applies the rules until none applies.
///
/// **Ensures** the same results, up to what the rules that reassociate may change (they are listed where the rules
/// are). Where a rule applied, the program has no dead nodes.
pub fn simplify(g: &mut Graph) -> Result<Changed> {
    let mut changed = Changed::No;
    for _ in 0..MAX_SWEEPS {
        let Some(new) = sweep(g)? else { break };
        let new = crate::dead_code(&new);
        if new == *g {
            break;
        }
        *g = new;
        changed = Changed::Yes;
    }
    Ok(changed)
}

/// Rebuilds the program node by node, each through the rules; `None` if none applies.
fn sweep(g: &Graph) -> Result<Option<Graph>> {
    let mut v = View::new();
    let uses = g.use_counts();
    let mut map: Vec<Value> = Vec::with_capacity(g.num_values());
    map.extend(g.inputs().map(|i| v.input(g.ty(i).clone(), &g.input_names()[i.index()])));
    for i in g.inputs() {
        v.add_uses(map[i.index()], uses[i.index()]);
    }
    for node in g.nodes() {
        let args: SmallVec<[Value; 4]> = node.args.iter().map(|a| map[a.index()]).collect();
        v.set_loc(&node.loc);
        let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
        let results = rewrite_node(&mut v, &node.op, &args, &types)?;
        v.any |= results.is_some();
        let results = results.unwrap_or_else(|| v.raw(|b| b.emit_typed(node.op.clone(), &args, types)).to_vec());
        for (old, &new) in node.results.iter().zip(&results) {
            v.add_uses(new, uses[old.index()]);
        }
        map.extend(results);
    }
    if !v.any {
        return Ok(None);
    }
    let outputs: Vec<Value> = g.outputs().iter().map(|o| map[o.index()]).collect();
    v.finish(&outputs).map(Some)
}

fn rewrite_node(v: &mut View, op: &Op, args: &[Value], types: &[Type]) -> Result<Option<Vec<Value>>> {
    let keep = matches!(op, Op::Barrier {} | Op::Constant { .. }) || op.has_effect();
    // no elements = an empty constant
    if !keep && !types.is_empty() && types.iter().all(|t| t.numel() == 0) {
        let empty = |t: &Type| v.raw(|b| crate::inline_bodies::empty(b, t.dtype, t.shape.to_vec()));
        return Ok(Some(types.iter().map(empty).collect()));
    }
    if op.has_body() {
        return control::rewrite(v, op, args);
    }
    Ok(v.try_rules(op, args).map(|x| vec![x]))
}

/// The rules by the op at the root. Multi-result ops have none here.
fn rewrite(v: &mut View, op: &Op, args: &[Value]) -> Option<Value> {
    match op {
        Op::Unary(f) => lifting::lift(v, op, args).or_else(|| arithmetic::unary(v, *f, args[0])),
        Op::Binary(f) => lifting::lift(v, op, args).or_else(|| arithmetic::binary(v, *f, args[0], args[1])),
        Op::Compare(c) => lifting::lift(v, op, args).or_else(|| logic::compare(v, *c, args[0], args[1])),
        Op::Select {} => logic::select(v, args[0], args[1], args[2]).or_else(|| lifting::lift(v, op, args)),
        Op::Convert { dtype } => converting::convert(v, args[0], *dtype).or_else(|| lifting::lift(v, op, args)),
        Op::Bitcast { dtype } => converting::bitcast(v, args[0], *dtype).or_else(|| lifting::lift(v, op, args)),
        Op::Threefry { .. } => lifting::lift(v, op, args),
        Op::Constant { value } => shaping::constant(v, value),
        Op::Broadcast { shape, dims } => shaping::broadcast(v, args[0], shape, dims),
        Op::Reshape { shape } => shaping::reshape(v, args[0], shape),
        Op::Transpose { perm } => shaping::transpose(v, args[0], perm),
        Op::Slice { start, limit, stride } => cutting::slice(v, args[0], start, limit, stride),
        Op::Pad { low, high, interior } => cutting::pad(v, args, low, high, interior),
        Op::Concatenate { axis } => cutting::concatenate(v, args, *axis),
        Op::Reverse { axes } => cutting::reverse(v, args[0], axes),
        Op::DynamicSlice { sizes } => indexing::dynamic_slice(v, args, sizes),
        Op::DynamicUpdateSlice {} => indexing::dynamic_update_slice(v, args),
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
            contractions::dot_general(v, args, [lhs_batch, rhs_batch], [lhs_contract, rhs_contract])
        }
        Op::Reduce { kind, axes } => reductions::reduce(v, *kind, args[0], axes),
        Op::Cumulative { axis, .. } => reductions::cumulative(v, args[0], *axis),
        Op::Iota { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. }
        | Op::Convolution { .. }
        | Op::ArgReduce { .. }
        | Op::ReduceWindow { .. }
        | Op::SelectAndGather { .. }
        | Op::SelectAndScatter { .. }
        | Op::Sort { .. }
        | Op::Fft { .. }
        | Op::AllReduce { .. }
        | Op::AxisIndex { .. }
        | Op::Barrier {}
        | Op::HostCall { .. }
        | gradloom_ir::body_ops!() => None,
        Op::SpectralForm { order } => contractions::spectral_form(v, args, *order),
        Op::LuSolve { transpose_a } => contractions::lu_solve(v, args, *transpose_a),
        Op::Cholesky { .. }
        | Op::TriangularSolve { .. }
        | Op::Lu {}
        | Op::Qr { .. }
        | Op::Svd { .. }
        | Op::Eigh { .. }
        | Op::Eig { .. }
        | Op::Pinv {} => None,
    }
}
