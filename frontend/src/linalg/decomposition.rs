//! Factorisations.

use super::{matrix, settle_all, square, symmetric};
use crate::tensor::axes::settle;
use crate::tensor::{Tensor, apply, apply_n};
use gradloom_ir::{DType, Error, Loc, Op, Result};

/// The results of an op that gives `N`.
pub(super) fn results<const N: usize>(op: Op, operands: &[&Tensor], loc: &Loc) -> Result<[Tensor; N]> {
    let name = op.name();
    let got: Vec<Tensor> = apply_n(op, operands, loc)?.into_iter().collect();
    got.try_into().map_err(|_| Error::internal(name, "gave another number of results"))
}

/// The lower triangular L with L Lᴴ = a, of the symmetric (complex: Hermitian) part of `a`; NaN where that is not positive definite.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{linalg, prelude::*};
/// let a = Tensor::from_slice([2, 2], &[4.0f32, 2.0, 2.0, 2.0]);
/// assert_eq!(linalg::cholesky(&a).to_vec::<f32>()?, [2.0, 0.0, 1.0, 1.0]);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn cholesky(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, square("cholesky", a).map(|_| apply(Op::Cholesky { lower: true }, &[&symmetric(a)], &loc)))
}

/// The upper triangular U with Uᴴ U = a; see [`cholesky`].
#[track_caller]
pub fn cholesky_upper(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, square("cholesky_upper", a).map(|_| apply(Op::Cholesky { lower: false }, &[&symmetric(a)], &loc)))
}

/// `(q, r)` with a = q r: orthonormal columns and an upper triangle, m x k and k x n with k = min(m, n). Signs as LAPACK's.
#[track_caller]
pub fn qr(a: &Tensor) -> (Tensor, Tensor) {
    qr_at("qr", a, false, &Loc::caller())
}

/// [`qr`] with a square q, whose further columns are those that the reflections which make the first ones give.
#[track_caller]
pub fn qr_full(a: &Tensor) -> (Tensor, Tensor) {
    qr_at("qr_full", a, true, &Loc::caller())
}

fn qr_at(name: &str, a: &Tensor, full: bool, loc: &Loc) -> (Tensor, Tensor) {
    let [q, r] = settle_all(loc, matrix(name, a).and_then(|_| results(Op::Qr { full }, &[a], loc)));
    (q, r)
}

/// `(p, l, u)` with a = p l u: a permutation matrix, a lower triangle with unit diagonal and an upper triangle.
#[track_caller]
pub fn lu(a: &Tensor) -> (Tensor, Tensor, Tensor) {
    let loc = Loc::caller();
    let run = || {
        let (m, n) = matrix("lu", a)?;
        let k = m.min(n);
        let [packed, _, permutation] = results(Op::Lu {}, &[a], &loc)?;
        let rank = a.ndim();
        let (left, right) = (packed.slice_axis(rank - 1, 0, k), packed.slice_axis(rank - 2, 0, k));
        let unit = Tensor::iota([m, k], 0, DType::I32).eq(Tensor::iota([m, k], 1, DType::I32)).to(a.dtype());
        // row i of the permuted matrix is row permutation[i] of a
        let p = permutation.one_hot(m, a.dtype()).mt();
        Ok([p, left.tril(-1) + unit, right.triu(0)])
    };
    let [p, l, u] = settle_all(&loc, run());
    (p, l, u)
}

/// `(packed, pivots, permutation)`: the triangles of [`lu`] in one matrix, the row exchanged with each row in turn, and
/// the order of rows that makes. For [`super::lu_solve`], when one matrix is solved with many times.
#[track_caller]
pub fn lu_factor(a: &Tensor) -> (Tensor, Tensor, Tensor) {
    let loc = Loc::caller();
    let [packed, pivots, permutation] =
        settle_all(&loc, matrix("lu_factor", a).and_then(|_| results(Op::Lu {}, &[a], &loc)));
    (packed, pivots, permutation)
}

/// `(u, s, vt)` with a = u diag(s) vt: orthonormal columns, singular values in descending order, orthonormal rows;
/// min(m, n) of each.
#[track_caller]
pub fn svd(a: &Tensor) -> (Tensor, Tensor, Tensor) {
    svd_at("svd", a, false, &Loc::caller())
}

/// [`svd`] with square u and vt. Of a matrix that is not square it has no derivative.
#[track_caller]
pub fn svd_full(a: &Tensor) -> (Tensor, Tensor, Tensor) {
    svd_at("svd_full", a, true, &Loc::caller())
}

fn svd_at(name: &str, a: &Tensor, full: bool, loc: &Loc) -> (Tensor, Tensor, Tensor) {
    let op = Op::Svd { full, vectors: true };
    let [s, u, vt] = settle_all(loc, matrix(name, a).and_then(|_| results(op, &[a], loc)));
    (u, s, vt)
}

/// The singular values, in descending order.
#[track_caller]
pub fn svdvals(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, matrix("svdvals", a).map(|_| apply(Op::Svd { full: false, vectors: false }, &[a], &loc)))
}

/// `(w, v)`: the eigenvalues of the symmetric part of `a`, in ascending order, and orthonormal eigenvectors as columns.
#[track_caller]
pub fn eigh(a: &Tensor) -> (Tensor, Tensor) {
    let loc = Loc::caller();
    let run = || square("eigh", a).and_then(|_| results(Op::Eigh { vectors: true }, &[&symmetric(a)], &loc));
    let [w, v] = settle_all(&loc, run());
    (w, v)
}

/// The eigenvalues of the symmetric part of `a`, in ascending order.
#[track_caller]
pub fn eigvalsh(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, square("eigvalsh", a).map(|_| apply(Op::Eigh { vectors: false }, &[&symmetric(a)], &loc)))
}

/// `(w, v)`: the complex eigenvalues of a general square matrix and eigenvectors of length 1 as columns, with a v = v diag(w).
///
/// Eigenvalues come by their real parts, those of one real part by their imaginary parts. Of a matrix without a full set of
/// eigenvectors derivatives are infinite or NaN. For symmetric matrices use [`eigh`].
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{linalg, prelude::*};
/// let turn = Tensor::from_slice([2, 2], &[0.0f32, -1.0, 1.0, 0.0]);
/// let (w, _) = linalg::eig(&turn);
/// assert_eq!(w.imag().to_vec::<f32>()?, [-1.0, 1.0]);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn eig(a: &Tensor) -> (Tensor, Tensor) {
    let loc = Loc::caller();
    let [w, v] = settle_all(&loc, square("eig", a).and_then(|_| results(Op::Eig { vectors: true }, &[a], &loc)));
    (w, v)
}

/// The complex eigenvalues of a general square matrix; see [`eig`].
#[track_caller]
pub fn eigvals(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, square("eigvals", a).map(|_| apply(Op::Eig { vectors: false }, &[a], &loc)))
}
