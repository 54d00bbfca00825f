//! Losses of scores of classes.

use super::losses;
use crate::checks::{Checks, ensure};
use crate::nn::softplus;
use gradloom_frontend::Tensor;

losses! {
    /// -ln softmax(scores)\[label\] for scores `[.., classes]` and integer labels `[..]`; NaN where the label is no class.
    cross_entropy cross_entropy_each(scores: &Tensor, labels: &Tensor) {
        cross_entropy_smoothed_each(scores, labels, 0.0)
    }
    /// [`cross_entropy_each`] with labels that are uncertain: each class has the probability smoothing / classes, the label
    /// 1 - smoothing more (Szegedy et al. 2016).
    cross_entropy_smoothed cross_entropy_smoothed_each(scores: &Tensor, labels: &Tensor, smoothing: f64) {
        let checks = Checks::of("cross_entropy").labelled(scores, labels)
            .that((0.0..=1.0).contains(&smoothing), || format!("the smoothing {smoothing} is not between 0 and 1"));
        ensure!(checks);
        let classes = scores.dim(-1);
        let log_p = scores.log_softmax(-1);
        let is_label = labels.expand_dims(-1).eq(Tensor::iota([classes], 0, labels.dtype()));
        // a comparison in place of a gather: it fuses into the sum, and so does its derivative
        let label = is_label.select(&log_p, 0.0).sum(-1);
        let expected = if smoothing == 0.0 { label } else { label * (1.0 - smoothing) + log_p.mean(-1) * smoothing };
        let known = labels.ge(0) & labels.lt(classes);
        known.select(-expected, f64::NAN)
    }
    /// -Σ q ln softmax(scores) for scores and probabilities q, both `[.., classes]`. Where q is 0 a score may be -inf.
    cross_entropy_soft cross_entropy_soft_each(scores: &Tensor, q: &Tensor) {
        let checks = Checks::of("cross_entropy_soft").same(["scores", "q"], scores, q);
        ensure!(checks);
        -q.eq(0.0).select(0.0, scores.log_softmax(-1) * q).sum(-1)
    }
    /// -t ln σ(scores) - (1 - t) ln(1 - σ(scores)) for probabilities t of the scores' shape.
    binary_cross_entropy binary_cross_entropy_each(scores: &Tensor, t: &Tensor) {
        let checks = Checks::of("binary_cross_entropy").same(["scores", "the target"], scores, t);
        ensure!(checks);
        t * softplus(&-scores) + (1f64 - t) * softplus(scores)
    }
    /// (1 - p)^gamma times [`binary_cross_entropy_each`], with the probability p given to the truth (Lin et al. 2017): easy
    /// examples count less. `alpha`, if any, weighs positive examples, 1 - alpha negative ones.
    focal focal_each(scores: &Tensor, t: &Tensor, gamma: f64, alpha: Option<f64>) {
        let checks = Checks::of("focal")
            .that(gamma >= 0.0, || format!("gamma {gamma} must not be negative"))
            .that(alpha.is_none_or(|a| (0.0..=1.0).contains(&a)), || format!("alpha {alpha:?} is not between 0 and 1"));
        let entropy = binary_cross_entropy_each(scores, t);
        ensure!(checks.sound(&entropy));
        let missed = t * (-scores).sigmoid() + (1f64 - t) * scores.sigmoid();
        let weight = if gamma == 0.0 { missed.ones_like() } else { missed.pow(gamma) };
        match alpha {
            None => weight * entropy,
            Some(a) => (t * a + (1f64 - t) * (1.0 - a)) * weight * entropy,
        }
    }
    /// Σ q (ln q - log_p) over the last axis: the divergence of probabilities q from those whose logarithms are `log_p`. What
    /// q gives 0 counts nothing.
    kl_divergence kl_divergence_each(log_p: &Tensor, q: &Tensor) {
        let checks = Checks::of("kl_divergence").same(["log_p", "q"], log_p, q);
        ensure!(checks);
        let none = q.eq(0.0);
        none.select(0.0, q * (none.select(1.0, q).log() - log_p)).sum(-1)
    }
    /// max(0, 1 - t · score) for targets t of -1 or 1.
    hinge hinge_each(scores: &Tensor, t: &Tensor) {
        let checks = Checks::of("hinge").same(["scores", "the target"], scores, t);
        ensure!(checks);
        (1f64 - scores * t).maximum(0.0)
    }
}
