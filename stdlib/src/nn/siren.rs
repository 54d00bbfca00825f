//! Networks of sines.

use super::Linear;
use super::initial::scaled_uniform;
use crate::checks::Checks;
use gradloom_frontend::random::Key;
use gradloom_frontend::{Tensor, Tree};

/// What a [`Siren`] is made by.
#[derive(Clone, Debug, PartialEq)]
pub struct SirenConfig {
    /// Coordinates.
    pub inputs: usize,
    /// Widths of the layers of sines.
    pub hidden: Vec<usize>,
    /// Values.
    pub outputs: usize,
    /// ω_0 of the first layer: the frequencies to begin with.
    pub first_omega: f64,
    /// ω_0 of the others.
    pub omega: f64,
}

impl SirenConfig {
    /// Both ω_0 are 30.
    pub fn new(inputs: usize, hidden: impl Into<Vec<usize>>, outputs: usize) -> SirenConfig {
        SirenConfig { inputs, hidden: hidden.into(), outputs, first_omega: 30.0, omega: 30.0 }
    }
}

/// h_0 = x, h_i = sin(ω_0 (h_(i-1) w_i + b_i)), and a last layer without a sine (Sitzmann et al. 2020).
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::nn::{Siren, SirenConfig};
/// let field = Siren::init(&Key::new(0), SirenConfig::new(2, [32, 32], 1));
/// assert_eq!(field.forward(&Tensor::ones([5, 2])).shape(), [5, 1]);
/// ```
#[derive(Tree, Clone)]
pub struct Siren {
    /// The layers of sines.
    pub hidden: Vec<Linear>,
    /// The last layer.
    pub out: Linear,
    /// ω_0 of the first layer and of the others.
    #[tree(skip)]
    pub omegas: [f64; 2],
}

impl Siren {
    /// The first layer's weights are uniform within 1 / n, the others' within √(6 / n) / ω_0, for n inputs of the layer, so
    /// that what enters every sine has variance 1; biases within 1 / √n.
    #[track_caller]
    pub fn init(key: &Key, config: SirenConfig) -> Siren {
        let SirenConfig { inputs, hidden, outputs, first_omega, omega } = config;
        let positive = first_omega > 0.0 && omega > 0.0 && first_omega.is_finite() && omega.is_finite();
        let checks = Checks::of("Siren")
            .size("inputs", inputs)
            .size("outputs", outputs)
            .that(!hidden.is_empty() && !hidden.contains(&0), || format!("hidden widths {hidden:?} make no layers"))
            .that(positive, || format!("ω_0 of {first_omega} and {omega} must be positive"));
        let keys = checks.key(key).split(hidden.len() + 1);
        let widths: Vec<usize> = [inputs].into_iter().chain(hidden).chain([outputs]).collect();
        let mut layers = Vec::with_capacity(keys.len());
        for (i, (key, w)) in keys.iter().zip(widths.windows(2)).enumerate() {
            let n = w[0].max(1) as f64;
            let bound = if i == 0 { 1.0 / n } else { (6.0 / n).sqrt() / omega };
            let keys = key.split(2);
            let weights = scaled_uniform(&keys[0], [w[0], w[1]], bound);
            layers.push(Linear { w: weights, b: Some(scaled_uniform(&keys[1], [w[1]], 1.0 / n.sqrt())) });
        }
        let out = layers.remove(layers.len() - 1);
        Siren { hidden: layers, out, omegas: [first_omega, omega] }
    }

    /// `[.., inputs]` to `[.., outputs]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let mut h = x.clone();
        for (i, layer) in self.hidden.iter().enumerate() {
            h = (layer.forward(&h) * self.omegas[i.min(1)]).sin();
        }
        self.out.forward(&h)
    }
}
