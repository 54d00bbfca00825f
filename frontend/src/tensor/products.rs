//! Products of vectors, one-dimensional filters, and distances between points.

use super::axes::resolve_axis;
use super::checks::{self, settled};
use super::statistics::sqrt_zero_safe;
use super::{Conv, Padding, Tensor};
use gradloom_ir::{Error, Result};

/// How much of a filtered signal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Every place at which the two overlap: `n + m - 1` elements.
    Full,
    /// The middle `max(n, m)` of them.
    Same,
    /// The places at which the shorter one lies within the longer one.
    Valid,
}

/// Slides `kernel` over `x`, the longer of the two.
#[track_caller]
fn slide(x: &Tensor, kernel: &Tensor, n: usize, m: usize, overlap: Overlap) -> Tensor {
    let width = match overlap {
        Overlap::Full => (m - 1, m - 1),
        Overlap::Same => (m / 2, m - 1 - m / 2),
        Overlap::Valid => (0, 0),
    };
    let conv = Conv::new().padding(Padding::Explicit(vec![(width.0 as i64, width.1 as i64)]));
    x.reshape([1, n, 1]).conv1d(&kernel.reshape([m, 1, 1]), &conv).flatten()
}

#[track_caller]
fn filtered(op: &str, a: &Tensor, b: &Tensor, overlap: Overlap, flips: bool) -> Result<Tensor> {
    checks::same_dtype(op, a, b)?;
    checks::number(op, a)?;
    let (n, m) = (checks::vector(op, a)?, checks::vector(op, b)?);
    if n == 0 || m == 0 {
        let why = "neither may be empty";
        return Err(Error::shape_mismatch(op, a.ty_ref(), b.ty_ref(), why));
    }
    if flips {
        let (long, short, n, m) = if n < m { (b, a, m, n) } else { (a, b, n, m) };
        return Ok(slide(long, &short.flip(0), n, m, overlap));
    }
    let b = &b.conj();
    // correlation is not symmetric: with the sides exchanged the result runs backwards
    Ok(if n < m { slide(b, a, m, n, overlap).flip(0) } else { slide(a, b, n, m, overlap) })
}

#[track_caller]
fn inner(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let op = "inner";
    checks::same_dtype(op, a, b)?;
    if a.ndim() == 0 || b.ndim() == 0 {
        return Ok(a * b);
    }
    let (m, n) = (a.dim(-1), b.dim(-1));
    if m != n {
        let why = format!("the last axes have lengths {m} and {n}");
        return Err(Error::shape_mismatch(op, a.ty_ref(), b.ty_ref(), &why));
    }
    Ok(a.tensordot(b, -1, -1))
}

#[track_caller]
fn vdot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let op = "vdot";
    checks::same_dtype(op, a, b)?;
    if a.size() != b.size() {
        let why = format!("{} and {} elements", a.size(), b.size());
        return Err(Error::shape_mismatch(op, a.ty_ref(), b.ty_ref(), &why));
    }
    Ok(a.conj().flatten().tensordot(&b.flatten(), 0, 0))
}

#[track_caller]
fn cross(a: &Tensor, b: &Tensor, axis: i64) -> Result<Tensor> {
    let op = "cross";
    checks::same_dtype(op, a, b)?;
    checks::number(op, a)?;
    let (i, j) = (resolve_axis(op, axis, a.ty_ref())?, resolve_axis(op, axis, b.ty_ref())?);
    let lengths = (a.shape()[i], b.shape()[j]);
    if ![2, 3].contains(&lengths.0) || ![2, 3].contains(&lengths.1) {
        let why = format!("the vectors have {} and {} components, not 2 or 3", lengths.0, lengths.1);
        return Err(Error::shape_mismatch(op, a.ty_ref(), b.ty_ref(), &why));
    }
    let (a, b) = (a.move_axis(i, 0), b.move_axis(j, 0));
    let (a0, a1) = (a.i(0), a.i(1));
    let (b0, b1) = (b.i(0), b.i(1));
    let z = &a0 * &b1 - &a1 * &b0;
    if lengths == (2, 2) {
        return Ok(z);
    }
    // a plane's vectors have no third component
    let zero = Tensor::full((), 0, a.dtype());
    let a2 = if lengths.0 == 3 { a.i(2) } else { zero.clone() };
    let b2 = if lengths.1 == 3 { b.i(2) } else { zero };
    let parts = [&a1 * &b2 - &a2 * &b1, &a2 * &b0 - &a0 * &b2, z];
    Ok(Tensor::stack(&parts, axis))
}

#[track_caller]
fn sq_distances(op: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    checks::same_dtype(op, a, b)?;
    checks::real(op, a)?;
    if a.ndim() < 2 || b.ndim() < 2 || a.dim(-1) != b.dim(-1) {
        let why = "both are lists of points [.., n, d] with the same d";
        return Err(Error::shape_mismatch(op, a.ty_ref(), b.ty_ref(), why));
    }
    // differences first: |a|² + |b|² - 2ab loses the digits of near points
    Ok((a.expand_dims(-2) - b.expand_dims(-3)).square().sum(-1))
}

impl Tensor {
    /// The convolution of two vectors, `Σ a[j] b[i - j]`.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Overlap, prelude::*};
    /// let y = Tensor::from([1.0f32, 2.0, 3.0]).convolve(&Tensor::from([0.0f32, 1.0]), Overlap::Full);
    /// assert_eq!(y.to_vec::<f32>().unwrap(), [0.0, 1.0, 2.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn convolve(&self, rhs: &Tensor, overlap: Overlap) -> Tensor {
        settled(filtered("convolve", self, rhs, overlap, true))
    }

    /// The correlation of two vectors, `Σ a[i + j] b[j]`, with the conjugate of complex `b`.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Overlap, prelude::*};
    /// let y = Tensor::from([1.0f32, 2.0, 3.0]).correlate(&Tensor::from([0.0f32, 1.0]), Overlap::Valid);
    /// assert_eq!(y.to_vec::<f32>().unwrap(), [2.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn correlate(&self, rhs: &Tensor, overlap: Overlap) -> Tensor {
        settled(filtered("correlate", self, rhs, overlap, false))
    }

    /// The product summed over the last axis of both, all other axes side by side.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([[1, 2], [3, 4]]);
    /// assert_eq!(x.inner(&x).to_vec::<i32>().unwrap(), [5, 11, 11, 25]);
    /// ```
    #[track_caller]
    pub fn inner(&self, rhs: &Tensor) -> Tensor {
        settled(inner(self, rhs))
    }

    /// The sum of products of all elements, whatever the shapes; complex elements of `self` are conjugated.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([[1, 2], [3, 4]]);
    /// assert_eq!(x.vdot(&x).item::<i32>().unwrap(), 30);
    /// ```
    #[track_caller]
    pub fn vdot(&self, rhs: &Tensor) -> Tensor {
        settled(vdot(self, rhs))
    }

    /// The cross product of vectors of 2 or 3 components along an axis, the others broadcast; of planes its one
    /// component.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let z = Tensor::from([1, 0, 0]).cross(&Tensor::from([0, 1, 0]), -1);
    /// assert_eq!(z.to_vec::<i32>().unwrap(), [0, 0, 1]);
    /// ```
    #[track_caller]
    pub fn cross(&self, rhs: &Tensor, axis: i64) -> Tensor {
        settled(cross(self, rhs, axis))
    }

    /// The squared distance of every point of `self` (`[.., n, d]`) to every point of `rhs` (`[.., m, d]`): `[.., n, m]`.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let (a, b) = (Tensor::from([[0.0f32, 0.0]]), Tensor::from([[3.0f32, 4.0], [0.0, 0.0]]));
    /// assert_eq!(a.sq_distances(&b).to_vec::<f32>().unwrap(), [25.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn sq_distances(&self, rhs: &Tensor) -> Tensor {
        settled(sq_distances("sq_distances", self, rhs))
    }

    /// The distance of every point of `self` to every point of `rhs`, with derivative 0 where it is 0.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let (a, b) = (Tensor::from([[0.0f32, 0.0]]), Tensor::from([[3.0f32, 4.0]]));
    /// assert_eq!(a.distances(&b).to_vec::<f32>().unwrap(), [5.0]);
    /// ```
    #[track_caller]
    pub fn distances(&self, rhs: &Tensor) -> Tensor {
        if let Err(e) = checks::float("distances", self) {
            return settled(Err(e));
        }
        sqrt_zero_safe(&settled(sq_distances("distances", self, rhs)))
    }
}
