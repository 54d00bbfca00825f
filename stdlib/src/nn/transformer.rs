//! Transformer blocks (Vaswani et al. 2017).
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::nn::{Act, AttentionConfig, BlockConfig, DecoderBlock, EncoderBlock, NormKind};
//! let key = Key::new(0);
//! let x = random::normal(&key, [2, 5, 16]);
//! let encoder = EncoderBlock::init(&key, BlockConfig::new(16, 4));
//! let memory = encoder.forward(&x, None, None);
//! let decoder = DecoderBlock::init(&key, BlockConfig::new(16, 4).causal());
//! assert_eq!(decoder.forward(&x, &memory, None, None, None).shape(), [2, 5, 16]);
//!
//! // as in LLaMA: no biases, root mean squares, gated silu
//! let attention = AttentionConfig { kv_heads: 2, causal: true, bias: false, ..AttentionConfig::new(16, 4) };
//! let config = BlockConfig { act: Act::Silu, gated: true, norm: NormKind::Rms, attention, ..BlockConfig::new(16, 4) };
//! assert_eq!(EncoderBlock::init(&key, config).forward(&x, None, None).shape(), [2, 5, 16]);
//! ```

use super::{Act, Attention, AttentionConfig, KvCache, Linear, Norm, NormKind, dropout};
use crate::checks::Checks;
use gradloom_frontend::random::Key;
use gradloom_frontend::{Tensor, Tree};

/// Where a residual connection normalises.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum NormOrder {
    /// x + f(norm(x)) (Xiong et al. 2020).
    #[default]
    Pre,
    /// norm(x + f(x)), as in the first paper.
    Post,
}

/// What a block is made by.
#[derive(Clone, Debug)]
pub struct BlockConfig {
    /// The self-attention; its biases decide about those of the feed-forward network too.
    pub attention: AttentionConfig,
    /// Numbers a place between the layers of the feed-forward network.
    pub hidden: usize,
    /// Between these layers.
    pub act: Act,
    /// Whether the feed-forward network is gated.
    pub gated: bool,
    /// The kind of normalisation.
    pub norm: NormKind,
    /// Where it stands.
    pub order: NormOrder,
    /// How often a number of what is added to x is dropped, if there is a key; attention has a dropout of its own.
    pub dropout: f64,
}

impl BlockConfig {
    /// [`AttentionConfig::new`], 4 · width hidden numbers, gelu, layer norm before attention and network, no dropout.
    pub fn new(width: usize, heads: usize) -> BlockConfig {
        BlockConfig {
            attention: AttentionConfig::new(width, heads),
            hidden: width.saturating_mul(4),
            act: Act::Gelu,
            gated: false,
            norm: NormKind::Layer,
            order: NormOrder::Pre,
            dropout: 0.0,
        }
    }

    /// Self-attention to the past only.
    pub fn causal(mut self) -> BlockConfig {
        self.attention.causal = true;
        self
    }
}

/// act(x w_in + b_in) w_out + b_out; gated: (act(x w_gate + b_gate) ⊙ (x w_in + b_in)) w_out + b_out (Shazeer 2020).
#[derive(Tree, Clone)]
pub struct FeedForward {
    /// `[width, hidden]`
    pub input: Linear,
    /// `[width, hidden]`
    pub gate: Option<Linear>,
    /// `[hidden, width]`
    pub output: Linear,
    /// Between the layers.
    #[tree(skip)]
    pub act: Act,
}

impl FeedForward {
    /// As [`Linear::init`].
    #[track_caller]
    pub fn init(key: &Key, config: &BlockConfig) -> FeedForward {
        let (width, hidden, keys) = (config.attention.width, config.hidden, key.split(3));
        let linear = if config.attention.bias { Linear::init } else { Linear::unbiased };
        FeedForward {
            input: linear(&keys[0], width, hidden),
            gate: config.gated.then(|| linear(&keys[1], width, hidden)),
            output: linear(&keys[2], hidden, width),
            act: config.act,
        }
    }

    /// `[.., width]` to the same.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.input.forward(x);
        let h = match &self.gate {
            None => self.act.apply(&h),
            Some(gate) => self.act.apply(&gate.forward(x)) * h,
        };
        self.output.forward(&h)
    }
}

/// A residual connection with its normalisation and dropout.
#[derive(Tree, Clone)]
pub struct Residual {
    /// Over the width.
    pub norm: Norm,
    /// Where it stands.
    #[tree(skip)]
    pub order: NormOrder,
    /// How often a number of what is added is dropped.
    #[tree(skip)]
    pub dropout: f64,
}

impl Residual {
    #[track_caller]
    fn init(config: &BlockConfig) -> Residual {
        let norm = Norm::init(config.norm, config.attention.width);
        Residual { norm, order: config.order, dropout: config.dropout }
    }

    /// x + f(norm(x)) or norm(x + f(x)).
    #[track_caller]
    pub fn forward(&self, x: &Tensor, key: Option<&Key>, f: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
        let input = match self.order {
            NormOrder::Pre => self.norm.forward(x),
            NormOrder::Post => x.clone(),
        };
        let y = x + dropout(key, self.dropout, &f(&input));
        match self.order {
            NormOrder::Pre => y,
            NormOrder::Post => self.norm.forward(&y),
        }
    }
}

/// The key of the i-th dropout of a block.
#[track_caller]
fn part(key: Option<&Key>, i: usize) -> Option<Key> {
    key.map(|key| key.fold_in(i))
}

/// The key, or one that carries what is wrong with a configuration beyond its attention.
#[track_caller]
fn checked(key: &Key, config: &BlockConfig) -> Key {
    let rate = config.dropout;
    Checks::of("BlockConfig")
        .size("hidden", config.hidden)
        .that((0.0..=1.0).contains(&rate), || format!("the dropout {rate} is not between 0 and 1"))
        .key(key)
}

/// Self-attention, then a feed-forward network, each with a residual connection: a block of an encoder, or (causal) of a
/// language model.
#[derive(Tree, Clone)]
pub struct EncoderBlock {
    /// Around the attention.
    pub attention_residual: Residual,
    /// To its own sequence.
    pub attention: Attention,
    /// Around the network.
    pub network_residual: Residual,
    /// The same for each place.
    pub network: FeedForward,
}

impl EncoderBlock {
    /// As the parts' own `init`.
    #[track_caller]
    pub fn init(key: &Key, config: BlockConfig) -> EncoderBlock {
        let keys = checked(key, &config).split(2);
        EncoderBlock {
            attention_residual: Residual::init(&config),
            attention: Attention::init(&keys[0], config.attention.clone()),
            network_residual: Residual::init(&config),
            network: FeedForward::init(&keys[1], &config),
        }
    }

    /// `[batch, t, width]` to the same; the mask as in [`Attention::forward`], the key for dropout.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, mask: Option<&Tensor>, key: Option<&Key>) -> Tensor {
        let seen = part(key, 2);
        let attend = |x: &Tensor| self.attention.forward(x, mask, seen.as_ref());
        let x = self.attention_residual.forward(x, part(key, 0).as_ref(), attend);
        self.network_residual.forward(&x, part(key, 1).as_ref(), |x| self.network.forward(x))
    }

    /// The next places of a causal block, as [`Attention::decode`].
    #[track_caller]
    pub fn decode(&self, x: &Tensor, cache: &KvCache) -> (Tensor, KvCache) {
        let (x, cache) = decoded(&self.attention_residual, &self.attention, x, cache);
        (self.network_residual.forward(&x, None, |x| self.network.forward(x)), cache)
    }
}

/// A residual connection around the next places of an attention.
#[track_caller]
fn decoded(residual: &Residual, attention: &Attention, x: &Tensor, cache: &KvCache) -> (Tensor, KvCache) {
    let mut grown = cache.clone();
    let x = residual.forward(x, None, |x| {
        let y;
        (y, grown) = attention.decode(x, cache);
        y
    });
    (x, grown)
}

/// Self-attention, attention to a context, then a feed-forward network, each with a residual connection.
#[derive(Tree, Clone)]
pub struct DecoderBlock {
    /// Around the self-attention.
    pub attention_residual: Residual,
    /// To its own sequence.
    pub attention: Attention,
    /// Around the attention to the context.
    pub cross_residual: Residual,
    /// To the context; without positions.
    pub cross: Attention,
    /// Around the network.
    pub network_residual: Residual,
    /// The same for each place.
    pub network: FeedForward,
}

impl DecoderBlock {
    /// As the parts' own `init`. The attention to the context is as the self-attention, but neither causal nor with
    /// positions; `context_width` is its own.
    #[track_caller]
    pub fn init(key: &Key, config: BlockConfig) -> DecoderBlock {
        let keys = checked(key, &config).split(3);
        let own = AttentionConfig { context_width: config.attention.width, ..config.attention.clone() };
        let cross = AttentionConfig { causal: false, positions: Default::default(), ..config.attention.clone() };
        DecoderBlock {
            attention_residual: Residual::init(&config),
            attention: Attention::init(&keys[0], own),
            cross_residual: Residual::init(&config),
            cross: Attention::init(&keys[1], cross),
            network_residual: Residual::init(&config),
            network: FeedForward::init(&keys[2], &config),
        }
    }

    /// x `[batch, t, width]` and a context `[batch, s, context width]` to `[batch, t, width]`; masks for the sequence and for
    /// the context as in [`Attention::cross`], the key for dropout.
    #[track_caller]
    pub fn forward(
        &self,
        x: &Tensor,
        context: &Tensor,
        mask: Option<&Tensor>,
        context_mask: Option<&Tensor>,
        key: Option<&Key>,
    ) -> Tensor {
        let seen = [3, 4].map(|i| part(key, i));
        let attend = |x: &Tensor| self.attention.forward(x, mask, seen[0].as_ref());
        let cross = |x: &Tensor| self.cross.cross(x, context, context_mask, seen[1].as_ref());
        let x = self.attention_residual.forward(x, part(key, 0).as_ref(), attend);
        let x = self.cross_residual.forward(&x, part(key, 1).as_ref(), cross);
        self.network_residual.forward(&x, part(key, 2).as_ref(), |x| self.network.forward(x))
    }

    /// The next places of a causal block, as [`Attention::decode`], for the whole context.
    #[track_caller]
    pub fn decode(
        &self,
        x: &Tensor,
        context: &Tensor,
        context_mask: Option<&Tensor>,
        cache: &KvCache,
    ) -> (Tensor, KvCache) {
        let (x, cache) = decoded(&self.attention_residual, &self.attention, x, cache);
        let x = self.cross_residual.forward(&x, None, |x| self.cross.cross(x, context, context_mask, None));
        (self.network_residual.forward(&x, None, |x| self.network.forward(x)), cache)
    }
}
