//! Prodigy: Adam that finds its step size.

use super::Transformation;
use super::leafwise::{all_real, debiased, decay, floats, inner, leafwise, mean, no_steps, sum};
use super::schedule::Schedule;
use crate::checks::{checked, require};
use gradloom_frontend::{DType, Result, Tensor, Tree};

/// Prodigy (Mishchenko and Defazio 2024, algorithm 4): Adam on d g, where d estimates the distance from the start to the
/// solution, from below:
///
/// - m ← β₁ m + (1 - β₁) d g, v ← β₂ v + (1 - β₂) d² g²
/// - r ← √β₂ r + (d / d₀) γ ⟨g, x₀ - x⟩, s ← √β₂ s + (d / d₀) γ g, with γ = d lr √(1 - β₂ᵗ) / (1 - β₁ᵗ)
/// - d ← max(d, r / ‖s‖₁), update -γ (m / (√v + d ε) + λ x)
///
/// The learning rate is a schedule around 1.
#[derive(Clone, Debug)]
pub struct Prodigy {
    /// Multiplies the step; 1, or a schedule from 1 down.
    pub lr: Schedule,
    /// Decay of the mean of gradients.
    pub b1: f64,
    /// Decay of the mean of squares.
    pub b2: f64,
    /// Keeps the division finite.
    pub eps: f64,
    /// The first estimate d₀, less than the true distance.
    pub d0: f64,
    /// Decoupled weight decay λ.
    pub decay: f64,
}

/// Prodigy with the paper's constants.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::optim::*;
/// let optimizer = prodigy();
/// let step = jit(|(x, s): &(Tensor, _)| optimizer.step(x, &grad(|x: &Tensor| (x - 5.0).abs().sum(..))(x), s));
/// let x = Tensor::zeros([1]);
/// let mut carry = (x.clone(), optimizer.init(&x));
/// for _ in 0..300 {
///     carry = step.run(carry)?;
/// }
/// assert!((carry.0.item::<f32>()? - 5.0).abs() < 1.0);
/// # Ok::<(), gradloom::Error>(())
/// ```
pub fn prodigy() -> Prodigy {
    Prodigy { lr: 1.0.into(), b1: 0.9, b2: 0.999, eps: 1e-8, d0: 1e-6, decay: 0.0 }
}

/// What Prodigy remembers; the names are the paper's.
#[derive(Tree, Clone)]
pub struct ProdigyState<P> {
    /// Mean of gradients.
    pub m: P,
    /// Mean of squares.
    pub v: P,
    /// Weighted sum of gradients.
    pub s: P,
    /// The parameters at the start.
    pub x0: P,
    /// Weighted sum of ⟨g, x₀ - x⟩.
    pub r: Tensor,
    /// The estimated distance.
    pub d: Tensor,
    /// Steps taken (i32).
    pub t: Tensor,
}

impl Prodigy {
    fn check<P: Tree>(&self, tree: &P) -> Result<()> {
        all_real("prodigy", tree)?;
        decay("prodigy", "β₁", self.b1)?;
        decay("prodigy", "β₂", self.b2)?;
        self.lr.check("prodigy")?;
        require("prodigy", self.d0 > 0.0 && self.eps >= 0.0 && self.decay.is_finite(), || {
            format!("d₀ is {}, ε is {}, λ is {}; d₀ must be positive, ε not negative", self.d0, self.eps, self.decay)
        })
    }
}

impl Transformation for Prodigy {
    type State<P: Tree + Clone> = ProdigyState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> ProdigyState<P> {
        let x0 = checked(params, self.check(params));
        let zeros = x0.zeros_like();
        let wide = floats(&x0).iter().any(|x| x.dtype() == DType::F64);
        let r = Tensor::full((), 0.0, if wide { DType::F64 } else { DType::F32 });
        ProdigyState { m: zeros.clone(), v: zeros.clone(), s: zeros, x0, d: r.full_like(self.d0), r, t: no_steps() }
    }

    fn update<P: Tree + Clone>(&self, g: &P, state: &ProdigyState<P>, x: &P) -> (P, ProdigyState<P>) {
        let &Prodigy { b1, b2, eps, d0, .. } = self;
        let g = &checked(g, self.check(g));
        let ProdigyState { x0, d, .. } = state;
        let t = &state.t + 1;
        let lr = self.lr.factor(1.0, &Some(state.t.clone()));
        let one = d.ones_like();
        let gamma = lr.times(d) * debiased(&one, b1, &t) / debiased(&one, b2, &t).sqrt();
        let weight = d / d0 * &gamma;
        let [travelled] = leafwise([x0, x], |[x0, x]| [x0 - x]);
        let r = &state.r * b2.sqrt() + &weight * inner(g, &travelled).to(d.dtype());
        let [m, v, s] = leafwise([g, &state.m, &state.v, &state.s], |[g, m, v, s]| {
            let dg = g * d.to(g.dtype());
            [mean(b1, m, &dg), mean(b2, v, &dg.square()), s * b2.sqrt() + g * weight.to(g.dtype())]
        });
        let norm = sum(floats(&s).iter().map(|s| s.abs().sum(..))).to(d.dtype());
        // at a point of gradient 0 from the start on, there is nothing to estimate from
        let known = norm.gt(0.0);
        let estimate = known.select(&r / known.select(&norm, 1.0), 0.0);
        let d = d.maximum(estimate);
        let [u] = leafwise([&m, &v, x], |[m, v, x]| {
            let (gamma, d) = (gamma.to(m.dtype()), d.to(m.dtype()));
            [-(m / (v.sqrt() + d * eps) + x * self.decay) * gamma]
        });
        (u, ProdigyState { m, v, s, x0: x0.clone(), r, d, t })
    }
}
