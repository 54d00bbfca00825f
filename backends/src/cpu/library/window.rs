//! Sliding windows: reduce_window, select_and_gather and select_and_scatter.
//!
//! Trailing axes on which the window is a single element are one contiguous *unit*; the last axis on which it is
//! not is walked within a *row* of windows. For each tap the inner loops run over a whole row, so that channels
//! (the unit of images in NHWC) or neighbouring windows are combined as vectors.

use super::combine::{Combine, with_combine};
use super::parallel::{self, In, Out, chunk};
use super::patches::{Cursor, Sliding, Windows, inside};
use super::reduction::beats;
use super::scalar::{Loop, Scalar, wide, with_ring, with_scalar, with_size};
use super::strided::dense;
use super::{LibraryCall, Scratch, too_many};
use gradloom_ir::{Op, ReduceKind, Result, Type, WindowGeometry};
use std::marker::PhantomData;
use std::ops::Range;

/// The axis walked within a row.
#[derive(Clone, Copy)]
struct Along {
    /// Windows in a row, taps of each.
    windows: usize,
    taps: usize,
    /// Steps between windows, taps and elements of the base; coordinate of the first tap; end of the base.
    step: i64,
    reach: i64,
    dilation: i64,
    low: i64,
    limit: i64,
}

impl Along {
    /// Windows of a row whose tap number `tap` is in the base, if elements have no gaps.
    #[inline(always)]
    fn inside(&self, tap: usize) -> Range<usize> {
        inside(self.low + tap as i64 * self.reach, self.step, self.windows, self.limit)
    }
}

struct Layout {
    /// Axes before `along`.
    outer: Windows,
    along: Along,
    /// Elements of a unit: also the stride of the base along `along`.
    unit: usize,
    rows: usize,
    /// Leading rows-of-rows that share no element of the base: the product of leading axes with trivial windows.
    independent: usize,
}

impl Layout {
    /// `None` if there is nothing to compute or to read.
    fn new(op: &Op, x: &Type) -> Result<Option<Layout>> {
        let g = WindowGeometry::new(op, x)?;
        if g.out.contains(&0) || x.numel() == 0 {
            return Ok(None);
        }
        let trivial = |a: usize| {
            g.window[a] == 1
                && g.strides[a] == 1
                && g.padding[a] == (0, 0)
                && (g.base_dilation[a] == 1 || x.shape[a] == 1)
        };
        let last = (0..x.rank()).rev().find(|&a| !trivial(a));
        let end = last.map_or(0, |a| a + 1);
        let unit: usize = if last.is_none() { x.numel() } else { x.shape[end..].iter().product() };
        let strides = dense(&x.shape);
        let mut along = Along { windows: 1, taps: 1, step: 1, reach: 1, dilation: 1, low: 0, limit: 1 };
        let mut outer = Windows::new();
        for a in 0..end {
            let s = Sliding {
                counts: [g.out[a], g.window[a]],
                steps: [g.strides[a] as i64, g.window_dilation[a] as i64],
                low: -g.padding[a].0,
                len: x.shape[a],
                dilation: g.base_dilation[a] as i64,
                stride: strides[a],
                mats: [0, 0],
            };
            if a + 1 == end {
                along = Along {
                    windows: s.counts[0],
                    taps: s.counts[1],
                    step: s.steps[0],
                    reach: s.steps[1],
                    dilation: s.dilation,
                    low: s.low,
                    limit: (s.len as i64 - 1) * s.dilation + 1,
                };
            } else if !outer.slide(s) {
                return Err(too_many(op.name()));
            }
        }
        let rows = outer.positions.len();
        let leading = (0..end.saturating_sub(1)).take_while(|&a| trivial(a));
        let independent = leading.map(|a| g.out[a]).product();
        Ok(Some(Layout { outer, along, unit, rows, independent }))
    }

    /// Elements of the result in a row.
    fn row_len(&self) -> usize {
        self.along.windows * self.unit
    }

    fn taps(&self) -> usize {
        self.outer.taps.len() * self.along.taps
    }

    /// Calls `f` with each tap of the windows of a row that is in the base: its number, its windows, and the offset
    /// in the base of the first window's unit. Windows are listed as ranges; with gaps in the base, one by one.
    #[inline(always)]
    fn for_taps(&self, row: &Cursor, mut f: impl FnMut(usize, Range<usize>, isize)) {
        let a = &self.along;
        let at = self.outer.start.plus(&row.point);
        let mut tap = Cursor::new(&self.outer.taps.0, 0);
        for outer in 0..self.outer.taps.len() {
            if let Some(base) = at.plus(&tap.point).address(&self.outer.checked, usize::MAX) {
                for t in 0..a.taps {
                    let (number, start) = (outer * a.taps + t, a.low + t as i64 * a.reach);
                    if a.dilation == 1 {
                        let windows = a.inside(t);
                        if !windows.is_empty() {
                            let first = start + windows.start as i64 * a.step;
                            f(number, windows, base + first as isize * self.unit as isize);
                        }
                        continue;
                    }
                    for j in 0..a.windows {
                        let x = start + j as i64 * a.step;
                        if (0..a.limit).contains(&x) && x % a.dilation == 0 {
                            f(number, j..j + 1, base + (x / a.dilation) as isize * self.unit as isize);
                        }
                    }
                }
            }
            tap.step(&self.outer.taps.0);
        }
    }
}

/// A call on a layout in which nothing is read.
fn constant(op: &Op, out: &Type, element: Vec<u8>) -> LibraryCall {
    let n = out.numel();
    LibraryCall::new(format!("{} of nothing", op.name()), Scratch::default(), 0, move |_, outs, _| {
        for i in 0..n {
            // SAFETY: the result has n elements.
            unsafe {
                std::ptr::copy_nonoverlapping(element.as_ptr(), outs[0].add(i * element.len()), element.len());
            }
        }
    })
}

type ReduceFn = unsafe fn(&Layout, Range<usize>, *const u8, *mut u8);

pub(super) fn reduce_window(op: &Op, kind: ReduceKind, x: &Type, out: &Type) -> Result<LibraryCall> {
    let Some(layout) = Layout::new(op, x)? else {
        let identity = with_combine!(kind, x.dtype, T, C => <C as Combine<T>>::IDENTITY.to_ne_bytes().to_vec());
        return Ok(constant(op, out, identity));
    };
    let run: ReduceFn = with_combine!(kind, x.dtype, T, C => reduce_rows::<T, C>);
    let work = layout.taps().saturating_mul(layout.row_len());
    let chunks = parallel::chunk_count(layout.rows, work);
    let name = format!("reduce_window {} of {x}, {} taps", kind.name(), layout.taps());
    Ok(LibraryCall::new(name, Scratch::default(), (layout.rows * work) as u64, move |args, outs, _| {
        let (x, out) = (In::new(args[0]), Out::new(outs[0]));
        // SAFETY: `LibraryCall::run`'s promise; chunks write disjoint rows.
        let part = |i: usize| unsafe { run(&layout, chunk(layout.rows, chunks, i), x.get(), out.get()) };
        if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
    }))
}

unsafe fn reduce_rows<T: Scalar, C: Combine<T>>(l: &Layout, rows: Range<usize>, x: *const u8, out: *mut u8) {
    wide(ReduceRows::<T, C> { l, rows, x: x.cast(), out: out.cast(), kind: PhantomData })
}

struct ReduceRows<'a, T, C> {
    l: &'a Layout,
    rows: Range<usize>,
    x: *const T,
    out: *mut T,
    kind: PhantomData<C>,
}

impl<T: Scalar, C: Combine<T>> Loop for ReduceRows<'_, T, C> {
    #[inline(always)]
    fn run(self) {
        let (l, unit) = (self.l, self.l.unit);
        let jump = l.along.step as isize * unit as isize;
        let mut row = Cursor::new(&l.outer.positions.0, self.rows.start);
        for r in self.rows.clone() {
            // SAFETY: row r of the result is ours; `for_taps` names only elements of the base.
            unsafe {
                let out = self.out.add(r * l.row_len());
                std::slice::from_raw_parts_mut(out, l.row_len()).fill(C::IDENTITY);
                l.for_taps(&row, |_, windows, at| {
                    let (mut from, count) = (self.x.offset(at), windows.len());
                    let to = out.add(windows.start * unit);
                    if unit == 1 {
                        for j in 0..count {
                            *to.add(j) = C::combine(*to.add(j), *from.offset(j as isize * jump));
                        }
                        return;
                    }
                    for j in 0..count {
                        let to = std::slice::from_raw_parts_mut(to.add(j * unit), unit);
                        let x = std::slice::from_raw_parts(from, unit);
                        to.iter_mut().zip(x).for_each(|(o, &x)| *o = C::combine(*o, x));
                        from = from.wrapping_offset(jump);
                    }
                });
            }
            row.step(&l.outer.positions.0);
        }
    }
}

/// For each window of a row the number of its first best tap, `NONE` if it has none.
type WinnersFn = unsafe fn(&Layout, &Cursor, *const u8, *mut u8, *mut u32);

/// No tap of the window is in the base.
const NONE: u32 = u32::MAX;

unsafe fn winners<T: Scalar, const MAX: bool>(l: &Layout, row: &Cursor, key: *const u8, best: *mut u8, tap: *mut u32) {
    wide(Winners::<T, MAX> { l, row, key: key.cast(), best: best.cast(), tap })
}

struct Winners<'a, T, const MAX: bool> {
    l: &'a Layout,
    row: &'a Cursor,
    key: *const T,
    best: *mut T,
    tap: *mut u32,
}

impl<T: Scalar, const MAX: bool> Loop for Winners<'_, T, MAX> {
    #[inline(always)]
    fn run(self) {
        let (l, unit) = (self.l, self.l.unit);
        let jump = l.along.step as isize * unit as isize;
        // SAFETY: `best` and `tap` have room for a row; `for_taps` names only elements of the base.
        unsafe {
            std::slice::from_raw_parts_mut(self.tap, l.row_len()).fill(NONE);
            std::slice::from_raw_parts_mut(self.best, l.row_len()).fill(T::ZERO);
            l.for_taps(self.row, |number, windows, at| {
                let mut from = self.key.offset(at);
                for j in windows {
                    let best = std::slice::from_raw_parts_mut(self.best.add(j * unit), unit);
                    let tap = std::slice::from_raw_parts_mut(self.tap.add(j * unit), unit);
                    let keys = std::slice::from_raw_parts(from, unit);
                    for ((b, t), &k) in best.iter_mut().zip(tap).zip(keys) {
                        let take = (*t == NONE) | beats::<T, MAX>(k, *b);
                        *b = if take { k } else { *b };
                        *t = if take { number as u32 } else { *t };
                    }
                    from = from.wrapping_offset(jump);
                }
            });
        }
    }
}

/// What the two selecting ops share.
struct Select {
    layout: Layout,
    winners: WinnersFn,
    /// Offset in the base of each tap, relative to the first.
    taps: Vec<isize>,
    /// Offset in the base of the first tap of each row's first window (perhaps outside).
    rows: Vec<isize>,
    /// Elements of the base an independent group of rows reads.
    group_len: usize,
    /// Whether no two windows share an element.
    disjoint: bool,
}

impl Select {
    fn new(op: &Op, kind: ReduceKind, key: &Type) -> Result<Option<Select>> {
        let Some(layout) = Layout::new(op, key)? else { return Ok(None) };
        if layout.taps() >= NONE as usize {
            return Err(gradloom_ir::Error::limit(op.name(), "a window of more than 2^32 elements"));
        }
        let winners: WinnersFn = match kind {
            ReduceKind::Max => with_scalar!(key.dtype, T => winners::<T, true>),
            _ => with_scalar!(key.dtype, T => winners::<T, false>),
        };
        let (w, a, unit) = (&layout.outer, &layout.along, layout.unit as isize);
        let linear = |c: &Cursor| {
            c.point.src + w.checked.iter().zip(c.point.at).map(|(k, x)| x as isize * k.stride).sum::<isize>()
        };
        let mut start = Cursor::new(&[], 0);
        start.point = w.start;
        let first = linear(&start) + a.low as isize * unit;
        let offsets = |axes: &super::patches::Axes| -> Vec<isize> {
            let mut c = Cursor::new(&axes.0, 0);
            (0..axes.len())
                .map(|_| {
                    let at = linear(&c);
                    c.step(&axes.0);
                    at
                })
                .collect()
        };
        let rows = offsets(&w.positions).into_iter().map(|r| r + first).collect();
        let along = |t: isize| (0..a.taps as isize).map(move |k| t + k * a.reach as isize * unit);
        let taps = offsets(&w.taps).into_iter().flat_map(along).collect();
        let group_len = key.numel() / layout.independent;
        let g = WindowGeometry::new(op, key)?;
        let disjoint = (0..key.rank()).all(|a| g.window[a] <= g.strides[a]);
        Ok(Some(Select { layout, winners, taps, rows, group_len, disjoint }))
    }

    /// Calls `f` with each of `rows`: its number, its place, and the tap numbers of its winners. `scratch` holds a row.
    ///
    /// # Safety
    /// `key` is of the prepared type, and `scratch` has [`Select::room`] bytes.
    #[inline(always)]
    unsafe fn for_each(
        &self,
        rows: Range<usize>,
        key: *const u8,
        scratch: *mut u8,
        mut f: impl FnMut(usize, &Cursor, &[u32]),
    ) {
        let l = &self.layout;
        let n = l.row_len();
        let tap = scratch.wrapping_add(n * 8).cast::<u32>();
        let mut row = Cursor::new(&l.outer.positions.0, rows.start);
        for r in rows {
            // SAFETY: the caller's promise: scratch has room for n keys of up to 8 bytes and n tap numbers.
            let taps = unsafe {
                (self.winners)(l, &row, key, scratch, tap);
                std::slice::from_raw_parts(tap.cast_const(), n)
            };
            f(r, &row, taps);
            row.step(&l.outer.positions.0);
        }
    }

    /// Bytes of scratch of one chunk.
    fn room(&self) -> usize {
        (self.layout.row_len() * 12).next_multiple_of(64)
    }

    fn work(&self) -> usize {
        self.layout.taps().saturating_mul(self.layout.row_len()).saturating_mul(2)
    }
}

type SelectFn = unsafe fn(&Select, Range<usize>, *const u8, *const u8, *mut u8, *mut u8);

pub(super) fn select_and_gather(op: &Op, kind: ReduceKind, args: &[Type], out: &Type) -> Result<LibraryCall> {
    let size = out.dtype.size();
    let Some(select) = Select::new(op, kind, &args[1])? else { return Ok(constant(op, out, vec![0; size])) };
    let run: SelectFn = with_size!(size, T => gather_rows::<T>);
    let rows = select.layout.rows;
    let chunks = parallel::chunk_count(rows, select.work());
    Ok(selecting(op, select, rows, chunks, 1, run))
}

unsafe fn gather_rows<T: Scalar>(
    s: &Select,
    rows: Range<usize>,
    x: *const u8,
    key: *const u8,
    out: *mut u8,
    scratch: *mut u8,
) {
    wide(GatherRows::<T> { s, rows, x: x.cast(), key, out: out.cast(), scratch })
}

struct GatherRows<'a, T> {
    s: &'a Select,
    rows: Range<usize>,
    x: *const T,
    key: *const u8,
    out: *mut T,
    scratch: *mut u8,
}

impl<T: Scalar> Loop for GatherRows<'_, T> {
    #[inline(always)]
    fn run(self) {
        let l = &self.s.layout;
        let (unit, n, jump) = (l.unit, l.row_len(), l.along.step as isize * l.unit as isize);
        // SAFETY: `gather_rows`' caller passes its promise on; taps are in the base, rows of the result are ours.
        unsafe {
            self.s.for_each(self.rows, self.key, self.scratch, |r, row, taps| {
                let out = std::slice::from_raw_parts_mut(self.out.add(r * n), n);
                out.fill(T::ZERO);
                l.for_taps(row, |number, windows, at| {
                    for (i, j) in windows.enumerate() {
                        let units = j * unit..(j + 1) * unit;
                        let x = std::slice::from_raw_parts(self.x.offset(at + i as isize * jump), unit);
                        for ((o, &t), &x) in out[units.clone()].iter_mut().zip(&taps[units]).zip(x) {
                            *o = if t == number as u32 { x } else { *o };
                        }
                    }
                });
            });
        }
    }
}

pub(super) fn select_and_scatter(op: &Op, kind: ReduceKind, args: &[Type], out: &Type) -> Result<LibraryCall> {
    let size = out.dtype.size();
    let Some(select) = Select::new(op, kind, &args[1])? else { return Ok(constant(op, out, vec![0; size])) };
    let run: SelectFn = with_ring!(out.dtype, T => scatter_rows::<T>);
    // Windows that may share elements stay in one chunk, so that sums have one order.
    let l = &select.layout;
    let groups = l.independent;
    let per_group = l.rows / groups;
    let chunks = parallel::chunk_count(groups, select.work().saturating_mul(per_group));
    Ok(selecting(op, select, groups, chunks, per_group, run))
}

unsafe fn scatter_rows<T: Scalar>(
    s: &Select,
    rows: Range<usize>,
    source: *const u8,
    key: *const u8,
    out: *mut u8,
    scratch: *mut u8,
) {
    wide(ScatterRows::<T> { s, rows, source: source.cast(), key, out: out.cast(), scratch })
}

struct ScatterRows<'a, T> {
    s: &'a Select,
    rows: Range<usize>,
    source: *const T,
    key: *const u8,
    out: *mut T,
    scratch: *mut u8,
}

impl<T: Scalar> Loop for ScatterRows<'_, T> {
    #[inline(always)]
    fn run(self) {
        let (s, l) = (self.s, &self.s.layout);
        let (unit, n, jump) = (l.unit, l.row_len(), l.along.step as isize * l.unit as isize);
        let per_group = l.rows / l.independent;
        // SAFETY: `scatter_rows`' caller passes whole groups, on whose parts of the result no other chunk has
        // windows; taps and winners are elements of the base.
        unsafe {
            for group in self.rows.start / per_group..self.rows.end / per_group {
                std::slice::from_raw_parts_mut(self.out.add(group * s.group_len), s.group_len).fill(T::ZERO);
                let rows = group * per_group..(group + 1) * per_group;
                s.for_each(rows, self.key, self.scratch, |r, row, taps| {
                    let source = std::slice::from_raw_parts(self.source.add(r * n), n);
                    if s.disjoint {
                        // Every element belongs to at most one window, so all taps can be written as vectors.
                        l.for_taps(row, |number, windows, at| {
                            for (i, j) in windows.enumerate() {
                                let units = j * unit..(j + 1) * unit;
                                let to = std::slice::from_raw_parts_mut(self.out.offset(at + i as isize * jump), unit);
                                for ((o, &t), &x) in to.iter_mut().zip(&taps[units.clone()]).zip(&source[units]) {
                                    *o = if t == number as u32 { T::ZERO.add(x) } else { T::ZERO };
                                }
                            }
                        });
                        return;
                    }
                    for (i, (&x, &t)) in source.iter().zip(taps).enumerate() {
                        if t != NONE {
                            let window = s.rows[r] + (i / unit) as isize * jump + (i % unit) as isize;
                            let to = self.out.offset(window + s.taps[t as usize]);
                            *to = (*to).add(x);
                        }
                    }
                });
            }
        }
    }
}

/// A call that runs `run` on chunks of `units` of `rows_per_unit` rows.
fn selecting(op: &Op, select: Select, units: usize, chunks: usize, rows_per_unit: usize, run: SelectFn) -> LibraryCall {
    let mut scratch = Scratch::default();
    let room = select.room();
    let at = scratch.take(chunks * room);
    let name = format!("{} over {} rows, {} taps", op.name(), select.layout.rows, select.layout.taps());
    let flops = (select.work() * select.layout.rows / 2) as u64;
    LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
        let (x, key, out, scratch) = (In::new(args[0]), In::new(args[1]), Out::new(outs[0]), Out::new(scratch));
        let part = |i: usize| {
            let r = chunk(units, chunks, i);
            let rows = r.start * rows_per_unit..r.end * rows_per_unit;
            // SAFETY: `LibraryCall::run`'s promise; each chunk has its own scratch and its own part of the result.
            unsafe { run(&select, rows, x.get(), key.get(), out.get(), scratch.get().add(at + i * room)) }
        };
        if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
    })
}
