//! Products that only add up, of operands without axes of their own, are loop nests.

use gradloom_ir::{Graph, Node, Op, Result, Shape, Value};
use gradloom_passes::{Changed, map_bodies, rewrite_nodes};

/// Whether the node is a product whose operands have batch and contracted axes alone, of numbers that are added up as they are.
fn only_adds(g: &Graph, node: &Node) -> bool {
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else { return false };
    let own = |i: usize, batch: &Shape, contract: &Shape| {
        let shape = &g.ty(node.args[i]).shape;
        (0..shape.len()).any(|a| shape[a] != 1 && !batch.contains(&a) && !contract.contains(&a))
    };
    let dtype = g.ty(node.results[0]).dtype;
    let plain = node.args.iter().all(|&a| g.ty(a).dtype == dtype) && !dtype.is_half() && !dtype.is_complex();
    plain && !own(0, lhs_batch, lhs_contract) && !own(1, rhs_batch, rhs_contract)
}

/// Whether [`reduce_products`] has anything to do here or in a nested program.
pub(super) fn has_sum_of_products(g: &Graph) -> bool {
    g.nodes().iter().any(|n| only_adds(g, n) || n.op.bodies().iter().any(|b| has_sum_of_products(b)))
}

/// Writes products whose operands have no free axes as a multiplication and a sum, which share loop nests with what is around
/// them. A library would make a product of a row and a column for each element of the batch.
///
/// **Never** changes more than the order in which floats are added, and the sign of zeros.
pub(super) fn reduce_products(g: &mut Graph) -> Result<Changed> {
    let inside = map_bodies(g, &mut reduce_products)?;
    if !g.nodes().iter().any(|n| only_adds(g, n)) {
        return Ok(inside);
    }
    *g = rewrite_nodes(g, |b, _, node, args| {
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else { return Ok(None) };
        if !only_adds(g, node) {
            return Ok(None);
        }
        // pairs of axes, in the order of the left operand's memory
        let mut axes: Vec<(usize, usize, Option<usize>)> = Vec::new();
        axes.extend(lhs_batch.iter().zip(rhs_batch).enumerate().map(|(place, (&l, &r))| (l, r, Some(place))));
        axes.extend(lhs_contract.iter().zip(rhs_contract).map(|(&l, &r)| (l, r, None)));
        axes.sort_unstable();
        let shape: Shape = axes.iter().map(|&(l, ..)| g.ty(node.args[0]).shape[l]).collect();
        let mut operand = |x: Value, taken: Shape| {
            let free = (0..b.ty(x).rank()).filter(|a| !taken.contains(a));
            let order: Shape = taken.iter().copied().chain(free).collect();
            let x = b.transpose(x, &order);
            b.reshape(x, &shape)
        };
        let lhs = operand(args[0], axes.iter().map(|a| a.0).collect());
        let rhs = operand(args[1], axes.iter().map(|a| a.1).collect());
        let products = b.mul(lhs, rhs);
        let contracted: Shape = (0..axes.len()).filter(|&i| axes[i].2.is_none()).collect();
        let sum = b.sum(products, &contracted);
        let places: Shape = axes.iter().filter_map(|a| a.2).collect();
        let order: Shape = (0..places.len()).filter_map(|p| places.iter().position(|&q| q == p)).collect();
        let sum = b.transpose(sum, &order);
        let result = b.reshape(sum, &g.ty(node.results[0]).shape);
        Ok(Some([result].into_iter().collect()))
    })?;
    Ok(Changed::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::{Literal, eval::eval, parse};

    #[test]
    fn products_without_free_axes_are_sums() {
        for (l, r, axes, out) in [
            ("3,5,7", "3,5,7", "lhs_batch = [0], rhs_batch = [0], lhs_contract = [1, 2], rhs_contract = [1, 2]", "3"),
            ("3,5,7", "7,3,5", "lhs_batch = [2, 0], rhs_batch = [0, 1], lhs_contract = [1], rhs_contract = [2]", "7,3"),
            ("3,1,7", "7,1,3", "lhs_batch = [0], rhs_batch = [2], lhs_contract = [2], rhs_contract = [0]", "3,1,1"),
            ("6", "6", "lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]", ""),
            ("6", "6", "lhs_batch = [0], rhs_batch = [0], lhs_contract = [], rhs_contract = []", "6"),
        ] {
            let text = format!(
                "graph(%0: f64[{l}], %1: f64[{r}]) {{ %2 = dot_general(%0, %1) {{{axes}}} : f64[{out}] return %2 }}"
            );
            let g = parse(&text).unwrap_or_else(|e| panic!("{e}"));
            assert!(has_sum_of_products(&g), "{g}");
            let mut h = g.clone();
            assert!(reduce_products(&mut h).is_ok_and(|c| c == Changed::Yes));
            assert!(!h.nodes().iter().any(|n| matches!(n.op, Op::DotGeneral { .. })), "{h}");
            let inputs: Vec<Literal> = (0..2)
                .map(|k| {
                    let ty = &g.input_types()[k];
                    let x: Vec<f64> = (0..ty.numel()).map(|i| ((i * 7 + k * 3) % 11) as f64 - 5.0).collect();
                    Literal::new(&ty.shape, &x)
                })
                .collect();
            let run = |g: &Graph| eval(g, &inputs).unwrap_or_else(|e| panic!("{e}"))[0].to_f64();
            assert_eq!(run(&g), run(&h), "{text}");
        }
    }

    #[test]
    fn products_of_matrices_and_of_halves_stay() {
        for text in [
            "graph(%0: f32[3,5], %1: f32[5]) {
               %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[3]
               return %2 }",
            "graph(%0: bf16[5], %1: bf16[5]) {
               %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]} : bf16[]
               return %2 }",
        ] {
            let g = parse(text).unwrap_or_else(|e| panic!("{e}"));
            assert!(!has_sum_of_products(&g), "{g}");
        }
    }
}
