//! What GPU kernels take: `cargo run --release -p gradloom-backends --example gpu_kernels PROGRAM.txt..`
//!
//! Compiles the loop nests of programs in the text form for GPUs and prints registers, spills and shared memory of each
//! kernel. It needs NVRTC, NVIDIA's compiler, and no GPU; `--help` says how it is found.

use gradloom_backends::cpu::loop_nests;
use gradloom_backends::cuda::{Architecture, Nvrtc, source};
use gradloom_backends::grid::lower;
use gradloom_ir::{Error, Result, parse};

const HELP: &str = "\
usage: gpu_kernels PROGRAM.txt..

Prints for each loop nest of the programs what its kernel takes on sm_80 and sm_90: registers of a thread, bytes spilled,
bytes of shared memory, bytes of code. A program ends at a line `----`, if there is one.

NVRTC is looked for where the system looks for libraries and in the folder GRADLOOM_CUDA_LIBRARIES
(`pip install --target DIR nvidia-cuda-nvrtc-cu12` puts it into DIR/nvidia/cuda_nvrtc/lib).";

fn show(path: &str, compiler: Nvrtc) -> Result<()> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::user("gpu_kernels", format!("{path}: {e}")))?;
    let program = text.split("----\n").next().unwrap_or(&text);
    println!("{path}");
    for nest in loop_nests(&parse(program)?)? {
        let kernel = lower(&nest, &|_| 16)?;
        for architecture in [80, 90].map(Architecture) {
            let binary = compiler.compile(&source(&kernel)?.text, architecture)?;
            match binary.usage() {
                Some(u) => println!(
                    "  {:40} sm_{} {:3} registers {:4} B spilled {:6} B shared {:6} B code",
                    kernel.name,
                    architecture.0,
                    u.registers,
                    u.spilled_bytes,
                    u.shared_bytes,
                    binary.cubin.len()
                ),
                None => println!("  {}: {}", kernel.name, binary.log),
            }
        }
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() || paths.iter().any(|p| p == "--help" || p == "-h") {
        println!("{HELP}");
        return std::process::ExitCode::SUCCESS;
    }
    let done = Nvrtc::find().and_then(|compiler| paths.iter().try_for_each(|p| show(p, compiler)));
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            std::process::ExitCode::FAILURE
        }
    }
}
