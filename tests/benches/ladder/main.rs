//! The workload ladder.

fn main() -> std::process::ExitCode {
    gradloom_ladder::main(std::env::args_os())
}
