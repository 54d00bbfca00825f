//! Each op on examples small enough to check by hand; larger ones were computed with XLA.

#![allow(clippy::cloned_ref_to_slice_refs)] // rows of a table read better in one form

mod control;
mod elementwise;
mod moving;
mod windows;

use gradloom_ir::eval::{ScalarOps, Wide, eval, eval_op};
use gradloom_ir::{Binary, Complex, DType, Literal, Op, Type, parse, with_element};

pub(super) const NAN: f64 = f64::NAN;
pub(super) const INF: f64 = f64::INFINITY;

/// The array `ty`, e.g. `f32[2,3]`, with elements converted from f64.
pub(super) fn lit(ty: &str, data: &[f64]) -> Literal {
    let (dtype, shape) = ty.strip_suffix(']').and_then(|t| t.split_once('[')).unwrap();
    let shape: Vec<usize> = shape.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect();
    with_element!(DType::from_name(dtype).unwrap(), T => {
        let data: Vec<T> = data.iter().map(|&x| <T as ScalarOps>::narrow(Wide::Float(x))).collect();
        Literal::new(&shape, &data)
    })
}

/// `0, 1, 2, ..`
pub(super) fn count(ty: &str) -> Literal {
    let n = ty.split(['[', ',', ']']).filter_map(|n| n.parse::<u32>().ok()).product();
    lit(ty, &(0..n).map(f64::from).collect::<Vec<_>>())
}

/// -3, -2, .., 3 over and over: small numbers without much symmetry.
pub(super) fn small(ty: &str) -> Literal {
    let data: Vec<f64> = count(ty).to_f64().iter().map(|x| x % 7.0 - 3.0).collect();
    lit(ty, &data)
}

/// Text of a program that applies one node to inputs of the given types.
fn program(node: &str, inputs: &[Literal], results: &str) -> String {
    let n = inputs.len();
    let params: Vec<String> = inputs.iter().enumerate().map(|(i, x)| format!("%{i}: {}", x.ty())).collect();
    let k = if results.is_empty() { 0 } else { results.matches(' ').count() + 1 };
    let outs: Vec<String> = (n..n + k).map(|i| format!("%{i}")).collect();
    let outs = outs.join(", ");
    format!("graph({}) {{ {outs} = {node} : {results} return {outs} }}", params.join(", "))
}

/// Equal types and elements; a NaN equals any other, 0 and -0 differ.
fn same(a: &Literal, b: &Literal) -> bool {
    let equal =
        |(a, b): (f64, f64)| (a == b && a.is_sign_negative() == b.is_sign_negative()) || (a.is_nan() && b.is_nan());
    a.ty() == b.ty() && a.to_f64().into_iter().zip(b.to_f64()).all(equal)
}

/// Runs a node, written as in the text form on operands `%0, %1, ..`, and compares its results.
#[track_caller]
pub(super) fn check(node: &str, inputs: &[Literal], want: &[Literal]) {
    let types: Vec<String> = want.iter().map(|w| w.ty().to_string()).collect();
    let text = program(node, inputs, &types.join(", "));
    let got = parse(&text).and_then(|g| eval(&g, inputs)).unwrap();
    let equal = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| same(g, w));
    assert!(equal, "{node} on {inputs:?}\n got {got:?}\nwant {want:?}");
}

/// The error of a node that passes its type check.
#[track_caller]
pub(super) fn error(node: &str, inputs: &[Literal], results: &str) -> String {
    let g = parse(&program(node, inputs, results)).unwrap();
    eval(&g, inputs).unwrap_err().to_string()
}

#[test]
fn inputs_are_checked() {
    let g = parse("graph(%0: f32[2]) { return %0 }").unwrap();
    assert_eq!(eval(&g, &[]).unwrap_err().to_string(), "eval: the program takes 1 inputs, got 0");
    assert_eq!(
        eval(&g, &[lit("i32[2]", &[0.0, 0.0])]).unwrap_err().to_string(),
        "eval: input 0 should be f32[2] but is i32[2]"
    );
}

#[test]
fn values_are_freed_only_after_their_last_use() {
    let text = "graph(%0: i32[]) {
        %1 = add(%0, %0) : i32[]
        %2 = multiply(%1, %0) : i32[]
        %3 = add(%2, %1) : i32[]
        return %3, %1, %1, %0
    }";
    let out = eval(&parse(text).unwrap(), &[lit("i32[]", &[3.0])]).unwrap();
    assert_eq!(out.iter().map(|x| x.get_f64(0)).collect::<Vec<_>>(), [24.0, 6.0, 6.0, 3.0]);
}

#[test]
fn one_op_is_evaluated_and_its_types_checked() {
    let x = lit("f32[2]", &[1.0, 2.0]);
    let op = Op::Binary(Binary::Add);
    let ty = x.ty().clone();
    assert_eq!(eval_op(&op, &[x.clone(), x.clone()], &[ty]).unwrap(), [lit("f32[2]", &[2.0, 4.0])]);
    assert!(eval_op(&op, std::slice::from_ref(&x), &[x.ty().clone()]).is_err());
    assert!(eval_op(&op, &[x.clone(), x], &[Type::scalar(DType::F32)]).is_err());
}

#[test]
fn results_that_fit_in_no_memory_are_an_error() {
    let e = error(
        "broadcast_in_dim(%0) {shape = [1099511627776], dims = []}",
        &[lit("f64[]", &[0.0])],
        "f64[1099511627776]",
    );
    assert!(e.starts_with("broadcast_in_dim: no memory"), "{e}");
}

#[test]
fn empty_axes_behind_long_ones_take_no_time() {
    let x = lit("f32[1099511627776,0]", &[]);
    check("transpose(%0) {perm = [1, 0]}", &[x.clone()], &[lit("f32[0,1099511627776]", &[])]);
    check("reduce(%0) {kind = \"sum\", axes = [0]}", &[x.clone()], &[lit("f32[0]", &[])]);
    check("cumulative(%0) {kind = \"sum\", axis = 1, reverse = false}", &[x.clone()], &[x.clone()]);
    check("concatenate(%0, %0) {axis = 1}", &[x.clone()], &[x]);
}

#[test]
fn lengths_with_factors_and_primes_match_the_sum() {
    type C = Complex<f64>;
    for n in 1..40 {
        let x: Vec<C> = (0..n).map(|i| C::new((i * i % 7) as f64 - 3.0, (i % 5) as f64)).collect();
        let input = Literal::new(&[n], &x);
        let node = format!("fft(%0) {{kind = \"fft\", lengths = [{n}]}}");
        let text = program(&node, std::slice::from_ref(&input), &format!("c128[{n}]"));
        let y = parse(&text).and_then(|g| eval(&g, &[input])).unwrap();
        for (k, y) in y[0].to_numbers().chunks_exact(2).enumerate() {
            let root = |j: usize| C::cis(-std::f64::consts::TAU * (j * k % n) as f64 / n as f64);
            let want: C = x.iter().enumerate().map(|(j, x)| x * root(j)).sum();
            assert!((C::new(y[0], y[1]) - want).norm() < 1e-11, "{n} at {k}: {y:?} instead of {want}");
        }
    }
}
