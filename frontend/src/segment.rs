//! Reductions of groups of rows: row `i` belongs to the segment `ids[i]`, of a number of segments known beforehand.
//!
//! Rows whose id is negative or not below the number of segments belong to none and are left out. Ids need not be
//! sorted, and a segment may be empty.

use crate::Tensor;
use crate::tensor::checks::{self, settled};
use crate::tensor::gathering::scatter_rows;
use gradloom_ir::{DType, Error, Loc, Result, ScatterKind};

/// Most segments there may be: what keeps ids within 64 bits.
const MAX_SEGMENTS: usize = 1 << 40;

fn check(op: &str, rows: &Tensor, ids: &Tensor, segments: usize) -> Result<()> {
    checks::number(op, rows)?;
    checks::integer(op, ids)?;
    let n = checks::vector(op, ids)?;
    if rows.shape().first() != Some(&n) {
        return Err(Error::shape_mismatch(op, rows.ty_ref(), ids.ty_ref(), "there must be one id a row")
            .help("rows lie along the first axis; move it there with `move_axis(axis, 0)`"));
    }
    if segments > MAX_SEGMENTS {
        return Err(Error::limit(op, format!("{segments} segments")));
    }
    Ok(())
}

/// Ids as i64, whatever does not name a segment as -1.
#[track_caller]
fn settled_ids(ids: &Tensor, segments: usize) -> Tensor {
    // a u64 beyond i64 would turn negative, which is left out as well
    let ids = ids.to(DType::I64);
    (ids.ge(0) & ids.lt(segments)).select(&ids, -1)
}

#[track_caller]
fn reduce(op: &str, kind: ScatterKind, identity: f64, rows: &Tensor, ids: &Tensor, segments: usize) -> Result<Tensor> {
    check(op, rows, ids, segments)?;
    if matches!(kind, ScatterKind::Max | ScatterKind::Min) {
        checks::real(op, rows)?;
    }
    let mut shape = rows.shape().to_vec();
    shape[0] = segments;
    let start = Tensor::full(shape, identity, rows.dtype());
    start.check()?;
    Ok(scatter_rows(kind, &start, &settled_ids(ids, segments), rows, &Loc::caller()))
}

/// How many rows (as `dtype`) each segment has, with as many axes as the rows.
#[track_caller]
fn counts(rows: &Tensor, ids: &Tensor, segments: usize) -> Tensor {
    let ones = Tensor::full(ids.shape(), 1, rows.dtype());
    let zeros = Tensor::full([segments], 0, rows.dtype());
    let n = scatter_rows(ScatterKind::Add, &zeros, &settled_ids(ids, segments), &ones, &Loc::caller());
    spread(&n, rows, segments)
}

/// A vector with an entry a row (or segment), as an array that broadcasts over the rows' other axes.
#[track_caller]
fn spread(v: &Tensor, rows: &Tensor, n: usize) -> Tensor {
    let mut shape = vec![1; rows.ndim()];
    shape[0] = n;
    v.reshape(shape)
}

#[track_caller]
fn mean(rows: &Tensor, ids: &Tensor, segments: usize) -> Result<Tensor> {
    let op = "segment_mean";
    checks::float(op, rows)?;
    let sum = reduce(op, ScatterKind::Add, 0.0, rows, ids, segments)?;
    Ok(sum / counts(rows, ids, segments).maximum(1.0))
}

/// e^(x - the segment's maximum), the segments' sums of these, the maxima, and the ids to read them with.
#[track_caller]
fn exponentials(op: &str, rows: &Tensor, ids: &Tensor, segments: usize) -> Result<[Tensor; 4]> {
    checks::float(op, rows)?;
    let top = reduce(op, ScatterKind::Max, f64::NEG_INFINITY, rows, ids, segments)?;
    let top = crate::stop_gradient(&top.is_finite().select(&top, 0.0));
    let ids = settled_ids(ids, segments);
    let e = (rows - top.take(&ids.maximum(0), 0)).exp();
    let sum = reduce(op, ScatterKind::Add, 0.0, &e, &ids, segments)?;
    Ok([e, sum, top, ids])
}

#[track_caller]
fn softmax(rows: &Tensor, ids: &Tensor, segments: usize) -> Result<Tensor> {
    let op = "segment_softmax";
    check(op, rows, ids, segments)?;
    if segments == 0 {
        return Ok(rows.zeros_like());
    }
    let [e, sum, _, at] = exponentials(op, rows, ids, segments)?;
    let own = spread(&at.ge(0), rows, rows.shape()[0]);
    let whole = own.select(sum.take(&at.maximum(0), 0), 1.0);
    Ok(own.select(e, 0.0) / whole)
}

#[track_caller]
fn logsumexp(rows: &Tensor, ids: &Tensor, segments: usize) -> Result<Tensor> {
    let op = "segment_logsumexp";
    check(op, rows, ids, segments)?;
    if segments == 0 {
        return reduce(op, ScatterKind::Add, 0.0, rows, ids, segments);
    }
    let [_, sum, top, _] = exponentials(op, rows, ids, segments)?;
    let empty = sum.eq(0.0);
    Ok(empty.select(f64::NEG_INFINITY, empty.select(1.0, &sum).log()) + top)
}

/// The sum of each segment's rows; 0 of none.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{prelude::*, segment_sum};
/// let (x, ids) = (Tensor::from([1.0f32, 2.0, 4.0, 8.0]), Tensor::from([1, 0, 1, 7]));
/// assert_eq!(segment_sum(&x, &ids, 3).to_vec::<f32>().unwrap(), [2.0, 5.0, 0.0]);
/// ```
#[track_caller]
pub fn segment_sum(rows: &Tensor, ids: &Tensor, segments: usize) -> Tensor {
    settled(reduce("segment_sum", ScatterKind::Add, 0.0, rows, ids, segments))
}

/// The product of each segment's rows; 1 of none.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{prelude::*, segment_prod};
/// let (x, ids) = (Tensor::from([2.0f32, 3.0, 5.0]), Tensor::from([0, 1, 0]));
/// assert_eq!(segment_prod(&x, &ids, 3).to_vec::<f32>().unwrap(), [10.0, 3.0, 1.0]);
/// ```
#[track_caller]
pub fn segment_prod(rows: &Tensor, ids: &Tensor, segments: usize) -> Tensor {
    settled(reduce("segment_prod", ScatterKind::Mul, 1.0, rows, ids, segments))
}

/// The greatest of each segment's rows; -inf, or the least integer, of none.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{prelude::*, segment_max};
/// let (x, ids) = (Tensor::from([2.0f32, 3.0, 5.0]), Tensor::from([0, 1, 0]));
/// assert_eq!(segment_max(&x, &ids, 3).to_vec::<f32>().unwrap(), [5.0, 3.0, f32::NEG_INFINITY]);
/// ```
#[track_caller]
pub fn segment_max(rows: &Tensor, ids: &Tensor, segments: usize) -> Tensor {
    settled(reduce("segment_max", ScatterKind::Max, f64::NEG_INFINITY, rows, ids, segments))
}

/// The least of each segment's rows; inf, or the greatest integer, of none.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{prelude::*, segment_min};
/// let (x, ids) = (Tensor::from([2.0f32, 3.0, 5.0]), Tensor::from([0, 1, 0]));
/// assert_eq!(segment_min(&x, &ids, 3).to_vec::<f32>().unwrap(), [2.0, 3.0, f32::INFINITY]);
/// ```
#[track_caller]
pub fn segment_min(rows: &Tensor, ids: &Tensor, segments: usize) -> Tensor {
    settled(reduce("segment_min", ScatterKind::Min, f64::INFINITY, rows, ids, segments))
}

/// The mean of each segment's rows; 0 of none.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{prelude::*, segment_mean};
/// let (x, ids) = (Tensor::from([2.0f32, 3.0, 5.0]), Tensor::from([0, 1, 0]));
/// assert_eq!(segment_mean(&x, &ids, 3).to_vec::<f32>().unwrap(), [3.5, 3.0, 0.0]);
/// ```
#[track_caller]
pub fn segment_mean(rows: &Tensor, ids: &Tensor, segments: usize) -> Tensor {
    settled(mean(rows, ids, segments))
}

/// e^x over its sum in the row's segment, without overflow, one row a row of `rows`; 0 in rows of no segment.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{prelude::*, segment_softmax};
/// let (x, ids) = (Tensor::from([1000.0f32, 1000.0, -5.0]), Tensor::from([0, 0, 1]));
/// assert_eq!(segment_softmax(&x, &ids, 2).to_vec::<f32>().unwrap(), [0.5, 0.5, 1.0]);
/// ```
#[track_caller]
pub fn segment_softmax(rows: &Tensor, ids: &Tensor, segments: usize) -> Tensor {
    settled(softmax(rows, ids, segments))
}

/// ln of the sum of e^x over each segment's rows, without overflow; -inf of none.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{prelude::*, segment_logsumexp};
/// let (x, ids) = (Tensor::from([-900.0f32, 3.0, 900.0]), Tensor::from([0, 1, 0]));
/// assert_eq!(segment_logsumexp(&x, &ids, 3).to_vec::<f32>().unwrap(), [900.0, 3.0, f32::NEG_INFINITY]);
/// ```
#[track_caller]
pub fn segment_logsumexp(rows: &Tensor, ids: &Tensor, segments: usize) -> Tensor {
    settled(logsumexp(rows, ids, segments))
}
