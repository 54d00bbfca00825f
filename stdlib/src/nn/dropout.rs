//! Dropout.

use gradloom_frontend::Tensor;
use gradloom_frontend::random::{self, Key};

/// Each element of x becomes 0 with probability `rate`, else x / (1 - rate) (Srivastava et al. 2014); `None` as key,
/// as when a model is evaluated, leaves x alone. A rate of 1 or more gives zeros.
#[track_caller]
pub fn dropout(key: Option<&Key>, rate: f64, x: &Tensor) -> Tensor {
    match key {
        Some(_) if rate >= 1.0 => x.zeros_like(),
        Some(key) if rate > 0.0 => {
            let keep = random::uniform(key, x.shape()).ge(rate);
            keep.select(x / (1.0 - rate), 0.0)
        }
        _ => x.clone(),
    }
}
