//! Dynamic slices and gathers: a thread an element. Starts are moved so that what is read or written lies inside.

use super::{Launches, Operand, each, load_words, position, store_words, words};
use crate::grid::{Build, Memory, Reg};
use gradloom_ir::{Binary, DType, Error, Literal, Op, Result, Type};

/// The integer at `at` as an i64, which it saturates.
pub(super) fn integer(b: &mut Build, from: Memory, at: Reg) -> Reg {
    let mut x = b.load(from, at);
    if b.dtype(x) == DType::U64 {
        let most = b.constant(Literal::new(&[], &[i64::MAX as u64]));
        x = b.binary(Binary::Min, x, most);
    }
    b.converted(x, DType::I64)
}

/// The integer at `at`, between 0 and `limit`, as an index.
fn clamped(b: &mut Build, from: Memory, at: Reg, limit: usize) -> Reg {
    let x = integer(b, from, at);
    let (low, high) = (b.constant(Literal::new(&[], &[0i64])), b.constant(Literal::new(&[], &[limit as i64])));
    let x = b.binary(Binary::Max, x, low);
    let x = b.binary(Binary::Min, x, high);
    b.as_index(x)
}

/// Where a block of `sizes` starts in an array of `shape`: one scalar operand an axis, from param `first` on.
fn starts(b: &mut Build, first: usize, shape: &[usize], sizes: &[usize]) -> Vec<Reg> {
    let zero = b.index(0);
    let start =
        |(a, (&n, &size)): (usize, (&usize, &usize))| clamped(b, Memory::Param((first + a) as u32), zero, n - size);
    shape.iter().zip(sizes).enumerate().map(start).collect()
}

fn moved(b: &mut Build, index: &[Reg], by: &[Reg]) -> Vec<Reg> {
    index.iter().zip(by).map(|(&i, &s)| b.binary(Binary::Add, i, s)).collect()
}

pub(super) fn dynamic_slice(args: &[Type], out: &Type) -> Result<Launches> {
    let (x, w) = (&args[0], words(out));
    let arrays: Vec<&Type> = args.iter().chain([out]).collect();
    let kernel = each("dynamic_slice", &arrays, out.numel(), |b, number| {
        let index = b.point(number, &out.shape);
        let starts = starts(b, 1, &x.shape, &out.shape);
        let source = moved(b, &index, &starts);
        let at = position(b, &source, &x.shape);
        let element = load_words(b, w, Memory::Param(0), at);
        store_words(b, w, Memory::Param(args.len() as u32), number, element);
    })?;
    let operands = (0..args.len()).map(Operand::Arg).chain([Operand::Result(0)]);
    Ok(Launches::one(kernel, operands.collect()))
}

/// A copy, then the update. Where result and operand share memory, the copy moves each element to itself.
pub(super) fn dynamic_update_slice(args: &[Type], out: &Type) -> Result<Launches> {
    let (update, w) = (&args[1], words(out));
    let mut all = copy(out)?;
    if update.numel() == 0 {
        return Ok(all);
    }
    let arrays: Vec<&Type> = args[1..].iter().chain([out]).collect();
    let kernel = each("dynamic_update_slice", &arrays, update.numel(), |b, number| {
        let index = b.point(number, &update.shape);
        let starts = starts(b, 1, &out.shape, &update.shape);
        let target = moved(b, &index, &starts);
        let at = position(b, &target, &out.shape);
        let element = load_words(b, w, Memory::Param(0), number);
        store_words(b, w, Memory::Param(arrays.len() as u32 - 1), at, element);
    })?;
    all.push(kernel, (1..args.len()).map(Operand::Arg).chain([Operand::Result(0)]).collect());
    Ok(all)
}

/// The first operand as the first result.
pub(super) fn copy(t: &Type) -> Result<Launches> {
    let w = words(t);
    let kernel = each("copy", &[t, t], t.numel(), |b, number| {
        let element = load_words(b, w, Memory::Param(0), number);
        store_words(b, w, Memory::Param(1), number, element);
    })?;
    Ok(Launches::one(kernel, vec![Operand::Arg(0), Operand::Result(0)]))
}

/// Where component `k` of the index vector of a point of the grid is.
pub(super) fn index_place(b: &mut Build, grid: &[Reg], k: usize, indices: &Type, vector_dim: usize) -> Reg {
    let mut vector = grid.to_vec();
    if vector_dim < indices.shape.len() {
        let k = b.index(k as i64);
        vector.insert(vector_dim, k);
    }
    position(b, &vector, &indices.shape)
}

/// An axis of the indices as one of the grid, which lacks that of the index vectors.
pub(super) fn grid_axis(d: usize, vector_dim: usize) -> usize {
    if d > vector_dim { d - 1 } else { d }
}

pub(super) fn gather(op: &Op, args: &[Type], out: &Type) -> Result<Launches> {
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
        return Err(Error::internal(op.name(), "is no gather"));
    };
    let (x, indices, w) = (&args[0], &args[1], words(out));
    let rank = x.shape.len();
    let is_window = |a: &usize| !collapsed_slice_dims.contains(a) && !operand_batching_dims.contains(a);
    let window_axes: Vec<usize> = (0..rank).filter(is_window).collect();
    // a dropped axis of length 0 has no element to read
    let is_empty = x.numel() == 0;
    let kernel = each("gather", &[x, indices, out], out.numel(), |b, number| {
        if is_empty {
            let zero = b.constant(Literal::scalar(w.dtype, 0.0));
            let element = (0..w.per_element).map(|_| zero).collect();
            return store_words(b, w, Memory::Param(2), number, element);
        }
        let index = b.point(number, &out.shape);
        let is_offset = |d: &usize| offset_dims.contains(d);
        let grid: Vec<Reg> = (0..index.len()).filter(|d| !is_offset(d)).map(|d| index[d]).collect();
        let window = (0..index.len()).filter(is_offset).map(|d| index[d]);
        let zero = b.index(0);
        let mut source = vec![zero; rank];
        for (k, &axis) in start_index_map.iter().enumerate() {
            let at = index_place(b, &grid, k, indices, *index_vector_dim);
            source[axis] = clamped(b, Memory::Param(1), at, x.shape[axis] - slice_sizes[axis]);
        }
        for (&axis, &d) in operand_batching_dims.iter().zip(start_indices_batching_dims) {
            source[axis] = grid[grid_axis(d, *index_vector_dim)];
        }
        for (&axis, i) in window_axes.iter().zip(window) {
            source[axis] = b.binary(Binary::Add, source[axis], i);
        }
        let at = position(b, &source, &x.shape);
        let element = load_words(b, w, Memory::Param(0), at);
        store_words(b, w, Memory::Param(2), number, element);
    })?;
    Ok(Launches::one(kernel, vec![Operand::Arg(0), Operand::Arg(1), Operand::Result(0)]))
}
