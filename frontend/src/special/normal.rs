//! The standard normal distribution.

use super::call;
use super::smooth::{Function, smooth};
use crate::tensor::Tensor;
use gradloom_ir::{DType, Loc};
use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};
use std::rc::Rc;

/// The share of the standard normal distribution below x.
#[track_caller]
pub fn ndtr(x: &Tensor) -> Tensor {
    call("ndtr", [x.clone()], |[x]| (x * -FRAC_1_SQRT_2).erfc() * 0.5, &Loc::caller())
}

/// ln of [`ndtr`], accurate far out on both sides.
#[track_caller]
pub fn log_ndtr(x: &Tensor) -> Tensor {
    call("log_ndtr", [x.clone()], |[x]| log_share(x), &Loc::caller())
}

fn log_share(x: &Tensor) -> Tensor {
    let double = x.dtype() == DType::F64;
    let (low, high, terms) = if double { (-20.0, 0.5, 14) } else { (-10.0, 0.5, 6) };
    let (is_low, is_high) = (x.lt(low), x.gt(high));
    // ln(1 - share above)
    let upper = is_high.select(x, high);
    let upper = (-((upper * FRAC_1_SQRT_2).erfc() * 0.5)).log1p();
    let middle = is_low.select(0.0, is_high.select(0.0, x));
    let middle = ((middle * -FRAC_1_SQRT_2).erfc() * 0.5).log();
    // -x^2 / 2 - ln(-x sqrt(2 pi)) + ln(1 - 1 / x^2 + 3 / x^4 - 15 / x^6 + ..)
    let lower = is_low.select(x, low);
    let square = lower.square();
    let mut c = 1.0;
    let series: Vec<f64> = (1..=terms)
        .map(|k| {
            c *= -f64::from(2 * k - 1);
            c
        })
        .collect();
    let inverse = 1.0 / &square;
    let series = super::polynomial(&inverse, series.into_iter()) * &inverse;
    let lower = square * -0.5 - (-lower).log() - 0.5 * (2.0 * PI).ln() + series.log1p();
    is_low.select(lower, is_high.select(upper, middle))
}

/// Steps of Newton; each doubles the number of right digits.
const STEPS: usize = 6;

/// The quantile of p <= 1/2 by Newton's method on the logarithm of the share.
fn lower_quantile(p: &Tensor) -> Tensor {
    let log_p = p.log();
    // sqrt(-2 ln(p) - ln(-2 ln(p) 2 pi)) is right far out; a share of 1/2 starts at -1
    let w = log_p.abs() * 2.0;
    let mut x = -(&w - (&w * (2.0 * PI)).maximum(1.0).log()).maximum(1.0).sqrt();
    for _ in 0..STEPS {
        let l = log_share(&x);
        // share / density
        let inverse_slope = (&l + x.square() * 0.5 + 0.5 * (2.0 * PI).ln()).exp();
        x = &x - (l - &log_p) * inverse_slope;
    }
    x
}

/// The quantile of the standard normal distribution: the inverse of [`ndtr`] on (0, 1), infinite at the ends.
/// Differentiable in reverse mode to third order.
#[track_caller]
pub fn ndtri(p: &Tensor) -> Tensor {
    let f: Function = Rc::new(|v| {
        let p = &v[0];
        let (low, high) = (p.lt(0.15), p.gt(0.85));
        let inner = (low.clone() | high.clone()).select(0.5, p);
        let inner = (inner * 2.0 - 1.0).erf_inv() * SQRT_2;
        // 1 - p is exact on the right
        let tail = low.select(p, high.select(1.0 - p, 0.15));
        let inside = tail.gt(0.0);
        let outer = lower_quantile(&inside.select(&tail, 0.15));
        let edge = tail.eq(0.0).select(tail.full_like(f64::NEG_INFINITY), tail.full_like(f64::NAN));
        let outer = inside.select(outer, edge);
        let nan = p.ne(p);
        nan.select(p, low.select(&outer, high.select(-&outer, inner)))
    });
    // dx/dp = 1 / density, as a function of p by way of x once more
    let g = f.clone();
    let slope: Function = Rc::new(move |v| (inverse(&g, &v[0], 2).square() * 0.5).exp() * (2.0 * PI).sqrt());
    call("ndtri", [p.clone()], |v| smooth(&f, &slope, 1, v), &Loc::caller())
}

/// `ndtri` that may be differentiated `order` more times.
fn inverse(f: &Function, p: &Tensor, order: usize) -> Tensor {
    if order == 0 {
        return f(std::slice::from_ref(p));
    }
    let g = f.clone();
    let slope: Function = Rc::new(move |v| (inverse(&g, &v[0], order - 1).square() * 0.5).exp() * (2.0 * PI).sqrt());
    smooth(f, &slope, 1, std::slice::from_ref(p))
}
