//! Bounds on updates.

use super::Transformation;
use super::leafwise::{all_real, global_norm, leafwise, map_numbers, over, times};
use super::scale::rms;
use crate::checks::{checked, require};
use gradloom_frontend::{Result, Tensor, Tree};

/// What a [`Clip`] bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Value,
    GlobalNorm,
    Adaptive,
    Rms,
}

/// Updates with a bound; made by [`clip`], [`clip_by_global_norm`], [`adaptive_grad_clip`] and [`clip_by_rms`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    bound: Bound,
    limit: f64,
}

/// Each element, which must be real, into [-limit, limit].
pub fn clip(limit: f64) -> Clip {
    Clip { bound: Bound::Value, limit }
}

/// All updates scaled down together so that their Euclidean norm is at most `limit` (Pascanu et al. 2013).
pub fn clip_by_global_norm(limit: f64) -> Clip {
    Clip { bound: Bound::GlobalNorm, limit }
}

/// Each unit's update scaled down so that its norm is at most `limit` times that of the unit's parameters, which counts as
/// at least 1e-3 (Brock et al. 2021). A unit is one output: a column of a matrix, a filter of a kernel whose last axis
/// counts outputs; a vector is one unit.
pub fn adaptive_grad_clip(limit: f64) -> Clip {
    Clip { bound: Bound::Adaptive, limit }
}

/// Each leaf scaled down so that its root mean square is at most `limit` (Shazeer and Stern 2018).
pub fn clip_by_rms(limit: f64) -> Clip {
    Clip { bound: Bound::Rms, limit }
}

/// The least norm of parameters that [`adaptive_grad_clip`] counts.
const LEAST_UNIT_NORM: f64 = 1e-3;

impl Clip {
    fn check<P: Tree>(&self, updates: &P) -> Result<()> {
        require("clip", self.limit > 0.0, || format!("the bound is {}, not positive", self.limit))?;
        if self.bound == Bound::Value { all_real("clip", updates) } else { Ok(()) }
    }
}

impl Transformation for Clip {
    type State<P: Tree + Clone> = ();

    fn init<P: Tree + Clone>(&self, _: &P) {}

    fn update<P: Tree + Clone>(&self, u: &P, (): &(), params: &P) -> (P, ()) {
        let (u, c) = (&checked(u, self.check(u)), self.limit);
        let clipped = match self.bound {
            Bound::Value => map_numbers(u, |u| u.clip(-c, c)),
            Bound::GlobalNorm => {
                let norm = global_norm(u);
                // max(norm, c) below: the factor is 1 under the bound and needs no branch at norm 0
                let factor = norm.full_like(c) / norm.maximum(c);
                map_numbers(u, |u| times(u, &factor.to(u.dtype().real())))
            }
            Bound::Adaptive => {
                let [u] = leafwise([u, params], |[u, p]| {
                    let limit = unit_norm(p).maximum(LEAST_UNIT_NORM) * c;
                    let norm = unit_norm(u);
                    [times(u, &(&limit / norm.maximum(&limit)))]
                });
                u
            }
            Bound::Rms => map_numbers(u, |u| over(u, &(rms(u) / c).maximum(1.0))),
        };
        (clipped, ())
    }
}

/// The norm of each unit, with its axes kept.
fn unit_norm(x: &Tensor) -> Tensor {
    match x.ndim() {
        0 | 1 => x.norm_keepdims(..),
        // [inputs, outputs], or [inputs, heads, width] of attention: the sum is over inputs
        2 | 3 => x.norm_keepdims(0),
        n => x.norm_keepdims((0..n - 1).collect::<Vec<_>>()),
    }
}
