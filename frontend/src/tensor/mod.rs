//! The array type users work with.

pub(crate) mod arithmetic;
pub(crate) mod axes;
pub(crate) mod checks;
mod complex;
mod contraction;
pub(crate) mod convert;
pub(crate) mod convolution;
mod creation;
mod division;
mod elementwise;
pub(crate) mod gathering;
mod indexing;
mod nan_reduction;
mod path;
mod products;
mod rearranging;
mod reduction;
mod running;
mod searching;
pub(crate) mod shaping;
pub(crate) mod sorting;
mod statistics;

pub use arithmetic::Operand;
pub use axes::{Axes, IntoAxes};
pub use contraction::{einsum, einsum_as, einsum_path};
pub use convert::{IntoShape, Scalar};
pub(crate) use convert::{plain_shape, scalar_at};
pub use convolution::{Conv, Padding, conv_general};
pub use creation::{Grid, meshgrid};
pub use elementwise::{broadcast_arrays, polyval, where_};
pub use gathering::{At, IntoStarts, TakeMode};
pub use indexing::{Index, IntoIndex, IntoIndices, NewAxis, step};
pub use path::EinsumPath;
pub use products::Overlap;
pub use rearranging::PadMode;
pub use searching::{Outside, Side, Unique, interp};
pub use statistics::Between;

use crate::device::Data;
use crate::{eager, trace};
use gradloom_backends::Buffer;
use gradloom_ir::{Complex, DType, Element, Error, Loc, Op, Result, Type, with_element};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// An array: concrete, or traced while a transform records the function it is used in.
///
/// Clones are O(1). Operators cannot return `Result`, so an operation that has no meaning gives a tensor that holds
/// the error: every read of it, and the transform around it, returns that error.
#[derive(Clone)]
pub struct Tensor(Repr);

#[derive(Clone)]
pub(crate) enum Repr {
    Array(Arc<Array>),
    Traced(Traced),
    Error(Arc<Error>),
}

/// A concrete array.
pub(crate) struct Array {
    pub ty: Type,
    pub data: Data,
}

/// A value of a trace.
#[derive(Clone)]
pub(crate) struct Traced {
    pub trace: u64,
    pub value: u32,
    pub ty: Type,
}

impl Traced {
    /// A tensor of which only the type is of use, as an example to trace by.
    pub(crate) fn placeholder(ty: &Type) -> Traced {
        Traced { trace: 0, value: 0, ty: ty.clone() }
    }
}

/// The shape an erroneous tensor shows its reader.
const ERROR_SHAPE: [usize; 8] = [1; 8];

/// The type an erroneous tensor pretends to have.
static ERROR_TYPE: std::sync::LazyLock<Type> = std::sync::LazyLock::new(|| Type::scalar(DType::F32));

impl Tensor {
    pub(crate) fn repr(&self) -> &Repr {
        &self.0
    }

    pub(crate) fn into_repr(self) -> Repr {
        self.0
    }

    pub(crate) fn from_traced(t: Traced) -> Tensor {
        Tensor(Repr::Traced(t))
    }

    pub(crate) fn from_buffer(ty: Type, buffer: Arc<Buffer>) -> Tensor {
        debug_assert_eq!(ty.bytes(), buffer.len());
        Tensor::from_data(ty, Data::Host(buffer))
    }

    pub(crate) fn from_data(ty: Type, data: Data) -> Tensor {
        Tensor(Repr::Array(Arc::new(Array { ty, data })))
    }

    /// A tensor that holds an error.
    pub(crate) fn from_error(e: Error) -> Tensor {
        Tensor(Repr::Error(Arc::new(e)))
    }

    /// A tensor that holds an error, which also fails the enclosing trace: what a function of tensors returns where its
    /// arguments have no meaning. Give the error its reader's position with [`Error::at`].
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Error, prelude::*};
    /// let t = Tensor::failed(Error::user("half", "an odd number has none"));
    /// assert_eq!((t + 1.0).item::<f32>().unwrap_err().message(), "an odd number has none");
    /// ```
    pub fn failed(e: Error) -> Tensor {
        trace::record_error(&e);
        Tensor::from_error(e)
    }

    /// `Err` if the tensor holds an error.
    pub fn check(&self) -> Result<()> {
        match &self.0 {
            Repr::Error(e) => Err((**e).clone()),
            _ => Ok(()),
        }
    }

    /// The concrete array, or why there is none.
    pub(crate) fn array(&self) -> Result<&Arc<Array>> {
        match &self.0 {
            Repr::Array(a) => Ok(a),
            Repr::Error(e) => Err((**e).clone()),
            Repr::Traced(t) => Err(Error::user("read", format!("a traced {} has no elements to read", t.ty))
                .help("read values outside the traced function; inside, compute with tensors (cond, select) instead")),
        }
    }

    /// Dtype and shape; those of a scalar f32 if the tensor holds an error.
    pub fn ty(&self) -> Type {
        self.ty_ref().clone()
    }

    pub(crate) fn ty_ref(&self) -> &Type {
        match &self.0 {
            Repr::Array(a) => &a.ty,
            Repr::Traced(t) => &t.ty,
            Repr::Error(_) => &ERROR_TYPE,
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.ty_ref().dtype
    }

    /// Axis lengths, outermost first. A tensor that holds an error has eight axes of length 1, so that a program that
    /// reads `x.shape()[1]` comes to where the error is reported.
    pub fn shape(&self) -> &[usize] {
        match &self.0 {
            Repr::Error(_) => &ERROR_SHAPE,
            _ => &self.ty_ref().shape,
        }
    }

    /// Length of one axis (negative counts from the end); 0 if there is no such axis.
    pub fn dim(&self, axis: i64) -> usize {
        let r = self.ndim() as i64;
        let a = if axis < 0 { axis + r } else { axis };
        usize::try_from(a).ok().and_then(|a| self.shape().get(a).copied()).unwrap_or(0)
    }

    /// Number of axes.
    pub fn ndim(&self) -> usize {
        self.shape().len()
    }

    /// Number of elements.
    pub fn size(&self) -> usize {
        self.ty_ref().numel()
    }

    /// Whether the tensor is a value of a trace.
    pub fn is_traced(&self) -> bool {
        matches!(self.0, Repr::Traced(_))
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// If the tensor is traced, holds an error, or has another dtype.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let a = self.array()?;
        if a.ty.dtype != T::DTYPE {
            return Err(Error::user("to_vec", format!("the tensor holds {}, not {}", a.ty.dtype, T::DTYPE))
                .help("read it as the type it has, or convert it with `.to(dtype)` first"));
        }
        Ok(a.data.host()?.as_slice::<T>().to_vec())
    }

    /// The only element.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`], and if there is not exactly one element.
    pub fn item<T: Element>(&self) -> Result<T> {
        let a = self.array()?;
        if a.ty.numel() != 1 {
            return Err(Error::user("item", format!("{} has {} elements, not one", a.ty, a.ty.numel()))
                .help("use `to_vec`, or index the element first"));
        }
        Ok(self.to_vec::<T>()?[0])
    }

    /// All elements as f64, whatever the dtype.
    pub fn to_f64_vec(&self) -> Result<Vec<f64>> {
        Ok(self.to_literal()?.to_f64())
    }

    pub(crate) fn from_literal(x: &gradloom_ir::Literal) -> Tensor {
        Tensor::created(x.ty().clone(), Arc::new(Buffer::from_bytes(x.bytes())))
    }

    pub(crate) fn to_literal(&self) -> Result<gradloom_ir::Literal> {
        let a = self.array()?;
        gradloom_ir::Literal::from_bytes(a.ty.clone(), a.data.host()?.bytes().to_vec())
            .ok_or_else(|| Error::internal("tensor", "buffer and type differ in size"))
    }
}

/// Applies an op: recorded under a transform, run at once otherwise.
pub(crate) fn apply_n(op: Op, operands: &[&Tensor], loc: &Loc) -> Result<SmallVec<[Tensor; 2]>> {
    if let Some(e) = operands.iter().find_map(|t| t.check().err()) {
        trace::record_error(&e);
        return Err(e);
    }
    if trace::active() { trace::record(op, operands, loc) } else { eager::run_op(op, operands, loc) }
}

/// Applies an op with one result; an error travels in the result.
pub(crate) fn apply(op: Op, operands: &[&Tensor], loc: &Loc) -> Tensor {
    match apply_n(op, operands, loc) {
        Ok(mut r) => r.pop().unwrap_or_else(|| Tensor::failed(Error::internal("apply", "the op has no result"))),
        Err(e) => Tensor::failed(e.at(loc)),
    }
}

/// Applies a whole program: recorded under a transform, compiled and run otherwise.
pub(crate) fn apply_graph(g: &Arc<gradloom_ir::Graph>, operands: &[Tensor], loc: &Loc) -> Result<Vec<Tensor>> {
    if let Some(e) = operands.iter().find_map(|t| t.check().err()) {
        trace::record_error(&e);
        return Err(e);
    }
    if trace::active() { trace::record_graph(g, operands, loc) } else { eager::run_graph(g, operands, loc) }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The elements of an array as text, nested as the axes are; of more than 1,000 only the type.
pub(crate) struct Elements<'a> {
    pub ty: &'a Type,
    pub bytes: &'a [u8],
}

impl fmt::Display for Elements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn level(f: &mut fmt::Formatter<'_>, dtype: DType, shape: &[usize], data: &[u8]) -> fmt::Result {
            let Some((&n, rest)) = shape.split_first() else {
                return element(f, dtype, data);
            };
            let step = rest.iter().product::<usize>() * dtype.size();
            f.write_str("[")?;
            for i in 0..n {
                if i > 0 {
                    f.write_str(", ")?;
                }
                level(f, dtype, rest, &data[i * step..(i + 1) * step])?;
            }
            f.write_str("]")
        }
        fn element(f: &mut fmt::Formatter<'_>, dtype: DType, data: &[u8]) -> fmt::Result {
            match dtype {
                DType::C64 => {
                    let z = Complex::<f32>::from_bytes(data);
                    write!(f, "{:?}{:+?}i", z.re, z.im)
                }
                DType::C128 => {
                    let z = Complex::<f64>::from_bytes(data);
                    write!(f, "{:?}{:+?}i", z.re, z.im)
                }
                _ => with_element!(dtype, T => write!(f, "{:?}", <T as Element>::from_bytes(data))),
            }
        }
        if self.ty.numel() > 1000 {
            return write!(f, "{} (too many elements to show)", self.ty);
        }
        level(f, self.ty.dtype, &self.ty.shape, self.bytes)
    }
}

impl fmt::Display for Tensor {
    /// The type and up to 1,000 elements, nested as the axes are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Error(e) => write!(f, "error: {e}"),
            Repr::Traced(t) => write!(f, "traced {}", t.ty),
            Repr::Array(a) => {
                // of what is too large to be shown, nothing is read
                let host = if a.ty.numel() > 1000 { None } else { Some(a.data.host()) };
                match host {
                    None => write!(f, "{}", Elements { ty: &a.ty, bytes: &[] }),
                    Some(Ok(b)) => write!(f, "{} {}", a.ty, Elements { ty: &a.ty, bytes: b.bytes() }),
                    Some(Err(e)) => write!(f, "error: {e}"),
                }
            }
        }
    }
}
