//! Sorts and other calls of which not everything is read.

use super::library::Reads;
use gradloom_ir::{Builder, Graph, Node, Op, Result, Type, Value};
use gradloom_passes::{Changed, map_bodies};
use smallvec::SmallVec;

/// Whether an operand of the sort is neither a key nor read afterwards.
fn is_idle(node: &Node, uses: &[u32], operand: usize) -> bool {
    let Op::Sort { num_keys, .. } = node.op else { return false };
    operand >= num_keys && uses[node.results[operand].index()] == 0
}

fn idles(node: &Node, uses: &[u32]) -> bool {
    matches!(node.op, Op::Sort { .. }) && (0..node.args.len()).any(|i| is_idle(node, uses, i))
}

/// Whether [`trim_sorts`] has anything to do here or in a nested program.
pub(super) fn has_idle_operand(g: &Graph) -> bool {
    let here = g.nodes().iter().any(|n| matches!(n.op, Op::Sort { .. })) && {
        let uses = g.use_counts();
        g.nodes().iter().any(|n| idles(n, &uses))
    };
    here || g.nodes().iter().any(|n| n.op.bodies().iter().any(|b| has_idle_operand(b)))
}

/// Takes operands out of sorts that are sorted along and not read.
///
/// **Never** changes results.
pub(super) fn trim_sorts(g: &mut Graph) -> Result<Changed> {
    let inside = map_bodies(g, &mut trim_sorts)?;
    let uses = g.use_counts();
    if !g.nodes().iter().any(|n| idles(n, &uses)) {
        return Ok(inside);
    }
    let mut b = Builder::new();
    let mut map: Vec<Option<Value>> = Vec::with_capacity(g.num_values());
    map.extend(g.inputs().map(|v| Some(b.input(g.ty(v).clone(), &g.input_names()[v.index()]))));
    for node in g.nodes() {
        b.set_loc(&node.loc);
        let kept = |i: &usize| !is_idle(node, &uses, *i);
        let args: Option<SmallVec<[Value; 4]>> =
            (0..node.args.len()).filter(kept).map(|i| map[node.args[i].index()]).collect();
        let types = (0..node.results.len()).filter(kept).map(|i| g.ty(node.results[i]).clone());
        let types: SmallVec<[Type; 2]> = types.collect();
        let args = args.expect("a value that is used is there");
        let mut results = b.emit_typed(node.op.clone(), &args, types).into_iter();
        map.extend((0..node.results.len()).map(|i| if kept(&i) { results.next() } else { None }));
    }
    let outputs: Option<Vec<Value>> = g.outputs().iter().map(|v| map[v.index()]).collect();
    *g = gradloom_passes::dead_code(&b.finish(&outputs.expect("an output is used"))?);
    Ok(Changed::Yes)
}

/// What is read of a node's results.
pub(super) fn reads(g: &Graph, node: &Node) -> Reads {
    let is_output = |v: &Value| g.outputs().contains(v);
    let users = || g.nodes().iter().filter(|u| u.args.iter().any(|a| node.results.contains(a)));
    let mut results: SmallVec<[bool; 4]> = node.results.iter().map(is_output).collect();
    for user in users() {
        results.iter_mut().zip(&node.results).for_each(|(read, r)| *read |= user.args.contains(r));
    }
    let part = match node.op {
        Op::Sort { axis, .. } if !node.results.iter().any(is_output) => {
            users().try_fold((usize::MAX, 0), |(start, end), user| match &user.op {
                Op::Slice { start: from, limit, .. } => Some((start.min(from[axis]), end.max(limit[axis]))),
                _ => None,
            })
        }
        _ => None,
    };
    Reads { results, part: part.map(|(start, end)| start.min(end)..end) }
}
