//! Products of a vector and a matrix whose rows lie along memory, as sums of rows.
//!
//! Memory sets their speed: the matrix is read once, each thread reading as long pieces of rows as there are. Columns of the result
//! are computed alike wherever they are cut. (Where columns lie along memory, a product is so many inner products, and the library
//! is as fast as memory.)

use super::parallel::{self, In, Out, chunk};
use super::product::{PARALLEL_PRODUCT, Product, Strides};
use super::scalar::{Loop, Scalar, wide};
use std::ops::Range;

/// Elements of the result whose sums stay in the first-level cache, while rows of the matrix pass by; and for short results, whose
/// sums should not take longer to clear than to compute.
const MANY_SUMS: usize = 4096;
const FEW_SUMS: usize = 256;

/// Rows that pass by at a time.
const ROWS: usize = 8;

/// Fewest columns of a thread, so that few cache lines belong to two; parts are cut at multiples.
const LEAST_PART: usize = 64;

/// The product as a row times a matrix whose rows lie along memory, and whether it is the transpose of what is asked for.
fn as_row(p: &Product) -> Option<(Product, bool)> {
    let turn = |s: Strides| Strides { row: s.col, col: s.row };
    let (row, turned) = match (p.m, p.n) {
        (1, _) => (*p, false),
        (_, 1) => {
            let (dst, lhs, rhs) = (turn(p.dst), turn(p.rhs), turn(p.lhs));
            (Product { m: 1, n: p.m, k: p.k, dst, lhs, rhs }, true)
        }
        _ => return None,
    };
    (row.rhs.col == 1 && row.dst.col == 1).then_some((row, turned))
}

/// Whether it is the product of a vector and a matrix whose rows lie along memory.
pub(super) fn takes(p: &Product) -> bool {
    as_row(p).is_some()
}

/// Computes `dst (+)= lhs rhs`, on several threads if `par`.
///
/// # Safety
/// As [`super::product::ProductFn`], for floats of the type `T`; [`takes`] is true.
pub(super) unsafe fn run<T: Scalar>(p: &Product, dst: *mut T, lhs: *const T, rhs: *const T, add: bool, par: bool) {
    let (p, turned) = as_row(p).expect("only products that are taken are computed here");
    let (lhs, rhs) = if turned { (rhs, lhs) } else { (lhs, rhs) };
    let parts =
        if par && p.n * p.k >= PARALLEL_PRODUCT { parallel::threads().min(p.n.div_ceil(LEAST_PART)) } else { 1 };
    let (dst, lhs, rhs) = (Out::new(dst.cast()), In::new(lhs.cast()), In::new(rhs.cast()));
    parallel::for_each(parts, |i| {
        let lines = chunk(p.n.div_ceil(LEAST_PART), parts, i);
        let columns = lines.start * LEAST_PART..(lines.end * LEAST_PART).min(p.n);
        wide(Columns { p: &p, dst: dst.get().cast::<T>(), x: lhs.get().cast(), rhs: rhs.get().cast(), columns, add });
    });
}

/// Columns of the result. All elements that `p` names are there; columns are written once each.
struct Columns<'a, T> {
    p: &'a Product,
    dst: *mut T,
    x: *const T,
    rhs: *const T,
    columns: Range<usize>,
    add: bool,
}

impl<T: Scalar> Loop for Columns<'_, T> {
    #[inline(always)]
    fn run(self) {
        // SAFETY: the promise of the struct.
        unsafe {
            if self.columns.len() <= FEW_SUMS {
                self.add_rows::<FEW_SUMS>();
            } else {
                self.add_rows::<MANY_SUMS>();
            }
        }
    }
}

impl<T: Scalar> Columns<'_, T> {
    #[inline(always)]
    unsafe fn add_rows<const SUMS: usize>(&self) {
        let p = self.p;
        for start in self.columns.clone().step_by(SUMS) {
            let width = SUMS.min(self.columns.end - start);
            let mut sums = [T::ZERO; SUMS];
            // SAFETY: the promise of the struct; rows of the matrix and of the result are side by side.
            unsafe {
                let row = |t: usize| {
                    let from = self.rhs.offset(t as isize * p.rhs.row).add(start);
                    (*self.x.offset(t as isize * p.lhs.col), std::slice::from_raw_parts(from, width))
                };
                let sums = &mut sums[..width];
                let whole = p.k - p.k % ROWS;
                for t in (0..whole).step_by(ROWS) {
                    let rows: [(T, &[T]); ROWS] = std::array::from_fn(|r| row(t + r));
                    for (j, sum) in sums.iter_mut().enumerate() {
                        let product = |r: usize| rows[r].0.mul(*rows[r].1.get_unchecked(j));
                        let pair = |r: usize| product(r).add(product(r + 1));
                        *sum = sum.add(pair(0).add(pair(2)).add(pair(4).add(pair(6))));
                    }
                }
                for t in whole..p.k {
                    let (a, row) = row(t);
                    sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum = sum.add(a.mul(x)));
                }
                let to = std::slice::from_raw_parts_mut(self.dst.add(start), width);
                if self.add {
                    to.iter_mut().zip(sums).for_each(|(to, sum)| *to = to.add(*sum));
                } else {
                    to.copy_from_slice(sums);
                }
            }
        }
    }
}
