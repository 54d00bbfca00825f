//! `gradloom check`

use crate::compare::{Numbers, apart, difference};
use crate::judge;
use crate::program::{compile, read, run};
use clap::Args;
use gradloom_frontend::Device;
use gradloom_frontend::stablehlo::import_test;
use gradloom_ir::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Runs test programs: `main` calls `@inputs` and `@expected`, computes, and compares by `@check.expect_eq` (equal bits,
/// any NaN equals any), `@check.expect_close` (at most 3 units in the last place) or `@check.expect_almost_eq` (0.001).
///
/// Prints a line a file, the reasons of what did not pass with their counts, and `N passed, N failed, N skipped`. What
/// uses something gradloom does not have is skipped. Exits with 1 if any failed.
#[derive(Args)]
pub struct Check {
    /// Files, or folders of `.mlir` files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where to run: `cpu`, `interp` (the reference interpreter: slow, and the definition of every result) or a GPU, `cuda:0`.
    #[arg(long, default_value_t = Device::Cpu)]
    device: Device,
    /// By relative and absolute error instead: 1e-6 (f64, c128), 1e-4 (f32, c64), 2e-3 (f16), 2e-2 (bf16).
    #[arg(long)]
    loose: bool,
    /// Only the last lines.
    #[arg(long, short)]
    quiet: bool,
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Check {
    /// Whether none failed.
    pub fn execute(&self) -> Result<bool> {
        let mut files = Vec::new();
        for f in &self.files {
            if f.is_dir() { files.extend(programs_in(f)?) } else { files.push(f.clone()) }
        }
        // a bug of the compiler in one program should not hide the others
        std::panic::set_hook(Box::new(|_| {}));
        let mut counts = [0usize; 3];
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for file in &files {
            let outcome = catch_unwind(|| self.check(file)).unwrap_or_else(|panic| {
                let what = panic.downcast_ref::<String>().cloned();
                let what = what.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
                Outcome::Failed(format!("panic: {}", what.unwrap_or_default()))
            });
            let (i, word, reason) = match outcome {
                Outcome::Passed => (0, "ok  ", None),
                Outcome::Failed(why) => (1, "FAIL", Some(why)),
                Outcome::Skipped(why) => (2, "skip", Some(why)),
            };
            counts[i] += 1;
            let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
            if let (false, Some(why)) = (self.quiet, &reason) {
                println!("{word} {name}: {why}");
            } else if !self.quiet {
                println!("{word} {name}");
            }
            if let Some(why) = reason {
                *reasons.entry(format!("{word} {}", cause(&why))).or_default() += 1;
            }
        }
        let _ = std::panic::take_hook();
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        for (why, n) in reasons {
            println!("{n:6}  {why}");
        }
        let [passed, failed, skipped] = counts;
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        Ok(failed == 0)
    }

    fn check(&self, file: &Path) -> Outcome {
        let limit = |e: Error| match e.kind() {
            ErrorKind::Limit => Outcome::Skipped(one_line(&e)),
            _ => Outcome::Failed(one_line(&e)),
        };
        match self.differences(file) {
            Ok(found) if found.is_empty() => Outcome::Passed,
            Ok(found) => Outcome::Failed(found.join("; ")),
            Err(e) => limit(e),
        }
    }

    fn differences(&self, file: &Path) -> Result<Vec<String>> {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let program = import_test(&read(file)?, &name)?;
        if program.checks.is_empty() {
            return Err(Error::user("check", format!("{name} compares nothing")));
        }
        let exe = compile(&program.graph, self.device)?;
        let outs = run(&exe, &program.inputs, &program.graph.output_types())?;
        let found = program.checks.iter().filter_map(|c| {
            let (got, want) = (&outs[c.got], &outs[c.want]);
            if self.loose {
                return apart(judge::loose(want.ty().dtype), &Numbers::of(got), &Numbers::of(want), None);
            }
            difference(c.rule, got, want)
        });
        Ok(found.map(|d| format!("wrong value: {d}")).collect())
    }
}

fn one_line(e: &Error) -> String {
    e.to_string().lines().next().unwrap_or_default().to_string()
}

/// The reason without what differs from file to file: positions and numbers.
fn cause(why: &str) -> String {
    if let Some(rest) = why.strip_prefix("wrong value") {
        return format!("wrong value{}", if rest.contains("ulp") { "" } else { " (no float)" });
    }
    // `stablehlo: name.mlir:3:10: op: why`
    let place = why.split_once(".mlir:").and_then(|(_, r)| r.splitn(3, ':').nth(2)).map(str::trim_start);
    place.unwrap_or(why).to_string()
}

/// The `.mlir` files of a folder, by name.
fn programs_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io(format!("read {}", dir.display()), &e))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "mlir")).collect();
    files.sort();
    Ok(files)
}
