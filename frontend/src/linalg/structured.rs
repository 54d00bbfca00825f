//! Systems and factors with structure.

use super::solve::{Triangular, triangular_at};
use super::{number, same_dtype, square, squares};
use crate::tensor::Tensor;
use crate::tensor::axes::settle;
use crate::transform::{scan, scan_reverse};
use gradloom_ir::{Error, Loc, Result};

/// `x` with t x = b for the tridiagonal matrices whose diagonals are given, by elimination without pivoting (Thomas 1949):
/// for diagonally dominant or definite systems. All three have shape `[.., n]`; the first element of `lower` and the last
/// of `upper` are not used. `b` is `[.., n, k]`, or a vector for a single system.
#[track_caller]
pub fn tridiagonal_solve(lower: &Tensor, diagonal: &Tensor, upper: &Tensor, b: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || -> Result<Tensor> {
        let op = "tridiagonal_solve";
        for t in [lower, upper, b] {
            same_dtype(op, diagonal, t)?;
        }
        number(op, diagonal)?;
        for t in [lower, upper] {
            if t.shape() != diagonal.shape() || t.ndim() == 0 {
                let why = "the three diagonals need one shape, padded at the ends that are not used";
                return Err(Error::shape_mismatch(op, diagonal.ty_ref(), t.ty_ref(), why));
            }
        }
        let vector = b.ndim() == 1 && diagonal.ndim() == 1;
        let rhs = if vector { b.expand_dims(-1) } else { b.clone() };
        if rhs.ndim() < 2 || rhs.shape()[..rhs.ndim() - 1] != *diagonal.shape() {
            let why = "the right-hand side needs the shape of the diagonals and one axis more";
            return Err(Error::shape_mismatch(op, diagonal.ty_ref(), b.ty_ref(), why));
        }
        // rows in front
        let rows = |t: &Tensor| t.expand_dims(-1).move_axis(-2, 0);
        let (l, d, u, y) = (rows(lower), rows(diagonal), rows(upper), rhs.move_axis(-2, 0));
        if l.dim(0) == 0 {
            return Ok(b.clone());
        }
        let first = |t: &Tensor| t.slice_axis(0, 0, 1).squeeze(0);
        let start = (first(&u).zeros_like(), first(&y).zeros_like());
        let (_, (c, z)) = scan(
            |(c, z): &(Tensor, Tensor), (l, d, u, y): &(Tensor, Tensor, Tensor, Tensor)| {
                let pivot = d - l * c;
                let next = (u / &pivot, (y - l * z) / &pivot);
                (next.clone(), next)
            },
            &start,
            &(l, d, u, y),
        );
        let (_, x) = scan_reverse(
            |x: &Tensor, (c, z): &(Tensor, Tensor)| {
                let next = z - c * x;
                (next.clone(), next)
            },
            &start.1,
            &(c, z),
        );
        let x = x.move_axis(0, -2);
        Ok(if vector { x.squeeze(-1) } else { x })
    };
    settle(&loc, run())
}

/// `x` with t x = b for the Toeplitz matrix whose first column and first row are given (the row's first element is not
/// used), by the dense matrix. Shapes as in [`super::solve`].
#[track_caller]
pub fn solve_toeplitz(column: &Tensor, row: &Tensor, b: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || -> Result<Tensor> {
        let op = "solve_toeplitz";
        same_dtype(op, column, row)?;
        if column.ndim() != 1 || row.shape() != column.shape() {
            let why = "the first column and the first row are vectors of one length";
            return Err(Error::shape_mismatch(op, column.ty_ref(), row.ty_ref(), why));
        }
        let n = column.dim(0);
        if n == 0 {
            return Ok(b.clone());
        }
        // entry (i, j) is at n - 1 + i - j of: the row backwards without its first element, then the column
        let all = Tensor::concatenate(&[row.slice_axis(0, 1, n).flip(0), column.clone()], 0);
        let (i, j) =
            (Tensor::iota([n, n], 0, gradloom_ir::DType::I32), Tensor::iota([n, n], 1, gradloom_ir::DType::I32));
        let t = all.take(&(i - j + (n - 1)), 0);
        Ok(super::solve(&t, b))
    };
    settle(&loc, run())
}

/// The Cholesky factor of l lᴴ + v vᴴ, given `l` (`[.., n, n]`) and `v` (`[.., n]`): l chol(1 + w wᴴ) with l w = v.
#[track_caller]
pub fn cholesky_update(l: &Tensor, v: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || -> Result<Tensor> {
        let op = "cholesky_update";
        let n = square(op, l)?;
        same_dtype(op, l, v)?;
        if v.shape() != &l.shape()[..l.ndim() - 1] {
            let why = format!("the update should be a vector of {n} for each factor");
            return Err(Error::shape_mismatch(op, l.ty_ref(), v.ty_ref(), &why));
        }
        let w = triangular_at(op, l, &v.expand_dims(-1), Triangular::lower(), &loc)?;
        // the factor of 1 + w w^H in closed form: with s_i = 1 + |w_1|^2 + .. + |w_i|^2,
        // c_ii = sqrt(s_i / s_i-1), c_ij = w_i conj(w_j) / sqrt(s_j s_j-1) for i > j
        let w = w.squeeze(-1);
        let each = squares(&w);
        let after = each.cumsum(-1) + 1.0;
        let before = &after - &each;
        let diagonal = (&after / &before).sqrt().to(l.dtype());
        let column = w.conj() / (&after * &before).sqrt().to(l.dtype());
        let below = (w.expand_dims(-1) * column.expand_dims(-2)).tril(-1);
        let one = super::identity(n, l.dtype());
        Ok(l.tril(0).matmul(&(below + one * diagonal.expand_dims(-2))))
    };
    settle(&loc, run())
}
