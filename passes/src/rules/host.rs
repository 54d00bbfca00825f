//! Host calls, and what else must run once a row.

use super::{BatchArgs, Maybe, zero_tangent};
use gradloom_ir::{Builder, Error, Op, Result, Type, Value, Values};
use std::sync::Arc;

/// A call without float results has none to give a tangent to; of others nothing is known.
pub(super) fn jvp(b: &Builder, op: &Op, y: &[Value]) -> Result<Maybe> {
    if !y.iter().any(|&y| b.ty(y).dtype.is_inexact()) {
        return Ok(zero_tangent(y.len()));
    }
    Err(Error::user(op.name(), "the derivative of a host function is not known")
        .help("wrap the call in `custom_jvp` or `custom_vjp`, or its operands in `stop_gradient`"))
}

/// The op row by row, in row order: a scan over the batch axis.
pub(crate) fn by_rows(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let of = |batched: bool| (0..a.args.len()).filter(move |&i| a.batched[i] == batched);
    let order: Vec<usize> = of(false).chain(of(true)).collect();
    let mut body = Builder::new();
    body.set_loc(b.loc());
    let mut row = vec![Value::from_index(0); a.args.len()];
    for &i in &order {
        let ty: Type = b.ty(a.args[i]).clone();
        let ty = if a.batched[i] { ty.with_shape(&ty.shape[1..]) } else { ty };
        row[i] = body.input(ty, "");
    }
    let results = body.emit(op.clone(), &row)?;
    let body = Arc::new(body.finish(&results)?);
    let operands: Vec<Value> = order.iter().map(|&i| a.args[i]).collect();
    b.emit(Op::Scan { body, length: a.size, reverse: false, consts: of(false).count(), carry: 0 }, &operands)
}
