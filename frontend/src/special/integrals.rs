//! Exponential integrals.

use super::smooth::{Function, smooth};
use super::{call, polynomial};
use crate::tensor::Tensor;
use gradloom_ir::Loc;
use std::rc::Rc;

const EULER: f64 = 0.577_215_664_901_532_9;
/// How often the functions of this file differentiate in reverse mode: as often as their loops are wrapped.
const ORDER: usize = 3;
/// Terms of the continued fraction, enough for x >= 2 in f64.
const FRACTION_TERMS: usize = 60;
/// From here on the asymptotic series of Ei is exact to rounding.
const FAR: f64 = 40.0;

/// sum over k >= 1 of x^k / (k k!), by the ratios of its terms: the factorials are beyond f32.
fn series(x: &Tensor, terms: usize) -> Tensor {
    let nested = (1..terms).rev().fold(x.ones_like(), |y, k| {
        let k = k as f64;
        y * x * (k / ((k + 1.0) * (k + 1.0))) + 1.0
    });
    nested * x
}

/// E1 for x > 0.
fn exp1_right(x: &Tensor) -> Tensor {
    let near = x.lt(2.0);
    let (small, large) = (near.select(x, 1.0), near.select(2.0, x));
    let inner = -(small.log() + EULER) - series(&-&small, 26);
    // e^-x / (x + 1 - 1 / (x + 3 - 4 / (x + 5 - ..))), from the end
    let mut tail = large.zeros_like();
    for k in (1..FRACTION_TERMS).rev() {
        let k = k as f64;
        tail = k * k / (&large + (2.0 * k + 1.0) - tail);
    }
    let outer = (-&large).exp() / (&large + 1.0 - tail);
    near.select(inner, outer)
}

/// Exponential integral E1(x), the integral of e^-t / t from x to infinity; NaN for x < 0.
#[track_caller]
pub fn exp1(x: &Tensor) -> Tensor {
    let f: Function = Rc::new(|v| {
        let x = &v[0];
        let inside = x.gt(0.0);
        let edge = x.eq(0.0).select(x.full_like(f64::INFINITY), x.full_like(f64::NAN));
        inside.select(exp1_right(&inside.select(x, 1.0)), edge)
    });
    let slope: Function = Rc::new(|v| -((-&v[0]).exp() / &v[0]));
    call("exp1", [x.clone()], |v| smooth(&f, &slope, ORDER, v), &Loc::caller())
}

/// Exponential integral Ei(x), the principal value of the integral of e^t / t from -infinity to x.
#[track_caller]
pub fn expi(x: &Tensor) -> Tensor {
    let f: Function = Rc::new(|v| {
        let x = &v[0];
        let (left, far) = (x.lt(0.0), x.gt(FAR));
        let middle = x.gt(0.0) & x.le(FAR);
        let centre = middle.select(x, 1.0);
        let inner = centre.log() + EULER + series(&centre, 130);
        let large = far.select(x, FAR);
        // e^x / x sum k! / x^k
        let mut factorial = 1.0;
        let c: Vec<f64> = (0..30)
            .map(|k| {
                factorial *= f64::from(k.max(1));
                factorial
            })
            .collect();
        // e^x may overflow where the quotient does not
        let half = (&large * 0.5).exp();
        let outer = &half * (&half / &large) * polynomial(&(1.0 / &large), c.into_iter());
        let negative = -exp1_right(&left.select(-x, 1.0));
        let edge = x.eq(0.0).select(x.full_like(f64::NEG_INFINITY), x);
        let outer = x.eq(f64::INFINITY).select(x, outer);
        left.select(negative, far.select(outer, middle.select(inner, edge)))
    });
    let slope: Function = Rc::new(|v| v[0].exp() / &v[0]);
    call("expi", [x.clone()], |v| smooth(&f, &slope, ORDER, v), &Loc::caller())
}
