//! Shampoo and SOAP: preconditioners for each side of a matrix.

use super::Transformation;
use super::leafwise::{all_real, debiased, decay, leafwise, mean, no_steps};
use crate::checks::{checked, require};
use gradloom_frontend::{DType, Result, Tensor, Tree, cond, linalg, switch};

/// A leaf as a matrix: all axes but the last are rows. Scalars and vectors are none.
fn as_matrix(x: &Tensor) -> Option<Tensor> {
    (x.ndim() >= 2).then(|| x.reshape([-1, x.dim(-1) as i64]))
}

/// No preconditioner on this side.
fn none(dtype: DType) -> Tensor {
    Tensor::full([0, 0], 0.0, dtype)
}

/// Whether a side has a preconditioner.
fn present(side: &Tensor) -> bool {
    side.dim(0) > 0
}

/// A square start for each side of the leaf that is not longer than `max_dim`.
fn sides(x: &Tensor, max_dim: usize, start: impl Fn(usize) -> Tensor) -> [Tensor; 2] {
    let side = |n: usize| if n <= max_dim && n > 0 { start(n) } else { none(x.dtype()) };
    match as_matrix(x) {
        Some(m) => [side(m.dim(0)), side(m.dim(1))],
        None => [none(x.dtype()), none(x.dtype())],
    }
}

/// left · x · right, without the sides that are not there.
fn between(left: &Tensor, x: &Tensor, right: &Tensor) -> Tensor {
    let x = if present(left) { left.matmul(x) } else { x.clone() };
    if present(right) { x.matmul(right) } else { x }
}

/// The statistics of both sides, x xᵀ and xᵀ x, taken into `left` and `right` by `into(old, new)`.
fn statistics(x: &Tensor, left: &Tensor, right: &Tensor, into: impl Fn(&Tensor, &Tensor) -> Tensor) -> [Tensor; 2] {
    let l = if present(left) { into(left, &x.matmul(&x.t())) } else { left.clone() };
    let r = if present(right) { into(right, &x.t().matmul(x)) } else { right.clone() };
    [l, r]
}

/// Shampoo (Gupta et al. 2018, algorithm 1): L ← L + G Gᵀ, R ← R + Gᵀ G from ε I, update L^-¼ G R^-¼.
///
/// A kernel of more axes is taken as the matrix of its last axis against all others. A side longer than `max_dim` has no
/// preconditioner, and the other side then the power -½. Scalars and vectors are scaled as in Adagrad, g / √(ε + Σ g²).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByShampoo {
    /// Decay of the statistics, L ← β L + (1 - β) G Gᵀ; `None` sums them as the paper does.
    pub decay: Option<f64>,
    /// ε.
    pub eps: f64,
    /// Steps between computations of the roots.
    pub every: usize,
    /// The longest side with a preconditioner.
    pub max_dim: usize,
}

impl Default for ScaleByShampoo {
    fn default() -> Self {
        ScaleByShampoo { decay: None, eps: 1e-4, every: 1, max_dim: 1024 }
    }
}

/// Statistics of both sides, their inverse roots, sums of squares of vectors, and steps taken.
#[derive(Tree, Clone)]
pub struct ShampooState<P> {
    /// Left statistics, L.
    pub l: P,
    /// Right statistics, R.
    pub r: P,
    /// Inverse root of L.
    pub l_root: P,
    /// Inverse root of R.
    pub r_root: P,
    /// Squares of leaves that are no matrices.
    pub v: P,
    /// Steps taken (i32).
    pub t: Tensor,
}

impl ScaleByShampoo {
    fn check<P: Tree>(&self, tree: &P) -> Result<()> {
        all_real("shampoo", tree)?;
        decay("shampoo", "the decay", self.decay.unwrap_or(0.0))?;
        require("shampoo", self.eps > 0.0, || format!("ε is {}, not positive", self.eps))?;
        require("shampoo", self.every > 0, || "roots every 0 steps".into())
    }

    fn into(&self, old: &Tensor, new: &Tensor) -> Tensor {
        self.decay.map_or_else(|| old + new, |b| mean(b, old, new))
    }

    /// Both inverse roots.
    fn roots(&self, l: &Tensor, r: &Tensor) -> [Tensor; 2] {
        let p = if present(l) && present(r) { -0.25 } else { -0.5 };
        [l, r].map(|s| {
            // rounding must not take eigenvalues below what they start at
            if present(s) { linalg::spd_function(s, |w| w.maximum(self.eps * 1e-3).pow(p)) } else { s.clone() }
        })
    }
}

impl Transformation for ScaleByShampoo {
    type State<P: Tree + Clone> = ShampooState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> ShampooState<P> {
        let params = &checked(params, self.check(params));
        let [l, r, v] = leafwise([params; 3], |[p, ..]| {
            let [l, r] = sides(p, self.max_dim, |n| Tensor::eye(n).to(p.dtype()) * self.eps);
            [l, r, if p.ndim() < 2 { p.full_like(self.eps) } else { none(p.dtype()) }]
        });
        ShampooState { l_root: l.clone(), r_root: r.clone(), l, r, v, t: no_steps() }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &ShampooState<P>, _: &P) -> (P, ShampooState<P>) {
        let g = &checked(g, self.check(g));
        let [l, r, v] = {
            let [_, l, r, v] = leafwise([g, &s.l, &s.r, &s.v], |[g, l, r, v]| match as_matrix(g) {
                Some(m) => {
                    let [l, r] = statistics(&m, l, r, |old, new| self.into(old, new));
                    [g.clone(), l, r, v.clone()]
                }
                None => [g.clone(), l.clone(), r.clone(), self.into(v, &g.square())],
            });
            [l, r, v]
        };
        let due = (&s.t % self.every).eq(0);
        type Args<P> = [P; 4];
        let [l_root, r_root] = cond(
            &due,
            |[l, r, ..]: &Args<P>| leafwise([l, r], |[l, r]| self.roots(l, r)),
            |[_, _, l_root, r_root]: &Args<P>| [l_root.clone(), r_root.clone()],
            &[l.clone(), r.clone(), s.l_root.clone(), s.r_root.clone()],
        );
        let [u] = leafwise([g, &l_root, &r_root, &v], |[g, l, r, v]| {
            [match as_matrix(g) {
                Some(m) => between(l, &m, r).reshape(g.shape()),
                None => g * v.rsqrt(),
            }]
        });
        (u, ShampooState { l, r, l_root, r_root, v, t: &s.t + 1 })
    }
}

/// SOAP (Vyas et al. 2025, algorithm 3): Adam in the eigenbasis of Shampoo's statistics.
///
/// - L ← β L + (1 - β) G Gᵀ, R ← β R + (1 - β) Gᵀ G
/// - G' = Q_Lᵀ G Q_R, M ← β₁ M + (1 - β₁) G, V ← β₂ V + (1 - β₂) G'²
/// - update Q_L (M' / √V + ε) Q_Rᵀ with M' = Q_Lᵀ M Q_R, both means debiased
/// - every few steps Q_L ← the orthogonal factor of L Q_L, and so Q_R
///
/// The first step only finds the bases, as the authors' does: its update is 0. Sides longer than `max_dim` are not
/// rotated; scalars and vectors are scaled as in Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleBySoap {
    /// Decay of the mean of gradients.
    pub b1: f64,
    /// Decay of the mean of squares.
    pub b2: f64,
    /// Decay of the statistics.
    pub beta: f64,
    /// Keeps the division finite.
    pub eps: f64,
    /// Steps between refinements of the bases.
    pub every: usize,
    /// The longest side that is rotated.
    pub max_dim: usize,
}

impl Default for ScaleBySoap {
    fn default() -> Self {
        ScaleBySoap { b1: 0.95, b2: 0.95, beta: 0.95, eps: 1e-8, every: 10, max_dim: 1024 }
    }
}

/// Means, statistics and bases of SOAP.
#[derive(Tree, Clone)]
pub struct SoapState<P> {
    /// Mean of gradients.
    pub m: P,
    /// Mean of squares in the eigenbasis.
    pub v: P,
    /// Left statistics, L.
    pub l: P,
    /// Right statistics, R.
    pub r: P,
    /// Left basis, Q_L.
    pub q_l: P,
    /// Right basis, Q_R.
    pub q_r: P,
    /// Steps taken (i32).
    pub t: Tensor,
}

impl ScaleBySoap {
    fn check<P: Tree>(&self, tree: &P) -> Result<()> {
        all_real("soap", tree)?;
        decay("soap", "β₁", self.b1)?;
        decay("soap", "β₂", self.b2)?;
        decay("soap", "β", self.beta)?;
        require("soap", self.eps >= 0.0, || format!("ε is {}; it must not be negative", self.eps))?;
        require("soap", self.every > 0, || "bases every 0 steps".into())
    }
}

impl Transformation for ScaleBySoap {
    type State<P: Tree + Clone> = SoapState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> SoapState<P> {
        let params = &checked(params, self.check(params));
        let zeros = params.zeros_like();
        let [l, r] = leafwise([params; 2], |[p, _]| sides(p, self.max_dim, |n| Tensor::full([n, n], 0.0, p.dtype())));
        let [q_l, q_r] = leafwise([params; 2], |[p, _]| sides(p, self.max_dim, |n| Tensor::eye(n).to(p.dtype())));
        SoapState { m: zeros.clone(), v: zeros, l, r, q_l, q_r, t: no_steps() }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &SoapState<P>, _: &P) -> (P, SoapState<P>) {
        let g = &checked(g, self.check(g));
        let first = s.t.eq(0);
        // the step that finds the bases does not count
        let t = s.t.maximum(1);
        let [u, m, v, _, _] = leafwise([g, &s.m, &s.v, &s.q_l, &s.q_r], |[g, m, v, q_l, q_r]| {
            let (rotate, back) = match as_matrix(g) {
                Some(flat) => (flat.shape().to_vec(), g.shape().to_vec()),
                None => (g.shape().to_vec(), g.shape().to_vec()),
            };
            let into = |x: &Tensor| between(&q_l.t(), &x.reshape(&rotate), q_r).reshape(&back);
            let from = |x: &Tensor| between(q_l, &x.reshape(&rotate), &q_r.t()).reshape(&back);
            let m_next = mean(self.b1, m, g);
            let v_next = mean(self.b2, v, &into(g).square());
            let m_hat = debiased(&into(&m_next), self.b1, &t);
            let n = m_hat / (debiased(&v_next, self.b2, &t).sqrt() + self.eps);
            [first.select(0.0, from(&n)), first.select(m, m_next), first.select(v, v_next), q_l.clone(), q_r.clone()]
        });
        let [_, l, r] = leafwise([g, &s.l, &s.r], |[g, l, r]| match as_matrix(g) {
            Some(x) => {
                let [l, r] = statistics(&x, l, r, |old, new| mean(self.beta, old, new));
                [g.clone(), l, r]
            }
            None => [g.clone(), l.clone(), r.clone()],
        });
        type Args<P> = [P; 4];
        let of = |l: &P, q: &P, f: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
            let [q] = leafwise([l, q], |[l, q]| [if present(l) { f(l, q) } else { q.clone() }]);
            q
        };
        let eigenvectors = |l: &Tensor, _: &Tensor| linalg::eigh(l).1;
        let refined = |l: &Tensor, q: &Tensor| linalg::qr(&l.matmul(q)).0;
        let which = first.select(0, (&s.t % self.every).ne(0).to(DType::I32) + 1);
        let [q_l, q_r] = switch(
            &which,
            [
                &|[l, r, q_l, q_r]: &Args<P>| [of(l, q_l, &eigenvectors), of(r, q_r, &eigenvectors)],
                &|[l, r, q_l, q_r]: &Args<P>| [of(l, q_l, &refined), of(r, q_r, &refined)],
                &|[_, _, q_l, q_r]: &Args<P>| [q_l.clone(), q_r.clone()],
            ],
            &[l.clone(), r.clone(), s.q_l.clone(), s.q_r.clone()],
        );
        (u, SoapState { m, v, l, r, q_l, q_r, t: &s.t + 1 })
    }
}
