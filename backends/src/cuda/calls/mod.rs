//! Routines that NVIDIA's libraries compute.
//!
//! Each library is loaded, and its handle made, when a program first asks for it; what was made ready for a routine is kept by
//! the GPU. All work goes to the queue's stream, in memory that the program hands over, and what may go wrong in it is written
//! down on the GPU: nothing here waits.

mod blas;
mod convolution;
mod fourier;
mod pointers;
mod product;
mod settings;
mod solver;
mod trial;
mod tuning;

pub use settings::{
    ProductPrecision, deterministic_products, product_precision, set_deterministic_products, set_product_precision,
};

use super::gpu::{Gpu, Queue};
use crate::grid::library::{Method, Routine};
use crate::grid::{Address, Call, Libraries};
use gradloom_ir::{Error, Result};
use std::sync::{Arc, Mutex};

/// The libraries in use on a GPU, and what they have made ready.
#[derive(Default)]
pub(super) struct Handles {
    products: Mutex<product::Products>,
    convolutions: Mutex<convolution::Convolutions>,
    transforms: Mutex<fourier::Transforms>,
    solver: Mutex<solver::Solver>,
    blas: Mutex<Option<blas::Handle>>,
}

/// The libraries of a GPU, as they are set while a program is compiled.
pub(super) struct OfGpu {
    gpu: &'static Gpu,
    precision: ProductPrecision,
}

impl OfGpu {
    pub(super) fn new(gpu: &'static Gpu) -> OfGpu {
        OfGpu { gpu, precision: product_precision() }
    }

    fn find(&self, routine: &Routine) -> Result<Option<LibraryCall>> {
        Ok(match routine {
            Routine::Product(p) => product::ready(self.gpu, p, self.precision)?.map(LibraryCall::Product),
            Routine::Convolution(c) => convolution::ready(self.gpu, c, self.precision)?.map(LibraryCall::Convolution),
            Routine::Transform(t) => Some(LibraryCall::Transform(fourier::ready(self.gpu, t)?)),
            Routine::Linear(l) => Some(match l.what {
                Method::Solve { .. } | Method::SmallLu { .. } => LibraryCall::Blas(blas::ready(self.gpu, l)?),
                _ => LibraryCall::Solver(solver::ready(self.gpu, l)?),
            }),
        })
    }

    /// What was made ready for a call.
    ///
    /// # Errors
    /// If no library computes it.
    pub(super) fn ready(&self, call: &Call) -> Result<LibraryCall> {
        self.find(&call.routine)?.ok_or_else(|| Error::internal(call.op, "no library was to compute it"))
    }
}

impl Libraries for OfGpu {
    fn takes(&self, routine: &Routine) -> Result<Option<usize>> {
        Ok(self.find(routine)?.map(|call| call.workspace()))
    }
}

/// A call, ready to be queued.
pub(super) enum LibraryCall {
    Product(Arc<product::Ready>),
    Convolution(Arc<convolution::Ready>),
    Transform(Arc<fourier::Ready>),
    Blas(blas::Ready),
    Solver(Arc<solver::Ready>),
}

impl LibraryCall {
    /// Bytes of scratch memory.
    fn workspace(&self) -> usize {
        match self {
            LibraryCall::Product(p) => p.workspace(),
            LibraryCall::Convolution(c) => c.workspace(),
            LibraryCall::Transform(t) => t.workspace(),
            LibraryCall::Blas(b) => b.workspace(),
            LibraryCall::Solver(s) => s.workspace(),
        }
    }

    /// Queues it on the buffers of its routine, then its scratch memory.
    pub(super) fn queue(&self, queue: &Queue, buffers: &[Address]) -> Result<()> {
        let stream = queue.stream;
        match self {
            LibraryCall::Product(p) => p.queue(queue, buffers),
            LibraryCall::Convolution(c) => c.queue(stream, buffers),
            LibraryCall::Transform(t) => t.queue(stream, buffers),
            LibraryCall::Blas(b) => b.queue(stream, buffers),
            LibraryCall::Solver(s) => s.queue(stream, buffers),
        }
    }
}
