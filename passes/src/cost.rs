//! What ops cost: a closed form an op, from its types alone.
//!
//! `flops` counts arithmetic operations on numbers: one an element for an elementwise op, whatever it computes, none for
//! ops that only move or convert elements. A multiplication of complex numbers is 6, another operation on them 2.
//! `bytes` counts what the op reads and writes if it runs by itself: its operands and results, or the parts of them it
//! touches. A compiled program moves less, because fused ops hand values over in registers, and where a count
//! depends on values (iterations of `while`, the branch of `switch`, of iterative decompositions) it is an estimate.

use gradloom_ir::{Analysis, Binary, FftKind, Graph, Node, Op, Type, WindowGeometry, conv_geometry};

/// Arithmetic operations and bytes moved.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OpCost {
    /// Arithmetic operations.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl std::ops::Add for OpCost {
    type Output = OpCost;
    fn add(self, other: OpCost) -> OpCost {
        OpCost { flops: self.flops.saturating_add(other.flops), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl OpCost {
    /// The cost of doing it `times` times.
    pub fn times(self, times: u64) -> OpCost {
        OpCost { flops: self.flops.saturating_mul(times), bytes: self.bytes.saturating_mul(times) }
    }

    fn max(self, other: OpCost) -> OpCost {
        OpCost { flops: self.flops.max(other.flops), bytes: self.bytes.max(other.bytes) }
    }
}

/// What each node costs, by position.
pub struct Costs(pub Vec<OpCost>);

impl Analysis for Costs {
    fn of(g: &Graph) -> Costs {
        Costs(g.nodes().iter().map(|n| node_cost(g, n)).collect())
    }
}

/// The cost of a program: the sum over its nodes.
pub fn graph_cost(g: &Graph) -> OpCost {
    g.analysis::<Costs>().0.iter().fold(OpCost::default(), |a, &b| a + b)
}

/// The cost of a node of `g`.
pub fn node_cost(g: &Graph, node: &Node) -> OpCost {
    let types = |vs: &[gradloom_ir::Value]| vs.iter().map(|&v| g.ty(v)).collect::<Vec<_>>();
    cost(&node.op, &types(&node.args), &types(&node.results))
}

/// The cost of an op on operands and results of the given types, those that [`gradloom_ir::infer`] gives.
pub fn cost(op: &Op, args: &[&Type], results: &[&Type]) -> OpCost {
    match op {
        Op::Scan { body, length, .. } => graph_cost(body).times(*length as u64),
        Op::While { cond, body, .. } => graph_cost(cond) + graph_cost(body),
        Op::Switch { branches } => branches.iter().map(|b| graph_cost(b)).fold(OpCost::default(), OpCost::max),
        Op::Remat { body: primal } | Op::CustomJvp { primal, .. } | Op::CustomVjp { primal, .. } => graph_cost(primal),
        Op::CustomLinear { bwd, .. } => graph_cost(bwd),
        // casts of floats saturate
        op => OpCost { flops: flops(op, args, results) as u64, bytes: bytes(op, args, results) as u64 },
    }
}

fn numel(t: &Type) -> f64 {
    t.numel() as f64
}

fn product(lengths: &[usize]) -> f64 {
    lengths.iter().map(|&n| n as f64).product()
}

/// Real operations of a multiplication and an addition.
fn multiply_add(t: &Type) -> f64 {
    if t.dtype.is_complex() { 8.0 } else { 2.0 }
}

fn flops(op: &Op, args: &[&Type], results: &[&Type]) -> f64 {
    let Some(out) = results.first() else { return 0.0 };
    let complex = |t: &Type| if t.dtype.is_complex() { 2.0 } else { 1.0 };
    match op {
        Op::Binary(Binary::Mul) if out.dtype.is_complex() => 6.0 * numel(out),
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) => complex(args[0]) * numel(out),
        Op::Select {} | Op::AllReduce { .. } => complex(out) * numel(out),
        // 20 rounds of addition, rotation, exclusive or; 5 times 3 additions of key words, 2 before and 2 to make the third
        Op::Threefry { .. } => 79.0 * numel(out),
        Op::DotGeneral { lhs_contract, .. } => {
            let contracted: f64 = lhs_contract.iter().map(|&a| args[0].shape[a] as f64).product();
            multiply_add(out) * numel(out) * contracted
        }
        // taps on padding count
        Op::Convolution { .. } => conv_geometry(op, args[0], args[1])
            .map_or(0.0, |g| multiply_add(out) * numel(out) * product(&g.rhs_spatial) * g.group_features as f64),
        Op::Reduce { .. } | Op::ArgReduce { .. } => complex(args[0]) * (numel(args[0]) - numel(out)).max(0.0),
        Op::Cumulative { axis, .. } => {
            let lines = numel(out) / (out.shape[*axis] as f64).max(1.0);
            complex(out) * (numel(out) - lines)
        }
        Op::ReduceWindow { window, .. } | Op::SelectAndGather { window, .. } => {
            complex(out) * numel(out) * (product(window) - 1.0)
        }
        // the choice in each window and one addition
        Op::SelectAndScatter { window, .. } => {
            WindowGeometry::new(op, args[1]).map_or(0.0, |g| product(&g.out) * product(window))
        }
        Op::Scatter { .. } => complex(out) * numel(args[2]),
        Op::Sort { axis, .. } => numel(args[0]) * (args[0].shape[*axis].max(1) as f64).log2().ceil(),
        // half of the points are redundant where one side is real
        Op::Fft { kind, lengths } => {
            let points = numel(if *kind == FftKind::Rfft { args[0] } else { out });
            let share = if matches!(kind, FftKind::Rfft | FftKind::Irfft) { 0.5 } else { 1.0 };
            5.0 * share * points * product(lengths).max(1.0).log2()
        }
        gradloom_ir::linalg_ops!() => multiply_add(args[0]) / 2.0 * linalg(op, args),
        // moved, converted, made, or computed elsewhere; ops with bodies cost what is in them
        Op::Constant { .. }
        | Op::Iota { .. }
        | Op::Convert { .. }
        | Op::Bitcast { .. }
        | Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concatenate { .. }
        | Op::Reverse { .. }
        | Op::DynamicSlice { .. }
        | Op::DynamicUpdateSlice {}
        | Op::Gather { .. }
        | Op::AxisIndex { .. }
        | Op::Barrier {}
        | Op::HostCall { .. }
        | Op::Custom { .. }
        | gradloom_ir::body_ops!() => 0.0,
    }
}

/// Real operations of a decomposition or solver (Golub and Van Loan, Matrix Computations, 4th edition, tables 5.5.1 and
/// 8.6.1, sections 3.2, 4.2, 5.2, 7.5, 8.3).
fn linalg(op: &Op, args: &[&Type]) -> f64 {
    let a = args[0];
    let [batch @ .., rows, columns] = &a.shape[..] else { return 0.0 };
    let (m, n) = (*rows as f64, *columns as f64);
    let (k, long) = (m.min(n), m.max(n));
    let elimination = 2.0 * m * n * k - (m + n) * k * k + 2.0 / 3.0 * k * k * k;
    let values = 4.0 * long * k * k - 4.0 / 3.0 * k * k * k;
    let vectors = 14.0 * long * k * k + 8.0 * k * k * k;
    let of_one = match op {
        Op::Cholesky { .. } => n * n * n / 3.0,
        // each element of the triangle once a right side
        Op::TriangularSolve { .. } => return n * numel(args[1]),
        Op::LuSolve { .. } => return 2.0 * n * numel(args[3]),
        Op::Lu {} => elimination,
        // the reflections, then their product
        Op::Qr { full: true } => 2.0 * elimination + 4.0 * (m * m * k - m * k * k + k * k * k / 3.0),
        Op::Qr { full: false } => 2.0 * elimination + 2.0 * (m * k * k - k * k * k / 3.0),
        Op::Svd { vectors: false, .. } => values,
        Op::Svd { full: false, .. } => vectors,
        Op::Svd { full: true, .. } => 4.0 * long * long * k + 8.0 * long * k * k + 9.0 * k * k * k,
        Op::Eigh { vectors } => {
            if *vectors {
                9.0 * n * n * n
            } else {
                4.0 / 3.0 * n * n * n
            }
        }
        Op::Eig { vectors } => {
            if *vectors {
                25.0 * n * n * n
            } else {
                10.0 * n * n * n
            }
        }
        Op::Pinv {} => vectors + 2.0 * m * n * k + n * k,
        // each direction to the basis, the result back, and the sum of all products along paths
        Op::SpectralForm { order } => {
            let paths = (1..=*order).fold(n, |p, i| p * n * i as f64);
            4.0 * (*order as f64 + 1.0) * n * n * n + paths * *order as f64
        }
        _ => 0.0,
    };
    product(batch) * of_one
}

fn bytes(op: &Op, args: &[&Type], results: &[&Type]) -> f64 {
    let sum = |ts: &[&Type]| ts.iter().map(|t| numel(t) * t.dtype.size() as f64).sum::<f64>();
    match op {
        // the same memory
        Op::Reshape { .. } | Op::Barrier {} => 0.0,
        // what is taken, and where
        Op::Slice { .. } | Op::DynamicSlice { .. } | Op::Gather { .. } => 2.0 * sum(results) + sum(&args[1..]),
        // in place: only what is new, and where
        Op::DynamicUpdateSlice {} => 2.0 * sum(&args[1..2]) + sum(&args[2..]),
        Op::Scatter { .. } => 3.0 * sum(&args[2..]) + sum(&args[1..2]),
        _ => sum(args) + sum(results),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::parse;

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
        check(
            &["f32[50,4]", "i32[]", "i32[]"],
            "dynamic_slice(%0, %1, %2) {sizes = [2, 1]}",
            "f32[2,1]",
            0,
            4 * F32 + 8,
        );
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
}
