//! What analyses say of a diamond.

use gradloom_ir::{Graph, Value, parse};
use gradloom_passes::analyses::{Costs, Dominance, Liveness, Uses};
use std::sync::Arc;

fn diamond() -> Graph {
    parse(
        "graph(%0: f32[8]) {
           %1 = tanh(%0) : f32[8]
           %2 = sort(%1) {axis = 0, num_keys = 1} : f32[8]
           %3 = cumulative(%1) {kind = \"sum\", axis = 0, reverse = false} : f32[8]
           %4 = add(%2, %3) : f32[8]
           %5 = sort(%4) {axis = 0, num_keys = 1} : f32[8]
           return %5 }",
    )
    .expect("a program")
}

#[test]
fn a_graph_keeps_what_was_asked_and_a_new_one_starts_without() {
    let g = diamond();
    let first = g.analysis::<Uses>();
    assert!(Arc::ptr_eq(&first, &g.analysis::<Uses>()));
    assert!(!Arc::ptr_eq(&first, &diamond().analysis::<Uses>()));
    assert_eq!(first.of(Value::from_index(1)), [1, 2]);
}

#[test]
fn dominators_of_a_diamond() {
    let d = diamond().analysis::<Dominance>();
    assert_eq!([0, 1, 2, 3, 4].map(|i| d.immediate(i)), [None, Some(0), Some(0), Some(0), Some(3)]);
    assert!(d.dominates(0, 4) && d.dominates(3, 4) && d.dominates(2, 2) && !d.dominates(1, 3) && !d.dominates(4, 3));
}

/// By hand: `%1` is stored (used by two), `%2` and `%3` are, `%4` is read by a sort, `%5` is the result.
#[test]
fn memory_of_a_diamond() {
    let g = diamond();
    let live = g.analysis::<Liveness>();
    assert_eq!(live.bytes, [32, 64, 96, 96, 32]);
    assert_eq!(live.last[1..5], [2, 3, 3, 4]);
    assert_eq!((live.peak(), g.analysis::<Costs>().0[0].flops), (96, 8));
}
