//! Products of bf16 matrices that accumulate in f32 and are rounded once.
//!
//! Processors that multiply bf16 numbers add the products of two pairs of them to each sum: by vectors with AVX512-BF16, twice the
//! arithmetic of f32, or by the tiles of [`super::amx`]. Both matrices are laid out for them first ([`super::half_strips`]). A
//! block of the result stays in registers along the whole contracted axis. Sums of subnormal numbers are flushed to zero.
//!
//! Elsewhere both are widened and multiplied in f32.

#[cfg(target_arch = "x86_64")]
use super::half_strips::Strips;
use super::product::{Product, ProductFn, Strides, assert_inside, product_fn};
use gradloom_ir::{DType, Result, bf16};

/// What multiplies bf16 numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multiplier {
    /// The processor's tiles.
    Tiles,
    /// Its vectors.
    Vectors,
    /// Its vectors of f32, to which numbers are widened.
    Widened,
}

impl Multiplier {
    /// What this machine has, the fastest first.
    pub fn available() -> impl Iterator<Item = Multiplier> {
        #[cfg(target_arch = "x86_64")]
        let tiles = super::amx::available();
        #[cfg(not(target_arch = "x86_64"))]
        let tiles = false;
        [(Multiplier::Tiles, tiles), (Multiplier::Vectors, multiplies_bf16()), (Multiplier::Widened, true)]
            .into_iter()
            .filter_map(|(multiplier, there)| there.then_some(multiplier))
    }
}

/// Whether the processor multiplies bf16 numbers itself.
pub fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// A prepared product of bf16 matrices.
pub(super) struct HalfProduct {
    p: Product,
    how: How,
}

enum How {
    #[cfg(target_arch = "x86_64")]
    Native(Strips),
    Widened(ProductFn),
}

impl HalfProduct {
    /// By the fastest means that there is.
    pub(super) fn new(p: Product) -> Result<HalfProduct> {
        HalfProduct::by(p, Multiplier::available().next().unwrap_or(Multiplier::Widened))
    }

    fn by(p: Product, multiplier: Multiplier) -> Result<HalfProduct> {
        let how = match multiplier {
            #[cfg(target_arch = "x86_64")]
            Multiplier::Tiles => How::Native(Strips::of_tiles(&p)),
            #[cfg(target_arch = "x86_64")]
            Multiplier::Vectors => How::Native(Strips::of_vectors(&p)),
            _ => How::Widened(product_fn(DType::F32)?),
        };
        Ok(HalfProduct { p, how })
    }

    /// Bytes of scratch memory that a run needs.
    pub(super) fn scratch_bytes(&self) -> usize {
        let Product { m, n, k, .. } = self.p;
        match &self.how {
            #[cfg(target_arch = "x86_64")]
            How::Native(strips) => strips.bytes(),
            How::Widened(_) => (m * k + k * n + m * n) * 4,
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
            match &self.how {
                #[cfg(target_arch = "x86_64")]
                How::Native(strips) => strips.run(&self.p, dst.cast(), lhs.cast(), rhs.cast(), scratch, par),
                How::Widened(multiply) => {
                    self.run_widened(*multiply, dst.cast(), lhs.cast(), rhs.cast(), scratch.cast(), par);
                }
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
}

/// A product of bf16 matrices by one of the multipliers that are [`Multiplier::available`]. For tests.
///
/// # Panics
/// If an array is too short, a size is 0, a stride negative, the result's columns do not lie side by side, or there is no such
/// multiplier.
pub fn multiply_bf16(p: Product, dst: &mut [bf16], lhs: &[bf16], rhs: &[bf16], by: Multiplier, par: bool) {
    assert_inside(&p, [dst.len(), lhs.len(), rhs.len()]);
    assert!(Multiplier::available().any(|there| there == by));
    let product = HalfProduct::by(p, by).expect("bf16 has products");
    let mut scratch = vec![0u64; product.scratch_bytes() / 8 + 16];
    let skip = scratch.as_ptr().align_offset(64);
    // SAFETY: the arrays reach as far as sizes and strides; the scratch is aligned and long enough.
    unsafe {
        let scratch = scratch.as_mut_ptr().add(skip).cast();
        product.run(dst.as_mut_ptr().cast(), lhs.as_ptr().cast(), rhs.as_ptr().cast(), scratch, par);
    }
}
