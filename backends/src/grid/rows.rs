//! Steps on a block of rows as one kernel: a block of threads takes a step of a scan without carries, runs its loop nests one
//! after the other, and keeps what they hand to each other in shared memory. So a softmax reads its rows once.

use super::lower::{index_dtype, width};
use super::nest::{Accumulators, Place, Points};
use super::{Build, GridKernel, Memory, SHARED, WARP};
use crate::cpu::{For, Lowered, Work, lower_graph};
use crate::kernel::{LoopNest, Param};
use gradloom_ir::{Comparison, DType, Graph, Op, Result, Type, Value};

/// Threads of a block.
const THREADS: u32 = 256;
const WARPS: u32 = THREADS / WARP;
/// Up to so many elements are combined by one thread.
const SHORT: usize = 8;

/// The kernel of a scan without carries: `body` runs `length` times, its first `consts` inputs are the same each time, the others
/// and its results are rows. Its buffers are the scan's operands, then its results. `None` if the body is more than loop nests
/// whose intermediates fit shared memory.
pub(super) fn rows_kernel(name: &str, body: &Graph, consts: usize, length: usize) -> Result<Option<GridKernel>> {
    let Lowered { c, computed_by, steps } = lower_graph(body, For::Gpu)?;
    let inputs = body.num_inputs();
    let memory = |v: Value| c.alias[v.index()].unwrap_or(v);
    let mut outputs = vec![None; body.num_values()];
    for (i, &o) in body.outputs().iter().enumerate() {
        let v = memory(o);
        // a result that is an input or twice there is a copy
        if computed_by[v.index()].is_none() || outputs[v.index()].replace(i).is_some() {
            return Ok(None);
        }
    }
    let only_nests = c.steps.iter().all(|s| matches!(s, Work::Cluster(_)));
    let has_arrays = body.nodes().iter().any(|n| matches!(n.op, Op::Constant { .. }) && c.stored[n.results[0].index()]);
    if !only_nests || has_arrays || length == 0 || length >= 1 << 31 {
        return Ok(None);
    }
    let param = |t: &Type, rows: usize| Param { dtype: t.dtype, len: t.numel() * rows };
    let mut params: Vec<Param> = Vec::new();
    for (i, t) in body.input_types().iter().enumerate() {
        params.push(param(t, if i < consts { 1 } else { length }));
    }
    params.extend(body.output_types().iter().map(|t| param(t, length)));
    let nests: Option<Vec<_>> = steps.iter().map(|s| s.nest.as_ref()).collect();
    let Some(nests) = nests else { return Ok(None) };
    let fits = params.iter().all(|p| p.len < 1 << 31);
    let small = nests.iter().all(|k| index_dtype(&k.nest) == DType::U32);
    let own = steps.iter().flat_map(|s| &s.writes).filter(|v| outputs[v.index()].is_none());
    let shared_bytes: usize = own.map(|&v| body.ty(v).bytes().next_multiple_of(16)).sum();
    if !fits || !small || shared_bytes > SHARED || params.iter().any(|p| p.dtype.is_complex()) {
        return Ok(None);
    }
    let mut build = Build::new(name, &params, length as u32, THREADS, DType::U32);
    let b = &mut build;
    let block = b.block();
    let mut places: Vec<Option<(Place, usize)>> = vec![None; body.num_values()];
    let row = |b: &mut Build, p: usize, t: &Type| {
        let first = b.times(block, t.numel() as i64);
        let alignment = 1 << t.bytes().trailing_zeros().min(4);
        ((Memory::Param(p as u32), Some(first)), alignment)
    };
    for v in body.inputs() {
        let i = v.index();
        places[i] = Some(if i < consts { ((Memory::Param(i as u32), None), 16) } else { row(b, i, body.ty(v)) });
    }
    for step in &steps {
        for &v in &step.writes {
            places[v.index()] = Some(match outputs[v.index()] {
                Some(o) => row(b, inputs + o, body.ty(v)),
                None => ((b.shared(body.ty(v).dtype, body.ty(v).numel()), None), 16),
            });
        }
    }
    for (s, k) in nests.iter().enumerate() {
        if s > 0 {
            b.barrier();
        }
        let of = |p: usize| places[k.params[p].index()].expect("inputs and written values have their places");
        let nest = k.nest.collapse();
        let at: Vec<Place> = (0..nest.params.len()).map(|p| of(p).0).collect();
        run_nest(b, nest, at, &|p| of(p).1)?;
    }
    Ok(Some(build.finish()))
}

/// All points of a nest, which threads take turns with; the threads of a warp combine what a point reduces, if it is much.
fn run_nest(b: &mut Build, mut nest: LoopNest, places: Vec<Place>, alignment: &dyn Fn(usize) -> usize) -> Result<()> {
    let (parallel, last) = (nest.parallel(), nest.axes.len().checked_sub(1));
    let is_reduction = parallel < nest.axes.len();
    let reduced: usize = nest.axes[parallel..].iter().map(|a| a.extent).product();
    let by_warp = is_reduction && reduced > SHORT;
    // neighbours that a thread takes at once lie along the innermost axis
    let width = if is_reduction && !by_warp { 1 } else { width(&nest, last, alignment) };
    let lanes = last.filter(|_| width > 1).map(|axis| {
        nest.split_axis(axis, width);
        (axis + 1, width)
    });
    let extents: Vec<usize> = nest.axes.iter().take(last.map_or(0, |l| l + 1)).map(|a| a.extent).collect();
    let (kept, reduced) = extents.split_at(parallel.min(extents.len()));
    let code = Points::new(&nest, lanes)?.at(places.clone());
    let at_end = Points::new(&nest, None)?.at(places);
    let thread = b.thread();
    let zero = b.index(0);
    if !is_reduction {
        let (end, step) = (b.index(extents.iter().product::<usize>() as i64), b.index(i64::from(THREADS)));
        b.count(thread, end, step, |b, i| {
            let mut index = b.point(i, &extents);
            index.resize(nest.axes.len(), zero);
            let mut values = Vec::new();
            code.evaluate(b, &index, &[], 0..nest.body.len(), &mut values);
            code.store(b, &index, &values);
        });
        return Ok(());
    }
    let (team, teams, lane, members) = if by_warp {
        let (warp, lane) = b.divide(thread, WARP as usize);
        (warp, WARPS, lane, WARP)
    } else {
        (thread, THREADS, zero, 1)
    };
    let (end, step) = (b.index(kept.iter().product::<usize>() as i64), b.index(i64::from(teams)));
    b.count(team, end, step, |b, point| {
        let kept = b.point(point, kept);
        let accs = Accumulators::new(b, &code);
        let (end, step) = (b.index(reduced.iter().product::<usize>() as i64), b.index(i64::from(members)));
        b.count(lane, end, step, |b, r| {
            let mut index = kept.clone();
            index.extend(b.point(r, reduced));
            index.resize(nest.axes.len(), zero);
            let mut values = Vec::new();
            code.evaluate(b, &index, &[], 0..nest.body.len(), &mut values);
            accs.add(b, &values, width);
        });
        accs.exchange(b, members);
        let is_first = b.compare(Comparison::Eq, lane, zero);
        b.when(is_first, |b| {
            let mut index = kept.clone();
            index.resize(nest.axes.len(), zero);
            let mut values = Vec::new();
            at_end.evaluate(
                b,
                &index,
                &accs.results(),
                nest.body.len()..nest.body.len() + nest.epilogue.len(),
                &mut values,
            );
            at_end.store(b, &index, &values);
        });
    });
    Ok(())
}
