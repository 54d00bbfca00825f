//! `gradloom harness`

use crate::compare::{Tolerance, apart};
use crate::program::{Where, to_literal};
use clap::Args;
use gradloom_frontend::stablehlo::{Function, load};
use gradloom_frontend::{DType, Tensor, io, jit, jvp, vjp, vmap};
use gradloom_ir::{Error, ErrorKind, Result, Type};
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Runs JAX's own test cases, as `tests/jax/harness.py` wrote them: imports each program and compares its value, and
/// gradloom's own jvp, vjp and vmap of it, with JAX's.
///
/// Prints a table by group, one `passed/failed/unsupported` a transform, and the reasons with their counts. Exits with 1
/// if any failed.
#[derive(Args)]
pub struct Harness {
    /// The folder with `index.jsonl`.
    dir: PathBuf,
    /// Where to run.
    #[arg(long, value_enum, default_value_t = Where::Cpu)]
    device: Where,
    /// Write what passed to this file, a line `case transform` each, sorted.
    #[arg(long)]
    passed: Option<PathBuf>,
    /// Only cases whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// A line for each case that did not pass.
    #[arg(long, short)]
    verbose: bool,
}

/// Relative error allowed, by dtype. Integers and bools are equal.
const TOLERANCES: &[(&str, f64)] =
    &[("f64", 1e-11), ("c128", 1e-11), ("f32", 2e-5), ("c64", 2e-5), ("f16", 4e-3), ("bf16", 3e-2)];

/// Groups that are allowed more: the factor, and why.
const LOOSER: &[(&str, f64, &str)] = &[
    ("igamma", 100.0, "a series summed until its terms are small"),
    ("igammac", 100.0, "a series summed until its terms are small"),
    ("random_gamma", 100.0, "its derivative is such a series"),
    ("regularized_incomplete_beta", 100.0, "a continued fraction"),
    ("eigh", 20.0, "eigenvectors of close eigenvalues"),
    ("reduce_precision", 500.0, "JAX rounds tangents too, gradloom passes them through"),
    ("pow", 20.0, "complex powers of large exponents, and a derivative that is a sum of two terms that cancel"),
];

/// What cannot be compared: group, transforms, part of the dtype's or the case's name, and why.
const NOT_JUDGED: &[(&str, &[&str], &str, &str)] = &[
    ("random_gamma", &["jvp", "vjp"], "", "JAX gives it a derivative that its text does not carry"),
    ("rng_bit_generator", &["vmap"], "", "JAX draws the whole batch from the first key"),
    ("acosh", &["jvp", "vjp"], "complex", "JAX's derivative is on the wrong branch where the real part is negative"),
    ("approx_top_k", &["value", "jvp", "vjp", "vmap"], "float16", "which of equal elements is found is open"),
    ("pow", &["jvp", "vjp"], "float16", "JAX's intermediate results overflow"),
    ("tan", &["jvp", "vjp"], "float16", "JAX's intermediate results overflow"),
    ("stop_gradient", &["jvp", "vjp"], "", "JAX writes it as the identity"),
    ("rng_bit_generator", &["value", "vmap"], "RNG_DEFAULT", "the default algorithm is the machine's choice"),
    ("svd", &["jvp", "vjp"], "", "the signs of singular vectors are open"),
    ("eigh", &["jvp", "vjp"], "", "the signs of eigenvectors are open"),
    ("cholesky", &["jvp", "vjp"], "", "JAX reads all of the tangent of a matrix of which one triangle counts"),
    ("igamma", &["jvp", "vjp"], "", "JAX gives it a derivative that its text does not carry"),
    ("igammac", &["jvp", "vjp"], "", "JAX gives it a derivative that its text does not carry"),
    ("digamma", &["jvp", "vjp"], "", "JAX's derivative is wrong at negative arguments"),
    ("eig", &["value", "jvp", "vjp", "vmap"], "", "the order of eigenvalues is open"),
    ("clamp", &["jvp", "vjp"], "", "JAX's derivative takes the bounds to be in order"),
    ("max", &["jvp", "vjp"], "nan", "the derivative where both arguments are NaN is open"),
    ("min", &["jvp", "vjp"], "nan", "the derivative where both arguments are NaN is open"),
];

/// Groups whose results are sums in an order of the machine's choosing: errors are relative to the largest element.
const SUMS: &[&str] = &[
    "dot_general",
    "conv_general_dilated",
    "reduce_sum",
    "reduce_window_add",
    "reduce_window_mul",
    "cumsum",
    "cumprod",
    "cumlogsumexp",
    "triangular_solve",
    "custom_linear_solve",
    "tridiagonal_solve",
    "fft",
    "cholesky",
    "lu",
    "qr",
    "svd",
    "eigh",
    "eig",
];

/// Groups whose vectors are unique up to a sign or phase.
const UP_TO_PHASE: &[&str] = &["svd", "eigh", "qr"];

fn tolerance(group: &str, dtype: DType, narrowest: f64) -> Tolerance {
    let relative = TOLERANCES.iter().find(|(d, _)| *d == dtype.name()).map_or(0.0, |(_, r)| *r);
    // what is converted on the way is no more accurate than its narrowest form
    let relative = if relative == 0.0 { 0.0 } else { narrowest.max(relative) };
    let factor = LOOSER.iter().find(|(g, ..)| *g == group).map_or(1.0, |(_, f, _)| *f);
    Tolerance {
        relative: relative * factor,
        to_largest: SUMS.contains(&group),
        magnitudes: UP_TO_PHASE.contains(&group),
    }
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
        let index = self.dir.join("index.jsonl");
        let text = std::fs::read_to_string(&index).map_err(|e| Error::io(format!("read {}", index.display()), &e))?;
        let mut groups: BTreeMap<String, Counts> = BTreeMap::new();
        let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
        let mut not_judged: BTreeMap<String, usize> = BTreeMap::new();
        let mut passed = Vec::new();
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
            let dtype = field("dtype");
            let opened = Case::open(&self.dir, &name, &group, self.device);
            for (i, transform) in TRANSFORMS.iter().enumerate().filter(|(_, t)| has(t)) {
                let open = NOT_JUDGED.iter().find(|(g, ts, part, _)| {
                    *g == group && ts.contains(transform) && (dtype.contains(part) || name.contains(part))
                });
                if let Some((g, _, part, why)) = open {
                    *not_judged.entry(format!("{g} {part} {transform}: {why}")).or_default() += 1usize;
                    continue;
                }
                let outcome = match &opened {
                    Ok(case) => catch_unwind(AssertUnwindSafe(|| case.run(transform)))
                        .unwrap_or_else(|p| Outcome::Failed(format!("panic: {}", panic_text(&*p)))),
                    Err(e) => outcome_of(e),
                };
                let (kind, why) = match outcome {
                    Outcome::Passed => {
                        passed.push(format!("{name} {transform}"));
                        (0, None)
                    }
                    Outcome::Failed(why) => (1, Some(("FAIL", why))),
                    Outcome::Unsupported(why) => (2, Some(("none", why))),
                };
                groups.entry(group.clone()).or_default()[i][kind] += 1;
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
        if let Some(path) = &self.passed {
            passed.sort();
            io::write_atomically(path, (passed.join("\n") + "\n").as_bytes())?;
        }
        Ok(total.iter().all(|c| c[1] == 0))
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

/// One program with JAX's arrays.
struct Case {
    group: String,
    function: Function,
    arrays: BTreeMap<String, Tensor>,
    device: Where,
}

/// Whether values of the dtype have tangents.
fn has_tangent(ty: &Type) -> bool {
    ty.dtype.is_inexact()
}

impl Case {
    fn open(dir: &Path, name: &str, group: &str, device: Where) -> Result<Case> {
        let function = load(dir.join(format!("{name}.mlir")))?;
        let arrays = io::load_npz(dir.join(format!("{name}.npz")))?;
        Ok(Case { group: group.to_string(), function, arrays, device })
    }

    fn run(&self, transform: &str) -> Outcome {
        match self.difference(transform) {
            Ok(None) => Outcome::Passed,
            Ok(Some(why)) => Outcome::Failed(why),
            Err(e) => outcome_of(&e),
        }
    }

    /// The arrays `prefix0`, `prefix1`, .. as values of these types (files hold halves as f32).
    fn values(&self, prefix: &str, types: impl Iterator<Item = DType>) -> Result<Vec<Tensor>> {
        let one = |(i, dtype): (usize, DType)| {
            let key = format!("{prefix}{i}");
            let x = self.arrays.get(&key).ok_or_else(|| Error::user("harness", format!("the file has no {key}")))?;
            let halves = x.dtype() == DType::F32 && dtype.is_half();
            Ok(if halves { x.to(dtype) } else { x.clone() })
        };
        types.enumerate().map(one).collect()
    }

    /// Tangents or cotangents: those of the file where there are any, zeros elsewhere.
    fn directions(&self, prefix: &str, types: &[Type]) -> Result<Vec<Tensor>> {
        let active = types.iter().filter(|t| has_tangent(t));
        let mut given = self.values(prefix, active.map(|t| t.dtype))?.into_iter();
        let zero = |t: &Type| Tensor::zeros(&t.shape[..]).to(t.dtype);
        Ok(types.iter().map(|t| has_tangent(t).then(|| given.next()).flatten().unwrap_or_else(|| zero(t))).collect())
    }

    fn difference(&self, transform: &str) -> Result<Option<String>> {
        let g = self.function.graph();
        let (inputs, outputs) = (g.input_types(), g.output_types());
        let device = self.device.device();
        let xs = |prefix: &str| self.values(prefix, inputs.iter().map(|t| t.dtype));
        let f = |x: &Vec<Tensor>| self.function.call(x);
        match transform {
            "value" => {
                let ys = jit(f).on(device).call(&xs("in")?)?;
                self.compare("out", &ys)
            }
            "jvp" => {
                let args = (xs("in")?, self.directions("dx", &inputs)?);
                let dys = jit(|(x, dx): &(Vec<Tensor>, Vec<Tensor>)| jvp(f, x, dx).1).on(device).call(&args)?;
                self.compare("dy", &active(dys, &outputs))
            }
            "vjp" => {
                let args = (xs("in")?, self.directions("ct", &outputs)?);
                let pulled = |(x, ct): &(Vec<Tensor>, Vec<Tensor>)| {
                    let (_, pull) = vjp(f, x);
                    pull(ct)
                };
                self.compare("g", &active(jit(pulled).on(device).call(&args)?, &inputs))
            }
            _ => {
                let ys = jit(vmap(f)).on(device).call(&xs("vin")?)?;
                self.compare("vout", &ys)
            }
        }
    }

    fn compare(&self, prefix: &str, got: &[Tensor]) -> Result<Option<String>> {
        let want = self.values(prefix, got.iter().map(Tensor::dtype))?;
        let g = self.function.graph();
        let all = g.input_types().into_iter().chain(g.output_types());
        let relative = |t: Type| TOLERANCES.iter().find(|(d, _)| *d == t.dtype.name()).map_or(0.0, |(_, r)| *r);
        let narrowest = all.map(relative).fold(0.0, f64::max);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let allowed = tolerance(&self.group, got.dtype(), narrowest);
            if let Some(why) = apart(allowed, &to_literal(got)?, &to_literal(want)?) {
                return Ok(Some(format!("{prefix}{i}: {why}")));
            }
        }
        Ok(None)
    }
}

/// The values that have tangents.
fn active(values: Vec<Tensor>, types: &[Type]) -> Vec<Tensor> {
    values.into_iter().zip(types).filter(|(_, t)| has_tangent(t)).map(|(v, _)| v).collect()
}
