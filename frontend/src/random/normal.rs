//! The normal distribution and what is made of it.

use super::continuous::limits;
use super::uniform::{uniform_at, unit_at};
use super::{Key, parameter};
use crate::tensor::arithmetic::{binary_at, unary_at};
use crate::tensor::axes::settle;
use crate::tensor::convert::{plain_shape, scalar_at};
use crate::tensor::{IntoShape, Operand, Tensor};
use crate::transform::stop_gradient;
use gradloom_ir::{Binary, DType, Error, Loc, Result, Unary};

pub(super) fn normal_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
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

/// The standard normal distribution in any float dtype.
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

/// mean + factor z for standard normal z: the normal distribution with covariance `factor factor^T`, such as of a
/// Cholesky factor. `mean` is \[.., d\], `factor` \[.., d, d\]; their leading axes broadcast to the shape, to which
/// the axis of length d is added.
#[track_caller]
pub fn multivariate_normal(key: &Key, mean: &Tensor, factor: &Tensor, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let op = "multivariate_normal";
        mean.check()?;
        factor.check()?;
        let mut shape = plain_shape(op, shape)?;
        let Some(&d) = mean.shape().last() else {
            return Err(Error::user(op, format!("the mean must be a vector, it is {}", mean.ty_ref())));
        };
        if !factor.shape().ends_with(&[d, d]) {
            let (m, f) = (mean.ty_ref(), factor.ty_ref());
            return Err(Error::user(op, format!("the factor {f} is no {d} x {d} matrix, as the mean {m} asks")));
        }
        shape.push(d);
        let mean = parameter(op, mean, &shape, &loc)?;
        let z = normal_at(key, &shape, mean.dtype(), &loc)?;
        // rows of z times the transposed factor
        let step = (factor * z.expand_dims(-2)).sum(-1);
        Ok(mean + step)
    };
    settle(&loc, run())
}
