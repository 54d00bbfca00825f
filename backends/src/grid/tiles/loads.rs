//! Factors from memory: those of a block's own places into registers, the others into shared memory.

use super::fragments::{Fragment, Layout, fragment_of};
use super::kernel::{Staged, WARPS, Writer, extent};
use super::tile::{Factor, Score};
use crate::grid::{Build, Memory, Reg, Stmt, WARP};
use gradloom_ir::{Binary, Comparison, Literal};
use smallvec::SmallVec;

impl Writer<'_> {
    /// The thread's parts of a factor of its own places, for each step along the terms.
    pub(super) fn own_fragments(&self, b: &mut Build, score: &Score) -> Vec<Fragment> {
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
    pub(super) fn stage(&self, b: &mut Build, s: &Staged, first: Reg) {
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
}
