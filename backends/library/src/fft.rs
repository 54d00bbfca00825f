//! Fourier transforms by `rustfft` and `realfft`, with plans made when the call is prepared.

use super::exchange::Exchange;
use super::parallel::{self, In, Out, chunk};
use super::{LibraryCall, Scratch};
use gradloom_ir::{Complex, DType, FftKind, Result, Type};
use realfft::{ComplexToReal, FftNum, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Numbers that are moved, then transformed: they stay in a core's cache.
const TOGETHER: usize = 1 << 14;

/// Rows of `n` numbers in one dense array.
struct Rows<T> {
    n: usize,
    count: usize,
    plan: Arc<dyn Fft<T>>,
    chunks: usize,
    /// Where the scratch of each part starts, in bytes, and its length in numbers.
    scratch: (usize, usize),
}

/// What `count` rows of length `n` cost: about n log n a row.
fn row_chunks(count: usize, n: usize) -> usize {
    parallel::chunk_count(count, n * (n.max(2).ilog2() as usize + 1))
}

impl<T: FftNum> Rows<T> {
    fn new(n: usize, count: usize, forward: bool, scratch: &mut Scratch) -> Rows<T> {
        let mut planner = FftPlanner::new();
        let plan = if forward { planner.plan_fft_forward(n) } else { planner.plan_fft_inverse(n) };
        let chunks = row_chunks(count, n);
        let length = plan.get_inplace_scratch_len();
        let at = scratch.take(chunks * length * size_of::<Complex<T>>());
        Rows { n, count, plan, chunks, scratch: (at, length) }
    }

    /// Transforms the rows of `from` into `to` and multiplies them by `scale`.
    ///
    /// # Safety
    /// Both have `count` rows and are the same or do not overlap; `scratch` is the call's.
    unsafe fn run(&self, from: *const u8, to: *mut u8, scale: Option<T>, scratch: *mut u8) {
        let (from, to, scratch) = (In::new(from), Out::new(to), Out::new(scratch));
        parallel::for_each(self.chunks, |i| {
            let r = chunk(self.count, self.chunks, i);
            let (at, length) = self.scratch;
            // SAFETY: parts are disjoint rows and have scratch of their own, reserved by `new`.
            unsafe {
                let own = scratch.get().add(at).cast::<Complex<T>>().add(i * length);
                let own = std::slice::from_raw_parts_mut(own, length);
                let group = (TOGETHER / self.n).max(1);
                for first in r.clone().step_by(group) {
                    let numbers = group.min(r.end - first) * self.n;
                    let from = from.get().cast::<Complex<T>>().add(first * self.n);
                    let to = to.get().cast::<Complex<T>>().add(first * self.n);
                    if from != to.cast_const() {
                        std::ptr::copy_nonoverlapping(from, to, numbers);
                    }
                    let rows = std::slice::from_raw_parts_mut(to, numbers);
                    self.plan.process_with_scratch(rows, own);
                    if let Some(scale) = scale {
                        rows.iter_mut().for_each(|z| *z = Complex { re: z.re * scale, im: z.im * scale });
                    }
                }
            }
        });
    }
}

/// One axis of a dense complex array that is not the last: block by block of columns to rows, transformed, and back.
struct Across<T> {
    n: usize,
    /// How many numbers each of the axis's elements stands for, and how many of them a block has.
    inner: usize,
    width: usize,
    /// Blocks of all arrays inside the axes before.
    blocks: usize,
    chunks: usize,
    plan: Arc<dyn Fft<T>>,
    /// Where the rows and the plan's scratch of each part start.
    at: usize,
    part_bytes: usize,
}

impl<T: FftNum> Across<T> {
    fn new(shape: &[usize], axis: usize, forward: bool, scratch: &mut Scratch) -> Across<T> {
        let n = shape[axis];
        let outer: usize = shape[..axis].iter().product();
        let inner: usize = shape[axis + 1..].iter().product();
        let mut planner = FftPlanner::new();
        let plan = if forward { planner.plan_fft_forward(n) } else { planner.plan_fft_inverse(n) };
        // whole cache lines of columns
        let width = (TOGETHER / n).next_multiple_of(8).clamp(8, inner.next_multiple_of(8)).min(inner);
        let blocks = outer * inner.div_ceil(width);
        let chunks = row_chunks(outer * inner, n).min(blocks);
        let numbers = width * n + plan.get_inplace_scratch_len();
        let part_bytes = (numbers * size_of::<Complex<T>>()).next_multiple_of(super::ALIGN);
        Across { n, inner, width, blocks, chunks, plan, at: scratch.take(chunks * part_bytes), part_bytes }
    }

    /// # Safety
    /// `data` is the whole array, `scratch` the call's.
    unsafe fn run(&self, data: *mut u8, scratch: *mut u8) {
        let (n, inner) = (self.n, self.inner);
        let per_array = inner.div_ceil(self.width);
        let (data, scratch) = (Out::new(data), Out::new(scratch));
        parallel::for_each(self.chunks, |c| {
            for block in chunk(self.blocks, self.chunks, c) {
                let first = block % per_array * self.width;
                let width = self.width.min(inner - first);
                let to_rows = Exchange { n: [width, n], src: inner as isize, dst: n as isize };
                let back = Exchange { n: [n, width], src: n as isize, dst: inner as isize };
                // SAFETY: blocks are disjoint columns of the array; parts have scratch of their own, reserved by `new`.
                unsafe {
                    let columns = data.get().cast::<Complex<T>>().add(block / per_array * n * inner + first);
                    let rows = scratch.get().add(self.at + c * self.part_bytes).cast::<Complex<T>>();
                    to_rows.run(columns.cast_const(), rows, 0);
                    self.plan.process_with_scratch(
                        std::slice::from_raw_parts_mut(rows, width * n),
                        std::slice::from_raw_parts_mut(rows.add(self.width * n), self.plan.get_inplace_scratch_len()),
                    );
                    back.run(rows.cast_const(), columns, 0);
                }
            }
        });
    }
}

/// Real rows of `n` to complex rows of `n / 2 + 1`, or back.
struct RealRows<T> {
    n: usize,
    count: usize,
    chunks: usize,
    forward: Arc<dyn RealToComplex<T>>,
    backward: Arc<dyn ComplexToReal<T>>,
    /// Room for one real row, one complex row and the plan's scratch, for each part.
    at: usize,
    part_bytes: usize,
}

impl<T: FftNum> RealRows<T> {
    fn new(n: usize, count: usize, scratch: &mut Scratch) -> RealRows<T> {
        let mut planner = RealFftPlanner::new();
        let (forward, backward) = (planner.plan_fft_forward(n), planner.plan_fft_inverse(n));
        let chunks = row_chunks(count, n);
        let numbers = n / 2 + 1 + forward.get_scratch_len().max(backward.get_scratch_len());
        let part_bytes = numbers * size_of::<Complex<T>>() + n.next_multiple_of(2) * size_of::<T>();
        RealRows { n, count, chunks, forward, backward, at: scratch.take(chunks * part_bytes), part_bytes }
    }

    /// Calls `f` with each row's number and room for a complex row, a plan's scratch and a real row.
    ///
    /// # Safety
    /// `scratch` is the call's.
    unsafe fn for_each(
        &self,
        scratch: *mut u8,
        f: impl Fn(usize, &mut [Complex<T>], &mut [Complex<T>], &mut [T]) + Sync + Send,
    ) {
        let scratch = Out::new(scratch);
        let (half, extra) = (self.n / 2 + 1, self.forward.get_scratch_len().max(self.backward.get_scratch_len()));
        let part = |i: usize| {
            // SAFETY: `new` reserved this much for each part.
            let (complex, plan, real) = unsafe {
                let own = scratch.get().add(self.at + i * self.part_bytes).cast::<Complex<T>>();
                (
                    std::slice::from_raw_parts_mut(own, half),
                    std::slice::from_raw_parts_mut(own.add(half), extra),
                    std::slice::from_raw_parts_mut(own.add(half + extra).cast::<T>(), self.n),
                )
            };
            chunk(self.count, self.chunks, i).for_each(|row| f(row, complex, plan, real));
        };
        if self.chunks == 1 { part(0) } else { parallel::for_each(self.chunks, part) }
    }

    /// # Safety
    /// `x` has `count` real rows, `y` as many complex ones; they do not overlap.
    unsafe fn forward(&self, x: *const u8, y: *mut u8, scratch: *mut u8) {
        let (x, y, half, extra) = (In::new(x), Out::new(y), self.n / 2 + 1, self.forward.get_scratch_len());
        let one = |row: usize, _: &mut [Complex<T>], plan: &mut [Complex<T>], real: &mut [T]| {
            // SAFETY: the caller's promise.
            let (from, to) = unsafe {
                (
                    std::slice::from_raw_parts(x.get().cast::<T>().add(row * self.n), self.n),
                    std::slice::from_raw_parts_mut(y.get().cast::<Complex<T>>().add(row * half), half),
                )
            };
            real.copy_from_slice(from);
            let done = self.forward.process_with_scratch(real, to, &mut plan[..extra]);
            debug_assert!(done.is_ok(), "lengths are those of the plan");
        };
        // SAFETY: the caller's promise.
        unsafe { self.for_each(scratch, one) }
    }

    /// # Safety
    /// `x` has `count` complex rows, `y` as many real ones; they do not overlap.
    unsafe fn backward(&self, x: *const u8, y: *mut u8, scale: T, scratch: *mut u8) {
        let (x, y, half, extra) = (In::new(x), Out::new(y), self.n / 2 + 1, self.backward.get_scratch_len());
        let one = |row: usize, complex: &mut [Complex<T>], plan: &mut [Complex<T>], _: &mut [T]| {
            // SAFETY: the caller's promise.
            let (from, to) = unsafe {
                (
                    std::slice::from_raw_parts(x.get().cast::<Complex<T>>().add(row * half), half),
                    std::slice::from_raw_parts_mut(y.get().cast::<T>().add(row * self.n), self.n),
                )
            };
            complex.copy_from_slice(from);
            // what would have to be real counts as real
            complex[0].im = T::zero();
            if self.n.is_multiple_of(2) {
                complex[half - 1].im = T::zero();
            }
            let done = self.backward.process_with_scratch(complex, to, &mut plan[..extra]);
            debug_assert!(done.is_ok(), "lengths are those of the plan");
            to.iter_mut().for_each(|v| *v = *v * scale);
        };
        // SAFETY: the caller's promise.
        unsafe { self.for_each(scratch, one) }
    }
}

pub(super) fn fft(kind: FftKind, lengths: &[usize], x: &Type, out: &Type) -> Result<LibraryCall> {
    if x.numel() == 0 || out.numel() == 0 {
        return Ok(LibraryCall::new("fft of nothing".into(), Scratch::default(), 0, |_, _, _| {}));
    }
    Ok(match x.dtype.real() {
        DType::F32 => prepare::<f32>(kind, lengths, x, out),
        _ => prepare::<f64>(kind, lengths, x, out),
    })
}

fn prepare<T: FftNum>(kind: FftKind, lengths: &[usize], x: &Type, out: &Type) -> LibraryCall {
    let mut scratch = Scratch::default();
    let rank = x.rank();
    let (first, last) = (rank - lengths.len(), rank - 1);
    let points: usize = lengths.iter().product();
    let scale = T::from_f64(1.0 / points as f64).unwrap_or_else(T::one);
    let forward = matches!(kind, FftKind::Fft | FftKind::Rfft);
    // all axes but the last are transformed on the complex side, inverse ones before the last axis becomes real
    let complex_shape = if kind == FftKind::Irfft { &x.shape } else { &out.shape };
    let across: Vec<Across<T>> =
        (first..last).map(|axis| Across::new(complex_shape, axis, forward, &mut scratch)).collect();
    let bytes = x.bytes();
    let flops = 5 * (x.numel().max(out.numel()) as u64) * u64::from(points.max(2).ilog2());
    let name = format!("{} of {x} over {lengths:?}", kind.name());
    let n = lengths[lengths.len() - 1];
    let count = x.numel() / x.shape[last];
    match kind {
        FftKind::Fft | FftKind::Ifft => {
            let rows = Rows::<T>::new(n, count, forward, &mut scratch);
            let scale = (kind == FftKind::Ifft).then_some(scale);
            LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
                // SAFETY: `LibraryCall::run`'s promise: operand and result have the prepared types.
                unsafe {
                    rows.run(args[0], outs[0], scale, scratch);
                    across.iter().for_each(|a| a.run(outs[0], scratch));
                }
            })
        }
        FftKind::Rfft => {
            let rows = RealRows::<T>::new(n, count, &mut scratch);
            LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
                // SAFETY: as above.
                unsafe {
                    rows.forward(args[0], outs[0], scratch);
                    across.iter().for_each(|a| a.run(outs[0], scratch));
                }
            })
        }
        FftKind::Irfft => {
            let rows = RealRows::<T>::new(n, count, &mut scratch);
            let copy = (!across.is_empty()).then(|| scratch.take(bytes));
            LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
                // SAFETY: as above; the operand is copied before it is changed.
                unsafe {
                    let mut from = args[0];
                    if let Some(at) = copy {
                        let own = scratch.add(at);
                        std::ptr::copy_nonoverlapping(from, own, bytes);
                        across.iter().for_each(|a| a.run(own, scratch));
                        from = own;
                    }
                    rows.backward(from, outs[0], scale, scratch);
                }
            })
        }
    }
}
