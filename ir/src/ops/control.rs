//! Shape rules of ops with bodies.

use super::Types;
use crate::{DType, Error, Graph, Result, Type};

fn expect_types(op: &str, what: &str, expected: &[Type], got: &[Type]) -> Result<()> {
    if expected.len() != got.len() {
        return Err(Error::user(op, format!("{what}: expected {} values, got {}", expected.len(), got.len())));
    }
    for (i, (e, g)) in expected.iter().zip(got).enumerate() {
        if e != g {
            return Err(Error::user(op, format!("{what}: value {i} should be {e} but is {g}")));
        }
    }
    Ok(())
}

/// The row type of a scanned-over array.
fn row(op: &str, ty: &Type, length: usize) -> Result<Type> {
    match ty.shape.split_first() {
        Some((&n, rest)) if n == length => Ok(ty.with_shape(rest)),
        _ => Err(Error::user(op, format!("scanned value {ty} must have a leading axis of length {length}"))),
    }
}

pub(super) fn scan(args: &[Type], body: &Graph, length: usize, consts: usize, carry: usize) -> Result<Types> {
    let op = "scan";
    if consts.checked_add(carry).is_none_or(|n| args.len() < n) || body.num_outputs() < carry {
        return Err(Error::internal(op, "fewer operands or results than consts and carry"));
    }
    let mut expected: Vec<Type> = args[..consts + carry].to_vec();
    for x in &args[consts + carry..] {
        expected.push(row(op, x, length)?);
    }
    expect_types(op, "body parameters", &body.input_types(), &expected)?;
    let outs = body.output_types();
    expect_types(op, "the carry must keep its type", &args[consts..consts + carry], &outs[..carry])?;
    let mut types: Types = outs[..carry].iter().cloned().collect();
    for y in &outs[carry..] {
        let mut shape = y.shape.clone();
        shape.insert(0, length);
        super::shaping::check_size(op, &shape)?;
        types.push(Type { dtype: y.dtype, shape });
    }
    Ok(types)
}

pub(super) fn while_loop(
    args: &[Type],
    cond: &Graph,
    body: &Graph,
    cond_consts: usize,
    body_consts: usize,
) -> Result<Types> {
    let op = "while";
    if cond_consts.checked_add(body_consts).is_none_or(|n| args.len() < n) {
        return Err(Error::internal(op, "fewer operands than consts"));
    }
    let (cc, rest) = args.split_at(cond_consts);
    let (bc, carry) = rest.split_at(body_consts);
    expect_types(op, "condition parameters", &cond.input_types(), &[cc, carry].concat())?;
    expect_types(op, "the condition", &[Type::scalar(DType::Bool)], &cond.output_types())?;
    expect_types(op, "body parameters", &body.input_types(), &[bc, carry].concat())?;
    expect_types(op, "the carry must keep its type", carry, &body.output_types())?;
    Ok(carry.iter().cloned().collect())
}

pub(super) fn switch(args: &[Type], branches: &[std::sync::Arc<Graph>]) -> Result<Types> {
    let op = "switch";
    let [index, rest @ ..] = args else { return Err(Error::internal(op, "no index")) };
    if *index != Type::scalar(DType::I32) {
        return Err(Error::user(op, format!("the index must be i32[], got {index}")));
    }
    let first = branches.first().ok_or_else(|| Error::user(op, "needs at least one branch"))?;
    for b in branches {
        expect_types(op, "branch parameters", &b.input_types(), rest)?;
        expect_types(op, "all branches must return the same types", &first.output_types(), &b.output_types())?;
    }
    Ok(first.output_types().into_iter().collect())
}

pub(super) fn custom_jvp(args: &[Type], primal: &Graph, rule: &Graph, consts: usize) -> Result<Types> {
    let op = "custom_jvp";
    expect_types(op, "parameters", &primal.input_types(), args)?;
    let tangents = args.get(consts..).ok_or_else(|| Error::internal(op, "fewer operands than consts"))?;
    expect_types(op, "rule parameters", &rule.input_types(), &[args, tangents].concat())?;
    let outs = primal.output_types();
    expect_types(
        op,
        "the rule must return outputs and their tangents",
        &[&outs[..], &outs[..]].concat(),
        &rule.output_types(),
    )?;
    Ok(outs.into_iter().collect())
}

pub(super) fn custom_vjp(
    args: &[Type],
    primal: &Graph,
    fwd: &Graph,
    bwd: &Graph,
    consts: usize,
    residuals: usize,
) -> Result<Types> {
    let op = "custom_vjp";
    expect_types(op, "parameters", &primal.input_types(), args)?;
    expect_types(op, "forward parameters", &fwd.input_types(), args)?;
    let outs = primal.output_types();
    let fwd_outs = fwd.output_types();
    if fwd_outs.len().checked_sub(residuals) != Some(outs.len()) {
        return Err(Error::user(op, "the forward rule must return the outputs and the residuals"));
    }
    expect_types(op, "the forward rule's outputs", &outs, &fwd_outs[..outs.len()])?;
    let args = args.get(consts..).ok_or_else(|| Error::internal(op, "fewer operands than consts"))?;
    let bwd_in = [&fwd_outs[outs.len()..], &outs[..]].concat();
    expect_types(op, "backward parameters", &bwd.input_types(), &bwd_in)?;
    expect_types(op, "the backward rule must return cotangents of the arguments", args, &bwd.output_types())?;
    Ok(outs.into_iter().collect())
}

pub(super) fn custom_linear(args: &[Type], bwd: &Graph, residuals: usize) -> Result<Types> {
    let op = "custom_linear";
    if args.len() < residuals || bwd.num_inputs() < residuals {
        return Err(Error::internal(op, "fewer operands than residuals"));
    }
    expect_types(op, "tangents", &bwd.output_types(), &args[residuals..])?;
    Ok(bwd.input_types()[residuals..].iter().cloned().collect())
}

pub(super) fn remat(args: &[Type], body: &Graph) -> Result<Types> {
    expect_types("remat", "parameters", &body.input_types(), args)?;
    Ok(body.output_types().into_iter().collect())
}

pub(super) fn host_call(results: &[Type]) -> Result<Types> {
    results.iter().try_for_each(|t| super::shaping::check_size("host_call", &t.shape))?;
    Ok(results.iter().cloned().collect())
}
