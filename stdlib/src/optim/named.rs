//! The optimizers by name: chains of the transformations they are made of.
//!
//! Other constants than the published ones: write the chain out, as in
//! `chain((ScaleByAdam { b1: 0.5, ..Default::default() }, scale_by_learning_rate(1e-3)))`.

use super::*;
use gradloom_frontend::Tensor;

/// See [`sgd`] and [`momentum`].
pub type Sgd = (Option<Trace>, Scale);
/// See [`adam`].
pub type Adam = (ScaleByAdam, Scale);
/// See [`adamw`].
pub type AdamW = (ScaleByAdam, AddDecayedWeights, Scale);
/// See [`adabelief`].
pub type AdaBelief = (ScaleByBelief, Scale);
/// See [`rmsprop`].
pub type RmsProp = (ScaleByRms, Scale);
/// See [`adagrad`].
pub type Adagrad = (ScaleByRss, Scale);
/// See [`lion`].
pub type Lion = (ScaleByLion, AddDecayedWeights, Scale);
/// See [`lamb`].
pub type Lamb = (ScaleByAdam, AddDecayedWeights, ScaleByTrustRatio, Scale);
/// See [`radam`].
pub type RAdam = (ScaleByRadam, Scale);
/// See [`adafactor`].
pub type Adafactor = (ScaleByFactoredRms, Clip, Scale, ScaleByParamRms);
/// See [`shampoo`].
pub type Shampoo = (ScaleByShampoo, Scale);
/// See [`soap`].
pub type Soap = (ScaleBySoap, AddDecayedWeights, Scale);
/// See [`muon`].
pub type Muon = (Masked<(ScaleByMuon, AddDecayedWeights, Scale)>, Masked<Adam>);

/// Gradient descent: θ ← θ - lr g.
pub fn sgd(lr: impl Into<Schedule>) -> Sgd {
    (None, scale_by_learning_rate(lr))
}

/// Gradient descent with momentum μ, in Nesterov's form if `nesterov`.
pub fn momentum(lr: impl Into<Schedule>, momentum: f64, nesterov: bool) -> Sgd {
    (Some(Trace { momentum, nesterov }), scale_by_learning_rate(lr))
}

/// Adam: β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
pub fn adam(lr: impl Into<Schedule>) -> Adam {
    (ScaleByAdam::default(), scale_by_learning_rate(lr))
}

/// Adam with decoupled weight decay λ: θ ← θ - lr (Adam's direction + λ θ).
pub fn adamw(lr: impl Into<Schedule>, decay: impl Into<Schedule>) -> AdamW {
    (ScaleByAdam::default(), add_decayed_weights(decay), scale_by_learning_rate(lr))
}

/// AdaBelief: β₁ = 0.9, β₂ = 0.999, both ε = 1e-16.
pub fn adabelief(lr: impl Into<Schedule>) -> AdaBelief {
    (ScaleByBelief::default(), scale_by_learning_rate(lr))
}

/// RMSProp: ρ = 0.9, ε = 1e-8.
pub fn rmsprop(lr: impl Into<Schedule>) -> RmsProp {
    (ScaleByRms::default(), scale_by_learning_rate(lr))
}

/// Adagrad: sums start at 0.1, ε = 1e-7.
pub fn adagrad(lr: impl Into<Schedule>) -> Adagrad {
    (ScaleByRss::default(), scale_by_learning_rate(lr))
}

/// Lion with weight decay λ: β₁ = 0.9, β₂ = 0.99. Its learning rate is 3 to 10 times smaller than Adam's.
pub fn lion(lr: impl Into<Schedule>, decay: impl Into<Schedule>) -> Lion {
    (ScaleByLion::default(), add_decayed_weights(decay), scale_by_learning_rate(lr))
}

/// LAMB with weight decay λ (You et al. 2020): Adam with ε = 1e-6, each leaf's step relative to its norm.
pub fn lamb(lr: impl Into<Schedule>, decay: impl Into<Schedule>) -> Lamb {
    let adam = ScaleByAdam { eps: 1e-6, ..ScaleByAdam::default() };
    (adam, add_decayed_weights(decay), ScaleByTrustRatio, scale_by_learning_rate(lr))
}

/// RAdam: β₁ = 0.9, β₂ = 0.999, ε = 1e-8, threshold 5.
pub fn radam(lr: impl Into<Schedule>) -> RAdam {
    (ScaleByRadam::default(), scale_by_learning_rate(lr))
}

/// Adafactor: factored squares, updates clipped to a root mean square of 1, steps relative to that of the parameters.
pub fn adafactor(lr: impl Into<Schedule>) -> Adafactor {
    (ScaleByFactoredRms::default(), clip_by_rms(1.0), scale_by_learning_rate(lr), ScaleByParamRms::default())
}

/// Shampoo with the paper's sums, ε = 1e-4, roots in every step.
pub fn shampoo(lr: impl Into<Schedule>) -> Shampoo {
    (ScaleByShampoo::default(), scale_by_learning_rate(lr))
}

/// SOAP with weight decay λ: all decays 0.95, bases refined every 10 steps.
pub fn soap(lr: impl Into<Schedule>, decay: impl Into<Schedule>) -> Soap {
    (ScaleBySoap::default(), add_decayed_weights(decay), scale_by_learning_rate(lr))
}

/// Muon with weight decay λ for matrices, and Adam in Nesterov's form for all other leaves. Embeddings and last layers do
/// better with Adam: see [`muon_where`].
pub fn muon(lr: impl Into<Schedule>, decay: impl Into<Schedule>) -> Muon {
    muon_where(lr, decay, |_, p| p.ndim() == 2)
}

/// [`muon`] that orthogonalises the leaves of which `select(path, leaf)` holds.
pub fn muon_where(
    lr: impl Into<Schedule>,
    decay: impl Into<Schedule>,
    select: impl Fn(&str, &Tensor) -> bool + Clone + Send + Sync + 'static,
) -> Muon {
    let lr = lr.into();
    let matrices = (ScaleByMuon::default(), add_decayed_weights(decay), scale_by_learning_rate(lr.clone()));
    let rest = (ScaleByAdam { nesterov: true, ..ScaleByAdam::default() }, scale_by_learning_rate(lr));
    let others = select.clone();
    (masked(matrices, select), masked(rest, move |path, p| !others(path, p)))
}
