//! The normal distribution and what is made of it.

use super::continuous::limits;
use super::uniform::{uniform_at, unit_at};
use super::{Key, parameter};
use crate::linalg;
use crate::tensor::arithmetic::{binary_at, broadcast_shapes, unary_at};
use crate::tensor::axes::settle;
use crate::tensor::convert::{plain_shape, scalar_at};
use crate::tensor::{IntoShape, Operand, Tensor};
use crate::transform::stop_gradient;
use gradloom_ir::{Binary, DType, Error, Loc, Result, Unary};

pub(super) fn normal_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    if dtype.is_complex() {
        // independent parts of variance 1/2
        let [key_re, key_im] = key.pair(loc)?;
        let part = |key| normal_at(key, shape, dtype.real(), loc);
        let z = binary_at(Binary::Complex, &part(&key_re)?, &part(&key_im)?, loc);
        return Ok(binary_at(Binary::Div, &z, &scalar_at(dtype, std::f64::consts::SQRT_2, loc), loc));
    }
    let above = -1.0 + limits(dtype).2;
    let u = uniform_at(key, shape, &scalar_at(dtype, above, loc), &scalar_at(dtype, 1.0, loc), loc)?;
    let root = scalar_at(dtype, std::f64::consts::SQRT_2, loc);
    Ok(binary_at(Binary::Mul, &root, &unary_at(Unary::ErfInv, &u, loc), loc))
}

/// f32 of the standard normal distribution.
#[track_caller]
pub fn normal(key: &Key, shape: impl IntoShape) -> Tensor {
    normal_as(key, shape, DType::F32)
}

/// The standard normal distribution in any float dtype, or in a complex one, where |z|^2 has the mean 1.
#[track_caller]
pub fn normal_as(key: &Key, shape: impl IntoShape, dtype: DType) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, plain_shape("normal", shape).and_then(|s| normal_at(key, &s, dtype, &loc)))
}

/// The standard normal distribution cut off outside (lower, upper).
#[track_caller]
pub fn truncated_normal(key: &Key, lower: impl Operand, upper: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("truncated_normal", shape)?;
        let [lower, upper] = super::parameters("truncated_normal", &lower, &upper, &shape, &loc)?;
        let root = scalar_at(lower.dtype(), std::f64::consts::SQRT_2, &loc);
        let edge = |v: &Tensor| unary_at(Unary::Erf, &binary_at(Binary::Div, v, &root, &loc), &loc);
        let u = uniform_at(key, &shape, &edge(&lower), &edge(&upper), &loc)?;
        let x = binary_at(Binary::Mul, &root, &unary_at(Unary::ErfInv, &u, &loc), &loc);
        // rounding must not reach the bounds themselves
        let low = stop_gradient(&lower).next_after(f64::INFINITY);
        let high = stop_gradient(&upper).next_after(f64::NEG_INFINITY);
        Ok(x.maximum(low).minimum(high))
    };
    settle(&loc, run())
}

/// e to the power of a normal variable of standard deviation `sigma`.
#[track_caller]
pub fn lognormal(key: &Key, sigma: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("lognormal", shape)?;
        let sigma = parameter("lognormal", &sigma, &shape, &loc)?;
        Ok((normal_at(key, &shape, sigma.dtype(), &loc)? * sigma).exp())
    };
    settle(&loc, run())
}

/// f32 of the Maxwell distribution: the length of a standard normal vector in three dimensions.
#[track_caller]
pub fn maxwell(key: &Key, shape: impl IntoShape) -> Tensor {
    maxwell_as(key, shape, DType::F32)
}

/// The Maxwell distribution in any float dtype.
#[track_caller]
pub fn maxwell_as(key: &Key, shape: impl IntoShape, dtype: DType) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let mut shape = plain_shape("maxwell", shape)?;
        shape.push(3);
        Ok(normal_at(key, &shape, dtype, &loc)?.square().sum(-1).sqrt())
    };
    settle(&loc, run())
}

/// The Wald (inverse Gaussian) distribution of this mean and scale 1 (Michael, Schucany and Haas 1976).
#[track_caller]
pub fn wald(key: &Key, mean: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("wald", shape)?;
        let mean = parameter("wald", &mean, &shape, &loc)?;
        let [first, second] = key.pair(&loc)?;
        let y = normal_at(&first, &shape, mean.dtype(), &loc)?.square();
        let z = unit_at(&second, &shape, mean.dtype(), &loc)?;
        let square = mean.square();
        let root = (&mean * 4.0 * &y + &square * y.square()).sqrt();
        let x = &mean + &square * y / 2.0 - &mean / 2.0 * root;
        Ok(z.le(&mean / (&mean + &x)).select(&x, square / &x))
    };
    settle(&loc, run())
}

/// How [`multivariate_normal_by`] takes a factor of the covariance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Factor {
    /// The lower triangle L with L L^T = covariance, which must be positive definite: NaN where it is not.
    #[default]
    Cholesky,
    /// Eigenvectors times the roots of the eigenvalues; the covariance may be singular, up to rounding below 0.
    Eigh,
    /// Singular vectors times the roots of the singular values; the covariance may be singular.
    Svd,
}

/// The normal distribution of this mean and covariance, by the Cholesky factor of the covariance. `mean` is \[.., d\],
/// `covariance` \[.., d, d\]; their leading axes broadcast to the shape, to which the axis of length d is added.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let mean = Tensor::from([1.0f32, -1.0]);
/// let covariance = Tensor::from([[2.0f32, 0.6], [0.6, 0.5]]);
/// let x = random::multivariate_normal(&Key::new(0), &mean, &covariance, [1000]);
/// assert_eq!(x.shape(), [1000, 2]);
/// ```
#[track_caller]
pub fn multivariate_normal(key: &Key, mean: &Tensor, covariance: &Tensor, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, by_covariance(key, mean, covariance, shape, Factor::Cholesky, &loc))
}

/// [`multivariate_normal`] by another factor of the covariance. Samples by eigenvectors and singular vectors depend on the
/// signs of these.
#[track_caller]
pub fn multivariate_normal_by(
    key: &Key,
    mean: &Tensor,
    covariance: &Tensor,
    shape: impl IntoShape,
    factor: Factor,
) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, by_covariance(key, mean, covariance, shape, factor, &loc))
}

/// mean + factor z for standard normal z: the normal distribution of covariance `factor factor^T`, such as of a Cholesky
/// factor at hand. Shapes as in [`multivariate_normal`].
#[track_caller]
pub fn multivariate_normal_of_factor(key: &Key, mean: &Tensor, factor: &Tensor, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let op = "multivariate_normal_of_factor";
        fits(op, "factor", mean, factor)?;
        by_factor(op, key, mean, factor, shape, &loc)
    };
    settle(&loc, run())
}

/// The mean is a vector and `square` of its length on both sides, of its dtype.
fn fits(op: &str, what: &str, mean: &Tensor, square: &Tensor) -> Result<()> {
    mean.check()?;
    square.check()?;
    let (m, s) = (mean.ty_ref(), square.ty_ref());
    let Some(&d) = mean.shape().last() else {
        return Err(Error::user(op, format!("the mean must be a vector, it is {m}")));
    };
    if !mean.dtype().is_float() {
        return Err(Error::bad_dtype(op, mean.dtype(), "a float"));
    }
    if mean.dtype() != square.dtype() {
        return Err(Error::dtype_mismatch(op, mean.dtype(), square.dtype()));
    }
    if !square.shape().ends_with(&[d, d]) {
        return Err(Error::user(op, format!("the {what} {s} is no {d} x {d} matrix, as the mean {m} asks")));
    }
    Ok(())
}

fn by_covariance(
    key: &Key,
    mean: &Tensor,
    covariance: &Tensor,
    shape: impl IntoShape,
    factor: Factor,
    loc: &Loc,
) -> Result<Tensor> {
    let op = "multivariate_normal";
    fits(op, "covariance", mean, covariance)?;
    // decompositions have no 16-bit form
    let half = covariance.dtype().size() < 4;
    let wide = if half { covariance.to(DType::F32) } else { covariance.clone() };
    let columns = |v: Tensor, w: Tensor| v * w.maximum(0.0).sqrt().expand_dims(-2);
    let matrix = match factor {
        Factor::Cholesky => linalg::cholesky(&wide),
        Factor::Eigh => {
            let (w, v) = linalg::eigh(&wide);
            columns(v, w)
        }
        Factor::Svd => {
            let (u, s, _) = linalg::svd(&wide);
            columns(u, s)
        }
    };
    let matrix = if half { matrix.to(covariance.dtype()) } else { matrix };
    by_factor(op, key, mean, &matrix, shape, loc)
}

fn by_factor(op: &str, key: &Key, mean: &Tensor, factor: &Tensor, shape: impl IntoShape, loc: &Loc) -> Result<Tensor> {
    factor.check()?;
    let mut shape = plain_shape(op, shape)?;
    let batch = &factor.shape()[..factor.ndim() - 2];
    if broadcast_shapes(batch, &shape).as_deref() != Some(&shape[..]) {
        let what = format!("the leading axes of {} do not broadcast to the shape {shape:?}", factor.ty_ref());
        return Err(Error::user(op, what).help("put the batch axes into the shape"));
    }
    shape.push(mean.shape()[mean.ndim() - 1]);
    let mean = parameter(op, mean, &shape, loc)?;
    let z = normal_at(key, &shape, mean.dtype(), loc)?;
    // rows of z times the transposed factor
    let step = match factor.ndim() {
        2 => z.matmul(&factor.mt()),
        _ => (factor * z.expand_dims(-2)).sum(-1),
    };
    Ok(mean + step)
}

/// f32 matrices \[.., n, n\] uniform in the orthogonal group O(n) (Mezzadri 2007, "How to generate random matrices from the
/// classical compact groups"); `shape` holds the axes in front.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let q = random::orthogonal(&Key::new(0), 3, ());
/// let e = (q.matmul(&q.mt()) - Tensor::eye(3)).abs().max(..);
/// assert!(e.item::<f32>().unwrap() < 1e-5);
/// ```
#[track_caller]
pub fn orthogonal(key: &Key, n: usize, shape: impl IntoShape) -> Tensor {
    orthogonal_as(key, n, n, shape, DType::F32)
}

/// Matrices \[.., n, m\] of orthonormal columns if m <= n, else of orthonormal rows, uniform among these; of a complex
/// dtype unitary.
#[track_caller]
pub fn orthogonal_as(key: &Key, n: usize, m: usize, shape: impl IntoShape, dtype: DType) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let mut shape = plain_shape("orthogonal", shape)?;
        if !dtype.is_inexact() {
            return Err(Error::bad_dtype("orthogonal", dtype, "a float or complex"));
        }
        shape.extend([n.max(m), n.min(m)]);
        let z = normal_at(key, &shape, dtype, &loc)?;
        let half = dtype.size() < 4;
        let (q, r) = linalg::qr(&if half { z.to(DType::F32) } else { z });
        let q = &q * r.diagonal(0, -2, -1).sign().expand_dims(-2);
        let q = if half { q.to(dtype) } else { q };
        Ok(if n < m { q.mt() } else { q })
    };
    settle(&loc, run())
}
