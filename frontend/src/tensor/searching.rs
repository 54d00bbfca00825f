//! Finding and counting: binary search, interpolation, histograms, positions of what is true, distinct elements.

use super::checks::{self, position_dtype, settled, settled_all, settled_list};
use super::gathering::scatter_rows;
use super::sorting::sort_many;
use super::{Operand, Tensor};
use gradloom_ir::{DType, Error, Loc, Result, ScatterKind};

/// `a < b` in the order of sorting: NaN is greater than all numbers.
#[track_caller]
fn sorts_before(a: &Tensor, b: &Tensor) -> Tensor {
    let less = a.lt(b);
    if a.dtype().is_float() { less | (b.ne(b) & a.eq(a)) } else { less }
}

/// For each of `values` the number of elements of the ascending vector `sorted` that are less, or, with `or_equal`, not
/// greater: a binary search with one step for each bit of the length.
#[track_caller]
pub(crate) fn count_below(sorted: &Tensor, values: &Tensor, or_equal: bool) -> Result<Tensor> {
    let n = checks::vector("searchsorted", sorted)?;
    let dtype = position_dtype(n);
    let mut count = Tensor::full(values.shape(), 0, dtype);
    let mut stride = if n == 0 { 0 } else { 1usize << n.ilog2() };
    while stride > 0 {
        let next = &count + stride;
        let probe = sorted.take(&(next.minimum(n) - 1), 0);
        let passes = if or_equal { !sorts_before(values, &probe) } else { sorts_before(&probe, values) };
        count = (next.le(n) & passes).select(&next, &count);
        stride /= 2;
    }
    Ok(count)
}

/// Which side of equal elements [`Tensor::searchsorted`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before all of them.
    Left,
    /// After all of them.
    Right,
}

#[track_caller]
fn searchsorted(sorted: &Tensor, values: &Tensor, side: Side) -> Result<Tensor> {
    let op = "searchsorted";
    checks::vector(op, sorted)?;
    checks::same_dtype(op, sorted, values)?;
    if sorted.dtype().is_complex() {
        checks::real(op, sorted)?;
    }
    count_below(sorted, values, side == Side::Right)
}

/// What [`interp`] gives outside the range of its points.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Outside {
    /// The value at the nearest point.
    #[default]
    Nearest,
    /// These numbers, below and above.
    Fill(f64, f64),
    /// The function goes on with this period; the points need not be sorted.
    Period(f64),
}

#[track_caller]
fn interp_points(x: &Tensor, xp: &Tensor, fp: &Tensor, outside: Outside) -> Result<Tensor> {
    let op = "interp";
    checks::float(op, x)?;
    checks::same_dtype(op, x, xp)?;
    checks::same_dtype(op, x, fp)?;
    let n = checks::vector(op, xp)?;
    if fp.shape() != [n] {
        return Err(Error::shape_mismatch(op, xp.ty_ref(), fp.ty_ref(), "there must be one value a point"));
    }
    if n == 0 {
        return Err(Error::user(op, "there are no points to interpolate between").help("give at least one point"));
    }
    let Outside::Period(period) = outside else { return interp_sorted(x, xp, fp, n, outside) };
    if period == 0.0 || !period.is_finite() {
        return Err(Error::user(op, format!("{period} is no period")).help("it must be finite and not 0"));
    }
    let period = period.abs();
    let (x, xp) = (x.remainder(period), xp.remainder(period));
    let order = xp.argsort(0);
    let (xp, fp) = (xp.take(&order, 0), fp.take(&order, 0));
    // one point more at each end, a period away
    let xp = Tensor::concatenate(&[xp.i(-1..) - period, xp.clone(), xp.i(..1) + period], 0);
    let fp = Tensor::concatenate(&[fp.i(-1..), fp.clone(), fp.i(..1)], 0);
    interp_sorted(&x, &xp, &fp, n + 2, Outside::Nearest)
}

#[track_caller]
fn interp_sorted(x: &Tensor, xp: &Tensor, fp: &Tensor, n: usize, outside: Outside) -> Result<Tensor> {
    let at = count_below(xp, x, true)?.clip(1, (n - 1).max(1));
    let left = &at - 1;
    let (x0, y0) = (xp.take(&left, 0), fp.take(&left, 0));
    let (dx, dy) = (xp.take(&at, 0) - &x0, fp.take(&at, 0) - &y0);
    // points that coincide have no slope between them
    let flat = dx.eq(0.0);
    let inside = &y0 + flat.select(0.0, (x - &x0) / flat.select(1.0, &dx)) * dy;
    let (first, last) = (xp.i(0), xp.i(-1));
    let (below, above) = (x.lt(&first), x.gt(&last));
    Ok(match outside {
        Outside::Fill(low, high) => above.select(high, below.select(low, inside)),
        _ => above.select(fp.i(-1), below.select(fp.i(0), inside)),
    })
}

/// Linear interpolation of the function that has values `fp` at the ascending points `xp`, at every element of `x`.
/// It has derivatives in all three.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Outside, interp, prelude::*};
/// let (xp, fp) = (Tensor::from([0.0f32, 1.0, 3.0]), Tensor::from([0.0f32, 10.0, 30.0]));
/// let y = interp(&Tensor::from([0.5f32, 2.0, 9.0]), &xp, &fp, Outside::Nearest);
/// assert_eq!(y.to_vec::<f32>().unwrap(), [5.0, 20.0, 30.0]);
/// ```
#[track_caller]
pub fn interp(x: &Tensor, xp: &Tensor, fp: &Tensor, outside: Outside) -> Tensor {
    settled(interp_points(x, xp, fp, outside))
}

/// Sums of `weights` (or counts, as `dtype`) at positions `at` of a vector of length `n`; other positions are left out.
#[track_caller]
fn tally(op: &str, at: &Tensor, weights: Option<&Tensor>, dtype: DType, n: usize) -> Result<Tensor> {
    let weights = match weights {
        None => Tensor::full(at.shape(), 1, dtype),
        Some(w) => {
            checks::number(op, w)?;
            if w.shape() != at.shape() {
                let why = "there must be one weight an element";
                return Err(Error::shape_mismatch(op, at.ty_ref(), w.ty_ref(), why));
            }
            w.clone()
        }
    };
    let zeros = Tensor::full([n], 0, weights.dtype());
    Ok(scatter_rows(ScatterKind::Add, &zeros, &at.flatten(), &weights.flatten(), &Loc::caller()))
}

#[track_caller]
fn histogram(x: &Tensor, bins: usize, range: Option<(f64, f64)>, weights: Option<&Tensor>) -> Result<[Tensor; 2]> {
    let op = "histogram";
    checks::float(op, x)?;
    if x.dtype().is_half() {
        // 16 bits do not number many bins
        let [counts, edges] = histogram(&x.to(DType::F32), bins, range, weights)?;
        let counts = if weights.is_none() { counts.to(x.dtype()) } else { counts };
        return Ok([counts, edges.to(x.dtype())]);
    }
    if bins == 0 || bins > 1 << 40 {
        return Err(Error::user(op, format!("{bins} bins")).help("ask for at least one bin"));
    }
    let (low, high) = match range {
        Some((low, high)) if low.is_finite() && high.is_finite() && low <= high => {
            (Tensor::full((), low, x.dtype()), Tensor::full((), high, x.dtype()))
        }
        Some((low, high)) => {
            return Err(Error::user(op, format!("no range leads from {low} to {high}"))
                .help("both ends must be finite, the lower one first"));
        }
        None if x.size() == 0 => (Tensor::full((), 0.0, x.dtype()), Tensor::full((), 1.0, x.dtype())),
        None => (x.min(..), x.max(..)),
    };
    // a range of no length becomes one of length 1 around it
    let point = low.eq(&high);
    let (low, high) = (point.select(&low - 0.5, &low), point.select(&high + 0.5, &high));
    let part = Tensor::iota([bins + 1], 0, x.dtype()) / (bins as f64);
    let edges = &low * (-&part + 1.0) + &high * &part;
    let last = Tensor::iota([bins + 1], 0, DType::I64).eq(bins);
    let edges = last.select(&high, edges);
    // bin i holds edges[i] <= x < edges[i + 1]; the last one holds its end as well
    let bin = count_below(&edges, x, true)? - 1;
    let bin = x.eq(&high).select(bins - 1, bin);
    let count_dtype = weights.map_or(x.dtype(), Tensor::dtype);
    Ok([tally(op, &bin, weights, count_dtype, bins)?, edges])
}

#[track_caller]
fn bincount(x: &Tensor, weights: Option<&Tensor>, length: usize) -> Result<Tensor> {
    let op = "bincount";
    checks::integer(op, x)?;
    tally(op, &x.maximum(0), weights, DType::I32, length)
}

/// The row-major positions of the first `size` true elements, and how many there are; places left over hold the number of all elements.
#[track_caller]
fn true_positions(mask: &Tensor, size: usize) -> (Tensor, Tensor) {
    let n = mask.size();
    let dtype = position_dtype(n.max(size));
    let mask = mask.flatten();
    let rank = mask.to(dtype).cumsum(0) - 1;
    let count = mask.to(dtype).sum(..);
    // each true element writes its position at its rank, the others nowhere
    let to = mask.select(&rank, -1);
    let at = Tensor::iota([n], 0, dtype);
    let none = Tensor::full([size], n, dtype);
    (scatter_rows(ScatterKind::Set, &none, &to, &at, &Loc::caller()), count)
}

#[track_caller]
fn as_mask(x: &Tensor) -> Tensor {
    if x.dtype() == DType::Bool { x.clone() } else { x.ne(0) }
}

#[track_caller]
fn nonzero(x: &Tensor, size: usize, fill: i64) -> Result<Vec<Tensor>> {
    x.check()?;
    if size > 1 << 40 {
        return Err(Error::limit("nonzero", format!("{size} positions")));
    }
    let dtype = position_dtype(x.size().max(size));
    let (at, count) = true_positions(&as_mask(x), size);
    let real = Tensor::iota([size], 0, dtype).lt(&count);
    let mut rest = x.size();
    let mut out = Vec::with_capacity(x.ndim());
    for &n in x.shape() {
        rest /= n.max(1);
        let coordinate = (&at / rest.max(1)) % n.max(1);
        out.push(real.select(coordinate, fill.clamp(-(1 << 30), 1 << 30)));
    }
    Ok(out)
}

/// Distinct elements of an array, of a length known beforehand; see [`Tensor::unique`].
#[derive(Clone, Debug)]
pub struct Unique {
    /// The distinct elements, ascending; NaNs count as one element, the last.
    pub values: Tensor,
    /// The row-major position at which each first occurs (0 counts for filled places).
    pub indices: Tensor,
    /// For each element of the array the position of its value in `values`; shaped like the array.
    pub inverse: Tensor,
    /// How often each occurs.
    pub counts: Tensor,
}

#[track_caller]
fn unique(x: &Tensor, size: usize, fill: Option<Tensor>) -> Result<[Tensor; 4]> {
    let op = "unique";
    x.check()?;
    let n = x.size();
    if size > 1 << 40 {
        return Err(Error::limit(op, format!("{size} values")));
    }
    if let Some(fill) = &fill {
        checks::same_dtype(op, x, fill)?;
        if fill.ndim() != 0 {
            return Err(Error::user(op, format!("the fill {} is no scalar", fill.ty_ref())));
        }
    }
    if n == 0 {
        let Some(fill) = fill.filter(|_| size > 0).or((size == 0).then(|| Tensor::full((), 0, x.dtype()))) else {
            return Err(Error::user(op, format!("{} has no elements to fill {size} places with", x.ty_ref()))
                .help("give a fill: `x.unique(size, Some(fill))`"));
        };
        let none = Tensor::full([size], 0, DType::I32);
        return Ok([fill.broadcast_to([size]), none.clone(), Tensor::full(x.shape(), 0, DType::I32), none]);
    }
    let loc = Loc::caller();
    let dtype = position_dtype(n.max(size));
    let flat = x.flatten();
    let sorted = sort_many(&[&flat, &Tensor::iota([n], 0, dtype)], 0, &loc)?;
    let (values, order) = (&sorted[0], &sorted[1]);
    let (before, after) = (values.i(..-1), values.i(1..));
    let mut changes = before.ne(&after);
    if x.dtype().is_float() {
        changes = changes & !(before.ne(&before) & after.ne(&after));
    }
    let first = Tensor::concatenate(&[Tensor::full([1], true, DType::Bool), changes], 0);
    let (start, count) = true_positions(&first, size);
    let real = Tensor::iota([size], 0, dtype).lt(&count);
    // filled places repeat the first value and its position, unless the caller names another
    let at = real.select(&start, 0);
    let chosen = values.take(&at, 0);
    let chosen = match fill {
        Some(fill) => real.select(&chosen, fill),
        None => chosen,
    };
    let group = first.to(dtype).cumsum(0) - 1;
    let inverse = scatter_rows(ScatterKind::Set, &Tensor::full([n], 0, dtype), order, &group, &loc);
    let counts = tally(op, &group, None, dtype, size)?;
    Ok([chosen, order.take(&at, 0), inverse.reshape(x.shape()), counts])
}

impl Tensor {
    /// For each element of `values` (of any shape) the position (i32) at which it would be put into this ascending
    /// vector; NaN sorts last.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Side, prelude::*};
    /// let sorted = Tensor::from([1, 3, 3, 7]);
    /// let at = sorted.searchsorted(&Tensor::from([3, 8]), Side::Left);
    /// assert_eq!(at.to_vec::<i32>().unwrap(), [1, 4]);
    /// ```
    #[track_caller]
    pub fn searchsorted(&self, values: &Tensor, side: Side) -> Tensor {
        settled(searchsorted(self, values, side))
    }

    /// How many elements (or how much weight) fall into each of `bins` equal parts of `range` (by default from the
    /// least to the greatest element), and the `bins + 1` edges. The counts have the dtype of the weights, or of the
    /// array; elements outside the range are left out.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let (counts, edges) = Tensor::from([0.0f32, 0.1, 0.9, 2.0]).histogram(2, Some((0.0, 1.0)), None);
    /// assert_eq!(counts.to_vec::<f32>().unwrap(), [2.0, 1.0]);
    /// assert_eq!(edges.to_vec::<f32>().unwrap(), [0.0, 0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn histogram(&self, bins: usize, range: Option<(f64, f64)>, weights: Option<&Tensor>) -> (Tensor, Tensor) {
        let [counts, edges] = settled_all(histogram(self, bins, range, weights));
        (counts, edges)
    }

    /// How often (i32), or with how much weight, each of `0..length` occurs; negative integers count as 0, those beyond
    /// are left out.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let counts = Tensor::from([1, 1, 3]).bincount(None, 4);
    /// assert_eq!(counts.to_vec::<i32>().unwrap(), [0, 2, 0, 1]);
    /// ```
    #[track_caller]
    pub fn bincount(&self, weights: Option<&Tensor>, length: usize) -> Tensor {
        settled(bincount(self, weights, length))
    }

    /// The coordinates of the first `size` elements that are not zero, one vector an axis; places left over hold `fill`.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let at = Tensor::from([[0, 5], [7, 0]]).nonzero(3, -1);
    /// assert_eq!(at[0].to_vec::<i32>().unwrap(), [0, 1, -1]);
    /// assert_eq!(at[1].to_vec::<i32>().unwrap(), [1, 0, -1]);
    /// ```
    #[track_caller]
    pub fn nonzero(&self, size: usize, fill: i64) -> Vec<Tensor> {
        settled_list(self.ndim(), nonzero(self, size, fill))
    }

    /// [`Tensor::nonzero`] as one array, a row an element.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([0, 5, 7]).argwhere(2, -1).to_vec::<i32>().unwrap(), [1, 2]);
    /// ```
    #[track_caller]
    pub fn argwhere(&self, size: usize, fill: i64) -> Tensor {
        let columns = self.nonzero(size, fill);
        if columns.is_empty() {
            return settled(self.check().map(|()| Tensor::full([size, 0], 0, DType::I32)));
        }
        Tensor::stack(&columns, -1)
    }

    /// The `size` least distinct elements, where each first occurs, which of them each element is, and how often each
    /// occurs. If there are fewer, the places left over hold `fill`, or the least element.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let u = Tensor::from([5, 2, 5]).unique(3, Some(-1));
    /// assert_eq!(u.values.to_vec::<i32>().unwrap(), [2, 5, -1]);
    /// assert_eq!(u.inverse.to_vec::<i32>().unwrap(), [1, 0, 1]);
    /// assert_eq!(u.counts.to_vec::<i32>().unwrap(), [1, 2, 0]);
    /// ```
    #[track_caller]
    pub fn unique<F: Operand>(&self, size: usize, fill: Option<F>) -> Unique {
        let loc = Loc::caller();
        let fill = fill.map(|f| f.with_dtype(self.dtype(), &loc));
        let [values, indices, inverse, counts] = settled_all(unique(self, size, fill));
        Unique { values, indices, inverse, counts }
    }
}
