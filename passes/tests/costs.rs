//! Costs of ops, counted by hand.

use gradloom_ir::parse;
use gradloom_passes::cost::{OpCost, graph_cost};

/// The cost of a program of one node with operands of these types.
fn one(args: &[&str], node: &str, results: &str) -> OpCost {
    let inputs: Vec<String> = args.iter().enumerate().map(|(i, t)| format!("%{i}: {t}")).collect();
    let count = results.matches(']').count();
    let names: Vec<String> = (0..count).map(|i| format!("%{}", i + args.len())).collect();
    let names = names.join(", ");
    let text = format!("graph({}) {{ {names} = {node} : {results} return {names} }}", inputs.join(", "));
    let g = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    gradloom_ir::verify(&g).expect("well-formed");
    graph_cost(&g)
}

#[track_caller]
fn check(args: &[&str], node: &str, results: &str, flops: u64, bytes: u64) {
    assert_eq!(one(args, node, results), OpCost { flops, bytes }, "{node}");
}

const F32: u64 = 4;

#[test]
fn elementwise_ops_cost_their_elements() {
    check(&["f32[3,5]"], "tanh(%0)", "f32[3,5]", 15, 2 * 15 * F32);
    check(&["f64[7]", "f64[7]"], "add(%0, %1)", "f64[7]", 7, 3 * 7 * 8);
    check(&["c64[7]", "c64[7]"], "multiply(%0, %1)", "c64[7]", 6 * 7, 3 * 7 * 8);
    check(&["c64[7]", "c64[7]"], "subtract(%0, %1)", "c64[7]", 2 * 7, 3 * 7 * 8);
    check(&["f32[7]", "f32[7]"], "less(%0, %1)", "bool[7]", 7, 2 * 7 * F32 + 7);
    check(&["f32[0,7]"], "sine(%0)", "f32[0,7]", 0, 0);
    check(&["u32[2]"; 4], "threefry2x32(%0, %1, %2, %3) {lane = 1}", "u32[2]", 158, 5 * 2 * F32);
}

#[test]
fn what_only_moves_elements_has_no_flops() {
    check(&["f32[6]"], "reshape(%0) {shape = [2, 3]}", "f32[2,3]", 0, 0);
    check(&["f32[2,3]"], "transpose(%0) {perm = [1, 0]}", "f32[3,2]", 0, 2 * 6 * F32);
    check(&["f32[3]"], "broadcast_in_dim(%0) {shape = [5, 3], dims = [1]}", "f32[5,3]", 0, 18 * F32);
    check(&["f32[100]"], "slice(%0) {start = [1], limit = [5], stride = [2]}", "f32[2]", 0, 2 * 2 * F32);
    check(&["f32[50,4]", "i32[]", "i32[]"], "dynamic_slice(%0, %1, %2) {sizes = [2, 1]}", "f32[2,1]", 0, 4 * F32 + 8);
    check(&["f32[500]", "f32[3]", "i64[]"], "dynamic_update_slice(%0, %1, %2)", "f32[500]", 0, 6 * F32 + 8);
    check(&[], "iota() {dtype = i32, shape = [10], axis = 0}", "i32[10]", 0, 40);
    let scatter = "scatter(%0, %1, %2) {update_window_dims = [1], inserted_window_dims = [0], input_batching_dims = [],
        scatter_indices_batching_dims = [], scatter_dims_to_operand_dims = [0], index_vector_dim = 1, kind = \"add\"}";
    check(&["f32[50,4]", "i32[3,1]", "f32[3,4]"], scatter, "f32[50,4]", 12, 3 * 12 * F32 + 12);
}

#[test]
fn contractions_cost_two_a_product() {
    let (b, m, k, n) = (2, 3, 4, 5);
    let dot = "dot_general(%0, %1) {lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], rhs_contract = [1]}";
    let moved = b * (m * k + k * n + m * n);
    check(&["f32[2,3,4]", "f32[2,4,5]"], dot, "f32[2,3,5]", 2 * b * m * k * n, moved * F32);
    check(&["c64[2,3,4]", "c64[2,4,5]"], dot, "c64[2,3,5]", 8 * b * m * k * n, moved * 8);
    let conv = |groups: u32| {
        format!(
            "convolution(%0, %1) {{lhs_dims = [0, 1, 2, 3], rhs_dims = [0, 1, 2, 3], out_dims = [0, 1, 2, 3],
             strides = [1, 1], padding = [(1, 1), (1, 1)], lhs_dilation = [1, 1], rhs_dilation = [1, 1],
             feature_groups = {groups}, batch_groups = 1}}"
        )
    };
    // 2 images of 4 features to 6 features by 3 x 3 on 8 x 8 points
    let points = 2 * 6 * 8 * 8;
    let moved = |kernel: u64| (2 * 4 * 64 + kernel + points) * F32;
    check(&["f32[2,4,8,8]", "f32[6,4,3,3]"], &conv(1), "f32[2,6,8,8]", 2 * points * 4 * 9, moved(6 * 4 * 9));
    check(&["f32[2,4,8,8]", "f32[6,2,3,3]"], &conv(2), "f32[2,6,8,8]", 2 * points * 2 * 9, moved(6 * 2 * 9));
}

#[test]
fn reductions_cost_one_less_than_they_combine() {
    check(&["f32[8,100]"], "reduce(%0) {kind = \"sum\", axes = [1]}", "f32[8]", 8 * 99, 808 * F32);
    check(&["f32[0,3]"], "reduce(%0) {kind = \"sum\", axes = [0]}", "f32[3]", 0, 3 * F32);
    check(&["f32[8,100]"], "arg_reduce(%0) {kind = \"max\", axis = 1}", "i32[8]", 8 * 99, 808 * F32);
    check(&["f32[8,10]"], "cumulative(%0) {kind = \"sum\", axis = 1, reverse = false}", "f32[8,10]", 72, 160 * F32);
    let window = "kind = \"max\", window = [3], strides = [2], padding = [(0, 0)]";
    let reduce = format!("reduce_window(%0) {{{window}, base_dilation = [1], window_dilation = [1]}}");
    check(&["f32[9]"], &reduce, "f32[4]", 4 * 2, 13 * F32);
    check(&["f32[9]"; 2], &format!("select_and_gather(%0, %1) {{{window}}}"), "f32[4]", 4 * 2, 22 * F32);
    check(&["f32[4]", "f32[9]"], &format!("select_and_scatter(%0, %1) {{{window}}}"), "f32[9]", 4 * 3, 22 * F32);
    // n log2 n comparisons
    check(
        &["f32[3,64]", "i32[3,64]"],
        "sort(%0, %1) {axis = 1, num_keys = 1}",
        "f32[3,64], i32[3,64]",
        3 * 64 * 6,
        4 * 192 * 4,
    );
}

#[test]
fn transforms_cost_5_n_log_n() {
    check(&["c64[3,16]"], "fft(%0) {kind = \"fft\", lengths = [16]}", "c64[3,16]", 3 * 5 * 16 * 4, 2 * 48 * 8);
    check(&["c64[4,8]"], "fft(%0) {kind = \"ifft\", lengths = [4, 8]}", "c64[4,8]", 5 * 32 * 5, 2 * 32 * 8);
    check(&["f32[16]"], "fft(%0) {kind = \"rfft\", lengths = [16]}", "c64[9]", 5 * 16 * 4 / 2, 16 * 4 + 9 * 8);
    check(&["c64[9]"], "fft(%0) {kind = \"irfft\", lengths = [16]}", "f32[16]", 5 * 16 * 4 / 2, 16 * 4 + 9 * 8);
}

/// Counted by running the algorithm on numbers that count.
#[test]
fn elimination_and_cholesky_agree_with_the_loops() {
    let (m, n) = (12u64, 9u64);
    let eliminate = |m: u64, n: u64| -> u64 { (0..m.min(n)).map(|k| (m - k - 1) * (1 + 2 * (n - k - 1))).sum() };
    for (m, n) in [(m, n), (n, m), (60, 60)] {
        let (shape, k) = (format!("f64[{m},{n}]"), m.min(n));
        let got = one(&[&shape], "lu(%0)", &format!("f64[{m},{n}], i32[{k}], i32[{m}]")).flops as f64;
        let want = eliminate(m, n) as f64;
        // the closed form leaves out terms of second order
        assert!((got - want).abs() <= (2 * m * n) as f64, "{got} {want}");
    }
    let n = 30u64;
    // L[i, j] takes j products and sums and a division
    let want: u64 = (0..n).map(|i| (0..=i).map(|j| 2 * j + 1).sum::<u64>()).sum();
    let got = one(&["f64[30,30]"], "cholesky(%0) {lower = true}", "f64[30,30]").flops;
    assert!(got.abs_diff(want) <= 2 * n * n, "{got} {want}");
    let batched = one(&["f64[7,30,30]"], "cholesky(%0) {lower = true}", "f64[7,30,30]").flops;
    assert_eq!(batched, 7 * got);
    let solve =
        "triangular_solve(%0, %1) {left_side = true, lower = false, transpose_a = \"none\", unit_diagonal = false}";
    assert_eq!(one(&["f64[2,5,5]", "f64[2,5,3]"], solve, "f64[2,5,3]").flops, 2 * 5 * 5 * 3);
}

#[test]
fn bodies_count_as_often_as_they_run() {
    let step = "graph(%0: f32[4], %1: f32[4]) { %2 = add(%0, %1) : f32[4] return %2 }";
    let scan = format!("scan(%0, %1) {{body = {step}, length = 10, reverse = false, consts = 0, carry = 1}}");
    check(&["f32[4]", "f32[10,4]"], &scan, "f32[4]", 10 * 4, 10 * 3 * 16);
    let one = "graph(%0: f32[4]) { %1 = sine(%0) : f32[4] return %1 }";
    let two = "graph(%0: f32[4]) { %1 = sine(%0) : f32[4] %2 = sine(%1) : f32[4] return %2 }";
    let switch = format!("switch(%0, %1) {{branches = [{one}, {two}]}}");
    check(&["i32[]", "f32[4]"], &switch, "f32[4]", 2 * 4, 4 * 16);
    let test = "graph(%0: f32[]) { %1 = less(%0, %0) : bool[] return %1 }";
    let body = "graph(%0: f32[]) { %1 = sine(%0) : f32[] return %1 }";
    let while_loop = format!("while(%0) {{cond = {test}, body = {body}, cond_consts = 0, body_consts = 0}}");
    check(&["f32[]"], &while_loop, "f32[]", 2, 9 + 8);
}

#[test]
fn great_numbers_saturate() {
    let c = OpCost { flops: u64::MAX / 2, bytes: 1 };
    assert_eq!((c + c + c).flops, u64::MAX);
    assert_eq!(c.times(u64::MAX), OpCost { flops: u64::MAX, bytes: u64::MAX });
}
