//! Products of bf16 matrices whose operands are laid out as the processor multiplies them.
//!
//! Lines of a matrix are rows of the left operand and columns of the right one; along each, two neighbours are a pair of 4 bytes.
//! A strip of the right operand has for each pair along the contracted axis that of each of [`COLUMNS`] lines, side by side. Vectors
//! take strips of the left operand in the same order, tiles take squares of 16 lines by 16 pairs, line by line. Lines that are not
//! there and pairs behind the end are zeros.

use super::amx;
use super::exchange::x86::{exchange_16, first_lanes};
use super::parallel::{self, In, Out, chunk};
use super::product::{PARALLEL_PRODUCT, Product};
use std::arch::x86_64::*;

/// Columns of a block of the result.
const COLUMNS: usize = amx::SIDE;

/// Rows of a block that vectors compute: with two registers of columns these are 24 sums in 32 registers.
const VECTOR_ROWS: usize = 12;

/// Lines, and pairs along them, of a square: a register has 16 pairs.
const SQUARE: usize = 16;

/// Bytes of right strips that stay in the cache while rows of the left operand go by.
const CACHED: usize = 512 << 10;

/// How the operands of a product are laid out.
pub(super) struct Strips {
    /// Whether tiles take them.
    tiles: bool,
    /// Rows of a left strip.
    rows: usize,
    /// Pairs along the contracted axis.
    pairs: usize,
    /// Strips of the left and of the right operand.
    count: [usize; 2],
}

impl Strips {
    /// For tiles, which are [`amx::available`].
    pub(super) fn of_tiles(p: &Product) -> Strips {
        let (rows, pairs) = (amx::SIDE, p.k.div_ceil(2).next_multiple_of(SQUARE));
        Strips { tiles: true, rows, pairs, count: [p.m.div_ceil(rows), p.n.div_ceil(COLUMNS)] }
    }

    /// For vectors, which the processor has.
    pub(super) fn of_vectors(p: &Product) -> Strips {
        let (rows, pairs) = (VECTOR_ROWS, p.k.div_ceil(2));
        Strips { tiles: false, rows, pairs, count: [p.m.div_ceil(rows), p.n.div_ceil(COLUMNS)] }
    }

    /// Bytes of a left and of a right strip.
    fn strip_bytes(&self) -> [usize; 2] {
        [self.rows, COLUMNS].map(|lines| self.pairs * lines * 4)
    }

    /// Where the right strips begin behind the left ones, on a cache line.
    fn right_at(&self) -> usize {
        (self.count[0] * self.strip_bytes()[0]).next_multiple_of(64)
    }

    /// Bytes of all strips.
    pub(super) fn bytes(&self) -> usize {
        self.right_at() + self.count[1] * self.strip_bytes()[1]
    }

    /// Computes `dst = lhs rhs`, on several threads if `par`.
    ///
    /// # Safety
    /// As [`super::product::ProductFn`], with room for the strips at `scratch`, aligned to 64. Columns of `dst` lie side by side.
    pub(super) unsafe fn run(
        &self,
        p: &Product,
        dst: *mut u16,
        lhs: *const u16,
        rhs: *const u16,
        scratch: *mut u8,
        par: bool,
    ) {
        let &Product { m, n, k, .. } = p;
        if m == 0 || n == 0 {
            return;
        }
        let [l_count, r_count] = self.count;
        let [l_bytes, r_bytes] = self.strip_bytes();
        let par = par && m * n * k >= PARALLEL_PRODUCT;
        let share = |count: usize, f: &(dyn Fn(usize) + Sync)| {
            if par { parallel::for_each(count, f) } else { (0..count).for_each(f) }
        };
        let (lhs, rhs, dst) = (In::new(lhs.cast()), In::new(rhs.cast()), Out::new(dst.cast()));
        // SAFETY: the left strips are followed by the right ones.
        let (l_to, r_to) = unsafe { (Out::new(scratch), Out::new(scratch.add(self.right_at()))) };

        // strips of both operands, a few at a time
        let (l_tasks, r_tasks) = (l_count.min(16), r_count.min(16));
        share(l_tasks + r_tasks, &|t| {
            // SAFETY: strips lie one after the other; each is written once; strides name elements of the operands.
            unsafe {
                if t < l_tasks {
                    for i in chunk(l_count, l_tasks, t) {
                        let rows = self.rows.min(m - i * self.rows);
                        let from = lhs.get().cast::<u16>().offset((i * self.rows) as isize * p.lhs.row);
                        let lines = Lines { from, across: p.lhs.row, along: p.lhs.col, count: rows, length: k };
                        let to = l_to.get().add(i * l_bytes).cast();
                        if self.tiles { lines.squares(to, self.pairs) } else { lines.strip::<VECTOR_ROWS>(to) }
                    }
                } else {
                    for j in chunk(r_count, r_tasks, t - l_tasks) {
                        let columns = COLUMNS.min(n - j * COLUMNS);
                        let from = rhs.get().cast::<u16>().offset((j * COLUMNS) as isize * p.rhs.col);
                        let lines = Lines { from, across: p.rhs.col, along: p.rhs.row, count: columns, length: k };
                        let to = r_to.get().add(j * r_bytes).cast::<u32>();
                        lines.strip::<COLUMNS>(to);
                        // tiles take whole squares
                        let given = k.div_ceil(2) * COLUMNS;
                        to.add(given).write_bytes(0, self.pairs * COLUMNS - given);
                    }
                }
            }
        });
        // parts of the result: some strips of the left by some of the right, which stay in the cache
        let group = (CACHED / r_bytes.max(1)).clamp(1, r_count.div_ceil(2));
        let groups = r_count.div_ceil(group);
        let l_parts = l_count.min((32 / groups).max(1));
        share(l_parts * groups, &|t| {
            let (right, part) = (chunk(r_count, groups, t % groups), t / groups);
            // SAFETY: they are available; products do not call others.
            let _tiles = self.tiles.then(|| unsafe { amx::Tiles::set_up() });
            for i in chunk(l_count, l_parts, part) {
                let rows = self.rows.min(m - i * self.rows);
                for j in right.clone() {
                    let size = [rows, COLUMNS.min(n - j * COLUMNS)];
                    // SAFETY: the strips were laid out above; the block lies in the result.
                    unsafe {
                        let at = (i * self.rows) as isize * p.dst.row + (j * COLUMNS) as isize;
                        let to = dst.get().cast::<u16>().offset(at);
                        let (l, r) = (l_to.get().add(i * l_bytes), r_to.get().add(j * r_bytes));
                        if self.tiles {
                            amx::block(to, p.dst.row, size, l, r, self.pairs / SQUARE);
                        } else {
                            block(to, p.dst.row, size, l.cast(), r, self.pairs);
                        }
                    }
                }
            }
        });
    }
}

/// Some lines of a matrix.
#[derive(Clone, Copy)]
struct Lines {
    from: *const u16,
    /// From line to line, and along one.
    across: isize,
    along: isize,
    count: usize,
    length: usize,
}

impl Lines {
    /// Lays them out: for each pair along them, that pair of each of `WIDTH` lines.
    ///
    /// # Safety
    /// All lines are readable, and `to` has room for whole pairs of `WIDTH` lines.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn strip<const WIDTH: usize>(self, to: *mut u32) {
        let pairs = self.length.div_ceil(2);
        for first in (0..pairs).step_by(SQUARE) {
            for line in (0..WIDTH).step_by(SQUARE) {
                let mask = first_lanes(WIDTH - line);
                // SAFETY: the caller's promise; the mask keeps lines that are no part of the strip out of the next pair's.
                unsafe {
                    let square = self.square(line, first, Order::ByPair);
                    for (p, pair) in square.into_iter().enumerate().take(pairs - first) {
                        _mm512_mask_storeu_epi32(to.add((first + p) * WIDTH + line).cast(), mask, pair);
                    }
                }
            }
        }
    }

    /// Lays them out: `pairs` pairs in squares of 16 of them, two squares of 16 lines each.
    ///
    /// # Safety
    /// All lines are readable, and `to` has room for the squares.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn squares(self, to: *mut u32, pairs: usize) {
        for first in (0..pairs).step_by(SQUARE) {
            for line in [0, SQUARE] {
                // SAFETY: the caller's promise.
                unsafe {
                    let to = to.add((first * 2 + line) * SQUARE);
                    for (i, row) in self.square(line, first, Order::ByLine).into_iter().enumerate() {
                        _mm512_storeu_si512(to.add(i * SQUARE).cast(), row);
                    }
                }
            }
        }
    }

    /// 16 lines from `line` on by 16 pairs from `first` on; what is not there is 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn square(self, line: usize, first: usize, order: Order) -> [__m512i; SQUARE] {
        let (lines, terms) = (self.count.saturating_sub(line), self.length.saturating_sub(2 * first));
        let zero = _mm512_setzero_si512();
        // SAFETY: the caller's promise; masks leave out what lies outside of the lines.
        let (square, is) = unsafe {
            let from = self.from.offset(line as isize * self.across + 2 * first as isize * self.along);
            if self.along == 1 {
                let mask = if terms < 32 { (1 << terms) - 1 } else { u32::MAX };
                let row = |i: usize| _mm512_maskz_loadu_epi16(mask, from.offset(i as isize * self.across).cast());
                (std::array::from_fn(|i| if i < lines { row(i) } else { zero }), Order::ByLine)
            } else if self.across == 1 {
                let mask = first_lanes(lines);
                let term = |t: usize| {
                    let at = from.offset(t as isize * self.along);
                    if t < terms { _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at.cast())) } else { zero }
                };
                let pair = |p: usize| _mm512_or_si512(term(2 * p), _mm512_slli_epi32::<16>(term(2 * p + 1)));
                (std::array::from_fn(pair), Order::ByPair)
            } else {
                let mut rows = [[0u16; 2 * SQUARE]; SQUARE];
                for (i, row) in rows.iter_mut().enumerate().take(lines) {
                    for (t, x) in row.iter_mut().enumerate().take(terms) {
                        *x = *from.offset(i as isize * self.across + t as isize * self.along);
                    }
                }
                (rows.map(|row| _mm512_loadu_si512(row.as_ptr().cast())), Order::ByLine)
            }
        };
        if is == order { square } else { exchange_16(square) }
    }
}

/// What each register of a square has.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// The pairs of a line.
    ByLine,
    /// A pair of each line.
    ByPair,
}

/// A block of the result by vectors: `rows` by `columns` of it are written.
///
/// # Safety
/// Strips have `pairs` pairs. The block's rows at `to`, `row` numbers apart, have room for `columns`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn block(to: *mut u16, row: isize, [rows, columns]: [usize; 2], l: *const i32, r: *const u8, pairs: usize) {
    let mut sums = [[_mm512_setzero_ps(); 2]; VECTOR_ROWS];
    // SAFETY: strips have `pairs` groups; masks keep writes inside the block.
    unsafe {
        for p in 0..pairs {
            let at = r.add(p * COLUMNS * 4);
            let y = [_mm512_loadu_si512(at.cast()), _mm512_loadu_si512(at.add(64).cast())];
            for (i, sum) in sums.iter_mut().enumerate() {
                let x: __m512bh = std::mem::transmute(_mm512_set1_epi32(*l.add(p * VECTOR_ROWS + i)));
                for (s, y) in sum.iter_mut().zip(y) {
                    *s = _mm512_dpbf16_ps(*s, x, std::mem::transmute::<__m512i, __m512bh>(y));
                }
            }
        }
        for (i, &sum) in sums.iter().enumerate().take(rows) {
            round(to.offset(i as isize * row), sum, columns);
        }
    }
}

/// Writes the first `columns` of 32 sums, rounded.
///
/// # Safety
/// There is room for them at `to`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn round(to: *mut u16, [low, high]: [__m512; 2], columns: usize) {
    let mask = if columns == COLUMNS { u32::MAX } else { (1 << columns) - 1 };
    // SAFETY: the mask keeps the write inside the columns.
    unsafe {
        let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
        _mm512_mask_storeu_epi16(to.cast(), mask, rounded);
    }
}
