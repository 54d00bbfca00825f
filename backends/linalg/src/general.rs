//! Eigenvalues of general matrices.

use super::number::{Number, phase, scale_of};
use super::{Kernel, Needs, One, size};
use faer::dyn_stack::StackReq;
use faer::linalg::evd::{ComputeEigenvectors, evd_scratch};
use faer::{MatMut, MatRef, Par};
use gradloom_ir::Type;

/// Real parts of eigenvalues that differ by less than this part of the greatest count as one.
const SAME_REAL_PART: f64 = 1e-5;

/// Positions by real part, those of one real part up to rounding by imaginary part.
fn sort<C: Number>(order: &mut [usize], values: impl Fn(usize) -> C) {
    let (re, im) = (|i: usize| values(i).real_part(), |i: usize| values(i).imaginary_part());
    let greatest = order.iter().fold(0.0, |m: f64, &i| m.max(values(i).magnitude()));
    order.sort_unstable_by(|&i, &k| re(i).total_cmp(&re(k)));
    for group in order.chunk_by_mut(|&i, &k| re(k) - re(i) <= SAME_REAL_PART * greatest) {
        group.sort_unstable_by(|&i, &k| im(i).total_cmp(&im(k)));
    }
}

pub(super) fn eig<T: Number>(args: &[Type], results: &[Type]) -> Kernel {
    let (n, _) = size(&args[0]);
    let vectors = results.len() == 2;
    let compute = if vectors { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
    let stack = match n {
        0 => StackReq::EMPTY,
        _ => evd_scratch::<T>(n, ComputeEigenvectors::No, compute, Par::Seq, Default::default()),
    };
    // the order, and one eigenvector
    let extra = n * size_of::<usize>() + n * size_of::<T::Eigenvalue>();
    let elements = 2 * n * n + 2 * n;
    let mut needs = Needs::new::<T>(elements, stack, 25 * n * n * n + 1);
    let order_at = needs.room.next_multiple_of(16);
    needs.room = order_at + extra;
    Kernel::new(needs, move |one: &One| {
        // SAFETY: operand, results and room have these sizes; the parts of the room are disjoint and aligned.
        let (a, out, copy, u, re, im, order, column, stack) = unsafe {
            let order = one.room.add(order_at).cast::<usize>();
            let column = order.add(n).cast::<T::Eigenvalue>();
            order.write_bytes(0, n);
            column.write_bytes(0, n);
            (
                one.arg::<T>(0, n * n),
                one.out::<T::Eigenvalue>(0, n),
                one.room::<T>(0, n * n),
                one.room::<T>(n * n, n * n),
                one.room::<T>(2 * n * n, n),
                one.room::<T>(2 * n * n + n, n),
                std::slice::from_raw_parts_mut(order, n),
                std::slice::from_raw_parts_mut(column, n),
                one.stack(),
            )
        };
        let scale = scale_of(a.iter().copied());
        let by = T::from_f64(1.0 / scale);
        (0..n * n).for_each(|at| copy[at % n * n + at / n] = a[at] * by);
        let done = a.iter().all(|x| x.finite()) && n > 0 && {
            let u = vectors.then(|| MatMut::from_column_major_slice_mut(&mut *u, n, n));
            T::general(MatRef::from_column_major_slice(copy, n, n), [&mut *re, &mut *im], u, stack)
        };
        let pair = |i: usize, j: usize| T::eigenpair(n, [re, im], if vectors { u } else { &[] }, i, j);
        order.iter_mut().enumerate().for_each(|(j, o)| *o = j);
        if done {
            sort(order, |j| pair(0, j).0);
        }
        for (out, &j) in out.iter_mut().zip(&*order) {
            *out = if done { pair(0, j).0 * T::Eigenvalue::from_f64(scale) } else { T::Eigenvalue::NAN };
        }
        if !vectors {
            return;
        }
        // SAFETY: the second result is n x n.
        let out = unsafe { one.out::<T::Eigenvalue>(1, n * n) };
        if !done {
            return out.fill(T::Eigenvalue::NAN);
        }
        for (to, &j) in order.iter().enumerate() {
            column.iter_mut().enumerate().for_each(|(i, x)| *x = pair(i, j).1);
            let length = column.iter().map(|x| x.magnitude().powi(2)).sum::<f64>().sqrt();
            let sign = phase(column) * T::Eigenvalue::from_f64(1.0 / length);
            (0..n).for_each(|i| out[i * n + to] = column[i] * sign);
        }
    })
}
