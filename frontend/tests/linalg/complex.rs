//! Complex matrices, and the eigenvalues of general ones.

use super::{differentiable, differentiable_within, near, numbers, of, one, read, same};
use gradloom_frontend::Tensor;
use gradloom_frontend::linalg::*;
use gradloom_frontend::prelude::*;

/// A complex matrix with these parts.
fn complex(shape: &[usize], seed: u32) -> Tensor {
    Tensor::complex(&numbers(shape, seed), &numbers(shape, seed + 1))
}

fn hermitian() -> Tensor {
    let a = complex(&[3, 3], 1);
    a.matmul(&adjoint(&a)) + one(3).to(DType::C128)
}

fn adjoint(a: &Tensor) -> Tensor {
    a.mt().conj()
}

/// Real and imaginary parts in turn.
fn parts(z: &Tensor) -> Tensor {
    Tensor::stack(&[z.real(), z.imag()], -1)
}

#[track_caller]
fn close(got: &Tensor, want: &[f64]) {
    near(&parts(got), want, 1e-12);
}

#[track_caller]
fn equal(got: &Tensor, want: &Tensor) {
    same(&parts(got), &parts(want), 1e-12);
}

#[test]
fn against_numpy() {
    let (a, t, h) = (complex(&[3, 3], 1), complex(&[4, 3], 3), hermitian());
    close(&cholesky(&h), of("COMPLEX_CHOLESKY"));
    equal(&cholesky_upper(&h), &adjoint(&cholesky(&h)));
    let (q, r) = qr(&t);
    close(&q, of("COMPLEX_Q"));
    close(&r, of("COMPLEX_R"));
    near(&svdvals(&t), of("COMPLEX_SINGULAR"), 1e-12);
    near(&eigvalsh(&h), of("COMPLEX_EIGENVALUES"), 1e-12);
    close(&eigvals(&a), of("COMPLEX_GENERAL"));
    close(&solve(&a, &t.slice_axis(0, 0, 3)), of("COMPLEX_SOLVE"));
    close(&pinv(&t), of("COMPLEX_PINV"));
    close(&det(&a), of("COMPLEX_DET"));
    close(&expm(&a), of("COMPLEX_EXP"));
    close(&logm_spd(&h), of("COMPLEX_LOG"));
    let norms = [MatrixNorm::Frobenius, MatrixNorm::Nuclear, MatrixNorm::One].map(|n| matrix_norm(&t, n));
    near(&Tensor::stack(&norms, 0), of("COMPLEX_NORMS"), 1e-12);
    close(&eigvals(&numbers(&[4, 4], 1)), of("GENERAL"));
}

#[test]
fn factors_multiply_back() {
    let (a, t, h) = (complex(&[3, 3], 1), complex(&[4, 3], 3), hermitian());
    let scaled = |u: &Tensor, s: &Tensor| u * s.to(DType::C128).expand_dims(-2);
    for m in [a.clone(), t.clone(), t.mt()] {
        let (u, s, vt) = svd(&m);
        equal(&scaled(&u, &s).matmul(&vt), &m);
        equal(&adjoint(&u).matmul(&u), &one(s.dim(0)).to(DType::C128));
        let (p, l, u) = lu(&m);
        equal(&p.matmul(&l).matmul(&u), &m);
        let (q, r) = qr_full(&m);
        equal(&q.matmul(&r), &m);
        equal(&adjoint(&q).matmul(&q), &one(m.dim(0)).to(DType::C128));
        equal(&r.diag().imag(), &(r.diag().real() * 0.0));
    }
    let (w, v) = eigh(&h);
    equal(&scaled(&v, &w).matmul(&adjoint(&v)), &h);
    let (w, v) = eig(&a);
    equal(&(&v * w.expand_dims(-2)), &a.matmul(&v));
    let (sign, log) = slogdet(&a);
    equal(&(sign * log.exp().to(DType::C128)), &det(&a));
    near(&logdet_spd(&h), &read(&slogdet(&h).1), 1e-12);
    let b = complex(&[3, 2], 9);
    equal(&a.matmul(&inv(&a)).matmul(&b), &b);
    equal(&h.matmul(&cho_solve(&cholesky(&h), &b)), &b);
    equal(&sqrtm_spd(&h).matmul(&sqrtm_spd(&h)), &h);
    let lower = a.tril(0);
    for (kind, m) in [
        (Triangular::lower(), lower.clone()),
        (Triangular::lower().transposed(), lower.mt()),
        (Triangular::lower().adjoint(), adjoint(&lower)),
    ] {
        equal(&m.matmul(&triangular_solve(&a, &b, kind)), &b);
    }
    let v = complex(&[3], 7);
    let outer = v.expand_dims(-1) * v.conj().expand_dims(0);
    equal(&cholesky_update(&cholesky(&h), &v), &cholesky(&(&h + outer)));
    let x = solve_lyapunov_spd(&h, &a);
    equal(&(h.matmul(&x) + x.matmul(&h)), &a);
}

#[test]
fn derivatives() {
    // a complex matrix of real parameters, and a real number of complex results
    let on = |what: &str, f: &dyn Fn(&Tensor) -> Tensor, shape: [usize; 2]| {
        let z = |x: &Tensor| Tensor::complex(x, &(x.sin() * 0.7 + numbers(&shape, 4)));
        let f = |x: &Tensor| {
            let y = f(&z(x));
            if y.dtype().is_complex() { y.real() * 1.3 - y.imag() } else { y }
        };
        differentiable(what, f, &numbers(&shape, 3));
    };
    let shift = one(3).to(DType::C128);
    let definite = |a: &Tensor| a.matmul(&adjoint(a)) + &shift;
    on("cholesky", &|a| cholesky(&definite(a)), [3, 3]);
    on("cholesky_upper", &|a| cholesky_upper(&definite(a)), [3, 3]);
    on("q", &|a| qr(a).0, [4, 3]);
    on("r", &|a| qr(a).1, [3, 3]);
    on("full q", &|a| qr_full(a).0, [4, 2]);
    on("packed", &|a| lu_factor(a).0, [3, 3]);
    on("u", &|a| svd(a).0, [4, 3]);
    on("vt", &|a| svd(a).2, [3, 4]);
    on("singular values", &svdvals, [3, 4]);
    on("eigenvectors", &|a| eigh(&definite(a)).1, [3, 3]);
    on("eigvalsh", &|a| eigvalsh(&definite(a)), [3, 3]);
    on("solve", &|a| solve(a, &adjoint(a)), [3, 3]);
    on("adjoint solve", &|a| triangular_solve(a, &a.square(), Triangular::upper().adjoint()), [3, 3]);
    on("cho_solve", &|a| cho_solve(&cholesky(&definite(a)), a), [3, 3]);
    on("pinv", &pinv, [4, 3]);
    on("det", &det, [4, 4]);
    on("log det", &|a| slogdet(a).1, [3, 3]);
    on("sign of det", &|a| slogdet(a).0, [3, 3]);
    on("expm", &expm, [3, 3]);
    on("logm", &|a| logm_spd(&definite(a)), [3, 3]);
    on("lyapunov", &|a| solve_lyapunov_spd(&definite(a), a), [3, 3]);
    on("frobenius", &|a| matrix_norm(a, MatrixNorm::Frobenius), [3, 2]);
    on("nuclear", &|a| matrix_norm(a, MatrixNorm::Nuclear), [3, 2]);
    on("eigvals", &eigvals, [3, 3]);
    on("general eigenvectors", &|a| eig(a).1, [3, 3]);
    // at the identity, where all eigenvalues are equal
    for f in [logm_spd, sqrtm_spd] {
        let around = |x: &Tensor| {
            let y = f(&(&shift + Tensor::complex(&(x * 0.5), &(x.mt() * 0.3))));
            y.real() * 1.3 - y.imag()
        };
        differentiable("at the identity", around, &(numbers(&[3, 3], 1) * 0.0));
    }
}

#[test]
fn general_eigenvalues() {
    let b = numbers(&[4, 4], 1);
    let (w, v) = eig(&b);
    equal(&b.to(DType::C128).matmul(&v), &(&v * w.expand_dims(-2)));
    equal(&eigvals(&b), &w);
    near(&v.abs().square().sum(0), &[1.0; 4], 1e-13);
    let cubes = |b: &Tensor| {
        let size = eigvals(b).abs();
        (size.square() * size).sum(..)
    };
    near(&grad(cubes)(&b), of("GRAD_GENERAL"), 1e-11);
    differentiable("values", |b: &Tensor| eigvals(b).imag(), &b);
    differentiable_within("vectors", |b: &Tensor| eig(b).1.real(), &b, 1e-6);
    let stack = numbers(&[2, 3, 3], 2);
    equal(&vmap(eigvals)(&stack).i(1), &eigvals(&stack.i(1)));
    equal(&eig(&stack).1.i(0), &eig(&stack.i(0)).1);
    equal(&jit(eigvals).call(&b).unwrap(), &w);
    same(&parts(&jit(eigvals).on(Device::interp()).call(&b).unwrap()), &parts(&w), 1e-10);
    assert_eq!(eig(&Tensor::zeros([2, 0, 0])).1.shape(), [2, 0, 0]);
    assert!(parts(&eigvals(&(b * f64::NAN))).to_vec::<f64>().unwrap().iter().all(|x| x.is_nan()));
    super::says(&eigvals(&numbers(&[2, 3], 1)), &["eigvals", "square"]);
}

#[test]
fn single_precision() {
    let (a, h) = (complex(&[3, 3], 1).to(DType::C64), hermitian().to(DType::C64));
    near(&parts(&cholesky(&h)), of("COMPLEX_CHOLESKY"), 1e-6);
    near(&parts(&det(&a)), of("COMPLEX_DET"), 1e-6);
    near(&parts(&expm(&a)), of("COMPLEX_EXP"), 1e-6);
    near(&eigvalsh(&h), of("COMPLEX_EIGENVALUES"), 1e-6);
    near(&parts(&eigvals(&a)), of("COMPLEX_GENERAL"), 1e-5);
}
