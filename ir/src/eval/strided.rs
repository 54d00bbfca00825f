//! Walking arrays: every element of a shape in row-major order, and where it is in some buffer.

use crate::{Error, Literal, Result, Shape, Type};

/// An array from bytes that are known to fit the type.
pub(super) fn literal(ty: &Type, bytes: Vec<u8>) -> Literal {
    Literal::from_bytes(ty.clone(), bytes).expect("as many bytes as the type has")
}

/// Calls `f` with each multi-index of `shape` in row-major order.
pub(super) fn for_each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = Shape::from_elem(0, shape.len());
    loop {
        f(&index);
        let Some(axis) = (0..shape.len()).rev().find(|&a| index[a] + 1 < shape[a]) else { return };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

/// Calls `f` with `offset + sum(strides[a] * index[a])` for each multi-index of `shape` in row-major order.
pub(super) fn for_each_offset(shape: &[usize], strides: &[i64], offset: i64, f: &mut impl FnMut(usize)) {
    // an empty axis may stand behind a very long one
    if !shape.contains(&0) {
        walk(shape, strides, offset, f);
    }
}

fn walk(shape: &[usize], strides: &[i64], offset: i64, f: &mut impl FnMut(usize)) {
    match (shape, strides) {
        ([n], [s]) => (0..*n as i64).for_each(|i| f((offset + i * s) as usize)),
        ([n, shape @ ..], [s, strides @ ..]) => {
            (0..*n as i64).for_each(|i| walk(shape, strides, offset + i * s, f));
        }
        _ => f(offset as usize),
    }
}

/// Row-major strides as signed numbers.
pub(super) fn strides(shape: &[usize]) -> Vec<i64> {
    crate::row_major_strides(shape).iter().map(|&s| s as i64).collect()
}

/// The elements of `x` at the given offsets, as an array of type `ty`.
pub(super) fn view(x: &Literal, ty: &Type, strides: &[i64], offset: i64) -> Literal {
    let size = ty.dtype.size();
    let mut bytes = Vec::with_capacity(ty.bytes());
    for_each_offset(&ty.shape, strides, offset, &mut |i| {
        bytes.extend_from_slice(&x.bytes()[i * size..(i + 1) * size]);
    });
    literal(ty, bytes)
}

/// The position of a multi-index, or `None` outside the array.
pub(super) fn position(shape: &[usize], index: &[usize]) -> Option<usize> {
    shape.iter().zip(index).try_fold(0, |at, (&n, &i)| (i < n).then(|| at * n + i))
}

/// What an op that passed its type check can only be asked by a bug.
pub(super) fn undefined(op: &str, x: &Type) -> Error {
    Error::internal(op, format!("is not defined on {x}"))
}

/// The elements of `x`, of which `T` is the Rust type.
pub(super) fn elements<T: crate::Element>(x: &Literal) -> Result<Vec<T>> {
    x.to_vec().ok_or_else(|| Error::internal("eval", format!("{} read as {}", x.ty(), T::DTYPE)))
}
