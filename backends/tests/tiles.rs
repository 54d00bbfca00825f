//! Products that are not stored: attention and its gradient, tile by tile on an emulated GPU, against the interpreter.

#[path = "../../passes/tests/oracle/mod.rs"]
mod oracle;

mod attention;

use attention::{Attention, Mask, distance, optimised, with_gradient};
use gradloom_backends::cuda::{Architecture, Nvrtc, source};
use gradloom_backends::grid::{Fusing, GridProgram, NoLibraries, Tiling, compile_with, run_program};
use gradloom_ir::eval::eval;
use gradloom_ir::{DType, Graph, Literal, parse};
use rayon::prelude::*;

fn tiled(g: &Graph, tf32: bool) -> GridProgram {
    let fusing = Fusing { tiles: Some(Tiling { blocks: 1, tf32 }), ..Fusing::default() };
    compile_with(g, fusing, &NoLibraries).unwrap_or_else(|e| panic!("{e}\n{g}"))
}

/// The kernels of tiles of a program, which computes what the interpreter does.
fn check(name: &str, g: &Graph, inputs: &[Literal], tolerance: f64) -> Vec<String> {
    let h = optimised(g);
    let program = tiled(&h, false);
    let outs = run_program(&program, &h.output_types(), inputs).unwrap_or_else(|e| panic!("{name}: {e}\n{h}"));
    for (e, o) in eval(g, inputs).unwrap_or_else(|e| panic!("{e}")).iter().zip(&outs) {
        assert!(oracle::agree(e, o, Some(tolerance)), "{name}\n{h}\nexpected {e:?}\ngot {o:?}");
    }
    // what is summed up lies as it is asked for
    let transposes = program.kernels.iter().any(|k| k.name == "transpose");
    let tiles: Vec<String> =
        program.kernels.iter().map(|k| k.name.clone()).filter(|n| n.starts_with("tiles")).collect();
    assert!(tiles.is_empty() || !transposes, "{name}\n{h}");
    tiles
}

const SMALL: Attention =
    Attention { batch: 2, heads: 2, t: 70, s: 36, d: 12, e: 20, dtype: DType::F32, mask: Mask::None };

#[test]
fn attention_is_one_kernel() {
    for mask in [Mask::None, Mask::Causal, Mask::Keys, Mask::Bias, Mask::Dropout] {
        let g = Attention { mask, ..SMALL }.graph();
        let kernels = check(&format!("{mask:?}"), &g, &oracle::inputs(3, &g, false), 1e-5);
        assert_eq!(kernels, ["tiles_max_sum_dot_general"], "{mask:?}");
    }
}

/// The gradient takes three more: what the weights are multiplied by a row, the queries' gradient, that of keys and values.
#[test]
fn the_gradient_of_attention_is_three_kernels() {
    for mask in [Mask::None, Mask::Causal, Mask::Keys, Mask::Bias, Mask::Dropout] {
        let g = with_gradient(&Attention { mask, ..SMALL }.graph());
        let kernels = check(&format!("{mask:?}"), &g, &oracle::inputs(4, &g, false), 3e-5);
        let queries = match mask {
            Mask::Bias => "tiles_store_dot_general",
            _ => "tiles_dot_general",
        };
        // the gradient of an array of the scores' size is stored
        let rows = if mask == Mask::Dropout { "tiles_store_sum" } else { "tiles_sum" };
        let expected = ["tiles_max_sum_dot_general", rows, "tiles_dot_general_dot_general", queries];
        assert_eq!(kernels, expected, "{mask:?}");
    }
}

/// Rows, columns, terms and columns of the values that fill no tile, or several.
const SIZES: [(usize, usize, usize, usize); 6] =
    [(16, 16, 1, 1), (64, 32, 16, 8), (65, 33, 17, 9), (130, 100, 40, 64), (17, 64, 128, 128), (48, 49, 7, 128)];

fn of_size(k: usize, dtype: DType) -> Attention {
    let (t, s, d, e) = SIZES[k];
    let mask = [Mask::None, Mask::Causal, Mask::Bias][k % 3];
    Attention { batch: 1, heads: 2, t, s, d, e, dtype, mask }
}

#[test]
fn sizes() {
    for k in 0..SIZES.len() {
        let one = of_size(k, DType::F32);
        let g = one.graph();
        assert_eq!(check(&format!("{one:?}"), &g, &oracle::inputs(k as u64, &g, false), 1e-5).len(), 1, "{one:?}");
        let g = with_gradient(&g);
        let kernels = check(&format!("{one:?}"), &g, &oracle::inputs(k as u64, &g, false), 5e-5).len();
        // the gradient holds both factors of a place in registers, or is left to libraries
        assert_eq!(kernels >= 4, one.d + one.e <= 128, "{one:?}: {kernels}");
        assert!(kernels == 0 || one.d + one.e <= 128, "{one:?}: {kernels}");
    }
}

#[test]
fn sizes_of_narrow_floats() {
    for k in 0..SIZES.len() {
        for dtype in [DType::BF16, DType::F16] {
            let one = of_size(k, dtype);
            let g = with_gradient(&one.graph());
            let inputs = oracle::inputs(k as u64, &g, false);
            let h = optimised(&g);
            let outs =
                run_program(&tiled(&h, false), &h.output_types(), &inputs).unwrap_or_else(|e| panic!("{e}\n{h}"));
            one.is_near(&inputs, &outs);
        }
    }
}

/// Factors of f32 without their last bits: nearer than 16-bit floats, not as near as f32.
#[test]
fn short_factors() {
    let g = of_size(3, DType::F32).graph();
    let inputs = oracle::inputs(7, &g, false);
    let exact = eval(&g, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let outs = run_program(&tiled(&g, true), &g.output_types(), &inputs).unwrap_or_else(|e| panic!("{e}"));
    let far = distance(&exact[0], &outs[0]);
    assert!((1e-5..4e-3).contains(&far), "{far}");
    let outs = run_program(&tiled(&g, false), &g.output_types(), &inputs).unwrap_or_else(|e| panic!("{e}"));
    let far = distance(&exact[0], &outs[0]);
    assert!(far < 2e-6, "{far}");
}

/// Rows without any number above minus infinity are NaN, as the difference of infinities is; others do not mind where such numbers
/// are.
#[test]
fn infinities() {
    let g = Attention { mask: Mask::Bias, t: 20, s: 100, ..SMALL }.graph();
    let mut inputs = oracle::inputs(8, &g, false);
    let mut bias = vec![0f32; 2 * 2 * 20 * 100];
    for (row, values) in bias.chunks_mut(100).enumerate() {
        match row % 5 {
            // the first tiles have nothing, the last ones, or all
            0 => values[..70].fill(f32::NEG_INFINITY),
            1 => values[40..].fill(f32::NEG_INFINITY),
            2 => values.fill(f32::NEG_INFINITY),
            3 => values[33] = f32::INFINITY,
            _ => {}
        }
    }
    inputs[3] = Literal::new(&[2, 2, 20, 100], &bias);
    let expected = eval(&g, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let outs = run_program(&tiled(&g, false), &g.output_types(), &inputs).unwrap_or_else(|e| panic!("{e}"));
    assert!(oracle::agree(&expected[0], &outs[0], Some(1e-5)), "expected {expected:?}\ngot {outs:?}");
}

/// Heads of queries that share keys: the axes of rows are two, and come together and apart again.
#[test]
fn shared_keys() {
    let text = "graph(%0: f32[2,3,2,33,16], %1: f32[2,3,40,16], %2: f32[2,3,40,24], %3: f32[6,33,40]) {
        %4 = dot_general(%0, %1) {lhs_batch = [0, 1], rhs_batch = [0, 1], lhs_contract = [4], rhs_contract = [3]} : f32[2,3,2,33,40]
        %5 = reshape(%4) {shape = [2, 6, 33, 40]} : f32[2,6,33,40]
        %6 = broadcast_in_dim(%3) {shape = [2, 6, 33, 40], dims = [1, 2, 3]} : f32[2,6,33,40]
        %7 = add(%5, %6) : f32[2,6,33,40]
        %8 = reduce(%7) {kind = \"max\", axes = [3]} : f32[2,6,33]
        %9 = broadcast_in_dim(%8) {shape = [2, 6, 33, 40], dims = [0, 1, 2]} : f32[2,6,33,40]
        %10 = subtract(%7, %9) : f32[2,6,33,40]
        %11 = exponential(%10) : f32[2,6,33,40]
        %12 = reduce(%11) {kind = \"sum\", axes = [3]} : f32[2,6,33]
        %13 = broadcast_in_dim(%12) {shape = [2, 6, 33, 40], dims = [0, 1, 2]} : f32[2,6,33,40]
        %14 = divide(%11, %13) : f32[2,6,33,40]
        %15 = reshape(%14) {shape = [2, 3, 2, 33, 40]} : f32[2,3,2,33,40]
        %16 = dot_general(%15, %2) {lhs_batch = [0, 1], rhs_batch = [0, 1], lhs_contract = [4], rhs_contract = [2]} : f32[2,3,2,33,24]
        return %16 }";
    let g = parse(text).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(check("shared keys", &g, &oracle::inputs(9, &g, false), 1e-5), ["tiles_max_sum_dot_general"]);
}

/// No softmax: distances whose least is looked for, and a product without exponentials, whose result is needed, too.
#[test]
fn what_is_no_attention() {
    let nearest = "graph(%0: f32[70,3], %1: f32[50,3]) {
        %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f32[70,50]
        %3 = multiply(%0, %0) : f32[70,3]
        %4 = reduce(%3) {kind = \"sum\", axes = [1]} : f32[70]
        %5 = broadcast_in_dim(%4) {shape = [70, 50], dims = [0]} : f32[70,50]
        %6 = add(%2, %2) : f32[70,50]
        %7 = subtract(%5, %6) : f32[70,50]
        %8 = reduce(%7) {kind = \"min\", axes = [1]} : f32[70]
        %9 = reduce(%7) {kind = \"max\", axes = [0]} : f32[50]
        return %8, %9 }";
    let kernel = "graph(%0: f32[64,16], %1: f32[48,16], %2: f32[48,5]) {
        %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f32[64,48]
        %4 = tanh(%3) : f32[64,48]
        %5 = dot_general(%4, %2) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[64,5]
        %6 = dot_general(%0, %4) {lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]} : f32[16,48]
        return %5, %6, %3 }";
    // a row's greatest number, but no exponential of what it is less than
    let scaled = "graph(%0: f32[64,16], %1: f32[48,16], %2: f32[48,5]) {
        %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f32[64,48]
        %4 = reduce(%3) {kind = \"max\", axes = [1]} : f32[64]
        %5 = broadcast_in_dim(%4) {shape = [64, 48], dims = [0]} : f32[64,48]
        %6 = divide(%3, %5) : f32[64,48]
        %7 = dot_general(%6, %2) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[64,5]
        return %7 }";
    let cases = [
        (nearest, &["tiles_min", "tiles_max"][..]),
        (kernel, &["tiles_store_dot_general", "tiles_dot_general"]),
        (scaled, &["tiles_max", "tiles_dot_general"]),
    ];
    for (text, kernels) in cases {
        let g = parse(text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(check(text, &g, &oracle::inputs(10, &g, false), 1e-4), kernels);
    }
}

/// Few blocks would leave a GPU idle: then the products are left to a library.
#[test]
fn few_blocks_are_left() {
    for (batch, kernels) in [(1, 0), (32, 1)] {
        let g = Attention { batch, heads: 2, t: 64, s: 64, d: 16, e: 16, ..SMALL }.graph();
        let program = compile_with(&optimised(&g), Fusing::default(), &NoLibraries).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(program.kernels.iter().filter(|k| k.name.starts_with("tiles")).count(), kernels);
    }
}

/// NVIDIA's compiler makes code of kernels of usual sizes for all GPUs that have such tensor cores, and keeps what threads hold in
/// registers.
#[test]
fn kernels_for_gpus() {
    let compiler = match Nvrtc::find() {
        Ok(compiler) => compiler,
        Err(e) => return eprintln!("kernels of tiles are not compiled: {e}"),
    };
    let mut texts = Vec::new();
    for (dtype, d) in [(DType::F32, 64), (DType::BF16, 64), (DType::F16, 128)] {
        let one = Attention { batch: 8, heads: 16, t: 1024, s: 1024, d, e: d, dtype, mask: Mask::Causal };
        let h = optimised(&with_gradient(&one.graph()));
        let program = compile_with(&h, Fusing::default(), &NoLibraries).unwrap_or_else(|e| panic!("{e}"));
        let tiles = program.kernels.iter().filter(|k| k.name.starts_with("tiles"));
        texts.extend(tiles.map(|k| (k.name.clone(), source(k).unwrap_or_else(|e| panic!("{e}")).text)));
    }
    assert!(texts.len() >= 12, "{}", texts.len());
    texts.par_iter().for_each(|(name, text)| {
        for architecture in [80, 90] {
            let binary = compiler.compile(text, Architecture(architecture)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let usage = binary.usage().unwrap_or_else(|| panic!("{name}: {}", binary.log));
            assert!(usage.spilled_bytes <= 64, "{name} for sm_{architecture}: {usage:?}");
        }
    });
}
