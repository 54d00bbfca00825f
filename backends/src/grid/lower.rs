//! From a loop nest to a grid kernel.
//!
//! Without reductions each thread computes a few consecutive points. With reductions a block is a rectangle of threads,
//! some points by some slices: the threads of one point each combine a slice of what is reduced, then their results are
//! combined, in an order that sizes alone decide. Neighbouring threads are neighbours along the axis that memory is
//! contiguous in, so that a warp reads whole lines; what would be read across memory is read along it by tiles.

use super::nest::{Accumulators, Points};
use super::{Build, GridKernel, Memory, Reg, WARP, blocks};
use crate::kernel::{Affine, Inst, LoopNest, Val};
use gradloom_ir::{Binary, Comparison, DType, Result};
use std::collections::HashMap;

/// Threads in a block.
const THREADS: u32 = 256;

/// Blocks of a kernel without reductions; its threads go on to further points, so that what they compute of the indices
/// once serves several.
const MAX_BLOCKS: usize = 4096;

/// Most bytes that one access of a thread moves.
const ACCESS_BYTES: usize = 16;

/// Most points of a thread at once, and most of a body as long as `LONG`: registers are few.
const MAX_WIDTH: usize = 8;
const MAX_LONG_WIDTH: usize = 2;
const LONG: usize = 64;

/// Up to so many elements are combined by one thread.
const SHORT_REDUCTION: usize = 32;

/// Up to so many elements are combined by one warp.
const WARP_REDUCTION: usize = 1024;

/// From so many points on, one thread each keeps a GPU busy.
const MANY_POINTS: usize = 1 << 16;

/// Sides of a tile, and rows of it that are read or computed at once.
const TILE: usize = 32;
const ROWS: usize = THREADS as usize / TILE;

/// Most arrays that are read by tiles.
const MAX_TURNED: usize = 4;

/// How a loop nest is distributed over threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schedule {
    /// Each thread computes `width` points that are neighbours along the innermost axis.
    Points {
        /// A power of two that divides the axis.
        width: usize,
    },
    /// A block computes a square of points along `axis` and the innermost one. What is contiguous along `axis` is read so,
    /// into shared memory.
    Tiles {
        /// Not the innermost.
        axis: usize,
    },
    /// A block is `points` by `slices` threads.
    Reduction {
        /// Points of a block.
        points: u32,
        /// Threads of a point; those of a reduction along memory are neighbours.
        slices: u32,
        /// Whether threads of one point are neighbours, and not those of neighbouring points.
        along: bool,
        /// Elements that a thread combines at once, neighbours along the innermost reduced axis.
        width: usize,
    },
}

/// A loop nest as a grid kernel; nests on 16-bit floats have been widened. Param `i` begins at a multiple of `alignment(i)`
/// bytes, a power of two.
///
/// # Errors
/// A nest that is not well formed, or more than 2^31 blocks of points.
pub fn lower(nest: &LoopNest, alignment: &dyn Fn(usize) -> usize) -> Result<GridKernel> {
    nest.verify()?;
    let nest = nest.collapse();
    match schedule(&nest, alignment) {
        Schedule::Points { width } => points(&nest, width),
        Schedule::Tiles { axis } => tiles(&nest, axis),
        Schedule::Reduction { points, slices, along, width } => reduction(&nest, points, slices, along, width),
    }
}

/// How a nest in normal form ([`LoopNest::collapse`]) is distributed.
pub fn schedule(nest: &LoopNest, alignment: &dyn Fn(usize) -> usize) -> Schedule {
    let parallel = nest.parallel();
    let width = |axis| width(nest, axis, alignment);
    if parallel == nest.axes.len() {
        if let Some(axis) = turned_axis(nest) {
            return Schedule::Tiles { axis };
        }
        return Schedule::Points { width: width(parallel.checked_sub(1)) };
    }
    let count = |axes: &[crate::kernel::Axis]| axes.iter().map(|a| a.extent).product::<usize>();
    let (points, reduced) = (count(&nest.axes[..parallel]), count(&nest.axes[parallel..]));
    let unit = |axis: usize| loads(nest).filter(|at| at.strides[axis].unsigned_abs() == 1).count();
    let last = nest.axes.len() - 1;
    let along = parallel == 0 || points == 1 || unit(last) >= unit(parallel - 1);
    let [points, slices] = match (reduced, along) {
        (0..=SHORT_REDUCTION, _) => [THREADS, 1],
        (_, false) if points >= MANY_POINTS => [THREADS, 1],
        (_, false) => [WARP, THREADS / WARP],
        (..=WARP_REDUCTION, true) => [THREADS / WARP, WARP],
        _ => [1, THREADS],
    };
    Schedule::Reduction { points, slices, along, width: if along { width(Some(last)) } else { 1 } }
}

/// Whether a load is contiguous along `axis` and jumps along the innermost one.
fn is_turned(at: &Affine, axis: usize) -> bool {
    at.strides[axis].unsigned_abs() == 1 && at.strides[at.strides.len() - 1].unsigned_abs() > 1
}

/// The axis along which most of the loads that jump along the innermost axis are contiguous, if there is enough along both to
/// fill tiles, and what they hold fits the shared memory that any block has.
fn turned_axis(nest: &LoopNest) -> Option<usize> {
    let last = nest.axes.len().checked_sub(1)?;
    let turned = |axis: usize| loads(nest).filter(|at| is_turned(at, axis)).count();
    let axis = (0..last).max_by_key(|&a| (turned(a), std::cmp::Reverse(a))).filter(|&a| turned(a) > 0)?;
    let fills = [axis, last].iter().all(|&a| nest.axes[a].extent >= TILE / 2);
    (fills && turned(axis) <= MAX_TURNED).then_some(axis)
}

fn loads(nest: &LoopNest) -> impl Iterator<Item = &Affine> {
    nest.body.iter().filter(|i| matches!(i, Inst::Load { .. })).filter_map(|i| i.affine())
}

/// How many neighbours along an axis a thread takes at once: as many as make one access of the widest dtype that is
/// contiguous there.
pub(super) fn width(nest: &LoopNest, axis: Option<usize>, alignment: &dyn Fn(usize) -> usize) -> usize {
    let Some(axis) = axis else { return 1 };
    let reduce = nest.axes[axis].reduce;
    let stores = nest.stores.iter().filter(|_| !reduce).map(|s| (s.param, &s.at));
    let loads = nest.body.iter().filter_map(|i| match i {
        Inst::Load { param, at } => Some((*param, at)),
        _ => None,
    });
    let contiguous = loads.chain(stores).filter(|(_, at)| at.strides[axis] == 1);
    let in_one_access =
        |(p, _): (u32, _)| alignment(p as usize).clamp(1, ACCESS_BYTES) / nest.params[p as usize].dtype.size();
    let Some(fits) = contiguous.map(in_one_access).min() else { return 1 };
    let most = if nest.body.len() < LONG { MAX_WIDTH } else { MAX_LONG_WIDTH };
    let mut width = fits.clamp(1, most);
    while !nest.axes[axis].extent.is_multiple_of(width) {
        width /= 2;
    }
    width
}

/// The dtype of indices: u32 where all counts and positions fit 31 bits.
pub(super) fn index_dtype(nest: &LoopNest) -> DType {
    let extents = || nest.axes.iter().map(|a| a.extent.max(1));
    let affines = nest.insts().filter_map(|i| i.affine()).chain(nest.stores.iter().map(|s| &s.at));
    let fits = |x: i128| x.unsigned_abs() < 1 << 31;
    let positions = affines.map(|at| at.range(extents())).all(|(low, high)| fits(low) && fits(high));
    let counts = extents().map(|n| n as i128).fold(1i128, i128::saturating_mul);
    if positions && fits(counts) { DType::U32 } else { DType::U64 }
}

fn points(nest: &LoopNest, width: usize) -> Result<GridKernel> {
    let mut nest = nest.clone();
    let dtype = index_dtype(&nest);
    let lane = nest.axes.len().checked_sub(1).filter(|_| width > 1);
    if let Some(axis) = lane {
        nest.split_axis(axis, width);
    }
    let lanes = lane.map(|axis| (axis + 1, width));
    let outer = &nest.axes[..lane.map_or(nest.axes.len(), |axis| axis + 1)];
    let extents: Vec<usize> = outer.iter().map(|a| a.extent).collect();
    let count: usize = extents.iter().product();
    let blocks = blocks(&nest.name, count, THREADS as usize)?.min(MAX_BLOCKS as u32);
    let mut b = Build::new(&nest.name, &nest.params, blocks, THREADS, dtype);
    if count == 0 {
        return Ok(b.finish());
    }
    let code = Points::new(&nest, lanes)?;
    let first = b.grid_thread();
    let (end, step) = (b.index(count as i64), b.index(i64::from(blocks) * i64::from(THREADS)));
    b.count(first, end, step, |b, i| {
        let mut index = b.point(i, &extents);
        if lanes.is_some() {
            index.push(b.index(0));
        }
        let mut values = Vec::new();
        code.evaluate(b, &index, &[], 0..nest.body.len(), &mut values);
        code.store(b, &index, &values);
    });
    Ok(b.finish())
}

fn tiles(nest: &LoopNest, axis: usize) -> Result<GridKernel> {
    let last = nest.axes.len() - 1;
    let code = Points::new(nest, None)?;
    let turned: Vec<usize> = (0..nest.body.len())
        .filter(|&v| matches!(&nest.body[v], Inst::Load { at, .. } if is_turned(at, axis)))
        .collect();
    // a block for each place on the other axes and each tile
    let counts: Vec<usize> = (0..=last)
        .map(|a| if a == axis || a == last { nest.axes[a].extent.div_ceil(TILE) } else { nest.axes[a].extent })
        .collect();
    let blocks = blocks(&nest.name, counts.iter().product(), 1)?;
    let mut build = Build::new(&nest.name, &nest.params, blocks, THREADS, index_dtype(nest));
    let b = &mut build;
    // one element more a row, so that a column lies in different banks
    let shared: Vec<Memory> = turned.iter().map(|&v| b.shared(code.dtype(v as Val), TILE * (TILE + 1))).collect();
    let block = b.block();
    let mut index = b.point(block, &counts);
    let thread = b.thread();
    let (row, lane) = b.divide(thread, TILE);
    let corner = [axis, last].map(|a| b.times(index[a], TILE as i64));
    let ends = [axis, last].map(|a| b.index(nest.axes[a].extent as i64));
    // threads side by side go along `axis` as they read, along the innermost axis as they compute
    for reads in [true, false] {
        for part in 0..TILE / ROWS {
            let across = b.plus(row, (part * ROWS) as i64);
            let own = if reads { [lane, across] } else { [across, lane] };
            let at = [0, 1].map(|k| b.binary(Binary::Add, corner[k], own[k]));
            (index[axis], index[last]) = (at[0], at[1]);
            let inside = [0, 1].map(|k| b.compare(Comparison::Lt, at[k], ends[k]));
            let exists = b.both(inside[0], inside[1]);
            let place = b.times(own[1], TILE as i64 + 1);
            let place = b.binary(Binary::Add, place, own[0]);
            b.when(exists, |b| {
                let mut known = HashMap::new();
                if reads {
                    for (&v, &to) in turned.iter().zip(&shared) {
                        let mut values = Vec::new();
                        code.evaluate(b, &index, &[], v..v + 1, &mut values);
                        b.store(to, place, values[v][0]);
                    }
                    return;
                }
                for (&v, &from) in turned.iter().zip(&shared) {
                    known.insert(v, b.load(from, place));
                }
                let mut values = Vec::new();
                code.evaluate_with(b, &index, &[], 0..nest.body.len(), &mut values, &known);
                code.store(b, &index, &values);
            });
        }
        if reads {
            b.barrier();
        }
    }
    Ok(build.finish())
}

fn reduction(nest: &LoopNest, points: u32, slices: u32, along: bool, width: usize) -> Result<GridKernel> {
    let mut nest = nest.clone();
    let dtype = index_dtype(&nest);
    let (parallel, last) = (nest.parallel(), nest.axes.len() - 1);
    let lanes = (width > 1).then(|| {
        nest.split_axis(last, width);
        (last + 1, width)
    });
    let extents: Vec<usize> = nest.axes[..=last].iter().map(|a| a.extent).collect();
    let (kept, reduced) = extents.split_at(parallel);
    let (count, rounds) = (kept.iter().product::<usize>(), reduced.iter().product::<usize>());
    let blocks = blocks(&nest.name, count, points as usize)?;
    let mut b = Build::new(&nest.name, &nest.params, blocks, points * slices, dtype);
    let code = Points::new(&nest, lanes)?;
    let at_end = Points::new(&nest, None)?;

    let (block, thread) = (b.block(), b.thread());
    let (slice, own) = match along {
        true => {
            let (own, slice) = b.divide(thread, slices as usize);
            (slice, own)
        }
        false => b.divide(thread, points as usize),
    };
    let first = b.times(block, i64::from(points));
    let point = b.binary(Binary::Add, first, own);
    let end = b.index(count as i64);
    let exists = b.compare(Comparison::Lt, point, end);
    let accs = Accumulators::new(&mut b, &code);
    b.when(exists, |b| {
        let kept = b.point(point, kept);
        let (end, step) = (b.index(rounds as i64), b.index(i64::from(slices)));
        b.count(slice, end, step, |b, r| {
            let mut index = kept.clone();
            index.extend(b.point(r, reduced));
            if lanes.is_some() {
                index.push(b.index(0));
            }
            let mut values = Vec::new();
            code.evaluate(b, &index, &[], 0..nest.body.len(), &mut values);
            accs.add(b, &values, width);
        });
    });
    // neighbours in a warp first; what is left of a point's slices goes through shared memory
    let mut partial = slices;
    if along {
        let threads = slices.min(WARP);
        accs.exchange(&mut b, threads);
        partial = slices / threads;
    }
    let shared: Vec<Memory> = match partial {
        1 => Vec::new(),
        _ => accs.registers().iter().map(|&acc| b.shared(b.dtype(acc), (partial * points) as usize)).collect(),
    };
    let hand_over = |b: &mut Build, part: Reg| {
        shared.iter().zip(accs.registers()).for_each(|(&to, &acc)| b.store(to, part, acc));
    };
    if partial > 1 && along {
        // the first thread of each warp holds a part
        let (warp, lane) = b.divide(thread, WARP as usize);
        let zero = b.index(0);
        let holds = b.compare(Comparison::Eq, lane, zero);
        b.when(holds, |b| hand_over(b, warp));
        b.barrier();
    } else if partial > 1 {
        hand_over(&mut b, thread);
        b.barrier();
    }
    let zero = b.index(0);
    let is_first = b.compare(Comparison::Eq, slice, zero);
    let writes = b.both(exists, is_first);
    b.when(writes, |b| {
        for part in 1..if shared.is_empty() { 1 } else { partial } {
            let at = b.plus(own, i64::from(part * points));
            for (k, &from) in shared.iter().enumerate() {
                let x = b.load(from, at);
                accs.combine(b, k, x);
            }
        }
        let mut index = b.point(point, kept);
        // nothing that is written depends on the reduced axes
        index.resize(nest.axes.len(), zero);
        let mut values = Vec::new();
        at_end.evaluate(
            b,
            &index,
            &accs.results(),
            nest.body.len()..nest.body.len() + nest.epilogue.len(),
            &mut values,
        );
        at_end.store(b, &index, &values);
    });
    Ok(b.finish())
}
