//! How a nest's loops run on the machine: which axis the lanes of a vector walk, in which order loops nest, how
//! much is unrolled, where threads may cut.

use super::wide;
use crate::kernel::{Axis, Inst, LoopNest, Val};
use gradloom_ir::{Binary, DType, Unary};

/// Vector registers have 128 bits.
const VECTOR_BYTES: usize = 16;
/// Unrolling stops when one iteration holds about this many operations.
const UNROLLED_OPS: usize = 32;
/// Independent accumulators that hide the latency of an addition at two a cycle.
const ACCUMULATORS: usize = 8;
/// Vectors an iteration of a short body without reductions, to amortise the loop.
const ELEMENTWISE_VECTORS: usize = 4;
/// A loop this long is worth cutting between threads.
const SPLIT_EXTENT: usize = 16;
/// What entering and leaving an inner loop costs, in operations.
const LOOP_OVERHEAD: f64 = 6.0;
/// Bytes that come from memory together.
const CACHE_LINE: usize = 64;
/// Lines that surely stay in the first-level cache until their next use.
const CACHED_LINES: usize = 32;
/// Lines in a tile: as many as have room even when their distance maps them all to one set of the cache.
const TILE: usize = 8;
/// What adding up the lanes of a vector costs, in operations.
const HORIZONTAL: f64 = 8.0;
/// The same for a wide vector.
const WIDE_HORIZONTAL: f64 = 24.0;
/// Bytes of a wide vector.
const WIDE_BYTES: usize = 64;
/// What an operation on a wide vector costs, in operations on a narrow one.
const WIDE_COST: f64 = 1.5;

/// A nest with its axes in loop order, and how to run it.
pub(super) struct Plan {
    /// The collapsed nest; axis `i` is loop `i`, outermost first. At least one axis is parallel.
    pub nest: LoopNest,
    /// Dtype of each value.
    pub dtypes: Vec<DType>,
    /// How many loops must be open before a value can be computed.
    pub levels: Vec<usize>,
    /// Whether a value differs from lane to lane.
    pub varying: Vec<bool>,
    /// Whether a value is needed at all.
    pub used: Vec<bool>,
    /// The loop whose indices the lanes walk; the innermost parallel or the innermost reduce loop.
    pub vector: Option<usize>,
    /// Lanes of a vector; 1 without a vector loop.
    pub lanes: usize,
    /// Whether vectors have 512 bits.
    pub wide: bool,
    /// Vectors an iteration.
    pub unroll: usize,
    /// The parallel loop that threads cut.
    pub split: usize,
    /// Estimated operations of the whole kernel.
    pub cost: u64,
}

/// The Cranelift type of a vector of `lanes` elements, if it fills a register; a bool is a mask of the lane's width, a
/// 16-bit float the low half of a 32-bit lane.
pub(super) fn is_native(dtype: DType, lanes: usize) -> bool {
    dtype == DType::Bool || dtype.size() * lanes == VECTOR_BYTES || dtype.is_half() && lanes == 4
}

impl Plan {
    /// Chooses loops for a verified nest with dtypes `dtypes`, with wide vectors if `may_be_wide` and they pay.
    pub fn new(nest: &LoopNest, dtypes: Vec<DType>, may_be_wide: bool) -> Plan {
        let mut nest = nest.collapse();
        if nest.parallel() == 0 {
            nest.insert_axis(0, Axis { extent: 1, reduce: false });
        }
        let used = used(&nest);
        let empty = nest.axes.iter().any(|a| a.extent == 0);
        let (cost, choice) = if empty { (0.0, None) } else { choose_vector(&nest, &dtypes, &used) };
        let wide = if empty || !may_be_wide { None } else { choose_wide(&nest, &dtypes, &used) };
        let wide = wide.filter(|(wide_cost, ..)| *wide_cost < cost).map(|(_, axis, lanes)| (axis, lanes));
        let choice = wide.or(choice);
        let wide = wide.is_some();
        let lanes = choice.map_or(1, |(_, lanes)| lanes);
        let vector = choice.map(|(axis, _)| {
            let vector = move_innermost(&mut nest, axis);
            if wide { vector } else { tile(&mut nest, vector, lanes) }
        });
        let masks = masks(&nest);
        let levels = masks.iter().map(|m| (u64::BITS - m.leading_zeros()) as usize).collect();
        let varying: Vec<bool> = masks.iter().map(|m| vector.is_some_and(|v| m >> v & 1 == 1)).collect();
        let per_point = point_cost(&nest, &dtypes, &used);
        let unroll = match vector {
            Some(v) if wide => wide_unroll(&nest, per_point as usize, nest.axes[v].extent / lanes),
            Some(v) => unroll(&nest, per_point as usize, nest.axes[v].extent / lanes),
            None => 1,
        };
        let parallel = &nest.axes[..nest.parallel()];
        let split = parallel
            .iter()
            .position(|a| a.extent >= SPLIT_EXTENT)
            .unwrap_or_else(|| (0..parallel.len()).rev().max_by_key(|i| parallel[*i].extent).unwrap_or(0));
        let points = nest.axes.iter().fold(1.0, |n, a| n * a.extent as f64);
        let cost = (points * per_point) as u64;
        Plan { nest, dtypes, levels, varying, used, vector, lanes, wide, unroll, split, cost }
    }

    /// Start and end of a part of the split loop must be multiples of this, or its end.
    pub fn grain(&self) -> usize {
        if self.vector == Some(self.split) { self.lanes * self.unroll } else { 1 }
    }

    /// Whether the lanes walk a reduce axis.
    pub fn is_row(&self) -> bool {
        self.vector.is_some_and(|v| self.nest.axes[v].reduce)
    }
}

/// The axes each value depends on, as bits.
fn masks(nest: &LoopNest) -> Vec<u64> {
    let parallel = (1u64 << nest.parallel()) - 1;
    let mut masks: Vec<u64> = Vec::new();
    for inst in nest.insts() {
        let own = match inst {
            Inst::Acc(_) => parallel,
            _ => inst.affine().map_or(0, |at| {
                at.strides.iter().enumerate().filter(|(_, s)| **s != 0).fold(0, |m, (axis, _)| m | 1u64 << axis)
            }),
        };
        masks.push(inst.operands().iter().fold(own, |m, v| m | masks[*v as usize]));
    }
    masks
}

/// Values that reach a store.
fn used(nest: &LoopNest) -> Vec<bool> {
    let mut used = vec![false; nest.body.len() + nest.epilogue.len()];
    nest.stores.iter().for_each(|s| used[s.value as usize] = true);
    for v in (0..used.len()).rev().filter(|v| *v >= nest.body.len()) {
        if used[v] {
            mark(nest, v as Val, &mut used);
        }
    }
    for v in (0..nest.body.len()).rev() {
        if used[v] {
            mark(nest, v as Val, &mut used);
        }
    }
    used
}

fn mark(nest: &LoopNest, v: Val, used: &mut [bool]) {
    match nest.inst(v) {
        Inst::Acc(i) => used[nest.reductions[*i as usize].value as usize] = true,
        inst => inst.operands().iter().for_each(|o| used[*o as usize] = true),
    }
}

/// Operations of one scalar instruction, roughly.
fn scalar_cost(inst: &Inst, operand: Option<DType>) -> f64 {
    match inst {
        Inst::Const(_) | Inst::Acc(_) => 0.0,
        Inst::Load { .. } | Inst::Index { .. } | Inst::Compare(..) | Inst::Select(..) => 1.0,
        Inst::Convert(..) | Inst::Bitcast(..) => 1.0,
        Inst::Threefry(..) => 70.0,
        Inst::Unary(op, _) => match op {
            Unary::Sqrt | Unary::Rsqrt => 4.0,
            _ if is_cheap(*op) => 1.0,
            _ => 25.0,
        },
        Inst::Binary(op, ..) => match op {
            Binary::Div if operand.is_some_and(|d| d.is_float()) => 4.0,
            Binary::Div | Binary::Rem => 12.0,
            Binary::Pow | Binary::Atan2 => 50.0,
            Binary::Max | Binary::Min if operand.is_some_and(|d| d.is_float()) => 4.0,
            _ => 1.0,
        },
    }
}

/// Whether the function is an instruction or two of the machine.
fn is_cheap(op: Unary) -> bool {
    use Unary::*;
    matches!(op, Neg | Abs | Sign | Floor | Ceil | Round | Sqrt | Not | IsFinite)
}

/// Whether lanes of the instruction are computed together rather than one by one.
fn is_vector(inst: &Inst, result: DType, operand: Option<DType>, lanes: usize) -> bool {
    if !is_native(result, lanes) || operand.is_some_and(|d| !is_native(d, lanes)) {
        return false;
    }
    let float = operand.is_some_and(|d| d.is_float());
    match inst {
        Inst::Binary(Binary::Div, ..) => float,
        Inst::Binary(Binary::Rem, ..) => false,
        Inst::Binary(Binary::Pow | Binary::Atan2, ..) => float && lanes == 4,
        Inst::Unary(op, _) => is_cheap(*op) || *op == Unary::Rsqrt || lanes == 4,
        Inst::Convert(..) => lanes == 4 || !float,
        _ => true,
    }
}

fn operand_dtype(inst: &Inst, dtypes: &[DType]) -> Option<DType> {
    inst.operands().last().map(|v| dtypes[*v as usize])
}

/// Operations of one point of the nest, roughly; the epilogue counts as rarely run.
fn point_cost(nest: &LoopNest, dtypes: &[DType], used: &[bool]) -> f64 {
    let body: f64 = (0..nest.body.len())
        .filter(|v| used[*v])
        .map(|v| scalar_cost(&nest.body[v], operand_dtype(&nest.body[v], dtypes)))
        .sum();
    let writes = if nest.axes.iter().any(|a| a.reduce) { nest.reductions.len() } else { nest.stores.len() };
    body + writes as f64
}

/// Cost of reaching memory from all lanes at once when the element moves by `stride` from lane to lane.
fn access_cost(stride: i64, dtype: DType, lanes: usize) -> f64 {
    match stride {
        0 => 0.5,
        1 | -1 if is_native(dtype, lanes) => 1.0 + if stride < 0 { 1.0 } else { 0.0 },
        // One cache line a lane and the assembly of a vector.
        _ => lanes as f64 * if stride.unsigned_abs() as usize * dtype.size() >= CACHE_LINE { 3.0 } else { 1.5 },
    }
}

/// Operations a vector of points costs if lanes walk `axis`; with one lane, a point.
fn lanes_cost(nest: &LoopNest, dtypes: &[DType], used: &[bool], axis: usize, lanes: usize) -> f64 {
    let masks = masks(nest);
    let reduces = nest.axes.iter().any(|a| a.reduce);
    let mut cost = 0.0;
    for v in (0..nest.body.len()).filter(|v| used[*v]) {
        let inst = &nest.body[v];
        if masks[v] >> axis & 1 == 0 {
            continue;
        }
        cost += match inst {
            Inst::Load { at, .. } => access_cost(at.strides[axis], dtypes[v], lanes),
            _ => {
                let operand = operand_dtype(inst, dtypes);
                let together = is_vector(inst, dtypes[v], operand, lanes);
                scalar_cost(inst, operand) * if together { 1.0 } else { 1.5 * lanes as f64 }
            }
        };
    }
    let stores = if reduces { &[][..] } else { &nest.stores[..] };
    let stored: f64 = stores.iter().map(|s| access_cost(s.at.strides[axis], dtypes[s.value as usize], lanes)).sum();
    let combined: f64 = nest
        .reductions
        .iter()
        .map(|r| if is_native(dtypes[r.value as usize], lanes) { 1.0 } else { 1.5 * lanes as f64 })
        .sum();
    cost + stored + combined
}

/// Cost of a point, and the axis and lane count that make it cheapest, if not scalar code.
fn choose_vector(nest: &LoopNest, dtypes: &[DType], used: &[bool]) -> (f64, Option<(usize, usize)>) {
    let parallel = nest.parallel();
    let mut best: Option<(f64, Option<(usize, usize)>)> = None;
    for axis in (0..nest.axes.len()).rev() {
        let Axis { extent, reduce } = nest.axes[axis];
        let scalar = lanes_cost(nest, dtypes, used, axis, 1);
        // Without vectors the loops stay in their order.
        let innermost = axis + 1 == nest.axes.len();
        for lanes in [4, 2, 1] {
            if extent < lanes.max(2) && lanes > 1 || lanes == 1 && !innermost {
                continue;
            }
            let vectors = (extent / lanes) as f64;
            let rest = if lanes == 1 { 0.0 } else { (extent % lanes) as f64 };
            let once = match (reduce, lanes) {
                (true, 1) | (false, _) => 0.0,
                (true, _) => HORIZONTAL * nest.reductions.len() as f64,
            };
            let row = vectors * lanes_cost(nest, dtypes, used, axis, lanes) + rest * scalar + LOOP_OVERHEAD + once;
            let cost = row / extent as f64;
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, (lanes > 1).then_some((axis, lanes))));
            }
        }
    }
    debug_assert!(parallel > 0);
    best.unwrap_or((0.0, None))
}

/// Lanes of a wide vector, where all values fit the lanes of one.
fn wide_lanes(nest: &LoopNest, dtypes: &[DType], used: &[bool]) -> Option<usize> {
    let mut sizes = (0..dtypes.len())
        .filter(|v| used[*v] && dtypes[*v] != DType::Bool)
        .map(|v| dtypes[v].size())
        .chain(nest.params.iter().filter(|p| p.dtype != DType::Bool).map(|p| p.dtype.size()));
    let first = sizes.next()?;
    if first == 8 {
        return sizes.all(|s| s == 8).then_some(WIDE_BYTES / 8);
    }
    sizes.all(|s| s <= 4).then_some(WIDE_BYTES / 4)
}

/// Cost of a point with wide vectors, the axis and the lane count that make it cheapest. Lanes of stores step along memory, those of
/// loads may be gathered.
fn choose_wide(nest: &LoopNest, dtypes: &[DType], used: &[bool]) -> Option<(f64, usize, usize)> {
    let lanes = wide_lanes(nest, dtypes, used)?;
    let masks = masks(nest);
    let reductions = nest.reductions.len();
    if reductions > wide::MAX_ACCUMULATORS {
        return None;
    }
    let values = nest.body.len() + nest.epilogue.len();
    let candidates = (0..nest.axes.len()).filter(|axis| {
        let reached = (0..values).filter(|v| used[*v]).all(|v| match nest.inst(v as Val) {
            Inst::Load { at, .. } => {
                matches!(at.strides[*axis], 0 | 1) || may_gather(at.strides[*axis], dtypes[v], lanes)
            }
            _ => true,
        });
        let reduce = nest.axes[*axis].reduce;
        let stores = nest.stores.iter().all(|s| s.at.strides[*axis] == if reduce { 0 } else { 1 });
        stores && reached && nest.axes[*axis].extent >= lanes / 4
    });
    candidates
        .map(|axis| {
            let Axis { extent, reduce } = nest.axes[axis];
            let varying = (0..nest.body.len()).filter(|v| used[*v] && masks[*v] >> axis & 1 == 1);
            let body: f64 = varying
                .map(|v| match &nest.body[v] {
                    Inst::Load { at, .. } if at.strides[axis] != 1 => gather_cost(at.strides[axis], dtypes[v], lanes),
                    inst => scalar_cost(inst, operand_dtype(inst, dtypes)),
                })
                .sum();
            let written = if nest.axes.iter().any(|a| a.reduce) { reductions } else { nest.stores.len() };
            let once = if reduce { WIDE_HORIZONTAL * reductions as f64 } else { 0.0 };
            let vectors = extent.div_ceil(lanes) as f64;
            let row = vectors * (body + written as f64) * WIDE_COST + LOOP_OVERHEAD + once;
            (row / extent as f64, axis, lanes)
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Whether wide vectors reach elements so far apart: as wide as a lane, with distances that fit 32 bits.
fn may_gather(stride: i64, dtype: DType, lanes: usize) -> bool {
    dtype.size() * lanes == WIDE_BYTES && stride.unsigned_abs() < 1 << 20
}

/// Cost of a wide vector of elements so far apart, in operations on such vectors: a little less than one by one.
fn gather_cost(stride: i64, dtype: DType, lanes: usize) -> f64 {
    let far = stride.unsigned_abs() as usize * dtype.size() >= CACHE_LINE;
    lanes as f64 * if far { 1.7 } else { 0.8 }
}

/// Moves an axis to be the innermost of its kind; returns where it is then.
fn move_innermost(nest: &mut LoopNest, axis: usize) -> usize {
    let target = if nest.axes[axis].reduce { nest.axes.len() - 1 } else { nest.parallel() - 1 };
    let mut order: Vec<usize> = (0..nest.axes.len()).filter(|i| *i != axis).collect();
    order.insert(target, axis);
    nest.permute(&order);
    target
}

/// Where lanes walk across cache lines and another loop walks along them, tiles both, so that lines are used up while
/// they are cached. Returns where the vector loop is then.
fn tile(nest: &mut LoopNest, vector: usize, lanes: usize) -> usize {
    if nest.axes.iter().any(|a| a.reduce) {
        return vector;
    }
    let deeper = |axis: usize| nest.axes[axis + 1..].iter().map(|a| a.extent).product::<usize>();
    let along = nest.body.iter().find_map(|inst| {
        let Inst::Load { param, at } = inst else { return None };
        let size = nest.params[*param as usize].dtype.size();
        let bytes = |axis: usize| at.strides[axis].unsigned_abs() as usize * size;
        let along = (0..vector).rev().find(|axis| (1..CACHE_LINE).contains(&bytes(*axis)))?;
        (bytes(vector) >= CACHE_LINE && deeper(along) > CACHED_LINES).then_some(along)
    });
    let divisor =
        |n: usize, most: usize, of: usize| (of..=most).rev().find(|d| n.is_multiple_of(*d) && d.is_multiple_of(of));
    let Some(along) = along else { return vector };
    let short = divisor(nest.axes[along].extent, CACHE_LINE / 4, 4);
    let long = divisor(nest.axes[vector].extent, TILE, lanes);
    let (Some(short), Some(long)) = (short, long) else { return vector };
    nest.split_axis(vector, long);
    nest.split_axis(along, short);
    // The vector loop stands at `vector + 1`, and its tile after it.
    let tiled = [along, vector + 1, along + 1, vector + 2];
    let order: Vec<usize> = (0..nest.axes.len()).filter(|i| !tiled.contains(i)).chain(tiled).collect();
    nest.permute(&order);
    nest.axes.len() - 1
}

/// Vectors an iteration, a power of two.
fn unroll(nest: &LoopNest, per_point: usize, vectors: usize) -> usize {
    let reductions = nest.reductions.len();
    let wanted = ACCUMULATORS.checked_div(reductions).unwrap_or(ELEMENTWISE_VECTORS).max(1);
    let affordable = (UNROLLED_OPS / per_point.max(1)).max(1);
    let n = wanted.min(affordable).min(vectors).max(1);
    1 << n.ilog2()
}

/// Wide vectors an iteration, a power of two: no more than there are accumulators for.
fn wide_unroll(nest: &LoopNest, per_point: usize, vectors: usize) -> usize {
    let most = wide::MAX_ACCUMULATORS.checked_div(nest.reductions.len()).unwrap_or(usize::MAX);
    unroll(nest, per_point, vectors).min(1 << most.max(1).ilog2())
}
