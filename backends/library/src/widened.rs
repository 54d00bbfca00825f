//! Products of f32 matrices with matrices of 8-bit integers, which are widened a panel at a time, or for a few rows in
//! registers: no f32 copy of the whole is made, and memory is read a byte an element.

use super::parallel::{self, In, Out, PARALLEL_WORK, chunk};
use super::product::{PARALLEL_PRODUCT, Product, ProductFn, Strides, product_fn};
use super::scalar::{Loop, wide};
use gradloom_ir::{DType, Result};
use std::ops::Range;

/// Elements of a panel where few rows are multiplied with it: it stays in the second-level cache.
const SMALL_PANEL: usize = 1 << 16;

/// Lines of a panel where many rows are: as many as the product takes at once anyway.
const LINES: usize = 512;

/// Rows below which panels are small.
const FEW_ROWS: usize = 16;

/// Rows up to which each is multiplied by itself, and the integers are widened in registers.
const SINGLE_ROWS: usize = 4;

/// Columns whose sums stay in the first-level cache.
const COLUMNS: usize = 512;

/// Partial sums of an inner product: as many as several vector registers hold.
const LANES: usize = 64;

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

    /// Whether rows are multiplied one by one: few, and all that is read one after the other lies so.
    fn row_by_row(&self) -> bool {
        let Product { m, lhs, rhs, .. } = self.p;
        m <= SINGLE_ROWS && if self.by_rows() { rhs.col == 1 } else { rhs.row == 1 && lhs.col == 1 }
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
        if self.row_by_row() { 0 } else { self.lines * self.extents()[1] * size_of::<f32>() }
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
        if self.row_by_row() {
            let width = if by_rows { COLUMNS } else { 16 };
            let (dst, lhs, rhs) = (Out::new(dst), In::new(floats), In::new(integers));
            let part = |i: usize| {
                let columns = i * width..(i * width + width).min(self.p.n);
                let (dst, lhs, rhs) = (dst.get().cast(), lhs.get().cast(), rhs.get().cast());
                wide(Columns { p: &self.p, dst, lhs, rhs, columns, by_rows });
            };
            let count = self.p.n.div_ceil(width);
            return if par { parallel::for_each(count, part) } else { (0..count).for_each(part) };
        }
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

/// Columns of the result, row by row. All elements that `p` names are there, columns are written once each.
struct Columns<'a> {
    p: &'a Product,
    dst: *mut f32,
    lhs: *const f32,
    rhs: *const i8,
    columns: Range<usize>,
    by_rows: bool,
}

impl Loop for Columns<'_> {
    #[inline(always)]
    fn run(self) {
        let &Product { m, k, dst: d, lhs: l, rhs: r, .. } = self.p;
        let first = self.columns.start as isize;
        for i in 0..m as isize {
            // SAFETY: the promise of the struct; what is read as slices lies side by side, as `row_by_row` found.
            unsafe {
                let (x, to) = (self.lhs.offset(i * l.row), self.dst.offset(i * d.row));
                if self.by_rows {
                    let mut sums = [0f32; COLUMNS];
                    let width = self.columns.len();
                    let row = |t: usize| {
                        let from = self.rhs.offset(t as isize * r.row + first);
                        (*x.offset(t as isize * l.col), std::slice::from_raw_parts(from, width))
                    };
                    add_rows(&mut sums[..width], k, row);
                    for (j, sum) in sums[..width].iter().enumerate() {
                        *to.offset((first + j as isize) * d.col) = *sum;
                    }
                } else {
                    let x = std::slice::from_raw_parts(x, k);
                    for j in self.columns.clone() {
                        let q = std::slice::from_raw_parts(self.rhs.offset(j as isize * r.col), k);
                        *to.offset(j as isize * d.col) = inner(x, q);
                    }
                }
            }
        }
    }
}

/// sums += Σ_t x_t q_t, where `row` gives x_t and q_t.
#[inline(always)]
fn add_rows<'a>(sums: &mut [f32], k: usize, row: impl Fn(usize) -> (f32, &'a [i8])) {
    let mut t = 0;
    while t + 4 <= k {
        let [(a, p), (b, q), (c, r), (d, s)] = [row(t), row(t + 1), row(t + 2), row(t + 3)];
        for ((((sum, &p), &q), &r), &s) in sums.iter_mut().zip(p).zip(q).zip(r).zip(s) {
            *sum += (a * f32::from(p) + b * f32::from(q)) + (c * f32::from(r) + d * f32::from(s));
        }
        t += 4;
    }
    for t in t..k {
        let (a, p) = row(t);
        sums.iter_mut().zip(p).for_each(|(sum, &p)| *sum += a * f32::from(p));
    }
}

/// Σ x q
#[inline(always)]
fn inner(x: &[f32], q: &[i8]) -> f32 {
    let mut sums = [0f32; LANES];
    let (xs, qs) = (x.chunks_exact(LANES), q.chunks_exact(LANES));
    let rest: f32 = xs.remainder().iter().zip(qs.remainder()).map(|(x, &q)| x * f32::from(q)).sum();
    for (x, q) in xs.zip(qs) {
        for (sum, (x, &q)) in sums.iter_mut().zip(x.iter().zip(q)) {
            *sum += x * f32::from(q);
        }
    }
    sums.iter().sum::<f32>() + rest
}
