//! Programs on a GPU: kernels queued one by one, and, for arguments that were seen before, as one captured graph.

use super::calls::{LibraryCall, OfGpu, ProductPrecision, product_precision};
use super::conditional::{Condition, conditional};
use super::gpu::{Gpu, Queue, driver_error, locked};
use super::graphs::{Graphs, Plan};
use super::memory::GpuBuffer;
use super::modules::{Function, param};
use crate::grid::{Address, Fusing, GridKernel, GridProgram, KernelCost, Machine, Tiling, compile_with};
use crate::{Cost, Profile, StepProfile};
use cudarc::driver::{result, sys};
use gradloom_ir::{Error, Graph, Result};
use smallvec::SmallVec;
use std::ffi::c_void;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Arrays on a GPU, in the order of a program's outputs.
pub type GpuOutputs = SmallVec<[Arc<GpuBuffer>; 8]>;

/// A program compiled for a GPU.
pub struct CudaProgram {
    gpu: &'static Gpu,
    program: GridProgram,
    functions: Vec<Function>,
    calls: Vec<LibraryCall>,
    constants: Vec<GpuBuffer>,
    outputs: Vec<usize>,
    /// What a run queues, if it can be captured.
    steady: Option<usize>,
    graphs: Mutex<Graphs>,
}

/// The right to queue work.
enum Access<'a> {
    /// Which is handed back while the host computes something: other programs may be queued then, also by what the host calls.
    Whole(Option<MutexGuard<'static, Queue>>),
    /// A part of what somebody else captures.
    Part(&'a mut Queue),
}

/// Where a program is queued.
struct Enqueuer<'a> {
    gpu: &'static Gpu,
    access: Access<'a>,
    functions: &'a [Function],
    kernels: &'a [GridKernel],
    calls: &'a [LibraryCall],
    /// Told of each launch, when it is measured.
    watch: Option<&'a mut Watch>,
}

impl Machine for Enqueuer<'_> {
    fn take(&mut self, bytes: usize) -> Result<Address> {
        let gpu = self.gpu;
        self.queue().take(gpu, bytes)
    }

    fn give(&mut self, at: Address) {
        self.queue().give(at);
    }

    fn launch(&mut self, kernel: usize, buffers: &[Address]) -> Result<()> {
        let kernels = self.kernels;
        let k = &kernels[kernel];
        let mut params: SmallVec<[*mut c_void; 16]> = buffers.iter().map(param).collect();
        let start = self.watch.is_some().then(Instant::now);
        let stream = self.queue().stream;
        // SAFETY: the kernel takes a pointer for each of its params, to arrays of the sizes it was compiled for, which are
        // not given back before this is queued; it was verified not to leave them.
        let done = unsafe { self.functions[kernel].launch(k.blocks, k.threads, stream, &mut params) };
        done.map_err(|e| driver_error(&format!("the kernel {} cannot be launched", k.name), e))?;
        if let (Some(watch), Some(start)) = (&mut self.watch, start) {
            self.gpu.synchronize()?;
            watch.ran(kernel, start);
        }
        Ok(())
    }

    fn call(&mut self, call: usize, buffers: &[Address]) -> Result<()> {
        let start = self.watch.is_some().then(Instant::now);
        let calls = self.calls;
        calls[call].queue(self.queue(), buffers)?;
        if let (Some(watch), Some(start)) = (&mut self.watch, start) {
            self.gpu.synchronize()?;
            watch.ran(self.kernels.len() + call, start);
        }
        Ok(())
    }

    fn copy(&mut self, to: Address, from: Address, bytes: usize) -> Result<()> {
        let stream = self.queue().stream;
        // SAFETY: both places have so many bytes, as the program was compiled.
        let done = unsafe { result::memcpy_dtod_async(to, from, bytes, stream) };
        done.map_err(|e| driver_error("a copy cannot be queued", e))
    }

    fn host(&mut self, compute: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let Access::Whole(held) = &mut self.access else {
            return Err(Error::internal("cuda", "the host is called while work is captured"));
        };
        *held = None;
        let done = compute();
        // held again whatever happened: what the program has taken must be given back
        *held = Some(self.gpu.queue_of_any());
        self.gpu.enter()?;
        done
    }

    fn decides(&self) -> bool {
        match &self.access {
            Access::Whole(held) => held.as_ref().is_some_and(|q| q.capturing),
            Access::Part(queue) => queue.capturing,
        }
    }

    fn repeat(&mut self, flag: Address, body: &mut dyn FnMut(&mut dyn Machine) -> Result<()>) -> Result<()> {
        self.under(Condition::While(flag), body)
    }

    fn choose(
        &mut self,
        index: Address,
        branches: usize,
        branch: &mut dyn FnMut(&mut dyn Machine, usize) -> Result<()>,
    ) -> Result<()> {
        let last = branches as i32 - 1;
        (0..branches)
            .try_for_each(|i| self.under(Condition::Branch { index, branch: i as i32, last }, &mut |m| branch(m, i)))
    }

    fn read(&mut self, from: Address, to: &mut [u8]) -> Result<()> {
        let gpu = self.gpu;
        self.queue().read(gpu, from, to)
    }

    fn write(&mut self, to: Address, from: &[u8]) -> Result<()> {
        let gpu = self.gpu;
        self.queue().write(gpu, to, from)
    }
}

impl Enqueuer<'_> {
    fn queue(&mut self) -> &mut Queue {
        match &mut self.access {
            Access::Whole(held) => held.as_deref_mut().expect("the right is held but while the host computes"),
            Access::Part(queue) => queue,
        }
    }

    /// Captures `body` as what is done under a condition.
    fn under(&mut self, condition: Condition, body: &mut dyn FnMut(&mut dyn Machine) -> Result<()>) -> Result<()> {
        let (gpu, functions, kernels, calls) = (self.gpu, self.functions, self.kernels, self.calls);
        conditional(gpu, self.queue(), condition, &mut |queue| {
            body(&mut Enqueuer { gpu, access: Access::Part(queue), functions, kernels, calls, watch: None })
        })
    }
}

/// How long each kernel took.
struct Watch {
    begin: Instant,
    /// One for each kernel, then for each call.
    steps: Vec<StepProfile>,
    events: Vec<(usize, Duration, Duration)>,
}

impl Watch {
    fn ran(&mut self, step: usize, start: Instant) {
        let time = start.elapsed();
        self.steps[step].runs += 1;
        self.steps[step].time += time;
        self.events.push((step, start - self.begin, time));
    }
}

/// The first architecture whose tensor cores multiply bf16 and TF32.
const TENSOR_CORES: u32 = 80;

/// What is fused on a GPU.
fn fusing(gpu: &Gpu) -> Fusing {
    let tf32 = product_precision() == ProductPrecision::Tf32;
    let tiles = (gpu.architecture().0 >= TENSOR_CORES).then(|| Tiling { tf32, ..Tiling::default() });
    Fusing { tiles, ..Fusing::default() }
}

/// The most scratch memory that an optimised program takes on a GPU at once; no kernel is compiled.
///
/// # Errors
/// As [`CudaProgram::new`].
pub(crate) fn peak_bytes(g: &Graph, gpu: &'static Gpu) -> Result<usize> {
    Ok(compile_with(g, fusing(gpu), &OfGpu::new(gpu))?.peak_bytes())
}

impl CudaProgram {
    /// Compiles an optimised program for a GPU.
    ///
    /// # Errors
    /// If an op has no form on GPUs (the error names it), the compiler is not there, or memory does not suffice for the
    /// constants.
    pub fn new(g: &Graph, gpu: &'static Gpu) -> Result<CudaProgram> {
        let libraries = OfGpu::new(gpu);
        let program = compile_with(g, fusing(gpu), &libraries)?;
        let functions = gpu.functions(&program.kernels)?;
        let calls = program.calls.iter().map(|c| libraries.ready(c)).collect::<Result<_>>()?;
        let constants = program.constants.iter().map(|c| GpuBuffer::upload(gpu, c)).collect::<Result<_>>()?;
        let outputs = g.output_types().iter().map(gradloom_ir::Type::bytes).collect();
        let mut steady = program.steady_launches(false);
        if steady.is_none() && program.steady_launches(true).is_some() && gpu.conditions().is_some() {
            gpu.prepare_streams(program.decisions())?;
            steady = program.steady_launches(true);
        }
        Ok(CudaProgram { gpu, program, functions, calls, constants, outputs, steady, graphs: Mutex::default() })
    }

    /// The GPU it was compiled for.
    pub fn gpu(&self) -> &'static Gpu {
        self.gpu
    }

    /// Queues the program; the results are there when what was queued is done, which whoever reads them waits for.
    ///
    /// # Errors
    /// If memory does not suffice, the program cannot be queued, or a function of the host fails.
    pub fn run(&self, args: &[Arc<GpuBuffer>]) -> Result<GpuOutputs> {
        self.run_into(args, self.fresh_outputs()?)
    }

    /// As [`CudaProgram::run`]; results are computed in the memory of arguments after the first `keep` where nobody else holds
    /// them and the program allows it, and the rest of these arguments is free for what is queued next.
    ///
    /// # Errors
    /// As [`CudaProgram::run`].
    pub fn run_donating(&self, args: &[Arc<GpuBuffer>], keep: usize) -> Result<GpuOutputs> {
        let donor = |o: usize| {
            let donor = self.program.donors().get(o).copied().flatten().filter(|&i| i >= keep)?;
            // the caller's slice holds it, and nobody else
            args.get(donor).filter(|a| Arc::strong_count(a) == 1 && a.len() == self.outputs[o])
        };
        let outs = self.outputs.iter().enumerate().map(|(o, &n)| match donor(o) {
            Some(buffer) => Ok(buffer.clone()),
            None => GpuBuffer::new(self.gpu, n).map(Arc::new),
        });
        let outs: GpuOutputs = outs.collect::<Result<_>>()?;
        self.run_into(args, outs)
    }

    fn run_into(&self, args: &[Arc<GpuBuffer>], outs: GpuOutputs) -> Result<GpuOutputs> {
        let addresses = self.addresses(args, &outs)?;
        let mut queue = self.gpu.queue()?;
        // scratch memory that a program still holds, which waits for the host, is at places that graphs of others may use
        if self.steady.is_none() || !queue.arena.is_empty() {
            self.enqueue(Access::Whole(Some(queue)), &addresses, None)?;
            return Ok(outs);
        }
        let mut graphs = locked(&self.graphs);
        match graphs.plan(&addresses, queue.arena.generation, self.steady) {
            Plan::Replay(graph) => graph.launch(self.gpu)?,
            Plan::Queue => self.enqueue(Access::Part(&mut queue), &addresses, None)?,
            Plan::Capture => {
                let enqueue = |queue: &mut Queue| self.enqueue(Access::Part(queue), &addresses, None);
                match super::graphs::capture(self.gpu, &mut queue, enqueue)? {
                    Some(graph) => graphs.keep(addresses, queue.arena.generation, graph).launch(self.gpu)?,
                    None => {
                        graphs.refuse();
                        self.enqueue(Access::Part(&mut queue), &addresses, None)?;
                    }
                }
            }
        }
        Ok(outs)
    }

    /// Where arguments and results are, all of them on the program's GPU.
    fn addresses(&self, args: &[Arc<GpuBuffer>], outs: &[Arc<GpuBuffer>]) -> Result<Vec<Address>> {
        let here = |b: &Arc<GpuBuffer>| match std::ptr::eq(b.gpu(), self.gpu) {
            true => Ok(b.address()),
            false => {
                Err(Error::internal("run", format!("an argument is on {:?}, the program on {:?}", b.gpu(), self.gpu)))
            }
        };
        args.iter().chain(outs).map(here).collect()
    }

    /// Memory for results.
    fn fresh_outputs(&self) -> Result<GpuOutputs> {
        self.outputs.iter().map(|&n| GpuBuffer::new(self.gpu, n).map(Arc::new)).collect()
    }

    /// Queues the program on inputs and outputs.
    fn enqueue(&self, access: Access<'_>, addresses: &[Address], watch: Option<&mut Watch>) -> Result<()> {
        let constants: Vec<Address> = self.constants.iter().map(GpuBuffer::address).collect();
        let (inputs, outputs) = addresses.split_at(addresses.len() - self.outputs.len());
        let mut m = Enqueuer {
            gpu: self.gpu,
            access,
            functions: &self.functions,
            kernels: &self.program.kernels,
            calls: &self.calls,
            watch,
        };
        self.program.run(&mut m, &constants, inputs, outputs)
    }

    /// Runs the program and measures each kernel, waiting for it: a kernel's time has what the host needs to launch it, some
    /// microseconds.
    ///
    /// # Errors
    /// As [`CudaProgram::run`].
    pub fn profile(&self, args: &[Arc<GpuBuffer>]) -> Result<Profile> {
        let outs = self.fresh_outputs()?;
        let addresses = self.addresses(args, &outs)?;
        let step = |kind, name: &str, cost: KernelCost| StepProfile {
            kind,
            name: name.into(),
            depth: 0,
            runs: 0,
            time: Duration::ZERO,
            flops: cost.flops,
            bytes: cost.bytes,
        };
        let kernels = self.program.kernels.iter().zip(&self.program.costs).map(|(k, &c)| step("kernel", &k.name, c));
        let calls = self.program.calls.iter().map(|c| step("library", c.op, c.cost));
        let steps: Vec<StepProfile> = kernels.chain(calls).collect();
        let queue = self.gpu.queue()?;
        self.gpu.synchronize()?;
        let begin = Instant::now();
        let mut watch = Watch { begin, steps, events: Vec::new() };
        self.enqueue(Access::Whole(Some(queue)), &addresses, Some(&mut watch))?;
        self.gpu.synchronize()?;
        Ok(Profile::new(begin.elapsed(), watch.steps, watch.events))
    }

    /// Flops, bytes, memory and kernels.
    pub fn cost(&self) -> Cost {
        let work = self.program.work();
        Cost {
            flops: work.flops,
            bytes: work.bytes,
            peak_bytes: self.program.peak_bytes(),
            kernels: self.program.launches(),
            compile_time: Duration::ZERO,
        }
    }

    /// The kernels, a line each, with the threads they run on.
    pub fn schedule(&self) -> String {
        let mut s = String::new();
        for k in &self.program.kernels {
            // writing to a string does not fail
            let _ = writeln!(s, "kernel {} {} x {} threads", k.name, k.blocks, k.threads);
        }
        for c in &self.program.calls {
            let _ = writeln!(s, "library {} {:?}", c.op, c.routine);
        }
        s
    }
}

/// A captured graph, ready to be launched.
pub(super) struct Captured(pub(super) sys::CUgraphExec);

// SAFETY: a handle that may be used from all threads, one at a time, which the queue's lock sees to.
unsafe impl Send for Captured {}

impl Captured {
    fn launch(&self, gpu: &Gpu) -> Result<()> {
        // SAFETY: the graph was captured on this GPU and lives; the arrays it names are held by the caller.
        unsafe { result::graph::launch(self.0, gpu.stream) }
            .map_err(|e| driver_error("a captured program cannot be queued", e))
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        // SAFETY: it was made once; the driver waits for launches that run. That it cannot be destroyed helps nobody to know.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}
