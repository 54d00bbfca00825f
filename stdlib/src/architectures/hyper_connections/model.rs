//! A small language model with hyper-connections around its blocks.

use super::{HyperConfig, HyperConnection, Mixer, expand};
use crate::nn::{
    Act, Attention, AttentionConfig, BlockConfig, Embedding, FeedForward, Linear, Positions, RmsNorm, Rope,
};
use gradloom_frontend::random::Key;
use gradloom_frontend::{Tensor, Tree};

/// What a [`HyperLm`] is made by.
#[derive(Clone, Debug)]
pub struct HyperLmConfig {
    /// Tokens.
    pub vocabulary: usize,
    /// Numbers a token, C.
    pub width: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Blocks, in turn attention and feed-forward network.
    pub blocks: usize,
    /// Streams and mixer; `None` for one stream with plain residual connections.
    pub connection: Option<(usize, Mixer)>,
}

/// F of one residual connection, normalised in front.
#[derive(Tree, Clone)]
pub enum Block {
    /// Causal attention with rotary positions.
    Attention(RmsNorm, Box<Attention>),
    /// With gelu.
    Network(RmsNorm, Box<FeedForward>),
}

impl Block {
    #[track_caller]
    fn init(key: &Key, config: &HyperLmConfig, i: usize) -> Block {
        let attention = AttentionConfig {
            causal: true,
            bias: false,
            positions: Positions::Rotary(Rope::default()),
            ..AttentionConfig::new(config.width, config.heads)
        };
        let norm = RmsNorm::init(config.width);
        if i.is_multiple_of(2) {
            return Block::Attention(norm, Box::new(Attention::init(key, attention)));
        }
        let network = BlockConfig { attention, act: Act::Gelu, ..BlockConfig::new(config.width, config.heads) };
        Block::Network(norm, Box::new(FeedForward::init(key, &network)))
    }

    /// `[batch, t, C]` to the same.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Block::Attention(norm, attention) => attention.forward(&norm.forward(x), None, None),
            Block::Network(norm, network) => network.forward(&norm.forward(x)),
        }
    }
}

/// Embedding, blocks with hyper-connections, and scores of the next token.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::architectures::hyper_connections::{HyperLm, HyperLmConfig, Mixer};
/// let kron = Mixer::Kron { factors: vec![2, 2] };
/// let config = HyperLmConfig { vocabulary: 28, width: 16, heads: 2, blocks: 2, connection: Some((4, kron)) };
/// let model = HyperLm::init(&Key::new(0), config);
/// assert_eq!(model.forward(&Tensor::from([[1, 2, 3]])).shape(), [1, 3, 28]);
/// ```
#[derive(Tree, Clone)]
pub struct HyperLm {
    /// Of tokens.
    pub embedding: Embedding,
    /// The blocks, each with its hyper-connection, if there are any.
    pub blocks: Vec<(Block, Option<HyperConnection>)>,
    /// Of the last states.
    pub norm: RmsNorm,
    /// To scores.
    pub head: Linear,
}

impl HyperLm {
    /// As the parts' own `init`.
    #[track_caller]
    pub fn init(key: &Key, config: HyperLmConfig) -> HyperLm {
        let keys = key.split(3);
        let mut blocks = Vec::new();
        for i in 0..config.blocks {
            let key = keys[2].fold_in(i);
            let mut connection = None;
            if let Some((streams, mixer)) = &config.connection {
                let hyper = HyperConfig::new(*streams, config.width, mixer.clone()).at(i);
                connection = Some(HyperConnection::init(&key.fold_in(1), hyper));
            }
            blocks.push((Block::init(&key.fold_in(0), &config, i), connection));
        }
        HyperLm {
            embedding: Embedding::init(&keys[0], config.vocabulary, config.width),
            blocks,
            norm: RmsNorm::init(config.width),
            head: Linear::unbiased(&keys[1], config.width, config.vocabulary),
        }
    }

    /// Tokens `[batch, t]` to scores `[batch, t, vocabulary]`.
    #[track_caller]
    pub fn forward(&self, tokens: &Tensor) -> Tensor {
        let mut x = self.embedding.forward(tokens);
        let streams = self.blocks.first().and_then(|(_, hc)| hc.as_ref());
        if let Some(hc) = streams {
            x = expand(&x, hc.config.streams);
        }
        for (block, hc) in &self.blocks {
            x = match hc {
                None => &x + block.forward(&x),
                Some(hc) => hc.apply(&x, |h| block.forward(h)),
            };
        }
        let x = streams.map_or(x.clone(), |hc| hc.reduce(&x));
        self.head.forward(&self.norm.forward(&x))
    }

    /// Numbers to train in the hyper-connections.
    pub fn connection_parameters(&self) -> usize {
        self.blocks.iter().filter_map(|(_, hc)| hc.as_ref().map(HyperConnection::parameters)).sum()
    }
}
