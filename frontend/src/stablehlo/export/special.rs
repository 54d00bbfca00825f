//! Functions that XLA lacks, or computes less exactly or with other limits than gradloom's interpreter.

use gradloom_ir::math::{Lanes, apply_unary};
use gradloom_ir::{
    Binary, Builder, Comparison, DType, Error, Graph, Op, ReduceKind, Result, Shape, Type, Unary, Value,
};
use gradloom_passes::split_complex;
use std::f64::consts::PI;
use std::sync::Arc;

/// A program of the one op, on complex numbers taken apart.
pub(super) fn on_parts(op: &Op, types: &[Type]) -> Result<Graph> {
    let (mut b, args) = Builder::with_inputs(types);
    let outs = b.emit(op.clone(), &args)?;
    let mut g = b.finish(&outs)?;
    split_complex(&mut g)?;
    Ok(g)
}

/// Builds the programs by which the f32 functions are defined.
struct Arrays<'b> {
    b: &'b mut Builder,
    shape: Shape,
}

impl Arrays<'_> {
    fn full(&mut self, dtype: DType, x: f64) -> Value {
        let ty = Type::new(dtype, &self.shape);
        self.b.full(&ty, x)
    }
}

impl Lanes for Arrays<'_> {
    type F = Value;
    type I = Value;
    type M = Value;

    fn f(&mut self, x: f32) -> Value {
        self.full(DType::F32, x.into())
    }
    fn i(&mut self, x: i32) -> Value {
        self.full(DType::I32, x.into())
    }
    fn add(&mut self, a: Value, b: Value) -> Value {
        self.b.add(a, b)
    }
    fn sub(&mut self, a: Value, b: Value) -> Value {
        self.b.sub(a, b)
    }
    fn mul(&mut self, a: Value, b: Value) -> Value {
        self.b.mul(a, b)
    }
    fn div(&mut self, a: Value, b: Value) -> Value {
        self.b.div(a, b)
    }
    /// The product is exact in f64.
    fn fma(&mut self, a: Value, b: Value, c: Value) -> Value {
        let [a, b, c] = [a, b, c].map(|x| self.b.convert(x, DType::F64));
        let product = self.b.mul(a, b);
        let sum = self.b.add(product, c);
        self.b.convert(sum, DType::F32)
    }
    fn sqrt(&mut self, a: Value) -> Value {
        self.b.unary(Unary::Sqrt, a)
    }
    fn neg(&mut self, a: Value) -> Value {
        self.b.neg(a)
    }
    fn abs(&mut self, a: Value) -> Value {
        self.b.unary(Unary::Abs, a)
    }
    fn round(&mut self, a: Value) -> Value {
        self.b.unary(Unary::Round, a)
    }
    fn to_int(&mut self, a: Value) -> Value {
        self.b.convert(a, DType::I32)
    }
    fn to_float(&mut self, a: Value) -> Value {
        self.b.convert(a, DType::F32)
    }
    fn bits(&mut self, a: Value) -> Value {
        self.b.op(Op::Bitcast { dtype: DType::I32 }, &[a])
    }
    fn from_bits(&mut self, a: Value) -> Value {
        self.b.op(Op::Bitcast { dtype: DType::F32 }, &[a])
    }
    fn iadd(&mut self, a: Value, b: Value) -> Value {
        self.b.add(a, b)
    }
    fn isub(&mut self, a: Value, b: Value) -> Value {
        self.b.sub(a, b)
    }
    fn iand(&mut self, a: Value, b: Value) -> Value {
        self.b.binary(Binary::And, a, b)
    }
    fn ior(&mut self, a: Value, b: Value) -> Value {
        self.b.binary(Binary::Or, a, b)
    }
    fn ixor(&mut self, a: Value, b: Value) -> Value {
        self.b.binary(Binary::Xor, a, b)
    }
    fn ishl(&mut self, a: Value, by: u32) -> Value {
        let by = self.full(DType::I32, by.into());
        self.b.binary(Binary::ShiftLeft, a, by)
    }
    fn isar(&mut self, a: Value, by: u32) -> Value {
        let by = self.full(DType::I32, by.into());
        self.b.binary(Binary::ShiftRightArithmetic, a, by)
    }
    fn lt(&mut self, a: Value, b: Value) -> Value {
        self.b.compare(Comparison::Lt, a, b)
    }
    fn eq(&mut self, a: Value, b: Value) -> Value {
        self.b.compare(Comparison::Eq, a, b)
    }
    fn ieq(&mut self, a: Value, b: Value) -> Value {
        self.b.compare(Comparison::Eq, a, b)
    }
    fn and(&mut self, a: Value, b: Value) -> Value {
        self.b.binary(Binary::And, a, b)
    }
    fn or(&mut self, a: Value, b: Value) -> Value {
        self.b.binary(Binary::Or, a, b)
    }
    fn select(&mut self, m: Value, a: Value, b: Value) -> Value {
        self.b.select(m, a, b)
    }
    fn iselect(&mut self, m: Value, a: Value, b: Value) -> Value {
        self.b.select(m, a, b)
    }
}

/// A function of f32, or of a 16-bit float by way of it, as the interpreter computes it.
pub(super) fn as_defined(b: &mut Builder, f: Unary, x: Value) -> Result<Value> {
    let ty = b.ty(x).clone();
    let x = b.convert(x, DType::F32);
    let y = apply_unary(&mut Arrays { b, shape: ty.shape }, f, x);
    let y = y.ok_or_else(|| Error::internal(f.name(), "is no function of f32"))?;
    Ok(b.convert(y, ty.dtype))
}

/// c[0] + c[1] z + c[2] z^2 + ..
fn polynomial(b: &mut Builder, z: Value, c: &[f64]) -> Value {
    let mut y = b.full_like(z, c.last().copied().unwrap_or(0.0));
    for &c in c.iter().rev().skip(1) {
        y = b.mul(y, z);
        y = b.offset(y, c);
    }
    y
}

/// e^-|x| I0(x) in f64: by powers of x^2 / 4 up to 20, by powers of 1 / |x| beyond.
pub(super) fn bessel_i0e(b: &mut Builder, x: Value) -> Value {
    // 1 / k!^2, and (1 3 .. (2 k - 1))^2 / (k! 8^k)
    let series = |ratio: &dyn Fn(f64) -> f64, n: usize| {
        let terms = (1..n).scan(1.0, |term, k| {
            *term *= ratio(k as f64);
            Some(*term)
        });
        std::iter::once(1.0).chain(terms).collect::<Vec<f64>>()
    };
    let near = series(&|k| 1.0 / (k * k), 60);
    let far = series(&|k| (2.0 * k - 1.0) * (2.0 * k - 1.0) / (8.0 * k), 30);
    let a = b.unary(Unary::Abs, x);
    let edge = b.full_like(a, 20.0);
    let is_near = b.compare(Comparison::Le, a, edge);
    // what is not taken stays finite
    let small = b.binary(Binary::Min, a, edge);
    let t = b.mul(small, small);
    let t = b.scale(t, 0.25);
    let sum = polynomial(b, t, &near);
    let minus = b.neg(small);
    let decay = b.unary(Unary::Exp, minus);
    let near = b.mul(sum, decay);
    let large = b.binary(Binary::Max, a, edge);
    let one = b.full_like(large, 1.0);
    let inverse = b.div(one, large);
    let sum = polynomial(b, inverse, &far);
    let root = b.scale(large, 2.0 * PI);
    let root = b.unary(Unary::Sqrt, root);
    let far = b.div(sum, root);
    b.select(is_near, near, far)
}

/// Digamma has poles of either sign at the zeros.
pub(super) fn digamma_at_zero(b: &mut Builder, x: Value, elsewhere: Value) -> Value {
    let (zero, minus_one) = (b.full_like(x, 0.0), b.full_like(x, -1.0));
    let is_zero = b.compare(Comparison::Eq, x, zero);
    let pole = b.div(minus_one, x);
    b.select(is_zero, pole, elsewhere)
}

/// The Bernoulli numbers B2, B4, .. over (2k)!.
fn bernoulli() -> Vec<f64> {
    const NUMBERS: [(f64, f64); 12] = [
        (1.0, 6.0),
        (-1.0, 30.0),
        (1.0, 42.0),
        (-1.0, 30.0),
        (5.0, 66.0),
        (-691.0, 2730.0),
        (7.0, 6.0),
        (-3617.0, 510.0),
        (43867.0, 798.0),
        (-174611.0, 330.0),
        (854513.0, 138.0),
        (-236364091.0, 2730.0),
    ];
    let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
    NUMBERS.iter().enumerate().map(|(k, (p, q))| p / q / factorial(2 * k + 2)).collect()
}

/// Terms of the sum before what is left is given by Euler and Maclaurin. The larger s, the less is left.
const TERMS: usize = 12;

/// The sum over k >= 0 of (q + k)^-s in f64 for q > 0 and s > 1.
fn zeta_right(b: &mut Builder, s: Value, q: Value) -> Value {
    let minus = b.neg(s);
    let mut sum = b.binary(Binary::Pow, q, minus);
    for k in 1..TERMS {
        let next = b.offset(q, k as f64);
        let term = b.binary(Binary::Pow, next, minus);
        sum = b.add(sum, term);
    }
    let q = b.offset(q, TERMS as f64);
    let last = b.binary(Binary::Pow, q, minus);
    // q / (s - 1) + 1 / 2 + sum of B2k / (2k)! s (s + 1) .. (s + 2k - 2) q^(1 - 2k), all times q^-s
    let below = b.offset(s, -1.0);
    let integral = b.div(q, below);
    let mut rest = b.offset(integral, 0.5);
    let mut factor = b.div(s, q);
    for (k, c) in bernoulli().into_iter().enumerate() {
        let term = b.scale(factor, c);
        rest = b.add(rest, term);
        for j in 1..=2 {
            let next = b.offset(s, (2 * k + j) as f64);
            let ratio = b.div(next, q);
            factor = b.mul(factor, ratio);
        }
    }
    let tail = b.mul(last, rest);
    let zero = b.full_like(last, 0.0);
    let nothing = b.compare(Comparison::Eq, last, zero);
    let tail = b.select(nothing, zero, tail);
    b.add(sum, tail)
}

/// The Hurwitz zeta function, in f64. For q < 0 it has a value where s is a whole number: the sum over all integers has
/// period 1, and what lies below q comes off it.
pub(super) fn zeta(b: &mut Builder, args: &[Value]) -> Value {
    let narrow = b.ty(args[0]).dtype;
    let [s, q] = [args[0], args[1]].map(|x| b.convert(x, DType::F64));
    let (zero, one, nan) = (b.full_like(q, 0.0), b.full_like(q, 1.0), b.full_like(q, f64::NAN));
    let infinity = b.full_like(q, f64::INFINITY);
    let right = b.compare(Comparison::Gt, q, zero);
    let nearest = b.unary(Unary::RoundAway, q);
    let r = b.sub(q, nearest);
    let first = b.select(right, q, one);
    let (above, below, beyond) = (b.add(one, r), b.sub(one, r), b.sub(one, q));
    let beyond = b.select(right, one, beyond);
    // four arguments at once
    let shape = b.ty(q).shape.clone();
    let stacked: Shape = [1].into_iter().chain(shape.iter().copied()).collect();
    let rows: Vec<Value> = [first, above, below, beyond].into_iter().map(|x| b.reshape(x, &stacked)).collect();
    let rows = b.concatenate(&rows, 0);
    let whole = b.ty(rows).shape.clone();
    let axes: Vec<usize> = (1..whole.len()).collect();
    let spread = b.broadcast(s, &whole, &axes);
    let all = zeta_right(b, spread, rows);
    let [plain, above, below, beyond] = [0, 1, 2, 3].map(|i| {
        let row = b.slice_axis(all, 0, i, i + 1);
        b.reshape(row, &shape)
    });
    let two = b.full_like(s, 2.0);
    let odd = b.binary(Binary::Rem, s, two);
    let even = b.compare(Comparison::Eq, odd, zero);
    let minus_one = b.full_like(s, -1.0);
    let sign = b.select(even, one, minus_one);
    let minus = b.neg(s);
    let own = b.binary(Binary::Pow, r, minus);
    let (turned, less) = (b.mul(sign, below), b.mul(sign, beyond));
    let sum = b.add(own, above);
    let sum = b.add(sum, turned);
    let left = b.sub(sum, less);
    // in order of precedence, the last first
    let (floor_s, floor_q) = (b.unary(Unary::Floor, s), b.unary(Unary::Floor, q));
    let (size, broken) = (b.unary(Unary::Abs, s), b.compare(Comparison::Ne, s, floor_s));
    let endless = b.compare(Comparison::Eq, size, infinity);
    let no_left = b.binary(Binary::Or, broken, endless);
    let y = b.select(no_left, nan, left);
    let pole = b.compare(Comparison::Eq, q, floor_q);
    let y = b.select(pole, infinity, y);
    let y = b.select(right, plain, y);
    let at_one = b.compare(Comparison::Eq, s, one);
    let y = b.select(at_one, infinity, y);
    let known = b.compare(Comparison::Ge, s, one);
    let is_q = b.compare(Comparison::Eq, q, q);
    let known = b.binary(Binary::And, known, is_q);
    let y = b.select(known, y, nan);
    // gradloom rounds to f32 on the way to 16 bits
    let y = if narrow == DType::F64 { y } else { b.convert(y, DType::F32) };
    b.convert(y, narrow)
}

/// Integers to integer powers by repeated squaring; negative powers are 0 but for 1 and -1. (XLA reads six bits of the
/// exponent.)
pub(super) fn integer_power(b: &mut Builder, args: &[Value]) -> Result<Value> {
    let [x, n] = [args[0], args[1]];
    let ty = b.ty(x).clone();
    let (zero, one) = (b.full(&ty, 0.0), b.full(&ty, 1.0));
    let (mut base, mut n) = (x, n);
    if ty.dtype.is_signed_int() {
        let minus_one = b.full(&ty, -1.0);
        let (is_one, is_minus) = (b.compare(Comparison::Eq, x, one), b.compare(Comparison::Eq, x, minus_one));
        let unit = b.binary(Binary::Or, is_one, is_minus);
        let negative = b.compare(Comparison::Lt, n, zero);
        // of 1 and -1 the parity of the exponent decides; the rest is 0
        let kept = b.select(unit, x, zero);
        base = b.select(negative, kept, base);
        let parity = b.binary(Binary::And, n, one);
        let exponent = b.select(unit, parity, one);
        n = b.select(negative, exponent, n);
    }
    let types = [ty.clone(), ty.clone(), ty.clone()];
    let (mut body, v) = Builder::with_inputs(&types);
    let (one_in, zero_in) = (body.full(&ty, 1.0), body.full(&ty, 0.0));
    let bit = body.binary(Binary::And, v[2], one_in);
    let is_set = body.compare(Comparison::Ne, bit, zero_in);
    let product = body.mul(v[0], v[1]);
    let y = body.select(is_set, product, v[0]);
    let square = body.mul(v[1], v[1]);
    let rest = body.binary(Binary::ShiftRightLogical, v[2], one_in);
    let body = Arc::new(body.finish(&[y, square, rest])?);
    // while any exponent has bits left
    let (mut cond, v) = Builder::with_inputs(&types);
    let none = cond.full(&ty, 0.0);
    let left = cond.compare(Comparison::Ne, v[2], none);
    let axes: Vec<usize> = (0..ty.rank()).collect();
    let any = cond.reduce(ReduceKind::Or, left, &axes);
    let cond = Arc::new(cond.finish(&[any])?);
    let power = Op::While { cond, body, cond_consts: 0, body_consts: 0 };
    Ok(b.emit(power, &[one, base, n])?[0])
}
