//! Incomplete gamma and beta functions.

use super::smooth::{Function, derivative, smooth};
use super::{call, pair};
use crate::tensor::{Operand, Tensor};
use crate::transform::while_loop;
use gradloom_ir::{DType, Loc};
use std::f64::consts::PI;
use std::rc::Rc;

/// Loops end here, come what may. Both need about sqrt(a) steps near x = a.
const MOST_STEPS: i32 = 50_000;
/// How often the functions of this file differentiate in reverse mode.
const ORDER: usize = 2;

fn epsilon(x: &Tensor) -> f64 {
    if x.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}

/// ln(gamma(a) / (sqrt(2 pi / a) (a / e)^a)) for a > 0: what Stirling's formula misses.
fn stirling_rest(a: &Tensor) -> Tensor {
    // B2k / (2k (2k - 1))
    const SERIES: [f64; 8] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360360.0,
        1.0 / 156.0,
        -3617.0 / 122400.0,
    ];
    let far = a.ge(10.0);
    let (large, small) = (far.select(a, 10.0), far.select(1.0, a));
    let inverse = large.ones_like() / &large;
    let series = super::polynomial(&inverse.square(), SERIES.into_iter()) * inverse;
    let direct = small.lgamma() - (&small - 0.5) * small.log() + &small - 0.5 * (2.0 * PI).ln();
    far.select(series, direct)
}

/// ln(x / x0) - (x / x0 - 1), given `excess` = x / x0 - 1.
fn log_excess(ratio: &Tensor, excess: &Tensor) -> Tensor {
    // near ratio 0 the excess has lost its digits, near 1 the ratio
    let low = ratio.lt(0.5);
    let l = low.select(low.select(ratio, 1.0).log(), low.select(0.0, excess).log1p());
    l - excess
}

/// x^a e^-x / gamma(a), without the cancellation of its factors.
fn gamma_front(a: &Tensor, x: &Tensor) -> Tensor {
    let mu = (x - a) / a;
    let exponent = a * log_excess(&(x / a), &mu) - stirling_rest(a);
    (a * (0.5 / PI)).sqrt() * exponent.exp()
}

/// The density of the gamma distribution, the derivative of P in x.
fn gamma_density(v: &[Tensor]) -> Tensor {
    let (a, x) = (&v[0], &v[1]);
    let (inside, a_safe, x_safe) = gamma_domain(a, x);
    let value = gamma_front(&a_safe, &x_safe) / &x_safe;
    // at 0 it is infinite, 1 or 0 as a is below, at or above 1
    let origin = a.lt(1.0).select(f64::INFINITY, a.eq(1.0).select(a.ones_like(), a.zeros_like()));
    inside.select(value, x.eq(0.0).select(origin, x * 0.0 + a * 0.0))
}

/// Where the formulas hold, and operands that are harmless elsewhere.
fn gamma_domain(a: &Tensor, x: &Tensor) -> (Tensor, Tensor, Tensor) {
    let positive = |t: &Tensor| t.gt(0.0) & t.lt(f64::INFINITY);
    let inside = positive(a) & positive(x);
    (inside.clone(), inside.select(a, 1.0), inside.select(x, 1.0))
}

/// sum over n of x^n / ((a + 1) .. (a + n))
fn gamma_series(a: &Tensor, x: &Tensor) -> Tensor {
    let limit = epsilon(x) / 16.0;
    let start = (Tensor::from(0i32), a.clone(), a.ones_like(), a.ones_like());
    let (_, _, _, sum) = while_loop(
        |(n, _, term, sum): &(Tensor, Tensor, Tensor, Tensor)| term.gt(sum * limit).any(..) & n.lt(MOST_STEPS),
        |(n, r, term, sum)| {
            let r = r + 1.0;
            let term = term * x / &r;
            let sum = sum + &term;
            (n + 1, r, term, sum)
        },
        &start,
    );
    sum
}

/// 1 / (x + 1 - a - (1 - a) / (x + 3 - a - 2 (2 - a) / (x + 5 - a - ..))), by Lentz's method, for x > a.
fn gamma_fraction(a: &Tensor, x: &Tensor) -> Tensor {
    let limit = epsilon(x);
    let b = x - a + 1.0;
    let d = b.ones_like() / &b;
    let start = (Tensor::from(0i32), a.zeros_like(), b.clone(), a.full_like(1e30), d.clone(), d, a.full_like(2.0));
    let (_, _, _, _, _, h, _) = while_loop(
        |(n, _, _, _, _, _, step): &(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)| {
            (step - 1.0).abs().gt(limit).any(..) & n.lt(MOST_STEPS)
        },
        |(n, k, b, c, d, h, _)| {
            let k = k + 1.0;
            let numerator = &k * (a - &k);
            let b = b + 2.0;
            let d = d.ones_like() / (&numerator * d + &b);
            let c = &b + numerator / c;
            let step = &c * &d;
            let h = h * &step;
            (n + 1, k, b, c, d, h, step)
        },
        &start,
    );
    h
}

/// Which formula serves, and operands for both that are harmless where the other serves.
fn gamma_regions(a: &Tensor, x: &Tensor) -> (Tensor, [Tensor; 2], [Tensor; 2]) {
    let by_series = x.le(1.0) | x.le(a);
    let series = [by_series.select(a, 1.0), by_series.select(x, 0.5)];
    let fraction = [by_series.select(1.0, a), by_series.select(2.0, x)];
    (by_series, series, fraction)
}

/// P(a, x), or Q(a, x) where `upper`.
fn gamma_plain(a: &Tensor, x: &Tensor, upper: bool) -> Tensor {
    let (inside, a_safe, x_safe) = gamma_domain(a, x);
    let (by_series, [a1, x1], [a2, x2]) = gamma_regions(&a_safe, &x_safe);
    let front = gamma_front(&a_safe, &x_safe);
    let series = gamma_series(&a1, &x1);
    let p = &front / &a_safe * &series;
    let q = front * gamma_fraction(&a2, &x2);
    let value = if upper {
        // for small a and x, P is near 1: 1 - e^(ln P)
        let small = x1.le(1.0);
        let log_p = &a1 * x1.log() - &x1 - (&a1 + 1.0).lgamma() + series.log();
        by_series.select(small.select(-log_p.expm1(), 1.0 - p), q)
    } else {
        by_series.select(p, 1.0 - q)
    };
    // the edges: all mass is at 0 for a = 0, and at infinity for an infinite a
    let (zero, one) = if upper { (1.0, 0.0) } else { (0.0, 1.0) };
    let inf = f64::INFINITY;
    let undefined = x.lt(0.0) | a.lt(0.0) | (a.eq(0.0) & x.eq(0.0)) | (a.eq(inf) & x.eq(inf)) | a.ne(a) | x.ne(x);
    let above = a.eq(0.0) | x.eq(inf);
    let edge = above.select(a.full_like(one), a.full_like(zero));
    inside.select(value, undefined.select(f64::NAN, edge))
}

fn gamma_function(upper: bool) -> [Function; 2] {
    let f: Function = Rc::new(move |v| gamma_plain(&v[0], &v[1], upper));
    let slope: Function = Rc::new(move |v| if upper { -gamma_density(v) } else { gamma_density(v) });
    [f, slope]
}

/// Regularised lower incomplete gamma function P(a, x), the share below x of a gamma distribution of shape a.
/// Differentiable in both operands, in reverse mode to second order.
#[track_caller]
pub fn gammainc(a: impl Operand, x: impl Operand) -> Tensor {
    let loc = Loc::caller();
    let [f, slope] = gamma_function(false);
    call("gammainc", pair(a, x, &loc), |v| smooth(&f, &slope, ORDER, v), &loc)
}

/// Regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x), accurate where it is small.
/// Differentiable in both operands, in reverse mode to second order.
#[track_caller]
pub fn gammaincc(a: impl Operand, x: impl Operand) -> Tensor {
    let loc = Loc::caller();
    let [f, slope] = gamma_function(true);
    call("gammaincc", pair(a, x, &loc), |v| smooth(&f, &slope, ORDER, v), &loc)
}

fn gamma_slope(v: &[Tensor]) -> Tensor {
    let (a, x) = (&v[0], &v[1]);
    let (inside, a_safe, x_safe) = gamma_domain(a, x);
    let (by_series, [a1, x1], [a2, x2]) = gamma_regions(&a_safe, &x_safe);
    let by_a = |f: fn(&Tensor, &Tensor) -> Tensor, a: &Tensor, x: &Tensor| {
        crate::transform::jvp(|a: &Tensor| f(a, x), a, &a.ones_like())
    };
    // P = front S / a and P_x = front / x: the front cancels
    let (s, s_dot) = by_a(gamma_series, &a1, &x1);
    let p = -(&x1 / &a1) * ((x1.log() - (&a1 + 1.0).digamma()) * s + s_dot);
    // 1 - P = front h
    let (h, h_dot) = by_a(gamma_fraction, &a2, &x2);
    let q = &x2 * ((x2.log() - a2.digamma()) * h + h_dot);
    let edge = x.eq(0.0).select(x.zeros_like(), x.full_like(f64::NAN));
    inside.select(by_series.select(p, q), edge)
}

/// How a sample x of a gamma distribution moves with its shape a while its rank stays: dx/da = -P_a / P_x, for
/// positive operands (Figurnov, Mohamed and Mnih 2018). Differentiable in both operands, in reverse mode to second order.
#[track_caller]
pub fn random_gamma_grad(a: impl Operand, x: impl Operand) -> Tensor {
    let loc = Loc::caller();
    let f: Function = Rc::new(gamma_slope);
    let slope = derivative(&f, 1);
    call("random_gamma_grad", pair(a, x, &loc), |v| smooth(&f, &slope, ORDER, v), &loc)
}

/// x^a (1 - x)^b / B(a, b), without the cancellation of its factors.
fn beta_front(a: &Tensor, b: &Tensor, x: &Tensor) -> Tensor {
    // l = a - (a + b) x, and with it x / x0 = 1 - l / a, (1 - x) / (1 - x0) = 1 + l / b for x0 = a / (a + b)
    let sum = a + b;
    let l = a * (1.0 - x) - b * x;
    let (u, v) = (-(&l / a), &l / b);
    let (p, q) = (x * &sum / a, (1.0 - x) * &sum / b);
    let exponent = a * log_excess(&p, &u) + b * log_excess(&q, &v);
    let rest = stirling_rest(&sum) - stirling_rest(a) - stirling_rest(b);
    (a * (b / &sum) * (0.5 / PI)).sqrt() * (exponent + rest).exp()
}

fn beta_domain(a: &Tensor, b: &Tensor, x: &Tensor) -> (Tensor, [Tensor; 3]) {
    let positive = |t: &Tensor| t.gt(0.0) & t.lt(f64::INFINITY);
    let inside = positive(a) & positive(b) & x.gt(0.0) & x.lt(1.0);
    let safe = [inside.select(a, 1.0), inside.select(b, 1.0), inside.select(x, 0.5)];
    (inside, safe)
}

fn beta_density(v: &[Tensor]) -> Tensor {
    let (a, b, x) = (&v[0], &v[1], &v[2]);
    let (inside, [sa, sb, sx]) = beta_domain(a, b, x);
    let value = beta_front(&sa, &sb, &sx) / (&sx * (1.0 - &sx));
    // at an end with exponent c it is infinite, finite or 0 as c is below, at or above 1
    let at = |c: &Tensor, other: &Tensor| {
        c.lt(1.0).select(c.full_like(f64::INFINITY), c.eq(1.0).select(other, c.zeros_like()))
    };
    let edge = x.eq(0.0).select(at(a, b), x.eq(1.0).select(at(b, a), x * 0.0 + a * 0.0 + b * 0.0));
    inside.select(value, edge)
}

/// The continued fraction of the incomplete beta function, by Lentz's method, for x < (a + 1) / (a + b + 2).
fn beta_fraction(a: &Tensor, b: &Tensor, x: &Tensor) -> Tensor {
    let limit = epsilon(x);
    let sum = a + b;
    let d = a.ones_like() / (1.0 - &sum * x / (a + 1.0));
    let start = (Tensor::from(0i32), a.zeros_like(), a.ones_like(), d.clone(), d, a.full_like(2.0));
    let (_, _, _, _, h, _) = while_loop(
        |(n, _, _, _, _, step): &(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)| {
            (step - 1.0).abs().gt(limit).any(..) & n.lt(MOST_STEPS)
        },
        |(n, m, c, d, h, _)| {
            let m = m + 1.0;
            let twice = a + &m * 2.0;
            let even = &m * (b - &m) * x / ((&twice - 1.0) * &twice);
            let odd = -((a + &m) * (&sum + &m) * x) / (&twice * (&twice + 1.0));
            let d = d.ones_like() / (even.clone() * d + 1.0);
            let c = even / c + 1.0;
            let h = h * (&c * &d);
            let d = d.ones_like() / (odd.clone() * d + 1.0);
            let c = odd / c + 1.0;
            let step = &c * &d;
            let h = h * &step;
            (n + 1, m, c, d, h, step)
        },
        &start,
    );
    h
}

fn beta_plain(v: &[Tensor]) -> Tensor {
    let (a, b, x) = (&v[0], &v[1], &v[2]);
    let (inside, [sa, sb, sx]) = beta_domain(a, b, x);
    let near = sx.le((&sa + 1.0) / (&sa + &sb + 2.0));
    let (a1, b1, x1) = (near.select(&sa, &sb), near.select(&sb, &sa), near.select(&sx, 1.0 - &sx));
    let part = beta_front(&sa, &sb, &sx) / &a1 * beta_fraction(&a1, &b1, &x1);
    let value = near.select(&part, 1.0 - &part);
    let known = a.gt(0.0) & b.gt(0.0) & a.lt(f64::INFINITY) & b.lt(f64::INFINITY) & (x.eq(0.0) | x.eq(1.0));
    inside.select(value, known.select(x, f64::NAN))
}

/// Regularised incomplete beta function: the share below x of a beta distribution, for finite positive a and b and x
/// in \[0, 1\]. Differentiable in all operands, in reverse mode to second order.
#[track_caller]
pub fn betainc(a: impl Operand, b: impl Operand, x: impl Operand) -> Tensor {
    let loc = Loc::caller();
    let [a, b] = pair(a, b, &loc);
    // numbers take the dtype of x where it alone is a tensor
    let x = x.with_dtype(a.dtype(), &loc);
    let (f, slope): (Function, Function) = (Rc::new(beta_plain), Rc::new(beta_density));
    call("betainc", [a, b, x], |v| smooth(&f, &slope, ORDER, v), &loc)
}
