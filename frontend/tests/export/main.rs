//! Programs written as StableHLO text: read back and run beside the original by the interpreter, and, where a Python
//! with JAX is at hand, compiled by XLA (`tests/jax/export.py`).
//!
//! `GRADLOOM_JAX_PYTHON` names that Python; else `python3` is tried. `GRADLOOM_EXPORT_CASES` keeps the cases in a folder.

mod case;
mod edges;
mod models;
#[path = "../../../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../../../passes/tests/rules/rows.rs"]
mod rows;

use case::{Case, check};
use gradloom_ir::{DType, Graph, Literal, parse};
use gradloom_passes::transform::{jvp, linearize, transpose};
use oracle::mixed::{self, Palette};
use std::path::Path;

/// The rows of the op table on these dtypes, at a point each.
fn table(dtypes: &[DType], mut add: impl FnMut(&str, &Graph, &[Literal], &mut rows::Random)) {
    for &dtype in dtypes {
        for (k, row) in rows::table().iter().enumerate() {
            let rows::Instance::Row(row) = rows::on_dtype(row, dtype) else { continue };
            let mut r = rows::Random(7);
            let point = r.point(&row);
            add(&format!("{dtype} row {k}: {}", row.text), &row.graph, &point, &mut r);
        }
    }
}

#[test]
fn every_op_on_every_dtype() {
    let mut cases = Vec::new();
    table(&DType::ALL, |name, g, point, _| cases.push(Case::of(name, g, point)));
    assert!(cases.len() > 1500, "{} rows", cases.len());
    check("table", cases);
}

fn floats(g: &Graph) -> Vec<bool> {
    g.input_types().iter().map(|t| t.dtype.is_inexact()).collect()
}

#[test]
fn derivatives_of_every_op() {
    let mut cases = Vec::new();
    table(&[DType::F32, DType::C64, DType::F64], |name, g, point, r| {
        let active = floats(g);
        if active.contains(&true)
            && let Ok(j) = jvp(g, &active, None)
        {
            let types = j.graph.input_types();
            let mut inputs = point.to_vec();
            inputs.extend(r.direction(&types[point.len()..]));
            cases.push(Case::of(&format!("jvp of {name}"), &j.graph, &inputs));
        }
        let Ok(l) = linearize(g, &active) else { return };
        let linear: Vec<bool> = (0..l.linear.num_inputs()).map(|i| i >= l.residuals).collect();
        let Ok(pull) = transpose(&l.linear, &linear) else { return };
        let outs = case::run(&l.primal, point);
        let mut inputs = outs[outs.len() - l.residuals..].to_vec();
        inputs.extend(r.direction(&pull.graph.input_types()[l.residuals..]));
        cases.push(Case::of(&format!("vjp of {name}"), &pull.graph, &inputs));
    });
    assert!(cases.len() > 600, "{} derivatives", cases.len());
    check("derivatives", cases);
}

#[test]
fn edges_of_every_elementwise_op() {
    check("edges", edges::cases());
}

/// The programs among the lines of a text.
fn programs_in(text: &str) -> Vec<Graph> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest
        .find("graph(")
        .filter(|&at| at == 0 || rest.as_bytes()[at - 1] == b'\n')
        .or_else(|| rest.find("\ngraph(").map(|at| at + 1))
    {
        let end = rest[at..].find("\n}").map_or(rest.len(), |e| at + e + 2);
        found.push(parse(&rest[at..end]).unwrap_or_else(|e| panic!("{e}\n{}", &rest[at..end])));
        rest = &rest[end..];
    }
    found
}

/// The programs of golden files and of the passes' tests.
#[test]
fn stored_programs() {
    let mut cases = Vec::new();
    let mut folders = vec![Path::new("../tests/golden").to_path_buf(), Path::new("../passes/tests/ir").to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> =
            std::fs::read_dir(&folder).expect("a folder of programs").flatten().map(|e| e.path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a file of programs");
            for (i, g) in programs_in(&text).iter().enumerate() {
                if g.calls_host() {
                    continue;
                }
                let name = format!("{} {i}", path.display());
                let inputs: Vec<Literal> =
                    g.input_types().iter().map(|t| oracle::unit_array(&mut oracle::Random(i as u64), t)).collect();
                cases.push(Case::of(&name, g, &inputs));
            }
        }
    }
    assert!(cases.len() > 100, "{} programs", cases.len());
    check("stored", cases);
}

#[test]
fn generated_programs() {
    let mut cases = Vec::new();
    for seed in 0..120 {
        let palette = Palette::nth(seed as usize, false);
        let g = mixed::program(&mut oracle::Random(1000 + seed), palette);
        cases.push(Case::of(
            &format!("mixed {seed} of {} and {}", palette.float, palette.int),
            &g,
            &mixed::inputs(seed, &g),
        ));
    }
    for seed in 0..60 {
        let g = oracle::programs::looped(&mut oracle::Random(seed));
        cases.push(Case::of(&format!("loop {seed}"), &g, &oracle::inputs(seed, &g, false)));
    }
    check("generated", cases);
}

#[test]
fn training_steps_and_loops() {
    check("models", models::cases());
}
