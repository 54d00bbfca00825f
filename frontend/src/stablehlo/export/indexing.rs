//! Dynamic slices, gather, scatter.

use super::elementwise::index_dtype;
use super::writer::{Writer, array, list};
use gradloom_ir::{DType, Error, Literal, Op, Result, ScatterKind, Shape, Type, Value, Values};
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

    /// Scalar starts, all of one dtype.
    fn starts(&mut self, starts: &[Value]) -> Vec<Value> {
        let wide = starts.iter().any(|&s| index_dtype(self.dtype(s)) == DType::I64);
        let dtype = if wide { DType::I64 } else { DType::I32 };
        starts.iter().map(|&s| self.index(s, dtype)).collect()
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
