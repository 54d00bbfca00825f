//! Sliding windows: reduce_window, select_and_gather and select_and_scatter.
//!
//! Trailing axes on which the window is a single element are one contiguous *unit*; the last axis on which it is
//! not is walked within a *row* of windows. For each tap the inner loops run over a whole row, so that channels
//! (the unit of images in NHWC) or neighbouring windows are combined as vectors.

use super::combine::{Combine, with_combine};
use super::parallel::{self, In, Out, chunk};
use super::patches::{Cursor, Sliding, Windows, inside};
use super::reduction::beats;
use super::scalar::{Loop, Scalar, wide, with_bits, with_ring, with_scalar};
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

    /// Distance in the base between the units of neighbouring windows.
    fn jump(&self) -> isize {
        self.along.step as isize * self.unit as isize
    }

    fn taps(&self) -> usize {
        self.outer.taps.len() * self.along.taps
    }

    /// Visits each tap of the windows of a row that is in the base. Windows come as ranges; with gaps in the base,
    /// one by one.
    #[inline(always)]
    fn for_taps(&self, row: &Cursor, mut f: impl Visit) {
        let a = &self.along;
        let at = self.outer.start.plus(&row.point);
        let mut tap = Cursor::new(&self.outer.taps.0, 0);
        for outer in 0..self.outer.taps.len() {
            if let Some(base) = at.plus(&tap.point).address(&self.outer.checked, usize::MAX) {
                for t in 0..a.taps {
                    let (number, start) = (outer * a.taps + t, a.low + t as i64 * a.reach);
                    let mut windows = if a.dilation == 1 { a.inside(t) } else { 0..a.windows };
                    while !windows.is_empty() {
                        let x = start + windows.start as i64 * a.step;
                        let now = if a.dilation == 1 { windows.clone() } else { windows.start..windows.start + 1 };
                        windows.start = now.end;
                        if a.dilation == 1 || (0..a.limit).contains(&x) && x % a.dilation == 0 {
                            f.visit(number, now, base + (x / a.dilation) as isize * self.unit as isize);
                        }
                    }
                }
            }
            tap.step(&self.outer.taps.0);
        }
    }
}

/// What is done at a tap. A trait and not a closure, because a closure is not inlined reliably, and code that is not
/// inlined into a [`Loop`] does not get its vector width.
trait Visit {
    /// Must be `#[inline(always)]`. The tap's number, its windows in the row, and the offset in the base of the first
    /// window's unit.
    fn visit(&mut self, number: usize, windows: Range<usize>, at: isize);
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
        let (l, n) = (self.l, self.l.row_len());
        let mut row = Cursor::new(&l.outer.positions.0, self.rows.start);
        for r in self.rows.clone() {
            // SAFETY: row r of the result is ours.
            let out = unsafe { std::slice::from_raw_parts_mut(self.out.add(r * n), n) };
            out.fill(C::IDENTITY);
            l.for_taps(&row, ReduceTap::<T, C> { l, x: self.x, out, kind: PhantomData });
            row.step(&l.outer.positions.0);
        }
    }
}

struct ReduceTap<'a, T, C> {
    l: &'a Layout,
    x: *const T,
    out: &'a mut [T],
    kind: PhantomData<C>,
}

impl<T: Scalar, C: Combine<T>> Visit for ReduceTap<'_, T, C> {
    #[inline(always)]
    fn visit(&mut self, _: usize, windows: Range<usize>, at: isize) {
        let (unit, jump) = (self.l.unit, self.l.jump());
        let out = &mut self.out[windows.start * unit..windows.end * unit];
        if unit == 1 {
            for (i, o) in out.iter_mut().enumerate() {
                // SAFETY: the units of the windows at this tap are in the base.
                *o = C::combine(*o, unsafe { *self.x.offset(at + i as isize * jump) });
            }
            return;
        }
        for (i, out) in out.chunks_exact_mut(unit).enumerate() {
            // SAFETY: as above.
            let x = unsafe { std::slice::from_raw_parts(self.x.offset(at + i as isize * jump), unit) };
            out.iter_mut().zip(x).for_each(|(o, &x)| *o = C::combine(*o, x));
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
        let n = self.l.row_len();
        // SAFETY: `best` and `tap` have room for a row.
        let (best, taps) =
            unsafe { (std::slice::from_raw_parts_mut(self.best, n), std::slice::from_raw_parts_mut(self.tap, n)) };
        taps.fill(NONE);
        best.fill(T::ZERO);
        self.l.for_taps(self.row, WinnerTap::<T, MAX> { l: self.l, key: self.key, best, taps });
    }
}

struct WinnerTap<'a, T, const MAX: bool> {
    l: &'a Layout,
    key: *const T,
    best: &'a mut [T],
    taps: &'a mut [u32],
}

impl<T: Scalar, const MAX: bool> Visit for WinnerTap<'_, T, MAX> {
    #[inline(always)]
    fn visit(&mut self, number: usize, windows: Range<usize>, at: isize) {
        let (unit, jump) = (self.l.unit, self.l.jump());
        let units = windows.start * unit..windows.end * unit;
        let best = self.best[units.clone()].chunks_exact_mut(unit);
        for (i, (best, taps)) in best.zip(self.taps[units].chunks_exact_mut(unit)).enumerate() {
            // SAFETY: the units of the windows at this tap are in the base.
            let keys = unsafe { std::slice::from_raw_parts(self.key.offset(at + i as isize * jump), unit) };
            for ((b, t), &k) in best.iter_mut().zip(taps).zip(keys) {
                let take = (*t == NONE) | beats::<T, MAX>(k, *b);
                *b = if take { k } else { *b };
                *t = if take { number as u32 } else { *t };
            }
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

    /// The tap numbers of the winners of a row. `scratch` holds a row.
    ///
    /// # Safety
    /// `key` is of the prepared type, and `scratch` has [`Select::room`] bytes.
    #[inline(always)]
    unsafe fn taps_of<'a>(&self, row: &Cursor, key: *const u8, scratch: *mut u8) -> &'a [u32] {
        let n = self.layout.row_len();
        let tap = scratch.wrapping_add(n * 8).cast::<u32>();
        // SAFETY: the caller's promise: scratch has room for n keys of up to 8 bytes and n tap numbers.
        unsafe {
            (self.winners)(&self.layout, row, key, scratch, tap);
            std::slice::from_raw_parts(tap.cast_const(), n)
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
    let run: SelectFn = with_bits!(size, T => gather_rows::<T>);
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
        let (l, n) = (&self.s.layout, self.s.layout.row_len());
        let mut row = Cursor::new(&l.outer.positions.0, self.rows.start);
        for r in self.rows.clone() {
            // SAFETY: `gather_rows`' caller passes its promise on; rows of the result are ours.
            let (taps, out) = unsafe {
                let taps = self.s.taps_of(&row, self.key, self.scratch);
                (taps, std::slice::from_raw_parts_mut(self.out.add(r * n), n))
            };
            out.fill(T::ZERO);
            l.for_taps(&row, GatherTap { l, x: self.x, taps, out });
            row.step(&l.outer.positions.0);
        }
    }
}

struct GatherTap<'a, T> {
    l: &'a Layout,
    x: *const T,
    taps: &'a [u32],
    out: &'a mut [T],
}

impl<T: Scalar> Visit for GatherTap<'_, T> {
    #[inline(always)]
    fn visit(&mut self, number: usize, windows: Range<usize>, at: isize) {
        let (unit, jump) = (self.l.unit, self.l.jump());
        let units = windows.start * unit..windows.end * unit;
        let taps = self.taps[units.clone()].chunks_exact(unit);
        for (i, (out, taps)) in self.out[units].chunks_exact_mut(unit).zip(taps).enumerate() {
            // SAFETY: the units of the windows at this tap are in the base.
            let x = unsafe { std::slice::from_raw_parts(self.x.offset(at + i as isize * jump), unit) };
            for ((o, &t), &x) in out.iter_mut().zip(taps).zip(x) {
                *o = if t == number as u32 { x } else { *o };
            }
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
        let (s, l, n) = (self.s, &self.s.layout, self.s.layout.row_len());
        let per_group = l.rows / l.independent;
        let mut row = Cursor::new(&l.outer.positions.0, self.rows.start);
        for r in self.rows.clone() {
            // SAFETY: `scatter_rows`' caller passes whole groups, on whose parts of the result no other chunk has
            // windows; winners are elements of the base.
            unsafe {
                if r % per_group == 0 {
                    let part = self.out.add(r / per_group * s.group_len);
                    std::slice::from_raw_parts_mut(part, s.group_len).fill(T::ZERO);
                }
                let source = std::slice::from_raw_parts(self.source.add(r * n), n);
                let taps = s.taps_of(&row, self.key, self.scratch);
                if s.disjoint {
                    l.for_taps(&row, ScatterTap { l, source, taps, out: self.out });
                } else {
                    for (i, (&x, &t)) in source.iter().zip(taps).enumerate() {
                        if t != NONE {
                            let window = s.rows[r] + (i / l.unit) as isize * l.jump() + (i % l.unit) as isize;
                            let to = self.out.offset(window + s.taps[t as usize]);
                            *to = (*to).add(x);
                        }
                    }
                }
            }
            row.step(&l.outer.positions.0);
        }
    }
}

/// For windows that share no element: then every tap can be written as a vector.
struct ScatterTap<'a, T> {
    l: &'a Layout,
    source: &'a [T],
    taps: &'a [u32],
    out: *mut T,
}

impl<T: Scalar> Visit for ScatterTap<'_, T> {
    #[inline(always)]
    fn visit(&mut self, number: usize, windows: Range<usize>, at: isize) {
        let (unit, jump) = (self.l.unit, self.l.jump());
        let units = windows.start * unit..windows.end * unit;
        let taps = self.taps[units.clone()].chunks_exact(unit);
        for (i, (source, taps)) in self.source[units].chunks_exact(unit).zip(taps).enumerate() {
            // SAFETY: the units of the windows at this tap are in the base, and belong to these windows alone.
            let out = unsafe { std::slice::from_raw_parts_mut(self.out.offset(at + i as isize * jump), unit) };
            for ((o, &t), &x) in out.iter_mut().zip(taps).zip(source) {
                *o = if t == number as u32 { T::ZERO.add(x) } else { T::ZERO };
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
