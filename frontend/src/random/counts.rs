//! Distributions of counts.

use super::uniform::{uniform_as, unit_at};
use super::{Key, parameter, parameters};
use crate::tensor::axes::settle;
use crate::tensor::convert::plain_shape;
use crate::tensor::{IntoShape, Operand, Tensor};
use crate::transform::{stop_gradient, while_loop};
use gradloom_ir::{DType, Loc};

/// Rounds of rejection; each accepts with probability of more than one half. Parameters without a distribution, such
/// as infinity, end here.
const MOST_ROUNDS: i32 = 1000;

/// Counts (i32) of the Poisson distribution of rate `rate`, -1 where there is no such distribution; not differentiable.
#[track_caller]
pub fn poisson(key: &Key, rate: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("poisson", shape)?;
        let rate = stop_gradient(&parameter("poisson", &rate, &shape, &loc)?);
        let few = rate.ne(&rate) | rate.lt(10.0);
        let small = poisson_by_products(key, &few.select(&rate, 0.0));
        let large = poisson_by_rejection(key, &few.select(1e5, &rate));
        let known = rate.ge(0.0) & rate.lt(f64::INFINITY);
        Ok(known.select(rate.eq(0.0).select(0, few.select(small, large)), -1))
    };
    settle(&loc, run())
}

/// The number of uniform factors whose product stays above e^-rate (Knuth).
fn poisson_by_products(key: &Key, rate: &Tensor) -> Tensor {
    let minus = -rate;
    let start = (Tensor::from(0i32), rate.zeros_like().to(DType::I32), key.clone(), rate.zeros_like());
    let (_, k, ..) = while_loop(
        |(n, _, _, log): &(Tensor, Tensor, Key, Tensor)| log.gt(&minus).any(..) & n.lt(MOST_ROUNDS),
        |(n, k, key, log)| {
            let keys = key.split(2);
            let k = log.gt(&minus).select(k + 1, k);
            let u = uniform_as(&keys[1], rate.shape(), DType::F32).to(rate.dtype());
            (n + 1, k, keys[0].clone(), log + u.log())
        },
        &start,
    );
    k - 1
}

/// Transformed rejection, for rates of 10 and more (Hörmann 1993).
fn poisson_by_rejection(key: &Key, rate: &Tensor) -> Tensor {
    let log_rate = rate.log();
    let b = rate.sqrt() * 2.53 + 0.931;
    let a = &b * 0.02483 - 0.059;
    let inverse_alpha = 1.1328 / (&b - 3.4) + 1.1239;
    let v_r = 0.9277 - 3.6224 / (&b - 2.0);
    let start = (Tensor::from(0i32), rate.full_like(-1.0), rate.ne(rate), key.clone());
    let (_, k, ..) = while_loop(
        |(n, _, done, _): &(Tensor, Tensor, Tensor, Key)| (!done).any(..) & n.lt(MOST_ROUNDS),
        |(n, found, done, key)| {
            let keys = key.split(3);
            let u = uniform_as(&keys[1], rate.shape(), rate.dtype()) - 0.5;
            let v = uniform_as(&keys[2], rate.shape(), rate.dtype());
            let inner = 0.5f64 - u.abs();
            let k = ((&a * 2.0 / &inner + &b) * &u + rate + 0.43).floor();
            let s = (&v * &inverse_alpha / (&a / inner.square() + &b)).log();
            let t = &k * &log_rate - rate - (&k + 1.0).lgamma();
            let quick = inner.ge(0.07) & v.le(&v_r);
            let out = k.lt(0.0) | (inner.lt(0.013) & v.gt(&inner));
            let accept = quick | (!out & s.le(t));
            (n + 1, accept.select(k, found), done | &accept, keys[0].clone())
        },
        &start,
    );
    k.to(DType::I32)
}

/// The number of trials (as floats) up to the first success of probability `p`; not differentiable.
#[track_caller]
pub fn geometric(key: &Key, p: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("geometric", shape)?;
        let p = stop_gradient(&parameter("geometric", &p, &shape, &loc)?);
        let u = unit_at(key, &shape, p.dtype(), &loc)?;
        let log_u = u.eq(0.0).select(1.0, &u).log();
        Ok((log_u / (-p).log1p()).floor() + 1.0)
    };
    settle(&loc, run())
}

/// The number of successes (as floats) in `n` trials of probability `p`; NaN where there is no such distribution; not
/// differentiable.
#[track_caller]
pub fn binomial(key: &Key, n: impl Operand, p: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("binomial", shape)?;
        let [n, p] = parameters("binomial", &n, &p, &shape, &loc)?;
        let (n, p) = (stop_gradient(&n), stop_gradient(&p));
        // by the rarer outcome
        let rare = p.lt(0.5);
        let q = rare.select(&p, 1.0 - &p);
        let no_n = n.ne(&n) | n.lt(0.0);
        let no_p = q.ne(&q) | q.lt(0.0);
        let endless = n.eq(f64::INFINITY);
        let q = no_p.select(0.01, &q);
        let few = &no_n | (&n * &q).le(10.0);
        let n = n.floor();
        let small = binomial_by_gaps(key, &(few.clone() & !&no_n).select(&n, 0.0), &q);
        let large = binomial_by_rejection(key, &(&few | &endless).select(1e4, &n), &few.select(0.5, &q));
        let k = few.select(small, large);
        let k = rare.select(&k, &n - &k);
        let k = endless.select(f64::INFINITY, k);
        Ok((no_n | no_p).select(f64::NAN, k))
    };
    settle(&loc, run())
}

/// The number of geometric gaps that fit into n trials (Devroye 1986).
fn binomial_by_gaps(key: &Key, n: &Tensor, p: &Tensor) -> Tensor {
    let log_fail = (-p).log1p();
    let start = (Tensor::from(0i32), n.zeros_like(), n.zeros_like(), key.clone());
    let (_, k, ..) = while_loop(
        |(i, _, sum, _): &(Tensor, Tensor, Tensor, Key)| sum.le(n).any(..) & i.lt(MOST_ROUNDS),
        |(i, k, sum, key)| {
            let keys = key.split(2);
            let k = sum.le(n).select(k + 1.0, k);
            let gap = (uniform_as(&keys[0], n.shape(), n.dtype()).log() / &log_fail).ceil();
            (i + 1, k, sum + gap, keys[1].clone())
        },
        &start,
    );
    k - 1.0
}

/// ln k! less Stirling's formula for it: by the asymptotic series.
fn stirling_tail(k: &Tensor) -> Tensor {
    const FIRST: [f64; 10] = [
        0.0810614667953272,
        0.0413406959554092,
        0.0276779256849983,
        0.02079067210376509,
        0.0166446911898211,
        0.0138761288230707,
        0.0118967099458917,
        0.0104112652619720,
        0.00925546218271273,
        0.00833056343336287,
    ];
    let k1 = k + 1.0;
    let square = k1.square();
    let far = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / &square) / &square) / k1;
    let whole = k.floor().clip(0.0, 9.0);
    let near = (0..10).fold(k.zeros_like(), |y, i| whole.eq(f64::from(i)).select(FIRST[i as usize], y));
    k.le(9.0).select(near, far)
}

/// Transformed rejection with squeeze, for n p >= 10 (Hörmann 1993, BTRS).
fn binomial_by_rejection(key: &Key, n: &Tensor, p: &Tensor) -> Tensor {
    let deviation = (n * p * (1.0 - p)).sqrt();
    let b = &deviation * 2.53 + 1.15;
    let a = &b * 0.0248 - 0.0873 + p * 0.01;
    let c = n * p + 0.5;
    let v_r = 0.92 - 4.2 / &b;
    let r = p / (1.0 - p);
    let alpha = (5.1 / &b + 2.83) * &deviation;
    let m = ((n + 1.0) * p).floor();
    let start = (Tensor::from(0i32), n.full_like(-1.0), n.ne(n), key.clone());
    let (_, k, ..) = while_loop(
        |(i, _, done, _): &(Tensor, Tensor, Tensor, Key)| (!done).any(..) & i.lt(MOST_ROUNDS),
        |(i, found, done, key)| {
            let keys = key.split(3);
            let u = uniform_as(&keys[1], n.shape(), n.dtype()) - 0.5;
            let v = uniform_as(&keys[2], n.shape(), n.dtype());
            let inner = 0.5f64 - u.abs();
            let quick = inner.ge(0.07) & v.le(&v_r);
            let k = ((&a * 2.0 / &inner + &b) * &u + &c).floor();
            let out = k.lt(0.0) | k.gt(n);
            let v = (v * &alpha / (&a / inner.square() + &b)).log();
            let bound = (&m + 0.5) * ((&m + 1.0) / (&r * (n - &m + 1.0))).log()
                + (n + 1.0) * ((n - &m + 1.0) / (n - &k + 1.0)).log()
                + (&k + 0.5) * (&r * (n - &k + 1.0) / (&k + 1.0)).log()
                + stirling_tail(&m)
                + stirling_tail(&(n - &m))
                - stirling_tail(&k)
                - stirling_tail(&(n - &k));
            let accept = quick | (!out & v.le(bound));
            (i + 1, accept.select(k, found), done | &accept, keys[0].clone())
        },
        &start,
    );
    k
}
