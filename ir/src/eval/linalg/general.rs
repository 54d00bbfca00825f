//! Eigenvalues of general matrices: QR iterations with shifts (Francis 1961) on a complex Hessenberg matrix.

use super::matrix::{Cx, Matrix, length, phase};

/// Steps for one eigenvalue after which the iteration is given up; two or three are usual.
const MAX_STEPS: usize = 60;

/// Eigenvalues in order and eigenvectors of length 1; `None` if the iteration does not end.
pub(super) fn eig(a: &Matrix) -> Option<(Vec<Cx>, Matrix)> {
    let n = a.n;
    let (mut t, scale) = a.normalised();
    let mut q = Matrix::identity(n);
    hessenberg(&mut t, &mut q);
    triangular(&mut t, &mut q)?;
    let mut pairs: Vec<(Cx, Vec<Cx>)> = (0..n).map(|k| (t[(k, k)].scale(scale), vector(&t, &q, k))).collect();
    let order = order(&pairs.iter().map(|p| p.0).collect::<Vec<_>>());
    let columns: Vec<Vec<Cx>> = order.iter().map(|&k| std::mem::take(&mut pairs[k].1)).collect();
    Some((order.iter().map(|&k| pairs[k].0).collect(), Matrix::from_columns(n, &columns)))
}

/// Positions by real part, those of one real part up to rounding by imaginary part.
fn order(values: &[Cx]) -> Vec<usize> {
    let greatest = values.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &k| values[i].re.total_cmp(&values[k].re));
    let apart = |i: usize, k: usize| values[k].re - values[i].re > 1e-5 * greatest;
    for group in order.chunk_by_mut(|&i, &k| !apart(i, k)) {
        group.sort_by(|&i, &k| values[i].im.total_cmp(&values[k].im));
    }
    order
}

/// The unitary `[[c, s], [-conj s, conj c]]` that maps (x, y) to (r, 0).
fn givens(x: Cx, y: Cx) -> (Cx, Cx) {
    let r = x.abs().hypot(y.abs());
    if r == 0.0 { (Cx::ONE, Cx::ZERO) } else { (x.conj().scale(1.0 / r), y.conj().scale(1.0 / r)) }
}

/// Rows i and k of columns `from..` become (c, s; -conj s, conj c) times themselves.
fn turn_rows(t: &mut Matrix, (i, k): (usize, usize), (c, s): (Cx, Cx), from: usize) {
    for j in from..t.n {
        let (x, y) = (t[(i, j)], t[(k, j)]);
        t[(i, j)] = c * x + s * y;
        t[(k, j)] = c.conj() * y - s.conj() * x;
    }
}

/// The adjoint of [`turn_rows`] from the right, on rows `..to`.
fn turn_columns(t: &mut Matrix, (i, k): (usize, usize), (c, s): (Cx, Cx), to: usize) {
    for j in 0..to {
        let (x, y) = (t[(j, i)], t[(j, k)]);
        t[(j, i)] = x * c.conj() + y * s.conj();
        t[(j, k)] = y * c - x * s;
    }
}

/// Zeros below the subdiagonal, by rotations of neighbouring rows from the bottom up.
fn hessenberg(t: &mut Matrix, q: &mut Matrix) {
    let n = t.n;
    for j in 0..n.saturating_sub(2) {
        for i in (j + 2..n).rev() {
            let g = givens(t[(i - 1, j)], t[(i, j)]);
            turn_rows(t, (i - 1, i), g, j);
            t[(i, j)] = Cx::ZERO;
            turn_columns(t, (i - 1, i), g, n);
            turn_columns(q, (i - 1, i), g, n);
        }
    }
}

/// To upper triangular form.
fn triangular(t: &mut Matrix, q: &mut Matrix) -> Option<()> {
    let n = t.n;
    let (mut last, mut steps) = (n.saturating_sub(1), 0);
    while last > 0 {
        let small =
            |k: usize| t[(k, k - 1)].abs() <= f64::EPSILON * (t[(k, k)].abs() + t[(k - 1, k - 1)].abs()).max(1e-290);
        let first = (1..=last).rev().find(|&k| small(k)).unwrap_or(0);
        if first > 0 {
            t[(first, first - 1)] = Cx::ZERO;
        }
        if first == last {
            (last, steps) = (last - 1, 0);
            continue;
        }
        steps += 1;
        if steps > MAX_STEPS {
            return None;
        }
        // now and then a shift that has nothing to do with the block, which may be mapped to itself
        let shift = match steps % 10 {
            0 => t[(last, last)] + Cx::real(t[(last, last - 1)].abs()),
            _ => nearest_eigenvalue(t, last),
        };
        (first..=last).for_each(|k| t[(k, k)] -= shift);
        let mut turns = Vec::new();
        for k in first..last {
            let g = givens(t[(k, k)], t[(k + 1, k)]);
            turn_rows(t, (k, k + 1), g, k);
            t[(k + 1, k)] = Cx::ZERO;
            turns.push((k, g));
        }
        for (k, g) in turns {
            turn_columns(t, (k, k + 1), g, k + 2);
            turn_columns(q, (k, k + 1), g, n);
        }
        (first..=last).for_each(|k| t[(k, k)] += shift);
    }
    Some(())
}

/// The eigenvalue of the last 2 x 2 block up to `last` that is nearer to its last element.
fn nearest_eigenvalue(t: &Matrix, last: usize) -> Cx {
    let (a, b) = (t[(last - 1, last - 1)], t[(last - 1, last)]);
    let (c, d) = (t[(last, last - 1)], t[(last, last)]);
    let half = (a - d).scale(0.5);
    let root = square_root(half * half + b * c);
    let far = if (half + root).abs() > (half - root).abs() { half + root } else { half - root };
    if far.abs() == 0.0 { d } else { d - b * c / far }
}

fn square_root(z: Cx) -> Cx {
    let r = z.abs();
    let re = ((r + z.re) / 2.0).max(0.0).sqrt();
    let im = ((r - z.re) / 2.0).max(0.0).sqrt();
    Cx { re, im: if z.im < 0.0 { -im } else { im } }
}

/// q x for the triangular system (t - t_kk) x = 0, of length 1 and with its phase fixed.
fn vector(t: &Matrix, q: &Matrix, k: usize) -> Vec<Cx> {
    let n = t.n;
    let least = f64::EPSILON * t.data.iter().fold(1e-290f64, |m, x| m.max(x.abs()));
    let mut x = vec![Cx::ZERO; n];
    x[k] = Cx::ONE;
    for i in (0..k).rev() {
        let sum = (i + 1..=k).fold(Cx::ZERO, |s, j| s + t[(i, j)] * x[j]);
        let gap = t[(k, k)] - t[(i, i)];
        x[i] = sum / if gap.abs() < least { Cx::real(least) } else { gap };
        // so that a long chain of small gaps does not overflow
        let size = x[i].abs();
        if size > 1e100 {
            x[i..=k].iter_mut().for_each(|x| *x = x.scale(1.0 / size));
        }
    }
    let mut v: Vec<Cx> = (0..n).map(|i| (0..=k).fold(Cx::ZERO, |s, j| s + q[(i, j)] * x[j])).collect();
    let scale = 1.0 / length(&v);
    let sign = phase(&v).scale(scale);
    v.iter_mut().for_each(|x| *x = *x * sign);
    v
}
