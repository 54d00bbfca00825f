//! Checks that operations of several files share, and how a failed one ends.
//!
//! Functions written with whole tensors are `#[track_caller]` down to the operators they use, with closures only where a
//! transform asks for one, so that the nodes they record, and their errors, carry the user's line.

use super::Tensor;
use super::axes::{placed, settle};
use gradloom_ir::{DType, Error, Loc, Result};

/// The result, or a tensor that carries the error and the caller's position.
#[track_caller]
pub(crate) fn settled(result: Result<Tensor>) -> Tensor {
    super::axes::settle(&Loc::caller(), result)
}

/// The results, or as many tensors that carry the error.
#[track_caller]
pub(crate) fn settled_all<const N: usize>(result: Result<[Tensor; N]>) -> [Tensor; N] {
    let loc = Loc::caller();
    match result {
        Ok(all) => all.map(|t| settle(&loc, Ok(t))),
        Err(e) => {
            let t = Tensor::failed(placed(e, &loc));
            std::array::from_fn(|_| t.clone())
        }
    }
}

/// The results, or `n` tensors that carry the error.
#[track_caller]
pub(crate) fn settled_list(n: usize, result: Result<Vec<Tensor>>) -> Vec<Tensor> {
    let loc = Loc::caller();
    match result {
        Ok(all) => all.into_iter().map(|t| settle(&loc, Ok(t))).collect(),
        Err(e) => vec![Tensor::failed(placed(e, &loc)); n],
    }
}

/// `op` needs floats.
pub(crate) fn float(op: &str, x: &Tensor) -> Result<()> {
    x.check()?;
    if x.dtype().is_float() {
        return Ok(());
    }
    Err(Error::bad_dtype(op, x.dtype(), "a float").help("convert with `.to(DType::F32)` first"))
}

/// `op` needs integers.
pub(crate) fn integer(op: &str, x: &Tensor) -> Result<()> {
    x.check()?;
    if x.dtype().is_int() {
        return Ok(());
    }
    Err(Error::bad_dtype(op, x.dtype(), "an integer").help("convert with `.to(DType::I32)` first"))
}

/// `op` needs numbers.
pub(crate) fn number(op: &str, x: &Tensor) -> Result<()> {
    x.check()?;
    if x.dtype() != DType::Bool {
        return Ok(());
    }
    Err(Error::bad_dtype(op, x.dtype(), "a number").help("convert with `.to(DType::I32)` first"))
}

/// `op` needs real numbers.
pub(crate) fn real(op: &str, x: &Tensor) -> Result<()> {
    number(op, x)?;
    if !x.dtype().is_complex() {
        return Ok(());
    }
    Err(Error::bad_dtype(op, x.dtype(), "a real number").help("take `.real()`, `.imag()` or `.abs()` of it first"))
}

/// `op` needs operands of one dtype.
pub(crate) fn same_dtype(op: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    a.check()?;
    b.check()?;
    if a.dtype() == b.dtype() {
        return Ok(());
    }
    Err(Error::dtype_mismatch(op, a.dtype(), b.dtype()))
}

/// `op` needs a vector; its length.
pub(crate) fn vector(op: &str, x: &Tensor) -> Result<usize> {
    x.check()?;
    match *x.shape() {
        [n] => Ok(n),
        _ => Err(Error::user(op, format!("{} has {} axes, not one", x.ty_ref(), x.ndim()))
            .help("flatten it with `.flatten()`, or map over the other axes with `vmap`")),
    }
}

/// The dtype that numbers `n` positions.
pub(crate) fn position_dtype(n: usize) -> DType {
    if n < i32::MAX as usize { DType::I32 } else { DType::I64 }
}

/// The integer dtype as wide as a dtype.
pub(crate) fn bits_dtype(dtype: DType) -> DType {
    match dtype.size() {
        1 => DType::I8,
        2 => DType::I16,
        4 => DType::I32,
        _ => DType::I64,
    }
}
