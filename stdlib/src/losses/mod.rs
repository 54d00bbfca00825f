//! What training minimises. Each loss `name` is a scalar, the mean of `name_each`: one number an element, or an example.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::losses::{cross_entropy, mse, mse_each};
//! let (y, t) = (Tensor::from([1.0f32, 3.0]), Tensor::from([1.0f32, 1.0]));
//! assert_eq!(mse_each(&y, &t).to_vec::<f32>()?, [0.0, 4.0]);
//! assert_eq!(mse(&y, &t).item::<f32>()?, 2.0);
//! let scores = Tensor::zeros([5, 10]);
//! assert_eq!(cross_entropy(&scores, &Tensor::arange(5)).item::<f32>()?, 10f32.ln());
//! # Ok::<(), gradloom::Error>(())
//! ```

mod classification;
mod ctc;
mod regression;
mod similarity;

pub use classification::*;
pub use ctc::*;
pub use regression::*;
pub use similarity::*;

/// Pairs of a loss for each element or example, and its mean.
macro_rules! losses {
    ($($(#[$doc:meta])* $name:ident $each:ident ($($arg:ident: $ty:ty),*) $body:block)*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $each($($arg: $ty),*) -> gradloom_frontend::Tensor $body

        #[doc = concat!("The mean of [`", stringify!($each), "`].")]
        #[track_caller]
        pub fn $name($($arg: $ty),*) -> gradloom_frontend::Tensor {
            $each($($arg),*).mean(..)
        }
    )*};
}
use losses;
