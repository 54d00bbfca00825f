//! Losses between numbers. The two sides must have one shape: broadcasting would hide mistakes.

use super::losses;
use crate::checks::{Checks, ensure};
use crate::nn::softplus;
use gradloom_frontend::Tensor;

/// y - t, which must be of one type.
#[track_caller]
fn difference(op: &'static str, y: &Tensor, t: &Tensor) -> Tensor {
    let checks = Checks::of(op)
        .same(["the prediction", "the target"], y, t)
        .that(y.dtype().is_float(), || format!("the prediction is {}, it should be of floats", y.ty()));
    ensure!(checks);
    y - t
}

losses! {
    /// (y - t)²
    mse mse_each(y: &Tensor, t: &Tensor) {
        difference("mse", y, t).square()
    }
    /// |y - t|
    mae mae_each(y: &Tensor, t: &Tensor) {
        difference("mae", y, t).abs()
    }
    /// e² / 2 for e = |y - t| up to `delta`, delta (e - delta / 2) beyond (Huber 1964).
    huber huber_each(y: &Tensor, t: &Tensor, delta: f64) {
        let e = difference("huber", y, t).abs();
        let checks = Checks::of("huber").that(delta > 0.0, || format!("delta {delta} must be positive"));
        let inner = e.minimum(delta);
        ensure!(checks);
        &inner * (&e - &inner * 0.5)
    }
    /// ln cosh(y - t)
    log_cosh log_cosh_each(y: &Tensor, t: &Tensor) {
        let e = difference("log_cosh", y, t);
        &e + softplus(&(&e * -2.0)) - std::f64::consts::LN_2
    }
    /// ‖y - t‖ / ‖t‖ of each example, the norms over all axes but the first.
    relative_l2 relative_l2_each(y: &Tensor, t: &Tensor) {
        let checks = Checks::of("relative_l2")
            .that(y.ndim() > 1, || format!("the prediction is {}, it should be [batch, ..]", y.ty()));
        let e = difference("relative_l2", y, t);
        ensure!(checks.sound(&e));
        let axes: Vec<usize> = (1..e.ndim()).collect();
        e.norm(&axes) / t.norm(&axes)
    }
}
