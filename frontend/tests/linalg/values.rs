use super::{definite, near, numbers, of, one, read, same};
use gradloom_frontend::Tensor;
use gradloom_frontend::linalg::*;
use gradloom_frontend::prelude::{DType, einsum};

fn a() -> Tensor {
    numbers(&[4, 4], 1)
}
fn tall() -> Tensor {
    numbers(&[4, 3], 2)
}
fn wide() -> Tensor {
    numbers(&[3, 4], 3)
}
fn spd() -> Tensor {
    definite(&[4, 4], 1)
}

const TIGHT: f64 = 1e-12;

#[test]
fn factors() {
    near(&cholesky(&spd()), of("CHOLESKY"), TIGHT);
    same(&cholesky_upper(&spd()), &cholesky(&spd()).mt(), TIGHT);
    let matrices = [a(), tall(), wide()];
    let qs: [(&[f64], &[f64]); 3] = [(of("Q_A"), of("R_A")), (of("Q_T"), of("R_T")), (of("Q_W"), of("R_W"))];
    let lus: [(&[f64], &[f64], &[f64]); 3] = [
        (of("LU_A"), of("PIVOTS_A"), of("PERMUTATION_A")),
        (of("LU_T"), of("PIVOTS_T"), of("PERMUTATION_T")),
        (of("LU_W"), of("PIVOTS_W"), of("PERMUTATION_W")),
    ];
    let values: [(&[f64], &[f64]); 3] =
        [(of("SINGULAR_A"), of("PINV_A")), (of("SINGULAR_T"), of("PINV_T")), (of("SINGULAR_W"), of("PINV_W"))];
    for (i, m) in matrices.iter().enumerate() {
        let (q, r) = qr(m);
        near(&q, qs[i].0, TIGHT);
        near(&r, qs[i].1, TIGHT);
        let (packed, pivots, permutation) = lu_factor(m);
        near(&packed, lus[i].0, TIGHT);
        near(&pivots, lus[i].1, 0.0);
        near(&permutation, lus[i].2, 0.0);
        near(&svdvals(m), values[i].0, TIGHT);
        near(&pinv(m), values[i].1, TIGHT);
        let (p, l, u) = lu(m);
        same(&p.matmul(&l).matmul(&u), m, TIGHT);
        let (u, s, vt) = svd(m);
        same(&(&u * s.expand_dims(-2)).matmul(&vt), m, TIGHT);
        let k = s.dim(0);
        same(&u.mt().matmul(&u), &one(k), TIGHT);
        same(&vt.matmul(&vt.mt()), &one(k), TIGHT);
        let (u, _, vt) = svd_full(m);
        same(&u.matmul(&u.mt()), &one(m.dim(0)), TIGHT);
        same(&vt.mt().matmul(&vt), &one(m.dim(1)), TIGHT);
        let (q, r) = qr_full(m);
        assert_eq!(q.shape(), [m.dim(0), m.dim(0)]);
        same(&q.matmul(&r), m, TIGHT);
        same(&q.mt().matmul(&q), &one(m.dim(0)), TIGHT);
    }
    near(&eigvalsh(&spd()), of("EIGENVALUES"), TIGHT);
    let (w, v) = eigh(&spd());
    same(&(&v * w.expand_dims(-2)).matmul(&v.mt()), &spd(), TIGHT);
    near(&w, of("EIGENVALUES"), TIGHT);
}

/// Only the symmetric part counts.
#[test]
fn symmetric_part() {
    let skewed = spd() + numbers(&[4, 4], 9) - numbers(&[4, 4], 9).mt();
    same(&cholesky(&skewed), &cholesky(&spd()), TIGHT);
    same(&eigvalsh(&skewed), &eigvalsh(&spd()), TIGHT);
    same(&sqrtm_spd(&skewed), &sqrtm_spd(&spd()), TIGHT);
}

#[test]
fn solutions() {
    near(&solve(&a(), &tall()), of("SOLVE"), 1e-11);
    near(&lstsq(&tall(), &a()), of("LSTSQ_T"), TIGHT);
    near(&lstsq(&wide(), &tall().slice_axis(0, 0, 3)), of("LSTSQ_W"), TIGHT);
    same(&a().matmul(&inv(&a())), &one(4), 1e-11);
    let l = cholesky(&spd());
    same(&cho_solve(&l, &tall()), &solve(&spd(), &tall()), TIGHT);
    same(&solve_spd(&spd(), &tall()), &solve(&spd(), &tall()), TIGHT);
    let (packed, _, permutation) = lu_factor(&a());
    near(&lu_solve(&packed, &permutation, &tall()), of("SOLVE"), 1e-11);
    let b = numbers(&[4], 8);
    same(&a().matmul(&solve(&a(), &b)), &b, TIGHT);
    let t = a() + one(4) * 3.0;
    for (kind, m) in [
        (Triangular::lower(), t.tril(0)),
        (Triangular::upper(), t.triu(0)),
        (Triangular::lower().transposed(), t.tril(0).mt()),
        (Triangular::upper().transposed(), t.triu(0).mt()),
        (Triangular::lower().unit_diagonal(), t.tril(-1) + one(4)),
        (Triangular::upper().unit_diagonal().transposed(), t.triu(1).mt() + one(4)),
    ] {
        same(&m.matmul(&triangular_solve(&t, &tall(), kind)), &tall(), TIGHT);
        same(&m.matmul(&triangular_solve(&t, &b, kind)), &b, TIGHT);
    }
    let (left, right) = (a() + one(4) * 4.0, a().slice_axis(0, 0, 3).slice_axis(1, 0, 3) + one(3) * 4.0);
    near(&solve_sylvester(&left, &right, &tall()), of("SYLVESTER"), TIGHT);
    near(&solve_lyapunov_spd(&spd(), &a()), of("LYAPUNOV"), TIGHT);
    let (p, q) = (definite(&[4, 4], 4), definite(&[3, 3], 5));
    let x = solve_sylvester_spd(&p, &q, &tall());
    same(&(p.matmul(&x) + x.matmul(&q)), &tall(), TIGHT);
    let (column, row) = (Tensor::from_vec(vec![4.0, 1.0, 0.5, 0.25]), Tensor::from_vec(vec![4.0, -1.0, 2.0, 0.3]));
    near(&solve_toeplitz(&column, &row, &tall()), of("TOEPLITZ"), TIGHT);
}

#[test]
fn tridiagonal() {
    let (l, d, u) = (numbers(&[2, 5], 1), numbers(&[2, 5], 2) + 4.0, numbers(&[2, 5], 3));
    let b = numbers(&[2, 5, 3], 4);
    let x = tridiagonal_solve(&l, &d, &u, &b);
    for k in 0..2usize {
        let dense = d.i(k).diag() + shifted(&l.i(k), true) + shifted(&u.i(k), false);
        same(&dense.matmul(&x.i(k)), &b.i(k), TIGHT);
        let y = tridiagonal_solve(&l.i(k), &d.i(k), &u.i(k), &b.i((k, .., 0)));
        same(&y, &x.i((k, .., 0)), TIGHT);
    }
}

/// A diagonal beside the main one, in the convention of `tridiagonal_solve`.
fn shifted(x: &Tensor, lower: bool) -> Tensor {
    let n = x.dim(0);
    if lower {
        x.slice_axis(0, 1, n).diag().pad(&[(1, 0), (0, 1)], 0.0)
    } else {
        x.slice_axis(0, 0, n - 1).diag().pad(&[(0, 1), (1, 0)], 0.0)
    }
}

#[test]
fn numbers_of_a_matrix() {
    near(&det(&a()), of("DET"), TIGHT);
    let (sign, log) = slogdet(&a());
    near(&sign, of("SIGN"), 0.0);
    near(&log, of("LOG_DET"), TIGHT);
    near(&logdet_spd(&spd()), &read(&slogdet(&spd()).1), TIGHT);
    let norms = [
        MatrixNorm::Frobenius,
        MatrixNorm::Nuclear,
        MatrixNorm::One,
        MatrixNorm::MinOne,
        MatrixNorm::Two,
        MatrixNorm::MinTwo,
        MatrixNorm::Inf,
        MatrixNorm::MinInf,
    ];
    for (norm, want) in norms.into_iter().zip(of("NORMS")) {
        near(&matrix_norm(&tall(), norm), &[*want], TIGHT);
    }
    near(&condition_number(&a()), of("COND"), 1e-10);
    let rank_two = tall().slice_axis(1, 0, 2).matmul(&wide().slice_axis(0, 0, 2));
    assert_eq!(read(&matrix_rank(&rank_two)), [2.0]);
    assert_eq!(read(&matrix_rank(&Tensor::zeros([2, 3, 3]))), [0.0, 0.0]);
    let v = Tensor::from_vec(vec![3.0f64, 0.0, -4.0]);
    let norm = |p: f64| read(&vector_norm(&v, p, ..))[0];
    for (p, want) in [(1.0, 7.0), (2.0, 5.0), (f64::INFINITY, 4.0), (f64::NEG_INFINITY, 0.0), (0.0, 2.0)] {
        assert_eq!(norm(p), want, "{p}");
    }
    assert!((norm(3.0) - 91f64.cbrt()).abs() < 1e-12);
    near(&trace(&a()), &[read(&a().diag()).iter().sum()], TIGHT);
}

#[test]
fn functions_of_a_matrix() {
    near(&expm(&a()), of("EXP"), TIGHT);
    near(&expm(&(a() * 9.0)), of("EXP_OF_9A"), 1e-11);
    near(&logm_spd(&spd()), of("LOG"), TIGHT);
    near(&sqrtm_spd(&spd()), of("SQRT"), TIGHT);
    near(&powm_spd(&spd(), -0.3), of("POWER"), TIGHT);
    same(&inv_sqrtm_spd(&spd()).matmul(&sqrtm_spd(&spd())), &one(4), TIGHT);
    same(&spd_function(&spd(), Tensor::exp), &expm(&spd()), 1e-11);
    same(&expm(&Tensor::stack(&[a(), a() * 40.0, a() * 0.0], 0)).i(0), &expm(&a()), TIGHT);
    same(&expm(&(one(3) * -1e6)), &(one(3) * 0.0), 0.0);
    // a nilpotent matrix, with the largest norm there is room for
    let n = Tensor::from_slice([2, 2], &[0.0, 8e7, 0.0, 0.0]);
    near(&expm(&n), &[1.0, 8e7, 0.0, 1.0], TIGHT);
    near(&expm(&(n * 1e6)), &[f64::NAN; 4], 0.0);
}

#[test]
fn products() {
    let x = a();
    same(&matrix_power(&x, 5), &x.matmul(&x).matmul(&x).matmul(&x).matmul(&x), TIGHT);
    same(&matrix_power(&x, 0), &one(4), 0.0);
    same(&matrix_power(&x, -2).matmul(&x).matmul(&x), &one(4), 1e-9);
    let (p, q) = (tall().slice_axis(0, 0, 2).slice_axis(1, 0, 2), wide().slice_axis(0, 0, 1).slice_axis(1, 0, 2));
    near(&kron(&p, &q), of("KRON"), TIGHT);
    let f: Vec<Tensor> = [[3, 9], [9, 2], [2, 7], [7, 1]].iter().map(|s| numbers(s, 6)).collect();
    let [w, x, y, z] = &f[..] else { unreachable!() };
    same(&multi_dot(&[w, x, y, z]), &w.matmul(x).matmul(y).matmul(z), TIGHT);
    let (l, r) = (numbers(&[3], 1), numbers(&[2], 2));
    same(&multi_dot(&[&l, w, x, &r]), &einsum("i,ij,jk,k->", &[&l, w, x, &r]), TIGHT);
    let b = block_diag(&[&p, &tall()]);
    assert_eq!(b.shape(), [6, 5]);
    same(&b.slice_axis(0, 2, 6).slice_axis(1, 2, 5), &tall(), 0.0);
    same(&b.slice_axis(0, 0, 2).slice_axis(1, 2, 5), &Tensor::zeros([2, 3]), 0.0);
    let v = numbers(&[4], 7);
    let updated = cholesky_update(&cholesky(&spd()), &v);
    same(&updated, &cholesky(&(spd() + v.outer(&v))), TIGHT);
}

/// f32 goes its own way through every kernel.
#[test]
fn single_precision() {
    let single = |t: &Tensor| t.to(DType::F32);
    let (m, s, t) = (single(&a()), single(&spd()), single(&tall()));
    near(&cholesky(&s), of("CHOLESKY"), 1e-6);
    near(&qr(&m).0, of("Q_A"), 1e-4);
    near(&svdvals(&t), of("SINGULAR_T"), 1e-6);
    near(&eigvalsh(&s), of("EIGENVALUES"), 1e-6);
    near(&pinv(&t), of("PINV_T"), 1e-5);
    near(&solve(&m, &t), of("SOLVE"), 1e-4);
    near(&expm(&m), of("EXP"), 1e-6);
    near(&logm_spd(&s), of("LOG"), 1e-6);
    near(&sqrtm_spd(&s), of("SQRT"), 1e-6);
    near(&det(&m), of("DET"), 1e-6);
}
