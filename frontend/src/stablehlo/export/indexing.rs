//! Dynamic slices, gather, scatter.

use super::elementwise::index_dtype;
use super::writer::{Writer, array, list};
use gradloom_ir::{
    Binary, Builder, Comparison, DType, Error, Literal, Op, Result, ScatterKind, Shape, Type, Value, Values,
};
use smallvec::smallvec;

impl Writer {
    /// Indices of a dtype wide enough for the bounds of any array, which XLA makes of the same dtype.
    fn index(&mut self, x: Value, dtype: DType) -> Value {
        let mut x = x;
        if self.dtype(x) == DType::U64 {
            let ty = self.ty(x).clone();
            let most = self.splat(&Literal::new(&[], &[i64::MAX as u64]), &ty);
            x = self.same("minimum", &[x, most]);
        }
        self.convert(x, dtype)
    }

    /// Scalar starts, which have one dtype.
    fn starts(&mut self, starts: &[Value]) -> Vec<Value> {
        starts.iter().map(|&s| self.index(s, index_dtype(self.dtype(s)))).collect()
    }
}

pub(super) fn lower(w: &mut Writer, op: &Op, args: &[Value], ty: &Type) -> Result<Values> {
    let value = match op {
        Op::DynamicSlice { sizes } => {
            let starts = w.starts(&args[1..]);
            let args = [&args[..1], &starts].concat();
            w.one("dynamic_slice", &args, &format!("slice_sizes = {}", array(sizes)), ty)
        }
        Op::DynamicUpdateSlice {} => {
            let starts = w.starts(&args[2..]);
            let args = [&args[..2], &starts].concat();
            w.one("dynamic_update_slice", &args, "", ty)
        }
        Op::Gather { .. } => gather(w, op, args, ty)?,
        Op::Scatter { .. } => return scatter(w, op, args, ty),
        _ => return Err(Error::internal(op.name(), "does not index")),
    };
    Ok(smallvec![value])
}

/// In ascending order; where the order means nothing, the text wants this one.
fn sorted(axes: &[usize]) -> Shape {
    let mut axes = Shape::from_slice(axes);
    axes.sort_unstable();
    axes
}

/// Pairs in the order of their first parts.
fn sorted_pairs(first: &[usize], second: &[usize]) -> (Shape, Shape) {
    let mut pairs: Vec<(usize, usize)> = first.iter().copied().zip(second.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.into_iter().unzip()
}

fn gather(w: &mut Writer, op: &Op, args: &[Value], ty: &Type) -> Result<Value> {
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
        return Err(Error::internal(op.name(), "is no gather"));
    };
    if slice_sizes.contains(&0) {
        return Ok(w.full(ty, 0.0)); // dropped axes without elements
    }
    let (batching, index_batching) = sorted_pairs(operand_batching_dims, start_indices_batching_dims);
    let attrs = format!(
        "dimension_numbers = #stablehlo.gather<offset_dims = {}, collapsed_slice_dims = {}, \
         operand_batching_dims = {}, start_indices_batching_dims = {}, start_index_map = {}, index_vector_dim = {}>, \
         indices_are_sorted = false, slice_sizes = {}",
        list(&sorted(offset_dims)),
        list(&sorted(collapsed_slice_dims)),
        list(&batching),
        list(&index_batching),
        list(start_index_map),
        index_vector_dim,
        array(slice_sizes)
    );
    let index = w.index(args[1], index_dtype(w.dtype(args[1])));
    Ok(w.one("gather", &[args[0], index], &attrs, ty))
}

fn scatter(w: &mut Writer, op: &Op, args: &[Value], ty: &Type) -> Result<Values> {
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
        return Err(Error::internal(op.name(), "is no scatter"));
    };
    if *kind == ScatterKind::Set && overlaps_out_of_order(update_window_dims, w.ty(args[2])) {
        return w.composed(args, |b, x| one_by_one(b, op, x));
    }
    let (batching, index_batching) = sorted_pairs(input_batching_dims, scatter_indices_batching_dims);
    let attrs = format!(
        "scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = {}, inserted_window_dims = {}, \
         input_batching_dims = {}, scatter_indices_batching_dims = {}, scatter_dims_to_operand_dims = {}, \
         index_vector_dim = {}>, indices_are_sorted = false, unique_indices = false",
        list(&sorted(update_window_dims)),
        list(&sorted(inserted_window_dims)),
        list(&batching),
        list(&index_batching),
        list(scatter_dims_to_operand_dims),
        index_vector_dim,
    );
    let index = w.index(args[1], index_dtype(w.dtype(args[1])));
    let scalar = Type::scalar(ty.dtype);
    let name = match kind {
        ScatterKind::Set => None,
        ScatterKind::Add => Some("add"),
        ScatterKind::Mul => Some("multiply"),
        ScatterKind::Min => Some("minimum"),
        ScatterKind::Max => Some("maximum"),
    };
    let args = [args[0], index, args[2]];
    w.combining("scatter", &args, &attrs, vec![scalar.clone(), scalar], std::slice::from_ref(ty), |w, p| {
        Ok(vec![name.map_or(p[1], |name| w.same(name, p))])
    })
}

/// Whether the updates' row-major order, in which the last one wins, is not that of the windows, in which XLA writes
/// them.
fn overlaps_out_of_order(window_dims: &[usize], updates: &Type) -> bool {
    let long = |d: &usize| updates.shape[*d] > 1;
    let first = window_dims.iter().copied().filter(long).min();
    let last = (0..updates.rank()).filter(|d| !window_dims.contains(d)).filter(long).max();
    first.zip(last).is_some_and(|(window, grid)| window < grid)
}

/// A scatter whose windows are single elements, in the order of the updates. Those of windows that do not fit go to -1.
fn one_by_one(b: &mut Builder, op: &Op, args: &[Value]) -> Result<Vec<Value>> {
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
        return Err(Error::internal(op.name(), "is no scatter"));
    };
    let (ty, updates) = (b.ty(args[0]).clone(), b.ty(args[2]).clone());
    let count = updates.numel();
    let grid: Vec<usize> = (0..updates.rank()).filter(|d| !update_window_dims.contains(d)).collect();
    let all = Type::new(DType::I64, &updates.shape);
    let index = b.convert(args[1], DType::I64);
    let windows = sorted(update_window_dims);
    let mut window = windows.iter();
    let yes = b.full(&all.with_dtype(DType::Bool), 1.0);
    let (mut fits, mut columns) = (yes, Vec::new());
    for axis in 0..ty.rank() {
        let walked = input_batching_dims.iter().position(|&a| a == axis);
        let start = if let Some(k) = scatter_dims_to_operand_dims.iter().position(|&a| a == axis) {
            let component = if *index_vector_dim < b.ty(index).rank() {
                let one = b.slice_axis(index, *index_vector_dim, k, k + 1);
                let shape: Shape = grid.iter().map(|&d| updates.shape[d]).collect();
                b.reshape(one, &shape)
            } else {
                index
            };
            b.broadcast(component, &updates.shape, &grid)
        } else if let Some(k) = walked {
            let axis = scatter_indices_batching_dims[k];
            let axis = if axis > *index_vector_dim { axis - 1 } else { axis };
            b.iota(DType::I64, &updates.shape, grid[axis])
        } else {
            b.full(&all, 0.0)
        };
        let dropped = walked.is_some() || inserted_window_dims.contains(&axis);
        let along = if dropped { None } else { window.next() };
        let size = along.map_or(1, |&d| updates.shape[d]);
        // the whole window fits
        let (least, most) = (b.full(&all, 0.0), b.full(&all, ty.shape[axis] as f64 - size as f64));
        for (op, bound) in [(Comparison::Ge, least), (Comparison::Le, most)] {
            let ok = b.compare(op, start, bound);
            fits = b.binary(Binary::And, fits, ok);
        }
        let at = along.map(|&d| b.iota(DType::I64, &updates.shape, d));
        columns.push(at.map_or(start, |at| b.add(start, at)));
    }
    let nowhere = b.full(&all, -1.0);
    let columns: Vec<Value> = columns
        .into_iter()
        .map(|c| {
            let c = b.select(fits, c, nowhere);
            b.reshape(c, &[count, 1])
        })
        .collect();
    let rank = columns.len();
    let index = b.concatenate(&columns, 1);
    let flat = b.reshape(args[2], &[count]);
    let single = Op::Scatter {
        update_window_dims: Shape::new(),
        inserted_window_dims: (0..rank).collect(),
        input_batching_dims: Shape::new(),
        scatter_indices_batching_dims: Shape::new(),
        scatter_dims_to_operand_dims: (0..rank).collect(),
        index_vector_dim: 1,
        kind: *kind,
    };
    Ok(vec![b.op(single, &[args[0], index, flat])])
}
