//! Adam and AdamW.

use super::floats;
use gradloom_frontend::{Tensor, Tree};

/// Adam (Kingma and Ba 2015, algorithm 1):
///
/// - m ← β₁ m + (1 - β₁) g
/// - v ← β₂ v + (1 - β₂) g²
/// - θ ← θ - lr · (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Step size.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub b1: f64,
    /// Decay of the mean of squared gradients.
    pub b2: f64,
    /// Keeps the division finite.
    pub eps: f64,
}

/// The running means of Adam and the number of steps taken.
#[derive(Tree, Clone)]
pub struct AdamState<P> {
    /// Mean of gradients.
    pub m: P,
    /// Mean of squared gradients.
    pub v: P,
    /// Steps taken (f32 scalar).
    pub t: Tensor,
}

impl Adam {
    /// The paper's constants: β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    pub fn new(lr: f64) -> Adam {
        Adam { lr, b1: 0.9, b2: 0.999, eps: 1e-8 }
    }

    /// The state before the first step.
    #[track_caller]
    pub fn init<P: Tree>(&self, params: &P) -> AdamState<P> {
        AdamState { m: params.zeros_like(), v: params.zeros_like(), t: Tensor::zeros(()) }
    }

    /// One step.
    #[track_caller]
    pub fn update<P: Tree>(&self, params: &P, grads: &P, state: &AdamState<P>) -> (P, AdamState<P>) {
        let (direction, state) = self.direction(grads, state);
        (floats(params, &direction, |p, d| p - d * self.lr), state)
    }

    /// The step before it is scaled by the learning rate, and the new state.
    fn direction<P: Tree>(&self, grads: &P, state: &AdamState<P>) -> (P, AdamState<P>) {
        let t = &state.t + 1.0;
        let m = floats(&state.m, grads, |m, g| m * self.b1 + g * (1.0 - self.b1));
        let v = floats(&state.v, grads, |v, g| v * self.b2 + g.square() * (1.0 - self.b2));
        let direction = floats(&m, &v, |m, v| {
            let t = t.to(m.dtype());
            (m / correction(self.b1, &t)) / ((v / correction(self.b2, &t)).sqrt() + self.eps)
        });
        (direction, AdamState { m, v, t })
    }
}

/// 1 - bᵗ, what is missing of the weights of a mean that started at zero, without the cancellation where bᵗ is near 1.
fn correction(b: f64, t: &Tensor) -> Tensor {
    -(t * b.ln()).expm1()
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019): θ ← θ - lr · (Adam's direction + λ θ).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// The constants of Adam.
    pub adam: Adam,
    /// Weight decay λ.
    pub decay: f64,
}

impl AdamW {
    /// The constants of [`Adam::new`] and a weight decay.
    pub fn new(lr: f64, decay: f64) -> AdamW {
        AdamW { adam: Adam::new(lr), decay }
    }

    /// The state before the first step.
    #[track_caller]
    pub fn init<P: Tree>(&self, params: &P) -> AdamState<P> {
        self.adam.init(params)
    }

    /// One step.
    #[track_caller]
    pub fn update<P: Tree>(&self, params: &P, grads: &P, state: &AdamState<P>) -> (P, AdamState<P>) {
        let (direction, state) = self.adam.direction(grads, state);
        (floats(params, &direction, |p, d| p - (d + p * self.decay) * self.adam.lr), state)
    }
}
