//! Gradients over the root of a mean, or of the sum, of their squares.

use super::Transformation;
use super::leafwise::{decay, leafwise, mean, own_state, real_zeros, squares, times};
use crate::checks::{checked, require};
use gradloom_frontend::{DType, Result, Tensor, Tree};

/// RMSProp's scaling (Tieleman and Hinton 2012): v ← ρ v + (1 - ρ) g², update g / √(v + ε); centred, the variance
/// v - m² stands for v (Graves 2013).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByRms {
    /// Decay ρ.
    pub decay: f64,
    /// Keeps the division finite.
    pub eps: f64,
    /// Whether the mean is subtracted.
    pub centered: bool,
}

impl Default for ScaleByRms {
    fn default() -> Self {
        ScaleByRms { decay: 0.9, eps: 1e-8, centered: false }
    }
}

/// Means of squares, and of gradients if centred.
#[derive(Tree, Clone)]
pub struct RmsState<P> {
    /// Mean of squares.
    pub v: P,
    /// Mean of gradients.
    pub m: Option<P>,
}

impl ScaleByRms {
    fn check(&self) -> Result<()> {
        decay("rmsprop", "the decay", self.decay)?;
        require("rmsprop", self.eps >= 0.0, || format!("ε is {}; it must not be negative", self.eps))
    }
}

impl Transformation for ScaleByRms {
    type State<P: Tree + Clone> = RmsState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> RmsState<P> {
        let params = checked(params, self.check());
        RmsState { v: real_zeros(&params), m: self.centered.then(|| params.zeros_like()) }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &RmsState<P>, _: &P) -> (P, RmsState<P>) {
        let own = self.check().and_then(|()| own_state("rmsprop", self.centered == s.m.is_some()));
        let g = &checked(g, own);
        match &s.m {
            None => {
                let [u, v] = leafwise([g, &s.v], |[g, v]| {
                    let v = mean(self.decay, v, &squares(g));
                    [times(g, &(&v + self.eps).rsqrt()), v]
                });
                (u, RmsState { v, m: None })
            }
            Some(m) => {
                let [u, v, m] = leafwise([g, &s.v, m], |[g, v, m]| {
                    let m = mean(self.decay, m, g);
                    let v = mean(self.decay, v, &squares(g));
                    [times(g, &(&v - squares(&m) + self.eps).rsqrt()), v, m]
                });
                (u, RmsState { v, m: Some(m) })
            }
        }
    }
}

/// Adagrad's scaling (Duchi et al. 2011): v ← v + g², update g / √(v + ε).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByRss {
    /// What the sums start at.
    pub start: f64,
    /// Keeps the division finite.
    pub eps: f64,
}

impl Default for ScaleByRss {
    fn default() -> Self {
        ScaleByRss { start: 0.1, eps: 1e-7 }
    }
}

impl ScaleByRss {
    fn check(&self) -> Result<()> {
        require("adagrad", self.start >= 0.0 && self.eps >= 0.0, || {
            format!("the start is {} and ε is {}; they must not be negative", self.start, self.eps)
        })
    }
}

impl Transformation for ScaleByRss {
    type State<P: Tree + Clone> = P;

    fn init<P: Tree + Clone>(&self, params: &P) -> P {
        let [v] = leafwise([&checked(params, self.check())], |[p]| [p.real().full_like(self.start)]);
        v
    }

    fn update<P: Tree + Clone>(&self, g: &P, v: &P, _: &P) -> (P, P) {
        let [u, v] = leafwise([&checked(g, self.check()), v], |[g, v]| {
            let v = v + squares(g);
            let known = v.gt(0.0);
            [times(g, &known.select((known.select(&v, 1.0) + self.eps).rsqrt(), 0.0)), v]
        });
        (u, v)
    }
}

/// Adafactor's scaling (Shazeer and Stern 2018, algorithm 4): the mean of squares of a matrix is kept as its means over
/// rows and columns, v ≈ r cᵀ / mean(r), with decay 1 - t^-0.8.
///
/// A leaf is factored over its two longest axes if both are at least `min_dim`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByFactoredRms {
    /// The decay of squares is 1 - t^-`decay_rate`.
    pub decay_rate: f64,
    /// Shorter axes are not factored.
    pub min_dim: usize,
    /// Added to squares.
    pub eps: f64,
}

impl Default for ScaleByFactoredRms {
    fn default() -> Self {
        ScaleByFactoredRms { decay_rate: 0.8, min_dim: 128, eps: 1e-30 }
    }
}

/// Means of squares over each of the two factored axes, or of elements: the others are empty.
#[derive(Tree, Clone)]
pub struct FactoredState<P> {
    /// Means over the longest axis.
    pub rows: P,
    /// Means over the longest axis but one.
    pub columns: P,
    /// Means of elements of leaves that are not factored.
    pub v: P,
    /// Steps taken (i32).
    pub t: Tensor,
}

impl ScaleByFactoredRms {
    fn check(&self) -> Result<()> {
        require("adafactor", self.decay_rate > 0.0 && self.eps >= 0.0, || {
            format!(
                "the decay rate is {} and ε is {}; one must be positive, one not negative",
                self.decay_rate, self.eps
            )
        })
    }

    /// The longest axis but one and the longest, if the leaf is factored.
    fn axes(&self, p: &Tensor) -> Option<(usize, usize)> {
        let mut order: Vec<usize> = (0..p.ndim()).collect();
        order.sort_by_key(|&a| p.shape()[a]);
        let [.., d1, d0] = order[..] else { return None };
        (p.shape()[d1] >= self.min_dim.max(1)).then_some((d1, d0))
    }
}

impl Transformation for ScaleByFactoredRms {
    type State<P: Tree + Clone> = FactoredState<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> FactoredState<P> {
        let params = &checked(params, self.check());
        let [rows, columns, v] = leafwise([params; 3], |[p, _, _]| {
            if p.check().is_err() {
                return [p.clone(), p.clone(), p.clone()];
            }
            let (zeros, empty) = (p.zeros_like().real(), Tensor::full([0], 0.0, p.dtype().real()));
            match self.axes(p) {
                Some((d1, d0)) => [zeros.mean(d0), zeros.mean(d1), empty],
                None => [empty.clone(), empty, zeros],
            }
        });
        FactoredState { rows, columns, v, t: super::leafwise::no_steps() }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &FactoredState<P>, _: &P) -> (P, FactoredState<P>) {
        let t = &s.t + 1;
        let keep = |dtype: DType| 1.0 - (t.to(dtype).log() * -self.decay_rate).exp();
        let g = &checked(g, self.check());
        let [u, rows, columns, v] = leafwise([g, &s.rows, &s.columns, &s.v], |[g, rows, columns, v]| {
            let b = keep(g.dtype().real());
            let mean = |old: &Tensor, new: &Tensor| old * &b + new * (1.0 - &b);
            let squares = squares(g) + self.eps;
            match self.axes(g) {
                Some((d1, d0)) => {
                    let rows = mean(rows, &squares.mean(d0));
                    let columns = mean(columns, &squares.mean(d1));
                    let whole = rows.mean_keepdims(if d1 > d0 { d1 - 1 } else { d1 });
                    let row_factor = (&rows / whole).rsqrt().expand_dims(d0);
                    [times(&times(g, &row_factor), &columns.rsqrt().expand_dims(d1)), rows, columns, v.clone()]
                }
                None => {
                    let v = mean(v, &squares);
                    [times(g, &v.rsqrt()), rows.clone(), columns.clone(), v]
                }
            }
        });
        (u, FactoredState { rows, columns, v, t })
    }
}
