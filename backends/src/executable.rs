//! Compiled programs, whatever runs them.

use crate::cuda::{CudaProgram, Gpu, GpuBuffer, GpuOutputs};
use crate::{Buffer, Cost, CpuProgram, Outputs, Profile};
use gradloom_ir::{Error, Graph, Literal, Result, Type};
use smallvec::SmallVec;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Where a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Device {
    /// Machine code on this machine's processor.
    #[default]
    Cpu,
    /// The reference interpreter: slow, and the definition of every result.
    Interp,
    /// An NVIDIA GPU, as the driver counts them; [`Device::cuda`] sees that it is there.
    Cuda(usize),
}

impl Device {
    /// The processor.
    pub fn cpu() -> Device {
        Device::Cpu
    }

    /// NVIDIA GPU number `index`. Programs for it are compiled by NVRTC when they are first called, and kept on disk.
    ///
    /// ```
    /// use gradloom_backends::Device;
    /// match Device::cuda(0) {
    ///     Ok(device) => println!("running on {device}"),
    ///     Err(e) => println!("{e}"),
    /// }
    /// ```
    ///
    /// # Errors
    /// If there is no driver, or no such GPU; the error says what was looked for. Nothing runs somewhere else in its place.
    pub fn cuda(index: usize) -> Result<Device> {
        Gpu::open(index)?;
        Ok(Device::Cuda(index))
    }

    /// The GPU, if it is one.
    ///
    /// # Errors
    /// As [`Device::cuda`].
    pub fn gpu(self) -> Result<Option<&'static Gpu>> {
        match self {
            Device::Cuda(index) => Gpu::open(index).map(Some),
            _ => Ok(None),
        }
    }

    /// Waits until all that was queued on it is done. Programs on a GPU are only queued when a call returns; who reads their
    /// results waits by itself, who takes the time must.
    ///
    /// # Errors
    /// What went wrong in what was queued; a GPU that is not there.
    pub fn synchronize(self) -> Result<()> {
        self.gpu()?.map_or(Ok(()), Gpu::synchronize)
    }

    /// The reference interpreter.
    pub fn interp() -> Device {
        Device::Interp
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Interp => f.write_str("interp"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    /// `cpu`, `interp`, `cuda` or `cuda:1`; a GPU is opened.
    fn from_str(name: &str) -> Result<Device> {
        match name {
            "cpu" => Ok(Device::Cpu),
            "interp" => Ok(Device::Interp),
            "cuda" => Device::cuda(0),
            _ => match name.strip_prefix("cuda:").and_then(|i| i.parse().ok()) {
                Some(index) => Device::cuda(index),
                None => Err(Error::user("device", format!("`{name}` is no device"))
                    .help("devices are `cpu`, `interp` and `cuda:0`, `cuda:1`, ..")),
            },
        }
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
    Cuda(Box<CudaProgram>),
}

/// Compiles an optimised program for the processor.
///
/// # Errors
/// If an op has no compiled form; the error names it.
pub fn compile(g: &Graph) -> Result<Executable> {
    compile_for(g, Device::Cpu)
}

/// Compiles an optimised program for a device. With the environment variable `GRADLOOM_KERNEL_SOURCES` the CUDA C that it would
/// be on a GPU is written into the folder that it names, whatever the device.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(g: &Graph, device: Device) -> Result<Executable> {
    crate::cuda::sources::write(g)?;
    let code = match device {
        Device::Interp => Code::Interp(g.clone()),
        Device::Cpu => Code::Cpu(Box::new(crate::cpu::compile(g)?)),
        Device::Cuda(index) => Code::Cuda(Box::new(CudaProgram::new(g, Gpu::open(index)?)?)),
    };
    Ok(Executable { inputs: g.input_types(), code })
}

/// Bytes of intermediate memory that a program takes on a device: [`Cost::peak_bytes`] of what [`compile_for`] makes.
///
/// # Errors
/// As [`compile_for`].
pub fn peak_bytes(g: &Graph, device: Device) -> Result<usize> {
    match device.gpu()? {
        Some(gpu) => crate::cuda::peak_bytes(g, gpu),
        None => Ok(compile_for(g, device)?.cost().peak_bytes),
    }
}

impl Executable {
    fn check(&self, bytes: impl ExactSizeIterator<Item = usize>) -> Result<()> {
        if bytes.len() != self.inputs.len() {
            return Err(Error::internal("run", format!("{} buffers for {} inputs", bytes.len(), self.inputs.len())));
        }
        for (n, t) in bytes.zip(&self.inputs) {
            if n != t.bytes() {
                return Err(Error::internal("run", format!("a buffer of {n} bytes for an input of type {t}")));
            }
        }
        Ok(())
    }

    /// Runs the program; the arguments are only read. On a GPU they are copied there, and the results back; where arrays are
    /// there already, use [`Executable::run_on_gpu`].
    ///
    /// # Errors
    /// If the buffers do not fit the inputs.
    pub fn run(&self, args: &[Arc<Buffer>]) -> Result<Outputs> {
        self.check(args.iter().map(|a| a.len()))?;
        match &self.code {
            Code::Interp(g) => interpret(g, args),
            // SAFETY: number and sizes are checked above.
            Code::Cpu(p) => unsafe { p.run(args) },
            Code::Cuda(p) => by_copies(p, args),
        }
    }

    /// Queues the program on arrays of the GPU that it was compiled for. The results can be handed to other programs at once;
    /// who reads them waits.
    ///
    /// # Errors
    /// If the buffers do not fit the inputs, or lie elsewhere; if memory does not suffice.
    pub fn run_on_gpu(&self, args: &[Arc<GpuBuffer>]) -> Result<GpuOutputs> {
        self.check(args.iter().map(|a| a.len()))?;
        match &self.code {
            Code::Cuda(p) => p.run(args),
            _ => Err(Error::internal("run", "arrays are on a GPU, the program is not")),
        }
    }

    /// Runs the program and may reuse the buffers after the first `keep` for results, where nobody else holds them.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn run_donating(&self, args: SmallVec<[Arc<Buffer>; 8]>, keep: usize) -> Result<Outputs> {
        self.check(args.iter().map(|a| a.len()))?;
        match &self.code {
            Code::Interp(g) => interpret(g, &args),
            // SAFETY: as above.
            Code::Cpu(p) => unsafe { p.run_donating(args, keep) },
            Code::Cuda(p) => by_copies(p, &args),
        }
    }

    /// As [`Executable::run_on_gpu`], with results in the memory of arguments after the first `keep` where nobody else holds them.
    ///
    /// # Errors
    /// As [`Executable::run_on_gpu`].
    pub fn run_donating_on_gpu(&self, args: &[Arc<GpuBuffer>], keep: usize) -> Result<GpuOutputs> {
        self.check(args.iter().map(|a| a.len()))?;
        match &self.code {
            Code::Cuda(p) => p.run_donating(args, keep),
            _ => Err(Error::internal("run", "arrays are on a GPU, the program is not")),
        }
    }

    /// Runs the program and measures each step.
    ///
    /// # Errors
    /// As [`Executable::run`]; on the interpreter, which has no steps.
    pub fn profile(&self, args: &[Arc<Buffer>]) -> Result<Profile> {
        self.check(args.iter().map(|a| a.len()))?;
        match &self.code {
            Code::Interp(_) => {
                Err(Error::limit("profile", "the interpreter has no steps to measure")
                    .help("compile for Device::cpu()"))
            }
            // SAFETY: number and sizes are checked above.
            Code::Cpu(p) => unsafe { p.profile(args) },
            Code::Cuda(p) => p.profile(&uploaded(p, args)?),
        }
    }

    /// As [`Executable::profile`], of arrays of the GPU that the program was compiled for.
    ///
    /// # Errors
    /// As [`Executable::run_on_gpu`].
    pub fn profile_on_gpu(&self, args: &[Arc<GpuBuffer>]) -> Result<Profile> {
        self.check(args.iter().map(|a| a.len()))?;
        match &self.code {
            Code::Cuda(p) => p.profile(args),
            _ => Err(Error::internal("profile", "arrays are on a GPU, the program is not")),
        }
    }

    /// Flops, bytes, memory and kernels.
    pub fn cost(&self) -> Cost {
        match &self.code {
            Code::Interp(_) => Cost::default(),
            Code::Cpu(p) => p.cost(),
            Code::Cuda(p) => p.cost(),
        }
    }

    /// What runs, step by step, as text.
    pub fn schedule(&self) -> String {
        match &self.code {
            Code::Interp(g) => g.to_string(),
            Code::Cpu(p) => p.schedule(),
            Code::Cuda(p) => p.schedule(),
        }
    }
}

/// Arrays of the host on the program's GPU.
fn uploaded(p: &CudaProgram, args: &[Arc<Buffer>]) -> Result<Vec<Arc<GpuBuffer>>> {
    args.iter().map(|a| GpuBuffer::upload(p.gpu(), a.bytes()).map(Arc::new)).collect()
}

fn by_copies(p: &CudaProgram, args: &[Arc<Buffer>]) -> Result<Outputs> {
    let outs = p.run(&uploaded(p, args)?)?;
    outs.iter().map(|o| o.to_host()).collect()
}

fn interpret(g: &Graph, args: &[Arc<Buffer>]) -> Result<Outputs> {
    let inputs: Option<Vec<Literal>> =
        g.input_types().into_iter().zip(args).map(|(t, b)| Literal::from_bytes(t, b.bytes().to_vec())).collect();
    let inputs = inputs.ok_or_else(|| Error::internal("run", "a buffer does not fit its type"))?;
    let outs = gradloom_ir::eval::eval(g, &inputs)?;
    Ok(outs.iter().map(|l| Arc::new(Buffer::from_bytes(l.bytes()))).collect())
}
