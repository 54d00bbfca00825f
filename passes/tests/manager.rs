//! Pipelines: order, edits, and what they do with passes that misbehave.

use gradloom_ir::{Builder, DType, Error, Graph, Op, Type, Unary, parse};
use gradloom_passes::{Changed, Event, Pass, PassContext, Pipeline, pass_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn program() -> Graph {
    parse("graph(%0: f64[3] \"x\") { %1 = negate(%0) : f64[3] %2 = negate(%1) : f64[3] %3 = sine(%2) : f64[3] return %3 }")
        .expect("a program")
}

/// The error of a pipeline, which must leave the program as it was.
#[track_caller]
fn error_of(p: &Pipeline) -> String {
    let mut g = program();
    let e = p.run_with(&mut g, &mut PassContext::new()).expect_err("this pipeline must fail");
    assert_eq!(g, program());
    e.to_string()
}

fn quiet(name: &str) -> impl Pass + use<> {
    pass_fn(name, |_, _| Ok(Changed::No))
}

/// Appends a sine to the first output.
fn append(g: &mut Graph) -> Result<Changed, Error> {
    append_many(g, 1)
}

fn append_many(g: &mut Graph, n: usize) -> Result<Changed, Error> {
    let (mut b, args) = Builder::with_inputs(&g.input_types());
    let mut outs = b.inline(g, &args)?;
    for _ in 0..n {
        outs[0] = b.unary(Unary::Sin, outs[0]);
    }
    *g = b.finish(&outs)?;
    Ok(Changed::Yes)
}

#[test]
fn edits_put_passes_where_they_say() {
    let p = Pipeline::standard().after("simplify", quiet("a")).before("dce", quiet("b")).push(quiet("c"));
    let p = p.replace("hoist", quiet("d")).disable("cse");
    assert_eq!(p.names(), ["inline_bodies", "b", "dce", "simplify", "a", "fold", "dce", "d", "distribute", "dce", "c"]);
    let mut g = program();
    p.run(&mut g).expect("it runs");
    assert_eq!(g.nodes().len(), 1);
    assert_eq!(Pipeline::empty().push(quiet("a")).clone().names(), ["a"]);
}

#[test]
fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
    for p in [
        Pipeline::standard().after("simplfy", quiet("a")),
        Pipeline::standard().before("simplfy", quiet("a")),
        Pipeline::standard().replace("simplfy", quiet("a")),
        Pipeline::standard().disable("simplfy"),
    ] {
        assert_eq!(
            error_of(&p),
            "pipeline: there is no pass named `simplfy`\n  \
             help: the passes here are cse, dce, distribute, fold, hoist, inline_bodies, simplify"
        );
    }
}

#[test]
fn a_panic_is_contained() {
    let p = Pipeline::standard().push(pass_fn("bad", |g, _| {
        let empty: Vec<u8> = g.nodes().iter().map(|_| 0).filter(|&x| x > 0).collect();
        Ok(Changed::from(empty[0] > 0))
    }));
    let text = error_of(&p);
    assert!(text.starts_with("pass bad: panicked: index out of bounds"), "{text}");
    let p = Pipeline::standard().push(pass_fn("bad", |_, _| panic!("{} of {}", 1, 2)));
    assert_eq!(error_of(&p), "pass bad: panicked: 1 of 2");
}

#[test]
fn an_error_comes_back() {
    let p = Pipeline::standard().push(pass_fn("bad", |_, _| Err(Error::limit("bad", "not today"))));
    assert_eq!(error_of(&p), "bad: not today");
}

#[test]
fn a_malformed_program_is_caught() {
    let p = Pipeline::empty().push(pass_fn("bad", |g, _| {
        let (mut b, args) = Builder::with_inputs(&g.input_types());
        let wrong = b.emit_typed(Op::Unary(Unary::Not), &args, [Type::new(DType::F64, &[3])]);
        *g = b.finish(&wrong)?;
        Ok(Changed::Yes)
    }));
    let text = error_of(&p);
    assert!(text.starts_with("pass bad: returned a malformed program: node 0 (not)"), "{text}");
}

#[test]
fn a_changed_interface_is_caught() {
    let p = Pipeline::empty().push(pass_fn("bad", |g, _| {
        *g = Graph::default();
        Ok(Changed::Yes)
    }));
    assert_eq!(error_of(&p), "pass bad: changed the program's input types from [f64[3]] to []");
    let p = Pipeline::empty().push(pass_fn("bad", |g, _| {
        let (mut b, args) = Builder::with_inputs(&g.input_types());
        let y = b.sum(args[0], &[0]);
        *g = b.finish(&[y])?;
        Ok(Changed::No) // what it says of itself is not believed
    }));
    assert_eq!(error_of(&p), "pass bad: changed the program's output types from [f64[3]] to [f64[]]");
}

#[test]
fn a_pass_without_end_is_named() {
    let p = Pipeline::standard().after("simplify", pass_fn("restless", |g, _| append(g)));
    let text = error_of(&p);
    assert!(text.starts_with("pass restless: still changes the program after 32 sweeps"), "{text}");
    let double = pass_fn("growing", |g, _| append_many(g, g.nodes().len().max(1)));
    let text = error_of(&Pipeline::standard().after("simplify", double));
    assert!(text.starts_with("pass growing: keeps growing the program"), "{text}");
}

#[test]
fn a_pass_that_only_says_it_changed_something_is_not_restless() {
    let p = Pipeline::standard().after("simplify", pass_fn("boaster", |_, _| Ok(Changed::Yes)));
    let mut g = program();
    p.run(&mut g).expect("the program did not change");
}

#[test]
fn a_group_repeats_until_nothing_changes() {
    let runs = Arc::new(AtomicUsize::new(0));
    let seen = runs.clone();
    let thrice = pass_fn(
        "thrice",
        move |g, _| {
            if seen.fetch_add(1, Ordering::Relaxed) < 3 { append(g) } else { Ok(Changed::No) }
        },
    );
    let p = Pipeline::empty().push_fixpoint(vec![Arc::new(thrice)], 10);
    let mut g = program();
    let cx = p.run(&mut g).expect("it ends");
    assert_eq!((g.nodes().len(), runs.load(Ordering::Relaxed)), (6, 4));
    let sizes: Vec<_> = cx.log().iter().map(|r| (r.nodes_before, r.nodes_after, r.changed)).collect();
    assert_eq!(sizes, [(3, 4, Changed::Yes), (4, 5, Changed::Yes), (5, 6, Changed::Yes), (6, 6, Changed::No)]);
}

#[test]
fn nested_programs_come_first_and_shared_ones_once() {
    let body = "graph(%0: f64[3]) { %1 = sine(%0) : f64[3] return %1 }";
    let text = format!(
        "graph(%0: f64[3], %1: i32[]) {{ %2 = switch(%1, %0) {{branches = [{body}, graph(%0: f64[3]) {{ return %0 }}]}} : f64[3] return %2 }}"
    );
    let mut g = parse(&text).expect("a program");
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = order.clone();
    let p = Pipeline::empty().push(pass_fn("watch", move |g, _| {
        seen.lock().expect("no panic").push(g.num_inputs());
        if g.num_inputs() == 1 { append(g) } else { Ok(Changed::No) }
    }));
    p.run(&mut g).expect("it runs");
    assert_eq!(*order.lock().expect("no panic"), [1, 1, 2]);
    assert_eq!(g.total_nodes(), 1 + 2 + 1);
    gradloom_ir::verify(&g).expect("well-formed");

    // the same body twice
    let Op::Switch { branches } = g.nodes()[0].op.clone() else { panic!("a switch") };
    let (mut b, args) = Builder::with_inputs(&g.input_types());
    let op = Op::Switch { branches: vec![branches[0].clone(); 2] };
    let y = b.op(op, &[args[1], args[0]]);
    let mut g = b.finish(&[y]).expect("well-formed");
    order.lock().expect("no panic").clear();
    p.run(&mut g).expect("it runs");
    assert_eq!(*order.lock().expect("no panic"), [1, 2]);
    let Op::Switch { branches } = &g.nodes()[0].op else { panic!("a switch") };
    assert!(Arc::ptr_eq(&branches[0], &branches[1]));
}

#[test]
fn a_dump_has_the_program_before_and_after_each_pass() {
    let dir = std::env::temp_dir().join(format!("gradloom-dump-{}", std::process::id()));
    let p = Pipeline::empty().push(pass_fn("grow/ing", |g, cx| {
        cx.dump("note", &"a note")?;
        append(g)
    }));
    p.run_with(&mut program(), &mut PassContext::dumping_to(&dir)).expect("it runs");
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .expect("the dump is there")
        .map(|e| e.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let ends: Vec<&str> = names.iter().map(|n| n.rsplit_once("-0").map_or("", |(_, end)| end)).collect();
    assert_eq!(ends, ["00-grow_ing_before.txt", "01-note.txt", "02-grow_ing_after.txt"]);
    let read = |i: usize| std::fs::read_to_string(dir.join(&names[i])).expect("readable");
    assert_eq!(parse(&read(0)).expect("a program"), program());
    assert_eq!(parse(&read(2)).expect("a program").nodes().len(), 4);
    std::fs::remove_dir_all(&dir).expect("it can be removed");

    // a directory that cannot be made
    let file = std::env::temp_dir().join(format!("gradloom-file-{}", std::process::id()));
    std::fs::write(&file, "").expect("writable");
    let e = p.run_with(&mut program(), &mut PassContext::dumping_to(file.join("dir"))).expect_err("not a directory");
    assert_eq!(e.kind(), gradloom_ir::ErrorKind::Io);
    std::fs::remove_file(&file).expect("it can be removed");
}

#[test]
fn observers_see_every_pass_and_may_end_it() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tell = seen.clone();
    let watch = move |event: Event<'_>| {
        let line = match event {
            Event::Before { pass, graph } => format!("before {pass}: {}", graph.nodes().len()),
            Event::After { record, graph } => {
                format!("after {}: {}, {:?}", record.pass, graph.nodes().len(), record.changed)
            }
            Event::Note { name, content } => format!("{name}: {content}"),
        };
        tell.lock().expect("no panic").push(line);
        Ok(())
    };
    let p = Pipeline::empty().push(pass_fn("growing", |g, cx| {
        cx.dump("note", &"a note")?;
        append(g)
    }));
    let mut cx = PassContext::new().observed_by(watch.clone()).observed_by(watch);
    p.run_with(&mut program(), &mut cx).expect("it runs");
    cx.step("own", &mut program(), |_, _| Ok(Changed::No)).expect("it runs");
    let seen: Vec<String> = seen.lock().expect("no panic").chunks(2).map(|c| c[0].clone()).collect();
    assert_eq!(
        seen,
        ["before growing: 3", "note: a note", "after growing: 4, Yes", "before own: 3", "after own: 3, No"]
    );
    assert_eq!(cx.log().len(), 2);

    let mut g = program();
    let mut cx = PassContext::new().observed_by(|_| Err(Error::limit("watch", "enough")));
    assert_eq!(p.run_with(&mut g, &mut cx).expect_err("it ends").to_string(), "watch: enough");
    assert_eq!(g, program());
}
