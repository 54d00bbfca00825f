//! Dynamic slices, gather, scatter.

use super::super::syntax::Attr;
use super::combine::{Combiner, combiner, unsupported};
use super::{Call, Lower};
use gradloom_ir::{Op, ReduceKind, Result, ScatterKind, Values};
use smallvec::smallvec;

pub(super) const RULES: &[(&str, Lower)] = &[
    ("dynamic_slice", |c| {
        let sizes = c.shape(&["sizes", "slice_sizes"])?;
        let n = c.args.len();
        c.emit(Op::DynamicSlice { sizes }, n)
    }),
    ("dynamic_update_slice", |c| {
        let n = c.args.len();
        c.emit(Op::DynamicUpdateSlice {}, n)
    }),
    ("gather", gather),
    ("scatter", scatter),
];

type Parts<'m> = [(&'m str, Attr<'m>)];

/// The named parts of `#stablehlo.gather<..>` and its like.
pub(super) fn parts<'m>(c: &Call<'_, 'm>, names: &[&str]) -> Result<&'m Parts<'m>> {
    match c.attr(names) {
        Some(Attr::Named(parts, _)) => Ok(parts),
        _ => Err(c.error(format!("the attribute `{}` is missing", names[0]))),
    }
}

/// One integer of the parts; 0 if it is not there.
fn part_int(c: &Call<'_, '_>, parts: &Parts<'_>, name: &str) -> Result<usize> {
    match c.part(parts, name)?[..] {
        [] => Ok(0),
        [i] => Ok(i),
        _ => Err(c.error(format!("`{name}` should be one integer"))),
    }
}

fn gather(c: &mut Call<'_, '_>) -> Result<Values> {
    let p = parts(c, &["dimension_numbers"])?;
    let op = Op::Gather {
        offset_dims: c.part(p, "offset_dims")?,
        collapsed_slice_dims: c.part(p, "collapsed_slice_dims")?,
        operand_batching_dims: c.part(p, "operand_batching_dims")?,
        start_indices_batching_dims: c.part(p, "start_indices_batching_dims")?,
        start_index_map: c.part(p, "start_index_map")?,
        index_vector_dim: part_int(c, p, "index_vector_dim")?,
        slice_sizes: c.shape(&["slice_sizes"])?,
    };
    c.emit(op, 2)
}

fn scatter(c: &mut Call<'_, '_>) -> Result<Values> {
    let p = parts(c, &["scatter_dimension_numbers"])?;
    let (combiner, closure) = combiner(c, 0)?;
    let kind = match &combiner {
        Combiner::Right => ScatterKind::Set,
        Combiner::Reduce(ReduceKind::Sum) | Combiner::Difference => ScatterKind::Add,
        Combiner::Reduce(ReduceKind::Prod) => ScatterKind::Mul,
        Combiner::Reduce(ReduceKind::Min) => ScatterKind::Min,
        Combiner::Reduce(ReduceKind::Max) => ScatterKind::Max,
        _ => return Err(unsupported(c, &closure)),
    };
    let op = Op::Scatter {
        update_window_dims: c.part(p, "update_window_dims")?,
        inserted_window_dims: c.part(p, "inserted_window_dims")?,
        input_batching_dims: c.part(p, "input_batching_dims")?,
        scatter_indices_batching_dims: c.part(p, "scatter_indices_batching_dims")?,
        scatter_dims_to_operand_dims: c.part(p, "scatter_dims_to_operand_dims")?,
        index_vector_dim: part_int(c, p, "index_vector_dim")?,
        kind,
    };
    let [x, indices, mut updates] = c.args()?;
    if matches!(combiner, Combiner::Difference) {
        updates = c.b().neg(updates); // x - u = x + -u, exactly
    }
    let y = c.node(op, &[x, indices, updates])?[0];
    Ok(smallvec![y])
}
