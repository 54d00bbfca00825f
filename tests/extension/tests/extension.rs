//! Gradloom, extended from outside.

use gradloom::passes::Pipeline;
use gradloom::prelude::*;
use gradloom::{Error, Result, ir};
use gradloom_extension::axis_names::axis_names;
use gradloom_extension::first_difference::{FirstDifference, first_difference};
use gradloom_extension::interval::{Interval, interval};
use gradloom_extension::{logdet::logdet, lookup::lookup, mixed_precision::MixedPrecision};
use gradloom_extension::{operations::operations, softplus::stable_logarithms, sparsity::jacobian_sparsity};

fn values(x: &Tensor) -> Vec<f64> {
    x.to_f64_vec().unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
    let (x, y) = (values(a), values(b));
    assert_eq!(a.shape(), b.shape());
    let far = x.iter().zip(&y).find(|(x, y)| (*x - *y).abs() > tolerance * (1.0 + y.abs()));
    assert!(far.is_none(), "{far:?} in\n{a}\n{b}");
}

/// Symmetric positive definite matrices.
fn matrices(n: usize) -> Tensor {
    let a = random::normal(&Key::new(3), [n, 6, 4]).to(DType::F64);
    a.mt().matmul(&a)
}

#[test]
fn an_op_by_a_function_is_differentiated_mapped_and_compiled() -> Result<()> {
    let op = logdet();
    let a = matrices(3);
    let f = |a: &Tensor| op.call(&[a]).remove(0);
    let expected = vmap(|a: &Tensor| linalg::slogdet(a).1)(&a);
    close(&vmap(f)(&a), &expected, 1e-12);
    close(&jit(vmap(f)).call(&a)?, &expected, 1e-12);
    let inverse = vmap(linalg::inv)(&a);
    close(&jit(vmap(grad(f))).call(&a)?, &inverse, 1e-10);
    // the derivative of the inverse: second order by the op's own rule
    let second = |a: &Tensor| grad(|a: &Tensor| grad(f)(a).sum(..))(a);
    let known = |a: &Tensor| grad(|a: &Tensor| linalg::inv(a).sum(..))(a);
    close(&second(&a.i(0)), &known(&a.i(0)), 1e-9);
    Ok(())
}

#[test]
fn an_op_by_other_ops_is_fused_and_has_its_own_derivative() -> Result<()> {
    let op = lookup(&[-1.0, 0.0, 0.5, 2.0]);
    let f = |x: &Tensor| op.call(&[x]).remove(0);
    let x = Tensor::from([-3.0f32, -0.4, 0.2, 0.3, 1.0, 9.0]);
    let nearest = [-1.0f32, 0.0, 0.0, 0.5, 0.5, 2.0];
    assert_eq!(f(&x).to_vec::<f32>()?, nearest);
    assert_eq!(jit(f).call(&x)?.to_vec::<f32>()?, nearest);
    assert_eq!(jit(vmap(f)).call(&x)?.to_vec::<f32>()?, nearest);
    let g = grad(|x: &Tensor| (f(x) * x).sum(..));
    assert_eq!(jit(g).call(&x)?.to_vec::<f32>()?, [-4.0, -0.4, 0.2, 0.8, 1.5, 11.0]);
    // one node for passes, one loop for the machine
    let lowered = jit(|x: &Tensor| f(&(x * 2.0)).exp()).lower(&x)?;
    assert!(lowered.text().contains("\"lookup\""), "{}", lowered.text());
    let again = ir::parse(&lowered.text())?;
    assert_eq!(again.to_string(), lowered.graph().to_string());
    assert_eq!(lowered.compile()?.schedule().matches("kernel").count(), 1);
    assert!(jit(f).lower(&x)?.stablehlo()?.contains("stablehlo.select"));
    Ok(())
}

#[test]
fn an_op_by_a_loop_nest_is_compiled_as_it_is_written() -> Result<()> {
    let op = first_difference();
    let f = |x: &Tensor| op.call(&[x]).remove(0);
    let x = random::normal(&Key::new(3), [5, 70]);
    let known = |x: &Tensor| x.i((.., 1..)) - x.i((.., ..69));
    assert_eq!(values(&f(&x)), values(&known(&x)));
    let compiled = jit(f).lower(&x)?.compile()?;
    assert_eq!(values(&compiled.call(&x)?), values(&known(&x)));
    assert!(compiled.schedule().contains("kernel") && compiled.schedule().contains("first_difference"));
    assert_eq!(values(&vmap(f)(&x)), values(&known(&x)));
    let got = jit(grad(|x: &Tensor| f(x).square().sum(..))).call(&x)?;
    close(&got, &grad(|x: &Tensor| known(x).square().sum(..))(&x), 1e-6);
    Ok(())
}

/// Loop nests that anybody may write are checked before they run.
#[test]
fn loop_nests_that_are_wrong_are_refused() {
    use gradloom::{CustomOp, custom_op, kernel::LoopNest};
    type Break = fn(&mut LoopNest);
    struct Broken(Break);
    impl CustomOp for Broken {
        fn name(&self) -> &str {
            "broken"
        }
        fn shape(&self, args: &[ir::Type]) -> Result<Vec<ir::Type>> {
            FirstDifference.shape(args)
        }
        fn kernel(&self, args: &[ir::Type]) -> Option<LoopNest> {
            let mut nest = FirstDifference.kernel(args)?;
            (self.0)(&mut nest);
            Some(nest)
        }
    }
    let cases: [(Break, &str); 5] = [
        (|n| n.axes[1].extent += 5, "kernel first_difference"),
        (|n| n.axes[0].extent = 1, "do not write the"),
        (|n| n.params[0].len += 1, "are not the operands"),
        (|n| n.stores[0].param = 0, "do not write the"),
        (|n| n.stores.clear(), "do not write the"),
    ];
    let x = random::normal(&Key::new(3), [5, 70]);
    for (how, what) in cases {
        let op = custom_op(Broken(how));
        for e in
            [jit(|x: &Tensor| op.call(&[x]).remove(0)).call(&x).unwrap_err(), op.call(&[&x])[0].check().unwrap_err()]
        {
            assert!(e.op() == "broken" && e.message().contains(what), "{e}");
        }
    }
}

#[test]
fn mistakes_in_ops_are_errors_that_name_them() {
    use gradloom::{CustomOp, custom_op};
    struct Bad;
    impl CustomOp for Bad {
        fn name(&self) -> &str {
            "bad"
        }
        fn shape(&self, args: &[ir::Type]) -> Result<Vec<ir::Type>> {
            Ok(args.to_vec())
        }
        fn eval(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
            if x[0].size() == 2 { panic!("two is one too many") } else { Ok(vec![x[0].sum(..)]) }
        }
        fn jvp(&self, x: &[Tensor], _: &[Tensor], _: &[Tensor]) -> Option<Vec<Tensor>> {
            Some(vec![x[0].sum(..)])
        }
    }
    let bad = custom_op(Bad);
    let complaint = |t: Tensor| t.check().expect_err("a mistake").to_string();
    let call = |n: usize| bad.call(&[&Tensor::zeros([n])]).remove(0);
    assert!(complaint(call(2)).contains("two is one too many"));
    assert!(complaint(call(3)).contains("bad: the function gives"), "{}", complaint(call(3)));
    let derivative = grad(|x: &Tensor| bad.call(&[x]).remove(0).sum(..))(&Tensor::zeros([3]));
    assert!(complaint(derivative).contains("the jvp rule gives"));
    let wrong = logdet().call(&[&Tensor::zeros([2, 3])]).remove(0);
    assert!(complaint(wrong.clone()).contains("one square matrix") && complaint(wrong).contains("extension.rs"));
    let jvp_of = jvp(|x: &Tensor| logdet().call(&[x]).remove(0), &Tensor::eye(2), &Tensor::eye(2)).1;
    assert!(complaint(jvp_of).contains("reverse"));
    let e = jit(|x: &Tensor| logdet().call(&[x]).remove(0)).lower(&Tensor::eye(2)).and_then(|l| l.stablehlo());
    assert!(e.unwrap_err().to_string().contains("cannot be exported"));
}

#[test]
fn rules_make_logarithms_stable() -> Result<()> {
    let f = |x: &Tensor| (x.exp() + 1.0).log() + ((x.exp() + (x * 2.0).exp()).log());
    let stable = jit(f).pipeline(|p| p.after("simplify", stable_logarithms().unwrap_or_else(|e| panic!("{e}"))));
    let x = Tensor::from([-1.0f64, 0.0, 2.0, 800.0]);
    let y = stable.call(&x)?;
    close(&y.i(0..3), &f(&x).i(0..3), 1e-14);
    assert_eq!((values(&f(&x))[3], values(&y)[3]), (f64::INFINITY, 2400.0));
    Ok(())
}

#[test]
fn a_pass_computes_products_in_bf16() -> Result<()> {
    let (x, w) = (random::normal(&Key::new(0), [64, 64]), random::normal(&Key::new(1), [64, 64]));
    let loss = |w: &Tensor| x.matmul(w).tanh().square().sum(..);
    let step = |w: &Tensor| w - grad(loss)(w) * 0.01;
    let mixed = jit(step).pipeline(|p: Pipeline| p.push(MixedPrecision { least: 1 << 12 }));
    assert!(mixed.lower(&w)?.text().contains("bf16[64,64]"));
    let (got, exact) = (mixed.call(&w)?, step(&w));
    close(&got, &exact, 0.02);
    assert!(values(&got) != values(&exact));
    Ok(())
}

#[test]
fn operations_are_counted_by_op() -> Result<()> {
    let w = Tensor::ones([8, 4]);
    let count = operations(|x: &Tensor| (x.matmul(&w).tanh() + 1.0).sum(..), &Tensor::ones([16, 8]))?;
    let expected = [("add", 64), ("dot_general", 1024), ("reduce", 64), ("tanh", 64)];
    assert_eq!(count.0.into_iter().collect::<Vec<_>>(), expected);
    let steps = operations(|x: &Tensor| fori_loop(0..5, |_, x: &Tensor| x * 2.0, x), &Tensor::ones([3]))?;
    assert_eq!(steps.0.get("multiply"), Some(&15));
    Ok(())
}

#[test]
fn bounds_hold_everywhere_in_the_box() -> Result<()> {
    let key = Key::new(5);
    let (w, v) = (random::normal(&key.fold_in(0), [4, 16]), random::normal(&key.fold_in(1), [16, 3]));
    let f = |x: &Tensor| {
        let h = (x.matmul(&w) - 0.3).tanh();
        (h.matmul(&v) * (x.sum(..) * 0.2)).abs() / 2.0 - x.max(..)
    };
    let x = Tensor::from([0.1f32, -0.5, 0.3, 1.0]);
    let around = |r: f64| Interval { low: &x - r, high: &x + r };
    let bounds = jit(interval(f));
    let b = bounds.call(&around(0.1))?;
    for i in 0..200 {
        let y = f(&(&x + (random::uniform(&key.fold_in(10 + i), [4]) - 0.5) * 0.2));
        for ((y, low), high) in values(&y).iter().zip(values(&b.low)).zip(values(&b.high)) {
            assert!(low - 1e-5 <= *y && *y <= high + 1e-5, "{y} is not within {low} and {high}");
        }
    }
    // of a point the bounds are the value, and they widen with the box
    let point = bounds.call(&around(0.0))?;
    close(&point.low, &f(&x), 1e-5);
    close(&point.high, &f(&x), 1e-5);
    let width = |r: f64| (interval(f)(&around(r)).high - interval(f)(&around(r)).low).sum(..);
    assert!(values(&width(0.1))[0] < values(&width(0.2))[0]);
    // and can be differentiated: the slope of the width
    let slope = grad(|r: &Tensor| {
        let b = interval(f)(&Interval { low: &x - r, high: &x + r });
        (b.high - b.low).sum(..)
    })(&Tensor::from(0.1f32));
    let numeric = (values(&width(0.101))[0] - values(&width(0.099))[0]) / 0.002;
    assert!((values(&slope)[0] - numeric).abs() < 0.01 * numeric.abs(), "{slope}, {numeric}");
    let e: Error = interval(|x: &Tensor| x.sin())(&around(0.1)).low.check().unwrap_err();
    assert!(e.to_string().contains("no bounds for `sine`") && e.to_string().contains("extension.rs"), "{e}");
    Ok(())
}

#[test]
fn the_sparsity_of_a_jacobian_contains_its_nonzeros() -> Result<()> {
    // a heat equation's step, a sum of neighbours, and a part that depends on nothing
    let f = |x: &Tensor| {
        let inner = x.i(2..8) - x.i(1..7) * 2.0 + x.i(0..6);
        let pairs = x.square().reshape([4, 2]).sum(1);
        Tensor::concatenate(&[inner.tanh(), pairs, Tensor::ones([2]).to(DType::F64)], 0)
    };
    let x = random::normal(&Key::new(2), [8]).to(DType::F64);
    let pattern = jacobian_sparsity(f, &x)?;
    let jacobian = values(&jacfwd(f)(&x));
    let mut filled = 0;
    for (i, row) in pattern.iter().enumerate() {
        for j in 0..8 {
            assert!(jacobian[i * 8 + j] == 0.0 || row.contains(&j), "element {i}, {j}");
        }
        filled += row.len();
    }
    assert_eq!((pattern.len(), filled), (12, 6 * 3 + 4 * 2));
    Ok(())
}

#[test]
fn names_of_axes_are_followed_and_must_agree() -> Result<()> {
    let attention = |(q, k, v): &(Tensor, Tensor, Tensor)| {
        let scores = einsum("qd,kd->qk", &[q, k]) / 2.0;
        scores.softmax(-1).matmul(v)
    };
    let [q, k, v] = [[5, 4], [7, 4], [7, 3]].map(|shape| Tensor::ones(shape));
    let names: [&[&str]; 3] = [&["query", "feature"], &["key", "feature"], &["key", "value"]];
    let found = axis_names(attention, &(q.clone(), k.clone(), v), &names)?;
    assert_eq!(found, [[Some("query"), Some("value")]]);
    // of one shape, and yet not to be added
    let add = |(x, y): &(Tensor, Tensor)| x + y.t();
    let square = Tensor::ones([4, 4]);
    let e = axis_names(add, &(square.clone(), square), &[&["row", "column"], &["row", "column"]]).unwrap_err();
    assert!(
        e.message().contains("`add` of axis `row` and axis `column`") && e.to_string().contains("extension.rs:"),
        "{e}"
    );
    assert!(axis_names(|x: &Tensor| x.clone(), &q, &[&["query"]]).is_err());
    Ok(())
}
