//! Gradient descent and Adam along geodesics.

use super::Transformation;
use super::leafwise::{all_real, debiased, decay, leafwise, mean, no_steps, own_state};
use super::schedule::Schedule;
use crate::checks::{checked, require};
use crate::manifold::Manifold;
use gradloom_frontend::{Result, Tensor, Tree};

/// Riemannian gradient descent (Bonnabel 2013) with momentum: u ← μ u + grad, θ ← exp_θ(-lr u), and u is carried to the
/// new θ. All float leaves are points of the manifold (see [`super::masked`] for models of which only some are).
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::{manifold::Sphere, optim::*};
/// // the direction of the greatest eigenvalue
/// let a = Tensor::from([[2.0f64, 1.0], [1.0, 3.0]]);
/// let optimizer = riemannian_sgd(Sphere, 0.2, 0.0);
/// let mut x = Tensor::from([1.0f64, 0.0]);
/// let mut state = optimizer.init(&x);
/// for _ in 0..100 {
///     let g = grad(|x: &Tensor| -a.dot(x).dot(x))(&x);
///     (x, state) = optimizer.step(&x, &g, &state);
/// }
/// assert!((x.i(1) / x.i(0) - (1.0 + 5f64.sqrt()) / 2.0).abs().item::<f64>()? < 1e-6);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RiemannianSgd<M> {
    manifold: M,
    lr: Schedule,
    momentum: f64,
}

/// Riemannian gradient descent with momentum μ (0 for none).
pub fn riemannian_sgd<M: Manifold>(manifold: M, lr: impl Into<Schedule>, momentum: f64) -> RiemannianSgd<M> {
    RiemannianSgd { manifold, lr: lr.into(), momentum }
}

/// Riemannian Adam (Bécigneul and Ganea 2019): m ← β₁ m + (1 - β₁) grad, v ← β₂ v + (1 - β₂) ⟨grad, grad⟩ for each point,
/// θ ← exp_θ(-lr m̂ / (√v̂ + ε)), and m is carried to the new θ.
#[derive(Clone, Debug)]
pub struct RiemannianAdam<M> {
    /// Where the points are.
    pub manifold: M,
    /// Step size.
    pub lr: Schedule,
    /// Decay of the mean of gradients.
    pub b1: f64,
    /// Decay of the mean of squared lengths.
    pub b2: f64,
    /// Keeps the division finite.
    pub eps: f64,
}

/// Riemannian Adam with β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
pub fn riemannian_adam<M: Manifold>(manifold: M, lr: impl Into<Schedule>) -> RiemannianAdam<M> {
    RiemannianAdam { manifold, lr: lr.into(), b1: 0.9, b2: 0.999, eps: 1e-8 }
}

/// Tangent means and squared lengths.
#[derive(Tree, Clone)]
pub struct RiemannianState<P> {
    /// Momentum or mean of gradients, tangent at the parameters.
    pub m: P,
    /// Mean of squared lengths, one for each point (of Adam only).
    pub v: Option<P>,
    /// Steps taken (i32).
    pub t: Tensor,
}

/// Whether all float leaves can be points.
fn check_points<M: Manifold, P: Tree>(op: &str, manifold: &M, params: &P) -> Result<()> {
    all_real(op, params)?;
    params.leaves().iter().filter(|p| p.dtype().is_float()).try_for_each(|p| manifold.check(p))
}

/// x moved by v, as a difference to x; `carry` moves there too.
///
/// The next update projects first, so that the rounding of x + (y - x) does not add up.
fn moved<M: Manifold>(manifold: &M, x: &Tensor, point: &Tensor, v: &Tensor, carry: &Tensor) -> [Tensor; 2] {
    let y = manifold.project(&manifold.exp(point, v));
    let carry = manifold.transport(point, &y, carry);
    [y - x, carry]
}

impl<M: Manifold> RiemannianSgd<M> {
    fn check<P: Tree>(&self, params: &P) -> Result<()> {
        decay("riemannian_sgd", "μ", self.momentum)?;
        self.lr.check("riemannian_sgd")?;
        check_points("riemannian_sgd", &self.manifold, params)
    }
}

impl<M: Manifold> Transformation for RiemannianSgd<M> {
    type State<P: Tree + Clone> = RiemannianState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> RiemannianState<P> {
        RiemannianState { m: checked(params, self.check(params)).zeros_like(), v: None, t: no_steps() }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &RiemannianState<P>, params: &P) -> (P, RiemannianState<P>) {
        let lr = self.lr.factor(-1.0, &Some(s.t.clone()));
        let [u, m] = leafwise([&checked(g, self.check(params)), &s.m, params], |[g, m, x]| {
            let point = self.manifold.project(x);
            let m = m * self.momentum + self.manifold.gradient(&point, g);
            let [u, m] = moved(&self.manifold, x, &point, &lr.times(&m), &m);
            [u, m]
        });
        (u, RiemannianState { m, v: None, t: &s.t + 1 })
    }
}

impl<M: Manifold> RiemannianAdam<M> {
    fn check<P: Tree>(&self, params: &P) -> Result<()> {
        let op = "riemannian_adam";
        decay(op, "β₁", self.b1)?;
        decay(op, "β₂", self.b2)?;
        require(op, self.eps >= 0.0, || format!("ε is {}; it must not be negative", self.eps))?;
        self.lr.check(op)?;
        check_points(op, &self.manifold, params)
    }
}

impl<M: Manifold> Transformation for RiemannianAdam<M> {
    type State<P: Tree + Clone> = RiemannianState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> RiemannianState<P> {
        let params = checked(params, self.check(params));
        let axes: Vec<i64> = (1..=self.manifold.point_axes() as i64).map(|a| -a).collect();
        let [v] = leafwise([&params], |[p]| [p.zeros_like().sum_keepdims(&axes)]);
        RiemannianState { m: params.zeros_like(), v: Some(v), t: no_steps() }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &RiemannianState<P>, params: &P) -> (P, RiemannianState<P>) {
        let Some(v) = &s.v else { return (checked(g, own_state("riemannian_adam", false)), s.clone()) };
        let lr = self.lr.factor(-1.0, &Some(s.t.clone()));
        let t = &s.t + 1;
        let [u, m, v] = leafwise([&checked(g, self.check(params)), &s.m, v, params], |[g, m, v, x]| {
            let point = self.manifold.project(x);
            let grad = self.manifold.gradient(&point, g);
            let m = mean(self.b1, m, &grad);
            let v = mean(self.b2, v, &self.manifold.inner(&point, &grad, &grad));
            let direction = debiased(&m, self.b1, &t) / (debiased(&v, self.b2, &t).sqrt() + self.eps);
            let [u, m] = moved(&self.manifold, x, &point, &lr.times(&direction), &m);
            [u, m, v]
        });
        (u, RiemannianState { m, v: Some(v), t })
    }
}
