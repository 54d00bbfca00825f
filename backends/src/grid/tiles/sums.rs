//! Products of tiles, and what is summed up of them.

use super::fragments::{Fragment, fragment_of, multiply};
use super::kernel::{At, CHUNK, Running, Writer, existing, extent};
use super::places::Evaluator;
use super::program::Program;
use super::tile::{Factor, Output, Sum};
use crate::grid::{Build, MULTIPLY_COLUMNS, Reg, Source};
use crate::kernel::{Inst, combiner, identity};
use gradloom_ir::{Binary, Comparison, DType, Literal, Unary};
use smallvec::SmallVec;
use std::collections::HashMap;

/// Places that are multiplied at once, and what their products have come to: by product, then by eight places, then by the thread's
/// elements.
pub(super) struct Chunk {
    /// The first of those in shared memory.
    pub first: Reg,
    /// Its number among those in shared memory.
    pub number: usize,
    pub scores: Vec<[[Reg; 4]; 2]>,
}

/// The elements that a thread has of a chunk: of which eight places, and its number there.
fn elements() -> impl Iterator<Item = (usize, usize)> {
    (0..2).flat_map(|n| (0..4).map(move |i| (n, i)))
}

impl Writer<'_> {
    /// The sums of each product, for each eight places of a chunk.
    pub(super) fn scores(&self, b: &mut Build, own: &[Vec<Fragment>], first: Reg, number: usize) -> Chunk {
        let mut scores = Vec::with_capacity(own.len());
        for (score, own) in self.tile.scores.iter().zip(own) {
            let Some(s) = self.staged_of(&score.other) else { continue };
            let layout = s.layout;
            let row = b.times(self.group, layout.stride as i64);
            let term = b.times(self.quarter, layout.pair() as i64);
            let at = b.binary(Binary::Add, row, term);
            scores.push([0, 1].map(|n| {
                let sums = [0; 4].map(|_| b.constant(Literal::new(&[], &[0f32])));
                let places = (number * CHUNK + n * MULTIPLY_COLUMNS) * layout.stride;
                for (step, left) in own.iter().enumerate() {
                    let mut elements: SmallVec<[Reg; 8]> = SmallVec::new();
                    for part in 0..2 {
                        let at = b.plus(at, (places + step * layout.depth() + part * layout.depth() / 2) as i64);
                        elements.extend(b.loads(s.memory, at, layout.pair()));
                    }
                    let right = fragment_of(b, &elements, self.precision);
                    multiply(b, sums, left, &right);
                }
                sums
            }));
        }
        Chunk { first, number, scores }
    }

    /// Where the thread's element `i` of the eight places number `n` of a chunk is.
    fn at(&self, b: &mut Build, chunk: &Chunk, n: usize, i: usize) -> At {
        let own = b.times(self.quarter, 2);
        let place = b.plus(own, (chunk.number * CHUNK + n * MULTIPLY_COLUMNS + i % 2) as i64);
        let place = b.binary(Binary::Add, chunk.first, place);
        let (exists, place) = existing(b, place, extent(self.others()), self.width);
        let other = b.point(place, self.others());
        At { half: i / 2, exists, index: self.index(i / 2, &other) }
    }

    pub(super) fn evaluator<'e>(&'e self, program: &'e Program, sinks: &'e [(usize, Reg)]) -> Evaluator<'e> {
        Evaluator { program, args: &self.tile.args, sinks }
    }

    /// The number of a product among those that are made.
    fn made(&self, number: usize) -> usize {
        self.tile.scores.iter().position(|s| s.number == number).unwrap_or(0)
    }

    /// Raises the greatest numbers to those of a tile and makes the sums smaller; what exponents are shifted by.
    pub(super) fn raise(
        &self,
        b: &mut Build,
        chunks: &[Chunk],
        fixed: &[HashMap<usize, Reg>; 2],
        greatest: [Reg; 2],
        running: &[Running],
    ) -> [Reg; 2] {
        let Some(g) = &self.tile.greatest else { return greatest };
        let infinity = b.constant(Literal::new(&[], &[f32::NEG_INFINITY]));
        let tops = [0, 1].map(|_| b.variable(infinity));
        for chunk in chunks {
            for (n, i) in elements() {
                let at = self.at(b, chunk, n, i);
                let score = |k: usize| chunk.scores[self.made(k)][n][i];
                let x = self.evaluator(&g.of, &[]).results(b, &at.index, &score, &fixed[at.half])[0];
                let x = b.widened_half(x);
                let x = at.exists.map_or(x, |exists| b.select(exists, x, infinity));
                let top = b.binary(Binary::Max, tops[at.half], x);
                b.assign(tops[at.half], top);
            }
        }
        let mut shift = greatest;
        let mut smaller = greatest;
        for half in 0..2 {
            combine_quarters(b, tops[half], Binary::Max);
            let new = b.binary(Binary::Max, greatest[half], tops[half]);
            // as the result has it
            let new = if g.ty.dtype.is_half() {
                let short = b.converted(new, g.ty.dtype);
                b.widened_half(short)
            } else {
                new
            };
            let one = b.constant(Literal::new(&[], &[1f32]));
            let zero = b.constant(Literal::new(&[], &[0f32]));
            // of infinities that stay there is no difference
            let stays = b.compare(Comparison::Eq, new, greatest[half]);
            let less = b.binary(Binary::Sub, greatest[half], new);
            let less = b.set(DType::F32, Source::Scalar(Inst::Unary(Unary::Exp, less)));
            let less = b.select(stays, one, less);
            smaller[half] = less;
            b.assign(greatest[half], new);
            let is_lowest = b.compare(Comparison::Eq, new, infinity);
            shift[half] = b.select(is_lowest, zero, new);
        }
        for r in running {
            match r {
                Running::Reduced(sums) => (0..2).for_each(|half| {
                    let x = b.binary(Binary::Mul, sums[half], smaller[half]);
                    b.assign(sums[half], x);
                }),
                Running::Products(all) => all.iter().for_each(|sums| {
                    for i in 0..4 {
                        let x = b.binary(Binary::Mul, sums[i], smaller[i / 2]);
                        b.assign(sums[i], x);
                    }
                }),
                Running::None => {}
            }
        }
        shift
    }

    /// Adds up what a chunk of places gives.
    pub(super) fn sum(
        &self,
        b: &mut Build,
        chunk: &Chunk,
        fixed: &[HashMap<usize, Reg>; 2],
        shift: Option<[Reg; 2]>,
        running: &[Running],
    ) {
        let greatest = self.tile.greatest.as_ref().map_or(usize::MAX, |g| g.node);
        // by output, then by place among eight, then by the thread's elements
        let mut values = vec![[[0; 4]; 2]; running.len()];
        for (n, i) in elements() {
            let at = self.at(b, chunk, n, i);
            let score = |k: usize| chunk.scores[self.made(k)][n][i];
            let sinks: Vec<(usize, Reg)> = shift.iter().map(|s| (greatest, s[at.half])).collect();
            let results = self.evaluator(&self.tile.values, &sinks).results(b, &at.index, &score, &fixed[at.half]);
            for (k, (o, x)) in self.tile.outputs.iter().zip(results).enumerate() {
                let (x, none) = match &o.sum {
                    Sum::Store => {
                        self.write_place(b, k, &at, x);
                        continue;
                    }
                    Sum::Reduce(kind) => (x, identity(*kind, b.dtype(x))),
                    // a product's sum may go on as it is
                    Sum::Product(f) => {
                        let dtype = self.tile.arg_types[f.arg].dtype;
                        (b.converted(x, dtype), Literal::scalar(dtype, 0.0))
                    }
                };
                values[k][n][i] = match at.exists {
                    Some(exists) => {
                        let none = b.constant(none);
                        b.select(exists, x, none)
                    }
                    None => x,
                };
            }
        }
        for (k, (o, r)) in self.tile.outputs.iter().zip(running).enumerate() {
            match (r, &o.sum) {
                (Running::Reduced(sums), Sum::Reduce(kind)) => {
                    for (n, i) in elements() {
                        let x = b.widened_half(values[k][n][i]);
                        let sum = b.binary(combiner(*kind), sums[i / 2], x);
                        b.assign(sums[i / 2], sum);
                    }
                }
                (Running::Products(sums), Sum::Product(factor)) => {
                    self.product(b, chunk.number, &values[k], factor, sums)
                }
                _ => {}
            }
        }
    }

    /// Adds the product of a chunk's values with the factor's rows of these places.
    fn product(&self, b: &mut Build, chunk: usize, values: &[[Reg; 4]; 2], factor: &Factor, sums: &[[Reg; 4]]) {
        let Some(s) = self.staged_of(factor) else { return };
        let layout = s.layout;
        // the values of a thread are those of a left factor, pairs of places being pairs of terms; single numbers of two places
        // are the terms of two threads, in another order than the places, which the right factor has, too
        let left: Vec<SmallVec<[Reg; 8]>> = match layout.pair() {
            2 => vec![values.concat().into_iter().collect()],
            _ => values.iter().map(|v| [v[0], v[2], v[1], v[3]].into_iter().collect()).collect(),
        };
        let left: Vec<Fragment> = left.iter().map(|l| fragment_of(b, l, self.precision)).collect();
        let row = b.times(self.quarter, 2 * layout.stride as i64);
        let at = b.binary(Binary::Add, row, self.group);
        for (columns, &sums) in sums.iter().enumerate() {
            for (n, left) in left.iter().enumerate() {
                let first = chunk * CHUNK + n * MULTIPLY_COLUMNS;
                let places: &[usize] = if layout.pair() == 2 { &[0, 1, 8, 9] } else { &[0, 1] };
                let elements: SmallVec<[Reg; 8]> = places
                    .iter()
                    .map(|place| {
                        let at = b.plus(at, ((first + place) * layout.stride + columns * MULTIPLY_COLUMNS) as i64);
                        b.load(s.memory, at)
                    })
                    .collect();
                let right = fragment_of(b, &elements, self.precision);
                multiply(b, sums, left, &right);
            }
        }
    }
}

/// Nothing summed up yet.
pub(super) fn start(b: &mut Build, o: &Output) -> Running {
    match &o.sum {
        Sum::Reduce(kind) => Running::Reduced([0, 1].map(|_| b.constant(identity(*kind, DType::F32)))),
        Sum::Product(f) => {
            let count = f.length.div_ceil(MULTIPLY_COLUMNS);
            Running::Products((0..count).map(|_| [0; 4].map(|_| b.constant(Literal::new(&[], &[0f32])))).collect())
        }
        Sum::Store => Running::None,
    }
}

/// Combines what the four threads of a row have; each then has the result.
pub(super) fn combine_quarters(b: &mut Build, x: Reg, with: Binary) {
    for xor in [2, 1] {
        let other = b.set(DType::F32, Source::Exchange { of: x, xor });
        let both = b.binary(with, x, other);
        b.assign(x, both);
    }
}
