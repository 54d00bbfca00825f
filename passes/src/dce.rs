//! Dead code elimination.

use gradloom_ir::{Builder, Graph, Value};
use smallvec::SmallVec;

/// Drops nodes none of whose results reach an output. Inputs stay.
///
/// **Ensures** idempotence. No op has side effects, so every unused node may go.
pub fn dead_code(g: &Graph) -> Graph {
    let mut live = vec![false; g.num_values()];
    g.outputs().iter().for_each(|v| live[v.index()] = true);
    for node in g.nodes().iter().rev() {
        if node.results.iter().any(|r| live[r.index()]) {
            node.args.iter().for_each(|a| live[a.index()] = true);
        }
    }
    let keep = |n: &gradloom_ir::Node| n.results.iter().any(|r| live[r.index()]);
    if g.nodes().iter().all(keep) {
        return g.clone();
    }
    let mut b = Builder::new();
    let mut map: Vec<Option<Value>> = vec![None; g.num_values()];
    for v in g.inputs() {
        map[v.index()] = Some(b.input(g.ty(v).clone(), &g.input_names()[v.index()]));
    }
    for node in g.nodes().iter().filter(|n| keep(n)) {
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
