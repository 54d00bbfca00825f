//! Convolutions that read their patches where they lie, for f32 on processors with AVX-512.
//!
//! Where the channels of lhs lie side by side, a row of the patch matrix is a few runs of channels, one a window position
//! (a *spot*). Then no patch matrix is written: a block of the result stays in registers, and a table says where each
//! run begins, or that it lies in the padding. There are two forms, by the side on which the channels are:
//!
//! - [`Form::Taps`], a layer and its gradient by the input: `result[row, f] = sum over spot, channel of
//!   lhs[run(row, spot) + channel] kernel[spot, channel, f]`, rows being positions;
//! - [`Form::Positions`], the gradient by the kernel: `result[spot, channel, f] = sum over row of
//!   lhs[run(row, spot) + channel] kernel[row, f]`, rows being taps.

use super::conv::Layout;
use super::parallel::{self, In, Out, chunk};
use super::patches::Axis;
use super::runs::{BLOCK, Blocks, Row, Runs, Walk};
use super::{LibraryCall, Scratch};
use gradloom_ir::DType;
use std::arch::x86_64::*;
use std::ops::Range;

/// Channels that must lie side by side: what is done once a run is then little beside what is done a channel.
const CHANNELS: usize = 8;

/// Output features from which vectors of them are worth it.
const FEATURES: usize = 8;

/// Most taps of a kernel whose strips stay in the second-level cache.
const DEPTH: usize = 4096;

/// Numbers of a vector.
const LANES: usize = 16;

/// On which side the channels of lhs are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Taps,
    Positions,
}

/// Features that are computed together: whole vectors, the last of them filled up.
#[derive(Clone, Copy)]
struct Strip {
    first: usize,
    features: usize,
    vectors: usize,
}

struct Direct {
    form: Form,
    groups: usize,
    group: [isize; 3],
    feature: [isize; 2],
    /// The channels and their stride in the kernel (taps) or result (positions).
    channels: usize,
    channel: isize,
    runs: Runs,
    strips: Vec<Strip>,
    /// Pieces that may run side by side.
    pieces: usize,
    /// Scratch: the kernel in strips or the parts of the sums, and a run of zeros.
    packed: usize,
    zeros: usize,
}

/// The convolution as a call, if it has one of the forms.
pub(super) fn prepare(l: &Layout, dtype: DType, flops: u64) -> Option<LibraryCall> {
    if dtype != DType::F32 || !is_x86_feature_detected!("avx512f") || l.features < FEATURES {
        return None;
    }
    let mut scratch = Scratch::default();
    let d = Direct::new(l, Form::Taps, &mut scratch).or_else(|| Direct::new(l, Form::Positions, &mut scratch))?;
    let [rows, spots, channels] = [d.runs.rows(), d.runs.spots.len(), d.channels];
    let name = match d.form {
        Form::Taps => format!("convolution {rows} positions x {spots} spots of {channels} x {} features", l.features),
        Form::Positions => {
            format!(
                "convolution {spots} spots of {channels} x {rows} taps x {} features, {} parts",
                l.features, d.pieces
            )
        }
    };
    Some(LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
        // SAFETY: the caller of `run` passes buffers of the prepared types and enough scratch.
        unsafe { d.run(args[0].cast(), args[1].cast(), outs[0].cast(), scratch.cast()) }
    }))
}

/// Features in strips of four, two and one vectors.
fn strips(features: usize) -> Vec<Strip> {
    let mut strips = Vec::new();
    let mut first = 0;
    while first < features {
        let vectors = match (features - first).div_ceil(LANES) {
            1 => 1,
            2 | 3 => 2,
            _ => 4,
        };
        let n = (vectors * LANES).min(features - first);
        strips.push(Strip { first, features: n, vectors });
        first += n;
    }
    strips
}

impl Direct {
    fn new(l: &Layout, form: Form, scratch: &mut Scratch) -> Option<Direct> {
        let w = &l.windows;
        let (few, many) = match form {
            Form::Taps => (&w.taps, &w.positions),
            Form::Positions => (&w.positions, &w.taps),
        };
        let at = few.0.iter().position(|a| a.src == 1 && a.moves.is_none() && a.n >= CHANNELS)?;
        let mut spot_axes = few.clone();
        let Axis { n: channels, mat: channel, .. } = spot_axes.0.remove(at);
        let fits = match form {
            Form::Taps => few.len() <= DEPTH,
            Form::Positions => l.feature[0] == 1 && few.len() <= many.len(),
        };
        if !fits {
            return None;
        }
        let runs = Runs::new(w, &spot_axes, many)?;
        let strips = strips(l.features);
        let padded: usize = strips.iter().map(|s| s.vectors * LANES).sum();
        let summed = form == Form::Positions;
        let pieces = runs.pieces(few.len().saturating_mul(l.features), summed);
        let packed = l.groups * if summed { pieces } else { 1 };
        Some(Direct {
            form,
            groups: l.groups,
            group: l.group,
            feature: l.feature,
            channels,
            channel,
            runs,
            strips,
            pieces,
            packed: scratch.take(packed * few.len() * padded * 4),
            zeros: scratch.take(channels * 4),
        })
    }

    /// Numbers of a kernel in strips, or of a part of the sums.
    fn packed_len(&self) -> usize {
        self.runs.spots.len() * self.channels * self.strips.iter().map(|s| s.vectors * LANES).sum::<usize>()
    }

    unsafe fn run(&self, lhs: *const f32, rhs: *const f32, out: *mut f32, scratch: *mut u8) {
        // SAFETY: scratch was taken in `new`; offsets come from the types; pieces write disjoint parts.
        unsafe {
            let packed: *mut f32 = scratch.add(self.packed).cast();
            let zeros: *mut f32 = scratch.add(self.zeros).cast();
            std::ptr::write_bytes(zeros, 0, self.channels);
            if self.form == Form::Taps {
                (0..self.groups).for_each(|g| self.pack(g, rhs, packed));
            }
            let (lhs, rhs, out, zeros) =
                (In::new(lhs.cast()), In::new(rhs.cast()), Out::new(out.cast()), In::new(zeros.cast()));
            let packed = Out::new(packed.cast());
            parallel::for_each(self.groups * self.pieces, |task| {
                let (g, piece) = (task / self.pieces, task % self.pieces);
                let of = |i: usize| g as isize * self.group[i];
                let lhs = lhs.get().cast::<f32>().offset(of(0));
                let packed = packed.get().cast::<f32>();
                let rows = chunk(self.runs.rows(), self.pieces, piece);
                match self.form {
                    Form::Taps => {
                        let kernel = packed.add(g * self.packed_len());
                        self.positions(rows, lhs, kernel, out.get().cast::<f32>().offset(of(2)), zeros.get().cast());
                    }
                    Form::Positions => {
                        let part = packed.add(task * self.packed_len());
                        self.sums(rows, lhs, rhs.get().cast::<f32>().offset(of(1)), part);
                    }
                }
            });
            if self.form == Form::Positions {
                let packed = packed.get().cast::<f32>();
                (0..self.groups).for_each(|g| self.unpack(g, packed, out.get().cast()));
            }
        }
    }

    /// Lays the kernel of a group out strip by strip, in each of them tap by tap.
    unsafe fn pack(&self, g: usize, rhs: *const f32, packed: *mut f32) {
        // SAFETY: as `run`.
        unsafe {
            let rhs = rhs.offset(g as isize * self.group[1]);
            let mut to = packed.add(g * self.packed_len());
            for strip in &self.strips {
                for spot in &self.runs.spots {
                    for c in 0..self.channels as isize {
                        for f in 0..strip.vectors * LANES {
                            let at = spot + c * self.channel + (strip.first + f) as isize * self.feature[0];
                            *to = if f < strip.features { *rhs.offset(at) } else { 0.0 };
                            to = to.add(1);
                        }
                    }
                }
            }
        }
    }

    /// Adds the parts of a group's sums, in their order, and puts them where they belong.
    unsafe fn unpack(&self, g: usize, packed: *const f32, out: *mut f32) {
        // SAFETY: as `run`.
        unsafe {
            let out = out.offset(g as isize * self.group[2]);
            let len = self.packed_len();
            let mut from = packed.add(g * self.pieces * len);
            for strip in &self.strips {
                for spot in &self.runs.spots {
                    for c in 0..self.channels as isize {
                        for f in 0..strip.vectors * LANES {
                            if f < strip.features {
                                let at = spot + c * self.channel + (strip.first + f) as isize * self.feature[1];
                                *out.offset(at) = (0..self.pieces).map(|p| *from.add(p * len)).sum();
                            }
                            from = from.add(1);
                        }
                    }
                }
            }
        }
    }

    /// Rows of the result.
    unsafe fn positions(
        &self,
        rows: Range<usize>,
        lhs: *const f32,
        kernel: *const f32,
        out: *mut f32,
        zeros: *const f32,
    ) {
        // SAFETY: the caller's promise; AVX-512 was found in `prepare`.
        unsafe {
            let mut kernel = kernel;
            for strip in &self.strips {
                match strip.vectors {
                    1 => self.rows_by::<1, 12>(rows.clone(), *strip, lhs, kernel, out, zeros),
                    2 => self.rows_by::<2, 10>(rows.clone(), *strip, lhs, kernel, out, zeros),
                    _ => self.rows_by::<4, 6>(rows.clone(), *strip, lhs, kernel, out, zeros),
                }
                kernel = kernel.add(self.runs.spots.len() * self.channels * strip.vectors * LANES);
            }
        }
    }

    /// `R` rows at a time by `V` vectors of features.
    #[target_feature(enable = "avx512f")]
    unsafe fn rows_by<const V: usize, const R: usize>(
        &self,
        rows: Range<usize>,
        strip: Strip,
        lhs: *const f32,
        kernel: *const f32,
        out: *mut f32,
        zeros: *const f32,
    ) {
        let mut walk = Walk::new(&self.runs, rows.start);
        let mut row = rows.start;
        while row < rows.end {
            let n = R.min(rows.end - row);
            // what is missing at the end repeats the last row, and is not stored
            let at: [Row; R] = walk.several(&self.runs, n);
            let mut sums = [[_mm512_setzero_ps(); V]; R];
            // SAFETY: runs in the table are inside lhs; the kernel's strip has `V` vectors a tap; stores are masked.
            unsafe {
                for s in self.runs.met(&at) {
                    let mut k = kernel.add(s * self.channels * V * LANES);
                    let mut from = [zeros; R];
                    for r in 0..R {
                        if let Some(run) = self.runs.run(&at[r], s) {
                            from[r] = lhs.offset(run);
                        }
                    }
                    for c in 0..self.channels {
                        let ks: [__m512; V] = std::array::from_fn(|v| _mm512_loadu_ps(k.add(v * LANES)));
                        for (sums, from) in sums.iter_mut().zip(from) {
                            add_product(sums, *from.add(c), ks);
                        }
                        k = k.add(V * LANES);
                    }
                }
                let finished = spilled(&sums);
                for r in 0..n {
                    let to = out.offset(at[r].mat + strip.first as isize * self.feature[1]);
                    for (v, numbers) in finished[r].iter().enumerate() {
                        let lanes = strip.features.saturating_sub(v * LANES).min(LANES);
                        if self.feature[1] == 1 {
                            _mm512_mask_storeu_ps(to.add(v * LANES), mask(lanes), _mm512_loadu_ps(numbers.as_ptr()));
                        } else {
                            for (f, x) in numbers[..lanes].iter().enumerate() {
                                *to.offset((v * LANES + f) as isize * self.feature[1]) = *x;
                            }
                        }
                    }
                }
            }
            row += n;
        }
    }

    /// A part of the sums over rows.
    unsafe fn sums(&self, rows: Range<usize>, lhs: *const f32, rhs: *const f32, part: *mut f32) {
        // SAFETY: the caller's promise; AVX-512 was found in `prepare`.
        unsafe {
            std::ptr::write_bytes(part, 0, self.packed_len());
            let mut blocks = Blocks::new(&self.runs, &rows);
            let mut pairs = [(lhs, rhs); BLOCK];
            while let Some(block) = blocks.next(&self.runs) {
                for s in 0..self.runs.spots.len() {
                    let mut inside = 0;
                    for row in block {
                        if let Some(run) = self.runs.run(row, s) {
                            pairs[inside] = (lhs.offset(run), rhs.offset(row.mat));
                            inside += 1;
                        }
                    }
                    let mut to = part;
                    for strip in &self.strips {
                        let width = strip.vectors * LANES;
                        let at = to.add(s * self.channels * width);
                        match strip.vectors {
                            1 => self.channels_by::<1, 8>(&pairs[..inside], *strip, at),
                            2 => self.channels_by::<2, 8>(&pairs[..inside], *strip, at),
                            _ => self.channels_by::<4, 6>(&pairs[..inside], *strip, at),
                        }
                        to = to.add(self.runs.spots.len() * self.channels * width);
                    }
                }
            }
        }
    }

    /// Adds to the sums of one spot, `R` channels at a time by `V` vectors of features.
    #[target_feature(enable = "avx512f")]
    unsafe fn channels_by<const V: usize, const R: usize>(
        &self,
        pairs: &[(*const f32, *const f32)],
        strip: Strip,
        part: *mut f32,
    ) {
        const { assert!(R <= CHANNELS) };
        let masks: [__mmask16; V] = std::array::from_fn(|v| mask(strip.features.saturating_sub(v * LANES).min(LANES)));
        let mut done = 0;
        while done < self.channels {
            // the last block reaches back to channels that are done; these are not stored
            let first = done.min(self.channels - R);
            let mut sums = [[_mm512_setzero_ps(); V]; R];
            // SAFETY: runs have `channels` numbers, rows of the kernel `strip.features` from the strip's first on.
            unsafe {
                for &(x, k) in pairs {
                    let (x, k) = (x.add(first), k.add(strip.first));
                    let ks: [__m512; V] = std::array::from_fn(|v| _mm512_maskz_loadu_ps(masks[v], k.add(v * LANES)));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        add_product(sums, *x.add(r), ks);
                    }
                }
                for (r, sums) in spilled(&sums).iter().enumerate().skip(done - first) {
                    for (v, sum) in sums.iter().enumerate() {
                        let to = part.add(((first + r) * V + v) * LANES);
                        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_loadu_ps(sum.as_ptr())));
                    }
                }
            }
            done = first + R;
        }
    }
}

/// `sums += x ks`
#[target_feature(enable = "avx512f")]
#[inline]
fn add_product<const V: usize>(sums: &mut [__m512; V], x: f32, ks: [__m512; V]) {
    let x = _mm512_set1_ps(x);
    for (sum, k) in sums.iter_mut().zip(ks) {
        *sum = _mm512_fmadd_ps(x, k, *sum);
    }
}

/// The sums in memory. An array of which any element may be asked for cannot stay in registers: with this one for that, the sums
/// themselves do while they grow, which halves the time; plain loops of known length, so that they are taken apart.
#[target_feature(enable = "avx512f")]
#[inline]
fn spilled<const V: usize, const R: usize>(sums: &[[__m512; V]; R]) -> [[[f32; LANES]; V]; R] {
    let mut numbers = [[[0.0; LANES]; V]; R];
    for r in 0..R {
        for v in 0..V {
            // SAFETY: there are as many numbers as a vector has.
            unsafe { _mm512_storeu_ps(numbers[r][v].as_mut_ptr(), sums[r][v]) };
        }
    }
    numbers
}

/// The first lanes of a vector.
fn mask(lanes: usize) -> __mmask16 {
    ((1u32 << lanes) - 1) as __mmask16
}
