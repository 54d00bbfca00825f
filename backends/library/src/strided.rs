//! Copies between strided boxes, the one mover behind transpose, slice, broadcast, pad and packing; and the walk
//! over several affine addresses at once.

use super::exchange::{Exchange, LINE};
use super::parallel::{self, In, Out, PARALLEL_WORK, chunk};
use smallvec::SmallVec;

/// Loops over a box whose points have `N` addresses, each affine in the indices.
#[derive(Clone, Debug)]
pub(super) struct Walk<const N: usize> {
    dims: SmallVec<[(usize, [isize; N]); 6]>,
    len: usize,
}

impl<const N: usize> Walk<N> {
    /// Extents and strides, outermost axis first; axes that can be one loop are merged.
    pub(super) fn new(axes: impl IntoIterator<Item = (usize, [isize; N])>) -> Walk<N> {
        let mut dims: SmallVec<[(usize, [isize; N]); 6]> = SmallVec::new();
        let mut len = 1usize;
        for (n, strides) in axes {
            len *= n;
            if n == 1 {
                continue;
            }
            match dims.last_mut() {
                Some((m, s)) if (0..N).all(|i| s[i] == strides[i] * n as isize) => {
                    *m *= n;
                    *s = strides;
                }
                _ => dims.push((n, strides)),
            }
        }
        Walk { dims, len }
    }

    /// Number of points.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The axes after merging.
    pub(super) fn dims(&self) -> &[(usize, [isize; N])] {
        &self.dims
    }

    /// Calls `f` with the addresses of the points `range` in row-major order.
    #[inline]
    pub(super) fn for_each(&self, range: std::ops::Range<usize>, mut f: impl FnMut([isize; N])) {
        let Some(((n, step), outer)) = self.dims.split_last() else {
            return range.for_each(|_| f([0; N]));
        };
        let mut i = range.start;
        while i < range.end {
            let row = i / n;
            let first = i % n;
            let last = (*n).min(first + range.end - i);
            let mut at = [0; N];
            let mut rest = row;
            for (m, s) in outer.iter().rev() {
                let c = (rest % m) as isize;
                rest /= m;
                for (o, s) in at.iter_mut().zip(s) {
                    *o += c * s;
                }
            }
            for (o, s) in at.iter_mut().zip(step) {
                *o += first as isize * s;
            }
            for _ in first..last {
                f(at);
                for (o, s) in at.iter_mut().zip(step) {
                    *o += s;
                }
            }
            i += last - first;
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Dim {
    n: usize,
    src: isize,
    dst: isize,
}

/// A copy of a box of elements from one strided layout to another. Strides and offsets are in elements.
#[derive(Clone, Debug)]
pub(super) struct StridedCopy {
    size: usize,
    dims: SmallVec<[Dim; 6]>,
    numel: usize,
    /// Size of the whole copy, also in a part of it.
    bytes: usize,
}

impl StridedCopy {
    /// A copy of a box of `shape`; a source stride may be 0 or negative, destination strides are distinct addresses.
    pub(super) fn new(size: usize, shape: &[usize], src: &[isize], dst: &[isize]) -> StridedCopy {
        let numel = shape.iter().product();
        let mut axes: SmallVec<[Dim; 6]> = shape
            .iter()
            .zip(src.iter().zip(dst))
            .filter(|(n, _)| **n != 1)
            .map(|(&n, (&src, &dst))| Dim { n, src, dst })
            .collect();
        axes.sort_by_key(|d| std::cmp::Reverse(d.dst.unsigned_abs()));
        let mut dims: SmallVec<[Dim; 6]> = SmallVec::new();
        for d in axes {
            match dims.last_mut() {
                Some(o) if o.src == d.src * d.n as isize && o.dst == d.dst * d.n as isize => {
                    *o = Dim { n: o.n * d.n, ..d };
                }
                _ => dims.push(d),
            }
        }
        // Exchanging axes: the two that are innermost on either side become the last two.
        if let Some(last) = dims.last()
            && last.src.unsigned_abs() > 1
            && let Some(i) = dims.iter().position(|d| d.src == 1)
        {
            let d = dims.remove(i);
            dims.insert(dims.len() - 1, d);
        }
        StridedCopy { size, dims, numel, bytes: numel * size }
    }

    /// Number of elements copied.
    pub(super) fn numel(&self) -> usize {
        self.numel
    }

    /// Whether both sides are one contiguous run.
    pub(super) fn is_contiguous(&self) -> bool {
        matches!(&self.dims[..], [] | [Dim { src: 1, dst: 1, .. }])
    }

    /// Copies.
    ///
    /// # Safety
    /// Every element of the box at `src` is readable and every one at `dst` writable, and they do not overlap.
    #[inline]
    pub(super) unsafe fn run(&self, src: *const u8, dst: *mut u8) {
        if self.numel >= PARALLEL_WORK {
            // SAFETY: the caller's promise.
            return unsafe { self.run_parallel(src, dst) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.run_serial(src, dst) }
    }

    /// As [`StridedCopy::run`], on this thread.
    ///
    /// # Safety
    /// As for [`StridedCopy::run`].
    #[inline]
    pub(super) unsafe fn run_serial(&self, src: *const u8, dst: *mut u8) {
        if self.numel == 0 {
            return;
        }
        // SAFETY: the caller's promise; element sizes are powers of two up to 16 and buffers are aligned to their elements.
        unsafe {
            let bytes = self.bytes;
            match self.size {
                1 => copy_box(&self.dims, src, dst, bytes),
                2 => copy_box(&self.dims, src.cast::<u16>(), dst.cast(), bytes),
                4 => copy_box(&self.dims, src.cast::<u32>(), dst.cast(), bytes),
                8 => copy_box(&self.dims, src.cast::<u64>(), dst.cast(), bytes),
                _ => copy_box(&self.dims, src.cast::<[u64; 2]>(), dst.cast(), bytes),
            }
        }
    }

    /// Axes that threads may cut, and at multiples of what.
    fn cuts(&self) -> SmallVec<[(usize, usize); 6]> {
        let line = LINE / self.size;
        match &self.dims[..] {
            [outer @ .., a, b] if is_exchange(*a, *b) => {
                let n = outer.len();
                (0..n).map(|i| (i, 1)).chain([(n + 1, line), (n, line)]).collect()
            }
            // not the innermost, unless it is the only one
            dims => (0..dims.len().saturating_sub(1).max(1).min(dims.len())).map(|i| (i, 1)).collect(),
        }
    }

    unsafe fn run_parallel(&self, src: *const u8, dst: *mut u8) {
        let chunks = parallel::chunk_count(self.numel, 1);
        let units = |&(axis, unit): &(usize, usize)| self.dims[axis].n.div_ceil(unit);
        let Some((axis, unit)) = self.cuts().into_iter().rev().max_by_key(|c| units(c).min(chunks)) else {
            // SAFETY: the caller's promise.
            return unsafe { self.run_serial(src, dst) };
        };
        let (d, units) = (self.dims[axis], units(&(axis, unit)));
        let chunks = chunks.min(units);
        let (src, dst, size) = (In::new(src), Out::new(dst), self.size as isize);
        parallel::for_each(chunks, |i| {
            let r = chunk(units, chunks, i);
            let (start, end) = (r.start * unit, (r.end * unit).min(d.n));
            let mut part = StridedCopy { dims: self.dims.clone(), numel: 1, ..*self };
            part.dims[axis].n = end - start;
            // SAFETY: parts are disjoint ranges of one axis of the caller's box.
            unsafe {
                let s = src.get().offset(start as isize * d.src * size);
                part.run_serial(s, dst.get().offset(start as isize * d.dst * size));
            }
        });
    }
}

/// Whether one of the last two axes is contiguous in the source and the other in the destination.
fn is_exchange(a: Dim, b: Dim) -> bool {
    a.src == 1 && b.src.unsigned_abs() > 1 && b.dst == 1
}

unsafe fn copy_box<T: Copy>(dims: &[Dim], src: *const T, dst: *mut T, bytes: usize) {
    // SAFETY: all addresses are points of the caller's box.
    unsafe {
        match dims {
            [] => *dst = *src,
            [d] => copy_row(*d, src, dst),
            [a, b] if is_exchange(*a, *b) => {
                Exchange { n: [a.n, b.n], src: b.src, dst: a.dst }.run(src, dst, bytes);
            }
            [d, rest @ ..] => {
                for i in 0..d.n as isize {
                    copy_box(rest, src.offset(i * d.src), dst.offset(i * d.dst), bytes);
                }
            }
        }
    }
}

#[inline]
unsafe fn copy_row<T: Copy>(d: Dim, src: *const T, dst: *mut T) {
    // SAFETY: all addresses are points of the caller's box.
    unsafe {
        match (d.src, d.dst) {
            (1, 1) => copy_run(src, dst, d.n),
            (0, 1) => std::slice::from_raw_parts_mut(dst, d.n).fill(*src),
            (s, 1) => {
                for i in 0..d.n {
                    *dst.add(i) = *src.offset(i as isize * s);
                }
            }
            (s, t) => {
                for i in 0..d.n as isize {
                    *dst.offset(i * t) = *src.offset(i * s);
                }
            }
        }
    }
}

/// A contiguous copy, inline for the short runs that a library call would dominate.
///
/// # Safety
/// `n` elements at `src` are readable, at `dst` writable, and they do not overlap.
#[inline(always)]
pub(super) unsafe fn copy_run<T: Copy>(src: *const T, dst: *mut T, n: usize) {
    // SAFETY: the caller's promise; each step stays below n.
    unsafe {
        if n * size_of::<T>() > 512 {
            return std::ptr::copy_nonoverlapping(src, dst, n);
        }
        let step = 16 / size_of::<T>().max(1);
        let mut i = 0;
        while i + step <= n {
            std::ptr::copy_nonoverlapping(src.add(i).cast::<[u8; 16]>(), dst.add(i).cast::<[u8; 16]>(), 1);
            i += step;
        }
        while i < n {
            *dst.add(i) = *src.add(i);
            i += 1;
        }
    }
}

/// Row-major strides of a dense array, signed.
pub(super) fn dense(shape: &[usize]) -> SmallVec<[isize; 6]> {
    let mut strides: SmallVec<[isize; 6]> = SmallVec::from_elem(1, shape.len());
    for i in (0..shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * shape[i + 1] as isize;
    }
    strides
}
