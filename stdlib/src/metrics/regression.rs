//! Predicted numbers.

use crate::checks::{Checks, ensure};
use gradloom_frontend::Tensor;

#[track_caller]
fn checks(op: &'static str, y: &Tensor, t: &Tensor) -> Checks {
    Checks::of(op)
        .same(["the prediction", "the target"], y, t)
        .that(y.dtype().is_float(), || format!("the prediction is {}, it should be of floats", y.ty()))
}

/// √(mean (y - t)²)
#[track_caller]
pub fn rmse(y: &Tensor, t: &Tensor) -> Tensor {
    ensure!(checks("rmse", y, t));
    (y - t).square().mean(..).sqrt()
}

/// 1 - Σ (y - t)² / Σ (t - mean t)²: 1 is perfect, 0 as good as the mean.
#[track_caller]
pub fn r2(y: &Tensor, t: &Tensor) -> Tensor {
    ensure!(checks("r2", y, t));
    1f64 - (y - t).square().sum(..) / (t - t.mean(..)).square().sum(..)
}
