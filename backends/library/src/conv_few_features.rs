//! Convolutions to few features, as the last layer of a network that makes images, with vectors of channels (f32 and f64).
//!
//! As in [`super::conv_direct`] the channels that a window position meets are one [run](super::runs), and there are two forms: a
//! layer adds `lhs[run(row, spot) + channel] kernel[spot, channel, feature]` over spots and channels for each of many rows; its
//! gradient by the kernel adds `lhs[run(row, spot) + channel] kernel[row, feature]` over many rows for each spot and channel.

use super::conv::Layout;
use super::parallel::{self, In, Out, chunk};
use super::runs::{Blocks, Row, Runs, Walk};
use super::scalar::{Loop, Scalar, wide};
use super::{LibraryCall, Scratch};
use gradloom_ir::DType;
use std::ops::Range;

/// From so many features on, vectors of features are better.
const FEATURES: usize = 8;

/// Fewest channels: a narrow vector.
const NARROW: usize = 8;

/// Rows, or spots of the kernel's gradient, whose sums are in registers together.
const ROWS: usize = 8;
const SPOTS: usize = 8;

struct FewFeatures {
    /// Whether few taps are added for each row, not many rows for each tap.
    few_taps: bool,
    groups: usize,
    group: [isize; 3],
    features: usize,
    feature: [isize; 2],
    /// The channels, their stride in the kernel (few taps) or the result, and numbers of a vector of them.
    channels: usize,
    channel: isize,
    lanes: usize,
    runs: Runs,
    /// Pieces that may run side by side.
    pieces: usize,
    /// Scratch: the kernel in vectors of channels, or the parts of the sums.
    packed: usize,
}

/// The convolution as a call, if it has one of the forms.
pub(super) fn prepare(l: &Layout, dtype: DType, flops: u64) -> Option<LibraryCall> {
    if l.features >= FEATURES {
        return None;
    }
    let run = match dtype {
        DType::F32 => FewFeatures::run::<f32>,
        DType::F64 => FewFeatures::run::<f64>,
        _ => return None,
    };
    let w = &l.windows;
    let mut scratch = Scratch::default();
    let c = [true, false].into_iter().find_map(|few_taps| {
        let (few, many) = if few_taps { (&w.taps, &w.positions) } else { (&w.positions, &w.taps) };
        let at = few.0.iter().position(|a| a.src == 1 && a.moves.is_none() && a.n >= NARROW)?;
        let mut spots = few.clone();
        let axis = spots.0.remove(at);
        let (channels, taps) = (axis.n, few.len());
        if taps > many.len() {
            return None;
        }
        let runs = Runs::new(w, &spots, many)?;
        let lanes = if channels < 2 * NARROW { NARROW } else { 2 * NARROW };
        let pieces = runs.pieces(taps.saturating_mul(l.features), !few_taps);
        let parts = if few_taps { 1 } else { pieces };
        let packed = l.groups * parts * l.features * spots.len() * channels.next_multiple_of(lanes) * dtype.size();
        Some(FewFeatures {
            few_taps,
            groups: l.groups,
            group: l.group,
            features: l.features,
            feature: l.feature,
            channels,
            channel: axis.mat,
            lanes,
            runs,
            pieces,
            packed: scratch.take(packed),
        })
    })?;
    let [rows, spots, channels] = [c.runs.rows(), c.runs.spots.len(), c.channels];
    let name = match c.few_taps {
        true => format!("convolution {rows} positions x {spots} spots of {channels} to {} features", l.features),
        false => {
            let parts = c.pieces;
            format!("convolution {spots} spots of {channels} x {rows} taps to {} features, {parts} parts", l.features)
        }
    };
    Some(LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
        // SAFETY: the caller of `run` passes buffers of the prepared types and enough scratch.
        unsafe { run(&c, args[0], args[1], outs[0], scratch) }
    }))
}

impl FewFeatures {
    /// Numbers of a spot's channels in whole vectors, and of all spots and features.
    fn width(&self) -> usize {
        self.channels.next_multiple_of(self.lanes)
    }
    fn packed_len(&self) -> usize {
        self.features * self.runs.spots.len() * self.width()
    }

    /// Where vectors of channels begin, the last reaching back, and how many of its numbers belong to the vector before.
    fn vectors(&self) -> impl Iterator<Item = (usize, usize)> {
        let (channels, lanes) = (self.channels, self.lanes);
        (0..channels).step_by(lanes).map(move |first| {
            let back = (first + lanes).saturating_sub(channels);
            (first - back, back)
        })
    }

    unsafe fn run<T: Scalar>(&self, lhs: *const u8, rhs: *const u8, out: *mut u8, scratch: *mut u8) {
        // SAFETY: scratch was taken in `prepare`; offsets come from the types; pieces write disjoint parts.
        unsafe {
            let packed: *mut T = scratch.add(self.packed).cast();
            if self.few_taps {
                (0..self.groups).for_each(|g| self.pack(g, rhs.cast(), packed));
            }
            let (lhs, rhs, out, packed) = (In::new(lhs), In::new(rhs), Out::new(out), Out::new(packed.cast()));
            parallel::for_each(self.groups * self.pieces, |task| {
                let (g, piece) = (task / self.pieces, task % self.pieces);
                let of = |i: usize| g as isize * self.group[i];
                let rows = chunk(self.runs.rows(), self.pieces, piece);
                let lhs = lhs.get().cast::<T>().offset(of(0));
                let packed = packed.get().cast::<T>();
                let (rhs, to) = if self.few_taps {
                    (packed.add(g * self.packed_len()).cast_const(), out.get().cast::<T>().offset(of(2)))
                } else {
                    (rhs.get().cast::<T>().offset(of(1)), packed.add(task * self.packed_len()))
                };
                wide(Piece { c: self, rows, lhs, rhs, to });
            });
            if !self.few_taps {
                (0..self.groups).for_each(|g| self.unpack(g, packed.get().cast::<T>(), out.get().cast()));
            }
        }
    }

    /// Lays a group's kernel out by features, spots and vectors of channels; what a vector repeats is 0.
    unsafe fn pack<T: Scalar>(&self, g: usize, rhs: *const T, packed: *mut T) {
        // SAFETY: as `run`.
        unsafe {
            let rhs = rhs.offset(g as isize * self.group[1]);
            let mut to = packed.add(g * self.packed_len());
            for f in 0..self.features as isize {
                for spot in &self.runs.spots {
                    for (first, back) in self.vectors() {
                        for lane in 0..self.lanes {
                            let at = spot + (first + lane) as isize * self.channel + f * self.feature[0];
                            *to = if lane < back { T::ZERO } else { *rhs.offset(at) };
                            to = to.add(1);
                        }
                    }
                }
            }
        }
    }

    /// Adds the parts of a group's sums, in their order, and puts them where they belong.
    unsafe fn unpack<T: Scalar>(&self, g: usize, packed: *const T, out: *mut T) {
        // SAFETY: as `run`.
        unsafe {
            let out = out.offset(g as isize * self.group[2]);
            let mut from = packed.add(g * self.pieces * self.packed_len());
            for f in 0..self.features as isize {
                for spot in &self.runs.spots {
                    for (first, back) in self.vectors() {
                        for lane in 0..self.lanes {
                            if lane >= back {
                                let at = spot + (first + lane) as isize * self.channel + f * self.feature[1];
                                let parts = (0..self.pieces).map(|p| *from.add(p * self.packed_len()));
                                *out.offset(at) = parts.fold(T::ZERO, T::add);
                            }
                            from = from.add(1);
                        }
                    }
                }
            }
        }
    }
}

/// Some of the rows. Runs of the table are inside lhs, `to` is the group's result or a piece's sums.
struct Piece<'a, T> {
    c: &'a FewFeatures,
    rows: Range<usize>,
    lhs: *const T,
    rhs: *const T,
    to: *mut T,
}

impl<T: Scalar> Loop for Piece<'_, T> {
    #[inline(always)]
    fn run(self) {
        // SAFETY: the promise of the struct; a run has at least as many channels as a vector.
        unsafe {
            match (self.c.few_taps, self.c.lanes) {
                (true, NARROW) => self.add_taps::<NARROW>(),
                (true, _) => self.add_taps::<{ 2 * NARROW }>(),
                (false, NARROW) => self.add_rows::<NARROW>(),
                (false, _) => self.add_rows::<{ 2 * NARROW }>(),
            }
        }
    }
}

impl<T: Scalar> Piece<'_, T> {
    /// For each row the sum over spots and channels.
    #[inline(always)]
    unsafe fn add_taps<const W: usize>(&self) {
        let c = self.c;
        let mut walk = Walk::new(&c.runs, self.rows.start);
        for start in self.rows.clone().step_by(ROWS) {
            let n = ROWS.min(self.rows.end - start);
            // what is missing at the end repeats the last row, and is not stored
            let at: [Row; ROWS] = walk.several(&c.runs, n);
            for f in 0..c.features {
                let mut sums = [[T::ZERO; W]; ROWS];
                for s in c.runs.met(&at) {
                    let mut runs = [0; ROWS];
                    let mut inside = [false; ROWS];
                    for r in 0..ROWS {
                        if let Some(run) = c.runs.run(&at[r], s) {
                            (runs[r], inside[r]) = (run, true);
                        }
                    }
                    let kernel = (f * c.runs.spots.len() + s) * c.width();
                    for (v, (first, _)) in c.vectors().enumerate() {
                        for r in 0..ROWS {
                            if inside[r] {
                                // SAFETY: the promise of the struct; the kernel is in whole vectors.
                                unsafe {
                                    let (x, k) = (self.lhs.offset(runs[r]).add(first), self.rhs.add(kernel + v * W));
                                    for (w, sum) in sums[r].iter_mut().enumerate() {
                                        *sum = sum.add((*x.add(w)).mul(*k.add(w)));
                                    }
                                }
                            }
                        }
                    }
                }
                for (row, mut sums) in at[..n].iter().zip(sums) {
                    let mut half = W / 2;
                    while half > 0 {
                        for w in 0..half {
                            sums[w] = sums[w].add(sums[w + half]);
                        }
                        half /= 2;
                    }
                    // SAFETY: rows of the result are inside of it.
                    unsafe { *self.to.offset(row.mat + f as isize * c.feature[1]) = sums[0] };
                }
            }
        }
    }

    /// For each spot and channel the sum over rows, a block of them at a time.
    #[inline(always)]
    unsafe fn add_rows<const W: usize>(&self) {
        let c = self.c;
        let spots = c.runs.spots.len();
        // SAFETY: the sums are the piece's own.
        unsafe { std::slice::from_raw_parts_mut(self.to, c.packed_len()).fill(T::ZERO) };
        let mut blocks = Blocks::new(&c.runs, &self.rows);
        while let Some(rows) = blocks.next(&c.runs) {
            for f in 0..c.features {
                for first_spot in (0..spots).step_by(SPOTS) {
                    for (v, (first, _)) in c.vectors().enumerate() {
                        // SAFETY: the promise of the struct.
                        unsafe {
                            let rhs = self.rhs.offset(f as isize * c.feature[0]);
                            let sums = rows_of::<T, W>(&c.runs, rows, first_spot, self.lhs.add(first), rhs);
                            for (s, sums) in (first_spot..spots).zip(&sums) {
                                let to = self.to.add((f * spots + s) * c.width() + v * W).cast::<[T; W]>();
                                let to = &mut *to;
                                to.iter_mut().zip(sums).for_each(|(to, &sum)| *to = to.add(sum));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The sums over these rows of a vector of channels, for `SPOTS` spots from `first` on; what is behind the last repeats it.
#[inline(always)]
unsafe fn rows_of<T: Scalar, const W: usize>(
    runs: &Runs,
    rows: &[Row],
    first: usize,
    lhs: *const T,
    rhs: *const T,
) -> [[T; W]; SPOTS] {
    let mut sums = [[T::ZERO; W]; SPOTS];
    let last = runs.spots.len() - 1;
    for row in rows {
        // SAFETY: the caller's promise.
        let k = unsafe { *rhs.offset(row.mat) };
        for (s, sums) in sums.iter_mut().enumerate() {
            if let Some(run) = runs.run(row, (first + s).min(last)) {
                for (w, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: as above.
                    *sum = sum.add(unsafe { *lhs.offset(run).add(w) }.mul(k));
                }
            }
        }
    }
    sums
}
