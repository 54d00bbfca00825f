//! Transformations around transformations: on some leaves, on every k-th step, beside an average of the parameters.

use super::Transformation;
use super::leafwise::{decay, leafwise, map_numbers, mean, no_steps, over, replace};
use crate::checks::{checked, require};
use gradloom_frontend::{Result, Tensor, Tree, cond};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A transformation of some leaves; the updates of the others pass unchanged. See [`masked`].
#[derive(Clone)]
pub struct Masked<T> {
    inner: T,
    select: Arc<dyn Fn(&str, &Tensor) -> bool + Send + Sync>,
}

/// `inner` on the leaves of which `select(path, leaf)` holds, as a tree of its own: norms, for one, are over these leaves
/// only. Two masks, one the opposite of the other, part the parameters between two optimizers.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::optim::*;
/// // no weight decay for vectors
/// let optimizer = chain((ScaleByAdam::default(), masked(add_decayed_weights(0.1), |_, p| p.ndim() > 1), scale_by_learning_rate(1e-3)));
/// # let p = Tensor::ones([2]);
/// # assert!(optimizer.step(&p, &p, &optimizer.init(&p)).0.check().is_ok());
/// ```
pub fn masked<T: Transformation>(
    inner: T,
    select: impl Fn(&str, &Tensor) -> bool + Send + Sync + 'static,
) -> Masked<T> {
    Masked { inner, select: Arc::new(select) }
}

/// Freezes the leaves of which `select(path, leaf)` holds: their updates are 0. Stands last in a chain.
pub fn freeze(select: impl Fn(&str, &Tensor) -> bool + Send + Sync + 'static) -> Masked<SetToZero> {
    masked(SetToZero, select)
}

impl<T: fmt::Debug> fmt::Debug for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Masked").field(&self.inner).finish()
    }
}

/// Leaves by path.
type Leaves = BTreeMap<String, Tensor>;

impl<T> Masked<T> {
    /// Whether each leaf of the parameters is selected.
    fn selected<P: Tree>(&self, params: &P) -> Vec<bool> {
        params.paths().iter().zip(params.leaves()).map(|(path, p)| (self.select)(path, &p)).collect()
    }
}

fn part<P: Tree>(tree: &P, selected: &[bool]) -> Leaves {
    let leaves = tree.paths().into_iter().zip(tree.leaves());
    leaves.zip(selected).filter(|(_, s)| **s).map(|(leaf, _)| leaf).collect()
}

impl<T: Transformation> Transformation for Masked<T> {
    type State<P: Tree + Clone> = T::State<Leaves>;

    fn init<P: Tree + Clone>(&self, params: &P) -> Self::State<P> {
        self.inner.init(&part(params, &self.selected(params)))
    }

    fn update<P: Tree + Clone>(&self, u: &P, state: &Self::State<P>, params: &P) -> (P, Self::State<P>) {
        let selected = self.selected(params);
        let (part, state) = self.inner.update(&part(u, &selected), state, &part(params, &selected));
        let leaves = u.paths().into_iter().zip(u.leaves()).map(|(path, u)| part.get(&path).cloned().unwrap_or(u));
        (replace(u, leaves), state)
    }

    fn loss_scale<P: Tree + Clone>(&self, state: &Self::State<P>) -> Option<Tensor> {
        self.inner.loss_scale::<Leaves>(state)
    }
}

/// u ← 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SetToZero;

impl Transformation for SetToZero {
    type State<P: Tree + Clone> = ();

    fn init<P: Tree + Clone>(&self, _: &P) {}

    fn update<P: Tree + Clone>(&self, u: &P, (): &(), _: &P) -> (P, ()) {
        (map_numbers(u, Tensor::zeros_like), ())
    }
}

/// A transformation that takes a step with the mean of every `k` gradients. See [`accumulate`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accumulate<T> {
    inner: T,
    k: usize,
}

/// `inner` on the mean of every `k` gradients; the updates between are 0.
pub fn accumulate<T: Transformation>(k: usize, inner: T) -> Accumulate<T> {
    Accumulate { inner, k }
}

/// The gradients so far, how many they are, and the state of the transformation inside.
#[derive(Tree, Clone)]
pub struct AccumulateState<P, S> {
    /// Mean of the gradients since the last step.
    pub mean: P,
    /// How many they are (i32).
    pub count: Tensor,
    /// State of the transformation inside.
    pub inner: S,
}

impl<T: Transformation> Transformation for Accumulate<T> {
    type State<P: Tree + Clone> = AccumulateState<P, T::State<P>>;

    fn init<P: Tree + Clone>(&self, params: &P) -> Self::State<P> {
        let check = require("accumulate", self.k > 0, || "0 gradients make no step".into());
        AccumulateState { mean: checked(params, check).zeros_like(), count: no_steps(), inner: self.inner.init(params) }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &Self::State<P>, params: &P) -> (P, Self::State<P>) {
        let count = &s.count + 1;
        let [mean] = leafwise([&s.mean, g], |[mean, g]| [mean + over(&(g - mean), &count.to(g.dtype().real()))]);
        let full = count.ge(self.k);
        type Args<P, S> = (P, S, P);
        let args: Args<P, T::State<P>> = (mean.clone(), s.inner.clone(), params.clone());
        let (updates, inner) = cond(
            &full,
            |(mean, state, params): &Args<P, T::State<P>>| self.inner.update(mean, state, params),
            |(mean, state, _): &Args<P, T::State<P>>| (map_numbers(mean, Tensor::zeros_like), state.clone()),
            &args,
        );
        let mean = map_numbers(&mean, |m| full.select(m.zeros_like(), m));
        (updates, AccumulateState { mean, count: full.select(0, &count), inner })
    }

    fn loss_scale<P: Tree + Clone>(&self, state: &Self::State<P>) -> Option<Tensor> {
        self.inner.loss_scale::<P>(&state.inner)
    }
}

/// A decaying mean of the parameters; stands last in a chain, where the updates are those that are added. The updates pass
/// unchanged; the mean, which often generalises better (Polyak and Juditsky 1992), is read from the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AverageParams {
    /// Decay of the mean.
    pub decay: f64,
}

/// a ← β a + (1 - β) (θ + u), from a = θ at the start.
pub fn average_params(decay: f64) -> AverageParams {
    AverageParams { decay }
}

impl AverageParams {
    fn check(&self) -> Result<()> {
        decay("average_params", "β", self.decay)
    }
}

/// The averaged parameters.
#[derive(Tree, Clone)]
pub struct Average<P> {
    /// The parameters to evaluate with.
    pub params: P,
}

impl Transformation for AverageParams {
    type State<P: Tree + Clone> = Average<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> Average<P> {
        Average { params: checked(params, self.check()) }
    }

    fn update<P: Tree + Clone>(&self, u: &P, s: &Average<P>, params: &P) -> (P, Average<P>) {
        let [average] = leafwise([&s.params, u, params], |[a, u, p]| [mean(self.decay, a, &(p + u))]);
        (checked(u, self.check()), Average { params: average })
    }
}
