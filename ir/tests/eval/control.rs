//! Ops with bodies, and those that need a transform around them.

use super::*;

#[test]
fn scans() {
    // c' = c k + x, y = c
    let body = "graph(%0: i32[], %1: i32[], %2: i32[]) {
        %3 = multiply(%1, %0) : i32[]
        %4 = add(%3, %2) : i32[]
        return %4, %1
    }";
    let node = |reverse: bool| {
        format!("scan(%0, %1, %2) {{body = {body}, length = 3, reverse = {reverse}, consts = 1, carry = 1}}")
    };
    let args = [lit("i32[]", &[10.0]), lit("i32[]", &[4.0]), lit("i32[3]", &[1.0, 2.0, 3.0])];
    check(&node(false), &args, &[lit("i32[]", &[4123.0]), lit("i32[3]", &[4.0, 41.0, 412.0])]);
    check(&node(true), &args, &[lit("i32[]", &[4321.0]), lit("i32[3]", &[432.0, 43.0, 4.0])]);
    check(
        &node(false).replace("length = 3", "length = 0"),
        &[args[0].clone(), args[1].clone(), lit("i32[0]", &[])],
        &[lit("i32[]", &[4.0]), lit("i32[0]", &[])],
    );
}

#[test]
fn scans_without_rows() {
    let body = "graph(%0: f32[2]) { %1 = add(%0, %0) : f32[2] return %1 }";
    let node = format!("scan(%0) {{body = {body}, length = 5, reverse = false, consts = 0, carry = 1}}");
    check(&node, &[lit("f32[2]", &[1.0, 3.0])], &[lit("f32[2]", &[32.0, 96.0])]);
}

#[test]
fn while_loops() {
    let node = "while(%0, %1, %2) {
        cond = graph(%0: i32[], %1: i32[]) { %2 = less(%1, %0) : bool[] return %2 },
        body = graph(%0: i32[], %1: i32[]) { %2 = multiply(%1, %0) : i32[] return %2 },
        cond_consts = 1, body_consts = 1}";
    let run = |limit: f64| [lit("i32[]", &[limit]), lit("i32[]", &[3.0]), lit("i32[]", &[1.0])];
    check(node, &run(100.0), &[lit("i32[]", &[243.0])]);
    check(node, &run(0.0), &[lit("i32[]", &[1.0])]);
}

#[test]
fn branches() {
    let node = "switch(%0, %1) {branches = [
        graph(%0: f32[]) { return %0 },
        graph(%0: f32[]) { %1 = negate(%0) : f32[] return %1 },
        graph(%0: f32[]) { %1 = add(%0, %0) : f32[] return %1 }]}";
    for (i, want) in [(0.0, 5.0), (1.0, -5.0), (2.0, 10.0), (-7.0, 5.0), (99.0, 10.0)] {
        check(node, &[lit("i32[]", &[i]), lit("f32[]", &[5.0])], &[lit("f32[]", &[want])]);
    }
}

#[test]
fn custom_rules_compute_their_primal() {
    let x = [lit("f32[]", &[3.0])];
    let want = [lit("f32[]", &[9.0])];
    let square = "graph(%0: f32[]) { %1 = multiply(%0, %0) : f32[] return %1 }";
    check(&format!("remat(%0) {{body = {square}}}"), &x, &want);
    let rule = "graph(%0: f32[], %1: f32[]) { return %0, %1 }";
    check(&format!("custom_jvp(%0) {{primal = {square}, rule = {rule}, consts = 0}}"), &x, &want);
    let node = format!(
        "custom_vjp(%0) {{primal = {square}, fwd = {rule_fwd}, bwd = {rule_bwd}, consts = 0, residuals = 1}}",
        rule_fwd = "graph(%0: f32[]) { return %0, %0 }",
        rule_bwd = "graph(%0: f32[], %1: f32[]) { return %1 }"
    );
    check(&node, &x, &want);
    let e = error("custom_linear(%0) {bwd = graph(%0: f32[]) { return %0 }, residuals = 0}", &x, "f32[]");
    assert_eq!(
        e,
        "custom_vjp: a function with custom_vjp cannot be differentiated in forward mode\n  \
         help: use reverse mode (`grad`, `vjp`), or give the function a custom_jvp rule instead"
    );
}

#[test]
fn named_axes_need_a_vmap() {
    let e = error("all_reduce(%0) {kind = \"sum\", axis_name = \"batch\"}", &[lit("f32[]", &[1.0])], "f32[]");
    assert_eq!(
        e,
        "all_reduce: no mapped axis is named \"batch\" here\n  help: wrap the function in vmap with this axis name"
    );
    let e = error("axis_index() {axis_name = \"i\"}", &[], "i32[]");
    assert!(e.starts_with("axis_index: no mapped axis is named \"i\" here"), "{e}");
}

#[test]
fn errors_inside_bodies_carry_their_line() {
    let text = "graph() {
        %0 = axis_index() {axis_name = \"i\"} : i32[] loc(\"model.rs\":12)
        return %0
    }";
    let e = eval(&parse(text).unwrap(), &[]).unwrap_err();
    assert_eq!(e.loc().file_line(), Some(("model.rs", 12)));
}
