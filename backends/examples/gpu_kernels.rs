//! What GPU kernels take: `cargo run --release -p gradloom-backends --example gpu_kernels PROGRAM.txt|FOLDER..`
//!
//! Compiles the loop nests of programs in the text form, or the CUDA C in a folder, for GPUs and prints registers, spills and
//! shared memory of each kernel. It needs NVRTC, NVIDIA's compiler, and no GPU; `--help` says how it is found.

use gradloom_backends::cuda::{Architecture, Nvrtc, Usage, source};
use gradloom_backends::grid::{loop_nests, lower};
use gradloom_backends::kernel::LoopNest;
use gradloom_ir::{Error, Result, parse};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

const HELP: &str = "\
usage: gpu_kernels [--summary] PROGRAM.txt|FOLDER..

Prints for each loop nest of the programs, and for each file of CUDA C in the folders, what its kernel takes on sm_80 and sm_90:
registers of a thread, bytes spilled, bytes of shared memory, bytes of code. A program ends at a line `----`, if there is one.
With --summary only the counts, and the kernels that spill. It fails if a kernel does not compile.

A process writes the CUDA C of all programs that it compiles, for whatever device, into the folder that the environment variable
GRADLOOM_KERNEL_SOURCES names: `GRADLOOM_KERNEL_SOURCES=/tmp/kernels cargo run --release --bin papers -- check all`.

NVRTC is looked for where the system looks for libraries and in the folder GRADLOOM_CUDA_LIBRARIES
(`pip install --target DIR nvidia-cuda-nvrtc-cu12` puts it into DIR/nvidia/cuda_nvrtc/lib).";

/// A kernel's name and its CUDA C.
type Kernel = (String, String);

fn kernels_of(path: &Path) -> Result<Vec<Kernel>> {
    let failed = |e: std::io::Error| Error::io(format!("read {}", path.display()), &e);
    let read = |path: &Path| std::fs::read_to_string(path).map_err(failed);
    if path.is_dir() {
        let files = std::fs::read_dir(path).map_err(failed)?.flatten().map(|e| e.path());
        let mut files: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "cu")).collect();
        files.sort();
        let name = |p: &Path| p.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return files.iter().map(|p| Ok((name(p), read(p)?))).collect();
    }
    let text = read(path)?;
    let program = text.split("----\n").next().unwrap_or(&text);
    let kernel = |nest: &LoopNest| {
        let kernel = lower(nest, &|_| 16)?;
        Ok((kernel.name.clone(), source(&kernel)?.text))
    };
    loop_nests(&parse(program)?)?.iter().map(kernel).collect()
}

/// What a kernel takes on a GPU.
struct Row {
    name: String,
    architecture: u32,
    taken: std::result::Result<Usage, String>,
    code: usize,
}

fn compiled(compiler: Nvrtc, (name, text): &Kernel, architecture: u32) -> Row {
    let (taken, code) = match compiler.compile(text, Architecture(architecture)) {
        Ok(binary) => (binary.usage().ok_or_else(|| binary.log.clone()), binary.cubin.len()),
        Err(e) => (Err(e.to_string()), 0),
    };
    Row { name: name.clone(), architecture, taken, code }
}

fn show(paths: &[PathBuf], summary: bool) -> Result<bool> {
    let compiler = Nvrtc::find()?;
    let kernels: Vec<Vec<Kernel>> = paths.iter().map(|p| kernels_of(p)).collect::<Result<_>>()?;
    let each: Vec<(&Kernel, u32)> = kernels.iter().flatten().flat_map(|k| [(k, 80), (k, 90)]).collect();
    let rows: Vec<Row> = each.par_iter().map(|(k, architecture)| compiled(compiler, k, *architecture)).collect();
    for row in &rows {
        match &row.taken {
            Ok(u) if !summary || u.spilled_bytes > 0 => println!(
                "  {:60} sm_{} {:3} registers {:4} B spilled {:6} B shared {:6} B code",
                row.name, row.architecture, u.registers, u.spilled_bytes, u.shared_bytes, row.code
            ),
            Ok(_) => {}
            Err(e) => println!("  {} sm_{}: {e}", row.name, row.architecture),
        }
    }
    let taken: Vec<&Usage> = rows.iter().filter_map(|r| r.taken.as_ref().ok()).collect();
    println!(
        "{} kernels, each for sm_80 and sm_90: {} do not compile, {} spill, at most {} registers and {} bytes of shared memory",
        rows.len() / 2,
        rows.len() - taken.len(),
        taken.iter().filter(|u| u.spilled_bytes > 0).count(),
        taken.iter().map(|u| u.registers).max().unwrap_or(0),
        taken.iter().map(|u| u.shared_bytes).max().unwrap_or(0),
    );
    Ok(taken.len() == rows.len())
}

fn main() -> std::process::ExitCode {
    let (flags, paths): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a.starts_with('-'));
    if paths.is_empty() || flags.iter().any(|f| f != "--summary") {
        println!("{HELP}");
        return std::process::ExitCode::SUCCESS;
    }
    let paths: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
    match show(&paths, !flags.is_empty()) {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e}");
            std::process::ExitCode::FAILURE
        }
    }
}
