//! Ops whose sizes are operands, where those are constants and the result has a static shape.

use super::indexing::gather_of;
use super::{Call, Lower, linalg};
use gradloom_ir::eval::eval;
use gradloom_ir::{Builder, Literal, Op, Result, Shape, Value, Values};
use smallvec::smallvec;
use std::collections::{BTreeSet, HashMap};

pub(super) const RULES: &[(&str, Lower)] = &[
    ("real_dynamic_slice", slice),
    ("dynamic_pad", pad),
    ("dynamic_gather", gather),
    ("dynamic_conv", convolution),
    ("get_dimension_size", dimension_size),
    ("set_dimension_size", keep_dimension_size),
];

/// Most nodes that are looked through to see whether a size is constant.
const MAX_NODES: usize = 256;

/// The integers that `v` holds, if it is computed from constants alone.
fn constant(c: &Call<'_, '_>, v: Value) -> Option<Vec<i64>> {
    let body = c.im.body_ref();
    let integers = |x: &Literal| x.ty().dtype.is_int().then(|| x.to_f64().iter().map(|&x| x as i64).collect());
    if let Some(known) = body.constants.get(&v).filter(|k| k.shape.is_none()) {
        return integers(&known.literal);
    }
    let mut needed = BTreeSet::from([v]);
    let mut nodes = Vec::new();
    // definitions come before uses
    for node in body.b.nodes().iter().rev() {
        if !node.results.iter().any(|r| needed.contains(r)) {
            continue;
        }
        let small = node.results.iter().all(|&r| body.b.ty(r).numel() <= 1 << 16);
        if nodes.len() == MAX_NODES || !small || node.op.has_body() {
            return None;
        }
        node.results.iter().for_each(|r| {
            needed.remove(r);
        });
        needed.extend(node.args.iter().copied());
        nodes.push(node);
        if needed.is_empty() {
            break;
        }
    }
    if !needed.is_empty() {
        return None;
    }
    let mut b = Builder::new();
    let mut map: HashMap<Value, Value> = HashMap::new();
    for node in nodes.into_iter().rev() {
        let args: Vec<Value> = node.args.iter().map(|a| map.get(a).copied()).collect::<Option<_>>()?;
        map.extend(node.results.iter().copied().zip(b.emit(node.op.clone(), &args).ok()?));
    }
    let out: Literal = eval(&b.finish(&[*map.get(&v)?]).ok()?, &[]).ok()?.pop()?;
    integers(&out)
}

fn constants(c: &Call<'_, '_>, v: Value) -> Result<Vec<i64>> {
    constant(c, v).ok_or_else(|| c.unsupported(super::DYNAMIC))
}

fn lengths(c: &Call<'_, '_>, v: Value) -> Result<Shape> {
    c.to_shape(&constants(c, v)?)
}

fn slice(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, start, limit, stride] = c.args()?;
    let (start, limit, stride) = (lengths(c, start)?, lengths(c, limit)?, lengths(c, stride)?);
    c.node(Op::Slice { start, limit, stride }, &[x])
}

fn pad(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, with, low, high, interior] = c.args()?;
    let (low, high, interior) = (constants(c, low)?, constants(c, high)?, lengths(c, interior)?);
    c.node(Op::Pad { low, high, interior }, &[x, with])
}

fn gather(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, indices, sizes] = c.args()?;
    let sizes = lengths(c, sizes)?;
    let op = gather_of(c, sizes)?;
    c.node(op, &[x, indices])
}

fn convolution(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, kernel, padding] = c.args()?;
    let padding = constants(c, padding)?;
    c.args = vec![x, kernel];
    linalg::convolution_with(c, Some(padding))
}

fn dimension_size(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x] = c.args()?;
    let (axis, ty, result) = (c.axis(&["dimension", "dim"])?, c.ty(x), c.result(0)?);
    let length = *ty.shape.get(axis).ok_or_else(|| c.error(format!("no axis {axis} of {ty}")))?;
    Ok(smallvec![c.b().full(&result, length as f64)])
}

/// Of an axis that has that size already.
fn keep_dimension_size(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, size] = c.args()?;
    let axis = c.axis(&["dimension", "dim"])?;
    let length = c.ty(x).shape.get(axis).copied().and_then(|n| i64::try_from(n).ok());
    if length.is_none_or(|n| constants(c, size).ok() != Some(vec![n])) {
        return Err(c.unsupported(super::DYNAMIC));
    }
    Ok(smallvec![x])
}
