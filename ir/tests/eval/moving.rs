//! Ops that move elements.

use super::*;

#[test]
fn sources() {
    check("iota() {dtype = i8, shape = [2, 3], axis = 1}", &[], &[lit("i8[2,3]", &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0])]);
    check("iota() {dtype = f64, shape = [2, 2], axis = 0}", &[], &[lit("f64[2,2]", &[0.0, 0.0, 1.0, 1.0])]);
    check("constant() {value = dense<[true, false] : bool[2]>}", &[], &[lit("bool[2]", &[1.0, 0.0])]);
}

#[test]
fn shapes() {
    let x = count("i32[2,3]");
    check(
        "broadcast_in_dim(%0) {shape = [2, 2, 3], dims = [0, 2]}",
        &[x.clone()],
        &[lit("i32[2,2,3]", &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 3.0, 4.0, 5.0])],
    );
    check(
        "broadcast_in_dim(%0) {shape = [3, 2], dims = [1, 0]}",
        &[lit("u8[1,3]", &[1.0, 2.0, 3.0])],
        &[lit("u8[3,2]", &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0])],
    );
    check("broadcast_in_dim(%0) {shape = [3], dims = []}", &[lit("f32[]", &[7.0])], &[lit("f32[3]", &[7.0; 3])]);
    check("reshape(%0) {shape = [3, 2]}", &[x.clone()], &[count("i32[3,2]")]);
    check("transpose(%0) {perm = [1, 0]}", &[x.clone()], &[lit("i32[3,2]", &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])]);
    check("transpose(%0) {perm = [2, 0, 1]}", &[count("u8[1,2,2]")], &[lit("u8[2,1,2]", &[0.0, 2.0, 1.0, 3.0])]);
    check(
        "slice(%0) {start = [0, 0], limit = [2, 3], stride = [1, 2]}",
        &[x.clone()],
        &[lit("i32[2,2]", &[0.0, 2.0, 3.0, 5.0])],
    );
    check(
        "slice(%0) {start = [1, 1], limit = [2, 2], stride = [9223372036854775807, 7]}",
        &[x.clone()],
        &[lit("i32[1,1]", &[4.0])],
    );
    check("slice(%0) {start = [2, 3], limit = [2, 3], stride = [1, 1]}", &[x.clone()], &[lit("i32[0,0]", &[])]);
    check("reverse(%0) {axes = [1]}", &[x.clone()], &[lit("i32[2,3]", &[2.0, 1.0, 0.0, 5.0, 4.0, 3.0])]);
    check("reverse(%0) {axes = [0, 1]}", &[x.clone()], &[lit("i32[2,3]", &[5.0, 4.0, 3.0, 2.0, 1.0, 0.0])]);
    check(
        "concatenate(%0, %1, %0) {axis = 1}",
        &[count("i32[2,1]"), lit("i32[2,2]", &[5.0, 6.0, 7.0, 8.0])],
        &[lit("i32[2,4]", &[0.0, 5.0, 6.0, 0.0, 1.0, 7.0, 8.0, 1.0])],
    );
    check("optimization_barrier(%0, %1)", &[x.clone(), count("f32[2]")], &[x, count("f32[2]")]);
}

#[test]
fn padding() {
    let p = lit("f32[]", &[9.0]);
    let x = lit("f32[3]", &[1.0, 2.0, 3.0]);
    check(
        "pad(%0, %1) {low = [1], high = [2], interior = [1]}",
        &[x.clone(), p.clone()],
        &[lit("f32[8]", &[9.0, 1.0, 9.0, 2.0, 9.0, 3.0, 9.0, 9.0])],
    );
    check(
        "pad(%0, %1) {low = [-1], high = [0], interior = [1]}",
        &[x.clone(), p.clone()],
        &[lit("f32[4]", &[9.0, 2.0, 9.0, 3.0])],
    );
    check("pad(%0, %1) {low = [2], high = [-3], interior = [0]}", &[x, p.clone()], &[lit("f32[2]", &[9.0, 9.0])]);
    check(
        "pad(%0, %1) {low = [0, 1], high = [1, 0], interior = [0, 0]}",
        &[lit("f32[1,2]", &[1.0, 2.0]), p],
        &[lit("f32[2,3]", &[9.0, 1.0, 2.0, 9.0, 9.0, 9.0])],
    );
}

#[test]
fn dynamic_slices() {
    let x = count("f32[3,3]");
    let at = |i: f64, j: f64| [lit("i32[]", &[i]), lit("i32[]", &[j])];
    let node = "dynamic_slice(%0, %1, %2) {sizes = [2, 1]}";
    for (i, j, want) in [(1.0, 1.0, [4.0, 7.0]), (2.0, 9.0, [5.0, 8.0]), (-4.0, 0.0, [0.0, 3.0])] {
        let [i, j] = at(i, j);
        check(node, &[x.clone(), i, j], &[lit("f32[2,1]", &want)]);
    }
    let far = Literal::new(&[], &[u64::MAX]);
    check("dynamic_slice(%0, %1) {sizes = [1]}", &[count("f32[3]"), far], &[lit("f32[1]", &[2.0])]);
    let [i, j] = at(5.0, 0.0);
    let u = lit("f32[2,1]", &[-1.0, -2.0]);
    check(
        "dynamic_update_slice(%0, %1, %2, %3)",
        &[x, u, i, j],
        &[lit("f32[3,3]", &[0.0, 1.0, 2.0, -1.0, 4.0, 5.0, -2.0, 7.0, 8.0])],
    );
    check("dynamic_update_slice(%0, %0)", &[lit("f32[]", &[3.0])], &[lit("f32[]", &[3.0])]);
}

#[test]
fn gathers() {
    check(
        "gather(%0, %1) {offset_dims = [1, 2], collapsed_slice_dims = [0], operand_batching_dims = [],
         start_indices_batching_dims = [], start_index_map = [2, 0], index_vector_dim = 1, slice_sizes = [1, 2, 2]}",
        &[count("i32[2,3,4]"), lit("i32[3,2]", &[0.0, 0.0, 3.0, 1.0, 9.0, -5.0])],
        &[lit("i32[3,2,2]", &[0.0, 1.0, 4.0, 5.0, 14.0, 15.0, 18.0, 19.0, 2.0, 3.0, 6.0, 7.0])],
    );
    let want = [0.0, 1.0, 2.0, 16.0, 17.0, 18.0, 8.0, 9.0, 10.0, 12.0, 13.0, 14.0, 8.0, 9.0, 10.0, 16.0, 17.0, 18.0];
    check(
        "gather(%0, %1) {offset_dims = [2], collapsed_slice_dims = [1], operand_batching_dims = [0],
         start_indices_batching_dims = [1], start_index_map = [1], index_vector_dim = 2, slice_sizes = [1, 1, 3]}",
        &[count("i32[2,3,4]"), lit("i32[3,2,1]", &[0.0, 1.0, 2.0, 0.0, 5.0, 1.0])],
        &[lit("i32[3,2,3]", &want)],
    );
    // scalar indices: rows of a matrix
    check(
        "gather(%0, %1) {offset_dims = [1], collapsed_slice_dims = [0], operand_batching_dims = [],
         start_indices_batching_dims = [], start_index_map = [0], index_vector_dim = 1, slice_sizes = [1, 2]}",
        &[count("f32[3,2]"), lit("u8[3]", &[2.0, 0.0, 200.0])],
        &[lit("f32[3,2]", &[4.0, 5.0, 0.0, 1.0, 4.0, 5.0])],
    );
    // nothing to read
    check(
        "gather(%0, %1) {offset_dims = [], collapsed_slice_dims = [0], operand_batching_dims = [],
         start_indices_batching_dims = [], start_index_map = [0], index_vector_dim = 1, slice_sizes = [0]}",
        &[lit("f32[0]", &[]), lit("i32[2]", &[0.0, 1.0])],
        &[lit("f32[2]", &[0.0, 0.0])],
    );
}

#[test]
fn scatters() {
    // windows of two; the last two do not fit
    check(
        "scatter(%0, %1, %2) {update_window_dims = [1], inserted_window_dims = [0], input_batching_dims = [],
         scatter_indices_batching_dims = [], scatter_dims_to_operand_dims = [0, 1], index_vector_dim = 1, kind = \"add\"}",
        &[
            lit("i32[3,4]", &[0.0; 12]),
            lit("i32[4,2]", &[0.0, 1.0, 2.0, 3.0, 0.0, 2.0, 1.0, -1.0]),
            lit("i32[4,2]", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        ],
        &[lit("i32[3,4]", &[0.0, 1.0, 7.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])],
    );
    check(
        "scatter(%0, %1, %2) {update_window_dims = [], inserted_window_dims = [1], input_batching_dims = [0],
         scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [1], index_vector_dim = 2, kind = \"set\"}",
        &[
            lit("i32[2,3]", &[0.0; 6]),
            lit("i32[2,2,1]", &[0.0, 2.0, 1.0, 1.0]),
            lit("i32[2,2]", &[1.0, 2.0, 3.0, 4.0]),
        ],
        &[lit("i32[2,3]", &[1.0, 0.0, 2.0, 0.0, 4.0, 0.0])],
    );
    for (kind, want) in [
        ("set", [7.0, 3.0, 4.0]),
        ("add", [6.0, 3.0, 8.0]),
        ("mul", [-28.0, 3.0, 16.0]),
        ("min", [-2.0, 3.0, 4.0]),
        ("max", [7.0, 3.0, 4.0]),
    ] {
        let node = format!(
            "scatter(%0, %1, %2) {{update_window_dims = [], inserted_window_dims = [0], input_batching_dims = [],
             scatter_indices_batching_dims = [], scatter_dims_to_operand_dims = [0], index_vector_dim = 1, kind = \"{kind}\"}}"
        );
        let at = lit("i64[4]", &[0.0, 2.0, 0.0, 3.0]);
        for ty in ["f32", "i16", "f64"] {
            let x = lit(&format!("{ty}[3]"), &[1.0 + f64::from(u8::from(kind == "mul")), 3.0, 4.0]);
            let u = lit(&format!("{ty}[4]"), &[-2.0, 4.0, 7.0, 100.0]);
            check(&node, &[x, at.clone(), u], &[lit(&format!("{ty}[3]"), &want)]);
        }
        let (x, u) = (lit("bool[3]", &[0.0, 1.0, 1.0]), lit("bool[4]", &[1.0, 0.0, 0.0, 0.0]));
        let want: [f64; 3] = match kind {
            "set" => [0.0, 1.0, 0.0],
            "add" | "max" => [1.0, 1.0, 1.0],
            _ => [0.0, 1.0, 0.0],
        };
        check(&node, &[x, at.clone(), u], &[lit("bool[3]", &want)]);
    }
}
