//! The rule tables against the interpreter: each line of `rules/table.txt` is differentiated, transposed and batched.
//!
//! - jvp against central differences in a random direction, for every set of active inputs, to orders 1 and 2;
//! - transpose against jvp, `<ct, J t> = <J^T ct, t>`, to orders 1 and 2;
//! - batch against a loop, for every set of batched inputs, of the op, its jvp and its gradient;
//! - and so for generated programs of ops of every theme.

use crate::oracle;
use crate::rows::{Random, Row, literal, table};
use gradloom_ir::eval::eval;
use gradloom_ir::{Binary, Builder, DType, Graph, Literal, Op, Type, Unary, parse, verify};
use gradloom_passes::transform::{batch, jvp, linearize, transpose};

fn stack(rows: &[Literal]) -> Literal {
    let mut ty = rows[0].ty().clone();
    ty.shape.insert(0, rows.len());
    Literal::from_bytes(ty, rows.iter().flat_map(|r| r.bytes().to_vec()).collect()).unwrap()
}

fn run(g: &Graph, inputs: &[Literal]) -> Vec<Literal> {
    verify(g).unwrap_or_else(|e| panic!("{e}\n{g}"));
    eval(g, inputs).unwrap_or_else(|e| panic!("{e}\n{g}"))
}

#[track_caller]
fn assert_close(what: &str, got: &Literal, want: &Literal, tolerance: f64) {
    assert_eq!(got.ty(), want.ty(), "{what}");
    for (i, (g, w)) in got.to_numbers().into_iter().zip(want.to_numbers()).enumerate() {
        let ok = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * (1.0 + w.abs());
        assert!(ok, "{what}: element {i} is {g}, should be {w}\ngot {got}\nwant {want}");
    }
}

/// The sum of products; of complex numbers their real parts.
fn dot(a: &[Literal], b: &[Literal]) -> f64 {
    let one = |(a, b): (&Literal, &Literal)| -> f64 {
        let sign = |i: usize| if a.ty().dtype.is_complex() && i % 2 == 1 { -1.0 } else { 1.0 };
        a.to_numbers().into_iter().zip(b.to_numbers()).enumerate().map(|(i, (x, y))| sign(i) * x * y).sum()
    };
    a.iter().zip(b).map(one).sum()
}

fn floats(g: &Graph) -> Vec<bool> {
    g.input_types().iter().map(|t| t.dtype.is_inexact()).collect()
}

/// The non-empty subsets of `of`.
fn subsets(of: &[bool]) -> Vec<Vec<bool>> {
    let places: Vec<usize> = (0..of.len()).filter(|&i| of[i]).collect();
    (1..1usize << places.len())
        .map(|bits| {
            (0..of.len()).map(|i| places.iter().position(|&p| p == i).is_some_and(|k| bits >> k & 1 == 1)).collect()
        })
        .collect()
}

fn select<'a, T>(xs: &'a [T], mask: &'a [bool]) -> impl Iterator<Item = &'a T> {
    xs.iter().zip(mask).filter_map(|(x, &m)| m.then_some(x))
}

/// The program and its tangents, with zeros written out; one tangent a float output.
fn full_jvp(g: &Graph, active: &[bool]) -> Graph {
    let all: Vec<bool> = g.output_types().iter().map(|t| t.dtype.is_inexact()).collect();
    jvp(g, active, Some(&all)).unwrap_or_else(|e| panic!("{e}\n{g}")).graph
}

/// Inputs, then cotangents of the outputs that depend on active inputs, to cotangents of the active inputs.
fn gradient(g: &Graph, active: &[bool]) -> Graph {
    let l = linearize(g, active).unwrap_or_else(|e| panic!("{e}\n{g}"));
    let linear: Vec<bool> = (0..l.linear.num_inputs()).map(|i| i >= l.residuals).collect();
    let t = transpose(&l.linear, &linear).unwrap_or_else(|e| panic!("{e}\n{}", l.linear)).graph;
    let cts = l.linear.output_types();
    let types: Vec<Type> = g.input_types().into_iter().chain(cts).collect();
    let (mut b, inputs) = Builder::with_inputs(&types);
    let primal = b.inline(&l.primal, &inputs[..g.num_inputs()]).unwrap();
    let mut args = primal[g.num_outputs()..].to_vec();
    args.extend(&inputs[g.num_inputs()..]);
    let out = b.inline(&t, &args).unwrap();
    b.finish(&out).unwrap()
}

/// jvp against central differences of fourth order.
#[track_caller]
fn check_jvp(what: &str, g: &Graph, active: &[bool], x: &[Literal], rng: &mut Random) {
    check_jvp_within(what, g, active, x, rng, 1e-8);
}

#[track_caller]
fn check_jvp_within(what: &str, g: &Graph, active: &[bool], x: &[Literal], rng: &mut Random, tolerance: f64) {
    const H: f64 = 1e-3;
    let t = rng.direction(select(&g.input_types(), active));
    let at = |h: f64| {
        let mut t = t.iter();
        let moved: Vec<Literal> =
            x.iter().zip(active).map(|(x, &a)| if a { combine(x, t.next().unwrap(), h) } else { x.clone() }).collect();
        run(g, &moved)
    };
    let [far_back, back, ahead, far_ahead] = [-2.0 * H, -H, H, 2.0 * H].map(at);
    let mut args = x.to_vec();
    args.extend(t.iter().cloned());
    let got = run(&full_jvp(g, active), &args);
    let (y, y_dot) = got.split_at(g.num_outputs());
    for (got, want) in y.iter().zip(run(g, x)) {
        assert_close(&format!("{what}: primal"), got, &want, 0.0);
    }
    let float_outputs: Vec<usize> = (0..y.len()).filter(|&i| y[i].ty().dtype.is_inexact()).collect();
    assert_eq!(float_outputs.len(), y_dot.len());
    for (&i, got) in float_outputs.iter().zip(y_dot) {
        let values = [&far_back, &back, &ahead, &far_ahead].map(|v| v[i].to_numbers());
        let slope: Vec<f64> = (0..values[0].len())
            .map(|k| (values[0][k] - 8.0 * values[1][k] + 8.0 * values[2][k] - values[3][k]) / (12.0 * H))
            // the difference of infinities (an empty maximum) is no number, its derivative is 0
            .map(|d| if d.is_nan() { 0.0 } else { d })
            .collect();
        assert_close(&format!("{what}: tangent {i}"), got, &literal(got.ty(), &slope), tolerance);
    }
}

/// x + h t
fn combine(x: &Literal, t: &Literal, h: f64) -> Literal {
    let data: Vec<f64> = x.to_numbers().iter().zip(t.to_numbers()).map(|(x, t)| x + h * t).collect();
    literal(x.ty(), &data)
}

/// <ct, J t> = <J^T ct, t>
#[track_caller]
fn check_transpose(what: &str, g: &Graph, active: &[bool], x: &[Literal], rng: &mut Random) {
    let j = jvp(g, active, None).unwrap();
    let grad = gradient(g, active);
    let t = rng.direction(select(&g.input_types(), active));
    let mut args = x.to_vec();
    args.extend(t.iter().cloned());
    let y_dot = run(&j.graph, &args).split_off(g.num_outputs());
    let ct = rng.direction(y_dot.iter().map(Literal::ty));
    let mut args = x.to_vec();
    args.extend(ct.iter().cloned());
    let x_bar = run(&grad, &args);
    let (forward, backward) = (dot(&ct, &y_dot), dot(&x_bar, &t));
    assert!(
        (forward - backward).abs() <= 1e-10 * (1.0 + forward.abs()),
        "{what}: {forward} forward, {backward} back\n{grad}"
    );
}

/// The batched program against a loop over `rows`.
#[track_caller]
fn check_batch(what: &str, g: &Graph, batched: &[bool], rows: &[Vec<Literal>]) {
    let b = batch(g, batched, rows.len(), None, Some(&vec![true; g.num_outputs()]))
        .unwrap_or_else(|e| panic!("{what}: {e}\n{g}"));
    let args: Vec<Literal> = (0..g.num_inputs())
        .map(|i| {
            if batched[i] { stack(&rows.iter().map(|r| r[i].clone()).collect::<Vec<_>>()) } else { rows[0][i].clone() }
        })
        .collect();
    let got = run(&b.graph, &args);
    let each: Vec<Vec<Literal>> = rows
        .iter()
        .map(|r| {
            run(
                g,
                &(0..r.len()).map(|i| if batched[i] { r[i].clone() } else { rows[0][i].clone() }).collect::<Vec<_>>(),
            )
        })
        .collect();
    for (i, got) in got.iter().enumerate() {
        let want = stack(&each.iter().map(|r| r[i].clone()).collect::<Vec<_>>());
        assert_close(&format!("{what}: batched {batched:?}, output {i}"), got, &want, 1e-12);
    }
}

/// Calls `f` for every row and every set of its float inputs.
fn for_each_active(f: impl Fn(&str, &Row, &[bool], &mut Random)) {
    for (k, row) in table().iter().enumerate() {
        let mut rng = Random(k as u64);
        for active in subsets(&floats(&row.graph)) {
            f(&format!("{} (active {active:?})", row.text), row, &active, &mut rng);
        }
    }
}

#[test]
fn jvp_matches_differences() {
    for_each_active(|what, row, active, rng| {
        let x = rng.point(row);
        check_jvp(what, &row.graph, active, &x, rng);
    });
}

#[test]
fn second_jvp_matches_differences() {
    for_each_active(|what, row, active, rng| {
        let mut x = rng.point(row);
        x.extend(rng.direction(select(&row.graph.input_types(), active)));
        let j = full_jvp(&row.graph, active);
        check_jvp(what, &j, &floats(&j), &x, rng);
    });
}

#[test]
fn transpose_matches_jvp() {
    for_each_active(|what, row, active, rng| {
        let x = rng.point(row);
        check_transpose(what, &row.graph, active, &x, rng);
    });
}

/// The gradient's own derivatives: forward over reverse, and reverse over reverse.
#[test]
fn second_order_through_reverse() {
    for_each_active(|what, row, active, rng| {
        let g = gradient(&row.graph, active);
        let mut x = rng.point(row);
        x.extend(rng.direction(&g.input_types()[x.len()..]));
        check_jvp(what, &g, &floats(&g), &x, rng);
        check_transpose(what, &g, &floats(&g), &x, rng);
    });
}

#[test]
fn batch_matches_a_loop() {
    for (k, row) in table().iter().enumerate() {
        let mut rng = Random(k as u64);
        for batched in subsets(&vec![true; row.domains.len()]) {
            for size in [1, 3] {
                let rows: Vec<Vec<Literal>> = (0..size).map(|_| rng.point(row)).collect();
                check_batch(row.text, &row.graph, &batched, &rows);
            }
        }
    }
}

/// The rules of what jvp and transpose emit: their programs are batched too.
#[test]
fn batch_of_derivatives_matches_a_loop() {
    for_each_active(|what, row, active, rng| {
        for g in [full_jvp(&row.graph, active), gradient(&row.graph, active)] {
            let rows: Vec<Vec<Literal>> = (0..3)
                .map(|_| {
                    let mut x = rng.point(row);
                    x.extend(rng.direction(&g.input_types()[x.len()..]));
                    x
                })
                .collect();
            let first = vec![true; row.domains.len()];
            let only_x: Vec<bool> = (0..g.num_inputs()).map(|i| i < first.len()).collect();
            let only_t: Vec<bool> = only_x.iter().map(|x| !x).collect();
            for batched in [vec![true; g.num_inputs()], only_x, only_t] {
                check_batch(what, &g, &batched, &rows);
            }
        }
    });
}

/// Derivatives of batched programs, whose ops have batching axes.
#[test]
fn derivatives_of_a_batch() {
    for_each_active(|what, row, active, rng| {
        for batched in subsets(&vec![true; row.domains.len()]) {
            let rows: Vec<Vec<Literal>> = (0..2).map(|_| rng.point(row)).collect();
            let g = batch(&row.graph, &batched, 2, None, None).unwrap().graph;
            let x: Vec<Literal> = (0..batched.len())
                .map(|i| if batched[i] { stack(&[rows[0][i].clone(), rows[1][i].clone()]) } else { rows[0][i].clone() })
                .collect();
            check_jvp(what, &g, active, &x, rng);
            check_transpose(what, &g, active, &x, rng);
        }
    });
}

/// An empty batch gives empty results of the right types.
#[test]
fn empty_batch() {
    for row in table() {
        for batched in subsets(&vec![true; row.domains.len()]) {
            let b = batch(&row.graph, &batched, 0, None, Some(&vec![true; row.graph.num_outputs()])).unwrap().graph;
            let x: Vec<Literal> = b
                .input_types()
                .iter()
                .map(|t| literal(t, &vec![0.0; t.numel() * t.dtype.size() / t.dtype.real().size()]))
                .collect();
            for (got, ty) in run(&b, &x).iter().zip(row.graph.output_types()) {
                assert_eq!(got.ty().shape[0], 0, "{}", row.text);
                assert_eq!(got.ty().shape[1..], ty.shape[..], "{}", row.text);
            }
        }
    }
}

/// The table has every op that the rule tables have, and every elementwise function of floats.
#[test]
fn table_is_complete() {
    let ops: Vec<Op> = table().iter().map(|r| r.graph.nodes()[0].op.clone()).collect();
    let has = |name: &str| assert!(ops.iter().any(|op| op.name() == name), "no row for {name}");
    Unary::ALL.iter().for_each(|u| has(u.name()));
    Binary::ALL.iter().filter(|f| f.accepts(DType::F64)).for_each(|f| has(f.name()));
    let complex: Vec<Op> = table()
        .iter()
        .filter(|r| r.graph.types()[0].dtype == DType::C128)
        .map(|r| r.graph.nodes()[0].op.clone())
        .collect();
    Unary::ALL
        .iter()
        .filter(|f| f.accepts(DType::C128))
        .for_each(|f| assert!(complex.contains(&Op::Unary(*f)), "no complex row for {}", f.name()));
    for name in [
        "select",
        "convert",
        "bitcast_convert",
        "threefry2x32",
        "broadcast_in_dim",
        "reshape",
        "transpose",
        "slice",
        "pad",
        "concatenate",
        "reverse",
        "optimization_barrier",
        "dynamic_slice",
        "dynamic_update_slice",
        "gather",
        "scatter",
        "dot_general",
        "convolution",
        "reduce",
        "arg_reduce",
        "cumulative",
        "reduce_window",
        "select_and_gather",
        "select_and_scatter",
        "sort",
        "fft",
        "cholesky",
        "triangular_solve",
        "lu",
        "qr",
        "svd",
        "eigh",
        "eig",
        "pinv",
    ] {
        has(name);
    }
}

/// The tangents of `text` at `x` in the direction `t` (for its float inputs, all active).
#[track_caller]
fn check_tangent(text: &str, x: &[&[f64]], t: &[&[f64]], want: &[f64]) {
    let g = parse(text).unwrap();
    let types = g.input_types();
    let mut args: Vec<Literal> = types.iter().zip(x).map(|(ty, x)| literal(ty, x)).collect();
    let active = floats(&g);
    args.extend(select(&types, &active).zip(t).map(|(ty, t)| literal(ty, t)));
    let got = run(&full_jvp(&g, &active), &args).remove(g.num_outputs());
    assert_close(text, &got, &literal(got.ty(), want), 1e-14);
}

/// Where a function has a corner, the tangent is the one stated by its rule.
#[test]
fn ties_and_corners() {
    let pair = |op: &str| format!("graph(%0: f64[3], %1: f64[3]) {{ %2 = {op}(%0, %1) : f64[3] return %2 }}");
    let (x0, x1) = (&[1.0, 2.0, 3.0][..], &[2.0, 2.0, 2.0][..]);
    let (t0, t1) = (&[1.0, 2.0, 4.0][..], &[10.0, 20.0, 40.0][..]);
    check_tangent(&pair("maximum"), &[x0, x1], &[t0, t1], &[10.0, 11.0, 4.0]);
    check_tangent(&pair("minimum"), &[x0, x1], &[t0, t1], &[1.0, 11.0, 40.0]);
    // 0^0, 0^1, 0^2 and a negative base
    let power = "graph(%0: f64[4], %1: f64[4]) { %2 = power(%0, %1) : f64[4] return %2 }";
    check_tangent(
        power,
        &[&[0.0, 0.0, 0.0, -3.0], &[0.0, 1.0, 2.0, 2.0]],
        &[&[1.0; 4], &[0.0; 4]],
        &[0.0, 1.0, 0.0, f64::NAN],
    );
    let abs = "graph(%0: f64[2]) { %1 = abs(%0) : f64[2] return %1 }";
    check_tangent(abs, &[&[0.0, -0.0]], &[&[1.0, 1.0]], &[0.0, 0.0]);
    let reduce = "graph(%0: f64[4]) { %1 = reduce(%0) {kind = \"max\", axes = [0]} : f64[] return %1 }";
    check_tangent(reduce, &[&[3.0, 1.0, 3.0, 2.0]], &[&[1.0, 2.0, 4.0, 8.0]], &[2.5]);
    // a running extremum keeps its first winner
    let running =
        "graph(%0: f64[4]) { %1 = cumulative(%0) {kind = \"max\", axis = 0, reverse = false} : f64[4] return %1 }";
    check_tangent(running, &[&[1.0, 1.0, 0.0, 2.0]], &[&[1.0, 2.0, 4.0, 8.0]], &[1.0, 1.0, 1.0, 8.0]);
    let scatter = "graph(%0: f64[2], %1: i32[3], %2: f64[3]) { %3 = scatter(%0, %1, %2) {update_window_dims = [], \
        inserted_window_dims = [0], input_batching_dims = [], scatter_indices_batching_dims = [], \
        scatter_dims_to_operand_dims = [0], index_vector_dim = 1, kind = \"max\"} : f64[2] return %3 }";
    check_tangent(
        scatter,
        &[&[5.0, 1.0], &[0.0, 0.0, 1.0], &[5.0, 5.0, 0.0]],
        &[&[1.0, 2.0], &[4.0, 7.0, 9.0]],
        &[4.0, 2.0],
    );
}

/// x^n with n fixed: all derivatives of x^2 at 0 and at a negative base, and d/dn d/dx at n = 0.
#[test]
fn derivatives_of_powers() {
    let mut g = parse("graph(%0: f64[], %1: f64[]) { %2 = power(%0, %1) : f64[] return %2 }").unwrap();
    for want in [(0.0, 9.0), (0.0, -6.0), (2.0, 2.0), (0.0, 0.0), (0.0, 0.0)] {
        for (x, want) in [(0.0, want.0), (-3.0, want.1)] {
            assert_eq!(run(&g, &[x, 2.0].map(|x| Literal::scalar(DType::F64, x)))[0].to_numbers(), [want]);
        }
        let j = full_jvp(&g, &[true, false]);
        let (mut b, inputs) = Builder::with_inputs(&j.input_types()[..2]);
        let one = b.scalar(DType::F64, 1.0);
        let out = b.inline(&j, &[inputs[0], inputs[1], one]).unwrap();
        g = b.finish(&out[1..]).unwrap();
    }
    let power = parse("graph(%0: f64[], %1: f64[]) { %2 = power(%0, %1) : f64[] return %2 }").unwrap();
    let mixed = full_jvp(&full_jvp(&power, &[true, false]), &[false, true, false]);
    let got = run(&mixed, &[2.0, 0.0, 1.0, 1.0].map(|x| Literal::scalar(DType::F64, x)));
    assert_eq!(got.last().unwrap().to_numbers(), [0.5]);
}

/// f32 and f64 tangents meet in conversions, which finite differences cannot resolve.
#[test]
fn conversions_convert_tangents() {
    let g = parse("graph(%0: f64[2]) { %1 = convert(%0) {dtype = f32} : f32[2] return %1 }").unwrap();
    let x = Literal::new(&[2], &[0.1f64, 0.2]);
    let got = run(&full_jvp(&g, &[true]), &[x.clone(), Literal::new(&[2], &[0.3f64, 0.7])]);
    assert_eq!(got[1].to_vec::<f32>().unwrap(), [0.3f32, 0.7]);
    let back = run(&gradient(&g, &[true]), &[x, Literal::new(&[2], &[0.3f32, 0.7])]);
    assert_eq!(back[0].to_vec::<f64>().unwrap(), [0.3f32, 0.7].map(f64::from));
}

/// Differentiating a mapped program and mapping its derivative agree, also through collectives.
#[test]
fn collectives_commute_with_derivatives() {
    for kind in ["sum", "max", "min"] {
        let text = format!(
            "graph(%0: f64[2]) {{ %1 = all_reduce(%0) {{kind = \"{kind}\", axis_name = \"i\"}} : f64[2] \
             %2 = sine(%1) : f64[2] %3 = multiply(%2, %0) : f64[2] return %3 }}"
        );
        let g = parse(&text).unwrap();
        let mapped = |g: &Graph| {
            let n = g.num_inputs();
            batch(g, &vec![true; n], 3, Some("i"), Some(&vec![true; g.num_outputs()])).unwrap().graph
        };
        let x = Literal::new(&[3, 2], &[0.3f64, -1.0, 0.7, 0.9, -0.4, 0.5]);
        let t = Literal::new(&[3, 2], &[1.0f64, -0.5, 0.25, 2.0, -3.0, 0.125]);
        let whole = mapped(&g);
        let mut rng = Random(7);
        check_jvp(kind, &whole, &[true], std::slice::from_ref(&x), &mut rng);
        check_transpose(kind, &whole, &[true], std::slice::from_ref(&x), &mut rng);
        for derivative in [full_jvp, gradient] {
            let (outside, inside) = (derivative(&whole, &[true]), mapped(&derivative(&g, &[true])));
            let args = [x.clone(), t.clone()];
            for (got, want) in run(&inside, &args).iter().zip(run(&outside, &args)) {
                assert_close(&text, got, &want, 1e-14);
            }
        }
        // an unrelated mapped axis passes through
        let twice = batch(&g, &[true], 2, None, None).unwrap().graph;
        let y = run(&mapped(&twice), &[stack_twice(&x)]);
        let want = run(&whole, &[x]).remove(0);
        assert_eq!(y[0].ty().shape[..], [3, 2, 2]);
        for (i, pair) in y[0].to_numbers().chunks(4).enumerate() {
            assert_eq!(pair[..2], want.to_numbers()[2 * i..2 * i + 2]);
            assert_eq!(pair[2..], want.to_numbers()[2 * i..2 * i + 2]);
        }
    }
}

/// Each row of a matrix twice, along a new second axis.
fn stack_twice(x: &Literal) -> Literal {
    let data: Vec<f64> = x.to_numbers().chunks(2).flat_map(|r| r.repeat(2)).collect();
    literal(&Type::new(DType::F64, &[3, 2, 2]), &data)
}

/// What cannot be differentiated says so and says what to do.
#[test]
fn limits_are_errors() {
    let g = parse("graph(%0: f64[]) { %1 = all_reduce(%0) {kind = \"prod\", axis_name = \"i\"} : f64[] return %1 }")
        .unwrap();
    let e = jvp(&g, &[true], None).unwrap_err().to_string();
    assert!(e.contains("product over the mapped axis `i`") && e.contains("help:"), "{e}");
}

/// Whole programs in f64 and c128: the tables together, and the machinery of ops with bodies.
#[test]
fn generated_programs_agree_with_their_derivatives() {
    use crate::oracle::mixed::{Palette, inputs, program};
    for seed in 0..120 {
        let palette = Palette { float: DType::F64, int: DType::I32, smooth: true };
        let g = program(&mut oracle::Random(3000 + seed), palette);
        let what = format!("generated {seed}\n{g}");
        let (active, rng) = (floats(&g), &mut Random(seed));
        let x = inputs(seed, &g);
        check_jvp_within(&what, &g, &active, &x, rng, 1e-5);
        check_transpose(&what, &g, &active, &x, rng);
        let all = vec![true; g.num_inputs()];
        check_batch(&what, &g, &all, &[x.clone(), inputs(seed + 500, &g)]);
    }
}
