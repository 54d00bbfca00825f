//! Sort: an index sort of order keys in scratch, then every operand is permuted.
//!
//! Where only a part of the sorted axis is read, the elements of that part are selected and sorted, the others are not.

use super::parallel::{self, Out, chunk};
use super::reduction::Lanes;
use super::scalar::{Loop, Scalar, wide, with_scalar, with_size};
use super::{LibraryCall, Scratch};
use gradloom_ir::Type;
use std::ops::Range;

/// Of a lane at least this many times as long as the part that is read, only elements that may be in it are kept.
const SPARSE: usize = 8;

/// Elements that are looked at together.
const BLOCK: usize = 32;

/// An order key and where it came from. The order is the sort's: by key, then by position.
trait Word: Copy + Ord {
    fn new(key: u64, at: usize) -> Self;
    fn key(self) -> u64;
    fn at(self) -> usize;
    /// The word that stands where this one does in the reverse order.
    fn flipped(self) -> Self;
}

/// For keys of at most 32 bits, and as many of position.
impl Word for u64 {
    #[inline(always)]
    fn new(key: u64, at: usize) -> u64 {
        key << 32 | at as u64
    }
    #[inline(always)]
    fn key(self) -> u64 {
        self >> 32
    }
    #[inline(always)]
    fn at(self) -> usize {
        self as u32 as usize
    }
    #[inline(always)]
    fn flipped(self) -> u64 {
        !self
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Keyed {
    key: u64,
    at: u64,
}

impl Word for Keyed {
    #[inline(always)]
    fn new(key: u64, at: usize) -> Keyed {
        Keyed { key, at: at as u64 }
    }
    #[inline(always)]
    fn key(self) -> u64 {
        self.key
    }
    #[inline(always)]
    fn at(self) -> usize {
        self.at as usize
    }
    #[inline(always)]
    fn flipped(self) -> Keyed {
        Keyed { key: !self.key, at: !self.at }
    }
}

/// Whether the part is a small one at either end.
fn is_sparse(n: usize, part: &Range<usize>) -> bool {
    (part.start == 0 || part.end == n) && !part.is_empty() && part.len() <= n / SPARSE
}

/// How many words [`order`] needs room for.
fn room(n: usize, part: &Range<usize>) -> usize {
    if is_sparse(n, part) { 2 * part.len() + 2 * BLOCK } else { n }
}

/// Leaves the words of a part of the sorted lane at the start of `to`.
///
/// # Safety
/// The lane at `x` has `n` elements `step` apart, `part` is a part of it, and `to` has [`room`] for its words.
unsafe fn order<T: Scalar, W: Word>(x: *const u8, step: usize, n: usize, part: Range<usize>, to: *mut W) {
    let x = x.cast::<T>();
    if is_sparse(n, &part) {
        let (k, room) = (part.len(), room(n, &part));
        if part.start == 0 {
            return wide(Selection::<T, W, false> { x, step, n, k, room, to });
        }
        return wide(Selection::<T, W, true> { x, step, n, k, room, to });
    }
    // SAFETY: the caller's promise.
    let words = unsafe {
        for i in 0..n {
            *to.add(i) = W::new((*x.add(i * step)).sort_key(), i);
        }
        std::slice::from_raw_parts_mut(to, n)
    };
    if part.end < n {
        words.select_nth_unstable(part.end);
    }
    let front = &mut words[..part.end];
    if 0 < part.start && part.start < part.end {
        front.select_nth_unstable(part.start);
    }
    front[part.start..].sort_unstable();
    words.copy_within(part, 0);
}

/// The `k` first of a lane in order, or the last ones: of the words seen so far those are kept that may be among
/// them, until there is no room; then the `k` first of these, the last of which bounds all that follow.
struct Selection<T, W, const LAST: bool> {
    x: *const T,
    step: usize,
    n: usize,
    k: usize,
    room: usize,
    to: *mut W,
}

impl<T: Scalar, W: Word, const LAST: bool> Loop for Selection<T, W, LAST> {
    #[inline(always)]
    fn run(self) {
        let Selection { x, step, n, k, room, to } = self;
        // SAFETY: the caller's promise: there is room for these words, which are written before they are read.
        let words = unsafe {
            (0..room).for_each(|i| *to.add(i) = W::new(0, 0));
            std::slice::from_raw_parts_mut(to, room)
        };
        // SAFETY: the lane has `n` elements.
        let key = |i: usize| unsafe { (*x.add(i * step)).sort_key() };
        // from here on the last ones are the first of flipped words
        let word = |i: usize| if LAST { W::new(key(i), i).flipped() } else { W::new(key(i), i) };
        let mut filled = 0;
        let mut bound: Option<W> = None;
        for start in (0..n).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(n);
            if filled + block.len() > room {
                bound = Some(*words[..filled].select_nth_unstable(k - 1).1);
                filled = k;
            }
            let Some(bound) = bound else {
                block.for_each(|i| words[i] = word(i));
                filled = (start + BLOCK).min(n);
                continue;
            };
            let limit = if LAST { bound.flipped().key() } else { bound.key() };
            let mut any = false;
            for i in block.clone() {
                any |= if LAST { key(i) >= limit } else { key(i) <= limit };
            }
            if any {
                // without branches, which nobody could predict
                for w in block.map(word) {
                    words[filled] = w;
                    filled += usize::from(w < bound);
                }
            }
        }
        let words = &mut words[..filled];
        words.select_nth_unstable(k - 1);
        let words = &mut words[..k];
        words.sort_unstable();
        if LAST {
            words.reverse();
            words.iter_mut().for_each(|w| *w = w.flipped());
        }
    }
}

/// The key of an element.
type KeyFn = unsafe fn(*const u8, usize) -> u64;

unsafe fn key_at<T: Scalar>(x: *const u8, i: usize) -> u64 {
    // SAFETY: the caller has an element i.
    unsafe { (*x.cast::<T>().add(i)).sort_key() }
}

/// By several keys, as [`order`] by one, of the whole lane.
///
/// # Safety
/// As for [`order`], for the lane of each key.
unsafe fn order_by(keys: &[KeyFn], lane: impl Fn(usize) -> *const u8, step: usize, n: usize, to: *mut Keyed) {
    // SAFETY: the caller's promise.
    let key = |i: usize, at: usize| unsafe { keys[i](lane(i), at * step) };
    // SAFETY: the caller's promise.
    let words = unsafe {
        (0..n).for_each(|i| *to.add(i) = Keyed::new(key(0, i), i));
        std::slice::from_raw_parts_mut(to, n)
    };
    words.sort_unstable_by(|a, b| {
        let others = || (1..keys.len()).map(|i| key(i, a.at())).cmp((1..keys.len()).map(|i| key(i, b.at())));
        a.key.cmp(&b.key).then_with(others).then(a.at.cmp(&b.at))
    });
}

unsafe fn permute<T: Copy, W: Word>(x: *const u8, out: *mut u8, step: usize, words: &[W]) {
    for (i, w) in words.iter().enumerate() {
        // SAFETY: the caller's lanes have an element at every position there is a word of, and `words` places.
        unsafe { *out.cast::<T>().add(i * step) = *x.cast::<T>().add(w.at() * step) };
    }
}

/// How the lanes of a call are ordered.
#[derive(Clone)]
enum Order {
    Packed(unsafe fn(*const u8, usize, usize, Range<usize>, *mut u64)),
    One(unsafe fn(*const u8, usize, usize, Range<usize>, *mut Keyed)),
    Several(Vec<KeyFn>),
}

/// Sorts; of the results' lanes only `part` need be written.
pub(super) fn sort(args: &[Type], axis: usize, num_keys: usize, part: Range<usize>) -> LibraryCall {
    let Lanes { outer, n, inner } = Lanes::new(&args[0], axis);
    let lanes = outer * inner;
    let sizes: Vec<usize> = args.iter().map(|a| a.dtype.size()).collect();
    let order = if num_keys > 1 {
        let key = |a: &Type| with_scalar!(a.dtype, T => key_at::<T> as KeyFn);
        Order::Several(args[..num_keys].iter().map(key).collect())
    } else if sizes[0] <= 4 && n <= u32::MAX as usize {
        Order::Packed(with_scalar!(args[0].dtype, T => order::<T, u64>))
    } else {
        Order::One(with_scalar!(args[0].dtype, T => order::<T, Keyed>))
    };
    let part = if num_keys > 1 { 0..n } else { part };
    let comparisons = match n.checked_ilog2() {
        Some(log) if !is_sparse(n, &part) => n.saturating_mul(log as usize + 1),
        _ => n,
    };
    let chunks = parallel::chunk_count(lanes, comparisons.saturating_mul(args.len()));
    let mut scratch = Scratch::default();
    let room = room(n, &part) * size_of::<Keyed>();
    let at = scratch.take(chunks * room);
    let name = format!("sort {args:?} along {axis} by {num_keys}, {part:?}");
    LibraryCall::new(name, scratch, (lanes * comparisons) as u64, move |args, outs, scratch| {
        let (args, outs) = (Pointers(args), Pointers(outs));
        let scratch = Out::new(scratch);
        parallel::for_each(chunks, |c| {
            for lane in chunk(lanes, chunks, c) {
                let start = lane / inner * n * inner + lane % inner;
                // SAFETY: `LibraryCall::run`'s promise; chunks have their own scratch and disjoint lanes.
                unsafe {
                    let own = scratch.get().add(at + c * room);
                    let lane_of = |i: usize| args.get()[i].add(start * sizes[i]);
                    let to = |i: usize| outs.get()[i].add((start + part.start * inner) * sizes[i]);
                    match &order {
                        Order::Packed(order) => {
                            order(lane_of(0), inner, n, part.clone(), own.cast());
                            let words = std::slice::from_raw_parts(own.cast::<u64>().cast_const(), part.len());
                            for (i, &size) in sizes.iter().enumerate() {
                                with_size!(size, T => permute::<T, u64>(lane_of(i), to(i), inner, words));
                            }
                            continue;
                        }
                        Order::One(order) => order(lane_of(0), inner, n, part.clone(), own.cast()),
                        Order::Several(keys) => order_by(keys, lane_of, inner, n, own.cast()),
                    }
                    let words = std::slice::from_raw_parts(own.cast::<Keyed>().cast_const(), part.len());
                    for (i, &size) in sizes.iter().enumerate() {
                        with_size!(size, T => permute::<T, Keyed>(lane_of(i), to(i), inner, words));
                    }
                }
            }
        });
    })
}

/// A list of pointers that several threads use, each on its own lanes.
struct Pointers<'a, P>(&'a [P]);

// SAFETY: addresses are plain data; lanes are disjoint.
unsafe impl<P> Sync for Pointers<'_, P> {}
// SAFETY: as above.
unsafe impl<P> Send for Pointers<'_, P> {}

impl<P> Pointers<'_, P> {
    fn get(&self) -> &[P] {
        self.0
    }
}
