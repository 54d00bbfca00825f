//! Weights of 8 bits.

use crate::PassContext;
use crate::manager::{Changed, Pass, replace, rewrite_nodes};
use gradloom_ir::{DType, Graph, Literal, Node, Op, Result, Shape, row_major_strides};

/// Stores the weights in a program as integers of 8 bits, each channel `c` of the result with a scale in f32:
/// `q = round(w / s_c)` with `s_c = max |w_c| / 127`, so that `|w - q s_c| <= s_c / 2`. For inference: what was stored
/// takes a quarter of the memory.
///
/// A weight is an f32 constant of at least `least` elements and two axes that nothing reads but products, convolutions (as
/// their filters) and gathers; a channel is a position along the axes that these neither contract nor index. Of weights
/// that several ops read, all must leave the same axes, or contract all of them.
///
/// **Ensures** that such a constant is `convert(q) * s`; the simplifier applies `s` after the product, which then reads
/// `q`. **Never** changes inputs: tensors that a function captures are such, unless they were made constants.
///
/// A channel that holds an infinity or NaN is NaN. Weights in loops become f32 again, once, before the loop.
///
/// ```
/// use gradloom_passes::{Pipeline, QuantizeWeights};
/// let mut g = gradloom_ir::parse("graph(%0: f32[1,3]) {
///     %1 = constant() {value = dense<[1.0, 0.5, -2.0, 0.0, 0.25, 2.0] : f32[3,2]>} : f32[3,2]
///     %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[1,2]
///     return %2
/// }")?;
/// Pipeline::empty().push(QuantizeWeights { least: 6 }).run(&mut g)?;
/// assert!(g.to_string().contains("dense<[64, 32, -127, 0, 16, 127] : i8[3,2]>"), "{g}");
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuantizeWeights {
    /// Constants of fewer elements stay as they are.
    pub least: usize,
}

impl Default for QuantizeWeights {
    fn default() -> QuantizeWeights {
        QuantizeWeights { least: 1024 }
    }
}

impl Pass for QuantizeWeights {
    fn name(&self) -> &str {
        "quantize_weights"
    }

    fn run(&self, g: &mut Graph, _: &mut PassContext) -> Result<Changed> {
        let channels: Vec<Option<Shape>> = g.nodes().iter().map(|n| self.channels(g, n)).collect();
        if channels.iter().all(Option::is_none) {
            return Ok(Changed::No);
        }
        let new = rewrite_nodes(g, |b, i, node, _| {
            let (Op::Constant { value }, Some(channels)) = (&node.op, &channels[i]) else { return Ok(None) };
            let [q, s] = quantized(value, channels).map(|x| b.literal(x));
            let q = b.convert(q, DType::F32);
            let s = b.broadcast(s, &value.ty().shape, channels);
            Ok(Some([b.mul(q, s)].into_iter().collect()))
        })?;
        Ok(replace(g, new))
    }
}

impl QuantizeWeights {
    /// The axes of a weight along which it has channels; `None` of other nodes.
    fn channels(&self, g: &Graph, node: &Node) -> Option<Shape> {
        let Op::Constant { value } = &node.op else { return None };
        let (ty, v) = (value.ty(), node.results[0]);
        if ty.dtype != DType::F32 || ty.rank() < 2 || ty.numel() < self.least || g.outputs().contains(&v) {
            return None;
        }
        let mut channels: Option<Shape> = None;
        for reader in g.nodes().iter().filter(|n| n.args.contains(&v)) {
            for side in (0..reader.args.len()).filter(|&i| reader.args[i] == v) {
                let kept = kept_axes(&reader.op, side, &ty.shape)?;
                let gone =
                    |axes: &Shape| matches!(reader.op, Op::DotGeneral { .. }) && !axes.iter().any(|a| kept.contains(a));
                match &channels {
                    None => channels = Some(kept),
                    Some(axes) if *axes == kept || gone(axes) => {}
                    Some(_) => return None,
                }
            }
        }
        channels
    }
}

/// The axes of operand `side`, an array of this shape, that are axes of the result; `None` if the op does more than
/// multiply the operand's elements or take them.
fn kept_axes(op: &Op, side: usize, shape: &[usize]) -> Option<Shape> {
    let but = |gone: &dyn Fn(usize) -> bool| Some((0..shape.len()).filter(|&a| !gone(a)).collect());
    match (op, side) {
        (Op::DotGeneral { lhs_contract, .. }, 0) => but(&|a| lhs_contract.contains(&a)),
        (Op::DotGeneral { rhs_contract, .. }, 1) => but(&|a| rhs_contract.contains(&a)),
        (Op::Convolution { rhs_dims, .. }, 1) => but(&|a| a != rhs_dims[0]),
        (Op::Gather { slice_sizes, collapsed_slice_dims, operand_batching_dims, .. }, 0) => but(&|a| {
            slice_sizes[a] != shape[a] || collapsed_slice_dims.contains(&a) || operand_batching_dims.contains(&a)
        }),
        _ => None,
    }
}

/// The integers, and the scales along the axes `channels`.
fn quantized(w: &Literal, channels: &[usize]) -> [Literal; 2] {
    let shape = &w.ty().shape;
    let kept: Shape = channels.iter().map(|&a| shape[a]).collect();
    let (strides, to) = (row_major_strides(shape), row_major_strides(&kept));
    let channel = |i: usize| channels.iter().zip(&to).map(|(&a, t)| i / strides[a] % shape[a] * t).sum::<usize>();
    let w: Vec<f32> = w.to_vec().unwrap_or_default();
    let mut scales = vec![0f32; kept.iter().product()];
    for (i, &x) in w.iter().enumerate() {
        let s = &mut scales[channel(i)];
        // NaN stays
        *s = if x.is_nan() || s.is_nan() { f32::NAN } else { s.max(x.abs()) };
    }
    for s in &mut scales {
        *s = if *s == 0.0 { 1.0 } else { *s / 127.0 };
    }
    let q = |(i, x): (usize, &f32)| (x / scales[channel(i)]).round_ties_even() as i8;
    let q: Vec<i8> = w.iter().enumerate().map(q).collect();
    [Literal::new(shape, &q), Literal::new(&kept, &scales)]
}
