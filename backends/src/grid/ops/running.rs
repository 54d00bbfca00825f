//! Running sums, products and extremes along an axis.
//!
//! Lanes that are short or not contiguous have a thread each. A long contiguous lane has a block that goes through it a tile
//! at a time: each thread combines a few neighbours, the threads' results are combined in shared memory, and what the tiles
//! before gave is carried in front. Where there are few lanes, a lane is cut into parts with a block each: a first kernel gives
//! the parts' results, a second goes through them with what the parts before gave. That reads the array twice, where a
//! look-back from block to block (Merrill and Garland, "Single-pass parallel prefix scan with decoupled look-back", 2016) reads it
//! once, but adds floats in the same order in every run.

use super::{Launches, Operand, THREADS, computed, each_by, index_dtype, load_computed, param};
use crate::grid::{Build, GridKernel, Memory, Reg, blocks};
use crate::kernel::{Param, combiner, identity};
use gradloom_ir::{Binary, Comparison, ReduceKind, Result, Type};

/// From so many elements on, a block takes a contiguous lane.
const LONG: usize = 512;
/// Neighbours of a thread.
const ITEMS: usize = 4;
/// Elements that a block takes at once.
const TILE: usize = THREADS as usize * ITEMS;
/// The fewest elements of a part, and the most parts of a lane: as many as a block has threads.
const PART: usize = 4 * TILE;
const MOST_PARTS: usize = THREADS as usize;
/// Blocks that keep all of a GPU busy.
const BUSY: usize = 512;

pub(super) fn cumulative(kind: ReduceKind, x: &Type, axis: usize, reverse: bool) -> Result<Launches> {
    let n = x.shape[axis];
    let inner: usize = x.shape[axis + 1..].iter().product();
    let operands = vec![Operand::Arg(0), Operand::Result(0)];
    if x.numel() == 0 {
        return Ok(Launches::default());
    }
    let lanes = x.numel() / n;
    if inner == 1 && n >= LONG {
        let parts = (BUSY / lanes).clamp(1, MOST_PARTS).min(n.div_ceil(PART));
        let part = n.div_ceil(parts).next_multiple_of(TILE);
        let lanes = Lanes { n, count: lanes, parts: n.div_ceil(part), part, reverse };
        if lanes.parts == 1 {
            return Ok(Launches::one(by_block(kind, x, lanes, Stage::Whole)?, operands));
        }
        let mut launches = Launches::default();
        let totals = launches.take(lanes.count * lanes.parts * computed(x.dtype).size());
        launches.push(by_block(kind, x, lanes, Stage::Totals)?, vec![Operand::Arg(0), totals]);
        launches.push(by_block(kind, x, lanes, Stage::Parts)?, vec![Operand::Arg(0), totals, Operand::Result(0)]);
        return Ok(launches);
    }
    let kernel = each_by("cumulative", &[x, x], index_dtype([x]), lanes, |b, lane| {
        let (outer, rest) = b.divide(lane, inner);
        let outer = b.times(outer, (n * inner) as i64);
        let first = b.binary(Binary::Add, outer, rest);
        let acc = b.constant(identity(kind, computed(x.dtype)));
        b.times_over(n, |b, i| {
            let at = place(b, first, i, n, inner, reverse);
            let element = load_computed(b, Memory::Param(0), at);
            let sum = b.binary(combiner(kind), acc, element);
            b.assign(acc, sum);
            let stored = b.converted(acc, x.dtype);
            b.store(Memory::Param(1), at, stored);
        });
    })?;
    Ok(Launches::one(kernel, operands))
}

/// Where element `i` of a lane is, counted from its end if `reverse`.
fn place(b: &mut Build, first: Reg, i: Reg, n: usize, inner: usize, reverse: bool) -> Reg {
    let i = if reverse {
        let last = b.index(n as i64 - 1);
        b.binary(Binary::Sub, last, i)
    } else {
        i
    };
    let by = b.times(i, inner as i64);
    b.binary(Binary::Add, first, by)
}

/// Lanes of `n` elements, in parts of `part` of them.
#[derive(Clone, Copy)]
struct Lanes {
    n: usize,
    count: usize,
    parts: usize,
    part: usize,
    reverse: bool,
}

/// What a kernel does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Whole lanes: reads param 0, writes param 1.
    Whole,
    /// The results of all parts: reads param 0, writes param 1.
    Totals,
    /// The parts, with the results of those before: reads params 0 and 1, writes param 2.
    Parts,
}

/// The block's threads' values combined: those up to each thread. Two arrays take turns, so that no thread reads what
/// another writes; returns the one that holds the results, which all threads may read.
fn combined(b: &mut Build, op: Binary, sums: [Memory; 2], thread: Reg, value: Reg) -> Memory {
    b.store(sums[0], thread, value);
    b.barrier();
    // after the round of `by` each thread's value is that of the `2 by` threads up to it
    let (mut by, mut turn) = (1, 0);
    while by < THREADS as usize {
        let sum = b.load(sums[turn], thread);
        let sum = b.variable(sum);
        let limit = b.index(by as i64);
        let has_other = b.compare(Comparison::Ge, thread, limit);
        b.when(has_other, |b| {
            let other = b.binary(Binary::Sub, thread, limit);
            let before = b.load(sums[turn], other);
            let all = b.binary(op, before, sum);
            b.assign(sum, all);
        });
        turn = 1 - turn;
        b.store(sums[turn], thread, sum);
        b.barrier();
        by *= 2;
    }
    sums[turn]
}

fn by_block(kind: ReduceKind, x: &Type, lanes: Lanes, stage: Stage) -> Result<GridKernel> {
    let Lanes { n, parts, part, reverse, .. } = lanes;
    let dtype = computed(x.dtype);
    let blocks = blocks("cumulative", lanes.count * parts, 1)?;
    let totals = Param { dtype, len: lanes.count * parts };
    let params = match stage {
        Stage::Whole => vec![param(x), param(x)],
        Stage::Totals => vec![param(x), totals],
        Stage::Parts => vec![param(x), totals, param(x)],
    };
    let mut b = Build::new("cumulative", &params, blocks, THREADS, index_dtype([x]));
    let sums = [b.shared(dtype, THREADS as usize), b.shared(dtype, THREADS as usize)];
    let (block, thread) = (b.block(), b.thread());
    let (lane, number) = b.divide(block, parts);
    let first = b.times(lane, n as i64);
    let op = combiner(kind);
    let carried = b.constant(identity(kind, dtype));
    let (zero, last) = (b.index(0), b.index(i64::from(THREADS) - 1));
    if stage == Stage::Parts {
        let before = b.constant(identity(kind, dtype));
        let exists = b.compare(Comparison::Lt, thread, number);
        b.when(exists, |b| {
            let at = b.times(lane, parts as i64);
            let at = b.binary(Binary::Add, at, thread);
            let total = b.load(Memory::Param(1), at);
            b.assign(before, total);
        });
        let all = combined(&mut b, op, sums, thread, before);
        let before = b.load(all, last);
        b.assign(carried, before);
        b.barrier();
    }
    let begin = b.times(number, part as i64);
    let (whole, end, step) = (b.index(n as i64), b.plus(begin, part as i64), b.index(TILE as i64));
    let end = b.binary(Binary::Min, end, whole);
    b.count(begin, end, step, |b, from| {
        let own = b.times(thread, ITEMS as i64);
        let own = b.binary(Binary::Add, from, own);
        // the sums of this thread's elements up to each of them
        let mut items: Vec<(Reg, Reg, Reg)> = Vec::new();
        for k in 0..ITEMS {
            let i = b.plus(own, k as i64);
            let exists = b.compare(Comparison::Lt, i, end);
            let sum = b.constant(identity(kind, dtype));
            let at = place(b, first, i, n, 1, reverse);
            b.when(exists, |b| {
                let element = load_computed(b, Memory::Param(0), at);
                b.assign(sum, element);
            });
            if let Some(&(before, ..)) = items.last() {
                let all = b.binary(op, before, sum);
                b.assign(sum, all);
            }
            items.push((sum, at, exists));
        }
        let all = combined(b, op, sums, thread, items[ITEMS - 1].0);
        if stage != Stage::Totals {
            let out = Memory::Param(params.len() as u32 - 1);
            let before = b.variable(carried);
            let has_before = b.compare(Comparison::Gt, thread, zero);
            b.when(has_before, |b| {
                let other = b.plus(thread, -1);
                let threads_before = b.load(all, other);
                let sum = b.binary(op, before, threads_before);
                b.assign(before, sum);
            });
            for &(sum, at, exists) in &items {
                b.when(exists, |b| {
                    let sum = b.binary(op, before, sum);
                    let stored = b.converted(sum, x.dtype);
                    b.store(out, at, stored);
                });
            }
        }
        let tile = b.load(all, last);
        let next = b.binary(op, carried, tile);
        b.assign(carried, next);
        // the next tile writes what some may still read
        b.barrier();
    });
    if stage == Stage::Totals {
        let is_first = b.compare(Comparison::Eq, thread, zero);
        b.when(is_first, |b| b.store(Memory::Param(1), block, carried));
    }
    Ok(b.finish())
}
