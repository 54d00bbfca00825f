//! Reading and updating the places an index names: slices, gathers and scatters.

use super::arithmetic::{binary_at, broadcast_at, broadcast_shapes};
use super::axes::{resolve_axis, settle};
use super::checks::{self, settled};
use super::convert::{full_at, plain_shape, scalar_at};
use super::indexing::{Index, Plan, from_front, plan};
use super::shaping::{concatenate_at, reshape_at};
use super::{IntoShape, Operand, Tensor, apply};
use gradloom_ir::{Binary, DType, Error, Loc, Op, Result, ScatterKind, Shape, Type};

/// The static part of an index; reversed axes stay as they lie in memory.
fn slice(x: &Tensor, p: &Plan, loc: &Loc) -> Tensor {
    let s = &p.slices;
    if s.iter().zip(x.shape()).all(|(s, &n)| (s.start, s.len, s.stride) == (0, n, 1)) {
        return x.clone();
    }
    let op = Op::Slice {
        start: s.iter().map(|s| s.start).collect(),
        limit: s.iter().map(|s| if s.len == 0 { s.start } else { s.start + (s.len - 1) * s.stride + 1 }).collect(),
        stride: s.iter().map(|s| s.stride).collect(),
    };
    apply(op, &[x], loc)
}

/// Reverses the core's axes that the index reads backwards.
fn reverse(core: &Tensor, p: &Plan, loc: &Loc) -> Tensor {
    let in_core = |i: usize| if i < p.block_at { i } else { i + p.block.len() };
    let axes: Shape =
        p.window_axes().iter().enumerate().filter(|(_, a)| p.slices[**a].reversed).map(|(i, _)| in_core(i)).collect();
    if axes.is_empty() { core.clone() } else { apply(Op::Reverse { axes }, &[core], loc) }
}

/// The index arrays as one array of index vectors, and the axis they lie along.
fn index_vectors(p: &Plan, loc: &Loc) -> (Tensor, usize) {
    let rank = p.block.len();
    if let [(_, one)] = &p.arrays[..] {
        return (one.clone(), rank);
    }
    let mut shape = p.block.clone();
    shape.push(1);
    let columns: Vec<Tensor> = p.arrays.iter().map(|(_, t)| reshape_at(t, &shape, loc)).collect();
    (concatenate_at(&columns, rank, loc), rank)
}

/// Axes of the core that come from the window.
fn core_window(p: &Plan) -> Shape {
    let rank = p.window_axes().len() + p.block.len();
    (0..rank).filter(|i| *i < p.block_at || *i >= p.block_at + p.block.len()).collect()
}

fn gather(x: &Tensor, p: &Plan, loc: &Loc) -> Result<Tensor> {
    let axes: Shape = p.arrays.iter().map(|(a, _)| *a).collect();
    let core = p.core_shape();
    if core.contains(&0) {
        return Ok(full_at(&x.ty_ref().with_shape(&core), 0.0, loc));
    }
    if let Some(a) = axes.iter().find(|a| x.shape()[**a] == 0) {
        return Err(Error::user("index", format!("axis {a} of {} is empty, there is nothing to take", x.ty_ref())));
    }
    let sizes: Shape = (0..x.ndim()).map(|a| if axes.contains(&a) { 1 } else { x.shape()[a] }).collect();
    if p.block.is_empty() {
        // one place: a slice at computed positions
        let dtype = p.arrays[0].1.dtype();
        let zero = scalar_at(dtype, 0.0, loc);
        let at = |a: usize| p.arrays.iter().find(|(b, _)| *b == a).map_or(&zero, |(_, t)| t);
        let operands: Vec<&Tensor> = std::iter::once(x).chain((0..x.ndim()).map(at)).collect();
        let y = apply(Op::DynamicSlice { sizes }, &operands, loc);
        return Ok(reshape_at(&y, &core, loc));
    }
    let (indices, index_vector_dim) = index_vectors(p, loc);
    let op = Op::Gather {
        offset_dims: core_window(p),
        collapsed_slice_dims: axes.clone(),
        operand_batching_dims: Shape::new(),
        start_indices_batching_dims: Shape::new(),
        start_index_map: axes,
        index_vector_dim,
        slice_sizes: sizes,
    };
    Ok(apply(op, &[x, &indices], loc))
}

/// What the index reads.
pub(crate) fn read(x: &Tensor, p: &Plan, loc: &Loc) -> Result<Tensor> {
    let sliced = slice(x, p, loc);
    sliced.check()?;
    let core = if p.arrays.is_empty() { sliced } else { gather(&sliced, p, loc)? };
    Ok(reshape_at(&reverse(&core, p, loc), &p.shape, loc))
}

fn combine(kind: ScatterKind, old: &Tensor, new: &Tensor, loc: &Loc) -> Tensor {
    let op = match kind {
        ScatterKind::Set => return new.clone(),
        ScatterKind::Add => Binary::Add,
        ScatterKind::Mul => Binary::Mul,
        ScatterKind::Min => Binary::Min,
        ScatterKind::Max => Binary::Max,
    };
    binary_at(op, old, new, loc)
}

/// `x` with the sliced part replaced by `part`, which lies as in memory.
fn put(x: &Tensor, part: &Tensor, p: &Plan, loc: &Loc) -> Tensor {
    if p.sliced_shape()[..] == *x.shape() {
        return part.clone();
    }
    if p.slices.iter().all(|s| s.stride == 1) {
        let starts: Vec<Tensor> = p.slices.iter().map(|s| scalar_at(DType::I64, s.start as f64, loc)).collect();
        let operands: Vec<&Tensor> = [x, part].into_iter().chain(&starts).collect();
        return apply(Op::DynamicUpdateSlice {}, &operands, loc);
    }
    // spread out to the operand's shape, and chosen where it belongs
    let op = Op::Pad {
        low: p.slices.iter().map(|s| s.start as i64).collect(),
        high: p
            .slices
            .iter()
            .zip(x.shape())
            .map(|(s, &n)| n as i64 - (s.start + (s.len - 1) * s.stride + 1) as i64)
            .collect(),
        interior: p.slices.iter().map(|s| s.stride - 1).collect(),
    };
    let spread = |t: &Tensor| apply(op.clone(), &[t, &scalar_at(t.dtype(), 0.0, loc)], loc);
    let mask = full_at(&Type::new(DType::Bool, part.shape()), 1.0, loc);
    apply(Op::Select {}, &[&spread(&mask), &spread(part), x], loc)
}

fn update_at(kind: ScatterKind, x: &Tensor, index: &[Index], u: &Tensor, loc: &Loc) -> Result<Tensor> {
    let p = plan(x, index, loc)?;
    u.check()?;
    if u.dtype() != x.dtype() {
        return Err(Error::dtype_mismatch("at", x.dtype(), u.dtype()));
    }
    if kind != ScatterKind::Set && x.dtype() == DType::Bool {
        let name = format!("at(..).{}", kind.name());
        return Err(Error::bad_dtype(&name, x.dtype(), "a number").help("bools can only be `set`"));
    }
    if broadcast_shapes(u.shape(), &p.shape).as_deref() != Some(&p.shape[..]) {
        let place = x.ty_ref().with_shape(&p.shape);
        let why = "the update must broadcast to the place it goes to";
        return Err(
            Error::shape_mismatch("at", &place, u.ty_ref(), why).help("`x.at(i)` takes what `x.i(i)` has the shape of")
        );
    }
    let core = p.core_shape();
    if core.contains(&0) || p.arrays.iter().any(|(a, _)| x.shape()[*a] == 0) {
        return Ok(x.clone());
    }
    let u = reverse(&reshape_at(&broadcast_at(u, &p.shape, loc), &core, loc), &p, loc);
    let old = slice(x, &p, loc);
    if p.arrays.is_empty() {
        return Ok(put(x, &combine(kind, &old, &u, loc), &p, loc));
    }
    let axes: Shape = p.arrays.iter().map(|(a, _)| *a).collect();
    let (indices, index_vector_dim) = index_vectors(&p, loc);
    let op = Op::Scatter {
        update_window_dims: core_window(&p),
        inserted_window_dims: axes.clone(),
        input_batching_dims: Shape::new(),
        scatter_indices_batching_dims: Shape::new(),
        scatter_dims_to_operand_dims: axes,
        index_vector_dim,
        kind,
    };
    Ok(put(x, &apply(op, &[&old, &indices, &u], loc), &p, loc))
}

/// `x` with row `i` of `updates` met by `kind` at row `at[i]`; positions that name no row, negative ones too, are left
/// out. The caller has checked that the shapes and dtypes fit.
pub(crate) fn scatter_rows(kind: ScatterKind, x: &Tensor, at: &Tensor, updates: &Tensor, loc: &Loc) -> Tensor {
    if updates.size() == 0 || x.size() == 0 {
        return x.clone();
    }
    let op = Op::Scatter {
        update_window_dims: (1..x.ndim()).collect(),
        inserted_window_dims: Shape::from_elem(0, 1),
        input_batching_dims: Shape::new(),
        scatter_indices_batching_dims: Shape::new(),
        scatter_dims_to_operand_dims: Shape::from_elem(0, 1),
        index_vector_dim: 1,
        kind,
    };
    apply(op, &[x, at, updates], loc)
}

/// A place in a tensor; see [`Tensor::at`].
#[must_use = "a place does nothing until `set`, `add` or another update is asked of it"]
pub struct At {
    x: Tensor,
    index: Vec<Index>,
}

impl At {
    pub(crate) fn new(x: &Tensor, index: Vec<Index>) -> At {
        At { x: x.clone(), index }
    }

    fn update(&self, kind: ScatterKind, u: &impl Operand, loc: &Loc) -> Tensor {
        let u = u.with_dtype(self.x.dtype(), loc);
        settle(loc, update_at(kind, &self.x, &self.index, &u, loc))
    }

    /// What stands there, as [`Tensor::i`].
    #[track_caller]
    pub fn get(&self) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, plan(&self.x, &self.index, &loc).and_then(|p| read(&self.x, &p, &loc)))
    }

    /// The tensor with `u` there.
    #[track_caller]
    pub fn set(&self, u: impl Operand) -> Tensor {
        self.update(ScatterKind::Set, &u, &Loc::caller())
    }

    /// The tensor with `u` added there.
    #[track_caller]
    pub fn add(&self, u: impl Operand) -> Tensor {
        self.update(ScatterKind::Add, &u, &Loc::caller())
    }

    /// The tensor with what stands there multiplied by `u`.
    #[track_caller]
    pub fn mul(&self, u: impl Operand) -> Tensor {
        self.update(ScatterKind::Mul, &u, &Loc::caller())
    }

    /// The tensor with the lesser of `u` and what stands there.
    #[track_caller]
    pub fn min(&self, u: impl Operand) -> Tensor {
        self.update(ScatterKind::Min, &u, &Loc::caller())
    }

    /// The tensor with the greater of `u` and what stands there.
    #[track_caller]
    pub fn max(&self, u: impl Operand) -> Tensor {
        self.update(ScatterKind::Max, &u, &Loc::caller())
    }
}

/// Positions for [`Tensor::dynamic_slice`]: an array or tuple of integers and integer scalars.
pub trait IntoStarts {
    /// One scalar an axis.
    #[doc(hidden)]
    fn starts(&self, loc: &Loc) -> Vec<Tensor>;
}

impl<T: Operand, const N: usize> IntoStarts for [T; N] {
    fn starts(&self, loc: &Loc) -> Vec<Tensor> {
        self.iter().map(|s| s.with_dtype(DType::I32, loc)).collect()
    }
}

impl<T: Operand> IntoStarts for &[T] {
    fn starts(&self, loc: &Loc) -> Vec<Tensor> {
        self.iter().map(|s| s.with_dtype(DType::I32, loc)).collect()
    }
}

macro_rules! tuple_starts {
    ($(($($t:ident $i:tt),*))*) => {$(
        impl<$($t: Operand),*> IntoStarts for ($($t,)*) {
            fn starts(&self, loc: &Loc) -> Vec<Tensor> {
                vec![$(self.$i.with_dtype(DType::I32, loc)),*]
            }
        }
    )*};
}
tuple_starts! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

/// Starts as integer scalars of one dtype, negative ones counted from the end.
fn checked_starts(op: &str, x: &Tensor, starts: Vec<Tensor>, loc: &Loc) -> Result<Vec<Tensor>> {
    x.check()?;
    if starts.len() != x.ndim() {
        return Err(
            Error::user(op, format!("{} starts for {}", starts.len(), x.ty_ref())).help("give one start an axis")
        );
    }
    let mut out = Vec::with_capacity(starts.len());
    for (s, &n) in starts.iter().zip(x.shape()) {
        s.check()?;
        if s.ndim() != 0 || !s.dtype().is_int() {
            return Err(Error::user(op, format!("a start must be an integer scalar, one is {}", s.ty_ref())));
        }
        let s = if s.dtype() == DType::I64 { s.clone() } else { apply(Op::Convert { dtype: DType::I64 }, &[s], loc) };
        out.push(from_front(&s, n, loc));
    }
    Ok(out)
}

/// `t` with every axis but `axis` broadcast to `shape`.
fn stretch(t: &Tensor, shape: &[usize], axis: usize, loc: &Loc) -> Tensor {
    let mut shape = Shape::from(shape);
    shape[axis] = t.shape()[axis];
    broadcast_at(t, &shape, loc)
}

/// What positions beyond an axis read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TakeMode {
    /// The nearest element; negative positions count from the end, as in [`Tensor::take`].
    Clip,
    /// The position modulo the length.
    Wrap,
    /// This number; negative positions count from the end.
    Fill(f64),
}

#[track_caller]
fn take_with(x: &Tensor, indices: &Tensor, axis: i64, mode: TakeMode) -> Result<Tensor> {
    let op = "take_with";
    x.check()?;
    checks::integer(op, indices)?;
    let axis = resolve_axis(op, axis, x.ty_ref())?;
    let n = x.shape()[axis];
    match mode {
        TakeMode::Clip => Ok(x.take(indices, axis as i64)),
        // an empty axis is refused by `take`
        TakeMode::Wrap => Ok(x.take(&indices.to(DType::I64).remainder(n.max(1)), axis as i64)),
        TakeMode::Fill(value) => {
            // a u64 beyond i64 would turn negative; nothing has so many elements that it could be meant
            let at = if indices.dtype() == DType::U64 { indices.minimum(i64::MAX) } else { indices.clone() };
            let at = at.to(DType::I64);
            let at = at.lt(0).select(&at + n, &at);
            let inside = at.ge(0) & at.lt(n);
            let mut shape = Shape::from_elem(1, x.ndim() - 1);
            shape.insert_many(axis, indices.shape().iter().copied());
            if n == 0 {
                let mut shape = Shape::from(x.shape());
                shape.remove(axis);
                shape.insert_many(axis, indices.shape().iter().copied());
                return Ok(Tensor::full(&shape[..], value, x.dtype()));
            }
            let taken = x.take(&inside.select(&at, 0), axis as i64);
            Ok(inside.reshape(&shape[..]).select(taken, value))
        }
    }
}

impl Tensor {
    /// The slices at integer positions along an axis; the positions' shape takes the axis' place. Positions beyond the
    /// axis are clamped, negative ones count from its end.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::arange(6).reshape([3, 2]);
    /// let rows = x.take(&Tensor::from_vec(vec![2, 0]), 0);
    /// assert_eq!(rows.to_vec::<i32>().unwrap(), [4, 5, 0, 1]);
    /// ```
    #[track_caller]
    pub fn take(&self, indices: &Tensor, axis: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let axis = resolve_axis("take", axis, self.ty_ref())?;
            let mut entries = vec![Index::Range { start: None, end: None, step: 1 }; axis];
            entries.push(Index::Array(indices.clone()));
            read(self, &plan(self, &entries, &loc)?, &loc)
        };
        settle(&loc, run())
    }

    /// [`Tensor::take`] with a choice of what positions beyond the axis read.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{TakeMode, prelude::*};
    /// let (x, at) = (Tensor::from([1.0f32, 2.0]), Tensor::from([-1, 2]));
    /// assert_eq!(x.take_with(&at, 0, TakeMode::Wrap).to_vec::<f32>().unwrap(), [2.0, 1.0]);
    /// assert_eq!(x.take_with(&at, 0, TakeMode::Fill(0.0)).to_vec::<f32>().unwrap(), [2.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn take_with(&self, indices: &Tensor, axis: i64, mode: TakeMode) -> Tensor {
        settled(take_with(self, indices, axis, mode))
    }

    /// For each position of `indices`, the element of `self` that it names along `axis` at the same place of all other
    /// axes: what `argsort` and `argmax` positions read with. Positions beyond the axis are clamped.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from_slice([2, 2], &[4, 3, 1, 2]);
    /// let sorted = x.take_along_axis(&x.argsort(1), 1);
    /// assert_eq!(sorted.to_vec::<i32>().unwrap(), [3, 4, 1, 2]);
    /// ```
    #[track_caller]
    pub fn take_along_axis(&self, indices: &Tensor, axis: i64) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            let op = "take_along_axis";
            self.check()?;
            indices.check()?;
            let axis = resolve_axis(op, axis, self.ty_ref())?;
            if !indices.dtype().is_int() {
                return Err(Error::bad_dtype(op, indices.dtype(), "an integer"));
            }
            let without = |t: &Tensor| {
                t.shape().iter().enumerate().map(|(i, &n)| if i == axis { 1 } else { n }).collect::<Shape>()
            };
            let common =
                (indices.ndim() == self.ndim()).then(|| broadcast_shapes(&without(self), &without(indices))).flatten();
            let Some(common) = common else {
                let why = format!("all axes but {axis} must broadcast");
                return Err(Error::shape_mismatch(op, self.ty_ref(), indices.ty_ref(), &why));
            };
            let (x, indices) = (stretch(self, &common, axis, &loc), stretch(indices, &common, axis, &loc));
            if indices.size() == 0 {
                return Ok(full_at(&x.ty_ref().with_shape(indices.shape()), 0.0, &loc));
            }
            let n = x.shape()[axis];
            if n == 0 {
                return Err(Error::user(
                    op,
                    format!("axis {axis} of {} is empty, there is nothing to take", x.ty_ref()),
                ));
            }
            let indices = if indices.dtype() == DType::I64 {
                indices
            } else {
                apply(Op::Convert { dtype: DType::I64 }, &[&indices], &loc)
            };
            let others: Shape = (0..x.ndim()).filter(|a| *a != axis).collect();
            let op = Op::Gather {
                offset_dims: Shape::new(),
                collapsed_slice_dims: Shape::from_elem(axis, 1),
                operand_batching_dims: others.clone(),
                start_indices_batching_dims: others,
                start_index_map: Shape::from_elem(axis, 1),
                index_vector_dim: x.ndim(),
                slice_sizes: Shape::from_elem(1, x.ndim()),
            };
            Ok(apply(op, &[&x, &from_front(&indices, n, &loc)], &loc))
        };
        settle(&loc, run())
    }

    /// `sizes` elements an axis from computed positions, clamped so that they fit.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::arange(6).reshape([3, 2]);
    /// let at = Tensor::from(1);
    /// assert_eq!(x.dynamic_slice((&at, 0), [2, 1]).to_vec::<i32>().unwrap(), [2, 4]);
    /// ```
    #[track_caller]
    pub fn dynamic_slice(&self, starts: impl IntoStarts, sizes: impl IntoShape) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            let starts = checked_starts("dynamic_slice", self, starts.starts(&loc), &loc)?;
            let sizes = plain_shape("dynamic_slice", sizes)?;
            let operands: Vec<&Tensor> = std::iter::once(self).chain(&starts).collect();
            Ok(apply(Op::DynamicSlice { sizes }, &operands, &loc))
        };
        settle(&loc, run())
    }

    /// The tensor with `update` at computed positions, clamped so that it fits.
    #[track_caller]
    pub fn dynamic_update_slice(&self, update: &Tensor, starts: impl IntoStarts) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            let starts = checked_starts("dynamic_update_slice", self, starts.starts(&loc), &loc)?;
            let operands: Vec<&Tensor> = [self, update].into_iter().chain(&starts).collect();
            Ok(apply(Op::DynamicUpdateSlice {}, &operands, &loc))
        };
        settle(&loc, run())
    }
}
