//! Random programs keep their meaning under every pass, alone and together.

mod oracle;

use gradloom_ir::{Graph, verify};
use gradloom_passes::{PassContext, Pipeline};
use oracle::Random;
use oracle::mixed::{self, Palette};
use oracle::programs::{Kind, looped, program, types, types_of};
use std::collections::BTreeSet;

/// Seeds of each kind of program.
const SEEDS: u64 = 400;

fn run(p: &Pipeline, g: &Graph) -> Graph {
    let mut g = g.clone();
    p.run_with(&mut g, &mut PassContext::new()).unwrap_or_else(|e| panic!("{e}\n{g}"));
    g
}

#[track_caller]
fn check(name: &str, g: &Graph, tolerance: Option<f64>) {
    verify(g).expect("generated programs are well-formed");
    let standard = Pipeline::standard();
    let after = run(&standard, g);
    oracle::assert_equivalent(name, g, &after, tolerance);
    assert!(after.total_nodes() <= 2 * g.total_nodes() + 8, "{name}: grew\n{g}\n{after}");
    for pass in ["inline_bodies", "simplify", "fold", "cse", "dce", "hoist", "distribute"] {
        let mut only = Pipeline::standard();
        for other in ["inline_bodies", "simplify", "fold", "cse", "dce", "hoist", "distribute"] {
            only = if other == pass { only } else { only.disable(other) };
        }
        let once = run(&only, g);
        oracle::assert_equivalent(&format!("{name}, {pass}"), g, &once, tolerance);
        assert_eq!(run(&only, &once), once, "{name}: {pass} is not idempotent on\n{g}");
    }
}

#[test]
fn exact_programs_keep_their_bits() {
    for seed in 0..SEEDS {
        let mut r = Random(seed);
        // every other one in f64 and i32, as most programs are
        let Palette { float, int, .. } = Palette::nth(seed as usize / 2, false);
        let types = if seed % 2 == 0 { types(&mut r) } else { types_of(&mut r, [float, int]) };
        check(&format!("exact {seed}"), &program(&mut r, &types, Kind::Exact), None);
    }
}

#[test]
fn sums_keep_their_values_up_to_rounding() {
    for seed in 0..SEEDS {
        let mut r = Random(seed);
        let types = types(&mut r);
        check(&format!("sums {seed}"), &program(&mut r, &types, Kind::Sums), Some(1e-9));
    }
}

#[test]
fn loops_keep_their_bits() {
    for seed in 0..SEEDS {
        let g = looped(&mut Random(seed));
        check(&format!("loop {seed}"), &g, None);
    }
}

/// The names of the ops of a program and of those inside it.
fn names(g: &Graph, all: &mut BTreeSet<&'static str>) {
    for node in g.nodes() {
        all.insert(node.op.name());
        node.op.bodies().iter().for_each(|b| names(b, all));
    }
}

#[test]
fn mixed_programs_keep_their_values() {
    let mut all = BTreeSet::new();
    let (mut numbers, mut lost) = (0, 0);
    for seed in 0..SEEDS {
        let palette = Palette::nth(seed as usize, false);
        let g = mixed::program(&mut Random(seed), palette);
        names(&g, &mut all);
        verify(&g).expect("generated programs are well-formed");
        let name = format!("mixed {seed} of {} and {}", palette.float, palette.int);
        let after = run(&Pipeline::standard(), &g);
        for k in 0..3 {
            let inputs = mixed::inputs(seed + k, &g);
            let [x, y] = [&g, &after]
                .map(|g| gradloom_ir::eval::eval(g, &inputs).unwrap_or_else(|e| panic!("{name}: {e}\n{g}")));
            for (i, (x, y)) in x.iter().zip(&y).enumerate() {
                let same = oracle::agree(x, y, Some(palette.tolerance()));
                assert!(same, "{name}, output {i}: {x:?} became {y:?}\n{g}\n{after}");
                if x.ty().dtype.is_float() {
                    numbers += x.ty().numel();
                    // what says nothing any more
                    lost += x.to_f64().iter().filter(|v| !v.is_finite() || **v == 0.0 || v.abs() > 100.0).count();
                }
            }
        }
    }
    assert!(numbers > 30_000 && lost < numbers / 4, "of {numbers} floats {lost} are 0, huge or no numbers");
    assert!(all.len() >= 98, "{} ops: {all:?}", all.len());
}
