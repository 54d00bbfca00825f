//! Random trees of products: their order is changed, and what they are is not.

use crate::oracle::{Random, assert_equivalent};
use gradloom_ir::{Builder, DType, Graph, Op, Shape, Type, Value, verify};
use gradloom_passes::{Pipeline, ReassociateProducts, cost::graph_cost};

/// A product of two values along random axes of equal lengths, with or without a batch; now and then a transpose.
fn product(r: &mut Random, b: &mut Builder, values: &[Value]) -> Option<Value> {
    let mut pick = || values[if r.below(2) == 0 { r.below(values.len()) } else { values.len() - 1 }];
    let (x, y) = (pick(), pick());
    if r.below(4) == 0 {
        let mut perm: Vec<usize> = (0..b.ty(x).rank()).collect();
        (1..perm.len()).for_each(|i| perm.swap(i, r.below(i + 1)));
        return Some(b.transpose(x, &perm));
    }
    let mut axes = [Shape::new(), Shape::new(), Shape::new(), Shape::new()];
    for i in 0..b.ty(x).rank() {
        let fits = |j: &usize| b.ty(y).shape[*j] == b.ty(x).shape[i] && !axes[1].contains(j) && !axes[3].contains(j);
        let partners: Vec<usize> = (0..b.ty(y).rank()).filter(fits).collect();
        // 0: batch, 1: contracted, others stay free
        let kind = r.below(4).min(2);
        if !partners.is_empty() && kind < 2 {
            let j = partners[r.below(partners.len())];
            axes[2 * kind].push(i);
            axes[2 * kind + 1].push(j);
        }
    }
    let [lhs_batch, rhs_batch, lhs_contract, rhs_contract] = axes;
    let op = Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract };
    let rank = b.ty(x).rank() + b.ty(y).rank();
    (rank < 8).then(|| b.op(op, &[x, y])).filter(|&z| b.ty(z).numel() <= 400)
}

fn program(seed: u64, dtype: DType) -> Graph {
    let r = &mut Random(seed);
    let mut b = Builder::new();
    let shapes: [&[usize]; 5] = [&[3, 4], &[4, 2], &[2, 3, 4], &[4], &[3]];
    let mut values: Vec<Value> = shapes.iter().map(|s| b.input(Type::new(dtype, s), "")).collect();
    for _ in 0..4 + r.below(12) {
        values.extend(product(r, &mut b, &values));
    }
    let last = values[values.len() - 1];
    b.finish(&if r.below(4) == 0 { vec![last, values[values.len() / 2]] } else { vec![last] }).expect("well-formed")
}

#[test]
fn products_of_integers_keep_their_bits_and_get_cheaper() {
    let mut fewer = 0;
    for seed in 0..1500 {
        let g = gradloom_passes::dead_code(&program(seed, DType::I64));
        for operands in [3, 9] {
            let p = Pipeline::empty().push(ReassociateProducts { operands });
            let mut new = g.clone();
            p.run_with(&mut new, &mut Default::default()).unwrap_or_else(|e| panic!("{seed}: {e}\n{g}"));
            verify(&new).unwrap_or_else(|e| panic!("{seed}: {e}\n{g}\n{new}"));
            assert_equivalent(&format!("seed {seed}"), &g, &new, None);
            let [before, after] = [&g, &new].map(|g| graph_cost(g).flops);
            assert!(after < before || (after == before && new == g), "{seed}: {before} became {after}\n{g}\n{new}");
            fewer += usize::from(after < before);
            let mut again = new.clone();
            p.run_with(&mut again, &mut Default::default()).expect("it ran before");
            assert_eq!(again, new, "{seed}: not idempotent on\n{g}");
        }
    }
    assert!(fewer > 500, "only {fewer} programs got cheaper");
}

#[test]
fn products_of_floats_keep_their_values() {
    for seed in 0..300 {
        let g = program(seed, DType::F64);
        let mut new = g.clone();
        let p = Pipeline::standard().with(ReassociateProducts::default());
        p.run_with(&mut new, &mut Default::default()).unwrap_or_else(|e| panic!("{seed}: {e}\n{g}"));
        assert_equivalent(&format!("seed {seed}"), &g, &new, Some(1e-9));
    }
}

/// A chain of matrices: the parenthesisation of Cormen et al., Introduction to Algorithms, section 15.2, found among all
/// orders and among those of neighbours.
#[test]
fn the_textbook_chain() {
    let lengths = [30, 35, 15, 5, 10, 20, 25];
    let mut b = Builder::new();
    let matrices: Vec<Value> = lengths.windows(2).map(|n| b.input(Type::new(DType::F64, n), "")).collect();
    let product = |b: &mut Builder, x: Value, y: Value| {
        let one = |axis: usize| Shape::from_slice(&[axis]);
        let none = Shape::new();
        b.op(
            Op::DotGeneral { lhs_batch: none.clone(), rhs_batch: none, lhs_contract: one(1), rhs_contract: one(0) },
            &[x, y],
        )
    };
    let from_left = matrices[1..].iter().fold(matrices[0], |x, &y| product(&mut b, x, y));
    let g = b.finish(&[from_left]).expect("well-formed");
    for operands in [6, 2] {
        let mut best = g.clone();
        Pipeline::empty().push(ReassociateProducts { operands }).run(&mut best).expect("it runs");
        assert_eq!(graph_cost(&best).flops, 2 * 15125, "{best}");
        // ((A1 (A2 A3)) ((A4 A5) A6))
        let sizes: Vec<Vec<usize>> = best.nodes().iter().map(|n| best.ty(n.results[0]).shape.to_vec()).collect();
        let [mut got, mut want] = [sizes, vec![vec![35, 5], vec![30, 5], vec![5, 20], vec![5, 25], vec![30, 25]]];
        got.sort();
        want.sort();
        assert_eq!(got, want, "{best}");
    }
}
