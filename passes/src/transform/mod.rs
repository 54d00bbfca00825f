//! Differentiation and batching of whole graphs.
//!
//! Forward mode is [`jvp()`]; [`linearize`] is jvp followed by [`split()`] into what can be computed from the inputs
//! alone and what is linear in the tangents; reverse mode is the [`transpose()`] of that linear part. [`batch()`] is
//! `vmap`. Each is one walk over the graph and a rule table ([`crate::rules`]); ops with bodies are treated where
//! they are met, by the transform applied to the body.

mod batch;
mod jvp;
mod residuals;
mod split;
mod transpose;
mod while_loop;
mod zeros;

pub use batch::{Batched, batch, move_axis};
pub use jvp::{Jvp, jvp};
pub use split::{Split, split};
pub use transpose::{Transposed, transpose};

use gradloom_ir::{Builder, Graph, Result, Value};

/// A function and its derivative at a point, as two programs.
#[derive(Clone, Debug)]
pub struct Linearized {
    /// Inputs to outputs followed by residuals.
    pub primal: Graph,
    /// Residuals followed by tangents of the active inputs, to tangents of the active outputs.
    pub linear: Graph,
    /// How many residuals there are.
    pub residuals: usize,
    /// Which outputs have a tangent that is not zero by structure.
    pub active_outputs: Vec<bool>,
}

/// Splits a program into its primal part and its derivative with respect to the `active` inputs.
///
/// **Requires** active inputs to be floats. **Ensures** `linear` is linear in its tangents. **Never** repeats primal
/// work in `linear`, except below `remat` and constants.
pub fn linearize(g: &Graph, active: &[bool]) -> Result<Linearized> {
    let j = jvp(g, active, None)?;
    let known: Vec<bool> = (0..j.graph.num_inputs()).map(|i| i < g.num_inputs()).collect();
    let s = split(&j.graph, &known)?;
    // A primal output that depends on a tangent would be a broken rule; split says so by listing it as unknown.
    debug_assert!((0..g.num_outputs()).all(|i| s.known_outputs[i]));
    // Tangent outputs that turned out not to depend on any tangent are zeros that a rule did not see as such.
    let (primal, linear) = zeros::settle_tangents(s, g.num_outputs())?;
    let residuals = primal.num_outputs() - g.num_outputs();
    Ok(Linearized { primal, linear, residuals, active_outputs: j.active_outputs })
}

/// The same program with input `i` taken from position `order[i]` of the old inputs.
pub(crate) fn reorder_inputs(g: &Graph, order: &[usize]) -> Result<Graph> {
    let types: Vec<_> = order.iter().map(|&i| g.types()[i].clone()).collect();
    let (mut b, new) = Builder::with_inputs(&types);
    let mut args = vec![Value::from_index(0); g.num_inputs()];
    for (&old, &v) in order.iter().zip(&new) {
        args[old] = v;
    }
    let outs = b.inline(g, &args)?;
    b.finish(&outs)
}

/// The same program returning `outputs[i]`-th old outputs.
pub(crate) fn pick_outputs(g: &Graph, outputs: &[usize]) -> Result<Graph> {
    let (mut b, args) = Builder::with_inputs(&g.input_types());
    let outs = b.inline(g, &args)?;
    let picked: Vec<Value> = outputs.iter().map(|&i| outs[i]).collect();
    b.finish(&picked).map(|g| crate::dce::dead_code(&g))
}
