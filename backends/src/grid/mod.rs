//! Grid kernels: the IR between loop nests and CUDA C.
//!
//! A [`GridKernel`] says what every thread of a grid of blocks does: scalar code on registers, structured control flow,
//! memory that the threads of a block share, barriers, and exchanges within a warp of [`WARP`] threads.
//! [`lower`] distributes a loop nest over such a grid. [`crate::cuda::source`] prints one as CUDA C; [`emulate`] runs it on
//! this machine and refuses what a GPU would not forgive: races, barriers that not all threads reach, accesses outside
//! of an array, registers and shared memory read before they are written.
//!
//! ```
//! use gradloom_backends::cuda::source;
//! use gradloom_backends::grid::compile;
//! let program = compile(&gradloom_ir::parse("graph(%0: f32[512,64]) {
//!     %1 = reduce(%0) {kind = \"max\", axes = [1]} : f32[512]
//!     return %1
//! }")?)?;
//! // a warp a row, eight rows a block
//! assert_eq!((program.kernels[0].blocks, program.kernels[0].threads), (64, 256));
//! assert!(source(&program.kernels[0])?.text.contains("__shfl_xor_sync"));
//! # Ok::<(), gradloom_ir::Error>(())
//! ```
//!
//! What is true of every grid kernel ([`GridKernel::verify`]): each instruction's operands have the dtypes of the op
//! table, loads and stores those of their array, indices are u32 or u64, conditions are bool; a block has at most 1024 threads and
//! [`SHARED`] bytes.

mod absorb_epilogues;
mod build;
mod compile;
mod emulate;
mod emulator;
pub mod library;
mod lower;
mod nest;
pub mod ops;
mod program;
mod recurrence;
mod rows;
mod tiles;

mod verify;

pub use absorb_epilogues::absorb_epilogues;
pub use build::Build;
pub use compile::{Fusing, ROWS, compile, compile_with, loop_nests};
pub use emulate::emulate;
pub use emulator::{Emulator, run_emulated, run_program};
pub use lower::{Schedule, lower, schedule};
pub use program::{ALIGNMENT, Address, Call, GridProgram, KernelCost, Libraries, Machine, NoLibraries};
pub use recurrence::lower_recurrence;
pub(crate) use tiles::has_product_to_tile;
pub use tiles::{Tiling, tile_products};

use crate::kernel::{Inst, Param};
use gradloom_ir::{DType, Error, ReduceKind, Result};
use smallvec::SmallVec;

/// Threads that run in step and exchange registers.
pub const WARP: u32 = 32;

/// Bytes of shared memory that every GPU gives a block.
pub const SHARED: usize = 48 << 10;

/// Rows of the left factor and of the sums of [`Stmt::Multiply`].
pub const MULTIPLY_ROWS: usize = 16;

/// Columns of the right factor and of the sums of [`Stmt::Multiply`].
pub const MULTIPLY_COLUMNS: usize = 8;

/// Bits of an f32 that tensor cores do not read.
pub const TF32_IGNORED: u32 = 13;

/// A register of a thread, by its position in [`GridKernel::registers`].
pub type Reg = u32;

/// An array that all threads see, or all of a block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Memory {
    /// A buffer the kernel is called with, by its position in [`GridKernel::params`].
    Param(u32),
    /// An array of the block, by its position in [`GridKernel::shared`].
    Shared(u32),
}

/// What a register is set to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// A scalar instruction on registers: any but loads, indices and accumulators.
    Scalar(Inst),
    /// Another register.
    Copy(Reg),
    /// The number of the block in the grid (u32).
    Block,
    /// The number of the thread in its block (u32).
    Thread,
    /// The register `of` in the thread of the same warp whose number differs by exclusive or with `xor`.
    Exchange {
        /// The register.
        of: Reg,
        /// Below [`WARP`].
        xor: u32,
    },
}

/// What a thread does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Stmt {
    /// Sets a register.
    Set(Reg, Source),
    /// Reads consecutive elements; of 2, 4, 8 or 16, the first is at a multiple of as many.
    Load {
        /// One register an element.
        to: SmallVec<[Reg; 4]>,
        /// The array.
        from: Memory,
        /// The first element.
        at: Reg,
    },
    /// Writes consecutive elements, as [`Stmt::Load`] reads them.
    Store {
        /// The array.
        to: Memory,
        /// The first element.
        at: Reg,
        /// One register an element.
        values: SmallVec<[Reg; 4]>,
    },
    /// Combines a value into an element, as one step for all threads.
    Atomic {
        /// How.
        kind: ReduceKind,
        /// The array.
        to: Memory,
        /// The element.
        at: Reg,
        /// The value.
        value: Reg,
    },
    /// Runs `body` with `counter` going from `from` while it is below `to`, by `step`.
    For {
        /// Set in every round.
        counter: Reg,
        /// The first value.
        from: Reg,
        /// The end.
        to: Reg,
        /// What is added; not 0.
        step: Reg,
        /// What is done.
        body: Vec<Stmt>,
    },
    /// Runs one of two.
    If {
        /// A bool.
        condition: Reg,
        /// If it is true.
        then: Vec<Stmt>,
        /// If it is false.
        otherwise: Vec<Stmt>,
    },
    /// Multiplies two matrices that the threads of a warp hold together, as tensor cores do, and adds the product to `sums`.
    ///
    /// The left one has [`MULTIPLY_ROWS`] rows and the right one [`MULTIPLY_COLUMNS`] columns; they have 16 terms of 16-bit floats, or 8
    /// of f32, whose last [`TF32_IGNORED`] bits are 0. Of lane `l`, with `g = l / 4` and `t = l % 4`, `sums` are
    /// the elements `(g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1)`. `left` of 16-bit floats are, in pairs of neighbours, `(g, 2t ..)`,
    /// `(g+8, 2t ..)`, `(g, 2t+8 ..)`, `(g+8, 2t+8 ..)`, and `right` `(2t .., g)` and `(2t+8 .., g)`; `left` of f32 are `(g, t)`, `(g+8, t)`,
    /// `(g, t+4)`, `(g+8, t+4)`, and `right` `(t, g)` and `(t+4, g)`: the fragments of `mma.sync` of shape m16n8k16 and m16n8k8 in the manual of PTX.
    Multiply {
        /// f32; read and written.
        sums: [Reg; 4],
        /// 8 16-bit floats or 4 f32.
        left: SmallVec<[Reg; 8]>,
        /// 4 16-bit floats or 2 f32.
        right: SmallVec<[Reg; 4]>,
    },
    /// Waits for all threads of the block; what they wrote before is there after.
    Barrier,
}

/// A kernel for a grid of blocks of threads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GridKernel {
    /// Name for dumps and profiles.
    pub name: String,
    /// The buffers, as those of the loop nest it was made of.
    pub params: Vec<Param>,
    /// Arrays of each block.
    pub shared: Vec<Param>,
    /// Number of blocks.
    pub blocks: u32,
    /// Threads in a block; a multiple of [`WARP`].
    pub threads: u32,
    /// The dtype of each register.
    pub registers: Vec<DType>,
    /// What each thread does.
    pub body: Vec<Stmt>,
}

/// As many blocks as `count` points take at `each` a block.
fn blocks(name: &str, count: usize, each: usize) -> Result<u32> {
    let blocks = u32::try_from(count.div_ceil(each)).ok().filter(|&n| n < 1 << 31);
    blocks.ok_or_else(|| {
        Error::limit(name, format!("{count} points are more than one kernel of a GPU takes"))
            .help("cut the largest array into parts")
    })
}

impl GridKernel {
    /// Bytes of shared memory that a block takes.
    pub fn shared_bytes(&self) -> usize {
        self.shared.iter().map(|s| (s.len * s.dtype.size()).next_multiple_of(16)).sum()
    }
}
