//! 512-bit code for x64 processors with AVX-512.
//!
//! Cranelift's vectors have 128 bits. Where all lanes of a nest can step along memory together this module writes the
//! whole kernel itself: every value is a vector (one that does not vary holds the same number in all lanes), a last
//! partial vector is done under a mask, and a loop keeps a pointer for each way in which memory is walked. What has no
//! form here is left to Cranelift: [`compile`] gives `None`.

mod asm;
mod block;
mod emit;
mod fill;
mod lanes;
mod listing;
mod loops;
mod lower;
mod streams;

pub(super) use listing::listing;

use super::plan::Plan;
use cranelift_codegen::isa::TargetIsa;
use gradloom_ir::{Error, Result};

/// Most accumulators of a kernel: half of the vector registers.
pub(super) const MAX_ACCUMULATORS: usize = 16;
/// Most bytes of stack that a kernel uses.
const MAX_FRAME: usize = 1 << 15;
/// Alignment that the code needs.
pub(super) const ALIGN: u64 = asm::VECTOR as u64;

/// Whether this processor runs the code, and functions are called as the code expects.
pub(super) fn is_supported(isa: &dyn TargetIsa) -> bool {
    #[cfg(all(target_arch = "x86_64", unix))]
    {
        isa.name() == "x64"
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi2")
    }
    #[cfg(not(all(target_arch = "x86_64", unix)))]
    {
        let _ = isa;
        false
    }
}

/// The machine code of a wide plan, a [`super::KernelFn`]; `None` if an instruction has no wide form.
pub(super) fn compile(plan: &Plan) -> Result<Option<Vec<u8>>> {
    let Some(function) = loops::Function::new(plan) else { return Ok(None) };
    let Some(asm) = function.write().filter(|asm| asm.frame_bytes() <= MAX_FRAME) else { return Ok(None) };
    asm.finish().map(Some).map_err(|e| Error::internal("codegen", format!("{e} in\n{}", plan.nest)))
}
