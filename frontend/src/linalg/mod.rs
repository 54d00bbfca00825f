//! Dense linear algebra on matrices, or batches of them: matrices stand in the last two axes.
//!
//! Everything works in f32, f64, c64 and c128, on any batch axes in front, under every transform, in forward and reverse mode. A
//! matrix with an element that is not finite gives NaN; a shape that does not fit gives an error with your line.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::linalg;
//! use gradloom::prelude::*;
//! let a = Tensor::from_slice([2, 2], &[4.0f64, 1.0, 1.0, 3.0]);
//! let b = Tensor::from_vec(vec![1.0f64, 2.0]);
//! let x = linalg::solve(&a, &b);
//! assert!(((a.matmul(&x) - &b).abs().max(..).item::<f64>()?) < 1e-14);
//! // the derivative of log det a is the transpose of its inverse
//! let g = grad(|a: &Tensor| linalg::slogdet(a).1)(&a);
//! assert!(((g - linalg::inv(&a).mt()).abs().max(..).item::<f64>()?) < 1e-14);
//! # Ok::<(), gradloom::Error>(())
//! ```
//!
//! Derivatives at repeated eigenvalues and singular values: values have theirs; so have functions of a symmetric matrix
//! ([`spd_function`], [`logm_spd`], ..), [`pinv`] and sums over all values, to second order. Eigenvectors have none there;
//! their tangent is then the one without rotation inside the eigenspace, which is finite.

mod decomposition;
mod determinant;
mod functions;
mod norms;
mod product;
mod solve;
mod structured;

pub use decomposition::{
    cholesky, cholesky_upper, eig, eigh, eigvals, eigvalsh, lu, lu_factor, qr, qr_full, svd, svd_full, svdvals,
};
pub use determinant::{det, logdet_spd, slogdet};
pub use functions::{
    expm, inv_sqrtm_spd, logm_spd, powm_spd, solve_lyapunov_spd, solve_sylvester_spd, spd_function, sqrtm_spd,
};
pub use norms::{MatrixNorm, condition_number, matrix_norm, matrix_rank, vector_norm};
pub use product::{block_diag, kron, matrix_power, multi_dot, trace};
pub use solve::{
    Triangular, cho_solve, inv, lstsq, lstsq_with, lu_solve, pinv, pinv_with, solve, solve_spd, solve_sylvester,
    triangular_solve,
};
pub use structured::{cholesky_update, solve_toeplitz, tridiagonal_solve};

use crate::tensor::arithmetic::{broadcast_at, broadcast_shapes};
use crate::tensor::axes::{placed, settle};
use crate::tensor::{Tensor, apply_graph};
use crate::trace::{self, fill, fill_error, template};
use crate::tree::Tree;
use gradloom_ir::{DType, Error, Loc, Result, Shape};
use std::sync::Arc;

/// What linear algebra is defined on: floats and complex numbers.
fn number(op: &str, a: &Tensor) -> Result<()> {
    if a.dtype().is_inexact() {
        return Ok(());
    }
    Err(Error::bad_dtype(op, a.dtype(), "a float or complex").help("convert with `.to(DType::F32)` first"))
}

/// Rows and columns, if `a` is a matrix of numbers or a batch of them.
fn matrix(op: &str, a: &Tensor) -> Result<(usize, usize)> {
    a.check()?;
    number(op, a)?;
    match *a.shape() {
        [.., m, n] => Ok((m, n)),
        _ => {
            Err(Error::user(op, format!("expects a matrix, or a batch of them along leading axes, got {}", a.ty_ref()))
                .help("insert the missing axes with `expand_dims`"))
        }
    }
}

/// The order of the square matrices `a` holds.
fn square(op: &str, a: &Tensor) -> Result<usize> {
    let (m, n) = matrix(op, a)?;
    if m != n {
        let what = format!("expects square matrices in the last two axes, got {m} x {n} in {}", a.ty_ref());
        return Err(
            Error::user(op, what).help("slice them to squares, or use `pinv` and `lstsq`, which take any shape")
        );
    }
    Ok(n)
}

fn same_dtype(op: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    a.check()?;
    b.check()?;
    if a.dtype() == b.dtype() { Ok(()) } else { Err(Error::dtype_mismatch(op, a.dtype(), b.dtype())) }
}

/// The axes in front of the last two.
fn batch(a: &Tensor) -> &[usize] {
    &a.shape()[..a.ndim() - 2]
}

/// Both with the batch axes that theirs broadcast to.
fn broadcast_batch(op: &str, a: &Tensor, b: &Tensor, loc: &Loc) -> Result<(Tensor, Tensor)> {
    let Some(shared) = broadcast_shapes(batch(a), batch(b)) else {
        return Err(Error::shape_mismatch(
            op,
            a.ty_ref(),
            b.ty_ref(),
            "batch axes aligned at the end must be equal or 1",
        )
        .help("reshape one side, or insert an axis of length 1 with `expand_dims`"));
    };
    let wide = |x: &Tensor| {
        let shape: Shape = shared.iter().chain(&x.shape()[x.ndim() - 2..]).copied().collect();
        broadcast_at(x, &shape, loc)
    };
    Ok((wide(a), wide(b)))
}

/// Identity matrix.
fn identity(n: usize, dtype: DType) -> Tensor {
    Tensor::iota([n, n], 0, DType::I32).eq(Tensor::iota([n, n], 1, DType::I32)).to(dtype)
}

/// The conjugate transpose.
fn adjoint(a: &Tensor) -> Tensor {
    a.mt().conj()
}

/// The Hermitian part: functions of symmetric matrices take it, so that the derivative is symmetric too.
fn symmetric(a: &Tensor) -> Tensor {
    (a + adjoint(a)) * 0.5
}

/// |x|^2
fn squares(x: &Tensor) -> Tensor {
    if x.dtype().is_complex() { x.real().square() + x.imag().square() } else { x.square() }
}

/// Distance of 1 from the next number.
fn epsilon(dtype: DType) -> f64 {
    if dtype.real() == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON }
}

/// Several results, or the error in each.
fn settle_all<const N: usize>(loc: &Loc, result: Result<[Tensor; N]>) -> [Tensor; N] {
    match result {
        Ok(all) => all.map(|t| settle(loc, Ok(t))),
        Err(e) => {
            let failed = Tensor::failed(placed(e, loc));
            std::array::from_fn(|_| failed.clone())
        }
    }
}

/// `f(x)` as one program, also outside of any transform, so that what is not needed is not computed.
fn whole<A: Tree, B: Tree>(x: &A, loc: &Loc, f: impl Fn(&A) -> B) -> B {
    if trace::active() {
        return f(x).map_leaves(&mut |t| settle(loc, Ok(t.clone())));
    }
    let run = || -> Result<B> {
        let t = trace::trace(x, &f)?;
        let operands = t.program.operands(x.leaves());
        Ok(fill(&t.out, apply_graph(&Arc::new(t.program.graph), &operands, loc)?))
    };
    run().unwrap_or_else(|e: Error| fill_error(&template(x, &f), e, loc))
}
