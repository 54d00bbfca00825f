//! Repeated eigenvalues, repeated singular values, singular matrices: derivatives are right where there are any, and
//! finite where there are none.

use super::{definite, differentiable, differentiable_within, near, numbers, one, read, same};
use gradloom_frontend::Tensor;
use gradloom_frontend::linalg::*;
use gradloom_frontend::prelude::*;

/// A symmetric matrix with eigenvalues 2, 2, 5.
fn repeated() -> Tensor {
    let q = qr(&numbers(&[3, 3], 4)).0;
    (&q * Tensor::from_vec(vec![2.0f64, 2.0, 5.0])).matmul(&q.mt())
}

#[test]
fn functions_of_symmetric_matrices() {
    for (what, s) in [("identity", one(3)), ("3 identity", one(3) * 3.0), ("repeated", repeated())] {
        differentiable(&format!("logm at {what}"), logm_spd, &s);
        differentiable(&format!("sqrtm at {what}"), sqrtm_spd, &s);
        differentiable(&format!("inv_sqrtm at {what}"), inv_sqrtm_spd, &s);
        differentiable(&format!("powm at {what}"), |s: &Tensor| powm_spd(s, -1.3), &s);
        differentiable(&format!("exp at {what}"), |s: &Tensor| spd_function(s, Tensor::exp), &s);
        differentiable(&format!("lyapunov at {what}"), |s: &Tensor| solve_lyapunov_spd(s, &numbers(&[3, 3], 6)), &s);
    }
    // eigenvalues 1 and 1 + e, where difference quotients would lose all digits
    for gap in [1e-14, 1e-12, 1e-9, 1e-6, 1e-3] {
        let s = Tensor::from_vec(vec![1.0, 1.0 + gap, 1.0 - 2.0 * gap]).diag();
        differentiable(&format!("logm at gap {gap}"), logm_spd, &s);
    }
    // far apart and close to 0
    let s = Tensor::from_vec(vec![1e-3, 2e-3, 40.0]).diag();
    let t = one(3).eq(1.0).select(numbers(&[3, 3], 1) * 1e-4, 1e-3);
    let (_, slope) = jvp(logm_spd, &s, &t);
    let log = |x: f64, y: f64| if x == y { 1.0 / x } else { (x.ln() - y.ln()) / (x - y) };
    let w = [1e-3, 2e-3, 40.0];
    let want: Vec<f64> = read(&t).iter().enumerate().map(|(k, t)| t * log(w[k / 3], w[k % 3])).collect();
    near(&slope, &want, 1e-13);
}

/// d log = d at the identity, d^2 log = -2 d^2; d sqrt = d / 2, d^2 sqrt = -d^2 / 4 there.
#[test]
fn closed_forms_at_the_identity() {
    let d = definite(&[3, 3], 1);
    let second = |f: fn(&Tensor) -> Tensor| jvp(|s: &Tensor| jvp(f, s, &d).1, &one(3), &d).1;
    same(&jvp(logm_spd, &one(3), &d).1, &d, 1e-12);
    same(&second(logm_spd), &-d.matmul(&d), 1e-11);
    same(&jvp(sqrtm_spd, &one(3), &d).1, &(&d * 0.5), 1e-12);
    same(&second(sqrtm_spd), &(d.matmul(&d) * -0.25), 1e-12);
    same(&grad(|s: &Tensor| logm_spd(s).sum(..))(&one(3)), &(one(3) * 0.0 + 1.0), 1e-12);
    // the Hessian of tr sqrt at the identity: -1/4 of the identity on symmetric matrices
    let h = hessian(|s: &Tensor| trace(&sqrtm_spd(s)))(&one(2));
    let e = -0.25;
    near(&h, &[e, 0., 0., 0., 0., e / 2., e / 2., 0., 0., e / 2., e / 2., 0., 0., 0., 0., e], 1e-12);
    let h = hessian(|s: &Tensor| logm_spd(s).sum(..))(&one(2));
    let mix = |s: &Tensor| -> Tensor { (h.clone() * s.expand_dims([0, 1]) * s.expand_dims([2, 3])).sum(..) };
    let d = definite(&[2, 2], 3);
    near(&mix(&d), &[-read(&d.matmul(&d).sum(..))[0]], 1e-12);
}

#[test]
fn sums_of_eigenvalues_and_singular_values() {
    for s in [one(3), repeated(), one(3) * 0.0] {
        differentiable("sum of eigenvalues", |s: &Tensor| eigvalsh(s).sum(-1), &s);
        same(&grad(|s: &Tensor| eigvalsh(s).sum(..))(&s), &one(3), 1e-12);
        near(&hessian(|s: &Tensor| eigvalsh(s).sum(..))(&s), &[0.0; 81], 1e-12);
    }
    let q = qr(&numbers(&[4, 3], 2)).0;
    for a in [one(3), repeated(), q.clone(), q.mt(), q.matmul(&repeated())] {
        differentiable("nuclear norm", |a: &Tensor| matrix_norm(a, MatrixNorm::Nuclear), &a);
    }
}

/// Of vectors at repeated values there is no derivative, but a number.
#[test]
fn vectors_stay_finite() {
    let finite = |what: &str, f: &dyn Fn(&Tensor) -> Tensor, x: &Tensor| {
        let g = grad(|x: &Tensor| f(x).sum(..))(x);
        assert!(read(&g).iter().all(|x| x.is_finite()), "{what}: {g}");
        let h = hessian(|x: &Tensor| f(x).sum(..))(x);
        assert!(read(&h).iter().all(|x| x.is_finite()), "{what}: {h}");
    };
    for s in [one(3), repeated(), one(3) * 0.0] {
        finite("eigenvectors", &|s| eigh(s).1, &s);
        finite("left vectors", &|s| svd(s).0, &s);
        finite("right vectors", &|s| svd(s).2, &s);
        finite("eigenvalues", &eigvalsh, &s);
        finite("singular values", &svdvals, &s);
    }
    finite("frobenius at 0", &|a| matrix_norm(a, MatrixNorm::Frobenius), &(one(3) * 0.0));
    finite("two-norm at 0", &|a| vector_norm(a, 2.0, -1), &(one(3) * 0.0));
    finite("tall of rank one", &|a| svd(a).0, &(numbers(&[3, 2], 1) * 0.0 + 1.0));
}

/// Pseudo-inverses at repeated singular values, and of matrices short of rank in directions that keep it.
#[test]
fn pseudo_inverses() {
    let q = qr(&numbers(&[4, 3], 2)).0;
    for a in [one(3), repeated(), q.clone(), q.mt()] {
        differentiable("pinv", pinv, &a);
        differentiable("lstsq", |a: &Tensor| lstsq(a, &numbers(&[a.dim(0), 2], 3)), &a);
    }
    let (x, y) = (numbers(&[4, 2], 1), numbers(&[2, 3], 2));
    differentiable("pinv of rank two", |x: &Tensor| pinv(&x.matmul(&y)), &x);
    let p = pinv(&x.matmul(&y));
    same(&x.matmul(&y).matmul(&p).matmul(&x.matmul(&y)), &x.matmul(&y), 1e-12);
}

/// The determinant is a polynomial: its derivatives do not care about rank.
#[test]
fn singular_determinants() {
    for n in [1, 2, 3, 4, 5, 7] {
        differentiable("det at 0", det, &(one(n) * 0.0));
        for rank in 1..=n {
            let a = numbers(&[n, rank], 3).matmul(&numbers(&[rank, n], 4));
            differentiable_within(&format!("det of rank {rank} of {n}"), det, &a, 1e-6);
        }
    }
    // beyond the polynomial: rank one less than full
    let n = 20;
    let a = Tensor::from_vec((0..n).map(|i| f64::from(i) / 10.0).collect::<Vec<_>>()).diag();
    let g = grad(det)(&a);
    let want: f64 = (1..n).map(|i| f64::from(i) / 10.0).product();
    assert!((read(&g)[0] - want).abs() < 1e-12 * want);
    assert_eq!(read(&det(&a)), [0.0]);
    let (sign, log) = slogdet(&a);
    assert_eq!((read(&sign)[0], read(&log)[0]), (0.0, f64::NEG_INFINITY));
}
