//! Grid kernels, emulated and as CUDA C, against loop nests as they read.

mod golden;
mod host;
mod nvrtc;
mod ops;
#[path = "../codegen/oracle.rs"]
mod oracle;
#[path = "../codegen/random.rs"]
mod random;

use gradloom_backends::grid::{Schedule, emulate, lower, schedule};
use gradloom_backends::kernel::{Inst, LoopNest};
use gradloom_ir::{Binary, DType, Unary};
use host::Host;
use oracle::{difference, interpreted, sum_error};
use random::{Rng, Sums, content};
use std::collections::BTreeMap;

/// Every param begins where an access of 16 bytes may.
fn aligned(_: usize) -> usize {
    16
}

fn emulated(nest: &LoopNest, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let kernel = lower(nest, &aligned).unwrap_or_else(|e| panic!("{e}\n{nest}"));
    let mut buffers = inputs.to_vec();
    let mut slices: Vec<&mut [u8]> = buffers.iter_mut().map(|b| &mut b[..]).collect();
    emulate(&kernel, &mut slices).unwrap_or_else(|e| panic!("{e}\n{nest}\ncollapsed: {}", nest.collapse()));
    buffers
}

/// What is seen of a schedule: its kind, and whether a thread takes several elements at once.
fn kind(nest: &LoopNest) -> (&'static str, bool) {
    match schedule(&nest.collapse(), &aligned) {
        Schedule::Points { width } => ("points", width > 1),
        Schedule::Tiles { .. } => ("tiles", false),
        Schedule::Reduction { slices: 1, width, .. } => ("a thread a point", width > 1),
        Schedule::Reduction { points: 1, width, .. } => ("a block a point", width > 1),
        Schedule::Reduction { along: true, width, .. } => ("a warp a point", width > 1),
        Schedule::Reduction { width, .. } => ("columns", width > 1),
    }
}

fn check_all(seeds: std::ops::Range<u64>, sums: Sums) -> BTreeMap<(&'static str, bool), usize> {
    let mut kinds = BTreeMap::new();
    for seed in seeds {
        let mut rng = Rng(seed);
        let nest = random::nest(&mut rng, sums);
        let tame = sums == Sums::Float;
        let inputs: Vec<Vec<u8>> = nest.params.iter().map(|p| content(&mut rng, p.dtype, p.len, tame)).collect();
        let expected = interpreted(&nest, &inputs);
        let allowed = |p: usize, i: usize| if tame { sum_error(&nest, &expected, p, i) } else { 0.0 };
        if let Some(what) = difference(&nest, &emulated(&nest, &inputs), &expected, &allowed) {
            panic!("seed {seed}, {:?}: {what}\n{nest}\ncollapsed: {}", kind(&nest), nest.collapse());
        }
        *kinds.entry(kind(&nest)).or_default() += 1;
    }
    kinds
}

#[test]
fn random_nests_without_float_sums_are_exact() {
    let kinds = check_all(0..1000, Sums::Exact);
    assert!(
        ["points", "tiles", "a thread a point", "a warp a point", "columns"].iter().all(|k| kinds[&(*k, false)] > 5),
        "{kinds:?}"
    );
    assert!(kinds[&("points", true)] > 5, "{kinds:?}");
}

#[test]
fn random_float_sums_are_close() {
    let kinds = check_all(1 << 32..(1 << 32) + 600, Sums::Float);
    assert!(["a warp a point", "a block a point"].iter().all(|k| kinds[&(*k, true)] > 5), "{kinds:?}");
}

/// Whether the interpreter and a C library may compute different last digits of it.
fn has_library_functions(nest: &LoopNest) -> bool {
    let dtypes = nest.dtypes().expect("the nest is well formed");
    let is_double = |v: &u32| dtypes[*v as usize] == DType::F64;
    nest.insts().any(|inst| match inst {
        Inst::Unary(op, x) if is_double(x) => {
            use Unary::{Abs, Ceil, Floor, IsFinite, Neg, Round, RoundAway, Rsqrt, Sign, Sqrt};
            !matches!(op, Abs | Ceil | Floor | IsFinite | Neg | Round | RoundAway | Rsqrt | Sign | Sqrt)
        }
        Inst::Binary(op, x, _) => *op == Binary::Zeta || matches!(op, Binary::Pow | Binary::Atan2) && is_double(x),
        _ => false,
    })
}

/// The text of random nests computes what their emulation does, bit for bit.
#[test]
fn cuda_c_on_this_machine_is_what_is_emulated() {
    let mut cases = Vec::new();
    for seed in 0..240u64 {
        let sums = if seed % 4 == 3 { Sums::Float } else { Sums::Exact };
        let mut rng = Rng(2 << 32 | seed);
        let nest = random::nest(&mut rng, sums);
        if has_library_functions(&nest) {
            continue;
        }
        let tame = sums == Sums::Float;
        let inputs: Vec<Vec<u8>> = nest.params.iter().map(|p| content(&mut rng, p.dtype, p.len, tame)).collect();
        cases.push((nest, inputs));
    }
    assert!(cases.len() > 150, "{}", cases.len());
    let kernels = cases.iter().map(|(nest, _)| lower(nest, &aligned).expect("the nest is well formed")).collect();
    let Some(host) = Host::new("nests", kernels) else { return };
    for (i, (nest, inputs)) in cases.iter().enumerate() {
        let mut buffers = inputs.clone();
        host.run(i, &mut buffers);
        if let Some(what) = difference(nest, &buffers, &emulated(nest, inputs), &|_, _| 0.0) {
            panic!("kernel {i}: {what}\n{nest}\ncollapsed: {}", nest.collapse());
        }
    }
}
