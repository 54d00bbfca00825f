//! Mixed precision: what is exact stays so, and what is rounded stays within the bounds of rounding.

use crate::oracle;
use crate::oracle::Random;
use gradloom_ir::{Binary, Builder, Comparison, DType, Graph, Literal, Op, ReduceKind, Type, Unary, eval::eval, parse};
use gradloom_passes::{MixedPrecision, Pipeline};

const HALVES: [DType; 2] = [DType::BF16, DType::F16];

fn lowered(g: &Graph, compute: DType) -> Graph {
    let mut new = g.clone();
    Pipeline::empty().push(MixedPrecision { compute }).run(&mut new).unwrap_or_else(|e| panic!("{e}\n{g}"));
    new
}

/// A random program on 4 x 4 matrices of integers from -3 to 3, whose values 8 bits hold.
fn integer_program(r: &mut Random) -> Graph {
    let ty = Type::new(DType::F32, &[4, 4]);
    let mut b = Builder::new();
    let mut values = vec![b.input(ty.clone(), ""), b.input(ty.clone(), "")];
    let bias = b.input(Type::new(DType::F32, &[4]), "");
    for _ in 0..12 {
        let pick = |r: &mut Random| values[values.len() - 1 - r.below(values.len().min(4))];
        let (x, y) = (pick(r), pick(r));
        let result = match r.below(11) {
            // at most 4 * 3 * 3
            0..=2 => b.op(
                Op::DotGeneral {
                    lhs_batch: Default::default(),
                    rhs_batch: Default::default(),
                    lhs_contract: [r.below(2)][..].into(),
                    rhs_contract: [r.below(2)][..].into(),
                },
                &[x, y],
            ),
            3 => {
                let row = b.broadcast(bias, &[4, 4], &[1]);
                b.add(x, row)
            }
            4 => b.add(x, y),
            5 => b.sub(x, y),
            6 => b.mul(x, y),
            7 => b.transpose(x, &[1, 0]),
            8 => {
                let positive = b.compare(Comparison::Gt, x, y);
                let zero = b.full(&ty, 0.0);
                b.select(positive, x, zero)
            }
            9 => {
                let kind = [ReduceKind::Sum, ReduceKind::Max][r.below(2)];
                let row = b.reduce(kind, x, &[1]);
                b.broadcast(row, &[4, 4], &[0])
            }
            _ => b.unary([Unary::Neg, Unary::Abs, Unary::Sign][r.below(3)], x),
        };
        let [low, high] = [-3.0, 3.0].map(|c| b.full(&ty, c));
        let result = b.binary(Binary::Max, result, low);
        values.push(b.binary(Binary::Min, result, high));
    }
    let outputs = &values[values.len() - 3..];
    b.finish(outputs).expect("a well-formed program")
}

#[test]
fn numbers_that_need_no_rounding_are_computed_exactly() {
    let mut products = 0;
    for seed in 0..400 {
        let mut r = Random(seed);
        let g = integer_program(&mut r);
        let inputs: Vec<Literal> = (g.input_types().iter())
            .map(|t| Literal::new(&t.shape, &(0..t.numel()).map(|_| r.below(7) as f32 - 3.0).collect::<Vec<_>>()))
            .collect();
        let want = eval(&g, &inputs).expect("runs");
        for compute in HALVES {
            let low = lowered(&g, compute);
            assert_eq!(eval(&low, &inputs).expect("runs"), want, "seed {seed} in {compute}\n{g}\n{low}");
            for node in low.nodes().iter().filter(|n| matches!(n.op, Op::DotGeneral { .. })) {
                assert_eq!(low.ty(node.results[0]).dtype, compute, "{low}");
                products += 1;
            }
        }
    }
    assert!(products > 500, "{products} products");
}

/// |fl(xᵀw) - xᵀw| ≤ ((1 + u)³ (1 + k v) - 1) Σ |x w|: the operands and the result are rounded to 16 bits (u), and k
/// products are added up in f32 (v).
#[test]
fn products_are_as_exact_as_their_roundings() {
    let text = "graph(%0: f32[16,300], %1: f32[300,16]) {
        %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[16,16]
        return %2
    }";
    let g = parse(text).expect("a program");
    let inputs = oracle::inputs(1, &g, false);
    let [x, w] = [0, 1].map(|i| inputs[i].to_f64());
    for (compute, bits) in [(DType::BF16, 8), (DType::F16, 11)] {
        let y = eval(&lowered(&g, compute), &inputs).expect("runs")[0].to_f64();
        let (u, v) = (0.5f64.powi(bits), 0.5f64.powi(24));
        let relative = (1.0 + u).powi(3) * (1.0 + 300.0 * v) - 1.0;
        let mut worst: f64 = 0.0;
        for i in 0..16 {
            for j in 0..16 {
                let terms: Vec<f64> = (0..300).map(|k| x[i * 300 + k] * w[k * 16 + j]).collect();
                let bound = relative * terms.iter().map(|t| t.abs()).sum::<f64>();
                worst = worst.max((y[i * 16 + j] - terms.iter().sum::<f64>()).abs() / bound);
            }
        }
        // rounded it was, and within the bound
        assert!(worst > 1e-3 && worst <= 1.0, "{compute}: {worst}");
    }
}

#[test]
fn gradients_that_f16_cannot_hold_are_zero() {
    let text = "graph(%0: f32[2,2]) {
        %1 = dot_general(%0, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[2,2]
        return %1
    }";
    let g = parse(text).expect("a program");
    let x = [Literal::new(&[2, 2], &[1e-8f32, 0.0, 0.0, 1e-8])];
    let diagonal = |compute| eval(&lowered(&g, compute), &x).expect("runs")[0].get_f64(0);
    assert_eq!(diagonal(DType::F16), 0.0);
    assert!((diagonal(DType::BF16) - 1e-16).abs() < 1e-18);
}

#[test]
fn other_dtypes_are_refused() {
    let mut g = parse("graph(%0: f32[2]) { return %0 }").expect("a program");
    let e = Pipeline::empty().push(MixedPrecision { compute: DType::F32 }).run(&mut g).expect_err("refused");
    assert_eq!(e.to_string(), "mixed_precision: f32 is no float of 16 bits\n  help: compute in bf16 or f16");
}
