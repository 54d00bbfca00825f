//! Running sums, products and extremes along an axis.
//!
//! Lanes that are short or not contiguous have a thread each. A long contiguous lane has a block that goes through it a tile
//! at a time: each thread combines a few neighbours, the threads' results are combined in shared memory, and what the tiles
//! before gave is carried in front.

use super::{Launches, Operand, THREADS, computed, each_by, index_dtype, load_computed, param};
use crate::grid::{Build, GridKernel, Memory, Reg, blocks};
use crate::kernel::{combiner, identity};
use gradloom_ir::{Binary, Comparison, ReduceKind, Result, Type};

/// From so many elements on, a block takes a contiguous lane.
const LONG: usize = 512;
/// Neighbours of a thread.
const ITEMS: usize = 4;

pub(super) fn cumulative(kind: ReduceKind, x: &Type, axis: usize, reverse: bool) -> Result<Launches> {
    let n = x.shape[axis];
    let inner: usize = x.shape[axis + 1..].iter().product();
    let operands = vec![Operand::Arg(0), Operand::Result(0)];
    if x.numel() == 0 {
        return Ok(Launches::default());
    }
    let lanes = x.numel() / n;
    if inner == 1 && n >= LONG {
        return Ok(Launches::one(by_block(kind, x, n, lanes, reverse)?, operands));
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

fn by_block(kind: ReduceKind, x: &Type, n: usize, lanes: usize, reverse: bool) -> Result<GridKernel> {
    let threads = THREADS;
    let tile = threads as usize * ITEMS;
    let blocks = blocks("cumulative", lanes, 1)?;
    let mut b = Build::new("cumulative", &[param(x), param(x)], blocks, threads, index_dtype([x]));
    let dtype = computed(x.dtype);
    // two arrays take turns, so that no thread reads what another writes
    let sums = [b.shared(dtype, threads as usize), b.shared(dtype, threads as usize)];
    let (lane, thread) = (b.block(), b.thread());
    let first = b.times(lane, n as i64);
    let op = combiner(kind);
    let carried = b.constant(identity(kind, dtype));
    let (end, step) = (b.index(n as i64), b.index(tile as i64));
    let zero = b.index(0);
    b.count(zero, end, step, |b, from| {
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
        let total = items[ITEMS - 1].0;
        b.store(sums[0], thread, total);
        b.barrier();
        // after the round of `by` each thread's sum is that of the `2 by` threads up to it
        let (mut by, mut turn) = (1, 0);
        while by < threads as usize {
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
        let before = b.variable(carried);
        let has_before = b.compare(Comparison::Gt, thread, zero);
        b.when(has_before, |b| {
            let other = b.plus(thread, -1);
            let threads_before = b.load(sums[turn], other);
            let all = b.binary(op, before, threads_before);
            b.assign(before, all);
        });
        for &(sum, at, exists) in &items {
            b.when(exists, |b| {
                let all = b.binary(op, before, sum);
                let stored = b.converted(all, x.dtype);
                b.store(Memory::Param(1), at, stored);
            });
        }
        let last = b.index(i64::from(threads) - 1);
        let tile = b.load(sums[turn], last);
        let next = b.binary(op, carried, tile);
        b.assign(carried, next);
        // the next tile writes what some may still read
        b.barrier();
    });
    Ok(b.finish())
}
