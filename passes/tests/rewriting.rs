//! Rewrite rules: the simplifier's own are proved, and what users can get wrong is said.

use gradloom_ir::{Error, parse};
use gradloom_passes::rewriting::{Rule, RuleSet};
use gradloom_passes::{PassContext, Pipeline, rule, simplification_rules};

/// Programs on which each rule is proved.
const PROGRAMS: usize = 60;

#[test]
fn the_simplifiers_rules_hold() {
    let mut unproved = Vec::new();
    let mut wrong = Vec::new();
    for (i, rule) in simplification_rules().unwrap().rules().iter().enumerate() {
        if rule.is_computed() || rule.text().ends_with("never_negative_zero(x)") {
            continue; // tests/computed has those, the other is below
        }
        match rule.prove(PROGRAMS, i as u64) {
            Ok(n) if n < PROGRAMS / 2 => unproved.push(format!("{} on {n} programs only", rule.text())),
            Ok(_) => {}
            Err(e) => wrong.push(e.message().chars().take(700).collect::<String>()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unproved.is_empty(), "{unproved:#?}");
}

/// Of what the simplifier takes never to be -0.
#[test]
fn these_are_never_negative_zero() {
    for y in ["exponential(x)", "abs(x)", "logistic(x)", "cosh(x)", "multiply(x, x)", "reduce(x, kind=\"sum\")"] {
        let rule = Rule::parse(&format!("add(y@{y}, 0) => y if float(x)")).unwrap();
        assert_eq!(rule.prove(PROGRAMS, 1), Ok(PROGRAMS), "{y}");
    }
    let integers = Rule::parse("add(y@convert(x), 0) => y if float(y) and int(x)").unwrap();
    assert_eq!(integers.prove(PROGRAMS, 1), Ok(PROGRAMS));
}

#[test]
fn a_wrong_rule_is_refuted() {
    for text in [
        "subtract(x, x) => 0",        // infinity, NaN
        "add(x, 0) => x if float(x)", // -0 + 0 = 0
        "maximum(x, y) => x",
        "transpose(transpose(x, perm=p), perm=q) => transpose(x, perm=compose(q, p))",
        "not(less(x, y)) => greater_equal(x, y)", // NaN
        "divide(multiply(x, y), y) => x if int(x)",
    ] {
        let e = Rule::parse(text).unwrap().prove(200, 1).expect_err(text);
        assert!(e.message().contains(text), "{e}");
    }
}

/// What is wrong with a rule, from parsing it to making a set of it.
fn complaint(text: &str) -> Error {
    Rule::parse(text).and_then(|r| RuleSet::new("mine", vec![r])).map(drop).expect_err(text)
}

#[test]
fn ill_formed_rules_are_errors_that_show_where() {
    for (text, what) in [
        ("twice(x) => x", "there is no op `twice`"),
        ("add(x, y)", "the right side are missing"),
        ("x => add(x, x)", "the left side must be an op"),
        ("add(x, y) => add(x, z)", "no value `z` stands on the left side"),
        ("transpose(x, perm=p) => transpose(x, perm=q)", "no attribute `q`"),
        ("transpose(x, order=p) => x", "no attribute `order`"),
        ("transpose(x, perm=p) => transpose(x)", "lacks its attribute `perm`"),
        ("add(x, y => x", "`,` is expected"),
        ("add(x, y) => x if", "is expected"),
        ("add(x, y) => x y", "`y` is not expected"),
        ("add(x, y) => x ; y", "`;` is not expected"),
        ("reduce(x, kind=\"sum) => x", "the text has no end"),
        ("add(x, y) => x if small(x)", "nothing is known of `small`"),
        ("transpose(x, perm=p) => transpose(x, perm=turned(p))", "nothing is known of `turned`"),
        ("sine(x, y) => x", "no program has the form"),
        ("add(x, not(equal(x, y))) => x if float(x)", "no program has the form"),
        ("equal(x, y) => x", "the left side is bool"),
        ("reduce(x, kind=\"sum\", axes=a) => x", "the left side is"),
        ("tanh(x) => not(x)", "not"),
    ] {
        let e = complaint(text);
        assert!(e.message().contains(what), "{text}: {e}");
    }
}

#[test]
fn a_set_of_rules_is_a_pass() {
    let rules = vec![
        rule!("multiply(exponential(x), exponential(y)) => exponential(add(x, y)) if float(x)").unwrap().reassociates(),
        rule!("tanh(x) => x" if |m| m.ty("x").is_some_and(|t| t.shape.len() == 2)).unwrap(),
        rule!("reshape(x, shape=s) => reshape(x, shape=padded(s)) if scalar(x)")
            .unwrap()
            .function("padded", |args| Some(args[0].clone())),
    ];
    let set = RuleSet::new("mine", rules).unwrap();
    let p = Pipeline::standard().after("simplify", set);
    let text = "graph(%0: f32[2, 3], %1: f32[2, 3]) { %2 = exponential(%0) : f32[2, 3] %3 = exponential(%1) : f32[2, 3] \
                %4 = multiply(%2, %3) : f32[2, 3] %5 = tanh(%4) : f32[2, 3] return %5 }";
    let mut g = parse(text).unwrap();
    p.run_with(&mut g, &mut PassContext::new()).unwrap();
    let after = g.to_string();
    assert!(after.contains("add(%0, %1)") && !after.contains("tanh") && !after.contains("multiply"), "{after}");
}

#[test]
fn a_rule_without_end_and_one_that_panics_are_contained() {
    let run = |rule: Rule| {
        let p = Pipeline::standard().after("simplify", RuleSet::new("mine", vec![rule])?);
        let mut g = parse("graph(%0: f32[3], %1: f32[3]) { %2 = power(%0, %1) : f32[3] return %2 }")?;
        p.run_with(&mut g, &mut PassContext::new()).map(|()| g)
    };
    let round = run(Rule::parse("power(x, y) => power(y, x)").unwrap());
    assert!(round.is_ok() || round.unwrap_err().to_string().contains("mine"));
    let grows = run(Rule::parse("power(x, y) => power(power(x, y), y)").unwrap()).unwrap_err();
    assert!(grows.to_string().contains("still apply"), "{grows}");
    let panics = run(rule!("power(x, y) => x" if |_| panic!("no")).unwrap()).map(drop);
    assert!(panics.unwrap_err().to_string().contains("panicked"));
}

/// Many rules cost little more than a few: only those are tried whose ops stand there.
#[test]
fn candidates_do_not_depend_on_the_number_of_rules() {
    let unary = ["exponential", "log", "sine", "cosine", "tanh", "sqrt", "rsqrt", "logistic", "erf", "cbrt"];
    let mut texts = Vec::new();
    for f in unary {
        for h in unary {
            for k in ["add", "multiply", "maximum", "minimum", "subtract"] {
                texts.push(format!("{k}({f}(x), {h}(abs(y))) => {k}({f}(x), {h}(y)) if half(x)"));
            }
        }
    }
    let set = |n: usize| {
        let rules = texts.iter().take(n).map(|t| Rule::parse(t).unwrap()).collect();
        RuleSet::new("many", rules).unwrap_or_else(|e| panic!("{e}"))
    };
    let text =
        "graph(%0: f32[3]) { %1 = tanh(%0) : f32[3] %2 = sqrt(%0) : f32[3] %3 = maximum(%1, %2) : f32[3] return %3 }";
    let g = parse(text).unwrap();
    for n in [50, 500] {
        let tried = set(n).candidates_of(&g);
        assert!(tried.iter().sum::<usize>() <= 2, "{n} rules: {tried:?} are tried");
    }
}
