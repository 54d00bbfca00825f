//! Quantiles, weighted means, covariances, norms.

use super::axes::{Axes, IntoAxes, resolve_axes};
use super::checks::{self, settled};
use super::{Operand, Tensor};
use gradloom_ir::{DType, Error, Loc, Result};

/// What a quantile that falls between two elements is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Between {
    /// The straight line between them.
    #[default]
    Linear,
    /// The lower one.
    Lower,
    /// The higher one.
    Higher,
    /// The nearer one, the lower one if both are as near.
    Nearest,
    /// Their mean.
    Midpoint,
}

/// The axes that stay, and `x` with the reduced ones joined into one axis in front.
#[track_caller]
fn columns(op: &str, x: &Tensor, axes: &Axes) -> Result<(Vec<usize>, usize, Tensor)> {
    let gone = resolve_axes(op, axes, x.ty_ref())?;
    let stay: Vec<usize> = (0..x.ndim()).filter(|a| !gone.contains(a)).collect();
    let perm: Vec<usize> = gone.iter().copied().chain(stay.iter().copied()).collect();
    let n = gone.iter().map(|&a| x.shape()[a]).product();
    let rest = stay.iter().map(|&a| x.shape()[a]).product::<usize>();
    Ok((stay, n, x.transpose(perm).reshape([n, rest])))
}

/// The elements of the `n` rows at positions `at` (floats), one row a quantile, each column by itself.
#[track_caller]
fn pick(rows: &Tensor, at: &Tensor, n: usize, shape: [usize; 2]) -> Tensor {
    rows.take_along_axis(&at.to(checks::position_dtype(n)).clip(0, n - 1).broadcast_to(shape), 0)
}

#[track_caller]
fn quantile(op: &str, x: &Tensor, q: impl Operand, axes: &Axes, between: Between, skip_nan: bool) -> Result<Tensor> {
    checks::float(op, x)?;
    let q = q.with_dtype(x.dtype(), &Loc::caller());
    checks::same_dtype(op, x, &q)?;
    // 16 bits do not number many positions
    let wide = if x.dtype().is_half() { DType::F32 } else { x.dtype() };
    let q = q.to(wide);
    let (stay, n, rows) = columns(op, x, axes)?;
    let shape: Vec<usize> = q.shape().iter().copied().chain(stay.iter().map(|&a| x.shape()[a])).collect();
    if n == 0 {
        return Ok(Tensor::full(shape, f64::NAN, x.dtype()));
    }
    let is_nan = rows.is_nan();
    let sorted = rows.sort(0);
    // the number of elements that count: all, or, NaNs being sorted last, those before the NaNs
    let count = if skip_nan { (!&is_nan).to(wide).sum_keepdims(0) } else { Tensor::full([1, 1], n, wide) };
    let at = q.reshape([-1, 1]) * (&count - 1).maximum(0.0);
    let (low, high) = (at.floor(), at.ceil());
    let weight = (&at - &low).to(x.dtype());
    let positions = rows.shape().get(1).copied().unwrap_or(1);
    let shape_2d = [q.size(), positions];
    let (low, high) = (pick(&sorted, &low, n, shape_2d), pick(&sorted, &high, n, shape_2d));
    let y = match between {
        // not low + (high - low) weight, which is NaN between infinities of one sign
        Between::Linear => &low * (-&weight + 1.0) + weight.eq(0.0).select(0.0, &high) * &weight,
        Between::Lower => low,
        Between::Higher => high,
        Between::Nearest => weight.le(0.5).select(low, high),
        Between::Midpoint => (low + high) * 0.5,
    };
    let undefined = if skip_nan { count.eq(0.0) } else { is_nan.any_keepdims(0) };
    let undefined = undefined | !(q.ge(0.0) & q.le(1.0)).reshape([-1, 1]);
    Ok(undefined.select(f64::NAN, y).reshape(shape))
}

#[track_caller]
fn average(x: &Tensor, axes: &Axes, weights: &Tensor) -> Result<Tensor> {
    let op = "average";
    checks::float(op, x)?;
    checks::same_dtype(op, x, weights)?;
    let listed = resolve_axes(op, axes, x.ty_ref())?;
    let weights = if weights.shape() == x.shape() {
        weights.clone()
    } else if weights.ndim() == 1 && listed.len() == 1 && weights.size() == x.shape()[listed[0]] {
        let shape: Vec<usize> = (0..x.ndim()).map(|a| if a == listed[0] { weights.size() } else { 1 }).collect();
        weights.reshape(shape).broadcast_to(x.shape())
    } else {
        let why = "the weights must have the array's shape, or be a vector along the one axis";
        return Err(Error::shape_mismatch(op, x.ty_ref(), weights.ty_ref(), why));
    };
    Ok((x * &weights).sum(axes.clone()) / weights.sum(axes.clone()))
}

#[track_caller]
fn var_ddof(op: &str, x: &Tensor, axes: &Axes, ddof: f64) -> Result<Tensor> {
    checks::float(op, x)?;
    let axes = resolve_axes(op, axes, x.ty_ref())?.to_vec();
    let n: usize = axes.iter().map(|&a| x.shape()[a]).product();
    let centred = x - x.mean_keepdims(axes.clone());
    // no degrees of freedom: 0 / 0 or x / 0, as NumPy has it
    Ok(centred.square().sum(axes) / (n as f64 - ddof).max(0.0))
}

/// Rows are variables, columns are observations.
#[track_caller]
fn cov(op: &str, x: &Tensor, ddof: f64) -> Result<Tensor> {
    checks::float(op, x)?;
    let (rows, n) = match *x.shape() {
        [n] => (x.reshape([1, n]), n),
        [_, n] => (x.clone(), n),
        _ => {
            return Err(Error::user(op, format!("{} has {} axes, not one or two", x.ty_ref(), x.ndim()))
                .help("rows are variables and columns observations; map over other axes with `vmap`"));
        }
    };
    let centred = &rows - rows.mean_keepdims(-1);
    let c = centred.matmul(&centred.t()) / (n as f64 - ddof).max(0.0);
    Ok(if x.ndim() == 1 { c.reshape(()) } else { c })
}

#[track_caller]
fn corrcoef(x: &Tensor) -> Result<Tensor> {
    let c = cov("corrcoef", x, 0.0)?;
    if x.ndim() == 1 {
        // 1, or NaN of observations that do not vary
        let itself = c.clone();
        return Ok(c / itself);
    }
    let deviation = c.diag().sqrt();
    let r = c / deviation.expand_dims(1) / deviation.expand_dims(0);
    Ok(r.clip(-1.0, 1.0))
}

/// sqrt with derivative 0 at 0.
#[track_caller]
pub(crate) fn sqrt_zero_safe(x: &Tensor) -> Tensor {
    let zero = x.eq(0.0);
    zero.select(0.0, zero.select(1.0, x).sqrt())
}

#[track_caller]
pub(crate) fn norm(op: &str, x: &Tensor, order: f64, axes: &Axes, keep: bool) -> Result<Tensor> {
    if !x.dtype().is_complex() {
        checks::float(op, x)?;
    }
    let axes = Axes::Listed(resolve_axes(op, axes, x.ty_ref())?.iter().map(|&a| a as i64).collect());
    if order.is_nan() {
        return Err(Error::user(op, "the order of the norm is NaN").help("e.g. 1.0, 2.0 or f64::INFINITY"));
    }
    if order == f64::INFINITY {
        return Ok(if keep { x.abs().max_keepdims(axes) } else { x.abs().max(axes) });
    }
    if order == f64::NEG_INFINITY {
        return Ok(if keep { x.abs().min_keepdims(axes) } else { x.abs().min(axes) });
    }
    let terms = if order == 0.0 {
        x.ne(0.0).to(x.dtype().real())
    } else if order == 1.0 {
        x.abs()
    } else if order == 2.0 && x.dtype().is_complex() {
        x.real().square() + x.imag().square()
    } else if order == 2.0 {
        x.square()
    } else {
        // |x|^p with derivative 0 at 0; for negative p the power there is infinite and stays so
        let zero = x.eq(0.0);
        zero.select(if order > 0.0 { 0.0 } else { f64::INFINITY }, zero.select(1.0, x.abs()).pow(order))
    };
    let sum = if keep { terms.sum_keepdims(axes) } else { terms.sum(axes) };
    if order == 0.0 || order == 1.0 {
        return Ok(sum);
    }
    if order == 2.0 {
        return Ok(sqrt_zero_safe(&sum));
    }
    let zero = sum.eq(0.0);
    Ok(zero.select(0.0, zero.select(1.0, &sum).pow(1.0 / order)))
}

#[track_caller]
fn logsumexp_weighted(x: &Tensor, weights: impl Operand, axes: &Axes) -> Result<Tensor> {
    let op = "logsumexp_weighted";
    checks::float(op, x)?;
    let loc = Loc::caller();
    let (x, b) = super::arithmetic::broadcast_pair(op, x, &weights.with_dtype(x.dtype(), &loc), &loc)?;
    let axes = resolve_axes(op, axes, x.ty_ref())?.to_vec();
    // what has no weight must not decide the shift, nor make 0 times infinity
    let none = b.eq(0.0);
    let x = none.select(f64::NEG_INFINITY, &x);
    let top = crate::transform::stop_gradient(&x.max_keepdims(axes.clone()));
    let top = top.is_finite().select(&top, 0.0);
    let terms = none.select(0.0, (&x - &top).exp()) * b;
    let sum = terms.sum_keepdims(axes.clone());
    // a sum of nothing but zeros is -inf with derivative 0
    let empty = sum.eq(0.0);
    let y = empty.select(f64::NEG_INFINITY, empty.select(1.0, &sum).log()) + top;
    let shape: Vec<usize> = (0..x.ndim()).filter(|a| !axes.contains(a)).map(|a| x.shape()[a]).collect();
    Ok(y.reshape(shape))
}

#[track_caller]
fn count_nonzero(x: &Tensor, axes: &Axes) -> Result<Tensor> {
    x.check()?;
    resolve_axes("count_nonzero", axes, x.ty_ref())?;
    let mask = if x.dtype() == DType::Bool { x.clone() } else { x.ne(0) };
    Ok(mask.to(DType::I32).sum(axes.clone()))
}

#[track_caller]
fn ptp(x: &Tensor, axes: &Axes) -> Result<Tensor> {
    checks::real("ptp", x)?;
    resolve_axes("ptp", axes, x.ty_ref())?;
    Ok(x.max(axes.clone()) - x.min(axes.clone()))
}

impl Tensor {
    /// The elements below which the parts `q` (0 to 1; a number or an array) of the elements along axes lie. The axes of
    /// `q` come first in the result. NaN if a NaN is among the elements, or `q` is not in 0..=1.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Between, prelude::*};
    /// let x = Tensor::from([4.0f32, 1.0, 2.0, 3.0]);
    /// let q = x.quantile(Tensor::from([0.0f32, 0.5]), .., Between::Linear);
    /// assert_eq!(q.to_vec::<f32>().unwrap(), [1.0, 2.5]);
    /// ```
    #[track_caller]
    pub fn quantile(&self, q: impl Operand, axes: impl IntoAxes, between: Between) -> Tensor {
        settled(quantile("quantile", self, q, &axes.axes(), between, false))
    }

    /// [`Tensor::quantile`] of the elements that are not NaN; NaN if there are none.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Between, prelude::*};
    /// let x = Tensor::from([4.0f32, f32::NAN, 1.0]);
    /// assert_eq!(x.nanquantile(1.0, .., Between::Linear).item::<f32>().unwrap(), 4.0);
    /// ```
    #[track_caller]
    pub fn nanquantile(&self, q: impl Operand, axes: impl IntoAxes, between: Between) -> Tensor {
        settled(quantile("nanquantile", self, q, &axes.axes(), between, true))
    }

    /// The middle element along axes, or the mean of the two in the middle; NaN wins.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([9.0f32, 1.0, 2.0]).median(..).item::<f32>().unwrap(), 2.0);
    /// ```
    #[track_caller]
    pub fn median(&self, axes: impl IntoAxes) -> Tensor {
        settled(quantile("median", self, 0.5, &axes.axes(), Between::Midpoint, false))
    }

    /// [`Tensor::median`] of the elements that are not NaN; NaN if there are none.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([4.0f32, f32::NAN, 1.0]).nanmedian(..).item::<f32>().unwrap(), 2.5);
    /// ```
    #[track_caller]
    pub fn nanmedian(&self, axes: impl IntoAxes) -> Tensor {
        settled(quantile("nanmedian", self, 0.5, &axes.axes(), Between::Midpoint, true))
    }

    /// The mean along axes under weights: an array of the same shape, or a vector along the one axis.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([1.0f32, 4.0]);
    /// assert_eq!(x.average(0, &Tensor::from([3.0f32, 1.0])).item::<f32>().unwrap(), 1.75);
    /// ```
    #[track_caller]
    pub fn average(&self, axes: impl IntoAxes, weights: &Tensor) -> Tensor {
        settled(average(self, &axes.axes(), weights))
    }

    /// The sum of squared distances from the mean over the number of elements less `ddof`, along axes: 1.0 for the
    /// unbiased estimate from a sample.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, 3.0]).var_ddof(.., 1.0).item::<f32>().unwrap(), 2.0);
    /// ```
    #[track_caller]
    pub fn var_ddof(&self, axes: impl IntoAxes, ddof: f64) -> Tensor {
        settled(var_ddof("var_ddof", self, &axes.axes(), ddof))
    }

    /// The root of [`Tensor::var_ddof`], with derivative 0 where it is 0.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, 1.0, 4.0]).std_ddof(.., 1.0).item::<f32>().unwrap(), 3f32.sqrt());
    /// ```
    #[track_caller]
    pub fn std_ddof(&self, axes: impl IntoAxes, ddof: f64) -> Tensor {
        sqrt_zero_safe(&settled(var_ddof("std_ddof", self, &axes.axes(), ddof)))
    }

    /// The covariance matrix of variables (rows) from their observations (columns), over the number of observations
    /// less `ddof`; of a vector, its variance.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let c = Tensor::from([[1.0f32, 3.0], [2.0, 0.0]]).cov(1.0);
    /// assert_eq!(c.to_vec::<f32>().unwrap(), [2.0, -2.0, -2.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn cov(&self, ddof: f64) -> Tensor {
        settled(cov("cov", self, ddof))
    }

    /// The correlations of variables (rows) from their observations (columns).
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let r = Tensor::from([[1.0f32, 2.0], [4.0, 2.0]]).corrcoef();
    /// assert!((r.i((0, 1)).item::<f32>().unwrap() + 1.0).abs() < 1e-6);
    /// ```
    #[track_caller]
    pub fn corrcoef(&self) -> Tensor {
        settled(corrcoef(self))
    }

    /// The Euclidean norm along axes, √Σ|x|² (real, also of complex numbers), with derivative 0 where it is 0.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let length = |x: &Tensor| x.norm(..);
    /// assert_eq!(length(&Tensor::from([3.0f32, 4.0])).item::<f32>().unwrap(), 5.0);
    /// assert_eq!(grad(length)(&Tensor::zeros([2])).to_vec::<f32>().unwrap(), [0.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn norm(&self, axes: impl IntoAxes) -> Tensor {
        settled(norm("norm", self, 2.0, &axes.axes(), false))
    }

    /// [`Tensor::norm`] with the reduced axes kept, of length 1.
    #[track_caller]
    pub fn norm_keepdims(&self, axes: impl IntoAxes) -> Tensor {
        settled(norm("norm_keepdims", self, 2.0, &axes.axes(), true))
    }

    /// The `order`-norm along axes: (Σ|x|^p)^(1/p); for infinity the greatest |x|, for its negative the least, for 0 the
    /// number of elements that are not 0. The derivative is 0 where it does not exist at 0.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([3.0f32, -4.0]);
    /// assert_eq!(x.norm_order(1.0, ..).item::<f32>().unwrap(), 7.0);
    /// assert_eq!(x.norm_order(f64::INFINITY, ..).item::<f32>().unwrap(), 4.0);
    /// ```
    #[track_caller]
    pub fn norm_order(&self, order: f64, axes: impl IntoAxes) -> Tensor {
        settled(norm("norm_order", self, order, &axes.axes(), false))
    }

    /// [`Tensor::norm_order`] with the reduced axes kept, of length 1.
    #[track_caller]
    pub fn norm_order_keepdims(&self, order: f64, axes: impl IntoAxes) -> Tensor {
        settled(norm("norm_order_keepdims", self, order, &axes.axes(), true))
    }

    /// ln of the sum of weights · e^x along axes, without overflow; NaN if the weighted sum is negative.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([1000.0f32, 1000.0]);
    /// let y = x.logsumexp_weighted(Tensor::from([2.0f32, -1.0]), ..);
    /// assert_eq!(y.item::<f32>().unwrap(), 1000.0);
    /// ```
    #[track_caller]
    pub fn logsumexp_weighted(&self, weights: impl Operand, axes: impl IntoAxes) -> Tensor {
        settled(logsumexp_weighted(self, weights, &axes.axes()))
    }

    /// How many elements (i32) along axes are not zero.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([0, 5, 7]).count_nonzero(..).item::<i32>().unwrap(), 2);
    /// ```
    #[track_caller]
    pub fn count_nonzero(&self, axes: impl IntoAxes) -> Tensor {
        settled(count_nonzero(self, &axes.axes()))
    }

    /// The greatest element less the least along axes.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([3, -1, 7]).ptp(..).item::<i32>().unwrap(), 8);
    /// ```
    #[track_caller]
    pub fn ptp(&self, axes: impl IntoAxes) -> Tensor {
        settled(ptp(self, &axes.axes()))
    }
}
