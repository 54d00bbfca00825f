//! In and out of Rust data, and creation.

use super::{Tensor, apply};
use gradloom_backends::Buffer;
use gradloom_ir::{Complex, DType, Element, Error, Literal, Loc, Op, Result, Shape, Type, bf16, f16};
use std::sync::Arc;

/// A Rust number that can stand next to a tensor in an expression; it takes the tensor's dtype.
pub trait Scalar: Copy {
    /// The value (exact for every number but large 64-bit integers).
    fn to_f64(self) -> f64;
    /// The dtype it has when it stands alone: f32 for floats, i32 for integers.
    fn default_dtype(self) -> DType;
}

macro_rules! scalars {
    ($($t:ty => $d:ident),*) => {$(
        impl Scalar for $t {
            fn to_f64(self) -> f64 { self as f64 }
            fn default_dtype(self) -> DType { DType::$d }
        }
        impl From<$t> for Tensor {
            /// A scalar of the default dtype of its kind.
            fn from(x: $t) -> Tensor {
                scalar_at(x.default_dtype(), x.to_f64(), &Loc::Unknown)
            }
        }
    )*};
}
scalars!(f32 => F32, f64 => F32, i32 => I32, i64 => I32, u32 => U32, u8 => U8, usize => I32);

impl Scalar for bool {
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
    fn default_dtype(self) -> DType {
        DType::Bool
    }
}

impl From<bool> for Tensor {
    /// A scalar.
    fn from(x: bool) -> Tensor {
        scalar_at(DType::Bool, x.to_f64(), &Loc::Unknown)
    }
}

impl<T: Element> From<Vec<T>> for Tensor {
    /// A vector.
    fn from(data: Vec<T>) -> Tensor {
        Tensor::from_vec(data)
    }
}

impl<T: Element> From<&[T]> for Tensor {
    /// A vector.
    fn from(data: &[T]) -> Tensor {
        Tensor::from_slice([data.len()], data)
    }
}

// one impl an element type: a blanket impl for `[T; N]` would overlap with that for nested arrays
macro_rules! from_arrays {
    ($($t:ty),*) => {$(
        impl<const N: usize> From<[$t; N]> for Tensor {
            /// A vector.
            fn from(data: [$t; N]) -> Tensor {
                Tensor::from_slice([N], &data)
            }
        }
        impl<const N: usize, const M: usize> From<[[$t; M]; N]> for Tensor {
            /// A matrix of `N` rows.
            fn from(rows: [[$t; M]; N]) -> Tensor {
                Tensor::from_slice([N, M], rows.as_flattened())
            }
        }
    )*};
}
from_arrays!(bool, i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64, Complex<f32>, Complex<f64>);

impl<T: Element> TryFrom<&Tensor> for Vec<T> {
    type Error = Error;
    /// The elements in row-major order; see [`Tensor::to_vec`].
    fn try_from(t: &Tensor) -> Result<Vec<T>> {
        t.to_vec()
    }
}

/// A shape argument: `[2, 3]`, `&shape`, a `Vec`; where a shape is asked of existing elements, -1 stands for what is left.
pub trait IntoShape {
    /// The axis lengths.
    fn dims(&self) -> Vec<i64>;
}

macro_rules! shapes {
    ($($t:ty),*) => {$(
        impl<const N: usize> IntoShape for [$t; N] {
            fn dims(&self) -> Vec<i64> { self.iter().map(|&d| d as i64).collect() }
        }
        impl IntoShape for &[$t] {
            fn dims(&self) -> Vec<i64> { self.iter().map(|&d| d as i64).collect() }
        }
        impl IntoShape for Vec<$t> {
            fn dims(&self) -> Vec<i64> { self.iter().map(|&d| d as i64).collect() }
        }
        impl IntoShape for &Vec<$t> {
            fn dims(&self) -> Vec<i64> { self.iter().map(|&d| d as i64).collect() }
        }
    )*};
}
shapes!(i32, i64, usize);

impl IntoShape for () {
    fn dims(&self) -> Vec<i64> {
        Vec::new()
    }
}

/// A shape in which no axis may be negative.
pub(crate) fn plain_shape(op: &str, shape: impl IntoShape) -> Result<Shape> {
    let dims = shape.dims();
    dims.iter()
        .map(|&d| {
            usize::try_from(d).map_err(|_| Error::user(op, format!("axis lengths {dims:?} must not be negative")))
        })
        .collect()
}

impl Tensor {
    /// An array of these elements, row-major. The number of elements must be the product of `shape`.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let t = Tensor::from_slice([2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    /// assert_eq!(t.shape(), [2, 2]);
    /// ```
    #[track_caller]
    pub fn from_slice<T: Element>(shape: impl IntoShape, data: &[T]) -> Tensor {
        let loc = Loc::caller();
        let shape = match plain_shape("from_slice", shape) {
            Ok(s) => s,
            Err(e) => return Tensor::failed(e.at(&loc)),
        };
        let ty = Type { dtype: T::DTYPE, shape };
        let count = ty.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count != Some(data.len()) {
            return Tensor::failed(
                Error::user("from_slice", format!("{} elements do not make {ty}", data.len())).at(&loc),
            );
        }
        Tensor::created(ty, Arc::new(Buffer::from_slice(data)))
    }

    /// A vector of these elements.
    #[track_caller]
    pub fn from_vec<T: Element>(data: Vec<T>) -> Tensor {
        Tensor::from_slice([data.len()], &data)
    }

    /// An array of `dtype` full of `value`.
    #[track_caller]
    pub fn full(shape: impl IntoShape, value: impl Scalar, dtype: DType) -> Tensor {
        let loc = Loc::caller();
        match plain_shape("full", shape) {
            Ok(shape) => full_at(&Type { dtype, shape }, value.to_f64(), &loc),
            Err(e) => Tensor::failed(e.at(&loc)),
        }
    }

    /// f32 zeros.
    #[track_caller]
    pub fn zeros(shape: impl IntoShape) -> Tensor {
        Tensor::full(shape, 0.0, DType::F32)
    }

    /// f32 ones.
    #[track_caller]
    pub fn ones(shape: impl IntoShape) -> Tensor {
        Tensor::full(shape, 1.0, DType::F32)
    }

    /// Zeros of this tensor's type.
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        self.full_like(0.0)
    }

    /// Ones of this tensor's type.
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        self.full_like(1.0)
    }

    /// An array of this tensor's type full of `value`.
    #[track_caller]
    pub fn full_like(&self, value: impl Scalar) -> Tensor {
        match self.check() {
            Err(e) => Tensor::failed(e),
            Ok(()) => full_at(self.ty_ref(), value.to_f64(), &Loc::caller()),
        }
    }

    /// `0, 1, .., n - 1` (i32).
    #[track_caller]
    pub fn arange(n: usize) -> Tensor {
        Tensor::iota([n], 0, DType::I32)
    }

    /// `0, 1, 2, ..` along `axis` and constant along the others.
    #[track_caller]
    pub fn iota(shape: impl IntoShape, axis: usize, dtype: DType) -> Tensor {
        let loc = Loc::caller();
        match plain_shape("iota", shape) {
            Ok(shape) => apply(Op::Iota { dtype, shape, axis }, &[], &loc),
            Err(e) => Tensor::failed(e.at(&loc)),
        }
    }
}

pub(crate) fn scalar_at(dtype: DType, value: f64, loc: &Loc) -> Tensor {
    if crate::trace::active() {
        return apply(Op::Constant { value: Literal::scalar(dtype, value) }, &[], loc);
    }
    let l = Literal::scalar(dtype, value);
    Tensor::from_buffer(l.ty().clone(), Arc::new(Buffer::from_bytes(l.bytes())))
}

pub(crate) fn full_at(ty: &Type, value: f64, loc: &Loc) -> Tensor {
    let s = scalar_at(ty.dtype, value, loc);
    apply(Op::Broadcast { shape: ty.shape.clone(), dims: Shape::new() }, &[&s], loc)
}
