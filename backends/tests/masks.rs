//! Scores that a mask hides are not computed: attention with masks of every kind before the pass and after it, against the
//! interpreter.

#[allow(dead_code, reason = "a module of several tests")]
mod attention;

use attention::{Attention, Mask, as_dtype, with_gradient};
use gradloom_backends::cpu::{Cutting, skip_masked};
use gradloom_ir::eval::eval;
use gradloom_ir::{Binary, Builder, Comparison, DType, Graph, Literal, Op, ReduceKind, Type, Unary, Value};
use gradloom_passes::{Changed, Pipeline, cse};

/// Cuts small arrays, too.
const ALWAYS: Cutting = Cutting { min_length: 8, min_bytes: 0, block: 4, max_blocks: 16, step: 2 };

const QUERIES: usize = 16;
const KEYS: usize = 14;

/// Numbers without a pattern.
fn numbers(shape: &[usize], seed: usize) -> Literal {
    let n: usize = shape.iter().product();
    let data: Vec<f32> = (0..n).map(|i| (((i + 1) * (seed * 2 + 7)) as f32 * 0.7123).sin()).collect();
    Literal::new(shape, &data)
}

/// Which keys a query sees, as bools `[queries, keys]`.
type Seen = fn(&mut Builder) -> Value;

fn places(b: &mut Builder) -> [Value; 2] {
    [0, 1].map(|axis| b.iota(DType::I32, &[QUERIES, KEYS], axis))
}

fn causal(b: &mut Builder) -> Value {
    let [query, key] = places(b);
    b.compare(Comparison::Ge, query, key)
}

/// A query sees five keys up to its own place.
fn window(b: &mut Builder) -> Value {
    let [query, key] = places(b);
    let late = b.compare(Comparison::Ge, query, key);
    let first = b.offset(query, -5.0);
    let near = b.compare(Comparison::Lt, first, key);
    b.binary(Binary::And, near, late)
}

/// As frameworks that have no bools write it: ones below the diagonal, compared with 0.
fn triangle_of_floats(b: &mut Builder) -> Value {
    let seen = causal(b);
    let ty = Type::new(DType::F32, &[QUERIES, KEYS]);
    let (one, zero) = (b.full(&ty, 1.0), b.full(&ty, 0.0));
    let triangle = b.select(seen, one, zero);
    let hidden = b.compare(Comparison::Eq, triangle, zero);
    b.unary(Unary::Not, hidden)
}

fn constant(b: &mut Builder) -> Value {
    let seen = |i: usize| (i % KEYS) / 3 <= (i / KEYS) / 3;
    b.literal(Literal::new(&[QUERIES, KEYS], &(0..QUERIES * KEYS).map(seen).collect::<Vec<bool>>()))
}

const MASKS: &[(&str, Seen)] =
    &[("causal", causal), ("window", window), ("triangle of floats", triangle_of_floats), ("constant", constant)];

/// Softmax of masked scores, times values; `turned` has the axes of the product the other way round. Where the greatest score is
/// `fixed`, derivatives do not go through it.
fn program(seen: Seen, lowest: f64, batch: &[usize], turned: bool, fixed: bool) -> Graph {
    let array = |n: usize, d: usize| -> Vec<usize> { batch.iter().copied().chain([n, d]).collect() };
    let types = [array(QUERIES, 3), array(KEYS, 3), array(KEYS, 5)].map(|s| Type::new(DType::F32, &s));
    let (mut b, x) = Builder::with_inputs(&types);
    let k = batch.len();
    let axes = |axes: &[usize]| axes.iter().copied().collect();
    let all: Vec<usize> = (0..k).collect();
    let dot = |contract: [usize; 2]| Op::DotGeneral {
        lhs_batch: axes(&all),
        rhs_batch: axes(&all),
        lhs_contract: axes(&contract[..1]),
        rhs_contract: axes(&contract[1..]),
    };
    let shape = array(QUERIES, KEYS);
    let scores = b.op(dot([k + 1, k + 1]), &[x[0], x[1]]);
    let scores = b.scale(scores, 0.6);
    let seen = seen(&mut b);
    let seen = b.broadcast(seen, &shape, &[k, k + 1]);
    let low = b.full_like(scores, lowest);
    let scores = b.select(seen, scores, low);
    let rows: Vec<usize> = (0..=k).collect();
    let mut greatest = b.reduce(ReduceKind::Max, scores, &[k + 1]);
    if fixed {
        // no derivative passes an integer
        greatest = b.op(Op::Bitcast { dtype: DType::I32 }, &[greatest]);
        greatest = b.op(Op::Bitcast { dtype: DType::F32 }, &[greatest]);
    }
    let greatest = b.broadcast(greatest, &shape, &rows);
    let less = b.sub(scores, greatest);
    let exponentials = b.unary(Unary::Exp, less);
    let sum = b.sum(exponentials, &[k + 1]);
    let sum = b.broadcast(sum, &shape, &rows);
    let weights = b.div(exponentials, sum);
    let out = if turned { b.op(dot([k, k + 1]), &[x[2], weights]) } else { b.op(dot([k + 1, k]), &[weights, x[2]]) };
    b.finish(&[out]).unwrap_or_else(|e| panic!("{e}"))
}

/// Three queries of a group meet the same keys; the product has their axes in another order than its result.
fn grouped(seen: Seen, lowest: f64) -> Graph {
    let types = [vec![2, QUERIES, 3, 3], vec![2, KEYS, 3], vec![2, KEYS, 5]].map(|s| Type::new(DType::F32, &s));
    let (mut b, x) = Builder::with_inputs(&types);
    let dot = |contract: [usize; 2]| Op::DotGeneral {
        lhs_batch: [0].into_iter().collect(),
        rhs_batch: [0].into_iter().collect(),
        lhs_contract: contract[..1].into(),
        rhs_contract: contract[1..].into(),
    };
    let scores = b.op(dot([2, 3]), &[x[1], x[0]]);
    let scores = b.transpose(scores, &[0, 3, 2, 1]);
    let shape = [2, 3, QUERIES, KEYS];
    let seen = seen(&mut b);
    let seen = b.broadcast(seen, &shape, &[2, 3]);
    let low = b.full_like(scores, lowest);
    let scores = b.select(seen, scores, low);
    let exponentials = b.unary(Unary::Exp, scores);
    let sum = b.sum(exponentials, &[3]);
    let sum = b.broadcast(sum, &shape, &[0, 1, 2]);
    let weights = b.div(exponentials, sum);
    let out = b.op(dot([3, 1]), &[weights, x[2]]);
    b.finish(&[out]).unwrap_or_else(|e| panic!("{e}"))
}

/// What the products of a program cost.
fn products(g: &Graph) -> usize {
    let cost = |n: &gradloom_ir::Node| match &n.op {
        Op::DotGeneral { lhs_contract, .. } => {
            let lhs = g.ty(n.args[0]);
            g.ty(n.results[0]).numel() * lhs_contract.iter().map(|&a| lhs.shape[a]).product::<usize>()
        }
        _ => 0,
    };
    g.nodes().iter().map(cost).sum()
}

fn standard(mut g: Graph) -> Graph {
    Pipeline::standard().run(&mut g).unwrap_or_else(|e| panic!("{e}\n{g}"));
    g
}

fn cut(g: &Graph, with: Cutting) -> (Graph, bool) {
    let mut new = g.clone();
    let changed = skip_masked(&mut new, with).unwrap_or_else(|e| panic!("{e}\n{g}"));
    gradloom_ir::verify(&new).unwrap_or_else(|e| panic!("{e}\n{new}"));
    if changed == Changed::Yes {
        let again = cse(&mut new.clone()).unwrap_or_else(|e| panic!("{e}\n{new}"));
        assert_eq!(again, Changed::No, "blocks that are taken out twice in\n{new}");
    }
    (standard(new), changed == Changed::Yes)
}

fn numbers_of(g: &Graph, inputs: &[Literal]) -> Vec<Vec<f64>> {
    eval(g, inputs).unwrap_or_else(|e| panic!("{e}\n{g}")).iter().map(Literal::to_f64).collect()
}

/// The same numbers, up to so much of the greatest; NaN where there was NaN.
fn same(name: &str, x: &[Vec<f64>], y: &[Vec<f64>], rounding: f64) {
    for (x, y) in x.iter().zip(y) {
        let scale = x.iter().filter(|a| a.is_finite()).fold(1e-3f64, |m, a| m.max(a.abs()));
        for (a, b) in x.iter().zip(y) {
            let close = (a - b).abs() <= rounding * scale || a == b || (a.is_nan() && b.is_nan());
            assert!(close, "{name}: {a} and {b}");
        }
    }
}

/// Cuts a program and its gradient, and compares both with what they were.
fn check(name: &str, forward: &Graph) {
    for g in [forward.clone(), with_gradient(forward)] {
        let g = standard(g);
        let (new, changed) = cut(&g, ALWAYS);
        assert!(changed, "{name}\n{g}");
        assert!(products(&new) * 5 < products(&g) * 4, "{name}\n{new}");
        let types = g.input_types();
        let x: Vec<Literal> = types.iter().enumerate().map(|(k, t)| numbers(&t.shape, k)).collect();
        same(name, &numbers_of(&g, &x), &numbers_of(&new, &x), 4e-6);
    }
}

/// Hidden scores may count: with -0.3 in their place they are as great as others.
#[test]
fn the_same_attention_and_gradients_with_fewer_products() {
    for (name, seen) in MASKS {
        for lowest in [f64::NEG_INFINITY, -1e30, -0.3] {
            for (batch, turned, fixed) in
                [(&[2, 3][..], false, true), (&[][..], false, false), (&[2][..], true, true), (&[3][..], true, false)]
            {
                let name = format!("{name}, {lowest} where hidden, batch {batch:?}");
                check(&name, &program(*seen, lowest, batch, turned, fixed));
            }
            check(&format!("{name}, {lowest} where hidden, groups"), &grouped(*seen, lowest));
        }
    }
}

/// The sum of the values that are hidden leaves the range of 16-bit floats; what it is multiplied by is 0.
#[test]
fn sums_of_hidden_values_in_16_bits() {
    for dtype in [DType::F16, DType::BF16] {
        let of = Attention { batch: 2, heads: 3, t: QUERIES, s: KEYS, d: 4, e: 5, dtype, mask: Mask::Causal };
        let g = of.graph();
        let mut led = standard(g);
        let x: Vec<Literal> = led
            .input_types()
            .iter()
            .enumerate()
            .map(|(k, t)| {
                let x = numbers(&t.shape, k).to_f64();
                let times = if k == 2 { 3e4 } else { 1.0 };
                let x: Vec<f32> = x.iter().map(|x| (x.abs() * times) as f32).collect();
                as_dtype(&Literal::new(&t.shape, &x), dtype)
            })
            .collect();
        let before = numbers_of(&led, &x);
        let changed = skip_masked(&mut led, ALWAYS).unwrap_or_else(|e| panic!("{e}"));
        assert!(changed == Changed::Yes && before[0].iter().all(|x| x.is_finite()), "{led}");
        same(&format!("{dtype}"), &before, &numbers_of(&led, &x), 0.02);
    }
}

/// Scores times a number, `count` times, masked and multiplied with values.
fn chain(count: usize) -> Graph {
    let types = [[QUERIES, 3], [KEYS, 3], [KEYS, 5]].map(|s| Type::new(DType::F32, &s));
    let (mut b, x) = Builder::with_inputs(&types);
    let dot = |contract: [usize; 2]| Op::DotGeneral {
        lhs_batch: [].into_iter().collect(),
        rhs_batch: [].into_iter().collect(),
        lhs_contract: contract[..1].into(),
        rhs_contract: contract[1..].into(),
    };
    let mut scores = b.op(dot([1, 1]), &[x[0], x[1]]);
    for _ in 0..count {
        scores = b.unary(Unary::Sin, scores);
    }
    let seen = causal(&mut b);
    let zero = b.full_like(scores, 0.0);
    let scores = b.select(seen, scores, zero);
    let out = b.op(dot([1, 0]), &[scores, x[2]]);
    b.finish(&[out]).unwrap_or_else(|e| panic!("{e}"))
}

/// What is made recursively has an end before the stack has; sizes that make no sense cut nothing, or something.
#[test]
fn long_chains_and_any_settings() {
    assert!(cut(&chain(100), ALWAYS).1);
    assert!(!cut(&chain(50_000), ALWAYS).1);
    let none = Cutting { min_length: 0, min_bytes: 0, block: 0, max_blocks: 0, step: 0 };
    let g = chain(3);
    let x: Vec<Literal> = g.input_types().iter().enumerate().map(|(k, t)| numbers(&t.shape, k)).collect();
    for with in [none, Cutting { block: 1, max_blocks: usize::MAX, step: usize::MAX, ..none }] {
        same("settings", &numbers_of(&g, &x), &numbers_of(&cut(&g, with).0, &x), 4e-6);
    }
}
