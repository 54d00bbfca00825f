//! Elementwise ops that are composed of others. A row is looked at only where gradloom has no op of that
//! name for the dtype.

use super::elementwise::int_dtype;
use super::{Call, Lower};
use gradloom_ir::{Binary, Builder, Comparison, DType, Error, Literal, Op, Result, Type, Unary, Value, Values};
use smallvec::smallvec;

pub(super) const RULES: &[(&str, Lower)] = &[
    ("round_nearest_afz", round_nearest_afz),
    ("next_after", next_after),
    ("popcnt", population_count),
    ("count_leading_zeros", count_leading_zeros),
    ("mulhi", high_product),
    ("polygamma", polygamma),
];

/// Masks and shifts on the bits of floats.
pub(super) struct Bits<'b> {
    pub(super) b: &'b mut Builder,
    pub(super) like: Type,
}

impl Bits<'_> {
    pub(super) fn constant(&mut self, bits: u64) -> Value {
        let size = self.like.dtype.size();
        let bytes = if cfg!(target_endian = "big") {
            bits.to_be_bytes()[8 - size..].to_vec()
        } else {
            bits.to_le_bytes()[..size].to_vec()
        };
        match Literal::from_bytes(Type::scalar(self.like.dtype), bytes) {
            Some(literal) => {
                let c = self.b.literal(literal);
                self.b.broadcast(c, &self.like.shape, &[])
            }
            None => self.b.poison(Error::internal("stablehlo", "a bit pattern does not fit"), self.like.clone()),
        }
    }

    pub(super) fn with(&mut self, op: Binary, x: Value, bits: u64) -> Value {
        let c = self.constant(bits);
        self.b.binary(op, x, c)
    }
}

/// Halves away from zero: the part behind the point decides, and it is exact.
fn round_nearest_afz(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x] = c.args()?;
    let b = c.b();
    let size = b.unary(Unary::Abs, x);
    let whole = b.unary(Unary::Floor, size);
    let part = b.sub(size, whole);
    let half = b.full_like(part, 0.5);
    let up = b.compare(Comparison::Ge, part, half);
    let next = b.offset(whole, 1.0);
    let rounded = b.select(up, next, whole);
    let sign = b.unary(Unary::Sign, x);
    Ok(smallvec![b.mul(rounded, sign)])
}

/// The next float from x towards y: one up or down in the order of bits; the least of y's sign from 0.
fn next_after(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, y] = c.args()?;
    let ty = c.ty(x);
    let dtype = int_dtype(false, ty.dtype.size());
    let top = 1u64 << (8 * ty.dtype.size() - 1);
    let b = c.b();
    let (bits, towards) = (b.op(Op::Bitcast { dtype }, &[x]), b.op(Op::Bitcast { dtype }, &[y]));
    let mut k = Bits { like: ty.with_dtype(dtype), b };
    let (up, down) = (k.with(Binary::Add, bits, 1), k.with(Binary::Sub, bits, 1));
    let towards_sign = k.with(Binary::And, towards, top);
    let from_zero = k.with(Binary::Or, towards_sign, 1);
    let x_sign = k.with(Binary::And, bits, top);
    let none = k.constant(0);
    let b = k.b;
    let negative = b.compare(Comparison::Ne, x_sign, none);
    let below = b.compare(Comparison::Lt, x, y);
    // away from zero when the direction agrees with the sign
    let grows = b.compare(Comparison::Ne, below, negative);
    let moved = b.select(grows, up, down);
    let zero = b.full_like(x, 0.0);
    let is_zero = b.compare(Comparison::Eq, x, zero);
    let moved = b.select(is_zero, from_zero, moved);
    let moved = b.op(Op::Bitcast { dtype: ty.dtype }, &[moved]);
    let same = b.compare(Comparison::Eq, x, y);
    let moved = b.select(same, y, moved);
    let sum = b.add(x, y);
    let is_nan = b.compare(Comparison::Ne, sum, sum);
    // inf + -inf is NaN too, and has a next float
    let (nx, ny) = (b.compare(Comparison::Ne, x, x), b.compare(Comparison::Ne, y, y));
    let either = b.binary(Binary::Or, nx, ny);
    let is_nan = b.binary(Binary::And, is_nan, either);
    Ok(smallvec![b.select(is_nan, sum, moved)])
}

/// Bits counted in pairs, fours, eights, then summed by a product.
fn count_ones(b: &mut Builder, x: Value) -> Value {
    let ty = b.ty(x).clone();
    let width = 8 * ty.dtype.size() as u32;
    let dtype = int_dtype(false, ty.dtype.size());
    let bits = if ty.dtype == dtype { x } else { b.op(Op::Bitcast { dtype }, &[x]) };
    let mut k = Bits { like: ty.with_dtype(dtype), b };
    let every = |byte: u64| byte * 0x0101_0101_0101_0101;
    let high = k.with(Binary::ShiftRightLogical, bits, 1);
    let high = k.with(Binary::And, high, every(0x55));
    let pairs = k.b.sub(bits, high);
    let low = k.with(Binary::And, pairs, every(0x33));
    let high = k.with(Binary::ShiftRightLogical, pairs, 2);
    let high = k.with(Binary::And, high, every(0x33));
    let fours = k.b.add(low, high);
    let high = k.with(Binary::ShiftRightLogical, fours, 4);
    let sum = k.b.add(fours, high);
    let bytes = k.with(Binary::And, sum, every(0x0f));
    let total = k.with(Binary::Mul, bytes, every(0x01));
    let count = k.with(Binary::ShiftRightLogical, total, u64::from(width - 8));
    if ty.dtype == dtype { count } else { b.op(Op::Bitcast { dtype: ty.dtype }, &[count]) }
}

fn population_count(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x] = c.args()?;
    if !c.ty(x).dtype.is_int() {
        return Err(c.error("takes integers"));
    }
    Ok(smallvec![count_ones(c.b(), x)])
}

/// The ones of what is left when every bit below the highest is set, turned over.
fn count_leading_zeros(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x] = c.args()?;
    let ty = c.ty(x);
    if !ty.dtype.is_int() {
        return Err(c.error("takes integers"));
    }
    let b = c.b();
    let mut filled = x;
    let mut by = 1;
    while by < 8 * ty.dtype.size() {
        let amount = b.full_like(filled, by as f64);
        let shifted = b.binary(Binary::ShiftRightLogical, filled, amount);
        filled = b.binary(Binary::Or, filled, shifted);
        by *= 2;
    }
    let clear = b.unary(Unary::Not, filled);
    Ok(smallvec![count_ones(b, clear)])
}

/// The upper half of the product of two integers: of narrow ones through wider ones; of 64 bits by halves, as
/// (a1 w + a0)(b1 w + b0) / w^2 with w = 2^32, less what the signs add.
fn high_product(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, y] = c.args()?;
    let ty = c.ty(x);
    if !ty.dtype.is_int() || c.ty(y) != ty {
        return Err(c.error("takes two arrays of integers of one type"));
    }
    let (signed, size) = (ty.dtype.is_signed_int(), ty.dtype.size());
    let b = c.b();
    if size < 8 {
        let wide = int_dtype(signed, 2 * size);
        let (a, b2) = (b.convert(x, wide), b.convert(y, wide));
        let product = b.mul(a, b2);
        let by = b.full_like(product, 8.0 * size as f64);
        let high = b.binary(Binary::ShiftRightArithmetic, product, by);
        return Ok(smallvec![b.convert(high, ty.dtype)]);
    }
    let unsigned = |b: &mut Builder, v: Value| if signed { b.op(Op::Bitcast { dtype: DType::U64 }, &[v]) } else { v };
    let (p, q) = (unsigned(b, x), unsigned(b, y));
    let mut k = Bits { like: ty.with_dtype(DType::U64), b };
    let mut halves = |v: Value| (k.with(Binary::And, v, u64::from(u32::MAX)), k.with(Binary::ShiftRightLogical, v, 32));
    let ((p0, p1), (q0, q1)) = (halves(p), halves(q));
    let low = k.b.mul(p0, q0);
    let carry = k.with(Binary::ShiftRightLogical, low, 32);
    let left = k.b.mul(p1, q0);
    let middle = k.b.add(left, carry);
    let kept = k.with(Binary::And, middle, u64::from(u32::MAX));
    let right = k.b.mul(p0, q1);
    let kept = k.b.add(kept, right);
    let (up, more) = (k.with(Binary::ShiftRightLogical, middle, 32), k.with(Binary::ShiftRightLogical, kept, 32));
    let high = k.b.mul(p1, q1);
    let high = k.b.add(high, up);
    let mut high = k.b.add(high, more);
    if signed {
        let none = k.constant(0);
        for (v, other) in [(x, q), (y, p)] {
            let zero = k.b.full_like(v, 0.0);
            let negative = k.b.compare(Comparison::Lt, v, zero);
            let less = k.b.select(negative, other, none);
            high = k.b.sub(high, less);
        }
        high = k.b.op(Op::Bitcast { dtype: ty.dtype }, &[high]);
    }
    Ok(smallvec![high])
}

/// (-1)^(n + 1) n! zeta(n + 1, x); digamma for n = 0; NaN unless n is 0, 1, 2, ..
fn polygamma(c: &mut Call<'_, '_>) -> Result<Values> {
    let [n, x] = c.args()?;
    let dtype = c.ty(x).dtype;
    if !dtype.is_float() || c.ty(n) != c.ty(x) {
        return Err(c.error("takes two arrays of floats of one type"));
    }
    let b = c.b();
    let (n, x) = (b.convert(n, dtype.accumulator()), b.convert(x, dtype.accumulator()));
    let next = b.offset(n, 1.0);
    let log = b.unary(Unary::Lgamma, next);
    let factorial = b.unary(Unary::Exp, log);
    let zeta = b.binary(Binary::Zeta, next, x);
    let size = b.mul(factorial, zeta);
    let two = b.full_like(n, 2.0);
    let odd = b.binary(Binary::Rem, n, two);
    let zero = b.full_like(n, 0.0);
    let odd = b.compare(Comparison::Ne, odd, zero);
    let negative = b.neg(size);
    let y = b.select(odd, size, negative);
    let first = b.compare(Comparison::Eq, n, zero);
    let digamma = b.unary(Unary::Digamma, x);
    let y = b.select(first, digamma, y);
    let whole = b.unary(Unary::Floor, n);
    let whole = b.compare(Comparison::Eq, whole, n);
    let from_zero = b.compare(Comparison::Ge, n, zero);
    let fits = b.binary(Binary::And, whole, from_zero);
    let nan = b.full_like(n, f64::NAN);
    let y = b.select(fits, y, nan);
    Ok(smallvec![b.convert(y, dtype)])
}
