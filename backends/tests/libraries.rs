//! What NVIDIA's libraries compute, on the GPU in software: against the interpreter, queued and captured.

#[path = "../../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../../passes/tests/rules/rows.rs"]
mod rows;
mod software;

#[path = "libraries/convolutions.rs"]
mod convolutions;
#[path = "libraries/fourier.rs"]
mod fourier;
#[path = "libraries/layers.rs"]
mod layers;
#[path = "libraries/linear.rs"]
mod linear;
#[path = "libraries/products.rs"]
mod products;

use gradloom_backends::Device;
use gradloom_backends::cuda::{CudaProgram, Gpu, GpuBuffer};
use gradloom_ir::eval::eval;
use gradloom_ir::{Error, Graph, Literal, parse};
use std::sync::{Arc, RwLock};

/// Held while a program is compiled and run; alone by who changes settings of the whole process.
static SETTINGS: RwLock<()> = RwLock::new(());

/// The GPU in software, where there is one.
fn gpu() -> Option<&'static Gpu> {
    let device: Device = software::device()?;
    device.gpu().unwrap_or_else(|e| panic!("{e}"))
}

fn graph(text: &str) -> Graph {
    parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// How often each program is run: what comes for the second time is captured, for the third the capture is queued.
const RUNS: usize = 4;

/// Compiles a program and runs it several times; each run's results must be those of the first.
#[track_caller]
fn run(gpu: &'static Gpu, g: &Graph, inputs: &[Literal]) -> (CudaProgram, Vec<Literal>) {
    let program = CudaProgram::new(g, gpu).unwrap_or_else(|e| panic!("{e}\n{g}"));
    let upload = |x: &Literal| GpuBuffer::upload(gpu, x.bytes()).map(Arc::new);
    let args: Vec<Arc<GpuBuffer>> =
        inputs.iter().map(upload).collect::<Result<_, Error>>().unwrap_or_else(|e| panic!("{e}"));
    let mut first: Option<Vec<Literal>> = None;
    for _ in 0..RUNS {
        let outs = program.run(&args).unwrap_or_else(|e| panic!("{e}\n{g}"));
        let read = |(b, ty): (&Arc<GpuBuffer>, gradloom_ir::Type)| {
            let mut bytes = vec![0; b.len()];
            b.download(&mut bytes).unwrap_or_else(|e| panic!("{e}\n{g}"));
            Literal::from_bytes(ty, bytes).unwrap_or_else(|| panic!("a result has another size\n{g}"))
        };
        let outs: Vec<Literal> = outs.iter().zip(g.output_types()).map(read).collect();
        match &first {
            None => first = Some(outs),
            Some(first) => {
                let same = first.iter().zip(&outs).all(|(a, b)| a.bytes() == b.bytes());
                assert!(same, "runs differ\n{g}\n{first:?}\n{outs:?}");
            }
        }
    }
    (program, first.unwrap_or_default())
}

/// Runs a program and compares its results with the interpreter's; what of it libraries compute.
#[track_caller]
fn check(gpu: &'static Gpu, g: &Graph, inputs: &[Literal], tolerance: f64) -> String {
    let _settings = SETTINGS.read().unwrap_or_else(|e| e.into_inner());
    let expected = eval(g, inputs).unwrap_or_else(|e| panic!("{e}\n{g}"));
    let (program, outs) = run(gpu, g, inputs);
    for (e, o) in expected.iter().zip(&outs) {
        let close = oracle::agree(e, o, Some(tolerance));
        assert!(close, "{g}\n{}\ninputs {inputs:?}\nexpected {e:?}\ngot {o:?}", program.schedule());
    }
    program.schedule()
}

/// As [`check`], of a program's text on random inputs.
#[track_caller]
fn check_text(gpu: &'static Gpu, text: &str, tolerance: f64) -> String {
    let g = graph(text);
    check(gpu, &g, &oracle::inputs(1, &g, false), tolerance)
}
