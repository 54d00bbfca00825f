//! Slices whose elements lie side by side in what they are taken from: a library call or a loop reads them there.

use super::is_fusible;
use gradloom_ir::{Graph, Node, Op, Value};

/// A view keeps all that it is part of in memory. What is no argument must be wanted by views to at least one part in so many.
const LEAST_SHARE: usize = 2;

/// By value: the element of its operand with which it begins, if it is a slice that may be read where it lies.
pub(super) fn views(g: &Graph) -> Vec<Option<usize>> {
    let mut views: Vec<Option<usize>> = vec![None; g.num_values()];
    // the value in whose memory each lies that has memory whoever reads it: an argument, or what a library call or a loop computes
    let mut memory: Vec<Option<Value>> = vec![None; g.num_values()];
    g.inputs().for_each(|v| memory[v.index()] = Some(v));
    // of how many bytes of each that is computed there are views
    let mut wanted = vec![0usize; g.num_values()];
    for node in g.nodes() {
        match node.op {
            Op::Reshape { .. } => memory[node.results[0].index()] = memory[node.args[0].index()],
            Op::Slice { .. } => {
                let r = node.results[0];
                if let (Some(first), Some(whole)) = (first_of(g, node), memory[node.args[0].index()]) {
                    (views[r.index()], memory[r.index()]) = (Some(first), Some(whole));
                    wanted[whole.index()] = wanted[whole.index()].saturating_add(g.ty(r).bytes());
                }
            }
            Op::Constant { .. } | Op::Barrier {} | Op::Reduce { .. } => {}
            _ if is_fusible(g, node) => {}
            _ => node.results.iter().for_each(|&r| memory[r.index()] = Some(r)),
        }
    }
    for (view, whole) in views.iter_mut().zip(&memory) {
        if let Some(whole) = whole.filter(|w| w.index() >= g.num_inputs())
            && wanted[whole.index()] < g.ty(whole).bytes() / LEAST_SHARE
        {
            *view = None;
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

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::parse;

    /// The views of slices of an argument.
    fn of(shape: &str, slices: &[(&str, Option<usize>)]) {
        for (slice, first) in slices {
            let g =
                parse(&format!("graph(%0: f32[{shape}]) {{ %1 = slice(%0) {slice} return %1 }}")).expect("a program");
            assert_eq!(views(&g)[1], *first, "{slice}");
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
            assert_eq!(views(&g)[2], expected);
        }
    }
}
