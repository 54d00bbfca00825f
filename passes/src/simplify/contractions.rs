//! Rules of dot_general.

use super::view::View;
use gradloom_ir::{Op, Shape, Value};

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
