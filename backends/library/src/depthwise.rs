//! Convolutions with many small groups: vectors of groups instead of matrix products, along whole rows.

use super::conv::Layout;
use super::parallel::{self, In, Out, chunk};
use super::patches::{Axes, Axis, Cursor, Point, inside};
use super::scalar::{Loop, Scalar, wide, with_ring};
use super::{LibraryCall, Scratch};
use gradloom_ir::DType;
use std::ops::Range;

/// Groups from which a vector of them is filled.
const MANY: usize = 8;

/// Features of a group up to which matrix products would be mostly overhead, and largest stride between groups.
pub(super) const FEW: usize = 4;

/// Whether groups are many, small and close together in memory.
pub(super) fn applies(l: &Layout) -> bool {
    let close = |s: isize| s.unsigned_abs() <= FEW;
    l.groups >= MANY && l.features <= FEW && l.group_features <= FEW && close(l.group[0]) && close(l.group[2])
}

/// The longest axis of positions or taps, walked in the inner loop with fixed steps.
struct Along {
    n: usize,
    /// The checked coordinate it moves, and by how much.
    moves: Option<(usize, i64)>,
    /// Steps in lhs, kernel and result.
    steps: [isize; 3],
}

struct Plan {
    l: Layout,
    along: Along,
}

impl Plan {
    fn new(mut l: Layout) -> Plan {
        let w = &mut l.windows;
        let longest = |a: &Axes| (0..a.0.len()).max_by_key(|&i| a.0[i].n);
        let (p, t) = (longest(&w.positions), longest(&w.taps));
        let len = |axes: &Axes, i: Option<usize>| i.map_or(1, |i| axes.0[i].n);
        let of_taps = len(&w.taps, t) > len(&w.positions, p);
        let axis = match (if of_taps { t } else { p }, of_taps) {
            (Some(i), true) => w.taps.0.remove(i),
            (Some(i), false) => w.positions.0.remove(i),
            (None, _) => Axis { n: 1, src: 0, mat: 0, moves: None },
        };
        let step = axis.moves.map_or(axis.src, |(d, by)| w.checked[d].stride * by as isize);
        let steps = if of_taps { [step, axis.mat, 0] } else { [step, 0, axis.mat] };
        Plan { along: Along { n: axis.n, moves: axis.moves, steps }, l }
    }
}

pub(super) fn prepare(layout: Layout, dtype: DType, flops: u64) -> LibraryCall {
    let plan = Plan::new(layout);
    let l = &plan.l;
    let (positions, taps) = (l.windows.positions.len(), l.windows.taps.len());
    let work = [taps, plan.along.n, l.groups, l.features].into_iter().fold(1, usize::saturating_mul);
    let chunks = parallel::chunk_count(positions, work);
    let name = format!("convolution of {} groups, {positions} x {taps} x {}", l.groups, plan.along.n);
    let run = with_ring!(dtype, T => run_chunk::<T> as unsafe fn(&Plan, Range<usize>, *const u8, *const u8, *mut u8));
    LibraryCall::new(name, Scratch::default(), flops, move |args, outs, _| {
        let (lhs, rhs, out) = (In::new(args[0]), In::new(args[1]), Out::new(outs[0]));
        // SAFETY: the caller of `LibraryCall::run` passes buffers of the prepared types; chunks of positions are disjoint.
        let part = |i| unsafe { run(&plan, chunk(positions, chunks, i), lhs.get(), rhs.get(), out.get()) };
        if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
    })
}

unsafe fn run_chunk<T: Scalar>(plan: &Plan, positions: Range<usize>, lhs: *const u8, rhs: *const u8, out: *mut u8) {
    wide(Rows::<T> { plan, positions, lhs: lhs.cast(), rhs: rhs.cast(), out: out.cast() })
}

struct Rows<'a, T> {
    plan: &'a Plan,
    positions: Range<usize>,
    lhs: *const T,
    rhs: *const T,
    out: *mut T,
}

impl<T: Scalar> Loop for Rows<'_, T> {
    #[inline(always)]
    fn run(self) {
        let (l, along) = (&self.plan.l, &self.plan.along);
        let mut p = Cursor::new(&l.windows.positions.0, self.positions.start);
        for _ in self.positions.clone() {
            let from = l.windows.start.plus(&p.point);
            for o in 0..l.features as isize {
                // SAFETY: all offsets come from the types the layout was made from.
                unsafe {
                    let out = self.out.offset(p.mat + o * l.feature[1]);
                    for j in 0..if along.steps[2] == 0 { 1 } else { along.n } {
                        for g in 0..l.groups as isize {
                            *out.offset(j as isize * along.steps[2] + g * l.group[2]) = T::ZERO;
                        }
                    }
                    let mut t = Cursor::new(&l.windows.taps.0, 0);
                    for _ in 0..l.windows.taps.len() {
                        let kernel = self.rhs.offset(t.mat + o * l.feature[0]);
                        self.plan.tap(t.point.plus(&from), out, self.lhs, kernel);
                        t.step(&l.windows.taps.0);
                    }
                }
            }
            p.step(&l.windows.positions.0);
        }
    }
}

impl Plan {
    /// Adds what the points along the inner axis contribute, starting at `at`.
    #[inline(always)]
    unsafe fn tap<T: Scalar>(&self, at: Point, out: *mut T, lhs: *const T, kernel: *const T) {
        let (l, a) = (&self.l, &self.along);
        let checked = &l.windows.checked;
        let skip = a.moves.map_or(usize::MAX, |(d, _)| d);
        let Some(base) = at.address(checked, skip) else { return };
        // SAFETY: coordinates are checked before they are read; out and kernel steps stay inside their arrays.
        unsafe {
            let (range, base) = match a.moves {
                None => (0..a.n, base),
                Some((d, step)) if checked[d].dilation == 1 => {
                    let range = inside(at.at[d], step, a.n, checked[d].limit);
                    (range, base + at.at[d] as isize * checked[d].stride)
                }
                Some((d, step)) => {
                    let c = checked[d];
                    for j in 0..a.n as isize {
                        let x = at.at[d] + j as i64 * step;
                        if (0..c.limit).contains(&x) && x % c.dilation == 0 {
                            let x = lhs.offset(base + (x / c.dilation) as isize * c.stride);
                            multiply(l, out.offset(j * a.steps[2]), x, kernel.offset(j * a.steps[1]));
                        }
                    }
                    return;
                }
            };
            for j in range.map(|j| j as isize) {
                let x = lhs.offset(base + j * a.steps[0]);
                multiply(l, out.offset(j * a.steps[2]), x, kernel.offset(j * a.steps[1]));
            }
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
