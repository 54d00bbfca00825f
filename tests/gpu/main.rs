//! Everything that is run on a machine with a GPU, as one program, which needs no Rust there. `run.py` runs all of it.

#[path = "../../frontend/examples/digits.rs"]
#[allow(dead_code)] // its own `main`
mod digits;
#[path = "../../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../../passes/tests/rules/rows.rs"]
mod rows;
#[path = "../../backends/tests/cuda/trials.rs"]
mod trials;

use gradloom::Result;
use gradloom::prelude::*;
use gradloom_backends::cuda::Gpu;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "gradloom-gpu COMMAND ..

  device               the GPU's name, and the bandwidth it reaches, as a line of JSON
  conformance [EACH]   programs against the interpreter: the table of ops (every EACHth row), loops, generated programs
  ladder ..            the workloads, as `ladder`
  papers ..            the published systems, as `papers`
  gradloom ..          StableHLO's own tests and more, as `gradloom`
  digits ..            the example

Commands take `--help`, and run on the GPU with `--device cuda:0`.";

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let command = args.next().and_then(|c| c.into_string().ok()).unwrap_or_default();
    let rest: Vec<OsString> = [OsString::from(&command)].into_iter().chain(args).collect();
    let done = match command.as_str() {
        "device" => device(),
        "conformance" => conformance(rest.get(1)),
        "ladder" => return gradloom_ladder::main(rest),
        "papers" => return gradloom_stdlib::papers::command::main(rest),
        "gradloom" => return gradloom_cli::main(rest),
        "digits" => digits::run(rest).map(|()| true),
        _ => {
            eprintln!("{}", USAGE.replace("gradloom-gpu", &program.to_string_lossy()));
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The fastest of ten runs of `f` on `x`, in seconds.
fn fastest(gpu: Device, f: &impl Fn(&Tensor) -> Tensor, x: &Tensor) -> Result<f64> {
    let f = jit(f);
    let mut best = f64::INFINITY;
    for _ in 0..13 {
        gpu.synchronize()?;
        let start = Instant::now();
        let out = f.call(x)?;
        gpu.synchronize()?;
        best = best.min(start.elapsed().as_secs_f64());
        drop(out);
    }
    Ok(best)
}

/// What there is, and what it reaches: bytes read and written a second by one operation an element, and by a chain of them.
fn device() -> Result<bool> {
    let device = Device::cuda(0)?;
    let gpu = Gpu::open(0)?;
    let large = gpu.total_bytes() > 8 << 30;
    let n: usize = if large { 1 << 28 } else { 1 << 20 };
    let x = Tensor::ones([n as i64]).to_device(device)?;
    let bytes = 8.0 * n as f64;
    let one = fastest(device, &|x: &Tensor| -x, &x)?;
    let chain = fastest(device, &|x: &Tensor| ((x * 2.0 + 1.0).tanh() * x - 0.5).square(), &x)?;
    let softmax = {
        let rows = x.reshape([-1, 1024]);
        fastest(device, &|x: &Tensor| x.softmax(-1), &rows)?
    };
    println!(
        r#"{{"name": "{}", "architecture": {}, "bytes": {}, "elementwise_gb_s": {:.1}, "chain_gb_s": {:.1}, "softmax_gb_s": {:.1}}}"#,
        gpu.name(),
        gpu.architecture().0,
        gpu.total_bytes(),
        bytes / one / 1e9,
        bytes / chain / 1e9,
        bytes / softmax / 1e9
    );
    Ok(true)
}

fn conformance(each: Option<&OsString>) -> Result<bool> {
    let each = each.and_then(|e| e.to_str()).and_then(|e| e.parse().ok()).unwrap_or(1usize).max(1);
    let gpu = Gpu::open(0)?;
    let mut all = true;
    for (what, trials) in
        [("ops", trials::of_ops(each)), ("generated programs", trials::generated(90 / each as u64, 120 / each as u64))]
    {
        let outcome = trials::outcome(&trials, gpu);
        println!("{what}: {outcome}");
        all &= outcome.failed.is_empty();
    }
    Ok(all)
}
