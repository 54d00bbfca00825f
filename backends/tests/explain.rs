//! What is told of compiled programs, against the compiled programs.

use gradloom_backends::cpu::codegen::Listing;
use gradloom_backends::cpu::{Explained, StepInfo, StepKind, explain};
use gradloom_backends::{Device, compile_for};
use gradloom_ir::parse;
use gradloom_passes::{Event, PassContext};

#[track_caller]
fn explained(text: &str) -> Explained {
    let g = parse(text).expect("a program");
    let e = explain(&g, &mut PassContext::new()).expect("it compiles");
    let cost = compile_for(&g, Device::Cpu).expect("it compiles").cost();
    let sum = |of: fn(&StepInfo) -> u64| e.steps.iter().map(of).sum::<u64>();
    assert_eq!((cost.flops, cost.bytes), (sum(|s| s.flops), sum(|s| s.bytes)));
    assert_eq!((cost.kernels, cost.peak_bytes), (e.steps.len(), e.arena_bytes));
    assert!(e.steps.iter().all(|s| s.live_bytes <= e.arena_bytes), "no more is live than there is");
    e
}

fn check_code(step: &StepInfo) {
    let text = match step.code.as_ref().expect("a listing") {
        Listing::Cranelift(text) => (text, "function u0:"),
        Listing::Assembly(text) => (text, "    ret\n; "),
    };
    assert!(text.0.contains(text.1), "{}", text.0);
}

#[test]
fn fusions_name_their_nodes() {
    // a sum, its square root, and a scaling that both read; the reshape is no step's, nor is the constant array
    let e = explained(
        "graph(%0: f32[64,32]) {
           %1 = constant() {value = dense<2.0 : f32[]>} : f32[]
           %2 = broadcast_in_dim(%1) {shape = [64, 32], dims = []} : f32[64,32]
           %3 = multiply(%0, %2) : f32[64,32]
           %4 = reduce(%3) {kind = \"sum\", axes = [1]} : f32[64]
           %5 = sqrt(%4) : f32[64]
           %6 = reshape(%5) {shape = [8, 8]} : f32[8,8]
           %7 = dot_general(%6, %6) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[8,8]
           return %7
         }",
    );
    let [sum, dot] = &e.steps[..] else { panic!("{:#?}", e.steps) };
    assert_eq!((sum.kind, &sum.nodes[..]), (StepKind::Kernel, &[0, 1, 2, 3, 4][..]));
    assert!(sum.nest.contains("for i < 64\n  reduce j < 32\n"), "{}", sum.nest);
    check_code(sum);
    let values = |vs: &[gradloom_ir::Value]| vs.iter().map(|v| v.index()).collect::<Vec<_>>();
    assert_eq!((values(&sum.reads), values(&sum.writes)), (vec![0], vec![5]));
    assert_eq!((dot.kind, &dot.nodes[..], dot.flops), (StepKind::Library, &[6][..], 2 * 8 * 8 * 8));
    assert!(dot.code.is_none() && dot.nest.is_empty());
    assert_eq!(sum.live_bytes, 64 * 4);
}

#[test]
fn bodies_are_explained_as_often_as_they_run() {
    let e = explained(
        "graph(%0: f32[16,16], %1: f32[16,16]) {
           %2 = scan(%0, %1) {body = graph(%0: f32[16,16], %1: f32[16,16]) {
             %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[16,16]
             %3 = tanh(%2) : f32[16,16]
             return %3
           }, length = 9, reverse = false, consts = 1, carry = 1} : f32[16,16]
           return %2
         }",
    );
    let [scan] = &e.steps[..] else { panic!("{:#?}", e.steps) };
    assert_eq!((scan.kind, scan.trips, scan.bodies.len()), (StepKind::Control, 9, 1));
    let inner: u64 = scan.bodies[0].iter().map(|s| s.flops).sum();
    assert_eq!(scan.flops, 9 * inner);
    assert!(scan.bodies[0].iter().any(|s| s.kind == StepKind::Kernel && s.nest.contains("tanh")));
    // equal kernels are compiled once, and each has the code
    let twice =
        "graph(%0: f32[1008], %1: f32[1008]) { %2 = sine(%0) : f32[1008] %3 = sort(%2) {axis = 0, num_keys = 1} : f32[1008]
                   %4 = sine(%3) : f32[1008] return %4 }";
    let e = explained(twice);
    assert_eq!(e.steps.len(), 3);
    // the first sines, then they and the sorted ones, then these alone
    let value = 4 * 1008;
    assert_eq!(e.steps[0].live_bytes, value);
    assert!(e.steps[1].live_bytes >= 2 * value);
    assert_eq!(e.steps[2].live_bytes, value);
    check_code(&e.steps[0]);
    check_code(&e.steps[2]);
    // a loop over a number is one kernel
    let e = explained(
        "graph(%0: f32[]) { %1 = while(%0) {
           cond = graph(%0: f32[]) { %1 = constant() {value = dense<9.0 : f32[]>} : f32[] %2 = less(%0, %1) : bool[] return %2 },
           body = graph(%0: f32[]) { %1 = add(%0, %0) : f32[] return %1 }, cond_consts = 0, body_consts = 0} : f32[] return %1 }",
    );
    assert_eq!(e.steps[0].kind, StepKind::Recurrence);
    assert!(e.steps[0].nest.contains("  acc0: f32 = p0[0]\n  while %"), "{}", e.steps[0].nest);
    check_code(&e.steps[0]);
}

/// Both numbers of one block of threefry come of the same 20 rounds.
#[test]
fn what_ops_have_in_common_is_computed_once() {
    let e = explained(
        "graph(%0: u32[64], %1: u32[64]) {
           %2 = threefry2x32(%0, %0, %0, %1) {lane = 0} : u32[64]
           %3 = threefry2x32(%0, %0, %0, %1) {lane = 1} : u32[64]
           %4 = xor(%2, %3) : u32[64] return %4 }",
    );
    // (a loop of whole vectors, then one vector of what is left)
    if let Some(Listing::Assembly(text)) = &e.steps[0].code {
        let rounds = text.lines().filter(|l| l.contains("vprold")).count();
        assert!(rounds > 0 && rounds.is_multiple_of(20) && rounds <= 40, "{rounds} in {text}");
    }
}

/// The passes of the processor are observed like all others, and the graph is the one that they leave.
#[test]
fn lowering_is_observed() {
    let g = parse("graph(%0: c64[8]) { %1 = multiply(%0, %0) : c64[8] return %1 }").expect("a program");
    let (tell, told) = std::sync::mpsc::channel();
    let mut cx = PassContext::new().observed_by(move |event| {
        if let Event::After { record, graph } = event {
            tell.send((record.pass.clone(), graph.clone())).expect("somebody listens");
        }
        Ok(())
    });
    let e = explain(&g, &mut cx).expect("it compiles");
    drop(cx);
    let passes: Vec<_> = told.iter().collect();
    assert_eq!(passes[0].0, "split_complex");
    assert_eq!(passes.last().expect("a pass").1, e.graph);
    let bad = parse("graph() { %0 = axis_index() {axis_name = \"i\"} : i32[] return %0 }").expect("a program");
    assert!(explain(&bad, &mut PassContext::new()).is_err());
}
