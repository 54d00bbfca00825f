//! Losses of vectors that should, or should not, point the same way.

use super::losses;
use crate::checks::{Checks, ensure};
use gradloom_frontend::Tensor;

/// Lengths below this count as this, so that a vector of zeros has the similarity 0.
const SHORTEST: f64 = 1e-8;

#[track_caller]
fn unit(x: &Tensor) -> Tensor {
    x / x.norm_keepdims(-1).maximum(SHORTEST)
}

losses! {
    /// 1 - a·b / (‖a‖ ‖b‖) over the last axis.
    cosine cosine_each(a: &Tensor, b: &Tensor) {
        let checks = Checks::of("cosine").same(["a", "b"], a, b);
        ensure!(checks);
        1f64 - (unit(a) * unit(b)).sum(-1)
    }
    /// -ln(e^(s_ii / τ) / Σ_j e^(s_ij / τ)) with the cosine s_ij of query i and key j, both `[n, d]`: each query should be
    /// nearest to its own key among all (van den Oord et al. 2018).
    info_nce info_nce_each(queries: &Tensor, keys: &Tensor, temperature: f64) {
        let checks = Checks::of("info_nce")
            .axes(queries, "the queries", &["n", "d"])
            .same(["the queries", "the keys"], queries, keys)
            .that(temperature > 0.0, || format!("the temperature {temperature} must be positive"));
        ensure!(checks);
        let scores = unit(queries).matmul(&unit(keys).t()) / temperature;
        scores.logsumexp(-1) - scores.diagonal(0, 0, 1)
    }
}
