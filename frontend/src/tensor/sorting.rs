//! Sorting.

use super::axes::{resolve_axis, settle};
use super::convert::full_at;
use super::shaping::slice_axis_at;
use super::{Tensor, apply, apply_n};
use gradloom_ir::{Comparison, DType, Error, Loc, Op, Result, Shape};

/// Positions 0, 1, 2, .. along `axis` of an array shaped like `x`.
fn positions(op: &str, x: &Tensor, axis: usize, loc: &Loc) -> Result<Tensor> {
    if x.shape()[axis] > i32::MAX as usize {
        return Err(Error::limit(op, format!("axis {axis} of {} is longer than an i32 can index", x.ty_ref())));
    }
    Ok(apply(Op::Iota { dtype: DType::I32, shape: x.shape().into(), axis }, &[], loc))
}

/// What stands for `x` in comparisons: zeros of both signs are equal, which the op sorts -0 before 0.
pub(crate) fn key_of(x: &Tensor, loc: &Loc) -> Tensor {
    if x.check().is_err() || !x.dtype().is_float() {
        return x.clone();
    }
    let zero = full_at(x.ty_ref(), 0.0, loc);
    let is_zero = apply(Op::Compare(Comparison::Eq), &[x, &zero], loc);
    apply(Op::Select {}, &[&is_zero, &zero, x], loc)
}

pub(crate) fn sort_many(operands: &[&Tensor], axis: usize, loc: &Loc) -> Result<Vec<Tensor>> {
    Ok(apply_n(Op::Sort { axis, num_keys: 1 }, operands, loc)?.into_vec())
}

fn top_k_at(x: &Tensor, k: usize, loc: &Loc) -> Result<(Tensor, Tensor)> {
    let op = "top_k";
    x.check()?;
    let axis = resolve_axis(op, -1, x.ty_ref())?;
    let n = x.shape()[axis];
    if k > n {
        return Err(Error::user(op, format!("{k} greatest of the {n} elements of the last axis of {}", x.ty_ref()))
            .help("k must not exceed the length of the last axis"));
    }
    // sorted from the back, so that of equal elements the first ends last, then read from the back
    let reverse = |t: &Tensor| apply(Op::Reverse { axes: Shape::from_elem(axis, 1) }, &[t], loc);
    let sorted = sort_many(&[&reverse(x), &reverse(&positions(op, x, axis, loc)?)], axis, loc)?;
    let last = |t: &Tensor| Ok(reverse(&slice_axis_at(t, axis, n - k, n, 1, loc)?));
    match &sorted[..] {
        [values, at] => Ok((last(values)?, last(at)?)),
        _ => Err(Error::internal(op, "sort gave another number of results")),
    }
}

impl Tensor {
    /// Sorted ascending along an axis; NaN last.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from_vec(vec![3, 1, 2]).sort(0).to_vec::<i32>().unwrap(), [1, 2, 3]);
    /// ```
    #[track_caller]
    pub fn sort(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let axis = resolve_axis("sort", axis, self.ty_ref())?;
            Ok(apply(Op::Sort { axis, num_keys: 1 }, &[self], &loc))
        };
        settle(&loc, run())
    }

    /// The positions (i32) that sort an axis ascending; equal elements keep their order, NaN goes last.
    #[track_caller]
    pub fn argsort(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let axis = resolve_axis("argsort", axis, self.ty_ref())?;
            let at = positions("argsort", self, axis, &loc)?;
            let mut sorted = sort_many(&[&key_of(self, &loc), &at], axis, &loc)?;
            sorted.pop().ok_or_else(|| Error::internal("argsort", "sort has no result"))
        };
        settle(&loc, run())
    }

    /// Sorted descending along an axis; NaN first.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1, 3, 2]).sort_descending(0).to_vec::<i32>().unwrap(), [3, 2, 1]);
    /// ```
    #[track_caller]
    pub fn sort_descending(&self, axis: i64) -> Tensor {
        self.sort(axis).flip(axis)
    }

    /// The positions (i32) that sort an axis descending; equal elements keep their order, NaN goes first.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1, 3, 3]).argsort_descending(0).to_vec::<i32>().unwrap(), [1, 2, 0]);
    /// ```
    #[track_caller]
    pub fn argsort_descending(&self, axis: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            let op = "argsort_descending";
            self.check()?;
            let axis = resolve_axis(op, axis, self.ty_ref())?;
            // sorted from the back, so that of equal elements the last comes first, and read from the back
            let reverse = |t: &Tensor| apply(Op::Reverse { axes: Shape::from_elem(axis, 1) }, &[t], &loc);
            let at = reverse(&positions(op, self, axis, &loc)?);
            let sorted = sort_many(&[&reverse(&key_of(self, &loc)), &at], axis, &loc)?;
            sorted.last().map(reverse).ok_or_else(|| Error::internal(op, "sort has no result"))
        };
        settle(&loc, run())
    }

    /// The positions (i32) that sort by several keys, all of one shape: by the last key, where it is equal by the last
    /// but one, and so on; where all are equal the order stays.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let (first, last) = (Tensor::from([3, 1, 2]), Tensor::from([0, 1, 0]));
    /// assert_eq!(Tensor::lexsort(&[&first, &last], 0).to_vec::<i32>().unwrap(), [2, 0, 1]);
    /// ```
    #[track_caller]
    pub fn lexsort(keys: &[&Tensor], axis: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            let op = "lexsort";
            let last = keys.last().ok_or_else(|| Error::user(op, "there are no keys to sort by"))?;
            last.check()?;
            let axis = resolve_axis(op, axis, last.ty_ref())?;
            let at = positions(op, last, axis, &loc)?;
            let keys: Vec<Tensor> = keys.iter().rev().map(|k| key_of(k, &loc)).collect();
            let operands: Vec<&Tensor> = keys.iter().chain([&at]).collect();
            let mut sorted = apply_n(Op::Sort { axis, num_keys: keys.len() }, &operands, &loc)?;
            sorted.pop().ok_or_else(|| Error::internal(op, "sort has no result"))
        };
        settle(&loc, run())
    }

    /// The `k` greatest elements of the last axis in descending order, and their positions (i32); of equal elements the
    /// first comes first, NaN counts as greatest and -0 as less than 0.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let (values, at) = Tensor::from_vec(vec![3, 9, 1, 9]).top_k(2);
    /// assert_eq!(values.to_vec::<i32>().unwrap(), [9, 9]);
    /// assert_eq!(at.to_vec::<i32>().unwrap(), [1, 3]);
    /// ```
    #[track_caller]
    pub fn top_k(&self, k: usize) -> (Tensor, Tensor) {
        let loc = Loc::caller();
        top_k_at(self, k, &loc).unwrap_or_else(|e| {
            let t = Tensor::failed(e.at(&loc));
            (t.clone(), t)
        })
    }

    /// The keys sorted ascending along an axis, and each of `values` in the same order; equal keys keep theirs.
    #[track_caller]
    pub fn sort_by_key(keys: &Tensor, values: &[Tensor], axis: i64) -> (Tensor, Vec<Tensor>) {
        let loc = Loc::caller();
        let run = || {
            keys.check()?;
            let axis = resolve_axis("sort_by_key", axis, keys.ty_ref())?;
            let key = key_of(keys, &loc);
            let operands: Vec<&Tensor> = [&key, keys].into_iter().chain(values).collect();
            let mut sorted = sort_many(&operands, axis, &loc)?;
            if sorted.len() < 2 {
                return Err(Error::internal("sort_by_key", "sort has no result"));
            }
            let rest = sorted.split_off(2);
            sorted.pop().map(|k| (k, rest)).ok_or_else(|| Error::internal("sort_by_key", "sort has no result"))
        };
        run().unwrap_or_else(|e: Error| {
            let t = Tensor::failed(e.at(&loc));
            (t.clone(), vec![t; values.len()])
        })
    }
}
