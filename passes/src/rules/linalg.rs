//! Rules of dense linear algebra. Matrices stand in the last two axes, so a batch is one more axis in front.
//!
//! The derivatives are written with the results, never through the steps of an algorithm, so that they hold to all
//! orders: `P` of a factorisation is a function of `P` and the operand again. Equations: Giles 2008 (cholesky, svd,
//! eigh), de Hoog, Anderssen and Lukas 2011 (lu), Golub and Pereyra 1973 (pinv), Daleckii and Krein 1965.

use super::elementwise::add;
use super::matrices::{adjoint, conjugate, flip, identity_like, masked, matmul, rank, real, size, where_index};
use super::qr;
use super::shaping::move_axis;
use super::{BatchArgs, Maybe, Operand, misrouted, not_linear, zero_tangent};
use gradloom_ir::{
    Builder, Comparison, DType, Error, Op, ReduceKind, Result, Shape, Transposition, Type, Unary, Value, Values,
};
use smallvec::smallvec;

/// A real `x` in the dtype of `like`.
fn as_like(b: &mut Builder, x: Value, like: Value) -> Value {
    if b.ty(like).dtype.is_complex() { b.complex(x, None) } else { x }
}

/// `x`, its transpose or its conjugate transpose.
fn applied(b: &mut Builder, x: Value, op: Transposition) -> Value {
    match op {
        Transposition::None => x,
        Transposition::Transpose => flip(b, x),
        Transposition::Adjoint => adjoint(b, x),
    }
}

/// The Hermitian matrix that agrees with `x` below (or, not `lower`, above) the diagonal, and with its real part there.
fn hermitian(b: &mut Builder, x: Value, lower: bool) -> Value {
    let shape = b.ty(x).shape.clone();
    let mask = where_index(b, &shape, if lower { Comparison::Ge } else { Comparison::Le });
    let other = adjoint(b, x);
    let whole = b.select(mask, x, other);
    if !b.ty(x).dtype.is_complex() {
        return whole;
    }
    let diagonal = where_index(b, &shape, Comparison::Eq);
    let middle = real(b, x);
    let middle = b.complex(middle, None);
    b.select(diagonal, middle, whole)
}

/// The diagonal of square matrices.
fn diagonal(b: &mut Builder, x: Value) -> Value {
    let rank = rank(b, x);
    let only = masked(b, x, Comparison::Eq);
    b.sum(only, &[rank - 1])
}

/// A vector along the last axis as `rows` equal rows, or along the columns as equal columns.
fn spread(b: &mut Builder, x: Value, n: usize, as_rows: bool) -> Value {
    let mut shape = b.ty(x).shape.clone();
    let rank = shape.len();
    shape.insert(if as_rows { rank - 1 } else { rank }, n);
    let mut dims: Shape = (0..rank).collect();
    if as_rows {
        dims[rank - 1] = rank;
    }
    b.broadcast(x, &shape, &dims)
}

/// 1 / x where `keep`, else 0, with no division by 0 in its own derivative either.
fn reciprocal_where(b: &mut Builder, keep: Value, x: Value) -> Value {
    let (zero, one) = (b.full_like(x, 0.0), b.full_like(x, 1.0));
    let safe = b.select(keep, x, one);
    let inverse = b.div(one, safe);
    b.select(keep, inverse, zero)
}

pub(super) fn solve_triangular(
    b: &mut Builder,
    a: Value,
    y: Value,
    left_side: bool,
    lower: bool,
    op: Transposition,
) -> Value {
    b.op(Op::TriangularSolve { left_side, lower, transpose_a: op, unit_diagonal: false }, &[a, y])
}

pub(super) fn jvp(b: &mut Builder, op: &Op, x: &[Value], y: &[Value], t: &[Option<Value>]) -> Result<Maybe> {
    match op {
        Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal } => {
            Ok(smallvec![jvp_triangular_solve(b, x, y[0], t, (*left_side, *lower, *transpose_a, *unit_diagonal))])
        }
        Op::LuSolve { transpose_a } => Ok(smallvec![jvp_lu_solve(b, op, x, y[0], t, *transpose_a)]),
        Op::SpectralForm { order } => jvp_spectral_form(b, x, t, *order),
        _ => {
            let Some(t) = t[0] else { return Ok(zero_tangent(y.len())) };
            Ok(match op {
                Op::Cholesky { lower } => smallvec![Some(jvp_cholesky(b, y[0], t, *lower))],
                Op::Lu {} => smallvec![Some(jvp_lu(b, y[0], y[2], t)), None, None],
                Op::Qr { .. } => qr::jvp(b, x[0], (y[0], y[1]), t),
                Op::Svd { full, vectors } => jvp_svd(b, x[0], y, t, *full, *vectors)?,
                Op::Eigh { vectors } => jvp_eigh(b, x[0], y, t, *vectors)?,
                Op::Eig { vectors } => jvp_eig(b, x[0], y, t, *vectors)?,
                Op::Pinv {} => smallvec![Some(jvp_pinv(b, x[0], y[0], t))],
                _ => return misrouted(op),
            })
        }
    }
}

/// L_dot = L phi(L^-1 A_dot L^-H), phi being the lower triangle with half the diagonal; U_dot = phi(..)^H U likewise.
fn jvp_cholesky(b: &mut Builder, y: Value, t: Value, lower: bool) -> Value {
    let t = hermitian(b, t, lower);
    let (first, second) = if lower {
        (Transposition::None, Transposition::Adjoint)
    } else {
        (Transposition::Adjoint, Transposition::None)
    };
    let s = solve_triangular(b, y, t, true, lower, first);
    let s = solve_triangular(b, y, s, false, lower, second);
    let strict = masked(b, s, if lower { Comparison::Gt } else { Comparison::Lt });
    let middle = masked(b, s, Comparison::Eq);
    let half = b.scale(middle, 0.5);
    let phi = b.add(strict, half);
    if lower { matmul(b, y, phi) } else { matmul(b, phi, y) }
}

/// op(a) x_dot = b_dot - op(a_dot) x, and the same from the right.
fn jvp_triangular_solve(
    b: &mut Builder,
    x: &[Value],
    y: Value,
    t: &[Option<Value>],
    (left_side, lower, transpose_a, unit_diagonal): (bool, bool, Transposition, bool),
) -> Option<Value> {
    let through_a = t[0].map(|t| {
        let mask = match (lower, unit_diagonal) {
            (true, false) => Comparison::Ge,
            (true, true) => Comparison::Gt,
            (false, false) => Comparison::Le,
            (false, true) => Comparison::Lt,
        };
        let t = masked(b, t, mask);
        let t = applied(b, t, transpose_a);
        let product = if left_side { matmul(b, t, y) } else { matmul(b, y, t) };
        b.neg(product)
    });
    let rhs = add(b, t[1], through_a)?;
    Some(b.op(Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal }, &[x[0], rhs]))
}

/// op(a) x_dot = b_dot - op(a_dot) x, by the same factors.
fn jvp_lu_solve(
    b: &mut Builder,
    op: &Op,
    x: &[Value],
    y: Value,
    t: &[Option<Value>],
    transpose_a: Transposition,
) -> Option<Value> {
    let through_a = t[0].map(|t| {
        let t = applied(b, t, transpose_a);
        let product = matmul(b, t, y);
        b.neg(product)
    });
    let rhs = add(b, t[3], through_a)?;
    Some(b.op(op.clone(), &[x[0], x[1], x[2], rhs]))
}

/// Rows of each matrix in the order of a permutation.
fn permute_rows(b: &mut Builder, x: Value, permutation: Value) -> Value {
    let rank = rank(b, x);
    let (_, n) = size(b, x);
    let batch: Shape = (0..rank - 2).collect();
    let mut slice_sizes = Shape::from_elem(1, rank);
    slice_sizes[rank - 1] = n;
    let gather = Op::Gather {
        offset_dims: smallvec![rank - 1],
        collapsed_slice_dims: smallvec![rank - 2],
        operand_batching_dims: batch.clone(),
        start_indices_batching_dims: batch,
        start_index_map: smallvec![rank - 2],
        index_vector_dim: rank - 1,
        slice_sizes,
    };
    b.op(gather, &[x, permutation])
}

/// `x` grown by zeros to `m` rows and `n` columns.
pub(super) fn grow(b: &mut Builder, x: Value, m: usize, n: usize) -> Value {
    let (rows, columns) = size(b, x);
    if (rows, columns) == (m, n) || b.ty(x).rank() < 2 {
        return x;
    }
    let ty = b.ty(x).clone();
    let mut high = vec![0; ty.rank()];
    high[ty.rank() - 2] = (m - rows) as i64;
    high[ty.rank() - 1] = (n - columns) as i64;
    let zero = b.scalar(ty.dtype, 0.0);
    b.op(Op::Pad { low: vec![0; ty.rank()], high, interior: Shape::from_elem(0, ty.rank()) }, &[x, zero])
}

/// The first `k` rows or columns.
pub(super) fn first(b: &mut Builder, x: Value, rows: usize, columns: usize) -> Value {
    let rank = rank(b, x);
    let (m, n) = size(b, x);
    let x = if rows < m { b.slice_axis(x, rank - 2, 0, rows) } else { x };
    if columns < n { b.slice_axis(x, rank - 1, 0, columns) } else { x }
}

/// With M = L^-1 (P A_dot) U^-1, L and U completed to square by the identity: L_dot = L tril(M, -1), U_dot = triu(M) U.
fn jvp_lu(b: &mut Builder, lu: Value, permutation: Value, t: Value) -> Value {
    if b.ty(lu).numel() == 0 {
        return t;
    }
    let (m, n) = size(b, lu);
    let k = m.min(n);
    let left = first(b, lu, m, k);
    let left = masked(b, left, Comparison::Gt);
    let l = grow(b, left, m, m);
    let one = identity_like(b, l);
    let l = b.add(l, one);
    let right = first(b, lu, k, n);
    let right = masked(b, right, Comparison::Le);
    let u = grow(b, right, n, n);
    // ones where the diagonal is beyond k
    let eye = identity_like(b, u);
    let shape = b.ty(u).shape.clone();
    let row = b.iota(DType::I32, &shape, shape.len().max(2) - 2);
    let last = b.scalar(DType::I32, k as f64);
    let last = b.broadcast(last, &shape, &[]);
    let beyond = b.compare(Comparison::Ge, row, last);
    let zero = b.full_like(u, 0.0);
    let tail = b.select(beyond, eye, zero);
    let u = b.add(u, tail);

    let t = permute_rows(b, t, permutation);
    let unit =
        Op::TriangularSolve { left_side: true, lower: true, transpose_a: Transposition::None, unit_diagonal: true };
    let s = b.op(unit, &[l, t]);
    let s = solve_triangular(b, u, s, false, false, Transposition::None);
    let (below, above) = (masked(b, s, Comparison::Gt), masked(b, s, Comparison::Le));
    let (l_dot, u_dot) = (matmul(b, l, below), matmul(b, above, u));
    b.add(l_dot, u_dot)
}

/// How close numbers of size up to `scale` may be and still count as equal: a few units of rounding.
fn noise(b: &mut Builder, scale: Value) -> Value {
    let eps = if b.ty(scale).dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    b.scale(scale, 16.0 * eps)
}

/// The greatest magnitude of each vector of a batch, as a matrix of equal entries.
fn greatest(b: &mut Builder, x: Value) -> Value {
    let shape = b.ty(x).shape.clone();
    let rank = shape.len();
    let size = b.unary(Unary::Abs, x);
    let top = b.reduce(ReduceKind::Max, size, &[rank - 1]);
    let n = shape[rank - 1];
    let mut square = shape.clone();
    square.push(n);
    let dims: Shape = (0..rank - 1).collect();
    b.broadcast(top, &square, &dims)
}

/// 1 / (x_j - x_i), and 0 where they are equal up to rounding: the rotation inside an eigenspace is arbitrary, and this
/// chooses none.
fn gaps(b: &mut Builder, x: Value) -> Value {
    let n = b.ty(x).shape[b.ty(x).rank() - 1];
    let (rows, columns) = (spread(b, x, n, true), spread(b, x, n, false));
    let gap = b.sub(rows, columns);
    let top = greatest(b, x);
    let noise = noise(b, top);
    let size = b.unary(Unary::Abs, gap);
    let apart = b.compare(Comparison::Gt, size, noise);
    reciprocal_where(b, apart, gap)
}

/// i Im(v_dot) / v at the entry of each column that the op makes positive, over whole columns: the phase that keeps it so.
/// Real vectors have none.
fn phase_tangent(b: &mut Builder, v: Value, v_dot: Value) -> Option<Value> {
    if !b.ty(v).dtype.is_complex() || b.ty(v).numel() == 0 {
        return None;
    }
    let shape = b.ty(v).shape.clone();
    let rank = shape.len();
    let keep: Shape = (0..rank).filter(|&a| a + 2 != rank).collect();
    let column = |b: &mut Builder, x: Value| b.broadcast(x, &shape, &keep);
    let size = b.unary(Unary::Abs, v);
    let top = b.reduce(ReduceKind::Max, size, &[rank - 2]);
    let top = column(b, top);
    let least = b.scale(top, 0.9);
    let leads = b.compare(Comparison::Ge, size, least);
    let leads = b.convert(leads, DType::I32);
    let first = b.op(Op::ArgReduce { kind: ReduceKind::Max, axis: rank - 2 }, &[leads]);
    let first = column(b, first);
    let row = b.iota(DType::I32, &shape, rank - 2);
    let leader = b.compare(Comparison::Eq, row, first);
    let (zero, one) = (b.full_like(size, 0.0), b.full_like(size, 1.0));
    let moved = b.unary(Unary::Imag, v_dot);
    let length = b.unary(Unary::Real, v);
    let length = b.select(leader, length, one);
    let angle = b.div(moved, length);
    let angle = b.select(leader, angle, zero);
    let angle = b.sum(angle, &[rank - 2]);
    let angle = column(b, angle);
    let zero = b.full_like(angle, 0.0);
    Some(b.complex(zero, Some(angle)))
}

/// w_dot = diag(V^H A_dot V), V_dot = V ((V^H A_dot V) / (w_j - w_i)).
fn jvp_eigh(b: &mut Builder, a: Value, y: &[Value], t: Value, vectors: bool) -> Result<Maybe> {
    let v = if vectors { y[1] } else { b.emit(Op::Eigh { vectors: true }, &[a])?[1] };
    let t = hermitian(b, t, true);
    let v_t = adjoint(b, v);
    let tv = matmul(b, t, v);
    let inside = matmul(b, v_t, tv);
    let w_dot = diagonal(b, inside);
    let w_dot = real(b, w_dot);
    if !vectors {
        return Ok(smallvec![Some(w_dot)]);
    }
    let gaps = gaps(b, y[0]);
    let gaps = as_like(b, gaps, inside);
    let turn = b.mul(inside, gaps);
    let mut v_dot = matmul(b, v, turn);
    if let Some(phase) = phase_tangent(b, v, v_dot) {
        let turn = b.mul(v, phase);
        v_dot = b.sub(v_dot, turn);
    }
    Ok(smallvec![Some(w_dot), Some(v_dot)])
}

/// With D = V^-1 A_dot V: w_dot = diag D, V_dot = V (D / (w_j - w_i)), less the part along each column that would change its
/// length or phase.
fn jvp_eig(b: &mut Builder, a: Value, y: &[Value], t: Value, vectors: bool) -> Result<Maybe> {
    let v = if vectors { y[1] } else { b.emit(Op::Eig { vectors: true }, &[a])?[1] };
    let t = if b.ty(t).dtype.is_complex() { t } else { b.complex(t, None) };
    let factors = b.emit(Op::Lu {}, &[v])?;
    let tv = matmul(b, t, v);
    let solve = Op::LuSolve { transpose_a: Transposition::None };
    let inside = b.op(solve, &[v, factors[0], factors[2], tv]);
    let w_dot = diagonal(b, inside);
    if !vectors {
        return Ok(smallvec![Some(w_dot)]);
    }
    let gaps = gaps(b, y[0]);
    let turn = b.mul(inside, gaps);
    let mut v_dot = matmul(b, v, turn);
    // Re v^H v_dot
    let rank = rank(b, v);
    let bar = conjugate(b, v);
    let along = b.mul(bar, v_dot);
    let along = b.unary(Unary::Real, along);
    let along = b.sum(along, &[rank - 2]);
    let (n, _) = size(b, v);
    let along = spread(b, along, n, true);
    let along = b.complex(along, None);
    let along = b.mul(v, along);
    v_dot = b.sub(v_dot, along);
    if let Some(phase) = phase_tangent(b, v, v_dot) {
        let turn = b.mul(v, phase);
        v_dot = b.sub(v_dot, turn);
    }
    Ok(smallvec![Some(w_dot), Some(v_dot)])
}

/// With D = U^H A_dot V, P and N its Hermitian and skew parts: s_dot = Re diag D,
/// U^H U_dot = P / (s_j - s_i) + N / (s_i + s_j), V^H V_dot = P / (s_j - s_i) - N / (s_i + s_j); outside of the span of
/// U, (1 - U U^H) A_dot V / s, and so for V. Written so, what depends on U V^H only is right at equal values too.
fn jvp_svd(b: &mut Builder, a: Value, y: &[Value], t: Value, full: bool, vectors: bool) -> Result<Maybe> {
    let (m, n) = size(b, a);
    if vectors && full && m != n {
        let what = format!("the full factors of {m} x {n} matrices have no derivative: the null space has any basis");
        return Err(Error::user("svd", what).help("use the reduced form, `full = false`"));
    }
    let (s, u, vt) = match y {
        [s, u, vt] => (*s, *u, *vt),
        _ => {
            let all = b.emit(Op::Svd { full: false, vectors: true }, &[a])?;
            (y[0], all[1], all[2])
        }
    };
    let (ut, v) = (adjoint(b, u), adjoint(b, vt));
    let tv = matmul(b, t, v);
    let d = matmul(b, ut, tv);
    let s_dot = diagonal(b, d);
    let s_dot = real(b, s_dot);
    if !vectors {
        return Ok(smallvec![Some(s_dot)]);
    }
    let k = m.min(n);
    let flipped = adjoint(b, d);
    let (sum, difference) = (b.add(d, flipped), b.sub(d, flipped));
    let (hermitian, skew) = (b.scale(sum, 0.5), b.scale(difference, 0.5));
    let (rows, columns) = (spread(b, s, k, true), spread(b, s, k, false));
    let sums = b.add(rows, columns);
    let zero = b.full_like(sums, 0.0);
    let positive = b.compare(Comparison::Gt, sums, zero);
    let inverse_sums = reciprocal_where(b, positive, sums);
    let gaps = gaps(b, s);
    let (gaps, inverse_sums) = (as_like(b, gaps, d), as_like(b, inverse_sums, d));
    let (common, opposite) = (b.mul(hermitian, gaps), b.mul(skew, inverse_sums));
    let (turn_u, turn_v) = (b.add(common, opposite), b.sub(common, opposite));
    let (mut u_dot, mut v_dot) = (matmul(b, u, turn_u), matmul(b, v, turn_v));
    if m > n {
        let outside = orthogonal_part(b, tv, u, d, s);
        u_dot = b.add(u_dot, outside);
    }
    if n > m {
        let t_t = adjoint(b, t);
        let tu = matmul(b, t_t, u);
        let outside = orthogonal_part(b, tu, v, flipped, s);
        v_dot = b.add(v_dot, outside);
    }
    if let Some(phase) = phase_tangent(b, u, u_dot) {
        let turn = b.mul(u, phase);
        u_dot = b.sub(u_dot, turn);
        // of the k columns of either
        let phase = first(b, phase, 1, k);
        let shape = b.ty(v).shape.clone();
        let phase = b.broadcast(phase, &shape, &(0..shape.len()).collect::<Shape>());
        let turn = b.mul(v, phase);
        v_dot = b.sub(v_dot, turn);
    }
    let vt_dot = adjoint(b, v_dot);
    Ok(smallvec![Some(s_dot), Some(u_dot), Some(vt_dot)])
}

/// (x - basis inside) / s, 0 where s is.
fn orthogonal_part(b: &mut Builder, x: Value, basis: Value, inside: Value, s: Value) -> Value {
    let along = matmul(b, basis, inside);
    let rest = b.sub(x, along);
    let (m, _) = size(b, x);
    let s = spread(b, s, m, true);
    let zero = b.full_like(s, 0.0);
    let positive = b.compare(Comparison::Gt, s, zero);
    let inverse = reciprocal_where(b, positive, s);
    let inverse = as_like(b, inverse, rest);
    b.mul(rest, inverse)
}

/// P_dot = -P A_dot P + P P^H A_dot^H (1 - A P) + (1 - P A) A_dot^H P^H P, where the rank does not change.
fn jvp_pinv(b: &mut Builder, a: Value, p: Value, t: Value) -> Value {
    let tp = matmul(b, t, p);
    let ptp = matmul(b, p, tp);
    let mut p_dot = b.neg(ptp);
    let (p_t, t_t) = (adjoint(b, p), adjoint(b, t));
    let (ap, pa) = (matmul(b, a, p), matmul(b, p, a));
    let (one_m, one_n) = (identity_like(b, ap), identity_like(b, pa));
    let (off_range, off_rows) = (b.sub(one_m, ap), b.sub(one_n, pa));
    let left = matmul(b, t_t, off_range);
    let left = matmul(b, p_t, left);
    let left = matmul(b, p, left);
    let right = matmul(b, off_rows, t_t);
    let right = matmul(b, right, p_t);
    let right = matmul(b, right, p);
    p_dot = b.add(p_dot, left);
    b.add(p_dot, right)
}

/// In `a`: the form of the next order with one direction more. In tables and directions it is linear.
fn jvp_spectral_form(b: &mut Builder, x: &[Value], t: &[Option<Value>], order: usize) -> Result<Maybe> {
    let op = Op::SpectralForm { order };
    let directions = x.len() - order;
    let mut sum = None;
    if let Some(t_a) = t[0] {
        if directions < 4 {
            let what = format!("a function of a symmetric matrix is differentiated more than {order} times");
            return Err(
                Error::limit("spectral_form", what).help("its divided differences are known to that order only")
            );
        }
        let mut args = x.to_vec();
        args.remove(2);
        args.push(t_a);
        sum = Some(b.op(Op::SpectralForm { order: order + 1 }, &args));
    }
    // only the first table is in the value
    if let Some(t_d) = t[2] {
        let mut args = x.to_vec();
        args[2] = t_d;
        for i in 3..directions {
            args[i] = t[i].unwrap_or_else(|| b.full_like(x[i], 0.0));
        }
        let term = b.op(op.clone(), &args);
        sum = add(b, sum, Some(term));
    }
    for i in directions..x.len() {
        if let Some(t_e) = t[i] {
            let mut args = x.to_vec();
            args[i] = t_e;
            let term = b.op(op.clone(), &args);
            sum = add(b, sum, Some(term));
        }
    }
    Ok(smallvec![sum])
}

pub(super) fn transpose(
    b: &mut Builder,
    op: &Op,
    args: &[Operand],
    _outs: &[Type],
    ct: &[Option<Value>],
) -> Result<Maybe> {
    let mut cts: Maybe = smallvec![None; args.len()];
    let Some(ct) = ct[0] else { return Ok(cts) };
    match op {
        // linear in b: op(a)^T b_bar = ct
        Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal } => {
            let Some(a) = args[0].known() else { return not_linear(op) };
            let (a, transpose_a) = transposed(b, a, *transpose_a);
            let unit_diagonal = *unit_diagonal;
            let solve = Op::TriangularSolve { left_side: *left_side, lower: *lower, transpose_a, unit_diagonal };
            cts[1] = Some(b.op(solve, &[a, ct]));
        }
        Op::LuSolve { transpose_a } => {
            let (Some(a), Some(lu), Some(permutation)) = (args[0].known(), args[1].known(), args[2].known()) else {
                return not_linear(op);
            };
            let (a, _) = transposed(b, a, *transpose_a);
            let (lu, transpose_a) = transposed(b, lu, *transpose_a);
            cts[3] = Some(b.op(Op::LuSolve { transpose_a }, &[a, lu, permutation, ct]));
        }
        Op::SpectralForm { order } => {
            let linear: Vec<usize> = (0..args.len()).filter(|&i| args[i].is_linear()).collect();
            let directions = args.len() - order;
            // <ct, form> is the trace of a product around a circle: the one of ct^T, transposed, takes a direction's place
            if let [i] = linear[..]
                && i >= directions
            {
                let ct = flip(b, ct);
                let operands: Vec<Value> = args.iter().map(|a| a.known().unwrap_or(ct)).collect();
                let bar = b.op(op.clone(), &operands);
                cts[i] = Some(flip(b, bar));
            } else {
                return Err(Error::limit(
                    op.name(),
                    "reverse mode through a value that the function of a symmetric matrix captures",
                )
                .help("differentiate it in forward mode (`jvp`, `jacfwd`)"));
            }
        }
        _ => return not_linear(op),
    }
    Ok(cts)
}

/// A matrix and how to use it for op(a)^T, given `op`.
fn transposed(b: &mut Builder, a: Value, op: Transposition) -> (Value, Transposition) {
    match op {
        Transposition::None => (a, Transposition::Transpose),
        Transposition::Transpose => (a, Transposition::None),
        Transposition::Adjoint => (conjugate(b, a), Transposition::None),
    }
}

/// The same op with one more batch axis. Right-hand sides of one matrix become columns (rows) of one solve.
pub(super) fn batch(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let rhs = match op {
        Op::TriangularSolve { left_side, .. } if !a.batched[0] => Some((1, *left_side)),
        Op::LuSolve { .. } if !a.batched[..3].contains(&true) => Some((3, true)),
        _ => None,
    };
    if let Some((at, columns)) = rhs {
        let x = a.args[at];
        let shape = b.ty(x).shape.clone();
        let rank = shape.len();
        // the batch axis goes in front of the axis of right-hand sides, which takes it in
        let axis = if columns { rank - 2 } else { rank - 3 };
        let moved = move_axis(b, x, 0, axis);
        let split = b.ty(moved).shape.clone();
        let mut joined = split.clone();
        joined[axis] *= joined.remove(axis + 1);
        let mut args = a.args.to_vec();
        args[at] = b.reshape(moved, &joined);
        let y = b.emit(op.clone(), &args)?[0];
        let y = b.reshape(y, &split);
        return Ok(smallvec![move_axis(b, y, axis, 0)]);
    }
    let args = a.materialise_all(b);
    b.emit(op.clone(), &args)
}
