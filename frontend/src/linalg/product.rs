//! Products and arrangements of matrices.

use super::{batch, identity, inv, matrix, same_dtype, square};
use crate::einsum;
use crate::tensor::Tensor;
use crate::tensor::axes::settle;
use gradloom_ir::{Error, Loc, Result};

/// The sum of the diagonal.
#[track_caller]
pub fn trace(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, matrix("trace", a).map(|_| a.diag().sum(-1)))
}

/// `a` times itself `n` times, by repeated squaring; of the inverse if `n` is negative.
#[track_caller]
pub fn matrix_power(a: &Tensor, n: i64) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let order = square("matrix_power", a)?;
        let mut base = if n < 0 { inv(a) } else { a.clone() };
        let mut rest = n.unsigned_abs();
        let mut power: Option<Tensor> = None;
        while rest > 0 {
            if rest % 2 == 1 {
                power = Some(power.map_or_else(|| base.clone(), |p| p.matmul(&base)));
            }
            rest /= 2;
            if rest > 0 {
                base = base.matmul(&base);
            }
        }
        Ok(power.unwrap_or_else(|| identity(order, a.dtype()).broadcast_to(a.shape())))
    };
    settle(&loc, run())
}

/// The product of matrices in the order of evaluation that takes the fewest operations. The first and last may be vectors.
#[track_caller]
pub fn multi_dot(factors: &[&Tensor]) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, multi_dot_at(factors))
}

fn multi_dot_at(factors: &[&Tensor]) -> Result<Tensor> {
    let op = "multi_dot";
    let last = factors.len().checked_sub(1).ok_or_else(|| Error::user(op, "needs at least one factor"))?;
    let mut sizes = Vec::new();
    for (i, f) in factors.iter().enumerate() {
        f.check()?;
        let (rows, columns) = match *f.shape() {
            [m, n] => (m, n),
            [n] if i == 0 && last > 0 => (1, n),
            [m] if i == last && last > 0 => (m, 1),
            _ => {
                let what = format!("factor {i} should be a matrix, it is {}", f.ty_ref());
                return Err(Error::user(op, what).help("only the first and the last factor may be vectors"));
            }
        };
        if let Some(&before) = sizes.last()
            && before != rows
        {
            let why = format!("factor {} has {before} columns, factor {i} has {rows} rows", i - 1);
            return Err(Error::shape_mismatch(op, factors[i - 1].ty_ref(), f.ty_ref(), &why));
        }
        if i == 0 {
            sizes.push(rows);
        }
        sizes.push(columns);
    }
    // least[i][j]: operations for factors i..=j, and after which factor to cut (Godbole 1973)
    let n = factors.len();
    let mut least = vec![vec![(0.0f64, 0); n]; n];
    for length in 1..n {
        for i in 0..n - length {
            let j = i + length;
            let cost = |k: usize| {
                let product = sizes[i] as f64 * sizes[k + 1] as f64 * sizes[j + 1] as f64;
                (least[i][k].0 + least[k + 1][j].0 + product, k)
            };
            least[i][j] = (i..j).map(cost).min_by(|x, y| x.0.total_cmp(&y.0)).unwrap_or((0.0, i));
        }
    }
    fn product(factors: &[&Tensor], least: &[Vec<(f64, usize)>], i: usize, j: usize) -> Tensor {
        if i == j {
            return factors[i].clone();
        }
        let k = least[i][j].1;
        product(factors, least, i, k).matmul(&product(factors, least, k + 1, j))
    }
    Ok(product(factors, &least, 0, last))
}

/// The Kronecker product: every element of `a` times the whole of `b`. Batch axes broadcast.
#[track_caller]
pub fn kron(a: &Tensor, b: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let ((m, n), (p, q)) = (matrix("kron", a)?, matrix("kron", b)?);
        same_dtype("kron", a, b)?;
        let x = einsum("...ij,...kl->...ikjl", &[a, b]);
        x.check()?;
        let shape = [&x.shape()[..x.ndim() - 4], &[m * p, n * q]].concat();
        Ok(x.reshape(shape))
    };
    settle(&loc, run())
}

/// One matrix with the given ones along its diagonal and zeros elsewhere. All have the same batch axes.
#[track_caller]
pub fn block_diag(blocks: &[&Tensor]) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let op = "block_diag";
        let first = blocks.first().ok_or_else(|| Error::user(op, "needs at least one block"))?;
        matrix(op, first)?;
        let mut columns = 0;
        for b in blocks {
            columns += matrix(op, b)?.1;
            same_dtype(op, first, b)?;
            if batch(b) != batch(first) {
                let why = "blocks need the same batch axes";
                return Err(Error::shape_mismatch(op, first.ty_ref(), b.ty_ref(), why));
            }
        }
        let mut before = 0;
        let mut rows = Vec::new();
        for b in blocks {
            let n = b.dim(-1);
            let mut widths = vec![(0, 0); b.ndim()];
            widths[b.ndim() - 1] = (before as i64, (columns - before - n) as i64);
            rows.push(b.pad(&widths, 0.0));
            before += n;
        }
        Ok(Tensor::concatenate(&rows, -2))
    };
    settle(&loc, run())
}
