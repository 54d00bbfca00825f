//! Ops with bodies.

use super::run;
use super::strided::literal;
use crate::{Error, Graph, Literal, Result, Type};
use std::sync::Arc;

/// Row `i` of an array along its leading axis.
fn row(x: &Literal, i: usize) -> Literal {
    let ty = x.ty().with_shape(&x.ty().shape[1..]);
    let n = ty.bytes();
    literal(&ty, x.bytes()[i * n..(i + 1) * n].to_vec())
}

pub(super) fn scan(
    args: &[Literal],
    body: &Graph,
    length: usize,
    reverse: bool,
    consts: usize,
    carry: usize,
    results: &[Type],
) -> Result<Vec<Literal>> {
    let (fixed, rest) = args.split_at(consts);
    let (init, xs) = rest.split_at(carry);
    let mut state = init.to_vec();
    let mut ys: Vec<Vec<u8>> = results[carry..].iter().map(|t| vec![0; t.bytes()]).collect();
    for step in 0..length {
        let i = if reverse { length - 1 - step } else { step };
        let inputs = fixed.iter().cloned().chain(state).chain(xs.iter().map(|x| row(x, i))).collect();
        state = run(body, inputs)?;
        for (y, part) in ys.iter_mut().zip(state.drain(carry..)) {
            let n = part.bytes().len();
            y[i * n..(i + 1) * n].copy_from_slice(part.bytes());
        }
    }
    state.extend(results[carry..].iter().zip(ys).map(|(t, y)| literal(t, y)));
    Ok(state)
}

pub(super) fn while_loop(
    args: &[Literal],
    cond: &Graph,
    body: &Graph,
    cond_consts: usize,
    body_consts: usize,
) -> Result<Vec<Literal>> {
    let (for_cond, rest) = args.split_at(cond_consts);
    let (for_body, init) = rest.split_at(body_consts);
    let mut state = init.to_vec();
    loop {
        let go = run(cond, [for_cond, &state].concat())?;
        if go[0].is_all(0.0) {
            return Ok(state);
        }
        state = run(body, [for_body, &state].concat())?;
    }
}

pub(super) fn switch(args: &[Literal], branches: &[Arc<Graph>]) -> Result<Vec<Literal>> {
    let none = || Error::internal("switch", "has no index or no branch");
    let index = args.first().and_then(|i| i.to_vec::<i32>()).ok_or_else(none)?;
    let last = branches.len().checked_sub(1).ok_or_else(none)?;
    let at = usize::try_from(index[0]).unwrap_or(0).min(last);
    run(&branches[at], args[1..].to_vec())
}
