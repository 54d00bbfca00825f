//! Normalisation over the places and some of the features of one example.

use super::{per_feature, standardised};
use crate::checks::{Checks, ensure};
use gradloom_frontend::{Tensor, Tree};

/// Normalisation over all places and each of `groups` groups of features of an example, `[batch, places.., features]`,
/// then · gain + bias for each feature (Wu and He 2018).
#[derive(Tree, Clone)]
pub struct GroupNorm {
    /// `[features]`
    pub gain: Tensor,
    /// `[features]`
    pub bias: Tensor,
    /// How many groups of neighbouring features there are.
    #[tree(skip)]
    pub groups: usize,
    /// Keeps the division finite.
    #[tree(skip)]
    pub eps: f64,
}

impl GroupNorm {
    /// Gain 1, bias 0, ε = 1e-5. The groups must divide the features.
    #[track_caller]
    pub fn init(features: usize, groups: usize) -> GroupNorm {
        let op = "GroupNorm";
        let checks = Checks::of(op).size("groups", groups).that(features.is_multiple_of(groups.max(1)), || {
            format!("{groups} groups do not divide {features} features")
        });
        let gain = per_feature(op, features, 1.0);
        GroupNorm { gain: checks.tensor(|| gain), bias: per_feature(op, features, 0.0), groups, eps: 1e-5 }
    }

    /// `[batch, places.., features]` to the same.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let rank = x.ndim();
        let checks = Checks::of("GroupNorm")
            .sound(x)
            .that(rank > 1, || format!("x is {}, it should be [batch, places.., features]", x.ty()));
        ensure!(checks);
        let mut grouped = x.shape().to_vec();
        let features = grouped[rank - 1];
        grouped[rank - 1] = self.groups;
        grouped.push(features / self.groups.max(1));
        let within: Vec<usize> = (1..rank - 1).chain([rank]).collect();
        standardised(&x.reshape(grouped), within, self.eps).reshape(x.shape()) * &self.gain + &self.bias
    }
}

/// Normalisation of each feature over all places of an example, `[batch, places.., features]`, then · gain + bias for
/// each feature (Ulyanov et al. 2016).
#[derive(Tree, Clone)]
pub struct InstanceNorm {
    /// `[features]`
    pub gain: Tensor,
    /// `[features]`
    pub bias: Tensor,
    /// Keeps the division finite.
    #[tree(skip)]
    pub eps: f64,
}

impl InstanceNorm {
    /// Gain 1, bias 0, ε = 1e-5.
    #[track_caller]
    pub fn init(features: usize) -> InstanceNorm {
        let op = "InstanceNorm";
        InstanceNorm { gain: per_feature(op, features, 1.0), bias: per_feature(op, features, 0.0), eps: 1e-5 }
    }

    /// `[batch, places.., features]`, of at least one axis of places, to the same.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let checks = Checks::of("InstanceNorm")
            .sound(x)
            .that(x.ndim() > 2, || format!("x is {}, it should be [batch, places.., features]", x.ty()));
        ensure!(checks);
        let places: Vec<usize> = (1..x.ndim() - 1).collect();
        standardised(x, places, self.eps) * &self.gain + &self.bias
    }
}
