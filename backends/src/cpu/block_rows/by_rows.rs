//! The table: which ops treat rows alike, and what they are on a block of rows.
//!
//! An array has `rows` rows if its first axes, multiplied, are as many: they count as one axis, of which a block has a
//! part.

use gradloom_ir::{Graph, Node, Op, Shape};
use smallvec::{SmallVec, smallvec};

/// A matrix every block reads whole is not larger than this, as products lay it out anew for each block.
const MAX_WHOLE_MATRIX: usize = 1 << 14;

/// How an op on a block reads an operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// The same rows.
    Rows,
    /// All of it, without its first axes, as many as this, which have length 1.
    Whole(usize),
}

/// How many axes make up the rows.
pub(super) fn row_axes(shape: &[usize], rows: usize) -> Option<usize> {
    let mut product = 1;
    for (k, &n) in shape.iter().enumerate() {
        product *= n;
        if product == rows {
            return Some(k + 1);
        }
        if product > rows || product == 0 {
            return None;
        }
    }
    None
}

/// The shape of a block of an array whose rows are its first `k` axes.
pub(super) fn block_shape(shape: &[usize], k: usize, block: usize) -> Shape {
    [block].into_iter().chain(shape[k..].iter().copied()).collect()
}

/// The node's op on a block, if it computes each row from the same row of its operands, and how it uses them.
pub(super) fn by_rows(g: &Graph, node: &Node, rows: usize, block: usize) -> Option<(Op, SmallVec<[Use; 4]>)> {
    let shape_of = |i: usize| &g.ty(node.args[i]).shape[..];
    let result = &g.ty(*node.results.first()?).shape;
    let k = row_axes(result, rows)?;
    // an axis after the rows, in a block
    let moved = |axis: usize| axis + 1 - k;
    let inner = |axes: &[usize]| axes.iter().all(|&a| a >= k);
    let moved_all = |axes: &[usize]| -> Shape { axes.iter().map(|&a| moved(a)).collect() };
    let alike: SmallVec<[Use; 4]> = SmallVec::from_elem(Use::Rows, node.args.len());
    let same_shape = || (0..node.args.len()).all(|i| shape_of(i) == &result[..]);
    let same_rows = || (0..node.args.len()).all(|i| shape_of(i).get(..k) == Some(&result[..k]));
    let op = match &node.op {
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select {}
        | Op::Convert { .. }
        | Op::Bitcast { .. }
        | Op::Threefry { .. }
            if same_shape() =>
        {
            node.op.clone()
        }
        Op::Iota { dtype, axis, .. } if *axis >= k => {
            Op::Iota { dtype: *dtype, shape: block_shape(result, k, block), axis: moved(*axis) }
        }
        Op::Broadcast { dims, .. } => return broadcast(shape_of(0), result, dims, k, block),
        Op::Transpose { perm } if perm[..k].iter().enumerate().all(|(i, &p)| i == p) => {
            Op::Transpose { perm: [0].into_iter().chain(perm[k..].iter().map(|&p| moved(p))).collect() }
        }
        Op::Slice { start, limit, stride } => {
            let from = shape_of(0);
            let all = (0..k).all(|a| (start[a], limit[a], stride[a]) == (0, from[a], 1));
            let tail =
                |first: usize, of: &[usize]| -> Shape { [first].into_iter().chain(of[k..].iter().copied()).collect() };
            all.then(|| Op::Slice { start: tail(0, start), limit: tail(block, limit), stride: tail(1, stride) })?
        }
        Op::Reverse { axes } if inner(axes) => Op::Reverse { axes: moved_all(axes) },
        Op::Reshape { .. } => {
            row_axes(shape_of(0), rows)?;
            Op::Reshape { shape: block_shape(result, k, block) }
        }
        Op::Reduce { kind, axes } if inner(axes) && same_rows() => Op::Reduce { kind: *kind, axes: moved_all(axes) },
        Op::ArgReduce { kind, axis } if *axis >= k && same_rows() => Op::ArgReduce { kind: *kind, axis: moved(*axis) },
        Op::Cumulative { kind, axis, reverse } if *axis >= k => {
            Op::Cumulative { kind: *kind, axis: moved(*axis), reverse: *reverse }
        }
        Op::Sort { axis, num_keys } if *axis >= k => Op::Sort { axis: moved(*axis), num_keys: *num_keys },
        Op::Concatenate { axis } if *axis >= k => Op::Concatenate { axis: moved(*axis) },
        Op::Pad { low, high, interior } => {
            if (0..k).any(|a| (low[a], high[a], interior[a]) != (0, 0, 0)) {
                return None;
            }
            let tail = |of: &[i64]| [0].into_iter().chain(of[k..].iter().copied()).collect();
            let interior = [0].into_iter().chain(interior[k..].iter().copied()).collect();
            let op = Op::Pad { low: tail(low), high: tail(high), interior };
            return Some((op, smallvec![Use::Rows, Use::Whole(0)]));
        }
        Op::Fft { lengths, .. } if result.len() - lengths.len() >= k && same_rows() => node.op.clone(),
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
            let leads = |axes: &[usize]| axes.len() >= k && axes[..k].iter().enumerate().all(|(i, &a)| i == a);
            let batch =
                |axes: &[usize]| -> Shape { [0].into_iter().chain(axes[k..].iter().map(|&a| moved(a))).collect() };
            if leads(lhs_batch) && leads(rhs_batch) {
                Op::DotGeneral {
                    lhs_batch: batch(lhs_batch),
                    rhs_batch: batch(rhs_batch),
                    lhs_contract: moved_all(lhs_contract),
                    rhs_contract: moved_all(rhs_contract),
                }
            } else {
                let small = g.ty(node.args[1]).bytes() <= MAX_WHOLE_MATRIX;
                let rows_are_free = lhs_batch.is_empty() && inner(lhs_contract) && same_rows_of(shape_of(0), result, k);
                if !small || !rows_are_free {
                    return None;
                }
                let op = Op::DotGeneral {
                    lhs_batch: Shape::new(),
                    rhs_batch: Shape::new(),
                    lhs_contract: moved_all(lhs_contract),
                    rhs_contract: rhs_contract.clone(),
                };
                return Some((op, smallvec![Use::Rows, Use::Whole(0)]));
            }
        }
        _ => return None,
    };
    Some((op, alike))
}

fn same_rows_of(shape: &[usize], result: &[usize], k: usize) -> bool {
    shape.get(..k) == Some(&result[..k])
}

/// A broadcast along axes after the rows, or of one row to all.
fn broadcast(
    from: &[usize],
    result: &[usize],
    dims: &[usize],
    k: usize,
    block: usize,
) -> Option<(Op, SmallVec<[Use; 4]>)> {
    let shape = block_shape(result, k, block);
    // dims ascend or not; those that lead to rows must be the operand's first
    let leading = dims.iter().take_while(|&&d| d < k).count();
    if dims[leading..].iter().any(|&d| d < k) {
        return None;
    }
    let rest = dims[leading..].iter().map(|&d| d + 1 - k);
    if leading == k && from[..k] == result[..k] && dims[..k].iter().enumerate().all(|(i, &d)| i == d) {
        let dims = [0].into_iter().chain(rest).collect();
        return Some((Op::Broadcast { shape, dims }, smallvec![Use::Rows]));
    }
    let one_row = from[..leading].iter().all(|&n| n == 1);
    one_row.then(|| (Op::Broadcast { shape, dims: rest.collect() }, smallvec![Use::Whole(leading)]))
}
