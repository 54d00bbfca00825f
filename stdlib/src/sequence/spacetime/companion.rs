//! Companion matrices: their impulse responses in O(d log d + l log l), their states, their closed loops.

use super::StateSpace;
use crate::checks::{Checks, ensure};
use crate::nn::initial::scaled_normal;
use gradloom_frontend::random::Key;
use gradloom_frontend::{Complex, DType, Tensor, Tree, einsum, fft::Fft, linalg, scan};
use std::f64::consts::TAU;

/// F_i = C Aⁱ B, i = 0 .. l - 1, of A = S + a e_dᵀ; a, b, c are `[.., d]`, F is `[.., l]`.
///
/// At the roots z_k = e^(2πik/l) and with c̃ = C (I - Aˡ), the formula of Woodbury gives
/// F = irfft(q(c̃, B) + q(c̃, a) q(e_d, B) / (z_k - q(e_d, a))), where q(u, v) is the rfft of r_m = Σ_j u_(j+m) v_j, wrapped
/// modulo l.
///
/// An eigenvalue of A may be a root of unity (1 is one if Σ a_i = 1), where the formula divides 0 by 0. So it is evaluated at
/// ρ z_k with ρ = 1 + 1/l, which gives F_i ρ⁻ⁱ: c̃ = C (I - (A/ρ)ˡ), r_m ρ⁻ᵐ for r_m; with Σ|a_i| ≤ 1 no denominator is less
/// than 1/l.
#[track_caller]
pub fn companion_kernel(a: &Tensor, b: &Tensor, c: &Tensor, l: usize) -> Tensor {
    let checks = Checks::of("companion_kernel")
        .sound(a)
        .that(a.ndim() > 0 && a.dim(-1) > 0 && a.dtype().is_float(), || {
            format!("a is {}, it should be floats [.., d]", a.ty())
        })
        .same(["a", "b"], a, b)
        .same(["a", "c"], a, c)
        .size("l", l);
    ensure!(checks);
    let rho = 1.0 + 1.0 / l as f64;
    let power = linalg::matrix_power(&companion(a), i64::try_from(l).unwrap_or(i64::MAX));
    let c_tilde = c - einsum("...i,...ij->...j", &[c, &power]) * rho.powf(-(l as f64));
    // with u = e_d the correlation is v backwards
    let q_d = |v: &Tensor| wrapped(&(v.flip(-1) * powers(1.0 / rho, v)), l);
    let q = |u: &Tensor, v: &Tensor| wrapped(&(correlation(u, v) * powers(1.0 / rho, v)), l);
    let roots: Vec<Complex<f64>> =
        (0..l / 2 + 1).map(|k| Complex::from_polar(rho, TAU * k as f64 / l as f64)).collect();
    let (q_cb, q_ca, q_db, q_da) = (q(&c_tilde, b), q(&c_tilde, a), q_d(b), q_d(a));
    let z = Tensor::from(roots).to(q_da.dtype());
    let f = Fft::over(-1).lengths(&[l]).irfft(&(q_cb + q_ca * q_db / (z - q_da)));
    &f * powers(rho, &f)
}

/// x⁰, x¹, .. as many as the last axis of `like` has.
fn powers(x: f64, like: &Tensor) -> Tensor {
    let i = Tensor::iota([like.dim(-1)], 0, DType::F64);
    (i * x.ln()).exp().to(like.dtype())
}

/// r_m = Σ_j u_(j+m) v_j, m = 0 .. d - 1.
fn correlation(u: &Tensor, v: &Tensor) -> Tensor {
    let d = u.dim(-1);
    let f = Fft::over(-1).lengths(&[2 * d]);
    f.irfft(&(f.rfft(u) * f.rfft(v).conj())).slice_axis(u.ndim() - 1, 0, d)
}

/// The rfft at l points of r `[.., d]`, whose elements m, m + l, .. add up.
fn wrapped(r: &Tensor, l: usize) -> Tensor {
    let (d, axes) = (r.dim(-1), r.ndim());
    let rounds = d.div_ceil(l);
    let mut widths = vec![(0, 0); axes];
    widths[axes - 1].1 = (rounds * l - d) as i64;
    let mut shape = r.shape().to_vec();
    shape.splice(axes - 1.., [rounds, l]);
    Fft::over(-1).rfft(&r.pad(&widths, 0.0).reshape(shape).sum(-2))
}

/// S, `[d, d]`: ones below the diagonal.
#[track_caller]
pub fn shift(d: usize, dtype: DType) -> Tensor {
    let (i, j) = (Tensor::iota([d, d], 0, DType::I32), Tensor::iota([d, d], 1, DType::I32));
    i.eq(j + 1).to(dtype)
}

/// S + a e_dᵀ
fn companion(a: &Tensor) -> Tensor {
    let d = a.dim(-1);
    let last = Tensor::arange(d).eq(d - 1).to(a.dtype());
    shift(d, a.dtype()) + a.expand_dims(-1) * last
}

/// A x of states `[.., d]`.
fn times(a: &Tensor, x: &Tensor) -> Tensor {
    let (at, d) = (x.ndim() - 1, x.dim(-1));
    let last = x.slice_axis(at, d - 1, d);
    let shifted = Tensor::concatenate(&[last.zeros_like(), x.slice_axis(at, 0, d - 1)], -1);
    shifted + a * last
}

/// Companion models, `width` of them.
#[derive(Tree, Clone)]
pub struct Companion {
    /// The last column before it is divided by Σ|a_i|, `[width, d]`.
    pub a: Tensor,
    /// B, `[width, d]`
    pub b: Tensor,
    /// C, `[width, d]`
    pub c: Tensor,
}

impl Companion {
    /// a / Σ|a_i|: no eigenvalue of A is greater than 1. Zeros stay zeros.
    #[track_caller]
    pub fn column(&self) -> Tensor {
        let size = self.a.abs().sum_keepdims(-1);
        &self.a / size.gt(0.0).select(&size, 1.0)
    }

    /// x_n = Σ_i Aⁱ B u_(n-1-i) after the window u `[batch, l, width]`: `[batch, width, d]`.
    #[track_caller]
    pub fn state(&self, u: &Tensor) -> Tensor {
        let a = self.column();
        let (_, powers) = scan(|p: &Tensor, _: &Tensor| (times(&a, p), p.clone()), &self.b, &Tensor::arange(u.dim(-2)));
        einsum("bkw,kwd->bwd", &[&u.flip(1), &powers])
    }

    /// C (A + B K)ʰ x for h = 0 .. horizon - 1 of states `[batch, width, d]`: `[batch, horizon, width]`. The rows
    /// r_h = C (A + B K)ʰ are the same for all states.
    #[track_caller]
    pub fn closed_loop(&self, k: &Tensor, x: &Tensor, horizon: usize) -> Tensor {
        let (a, d) = (self.column(), self.a.dim(-1));
        let (_, rows) = scan(
            |r: &Tensor, _: &Tensor| {
                // r A: r one place on, and r a at its end
                let on = Tensor::concatenate(&[r.slice_axis(1, 1, d), (r * &a).sum_keepdims(-1)], 1);
                (on + (r * &self.b).sum_keepdims(-1) * k, r.clone())
            },
            &self.c,
            &Tensor::arange(horizon),
        );
        einsum("hwd,bwd->bhw", &[&rows, x])
    }
}

impl StateSpace for Companion {
    fn init(key: &Key, width: usize, state: usize) -> Companion {
        let keys = key.split(3);
        let draw = |key: &Key| scaled_normal(key, [width, state], 1.0 / (state as f64).max(1.0).sqrt());
        Companion { a: draw(&keys[0]), b: draw(&keys[1]), c: draw(&keys[2]) }
    }

    fn kernel(&self, l: usize) -> Tensor {
        companion_kernel(&self.column(), &self.b, &self.c, l)
    }
}
