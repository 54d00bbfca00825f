//! Shapes that are empty, of one element, or wrong; numbers that are none.

use super::{near, numbers, one, read, says};
use gradloom_frontend::Tensor;
use gradloom_frontend::linalg::*;
use gradloom_frontend::prelude::*;

type Function = (&'static str, fn(&Tensor) -> Tensor);

/// Every function of one square matrix.
const SQUARE: [Function; 18] = [
    ("cholesky", cholesky),
    ("cholesky_upper", cholesky_upper),
    ("eigh", |a| eigh(a).1),
    ("eigvalsh", eigvalsh),
    ("inv", inv),
    ("det", det),
    ("slogdet", |a| slogdet(a).1),
    ("logdet_spd", logdet_spd),
    ("expm", expm),
    ("spd_function", |a| spd_function(a, Tensor::exp)),
    ("spd_function", logm_spd),
    ("sqrtm_spd", sqrtm_spd),
    ("matrix_power", |a| matrix_power(a, 3)),
    ("solve", |a| solve(a, a)),
    ("triangular_solve", |a| triangular_solve(a, a, Triangular::lower())),
    ("cho_solve", |a| cho_solve(a, a)),
    ("solve_lyapunov_spd", |a| solve_lyapunov_spd(a, a)),
    ("solve_sylvester", |a| solve_sylvester(a, a, a)),
];

/// Every function of one matrix of any shape.
const ANY: [Function; 14] = [
    ("qr", |a| qr(a).0),
    ("qr_full", |a| qr_full(a).1),
    ("lu", |a| lu(a).1),
    ("lu_factor", |a| lu_factor(a).0),
    ("svd", |a| svd(a).0),
    ("svd_full", |a| svd_full(a).2),
    ("svdvals", svdvals),
    ("pinv", pinv),
    ("lstsq", |a| lstsq(a, a)),
    ("matrix_rank", |a| matrix_rank(a).to(DType::F64)),
    ("trace", trace),
    ("kron", |a| kron(a, a)),
    ("block_diag", |a| block_diag(&[a, a])),
    ("matrix_norm", |a| matrix_norm(a, MatrixNorm::Two)),
];

#[test]
fn one_element() {
    let a = Tensor::from_slice([1, 1], &[4.0f64]);
    let want = [
        2.,
        2.,
        1.,
        4.,
        0.25,
        4.,
        4f64.ln(),
        4f64.ln(),
        4f64.exp(),
        4f64.exp(),
        4f64.ln(),
        2.,
        64.,
        1.,
        1.,
        0.25,
        0.5,
        0.5,
    ];
    for ((name, f), want) in SQUARE.iter().zip(want) {
        let got = read(&f(&a));
        assert!(got.len() == 1 && (got[0] - want).abs() < 1e-13 * want.abs().max(1.0), "{name}: {got:?}, not {want}");
    }
    let want = [1., 4., 1., 4., 1., 1., 4., 0.25, 1., 1., 4., 16., 4., 4.];
    for ((name, f), want) in ANY.iter().zip(want) {
        let got = read(&f(&a))[0];
        assert!((got - want).abs() < 1e-13 || (*name == "qr_full" && got == 4.0), "{name}: {got}, not {want}");
    }
}

#[test]
fn empty() {
    for shape in [&[0usize, 0][..], &[0, 3, 3], &[2, 0, 0], &[2, 0, 1, 1]] {
        let a = Tensor::zeros(shape).to(DType::F64);
        for (name, f) in SQUARE.iter().chain(&ANY) {
            let y = f(&a);
            y.check().unwrap_or_else(|e| panic!("{name} of {shape:?}: {e}"));
            let g = grad(|a: &Tensor| f(a).sum(..))(&a);
            if !matches!(*name, "qr_full" | "svd_full" | "matrix_rank") {
                g.check().unwrap_or_else(|e| panic!("gradient of {name} of {shape:?}: {e}"));
                assert_eq!(g.shape(), shape);
            }
        }
    }
    for shape in [[0, 3], [3, 0]] {
        let a = Tensor::zeros(shape).to(DType::F64);
        for (name, f) in ANY {
            f(&a).check().unwrap_or_else(|e| panic!("{name} of {shape:?}: {e}"));
        }
        assert_eq!(pinv(&a).shape(), [shape[1], shape[0]]);
        assert_eq!(read(&matrix_norm(&a, MatrixNorm::Nuclear)), [0.0]);
    }
    assert_eq!(read(&det(&Tensor::zeros([2, 0, 0]))), [1.0, 1.0]);
    near(&qr_full(&Tensor::zeros([2, 0])).0, &[1.0, 0.0, 0.0, 1.0], 0.0);
    near(&svd_full(&Tensor::zeros([0, 2])).2, &[1.0, 0.0, 0.0, 1.0], 0.0);
    assert_eq!(solve(&one(3), &Tensor::zeros([3, 0]).to(DType::F64)).shape(), [3, 0]);
}

#[test]
fn wrong_shapes() {
    let (wide, vector, ints) = (numbers(&[2, 3], 1), numbers(&[3], 1), Tensor::arange(4).reshape([2, 2]));
    for (name, f) in SQUARE {
        let on_wide = f(&wide);
        says(&on_wide, &[name, "square", "2 x 3", "help:"]);
        says(&f(&vector), &[name, "f64[3]", "help:"]);
        says(&f(&ints), &[name, "i32", "help:"]);
    }
    for (name, f) in ANY {
        says(&f(&vector), &["expects a matrix", "f64[3]", "help:"]);
        says(&f(&ints), &[name, "i32", "help:"]);
    }
    says(&cholesky(&wide), &["shapes.rs"]);
    says(&logm_spd(&wide), &["shapes.rs"]);
    let (a, single) = (one(3), Tensor::eye(3));
    says(&solve(&a, &numbers(&[2, 3], 1)), &["solve", "3 rows", "help:"]);
    says(&solve(&a, &numbers(&[], 1)), &["solve", "3 rows"]);
    says(&solve(&a, &single), &["f64", "f32", "help:"]);
    says(&solve(&numbers(&[2, 3, 3], 1), &numbers(&[4, 3, 1], 1)), &["batch axes", "help:"]);
    says(&lstsq(&wide, &numbers(&[3], 1)), &["lstsq", "2 rows"]);
    says(&triangular_solve(&a, &numbers(&[2], 1), Triangular::upper()), &["triangular_solve", "3 rows"]);
    let (packed, pivots, _) = lu_factor(&numbers(&[3, 3], 1));
    says(&lu_solve(&packed, &pivots.to(DType::I64), &a), &["permutation", "lu_factor"]);
    says(&solve_sylvester(&a, &one(2), &a), &["3 x 2", "f64[3,3]"]);
    says(&solve_sylvester_spd(&a, &one(2), &a), &["3 x 2"]);
    says(&solve_lyapunov_spd(&a, &one(2)), &["one shape"]);
    says(&multi_dot(&[&a, &one(2)]), &["3 columns", "2 rows"]);
    says(&multi_dot(&[]), &["at least one"]);
    says(&multi_dot(&[&a, &vector, &a]), &["factor 1", "vectors"]);
    says(&block_diag(&[]), &["at least one"]);
    says(&block_diag(&[&a, &single]), &["f64", "f32"]);
    says(&tridiagonal_solve(&vector, &vector, &numbers(&[2], 1), &vector), &["diagonals"]);
    says(&tridiagonal_solve(&vector, &vector, &vector, &numbers(&[2], 1)), &["right-hand side"]);
    says(&solve_toeplitz(&vector, &numbers(&[2], 1), &vector), &["vectors of one length"]);
    says(&cholesky_update(&a, &numbers(&[2], 1)), &["vector of 3"]);
    says(&condition_number(&Tensor::zeros([0, 3])), &["no elements"]);
    says(&matrix_norm(&Tensor::zeros([0, 3]), MatrixNorm::MinTwo), &["no elements"]);
    says(&vector_norm(&vector, f64::NAN, ..), &["NaN"]);
    says(&vector_norm(&vector, 2.0, 3), &["axis 3"]);
    says(&spd_function(&a, |w| w.sum(..)), &["element by element"]);
    // an error goes through
    says(&solve(&inv(&wide), &a), &["inv", "2 x 3"]);
    // what has no derivative says so
    let tall = numbers(&[3, 2], 1);
    says(&grad(|a: &Tensor| svd_full(a).0.sum(..))(&tall), &["no derivative", "help:"]);
}

/// NaN and infinities end in NaN, soon.
#[test]
fn not_finite() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let spoilt = |n: usize| {
            let hit = Tensor::iota([n * n], 0, DType::I32).eq(1).reshape([n, n]);
            hit.select(bad, numbers(&[n, n], 1) + one(n) * 4.0)
        };
        for n in [2, 4, 40] {
            for (name, f) in SQUARE.iter().chain(&ANY) {
                if n > 4 && matches!(*name, "kron" | "solve_sylvester" | "spd_function") {
                    continue;
                }
                let y = f(&spoilt(n));
                y.check().unwrap_or_else(|e| panic!("{name}: {e}"));
                let g = grad(|a: &Tensor| f(a).sum(..))(&spoilt(n));
                if !matches!(*name, "qr_full" | "svd_full" | "matrix_rank") {
                    g.check().unwrap_or_else(|e| panic!("gradient of {name}: {e}"));
                }
            }
            for f in [svdvals, eigvalsh, cholesky, pinv] {
                assert!(read(&f(&spoilt(n))).iter().any(|x| x.is_nan()));
            }
        }
        // only the matrix that is spoilt
        let both = Tensor::stack(&[spoilt(3), one(3)], 0);
        near(&svdvals(&both).i(1), &[1.0; 3], 1e-15);
        near(&cholesky(&both).i(1), &read(&one(3)), 0.0);
        near(&inv(&both).i(1), &read(&one(3)), 0.0);
    }
    near(&cholesky(&(one(2) * -1.0)), &[f64::NAN, 0.0, f64::NAN, f64::NAN], 0.0);
    // a singular system has no finite solution, and says so with infinities or NaN
    assert!(read(&solve(&(one(2) * 0.0), &one(2))).iter().all(|x| !x.is_finite()));
    assert_eq!(read(&det(&Tensor::ones([4, 4]))), [0.0]);
}
