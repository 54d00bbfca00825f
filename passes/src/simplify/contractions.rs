//! Rules of dot_general and of other products.

use super::view::View;
use gradloom_ir::{Op, Shape, Transposition, Value};

/// dot(transpose(x), y) = dot(x, y) with its axes renumbered, where the free axes stay in order
pub(super) fn dot_general(v: &mut View, args: &[Value], batch: [&Shape; 2], contract: [&Shape; 2]) -> Option<Value> {
    let mut operands = [args[0], args[1]];
    let (mut batch, mut contract) = (batch.map(Shape::clone), contract.map(Shape::clone));
    let mut any = false;
    for i in 0..2 {
        let Some(node) = v.def(operands[i]) else { continue };
        let Op::Transpose { perm } = &node.op else { continue };
        let mut free = (0..perm.len()).filter(|a| !batch[i].contains(a) && !contract[i].contains(a)).map(|a| perm[a]);
        if free.by_ref().is_sorted() {
            operands[i] = node.args[0];
            batch[i] = batch[i].iter().map(|&a| perm[a]).collect();
            contract[i] = contract[i].iter().map(|&a| perm[a]).collect();
            any = true;
        }
    }
    let ([lhs_batch, rhs_batch], [lhs_contract, rhs_contract]) = (batch, contract);
    any.then(|| v.op(Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }, &operands))
}

/// form(a, v, d_k, d_k+1, .., e..) = form(v, v, d_k, e..): the rest is there for derivatives, which are taken before
pub(super) fn spectral_form(v: &mut View, args: &[Value], order: usize) -> Option<Value> {
    if args[0] == args[1] && args.len() == order + 3 {
        return None;
    }
    let mut operands = vec![args[1], args[1], args[2]];
    operands.extend_from_slice(&args[args.len() - order..]);
    Some(v.op(Op::SpectralForm { order }, &operands))
}

/// solve(a, lu, p, b) = solve(lu, lu, p, b): the matrix is there for derivatives, which are taken before
pub(super) fn lu_solve(v: &mut View, args: &[Value], transpose_a: Transposition) -> Option<Value> {
    let operands = [args[1], args[1], args[2], args[3]];
    (args[0] != args[1]).then(|| v.op(Op::LuSolve { transpose_a }, &operands))
}
