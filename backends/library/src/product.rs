//! One matrix product of strided matrices: `gemm` for floats, [`super::few_rows`], [`super::turned`] and [`super::vector_product`] for some of them, plain
//! loops for integers and for tiny sizes.

use super::awake::call_workers;
#[cfg(target_arch = "x86_64")]
use super::few_rows;
use super::parallel::{self, In, Out, PARALLEL_WORK, chunk};
use super::scalar::{Loop, Scalar, wide};
use super::turned;
use super::vector_product;
use gemm::Parallelism;
use gradloom_ir::{DType, Error, Result};

/// Products of at most this many multiplications run as plain loops: the library's dispatch would dominate.
const TINY: usize = 128;

/// Fewest rows or columns of a part: the library adds in other blocks where there are at most 64 of both, and a part must compute
/// what the whole would.
pub(super) const LEAST_PART: usize = 96;

/// Parts are cut at multiples of this.
pub(super) const LINE: usize = 16;

/// Multiplications from which a single product is worth several threads.
pub(super) const PARALLEL_PRODUCT: usize = 1 << 20;

/// Depth of the slabs of integer products, so that a slab of the right matrix stays in cache.
const DEPTH: usize = 256;

/// Row and column strides, in elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strides {
    /// From one row to the next.
    pub row: isize,
    /// From one column to the next.
    pub col: isize,
}

/// `dst[m, n] (+)= lhs[m, k] * rhs[k, n]`
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Where the result's elements are.
    pub dst: Strides,
    /// Where the left matrix's elements are.
    pub lhs: Strides,
    /// Where the right matrix's elements are.
    pub rhs: Strides,
}

/// A matrix product on untyped buffers: `(sizes, dst, lhs, rhs, accumulate, on several threads)`.
///
/// Safety: all elements named by sizes and strides are readable (dst: writable), and dst overlaps neither operand.
pub(super) type ProductFn = unsafe fn(&Product, *mut u8, *const u8, *const u8, bool, bool);

/// The product for elements of `dtype`.
pub(super) fn product_fn(dtype: DType) -> Result<ProductFn> {
    Ok(match dtype {
        DType::F32 => product_f32,
        DType::F64 => product_float::<f64>,
        DType::Bool | DType::I8 | DType::U8 => product_int::<u8>,
        DType::I16 | DType::U16 => product_int::<u16>,
        DType::I32 | DType::U32 => product_int::<u32>,
        DType::I64 | DType::U64 => product_int::<u64>,
        DType::F16 | DType::BF16 | DType::C64 | DType::C128 => {
            return Err(Error::internal("product", format!("{dtype} is computed in its parts or in f32")));
        }
    })
}

unsafe fn product_f32(p: &Product, dst: *mut u8, lhs: *const u8, rhs: *const u8, add: bool, par: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if few_rows::takes(p) {
            return few_rows::run(p, dst.cast(), lhs.cast(), rhs.cast(), add, par);
        }
        product_float::<f32>(p, dst, lhs, rhs, add, par);
    }
}

unsafe fn product_float<T: Scalar>(p: &Product, dst: *mut u8, lhs: *const u8, rhs: *const u8, add: bool, par: bool) {
    let &Product { m, n, k, .. } = p;
    let (dst, lhs, rhs) = (dst.cast::<T>(), lhs.cast::<T>(), rhs.cast::<T>());
    if m * n * k <= TINY {
        // SAFETY: the caller's promise.
        return unsafe { plain(p, dst, lhs, rhs, add) };
    }
    if vector_product::takes(p) {
        // SAFETY: the caller's promise.
        return unsafe { vector_product::run(p, dst, lhs, rhs, add, par) };
    }
    let par = par && m * n * k >= PARALLEL_PRODUCT;
    let threads = parallel::threads();
    let shared_by = if par { threads } else { 1 };
    let turns = (turned::takes_left::<T>(p), turned::takes(p));
    if turns != (false, false) && k > turned::TERMS {
        let pieces = k.div_ceil(turned::TERMS);
        for terms in (0..pieces).map(|i| chunk(k, pieces, i)) {
            let part = Product { k: terms.len(), ..*p };
            let (at, add) = (terms.start as isize, add || terms.start > 0);
            // SAFETY: the caller's promise; parts are terms of the sums.
            unsafe {
                let (l, r) = (lhs.offset(at * p.lhs.col), rhs.offset(at * p.rhs.row));
                product_float::<T>(&part, dst.cast(), l.cast(), r.cast(), add, par);
            }
        }
        return;
    }
    if turns.0 {
        // SAFETY: the caller's promise; `T` is f32 or f64, as `product_fn` chose. Parts are rows of the result.
        return unsafe {
            turned::with_left(p, lhs, shared_by, |part, row, lhs| {
                let dst = dst.offset(row as isize * p.dst.row);
                product_float::<T>(part, dst.cast(), lhs.cast(), rhs.cast(), add, par);
            })
        };
    }
    if turns.1 {
        // SAFETY: as above.
        return unsafe { turned::run(p, dst, lhs, rhs, add, shared_by) };
    }
    // SAFETY: the caller's promise.
    unsafe {
        if par && (m == 1 || n == 1) {
            // The library runs matrix-vector products on one thread.
            // Columns read side by side share cache lines, so parts are not too narrow.
            let parts = parallel::chunk_count(m * n, k).min((m * n).div_ceil(128));
            in_parts(p, parts, n >= m, library, (dst, lhs, rhs), add);
        } else if !par || threads == 1 {
            library(p, dst, lhs, rhs, add, Parallelism::None);
        } else if m.max(n) / threads >= LEAST_PART {
            in_parts(p, threads, n >= m, library, (dst, lhs, rhs), add);
        } else {
            call_workers();
            library(p, dst, lhs, rhs, add, Parallelism::Rayon(0));
        }
    }
}

/// A product on typed buffers: `(sizes, dst, lhs, rhs, accumulate, on which threads)`.
type TypedFn<T> = unsafe fn(&Product, *mut T, *const T, *const T, bool, Parallelism);

/// The columns of the result, or its rows, in parts that one thread computes each, by `part`. Parts do not wait for each other;
/// the library's threads do, for operands that they lay out together.
///
/// # Safety
/// As [`ProductFn`], and what `part` asks for.
pub(super) unsafe fn in_parts<T: Scalar>(
    p: &Product,
    parts: usize,
    columns: bool,
    part: TypedFn<T>,
    (dst, lhs, rhs): (*mut T, *const T, *const T),
    add: bool,
) {
    let length = if columns { p.n } else { p.m };
    let (dst, lhs, rhs) = (Out::new(dst.cast()), In::new(lhs.cast()), In::new(rhs.cast()));
    parallel::for_each(parts, |i| {
        let lines = chunk(length.div_ceil(LINE), parts, i);
        let (start, end) = (lines.start * LINE, (lines.end * LINE).min(length));
        let (at, mut own) = (start as isize, *p);
        let (d, l, r) = (dst.get().cast::<T>(), lhs.get().cast::<T>(), rhs.get().cast::<T>());
        // SAFETY: the caller's promise; parts write disjoint rows (columns) of dst.
        unsafe {
            if columns {
                own.n = end - start;
                part(&own, d.offset(at * p.dst.col), l, r.offset(at * p.rhs.col), add, Parallelism::None);
            } else {
                own.m = end - start;
                part(&own, d.offset(at * p.dst.row), l.offset(at * p.lhs.row), r, add, Parallelism::None);
            }
        }
    });
}

/// The product by `gemm`; `T` is f32 or f64.
#[inline]
pub(super) unsafe fn library<T: Scalar>(
    p: &Product,
    dst: *mut T,
    lhs: *const T,
    rhs: *const T,
    add: bool,
    par: Parallelism,
) {
    let &Product { m, n, k, dst: d, lhs: l, rhs: r } = p;
    // SAFETY: the caller's promise; `T` is f32 or f64, as `product_fn` chose.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst,
            d.col,
            d.row,
            add,
            lhs,
            l.col,
            l.row,
            rhs,
            r.col,
            r.row,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            par,
        );
    }
}

unsafe fn product_int<T: Scalar>(p: &Product, dst: *mut u8, lhs: *const u8, rhs: *const u8, add: bool, par: bool) {
    let chunks = if par { parallel::chunk_count(p.m, p.n.saturating_mul(p.k)) } else { 1 };
    let (dst, lhs, rhs) = (Out::new(dst), In::new(lhs), In::new(rhs));
    let part = |i: usize| {
        let r = chunk(p.m, chunks, i);
        let part = Product { m: r.len(), ..*p };
        let at = r.start as isize;
        // SAFETY: the caller's promise; parts write disjoint rows of dst.
        unsafe {
            let (d, l) = (dst.get().cast::<T>().offset(at * p.dst.row), lhs.get().cast::<T>().offset(at * p.lhs.row));
            plain(&part, d, l, rhs.get().cast(), add);
        }
    };
    if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
}

/// The product by loops: rows of rhs added to rows of dst where both are contiguous, inner products otherwise.
unsafe fn plain<T: Scalar>(p: &Product, dst: *mut T, lhs: *const T, rhs: *const T, add: bool) {
    let l = Plain { p, dst, lhs, rhs, add };
    if p.m * p.n * p.k <= TINY && p.n < 16 { l.run() } else { wide(l) }
}

struct Plain<'a, T> {
    p: &'a Product,
    dst: *mut T,
    lhs: *const T,
    rhs: *const T,
    add: bool,
}

impl<T: Scalar> Loop for Plain<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Plain { p, dst, lhs, rhs, add } = self;
        let &Product { m, n, k, dst: d, lhs: l, rhs: r } = p;
        // SAFETY: `plain`'s caller promises that all elements of the three matrices are accessible.
        unsafe {
            if r.col == 1 && d.col == 1 && n >= 4 {
                for k0 in (0..k.max(1)).step_by(DEPTH) {
                    for i in 0..m as isize {
                        let row = std::slice::from_raw_parts_mut(dst.offset(i * d.row), n);
                        if k0 == 0 && !add {
                            row.fill(T::ZERO);
                        }
                        for j in k0..(k0 + DEPTH).min(k) {
                            let j = j as isize;
                            let x = *lhs.offset(i * l.row + j * l.col);
                            let from = std::slice::from_raw_parts(rhs.offset(j * r.row), n);
                            row.iter_mut().zip(from).for_each(|(o, &y)| *o = o.add(x.mul(y)));
                        }
                    }
                }
                return;
            }
            for i in 0..m as isize {
                for j in 0..n as isize {
                    let o = dst.offset(i * d.row + j * d.col);
                    let (a, b) = (lhs.offset(i * l.row), rhs.offset(j * r.col));
                    let mut sum = if add { *o } else { T::ZERO };
                    for t in 0..k as isize {
                        sum = sum.add((*a.offset(t * l.col)).mul(*b.offset(t * r.row)));
                    }
                    *o = sum;
                }
            }
        }
    }
}

/// Whether several products of this size should run side by side rather than each on several threads.
pub(super) fn side_by_side(count: usize, each: usize) -> bool {
    count > 1 && count.saturating_mul(each) >= PARALLEL_WORK && (count >= 16 || each < PARALLEL_PRODUCT)
}

/// Checks that a product stays inside arrays of these lengths, the result's first.
///
/// # Panics
/// If an array is too short, a size is 0, a stride negative, or the result's columns do not lie side by side.
pub(super) fn assert_inside(p: &Product, [dst, lhs, rhs]: [usize; 3]) {
    let reach = |s: Strides, rows: usize, columns: usize| {
        let ends = [(rows - 1, s.row), (columns - 1, s.col)].map(|(n, by)| n.saturating_mul(by.unsigned_abs()));
        ends[0].saturating_add(ends[1]).saturating_add(1)
    };
    assert!(p.m > 0 && p.n > 0 && p.k > 0 && [p.dst, p.lhs, p.rhs].iter().all(|s| s.row >= 0 && s.col >= 0));
    assert!(p.dst.col == 1 && p.dst.row.unsigned_abs() >= p.n);
    assert!(dst >= reach(p.dst, p.m, p.n) && lhs >= reach(p.lhs, p.m, p.k) && rhs >= reach(p.rhs, p.k, p.n));
}

/// `dst (+)= lhs rhs`. For tests.
///
/// # Panics
/// If an array is too short, a size is 0, a stride negative, or the result's columns do not lie side by side.
pub fn multiply_f32(p: Product, dst: &mut [f32], lhs: &[f32], rhs: &[f32], add: bool, par: bool) {
    assert_inside(&p, [dst.len(), lhs.len(), rhs.len()]);
    // SAFETY: the arrays reach as far as sizes and strides, and are three.
    unsafe { product_f32(&p, dst.as_mut_ptr().cast(), lhs.as_ptr().cast(), rhs.as_ptr().cast(), add, par) }
}
