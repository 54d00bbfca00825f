//! Programs read from StableHLO text. What programs compute is checked by `gradloom check` on the files in `programs/`
//! (expectations by XLA) in the command line program's tests.

mod hostile;
mod large;

use gradloom_frontend as gradloom;
use gradloom_frontend::prelude::*;
use gradloom_frontend::stablehlo::{Function, import};

/// A function of one f32 vector of length 2 with the given lines.
fn body(lines: &str) -> String {
    format!("func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {{\n{lines}\nreturn %y : tensor<2xf32>\n}}")
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    let e = import(text).expect_err("the text is wrong").to_string();
    let e = e.lines().next().unwrap_or_default();
    assert_eq!(e, expected);
}

#[test]
fn errors_have_line_column_and_op() {
    fails("", "stablehlo: text:1:1: there is no function `main`");
    fails("func.func @main(", "stablehlo: text:1:17: expected a type, found the end of the text");
    fails(&body("%y = stablehlo.add %x, %z : tensor<2xf32>"), "stablehlo: text:2:24: %z is not defined here");
    fails(
        &body("  %y = stablehlo.quux %x : tensor<2xf32>"),
        "stablehlo: text:2:8: stablehlo.quux: this op is not supported",
    );
    fails(
        &body("%y = stablehlo.add %x, %x : tensor<3xf32>"),
        "stablehlo: text:2:6: stablehlo.add: the result is f32[2], not f32[3]",
    );
    fails(
        &body("%y = stablehlo.add %x : tensor<2xf32>"),
        "stablehlo: text:2:6: stablehlo.add: takes 2 operands, got 1",
    );
    fails(
        &body("%y = stablehlo.not %x : tensor<2xf32>"),
        "stablehlo: text:2:6: stablehlo.not: not: dtype f32 is not allowed, expected an integer or bool",
    );
    fails(
        &body("%y = stablehlo.constant dense<[1.0, 2.0, 3.0]> : tensor<2xf32>"),
        "stablehlo: text:2:25: a list of shape [3] for a constant of type f32[2]",
    );
    fails(
        &body("%y = stablehlo.constant dense<[1.0, oops]> : tensor<2xf32>"),
        "stablehlo: text:2:37: `oops` is no element of type f32",
    );
    fails(
        &body("%y = stablehlo.constant dense<\"0x0000\"> : tensor<2xf32>"),
        "stablehlo: text:2:25: 0 elements for a constant of type f32[2]",
    );
    fails(
        &body("%y = call @f(%x) : (tensor<2xf32>) -> tensor<2xf32>"),
        "stablehlo: text:2:6: call: there is no function @f",
    );
    fails(
        &body("%y = call @main(%x) : (tensor<2xf32>) -> tensor<2xf32>"),
        "stablehlo: text:2:6: function @main calls itself",
    );
}

#[test]
fn what_has_no_meaning_here_is_refused_by_name() {
    fails(
        "func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> { return %x : tensor<?xf32> }",
        "stablehlo: text:1:1: dynamic shapes are not supported: lower the program for the shapes it will run on",
    );
    fails(
        &body(
            "%y = stablehlo.dynamic_pad %x, %x, %x, %x, %x : (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>",
        ),
        "stablehlo: text:2:6: stablehlo.dynamic_pad: dynamic shapes are not supported: lower the program for the shapes it will run on",
    );
    fails(
        &body("%t = stablehlo.create_token : !stablehlo.token"),
        "stablehlo: text:2:6: stablehlo.create_token: tokens and feeds are not supported",
    );
    fails(
        &body("%y = stablehlo.uniform_quantize %x : (tensor<2xf32>) -> tensor<2x!quant.uniform<i8:f32, 0.1>>"),
        "stablehlo: text:2:6: stablehlo.uniform_quantize: quantised types are not supported",
    );
    fails(
        &body(
            "%y = \"stablehlo.all_reduce\"(%x) <{replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>}> ({\n^bb0(%a: tensor<f32>, %b: tensor<f32>):\n%s = stablehlo.add %a, %b : tensor<f32>\nstablehlo.return %s : tensor<f32>\n}) : (tensor<2xf32>) -> tensor<2xf32>",
        ),
        "stablehlo: text:2:6: stablehlo.all_reduce: operations between several devices are not supported",
    );
    fails(
        &body(
            "%y = sdy.manual_computation(%x) in_shardings=[<@m, [{\"a\"}]>] out_shardings=[<@m, [{\"a\"}]>] manual_axes={\"a\"} (%a: tensor<1xf32>) { sdy.return %a : tensor<1xf32> } : (tensor<2xf32>) -> tensor<2xf32>",
        ),
        "stablehlo: text:2:6: sdy.manual_computation: operations between devices are not supported",
    );
    fails(
        &body(
            "%y = stablehlo.custom_call @xla_ffi_python_cpu_callback(%x) {mhlo.backend_config = {index = 0 : ui64}} : (tensor<2xf32>) -> tensor<2xf32>",
        ),
        "stablehlo: text:2:6: stablehlo.custom_call: a call of @xla_ffi_python_cpu_callback, which is outside the program, is not supported",
    );
    fails(
        "func.func @main(%t: !stablehlo.token {jax.token = true}, %x: tensor<2xf32>) -> tensor<2xf32> { return %x : tensor<2xf32> }",
        "stablehlo: text:1:1: values of type stablehlo.token are not supported",
    );
    fails(
        "func.func @main(%a: tensor<2x2xf32>) -> tensor<2xf32> {\n%y:2 = stablehlo.custom_call @lapack_sgeqrf_ffi(%a) {mhlo.backend_config = {}} : (tensor<2x2xf32>) -> (tensor<2x2xf32>, tensor<2xf32>)\nreturn %y#1 : tensor<2xf32>\n}",
        "stablehlo: text:2:8: reflectors of geqrf are read otherwise than by orgqr and ormqr, which is not supported",
    );
    fails(
        "func.func @main(%n: tensor<1xi64>, %x: tensor<2xf32>) -> tensor<2xf32> {\n%y = stablehlo.real_dynamic_slice %x, %n, %n, %n : (tensor<2xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<2xf32>\nreturn %y : tensor<2xf32>\n}",
        "stablehlo: text:2:6: stablehlo.real_dynamic_slice: dynamic shapes are not supported: lower the program for the shapes it will run on",
    );
    fails(
        "func.func @main(%x: tensor<2xf8E4M3FN>) -> tensor<2xf8E4M3FN> { return %x : tensor<2xf8E4M3FN> }",
        "stablehlo: text:1:1: dtype f8E4M3FN is not supported",
    );
}

#[test]
fn shardings_layouts_and_positions_are_read_over() {
    let text = r#"
#loc1 = loc("x")
#map = affine_map<(d0) -> (d0)>
module @jit_f attributes {mhlo.num_partitions = 1 : i32} {
  sdy.mesh @mesh = <["x"=2, "y"=2]>
  func.func public @main(%arg0: tensor<2xf32> {mhlo.sharding = "{replicated}", sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>} loc("x")) -> (tensor<2xf32> {jax.result_info = "result"}) {
    %0 = stablehlo.custom_call @Sharding(%arg0) {backend_config = "", mhlo.sharding = "{devices=[2]}"} : (tensor<2xf32>) -> tensor<2xf32> loc(#loc2)
    %1 = sdy.sharding_constraint %0 <@mesh, [{"x"}]> : tensor<2xf32>
    %2 = "stablehlo.custom_call"(%1) <{call_target_name = "Sharding"}> : (tensor<2xf32>) -> tensor<2xf32> loc(callsite("f"("a.py":1:2) at "b.py":3:4))
    return %2 : tensor<2xf32> loc(unknown)
  } loc(#loc1)
} loc(#loc)
#loc2 = loc("y"(#loc1))
{-#
  external_resources: {}
#-}
"#;
    let g = import(text).expect("it is read");
    assert_eq!(g.nodes().len(), 0);
}

#[test]
fn the_generic_form_of_whole_modules() {
    let text = r#"
"builtin.module"() <{sym_name = "m"}> ({
  "func.func"() <{function_type = (tensor<2xf32>) -> tensor<2xf32>, sym_name = "main"}> ({
  ^bb0(%arg0: tensor<2xf32>):
    %0 = "stablehlo.tanh"(%arg0) : (tensor<2xf32>) -> tensor<2xf32>
    "func.return"(%0) : (tensor<2xf32>) -> ()
  }) {sym_visibility = "public"} : () -> ()
}) : () -> ()
"#;
    let g = import(text).expect("it is read");
    assert_eq!(g.to_string().matches("tanh").count(), 1);
}

#[track_caller]
fn close(a: Tensor, b: Tensor) -> gradloom::Result<()> {
    let (a, b) = (a.to_vec::<f32>()?, b.to_vec::<f32>()?);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0)), "{a:?} {b:?}");
    Ok(())
}

#[test]
fn a_program_is_a_function_like_any_other() -> gradloom::Result<()> {
    // a scan as JAX lowers it: the counted loop has derivatives in both modes
    let f = Function::from_text(
        "func.func @main(%x: tensor<f32>, %n: tensor<i32>) -> (tensor<f32>, tensor<i32>) {
           %c = stablehlo.constant dense<0> : tensor<i32>
           %0:2 = stablehlo.while(%i = %c, %s = %x) : tensor<i32>, tensor<f32>
           cond {
             %limit = stablehlo.constant dense<3> : tensor<i32>
             %p = stablehlo.compare LT, %i, %limit, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
             stablehlo.return %p : tensor<i1>
           } do {
             %one = stablehlo.constant dense<1> : tensor<i32>
             %j = stablehlo.add %i, %one : tensor<i32>
             %t = stablehlo.multiply %s, %s : tensor<f32>
             %u = stablehlo.add %t, %x : tensor<f32>
             stablehlo.return %j, %u : tensor<i32>, tensor<f32>
           }
           %1 = stablehlo.add %0#0, %n : tensor<i32>
           return %0#1, %1 : tensor<f32>, tensor<i32>
         }",
    )?;
    let n = Tensor::from(2i32);
    let run = |x: &Tensor| f.call(&[x.clone(), n.clone()])[0].clone();
    let by_hand = |x: &Tensor| (0..3).fold(x.clone(), |s, _| &s * &s + x);
    let x = Tensor::from(0.3f32);
    close(run(&x), by_hand(&x))?;
    close(grad(run)(&x), grad(by_hand)(&x))?;
    close(jvp(run, &x, &Tensor::from(2.0f32)).1, jvp(by_hand, &x, &Tensor::from(2.0f32)).1)?;
    close(grad(grad(run))(&x), grad(grad(by_hand))(&x))?;
    let xs = Tensor::from_slice([3], &[0.1f32, 0.2, 0.3]);
    close(jit(vmap(grad(run))).call(&xs)?, vmap(grad(by_hand))(&xs))?;
    assert_eq!(f.call(&[x.clone(), n.clone()])[1].item::<i32>()?, 5);
    let e = f.call(&[x])[0].item::<f32>().expect_err("an input is missing").to_string();
    assert!(e.starts_with("call: the program takes 2 inputs, got 1"), "{e}");
    Ok(())
}

#[test]
fn rounding_to_another_format_passes_tangents() -> gradloom::Result<()> {
    let f = Function::from_text(&body("%y = stablehlo.reduce_precision %x, format = e5m2 : tensor<2xf32>"))?;
    let x = Tensor::from_slice([2], &[1.1f32, -3.4]);
    let run = |x: &Tensor| f.call(std::slice::from_ref(x))[0].clone();
    assert_eq!(run(&x).to_vec::<f32>()?, [1.0, -3.5]);
    assert_eq!(grad(|x: &Tensor| run(x).sum(..))(&x).to_vec::<f32>()?, [1.0, 1.0]);
    Ok(())
}

/// The loop of a scan, forward or from the back, reading rows of one array and writing rows of another.
fn rows(reverse: bool) -> String {
    let index = if reverse {
        "%last = stablehlo.constant dense<3> : tensor<i32>\n%k = stablehlo.subtract %last, %i : tensor<i32>"
    } else {
        "%none = stablehlo.constant dense<0> : tensor<i32>\n%k = stablehlo.add %i, %none : tensor<i32>"
    };
    format!(
        "func.func @main(%c0: tensor<2xf32>, %xs: tensor<4x2xf32>) -> (tensor<2xf32>, tensor<4x2xf32>, tensor<4x2xf32>) {{
           %c = stablehlo.constant dense<0> : tensor<i32>
           %z = stablehlo.constant dense<0.0> : tensor<4x2xf32>
           %0:4 = stablehlo.while(%x = %xs, %i = %c, %s = %c0, %ys = %z) : tensor<4x2xf32>, tensor<i32>, tensor<2xf32>, tensor<4x2xf32>
           cond {{
             %n = stablehlo.constant dense<4> : tensor<i32>
             %p = stablehlo.compare LT, %i, %n, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
             stablehlo.return %p : tensor<i1>
           }} do {{
             {index}
             %zero = stablehlo.constant dense<0> : tensor<i32>
             %r = stablehlo.dynamic_slice %x, %k, %zero, sizes = [1, 2] : (tensor<4x2xf32>, tensor<i32>, tensor<i32>) -> tensor<1x2xf32>
             %row = stablehlo.reshape %r : (tensor<1x2xf32>) -> tensor<2xf32>
             %t = stablehlo.multiply %s, %row : tensor<2xf32>
             %u = stablehlo.sine %t : tensor<2xf32>
             %v = stablehlo.broadcast_in_dim %t, dims = [1] : (tensor<2xf32>) -> tensor<1x2xf32>
             %w = stablehlo.dynamic_update_slice %ys, %v, %k, %zero : (tensor<4x2xf32>, tensor<1x2xf32>, tensor<i32>, tensor<i32>) -> tensor<4x2xf32>
             %one = stablehlo.constant dense<1> : tensor<i32>
             %j = stablehlo.add %i, %one : tensor<i32>
             stablehlo.return %x, %j, %u, %w : tensor<4x2xf32>, tensor<i32>, tensor<2xf32>, tensor<4x2xf32>
           }}
           return %0#2, %0#3, %0#0 : tensor<2xf32>, tensor<4x2xf32>, tensor<4x2xf32>
         }}"
    )
}

#[test]
fn loops_over_rows_are_scans() -> gradloom::Result<()> {
    for reverse in [false, true] {
        let f = Function::from_text(&rows(reverse))?;
        let text = f.graph().to_string();
        // rows are scanned over and stacked: nothing is sliced or updated by the counter
        assert!(text.contains("scan") && !text.contains("dynamic"), "{text}");
        let c = Tensor::from_slice([2], &[0.5f32, -1.5]);
        let xs = Tensor::from_slice([4, 2], &[0.3f32, 1.0, -0.7, 2.0, 1.1, 0.4, -1.3, 0.9]);
        let step = |s: &Tensor, row: &Tensor| ((s * row).sin(), s * row);
        let native = |(c, xs): &(Tensor, Tensor)| {
            let (last, ys) = if reverse { scan_reverse(step, c, xs) } else { scan(step, c, xs) };
            (last, ys, xs.clone())
        };
        let imported = |(c, xs): &(Tensor, Tensor)| {
            let out = f.call(&[c.clone(), xs.clone()]);
            (out[0].clone(), out[1].clone(), out[2].clone())
        };
        let args = (c, xs);
        let (a, b) = (imported(&args), native(&args));
        assert_eq!(a.0.to_vec::<f32>()?, b.0.to_vec::<f32>()?);
        assert_eq!(a.1.to_vec::<f32>()?, b.1.to_vec::<f32>()?);
        assert_eq!(a.2.to_vec::<f32>()?, b.2.to_vec::<f32>()?);
        let loss = |(a, b, _): (Tensor, Tensor, Tensor)| a.sum(..) + (&b * &b).sum(..);
        let (a, b) = (grad(|x| loss(imported(x)))(&args), grad(|x| loss(native(x)))(&args));
        close(a.0, b.0)?; // sums of two terms, in either order
        close(a.1, b.1)?;
    }
    Ok(())
}
