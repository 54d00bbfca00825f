//! Tables of addresses, for functions that take each matrix of a batch by its own. They are written on the GPU, so that captured
//! work needs nothing of the host's.

use crate::cuda::gpu::{Gpu, driver_error};
use crate::cuda::modules::{Function, param};
use crate::grid::{ALIGNMENT, Address};
use cudarc::driver::sys::CUstream;
use gradloom_ir::Result;

/// Threads of a block.
const THREADS: u32 = 256;

const TEXT: &str = r#"extern "C" __global__ void address_table(unsigned long long first, unsigned long long step, unsigned long long* table, unsigned int count) {
    const unsigned int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) table[i] = first + i * step;
}
"#;

/// The kernel that writes tables.
#[derive(Clone, Copy)]
pub(super) struct Tables(Function);

impl Tables {
    pub(super) fn new(gpu: &Gpu) -> Result<Tables> {
        gpu.function("address_table", TEXT).map(Tables)
    }

    /// Bytes of a table.
    pub(super) fn bytes(count: usize) -> usize {
        (count * size_of::<Address>()).next_multiple_of(ALIGNMENT)
    }

    /// Queues the writing of `count` addresses, `step` bytes apart.
    ///
    /// # Safety
    /// There is room for the table at `table`.
    pub(super) unsafe fn write(
        self,
        stream: CUstream,
        table: Address,
        first: Address,
        step: usize,
        count: usize,
    ) -> Result<()> {
        let (step, count) = (step as u64, count as u32);
        let mut params = [param(&first), param(&step), param(&table), param(&count)];
        let blocks = count.div_ceil(THREADS);
        // SAFETY: the params are those of the kernel, which writes `count` addresses, for which the caller has room.
        unsafe { self.0.launch(blocks, THREADS, stream, &mut params) }
            .map_err(|e| driver_error("a table of addresses cannot be written", e))
    }
}
