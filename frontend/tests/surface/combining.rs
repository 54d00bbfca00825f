//! Reductions, windows and sorts by functions of the user's own, against loops.

use super::is;
use gradloom_frontend::prelude::*;
use gradloom_frontend::{Padding, einsum_as};

fn numbers(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * i * 7 + 3 * i) % 23) as f64 / 5.0 - 2.0).collect()
}

/// Affine maps x -> a x + b under composition: associative, not commutative.
fn compose(f: &(Tensor, Tensor), g: &(Tensor, Tensor)) -> (Tensor, Tensor) {
    (&f.0 * &g.0, &g.0 * &f.1 + &g.1)
}

#[test]
fn a_reduction_keeps_the_order() {
    for n in [0, 1, 2, 3, 7, 8, 13] {
        let (a, b) = (numbers(2 * n), numbers(2 * n + 3));
        let (a, b) = (&a[..], &b[3..]);
        let xs = (Tensor::from_slice([2, n], a), Tensor::from_slice([2, n], b));
        let init = (Tensor::from(1.0).to(DType::F64), Tensor::from(0.5).to(DType::F64));
        let (p, q) = jit(move |xs: &(Tensor, Tensor)| reduce_with(compose, &init, xs, 1)).call(&xs).unwrap();
        let mut want = (Vec::new(), Vec::new());
        for row in 0..2 {
            let each = (0..n).map(|i| (a[row * n + i], b[row * n + i]));
            let (p, q) = each.fold((1.0, 0.5), |(p, q), (a, b)| (p * a, a * q + b));
            want.0.push(p);
            want.1.push(q);
        }
        for (got, want) in [(p, want.0), (q, want.1)] {
            let got = got.to_vec::<f64>().unwrap();
            got.iter().zip(&want).for_each(|(g, w)| assert!((g - w).abs() < 1e-9 * (1.0 + w.abs()), "{n}: {g} {w}"));
        }
    }
}

#[test]
fn reductions_differentiate_and_batch() {
    let x = Tensor::from_vec(vec![0.5f32, -1.5, 2.0]);
    let product = |x: &Tensor| reduce_with(|a: &Tensor, b: &Tensor| a * b, &Tensor::from(1.0f32), x, ..);
    is(&grad(product)(&x), &[3], &[-3.0, 1.0, -0.75]);
    let rows = Tensor::from_slice([2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    is(&vmap(product)(&rows), &[2], &[2.0, 12.0]);
    is(&reduce_with(|a: &Tensor, b: &Tensor| a + b, &Tensor::from(10.0f32), &rows, 0), &[2], &[14.0, 16.0]);
}

#[test]
fn windows_of_every_length() {
    let n = 11;
    let x = numbers(n);
    let t = Tensor::from_vec(x.clone());
    let less = |a: &Tensor, b: &Tensor| a.minimum(b);
    let init = Tensor::from(f32::INFINITY).to(DType::F64);
    for w in 1..=12 {
        for s in 1..=3 {
            let y = reduce_window_with(less, &init, &t, &[w], &[s], &Padding::Valid);
            let min = |i: usize| x[i..i + w].iter().copied().fold(f64::INFINITY, f64::min);
            let want: Vec<f64> = (0..(n + 1).saturating_sub(w)).step_by(s).map(min).collect();
            is(&y, &[want.len()], &want);
        }
    }
    let m = Tensor::from_vec(numbers(12)).reshape([3, 4]);
    let init = Tensor::from(0.0f32).to(DType::F64);
    let sum = |a: &Tensor, b: &Tensor| a + b;
    let got = reduce_window_with(sum, &init, &m, &[2, 3], &[1, 2], &Padding::Explicit(vec![(1, 0), (0, 1)]));
    let want =
        m.reduce_window(gradloom_frontend::ReduceKind::Sum, &[2, 3], &[1, 2], &Padding::Explicit(vec![(1, 0), (0, 1)]));
    assert_eq!(got.shape(), want.shape());
    assert!((got - want).abs().max(..).item::<f64>().unwrap() < 1e-12);
}

#[test]
fn sorts_by_any_order_are_stable() {
    for n in [0usize, 1, 2, 3, 5, 8, 17, 32] {
        let keys: Vec<i32> = (0..n as i32).map(|i| (i * i * 7 + 3 * i) % 5 - 2).collect();
        let xs = (Tensor::from_slice([n], &keys), Tensor::arange(n));
        let farthest = |a: &(Tensor, Tensor), b: &(Tensor, Tensor)| a.0.abs().gt(b.0.abs());
        let (k, at) = sort_with(farthest, &xs, 0);
        let mut want: Vec<(i32, i32)> = keys.iter().copied().zip(0..).collect();
        want.sort_by_key(|(k, _)| -k.abs());
        assert_eq!(k.to_vec::<i32>().unwrap(), want.iter().map(|w| w.0).collect::<Vec<_>>());
        assert_eq!(at.to_vec::<i32>().unwrap(), want.iter().map(|w| w.1).collect::<Vec<_>>());
    }
    let m = Tensor::from_slice([2, 3], &[3, 1, 2, 9, 7, 8]);
    let descending = |a: &Tensor, b: &Tensor| a.gt(b);
    is(&sort_with(descending, &m, 1), &[2, 3], &[3.0, 2.0, 1.0, 9.0, 8.0, 7.0]);
    is(&sort_with(descending, &m, 0), &[2, 3], &[9.0, 7.0, 8.0, 3.0, 1.0, 2.0]);
    is(&vmap(|r: &Tensor| sort_with(descending, r, 0))(&m), &[2, 3], &[3.0, 2.0, 1.0, 9.0, 8.0, 7.0]);
}

#[test]
fn products_in_a_wider_dtype() {
    let x = Tensor::full([1, 1000], 1.001, DType::BF16);
    let wide = x.matmul_as(&x.t(), DType::F32);
    assert_eq!(wide.to_vec::<f32>().unwrap(), [1000.0]);
    assert_eq!(einsum_as("ij,ij->", &[&x, &x], DType::BF16).dtype(), DType::BF16);
    let e = x.matmul_as(&x.t(), DType::I32).check().unwrap_err().to_string();
    assert!(e.contains("bf16") && e.contains("i32") && e.contains("combining.rs"), "{e}");
}

#[test]
fn what_does_not_fit_says_so() {
    let (a, b) = (Tensor::ones([3]), Tensor::ones([4]));
    let says = |t: &Tensor, part: &str| {
        let e = t.check().unwrap_err().to_string();
        assert!(e.contains(part) && e.contains("combining.rs"), "{e}");
    };
    let add = |a: &Tensor, b: &Tensor| a + b;
    let (p, _) = reduce_with(compose, &(Tensor::from(1.0), Tensor::from(0.0)), &(a.clone(), b), ..);
    says(&p, "one shape");
    says(&reduce_with(add, &Tensor::from(1), &a, ..), "the initial value of f32[3] is i32[]");
    says(&reduce_with(add, &Tensor::from(1.0), &a, 3), "axis 3");
    says(&reduce_window_with(add, &Tensor::from(0.0), &a, &[0], &[1], &Padding::Valid), "at least 1");
    says(&sort_with(|a: &Tensor, b: &Tensor| a + b, &a, 0), "the order gives f32[]");
    says(
        &reduce_with(|a: &Tensor, _: &Tensor| a.to(DType::I32), &Tensor::from(0.0), &a, ..),
        "makes i32[] of two f32[]",
    );
}
