//! Random programs keep their meaning under every pass, alone and together.

mod oracle;

use gradloom_ir::{Graph, verify};
use gradloom_passes::{PassContext, Pipeline};
use oracle::Random;
use oracle::programs::{Kind, looped, program, types};

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
    for pass in ["inline_bodies", "simplify", "fold", "cse", "dce", "hoist"] {
        let mut only = Pipeline::standard();
        for other in ["inline_bodies", "simplify", "fold", "cse", "dce", "hoist"] {
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
        let types = types(&mut r);
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
