//! Convolutions over 1 to 3 spatial axes, channels last: `[batch, spatial.., channels]`.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::nn::{Convolution, ConvConfig, Pad, TransposedConvolution};
//! let key = Key::new(0);
//! let images = Tensor::ones([2, 8, 8, 3]);
//! let down = Convolution::init(&key, ConvConfig::new([3, 3], 3, 16).strides([2]).padding(Pad::Same));
//! let y = down.forward(&images);
//! assert_eq!(y.shape(), [2, 4, 4, 16]);
//! let up = TransposedConvolution::init(&key, ConvConfig::new([4, 4], 16, 3).strides([2]).padding(Pad::Same));
//! assert_eq!(up.forward(&y).shape(), images.shape());
//! let depthwise = Convolution::init(&key, ConvConfig::new([5, 5], 3, 3).groups(3).padding(Pad::Circular));
//! assert_eq!(depthwise.forward(&images).shape(), images.shape());
//! ```

use super::initial::lecun_normal;
use super::linear::add_bias;
use crate::checks::Checks;
use gradloom_frontend::random::Key;
use gradloom_frontend::{Conv, PadMode, Padding, Tensor, Tree};

/// Longest window, stride, dilation and padding: what keeps positions within 64 bits.
const MOST: usize = 1 << 20;

/// What stands around the spatial axes before the window slides over them.
#[derive(Clone, Debug, PartialEq, Default, Hash)]
pub enum Pad {
    /// Nothing: the window stays within the input.
    #[default]
    Valid,
    /// Zeros, so that the result has `ceil(length / stride)` elements; an odd rest goes to the end.
    Same,
    /// Zeros in front only, so that a result sees nothing after its place.
    Causal,
    /// The other end of the axis, as much as [`Pad::Same`] at stride 1: the axes are periodic.
    Circular,
    /// The axis mirrored at its first and last element, as much as [`Pad::Same`] at stride 1.
    Reflect,
    /// This many zeros before and after each spatial axis.
    Explicit(Vec<(usize, usize)>),
}

/// What a convolution is made by: the window's lengths (one a spatial axis), the numbers of channels, and how the window
/// slides. Where a list has one entry it counts for all axes.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct ConvConfig {
    window: Vec<usize>,
    inputs: usize,
    outputs: usize,
    strides: Vec<usize>,
    dilation: Vec<usize>,
    groups: usize,
    padding: Pad,
    bias: bool,
}

impl ConvConfig {
    /// A window that steps by 1 over nothing but the input, without dilation, in one group, with a bias.
    pub fn new(window: impl Into<Vec<usize>>, inputs: usize, outputs: usize) -> ConvConfig {
        let window = window.into();
        ConvConfig {
            window,
            inputs,
            outputs,
            strides: vec![1],
            dilation: vec![1],
            groups: 1,
            padding: Pad::Valid,
            bias: true,
        }
    }

    /// Steps of the window (for a transposed convolution, of the output under the input).
    pub fn strides(mut self, strides: impl Into<Vec<usize>>) -> ConvConfig {
        self.strides = strides.into();
        self
    }

    /// What stands around the input.
    pub fn padding(mut self, padding: Pad) -> ConvConfig {
        self.padding = padding;
        self
    }

    /// Steps between the elements of the window (Yu and Koltun 2016).
    pub fn dilation(mut self, dilation: impl Into<Vec<usize>>) -> ConvConfig {
        self.dilation = dilation.into();
        self
    }

    /// Groups of channels that do not mix; as many as inputs for a depthwise convolution.
    pub fn groups(mut self, groups: usize) -> ConvConfig {
        self.groups = groups;
        self
    }

    /// Without b.
    pub fn unbiased(mut self) -> ConvConfig {
        self.bias = false;
        self
    }

    #[track_caller]
    fn checks(&self, op: &'static str) -> Checks {
        let n = self.window.len();
        let bounded = |list: &[usize]| list.iter().all(|n| (1..=MOST).contains(n));
        let fits = |list: &[usize]| (list.len() == 1 || list.len() == n) && bounded(list);
        let pads = match &self.padding {
            Pad::Explicit(widths) => widths.len() == n && widths.iter().all(|w| w.0.max(w.1) <= MOST),
            _ => true,
        };
        Checks::of(op)
            .that((1..=3).contains(&n), || format!("a window of {n} axes, there are convolutions over 1 to 3"))
            .that(bounded(&self.window), || format!("the window {:?} has lengths out of 1..={MOST}", self.window))
            .size("inputs", self.inputs)
            .size("outputs", self.outputs)
            .size("groups", self.groups)
            .that(fits(&self.strides), || format!("strides {:?} do not fit {n} spatial axes", self.strides))
            .that(fits(&self.dilation), || format!("dilation {:?} does not fit {n} spatial axes", self.dilation))
            .that(pads, || format!("padding {:?} does not fit {n} spatial axes", self.padding))
    }

    /// The kernel's shape.
    fn kernel(&self) -> Vec<usize> {
        let channels = [self.inputs / self.groups.max(1), self.outputs];
        self.window.iter().copied().chain(channels).collect()
    }

    /// How far the window reaches beyond its first element, along each axis.
    fn reach(&self) -> Vec<usize> {
        let dilation = |i: usize| self.dilation.get(i).or(self.dilation.first()).copied().unwrap_or(1);
        self.window.iter().enumerate().map(|(i, n)| n.saturating_sub(1).saturating_mul(dilation(i))).collect()
    }

    /// The input with what stands around it, where that is no matter of the window; and how the window slides over it.
    #[track_caller]
    fn padded(&self, x: &Tensor) -> (Tensor, Conv) {
        let conv = Conv::new().strides(&self.strides[..]).dilation(&self.dilation[..]).groups(self.groups);
        let reach = self.reach();
        let zeros = |widths: Vec<(i64, i64)>| (x.clone(), conv.clone().padding(Padding::Explicit(widths)));
        match &self.padding {
            Pad::Valid => (x.clone(), conv),
            Pad::Same => (x.clone(), conv.padding(Padding::Same)),
            Pad::Causal => zeros(reach.iter().map(|&r| (r as i64, 0)).collect()),
            Pad::Explicit(widths) => zeros(widths.iter().map(|&(low, high)| (low as i64, high as i64)).collect()),
            Pad::Circular => (around(x, &halves(&reach), PadMode::Wrap), conv),
            Pad::Reflect => (around(x, &halves(&reach), PadMode::Reflect), conv),
        }
    }
}

/// What [`Pad::Same`] puts before and after an axis at stride 1.
fn halves(reach: &[usize]) -> Vec<(usize, usize)> {
    reach.iter().map(|r| (r / 2, r - r / 2)).collect()
}

/// The spatial axes padded from their own elements.
#[track_caller]
fn around(x: &Tensor, widths: &[(usize, usize)], mode: PadMode) -> Tensor {
    let all: Vec<(usize, usize)> = [(0, 0)].into_iter().chain(widths.iter().copied()).chain([(0, 0)]).collect();
    x.pad_with(&all, mode)
}

/// y = x ⋆ w + b: the cross-correlation with a window, in which channels of one group mix.
#[derive(Tree, Clone)]
pub struct Convolution {
    /// `[window.., inputs / groups, outputs]`
    pub w: Tensor,
    /// `[outputs]`
    pub b: Option<Tensor>,
    /// How the window slides.
    #[tree(skip)]
    pub config: ConvConfig,
}

impl Convolution {
    /// Weights by [`lecun_normal`], bias 0.
    #[track_caller]
    pub fn init(key: &Key, config: ConvConfig) -> Convolution {
        let (groups, inputs, outputs) = (config.groups.max(1), config.inputs, config.outputs);
        let checks = config
            .checks("Convolution")
            .that(inputs.is_multiple_of(groups), || format!("{groups} groups do not divide {inputs} inputs"))
            .that(outputs.is_multiple_of(groups), || format!("{groups} groups do not divide {outputs} outputs"));
        let w = lecun_normal(&checks.key(key), config.kernel());
        Convolution { w, b: config.bias.then(|| Tensor::zeros([outputs])), config }
    }

    /// `[batch, spatial.., inputs]` to `[batch, spatial'.., outputs]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (x, conv) = self.config.padded(x);
        add_bias(x.conv(&self.w, &conv), self.b.as_ref())
    }
}

/// The upsampling convolution: each element of x spreads a window, `strides` apart, and these add up (Zeiler et al. 2010).
/// The kernel is flipped as in a convolution. [`Pad::Same`] and [`Pad::Circular`] give `length · stride` elements,
/// [`Pad::Valid`] all those that any element of x reaches.
#[derive(Tree, Clone)]
pub struct TransposedConvolution {
    /// `[window.., inputs, outputs]`
    pub w: Tensor,
    /// `[outputs]`
    pub b: Option<Tensor>,
    /// How the window slides.
    #[tree(skip)]
    pub config: ConvConfig,
}

impl TransposedConvolution {
    /// Weights by [`lecun_normal`], bias 0. There are no groups, and padding is valid, same or circular.
    #[track_caller]
    pub fn init(key: &Key, config: ConvConfig) -> TransposedConvolution {
        let known = matches!(config.padding, Pad::Valid | Pad::Same | Pad::Circular);
        let checks = config
            .checks("TransposedConvolution")
            .that(config.groups == 1, || "channels of a transposed convolution form one group".to_string())
            .that(known, || format!("padding {:?} has no meaning, use Valid, Same or Circular", config.padding));
        let w = lecun_normal(&checks.key(key), config.kernel());
        TransposedConvolution { w, b: config.bias.then(|| Tensor::zeros([config.outputs])), config }
    }

    /// `[batch, spatial.., inputs]` to `[batch, spatial'.., outputs]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let conv = Conv::new().strides(&self.config.strides[..]).dilation(&self.config.dilation[..]);
        let y = match self.config.padding {
            Pad::Same => x.conv_transpose(&self.w, &conv.padding(Padding::Same)),
            Pad::Circular => self.periodic(x, &conv.padding(Padding::Same)),
            _ => x.conv_transpose(&self.w, &conv),
        };
        add_bias(y, self.b.as_ref())
    }

    /// One period of the result for an input continued periodically by as much as the window can reach.
    #[track_caller]
    fn periodic(&self, x: &Tensor, conv: &Conv) -> Tensor {
        let reach = self.config.reach();
        let widths: Vec<(usize, usize)> = reach.iter().map(|&r| (r, r)).collect();
        let mut y = around(x, &widths, PadMode::Wrap).conv_transpose(&self.w, conv);
        for (i, &r) in reach.iter().enumerate() {
            let stride = self.config.strides.get(i).or(self.config.strides.first()).copied().unwrap_or(1);
            y = y.slice_axis(i + 1, r * stride, (r + x.dim(i as i64 + 1)) * stride);
        }
        y
    }
}
