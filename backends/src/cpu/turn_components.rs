//! Components of points, as coordinates, that meet in sums over pairs: each component by itself.

use gradloom_ir::{Graph, Node, Op, Result, Shape, Value};
use gradloom_passes::{Changed, cse, map_bodies, rewrite_nodes};

/// Most components.
const MOST: usize = 8;

/// Fewest points: a vector of them.
const POINTS: usize = 16;

/// How often each element must be read, for laying it out anew to cost nothing beside that.
pub(super) const OFTEN: usize = 8;

/// For each broadcast whether it repeats points, components innermost, for sums over the components or the points.
fn repeated_points(g: &Graph) -> Vec<bool> {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); g.num_values()];
    for (i, node) in g.nodes().iter().enumerate() {
        node.args.iter().for_each(|a| users[a.index()].push(i));
    }
    let mut is_result = vec![false; g.num_values()];
    g.outputs().iter().for_each(|o| is_result[o.index()] = true);
    let summed = |v: Value, axes: [usize; 2]| {
        let (mut open, mut seen) = (vec![v], std::collections::HashSet::new());
        while let Some(v) = open.pop() {
            if is_result[v.index()] {
                return false;
            }
            for node in users[v.index()].iter().map(|&i| &g.nodes()[i]) {
                match &node.op {
                    Op::Reduce { axes: over, .. } if axes.iter().any(|a| over.contains(a)) => {}
                    Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select {} | Op::Convert { .. } => {
                        open.extend(node.results.first().filter(|&&r| seen.insert(r)));
                    }
                    _ => return false,
                }
            }
        }
        true
    };
    let repeats = |node: &Node| {
        let Op::Broadcast { shape, dims } = &node.op else { return false };
        let x = g.ty(node.args[0]);
        let [.., points, components] = x.shape[..] else { return false };
        let [.., p, c] = dims[..] else { return false };
        (2..=MOST).contains(&components)
            && points >= POINTS
            && c + 1 == shape.len()
            && g.ty(node.results[0]).numel() / OFTEN >= x.numel()
            && summed(node.results[0], [p, c])
    };
    g.nodes().iter().map(repeats).collect()
}

/// Whether [`turn_components`] has anything to do here or in a nested program.
pub(super) fn has_repeated_points(g: &Graph) -> bool {
    repeated_points(g).contains(&true) || g.nodes().iter().any(|n| n.op.bodies().iter().any(|b| has_repeated_points(b)))
}

/// Lays points out component by component where all pairs of points, or of points and something else, are gone through: each
/// component of neighbouring points is then side by side.
///
/// **Never** changes what is computed.
pub(super) fn turn_components(g: &mut Graph) -> Result<Changed> {
    let inside = map_bodies(g, &mut turn_components)?;
    let repeated = repeated_points(g);
    if !repeated.contains(&true) {
        return Ok(inside);
    }
    *g = rewrite_nodes(g, |b, i, node, args| {
        let Op::Broadcast { shape, dims } = &node.op else { return Ok(None) };
        if !repeated[i] {
            return Ok(None);
        }
        let last = dims.len() - 1;
        let mut order: Shape = (0..=last).collect();
        order.swap(last - 1, last);
        let turned = b.transpose(args[0], &order);
        let dims: Shape = order.iter().map(|&a| dims[a]).collect();
        b.emit(Op::Broadcast { shape: shape.clone(), dims }, &[turned]).map(Some)
    })?;
    cse(g)?;
    Ok(Changed::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::{Literal, eval::eval, parse};

    fn pairs(end: &str) -> Graph {
        let text = format!(
            "graph(%0: f32[32,3]) {{
               %1 = broadcast_in_dim(%0) {{shape = [32, 32, 3], dims = [0, 2]}} : f32[32,32,3]
               %2 = broadcast_in_dim(%0) {{shape = [32, 32, 3], dims = [1, 2]}} : f32[32,32,3]
               %3 = subtract(%1, %2) : f32[32,32,3]
               %4 = multiply(%3, %3) : f32[32,32,3]
               {end} }}"
        );
        parse(&text).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn points_of_pairs_are_turned_once() {
        for axis in [2, 1] {
            let out = [32, if axis == 2 { 32 } else { 3 }];
            let sum = format!("reduce(%4) {{kind = \"sum\", axes = [{axis}]}} : f32[{},{}]", out[0], out[1]);
            let g = pairs(&format!("%5 = {sum} return %5"));
            let mut h = g.clone();
            assert!(has_repeated_points(&h));
            assert!(turn_components(&mut h).is_ok_and(|c| c == Changed::Yes));
            assert!(!has_repeated_points(&h), "{h}");
            assert_eq!(h.to_string().matches("= transpose(").count(), 1, "{h}");
            let x = [Literal::new(&[32, 3], &(0..96).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>())];
            let run = |g: &Graph| eval(g, &x).unwrap_or_else(|e| panic!("{e}"))[0].to_f64();
            assert_eq!(run(&g), run(&h));
        }
    }

    #[test]
    fn pairs_that_are_kept_lie_as_they_are() {
        assert!(!has_repeated_points(&pairs("return %4")));
    }
}
