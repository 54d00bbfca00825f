//! Dynamic slices and gather; how index vectors become offsets.

use super::parallel::{self, In, Out, chunk};
use super::scalar::with_size;
use super::shaping::copy_all;
use super::strided::{StridedCopy, Walk, copy_run, dense};
use super::{LibraryCall, Scratch};
use gradloom_ir::{DType, Error, Op, Result, Shape, Type};
use smallvec::SmallVec;

/// Element `i` of an integer array, saturated to i64.
///
/// # Safety
/// The array has an element `i`.
#[inline(always)]
pub(super) unsafe fn read_index(dtype: DType, p: *const u8, i: isize) -> i64 {
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
pub(super) struct Component {
    /// Offset in the index array from the vector's start.
    pub(super) at: isize,
    /// Stride of the operand's axis it addresses.
    pub(super) stride: isize,
    /// Greatest start at which the slice fits, and the axis' length.
    pub(super) max: i64,
    len: i64,
}

/// What gather and scatter share: how index vectors become offsets in the operand.
pub(super) struct Vectors {
    pub(super) dtype: DType,
    pub(super) components: SmallVec<[Component; 4]>,
    /// Strides in the index array of the grid axes, in order, and in the operand where they are batching axes.
    pub(super) grid: SmallVec<[(usize, isize, isize); 6]>,
}

impl Vectors {
    pub(super) fn new(
        x: &Type,
        indices: &Type,
        dim: usize,
        map: &[usize],
        batching: [&[usize]; 2],
        sizes: &[usize],
    ) -> Vectors {
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
