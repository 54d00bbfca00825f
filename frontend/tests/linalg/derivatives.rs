//! First and second derivatives against differences and JAX's.

use super::{definite, differentiable, differentiable_within, near, numbers, of, one, read};
use gradloom_frontend::Tensor;
use gradloom_frontend::linalg::*;
use gradloom_frontend::prelude::*;

#[test]
fn factors() {
    let (s, t) = (definite(&[3, 3], 1), numbers(&[4, 3], 2));
    differentiable("cholesky", cholesky, &s);
    differentiable("cholesky_upper", cholesky_upper, &s);
    for m in [numbers(&[3, 3], 1), t.clone(), t.mt()] {
        differentiable("q", |m: &Tensor| qr(m).0, &m);
        differentiable("r", |m: &Tensor| qr(m).1, &m);
        differentiable("full q", |m: &Tensor| qr_full(m).0, &m);
        differentiable("full r", |m: &Tensor| qr_full(m).1, &m);
        differentiable("packed lu", |m: &Tensor| lu_factor(m).0, &m);
        differentiable("l", |m: &Tensor| lu(m).1, &m);
        differentiable("svdvals", svdvals, &m);
        differentiable("u", |m: &Tensor| svd(m).0, &m);
        differentiable("vt", |m: &Tensor| svd(m).2, &m);
        differentiable("pinv", pinv, &m);
    }
    differentiable("eigvalsh", eigvalsh, &s);
    differentiable("eigenvectors", |s: &Tensor| eigh(s).1, &s);
}

#[test]
fn solutions() {
    let (a, b) = (numbers(&[3, 3], 3) + one(3) * 2.0, numbers(&[3, 2], 4));
    differentiable("solve in a", |a: &Tensor| solve(a, &b), &a);
    differentiable("solve in b", |b: &Tensor| solve(&a, b).square(), &b);
    differentiable("inv", inv, &a);
    differentiable(
        "lu_solve",
        |a: &Tensor| {
            let (packed, _, permutation) = lu_factor(a);
            lu_solve(&packed, &permutation, &b)
        },
        &a,
    );
    for kind in [Triangular::lower(), Triangular::upper().transposed(), Triangular::lower().unit_diagonal()] {
        differentiable("triangular_solve", |a: &Tensor| triangular_solve(a, &b, kind), &a);
    }
    differentiable("cho_solve", |s: &Tensor| cho_solve(&cholesky(s), &b), &definite(&[3, 3], 2));
    let t = numbers(&[4, 3], 5);
    differentiable("lstsq in a", |t: &Tensor| lstsq(t, &numbers(&[4, 2], 6)), &t);
    differentiable("lstsq in a wide a", |t: &Tensor| lstsq(t, &b), &t.mt());
    let c = numbers(&[3, 3], 7);
    differentiable("sylvester", |a: &Tensor| solve_sylvester(a, &(a.mt() + one(3)), &c), &a);
    differentiable("lyapunov in a", |s: &Tensor| solve_lyapunov_spd(s, &c), &definite(&[3, 3], 3));
    differentiable("lyapunov in c", |c: &Tensor| solve_lyapunov_spd(&definite(&[3, 3], 3), c).square(), &c);
    differentiable("sylvester_spd", |s: &Tensor| solve_sylvester_spd(s, &(s + one(3)), &c), &definite(&[3, 3], 3));
    let (l, u) = (numbers(&[4], 1), numbers(&[4], 2));
    let tridiagonal = |d: &Tensor| tridiagonal_solve(&l, d, &(&u * d), &t);
    differentiable("tridiagonal_solve", tridiagonal, &(numbers(&[4], 3) + 4.0));
    differentiable(
        "toeplitz",
        |c: &Tensor| solve_toeplitz(c, &u, &t),
        &(&l + Tensor::eye(4).slice_axis(0, 0, 1).squeeze(0).to(DType::F64) * 5.0),
    );
}

#[test]
fn numbers_of_a_matrix() {
    for n in [1, 2, 3, 4, 5] {
        let a = numbers(&[n, n], 3) + one(n);
        differentiable("det", det, &a);
        differentiable("logdet", |a: &Tensor| slogdet(a).1, &(&a + one(n) * 3.0));
    }
    differentiable("logdet_spd", logdet_spd, &definite(&[3, 3], 3));
    let t = numbers(&[4, 3], 5);
    for norm in [
        MatrixNorm::Frobenius,
        MatrixNorm::Nuclear,
        MatrixNorm::One,
        MatrixNorm::MinOne,
        MatrixNorm::Two,
        MatrixNorm::MinTwo,
        MatrixNorm::Inf,
        MatrixNorm::MinInf,
    ] {
        differentiable(&format!("{norm:?}"), |t: &Tensor| matrix_norm(t, norm), &t);
    }
    for p in [1.0, 2.0, 3.5, f64::INFINITY] {
        differentiable(&format!("vector norm {p}"), |t: &Tensor| vector_norm(t, p, -1), &t);
    }
    differentiable("condition number", condition_number, &(numbers(&[3, 3], 3) + one(3)));
}

#[test]
fn functions_of_a_matrix() {
    let (a, s) = (numbers(&[3, 3], 1), definite(&[3, 3], 2));
    differentiable("expm", expm, &a);
    differentiable("expm with squaring", |a: &Tensor| expm(&(a * 6.0)).asinh(), &a);
    differentiable("logm", logm_spd, &s);
    differentiable("sqrtm", sqrtm_spd, &s);
    differentiable("inv_sqrtm", inv_sqrtm_spd, &s);
    differentiable("powm", |s: &Tensor| powm_spd(s, 1.7), &s);
    differentiable("tanh", |s: &Tensor| spd_function(s, Tensor::tanh), &s);
    differentiable("matrix_power", |a: &Tensor| matrix_power(a, 3), &a);
    differentiable("matrix_power", |a: &Tensor| matrix_power(a, -2), &(&a + one(3) * 2.0));
    differentiable("kron", |a: &Tensor| kron(a, &a.mt()), &a);
    differentiable("block_diag", |a: &Tensor| block_diag(&[a, &a.square()]), &a);
    differentiable("multi_dot", |a: &Tensor| multi_dot(&[a, &a.mt(), a]), &a);
    differentiable("cholesky_update", |a: &Tensor| cholesky_update(&(a.tril(-1) + one(3) * 2.0), &a.sum(0)), &a);
}

/// Batches, with the matrices of a batch not mixed.
#[test]
fn batches() {
    let (s, t) = (definite(&[2, 3, 3], 1), numbers(&[2, 4, 3], 2));
    differentiable("cholesky", cholesky, &s);
    differentiable("lu", |t: &Tensor| lu_factor(t).0, &t);
    differentiable("qr", |t: &Tensor| qr(t).0, &t);
    differentiable("svd", |t: &Tensor| svd(t).0, &t);
    differentiable("eigh", |s: &Tensor| eigh(s).1, &s);
    differentiable("pinv", pinv, &t);
    differentiable("solve", |s: &Tensor| solve(s, &numbers(&[3, 2], 3)), &s);
    differentiable("solve many with one", |m: &Tensor| solve(m, &numbers(&[5, 3, 2], 3)), &definite(&[3, 3], 1));
    differentiable("det", det, &definite(&[2, 4, 4], 1));
    differentiable("logm", logm_spd, &s);
    differentiable("expm", expm, &numbers(&[2, 3, 3], 3));
    differentiable("sylvester", |s: &Tensor| solve_sylvester(s, &one(2), &numbers(&[2, 3, 2], 3)), &s);
}

fn double(x: f64) -> Tensor {
    Tensor::from_slice((), &[x])
}

/// The exponent of a power may be a parameter, in forward mode.
#[test]
fn captured_parameters() {
    let s = definite(&[3, 3], 2);
    let power = |p: &Tensor| (spd_function(&s, |w| w.pow(p)) * numbers(&[3, 3], 4)).sum(..);
    let p = double(0.6);
    let (_, slope) = jvp(power, &p, &double(1.0));
    let at = |p: f64| read(&power(&double(p)))[0];
    let want = (at(0.6 + 1e-5) - at(0.6 - 1e-5)) / 2e-5;
    near(&slope, &[want], 1e-9);
    // mixed: in the exponent, then in the matrix
    let both = |p: &Tensor, s: &Tensor| (spd_function(s, |w| w.pow(p)) * numbers(&[3, 3], 4)).sum(..);
    let in_p = |s: &Tensor| jvp(|p: &Tensor| both(p, s), &p, &double(1.0)).1;
    differentiable_within("in the exponent", in_p, &s, 1e-6);
    let e = grad(power)(&p);
    super::says(&e, &["captures", "forward mode"]);
}

#[test]
fn third_derivatives() {
    let s = definite(&[2, 2], 2);
    let thrice = |f: fn(&Tensor) -> Tensor| {
        let t = one(2);
        let d1 = move |s: &Tensor| jvp(f, s, &one(2)).1;
        let d2 = move |s: &Tensor| jvp(d1, s, &one(2)).1;
        jvp(d2, &s, &t).1
    };
    // of the square root along the identity: 3/8 s^(-5/2)
    super::same(&thrice(sqrtm_spd), &(powm_spd(&s, -2.5) * 0.375), 1e-9);
    super::says(&thrice(logm_spd), &["more than 2 times"]);
}

#[test]
fn against_jax() {
    let (a, t, s) = (numbers(&[4, 4], 1), numbers(&[4, 3], 2), definite(&[4, 4], 1));
    let cube = |x: &Tensor| x * x * x;
    let fourth = |x: &Tensor| x.square().square() * Tensor::iota([x.dim(-1)], 0, DType::F64);
    near(&grad(|a: &Tensor| inv(a).square().sum(..))(&a), of("GRAD_INV"), 1e-9);
    let of_qr = |t: &Tensor| {
        let (q, r) = qr(t);
        (q.sin() + r.sum(..).square()).sum(..)
    };
    near(&grad(of_qr)(&t), of("GRAD_QR"), 1e-11);
    near(&grad(|s: &Tensor| cube(&cholesky(s)).sum(..))(&s), of("GRAD_CHOLESKY"), 1e-11);
    near(&grad(|s: &Tensor| fourth(&eigh(s).1).sum(..))(&s), of("GRAD_EIGH"), 1e-11);
    near(&grad(|t: &Tensor| fourth(&svd(t).0).sum(..))(&t), of("GRAD_SVD"), 1e-11);
    near(&grad(|t: &Tensor| cube(&pinv(t)).sum(..))(&t), of("GRAD_PINV"), 1e-11);
    near(&grad(|a: &Tensor| expm(a).square().sum(..))(&a), of("GRAD_EXP"), 1e-11);
    let top = t.slice_axis(0, 0, 3);
    near(&hessian(|m: &Tensor| slogdet(m).1)(&top), of("HESSIAN_LOG_DET"), 1e-9);
}
