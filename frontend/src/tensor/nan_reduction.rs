//! Reductions of the elements that are not NaN.

use super::Tensor;
use super::axes::{Axes, IntoAxes, resolve_axes, resolve_axis};
use super::checks::{self, settled};
use super::statistics::sqrt_zero_safe;
use gradloom_ir::Result;

/// `x` with `fill` for NaN, and how many elements along `axes` (kept) are left.
#[track_caller]
fn without_nan(op: &str, x: &Tensor, fill: f64, axes: &Axes) -> Result<(Tensor, Tensor)> {
    checks::float(op, x)?;
    resolve_axes(op, axes, x.ty_ref())?;
    let nan = x.is_nan();
    let count = (!&nan).to(x.dtype()).sum_keepdims(axes.clone());
    Ok((nan.select(fill, x), count))
}

#[track_caller]
fn nanmean(op: &str, x: &Tensor, axes: &Axes) -> Result<Tensor> {
    let (kept, count) = without_nan(op, x, 0.0, axes)?;
    Ok(kept.sum_keepdims(axes.clone()) / count)
}

#[track_caller]
fn nanvar(op: &str, x: &Tensor, axes: &Axes) -> Result<Tensor> {
    let (_, count) = without_nan(op, x, 0.0, axes)?;
    let d = x.is_nan().select(0.0, x - nanmean(op, x, axes)?);
    Ok(d.square().sum_keepdims(axes.clone()) / count)
}

#[track_caller]
fn nanstd(op: &str, x: &Tensor, axes: &Axes) -> Result<Tensor> {
    Ok(sqrt_zero_safe(&nanvar(op, x, axes)?))
}

#[track_caller]
fn nansum(op: &str, x: &Tensor, axes: &Axes) -> Result<Tensor> {
    let (kept, _) = without_nan(op, x, 0.0, axes)?;
    Ok(kept.sum_keepdims(axes.clone()))
}

#[track_caller]
fn nanprod(op: &str, x: &Tensor, axes: &Axes) -> Result<Tensor> {
    let (kept, _) = without_nan(op, x, 1.0, axes)?;
    Ok(kept.prod_keepdims(axes.clone()))
}

/// The greatest or the least along axes.
#[track_caller]
fn nanextremum(op: &str, x: &Tensor, axes: &Axes, greatest: bool) -> Result<Tensor> {
    let fill = if greatest { f64::NEG_INFINITY } else { f64::INFINITY };
    let (kept, count) = without_nan(op, x, fill, axes)?;
    let y = if greatest { kept.max_keepdims(axes.clone()) } else { kept.min_keepdims(axes.clone()) };
    Ok(count.eq(0.0).select(f64::NAN, y))
}

#[track_caller]
fn nanarg(op: &str, x: &Tensor, axis: i64, greatest: bool) -> Result<Tensor> {
    checks::float(op, x)?;
    resolve_axis(op, axis, x.ty_ref())?;
    let fill = if greatest { f64::NEG_INFINITY } else { f64::INFINITY };
    let kept = x.is_nan().select(fill, x);
    let at = if greatest { kept.argmax(axis) } else { kept.argmin(axis) };
    Ok(x.is_nan().all(axis).select(-1, at))
}

/// `reduced` without the axes of length 1 that a reduction of `x` kept.
#[track_caller]
fn dropped(x: &Tensor, axes: &Axes, reduced: Result<Tensor>) -> Result<Tensor> {
    let reduced = reduced?;
    reduced.check()?;
    let gone = resolve_axes("squeeze", axes, x.ty_ref())?;
    Ok(reduced.squeeze(gone.to_vec()))
}

macro_rules! nan_reductions {
    ($($(#[$doc:meta])* $name:ident $keepdims:ident |$op:ident, $x:ident, $axes:ident| $body:expr;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, axes: impl IntoAxes) -> Tensor {
                let ($op, $x, $axes) = (stringify!($name), self, &axes.axes());
                settled(dropped($x, $axes, $body))
            }

            #[doc = concat!("[`Tensor::", stringify!($name), "`] with the reduced axes kept, of length 1.")]
            #[track_caller]
            pub fn $keepdims(&self, axes: impl IntoAxes) -> Tensor {
                let ($op, $x, $axes) = (stringify!($keepdims), self, &axes.axes());
                settled($body)
            }
        )*}
    };
}
nan_reductions! {
    /// The sum along axes of the elements that are not NaN.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, f32::NAN, 2.0]).nansum(..).item::<f32>().unwrap(), 3.0);
    /// ```
    nansum nansum_keepdims |op, x, axes| nansum(op, x, axes);
    /// The product along axes of the elements that are not NaN.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, f32::NAN, 2.0]).nanprod(..).item::<f32>().unwrap(), 2.0);
    /// ```
    nanprod nanprod_keepdims |op, x, axes| nanprod(op, x, axes);
    /// The mean along axes of the elements that are not NaN; NaN if there are none.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, f32::NAN, 2.0]).nanmean(..).item::<f32>().unwrap(), 1.5);
    /// ```
    nanmean nanmean_keepdims |op, x, axes| nanmean(op, x, axes);
    /// The variance along axes of the elements that are not NaN; NaN if there are none.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, f32::NAN, 2.0]).nanvar(..).item::<f32>().unwrap(), 0.25);
    /// ```
    nanvar nanvar_keepdims |op, x, axes| nanvar(op, x, axes);
    /// The standard deviation along axes of the elements that are not NaN, with derivative 0 where it is 0.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, f32::NAN, 2.0]).nanstd(..).item::<f32>().unwrap(), 0.5);
    /// ```
    nanstd nanstd_keepdims |op, x, axes| nanstd(op, x, axes);
    /// The greatest along axes of the elements that are not NaN; NaN if there are none.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, f32::NAN, 2.0]).nanmax(..).item::<f32>().unwrap(), 2.0);
    /// ```
    nanmax nanmax_keepdims |op, x, axes| nanextremum(op, x, axes, true);
    /// The least along axes of the elements that are not NaN; NaN if there are none.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, f32::NAN, 2.0]).nanmin(..).item::<f32>().unwrap(), 1.0);
    /// ```
    nanmin nanmin_keepdims |op, x, axes| nanextremum(op, x, axes, false);
}

impl Tensor {
    /// The position (i32) of the first greatest element along an axis that is not NaN; -1 if there is none.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, f32::NAN, 2.0]).nanargmax(0).item::<i32>().unwrap(), 2);
    /// ```
    #[track_caller]
    pub fn nanargmax(&self, axis: i64) -> Tensor {
        settled(nanarg("nanargmax", self, axis, true))
    }

    /// The position (i32) of the first least element along an axis that is not NaN; -1 if there is none.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1.0f32, f32::NAN, 2.0]).nanargmin(0).item::<i32>().unwrap(), 0);
    /// ```
    #[track_caller]
    pub fn nanargmin(&self, axis: i64) -> Tensor {
        settled(nanarg("nanargmin", self, axis, false))
    }
}
