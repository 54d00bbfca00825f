//! What a user reads when something is wrong: one clear message with op, shapes, file and line, and the remedy.

use gradloom_frontend::prelude::*;
use gradloom_frontend::{Tensor, Tree};

#[track_caller]
fn says(e: gradloom_frontend::Error, parts: &[&str]) {
    let text = e.to_string();
    for p in parts {
        assert!(text.contains(p), "`{p}` is missing from:\n{text}");
    }
    assert!(text.contains("errors.rs:"), "no position in:\n{text}");
}

fn x(shape: &[usize]) -> Tensor {
    Tensor::ones(shape)
}

#[test]
fn mismatched_shapes() {
    says((x(&[2, 3]) + x(&[4])).check().unwrap_err(), &["add", "f32[2,3]", "f32[4]", "help:"]);
    let f = jit(|x: &Tensor| (x + Tensor::ones([4])) * 2.0);
    says(f.call(&x(&[2, 3])).unwrap_err(), &["add", "f32[2,3]", "f32[4]"]);
    says(f.lower(&x(&[2, 3])).err().unwrap(), &["add"]);
    says(x(&[2, 3]).matmul(&x(&[2, 3])).check().unwrap_err(), &["f32[2,3]"]);
}

/// A tree made of an erroneous vector holds that error, and a function of the user's own refuses in the same way.
#[test]
fn errors_pass_through_unravel() {
    let tree = (x(&[2]), x(&[3]));
    says(tree.unravel(&(x(&[2, 3]) + x(&[4]))).1.check().unwrap_err(), &["add", "f32[2,3]", "f32[4]"]);
    says(tree.unravel(&x(&[4])).0.check().unwrap_err(), &["unravel", "5 elements"]);

    #[track_caller]
    fn positive(t: &Tensor, n: i32) -> Tensor {
        let e = gradloom_frontend::Error::user("positive", format!("n is {n}"));
        if n > 0 { t.clone() } else { Tensor::failed(e.at(&gradloom_frontend::ir::Loc::caller())) }
    }
    says(positive(&x(&[2]), -1).check().unwrap_err(), &["positive", "n is -1"]);
    says(jit(|t: &Tensor| positive(t, -1) * 2.0).call(&x(&[2])).unwrap_err(), &["positive", "n is -1"]);
}

/// A program that reads the lengths of what went wrong is told what went wrong.
#[test]
fn shapes_of_errors_can_be_read() {
    let layer = |x: &Tensor, w: &Tensor| {
        let (rows, columns) = (x.shape()[0], x.shape()[1]);
        x.matmul(w).reshape([rows, columns / columns.max(1), w.shape()[1]])
    };
    let f = |x: &Tensor| layer(&layer(&x.matmul(&Tensor::ones([7, 2])), &Tensor::ones([2, 4])), &Tensor::ones([4, 4]));
    says(f(&x(&[3, 5])).check().unwrap_err(), &["f32[3,5]", "f32[7,2]"]);
    says(jit(f).call(&x(&[3, 5])).unwrap_err(), &["f32[3,5]", "f32[7,2]"]);
}

#[test]
fn mixed_dtypes() {
    let i = Tensor::arange(3);
    says((x(&[3]) * &i).check().unwrap_err(), &["multiply", "f32", "i32", ".to("]);
    says((i * 0.5).check().unwrap_err(), &["0.5", "i32"]);
    says(Tensor::arange(3).sin().check().unwrap_err(), &["sine", "i32", "float"]);
}

#[test]
fn wrong_axis() {
    says(x(&[2, 3]).sum([2]).check().unwrap_err(), &["axis 2", "f32[2,3]"]);
    says(x(&[2, 3]).softmax(-3).check().unwrap_err(), &["axis -3"]);
}

#[test]
fn empty_arrays_work() {
    let e = x(&[0, 3]);
    assert_eq!(e.sum([0]).to_vec::<f32>().unwrap(), [0.0; 3]);
    assert_eq!((e.clone() + 1.0).shape(), [0, 3]);
    assert_eq!(e.matmul(&x(&[3, 2])).shape(), [0, 2]);
    assert_eq!(x(&[2, 0]).matmul(&x(&[0, 2])).to_vec::<f32>().unwrap(), [0.0; 4]);
    assert_eq!(grad(|x: &Tensor| x.square().sum(..))(&e).shape(), [0, 3]);
    assert_eq!(vmap(|r: &Tensor| r.sum(..))(&e).shape(), [0]);
    let f = jit(|x: &Tensor| x.exp().sum(..));
    assert_eq!(f.call(&e).unwrap().item::<f32>().unwrap(), 0.0);
}

#[test]
fn grad_of_something_that_is_no_scalar() {
    says(grad(|x: &Tensor| x * 2.0)(&x(&[3])).check().unwrap_err(), &["float scalar", "f32[3]", "sum"]);
    let f = jit(|x: &Tensor| grad(|x: &Tensor| x * 2.0)(x));
    says(f.call(&x(&[3])).unwrap_err(), &["float scalar", "f32[3]"]);
}

#[test]
fn a_loop_whose_carry_changes_type() {
    let (c, _) = scan(|c: &Tensor, x: &Tensor| (c.gt(x), ()), &Tensor::from(0.0f32), &x(&[3]));
    says(c.check().unwrap_err(), &["scan", "f32[]", "bool[]", "carry"]);
    let w = while_loop(|c: &Tensor| c.sum(..).lt(3.0), |c: &Tensor| c.sum(..), &x(&[2]));
    says(w.check().unwrap_err(), &["while_loop", "f32[2]", "f32[]"]);
    let v = fori_loop(0..3, |_, c: &Vec<Tensor>| vec![c[0].clone(); 2], &vec![x(&[1])]);
    says(v[0].check().unwrap_err(), &["carry changes its structure"]);
    let p = while_loop(|c: &Tensor| c + 1.0, |c: &Tensor| c.clone(), &Tensor::from(1.0f32));
    says(p.check().unwrap_err(), &["condition must return a bool scalar", "f32[]"]);
}

#[test]
fn trees_that_differ() {
    let a = vec![x(&[1]), x(&[1])];
    let b = vec![x(&[1])];
    says(a.zip_map(&b, |a, b| a + b)[0].check().unwrap_err(), &["structure", "2 and 1 leaves"]);
    let compiled = jit(|v: &Vec<Tensor>| v[0].clone() + 1.0).lower(&a).unwrap().compile().unwrap();
    let e = compiled.call(&b).unwrap_err().to_string();
    assert!(e.contains("structure"), "{e}");
    let e = compiled.call(&vec![x(&[2]), x(&[1])]).unwrap_err().to_string();
    assert!(e.contains("leaf `0` is f32[2]"), "{e}");
}

#[test]
fn an_error_inside_nested_transforms_surfaces_once() {
    let f = jit(|x: &Tensor| vmap(|r: &Tensor| grad(|r: &Tensor| (r + Tensor::ones([7])).sum(..))(r))(x));
    says(f.call(&x(&[2, 3])).unwrap_err(), &["add", "f32[3]", "f32[7]"]);
}

#[test]
fn traced_values_cannot_be_read_or_leak() {
    let f = jit(|x: &Tensor| {
        assert!(x.item::<f32>().unwrap_err().to_string().contains("has no elements to read"));
        x + 1.0
    });
    f.call(&Tensor::from(1.0f32)).unwrap();
    let leak = std::cell::RefCell::new(None);
    jit(|x: &Tensor| {
        *leak.borrow_mut() = Some(x.clone());
        x + 1.0
    })
    .call(&Tensor::from(1.0f32))
    .unwrap();
    let leaked = leak.into_inner().unwrap();
    says((leaked + 1.0).check().unwrap_err(), &["outside the function it was traced in"]);
}

#[test]
fn branches_must_agree() {
    let y = cond(&Tensor::from(true), |x: &Tensor| x + 1.0, |x: &Tensor| x.sum(..), &x(&[2]));
    says(y.check().unwrap_err(), &["branches return", "f32[2]", "f32[]"]);
    let y = cond(&x(&[2]), |x: &Tensor| x + 1.0, |x: &Tensor| x * 2.0, &x(&[2]));
    says(y.check().unwrap_err(), &["bool scalar", "f32[2]"]);
}

#[test]
fn mapped_axes_must_agree() {
    let y = vmap(|(a, b): &(Tensor, Tensor)| a + b)(&(x(&[2]), x(&[3])));
    says(y.check().unwrap_err(), &["lengths 2", "and 3"]);
    says(vmap(|a: &Tensor| a + 1.0)(&Tensor::from(1.0f32)).check().unwrap_err(), &["axis 0", "f32[]"]);
    says(psum(&x(&[2]), "i").check().unwrap_err(), &["no mapped axis is named \"i\""]);
}

#[test]
fn an_index_out_of_range() {
    says(x(&[3]).i(5).check().unwrap_err(), &["5", "f32[3]"]);
}

#[test]
fn arrays_that_do_not_fit() {
    says(x(&[1 << 40]).check().unwrap_err(), &["does not fit in memory", "help:"]);
    says(x(&[usize::MAX / 2, 3]).check().unwrap_err(), &["more than", "elements"]);
    says(x(&[1 << 20, 1, 1 << 20, 1 << 10]).check().unwrap_err(), &["elements"]);
    let f = jit(|a: &Tensor| (a.expand_dims([1]) * a.expand_dims([0])).sort(-1).sum(..));
    let e = f.call(&x(&[1 << 20])).unwrap_err().to_string();
    assert!(e.contains("does not fit in memory"), "{e}");
}
