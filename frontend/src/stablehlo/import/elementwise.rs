//! Constants and elementwise ops: those that are not a row of gradloom's own tables under the same name.

use super::super::constant::{dense, splat};
use super::super::syntax::Attr;
use super::composed::Bits;
use super::{Call, Constant, Lower};
use gradloom_ir::{Binary, Builder, Comparison, DType, Op, Result, Type, Unary, Value, Values};
use gradloom_passes::rules::matrices;
use smallvec::smallvec;
use std::sync::Arc;

pub(super) const RULES: &[(&str, Lower)] = &[
    ("constant", constant),
    ("compare", compare),
    ("select", select),
    ("clamp", clamp),
    ("convert", convert),
    ("bitcast_convert", bitcast),
    ("reduce_precision", reduce_precision),
    ("add", |c| on_bool(c, Binary::Add, Binary::Or)),
    ("subtract", |c| on_bool(c, Binary::Sub, Binary::Xor)),
    ("multiply", |c| on_bool(c, Binary::Mul, Binary::And)),
    ("square", |c| {
        let [x] = c.args()?;
        Ok(smallvec![c.b().mul(x, x)])
    }),
    ("conj", conjugate),
    ("constant_like", constant_like),
    ("is_inf", |c| infinite(c, |b, x| b.unary(Unary::Abs, x))),
    ("is_pos_inf", |c| infinite(c, |_, x| x)),
    ("is_neg_inf", |c| infinite(c, |b, x| b.neg(x))),
];

fn constant(c: &mut Call<'_, '_>) -> Result<Values> {
    let ty = c.result(0)?;
    let Some(Attr::Dense(inside, at, _)) = c.attr(&["value"]) else {
        return Err(c.error("the value, `dense<..>`, is missing"));
    };
    let source = c.im.source;
    let constant = match splat(source, inside, *at, &ty)? {
        Some(scalar) => Constant { literal: scalar, shape: Some(ty.shape) },
        None => Constant { literal: dense(source, inside, *at, &ty)?, shape: None },
    };
    Ok(smallvec![c.body().constant(constant)])
}

/// The operands at the result's shape, axes aligned as `broadcast_dimensions` says or else at the end.
pub(super) fn spread_operands(c: &mut Call<'_, '_>) -> Result<()> {
    let shape = c.result(0)?.shape;
    let dims = c.ints_if_any(&["broadcast_dimensions"])?.map(|d| c.to_shape(&d)).transpose()?;
    for x in std::mem::take(&mut c.args) {
        let rank = c.ty(x).rank();
        let skipped =
            shape.len().checked_sub(rank).ok_or_else(|| c.error("the result has fewer axes than an operand"))?;
        let aligned = match &dims {
            Some(dims) if dims.len() == rank => dims.to_vec(),
            _ => (skipped..shape.len()).collect(),
        };
        let x = c.b().broadcast(x, &shape, &aligned);
        c.args.push(x);
    }
    Ok(())
}

fn constant_like(c: &mut Call<'_, '_>) -> Result<Values> {
    let ty = c.result(0)?;
    let Some(Attr::Number(text)) = c.attr(&["value"]) else { return Err(c.error("the value is missing")) };
    let literal = dense(c.im.source, text, c.op.at, &Type::scalar(ty.dtype))?;
    Ok(smallvec![c.body().constant(Constant { literal, shape: Some(ty.shape) })])
}

/// For bool, where sums and products are the logical ops.
fn on_bool(c: &mut Call<'_, '_>, number: Binary, logical: Binary) -> Result<Values> {
    let [x, _] = c.args()?;
    let op = if c.ty(x).dtype == DType::Bool { logical } else { number };
    c.emit(Op::Binary(op), 2)
}

pub(super) fn comparison(c: &Call<'_, '_>) -> Result<Comparison> {
    match c.word(&["comparison_direction"], 0) {
        Some("EQ") => Ok(Comparison::Eq),
        Some("NE") => Ok(Comparison::Ne),
        Some("LT") => Ok(Comparison::Lt),
        Some("LE") => Ok(Comparison::Le),
        Some("GT") => Ok(Comparison::Gt),
        Some("GE") => Ok(Comparison::Ge),
        other => Err(c.error(format!("`{}` is no comparison", other.unwrap_or("")))),
    }
}

fn compare(c: &mut Call<'_, '_>) -> Result<Values> {
    let op = comparison(c)?;
    let [mut x, mut y] = c.args()?;
    let total = c.word(&["compare_type"], 1) == Some("TOTALORDER");
    if total && c.ty(x).dtype.is_float() {
        x = total_order(c.b(), x);
        y = total_order(c.b(), y);
    }
    c.node(Op::Compare(op), &[x, y])
}

/// The signed or unsigned integer dtype of a width.
pub(super) fn int_dtype(signed: bool, bytes: usize) -> DType {
    match (signed, bytes) {
        (true, 1) => DType::I8,
        (true, 2) => DType::I16,
        (true, 4) => DType::I32,
        (true, _) => DType::I64,
        (false, 1) => DType::U8,
        (false, 2) => DType::U16,
        (false, 4) => DType::U32,
        (false, _) => DType::U64,
    }
}

/// Floats as signed integers in the order -NaN < -inf < .. < -0 < 0 < .. < inf < NaN: negative ones have all bits but
/// the sign turned over.
pub(super) fn total_order(b: &mut Builder, x: Value) -> Value {
    let size = b.ty(x).dtype.size();
    let bits = b.op(Op::Bitcast { dtype: int_dtype(true, size) }, &[x]);
    let width = b.full_like(bits, (8 * size - 1) as f64);
    let sign = b.binary(Binary::ShiftRightArithmetic, bits, width);
    let one = b.full_like(sign, 1.0);
    let turned = b.binary(Binary::ShiftRightLogical, sign, one);
    b.binary(Binary::Xor, bits, turned)
}

/// A scalar operand stretched to the shape of another.
fn stretched(c: &mut Call<'_, '_>, x: Value, like: &Type) -> Value {
    if c.ty(x).rank() == 0 { c.b().broadcast(x, &like.shape, &[]) } else { x }
}

fn select(c: &mut Call<'_, '_>) -> Result<Values> {
    let [p, x, y] = c.args()?;
    let ty = c.ty(x);
    let p = stretched(c, p, &ty);
    c.node(Op::Select {}, &[p, x, y])
}

fn clamp(c: &mut Call<'_, '_>) -> Result<Values> {
    let [low, x, high] = c.args()?;
    let ty = c.ty(x);
    let (low, high) = (stretched(c, low, &ty), stretched(c, high, &ty));
    let above = c.node(Op::Binary(Binary::Max), &[low, x])?[0];
    c.node(Op::Binary(Binary::Min), &[above, high])
}

fn convert(c: &mut Call<'_, '_>) -> Result<Values> {
    let dtype = c.result(0)?.dtype;
    let [x] = c.args()?;
    Ok(smallvec![c.b().convert(x, dtype)])
}

/// To a dtype of another size, elements are cut into parts, or parts put together, along a last axis; lowest bits first.
fn bitcast(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x] = c.args()?;
    let (from, to) = (c.ty(x), c.result(0)?);
    let (small, large) = (from.dtype.size().min(to.dtype.size()), from.dtype.size().max(to.dtype.size()));
    if small == large {
        return c.emit(Op::Bitcast { dtype: to.dtype }, 1);
    }
    let (part, whole) = (int_dtype(false, small), int_dtype(false, large));
    let bits = |b: &mut Builder, x: Value, dtype: DType| -> Value {
        if b.ty(x).dtype == dtype { x } else { b.op(Op::Bitcast { dtype }, &[x]) }
    };
    let b = c.b();
    let amounts = |b: &mut Builder, shape: &[usize]| -> Value {
        let i = b.iota(whole, shape, shape.len() - 1);
        b.scale(i, 8.0 * small as f64)
    };
    if from.dtype.size() == large {
        let mut shape = from.shape.clone();
        shape.push(large / small);
        let x = bits(b, x, whole);
        let dims: Vec<usize> = (0..from.rank()).collect();
        let x = b.broadcast(x, &shape, &dims);
        let by = amounts(b, &shape);
        let x = b.binary(Binary::ShiftRightLogical, x, by);
        let x = b.convert(x, part);
        return Ok(smallvec![bits(b, x, to.dtype)]);
    }
    if from.shape.last() != Some(&(large / small)) {
        return Err(c.error(format!("the last axis of {from} should have length {}", large / small)));
    }
    let b = c.b();
    let x = bits(b, x, part);
    let x = b.convert(x, whole);
    let by = amounts(b, &from.shape);
    let x = b.binary(Binary::ShiftLeft, x, by);
    let x = b.reduce(gradloom_ir::ReduceKind::Or, x, &[from.rank() - 1]);
    Ok(smallvec![bits(b, x, to.dtype)])
}

/// Exponent and mantissa bits of a float dtype.
fn float_format(dtype: DType) -> Option<(u32, u32)> {
    match dtype {
        DType::F16 => Some((5, 10)),
        DType::BF16 => Some((8, 7)),
        DType::F32 => Some((8, 23)),
        DType::F64 => Some((11, 52)),
        _ => None,
    }
}

/// Rounding to another format passes tangents through.
fn reduce_precision(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x] = c.args()?;
    let ty = c.ty(x);
    let format = float_format(ty.dtype).ok_or_else(|| c.unsupported(format!("not on dtype {}", ty.dtype)))?;
    let (e, m) = match c.attr(&["format"]) {
        Some(Attr::Word(format)) => {
            let parsed = format.strip_prefix('e').and_then(|f| f.split_once('m'));
            parsed.and_then(|(e, m)| Some((e.parse().ok()?, m.parse().ok()?)))
        }
        _ => Some((c.int(&["exponent_bits"])?, c.int(&["mantissa_bits"])?)),
    }
    .filter(|&(e, m): &(i64, i64)| (1..=64).contains(&e) && (0..=64).contains(&m))
    .ok_or_else(|| c.error("the format should be like e5m10"))?;
    let (mut b, inputs) = Builder::with_inputs(std::slice::from_ref(&ty));
    let y = rounded(&mut b, inputs[0], format, (e as u32, m as u32));
    let primal = b.finish(&[y])?;
    let (mut b, inputs) = Builder::with_inputs(&[ty.clone(), ty]);
    let y = b.inline(&primal, &inputs[..1])?;
    let rule = b.finish(&[y[0], inputs[1]])?;
    c.emit(Op::CustomJvp { primal: Arc::new(primal), rule: Arc::new(rule), consts: 0 }, 1)
}

/// Rounds the mantissa to nearest, ties to even; then what is too large for the exponent is infinite and what is too small is 0.
fn rounded(b: &mut Builder, x: Value, (exponent, mantissa): (u32, u32), (e, m): (u32, u32)) -> Value {
    let ty = b.ty(x).clone();
    let dtype = int_dtype(false, ty.dtype.size());
    let width = 8 * ty.dtype.size() as u32;
    let original = b.op(Op::Bitcast { dtype }, &[x]);
    let mut k = Bits { like: ty.with_dtype(dtype), b };
    let mut bits = original;
    if m < mantissa {
        let drop = mantissa - m;
        let last = k.with(Binary::ShiftRightLogical, bits, drop.into());
        let odd = k.with(Binary::And, last, 1);
        let half = k.with(Binary::Add, odd, (1u64 << (drop - 1)) - 1);
        let rounded = k.b.add(bits, half);
        bits = k.with(Binary::And, rounded, !((1u64 << drop) - 1));
    }
    if e < exponent {
        let bias = (1u64 << (exponent - 1)) - 1;
        let reduced = (1u64 << (e - 1)) - 1;
        let field = ((1u64 << exponent) - 1) << mantissa;
        let sign = k.with(Binary::And, bits, 1u64 << (width - 1));
        let power = k.with(Binary::And, bits, field);
        let (most, least) = (k.constant((bias + reduced) << mantissa), k.constant((bias - reduced) << mantissa));
        let too_large = k.b.compare(Comparison::Gt, power, most);
        let too_small = k.b.compare(Comparison::Le, power, least);
        let infinite = k.with(Binary::Or, sign, field);
        bits = k.b.select(too_large, infinite, bits);
        bits = k.b.select(too_small, sign, bits);
    }
    let y = k.b.op(Op::Bitcast { dtype: ty.dtype }, &[bits]);
    let is_nan = k.b.compare(Comparison::Ne, x, x);
    k.b.select(is_nan, x, y)
}

/// The same, but for complex numbers the imaginary part turned over.
fn conjugate(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x] = c.args()?;
    Ok(smallvec![matrices::conjugate(c.b(), x)])
}

fn infinite(c: &mut Call<'_, '_>, part: fn(&mut Builder, Value) -> Value) -> Result<Values> {
    let [x] = c.args()?;
    let b = c.b();
    let x = part(b, x);
    let infinity = b.full_like(x, f64::INFINITY);
    Ok(smallvec![b.compare(Comparison::Eq, x, infinity)])
}
