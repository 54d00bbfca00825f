//! Muon: momentum whose matrices are made orthogonal.

use super::Transformation;
use super::leafwise::{all_real, debiased, decay, leafwise, mean, no_steps};
use super::momentum::EmaState;
use crate::checks::{checked, require};
use gradloom_frontend::{Result, Tensor, Tree};

/// Muon's scaling (Jordan et al. 2024): m ← β m + (1 - β) g, and the update is about u vᵀ for m̂ = u s vᵀ, from a few steps
/// of a Newton-Schulz iteration X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X, times √max(1, outputs / inputs).
///
/// Leaves must be matrices `[inputs, outputs]`, or stacks of them; see [`super::muon`] for whole models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByMuon {
    /// Momentum β.
    pub beta: f64,
    /// Whether the momentum looks one step ahead.
    pub nesterov: bool,
    /// Steps of the iteration.
    pub steps: usize,
    /// a, b, c.
    pub coefficients: (f64, f64, f64),
    /// Keeps the first division finite.
    pub eps: f64,
}

impl Default for ScaleByMuon {
    fn default() -> Self {
        // coefficients of the greatest slope at 0 that keep singular values between about 0.7 and 1.2
        ScaleByMuon { beta: 0.95, nesterov: true, steps: 5, coefficients: (3.4445, -4.7750, 2.0315), eps: 1e-8 }
    }
}

impl ScaleByMuon {
    fn check<P: Tree>(&self, tree: &P) -> Result<()> {
        all_real("muon", tree)?;
        decay("muon", "β", self.beta)?;
        require("muon", self.eps >= 0.0, || format!("ε is {}; it must not be negative", self.eps))?;
        tree.paths().iter().zip(tree.leaves()).filter(|(_, p)| p.dtype().is_float()).try_for_each(|(path, p)| {
            p.check()?;
            require("muon", p.ndim() >= 2, || format!("leaf `{path}` is {}, no matrix", p.ty()))
        })
    }

    /// About u vᵀ for x = u s vᵀ.
    fn orthogonal(&self, x: &Tensor) -> Tensor {
        let (a, b, c) = self.coefficients;
        let tall = x.dim(-2) > x.dim(-1);
        let x = if tall { x.mt() } else { x.clone() };
        let mut x = &x / (x.norm_keepdims([-2, -1]) + self.eps);
        for _ in 0..self.steps {
            let xxt = x.matmul(&x.mt());
            x = &x * a + (&xxt * b + xxt.matmul(&xxt) * c).matmul(&x);
        }
        if tall { x.mt() } else { x }
    }
}

impl Transformation for ScaleByMuon {
    type State<P: Tree + Clone> = EmaState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> EmaState<P> {
        EmaState { m: checked(params, self.check(params)).zeros_like(), t: no_steps() }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &EmaState<P>, _: &P) -> (P, EmaState<P>) {
        let beta = self.beta;
        let t = &s.t + 1;
        let next = &t + 1;
        let [u, m] = leafwise([&checked(g, self.check(g)), &s.m], |[g, m]| {
            let m = mean(beta, m, g);
            let m_hat = if self.nesterov {
                mean(beta, &debiased(&m, beta, &next), &debiased(g, beta, &t))
            } else {
                debiased(&m, beta, &t)
            };
            let (inputs, outputs) = (m.dim(-2).max(1) as f64, m.dim(-1) as f64);
            [self.orthogonal(&m_hat) * (outputs / inputs).max(1.0).sqrt(), m]
        });
        (u, EmaState { m, t })
    }
}
