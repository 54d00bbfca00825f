//! nGPT: a transformer whose vectors all stay on the unit sphere.
//!
//! Loshchilov, Hsieh, Sun and Ginsburg, "nGPT: Normalized Transformer with Representation Learning on the Hypersphere" (2024).
//!
//! Embeddings, and the columns or rows of all matrices along the width d, have norm 1; [`NGpt::normalized`] restores that after each
//! step of the optimizer. With Norm(x) = x/|x|, a block moves h on the sphere towards what attention and network propose:
//!
//! ```text
//! h_A = Norm(Attn(h)),   h ← Norm(h + α_A (h_A - h))
//! h_M = Norm(MLP(h)),    h ← Norm(h + α_M (h_M - h))
//!
//! Attn:    q ← Norm(RoPE(q)) s_qk,  k ← Norm(RoPE(k)) s_qk of each head,  softmax(√d_k q kᵀ) v
//! MLP:     u ← s_u u,  ν ← s_v √d ν,  W_o (u silu(ν))
//! logits:  z ← s_z (E_out h)
//! ```
//!
//! There is no other normalisation. A learned vector a is stored as p, with a = p · a_init/a_scale and p = a_scale at first, so that
//! its rate of learning is that of the matrices; α enters as its absolute value.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::architectures::ngpt::{NGpt, NGptConfig};
//! let model = NGpt::init(&Key::new(0), NGptConfig::new(20, 16, 2, 2));
//! let scores = model.forward(&Tensor::from([[1, 2, 3]]));
//! assert_eq!(scores.shape(), [1, 3, 20]);
//! // cosines of unit vectors, times s_z = 1
//! assert!(scores.abs().max(..).item::<f32>()? <= 1.0001);
//! # Ok::<(), gradloom::Error>(())
//! ```

mod baseline;
mod checks;
mod experiment;

pub use baseline::Gpt;

use crate::checks::Checks;
use crate::nn::{Embedding, Linear, Rope, initial, scaled_dot_product, silu};
use crate::papers::{Check, Experiment, Paper};
use gradloom_frontend::random::Key;
use gradloom_frontend::{Tensor, Tree};

/// P091.
pub const PAPER: Paper = Paper {
    id: "P091",
    name: "nGPT",
    title: "nGPT: Normalized Transformer with Representation Learning on the Hypersphere",
    family: "architectures::ngpt",
    checks: &[
        Check { claim: "states and weights have norm 1 after 10 steps", run: checks::unit_norms },
        Check { claim: "α = 0 keeps the state, α = 1 replaces it", run: checks::ends_of_alpha },
        Check { claim: "no logit is beyond s_z", run: checks::bounded_logits },
        Check { claim: "positive factors of weight vectors do not matter", run: checks::scale_free },
        Check { claim: "a block is its equations, written out as loops", run: checks::written_out },
    ],
    experiment: Experiment {
        what: "Markov chains of order 2 and their copies, 2 layers, d = 64, context 64: steps of nGPT to the last validation \
               loss of GPT (RMSNorm, SwiGLU, RoPE), each with the best of 3 rates, means of 3 starts",
        run: experiment::reproduce,
    },
    remarks: &[
        "The lead is gone where losses come near the entropy of the data, 0.61, so there are 200 steps only. Of more steps single \
         starts of nGPT, at the best of three rates, took a share of 0.60 and 0.87 (300 steps), 0.80 and more than 1 (400), 0.85 \
         (600, where GPT ends at 0.608). α = 1 / layers at first, and 0.95 for β₂ in both models, were no better. The paper's \
         factors (4 at context 1k, 20 at 8k) are those of long contexts and of models of 0.5 billion weights and more.",
    ],
};

/// What an [`NGpt`], and the GPT beside it, is made by.
#[derive(Clone, Debug, PartialEq)]
pub struct NGptConfig {
    /// Tokens.
    pub vocabulary: usize,
    /// d
    pub width: usize,
    /// Heads of d / heads numbers.
    pub heads: usize,
    /// Blocks.
    pub layers: usize,
    /// Numbers between the layers of the network.
    pub hidden: usize,
    /// α at first, about 1 / layers.
    pub alpha: f64,
}

impl NGptConfig {
    /// With 4 d hidden numbers and the paper's α = 0.05, that of about 20 layers.
    pub fn new(vocabulary: usize, width: usize, heads: usize, layers: usize) -> NGptConfig {
        NGptConfig { vocabulary, width, heads, layers, hidden: width.saturating_mul(4), alpha: 0.05 }
    }

    #[track_caller]
    fn checks(&self) -> Checks {
        let NGptConfig { vocabulary, width, heads, layers, hidden, alpha } = *self;
        Checks::of("NGpt")
            .size("vocabulary", vocabulary)
            .size("width", width)
            .size("heads", heads)
            .size("layers", layers)
            .size("hidden", hidden)
            .that(alpha.is_finite(), || format!("alpha is {alpha}"))
            .that(width.is_multiple_of(heads.max(1)), || format!("{heads} heads do not divide the width {width}"))
            .that((width / heads.max(1)).is_multiple_of(2), || {
                format!("rotary positions need pairs of numbers, a head has {}", width / heads.max(1))
            })
    }
}

/// x / |x| over the last axis.
#[track_caller]
fn norm(x: &Tensor) -> Tensor {
    x / x.norm_keepdims(-1)
}

/// A learned vector a = p · a_init / a_scale.
#[derive(Tree, Clone)]
pub struct Scaled {
    /// What the optimizer sees.
    pub p: Tensor,
    /// a_init / a_scale
    #[tree(skip)]
    pub ratio: f64,
}

impl Scaled {
    #[track_caller]
    fn init(shape: &[usize], a_init: f64, a_scale: f64) -> Scaled {
        Scaled { p: Tensor::ones(shape) * a_scale, ratio: a_init / a_scale }
    }

    /// a
    #[track_caller]
    pub fn value(&self) -> Tensor {
        &self.p * self.ratio
    }
}

/// One block.
#[derive(Tree, Clone)]
pub struct NGptBlock {
    /// `[d, d]`, heads side by side; its columns are unit vectors.
    pub w_q: Linear,
    /// As w_q.
    pub w_k: Linear,
    /// As w_q.
    pub w_v: Linear,
    /// `[d, d]`; its rows are unit vectors.
    pub w_o: Linear,
    /// `[heads, d_k]`
    pub s_qk: Scaled,
    /// W_u `[d, hidden]`; its columns are unit vectors.
    pub w_u: Linear,
    /// W_ν, as w_u.
    pub w_v_gate: Linear,
    /// W_o of the network, `[hidden, d]`; its rows are unit vectors.
    pub w_down: Linear,
    /// `[hidden]`
    pub s_u: Scaled,
    /// `[hidden]`
    pub s_v: Scaled,
    /// `[d]`
    pub alpha_a: Scaled,
    /// `[d]`
    pub alpha_m: Scaled,
    /// What it was made by.
    #[tree(skip)]
    pub config: NGptConfig,
}

impl NGptBlock {
    #[track_caller]
    fn init(key: &Key, config: &NGptConfig) -> NGptBlock {
        let NGptConfig { width: d, hidden, heads, .. } = *config;
        let keys = key.split(7);
        let scale = 1.0 / (d.max(1) as f64).sqrt();
        let linear =
            |i: usize, inputs, outputs| Linear { w: initial::lecun_normal(&keys[i], [inputs, outputs]), b: None };
        NGptBlock {
            w_q: linear(0, d, d),
            w_k: linear(1, d, d),
            w_v: linear(2, d, d),
            w_o: linear(3, d, d),
            s_qk: Scaled::init(&[heads, d / heads.max(1)], 1.0, scale),
            w_u: linear(4, d, hidden),
            w_v_gate: linear(5, d, hidden),
            w_down: linear(6, hidden, d),
            s_u: Scaled::init(&[hidden], 1.0, 1.0),
            s_v: Scaled::init(&[hidden], 1.0, 1.0),
            alpha_a: Scaled::init(&[d], config.alpha, scale),
            alpha_m: Scaled::init(&[d], config.alpha, scale),
            config: config.clone(),
        }
    }

    /// Attn(h), `[batch, t, d]`.
    #[track_caller]
    pub fn attention(&self, h: &Tensor) -> Tensor {
        let (batch, t, d, heads) = (h.dim(0), h.dim(1), self.config.width, self.config.heads);
        let d_k = d / heads;
        let positions = Tensor::arange(t);
        let split = |x: Tensor| x.reshape([batch, t, heads, d_k]).swapaxes(1, 2);
        let s_qk = self.s_qk.value().expand_dims(1);
        let turned = |w: &Linear| norm(&Rope::default().rotate(&split(w.forward(h)), &positions)) * &s_qk;
        let (q, k, v) = (turned(&self.w_q), turned(&self.w_k), split(self.w_v.forward(h)));
        let past = positions.expand_dims(1).ge(positions.expand_dims(0));
        // scores are divided by √d_k there, and should be multiplied by it
        let heads = scaled_dot_product(&(q * d_k as f64), &k, &v, None, Some(&past));
        self.w_o.forward(&heads.swapaxes(1, 2).reshape([batch, t, d]))
    }

    /// MLP(h), `[.., d]`.
    #[track_caller]
    pub fn network(&self, h: &Tensor) -> Tensor {
        let u = self.w_u.forward(h) * self.s_u.value();
        let v = self.w_v_gate.forward(h) * (self.s_v.value() * (self.config.width as f64).sqrt());
        self.w_down.forward(&(u * silu(&v)))
    }

    /// h `[batch, t, d]` to the same.
    #[track_caller]
    pub fn forward(&self, h: &Tensor) -> Tensor {
        let h = step(h, &norm(&self.attention(h)), &self.alpha_a.value().abs());
        step(&h, &norm(&self.network(&h)), &self.alpha_m.value().abs())
    }

    #[track_caller]
    fn normalized(&self) -> NGptBlock {
        let columns = |l: &Linear| Linear { w: &l.w / l.w.norm_keepdims(0), b: None };
        let rows = |l: &Linear| Linear { w: norm(&l.w), b: None };
        NGptBlock {
            w_q: columns(&self.w_q),
            w_k: columns(&self.w_k),
            w_v: columns(&self.w_v),
            w_o: rows(&self.w_o),
            w_u: columns(&self.w_u),
            w_v_gate: columns(&self.w_v_gate),
            w_down: rows(&self.w_down),
            ..self.clone()
        }
    }
}

/// Norm(h + α (proposal - h)).
#[track_caller]
fn step(h: &Tensor, proposal: &Tensor, alpha: &Tensor) -> Tensor {
    norm(&(h + alpha * (proposal - h)))
}

/// The whole model.
#[derive(Tree, Clone)]
pub struct NGpt {
    /// E_in, whose rows are unit vectors.
    pub embedding: Embedding,
    /// The blocks.
    pub blocks: Vec<NGptBlock>,
    /// E_out, `[vocabulary, d]`, whose rows are unit vectors.
    pub output: Embedding,
    /// `[vocabulary]`
    pub s_z: Scaled,
}

impl NGpt {
    /// Normal weights, normalised.
    #[track_caller]
    pub fn init(key: &Key, config: NGptConfig) -> NGpt {
        let keys = config.checks().key(key).split(3);
        let NGptConfig { vocabulary, width, layers, .. } = config;
        let mut blocks = Vec::new();
        for i in 0..layers {
            blocks.push(NGptBlock::init(&keys[2].fold_in(i), &config));
        }
        let model = NGpt {
            embedding: Embedding { table: initial::scaled_normal(&keys[0], [vocabulary, width], 1.0) },
            blocks,
            output: Embedding { table: initial::scaled_normal(&keys[1], [vocabulary, width], 1.0) },
            s_z: Scaled::init(&[vocabulary], 1.0, 1.0 / (width.max(1) as f64).sqrt()),
        };
        model.normalized()
    }

    /// The states after the embedding and after each block, `[batch, t, d]` each, of tokens `[batch, t]`.
    #[track_caller]
    pub fn states(&self, tokens: &Tensor) -> Vec<Tensor> {
        let mut states = vec![self.embedding.forward(tokens)];
        for block in &self.blocks {
            states.push(block.forward(&states[states.len() - 1]));
        }
        states
    }

    /// Tokens `[batch, t]` to scores `[batch, t, vocabulary]`.
    #[track_caller]
    pub fn forward(&self, tokens: &Tensor) -> Tensor {
        let states = self.states(tokens);
        self.output.attend(&states[states.len() - 1]) * self.s_z.value()
    }

    /// All weight vectors along d with norm 1: what follows each step of the optimizer.
    #[track_caller]
    pub fn normalized(&self) -> NGpt {
        let rows = |e: &Embedding| Embedding { table: norm(&e.table) };
        NGpt {
            embedding: rows(&self.embedding),
            blocks: self.blocks.iter().map(NGptBlock::normalized).collect(),
            output: rows(&self.output),
            s_z: self.s_z.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_configurations() {
        let config = |vocabulary, width, heads, layers| NGptConfig::new(vocabulary, width, heads, layers);
        let cases = [
            (config(0, 16, 2, 1), "vocabulary is 0, it must be at least 1"),
            (config(8, 0, 2, 1), "width is 0, it must be at least 1"),
            (config(8, 16, 0, 1), "heads is 0, it must be at least 1"),
            (config(8, 16, 2, 0), "layers is 0, it must be at least 1"),
            (NGptConfig { hidden: 0, ..config(8, 16, 2, 1) }, "hidden is 0, it must be at least 1"),
            (NGptConfig { alpha: f64::NAN, ..config(8, 16, 2, 1) }, "alpha is NaN"),
            (config(8, 16, 3, 1), "3 heads do not divide the width 16"),
            (config(8, 6, 2, 1), "rotary positions need pairs of numbers, a head has 3"),
        ];
        for (config, message) in cases {
            let models = [NGpt::init(&Key::new(0), config.clone()).check(), Gpt::init(&Key::new(0), config).check()];
            for refused in models {
                let e = refused.expect_err(message);
                assert_eq!(e.message(), message);
                assert!(e.loc().to_string().contains("ngpt"), "{e}");
            }
        }
    }
}
