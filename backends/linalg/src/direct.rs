//! Factorisations in a fixed number of steps, and solves with them.

use super::number::Number;
use super::{Kernel, Needs, One, size};
use faer::dyn_stack::StackReq;
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as apply_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as apply_householder,
};
use faer::linalg::matmul::matmul;
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::linalg::triangular_solve as tri;
use faer::prelude::ReborrowMut;
use faer::{Accum, Conj, MatMut, MatRef, Par};
use gradloom_ir::{Transposition, Type};
use smallvec::SmallVec;

/// A column-major view.
fn columns<T>(x: &mut [T], m: usize, n: usize) -> MatMut<'_, T> {
    MatMut::from_column_major_slice_mut(x, m, n)
}

pub(super) fn cholesky<T: Number>(args: &[Type], lower: bool) -> Kernel {
    let (n, _) = size(&args[0]);
    let stack = cholesky_in_place_scratch::<T>(n, Par::Seq, Default::default());
    Kernel::new(Needs::new::<T>(n * n, stack, n * n * n / 3 + 1), move |one: &One| {
        // SAFETY: operand, result and room have n x n elements.
        let (a, out, l, stack) =
            unsafe { (one.arg::<T>(0, n * n), one.out::<T>(0, n * n), one.room::<T>(0, n * n), one.stack()) };
        // column-major lower triangle; of an upper one the conjugate transpose
        let read = |i: usize, j: usize| if lower { a[i * n + j] } else { a[j * n + i].conjugate() };
        let mut finite = true;
        for j in 0..n {
            l[j * n..j * n + j].fill(T::ZERO);
            for i in j..n {
                let x = read(i, j);
                finite &= x.finite();
                l[j * n + i] = if i == j { T::from_f64(x.real_part()) } else { x };
            }
        }
        let done = finite
            && cholesky_in_place(columns(l, n, n), Default::default(), Par::Seq, stack, Default::default()).is_ok()
            && (0..n).all(|j| l[j * n + j].finite());
        for i in 0..n {
            for j in 0..n {
                let (row, column) = if lower { (i, j) } else { (j, i) };
                let x = l[column * n + row];
                out[i * n + j] = match (row >= column, done) {
                    (false, _) => T::ZERO,
                    (true, false) => T::NAN,
                    (true, true) => {
                        if lower {
                            x
                        } else {
                            x.conjugate()
                        }
                    }
                };
            }
        }
    })
}

/// How a triangular matrix is used.
#[derive(Clone, Copy)]
pub(super) struct Triangle {
    pub lower: bool,
    pub unit: bool,
    pub op: Transposition,
}

/// op(a) x = b in place of b.
fn solve_in_place<T: Number>(a: MatRef<'_, T>, x: MatMut<'_, T>, t: Triangle) {
    let conj = if t.op == Transposition::Adjoint { Conj::Yes } else { Conj::No };
    let a = if t.op == Transposition::None { a } else { a.transpose() };
    match (t.lower == (t.op == Transposition::None), t.unit) {
        (true, false) => tri::solve_lower_triangular_in_place_with_conj(a, conj, x, Par::Seq),
        (true, true) => tri::solve_unit_lower_triangular_in_place_with_conj(a, conj, x, Par::Seq),
        (false, false) => tri::solve_upper_triangular_in_place_with_conj(a, conj, x, Par::Seq),
        (false, true) => tri::solve_unit_upper_triangular_in_place_with_conj(a, conj, x, Par::Seq),
    }
}

pub(super) fn triangular_solve<T: Number>(args: &[Type], left_side: bool, t: Triangle) -> Kernel {
    let (n, _) = size(&args[0]);
    let (rows, cols) = size(&args[1]);
    Kernel::new(Needs::new::<T>(0, StackReq::EMPTY, n * rows * cols + 1), move |one: &One| {
        // SAFETY: operands and result have these sizes.
        let (a, b, x) = unsafe { (one.arg::<T>(0, n * n), one.arg::<T>(1, rows * cols), one.out::<T>(0, rows * cols)) };
        x.copy_from_slice(b);
        if n == 0 || x.is_empty() {
            return;
        }
        let a = MatRef::from_row_major_slice(a, n, n);
        let x = MatMut::from_row_major_slice_mut(x, rows, cols);
        if left_side {
            return solve_in_place(a, x, t);
        }
        // x op(a) = b is op(a)^T x^T = b^T
        let x = x.transpose_mut();
        match t.op {
            Transposition::None => solve_in_place(a, x, Triangle { op: Transposition::Transpose, ..t }),
            Transposition::Transpose => solve_in_place(a, x, Triangle { op: Transposition::None, ..t }),
            Transposition::Adjoint => {
                // conj(a) x^T = b^T
                if t.lower && t.unit {
                    tri::solve_unit_lower_triangular_in_place_with_conj(a, Conj::Yes, x, Par::Seq)
                } else if t.lower {
                    tri::solve_lower_triangular_in_place_with_conj(a, Conj::Yes, x, Par::Seq)
                } else if t.unit {
                    tri::solve_unit_upper_triangular_in_place_with_conj(a, Conj::Yes, x, Par::Seq)
                } else {
                    tri::solve_upper_triangular_in_place_with_conj(a, Conj::Yes, x, Par::Seq)
                }
            }
        }
    })
}

/// Columns that are factored without blocking.
const LU_BASE: usize = 8;

/// Factors all columns of a matrix with at least as many rows; `pivots` are rows of it. A column without a pivot is left
/// as it is, so that a singular matrix has factors.
fn factor<T: Number>(mut a: MatMut<'_, T>, pivots: &mut [i32]) {
    let (m, n) = a.shape();
    if n <= LU_BASE {
        for k in 0..n {
            let p = (k + 1..m).fold(k, |best, i| if a[(i, k)].size() > a[(best, k)].size() { i } else { best });
            pivots[k] = p as i32;
            swap_rows(a.rb_mut(), k, p);
            let pivot = a[(k, k)];
            if pivot == T::ZERO {
                continue;
            }
            for i in k + 1..m {
                let factor = a[(i, k)] / pivot;
                a[(i, k)] = factor;
                for j in k + 1..n {
                    a[(i, j)] = a[(i, j)] - factor * a[(k, j)];
                }
            }
        }
        return;
    }
    let half = n / 2;
    {
        let (left, right) = a.rb_mut().split_at_col_mut(half);
        factor_left(left, right, &mut pivots[..half]);
    }
    let (_, _, mut below, mut rest) = a.split_at_mut(half, half);
    factor(rest.rb_mut(), &mut pivots[half..]);
    for (k, p) in pivots[half..].iter_mut().enumerate() {
        swap_rows(below.rb_mut(), k, *p as usize);
        *p += half as i32;
    }
}

/// Factors `left` and brings `right` up to date: rows exchanged, L^-1 on top, the product subtracted below.
fn factor_left<T: Number>(mut left: MatMut<'_, T>, mut right: MatMut<'_, T>, pivots: &mut [i32]) {
    let k = left.ncols();
    factor(left.rb_mut(), pivots);
    for (i, &p) in pivots.iter().enumerate() {
        swap_rows(right.rb_mut(), i, p as usize);
    }
    let (l, below) = left.split_at_row_mut(k);
    let (mut top, rest) = right.split_at_row_mut(k);
    tri::solve_unit_lower_triangular_in_place(l.as_ref(), top.rb_mut(), Par::Seq);
    matmul(rest, Accum::Add, below.as_ref(), top.as_ref(), -T::ONE, Par::Seq);
}

fn swap_rows<T: Number>(mut a: MatMut<'_, T>, i: usize, k: usize) {
    if i != k {
        for j in 0..a.ncols() {
            let (x, y) = (a[(i, j)], a[(k, j)]);
            a[(i, j)] = y;
            a[(k, j)] = x;
        }
    }
}

pub(super) fn lu<T: Number>(args: &[Type]) -> Kernel {
    let (m, n) = size(&args[0]);
    let k = m.min(n);
    Kernel::new(Needs::new::<T>(0, StackReq::EMPTY, m * n * k + 1), move |one: &One| {
        // SAFETY: operand and results have these sizes.
        let (a, lu, pivots, permutation) =
            unsafe { (one.arg::<T>(0, m * n), one.out::<T>(0, m * n), one.out::<i32>(1, k), one.out::<i32>(2, m)) };
        permutation.iter_mut().enumerate().for_each(|(i, p)| *p = i as i32);
        if !a.iter().all(|x| x.finite()) {
            lu.fill(T::NAN);
            pivots.iter_mut().enumerate().for_each(|(i, p)| *p = i as i32);
            return;
        }
        lu.copy_from_slice(a);
        if k == 0 {
            return;
        }
        let (left, right) = MatMut::from_row_major_slice_mut(lu, m, n).split_at_col_mut(k);
        factor_left(left, right, pivots);
        pivots.iter().enumerate().for_each(|(i, &p)| permutation.swap(i, p as usize));
    })
}

pub(super) fn lu_solve<T: Number>(args: &[Type], op: Transposition) -> Kernel {
    let (n, c) = size(&args[3]);
    let unit = Triangle { lower: true, unit: true, op };
    let upper = Triangle { lower: false, unit: false, op };
    Kernel::new(Needs::new::<T>(n * c, StackReq::EMPTY, 2 * n * n * c + 1), move |one: &One| {
        // SAFETY: operands, result and room have these sizes.
        let (lu, permutation, b, x, y) = unsafe {
            (
                one.arg::<T>(1, n * n),
                one.arg::<i32>(2, n),
                one.arg::<T>(3, n * c),
                one.out::<T>(0, n * c),
                one.room::<T>(0, n * c),
            )
        };
        if x.is_empty() {
            return;
        }
        let row = |i: usize| (permutation[i].max(0) as usize).min(n - 1);
        let lu = MatRef::from_row_major_slice(lu, n, n);
        if op == Transposition::None {
            for i in 0..n {
                x[i * c..][..c].copy_from_slice(&b[row(i) * c..][..c]);
            }
            solve_in_place(lu, MatMut::from_row_major_slice_mut(x, n, c), unit);
            solve_in_place(lu, MatMut::from_row_major_slice_mut(x, n, c), upper);
        } else {
            // a^T = u^T l^T p
            y.copy_from_slice(b);
            solve_in_place(lu, MatMut::from_row_major_slice_mut(y, n, c), upper);
            solve_in_place(lu, MatMut::from_row_major_slice_mut(y, n, c), unit);
            x.fill(T::ZERO);
            for i in 0..n {
                x[row(i) * c..][..c].copy_from_slice(&y[i * c..][..c]);
            }
        }
    })
}

/// `q` and `r`, or `r` alone: then nothing is written to the first result.
pub(super) fn qr<T: Number>(args: &[Type], results: &[Type], with_q: bool) -> Kernel {
    let (m, n) = size(&args[0]);
    let (rows, _) = size(&results[1]);
    let wide = if with_q { size(&results[0]).1 } else { 0 };
    let k = m.min(n);
    let block = recommended_block_size::<T>(m, n);
    let stack = StackReq::any_of(&[
        qr_in_place_scratch::<T>(m, n, block, Par::Seq, Default::default()),
        apply_scratch::<T>(m, block, wide),
    ]);
    let elements = m * n + m * wide + block * k;
    Kernel::new(Needs::new::<T>(elements, stack, 2 * m * n * k + 2 * m * k * wide + 1), move |one: &One| {
        // SAFETY: operand, results and room have these sizes.
        let (a, q, r, f, basis, taus) = unsafe {
            (
                one.arg::<T>(0, m * n),
                one.out::<T>(0, m * wide),
                one.out::<T>(1, rows * n),
                one.room::<T>(0, m * n),
                one.room::<T>(m * n, m * wide),
                one.room::<T>(m * n + m * wide, block * k),
            )
        };
        if !a.iter().all(|x| x.finite()) {
            q.fill(T::NAN);
            r.fill(T::NAN);
            return;
        }
        let load = |f: &mut [T]| {
            for (j, column) in f.chunks_exact_mut(m.max(1)).enumerate() {
                column.iter_mut().zip(a.iter().skip(j).step_by(n)).for_each(|(to, &x)| *to = x);
            }
        };
        load(f);
        basis.fill(T::ZERO);
        basis.iter_mut().step_by(m + 1).for_each(|x| *x = T::ONE);
        if !T::IS_REAL {
            // the kernel's reflections make another diagonal of R than LAPACK's, which is real
            reflect_all(f, m, n, basis, wide);
        } else if k > 0 {
            // SAFETY: the stack is used by one call at a time.
            let info = qr_in_place(
                columns(f, m, n),
                columns(taus, block, k),
                Par::Seq,
                unsafe { one.stack() },
                Default::default(),
            );
            if info.rank == k && with_q {
                let (v, taus) = (MatRef::from_column_major_slice(&f[..m * k], m, k), columns(taus, block, k));
                // SAFETY: as above.
                let stack = unsafe { one.stack() };
                apply_householder(v, taus.as_ref(), Conj::No, columns(basis, m, wide), Par::Seq, stack);
            } else if info.rank < k {
                // that algorithm skips dependent columns; this one goes on with what rounding left of them
                load(f);
                reflect_all(f, m, n, basis, wide);
            }
        }
        for i in 0..rows {
            for j in 0..n {
                r[i * n + j] = if i <= j { f[j * m + i] } else { T::ZERO };
            }
        }
        for (i, row) in q.chunks_exact_mut(wide.max(1)).enumerate() {
            row.iter_mut().zip(basis.iter().skip(i).step_by(m)).for_each(|(to, &x)| *to = x);
        }
    })
}

/// Unblocked Householder QR of a column-major matrix, applied to the identity in `q`.
fn reflect_all<T: Number>(a: &mut [T], m: usize, n: usize, q: &mut [T], wide: usize) {
    let k = m.min(n);
    // H = I - tau v v^H, v with head 1; the tail of v stays below the diagonal, tau in the last place it is needed
    let mut taus = SmallVec::<[T; 16]>::from_elem(T::ZERO, k);
    for j in 0..k {
        let (head, tail) = (a[j * m + j], j * m + j + 1..(j + 1) * m);
        let greatest = a[j * m + j..(j + 1) * m].iter().fold(0.0, |s: f64, x| s.max(x.magnitude()));
        if a[tail.clone()].iter().all(|x| *x == T::ZERO) && head.conjugate() == head {
            continue;
        }
        // in units of the greatest: what rounding left of dependent columns may be next to 0
        let unit = T::from_f64(greatest);
        a[tail.clone()].iter_mut().for_each(|x| *x /= unit);
        let head = head / unit;
        let squares = a[tail.clone()].iter().fold(head.magnitude().powi(2), |s, x| s + x.magnitude().powi(2));
        let beta = T::from_f64(if head.real_part().is_sign_negative() { squares.sqrt() } else { -squares.sqrt() });
        taus[j] = (beta - head) / beta;
        a[tail].iter_mut().for_each(|x| *x /= head - beta);
        a[j * m + j] = beta * unit;
        let (left, right) = a.split_at_mut((j + 1) * m);
        for column in right.chunks_exact_mut(m) {
            reflect(&left[j * m + j + 1..], taus[j].conjugate(), &mut column[j..]);
        }
    }
    for j in (0..k).rev() {
        for column in q.chunks_exact_mut(m).take(wide) {
            reflect(&a[j * m + j + 1..(j + 1) * m], taus[j], &mut column[j..]);
        }
    }
}

/// x becomes x - tau v (v^H x), `tail` being v without its head 1.
fn reflect<T: Number>(tail: &[T], tau: T, x: &mut [T]) {
    let along = tail.iter().zip(&x[1..]).fold(x[0], |sum, (v, x)| sum + v.conjugate() * *x) * tau;
    x[0] -= along;
    x[1..].iter_mut().zip(tail).for_each(|(x, v)| *x -= *v * along);
}
