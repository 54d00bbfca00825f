//! Elementwise nonlinearities.

use gradloom_frontend::Tensor;

/// max(x, 0), with derivative 0 at 0; NaN stays NaN.
#[track_caller]
pub fn relu(x: &Tensor) -> Tensor {
    x.le(0.0).select(0.0, x)
}

/// x / (1 + e⁻ˣ) (Elfwing et al. 2017).
#[track_caller]
pub fn silu(x: &Tensor) -> Tensor {
    x * x.sigmoid()
}

/// x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), the tanh form of x Φ(x) (Hendrycks and Gimpel 2016).
#[track_caller]
pub fn gelu(x: &Tensor) -> Tensor {
    let inner = (x + x * x * x * 0.044715) * (2.0 / std::f64::consts::PI).sqrt();
    x * ((inner.tanh() + 1.0) * 0.5)
}
