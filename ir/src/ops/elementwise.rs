//! Elementwise ops: members and shape rules.

use super::named_enum;
use crate::{DType, Error, Result, Type};

named_enum! {
    /// Elementwise functions of one operand.
    Unary {
        /// `-x`; wraps for integers.
        Neg = "negate",
        /// `|x|`; wraps for the least integer; the modulus of a complex number, which is real.
        Abs = "abs",
        /// -1, 0 or 1; keeps NaN and the sign of zero; x / |x| of a complex number.
        Sign = "sign",
        /// Greatest integer not above.
        Floor = "floor",
        /// Least integer not below.
        Ceil = "ceil",
        /// Nearest integer, ties to even.
        Round = "round_nearest_even",
        /// Nearest integer, ties away from zero.
        RoundAway = "round_nearest_afz",
        /// e^x
        Exp = "exponential",
        /// e^x - 1
        Expm1 = "exponential_minus_one",
        /// ln x
        Log = "log",
        /// ln(1 + x)
        Log1p = "log_plus_one",
        /// Square root.
        Sqrt = "sqrt",
        /// 1 / sqrt(x)
        Rsqrt = "rsqrt",
        /// Cube root.
        Cbrt = "cbrt",
        /// Sine of radians.
        Sin = "sine",
        /// Cosine of radians.
        Cos = "cosine",
        /// Tangent of radians.
        Tan = "tan",
        /// Inverse sine.
        Asin = "asin",
        /// Inverse cosine.
        Acos = "acos",
        /// Inverse tangent.
        Atan = "atan",
        /// Hyperbolic sine.
        Sinh = "sinh",
        /// Hyperbolic cosine.
        Cosh = "cosh",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// Inverse hyperbolic sine.
        Asinh = "asinh",
        /// Inverse hyperbolic cosine.
        Acosh = "acosh",
        /// Inverse hyperbolic tangent.
        Atanh = "atanh",
        /// 1 / (1 + e^-x)
        Logistic = "logistic",
        /// Gauss error function.
        Erf = "erf",
        /// Inverse of erf on (-1, 1).
        ErfInv = "erf_inv",
        /// 1 - erf(x)
        Erfc = "erfc",
        /// ln |gamma(x)|
        Lgamma = "lgamma",
        /// Derivative of ln gamma.
        Digamma = "digamma",
        /// Modified Bessel function I0, times e^-|x|.
        BesselI0e = "bessel_i0e",
        /// Modified Bessel function I1, times e^-|x|.
        BesselI1e = "bessel_i1e",
        /// Bitwise complement; logical not for bool.
        Not = "not",
        /// Number of bits that are 1.
        PopulationCount = "popcnt",
        /// Number of zeros above the topmost 1; the width for 0.
        LeadingZeros = "count_leading_zeros",
        /// Neither infinite nor NaN; the result is bool.
        IsFinite = "is_finite",
        /// Real part of a complex number.
        Real = "real",
        /// Imaginary part of a complex number.
        Imag = "imag",
    }
}

named_enum! {
    /// Elementwise functions of two operands of one type.
    Binary {
        /// Sum; wraps for integers.
        Add = "add",
        /// Difference; wraps for integers.
        Sub = "subtract",
        /// Product; wraps for integers.
        Mul = "multiply",
        /// Quotient; integers truncate, x / 0 = -1 (all bits set), least / -1 wraps.
        Div = "divide",
        /// Remainder with the sign of the dividend; integer x % 0 = x.
        Rem = "remainder",
        /// lhs to the power rhs; integers by repeated squaring, wrapping (negative powers of |x| > 1 are 0).
        Pow = "power",
        /// Greater of the two; NaN wins.
        Max = "maximum",
        /// Lesser of the two; NaN wins.
        Min = "minimum",
        /// Angle of the point (rhs, lhs).
        Atan2 = "atan2",
        /// The complex number of real part lhs and imaginary part rhs.
        Complex = "complex",
        /// The next float after lhs towards rhs; rhs where they are equal.
        NextAfter = "next_after",
        /// Hurwitz zeta function: the sum over k >= 0 of (rhs + k)^-lhs; NaN for lhs < 1.
        Zeta = "zeta",
        /// Bitwise and; logical for bool.
        And = "and",
        /// Bitwise or; logical for bool.
        Or = "or",
        /// Bitwise exclusive or; logical for bool.
        Xor = "xor",
        /// Shift left; 0 when the amount is negative or not below the width.
        ShiftLeft = "shift_left",
        /// Shift right filling with zeros; 0 when the amount is negative or not below the width.
        ShiftRightLogical = "shift_right_logical",
        /// Shift right filling with the sign; the sign when the amount is negative or not below the width.
        ShiftRightArithmetic = "shift_right_arithmetic",
    }
}

named_enum! {
    /// Elementwise comparisons; every comparison with NaN is false but `Ne`.
    Comparison {
        /// lhs == rhs
        Eq = "equal",
        /// lhs != rhs
        Ne = "not_equal",
        /// lhs < rhs
        Lt = "less",
        /// lhs <= rhs
        Le = "less_equal",
        /// lhs > rhs
        Gt = "greater",
        /// lhs >= rhs
        Ge = "greater_equal",
    }
}

impl Unary {
    /// Whether the op takes operands of `dtype`.
    pub fn accepts(self, dtype: DType) -> bool {
        use Unary::*;
        match self {
            Neg | Abs | Sign => dtype != DType::Bool,
            PopulationCount | LeadingZeros => dtype.is_int(),
            Not => dtype.is_int() || dtype == DType::Bool,
            Real | Imag => dtype.is_complex(),
            Exp | Expm1 | Log | Log1p | Sqrt | Rsqrt | Cbrt | Sin | Cos | Tan | Asin | Acos | Atan | Sinh | Cosh
            | Tanh | Asinh | Acosh | Atanh | Logistic => dtype.is_inexact(),
            _ => dtype.is_float(),
        }
    }

    /// The dtype of the result on operands of `dtype`.
    pub fn result(self, dtype: DType) -> DType {
        match self {
            Unary::IsFinite => DType::Bool,
            Unary::Abs | Unary::Real | Unary::Imag => dtype.real(),
            _ => dtype,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Unary::Not => "an integer or bool",
            Unary::PopulationCount | Unary::LeadingZeros => "an integer",
            Unary::Real | Unary::Imag => "complex",
            Unary::Neg | Unary::Abs | Unary::Sign => "a number",
            _ if self.accepts(DType::C64) => "a float or complex",
            _ => "a float",
        }
    }
}

impl Binary {
    /// Whether the op takes operands of `dtype`.
    pub fn accepts(self, dtype: DType) -> bool {
        match self {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Pow => dtype != DType::Bool,
            Binary::Rem => dtype != DType::Bool && !dtype.is_complex(),
            Binary::Max | Binary::Min => !dtype.is_complex(),
            Binary::Atan2 | Binary::Zeta => dtype.is_float(),
            // of a 16-bit float the next f32 is no neighbour
            Binary::NextAfter => matches!(dtype, DType::F32 | DType::F64),
            Binary::Complex => dtype.complex().is_some(),
            Binary::And | Binary::Or | Binary::Xor => !dtype.is_inexact(),
            Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => dtype.is_int(),
        }
    }

    /// The dtype of the result on operands of `dtype`.
    pub fn result(self, dtype: DType) -> DType {
        match self {
            Binary::Complex => dtype.complex().unwrap_or(dtype),
            _ => dtype,
        }
    }
}

/// The ops for which f(a, b) = f(b, a), bit for bit up to the payload of a NaN.
pub const COMMUTATIVE: &[Binary] = &[Binary::Add, Binary::Mul, Binary::And, Binary::Or, Binary::Xor];

impl Binary {
    /// Whether f(a, b) = f(b, a).
    pub fn is_commutative(self) -> bool {
        COMMUTATIVE.contains(&self)
    }
}

pub(super) fn unary(op: Unary, x: &Type) -> Result<Type> {
    if !op.accepts(x.dtype) {
        return Err(Error::bad_dtype(op.name(), x.dtype, op.expected()));
    }
    Ok(x.with_dtype(op.result(x.dtype)))
}

fn same_type(op: &str, x: &Type, y: &Type) -> Result<()> {
    if x.dtype != y.dtype {
        return Err(Error::dtype_mismatch(op, x.dtype, y.dtype));
    }
    if x.shape != y.shape {
        return Err(Error::shape_mismatch(op, x, y, "they must be equal here"));
    }
    Ok(())
}

pub(super) fn binary(op: Binary, x: &Type, y: &Type) -> Result<Type> {
    same_type(op.name(), x, y)?;
    if !op.accepts(x.dtype) {
        let expected = match op {
            Binary::And | Binary::Or | Binary::Xor => "an integer or bool",
            Binary::Atan2 | Binary::Zeta => "a float",
            Binary::Complex | Binary::NextAfter => "f32 or f64",
            Binary::Max | Binary::Min | Binary::Rem => "a number that is not complex",
            Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => "an integer",
            _ => "a number",
        };
        return Err(Error::bad_dtype(op.name(), x.dtype, expected));
    }
    Ok(x.with_dtype(op.result(x.dtype)))
}

pub(super) fn compare(op: Comparison, x: &Type, y: &Type) -> Result<Type> {
    same_type(op.name(), x, y)?;
    if x.dtype.is_complex() && !matches!(op, Comparison::Eq | Comparison::Ne) {
        return Err(Error::bad_dtype(op.name(), x.dtype, "a dtype with an order")
            .help("complex numbers have none: compare `.real()`, `.imag()` or `.abs()`"));
    }
    Ok(x.with_dtype(DType::Bool))
}

pub(super) fn select(pred: &Type, on_true: &Type, on_false: &Type) -> Result<Type> {
    if pred.dtype != DType::Bool {
        return Err(Error::bad_dtype("select", pred.dtype, "bool as the predicate"));
    }
    same_type("select", on_true, on_false)?;
    if pred.shape != on_true.shape {
        return Err(Error::shape_mismatch("select", pred, on_true, "predicate and values must have one shape here"));
    }
    Ok(on_true.clone())
}

pub(super) fn convert(x: &Type, dtype: DType) -> Result<Type> {
    if x.dtype.is_complex() && !dtype.is_complex() {
        return Err(Error::bad_dtype("convert", x.dtype, &format!("real to become {dtype}"))
            .help("take `.real()`, `.imag()` or `.abs()` first"));
    }
    Ok(x.with_dtype(dtype))
}

pub(super) fn bitcast(x: &Type, dtype: DType) -> Result<Type> {
    if x.dtype.is_complex() != dtype.is_complex() {
        return Err(Error::bad_dtype("bitcast_convert", x.dtype, &format!("of the kind of {dtype}"))
            .help("the parts of complex numbers are `.real()` and `.imag()`"));
    }
    if x.dtype.size() != dtype.size() || (x.dtype == DType::Bool) != (dtype == DType::Bool) {
        return Err(Error::user("bitcast_convert", format!("{} and {dtype} differ in size", x.dtype))
            .help("bitcast keeps the bits; to convert values use `.to(dtype)`"));
    }
    Ok(x.with_dtype(dtype))
}

pub(super) fn threefry(lane: u8, args: &[Type]) -> Result<Type> {
    if lane > 1 {
        return Err(Error::internal("threefry2x32", format!("lane {lane} does not exist")));
    }
    for a in args {
        if a.dtype != DType::U32 || a.shape != args[0].shape {
            return Err(Error::user("threefry2x32", format!("operands must be u32 of one shape, got {args:?}")));
        }
    }
    Ok(args[0].clone())
}
