//! Whole programs on an emulated GPU against the interpreter: every op instance of the rule table on every dtype, its gradient
//! and its batch, loops and generated programs.

#[path = "../../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../../passes/tests/rules/rows.rs"]
mod rows;

use gradloom_backends::cpu::Blocking;
use gradloom_backends::cuda::{Architecture, Nvrtc, source};
use gradloom_backends::grid::{Fusing, NoLibraries, compile, compile_with, run_emulated, run_program};
use gradloom_ir::eval::eval;
use gradloom_ir::{DType, Graph, Literal, Result, parse};
use gradloom_passes::transform::{batch, linearize, transpose};
use gradloom_passes::{PassContext, Pipeline};
use oracle::mixed::{self, Palette};
use oracle::programs::looped;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// What programs left behind.
#[derive(Default)]
struct Seen {
    /// Ops without a form on GPUs.
    refused: BTreeSet<String>,
    /// The text of every kernel.
    texts: BTreeSet<String>,
}

/// Optimises a program, runs it and compares; the ops without a form on GPUs are noted instead.
fn check(name: &str, g: &Graph, inputs: &[Literal], tolerance: f64, seen: &mut Seen) -> bool {
    let expected = eval(g, inputs).unwrap_or_else(|e| panic!("{name}: {e}\n{g}"));
    let mut h = g.clone();
    Pipeline::standard().run_with(&mut h, &mut PassContext::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
    // what has no text is refused, too
    let texts =
        compile(&h).and_then(|p| p.kernels.iter().map(|k| Ok(source(k)?.text)).collect::<Result<Vec<String>>>());
    let outs = match texts.and_then(|texts| {
        seen.texts.extend(texts);
        run_emulated(&h, inputs)
    }) {
        Ok(outs) => outs,
        Err(e) if e.to_string().contains("no form on GPUs") => {
            seen.refused.insert(e.to_string().lines().next().unwrap_or_default().to_string());
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

/// Most kernels that are compiled; of more, evenly many of all kinds are. With the environment variable
/// `GRADLOOM_COMPILE_ALL` all are, which takes minutes.
const COMPILED: usize = 240;

/// NVIDIA's compiler makes machine code of the texts, if it is installed, and finds registers for all values.
fn compiles(texts: &BTreeSet<String>) {
    let compiler = match Nvrtc::find() {
        Ok(compiler) => compiler,
        Err(e) => return eprintln!("{} kernels were not compiled: {e}", texts.len()),
    };
    let most = if std::env::var_os("GRADLOOM_COMPILE_ALL").is_some() { usize::MAX } else { COMPILED };
    let some: Vec<&String> = texts.iter().step_by(texts.len().div_ceil(most).max(1)).collect();
    let registers: Vec<usize> = some
        .par_iter()
        .enumerate()
        .map(|(i, text)| {
            let architecture = Architecture([80, 90][i % 2]);
            let binary = compiler.compile(text, architecture).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let usage = binary.usage().unwrap_or_else(|| panic!("{}", binary.log));
            assert_eq!(usage.spilled_bytes, 0, "{usage:?}\n{text}");
            usage.registers
        })
        .collect();
    println!("{} of {} kernels compiled, at most {:?} registers", some.len(), texts.len(), registers.iter().max());
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
    let (mut run, mut seen) = (0, Seen::default());
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
            run += usize::from(check(text, &row.graph, &point, tolerance, &mut seen));
            if matches!(dtype, DType::F32 | DType::F64)
                && let Some((g, inputs)) = pullback(&row.graph, &point, &mut r)
            {
                run += usize::from(check(&format!("gradient of {text}"), &g, &inputs, tolerance, &mut seen));
            }
            if matches!(dtype, DType::F32 | DType::I32)
                && !point.is_empty()
                && let Some((g, inputs)) = batched(&row.graph, &point)
            {
                run += usize::from(check(&format!("batch of {text}"), &g, &inputs, tolerance, &mut seen));
            }
        }
    }
    println!("{run} programs; refused:\n{}", seen.refused.iter().cloned().collect::<Vec<_>>().join("\n"));
    assert!(run > 600, "{run}");
    // what is left for NVIDIA's libraries, and functions of f64 that CUDA lacks
    let libraries = ["fft", "cholesky", "triangular_solve", "lu", "qr", "svd", "eig", "pinv", "spectral"];
    let complex = ["cumulative", "reduce_window", "select_and", "scatter"];
    let functions = ["digamma", "bessel_i0e", "bessel_i1e", "zeta"];
    let known = |e: &&String| libraries.iter().chain(&complex).chain(&functions).any(|op| e.starts_with(op));
    let unknown: Vec<&String> = seen.refused.iter().filter(|e| !known(e)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    compiles(&seen.texts);
}

/// Loops of few numbers are one kernel, others launches in every step.
#[test]
fn loops() {
    let (mut seen, mut one_kernel, mut stepped) = (Seen::default(), 0, 0);
    for seed in 0..90 {
        let g = looped(&mut oracle::Random(seed));
        check(&format!("loop {seed}"), &g, &oracle::inputs(seed, &g, false), 1e-9, &mut seen);
        let program = compile(&g).unwrap_or_else(|e| panic!("{e}\n{g}"));
        if program.controls() > 0 { stepped += 1 } else { one_kernel += 1 }
    }
    assert!(seen.refused.is_empty(), "{:?}", seen.refused);
    compiles(&seen.texts);
    assert!(one_kernel > 10 && stepped > 10, "{one_kernel} and {stepped}");
}

/// Products read integers of 8 bits as they are stored.
#[test]
fn products_of_narrow_integers() {
    let g = parse(
        "graph(%0: f32[3,20], %1: i8[20,70]) {
            %2 = convert(%1) {dtype = f32} : f32[20,70]
            %3 = dot_general(%0, %2) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[3,70]
            return %3 }",
    )
    .unwrap_or_else(|e| panic!("{e}"));
    let mut seen = Seen::default();
    assert!(check("8 bits", &g, &oracle::inputs(1, &g, false), 1e-6, &mut seen), "{:?}", seen.refused);
}

/// Windows may be far larger than what they lie on: of two axes, every element is the greatest of those before it, and a sum
/// of a window in steps is the interpreter's.
#[test]
fn windows_that_are_mostly_padding() {
    let g = parse(
        "graph(%0: f32[3,2]) {
            %1 = reduce_window(%0) {kind = \"max\", window = [1073741824, 1073741824], strides = [1, 1],
              padding = [(1073741823, 0), (1073741823, 0)], base_dilation = [1, 1], window_dilation = [1, 1]} : f32[3,2]
            return %1 }",
    )
    .unwrap_or_else(|e| panic!("{e}"));
    let x = Literal::new(&[3, 2], &[1f32, 0.0, -2.0, 3.0, 2.0, 1.0]);
    let outs = run_emulated(&g, &[x]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(outs, [Literal::new(&[3, 2], &[1f32, 1.0, 1.0, 3.0, 2.0, 3.0])]);
    let mut seen = Seen::default();
    for (window, stride, padding, base, dilation) in
        [(100, 7, (250, 250), 3, 2), (90, 1, (-1, 280), 1, 3), (40, 3, (190, 5), 2, 5)]
    {
        let rest = (5 - 1) * base + padding.0 + padding.1 - (window - 1) * dilation;
        let out = rest / stride + 1;
        let text = format!(
            "graph(%0: f64[5]) {{ %1 = reduce_window(%0) {{kind = \"sum\", window = [{window}], strides = [{stride}],
              padding = [({}, {})], base_dilation = [{base}], window_dilation = [{dilation}]}} : f64[{out}] return %1 }}",
            padding.0, padding.1
        );
        let g = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        check(&text, &g, &oracle::inputs(3, &g, false), 1e-12, &mut seen);
    }
    assert!(seen.refused.is_empty(), "{:?}", seen.refused);
}

/// Elements beyond the beginning of the last window are still in it.
#[test]
fn the_last_window_reaches_beyond_its_beginning() {
    let mut seen = Seen::default();
    for dtype in ["f32", "i32", "f64"] {
        let text = format!(
            "graph(%0: {dtype}[2,1,6], %1: {dtype}[2,4,6]) {{
                %2 = select_and_scatter(%0, %1) {{kind = \"max\", window = [1, 3, 1], strides = [1, 2, 1],
                  padding = [(0, 0), (0, 0), (0, 0)]}} : {dtype}[2,4,6]
                return %2 }}"
        );
        let g = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        for seed in 0..5 {
            check(&text, &g, &oracle::inputs(seed, &g, false), 0.0, &mut seen);
        }
    }
    assert!(seen.refused.is_empty(), "{:?}", seen.refused);
}

/// Reductions to few numbers are cut into parts for many blocks.
#[test]
fn reductions_to_few_numbers() {
    let mut seen = Seen::default();
    let reduce = |dtype: &str, shape: &str, axes: &str, out: &str, kind: &str| {
        format!(
            "graph(%0: {dtype}[{shape}]) {{ %1 = reduce(%0) {{kind = \"{kind}\", axes = [{axes}]}} : {dtype}[{out}] return %1 }}"
        )
    };
    for (text, tolerance) in [
        (reduce("f64", "70000", "0", "", "sum"), 1e-12),
        (reduce("f32", "40009", "0", "", "max"), 0.0),
        (reduce("f64", "3,33000", "1", "3", "sum"), 1e-12),
        (reduce("i32", "9000,5", "0", "5", "sum"), 0.0),
        (reduce("bf16", "2,5000,4", "1", "2,4", "sum"), 1e-2),
        (reduce("f64", "50,20,40", "0,1,2", "", "sum"), 1e-12),
    ] {
        let g = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        check(&text, &g, &oracle::inputs(3, &g, false), tolerance, &mut seen);
    }
    assert!(seen.refused.is_empty(), "{:?}", seen.refused);
    for text in [
        reduce("f32", "268435456", "0", "", "sum"),
        reduce("f32", "1048576,64", "0", "64", "sum"),
        reduce("f32", "8,4194304", "1", "8", "max"),
    ] {
        let program =
            compile(&parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))).unwrap_or_else(|e| panic!("{e}"));
        let busiest = program.kernels.iter().map(|k| k.blocks).max();
        assert!(program.kernels.len() == 2 && busiest >= Some(256), "{text}: {busiest:?}");
    }
}

/// Nothing is launched for arrays without elements.
#[test]
fn empty_arrays() {
    let mut seen = Seen::default();
    for text in [
        "graph(%0: f32[0,3], %1: f32[0,3]) { %2 = concatenate(%0, %1) {axis = 0} : f32[0,3] %3 = exponential(%2) : f32[0,3] return %3 }",
        "graph(%0: f32[0]) { %1 = sort(%0) {axis = 0, num_keys = 1} : f32[0] %2 = reduce(%1) {kind = \"sum\", axes = [0]} : f32[] return %1, %2 }",
        "graph(%0: i32[3], %1: f32[4,0], %2: f32[3,0]) {
            %3 = scatter(%1, %0, %2) {update_window_dims = [1], inserted_window_dims = [0], input_batching_dims = [],
              scatter_indices_batching_dims = [], scatter_dims_to_operand_dims = [0], index_vector_dim = 1, kind = \"add\"} : f32[4,0]
            return %3 }",
    ] {
        let g = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(check(text, &g, &oracle::inputs(1, &g, false), 0.0, &mut seen), "{:?}", seen.refused);
        // the optimiser makes constants of them: the program as it is, too
        let program = compile(&g).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(program.kernels.iter().all(|k| k.blocks > 0), "{text}");
        run_program(&program, &g.output_types(), &oracle::inputs(1, &g, false)).unwrap_or_else(|e| panic!("{e}\n{text}"));
    }
}

/// What a processor does by a call of its own: an array so large that what was contiguous is far apart afterwards.
#[test]
fn large_transpositions() {
    let mut seen = Seen::default();
    for dtype in ["f32", "bf16", "c64", "bool"] {
        let text = format!(
            "graph(%0: {dtype}[3,70,20]) {{ %1 = transpose(%0) {{perm = [2, 0, 1]}} : {dtype}[20,3,70] return %1 }}"
        );
        let g = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(check(&text, &g, &oracle::inputs(6, &g, false), 0.0, &mut seen), "{:?}", seen.refused);
    }
    compiles(&seen.texts);
}

/// Softmax and layer normalisation read their rows once: each is one kernel.
#[test]
fn blocks_of_rows() {
    let always = Blocking { min_saved: 0, block: 4096, min_blocks: 2 };
    let softmax = "graph(%0: f32[40,130]) {
        %1 = reduce(%0) {kind = \"max\", axes = [1]} : f32[40]
        %2 = broadcast_in_dim(%1) {shape = [40, 130], dims = [0]} : f32[40,130]
        %3 = subtract(%0, %2) : f32[40,130]
        %4 = exponential(%3) : f32[40,130]
        %5 = reduce(%4) {kind = \"sum\", axes = [1]} : f32[40]
        %6 = broadcast_in_dim(%5) {shape = [40, 130], dims = [0]} : f32[40,130]
        %7 = divide(%4, %6) : f32[40,130]
        return %7 }";
    let norm = "graph(%0: f64[64,24], %1: f64[24]) {
        %2 = reduce(%0) {kind = \"sum\", axes = [1]} : f64[64]
        %3 = broadcast_in_dim(%2) {shape = [64, 24], dims = [0]} : f64[64,24]
        %4 = subtract(%0, %3) : f64[64,24]
        %5 = multiply(%4, %4) : f64[64,24]
        %6 = reduce(%5) {kind = \"sum\", axes = [1]} : f64[64]
        %7 = rsqrt(%6) : f64[64]
        %8 = broadcast_in_dim(%7) {shape = [64, 24], dims = [0]} : f64[64,24]
        %9 = multiply(%4, %8) : f64[64,24]
        %10 = broadcast_in_dim(%1) {shape = [64, 24], dims = [1]} : f64[64,24]
        %11 = multiply(%9, %10) : f64[64,24]
        return %11, %6 }";
    let mut texts = BTreeSet::new();
    for (text, tolerance) in [(softmax, 1e-6), (norm, 1e-12)] {
        let g = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let inputs = oracle::inputs(5, &g, false);
        let program = compile_with(&g, Fusing { rows: always, ..Fusing::default() }, &NoLibraries)
            .unwrap_or_else(|e| panic!("{e}\n{g}"));
        assert_eq!((program.launches(), program.controls()), (1, 0), "{g}");
        let outs = run_program(&program, &g.output_types(), &inputs).unwrap_or_else(|e| panic!("{e}\n{g}"));
        for (e, o) in eval(&g, &inputs).unwrap_or_else(|e| panic!("{e}")).iter().zip(&outs) {
            assert!(oracle::agree(e, o, Some(tolerance)), "{g}\nexpected {e:?}\ngot {o:?}");
        }
        texts.extend(program.kernels.iter().map(|k| source(k).unwrap_or_else(|e| panic!("{e}")).text));
    }
    compiles(&texts);
}

#[test]
fn generated_programs() {
    let (mut run, mut seen) = (0, Seen::default());
    for seed in 0..80 {
        let palette = Palette::nth(seed as usize, false);
        let g = mixed::program(&mut oracle::Random(1000 + seed), palette);
        let name = format!("mixed {seed} of {} and {}", palette.float, palette.int);
        run += usize::from(check(&name, &g, &mixed::inputs(seed, &g), palette.tolerance(), &mut seen));
    }
    println!("{run} programs; refused:\n{}", seen.refused.iter().cloned().collect::<Vec<_>>().join("\n"));
    assert!(run > 20, "{run}");
}
