//! What is done to finished sums, and where they are written.

use super::kernel::{At, Running, Writer};
use super::online::Late;
use super::sums::combine_quarters;
use super::tile::{Factor, Output, Sum};
use crate::grid::{Build, MULTIPLY_COLUMNS, Memory, Reg, Source, Stmt};
use crate::kernel::{Inst, combiner};
use gradloom_ir::{Binary, Comparison, DType, Literal, Unary};
use smallvec::SmallVec;
use std::collections::HashMap;

/// A result with a number a place, which the first of the four threads of a place writes.
struct RowResult<'a> {
    param: u32,
    strides: &'a [usize],
    dtype: DType,
    is_first: Reg,
}

impl Writer<'_> {
    /// Combines what threads have of a place, and writes the results.
    pub(super) fn end(&self, b: &mut Build, greatest: Option<[Reg; 2]>, running: &[Running]) {
        let tile = self.tile;
        for (r, o) in running.iter().zip(&tile.outputs) {
            if let (Running::Reduced(sums), Sum::Reduce(kind)) = (r, &o.sum) {
                sums.iter().for_each(|&sum| combine_quarters(b, sum, combiner(*kind)));
            }
        }
        let mut next = tile.arg_types.len() as u32;
        let zero = b.index(0);
        let is_first = b.compare(Comparison::Eq, self.quarter, zero);
        let mut lowest = [None; 2];
        if let (Some(g), Some(greatest)) = (&tile.greatest, greatest) {
            let infinity = b.constant(Literal::new(&[], &[f32::NEG_INFINITY]));
            for half in 0..2 {
                lowest[half] = Some(b.compare(Comparison::Eq, greatest[half], infinity));
                self.write_one(
                    b,
                    &RowResult { param: next, strides: &g.strides, dtype: g.ty.dtype, is_first },
                    half,
                    greatest[half],
                );
            }
            next += 1;
        }
        // the exponential of the difference of infinities
        let nan = b.constant(Literal::new(&[], &[f32::NAN]));
        let mut sinks: [Vec<(usize, Reg)>; 2] = Default::default();
        if let (Some(g), Some(greatest)) = (&tile.greatest, greatest) {
            (0..2).for_each(|half| sinks[half].push((g.node, greatest[half])));
        }
        let mut reduced = Vec::new();
        for (r, o) in running.iter().zip(&tile.outputs) {
            let Running::Reduced(sums) = r else { continue };
            let sums = [0, 1].map(|half| lowest[half].map_or(sums[half], |l| b.select(l, nan, sums[half])));
            (0..2).for_each(|half| sinks[half].push((o.node, sums[half])));
            reduced.push((o.node, sums));
        }
        let factors = [0, 1].map(|half| match &tile.rows {
            None => Vec::new(),
            Some(rows) => {
                let index = [&self.batch[..], &self.own[half]].concat();
                let none = |_: usize| zero;
                let found = self.evaluator(rows, &sinks[half]).results(b, &index, &none, &HashMap::new());
                found.into_iter().map(|x| b.widened_half(x)).collect()
            }
        });
        for (r, o) in running.iter().zip(&tile.outputs) {
            match r {
                Running::Reduced(_) => {
                    if let Some((_, sums)) = reduced.iter().find(|(node, _)| *node == o.node) {
                        let to = RowResult { param: next, strides: &o.strides, dtype: o.ty.dtype, is_first };
                        sums.iter().enumerate().for_each(|(half, &sum)| self.write_one(b, &to, half, sum));
                    }
                }
                Running::Products(all) => {
                    for (columns, sums) in all.iter().enumerate() {
                        for half in 0..2 {
                            let pair = [0, 1].map(|k| {
                                let x =
                                    lowest[half].map_or(sums[2 * half + k], |l| b.select(l, nan, sums[2 * half + k]));
                                self.finished(b, o, x, &factors[half])
                            });
                            self.write_pair(b, next, o, half, columns, pair);
                        }
                    }
                }
                Running::None => {}
            }
            next += 1;
        }
    }

    /// Writes a value of output `k` where it is in the region.
    pub(super) fn write_place(&self, b: &mut Build, k: usize, at: &At, x: Reg) {
        let o = &self.tile.outputs[k];
        let result = self.tile.arg_types.len() + usize::from(self.tile.greatest.is_some()) + k;
        let write = |b: &mut Build| {
            let at = b.place(&at.index, &o.strides);
            let x = b.converted(x, o.ty.dtype);
            b.store(Memory::Param(result as u32), at, x);
        };
        match self.exists[at.half].into_iter().chain(at.exists).reduce(|p, q| b.both(p, q)) {
            Some(writes) => b.when(writes, write),
            None => write(b),
        }
    }

    /// A sum with what is done to it at the end.
    fn finished(&self, b: &mut Build, o: &Output, mut x: Reg, factors: &[Reg]) -> Reg {
        for (late, number) in &o.late {
            x = match late {
                Late::Negate => b.set(DType::F32, Source::Scalar(Inst::Unary(Unary::Neg, x))),
                Late::By(op, _) => b.binary(*op, x, factors[*number]),
            };
        }
        x
    }

    /// Writes what the thread's place `half` has come to.
    fn write_one(&self, b: &mut Build, to: &RowResult, half: usize, x: Reg) {
        let writes = self.exists[half].map_or(to.is_first, |exists| b.both(exists, to.is_first));
        b.when(writes, |b| {
            let at = self.own_place(b, to.strides, half);
            let x = b.converted(x, to.dtype);
            b.store(Memory::Param(to.param), at, x);
        });
    }

    /// Writes the thread's two neighbours among eight columns of a product's result.
    fn write_pair(&self, b: &mut Build, result: u32, o: &Output, half: usize, columns: usize, pair: [Reg; 2]) {
        let Sum::Product(Factor { length, .. }) = o.sum else { return };
        let column = b.times(self.quarter, 2);
        let column = b.plus(column, (columns * MULTIPLY_COLUMNS) as i64);
        let pair = pair.map(|x| b.converted(x, o.ty.dtype));
        let write = |b: &mut Build| {
            let place = self.own_place(b, &o.strides, half);
            let even = o.strides.iter().all(|s| s.is_multiple_of(2)) && length.is_multiple_of(2);
            let even = even && self.alignment[result as usize] >= 2 * o.ty.dtype.size();
            let along = b.times(column, o.along as i64);
            let at = b.binary(Binary::Add, place, along);
            if o.along == 1 && even {
                b.push(Stmt::Store { to: Memory::Param(result), at, values: SmallVec::from_slice(&pair) });
                return;
            }
            b.store(Memory::Param(result), at, pair[0]);
            let next = b.plus(at, o.along as i64);
            let write = |b: &mut Build| b.store(Memory::Param(result), next, pair[1]);
            if length.is_multiple_of(2) {
                return write(b);
            }
            let last = b.index(length as i64 - 1);
            let has_next = b.compare(Comparison::Lt, column, last);
            b.when(has_next, write);
        };
        let mut conditions: Vec<Reg> = self.exists[half].into_iter().collect();
        if !length.is_multiple_of(MULTIPLY_COLUMNS) {
            let end = b.index(length as i64);
            conditions.push(b.compare(Comparison::Lt, column, end));
        }
        match conditions.into_iter().reduce(|p, q| b.both(p, q)) {
            Some(writes) => b.when(writes, write),
            None => write(b),
        }
    }
}
