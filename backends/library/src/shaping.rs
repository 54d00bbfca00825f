//! Ops that move elements: each is one or a few strided copies.

use super::parallel::PARALLEL_WORK;
use super::strided::{StridedCopy, dense};
use super::{LibraryCall, Scratch};
use gradloom_ir::{Op, Type};
use smallvec::SmallVec;

type Strides = SmallVec<[isize; 6]>;

/// A copy and where it starts in source and destination, in elements.
struct Placed {
    copy: StridedCopy,
    src: isize,
    dst: isize,
}

impl Placed {
    /// # Safety
    /// As for [`StridedCopy::run`], at the offsets.
    unsafe fn run(&self, src: *const u8, dst: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.copy.run(src.offset(self.src * size as isize), dst.offset(self.dst * size as isize)) }
    }
}

fn call(op: &Op, out: &Type, run: impl Fn(&[*const u8], &[*mut u8]) + Send + Sync + 'static) -> LibraryCall {
    let name = format!("{} to {out}", op.name());
    LibraryCall::new(name, Scratch::default(), out.numel() as u64, move |args, outs, _| run(args, outs))
}

/// `out[i] = x[offset + strides . i]`
fn view(op: &Op, out: &Type, strides: Strides, offset: isize) -> LibraryCall {
    let copy = StridedCopy::new(out.dtype.size(), &out.shape, &strides, &dense(&out.shape));
    let offset = if out.numel() == 0 { 0 } else { offset * out.dtype.size() as isize };
    // SAFETY: `LibraryCall::run`'s promise; the shape rules keep the view inside the operand.
    call(op, out, move |args, outs| unsafe { copy.run(args[0].offset(offset), outs[0]) })
}

pub(super) fn transpose(op: &Op, x: &Type, perm: &[usize], out: &Type) -> LibraryCall {
    let s = dense(&x.shape);
    view(op, out, perm.iter().map(|&p| s[p]).collect(), 0)
}

pub(super) fn broadcast(op: &Op, x: &Type, dims: &[usize], out: &Type) -> LibraryCall {
    let mut strides = Strides::from_elem(0, out.rank());
    for (a, s) in dense(&x.shape).into_iter().enumerate() {
        strides[dims[a]] = if x.shape[a] == 1 { 0 } else { s };
    }
    view(op, out, strides, 0)
}

pub(super) fn slice(op: &Op, x: &Type, start: &[usize], stride: &[usize], out: &Type) -> LibraryCall {
    let s = dense(&x.shape);
    let offset = s.iter().zip(start).map(|(s, &i)| s * i as isize).sum();
    // A step may exceed every array; then the axis has one element and the step is never taken.
    view(op, out, s.iter().zip(stride).map(|(s, &k)| s.wrapping_mul(k as isize)).collect(), offset)
}

pub(super) fn reverse(op: &Op, axes: &[usize], out: &Type) -> LibraryCall {
    let mut s = dense(&out.shape);
    let mut offset = 0;
    for &a in axes {
        offset += s[a] * (out.shape[a] as isize - 1);
        s[a] = -s[a];
    }
    view(op, out, s, offset)
}

pub(super) fn concatenate(op: &Op, args: &[Type], axis: usize, out: &Type) -> LibraryCall {
    let (size, dst) = (out.dtype.size(), dense(&out.shape));
    let mut at = 0;
    let mut parts: Vec<Placed> = Vec::new();
    for a in args {
        let copy = StridedCopy::new(size, &a.shape, &dense(&a.shape), &dst);
        parts.push(Placed { copy, src: 0, dst: if out.numel() == 0 { 0 } else { at * dst[axis] } });
        at += a.shape[axis] as isize;
    }
    call(op, out, move |args, outs| {
        for (p, &a) in parts.iter().zip(args) {
            // SAFETY: `LibraryCall::run`'s promise; the parts tile the result.
            unsafe { p.run(a, outs[0], size) }
        }
    })
}

pub(super) fn pad(op: &Op, x: &Type, low: &[i64], interior: &[usize], out: &Type) -> LibraryCall {
    let size = out.dtype.size();
    let (xs, os) = (dense(&x.shape), dense(&out.shape));
    let zero = Strides::from_elem(0, out.rank());
    // The elements of x that land in the result: `count` of them from `first`, at `at` and then every `step`.
    let (mut src, mut dst, mut steps) = (0, 0, Strides::new());
    let (mut count, mut begin) = (SmallVec::<[usize; 6]>::new(), SmallVec::<[usize; 6]>::new());
    for a in 0..x.rank() {
        let (step, low) = (interior[a] as i128 + 1, i128::from(low[a]));
        let first = if low < 0 { (-low + step - 1) / step } else { 0 };
        let end = (out.shape[a] as i128 - low + step - 1).div_euclid(step).min(x.shape[a] as i128);
        let n = (end - first).max(0);
        let at = if n == 0 { 0 } else { low + first * step };
        count.push(n as usize);
        begin.push(at as usize);
        src += if n == 0 { 0 } else { first as isize * xs[a] };
        dst += at as isize * os[a];
        steps.push(if n <= 1 { os[a] } else { step as isize * os[a] });
    }
    let body = Placed { copy: StridedCopy::new(size, &count, &xs, &steps), src, dst };
    let mut fills = Vec::new();
    if count.contains(&0) || interior.iter().zip(&count).any(|(&i, &n)| i > 0 && n > 1) {
        fills.push(Placed { copy: StridedCopy::new(size, &out.shape, &zero, &os), src: 0, dst: 0 });
    } else {
        // What is before and after the body along each axis, inside the body along earlier axes, whole along later ones.
        let (mut shape, mut at) = (out.shape.clone(), 0);
        for a in 0..out.rank() {
            let (start, end) = (begin[a], begin[a] + count[a]);
            for (from, n) in [(0, start), (end, out.shape[a] - end)] {
                shape[a] = n;
                if shape.iter().product::<usize>() > 0 {
                    let copy = StridedCopy::new(size, &shape, &zero, &os);
                    fills.push(Placed { copy, src: 0, dst: at + from as isize * os[a] });
                }
            }
            shape[a] = count[a];
            at += start as isize * os[a];
        }
    }
    call(op, out, move |args, outs| {
        // SAFETY: `LibraryCall::run`'s promise; body and fills are inside the result, fills read the one padding value.
        unsafe {
            fills.iter().for_each(|f| f.run(args[1], outs[0], size));
            body.run(args[0], outs[0], size);
        }
    })
}

/// A dense copy of a whole array, on several threads when it is large.
pub(super) fn copy_all(ty: &Type) -> StridedCopy {
    let (n, size) = (ty.numel(), ty.dtype.size());
    let rows = if n >= PARALLEL_WORK && n.is_multiple_of(64) { 64 } else { 1 };
    let row = n / rows;
    StridedCopy::new(size, &[rows, row], &[row as isize, 1], &[row as isize, 1])
}
