//! Convolutions with many small groups: vectors of groups instead of matrix products.

use super::conv::Layout;
use super::parallel::{self, In, Out, chunk};
use super::patches::Cursor;
use super::scalar::{Loop, Scalar, wide, with_ring};
use super::{LibraryCall, Scratch};
use gradloom_ir::DType;
use std::ops::Range;

/// Groups from which a vector of them is filled.
const MANY: usize = 8;

/// Features of a group up to which matrix products would be mostly overhead, and largest stride between groups.
const FEW: usize = 4;

/// Whether groups are many, small and close together in memory.
pub(super) fn applies(l: &Layout) -> bool {
    let close = |s: isize| s.unsigned_abs() <= FEW;
    l.groups >= MANY && l.features <= FEW && l.group_features <= FEW && close(l.group[0]) && close(l.group[2])
}

pub(super) fn prepare(layout: Layout, dtype: DType, flops: u64) -> LibraryCall {
    let (positions, taps) = (layout.windows.positions.len(), layout.windows.taps.len());
    let work = taps.saturating_mul(layout.groups).saturating_mul(layout.features);
    let chunks = parallel::chunk_count(positions, work);
    let name = format!("convolution of {} groups, {positions} positions x {taps} taps", layout.groups);
    let run = with_ring!(dtype, T => run_chunk::<T> as unsafe fn(&Layout, Range<usize>, *const u8, *const u8, *mut u8));
    LibraryCall::new(name, Scratch::default(), flops, move |args, outs, _| {
        let (lhs, rhs, out) = (In::new(args[0]), In::new(args[1]), Out::new(outs[0]));
        // SAFETY: the caller of `LibraryCall::run` passes buffers of the prepared types; chunks of positions are disjoint.
        let part = |i| unsafe { run(&layout, chunk(positions, chunks, i), lhs.get(), rhs.get(), out.get()) };
        if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
    })
}

unsafe fn run_chunk<T: Scalar>(l: &Layout, positions: Range<usize>, lhs: *const u8, rhs: *const u8, out: *mut u8) {
    wide(Rows::<T> { l, positions, lhs: lhs.cast(), rhs: rhs.cast(), out: out.cast() })
}

struct Rows<'a, T> {
    l: &'a Layout,
    positions: Range<usize>,
    lhs: *const T,
    rhs: *const T,
    out: *mut T,
}

impl<T: Scalar> Loop for Rows<'_, T> {
    #[inline(always)]
    fn run(self) {
        let l = self.l;
        let mut p = Cursor::new(&l.windows.positions.0, self.positions.start);
        for _ in self.positions.clone() {
            let from = l.windows.start.plus(&p.point);
            for o in 0..l.features as isize {
                // SAFETY: all offsets come from the types the layout was made from.
                unsafe {
                    let out = self.out.offset(p.mat + o * l.feature[1]);
                    for g in 0..l.groups as isize {
                        *out.offset(g * l.group[2]) = T::ZERO;
                    }
                    let mut t = Cursor::new(&l.windows.taps.0, 0);
                    for _ in 0..l.windows.taps.len() {
                        if let Some(at) = t.point.plus(&from).address(&l.windows.checked, usize::MAX) {
                            multiply(l, out, self.lhs.offset(at), self.rhs.offset(t.mat + o * l.feature[0]));
                        }
                        t.step(&l.windows.taps.0);
                    }
                }
            }
            p.step(&l.windows.positions.0);
        }
    }
}

/// `out[g] += x[g] * k[g]` over groups.
#[inline(always)]
unsafe fn multiply<T: Scalar>(l: &Layout, out: *mut T, x: *const T, k: *const T) {
    let n = l.groups;
    // SAFETY: the caller's promise: `groups` elements at the strides between groups.
    unsafe {
        if l.group == [1, 1, 1] {
            let out = std::slice::from_raw_parts_mut(out, n);
            let (x, k) = (std::slice::from_raw_parts(x, n), std::slice::from_raw_parts(k, n));
            out.iter_mut().zip(x.iter().zip(k)).for_each(|(o, (&x, &k))| *o = o.add(x.mul(k)));
            return;
        }
        for g in 0..n as isize {
            let o = out.offset(g * l.group[2]);
            *o = (*o).add((*x.offset(g * l.group[0])).mul(*k.offset(g * l.group[1])));
        }
    }
}
