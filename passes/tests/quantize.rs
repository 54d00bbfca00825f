//! Weights of 8 bits: what the pass loses is bounded, and the simplifier's scales are the same wherever they are applied.

use crate::oracle;
use crate::oracle::Random;
use gradloom_ir::{Builder, DType, Graph, Literal, Op, Shape, Type, eval::eval, parse};
use gradloom_passes::{Pipeline, QuantizeWeights, simplify};

fn shuffled(r: &mut Random, n: usize) -> Vec<usize> {
    let mut v: Vec<usize> = (0..n).collect();
    (1..n).for_each(|i| v.swap(i, r.below(i + 1)));
    v
}

/// A product of random axes with `convert(q) * s` on a random side, and whether the scale may leave it: it varies along axes
/// of the result alone, or along contracted ones alone.
fn product_of_scaled(r: &mut Random) -> (Graph, bool) {
    let (batch, contract) = (r.below(2), 1 + r.below(2));
    let free = [r.below(3), r.below(3)];
    let shared: Vec<usize> = (0..batch + contract).map(|_| 2 + r.below(3)).collect();
    let places = free.map(|f| shuffled(r, batch + contract + f));
    let shapes = [0, 1].map(|side| {
        let mut shape = Shape::from_elem(0, places[side].len());
        for (i, &at) in places[side].iter().enumerate() {
            shape[at] = shared.get(i).copied().unwrap_or_else(|| 2 + r.below(3));
        }
        shape
    });
    let op = Op::DotGeneral {
        lhs_batch: places[0][..batch].into(),
        rhs_batch: places[1][..batch].into(),
        lhs_contract: places[0][batch..batch + contract].into(),
        rhs_contract: places[1][batch..batch + contract].into(),
    };
    let side = r.below(2);
    let axes: Shape = (0..shapes[side].len()).filter(|_| r.below(2) == 0).collect();
    let lengths: Shape = axes.iter().map(|&a| shapes[side][a]).collect();
    let mut b = Builder::new();
    let q = b.input(Type::new(DType::I8, &shapes[side]), "");
    let s = b.input(Type::new(DType::F32, &lengths), "");
    let x = b.input(Type::new(DType::F32, &shapes[1 - side]), "");
    let (wide, scale) = (b.convert(q, DType::F32), b.broadcast(s, &shapes[side], &axes));
    let w = if r.below(2) == 0 { b.mul(wide, scale) } else { b.mul(scale, wide) };
    let y = b.op(op, &if side == 0 { [w, x] } else { [x, w] });
    let contracted = &places[side][batch..batch + contract];
    let inside = axes.iter().filter(|a| contracted.contains(a)).count();
    // a scale of full size is none that is repeated
    let leaves = (inside == 0 || inside == axes.len()) && axes.len() < shapes[side].len();
    (b.finish(&[y]).expect("a well-formed program"), leaves)
}

#[test]
fn scales_of_random_products_are_applied_elsewhere() {
    let mut left = 0;
    for seed in 0..400 {
        let (g, leaves) = product_of_scaled(&mut Random(seed));
        let mut after = g.clone();
        simplify(&mut after).expect("simplifies");
        oracle::assert_equivalent(&format!("seed {seed}"), &g, &after, Some(1e-4));
        let definitions = after.definitions();
        let product = after.nodes().iter().find(|n| matches!(n.op, Op::DotGeneral { .. })).expect("a product");
        let reads_integers = product.args.iter().any(|a| {
            definitions[a.index()].is_some_and(|i| {
                matches!(after.nodes()[i].op, Op::Convert { .. } | Op::Transpose { .. } | Op::Reshape { .. })
            })
        });
        assert_eq!(reads_integers, leaves, "seed {seed}\n{g}\n{after}");
        left += usize::from(leaves);
    }
    assert!(left > 150, "{left}");
}

fn quantized(g: &Graph, least: usize) -> Graph {
    let mut new = g.clone();
    Pipeline::standard().with(QuantizeWeights { least }).run(&mut new).unwrap_or_else(|e| panic!("{e}\n{g}"));
    new
}

/// A program of one op on an input and a weight, after `{weight}` in its text.
fn with_weight(r: &mut Random, shape: &[usize], text: &str) -> (Graph, Literal) {
    let w = oracle::array(r, &Type::new(DType::F32, shape), false);
    let numbers: Vec<String> = w.to_f64().iter().map(|x| format!("{x:?}")).collect();
    let lengths = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let constant = format!(
        "%1 = constant() {{value = dense<[{}] : f32[{lengths}]>}} : f32[{lengths}]",
        numbers
            .iter()
            .map(|x| if x.contains('.') || x.contains('e') { x.clone() } else { format!("{x}.0") })
            .collect::<Vec<_>>()
            .join(", ")
    );
    (parse(&text.replace("{weight}", &constant)).unwrap_or_else(|e| panic!("{e}\n{text}")), w)
}

/// |y' - y| ≤ Σ |x| s_c / 2, with the op itself as the sum: of |x| and of the scales along the channels.
#[test]
fn what_is_lost_is_half_a_step_a_weight() {
    let cases: [(&[usize], usize, &str); 4] = [
        (
            &[16, 8],
            1,
            "graph(%0: f32[4,16]) { {weight}
             %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[4,8]
             return %2 }",
        ),
        (
            &[8, 16],
            0,
            "graph(%0: f32[16,4]) { {weight}
             %2 = dot_general(%1, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[8,4]
             return %2 }",
        ),
        (
            &[3, 3, 2, 8],
            3,
            "graph(%0: f32[1,5,5,2]) { {weight}
             %2 = convolution(%0, %1) {lhs_dims = [0, 3, 1, 2], rhs_dims = [3, 2, 0, 1], out_dims = [0, 3, 1, 2], strides = [1, 1], padding = [(1, 1), (0, 0)], lhs_dilation = [1, 1], rhs_dilation = [1, 1], feature_groups = 1, batch_groups = 1} : f32[1,5,3,8]
             return %2 }",
        ),
        (
            &[12, 8],
            1,
            "graph(%0: i32[5]) { {weight}
             %2 = gather(%1, %0) {offset_dims = [1], collapsed_slice_dims = [0], operand_batching_dims = [], start_indices_batching_dims = [], start_index_map = [0], index_vector_dim = 1, slice_sizes = [1, 8]} : f32[5,8]
             return %2 }",
        ),
    ];
    for (case, (shape, channel, text)) in cases.into_iter().enumerate() {
        let (g, w) = with_weight(&mut Random(case as u64), shape, text);
        let small = quantized(&g, 64);
        assert!(small.to_string().contains(": i8["), "{small}");
        assert_eq!(quantized(&small, 64), small);
        // the same op on |x| and the steps
        let (inner, n) = (shape[channel + 1..].iter().product::<usize>(), shape[channel]);
        let mut most = vec![0f64; n];
        w.to_f64().iter().enumerate().for_each(|(i, x)| most[i / inner % n] = most[i / inner % n].max(x.abs()));
        let steps: Vec<f32> = (0..w.ty().numel()).map(|i| (most[i / inner % n] / 254.0 * 1.0001) as f32).collect();
        let mut bound = g.clone();
        let literal = Literal::new(shape, &steps);
        bound = gradloom_passes::rewrite_nodes(&bound, |b, _, node, _| {
            Ok(matches!(node.op, Op::Constant { .. }).then(|| [b.literal(literal.clone())].into_iter().collect()))
        })
        .expect("a well-formed program");
        for seed in 0..5 {
            let inputs = oracle::inputs(seed, &g, false);
            let sizes: Vec<Literal> = (inputs.iter())
                .map(|x| match x.to_vec::<f32>() {
                    Some(v) => Literal::new(&x.ty().shape, &v.iter().map(|x| x.abs()).collect::<Vec<_>>()),
                    None => x.clone(),
                })
                .collect();
            let [y, z] = [&g, &small].map(|g| eval(g, &inputs).expect("runs")[0].to_f64());
            let bound = eval(&bound, &sizes).expect("runs")[0].to_f64();
            let mut worst: f64 = 0.0;
            for ((y, z), bound) in y.iter().zip(&z).zip(&bound) {
                assert!((y - z).abs() <= bound + 1e-5 * y.abs().max(1.0), "case {case}: {z} for {y}, bound {bound}");
                worst = worst.max((y - z).abs() / bound.max(1e-9));
            }
            assert!(worst > 0.05, "case {case}: nothing was rounded");
        }
    }
}

#[track_caller]
fn stays(text: &str) {
    let (g, _) = with_weight(&mut Random(7), &[16, 16], text);
    let after = quantized(&g, 64);
    assert!(!after.to_string().contains("i8["), "{after}");
}

#[test]
fn what_more_than_products_read_stays() {
    let dot = "{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[16,16]";
    stays(&format!(
        "graph(%0: f32[16,16]) {{ {{weight}} %2 = dot_general(%0, %1) {dot} %3 = add(%2, %1) : f32[16,16] return %3 }}"
    ));
    stays(&format!("graph(%0: f32[16,16]) {{ {{weight}} %2 = dot_general(%0, %1) {dot} return %2, %1 }}"));
    stays("graph(%0: f32[16,16]) { {weight} %2 = multiply(%0, %1) : f32[16,16] return %2 }");
    // read along both axes by products both of which contract only one: the scale of one is on the other operand
    let both = format!(
        "graph(%0: f32[16,16]) {{ {{weight}} %2 = dot_general(%0, %1) {dot}
         %3 = dot_general(%2, %1) {{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]}} : f32[16,16] return %3 }}"
    );
    let (g, _) = with_weight(&mut Random(7), &[16, 16], &both);
    let after = quantized(&g, 64);
    assert_eq!(after.to_string().matches(": i8[16,16]\n").count(), 1, "{after}");
    assert!(!after.to_string().contains("multiply(%1, "), "{after}");
    let mut alone = g.clone();
    Pipeline::empty().push(QuantizeWeights { least: 64 }).run(&mut alone).expect("runs");
    oracle::assert_equivalent("both", &alone, &after, Some(1e-4));
    // the least size
    assert!(quantized(&g, 256).to_string().contains("i8[") && !quantized(&g, 257).to_string().contains("i8["));
}
