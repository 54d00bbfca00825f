//! `gradloom`: runs, shows, checks, converts and compiles programs written as text.

fn main() -> std::process::ExitCode {
    gradloom_cli::main(std::env::args_os())
}
