//! Compiled functions: traced once a signature, optimised, compiled, and run.

use crate::debug::{nan_check_everywhere, with_nan_checks};
use crate::device::{Arrays, Host, device_of};
use crate::tensor::Tensor;
use crate::trace::{self, Program, fill, trace as trace_fn};
use crate::tree::{Signature, Tree, placed_signature, same_structure, signature};
use gradloom_backends::cpu::{ObjectFile, Processor, compile_object};
use gradloom_backends::{Cost, Device, Executable, Profile, compile_for, peak_bytes};
use gradloom_ir::{Builder, Error, Graph, Loc, Result, Type};
use gradloom_passes::{Pipeline, QuantizeWeights, Rematerialise};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

/// A function that is compiled for each signature (tree structure and leaf types) it is called with. See [`jit`].
pub struct Jit<A, B, F> {
    f: F,
    settings: Settings,
    cache: RwLock<Cache<A, B>>,
}

/// What was compiled, by signature.
struct Cache<A, B> {
    places: Places,
    compiled: Vec<Arc<Compiled<A, B>>>,
}

impl<A, B> Default for Cache<A, B> {
    fn default() -> Cache<A, B> {
        Cache { places: Places::default(), compiled: Vec::new() }
    }
}

/// Where in a list what belongs to a signature is: a table of its own, which is not compiled for each function.
#[derive(Default)]
struct Places(HashMap<Signature, usize>);

impl Places {
    fn find(&self, key: &Signature) -> Option<usize> {
        self.0.get(key).copied()
    }

    fn set(&mut self, key: Signature, at: usize) {
        self.0.insert(key, at);
    }
}

/// How a function is compiled.
struct Settings {
    loc: Loc,
    pipeline: Pipeline,
    device: Option<Device>,
    nan_check: bool,
    /// Whether captured tensors are constants of the program, for passes to see.
    closed: bool,
    memory_budget: Option<usize>,
}

impl Settings {
    /// The optimised program and the captures that are inputs of it.
    fn optimised(&self, traced: &Program, device: Device) -> Result<(Graph, Vec<Tensor>)> {
        let mut captures = traced.captures.clone();
        let mut graph = if self.nan_check { with_nan_checks(&traced.graph)? } else { traced.graph.clone() };
        if self.closed {
            graph = closed(&graph, &std::mem::take(&mut captures))?;
        }
        crate::log::start();
        self.pipeline.run(&mut graph)?;
        if let Some(bytes) = self.memory_budget {
            graph = within_memory(graph, bytes, device).map_err(|e| e.at(&self.loc))?;
        }
        Ok((graph, captures))
    }

    /// Where to run a program on these arguments.
    fn device(&self, args: &[Tensor]) -> Result<Device> {
        match self.device {
            Some(device) => Ok(device),
            None => device_of("call", Host::Stays, args.iter()).map_err(|e| e.at(&self.loc)),
        }
    }
}

/// Compiles a function. [`Jit::call`] borrows its argument; [`Jit::run`] takes it and reuses its buffers.
///
/// Tensors the closure captures are compiled in as they were when it was first traced.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let f = jit(|(x, y): &(Tensor, Tensor)| (x * y).sum(..));
/// let x = Tensor::from_slice([2], &[1.0f32, 2.0]);
/// assert_eq!(f.call(&(x.clone(), x)).unwrap().item::<f32>().unwrap(), 5.0);
/// ```
#[track_caller]
pub fn jit<A: Tree, B: Tree, F: Fn(&A) -> B>(f: F) -> Jit<A, B, F> {
    Jit {
        f,
        settings: Settings {
            loc: Loc::caller(),
            pipeline: Pipeline::standard(),
            device: None,
            nan_check: nan_check_everywhere(),
            closed: false,
            memory_budget: None,
        },
        cache: RwLock::default(),
    }
}

impl<A: Tree, B: Tree, F: Fn(&A) -> B> Jit<A, B, F> {
    /// Changes the passes: `jit(f).pipeline(|p| p.after("simplify", MyPass))`.
    pub fn pipeline(mut self, change: impl FnOnce(Pipeline) -> Pipeline) -> Self {
        self.settings.pipeline = change(self.settings.pipeline);
        self.cache = RwLock::default();
        self
    }

    /// For inference: makes constants of the tensors that the function captures and, by the pass
    /// [`QuantizeWeights`], stores the matrices among them in 8 bits. The function itself still holds them; what
    /// [`Lowered::compile`] and [`Lowered::write_object`] make does not.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let w = random::normal(&Key::new(0), [64, 64]);
    /// let f = |x: &Tensor| x.matmul(&w).tanh();
    /// let x = random::normal(&Key::new(1), [1, 64]);
    /// let small = jit(f).quantize_weights();
    /// assert!(small.lower(&x)?.text().contains(": i8[64,64]"));
    /// assert!((small.call(&x)? - f(&x)).abs().max(..).item::<f32>()? < 0.2);
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    pub fn quantize_weights(mut self) -> Self {
        self.settings.closed = true;
        self.pipeline(|p| p.with(QuantizeWeights::default()))
    }

    /// Where to run: else it is where the arguments are. Captured tensors are copied there when the function is compiled;
    /// arguments must be there ([`crate::Tree::to_device`]).
    pub fn on(mut self, device: Device) -> Self {
        self.settings.device = Some(device);
        self.cache = RwLock::default();
        self
    }

    /// Checks after every op whether it gives a NaN that none of its operands holds, and if so ends the run with an error
    /// that names the op, its operands and your line. Slow: nothing is fused. The environment variable
    /// `GRADLOOM_NAN_CHECK=1` does so for all programs, eager ones too.
    ///
    /// It counts too if the NaN is not used, as in the branch that a `select` does not take.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let f = jit(|x: &Tensor| (x / x.sum(..)).exp()).nan_check();
    /// assert!(f.call(&Tensor::from([1.0f32, 2.0])).is_ok());
    /// let e = f.call(&Tensor::from([0.0f32, 0.0])).unwrap_err();
    /// assert_eq!(e.op(), "divide");
    /// ```
    pub fn nan_check(mut self) -> Self {
        self.settings.nan_check = true;
        self.cache = RwLock::default();
        self
    }

    /// Keeps intermediate memory ([`Compiled::cost`]'s `peak_bytes`: neither arguments nor results) within `bytes`, by
    /// computing values again instead of keeping them, the cheapest first. The results have the same bits, up to sums
    /// that are cut in other pieces; [`gradloom_passes::Rematerialise`] says how it chooses.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Result, prelude::*};
    /// let loss = |x: &Tensor| (0..16).fold(x.clone(), |x, _| (x.sin() * &x).cumsum(0)).sum(..);
    /// let x = Tensor::ones([4096]);
    /// let peak = |budget| -> Result<_> {
    ///     Ok(jit(grad(loss)).memory_budget(budget).lower(&x)?.compile()?.cost().peak_bytes)
    /// };
    /// let free = peak(usize::MAX)?;
    /// assert!(peak(free * 2 / 3)? <= free * 2 / 3);
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Jit::call`] and [`Jit::lower`] fail if no way is found to need as little.
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.settings.memory_budget = Some(bytes);
        self.cache = RwLock::default();
        self
    }

    /// Runs the function, leaving the argument alone.
    ///
    /// # Errors
    /// The first error of the traced function, a failing pass, an op without a compiled form, or a failing host call
    /// (see [`crate::debug`]).
    #[track_caller]
    pub fn call(&self, args: &A) -> Result<B> {
        if trace::active() {
            return Ok((self.f)(args));
        }
        self.compiled(args)?.call(args)
    }

    /// Runs the function and reuses the argument's buffers for results where nobody else holds them.
    ///
    /// # Errors
    /// As [`Jit::call`].
    #[track_caller]
    pub fn run(&self, args: A) -> Result<B> {
        if trace::active() {
            return Ok((self.f)(&args));
        }
        self.compiled(&args)?.run(args)
    }

    fn compiled(&self, args: &A) -> Result<Arc<Compiled<A, B>>> {
        let key = placed_signature(args);
        let cache = self.cache.read().unwrap_or_else(|e| e.into_inner());
        if let Some(at) = cache.places.find(&key) {
            return Ok(cache.compiled[at].clone());
        }
        drop(cache);
        self.compile(key, args)
    }

    #[cold]
    #[inline(never)]
    fn compile(&self, key: Signature, args: &A) -> Result<Arc<Compiled<A, B>>> {
        let c = Arc::new(self.lower(args)?.compile()?);
        let mut cache = self.cache.write().unwrap_or_else(|e| e.into_inner());
        let at = cache.compiled.len();
        cache.compiled.push(c.clone());
        cache.places.set(key, at);
        Ok(c)
    }

    /// Traces and optimises for arguments like these; nothing runs.
    ///
    /// # Errors
    /// The first error of the traced function, or a failing pass.
    pub fn lower(&self, args: &A) -> Result<Lowered<A, B>> {
        let start = Instant::now();
        let device = self.settings.device(&args.leaves())?;
        let t = trace_fn(args, &self.f).map_err(|e| e.at(&self.settings.loc))?;
        let (graph, captures) = self.settings.optimised(&t.program, device)?;
        Ok(Lowered {
            traced: t.program.graph,
            graph,
            captures,
            args: args.map(without_data),
            out: t.out.map(without_data),
            device,
            lower_time: start.elapsed(),
        })
    }
}

/// The program with its first inputs as constants.
fn closed(g: &Graph, captures: &[Tensor]) -> Result<Graph> {
    let (types, names) = (g.input_types(), g.input_names());
    let mut b = Builder::new();
    let inputs: Vec<_> = types.iter().zip(names).skip(captures.len()).map(|(t, n)| b.input(t.clone(), n)).collect();
    let mut args = Vec::with_capacity(types.len());
    for c in captures {
        args.push(b.literal(c.to_literal()?));
    }
    args.extend(inputs);
    let outputs = b.inline(g, &args)?;
    b.finish(&outputs)
}

/// Budgets that are tried for one: what the compiler fuses is only known when it has.
const ATTEMPTS: usize = 8;

/// The program with values computed again, so that it needs at most `bytes` of intermediate memory.
fn within_memory(g: Graph, bytes: usize, device: Device) -> Result<Graph> {
    let need = |g: &Graph| peak_bytes(g, device);
    let before = need(&g)?;
    if before <= bytes {
        return Ok(g);
    }
    let (mut least, mut budget) = (before, bytes);
    for _ in 0..ATTEMPTS {
        let mut smaller = g.clone();
        let pass = Rematerialise { budget, storage: gradloom_backends::cpu::storage };
        Pipeline::empty().push(pass).run(&mut smaller)?;
        let needed = need(&smaller)?;
        tracing::debug!(budget, needed, before, nodes = smaller.total_nodes(), "memory");
        if needed <= bytes {
            return Ok(smaller);
        }
        least = least.min(needed);
        // as much below what is asked as the last one was above it
        budget = (budget as f64 * (bytes as f64 / needed as f64).min(0.9)) as usize;
    }
    let what =
        format!("{bytes} bytes of intermediate memory do not suffice: it needs {before}, {least} at least was found");
    Err(Error::user("memory_budget", what).help("allow for more, or compute on fewer rows at a time"))
}

/// A leaf that keeps a type and no data.
fn without_data(t: &Tensor) -> Tensor {
    Tensor::from_traced(crate::tensor::Traced { trace: 0, value: 0, ty: t.ty() })
}

/// A traced and optimised function that is not compiled yet.
pub struct Lowered<A, B> {
    traced: Graph,
    graph: Graph,
    captures: Vec<Tensor>,
    args: A,
    out: B,
    device: Device,
    lower_time: Duration,
}

impl<A: Tree, B: Tree> Lowered<A, B> {
    /// The optimised program as text.
    pub fn text(&self) -> String {
        self.graph.to_string()
    }

    /// The program as it was traced, as text.
    pub fn traced_text(&self) -> String {
        self.traced.to_string()
    }

    /// The optimised program. Captured tensors are its first inputs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The optimised program as StableHLO text, which XLA compiles: a module whose `main` takes the leaves of the
    /// argument and returns those of the result, in order. Captured tensors are constants in it.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let w = Tensor::from([0.5f32, 2.0]);
    /// let f = jit(move |x: &Tensor| (x * &w).tanh());
    /// let text = f.lower(&Tensor::ones([2]))?.stablehlo()?;
    /// assert!(text.contains("dense<[0.5, 2.0]> : tensor<2xf32>"));
    /// assert!(text.contains("@main(%0: tensor<2xf32>) -> (tensor<2xf32>)"));
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`crate::stablehlo::export`].
    pub fn stablehlo(&self) -> Result<String> {
        crate::stablehlo::export(&self.closed_graph()?)
    }

    /// Says why two values of the program as it is compiled run together, or what stands between. They are named as
    /// [`Lowered::text`] names them, which the passes for the processor may change; `gradloom show --explain` follows names
    /// through those too.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let lowered = jit(|x: &Tensor| x.sin().sort(0).exp()).lower(&Tensor::ones([8]))?;
    /// assert!(lowered.text().contains("%2 = sort(%1)"));
    /// assert_eq!(lowered.explain(2, 3)?, "%2 is computed by a library call (`sort`), and only loop nests take other ops in");
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there are no such values.
    pub fn explain(&self, a: usize, b: usize) -> Result<String> {
        let [a, b] = [a, b].map(gradloom_ir::Value::from_index);
        gradloom_backends::cpu::why_apart(&self.graph, a, b, &|v| v.to_string())
    }

    /// Writes the optimised program as a Graphviz file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_dot(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        crate::io::write_atomically(path, self.graph.to_dot().as_bytes())
    }

    /// The optimised program with captured tensors as constants: its inputs are the leaves of the function's argument.
    ///
    /// # Errors
    /// If the program is malformed, which a pass of one's own may have made it.
    pub fn closed_graph(&self) -> Result<Graph> {
        closed(&self.graph, &self.captures)
    }

    /// Compiles the program into an object file and a C header beside it, with the extension `.h`. Both define the
    /// function that `path` names (its name without extension); the leaves of the argument are its inputs, captured
    /// tensors its constants. It is linked into C with `libgradloom_runtime.a`, into Rust with the crate
    /// `gradloom-runtime`; neither holds the compiler. See `frontend/cli/examples/deploy`.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Processor, prelude::*};
    /// let w = Tensor::from_slice([3], &[1.0f32, -2.0, 0.5]);
    /// let predict = jit(|x: &Tensor| x.matmul(&w).tanh());
    /// let dir = std::env::temp_dir();
    /// # let dir = dir.join(format!("gradloom-object-{}", std::process::id()));
    /// # std::fs::create_dir(&dir).unwrap();
    /// predict.lower(&Tensor::zeros([8, 3]))?.write_object(dir.join("predict.o"), Processor::Native)?;
    /// let header = std::fs::read_to_string(dir.join("predict.h")).unwrap();
    /// assert!(header.contains("int predict_run(const float *in0, float *out0)"));
    /// # std::fs::remove_dir_all(&dir).unwrap();
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// If an op has no compiled form, the program calls functions of the host (see [`crate::debug`]), the name is none in
    /// C, or a file cannot be written.
    pub fn write_object(&self, path: impl AsRef<Path>, processor: Processor) -> Result<()> {
        let path = path.as_ref();
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        write_object_files(&self.closed_graph()?, path, &name, processor).map(|_| ())
    }

    /// Compiles the program.
    ///
    /// # Errors
    /// If an op has no compiled form on the device; the error names it.
    pub fn compile(self) -> Result<Compiled<A, B>> {
        let code = Code::of(&self.graph, self.captures, self.device, self.lower_time)?;
        Ok(Compiled { code, args: self.args, out: self.out })
    }
}

/// What of a compiled function does not depend on the types of its trees.
struct Code {
    exe: Executable,
    device: Device,
    captures: Arrays,
    out_types: Vec<Type>,
    compile_time: Duration,
}

impl Code {
    fn of(g: &Graph, captures: Vec<Tensor>, device: Device, lower_time: Duration) -> Result<Code> {
        let start = Instant::now();
        let exe = compile_for(g, device)?;
        let moved = captures.into_iter().map(|c| c.moved(device)).collect::<Result<Vec<Tensor>>>()?;
        let captures = Arrays::none(device).and(device, moved)?;
        let compile_time = lower_time + start.elapsed();
        tracing::info!(?device, nodes = g.total_nodes(), ?compile_time, "compiled");
        Ok(Code { exe, device, captures, out_types: g.output_types(), compile_time })
    }

    fn arrays(&self, leaves: Vec<Tensor>) -> Result<Arrays> {
        self.captures.and(self.device, leaves)
    }
}

/// Compiles an optimised program into the object file `path` and the C header beside it, which define the function
/// `name`; returns the header's path. See [`Lowered::write_object`].
///
/// # Errors
/// As [`Lowered::write_object`].
pub fn write_object_files(g: &Graph, path: &Path, name: &str, processor: Processor) -> Result<PathBuf> {
    let header_path = path.with_extension("h");
    if header_path == path {
        return Err(Error::user("compile", "an object file cannot end in `.h`").help("name it `model.o`"));
    }
    let ObjectFile { object, header } = compile_object(g, name, processor)?;
    crate::io::write_atomically(path, &object)?;
    crate::io::write_atomically(&header_path, header.as_bytes())?;
    Ok(header_path)
}

/// A compiled function for one signature.
pub struct Compiled<A, B> {
    code: Code,
    args: A,
    out: B,
}

/// The error of arguments that are of the structure a function was compiled for.
fn wrong_types(old: &[Tensor], new: &[Tensor], paths: &[String]) -> Error {
    for ((o, n), path) in old.iter().zip(new).zip(paths) {
        if o.ty_ref() != n.ty_ref() {
            let what = format!("leaf `{path}` is {} where the function was compiled for {}", n.ty(), o.ty());
            return Error::user("call", what)
                .help("call through `jit`, which compiles once for each signature, or lower again for these types");
        }
    }
    Error::internal("call", "signatures differ but structure and types do not")
}

impl<A: Tree, B: Tree> Compiled<A, B> {
    fn check(&self, args: &A) -> Result<()> {
        if signature(&self.args) == signature(args) {
            return Ok(());
        }
        args.leaves().iter().try_for_each(Tensor::check)?;
        same_structure("call", &self.args, args)?;
        Err(wrong_types(&self.args.leaves(), &args.leaves(), &args.paths()))
    }

    fn finish(&self, outs: Arrays) -> B {
        fill(&self.out, outs.tensors(self.code.out_types.iter()))
    }

    /// Runs the function, leaving the argument alone.
    ///
    /// # Errors
    /// If structure or types are not those it was compiled for, a leaf holds an error, or a host call fails.
    pub fn call(&self, args: &A) -> Result<B> {
        self.check(args)?;
        Ok(self.finish(self.code.arrays(args.leaves())?.run(&self.code.exe, None)?))
    }

    /// Runs the function and reuses the argument's buffers for results where nobody else holds them.
    ///
    /// # Errors
    /// As [`Compiled::call`].
    pub fn run(&self, args: A) -> Result<B> {
        self.check(&args)?;
        let leaves = args.leaves();
        drop(args);
        let arrays = self.code.arrays(leaves)?;
        Ok(self.finish(arrays.run(&self.code.exe, Some(self.code.captures.len()))?))
    }

    /// Runs the function and measures each step of the program, steps of loops too: time, rates, and the machine's
    /// own measured ceilings beside them. `Display` is a table, [`Profile::chrome_trace`] opens in a browser.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::ones([64, 64]);
    /// let f = jit(|x: &Tensor| x.matmul(x).tanh()).lower(&x)?.compile()?;
    /// let profile = f.profile(&x)?;
    /// assert!(profile.steps.iter().any(|s| s.name.contains("dot_general") && s.flops == 2 * 64 * 64 * 64));
    /// println!("{profile}");
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Compiled::call`]; on the interpreter, which has no steps.
    pub fn profile(&self, args: &A) -> Result<Profile> {
        self.check(args)?;
        self.code.arrays(args.leaves())?.profile(&self.code.exe)
    }

    /// Flops, bytes, peak memory, kernels and compile time.
    pub fn cost(&self) -> Cost {
        Cost { compile_time: self.code.compile_time, ..self.code.exe.cost() }
    }

    /// What runs, step by step, as text.
    pub fn schedule(&self) -> String {
        self.code.exe.schedule()
    }
}
