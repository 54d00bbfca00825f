//! The type of a value: dtype and static shape.

use crate::DType;
use smallvec::SmallVec;
use std::fmt;

/// Axis lengths, outermost first. Arrays are dense and row-major.
pub type Shape = SmallVec<[usize; 6]>;

/// Dtype and static shape of a value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Type {
    /// Element type.
    pub dtype: DType,
    /// Axis lengths, outermost first; empty for a scalar.
    pub shape: Shape,
}

impl Type {
    /// The type of arrays of `dtype` with axis lengths `shape`.
    pub fn new(dtype: DType, shape: &[usize]) -> Type {
        Type { dtype, shape: Shape::from_slice(shape) }
    }

    /// The type of a scalar.
    pub fn scalar(dtype: DType) -> Type {
        Type { dtype, shape: Shape::new() }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements; 1 for a scalar, 0 when an axis is empty.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes the array takes in memory.
    pub fn bytes(&self) -> usize {
        self.numel() * self.dtype.size()
    }

    /// The index, one number an axis, of the element at this row-major position.
    pub fn index_of(&self, mut position: usize) -> Vec<usize> {
        let mut index = vec![0; self.rank()];
        for (i, &n) in index.iter_mut().zip(&self.shape).rev() {
            *i = position % n.max(1);
            position /= n.max(1);
        }
        index
    }

    /// Same shape, other dtype.
    pub fn with_dtype(&self, dtype: DType) -> Type {
        Type { dtype, shape: self.shape.clone() }
    }

    /// Same dtype, other shape.
    pub fn with_shape(&self, shape: &[usize]) -> Type {
        Type::new(self.dtype, shape)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, n) in self.shape.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{n}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Row-major strides, in elements, of a dense array of this shape.
pub fn row_major_strides(shape: &[usize]) -> Shape {
    let mut strides = Shape::from_elem(1, shape.len());
    for i in (0..shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * shape[i + 1];
    }
    strides
}
