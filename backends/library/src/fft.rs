//! Fourier transforms by `rustfft` and `realfft`, with plans made when the call is prepared.

use super::parallel::{self, In, Out, chunk};
use super::strided::{StridedCopy, dense};
use super::{LibraryCall, Scratch};
use gradloom_ir::{Complex, DType, FftKind, Result, Type};
use realfft::{ComplexToReal, FftNum, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use smallvec::SmallVec;
use std::sync::Arc;

/// Rows of `n` numbers in one dense array, transformed in place.
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

    /// # Safety
    /// `data` has `count` rows, `scratch` is the call's.
    unsafe fn run(&self, data: *mut Complex<T>, scratch: *mut u8) {
        let (data, scratch) = (Out::new(data.cast()), Out::new(scratch));
        let part = |i: usize| {
            let r = chunk(self.count, self.chunks, i);
            let (at, length) = self.scratch;
            // SAFETY: parts are disjoint rows and have scratch of their own, reserved by `new`.
            unsafe {
                let rows = data.get().cast::<Complex<T>>().add(r.start * self.n);
                let rows = std::slice::from_raw_parts_mut(rows, r.len() * self.n);
                let own = scratch.get().add(at).cast::<Complex<T>>().add(i * length);
                self.plan.process_with_scratch(rows, std::slice::from_raw_parts_mut(own, length));
            }
        };
        if self.chunks == 1 { part(0) } else { parallel::for_each(self.chunks, part) }
    }
}

/// One axis of a dense complex array that is not the last: to rows, transformed, and back.
struct Across<T> {
    rows: Rows<T>,
    to_rows: StridedCopy,
    back: StridedCopy,
    at: usize,
}

impl<T: FftNum> Across<T> {
    fn new(shape: &[usize], axis: usize, forward: bool, scratch: &mut Scratch) -> Across<T> {
        let size = size_of::<Complex<T>>();
        let order: SmallVec<[usize; 6]> = (0..shape.len()).filter(|&a| a != axis).chain([axis]).collect();
        let by = dense(shape);
        let rows_shape: SmallVec<[usize; 6]> = order.iter().map(|&a| shape[a]).collect();
        let own: SmallVec<[isize; 6]> = order.iter().map(|&a| by[a]).collect();
        let rows = dense(&rows_shape);
        let count = shape.iter().product::<usize>();
        Across {
            rows: Rows::new(shape[axis], count / shape[axis], forward, scratch),
            to_rows: StridedCopy::new(size, &rows_shape, &own, &rows),
            back: StridedCopy::new(size, &rows_shape, &rows, &own),
            at: scratch.take(count * size),
        }
    }

    /// # Safety
    /// As for [`Rows::run`], `data` being the whole array.
    unsafe fn run(&self, data: *mut u8, scratch: *mut u8) {
        // SAFETY: `new` reserved room for the array; the copies stay inside both.
        unsafe {
            let rows = scratch.add(self.at);
            self.to_rows.run(data, rows);
            self.rows.run(rows.cast(), scratch);
            self.back.run(rows, data);
        }
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
            let numbers = 2 * x.numel();
            LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
                // SAFETY: `LibraryCall::run`'s promise: operand and result have the prepared types.
                unsafe {
                    std::ptr::copy_nonoverlapping(args[0], outs[0], bytes);
                    rows.run(outs[0].cast(), scratch);
                    across.iter().for_each(|a| a.run(outs[0], scratch));
                    if kind == FftKind::Ifft {
                        let data = std::slice::from_raw_parts_mut(outs[0].cast::<T>(), numbers);
                        data.iter_mut().for_each(|v| *v = *v * scale);
                    }
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
