//! Dropout.

use crate::checks::{Checks, ensure};
use gradloom_frontend::Tensor;
use gradloom_frontend::random::{self, Key};

/// Each element of x becomes 0 with probability `rate`, else x / (1 - rate) (Srivastava et al. 2014); `None` as key,
/// as when a model is evaluated, leaves x alone. A rate of 1 gives zeros. The same elements as flax drops from the same key.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::nn::dropout;
/// let x = Tensor::ones([100]);
/// let y = dropout(Some(&Key::new(0)), 0.5, &x).to_vec::<f32>()?;
/// assert!(y.iter().all(|&y| y == 0.0 || y == 2.0));
/// assert_eq!(dropout(None, 0.5, &x).to_vec::<f32>()?, [1.0; 100]);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn dropout(key: Option<&Key>, rate: f64, x: &Tensor) -> Tensor {
    dropout_shared(key, rate, x, &[])
}

/// [`dropout`] that keeps or drops all elements along `axes` together: whole channels of images, for example.
#[track_caller]
pub fn dropout_shared(key: Option<&Key>, rate: f64, x: &Tensor, axes: &[i64]) -> Tensor {
    let rank = x.ndim() as i64;
    let checks = Checks::of("dropout")
        .sound(x)
        .that((0.0..=1.0).contains(&rate), || format!("the rate {rate} is not between 0 and 1"))
        .that(axes.iter().all(|a| (-rank..rank).contains(a)), || format!("{} has no axes {axes:?}", x.ty()));
    ensure!(checks);
    match key {
        Some(_) if rate == 1.0 => x.zeros_like(),
        Some(key) if rate > 0.0 => {
            let mut shape = x.shape().to_vec();
            axes.iter().for_each(|a| shape[a.rem_euclid(rank) as usize] = 1);
            let keep = random::uniform(key, shape).lt(1.0 - rate);
            keep.select(x / (1.0 - rate), 0.0)
        }
        _ => x.clone(),
    }
}
