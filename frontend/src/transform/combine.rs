//! Reductions, windows and sorts by a function of the user's own, over one or several tensors at once.
//!
//! The function is given scalars and mapped over all pairs; what remains are ordinary programs of slices and calls,
//! a logarithmic number of them, which differentiate, batch and compile as any other.

use super::map::vmap;
use crate::tensor::axes::{resolve_axes, resolve_axis};
use crate::tensor::{IntoAxes, Padding, Tensor};
use crate::trace::{fill_error, template};
use crate::tree::Tree;
use gradloom_ir::{DType, Error, Loc, Result};

/// The shape that all leaves have, or why there is none.
fn common_shape<X: Tree>(op: &str, xs: &X) -> Result<Vec<usize>> {
    let leaves = xs.leaves();
    leaves.iter().try_for_each(Tensor::check)?;
    let first = leaves.first().ok_or_else(|| Error::user(op, "needs at least one tensor"))?;
    match leaves.iter().find(|t| t.shape() != first.shape()) {
        Some(other) => {
            Err(Error::shape_mismatch(op, first.ty_ref(), other.ty_ref(), "all tensors must have one shape"))
        }
        None => Ok(first.shape().to_vec()),
    }
}

/// The init must be scalars of the dtypes of `xs`, and `f` must give the same.
fn check_init<X: Tree>(op: &str, f: &impl Fn(&X, &X) -> X, init: &X, xs: &X) -> Result<()> {
    let (a, b) = (init.leaves(), xs.leaves());
    a.iter().try_for_each(Tensor::check)?;
    if a.len() != b.len() {
        return Err(Error::user(op, format!("{} initial values for {} tensors", a.len(), b.len())));
    }
    for (init, x) in a.iter().zip(&b) {
        if init.ndim() != 0 || init.dtype() != x.dtype() {
            let what = format!("the initial value of {} is {}", x.ty(), init.ty());
            return Err(Error::user(op, what).help("give a scalar of the tensor's dtype"));
        }
    }
    for (y, init) in template(init, |init| f(init, init)).leaves().iter().zip(&a) {
        y.check()?;
        if y.ty_ref() != init.ty_ref() {
            let what = format!("the function makes {} of two {}", y.ty(), init.ty());
            return Err(Error::user(op, what).help("it must return what it is given: one scalar for each tensor"));
        }
    }
    Ok(())
}

/// `f` on all pairs of elements of trees whose leaves have one shape.
#[track_caller]
fn on_pairs<X: Tree>(f: &impl Fn(&X, &X) -> X, a: &X, b: &X) -> X {
    let shape = a.leaves().first().map(|t| t.shape().to_vec()).unwrap_or_default();
    let flat = |x: &X| x.map(Tensor::flatten);
    vmap(|(a, b): &(X, X)| f(a, b))(&(flat(a), flat(b))).map(|t| t.reshape(&shape[..]))
}

/// Combines all elements along `axes` by an associative function, in several tensors of one shape at once.
///
/// `f(a, b)` is given trees of scalars, `a` from before `b`; `init` is combined once, in front. The combination is a
/// tree of depth log n, so `f` must be associative up to what the user tolerates.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// // the greatest value and where it is, in one pass
/// let x = Tensor::from([3.0f32, 9.0, 4.0, 9.0]);
/// let best = |a: &(Tensor, Tensor), b: &(Tensor, Tensor)| {
///     let first = a.0.ge(&b.0);
///     (first.select(&a.0, &b.0), first.select(&a.1, &b.1))
/// };
/// let init = (Tensor::from(f32::NEG_INFINITY), Tensor::from(-1));
/// let (value, at) = reduce_with(best, &init, &(x, Tensor::arange(4)), ..);
/// assert_eq!((value.item::<f32>()?, at.item::<i32>()?), (9.0, 1));
/// # Ok::<(), gradloom::Error>(())
/// ```
///
/// # Errors
/// If the tensors differ in shape, an initial value is no scalar of its tensor's dtype, or `f` returns other types.
#[track_caller]
pub fn reduce_with<X: Tree>(f: impl Fn(&X, &X) -> X, init: &X, xs: &X, axes: impl IntoAxes) -> X {
    let loc = Loc::caller();
    let op = "reduce_with";
    let checked = || {
        let shape = common_shape(op, xs)?;
        check_init(op, &f, init, xs)?;
        let first = xs.leaves().swap_remove(0);
        Ok((resolve_axes(op, &axes.axes(), first.ty_ref())?, shape))
    };
    let (axes, shape) = match checked() {
        Ok(known) => known,
        Err(e) => return fill_error(xs, e, &loc),
    };
    let kept: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
    let mut axes = axes.to_vec();
    axes.sort_unstable();
    let order: Vec<usize> = axes.iter().chain(&kept).copied().collect();
    let n: usize = axes.iter().map(|&a| shape[a]).product();
    let rest: Vec<usize> = kept.iter().map(|&a| shape[a]).collect();
    let stacked: Vec<usize> = std::iter::once(n).chain(rest.iter().copied()).collect();
    let mut x = xs.map(|t| t.permute(&order).reshape(&stacked[..]));
    let start = init.map(|t| t.broadcast_to(&rest[..]));
    let mut left = n;
    while left > 1 {
        let rows = |x: &X, from: usize, step: usize| x.map(|t| t.slice_rows(from, left - left % 2, step));
        let pairs = on_pairs(&f, &rows(&x, 0, 2), &rows(&x, 1, 2));
        x = if left.is_multiple_of(2) {
            pairs
        } else {
            pairs.zip_map(&x, |t, x| Tensor::concatenate(&[t.clone(), x.slice_rows(left - 1, left, 1)], 0))
        };
        left = left.div_ceil(2);
    }
    if left == 0 { start } else { on_pairs(&f, &start, &x.map(|t| t.reshape(&rest[..]))) }
}

/// Combines the elements of a window that slides over all axes by an associative function; padding counts as `init`,
/// which should change nothing. `f` as for [`reduce_with`].
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Padding, prelude::*};
/// let x = Tensor::from([1.0f32, 2.0, 3.0, 4.0]);
/// let y = reduce_window_with(|a: &Tensor, b: &Tensor| a * b, &Tensor::from(1.0f32), &x, &[3], &[1], &Padding::Valid);
/// assert_eq!(y.to_vec::<f32>()?, [6.0, 24.0]);
/// # Ok::<(), gradloom::Error>(())
/// ```
///
/// # Errors
/// As [`reduce_with`], and if window, strides and padding do not fit the shape.
#[track_caller]
pub fn reduce_window_with<X: Tree>(
    f: impl Fn(&X, &X) -> X,
    init: &X,
    xs: &X,
    window: &[usize],
    strides: &[usize],
    padding: &Padding,
) -> X {
    let loc = Loc::caller();
    let op = "reduce_window_with";
    let checked = || {
        let shape = common_shape(op, xs)?;
        check_init(op, &f, init, xs)?;
        if [window.len(), strides.len()] != [shape.len(); 2] || window.iter().chain(strides).any(|&n| n == 0) {
            let what = format!("window {window:?} and strides {strides:?} over shape {shape:?}");
            return Err(Error::user(op, what).help("give one length and one stride, at least 1, for each axis"));
        }
        padding.widths(op, &shape, window, strides)
    };
    let widths = match checked() {
        Ok(widths) => widths,
        Err(e) => return fill_error(xs, e, &loc),
    };
    let mut x = xs.zip_map(init, |t, init| t.pad(&widths, init));
    for (axis, (&w, &s)) in window.iter().zip(strides).enumerate() {
        x = x.map(|t| t.move_axis(axis as i64, 0));
        x = slide(&f, &x, w, s).map(|t| t.move_axis(0, axis as i64));
    }
    x
}

/// The windows of `w` rows, every `s`-th of them: windows of powers of two by doubling, put together by the bits of `w`.
#[track_caller]
fn slide<X: Tree>(f: &impl Fn(&X, &X) -> X, x: &X, w: usize, s: usize) -> X {
    let n = x.leaves().first().map_or(0, |t| t.shape()[0]);
    let rows = |x: &X, from: usize, count: usize| x.map(|t| t.slice_rows(from, from + count, 1));
    let Some(count) = (n + 1).checked_sub(w).filter(|&c| c > 0) else { return rows(x, 0, 0) };
    let (mut power, mut length) = (x.map(Tensor::clone), 1);
    let mut done: Option<(X, usize)> = None;
    loop {
        if w & length != 0 {
            done = Some(match done {
                None => (rows(&power, 0, count), length),
                Some((y, covered)) => (on_pairs(f, &y, &rows(&power, covered, count)), covered + length),
            });
        }
        if 2 * length > w {
            break;
        }
        let there = n - 2 * length + 1;
        power = on_pairs(f, &rows(&power, 0, there), &rows(&power, length, there));
        length *= 2;
    }
    match done {
        Some((y, _)) => y.map(|t| t.slice_rows(0, count, s)),
        None => rows(x, 0, 0),
    }
}

/// Sorts several tensors of one shape along `axis` by an order of the user's own: `less(a, b)` is given trees of
/// scalars and says (a bool scalar) whether `a` must stand before `b`. Stable.
///
/// A bitonic network of log^2 n steps over the whole axis (Batcher 1968), equal elements kept apart by their positions:
/// for orders that [`Tensor::sort`] and [`Tensor::lexsort`] do not offer.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let x = Tensor::from([3, -1, 2, -3]);
/// let y = sort_with(|a: &Tensor, b: &Tensor| a.abs().lt(b.abs()), &x, 0);
/// assert_eq!(y.to_vec::<i32>()?, [-1, 2, 3, -3]);
/// # Ok::<(), gradloom::Error>(())
/// ```
///
/// # Errors
/// If the tensors differ in shape, or `less` does not return one bool scalar.
#[track_caller]
pub fn sort_with<X: Tree>(less: impl Fn(&X, &X) -> Tensor, xs: &X, axis: i64) -> X {
    let loc = Loc::caller();
    let op = "sort_with";
    let checked = || {
        let shape = common_shape(op, xs)?;
        let first = xs.leaves().swap_remove(0);
        let scalars = xs.map(|t| Tensor::full((), 0, t.dtype()));
        let said = template(&scalars, |x| less(x, x));
        said.check()?;
        if said.dtype() != DType::Bool || said.ndim() != 0 {
            let what = format!("the order gives {} for two elements", said.ty());
            return Err(Error::user(op, what).help("return one bool: whether the first must stand before the second"));
        }
        Ok((resolve_axis(op, axis, first.ty_ref())?, shape))
    };
    let (a, shape) = match checked() {
        Ok(known) => known,
        Err(e) => return fill_error(xs, e, &loc),
    };
    let n = shape[a];
    if n < 2 || shape.contains(&0) {
        return xs.map(Tensor::clone);
    }
    let columns = shape.iter().product::<usize>() / n;
    let moved: Vec<usize> = std::iter::once(n).chain((0..shape.len()).filter(|&i| i != a).map(|i| shape[i])).collect();
    let size = n.next_power_of_two();
    // rows beyond the end repeat the last one; their positions put them last
    let inside = Tensor::arange(size).clip(0, n as i32 - 1);
    let rows = xs.map(|t| t.move_axis(axis, 0).reshape([n, columns]).take(&inside, 0));
    let position = Tensor::iota([size, columns], 0, DType::I32);
    let flat = |t: &Tensor| t.flatten();
    let before = |x: &X, i: &Tensor, y: &X, j: &Tensor| -> Tensor {
        let pair = |p: &X, q: &X| vmap(|(p, q): &(X, X)| less(p, q))(&(p.map(flat), q.map(flat)));
        let (first, second) = (pair(x, y).reshape([size, columns]), pair(y, x).reshape([size, columns]));
        let by_order = first | (!second & i.lt(j));
        let absent = |i: &Tensor| i.ge(n as i32);
        absent(i).ne(absent(j)).select(absent(j), absent(i).select(i.lt(j), by_order))
    };
    let mut steps = Vec::new();
    for k in (1..=size.ilog2()).map(|b| 1i32 << b) {
        steps.extend((0..k.ilog2()).rev().map(|b| (k, 1i32 << b)));
    }
    let (blocks, distances): (Vec<i32>, Vec<i32>) = steps.into_iter().unzip();
    let place = Tensor::arange(size);
    let stage = |state: &(X, Tensor), step: &(Tensor, Tensor)| {
        let partner = &place ^ &step.1;
        let (x, i) = state;
        let (y, j) = (x.map(|t| t.take(&partner, 0)), i.take(&partner, 0));
        let ascending = (&place & &step.0).eq(0);
        let low = place.lt(&partner);
        let want_first = low.eq(ascending).reshape([size as i64, 1]).broadcast_to([size, columns]);
        let keep = want_first.eq(before(x, i, &y, &j));
        let chosen = x.zip_map(&y, |t, other| keep.select(t, other));
        ((chosen, keep.select(i, &j)), ())
    };
    let ((sorted, _), ()) =
        super::scan(stage, &(rows, position), &(Tensor::from_vec(blocks), Tensor::from_vec(distances)));
    sorted.map(|t| t.slice_rows(0, n, 1).reshape(&moved[..]).move_axis(0, axis))
}
