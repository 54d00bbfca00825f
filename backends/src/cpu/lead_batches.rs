//! Batched products read operands whose batch axes come first.

use gradloom_ir::{Graph, Node, Op, Result, Shape};
use gradloom_passes::{Changed, cse, map_bodies, rewrite_nodes};
use smallvec::SmallVec;

/// Operands of fewer bytes stay as they are.
const MIN_BYTES: usize = 1 << 14;

/// Batches of at least this length that are innermost are moved: each matrix of them would be read an element a cache line.
const MIN_INNERMOST: usize = 8;

/// The order of an operand's axes with those of the batch in front, if they are not and
/// - if the innermost axis stays the innermost: a loop nest that computes the operand then writes it so at no cost;
/// - or if it is a long axis of the batch: then moving it costs less than reading so.
fn leading(shape: &[usize], batch: &[usize]) -> Option<Shape> {
    let order: Shape = batch.iter().copied().chain((0..shape.len()).filter(|a| !batch.contains(a))).collect();
    let moved = (0..shape.len()).any(|a| order[a] != a);
    let innermost = (0..shape.len()).rev().find(|&a| shape[a] != 1);
    let stays = order.iter().rev().copied().find(|&a| shape[a] != 1) == innermost;
    let scattered = innermost.is_some_and(|a| shape[a] >= MIN_INNERMOST && batch.contains(&a));
    (moved && (stays || scattered)).then_some(order)
}

fn orders(g: &Graph, node: &Node) -> Option<[Option<Shape>; 2]> {
    let Op::DotGeneral { lhs_batch, rhs_batch, .. } = &node.op else { return None };
    let orders = [(0, lhs_batch), (1, rhs_batch)].map(|(i, batch)| {
        let ty = g.ty(node.args[i]);
        if ty.bytes() < MIN_BYTES { None } else { leading(&ty.shape, batch) }
    });
    orders.iter().any(Option::is_some).then_some(orders)
}

/// Whether [`lead_batches`] has anything to do here or in a nested program.
pub(super) fn has_inner_batch(g: &Graph) -> bool {
    g.nodes().iter().any(|n| orders(g, n).is_some() || n.op.bodies().iter().any(|b| has_inner_batch(b)))
}

/// Transposes operands of batched products, as of the heads of attention, whose batch axes are not the first: so that the
/// product and what is computed of it can run on blocks of the batch (`block_rows`).
///
/// **Ensures** that equal operands are transposed once. **Never** changes what is computed.
pub(super) fn lead_batches(g: &mut Graph) -> Result<Changed> {
    let inside = map_bodies(g, &mut lead_batches)?;
    if !g.nodes().iter().any(|n| orders(g, n).is_some()) {
        return Ok(inside);
    }
    *g = rewrite_nodes(g, |b, _, node, args| {
        let (Some(orders), Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }) =
            (orders(g, node), &node.op)
        else {
            return Ok(None);
        };
        let mut operands: SmallVec<[_; 2]> = args.into();
        let mut axes = [(lhs_batch.clone(), lhs_contract.clone()), (rhs_batch.clone(), rhs_contract.clone())];
        for (i, order) in orders.iter().enumerate() {
            let Some(order) = order else { continue };
            operands[i] = b.transpose(args[i], order);
            let place = |axis: &usize| order.iter().position(|a| a == axis);
            let (batch, contract) = &mut axes[i];
            *batch = batch.iter().filter_map(place).collect();
            *contract = contract.iter().filter_map(place).collect();
        }
        let [(lhs_batch, lhs_contract), (rhs_batch, rhs_contract)] = axes;
        b.emit(Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }, &operands).map(Some)
    })?;
    cse(g)?;
    Ok(Changed::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::{Literal, eval::eval, parse};

    #[test]
    fn an_innermost_batch_comes_first() {
        for (n, moves) in [(64, true), (4, false)] {
            let text = format!("graph(%0: f32[16,32,{n}], %1: f32[{n},16]) {{
                %2 = dot_general(%1, %0) {{lhs_batch = [0], rhs_batch = [2], lhs_contract = [1], rhs_contract = [0]}} : f32[{n},32]
                return %2
            }}");
            let mut g = parse(&text).unwrap_or_else(|e| panic!("{e}"));
            let inputs: Vec<Literal> = g
                .input_types()
                .iter()
                .map(|t| Literal::new(&t.shape, &(0..t.numel()).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>()))
                .collect();
            let run = |g: &Graph| eval(g, &inputs).unwrap_or_else(|e| panic!("{e}"))[0].to_f64();
            let before = run(&g);
            assert_eq!(lead_batches(&mut g).is_ok_and(|c| c == Changed::Yes), moves && 16 * 32 * n * 4 >= MIN_BYTES);
            assert_eq!(run(&g), before);
        }
    }

    #[test]
    fn heads_come_first() {
        let text = "graph(%0: f32[2,64,4,16], %1: f32[2,64,4,16]) {
            %2 = dot_general(%0, %1) {lhs_batch = [0, 2], rhs_batch = [0, 2], lhs_contract = [3], rhs_contract = [3]} : f32[2,4,64,64]
            %3 = dot_general(%2, %1) {lhs_batch = [0, 1], rhs_batch = [0, 2], lhs_contract = [3], rhs_contract = [1]} : f32[2,4,64,16]
            return %3
        }";
        let g = parse(text).unwrap_or_else(|e| panic!("{e}"));
        assert!(has_inner_batch(&g));
        let mut h = g.clone();
        assert!(lead_batches(&mut h).is_ok_and(|c| c == Changed::Yes));
        assert!(!has_inner_batch(&h), "{h}");
        let transposes = h.nodes().iter().filter(|n| matches!(n.op, Op::Transpose { .. })).count();
        assert_eq!(transposes, 2, "{h}");
        let x: Vec<f32> = (0..8192).map(|i| (i as f32 * 0.37).sin()).collect();
        let inputs = [0, 1].map(|k| Literal::new(&[2, 64, 4, 16], &x.iter().map(|x| x + k as f32).collect::<Vec<_>>()));
        let run = |g: &Graph| eval(g, &inputs).unwrap_or_else(|e| panic!("{e}"))[0].to_f64();
        assert_eq!(run(&g), run(&h));
    }
}
