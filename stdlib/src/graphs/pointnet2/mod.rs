//! PointNet++: features of point clouds, from small neighbourhoods to the whole.
//!
//! Qi, Yi, Su, Guibas: PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric Space (2017). A set
//! abstraction ([`Level`]) chooses centroids by farthest point sampling, groups the points in a ball around each, and
//! makes one feature vector of a group: with positions relative to the centroid,
//!
//! ```text
//! f(centroid) = max over the group of MLP([x_i - centroid, f_i]),     MLP: linear, batch norm, relu, ..
//! ```
//!
//! Several radii at once (MSG) are concatenated; a region's raw points may be summarised beside its features (MRG).
//! Classification ends with all points in one group ([`PointNet2Cls`]); segmentation interpolates features back to the
//! points ([`PointNet2Seg`]):
//!
//! ```text
//! f(x) = MLP([Σ_i w_i f_i / Σ_i w_i, skip],     w_i = 1 / d(x, x_i)², the three nearest points
//! ```
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::graphs::pointnet2::{Level, Pass, PointNet2Cls, PointNet2Config, Scale};
//! let level = Level::new(16, [Scale::new(0.4, 8, [16, 32])]);
//! let config = PointNet2Config { levels: vec![level], global: vec![64], head: vec![32], ..PointNet2Config::ssg(4) };
//! let net = PointNet2Cls::init(&Key::new(0), config);
//! let clouds = random::normal(&Key::new(1), [2, 50, 3]);
//! let mut pass = Pass::train(&net.statistics(), &Key::new(2));
//! let scores = net.forward(&clouds, None, &mut pass);
//! let statistics = pass.into_statistics();
//! let evaluated = net.forward(&clouds, None, &mut Pass::evaluate(&statistics));
//! assert_eq!((scores.shape(), evaluated.shape()), (&[2, 4][..], &[2, 4][..]));
//! ```

mod abstraction;
mod checks;
mod data;
mod experiment;
mod pass;
mod propagation;

pub use abstraction::{SetAbstraction, drop_points};
pub use pass::{Pass, SharedMlp};
pub use propagation::{FeaturePropagation, PointNet2Seg};

use crate::checks::Checks;
use crate::nn::{BatchStatistics, Linear};
use crate::papers::{Experiment, Paper};
use gradloom_frontend::random::Key;
use gradloom_frontend::{Tensor, Tree};

/// What this module publishes.
pub const PAPER: Paper = Paper {
    id: "P039",
    name: "PointNet++",
    title: "PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric Space",
    family: "graphs::pointnet2",
    checks: checks::CHECKS,
    experiment: Experiment {
        what: "smooth and ridged spheres, cubes, tori and cylinders of 256 points with normals, turned at random, 1200 \
               clouds, against PointNet; and \
               with 64 points, several scales with random input dropout against one scale",
        run: experiment::run,
    },
    remarks: &[
        "PointNet is not 3 points behind here but 3.4 ahead, 1.6 with other draws of dropout. A ridge shows in each point's place \
         and normal, which PointNet reads at once; PointNet++ must first learn to take the plane of a neighbourhood off its \
         points, and 24 passes and these widths are few for that: one scale is as accurate on the training clouds (0.968) as on \
         others (0.971, without dropout in the head). With ridges half as high PointNet has 0.873 and one scale 0.768; with \
         dropout of 0.2 in the heads 0.939 and 0.877; one scale of twice the widths, 88,000 parameters without dropout, 0.936. \
         Also tried: shapes without normals (0.894 and 0.868 turned in space, 0.961 and 0.906 turned about an axis), and shapes \
         stretched three times as much (0.960 and 0.926).",
    ],
};

/// A neighbourhood and what is made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Of the ball.
    pub radius: f64,
    /// Points of a group, K.
    pub k: usize,
    /// Widths of the MLP.
    pub mlp: Vec<usize>,
}

impl Scale {
    /// Groups of `k` points within `radius`.
    pub fn new(radius: f64, k: usize, mlp: impl Into<Vec<usize>>) -> Scale {
        Scale { radius, k, mlp: mlp.into() }
    }
}

/// A set abstraction.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Number of centroids.
    pub centroids: usize,
    /// Neighbourhoods among the points of the level below, concatenated: more than one is MSG.
    pub scales: Vec<Scale>,
    /// A neighbourhood among the points the cloud came with, concatenated: MRG.
    pub raw: Option<Scale>,
}

impl Level {
    /// SSG with one scale, MSG with several.
    pub fn new(centroids: usize, scales: impl Into<Vec<Scale>>) -> Level {
        Level { centroids, scales: scales.into(), raw: None }
    }

    /// Features of a centroid.
    fn width(&self) -> usize {
        self.scales.iter().chain(&self.raw).map(|s| s.mlp.last().copied().unwrap_or(0)).sum()
    }
}

/// The centroid that is chosen first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Start {
    /// Point 0.
    #[default]
    First,
    /// The point farthest from the mean, whatever the order of points.
    Outermost,
}

/// The sizes of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct PointNet2Config {
    /// Features that points come with beside their three coordinates.
    pub inputs: usize,
    /// Set abstractions.
    pub levels: Vec<Level>,
    /// Widths of the MLP over all centroids of the last level.
    pub global: Vec<usize>,
    /// Widths of the hidden layers behind it.
    pub head: Vec<usize>,
    /// Outputs.
    pub classes: usize,
    /// Behind each hidden layer of the head.
    pub dropout: f64,
    /// Of farthest point sampling.
    pub start: Start,
}

impl PointNet2Config {
    /// The paper's classification network of one scale: SA(512, 0.2, [64, 64, 128]), SA(128, 0.4, [128, 128, 256]),
    /// SA(all, [256, 512, 1024]), 512, 256, classes.
    pub fn ssg(classes: usize) -> PointNet2Config {
        let levels = vec![
            Level::new(512, [Scale::new(0.2, 32, [64, 64, 128])]),
            Level::new(128, [Scale::new(0.4, 64, [128, 128, 256])]),
        ];
        let (global, head) = (vec![256, 512, 1024], vec![512, 256]);
        PointNet2Config { inputs: 0, levels, global, head, classes, dropout: 0.5, start: Start::First }
    }

    /// The paper's classification network of several scales.
    pub fn msg(classes: usize) -> PointNet2Config {
        let first = [
            Scale::new(0.1, 16, [32, 32, 64]),
            Scale::new(0.2, 32, [64, 64, 128]),
            Scale::new(0.4, 128, [64, 96, 128]),
        ];
        let second = [
            Scale::new(0.2, 32, [64, 64, 128]),
            Scale::new(0.4, 64, [128, 128, 256]),
            Scale::new(0.8, 128, [128, 128, 256]),
        ];
        let levels = vec![Level::new(512, first), Level::new(128, second)];
        PointNet2Config { levels, ..PointNet2Config::ssg(classes) }
    }

    #[track_caller]
    fn check(&self) -> Checks {
        let widths = [&self.global, &self.head];
        let scales = || self.levels.iter().flat_map(|l| l.scales.iter().chain(&l.raw));
        let positive = |x: f64| x > 0.0;
        let bad = scales().find(|s| !positive(s.radius) || s.k == 0 || s.mlp.is_empty() || s.mlp.contains(&0));
        Checks::of("PointNet2")
            .size("classes", self.classes)
            .that(!self.global.is_empty(), || "the MLP over all centroids has no layers".into())
            .that(widths.iter().all(|w| !w.contains(&0)), || format!("widths {widths:?} must be at least 1"))
            .that(self.levels.iter().all(|l| l.centroids > 0), || "a level has no centroids".into())
            .that(self.levels.iter().all(|l| l.width() > 0), || "a level has no scales".into())
            .that(bad.is_none(), || format!("{bad:?} has no points or no layers"))
            .that((0.0..1.0).contains(&self.dropout), || format!("the dropout {} is not in [0, 1)", self.dropout))
    }
}

/// Set abstractions over each other, made by `config`.
#[track_caller]
fn abstractions(key: &Key, config: &PointNet2Config) -> Vec<SetAbstraction> {
    let keys = key.split(config.levels.len().max(1));
    let mut features = config.inputs;
    let mut levels = Vec::with_capacity(config.levels.len());
    for (level, key) in config.levels.iter().zip(&keys) {
        levels.push(SetAbstraction::init(key, level.clone(), features, config.inputs, config.start));
        features = level.width();
    }
    levels
}

/// A class for each cloud.
#[derive(Tree, Clone)]
pub struct PointNet2Cls {
    /// From the points to the last centroids.
    pub levels: Vec<SetAbstraction>,
    /// Over all centroids.
    pub global: SharedMlp,
    /// Hidden layers.
    pub head: SharedMlp,
    /// To the scores.
    pub last: Linear,
    /// Behind each hidden layer.
    #[tree(skip)]
    pub dropout: f64,
}

impl PointNet2Cls {
    /// A network of these sizes.
    #[track_caller]
    pub fn init(key: &Key, config: PointNet2Config) -> PointNet2Cls {
        let keys = config.check().key(key).split(4);
        let features = config.levels.last().map_or(config.inputs, Level::width);
        let summary = config.global.last().copied().unwrap_or(1);
        let hidden = config.head.last().copied().unwrap_or(summary);
        PointNet2Cls {
            levels: abstractions(&keys[0], &config),
            global: SharedMlp::init(&keys[1], 3 + features, &config.global),
            head: SharedMlp::init(&keys[2], summary, &config.head),
            last: Linear::init(&keys[3], hidden, config.classes.max(1)),
            dropout: config.dropout,
        }
    }

    /// The running statistics to start with.
    #[track_caller]
    pub fn statistics(&self) -> Vec<BatchStatistics> {
        let levels = self.levels.iter().flat_map(SetAbstraction::statistics);
        levels.chain(self.global.statistics()).chain(self.head.statistics()).collect()
    }

    /// Scores `[batch, classes]` of clouds `[batch, n, 3]`, with features `[batch, n, inputs]` if points come with any.
    #[track_caller]
    pub fn forward(&self, points: &Tensor, features: Option<&Tensor>, pass: &mut Pass) -> Tensor {
        let raw = Cloud { points: points.clone(), features: features.cloned() };
        let top = self.levels.iter().fold(raw.clone(), |cloud, level| level.forward(&cloud, &raw, pass));
        let summary = self.global.forward(&top.joined(), pass).max(1);
        let h = self.head.forward_with_dropout(&summary, self.dropout, pass);
        self.last.forward(&h)
    }
}

/// Points `[batch, n, 3]` and what is known at them `[batch, n, c]`.
#[derive(Tree, Clone)]
pub struct Cloud {
    /// Coordinates.
    pub points: Tensor,
    /// Features, if there are any.
    pub features: Option<Tensor>,
}

impl Cloud {
    /// Coordinates and features side by side.
    #[track_caller]
    fn joined(&self) -> Tensor {
        let parts: Vec<Tensor> = std::iter::once(&self.points).chain(&self.features).cloned().collect();
        Tensor::concatenate(&parts, -1)
    }
}
