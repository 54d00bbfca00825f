//! Reductions along axes.

use super::super::import::combine::{binary_of, identity};
use super::windows::Window;
use super::writer::{Writer, array};
use gradloom_ir::{Binary, Comparison, DType, Error, Literal, Op, ReduceKind, Result, Type, Value, Values};
use smallvec::smallvec;

pub(super) fn lower(w: &mut Writer, op: &Op, args: &[Value], ty: &Type) -> Result<Values> {
    let x = args[0];
    match op {
        Op::Reduce { kind, axes } => combined(w, *kind, x, ty, |w, x, init, ty| {
            let params = vec![Type::scalar(ty.dtype); 2];
            let attrs = format!("dimensions = {}", array(axes));
            let name = binary_of(*kind).name();
            w.combining("reduce", &[x, init], &attrs, params, std::slice::from_ref(ty), |w, p| {
                Ok(vec![w.same(name, p)])
            })
        }),
        Op::ArgReduce { kind, axis } => arg_reduce(w, *kind, *axis, x, ty),
        Op::Cumulative { kind, axis, reverse } => {
            let mut window = Window::ones(ty.rank());
            window.lengths[*axis] = ty.shape[*axis];
            let before = i64::try_from(ty.shape[*axis]).unwrap_or(i64::MAX) - 1;
            window.padding[*axis] = if *reverse { (0, before) } else { (before, 0) };
            window.reduce(w, *kind, x, ty)
        }
        _ => Err(Error::internal(op.name(), "is no reduction")),
    }
}

/// The value that changes nothing, of a dtype the combination is defined on.
pub(super) fn neutral(kind: ReduceKind, dtype: DType) -> Result<Literal> {
    identity(kind, dtype)
        .ok_or_else(|| Error::internal("reduce", format!("{} has no identity in {dtype}", kind.name())))
}

/// A combination that starts at its identity; sums and products of 16-bit floats in f32.
pub(super) fn combined(
    w: &mut Writer,
    kind: ReduceKind,
    x: Value,
    ty: &Type,
    emit: impl FnOnce(&mut Writer, Value, Value, &Type) -> Result<Values>,
) -> Result<Values> {
    let sums = matches!(binary_of(kind), Binary::Add | Binary::Mul);
    let dtype = if sums { ty.dtype.accumulator() } else { ty.dtype };
    let x = w.convert(x, dtype);
    let init = w.constant(&neutral(kind, dtype)?);
    let y = emit(w, x, init, &ty.with_dtype(dtype))?[0];
    Ok(smallvec![w.convert(y, ty.dtype)])
}

impl Writer {
    /// Whether `x` wins over `y`, being greater (or less), or NaN where `y` is none.
    pub(super) fn beats(&mut self, kind: ReduceKind, x: Value, y: Value) -> Value {
        let op = if kind == ReduceKind::Max { Comparison::Gt } else { Comparison::Lt };
        let better = self.compare(op, x, y);
        if !self.dtype(x).is_float() {
            return better;
        }
        let unknown = self.compare(Comparison::Ne, x, x);
        self.same("or", &[better, unknown])
    }
}

/// The pair of the greatest element and its index, as JAX writes it.
fn arg_reduce(w: &mut Writer, kind: ReduceKind, axis: usize, x: Value, ty: &Type) -> Result<Values> {
    let x = if w.dtype(x) == DType::Bool { w.convert(x, DType::U8) } else { x };
    let (dtype, index_ty) = (w.dtype(x), w.ty(x).with_dtype(DType::I32));
    let index = w.iota(&index_ty, axis);
    let inits = [w.constant(&neutral(kind, dtype)?), w.constant(&Literal::new(&[], &[0i32]))];
    let scalars = [Type::scalar(dtype), Type::scalar(DType::I32)];
    let attrs = format!("dimensions = {}", array(&[axis]));
    let args = [x, index, inits[0], inits[1]];
    let results = [ty.with_dtype(dtype), ty.clone()];
    let both = w.combining("reduce", &args, &attrs, [&scalars[..], &scalars].concat(), &results, |w, p| {
        let [x, i, y, j] = [p[0], p[1], p[2], p[3]];
        let left = w.beats(kind, x, y);
        let (same, earlier) = (w.compare(Comparison::Eq, x, y), w.compare(Comparison::Lt, i, j));
        let tie = w.same("and", &[same, earlier]);
        let first = w.same("or", &[left, tie]);
        Ok(vec![w.select(left, x, y), w.select(first, i, j)])
    })?;
    Ok(smallvec![both[1]])
}
