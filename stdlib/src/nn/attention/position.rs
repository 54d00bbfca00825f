//! How attention knows where things stand.

use crate::checks::{Checks, ensure};
use gradloom_frontend::{DType, Tensor};

/// What attention does with the distance between a query and a key.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Positions {
    /// Nothing: only masks tell places apart.
    #[default]
    Unknown,
    /// Queries and keys are rotated by their positions.
    Rotary(Rope),
    /// Scores fall linearly with the distance, see [`alibi`].
    Linear,
    /// A trained number for each head and [`bucket`] of distances is added to the scores.
    Relative {
        /// Number of buckets; even.
        buckets: usize,
        /// From this distance on all fall into the last bucket.
        max_distance: usize,
    },
}

/// Which numbers of a vector make the pairs that are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Pairs {
    /// 2i and 2i + 1, as in the paper.
    #[default]
    Neighbours,
    /// i and i + width / 2.
    Halves,
}

/// Rotary position embedding (Su et al. 2021): at position m the i-th pair of numbers is rotated by the angle m θ_i,
/// θ_i = base^(-2i / width), so that inner products of queries and keys depend on the difference of their positions.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::nn::Rope;
/// let x = Tensor::ones([2, 5, 8]);
/// let y = Rope::default().rotate(&x, &Tensor::arange(5));
/// assert_eq!(y.i(0).i(0).to_vec::<f32>()?, [1.0; 8]); // position 0 stays
/// # Ok::<(), gradloom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The greater, the slower the last pairs turn.
    pub base: f64,
    /// The pairs.
    pub pairs: Pairs,
}

impl Default for Rope {
    fn default() -> Rope {
        Rope { base: 1e4, pairs: Pairs::Neighbours }
    }
}

impl Rope {
    /// x `[.., time, width]` at positions `[time]`; the width must be even.
    #[track_caller]
    pub fn rotate(&self, x: &Tensor, positions: &Tensor) -> Tensor {
        let width = x.dim(-1);
        let checks = Checks::of("Rope")
            .sound(x)
            .sound(positions)
            .that(x.ndim() >= 2, || format!("x is {}, it should be [.., time, width]", x.ty()))
            .that(positions.shape() == &x.shape()[x.ndim().saturating_sub(2)..x.ndim().saturating_sub(1)], || {
                format!("positions {} do not fit {}, they should be [time]", positions.ty(), x.ty())
            })
            .that(width.is_multiple_of(2), || format!("the width {width} is not even"))
            .that(self.base > 0.0, || format!("the base {} must be positive", self.base));
        ensure!(checks);
        let theta: Vec<f32> = (0..width / 2).map(|i| self.base.powf(-2.0 * i as f64 / width as f64) as f32).collect();
        let angles = positions.to(DType::F32).expand_dims(-1) * Tensor::from_vec(theta);
        let (cos, sin) = (angles.cos().to(x.dtype()), angles.sin().to(x.dtype()));
        let pairs = match self.pairs {
            Pairs::Neighbours => {
                let mut shape = x.shape().to_vec();
                shape[x.ndim() - 1] = width / 2;
                shape.push(2);
                let pairs = x.reshape(shape);
                [0, 1].map(|i| pairs.slice_axis(x.ndim(), i, i + 1).squeeze(-1))
            }
            Pairs::Halves => [0, 1].map(|i| x.slice_axis(x.ndim() - 1, i * width / 2, (i + 1) * width / 2)),
        };
        let [a, b] = pairs;
        let turned = [&a * &cos - &b * &sin, &a * &sin + &b * &cos];
        match self.pairs {
            Pairs::Neighbours => Tensor::stack(&turned, -1).reshape(x.shape()),
            Pairs::Halves => Tensor::concatenate(&turned, -1),
        }
    }
}

/// More heads than this are a mistake.
const MOST_HEADS: usize = 1 << 16;

/// The slopes of the heads (Press et al. 2022): 2^(-8i / heads), i = 1, .., heads, where heads is a power of two; else those
/// of the power below, and every second one of the power above.
fn slopes(heads: usize) -> Vec<f64> {
    let geometric = |n: usize| (1..=n).map(move |i| 2f64.powf(-8.0 * i as f64 / n as f64));
    let below = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    geometric(below).chain(geometric(2 * below).step_by(2)).take(heads).collect()
}

/// -slope · |i - j| for each head (Press et al. 2022): positions of queries `[t]` and of keys `[s]` to f32 `[heads, t, s]`.
#[track_caller]
pub fn alibi(heads: usize, queries: &Tensor, keys: &Tensor) -> Tensor {
    let checks = Checks::of("alibi")
        .axes(queries, "queries", &["t"])
        .axes(keys, "keys", &["s"])
        .that((1..=MOST_HEADS).contains(&heads), || format!("{heads} heads, there must be 1 to {MOST_HEADS}"));
    ensure!(checks);
    let slopes: Vec<f32> = slopes(heads).iter().map(|&m| -m as f32).collect();
    distances(queries, keys).abs().to(DType::F32) * Tensor::from_vec(slopes).expand_dims([1, 2])
}

/// j - i for queries at i and keys at j: `[t, s]`.
#[track_caller]
pub(super) fn distances(queries: &Tensor, keys: &Tensor) -> Tensor {
    keys.expand_dims(0) - queries.expand_dims(1)
}

/// The bucket (i32) of each distance j - i between a query at i and a key at j (Raffel et al. 2020): small distances have
/// buckets of their own, greater ones share them, logarithmically up to `max_distance`. `causal` puts all keys
/// behind the query into bucket 0, else half of the buckets is theirs.
#[track_caller]
pub fn bucket(distances: &Tensor, buckets: usize, max_distance: usize, causal: bool) -> Tensor {
    let each = if causal { buckets } else { buckets / 2 };
    let exact = each / 2;
    let checks = Checks::of("bucket").sound(distances).that(exact > 0 && max_distance > exact, || {
        format!("{buckets} buckets of distances up to {max_distance}: too few, or the distance is below the exact ones")
    });
    ensure!(checks);
    // the least distance of each bucket that is shared; whole numbers must not be lost to rounding
    let ratio = max_distance as f64 / exact as f64;
    let least = |j: usize| (exact as f64 * ratio.powf(j as f64 / (each - exact) as f64) - 1e-9).ceil() as i32;
    let bounds: Vec<i32> = (1..each - exact).map(least).collect();
    let distances = distances.to(DType::I32);
    let back = if causal { (-&distances).maximum(0) } else { distances.abs() };
    let shared = back.expand_dims(-1).ge(Tensor::from_vec(bounds)).to(DType::I32).sum(-1) + exact as i32;
    let own = back.lt(exact as i32).select(&back, shared);
    if causal { own } else { distances.gt(0).select(&own + each as i32, &own) }
}
