//! Gradient descent with momentum.

use super::floats;
use gradloom_frontend::Tree;

/// Stochastic gradient descent: u ← μ u + g, θ ← θ - lr · u; with Nesterov's form θ ← θ - lr · (μ u + g)
/// (Sutskever et al. 2013).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Step size.
    pub lr: f64,
    /// Momentum μ; 0 is plain gradient descent.
    pub momentum: f64,
    /// Whether the step looks ahead along the momentum.
    pub nesterov: bool,
}

/// The velocity u; absent without momentum.
#[derive(Tree, Clone)]
pub struct SgdState<P> {
    /// Decayed sum of gradients.
    pub velocity: Option<P>,
}

impl Sgd {
    /// Without momentum.
    pub fn new(lr: f64) -> Sgd {
        Sgd { lr, momentum: 0.0, nesterov: false }
    }

    /// The state before the first step.
    #[track_caller]
    pub fn init<P: Tree>(&self, params: &P) -> SgdState<P> {
        SgdState { velocity: (self.momentum != 0.0).then(|| params.zeros_like()) }
    }

    /// One step.
    #[track_caller]
    pub fn update<P: Tree>(&self, params: &P, grads: &P, state: &SgdState<P>) -> (P, SgdState<P>) {
        let Some(velocity) = &state.velocity else {
            return (floats(params, grads, |p, g| p - g * self.lr), SgdState { velocity: None });
        };
        let velocity = floats(velocity, grads, |u, g| u * self.momentum + g);
        let params = if self.nesterov {
            let ahead = floats(&velocity, grads, |u, g| u * self.momentum + g);
            floats(params, &ahead, |p, u| p - u * self.lr)
        } else {
            floats(params, &velocity, |p, u| p - u * self.lr)
        };
        (params, SgdState { velocity: Some(velocity) })
    }
}
