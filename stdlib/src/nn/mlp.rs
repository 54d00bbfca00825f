//! The multilayer perceptron.

use super::{Act, Linear};
use crate::checks::Checks;
use gradloom_frontend::random::Key;
use gradloom_frontend::{Tensor, Tree};

/// h_0 = x, h_i = act(h_(i-1) w_i + b_i), and a last layer without activation.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::nn::{Act, Mlp};
/// let net = Mlp::init(&Key::new(0), &[2, 16, 16, 1], Act::Tanh);
/// assert_eq!(net.forward(&Tensor::ones([5, 2])).shape(), [5, 1]);
/// ```
#[derive(Tree, Clone)]
pub struct Mlp {
    /// From the inputs to the outputs.
    pub layers: Vec<Linear>,
    /// Between the layers.
    #[tree(skip)]
    pub act: Act,
}

impl Mlp {
    /// Layers between these widths: inputs, hidden ones, outputs.
    #[track_caller]
    pub fn init(key: &Key, widths: &[usize], act: Act) -> Mlp {
        let checks = Checks::of("Mlp").that(widths.len() > 1 && !widths.contains(&0), || {
            format!("widths {widths:?} make no layers: list inputs, hidden widths and outputs, each at least 1")
        });
        // without layers an error would have no place to travel in
        let widths = if widths.len() > 1 { widths } else { &[1, 1] };
        let keys = checks.key(key).split(widths.len() - 1);
        let mut layers = Vec::with_capacity(keys.len());
        for (key, w) in keys.iter().zip(widths.windows(2)) {
            layers.push(Linear::init(key, w[0], w[1]));
        }
        Mlp { layers, act }
    }

    /// `[.., inputs]` to `[.., outputs]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let mut h = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            h = layer.forward(&if i > 0 { self.act.apply(&h) } else { h });
        }
        h
    }
}
