//! Running fixed chunks of work on the thread pool.
//!
//! **Invariant**: how work is cut depends on sizes alone, never on how many threads there are. (Products are cut by threads, into
//! parts that add as the whole would.)

use super::awake::call_workers;
use rayon::prelude::*;
use std::cell::Cell;

/// Element operations below which a call stays on the caller's thread: waking a worker costs several microseconds.
pub(super) const PARALLEL_WORK: usize = 50_000;

/// Most pieces a call is cut into; enough to balance the threads of large machines.
const MAX_CHUNKS: usize = 64;

/// Number of pieces for `units` of `work` element operations each.
pub(super) fn chunk_count(units: usize, work: usize) -> usize {
    let total = units.saturating_mul(work);
    if total < PARALLEL_WORK { 1 } else { (total / (PARALLEL_WORK / 4)).min(MAX_CHUNKS).min(units).max(1) }
}

/// The `i`-th of `chunks` nearly equal parts of `0..units`.
pub(super) fn chunk(units: usize, chunks: usize, i: usize) -> std::ops::Range<usize> {
    let (base, rest) = (units / chunks, units % chunks);
    let start = i * base + i.min(rest);
    start..start + base + usize::from(i < rest)
}

thread_local! {
    /// Whether this thread does one part of a work that other threads share.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` as one part of a work whose other parts keep the other threads busy: nothing in it is cut again.
pub fn as_part<R>(f: impl FnOnce() -> R) -> R {
    /// Puts the flag back where `f` panics too.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _before = Before(ALONE.replace(true));
    f()
}

/// The threads that work begun here may use.
pub fn threads() -> usize {
    if ALONE.get() { 1 } else { rayon::current_num_threads() }
}

/// Calls `f` on `0..count`, on the pool if there is more than one.
pub(super) fn for_each(count: usize, f: impl Fn(usize) + Sync + Send) {
    if count <= 1 || threads() == 1 {
        (0..count).for_each(f);
    } else {
        call_workers();
        (0..count).into_par_iter().with_max_len(1).for_each(f);
    }
}

/// A pointer that chunks on several threads use, each its own part.
#[derive(Clone, Copy)]
pub(super) struct Out(*mut u8);

// SAFETY: an address is plain data; whoever writes through it states why parts do not overlap.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Out {
    pub(super) fn new(p: *mut u8) -> Out {
        Out(p)
    }
    pub(super) fn get(self) -> *mut u8 {
        self.0
    }
}

/// A pointer that chunks on several threads read.
#[derive(Clone, Copy)]
pub(super) struct In(*const u8);

// SAFETY: an address is plain data, and what it points to is not written while it is shared.
unsafe impl Send for In {}
// SAFETY: as above.
unsafe impl Sync for In {}

impl In {
    pub(super) fn new(p: *const u8) -> In {
        In(p)
    }
    pub(super) fn get(self) -> *const u8 {
        self.0
    }
}
