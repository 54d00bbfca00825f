//! The simplifier's computed rules hold: each has the forms of its left side as generators of programs, and is evaluated
//! before and after on as many of each as count.

mod contractions;
mod control;
mod cutting;
mod reductions;
mod scaled;
mod shaping;
mod source;

use gradloom_ir::{Graph, Value};
use gradloom_passes::simplification_rules;
use source::Source;
use std::collections::BTreeMap;

/// Programs on which each form must be rewritten as it says.
const PROGRAMS: usize = 200;

/// Programs that are made of each form to find so many.
const ATTEMPTS: usize = 4000;

/// One form of a rule's left side.
struct Form {
    equation: &'static str,
    /// The ops of the right side in order, `*` for any; bodies stand in parentheses.
    becomes: &'static str,
    program: fn(&mut Source) -> Value,
}

const fn form(equation: &'static str, becomes: &'static str, program: fn(&mut Source) -> Value) -> Form {
    Form { equation, becomes, program }
}

/// All forms of a rule, by its text.
type Proof = (&'static str, &'static [Form]);

fn proofs() -> impl Iterator<Item = &'static Proof> {
    [shaping::PROOFS, cutting::PROOFS, contractions::PROOFS, scaled::PROOFS, reductions::PROOFS].into_iter().flatten()
}

/// The ops of a program in order.
fn ops(g: &Graph) -> Vec<String> {
    let named = |n: &gradloom_ir::Node| {
        let bodies: Vec<String> = n.op.bodies().iter().map(|b| format!("({})", ops(b).join(","))).collect();
        format!("{}{}", n.op.name(), bodies.concat())
    };
    g.nodes().iter().map(named).collect()
}

fn is(g: &Graph, becomes: &str) -> bool {
    let (ops, wanted) = (ops(g), becomes.split_whitespace().collect::<Vec<_>>());
    ops.len() == wanted.len() && ops.iter().zip(wanted).all(|(op, w)| w == "*" || w == op)
}

/// Runs `rewrite` on programs of the form until enough became what it says; `None` of it says that nothing was to be done.
fn check(form: &Form, rewrite: impl Fn(&Graph, u64) -> gradloom_ir::Result<Option<Graph>>) -> Result<(), String> {
    let (mut found, mut others) = (0, BTreeMap::<String, usize>::new());
    for seed in 0..ATTEMPTS as u64 {
        let before = Source::program(seed, form.program);
        match rewrite(&before, seed) {
            Ok(Some(after)) if is(&after, form.becomes) => found += 1,
            Ok(after) => *others.entry(after.map_or("-".into(), |g| ops(&g).join(" "))).or_default() += 1,
            Err(e) => return Err(format!("{}: {}", form.equation, e.message().chars().take(1500).collect::<String>())),
        }
        if found == PROGRAMS {
            return Ok(());
        }
    }
    Err(format!("{}: {found} programs became `{}`; others: {others:?}", form.equation, form.becomes))
}

#[test]
fn computed_rules_hold() {
    let mut wrong = Vec::new();
    for rule in simplification_rules().unwrap().rules().iter().filter(|r| r.is_computed()) {
        let Some((_, forms)) = proofs().find(|p| p.0 == rule.text()) else {
            wrong.push(format!("`{}` is not proved: give it its forms in passes/tests/computed", rule.text()));
            continue;
        };
        let failed = forms.iter().filter_map(|f| check(f, |g, seed| rule.prove_on(g, seed)).err());
        wrong.extend(failed.map(|e| format!("`{}`, {e}", rule.text())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn no_proof_is_of_a_rule_that_there_is_not() {
    let rules = simplification_rules().unwrap().rules();
    for (text, forms) in proofs() {
        assert!(rules.iter().any(|r| r.is_computed() && r.text() == *text), "there is no computed rule `{text}`");
        assert!(!forms.is_empty(), "`{text}` has no form");
    }
}
