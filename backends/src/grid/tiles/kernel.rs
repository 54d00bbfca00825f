//! The kernel of a tile: each warp has [`MULTIPLY_ROWS`] places of a block, whose products with the places that the block goes along are
//! made by tensor cores.

use super::fragments::{Fragment, Layout, Precision, fragment_of, multiply};
use super::online::Late;
use super::places::{Evaluator, registers_of_rows};
use super::program::Program;
use super::region::Side;
use super::tile::{Factor, Output, Score, Sum, Tile};
use crate::grid::ops::{index_dtype, param};
use crate::grid::{
    Build, GridKernel, MULTIPLY_COLUMNS, MULTIPLY_ROWS, Memory, Reg, SHARED, Source, Stmt, WARP, blocks,
};
use crate::kernel::{Inst, combiner, identity};
use gradloom_ir::{Binary, Comparison, DType, Error, Literal, Result, Type, Unary};
use smallvec::SmallVec;
use std::collections::HashMap;

/// Warps of a block.
const WARPS: usize = 4;
/// Places of a block.
pub(super) const OWN: usize = WARPS * MULTIPLY_ROWS;
/// Places that are multiplied at once.
const CHUNK: usize = 2 * MULTIPLY_COLUMNS;
/// How many places a block has in shared memory at a time: the most that fit.
const WIDTHS: [usize; 2] = [2 * CHUNK, CHUNK];

/// A factor in shared memory.
struct Staged {
    factor: Factor,
    layout: Layout,
    memory: Memory,
}

struct Writer<'t> {
    tile: &'t Tile,
    precision: Precision,
    alignment: &'t [usize],
    /// Places in shared memory at a time.
    width: usize,
    staged: Vec<Staged>,
    batch: Vec<Reg>,
    thread: Reg,
    /// The thread's quarter of a row, and its place among eight rows.
    quarter: Reg,
    group: Reg,
    /// Of the thread's two places of its own: whether they exist, if that is not known, and their indices.
    exists: [Option<Reg>; 2],
    own: [Vec<Reg>; 2],
}

/// The sums of a thread's two places.
enum Running {
    /// One each.
    Reduced([Reg; 2]),
    /// Of each eight columns the four that the thread has.
    Products(Vec<[Reg; 4]>),
    /// What is written at once.
    None,
}

fn extent(extents: &[usize]) -> usize {
    extents.iter().product()
}

/// The kernel, on arguments at multiples of `alignment` bytes.
///
/// # Errors
/// More blocks than a GPU takes, or more shared memory than it has.
pub(super) fn kernel(tile: &Tile, tf32: bool, alignment: &[usize]) -> Result<GridKernel> {
    let results = tile.types();
    let types: Vec<&Type> = tile.arg_types.iter().chain(&results).collect();
    let params: Vec<_> = types.iter().map(|t| param(t)).collect();
    let extents = &tile.axes.extents;
    let own = &extents[tile.axes.side(tile.own)];
    let batches = &extents[tile.axes.batch()];
    let down = extent(own).div_ceil(OWN);
    let count = blocks("tiles", extent(batches) * down, 1)?;
    let mut build = Build::new(&name(tile), &params, count, WARPS as u32 * WARP, index_dtype(types.iter().copied()));
    let b = &mut build;
    let (width, staged) = staged(b, tile)?;
    let (block, thread) = (b.block(), b.thread());
    let (batch, part) = b.divide(block, down);
    let batch = b.point(batch, batches);
    let (warp, lane) = b.divide(thread, WARP as usize);
    let (group, quarter) = b.divide(lane, 4);
    let first = b.times(part, OWN as i64);
    let of_warp = b.times(warp, MULTIPLY_ROWS as i64);
    let first = b.binary(Binary::Add, first, of_warp);
    let first = b.binary(Binary::Add, first, group);
    let places = [first, b.plus(first, 8)];
    let (exists, own): (Vec<_>, Vec<_>) = places
        .into_iter()
        .map(|place| {
            let (exists, place) = existing(b, place, extent(own), OWN);
            (exists, b.point(place, own))
        })
        .unzip();
    let both = |_| Error::internal("tiles", "a thread has two places");
    let precision = if tf32 { Precision::Short } else { Precision::Full };
    let w = Writer {
        tile,
        precision,
        alignment,
        width,
        staged,
        batch,
        thread,
        quarter,
        group,
        exists: exists.try_into().map_err(both)?,
        own: own.try_into().map_err(|_| Error::internal("tiles", "a thread has two places"))?,
    };
    w.write(b);
    Ok(build.finish())
}

/// What is summed up, for dumps and profiles.
fn name(tile: &Tile) -> String {
    let of = |o: &Output| match o.sum {
        Sum::Reduce(kind) => kind.name(),
        Sum::Product(_) => "dot_general",
        Sum::Store => "store",
    };
    let parts: Vec<&str> = tile.greatest.iter().map(|_| "max").chain(tile.outputs.iter().map(of)).collect();
    format!("tiles_{}", parts.join("_"))
}

/// Whether place number `place` of `count` exists, where that is not known because tiles of `each` fill them, and it or the last that
/// does.
fn existing(b: &mut Build, place: Reg, count: usize, each: usize) -> (Option<Reg>, Reg) {
    if count.is_multiple_of(each) {
        return (None, place);
    }
    let end = b.index(count as i64);
    let exists = b.compare(Comparison::Lt, place, end);
    let last = b.index(count as i64 - 1);
    (Some(exists), b.select(exists, place, last))
}

/// Shared memory for the factors with the places that a block goes along, each once, and how many places fit.
fn staged(b: &mut Build, tile: &Tile) -> Result<(usize, Vec<Staged>)> {
    let mut factors: Vec<&Factor> = Vec::new();
    let of_scores = tile.scores.iter().map(|s| &s.other);
    let of_sums = tile.outputs.iter().filter_map(|o| match &o.sum {
        Sum::Product(f) => Some(f),
        Sum::Reduce(_) | Sum::Store => None,
    });
    for f in of_scores.chain(of_sums) {
        if !factors.contains(&f) {
            factors.push(f);
        }
    }
    let layout = |f: &Factor| Layout::new(tile.arg_types[f.arg].dtype, f.length);
    let bytes = |width: usize| factors.iter().map(|f| layout(f).bytes(width)).sum::<usize>();
    let width = WIDTHS.into_iter().find(|&w| bytes(w) <= SHARED);
    let width = width.ok_or_else(|| Error::limit("tiles", "its factors do not fit shared memory"))?;
    let staged = factors.into_iter().map(|f| {
        let layout = layout(f);
        Staged { factor: f.clone(), layout, memory: b.shared(layout.dtype, width * layout.stride) }
    });
    Ok((width, staged.collect()))
}

impl Writer<'_> {
    fn others(&self) -> &[usize] {
        &self.tile.axes.extents[self.tile.axes.side(self.tile.own.other())]
    }

    fn others_range(&self) -> std::ops::Range<usize> {
        self.tile.axes.side(self.tile.own.other())
    }

    /// Where an array with these strides has the batch of the block.
    fn batch_place(&self, b: &mut Build, strides: &[usize]) -> Reg {
        b.place(&self.batch, &strides[self.tile.axes.batch()])
    }

    /// Where an array has the thread's place `half` of its own.
    fn own_place(&self, b: &mut Build, strides: &[usize], half: usize) -> Reg {
        let batch = self.batch_place(b, strides);
        let own = b.place(&self.own[half], &strides[self.tile.axes.side(self.tile.own)]);
        b.binary(Binary::Add, batch, own)
    }

    /// The index of the region's element at the thread's place `half` and the place of these indices.
    fn index(&self, half: usize, other: &[Reg]) -> Vec<Reg> {
        let sides = match self.tile.own {
            Side::Rows => [&self.own[half][..], other],
            Side::Columns => [other, &self.own[half][..]],
        };
        [&self.batch[..], sides[0], sides[1]].concat()
    }

    fn staged_of(&self, f: &Factor) -> Option<&Staged> {
        self.staged.iter().find(|s| s.factor == *f)
    }

    fn write(&self, b: &mut Build) {
        let tile = self.tile;
        let own: Vec<Vec<Fragment>> = tile.scores.iter().map(|s| self.own_fragments(b, s)).collect();
        let programs = [Some(&tile.values), tile.greatest.as_ref().map(|g| &g.of)];
        let zero = b.index(0);
        let nowhere = vec![zero; self.others().len()];
        // what does not change along the other places, for each program and each of the thread's places
        let fixed: Vec<[HashMap<usize, Reg>; 2]> = programs
            .into_iter()
            .map(|p| {
                [0, 1].map(|half| {
                    let index = self.index(half, &nowhere);
                    p.map_or_else(HashMap::new, |p| registers_of_rows(b, p, &tile.args, &index, self.others_range()))
                })
            })
            .collect();
        let infinity = Literal::new(&[], &[f32::NEG_INFINITY]);
        let greatest = tile.greatest.as_ref().map(|_| [0, 1].map(|_| b.constant(infinity.clone())));
        let running: Vec<Running> = tile.outputs.iter().map(|o| start(b, o)).collect();
        let (from, to, step) = (b.index(0), b.index(extent(self.others()) as i64), b.index(self.width as i64));
        b.count(from, to, step, |b, first| {
            // all have read what was there before
            b.barrier();
            self.staged.iter().for_each(|s| self.stage(b, s, first));
            b.barrier();
            let Some(greatest) = greatest else {
                for chunk in 0..self.width / CHUNK {
                    let scores = self.scores(b, &own, chunk);
                    self.sum(b, first, chunk, &scores, &fixed[0], None, &running);
                }
                return;
            };
            let scores: Vec<_> = (0..self.width / CHUNK).map(|chunk| self.scores(b, &own, chunk)).collect();
            let shift = self.raise(b, first, &scores, &fixed[1], greatest, &running);
            for (chunk, scores) in scores.iter().enumerate() {
                self.sum(b, first, chunk, scores, &fixed[0], Some(shift), &running);
            }
        });
        self.end(b, greatest, &running);
    }

    /// The thread's parts of a factor of its own places, for each step along the terms.
    fn own_fragments(&self, b: &mut Build, score: &Score) -> Vec<Fragment> {
        let f = &score.own;
        let layout = Layout::new(self.tile.arg_types[f.arg].dtype, f.length);
        let places = [0, 1].map(|half| self.own_place(b, &f.strides, half));
        let pairs = layout.pair() == 2
            && f.along == 1
            && f.length.is_multiple_of(2)
            && f.strides.iter().all(|s| s.is_multiple_of(2))
            && self.alignment[f.arg] >= 2 * layout.dtype.size();
        let own = b.times(self.quarter, layout.pair() as i64);
        (0..layout.terms / layout.depth())
            .map(|step| {
                let mut elements: SmallVec<[Reg; 8]> = SmallVec::new();
                for part in 0..2 {
                    let term = b.plus(own, (step * layout.depth() + part * layout.depth() / 2) as i64);
                    for place in places {
                        elements.extend(self.elements(b, f, place, term, layout, pairs));
                    }
                }
                fragment_of(b, &elements, self.precision)
            })
            .collect()
    }

    /// One or two neighbours among the terms of a factor; what is not there is 0.
    fn elements(
        &self,
        b: &mut Build,
        f: &Factor,
        place: Reg,
        term: Reg,
        layout: Layout,
        as_pair: bool,
    ) -> SmallVec<[Reg; 2]> {
        let memory = Memory::Param(f.arg as u32);
        let one = |b: &mut Build, term: Reg, width: usize| -> SmallVec<[Reg; 2]> {
            let load = |b: &mut Build| -> SmallVec<[Reg; 2]> {
                let along = b.times(term, f.along as i64);
                let at = b.binary(Binary::Add, place, along);
                b.loads(memory, at, width).into_iter().collect()
            };
            if layout.terms == f.length {
                return load(b);
            }
            let zero = Literal::scalar(layout.dtype, 0.0);
            let x: SmallVec<[Reg; 2]> = (0..width).map(|_| b.constant(zero.clone())).collect();
            let end = b.index(f.length as i64);
            let exists = b.compare(Comparison::Lt, term, end);
            b.when(exists, |b| {
                let loaded = load(b);
                x.iter().zip(loaded).for_each(|(&x, y)| b.assign(x, y));
            });
            x
        };
        if as_pair {
            return one(b, term, 2);
        }
        let mut all = one(b, term, 1);
        if layout.pair() == 2 {
            let next = b.plus(term, 1);
            all.extend(one(b, next, 1));
        }
        all
    }

    /// Copies the places from `first` on into shared memory.
    fn stage(&self, b: &mut Build, s: &Staged, first: Reg) {
        let (f, layout) = (&s.factor, s.layout);
        let others = self.others();
        let along_places = &f.strides[self.others_range()];
        let each = 16 / layout.dtype.size();
        let whole = f.along == 1
            && f.length.is_multiple_of(each)
            && f.strides.iter().all(|s| s.is_multiple_of(each))
            && self.alignment[f.arg] >= 16;
        let each = if whole { each } else { 1 };
        // neighbours among the threads read neighbours in memory
        let places_first = f.along != 1 && along_places.last() == Some(&1);
        let batch = self.batch_place(b, &f.strides);
        let pieces = layout.terms / each;
        let threads = WARPS * WARP as usize;
        let count = self.width * pieces;
        for round in 0..count.div_ceil(threads) {
            let number = b.plus(self.thread, (round * threads) as i64);
            let (place, piece) = match places_first {
                true => {
                    let (piece, place) = b.divide(number, self.width);
                    (place, piece)
                }
                false => b.divide(number, pieces),
            };
            let term = b.times(piece, each as i64);
            let mut conditions: Vec<Reg> = Vec::new();
            if layout.terms != f.length {
                let end = b.index(f.length as i64);
                conditions.push(b.compare(Comparison::Lt, term, end));
            }
            let place_in_array = b.binary(Binary::Add, first, place);
            if !extent(others).is_multiple_of(self.width) {
                let end = b.index(extent(others) as i64);
                conditions.push(b.compare(Comparison::Lt, place_in_array, end));
            }
            let load = |b: &mut Build| {
                let index = b.point(place_in_array, others);
                let at = b.place(&index, along_places);
                let at = b.binary(Binary::Add, batch, at);
                let along = b.times(term, f.along as i64);
                let at = b.binary(Binary::Add, at, along);
                b.loads(Memory::Param(f.arg as u32), at, each)
            };
            let write = |b: &mut Build| {
                let values = match conditions.iter().copied().reduce(|p, q| b.both(p, q)) {
                    None => load(b),
                    Some(exists) => {
                        let zero = Literal::scalar(layout.dtype, 0.0);
                        let x: SmallVec<[Reg; 4]> = (0..each).map(|_| b.constant(zero.clone())).collect();
                        b.when(exists, |b| {
                            let loaded = load(b);
                            x.iter().zip(loaded).for_each(|(&x, y)| b.assign(x, y));
                        });
                        x
                    }
                };
                let row = b.times(place, layout.stride as i64);
                let at = b.binary(Binary::Add, row, term);
                b.push(Stmt::Store { to: s.memory, at, values });
            };
            if (round + 1) * threads > count {
                let end = b.index(count as i64);
                let has_one = b.compare(Comparison::Lt, number, end);
                b.when(has_one, write);
            } else {
                write(b);
            }
        }
    }

    /// The sums of each product, for each eight places of a chunk.
    fn scores(&self, b: &mut Build, own: &[Vec<Fragment>], chunk: usize) -> Vec<[[Reg; 4]; 2]> {
        let mut all = Vec::with_capacity(own.len());
        for (score, own) in self.tile.scores.iter().zip(own) {
            let Some(s) = self.staged_of(&score.other) else { continue };
            let layout = s.layout;
            let row = b.times(self.group, layout.stride as i64);
            let term = b.times(self.quarter, layout.pair() as i64);
            let at = b.binary(Binary::Add, row, term);
            all.push([0, 1].map(|n| {
                let sums = [0; 4].map(|_| b.constant(Literal::new(&[], &[0f32])));
                let places = (chunk * CHUNK + n * MULTIPLY_COLUMNS) * layout.stride;
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
        all
    }

    /// The place number `column` of eight, of those from `first` on: whether it exists, and its indices.
    fn other_place(&self, b: &mut Build, first: Reg, chunk: usize, n: usize, column: usize) -> (Option<Reg>, Vec<Reg>) {
        let own = b.times(self.quarter, 2);
        let place = b.plus(own, (chunk * CHUNK + n * MULTIPLY_COLUMNS + column) as i64);
        let place = b.binary(Binary::Add, first, place);
        let (exists, place) = existing(b, place, extent(self.others()), self.width);
        (exists, b.point(place, self.others()))
    }

    fn evaluator<'e>(&'e self, program: &'e Program, sinks: &'e [(usize, Reg)]) -> Evaluator<'e> {
        Evaluator { program, args: &self.tile.args, sinks }
    }

    /// The number of a product among those that are made.
    fn made(&self, number: usize) -> usize {
        self.tile.scores.iter().position(|s| s.number == number).unwrap_or(0)
    }

    /// Raises the greatest numbers to those of a tile and makes the sums smaller; what exponents are shifted by.
    fn raise(
        &self,
        b: &mut Build,
        first: Reg,
        scores: &[Vec<[[Reg; 4]; 2]>],
        fixed: &[HashMap<usize, Reg>; 2],
        greatest: [Reg; 2],
        running: &[Running],
    ) -> [Reg; 2] {
        let Some(g) = &self.tile.greatest else { return greatest };
        let infinity = b.constant(Literal::new(&[], &[f32::NEG_INFINITY]));
        let tops = [0, 1].map(|_| b.variable(infinity));
        for (chunk, scores) in scores.iter().enumerate() {
            for n in 0..2 {
                for i in 0..4 {
                    let (half, column) = (i / 2, i % 2);
                    let (exists, other) = self.other_place(b, first, chunk, n, column);
                    let index = self.index(half, &other);
                    let score = |k: usize| scores[self.made(k)][n][i];
                    let x = self.evaluator(&g.of, &[]).results(b, &index, &score, &fixed[half])[0];
                    let x = b.widened_half(x);
                    let x = exists.map_or(x, |exists| b.select(exists, x, infinity));
                    let top = b.binary(Binary::Max, tops[half], x);
                    b.assign(tops[half], top);
                }
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
    #[allow(clippy::too_many_arguments, reason = "a chunk, and what the kernel has in its registers")]
    fn sum(
        &self,
        b: &mut Build,
        first: Reg,
        chunk: usize,
        scores: &[[[Reg; 4]; 2]],
        fixed: &[HashMap<usize, Reg>; 2],
        shift: Option<[Reg; 2]>,
        running: &[Running],
    ) {
        let greatest = self.tile.greatest.as_ref().map_or(usize::MAX, |g| g.node);
        // by output, then by place among eight, then by the thread's elements
        let mut values = vec![[[0; 4]; 2]; running.len()];
        for n in 0..2 {
            for i in 0..4 {
                let (half, column) = (i / 2, i % 2);
                let (exists, other) = self.other_place(b, first, chunk, n, column);
                let index = self.index(half, &other);
                let score = |k: usize| scores[self.made(k)][n][i];
                let sinks: Vec<(usize, Reg)> = shift.iter().map(|s| (greatest, s[half])).collect();
                let results = self.evaluator(&self.tile.values, &sinks).results(b, &index, &score, &fixed[half]);
                for (k, (o, x)) in self.tile.outputs.iter().zip(results).enumerate() {
                    // a product's sum that goes on as it is
                    let x = match &o.sum {
                        Sum::Product(f) => b.converted(x, self.tile.arg_types[f.arg].dtype),
                        Sum::Reduce(_) => x,
                        Sum::Store => {
                            self.write_place(b, k, o, half, exists, &index, x);
                            continue;
                        }
                    };
                    let none = match o.sum {
                        Sum::Reduce(kind) => identity(kind, b.dtype(x)),
                        Sum::Product(_) | Sum::Store => Literal::scalar(b.dtype(x), 0.0),
                    };
                    values[k][n][i] = match exists {
                        Some(exists) => {
                            let none = b.constant(none);
                            b.select(exists, x, none)
                        }
                        None => x,
                    };
                }
            }
        }
        for (k, (o, r)) in self.tile.outputs.iter().zip(running).enumerate() {
            match (r, &o.sum) {
                (Running::Reduced(sums), Sum::Reduce(kind)) => {
                    for n in 0..2 {
                        for i in 0..4 {
                            let x = b.widened_half(values[k][n][i]);
                            let sum = b.binary(combiner(*kind), sums[i / 2], x);
                            b.assign(sums[i / 2], sum);
                        }
                    }
                }
                (Running::Products(sums), Sum::Product(factor)) => self.product(b, chunk, &values[k], factor, sums),
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

    /// Combines what threads have of a place, and writes the results.
    fn end(&self, b: &mut Build, greatest: Option<[Reg; 2]>, running: &[Running]) {
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
                self.write_one(b, next, &g.strides, &g.ty, half, is_first, greatest[half]);
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
                        for half in 0..2 {
                            self.write_one(b, next, &o.strides, &o.ty, half, is_first, sums[half]);
                        }
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

    /// Writes a value of output `k` at an index of the region.
    #[allow(clippy::too_many_arguments, reason = "where, what, and whether it exists")]
    fn write_place(
        &self,
        b: &mut Build,
        k: usize,
        o: &Output,
        half: usize,
        exists: Option<Reg>,
        index: &[Reg],
        x: Reg,
    ) {
        let result = self.tile.arg_types.len() + usize::from(self.tile.greatest.is_some()) + k;
        let write = |b: &mut Build| {
            let at = b.place(index, &o.strides);
            let x = b.converted(x, o.ty.dtype);
            b.store(Memory::Param(result as u32), at, x);
        };
        match self.exists[half].into_iter().chain(exists).reduce(|p, q| b.both(p, q)) {
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

    #[allow(clippy::too_many_arguments, reason = "where, what, and who writes it")]
    fn write_one(&self, b: &mut Build, result: u32, strides: &[usize], ty: &Type, half: usize, is_first: Reg, x: Reg) {
        let writes = self.exists[half].map_or(is_first, |exists| b.both(exists, is_first));
        b.when(writes, |b| {
            let at = self.own_place(b, strides, half);
            let x = b.converted(x, ty.dtype);
            b.store(Memory::Param(result), at, x);
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

/// Nothing summed up yet.
fn start(b: &mut Build, o: &Output) -> Running {
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
fn combine_quarters(b: &mut Build, x: Reg, with: Binary) {
    for xor in [2, 1] {
        let other = b.set(DType::F32, Source::Exchange { of: x, xor });
        let both = b.binary(with, x, other);
        b.assign(x, both);
    }
}
