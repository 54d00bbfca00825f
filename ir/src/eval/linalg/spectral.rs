//! Iterations on rotations (Jacobi 1846, Hestenes 1958), and what is built on them.

use super::matrix::{Cx, Matrix, complete, inner, length, phase};

/// Sweeps after which rotations stop; a dozen are enough for any matrix of the sizes met here.
const MAX_SWEEPS: usize = 60;

/// The rotation that makes the Hermitian `[[alpha, gamma], [conj gamma, beta]]` diagonal, for [`Matrix::rotate`].
fn rotation(alpha: f64, beta: f64, gamma: Cx) -> (f64, f64, Cx) {
    let g = gamma.abs();
    let theta = (beta - alpha) / (2.0 * g);
    let t = if theta.is_infinite() { 0.0 } else { theta.signum() / (theta.abs() + theta.hypot(1.0)) };
    let c = 1.0 / t.hypot(1.0);
    (c, t * c, gamma.scale(1.0 / g))
}

/// Eigenvalues, ascending, and eigenvectors of the Hermitian matrix whose lower triangle is given.
pub(super) fn eigh(a: &Matrix) -> (Vec<f64>, Matrix) {
    let n = a.n;
    let lower = Matrix::from_fn(n, n, |i, j| if i >= j { a[(i, j)] } else { Cx::ZERO });
    let (lower, scale) = lower.normalised();
    let mut a = Matrix::from_fn(n, n, |i, j| match i.cmp(&j) {
        std::cmp::Ordering::Greater => lower[(i, j)],
        std::cmp::Ordering::Equal => Cx::real(lower[(i, i)].re),
        std::cmp::Ordering::Less => lower[(j, i)].conj(),
    });
    let mut v = Matrix::identity(n);
    for _ in 0..MAX_SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let gamma = a[(p, q)];
                if gamma.abs() <= 1e-17 * (a[(p, p)].re * a[(q, q)].re).abs().sqrt() || gamma.abs() < 1e-300 {
                    continue;
                }
                rotated = true;
                let (alpha, beta) = (a[(p, p)].re, a[(q, q)].re);
                let r = rotation(alpha, beta, gamma);
                a.rotate(p, q, r);
                a.rotate_rows(p, q, r);
                v.rotate(p, q, r);
                a[(p, q)] = Cx::ZERO;
                a[(q, p)] = Cx::ZERO;
            }
        }
        if !rotated {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[(i, i)].re.total_cmp(&a[(j, j)].re));
    let columns: Vec<Vec<Cx>> = order.iter().map(|&j| v.column(j)).map(|c| signed(&c, phase(&c))).collect();
    (order.iter().map(|&i| a[(i, i)].re * scale).collect(), Matrix::from_columns(n, &columns))
}

fn signed(x: &[Cx], sign: Cx) -> Vec<Cx> {
    x.iter().map(|x| *x * sign).collect()
}

/// Singular values, descending, and `u`, `v^H`.
pub(super) fn svd(a: &Matrix, full: bool) -> (Vec<f64>, Matrix, Matrix) {
    let (m, n) = (a.m, a.n);
    let k = m.min(n);
    let (scaled, scale) = a.normalised();
    // rotations of the columns of the taller of a and a^H until they are orthogonal
    let mut w = if m >= n { scaled } else { scaled.adjoint() };
    let mut v = Matrix::identity(k);
    for _ in 0..MAX_SWEEPS {
        let mut rotated = false;
        for p in 0..k {
            for q in p + 1..k {
                let (x, y) = (w.column(p), w.column(q));
                let gamma = inner(&x, &y);
                if gamma.abs() <= 1e-16 * length(&x) * length(&y) || gamma.abs() < 1e-290 {
                    continue;
                }
                rotated = true;
                let r = rotation(inner(&x, &x).re, inner(&y, &y).re, gamma);
                w.rotate(p, q, r);
                v.rotate(p, q, r);
            }
        }
        if !rotated {
            break;
        }
    }
    let lengths: Vec<f64> = (0..k).map(|j| length(&w.column(j))).collect();
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&i, &j| lengths[j].total_cmp(&lengths[i]));
    let positive = order.iter().take_while(|&&j| lengths[j] > 1e-140).count();
    let mut left: Vec<Vec<Cx>> = order[..positive]
        .iter()
        .map(|&j| w.column(j).into_iter().map(|x| x.scale(1.0 / lengths[j])).collect())
        .collect();
    complete(&mut left, m.max(n), if full { m.max(n) } else { k });
    let right: Vec<Vec<Cx>> = order.iter().map(|&j| v.column(j)).collect();
    let (mut u, mut v) = if m >= n { (left, right) } else { (right, left) };
    for j in 0..u.len() {
        let sign = phase(&u[j]);
        u[j] = signed(&u[j], sign);
        if j < k {
            v[j] = signed(&v[j], sign);
        }
    }
    for x in &mut v[k..] {
        *x = signed(x, phase(x));
    }
    let sigma = order.iter().map(|&j| lengths[j] * scale).collect();
    (sigma, Matrix::from_columns(m, &u), Matrix::from_columns(n, &v).adjoint())
}

/// V diag(1 / s) U^H over the singular values above `tolerance` times the greatest.
pub(super) fn pinv(a: &Matrix, tolerance: f64) -> Matrix {
    let (sigma, u, vt) = svd(a, false);
    let least = tolerance * sigma.first().copied().unwrap_or(0.0);
    let v = vt.adjoint();
    let weighted =
        Matrix::from_fn(v.m, v.n, |i, j| if sigma[j] > least { v[(i, j)].scale(1.0 / sigma[j]) } else { Cx::ZERO });
    weighted.times(&u.adjoint())
}

/// v m v^H with m[i0, ik] = sum over inner indices and orders of the directions of d[i0, .., ik] e[i0, i1] e'[i1, i2] ...
pub(super) fn spectral_form(v: &Matrix, table: &[Cx], directions: &[Matrix]) -> Matrix {
    let (n, order) = (v.n, directions.len());
    let inside: Vec<Matrix> = directions.iter().map(|e| v.adjoint().times(e).times(v)).collect();
    let mut m = Matrix::from_fn(n, n, |_, _| Cx::ZERO);
    for (at, d) in table.iter().enumerate() {
        let index: Vec<usize> = (0..=order).map(|k| at / n.pow((order - k) as u32) % n).collect();
        m[(index[0], index[order])] += *d * permanent(&inside, &index, 0, &mut vec![false; order]);
    }
    v.times(&m).times(&v.adjoint())
}

/// The sum over all orders of the unused directions of the product of their elements at `index[k], index[k + 1]`.
fn permanent(e: &[Matrix], index: &[usize], k: usize, used: &mut Vec<bool>) -> Cx {
    if k == e.len() {
        return Cx::ONE;
    }
    let mut sum = Cx::ZERO;
    for d in 0..e.len() {
        if !used[d] {
            used[d] = true;
            sum += e[d][(index[k], index[k + 1])] * permanent(e, index, k + 1, used);
            used[d] = false;
        }
    }
    sum
}
