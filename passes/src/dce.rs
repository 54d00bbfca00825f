//! Dead code elimination.

use crate::manager::map_bodies;
use gradloom_ir::{Builder, Graph, Node, Result, Value};
use smallvec::SmallVec;

/// Drops nodes none of whose results reach an output or an effect. Inputs and nodes with effects stay.
///
/// **Ensures** idempotence.
pub fn dead_code(g: &Graph) -> Graph {
    drop_nodes(g, |n| n.op.has_effect())
}

/// The program for its results alone: without host calls that give none, here and in nested programs.
///
/// For a program that is computed again where the first computation has had the effects.
pub(crate) fn without_effects(g: &Graph) -> Result<Graph> {
    let mut g = g.clone();
    if g.has_effect() {
        map_bodies(&mut g, &mut |body| {
            let new = without_effects(body)?;
            Ok(crate::manager::replace(body, new))
        })?;
    }
    Ok(drop_nodes(&g, |_| false))
}

/// Drops nodes that are neither wanted for themselves nor for their results.
fn drop_nodes(g: &Graph, wanted: impl Fn(&Node) -> bool) -> Graph {
    let mut live = vec![false; g.num_values()];
    let mut keep = vec![false; g.nodes().len()];
    g.outputs().iter().for_each(|v| live[v.index()] = true);
    for (node, keep) in g.nodes().iter().zip(&mut keep).rev() {
        *keep = node.results.iter().any(|r| live[r.index()]) || wanted(node);
        if *keep {
            node.args.iter().for_each(|a| live[a.index()] = true);
        }
    }
    if !keep.contains(&false) {
        return g.clone();
    }
    let mut b = Builder::new();
    let mut map: Vec<Option<Value>> = vec![None; g.num_values()];
    for v in g.inputs() {
        map[v.index()] = Some(b.input(g.ty(v).clone(), &g.input_names()[v.index()]));
    }
    for (node, _) in g.nodes().iter().zip(keep).filter(|(_, keep)| *keep) {
        let args: SmallVec<[Value; 4]> =
            node.args.iter().map(|a| map[a.index()].expect("operands of live nodes are live")).collect();
        let types = node.results.iter().map(|&r| g.ty(r).clone());
        b.set_loc(&node.loc);
        let results = b.emit_typed(node.op.clone(), &args, types);
        for (old, new) in node.results.iter().zip(results) {
            map[old.index()] = Some(new);
        }
    }
    let outs: Vec<Value> = g.outputs().iter().map(|v| map[v.index()].expect("outputs are live")).collect();
    b.finish(&outs).expect("a part of a well-formed program is well-formed")
}
