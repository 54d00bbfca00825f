//! Linear systems and inverses.

use super::decomposition::{cholesky, results};
use super::{batch, broadcast_batch, identity, kron, matrix, same_dtype, square};
use crate::stop_gradient;
use crate::tensor::axes::settle;
use crate::tensor::{Tensor, apply};
use gradloom_ir::{DType, Error, Loc, Op, Result, Transposition};

/// `x` with a x = b, for `a` of the shape of `b` as far as they stand beside each other, factors computed once.
fn solve_square(a: &Tensor, b: &Tensor, loc: &Loc) -> Result<Tensor> {
    let [lu, _, permutation] = results(Op::Lu {}, &[&stop_gradient(a)], loc)?;
    Ok(apply(Op::LuSolve { transpose_a: Transposition::None }, &[a, &lu, &permutation, b], loc))
}

/// Applies `f` to `a` and a right-hand side with the same batch axes, given one that is a vector or whose batch axes
/// broadcast. Right-hand sides for one matrix become columns of one.
fn with_rhs(
    op: &str,
    a: &Tensor,
    b: &Tensor,
    loc: &Loc,
    f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (m, _) = matrix(op, a)?;
    same_dtype(op, a, b)?;
    let vector = b.ndim() == 1;
    let b = if vector { b.expand_dims(-1) } else { b.clone() };
    if b.ndim() < 2 || b.shape()[b.ndim() - 2] != m {
        let why = format!("the right-hand side needs {m} rows: one vector of them, or matrices with as many rows");
        return Err(Error::shape_mismatch(op, a.ty_ref(), b.ty_ref(), &why)
            .help("a batch of vectors is a batch of matrices of one column: add the axis with `expand_dims(-1)`"));
    }
    let x = if batch(a).is_empty() && b.ndim() > 2 {
        let front = b.move_axis(-2, 0);
        let x = f(a, &front.reshape([m as i64, -1]))?;
        let mut shape = vec![x.shape()[0]];
        shape.extend_from_slice(&front.shape()[1..]);
        x.reshape(shape).move_axis(0, -2)
    } else {
        let (a, b) = broadcast_batch(op, a, &b, loc)?;
        f(&a, &b)?
    };
    Ok(if vector { x.squeeze(-1) } else { x })
}

/// `x` with a x = b, for square `a`. A one-dimensional `b` is a vector, else a batch of matrices; batch axes broadcast.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{linalg, prelude::*};
/// let a = Tensor::from_slice([2, 2], &[2.0f32, 0.0, 1.0, 4.0]);
/// let x = linalg::solve(&a, &Tensor::from_vec(vec![2.0f32, 9.0]));
/// assert_eq!(x.to_vec::<f32>()?, [1.0, 2.0]);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn solve(a: &Tensor, b: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        square("solve", a)?;
        with_rhs("solve", a, b, &loc, |a, b| solve_square(a, b, &loc))
    };
    settle(&loc, run())
}

/// The inverse. To solve, use [`solve`]: it is faster and more accurate.
#[track_caller]
pub fn inv(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let n = square("inv", a)?;
        let one = identity(n, a.dtype()).broadcast_to(a.shape());
        solve_square(a, &one, &loc)
    };
    settle(&loc, run())
}

/// Which triangle a [`triangular_solve`] reads, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Triangular {
    lower: bool,
    op: Transposition,
    unit: bool,
}

impl Triangular {
    /// The lower triangle.
    pub fn lower() -> Triangular {
        Triangular { lower: true, op: Transposition::None, unit: false }
    }

    /// The upper triangle.
    pub fn upper() -> Triangular {
        Triangular { lower: false, op: Transposition::None, unit: false }
    }

    /// Solve with the transpose of the triangle.
    pub fn transposed(self) -> Triangular {
        Triangular { op: Transposition::Transpose, ..self }
    }

    /// Solve with the conjugate transpose of the triangle.
    pub fn adjoint(self) -> Triangular {
        Triangular { op: Transposition::Adjoint, ..self }
    }

    /// The diagonal counts as 1 and is not read.
    pub fn unit_diagonal(self) -> Triangular {
        Triangular { unit: true, ..self }
    }
}

/// `x` with t x = b for a triangle t of `a`. Shapes as in [`solve`].
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::linalg::{Triangular, triangular_solve};
/// use gradloom::prelude::*;
/// let l = Tensor::from_slice([2, 2], &[2.0f32, 99.0, 1.0, 4.0]);
/// let x = triangular_solve(&l, &Tensor::from_vec(vec![2.0f32, 9.0]), Triangular::lower());
/// assert_eq!(x.to_vec::<f32>()?, [1.0, 2.0]);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn triangular_solve(a: &Tensor, b: &Tensor, kind: Triangular) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, triangular_at("triangular_solve", a, b, kind, &loc))
}

pub(super) fn triangular_at(op: &str, a: &Tensor, b: &Tensor, kind: Triangular, loc: &Loc) -> Result<Tensor> {
    square(op, a)?;
    let solve =
        Op::TriangularSolve { left_side: true, lower: kind.lower, transpose_a: kind.op, unit_diagonal: kind.unit };
    with_rhs(op, a, b, loc, |a, b| Ok(apply(solve.clone(), &[a, b], loc)))
}

/// `x` with l lᴴ x = b, for the factor `l` that [`cholesky`] gave.
#[track_caller]
pub fn cho_solve(l: &Tensor, b: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let y = triangular_at("cho_solve", l, b, Triangular::lower(), &loc)?;
        triangular_at("cho_solve", l, &y, Triangular::lower().adjoint(), &loc)
    };
    settle(&loc, run())
}

/// `x` with a x = b, for the packed factors and the permutation that [`super::lu_factor`] gave for `a`.
#[track_caller]
pub fn lu_solve(packed: &Tensor, permutation: &Tensor, b: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let op = "lu_solve";
        let n = square(op, packed)?;
        permutation.check()?;
        let expected = [batch(packed), &[n]].concat();
        if permutation.dtype() != DType::I32 || permutation.shape() != expected.as_slice() {
            let what = format!("the permutation should be i32{expected:?}, it is {}", permutation.ty_ref());
            return Err(Error::user(op, what).help("pass the third result of `lu_factor`"));
        }
        with_rhs(op, packed, b, &loc, |packed, b| {
            let at = permutation.expand_dims(-1).broadcast_to(b.shape());
            let rows = b.take_along_axis(&at, -2);
            let y = triangular_at(op, packed, &rows, Triangular::lower().unit_diagonal(), &loc)?;
            triangular_at(op, packed, &y, Triangular::upper(), &loc)
        })
    };
    settle(&loc, run())
}

/// The pseudo-inverse (Moore 1920, Penrose 1955). Singular values up to 10 max(m, n) eps times the greatest count as 0.
#[track_caller]
pub fn pinv(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let (m, n) = matrix("pinv", a)?;
        pinv_at(a, 10.0 * m.max(n) as f64 * super::epsilon(a.dtype()), &loc)
    };
    settle(&loc, run())
}

/// [`pinv`] where singular values up to `tolerance` times the greatest count as 0.
#[track_caller]
pub fn pinv_with(a: &Tensor, tolerance: f64) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, matrix("pinv_with", a).and_then(|_| pinv_at(a, tolerance, &loc)))
}

fn pinv_at(a: &Tensor, tolerance: f64, loc: &Loc) -> Result<Tensor> {
    let tolerance = Tensor::full(batch(a), tolerance, a.dtype().real());
    Ok(apply(Op::Pinv {}, &[a, &tolerance], loc))
}

/// The shortest `x` that minimises |a x - b|, for `a` of any shape and rank. Shapes as in [`solve`].
#[track_caller]
pub fn lstsq(a: &Tensor, b: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let (m, n) = matrix("lstsq", a)?;
        let tolerance = m.max(n) as f64 * super::epsilon(a.dtype());
        with_rhs("lstsq", a, b, &loc, |a, b| Ok(pinv_at(a, tolerance, &loc)?.matmul(b)))
    };
    settle(&loc, run())
}

/// [`lstsq`] where singular values up to `tolerance` times the greatest count as 0.
#[track_caller]
pub fn lstsq_with(a: &Tensor, b: &Tensor, tolerance: f64) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, with_rhs("lstsq_with", a, b, &loc, |a, b| Ok(pinv_at(a, tolerance, &loc)?.matmul(b))))
}

/// `x` with a x + x b = c, for square `a` and `b`, by one dense system of m n unknowns; for symmetric positive definite
/// `a` and `b` see [`super::solve_sylvester_spd`].
#[track_caller]
pub fn solve_sylvester(a: &Tensor, b: &Tensor, c: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let op = "solve_sylvester";
        let (m, n) = (square(op, a)?, square(op, b)?);
        same_dtype(op, a, b)?;
        same_dtype(op, a, c)?;
        if matrix(op, c)? != (m, n) {
            let what = format!("the right-hand side should be {m} x {n}, it is {}", c.ty_ref());
            return Err(Error::user(op, what).help("a is m x m, b is n x n, c and the result are m x n"));
        }
        // row-major: (a x)_vec = (a (x) 1) x_vec, (x b)_vec = (1 (x) b^T) x_vec
        let system = kron(a, &identity(n, a.dtype())) + kron(&identity(m, a.dtype()), &b.mt());
        let rows = |t: &Tensor, last: &[usize]| t.reshape([batch(t), last].concat());
        let (system, rhs) = broadcast_batch(op, &system, &rows(c, &[m * n, 1]), &loc)?;
        let x = solve_square(&system, &rhs, &loc)?;
        Ok(rows(&x, &[m, n]))
    };
    settle(&loc, run())
}

/// `x` with a x = b for symmetric positive definite `a`.
#[track_caller]
pub fn solve_spd(a: &Tensor, b: &Tensor) -> Tensor {
    cho_solve(&cholesky(a), b)
}
