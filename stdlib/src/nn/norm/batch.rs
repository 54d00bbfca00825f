//! Normalisation over a batch.

use super::per_feature;
use crate::checks::Checks;
use gradloom_frontend::{Tensor, Tree, stop_gradient};

/// (x - mean) / √(variance + ε) · gain + bias for each feature, over all examples and places of a batch (Ioffe and Szegedy
/// 2015). Evaluation uses running statistics, which belong to the training state and not to the weights: they are
/// handed in and handed back.
#[derive(Tree, Clone)]
pub struct BatchNorm {
    /// `[features]`
    pub gain: Tensor,
    /// `[features]`
    pub bias: Tensor,
    /// Which part of the running statistics stays at each step.
    #[tree(skip)]
    pub decay: f64,
    /// Keeps the division finite.
    #[tree(skip)]
    pub eps: f64,
}

/// Running mean and variance of each feature.
#[derive(Tree, Clone)]
pub struct BatchStatistics {
    /// `[features]`
    pub mean: Tensor,
    /// `[features]`
    pub variance: Tensor,
}

impl BatchNorm {
    /// Gain 1, bias 0, decay 0.99, ε = 1e-5.
    #[track_caller]
    pub fn init(features: usize) -> BatchNorm {
        let op = "BatchNorm";
        BatchNorm { gain: per_feature(op, features, 1.0), bias: per_feature(op, features, 0.0), decay: 0.99, eps: 1e-5 }
    }

    /// The statistics to start with: mean 0, variance 1.
    #[track_caller]
    pub fn statistics(&self) -> BatchStatistics {
        BatchStatistics { mean: self.gain.zeros_like(), variance: self.gain.ones_like() }
    }

    /// `[.., features]` normalised by the statistics of the batch, and the running statistics moved towards these:
    /// decay · old + (1 - decay) · new.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, statistics: &BatchStatistics) -> (Tensor, BatchStatistics) {
        let checks = Checks::of("BatchNorm")
            .sound(x)
            .that(x.ndim() > 1, || format!("x is {}, it should be [batch, places.., features]", x.ty()));
        if let Err(e) = checks.result() {
            let failed = Tensor::failed(e);
            return (failed.clone(), statistics.map(|_| failed.clone()));
        }
        let batch: Vec<usize> = (0..x.ndim() - 1).collect();
        let mean = x.mean(&batch);
        let variance = (x - &mean).square().mean(&batch);
        let seen = BatchStatistics { mean: mean.clone(), variance: variance.clone() };
        // what a later step sees of this one is no part of its derivative
        let running = statistics.zip_map(&stop_gradient(&seen), |old, new| old * self.decay + new * (1.0 - self.decay));
        (self.evaluate(x, &seen), running)
    }

    /// `[.., features]` normalised by the given statistics.
    #[track_caller]
    pub fn evaluate(&self, x: &Tensor, statistics: &BatchStatistics) -> Tensor {
        (x - &statistics.mean) * (&statistics.variance + self.eps).rsqrt() * &self.gain + &self.bias
    }
}
