//! Runs compiled programs. There is no compiler in this crate: what it runs was compiled in this process by
//! `gradloom-backends`, or before, into an object file that is linked in ([`Object`], [`object!`]).
//!
//! A program that deploys a model depends on this crate alone, or links `libgradloom_runtime.a` into C.

mod buffer;
mod control;
mod functions;
mod host;
mod kernel;
mod object;
mod prepared;
mod profile;
mod program;
mod run;

pub use buffer::{ALIGN, Buffer};
pub use control::{Carry, Control, Rows};
pub use functions::{functions, symbol};
pub use gradloom_ir::{DType, Error, Literal, Result, Type};
pub use host::HostCall;
pub use kernel::{Kernel, KernelFn, KernelId, PARALLEL_COST, is_parallel};
pub use object::{Contents, Model, Object, VERSION, missing_feature};
pub use prepared::Prepared;
pub use profile::{Ceilings, Profile, StepProfile};
pub use program::{Frame, Lent, Program, Slot, Step};
pub use run::{Cost, CpuProgram, Outputs};
