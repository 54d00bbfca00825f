//! f32 products whose left matrix has few rows and whose right one is transposed, on processors with AVX-512.
//!
//! Such a product passes over the right matrix once, which has to be laid out, since its columns are not contiguous. The left matrix
//! is laid out first, in strips of rows that a block of the result takes along. A few strips of columns of the right one are then laid
//! out just before they are used, in the cache, a part of the contracted axis at a time: the right matrix is read once, and never
//! written anywhere.
//!
//! A trial of it on one core of an Intel Xeon with nothing else running, against `gemm`: 64 rows 1.3 to 1.4 times as fast, 128 rows 1.08
//! times, 256 rows alike; where the right matrix is not transposed, 0.89 to 0.96 times.

use super::exchange::x86::{exchange_16, first_lanes};
use super::parallel::{self, In, Out, chunk};
use super::product::{PARALLEL_PRODUCT, Product};
use super::workspace::with_workspace;
use std::arch::x86_64::*;

/// Rows of a block of the result: with two registers of columns these are 28 sums in 32 registers.
const ROWS: usize = 14;

/// Columns of a block of the result.
const COLUMNS: usize = 32;

/// Lanes of a register.
const LANES: usize = 16;

/// Terms that are added in registers: a strip of columns of this length takes two thirds of a first-level cache.
const TERMS: usize = 256;

/// Most strips of columns that are laid out at once: a strip of rows is used for all of them while it is in the cache.
const GROUP: usize = 8;

/// Fewest rows of the left matrix: what lays the right one out is used this often.
const LEAST_ROWS: usize = 64;

/// Most rows of it.
const MOST_ROWS: usize = 128;

/// Most numbers of it: it has to stay in the cache.
const MOST_LEFT: usize = 1 << 20;

/// Least multiplications: what 64 x 64 x 64 numbers take to be laid out is more than it saves (by a trial; the limit was not searched for).
const LEAST_WORK: usize = 1 << 21;

/// Whether the product is computed here: by its sizes, and by what the processor has.
pub(super) fn takes(p: &Product) -> bool {
    let &Product { m, n, k, dst, lhs, rhs } = p;
    let few = (LEAST_ROWS..=MOST_ROWS).contains(&m) && n >= m && n >= 4 * COLUMNS && m.saturating_mul(k) <= MOST_LEFT;
    few && m.saturating_mul(n).saturating_mul(k) >= LEAST_WORK
        && dst.col == 1
        && (lhs.row == 1 || lhs.col == 1)
        && rhs.row == 1
        && is_x86_feature_detected!("avx512f")
}

/// Computes `dst (+)= lhs rhs`, on several threads if `par`.
///
/// # Safety
/// As [`super::product::ProductFn`], of f32; [`takes`] says yes.
pub(super) unsafe fn run(p: &Product, dst: *mut f32, lhs: *const f32, rhs: *const f32, add: bool, par: bool) {
    let &Product { m, n, k, .. } = p;
    let par = par && m * n * k >= PARALLEL_PRODUCT && parallel::threads() > 1;
    let share = |count: usize, f: &(dyn Fn(usize) + Sync)| {
        if par { parallel::for_each(count, f) } else { (0..count).for_each(f) }
    };
    let even = |length: usize, most: usize| length.div_ceil(length.div_ceil(most));
    let (rows, terms) = (even(m, ROWS), even(k, TERMS));
    let (strips, columns, parts) = (m.div_ceil(rows), n.div_ceil(COLUMNS), k.div_ceil(terms));
    let terms_of = |part: usize| terms.min(k - part * terms);
    let rows_of = |strip: usize| rows.min(m - strip * rows);
    let (lhs, rhs, dst) = (In::new(lhs.cast()), In::new(rhs.cast()), Out::new(dst.cast()));
    with_workspace(m * k, |left: *mut f32| {
        // the parts of all strips one after the other
        let left = Out::new(left.cast());
        let strip_at = |strip: usize, part: usize| part * terms * m + strip * rows * terms_of(part);
        share(strips, &|strip| {
            for part in 0..parts {
                // SAFETY: strides name elements of the operand; each strip is written once.
                unsafe {
                    let first = (strip * rows) as isize * p.lhs.row + (part * terms) as isize * p.lhs.col;
                    let from = lhs.get().cast::<f32>().offset(first);
                    let lines = Lines { from, across: p.lhs.row, along: p.lhs.col, count: rows_of(strip) };
                    lines.lay(left.get().cast::<f32>().add(strip_at(strip, part)), rows_of(strip), terms_of(part));
                }
            }
        });
        // how many strips of columns are laid out at once does not change what is computed
        let group = if par { (columns / (2 * parallel::threads())).clamp(1, GROUP) } else { GROUP };
        let groups = columns.div_ceil(group);
        share(groups, &|g| {
            let range = chunk(columns, groups, g);
            with_workspace(range.len() * COLUMNS * terms, |right: *mut f32| {
                for part in 0..parts {
                    let terms_here = terms_of(part);
                    // SAFETY: strides name elements of the operands; blocks lie in the result, each written by one thread.
                    unsafe {
                        let row = (part * terms) as isize * p.rhs.row;
                        let first = range.start * COLUMNS;
                        let from = rhs.get().cast::<f32>().offset(row + first as isize * p.rhs.col);
                        let count = (range.len() * COLUMNS).min(n - first);
                        Lines { from, across: p.rhs.col, along: p.rhs.row, count }.lay(right, COLUMNS, terms_here);
                        for strip in 0..strips {
                            let l = left.get().cast::<f32>().add(strip_at(strip, part));
                            for (place, j) in range.clone().enumerate() {
                                let at = (strip * rows) as isize * p.dst.row + (j * COLUMNS) as isize;
                                let to = dst.get().cast::<f32>().offset(at);
                                let r = right.add(place * COLUMNS * terms_here);
                                let count = COLUMNS.min(n - j * COLUMNS);
                                let block = BLOCKS[rows_of(strip) - 1];
                                block(terms_here, l, r, to, p.dst.row, count, add || part > 0);
                            }
                        }
                    }
                }
            });
        });
    });
}

/// Some lines of a matrix: rows of the left one, columns of the right one. They lie side by side or each is contiguous.
#[derive(Clone, Copy)]
struct Lines {
    from: *const f32,
    /// From line to line, and along one.
    across: isize,
    along: isize,
    count: usize,
}

impl Lines {
    /// Lays out the first `terms` numbers of each in strips of `width` lines: for each term that of each line. Lines that are not
    /// there are zeros.
    ///
    /// # Safety
    /// All lines are readable, and `to` has room for the strips.
    #[target_feature(enable = "avx512f")]
    unsafe fn lay(self, to: *mut f32, width: usize, terms: usize) {
        let strips = self.count.div_ceil(width);
        let registers = move || (0..width).step_by(LANES);
        // which lanes of a register are lines of the strip, and which of those are there
        let masks = |strip: usize, line: usize| {
            (first_lanes(width - line), first_lanes((self.count - strip * width).saturating_sub(line)))
        };
        // SAFETY: the caller's promise; masks keep to the strip and to lines that are there.
        unsafe {
            if self.across == 1 {
                for term in 0..terms {
                    let from = self.from.offset(term as isize * self.along);
                    for strip in 0..strips {
                        for line in registers() {
                            let (own, there) = masks(strip, line);
                            let x = _mm512_maskz_loadu_ps(there & own, from.wrapping_add(strip * width + line));
                            _mm512_mask_storeu_ps(to.add((strip * terms + term) * width + line), own, x);
                        }
                    }
                }
                return;
            }
            for strip in 0..strips {
                for line in registers() {
                    let (own, there) = masks(strip, line);
                    let lines = (there & own).count_ones() as usize;
                    let from = self.from.wrapping_offset((strip * width + line) as isize * self.across);
                    for first in (0..terms).step_by(LANES) {
                        let mask = first_lanes(terms - first);
                        let row = |i: usize| {
                            let at = from.wrapping_offset(i as isize * self.across).wrapping_add(first);
                            if i < lines { _mm512_maskz_loadu_epi32(mask, at.cast()) } else { _mm512_setzero_si512() }
                        };
                        let square = exchange_16(std::array::from_fn(row));
                        for (t, x) in square.into_iter().enumerate().take(terms - first) {
                            let to = to.add((strip * terms + first + t) * width + line);
                            _mm512_mask_storeu_epi32(to.cast(), own, x);
                        }
                    }
                }
            }
        }
    }
}

/// Computes one block of the result: terms, strips of the left and of the right operand, where the block is, from row to row of it,
/// its columns, and whether it is added to what is there.
type Block = unsafe fn(usize, *const f32, *const f32, *mut f32, isize, usize, bool);

/// By rows.
static BLOCKS: [Block; ROWS] = [
    block::<1>,
    block::<2>,
    block::<3>,
    block::<4>,
    block::<5>,
    block::<6>,
    block::<7>,
    block::<8>,
    block::<9>,
    block::<10>,
    block::<11>,
    block::<12>,
    block::<13>,
    block::<14>,
];

/// As [`Block`], of `R` rows.
///
/// # Safety
/// The strips have that many terms of `R` rows and of [`COLUMNS`] columns; the block has room for its columns.
#[target_feature(enable = "avx512f")]
unsafe fn block<const R: usize>(
    terms: usize,
    mut l: *const f32,
    mut r: *const f32,
    to: *mut f32,
    row: isize,
    columns: usize,
    add: bool,
) {
    let masks = [0, LANES].map(|first| first_lanes(columns.saturating_sub(first)));
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    // SAFETY: strips have that many terms; masks keep to the block's columns.
    unsafe {
        for i in 0..R {
            let to = to.wrapping_offset(i as isize * row);
            _mm_prefetch::<_MM_HINT_T0>(to.cast());
            _mm_prefetch::<_MM_HINT_T0>(to.wrapping_add(LANES).cast());
        }
        for _ in 0..terms {
            let y = [_mm512_load_ps(r), _mm512_load_ps(r.add(LANES))];
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*l.add(i));
                for (sum, y) in sums.iter_mut().zip(y) {
                    *sum = _mm512_fmadd_ps(x, y, *sum);
                }
            }
            (l, r) = (l.add(R), r.add(COLUMNS));
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (v, mut sum) in sums.into_iter().enumerate() {
                let to = to.wrapping_offset(i as isize * row).wrapping_add(v * LANES);
                if add {
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(masks[v], to));
                }
                _mm512_mask_storeu_ps(to, masks[v], sum);
            }
        }
    }
}
