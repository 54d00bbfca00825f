//! Weights of 8 bits, for inference.

use crate::checks::{checked, require};
use gradloom_frontend::{DType, Tensor, Tree};

/// A tree whose matrices are integers of 8 bits with a scale for each channel. See [`quantize`].
#[derive(Tree, Clone)]
pub struct Quantized<P> {
    /// The tree; leaves with a scale are i8.
    pub values: P,
    /// A scale for each leaf that has one, in order: as many axes as the leaf, of length 1 but for that of the channels.
    pub scales: Vec<Option<Tensor>>,
}

/// Rounds the weights of a model to 8 bits, symmetrically, one scale `s_c = max |w_c| / 127` for each position `c` along the
/// last axis, which is that of the outputs in all layers here: `q = round(w / s_c)`, so that `|w - q s_c| <= s_c / 2`. f32
/// leaves with two axes or more are rounded, all others stay.
///
/// In the function that uses them, [`Quantized::dequantize`] gives the model back. What is compiled reads the integers:
/// products of matrices apply the scale to their result, so that no f32 copy of a weight is made, except before loops.
/// A channel that holds an infinity or NaN is NaN.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::nn::{Act, Mlp, Quantized, quantize};
/// let net = Mlp::init(&Key::new(0), &[64, 128, 10], Act::Relu);
/// let small = quantize(&net);
/// assert_eq!(small.values.layers[0].w.dtype(), DType::I8);
/// let predict = jit(|(net, x): &(Quantized<Mlp>, Tensor)| net.dequantize().forward(x));
/// let x = random::normal(&Key::new(1), [5, 64]);
/// let off = (predict.call(&(small, x.clone()))? - net.forward(&x)).abs().max(..);
/// assert!(off.item::<f32>()? < 0.05);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn quantize<P: Tree>(params: &P) -> Quantized<P> {
    quantize_with(params, |_, w| (w.dtype() == DType::F32 && w.ndim() >= 2).then_some(-1))
}

/// [`quantize`], where `channels(path, leaf)` gives the axis of a leaf's channels (negative from the back), and `None` for
/// leaves that stay as they are.
///
/// A leaf that is not f32, or has no such axis, becomes an error.
#[track_caller]
pub fn quantize_with<P: Tree>(params: &P, channels: impl Fn(&str, &Tensor) -> Option<i64>) -> Quantized<P> {
    let mut scales = Vec::new();
    let mut paths = params.paths().into_iter();
    let values = params.map_leaves(&mut |w| {
        let path = paths.next().unwrap_or_default();
        let (q, s) = match channels(&path, w) {
            Some(axis) => rounded(w, &path, axis),
            None => (w.clone(), None),
        };
        scales.push(s);
        q
    });
    Quantized { values, scales }
}

/// The integers and the scales of one leaf.
#[track_caller]
fn rounded(w: &Tensor, path: &str, axis: i64) -> (Tensor, Option<Tensor>) {
    let rank = w.ndim() as i64;
    let at = if axis < 0 { axis + rank } else { axis };
    let check = w.check().and_then(|()| {
        let fits = w.dtype() == DType::F32 && (0..rank).contains(&at);
        require("quantize", fits, || format!("leaf `{path}` is {}: it is no f32 array with an axis {axis}", w.ty()))
    });
    if check.is_err() {
        return (checked(w, check), None);
    }
    if w.size() == 0 {
        return (w.clone(), None);
    }
    let others: Vec<i64> = (0..rank).filter(|&a| a != at).collect();
    let most = w.abs().max_keepdims(others);
    let scale = most.eq(0.0).select(1.0, most / 127.0);
    ((w / &scale).round().to(DType::I8), Some(scale))
}

impl<P: Tree> Quantized<P> {
    /// The tree in f32, its rounded leaves `q s`.
    #[track_caller]
    pub fn dequantize(&self) -> P {
        let mut scales = self.scales.iter();
        self.values.map_leaves(&mut |q| match scales.next() {
            Some(Some(s)) => q.to(DType::F32) * s,
            _ => q.clone(),
        })
    }
}
