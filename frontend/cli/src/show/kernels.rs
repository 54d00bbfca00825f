//! What a program is compiled to, as text.

use gradloom_backends::cpu::codegen::Listing;
use gradloom_backends::cpu::{self, Explained, StepInfo};
use gradloom_ir::{Error, Graph, Names, Result, Value};
use std::fmt::Write;

/// A step of the program or of a nested one.
pub struct Placed<'a> {
    /// The step.
    pub step: &'a StepInfo,
    /// Its number, after those of the steps it is inside of: `3.body1.0`.
    pub path: String,
    /// How often it runs a call, as far as that is known.
    pub times: u64,
    /// The program it is a step of, and the names of its values.
    pub graph: &'a Graph,
    /// The names of its values.
    pub names: Option<&'a Names>,
}

/// All steps, those of nested programs after the step they belong to.
pub fn steps<'a>(explained: &'a Explained, names: &'a Names) -> Vec<Placed<'a>> {
    let mut all = Vec::new();
    collect(&explained.steps, "", 1, &explained.graph, Some(names), &mut all);
    all
}

fn collect<'a>(
    steps: &'a [StepInfo],
    prefix: &str,
    times: u64,
    graph: &'a Graph,
    names: Option<&'a Names>,
    all: &mut Vec<Placed<'a>>,
) {
    for (i, step) in steps.iter().enumerate() {
        let path = format!("{prefix}{i}");
        let inside = times.saturating_mul(step.trips);
        let prefix = |k: usize| format!("{path}.body{k}.");
        let bodies: Vec<_> = step.bodies.iter().enumerate().map(|(k, b)| (prefix(k), k, b)).collect();
        all.push(Placed { step, path, times, graph, names });
        let Some(&node) = step.nodes.first().filter(|_| !bodies.is_empty()) else { continue };
        for (prefix, k, body) in bodies {
            let names = names.and_then(|n| n.bodies.get(&node)).and_then(|n| n.get(k));
            collect(body, &prefix, inside, graph.nodes()[node].op.bodies()[k], names, all);
        }
    }
}

/// Why two values of the compiled program run together, or do not.
///
/// # Errors
/// If there is no value of such a name.
pub fn why_apart(explained: &Explained, names: &Names, a: &str, b: &str) -> Result<String> {
    let name = |v: Value| names.values.get(v.index()).map_or_else(|| v.to_string(), |n| format!("%{n}"));
    let find = |wanted: &str| {
        let values = (0..explained.graph.num_values()).map(Value::from_index);
        values.into_iter().find(|&v| name(v).trim_start_matches('%') == wanted.trim_start_matches('%')).ok_or_else(
            || {
                Error::user("explain", format!("what is compiled has no value `{wanted}`"))
                    .help("`--kernels` prints the names; passes may have removed a value, or joined it with another")
            },
        )
    };
    cpu::why_apart(&explained.graph, find(a)?, find(b)?, &name)
}

/// A count in three digits and a prefix.
pub fn short(x: u64) -> String {
    let units = ["", "k", "M", "G", "T", "P", "E"];
    let power = (0..units.len() - 1).find(|&p| (x as f64) < 999.5 * 1000f64.powi(p as i32)).unwrap_or(units.len() - 1);
    let scaled = x as f64 / 1000f64.powi(power as i32);
    let digits = if power == 0 || scaled >= 99.95 {
        0
    } else if scaled >= 9.995 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$} {}", units[power])
}

/// The name of a value.
pub fn name(names: Option<&Names>, v: Value) -> String {
    names.and_then(|n| n.values.get(v.index())).map_or_else(|| v.to_string(), |n| format!("%{n}"))
}

fn list(placed: &Placed, values: &[Value]) -> String {
    let typed = |&v: &Value| format!("{} {}", name(placed.names, v), placed.graph.ty(v));
    if values.is_empty() { "nothing".into() } else { values.iter().map(typed).collect::<Vec<_>>().join(", ") }
}

/// The steps as text.
pub fn text(explained: &Explained, names: &Names) -> String {
    let mut out = String::new();
    let all = steps(explained, names);
    let _ = writeln!(out, "{} steps, {}B of intermediates\n", all.len(), short(explained.arena_bytes as u64));
    for placed in &all {
        let step = placed.step;
        let _ = write!(out, "step {}: {} {}\n  ", placed.path, step.kind.name(), step.name);
        let _ = write!(out, "{}flop, {}B moved", short(step.flops), short(step.bytes));
        if step.bytes > 0 {
            let _ = write!(out, ", {:.2} flop/B", step.flops as f64 / step.bytes as f64);
        }
        if !step.nest.is_empty() {
            let (split, grain) = step.split;
            let _ = write!(out, ", {} lanes, threads share {split} iterations by {grain}", step.lanes);
        }
        if placed.times > 1 {
            let _ = write!(out, ", runs {} times", placed.times);
        }
        let _ = writeln!(out, ", {}B live", short(step.live_bytes as u64));
        let _ = writeln!(out, "  reads {}; writes {}", list(placed, &step.reads), list(placed, &step.writes));
        for &node in &step.nodes {
            let text = placed.graph.text().elements(super::ELEMENTS);
            let text = placed.names.map_or(text, |n| text.names(n));
            let _ = writeln!(out, "    {}", text.node(node));
        }
        if !step.nest.is_empty() {
            let _ = writeln!(out, "  as loops:\n{}", indented(&step.nest));
        }
        match &step.code {
            Some(Listing::Cranelift(code)) => {
                let _ = writeln!(out, "  in Cranelift's code:\n{}", indented(code));
            }
            Some(Listing::Assembly(code)) => {
                let _ = writeln!(out, "  as assembly:\n{}", indented(code));
            }
            None => {}
        }
        out.push('\n');
    }
    out
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|l| format!("    {l}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn counts_have_three_digits() {
        let cases = [
            (0, "0 "),
            (7, "7 "),
            (999, "999 "),
            (1000, "1.00 k"),
            (12345, "12.3 k"),
            (999_499, "999 k"),
            (999_500, "1.00 M"),
            (u64::MAX, "18.4 E"),
        ];
        for (x, expected) in cases {
            assert_eq!(short(x), expected);
        }
    }
}
