//! Random programs keep their meaning under every pass, alone and together.

use crate::oracle;
use crate::oracle::Random;
use crate::oracle::mixed::{self, Palette};
use crate::oracle::programs::{Kind, looped, program, types, types_of};
use gradloom_ir::{Graph, verify};
use gradloom_passes::{Keeps, Offer, PassContext, Pipeline, Role, catalogue};
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
    for offer in catalogue().iter().filter(|o| o.role != Role::Lowering) {
        let (pass, only) = (offer.name, Pipeline::empty().push(offer.pass()));
        // the standard passes keep the bits of programs made of exact operations
        let tolerance = if offer.role == Role::Standard { tolerance } else { allowed(offer.keeps, tolerance) };
        let once = run(&only, g);
        oracle::assert_equivalent(&format!("{name}, {pass}"), g, &once, tolerance);
        if offer.restless.is_none() {
            assert_eq!(run(&only, &once), once, "{name}: {pass} is not idempotent on\n{g}");
        }
    }
}

/// How far a pass may take results from those of a program that allows for `tolerance` itself.
fn allowed(keeps: Keeps, tolerance: Option<f64>) -> Option<f64> {
    match keeps {
        Keeps::Bits => tolerance,
        Keeps::Rounding => Some(tolerance.unwrap_or(0.0).max(1e-9)),
        Keeps::LowPrecision => Some(tolerance.unwrap_or(0.0).max(0.05)),
    }
}

/// The optional passes, all or some, in a random order in the standard pipeline; half of the time without those that store
/// numbers in fewer bits, beside which others could hide.
fn shuffled(r: &mut Random) -> (Pipeline, Keeps) {
    let in_full = r.below(2) == 0;
    let wanted = |o: &&Offer| o.role == Role::Optional && !(in_full && o.keeps == Keeps::LowPrecision);
    let mut offers: Vec<_> = catalogue().iter().filter(wanted).collect();
    for i in (1..offers.len()).rev() {
        offers.swap(i, r.below(i + 1));
    }
    if r.below(2) == 0 {
        offers.truncate(r.below(offers.len() + 1));
    }
    let worst = [Keeps::LowPrecision, Keeps::Rounding].into_iter().find(|k| offers.iter().any(|o| o.keeps == *k));
    let p = offers.iter().fold(Pipeline::standard(), |p, o| p.with(o.pass()));
    (p, worst.unwrap_or(Keeps::Bits))
}

#[test]
fn optional_passes_keep_results_in_any_order() {
    for seed in 0..SEEDS {
        let mut r = Random(seed);
        let (p, keeps) = shuffled(&mut r);
        let (g, tolerance) = match seed % 3 {
            0 => (looped(&mut r), None),
            1 => {
                let types = types(&mut r);
                (program(&mut r, &types, Kind::Sums), Some(1e-9))
            }
            _ => {
                let types = types(&mut r);
                (program(&mut r, &types, Kind::Exact), None)
            }
        };
        let after = run(&p, &g);
        verify(&after).expect("passes leave well-formed programs");
        let name = format!("seed {seed}, {}", p.names().join(", "));
        oracle::assert_equivalent(&name, &g, &after, allowed(keeps, tolerance));
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

#[test]
fn optional_passes_keep_mixed_programs_in_any_order() {
    for seed in 0..SEEDS {
        let palette = Palette::nth(seed as usize, false);
        let g = mixed::program(&mut Random(seed), palette);
        let (p, keeps) = shuffled(&mut Random(seed));
        let after = run(&p, &g);
        verify(&after).expect("passes leave well-formed programs");
        let inputs = mixed::inputs(seed, &g);
        let [x, y] =
            [&g, &after].map(|g| gradloom_ir::eval::eval(g, &inputs).unwrap_or_else(|e| panic!("{seed}: {e}")));
        for (i, (x, y)) in x.iter().zip(&y).enumerate() {
            let same = oracle::agree(x, y, allowed(keeps, Some(palette.tolerance())));
            assert!(same, "{seed}, {}, output {i}: {x:?} became {y:?}\n{g}\n{after}", p.names().join(", "));
        }
    }
}
