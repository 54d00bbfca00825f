//! How good predictions are: functions of tensors, which compile and batch like any other.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::metrics::{accuracy, confusion_matrix, f1, roc_auc};
//! let scores = Tensor::from([[0.9f32, 0.1], [0.2, 0.8], [0.6, 0.4]]);
//! let labels = Tensor::from([0, 1, 1]);
//! assert_eq!(accuracy(&scores, &labels).item::<f32>()?, 2.0 / 3.0);
//! let confusion = confusion_matrix(&scores.argmax(-1), &labels, 2);
//! assert_eq!(confusion.to_vec::<i32>()?, [1, 0, 1, 1]);
//! assert_eq!(f1(&confusion).shape(), [2]);
//! assert_eq!(roc_auc(&scores.i((.., 1)), &labels).item::<f32>()?, 1.0);
//! # Ok::<(), gradloom::Error>(())
//! ```

mod classification;
mod image;
mod regression;

pub use classification::{accuracy, confusion_matrix, f1, precision, recall, roc_auc, top_k_accuracy};
pub use image::{psnr, ssim};
pub use regression::{r2, rmse};
