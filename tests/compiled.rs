//! Compiled code against the interpreter: every op instance of the rule table on every dtype, with its derivatives and
//! batched, and generated programs with their gradients.

#[path = "../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../passes/tests/rules/rows.rs"]
mod rows;

use gradloom_backends::{Buffer, Device, compile_for};
use gradloom_ir::eval::eval;
use gradloom_ir::{Builder, DType, Graph, Literal, Type, Value};
use gradloom_passes::transform::{batch, jvp, linearize, transpose};
use gradloom_passes::{PassContext, Pipeline};
use oracle::mixed::{self, Palette};
use oracle::programs::{Kind, looped, program, types, types_of};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
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

/// What is checked of one op on one dtype.
const CELLS: [&str; 7] = ["value", "jvp", "jvp of jvp", "vjp", "vmap", "vmap of vjp", "vmap along every other axis"];

/// The batch of a program over all its operands, and two equal rows of each of these.
fn batched(name: &str, g: &Graph, inputs: &[Literal]) -> (Graph, Vec<Literal>) {
    let all = vec![true; g.num_inputs()];
    let b = batch(g, &all, 2, None, None).unwrap_or_else(|e| panic!("{name}: {e}"));
    let twice = |l: &Literal| {
        let mut ty = l.ty().clone();
        ty.shape.insert(0, 2);
        Literal::from_bytes(ty, [l.bytes(), l.bytes()].concat()).expect("twice the bytes")
    };
    (b.graph, inputs.iter().map(twice).collect())
}

/// A batched program whose operands have their batch axis at `axis` (or last) instead of first.
fn along(axis: usize, rows: &Graph, inputs: &[Literal]) -> (Graph, Vec<Literal>) {
    let at = |l: &Literal| axis.min(l.ty().rank() - 1);
    let moved_type = |l: &Literal| {
        let mut ty = l.ty().clone();
        let n = ty.shape.remove(0);
        ty.shape.insert(at(l), n);
        ty
    };
    let types: Vec<Type> = inputs.iter().map(moved_type).collect();
    let (mut b, args) = Builder::with_inputs(&types);
    let first: Vec<Value> = args
        .iter()
        .zip(inputs)
        .map(|(v, l)| {
            let mut perm: Vec<usize> = (0..l.ty().rank()).collect();
            let batch = perm.remove(at(l));
            perm.insert(0, batch);
            b.transpose(*v, &perm)
        })
        .collect();
    let outs = b.inline(rows, &first).unwrap_or_else(|e| panic!("{e}\n{rows}"));
    let moved = inputs
        .iter()
        .zip(types)
        .map(|(l, ty)| {
            let outer: usize = l.ty().shape[1..=at(l)].iter().product();
            let (size, n) = (l.ty().dtype.size(), l.ty().shape[0]);
            let bytes = l.bytes().len() / n / outer.max(1) / size * size;
            let part = |o: usize, i: usize| &l.bytes()[(i * outer + o) * bytes..(i * outer + o + 1) * bytes];
            let data = (0..outer).flat_map(|o| (0..n).flat_map(move |i| part(o, i).to_vec())).collect();
            Literal::from_bytes(ty, data).expect("as many bytes as before")
        })
        .collect();
    (b.finish(&outs).unwrap_or_else(|e| panic!("{e}")), moved)
}

/// Checks a program and what the transforms make of it; for each cell whether there was something to check.
fn check_transforms(name: &str, g: &Graph, point: &[Literal], r: &mut rows::Random, tolerance: f64) -> [bool; 7] {
    let mut done = [true, false, false, false, false, false, false];
    check(name, g, point, tolerance);
    if floats(g).contains(&true)
        && let Ok(j) = jvp(g, &floats(g), None)
    {
        let types = j.graph.input_types();
        let mut inputs = point.to_vec();
        inputs.extend(r.direction(&types[point.len()..]));
        check(&format!("jvp of {name}"), &j.graph, &inputs, tolerance);
        done[1] = j.active_outputs.contains(&true);
        if done[1]
            && let Ok(second) = jvp(&j.graph, &floats(&j.graph), None)
        {
            let types = second.graph.input_types();
            inputs.extend(r.direction(&types[inputs.len()..]));
            check(&format!("jvp of jvp of {name}"), &second.graph, &inputs, 5.0 * tolerance);
            done[2] = true;
        }
    }
    if let Some((primal, pull, residuals)) = pullback(g) {
        let outs = eval(&primal, point).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut inputs = outs[outs.len() - residuals..].to_vec();
        let types = pull.input_types();
        done[3] = types.len() > residuals;
        inputs.extend(r.direction(&types[residuals..]));
        check(&format!("vjp of {name}"), &pull, &inputs, tolerance);
        if pull.num_inputs() > 0 {
            let (rows, inputs) = batched(name, &pull, &inputs);
            check(&format!("vmap of vjp of {name}"), &rows, &inputs, tolerance);
            done[5] = done[3];
        }
    }
    if g.num_inputs() > 0 {
        let (rows, inputs) = batched(name, g, point);
        check(&format!("vmap of {name}"), &rows, &inputs, tolerance);
        done[4] = true;
        let last = inputs.iter().map(|l| l.ty().rank() - 1).max().unwrap_or(0);
        for axis in 1..=last {
            let (moved, inputs) = along(axis, &rows, &inputs);
            check(&format!("vmap along axis {axis} of {name}"), &moved, &inputs, tolerance);
            done[6] = true;
        }
    }
    done
}

/// Every op on every dtype: compiled code against the interpreter, which rounds 16-bit floats after every op where a
/// loop nest rounds when it stores. What is not run is counted with its reason: the op table refuses the dtype, or
/// the op has no derivative there.
fn every_op_on(dtypes: &[DType]) {
    for &dtype in dtypes {
        let tolerance = match dtype {
            DType::F16 => 0.02,
            DType::BF16 => 0.15,
            DType::F32 | DType::C64 => 2e-4,
            _ => 1e-9,
        };
        let mut run = [0; 7];
        let (mut refused, mut without_derivative) = (0, 0);
        for row in rows::table() {
            let row = match rows::on_dtype(&row, dtype) {
                rows::Instance::Row(row) => row,
                rows::Instance::Refused => {
                    refused += 1;
                    continue;
                }
                rows::Instance::None => continue,
            };
            let text = row.text;
            let mut r = rows::Random(7);
            let point = r.point(&row);
            let done = check_transforms(text, &row.graph, &point, &mut r, tolerance);
            run.iter_mut().zip(done).for_each(|(n, d)| *n += usize::from(d));
            without_derivative += usize::from(!done[1]);
        }
        let counts: Vec<String> = CELLS.iter().zip(run).map(|(c, n)| format!("{n} {c}")).collect();
        println!("{dtype}: {}; {refused} rows refused, {without_derivative} without derivative", counts.join(", "));
        let least = if dtype.is_inexact() { [60, 50, 50, 45, 60, 45, 50] } else { [30, 0, 0, 0, 30, 0, 20] };
        assert!(run.iter().zip(least).all(|(n, least)| *n >= least), "{dtype}: {run:?}");
    }
}

#[test]
fn every_op_in_f64_and_c128() {
    every_op_on(&[DType::F64, DType::C128]);
}

#[test]
fn every_op_in_f32_and_c64() {
    every_op_on(&[DType::F32, DType::C64]);
}

#[test]
fn every_op_in_f16_and_bf16() {
    every_op_on(&[DType::F16, DType::BF16]);
}

#[test]
fn every_op_in_integers_and_bools() {
    let others: Vec<DType> = DType::ALL.into_iter().filter(|d| !d.is_inexact()).collect();
    every_op_on(&others);
}

#[test]
fn generated_programs() {
    for seed in 0..300 {
        let mut o = oracle::Random(seed);
        // every third in other dtypes than f64 and i32, but in no 16-bit floats, which round elsewhere
        let Palette { float, int, .. } = Palette::nth(seed as usize / 3, false);
        let float = if float.size() < 4 { DType::F32 } else { float };
        let types = if seed % 3 == 0 { types_of(&mut o, [float, int]) } else { types(&mut o) };
        let kind = if seed % 2 == 0 { Kind::Exact } else { Kind::Sums };
        let g = program(&mut o, &types, kind);
        let point = oracle::inputs(seed, &g, false);
        let tolerance = if g.input_types().iter().any(|t| t.dtype == DType::F32) { 1e-4 } else { 1e-9 };
        check(&format!("generated {seed}"), &g, &point, tolerance);
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

/// Programs of every theme, in every float dtype, with passes on and off.
#[test]
fn generated_mixed_programs() {
    for seed in 0..160 {
        let palette = Palette::nth(seed as usize, false);
        let g = mixed::program(&mut oracle::Random(1000 + seed), palette);
        let name = format!("mixed {seed} of {} and {}", palette.float, palette.int);
        check(&name, &g, &mixed::inputs(seed, &g), palette.tolerance());
    }
}

/// The same with programs that shrink: of one that fails proptest looks for the fewest steps.
#[test]
fn generated_programs_that_shrink() {
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(&(5usize..=60, 0usize..60, 0u64..1 << 32), |case| {
        let (steps, palette, seed) = case;
        let palette = Palette::nth(palette, false);
        let g = mixed::program_of(&mut oracle::Random(seed), palette, steps);
        check(&format!("mixed {case:?}"), &g, &mixed::inputs(seed, &g), palette.tolerance());
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

/// What the transforms make of programs that are smooth.
#[test]
fn transforms_of_generated_mixed_programs() {
    let mut done = [0; 7];
    for seed in 0..48 {
        let palette = Palette::nth(seed as usize, true);
        let g = mixed::program(&mut oracle::Random(2000 + seed), palette);
        let name = format!("smooth {seed} of {} and {}", palette.float, palette.int);
        let tolerance = 10.0 * palette.tolerance();
        let cells = check_transforms(&name, &g, &mixed::inputs(seed, &g), &mut rows::Random(seed), tolerance);
        done.iter_mut().zip(cells).for_each(|(n, d)| *n += usize::from(d));
    }
    println!("{CELLS:?}: {done:?}");
    assert!(done.iter().all(|&n| n >= 20), "{done:?}");
}
