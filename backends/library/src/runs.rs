//! Where the patches of a convolution lie: a table of the runs of elements that windows meet.
//!
//! One of a convolution's two groups of axes, positions and taps, is small and its points are *spots*; those of the other are
//! *rows*. Where elements that belong together lie side by side in lhs, a row and a spot meet a *run* of them. The table says
//! where each run begins, or that it lies in the padding.

use super::parallel;
use super::patches::{Axes, Axis, Cursor, Windows};
use std::ops::Range;

/// Rows that are added up before their sums go back to memory: what they meet stays in the first- and second-level cache.
pub(super) const BLOCK: usize = 256;

/// Most parts of a sum over rows, each a sum of its own.
const PARTS: usize = 16;

/// Most spots: each has its place in the table of every row.
const SPOTS: usize = 256;

/// Most entries of the table.
const TABLE: usize = 1 << 20;

/// A run that lies in the padding.
const OUTSIDE: i32 = i32::MIN;

pub(super) struct Runs {
    /// Offset of each spot in the matrix that goes with the spots' axes: the kernel's if those are taps, else the result's.
    pub(super) spots: Vec<isize>,
    /// Rows beyond the table.
    outer: Axes,
    /// For each row of the table the runs of its spots in lhs, and its offset in the other matrix.
    offsets: Vec<i32>,
    mats: Vec<isize>,
    /// Where lhs is dilated, for each row of the table the spots at which it meets elements; else nothing, for then most rows meet all.
    inside: Vec<Spots>,
}

/// A set of spots.
type Spots = [u64; SPOTS / 64];

impl Runs {
    /// The table of `rows` by `spots`, if it is not too large.
    pub(super) fn new(w: &Windows, spots: &Axes, rows: &Axes) -> Option<Runs> {
        if spots.len() > SPOTS {
            return None;
        }
        let (outer, inner) = table_axes(rows, spots.len())?;
        let (mut at, mut points) = (Vec::new(), Vec::new());
        let mut s = Cursor::new(&spots.0, 0);
        for _ in 0..spots.len() {
            at.push(s.mat);
            points.push(s.point);
            s.step(&spots.0);
        }
        let (mut offsets, mut mats) = (Vec::new(), Vec::new());
        let mut row = Cursor::new(&inner.0, 0);
        for _ in 0..inner.len() {
            mats.push(row.mat);
            let from = w.start.plus(&row.point);
            for point in &points {
                offsets.push(match from.plus(point).address(&w.checked, usize::MAX) {
                    Some(offset) => i32::try_from(offset).ok().filter(|&o| o != OUTSIDE)?,
                    None => OUTSIDE,
                });
            }
            row.step(&inner.0);
        }
        let mut runs = Runs { spots: at, outer, offsets, mats, inside: Vec::new() };
        if w.checked.iter().any(|c| c.dilation > 1) {
            runs.sort();
        }
        Some(runs)
    }

    /// Puts rows that meet elements at the same spots one after the other. Where lhs is dilated, as in the gradient of a convolution with
    /// strides, most spots of a row lie between elements, and which do changes from row to row.
    fn sort(&mut self) {
        let n = self.spots.len();
        let inside = |offsets: &[i32]| set_of((0..n).filter(|&s| offsets[s] != OUTSIDE));
        self.inside = self.offsets.chunks(n).map(inside).collect();
        let mut order: Vec<usize> = (0..self.mats.len()).collect();
        order.sort_by_key(|&row| self.inside[row]);
        self.mats = order.iter().map(|&row| self.mats[row]).collect();
        self.offsets = order.iter().flat_map(|row| &self.offsets[row * n..(row + 1) * n]).copied().collect();
        self.inside.sort();
    }

    /// In how many pieces rows are done side by side, where each takes `work` multiplications. Pieces that are `summed` up have sums
    /// of their own, so that there are few.
    pub(super) fn pieces(&self, work: usize, summed: bool) -> usize {
        let pieces = parallel::chunk_count(self.rows(), work);
        if summed { pieces.min((self.rows() / BLOCK).clamp(1, PARTS)) } else { pieces }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.outer.len() * self.mats.len()
    }

    /// The spots at which any of the rows meets elements, in order; where lhs is not dilated, all.
    #[inline(always)]
    pub(super) fn met(&self, rows: &[Row]) -> impl Iterator<Item = usize> {
        let mut all = if self.inside.is_empty() { set_of(0..self.spots.len()) } else { Spots::default() };
        for inside in rows.iter().filter_map(|row| self.inside.get(row.table)) {
            all.iter_mut().zip(inside).for_each(|(all, spots)| *all |= spots);
        }
        let mut word = 0;
        std::iter::from_fn(move || {
            while word < all.len() && all[word] == 0 {
                word += 1;
            }
            let spots = all.get_mut(word)?;
            let spot = word * 64 + spots.trailing_zeros() as usize;
            *spots &= *spots - 1;
            Some(spot)
        })
    }

    /// Where in lhs the run begins that the row meets at a spot; `None` in the padding.
    #[inline(always)]
    pub(super) fn run(&self, row: &Row, spot: usize) -> Option<isize> {
        let offset = self.offsets[row.table * self.spots.len() + spot];
        (offset != OUTSIDE).then_some(row.src + offset as isize)
    }
}

#[inline(always)]
fn set_of(spots: impl Iterator<Item = usize>) -> Spots {
    let mut set = Spots::default();
    spots.for_each(|s| set[s / 64] |= 1 << (s % 64));
    set
}

/// Axes whose product with the spots fits the table, innermost; the others, which need no checks, outside of it.
fn table_axes(rows: &Axes, spots: usize) -> Option<(Axes, Axes)> {
    let (mut inner, mut outer): (Vec<Axis>, Vec<Axis>) = rows.0.iter().partition(|a| a.moves.is_some());
    outer.sort_by_key(|a| std::cmp::Reverse(a.src.unsigned_abs()));
    let len = |axes: &[Axis]| axes.iter().fold(spots, |n, a| n.saturating_mul(a.n));
    while let Some(a) = outer.last().copied()
        && len(&inner).saturating_mul(a.n) <= TABLE / 16
    {
        inner.insert(0, a);
        outer.pop();
    }
    (len(&inner) <= TABLE).then(|| (Axes(outer.into_iter().collect()), Axes(inner.into_iter().collect())))
}

/// A row: its line of the table, and what is added to offsets in lhs and the other matrix.
#[derive(Clone, Copy, Default)]
pub(super) struct Row {
    table: usize,
    src: isize,
    pub(super) mat: isize,
}

/// Goes from row to row.
pub(super) struct Walk {
    outer: Cursor,
    table: usize,
}

impl Walk {
    pub(super) fn new(runs: &Runs, row: usize) -> Walk {
        Walk { outer: Cursor::new(&runs.outer.0, row / runs.mats.len()), table: row % runs.mats.len() }
    }

    #[inline(always)]
    fn at(&self, runs: &Runs) -> Row {
        Row { table: self.table, src: self.outer.point.src, mat: self.outer.mat + runs.mats[self.table] }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, runs: &Runs) -> Row {
        let row = self.at(runs);
        self.table += 1;
        if self.table == runs.mats.len() {
            self.table = 0;
            self.outer.step(&runs.outer.0);
        }
        row
    }

    /// The next `n` rows, at most `R`; behind them the last is repeated.
    #[inline(always)]
    pub(super) fn several<const R: usize>(&mut self, runs: &Runs, n: usize) -> [Row; R] {
        let mut rows = [self.at(runs); R];
        for r in 0..R {
            rows[r] = if r < n { self.next(runs) } else { rows[r - 1] };
        }
        rows
    }
}

/// Goes from block to block of rows that are added up.
pub(super) struct Blocks {
    walk: Walk,
    left: usize,
    rows: [Row; BLOCK],
}

impl Blocks {
    pub(super) fn new(runs: &Runs, rows: &Range<usize>) -> Blocks {
        Blocks { walk: Walk::new(runs, rows.start), left: rows.len(), rows: [Row::default(); BLOCK] }
    }

    #[inline(always)]
    pub(super) fn next(&mut self, runs: &Runs) -> Option<&[Row]> {
        let n = BLOCK.min(self.left);
        self.left -= n;
        let rows = &mut self.rows[..n];
        rows.iter_mut().for_each(|row| *row = self.walk.next(runs));
        (n > 0).then_some(&*rows)
    }
}
