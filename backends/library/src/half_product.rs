//! Products of bf16 matrices that accumulate in f32 and are rounded once.
//!
//! On processors with AVX512-BF16 an instruction adds the products of two pairs of bf16 numbers to each of 16 sums: twice
//! the arithmetic of f32. Both matrices are laid out first so that the pairs along the contracted axis lie together:
//! strips of [`STRIP_ROWS`] rows of the left one, of [`STRIP_COLUMNS`] columns of the right one. A block of the result of
//! that size stays in registers along the whole contracted axis. Sums of subnormal numbers are flushed to zero.
//!
//! Elsewhere both are widened and multiplied in f32.

use super::parallel::{self, In, Out, chunk};
use super::product::{PARALLEL_PRODUCT, Product, ProductFn, Strides, product_fn};
use gradloom_ir::{DType, Result, bf16};

/// Rows of a block of the result: with two registers of columns these are 24 sums in 32 registers.
const STRIP_ROWS: usize = 12;

/// Columns of a block of the result.
const STRIP_COLUMNS: usize = 32;

/// Whether the processor multiplies bf16 numbers itself.
pub fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// A prepared product of bf16 matrices.
pub(super) struct HalfProduct {
    p: Product,
    /// The product in f32, where the processor has none.
    widened: Option<ProductFn>,
}

impl HalfProduct {
    pub(super) fn new(p: Product) -> Result<HalfProduct> {
        let widened = if multiplies_bf16() { None } else { Some(product_fn(DType::F32)?) };
        Ok(HalfProduct { p, widened })
    }

    /// Bytes of scratch memory that a run needs.
    pub(super) fn scratch_bytes(&self) -> usize {
        let Product { m, n, k, .. } = self.p;
        if self.widened.is_none() {
            let strips = m.next_multiple_of(STRIP_ROWS) + n.next_multiple_of(STRIP_COLUMNS);
            // the right operand's strips begin on a cache line
            strips * k.next_multiple_of(2) * 2 + 64
        } else {
            (m * k + k * n + m * n) * 4
        }
    }

    /// Computes `dst = lhs rhs`, on several threads if `par`.
    ///
    /// # Safety
    /// As [`super::product::ProductFn`], with `scratch_bytes` bytes of scratch, aligned to 64. Columns of `dst` lie side
    /// by side.
    pub(super) unsafe fn run(&self, dst: *mut u8, lhs: *const u8, rhs: *const u8, scratch: *mut u8, par: bool) {
        // SAFETY: the caller's promise; the processor has what the code needs.
        unsafe {
            match self.widened {
                Some(multiply) => self.run_widened(multiply, dst.cast(), lhs.cast(), rhs.cast(), scratch.cast(), par),
                #[cfg(target_arch = "x86_64")]
                None => self.run_native(dst.cast(), lhs.cast(), rhs.cast(), scratch.cast(), par),
                #[cfg(not(target_arch = "x86_64"))]
                None => {}
            }
        }
    }

    unsafe fn run_widened(
        &self,
        multiply: ProductFn,
        dst: *mut bf16,
        lhs: *const bf16,
        rhs: *const bf16,
        scratch: *mut f32,
        par: bool,
    ) {
        let Product { m, n, k, .. } = self.p;
        // SAFETY: scratch holds the three matrices; strides name elements of the operands.
        unsafe {
            let (l, r, d) = (scratch, scratch.add(m * k), scratch.add(m * k + k * n));
            for (to, from, s, rows, columns) in [(l, lhs, self.p.lhs, m, k), (r, rhs, self.p.rhs, k, n)] {
                for i in 0..rows {
                    for j in 0..columns {
                        let at = i as isize * s.row + j as isize * s.col;
                        to.add(i * columns + j).write((*from.offset(at)).to_f32());
                    }
                }
            }
            let dense = |columns: usize| Strides { row: columns as isize, col: 1 };
            let p = Product { dst: dense(n), lhs: dense(k), rhs: dense(n), ..self.p };
            multiply(&p, d.cast(), l.cast(), r.cast(), false, par);
            for i in 0..m {
                for j in 0..n {
                    let at = i as isize * self.p.dst.row + j as isize * self.p.dst.col;
                    dst.offset(at).write(bf16::from_f32(*d.add(i * n + j)));
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn run_native(&self, dst: *mut u16, lhs: *const u16, rhs: *const u16, scratch: *mut u16, par: bool) {
        let Product { m, n, k, .. } = self.p;
        let pairs = k.div_ceil(2);
        let (l_strip, r_strip) = (pairs * 2 * STRIP_ROWS, pairs * 2 * STRIP_COLUMNS);
        let (l_count, r_count) = (m.div_ceil(STRIP_ROWS), n.div_ceil(STRIP_COLUMNS));
        let par = par && m * n * k >= PARALLEL_PRODUCT;
        let share = |count: usize, f: &(dyn Fn(usize) + Sync)| {
            if par { parallel::for_each(count, f) } else { (0..count).for_each(f) }
        };
        let (lhs, rhs, dst) = (In::new(lhs.cast()), In::new(rhs.cast()), Out::new(dst.cast()));
        // SAFETY: the left strips are followed by the right ones, from the next cache line on.
        let r_at = (l_count * l_strip).next_multiple_of(32);
        let (l_to, r_to) = unsafe { (Out::new(scratch.cast()), Out::new(scratch.add(r_at).cast())) };

        // strips of both operands, a few at a time
        let tasks = |count: usize| count.min(16);
        let (l_tasks, r_tasks) = (tasks(l_count), tasks(r_count));
        share(l_tasks + r_tasks, &|t| {
            // SAFETY: strips lie one after the other; each is written once; strides name elements of the operands.
            unsafe {
                if t < l_tasks {
                    for i in chunk(l_count, l_tasks, t) {
                        let rows = STRIP_ROWS.min(m - i * STRIP_ROWS);
                        let from = lhs.get().cast::<u16>().offset((i * STRIP_ROWS) as isize * self.p.lhs.row);
                        let across = [self.p.lhs.row, self.p.lhs.col];
                        strip::<STRIP_ROWS>(l_to.get().cast::<u16>().add(i * l_strip), from, across, rows, k);
                    }
                } else {
                    for j in chunk(r_count, r_tasks, t - l_tasks) {
                        let columns = STRIP_COLUMNS.min(n - j * STRIP_COLUMNS);
                        let from = rhs.get().cast::<u16>().offset((j * STRIP_COLUMNS) as isize * self.p.rhs.col);
                        let across = [self.p.rhs.col, self.p.rhs.row];
                        strip::<STRIP_COLUMNS>(r_to.get().cast::<u16>().add(j * r_strip), from, across, columns, k);
                    }
                }
            }
        });
        // parts of the result: some strips of the left by one of the right, which stays in the cache
        let l_parts = l_count.min((32 / r_count.max(1)).max(1));
        share(l_parts * r_count, &|t| {
            let (j, part) = (t % r_count, t / r_count);
            let columns = STRIP_COLUMNS.min(n - j * STRIP_COLUMNS);
            for i in chunk(l_count, l_parts, part) {
                let rows = STRIP_ROWS.min(m - i * STRIP_ROWS);
                // SAFETY: the strips were laid out above; the block lies in the result.
                unsafe {
                    let at = (i * STRIP_ROWS) as isize * self.p.dst.row + (j * STRIP_COLUMNS) as isize;
                    let to = dst.get().cast::<u16>().offset(at);
                    let (l, r) = (l_to.get().cast::<u16>().add(i * l_strip), r_to.get().cast::<u16>().add(j * r_strip));
                    x86::block(to, self.p.dst.row, rows, columns, l.cast(), r.cast(), pairs);
                }
            }
        });
    }
}

/// Lays out `lines` of `WIDTH` lines of a matrix: for each pair along them, that pair of each line, zeros for lines that
/// are not there and behind an odd end. `across` is the step from line to line, and along one.
#[cfg(target_arch = "x86_64")]
unsafe fn strip<const WIDTH: usize>(
    to: *mut u16,
    from: *const u16,
    [across, along]: [isize; 2],
    lines: usize,
    length: usize,
) {
    // SAFETY: the caller's promise: all lines are there, `to` has room for whole pairs of `WIDTH` lines.
    unsafe {
        for pair in 0..length.div_ceil(2) {
            let to = to.add(pair * 2 * WIDTH);
            let first = from.offset(pair as isize * 2 * along);
            if pair * 2 + 1 < length && lines == WIDTH {
                for i in 0..WIDTH {
                    let x = first.offset(i as isize * across);
                    to.add(2 * i).write(*x);
                    to.add(2 * i + 1).write(*x.offset(along));
                }
                continue;
            }
            for i in 0..WIDTH {
                let x = first.offset(i as isize * across);
                let there = |odd: usize| i < lines && pair * 2 + odd < length;
                to.add(2 * i).write(if there(0) { *x } else { 0 });
                to.add(2 * i + 1).write(if there(1) { *x.offset(along) } else { 0 });
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{STRIP_COLUMNS, STRIP_ROWS};
    use std::arch::x86_64::*;

    /// A block of the result: `rows` by `columns` of it are written.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn block(
        to: *mut u16,
        row: isize,
        rows: usize,
        columns: usize,
        l: *const i32,
        r: *const u8,
        pairs: usize,
    ) {
        let mut sums = [[_mm512_setzero_ps(); 2]; STRIP_ROWS];
        // SAFETY: strips have `pairs` groups; masks keep writes inside the block.
        unsafe {
            for p in 0..pairs {
                let at = r.add(p * STRIP_COLUMNS * 4);
                let y = [_mm512_loadu_si512(at.cast()), _mm512_loadu_si512(at.add(64).cast())];
                for (i, sum) in sums.iter_mut().enumerate() {
                    let x: __m512bh = std::mem::transmute(_mm512_set1_epi32(*l.add(p * STRIP_ROWS + i)));
                    for (s, y) in sum.iter_mut().zip(y) {
                        *s = _mm512_dpbf16_ps(*s, x, std::mem::transmute::<__m512i, __m512bh>(y));
                    }
                }
            }
            let mask = if columns == STRIP_COLUMNS { u32::MAX } else { (1 << columns) - 1 };
            for (i, sum) in sums.iter().enumerate().take(rows) {
                let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(sum[1], sum[0]));
                _mm512_mask_storeu_epi16(to.offset(i as isize * row).cast(), mask, rounded);
            }
        }
    }
}

/// A product of bf16 matrices, as this machine computes it or `widened` to f32, which other machines do. For tests.
///
/// # Panics
/// If an array is too short, a size is 0 or the result's columns do not lie side by side.
pub fn multiply_bf16(p: Product, dst: &mut [bf16], lhs: &[bf16], rhs: &[bf16], widened: bool, par: bool) {
    let reach = |s: Strides, rows: usize, columns: usize| {
        let ends = [(rows - 1, s.row), (columns - 1, s.col)].map(|(n, by)| n.saturating_mul(by.unsigned_abs()));
        ends[0].saturating_add(ends[1]).saturating_add(1)
    };
    assert!(p.m > 0 && p.n > 0 && p.k > 0 && [p.dst, p.lhs, p.rhs].iter().all(|s| s.row >= 0 && s.col >= 0));
    assert!(p.dst.col == 1 && p.dst.row.unsigned_abs() >= p.n);
    assert!(dst.len() >= reach(p.dst, p.m, p.n) && lhs.len() >= reach(p.lhs, p.m, p.k));
    assert!(rhs.len() >= reach(p.rhs, p.k, p.n));
    let native = HalfProduct::new(p).expect("bf16 has products");
    let product = if widened { HalfProduct { p, widened: product_fn(DType::F32).ok() } } else { native };
    let mut scratch = vec![0u64; product.scratch_bytes() / 8 + 16];
    let skip = scratch.as_ptr().align_offset(64);
    // SAFETY: the arrays reach as far as sizes and strides; the scratch is aligned and long enough.
    unsafe {
        let scratch = scratch.as_mut_ptr().add(skip).cast();
        product.run(dst.as_mut_ptr().cast(), lhs.as_ptr().cast(), rhs.as_ptr().cast(), scratch, par);
    }
}
