//! Products by transposed matrices whose columns are a multiple of 2 KiB apart, as those of every width that is a power of two.
//!
//! `gemm` lays the right matrix out for its kernels, and reads one number of many columns for that. Such columns compete for the
//! same few places of the first-level cache, so that each line is fetched once for each of its numbers. A copy with a gap after
//! each column does not have that, and costs one pass.

use super::parallel::{self, In, Out, chunk};
use super::product::{LINE, Product, Strides, library};
use super::scalar::Scalar;
use super::workspace::with_workspace;
use gemm::Parallelism;

/// Columns this many bytes apart, or a multiple of that, begin at the same places of the cache, or one of two.
const APART: usize = 2048;

/// Bytes after each column of the copy: it begins a line further.
const GAP: usize = 64;

/// Fewest rows of the left matrix: the copy is used this often.
const LEAST_ROWS: usize = 129;

/// The same for a right matrix of so many bytes that it may come from the second-level cache, and is copied at its speed.
const LEAST_ROWS_CACHED: usize = 48;
const CACHED: usize = 1 << 19;

/// Shorter columns, and fewer, do not compete.
const LEAST_COLUMN: usize = 128;
const LEAST_COLUMNS: usize = 64;

/// Bytes that are copied at once.
const COPIED: usize = 2 << 20;

/// Whether the product is computed here.
pub(super) fn takes<T>(p: &Product) -> bool {
    let apart = p.rhs.col.unsigned_abs().saturating_mul(size_of::<T>());
    let bytes = p.k.saturating_mul(p.n).saturating_mul(size_of::<T>());
    let least_rows = if bytes <= CACHED { LEAST_ROWS_CACHED } else { LEAST_ROWS };
    p.rhs.row == 1
        && apart > 0
        && apart.is_multiple_of(APART)
        && p.m >= least_rows
        && p.k >= LEAST_COLUMN
        && p.n >= LEAST_COLUMNS
}

/// Computes `dst (+)= lhs rhs`, on several threads if `par`.
///
/// # Safety
/// As [`super::product::ProductFn`] says; `T` is f32 or f64.
pub(super) unsafe fn run<T: Scalar>(p: &Product, dst: *mut T, lhs: *const T, rhs: *const T, add: bool, par: bool) {
    let parts = if par { parallel::threads() } else { 1 };
    let column = p.k + GAP / size_of::<T>();
    let at_once = (COPIED / size_of::<T>() / column).max(LINE);
    let (dst, lhs, rhs) = (Out::new(dst.cast()), In::new(lhs.cast()), In::new(rhs.cast()));
    let part = |i: usize| {
        let lines = chunk(p.n.div_ceil(LINE), parts, i);
        let columns = lines.start * LINE..(lines.end * LINE).min(p.n);
        for start in columns.clone().step_by(at_once) {
            let n = at_once.min(columns.end - start);
            let (d, l, r) = (dst.get().cast::<T>(), lhs.get().cast::<T>(), rhs.get().cast::<T>());
            with_workspace(n * column, |copy: *mut T| {
                let part = Product { n, rhs: Strides { row: 1, col: column as isize }, ..*p };
                // SAFETY: the caller's promise; the copy has room for `n` columns, of which `k` numbers are read. Parts write
                // disjoint columns of dst.
                unsafe {
                    for c in 0..n {
                        let from = r.offset((start + c) as isize * p.rhs.col);
                        std::ptr::copy_nonoverlapping(from, copy.add(c * column), p.k);
                    }
                    library(&part, d.offset(start as isize * p.dst.col), l, copy, add, Parallelism::None);
                }
            });
        }
    };
    if parts == 1 { part(0) } else { parallel::for_each(parts, part) }
}
