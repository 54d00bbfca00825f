//! Losses over class scores.

use gradloom_frontend::{DType, Tensor};

/// -log softmax(scores)\[label\] for scores `[.., classes]` and integer labels `[..]`; NaN where the label is no class.
#[track_caller]
pub fn cross_entropy_each(scores: &Tensor, labels: &Tensor) -> Tensor {
    let classes = scores.dim(-1);
    let is_label = labels.expand_dims(-1).eq(Tensor::iota([classes], 0, labels.dtype()));
    // a comparison in place of a gather: it fuses into the sum, and so does its derivative
    let picked = is_label.select(scores.log_softmax(-1), 0.0).sum(-1);
    let known = labels.ge(0) & labels.lt(classes);
    known.select(-picked, f64::NAN)
}

/// The mean of [`cross_entropy_each`].
#[track_caller]
pub fn cross_entropy(scores: &Tensor, labels: &Tensor) -> Tensor {
    cross_entropy_each(scores, labels).mean(..)
}

/// The fraction of examples whose greatest score is that of their label.
#[track_caller]
pub fn accuracy(scores: &Tensor, labels: &Tensor) -> Tensor {
    scores.argmax(-1).eq(labels.to(DType::I32)).to(DType::F32).mean(..)
}
