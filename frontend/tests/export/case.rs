//! One exported program with inputs and what should come out.

use gradloom_frontend::stablehlo;
use gradloom_ir::eval::eval;
use gradloom_ir::{Binary, DType, Graph, Literal, Op, ScatterKind, Unary};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// How closely floats agree, in units of the last place. Integers, and floats that are only moved, are equal.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub ulps: f64,
    /// Whether the unit is that of the greatest element, not of each: where sums cancel.
    pub scaled: bool,
    /// Lesser numbers have the unit of this one: around the zeros of a function.
    pub floor: f64,
}

pub struct Case {
    pub name: String,
    pub text: String,
    pub inputs: Vec<Literal>,
    pub expected: Vec<Literal>,
    pub rule: Rule,
}

/// Units in the last place between XLA's elementwise functions and ours.
const CLOSE: f64 = 6.0;
/// Functions that are farther apart, in f64 or near their zeros or where they overflow.
const LOOSER: &[(&str, Rule)] = &[
    ("lgamma", Rule { ulps: 12.0, scaled: false, floor: 1.0 }),
    ("digamma", Rule { ulps: 12.0, scaled: false, floor: 1.0 }),
    ("complex power", Rule { ulps: 100.0, scaled: false, floor: 0.0 }),
    ("zeta", Rule { ulps: 40.0, scaled: false, floor: 0.0 }),
    ("complex sinh", Rule { ulps: 40.0, scaled: false, floor: 0.0 }),
    ("complex cosh", Rule { ulps: 40.0, scaled: false, floor: 0.0 }),
    ("sinh", Rule { ulps: 40.0, scaled: false, floor: 0.0 }),
    ("cosh", Rule { ulps: 40.0, scaled: false, floor: 0.0 }),
];

/// What gradloom's interpreter computes.
pub fn run(g: &Graph, inputs: &[Literal]) -> Vec<Literal> {
    eval(g, inputs).unwrap_or_else(|e| panic!("{e}\n{g}"))
}

fn rule(g: &Graph) -> Rule {
    let moves = |op: &Op| {
        matches!(
            op,
            Op::Constant { .. }
                | Op::Broadcast { .. }
                | Op::Reshape { .. }
                | Op::Transpose { .. }
                | Op::Slice { .. }
                | Op::Pad { .. }
                | Op::Concatenate { .. }
                | Op::Reverse { .. }
                | Op::DynamicSlice { .. }
                | Op::DynamicUpdateSlice {}
                | Op::Gather { .. }
                | Op::Scatter { kind: ScatterKind::Set, .. }
                | Op::Sort { .. }
                | Op::Select {}
                | Op::Bitcast { .. }
                | Op::Barrier {}
                | Op::Compare(_)
                | Op::Unary(Unary::Neg | Unary::Real | Unary::Imag | Unary::IsFinite)
                | Op::Binary(Binary::Complex)
        )
    };
    if g.nodes().iter().all(|n| moves(&n.op)) {
        return Rule { ulps: 0.0, scaled: false, floor: 0.0 };
    }
    if let [node] = g.nodes()
        && matches!(node.op, Op::Unary(_) | Op::Binary(_) | Op::Convert { .. })
    {
        let complex = if g.ty(node.results[0]).dtype.is_complex() { "complex " } else { "" };
        let name = format!("{complex}{}", node.op.name());
        let close = Rule { ulps: CLOSE, scaled: false, floor: 0.0 };
        return LOOSER.iter().find(|(op, _)| *op == name).map_or(close, |(_, rule)| *rule);
    }
    Rule { ulps: 200.0, scaled: true, floor: 0.0 }
}

impl Case {
    /// The program's text, and what the interpreter computes from it.
    pub fn of(name: &str, g: &Graph, inputs: &[Literal]) -> Case {
        let text = stablehlo::export(g).unwrap_or_else(|e| panic!("{name}: {e}\n{g}"));
        Case { name: name.to_string(), text, inputs: inputs.to_vec(), expected: run(g, inputs), rule: rule(g) }
    }
}

/// The spacing of numbers of a dtype around 1.
fn epsilon(dtype: DType) -> f64 {
    match dtype.real() {
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        DType::F32 => 2f64.powi(-23),
        DType::F64 => f64::EPSILON,
        _ => 0.0,
    }
}

/// The least number that XLA does not make 0. (16-bit floats are computed in f32.)
fn least_normal(dtype: DType) -> f64 {
    match dtype.real() {
        DType::F64 => f64::MIN_POSITIVE,
        _ => f64::from(f32::MIN_POSITIVE),
    }
}

/// What differs; `None` if nothing does.
fn difference(rule: Rule, got: &Literal, want: &Literal) -> Option<String> {
    if got.ty() != want.ty() {
        return Some(format!("{} instead of {}", got.ty(), want.ty()));
    }
    if got == want {
        return None;
    }
    let dtype = want.ty().dtype;
    let eps = epsilon(dtype);
    let (got, want) = (got.to_numbers(), want.to_numbers());
    let finite = want.iter().filter(|x| x.is_finite());
    let greatest = finite.fold(0.0f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let unit = eps * if rule.scaled { greatest } else { w.abs().max(rule.floor) };
        let small = rule.ulps > 0.0 && (g - w).abs() < 2.0 * least_normal(dtype);
        let ok = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= rule.ulps * unit || small;
        if !ok {
            return Some(format!("element {i} is {g:e}, should be {w:e} ({:.1} units)", (g - w).abs() / unit));
        }
    }
    None
}

/// Reads the texts back and runs them; then, if there is a JAX, lets XLA run them.
pub fn check(group: &str, cases: Vec<Case>) {
    let mut failed = Vec::new();
    for c in &cases {
        let again = match stablehlo::import(&c.text) {
            Ok(g) => g,
            Err(e) => {
                failed.push(format!("{}: {e}", c.name));
                continue;
            }
        };
        match eval(&again, &c.inputs) {
            Ok(outs) if outs.len() == c.expected.len() => {
                let found = outs.iter().zip(&c.expected).filter_map(|(g, w)| difference(c.rule, g, w));
                failed.extend(found.map(|d| format!("{}: read back: {d}", c.name)));
            }
            Ok(outs) => failed.push(format!("{}: {} results for {}", c.name, outs.len(), c.expected.len())),
            Err(e) => failed.push(format!("{}: {e}", c.name)),
        }
    }
    let problem = format!("{} of {} programs differ when read back:\n{}", failed.len(), cases.len(), failed.join("\n"));
    assert!(failed.is_empty(), "{problem}");
    match python() {
        Some(python) => xla(&python, group, &cases),
        // past the test harness, which would keep it to itself
        None => {
            let note = "no Python with JAX (GRADLOOM_JAX_PYTHON, python3)";
            let _ =
                writeln!(std::io::stderr(), "SKIPPED: {} {group} programs were not run by XLA: {note}", cases.len());
        }
    }
}

/// A Python that has JAX.
fn python() -> Option<String> {
    if let Ok(named) = std::env::var("GRADLOOM_JAX_PYTHON") {
        return Some(named);
    }
    let found = Command::new("python3").args(["-c", "import jax"]).output().is_ok_and(|o| o.status.success());
    found.then(|| "python3".to_string())
}

/// The cases as files: texts and types in `cases.json`, all numbers one after the other in `cases.bin`.
fn write(folder: &PathBuf, cases: &[Case]) {
    let mut bytes = Vec::new();
    let mut arrays = |xs: &[Literal]| -> Vec<serde_json::Value> {
        let one = |x: &Literal| {
            let at = bytes.len();
            bytes.extend_from_slice(x.bytes());
            serde_json::json!([x.ty().dtype.name(), x.ty().shape.to_vec(), at])
        };
        xs.iter().map(one).collect()
    };
    let list: Vec<serde_json::Value> = cases
        .iter()
        .map(|c| {
            let (inputs, expected) = (arrays(&c.inputs), arrays(&c.expected));
            serde_json::json!({
                "name": c.name, "text": c.text, "inputs": inputs, "expected": expected,
                "ulps": c.rule.ulps, "scaled": c.rule.scaled, "floor": c.rule.floor,
            })
        })
        .collect();
    std::fs::create_dir_all(folder).expect("a folder for the cases");
    std::fs::write(folder.join("cases.json"), serde_json::json!(list).to_string()).expect("the cases are written");
    std::fs::write(folder.join("cases.bin"), bytes).expect("the cases' numbers are written");
}

fn xla(python: &str, group: &str, cases: &[Case]) {
    let kept = std::env::var_os("GRADLOOM_EXPORT_CASES").map(PathBuf::from);
    let folder = match &kept {
        Some(folder) => folder.join(group),
        None => std::env::temp_dir().join(format!("gradloom-export-{group}-{}", std::process::id())),
    };
    write(&folder, cases);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/jax/export.py");
    let out = Command::new(python).arg(script).arg(&folder).output().expect("Python starts");
    if kept.is_none() {
        let _ = std::fs::remove_dir_all(&folder);
    }
    let said = String::from_utf8_lossy(&out.stdout);
    let all = format!("{} passed, 0 failed", cases.len());
    assert!(said.lines().last() == Some(&all[..]), "{said}{}", String::from_utf8_lossy(&out.stderr));
    println!("{group}: {all}");
}
