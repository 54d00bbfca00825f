//! Tables of vectors.

use super::initial::scaled_normal;
use crate::checks::{Checks, ensure};
use gradloom_frontend::random::Key;
use gradloom_frontend::{DType, TakeMode, Tensor, Tree};

/// A vector for each of a number of things.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::nn::Embedding;
/// let words = Embedding::init(&Key::new(0), 100, 8);
/// let x = words.forward(&Tensor::from([[1, 2, 3], [4, 5, 99]]));
/// assert_eq!(x.shape(), [2, 3, 8]);
/// assert_eq!(words.attend(&x).shape(), [2, 3, 100]);
/// ```
#[derive(Tree, Clone)]
pub struct Embedding {
    /// `[count, width]`
    pub table: Tensor,
}

impl Embedding {
    /// Normal numbers of variance 1 / width.
    #[track_caller]
    pub fn init(key: &Key, count: usize, width: usize) -> Embedding {
        let checks = Checks::of("Embedding").size("count", count).size("width", width);
        let deviation = 1.0 / (width.max(1) as f64).sqrt();
        Embedding { table: scaled_normal(&checks.key(key), [count, width], deviation) }
    }

    /// Integers `[..]` to their rows `[.., width]`; NaN where there is no such row.
    #[track_caller]
    pub fn forward(&self, ids: &Tensor) -> Tensor {
        let checks = Checks::of("Embedding").sound(ids);
        let checks = checks.that(ids.dtype().is_int(), || format!("ids are {}, they should be integers", ids.ty()));
        ensure!(checks);
        // negative positions would count from the end
        let ids = ids.to(DType::I64);
        let ids = ids.lt(0).select(self.table.dim(0), ids);
        self.table.take_with(&ids, 0, TakeMode::Fill(f64::NAN))
    }

    /// The inner products of x `[.., width]` with all rows, `[.., count]`: scores of a language model that shares its
    /// input table (Press and Wolf 2017).
    #[track_caller]
    pub fn attend(&self, x: &Tensor) -> Tensor {
        x.matmul(&self.table.t())
    }
}
