//! Blocks of rows: generated programs on batches, attention and normalisation, before the pass and after it.

#[path = "../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../passes/tests/rules/rows.rs"]
mod rows;

use gradloom::prelude::*;
use gradloom_backends::cpu::{Blocking, block_rows};
use gradloom_backends::{Buffer, Device, compile_for};
use gradloom_ir::eval::eval;
use gradloom_ir::{Graph, Literal, Op};
use gradloom_passes::transform::{batch, linearize, transpose};
use gradloom_passes::{Changed, Pipeline};
use oracle::mixed::{self, Palette};
use std::sync::Arc;

/// Blocks wherever there can be some.
const ALWAYS: Blocking = Blocking { min_saved: 0, block: 64, min_blocks: 2 };

fn scans(g: &Graph) -> usize {
    g.nodes().iter().filter(|n| matches!(n.op, Op::Scan { carry: 0, .. })).count()
}

/// Compares the program in blocks with the program as it was, bit by bit, and its compiled form with both; whether there
/// were blocks.
fn check(name: &str, g: &Graph, inputs: &[Literal], with: Blocking, tolerance: f64) -> bool {
    let mut plain = g.clone();
    let lowered = Pipeline::standard().run(&mut plain).and_then(|_| Pipeline::lowering().run(&mut plain));
    lowered.unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut blocks = plain.clone();
    let changed = block_rows(&mut blocks, with).unwrap_or_else(|e| panic!("{name}: {e}\n{plain}"));
    gradloom_ir::verify(&blocks).unwrap_or_else(|e| panic!("{name}: {e}\n{blocks}"));
    let [before, after] = [&plain, &blocks].map(|g| eval(g, inputs).unwrap_or_else(|e| panic!("{name}: {e}\n{g}")));
    for (x, y) in before.iter().zip(&after) {
        assert!(oracle::agree(x, y, None), "{name}\n{plain}\nin blocks\n{blocks}\n{x:?}\n{y:?}");
    }
    if changed == Changed::No {
        return false;
    }
    let args: Vec<Arc<Buffer>> = inputs.iter().map(|l| Arc::new(Buffer::from_bytes(l.bytes()))).collect();
    let exe = compile_for(&blocks, Device::Cpu).unwrap_or_else(|e| panic!("{name}: {e}\n{blocks}"));
    let outs = exe.run(&args).unwrap_or_else(|e| panic!("{name}: {e}"));
    for ((x, o), ty) in before.iter().zip(&outs).zip(g.output_types()) {
        let y = Literal::from_bytes(ty, o.bytes().to_vec()).expect("results have their types");
        assert!(oracle::agree(x, &y, Some(tolerance)), "{name}\n{blocks}\n{x:?}\n{y:?}");
    }
    scans(&blocks) > scans(&plain)
}

/// Programs of every theme, mapped over 6 examples, and their gradients: whatever is done by rows.
#[test]
fn generated_programs() {
    let (mut tried, mut blocked) = (0, 0);
    for seed in 0..600u64 {
        let palette = Palette::nth(seed as usize, seed % 2 == 0);
        let g = mixed::program(&mut oracle::Random(40_000 + seed), palette);
        let over: Vec<bool> = (0..g.num_inputs()).map(|i| (seed >> (i % 8)) & 1 == 0).collect();
        let Ok(mapped) = batch(&g, &over, 6, None, None) else { continue };
        let mut programs = vec![mapped.graph];
        let floats: Vec<bool> = programs[0].input_types().iter().map(|t| t.dtype.is_inexact()).collect();
        if palette.smooth
            && let Ok(lin) = linearize(&programs[0], &floats)
        {
            let linear: Vec<bool> = (0..lin.linear.num_inputs()).map(|i| i >= lin.residuals).collect();
            programs.extend(transpose(&lin.linear, &linear).ok().map(|t| t.graph));
            programs.push(lin.primal);
        }
        for g in programs {
            let inputs = mixed::inputs(seed, &g);
            tried += 1;
            blocked += usize::from(check(&format!("program {seed}"), &g, &inputs, ALWAYS, palette.tolerance()));
        }
    }
    println!("{blocked} of {tried} programs have blocks");
    assert!(blocked > 100, "only {blocked} of {tried} programs have blocks");
}

/// The rule table's ops, one after the other on what they are mapped over.
#[test]
fn every_op() {
    for row in rows::table() {
        let point = rows::Random(7).point(&row);
        check(row.text, &row.graph, &point, ALWAYS, 1e-9);
        let all = vec![true; row.graph.num_inputs()];
        let Ok(mapped) = batch(&row.graph, &all, 4, None, None) else { continue };
        let four = |l: &Literal| {
            let mut ty = l.ty().clone();
            ty.shape.insert(0, 4);
            Literal::from_bytes(ty, l.bytes().repeat(4)).expect("four times the bytes")
        };
        check(row.text, &mapped.graph, &point.iter().map(four).collect::<Vec<_>>(), ALWAYS, 1e-9);
    }
}

/// Whoever goes through a barrier has all of its operands: of these the second is read by nothing else, and computed with the first.
#[test]
fn operands_of_barriers() {
    let text = "graph(%0: f32[16,8]) {
        %1 = exponential(%0) : f32[16,8]
        %2 = reduce(%1) {kind = \"sum\", axes = [1]} : f32[16]
        %3 = broadcast_in_dim(%2) {shape = [16, 8], dims = [0]} : f32[16,8]
        %4 = divide(%1, %3) : f32[16,8]
        %5 = reduce(%4) {kind = \"max\", axes = [1]} : f32[16]
        %6, %7 = optimization_barrier(%2, %4) : f32[16], f32[16,8]
        %8 = cumulative(%6) {kind = \"sum\", axis = 0, reverse = false} : f32[16]
        return %5, %8 }";
    let g = gradloom_ir::parse(text).unwrap_or_else(|e| panic!("{e}"));
    let x: Vec<f32> = (0..128).map(|i| (i as f32).sin()).collect();
    assert!(check("a barrier", &g, &[Literal::new(&[16, 8], &x)], ALWAYS, 1e-5));
}

fn layer_norm(x: &Tensor) -> Tensor {
    let centred = x - x.mean_keepdims(-1);
    let variance = centred.square().mean_keepdims(-1);
    centred * (variance + 1e-5).rsqrt()
}

fn attention((q, k, v): &(Tensor, Tensor, Tensor)) -> Tensor {
    // [batch, time, heads, width]
    let scores = einsum("bthd,bshd->bhts", &[q, k]) * 0.25;
    einsum("bhts,bshd->bthd", &[&scores.softmax(-1), v])
}

fn random<const N: usize>(seed: u64, shape: [usize; N]) -> Tensor {
    random::normal(&Key::new(seed), shape)
}

/// What is meant to run in blocks does so, and reads and writes less memory.
#[test]
fn softmax_and_attention_are_blocked() {
    let x = random(1, [512, 1024]);
    let f = |x: &Tensor| layer_norm(&(x * x.sigmoid())).softmax(-1);
    let (q, k, v) = (random(2, [4, 128, 4, 16]), random(3, [4, 128, 4, 16]), random(4, [4, 128, 4, 16]));
    let heads = (q.clone(), k.clone(), v.clone());
    let loss = |a: &(Tensor, Tensor, Tensor)| attention(a).square().sum(..);
    let programs = [
        (jit(f).lower(&x).expect("it traces").graph().clone(), vec![&x]),
        (jit(attention).lower(&heads).expect("it traces").graph().clone(), vec![&q, &k, &v]),
        (jit(grad(loss)).lower(&heads).expect("it traces").graph().clone(), vec![&q, &k, &v]),
    ];
    for (g, args) in programs {
        let inputs: Vec<Literal> = args.into_iter().map(literal).collect();
        assert!(check("a model", &g, &inputs, Blocking::default(), 2e-5), "{g}");
    }
}

fn literal(x: &Tensor) -> Literal {
    Literal::new(x.shape(), &x.to_vec::<f32>().expect("f32"))
}
