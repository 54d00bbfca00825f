//! Measures how far the elementary and special functions are from the true values, and prints `src/math/ACCURACY.md`:
//! `cargo run --release -p gradloom-ir --example accuracy > ir/src/math/ACCURACY.md`. Names of functions as arguments
//! leave out the other rows.

#[path = "../tests/accuracy/sweep.rs"]
mod sweep;

use std::num::FpCategory;

/// Every so many bit patterns of f32.
const STEP: u32 = 61;

fn main() {
    println!("# Accuracy of the elementary and special functions\n");
    println!("Written by `cargo run --release -p gradloom-ir --example accuracy > ir/src/math/ACCURACY.md`.\n");
    println!("## f32\n");
    println!(
        "Greatest errors in units of the last place, over one in {STEP} bit patterns of f32 and 80 on each side of \
         every power of two, against the f64 functions. `counted from`: smaller absolute errors are not counted, for \
         functions whose zeros are no simple numbers. The rounded true value is off by 0.5.\n"
    );
    println!("| function | worst | at | promised | for abs(x) up to | counted from |");
    println!("|---|---|---|---|---|---|");
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    for b in sweep::BOUNDS.iter().filter(|b| chosen.is_empty() || chosen.iter().any(|c| c == b.op.name())) {
        let all = sweep::samples(u32::MAX / STEP).filter(|x| x.classify() != FpCategory::Nan);
        let (e, at) = sweep::worst(b, all);
        println!("| {} | {e:.2} | {at:e} | {} | {:e} | {:e} |", b.op.name(), b.ulps, b.range, b.absolute);
    }
    let pairs = if chosen.is_empty() { 100_000_000 } else { 1_000_000 };
    let (e, x, y) = sweep::worst_power(pairs);
    println!("| power | {e:.2} | {x:e}, {y:e} | {} | inf | 0e0 |\n", sweep::POWER);
    println!("zeta is computed in f64 and rounded.\n\n## f64\n");
    println!(
        "Greatest errors at the points of `ir/tests/accuracy/reference.txt`, whose values were computed with 40 digits \
         by `reference.py`.\n"
    );
    println!("| function | worst | at | promised |\n|---|---|---|---|");
    for (name, e, at) in sweep::stored() {
        println!("| {name} | {e:.2} | {at} | {} |", sweep::stored_bound(&name));
    }
}
