//! Running reductions along an axis, and differences of neighbours.

use super::axes::{resolve_axis, settle};
use super::checks::{self, settled};
use super::elementwise::logaddexp;
use super::{Tensor, apply};
use crate::transform::associative_scan;
use gradloom_ir::{DType, Error, Loc, Op, ReduceKind, Result};

pub(crate) fn cumulative_at(
    name: &str,
    kind: ReduceKind,
    x: &Tensor,
    axis: i64,
    reverse: bool,
    loc: &Loc,
) -> Result<Tensor> {
    x.check()?;
    let axis = resolve_axis(name, axis, x.ty_ref())?;
    Ok(apply(Op::Cumulative { kind, axis, reverse }, &[x], loc))
}

/// Running logarithms of sums of exponentials: the pairwise sum is associative, so a tree of them gives all prefixes,
/// each shifted by its own maximum and not by that of the whole axis.
#[track_caller]
fn logcumsumexp(x: &Tensor, axis: i64) -> Result<Tensor> {
    let op = "logcumsumexp";
    checks::float(op, x)?;
    let axis = resolve_axis(op, axis, x.ty_ref())?;
    let rows = x.move_axis(axis, 0);
    Ok(associative_scan(|a: &Tensor, b: &Tensor| logaddexp(a, b), &rows).move_axis(0, axis))
}

/// Highest order of differences, each of which is a step of the program.
const MAX_ORDER: usize = 256;

#[track_caller]
fn diff(x: &Tensor, order: usize, axis: i64) -> Result<Tensor> {
    let op = "diff";
    x.check()?;
    let axis = resolve_axis(op, axis, x.ty_ref())?;
    let n = x.shape()[axis];
    if order >= n {
        return Ok(x.slice_axis(axis, 0, if order == 0 { n } else { 0 }));
    }
    if order > MAX_ORDER {
        return Err(Error::limit(op, format!("differences of order {order}"))
            .help(format!("the order may be at most {MAX_ORDER}: higher ones hold rounding errors only")));
    }
    let mut y = x.clone();
    for left in (n - order..n).rev() {
        let (after, before) = (y.slice_axis(axis, 1, left + 1), y.slice_axis(axis, 0, left));
        y = if x.dtype() == DType::Bool { after.ne(before) } else { after - before };
    }
    Ok(y)
}

impl Tensor {
    /// Running sums along an axis.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::arange(4).cumsum(0).to_vec::<i32>().unwrap(), [0, 1, 3, 6]);
    /// ```
    #[track_caller]
    pub fn cumsum(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, cumulative_at("cumsum", ReduceKind::Sum, self, axis, false, &loc))
    }

    /// Running sums from the end of an axis.
    #[track_caller]
    pub fn cumsum_reverse(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, cumulative_at("cumsum_reverse", ReduceKind::Sum, self, axis, true, &loc))
    }

    /// Running products along an axis.
    #[track_caller]
    pub fn cumprod(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, cumulative_at("cumprod", ReduceKind::Prod, self, axis, false, &loc))
    }

    /// Running maxima along an axis.
    #[track_caller]
    pub fn cummax(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, cumulative_at("cummax", ReduceKind::Max, self, axis, false, &loc))
    }

    /// Running minima along an axis.
    #[track_caller]
    pub fn cummin(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, cumulative_at("cummin", ReduceKind::Min, self, axis, false, &loc))
    }

    /// Running ln of sums of e^x along an axis, without overflow, and right where elements of very different size meet.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let y = Tensor::from([-1000.0f32, 1000.0]).logcumsumexp(0);
    /// assert_eq!(y.to_vec::<f32>().unwrap(), [-1000.0, 1000.0]);
    /// ```
    #[track_caller]
    pub fn logcumsumexp(&self, axis: i64) -> Tensor {
        settled(logcumsumexp(self, axis))
    }

    /// Differences of neighbours along an axis, `order` times over; of bools, whether they differ.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([1, 4, 9, 16]);
    /// assert_eq!(x.diff(1, 0).to_vec::<i32>().unwrap(), [3, 5, 7]);
    /// assert_eq!(x.diff(2, 0).to_vec::<i32>().unwrap(), [2, 2]);
    /// ```
    #[track_caller]
    pub fn diff(&self, order: usize, axis: i64) -> Tensor {
        settled(diff(self, order, axis))
    }
}
