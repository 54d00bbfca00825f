//! Elementwise functions composed of the ops there are: tests for special values, powers and logarithms to other bases,
//! and the like.

use super::arithmetic::broadcast_pair;
use super::checks::{self, bits_dtype, settled};
use super::{Operand, Tensor};
use crate::transform::scan;
use gradloom_ir::{DType, Error, Loc, Result};

/// `condition ? on_true : on_false` with broadcasting; either side may be a number.
///
/// The derivative of the side that is not chosen is multiplied by zero, so a side whose derivative is infinite gives
/// NaN where it is not chosen: keep its argument in its domain with a second `where_` around the argument.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let x = Tensor::from([-1.0f32, 2.0]);
/// assert_eq!(where_(&x.gt(0.0), &x, 0.0).to_vec::<f32>().unwrap(), [0.0, 2.0]);
/// ```
#[track_caller]
pub fn where_(condition: &Tensor, on_true: impl Operand, on_false: impl Operand) -> Tensor {
    condition.select(on_true, on_false)
}

/// Both operands of `op`, of one dtype and shape.
#[track_caller]
pub(super) fn pair(op: &str, x: &Tensor, y: impl Operand) -> Result<(Tensor, Tensor)> {
    let loc = Loc::caller();
    broadcast_pair(op, x, &y.with_dtype(x.dtype(), &loc), &loc)
}

#[track_caller]
fn float_pair(op: &str, x: &Tensor, y: impl Operand) -> Result<(Tensor, Tensor)> {
    checks::float(op, x)?;
    pair(op, x, y)
}

#[track_caller]
pub(super) fn real_pair(op: &str, x: &Tensor, y: impl Operand) -> Result<(Tensor, Tensor)> {
    checks::real(op, x)?;
    pair(op, x, y)
}

/// The greatest finite number of a float dtype: one step of the bits below infinity.
#[track_caller]
fn greatest_finite(dtype: DType) -> Tensor {
    let bits = Tensor::full((), f64::INFINITY, dtype).bitcast(bits_dtype(dtype));
    (bits - 1).bitcast(dtype)
}

#[track_caller]
fn nan_to_num(x: &Tensor, nan: &Tensor, highest: &Tensor, lowest: &Tensor) -> Tensor {
    let x = x.is_nan().select(nan, x);
    let x = x.eq(f64::INFINITY).select(highest, &x);
    x.eq(f64::NEG_INFINITY).select(lowest, &x)
}

#[track_caller]
fn checked_nan_to_num(x: &Tensor, fill: Option<(f64, f64, f64)>) -> Result<Tensor> {
    x.check()?;
    if !x.dtype().is_float() {
        return Ok(x.clone());
    }
    let Some((nan, highest, lowest)) = fill else {
        let top = greatest_finite(x.dtype());
        return Ok(nan_to_num(x, &Tensor::full((), 0.0, x.dtype()), &top, &-&top));
    };
    let [nan, highest, lowest] =
        [Tensor::full((), nan, x.dtype()), Tensor::full((), highest, x.dtype()), Tensor::full((), lowest, x.dtype())];
    Ok(nan_to_num(x, &nan, &highest, &lowest))
}

#[track_caller]
fn sign_bit(x: &Tensor) -> Result<Tensor> {
    checks::real("sign_bit", x)?;
    Ok(if x.dtype().is_float() { x.bitcast(bits_dtype(x.dtype())).lt(0) } else { x.lt(0) })
}

#[track_caller]
fn hypot(x: &Tensor, y: impl Operand) -> Result<Tensor> {
    let (x, y) = float_pair("hypot", x, y)?;
    let (x, y) = (x.abs(), y.abs());
    let infinite = x.eq(f64::INFINITY) | y.eq(f64::INFINITY);
    let (long, short) = (x.maximum(&y), x.minimum(&y));
    // at (0, 0), and where a side is infinite, a quotient that exists
    let plain = long.eq(0.0) | &infinite;
    let ratio = plain.select(0.0, &short) / plain.select(1.0, &long);
    let length = plain.select(1.0, &long) * (ratio.square() + 1.0).sqrt();
    let length = long.eq(0.0).select(&long, length);
    Ok(infinite.select(f64::INFINITY, length))
}

/// ln(e^x + e^y), without overflow; -inf where both are.
#[track_caller]
pub(crate) fn logaddexp(x: &Tensor, y: &Tensor) -> Tensor {
    let top = x.maximum(y);
    // equal infinities would make inf - inf
    let apart = top.is_finite().select(x - y, 0.0);
    top + (-apart.abs()).exp().log1p()
}

#[track_caller]
fn checked_logaddexp(op: &str, x: &Tensor, y: impl Operand, base: f64) -> Result<Tensor> {
    let (x, y) = float_pair(op, x, y)?;
    Ok(if base == 1.0 { logaddexp(&x, &y) } else { logaddexp(&(x * base), &(y * base)) / base })
}

#[track_caller]
fn heaviside(x: &Tensor, at_zero: impl Operand) -> Result<Tensor> {
    let (x, at_zero) = float_pair("heaviside", x, at_zero)?;
    let step = x.gt(0.0).to(x.dtype());
    let step = x.eq(0.0).select(at_zero, step);
    Ok(x.is_nan().select(&x, step))
}

#[track_caller]
fn copysign(x: &Tensor, y: impl Operand) -> Result<Tensor> {
    let (x, y) = float_pair("copysign", x, y)?;
    let x = x.abs();
    Ok(sign_bit(&y)?.select(-&x, &x))
}

#[track_caller]
fn ldexp(x: &Tensor, exponent: impl Operand) -> Result<Tensor> {
    checks::float("ldexp", x)?;
    let n = exponent.with_dtype(DType::I32, &Loc::caller());
    checks::integer("ldexp", &n)?;
    // beyond three times the exponent's range nothing changes; thirds of it are powers that exist
    let n = n.to(DType::I64).clip(-3000, 3000).to(DType::I32);
    let third = &n / 3;
    let rest = &n - &third * 2;
    let (third, rest) = (third.to(x.dtype()).exp2(), rest.to(x.dtype()).exp2());
    Ok(x * &third * &third * rest)
}

/// sin(pi x) / (pi x) by its series near 0, where the quotient and its derivatives lose their digits.
#[track_caller]
fn sinc(x: &Tensor) -> Result<Tensor> {
    checks::float("sinc", x)?;
    let t = x * std::f64::consts::PI;
    let near = t.abs().lt(0.5);
    let inner = near.select(&t, 0.0).square();
    // sum of (-1)^k t^(2k) / (2k + 1)!, by Horner's rule; the first term left out is below 1e-23
    let mut series = Tensor::full_like(&inner, 1.0);
    for k in (1..=10).rev() {
        series = series * &inner * (-1.0 / f64::from(2 * k * (2 * k + 1))) + 1.0;
    }
    let outer = near.select(1.0, &t);
    Ok(near.select(series, outer.sin() / outer))
}

#[track_caller]
fn is_close(x: &Tensor, y: impl Operand, relative: f64, absolute: f64) -> Result<Tensor> {
    let (x, y) = real_pair("is_close", x, y)?;
    if !x.dtype().is_float() {
        let (x, y) = (x.to(DType::F64), y.to(DType::F64));
        return Ok((&x - &y).abs().le(y.abs() * relative + absolute));
    }
    let near = (&x - &y).abs().le(y.abs() * relative + absolute);
    // infinities are close to themselves only
    let finite = x.is_finite() & y.is_finite();
    Ok((near & finite) | x.eq(&y))
}

#[track_caller]
fn round_to(x: &Tensor, decimals: i32) -> Result<Tensor> {
    checks::float("round_to", x)?;
    let scale = 10f64.powi(decimals.saturating_abs().min(300));
    if decimals < 0 {
        // of a scale beyond the dtype nothing but 0 is a multiple
        let y = (x / scale).round() * scale;
        return Ok(y.is_nan().select(x.is_finite().select(0.0, x), y));
    }
    // what is too great to be scaled has no decimals
    let scaled = x * scale;
    Ok(scaled.is_finite().select(scaled.round() / scale, x))
}

macro_rules! float_functions {
    ($($(#[$doc:meta])* $name:ident |$x:ident| $body:expr;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                if let Err(e) = checks::float(stringify!($name), self) {
                    return settled(Err(e));
                }
                let $x = self;
                $body
            }
        )*}
    };
}
float_functions! {
    /// Whether each element is NaN.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([f32::NAN, 1.0]).is_nan().to_vec::<bool>().unwrap(), [true, false]);
    /// ```
    is_nan |x| x.ne(x);
    /// Whether each element is infinite.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([f32::NEG_INFINITY, 1.0]).is_inf().to_vec::<bool>().unwrap(), [true, false]);
    /// ```
    is_inf |x| x.abs().eq(f64::INFINITY);
    /// Whether each element is positive infinity.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([f32::NEG_INFINITY, f32::INFINITY]).is_pos_inf().to_vec::<bool>().unwrap(), [false, true]);
    /// ```
    is_pos_inf |x| x.eq(f64::INFINITY);
    /// Whether each element is negative infinity.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([f32::NEG_INFINITY, f32::INFINITY]).is_neg_inf().to_vec::<bool>().unwrap(), [true, false]);
    /// ```
    is_neg_inf |x| x.eq(f64::NEG_INFINITY);
    /// The integer part, rounding towards zero.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([-1.5f32, 2.5]).trunc().to_vec::<f32>().unwrap(), [-1.0, 2.0]);
    /// ```
    trunc |x| x.lt(0.0).select(x.ceil(), x.floor());
    /// 2^x
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([3.0f32, -1.0]).exp2().to_vec::<f32>().unwrap(), [8.0, 0.5]);
    /// ```
    exp2 |x| Tensor::full_like(x, 2.0).pow(x);
    /// Logarithm to base 2.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([8.0f32, 0.5]).log2().to_vec::<f32>().unwrap(), [3.0, -1.0]);
    /// ```
    log2 |x| x.log() / std::f64::consts::LN_2;
    /// Logarithm to base 10.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([100.0f32, 1.0]).log10().to_vec::<f32>().unwrap(), [2.0, 0.0]);
    /// ```
    log10 |x| x.log() / std::f64::consts::LN_10;
    /// Degrees to radians.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([180.0f32]).deg2rad().to_vec::<f32>().unwrap(), [std::f32::consts::PI]);
    /// ```
    deg2rad |x| x * (std::f64::consts::PI / 180.0);
    /// Radians to degrees.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([std::f32::consts::PI]).rad2deg().to_vec::<f32>().unwrap(), [180.0]);
    /// ```
    rad2deg |x| x * (180.0 / std::f64::consts::PI);
    /// 1 / x
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([4.0f32]).reciprocal().to_vec::<f32>().unwrap(), [0.25]);
    /// ```
    reciprocal |x| Tensor::full_like(x, 1.0) / x;
}

impl Tensor {
    /// Nearest integer, ties to even: another name of [`Tensor::round`].
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([0.5f32, 1.5]).rint().to_vec::<f32>().unwrap(), [0.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn rint(&self) -> Tensor {
        self.round()
    }

    /// Rounded to so many decimals (negative: to tens, hundreds, ..), ties to even.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from(2.675f32).round_to(1).item::<f32>().unwrap(), 2.7);
    /// ```
    #[track_caller]
    pub fn round_to(&self, decimals: i32) -> Tensor {
        settled(round_to(self, decimals))
    }

    /// sin(πx) / (πx), 1 at 0, with all its derivatives.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([0.0f32]).sinc().to_vec::<f32>().unwrap(), [1.0]);
    /// ```
    #[track_caller]
    pub fn sinc(&self) -> Tensor {
        settled(sinc(self))
    }

    /// Whether the sign bit is set: true for -0 and for NaNs that have it.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([-0.0f32, 0.0]).sign_bit().to_vec::<bool>().unwrap(), [true, false]);
    /// ```
    #[track_caller]
    pub fn sign_bit(&self) -> Tensor {
        settled(sign_bit(self))
    }

    /// NaN replaced by 0, infinities by the greatest and least finite numbers; integers as they are.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([f32::NAN, f32::INFINITY, 1.0]).nan_to_num();
    /// assert_eq!(x.to_vec::<f32>().unwrap(), [0.0, f32::MAX, 1.0]);
    /// ```
    #[track_caller]
    pub fn nan_to_num(&self) -> Tensor {
        settled(checked_nan_to_num(self, None))
    }

    /// NaN, infinity and negative infinity replaced by these three numbers.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([f32::NAN, f32::INFINITY]).nan_to_num_with(1.0, 2.0, 3.0);
    /// assert_eq!(x.to_vec::<f32>().unwrap(), [1.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn nan_to_num_with(&self, nan: f64, highest: f64, lowest: f64) -> Tensor {
        settled(checked_nan_to_num(self, Some((nan, highest, lowest))))
    }

    /// sqrt(self² + rhs²) without overflow; its derivative at (0, 0) is 0.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([3.0f32, 0.0]).hypot(4.0).to_vec::<f32>().unwrap(), [5.0, 4.0]);
    /// ```
    #[track_caller]
    pub fn hypot(&self, rhs: impl Operand) -> Tensor {
        settled(hypot(self, rhs))
    }

    /// ln(e^self + e^rhs), without overflow.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([1000.0f32, f32::NEG_INFINITY]);
    /// let y = x.logaddexp(&x).to_vec::<f32>().unwrap();
    /// assert!((y[0] - 1000.6931).abs() < 1e-3 && y[1] == f32::NEG_INFINITY);
    /// ```
    #[track_caller]
    pub fn logaddexp(&self, rhs: impl Operand) -> Tensor {
        settled(checked_logaddexp("logaddexp", self, rhs, 1.0))
    }

    /// log2(2^self + 2^rhs), without overflow.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([3.0f32]).logaddexp2(3.0).to_vec::<f32>().unwrap(), [4.0]);
    /// ```
    #[track_caller]
    pub fn logaddexp2(&self, rhs: impl Operand) -> Tensor {
        settled(checked_logaddexp("logaddexp2", self, rhs, std::f64::consts::LN_2))
    }

    /// 0 below zero, `at_zero` at zero, 1 above; keeps NaN.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([-1.0f32, 0.0, 2.0]).heaviside(0.5).to_vec::<f32>().unwrap(), [0.0, 0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn heaviside(&self, at_zero: impl Operand) -> Tensor {
        settled(heaviside(self, at_zero))
    }

    /// The magnitude of `self` with the sign of `rhs`, whose zeros and NaNs have signs too.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, -2.0]).copysign(-0.0).to_vec::<f32>().unwrap(), [-1.0, -2.0]);
    /// ```
    #[track_caller]
    pub fn copysign(&self, rhs: impl Operand) -> Tensor {
        settled(copysign(self, rhs))
    }

    /// self · 2^exponent for integer exponents.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([0.75f32]).ldexp(3).to_vec::<f32>().unwrap(), [6.0]);
    /// ```
    #[track_caller]
    pub fn ldexp(&self, exponent: impl Operand) -> Tensor {
        settled(ldexp(self, exponent))
    }

    /// Whether |self - rhs| <= absolute + relative |rhs|; infinities are close to themselves, NaN to nothing.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, 2.0]).is_close(1.01, 0.1, 0.0).to_vec::<bool>().unwrap(), [true, false]);
    /// ```
    #[track_caller]
    pub fn is_close(&self, rhs: impl Operand, relative: f64, absolute: f64) -> Tensor {
        settled(is_close(self, rhs, relative, absolute))
    }

    /// Whether all elements are close, in the sense of [`Tensor::is_close`] (a bool scalar).
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert!(Tensor::from([1.0f32, 1.02]).all_close(1.01, 0.1, 0.0).item::<bool>().unwrap());
    /// ```
    #[track_caller]
    pub fn all_close(&self, rhs: impl Operand, relative: f64, absolute: f64) -> Tensor {
        self.is_close(rhs, relative, absolute).all(..)
    }
}

/// Longest polynomial whose Horner steps are written out; longer ones run as a loop.
const UNROLLED: usize = 32;

#[track_caller]
fn checked_polyval(coefficients: &Tensor, x: &Tensor) -> Result<Tensor> {
    let op = "polyval";
    checks::same_dtype(op, coefficients, x)?;
    checks::number(op, x)?;
    let n = checks::vector(op, coefficients)?;
    let zero = x.zeros_like();
    if n > UNROLLED {
        return Ok(scan(|y: &Tensor, c: &Tensor| (y * x + c, ()), &zero, coefficients).0);
    }
    let mut y = zero;
    for i in 0..n {
        y = y * x + coefficients.i(i);
    }
    Ok(y)
}

/// The polynomial with these coefficients, that of the greatest power first, at every element of `x`.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{polyval, prelude::*};
/// let x = Tensor::from([1.0f32, 10.0]);
/// assert_eq!(polyval(&Tensor::from([2.0f32, 0.0, 5.0]), &x).to_vec::<f32>().unwrap(), [7.0, 205.0]);
/// ```
#[track_caller]
pub fn polyval(coefficients: &Tensor, x: &Tensor) -> Tensor {
    settled(checked_polyval(coefficients, x))
}

/// The tensors broadcast to the one shape they have in common.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{broadcast_arrays, prelude::*};
/// let (a, b) = (Tensor::zeros([3, 1]), Tensor::arange(4));
/// assert!(broadcast_arrays(&[&a, &b]).iter().all(|t| t.shape() == [3, 4]));
/// ```
#[track_caller]
pub fn broadcast_arrays(tensors: &[&Tensor]) -> Vec<Tensor> {
    let loc = Loc::caller();
    let run = || {
        let mut shape = gradloom_ir::Shape::new();
        for t in tensors {
            t.check()?;
            shape = super::arithmetic::broadcast_shapes(&shape, t.shape()).ok_or_else(|| {
                let why = "axes aligned at the end must be equal or 1";
                Error::shape_mismatch("broadcast_arrays", tensors[0].ty_ref(), t.ty_ref(), why)
            })?;
        }
        Ok(tensors.iter().map(|t| super::arithmetic::broadcast_at(t, &shape, &loc)).collect())
    };
    super::checks::settled_list(tensors.len(), run())
}
