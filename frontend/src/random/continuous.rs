//! Continuous distributions that are one function of a uniform number.

use super::uniform::{uniform_at, unit_at};
use super::{Key, parameter, parameters};
use crate::tensor::axes::settle;
use crate::tensor::convert::{plain_shape, scalar_at};
use crate::tensor::{IntoShape, Operand, Tensor};
use gradloom_ir::{DType, Loc, Result};
use std::f64::consts::PI;

/// The least normal number, the distance from 1 to the float above, and that to the float below.
pub(super) fn limits(dtype: DType) -> (f64, f64, f64) {
    let (tiny, epsilon) = match dtype {
        DType::F64 => (f64::MIN_POSITIVE, f64::EPSILON),
        DType::F16 => (2f64.powi(-14), 2f64.powi(-10)),
        DType::BF16 => (2f64.powi(-126), 2f64.powi(-7)),
        _ => (f64::from(f32::MIN_POSITIVE), f64::from(f32::EPSILON)),
    };
    (tiny, epsilon, epsilon / 2.0)
}

/// Uniform in [lo, 1).
fn from_low(key: &Key, shape: &[usize], lo: f64, dtype: DType, loc: &Loc) -> Result<Tensor> {
    uniform_at(key, shape, &scalar_at(dtype, lo, loc), &scalar_at(dtype, 1.0, loc), loc)
}

pub(super) fn exponential_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    Ok(-(-unit_at(key, shape, dtype, loc)?).log1p())
}

pub(super) fn gumbel_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    Ok(-(-from_low(key, shape, limits(dtype).0, dtype, loc)?.log()).log())
}

fn laplace_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    let u = from_low(key, shape, -1.0 + limits(dtype).2, dtype, loc)?;
    Ok(u.sign() * (-u.abs()).log1p())
}

fn logistic_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    let u = from_low(key, shape, limits(dtype).0, dtype, loc)?;
    Ok(u.log() - (-u).log1p())
}

fn cauchy_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    let u = from_low(key, shape, limits(dtype).1, dtype, loc)?;
    Ok(((u - 0.5) * PI).tan())
}

/// Distributions without parameters: documentation, name, name with a dtype, computed by.
macro_rules! standard {
    ($($doc:literal $name:ident $name_as:ident $at:ident;)*) => {$(
        #[doc = concat!("f32 of ", $doc)]
        #[track_caller]
        pub fn $name(key: &Key, shape: impl IntoShape) -> Tensor {
            $name_as(key, shape, DType::F32)
        }

        #[doc = concat!("Floats of `dtype` of ", $doc)]
        #[track_caller]
        pub fn $name_as(key: &Key, shape: impl IntoShape, dtype: DType) -> Tensor {
            let loc = Loc::caller();
            settle(&loc, plain_shape(stringify!($name), shape).and_then(|s| $at(key, &s, dtype, &loc)))
        }
    )*};
}
standard! {
    "the exponential distribution of rate 1." exponential exponential_as exponential_at;
    "the standard Gumbel distribution." gumbel gumbel_as gumbel_at;
    "the Laplace distribution of mean 0 and scale 1." laplace laplace_as laplace_at;
    "the logistic distribution of mean 0 and scale 1." logistic logistic_as logistic_at;
    "the Cauchy distribution of location 0 and scale 1." cauchy cauchy_as cauchy_at;
}

/// The Pareto distribution of shape `b` on (1, inf).
#[track_caller]
pub fn pareto(key: &Key, b: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("pareto", shape)?;
        let b = parameter("pareto", &b, &shape, &loc)?;
        Ok((exponential_at(key, &shape, b.dtype(), &loc)? / b).exp())
    };
    settle(&loc, run())
}

/// The Rayleigh distribution of this scale.
#[track_caller]
pub fn rayleigh(key: &Key, scale: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("rayleigh", shape)?;
        let scale = parameter("rayleigh", &scale, &shape, &loc)?;
        Ok((unit_at(key, &shape, scale.dtype(), &loc)?.log() * -2.0).sqrt() * scale)
    };
    settle(&loc, run())
}

/// The Weibull distribution of this scale and concentration.
#[track_caller]
pub fn weibull_min(key: &Key, scale: impl Operand, concentration: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("weibull_min", shape)?;
        let [scale, c] = parameters("weibull_min", &scale, &concentration, &shape, &loc)?;
        Ok(exponential_at(key, &shape, scale.dtype(), &loc)?.pow(1.0 / c) * scale)
    };
    settle(&loc, run())
}
