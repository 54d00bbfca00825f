//! Loop nests: the kernel IR between clusters of ops and machine code.
//!
//! A [`LoopNest`] is a perfect nest of loops over `axes`. At every point it evaluates `body`, a list of scalar
//! instructions. Without reduce axes the stores write body values at every point. With reduce axes each
//! [`Reduction`] combines a body value over them, then `epilogue` is evaluated once per point of the parallel axes
//! and the stores write its values. All memory access is affine in the loop indices.
//!
//! The kernel IR knows no machine: Cranelift lowers it for the CPU, and [`interpret`] runs it as it reads.
//!
//! What is true of every loop nest ([`LoopNest::verify`]):
//! 1. parallel axes come first, then reduce axes; the number of points and every affine function fit an i64;
//! 2. an instruction uses only earlier values; epilogue instructions use only epilogue values and accumulators,
//!    and their loads have stride 0 on reduce axes;
//! 3. operand dtypes fit the instruction as the op table says;
//! 4. with reduce axes every store takes an epilogue value, without them there is no epilogue and no reduction;
//! 5. stores have stride 0 on reduce axes, and no two points store to the same element;
//! 6. no access leaves its buffer (checked against `Param::len`).
//!
//! Two params may be the same memory (an operation in place) only if one of them is only loaded, at every point at
//! the element which the point stores.

mod custom;
mod interpret;
mod print;
mod recurrence;
mod simplify;
mod types;
mod verify;
mod widen;

pub use custom::{evaluate, of_primitive};
pub use interpret::interpret;
pub(crate) use interpret::{Cell, cell, element, padded, scalar};
pub use recurrence::{Carried, Recurrence, Steps};
pub(crate) use types::{combiner, dtype_of_op, identity};

use gradloom_ir::{Binary, Comparison, DType, Literal, ReduceKind, Unary};
use smallvec::SmallVec;

/// A loop of a nest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Axis {
    /// Number of iterations.
    pub extent: usize,
    /// Whether reductions combine over this axis.
    pub reduce: bool,
}

/// An affine function of the loop indices: `offset + sum(strides[i] * index[i])`, in elements.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Affine {
    /// Value at the origin.
    pub offset: i64,
    /// One factor an axis of the nest.
    pub strides: SmallVec<[i64; 6]>,
}

/// A buffer the kernel is called with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Param {
    /// Element type; a bool is one byte, 0 or 1.
    pub dtype: DType,
    /// Number of elements.
    pub len: usize,
}

/// A scalar value of the nest: its number counts through `body`, then `epilogue`.
pub type Val = u32;

/// One scalar instruction. Semantics are those of the IR's ops of the same names ([`gradloom_ir::eval`]).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Inst {
    /// A constant (a scalar literal).
    Const(Literal),
    /// The element of `params[param]` at `at`.
    Load {
        /// Position in [`LoopNest::params`].
        param: u32,
        /// Which element.
        at: Affine,
    },
    /// The value of an affine function of the loop indices, as `dtype`.
    Index {
        /// Result dtype.
        dtype: DType,
        /// The function.
        at: Affine,
    },
    /// An elementwise function.
    Unary(Unary, Val),
    /// An elementwise function of two values.
    Binary(Binary, Val, Val),
    /// A comparison; the result is bool.
    Compare(Comparison, Val, Val),
    /// `pred ? on_true : on_false`
    Select(Val, Val, Val),
    /// To another dtype.
    Convert(DType, Val),
    /// Same bits, other dtype of the same size.
    Bitcast(DType, Val),
    /// One lane of threefry-2x32 on `(key0, key1, count0, count1)`.
    Threefry(u8, [Val; 4]),
    /// The finished reduction number `.0`; only in the epilogue.
    Acc(u32),
}

/// Combines a body value over all reduce axes, starting from the kind's identity.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reduction {
    /// How values combine.
    pub kind: ReduceKind,
    /// The body value.
    pub value: Val,
}

/// Writes a value to `params[param]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Store {
    /// Position in [`LoopNest::params`].
    pub param: u32,
    /// The value.
    pub value: Val,
    /// Which element.
    pub at: Affine,
}

/// A perfect nest of loops around scalar code.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LoopNest {
    /// Name for dumps and profiles.
    pub name: String,
    /// The buffers, read ones and written ones.
    pub params: Vec<Param>,
    /// The loops, outermost first; parallel ones before reduce ones.
    pub axes: Vec<Axis>,
    /// Evaluated at every point.
    pub body: Vec<Inst>,
    /// Combined over the reduce axes.
    pub reductions: Vec<Reduction>,
    /// Evaluated once per point of the parallel axes, after the reductions.
    pub epilogue: Vec<Inst>,
    /// What is written.
    pub stores: Vec<Store>,
}

impl Affine {
    /// The value at a point.
    pub fn at(&self, index: &[usize]) -> i64 {
        self.strides.iter().zip(index).fold(self.offset, |sum, (s, i)| sum + s * *i as i64)
    }

    /// Least and greatest value over the box of `extents`, all of which are at least 1.
    pub fn range(&self, extents: impl Iterator<Item = usize>) -> (i128, i128) {
        let (mut low, mut high) = (i128::from(self.offset), i128::from(self.offset));
        for (s, n) in self.strides.iter().zip(extents) {
            let reach = i128::from(*s) * (n as i128 - 1);
            if reach < 0 {
                low += reach;
            } else {
                high += reach;
            }
        }
        (low, high)
    }
}

impl Inst {
    /// The values the instruction uses.
    pub fn operands(&self) -> SmallVec<[Val; 4]> {
        match self {
            Inst::Const(_) | Inst::Load { .. } | Inst::Index { .. } | Inst::Acc(_) => SmallVec::new(),
            Inst::Unary(_, x) | Inst::Convert(_, x) | Inst::Bitcast(_, x) => SmallVec::from_slice(&[*x]),
            Inst::Binary(_, x, y) | Inst::Compare(_, x, y) => SmallVec::from_slice(&[*x, *y]),
            Inst::Select(p, x, y) => SmallVec::from_slice(&[*p, *x, *y]),
            Inst::Threefry(_, args) => SmallVec::from_slice(args),
        }
    }

    /// The affine function of a load or an index.
    pub fn affine(&self) -> Option<&Affine> {
        match self {
            Inst::Load { at, .. } | Inst::Index { at, .. } => Some(at),
            _ => None,
        }
    }

    /// The affine function of a load or an index, to be changed.
    pub fn affine_mut(&mut self) -> Option<&mut Affine> {
        match self {
            Inst::Load { at, .. } | Inst::Index { at, .. } => Some(at),
            _ => None,
        }
    }
}

impl LoopNest {
    /// Instruction number `v`, through `body`, then `epilogue`.
    pub fn inst(&self, v: Val) -> &Inst {
        let v = v as usize;
        self.body.get(v).unwrap_or_else(|| &self.epilogue[v - self.body.len()])
    }

    /// All instructions in the order of their numbers.
    pub fn insts(&self) -> impl Iterator<Item = &Inst> {
        self.body.iter().chain(&self.epilogue)
    }

    /// Arithmetic operations of all points: one for each elementwise function, and for each value that is combined.
    pub fn flops(&self) -> u64 {
        let points = |reduce: bool| {
            let extents = self.axes.iter().filter(|a| reduce || !a.reduce).map(|a| a.extent as u64);
            extents.fold(1u64, u64::saturating_mul)
        };
        let arithmetic =
            |insts: &[Inst]| insts.iter().filter(|i| matches!(i, Inst::Unary(..) | Inst::Binary(..))).count() as u64;
        let each = arithmetic(&self.body) + self.reductions.len() as u64;
        let after = points(false).saturating_mul(arithmetic(&self.epilogue));
        points(true).saturating_mul(each).saturating_add(after)
    }

    /// How many axes are parallel; they come first.
    pub fn parallel(&self) -> usize {
        self.axes.iter().filter(|a| !a.reduce).count()
    }
}
