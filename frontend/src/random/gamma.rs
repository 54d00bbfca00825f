//! The gamma distribution and those made of it.

use super::continuous::{exponential_at, limits};
use super::normal::{normal_as, normal_at};
use super::uniform::{rademacher_as, uniform_as};
use super::{Key, parameter, parameters};
use crate::special::random_gamma_grad;
use crate::tensor::axes::settle;
use crate::tensor::convert::plain_shape;
use crate::tensor::{IntoShape, Operand, Tensor};
use crate::transform::{custom_jvp, vmap, while_loop};
use gradloom_ir::{DType, Error, Loc, Result};

/// How often samples differentiate with respect to the shape parameter.
const ORDER: usize = 2;

/// One sample of shape `a`, or its logarithm (Marsaglia and Tsang 2000, "A simple method for generating gamma
/// variables").
fn sample_one(key: &Key, a: &Tensor, log: bool) -> Tensor {
    let dtype = a.dtype();
    let number = |v: f64| a.full_like(v);
    // a < 1 is sampled as a + 1 and scaled by u^(1 / a)
    let plain = a.ge(1.0);
    let raised = plain.select(a, a + 1.0);
    let d = raised - 1.0 / 3.0;
    let c = (1.0 / 3.0) / d.sqrt();
    let keys = key.split(2);
    let rejected = |(_, square, v, u): &(Key, Tensor, Tensor, Tensor)| {
        let quick = u.ge(1.0 - square.square() * 0.0331);
        let slow = u.log().ge(square * 0.5 + &d * ((1.0 - v) + v.log()));
        quick & slow
    };
    let propose = |(key, ..): &(Key, Tensor, Tensor, Tensor)| {
        let keys = key.split(3);
        let start = (keys[1].clone(), number(0.0), number(-1.0));
        let (_, x, v) = while_loop(
            |(_, _, v): &(Key, Tensor, Tensor)| v.le(0.0),
            |(key, ..)| {
                let keys = key.split(2);
                let x = normal_as(&keys[1], (), dtype);
                let v = &x * &c + 1.0;
                (keys[0].clone(), x, v)
            },
            &start,
        );
        (keys[0].clone(), x.square(), &v * &v * &v, uniform_as(&keys[2], (), dtype))
    };
    let (_, _, v, _) = while_loop(rejected, propose, &(keys[0].clone(), number(0.0), number(1.0), number(2.0)));
    let u = uniform_as(&keys[1], (), dtype);
    let y = if log {
        let log_u = (-u).log1p();
        let shift = (plain | log_u.eq(0.0)).select(0.0, &log_u * (1.0 / a));
        d.log() + v.log() + shift
    } else {
        d * v * plain.select(1.0, (1.0f64 - u).pow(1.0f64 / a))
    };
    // there is no distribution of negative shape
    a.lt(0.0).select(f64::NAN, y)
}

/// Samples whose derivative in `a` is that at fixed rank (implicit reparameterisation, Figurnov et al. 2018).
fn sample(key: &Key, a: &Tensor, log: bool, order: usize) -> Tensor {
    let plain = |a: &Tensor| {
        let flat = a.reshape([-1]);
        if flat.size() == 0 {
            return a.clone();
        }
        let keys = key.split_batch(flat.size());
        vmap(|(k, a): &(Key, Tensor)| sample_one(k, a, log))(&(keys, flat)).reshape(a.shape())
    };
    let rule = |a: &Tensor, da: &Tensor| {
        if order == 0 {
            // not differentiable that often: NaN rather than a wrong number
            return (plain(a), da * f64::NAN);
        }
        let y = sample(key, a, log, order - 1);
        let slope = if log {
            let x = y.exp().maximum(limits(a.dtype()).0);
            random_gamma_grad(a, &x) / x
        } else {
            random_gamma_grad(a, &y)
        };
        (y, da * slope)
    };
    custom_jvp(plain, rule)(a)
}

/// The gamma distribution of shape `a` and scale 1, differentiable twice with respect to `a`.
#[track_caller]
pub fn gamma(key: &Key, a: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("gamma", shape)?;
        Ok(sample(key, &parameter("gamma", &a, &shape, &loc)?, false, ORDER))
    };
    settle(&loc, run())
}

/// The logarithm of [`gamma`], which for small `a` does not underflow; differentiable twice with respect to `a`.
#[track_caller]
pub fn loggamma(key: &Key, a: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("loggamma", shape)?;
        Ok(sample(key, &parameter("loggamma", &a, &shape, &loc)?, true, ORDER))
    };
    settle(&loc, run())
}

/// The beta distribution of `a` and `b`.
#[track_caller]
pub fn beta(key: &Key, a: impl Operand, b: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("beta", shape)?;
        let [a, b] = parameters("beta", &a, &b, &shape, &loc)?;
        let [key_a, key_b] = key.pair(&loc)?;
        let (la, lb) = (sample(&key_a, &a, true, ORDER), sample(&key_b, &b, true, ORDER));
        let most = la.maximum(&lb);
        let (x, y) = ((la - &most).exp(), (lb - &most).exp());
        Ok(&x / (&x + y))
    };
    settle(&loc, run())
}

/// The Dirichlet distribution of the parameters in the last axis of `alpha`; `shape` is without that axis.
#[track_caller]
pub fn dirichlet(key: &Key, alpha: &Tensor, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        alpha.check()?;
        let mut shape = plain_shape("dirichlet", shape)?;
        let Some(&n) = alpha.shape().last() else {
            let what = format!("alpha must have an axis of parameters, it is the scalar {}", alpha.ty_ref());
            return Err(Error::user("dirichlet", what));
        };
        shape.push(n);
        let alpha = parameter("dirichlet", alpha, &shape, &loc)?;
        Ok(sample(key, &alpha, true, ORDER).softmax(-1))
    };
    settle(&loc, run())
}

fn chisquare_at(key: &Key, df: &Tensor) -> Tensor {
    sample(key, &(df / 2.0), true, ORDER).exp() * 2.0
}

/// The chi-square distribution of `df` degrees of freedom.
#[track_caller]
pub fn chisquare(key: &Key, df: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("chisquare", shape)?;
        Ok(chisquare_at(key, &parameter("chisquare", &df, &shape, &loc)?))
    };
    settle(&loc, run())
}

/// Student's t distribution of `df` degrees of freedom.
#[track_caller]
pub fn student_t(key: &Key, df: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("student_t", shape)?;
        let half = parameter("student_t", &df, &shape, &loc)? / 2.0;
        let [key_n, key_g] = key.pair(&loc)?;
        let n = normal_at(&key_n, &shape, half.dtype(), &loc)?;
        Ok(n * (&half / sample(&key_g, &half, false, ORDER)).sqrt())
    };
    settle(&loc, run())
}

/// The F distribution: the ratio of two chi-square variables, each over its degrees of freedom.
#[track_caller]
pub fn f_ratio(key: &Key, numerator: impl Operand, denominator: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("f_ratio", shape)?;
        let [above, below] = parameters("f_ratio", &numerator, &denominator, &shape, &loc)?;
        let [key_below, key_above] = key.pair(&loc)?;
        let (x, y) = (chisquare_at(&key_above, &above), chisquare_at(&key_below, &below));
        Ok((x / above) / (y / below))
    };
    settle(&loc, run())
}

fn generalized_normal_at(key: &Key, p: f64, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    let [key_g, key_r] = key.pair(loc)?;
    let a = crate::tensor::arithmetic::broadcast_at(&crate::tensor::scalar_at(dtype, 1.0 / p, loc), shape, loc);
    let r = rademacher_as(&key_r, shape, dtype);
    Ok(r * sample(&key_g, &a, false, ORDER).pow(1.0 / p))
}

/// The distribution of density proportional to e^-|x|^p (f32).
#[track_caller]
pub fn generalized_normal(key: &Key, p: f64, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || generalized_normal_at(key, p, &plain_shape("generalized_normal", shape)?, DType::F32, &loc);
    settle(&loc, run())
}

/// Uniform points (f32) of the unit ball of the p-norm in `d` dimensions, which become the last axis (Barthe, Guedon,
/// Mendelson and Naor 2005).
#[track_caller]
pub fn ball(key: &Key, d: usize, p: f64, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("ball", shape)?;
        let [key_g, key_e] = key.pair(&loc)?;
        let mut all = shape.clone();
        all.push(d);
        let g = generalized_normal_at(&key_g, p, &all, DType::F32, &loc)?;
        let e = exponential_at(&key_e, &shape, DType::F32, &loc)?;
        let norm = (g.abs().pow(p).sum(-1) + e).pow(1.0 / p);
        Ok(g / norm.expand_dims(-1))
    };
    settle(&loc, run())
}
