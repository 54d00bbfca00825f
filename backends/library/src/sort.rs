//! Sort: an index sort of order keys in scratch, then every operand is permuted.

use super::parallel::{self, Out, chunk};
use super::reduction::Lanes;
use super::scalar::{Scalar, with_scalar, with_size};
use super::{LibraryCall, Scratch};
use gradloom_ir::{DType, Type};

/// `(first element of a lane, distance to the next, length, scratch)`: leaves the order in the low halves of words.
type PackedFn = unsafe fn(*const u8, usize, usize, *mut u64);

/// `(first element of a lane, distance to the next, length, destination)`: writes `(order key, position)` pairs.
type KeysFn = unsafe fn(*const u8, usize, usize, *mut Keyed);

/// An element's order key, and where it came from. The derived order is the sort's: by key, then by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Keyed {
    key: u64,
    at: u64,
}

unsafe fn keys<T: Scalar>(x: *const u8, step: usize, n: usize, to: *mut Keyed) {
    for i in 0..n {
        // SAFETY: the caller's lane has n elements, and `to` has room for as many.
        unsafe { *to.add(i) = Keyed { key: (*x.cast::<T>().add(i * step)).sort_key(), at: i as u64 } };
    }
}

/// Sorts a lane whose keys have at most 32 bits: key and position in one word. Leaves the order in the low halves.
unsafe fn sort_packed<T: Scalar>(x: *const u8, step: usize, n: usize, to: *mut u64) {
    // SAFETY: the caller's lane has n elements, and `to` has room for as many words.
    unsafe {
        for i in 0..n {
            *to.add(i) = (*x.cast::<T>().add(i * step)).sort_key() << 32 | i as u64;
        }
        std::slice::from_raw_parts_mut(to, n).sort_unstable();
    }
}

/// Key `(element)` alone, for comparing the later of several keys.
type KeyFn = unsafe fn(*const u8, usize) -> u64;

unsafe fn key_at<T: Scalar>(x: *const u8, i: usize) -> u64 {
    // SAFETY: the caller has an element i.
    unsafe { (*x.cast::<T>().add(i)).sort_key() }
}

unsafe fn permute<T: Copy>(x: *const u8, out: *mut u8, step: usize, order: impl Iterator<Item = usize>) {
    for (i, from) in order.enumerate() {
        // SAFETY: the caller's lanes have as many elements as `order`, which is a permutation.
        unsafe { *out.cast::<T>().add(i * step) = *x.cast::<T>().add(from * step) };
    }
}

pub(super) fn sort(args: &[Type], axis: usize, num_keys: usize) -> LibraryCall {
    let Lanes { outer, n, inner } = Lanes::new(&args[0], axis);
    let lanes = outer * inner;
    let dtypes: Vec<DType> = args.iter().map(|a| a.dtype).collect();
    let packed: Option<PackedFn> = (num_keys == 1 && dtypes[0].size() <= 4 && n <= u32::MAX as usize)
        .then(|| with_scalar!(dtypes[0], T => sort_packed::<T> as PackedFn));
    let first: KeysFn = with_scalar!(dtypes[0], T => keys::<T>);
    let later: Vec<KeyFn> = dtypes[1..num_keys].iter().map(|&d| with_scalar!(d, T => key_at::<T> as KeyFn)).collect();
    let comparisons = n.saturating_mul(n.checked_ilog2().unwrap_or(0) as usize + 1);
    let chunks = parallel::chunk_count(lanes, comparisons.saturating_mul(args.len()));
    let mut scratch = Scratch::default();
    let room = n * size_of::<Keyed>();
    let at = scratch.take(chunks * room);
    let name = format!("sort {args:?} along {axis} by {num_keys}");
    LibraryCall::new(name, scratch, (lanes * comparisons) as u64, move |args, outs, scratch| {
        let (args, outs) = (Pointers(args), Pointers(outs));
        let scratch = Out::new(scratch);
        let part = |c: usize| {
            // SAFETY: `LibraryCall::run`'s promise; chunks have their own scratch and disjoint lanes.
            unsafe {
                let words = scratch.get().add(at + c * room).cast::<u64>();
                let order = words.cast::<Keyed>();
                for lane in chunk(lanes, chunks, c) {
                    let start = lane / inner * n * inner + lane % inner;
                    let lane_of = |i: usize| args.get()[i].add(start * dtypes[i].size());
                    if let Some(sort) = packed {
                        sort(lane_of(0), inner, n, words);
                        let words = std::slice::from_raw_parts(words.cast_const(), n);
                        for (i, &out) in outs.get().iter().enumerate() {
                            let (size, from) = (dtypes[i].size(), words.iter().map(|w| *w as u32 as usize));
                            with_size!(size, T => permute::<T>(lane_of(i), out.add(start * size), inner, from));
                        }
                        continue;
                    }
                    first(lane_of(0), inner, n, order);
                    let order = std::slice::from_raw_parts_mut(order, n);
                    if later.is_empty() {
                        order.sort_unstable();
                    } else {
                        let key = |i: usize, k: &Keyed| later[i](lane_of(i + 1), k.at as usize * inner);
                        order.sort_unstable_by(|a, b| {
                            let others =
                                || (0..later.len()).map(|i| key(i, a)).cmp((0..later.len()).map(|i| key(i, b)));
                            a.key.cmp(&b.key).then_with(others).then(a.at.cmp(&b.at))
                        });
                    }
                    for (i, &out) in outs.get().iter().enumerate() {
                        let (size, from) = (dtypes[i].size(), order.iter().map(|k| k.at as usize));
                        with_size!(size, T => permute::<T>(lane_of(i), out.add(start * size), inner, from));
                    }
                }
            }
        };
        if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
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
