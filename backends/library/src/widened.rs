//! Products of f32 matrices with matrices of 8-bit integers, which are widened a panel at a time: no f32 copy of the whole
//! is made, and memory is read a byte an element.

use super::parallel::{self, In, Out, PARALLEL_WORK, chunk};
use super::product::{PARALLEL_PRODUCT, Product, ProductFn, Strides, product_fn};
use super::scalar::{Loop, wide};
use gradloom_ir::{DType, Result};

/// Elements of a panel where few rows are multiplied with it: it stays in the second-level cache.
const SMALL_PANEL: usize = 1 << 16;

/// Lines of a panel where many rows are: as many as the product takes at once anyway.
const LINES: usize = 512;

/// Rows that count as few.
const FEW_ROWS: usize = 16;

/// Whether a product with such operands is one of these.
pub(super) fn is_widened(lhs: DType, rhs: DType) -> bool {
    matches!((lhs, rhs), (DType::F32, DType::I8) | (DType::I8, DType::F32))
}

/// A prepared product of which one matrix is of `i8`, the other of `f32`, as is the result.
pub(super) struct WidenedProduct {
    /// With the integers on the right.
    p: Product,
    exchanged: bool,
    /// Lines of a panel: rows of the right matrix where these lie one after the other, columns otherwise.
    lines: usize,
    multiply: ProductFn,
}

impl WidenedProduct {
    pub(super) fn new(p: Product, integers_left: bool) -> Result<WidenedProduct> {
        let turned = |s: Strides| Strides { row: s.col, col: s.row };
        let p = if integers_left {
            Product { m: p.n, n: p.m, k: p.k, dst: turned(p.dst), lhs: turned(p.rhs), rhs: turned(p.lhs) }
        } else {
            p
        };
        let mut w = WidenedProduct { p, exchanged: integers_left, lines: LINES, multiply: product_fn(DType::F32)? };
        if p.m < FEW_ROWS {
            w.lines = SMALL_PANEL.div_ceil(w.extents()[1].max(1));
        }
        w.lines = w.lines.min(w.extents()[0]).max(1);
        Ok(w)
    }

    /// Whether the rows of the right matrix lie one after the other.
    fn by_rows(&self) -> bool {
        self.p.n == 1 || self.p.rhs.row.abs() >= self.p.rhs.col.abs()
    }

    /// How many lines the right matrix has, and how long they are.
    fn extents(&self) -> [usize; 2] {
        if self.by_rows() { [self.p.k, self.p.n] } else { [self.p.n, self.p.k] }
    }

    /// Bytes of scratch memory that a run needs.
    pub(super) fn scratch_bytes(&self) -> usize {
        self.lines * self.extents()[1] * size_of::<f32>()
    }

    /// Computes `dst = lhs rhs`, on several threads if `par`.
    ///
    /// # Safety
    /// As [`ProductFn`], with `scratch_bytes` bytes of scratch, aligned to 64.
    pub(super) unsafe fn run(&self, dst: *mut u8, lhs: *const u8, rhs: *const u8, scratch: *mut u8, par: bool) {
        let (floats, integers) = if self.exchanged { (rhs, lhs) } else { (lhs, rhs) };
        let (by_rows, [count, length]) = (self.by_rows(), self.extents());
        let (across, along) = if by_rows { (self.p.rhs.row, self.p.rhs.col) } else { (self.p.rhs.col, self.p.rhs.row) };
        let par = par && self.p.m * self.p.n * self.p.k >= PARALLEL_PRODUCT;
        for first in (0..count).step_by(self.lines) {
            let lines = self.lines.min(count - first);
            // SAFETY: the lines are in the right matrix, and scratch has room for as many; the parts of the other
            // matrices are those that the lines stand for.
            unsafe {
                let from = integers.offset(first as isize * across).cast::<i8>();
                widen(scratch.cast(), from, [lines, length], [across, along], par);
                let (at, dense) = (first as isize, length as isize);
                let (dst, lhs) = (dst.cast::<f32>(), floats.cast::<f32>());
                if by_rows {
                    let part = Product { k: lines, rhs: Strides { row: dense, col: 1 }, ..self.p };
                    let lhs = lhs.offset(at * self.p.lhs.col).cast();
                    (self.multiply)(&part, dst.cast(), lhs, scratch, first > 0, par);
                } else {
                    let part = Product { n: lines, rhs: Strides { row: 1, col: dense }, ..self.p };
                    let dst = dst.offset(at * self.p.dst.col).cast();
                    (self.multiply)(&part, dst, lhs.cast(), scratch, false, par);
                }
            }
        }
    }
}

/// Writes `lines` of integers as dense lines of floats.
///
/// # Safety
/// Extents and steps name elements of `from`; `to` has room for all.
unsafe fn widen(to: *mut f32, from: *const i8, [lines, length]: [usize; 2], [across, along]: [isize; 2], par: bool) {
    let chunks = if par && lines * length >= PARALLEL_WORK { lines.min(16) } else { 1 };
    let (to, from) = (Out::new(to.cast()), In::new(from.cast()));
    parallel::for_each(chunks, |i| {
        for line in chunk(lines, chunks, i) {
            // SAFETY: the caller's promise; lines are written once each.
            unsafe {
                let to = std::slice::from_raw_parts_mut(to.get().cast::<f32>().add(line * length), length);
                wide(Line { to, from: from.get().cast::<i8>().offset(line as isize * across), along });
            }
        }
    });
}

struct Line<'a> {
    to: &'a mut [f32],
    from: *const i8,
    along: isize,
}

impl Loop for Line<'_> {
    #[inline(always)]
    fn run(self) {
        // SAFETY: `widen`'s caller promises that the line's elements are there.
        unsafe {
            if self.along == 1 {
                let from = std::slice::from_raw_parts(self.from, self.to.len());
                self.to.iter_mut().zip(from).for_each(|(x, &q)| *x = f32::from(q));
            } else {
                for (i, x) in self.to.iter_mut().enumerate() {
                    *x = f32::from(*self.from.offset(i as isize * self.along));
                }
            }
        }
    }
}
