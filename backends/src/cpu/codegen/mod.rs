//! Machine code for loop nests, by Cranelift.
//!
//! A kernel computes exactly what [`crate::kernel::interpret`] computes, bit for bit, but for the order in which sums
//! and products of floats combine (and that a sum of products may use fused multiply-adds). It does so for any
//! partition of its split loop.

mod emit;
mod externs;
mod lanes;
mod loops;
mod plan;
mod recurrence;
mod reduce;
mod scalar;
mod vector;
mod wide;

use crate::kernel::{LoopNest, Recurrence};
use cranelift_codegen::ir::{AbiParam, LibCall, Signature, UserFuncName, types};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, isa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Module, default_libcall_names};
use emit::Emitter;
use gradloom_ir::{Error, Result};
pub use gradloom_runtime::{Kernel, KernelFn, KernelId};
use gradloom_runtime::{functions, symbol};
use plan::Plan;
use std::collections::HashMap;

/// Loops of one nest; sets of them are bits of a word.
const MAX_AXES: usize = 60;

/// The text of a kernel's code.
#[derive(Clone, Debug)]
pub enum Listing {
    /// Cranelift's intermediate code, optimised.
    Cranelift(String),
    /// Assembly of x64, of kernels that are written without Cranelift.
    Assembly(String),
}

/// Vector registers that generated code may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vectors {
    /// The widest of the machine: 512 bits with AVX-512.
    Widest,
    /// 128 bits, which every machine has.
    Bits128,
}

/// Where functions go once they are compiled.
pub trait Output {
    /// The module that takes them.
    fn module(&mut self) -> &mut dyn Module;
}

struct Defined {
    func: FuncId,
    listing: Option<Listing>,
    kernel: Kernel,
}

/// Compiles kernels into one block of machine code.
pub struct Codegen<M> {
    output: M,
    context: Context,
    builder_context: FunctionBuilderContext,
    defined: Vec<Defined>,
    known: HashMap<LoopNest, KernelId>,
    has_fma: bool,
    has_wide: bool,
    has_listings: bool,
}

/// Compiles kernels to be run at once.
pub type Jit = Codegen<Memory>;

fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal("codegen", error.to_string())
}

/// The target: the host's processor, in the way that `flags` ask.
pub(super) fn target(builder: isa::Builder, flags: &[(&str, &str)]) -> Result<isa::OwnedTargetIsa> {
    let mut all = settings::builder();
    let verifier = if cfg!(debug_assertions) { "true" } else { "false" };
    for (name, value) in
        [("opt_level", "speed"), ("enable_verifier", verifier), ("unwind_info", "false")].iter().chain(flags)
    {
        all.set(name, value).map_err(internal)?;
    }
    builder.finish(settings::Flags::new(all)).map_err(|e| no_code(&e))
}

/// This machine has no code generator.
pub(super) fn no_code(e: &dyn std::fmt::Display) -> Error {
    Error::limit("codegen", format!("no code for this machine: {e}"))
}

/// The symbols of functions that Cranelift calls where there is no instruction.
pub(super) fn libcall_names() -> Box<dyn Fn(LibCall) -> String + Send + Sync> {
    let names = default_libcall_names();
    Box::new(move |call| symbol(&names(call)))
}

impl Jit {
    /// A compiler for this machine.
    pub fn new() -> Result<Jit> {
        Jit::with_vectors(Vectors::Widest)
    }

    /// A compiler for this machine that uses `vectors`.
    pub fn with_vectors(vectors: Vectors) -> Result<Jit> {
        let native = cranelift_native::builder().map_err(|e| no_code(&e))?;
        let isa = target(native, &[("is_pic", "false"), ("use_colocated_libcalls", "false")])?;
        let mut builder = JITBuilder::with_isa(isa, libcall_names());
        builder.symbols(functions());
        Ok(Codegen::with_output(Memory(Some(JITModule::new(builder))), vectors))
    }

    /// Makes everything defined executable.
    pub fn finish(mut self) -> Result<Code> {
        let module = self.output.0.as_mut().expect("only `drop` takes the module");
        module.finalize_definitions().map_err(internal)?;
        let place = |d: &Defined| {
            let address = module.get_finalized_function(d.func);
            // SAFETY: the address is that of a function which `compile` gave this signature and the machine's
            // default calling convention, that of `extern "C"`.
            let func = unsafe { std::mem::transmute::<*const u8, KernelFn>(address) };
            Kernel { func, ..d.kernel }
        };
        let kernels = self.defined.iter().map(place).collect();
        let listings = self.defined.into_iter().map(|d| d.listing).collect();
        Ok(Code { kernels, listings, _memory: self.output })
    }
}

impl<M: Output> Codegen<M> {
    /// A compiler into `output` that uses `vectors`, if the machine that compiles has them.
    pub(super) fn with_output(mut output: M, vectors: Vectors) -> Codegen<M> {
        let module = output.module();
        let isa = module.isa();
        let has_fma =
            isa.name() != "x64" || isa.isa_flags().iter().any(|f| f.name == "has_fma" && f.as_bool() == Some(true));
        let has_wide = vectors == Vectors::Widest && wide::is_supported(isa);
        Codegen {
            output,
            context: Context::new(),
            builder_context: FunctionBuilderContext::new(),
            defined: Vec::new(),
            known: HashMap::new(),
            has_fma,
            has_wide,
            has_listings: false,
        }
    }

    /// Keeps the text of the code of all kernels, see [`Code::listing`].
    pub fn with_listings(self) -> Codegen<M> {
        Codegen { has_listings: true, ..self }
    }

    /// Compiles a nest, or finds the equal one compiled before.
    pub fn define(&mut self, nest: &LoopNest) -> Result<KernelId> {
        let unnamed = LoopNest { name: String::new(), ..nest.clone() };
        if let Some(id) = self.known.get(&unnamed) {
            return Ok(*id);
        }
        if nest.axes.len() > MAX_AXES {
            let what = format!("kernel {} has {} loops, more than {MAX_AXES}", nest.name, nest.axes.len());
            return Err(Error::limit("codegen", what).help("reshape operands so that fewer axes are left"));
        }
        nest.verify()?;
        let mut plan = Plan::new(nest, nest.dtypes()?, self.has_wide);
        let wide = if plan.wide { wide::compile(&plan)? } else { None };
        let (func, listing) = match wide {
            Some(code) => (self.place(&code)?, self.has_listings.then(|| Listing::Assembly(wide::listing(&code)))),
            None => {
                if plan.wide {
                    plan = Plan::new(nest, nest.dtypes()?, false);
                }
                (self.compile(&plan)?, self.cranelift_listing())
            }
        };
        let split = plan.nest.axes[plan.split].extent;
        let id = self.add(func, listing, split, plan.grain(), &plan);
        self.known.insert(unnamed, id);
        Ok(id)
    }

    /// Compiles a recurrence; its kernel is one part, from 0 to 1.
    pub fn define_recurrence(&mut self, r: &Recurrence) -> Result<KernelId> {
        let plan = Plan::of_recurrence(r)?;
        let func = self.compile_with(&plan, |e, config| e.recurrence(r, config))?;
        let listing = self.cranelift_listing();
        Ok(self.add(func, listing, 1, 1, &plan))
    }

    fn add(&mut self, func: FuncId, listing: Option<Listing>, split: usize, grain: usize, plan: &Plan) -> KernelId {
        let kernel = Kernel { func: Kernel::unplaced(), split, grain, cost: plan.cost, lanes: plan.lanes };
        self.defined.push(Defined { func, listing, kernel });
        KernelId(self.defined.len() - 1)
    }

    /// A kernel that was defined here, before its code has an address.
    pub(super) fn kernel(&self, id: KernelId) -> Kernel {
        self.defined[id.0].kernel
    }

    /// The functions of the kernels by their ids, and where they went.
    pub(super) fn into_parts(self) -> (Vec<FuncId>, M) {
        (self.defined.into_iter().map(|d| d.func).collect(), self.output)
    }

    /// A new function of type [`KernelFn`].
    fn declare(&mut self) -> Result<(FuncId, Signature)> {
        let module = self.output.module();
        let mut signature = module.make_signature();
        let pointer = module.target_config().pointer_type();
        signature.params.extend([pointer, types::I64, types::I64].map(AbiParam::new));
        Ok((module.declare_anonymous_function(&signature).map_err(internal)?, signature))
    }

    /// A function of finished code.
    fn place(&mut self, code: &[u8]) -> Result<FuncId> {
        let (func, _) = self.declare()?;
        self.output.module().define_function_bytes(func, wide::ALIGN, code, &[]).map_err(internal)?;
        Ok(func)
    }

    fn compile(&mut self, plan: &Plan) -> Result<FuncId> {
        self.compile_with(plan, |e, config| e.function(config))
    }

    fn compile_with(
        &mut self,
        plan: &Plan,
        write: impl FnOnce(Emitter, TargetFrontendConfig) -> Result<()>,
    ) -> Result<FuncId> {
        let (func, signature) = self.declare()?;
        let module = self.output.module();
        let config = module.target_config();
        self.context.clear();
        self.context.func.signature = signature;
        self.context.func.name = UserFuncName::user(0, func.as_u32());
        let builder = FunctionBuilder::new(&mut self.context.func, &mut self.builder_context);
        write(Emitter::new(builder, module, plan, self.has_fma), config)?;
        let module = self.output.module();
        module.define_function(func, &mut self.context).map_err(|e| internal(format!("{e:?} in\n{}", plan.nest)))?;
        Ok(func)
    }

    /// [`Jit::last_ir`] if listings are kept.
    fn cranelift_listing(&self) -> Option<Listing> {
        self.has_listings.then(|| Listing::Cranelift(self.last_ir()))
    }

    /// The Cranelift IR of the kernel compiled last, for dumps.
    pub fn last_ir(&self) -> String {
        self.context.func.display().to_string()
    }
}

/// Finished machine code; owns its memory.
pub struct Code {
    kernels: Vec<Kernel>,
    listings: Vec<Option<Listing>>,
    _memory: Memory,
}

// SAFETY: the module inside is not looked at again after `finish`, only freed, by whichever thread drops last; what
// the kernels point to is immutable code.
unsafe impl Send for Code {}
// SAFETY: as for `Send`; `&Code` gives access to `kernels` and texts alone.
unsafe impl Sync for Code {}

impl Code {
    /// The kernel of a nest that was defined in the [`Jit`] this code came from.
    ///
    /// # Panics
    /// If `id` is another `Jit`'s and beyond what this one defined (an invariant of the caller).
    pub fn kernel(&self, id: KernelId) -> Kernel {
        self.kernels[id.0]
    }

    /// The text of a kernel's code, if the [`Jit`] kept it.
    ///
    /// # Panics
    /// As [`Code::kernel`].
    pub fn listing(&self, id: KernelId) -> Option<&Listing> {
        self.listings[id.0].as_ref()
    }
}

/// A module in this process that gives its memory back.
pub struct Memory(Option<JITModule>);

impl Output for Memory {
    fn module(&mut self) -> &mut dyn Module {
        self.0.as_mut().expect("only `drop` takes the module")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(module) = self.0.take() {
            // SAFETY: kernels may be called only while their `Code` lives, and this is its end.
            unsafe { module.free_memory() }
        }
    }
}
