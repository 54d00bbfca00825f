//! Rules of dynamic slices, gather and scatter.
//!
//! Gather clamps starts so that every slice fits, scatter drops windows that do not fit. So the transpose of a gather
//! scatters at clamped indices, and the transpose of a scatter gathers and then masks what had been dropped.

use super::elementwise::{add, or_zeros};
use super::products::product_of_others;
use super::shaping::{prepend_shape, shifted};
use super::{BatchArgs, Maybe, Operand, misrouted, not_linear};
use gradloom_ir::{
    Binary, Builder, Comparison, DType, Literal, Op, ReduceKind, Result, ScatterKind, Shape, Type, Value, Values,
};
use smallvec::{SmallVec, smallvec};

/// The integer dtype that numbers `n` things.
pub(super) fn index_dtype(n: usize) -> DType {
    if n < i32::MAX as usize { DType::I32 } else { DType::I64 }
}

/// `x` at `indices` along `axis`, the other axes going together; both have one rank.
pub(super) fn take_along(b: &mut Builder, x: Value, indices: Value, axis: usize) -> Value {
    let rank = b.ty(x).rank();
    let others: Shape = (0..rank).filter(|&a| a != axis).collect();
    let op = Op::Gather {
        offset_dims: Shape::new(),
        collapsed_slice_dims: smallvec![axis],
        operand_batching_dims: others.clone(),
        start_indices_batching_dims: others,
        start_index_map: smallvec![axis],
        index_vector_dim: rank,
        slice_sizes: Shape::from_elem(1, rank),
    };
    b.op(op, &[x, indices])
}

/// `0, 1, 2, ..` in row-major order, plus `first`.
fn numbers(b: &mut Builder, shape: &[usize], first: usize) -> Value {
    let n: usize = shape.iter().product();
    let flat = b.iota(index_dtype(n + first), &[n], 0);
    let flat = if first == 0 { flat } else { b.offset(flat, first as f64) };
    b.reshape(flat, shape)
}

/// One bound a component of the index vectors, as an array like `indices`. A bound the dtype cannot hold is its
/// greatest value, which bounds as well.
fn component_bounds(b: &mut Builder, indices: Value, vector_dim: usize, bounds: &[usize]) -> Value {
    let ty = b.ty(indices).clone();
    if vector_dim == ty.rank() {
        return b.full(&ty, bounds[0] as f64);
    }
    let bytes = bounds.iter().flat_map(|&n| Literal::scalar(ty.dtype, n as f64).bytes().to_vec()).collect();
    let literal = Literal::from_bytes(Type::new(ty.dtype, &[bounds.len()]), bytes);
    let bounds = b.literal(literal.expect("one element a bound"));
    b.broadcast(bounds, &ty.shape, &[vector_dim])
}

/// Each component of the index vectors brought into `0..=bound`.
fn clamp(b: &mut Builder, indices: Value, vector_dim: usize, bounds: &[usize]) -> Value {
    let bounds = component_bounds(b, indices, vector_dim, bounds);
    let zero = b.full_like(indices, 0.0);
    let least = b.binary(Binary::Max, indices, zero);
    b.binary(Binary::Min, least, bounds)
}

/// The scatter that puts back what the gather took.
fn scatter_of(gather: &Op, kind: ScatterKind) -> Result<Op> {
    let Op::Gather {
        offset_dims,
        collapsed_slice_dims,
        operand_batching_dims,
        start_indices_batching_dims,
        start_index_map,
        index_vector_dim,
        slice_sizes: _,
    } = gather.clone()
    else {
        return misrouted(gather);
    };
    Ok(Op::Scatter {
        update_window_dims: offset_dims,
        inserted_window_dims: collapsed_slice_dims,
        input_batching_dims: operand_batching_dims,
        scatter_indices_batching_dims: start_indices_batching_dims,
        scatter_dims_to_operand_dims: start_index_map,
        index_vector_dim,
        kind,
    })
}

/// A scatter with what its rules need.
struct Scatter<'a> {
    op: &'a Op,
    /// The gather that reads what stands under each window.
    read: Op,
    indices: Value,
    /// Type of the operand.
    x: Type,
    /// Type of the updates.
    u: Type,
    /// Greatest start of a window that fits, for each component of an index vector.
    last: Shape,
    /// Axis of the indices that holds index vectors.
    vector_dim: usize,
    /// Axes of the updates that are the index grid.
    grid: Shape,
}

impl<'a> Scatter<'a> {
    fn new(op: &'a Op, indices: Value, x: Type, u: Type) -> Result<Scatter<'a>> {
        let Op::Scatter {
            update_window_dims,
            inserted_window_dims,
            input_batching_dims,
            scatter_indices_batching_dims,
            scatter_dims_to_operand_dims,
            index_vector_dim,
            kind: _,
        } = op.clone()
        else {
            return misrouted(op);
        };
        let mut lengths = (0..u.rank()).filter(|d| update_window_dims.contains(d)).map(|d| u.shape[d]);
        let window: Shape = (0..x.rank())
            .map(|a| {
                let dropped = inserted_window_dims.contains(&a) || input_batching_dims.contains(&a);
                if dropped { 1 } else { lengths.next().unwrap_or(1) }
            })
            .collect();
        // a window longer than the operand (of length 0) never fits; the rules ask `is_empty` first
        let last = scatter_dims_to_operand_dims.iter().map(|&a| x.shape[a].saturating_sub(window[a])).collect();
        let grid = (0..u.rank()).filter(|d| !update_window_dims.contains(d)).collect();
        let read = Op::Gather {
            offset_dims: update_window_dims,
            collapsed_slice_dims: inserted_window_dims,
            operand_batching_dims: input_batching_dims,
            start_indices_batching_dims: scatter_indices_batching_dims,
            start_index_map: scatter_dims_to_operand_dims,
            index_vector_dim,
            slice_sizes: window,
        };
        Ok(Scatter { op, read, indices, x, u, last, vector_dim: index_vector_dim, grid })
    }

    /// The same scatter, with values meeting what is there by `kind`.
    fn scatter(&self, b: &mut Builder, kind: ScatterKind, x: Value, u: Value) -> Value {
        let mut op = self.op.clone();
        if let Op::Scatter { kind: k, .. } = &mut op {
            *k = kind;
        }
        b.op(op, &[x, self.indices, u])
    }

    /// What stands in `x` under each window; under a dropped window, what stands elsewhere.
    fn gather(&self, b: &mut Builder, x: Value) -> Value {
        b.op(self.read.clone(), &[x, self.indices])
    }

    /// Which elements of the updates belong to windows that fit.
    fn fits(&self, b: &mut Builder) -> Value {
        let last = component_bounds(b, self.indices, self.vector_dim, &self.last);
        let zero = b.full_like(self.indices, 0.0);
        let low = b.compare(Comparison::Ge, self.indices, zero);
        let high = b.compare(Comparison::Le, self.indices, last);
        let both = b.binary(Binary::And, low, high);
        let scalars = self.vector_dim == b.ty(self.indices).rank();
        let fits = if scalars { both } else { b.reduce(ReduceKind::And, both, &[self.vector_dim]) };
        b.broadcast(fits, &self.u.shape, &self.grid)
    }

    /// Whether there is nothing to write or nowhere to write it.
    fn is_empty(&self) -> bool {
        self.x.numel() == 0 || self.u.numel() == 0
    }
}

pub(super) fn jvp(b: &mut Builder, op: &Op, x: &[Value], y: &[Value], t: &[Option<Value>]) -> Result<Maybe> {
    let t_out = match op {
        // the op on x_dot
        Op::DynamicSlice { .. } | Op::Gather { .. } => t[0].map(|t| {
            let args: SmallVec<[Value; 4]> = std::iter::once(t).chain(x[1..].iter().copied()).collect();
            b.op(op.clone(), &args)
        }),
        // the op on x_dot and u_dot
        Op::DynamicUpdateSlice {} => {
            let (tx, tu) = (or_zeros(b, t[0], x[0]), or_zeros(b, t[1], x[1]));
            let args: SmallVec<[Value; 6]> = [tx, tu].into_iter().chain(x[2..].iter().copied()).collect();
            Some(b.op(op.clone(), &args))
        }
        Op::Scatter { kind, .. } => {
            let s = Scatter::new(op, x[1], b.ty(x[0]).clone(), b.ty(x[2]).clone())?;
            match kind {
                _ if s.is_empty() => t[0],
                ScatterKind::Add => jvp_scatter_add(b, &s, x, t),
                ScatterKind::Set => Some(jvp_scatter_set(b, &s, x, t)),
                ScatterKind::Mul => jvp_scatter_mul(b, &s, x, t),
                ScatterKind::Min | ScatterKind::Max => Some(jvp_scatter_extremum(b, &s, x, y[0], t)),
            }
        }
        _ => return misrouted(op),
    };
    Ok(smallvec![t_out])
}

/// x_dot with u_dot added in
fn jvp_scatter_add(b: &mut Builder, s: &Scatter, x: &[Value], t: &[Option<Value>]) -> Option<Value> {
    let Some(tu) = t[2] else { return t[0] };
    let tx = or_zeros(b, t[0], x[0]);
    Some(s.scatter(b, ScatterKind::Add, tx, tu))
}

/// x_dot where nothing was written, and the u_dot of the last writer where something was. To find the last writers
/// the updates' numbers (from 1) are scattered; those that come back won.
fn jvp_scatter_set(b: &mut Builder, s: &Scatter, x: &[Value], t: &[Option<Value>]) -> Value {
    let zeros = b.full_like(x[0], 0.0);
    let Some(tu) = t[2] else {
        let (all, none) = (s.x.with_dtype(DType::Bool), s.u.with_dtype(DType::Bool));
        let (all, none) = (b.full(&all, 1.0), b.full(&none, 0.0));
        let kept = s.scatter(b, ScatterKind::Set, all, none);
        let tx = or_zeros(b, t[0], x[0]);
        return b.select(kept, tx, zeros);
    };
    let ids = numbers(b, &s.u.shape, 1);
    let unwritten = b.full(&s.x.with_dtype(b.ty(ids).dtype), 0.0);
    let writer = s.scatter(b, ScatterKind::Set, unwritten, ids);
    let seen = s.gather(b, writer);
    let won = b.compare(Comparison::Eq, seen, ids);
    let no_update = b.full(&s.u, 0.0);
    let tu = b.select(won, tu, no_update);
    let base = match t[0] {
        Some(tx) => {
            let kept = b.compare(Comparison::Eq, writer, unwritten);
            b.select(kept, tx, zeros)
        }
        None => zeros,
    };
    s.scatter(b, ScatterKind::Add, base, tu)
}

/// x_dot times the updates' product, plus each u_dot times x and the product of the other updates of its place.
fn jvp_scatter_mul(b: &mut Builder, s: &Scatter, x: &[Value], t: &[Option<Value>]) -> Option<Value> {
    let left = t[0].map(|tx| {
        let ones = b.full_like(x[0], 1.0);
        let product = s.scatter(b, ScatterKind::Mul, ones, x[2]);
        b.mul(tx, product)
    });
    let right = t[2].map(|tu| {
        let others = others_of_place(b, s, x[2]);
        let under = s.gather(b, x[0]);
        let slope = b.mul(under, others);
        let tu = b.mul(tu, slope);
        let zeros = b.full_like(x[0], 0.0);
        s.scatter(b, ScatterKind::Add, zeros, tu)
    });
    add(b, left, right)
}

/// For each element of the updates the product of the others that meet it: the elements are sorted by the place
/// they go to, multiplied up among neighbours of one place, and put back in their order.
fn others_of_place(b: &mut Builder, s: &Scatter, u: Value) -> Value {
    let places = numbers(b, &s.x.shape, 0);
    let place = s.gather(b, places);
    let nowhere = b.full_like(place, -1.0);
    let fits = s.fits(b);
    let place = b.select(fits, place, nowhere);
    let n = [s.u.numel()];
    let (place, u) = (b.reshape(place, &n), b.reshape(u, &n));
    let (keys, order) = sort_with_positions(b, place);
    let (_, back) = sort_with_positions(b, order);
    let sorted = take_along(b, u, order, 0);
    let others = product_of_others(b, sorted, keys);
    let others = take_along(b, others, back, 0);
    b.reshape(others, &s.u.shape)
}

/// A vector sorted, and where each element came from.
fn sort_with_positions(b: &mut Builder, keys: Value) -> (Value, Value) {
    let positions = numbers(b, &b.ty(keys).shape.clone(), 0);
    match b.emit(Op::Sort { axis: 0, num_keys: 1 }, &[keys, positions]) {
        Ok(sorted) => (sorted[0], sorted[1]),
        Err(e) => {
            b.fail(e);
            (keys, positions)
        }
    }
}

/// The mean of the tangents of all candidates (x and updates) that equal the result.
fn jvp_scatter_extremum(b: &mut Builder, s: &Scatter, x: &[Value], y: Value, t: &[Option<Value>]) -> Value {
    let (zero_x, zero_u) = (b.full_like(x[0], 0.0), b.full_like(x[2], 0.0));
    let (one_x, one_u) = (b.full_like(x[0], 1.0), b.full_like(x[2], 1.0));
    let x_wins = b.compare(Comparison::Eq, x[0], y);
    let result = s.gather(b, y);
    let u_wins = b.compare(Comparison::Eq, x[2], result);
    let (x_count, u_count) = (b.select(x_wins, one_x, zero_x), b.select(u_wins, one_u, zero_u));
    let count = s.scatter(b, ScatterKind::Add, x_count, u_count);
    let base = t[0].map_or(zero_x, |tx| b.select(x_wins, tx, zero_x));
    let sum = match t[2] {
        Some(tu) => {
            let tu = b.select(u_wins, tu, zero_u);
            s.scatter(b, ScatterKind::Add, base, tu)
        }
        None => base,
    };
    b.div(sum, count)
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
    // start indices are integers: linear in nothing
    let first_index = if matches!(op, Op::DynamicUpdateSlice {}) { 2 } else { 1 };
    let known = |i: usize| args[i].known().map_or_else(|| not_linear(op), Ok);
    let (x, wants_x) = (args[0].ty(b), args[0].is_linear());
    match op {
        // zeros with ct written where x was read
        Op::DynamicSlice { .. } => {
            let mut operands = vec![b.full(&x, 0.0), ct];
            for i in first_index..args.len() {
                operands.push(known(i)?);
            }
            cts[0] = Some(b.op(Op::DynamicUpdateSlice {}, &operands));
        }
        // x: ct with zeros written where u went; u: ct read there
        Op::DynamicUpdateSlice {} => {
            let u = args[1].ty(b);
            let starts = (first_index..args.len()).map(known).collect::<Result<Vec<Value>>>()?;
            if wants_x {
                let zeros = b.full(&u, 0.0);
                let operands: Vec<Value> = [ct, zeros].into_iter().chain(starts.clone()).collect();
                cts[0] = Some(b.op(Op::DynamicUpdateSlice {}, &operands));
            }
            if args[1].is_linear() {
                let operands: Vec<Value> = std::iter::once(ct).chain(starts).collect();
                cts[1] = Some(b.op(Op::DynamicSlice { sizes: u.shape }, &operands));
            }
        }
        // ct added into zeros at the clamped starts
        Op::Gather { start_index_map, index_vector_dim, slice_sizes, .. } => {
            let bounds: Shape = start_index_map.iter().map(|&a| x.shape[a] - slice_sizes[a]).collect();
            let indices = clamp(b, known(1)?, *index_vector_dim, &bounds);
            let zeros = b.full(&x, 0.0);
            cts[0] = Some(b.op(scatter_of(op, ScatterKind::Add)?, &[zeros, indices, ct]));
        }
        // x: ct; u: ct read under the windows that fit
        Op::Scatter { kind: ScatterKind::Add, .. } => {
            cts[0] = wants_x.then_some(ct);
            if args[2].is_linear() {
                let s = Scatter::new(op, known(1)?, x, args[2].ty(b))?;
                let zeros = b.full(&s.u, 0.0);
                cts[2] = Some(if s.is_empty() {
                    zeros
                } else {
                    let (fits, read) = (s.fits(b), s.gather(b, ct));
                    b.select(fits, read, zeros)
                });
            }
        }
        _ => return not_linear(op),
    }
    Ok(cts)
}

pub(super) fn batch(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    match op {
        Op::DynamicSlice { sizes } => {
            if a.batched[1..].contains(&true) {
                return batch_dynamic_slice(b, sizes, a);
            }
            let operands = with_zero_start(b, a.args, &[a.args[0]]);
            b.emit(Op::DynamicSlice { sizes: prepend_shape(a.size, sizes) }, &operands)
        }
        Op::DynamicUpdateSlice {} => {
            let (x, u) = (a.materialise(b, 0), a.materialise(b, 1));
            if a.batched[2..].contains(&true) {
                return batch_dynamic_update_slice(b, x, u, a);
            }
            let operands = with_zero_start(b, a.args, &[x, u]);
            b.emit(Op::DynamicUpdateSlice {}, &operands)
        }
        Op::Gather { .. } => batch_gather(b, op, a),
        Op::Scatter { .. } => batch_scatter(b, op, a),
        _ => misrouted(op),
    }
}

/// `first`, start 0 for the batch axis, and the start indices that stand in `args` after as many operands.
fn with_zero_start(b: &mut Builder, args: &[Value], first: &[Value]) -> Vec<Value> {
    let starts = &args[first.len()..];
    let dtype = starts.first().map_or(DType::I32, |&s| b.ty(s).dtype);
    let zero = b.scalar(dtype, 0.0);
    first.iter().copied().chain([zero]).chain(starts.iter().copied()).collect()
}

/// Scalar start indices from operand `from` on, as one index vector a row.
fn index_rows(b: &mut Builder, a: &BatchArgs, from: usize) -> Value {
    let columns: Vec<Value> = (from..a.args.len())
        .map(|i| {
            let column = a.materialise(b, i);
            b.reshape(column, &[a.size, 1])
        })
        .collect();
    b.concatenate(&columns, 1)
}

/// A gather of one slice a row; both clamp alike.
fn batch_dynamic_slice(b: &mut Builder, sizes: &[usize], a: &BatchArgs) -> Result<Values> {
    let rank = sizes.len();
    let rows = index_rows(b, a, 1);
    let shift = usize::from(a.batched[0]);
    let batching: Shape = (0..shift).collect();
    let own = Shape::from_elem(a.size.min(1), shift);
    let gather = Op::Gather {
        offset_dims: (1..=rank).collect(),
        collapsed_slice_dims: Shape::new(),
        operand_batching_dims: batching.clone(),
        start_indices_batching_dims: batching,
        start_index_map: (shift..rank + shift).collect(),
        index_vector_dim: 1,
        slice_sizes: own.iter().chain(sizes).copied().collect(),
    };
    b.emit(gather, &[a.args[0], rows])
}

/// A scatter of one window a row, at clamped starts.
fn batch_dynamic_update_slice(b: &mut Builder, x: Value, u: Value, a: &BatchArgs) -> Result<Values> {
    let rank = b.ty(x).rank();
    let rows = index_rows(b, a, 2);
    let bounds: Shape = (1..rank).map(|i| b.ty(x).shape[i] - b.ty(u).shape[i]).collect();
    let rows = clamp(b, rows, 1, &bounds);
    let scatter = Op::Scatter {
        update_window_dims: (1..rank).collect(),
        inserted_window_dims: Shape::new(),
        input_batching_dims: smallvec![0],
        scatter_indices_batching_dims: smallvec![0],
        scatter_dims_to_operand_dims: (1..rank).collect(),
        index_vector_dim: 1,
        kind: ScatterKind::Set,
    };
    b.emit(scatter, &[x, rows, u])
}

/// Both batched: a pair of batching axes. Operand alone: one more window axis. Indices alone: one more grid axis.
fn batch_gather(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let Op::Gather {
        offset_dims,
        collapsed_slice_dims,
        operand_batching_dims,
        start_indices_batching_dims,
        start_index_map,
        index_vector_dim,
        slice_sizes,
    } = op
    else {
        return misrouted(op);
    };
    let (x, i) = (a.batched[0], a.batched[1]);
    let on_x = |axes: &Shape| if x { shifted(axes) } else { axes.clone() };
    let on_i = |axes: &Shape| if i { shifted(axes) } else { axes.clone() };
    let pair = |axes: Shape| if x && i { prepend_shape(0, &axes) } else { axes };
    let gather = Op::Gather {
        offset_dims: if i { shifted(offset_dims) } else { prepend_shape(0, &shifted(offset_dims)) },
        collapsed_slice_dims: on_x(collapsed_slice_dims),
        operand_batching_dims: pair(on_x(operand_batching_dims)),
        start_indices_batching_dims: pair(on_i(start_indices_batching_dims)),
        start_index_map: on_x(start_index_map),
        index_vector_dim: index_vector_dim + usize::from(i),
        slice_sizes: match (x, i) {
            (true, true) => prepend_shape(a.size.min(1), slice_sizes),
            (true, false) => prepend_shape(a.size, slice_sizes),
            _ => slice_sizes.clone(),
        },
    };
    b.emit(gather, &[a.args[0], a.args[1]])
}

/// Indices batched: a pair of batching axes. Otherwise one more window axis, always whole.
fn batch_scatter(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let Op::Scatter {
        update_window_dims,
        inserted_window_dims,
        input_batching_dims,
        scatter_indices_batching_dims,
        scatter_dims_to_operand_dims,
        index_vector_dim,
        kind,
    } = op
    else {
        return misrouted(op);
    };
    let (x, u) = (a.materialise(b, 0), a.materialise(b, 2));
    let i = a.batched[1];
    let window = shifted(update_window_dims);
    let scatter = Op::Scatter {
        update_window_dims: if i { window } else { prepend_shape(0, &window) },
        inserted_window_dims: shifted(inserted_window_dims),
        input_batching_dims: if i {
            prepend_shape(0, &shifted(input_batching_dims))
        } else {
            shifted(input_batching_dims)
        },
        scatter_indices_batching_dims: if i {
            prepend_shape(0, &shifted(scatter_indices_batching_dims))
        } else {
            scatter_indices_batching_dims.clone()
        },
        scatter_dims_to_operand_dims: shifted(scatter_dims_to_operand_dims),
        index_vector_dim: index_vector_dim + usize::from(i),
        kind: *kind,
    };
    b.emit(scatter, &[x, a.args[1], u])
}
