//! Causal convolution with kernels as long as the sequence, one a channel.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::sequence::causal::causal_convolution;
//! let u = Tensor::from([[1.0f32], [2.0], [3.0]]);
//! // the sum of this and the last element
//! let y = causal_convolution(&u, &Tensor::from([[1.0f32, 1.0, 0.0]]));
//! assert!((y.squeeze(-1) - Tensor::from([1.0f32, 3.0, 5.0])).abs().max(..).item::<f32>()? < 1e-5);
//! # Ok::<(), gradloom::Error>(())
//! ```

use crate::checks::{Checks, ensure};
use gradloom_frontend::{Tensor, fft::Fft};

/// The least even number of at least `n` without prime factors beyond 5: lengths that transforms are fast at.
fn fast_length(n: usize) -> usize {
    let smooth = |n: &usize| {
        let mut rest = *n;
        for p in [2, 3, 5] {
            while rest.is_multiple_of(p) {
                rest /= p;
            }
        }
        rest == 1
    };
    (n.next_multiple_of(2)..).step_by(2).find(smooth).unwrap_or(n)
}

/// y_n = Σ_(i ≤ n) f_i u_(n-i) in each channel: u `[.., l, channels]`, kernels f `[channels, any length]`, in O(l log l) by
/// transforms of twice the length.
#[track_caller]
pub fn causal_convolution(u: &Tensor, f: &Tensor) -> Tensor {
    let checks = Checks::of("causal_convolution")
        .axes(f, "the kernel", &["channels", "length"])
        .sound(u)
        .that(u.ndim() > 1 && u.dim(-1) == f.dim(0), || {
            format!("u is {} for {} kernels, it should be [.., l, channels]", u.ty(), f.dim(0))
        })
        .that(u.dim(-2) > 0 && f.dim(1) > 0, || "neither u nor the kernel may be empty".to_string());
    ensure!(checks);
    let l = u.dim(-2);
    let kept = f.dim(1).min(l);
    let n = fast_length(l + kept - 1);
    let f_hat = Fft::over(1).lengths(&[n]).rfft(&f.slice_axis(1, 0, kept)).mt();
    let along = Fft::over(-2).lengths(&[n]);
    along.irfft(&(along.rfft(u) * f_hat)).slice_axis(u.ndim() - 2, 0, l)
}

#[cfg(test)]
mod tests {
    use super::fast_length;

    #[test]
    fn lengths_are_smooth() {
        let pairs = [(1, 2), (2, 2), (7, 8), (255, 256), (383, 384), (655, 720), (1001, 1024), (2049, 2160)];
        for (n, length) in pairs {
            assert_eq!(fast_length(n), length);
        }
    }
}
