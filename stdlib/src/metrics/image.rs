//! Images that should look alike.

use crate::checks::{Checks, ensure};
use gradloom_frontend::{Conv, Tensor};

/// The window of [`ssim`]: its length, and the deviation of its Gaussian.
const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;

/// 10 log₁₀(range² / mean (y - t)²), in decibel, of each image `[batch, ..]`, whose values span `range`; infinite where they
/// are equal.
#[track_caller]
pub fn psnr(y: &Tensor, t: &Tensor, range: f64) -> Tensor {
    let checks = Checks::of("psnr")
        .same(["the image", "the target"], y, t)
        .that(y.ndim() > 1, || format!("the image is {}, it should be [batch, ..]", y.ty()))
        .that(range > 0.0, || format!("the range {range} must be positive"));
    ensure!(checks);
    let axes: Vec<usize> = (1..y.ndim()).collect();
    let error = (y - t).square().mean(&axes) / (range * range);
    error.log() * (-10.0 / std::f64::consts::LN_10)
}

/// Structural similarity (Wang et al. 2004) of images `[batch, height, width, channels]` of at least 11 x 11 whose values
/// span `range`: the mean of (2 μ_y μ_t + c_1)(2 σ_yt + c_2) / ((μ_y² + μ_t² + c_1)(σ_y² + σ_t² + c_2)) over all places, with
/// the moments under a Gaussian window, c_1 = (0.01 range)² and c_2 = (0.03 range)²; `[batch]`.
#[track_caller]
pub fn ssim(y: &Tensor, t: &Tensor, range: f64) -> Tensor {
    let checks = Checks::of("ssim")
        .axes(y, "the image", &["batch", "height", "width", "channels"])
        .same(["the image", "the target"], y, t)
        .that(y.dim(1).min(y.dim(2)) >= WINDOW, || format!("{} is smaller than the window of {WINDOW}", y.ty()))
        .that(range > 0.0, || format!("the range {range} must be positive"));
    ensure!(checks);
    let channels = y.dim(3);
    let middle = (WINDOW / 2) as f64;
    let gaussian: Vec<f64> =
        (0..WINDOW).map(|i| (-(i as f64 - middle).powi(2) / (2.0 * DEVIATION * DEVIATION)).exp()).collect();
    let total: f64 = gaussian.iter().sum();
    let window = Tensor::from_vec(gaussian.iter().map(|g| g / total).collect()).to(y.dtype());
    // the window is a product of one along each axis
    let down = window.reshape([WINDOW, 1, 1, 1]).broadcast_to([WINDOW, 1, 1, channels]);
    let across = window.reshape([1, WINDOW, 1, 1]).broadcast_to([1, WINDOW, 1, channels]);
    let each = Conv::new().groups(channels);
    let blurred = |x: Tensor| x.conv2d(&down, &each).conv2d(&across, &each);

    let (mu_y, mu_t) = (blurred(y.clone()), blurred(t.clone()));
    let var_y = blurred(y.square()) - mu_y.square();
    let var_t = blurred(t.square()) - mu_t.square();
    let cov = blurred(y * t) - &mu_y * &mu_t;
    let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
    let top = (&mu_y * &mu_t * 2.0 + c1) * (cov * 2.0 + c2);
    let bottom = (mu_y.square() + mu_t.square() + c1) * (var_y + var_t + c2);
    (top / bottom).mean([1, 2, 3])
}
