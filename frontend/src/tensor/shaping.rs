//! Changing the shape, and moving elements without computing.

use super::arithmetic::{binary_at, broadcast_at, compare_at};
use super::axes::{Axes, IntoAxes, axis_below, resolve_axes, resolve_axis, settle};
use super::convert::{full_at, plain_shape, scalar_at};
use super::{IntoShape, Operand, Tensor, apply};
use gradloom_ir::{Binary, Comparison, DType, Error, Loc, Op, Result, Shape, Type};

pub(crate) fn reshape_at(x: &Tensor, shape: &[usize], loc: &Loc) -> Tensor {
    if x.check().is_ok() && x.shape() == shape {
        return x.clone();
    }
    apply(Op::Reshape { shape: shape.into() }, &[x], loc)
}

pub(crate) fn transpose_at(x: &Tensor, perm: &[usize], loc: &Loc) -> Tensor {
    if x.check().is_ok() && perm.len() == x.ndim() && perm.iter().enumerate().all(|(i, &p)| i == p) {
        return x.clone();
    }
    apply(Op::Transpose { perm: perm.into() }, &[x], loc)
}

pub(crate) fn concatenate_at(parts: &[Tensor], axis: usize, loc: &Loc) -> Tensor {
    if let [one] = parts {
        return one.clone();
    }
    apply(Op::Concatenate { axis }, &parts.iter().collect::<Vec<_>>(), loc)
}

/// Elements `start, start + stride, .. < limit` of one axis.
pub(crate) fn slice_axis_at(
    x: &Tensor,
    axis: usize,
    start: usize,
    limit: usize,
    stride: usize,
    loc: &Loc,
) -> Result<Tensor> {
    x.check()?;
    let axis = resolve_axis("slice_axis", i64::try_from(axis).unwrap_or(i64::MAX), x.ty_ref())?;
    if (start, limit, stride) == (0, x.shape()[axis], 1) {
        return Ok(x.clone());
    }
    let mut op = (Shape::from_elem(0, x.ndim()), Shape::from(x.shape()), Shape::from_elem(1, x.ndim()));
    (op.0[axis], op.1[axis], op.2[axis]) = (start, limit, stride);
    Ok(apply(Op::Slice { start: op.0, limit: op.1, stride: op.2 }, &[x], loc))
}

/// The entries whose positions along both axes agree, as a new last axis; both axes disappear.
pub(crate) fn diagonal_at(x: &Tensor, a: usize, b: usize, loc: &Loc) -> Result<Tensor> {
    let n = x.shape()[a].min(x.shape()[b]);
    let x = slice_axis_at(&slice_axis_at(x, a, 0, n, 1, loc)?, b, 0, n, 1, loc)?;
    let mut perm: Shape = (0..x.ndim()).filter(|i| *i != a && *i != b).collect();
    let mut shape: Shape = perm.iter().map(|&i| x.shape()[i]).collect();
    perm.extend([a, b]);
    shape.push(n * n);
    let flat = reshape_at(&transpose_at(&x, &perm, loc), &shape, loc);
    // entry (i, i) of an n by n matrix stands at i * (n + 1)
    slice_axis_at(&flat, shape.len() - 1, 0, n * n, n + 1, loc)
}

/// An axis of length 1 at `axis` of the result.
pub(crate) fn insert_axes(x: &Tensor, axes: &Axes, loc: &Loc) -> Result<Tensor> {
    x.check()?;
    let op = "expand_dims";
    let Axes::Listed(axes) = axes else {
        return Err(Error::user(op, "`..` does not say where the new axis goes").help("give its position"));
    };
    let rank = x.ndim() + axes.len();
    let mut new = Shape::new();
    for &a in axes {
        let at = axis_below(a, rank).ok_or_else(|| {
            Error::user(op, format!("axis {a} is out of range for a result of rank {rank}")).help(format!(
                "valid axes are {}..={}",
                -(rank as i64),
                rank as i64 - 1
            ))
        })?;
        if new.contains(&at) {
            return Err(Error::user(op, format!("axis {at} is listed twice in {axes:?}")));
        }
        new.push(at);
    }
    let mut old = x.shape().iter().copied();
    let shape: Shape = (0..rank).map(|i| if new.contains(&i) { 1 } else { old.next().unwrap_or(1) }).collect();
    Ok(reshape_at(x, &shape, loc))
}

/// `op(row, column + k)` over the last two axes of `shape`.
pub(crate) fn triangle(op: Comparison, shape: &[usize], k: i64, loc: &Loc) -> Tensor {
    let r = shape.len();
    let iota = |axis| apply(Op::Iota { dtype: DType::I64, shape: shape[r - 2..].into(), axis }, &[], loc);
    let k = scalar_at(DType::I64, k.clamp(-(1 << 50), 1 << 50) as f64, loc);
    let shifted = binary_at(Binary::Add, &iota(0), &k, loc);
    broadcast_at(&compare_at(op, &shifted, &iota(1), loc), shape, loc)
}

fn triangular(name: &str, op: Comparison, x: &Tensor, k: i64, loc: &Loc) -> Result<Tensor> {
    x.check()?;
    if x.ndim() < 2 {
        return Err(Error::user(name, format!("{} is not a matrix", x.ty_ref())).help("it needs at least two axes"));
    }
    let keep = triangle(op, x.shape(), k, loc);
    Ok(apply(Op::Select {}, &[&keep, x, &full_at(x.ty_ref(), 0.0, loc)], loc))
}

fn inferred_shape(x: &Type, dims: &[i64]) -> Result<Shape> {
    let op = "reshape";
    let holes = dims.iter().filter(|d| **d == -1).count();
    if holes > 1 || dims.iter().any(|d| *d < -1) {
        return Err(Error::user(op, format!("axis lengths {dims:?} must not be negative"))
            .help("one axis may be -1, which stands for what is left"));
    }
    let known = dims.iter().filter(|d| **d != -1).try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
    let left = match known {
        Some(k) if holes == 1 && k > 0 && x.numel().is_multiple_of(k) => x.numel() / k,
        _ if holes == 0 => 0,
        _ => {
            return Err(Error::user(
                op,
                format!("no length for -1 in {dims:?} makes the {} elements of {x}", x.numel()),
            ));
        }
    };
    Ok(dims.iter().map(|&d| usize::try_from(d).unwrap_or(left)).collect())
}

impl Tensor {
    /// The same elements in row-major order under another shape; one axis may be -1, which stands for what is left.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::arange(6).reshape([2, -1]).shape(), [2, 3]);
    /// ```
    #[track_caller]
    pub fn reshape(&self, shape: impl IntoShape) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            Ok(reshape_at(self, &inferred_shape(self.ty_ref(), &shape.dims())?, &loc))
        };
        settle(&loc, run())
    }

    /// All elements as a vector.
    #[track_caller]
    pub fn flatten(&self) -> Tensor {
        reshape_at(self, &[self.size()], &Loc::caller())
    }

    /// Result axis `i` is axis `perm[i]`; `..` reverses all axes.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::zeros([2, 3, 4]);
    /// assert_eq!(x.transpose([2, 0, 1]).shape(), [4, 2, 3]);
    /// assert_eq!(x.transpose(..).shape(), [4, 3, 2]);
    /// ```
    #[track_caller]
    pub fn transpose(&self, perm: impl IntoAxes) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let perm = match perm.axes() {
                Axes::All => (0..self.ndim()).rev().collect(),
                listed => resolve_axes("transpose", &listed, self.ty_ref())?,
            };
            if perm.len() != self.ndim() {
                return Err(Error::user(
                    "transpose",
                    format!("permutation {perm:?} does not list every axis of {}", self.ty_ref()),
                )
                .help("list each axis once; to exchange two axes use `swapaxes`"));
            }
            Ok(transpose_at(self, &perm, &loc))
        };
        settle(&loc, run())
    }

    /// The same as [`Tensor::transpose`].
    #[track_caller]
    pub fn permute(&self, perm: impl IntoAxes) -> Tensor {
        self.transpose(perm)
    }

    /// All axes in reverse order; the transpose of a matrix.
    #[track_caller]
    pub fn t(&self) -> Tensor {
        self.transpose(..)
    }

    /// The last two axes exchanged: the transpose of each matrix of a stack.
    #[track_caller]
    pub fn mt(&self) -> Tensor {
        self.swapaxes(-1, -2)
    }

    /// Two axes exchanged.
    #[track_caller]
    pub fn swapaxes(&self, a: i64, b: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let [a, b] = [resolve_axis("swapaxes", a, self.ty_ref())?, resolve_axis("swapaxes", b, self.ty_ref())?];
            let mut perm: Shape = (0..self.ndim()).collect();
            perm.swap(a, b);
            Ok(transpose_at(self, &perm, &loc))
        };
        settle(&loc, run())
    }

    /// A new axis of length 1 at each of `axes` of the result.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::zeros([2, 3]);
    /// assert_eq!(x.expand_dims(-1).shape(), [2, 3, 1]);
    /// assert_eq!(x.expand_dims([0, 2]).shape(), [1, 2, 1, 3]);
    /// ```
    #[track_caller]
    pub fn expand_dims(&self, axes: impl IntoAxes) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, insert_axes(self, &axes.axes(), &loc))
    }

    /// Removes axes of length 1; `..` removes every such axis.
    #[track_caller]
    pub fn squeeze(&self, axes: impl IntoAxes) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let axes = match axes.axes() {
                Axes::All => (0..self.ndim()).filter(|&a| self.shape()[a] == 1).collect(),
                listed => resolve_axes("squeeze", &listed, self.ty_ref())?,
            };
            if let Some(&a) = axes.iter().find(|&&a| self.shape()[a] != 1) {
                let what = format!("axis {a} of {} has length {}, not 1", self.ty_ref(), self.shape()[a]);
                return Err(
                    Error::user("squeeze", what).help("only axes of length 1 can be removed; reduce or index it")
                );
            }
            let shape: Shape = (0..self.ndim()).filter(|a| !axes.contains(a)).map(|a| self.shape()[a]).collect();
            Ok(reshape_at(self, &shape, &loc))
        };
        settle(&loc, run())
    }

    /// The tensors one after the other along an axis.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::arange(2);
    /// assert_eq!(Tensor::concatenate(&[x.clone(), x], 0).to_vec::<i32>().unwrap(), [0, 1, 0, 1]);
    /// ```
    #[track_caller]
    pub fn concatenate(parts: &[Tensor], axis: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            let first = parts.first().ok_or_else(|| Error::user("concatenate", "there are no tensors to join"))?;
            parts.iter().try_for_each(Tensor::check)?;
            let axis = resolve_axis("concatenate", axis, first.ty_ref())?;
            Ok(concatenate_at(parts, axis, &loc))
        };
        settle(&loc, run())
    }

    /// The tensors, all of one shape, side by side along a new axis.
    #[track_caller]
    pub fn stack(parts: &[Tensor], axis: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            let op = "stack";
            let first = parts.first().ok_or_else(|| Error::user(op, "there are no tensors to join"))?;
            let rank = first.ndim() + 1;
            let mut rows = Vec::with_capacity(parts.len());
            for p in parts {
                p.check()?;
                if p.shape() != first.shape() {
                    let e = Error::shape_mismatch(op, first.ty_ref(), p.ty_ref(), "all must have one shape");
                    return Err(e.help("to join along an existing axis use `concatenate`"));
                }
                rows.push(insert_axes(p, &Axes::Listed(vec![axis]), &loc)?);
            }
            let axis = axis_below(axis, rank).unwrap_or(0);
            Ok(concatenate_at(&rows, axis, &loc))
        };
        settle(&loc, run())
    }

    /// `n` equal parts along an axis.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let parts = Tensor::arange(6).split(3, 0);
    /// assert_eq!(parts[1].to_vec::<i32>().unwrap(), [2, 3]);
    /// ```
    #[track_caller]
    pub fn split(&self, n: usize, axis: i64) -> Vec<Tensor> {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let a = resolve_axis("split", axis, self.ty_ref())?;
            let len = self.shape()[a];
            if n == 0 || !len.is_multiple_of(n) {
                return Err(Error::user("split", format!("axis {a} of {} has no {n} equal parts", self.ty_ref()))
                    .help("for unequal parts use `split_at`"));
            }
            let part = len / n;
            (0..n).map(|i| slice_axis_at(self, a, i * part, (i + 1) * part, 1, &loc)).collect::<Result<Vec<_>>>()
        };
        // as many erroneous parts as were asked for, so that `parts[1]` still carries the reason
        run().unwrap_or_else(|e| vec![Tensor::failed(e.at(&loc)); n.clamp(1, 4096)])
    }

    /// The parts of an axis before, between and after the given positions.
    #[track_caller]
    pub fn split_at(&self, positions: &[usize], axis: i64) -> Vec<Tensor> {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let a = resolve_axis("split_at", axis, self.ty_ref())?;
            let ends: Vec<usize> = positions.iter().copied().chain([self.shape()[a]]).collect();
            if ends.windows(2).any(|w| w[0] > w[1]) {
                return Err(Error::user(
                    "split_at",
                    format!("positions {positions:?} must ascend within axis {a} of {}", self.ty_ref()),
                ));
            }
            let mut start = 0;
            let mut parts = Vec::with_capacity(ends.len());
            for end in ends {
                parts.push(slice_axis_at(self, a, start, end, 1, &loc)?);
                start = end;
            }
            Ok(parts)
        };
        run().unwrap_or_else(|e: Error| vec![Tensor::failed(e.at(&loc)); positions.len() + 1])
    }

    /// Elements `start..limit` of one axis.
    #[track_caller]
    pub fn slice_axis(&self, axis: usize, start: usize, limit: usize) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, slice_axis_at(self, axis, start, limit, 1, &loc))
    }

    /// Rows `from, from + step, .. < to`.
    #[track_caller]
    pub(crate) fn slice_rows(&self, from: usize, to: usize, step: usize) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, slice_axis_at(self, 0, from, to, step, &loc))
    }

    /// `n` rows, taken in turn from `even` and `odd`.
    #[track_caller]
    pub(crate) fn interleave_rows(even: &Tensor, odd: &Tensor, n: usize) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            even.check()?;
            odd.check()?;
            let rows = n.div_ceil(2);
            if even.shape().first() != Some(&rows) || odd.shape().first() != Some(&(n / 2)) {
                let what = format!("{} and {} do not alternate to {n} rows", even.ty_ref(), odd.ty_ref());
                return Err(Error::internal("interleave_rows", what));
            }
            // a missing last odd row is made up and cut off again
            let mut widths = vec![(0, 0); odd.ndim()];
            widths[0].1 = (rows - n / 2) as i64;
            let odd = odd.pad_at(&widths, &scalar_at(odd.dtype(), 0.0, &loc), &loc)?;
            let pair = |x: &Tensor| insert_axes(x, &Axes::Listed(vec![1]), &loc);
            let pairs = concatenate_at(&[pair(even)?, pair(&odd)?], 1, &loc);
            let mut shape = Shape::from(even.shape());
            shape[0] = 2 * rows;
            slice_axis_at(&reshape_at(&pairs, &shape, &loc), 0, 0, n, 1, &loc)
        };
        settle(&loc, run())
    }

    pub(crate) fn pad_at(&self, widths: &[(i64, i64)], value: &Tensor, loc: &Loc) -> Result<Tensor> {
        self.check()?;
        if widths.len() != self.ndim() {
            return Err(Error::user("pad", format!("{} pairs of widths for {}", widths.len(), self.ty_ref()))
                .help("give one (low, high) pair an axis"));
        }
        if widths.iter().all(|w| *w == (0, 0)) {
            return Ok(self.clone());
        }
        let (low, high) = widths.iter().copied().unzip();
        Ok(apply(Op::Pad { low, high, interior: Shape::from_elem(0, self.ndim()) }, &[self, value], loc))
    }

    /// Elements of `value` before and after each axis; negative widths crop.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::arange(2).pad(&[(1, 2)], 9);
    /// assert_eq!(x.to_vec::<i32>().unwrap(), [9, 0, 1, 9, 9]);
    /// ```
    #[track_caller]
    pub fn pad(&self, widths: &[(i64, i64)], value: impl Operand) -> Tensor {
        let loc = Loc::caller();
        let run = || self.pad_at(widths, &value.with_dtype(self.dtype(), &loc), &loc);
        settle(&loc, run())
    }

    /// The elements of each of `axes` back to front.
    #[track_caller]
    pub fn flip(&self, axes: impl IntoAxes) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let axes = resolve_axes("flip", &axes.axes(), self.ty_ref())?;
            Ok(if axes.is_empty() { self.clone() } else { apply(Op::Reverse { axes }, &[self], &loc) })
        };
        settle(&loc, run())
    }

    /// Each element of an axis `n` times in a row.
    #[track_caller]
    pub fn repeat(&self, n: usize, axis: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let a = resolve_axis("repeat", axis, self.ty_ref())?;
            let mut wide = Shape::from(self.shape());
            wide.insert(a + 1, n);
            let dims = (0..=self.ndim()).filter(|i| *i != a + 1).collect();
            let mut shape = Shape::from(self.shape());
            shape[a] = times("repeat", shape[a], n)?;
            let wide = apply(Op::Broadcast { shape: wide, dims }, &[self], &loc);
            Ok(reshape_at(&wide, &shape, &loc))
        };
        settle(&loc, run())
    }

    /// The whole array `reps[i]` times along axis `i`, axes aligned at the end.
    #[track_caller]
    pub fn tile(&self, reps: &[usize]) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let rank = self.ndim().max(reps.len());
            let padded = |s: &[usize], i: usize| if i + s.len() >= rank { s[i + s.len() - rank] } else { 1 };
            let (mut wide, mut dims, mut shape) = (Shape::new(), Shape::new(), Shape::new());
            for i in 0..rank {
                let (r, n) = (padded(reps, i), padded(self.shape(), i));
                wide.extend([r, n]);
                if i + self.ndim() >= rank {
                    dims.push(2 * i + 1);
                }
                shape.push(times("tile", n, r)?);
            }
            let wide = apply(Op::Broadcast { shape: wide, dims }, &[self], &loc);
            Ok(reshape_at(&wide, &shape, &loc))
        };
        settle(&loc, run())
    }

    /// The same bits as another dtype of the same size.
    #[track_caller]
    pub fn bitcast(&self, dtype: DType) -> Tensor {
        apply(Op::Bitcast { dtype }, &[self], &Loc::caller())
    }

    /// Zeros above the `k`-th diagonal of the last two axes (0 is the main one, positive ones lie above it).
    #[track_caller]
    pub fn tril(&self, k: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, triangular("tril", Comparison::Ge, self, k, &loc))
    }

    /// Zeros below the `k`-th diagonal of the last two axes.
    #[track_caller]
    pub fn triu(&self, k: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, triangular("triu", Comparison::Le, self, k, &loc))
    }

    /// The f32 identity matrix.
    #[track_caller]
    pub fn eye(n: usize) -> Tensor {
        let loc = Loc::caller();
        apply(Op::Convert { dtype: DType::F32 }, &[&triangle(Comparison::Eq, &[n, n], 0, &loc)], &loc)
    }

    /// 1 at the position each integer names along a new last axis of length `classes`, else 0.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let hot = Tensor::from_vec(vec![2, 0]).one_hot(3, DType::F32);
    /// assert_eq!(hot.to_vec::<f32>().unwrap(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn one_hot(&self, classes: usize, dtype: DType) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            if !self.dtype().is_int() {
                return Err(Error::bad_dtype("one_hot", self.dtype(), "an integer"));
            }
            let wide = apply(Op::Convert { dtype: DType::I64 }, &[self], &loc);
            let wide = insert_axes(&wide, &Axes::Listed(vec![-1]), &loc)?;
            let shape = plain_shape("one_hot", [classes])?;
            let iota = apply(Op::Iota { dtype: DType::I64, shape, axis: 0 }, &[], &loc);
            let hot = compare_at(Comparison::Eq, &wide, &iota, &loc);
            Ok(apply(Op::Convert { dtype }, &[&hot], &loc))
        };
        settle(&loc, run())
    }
}

pub(crate) fn times(op: &str, n: usize, k: usize) -> Result<usize> {
    n.checked_mul(k).ok_or_else(|| Error::limit(op, format!("an axis of length {n} x {k}")))
}
