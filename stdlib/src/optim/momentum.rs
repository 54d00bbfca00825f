//! Momentum: means and sums of past gradients, and their signs.

use super::Transformation;
use super::leafwise::{debiased, decay, leafwise, mean, no_steps};
use crate::checks::checked;
use gradloom_frontend::{Result, Tensor, Tree};

/// u ← μ u + g; with Nesterov's form the update is μ u + g of the new u (Sutskever et al. 2013).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trace {
    /// Momentum μ.
    pub momentum: f64,
    /// Whether the update looks ahead along the momentum.
    pub nesterov: bool,
}

impl Trace {
    fn check(&self) -> Result<()> {
        decay("momentum", "μ", self.momentum)
    }
}

impl Transformation for Trace {
    type State<P: Tree + Clone> = P;

    fn init<P: Tree + Clone>(&self, params: &P) -> P {
        checked(params, self.check()).zeros_like()
    }

    fn update<P: Tree + Clone>(&self, g: &P, u: &P, _: &P) -> (P, P) {
        let [ahead, u] = leafwise([&checked(g, self.check()), u], |[g, u]| {
            let u = u * self.momentum + g;
            [if self.nesterov { &u * self.momentum + g } else { u.clone() }, u]
        });
        (ahead, u)
    }
}

/// m ← β m + (1 - β) g, divided by 1 - βᵗ if `debias`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ema {
    /// Decay β.
    pub decay: f64,
    /// Whether the start from 0 is corrected.
    pub debias: bool,
}

/// A decaying mean of updates, and the number of steps taken.
#[derive(Tree, Clone)]
pub struct EmaState<P> {
    /// The mean.
    pub m: P,
    /// Steps taken (i32).
    pub t: Tensor,
}

impl Ema {
    fn check(&self) -> Result<()> {
        decay("Ema", "β", self.decay)
    }
}

impl Transformation for Ema {
    type State<P: Tree + Clone> = EmaState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> EmaState<P> {
        EmaState { m: checked(params, self.check()).zeros_like(), t: no_steps() }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &EmaState<P>, _: &P) -> (P, EmaState<P>) {
        let t = &s.t + 1;
        let [u, m] = leafwise([&checked(g, self.check()), &s.m], |[g, m]| {
            let m = mean(self.decay, m, g);
            [if self.debias { debiased(&m, self.decay, &t) } else { m.clone() }, m]
        });
        (u, EmaState { m, t })
    }
}

/// Lion (Chen et al. 2023, algorithm 2): c = β₁ m + (1 - β₁) g, m ← β₂ m + (1 - β₂) g, update sign(c), of a
/// complex c that is c / |c|.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByLion {
    /// Decay of the mean in the update.
    pub b1: f64,
    /// Decay of the mean that is kept.
    pub b2: f64,
}

impl Default for ScaleByLion {
    fn default() -> Self {
        ScaleByLion { b1: 0.9, b2: 0.99 }
    }
}

impl ScaleByLion {
    fn check(&self) -> Result<()> {
        decay("lion", "β₁", self.b1).and_then(|()| decay("lion", "β₂", self.b2))
    }
}

impl Transformation for ScaleByLion {
    type State<P: Tree + Clone> = P;

    fn init<P: Tree + Clone>(&self, params: &P) -> P {
        checked(params, self.check()).zeros_like()
    }

    fn update<P: Tree + Clone>(&self, g: &P, m: &P, _: &P) -> (P, P) {
        let [u, m] =
            leafwise([&checked(g, self.check()), m], |[g, m]| [mean(self.b1, m, g).sign(), mean(self.b2, m, g)]);
        (u, m)
    }
}
