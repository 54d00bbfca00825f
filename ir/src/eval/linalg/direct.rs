//! Factorisations in a fixed number of steps: Cholesky, substitution, Doolittle LU, Householder QR.

use super::matrix::{Cx, Matrix, length};
use crate::Transposition;

/// The lower or upper triangle; the other one 0, the diagonal 1 if `unit`.
pub(super) fn triangle(a: &Matrix, lower: bool, unit: bool) -> Matrix {
    Matrix::from_fn(a.m, a.n, |i, j| match (i == j, if lower { i > j } else { i < j }) {
        (true, _) => {
            if unit {
                Cx::ONE
            } else {
                a[(i, j)]
            }
        }
        (_, true) => a[(i, j)],
        _ => Cx::ZERO,
    })
}

/// L with L L^H = A column by column; NaN where a pivot is not positive.
pub(super) fn cholesky(a: &Matrix, lower: bool) -> Matrix {
    let a = if lower { a.clone() } else { a.adjoint() };
    let n = a.n;
    let mut l = Matrix::from_fn(n, n, |_, _| Cx::ZERO);
    for j in 0..n {
        let pivot = (0..j).fold(a[(j, j)].re, |d, k| d - l[(j, k)].square());
        if pivot.is_nan() || pivot <= 0.0 {
            l = triangle(&Matrix::from_fn(n, n, |_, _| Cx::NAN), true, false);
            break;
        }
        l[(j, j)] = Cx::real(pivot.sqrt());
        for i in j + 1..n {
            let sum = (0..j).fold(a[(i, j)], |sum, k| sum - l[(i, k)] * l[(j, k)].conj());
            l[(i, j)] = sum / l[(j, j)];
        }
    }
    if lower { l } else { l.adjoint() }
}

/// op(a) x = b or x op(a) = b for a triangular matrix whose other triangle is 0.
pub(super) fn triangular_solve(a: &Matrix, b: &Matrix, left: bool, lower: bool, op: Transposition) -> Matrix {
    let applied = match op {
        Transposition::None => a.clone(),
        Transposition::Transpose => a.transpose(),
        Transposition::Adjoint => a.adjoint(),
    };
    let lower = lower == (op == Transposition::None);
    // x op(a) = b is op(a)^T x^T = b^T
    if left {
        substitute(&applied, b, lower)
    } else {
        substitute(&applied.transpose(), &b.transpose(), !lower).transpose()
    }
}

fn substitute(a: &Matrix, b: &Matrix, lower: bool) -> Matrix {
    let n = a.n;
    let mut x = b.clone();
    for step in 0..n {
        let i = if lower { step } else { n - 1 - step };
        let known = if lower { 0..i } else { i + 1..n };
        for j in 0..b.n {
            let sum = known.clone().fold(x[(i, j)], |sum, k| sum - a[(i, k)] * x[(k, j)]);
            x[(i, j)] = sum / a[(i, i)];
        }
    }
    x
}

/// Packed factors, row exchanges, permutation. A column of zeros has no pivot and is left as it is.
pub(super) fn lu(mut a: Matrix) -> (Matrix, Vec<i32>, Vec<i32>) {
    let (m, n) = (a.m, a.n);
    let mut permutation: Vec<i32> = (0..m as i32).collect();
    let mut pivots = Vec::new();
    for k in 0..m.min(n) {
        let size = |i: usize| a[(i, k)].re.abs() + a[(i, k)].im.abs();
        let p = (k + 1..m).fold(k, |best, i| if size(i) > size(best) { i } else { best });
        pivots.push(p as i32);
        a.swap_rows(k, p);
        permutation.swap(k, p);
        if a[(k, k)] == Cx::ZERO {
            continue;
        }
        for i in k + 1..m {
            let factor = a[(i, k)] / a[(k, k)];
            a[(i, k)] = factor;
            for j in k + 1..n {
                let update = factor * a[(k, j)];
                a[(i, j)] -= update;
            }
        }
    }
    (a, pivots, permutation)
}

/// op(a) x = b where a[permutation] = L U.
pub(super) fn lu_solve(lu: &Matrix, permutation: &[i32], b: &Matrix, op: Transposition) -> Matrix {
    let n = lu.n;
    let row = |i: usize| (permutation[i].max(0) as usize).min(n - 1);
    let (l, u) = (triangle(lu, true, true), triangle(lu, false, false));
    if op == Transposition::None {
        let permuted = Matrix::from_fn(n, b.n, |i, j| b[(row(i), j)]);
        return substitute(&u, &substitute(&l, &permuted, true), false);
    }
    // a^T = u^T l^T p
    let y = triangular_solve(&u, b, true, false, op);
    let y = triangular_solve(&l, &y, true, true, op);
    let mut x = Matrix::from_fn(n, b.n, |_, _| Cx::ZERO);
    for i in 0..n {
        for j in 0..b.n {
            x[(row(i), j)] = y[(i, j)];
        }
    }
    x
}

/// Householder QR: H = I - tau v v^H maps a column to beta e with beta = -sign(re head) |column|; a column that is
/// already of that form is left as it is.
pub(super) fn qr(mut a: Matrix, full: bool) -> (Matrix, Matrix) {
    let (m, n) = (a.m, a.n);
    let k = m.min(n);
    let mut reflections = Vec::new();
    for j in 0..k {
        let column: Vec<Cx> = (j..m).map(|i| a[(i, j)]).collect();
        if column[0].im == 0.0 && column[1..].iter().all(|x| *x == Cx::ZERO) {
            continue;
        }
        // in units of the greatest: what rounding left of dependent columns may be next to 0
        let greatest = column.iter().fold(0.0f64, |s, x| s.max(x.abs()));
        let column: Vec<Cx> = column.iter().map(|x| *x / Cx::real(greatest)).collect();
        let head = column[0];
        let norm = length(&column);
        let beta = if head.re.is_sign_negative() { norm } else { -norm };
        let tau = (Cx::real(beta) - head) / Cx::real(beta);
        let mut v: Vec<Cx> = column.iter().map(|x| *x / (head - Cx::real(beta))).collect();
        v[0] = Cx::ONE;
        reflect(&mut a, j, &v, tau.conj());
        a[(j, j)] = Cx::real(beta * greatest);
        (j + 1..m).for_each(|i| a[(i, j)] = Cx::ZERO);
        reflections.push((j, v, tau));
    }
    let columns = if full { m } else { k };
    let mut q = Matrix::from_fn(m, columns, |i, j| if i == j { Cx::ONE } else { Cx::ZERO });
    for (j, v, tau) in reflections.iter().rev() {
        reflect(&mut q, *j, v, *tau);
    }
    (q, triangle(&Matrix::from_fn(columns, n, |i, j| a[(i, j)]), false, false))
}

/// Rows `from..` of a become (I - tau v v^H) times themselves.
fn reflect(a: &mut Matrix, from: usize, v: &[Cx], tau: Cx) {
    for j in 0..a.n {
        let along = v.iter().enumerate().fold(Cx::ZERO, |sum, (i, v)| sum + v.conj() * a[(from + i, j)]) * tau;
        for (i, v) in v.iter().enumerate() {
            a[(from + i, j)] -= *v * along;
        }
    }
}
