//! Calls of LAPACK, which is how programs lowered for the CPU decompose and solve.
//!
//! Results no program reads, such as the reflectors that `geqrf` leaves below its triangle, are NaN, so that none is
//! read unnoticed.

use super::super::routines;
use super::super::syntax::Attr;
use super::{Call, Lower};
use gradloom_ir::{
    Builder, Comparison, DType, Op, ReduceKind, Result, Shape, Transposition, Type, Unary, Value, Values,
};
use gradloom_passes::rules::matrices::{adjoint, conjugate, where_index};
use smallvec::smallvec;
use std::sync::Arc;

/// Routines by name without the letter of the dtype: `lapack_spotrf_ffi` is `potrf`, `lapack_cungqr_ffi` is `orgqr`.
const ROUTINES: &[(&str, Lower)] = &[
    ("potrf", potrf),
    ("getrf", getrf),
    ("geqrf", geqrf),
    ("orgqr", orgqr),
    ("ormqr", ormqr),
    ("gesdd", gesdd),
    ("gesvd", gesdd),
    ("syevd", syevd),
    ("geev", geev),
    ("trsm", trsm),
    ("gtsv", gtsv),
];

/// The rule of a routine.
pub(super) fn routine(name: &str) -> Option<Lower> {
    let name = routines::routine(name)?;
    ROUTINES.iter().find(|(n, _)| *n == name).map(|(_, rule)| *rule)
}

/// An option of the routine: one of LAPACK's letters.
fn letter(c: &Call<'_, '_>, name: &str) -> Result<char> {
    let entry = match c.attr(&[routines::OPTIONS]) {
        Some(Attr::Dict(entries)) => entries.iter().find(|(n, _)| *n == name).map(|(_, a)| a),
        _ => None,
    };
    match entry {
        Some(Attr::Number(n)) => n.parse::<u8>().ok().map(char::from),
        _ => None,
    }
    .ok_or_else(|| c.error(format!("the option `{name}` is missing")))
}

/// No error, for every matrix of the batch: what cannot be done is NaN in the results.
fn success(c: &mut Call<'_, '_>, i: usize) -> Result<Value> {
    let ty = c.result(i)?;
    Ok(c.b().full(&ty, 0.0))
}

/// A result that is not to be read.
fn unread(c: &mut Call<'_, '_>, i: usize) -> Result<Value> {
    let ty = c.result(i)?;
    Ok(not_a_number(c.b(), &ty))
}

fn not_a_number(b: &mut Builder, ty: &Type) -> Value {
    let nan = if ty.dtype.is_inexact() { f64::NAN } else { 0.0 };
    b.full(ty, nan)
}

/// The other triangle stays what it was.
fn potrf(c: &mut Call<'_, '_>) -> Result<Values> {
    let [a] = c.args()?;
    let lower = letter(c, "uplo")? == 'L';
    let factor = c.node(Op::Cholesky { lower }, &[a])?[0];
    let ty = c.ty(a);
    let b = c.b();
    let (row, column) = (b.iota(DType::I32, &ty.shape, ty.rank() - 2), b.iota(DType::I32, &ty.shape, ty.rank() - 1));
    let inside = b.compare(if lower { Comparison::Ge } else { Comparison::Le }, row, column);
    let factor = b.select(inside, factor, a);
    Ok(smallvec![factor, success(c, 1)?])
}

/// LAPACK counts rows from 1.
fn getrf(c: &mut Call<'_, '_>) -> Result<Values> {
    let [a] = c.args()?;
    let lu = c.node(Op::Lu {}, &[a])?;
    let exchanges = c.b().offset(lu[1], 1.0);
    Ok(smallvec![lu[0], exchanges, success(c, 2)?])
}

/// Rows and columns of a batch of matrices.
fn matrix(c: &Call<'_, '_>, a: Value) -> Result<(Shape, usize, usize)> {
    match &c.ty(a).shape[..] {
        [batch @ .., m, n] => Ok((Shape::from_slice(batch), *m, *n)),
        _ => Err(c.error(format!("takes matrices, not {}", c.ty(a)))),
    }
}

/// The triangle; the reflectors are kept as the matrix itself, for `orgqr` to make Q of.
fn geqrf(c: &mut Call<'_, '_>) -> Result<Values> {
    let [a] = c.args()?;
    let (_, m, n) = matrix(c, a)?;
    let qr = c.node(Op::Qr { full: false }, &[a])?;
    let ty = c.ty(a);
    let b = c.b();
    let mut r = qr[1];
    if m > n {
        let below = [&ty.shape[..ty.rank() - 2], &[m - n, n]].concat();
        let below = not_a_number(b, &ty.with_shape(&below));
        r = b.concatenate(&[r, below], ty.rank() - 2);
    }
    let (row, column) = (b.iota(DType::I32, &ty.shape, ty.rank() - 2), b.iota(DType::I32, &ty.shape, ty.rank() - 1));
    let upper = b.compare(Comparison::Le, row, column);
    let nan = not_a_number(b, &ty);
    let packed = b.select(upper, r, nan);
    let reflectors = unread(c, 1)?;
    let at = c.op.at;
    c.body().factored.insert(reflectors, (a, qr[0], at));
    Ok(smallvec![packed, reflectors])
}

/// The matrix that `geqrf` made these reflectors of, and its Q.
fn factored(c: &mut Call<'_, '_>, reflectors: Value) -> Result<(Value, Value)> {
    let factored = c.body().factored.get(&reflectors).map(|&(a, q, _)| (a, q));
    factored.ok_or_else(|| c.unsupported("the reflectors should be those of geqrf in the same region"))
}

/// H_1 .. H_k times the first columns of the identity, H_i = I - tau_i v_i v_i^H with v_i = (0, .., 0, 1, column i of `a`
/// below its diagonal): one after the other from the last.
fn product_of_reflections(c: &mut Call<'_, '_>, a: Value, taus: Value) -> Result<Value> {
    let (batch, m, n) = matrix(c, a)?;
    let (ty, rank) = (c.ty(a), batch.len());
    let k = *c.ty(taus).shape.last().ok_or_else(|| c.error("takes a number a reflection"))?;
    let rows = ty.with_shape(&[&batch[..], &[m]].concat());
    if k > n.min(m) || c.ty(taus) != ty.with_shape(&[&batch[..], &[k]].concat()) {
        return Err(c.error(format!("{} reflections of {ty}", c.ty(taus))));
    }
    let b = c.b();
    let v = b.slice_axis(a, rank + 1, 0, k);
    let v_type = b.ty(v).clone();
    let (below, on) = (where_index(b, &v_type.shape, Comparison::Gt), where_index(b, &v_type.shape, Comparison::Eq));
    let (zero, one) = (b.full(&v_type, 0.0), b.full(&v_type, 1.0));
    let rest = b.select(on, one, zero);
    let v = b.select(below, v, rest);
    let first =
        |last: usize, len: usize| -> Vec<usize> { [last].into_iter().chain((0..len).filter(|&i| i != last)).collect() };
    let v = b.transpose(v, &first(rank + 1, rank + 2));
    let taus = b.transpose(taus, &first(rank, rank + 1));
    let on = where_index(b, &ty.shape, Comparison::Eq);
    let (zero, one) = (b.full(&ty, 0.0), b.full(&ty, 1.0));
    let identity = b.select(on, one, zero);

    let (mut body, inputs) = Builder::with_inputs(&[ty.clone(), rows, ty.with_shape(&batch)]);
    let (q, v_i, tau) = (inputs[0], inputs[1], inputs[2]);
    let along_rows: Vec<usize> = (0..=rank).collect();
    let conj = conjugate(&mut body, v_i);
    let (left, right) = (body.broadcast(v_i, &ty.shape, &along_rows), body.broadcast(conj, &ty.shape, &along_rows));
    let products = body.mul(right, q);
    let w = body.sum(products, &[rank]);
    let columns: Vec<usize> = (0..rank).chain([rank + 1]).collect();
    let w = body.broadcast(w, &ty.shape, &columns);
    let tau = body.broadcast(tau, &ty.shape, &columns[..rank]);
    let change = body.mul(left, w);
    let change = body.mul(tau, change);
    let next = body.sub(q, change);
    let body = Arc::new(body.finish(&[next])?);
    let op = Op::Scan { body, length: k, reverse: true, consts: 0, carry: 1 };
    Ok(c.node(op, &[identity, v, taus])?[0])
}

fn orgqr(c: &mut Call<'_, '_>) -> Result<Values> {
    let [packed, reflectors] = c.args()?;
    if !c.body().factored.contains_key(&reflectors) {
        return Ok(smallvec![product_of_reflections(c, packed, reflectors)?]);
    }
    let (a, q) = factored(c, reflectors)?;
    let ty = c.result(0)?;
    let columns = *ty.shape.last().ok_or_else(|| c.error("gives matrices"))?;
    let q = if c.ty(q).shape == ty.shape { q } else { c.node(Op::Qr { full: true }, &[a])?[0] };
    let axis = ty.rank() - 1;
    if columns > c.ty(q).shape[axis] {
        return Err(c.error(format!("{columns} columns of {}", c.ty(q))));
    }
    Ok(smallvec![c.b().slice_axis(q, axis, 0, columns)])
}

/// The square Q or its adjoint times a matrix, from either side.
fn ormqr(c: &mut Call<'_, '_>) -> Result<Values> {
    let [_, reflectors, x] = c.args()?;
    let option = |name: &str| match c.attr(&["mhlo.backend_config"]) {
        Some(Attr::Dict(entries)) => entries.iter().any(|(n, a)| *n == name && *a == Attr::Word("true")),
        _ => false,
    };
    let (left, transpose) = (option("left"), option("transpose"));
    let (a, q) = factored(c, reflectors)?;
    let (batch, m, _) = matrix(c, a)?;
    let q = if c.ty(q).shape.last() == Some(&m) { q } else { c.node(Op::Qr { full: true }, &[a])?[0] };
    let q = if transpose { adjoint(c.b(), q) } else { q };
    let (rank, axes) = (batch.len(), (0..batch.len()).collect::<Shape>());
    let op = Op::DotGeneral {
        lhs_batch: axes.clone(),
        rhs_batch: axes,
        lhs_contract: smallvec![rank + 1],
        rhs_contract: smallvec![rank],
    };
    c.node(op, &if left { [q, x] } else { [x, q] })
}

fn gesdd(c: &mut Call<'_, '_>) -> Result<Values> {
    let [a] = c.args()?;
    let mode = letter(c, "mode")?;
    let (full, vectors) = match mode {
        'N' => (false, false),
        'S' => (false, true),
        'A' => (true, true),
        _ => return Err(c.unsupported(format!("the mode {mode} is not supported"))),
    };
    let svd = c.node(Op::Svd { full, vectors }, &[a])?;
    let (u, vt) = if vectors { (svd[1], svd[2]) } else { (unread(c, 2)?, unread(c, 3)?) };
    Ok(smallvec![unread(c, 0)?, svd[0], u, vt, success(c, 4)?])
}

fn syevd(c: &mut Call<'_, '_>) -> Result<Values> {
    let [a] = c.args()?;
    matrix(c, a)?;
    let vectors = letter(c, "mode")? == 'V';
    // gradloom reads the lower triangle
    let a = if letter(c, "uplo")? == 'L' { a } else { adjoint(c.b(), a) };
    let eigen = c.node(Op::Eigh { vectors }, &[a])?;
    let v = if vectors { eigen[1] } else { unread(c, 0)? };
    Ok(smallvec![v, eigen[0], success(c, 2)?])
}

/// The columns of `V^-H`, each of length 1: what the left eigenvectors are, given the right ones.
fn left_vectors(c: &mut Call<'_, '_>, v: Value) -> Result<Value> {
    let adjoint = adjoint(c.b(), v);
    let ty = c.ty(v);
    let b = c.b();
    let lu = b.emit(Op::Lu {}, &[adjoint])?;
    let (row, column) = (b.iota(DType::I32, &ty.shape, ty.rank() - 2), b.iota(DType::I32, &ty.shape, ty.rank() - 1));
    let same = b.compare(Comparison::Eq, row, column);
    let identity = b.convert(same, ty.dtype.real());
    let identity = b.complex(identity, None);
    let solve = Op::LuSolve { transpose_a: Transposition::None };
    let left = b.emit(solve, &[adjoint, lu[0], lu[2], identity])?[0];
    let size = b.unary(Unary::Abs, left);
    // by the greatest first: squares of a nearly singular inverse overflow
    let columns: Vec<usize> = (0..ty.rank()).filter(|&a| a + 2 != ty.rank()).collect();
    let scaled = |b: &mut Builder, x: Value, by: Value| {
        let by = b.broadcast(by, &ty.shape, &columns);
        let by = b.complex(by, None);
        b.div(x, by)
    };
    let top = b.reduce(ReduceKind::Max, size, &[ty.rank() - 2]);
    let left = scaled(b, left, top);
    let size = b.unary(Unary::Abs, left);
    let squares = b.mul(size, size);
    let length = b.sum(squares, &[ty.rank() - 2]);
    let length = b.unary(Unary::Sqrt, length);
    Ok(scaled(b, left, length))
}

/// Values, left vectors, right vectors; of a real matrix the values come as two real arrays.
fn geev(c: &mut Call<'_, '_>) -> Result<Values> {
    let [a] = c.args()?;
    let (left, right) = (letter(c, "compute_left")? == 'V', letter(c, "compute_right")? == 'V');
    let eigen = c.node(Op::Eig { vectors: left || right }, &[a])?;
    let mut results: Values = if c.ty(a).dtype.is_complex() {
        smallvec![eigen[0]]
    } else {
        smallvec![c.b().unary(Unary::Real, eigen[0]), c.b().unary(Unary::Imag, eigen[0])]
    };
    let at = results.len();
    results.push(if left { left_vectors(c, eigen[1])? } else { unread(c, at)? });
    results.push(if right { eigen[1] } else { unread(c, at + 1)? });
    results.push(success(c, at + 2)?);
    Ok(results)
}

fn trsm(c: &mut Call<'_, '_>) -> Result<Values> {
    let [a, b] = c.args()?;
    let trans = letter(c, "trans_x")?;
    let op = Op::TriangularSolve {
        left_side: letter(c, "side")? == 'L',
        lower: letter(c, "uplo")? == 'L',
        transpose_a: routines::transposition(trans).ok_or_else(|| c.error(format!("`{trans}` is no transposition")))?,
        unit_diagonal: letter(c, "diag")? == 'U',
    };
    c.node(op, &[a, b])
}

/// Longest tridiagonal system that is solved as a whole matrix.
const MAX_TRIDIAGONAL: usize = 1 << 12;

/// A tridiagonal system as a matrix: row i holds `lower[i]`, `diagonal[i]`, `upper[i]`.
fn gtsv(c: &mut Call<'_, '_>) -> Result<Values> {
    let [lower, diagonal, upper, rhs] = c.args()?;
    let ty = c.ty(diagonal);
    let Some((&n, batch)) = ty.shape.split_last() else { return Err(c.error("takes vectors")) };
    if n > MAX_TRIDIAGONAL {
        return Err(c.unsupported(format!("systems of more than {MAX_TRIDIAGONAL} rows are not supported")));
    }
    if c.ty(lower) != ty || c.ty(upper) != ty {
        return Err(c.error("the three diagonals must have one type"));
    }
    let shape: Shape = batch.iter().copied().chain([n, n]).collect();
    let (rank, rows) = (shape.len(), (0..shape.len() - 1).collect::<Vec<_>>());
    let b = c.b();
    let (row, column) = (b.iota(DType::I32, &shape, rank - 2), b.iota(DType::I32, &shape, rank - 1));
    let mut a = b.full(&ty.with_shape(&shape), 0.0);
    for (values, shift) in [(lower, -1.0), (diagonal, 0.0), (upper, 1.0)] {
        let at = b.offset(row, shift);
        let here = b.compare(Comparison::Eq, at, column);
        let values = b.broadcast(values, &shape, &rows);
        a = b.select(here, values, a);
    }
    let lu = c.node(Op::Lu {}, &[a])?;
    let x = c.node(Op::LuSolve { transpose_a: Transposition::None }, &[a, lu[0], lu[2], rhs])?[0];
    Ok(smallvec![unread(c, 0)?, unread(c, 1)?, unread(c, 2)?, x, success(c, 4)?])
}
