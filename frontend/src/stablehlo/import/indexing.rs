//! Dynamic slices, gather, scatter.

use super::super::syntax::Attr;
use super::combine::{Combiner, combiner, step};
use super::{Call, Closure, Lower};
use gradloom_ir::{Builder, DType, Error, Op, ReduceKind, Result, ScatterKind, Shape, Type, Value, Values, infer};
use smallvec::smallvec;
use std::sync::Arc;

pub(super) const RULES: &[(&str, Lower)] = &[
    ("dynamic_slice", |c| {
        let sizes = c.shape(&["sizes", "slice_sizes"])?;
        let n = c.args.len().max(1);
        c.emit(Op::DynamicSlice { sizes }, n)
    }),
    ("dynamic_update_slice", |c| {
        let n = c.args.len().max(2);
        c.emit(Op::DynamicUpdateSlice {}, n)
    }),
    ("gather", gather),
    ("torch_index_select", torch_index_select),
    ("scatter", scatter),
];

type Parts<'m> = [(&'m str, Attr<'m>)];

/// The named parts of `#stablehlo.gather<..>` and its like.
pub(super) fn parts<'m>(c: &Call<'_, 'm>, names: &[&str]) -> Result<&'m Parts<'m>> {
    match c.attr(names) {
        Some(Attr::Named(parts, _)) => Ok(parts),
        _ => Err(c.error(format!("the attribute `{}` is missing", names[0]))),
    }
}

/// One integer of the parts; 0 if it is not there.
fn part_int(c: &Call<'_, '_>, parts: &Parts<'_>, name: &str) -> Result<usize> {
    match c.part(parts, name)?[..] {
        [] => Ok(0),
        [i] => Ok(i),
        _ => Err(c.error(format!("`{name}` should be one integer"))),
    }
}

fn gather(c: &mut Call<'_, '_>) -> Result<Values> {
    let op = gather_of(c, c.shape(&["slice_sizes"])?)?;
    c.emit(op, 2)
}

/// The gather of these sizes, its axes as the attribute says.
pub(super) fn gather_of(c: &Call<'_, '_>, slice_sizes: Shape) -> Result<Op> {
    let p = parts(c, &["dimension_numbers"])?;
    Ok(Op::Gather {
        offset_dims: c.part(p, "offset_dims")?,
        collapsed_slice_dims: c.part(p, "collapsed_slice_dims")?,
        operand_batching_dims: c.part(p, "operand_batching_dims")?,
        start_indices_batching_dims: c.part(p, "start_indices_batching_dims")?,
        start_index_map: c.part(p, "start_index_map")?,
        index_vector_dim: part_int(c, p, "index_vector_dim")?,
        slice_sizes,
    })
}

/// Elements of one axis by their numbers: an operand's axes before it, those of the indices, then those behind; the first
/// `batch_dims` are walked together.
fn torch_index_select(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, indices] = c.args()?;
    let (axis, batch) = (c.axis(&["dim"])?, c.axis(&["batch_dims"])?);
    let (tx, rank) = (c.ty(x), c.ty(indices).rank());
    if axis >= tx.rank() || batch > axis || batch > rank {
        return Err(c.error(format!("no axis {axis} of {tx} after {batch} common ones")));
    }
    let new = rank - batch;
    let one = |a: usize| a < batch || a == axis;
    let op = Op::Gather {
        offset_dims: (batch..axis).chain(axis + new..tx.rank() - 1 + new).collect(),
        collapsed_slice_dims: smallvec![axis],
        operand_batching_dims: (0..batch).collect(),
        start_indices_batching_dims: (0..batch).collect(),
        start_index_map: smallvec![axis],
        index_vector_dim: rank,
        slice_sizes: tx.shape.iter().enumerate().map(|(a, &n)| if one(a) { 1 } else { n }).collect(),
    };
    c.node(op, &[x, indices])
}

fn scatter(c: &mut Call<'_, '_>) -> Result<Values> {
    let p = parts(c, &["scatter_dimension_numbers"])?;
    let (combiner, closure) = combiner(c, 0)?;
    let n = c.args.len() / 2;
    if c.args.len() != 2 * n + 1 {
        return Err(c.error("takes operands, indices and as many updates"));
    }
    let updates = c.args.split_off(n + 1);
    let indices = c.args.pop().ok_or_else(|| c.error("the indices are missing"))?;
    let xs = std::mem::take(&mut c.args);
    let mut op = Op::Scatter {
        update_window_dims: c.part(p, "update_window_dims")?,
        inserted_window_dims: c.part(p, "inserted_window_dims")?,
        input_batching_dims: c.part(p, "input_batching_dims")?,
        scatter_indices_batching_dims: c.part(p, "scatter_indices_batching_dims")?,
        scatter_dims_to_operand_dims: c.part(p, "scatter_dims_to_operand_dims")?,
        index_vector_dim: part_int(c, p, "index_vector_dim")?,
        kind: ScatterKind::Set,
    };
    let mut set_kind = |to: ScatterKind| {
        if let Op::Scatter { kind, .. } = &mut op {
            *kind = to;
        }
    };
    let (&[x], &[u]) = (&xs[..], &updates[..]) else { return fold_updates(c, &op, &closure, &xs, indices, &updates) };
    let truth = c.ty(x).dtype == DType::Bool;
    let (x, u) = match combiner {
        Combiner::Left => return Ok(smallvec![x]),
        Combiner::Right => (x, u),
        Combiner::Difference => {
            set_kind(ScatterKind::Add);
            (x, c.b().neg(u)) // x - u = x + -u, exactly
        }
        Combiner::Reduce(kind) => {
            set_kind(match kind {
                ReduceKind::Sum => ScatterKind::Add,
                ReduceKind::Prod => ScatterKind::Mul,
                ReduceKind::Min => ScatterKind::Min,
                ReduceKind::Max => ScatterKind::Max,
                ReduceKind::And if truth => ScatterKind::Min,
                ReduceKind::Or if truth => ScatterKind::Max,
                ReduceKind::And | ReduceKind::Or => return fold_updates(c, &op, &closure, &xs, indices, &updates),
            });
            (x, u)
        }
        Combiner::Arg(_) | Combiner::General => return fold_updates(c, &op, &closure, &xs, indices, &updates),
    };
    if !truth || matches!(op, Op::Scatter { kind: ScatterKind::Set, .. }) {
        return c.node(op, &[x, indices, u]);
    }
    // false and true as 0 and 1
    let (x, u) = (c.b().convert(x, DType::U8), c.b().convert(u, DType::U8));
    let y = c.node(op, &[x, indices, u])?[0];
    Ok(smallvec![c.b().convert(y, DType::Bool)])
}

/// An arbitrary combination, or one of several operands together: one window after the other, in row-major order of the
/// index vectors. What stands under the window is read, combined with the update and written back, which drops windows
/// that do not fit.
fn fold_updates(
    c: &mut Call<'_, '_>,
    op: &Op,
    closure: &Closure,
    xs: &[Value],
    indices: Value,
    updates: &[Value],
) -> Result<Values> {
    let types: Vec<Type> = xs.iter().chain([&indices]).chain(updates).map(|&v| c.ty(v)).collect();
    let (x_types, rest) = types.split_at(xs.len());
    let [index_type, u_types @ ..] = rest else { return Err(c.error("the indices are missing")) };
    for (x, u) in x_types.iter().zip(u_types) {
        infer(op, &[x.clone(), index_type.clone(), u.clone()])?;
        if x.shape != x_types[0].shape || u.shape != u_types[0].shape {
            return Err(c.error("operands must have one shape, and updates too"));
        }
    }
    let Op::Scatter {
        update_window_dims,
        inserted_window_dims,
        input_batching_dims,
        scatter_indices_batching_dims,
        scatter_dims_to_operand_dims,
        index_vector_dim,
        ..
    } = op
    else {
        return Err(Error::internal("stablehlo", "not a scatter"));
    };
    let (shape, update_shape) = (&x_types[0].shape, &u_types[0].shape);
    let window: Shape = update_window_dims.iter().map(|&d| update_shape[d]).collect();
    let grid_dims: Vec<usize> = (0..update_shape.len()).filter(|d| !update_window_dims.contains(d)).collect();
    let grid: Shape = grid_dims.iter().map(|&d| update_shape[d]).collect();
    let (count, size): (usize, usize) = (grid.iter().product(), window.iter().product());
    if count * size == 0 || x_types[0].numel() == 0 {
        return Ok(xs.iter().copied().collect());
    }
    let step = step(c, closure, xs, size)?;
    // index vectors as rows; axes walked together with the indices are addressed by components of their own
    let b = c.b();
    let dtype = if matches!(index_type.dtype, DType::U32 | DType::I64 | DType::U64) { DType::I64 } else { DType::I32 };
    let indices = b.convert(indices, dtype);
    let vectors = if *index_vector_dim == index_type.rank() {
        b.reshape(indices, &[count, 1])
    } else {
        let others = (0..index_type.rank()).filter(|a| a != index_vector_dim);
        let perm: Vec<usize> = others.chain([*index_vector_dim]).collect();
        let last = b.transpose(indices, &perm);
        b.reshape(last, &[count, index_type.shape[*index_vector_dim]])
    };
    let mut columns = vec![vectors];
    for &axis in scatter_indices_batching_dims {
        let along = if axis > *index_vector_dim { axis - 1 } else { axis };
        let number = b.iota(dtype, &grid, along);
        columns.push(b.reshape(number, &[count, 1]));
    }
    let vectors = b.concatenate(&columns, 1);
    let perm: Vec<usize> = grid_dims.iter().chain(update_window_dims).copied().collect();
    let mut rows = vec![vectors];
    for &u in updates {
        let u = b.transpose(u, &perm);
        let row: Shape = [count].into_iter().chain(window.iter().copied()).collect();
        rows.push(b.reshape(u, &row));
    }
    let mut dropped: Shape = inserted_window_dims.iter().chain(input_batching_dims).copied().collect();
    dropped.sort_unstable();
    let addressed: Shape = scatter_dims_to_operand_dims.iter().chain(input_batching_dims).copied().collect();
    let one = Window { shape, window: &window, dropped, addressed };
    let (read, write) = (one.gather(), one.scatter());

    let consts: Vec<Type> = closure.graph.input_types()[..closure.captures.len()].to_vec();
    let row_types = rows.iter().map(|&r| b.ty(r).with_shape(&b.ty(r).shape[1..]));
    let body_types: Vec<Type> = consts.iter().cloned().chain(x_types.iter().cloned()).chain(row_types).collect();
    let (mut body, inputs) = Builder::with_inputs(&body_types);
    let (captured, rest) = inputs.split_at(consts.len());
    let (carry, rest) = rest.split_at(xs.len());
    let mut args = captured.to_vec();
    for &x in carry {
        let under = body.emit(read.clone(), &[x, rest[0]])?[0];
        args.push(body.reshape(under, &[size]));
    }
    args.extend(rest[1..].iter().map(|&u| body.reshape(u, &[size])));
    let combined = body.inline(&step, &args)?;
    let mut outs = Vec::new();
    for (&x, new) in carry.iter().zip(combined) {
        let new = body.reshape(new, &window);
        outs.push(body.emit(write.clone(), &[x, rest[0], new])?[0]);
    }
    let body = Arc::new(body.finish(&outs)?);
    let args = [&closure.captures[..], xs, &rows].concat();
    b.emit(Op::Scan { body, length: count, reverse: false, consts: consts.len(), carry: xs.len() }, &args)
}

/// One window of an array, addressed by one index vector.
struct Window<'a> {
    shape: &'a [usize],
    window: &'a [usize],
    /// Axes of the array that the window lacks.
    dropped: Shape,
    /// The axis each component of the index vector addresses.
    addressed: Shape,
}

impl Window<'_> {
    fn gather(&self) -> Op {
        let mut lengths = self.window.iter();
        let length = |a: usize| if self.dropped.contains(&a) { Some(&1) } else { lengths.next() };
        Op::Gather {
            offset_dims: (0..self.window.len()).collect(),
            collapsed_slice_dims: self.dropped.clone(),
            operand_batching_dims: Shape::new(),
            start_indices_batching_dims: Shape::new(),
            start_index_map: self.addressed.clone(),
            index_vector_dim: 0,
            slice_sizes: (0..self.shape.len()).filter_map(length).copied().collect(),
        }
    }

    fn scatter(&self) -> Op {
        Op::Scatter {
            update_window_dims: (0..self.window.len()).collect(),
            inserted_window_dims: self.dropped.clone(),
            input_batching_dims: Shape::new(),
            scatter_indices_batching_dims: Shape::new(),
            scatter_dims_to_operand_dims: self.addressed.clone(),
            index_vector_dim: 0,
            kind: ScatterKind::Set,
        }
    }
}
