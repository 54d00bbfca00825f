//! Generated code: loop nests as functions over a part of their split loop.

use serde::{Deserialize, Serialize};

/// Machine code of a kernel: pointers to the params' first elements, and the part of the split loop to run.
pub type KernelFn = unsafe extern "C" fn(params: *const *mut u8, start: i64, end: i64);

/// Which of a program's kernels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct KernelId(pub usize);

/// A finished kernel. The function lives as long as the code it came from.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Kernel {
    /// The function.
    ///
    /// # Safety
    /// Each param points to as many elements as the nest declares, aligned to its dtype; bools are bytes 0 or 1. Two
    /// params overlap only as the nest allows. `0 <= start <= end <= split`, and `start` and `end` are multiples of
    /// `grain` or equal to `split`. No other thread writes what the kernel reads or writes; disjoint ranges of one
    /// kernel may run at once.
    #[serde(skip, default = "Kernel::unplaced")]
    pub func: KernelFn,
    /// Extent of the loop that `start..end` restricts.
    pub split: usize,
    /// Where the split loop may be cut: at multiples of this.
    pub grain: usize,
    /// Estimated scalar operations of the whole kernel.
    pub cost: u64,
    /// Elements that are computed together; 1 for scalar code.
    pub lanes: usize,
}

impl Kernel {
    /// The function of a kernel whose code has no address yet; does nothing.
    pub fn unplaced() -> KernelFn {
        unsafe extern "C" fn nothing(_: *const *mut u8, _: i64, _: i64) {}
        nothing
    }
}

/// A kernel whose estimated cost is below this runs on the caller's thread.
pub const PARALLEL_COST: u64 = 100_000;

/// Whether a kernel is worth more than one thread.
pub fn is_parallel(k: &Kernel) -> bool {
    k.cost >= PARALLEL_COST && k.split > k.grain.max(1)
}

/// Pointers handed to another thread.
#[derive(Clone, Copy)]
struct Params(*const *mut u8);

// SAFETY: the params of one kernel; threads run disjoint ranges of its split loop.
unsafe impl Send for Params {}
// SAFETY: the table of params is only read.
unsafe impl Sync for Params {}

/// Runs a kernel, on several threads if it is worth it.
///
/// # Safety
/// The contract of [`Kernel::func`].
pub(crate) unsafe fn run_kernel(kernel: &Kernel, params: *const *mut u8) {
    let blocks = kernel.split.div_ceil(kernel.grain.max(1));
    let threads = if is_parallel(kernel) { gradloom_library::threads() } else { 1 };
    if threads == 1 {
        // SAFETY: the whole range, once.
        return unsafe { (kernel.func)(params, 0, kernel.split as i64) };
    }
    gradloom_library::call_workers();
    let parts = (kernel.cost / (PARALLEL_COST / 2)).min(blocks as u64).min(threads as u64) as usize;
    run_parts(kernel, Params(params), 0, blocks, parts);
}

/// Runs blocks `from..to` of the split loop as `parts` parts.
fn run_parts(kernel: &Kernel, params: Params, from: usize, to: usize, parts: usize) {
    if parts < 2 {
        let (start, end) = (from * kernel.grain.max(1), (to * kernel.grain.max(1)).min(kernel.split));
        // SAFETY: ranges of different parts are disjoint and cut at multiples of the grain.
        return unsafe { (kernel.func)(params.0, start as i64, end as i64) };
    }
    let left = parts / 2;
    let middle = from + (to - from) * left / parts;
    rayon::join(
        || run_parts(kernel, params, from, middle, left),
        || run_parts(kernel, params, middle, to, parts - left),
    );
}
