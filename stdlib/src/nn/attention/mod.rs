//! Attention (Vaswani et al. 2017): with several heads, over the past only, with fewer heads of keys than of queries
//! (Ainslie et al. 2023), over another sequence, with positions of several kinds, and step by step with a cache.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::nn::{Attention, AttentionConfig, Positions, Rope};
//! let config = AttentionConfig {
//!     kv_heads: 2,
//!     causal: true,
//!     positions: Positions::Rotary(Rope::default()),
//!     ..AttentionConfig::new(32, 4)
//! };
//! let attention = Attention::init(&Key::new(0), config);
//! let x = random::normal(&Key::new(1), [2, 6, 32]);
//! let all = attention.forward(&x, None, None);
//!
//! // the same one step at a time
//! let mut cache = attention.cache(2, 6);
//! for t in 0..6 {
//!     let y;
//!     (y, cache) = attention.decode(&x.slice_axis(1, t, t + 1), &cache);
//!     assert!(y.all_close(all.slice_axis(1, t, t + 1), 1e-4, 1e-5).item::<bool>()?);
//! }
//! # Ok::<(), gradloom::Error>(())
//! ```

mod position;

pub use position::{Pairs, Positions, Rope, alibi, bucket};

use super::dropout;
use super::initial::glorot_uniform;
use super::linear::add_bias;
use crate::checks::{Checks, ensure};
use gradloom_frontend::random::Key;
use gradloom_frontend::{DType, Tensor, Tree, einsum};
use position::distances;

/// What an [`Attention`] is made by.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionConfig {
    /// Numbers a place of the sequence.
    pub width: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values; it divides `heads`, so many of which share one.
    pub kv_heads: usize,
    /// Numbers a head.
    pub head_width: usize,
    /// Numbers a place of the sequence that keys and values come from.
    pub context_width: usize,
    /// Whether queries see only keys at their own position and before.
    pub causal: bool,
    /// What positions do.
    pub positions: Positions,
    /// Whether the products have biases.
    pub bias: bool,
    /// How often a query does not see a key that it would, if there is a key to draw from: dropout of softmax's weights.
    pub dropout: f64,
}

impl AttentionConfig {
    /// Self-attention of as many heads of keys as of queries, each of width / heads numbers; with biases, not causal,
    /// positions unknown, no dropout.
    pub fn new(width: usize, heads: usize) -> AttentionConfig {
        AttentionConfig {
            width,
            heads,
            kv_heads: heads,
            head_width: width / heads.max(1),
            context_width: width,
            causal: false,
            positions: Positions::Unknown,
            bias: true,
            dropout: 0.0,
        }
    }

    #[track_caller]
    fn checks(&self) -> Checks {
        let AttentionConfig { width, heads, kv_heads, head_width, context_width, causal, dropout, .. } = *self;
        let checks = Checks::of("Attention")
            .size("width", width)
            .size("heads", heads)
            .size("kv_heads", kv_heads)
            .size("context_width", context_width)
            .that(head_width > 0, || format!("{heads} heads do not divide the width {width}"))
            .that(head_width != width / heads.max(1) || width.is_multiple_of(heads.max(1)), || {
                format!("{heads} heads do not divide the width {width}")
            })
            .that(heads.is_multiple_of(kv_heads.max(1)), || {
                format!("{kv_heads} heads of keys do not divide {heads} heads of queries")
            })
            .that((0.0..=1.0).contains(&dropout), || format!("the dropout {dropout} is not between 0 and 1"));
        match self.positions {
            Positions::Rotary(_) => checks.that(head_width.is_multiple_of(2), || {
                format!("rotary positions need pairs of numbers, a head has {head_width}")
            }),
            Positions::Relative { buckets, max_distance } => {
                let exact = if causal { buckets / 2 } else { buckets / 4 };
                checks.that(exact > 0 && max_distance > exact, || {
                    format!("{buckets} buckets cannot be told apart up to distance {max_distance}")
                })
            }
            _ => checks,
        }
    }
}

/// head_i = softmax(q_i k_iᵀ / √d) v_i with q_i = x w_qi, k_i = c w_ki, v_i = c w_vi of a context c, which is x itself in
/// self-attention; y = Σ_i head_i w_oi.
#[derive(Tree, Clone)]
pub struct Attention {
    /// `[width, heads, d]`
    pub w_q: Tensor,
    /// `[context width, kv_heads, d]`
    pub w_k: Tensor,
    /// `[context width, kv_heads, d]`
    pub w_v: Tensor,
    /// `[heads, d, width]`
    pub w_o: Tensor,
    /// Biases of the four products: `[heads, d]`, `[kv_heads, d]` twice, `[width]`.
    pub b: Option<[Tensor; 4]>,
    /// `[buckets, heads]`, with [`Positions::Relative`].
    pub relative: Option<Tensor>,
    /// What it was made by.
    #[tree(skip)]
    pub config: AttentionConfig,
}

/// Keys and values of the places decoded so far, and room for more.
#[derive(Tree, Clone)]
pub struct KvCache {
    /// `[batch, kv_heads, capacity, d]`
    pub k: Tensor,
    /// `[batch, kv_heads, capacity, d]`
    pub v: Tensor,
    /// How many places are taken, an i32.
    pub length: Tensor,
}

impl Attention {
    /// Weights by [`glorot_uniform`] of the whole matrices, biases and relative positions 0.
    #[track_caller]
    pub fn init(key: &Key, config: AttentionConfig) -> Attention {
        let AttentionConfig { width, heads, kv_heads, head_width: d, context_width: context, .. } = config;
        let keys = config.checks().key(key).split(4);
        let weights = |key: &Key, inputs, heads, d| {
            let outputs = usize::saturating_mul(heads, d);
            glorot_uniform(key, [inputs, outputs]).reshape([inputs, heads, d])
        };
        let zeros = |heads| Tensor::zeros([heads, d]);
        let relative = match config.positions {
            Positions::Relative { buckets, .. } => Some(Tensor::zeros([buckets, heads])),
            _ => None,
        };
        Attention {
            w_q: weights(&keys[0], width, heads, d),
            w_k: weights(&keys[1], context, kv_heads, d),
            w_v: weights(&keys[2], context, kv_heads, d),
            w_o: glorot_uniform(&keys[3], [heads.saturating_mul(d), width]).reshape([heads, d, width]),
            b: config.bias.then(|| [zeros(heads), zeros(kv_heads), zeros(kv_heads), Tensor::zeros([width])]),
            relative,
            config,
        }
    }

    /// Self-attention of `[batch, t, width]`. The mask, if any, is true where a query may see a key, and broadcasts to
    /// `[batch, heads, t, t]`; what may see nothing gets nothing. The key, if any, is for dropout.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, mask: Option<&Tensor>, key: Option<&Key>) -> Tensor {
        self.cross(x, x, mask, key)
    }

    /// Attention of x `[batch, t, width]` to a context `[batch, s, context width]`, with a mask that broadcasts to
    /// `[batch, heads, t, s]`, and a key for dropout.
    #[track_caller]
    pub fn cross(&self, x: &Tensor, context: &Tensor, mask: Option<&Tensor>, key: Option<&Key>) -> Tensor {
        let checks = sequence(x, "x").axes(context, "the context", &["batch", "s", "context width"]);
        ensure!(checks);
        let (queries, keys) = (Tensor::arange(x.dim(-2)), Tensor::arange(context.dim(-2)));
        let q = self.projected(x, 0, &queries);
        let (k, v) = (self.projected(context, 1, &keys), self.projected(context, 2, &keys));
        self.attended([&q, &k, &v], [&queries, &keys], mask, key)
    }

    /// An empty cache for `capacity` places.
    #[track_caller]
    pub fn cache(&self, batch: usize, capacity: usize) -> KvCache {
        let checks = Checks::of("KvCache").size("capacity", capacity).sound(&self.w_k);
        let shape = [batch, self.config.kv_heads, capacity, self.config.head_width];
        let zeros = checks.tensor(|| Tensor::full(shape, 0.0, self.w_k.dtype()));
        KvCache { k: zeros.clone(), v: zeros, length: Tensor::from(0) }
    }

    /// Causal self-attention of the next places x `[batch, t, width]` to themselves and all those in the cache; the
    /// results, and the cache with the new places. NaN where the cache has no room for them.
    #[track_caller]
    pub fn decode(&self, x: &Tensor, cache: &KvCache) -> (Tensor, KvCache) {
        let (t, capacity) = (x.dim(-2), cache.k.dim(-2));
        let checks = sequence(x, "x")
            .axes(&cache.k, "the cache", &["batch", "kv_heads", "capacity", "d"])
            .that(self.config.causal, || "only causal attention can be decoded step by step".to_string())
            .that(t <= capacity, || format!("{t} places at once are more than the cache's {capacity}"));
        if let Err(e) = checks.result() {
            let failed = Tensor::failed(e);
            return (failed.clone(), cache.map(|_| failed.clone()));
        }
        let queries = &cache.length + Tensor::arange(t);
        let (k, v) = (self.projected(x, 1, &queries), self.projected(x, 2, &queries));
        let start = (0, 0, &cache.length, 0);
        let length = &cache.length + t;
        let room = length.le(capacity);
        let cache =
            KvCache { k: cache.k.dynamic_update_slice(&k, start), v: cache.v.dynamic_update_slice(&v, start), length };
        let q = self.projected(x, 0, &queries);
        let y = self.attended([&q, &cache.k, &cache.v], [&queries, &Tensor::arange(capacity)], None, None);
        (room.select(y, f64::NAN), cache)
    }

    /// Queries (0), keys (1) or values (2) of a sequence, `[batch, heads, t, d]`.
    #[track_caller]
    fn projected(&self, x: &Tensor, which: usize, positions: &Tensor) -> Tensor {
        let w = [&self.w_q, &self.w_k, &self.w_v][which];
        let heads = einsum("btc,chd->bthd", &[x, w]);
        let heads = add_bias(heads, self.b.as_ref().map(|b| &b[which])).swapaxes(1, 2);
        match &self.config.positions {
            Positions::Rotary(rope) if which < 2 => rope.rotate(&heads, positions),
            _ => heads,
        }
    }

    /// y of queries, keys and values at these positions.
    #[track_caller]
    fn attended(&self, [q, k, v]: [&Tensor; 3], at: [&Tensor; 2], mask: Option<&Tensor>, key: Option<&Key>) -> Tensor {
        let apart = distances(at[0], at[1]);
        let bias = match (&self.config.positions, &self.relative) {
            (Positions::Linear, _) => Some(alibi(self.config.heads, at[0], at[1]).to(q.dtype())),
            (&Positions::Relative { buckets, max_distance }, Some(table)) => {
                let bucket = bucket(&apart, buckets, max_distance, self.config.causal);
                Some(table.take(&bucket, 0).move_axis(-1, 0))
            }
            _ => None,
        };
        let past = self.config.causal.then(|| apart.le(0));
        let mask = match (past, mask) {
            (Some(past), Some(mask)) => Some(past & mask),
            (past, mask) => past.or(mask.cloned()),
        };
        let drop = |p: &Tensor| dropout(key, self.config.dropout, p);
        let heads = weighted_values(q, k, v, bias.as_ref(), mask.as_ref(), drop);
        let y = einsum("bhtd,hdc->btc", &[&heads, &self.w_o]);
        add_bias(y, self.b.as_ref().map(|b| &b[3]))
    }
}

#[track_caller]
fn sequence(x: &Tensor, name: &str) -> Checks {
    Checks::of("Attention").axes(x, name, &["batch", "t", "width"])
}

/// softmax(q kᵀ / √d + bias) v for queries `[.., heads, t, d]`, keys `[.., kv_heads, s, d]` and values `[.., kv_heads, s, e]`,
/// kv_heads dividing heads: `[.., heads, t, e]`. Bias and mask broadcast to `[.., heads, t, s]`; a query sees the keys
/// where the mask is true, and gets 0 where there are none.
#[track_caller]
pub fn scaled_dot_product(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>, mask: Option<&Tensor>) -> Tensor {
    weighted_values(q, k, v, bias, mask, Tensor::clone)
}

/// [`scaled_dot_product`] with a function of softmax's weights, `[.., heads, t, s]`.
#[track_caller]
fn weighted_values(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    mask: Option<&Tensor>,
    drop: impl FnOnce(&Tensor) -> Tensor,
) -> Tensor {
    let (heads, kv_heads) = (q.dim(-3), k.dim(-3));
    let checks = Checks::of("scaled_dot_product")
        .sound(q)
        .sound(k)
        .sound(v)
        .that(q.ndim() >= 3 && k.ndim() == q.ndim() && v.ndim() == q.ndim(), || {
            format!("q {}, k {} and v {} should be [.., heads, places, d]", q.ty(), k.ty(), v.ty())
        })
        .that(kv_heads > 0 && heads.is_multiple_of(kv_heads.max(1)), || {
            format!("{kv_heads} heads of keys do not divide {heads} heads of queries")
        });
    ensure!(checks);
    let d = q.dim(-1).max(1) as f64;
    // heads of queries that share keys stand side by side
    let scores = joined(&einsum("...ghtd,...gsd->...ghts", &[&grouped(q, kv_heads), k])) / d.sqrt();
    let scores = add_bias(scores, bias);
    let p = match mask {
        None => scores.softmax(-1),
        // -inf would make NaN of a row without keys
        Some(mask) => mask.select(mask.select(scores, lowest(q.dtype())).softmax(-1), 0.0),
    };
    joined(&einsum("...ghts,...gse->...ghte", &[&grouped(&drop(&p), kv_heads), v]))
}

/// `[.., heads, a, b]` as `[.., kv_heads, heads / kv_heads, a, b]`.
#[track_caller]
fn grouped(x: &Tensor, kv_heads: usize) -> Tensor {
    let (mut shape, at) = (x.shape().to_vec(), x.ndim() - 3);
    shape.splice(at..=at, [kv_heads, x.dim(-3) / kv_heads]);
    x.reshape(shape)
}

/// The inverse of [`grouped`].
#[track_caller]
fn joined(x: &Tensor) -> Tensor {
    let (mut shape, at) = (x.shape().to_vec(), x.ndim() - 4);
    shape.splice(at..at + 2, [x.dim(-4) * x.dim(-3)]);
    x.reshape(shape)
}

/// A score that no other is below, of a dtype.
fn lowest(dtype: DType) -> f64 {
    if dtype == DType::F16 { -65504.0 } else { -1e38 }
}
