//! Layouts: convolutions compute with channels last.

use crate::manager::Changed;
use crate::sink_transposes::{Kept, Sinking, sink};
use gradloom_ir::{Graph, Node, Op, Result, Shape, Value};

/// Channels from which on it matters where they are: a vector's worth of them is then read at once.
const CHANNELS: usize = 8;

/// Turns convolutions of images with channels in front, as PyTorch has them, into convolutions with channels last, which
/// processors read whole vectors of.
///
/// A convolution whose features are not the last axis of its result, and whose result is no smaller than its window (an
/// image, not a kernel's gradient), computes one with features last and transposes it; the same for its image. The
/// transpositions sink as in [`crate::sink_transposes`], until they meet those of the next convolution.
///
/// **Ensures** the same results, up to the order in which a convolution or reduction sums. **Never** leaves a transposition
/// where there was none unless a convolution gained by it.
pub fn choose_layouts(g: &mut Graph) -> Result<Changed> {
    if !g.nodes().iter().any(|n| matches!(n.op, Op::Convolution { .. })) {
        return Ok(Changed::No);
    }
    sink(g, true)
}

impl Sinking<'_> {
    /// A convolution takes transpositions of its operands up, and gets channels last where that is asked for.
    pub(crate) fn convolution(&mut self, node: &Node) -> Result<Option<Kept>> {
        let mut op = node.op.clone();
        let Op::Convolution { lhs_dims, rhs_dims, out_dims, .. } = &mut op else { return Ok(None) };
        let rank = lhs_dims.len();
        let last: Shape = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        let [lhs, rhs] = [node.args[0], node.args[1]];
        // the spatial axes of an image are longer than those of its window
        let spatial = |v: Value, dims: &Shape| dims[2..].iter().map(|&d| self.g.ty(v).shape[d]).product::<usize>();
        let image = rank > 2 && spatial(node.results[0], out_dims) >= spatial(rhs, rhs_dims);
        let image = image && self.channels_last;
        let channels = |v: Value, dims: &Shape| self.g.ty(v).shape[dims[1]] >= CHANNELS;
        let turns = image && channels(node.results[0], out_dims) && out_dims[1] != rank - 1;
        let (mut args, mut groups) = ([Value::from_index(0); 2], Vec::new());
        for (to, (v, dims)) in args.iter_mut().zip([(lhs, &mut *lhs_dims), (rhs, &mut *rhs_dims)]) {
            let kept = self.turned_or_straight(v);
            if let Some(perm) = kept.perm() {
                dims.iter_mut().for_each(|d| *d = perm[*d]);
            }
            groups.extend(kept.group());
            *to = kept.base;
        }
        if image && self.b.ty(args[0]).shape[lhs_dims[1]] >= CHANNELS && lhs_dims[1] != rank - 1 {
            // where each axis of the image with channels last comes from
            let mut from: Shape = (0..rank).collect();
            last.iter().zip(lhs_dims.iter()).for_each(|(&to, &d)| from[to] = d);
            args[0] = self.b.transpose(args[0], &from);
            lhs_dims.clone_from(&last);
        }
        let mut perm: Shape = (0..rank).collect();
        if turns {
            out_dims.iter().zip(&last).for_each(|(&d, &l)| perm[d] = l);
            out_dims.clone_from(&last);
            groups.push(self.groups.paying());
        }
        let group = self.groups.join(groups);
        Ok(Some(Kept::turned(self.emit(op, &args)?, perm, group)))
    }
}
