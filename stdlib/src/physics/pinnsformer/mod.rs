//! PINNsFormer (Zhao et al. 2024, "PINNsFormer: A Transformer-Based Framework For Physics-Informed Neural Networks"; P098).
//!
//! A point (x, t) becomes a short sequence in time, {(x, t + jΔt)}, j = 0 .. k - 1, which a transformer maps to the solution at
//! each of its places:
//!
//! - W(x) = w₁ sin x + w₂ cos x, the wavelet activation, w₁ and w₂ learned, one pair an activation
//! - encoder: x ← x + MHA(W(x), W(x), W(x)), x ← x + FF(W'(x)); at the end W
//! - decoder, from the same embedding, to the encoder's output e: x ← x + MHA(W(x), e, e), x ← x + FF(W'(x)); at the end W
//! - FF and the head are layers with W between them
//!
//! There is no layer norm and no mask. Residual and boundary count at all places of a sequence, the initial condition at
//! the first only.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::physics::pinnsformer::{PinnsFormer, PinnsFormerConfig, make_time_sequence};
//! let config = PinnsFormerConfig { hidden: 16, feed_forward: 16, ..PinnsFormerConfig::default() };
//! let model = PinnsFormer::init(&Key::new(0), config);
//! let xt = make_time_sequence(&Tensor::from([[0.5f32, 0.0], [0.7, 0.2]]), 5, 1e-4);
//! assert_eq!(xt.shape(), [2, 5, 2]);
//! assert_eq!(model.apply(&xt).shape(), [2, 5, 1]);
//! ```

mod checks;
mod experiment;

use crate::checks::{Checks, ensure};
use crate::nn::initial::glorot_uniform;
use crate::nn::{Attention, AttentionConfig, Linear};
use crate::papers::Paper;
use gradloom_frontend::random::Key;
use gradloom_frontend::{Tensor, Tree};

/// The paper, its checks and its experiment.
pub const PAPER: Paper = Paper {
    id: "P098",
    name: "PINNsFormer",
    title: "PINNsFormer: A Transformer-Based Framework For Physics-Informed Neural Networks",
    family: "physics",
    checks: checks::CHECKS,
    experiment: experiment::EXPERIMENT,
    remarks: &[],
};

/// {(x, t + jΔt)}, j = 0 .. k - 1: points `[n, coordinates]`, time last, to `[n, k, coordinates]`.
#[track_caller]
pub fn make_time_sequence(xt: &Tensor, k: usize, dt: f64) -> Tensor {
    let checks = Checks::of("make_time_sequence").axes(xt, "xt", &["n", "coordinates"]).size("k", k);
    ensure!(checks);
    let (n, c) = (xt.dim(0), xt.dim(1));
    let time = Tensor::arange(c).eq(c as i64 - 1).to(xt.dtype());
    let later = Tensor::iota([k, 1], 0, xt.dtype()) * dt * time;
    xt.expand_dims(1).broadcast_to([n, k, c]) + later
}

/// W(x) = w₁ sin x + w₂ cos x
#[derive(Tree, Clone)]
pub struct Wavelet {
    /// w₁
    pub w1: Tensor,
    /// w₂
    pub w2: Tensor,
}

impl Wavelet {
    /// w₁ = w₂ = 1
    pub fn init() -> Wavelet {
        Wavelet { w1: Tensor::from(1.0), w2: Tensor::from(1.0) }
    }

    /// W(x)
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        &self.w1 * x.sin() + &self.w2 * x.cos()
    }
}

/// Three linear layers with W between them: weights by [`glorot_uniform`], biases 0.01.
#[derive(Tree, Clone)]
pub struct WaveletMlp {
    /// The layers.
    pub layers: [Linear; 3],
    /// Between them.
    pub w: [Wavelet; 2],
}

#[track_caller]
fn linear(key: &Key, inputs: usize, outputs: usize) -> Linear {
    Linear { w: glorot_uniform(key, [inputs, outputs]), b: Some(Tensor::zeros([outputs]) + 0.01) }
}

impl WaveletMlp {
    #[track_caller]
    fn init(key: &Key, inputs: usize, hidden: usize, outputs: usize) -> WaveletMlp {
        let keys = key.split(3);
        let layers =
            [linear(&keys[0], inputs, hidden), linear(&keys[1], hidden, hidden), linear(&keys[2], hidden, outputs)];
        WaveletMlp { layers, w: [Wavelet::init(), Wavelet::init()] }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.w[0].forward(&self.layers[0].forward(x));
        let x = self.w[1].forward(&self.layers[1].forward(&x));
        self.layers[2].forward(&x)
    }
}

/// x ← x + MHA(W(x), e, e), x ← x + FF(W'(x)); in the encoder e is W(x).
#[derive(Tree, Clone)]
pub struct Layer {
    /// W and W'.
    pub w: [Wavelet; 2],
    /// MHA
    pub attention: Attention,
    /// FF
    pub feed_forward: WaveletMlp,
}

impl Layer {
    #[track_caller]
    fn forward(&self, x: &Tensor, e: Option<&Tensor>) -> Tensor {
        let q = self.w[0].forward(x);
        let x = x + self.attention.cross(&q, e.unwrap_or(&q), None, None);
        &x + self.feed_forward.forward(&self.w[1].forward(&x))
    }
}

/// What a [`PinnsFormer`] is made by.
#[derive(Clone, Debug, PartialEq)]
pub struct PinnsFormerConfig {
    /// Coordinates of a point, time among them.
    pub coordinates: usize,
    /// Numbers of a solution.
    pub outputs: usize,
    /// Numbers a place.
    pub width: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Layers of encoder and decoder.
    pub layers: usize,
    /// Hidden width of FF.
    pub feed_forward: usize,
    /// Hidden width of the head.
    pub hidden: usize,
}

impl Default for PinnsFormerConfig {
    /// The paper's sizes: 453,561 parameters.
    fn default() -> Self {
        PinnsFormerConfig { coordinates: 2, outputs: 1, width: 32, heads: 2, layers: 1, feed_forward: 256, hidden: 512 }
    }
}

/// The embedding, the encoder, the decoder and the head.
#[derive(Tree, Clone)]
pub struct PinnsFormer {
    /// From coordinates to width.
    pub embed: Linear,
    /// Layers of self-attention.
    pub encoder: Vec<Layer>,
    /// Layers of attention to the encoder's output.
    pub decoder: Vec<Layer>,
    /// After the encoder, and after the decoder.
    pub w: [Wavelet; 2],
    /// From width to the solution.
    pub head: WaveletMlp,
}

impl PinnsFormer {
    /// Weights by [`glorot_uniform`], biases 0.01 but those of attention, which are 0.
    #[track_caller]
    pub fn init(key: &Key, config: PinnsFormerConfig) -> PinnsFormer {
        let PinnsFormerConfig { coordinates, outputs, width, heads, layers, feed_forward, hidden } = config;
        let checks = Checks::of("PinnsFormer")
            .size("coordinates", coordinates)
            .size("outputs", outputs)
            .size("layers", layers)
            .size("feed_forward", feed_forward)
            .size("hidden", hidden);
        // the layers inside would tell of a 0 in words of their own
        let [coordinates, outputs, feed_forward, hidden] =
            [coordinates, outputs, feed_forward, hidden].map(|n| n.max(1));
        let keys = checks.key(key).split(4);
        let stack = |key: &Key| -> Vec<Layer> {
            let mut stack = Vec::with_capacity(layers);
            for key in key.split(layers) {
                let keys = key.split(2);
                stack.push(Layer {
                    w: [Wavelet::init(), Wavelet::init()],
                    attention: Attention::init(
                        &keys[0],
                        AttentionConfig { bias: true, ..AttentionConfig::new(width, heads) },
                    ),
                    feed_forward: WaveletMlp::init(&keys[1], width, feed_forward, width),
                });
            }
            stack
        };
        PinnsFormer {
            embed: linear(&keys[0], coordinates, width),
            encoder: stack(&keys[1]),
            decoder: stack(&keys[2]),
            w: [Wavelet::init(), Wavelet::init()],
            head: WaveletMlp::init(&keys[3], width, hidden, outputs),
        }
    }

    /// u at each place of sequences `[n, k, coordinates]`: `[n, k, outputs]`.
    #[track_caller]
    pub fn apply(&self, xt: &Tensor) -> Tensor {
        ensure!(Checks::of("PinnsFormer").axes(xt, "xt", &["n", "k", "coordinates"]));
        let x = self.embed.forward(xt);
        let e = self.w[0].forward(&self.encoder.iter().fold(x.clone(), |x, layer| layer.forward(&x, None)));
        let d = self.w[1].forward(&self.decoder.iter().fold(x, |x, layer| layer.forward(&x, Some(&e))));
        self.head.forward(&d)
    }
}

/// The mean square of what a condition at all places leaves, `[n, k, ..]`: for residual and boundary.
#[track_caller]
pub fn everywhere(rest: &Tensor) -> Tensor {
    rest.square().mean(..)
}

/// The mean square of what a condition at the first place of each sequence leaves, `[n, k, ..]`: for the initial condition.
#[track_caller]
pub fn at_first(rest: &Tensor) -> Tensor {
    ensure!(
        Checks::of("at_first").that(rest.ndim() > 1, || format!("the rest is {}, it should be [n, k, ..]", rest.ty()))
    );
    rest.slice_axis(1, 0, 1).square().mean(..)
}
