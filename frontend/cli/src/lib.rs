//! `gradloom`: runs, shows, checks, converts and compiles programs written as text. The command, for whoever wants it in a
//! program of their own.

mod case;
mod check;
mod compare;
mod compile;
mod convert;
mod harness;
mod judge;
mod passed;
mod passes;
mod program;
mod run;
mod show;
mod vectors;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs, shows, checks, converts and compiles array programs: StableHLO text (as `jax.jit(f).lower(..).as_text()` and `jax.export` write it) and
/// gradloom's own text.
#[derive(Parser)]
#[command(name = "gradloom", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compiles a program, runs it, and prints one line of JSON with times and memory.
    Run(run::Run),
    /// Shows a program as text or as a page, what each pass changes, and the kernels it is compiled to.
    Show(show::Show),
    /// Lists the passes, and shows what one does.
    Passes(passes::Passes),
    /// Runs test programs, which carry their own inputs and expectations (`stablehlo.custom_call @check.expect_close`).
    Check(check::Check),
    /// Writes a program as StableHLO text, or as gradloom's own.
    Convert(convert::Convert),
    /// Compiles a program into an object file and a C header, to be linked into C or Rust without the compiler.
    Compile(compile::Compile),
    /// Runs JAX's own test cases, as `tests/jax/harness.py` wrote them.
    Harness(harness::Harness),
}

/// The command, on these arguments: the first is what the program is called.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let result = match Cli::parse_from(args).command {
        Command::Run(run) => run.execute(),
        Command::Show(show) => show.execute(),
        Command::Passes(passes) => passes.execute(),
        Command::Check(check) => check.execute(),
        Command::Convert(convert) => convert.execute(),
        Command::Compile(compile) => compile.execute(),
        Command::Harness(harness) => harness.execute(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
