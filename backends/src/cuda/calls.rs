//! Ops that NVIDIA's libraries compute.

use super::gpu::{Gpu, Queue};
use crate::grid::{Address, Call, Libraries};
use gradloom_ir::{Error, Op, Result, Type};

/// The libraries that a GPU's machine has.
pub(super) struct OfGpu(pub(super) &'static Gpu);

impl Libraries for OfGpu {
    fn takes(&self, _: &Op, _: &[Type], _: &[Type]) -> Result<Option<usize>> {
        Ok(None)
    }
}

/// A call, ready to be queued.
pub(super) struct LibraryCall {}

impl LibraryCall {
    pub(super) fn new(_: &'static Gpu, call: &Call) -> Result<LibraryCall> {
        Err(Error::internal(call.op.name(), "no library was to compute it"))
    }

    pub(super) fn queue(&self, _: &Gpu, _: &mut Queue, _: &[Address]) -> Result<()> {
        Ok(())
    }
}
