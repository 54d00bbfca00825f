//! Contractions, reductions, windows and sorting.

use super::*;

#[test]
fn dot_products() {
    let none = "lhs_batch = [], rhs_batch = []";
    let matmul = format!("dot_general(%0, %1) {{{none}, lhs_contract = [1], rhs_contract = [0]}}");
    for d in ["f32", "f64", "i32", "u8"] {
        let [a, b, c] = ["[2,3]", "[3,2]", "[2,2]"].map(|s| format!("{d}{s}"));
        check(&matmul, &[count(&a), count(&b)], &[lit(&c, &[10.0, 13.0, 28.0, 40.0])]);
    }
    let want = [
        6.0, 7.0, 1.0, -5.0, 3.0, 9.0, -9.0, -6.0, -3.0, -14.0, 5.0, 3.0, 1.0, -1.0, 4.0, 1.0, 1.0, -13.0, 8.0, 8.0,
        -7.0, -5.0, 4.0, -1.0, 1.0, 13.0, 10.0, -14.0, -3.0, -6.0,
    ];
    check(
        "dot_general(%0, %1) {lhs_batch = [0], rhs_batch = [1], lhs_contract = [2], rhs_contract = [0]}",
        &[small("f32[2,3,4]"), small("f32[4,2,5]")],
        &[lit("f32[2,3,5]", &want)],
    );
    check(&matmul, &[lit("f32[2,0]", &[]), lit("f32[0,2]", &[])], &[lit("f32[2,2]", &[0.0; 4])]);
    check(&matmul, &[lit("f32[2,3]", &[0.0; 6]), lit("f32[3,0]", &[])], &[lit("f32[2,0]", &[])]);
    check(
        "dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [], rhs_contract = []}",
        &[lit("i8[2]", &[100.0, 2.0]), lit("i8[2]", &[2.0, 3.0])],
        &[lit("i8[2,2]", &[-56.0, 44.0, 4.0, 6.0])],
    );
}

/// All attributes against XLA.
#[test]
fn convolutions() {
    let conv = |dims: &str, rest: &str| format!("convolution(%0, %1) {{{dims}, {rest}}}");
    let nch = "lhs_dims = [0, 1, 2], rhs_dims = [0, 1, 2], out_dims = [0, 1, 2]";
    check(
        &conv(
            nch,
            "strides = [2], padding = [(1, 2)], lhs_dilation = [2], rhs_dilation = [3], feature_groups = 1, batch_groups = 1",
        ),
        &[small("f32[1,2,5]"), small("f32[3,2,2]")],
        &[lit("f32[1,3,5]", &[4.0, 2.0, 0.0, -2.0, 0.0, -13.0, 7.0, 6.0, 5.0, 0.0, 5.0, -2.0, -2.0, -2.0, 0.0])],
    );
    let want = [
        -2.0, -16.0, -2.0, 0.0, 1.0, 2.0, 10.0, 19.0, 7.0, 11.0, 7.0, 3.0, 3.0, -13.0, -8.0, 2.0, -3.0, -8.0, -17.0,
        5.0, 6.0, -12.0, -10.0, -8.0, -5.0, -16.0, 1.0, -1.0, 3.0, 7.0, 3.0, 12.0, 7.0, 0.0, -1.0, -2.0,
    ];
    check(
        &conv(
            "lhs_dims = [0, 2, 1], rhs_dims = [2, 1, 0], out_dims = [0, 2, 1]",
            "strides = [1], padding = [(-1, 1)], lhs_dilation = [1], rhs_dilation = [1], feature_groups = 2, batch_groups = 1",
        ),
        &[small("f32[2,4,4]"), small("f32[2,2,6]")],
        &[lit("f32[2,3,6]", &want)],
    );
    let want = [13.0, 7.0, -10.0, -7.0, -8.0, -3.0, 21.0, 0.0, -2.0, 13.0, -6.0, -10.0, -6.0, -8.0, 21.0, 21.0];
    check(
        &conv(
            nch,
            "strides = [1], padding = [(0, 0)], lhs_dilation = [1], rhs_dilation = [1], feature_groups = 1, batch_groups = 2",
        ),
        &[small("f32[4,2,3]"), small("f32[4,2,2]")],
        &[lit("f32[2,4,2]", &want)],
    );
    for d in ["i32", "f64", "i8"] {
        check(
            &conv(
                "lhs_dims = [0, 1, 2, 3], rhs_dims = [0, 1, 2, 3], out_dims = [0, 1, 2, 3]",
                "strides = [1, 1], padding = [(0, 0), (0, 0)], lhs_dilation = [1, 1], rhs_dilation = [1, 1], feature_groups = 1, batch_groups = 1",
            ),
            &[small(&format!("{d}[1,1,3,3]")), small(&format!("{d}[1,1,2,2]"))],
            &[lit(&format!("{d}[1,1,2,2]"), &[13.0, 7.0, -5.0, -4.0])],
        );
    }
}

#[test]
fn reductions() {
    let x = lit("f32[2,3]", &[1.0, -2.0, 3.0, 4.0, 5.0, -6.0]);
    for (kind, rows, columns, all) in [
        ("sum", [2.0, 3.0], [5.0, 3.0, -3.0], 5.0),
        ("prod", [-6.0, -120.0], [4.0, -10.0, -18.0], 720.0),
        ("max", [3.0, 5.0], [4.0, 5.0, 3.0], 5.0),
        ("min", [-2.0, -6.0], [1.0, -2.0, -6.0], -6.0),
    ] {
        let node = |axes: &str| format!("reduce(%0) {{kind = \"{kind}\", axes = {axes}}}");
        check(&node("[1]"), &[x.clone()], &[lit("f32[2]", &rows)]);
        check(&node("[0]"), &[x.clone()], &[lit("f32[3]", &columns)]);
        check(&node("[1, 0]"), &[x.clone()], &[lit("f32[]", &[all])]);
        check(&node("[]"), &[x.clone()], &[x.clone()]);
    }
    for (kind, ty, identity) in [
        ("sum", "f32", 0.0),
        ("prod", "f64", 1.0),
        ("max", "f32", -INF),
        ("min", "f64", INF),
        ("max", "i8", -128.0),
        ("min", "u8", 255.0),
        ("and", "i16", -1.0),
        ("or", "u32", 0.0),
        ("and", "bool", 1.0),
        ("or", "bool", 0.0),
        ("max", "bool", 0.0),
        ("min", "bool", 1.0),
    ] {
        let node = format!("reduce(%0) {{kind = \"{kind}\", axes = [0]}}");
        check(&node, &[lit(&format!("{ty}[0]"), &[])], &[lit(&format!("{ty}[]"), &[identity])]);
    }
    check("reduce(%0) {kind = \"and\", axes = [0]}", &[lit("u8[2]", &[12.0, 10.0])], &[lit("u8[]", &[8.0])]);
    check("reduce(%0) {kind = \"max\", axes = [0]}", &[lit("f64[3]", &[1.0, NAN, 2.0])], &[lit("f64[]", &[NAN])]);
    check("reduce(%0) {kind = \"sum\", axes = [0]}", &[lit("i8[2]", &[100.0, 100.0])], &[lit("i8[]", &[-56.0])]);
    // in the dtype itself, one after the other
    check(
        "reduce(%0) {kind = \"sum\", axes = [0]}",
        &[lit("f32[3]", &[16777216.0, 1.0, 1.0])],
        &[lit("f32[]", &[16777216.0])],
    );
}

#[test]
fn positions_of_extrema() {
    let node = |kind: &str, axis: usize| format!("arg_reduce(%0) {{kind = \"{kind}\", axis = {axis}}}");
    let x = lit("f64[2,3]", &[1.0, 5.0, 5.0, 2.0, -1.0, -1.0]);
    check(&node("max", 1), &[x.clone()], &[lit("i32[2]", &[1.0, 0.0])]);
    check(&node("min", 1), &[x.clone()], &[lit("i32[2]", &[0.0, 1.0])]);
    check(&node("max", 0), &[x], &[lit("i32[3]", &[1.0, 0.0, 0.0])]);
    let x = lit("f32[4]", &[1.0, NAN, 5.0, NAN]);
    check(&node("max", 0), &[x.clone()], &[lit("i32[]", &[1.0])]);
    check(&node("min", 0), &[x], &[lit("i32[]", &[1.0])]);
    check(&node("max", 0), &[lit("f32[2]", &[-0.0, 0.0])], &[lit("i32[]", &[0.0])]);
    check(&node("max", 0), &[lit("bool[3]", &[0.0, 1.0, 1.0])], &[lit("i32[]", &[1.0])]);
    check(&node("min", 0), &[lit("u8[3]", &[9.0, 200.0, 3.0])], &[lit("i32[]", &[2.0])]);
}

#[test]
fn running_reductions() {
    let node = |kind: &str, axis: usize, reverse: bool| {
        format!("cumulative(%0) {{kind = \"{kind}\", axis = {axis}, reverse = {reverse}}}")
    };
    let x = lit("i32[2,3]", &[1.0, 2.0, 3.0, 6.0, 5.0, 4.0]);
    check(&node("sum", 1, false), &[x.clone()], &[lit("i32[2,3]", &[1.0, 3.0, 6.0, 6.0, 11.0, 15.0])]);
    check(&node("sum", 1, true), &[x.clone()], &[lit("i32[2,3]", &[6.0, 5.0, 3.0, 15.0, 9.0, 4.0])]);
    check(&node("prod", 0, false), &[x.clone()], &[lit("i32[2,3]", &[1.0, 2.0, 3.0, 6.0, 10.0, 12.0])]);
    check(&node("max", 1, true), &[x.clone()], &[lit("i32[2,3]", &[3.0, 3.0, 3.0, 6.0, 5.0, 4.0])]);
    check(&node("min", 0, true), &[x], &[lit("i32[2,3]", &[1.0, 2.0, 3.0, 6.0, 5.0, 4.0])]);
    check(&node("max", 0, false), &[lit("f32[3]", &[1.0, NAN, 2.0])], &[lit("f32[3]", &[1.0, NAN, NAN])]);
    check(&node("or", 0, false), &[lit("bool[3]", &[0.0, 1.0, 0.0])], &[lit("bool[3]", &[0.0, 1.0, 1.0])]);
}

#[test]
fn windows() {
    let node = |kind: &str| {
        format!(
            "reduce_window(%0) {{kind = \"{kind}\", window = [2, 2], strides = [1, 2], padding = [(1, 0), (0, 1)],
             base_dilation = [1, 2], window_dilation = [2, 1]}}"
        )
    };
    let x = small("f32[3,4]");
    check(&node("max"), &[x.clone()], &[lit("f32[2,4]", &[1.0, 2.0, 3.0, -3.0, -2.0, -1.0, 0.0, 1.0])]);
    check(&node("sum"), &[x], &[lit("f32[2,4]", &[1.0, 2.0, 3.0, -3.0, -5.0, -3.0, -1.0, 1.0])]);
    let simple = "reduce_window(%0) {kind = \"prod\", window = [3], strides = [2], padding = [(1, 1)], base_dilation = [1], window_dilation = [1]}";
    check(simple, &[lit("i8[4]", &[2.0, 3.0, 4.0, 5.0])], &[lit("i8[2]", &[6.0, 60.0])]);
}

#[test]
fn selection_by_windows() {
    let key = lit("f32[4,4]", &[3.0, 2.0, 1.0, 0.0, 5.0, 4.0, 3.0, 3.0, 2.0, 1.0, 0.0, 5.0, 4.0, 3.0, 3.0, 2.0]);
    let mut want = [0.0; 16];
    (want[4], want[5], want[6], want[12], want[13]) = (-3.0, -1.0, -1.0, 3.0, -3.0);
    // the windows at (1, 2) and (2, 2) add 2 and -2 at their common greatest key
    let node =
        "select_and_scatter(%0, %1) {kind = \"max\", window = [2, 2], strides = [1, 1], padding = [(0, 0), (0, 0)]}";
    check(node, &[small("f32[3,3]"), key.clone()], &[lit("f32[4,4]", &want)]);
    check(
        "select_and_gather(%0, %1) {kind = \"max\", window = [2, 2], strides = [2, 2], padding = [(1, 0), (0, 1)]}",
        &[count("f32[4,4]"), key],
        &[lit("f32[2,2]", &[0.0, 2.0, 4.0, 11.0])],
    );
    // the least key; a window of padding alone gives 0; the first of equals
    let node = "select_and_gather(%0, %1) {kind = \"min\", window = [2], strides = [2], padding = [(2, 0)]}";
    check(
        node,
        &[lit("i32[4]", &[7.0, 8.0, 9.0, 6.0]), lit("f64[4]", &[2.0, 1.0, 3.0, 3.0])],
        &[lit("i32[3]", &[0.0, 8.0, 9.0])],
    );
    let node = "select_and_scatter(%0, %1) {kind = \"min\", window = [2], strides = [2], padding = [(2, 0)]}";
    check(
        node,
        &[lit("f64[3]", &[1.0, 2.0, 3.0]), lit("i8[4]", &[2.0, 1.0, 3.0, 3.0])],
        &[lit("f64[4]", &[0.0, 2.0, 3.0, 0.0])],
    );
}

#[test]
fn sorting() {
    let keys = lit("f32[8]", &[3.0, NAN, -0.0, 0.0, -NAN, -1.0, INF, 3.0]);
    check(
        "sort(%0, %1) {axis = 0, num_keys = 1}",
        &[keys, count("i32[8]")],
        &[
            lit("f32[8]", &[-1.0, -0.0, 0.0, 3.0, 3.0, INF, NAN, NAN]),
            lit("i32[8]", &[5.0, 2.0, 3.0, 0.0, 7.0, 6.0, 1.0, 4.0]),
        ],
    );
    check(
        "sort(%0, %1) {axis = 0, num_keys = 2}",
        &[lit("i8[2,2]", &[1.0, 5.0, 1.0, -5.0]), lit("bool[2,2]", &[1.0, 0.0, 0.0, 1.0])],
        &[lit("i8[2,2]", &[1.0, -5.0, 1.0, 5.0]), lit("bool[2,2]", &[0.0, 1.0, 1.0, 0.0])],
    );
    for (ty, least) in [("i64[3]", i64::MIN as f64), ("f64[3]", -INF), ("u16[3]", 0.0)] {
        let sorted = lit(ty, &[least, 1.0, 2.0]);
        check("sort(%0) {axis = 0, num_keys = 1}", &[lit(ty, &[2.0, least, 1.0])], &[sorted]);
    }
}
