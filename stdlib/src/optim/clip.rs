//! Bounds on gradients.

use gradloom_frontend::{Tensor, Tree};

/// The tree scaled down so that its Euclidean norm is at most `max_norm` (Pascanu et al. 2013); leaves that are no
/// floats stay and do not count.
#[track_caller]
pub fn clip_by_norm<T: Tree>(tree: &T, max_norm: f64) -> T {
    let floats: Vec<Tensor> = tree.leaves().into_iter().filter(|t| t.dtype().is_float()).collect();
    let norm = floats.norm();
    // max(norm, max_norm) in the denominator: the factor is 1 below the bound and needs no branch at norm 0
    let factor = norm.full_like(max_norm) / norm.maximum(max_norm);
    tree.map(|t| if t.dtype().is_float() { t * factor.to(t.dtype()) } else { t.clone() })
}
