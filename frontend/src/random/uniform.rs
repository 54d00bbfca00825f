//! Uniform numbers and integers, and what is a comparison with them.

use super::{Key, bits_at, bounds, parameter, parameters};
use crate::tensor::arithmetic::{binary_at, broadcast_at, compare_at};
use crate::tensor::axes::settle;
use crate::tensor::convert::{plain_shape, scalar_at};
use crate::tensor::{IntoShape, Operand, Tensor, apply};
use gradloom_ir::{Binary, Comparison, DType, Error, Loc, Op, Result};

/// Uniform in [0, 1): the leading bits as the mantissa of a number in [1, 2), less 1.
pub(super) fn unit_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    // the dtype of the bits, that of the float's bits, and how many bits are too many
    let (bits, uint, drop) = match dtype {
        DType::BF16 => (DType::U8, DType::U16, 1.0),
        DType::F16 => (DType::U16, DType::U16, 6.0),
        DType::F32 => (DType::U32, DType::U32, 9.0),
        DType::F64 => (DType::U64, DType::U64, 12.0),
        other => return Err(Error::bad_dtype("uniform", other, "a float")),
    };
    let one = scalar_at(dtype, 1.0, loc);
    let bits = bits_at(key, shape, bits, loc)?;
    let bits = if bits.dtype() == uint { bits } else { apply(Op::Convert { dtype: uint }, &[&bits], loc) };
    let mantissa = binary_at(Binary::ShiftRightLogical, &bits, &scalar_at(uint, drop, loc), loc);
    let exponent = apply(Op::Bitcast { dtype: uint }, &[&one], loc);
    let x = apply(Op::Bitcast { dtype }, &[&binary_at(Binary::Or, &mantissa, &exponent, loc)], loc);
    Ok(binary_at(Binary::Sub, &x, &one, loc))
}

/// Uniform in [lo, hi), both of one float dtype, broadcast to the shape.
pub(super) fn uniform_at(key: &Key, shape: &[usize], lo: &Tensor, hi: &Tensor, loc: &Loc) -> Result<Tensor> {
    lo.check()?;
    let [lo, hi] = [lo, hi].map(|t| broadcast_at(t, shape, loc));
    let x = unit_at(key, shape, lo.dtype(), loc)?;
    let span = binary_at(Binary::Sub, &hi, &lo, loc);
    let x = binary_at(Binary::Add, &binary_at(Binary::Mul, &x, &span, loc), &lo, loc);
    Ok(binary_at(Binary::Max, &lo, &x, loc))
}

/// Uniform f32 in [0, 1).
#[track_caller]
pub fn uniform(key: &Key, shape: impl IntoShape) -> Tensor {
    uniform_as(key, shape, DType::F32)
}

/// Uniform in [0, 1), of any float dtype.
#[track_caller]
pub fn uniform_as(key: &Key, shape: impl IntoShape, dtype: DType) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, plain_shape("uniform", shape).and_then(|s| unit_at(key, &s, dtype, &loc)))
}

/// Uniform in [lo, hi); the bounds are numbers (f32) or tensors that broadcast to the shape.
#[track_caller]
pub fn uniform_range(key: &Key, shape: impl IntoShape, lo: impl Operand, hi: impl Operand) -> Tensor {
    let loc = Loc::caller();
    let (lo, hi) = bounds(&lo, &hi, DType::F32, &loc);
    settle(&loc, plain_shape("uniform_range", shape).and_then(|s| uniform_at(key, &s, &lo, &hi, &loc)))
}

/// Bools that are true with probability `p`, a number or a float tensor that broadcasts to the shape.
#[track_caller]
pub fn bernoulli(key: &Key, p: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("bernoulli", shape)?;
        let p = parameter("bernoulli", &p, &shape, &loc)?;
        let u = unit_at(key, &shape, p.dtype(), &loc)?;
        Ok(compare_at(Comparison::Lt, &u, &p, &loc))
    };
    settle(&loc, run())
}

/// -1 or 1 (i32), each with probability 1/2.
#[track_caller]
pub fn rademacher(key: &Key, shape: impl IntoShape) -> Tensor {
    rademacher_as(key, shape, DType::I32)
}

/// -1 or 1 of a signed integer or float dtype, each with probability 1/2.
#[track_caller]
pub fn rademacher_as(key: &Key, shape: impl IntoShape, dtype: DType) -> Tensor {
    let loc = Loc::caller();
    if !(dtype.is_signed_int() || dtype.is_float()) {
        return Tensor::failed(Error::bad_dtype("rademacher", dtype, "a signed number").at(&loc));
    }
    bernoulli(key, 0.5, shape).to(dtype) * 2 - 1
}

/// The triangular distribution on \[left, right\] that peaks at `mode`.
#[track_caller]
pub fn triangular(
    key: &Key,
    left: impl Operand,
    mode: impl Operand,
    right: impl Operand,
    shape: impl IntoShape,
) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("triangular", shape)?;
        let [left, right] = parameters("triangular", &left, &right, &shape, &loc)?;
        let mode = parameter("triangular", &mode.with_dtype(left.dtype(), &loc), &shape, &loc)?;
        let u = unit_at(key, &shape, left.dtype(), &loc)?;
        let width = &right - &left;
        let rising = &left + (&u * &width * (&mode - &left)).sqrt();
        let falling = &right - ((1.0f64 - &u) * &width * (&right - &mode)).sqrt();
        Ok(u.lt((&mode - &left) / &width).select(rising, falling))
    };
    settle(&loc, run())
}

/// Uniform integers in [lo, hi); `lo` itself where that is empty. The bounds are numbers (i32) or integer tensors, whose
/// dtype the result takes; they broadcast to the shape.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Key, random};
/// let dice = random::randint(&Key::new(3), [100], 1, 7);
/// assert_eq!((dice.min(..).item::<i32>().unwrap(), dice.max(..).item::<i32>().unwrap()), (1, 6));
/// ```
#[track_caller]
pub fn randint(key: &Key, shape: impl IntoShape, lo: impl Operand, hi: impl Operand) -> Tensor {
    let loc = Loc::caller();
    let (lo, hi) = bounds(&lo, &hi, DType::I32, &loc);
    settle(&loc, plain_shape("randint", shape).and_then(|s| randint_at(key, &s, &lo, &hi, None, &loc)))
}

/// Uniform integers of `dtype` in [lo, hi). Bounds outside the dtype mean its ends, so that 0 and 256 are all of u8.
#[track_caller]
pub fn randint_as(key: &Key, shape: impl IntoShape, lo: impl Operand, hi: impl Operand, dtype: DType) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let (least, greatest) = range(dtype)?;
        let shape = plain_shape("randint", shape)?;
        let wide = |t: Tensor| {
            t.check()?;
            match t.dtype() {
                DType::U64 => Err(Error::bad_dtype("randint", DType::U64, "a bound that an i64 holds")),
                d if d.is_int() => Ok(apply(Op::Convert { dtype: DType::I64 }, &[&t], &loc)),
                d => Err(Error::bad_dtype("randint", d, "an integer as bound")),
            }
        };
        let (lo, hi) = (wide(lo.with_dtype(DType::I64, &loc))?, wide(hi.with_dtype(DType::I64, &loc))?);
        if dtype.size() < 4 {
            let clipped = |t: &Tensor| t.maximum(least).minimum(greatest + 1).to(DType::I32);
            return Ok(randint_at(key, &shape, &clipped(&lo), &clipped(&hi), None, &loc)?.to(dtype));
        }
        // an i64 is not above the greatest i64 or u64
        let beyond = (dtype.size() < 8).then(|| broadcast_at(&hi.gt(greatest), &shape, &loc));
        let clipped = |t: &Tensor| t.maximum(least).minimum(greatest).to(dtype);
        randint_at(key, &shape, &clipped(&lo), &clipped(&hi), beyond.as_ref(), &loc)
    };
    settle(&loc, run())
}

/// The ends of an integer dtype, within i64.
fn range(dtype: DType) -> Result<(i64, i64)> {
    let bits = dtype.size() as u32 * 8;
    match dtype {
        d if d.is_signed_int() => Ok((i64::MIN >> (64 - bits), i64::MAX >> (64 - bits))),
        DType::U64 => Ok((0, i64::MAX)),
        d if d.is_unsigned_int() => Ok((0, (1i64 << bits) - 1)),
        d => Err(Error::bad_dtype("randint", d, "an integer")),
    }
}

/// Integers of the dtype of the bounds; where `beyond`, the upper bound itself is one of them.
fn randint_at(
    key: &Key,
    shape: &[usize],
    lo: &Tensor,
    hi: &Tensor,
    beyond: Option<&Tensor>,
    loc: &Loc,
) -> Result<Tensor> {
    let dtype = lo.dtype();
    for t in [lo, hi] {
        t.check()?;
        if !t.dtype().is_int() {
            return Err(Error::bad_dtype("randint", t.dtype(), "an integer as bound"));
        }
        if t.dtype() != dtype {
            return Err(Error::dtype_mismatch("randint", dtype, t.dtype()));
        }
    }
    if dtype.size() < 4 {
        // in 32 bits, where remainders are hardly biased
        let wide = |t: &Tensor| apply(Op::Convert { dtype: DType::I32 }, &[t], loc);
        let x = randint_at(key, shape, &wide(lo), &wide(hi), None, loc)?;
        return Ok(apply(Op::Convert { dtype }, &[&x], loc));
    }
    let word = if dtype.size() == 4 { DType::U32 } else { DType::U64 };
    let [lo, hi] = [lo, hi].map(|t| broadcast_at(t, shape, loc));
    let [first, second] = key.pair(loc)?;
    let (high, low) = (bits_at(&first, shape, word, loc)?, bits_at(&second, shape, word, loc)?);
    let op = |op, a: &Tensor, b: &Tensor| binary_at(op, a, b, loc);
    let number = |v: f64| broadcast_at(&scalar_at(word, v, loc), shape, loc);
    let empty = compare_at(Comparison::Le, &hi, &lo, loc);
    let span = apply(Op::Convert { dtype: word }, &[&op(Binary::Sub, &hi, &lo)], loc);
    let span = apply(Op::Select {}, &[&empty, &number(1.0), &span], loc);
    let span = match beyond {
        None => span,
        Some(beyond) => {
            // a span of all values wraps to 0, by which remainders change nothing
            let more = op(Binary::Add, &span, &number(1.0));
            let more = apply(Op::Select {}, &[&empty, &span, &more], loc);
            apply(Op::Select {}, &[beyond, &more, &span], loc)
        }
    };
    // 2^bits mod span, by squaring 2^(bits / 2) mod span
    let m = op(Binary::Rem, &number(2f64.powi(dtype.size() as i32 * 4)), &span);
    let m = op(Binary::Rem, &op(Binary::Mul, &m, &m), &span);
    let sum = op(Binary::Add, &op(Binary::Mul, &op(Binary::Rem, &high, &span), &m), &op(Binary::Rem, &low, &span));
    let offset = apply(Op::Convert { dtype }, &[&op(Binary::Rem, &sum, &span)], loc);
    Ok(op(Binary::Add, &lo, &offset))
}
