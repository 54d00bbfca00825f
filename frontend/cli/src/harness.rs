//! `gradloom harness`

use crate::case::Case;
use crate::judge;
use crate::passed::Passed;
use clap::Args;
use gradloom_frontend::{Device, set_default_device};
use gradloom_ir::{Error, ErrorKind, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// Runs JAX's own test cases, as `tests/jax/harness.py` wrote them: imports each program and compares its value, and
/// gradloom's own jvp, vjp and vmap of it, with JAX's.
///
/// Prints a table by group, one `passed/failed/unsupported` a transform, the reasons with their counts, and last how much
/// of what JAX does is matched. Exits with 1 if any failed; with a list, if any on the list did not pass.
#[derive(Args)]
pub struct Harness {
    /// The folder with `index.jsonl`.
    dir: PathBuf,
    /// Where to run: `cpu`, `interp` (the reference interpreter: slow, and the definition of every result) or a GPU, `cuda:0`.
    #[arg(long, default_value_t = Device::Cpu)]
    device: Device,
    /// The list of what passes, a line `case transform..` each: what passes newly is added, nothing is taken away.
    #[arg(long)]
    passed: Option<PathBuf>,
    /// Only cases whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// A line for each case that did not pass.
    #[arg(long, short)]
    verbose: bool,
}

const TRANSFORMS: [&str; 4] = ["value", "jvp", "vjp", "vmap"];

enum Outcome {
    Passed,
    Failed(String),
    Unsupported(String),
}

/// Counts by transform of passed, failed, unsupported.
type Counts = [[usize; 3]; 4];

impl Harness {
    /// Whether none failed.
    pub fn execute(&self) -> Result<bool> {
        // arrays of files are made where the programs run
        set_default_device(self.device);
        let index = self.dir.join("index.jsonl");
        let text = std::fs::read_to_string(&index).map_err(|e| Error::io(format!("read {}", index.display()), &e))?;
        let mut groups: BTreeMap<String, Counts> = BTreeMap::new();
        let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
        let mut not_judged: BTreeMap<String, usize> = BTreeMap::new();
        let mut open_by_transform = [0usize; 4];
        let mut list = self.passed.as_deref().map(Passed::read).transpose()?;
        let mut lost = Vec::new();
        // a bug of the compiler in one case should not hide the others
        std::panic::set_hook(Box::new(|_| {}));
        for line in text.lines() {
            let case: Value = serde_json::from_str(line).map_err(|e| Error::io(index.display().to_string(), &e))?;
            let field = |name: &str| case[name].as_str().unwrap_or_default().to_string();
            let (name, group) = (field("name"), field("group"));
            if self.only.as_ref().is_some_and(|o| !name.contains(o.as_str())) {
                continue;
            }
            let has = |t: &str| case["has"].as_array().is_some_and(|h| h.iter().any(|x| x == t));
            let opened = Case::open(&self.dir, &name, &group, self.device);
            for (i, transform) in TRANSFORMS.iter().enumerate().filter(|(_, t)| has(t)) {
                if let Some(open) = judge::not_judged(&group, transform, &name) {
                    *not_judged.entry(format!("{group} {transform}: {open}")).or_default() += 1usize;
                    open_by_transform[i] += 1;
                    continue;
                }
                let outcome = match &opened {
                    Ok(case) => outcome(case, transform),
                    Err(e) => outcome_of(e),
                };
                let (kind, why) = match outcome {
                    Outcome::Passed => (0, None),
                    Outcome::Failed(why) => (1, Some(("FAIL", why))),
                    Outcome::Unsupported(why) => (2, Some(("none", why))),
                };
                groups.entry(group.clone()).or_default()[i][kind] += 1;
                if let Some(list) = &mut list {
                    if why.is_none() {
                        list.add(&name, transform);
                    } else if list.has(&name, transform) {
                        lost.push(format!("{name} {transform}"));
                    }
                }
                if let Some((word, why)) = why {
                    if self.verbose {
                        println!("{word} {transform:5} {name}: {why}");
                    }
                    let (n, groups) = reasons.entry(format!("{word} {transform:5} {}", cause(&why))).or_default();
                    *n += 1;
                    if !groups.split(' ').any(|g| g == group) {
                        *groups += &format!(" {group}");
                    }
                }
            }
        }
        let _ = std::panic::take_hook();
        let total = table(&groups);
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
        for (why, (n, groups)) in reasons {
            println!("{n:5}  {why}  in{groups}");
        }
        for (what, n) in not_judged {
            println!("{n:5}  not judged {what}");
        }
        let open: usize = open_by_transform.iter().sum();
        println!("of what JAX does, with {open} not judged counted as not matched:");
        for (i, (transform, open)) in TRANSFORMS.iter().zip(open_by_transform).enumerate() {
            let (done, all) = (total[i][0], total[i].iter().sum::<usize>());
            let percent = |n: usize| 100.0 * done as f64 / n.max(1) as f64;
            println!(
                "{transform:5} {done} of {}, {:.2} % (of those judged {:.2} %)",
                all + open,
                percent(all + open),
                percent(all)
            );
        }
        for what in &lost {
            println!("LOST {what}: it is on the list of what passes");
        }
        match (list, &self.passed) {
            (Some(list), Some(path)) => {
                list.write(path)?;
                Ok(lost.is_empty())
            }
            _ => Ok(total.iter().all(|c| c[1] == 0)),
        }
    }
}

/// Prints the table; the sums of its columns.
fn table(groups: &BTreeMap<String, Counts>) -> Counts {
    println!("{:32}{:>14}{:>14}{:>14}{:>14}", "passed/failed/unsupported", "value", "jvp", "vjp", "vmap");
    let mut total = Counts::default();
    let row = |name: &str, counts: &Counts| {
        let cell = |c: &[usize; 3]| {
            if *c == [0; 3] { "-".to_string() } else { format!("{}/{}/{}", c[0], c[1], c[2]) }
        };
        let cells: String = counts.iter().map(|c| format!("{:>14}", cell(c))).collect();
        println!("{name:32}{cells}");
    };
    for (name, counts) in groups {
        row(name, counts);
        for (sum, c) in total.iter_mut().flatten().zip(counts.iter().flatten()) {
            *sum += c;
        }
    }
    row("all", &total);
    total
}

fn panic_text(p: &(dyn std::any::Any + Send)) -> String {
    let text = p.downcast_ref::<String>().cloned();
    text.or_else(|| p.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default()
}

fn outcome(case: &Case, transform: &str) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| case.difference(transform))) {
        Ok(Ok(None)) => Outcome::Passed,
        Ok(Ok(Some(why))) => Outcome::Failed(why),
        Ok(Err(e)) => outcome_of(&e),
        Err(p) => Outcome::Failed(format!("panic: {}", panic_text(&*p))),
    }
}

/// What gradloom refuses is unsupported; a bug is a failure.
fn outcome_of(e: &Error) -> Outcome {
    let text = e.to_string().lines().next().unwrap_or_default().to_string();
    match e.kind() {
        ErrorKind::Internal => Outcome::Failed(text),
        _ => Outcome::Unsupported(text),
    }
}

/// The reason without positions and numbers of the one case.
fn cause(why: &str) -> String {
    if why.contains(" differ, ") {
        return "wrong value".into();
    }
    let place = why.split_once(".mlir:").and_then(|(_, r)| r.splitn(3, ':').nth(2)).map(str::trim_start);
    place.unwrap_or(why).to_string()
}
