//! Products in loops with matrices that stay the same: the matrix is laid out once, before the loop, as the product reads
//! it.

use gradloom_ir::{Graph, Node, Op, Result, Shape};
use gradloom_passes::{Changed, hoist, map_bodies, rewrite_nodes};

/// A matrix of fewer elements is laid out anew in every step at no cost worth mentioning.
const MIN_ELEMENTS: usize = 1 << 12;

/// Loops of fewer steps do not earn the copy back.
const MIN_STEPS: usize = 4;

/// The order of its axes in which the right operand of a product is read along memory: batch, contracted, free. `None` if
/// it is in such an order.
fn reading_order(g: &Graph, node: &Node) -> Option<Shape> {
    let Op::DotGeneral { rhs_batch, rhs_contract, .. } = &node.op else { return None };
    let ty = g.ty(node.args[1]);
    let last = ty.rank().checked_sub(1)?;
    let free: Shape = (0..ty.rank()).filter(|a| !rhs_batch.contains(a) && !rhs_contract.contains(a)).collect();
    if free.is_empty() || free.contains(&last) || ty.numel() < MIN_ELEMENTS {
        return None;
    }
    Some(rhs_batch.iter().chain(rhs_contract).chain(&free).copied().collect())
}

/// Whether a scan repeats the product of a body with a const of the loop.
fn turns(op: &Op) -> bool {
    let Op::Scan { body, length, consts, .. } = op else { return false };
    let turned = |n: &Node| n.args.get(1).is_some_and(|a| a.index() < *consts) && reading_order(body, n).is_some();
    *length >= MIN_STEPS && body.nodes().iter().any(turned)
}

/// Whether [`orient_products`] has anything to do here or in a nested program.
pub(super) fn has_turned_product(g: &Graph) -> bool {
    g.nodes().iter().any(|n| turns(&n.op) || n.op.bodies().iter().any(|b| has_turned_product(b)))
}

/// Transposes the consts of scans that are right operands of products, so that the axis along which the result lies in
/// memory is the one along which they do.
///
/// **Ensures** that each is transposed once, before the loop. **Never** changes results, but for the order in which floats
/// are summed.
pub(super) fn orient_products(g: &mut Graph) -> Result<Changed> {
    let inside = map_bodies(g, &mut orient_products)?;
    if !g.nodes().iter().any(|n| turns(&n.op)) {
        return Ok(inside);
    }
    *g = rewrite_nodes(g, |b, _, node, args| match &node.op {
        Op::Scan { body, length, reverse, consts, carry } if turns(&node.op) => {
            let body = with_transposes(body, *consts)?.into();
            let op = Op::Scan { body, length: *length, reverse: *reverse, consts: *consts, carry: *carry };
            b.emit(op, args).map(Some)
        }
        _ => Ok(None),
    })?;
    // what depends on consts alone leaves the loop
    hoist(g)?;
    Ok(Changed::Yes)
}

/// The body with transposes in front of its products with consts.
fn with_transposes(body: &Graph, consts: usize) -> Result<Graph> {
    rewrite_nodes(body, |b, _, node, args| match (&node.op, reading_order(body, node)) {
        (Op::DotGeneral { lhs_batch, lhs_contract, .. }, Some(order)) if node.args[1].index() < consts => {
            let turned = b.transpose(args[1], &order);
            let (batch, contracted) = (lhs_batch.len(), lhs_contract.len());
            let op = Op::DotGeneral {
                lhs_batch: lhs_batch.clone(),
                rhs_batch: (0..batch).collect(),
                lhs_contract: lhs_contract.clone(),
                rhs_contract: (batch..batch + contracted).collect(),
            };
            b.emit(op, &[args[0], turned]).map(Some)
        }
        _ => Ok(None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::{eval::eval, parse};

    /// A step of a linear map's transpose, and one whose matrix changes with the step.
    const PROGRAM: &str = "graph(%0: f32[64,80], %1: f32[3,64], %2: f32[5,64,80]) {
        %3, %4 = scan(%0, %1, %2) {body = graph(%0: f32[64,80], %1: f32[3,64], %2: f32[64,80]) {
            %3 = dot_general(%1, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[3,80]
            %4 = tanh(%3) : f32[3,80]
            %5 = dot_general(%4, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f32[3,64]
            %6 = dot_general(%4, %2) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f32[3,64]
            return %5, %6
        }, length = 5, reverse = false, consts = 1, carry = 1} : f32[3,64], f32[5,3,64]
        return %3, %4
    }";

    #[test]
    fn the_matrix_of_a_loop_is_transposed_once() {
        let before = parse(PROGRAM).unwrap_or_else(|e| panic!("{e}"));
        let mut g = before.clone();
        assert!(has_turned_product(&g));
        assert_eq!(orient_products(&mut g).unwrap_or_else(|e| panic!("{e}")), Changed::Yes);
        gradloom_ir::verify(&g).unwrap_or_else(|e| panic!("{e}\n{g}"));
        let text = g.to_string();
        assert_eq!(text.matches("= transpose(").count(), 1, "{text}");
        assert!(text.find("transpose(") < text.find("scan("), "{text}");
        assert!(!has_turned_product(&g), "{text}");
        let number = |i: usize| (i * 37 % 64) as f32 / 64.0 - 0.5;
        let inputs: Vec<_> = before
            .input_types()
            .iter()
            .map(|t| gradloom_ir::Literal::new(&t.shape, &(0..t.numel()).map(number).collect::<Vec<f32>>()))
            .collect();
        let (x, y) = (eval(&before, &inputs), eval(&g, &inputs));
        assert_eq!(x.unwrap_or_else(|e| panic!("{e}")), y.unwrap_or_else(|e| panic!("{e}")));
    }
}
