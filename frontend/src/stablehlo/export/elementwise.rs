//! Elementwise ops. Most have their name in common with the text.

use super::writer::Writer;
use super::{bits, special};
use gradloom_ir::{Binary, DType, Error, Op, Result, Type, Unary, Value, Values};
use smallvec::smallvec;

/// Functions that are CHLO's, which XLA takes apart by itself.
const CHLO_UNARY: &[Unary] = &[
    Unary::Asin,
    Unary::Acos,
    Unary::Atan,
    Unary::Sinh,
    Unary::Cosh,
    Unary::Asinh,
    Unary::Acosh,
    Unary::Atanh,
    Unary::Erf,
    Unary::ErfInv,
    Unary::Erfc,
    Unary::Lgamma,
    Unary::BesselI1e,
];

pub(super) fn lower(w: &mut Writer, op: &Op, args: &[Value], ty: &Type) -> Result<Values> {
    let x = *args.first().ok_or_else(|| Error::internal(op.name(), "has no operand"))?;
    Ok(smallvec![match op {
        Op::Unary(f) => return unary(w, *f, x, ty),
        Op::Binary(f) => return binary(w, *f, args, ty),
        Op::Compare(f) => w.compare(*f, args[0], args[1]),
        Op::Select {} => w.select(x, args[1], args[2]),
        Op::Convert { dtype } => w.convert(x, *dtype),
        Op::Bitcast { .. } if w.ty(x) == ty => x,
        Op::Bitcast { .. } => w.one("bitcast_convert", args, "", ty),
        Op::Threefry { lane } => return w.helper(op, args, |b, x| Ok(vec![bits::threefry(b, *lane, x)])),
        _ => return Err(Error::internal(op.name(), "is not elementwise")),
    }])
}

fn unary(w: &mut Writer, f: Unary, x: Value, ty: &Type) -> Result<Values> {
    let dtype = w.dtype(x);
    let op = Op::Unary(f);
    let narrow = dtype.accumulator() == DType::F32;
    let name = match f {
        // exact to a few units in f64 where it is not near a zero, but not in f32
        Unary::Lgamma | Unary::Digamma | Unary::BesselI0e if narrow => {
            return w.helper(&op, &[x], |b, x| Ok(vec![special::as_defined(b, f, x[0])?]));
        }
        Unary::BesselI0e => return w.helper(&op, &[x], |b, x| Ok(vec![special::bessel_i0e(b, x[0])])),
        Unary::Digamma => {
            let elsewhere = w.same("chlo.digamma", &[x]);
            return w.composed(&[x, elsewhere], |b, x| Ok(vec![special::digamma_at_zero(b, x[0], x[1])]));
        }
        Unary::Cbrt if dtype.is_complex() => return on_parts(w, &op, &[x]),
        Unary::Abs if dtype.is_unsigned_int() => return Ok(smallvec![x]),
        Unary::Sign if dtype.is_unsigned_int() => {
            let one = w.full(ty, 1.0);
            return Ok(smallvec![w.same("minimum", &[x, one])]);
        }
        f if CHLO_UNARY.contains(&f) => format!("chlo.{}", f.name()),
        f => f.name().to_string(),
    };
    Ok(smallvec![w.one(&name, &[x], "", ty)])
}

fn binary(w: &mut Writer, f: Binary, args: &[Value], ty: &Type) -> Result<Values> {
    let op = Op::Binary(f);
    match f {
        Binary::Pow if ty.dtype.is_complex() => return on_parts(w, &op, args),
        Binary::Div | Binary::Rem if ty.dtype.is_int() && !known(w, args[1], |y| y > 0.0) => {
            let safe = w.composed(args, |b, x| Ok(bits::divisor(b, f, x[0], x[1]).to_vec()))?;
            let result = w.same(f.name(), &[args[0], safe[0]]);
            return Ok(smallvec![w.select(safe[1], safe[2], result)]);
        }
        Binary::Pow if ty.dtype.is_int() && !known(w, args[1], |y| (0.0..64.0).contains(&y)) => {
            return w.helper(&op, args, |b, x| Ok(vec![special::integer_power(b, x)?]));
        }
        Binary::Zeta => return w.helper(&op, args, |b, x| Ok(vec![special::zeta(b, x)])),
        _ => {}
    }
    let dialect = if f == Binary::NextAfter { "chlo." } else { "stablehlo." };
    Ok(smallvec![w.one(&format!("{dialect}{}", f.name()), args, "", ty)])
}

/// Whether the array is full of a number of this kind.
fn known(w: &Writer, x: Value, is: impl Fn(f64) -> bool) -> bool {
    w.known(x).is_some_and(|x| is(x.get_f64(0)))
}

/// A function of complex numbers by functions of their parts.
fn on_parts(w: &mut Writer, op: &Op, args: &[Value]) -> Result<Values> {
    let types: Vec<Type> = args.iter().map(|&a| w.ty(a).clone()).collect();
    let parts = special::on_parts(op, &types)?;
    w.helper(op, args, |b, x| b.inline(&parts, x))
}

/// The dtype of an index of this dtype: one that bounds of any array fit in.
pub(super) fn index_dtype(dtype: DType) -> DType {
    match dtype {
        DType::I8 | DType::I16 | DType::U8 | DType::U16 | DType::I32 => DType::I32,
        _ => DType::I64,
    }
}
