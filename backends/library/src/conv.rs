//! Convolution as matrix products over blocks of patches.
//!
//! `result[position, feature] = sum over taps of patch[position, tap] * kernel[tap, feature]`. Positions and taps are
//! products of axes that may be walked in any order and the patch matrix may be written by rows or by columns; the
//! plan takes what reads lhs in the longest contiguous runs, given that kernel and result should be used in place.
//! A block of patches stays in the second-level cache. The gradients of a convolution are convolutions with other
//! dimension numbers and need nothing of their own.

#[cfg(target_arch = "x86_64")]
use super::conv_direct;
use super::dot::collapse;
use super::parallel::{self, In, Out, chunk};
use super::patches::{Axes, Axis, Checked, Cursor, Patches, Point, Sliding, Windows};
use super::product::{Product, ProductFn, Strides, product_fn};
use super::scalar::{with_ring, with_size};
use super::strided::{StridedCopy, dense};
use super::{LibraryCall, Scratch, too_many};
use super::{conv_few_features, depthwise, depthwise_direct};
use gradloom_ir::{DType, Error, Op, Result, Type, conv_geometry};
use smallvec::SmallVec;

/// Bytes of a block of patches: half of a common second-level cache.
const BLOCK_BYTES: usize = 512 << 10;

/// Most taps of a block: deeper blocks gain nothing and leave fewer rows.
const BLOCK_TAPS: usize = 1024;

/// Taps or positions that must share one stride for the kernel or the result to be used in place.
const IN_PLACE: usize = 64;

/// Parts a sum over taps is cut into when there are too few positions to share out.
const SPLITS: usize = 16;

/// Multiplications from which a convolution is worth several threads.
const PARALLEL: usize = 1 << 18;

/// A convolution of one group: positions times taps times output features.
pub(super) struct Layout {
    pub(super) windows: Windows,
    pub(super) groups: usize,
    /// What moving to the next group adds to the offsets in lhs, kernel and result.
    pub(super) group: [isize; 3],
    /// Output features of a group, and their strides in kernel and result.
    pub(super) features: usize,
    pub(super) feature: [isize; 2],
    /// Input features of a group.
    pub(super) group_features: usize,
}

impl Layout {
    /// Reads a convolution's attributes; `None` if nothing is ever summed.
    fn new(op: &Op, lhs: &Type, rhs: &Type) -> Result<Option<Layout>> {
        let g = conv_geometry(op, lhs, rhs)?;
        let Op::Convolution {
            lhs_dims,
            rhs_dims,
            out_dims,
            strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            feature_groups,
            batch_groups,
        } = op
        else {
            return Err(Error::internal("convolution", "not a convolution"));
        };
        if g.out.numel() == 0 || lhs.numel() == 0 || rhs.numel() == 0 {
            return Ok(None);
        }
        let (ls, rs, os) = (dense(&lhs.shape), dense(&rhs.shape), dense(&g.out.shape));
        let groups = feature_groups * batch_groups;
        let features = g.out_features / groups;
        let plain = |counts: [usize; 2], stride: isize, mats: [isize; 2]| {
            let len = counts[0].max(counts[1]);
            Sliding { counts, steps: [1, 1], low: 0, len, dilation: 1, stride, mats }
        };
        let batch_axis = plain([g.batch / batch_groups, 1], ls[lhs_dims[0]], [os[out_dims[0]], 0]);
        let feature_axis = plain([1, g.group_features], ls[lhs_dims[1]], [0, rs[rhs_dims[1]]]);
        let mut windows = Windows::new();
        let mut fits = windows.slide(batch_axis) && windows.slide(feature_axis);
        for d in 0..strides.len() {
            fits &= windows.slide(Sliding {
                counts: [g.out_spatial[d], g.rhs_spatial[d]],
                steps: [strides[d] as i64, rhs_dilation[d] as i64],
                low: -padding[d].0,
                len: g.lhs_spatial[d],
                dilation: lhs_dilation[d] as i64,
                stride: ls[lhs_dims[2 + d]],
                mats: [os[out_dims[2 + d]], rs[rhs_dims[2 + d]]],
            });
        }
        if !fits {
            return Err(too_many("convolution"));
        }
        let feature_group = if *feature_groups > 1 { g.group_features as isize * ls[lhs_dims[1]] } else { 0 };
        let batch_group = if *batch_groups > 1 { (g.batch / batch_groups) as isize * ls[lhs_dims[0]] } else { 0 };
        let (ro, oo) = (rs[rhs_dims[0]], os[out_dims[1]]);
        Ok(Some(Layout {
            windows,
            groups,
            group: [feature_group + batch_group, features as isize * ro, features as isize * oo],
            features,
            feature: [ro, oo],
            group_features: g.group_features,
        }))
    }

    fn work(&self) -> usize {
        [self.groups, self.windows.positions.len(), self.windows.taps.len(), self.features]
            .into_iter()
            .fold(1, usize::saturating_mul)
    }
}

/// Axes sorted outermost first by `key`.
fn sorted(axes: &Axes, key: impl Fn(&Axis, &[Checked]) -> isize, checked: &[Checked]) -> Axes {
    let mut a = axes.clone();
    a.0.sort_by_key(|x| std::cmp::Reverse(key(x, checked)));
    a
}

/// Distance in lhs between neighbours along an axis.
fn lhs_step(a: &Axis, checked: &[Checked]) -> isize {
    a.moves.map_or(a.src, |(d, step)| checked[d].stride * step as isize)
}

/// Where the longest suffix of axes with one matrix stride starts.
fn suffix(axes: &Axes) -> usize {
    let one_stride = |from: usize| {
        let v: SmallVec<[(usize, isize); 6]> = axes.0[from..].iter().map(|a| (a.n, a.mat)).collect();
        collapse(&v).is_some()
    };
    (0..=axes.0.len()).find(|&i| one_stride(i)).unwrap_or(axes.0.len())
}

/// One side of the matrices: all its axes in order, and how many of them are looped over outside of blocks.
#[derive(Clone)]
struct Side {
    axes: Axes,
    outer: usize,
    /// Whether the other matrix (kernel or result) goes through scratch in this order.
    packed: bool,
    /// Stride of the inner axes in the kernel or result.
    stride: isize,
}

impl Side {
    fn new(axes: Axes, features: usize) -> Side {
        let outer = suffix(&axes);
        let inner: usize = axes.0[outer..].iter().map(|a| a.n).product();
        if inner < IN_PLACE.min(axes.len()) {
            return Side { axes, outer: 0, packed: true, stride: features as isize };
        }
        let v: SmallVec<[(usize, isize); 6]> = axes.0[outer..].iter().map(|a| (a.n, a.mat)).collect();
        let stride = collapse(&v).unwrap_or(1);
        Side { axes, outer, packed: false, stride }
    }
    fn outer(&self) -> &[Axis] {
        &self.axes.0[..self.outer]
    }
    fn inner(&self) -> &[Axis] {
        &self.axes.0[self.outer..]
    }
    fn inner_len(&self) -> usize {
        self.inner().iter().map(|a| a.n).product()
    }
    fn outer_len(&self) -> usize {
        self.outer().iter().map(|a| a.n).product()
    }
}

/// How the patch matrix of a block is laid out.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Order {
    /// A row a position.
    Positions,
    /// A row a tap.
    Taps,
}

struct Plan {
    positions: Side,
    taps: Side,
    order: Order,
    patches: Patches,
    /// lhs strides of positions and taps when patches need not be written at all.
    direct: Option<Strides>,
    cost: f64,
}

/// The cheapest of all orders of axes and matrices.
fn plan(l: &Layout) -> Option<Plan> {
    let mut best: Option<Plan> = None;
    let [p_len, t_len] = [l.windows.positions.len() as f64, l.windows.taps.len() as f64];
    for by_lhs in [[false, false], [false, true], [true, false], [true, true]] {
        let order = |axes: &Axes, by_lhs: bool| {
            if by_lhs {
                sorted(axes, lhs_step, &l.windows.checked)
            } else {
                sorted(axes, |a, _| a.mat, &l.windows.checked)
            }
        };
        let side = |i: usize, axes: &Axes| Side::new(order(axes, by_lhs[i]), l.features);
        let (p, t) = (side(0, &l.windows.positions), side(1, &l.windows.taps));
        for layout in [Order::Positions, Order::Taps] {
            let (rows, cols) = match layout {
                Order::Positions => (p.inner(), t.inner()),
                Order::Taps => (t.inner(), p.inner()),
            };
            let patches = Patches::new(rows, cols, &l.windows.checked);
            let run = patches.contiguous().min(64) as f64;
            // Per element of the patch matrix one move and a share of a run's start; packing moves elements twice.
            let direct = if l.windows.checked.is_empty() { direct_strides(&p, &t) } else { None };
            let mut cost = if direct.is_some() { 0.0 } else { p_len * t_len * (1.0 + 12.0 / run) };
            cost += if t.packed { 3.0 * t_len * l.features as f64 } else { 0.0 };
            cost += if p.packed { 3.0 * p_len * l.features as f64 } else { 0.0 };
            if best.as_ref().is_none_or(|b| cost < b.cost) {
                best = Some(Plan { positions: p.clone(), taps: t.clone(), order: layout, patches, direct, cost });
            }
        }
    }
    best
}

/// Everything a run needs.
struct Convolution {
    layout: Layout,
    plan: Plan,
    size: usize,
    multiply: ProductFn,
    /// Positions and taps of a block.
    block: [usize; 2],
    splits: usize,
    lanes: usize,
    parallel: bool,
    /// Scratch: packed kernel and its copy a group, dense result and its copy, blocks.
    kernel: Option<(StridedCopy, usize)>,
    result: Option<(StridedCopy, usize)>,
    blocks: usize,
    block_bytes: usize,
    sum: unsafe fn(*mut u8, usize, usize),
}

pub(super) fn convolution(op: &Op, lhs: &Type, rhs: &Type, out: &Type) -> Result<LibraryCall> {
    let Some(layout) = Layout::new(op, lhs, rhs)? else {
        let bytes = out.bytes();
        return Ok(LibraryCall::new("convolution of nothing".into(), Scratch::default(), 0, move |_, outs, _| {
            // SAFETY: the result has its type's bytes.
            unsafe { std::ptr::write_bytes(outs[0], 0, bytes) }
        }));
    };
    let flops = 2 * layout.work() as u64;
    if layout.features <= depthwise::FEW
        && let Some(call) = depthwise_direct::prepare(&layout, lhs.dtype, flops)
    {
        return Ok(call);
    }
    if depthwise::applies(&layout) {
        return Ok(depthwise::prepare(layout, lhs.dtype, flops));
    }
    let plan = plan(&layout).ok_or_else(|| Error::internal("convolution", "no plan"))?;
    // where lhs is the patch matrix as it lies there, one large product is best
    #[cfg(target_arch = "x86_64")]
    if plan.direct.is_none()
        && let Some(call) = conv_direct::prepare(&layout, lhs.dtype, flops)
    {
        return Ok(call);
    }
    if plan.direct.is_none()
        && let Some(call) = conv_few_features::prepare(&layout, lhs.dtype, flops)
    {
        return Ok(call);
    }
    let mut scratch = Scratch::default();
    let c = Convolution::new(layout, plan, lhs.dtype, &mut scratch)?;
    let name = format!(
        "convolution {} x {} positions x {} taps x {} features, {:?} by {:?}{}{}{}",
        c.layout.groups,
        c.layout.windows.positions.len(),
        c.layout.windows.taps.len(),
        c.layout.features,
        c.plan.order,
        c.block,
        if c.plan.direct.is_some() { ", no patches" } else { "" },
        if c.kernel.is_some() { ", kernel packed" } else { "" },
        if c.result.is_some() { ", result unpacked" } else { "" },
    );
    Ok(LibraryCall::new(name, scratch, flops, move |args, outs, scratch| {
        // SAFETY: the caller of `run` passes buffers of the prepared types and enough scratch.
        unsafe { c.run(args[0], args[1], outs[0], scratch) }
    }))
}

/// Rounds `want` down to a multiple of `unit`, at least one, at most `all`.
fn block_len(want: usize, unit: usize, all: usize) -> usize {
    ((want / unit).max(1) * unit).min(all)
}

impl Convolution {
    fn new(layout: Layout, plan: Plan, dtype: DType, scratch: &mut Scratch) -> Result<Convolution> {
        let size = dtype.size();
        let parallel = layout.work() >= PARALLEL;
        let (p_all, t_all) = (plan.positions.inner_len(), plan.taps.inner_len());
        let (p_unit, t_unit) = match plan.order {
            Order::Positions => (1, plan.patches.unit()),
            Order::Taps => (plan.patches.unit(), 1),
        };
        let elements = BLOCK_BYTES / size;
        let block = if p_all <= BLOCK_TAPS / 2 {
            let p = block_len(p_all, p_unit, p_all);
            [p, block_len(elements / p, t_unit, t_all)]
        } else {
            let t = block_len(BLOCK_TAPS, t_unit, t_all);
            [block_len((elements / t).min(p_all.div_ceil(SPLITS).max(64)), p_unit, p_all), t]
        };
        let tasks = layout.groups * plan.positions.outer_len() * p_all.div_ceil(block[0]);
        let depth = plan.taps.outer_len() * t_all.div_ceil(block[1]);
        let splits = if parallel && tasks < SPLITS { (SPLITS / tasks).min(depth / 2).max(1) } else { 1 };
        let threads = if parallel { parallel::threads() } else { 1 };
        let lanes = (tasks * splits).min(if threads == 1 { 1 } else { 2 * threads });
        let block_bytes = if plan.direct.is_some() { 0 } else { (block[0] * block[1] * size).next_multiple_of(64) };
        let blocks = scratch.take(lanes * block_bytes);

        let f = layout.features;
        let kernel = plan.taps.packed.then(|| {
            let copy = packing(&plan.taps, &layout, 0, size);
            (copy, scratch.take(layout.groups * plan.taps.axes.len() * f * size))
        });
        let dense_result = plan.positions.packed || splits > 1;
        let result = dense_result.then(|| {
            let copy = packing(&plan.positions, &layout, 1, size);
            (copy, scratch.take(splits * layout.groups * plan.positions.axes.len() * f * size))
        });
        let sum = with_ring!(dtype, T => sum_parts::<T> as unsafe fn(*mut u8, usize, usize));
        let multiply = product_fn(dtype)?;
        Ok(Convolution {
            layout,
            plan,
            size,
            multiply,
            block,
            splits,
            lanes,
            parallel,
            kernel,
            result,
            blocks,
            block_bytes,
            sum,
        })
    }

    unsafe fn run(&self, lhs: *const u8, rhs: *const u8, out: *mut u8, scratch: *mut u8) {
        let l = &self.layout;
        let f = l.features;
        // SAFETY: offsets come from the types; scratch parts were sized in `new`; tasks write disjoint results.
        unsafe {
            let (kernel, kernel_group, k_feature) = match &self.kernel {
                None => (rhs, l.group[1], l.feature[0]),
                Some((copy, at)) => {
                    copy.run(rhs, scratch.add(*at));
                    (scratch.add(*at).cast_const(), (l.windows.taps.len() * f) as isize, 1)
                }
            };
            let part = l.windows.positions.len() * f;
            let (result, result_group, r_feature) = match &self.result {
                None => (out, l.group[2], l.feature[1]),
                Some((_, at)) => (scratch.add(*at), part as isize, 1),
            };
            let (src, kernel, result, scratch) = (In::new(lhs), In::new(kernel), Out::new(result), Out::new(scratch));
            let p_blocks = self.plan.positions.inner_len().div_ceil(self.block[0]);
            let per_group = self.plan.positions.outer_len() * p_blocks;
            let tasks = l.groups * per_group * self.splits;
            let lane = |lane: usize| {
                let buffer = scratch.get().add(self.blocks + lane * self.block_bytes);
                for task in chunk(tasks, self.lanes, lane) {
                    let (g, rest) = (task / (per_group * self.splits), task % (per_group * self.splits));
                    let (split, rest) = (rest / per_group, rest % per_group);
                    let (po, pb) = (rest / p_blocks, rest % p_blocks);
                    let group = |by: isize| g as isize * by;
                    let offset = |p: *const u8, by: isize| p.offset(by * self.size as isize);
                    let mut to = group(result_group);
                    to += (split * l.groups * part) as isize;
                    self.block_row(
                        [po, pb, split],
                        offset(src.get(), group(l.group[0])),
                        (offset(kernel.get(), group(kernel_group)), k_feature),
                        (offset(result.get(), to).cast_mut(), r_feature),
                        buffer,
                    );
                }
            };
            if self.lanes == 1 {
                lane(0)
            } else {
                parallel::for_each(self.lanes, lane)
            }
            if let Some((copy, _)) = &self.result {
                (self.sum)(result.get(), l.groups * part, self.splits);
                copy.run(result.get(), out);
            }
        }
    }

    /// One block of positions, over its share of the taps.
    unsafe fn block_row(
        &self,
        [outer, block, split]: [usize; 3],
        src: *const u8,
        (kernel, k_feature): (*const u8, isize),
        (result, r_feature): (*mut u8, isize),
        buffer: *mut u8,
    ) {
        let (p, t, size) = (&self.plan.positions, &self.plan.taps, self.size as isize);
        let (p_all, t_all) = (p.inner_len(), t.inner_len());
        let rows = block * self.block[0]..((block + 1) * self.block[0]).min(p_all);
        let t_blocks = t_all.div_ceil(self.block[1]);
        let p_outer = Cursor::new(p.outer(), outer);
        let (r_stride, r_at) = if self.result.is_some() {
            (self.layout.features as isize, (outer * p_all + rows.start) as isize * self.layout.features as isize)
        } else {
            (p.stride, p_outer.mat + rows.start as isize * p.stride)
        };
        let k_stride = t.stride;
        let mut add = false;
        for step in chunk(t.outer_len() * t_blocks, self.splits, split) {
            let (to, tb) = (step / t_blocks, step % t_blocks);
            let t_outer = Cursor::new(t.outer(), to);
            let cols = tb * self.block[1]..((tb + 1) * self.block[1]).min(t_all);
            let start = self.layout.windows.start.plus(&p_outer.point).plus(&t_outer.point);
            // SAFETY: blocks stay inside the ranges the layout was made from; `buffer` holds one block.
            unsafe {
                let (patches, strides) = match self.plan.direct {
                    Some(s) => {
                        let at = start.src + rows.start as isize * s.row + cols.start as isize * s.col;
                        (src.offset(at * size), s)
                    }
                    None => {
                        self.fill(&start, rows.clone(), cols.clone(), src, buffer);
                        let s = match self.plan.order {
                            Order::Positions => Strides { row: cols.len() as isize, col: 1 },
                            Order::Taps => Strides { row: 1, col: rows.len() as isize },
                        };
                        (buffer.cast_const(), s)
                    }
                };
                let product = Product {
                    m: rows.len(),
                    n: self.layout.features,
                    k: cols.len(),
                    dst: Strides { row: r_stride, col: r_feature },
                    lhs: strides,
                    rhs: Strides { row: k_stride, col: k_feature },
                };
                let k_at = t_outer.mat + cols.start as isize * k_stride;
                let single = self.lanes == 1 && self.parallel;
                (self.multiply)(&product, result.offset(r_at * size), patches, kernel.offset(k_at * size), add, single);
            }
            add = true;
        }
    }

    unsafe fn fill(
        &self,
        start: &Point,
        rows: std::ops::Range<usize>,
        cols: std::ops::Range<usize>,
        src: *const u8,
        buffer: *mut u8,
    ) {
        let (r, c) = match self.plan.order {
            Order::Positions => (rows, cols),
            Order::Taps => (cols, rows),
        };
        // SAFETY: the caller's promise; elements are moved as bytes of their size.
        unsafe {
            with_size!(self.size, T => self.plan.patches.fill::<T>(start, r, c, src.cast(), buffer.cast()));
        }
    }
}

/// lhs strides of the patch matrix if it already lies in lhs (there are no checked coordinates).
fn direct_strides(positions: &Side, taps: &Side) -> Option<Strides> {
    let side = |axes: &[Axis]| {
        let v: SmallVec<[(usize, isize); 6]> = axes.iter().map(|a| (a.n, a.src)).collect();
        collapse(&v)
    };
    Some(Strides { row: side(positions.inner())?, col: side(taps.inner())? })
}

/// The copy of all groups between the kernel (`which` 0) or the result (1) and its dense form in scratch.
fn packing(side: &Side, l: &Layout, which: usize, size: usize) -> StridedCopy {
    let mut shape: SmallVec<[usize; 6]> = SmallVec::from_slice(&[l.groups]);
    let mut strides: SmallVec<[isize; 6]> = SmallVec::from_slice(&[l.group[1 + which]]);
    for a in &side.axes.0 {
        shape.push(a.n);
        strides.push(a.mat);
    }
    shape.push(l.features);
    strides.push(l.feature[which]);
    let dense = dense(&shape);
    if which == 0 {
        StridedCopy::new(size, &shape, &strides, &dense)
    } else {
        StridedCopy::new(size, &shape, &dense, &strides)
    }
}

/// Adds parts `1..parts` of `len` elements each to the first, in order.
unsafe fn sum_parts<T: super::scalar::Scalar>(data: *mut u8, len: usize, parts: usize) {
    let chunks = parallel::chunk_count(len, parts);
    let data = Out::new(data);
    let part = |i: usize| {
        let r = chunk(len, chunks, i);
        // SAFETY: `data` holds `parts` parts, and chunks are disjoint.
        unsafe {
            let first = std::slice::from_raw_parts_mut(data.get().cast::<T>().add(r.start), r.len());
            for p in 1..parts {
                let other = std::slice::from_raw_parts(data.get().cast::<T>().add(p * len + r.start), r.len());
                first.iter_mut().zip(other).for_each(|(x, &y)| *x = x.add(y));
            }
        }
    };
    if chunks == 1 { part(0) } else { parallel::for_each(chunks, part) }
}
