//! `gradloom compile`

use crate::program::{load, optimised};
use clap::{Args, ValueEnum};
use gradloom_frontend::{Processor, write_object_files};
use gradloom_ir::Result;
use std::path::PathBuf;

/// Compiles a program into an object file and a C header.
///
/// The file is linked together with the runtime (`cargo build --release -p gradloom-runtime` makes
/// libgradloom_runtime.a; Rust programs depend on that crate instead). There is no compiler in the result, and nothing is
/// compiled when it runs. `frontend/cli/examples/deploy` shows it from C and from Rust.
///
/// Prints one line of JSON: the files, the function's name, and the bytes of the object.
#[derive(Args)]
pub struct Compile {
    /// StableHLO text, or a program as gradloom prints it.
    file: PathBuf,
    /// The object file to write; the header goes beside it, with the extension `.h`.
    #[arg(short, long)]
    output: PathBuf,
    /// Name of the function, a C identifier; by default the name of the output without its extension.
    #[arg(long)]
    name: Option<String>,
    /// The processors it is for.
    #[arg(long, value_enum, default_value_t = Cpu::Native)]
    cpu: Cpu,
}

#[derive(Clone, Copy, ValueEnum)]
enum Cpu {
    /// This machine's, and those that have all it has.
    Native,
    /// Every x86-64 processor with AVX2 and FMA (psABI level 3), in 128-bit vectors.
    Baseline,
}

impl Compile {
    /// Always true, or an error.
    pub fn execute(&self) -> Result<bool> {
        let stem = self.output.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let name = self.name.clone().unwrap_or(stem);
        let processor = match self.cpu {
            Cpu::Native => Processor::Native,
            Cpu::Baseline => Processor::Baseline,
        };
        let header = write_object_files(&optimised(&load(&self.file)?)?, &self.output, &name, processor)?;
        let line = serde_json::json!({
            "object": self.output.display().to_string(),
            "header": header.display().to_string(),
            "function": name,
            "bytes": std::fs::metadata(&self.output).map(|m| m.len()).unwrap_or(0),
        });
        println!("{line}");
        Ok(true)
    }
}
