//! The passes for this machine, in order.

use super::block_rows::{Blocking, block_rows, has_rows_to_block};
use super::divide_reductions::{For, divide_reductions, has_long_reduction};
use super::lead_batches::{has_inner_batch, lead_batches};
use super::narrow_products::{narrow_products, narrow_products_for_gpu};
use super::orient_products::{has_turned_product, orient_products};
use super::reduce_products::{has_sum_of_products, reduce_products};
use super::skip_masked::{Cutting, has_mask, skip_masked};
use super::trim_sorts::{has_idle_operand, trim_sorts};
use super::turn_components::{has_repeated_points, turn_components};
use crate::grid::{Tiling, has_product_to_tile, tile_products};
use gradloom_ir::{DType, Graph, Op, Result};
use gradloom_passes::{Changed, PassContext, Pipeline};
use std::borrow::Cow;

/// For which machines a pass is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Processor,
    Gpu,
    Both,
}

/// A pass that runs where a program holds what it is about.
struct Pass {
    name: &'static str,
    is_needed: fn(&Graph) -> bool,
    run: fn(&mut Graph) -> Result<Changed>,
    on: On,
}

/// How many of the passes come before products are put into tiles: those that say what dtypes they have.
const BEFORE_TILES: usize = 2;

/// Each leaves nothing to do for itself. What makes a program larger comes last.
const PASSES: &[Pass] = &[
    Pass { name: "narrow_products", is_needed: has_other_numbers, run: narrow_products, on: On::Processor },
    Pass { name: "narrow_products", is_needed: has_other_numbers, run: narrow_products_for_gpu, on: On::Gpu },
    Pass { name: "trim_sorts", is_needed: has_idle_operand, run: trim_sorts, on: On::Both },
    Pass { name: "reduce_products", is_needed: has_sum_of_products, run: reduce_products, on: On::Processor },
    Pass { name: "orient_products", is_needed: has_turned_product, run: orient_products, on: On::Processor },
    Pass {
        name: "divide_reductions",
        is_needed: |g| has_long_reduction(g, For::Processor),
        run: |g| divide_reductions(g, For::Processor),
        on: On::Processor,
    },
    Pass {
        name: "divide_reductions",
        is_needed: |g| has_long_reduction(g, For::Gpu),
        run: |g| divide_reductions(g, For::Gpu),
        on: On::Gpu,
    },
    Pass { name: "turn_components", is_needed: has_repeated_points, run: turn_components, on: On::Processor },
    Pass { name: "lead_batches", is_needed: has_inner_batch, run: lead_batches, on: On::Processor },
    Pass { name: "skip_masked", is_needed: has_mask, run: |g| skip_masked(g, Cutting::default()), on: On::Processor },
    Pass {
        name: "block_rows",
        is_needed: has_rows_to_block,
        run: |g| block_rows(g, Blocking::default()),
        on: On::Processor,
    },
];

/// Whether there are complex numbers or 16-bit floats.
fn has_other_numbers(g: &Graph) -> bool {
    let other = |d: DType| d.is_complex() || d.is_half();
    g.types().iter().any(|t| other(t.dtype))
        || g.nodes().iter().any(|n| n.op.bodies().iter().any(|b| has_other_numbers(b)))
}

fn has_primitive(g: &Graph) -> bool {
    g.nodes().iter().any(|n| matches!(n.op, Op::Custom { .. }) || n.op.bodies().iter().any(|b| has_primitive(b)))
}

/// The program without arithmetic on dtypes the kernels do not compute in, its longest reductions in two stages, its
/// sorts without operands that nobody reads, the matrices of its loops as products read them.
pub(super) fn lowered<'a>(g: &'a Graph, cx: &mut PassContext) -> Result<Cow<'a, Graph>> {
    let mut g = real(g, cx)?;
    run(On::Processor, PASSES, &mut g, cx)?;
    Ok(g)
}

/// As [`lowered`], for GPUs: with products by tiles, if there are tensor cores.
pub(crate) fn lowered_for_gpu<'a>(g: &'a Graph, tiles: Option<Tiling>, cx: &mut PassContext) -> Result<Cow<'a, Graph>> {
    let mut g = real(g, cx)?;
    run(On::Gpu, &PASSES[..BEFORE_TILES], &mut g, cx)?;
    if let Some(with) = tiles.filter(|&with| has_product_to_tile(&g, with)) {
        cx.step("tile_products", g.to_mut(), |g, _| tile_products(g, with))?;
    }
    run(On::Gpu, &PASSES[BEFORE_TILES..], &mut g, cx)?;
    Ok(g)
}

/// The program without ops of the user's own, complex numbers and sums of 16-bit floats.
pub(crate) fn real<'a>(g: &'a Graph, cx: &mut PassContext) -> Result<Cow<'a, Graph>> {
    let mut g = Cow::Borrowed(g);
    if has_primitive(&g) {
        Pipeline::primitives().run_with(g.to_mut(), cx)?;
    }
    if has_other_numbers(&g) {
        Pipeline::lowering().run_with(g.to_mut(), cx)?;
    }
    Ok(g)
}

fn run(machine: On, passes: &[Pass], g: &mut Cow<'_, Graph>, cx: &mut PassContext) -> Result<()> {
    for pass in passes.iter().filter(|p| p.on == machine || p.on == On::Both) {
        if (pass.is_needed)(g) {
            cx.step(pass.name, g.to_mut(), |g, _| (pass.run)(g))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::parse;

    /// A program for each pass, and one with work for most.
    const PROGRAMS: &[(&str, &str)] = &[
        (
            "trim_sorts",
            "graph(%0: f32[9], %1: f32[9]) {
               %2, %3 = sort(%0, %1) {axis = 0, num_keys = 1} : f32[9], f32[9]
               return %2 }",
        ),
        (
            "orient_products",
            "graph(%0: f32[64,80], %1: f32[3,80]) {
               %2 = scan(%0, %1) {body = graph(%0: f32[64,80], %1: f32[3,80]) {
                 %2 = dot_general(%1, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f32[3,64]
                 %3 = dot_general(%2, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[3,80]
                 return %3
               }, length = 5, reverse = false, consts = 1, carry = 1} : f32[3,80]
               return %2 }",
        ),
        (
            "reduce_products",
            "graph(%0: f32[20,30], %1: f32[30,20]) {
               %2 = dot_general(%0, %1) {lhs_batch = [1], rhs_batch = [0], lhs_contract = [0], rhs_contract = [1]} : f32[30]
               return %2 }",
        ),
        (
            "divide_reductions",
            "graph(%0: f32[4000000]) { %1 = reduce(%0) {kind = \"sum\", axes = [0]} : f32[] return %1 }",
        ),
        (
            "turn_components",
            "graph(%0: f32[32,3]) {
               %1 = broadcast_in_dim(%0) {shape = [32, 32, 3], dims = [1, 2]} : f32[32,32,3]
               %2 = reduce(%1) {kind = \"sum\", axes = [2]} : f32[32,32]
               return %2 }",
        ),
        (
            "lead_batches",
            "graph(%0: f32[2,64,4,16], %1: f32[2,64,4,16]) {
               %2 = dot_general(%0, %1) {lhs_batch = [0, 2], rhs_batch = [0, 2], lhs_contract = [3], rhs_contract = [3]} : f32[2,4,64,64]
               return %2 }",
        ),
        (
            "skip_masked",
            "graph(%0: f32[8,256,16], %1: f32[8,256,16]) {
               %2 = dot_general(%0, %1) {lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], rhs_contract = [2]} : f32[8,256,256]
               %3 = iota() {dtype = i32, shape = [8, 256, 256], axis = 1} : i32[8,256,256]
               %4 = iota() {dtype = i32, shape = [8, 256, 256], axis = 2} : i32[8,256,256]
               %5 = greater_equal(%3, %4) : bool[8,256,256]
               %6 = constant() {value = dense<0.0 : f32[]>} : f32[]
               %7 = broadcast_in_dim(%6) {shape = [8, 256, 256], dims = []} : f32[8,256,256]
               %8 = select(%5, %2, %7) : f32[8,256,256]
               %9 = dot_general(%8, %1) {lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], rhs_contract = [1]} : f32[8,256,16]
               return %9 }",
        ),
        (
            "block_rows",
            "graph(%0: f32[4096,1024]) {
               %1 = reduce(%0) {kind = \"max\", axes = [1]} : f32[4096]
               %2 = broadcast_in_dim(%1) {shape = [4096, 1024], dims = [0]} : f32[4096,1024]
               %3 = subtract(%0, %2) : f32[4096,1024]
               %4 = exponential(%3) : f32[4096,1024]
               %5 = reduce(%4) {kind = \"sum\", axes = [1]} : f32[4096]
               %6 = broadcast_in_dim(%5) {shape = [4096, 1024], dims = [0]} : f32[4096,1024]
               %7 = divide(%4, %6) : f32[4096,1024]
               return %7 }",
        ),
    ];

    #[test]
    fn passes_leave_nothing_to_do_for_themselves() {
        for (name, text) in PROGRAMS {
            let mut g = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let pass = PASSES.iter().find(|p| p.name == *name).expect("a pass of this name");
            assert!((pass.is_needed)(&g), "{name}");
            assert_eq!((pass.run)(&mut g).unwrap_or_else(|e| panic!("{e}")), Changed::Yes, "{name}");
            let once = g.clone();
            assert_eq!((pass.run)(&mut g).unwrap_or_else(|e| panic!("{e}")), Changed::No, "{name} on\n{once}");
            assert_eq!(g, once, "{name}");
        }
    }
}
