//! Eigenvalues, singular values, and what is built on them.

use super::number::{Number, phase, scale_of};
use super::{Kernel, Needs, One, size};
use faer::diag::DiagMut;
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::svd::{ComputeSvdVectors, SvdParams, svd as faer_svd, svd_scratch};
use faer::{Accum, Auto, MatMut, MatRef, Par, Spec};
use gradloom_ir::Type;
use smallvec::SmallVec;

/// An upper bound of the operations of an eigenvalue or singular value iteration on m x n.
fn iteration(m: usize, n: usize) -> usize {
    20 * m * n * m.min(n) + 1
}

/// A column of a column-major matrix times a factor.
fn times<T: Number>(x: &mut [T], factor: T) {
    if factor != T::ONE {
        x.iter_mut().for_each(|x| *x *= factor);
    }
}

pub(super) fn eigh<T: Number>(args: &[Type], results: &[Type]) -> Kernel {
    let (n, _) = size(&args[0]);
    let vectors = results.len() == 2;
    let compute = if vectors { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
    let stack = match n {
        0 => StackReq::EMPTY,
        _ => self_adjoint_evd_scratch::<T>(n, compute, Par::Seq, Default::default()),
    };
    Kernel::new(Needs::new::<T>(2 * n * n + n, stack, iteration(n, n)), move |one: &One| {
        // SAFETY: operand, results and room have these sizes.
        let (a, values, low, v, w, stack) = unsafe {
            (
                one.arg::<T>(0, n * n),
                one.out::<T::Magnitude>(0, n),
                one.room::<T>(0, n * n),
                one.room::<T>(n * n, n * n),
                one.room::<T>(2 * n * n, n),
                one.stack(),
            )
        };
        let lower = |at: &usize| at / n >= at % n;
        let scale = scale_of((0..n * n).filter(lower).map(|at| a[at]));
        let finite = (0..n * n).filter(lower).all(|at| a[at].finite());
        let by = T::from_f64(1.0 / scale);
        (0..n * n).filter(lower).for_each(|at| low[at % n * n + at / n] = a[at] * by);
        (0..n).for_each(|i| low[i * n + i] = T::from_f64(low[i * n + i].real_part()));
        let low = MatRef::from_column_major_slice(low, n, n);
        let u = vectors.then(|| MatMut::from_column_major_slice_mut(&mut *v, n, n));
        let done =
            finite && self_adjoint_evd(low, DiagMut::from_slice_mut(w), u, Par::Seq, stack, Default::default()).is_ok();
        for (out, w) in values.iter_mut().zip(&*w) {
            *out = T::to_magnitude(if done { w.real_part() * scale } else { f64::NAN });
        }
        if vectors {
            // SAFETY: the second result is n x n.
            let out = unsafe { one.out::<T>(1, n * n) };
            if !done {
                return out.fill(T::NAN);
            }
            for j in 0..n {
                let column = &mut v[j * n..][..n];
                times(column, phase(column));
                (0..n).for_each(|i| out[i * n + j] = column[i]);
            }
        }
    })
}

/// Without a QR factorisation first, which skips dependent columns: their reflections would then hold anything.
fn parameters<T: Number>() -> Spec<SvdParams, T> {
    Spec::new(SvdParams { qr_ratio_threshold: f64::INFINITY, ..<SvdParams as Auto<T>>::auto() })
}

/// Room for a decomposition: the operand, u, v, values.
struct SvdRoom<'a, T> {
    a: &'a mut [T],
    u: &'a mut [T],
    v: &'a mut [T],
    s: &'a mut [T],
}

/// Sizes of a decomposition, and which vectors it has.
#[derive(Clone, Copy)]
struct SvdShape {
    m: usize,
    n: usize,
    /// Columns of u and of v.
    of: (usize, usize),
    compute: ComputeSvdVectors,
}

impl SvdShape {
    fn new(m: usize, n: usize, compute: ComputeSvdVectors) -> SvdShape {
        let k = m.min(n);
        let of = match compute {
            ComputeSvdVectors::No => (0, 0),
            ComputeSvdVectors::Thin => (k, k),
            ComputeSvdVectors::Full => (m, n),
        };
        SvdShape { m, n, of, compute }
    }

    fn stack<T: Number>(self) -> StackReq {
        svd_scratch::<T>(self.m, self.n, self.compute, self.compute, Par::Seq, parameters::<T>())
    }

    fn elements(self) -> usize {
        self.m * self.n + self.m * self.of.0 + self.n * self.of.1 + self.m.min(self.n)
    }

    /// # Safety
    /// The typed scratch has room for `elements()` elements.
    unsafe fn room<'a, T: Number>(self, one: &'a One<'_>) -> SvdRoom<'a, T> {
        let (of_a, of_u, of_v) = (self.m * self.n, self.m * self.of.0, self.n * self.of.1);
        // SAFETY: the parts are disjoint and within `elements()`.
        unsafe {
            SvdRoom {
                a: one.room(0, of_a),
                u: one.room(of_a, of_u),
                v: one.room(of_a + of_u, of_v),
                s: one.room(of_a + of_u + of_v, self.m.min(self.n)),
            }
        }
    }

    /// Decomposes a row-major matrix with u and v column-major; the values are those of `a` divided by the number
    /// returned. `None` if there are none.
    fn run<T: Number>(self, a: &[T], room: &mut SvdRoom<T>, stack: &mut MemStack) -> Option<f64> {
        let (m, n) = (self.m, self.n);
        if !a.iter().all(|x| x.finite()) {
            return None;
        }
        let scale = scale_of(a.iter().copied());
        let by = T::from_f64(1.0 / scale);
        (0..m * n).for_each(|at| room.a[at % n * m + at / n] = a[at] * by);
        let vectors = !matches!(self.compute, ComputeSvdVectors::No);
        let a = MatRef::from_column_major_slice(&*room.a, m, n);
        let u = vectors.then(|| MatMut::from_column_major_slice_mut(&mut *room.u, m, self.of.0));
        let v = vectors.then(|| MatMut::from_column_major_slice_mut(&mut *room.v, n, self.of.1));
        let s = DiagMut::from_slice_mut(&mut *room.s);
        faer_svd(a, s, u, v, Par::Seq, stack, parameters::<T>()).ok().map(|()| scale)
    }
}

pub(super) fn svd<T: Number>(args: &[Type], results: &[Type]) -> Kernel {
    let (m, n) = size(&args[0]);
    let k = m.min(n);
    let compute = match results {
        [_] => ComputeSvdVectors::No,
        [_, u, vt] if size(u).1 == k && size(vt).0 == k => ComputeSvdVectors::Thin,
        _ => ComputeSvdVectors::Full,
    };
    let shape = SvdShape::new(m, n, compute);
    let needs = Needs::new::<T>(shape.elements(), shape.stack::<T>(), iteration(m, n));
    let vectors = results.len() == 3;
    Kernel::new(needs, move |one: &One| {
        // SAFETY: operand, results and room have these sizes.
        let (a, values, mut room, stack) =
            unsafe { (one.arg::<T>(0, m * n), one.out::<T::Magnitude>(0, k), shape.room::<T>(one), one.stack()) };
        let scale = shape.run(a, &mut room, stack);
        for (out, s) in values.iter_mut().zip(&*room.s) {
            *out = T::to_magnitude(scale.map_or(f64::NAN, |scale| s.real_part().max(0.0) * scale));
        }
        if !vectors {
            return;
        }
        let (of_u, of_v) = shape.of;
        // SAFETY: the results have these sizes.
        let (u, vt) = unsafe { (one.out::<T>(1, m * of_u), one.out::<T>(2, of_v * n)) };
        if scale.is_none() {
            u.fill(T::NAN);
            vt.fill(T::NAN);
            return;
        }
        for j in 0..of_u {
            let column = &mut room.u[j * m..][..m];
            let sign = phase(column);
            times(column, sign);
            (0..m).for_each(|i| u[i * of_u + j] = column[i]);
            if j < k {
                times(&mut room.v[j * n..][..n], sign);
            }
        }
        for j in 0..of_v {
            let column = &mut room.v[j * n..][..n];
            if j >= k {
                times(column, phase(column));
            }
            (0..n).for_each(|i| vt[j * n + i] = column[i].conjugate());
        }
    })
}

pub(super) fn pinv<T: Number>(args: &[Type]) -> Kernel {
    let (m, n) = size(&args[0]);
    let k = m.min(n);
    let shape = SvdShape::new(m, n, ComputeSvdVectors::Thin);
    let needs = Needs::new::<T>(shape.elements(), shape.stack::<T>(), iteration(m, n) + m * n * k);
    Kernel::new(needs, move |one: &One| {
        // SAFETY: operands, result and room have these sizes.
        let (a, tolerance, out, mut room, stack) = unsafe {
            (
                one.arg::<T>(0, m * n),
                one.arg::<T::Magnitude>(1, 1),
                one.out::<T>(0, n * m),
                shape.room::<T>(one),
                one.stack(),
            )
        };
        if shape.run(a, &mut room, stack).is_none_or(|scale| {
            let greatest = room.s.first().map_or(0.0, |s| s.real_part());
            let least = T::of_magnitude(tolerance[0]) * greatest;
            for (j, s) in room.s.iter().enumerate() {
                let s = s.real_part();
                let weight = if s > least { f64::recip(s) / scale } else { 0.0 };
                times(&mut room.v[j * n..][..n], T::from_f64(weight));
            }
            false
        }) {
            return out.fill(T::NAN);
        }
        let v = MatRef::from_column_major_slice(&*room.v, n, k);
        let u = MatRef::from_column_major_slice(&*room.u, m, k);
        let out = MatMut::from_row_major_slice_mut(out, n, m);
        matmul(out, Accum::Replace, v, u.adjoint(), T::ONE, Par::Seq);
    })
}

pub(super) fn spectral_form<T: Number>(args: &[Type], order: usize) -> Kernel {
    let (n, _) = size(&args[0]);
    let entries = n.pow(order as u32 + 1);
    let directions = args.len() - order;
    let square = n * n;
    let flops = 4 * (order + 1) * square * n + entries * (1..=order).product::<usize>() * order + 1;
    Kernel::new(Needs::new::<T>((order + 2) * square, StackReq::EMPTY, flops), move |one: &One| {
        // SAFETY: operands, result and room have these sizes.
        let (v, table, out, m, temp) = unsafe {
            (
                one.arg::<T>(1, square),
                one.arg::<T::Magnitude>(2, entries),
                one.out::<T>(0, square),
                one.room::<T>(0, square),
                one.room::<T>(square, square),
            )
        };
        let v = MatRef::from_row_major_slice(v, n, n);
        let mut inside = SmallVec::<[&[T]; 4]>::new();
        for k in 0..order {
            // SAFETY: operand and part of the room have n x n elements; each part is used once.
            let (e, to) = unsafe { (one.arg::<T>(directions + k, square), one.room::<T>((k + 2) * square, square)) };
            let e = MatRef::from_row_major_slice(e, n, n);
            matmul(rows_mut(temp, n), Accum::Replace, e, v, T::ONE, Par::Seq);
            matmul(rows_mut(to, n), Accum::Replace, v.adjoint(), rows(temp, n), T::ONE, Par::Seq);
            inside.push(to);
        }
        m.fill(T::ZERO);
        let mut index = SmallVec::<[usize; 8]>::from_elem(0, order + 1);
        for (at, &d) in table.iter().enumerate() {
            let mut rest = at;
            for i in index.iter_mut().rev() {
                *i = rest % n;
                rest /= n;
            }
            let to = &mut m[index[0] * n + index[order]];
            *to += T::from_f64(T::of_magnitude(d)) * orders(&inside, &index, n, 0, 0);
        }
        matmul(rows_mut(temp, n), Accum::Replace, v, rows(m, n), T::ONE, Par::Seq);
        matmul(rows_mut(out, n), Accum::Replace, rows(temp, n), v.adjoint(), T::ONE, Par::Seq);
    })
}

/// A row-major square view.
fn rows<T>(x: &[T], n: usize) -> MatRef<'_, T> {
    MatRef::from_row_major_slice(x, n, n)
}

/// A row-major square view to write to.
fn rows_mut<T>(x: &mut [T], n: usize) -> MatMut<'_, T> {
    MatMut::from_row_major_slice_mut(x, n, n)
}

/// The sum over all orders of the directions not in the set `used` of the product of their elements along `index[k..]`.
fn orders<T: Number>(e: &[&[T]], index: &[usize], n: usize, k: usize, used: u32) -> T {
    if k == e.len() {
        return T::ONE;
    }
    let at = index[k] * n + index[k + 1];
    let mut sum = T::ZERO;
    for (d, e_d) in e.iter().enumerate() {
        if used & 1 << d == 0 {
            sum += e_d[at] * orders(e, index, n, k + 1, used | 1 << d);
        }
    }
    sum
}
