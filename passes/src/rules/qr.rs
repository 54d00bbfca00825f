//! The derivative of QR (Walter, Lehmann and Lamour 2012; Roberts and Roberts 2020; of the full factor arXiv:2409.13374).

use super::Maybe;
use super::linalg::{first, grow, solve_triangular};
use super::matrices::{adjoint, identity_like, masked, matmul, real, size};
use gradloom_ir::{Builder, Comparison, Op, Transposition, Value};
use smallvec::smallvec;

/// Of `a` with m rows, n columns and k the lesser: `q` has k columns, or m if it is the full factor.
pub(super) fn jvp(b: &mut Builder, a: Value, (q, r): (Value, Value), t: Value) -> Maybe {
    let ((m, n), (_, columns)) = (size(b, a), size(b, q));
    if columns <= n {
        let (q_dot, r_dot) = jvp_reduced(b, a, (q, r), t);
        return smallvec![Some(q_dot), Some(r_dot)];
    }
    let (thin, r) = (first(b, q, m, n), first(b, r, n, n));
    let (thin_dot, r_dot) = jvp_reduced(b, a, (thin, r), t);
    let rest_dot = jvp_rest(b, q, thin, thin_dot);
    let axis = b.ty(q).rank().max(2) - 1;
    let q_dot = b.concatenate(&[thin_dot, rest_dot], axis);
    smallvec![Some(q_dot), Some(grow(b, r_dot, m, n))]
}

/// With the leading square block A1 = Q R1 (all columns if there are no more than rows) and C = Q^H A1_dot R1^-1:
/// W = Q^H Q_dot is skew with the lower triangle of C and the imaginary part of its diagonal;
/// Q_dot = A1_dot R1^-1 - Q (C - W); R_dot = Q^H A_dot - W R.
fn jvp_reduced(b: &mut Builder, a: Value, (q, r): (Value, Value), t: Value) -> (Value, Value) {
    let (m, n) = size(b, a);
    let k = m.min(n);
    let (t1, r1) = (first(b, t, m, k), first(b, r, k, k));
    let d = solve_triangular(b, r1, t1, false, false, Transposition::None);
    let q_t = adjoint(b, q);
    let c = matmul(b, q_t, d);
    let below = masked(b, c, Comparison::Gt);
    let above = adjoint(b, below);
    let mut w = b.sub(below, above);
    if b.ty(c).dtype.is_complex() {
        let middle = masked(b, c, Comparison::Eq);
        let re = real(b, middle);
        let re = b.complex(re, None);
        let turn = b.sub(middle, re);
        w = b.add(w, turn);
    }
    let rest = b.sub(c, w);
    let tangential = matmul(b, q, rest);
    let q_dot = b.sub(d, tangential);
    let projected = matmul(b, q_t, t);
    let turned = matmul(b, w, r);
    let r_dot = b.sub(projected, turned);
    // exactly 0 below the diagonal, not only up to rounding
    (q_dot, masked(b, r_dot, Comparison::Le))
}

/// The other columns P of the full factor are those of I + Y Z^H, as reflections make them (Q = I - V T V^H), with
/// Y = Q - I, U = its first rows, Z = Q_below U^-1 over the n columns known. So
/// P_dot = Q_dot Z^H + Y Z_dot^H = Q_dot Z^H - (Q + P Z) (Q_dot_below - Z Q_dot_above)^H, as Y U^-H = -(Q + P Z).
fn jvp_rest(b: &mut Builder, whole: Value, q: Value, q_dot: Value) -> Value {
    let (m, n) = size(b, q);
    let axis = b.ty(q).rank().max(2) - 2;
    let rows = |b: &mut Builder, x: Value| (b.slice_axis(x, axis, 0, n), b.slice_axis(x, axis, n, m));
    let ((above, below), (above_dot, below_dot)) = (rows(b, q), rows(b, q_dot));
    let rest = b.slice_axis(whole, axis + 1, n, m);
    let one = identity_like(b, above);
    let u = b.sub(above, one);
    // U^H Z^H = Q_below^H
    let rhs = adjoint(b, below);
    let factors = match b.emit(Op::Lu {}, &[u]) {
        Ok(factors) => factors,
        Err(e) => {
            b.fail(e);
            return rest;
        }
    };
    let z_t = b.op(Op::LuSolve { transpose_a: Transposition::Adjoint }, &[u, factors[0], factors[2], rhs]);
    let z = adjoint(b, z_t);
    let straight = matmul(b, q_dot, z_t);
    let turned = matmul(b, rest, z);
    let turned = b.add(q, turned);
    let inner = matmul(b, z, above_dot);
    let inner = b.sub(below_dot, inner);
    let inner = adjoint(b, inner);
    let turned = matmul(b, turned, inner);
    b.sub(straight, turned)
}
