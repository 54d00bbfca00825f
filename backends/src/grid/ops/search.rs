//! The position of the greatest or least element of each lane.

use super::{Launches, Operand, THREADS, each, index_dtype, load_computed, param};
use crate::grid::{Build, Memory, Reg, Source, WARP, blocks};
use gradloom_ir::{Binary, Comparison, DType, ReduceKind, Result, Type};

/// From so many elements on, a warp takes a lane.
const LONG: usize = 256;

/// Whether `x` replaces `best`: it is greater or less, or the first NaN. Numbers of a dtype that is computed in.
pub(super) fn beats(b: &mut Build, kind: ReduceKind, x: Reg, best: Reg) -> Reg {
    let better = if kind == ReduceKind::Max { Comparison::Gt } else { Comparison::Lt };
    let is_better = b.compare(better, x, best);
    if !b.dtype(x).is_float() {
        return is_better;
    }
    let is_nan = b.compare(Comparison::Ne, x, x);
    let known = b.compare(Comparison::Eq, best, best);
    let wins = b.either(is_nan, is_better);
    b.both(known, wins)
}

/// The best so far: a number and where it is.
#[derive(Clone, Copy)]
struct Best {
    x: Reg,
    at: Reg,
}

impl Best {
    fn replace(self, b: &mut Build, wins: Reg, x: Reg, at: Reg) {
        let (x, at) = (b.select(wins, x, self.x), b.select(wins, at, self.at));
        b.assign(self.x, x);
        b.assign(self.at, at);
    }
}

/// Looks at the elements `from, from + step, ..` of a lane whose element `i` is at `first + i inner`; there is one.
fn look(b: &mut Build, kind: ReduceKind, lane: (Reg, usize, usize), from: Reg, step: usize) -> Best {
    let (first, n, inner) = lane;
    let element = |b: &mut Build, i: Reg| {
        let by = b.times(i, inner as i64);
        let at = b.binary(Binary::Add, first, by);
        load_computed(b, Memory::Param(0), at)
    };
    let x = element(b, from);
    let best = Best { x: b.variable(x), at: b.variable(from) };
    let next = b.plus(from, step as i64);
    let (end, step) = (b.index(n as i64), b.index(step as i64));
    b.count(next, end, step, |b, i| {
        let x = element(b, i);
        let wins = beats(b, kind, x, best.x);
        best.replace(b, wins, x, i);
    });
    best
}

pub(super) fn arg_reduce(kind: ReduceKind, x: &Type, axis: usize, out: &Type) -> Result<Launches> {
    let n = x.shape[axis];
    let inner: usize = x.shape[axis + 1..].iter().product();
    let first = |b: &mut Build, lane: Reg| {
        let (outer, rest) = b.divide(lane, inner);
        let outer = b.times(outer, (n * inner) as i64);
        b.binary(Binary::Add, outer, rest)
    };
    let operands = vec![Operand::Arg(0), Operand::Result(0)];
    if n < LONG {
        let kernel = each("arg_reduce", &[x, out], out.numel(), |b, lane| {
            let (first, zero) = (first(b, lane), b.index(0));
            let best = look(b, kind, (first, n, inner), zero, 1);
            let at = b.converted(best.at, DType::I32);
            b.store(Memory::Param(1), lane, at);
        })?;
        return Ok(Launches::one(kernel, operands));
    }
    // a warp a lane: each thread its own elements, then the better of neighbours, the first of equals
    let (warps, params) = (THREADS / WARP, [param(x), param(out)]);
    let blocks = blocks("arg_reduce", out.numel(), warps as usize)?;
    let mut b = Build::new("arg_reduce", &params, blocks, THREADS, index_dtype([x, out]));
    let thread = b.grid_thread();
    let (lane, own) = b.divide(thread, WARP as usize);
    // a warp beyond the last lane looks at the last one again
    let last = b.index(out.numel() as i64 - 1);
    let exists = b.compare(Comparison::Le, lane, last);
    let seen = b.binary(Binary::Min, lane, last);
    let first = first(&mut b, seen);
    let best = look(&mut b, kind, (first, n, inner), own, WARP as usize);
    let mut xor = WARP / 2;
    while xor > 0 {
        let x = b.set(b.dtype(best.x), Source::Exchange { of: best.x, xor });
        let at = b.set(b.dtype(best.at), Source::Exchange { of: best.at, xor });
        let wins = beats(&mut b, kind, x, best.x);
        let loses = beats(&mut b, kind, best.x, x);
        let stays = b.negated(loses);
        let earlier = b.compare(Comparison::Lt, at, best.at);
        let as_good = b.both(stays, earlier);
        let wins = b.either(wins, as_good);
        best.replace(&mut b, wins, x, at);
        xor /= 2;
    }
    let zero = b.index(0);
    let is_first = b.compare(Comparison::Eq, own, zero);
    let writes = b.both(exists, is_first);
    b.when(writes, |b| {
        let at = b.converted(best.at, DType::I32);
        b.store(Memory::Param(1), lane, at);
    });
    Ok(Launches::one(b.finish(), operands))
}
