//! Depthwise convolutions whose groups lie side by side, with their sums in registers (f32 and f64).
//!
//! The groups of lhs that a window position meets are one [run](super::runs). A layer and its gradient by the input add
//! `lhs[run(row, spot) + group] kernel[spot, group]` over few spots for each of many rows; the gradient by the kernel adds
//! `lhs[run(row, spot) + group] kernel[row, group]` over many rows for each of few spots. What lies in the padding is left
//! out, so that no number of the kernel is multiplied by a zero that is not there.

use super::conv::Layout;
use super::parallel::{self, In, Out, chunk};
use super::runs::{Blocks, Row, Runs, Walk};
use super::scalar::{Loop, Scalar, wide};
use super::{LibraryCall, Scratch};
use gradloom_ir::DType;
use std::ops::Range;

/// Rows of the result, or spots of a kernel's gradient, whose sums are in registers together.
const ROWS: usize = 4;
const SPOTS: usize = 5;

/// Fewest groups: a narrow vector of them.
const NARROW: usize = 8;

struct Direct {
    /// Whether few spots are added for each row, not many rows for each spot.
    few_taps: bool,
    groups: usize,
    features: usize,
    feature: [isize; 2],
    runs: Runs,
    /// Pieces that may run side by side, and where in scratch memory their sums are, if rows are added.
    pieces: usize,
    sums: usize,
}

/// The convolution as a call, if it has one of the forms.
pub(super) fn prepare(l: &Layout, dtype: DType, flops: u64) -> Option<LibraryCall> {
    if l.group != [1; 3] || l.groups < NARROW {
        return None;
    }
    let run = match dtype {
        DType::F32 => Direct::run::<f32>,
        DType::F64 => Direct::run::<f64>,
        _ => return None,
    };
    let w = &l.windows;
    let few_taps = w.taps.len() <= w.positions.len();
    let (few, many) = if few_taps { (&w.taps, &w.positions) } else { (&w.positions, &w.taps) };
    let runs = Runs::new(w, few, many)?;
    let mut scratch = Scratch::default();
    let (rows, sums) = (runs.rows(), l.features * few.len() * l.groups);
    let pieces = runs.pieces(sums, !few_taps);
    let d = Direct {
        few_taps,
        groups: l.groups,
        features: l.features,
        feature: l.feature,
        runs,
        pieces,
        sums: if few_taps { 0 } else { scratch.take(pieces * sums * dtype.size()) },
    };
    let name = match few_taps {
        true => format!("convolution of {} groups, {rows} positions x {} spots", l.groups, few.len()),
        false => format!("convolution of {} groups, {} spots x {rows} taps, {pieces} parts", l.groups, few.len()),
    };
    Some(LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
        // SAFETY: the caller of `run` passes buffers of the prepared types and enough scratch.
        unsafe { run(&d, args[0], args[1], outs[0], scratch) }
    }))
}

impl Direct {
    /// Numbers of the sums of one piece.
    fn sums_len(&self) -> usize {
        self.features * self.runs.spots.len() * self.groups
    }

    unsafe fn run<T: Scalar>(&self, lhs: *const u8, rhs: *const u8, out: *mut u8, scratch: *mut u8) {
        // SAFETY: scratch was taken in `prepare`.
        let sums: *mut T = unsafe { scratch.add(self.sums).cast() };
        let (shared, lhs, rhs) = (Out::new(if self.few_taps { out } else { sums.cast() }), In::new(lhs), In::new(rhs));
        parallel::for_each(self.pieces, |i| {
            let to: *mut T = shared.get().cast();
            // SAFETY: each piece has sums of its own; pieces of rows of the result are disjoint.
            let to = if self.few_taps { to } else { unsafe { to.add(i * self.sums_len()) } };
            let rows = chunk(self.runs.rows(), self.pieces, i);
            wide(Piece::<T> { d: self, rows, lhs: lhs.get().cast(), rhs: rhs.get().cast(), to });
        });
        if self.few_taps {
            return;
        }
        let (mut from, out) = (sums.cast_const(), out.cast::<T>());
        for o in 0..self.features as isize {
            for spot in &self.runs.spots {
                for g in 0..self.groups {
                    // SAFETY: all parts have been written; offsets come from the types.
                    unsafe {
                        let parts = (0..self.pieces).map(|p| *from.add(p * self.sums_len()));
                        *out.offset(o * self.feature[1] + spot + g as isize) = parts.fold(T::ZERO, T::add);
                        from = from.add(1);
                    }
                }
            }
        }
    }
}

/// Some of the rows. Runs of the table are inside lhs, `to` is the result or a piece's sums.
struct Piece<'a, T> {
    d: &'a Direct,
    rows: Range<usize>,
    lhs: *const T,
    rhs: *const T,
    to: *mut T,
}

impl<T: Scalar> Loop for Piece<'_, T> {
    #[inline(always)]
    fn run(self) {
        let narrow = self.d.groups < 2 * NARROW;
        // SAFETY: the promise of the struct; there are at least as many groups as a vector has numbers.
        unsafe {
            match (self.d.few_taps, narrow) {
                (true, true) => self.add_spots::<NARROW>(),
                (true, false) => self.add_spots::<{ 2 * NARROW }>(),
                (false, true) => self.add_rows::<NARROW>(),
                (false, false) => self.add_rows::<{ 2 * NARROW }>(),
            }
        }
    }
}

/// Sums of two vectors of `W` groups.
type Sums<T, const W: usize> = [[T; W]; 2];

/// `sums += x * k`, from where the groups begin; vectors after the first `n` are not there.
#[inline(always)]
unsafe fn add_product<T: Scalar, const W: usize>(sums: &mut Sums<T, W>, x: *const T, k: *const T, n: usize) {
    for (v, sums) in sums[..n].iter_mut().enumerate() {
        for (w, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let product = unsafe { (*x.add(v * W + w)).mul(*k.add(v * W + w)) };
            *sum = sum.add(product);
        }
    }
}

/// Groups as pairs of vectors, then as single ones: where they begin, how many vectors, and how many of their first groups
/// were done before, because the last vector reaches back.
#[inline(always)]
fn strips<const W: usize>(groups: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let vectors = if groups - done >= 2 * W { 2 } else { 1 };
        let first = done.min(groups - W);
        let strip = (first, vectors, done - first);
        (done < groups).then(|| {
            done = first + vectors * W;
            strip
        })
    })
}

impl<T: Scalar> Piece<'_, T> {
    /// For each row the sum over spots, into the result.
    #[inline(always)]
    unsafe fn add_spots<const W: usize>(&self) {
        let d = self.d;
        let mut walk = Walk::new(&d.runs, self.rows.start);
        for start in self.rows.clone().step_by(ROWS) {
            let n = ROWS.min(self.rows.end - start);
            let at: [Row; ROWS] = walk.several(&d.runs, n);
            for o in 0..d.features as isize {
                for (first, vectors, _) in strips::<W>(d.groups) {
                    // SAFETY: the promise of the struct; vectors are inside of the groups.
                    unsafe {
                        let (lhs, kernel) = (self.lhs.add(first), self.rhs.offset(o * d.feature[0]).add(first));
                        let sums = match (n, vectors) {
                            (ROWS, 2) => spots_of::<T, W>(&d.runs, &at, ROWS, lhs, kernel, 2),
                            (_, 2) => spots_of::<T, W>(&d.runs, &at, n, lhs, kernel, 2),
                            (ROWS, _) => spots_of::<T, W>(&d.runs, &at, ROWS, lhs, kernel, 1),
                            _ => spots_of::<T, W>(&d.runs, &at, n, lhs, kernel, 1),
                        };
                        for (row, sums) in at[..n].iter().zip(&sums) {
                            let to = self.to.offset(row.mat + o * d.feature[1]).add(first);
                            for (v, sums) in sums[..vectors].iter().enumerate() {
                                // what the last vector repeats comes out the same
                                to.add(v * W).cast::<[T; W]>().write_unaligned(*sums);
                            }
                        }
                    }
                }
            }
        }
    }

    /// For each spot the sum over rows, a block of them at a time, into the piece's sums.
    #[inline(always)]
    unsafe fn add_rows<const W: usize>(&self) {
        let d = self.d;
        let spots = d.runs.spots.len();
        // SAFETY: the sums are the piece's own.
        unsafe { std::slice::from_raw_parts_mut(self.to, d.sums_len()).fill(T::ZERO) };
        let mut blocks = Blocks::new(&d.runs, &self.rows);
        while let Some(rows) = blocks.next(&d.runs) {
            for o in 0..d.features {
                for spot in (0..spots).step_by(SPOTS) {
                    for (first, vectors, skip) in strips::<W>(d.groups) {
                        // SAFETY: the promise of the struct; vectors are inside of the groups.
                        unsafe {
                            let rhs = self.rhs.offset(o as isize * d.feature[0]).add(first);
                            let lhs = self.lhs.add(first);
                            let sums = match vectors {
                                2 => rows_of::<T, W>(&d.runs, rows, spot, lhs, rhs, 2),
                                _ => rows_of::<T, W>(&d.runs, rows, spot, lhs, rhs, 1),
                            };
                            for (s, sums) in (spot..spots).zip(&sums) {
                                let to = self.to.add((o * spots + s) * d.groups + first + skip);
                                let sums = &sums.as_flattened()[skip..vectors * W];
                                let to = std::slice::from_raw_parts_mut(to, sums.len());
                                to.iter_mut().zip(sums).for_each(|(to, &sum)| *to = to.add(sum));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The sums over all spots, for the first `n` rows.
#[inline(always)]
unsafe fn spots_of<T: Scalar, const W: usize>(
    runs: &Runs,
    at: &[Row; ROWS],
    n: usize,
    lhs: *const T,
    kernel: *const T,
    vectors: usize,
) -> [Sums<T, W>; ROWS] {
    let mut sums = [[[T::ZERO; W]; 2]; ROWS];
    for s in runs.met(&at[..n]) {
        for r in 0..n {
            if let Some(run) = runs.run(&at[r], s) {
                // SAFETY: the caller's promise.
                unsafe { add_product(&mut sums[r], lhs.offset(run), kernel.offset(runs.spots[s]), vectors) };
            }
        }
    }
    sums
}

/// The sums over these rows, for `SPOTS` spots from `first` on; what is behind the last repeats it.
#[inline(always)]
unsafe fn rows_of<T: Scalar, const W: usize>(
    runs: &Runs,
    rows: &[Row],
    first: usize,
    lhs: *const T,
    rhs: *const T,
    vectors: usize,
) -> [Sums<T, W>; SPOTS] {
    let mut sums = [[[T::ZERO; W]; 2]; SPOTS];
    let last = runs.spots.len() - 1;
    for row in rows {
        for (s, sums) in sums.iter_mut().enumerate() {
            if let Some(run) = runs.run(row, (first + s).min(last)) {
                // SAFETY: the caller's promise.
                unsafe { add_product(sums, lhs.offset(run), rhs.offset(row.mat), vectors) };
            }
        }
    }
    sums
}
