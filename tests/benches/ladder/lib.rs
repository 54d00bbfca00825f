//! The workload ladder: programs as a user would write them, timed.
//!
//! One JSON line a workload, as the peers' programs print them: `step_ms` is the median wall time of one call whose
//! arguments stay alive, `compile_ms` everything the first call does except running (trace, passes, code), `check` a
//! number computed from the outputs of the first call. All inputs come from the integer hash of [`inputs`], so any
//! program can build the same ones.

mod arrays;
mod inputs;
mod measure;
mod networks;
mod ops;
mod physics;
mod program;
mod scaling;
mod sequences;
mod spectral;

use clap::Parser;
use gradloom::prelude::Device;
use measure::Workload;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which of a workload's two sizes to run.
#[derive(Clone, Copy)]
pub struct Size {
    large: bool,
}

impl Size {
    /// The size meant for a CPU, or the large one.
    pub fn pick<T>(self, cpu: T, large: T) -> T {
        if self.large { large } else { cpu }
    }
}

struct Row {
    name: &'static str,
    what: &'static str,
    make: fn(Size) -> Box<dyn Workload>,
}

macro_rules! rows {
    ($($module:ident::$name:ident $what:literal;)*) => {
        &[$(Row { name: stringify!($name), what: $what, make: $module::$name }),*]
    };
}

const ROWS: &[Row] = rows! {
    networks::mlp_train "784-W-W-10 ReLU classifier (W 512 | 8192), batch 256 | 8192, Adam";
    networks::cnn_train "28x28x1: two 3x3 convolutions with pooling, dense 128, dense 10; batch 128 | 4096, Adam";
    sequences::transformer_train "causal language model: 4 | 8 pre-norm blocks, width 256 | 1024, sequence 256 | 1024";
    spectral::fno2d_train "2-D Fourier neural operator, 64 | 256 grid, 4 layers, 12 | 32 modes, Adam";
    physics::pinn_burgers "Burgers residual of a 2-64-64-64-64-1 tanh network at 4096 | 262144 points, Adam";
    physics::egnn_train "E(n) graph network, 4 layers, width 64, 32 | 2048 graphs of 24 nodes, Adam";
    networks::kan_train "KAN [4, 64, 64, 1], cubic B-splines on 8 intervals plus SiLU base, batch 2048 | 131072";
    sequences::lstm_train "LSTM, hidden 256 | 1024, 128 steps, batch 32 | 256, Adam";
    physics::rk4_loop "20,000 RK4 steps of the Lorenz system in one loop of tiny arrays";
    networks::ntk "empirical neural tangent kernel of a 2-256-256-1 tanh network on 128 | 2048 points";
    arrays::softmax_norm "softmax(layernorm(gelu(x))) over 4096 | 262144 rows of 1024";
    arrays::knn "16 nearest neighbours among 2048 | 16384 points: distances, top_k, gather, mean";
    arrays::random_normal "4,194,304 | 268,435,456 threefry normals from one key, and their mean square";
    arrays::matmul_1024 "one 1024^3 | 8192^3 f32 matrix product";
    arrays::linalg "64 | 2048 matrices of 48 x 48: cholesky, solve, eigh";
    spectral::ssm_fft "long convolution by rfft from a diagonal state space, length 4096 | 16384, with its gradient";
    arrays::matmul_bf16 "one 1024^3 | 8192^3 bf16 matrix product";
    arrays::dispatch "x + 1 on 8 elements: the cost of calling a compiled function";
};

/// Single op families, run by `--ops`; their peer is `tests/jax/ops.py`.
const OPS: &[Row] = rows! {
    ops::op_elementwise "sqrt(x x + 1) tanh x of 2048 x 2048";
    ops::op_elementwise_bf16 "the same in bf16";
    ops::op_elementwise_complex "exp(z z) of 1024 x 1024 complex64";
    ops::op_reduce_rows "sums of the rows of 2048 x 2048";
    ops::op_reduce_columns "sums of its columns";
    ops::op_reduce_all "its greatest element";
    ops::op_transpose "its transpose, written";
    ops::op_gather "65,536 rows of 64 in another order";
    ops::op_scatter_add "65,536 rows of 64 added into 4,096";
    ops::op_sort "256 rows of 4,096";
    ops::op_top_k "16 greatest of each of 256 rows of 4,096";
    ops::op_cumsum "along 1024 rows of 4,096";
    ops::op_fft "256 complex rows of 4,096";
    ops::op_rfft2 "64 images of 128 x 128";
    ops::op_fft_prime "64 complex rows of 4,093, a prime";
    ops::op_cholesky "64 matrices of 64 x 64";
    ops::op_eigh "16 matrices of 64 x 64";
    ops::op_svd "16 matrices of 64 x 48";
    ops::op_qr "64 matrices of 64 x 48";
    ops::op_solve "64 systems of 64 unknowns, 8 right sides";
    ops::op_uniform "2^20 threefry uniforms";
    ops::op_lgamma "2^20 numbers";
};

/// The workload ladder: one JSON line a workload.
#[derive(Parser)]
struct Options {
    /// Run these workloads only.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// How long to time each workload.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Take the sizes meant for a GPU.
    #[arg(long)]
    large: bool,
    /// Where to run: `cpu`, or a GPU, `cuda:0`.
    #[arg(long, default_value_t = Device::Cpu)]
    device: Device,
    /// Print what runs, and the time and rates of each step, before each line.
    #[arg(long)]
    profile: bool,
    /// Write a trace of one run of each workload to DIR/NAME.json, for ui.perfetto.dev or chrome://tracing.
    #[arg(long, value_name = "DIR")]
    trace: Option<PathBuf>,
    /// Run single op families instead of whole workloads.
    #[arg(long)]
    ops: bool,
    /// Run programs of growing size: time against size.
    #[arg(long)]
    scaling: bool,
    /// Run a program of StableHLO text instead, on the arrays of --inputs.
    #[arg(long, value_name = "FILE", requires = "inputs")]
    program: Option<PathBuf>,
    /// The program's inputs: an `.npz` with arrays "0", "1", ..
    #[arg(long, value_name = "NPZ")]
    inputs: Option<PathBuf>,
    /// Time a step of gradient descent on the program's first result over its first COUNT inputs.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    gradient: usize,
    /// List the workloads.
    #[arg(long)]
    list: bool,
}

/// What `--profile` and `--trace` ask for.
fn explain(name: &str, workload: &dyn Workload, options: &Options) -> gradloom::Result<()> {
    if options.profile || options.trace.is_some() {
        let (schedule, profile) = workload.profile()?;
        if options.profile {
            eprintln!("{schedule}\n{profile}");
        }
        if let Some(dir) = &options.trace {
            let path = dir.join(name).with_extension("json");
            gradloom::io::write_atomically(&path, profile.chrome_trace().as_bytes())?;
        }
    }
    Ok(())
}

/// One JSON line a program and size.
fn scaled(options: &Options) -> ExitCode {
    for row in scaling::SCALED.iter().filter(|r| options.only.is_empty() || options.only.iter().any(|n| n == r.name)) {
        eprintln!("{}: {}", row.name, row.counts);
        for &size in row.sizes {
            match (row.make)(size).measure(options.seconds) {
                Ok(m) => println!("{}", m.json(&format!("{} {size}", row.name))),
                Err(e) => {
                    eprintln!("{} {size}: {e}", row.name);
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}

/// Explains and times one workload; whether that worked.
fn timed(name: &str, workload: gradloom::Result<Box<dyn Workload>>, options: &Options) -> bool {
    let outcome = workload.and_then(|w| {
        explain(name, &*w, options)?;
        w.measure(options.seconds)
    });
    match outcome {
        Ok(m) => println!("{}", m.json(name)),
        Err(e) => {
            eprintln!("{name}: {e}");
            return false;
        }
    }
    true
}

/// The command, on these arguments: the first is what the program is called.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = Options::parse_from(args);
    gradloom::set_default_device(options.device);
    let table = if options.ops { OPS } else { ROWS };
    if options.list {
        table.iter().for_each(|r| println!("{:18} {}", r.name, r.what));
        return ExitCode::SUCCESS;
    }
    if options.scaling {
        return scaled(&options);
    }
    if let (Some(file), Some(inputs)) = (&options.program, &options.inputs) {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let done = timed(&name, program::workload(file, inputs, options.gradient), &options);
        return if done { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut failed = false;
    for name in options.only.iter().filter(|n| !table.iter().any(|r| r.name == *n)) {
        eprintln!("{name}: there is no such workload; see --list");
        failed = true;
    }
    for row in table.iter().filter(|r| options.only.is_empty() || options.only.iter().any(|n| n == r.name)) {
        failed |= !timed(row.name, Ok((row.make)(Size { large: options.large })), &options);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
