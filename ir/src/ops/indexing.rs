//! Shape rules of dynamic slicing, gather and scatter.

use super::shaping::{check_axes, check_size};
use super::{Op, ScatterKind};
use crate::{Error, Result, Shape, Type};

fn check_starts(op: &str, x: &Type, starts: &[Type]) -> Result<()> {
    if starts.len() != x.rank() {
        return Err(Error::user(op, format!("{x} needs {} start indices, got {}", x.rank(), starts.len())));
    }
    for s in starts {
        if s.rank() != 0 || !s.dtype.is_int() || s.dtype != starts[0].dtype {
            return Err(Error::user(op, format!("start indices must be integer scalars of one dtype, got {s}")));
        }
    }
    Ok(())
}

pub(super) fn dynamic_slice(args: &[Type], sizes: &[usize]) -> Result<Type> {
    let op = "dynamic_slice";
    let x = args.first().ok_or_else(|| Error::internal(op, "no operand"))?;
    check_starts(op, x, &args[1..])?;
    if sizes.len() != x.rank() || sizes.iter().zip(&x.shape).any(|(s, n)| s > n) {
        return Err(Error::user(op, format!("a slice of sizes {sizes:?} does not fit in {x}")));
    }
    Ok(x.with_shape(sizes))
}

pub(super) fn dynamic_update_slice(args: &[Type]) -> Result<Type> {
    let op = "dynamic_update_slice";
    let [x, u, starts @ ..] = args else { return Err(Error::internal(op, "needs an operand and an update")) };
    check_starts(op, x, starts)?;
    if u.dtype != x.dtype {
        return Err(Error::dtype_mismatch(op, x.dtype, u.dtype));
    }
    if u.rank() != x.rank() || u.shape.iter().zip(&x.shape).any(|(s, n)| s > n) {
        return Err(Error::shape_mismatch(op, x, u, "the update must fit in the operand"));
    }
    Ok(x.clone())
}

/// Operand axes that take part in the window, in order: neither dropped nor batched.
fn window_axes(rank: usize, dropped: &[usize], batching: &[usize]) -> Shape {
    (0..rank).filter(|a| !dropped.contains(a) && !batching.contains(a)).collect()
}

/// Checks shared by gather and scatter; returns the shape of the index grid (index axes without the vector axis).
fn check_indices(
    op: &str,
    x: &Type,
    indices: &Type,
    vector_dim: usize,
    map: &[usize],
    x_batching: &[usize],
    i_batching: &[usize],
) -> Result<Shape> {
    if !indices.dtype.is_int() {
        return Err(Error::bad_dtype(op, indices.dtype, "an integer as index"));
    }
    if vector_dim > indices.rank() {
        return Err(Error::bad_axis(op, vector_dim as i64, indices));
    }
    let vector_len = indices.shape.get(vector_dim).copied().unwrap_or(1);
    if vector_len != map.len() {
        return Err(Error::user(op, format!("index vectors have {vector_len} components for {} axes", map.len())));
    }
    check_axes(op, x, map)?;
    check_axes(op, x, x_batching)?;
    check_axes(op, indices, i_batching)?;
    let paired = x_batching.len() == i_batching.len()
        && x_batching.iter().zip(i_batching).all(|(&a, &b)| b != vector_dim && x.shape[a] == indices.shape[b]);
    if !paired {
        return Err(Error::shape_mismatch(op, x, indices, "batching axes must come in pairs of one length"));
    }
    Ok((0..indices.rank()).filter(|&a| a != vector_dim).map(|a| indices.shape[a]).collect())
}

pub(super) fn gather(op: &Op, x: &Type, indices: &Type) -> Result<Type> {
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
        return Err(Error::internal("gather", "not a gather"));
    };
    let grid = check_indices(
        "gather",
        x,
        indices,
        *index_vector_dim,
        start_index_map,
        operand_batching_dims,
        start_indices_batching_dims,
    )?;
    check_axes("gather", x, collapsed_slice_dims)?;
    if slice_sizes.len() != x.rank() || slice_sizes.iter().zip(&x.shape).any(|(s, n)| s > n) {
        return Err(Error::user("gather", format!("a slice of sizes {slice_sizes:?} does not fit in {x}")));
    }
    if collapsed_slice_dims.iter().chain(operand_batching_dims).any(|&a| slice_sizes[a] > 1) {
        return Err(Error::user("gather", "collapsed and batching axes must have slice size 0 or 1"));
    }
    let window = window_axes(x.rank(), collapsed_slice_dims, operand_batching_dims);
    if window.len() != offset_dims.len() {
        return Err(Error::user(
            "gather",
            format!("{} offset axes for {} window axes", offset_dims.len(), window.len()),
        ));
    }
    let rank = grid.len() + window.len();
    let (mut g, mut w) = (grid.iter(), window.iter().map(|&a| slice_sizes[a]));
    let mut shape = Shape::new();
    for d in 0..rank {
        let n = if offset_dims.contains(&d) { w.next() } else { g.next().copied() };
        shape.push(n.ok_or_else(|| Error::user("gather", format!("offset axes {offset_dims:?} exceed rank {rank}")))?);
    }
    check_size("gather", &shape)?;
    Ok(x.with_shape(&shape))
}

pub(super) fn scatter(op: &Op, x: &Type, indices: &Type, updates: &Type) -> Result<Type> {
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
        return Err(Error::internal("scatter", "not a scatter"));
    };
    if x.dtype.is_complex() && matches!(kind, ScatterKind::Min | ScatterKind::Max) {
        return Err(Error::bad_dtype(&format!("scatter {}", kind.name()), x.dtype, "a dtype with an order"));
    }
    if x.dtype != updates.dtype {
        return Err(Error::dtype_mismatch("scatter", x.dtype, updates.dtype));
    }
    let grid = check_indices(
        "scatter",
        x,
        indices,
        *index_vector_dim,
        scatter_dims_to_operand_dims,
        input_batching_dims,
        scatter_indices_batching_dims,
    )?;
    check_axes("scatter", x, inserted_window_dims)?;
    check_axes("scatter", updates, update_window_dims)?;
    let window = window_axes(x.rank(), inserted_window_dims, input_batching_dims);
    let fits = updates.rank() == grid.len() + window.len() && update_window_dims.len() == window.len();
    if !fits {
        return Err(Error::shape_mismatch(
            "scatter",
            x,
            updates,
            "updates must have the index grid's and the window's axes",
        ));
    }
    let (mut g, mut w) = (grid.iter(), window.iter());
    for d in 0..updates.rank() {
        let n = updates.shape[d];
        let ok = if update_window_dims.contains(&d) {
            w.next().is_some_and(|&a| n <= x.shape[a])
        } else {
            g.next().is_some_and(|&m| n == m)
        };
        if !ok {
            return Err(Error::shape_mismatch("scatter", x, updates, &format!("axis {d} of the updates does not fit")));
        }
    }
    Ok(x.clone())
}
