//! Constants that change with the step.

use super::leafwise::times;
use crate::checks::{failed, require};
use gradloom_frontend::{DType, Result, Tensor};
use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

/// A constant, or a function of the number of steps taken so far (0 at the first step).
///
/// A function is evaluated in the program from the step count in the optimizer's state: one compiled step serves them all.
/// It maps an f32 scalar to a scalar.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::optim::*;
/// let a = adam(1e-3);
/// let b = adam(Schedule::warmup_cosine(0.0, 1e-3, 100, 1000, 1e-5));
/// let c = adam(|t: &Tensor| 1e-3 / (t + 1.0).sqrt());
/// # let x = Tensor::ones([2]);
/// # for s in [a.init(&x).leaves(), b.init(&x).leaves(), c.init(&x).leaves()] { assert!(s.iter().all(|t| t.check().is_ok())); }
/// ```
#[derive(Clone)]
pub struct Schedule(Kind);

#[derive(Clone)]
enum Kind {
    Constant(f64),
    Function(Arc<dyn Fn(&Tensor) -> Tensor + Send + Sync>),
    /// What is wrong with its constants.
    Wrong(gradloom_frontend::Error),
}

impl From<f64> for Schedule {
    fn from(x: f64) -> Schedule {
        Schedule(Kind::Constant(x))
    }
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync + 'static> From<F> for Schedule {
    fn from(f: F) -> Schedule {
        Schedule(Kind::Function(Arc::new(f)))
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Constant(x) => write!(f, "{x}"),
            Kind::Function(_) => f.write_str("a function of the step"),
            Kind::Wrong(e) => write!(f, "{e}"),
        }
    }
}

impl Schedule {
    /// A schedule, unless its constants have no meaning.
    fn valid(check: Result<()>, f: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Schedule {
        match check {
            Ok(()) => f.into(),
            Err(e) => Schedule(Kind::Wrong(e)),
        }
    }

    /// The value after `t` steps (any dtype of numbers), an f32 scalar.
    #[track_caller]
    pub fn at(&self, t: &Tensor) -> Tensor {
        match &self.0 {
            Kind::Constant(x) => Tensor::full((), *x, DType::F32),
            Kind::Function(f) => {
                let value = f(&t.to(DType::F32)).to(DType::F32);
                match value.check().and_then(|()| scalar(&value)) {
                    Ok(()) => value,
                    Err(e) => failed(t, e),
                }
            }
            Kind::Wrong(e) => failed(t, e.clone()),
        }
    }

    /// Whether the constants of the schedule have a meaning; a constant must be finite.
    pub(crate) fn check(&self, op: &str) -> Result<()> {
        match &self.0 {
            Kind::Constant(x) => require(op, x.is_finite(), || format!("a constant of it is {x}")),
            Kind::Function(_) => Ok(()),
            Kind::Wrong(e) => Err(e.clone()),
        }
    }

    /// Whether there are steps to count.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.0, Kind::Function(_))
    }

    /// The value times `sign` as a factor for tensors; `t` is the step count, there if the schedule changes.
    pub(crate) fn factor(&self, sign: f64, t: &Option<Tensor>) -> Factor {
        match (&self.0, t) {
            (Kind::Constant(x), _) => Factor::Number(sign * x),
            (_, Some(t)) => Factor::Tensor(self.at(t) * sign),
            (_, None) => Factor::Tensor(self.at(&super::leafwise::no_steps()) * sign),
        }
    }

    /// Along a straight line from `start` to `end` in `steps` steps, then constant.
    pub fn linear(start: f64, end: f64, steps: usize) -> Schedule {
        Schedule::polynomial(start, end, 1.0, steps)
    }

    /// (start - end) (1 - t / steps)^power + end, then constant.
    pub fn polynomial(start: f64, end: f64, power: f64, steps: usize) -> Schedule {
        let check = positive("Schedule::polynomial", "steps", steps).and_then(|()| {
            require("Schedule::polynomial", power > 0.0, || format!("the power is {power}, not positive"))
        });
        Schedule::valid(check, move |t| {
            let left: Tensor = 1.0 - t.clip(0.0, steps) / steps as f64;
            (if power == 1.0 { left } else { left.pow(power) }) * (start - end) + end
        })
    }

    /// start · rateᵗᐟˢᵗᵉᵖˢ.
    pub fn exponential(start: f64, rate: f64, steps: usize) -> Schedule {
        let check = positive("Schedule::exponential", "steps", steps).and_then(|()| {
            require("Schedule::exponential", rate > 0.0, || format!("the rate is {rate}, not positive"))
        });
        Schedule::valid(check, move |t| (t * (rate.ln() / steps as f64)).exp() * start)
    }

    /// Half a cosine from `start` down to `end` in `steps` steps, then constant (Loshchilov and Hutter 2017).
    pub fn cosine(start: f64, end: f64, steps: usize) -> Schedule {
        Schedule::valid(positive("Schedule::cosine", "steps", steps), move |t| {
            end + (1.0 + (t.clip(0.0, steps) * (PI / steps as f64)).cos()) * (0.5 * (start - end))
        })
    }

    /// Linear from `start` to `peak` in `warmup` steps, then half a cosine down to `end` at step `steps`.
    pub fn warmup_cosine(start: f64, peak: f64, warmup: usize, steps: usize, end: f64) -> Schedule {
        let rest = steps.saturating_sub(warmup);
        let up = Schedule::linear(start, peak, warmup.max(1));
        Schedule::join(vec![(0, up), (warmup, Schedule::cosine(peak, end, rest))])
    }

    /// `values[i]` from step `starts[i]` on, as pairs in order; the first start is 0.
    pub fn piecewise(pieces: &[(usize, f64)]) -> Schedule {
        Schedule::join(pieces.iter().map(|&(start, value)| (start, value.into())).collect())
    }

    /// Each schedule from its start on, counting steps from there; the first start is 0, and starts do not fall.
    pub fn join(pieces: Vec<(usize, Schedule)>) -> Schedule {
        let op = "Schedule::join";
        let starts: Vec<usize> = pieces.iter().map(|(start, _)| *start).collect();
        let check = require(op, starts.first() == Some(&0) && starts.is_sorted(), || {
            format!("pieces start at {starts:?}; the first must start at 0, none before the one in front of it")
        });
        let check = pieces.iter().fold(check, |check, (_, piece)| check.and_then(|()| piece.check(op)));
        Schedule::valid(check, move |t| {
            let mut value = pieces[0].1.at(t);
            for (start, piece) in &pieces[1..] {
                value = t.lt(*start).select(value, piece.at(&(t - *start)));
            }
            value
        })
    }

    /// The one-cycle policy with cosines (Smith and Topin 2019): from `peak` / 25 up to `peak` in the first 30 % of
    /// `steps`, then down to `peak` / 250 000.
    pub fn one_cycle(peak: f64, steps: usize) -> Schedule {
        Schedule::one_cycle_with(peak, steps, 0.3, 25.0, 1e4)
    }

    /// [`Schedule::one_cycle`] with its constants: from `peak` / `div` up in a part `up` of the steps, then down to
    /// `peak` / (`div` · `final_div`).
    pub fn one_cycle_with(peak: f64, steps: usize, up: f64, div: f64, final_div: f64) -> Schedule {
        let op = "Schedule::one_cycle";
        let check = require(op, (0.0..1.0).contains(&up) && div > 0.0 && final_div > 0.0, || {
            format!("a part {up} of the steps goes up, with divisors {div} and {final_div}")
        });
        let top = (up * steps as f64) as usize;
        // a cosine that rises is one that falls from the lower value to the higher
        let pieces = [
            (0, Schedule::cosine(peak / div, peak, top.max(1))),
            (top, Schedule::cosine(peak, peak / (div * final_div), steps.saturating_sub(top))),
        ];
        match check.and_then(|()| positive(op, "steps", steps)) {
            Ok(()) => Schedule::join(pieces.to_vec()),
            Err(e) => Schedule(Kind::Wrong(e)),
        }
    }
}

fn scalar(value: &Tensor) -> Result<()> {
    require("schedule", value.ndim() == 0, || format!("the function of the step returns {}, not a scalar", value.ty()))
}

fn positive(op: &str, name: &str, n: usize) -> Result<()> {
    require(op, n > 0, || format!("{name} is 0"))
}

/// What a schedule multiplies tensors by.
pub(crate) enum Factor {
    Number(f64),
    Tensor(Tensor),
}

impl Factor {
    /// x times the factor, in the dtype of x.
    #[track_caller]
    pub(crate) fn times(&self, x: &Tensor) -> Tensor {
        match self {
            Factor::Number(c) => x * *c,
            Factor::Tensor(c) => times(x, &c.to(x.dtype().real())),
        }
    }
}
