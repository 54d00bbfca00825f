//! Transformations that multiply or add, leaf by leaf.

use super::Transformation;
use super::leafwise::{leafwise, map_numbers, no_steps, replace, squares, times};
use super::schedule::Schedule;
use crate::checks::{checked, require};
use gradloom_frontend::{Result, Tensor, Tree};
use std::fmt;
use std::sync::Arc;

/// u ← c u. The state counts the steps if c changes with them.
#[derive(Clone, Debug)]
pub struct Scale {
    factor: Schedule,
    sign: f64,
    op: &'static str,
}

/// u ← c u.
pub fn scale(factor: impl Into<Schedule>) -> Scale {
    Scale { factor: factor.into(), sign: 1.0, op: "scale" }
}

/// u ← -lr u: the last of a chain that descends.
pub fn scale_by_learning_rate(lr: impl Into<Schedule>) -> Scale {
    Scale { factor: lr.into(), sign: -1.0, op: "learning rate" }
}

impl Transformation for Scale {
    type State<P: Tree + Clone> = Option<Tensor>;

    fn init<P: Tree + Clone>(&self, _: &P) -> Option<Tensor> {
        counter(&self.factor)
    }

    fn update<P: Tree + Clone>(&self, u: &P, t: &Option<Tensor>, _: &P) -> (P, Option<Tensor>) {
        let c = self.factor.factor(self.sign, t);
        let u = map_numbers(&checked(u, self.factor.check(self.op)), |u| c.times(u));
        (u, t.as_ref().map(|t| t + 1))
    }
}

/// The step count, if the schedule needs one.
fn counter(schedule: &Schedule) -> Option<Tensor> {
    schedule.changes().then(no_steps)
}

/// u ← u + λ θ (decoupled if it stands behind the adaptive scaling; Loshchilov and Hutter 2019).
#[derive(Clone, Debug)]
pub struct AddDecayedWeights {
    decay: Schedule,
}

/// u ← u + λ θ.
pub fn add_decayed_weights(decay: impl Into<Schedule>) -> AddDecayedWeights {
    AddDecayedWeights { decay: decay.into() }
}

impl Transformation for AddDecayedWeights {
    type State<P: Tree + Clone> = Option<Tensor>;

    fn init<P: Tree + Clone>(&self, _: &P) -> Option<Tensor> {
        counter(&self.decay)
    }

    fn update<P: Tree + Clone>(&self, u: &P, t: &Option<Tensor>, params: &P) -> (P, Option<Tensor>) {
        let decay = self.decay.factor(1.0, t);
        let [u] = leafwise([&checked(u, self.decay.check("weight decay")), params], |[u, p]| [u + decay.times(p)]);
        (u, t.as_ref().map(|t| t + 1))
    }
}

/// Each leaf times a number that its path decides: learning rates by layer, frozen leaves (0).
#[derive(Clone)]
pub struct ScaleByPath {
    factor: Arc<dyn Fn(&str) -> f64 + Send + Sync>,
}

/// Each leaf times `factor` of its path.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::optim::*;
/// let slow = chain((sgd(1.0), scale_by_path(|path| if path.starts_with('0') { 0.1 } else { 1.0 })));
/// let p = (Tensor::from([1.0f32]), Tensor::from([1.0f32]));
/// let (u, _) = slow.update(&p, &slow.init(&p), &p);
/// assert_eq!((u.0.item::<f32>()?, u.1.item::<f32>()?), (-0.1, -1.0));
/// # Ok::<(), gradloom::Error>(())
/// ```
pub fn scale_by_path(factor: impl Fn(&str) -> f64 + Send + Sync + 'static) -> ScaleByPath {
    ScaleByPath { factor: Arc::new(factor) }
}

impl fmt::Debug for ScaleByPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScaleByPath")
    }
}

impl Transformation for ScaleByPath {
    type State<P: Tree + Clone> = ();

    fn init<P: Tree + Clone>(&self, _: &P) {}

    fn update<P: Tree + Clone>(&self, u: &P, (): &(), _: &P) -> (P, ()) {
        let factors: Vec<f64> = u.paths().iter().map(|path| (self.factor)(path)).collect();
        let check = factors.iter().zip(u.paths()).try_for_each(|(c, path)| {
            require("scale_by_path", c.is_finite(), || format!("the factor of leaf `{path}` is {c}"))
        });
        let leaves = checked(u, check).leaves();
        // a factor of 0 freezes a leaf also where its gradient is NaN
        let scaled = leaves.iter().zip(factors).map(|(u, c)| match (u.dtype().is_inexact(), c == 0.0) {
            (false, _) => u.clone(),
            (true, true) => u.check().map_or_else(|_| u.clone(), |()| u.zeros_like()),
            (true, false) => u * c,
        });
        (replace(u, scaled), ())
    }
}

/// u ← u ‖θ‖ / ‖u‖ for each leaf; leaves of norm 0, of parameters or updates, stay (You et al. 2020, LAMB).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScaleByTrustRatio;

impl Transformation for ScaleByTrustRatio {
    type State<P: Tree + Clone> = ();

    fn init<P: Tree + Clone>(&self, _: &P) {}

    fn update<P: Tree + Clone>(&self, u: &P, (): &(), params: &P) -> (P, ()) {
        let [u] = leafwise([u, params], |[u, p]| {
            let (u_norm, p_norm) = (u.norm(..), p.norm(..));
            let defined = u_norm.ne(0.0) & p_norm.ne(0.0);
            [times(u, &defined.select(p_norm / defined.select(&u_norm, 1.0), 1.0))]
        });
        (u, ())
    }
}

/// u ← u · max(rms(θ), floor) for each leaf: steps relative to the size of the parameters (Shazeer and Stern 2018).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByParamRms {
    /// The least root mean square of parameters that counts.
    pub floor: f64,
}

impl Default for ScaleByParamRms {
    fn default() -> Self {
        ScaleByParamRms { floor: 1e-3 }
    }
}

impl ScaleByParamRms {
    fn check(&self) -> Result<()> {
        require("ScaleByParamRms", self.floor >= 0.0, || format!("the floor is {}", self.floor))
    }
}

impl Transformation for ScaleByParamRms {
    type State<P: Tree + Clone> = ();

    fn init<P: Tree + Clone>(&self, _: &P) {}

    fn update<P: Tree + Clone>(&self, u: &P, (): &(), params: &P) -> (P, ()) {
        let [u] = leafwise([&checked(u, self.check()), params], |[u, p]| [times(u, &rms(p).maximum(self.floor))]);
        (u, ())
    }
}

/// The root of the mean of squares; 0 of no elements.
#[track_caller]
pub(crate) fn rms(x: &Tensor) -> Tensor {
    (squares(x).sum(..) / x.size().max(1)).sqrt()
}
