//! Index expressions: what stands in `x.i(..)` and `x.at(..)`, and the plan they resolve to.

use super::arithmetic::broadcast_shapes;
use super::axes::settle;
use super::convert::scalar_at;
use super::{Tensor, apply, gathering};
use crate::tensor::arithmetic::binary_at;
use gradloom_ir::{Binary, Comparison, DType, Error, Loc, Op, Result, Shape, Type};
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// A new axis of length 1 in an index expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewAxis;

/// One entry of an index expression.
#[derive(Clone, Debug)]
pub enum Index {
    /// `..`: all axes the other entries leave over.
    Ellipsis,
    /// A new axis of length 1.
    NewAxis,
    /// One position; the axis disappears. Negative counts from the end.
    At(i64),
    /// Positions `start, start + step, ..` before `end`, as Python's slices have them.
    Range {
        /// First position; the axis' beginning if absent.
        start: Option<i64>,
        /// Position it stops before; the axis' end if absent.
        end: Option<i64>,
        /// Distance between positions; not 0.
        step: i64,
    },
    /// The positions an integer array holds.
    Array(Tensor),
}

/// What may stand in an index expression: `..`, a range, an integer, [`NewAxis`], [`step`], an integer tensor.
pub trait IntoIndex {
    /// The entry.
    fn index(self) -> Index;
}

/// An index expression: one entry or a tuple of up to six.
pub trait IntoIndices {
    /// The entries in order.
    fn indices(self) -> Vec<Index>;
}

/// Every `by`-th position from the start of a range to before its end, backwards if `by` is negative, as Python's
/// `start:end:by`: `x.i(step(.., 2))`, `x.i(step(.., -1))`, `x.i(step(5.., -2))` for positions 5, 3 and 1.
pub fn step(range: impl IntoIndex, by: i64) -> Index {
    match range.index() {
        Index::Range { start, end, .. } => Index::Range { start, end, step: by },
        Index::Ellipsis => Index::Range { start: None, end: None, step: by },
        // a step of 0 is refused when the index is used, where there is a place to report it
        _ => Index::Range { start: None, end: None, step: 0 },
    }
}

fn position<T: TryInto<i64>>(x: T) -> i64 {
    x.try_into().unwrap_or(i64::MAX)
}

/// The position after the last one of an inclusive range; after -1, the last, is the end.
fn after(last: i64) -> Option<i64> {
    last.checked_add(1).filter(|&e| e != 0 || last != -1)
}

macro_rules! single {
    ($($t:ty => |$x:ident| $body:expr;)*) => {$(
        impl IntoIndex for $t {
            fn index(self) -> Index {
                let $x = self;
                $body
            }
        }
        impl IntoIndices for $t {
            fn indices(self) -> Vec<Index> {
                vec![self.index()]
            }
        }
    )*};
}
single! {
    RangeFull => |_x| Index::Ellipsis;
    NewAxis => |_x| Index::NewAxis;
    Index => |x| x;
    Tensor => |x| Index::Array(x);
    &Tensor => |x| Index::Array(x.clone());
}
macro_rules! integer_indices {
    ($($t:ty),*) => {$(single! {
        $t => |x| Index::At(position(x));
        Range<$t> => |x| Index::Range { start: Some(position(x.start)), end: Some(position(x.end)), step: 1 };
        RangeFrom<$t> => |x| Index::Range { start: Some(position(x.start)), end: None, step: 1 };
        RangeTo<$t> => |x| Index::Range { start: None, end: Some(position(x.end)), step: 1 };
        RangeInclusive<$t> => |x| Index::Range { start: Some(position(*x.start())), end: after(position(*x.end())), step: 1 };
        RangeToInclusive<$t> => |x| Index::Range { start: None, end: after(position(x.end)), step: 1 };
    })*};
}
integer_indices!(i32, i64, usize);

impl IntoIndices for Vec<Index> {
    fn indices(self) -> Vec<Index> {
        self
    }
}

macro_rules! tuple_indices {
    ($(($($t:ident $i:tt),*))*) => {$(
        impl<$($t: IntoIndex),*> IntoIndices for ($($t,)*) {
            fn indices(self) -> Vec<Index> {
                vec![$(self.$i.index()),*]
            }
        }
    )*};
}
tuple_indices! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

/// What one axis of the operand contributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AxisSlice {
    /// Least position.
    pub start: usize,
    /// Number of positions.
    pub len: usize,
    /// Distance between positions.
    pub stride: usize,
    /// Whether they are read from the greatest to the least.
    pub reversed: bool,
}

/// An index expression resolved against an operand's type.
///
/// The *core* of the result has the axes of the sliced operand that no array indexes, in order, with the arrays' shape
/// put in at position `block_at`. The result is the core reshaped: positions drop their axis of length 1, new axes come in.
#[derive(Debug)]
pub(crate) struct Plan {
    /// One entry an operand axis; axes under an array are whole.
    pub slices: Vec<AxisSlice>,
    /// Operand axes under arrays, and the arrays, brought to one shape and counted from the front.
    pub arrays: Vec<(usize, Tensor)>,
    /// The shape of the arrays.
    pub block: Shape,
    /// Where the arrays' axes stand in the core.
    pub block_at: usize,
    /// The result's shape.
    pub shape: Shape,
}

impl Plan {
    /// Lengths of the sliced operand.
    pub fn sliced_shape(&self) -> Shape {
        self.slices.iter().map(|s| s.len).collect()
    }

    /// Operand axes no array indexes.
    pub fn window_axes(&self) -> Shape {
        (0..self.slices.len()).filter(|a| self.arrays.iter().all(|(b, _)| b != a)).collect()
    }

    /// The core's shape.
    pub fn core_shape(&self) -> Shape {
        let mut shape: Shape = self.window_axes().iter().map(|&a| self.slices[a].len).collect();
        shape.insert_many(self.block_at, self.block.iter().copied());
        shape
    }
}

impl AxisSlice {
    fn whole(n: usize) -> AxisSlice {
        AxisSlice { start: 0, len: n, stride: 1, reversed: false }
    }
}

/// Python's rule for `start:end:step` on an axis of length `n`: negative bounds count from the end, all are clamped.
fn resolve_range(n: usize, start: Option<i64>, end: Option<i64>, step: i64) -> AxisSlice {
    let n = n as i64;
    let (least, most) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let bound = |b: Option<i64>, default: i64| match b {
        None => default,
        Some(b) => (if b < 0 { b.saturating_add(n) } else { b }).clamp(least, most),
    };
    let (from, to) = if step > 0 { (bound(start, 0), bound(end, n)) } else { (bound(start, n - 1), bound(end, -1)) };
    let span = if step > 0 { to - from } else { from - to };
    let stride = step.unsigned_abs();
    let len = if span > 0 { (span as u64).div_ceil(stride) as usize } else { 0 };
    if len == 0 {
        return AxisSlice { start: 0, len: 0, stride: 1, reversed: false };
    }
    if len == 1 {
        return AxisSlice { start: from as usize, len: 1, stride: 1, reversed: false };
    }
    // more than one position fits, so the stride is less than n and the products below stay within the axis
    let stride = stride as usize;
    let start = if step > 0 { from as usize } else { from as usize - (len - 1) * stride };
    AxisSlice { start, len, stride, reversed: step < 0 }
}

fn check_array(t: &Tensor) -> Result<()> {
    t.check()?;
    if t.dtype() == DType::Bool {
        return Err(Error::bad_dtype("index", t.dtype(), "an integer").help(
            "a mask has no static number of elements: keep the shape and use `mask.select(a, b)`, or `x.at(..)` with positions",
        ));
    }
    if !t.dtype().is_int() {
        return Err(Error::bad_dtype("index", t.dtype(), "an integer").help("convert positions with `.to(DType::I32)`"));
    }
    Ok(())
}

/// Brings index arrays to one integer dtype and shape, negative ones counted from the end of their axis.
fn normalise(x: &Type, arrays: Vec<(usize, Tensor)>, loc: &Loc) -> Result<(Vec<(usize, Tensor)>, Shape)> {
    let mut block = Shape::new();
    for (_, t) in &arrays {
        block = broadcast_shapes(&block, t.shape()).ok_or_else(|| {
            Error::shape_mismatch("index", arrays[0].1.ty_ref(), t.ty_ref(), "index arrays must broadcast to one shape")
        })?;
    }
    let wide =
        arrays.iter().any(|(a, t)| matches!(t.dtype(), DType::I64 | DType::U64) || x.shape[*a] > i32::MAX as usize / 2);
    let dtype = if wide { DType::I64 } else { DType::I32 };
    let mut out = Vec::with_capacity(arrays.len());
    for (axis, t) in arrays {
        let n = x.shape[axis];
        let convert = |t: &Tensor| if t.dtype() == dtype { t.clone() } else { apply(Op::Convert { dtype }, &[t], loc) };
        let t = if t.dtype().is_unsigned_int() {
            // beyond the end stays beyond the end, whatever the conversion does to large numbers
            let holds_n = t.dtype().size() == 8 || (n as u64) < 1 << (8 * t.dtype().size());
            let t = if holds_n { binary_at(Binary::Min, &t, &scalar_at(t.dtype(), n as f64, loc), loc) } else { t };
            convert(&t)
        } else {
            from_front(&convert(&t), n, loc)
        };
        out.push((axis, super::arithmetic::broadcast_at(&t, &block, loc)));
    }
    Ok((out, block))
}

/// Negative positions counted from the end of an axis of length `n`.
pub(crate) fn from_front(t: &Tensor, n: usize, loc: &Loc) -> Tensor {
    let zero = super::convert::full_at(t.ty_ref(), 0.0, loc);
    let negative = super::arithmetic::compare_at(Comparison::Lt, t, &zero, loc);
    let shifted = binary_at(Binary::Add, t, &scalar_at(t.dtype(), n as f64, loc), loc);
    apply(Op::Select {}, &[&negative, &shifted, t], loc)
}

fn describe(entries: usize, x: &Type) -> Error {
    Error::user("index", format!("{entries} entries index {x}, which has {} axes", x.rank()))
        .help("give at most one entry an axis; `..` stands for those left over")
}

/// Resolves an index expression against an operand.
pub(crate) fn plan(x: &Tensor, entries: &[Index], loc: &Loc) -> Result<Plan> {
    x.check()?;
    let ty = x.ty_ref();
    let consumed = entries.iter().filter(|e| !matches!(e, Index::Ellipsis | Index::NewAxis)).count();
    if consumed > ty.rank() {
        return Err(describe(consumed, ty));
    }
    let has_arrays = entries.iter().any(|e| matches!(e, Index::Array(_)));
    let mut slices = Vec::with_capacity(ty.rank());
    let (mut arrays, mut shape) = (Vec::new(), Shape::new());
    // NumPy's rule: positions count as arrays where there are arrays; if such entries are not side by side, the
    // arrays' axes go to the front
    let (mut block_at, mut result_at, mut block_ended, mut scattered) = (None, 0, false, false);
    let mut windows = 0;
    let mut ellipsis = false;
    let with_end: Vec<&Index> = entries.iter().chain(std::iter::once(&Index::Ellipsis)).collect();
    for (i, entry) in with_end.iter().enumerate() {
        let axis = slices.len();
        let n = ty.shape.get(axis).copied().unwrap_or(0);
        if has_arrays && matches!(entry, Index::At(_) | Index::Array(_)) {
            scattered |= block_ended;
            if block_at.is_none() {
                block_at = Some(windows);
                result_at = shape.len();
            }
        } else {
            block_ended = block_at.is_some();
        }
        match entry {
            Index::Ellipsis => {
                if i == entries.len() && ellipsis {
                    break;
                }
                if ellipsis {
                    return Err(
                        Error::user("index", "`..` stands twice in one index").help("write whole axes as `0..`")
                    );
                }
                ellipsis = true;
                for &n in &ty.shape[axis..axis + ty.rank() - consumed] {
                    slices.push(AxisSlice::whole(n));
                    shape.push(n);
                    windows += 1;
                }
            }
            Index::NewAxis => shape.push(1),
            Index::At(p) => {
                let at = super::axes::axis_below(*p, n).ok_or_else(|| {
                    Error::user("index", format!("position {p} is outside axis {axis} of {ty}"))
                        .help(format!("the axis has length {n}; negative positions count from its end"))
                })?;
                slices.push(AxisSlice { start: at, len: 1, stride: 1, reversed: false });
                windows += usize::from(!has_arrays);
            }
            Index::Range { step: 0, .. } => {
                return Err(Error::user("index", "a step of 0, or a step over something that is no range")
                    .help("write `step(range, k)` with k not 0"));
            }
            Index::Range { start, end, step } => {
                let s = resolve_range(n, *start, *end, *step);
                slices.push(s);
                shape.push(s.len);
                windows += 1;
            }
            Index::Array(t) => {
                check_array(t)?;
                slices.push(AxisSlice::whole(n));
                arrays.push((axis, t.clone()));
            }
        }
    }
    let (arrays, block) = normalise(ty, arrays, loc)?;
    let (block_at, result_at) = if scattered { (0, 0) } else { (block_at.unwrap_or(0), result_at) };
    shape.insert_many(result_at, block.iter().copied());
    Ok(Plan { slices, arrays, block, block_at, shape })
}

impl Tensor {
    /// Indexing and slicing, as NumPy has it: an entry an axis, or a tuple of up to six of
    /// `..` (all axes left over), ranges (negative ends count from the end), integers (the axis disappears), [`NewAxis`],
    /// [`step`] and integer tensors (gather; several broadcast together). Positions in tensors beyond the axis are clamped.
    /// Clippy takes the literal range `1..-1` for a mistake: allow its `reversed_empty_ranges` where you write one.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{NewAxis, prelude::*, step};
    /// let x = Tensor::arange(12).reshape([3, 4]);
    /// assert_eq!(x.i((1, 1..3)).to_vec::<i32>().unwrap(), [5, 6]);
    /// assert_eq!(x.i((.., -1)).to_vec::<i32>().unwrap(), [3, 7, 11]);
    /// assert_eq!(x.i((0, step(.., -2))).to_vec::<i32>().unwrap(), [3, 1]);
    /// assert_eq!(x.i((NewAxis, 0)).shape(), [1, 4]);
    /// let rows = Tensor::from_vec(vec![2, 0]);
    /// assert_eq!(x.i((&rows, 0)).to_vec::<i32>().unwrap(), [8, 0]);
    /// ```
    #[track_caller]
    pub fn i(&self, index: impl IntoIndices) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, plan(self, &index.indices(), &loc).and_then(|p| gathering::read(self, &p, &loc)))
    }

    /// A place in the tensor, for functional updates: `x.at(index).set(u)`, `.add`, `.mul`, `.min`, `.max`, `.get()`.
    ///
    /// The update broadcasts to the shape `x.i(index)` has. Positions in tensors beyond the axis are left out; where
    /// positions repeat, `add` and its like take all of them and `set` the last.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::zeros([2, 3]);
    /// let y = x.at((.., 1)).set(5.0).at((0, 0..2)).add(1.0);
    /// assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, 6.0, 0.0, 0.0, 5.0, 0.0]);
    /// ```
    pub fn at(&self, index: impl IntoIndices) -> gathering::At {
        gathering::At::new(self, index.indices())
    }
}
