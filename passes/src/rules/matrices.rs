//! Parts of programs on matrices: a matrix stands in the last two axes, a batch of them along all axes before.

use gradloom_ir::{Builder, Comparison, DType, Op, Shape, Unary, Value};
use smallvec::smallvec;

/// Axes of a matrix. What follows a recorded error may have fewer; it is never looked at, but must not be indexed.
pub fn rank(b: &Builder, x: Value) -> usize {
    b.ty(x).rank().max(2)
}

/// Rows and columns.
pub fn size(b: &Builder, x: Value) -> (usize, usize) {
    match b.ty(x).shape[..] {
        [.., m, n] => (m, n),
        _ => (0, 0),
    }
}

/// The batched matrix product.
pub fn matmul(b: &mut Builder, x: Value, y: Value) -> Value {
    let rank = rank(b, x);
    let batch: Shape = (0..rank - 2).collect();
    let op = Op::DotGeneral {
        lhs_batch: batch.clone(),
        rhs_batch: batch,
        lhs_contract: smallvec![rank - 1],
        rhs_contract: smallvec![rank - 2],
    };
    b.op(op, &[x, y])
}

/// The transpose of the last two axes.
pub fn flip(b: &mut Builder, x: Value) -> Value {
    let rank = rank(b, x);
    let mut perm: Shape = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    b.transpose(x, &perm)
}

/// The complex conjugate.
pub fn conjugate(b: &mut Builder, x: Value) -> Value {
    if !b.ty(x).dtype.is_complex() {
        return x;
    }
    let (re, im) = (b.unary(Unary::Real, x), b.unary(Unary::Imag, x));
    let im = b.neg(im);
    b.complex(re, Some(im))
}

/// The conjugate transpose.
pub fn adjoint(b: &mut Builder, x: Value) -> Value {
    let x = flip(b, x);
    conjugate(b, x)
}

/// The real part.
pub fn real(b: &mut Builder, x: Value) -> Value {
    if b.ty(x).dtype.is_complex() { b.unary(Unary::Real, x) } else { x }
}

/// Where `row op column` holds, over the last two axes.
pub fn where_index(b: &mut Builder, shape: &[usize], op: Comparison) -> Value {
    let rank = shape.len().max(2);
    let (row, column) = (b.iota(DType::I32, shape, rank - 2), b.iota(DType::I32, shape, rank - 1));
    b.compare(op, row, column)
}

/// `x` where `row op column` holds, 0 elsewhere.
pub fn masked(b: &mut Builder, x: Value, op: Comparison) -> Value {
    let shape = b.ty(x).shape.clone();
    let mask = where_index(b, &shape, op);
    let zero = b.full_like(x, 0.0);
    b.select(mask, x, zero)
}

/// The identity matrices of a batch of square ones.
pub fn identity_like(b: &mut Builder, x: Value) -> Value {
    let one = b.full_like(x, 1.0);
    masked(b, one, Comparison::Eq)
}
