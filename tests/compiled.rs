//! Compiled code against the interpreter: every op instance of the rule table, with its derivatives and batched, in f64
//! and f32, and generated programs with their gradients.

#[path = "../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../passes/tests/rules/rows.rs"]
mod rows;

use gradloom_backends::{Buffer, Device, compile_for};
use gradloom_ir::eval::eval;
use gradloom_ir::{DType, Graph, Literal};
use gradloom_passes::transform::{batch, jvp, linearize, transpose};
use gradloom_passes::{PassContext, Pipeline};
use oracle::programs::{Kind, looped, program, types};
use std::sync::Arc;

/// Optimises and compiles `g` and compares it with the interpreter on the program as it was.
///
/// Sums may associate otherwise, and the gradient of a rounded function may amplify that: hence a tolerance.
#[track_caller]
fn check(name: &str, g: &Graph, inputs: &[Literal], tolerance: f64) {
    let expected = eval(g, inputs).unwrap_or_else(|e| panic!("{name}: {e}\n{g}"));
    for optimised in [true, false] {
        let mut h = g.clone();
        let pipeline =
            if optimised { Pipeline::standard() } else { Pipeline::standard().disable("simplify").disable("cse") };
        pipeline.run_with(&mut h, &mut PassContext::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let args: Vec<Arc<Buffer>> = inputs.iter().map(|l| Arc::new(Buffer::from_bytes(l.bytes()))).collect();
        let exe = compile_for(&h, Device::Cpu).unwrap_or_else(|e| panic!("{name}: {e}\n{h}"));
        let donated = inputs.iter().map(|l| Arc::new(Buffer::from_bytes(l.bytes()))).collect();
        for outs in [exe.run(&args), exe.run_donating(donated, 0)] {
            let outs = outs.unwrap_or_else(|e| panic!("{name}: {e}"));
            for ((e, o), ty) in expected.iter().zip(&outs).zip(g.output_types()) {
                let got = Literal::from_bytes(ty, o.bytes().to_vec()).expect("results have their types");
                assert!(
                    oracle::agree(e, &got, Some(tolerance)),
                    "{name}\n{g}\noptimised\n{h}\n{}\ninputs {inputs:?}\nexpected {e:?}\ngot {got:?}",
                    exe.schedule()
                );
            }
        }
    }
}

fn floats(g: &Graph) -> Vec<bool> {
    g.input_types().iter().map(|t| t.dtype.is_inexact()).collect()
}

/// `(inputs, cotangents of active outputs)` to cotangents of the float inputs.
fn pullback(g: &Graph) -> Option<(Graph, Graph, usize)> {
    let lin = linearize(g, &floats(g)).ok()?;
    let linear: Vec<bool> = (0..lin.linear.num_inputs()).map(|i| i >= lin.residuals).collect();
    let t = transpose(&lin.linear, &linear).ok()?.graph;
    Some((lin.primal, t, lin.residuals))
}

/// Checks a program, its jvp, its pullback and its batch.
fn check_transforms(name: &str, g: &Graph, point: &[Literal], r: &mut rows::Random, tolerance: f64) {
    check(name, g, point, tolerance);
    if floats(g).contains(&true)
        && let Ok(j) = jvp(g, &floats(g), None)
    {
        let types = j.graph.input_types();
        let mut inputs = point.to_vec();
        inputs.extend(r.direction(&types[point.len()..]));
        check(&format!("jvp of {name}"), &j.graph, &inputs, tolerance);
    }
    if let Some((primal, pull, residuals)) = pullback(g) {
        let outs = eval(&primal, point).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut inputs = outs[outs.len() - residuals..].to_vec();
        let types = pull.input_types();
        inputs.extend(r.direction(&types[residuals..]));
        check(&format!("pullback of {name}"), &pull, &inputs, tolerance);
    }
    if g.num_inputs() > 0 {
        let all = vec![true; g.num_inputs()];
        let b = batch(g, &all, 2, None, None).unwrap_or_else(|e| panic!("{name}: {e}"));
        let inputs: Vec<Literal> = point
            .iter()
            .map(|l| {
                let mut ty = l.ty().clone();
                ty.shape.insert(0, 2);
                Literal::from_bytes(ty, [l.bytes(), l.bytes()].concat()).expect("twice the bytes")
            })
            .collect();
        check(&format!("batch of {name}"), &b.graph, &inputs, tolerance);
    }
}

#[test]
fn every_op_in_f64() {
    for row in rows::table() {
        let mut r = rows::Random(7);
        let point = r.point(&row);
        check_transforms(row.text, &row.graph, &point, &mut r, 1e-9);
    }
}

/// Every row of the table with its f64 and complex128 replaced. Rows that name f32 convert between the two.
fn every_op_in(rename: impl Fn(&str) -> String, tolerance: f64) {
    let mut rows = 0;
    for row in rows::table().into_iter().filter(|r| !r.text.contains("f32")) {
        let renamed = rename(row.text);
        // no integer is narrowed: the row's numbers may not fit
        if renamed == row.text {
            continue;
        }
        let text: &'static str = Box::leak(renamed.into_boxed_str());
        let row = rows::row(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut r = rows::Random(7);
        let point = r.point(&row);
        check_transforms(text, &row.graph, &point, &mut r, tolerance);
        rows += 1;
    }
    assert!(rows > 80, "{rows} rows");
}

#[test]
fn every_op_in_f32_and_c64() {
    every_op_in(|t| t.replace("64", "32").replace("c128", "c64"), 2e-4);
}

/// The interpreter rounds after every op, a loop nest when it stores: derivatives differ by a few roundings.
#[test]
fn every_op_in_f16() {
    every_op_in(|t| if t.contains("c128") { t.into() } else { t.replace("f64", "f16").replace("u64", "u16") }, 0.02);
}

#[test]
fn every_op_in_bf16() {
    every_op_in(|t| if t.contains("c128") { t.into() } else { t.replace("f64", "bf16").replace("u64", "u16") }, 0.15);
}

#[test]
fn generated_programs() {
    for seed in 0..300 {
        let mut o = oracle::Random(seed);
        let types = types(&mut o);
        let kind = if seed % 2 == 0 { Kind::Exact } else { Kind::Sums };
        let g = program(&mut o, &types, kind);
        let point = oracle::inputs(seed, &g, false);
        check(&format!("generated {seed}"), &g, &point, 1e-9);
        if seed % 4 == 0 && g.input_types().iter().any(|t| t.dtype == DType::F64) {
            check_transforms(&format!("generated {seed}"), &g, &point, &mut rows::Random(seed), 1e-6);
        }
    }
}

#[test]
fn generated_loops() {
    for seed in 0..150 {
        let g = looped(&mut oracle::Random(seed));
        check(&format!("loop {seed}"), &g, &oracle::inputs(seed, &g, false), 1e-9);
    }
}
