//! Norms, condition and rank.

use super::{epsilon, matrix, number, squares, svdvals};
use crate::tensor::axes::{IntoAxes, resolve_axes, settle};
use crate::tensor::{Tensor, apply};
use gradloom_ir::{DType, Error, Loc, Op, ReduceKind, Result};

/// A norm of matrices; those with `Min` are not norms but the least instead of the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MatrixNorm {
    /// Root of the sum of squares (Frobenius).
    Frobenius,
    /// Sum of singular values.
    Nuclear,
    /// Greatest column sum of magnitudes.
    One,
    /// Least column sum of magnitudes.
    MinOne,
    /// Greatest singular value.
    Two,
    /// Least singular value.
    MinTwo,
    /// Greatest row sum of magnitudes.
    Inf,
    /// Least row sum of magnitudes.
    MinInf,
}

/// sqrt(x) with derivative 0, not infinite, at 0.
fn root(x: &Tensor) -> Tensor {
    let zero = x.eq(0.0);
    zero.select(0.0, zero.select(1.0, x).sqrt())
}

/// A norm of the matrices in the last two axes.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::linalg::{MatrixNorm, matrix_norm};
/// use gradloom::prelude::*;
/// let a = Tensor::from_slice([2, 2], &[3.0f32, 0.0, 0.0, -4.0]);
/// assert_eq!(matrix_norm(&a, MatrixNorm::Frobenius).item::<f32>()?, 5.0);
/// assert_eq!(matrix_norm(&a, MatrixNorm::Inf).item::<f32>()?, 4.0);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn matrix_norm(a: &Tensor, norm: MatrixNorm) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let (m, n) = matrix("matrix_norm", a)?;
        let least = matches!(norm, MatrixNorm::MinOne | MatrixNorm::MinTwo | MatrixNorm::MinInf);
        if least && m.min(n) == 0 {
            let what = format!("{} has no elements, so there is no least", a.ty_ref());
            return Err(Error::user("matrix_norm", what).help("use a norm, which is 0"));
        }
        // of nothing: 0
        let greatest = |x: Tensor| if x.dim(-1) == 0 { x.sum(-1) } else { x.max(-1) };
        Ok(match norm {
            MatrixNorm::Frobenius => root(&squares(a).sum([-2, -1])),
            MatrixNorm::Nuclear => svdvals(a).sum(-1),
            MatrixNorm::One => greatest(a.abs().sum(-2)),
            MatrixNorm::MinOne => a.abs().sum(-2).min(-1),
            MatrixNorm::Two => greatest(svdvals(a)),
            MatrixNorm::MinTwo => svdvals(a).min(-1),
            MatrixNorm::Inf => greatest(a.abs().sum(-1)),
            MatrixNorm::MinInf => a.abs().sum(-1).min(-1),
        })
    };
    settle(&loc, run())
}

/// (sum |x|^p)^(1/p) along axes; the greatest magnitude for p = inf, the least for -inf, the number of elements that are
/// not 0 for p = 0.
#[track_caller]
pub fn vector_norm(x: &Tensor, p: f64, axes: impl IntoAxes) -> Tensor {
    let loc = Loc::caller();
    let axes = axes.axes();
    let run = || -> Result<Tensor> {
        x.check()?;
        number("vector_norm", x)?;
        let resolved = resolve_axes("vector_norm", &axes, x.ty_ref())?;
        let reduce = |kind, x: &Tensor| match resolved.is_empty() {
            true => x.clone(),
            false => apply(Op::Reduce { kind, axes: resolved.clone() }, &[x], &loc),
        };
        Ok(match p {
            f64::INFINITY if resolved.iter().any(|&a| x.shape()[a] == 0) => reduce(ReduceKind::Sum, &x.abs()),
            f64::INFINITY => reduce(ReduceKind::Max, &x.abs()),
            f64::NEG_INFINITY => reduce(ReduceKind::Min, &x.abs()),
            0.0 => reduce(ReduceKind::Sum, &x.ne(0.0).to(x.dtype().real())),
            1.0 => reduce(ReduceKind::Sum, &x.abs()),
            2.0 => root(&reduce(ReduceKind::Sum, &squares(x))),
            p if p.is_nan() => return Err(Error::user("vector_norm", "p is NaN").help("use 1, 2 or an infinity")),
            p => {
                let sum = reduce(ReduceKind::Sum, &x.abs().pow(p));
                let zero = sum.eq(0.0);
                zero.select(0.0, zero.select(1.0, &sum).pow(1.0 / p))
            }
        })
    };
    settle(&loc, run())
}

/// The greatest singular value over the least: how much relative errors may grow in a solve.
#[track_caller]
pub fn condition_number(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let (m, n) = matrix("condition_number", a)?;
        if m.min(n) == 0 {
            let what = format!("{} has no elements, so it has no condition number", a.ty_ref());
            return Err(Error::user("condition_number", what));
        }
        let s = svdvals(a);
        Ok(s.max(-1) / s.min(-1))
    };
    settle(&loc, run())
}

/// How many singular values exceed max(m, n) eps times the greatest (i32).
#[track_caller]
pub fn matrix_rank(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let (m, n) = matrix("matrix_rank", a)?;
        if m.min(n) == 0 {
            return Ok(Tensor::full(super::batch(a), 0, DType::I32));
        }
        let s = svdvals(a);
        let least = s.max_keepdims(-1) * (m.max(n) as f64 * epsilon(a.dtype()));
        Ok(s.gt(least).to(DType::I32).sum(-1))
    };
    settle(&loc, run())
}
