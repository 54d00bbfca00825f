//! Lists, checks and reproduces the published systems.

fn main() -> std::process::ExitCode {
    gradloom_stdlib::papers::command::main(std::env::args_os())
}
