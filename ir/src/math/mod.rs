//! How the transcendental functions are computed in f32, written once for every machine.
//!
//! Each function is a straight-line program over [`Lanes`]: scalar f32 for the interpreter, SIMD registers of
//! generated code for a backend. Both execute the same operations in the same order, so they agree bit for bit.
//! f64 functions are those of the Rust standard library and `libm`, called by both.

mod bessel;
mod complex;
mod double;
mod error_function;
mod exponential;
mod gamma;
mod half;
mod hyperbolic;
mod power;
mod rounding;
mod scalar;
mod series;
mod trigonometric;

pub use bessel::{bessel_i0e, bessel_i1e};
pub use complex::{Parts, RealMachine, complex_abs, complex_binary, complex_unary};
pub use double::{atan2_f64, pow_f64, unary_f64};
pub use error_function::{erf, erf_inv, erfc};
pub use exponential::{exp, expm1, log, log1p, logistic};
pub use gamma::{digamma, lgamma};
pub use half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, f64_to_bf16, f64_to_f16, round_to_odd};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use power::{cbrt, pow, rsqrt};
pub use rounding::{ceil, floor, max, min, next_after, round_away, sign};
pub use scalar::Scalar;
pub use series::{next_after_f64, zeta_f32, zeta_f64};
pub use trigonometric::{acos, asin, atan, atan2, cos, sin, tan};

use crate::{Binary, Unary};

/// A machine that computes on lanes of f32, i32 and truth values.
///
/// Float operations round to nearest even; `fma` rounds once. `to_int` is only called on values inside the i32 range.
#[allow(clippy::wrong_self_convention)] // the machine makes values; none is made of it
pub trait Lanes: Sized {
    /// Lanes of f32.
    type F: Copy;
    /// Lanes of i32.
    type I: Copy;
    /// Lanes of truth values.
    type M: Copy;

    /// The float constant `x` in every lane.
    fn f(&mut self, x: f32) -> Self::F;
    /// The integer constant `x` in every lane.
    fn i(&mut self, x: i32) -> Self::I;
    /// a + b
    fn add(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// a - b
    fn sub(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// a b
    fn mul(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// a / b
    fn div(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// a b + c, rounded once
    fn fma(&mut self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Square root.
    fn sqrt(&mut self, a: Self::F) -> Self::F;
    /// -a
    fn neg(&mut self, a: Self::F) -> Self::F;
    /// |a|
    fn abs(&mut self, a: Self::F) -> Self::F;
    /// Nearest integer, ties to even.
    fn round(&mut self, a: Self::F) -> Self::F;
    /// The float as an integer, truncated.
    fn to_int(&mut self, a: Self::F) -> Self::I;
    /// The integer as the nearest float.
    fn to_float(&mut self, a: Self::I) -> Self::F;
    /// The bits of a float.
    fn bits(&mut self, a: Self::F) -> Self::I;
    /// The float of these bits.
    fn from_bits(&mut self, a: Self::I) -> Self::F;
    /// a + b, wrapping
    fn iadd(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// a - b, wrapping
    fn isub(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise and.
    fn iand(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    fn ior(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    fn ixor(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Shift left by a constant below 32.
    fn ishl(&mut self, a: Self::I, by: u32) -> Self::I;
    /// Shift right by a constant below 32, filling with the sign.
    fn isar(&mut self, a: Self::I, by: u32) -> Self::I;
    /// a < b; false for NaN
    fn lt(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// a == b; false for NaN
    fn eq(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// a == b
    fn ieq(&mut self, a: Self::I, b: Self::I) -> Self::M;
    /// Both.
    fn and(&mut self, a: Self::M, b: Self::M) -> Self::M;
    /// Either.
    fn or(&mut self, a: Self::M, b: Self::M) -> Self::M;
    /// m ? a : b
    fn select(&mut self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// m ? a : b
    fn iselect(&mut self, m: Self::M, a: Self::I, b: Self::I) -> Self::I;

    /// x, but not below `low` nor above `high`; NaN stays.
    fn clamp(&mut self, x: Self::F, low: f32, high: f32) -> Self::F {
        let (low, high) = (self.f(low), self.f(high));
        let under = self.lt(x, low);
        let x = self.select(under, low, x);
        let over = self.lt(high, x);
        self.select(over, high, x)
    }

    /// p 2^n for |n| <= 252 and p between 1/2 and 2, rounded once; n is given as a float and as an integer.
    fn scale(&mut self, p: Self::F, n: Self::F, i: Self::I) -> Self::F {
        let _ = n;
        let half = self.isar(i, 1);
        let rest = self.isub(i, half);
        let s = exponential::exp2_int(self, half);
        let t = exponential::exp2_int(self, rest);
        let p = self.mul(p, s);
        self.mul(p, t)
    }
}

/// c[0] + c[1] z + c[2] z^2 + ..
fn poly<L: Lanes>(l: &mut L, z: L::F, c: &[f32]) -> L::F {
    let (last, rest) = c.split_last().expect("a polynomial has coefficients");
    let mut y = l.f(*last);
    for &k in rest.iter().rev() {
        let k = l.f(k);
        y = l.fma(y, z, k);
    }
    y
}

/// |magnitude| with the sign bit of `sign`.
fn copysign<L: Lanes>(l: &mut L, magnitude: L::F, sign: L::F) -> L::F {
    let mask = l.i(i32::MIN);
    let a = l.abs(magnitude);
    let a = l.bits(a);
    let s = l.bits(sign);
    let s = l.iand(s, mask);
    let b = l.ior(a, s);
    l.from_bits(b)
}

/// The f32 to f32 function `op`; `None` for those whose operand or result is no float.
pub fn apply_unary<L: Lanes>(l: &mut L, op: Unary, x: L::F) -> Option<L::F> {
    Some(match op {
        Unary::Neg => l.neg(x),
        Unary::Abs => l.abs(x),
        Unary::Sign => sign(l, x),
        Unary::Floor => floor(l, x),
        Unary::Ceil => ceil(l, x),
        Unary::Round => l.round(x),
        Unary::RoundAway => round_away(l, x),
        Unary::Exp => exp(l, x),
        Unary::Expm1 => expm1(l, x),
        Unary::Log => log(l, x),
        Unary::Log1p => log1p(l, x),
        Unary::Sqrt => l.sqrt(x),
        Unary::Rsqrt => rsqrt(l, x),
        Unary::Cbrt => cbrt(l, x),
        Unary::Sin => sin(l, x),
        Unary::Cos => cos(l, x),
        Unary::Tan => tan(l, x),
        Unary::Asin => asin(l, x),
        Unary::Acos => acos(l, x),
        Unary::Atan => atan(l, x),
        Unary::Sinh => sinh(l, x),
        Unary::Cosh => cosh(l, x),
        Unary::Tanh => tanh(l, x),
        Unary::Asinh => asinh(l, x),
        Unary::Acosh => acosh(l, x),
        Unary::Atanh => atanh(l, x),
        Unary::Logistic => logistic(l, x),
        Unary::Erf => erf(l, x),
        Unary::Erfc => erfc(l, x),
        Unary::ErfInv => erf_inv(l, x),
        Unary::Lgamma => lgamma(l, x),
        Unary::Digamma => digamma(l, x),
        Unary::BesselI0e => bessel_i0e(l, x),
        Unary::BesselI1e => bessel_i1e(l, x),
        Unary::Not | Unary::PopulationCount | Unary::LeadingZeros => return None,
        Unary::IsFinite | Unary::Real | Unary::Imag => return None,
    })
}

/// The f32 function `op` of two operands; `None` for those on integers, and for the remainder and zeta, which
/// are no straight-line programs (see [`crate::eval::ScalarOps::binary`]).
pub fn apply_binary<L: Lanes>(l: &mut L, op: Binary, x: L::F, y: L::F) -> Option<L::F> {
    Some(match op {
        Binary::Add => l.add(x, y),
        Binary::Sub => l.sub(x, y),
        Binary::Mul => l.mul(x, y),
        Binary::Div => l.div(x, y),
        Binary::Pow => pow(l, x, y),
        Binary::Max => max(l, x, y),
        Binary::Min => min(l, x, y),
        Binary::Atan2 => atan2(l, x, y),
        Binary::NextAfter => next_after(l, x, y),
        Binary::Rem
        | Binary::Complex
        | Binary::Zeta
        | Binary::And
        | Binary::Or
        | Binary::Xor
        | Binary::ShiftLeft
        | Binary::ShiftRightLogical
        | Binary::ShiftRightArithmetic => return None,
    })
}
