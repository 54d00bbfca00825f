//! Products by cuBLASLt.

use super::{SETTINGS, check, check_text, gpu, graph, oracle, run};
use gradloom_backends::cuda::{ProductPrecision, product_precision, set_deterministic_products, set_product_precision};
use gradloom_ir::eval::eval;

/// Relative to the larger of 1 and the result: sums of a hundred terms of about 1.
pub(super) fn tolerance(dtype: &str) -> f64 {
    match dtype {
        "f64" => 1e-13,
        "f32" => 2e-5,
        "f16" => 1e-2,
        _ => 8e-2,
    }
}

/// Shapes and axes: left, right, result, and the axes as the op has them.
const FORMS: &[(&str, &str, &str, &str)] = &[
    ("5,7", "7,6", "5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]"),
    ("5,7", "6,7", "5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]"),
    ("7,5", "7,6", "5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]"),
    ("7,5", "6,7", "5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [1]"),
    // vectors
    ("7", "7", "", "lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]"),
    ("5,7", "7", "5", "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]"),
    ("7", "7,6", "6", "lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]"),
    ("5", "6", "5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [], rhs_contract = []"),
    ("1,7", "7,1", "1,1", "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]"),
    // batches: in front, inside, behind
    ("3,5,7", "3,7,6", "3,5,6", "lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], rhs_contract = [1]"),
    ("2,3,5,7", "2,3,6,7", "2,3,5,6", "lhs_batch = [0, 1], rhs_batch = [0, 1], lhs_contract = [3], rhs_contract = [3]"),
    ("5,3,7", "6,3,7", "3,5,6", "lhs_batch = [1], rhs_batch = [1], lhs_contract = [2], rhs_contract = [2]"),
    ("5,7,3", "3,7,6", "3,5,6", "lhs_batch = [2], rhs_batch = [0], lhs_contract = [1], rhs_contract = [1]"),
    ("2,5,3,7", "2,6,3,7", "2,3,5,6", "lhs_batch = [0, 2], rhs_batch = [0, 2], lhs_contract = [3], rhs_contract = [3]"),
    // batches in the other order, and several axes of each kind
    ("2,3,5,7", "2,3,6,7", "3,2,5,6", "lhs_batch = [1, 0], rhs_batch = [1, 0], lhs_contract = [3], rhs_contract = [3]"),
    ("5,2,7", "2,7,6", "5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [1, 2], rhs_contract = [0, 1]"),
    ("5,2,7", "7,6,2", "5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [2, 1], rhs_contract = [0, 2]"),
    ("2,5,7", "7,3,2", "2,5,3,2", "lhs_batch = [], rhs_batch = [], lhs_contract = [2], rhs_contract = [0]"),
    ("2,7,5", "3,7,2", "2,5,3,2", "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]"),
    ("1,5,1,7", "7,1,6", "1,5,1,1,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [3], rhs_contract = [0]"),
];

#[test]
fn every_form_on_every_float() {
    let Some(gpu) = gpu() else { return };
    for dtype in ["f32", "f64", "f16", "bf16"] {
        for (l, r, out, axes) in FORMS {
            let text = format!(
                "graph(%0: {dtype}[{l}], %1: {dtype}[{r}]) {{
                    %2 = dot_general(%0, %1) {{{axes}}} : {dtype}[{out}]
                    return %2 }}"
            );
            let schedule = check_text(gpu, &text, tolerance(dtype));
            assert!(schedule.contains("library dot_general"), "{text}\n{schedule}");
        }
    }
}

/// Axes that are one in memory are one stride: no kernel lays anything out.
#[test]
fn strides_and_transpositions_are_no_copies() {
    let Some(gpu) = gpu() else { return };
    for (l, r, out, axes) in &FORMS[..13] {
        let text = format!(
            "graph(%0: f32[{l}], %1: f32[{r}]) {{
                %2 = dot_general(%0, %1) {{{axes}}} : f32[{out}]
                return %2 }}"
        );
        let copied = axes.contains("lhs_batch = [2]");
        let schedule = check_text(gpu, &text, 2e-5);
        assert_eq!(schedule.contains("lay_out"), copied, "{text}\n{schedule}");
    }
}

#[test]
fn what_libraries_do_not_take_is_computed_by_kernels() {
    let Some(gpu) = gpu() else { return };
    let matrix = "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]";
    for (dtype, l, r, out) in [
        ("i32", "5,7", "7,6", "5,6"),
        ("u8", "5,7", "7,6", "5,6"),
        ("f32", "5,0", "0,6", "5,6"),
        ("f32", "0,7", "7,6", "0,6"),
    ] {
        let text = format!(
            "graph(%0: {dtype}[{l}], %1: {dtype}[{r}]) {{
                %2 = dot_general(%0, %1) {{{matrix}}} : {dtype}[{out}]
                return %2 }}"
        );
        let schedule = check_text(gpu, &text, 0.0);
        assert!(!schedule.contains("library"), "{text}\n{schedule}");
    }
    // complex products are real ones
    let text =
        format!("graph(%0: c64[5,7], %1: c64[7,6]) {{ %2 = dot_general(%0, %1) {{{matrix}}} : c64[5,6] return %2 }}");
    assert!(check_text(gpu, &text, 2e-5).contains("library dot_general"));
}

/// Each step reads rows that begin anywhere a number may.
#[test]
fn rows_of_a_loop_are_read_where_they_are() {
    let Some(gpu) = gpu() else { return };
    let text = "graph(%0: f32[3,5], %1: f32[4,7,3]) {
        %2, %3 = scan(%0, %1) {body = graph(%0: f32[3,5], %1: f32[7,3]) {
            %2 = dot_general(%1, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[7,5]
            %3 = dot_general(%1, %2) {lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]} : f32[3,5]
            %4 = tanh(%3) : f32[3,5]
            return %4, %2
        }, length = 4, reverse = false, consts = 0, carry = 1} : f32[3,5], f32[4,7,5]
        return %2, %3 }";
    assert!(check_text(gpu, text, 1e-4).contains("library dot_general"));
}

const SQUARE: &str = "graph(%0: f32[170,170], %1: f32[170,170]) {
    %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[170,170]
    %3 = negate(%2) : f32[170,170]
    return %3 }";

/// The settings of the process, one after the other: algorithms are timed or the first is taken, and TF32 is only used where it
/// is asked for.
#[test]
fn settings() {
    let Some(gpu) = gpu() else { return };
    let _settings = SETTINGS.write().unwrap_or_else(|e| e.into_inner());
    let g = graph(SQUARE);
    let inputs = oracle::inputs(3, &g, false);
    let expected = eval(&g, &inputs).unwrap_or_else(|e| panic!("{e}")).remove(0).to_f64();
    let error = || {
        let (_, outs) = run(gpu, &g, &inputs);
        outs[0].to_f64().iter().zip(&expected).fold(0f64, |m, (x, y)| m.max((x - y).abs()))
    };
    assert_eq!(product_precision(), ProductPrecision::Full);
    let exact = error();
    assert!(exact < 1e-4, "{exact}");
    set_deterministic_products(true);
    let exact = error();
    assert!(exact < 1e-4, "{exact}");
    set_deterministic_products(false);
    set_product_precision(ProductPrecision::Tf32);
    let rounded = error();
    set_product_precision(ProductPrecision::Full);
    assert!(rounded > 1e-4 && rounded < 0.1, "{rounded}");
    let exact = error();
    assert!(exact < 1e-4, "{exact}");
}

/// Several threads compile and run the same products at once.
#[test]
fn threads() {
    let Some(gpu) = gpu() else { return };
    let g = graph(SQUARE);
    std::thread::scope(|s| {
        for seed in 0..3 {
            let g = &g;
            s.spawn(move || check(gpu, g, &oracle::inputs(seed, g, false), 1e-4));
        }
    });
}
