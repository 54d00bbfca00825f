//! dot_general as batches of strided matrix products.

use super::half_product::HalfProduct;
use super::parallel::{self, In, Out, chunk};
use super::product::{Product, ProductFn, Strides, product_fn, side_by_side};
use super::strided::{StridedCopy, Walk, dense};
use super::widened::{WidenedProduct, is_widened};
use super::{ALIGN, LibraryCall, Scratch};
use gradloom_ir::{DType, Result, Shape, Type};
use smallvec::SmallVec;

/// The one stride of axes `(length, stride)`, outermost first, if they can be walked as one axis.
pub(super) fn collapse(axes: &[(usize, isize)]) -> Option<isize> {
    let mut inner: Option<(usize, isize)> = None;
    for &(n, s) in axes.iter().rev() {
        if n == 1 {
            continue;
        }
        inner = match inner {
            None => Some((n, s)),
            Some((m, t)) if s == t * m as isize => Some((n * m, t)),
            Some(_) => return None,
        };
    }
    Some(inner.map_or(1, |(_, s)| s))
}

/// How one operand is read: batch strides, and one stride for the free and for the contracted axes.
struct Operand {
    batch: SmallVec<[isize; 6]>,
    free: isize,
    contract: isize,
    /// The copy to scratch that made these strides possible, and where it goes.
    pack: Option<(StridedCopy, usize)>,
}

fn axes_of(ty: &Type, axes: &[usize]) -> SmallVec<[(usize, isize); 6]> {
    let strides = dense(&ty.shape);
    axes.iter().map(|&a| (ty.shape[a], strides[a])).collect()
}

fn operand(ty: &Type, batch: &[usize], free: &[usize], contract: &[usize], scratch: &mut Scratch) -> Operand {
    let (b, f, c) = (axes_of(ty, batch), axes_of(ty, free), axes_of(ty, contract));
    if let (Some(free), Some(contract)) = (collapse(&f), collapse(&c)) {
        return Operand { batch: b.iter().map(|a| a.1).collect(), free, contract, pack: None };
    }
    let order = || b.iter().chain(&f).chain(&c);
    let shape: Shape = order().map(|a| a.0).collect();
    let src: SmallVec<[isize; 6]> = order().map(|a| a.1).collect();
    let dst = dense(&shape);
    let copy = StridedCopy::new(ty.dtype.size(), &shape, &src, &dst);
    let k = c.iter().map(|a| a.0).product::<usize>() as isize;
    let batch = dst[..b.len()].iter().copied().collect();
    Operand { batch, free: k, contract: 1, pack: Some((copy, scratch.take(ty.bytes()))) }
}

/// The contracted axes in the order that lets most operands be read in place; `(lhs axes, rhs axes)`.
fn contract_order(lhs: &Type, rhs: &Type, lc: &[usize], rc: &[usize]) -> (Shape, Shape) {
    let (ls, rs) = (dense(&lhs.shape), dense(&rhs.shape));
    let mut best: Option<(usize, Shape, Shape)> = None;
    for by in 0..3 {
        let mut order: SmallVec<[usize; 6]> = (0..lc.len()).collect();
        match by {
            0 => {}
            1 => order.sort_by_key(|&i| -ls[lc[i]]),
            _ => order.sort_by_key(|&i| -rs[rc[i]]),
        }
        let l: Shape = order.iter().map(|&i| lc[i]).collect();
        let r: Shape = order.iter().map(|&i| rc[i]).collect();
        let cost = |ty: &Type, axes: &[usize]| if collapse(&axes_of(ty, axes)).is_some() { 0 } else { ty.numel() };
        let cost = cost(lhs, &l) + cost(rhs, &r);
        if best.as_ref().is_none_or(|b| cost < b.0) {
            best = Some((cost, l, r));
        }
    }
    best.map(|(_, l, r)| (l, r)).unwrap_or_default()
}

/// How one product of the batch is computed.
enum Multiply {
    Whole(Product, ProductFn),
    /// With scratch memory at `at`, `bytes` for each that runs beside others.
    Half {
        half: HalfProduct,
        at: usize,
        bytes: usize,
    },
    /// As above.
    Widened {
        widened: WidenedProduct,
        at: usize,
        bytes: usize,
    },
}

impl Multiply {
    /// # Safety
    /// As [`ProductFn`]; the `i`-th of products that run at once.
    unsafe fn run(&self, i: usize, dst: *mut u8, lhs: *const u8, rhs: *const u8, scratch: *mut u8, par: bool) {
        // SAFETY: the caller's promise; scratch was reserved when the call was prepared.
        unsafe {
            match self {
                Multiply::Whole(product, multiply) => multiply(product, dst, lhs, rhs, false, par),
                Multiply::Half { half, at, bytes } => half.run(dst, lhs, rhs, scratch.add(at + i * bytes), par),
                Multiply::Widened { widened, at, bytes } => {
                    widened.run(dst, lhs, rhs, scratch.add(at + i * bytes), par)
                }
            }
        }
    }
}

pub(super) fn dot_general(
    lhs: &Type,
    rhs: &Type,
    [lhs_batch, rhs_batch, lhs_contract, rhs_contract]: [&[usize]; 4],
) -> Result<LibraryCall> {
    let free = |ty: &Type, b: &[usize], c: &[usize]| -> Shape {
        (0..ty.rank()).filter(|a| !b.contains(a) && !c.contains(a)).collect()
    };
    let count = |ty: &Type, axes: &[usize]| axes.iter().map(|&a| ty.shape[a]).product::<usize>();
    let (lf, rf) = (free(lhs, lhs_batch, lhs_contract), free(rhs, rhs_batch, rhs_contract));
    let (lc, rc) = contract_order(lhs, rhs, lhs_contract, rhs_contract);
    let (m, n, k) = (count(lhs, &lf), count(rhs, &rf), count(lhs, &lc));
    let mut scratch = Scratch::default();
    let l = operand(lhs, lhs_batch, &lf, &lc, &mut scratch);
    let r = operand(rhs, rhs_batch, &rf, &rc, &mut scratch);

    // where they differ, one is widened to the other
    let [l_size, r_size] = [lhs, rhs].map(|t| t.dtype.size());
    let size = l_size.max(r_size);
    let product = Product {
        m,
        n,
        k,
        dst: Strides { row: n as isize, col: 1 },
        lhs: Strides { row: l.free, col: l.contract },
        rhs: Strides { row: r.contract, col: r.free },
    };
    let lengths = lhs_batch.iter().map(|&a| lhs.shape[a]);
    let batch = Walk::new(lengths.zip(l.batch.iter().zip(&r.batch)).map(|(n, (&x, &y))| (n, [x, y])));
    let (l_pack, r_pack) = (l.pack, r.pack);
    let each = m.saturating_mul(n).saturating_mul(k);
    let chunks = if side_by_side(batch.len(), each) { parallel::chunk_count(batch.len(), each) } else { 1 };
    let name = format!("dot_general {}x{m}x{k}x{n}", batch.len());
    let flops = 2 * batch.len() as u64 * each as u64;
    let out_bytes = batch.len() * m * n * size;
    let multiply = match lhs.dtype {
        _ if is_widened(lhs.dtype, rhs.dtype) => {
            let widened = WidenedProduct::new(product, lhs.dtype == DType::I8)?;
            let bytes = widened.scratch_bytes().next_multiple_of(ALIGN);
            Multiply::Widened { widened, at: scratch.take(bytes.saturating_mul(chunks)), bytes }
        }
        DType::BF16 => {
            let half = HalfProduct::new(product)?;
            let bytes = half.scratch_bytes().next_multiple_of(ALIGN);
            Multiply::Half { half, at: scratch.take(bytes.saturating_mul(chunks)), bytes }
        }
        dtype => Multiply::Whole(product, product_fn(dtype)?),
    };

    Ok(LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
        // SAFETY: the caller of `run` passes buffers of the prepared types; offsets below come from those types.
        unsafe {
            if k == 0 {
                return std::ptr::write_bytes(outs[0], 0, out_bytes);
            }
            let place = |arg: *const u8, pack: &Option<(StridedCopy, usize)>| match pack {
                None => arg,
                Some((copy, at)) => {
                    copy.run(arg, scratch.add(*at));
                    scratch.add(*at).cast_const()
                }
            };
            let (l, r) = (place(args[0], &l_pack), place(args[1], &r_pack));
            if batch.len() == 1 {
                return multiply.run(0, outs[0], l, r, scratch, true);
            }
            let (l, r, out, scratch) = (In::new(l), In::new(r), Out::new(outs[0]), Out::new(scratch));
            let run = |i: usize, range: std::ops::Range<usize>, parallel: bool| {
                let mut dst = out.get().add(range.start * m * n * size);
                batch.for_each(range, |[x, y]| {
                    let (x, y) = (l.get().offset(x * l_size as isize), r.get().offset(y * r_size as isize));
                    multiply.run(i, dst, x, y, scratch.get(), parallel);
                    dst = dst.add(m * n * size);
                });
            };
            if chunks == 1 {
                run(0, 0..batch.len(), true);
            } else {
                parallel::for_each(chunks, |i| run(i, chunk(batch.len(), chunks, i), false));
            }
        }
    }))
}
