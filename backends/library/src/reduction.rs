//! arg_reduce and cumulative, along one axis of `[outer, n, inner]`.

use super::combine::{Combine, with_combine};
use super::parallel::{self, In, Out, chunk};
use super::scalar::{Loop, Scalar, wide, with_scalar};
use super::{LibraryCall, Scratch};
use gradloom_ir::{ReduceKind, Type};
use std::marker::PhantomData;
use std::ops::Range;

/// Lanes whose best values are kept on the stack.
const BLOCK: usize = 64;

/// Rows of at most this length are searched several at a time: one has too few elements for vectors.
const SHORT_ROW: usize = 64;
const ROWS: usize = 16;

/// The axis an op runs along, and what is outside and inside of it.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    pub(super) outer: usize,
    pub(super) n: usize,
    pub(super) inner: usize,
}

impl Lanes {
    pub(super) fn new(ty: &Type, axis: usize) -> Lanes {
        let count = |r: &[usize]| r.iter().product();
        Lanes { outer: count(&ty.shape[..axis]), n: ty.shape[axis], inner: count(&ty.shape[axis + 1..]) }
    }
}

/// Runs `f` on parts of the lanes: whole outer rows, or columns of the only one.
fn for_lanes(l: Lanes, f: impl Fn(Range<usize>, Range<usize>) + Sync + Send) {
    if l.outer == 0 || l.inner == 0 {
        return;
    }
    let by_rows = l.outer > 1;
    let (units, work) = if by_rows { (l.outer, l.n * l.inner) } else { (l.inner.div_ceil(BLOCK), l.n * BLOCK) };
    let chunks = parallel::chunk_count(units, work);
    let part = |i: usize| {
        let r = chunk(units, chunks, i);
        if by_rows { f(r, 0..l.inner) } else { f(0..1, r.start * BLOCK..(r.end * BLOCK).min(l.inner)) }
    };
    if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
}

/// `(lanes, rows, columns, from the back, operand, result)`
type LanesFn = unsafe fn(Lanes, Range<usize>, Range<usize>, bool, *const u8, *mut u8);

/// Fewer rows than this, each at least this long, are cut along their length.
const FEW_ROWS: usize = 16;
const LONG_ROW: usize = 1 << 16;

pub(super) fn arg_reduce(kind: ReduceKind, x: &Type, axis: usize) -> LibraryCall {
    let lanes = Lanes::new(x, axis);
    let name = format!("arg_reduce {} of {x} along {axis}", kind.name());
    let (run, best): (LanesFn, BestFn) = match kind {
        ReduceKind::Max => with_scalar!(x.dtype, T => (arg_lanes::<T, true>, best_of::<T, true>)),
        _ => with_scalar!(x.dtype, T => (arg_lanes::<T, false>, best_of::<T, false>)),
    };
    let (flops, size) = (x.numel() as u64, x.dtype.size());
    if lanes.inner == 1 && lanes.outer < FEW_ROWS && lanes.n >= LONG_ROW {
        let (rows, n) = (lanes.outer, lanes.n);
        let parts = parallel::chunk_count(n, 1);
        let mut scratch = Scratch::default();
        let at = scratch.take(rows * parts * size_of::<i32>());
        return LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
            // SAFETY: `LibraryCall::run`'s promise: parts are inside rows, and there is room for a position of each.
            let (x, places) = unsafe { (In::new(args[0]), Out::new(scratch.add(at))) };
            parallel::for_each(rows * parts, |i| {
                let part = chunk(n, parts, i % parts);
                let l = Lanes { outer: 1, n: part.len(), inner: 1 };
                // SAFETY: as above.
                unsafe {
                    let place = places.get().cast::<i32>().add(i);
                    run(l, 0..1, 0..1, false, x.get().add((i / parts * n + part.start) * size), place.cast());
                    *place += part.start as i32;
                }
            });
            for row in 0..rows {
                // SAFETY: as above; the result has a place for each row.
                unsafe {
                    let of =
                        std::slice::from_raw_parts(places.get().cast::<i32>().cast_const().add(row * parts), parts);
                    *outs[0].cast::<i32>().add(row) = best(x.get().add(row * n * size), of);
                }
            }
        });
    }
    LibraryCall::new(name, Scratch::default(), flops, move |args, outs, _| {
        let (x, out) = (In::new(args[0]), Out::new(outs[0]));
        // SAFETY: `LibraryCall::run`'s promise; parts are disjoint lanes.
        for_lanes(lanes, |rows, cols| unsafe { run(lanes, rows, cols, false, x.get(), out.get()) });
    })
}

/// `(row, positions in it, ascending)`: the position of the first best element.
type BestFn = unsafe fn(*const u8, &[i32]) -> i32;

unsafe fn best_of<T: Scalar, const MAX: bool>(x: *const u8, positions: &[i32]) -> i32 {
    // SAFETY: the caller's promise.
    let value = |i: i32| unsafe { *x.cast::<T>().add(i as usize) };
    positions.iter().copied().reduce(|b, i| if beats::<T, MAX>(value(i), value(b)) { i } else { b }).unwrap_or(0)
}

/// Whether `x` takes the place of `best`: the first NaN stays.
#[inline(always)]
pub(super) fn beats<T: Scalar, const MAX: bool>(x: T, best: T) -> bool {
    let better = if MAX { x > best } else { x < best };
    !best.is_nan() & (better | x.is_nan())
}

/// The position of the first best element: the best value first, as a vector, then where it is.
#[inline(always)]
fn first_best<T: Scalar, const MAX: bool>(x: &[T]) -> usize {
    const LANES: usize = 32;
    let better = |a: T, b: T| if MAX { a.greater(b) } else { a.lesser(b) };
    let Some((&first, _)) = x.split_first() else { return 0 };
    let mut best = [first; LANES];
    let blocks = x.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        best.iter_mut().zip(block).for_each(|(b, &y)| *b = better(*b, y));
    }
    let best = best.iter().chain(rest).fold(first, |b, &y| better(b, y));
    let is_best = |y: &T| *y == best || (y.is_nan() && best.is_nan());
    x.iter().position(is_best).unwrap_or(0)
}

unsafe fn arg_lanes<T: Scalar, const MAX: bool>(
    l: Lanes,
    rows: Range<usize>,
    cols: Range<usize>,
    _: bool,
    x: *const u8,
    out: *mut u8,
) {
    wide(ArgLanes::<T, MAX> { l, rows, cols, x: x.cast(), out: out.cast() })
}

struct ArgLanes<T, const MAX: bool> {
    l: Lanes,
    rows: Range<usize>,
    cols: Range<usize>,
    x: *const T,
    out: *mut i32,
}

impl<T: Scalar, const MAX: bool> Loop for ArgLanes<T, MAX> {
    #[inline(always)]
    fn run(self) {
        let Lanes { n, inner, .. } = self.l;
        // SAFETY: rows and columns are inside the array; n is at least 1.
        unsafe {
            if inner > 1 {
                for row in self.rows.clone() {
                    for start in self.cols.clone().step_by(BLOCK) {
                        let width = BLOCK.min(self.cols.end - start);
                        let x = self.x.add(row * n * inner + start);
                        let out = std::slice::from_raw_parts_mut(self.out.add(row * inner + start), width);
                        side_by_side::<T, MAX, BLOCK>(out, n, |lane, i| *x.add(i * inner + lane));
                    }
                }
                return;
            }
            let out = std::slice::from_raw_parts_mut(self.out.add(self.rows.start), self.rows.len());
            let x = std::slice::from_raw_parts(self.x.add(self.rows.start * n), out.len() * n);
            if n > SHORT_ROW {
                out.iter_mut().zip(x.chunks_exact(n)).for_each(|(o, x)| *o = first_best::<T, MAX>(x) as i32);
                return;
            }
            for (out, x) in out.chunks_mut(ROWS).zip(x.chunks(ROWS * n)) {
                side_by_side::<T, MAX, ROWS>(out, n, |lane, i| *x.get_unchecked(lane * n + i));
            }
        }
    }
}

/// The positions of the first best of `n` elements in each lane, `LANES` at most.
#[inline(always)]
fn side_by_side<T: Scalar, const MAX: bool, const LANES: usize>(
    out: &mut [i32],
    n: usize,
    element: impl Fn(usize, usize) -> T,
) {
    let mut best = [T::ZERO; LANES];
    out.fill(0);
    best.iter_mut().take(out.len()).enumerate().for_each(|(lane, b)| *b = element(lane, 0));
    for i in 1..n {
        for (lane, (o, b)) in out.iter_mut().zip(&mut best).enumerate() {
            let y = element(lane, i);
            let take = beats::<T, MAX>(y, *b);
            *b = if take { y } else { *b };
            *o = if take { i as i32 } else { *o };
        }
    }
}

pub(super) fn cumulative(kind: ReduceKind, x: &Type, axis: usize, reverse: bool) -> LibraryCall {
    let lanes = Lanes::new(x, axis);
    let name = format!("cumulative {} of {x} along {axis}", kind.name());
    let run: LanesFn = with_combine!(kind, x.dtype, T, C => running::<T, C>);
    LibraryCall::new(name, Scratch::default(), x.numel() as u64, move |args, outs, _| {
        let (x, out) = (In::new(args[0]), Out::new(outs[0]));
        // SAFETY: `LibraryCall::run`'s promise; parts are disjoint lanes.
        for_lanes(lanes, |rows, cols| unsafe { run(lanes, rows, cols, reverse, x.get(), out.get()) });
    })
}

unsafe fn running<T: Scalar, C: Combine<T>>(
    l: Lanes,
    rows: Range<usize>,
    cols: Range<usize>,
    reverse: bool,
    x: *const u8,
    out: *mut u8,
) {
    wide(Running::<T, C> { l, rows, cols, reverse, x: x.cast(), out: out.cast(), kind: PhantomData })
}

struct Running<T, C> {
    l: Lanes,
    rows: Range<usize>,
    cols: Range<usize>,
    reverse: bool,
    x: *const T,
    out: *mut T,
    kind: PhantomData<C>,
}

impl<T: Scalar, C: Combine<T>> Loop for Running<T, C> {
    #[inline(always)]
    fn run(self) {
        let Lanes { n, inner, .. } = self.l;
        let width = self.cols.len();
        for row in self.rows {
            let base = row * n * inner + self.cols.start;
            let at = |i: usize| base + if self.reverse { n - 1 - i } else { i } * inner;
            // SAFETY: rows and columns are inside the array.
            unsafe {
                if width == 1 {
                    let mut acc = C::IDENTITY;
                    for i in 0..n {
                        acc = C::combine(acc, *self.x.add(at(i)));
                        *self.out.add(at(i)) = acc;
                    }
                    continue;
                }
                for i in 0..n {
                    let x = std::slice::from_raw_parts(self.x.add(at(i)), width);
                    let out = std::slice::from_raw_parts_mut(self.out.add(at(i)), width);
                    if i == 0 {
                        out.iter_mut().zip(x).for_each(|(o, &x)| *o = C::combine(C::IDENTITY, x));
                    } else {
                        let last = std::slice::from_raw_parts(self.out.add(at(i - 1)).cast_const(), width);
                        out.iter_mut().zip(last.iter().zip(x)).for_each(|(o, (&a, &x))| *o = C::combine(a, x));
                    }
                }
            }
        }
    }
}
