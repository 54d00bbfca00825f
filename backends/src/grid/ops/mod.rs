//! Ops that are no loop nests, as grid kernels: one theme a file, one function an op.
//!
//! [`launches`] gives for an op on operands of some types the kernels that compute it, in order, and the scratch memory they
//! hand values over in. Complex numbers are moved as pairs of words; ops that compute on them have been taken apart before.

mod convolution;
mod indexing;
mod product;
mod running;
mod scatter;
mod search;
mod shaping;
mod sorting;
mod window;

use super::{Build, GridKernel, Memory, Reg, Stmt, blocks};
use crate::kernel::Param;
use gradloom_ir::{Comparison, DType, Error, Op, Result, Type, row_major_strides};
use smallvec::SmallVec;

/// What a kernel is called with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operand {
    /// An operand of the op.
    Arg(usize),
    /// A result.
    Result(usize),
    /// Scratch memory, by its position in [`Launches::scratch`].
    Scratch(usize),
}

/// A kernel and what it is called with, one operand a param.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The kernel.
    pub kernel: GridKernel,
    /// Its buffers.
    pub operands: Vec<Operand>,
}

/// The kernels of an op, in order.
#[derive(Clone, Debug, Default)]
pub struct Launches {
    /// What runs.
    pub launches: Vec<Launch>,
    /// Bytes of each piece of scratch memory.
    pub scratch: Vec<usize>,
}

/// The kernels that compute `op`; `None` if it is computed otherwise: by a loop nest, a library or with bodies.
///
/// # Errors
/// An array that is larger than one kernel takes.
pub fn launches(op: &Op, args: &[Type], results: &[Type]) -> Result<Option<Launches>> {
    let moves = matches!(
        op,
        Op::Pad { .. }
            | Op::Concatenate { .. }
            | Op::DynamicSlice { .. }
            | Op::DynamicUpdateSlice {}
            | Op::Gather { .. }
            | Op::Scatter { .. }
            | Op::Sort { .. }
    );
    if let Some(t) = args.iter().find(|t| t.dtype.is_complex() && !moves) {
        return Err(Error::limit(op.name(), format!("of {} has no form on GPUs", t.dtype)));
    }
    Ok(Some(match op {
        Op::Pad { low, interior, .. } => shaping::pad(args, low, interior, &results[0])?,
        Op::Concatenate { axis } => shaping::concatenate(args, *axis, &results[0])?,
        Op::DynamicSlice { .. } => indexing::dynamic_slice(args, &results[0])?,
        Op::DynamicUpdateSlice {} => indexing::dynamic_update_slice(args, &results[0])?,
        Op::Gather { .. } => indexing::gather(op, args, &results[0])?,
        Op::DotGeneral { .. } => product::dot_general(op, args, &results[0])?,
        Op::Convolution { .. } => convolution::convolution(op, args, &results[0])?,
        Op::Scatter { .. } => scatter::scatter(op, args, &results[0])?,
        Op::ArgReduce { kind, axis } => search::arg_reduce(*kind, &args[0], *axis, &results[0])?,
        Op::Cumulative { kind, axis, reverse } => running::cumulative(*kind, &args[0], *axis, *reverse)?,
        Op::ReduceWindow { kind, .. } => window::reduce_window(op, *kind, &args[0], &results[0])?,
        Op::SelectAndGather { kind, .. } => window::select_and_gather(op, *kind, args, &results[0])?,
        Op::SelectAndScatter { kind, .. } => window::select_and_scatter(op, *kind, args, &results[0])?,
        Op::Sort { axis, num_keys } => sorting::sort(args, *axis, *num_keys)?,
        _ => return Ok(None),
    }))
}

impl Launches {
    fn one(kernel: GridKernel, operands: Vec<Operand>) -> Launches {
        Launches { launches: vec![Launch { kernel, operands }], scratch: Vec::new() }
    }

    fn push(&mut self, kernel: GridKernel, operands: Vec<Operand>) {
        self.launches.push(Launch { kernel, operands });
    }

    /// Scratch memory of its own.
    fn take(&mut self, bytes: usize) -> Operand {
        self.scratch.push(bytes);
        Operand::Scratch(self.scratch.len() - 1)
    }
}

/// How an array's elements lie in memory for kernels that only move them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Words {
    /// A complex number is two of its parts.
    pub per_element: usize,
    pub dtype: DType,
}

pub(super) fn words(t: &Type) -> Words {
    Words { per_element: if t.dtype.is_complex() { 2 } else { 1 }, dtype: t.dtype.real() }
}

/// The param that holds an array.
pub(super) fn param(t: &Type) -> Param {
    let w = words(t);
    Param { dtype: w.dtype, len: t.numel() * w.per_element }
}

/// The dtype of indices into arrays of these types: u32 where all positions fit 31 bits.
pub(super) fn index_dtype<'a>(types: impl IntoIterator<Item = &'a Type>) -> DType {
    let fits = |t: &Type| param(t).len < 1 << 31;
    if types.into_iter().all(fits) { DType::U32 } else { DType::U64 }
}

/// Threads in a block of kernels with a thread an element.
pub(super) const THREADS: u32 = 256;

/// The dtype of indices that go as far as `extents` beside those into arrays.
pub(super) fn index_within<'a>(
    mut extents: impl Iterator<Item = i128>,
    arrays: impl IntoIterator<Item = &'a Type>,
) -> DType {
    if extents.all(|n| n < 1 << 31) { index_dtype(arrays) } else { DType::U64 }
}

/// The dtype that elements are computed in: 16-bit floats as f32.
fn computed(dtype: DType) -> DType {
    if dtype.is_half() { DType::F32 } else { dtype }
}

/// An element in the dtype that it is computed in.
fn load_computed(b: &mut Build, from: Memory, at: Reg) -> Reg {
    let x = b.load(from, at);
    b.widened_half(x)
}

/// Where an index is in row-major order of `shape`.
pub(super) fn position(b: &mut Build, index: &[Reg], shape: &[usize]) -> Reg {
    b.place(index, &row_major_strides(shape))
}

/// Along an axis of `n` elements that lie `dilation` apart, whether there is one at a place, and which. A place before the
/// first has wrapped, and is beyond the last.
pub(super) fn undilated(b: &mut Build, place: Reg, n: usize, dilation: usize) -> (Reg, Reg) {
    let span = n.saturating_sub(1) as i128 * dilation as i128 + i128::from(n > 0);
    let end = b.index(i64::try_from(span).unwrap_or(i64::MAX));
    let within = b.compare(Comparison::Lt, place, end);
    let zero = b.index(0);
    let (index, rest) = if n > 1 { b.divide(place, dilation) } else { (zero, place) };
    let on_grid = b.compare(Comparison::Eq, rest, zero);
    (b.both(within, on_grid), index)
}

/// A kernel with one thread for each of `count` elements; `body` gets the element's number.
pub(super) fn each(
    name: &str,
    arrays: &[&Type],
    count: usize,
    body: impl FnOnce(&mut Build, Reg),
) -> Result<GridKernel> {
    each_by(name, arrays, index_dtype(arrays.iter().copied()), count, body)
}

/// As [`each`], with indices of a dtype.
pub(super) fn each_by(
    name: &str,
    arrays: &[&Type],
    index: DType,
    count: usize,
    body: impl FnOnce(&mut Build, Reg),
) -> Result<GridKernel> {
    let blocks = blocks(name, count, THREADS as usize)?;
    let params: Vec<Param> = arrays.iter().map(|t| param(t)).collect();
    let mut b = Build::new(name, &params, blocks, THREADS, index);
    let number = b.grid_thread();
    let end = b.index(count as i64);
    let exists = b.compare(Comparison::Lt, number, end);
    b.when(exists, |b| body(b, number));
    Ok(b.finish())
}

/// The element at `at`, as its words.
pub(super) fn load_words(b: &mut Build, w: Words, from: Memory, at: Reg) -> SmallVec<[Reg; 4]> {
    let at = b.times(at, w.per_element as i64);
    b.loads(from, at, w.per_element)
}

/// Writes an element's words.
pub(super) fn store_words(b: &mut Build, w: Words, to: Memory, at: Reg, values: SmallVec<[Reg; 4]>) {
    let at = b.times(at, w.per_element as i64);
    b.push(Stmt::Store { to, at, values });
}
