//! Programs on matrices in the last two axes, a batch of them along all axes before.

use gradloom_ir::{Binary, Builder, Comparison, DType, Op, ReduceKind, Result, ScatterKind, Shape, Type, Unary, Value};
use gradloom_passes::rules::matrices::{conjugate, where_index};
use smallvec::smallvec;

fn finite(b: &mut Builder, x: Value) -> Value {
    if !b.ty(x).dtype.is_complex() {
        return b.unary(Unary::IsFinite, x);
    }
    let parts = [Unary::Real, Unary::Imag].map(|part| {
        let x = b.unary(part, x);
        b.unary(Unary::IsFinite, x)
    });
    b.binary(Binary::And, parts[0], parts[1])
}

/// For each matrix whether all its elements, or those of its lower triangle, are finite.
pub(super) fn all_finite(b: &mut Builder, a: Value, lower: bool) -> Value {
    let ty = b.ty(a).clone();
    let mut each = finite(b, a);
    if lower {
        let unread = where_index(b, &ty.shape, Comparison::Lt);
        each = b.binary(Binary::Or, each, unread);
    }
    b.reduce(ReduceKind::And, each, &[ty.rank() - 2, ty.rank() - 1])
}

/// `x` where its matrix of the batch is `ok`, else `other`; of complex numbers both parts.
pub(super) fn where_ok(b: &mut Builder, ok: Value, x: Value, other: f64) -> Value {
    let ty = b.ty(x).clone();
    let part = b.full(&ty.with_dtype(ty.dtype.real()), other);
    let other = if ty.dtype.is_complex() { b.complex(part, Some(part)) } else { part };
    let axes: Vec<usize> = (0..b.ty(ok).rank()).collect();
    let ok = b.broadcast(ok, &ty.shape, &axes);
    b.select(ok, x, other)
}

/// The factor, one for each column, that makes positive the first entry within a tenth of the greatest magnitude.
pub(super) fn phases(b: &mut Builder, a: Value) -> Value {
    let ty = b.ty(a).clone();
    let (rows, size) = (ty.rank() - 2, b.unary(Unary::Abs, a));
    let columns: Vec<usize> = (0..ty.rank()).filter(|&x| x != rows).collect();
    let greatest = b.reduce(ReduceKind::Max, size, &[rows]);
    let enough = b.scale(greatest, 0.9);
    let enough = b.broadcast(enough, &ty.shape, &columns);
    let zero = b.full_like(size, 0.0);
    let (large, some) = (b.compare(Comparison::Ge, size, enough), b.compare(Comparison::Gt, size, zero));
    let leads = b.binary(Binary::And, large, some);
    let at = b.op(Op::ArgReduce { kind: ReduceKind::Max, axis: rows }, &[leads]);
    let at = b.broadcast(at, &ty.shape, &columns);
    let row = b.iota(DType::I32, &ty.shape, rows);
    let here = b.compare(Comparison::Eq, row, at);
    let nothing = b.full_like(a, 0.0);
    let leader = b.select(here, a, nothing);
    let leader = b.sum(leader, &[rows]);
    let length = b.unary(Unary::Abs, leader);
    let none = b.full_like(length, 0.0);
    let is_none = b.compare(Comparison::Eq, length, none);
    let one = b.full_like(leader, 1.0);
    let wide = if ty.dtype.is_complex() { b.complex(length, None) } else { length };
    let turned = conjugate(b, leader);
    let phase = b.div(turned, wide);
    b.select(is_none, one, phase)
}

/// Each column times a number of its own.
pub(super) fn scale_columns(b: &mut Builder, a: Value, by: Value) -> Value {
    let ty = b.ty(a).clone();
    let columns: Vec<usize> = (0..ty.rank()).filter(|&x| x + 2 != ty.rank()).collect();
    let by = b.broadcast(by, &ty.shape, &columns);
    b.mul(a, by)
}

/// Each row times a number of its own.
pub(super) fn scale_rows(b: &mut Builder, a: Value, by: Value) -> Value {
    let ty = b.ty(a).clone();
    let rows: Vec<usize> = (0..ty.rank() - 1).collect();
    let by = b.broadcast(by, &ty.shape, &rows);
    b.mul(a, by)
}

/// A batch along one axis, and what it was.
fn flat(b: &mut Builder, x: Value, kept: usize) -> (Value, Shape) {
    let shape = b.ty(x).shape.clone();
    let (batch, rest) = shape.split_at(shape.len() - kept);
    let flat: Shape = [batch.iter().product()].into_iter().chain(rest.iter().copied()).collect();
    (b.reshape(x, &flat), shape)
}

/// The rows of each matrix in the order `index` gives.
pub(super) fn take_rows(b: &mut Builder, x: Value, index: Value) -> Value {
    let shape = [&b.ty(index).shape[..], &b.ty(x).shape[b.ty(x).rank() - 1..]].concat();
    let ((x, _), (index, _)) = (flat(b, x, 2), flat(b, index, 1));
    let gather = Op::Gather {
        offset_dims: smallvec![2],
        collapsed_slice_dims: smallvec![1],
        operand_batching_dims: smallvec![0],
        start_indices_batching_dims: smallvec![0],
        start_index_map: smallvec![1],
        index_vector_dim: 2,
        slice_sizes: smallvec![1, 1, b.ty(x).shape[2]],
    };
    let rows = b.op(gather, &[x, index]);
    b.reshape(rows, &shape)
}

/// Each matrix's row i becomes row `index[i]` of the result; rows that none becomes are 0.
pub(super) fn put_rows(b: &mut Builder, x: Value, index: Value) -> Value {
    let ((x, shape), (index, _)) = (flat(b, x, 2), flat(b, index, 1));
    let last = b.full_like(index, (shape[shape.len() - 2] - 1) as f64);
    let none = b.full_like(index, 0.0);
    let index = b.binary(Binary::Max, index, none);
    let index = b.binary(Binary::Min, index, last);
    let zeros = b.full_like(x, 0.0);
    let scatter = Op::Scatter {
        update_window_dims: smallvec![2],
        inserted_window_dims: smallvec![1],
        input_batching_dims: smallvec![0],
        scatter_indices_batching_dims: smallvec![0],
        scatter_dims_to_operand_dims: smallvec![1],
        index_vector_dim: 2,
        kind: ScatterKind::Set,
    };
    let rows = b.op(scatter, &[zeros, index, x]);
    b.reshape(rows, &shape)
}

/// The permutation of `m` rows that exchanges with row `exchanges[k]`, one after the other, make.
pub(super) fn permutation(b: &mut Builder, exchanges: Value, m: usize) -> Result<Value> {
    let (exchanges, shape) = flat(b, exchanges, 1);
    let (count, k) = (b.ty(exchanges).shape[0], b.ty(exchanges).shape[1]);
    let rows = Type::new(DType::I32, &[count, m]);
    let types = [rows.clone(), Type::new(DType::I32, &[count]), Type::scalar(DType::I32)];
    let (mut body, args) = Builder::with_inputs(&types);
    let number = body.iota(DType::I32, &rows.shape, 1);
    let (with, own) = (body.broadcast(args[1], &rows.shape, &[0]), body.broadcast(args[2], &rows.shape, &[]));
    let (there, here) = (body.compare(Comparison::Eq, number, with), body.compare(Comparison::Eq, number, own));
    let zero = body.full(&rows, 0.0);
    let [at_there, at_here] = [there, here].map(|p| {
        let one = body.select(p, args[0], zero);
        let one = body.sum(one, &[1]);
        body.broadcast(one, &rows.shape, &[0])
    });
    let next = body.select(there, at_here, args[0]);
    let next = body.select(here, at_there, next);
    let body = std::sync::Arc::new(body.finish(&[next])?);
    let start = b.iota(DType::I32, &rows.shape, 1);
    let by_step = b.transpose(exchanges, &[1, 0]);
    let steps = b.iota(DType::I32, &[k], 0);
    let scan = Op::Scan { body, length: k, reverse: false, consts: 0, carry: 1 };
    let done = b.op(scan, &[start, by_step, steps]);
    let mut shape = shape;
    let last = shape.len() - 1;
    shape[last] = m;
    Ok(b.reshape(done, &shape))
}

/// Eigenvalues closer than this part of the greatest are in the order of their imaginary parts.
const SAME_REAL_PART: f64 = 1e-5;

/// The order of eigenvalues: by real part, those of one real part up to rounding by imaginary part.
pub(super) fn eigenvalue_order(b: &mut Builder, values: Value) -> Result<Value> {
    let ty = b.ty(values).clone();
    let axis = ty.rank() - 1;
    let n = ty.shape[axis];
    let (re, im, size) = (b.unary(Unary::Real, values), b.unary(Unary::Imag, values), b.unary(Unary::Abs, values));
    let number = b.iota(DType::I32, &ty.shape, axis);
    let by_real = b.emit(Op::Sort { axis, num_keys: 1 }, &[re, im, number])?;
    let greatest = b.reduce(ReduceKind::Max, size, &[axis]);
    let least = b.scale(greatest, SAME_REAL_PART);
    // each starts a new group or stays in that of the one before
    let (before, after) = (b.slice_axis(by_real[0], axis, 0, n - 1), b.slice_axis(by_real[0], axis, 1, n));
    let gap = b.sub(after, before);
    let axes: Vec<usize> = (0..axis).collect();
    let shape = b.ty(gap).shape.clone();
    let least = b.broadcast(least, &shape, &axes);
    let apart = b.compare(Comparison::Gt, gap, least);
    let apart = b.convert(apart, DType::I32);
    let mut one = shape;
    one[axis] = 1;
    let first = b.full(&Type::new(DType::I32, &one), 0.0);
    let starts = b.concatenate(&[first, apart], axis);
    let group = b.op(Op::Cumulative { kind: ReduceKind::Sum, axis, reverse: false }, &[starts]);
    let sorted = b.emit(Op::Sort { axis, num_keys: 2 }, &[group, by_real[1], by_real[2]])?;
    Ok(sorted[2])
}
