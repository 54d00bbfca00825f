//! Initial weights: random arrays whose variance is chosen by the number of inputs and outputs.
//!
//! The last axis of a shape is the output, the one before it the input, and the axes before those the window of a
//! convolution: a weight has `window · inputs` inputs and `window · outputs` outputs. Normal forms are cut off at two
//! deviations. Same numbers as `jax.nn.initializers` from the same key.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::nn::{Linear, initial};
//! // a layer whose weights are drawn in another way than its `init` does
//! let layer = Linear { w: initial::orthogonal(&Key::new(0), [8, 4], 1.0), b: Some(Tensor::zeros([4])) };
//! assert_eq!(layer.forward(&Tensor::ones([2, 8])).shape(), [2, 4]);
//! ```

use gradloom_frontend::random::{self, Key};
use gradloom_frontend::{DType, Error, IntoShape, Tensor, ir::Loc};

/// The deviation of a standard normal number cut off at ±2.
const CUT_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// Inputs and outputs of a weight; at least 1 each, so that variances are finite.
fn fans(shape: &[i64]) -> (f64, f64) {
    let size = |d: Option<&i64>| d.map_or(1.0, |&d| d.max(1) as f64);
    let window: f64 = shape.iter().rev().skip(2).map(|d| size(Some(d))).product();
    let outputs = size(shape.last());
    let inputs = if shape.len() < 2 { outputs } else { size(shape.get(shape.len() - 2)) };
    (inputs * window, outputs * window)
}

/// Uniform numbers of this variance.
fn uniform(key: &Key, shape: Vec<i64>, variance: f64) -> Tensor {
    let bound = (3.0 * variance).sqrt();
    (random::uniform(key, shape) * 2.0 - 1.0) * bound
}

/// Normal numbers cut off at two deviations, of this variance.
fn normal(key: &Key, shape: Vec<i64>, variance: f64) -> Tensor {
    random::truncated_normal(key, -2.0, 2.0, shape) * (variance.sqrt() / CUT_DEVIATION)
}

macro_rules! initializers {
    ($($(#[$doc:meta])* $name:ident = $draw:ident(|$inputs:ident, $outputs:ident| $variance:expr);)*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(key: &Key, shape: impl IntoShape) -> Tensor {
            let shape = shape.dims();
            let ($inputs, $outputs) = fans(&shape);
            $draw(key, shape, $variance)
        }
    )*};
}
initializers! {
    /// Normal, variance 1 / inputs (LeCun et al. 1998).
    lecun_normal = normal(|inputs, _outputs| 1.0 / inputs);
    /// Uniform, variance 1 / inputs.
    lecun_uniform = uniform(|inputs, _outputs| 1.0 / inputs);
    /// Normal, variance 2 / inputs, for relu (He et al. 2015).
    he_normal = normal(|inputs, _outputs| 2.0 / inputs);
    /// Uniform, variance 2 / inputs.
    he_uniform = uniform(|inputs, _outputs| 2.0 / inputs);
    /// Normal, variance 2 / (inputs + outputs) (Glorot and Bengio 2010).
    glorot_normal = normal(|inputs, outputs| 2.0 / (inputs + outputs));
    /// Uniform, variance 2 / (inputs + outputs).
    glorot_uniform = uniform(|inputs, outputs| 2.0 / (inputs + outputs));
}

/// Normal numbers of this deviation.
#[track_caller]
pub fn scaled_normal(key: &Key, shape: impl IntoShape, deviation: f64) -> Tensor {
    random::normal(key, shape) * deviation
}

/// Uniform numbers between `-bound` and `bound`.
#[track_caller]
pub fn scaled_uniform(key: &Key, shape: impl IntoShape, bound: f64) -> Tensor {
    (random::uniform(key, shape) * 2.0 - 1.0) * bound
}

/// Normal numbers of mean 0 and this deviation, of which those beyond two deviations are drawn again (so that the
/// deviation of what remains is 0.88 of it).
#[track_caller]
pub fn truncated_normal(key: &Key, shape: impl IntoShape, deviation: f64) -> Tensor {
    random::truncated_normal(key, -2.0, 2.0, shape) * deviation
}

/// `scale` times a matrix of orthonormal rows or columns, whichever are fewer; the axes before the last count as one
/// (Saxe et al. 2014).
#[track_caller]
pub fn orthogonal(key: &Key, shape: impl IntoShape, scale: f64) -> Tensor {
    let shape = shape.dims();
    let Some((&columns, rows)) = shape.split_last().filter(|(_, rows)| !rows.is_empty()) else {
        let e = Error::user("orthogonal", format!("the shape {shape:?} has no rows and columns"));
        return Tensor::failed(e.at(&Loc::caller()));
    };
    let rows = rows.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
    let (Some(rows), Ok(columns)) = (rows, usize::try_from(columns)) else {
        let e = Error::user("orthogonal", format!("axis lengths {shape:?} must not be negative"));
        return Tensor::failed(e.at(&Loc::caller()));
    };
    random::orthogonal_as(key, rows, columns, (), DType::F32).reshape(shape) * scale
}
