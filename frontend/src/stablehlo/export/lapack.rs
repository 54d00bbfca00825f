//! Linear algebra: triangular systems and Cholesky factors are ops of the text, the rest calls of LAPACK, whose results
//! are brought into gradloom's form.

use super::super::matrices as m;
use super::super::routines::{OPTIONS, target};
use super::writer::Writer;
use gradloom_ir::eval::eval;
use gradloom_ir::{
    Builder, Comparison, DType, Error, Literal, Op, Result, Shape, Transposition, Type, Unary, Value, Values,
};
use gradloom_passes::rules::matrices as g;
use smallvec::smallvec;

pub(super) fn lower(w: &mut Writer, op: &Op, args: &[Value], types: &[Type]) -> Result<Values> {
    let a = args[0];
    if w.ty(a).numel() == 0 {
        return of_nothing(w, op, args);
    }
    match op {
        Op::Cholesky { lower } => cholesky(w, *lower, a),
        Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal } => {
            let transpose = match transpose_a {
                Transposition::None => "NO_TRANSPOSE",
                Transposition::Transpose => "TRANSPOSE",
                Transposition::Adjoint => "ADJOINT",
            };
            let attrs = format!(
                "left_side = {left_side}, lower = {lower}, unit_diagonal = {unit_diagonal}, \
                 transpose_a = #stablehlo<transpose {transpose}>"
            );
            Ok(smallvec![w.one("triangular_solve", args, &attrs, &types[0])])
        }
        Op::Lu {} => lu(w, a, types),
        Op::LuSolve { transpose_a } => w.composed(args, |b, x| Ok(vec![lu_solve(b, *transpose_a, x)])),
        Op::Qr { full } => qr(w, *full, a, types),
        Op::Svd { full, vectors } => svd(w, *full && *vectors, *vectors, a, types),
        Op::Eigh { vectors } => eigh(w, *vectors, a, types),
        Op::Eig { vectors } => eig(w, *vectors, a, types),
        Op::Pinv {} => w.composed(args, pinv),
        Op::SpectralForm { order } => w.composed(args, |b, x| spectral_form(b, *order, x)),
        _ => Err(Error::internal(op.name(), "is no linear algebra")),
    }
}

/// The results for matrices without elements, which are known.
fn of_nothing(w: &mut Writer, op: &Op, args: &[Value]) -> Result<Values> {
    let types: Vec<Type> = args.iter().map(|&a| w.ty(a).clone()).collect();
    let (mut b, inputs) = Builder::with_inputs(&types);
    let outs = b.emit(op.clone(), &inputs)?;
    let zeros = |t: &Type| Literal::from_bytes(t.clone(), vec![0; t.bytes()]);
    let zeros: Option<Vec<Literal>> = types.iter().map(zeros).collect();
    let known = eval(&b.finish(&outs)?, &zeros.unwrap_or_default())?;
    Ok(known.iter().map(|x| w.constant(x)).collect())
}

/// A call of a routine; options are LAPACK's letters. Matrices are those of as many axes as the first operand.
fn call(w: &mut Writer, routine: &str, args: &[Value], options: &[(&str, char)], results: &[Type]) -> Result<Values> {
    let ty = w.ty(args[0]).clone();
    let target =
        target(routine, ty.dtype).ok_or_else(|| Error::bad_dtype(routine, ty.dtype, "f32, f64, c64 or c128"))?;
    // columns are contiguous, as Fortran has them; batches are outside
    let layout = |t: &Type| {
        let r = t.rank();
        let matrix = if r == ty.rank() { 2 } else { 0 };
        let order: Vec<usize> = (r - matrix..r).chain((0..r - matrix).rev()).collect();
        let order = if r == 0 { String::new() } else { format!("{order:?}") };
        format!("dense<{order}> : tensor<{r}xindex>")
    };
    let layouts = |types: &mut dyn Iterator<Item = &Type>| types.map(layout).collect::<Vec<_>>().join(", ");
    let operands: Vec<Type> = args.iter().map(|&a| w.ty(a).clone()).collect();
    let attrs = format!(
        "call_target_name = \"{target}\", operand_layouts = [{}], result_layouts = [{}]",
        layouts(&mut operands.iter()),
        layouts(&mut results.iter())
    );
    let options: Vec<String> = options.iter().map(|(name, l)| format!("{name} = {} : ui8", *l as u32)).collect();
    Ok(w.call("custom_call", args, &attrs, &format!("{OPTIONS} = {{{}}}", options.join(", ")), results))
}

/// The batch's shape and another after it.
fn with(ty: &Type, dtype: DType, last: &[usize]) -> Type {
    Type { dtype, shape: ty.shape[..ty.rank() - 2].iter().chain(last).copied().collect() }
}

/// For each matrix whether it is finite, and the matrices with those that are not made 0: routines need not end on
/// them.
fn guarded(w: &mut Writer, a: Value, lower: bool) -> Result<(Value, Value)> {
    let both = w.composed(&[a], |b, x| {
        let ok = m::all_finite(b, x[0], lower);
        Ok(vec![ok, m::where_ok(b, ok, x[0], 0.0)])
    })?;
    Ok((both[0], both[1]))
}

/// Whether the matrix is `ok` and the routine ended well, which its last result says.
fn succeeded(b: &mut Builder, ok: Value, info: Value) -> Value {
    let zero = b.full_like(info, 0.0);
    let good = b.compare(Comparison::Eq, info, zero);
    b.binary(gradloom_ir::Binary::And, ok, good)
}

/// NaN in the triangle where any pivot is not positive.
fn cholesky(w: &mut Writer, lower: bool, a: Value) -> Result<Values> {
    let ty = w.ty(a).clone();
    // XLA reads the imaginary part of the diagonal, which is 0
    let a = if ty.dtype.is_complex() { w.composed(&[a], |b, x| Ok(vec![real_diagonal(b, x[0])]))?[0] } else { a };
    let factor = w.one("cholesky", &[a], &format!("lower = {lower}"), &ty);
    w.composed(&[factor], |b, x| {
        let inside = g::where_index(b, &ty.shape, if lower { Comparison::Ge } else { Comparison::Le });
        let zero = b.full(&ty, 0.0);
        let factor = b.select(inside, x[0], zero);
        let mut real = if ty.dtype.is_complex() { b.unary(Unary::Real, factor) } else { factor };
        let diagonal = g::where_index(b, &ty.shape, Comparison::Eq);
        let one = b.full_like(real, 1.0);
        real = b.select(diagonal, real, one);
        let nothing = b.full_like(real, 0.0);
        let positive = b.compare(Comparison::Gt, real, nothing);
        let rank = ty.rank();
        let positive = b.reduce(gradloom_ir::ReduceKind::And, positive, &[rank - 2, rank - 1]);
        let finite = m::all_finite(b, factor, false);
        let ok = b.binary(gradloom_ir::Binary::And, positive, finite);
        let known = m::where_ok(b, ok, factor, f64::NAN);
        Ok(vec![b.select(inside, known, zero)])
    })
}

fn real_diagonal(b: &mut Builder, a: Value) -> Value {
    let ty = b.ty(a).clone();
    let (re, im) = (b.unary(Unary::Real, a), b.unary(Unary::Imag, a));
    let (diagonal, zero) = (g::where_index(b, &ty.shape, Comparison::Eq), b.full_like(im, 0.0));
    let im = b.select(diagonal, zero, im);
    b.complex(re, Some(im))
}

/// LAPACK counts rows from 1.
fn lu(w: &mut Writer, a: Value, types: &[Type]) -> Result<Values> {
    let ty = w.ty(a).clone();
    let (ok, safe) = guarded(w, a, false)?;
    let found = call(w, "getrf", &[safe], &[], &[ty.clone(), types[1].clone(), with(&ty, DType::I32, &[])])?;
    w.composed(&[ok, found[0], found[1]], |b, x| {
        let factors = m::where_ok(b, x[0], x[1], f64::NAN);
        let axis = types[1].rank() - 1;
        let own = b.iota(DType::I32, &types[1].shape, axis);
        let exchanges = b.offset(x[2], -1.0);
        let axes: Vec<usize> = (0..axis).collect();
        let known = b.broadcast(x[0], &types[1].shape, &axes);
        let exchanges = b.select(known, exchanges, own);
        let order = m::permutation(b, exchanges, g::size(b, x[1]).0)?;
        Ok(vec![factors, exchanges, order])
    })
}

fn lu_solve(b: &mut Builder, transpose_a: Transposition, args: &[Value]) -> Value {
    let (lu, permutation, rhs) = (args[1], args[2], args[3]);
    let solve = |b: &mut Builder, lower: bool, x: Value| {
        let op = Op::TriangularSolve { left_side: true, lower, transpose_a, unit_diagonal: lower };
        b.op(op, &[lu, x])
    };
    if transpose_a == Transposition::None {
        let x = m::take_rows(b, rhs, permutation);
        let x = solve(b, true, x);
        return solve(b, false, x);
    }
    let x = solve(b, false, rhs);
    let x = solve(b, true, x);
    m::put_rows(b, x, permutation)
}

fn qr(w: &mut Writer, full: bool, a: Value, types: &[Type]) -> Result<Values> {
    let ty = w.ty(a).clone();
    let (rows, columns) = (ty.shape[ty.rank() - 2], ty.shape[ty.rank() - 1]);
    let k = rows.min(columns);
    let (ok, safe) = guarded(w, a, false)?;
    let found = call(w, "geqrf", &[safe], &[], &[ty.clone(), with(&ty, ty.dtype, &[k])])?;
    let wanted = if full { rows } else { k };
    let reflectors = w.composed(&[found[0]], |b, x| {
        let axis = ty.rank() - 1;
        if wanted <= columns {
            return Ok(vec![b.slice_axis(x[0], axis, 0, wanted)]);
        }
        let more = b.full(&with(&ty, ty.dtype, &[rows, wanted - columns]), 0.0);
        Ok(vec![b.concatenate(&[x[0], more], axis)])
    })?;
    let q = call(w, "orgqr", &[reflectors[0], found[1]], &[], &types[..1])?;
    w.composed(&[ok, q[0], found[0]], |b, x| {
        let q = m::where_ok(b, x[0], x[1], f64::NAN);
        let r = b.slice_axis(x[2], ty.rank() - 2, 0, wanted);
        let upper = g::where_index(b, &types[1].shape, Comparison::Le);
        let zero = b.full(&types[1], 0.0);
        let r = b.select(upper, r, zero);
        Ok(vec![q, m::where_ok(b, x[0], r, f64::NAN)])
    })
}

fn svd(w: &mut Writer, full: bool, vectors: bool, a: Value, types: &[Type]) -> Result<Values> {
    let ty = w.ty(a).clone();
    let (rows, columns) = (ty.shape[ty.rank() - 2], ty.shape[ty.rank() - 1]);
    let k = rows.min(columns);
    let (ok, safe) = guarded(w, a, false)?;
    let mode = match (vectors, full) {
        (false, _) => 'N',
        (true, false) => 'S',
        (true, true) => 'A',
    };
    let (of_u, of_v) = if full { (rows, columns) } else { (k, k) };
    let (u, v) = (with(&ty, ty.dtype, &[rows, of_u]), with(&ty, ty.dtype, &[of_v, columns]));
    let results = [ty.clone(), types[0].clone(), u, v, with(&ty, DType::I32, &[])];
    let found = call(w, "gesdd", &[safe], &[("mode", mode)], &results)?;
    w.composed(&[ok, found[1], found[2], found[3], found[4]], |b, x| {
        let ok = succeeded(b, x[0], x[4]);
        let mut outs = vec![m::where_ok(b, ok, x[1], f64::NAN)];
        if !vectors {
            return Ok(outs);
        }
        // a column of u and its row of v^H turn together, those without a partner by themselves
        let phase = m::phases(b, x[2]);
        let u = m::scale_columns(b, x[2], phase);
        let axis = ty.rank() - 2;
        let shared = b.slice_axis(phase, axis, 0, k);
        let mut turn = g::conjugate(b, shared);
        if of_v > k {
            let alone = b.slice_axis(x[3], axis, k, of_v);
            let perm: Vec<usize> = (0..axis).chain([axis + 1, axis]).collect();
            let alone = b.transpose(alone, &perm);
            let own = m::phases(b, alone);
            turn = b.concatenate(&[turn, own], axis);
        }
        let vt = m::scale_rows(b, x[3], turn);
        outs.extend([u, vt].map(|y| m::where_ok(b, ok, y, f64::NAN)));
        Ok(outs)
    })
}

fn eigh(w: &mut Writer, vectors: bool, a: Value, types: &[Type]) -> Result<Values> {
    let ty = w.ty(a).clone();
    let (ok, safe) = guarded(w, a, true)?;
    let options = [("mode", if vectors { 'V' } else { 'N' }), ("uplo", 'L')];
    let found = call(w, "syevd", &[safe], &options, &[ty.clone(), types[0].clone(), with(&ty, DType::I32, &[])])?;
    w.composed(&[ok, found[0], found[1], found[2]], |b, x| {
        let ok = succeeded(b, x[0], x[3]);
        let mut outs = vec![m::where_ok(b, ok, x[2], f64::NAN)];
        if vectors {
            let phase = m::phases(b, x[1]);
            let v = m::scale_columns(b, x[1], phase);
            outs.push(m::where_ok(b, ok, v, f64::NAN));
        }
        Ok(outs)
    })
}

/// Of a real matrix the values come as two real arrays.
fn eig(w: &mut Writer, vectors: bool, a: Value, types: &[Type]) -> Result<Values> {
    let ty = w.ty(a).clone();
    let (ok, safe) = guarded(w, a, false)?;
    let of_vectors = ty.with_dtype(types[0].dtype);
    let values = &types[0];
    let mut results = match ty.dtype.is_complex() {
        true => vec![values.clone()],
        false => vec![values.with_dtype(ty.dtype); 2],
    };
    let n = results.len();
    results.extend([of_vectors.clone(), of_vectors, with(&ty, DType::I32, &[])]);
    let options = [("compute_left", 'N'), ("compute_right", if vectors { 'V' } else { 'N' })];
    let found = call(w, "geev", &[safe], &options, &results)?;
    let args: Vec<Value> = [ok].into_iter().chain(found).collect();
    w.composed(&args, |b, x| {
        let values = if n == 2 { b.complex(x[1], Some(x[2])) } else { x[1] };
        let ok = succeeded(b, x[0], x[n + 3]);
        let order = m::eigenvalue_order(b, values)?;
        let column = [&b.ty(values).shape[..], &[1]].concat();
        let columns = b.reshape(values, &column);
        let sorted = m::take_rows(b, columns, order);
        let shape = types[0].shape.clone();
        let sorted = b.reshape(sorted, &shape);
        let mut outs = vec![m::where_ok(b, ok, sorted, f64::NAN)];
        if vectors {
            let rank = types[1].rank();
            let perm: Vec<usize> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
            let rows = b.transpose(x[n + 2], &perm);
            let rows = m::take_rows(b, rows, order);
            let v = b.transpose(rows, &perm);
            let phase = m::phases(b, v);
            let v = m::scale_columns(b, v, phase);
            outs.push(m::where_ok(b, ok, v, f64::NAN));
        }
        Ok(outs)
    })
}

/// V diag(1 / s) U^H over the singular values above `tolerance` times the greatest.
fn pinv(b: &mut Builder, args: &[Value]) -> Result<Vec<Value>> {
    let parts = b.emit(Op::Svd { full: false, vectors: true }, &args[..1])?;
    let [s, u, vt] = [parts[0], parts[1], parts[2]];
    let shape = b.ty(s).shape.clone();
    let last = shape.len() - 1;
    let greatest = b.slice_axis(s, last, 0, 1);
    let greatest = b.reshape(greatest, &shape[..last]);
    let least = b.mul(args[1], greatest);
    let axes: Vec<usize> = (0..last).collect();
    let least = b.broadcast(least, &shape, &axes);
    let counts = b.compare(Comparison::Gt, s, least);
    let (one, zero) = (b.full_like(s, 1.0), b.full_like(s, 0.0));
    let inverse = b.div(one, s);
    let inverse = b.select(counts, inverse, zero);
    let inverse = b.convert(inverse, b.ty(u).dtype);
    let v = g::adjoint(b, vt);
    let weighted = m::scale_columns(b, v, inverse);
    let uh = g::adjoint(b, u);
    Ok(vec![g::matmul(b, weighted, uh)])
}

/// Directions of more than this order have too many orders of their own.
const MAX_ORDER: usize = 6;

fn spectral_form(b: &mut Builder, order: usize, args: &[Value]) -> Result<Vec<Value>> {
    if order > MAX_ORDER {
        let what = format!("a derivative of order {order} cannot be exported, the highest is {MAX_ORDER}");
        return Err(Error::limit("spectral_form", what));
    }
    let (v, table) = (args[1], args[2]);
    let ty = b.ty(v).clone();
    let batch = (0..ty.rank() - 2).collect::<Vec<_>>();
    let vh = g::adjoint(b, v);
    let inside: Vec<Value> = args[args.len() - order..]
        .iter()
        .map(|&e| {
            let left = g::matmul(b, vh, e);
            g::matmul(b, left, v)
        })
        .collect();
    let whole = b.ty(table).shape.clone();
    let table = b.convert(table, ty.dtype);
    let first = batch.len();
    let mut sum = None;
    for permutation in permutations(order) {
        let mut term = table;
        for (k, &d) in permutation.iter().enumerate() {
            let dims: Vec<usize> = batch.iter().copied().chain([first + k, first + k + 1]).collect();
            let e = b.broadcast(inside[d], &whole, &dims);
            term = b.mul(term, e);
        }
        sum = Some(sum.map_or(term, |s| b.add(s, term)));
    }
    let sum = sum.unwrap_or(table);
    let middle = if order == 0 {
        // the table is a diagonal
        let dims: Vec<usize> = (0..=first).collect();
        let rows = b.broadcast(sum, &ty.shape, &dims);
        let (diagonal, zero) = (g::where_index(b, &ty.shape, Comparison::Eq), b.full(&ty, 0.0));
        b.select(diagonal, rows, zero)
    } else {
        let inner: Vec<usize> = (first + 1..first + order).collect();
        b.sum(sum, &inner)
    };
    let left = g::matmul(b, v, middle);
    Ok(vec![g::matmul(b, left, vh)])
}

/// All orders of `0..n`.
fn permutations(n: usize) -> Vec<Shape> {
    (0..n).fold(vec![Shape::new()], |all, next| {
        let mut longer = Vec::new();
        for p in &all {
            for at in 0..=p.len() {
                let mut p = p.clone();
                p.insert(at, next);
                longer.push(p);
            }
        }
        longer
    })
}
