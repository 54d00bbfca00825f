//! Dynamic slices, gather and scatter.

use super::parallel::{self, In, Out, chunk};
use super::scalar::{Scalar, with_scalar, with_size};
use super::shaping::copy_all;
use super::strided::{StridedCopy, Walk, copy_run, dense};
use super::{LibraryCall, Scratch};
use gradloom_ir::{DType, Error, Op, Result, ScatterKind, Shape, Type};
use smallvec::SmallVec;

/// Element `i` of an integer array, saturated to i64.
///
/// # Safety
/// The array has an element `i`.
#[inline(always)]
unsafe fn read_index(dtype: DType, p: *const u8, i: isize) -> i64 {
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            DType::I32 => i64::from(*p.cast::<i32>().offset(i)),
            DType::I64 => *p.cast::<i64>().offset(i),
            DType::U32 => i64::from(*p.cast::<u32>().offset(i)),
            DType::U64 => (*p.cast::<u64>().offset(i)).min(i64::MAX as u64) as i64,
            DType::I16 => i64::from(*p.cast::<i16>().offset(i)),
            DType::U16 => i64::from(*p.cast::<u16>().offset(i)),
            DType::I8 => i64::from(*p.cast::<i8>().offset(i)),
            _ => i64::from(*p.offset(i)),
        }
    }
}

/// Where a dynamic slice starts: one clamped index an axis.
struct Start {
    dtype: DType,
    /// Greatest start and stride of each axis.
    axes: SmallVec<[(i64, isize); 6]>,
    size: isize,
}

impl Start {
    fn new(x: &Type, sizes: &[usize], starts: &[Type]) -> Start {
        let limits = x.shape.iter().zip(sizes).map(|(&n, &s)| (n - s) as i64);
        let dtype = starts.first().map_or(DType::I32, |s| s.dtype);
        Start { dtype, axes: limits.zip(dense(&x.shape)).collect(), size: x.dtype.size() as isize }
    }

    /// The offset in bytes.
    ///
    /// # Safety
    /// `starts` are scalars of the prepared dtype.
    #[inline]
    unsafe fn offset(&self, starts: &[*const u8]) -> isize {
        let axes = self.axes.iter().zip(starts);
        // SAFETY: the caller's promise.
        axes.map(|(&(max, s), &p)| unsafe { read_index(self.dtype, p, 0) }.clamp(0, max) as isize * s).sum::<isize>()
            * self.size
    }
}

pub(super) fn dynamic_slice(args: &[Type], out: &Type) -> LibraryCall {
    let x = &args[0];
    let start = Start::new(x, &out.shape, &args[1..]);
    let copy = StridedCopy::new(x.dtype.size(), &out.shape, &dense(&x.shape), &dense(&out.shape));
    let name = format!("dynamic_slice {x} to {out}");
    LibraryCall::new(name, Scratch::default(), out.numel() as u64, move |args, outs, _| {
        // SAFETY: `LibraryCall::run`'s promise; the clamped slice is inside the operand.
        unsafe { copy.run(args[0].offset(start.offset(&args[1..])), outs[0]) }
    })
}

pub(super) fn dynamic_update_slice(args: &[Type]) -> LibraryCall {
    let (x, u) = (&args[0], &args[1]);
    let start = Start::new(x, &u.shape, &args[2..]);
    let all = copy_all(x);
    let copy = StridedCopy::new(x.dtype.size(), &u.shape, &dense(&u.shape), &dense(&x.shape));
    let name = format!("dynamic_update_slice {u} into {x}");
    LibraryCall::new(name, Scratch::default(), u.numel() as u64, move |args, outs, _| {
        // SAFETY: `LibraryCall::run`'s promise; the clamped update is inside the operand.
        unsafe {
            if outs[0].cast_const() != args[0] {
                all.run(args[0], outs[0]);
            }
            copy.run(args[1], outs[0].offset(start.offset(&args[2..])));
        }
    })
}

/// One component of index vectors.
struct Component {
    /// Offset in the index array from the vector's start.
    at: isize,
    /// Stride of the operand's axis it addresses.
    stride: isize,
    /// Greatest start at which the slice fits, and the axis' length.
    max: i64,
    len: i64,
}

/// What gather and scatter share: how index vectors become offsets in the operand.
struct Vectors {
    dtype: DType,
    components: SmallVec<[Component; 4]>,
    /// Strides in the index array of the grid axes, in order, and in the operand where they are batching axes.
    grid: SmallVec<[(usize, isize, isize); 6]>,
}

impl Vectors {
    fn new(x: &Type, indices: &Type, dim: usize, map: &[usize], batching: [&[usize]; 2], sizes: &[usize]) -> Vectors {
        let (xs, is) = (dense(&x.shape), dense(&indices.shape));
        let step = is.get(dim).copied().unwrap_or(0);
        // Along a batching axis the grid, not the index vector, says where.
        let addressed = map.iter().enumerate().filter(|(_, a)| !batching[0].contains(a));
        let component = |(k, &a): (usize, &usize)| Component {
            at: k as isize * step,
            stride: xs[a],
            max: x.shape[a] as i64 - sizes[a] as i64,
            len: x.shape[a] as i64,
        };
        let batch = |a: usize| batching[1].iter().position(|&b| b == a).map_or(0, |i| xs[batching[0][i]]);
        Vectors {
            dtype: indices.dtype,
            components: addressed.map(component).collect(),
            grid: (0..indices.rank()).filter(|&a| a != dim).map(|a| (indices.shape[a], is[a], batch(a))).collect(),
        }
    }
}

pub(super) fn gather(op: &Op, x: &Type, indices: &Type, out: &Type) -> Result<LibraryCall> {
    let Op::Gather {
        offset_dims,
        collapsed_slice_dims,
        operand_batching_dims,
        start_indices_batching_dims,
        start_index_map,
        index_vector_dim,
        slice_sizes,
    } = op
    else {
        return Err(Error::internal("gather", "not a gather"));
    };
    let (size, os, xs) = (x.dtype.size(), dense(&out.shape), dense(&x.shape));
    let batching = [&operand_batching_dims[..], &start_indices_batching_dims[..]];
    let vectors = Vectors::new(x, indices, *index_vector_dim, start_index_map, batching, slice_sizes);
    let window: Shape =
        (0..x.rank()).filter(|a| !collapsed_slice_dims.contains(a) && !operand_batching_dims.contains(a)).collect();
    let sizes: Shape = window.iter().map(|&a| slice_sizes[a]).collect();
    let from: SmallVec<[isize; 6]> = window.iter().map(|&a| xs[a]).collect();
    let to: SmallVec<[isize; 6]> = (0..out.rank()).filter(|d| offset_dims.contains(d)).map(|d| os[d]).collect();
    let copy = StridedCopy::new(size, &sizes, &from, &to);
    let zeros = StridedCopy::new(size, &sizes, &SmallVec::<[isize; 6]>::from_elem(0, sizes.len()), &to);
    let places = (0..out.rank()).filter(|d| !offset_dims.contains(d)).map(|d| os[d]);
    let grid = Walk::new(vectors.grid.iter().zip(places).map(|(&(n, i, b), o)| (n, [i, o, b])));
    let chunks = parallel::chunk_count(grid.len(), copy.numel().max(1));
    let (nothing, bytes) = (x.numel() == 0 || out.numel() == 0, out.bytes());
    let contiguous = copy.is_contiguous();

    let name = format!("gather {out} from {x}");
    Ok(LibraryCall::new(name, Scratch::default(), out.numel() as u64, move |args, outs, _| {
        if nothing {
            // SAFETY: the result has its type's bytes.
            return unsafe { std::ptr::write_bytes(outs[0], 0, bytes) };
        }
        let (x, indices, out) = (In::new(args[0]), In::new(args[1]), Out::new(outs[0]));
        let run = |i: usize| {
            grid.for_each(chunk(grid.len(), chunks, i), |[at, to, batch]| {
                let (mut from, mut inside) = (batch, true);
                // SAFETY: `LibraryCall::run`'s promise; index vectors are inside `indices`, clamped slices inside x,
                // and the grid's places in the result are disjoint.
                unsafe {
                    for c in &vectors.components {
                        let start = read_index(vectors.dtype, indices.get(), at + c.at).clamp(0, c.max);
                        inside &= start < c.len;
                        from += start as isize * c.stride;
                    }
                    let dst = out.get().offset(to * size as isize);
                    if !inside {
                        // A slice of size 0 on a dropped axis may start behind the last element.
                        return zeros.run_serial([0u64; 2].as_ptr().cast(), dst);
                    }
                    let src = x.get().offset(from * size as isize);
                    if contiguous {
                        with_size!(size, T => copy_run::<T>(src.cast(), dst.cast(), copy.numel()));
                    } else {
                        copy.run_serial(src, dst);
                    }
                }
            });
        };
        if chunks == 1 { run(0) } else { parallel::for_each(chunks, run) }
    }))
}

/// Combines a box of updates into the operand: `(walk over [operand, update] offsets, operand, updates)`.
type CombineFn = unsafe fn(&Walk<2>, *mut u8, *const u8);

fn combine_fn(kind: ScatterKind, dtype: DType) -> Result<CombineFn> {
    if dtype == DType::Bool {
        return Ok(match kind {
            ScatterKind::Set => combine::<u8, SET>,
            ScatterKind::Add | ScatterKind::Max => combine::<u8, MAX>,
            ScatterKind::Mul | ScatterKind::Min => combine::<u8, MIN>,
        });
    }
    Ok(match kind {
        ScatterKind::Set => super::scalar::with_ring!(dtype, T => combine::<T, SET>),
        ScatterKind::Add => super::scalar::with_ring!(dtype, T => combine::<T, ADD>),
        ScatterKind::Mul => super::scalar::with_ring!(dtype, T => combine::<T, MUL>),
        ScatterKind::Min => with_scalar!(dtype, T => combine::<T, MIN>),
        ScatterKind::Max => with_scalar!(dtype, T => combine::<T, MAX>),
    })
}

const SET: u8 = 0;
const ADD: u8 = 1;
const MUL: u8 = 2;
const MIN: u8 = 3;
const MAX: u8 = 4;

unsafe fn combine<T: Scalar, const KIND: u8>(walk: &Walk<2>, x: *mut u8, u: *const u8) {
    let (x, u) = (x.cast::<T>(), u.cast::<T>());
    let one = |old: T, new: T| match KIND {
        SET => new,
        ADD => old.add(new),
        MUL => old.mul(new),
        MIN => old.lesser(new),
        _ => old.greater(new),
    };
    // SAFETY: the caller's promise: all points of the walk are elements of both.
    unsafe {
        if let [(n, [1, 1])] = walk.dims() {
            let (x, u) = (std::slice::from_raw_parts_mut(x, *n), std::slice::from_raw_parts(u, *n));
            return x.iter_mut().zip(u).for_each(|(x, &u)| *x = one(*x, u));
        }
        walk.for_each(0..walk.len(), |[i, j]| *x.offset(i) = one(*x.offset(i), *u.offset(j)));
    }
}

pub(super) fn scatter(op: &Op, x: &Type, indices: &Type, updates: &Type) -> Result<LibraryCall> {
    let Op::Scatter {
        update_window_dims,
        inserted_window_dims,
        input_batching_dims,
        scatter_indices_batching_dims,
        scatter_dims_to_operand_dims,
        index_vector_dim,
        kind,
    } = op
    else {
        return Err(Error::internal("scatter", "not a scatter"));
    };
    let (size, xs, us) = (x.dtype.size() as isize, dense(&x.shape), dense(&updates.shape));
    let window: Shape =
        (0..x.rank()).filter(|a| !inserted_window_dims.contains(a) && !input_batching_dims.contains(a)).collect();
    let mut sizes = Shape::from_elem(1, x.rank());
    let in_window = |d: &usize| update_window_dims.contains(d);
    window.iter().zip((0..updates.rank()).filter(in_window)).for_each(|(&a, d)| sizes[a] = updates.shape[d]);
    let batching = [&input_batching_dims[..], &scatter_indices_batching_dims[..]];
    let vectors = Vectors::new(x, indices, *index_vector_dim, scatter_dims_to_operand_dims, batching, &sizes);
    // Updates apply in row-major order: the axes up to the last one of the grid are walked, the rest is a box.
    let split = (0..updates.rank()).rev().find(|d| !in_window(d)).map_or(0, |d| d + 1);
    let (mut grid, mut axes) = (vectors.grid.iter(), window.iter());
    let (mut outer, mut inner) = (Vec::new(), Vec::new());
    for d in 0..updates.rank() {
        let n = updates.shape[d];
        if !in_window(&d) {
            let &(_, i, b) = grid.next().ok_or_else(|| Error::internal("scatter", "grid axes"))?;
            outer.push((n, [i, us[d], b]));
        } else {
            let &a = axes.next().ok_or_else(|| Error::internal("scatter", "window axes"))?;
            if d < split { outer.push((n, [0, us[d], xs[a]])) } else { inner.push((n, [xs[a], us[d]])) }
        }
    }
    let (outer, inner) = (Walk::new(outer), Walk::new(inner));
    let apply = combine_fn(*kind, x.dtype)?;
    let all = copy_all(x);
    let nothing = x.numel() == 0 || updates.numel() == 0;
    let name = format!("scatter {} {updates} into {x}", kind.name());
    Ok(LibraryCall::new(name, Scratch::default(), updates.numel() as u64, move |args, outs, _| {
        // SAFETY: `LibraryCall::run`'s promise; windows that do not fit are dropped, so all others are inside x.
        unsafe {
            if outs[0].cast_const() != args[0] {
                all.run(args[0], outs[0]);
            }
            if nothing {
                return;
            }
            outer.for_each(0..outer.len(), |[at, from, base]| {
                let mut to = base;
                for c in &vectors.components {
                    let start = read_index(vectors.dtype, args[1], at + c.at);
                    if start < 0 || start > c.max {
                        return;
                    }
                    to += start as isize * c.stride;
                }
                apply(&inner, outs[0].offset(to * size), args[2].offset(from * size));
            });
        }
    }))
}
