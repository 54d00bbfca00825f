//! How the transcendental functions are computed in f32, written once for every machine.
//!
//! Each function is a straight-line program over [`Lanes`]: scalar f32 for the interpreter, SIMD registers of
//! generated code for a backend. Both execute the same operations in the same order, so they agree bit for bit.
//! f64 functions are those of the Rust standard library and `libm`, called by both.

/// A machine that computes on lanes of f32, i32 and truth values.
///
/// Float operations round to nearest even; `fma` rounds once. `to_int` is only called on values inside the i32 range.
pub trait Lanes {
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
}
