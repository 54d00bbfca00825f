//! Reductions, running reductions, and the softmax family.

use super::arithmetic::{binary_at, compare_at, unary_at};
use super::axes::{Axes, IntoAxes, resolve_axes, resolve_axis, settle};
use super::checks;
use super::convert::{full_at, scalar_at};
use super::shaping::reshape_at;
use super::statistics::sqrt_zero_safe;
use super::{Tensor, apply};
use crate::transform::stop_gradient;
use gradloom_ir::{Binary, Comparison, DType, Error, Loc, Op, ReduceKind, Result, Shape, Unary};

/// `x` combined along `axes`, which disappear or stay with length 1.
fn reduce_at(kind: ReduceKind, x: &Tensor, axes: &Axes, keep: bool, loc: &Loc) -> Result<Tensor> {
    x.check()?;
    let axes = resolve_axes(kind.name(), axes, x.ty_ref())?;
    if matches!(kind, ReduceKind::Sum | ReduceKind::Prod) && x.dtype() == DType::Bool {
        return Err(Error::bad_dtype(kind.name(), x.dtype(), "a number")
            .help("count with `.to(DType::I32).sum(..)`, or use `.any(..)` and `.all(..)`"));
    }
    let y = if axes.is_empty() { x.clone() } else { apply(Op::Reduce { kind, axes: axes.clone() }, &[x], loc) };
    Ok(if keep { kept(&y, x, &axes, loc) } else { y })
}

/// `y`, a reduction of `x`, with the reduced axes back as axes of length 1.
fn kept(y: &Tensor, x: &Tensor, axes: &[usize], loc: &Loc) -> Tensor {
    let shape: Shape = x.shape().iter().enumerate().map(|(i, &n)| if axes.contains(&i) { 1 } else { n }).collect();
    reshape_at(y, &shape, loc)
}

fn mean_at(op: &str, x: &Tensor, axes: &Axes, keep: bool, loc: &Loc) -> Result<Tensor> {
    checks::float(op, x)?;
    let count: usize = resolve_axes(op, axes, x.ty_ref())?.iter().map(|&a| x.shape()[a]).product();
    let sum = reduce_at(ReduceKind::Sum, x, axes, keep, loc)?;
    Ok(binary_at(Binary::Div, &sum, &scalar_at(x.dtype(), count as f64, loc), loc))
}

fn var_at(op: &str, x: &Tensor, axes: &Axes, keep: bool, loc: &Loc) -> Result<Tensor> {
    let mean = mean_at(op, x, axes, true, loc)?;
    let d = binary_at(Binary::Sub, x, &mean, loc);
    mean_at(op, &binary_at(Binary::Mul, &d, &d, loc), axes, keep, loc)
}

/// The maximum along `axes` as a constant of differentiation, with the axes kept.
fn shift_at(x: &Tensor, axes: &Axes, loc: &Loc) -> Result<Tensor> {
    Ok(stop_gradient(&reduce_at(ReduceKind::Max, x, axes, true, loc)?))
}

fn logsumexp_at(x: &Tensor, axes: &Axes, keep: bool, loc: &Loc) -> Result<Tensor> {
    checks::float("logsumexp", x)?;
    let shift = shift_at(x, axes, loc)?;
    // an infinite maximum would make inf - inf: shift by 0 then
    let finite = unary_at(Unary::IsFinite, &shift, loc);
    let shift = apply(Op::Select {}, &[&finite, &shift, &full_at(shift.ty_ref(), 0.0, loc)], loc);
    let e = unary_at(Unary::Exp, &binary_at(Binary::Sub, x, &shift, loc), loc);
    let sum = reduce_at(ReduceKind::Sum, &e, axes, true, loc)?;
    // a sum of nothing but zeros is -inf with derivative 0
    let (zero, one) = (full_at(sum.ty_ref(), 0.0, loc), full_at(sum.ty_ref(), 1.0, loc));
    let empty = compare_at(Comparison::Eq, &sum, &zero, loc);
    let log = unary_at(Unary::Log, &apply(Op::Select {}, &[&empty, &one, &sum], loc), loc);
    let none = full_at(sum.ty_ref(), f64::NEG_INFINITY, loc);
    let y = binary_at(Binary::Add, &apply(Op::Select {}, &[&empty, &none, &log], loc), &shift, loc);
    if keep {
        return Ok(y);
    }
    let gone = resolve_axes("logsumexp", axes, x.ty_ref())?;
    let shape: Shape = (0..x.ndim()).filter(|a| !gone.contains(a)).map(|a| x.shape()[a]).collect();
    Ok(reshape_at(&y, &shape, loc))
}

fn softmax_at(x: &Tensor, axes: &Axes, loc: &Loc) -> Result<Tensor> {
    checks::float("softmax", x)?;
    let e = unary_at(Unary::Exp, &binary_at(Binary::Sub, x, &shift_at(x, axes, loc)?, loc), loc);
    Ok(binary_at(Binary::Div, &e, &reduce_at(ReduceKind::Sum, &e, axes, true, loc)?, loc))
}

fn log_softmax_at(x: &Tensor, axes: &Axes, loc: &Loc) -> Result<Tensor> {
    checks::float("log_softmax", x)?;
    let d = binary_at(Binary::Sub, x, &shift_at(x, axes, loc)?, loc);
    let sum = reduce_at(ReduceKind::Sum, &unary_at(Unary::Exp, &d, loc), axes, true, loc)?;
    Ok(binary_at(Binary::Sub, &d, &unary_at(Unary::Log, &sum, loc), loc))
}

fn logical_at(name: &str, kind: ReduceKind, x: &Tensor, axes: &Axes, keep: bool, loc: &Loc) -> Result<Tensor> {
    x.check()?;
    if x.dtype() != DType::Bool {
        return Err(Error::bad_dtype(name, x.dtype(), "bool").help("compare first, e.g. `x.ne(0)`"));
    }
    reduce_at(kind, x, axes, keep, loc)
}

fn arg_at(name: &str, kind: ReduceKind, x: &Tensor, axis: i64, loc: &Loc) -> Result<Tensor> {
    x.check()?;
    let axis = resolve_axis(name, axis, x.ty_ref())?;
    Ok(apply(Op::ArgReduce { kind, axis }, &[x], loc))
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident $keepdims:ident |$x:ident, $axes:ident, $keep:ident, $loc:ident| $body:expr;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, axes: impl IntoAxes) -> Tensor {
                let ($x, $axes, $keep, $loc) = (self, &axes.axes(), false, &Loc::caller());
                settle($loc, $body)
            }

            #[doc = concat!("[`Tensor::", stringify!($name), "`] with the reduced axes kept, of length 1.")]
            #[track_caller]
            pub fn $keepdims(&self, axes: impl IntoAxes) -> Tensor {
                let ($x, $axes, $keep, $loc) = (self, &axes.axes(), true, &Loc::caller());
                settle($loc, $body)
            }
        )*}
    };
}
reductions! {
    /// The sum along axes.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from_slice([2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    /// assert_eq!(x.sum(..).item::<f32>().unwrap(), 10.0);
    /// assert_eq!(x.sum(-1).to_vec::<f32>().unwrap(), [3.0, 7.0]);
    /// assert_eq!(x.sum_keepdims([0]).shape(), [1, 2]);
    /// ```
    sum sum_keepdims |x, axes, keep, loc| reduce_at(ReduceKind::Sum, x, axes, keep, loc);
    /// The product along axes.
    prod prod_keepdims |x, axes, keep, loc| reduce_at(ReduceKind::Prod, x, axes, keep, loc);
    /// The greatest along axes; NaN wins. Of no elements: -inf, or the least integer.
    max max_keepdims |x, axes, keep, loc| reduce_at(ReduceKind::Max, x, axes, keep, loc);
    /// The least along axes; NaN wins. Of no elements: inf, or the greatest integer.
    min min_keepdims |x, axes, keep, loc| reduce_at(ReduceKind::Min, x, axes, keep, loc);
    /// Whether every bool along axes is true.
    all all_keepdims |x, axes, keep, loc| logical_at("all", ReduceKind::And, x, axes, keep, loc);
    /// Whether some bool along axes is true.
    any any_keepdims |x, axes, keep, loc| logical_at("any", ReduceKind::Or, x, axes, keep, loc);
    /// The mean of floats along axes; NaN of no elements.
    mean mean_keepdims |x, axes, keep, loc| mean_at("mean", x, axes, keep, loc);
    /// The variance along axes, the mean squared distance from the mean.
    var var_keepdims |x, axes, keep, loc| var_at("var", x, axes, keep, loc);
    /// The standard deviation along axes, the root of [`Tensor::var`], with derivative 0 where it is 0.
    std std_keepdims |x, axes, keep, loc| match var_at("std", x, axes, keep, loc) {
        Ok(variance) => Ok(sqrt_zero_safe(&variance)),
        Err(e) => Err(e),
    };
    /// ln of the sum of e^x along axes, without overflow.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::full([2], 1000.0, DType::F32);
    /// assert!((x.logsumexp(..).item::<f32>().unwrap() - (1000.0 + 2f32.ln())).abs() < 1e-4);
    /// ```
    logsumexp logsumexp_keepdims |x, axes, keep, loc| logsumexp_at(x, axes, keep, loc);
}

impl Tensor {
    /// The position (i32) of the first greatest element along an axis; NaN wins.
    #[track_caller]
    pub fn argmax(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, arg_at("argmax", ReduceKind::Max, self, axis, &loc))
    }

    /// The position (i32) of the first least element along an axis; NaN wins.
    #[track_caller]
    pub fn argmin(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, arg_at("argmin", ReduceKind::Min, self, axis, &loc))
    }

    /// e^x over its sum along axes, without overflow.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let p = Tensor::from_vec(vec![0.0f32, 0.0, -1e9]).softmax(-1);
    /// assert_eq!(p.to_vec::<f32>().unwrap(), [0.5, 0.5, 0.0]);
    /// ```
    #[track_caller]
    pub fn softmax(&self, axes: impl IntoAxes) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, softmax_at(self, &axes.axes(), &loc))
    }

    /// The logarithm of [`Tensor::softmax`], without overflow or underflow.
    #[track_caller]
    pub fn log_softmax(&self, axes: impl IntoAxes) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, log_softmax_at(self, &axes.axes(), &loc))
    }
}
