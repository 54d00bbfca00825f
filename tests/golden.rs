//! Six small programs as text: as traced, optimised, and as loop nests. `UPDATE_EXPECT=1 cargo test` rewrites the
//! files under `golden/`; the diff is to be read.

use expect_test::expect_file;
use gradloom::prelude::*;
use gradloom::{Tensor, Tree};
use gradloom_backends::cpu::loop_nests;

/// The text without source positions, which change with every edit.
fn plain(text: &str) -> String {
    text.lines().map(|l| l.split(" loc(").next().unwrap_or(l)).collect::<Vec<_>>().join("\n")
}

fn check<A: Tree, B: Tree>(f: impl Fn(&A) -> B, args: &A, nests: bool, file: expect_test::ExpectFile) {
    let low = jit(f).lower(args).unwrap_or_else(|e| panic!("{e}"));
    let mut text = format!("traced\n{}\n\noptimised\n{}\n", plain(&low.traced_text()), plain(&low.text()));
    if nests {
        for nest in loop_nests(low.graph()).unwrap_or_else(|e| panic!("{e}")) {
            text += &format!("\n{nest}\n");
        }
    }
    file.assert_eq(&text);
}

#[test]
fn gradient_of_a_layer() {
    let f = |(w, b, x): &(Tensor, Tensor, Tensor)| (x.matmul(w) + b).tanh().square().sum(..);
    let args = (Tensor::ones([3, 4]), Tensor::ones([4]), Tensor::ones([2, 3]));
    check(grad(f), &args, false, expect_file!["golden/gradient_of_a_layer.txt"]);
}

#[test]
fn vmap_of_a_gradient() {
    let f = vmap(grad(|v: &Tensor| (v.sin() * v).sum(..)));
    check(f, &Tensor::ones([4, 3]), false, expect_file!["golden/vmap_of_a_gradient.txt"]);
}

#[test]
fn gradient_of_a_scan() {
    let f = |(w, xs): &(Tensor, Tensor)| {
        scan(|c: &Tensor, x: &Tensor| ((c * w + x).tanh(), ()), &Tensor::from(0.0f32), xs).0
    };
    check(grad(f), &(Tensor::from(1.0f32), Tensor::ones([5])), false, expect_file!["golden/gradient_of_a_scan.txt"]);
}

#[test]
fn vmap_of_a_branch() {
    let f = vmap(|(p, x): &(Tensor, Tensor)| cond(p, |x: &Tensor| x.exp(), |x: &Tensor| -x, x));
    let args = (Tensor::from_vec(vec![true, false]), Tensor::ones([2, 3]));
    check(f, &args, false, expect_file!["golden/vmap_of_a_branch.txt"]);
}

#[test]
fn softmax_becomes_four_loop_nests() {
    check(|x: &Tensor| x.softmax(-1), &Tensor::ones([8, 32]), true, expect_file!["golden/softmax.txt"]);
}

#[test]
fn one_loop_nest_updates_adam() {
    let f = |(p, g, m, v): &(Tensor, Tensor, Tensor, Tensor)| {
        let m = m * 0.9 + g * 0.1;
        let v = v * 0.999 + g.square() * 0.001;
        (p - &m / (v.sqrt() + 1e-8) * 1e-3, m, v)
    };
    let t = || Tensor::ones([16, 8]);
    check(f, &(t(), t(), t(), t()), true, expect_file!["golden/adam.txt"]);
}
