//! What is true of every graph:
//!
//! 1. inputs are values `0..num_inputs`, and the results of the nodes follow densely in order;
//! 2. an operand is defined before it is used;
//! 3. the types of a node's results are those the op's shape rule gives;
//! 4. outputs are values of the graph;
//! 5. all of this holds for every nested program.

use crate::{Error, Graph, Result, Type, infer};

/// Checks a graph; the error names the node and the rule it breaks.
pub fn verify(g: &Graph) -> Result<()> {
    let mut next = g.num_inputs();
    for (i, node) in g.nodes().iter().enumerate() {
        let bad =
            |rule: String| Error::internal("verify", format!("node {i} ({}): {rule}", node.op.name())).at(&node.loc);
        if let Some(a) = node.args.iter().find(|a| a.index() >= next) {
            return Err(bad(format!("operand {a} is not defined yet")));
        }
        let args: Vec<Type> = node.args.iter().map(|&a| g.ty(a).clone()).collect();
        let types = infer(&node.op, &args).map_err(|e| bad(e.message().to_string()))?;
        if types.len() != node.results.len() {
            return Err(bad(format!("{} results instead of {}", node.results.len(), types.len())));
        }
        for (r, t) in node.results.iter().zip(&types) {
            if r.index() != next || r.index() >= g.num_values() {
                return Err(bad(format!("result {r} should be %{next}")));
            }
            if g.ty(*r) != t {
                return Err(bad(format!("result {r} is {} but the op gives {t}", g.ty(*r))));
            }
            next += 1;
        }
        for body in node.op.bodies() {
            verify(body)?;
        }
    }
    if next != g.num_values() {
        return Err(Error::internal("verify", format!("{} values, {next} of them defined", g.num_values())));
    }
    match g.outputs().iter().find(|v| v.index() >= next) {
        Some(v) => Err(Error::internal("verify", format!("output {v} is not a value of the graph"))),
        None => Ok(()),
    }
}
