//! Elementwise arithmetic with broadcasting, as operators and methods.

use super::convert::{Scalar, scalar_at};
use super::{Tensor, apply};
use gradloom_ir::{Binary, Comparison, DType, Error, Loc, Op, Result, Shape, Unary};
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Sub};

/// What may stand on the other side of a binary operation: a tensor, or a number that takes the tensor's dtype.
pub trait Operand {
    /// The tensor, made with the other side's dtype where it has none of its own.
    #[doc(hidden)]
    fn with_dtype(&self, dtype: DType, loc: &Loc) -> Tensor;
}

impl Operand for Tensor {
    fn with_dtype(&self, _: DType, _: &Loc) -> Tensor {
        self.clone()
    }
}

impl Operand for &Tensor {
    fn with_dtype(&self, _: DType, _: &Loc) -> Tensor {
        (*self).clone()
    }
}

macro_rules! scalar_operands {
    ($($t:ty),*) => {$(
        impl Operand for $t {
            fn with_dtype(&self, dtype: DType, loc: &Loc) -> Tensor {
                number_at(*self, stringify!($t).starts_with('f'), dtype, loc)
            }
        }
    )*};
}
scalar_operands!(f32, f64, i32, i64, u32, u8, usize, bool);

fn number_at(x: impl Scalar, float: bool, dtype: DType, loc: &Loc) -> Tensor {
    let v = x.to_f64();
    if float && !dtype.is_inexact() && v.fract() != 0.0 {
        let e = Error::user("literal", format!("{v} has no value in dtype {dtype}"))
            .help("convert the tensor with `.to(DType::F32)` first, or use a whole number");
        return Tensor::failed(e.at(loc));
    }
    scalar_at(dtype, v, loc)
}

/// The shape two shapes broadcast to: aligned at the end, lengths equal or 1.
pub(crate) fn broadcast_shapes(a: &[usize], b: &[usize]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    (0..rank)
        .map(|i| {
            let at = |s: &[usize]| if i + s.len() >= rank { s[i + s.len() - rank] } else { 1 };
            match (at(a), at(b)) {
                (m, n) if m == n => Some(m),
                (1, n) => Some(n),
                (m, 1) => Some(m),
                _ => None,
            }
        })
        .collect()
}

/// `t` broadcast to `shape`, axes aligned at the end.
pub(crate) fn broadcast_at(t: &Tensor, shape: &[usize], loc: &Loc) -> Tensor {
    if t.check().is_err() || t.shape() == shape {
        return t.clone();
    }
    if t.ndim() > shape.len() {
        let e = Error::user("broadcast_to", format!("{} has more axes than {shape:?}", t.ty_ref()));
        return Tensor::failed(e.at(loc));
    }
    let skip = shape.len() - t.ndim();
    let dims = (skip..shape.len()).collect();
    apply(Op::Broadcast { shape: shape.into(), dims }, &[t], loc)
}

/// Both tensors broadcast to one shape.
pub(crate) fn broadcast_pair(name: &str, a: &Tensor, b: &Tensor, loc: &Loc) -> Result<(Tensor, Tensor)> {
    a.check()?;
    b.check()?;
    if a.dtype() != b.dtype() {
        return Err(Error::dtype_mismatch(name, a.dtype(), b.dtype()).at(loc));
    }
    if a.shape() == b.shape() {
        return Ok((a.clone(), b.clone()));
    }
    // a number goes where the other is before it becomes as large
    let along = |x: &Tensor, to: &Tensor| if x.ndim() == 0 { x.beside(to) } else { Ok(x.clone()) };
    let (a, b) = (&along(a, b)?, &along(b, a)?);
    match broadcast_shapes(a.shape(), b.shape()) {
        Some(shape) => {
            let wide = |x: &Tensor, other: &Tensor| {
                let wide = broadcast_at(x, &shape, loc);
                if x.ndim() == 0 { wide.back_beside(other) } else { Ok(wide) }
            };
            Ok((wide(a, b)?, wide(b, a)?))
        }
        None => Err(Error::shape_mismatch(name, a.ty_ref(), b.ty_ref(), "axes aligned at the end must be equal or 1")
            .help("reshape one side, or insert an axis of length 1 with `expand_dims`")
            .at(loc)),
    }
}

fn elementwise(op: Op, name: &str, a: &Tensor, b: &Tensor, loc: &Loc) -> Tensor {
    match broadcast_pair(name, a, b, loc) {
        Ok((a, b)) => apply(op, &[&a, &b], loc),
        Err(e) => Tensor::failed(e),
    }
}

pub(crate) fn binary_at(op: Binary, a: &Tensor, b: &Tensor, loc: &Loc) -> Tensor {
    elementwise(Op::Binary(op), op.name(), a, b, loc)
}

pub(crate) fn compare_at(op: Comparison, a: &Tensor, b: &Tensor, loc: &Loc) -> Tensor {
    elementwise(Op::Compare(op), op.name(), a, b, loc)
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident;)*) => {$(
        impl<R: Operand> $trait<R> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: R) -> Tensor {
                let loc = Loc::caller();
                binary_at(Binary::$op, &self, &rhs.with_dtype(self.dtype(), &loc), &loc)
            }
        }
        impl<R: Operand> $trait<R> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: R) -> Tensor {
                let loc = Loc::caller();
                binary_at(Binary::$op, self, &rhs.with_dtype(self.dtype(), &loc), &loc)
            }
        }
        operators!(@scalar $trait $method $op: f32 f64 i32 i64 u32);
    )*};
    (@scalar $trait:ident $method:ident $op:ident: $($t:ty)*) => {$(
        impl $trait<Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: Tensor) -> Tensor {
                let loc = Loc::caller();
                binary_at(Binary::$op, &self.with_dtype(rhs.dtype(), &loc), &rhs, &loc)
            }
        }
        impl $trait<&Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: &Tensor) -> Tensor {
                let loc = Loc::caller();
                binary_at(Binary::$op, &self.with_dtype(rhs.dtype(), &loc), rhs, &loc)
            }
        }
    )*};
}
operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
    Rem rem Rem;
    BitAnd bitand And;
    BitOr bitor Or;
    BitXor bitxor Xor;
}

impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        unary_at(Unary::Neg, &self, &Loc::caller())
    }
}

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        unary_at(Unary::Neg, self, &Loc::caller())
    }
}

impl Not for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        unary_at(Unary::Not, &self, &Loc::caller())
    }
}

impl Not for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        unary_at(Unary::Not, self, &Loc::caller())
    }
}

pub(crate) fn unary_at(op: Unary, x: &Tensor, loc: &Loc) -> Tensor {
    apply(Op::Unary(op), &[x], loc)
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                unary_at(Unary::$op, self, &Loc::caller())
            }
        )*}
    };
}
unary_methods! {
    /// Absolute value.
    abs Abs;
    /// -1, 0 or 1; keeps NaN and the sign of zero.
    sign Sign;
    /// Greatest integer not above.
    floor Floor;
    /// Least integer not below.
    ceil Ceil;
    /// Nearest integer, ties to even.
    round Round;
    /// e^x
    exp Exp;
    /// e^x - 1, accurate near 0.
    expm1 Expm1;
    /// Natural logarithm.
    log Log;
    /// ln(1 + x), accurate near 0.
    log1p Log1p;
    /// Square root.
    sqrt Sqrt;
    /// 1 / sqrt(x)
    rsqrt Rsqrt;
    /// Cube root.
    cbrt Cbrt;
    /// Sine of radians.
    sin Sin;
    /// Cosine of radians.
    cos Cos;
    /// Tangent of radians.
    tan Tan;
    /// Inverse sine.
    asin Asin;
    /// Inverse cosine.
    acos Acos;
    /// Inverse tangent.
    atan Atan;
    /// Hyperbolic sine.
    sinh Sinh;
    /// Hyperbolic cosine.
    cosh Cosh;
    /// Hyperbolic tangent.
    tanh Tanh;
    /// Inverse hyperbolic sine.
    asinh Asinh;
    /// Inverse hyperbolic cosine.
    acosh Acosh;
    /// Inverse hyperbolic tangent.
    atanh Atanh;
    /// 1 / (1 + e^-x)
    sigmoid Logistic;
    /// Gauss error function.
    erf Erf;
    /// Inverse of erf on (-1, 1).
    erf_inv ErfInv;
    /// Neither infinite nor NaN.
    is_finite IsFinite;
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $name:ident $f:ident $op:path;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, rhs: impl Operand) -> Tensor {
                let loc = Loc::caller();
                $f($op, self, &rhs.with_dtype(self.dtype(), &loc), &loc)
            }
        )*}
    };
}
binary_methods! {
    /// Elementwise power.
    pow binary_at Binary::Pow;
    /// Greater of the two; NaN wins.
    maximum binary_at Binary::Max;
    /// Lesser of the two; NaN wins.
    minimum binary_at Binary::Min;
    /// Angle of the point (rhs, self).
    atan2 binary_at Binary::Atan2;
    /// Bits shifted left.
    shift_left binary_at Binary::ShiftLeft;
    /// Bits shifted right, filling with zeros.
    shift_right_logical binary_at Binary::ShiftRightLogical;
    /// Bits shifted right, filling with the sign.
    shift_right_arithmetic binary_at Binary::ShiftRightArithmetic;
    /// self == rhs, elementwise.
    eq compare_at Comparison::Eq;
    /// self != rhs, elementwise.
    ne compare_at Comparison::Ne;
    /// self < rhs, elementwise.
    lt compare_at Comparison::Lt;
    /// self <= rhs, elementwise.
    le compare_at Comparison::Le;
    /// self > rhs, elementwise.
    gt compare_at Comparison::Gt;
    /// self >= rhs, elementwise.
    ge compare_at Comparison::Ge;
}

impl Tensor {
    /// x²
    #[track_caller]
    pub fn square(&self) -> Tensor {
        binary_at(Binary::Mul, self, self, &Loc::caller())
    }

    /// Elements below `low` become `low`, those above `high` become `high`; NaN stays.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([-2.0f32, 0.5, 9.0]).clip(-1.0, 1.0);
    /// assert_eq!(x.to_vec::<f32>().unwrap(), [-1.0, 0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn clip(&self, low: impl Operand, high: impl Operand) -> Tensor {
        self.maximum(low).minimum(high)
    }

    /// To another dtype: float to integer truncates and saturates, NaN becomes 0; to bool is `x != 0`.
    #[track_caller]
    pub fn to(&self, dtype: DType) -> Tensor {
        if self.check().is_ok() && self.dtype() == dtype {
            return self.clone();
        }
        apply(Op::Convert { dtype }, &[self], &Loc::caller())
    }

    /// Broadcast to `shape`, axes aligned at the end.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl super::IntoShape) -> Tensor {
        let loc = Loc::caller();
        match super::convert::plain_shape("broadcast_to", shape) {
            Ok(shape) => broadcast_at(self, &shape, &loc),
            Err(e) => Tensor::failed(e.at(&loc)),
        }
    }

    /// `self ? on_true : on_false` for a bool tensor, with broadcasting; one side may be a number.
    #[track_caller]
    pub fn select(&self, on_true: impl Operand, on_false: impl Operand) -> Tensor {
        let loc = Loc::caller();
        // the side that is a tensor decides the dtype of a side that is a number
        let probe = on_false.with_dtype(DType::F32, &Loc::Unknown);
        let t = on_true.with_dtype(probe.dtype(), &loc);
        let f = on_false.with_dtype(t.dtype(), &loc);
        let select = || -> Result<Tensor> {
            let (t, f) = broadcast_pair("select", &t, &f, &loc)?;
            self.check()?;
            let Some(shape) = broadcast_shapes(self.shape(), t.shape()) else {
                return Err(Error::shape_mismatch(
                    "select",
                    self.ty_ref(),
                    t.ty_ref(),
                    "predicate and values must broadcast",
                )
                .at(&loc));
            };
            let [p, t, f] = [self, &t, &f].map(|x| broadcast_at(x, &shape, &loc));
            Ok(apply(Op::Select {}, &[&p, &t, &f], &loc))
        };
        select().unwrap_or_else(Tensor::failed)
    }
}
