//! Dynamic slices, gather and scatter.

use super::scalar::ScalarOps;
use super::strided::{elements, for_each_index, for_each_offset, literal, position, strides, undefined, view};
use crate::{Binary, Literal, Op, Result, ScatterKind, Shape, Type, with_element};

/// Every element of an integer array as an index.
fn indices(x: &Literal) -> Vec<i64> {
    with_element!(x.ty().dtype, T => {
        x.to_vec::<T>().unwrap_or_default().into_iter().map(ScalarOps::to_index).collect()
    })
}

/// Where a block of `sizes` starts in an array of `shape`, moved so that it fits; as an offset.
fn clamped_offset(shape: &[usize], sizes: &[usize], starts: &[Literal]) -> i64 {
    let by = strides(shape);
    (0..shape.len()).map(|a| by[a] * indices(&starts[a])[0].clamp(0, (shape[a] - sizes[a]) as i64)).sum()
}

pub(super) fn dynamic_slice(args: &[Literal], ty: &Type) -> Literal {
    let x = &args[0];
    let offset = clamped_offset(&x.ty().shape, &ty.shape, &args[1..]);
    view(x, ty, &strides(&x.ty().shape), offset)
}

pub(super) fn dynamic_update_slice(args: &[Literal]) -> Literal {
    let (x, u) = (&args[0], &args[1]);
    let offset = clamped_offset(&x.ty().shape, &u.ty().shape, &args[2..]);
    let size = x.ty().dtype.size();
    let mut bytes = x.bytes().to_vec();
    let mut rows = u.bytes().chunks_exact(size);
    for_each_offset(&u.ty().shape, &strides(&x.ty().shape), offset, &mut |i| {
        if let Some(e) = rows.next() {
            bytes[i * size..(i + 1) * size].copy_from_slice(e);
        }
    });
    literal(x.ty(), bytes)
}

/// How index vectors are read: what gather and scatter have in common.
struct Starts<'a> {
    indices: Vec<i64>,
    shape: &'a [usize],
    vector_dim: usize,
    map: &'a [usize],
    batching: &'a [usize],
    index_batching: &'a [usize],
}

impl Starts<'_> {
    /// The index vector at a position of the grid, spread over the operand's axes; `None` on axes it does not address.
    fn at(&self, grid: &[usize], rank: usize) -> Vec<Option<i64>> {
        let mut start = vec![None; rank];
        let mut index = Shape::from_slice(grid);
        if self.vector_dim < self.shape.len() {
            index.insert(self.vector_dim, 0);
        }
        for (k, &axis) in self.map.iter().enumerate() {
            if self.vector_dim < self.shape.len() {
                index[self.vector_dim] = k;
            }
            start[axis] = position(self.shape, &index).map(|i| self.indices[i]);
        }
        for (&axis, &b) in self.batching.iter().zip(self.index_batching) {
            start[axis] = Some(index[b] as i64);
        }
        start
    }
}

/// Axes below `rank` that are in neither list.
fn others(rank: usize, a: &[usize], b: &[usize]) -> Vec<usize> {
    (0..rank).filter(|i| !a.contains(i) && !b.contains(i)).collect()
}

/// Splits a multi-index into its window part and the rest, in order.
fn part(index: &[usize], window_dims: &[usize]) -> (Shape, Shape) {
    let pick =
        |inside: bool| (0..index.len()).filter(|d| window_dims.contains(d) == inside).map(|d| index[d]).collect();
    (pick(true), pick(false))
}

pub(super) fn gather(op: &Op, x: &Literal, start_indices: &Literal, ty: &Type) -> Result<Literal> {
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
        return Err(undefined(op.name(), x.ty()));
    };
    let shape = &x.ty().shape;
    let starts = Starts {
        indices: indices(start_indices),
        shape: &start_indices.ty().shape,
        vector_dim: *index_vector_dim,
        map: start_index_map,
        batching: operand_batching_dims,
        index_batching: start_indices_batching_dims,
    };
    let window_axes = others(shape.len(), collapsed_slice_dims, operand_batching_dims);
    let size = ty.dtype.size();
    let zeros = vec![0; size];
    let mut bytes = Vec::with_capacity(ty.bytes());
    for_each_index(&ty.shape, |index| {
        let (window, grid) = part(index, offset_dims);
        let start = starts.at(&grid, shape.len());
        let mut at: Vec<usize> = (0..shape.len())
            .map(|a| start[a].unwrap_or(0).clamp(0, (shape[a] - slice_sizes[a]) as i64) as usize)
            .collect();
        for (&axis, &w) in window_axes.iter().zip(&window) {
            at[axis] += w;
        }
        // a dropped axis of length 0 has no element to read
        bytes.extend_from_slice(position(shape, &at).map_or(&zeros[..], |i| &x.bytes()[i * size..(i + 1) * size]));
    });
    Ok(literal(ty, bytes))
}

pub(super) fn scatter(
    op: &Op,
    kind: ScatterKind,
    x: &Literal,
    scatter_indices: &Literal,
    updates: &Literal,
) -> Result<Literal> {
    let Op::Scatter {
        update_window_dims,
        inserted_window_dims,
        input_batching_dims,
        scatter_indices_batching_dims,
        scatter_dims_to_operand_dims,
        index_vector_dim,
        kind: _,
    } = op
    else {
        return Err(undefined(op.name(), x.ty()));
    };
    let shape = &x.ty().shape;
    let starts = Starts {
        indices: indices(scatter_indices),
        shape: &scatter_indices.ty().shape,
        vector_dim: *index_vector_dim,
        map: scatter_dims_to_operand_dims,
        batching: input_batching_dims,
        index_batching: scatter_indices_batching_dims,
    };
    let window_axes = others(shape.len(), inserted_window_dims, input_batching_dims);
    let (window_sizes, _) = part(&updates.ty().shape, update_window_dims);
    let mut sizes = vec![1; shape.len()];
    for (&axis, &n) in window_axes.iter().zip(&window_sizes) {
        sizes[axis] = n;
    }
    let target = |index: &[usize]| -> Option<usize> {
        let (window, grid) = part(index, update_window_dims);
        let start = starts.at(&grid, shape.len());
        let mut at = Vec::with_capacity(shape.len());
        for a in 0..shape.len() {
            let s = usize::try_from(start[a].unwrap_or(0)).ok()?;
            at.push(Some(s).filter(|s| s.checked_add(sizes[a]).is_some_and(|end| end <= shape[a]))?);
        }
        for (&axis, &w) in window_axes.iter().zip(&window) {
            at[axis] += w;
        }
        position(shape, &at)
    };
    let combine = match kind {
        ScatterKind::Set => None,
        ScatterKind::Add => Some(Binary::Add),
        ScatterKind::Mul => Some(Binary::Mul),
        ScatterKind::Min => Some(Binary::Min),
        ScatterKind::Max => Some(Binary::Max),
    };
    with_element!(x.ty().dtype, T => {
        let mut y = elements::<T>(x)?;
        let mut us = elements::<T>(updates)?.into_iter();
        let mut defined = true;
        for_each_index(&updates.ty().shape, |index| {
            if let (Some(u), Some(i)) = (us.next(), target(index)) {
                let new = combine.map_or(Some(u), |op| <T as ScalarOps>::binary(op, y[i], u));
                defined &= new.is_some();
                y[i] = new.unwrap_or(y[i]);
            }
        });
        if defined { Ok(Literal::new(shape, &y)) } else { Err(undefined(op.name(), x.ty())) }
    })
}
