//! Results do not depend on the number of threads, to the bit.

use super::{Random, run};
use gradloom_ir::{DType, Literal, Op, ReduceKind, ScatterKind, Shape, Type};

#[track_caller]
fn check(op: &Op, args: &[Literal]) {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| run(op, args))
    };
    let one = on(1);
    for threads in [2, 3, 7] {
        assert!(
            on(threads) == one,
            "{op:?} of {:?} on {threads} threads",
            args.iter().map(Literal::ty).collect::<Vec<_>>()
        );
    }
}

fn s(x: &[usize]) -> Shape {
    Shape::from_slice(x)
}

fn dot(lhs_contract: usize, rhs_contract: usize, batch: &[usize]) -> Op {
    let (lhs_contract, rhs_contract) = (s(&[lhs_contract]), s(&[rhs_contract]));
    Op::DotGeneral { lhs_batch: s(batch), rhs_batch: s(batch), lhs_contract, rhs_contract }
}

#[test]
fn products() {
    let mut rng = Random::new(1);
    for dtype in [DType::F32, DType::F64] {
        for (m, k, n) in [(200, 300, 210), (65, 4000, 9), (1, 1500, 1300), (1300, 1500, 1), (700, 3, 900)] {
            let (l, r) = (rng.literal(&Type::new(dtype, &[m, k])), rng.literal(&Type::new(dtype, &[k, n])));
            check(&dot(1, 0, &[]), &[l, r]);
        }
        // cut into parts by columns and by rows, with either operand transposed
        for (m, k, n) in [(40, 700, 720), (720, 1100, 40), (130, 513, 803), (70, 1030, 250), (512, 270, 300)] {
            for (left, right) in [(1, 0), (1, 1), (0, 0), (0, 1)] {
                let l = rng.literal(&Type::new(dtype, &if left == 1 { [m, k] } else { [k, m] }));
                let r = rng.literal(&Type::new(dtype, &if right == 0 { [k, n] } else { [n, k] }));
                check(&dot(left, right, &[]), &[l, r]);
            }
        }
        let l = rng.literal(&Type::new(dtype, &[40, 30, 33]));
        check(&dot(2, 2, &[0]), &[l.clone(), l]);
    }
}

#[test]
fn convolutions() {
    let mut rng = Random::new(2);
    let conv = |lhs: [usize; 4], rhs: [usize; 4], out: [usize; 4], batch_groups: usize| Op::Convolution {
        lhs_dims: s(&lhs),
        rhs_dims: s(&rhs),
        out_dims: s(&out),
        strides: s(&[1, 1]),
        padding: vec![(1, 1); 2],
        lhs_dilation: s(&[1, 1]),
        rhs_dilation: s(&[1, 1]),
        feature_groups: 1,
        batch_groups,
    };
    let nhwc = [0, 3, 1, 2];
    let x = rng.literal(&Type::new(DType::F32, &[16, 14, 14, 24]));
    let w = rng.literal(&Type::new(DType::F32, &[3, 3, 24, 32]));
    let y = rng.literal(&Type::new(DType::F32, &[16, 14, 14, 32]));
    check(&conv(nhwc, [3, 2, 0, 1], nhwc, 1), &[x.clone(), w.clone()]);
    check(&conv(nhwc, [2, 3, 0, 1], nhwc, 1), &[y.clone(), w]);
    check(&conv([3, 0, 1, 2], [3, 0, 1, 2], [2, 3, 0, 1], 1), &[x.clone(), y]);
    check(&conv([3, 0, 1, 2], [3, 0, 1, 2], [2, 3, 0, 1], 24), &[x.clone(), x]);
}

#[test]
fn windows_and_running_sums() {
    let mut rng = Random::new(3);
    let x = rng.literal(&Type::new(DType::F32, &[9, 30, 30, 12]));
    let (window, strides, padding) = (s(&[1, 3, 3, 1]), s(&[1, 1, 1, 1]), vec![(0, 0), (1, 1), (1, 1), (0, 0)]);
    let kind = ReduceKind::Max;
    check(
        &Op::SelectAndScatter { kind, window: window.clone(), strides: strides.clone(), padding: padding.clone() },
        &[x.clone(), x.clone()],
    );
    let (base_dilation, window_dilation) = (strides.clone(), strides.clone());
    let kind = ReduceKind::Sum;
    check(
        &Op::ReduceWindow { kind, window, strides, padding, base_dilation, window_dilation },
        std::slice::from_ref(&x),
    );
    check(&Op::Cumulative { kind, axis: 1, reverse: true }, &[x]);
}

#[test]
fn scattered_sums() {
    let mut rng = Random::new(5);
    let at: Vec<i32> = (0..3000).map(|_| rng.below(40) as i32).collect();
    let op = Op::Scatter {
        update_window_dims: s(&[1]),
        inserted_window_dims: s(&[0]),
        input_batching_dims: s(&[]),
        scatter_indices_batching_dims: s(&[]),
        scatter_dims_to_operand_dims: s(&[0]),
        index_vector_dim: 1,
        kind: ScatterKind::Add,
    };
    let [x, updates] = [40, 3000].map(|n| rng.literal(&Type::new(DType::F32, &[n, 50])));
    check(&op, &[x, Literal::new(&[3000, 1], &at), updates]);
}

#[test]
fn linear_algebra() {
    let mut rng = Random::new(4);
    for dtype in [DType::F32, DType::F64] {
        for shape in [&[1, 90, 90][..], &[70, 12, 12], &[5000, 3, 3]] {
            let a = rng.literal(&Type::new(dtype, shape));
            for op in [
                Op::Lu {},
                Op::Qr { full: false },
                Op::Svd { full: false, vectors: true },
                Op::Eigh { vectors: true },
                Op::Eig { vectors: true },
            ] {
                check(&op, std::slice::from_ref(&a));
            }
        }
    }
}
