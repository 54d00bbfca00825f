//! Sums and products of 16-bit floats in f32, for backends whose kernels accumulate in the operands' dtype.

use crate::manager::{Changed, copy_inputs, finish, replace};
use gradloom_ir::{Graph, Op, Result, Value};
use smallvec::SmallVec;

/// Puts conversions to f32 and back around the ops that combine many 16-bit floats into one
/// ([`Op::accumulates`]), reductions apart, which loop nests widen by themselves.
///
/// **Ensures** that no other accumulating op has 16-bit operands. **Never** changes results.
pub fn widen_sums(g: &mut Graph) -> Result<Changed> {
    let narrow = |op: &Op, args: &[Value]| {
        op.accumulates() && !matches!(op, Op::Reduce { .. }) && args.iter().any(|&a| g.ty(a).dtype.is_half())
    };
    if !g.nodes().iter().any(|n| narrow(&n.op, &n.args)) {
        return Ok(Changed::No);
    }
    let (mut b, mut map) = copy_inputs(g);
    for node in g.nodes() {
        b.set_loc(&node.loc);
        let mut args: SmallVec<[Value; 4]> = node.args.iter().map(|a| map[a.index()]).collect();
        if !narrow(&node.op, &node.args) {
            map.extend(b.emit(node.op.clone(), &args)?);
            continue;
        }
        for a in &mut args {
            *a = b.convert(*a, b.ty(*a).dtype.accumulator());
        }
        let results = b.emit(node.op.clone(), &args)?;
        for (r, &old) in results.iter().zip(&node.results) {
            map.push(b.convert(*r, g.ty(old).dtype));
        }
    }
    let new = finish(b, g, &map)?;
    Ok(replace(g, new))
}
