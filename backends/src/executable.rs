//! Compiled programs, whatever runs them.

use crate::{Buffer, Cost, CpuProgram, Outputs, Profile};
use gradloom_ir::{Error, Graph, Literal, Result, Type};
use smallvec::SmallVec;
use std::sync::Arc;

/// Where a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Device {
    /// Machine code on this machine's processor.
    #[default]
    Cpu,
    /// The reference interpreter: slow, and the definition of every result.
    Interp,
}

impl Device {
    /// The processor.
    pub fn cpu() -> Device {
        Device::Cpu
    }

    /// An NVIDIA GPU.
    ///
    /// # Errors
    /// Always, so far: programs do not run on GPUs yet, and nothing runs somewhere else in its place. Without a driver, or
    /// without such a GPU, the error says what was looked for.
    pub fn cuda(index: usize) -> Result<Device> {
        crate::cuda::find(index)?;
        Err(Error::limit("device", format!("cuda:{index} is there, but this version does not run programs on GPUs"))
            .help("use Device::cpu()"))
    }

    /// The reference interpreter.
    pub fn interp() -> Device {
        Device::Interp
    }
}

/// A program ready to run.
pub struct Executable {
    inputs: Vec<Type>,
    code: Code,
}

enum Code {
    Interp(Graph),
    Cpu(Box<CpuProgram>),
}

/// Compiles an optimised program for the processor.
///
/// # Errors
/// If an op has no compiled form; the error names it.
pub fn compile(g: &Graph) -> Result<Executable> {
    compile_for(g, Device::Cpu)
}

/// Compiles an optimised program for a device.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(g: &Graph, device: Device) -> Result<Executable> {
    let code = match device {
        Device::Interp => Code::Interp(g.clone()),
        Device::Cpu => Code::Cpu(Box::new(crate::cpu::compile(g)?)),
    };
    Ok(Executable { inputs: g.input_types(), code })
}

impl Executable {
    fn check(&self, args: &[Arc<Buffer>]) -> Result<()> {
        if args.len() != self.inputs.len() {
            return Err(Error::internal("run", format!("{} buffers for {} inputs", args.len(), self.inputs.len())));
        }
        for (a, t) in args.iter().zip(&self.inputs) {
            if a.len() != t.bytes() {
                return Err(Error::internal("run", format!("a buffer of {} bytes for an input of type {t}", a.len())));
            }
        }
        Ok(())
    }

    /// Runs the program; the arguments are only read.
    ///
    /// # Errors
    /// If the buffers do not fit the inputs.
    pub fn run(&self, args: &[Arc<Buffer>]) -> Result<Outputs> {
        self.check(args)?;
        match &self.code {
            Code::Interp(g) => interpret(g, args),
            // SAFETY: number and sizes are checked above.
            Code::Cpu(p) => unsafe { p.run(args) },
        }
    }

    /// Runs the program and may reuse the buffers after the first `keep` for results, where nobody else holds them.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn run_donating(&self, args: SmallVec<[Arc<Buffer>; 8]>, keep: usize) -> Result<Outputs> {
        self.check(&args)?;
        match &self.code {
            Code::Interp(g) => interpret(g, &args),
            // SAFETY: as above.
            Code::Cpu(p) => unsafe { p.run_donating(args, keep) },
        }
    }

    /// Runs the program and measures each step.
    ///
    /// # Errors
    /// As [`Executable::run`]; on the interpreter, which has no steps.
    pub fn profile(&self, args: &[Arc<Buffer>]) -> Result<Profile> {
        self.check(args)?;
        match &self.code {
            Code::Interp(_) => {
                Err(Error::limit("profile", "the interpreter has no steps to measure")
                    .help("compile for Device::cpu()"))
            }
            // SAFETY: number and sizes are checked above.
            Code::Cpu(p) => unsafe { p.profile(args) },
        }
    }

    /// Flops, bytes, memory and kernels.
    pub fn cost(&self) -> Cost {
        match &self.code {
            Code::Interp(_) => Cost::default(),
            Code::Cpu(p) => p.cost(),
        }
    }

    /// What runs, step by step, as text.
    pub fn schedule(&self) -> String {
        match &self.code {
            Code::Interp(g) => g.to_string(),
            Code::Cpu(p) => p.schedule(),
        }
    }
}

fn interpret(g: &Graph, args: &[Arc<Buffer>]) -> Result<Outputs> {
    let inputs: Option<Vec<Literal>> =
        g.input_types().into_iter().zip(args).map(|(t, b)| Literal::from_bytes(t, b.bytes().to_vec())).collect();
    let inputs = inputs.ok_or_else(|| Error::internal("run", "a buffer does not fit its type"))?;
    let outs = gradloom_ir::eval::eval(g, &inputs)?;
    Ok(outs.iter().map(|l| Arc::new(Buffer::from_bytes(l.bytes()))).collect())
}
