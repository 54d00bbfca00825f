//! Elementwise nonlinearities, as functions and as the choice [`Act`] that layers keep.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::nn::{Act, relu};
//! let x = Tensor::from([-1.0f32, 2.0]);
//! assert_eq!(relu(&x).to_vec::<f32>()?, [0.0, 2.0]);
//! assert_eq!(Act::Relu.apply(&x).to_vec::<f32>()?, [0.0, 2.0]);
//! # Ok::<(), gradloom::Error>(())
//! ```

use gradloom_frontend::{Operand, Tensor};

/// Scale and slope of [`selu`], which keep mean 0 and variance 1 over layers.
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

macro_rules! activations {
    ($($(#[$doc:meta])* $variant:ident $name:ident |$x:ident| $body:expr;)*) => {
        $(
            $(#[$doc])*
            #[track_caller]
            pub fn $name($x: &Tensor) -> Tensor {
                $body
            }
        )*

        /// An activation as a value: what a layer keeps beside its weights.
        #[derive(Clone, Copy, Debug, Default)]
        pub enum Act {
            $(
                #[doc = concat!("[`", stringify!($name), "`]")]
                $variant,
            )*
            /// x
            #[default]
            Identity,
            /// A function of your own; two models count as one structure only if they have the same function.
            Custom(fn(&Tensor) -> Tensor),
        }

        impl Act {
            /// The activations that have a name.
            pub const ALL: &[(&str, Act)] = &[$((stringify!($name), Act::$variant)),*];

            /// The activation of `x`.
            #[track_caller]
            pub fn apply(&self, x: &Tensor) -> Tensor {
                match self {
                    $(Act::$variant => $name(x),)*
                    Act::Identity => x.clone(),
                    Act::Custom(f) => f(x),
                }
            }
        }
    };
}
activations! {
    /// max(x, 0), with derivative 0 at 0; NaN stays NaN.
    Relu relu |x| x.le(0.0).select(0.0, x);
    /// min(max(x, 0), 6) (Krizhevsky 2010), with derivative 0 at both ends.
    Relu6 relu6 |x| x.ge(6.0).select(6.0, relu(x));
    /// [`leaky_relu_by`] of slope 0.01.
    LeakyRelu leaky_relu |x| leaky_relu_by(x, 0.01);
    /// [`elu_by`] of α = 1.
    Elu elu |x| elu_by(x, 1.0);
    /// 1.0507 x for x > 0, 1.0507 · 1.6733 (eˣ - 1) below (Klambauer et al. 2017).
    Selu selu |x| elu_by(x, SELU_ALPHA) * SELU_SCALE;
    /// [`celu_by`] of α = 1.
    Celu celu |x| celu_by(x, 1.0);
    /// x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), the tanh form of x Φ(x) (Hendrycks and Gimpel 2016).
    Gelu gelu |x| {
        let inner = (x + x * x * x * 0.044715) * (2.0 / std::f64::consts::PI).sqrt();
        x * ((inner.tanh() + 1.0) * 0.5)
    };
    /// x Φ(x), with the distribution function Φ of the standard normal distribution (Hendrycks and Gimpel 2016).
    GeluExact gelu_exact |x| x * ((x * -std::f64::consts::FRAC_1_SQRT_2).erfc() * 0.5);
    /// x / (1 + e⁻ˣ), also called swish (Elfwing et al. 2017).
    Silu silu |x| x * x.sigmoid();
    /// x tanh(ln(1 + eˣ)) (Misra 2019).
    Mish mish |x| x * softplus(x).tanh();
    /// ln(1 + eˣ)
    Softplus softplus |x| {
        // -|x|, in two branches so that all derivatives exist at 0 too
        let positive = x.gt(0.0);
        positive.select(x, 0.0) + positive.select(-x, x).exp().log1p()
    };
    /// x / (1 + |x|)
    SoftSign soft_sign |x| x / (x.abs() + 1.0);
    /// (x + √(x² + 4)) / 2 (Barron 2021).
    Squareplus squareplus |x| (x + (x.square() + 4.0).sqrt()) * 0.5;
    /// tanh x
    Tanh tanh |x| x.tanh();
    /// x between -1 and 1.
    HardTanh hard_tanh |x| x.gt(1.0).select(1.0, x.lt(-1.0).select(-1.0, x));
    /// 1 / (1 + e⁻ˣ)
    Sigmoid sigmoid |x| x.sigmoid();
    /// -ln(1 + e⁻ˣ)
    LogSigmoid log_sigmoid |x| -softplus(&-x);
    /// min(max(x + 3, 0), 6) / 6
    HardSigmoid hard_sigmoid |x| relu6(&(x + 3.0)) / 6.0;
    /// x min(max(x + 3, 0), 6) / 6, also called hard swish (Howard et al. 2019).
    HardSilu hard_silu |x| x * hard_sigmoid(x);
    /// x where |x| > 1/2, else 0.
    HardShrink hard_shrink |x| x.abs().le(0.5).select(0.0, x);
    /// x drawn towards 0 by 1/2: x - 1/2 above 1/2, x + 1/2 below -1/2, 0 between (Donoho 1995).
    SoftShrink soft_shrink |x| x - hard_tanh(&(x * 2.0)) * 0.5;
    /// x - tanh x
    TanhShrink tanh_shrink |x| x - x.tanh();
    /// max(x, 0)² (So et al. 2021).
    ReluSquared relu_squared |x| relu(x).square();
    /// sin x
    Sin sin |x| x.sin();
    /// e^(-x²)
    Gaussian gaussian |x| (-x.square()).exp();
}

/// x for x > 0, `slope` x below (Maas et al. 2013). The slope may be a trained tensor that broadcasts, as in PReLU (He et
/// al. 2015).
#[track_caller]
pub fn leaky_relu_by(x: &Tensor, slope: impl Operand) -> Tensor {
    x.ge(0.0).select(x, x * slope)
}

/// x for x > 0, α (eˣ - 1) below (Clevert et al. 2016).
#[track_caller]
pub fn elu_by(x: &Tensor, alpha: f64) -> Tensor {
    let positive = x.gt(0.0);
    // of the side not taken a value whose exponential is finite
    positive.select(x, positive.select(0.0, x).expm1() * alpha)
}

/// x for x > 0, α (e^(x/α) - 1) below, which has a continuous derivative (Barron 2017).
#[track_caller]
pub fn celu_by(x: &Tensor, alpha: f64) -> Tensor {
    elu_by(&(x / alpha), 1.0) * alpha
}

/// a σ(b) for the halves a, b of an axis, which must have an even length (Dauphin et al. 2017).
#[track_caller]
pub fn glu(x: &Tensor, axis: i64) -> Tensor {
    let halves = x.split(2, axis);
    &halves[0] * halves[1].sigmoid()
}
