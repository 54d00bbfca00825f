//! Random orders and choices.

use super::continuous::gumbel_at;
use super::uniform::{randint, unit_at};
use super::{Key, bits_at};
use crate::tensor::axes::{resolve_axis, settle};
use crate::tensor::convert::plain_shape;
use crate::tensor::shaping::reshape_at;
use crate::tensor::sorting::sort_many;
use crate::tensor::{IntoShape, Tensor, apply};
use gradloom_ir::{DType, Error, Loc, Op, ReduceKind, Result, Shape};

/// Class numbers (i32) drawn with the probabilities `softmax(logits)` along an axis, which disappears (by the Gumbel
/// maximum).
#[track_caller]
pub fn categorical(key: &Key, logits: &Tensor, axis: i64) -> Tensor {
    categorical_many(key, logits, axis, ())
}

/// [`categorical`], drawn independently for each element of `shape`, whose axes go in front.
#[track_caller]
pub fn categorical_many(key: &Key, logits: &Tensor, axis: i64, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        logits.check()?;
        let axis = resolve_axis("categorical", axis, logits.ty_ref())?;
        let mut shape = plain_shape("categorical", shape)?;
        let axis = axis + shape.len();
        shape.extend_from_slice(logits.shape());
        let sum = gumbel_at(key, &shape, logits.dtype(), &loc)? + logits;
        Ok(apply(Op::ArgReduce { kind: ReduceKind::Max, axis }, &[&sum], &loc))
    };
    settle(&loc, run())
}

/// The numbers 0 to n - 1 (i32) in random order.
#[track_caller]
pub fn permutation(key: &Key, n: usize) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, permutation_at(key, n, &loc))
}

fn permutation_at(key: &Key, n: usize, loc: &Loc) -> Result<Tensor> {
    if n > i32::MAX as usize {
        return Err(Error::limit("permutation", format!("{n} elements are more than an i32 counts")));
    }
    let mut x = apply(Op::Iota { dtype: DType::I32, shape: Shape::from_elem(n, 1), axis: 0 }, &[], loc);
    // sorting by random words once leaves equal words in order; so many rounds make that negligible
    let rounds = (3.0 * (n.max(1) as f64).ln() / f64::from(u32::MAX).ln()).ceil() as usize;
    let mut key = key.clone();
    for _ in 0..rounds {
        let [next, here] = key.pair(loc)?;
        let words = bits_at(&here, &[n], DType::U32, loc)?;
        key = next;
        x = sort_many(&[&words, &x], 0, loc)?
            .pop()
            .ok_or_else(|| Error::internal("permutation", "sort has no result"))?;
    }
    Ok(x)
}

/// The rows of `x` in random order.
#[track_caller]
pub fn shuffle(key: &Key, x: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        x.check()?;
        let Some(&n) = x.shape().first() else {
            return Err(Error::user("shuffle", format!("{} has no rows", x.ty_ref())));
        };
        Ok(x.take(&permutation_at(key, n, &loc)?, 0))
    };
    settle(&loc, run())
}

/// How elements are chosen: with or without replacement, alike or by weight.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Key, Tensor, random::Choice};
/// let hand = Choice::new().without_replacement().indices(&Key::new(1), 52, [5]);
/// assert_eq!(hand.shape(), [5]);
/// let weights = Tensor::from([0.0f32, 1.0, 0.0]);
/// let i = Choice::new().weights(&weights).indices(&Key::new(1), 3, [2]);
/// assert_eq!(i.to_vec::<i32>().unwrap(), [1, 1]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Choice {
    once: bool,
    weights: Option<Tensor>,
}

/// Rows of `x` drawn with replacement, all alike; `shape` takes the place of the first axis.
#[track_caller]
pub fn choice(key: &Key, x: &Tensor, shape: impl IntoShape) -> Tensor {
    Choice::new().rows(key, x, shape)
}

impl Choice {
    /// With replacement, all alike.
    pub fn new() -> Choice {
        Choice::default()
    }

    /// Each element at most once.
    pub fn without_replacement(mut self) -> Choice {
        self.once = true;
        self
    }

    /// Probabilities, one an element; they need not sum to 1.
    pub fn weights(mut self, weights: &Tensor) -> Choice {
        self.weights = Some(weights.clone());
        self
    }

    /// Numbers below n (i32).
    #[track_caller]
    pub fn indices(&self, key: &Key, n: usize, shape: impl IntoShape) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, plain_shape("choice", shape).and_then(|s| self.indices_at(key, n, &s, &loc)))
    }

    /// Rows of `x`; `shape` takes the place of the first axis.
    #[track_caller]
    pub fn rows(&self, key: &Key, x: &Tensor, shape: impl IntoShape) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            x.check()?;
            let Some(&n) = x.shape().first() else {
                return Err(Error::user("choice", format!("{} has no rows", x.ty_ref())));
            };
            Ok(x.take(&self.indices_at(key, n, &plain_shape("choice", shape)?, &loc)?, 0))
        };
        settle(&loc, run())
    }

    fn indices_at(&self, key: &Key, n: usize, shape: &[usize], loc: &Loc) -> Result<Tensor> {
        let draws = super::elements("choice", shape)?;
        let limit = i32::try_from(n).map_err(|_| Error::limit("choice", format!("{n} are more than an i32 counts")))?;
        if n == 0 && draws > 0 {
            return Err(Error::user("choice", "there is nothing to choose from: 0 elements"));
        }
        if self.once && draws > n {
            return Err(Error::user("choice", format!("{draws} cannot be taken from {n} without replacement")));
        }
        let flat = match (&self.weights, self.once) {
            (None, false) => randint(key, shape, 0, limit),
            (None, true) => permutation_at(key, n, loc)?.slice_axis(0, 0, draws),
            (Some(p), once) => {
                p.check()?;
                if p.shape() != [n] || !p.dtype().is_float() {
                    let e =
                        format!("the weights of {n} elements must be a vector of {n} floats, they are {}", p.ty_ref());
                    return Err(Error::user("choice", e));
                }
                if once {
                    // the greatest of ln p plus Gumbel noise come in the order of draws without replacement
                    (gumbel_at(key, &[n], p.dtype(), loc)? + p.log()).top_k(draws).1
                } else {
                    let sums = p.cumsum(0);
                    let total = sums.slice_axis(0, n - 1.min(n), n);
                    let r: Tensor = (1.0f64 - unit_at(key, &[draws], p.dtype(), loc)?) * total;
                    // the number of sums below r
                    sums.expand_dims(0).lt(r.expand_dims(1)).to(DType::I32).sum(1)
                }
            }
        };
        flat.check()?;
        Ok(reshape_at(&flat, shape, loc))
    }
}
