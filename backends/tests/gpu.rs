//! Whole programs on an emulated GPU against the interpreter: every op instance of the rule table on every dtype, its gradient
//! and its batch, loops and generated programs.

#[path = "../../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../../passes/tests/rules/rows.rs"]
mod rows;

use gradloom_backends::cuda::source;
use gradloom_backends::grid::{compile, run_emulated};
use gradloom_ir::eval::eval;
use gradloom_ir::{DType, Graph, Literal};
use gradloom_passes::transform::{batch, linearize, transpose};
use gradloom_passes::{PassContext, Pipeline};
use oracle::mixed::{self, Palette};
use oracle::programs::looped;
use std::collections::BTreeSet;

/// Optimises a program, runs it and compares; the ops without a form on GPUs are noted instead.
fn check(name: &str, g: &Graph, inputs: &[Literal], tolerance: f64, refused: &mut BTreeSet<String>) -> bool {
    let expected = eval(g, inputs).unwrap_or_else(|e| panic!("{name}: {e}\n{g}"));
    let mut h = g.clone();
    Pipeline::standard().run_with(&mut h, &mut PassContext::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
    // what has no text is refused, too
    let text = compile(&h).and_then(|p| p.kernels.iter().try_for_each(|k| source(k).map(drop)));
    let outs = match text.and_then(|()| run_emulated(&h, inputs)) {
        Ok(outs) => outs,
        Err(e) if e.to_string().contains("no form on GPUs") => {
            refused.insert(e.to_string().lines().next().unwrap_or_default().to_string());
            return false;
        }
        Err(e) => panic!("{name}: {e}\n{g}\noptimised\n{h}"),
    };
    for (e, o) in expected.iter().zip(&outs) {
        let close = oracle::agree(e, o, Some(tolerance));
        assert!(close, "{name}\n{g}\noptimised\n{h}\ninputs {inputs:?}\nexpected {e:?}\ngot {o:?}");
    }
    true
}

fn floats(g: &Graph) -> Vec<bool> {
    g.input_types().iter().map(|t| t.dtype.is_inexact()).collect()
}

/// The gradient of a program at a point, as a program and its inputs.
fn pullback(g: &Graph, point: &[Literal], r: &mut rows::Random) -> Option<(Graph, Vec<Literal>)> {
    let lin = linearize(g, &floats(g)).ok()?;
    let linear: Vec<bool> = (0..lin.linear.num_inputs()).map(|i| i >= lin.residuals).collect();
    let t = transpose(&lin.linear, &linear).ok()?.graph;
    let outs = eval(&lin.primal, point).ok()?;
    let mut inputs = outs[outs.len() - lin.residuals..].to_vec();
    inputs.extend(r.direction(&t.input_types()[lin.residuals..]));
    Some((t, inputs))
}

/// A program over two equal rows of each operand.
fn batched(g: &Graph, point: &[Literal]) -> Option<(Graph, Vec<Literal>)> {
    let b = batch(g, &vec![true; g.num_inputs()], 2, None, None).ok()?;
    let twice = |l: &Literal| {
        let mut ty = l.ty().clone();
        ty.shape.insert(0, 2);
        Literal::from_bytes(ty, [l.bytes(), l.bytes()].concat())
    };
    Some((b.graph, point.iter().map(twice).collect::<Option<_>>()?))
}

#[test]
fn every_op_on_every_dtype() {
    let (mut run, mut refused) = (0, BTreeSet::new());
    for dtype in DType::ALL {
        let tolerance = match dtype {
            DType::F16 => 0.02,
            DType::BF16 => 0.15,
            DType::F32 | DType::C64 => 2e-4,
            _ => 1e-9,
        };
        for row in rows::table() {
            let rows::Instance::Row(row) = rows::on_dtype(&row, dtype) else { continue };
            let (text, mut r) = (row.text, rows::Random(7));
            let point = r.point(&row);
            run += usize::from(check(text, &row.graph, &point, tolerance, &mut refused));
            if matches!(dtype, DType::F32 | DType::F64)
                && let Some((g, inputs)) = pullback(&row.graph, &point, &mut r)
            {
                run += usize::from(check(&format!("gradient of {text}"), &g, &inputs, tolerance, &mut refused));
            }
            if matches!(dtype, DType::F32 | DType::I32)
                && !point.is_empty()
                && let Some((g, inputs)) = batched(&row.graph, &point)
            {
                run += usize::from(check(&format!("batch of {text}"), &g, &inputs, tolerance, &mut refused));
            }
        }
    }
    println!("{run} programs; refused:\n{}", refused.iter().cloned().collect::<Vec<_>>().join("\n"));
    assert!(run > 600, "{run}");
    // what is left for NVIDIA's libraries, and functions of f64 that CUDA lacks
    let libraries = ["fft", "cholesky", "triangular_solve", "lu", "qr", "svd", "eig", "pinv", "spectral"];
    let complex = ["cumulative", "reduce_window", "select_and", "scatter"];
    let functions = ["digamma", "bessel_i0e", "bessel_i1e", "zeta"];
    let known = |e: &&String| libraries.iter().chain(&complex).chain(&functions).any(|op| e.starts_with(op));
    let unknown: Vec<&String> = refused.iter().filter(|e| !known(e)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Loops of few numbers are one kernel, others launches in every step.
#[test]
fn loops() {
    let (mut refused, mut one_kernel, mut stepped) = (BTreeSet::new(), 0, 0);
    for seed in 0..90 {
        let g = looped(&mut oracle::Random(seed));
        check(&format!("loop {seed}"), &g, &oracle::inputs(seed, &g, false), 1e-9, &mut refused);
        let program = compile(&g).unwrap_or_else(|e| panic!("{e}\n{g}"));
        if program.controls() > 0 { stepped += 1 } else { one_kernel += 1 }
    }
    assert!(refused.is_empty(), "{refused:?}");
    assert!(one_kernel > 10 && stepped > 10, "{one_kernel} and {stepped}");
}

#[test]
fn generated_programs() {
    let (mut run, mut refused) = (0, BTreeSet::new());
    for seed in 0..80 {
        let palette = Palette::nth(seed as usize, false);
        let g = mixed::program(&mut oracle::Random(1000 + seed), palette);
        let name = format!("mixed {seed} of {} and {}", palette.float, palette.int);
        run += usize::from(check(&name, &g, &mixed::inputs(seed, &g), palette.tolerance(), &mut refused));
    }
    println!("{run} programs; refused:\n{}", refused.iter().cloned().collect::<Vec<_>>().join("\n"));
    assert!(run > 20, "{run}");
}
