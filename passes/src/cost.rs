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
