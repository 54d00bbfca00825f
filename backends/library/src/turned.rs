//! Products by transposed matrices, which are laid out anew first.
//!
//! `gemm` lays the right matrix out for its kernels in any case, but reads one number of many columns for that if it is
//! transposed. That is slow beside products with few rows; and columns of a width that is a power of two compete for the
//! same few places of the first-level cache, so that each line is fetched once for each of its numbers. Exchanging rows and
//! columns square by square in registers has neither, and costs as much as two or three rows of the product. A left matrix
//! that is transposed is read well enough unless its rows compete so.

use super::awake::call_workers;
use super::exchange::Exchange;
use super::parallel::{self, In, Out, chunk};
use super::product::{LEAST_PART, LINE, Product, Strides, in_parts, library};
use super::scalar::Scalar;
use super::workspace::with_workspace;
use gemm::Parallelism;

/// Numbers between one row of the copy and the next: rows of a width that is a power of two compete, too.
const GAP: usize = 16;

/// Most terms that are laid out at once; there are no more in a product that is computed here.
pub(super) const TERMS: usize = 1 << 12;

/// Bytes that are laid out at once.
const COPIED: usize = 2 << 20;

/// Fewest rows of the left matrix: the copy is used this often.
const LEAST_ROWS: usize = 8;

/// Fewest terms and columns: a square that is exchanged in registers.
const LEAST_SIDE: usize = 16;

/// A left matrix with rows of terms this many bytes apart, or a multiple of that, begins them at the same places of the cache, or
/// one of two.
const APART: usize = 2048;

/// Fewest columns of the right matrix for which the left one is copied.
const LEAST_COLUMNS: usize = 256;

/// Bytes of it that are laid out at once.
const LEFT_COPIED: usize = 8 << 20;

/// Whether the product is computed here; how many threads there are does not matter.
pub(super) fn takes(p: &Product) -> bool {
    p.rhs.row == 1 && p.rhs.col > 0 && p.m >= LEAST_ROWS && p.k >= LEAST_SIDE && p.n >= LEAST_SIDE
}

/// Computes `dst (+)= lhs rhs`, on so many threads.
///
/// # Safety
/// As [`super::product::ProductFn`] says; `T` is f32 or f64, [`takes`] says yes, and there are at most [`TERMS`] terms.
pub(super) unsafe fn run<T: Scalar>(p: &Product, dst: *mut T, lhs: *const T, rhs: *const T, add: bool, threads: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if threads > 1 && p.m.max(p.n) / threads < LEAST_PART {
            call_workers();
            return piecewise(p, dst, lhs, rhs, add, Parallelism::Rayon(0));
        }
        // (where threads share the rows, each lays out all of the few columns)
        let columns = p.n / threads >= LEAST_PART;
        in_parts(p, threads, columns, piecewise, (dst, lhs, rhs), add);
    }
}

/// [`run`], so many columns at a time that their copy is not too large.
///
/// # Safety
/// As [`run`].
unsafe fn piecewise<T: Scalar>(p: &Product, dst: *mut T, lhs: *const T, rhs: *const T, add: bool, par: Parallelism) {
    // (what is added in which order must not depend on how columns are cut, see `LEAST_PART`)
    let at_once = (COPIED / size_of::<T>() / p.k).max(LEAST_PART);
    let pieces = (p.n / at_once).max(1);
    for piece in 0..pieces {
        let columns = chunk(p.n, pieces, piece);
        let (start, row) = (columns.start as isize, columns.len().next_multiple_of(LINE) + GAP);
        with_workspace(p.k * row, |copy: *mut T| {
            let part = Product { n: columns.len(), rhs: Strides { row: row as isize, col: 1 }, ..*p };
            let exchange = Exchange { n: [p.k, columns.len()], src: p.rhs.col, dst: row as isize };
            // SAFETY: the caller's promise; the copy has room for `k` rows, of which as many numbers are written and read as there
            // are columns.
            unsafe {
                exchange.run(rhs.offset(start * p.rhs.col), copy, 0);
                library(&part, dst.offset(start * p.dst.col), lhs, copy, add, par);
            }
        });
    }
}

/// Whether the left matrix is to be laid out anew, by [`with_left`].
pub(super) fn takes_left<T>(p: &Product) -> bool {
    let apart = p.lhs.col.unsigned_abs().saturating_mul(size_of::<T>());
    let compete = p.lhs.row == 1 && p.lhs.col > 0 && apart.is_multiple_of(APART);
    compete && p.n >= LEAST_COLUMNS && p.k >= LEAST_SIDE && p.m >= LEAST_SIDE
}

/// Lays the left matrix out anew, on so many threads and as many rows at a time as are copied at once: calls `f` with the part of
/// the product that these make, the first row of it, and the copy.
///
/// # Safety
/// As [`super::product::ProductFn`] says of the left matrix; [`takes_left`] says yes, and there are at most [`TERMS`] terms.
pub(super) unsafe fn with_left<T: Scalar>(
    p: &Product,
    lhs: *const T,
    threads: usize,
    f: impl Fn(&Product, usize, *const T),
) {
    let row = p.k.next_multiple_of(LINE) + GAP;
    let at_once = LEFT_COPIED / size_of::<T>() / row;
    let pieces = p.m.div_ceil(at_once);
    let lhs = In::new(lhs.cast());
    for piece in 0..pieces {
        let rows = chunk(p.m, pieces, piece);
        with_workspace(rows.len() * row, |copy: *mut T| {
            let to = Out::new(copy.cast());
            let lay = |i: usize| {
                let lines = chunk(rows.len().div_ceil(LINE), threads, i);
                let (start, end) = (lines.start * LINE, (lines.end * LINE).min(rows.len()));
                if start >= end {
                    return; // fewer lines than threads
                }
                // rows lie side by side in the matrix, terms in the copy
                let exchange = Exchange { n: [end - start, p.k], src: p.lhs.col, dst: row as isize };
                // SAFETY: the caller's promise; the copy has room for all rows, of which each part writes its own.
                unsafe {
                    let from = lhs.get().cast::<T>().add(rows.start + start);
                    exchange.run(from, to.get().cast::<T>().add(start * row), 0);
                }
            };
            parallel::for_each(threads, lay);
            let part = Product { m: rows.len(), lhs: Strides { row: row as isize, col: 1 }, ..*p };
            f(&part, rows.start, copy);
        });
    }
}
