//! Passes and transforms leave effects as they are: how often, in which order, with which operands.

use gradloom_ir::{Callback, Graph, Literal, eval::eval, parse};
use gradloom_passes::transform::{batch, jvp, linearize};
use gradloom_passes::{Pipeline, catalogue};
use std::sync::{Arc, Mutex};

/// What the callbacks of a program have seen, as text.
type Log = Arc<Mutex<Vec<String>>>;

fn recorder(name: &'static str) -> (Callback, Log) {
    let log = Log::default();
    let sink = log.clone();
    let record = move |x: &[Literal]| {
        sink.lock().expect("no panic").push(format!("{x:?}"));
        Ok(x.to_vec())
    };
    (Callback::new(name, record), log)
}

/// A program text in which `SEE` is an effect without results.
fn program(text: &str) -> (Graph, Log) {
    let log = Log::default();
    let sink = log.clone();
    let see = Callback::new("see", move |x| {
        sink.lock().expect("no panic").push(format!("{x:?}"));
        Ok(Vec::new())
    });
    let attributes = format!("{{callback = {see}, results = [], effect = true}}");
    let g = parse(&text.replace("SEE", &attributes)).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(parse(&g.to_string()).expect("its own text"), g);
    (g, log)
}

fn inputs(g: &Graph) -> Vec<Literal> {
    let fill = |t: &gradloom_ir::Type| {
        let mut bytes = Vec::new();
        (0..t.numel()).for_each(|i| bytes.extend_from_slice(Literal::scalar(t.dtype, 1.0 + i as f64).bytes()));
        Literal::from_bytes(t.clone(), bytes).expect("as many bytes as the type has")
    };
    g.input_types().iter().map(fill).collect()
}

fn run(g: &Graph, log: &Log) -> (Vec<Literal>, Vec<String>) {
    let out = eval(g, &inputs(g)).unwrap_or_else(|e| panic!("{e}\n{g}"));
    (out, std::mem::take(&mut log.lock().expect("no panic")))
}

const PROGRAMS: &[&str] = &[
    // equal, unused, of constants, without results of any kind
    "graph(%0: f32[]) {
        %1 = constant() {value = dense<2.0 : f32[]>} : f32[]
        %2 = add(%1, %1) : f32[]
         = host_call(%2) SEE
         = host_call(%2) SEE
        %3 = sine(%0) : f32[]
         = host_call(%3, %0) SEE
         = host_call() SEE
        return %0
    }",
    // in every step what depends on none; with a carry and a row that nobody else wants
    "graph(%0: f32[], %1: f32[3]) {
        %2, %3, %4 = scan(%0, %0, %0, %1) {body = graph(%0: f32[], %1: f32[], %2: f32[], %3: f32[]) {
            %4 = sine(%0) : f32[]
             = host_call(%4) SEE
            %5 = add(%1, %0) : f32[]
             = host_call(%5, %3) SEE
            return %5, %2, %4
        }, length = 3, reverse = false, consts = 1, carry = 2} : f32[], f32[], f32[3]
        return %0
    }",
    // a loop and a branch of effects alone, of one step, of known way
    "graph(%0: f32[2]) {
         = scan(%0) {body = graph(%0: f32[]) { = host_call(%0) SEE return },
            length = 2, reverse = true, consts = 0, carry = 0}
        %1 = constant() {value = dense<1 : i32[]>} : i32[]
         = switch(%1, %0) {branches = [graph(%0: f32[2]) { return }, graph(%0: f32[2]) { = host_call(%0) SEE return }]}
        %2 = slice(%0) {start = [0], limit = [1], stride = [1]} : f32[1]
         = scan(%2) {body = graph(%0: f32[]) { = host_call(%0) SEE return },
            length = 1, reverse = false, consts = 0, carry = 0}
        return
    }",
    // the condition of a loop that does not run; results without elements
    "graph(%0: f32[2]) {
        %1 = while(%0) {cond = graph(%0: f32[2]) {
             = host_call(%0) SEE
            %1 = constant() {value = dense<false : bool[]>} : bool[]
            return %1
        }, body = graph(%0: f32[2]) { return %0 }, cond_consts = 0, body_consts = 0} : f32[2]
        %2 = scan(%0) {body = graph(%0: f32[]) {
             = host_call(%0) SEE
            %1 = constant() {value = dense<[] : f32[0]>} : f32[0]
            return %1
        }, length = 2, reverse = false, consts = 0, carry = 0} : f32[2,0]
        return %2
    }",
    "graph(%0: f32[]) {
        %1 = remat(%0) {body = graph(%0: f32[]) { %1 = sine(%0) : f32[] = host_call(%1) SEE return %1 }} : f32[]
        %2 = sine(%1) : f32[]
        return %2
    }",
];

#[test]
fn passes_keep_effects() {
    for text in PROGRAMS {
        let (g, log) = program(text);
        let (out, effects) = run(&g, &log);
        assert!(!effects.is_empty(), "{text}");
        for offer in catalogue() {
            let mut new = g.clone();
            let p = Pipeline::empty().push(offer.pass());
            p.run(&mut new).unwrap_or_else(|e| panic!("{e}\n{g}"));
            gradloom_ir::verify(&new).unwrap_or_else(|e| panic!("{}: {e}\n{new}", offer.name));
            assert_eq!(run(&new, &log), (out.clone(), effects.clone()), "{}\n{g}\n{new}", offer.name);
        }
        for pipeline in [Pipeline::standard(), Pipeline::lowering()] {
            let mut new = g.clone();
            pipeline.run(&mut new).unwrap_or_else(|e| panic!("{e}\n{g}"));
            assert_eq!(run(&new, &log), (out.clone(), effects.clone()), "{g}\n{new}");
        }
    }
}

#[test]
fn derivatives_keep_effects() {
    for text in PROGRAMS {
        let (g, log) = program(text);
        let (_, effects) = run(&g, &log);
        let active = vec![true; g.num_inputs()];
        let forward = jvp(&g, &active, None).expect("a tangent").graph;
        assert_eq!(run(&forward, &log).1, effects, "{forward}");
        let l = linearize(&g, &active).expect("a derivative");
        assert_eq!(run(&l.primal, &log).1, effects, "{}", l.primal);
        assert!(!l.linear.has_effect(), "{}", l.linear);
    }
}

#[test]
fn batches_have_the_effects_of_each_row() {
    for text in PROGRAMS {
        let (g, log) = program(text);
        let b = batch(&g, &vec![true; g.num_inputs()], 2, None, None).expect("a batch").graph;
        let whole = inputs(&b);
        eval(&b, &whole).unwrap_or_else(|e| panic!("{e}\n{b}"));
        let mut together = std::mem::take(&mut *log.lock().expect("no panic"));
        for row in 0..2 {
            let part = |(x, t): (&Literal, gradloom_ir::Type)| {
                let n = t.bytes();
                Literal::from_bytes(t, x.bytes()[row * n..(row + 1) * n].to_vec()).expect("a row")
            };
            eval(&g, &whole.iter().zip(g.input_types()).map(part).collect::<Vec<_>>()).expect("it runs");
        }
        let mut apart = std::mem::take(&mut *log.lock().expect("no panic"));
        // what is the same for all rows happens once
        together.sort();
        together.dedup();
        apart.sort();
        apart.dedup();
        assert_eq!(together, apart, "{b}");
    }
}

#[test]
fn pure_calls_are_dropped_and_merged_but_not_evaluated() {
    let (f, log) = recorder("f");
    let call = format!("{{callback = {f}, results = [f32[]], effect = false}}");
    let text = "graph(%0: f32[]) {
        %1 = constant() {value = dense<2.0 : f32[]>} : f32[]
        %2 = host_call(%1) CALL : f32[]
        %3 = host_call(%1) CALL : f32[]
        %4 = host_call(%0) CALL : f32[]
        %5 = add(%2, %3) : f32[]
        return %5
    }";
    let mut g = parse(&text.replace("CALL", &call)).expect("a program");
    Pipeline::standard().run(&mut g).expect("it runs");
    assert!(log.lock().expect("no panic").is_empty());
    assert_eq!(run(&g, &log).1, ["[2.0:f32[]]"]);
}

#[test]
fn text_names_functions_that_live() {
    let (f, _) = recorder("a \"name\"");
    let text = |f: &str| {
        format!("graph(%0: f32[]) {{ = host_call(%0) {{callback = {f}, results = [], effect = true}} return }}")
    };
    let own = f.to_string();
    let g = parse(&text(&own)).expect("it lives");
    assert_eq!(g.to_string(), parse(&g.to_string()).expect("its own text").to_string());
    let says = |f: &str| parse(&text(f)).expect_err("no such function").to_string();
    assert!(says(&own.replace("name", "other")).contains("alive"));
    assert!(says("callback<18446744073709551615 \"x\">").contains("not an integer"));
    assert!(says("callback<-1 \"x\">").contains("alive"));
    drop((f, g));
    assert!(says(&own).contains("no host function"), "{}", says(&own));
    let (p, _) = recorder("p");
    let types = format!(
        "graph() {{ %0 = host_call() {{callback = {p}, results = [f32[2,3], bool[]], effect = false}} : f32[2,3] return }}"
    );
    assert!(parse(&types).expect_err("one type too few").to_string().contains("host_call gives"));
}
