//! Adam and its relatives: a mean of gradients over the root of a mean of squares.

use super::Transformation;
use super::leafwise::{debiased, decay, leafwise, mean, no_steps, over, real_zeros, squares, times};
use crate::checks::{checked, require};
use gradloom_frontend::{Result, Tensor, Tree};

/// Running means of gradients and of squares, and the number of steps taken.
#[derive(Tree, Clone)]
pub struct MomentState<P> {
    /// Mean of gradients.
    pub m: P,
    /// Mean of squares, real.
    pub v: P,
    /// Steps taken (i32).
    pub t: Tensor,
}

impl<P: Tree + Clone> MomentState<P> {
    #[track_caller]
    fn zeros(params: &P) -> MomentState<P> {
        MomentState { m: params.zeros_like(), v: real_zeros(params), t: no_steps() }
    }
}

/// Decays in [0, 1), ε that are not negative.
fn constants(op: &str, b1: f64, b2: f64, eps: &[f64]) -> Result<()> {
    decay(op, "β₁", b1)?;
    decay(op, "β₂", b2)?;
    eps.iter().try_for_each(|&e| require(op, e >= 0.0, || format!("ε is {e}; it must not be negative")))
}

/// Adam's scaling (Kingma and Ba 2015, algorithm 1):
///
/// - m ← β₁ m + (1 - β₁) g
/// - v ← β₂ v + (1 - β₂) g²
/// - update m̂ / (√(v̂ + ε_root) + ε) with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ);
///   with Nesterov's form m̂ = β₁ m / (1 - β₁ᵗ⁺¹) + (1 - β₁) g / (1 - β₁ᵗ) (Dozat 2016)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByAdam {
    /// Decay of the mean of gradients.
    pub b1: f64,
    /// Decay of the mean of squared gradients.
    pub b2: f64,
    /// Keeps the division finite.
    pub eps: f64,
    /// Keeps the derivative of the root finite, where one differentiates through the step.
    pub eps_root: f64,
    /// Whether the mean looks one step ahead.
    pub nesterov: bool,
}

impl Default for ScaleByAdam {
    fn default() -> Self {
        ScaleByAdam { b1: 0.9, b2: 0.999, eps: 1e-8, eps_root: 0.0, nesterov: false }
    }
}

impl ScaleByAdam {
    fn check(&self) -> Result<()> {
        constants("adam", self.b1, self.b2, &[self.eps, self.eps_root])
    }
}

impl Transformation for ScaleByAdam {
    type State<P: Tree + Clone> = MomentState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> MomentState<P> {
        MomentState::zeros(&checked(params, self.check()))
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &MomentState<P>, _: &P) -> (P, MomentState<P>) {
        let &ScaleByAdam { b1, b2, eps, eps_root, nesterov } = self;
        let t = &s.t + 1;
        let next = &t + 1;
        let [u, m, v] = leafwise([&checked(g, self.check()), &s.m, &s.v], |[g, m, v]| {
            let m = mean(b1, m, g);
            let v = mean(b2, v, &squares(g));
            let m_hat =
                if nesterov { mean(b1, &debiased(&m, b1, &next), &debiased(g, b1, &t)) } else { debiased(&m, b1, &t) };
            let v_hat = debiased(&v, b2, &t);
            let v_hat = if eps_root == 0.0 { v_hat } else { v_hat + eps_root };
            [over(&m_hat, &(v_hat.sqrt() + eps)), m, v]
        });
        (u, MomentState { m, v, t })
    }
}

/// AdaBelief's scaling (Zhuang et al. 2020, algorithm 2): as Adam, with s ← β₂ s + (1 - β₂) (g - m)² + ε_root in place
/// of v.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByBelief {
    /// Decay of the mean of gradients.
    pub b1: f64,
    /// Decay of the mean of squared deviations.
    pub b2: f64,
    /// Keeps the division finite.
    pub eps: f64,
    /// Added to the mean of squares in each step.
    pub eps_root: f64,
}

impl Default for ScaleByBelief {
    fn default() -> Self {
        ScaleByBelief { b1: 0.9, b2: 0.999, eps: 1e-16, eps_root: 1e-16 }
    }
}

impl ScaleByBelief {
    fn check(&self) -> Result<()> {
        constants("adabelief", self.b1, self.b2, &[self.eps, self.eps_root])
    }
}

impl Transformation for ScaleByBelief {
    type State<P: Tree + Clone> = MomentState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> MomentState<P> {
        MomentState::zeros(&checked(params, self.check()))
    }

    fn update<P: Tree + Clone>(&self, g: &P, state: &MomentState<P>, _: &P) -> (P, MomentState<P>) {
        let t = &state.t + 1;
        let [u, m, s] = leafwise([&checked(g, self.check()), &state.m, &state.v], |[g, m, s]| {
            let m = mean(self.b1, m, g);
            let s = mean(self.b2, s, &squares(&(g - &m))) + self.eps_root;
            [over(&debiased(&m, self.b1, &t), &(debiased(&s, self.b2, &t).sqrt() + self.eps)), m, s]
        });
        (u, MomentState { m, v: s, t })
    }
}

/// RAdam's scaling (Liu et al. 2020, algorithm 2): Adam's, times the rectification
/// r = √((ρ - 4)(ρ - 2) ρ∞ / ((ρ∞ - 4)(ρ∞ - 2) ρ)) where ρ = ρ∞ - 2 t β₂ᵗ / (1 - β₂ᵗ) is at least the threshold, and
/// m̂ alone before; ρ∞ = 2 / (1 - β₂) - 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByRadam {
    /// Decay of the mean of gradients.
    pub b1: f64,
    /// Decay of the mean of squared gradients.
    pub b2: f64,
    /// Keeps the division finite.
    pub eps: f64,
    /// The length ρ of the average from which on it is trusted; at least 4.
    pub threshold: f64,
}

impl Default for ScaleByRadam {
    fn default() -> Self {
        ScaleByRadam { b1: 0.9, b2: 0.999, eps: 1e-8, threshold: 5.0 }
    }
}

impl ScaleByRadam {
    fn check(&self) -> Result<()> {
        constants("radam", self.b1, self.b2, &[self.eps])?;
        require("radam", self.threshold >= 4.0, || {
            format!("the threshold is {}; the rectification is defined above 4", self.threshold)
        })
    }
}

impl Transformation for ScaleByRadam {
    type State<P: Tree + Clone> = MomentState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> MomentState<P> {
        MomentState::zeros(&checked(params, self.check()))
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &MomentState<P>, _: &P) -> (P, MomentState<P>) {
        let t = &s.t + 1;
        let rho_inf = 2.0 / (1.0 - self.b2) - 1.0;
        // in f64: ρ is the small difference of numbers near ρ∞
        let steps = t.to(gradloom_frontend::DType::F64);
        let log_decay = &steps * self.b2.ln();
        let rho = rho_inf - &steps * 2.0 * log_decay.exp() / -log_decay.expm1();
        let trusted = rho.ge(self.threshold);
        let long = trusted.select(&rho, rho_inf);
        let r = ((&long - 4.0) * (&long - 2.0) / &long * (rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0)))).sqrt();
        let [u, m, v] = leafwise([&checked(g, self.check()), &s.m, &s.v], |[g, m, v]| {
            let m = mean(self.b1, m, g);
            let v = mean(self.b2, v, &squares(g));
            let m_hat = debiased(&m, self.b1, &t);
            let scaled = over(&times(&m_hat, &r.to(v.dtype())), &(debiased(&v, self.b2, &t).sqrt() + self.eps));
            [trusted.select(scaled, m_hat), m, v]
        });
        (u, MomentState { m, v, t })
    }
}
