//! Ops as calls of numerical libraries, with the kernels that lay their operands out before and their results after.
//!
//! A [`Routine`] is what a library computes: on dense arrays whose layout it names, in the order of the machine's queue, with no
//! word of the library itself. [`plans`] gives for an op the routines and kernels that compute it; whether a machine has a library
//! for them is asked of its [`super::Libraries`], and only where it takes all of them they are called.

mod convolution;
mod fourier;
mod layer;
mod linear;
mod product;

pub use convolution::{Convolution, Direction};
pub use layer::Layer;
pub use linear::{Linear, Method, SMALL, Vectors};

use super::GridKernel;
use super::ops::Operand;
use gradloom_ir::{DType, FftKind, Op, Result, Type};
use smallvec::SmallVec;

/// What a library computes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Routine {
    /// Products of matrices; on the left factors, the right factors, the results and, if there are some, the biases.
    Product(Product),
    /// Fourier transforms; on the operand and the result. The operand of an inverse to real numbers may be overwritten.
    Transform(Transform),
    /// Convolutions; on the two arrays that are read, then on that which is written.
    Convolution(Convolution),
    /// Linear algebra; on what the method says.
    Linear(Linear),
}

/// `result[b] = left[b] right[b]` for each `b` of a batch, and what the epilogue makes of it. The results are dense, row after row.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Product {
    /// Of factors and result. 16-bit floats are added up as f32.
    pub dtype: DType,
    /// How many products.
    pub batch: usize,
    /// Rows of the left factor.
    pub rows: usize,
    /// Columns of the right factor.
    pub columns: usize,
    /// Columns of the left factor, rows of the right one; not 0.
    pub depth: usize,
    /// `rows` by `depth`.
    pub left: Factor,
    /// `depth` by `columns`.
    pub right: Factor,
    /// What is done to each number before it is stored.
    pub epilogue: Epilogue,
    /// What the addresses of left, right and result are multiples of, in bytes.
    pub alignment: [usize; 3],
}

/// What is done to each number of a product, in the dtype in which it was added up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Epilogue {
    /// Adds a number to each column.
    pub bias: Option<Bias>,
    /// Then makes 0 of what is not above it; NaN stays NaN.
    pub relu: bool,
}

/// Numbers that are added to the columns of products, side by side, of the products' dtype.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bias {
    /// Elements from the numbers for one product of the batch to those for the next; 0 if they are the same.
    pub batch: usize,
    /// What their address is a multiple of, in bytes.
    pub alignment: usize,
}

/// How a factor of a product lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Factor {
    /// Whether it lies column after column; else row after row.
    pub by_columns: bool,
    /// Elements from the beginning of a row (column) to that of the next.
    pub leading: usize,
    /// Elements from a matrix of the batch to the next.
    pub batch: usize,
}

/// Fourier transforms of dense arrays, one after the other, without any factor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Transform {
    /// Which; an inverse to real numbers reads a half spectrum whose own elements are those of real numbers.
    pub kind: FftKind,
    /// Of the real and imaginary parts: f32 or f64.
    pub dtype: DType,
    /// At most three; of the real numbers where there are such.
    pub lengths: SmallVec<[usize; 3]>,
    /// How many arrays.
    pub batch: usize,
}

/// An op whose operands and results have these types and lie at multiples of these numbers of bytes.
pub struct Site<'a> {
    /// The op.
    pub op: &'a Op,
    /// What it reads: each as it lies in memory.
    pub args: &'a [Type],
    /// What it writes.
    pub results: &'a [Type],
    /// The alignment of each operand, then of each result.
    pub alignment: Vec<usize>,
}

/// Kernels and routines that compute an op, in order.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What runs, and on which buffers.
    pub steps: Vec<(Does, Vec<Operand>)>,
    /// Bytes of each piece of scratch memory.
    pub scratch: Vec<usize>,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub enum Does {
    /// A launch; a buffer a param.
    Kernel(GridKernel),
    /// A call; its buffers in the order that the routine names.
    Routine(Routine),
}

impl Routine {
    /// How many calls are queued for it, at most; `None` if the library may wait for the machine, so that queued work cannot be
    /// captured.
    pub fn queued(&self) -> Option<usize> {
        match self {
            Routine::Product(_) | Routine::Transform(_) | Routine::Convolution(_) => Some(1),
            Routine::Linear(l) => l.what.is_queued().then_some(l.batch),
        }
    }
}

impl Plan {
    fn kernel(&mut self, kernel: GridKernel, buffers: Vec<Operand>) {
        self.steps.push((Does::Kernel(kernel), buffers));
    }

    fn routine(&mut self, routine: Routine, buffers: Vec<Operand>) {
        self.steps.push((Does::Routine(routine), buffers));
    }

    /// Scratch memory of its own.
    fn take(&mut self, bytes: usize) -> Operand {
        self.scratch.push(bytes);
        Operand::Scratch(self.scratch.len() - 1)
    }

    /// The routines.
    pub fn routines(&self) -> impl Iterator<Item = &Routine> {
        self.steps.iter().filter_map(|(does, _)| match does {
            Does::Routine(r) => Some(r),
            Does::Kernel(_) => None,
        })
    }
}

/// How libraries compute an op, best first; nothing if none has a form of it.
///
/// # Errors
/// An array that is larger than one kernel takes.
pub fn plans(site: &Site) -> Result<Vec<Plan>> {
    let plan = match site.op {
        Op::DotGeneral { .. } => product::dot_general(site)?,
        Op::Convolution { .. } => return convolution::convolution(site),
        Op::Fft { .. } => fourier::fft(site)?,
        gradloom_ir::linalg_ops!() => linear::linear(site)?,
        _ => None,
    };
    Ok(plan.into_iter().collect())
}
