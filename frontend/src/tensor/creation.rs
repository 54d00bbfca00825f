//! Ranges, grids and matrices by rule.

use super::checks::{self, settled, settled_list};
use super::{Tensor, apply};
use gradloom_ir::{DType, Error, Loc, Op, Result, Shape};

/// Most elements a range may have: what keeps its arithmetic exact.
const MAX_RANGE: f64 = (1u64 << 40) as f64;

#[track_caller]
fn range(start: f64, stop: f64, step: f64, dtype: DType) -> Result<Tensor> {
    let op = "arange_from";
    if dtype == DType::Bool {
        return Err(Error::bad_dtype(op, dtype, "a number"));
    }
    let n = ((stop - start) / step).ceil();
    if step == 0.0 || n.is_nan() || n > MAX_RANGE {
        return Err(Error::user(op, format!("from {start} to {stop} by {step} has no length"))
            .help("the step must not be 0, and the ends must be finite"));
    }
    let whole = [start, step].iter().all(|v| v.fract() == 0.0);
    if dtype.is_int() && !whole {
        return Err(Error::user(op, format!("from {start} by {step} are no values of {dtype}"))
            .help("use whole numbers, or a float dtype"));
    }
    let wide = if dtype.is_int() { DType::I64 } else { DType::F64 };
    let i = Tensor::iota([n.max(0.0) as usize], 0, wide);
    Ok((i * step + start).to(dtype))
}

/// `n` numbers (f64) evenly from `start` to `stop`, the last one exact if it is included.
#[track_caller]
fn even(start: f64, stop: f64, n: usize, endpoint: bool) -> Tensor {
    let parts = if endpoint { n.saturating_sub(1) } else { n };
    let i = Tensor::iota([n], 0, DType::F64);
    let x = &i / (parts.max(1) as f64) * (stop - start) + start;
    if endpoint && n > 1 { i.eq(parts as f64).select(stop, x) } else { x }
}

#[track_caller]
fn even_as(op: &str, start: f64, stop: f64, n: usize, endpoint: bool, dtype: DType) -> Result<Tensor> {
    if !dtype.is_float() {
        return Err(Error::bad_dtype(op, dtype, "a float").help("for integers use `arange_from`"));
    }
    Ok(even(start, stop, n, endpoint).to(dtype))
}

#[track_caller]
fn geometric(start: f64, stop: f64, n: usize) -> Result<Tensor> {
    // also refuses NaN
    if !(start * stop > 0.0 && start.is_finite() && stop.is_finite()) {
        return Err(Error::user("geomspace", format!("no geometric progression leads from {start} to {stop}"))
            .help("both ends must be finite, of one sign, and not 0"));
    }
    let sign = start.signum();
    let x = even(start.abs().ln(), stop.abs().ln(), n, true).exp() * sign;
    let i = Tensor::iota([n], 0, DType::F64);
    let x = i.eq(0.0).select(start, x);
    Ok(if n > 1 { i.eq((n - 1) as f64).select(stop, x) } else { x }.to(DType::F32))
}

impl Tensor {
    /// `start, start + step, ..` before `stop`, of any dtype of numbers.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::arange_from(5.0, -1.0, -2.0, DType::I32);
    /// assert_eq!(x.to_vec::<i32>().unwrap(), [5, 3, 1]);
    /// ```
    #[track_caller]
    pub fn arange_from(start: f64, stop: f64, step: f64, dtype: DType) -> Tensor {
        settled(range(start, stop, step, dtype))
    }

    /// `n` f32 numbers evenly from `start` to `stop`, both included.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::linspace(0.0, 1.0, 3).to_vec::<f32>().unwrap(), [0.0, 0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn linspace(start: f64, stop: f64, n: usize) -> Tensor {
        even(start, stop, n, true).to(DType::F32)
    }

    /// [`Tensor::linspace`] of any float dtype.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::linspace_as(0.0, 1.0, 3, DType::F64).to_vec::<f64>().unwrap(), [0.0, 0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn linspace_as(start: f64, stop: f64, n: usize, dtype: DType) -> Tensor {
        settled(even_as("linspace_as", start, stop, n, true, dtype))
    }

    /// `n` f32 numbers evenly from `start`, included, to `stop`, left out.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::linspace_open(0.0, 1.0, 2).to_vec::<f32>().unwrap(), [0.0, 0.5]);
    /// ```
    #[track_caller]
    pub fn linspace_open(start: f64, stop: f64, n: usize) -> Tensor {
        settled(even_as("linspace_open", start, stop, n, false, DType::F32))
    }

    /// `n` f32 numbers whose logarithms to base 10 go evenly from `start` to `stop`, both included.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::logspace(0.0, 2.0, 3).to_vec::<f32>().unwrap(), [1.0, 10.0, 100.0]);
    /// ```
    #[track_caller]
    pub fn logspace(start: f64, stop: f64, n: usize) -> Tensor {
        Tensor::full((), 10.0, DType::F64).pow(even(start, stop, n, true)).to(DType::F32)
    }

    /// `n` f32 numbers from `start` to `stop`, both included, each the same multiple of the one before.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::geomspace(-8.0, -1.0, 4).to_vec::<f32>().unwrap(), [-8.0, -4.0, -2.0, -1.0]);
    /// ```
    #[track_caller]
    pub fn geomspace(start: f64, stop: f64, n: usize) -> Tensor {
        settled(geometric(start, stop, n))
    }

    /// Ones at and below the `k`-th diagonal of an f32 matrix.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::tri(2, 2, 0).to_vec::<f32>().unwrap(), [1.0, 0.0, 1.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn tri(rows: usize, columns: usize, k: i64) -> Tensor {
        Tensor::ones([rows, columns]).tril(k)
    }

    /// The powers of a vector as columns, `n` of them: from the 0th on if `increasing`, else down to it.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let v = Tensor::from([2.0f32, 3.0]).vander(3, false);
    /// assert_eq!(v.to_vec::<f32>().unwrap(), [4.0, 2.0, 1.0, 9.0, 3.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn vander(&self, n: usize, increasing: bool) -> Tensor {
        settled(vander(self, n, increasing))
    }
}

#[track_caller]
fn vander(x: &Tensor, n: usize, increasing: bool) -> Result<Tensor> {
    let op = "vander";
    checks::number(op, x)?;
    let rows = checks::vector(op, x)?;
    // running products rather than powers, whose derivatives would go through a logarithm
    let first = Tensor::full([rows, n.min(1)], 1, x.dtype());
    let rest = x.expand_dims(-1).broadcast_to([rows, n.saturating_sub(1)]);
    let powers = Tensor::concatenate(&[first, rest], 1).cumprod(1);
    Ok(if increasing { powers } else { powers.flip(1) })
}

/// How [`meshgrid`] lays out its grids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// Axis `i` belongs to vector `i`, as a matrix is indexed.
    Ij,
    /// The first two axes exchanged, as a plane is drawn: rows belong to the second vector.
    Xy,
}

/// The coordinates of all points of the grid the vectors span, one array a vector.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Grid, meshgrid, prelude::*};
/// let (x, y) = (Tensor::arange(3), Tensor::arange(2));
/// let grids = meshgrid(&[&x, &y], Grid::Xy);
/// assert_eq!(grids[0].to_vec::<i32>().unwrap(), [0, 1, 2, 0, 1, 2]);
/// assert_eq!(grids[1].to_vec::<i32>().unwrap(), [0, 0, 0, 1, 1, 1]);
/// ```
#[track_caller]
pub fn meshgrid(vectors: &[&Tensor], grid: Grid) -> Vec<Tensor> {
    let loc = Loc::caller();
    let run = || {
        let mut lengths = Shape::new();
        for v in vectors {
            lengths.push(if v.ndim() == 0 { 1 } else { checks::vector("meshgrid", v)? });
            v.check()?;
        }
        let mut place: Shape = (0..vectors.len()).collect();
        if grid == Grid::Xy && vectors.len() > 1 {
            lengths.swap(0, 1);
            place.swap(0, 1);
        }
        let mut out = Vec::with_capacity(vectors.len());
        for (v, &a) in vectors.iter().zip(&place) {
            let v = super::shaping::reshape_at(v, &[v.size()], &loc);
            out.push(apply(Op::Broadcast { shape: lengths.clone(), dims: Shape::from_elem(a, 1) }, &[&v], &loc));
        }
        Ok(out)
    };
    settled_list(vectors.len(), run())
}
