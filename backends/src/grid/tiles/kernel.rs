//! The kernel of a tile: each warp has [`MULTIPLY_ROWS`] places of a block, whose products with the places that the block goes along are
//! made by tensor cores.

use super::fragments::{Fragment, Layout, Precision};
use super::places::registers_of_rows;
use super::region::Side;
use super::sums::{Chunk, start};
use super::tile::{Factor, Output, Sum, Tile};
use crate::grid::ops::{index_dtype, param};
use crate::grid::{Build, GridKernel, MULTIPLY_COLUMNS, MULTIPLY_ROWS, Memory, Reg, SHARED, WARP, blocks};
use gradloom_ir::{Binary, Comparison, Error, Literal, Result, Type};
use std::collections::HashMap;

/// Warps of a block.
pub(super) const WARPS: usize = 4;
/// Places of a block.
pub(super) const OWN: usize = WARPS * MULTIPLY_ROWS;
/// Places that are multiplied at once.
pub(super) const CHUNK: usize = 2 * MULTIPLY_COLUMNS;
/// How many places a block has in shared memory at a time: the most that fit.
const WIDTHS: [usize; 2] = [2 * CHUNK, CHUNK];

/// A factor in shared memory.
pub(super) struct Staged {
    pub factor: Factor,
    pub layout: Layout,
    pub memory: Memory,
}

/// Writes a kernel: what all threads have in their registers from the beginning.
pub(super) struct Writer<'t> {
    pub tile: &'t Tile,
    pub precision: Precision,
    pub alignment: &'t [usize],
    /// Places in shared memory at a time.
    pub width: usize,
    pub staged: Vec<Staged>,
    pub batch: Vec<Reg>,
    pub thread: Reg,
    /// The thread's quarter of a row, and its place among eight rows.
    pub quarter: Reg,
    pub group: Reg,
    /// Of the thread's two places of its own: whether they exist, if that is not known, and their indices.
    pub exists: [Option<Reg>; 2],
    pub own: [Vec<Reg>; 2],
}

/// Where an element of the region is that a thread has: at which of its two places, whether the other place exists, the index.
pub(super) struct At {
    pub half: usize,
    pub exists: Option<Reg>,
    pub index: Vec<Reg>,
}

/// The sums of a thread's two places.
pub(super) enum Running {
    /// One each.
    Reduced([Reg; 2]),
    /// Of each eight columns the four that the thread has.
    Products(Vec<[Reg; 4]>),
    /// What is written at once.
    None,
}

pub(super) fn extent(extents: &[usize]) -> usize {
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
pub(super) fn existing(b: &mut Build, place: Reg, count: usize, each: usize) -> (Option<Reg>, Reg) {
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
    pub(super) fn others(&self) -> &[usize] {
        &self.tile.axes.extents[self.tile.axes.side(self.tile.own.other())]
    }

    pub(super) fn others_range(&self) -> std::ops::Range<usize> {
        self.tile.axes.side(self.tile.own.other())
    }

    /// Where an array with these strides has the batch of the block.
    pub(super) fn batch_place(&self, b: &mut Build, strides: &[usize]) -> Reg {
        b.place(&self.batch, &strides[self.tile.axes.batch()])
    }

    /// Where an array has the thread's place `half` of its own.
    pub(super) fn own_place(&self, b: &mut Build, strides: &[usize], half: usize) -> Reg {
        let batch = self.batch_place(b, strides);
        let own = b.place(&self.own[half], &strides[self.tile.axes.side(self.tile.own)]);
        b.binary(Binary::Add, batch, own)
    }

    /// The index of the region's element at the thread's place `half` and the place of these indices.
    pub(super) fn index(&self, half: usize, other: &[Reg]) -> Vec<Reg> {
        let sides = match self.tile.own {
            Side::Rows => [&self.own[half][..], other],
            Side::Columns => [other, &self.own[half][..]],
        };
        [&self.batch[..], sides[0], sides[1]].concat()
    }

    pub(super) fn staged_of(&self, f: &Factor) -> Option<&Staged> {
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
                for number in 0..self.width / CHUNK {
                    let chunk = self.scores(b, &own, first, number);
                    self.sum(b, &chunk, &fixed[0], None, &running);
                }
                return;
            };
            let chunks: Vec<Chunk> = (0..self.width / CHUNK).map(|n| self.scores(b, &own, first, n)).collect();
            let shift = self.raise(b, &chunks, &fixed[1], greatest, &running);
            chunks.iter().for_each(|chunk| self.sum(b, chunk, &fixed[0], Some(shift), &running));
        });
        self.end(b, greatest, &running);
    }
}
