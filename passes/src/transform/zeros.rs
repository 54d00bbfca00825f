//! Symbolic zeros made concrete where a program's interface needs them.

use super::Split;
use gradloom_ir::{Builder, Graph, Result, Value};

/// After splitting a jvp: moves tangent outputs that came out as known into the linear program (they are constants
/// that do not depend on any tangent, hence zero).
pub(super) fn settle_tangents(s: Split, primal_outputs: usize) -> Result<(Graph, Graph)> {
    if s.known_outputs[primal_outputs..].iter().all(|k| !k) {
        return Ok((s.known, s.unknown));
    }
    let count = s.known_outputs.len();
    let known_count = s.known_outputs.iter().filter(|&&k| k).count();
    let keep: Vec<usize> = (0..primal_outputs).chain(known_count..s.known.num_outputs()).collect();
    let primal = super::pick_outputs(&s.known, &keep)?;
    let (mut b, args) = Builder::with_inputs(&s.unknown.input_types());
    let outs = b.inline(&s.unknown, &args)?;
    let (mut unknown, mut known) = (outs.into_iter(), primal_outputs);
    let mut tangents: Vec<Value> = Vec::new();
    for i in primal_outputs..count {
        tangents.push(if s.known_outputs[i] {
            let ty = s.known.ty(s.known.outputs()[known]).clone();
            known += 1;
            b.full(&ty, 0.0)
        } else {
            unknown.next().expect("one unknown result for each output that is not known")
        });
    }
    Ok((primal, b.finish(&tangents)?))
}
