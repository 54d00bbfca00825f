//! Scatter. Updates of one element combine in row-major order of the updates, on however many threads.
//!
//! Where no two windows overlap but in whole, the operand is cut into *shelves*, runs of elements: the updates are
//! sorted by shelf, those of a shelf staying in order, and each shelf is one thread's. Windows of many elements are cut
//! themselves. Everything else happens one window after the other.

use super::indexing::{Vectors, read_index};
use super::parallel::{self, In, Out, PARALLEL_WORK, chunk};
use super::scalar::{Loop, Scalar, wide, with_ring, with_scalar};
use super::shaping::copy_all;
use super::strided::{Walk, dense};
use super::{LibraryCall, Scratch};
use gradloom_ir::{DType, Error, Op, Result, ScatterKind, Shape, Type};
use std::ops::Range;

/// Most shelves.
const SHELVES: usize = 64;

/// Windows of fewer elements cost more to sort than to apply, unless there are [`MANY_THREADS`].
const SMALL_WINDOW: usize = 4;

const MANY_THREADS: usize = 4;

/// How many windows ahead updates are fetched: those of one shelf are not next to each other.
const AHEAD: usize = 16;

/// Most cache lines of a window that are fetched ahead; the machine notices longer runs by itself.
const FETCHED: usize = 4;

/// Windows whose places are found before their updates are applied.
const BATCH: usize = 64;

/// A window: its offsets in the operand and in the updates, in elements.
#[derive(Clone, Copy)]
struct Window {
    to: u32,
    from: u32,
}

/// Where a dropped window goes.
const NOWHERE: u32 = u32::MAX;

/// Combines updates into the operand: `(walk over [operand, update] offsets of a window, the points of it to do,
/// windows, operand, updates)`.
type CombineFn = unsafe fn(&Walk<2>, Range<usize>, &[Window], *mut u8, *const u8);

fn combine_fn(kind: ScatterKind, dtype: DType) -> CombineFn {
    if dtype == DType::Bool {
        return match kind {
            ScatterKind::Set => combine::<u8, SET>,
            ScatterKind::Add | ScatterKind::Max => combine::<u8, MAX>,
            ScatterKind::Mul | ScatterKind::Min => combine::<u8, MIN>,
        };
    }
    match kind {
        ScatterKind::Set => with_ring!(dtype, T => combine::<T, SET>),
        ScatterKind::Add => with_ring!(dtype, T => combine::<T, ADD>),
        ScatterKind::Mul => with_ring!(dtype, T => combine::<T, MUL>),
        ScatterKind::Min => with_scalar!(dtype, T => combine::<T, MIN>),
        ScatterKind::Max => with_scalar!(dtype, T => combine::<T, MAX>),
    }
}

const SET: u8 = 0;
const ADD: u8 = 1;
const MUL: u8 = 2;
const MIN: u8 = 3;
const MAX: u8 = 4;

unsafe fn combine<T: Scalar, const KIND: u8>(
    walk: &Walk<2>,
    points: Range<usize>,
    windows: &[Window],
    x: *mut u8,
    u: *const u8,
) {
    wide(Combining::<T, KIND> { walk, points, windows, x: x.cast(), u: u.cast() })
}

struct Combining<'a, T, const KIND: u8> {
    walk: &'a Walk<2>,
    points: Range<usize>,
    windows: &'a [Window],
    x: *mut T,
    u: *const T,
}

impl<T: Scalar, const KIND: u8> Combining<'_, T, KIND> {
    #[inline(always)]
    fn one(old: T, new: T) -> T {
        match KIND {
            SET => new,
            ADD => old.add(new),
            MUL => old.mul(new),
            MIN => old.lesser(new),
            _ => old.greater(new),
        }
    }
}

impl<T: Scalar, const KIND: u8> Loop for Combining<'_, T, KIND> {
    #[inline(always)]
    fn run(self) {
        let Range { start, end } = self.points;
        for (i, w) in self.windows.iter().enumerate() {
            // SAFETY: the caller's promise: all points of the walk from the windows' offsets are elements of both.
            let (x, u) = unsafe { (self.x.add(w.to as usize), self.u.add(w.from as usize)) };
            match self.walk.dims() {
                // SAFETY: as above.
                [] => unsafe { *x = Self::one(*x, *u) },
                [(_, [1, 1])] => {
                    if let Some(next) = self.windows.get(i + AHEAD) {
                        fetch(self.u.wrapping_add(next.from as usize), end);
                    }
                    // SAFETY: as above; operand and updates do not overlap.
                    unsafe {
                        let x = std::slice::from_raw_parts_mut(x.add(start), end - start);
                        let u = std::slice::from_raw_parts(u.add(start), end - start);
                        x.iter_mut().zip(u).for_each(|(x, &u)| *x = Self::one(*x, u));
                    }
                }
                // SAFETY: as above.
                _ => self.walk.for_each(start..end, |[i, j]| unsafe {
                    *x.offset(i) = Self::one(*x.offset(i), *u.offset(j));
                }),
            }
        }
    }
}

/// Asks for the first lines of `n` elements.
#[inline(always)]
fn fetch<T>(p: *const T, n: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..n * size_of::<T>()).step_by(64).take(FETCHED) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast::<i8>().wrapping_add(line)) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (p, n);
}

/// A scatter's windows and what is done with them.
struct Scatter {
    size: isize,
    vectors: Vectors,
    /// `[offset in the indices, in the updates, in the operand]` of each window.
    outer: Walk<3>,
    inner: Walk<2>,
    apply: CombineFn,
    /// Whether 32 bits hold the offsets.
    numbered: bool,
}

impl Scatter {
    /// The offset of a window in the operand; `None` if it does not fit and is dropped.
    ///
    /// # Safety
    /// `at` is the offset of an index vector in `indices`.
    #[inline(always)]
    unsafe fn place(&self, indices: *const u8, at: isize, base: isize) -> Option<isize> {
        let mut to = base;
        for c in &self.vectors.components {
            // SAFETY: the caller's promise.
            let start = unsafe { read_index(self.vectors.dtype, indices, at + c.at) };
            if start < 0 || start > c.max {
                return None;
            }
            to += start as isize * c.stride;
        }
        Some(to)
    }

    /// # Safety
    /// [`LibraryCall::run`]'s promise on `[operand, indices, updates]`, the first of which is changed.
    unsafe fn one_by_one(&self, x: *mut u8, indices: *const u8, updates: *const u8) {
        let points = self.inner.len();
        let chunks = parallel::chunk_count(points, 1);
        if chunks == 1 && self.numbered {
            // SAFETY: the caller's promise.
            return unsafe { self.in_batches(x, indices, updates) };
        }
        let here = [Window { to: 0, from: 0 }];
        self.outer.for_each(0..self.outer.len(), |[at, from, base]| {
            // SAFETY: index vectors are inside `indices`; windows that do not fit are dropped, so all others are
            // inside the operand, and their parts are disjoint.
            unsafe {
                let Some(to) = self.place(indices, at, base) else { return };
                let (x, u) = (Out::new(x.offset(to * self.size)), In::new(updates.offset(from * self.size)));
                parallel::for_each(chunks, |c| {
                    (self.apply)(&self.inner, chunk(points, chunks, c), &here, x.get(), u.get());
                });
            }
        });
    }

    /// # Safety
    /// As for [`Scatter::one_by_one`].
    unsafe fn in_batches(&self, x: *mut u8, indices: *const u8, updates: *const u8) {
        let mut batch = [Window { to: 0, from: 0 }; BATCH];
        let mut filled = 0;
        // SAFETY: as in `one_by_one`.
        let apply = |windows: &[Window]| unsafe { (self.apply)(&self.inner, 0..self.inner.len(), windows, x, updates) };
        self.outer.for_each(0..self.outer.len(), |[at, from, base]| {
            // SAFETY: as in `one_by_one`.
            let Some(to) = (unsafe { self.place(indices, at, base) }) else { return };
            batch[filled] = Window { to: to as u32, from: from as u32 };
            filled += 1;
            if filled == BATCH {
                apply(&batch);
                filled = 0;
            }
        });
        apply(&batch[..filled]);
    }
}

/// How the operand is cut.
struct Shelves {
    /// A shelf has two to this elements.
    shift: u32,
    count: usize,
    /// Parts of the windows in which they are sorted.
    chunks: usize,
    /// Where in scratch are the places of all windows, the sorted windows, and how many each chunk has a shelf.
    places: usize,
    sorted: usize,
    counts: usize,
}

impl Shelves {
    fn new(s: &Scatter, x: &Type, updates: &Type, scratch: &mut Scratch) -> Shelves {
        let mut shift = 0;
        while (x.numel() - 1) >> shift >= SHELVES {
            shift += 1;
        }
        let (n, count) = (s.outer.len(), ((x.numel() - 1) >> shift) + 1);
        let chunks = parallel::chunk_count(n, updates.numel() / n).min(n.div_ceil(SHELVES));
        let places = scratch.take(n * size_of::<u32>());
        let sorted = scratch.take(n * size_of::<Window>());
        Shelves { shift, count, chunks, places, sorted, counts: scratch.take(chunks * count * size_of::<usize>()) }
    }

    /// # Safety
    /// As for [`Scatter::one_by_one`]; `scratch` is the call's.
    unsafe fn run(&self, s: &Scatter, x: *mut u8, indices: *const u8, updates: *const u8, scratch: *mut u8) {
        let (n, shift) = (s.outer.len(), self.shift);
        let (x, indices, updates) = (Out::new(x), In::new(indices), In::new(updates));
        // SAFETY: `new` reserved these.
        let [places, sorted, counts] =
            [self.places, self.sorted, self.counts].map(|at| Out::new(unsafe { scratch.add(at) }));
        // SAFETY: each chunk has counters of its own.
        let counts_of = |c: usize| unsafe {
            std::slice::from_raw_parts_mut(counts.get().cast::<usize>().add(c * self.count), self.count)
        };
        parallel::for_each(self.chunks, |c| {
            let (counts, part) = (counts_of(c), chunk(n, self.chunks, c));
            counts.fill(0);
            let mut i = part.start;
            s.outer.for_each(part, |[at, _, base]| {
                // SAFETY: as in `one_by_one`; there are `n` places.
                unsafe {
                    let to = s.place(indices.get(), at, base).map_or(NOWHERE, |to| to as u32);
                    *places.get().cast::<u32>().add(i) = to;
                    if to != NOWHERE {
                        counts[(to >> shift) as usize] += 1;
                    }
                }
                i += 1;
            });
        });
        // from how many to where the first goes: shelf by shelf, in each of them chunk by chunk
        let mut ends = [0; SHELVES];
        let mut next = 0;
        for (shelf, end) in ends.iter_mut().enumerate().take(self.count) {
            for c in 0..self.chunks {
                let count = &mut counts_of(c)[shelf];
                next += std::mem::replace(count, next);
            }
            *end = next;
        }
        parallel::for_each(self.chunks, |c| {
            let (next, part) = (counts_of(c), chunk(n, self.chunks, c));
            let mut i = part.start;
            s.outer.for_each(part, |[_, from, _]| {
                // SAFETY: `next` counts through positions that are this chunk's alone.
                unsafe {
                    let to = *places.get().cast::<u32>().add(i);
                    if to != NOWHERE {
                        let next = &mut next[(to >> shift) as usize];
                        *sorted.get().cast::<Window>().add(*next) = Window { to, from: from as u32 };
                        *next += 1;
                    }
                }
                i += 1;
            });
        });
        parallel::for_each(self.count, |shelf| {
            let start = if shelf == 0 { 0 } else { ends[shelf - 1] };
            // SAFETY: the windows of a shelf are sorted; those of different shelves do not overlap.
            unsafe {
                let first = sorted.get().cast::<Window>().cast_const().add(start);
                let windows = std::slice::from_raw_parts(first, ends[shelf] - start);
                (s.apply)(&s.inner, 0..s.inner.len(), windows, x.get(), updates.get());
            }
        });
    }
}

pub(super) fn scatter(op: &Op, x: &Type, indices: &Type, updates: &Type) -> Result<LibraryCall> {
    let Op::Scatter {
        update_window_dims,
        inserted_window_dims,
        input_batching_dims,
        scatter_indices_batching_dims,
        scatter_dims_to_operand_dims,
        index_vector_dim,
        kind,
    } = op
    else {
        return Err(Error::internal("scatter", "not a scatter"));
    };
    let (xs, us) = (dense(&x.shape), dense(&updates.shape));
    let window: Shape =
        (0..x.rank()).filter(|a| !inserted_window_dims.contains(a) && !input_batching_dims.contains(a)).collect();
    let mut sizes = Shape::from_elem(1, x.rank());
    let in_window = |d: &usize| update_window_dims.contains(d);
    window.iter().zip((0..updates.rank()).filter(in_window)).for_each(|(&a, d)| sizes[a] = updates.shape[d]);
    let batching = [&input_batching_dims[..], &scatter_indices_batching_dims[..]];
    let vectors = Vectors::new(x, indices, *index_vector_dim, scatter_dims_to_operand_dims, batching, &sizes);
    // Updates apply in row-major order: the axes up to the last one of the grid are walked, the rest is a box.
    let split = (0..updates.rank()).rev().find(|d| !in_window(d)).map_or(0, |d| d + 1);
    let (mut grid, mut axes) = (vectors.grid.iter(), window.iter());
    let (mut outer, mut inner) = (Vec::new(), Vec::new());
    for d in 0..updates.rank() {
        let n = updates.shape[d];
        if !in_window(&d) {
            let &(_, i, b) = grid.next().ok_or_else(|| Error::internal("scatter", "grid axes"))?;
            outer.push((n, [i, us[d], b]));
        } else {
            let &a = axes.next().ok_or_else(|| Error::internal("scatter", "window axes"))?;
            if d < split { outer.push((n, [0, us[d], xs[a]])) } else { inner.push((n, [xs[a], us[d]])) }
        }
    }
    let s = Scatter {
        size: x.dtype.size() as isize,
        vectors,
        outer: Walk::new(outer),
        inner: Walk::new(inner),
        apply: combine_fn(*kind, x.dtype),
        numbered: x.numel().max(updates.numel()) < NOWHERE as usize,
    };
    let all = copy_all(x);
    let nothing = x.numel() == 0 || updates.numel() == 0;
    let name = format!("scatter {} {updates} into {x}", kind.name());
    // windows of one element along the axes that are addressed overlap in whole or not at all
    let apart = scatter_dims_to_operand_dims.iter().all(|&a| sizes[a] == 1);
    let worth = updates.numel() >= 2 * PARALLEL_WORK && s.outer.len() >= 2 * SHELVES;
    let mut scratch = Scratch::default();
    let shelves = (!nothing && apart && s.numbered && worth).then(|| Shelves::new(&s, x, updates, &mut scratch));
    Ok(LibraryCall::new(name, scratch, updates.numel() as u64, move |args, outs, scratch| {
        // SAFETY: `LibraryCall::run`'s promise.
        unsafe {
            if outs[0].cast_const() != args[0] {
                all.run(args[0], outs[0]);
            }
            if nothing {
                return;
            }
            // the results are the same either way
            let threads = parallel::threads();
            let least = if s.inner.len() < SMALL_WINDOW { MANY_THREADS } else { 2 };
            match &shelves {
                Some(shelves) if threads >= least => shelves.run(&s, outs[0], args[1], args[2], scratch),
                _ => s.one_by_one(outs[0], args[1], args[2]),
            }
        }
    }))
}
