//! What a program may say about how libraries compute.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How exactly products of f32 matrices, and convolutions of f32, are computed on GPUs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ProductPrecision {
    /// As f32: each product is rounded once to 24 bits.
    #[default]
    Full,
    /// By tensor cores: the factors are rounded to 11 bits (TF32) before they are multiplied, sums are f32. On GPUs that have
    /// them several times faster, with errors of about 1e-3 of the factors.
    Tf32,
}

static PRECISION: AtomicU8 = AtomicU8::new(0);

/// Sets how products of f32 matrices, and convolutions of f32, are computed by programs that are compiled from now on, in the
/// whole process. Other dtypes are not touched.
///
/// ```
/// use gradloom_backends::cuda::{ProductPrecision, product_precision, set_product_precision};
/// assert_eq!(product_precision(), ProductPrecision::Full);
/// set_product_precision(ProductPrecision::Tf32);
/// assert_eq!(product_precision(), ProductPrecision::Tf32);
/// ```
pub fn set_product_precision(precision: ProductPrecision) {
    PRECISION.store(precision as u8, Ordering::Relaxed);
}

/// What [`set_product_precision`] has set.
pub fn product_precision() -> ProductPrecision {
    match PRECISION.load(Ordering::Relaxed) {
        0 => ProductPrecision::Full,
        _ => ProductPrecision::Tf32,
    }
}

static DETERMINISTIC: AtomicBool = AtomicBool::new(false);

/// Sets whether programs that are compiled from now on compute products by the library's first choice of algorithm, in the whole
/// process. Else the first few are timed and the fastest is kept, on disk, too: runs of a program give the same bits, but another
/// folder of kept kernels may hold another choice. Of convolutions those algorithms are left out, too, that add up in another
/// order at each run. The environment variable `GRADLOOM_DETERMINISTIC`, if it is not empty, sets it as well.
pub fn set_deterministic_products(on: bool) {
    DETERMINISTIC.store(on, Ordering::Relaxed);
}

/// Whether products are computed by the library's first choice.
pub fn deterministic_products() -> bool {
    static ENVIRONMENT: OnceLock<bool> = OnceLock::new();
    let environment = || std::env::var_os("GRADLOOM_DETERMINISTIC").is_some_and(|v| !v.is_empty());
    DETERMINISTIC.load(Ordering::Relaxed) || *ENVIRONMENT.get_or_init(environment)
}
