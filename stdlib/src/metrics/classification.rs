//! Predicted classes.

use crate::checks::{Checks, ensure};
use gradloom_frontend::{DType, Side, Tensor, segment_sum};

/// The fraction of examples whose greatest score is that of their label, for scores `[.., classes]` and labels `[..]`.
#[track_caller]
pub fn accuracy(scores: &Tensor, labels: &Tensor) -> Tensor {
    let checks = Checks::of("accuracy").labelled(scores, labels);
    ensure!(checks);
    scores.argmax(-1).eq(labels.to(DType::I32)).to(DType::F32).mean(..)
}

/// The fraction of examples whose label is among the `k` greatest scores; of equal scores those of lower classes come first.
#[track_caller]
pub fn top_k_accuracy(scores: &Tensor, labels: &Tensor, k: usize) -> Tensor {
    let checks = Checks::of("top_k_accuracy")
        .labelled(scores, labels)
        .that((1..=scores.dim(-1)).contains(&k), || format!("k is {k} for {} classes", scores.dim(-1)));
    ensure!(checks);
    let (_, classes) = scores.top_k(k);
    classes.eq(labels.to(DType::I32).expand_dims(-1)).any(-1).to(DType::F32).mean(..)
}

/// How many examples of each class (row) were taken for each class (column), i32 `[classes, classes]`, from predicted and true
/// labels of one shape. Pairs in which one is no class are not counted.
#[track_caller]
pub fn confusion_matrix(predicted: &Tensor, labels: &Tensor, classes: usize) -> Tensor {
    let ints = predicted.dtype().is_int() && labels.dtype().is_int();
    let checks = Checks::of("confusion_matrix")
        .sound(predicted)
        .sound(labels)
        .that((1..=MOST_CLASSES).contains(&classes), || format!("{classes} classes, there must be 1 to {MOST_CLASSES}"))
        .that(ints && predicted.shape() == labels.shape(), || {
            format!("predictions {} and labels {} should be integers of one shape", predicted.ty(), labels.ty())
        });
    ensure!(checks);
    let (predicted, labels) = (predicted.to(DType::I32).flatten(), labels.to(DType::I32).flatten());
    let [known, of_known] = [&predicted, &labels].map(|x| x.ge(0) & x.lt(classes));
    // in range even where a product would wrap
    let pair = labels.clip(0, classes - 1) * classes + predicted.clip(0, classes - 1);
    let counted = (known & of_known).to(DType::I32);
    segment_sum(&counted, &pair, classes * classes).reshape([classes, classes])
}

/// So many that the square still is an i32.
const MOST_CLASSES: usize = 1 << 15;

/// A [`confusion_matrix`] of floats, or the error that it is none.
#[track_caller]
fn matrix(op: &'static str, confusion: &Tensor) -> Tensor {
    let square = confusion.ndim() == 2 && confusion.dim(0) == confusion.dim(1);
    let checks = Checks::of(op)
        .sound(confusion)
        .that(square, || format!("{} is no confusion matrix [classes, classes]", confusion.ty()));
    ensure!(checks);
    confusion.to(DType::F32)
}

/// What of each class is right over `all` that might be; 0 where nothing is.
#[track_caller]
fn rate(confusion: &Tensor, all: Tensor) -> Tensor {
    confusion.diagonal(0, 0, 1) / all.eq(0.0).select(1.0, all)
}

/// Of the examples taken for a class, the fraction that is of it, `[classes]`; 0 where there are none.
#[track_caller]
pub fn precision(confusion: &Tensor) -> Tensor {
    let c = matrix("precision", confusion);
    rate(&c, c.sum(0))
}

/// Of the examples of a class, the fraction taken for it, `[classes]`; 0 where there are none.
#[track_caller]
pub fn recall(confusion: &Tensor) -> Tensor {
    let c = matrix("recall", confusion);
    rate(&c, c.sum(1))
}

/// The harmonic mean of [`precision`] and [`recall`], `[classes]`; 0 where both are.
#[track_caller]
pub fn f1(confusion: &Tensor) -> Tensor {
    let c = matrix("f1", confusion);
    rate(&c, (c.sum(0) + c.sum(1)) * 0.5)
}

/// The area under the curve of true over false positives, for scores `[n]` and labels `[n]`, positive where they are not 0: the
/// probability that a positive example has a greater score than a negative one, half of which counts where they are
/// equal. NaN where all examples are of one kind.
#[track_caller]
pub fn roc_auc(scores: &Tensor, labels: &Tensor) -> Tensor {
    let checks = Checks::of("roc_auc")
        .axes(scores, "scores", &["n"])
        .axes(labels, "labels", &["n"])
        .that(scores.shape() == labels.shape(), || format!("scores {} and labels {} differ", scores.ty(), labels.ty()));
    ensure!(checks);
    let positive = labels.ne(0).to(DType::F64);
    // sorted by score: equal scores share the mean of their ranks, from 1
    let sorted = scores.sort(0);
    let below = sorted.searchsorted(scores, Side::Left).to(DType::F64);
    let up_to = sorted.searchsorted(scores, Side::Right).to(DType::F64);
    let rank = (below + up_to + 1.0) * 0.5;
    let (n, p) = (scores.size() as f64, positive.sum(..));
    let wins = (rank * &positive).sum(..) - &p * (&p + 1.0) * 0.5;
    (wins / (&p * (n - &p))).to(DType::F32)
}
