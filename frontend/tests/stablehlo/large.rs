//! Large texts are read in time that grows with their size alone.

use gradloom_frontend::stablehlo::import;
use std::time::{Duration, Instant};

/// What only time that grows with the square of the size exceeds: compiled for speed, the texts of this file, of about
/// 10 MB each, take half a second at most on one core (`cargo test --release large -- --nocapture` prints it).
const MOST: Duration = Duration::from_secs(60);

#[track_caller]
fn is_read(what: &str, text: &str, nodes: usize) {
    let begun = Instant::now();
    let g = import(text).expect("it is right");
    let time = begun.elapsed();
    eprintln!(
        "{what}: {:.1} MB, {} nodes, {:.0} ms",
        text.len() as f64 / 1e6,
        g.nodes().len(),
        time.as_secs_f64() * 1e3
    );
    assert!(g.nodes().len() >= nodes && time < MOST, "{what}: {} nodes in {time:?}", g.nodes().len());
}

const T: &str = "tensor<16xf32>";

#[test]
fn a_hundred_thousand_ops() {
    let n = 100_000;
    let ops = ["add", "multiply", "subtract", "maximum"];
    let line = |i: usize| {
        let last = if i == 0 { "%x".into() } else { format!("%{}", i - 1) };
        format!("    %{i} = stablehlo.{} {last}, %x : {T} loc(\"/home/user/model.py\":{i}:4)\n", ops[i % 4])
    };
    let body: String = (0..n).map(line).collect();
    is_read("ops", &format!("func.func @main(%x: {T}) -> {T} {{\n{body}    return %{} : {T}\n}}", n - 1), n);
}

#[test]
fn constants() {
    let n = 1 << 20;
    let digits: String = (0..n as u32).map(|i| format!("{:08X}", i.wrapping_mul(2_654_435_761))).collect();
    let program = |value: &str, ty: &str| {
        format!("func.func @main() -> {ty} {{\n %0 = stablehlo.constant dense<{value}> : {ty}\n return %0 : {ty}\n}}")
    };
    is_read("blob", &program(&format!("\"0x{digits}\""), &format!("tensor<{n}xf32>")), 1);
    let rows = 70_000;
    let row = |i: usize| {
        let elements: Vec<String> = (0..10).map(|j| format!("{:.6e}", ((i * 10 + j) as f64).sin())).collect();
        format!("[{}]", elements.join(", "))
    };
    let list: Vec<String> = (0..rows).map(row).collect();
    is_read("list", &program(&format!("[{}]", list.join(", ")), &format!("tensor<{rows}x10xf32>")), 1);
}

#[test]
fn many_functions() {
    let n = 25_000;
    let call = |i: usize| {
        let last = if i == 0 { "%x".into() } else { format!("%{}", i - 1) };
        format!("  %{i} = call @f{i}({last}) : ({T}) -> {T}\n")
    };
    let function = |i: usize| {
        format!(
            "func.func private @f{i}(%x: {T}) -> {T} {{
  %c = stablehlo.constant dense<{i}.0> : {T}
  %0 = stablehlo.add %x, %c : {T}
  %1 = stablehlo.sine %0 : {T}
  %2 = stablehlo.multiply %1, %x : {T}
  return %2 : {T}
}}
"
        )
    };
    let calls: String = (0..n).map(call).collect();
    let functions: String = (0..n).map(function).collect();
    let text = format!("func.func @main(%x: {T}) -> {T} {{\n{calls}  return %{} : {T}\n}}\n{functions}", n - 1);
    is_read("functions", &text, 4 * n);
}

/// What regions take from around them is looked up, not searched for.
#[test]
fn regions_that_capture_much() {
    let n = 20_000;
    let chain = |name: &str, op: &str, with: &dyn Fn(usize) -> String| -> String {
        let line = |i: usize| {
            let last = if i == 0 { "%x".into() } else { format!("%{name}{}", i - 1) };
            format!("    %{name}{i} = stablehlo.{op} {last}{} : {T}\n", with(i))
        };
        (0..n).map(line).collect()
    };
    let outside = chain("v", "sine", &|_| String::new());
    let inside = |op: &str| chain("w", op, &|i| format!(", %v{i}"));
    let end = format!("    stablehlo.return %w{} : {T}\n", n - 1);
    let text = format!(
        "func.func @main(%p: tensor<i1>, %x: {T}) -> {T} {{\n{outside}  %r = \"stablehlo.if\"(%p) ({{\n{}{end}  }}, {{\n{}{end}  }}) : (tensor<i1>) -> {T}\n  return %r : {T}\n}}",
        inside("add"),
        inside("multiply")
    );
    is_read("captures", &text, n);
}
