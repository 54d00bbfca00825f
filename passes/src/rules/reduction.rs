//! Rules of reductions, running reductions, windows, sorting and all-reduces.

use super::indexing::{index_dtype, take_along};
use super::products::{product_tangent, running_product_tangent, shift};
use super::shaping::{prepend, prepend_shape, shifted};
use super::{BatchArgs, Maybe, Operand, misrouted, not_linear};
use gradloom_ir::{Builder, Comparison, Error, Op, ReduceKind, Result, Shape, Type, Value, Values, WindowGeometry};
use smallvec::{SmallVec, smallvec};

pub(super) fn jvp(b: &mut Builder, op: &Op, x: &[Value], y: &[Value], t: &[Option<Value>]) -> Result<Maybe> {
    if let Op::Sort { axis, num_keys } = op {
        return jvp_sort(b, *axis, *num_keys, x, t);
    }
    // the second operand of the select ops only chooses, and an empty array has no tangent
    let Some(t) = t[0].filter(|_| b.ty(x[0]).numel() > 0) else { return Ok(smallvec![None]) };
    let (key, x, y) = (x[x.len() - 1], x[0], y[0]);
    Ok(smallvec![match op {
        // linear: the op on x_dot
        Op::Reduce { kind: ReduceKind::Sum, .. }
        | Op::Cumulative { kind: ReduceKind::Sum, .. }
        | Op::ReduceWindow { kind: ReduceKind::Sum, .. }
        | Op::AllReduce { kind: ReduceKind::Sum, .. } => Some(b.op(op.clone(), &[t])),
        // linear in x: the same selection of x_dot
        Op::SelectAndGather { .. } | Op::SelectAndScatter { .. } => Some(b.op(op.clone(), &[t, key])),
        Op::Reduce { kind, axes } => jvp_reduce(b, *kind, axes, x, y, t),
        Op::Cumulative { kind, axis, reverse } => match kind {
            ReduceKind::Prod => Some(running_product_tangent(b, x, t, *axis, *reverse)),
            ReduceKind::Max | ReduceKind::Min => {
                let winner = running_winner(b, y, *axis, *reverse);
                Some(take_along(b, t, winner, *axis))
            }
            ReduceKind::Sum | ReduceKind::And | ReduceKind::Or => None,
        },
        Op::ReduceWindow { kind, .. } => jvp_reduce_window(b, op, *kind, x, t)?,
        Op::AllReduce { kind, axis_name } => match kind {
            // sum over the winners of x_dot / number of winners
            ReduceKind::Max | ReduceKind::Min => {
                let sum = Op::AllReduce { kind: ReduceKind::Sum, axis_name: axis_name.clone() };
                let (zero, one) = (b.full_like(x, 0.0), b.full_like(x, 1.0));
                let wins = b.compare(Comparison::Eq, x, y);
                let (of_winner, count) = (b.select(wins, t, zero), b.select(wins, one, zero));
                let (total, count) = (b.op(sum.clone(), &[of_winner]), b.op(sum, &[count]));
                Some(b.div(total, count))
            }
            ReduceKind::Prod => {
                let what = format!("a product over the mapped axis `{axis_name}` cannot be differentiated");
                return Err(Error::limit("all_reduce", what)
                    .help("return the factors from the mapped function and multiply them outside with a reduction"));
            }
            ReduceKind::Sum | ReduceKind::And | ReduceKind::Or => None,
        },
        _ => return misrouted(op),
    }])
}

/// Reductions of floats other than the sum.
fn jvp_reduce(b: &mut Builder, kind: ReduceKind, axes: &[usize], x: Value, y: Value, t: Value) -> Option<Value> {
    match kind {
        ReduceKind::Prod => Some(product_tangent(b, x, t, axes)),
        // the mean of x_dot over the winners
        ReduceKind::Max | ReduceKind::Min => {
            let ty = b.ty(x).clone();
            let kept: Shape = (0..ty.rank()).filter(|a| !axes.contains(a)).collect();
            let winner = b.broadcast(y, &ty.shape, &kept);
            let wins = b.compare(Comparison::Eq, x, winner);
            let (zero, one) = (b.full(&ty, 0.0), b.full(&ty, 1.0));
            let (of_winner, ones) = (b.select(wins, t, zero), b.select(wins, one, zero));
            let (total, count) = (b.sum(of_winner, axes), b.sum(ones, axes));
            Some(b.div(total, count))
        }
        ReduceKind::Sum | ReduceKind::And | ReduceKind::Or => None,
    }
}

/// For each place of a running maximum or minimum `y` the place its value came from: the latest at which it changed.
fn running_winner(b: &mut Builder, y: Value, axis: usize, reverse: bool) -> Value {
    let shape = b.ty(y).shape.clone();
    let dtype = index_dtype(shape[axis]);
    let before = shift(b, y, axis, 1, 0.0, reverse);
    let changed = b.compare(Comparison::Ne, y, before);
    // where nothing changed the first place in running order stands; it loses against every other
    let place = b.iota(dtype, &shape, axis);
    let first = if reverse { shape[axis] - 1 } else { 0 };
    let first = b.full(&Type { dtype, shape }, first as f64);
    let candidate = b.select(changed, place, first);
    let kind = if reverse { ReduceKind::Min } else { ReduceKind::Max };
    b.op(Op::Cumulative { kind, axis, reverse }, &[candidate])
}

/// Windows other than sums. Without dilation the extremum's tangent is picked by the window's first winner; else, and
/// for products, the windows are laid out as arrays of their own and reduced.
fn jvp_reduce_window(b: &mut Builder, op: &Op, kind: ReduceKind, x: Value, t: Value) -> Result<Option<Value>> {
    let g = WindowGeometry::new(op, b.ty(x))?;
    let plain = g.base_dilation.iter().chain(&g.window_dilation).all(|&d| d == 1);
    let identity = match kind {
        ReduceKind::Max | ReduceKind::Min if plain => {
            let select = Op::SelectAndGather { kind, window: g.window, strides: g.strides, padding: g.padding };
            return Ok(Some(b.op(select, &[t, x])));
        }
        ReduceKind::Max => f64::NEG_INFINITY,
        ReduceKind::Min => f64::INFINITY,
        ReduceKind::Prod => 1.0,
        ReduceKind::Sum | ReduceKind::And | ReduceKind::Or => return Ok(None),
    };
    if g.out.contains(&0) {
        return Ok(None);
    }
    let rank = g.out.len();
    let (xs, ts) = (windows(b, x, &g, identity), windows(b, t, &g, 0.0));
    let axes: Shape = (0..rank).map(|i| 2 * i + 1).collect();
    let y = b.reduce(kind, xs, &axes);
    Ok(jvp_reduce(b, kind, &axes, xs, y, ts))
}

/// The elements of every window, padded with `fill`: axis i of `x` becomes axes 2 i (windows) and 2 i + 1 (elements).
fn windows(b: &mut Builder, x: Value, g: &WindowGeometry, fill: f64) -> Value {
    let fill = b.scalar(b.ty(x).dtype, fill);
    let pad = Op::Pad {
        low: g.padding.iter().map(|p| p.0).collect(),
        high: g.padding.iter().map(|p| p.1).collect(),
        interior: g.base_dilation.iter().map(|d| d - 1).collect(),
    };
    let mut x = b.op(pad, &[x, fill]);
    for i in 0..g.out.len() {
        // start of the window plus place in the window
        let grid = [g.out[i], g.window[i]];
        let dtype = index_dtype(b.ty(x).shape[2 * i]);
        let [start, place] = [(0, g.strides[i]), (1, g.window_dilation[i])].map(|(axis, step)| {
            let n = b.iota(dtype, &grid, axis);
            b.scale(n, step as f64)
        });
        let indices = b.add(start, place);
        let axis = 2 * i;
        let shape = b.ty(x).shape.clone();
        let gather = Op::Gather {
            offset_dims: (0..shape.len() + 1).filter(|&a| a != axis && a != axis + 1).collect(),
            collapsed_slice_dims: smallvec![axis],
            operand_batching_dims: Shape::new(),
            start_indices_batching_dims: Shape::new(),
            start_index_map: smallvec![axis],
            index_vector_dim: 2,
            slice_sizes: (0..shape.len()).map(|a| if a == axis { 1 } else { shape[a] }).collect(),
        };
        x = b.op(gather, &[x, indices]);
    }
    x
}

/// The tangents in the order the keys sort to.
fn jvp_sort(b: &mut Builder, axis: usize, num_keys: usize, x: &[Value], t: &[Option<Value>]) -> Result<Maybe> {
    let ty = b.ty(x[0]).clone();
    if ty.numel() == 0 {
        return Ok(smallvec![None; x.len()]);
    }
    let place = b.iota(index_dtype(ty.shape[axis]), &ty.shape, axis);
    let operands: SmallVec<[Value; 4]> = x[..num_keys].iter().copied().chain([place]).collect();
    let order = b.emit(Op::Sort { axis, num_keys }, &operands)?[num_keys];
    Ok(t.iter().map(|t| t.map(|t| take_along(b, t, order, axis))).collect())
}

pub(super) fn transpose(
    b: &mut Builder,
    op: &Op,
    args: &[Operand],
    _outs: &[Type],
    ct: &[Option<Value>],
) -> Result<Maybe> {
    let mut cts: Maybe = smallvec![None; args.len()];
    let Some(ct) = ct[0] else { return Ok(cts) };
    let x = args[0].ty(b);
    cts[0] = Some(match op {
        // ct repeated along the axes
        Op::Reduce { kind: ReduceKind::Sum, axes } => {
            let kept: Shape = (0..x.rank()).filter(|a| !axes.contains(a)).collect();
            b.broadcast(ct, &x.shape, &kept)
        }
        // the running sum from the other end
        Op::Cumulative { kind: ReduceKind::Sum, axis, reverse } => {
            b.op(Op::Cumulative { kind: ReduceKind::Sum, axis: *axis, reverse: !reverse }, &[ct])
        }
        Op::ReduceWindow { kind: ReduceKind::Sum, .. } => transpose_window_sum(b, op, &x, ct)?,
        // each is the transpose of the other
        Op::SelectAndGather { kind, window, strides, padding } => {
            let scatter = Op::SelectAndScatter {
                kind: *kind,
                window: window.clone(),
                strides: strides.clone(),
                padding: padding.clone(),
            };
            b.op(scatter, &[ct, selecting_key(op, args)?])
        }
        Op::SelectAndScatter { kind, window, strides, padding } => {
            let gather = Op::SelectAndGather {
                kind: *kind,
                window: window.clone(),
                strides: strides.clone(),
                padding: padding.clone(),
            };
            b.op(gather, &[ct, selecting_key(op, args)?])
        }
        // every member's cotangent reaches every member's operand
        Op::AllReduce { kind: ReduceKind::Sum, .. } => b.op(op.clone(), &[ct]),
        _ => return not_linear(op),
    });
    Ok(cts)
}

fn selecting_key(op: &Op, args: &[Operand]) -> Result<Value> {
    args[1].known().map_or_else(|| not_linear(op), Ok)
}

/// `out[p] = sum_k x_dilated[p s + k w - low]` gives `x_bar[j] = sum_k ct_dilated[j d + k w - (D(K, w) - 1 - low)]`: a window sum
/// again, stride and base dilation swapped.
fn transpose_window_sum(b: &mut Builder, op: &Op, x: &Type, ct: Value) -> Result<Value> {
    let g = WindowGeometry::new(op, x)?;
    if x.numel() == 0 || g.out.contains(&0) {
        return Ok(b.full(x, 0.0));
    }
    let padding = (0..x.rank())
        .map(|i| {
            let dilated = |n: usize, d: usize| (n as i64 - 1) * d as i64 + 1;
            let window = dilated(g.window[i], g.window_dilation[i]);
            let low = window - 1 - g.padding[i].0;
            let needed = dilated(x.shape[i], g.base_dilation[i]) - 1 + window;
            (low, needed - dilated(g.out[i], g.strides[i]) - low)
        })
        .collect();
    let sum = Op::ReduceWindow {
        kind: ReduceKind::Sum,
        window: g.window,
        strides: g.base_dilation,
        padding,
        base_dilation: g.strides,
        window_dilation: g.window_dilation,
    };
    Ok(b.op(sum, &[ct]))
}

/// The same op with one axis more in front, of which every window and slice takes one row at a time.
pub(super) fn batch(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let moved = match op.clone() {
        Op::Reduce { kind, axes } => Op::Reduce { kind, axes: shifted(&axes) },
        Op::ArgReduce { kind, axis } => Op::ArgReduce { kind, axis: axis + 1 },
        Op::Cumulative { kind, axis, reverse } => Op::Cumulative { kind, axis: axis + 1, reverse },
        Op::ReduceWindow { kind, window, strides, padding, base_dilation, window_dilation } => Op::ReduceWindow {
            kind,
            window: prepend_shape(1, &window),
            strides: prepend_shape(1, &strides),
            padding: prepend((0, 0), &padding),
            base_dilation: prepend_shape(1, &base_dilation),
            window_dilation: prepend_shape(1, &window_dilation),
        },
        Op::SelectAndGather { kind, window, strides, padding } => Op::SelectAndGather {
            kind,
            window: prepend_shape(1, &window),
            strides: prepend_shape(1, &strides),
            padding: prepend((0, 0), &padding),
        },
        Op::SelectAndScatter { kind, window, strides, padding } => Op::SelectAndScatter {
            kind,
            window: prepend_shape(1, &window),
            strides: prepend_shape(1, &strides),
            padding: prepend((0, 0), &padding),
        },
        Op::Sort { axis, num_keys } => Op::Sort { axis: axis + 1, num_keys },
        Op::AllReduce { .. } => op.clone(),
        _ => return misrouted(op),
    };
    let args = a.materialise_all(b);
    b.emit(moved, &args)
}
