//! Matrices scaled to given row and column sums.

use crate::checks::{Checks, ensure};
use gradloom_frontend::{DType, Tensor, Tree, custom_vjp, fori_loop, linalg, while_loop};

/// e^L scaled alternately to row sums and column sums 1, `steps` times each (Sinkhorn and Knopp 1967), for logarithms
/// `[.., n, n]`. Columns come last: their sums are 1, those of rows nearly so. Derivatives go through the steps. Logarithms
/// that lie far apart (more than about 80 in f32) need [`Sinkhorn`].
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::solve::{sinkhorn, sinkhorn_implicit};
/// let l = random::normal(&Key::new(0), [5, 4, 4]);
/// let p = sinkhorn(&l, 30);
/// assert!((p.sum(-1) - 1.0).abs().max(..).item::<f32>()? < 1e-4);
/// assert!((p - sinkhorn_implicit(&l, 30)).abs().max(..).item::<f32>()? < 1e-6);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn sinkhorn(logits: &Tensor, steps: usize) -> Tensor {
    let n = logits.dim(-1);
    let checks = Checks::of("sinkhorn")
        .sound(logits)
        .size("steps", steps)
        .that(i32::try_from(steps).is_ok(), || format!("{steps} steps"))
        .that(logits.ndim() >= 2 && logits.dim(-2) == n, || format!("{} holds no square matrices", logits.ty()));
    ensure!(checks);
    // a common factor of a row is lost in the first step
    let start = (logits - logits.max_keepdims(-1)).exp();
    let step = |_: &Tensor, p: &Tensor| {
        let p = p / p.sum_keepdims(-1);
        &p / p.sum_keepdims(-2)
    };
    fori_loop(0..steps as i32, step, &start)
}

/// [`sinkhorn`] with the derivative of its limit, whatever the steps: memory and time of the backward pass do not depend on
/// them.
///
/// In the limit P = diag(u) e^L diag(v). A change dL changes P by P∘(dL + du 1ᵀ + 1 dvᵀ) (u and v as logarithms) with row and
/// column sums 0, so that the cotangent of L is P∘(P̄ - λ 1ᵀ - 1 μᵀ) with
///
/// ```text
/// [ I   P ] [λ]   [row sums of P∘P̄   ]
/// [ Pᵀ  I ] [μ] = [column sums of P∘P̄]
/// ```
///
/// The system is singular along (1, -1), where λ 1ᵀ + 1 μᵀ does not change; that direction is given the eigenvalue 1.
#[track_caller]
pub fn sinkhorn_implicit(logits: &Tensor, steps: usize) -> Tensor {
    let solved = custom_vjp(
        |l: &Tensor| sinkhorn(l, steps),
        |l: &Tensor| {
            let p = sinkhorn(l, steps);
            (p.clone(), p)
        },
        |p: &Tensor, p_bar: &Tensor| {
            let ones = p.sum(-1).ones_like();
            pulled_back(p, &ones, &ones, p_bar).0
        },
    );
    solved(logits)
}

/// Finds the plan P = diag(e^f) e^L diag(e^g) with given row and column sums, in the domain of logarithms: f and g are found,
/// not their exponentials, so that nothing overflows or vanishes however far the elements of L lie apart (Peyré and Cuturi
/// 2019, section 4.4):
///
/// ```text
/// f_i = ln a_i - ln Σ_j e^(L_ij + g_j)
/// g_j = ln b_j - ln Σ_i e^(L_ij + f_i)
/// ```
///
/// With L = -C / ε that is the plan which moves masses a to masses b at least cost ⟨P, C⟩ - ε H(P), entropy H (Cuturi 2013). The
/// smaller ε, the more steps it takes. An element -∞ of L forbids a pair; a row or column of mass 0 is 0.
///
/// The derivatives by L, a and b are those of the limit, as in [`sinkhorn_implicit`]. A change of the masses must keep
/// both totals alike, so their derivatives are determined up to a constant between a and b.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::solve::Sinkhorn;
/// // two heaps of sand to three holes, at ε = 0.001
/// let cost = Tensor::from([[1.0f64, 2.0, 3.0], [1.0, 4.0, 9.0]]);
/// let (a, b) = (Tensor::from([0.5f64, 0.5]), Tensor::from([0.4f64, 0.4, 0.2]));
/// let plan = Sinkhorn::default().solve(&(-cost / 1e-3), &a, &b).plan;
/// let best = Tensor::from([[0.0f64, 0.3, 0.2], [0.4, 0.1, 0.0]]);
/// assert!((plan - best).abs().max(..).item::<f64>()? < 1e-5);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sinkhorn {
    /// The iteration ends where no row sum is off by more; column sums are exact.
    pub tolerance: f64,
    /// Most pairs of steps; what is reached then is the result.
    pub max_steps: usize,
}

impl Default for Sinkhorn {
    fn default() -> Self {
        Sinkhorn { tolerance: 1e-6, max_steps: 10_000 }
    }
}

/// What [`Sinkhorn`] found.
#[derive(Tree, Clone)]
pub struct Transport {
    /// P, `[.., n, m]`.
    pub plan: Tensor,
    /// The greatest difference of a row sum from what it should be.
    pub error: Tensor,
    /// Pairs of steps (i32).
    pub steps: Tensor,
}

impl Sinkhorn {
    /// The plan for logarithms L `[.., n, m]`, row sums a `[.., n]` and column sums b `[.., m]`, of equal totals. NaN where the
    /// forbidden pairs leave none.
    #[track_caller]
    pub fn solve(&self, logits: &Tensor, a: &Tensor, b: &Tensor) -> Transport {
        let (shape, rank) = (logits.shape(), logits.ndim());
        let fits = rank >= 2
            && a.shape() == &shape[..rank - 1]
            && b.shape().split_last() == Some((&shape[rank - 1], &shape[..rank - 2]));
        let checks = Checks::of("Sinkhorn")
            .sound(logits)
            .sound(a)
            .sound(b)
            .that(self.tolerance >= 0.0, || format!("the tolerance is {}", self.tolerance))
            .that(fits, || {
                let (l, a, b) = (logits.ty(), a.ty(), b.ty());
                format!(
                    "logarithms {l} with row sums {a} and column sums {b}: should be [.., n, m], [.., n] and [.., m]"
                )
            })
            .that(logits.dtype().is_float() && [a, b].iter().all(|x| x.dtype() == logits.dtype()), || {
                format!(
                    "logarithms {}, row sums {} and column sums {} should be of one float dtype",
                    logits.ty(),
                    a.ty(),
                    b.ty()
                )
            });
        if let Err(e) = checks.result() {
            let failed = Tensor::failed(e);
            return Transport { plan: failed.clone(), error: failed.clone(), steps: failed };
        }
        type Inputs = (Tensor, Tensor, Tensor);
        let solved = custom_vjp(
            |(l, a, b): &Inputs| self.iterate(l, a, b),
            |(l, a, b): &Inputs| {
                let found = self.iterate(l, a, b);
                (found.clone(), (found.plan, a.clone(), b.clone()))
            },
            |(p, a, b): &Inputs, ct: &Transport| pulled_back(p, a, b, &ct.plan),
        );
        solved(&(logits.clone(), a.clone(), b.clone()))
    }

    #[track_caller]
    fn iterate(&self, l: &Tensor, a: &Tensor, b: &Tensor) -> Transport {
        // where there is no mass nothing moves, whatever the logarithms
        let potential = |mass: &Tensor, others: Tensor| {
            let none = mass.eq(0.0);
            none.select(f64::NEG_INFINITY, none.select(1.0, mass).log() - others)
        };
        let (by_rows, by_columns) = (
            |g: &Tensor| (l + g.expand_dims(-2)).logsumexp(-1),
            |f: &Tensor| potential(b, (l + f.expand_dims(-1)).logsumexp(-2)),
        );
        let f = potential(a, a.zeros_like());
        let g = by_columns(&f);
        type Carry = (Tensor, Tensor, Tensor, Tensor);
        let start = (f, g, Tensor::full((), f64::INFINITY, l.dtype()), Tensor::from(0));
        let (f, g, _, steps) = while_loop(
            |(_, _, off, n): &Carry| off.gt(self.tolerance) & n.lt(self.max_steps),
            |(f, g, _, n): &Carry| {
                let rows = by_rows(g);
                let off = a.eq(0.0).select(0.0, (f + &rows).exp() - a).abs().max(..);
                let f = potential(a, rows);
                let g = by_columns(&f);
                (f, g, off, n + 1)
            },
            &start,
        );
        let plan = (l + f.expand_dims(-1) + g.expand_dims(-2)).exp();
        let error = (plan.sum(-1) - a).abs().max(..);
        Transport { plan, error, steps }
    }
}

/// The cotangents of L, a and b for that of P, whose row sums are a and whose column sums are b: λ and μ as in
/// [`sinkhorn_implicit`], of the system with diag(a) and diag(b) for the two I, are those of a and b.
///
/// It is solved for √a λ and √b μ, so that its diagonal is 1 and its eigenvalues lie between 0 and 2. Where P is nearly a
/// permutation many are nearly 0; what lies along their vectors does not reach P∘(P̄ - λ 1ᵀ - 1 μᵀ), but must not blow up.
#[track_caller]
fn pulled_back(p: &Tensor, a: &Tensor, b: &Tensor, p_bar: &Tensor) -> (Tensor, Tensor, Tensor) {
    let (n, m) = (p.dim(-2), p.dim(-1));
    let epsilon = if p.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let inverse_root = |mass: &Tensor| {
        let none = mass.eq(0.0);
        none.select(0.0, none.select(1.0, mass).rsqrt())
    };
    let (of_a, of_b) = (inverse_root(a), inverse_root(b));
    let q = p * of_a.expand_dims(-1) * of_b.expand_dims(-2);
    let eye = |n: usize| Tensor::eye(n).to(p.dtype()) * (1.0 + 8.0 * epsilon * (n + m) as f64);
    let square = |n: usize| p.shape()[..p.ndim() - 2].iter().copied().chain([n, n]).collect::<Vec<_>>();
    let top = Tensor::concatenate(&[eye(n).broadcast_to(square(n)), q.clone()], -1);
    let bottom = Tensor::concatenate(&[q.mt(), eye(m).broadcast_to(square(m))], -1);
    let z = Tensor::concatenate(&[a.sqrt(), -b.sqrt()], -1);
    let z = &z / z.norm_keepdims(-1);
    let system = Tensor::concatenate(&[top, bottom], -2) + z.expand_dims(-1) * z.expand_dims(-2);

    let w = p * p_bar;
    let sums = Tensor::concatenate(&[w.sum(-1) * &of_a, w.sum(-2) * &of_b], -1).expand_dims(-1);
    let multipliers = linalg::solve(&system, &sums).squeeze(-1).split_at(&[n], -1);
    let (lambda, mu) = (&multipliers[0] * of_a, &multipliers[1] * of_b);
    let l_bar = w - p * (lambda.expand_dims(-1) + mu.expand_dims(-2));
    (l_bar, lambda, mu)
}
