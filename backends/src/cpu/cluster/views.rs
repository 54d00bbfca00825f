//! Slices whose elements lie side by side in what they are taken from: a library call or a loop reads them there.

use gradloom_ir::{Graph, Node, Op, Value};

/// A view keeps all that it is part of in memory. What is no argument must be wanted by views to at least one part in so many.
const LEAST_SHARE: usize = 2;

/// By value: the element of its operand with which it begins, if it is a slice that may be read where it lies.
pub(super) fn views(g: &Graph, definitions: &[Option<usize>]) -> Vec<Option<usize>> {
    let mut views: Vec<Option<usize>> = vec![None; g.num_values()];
    // what each is part of, and how many bytes of that all views want
    let mut parts: Vec<(Value, Value)> = Vec::new();
    let mut wanted = vec![0usize; g.num_values()];
    for node in g.nodes() {
        let Op::Slice { .. } = node.op else { continue };
        if let (Some(first), Some(whole)) = (first_of(g, node), memory_of(g, definitions, node.args[0])) {
            let r = node.results[0];
            views[r.index()] = Some(first);
            parts.push((r, whole));
            wanted[whole.index()] = wanted[whole.index()].saturating_add(g.ty(r).bytes());
        }
    }
    for (r, whole) in parts {
        let stays = definitions[whole.index()].is_none();
        if !stays && wanted[whole.index()] < g.ty(whole).bytes() / LEAST_SHARE {
            views[r.index()] = None;
        }
    }
    views
}

/// The element of the operand that is the first of a slice, if the others come after it one by one.
fn first_of(g: &Graph, node: &Node) -> Option<usize> {
    let Op::Slice { start, limit, stride } = &node.op else { return None };
    let from = &g.ty(node.args[0]).shape;
    let extent = |a: usize| limit[a] - start[a];
    if stride.iter().any(|&s| s != 1) || (0..from.len()).any(|a| extent(a) == 0) {
        return None;
    }
    // of one axis a part is taken, of those before it one place
    let rest = (0..from.len()).find(|&a| extent(a) > 1).unwrap_or(from.len());
    let whole = (rest + 1..from.len()).all(|a| extent(a) == from[a]);
    whole.then(|| start.iter().zip(from).fold(0, |first, (s, n)| first * n + s))
}

/// The value in whose memory `v` lies, if it is one that has memory whoever reads it: an argument, or what a library call or a loop
/// has computed.
fn memory_of(g: &Graph, definitions: &[Option<usize>], mut v: Value) -> Option<Value> {
    while let Some(i) = definitions[v.index()] {
        let node = &g.nodes()[i];
        match node.op {
            Op::Reshape { .. } => v = node.args[0],
            Op::Slice { .. } if first_of(g, node).is_some() => v = node.args[0],
            Op::Constant { .. } | Op::Barrier {} | Op::Reduce { .. } => return None,
            _ => return (!super::is_fusible(g, node)).then_some(v),
        }
    }
    Some(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::parse;

    /// The views of slices of an argument.
    fn of(shape: &str, slices: &[(&str, Option<usize>)]) {
        for (slice, first) in slices {
            let g =
                parse(&format!("graph(%0: f32[{shape}]) {{ %1 = slice(%0) {slice} return %1 }}")).expect("a program");
            assert_eq!(views(&g, &g.definitions())[1], *first, "{slice}");
        }
    }

    #[test]
    fn slices_that_lie_side_by_side() {
        of(
            "3,4,5",
            &[
                ("{start = [1, 0, 0], limit = [3, 4, 5], stride = [1, 1, 1]} : f32[2,4,5]", Some(20)),
                ("{start = [2, 1, 0], limit = [3, 3, 5], stride = [1, 1, 1]} : f32[1,2,5]", Some(45)),
                ("{start = [2, 1, 3], limit = [3, 2, 5], stride = [1, 1, 1]} : f32[1,1,2]", Some(48)),
                ("{start = [1, 2, 3], limit = [2, 3, 4], stride = [1, 1, 1]} : f32[1,1,1]", Some(33)),
                ("{start = [0, 1, 0], limit = [3, 2, 5], stride = [1, 1, 1]} : f32[3,1,5]", None),
                ("{start = [0, 0, 0], limit = [1, 4, 4], stride = [1, 1, 1]} : f32[1,4,4]", None),
                ("{start = [0, 0, 0], limit = [3, 4, 5], stride = [2, 1, 1]} : f32[2,4,5]", None),
            ],
        );
    }

    /// Half of a product is worth its memory, a quarter is not.
    #[test]
    fn views_that_keep_much_for_little() {
        for (rows, expected) in [(4, Some(0)), (2, None)] {
            let text = format!(
                "graph(%0: f32[8,8]) {{
                   %1 = dot_general(%0, %0) {{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}} : f32[8,8]
                   %2 = slice(%1) {{start = [0, 0], limit = [{rows}, 8], stride = [1, 1]}} : f32[{rows},8]
                   return %2 }}"
            );
            let g = parse(&text).expect("a program");
            assert_eq!(views(&g, &g.definitions())[2], expected);
        }
    }
}
