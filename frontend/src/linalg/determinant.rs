//! Determinants.

use super::decomposition::{cholesky, results};
use super::solve::{inv, solve};
use super::{adjoint, batch, epsilon, identity, settle_all, square, trace, whole};
use crate::tensor::Tensor;
use crate::tensor::axes::settle;
use crate::transform::{cond, custom_jvp, fori_loop, stop_gradient};
use gradloom_ir::{DType, Loc, Op, Result};

/// The diagonal of U and the sign of the permutation (in the dtype of `a`).
fn pivots(a: &Tensor, loc: &Loc) -> Result<(Tensor, Tensor)> {
    let n = square("det", a)?;
    let [packed, exchanges, _] = results(Op::Lu {}, &[a], loc)?;
    let moved = exchanges.ne(Tensor::iota([n], 0, DType::I32)).to(DType::I32).sum(-1);
    let sign = (moved % 2) * -2 + 1;
    Ok((packed.diag(), sign.to(a.dtype())))
}

/// `(sign, log |det a|)`; of a singular matrix (0, -inf). The sign of a complex determinant is a number of modulus 1.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{linalg, prelude::*};
/// let (sign, log) = linalg::slogdet(&(Tensor::eye(300) * -0.01));
/// assert_eq!(sign.item::<f32>()?, 1.0);
/// assert!((log.item::<f32>()? - 300.0 * 0.01f32.ln()).abs() < 1e-2);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn slogdet(a: &Tensor) -> (Tensor, Tensor) {
    let loc = Loc::caller();
    let value = |a: &Tensor| -> (Tensor, Tensor) {
        let run = || {
            let (diagonal, sign) = pivots(a, &loc)?;
            Ok([sign * diagonal.sign().prod(-1), diagonal.abs().log().sum(-1)])
        };
        let [sign, log] = settle_all(&loc, run());
        (sign, log)
    };
    if let Err(e) = square("slogdet", a) {
        let [sign, log] = settle_all(&loc, Err(e));
        return (sign, log);
    }
    // d log |det a| = Re tr(a^-1 da), d sign = sign i Im tr(a^-1 da)
    let rule = |a: &Tensor, da: &Tensor| {
        let (sign, log) = value(a);
        let tangent = trace(&solve(a, da));
        let turn = match a.dtype().is_complex() {
            true => &sign * Tensor::complex(&log.zeros_like(), &tangent.imag()),
            false => sign.zeros_like(),
        };
        ((sign, log), (turn, tangent.real()))
    };
    whole(a, &loc, |a| custom_jvp(value, rule)(a))
}

/// log det a of a symmetric positive definite matrix, by its Cholesky factor.
#[track_caller]
pub fn logdet_spd(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, square("logdet_spd", a).map(|_| whole(a, &loc, |a| cholesky(a).diag().real().log().sum(-1) * 2.0)))
}

/// The determinant. Its derivative, the matrix of cofactors, is right at singular matrices too.
#[track_caller]
pub fn det(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let n = match square("det", a) {
        Ok(n) => n,
        Err(e) => return Tensor::failed(e.at(&loc)),
    };
    whole(a, &loc, |a| if n <= 3 { small(a, n) } else { custom_jvp(|a| value(a, &loc), |a, da| rule(a, da, &loc))(a) })
}

fn value(a: &Tensor, loc: &Loc) -> Tensor {
    settle(loc, pivots(a, loc).map(|(diagonal, sign)| sign * diagonal.prod(-1)))
}

/// The definition, a polynomial.
fn small(a: &Tensor, n: usize) -> Tensor {
    let rank = a.ndim();
    let at = |i: usize, j: usize| a.slice_axis(rank - 2, i, i + 1).slice_axis(rank - 1, j, j + 1).squeeze([-2, -1]);
    let minor = |i: usize, j: usize| at(1, i) * at(2, j) - at(1, j) * at(2, i);
    match n {
        0 => Tensor::full(batch(a), 1.0, a.dtype()),
        1 => at(0, 0),
        2 => at(0, 0) * at(1, 1) - at(0, 1) * at(1, 0),
        _ => at(0, 0) * minor(1, 2) - at(0, 1) * minor(0, 2) + at(0, 2) * minor(0, 1),
    }
}

/// The order up to which cofactors of singular matrices are computed as a polynomial, whose derivatives are right at any
/// rank; above, it would lose too many digits.
const POLYNOMIAL_ORDER: usize = 16;

/// d det a = tr(adj(a) da); adj(a) = det(a) a^-1 unless a pivot is as good as 0.
fn rule(a: &Tensor, da: &Tensor, loc: &Loc) -> (Tensor, Tensor) {
    let run = || -> Result<(Tensor, Tensor)> {
        let n = square("det", a)?;
        let (diagonal, _) = pivots(&stop_gradient(a), loc)?;
        let sizes = diagonal.abs();
        let singular = sizes.min(-1).le(sizes.max(-1) * (1e3 * epsilon(a.dtype()))).any(..);
        let regular = |a: &Tensor| inv(a) * value(a, loc).expand_dims([-2, -1]);
        let fallback = |a: &Tensor| if n <= POLYNOMIAL_ORDER { adjugate(a, n) } else { adjugate_by_svd(a, loc) };
        let adj = cond(&singular, fallback, regular, a);
        Ok((value(a, loc), (adj.mt() * da).sum([-2, -1])))
    };
    run().unwrap_or_else(|e| {
        let failed = Tensor::failed(e.at(loc));
        (failed.clone(), failed)
    })
}

/// The adjugate as a polynomial (Faddeev and LeVerrier): m_1 = 1, m_k+1 = a m_k - tr(a m_k) / k, adj = (-1)^(n-1) m_n.
fn adjugate(a: &Tensor, n: usize) -> Tensor {
    let one = identity(n, a.dtype()).broadcast_to(a.shape());
    let m = fori_loop(
        1..n as i32,
        |k, m: &Tensor| {
            let am = a.matmul(m);
            let c = trace(&am) / k.to(a.dtype());
            am - c.expand_dims([-2, -1]) * &one
        },
        &one,
    );
    if n.is_multiple_of(2) { -m } else { m }
}

/// v diag(products of the other singular values) u^H, times det u det v^H.
fn adjugate_by_svd(a: &Tensor, loc: &Loc) -> Tensor {
    let (u, s, vt) = super::svd(a);
    let n = s.dim(-1);
    let off = identity(n, s.dtype()).eq(0.0);
    let others = off.select(s.expand_dims(-2), 1.0).prod(-1).to(a.dtype());
    let sign = stop_gradient(&(value(&u, loc) * value(&vt, loc)));
    (adjoint(&vt) * others.expand_dims(-2)).matmul(&adjoint(&u)) * sign.expand_dims([-2, -1])
}
