//! Memory that a thread keeps for what its next product lays out.

use std::cell::RefCell;
use std::mem::MaybeUninit;

/// A line of the cache.
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "only its size and alignment count")] [MaybeUninit<u8>; 64]);

/// Calls `f` with room for `count` elements, not initialised, aligned to a cache line, which this thread keeps for the next call.
pub(super) fn with_workspace<T: Copy>(count: usize, f: impl FnOnce(*mut T)) {
    thread_local! {
        /// Those that are not in use: a thread may compute a part of a product while it waits for another.
        static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
    }
    const { assert!(align_of::<T>() <= align_of::<Line>()) };
    let lines = count.saturating_mul(size_of::<T>()).div_ceil(size_of::<Line>());
    let kept = KEPT.with_borrow_mut(|kept| {
        let fits = kept.iter().position(|room| room.capacity() >= lines);
        (!kept.is_empty()).then(|| kept.swap_remove(fits.unwrap_or(0)))
    });
    let fits = kept.filter(|room| room.capacity() >= lines);
    let mut room = fits.unwrap_or_else(|| Vec::with_capacity(lines));
    f(room.as_mut_ptr().cast());
    KEPT.with_borrow_mut(|kept| kept.push(room));
}
