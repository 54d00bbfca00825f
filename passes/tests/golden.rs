//! Every pass on small programs: `ir/<pass>/<case>.txt` is a program, a line `----`, and what the pass makes of it
//! (`ir/standard` is the whole standard pipeline); so are the examples of the catalogue. Both are run on the interpreter and
//! must agree bit for bit, or within the tolerance the case states in a comment `// tolerance 1e-12`. `UPDATE=1` rewrites
//! the second halves.

use crate::oracle;
use gradloom_ir::{Graph, parse, verify};
use gradloom_passes::{Keeps, PassContext, Pipeline, catalogue, offer};
use std::path::Path;

/// The standard pipeline, or one pass.
fn pipeline(name: &str) -> Pipeline {
    match name {
        "standard" => Pipeline::standard(),
        name => Pipeline::empty().push(offer(name).expect("the folder has a pass's name").pass()),
    }
}

/// How far results may be off, unless the case says so itself; `None` where every bit counts.
fn tolerance(pass: &str) -> Option<f64> {
    match offer(pass).map(|o| o.keeps) {
        Ok(Keeps::LowPrecision) => Some(0.02),
        _ => None,
    }
}

fn run(p: &Pipeline, g: &Graph) -> Graph {
    let mut g = g.clone();
    p.run_with(&mut g, &mut PassContext::new()).unwrap_or_else(|e| panic!("{e}\n{g}"));
    g
}

fn check(pass: &str, path: &Path, wrong: &mut Vec<String>) {
    let text = std::fs::read_to_string(path).expect("a case can be read");
    let (input, expected) = text.split_once("----\n").unwrap_or((&text, ""));
    let tolerance = input
        .lines()
        .find_map(|l| l.strip_prefix("// tolerance "))
        .map(|t| t.parse().expect("a tolerance is a number"))
        .or(tolerance(pass));
    let name = path.display().to_string();
    let before = parse(input).unwrap_or_else(|e| panic!("{name}: {e}"));
    let p = pipeline(pass);
    let after = run(&p, &before);
    verify(&after).unwrap_or_else(|e| panic!("{name}: {e}\n{after}"));
    assert_eq!(parse(&after.to_string()).expect("the text form can be read"), after, "{name}");
    oracle::assert_equivalent(&name, &before, &after, tolerance);
    if !offer(pass).is_ok_and(|o| o.restless.is_some()) {
        assert_eq!(run(&p, &after), after, "{name}: the pass is not idempotent");
    }
    if format!("{after}\n") != expected {
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, format!("{}\n----\n{after}\n", input.trim_end())).expect("a case can be written");
        } else {
            wrong.push(format!("{name}\n{after}\n-- expected --\n{expected}"));
        }
    }
}

#[test]
fn cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ir");
    let list = |dir: &Path| {
        let mut paths: Vec<_> =
            std::fs::read_dir(dir).expect("the cases are there").map(|e| e.expect("readable").path()).collect();
        paths.sort();
        paths
    };
    let (mut wrong, mut count) = (Vec::new(), 0);
    for offer in catalogue() {
        let path = format!("{}/src/catalogue/{}.txt", env!("CARGO_MANIFEST_DIR"), offer.name);
        check(offer.name, Path::new(&path), &mut wrong);
    }
    for dir in list(&root) {
        let pass = dir.file_name().expect("a name").to_string_lossy().into_owned();
        for path in list(&dir) {
            check(&pass, &path, &mut wrong);
            count += 1;
        }
    }
    assert!(count > 50, "only {count} cases were found");
    assert!(wrong.is_empty(), "{} cases differ (UPDATE=1 rewrites them):\n{}", wrong.len(), wrong.join("\n"));
}
