//! Shape rules of dense linear algebra: matrices stand in the last two axes, all axes before them are a batch.

use super::{Types, named_enum, one};
use crate::{DType, Error, Result, Shape, Type};
use smallvec::smallvec;

named_enum! {
    /// Whether a solve uses a matrix, its transpose or its conjugate transpose.
    Transposition {
        /// The matrix itself.
        None = "none",
        /// Its transpose.
        Transpose = "transpose",
        /// Its conjugate transpose; of a real matrix the transpose.
        Adjoint = "adjoint",
    }
}

/// Batch axes, rows, columns.
fn matrix<'a>(op: &str, ty: &'a Type) -> Result<(&'a [usize], usize, usize)> {
    match &ty.shape[..] {
        [batch @ .., m, n] => Ok((batch, *m, *n)),
        _ => Err(Error::user(op, format!("expects a matrix, or a batch of them along leading axes, got {ty}"))
            .help("insert the missing axes with `expand_dims`")),
    }
}

/// Batch axes and order of a batch of square matrices.
fn square<'a>(op: &str, ty: &'a Type) -> Result<(&'a [usize], usize)> {
    let (batch, m, n) = matrix(op, ty)?;
    if m != n {
        return Err(Error::user(op, format!("expects square matrices in the last two axes, got {m} x {n} in {ty}"))
            .help("slice the matrix to a square; for least squares with a rectangular matrix use `linalg::lstsq`"));
    }
    Ok((batch, n))
}

/// The numbers linear algebra is defined on.
fn number(op: &str, ty: &Type) -> Result<()> {
    if matches!(ty.dtype, DType::F32 | DType::F64) || ty.dtype.is_complex() {
        return Ok(());
    }
    Err(Error::bad_dtype(op, ty.dtype, "f32, f64 or complex"))
}

/// `batch` followed by `rest`, of the dtype of `like`.
fn with(like: &Type, batch: &[usize], rest: &[usize]) -> Type {
    let shape: Shape = batch.iter().chain(rest).copied().collect();
    Type { dtype: like.dtype, shape }
}

/// `batch` followed by `rest`, real.
fn real(like: &Type, batch: &[usize], rest: &[usize]) -> Type {
    with(like, batch, rest).with_dtype(like.dtype.real())
}

/// An operand must have exactly this type.
fn expect(op: &str, what: &str, got: &Type, want: &Type) -> Result<()> {
    if got == want {
        return Ok(());
    }
    Err(Error::user(op, format!("{what} should be {want}, it is {got}"))
        .help("batch axes and dtypes of all operands must be the same"))
}

pub(super) fn cholesky(a: &Type) -> Result<Types> {
    number("cholesky", a)?;
    square("cholesky", a)?;
    Ok(one(a.clone()))
}

/// A matrix and right-hand sides that fit it on the given side.
fn solvable(op: &str, a: &Type, b: &Type, left_side: bool) -> Result<()> {
    number(op, a)?;
    let (batch, n) = square(op, a)?;
    let (b_batch, rows, columns) = matrix(op, b)?;
    if a.dtype != b.dtype {
        return Err(Error::dtype_mismatch(op, a.dtype, b.dtype));
    }
    if batch != b_batch || n != (if left_side { rows } else { columns }) {
        let side = if left_side { "rows" } else { "columns" };
        let why = format!("the right-hand side needs {n} {side} and the same batch axes");
        return Err(Error::shape_mismatch(op, a, b, &why).help("broadcast or reshape one of them first"));
    }
    Ok(())
}

pub(super) fn triangular_solve(a: &Type, b: &Type, left_side: bool) -> Result<Types> {
    solvable("triangular_solve", a, b, left_side)?;
    Ok(one(b.clone()))
}

pub(super) fn lu(a: &Type) -> Result<Types> {
    number("lu", a)?;
    let (batch, m, n) = matrix("lu", a)?;
    let ints = |len: usize| with(a, batch, &[len]).with_dtype(DType::I32);
    Ok(smallvec![a.clone(), ints(m.min(n)), ints(m)])
}

pub(super) fn lu_solve(args: &[Type]) -> Result<Types> {
    let (a, b) = (&args[0], &args[3]);
    solvable("lu_solve", a, b, true)?;
    let (batch, n) = square("lu_solve", a)?;
    expect("lu_solve", "the packed factors", &args[1], a)?;
    expect("lu_solve", "the permutation", &args[2], &with(a, batch, &[n]).with_dtype(DType::I32))?;
    Ok(one(b.clone()))
}

pub(super) fn qr(a: &Type, full: bool) -> Result<Types> {
    number("qr", a)?;
    let (batch, m, n) = matrix("qr", a)?;
    let k = if full { m } else { m.min(n) };
    Ok(smallvec![with(a, batch, &[m, k]), with(a, batch, &[k, n])])
}

pub(super) fn svd(a: &Type, full: bool, vectors: bool) -> Result<Types> {
    number("svd", a)?;
    let (batch, m, n) = matrix("svd", a)?;
    let k = m.min(n);
    let s = real(a, batch, &[k]);
    if !vectors {
        return Ok(one(s));
    }
    let (of_u, of_v) = if full { (m, n) } else { (k, k) };
    Ok(smallvec![s, with(a, batch, &[m, of_u]), with(a, batch, &[of_v, n])])
}

pub(super) fn eigh(a: &Type, vectors: bool) -> Result<Types> {
    number("eigh", a)?;
    let (batch, n) = square("eigh", a)?;
    let values = real(a, batch, &[n]);
    Ok(if vectors { smallvec![values, a.clone()] } else { one(values) })
}

pub(super) fn eig(a: &Type, vectors: bool) -> Result<Types> {
    number("eig", a)?;
    let (batch, n) = square("eig", a)?;
    let whole = |ty: Type| ty.with_dtype(ty.dtype.complex().unwrap_or(ty.dtype));
    let values = whole(with(a, batch, &[n]));
    Ok(if vectors { smallvec![values, whole(a.clone())] } else { one(values) })
}

pub(super) fn pinv(a: &Type, tolerance: &Type) -> Result<Types> {
    number("pinv", a)?;
    let (batch, m, n) = matrix("pinv", a)?;
    expect("pinv", "the tolerance", tolerance, &real(a, batch, &[]))?;
    Ok(one(with(a, batch, &[n, m])))
}

pub(super) fn spectral_form(args: &[Type], order: usize) -> Result<Types> {
    let op = "spectral_form";
    if args.len() < order + 3 {
        return Err(Error::internal(op, format!("of order {order} takes at least {} operands", order + 3)));
    }
    let a = &args[0];
    number(op, a)?;
    let (batch, n) = square(op, a)?;
    expect(op, "the eigenvectors", &args[1], a)?;
    let (tables, directions) = args[2..].split_at(args.len() - 2 - order);
    for (k, table) in tables.iter().enumerate() {
        expect(op, "a table of divided differences", table, &real(a, batch, &vec![n; order + k + 1]))?;
    }
    for e in directions {
        expect(op, "a direction", e, a)?;
    }
    Ok(one(a.clone()))
}
