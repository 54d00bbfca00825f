//! Equality saturation: its identities hold, it finds what rules in one direction do not, and nothing gets dearer.

use crate::oracle;
use crate::oracle::mixed::{self, Palette};
use crate::oracle::programs::{Kind, program, types_of};
use crate::oracle::{Random, assert_equivalent};
use gradloom_ir::{Callback, DType, Graph, Op, eval::eval, parse, verify};
use gradloom_passes::cost::graph_cost;
use gradloom_passes::rewriting::{Rule, identities};
use gradloom_passes::{PassContext, Pipeline, Saturate, dead_code, rewrite_nodes};
use std::sync::{Arc, Mutex};

/// Programs on which each identity is proved.
const PROGRAMS: usize = 60;

#[test]
fn the_identities_hold() {
    let (mut unproved, mut wrong) = (Vec::new(), Vec::new());
    for (i, rule) in identities().expect("they are well-formed").iter().enumerate() {
        match rule.prove(PROGRAMS, i as u64) {
            Ok(n) if n < PROGRAMS / 2 => unproved.push(format!("{} on {n} programs only", rule.text())),
            Ok(_) => {}
            Err(e) => wrong.push(e.message().chars().take(700).collect::<String>()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unproved.is_empty(), "{unproved:#?}");
}

fn run(p: &Pipeline, g: &Graph) -> Graph {
    let mut new = g.clone();
    p.run_with(&mut new, &mut PassContext::new()).unwrap_or_else(|e| panic!("{e}\n{g}"));
    verify(&new).unwrap_or_else(|e| panic!("{e}\n{g}\n{new}"));
    new
}

/// Operations and bytes together.
fn cost(g: &Graph) -> u64 {
    let c = graph_cost(g);
    c.flops + c.bytes
}

/// Programs that the simplifier leaves as they are, or makes no better, with the most nodes that saturation may leave.
const STUCK: &[(&str, usize, &str)] = &[
    ("a common factor", 3, "%0: f64[8], %1: f64[8], %2: f64[8], %3: f64[8]; %4 = multiply(%0, %3) : f64[8]
        %5 = multiply(%3, %1) : f64[8] %6 = multiply(%2, %3) : f64[8] %7 = add(%4, %5) : f64[8] %8 = add(%7, %6) : f64[8]"),
    ("exponentials", 2, "%0: f64[8], %1: f64[8]; %2 = exponential(%0) : f64[8] %3 = exponential(%1) : f64[8]
        %4 = multiply(%2, %3) : f64[8]"),
    ("a sum that cancels, across others", 0, "%0: f64[8], %1: f64[8]; %2 = add(%0, %1) : f64[8] %3 = subtract(%2, %0) : f64[8]"),
    ("products with a common matrix", 2, "%0: f64[8,8], %1: f64[8,8], %2: f64[8,8];
        %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f64[8,8]
        %4 = dot_general(%0, %2) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f64[8,8]
        %5 = add(%3, %4) : f64[8,8]"),
    ("a chain of matrices", 2, "%0: f64[8,8], %1: f64[8,8], %2: f64[8];
        %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f64[8,8]
        %4 = dot_general(%3, %2) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f64[8]"),
    ("log of a softmax", 2, "%0: f64[8], %1: f64[8]; %2 = exponential(%0) : f64[8] %3 = divide(%2, %1) : f64[8]
        %4 = log(%3) : f64[8]"),
    ("sums of sums", 2, "%0: f64[8,8], %1: f64[8,8]; %2 = reduce(%0) {kind = \"sum\", axes = [0]} : f64[8]
        %3 = negate(%1) : f64[8,8] %4 = add(%0, %3) : f64[8,8] %5 = reduce(%4) {kind = \"sum\", axes = [0]} : f64[8]
        %6 = subtract(%2, %5) : f64[8] %7 = negate(%6) : f64[8]"),
    ("a factor of a sum", 4, "%0: f64[100], %1: f64[]; %2 = broadcast_in_dim(%1) {shape = [100], dims = []} : f64[100]
        %3 = multiply(%0, %2) : f64[100] %4 = reduce(%3) {kind = \"sum\", axes = [0]} : f64[]"),
    ("logic", 2, "%0: bool[8], %1: bool[8], %2: bool[8]; %3 = and(%0, %1) : bool[8] %4 = and(%2, %0) : bool[8]
        %5 = or(%3, %4) : bool[8]"),
];

fn stuck(text: &str) -> Graph {
    let (inputs, nodes) = text.split_once(';').expect("inputs; nodes");
    let last = nodes
        .rsplit('%')
        .filter_map(|t| Some(t.split_once(" =")?.0))
        .find(|t| t.parse::<u32>().is_ok())
        .expect("a node");
    parse(&format!("graph({inputs}) {{ {nodes} return %{last} }}")).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

#[test]
fn what_one_direction_does_not_find() {
    for (name, nodes, text) in STUCK {
        let g = stuck(text);
        let greedy = run(&Pipeline::standard(), &g);
        let found = run(&Pipeline::standard().with(Saturate::of_finite_numbers()), &g);
        let [c, f] = [&greedy, &found].map(cost);
        assert!(f < c && found.nodes().len() <= *nodes, "{name}: {c} became {f}\n{greedy}\n{found}");
        assert_equivalent(name, &g, &found, Some(1e-9));
    }
}

/// Both forms are there together: what is shared decides.
#[test]
fn sharing_decides() {
    // x z + y z, where x z is wanted for itself, costs one product and one sum more; (x + y) z no less
    let text = "graph(%0: f64[8], %1: f64[8], %2: f64[8], %3: f64[8]) {
        %4 = multiply(%0, %2) : f64[8]
        %5 = multiply(%1, %2) : f64[8]
        %6 = add(%4, %5) : f64[8]
        return %4, %5, %6
    }";
    let g = parse(text).expect("a program");
    assert_eq!(run(&Pipeline::empty().push(Saturate::of_finite_numbers()), &g), g);
}

/// A price of the user's own decides otherwise.
#[test]
fn the_price_decides() {
    let text = "graph(%0: f64[8], %1: f64[8], %2: f64[8]) {
        %3 = add(%0, %1) : f64[8]
        %4 = multiply(%2, %3) : f64[8]
        return %4
    }";
    let g = parse(text).expect("a program");
    let sums =
        Saturate { price: |op, _, _| if op.name() == "multiply" { 1 } else { 10 }, ..Saturate::of_finite_numbers() };
    assert_eq!(run(&Pipeline::empty().push(sums), &g), g);
    let no_outer_product =
        Saturate { price: |op, _, _| if op.name() == "add" { 10 } else { 1 }, ..Saturate::of_finite_numbers() };
    assert_eq!(run(&Pipeline::empty().push(no_outer_product), &g), g);
    let exps = "graph(%0: f64[8], %1: f64[8]) {
        %2 = add(%0, %1) : f64[8] %3 = exponential(%2) : f64[8] return %3 }";
    let dear_sums =
        Saturate { price: |op, _, _| if op.name() == "add" { 10 } else { 1 }, ..Saturate::of_finite_numbers() };
    let new = run(&Pipeline::empty().push(dear_sums), &parse(exps).expect("a program"));
    assert!(new.to_string().contains("multiply") && !new.to_string().contains("add"), "{new}");
}

#[track_caller]
fn check(name: &str, g: &Graph, saturate: Saturate, tolerance: Option<f64>) -> bool {
    let p = Pipeline::empty().push(saturate);
    let new = run(&p, g);
    assert_equivalent(name, g, &new, tolerance);
    let [before, after] = [&dead_code(g), &new].map(cost);
    assert!(after < before || new == *g, "{name}: {before} became {after}\n{g}\n{new}");
    assert_eq!(run(&p, g), new, "{name}: another result");
    new != *g
}

#[test]
fn generated_programs_keep_their_values_and_get_no_dearer() {
    let mut changed = 0;
    for seed in 0..150 {
        let r = &mut Random(seed);
        let ints = [DType::I32, DType::U8, DType::I64];
        let types = types_of(r, [ints[seed as usize % 3]; 2]);
        let g = program(r, &types, Kind::Exact);
        changed += usize::from(check(&format!("integers {seed}"), &g, Saturate::of_finite_numbers(), None));
    }
    for seed in 0..150 {
        let palette = Palette::nth(seed as usize, false);
        let g = mixed::program(&mut Random(seed), palette);
        for (k, saturate) in [Saturate::of_all_numbers(), Saturate::of_finite_numbers()].into_iter().enumerate() {
            let p = Pipeline::empty().push(saturate);
            let new = run(&p, &g);
            let [before, after] = [&g, &new].map(|g| cost(&dead_code(g)));
            // a branch that is not the dearest counts nothing
            assert!(after <= before, "mixed {seed}: {before} became {after}\n{g}\n{new}");
            changed += usize::from(new != g);
            let inputs = mixed::inputs(seed, &g);
            let [x, y] = [&g, &new].map(|g| eval(g, &inputs).unwrap_or_else(|e| panic!("mixed {seed}: {e}\n{g}")));
            for (i, (x, y)) in x.iter().zip(&y).enumerate() {
                let same = oracle::agree(x, y, Some(palette.tolerance()));
                assert!(same, "mixed {seed} {k}, output {i}: {x:?} became {y:?}\n{g}\n{new}");
            }
        }
    }
    assert!(changed > 100, "only {changed} programs changed");
}

/// Every third value of a program of integers is seen by the host, which keeps what it sees.
#[test]
fn effects_stay_in_order() {
    let mut changed = 0;
    for seed in 0..80 {
        let r = &mut Random(seed);
        let types = types_of(r, [DType::I32; 2]);
        let g = program(r, &types, Kind::Exact);
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = log.clone();
        let callback = Callback::new("see", move |x| {
            sink.lock().expect("no panic").push(format!("{x:?}"));
            Ok(Vec::new())
        });
        let see = Op::HostCall { callback, results: Vec::new(), effect: true };
        let g = rewrite_nodes(&g, |b, i, node, args| {
            let results = b.emit(node.op.clone(), args)?;
            if i % 3 == 0 {
                b.emit(see.clone(), &results)?;
            }
            Ok(Some(results))
        })
        .expect("well-formed");
        let new = run(&Pipeline::empty().push(Saturate::of_finite_numbers()), &g);
        changed += usize::from(new != g);
        let seen = || std::mem::take(&mut *log.lock().expect("no panic"));
        for seed in 0..3 {
            let x = oracle::inputs(seed, &g, true);
            let [(a, seen_a), (b, seen_b)] = [&g, &new].map(|g| (eval(g, &x).expect("it runs"), seen()));
            assert_eq!((a, seen_a), (b, seen_b), "{g}\n{new}");
        }
    }
    assert!(changed > 20, "only {changed} programs changed");
}

/// Thirty terms have more orders than there are atoms; the limits end the search.
#[test]
fn the_search_is_bounded() {
    let mut text = String::from("graph(%0: f64[4]");
    (1..31).for_each(|i| text += &format!(", %{i}: f64[4]"));
    text += ") { %31 = multiply(%0, %1) : f64[4]";
    (2..31).for_each(|i| text += &format!(" %{} = {}(%{}, %{i}) : f64[4]", 30 + i, ["add", "multiply"][i % 2], 29 + i));
    let g = parse(&(text + " return %60 }")).expect("a program");
    let small = Saturate { nodes: 500, matches: 50, ..Saturate::of_finite_numbers() };
    check("thirty terms", &g, small, Some(1e-9));
    let none = Saturate { iterations: 0, ..Saturate::of_finite_numbers() };
    assert!(!check("no iteration", &g, none, None));
}

#[test]
fn rules_that_do_not_see_everything_are_named() {
    let narrowed: Vec<String> = Saturate::of_all_numbers().narrowed().map(|r| r.text().to_string()).collect();
    assert!(narrowed.iter().any(|t| t.starts_with("slices of slices")), "{narrowed:?}");
    assert!(narrowed.iter().any(|t| t.ends_with("never_negative_zero(x)")), "{narrowed:?}");
    assert!(!narrowed.iter().any(|t| t.contains("once")), "{narrowed:?}");
}

#[test]
fn a_wrong_rule_is_an_error_that_names_it() {
    let rule = Rule::parse("convert(x, dtype=d) => x").expect("it can be read");
    let p = Pipeline::empty().push(Saturate::new(vec![rule]));
    let g = parse("graph(%0: f64[4]) { %1 = convert(%0) {dtype = f32} : f32[4] return %1 }").expect("a program");
    let e = p.run(&mut g.clone()).expect_err("the sides have different types");
    assert!(e.message().contains("convert(x, dtype=d) => x"), "{e}");
    let panics = Rule::parse("sine(x) => x").expect("it can be read").when(|_| panic!("no"));
    let g = parse("graph(%0: f64[4]) { %1 = sine(%0) : f64[4] return %1 }").expect("a program");
    let e = Pipeline::empty().push(Saturate::new(vec![panics])).run(&mut g.clone()).expect_err("it panics");
    assert!(e.to_string().contains("saturate"), "{e}");
}
