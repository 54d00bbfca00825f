//! Gradients by the kernel of convolutions to few features, as the last layer of a network that makes images, with vectors of channels
//! (f32 and f64).
//!
//! As in [`super::conv_direct`] the channels that a window position meets are one [run](super::runs). `lhs[run(row, spot) + channel]
//! kernel[row, feature]` is added up over many rows for each spot and channel.

use super::conv::Layout;
use super::parallel::{self, In, Out, chunk};
use super::runs::{Blocks, Row, Runs};
use super::scalar::{Loop, Scalar, wide};
use super::{LibraryCall, Scratch};
use gradloom_ir::DType;
use std::ops::Range;

/// From so many features on, vectors of features are better.
const FEATURES: usize = 8;

/// Fewest channels: a narrow vector.
const NARROW: usize = 8;

/// Spots whose sums are in registers together.
const SPOTS: usize = 8;

struct FewFeatures {
    groups: usize,
    group: [isize; 3],
    features: usize,
    feature: [isize; 2],
    /// The channels, their stride in the result, and numbers of a vector of them.
    channels: usize,
    channel: isize,
    lanes: usize,
    runs: Runs,
    /// Pieces that may run side by side.
    pieces: usize,
    /// Scratch: the parts of the sums.
    sums: usize,
}

/// The convolution as a call, if it has the form.
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
    let at = w.positions.0.iter().position(|a| a.src == 1 && a.moves.is_none() && a.n >= NARROW)?;
    let mut spots = w.positions.clone();
    let axis = spots.0.remove(at);
    if w.positions.len() > w.taps.len() {
        return None;
    }
    let runs = Runs::new(w, &spots, &w.taps)?;
    let channels = axis.n;
    let lanes = if channels < 2 * NARROW { NARROW } else { 2 * NARROW };
    let pieces = runs.pieces(w.positions.len().saturating_mul(l.features), true);
    let (rows, spots) = (runs.rows(), runs.spots.len());
    let mut scratch = Scratch::default();
    let sums = l.groups * pieces * l.features * spots * channels.next_multiple_of(lanes) * dtype.size();
    let c = FewFeatures {
        groups: l.groups,
        group: l.group,
        features: l.features,
        feature: l.feature,
        channels,
        channel: axis.mat,
        lanes,
        runs,
        pieces,
        sums: scratch.take(sums),
    };
    let name =
        format!("convolution {spots} spots of {channels} x {rows} taps to {} features, {pieces} parts", l.features);
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
    fn sums_len(&self) -> usize {
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
        // SAFETY: scratch was taken in `prepare`; offsets come from the types; pieces write sums of their own.
        unsafe {
            let sums = Out::new(scratch.add(self.sums));
            let (lhs, rhs) = (In::new(lhs), In::new(rhs));
            parallel::for_each(self.groups * self.pieces, |task| {
                let (g, piece) = (task / self.pieces, task % self.pieces);
                let of = |i: usize| g as isize * self.group[i];
                let rows = chunk(self.runs.rows(), self.pieces, piece);
                let lhs = lhs.get().cast::<T>().offset(of(0));
                let rhs = rhs.get().cast::<T>().offset(of(1));
                let to = sums.get().cast::<T>().add(task * self.sums_len());
                wide(Piece { c: self, rows, lhs, rhs, to });
            });
            (0..self.groups).for_each(|g| self.unpack(g, sums.get().cast::<T>(), out.cast()));
        }
    }

    /// Adds the parts of a group's sums, in their order, and puts them where they belong.
    unsafe fn unpack<T: Scalar>(&self, g: usize, sums: *const T, out: *mut T) {
        // SAFETY: as `run`.
        unsafe {
            let out = out.offset(g as isize * self.group[2]);
            let mut from = sums.add(g * self.pieces * self.sums_len());
            for f in 0..self.features as isize {
                for spot in &self.runs.spots {
                    for (first, back) in self.vectors() {
                        for lane in 0..self.lanes {
                            if lane >= back {
                                let at = spot + (first + lane) as isize * self.channel + f * self.feature[1];
                                let parts = (0..self.pieces).map(|p| *from.add(p * self.sums_len()));
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

/// Some of the rows. Runs of the table are inside lhs, `to` is the piece's sums.
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
            match self.c.lanes {
                NARROW => self.add_rows::<NARROW>(),
                _ => self.add_rows::<{ 2 * NARROW }>(),
            }
        }
    }
}

impl<T: Scalar> Piece<'_, T> {
    /// For each spot and channel the sum over rows, a block of them at a time.
    #[inline(always)]
    unsafe fn add_rows<const W: usize>(&self) {
        let c = self.c;
        let spots = c.runs.spots.len();
        // SAFETY: the sums are the piece's own.
        unsafe { std::slice::from_raw_parts_mut(self.to, c.sums_len()).fill(T::ZERO) };
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
