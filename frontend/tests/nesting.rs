//! Less usual combinations of transforms, control flow and donation.

mod numeric;

use gradloom_frontend::prelude::*;
use gradloom_frontend::{Tensor, Tree};
use numeric::{close, eval, s, slope, v};

#[test]
fn compiled_functions_inside_transforms() {
    let f = jit(|x: &Tensor| (x * x.sin()).sum(..));
    close(&grad(|x: &Tensor| f.call(x).unwrap())(&v(&[0.5])), &[0.5f64.sin() + 0.5 * 0.5f64.cos()]);
    close(&vmap(|x: &Tensor| f.call(x).unwrap())(&Tensor::from([[1.0], [2.0]])), &[1f64.sin(), 2.0 * 2f64.sin()]);
    let outer = jit(|x: &Tensor| f.call(x).unwrap() * 2.0);
    close(&outer.call(&v(&[1.0])).unwrap(), &[2.0 * 1f64.sin()]);
}

#[test]
fn loops_inside_loops() {
    // collatz-like: each row runs its own while loop inside a scan, mapped over a batch
    let f = |x: &Tensor| {
        scan(
            |c: &Tensor, r: &Tensor| {
                let w = while_loop(|w: &Tensor| w.lt(5.0), |w: &Tensor| w * 2.0 + 0.5, r);
                (c + &w, w)
            },
            &s(0.0),
            x,
        )
    };
    let x = Tensor::from([[1.0, 4.0], [6.0, 0.25]]);
    let (sums, rows) = vmap(|x: &Tensor| f(x))(&x);
    close(&rows, &[5.5, 8.5, 6.0, 5.5]);
    close(&sums, &[14.0, 11.5]);
    // forward mode goes through both
    let (_, (dc, _)) = jvp(|x: &Tensor| f(x), &v(&[1.0, 4.0]), &v(&[1.0, 0.0]));
    close(&dc, &[4.0]);
}

#[test]
fn branches_inside_differentiated_scans_with_checkpoints() {
    let f = |x: &Tensor| {
        let body = checkpoint(|(c, i): &(Tensor, Tensor)| {
            switch(i, [&|c: &Tensor| c.sin(), &|c: &Tensor| c * c, &|c: &Tensor| c * 0.5 + x], c)
        });
        scan(|c: &Tensor, i: &Tensor| (body(&(c.clone(), i.clone())), ()), x, &Tensor::from([0, 2, 1, 2, 0, 1])).0
    };
    let d1 = grad(f);
    let d2 = grad(grad(f));
    let d3 = |x: &Tensor| jvp(grad(grad(f)), x, &s(1.0)).1;
    for x in [0.3, 1.2] {
        assert!((eval(&d1, x) - slope(|x| eval(&f, x), x)).abs() < 1e-8);
        assert!((eval(&d2, x) - slope(|x| eval(&d1, x), x)).abs() < 1e-8);
        assert!((eval(&d3, x) - slope(|x| eval(&d2, x), x)).abs() < 1e-7);
        let compiled = jit(grad(grad(f)));
        assert!((compiled.call(&s(x)).unwrap().item::<f64>().unwrap() - eval(&d2, x)).abs() < 1e-9);
    }
    let batched = vmap(grad(f))(&v(&[0.3, 1.2]));
    close(&batched, &[eval(&d1, 0.3), eval(&d1, 1.2)]);
}

#[test]
fn custom_rules_with_mapped_captures() {
    let f = |(w, x): &(Tensor, Tensor)| {
        let w = stop_gradient(w);
        custom_vjp(|x: &Tensor| x * &w, |x: &Tensor| (x * &w, ()), |(): &(), ct: &Tensor| ct * &w * 10.0)(x)
    };
    let g = vmap(grad(f))(&(v(&[1.0, 2.0]), v(&[3.0, 4.0])));
    close(&g.1, &[10.0, 20.0]);
    close(&g.0, &[0.0, 0.0]);
}

#[test]
fn integer_leaves_have_zero_gradients() {
    let f = |(x, i): &(Tensor, Tensor)| (x * i.to(DType::F64)).sum(..);
    let (g, gi) = grad(f)(&(v(&[1.0, 2.0]), Tensor::from([3, 4])));
    close(&g, &[3.0, 4.0]);
    assert_eq!(gi.to_vec::<i32>().unwrap(), [0, 0]);
}

#[test]
fn donation_changes_no_result() {
    type State = (Vec<Tensor>, Vec<Tensor>, Tensor);
    let step = jit(|(p, m, t): &State| {
        let loss = |p: &Vec<Tensor>| (p[0].matmul(&p[1]).tanh() + &p[2]).square().sum(..);
        let (value, g) = value_and_grad(loss)(p);
        let m = m.zip_map(&g, |m, g| m * 0.9 + g * 0.1);
        let p = p.zip_map(&m, |p, m| p - m * 0.05);
        // the state also rotates, so that outputs trade places with inputs
        (
            value,
            (vec![p[0].clone(), p[1].clone(), p[2].clone()], vec![m[0].clone(), m[1].clone(), m[2].clone()], t + 1.0),
        )
    });
    let zero = Tensor::from_slice([3, 3], &[0.0f64; 9]);
    let p = |k: f64| Tensor::iota([3, 3], 0, DType::F64) * 0.1 + Tensor::iota([3, 3], 1, DType::F64) * k;
    let start: State = (vec![p(0.2), p(-0.3), p(0.1)], vec![zero.clone(), zero.clone(), zero], s(0.0));
    let (mut called, mut ran) = (start.clone(), start.clone());
    for _ in 0..25 {
        let a = step.call(&called).unwrap();
        let b = step.run(ran).unwrap();
        assert_eq!(a.0.item::<f64>().unwrap(), b.0.item::<f64>().unwrap());
        (called, ran) = (a.1, b.1);
    }
    for (a, b) in called.leaves().iter().zip(ran.leaves()) {
        assert_eq!(a.to_vec::<f64>().unwrap(), b.to_vec::<f64>().unwrap());
    }
    // what the caller kept is as it was
    close(&start.1[0], &[0.0; 9]);
    close(&start.2, &[0.0]);
    let swap = jit(|(a, b): &(Tensor, Tensor)| (b.clone(), a.clone()));
    let (b, a) = swap.run((v(&[1.0]), v(&[2.0]))).unwrap();
    close(&b, &[2.0]);
    close(&a, &[1.0]);
    let mixed = jit(|(a, b): &(Tensor, Tensor)| (b + 1.0, a.clone(), a * b));
    let (x, y, z) = mixed.run((v(&[2.0]), v(&[3.0]))).unwrap();
    close(&x, &[4.0]);
    close(&y, &[2.0]);
    close(&z, &[6.0]);
}

#[test]
fn updates_in_loops_happen_in_place_and_right() {
    let f = |x: &Tensor| fori_loop(0..5, |i, c: &Tensor| c.at(i).add(c.i(0) + 1.0), x);
    let expected = {
        let mut c = [0.5, 1.0, 2.0, 3.0, 4.0];
        for i in 0..5 {
            c[i] += c[0] + 1.0;
        }
        c
    };
    let x = v(&[0.5, 1.0, 2.0, 3.0, 4.0]);
    close(&f(&x), &expected);
    close(&jit(f).run(x.clone()).unwrap(), &expected);
    close(&x, &[0.5, 1.0, 2.0, 3.0, 4.0]);
    let g = grad(|x: &Tensor| f(x).square().sum(..))(&x);
    let value = |h: f64, k: usize| {
        let d: Vec<f64> =
            [0.5, 1.0, 2.0, 3.0, 4.0].iter().enumerate().map(|(j, x)| x + if j == k { h } else { 0.0 }).collect();
        f(&v(&d)).square().sum(..).item::<f64>().unwrap()
    };
    let numeric: Vec<f64> = (0..5).map(|k| slope(|h| value(h, k), 0.0)).collect();
    close(&g, &numeric);
}

#[test]
fn a_closure_that_panics_leaves_no_trace_behind() {
    let panicked = std::panic::catch_unwind(|| jit(|_: &Tensor| -> Tensor { panic!("the user's own") }).call(&s(1.0)));
    assert!(panicked.is_err());
    close(&(s(1.0) + 1.0), &[2.0]);
}

#[test]
fn linearize_goes_through_while_loops() {
    let f = |(x, y): &(Tensor, Tensor)| {
        let (n, z) = while_loop(
            |(n, _): &(Tensor, Tensor)| n.lt(6.0),
            |(n, z): &(Tensor, Tensor)| (n + 1.0, z * y + n),
            &(s(0.0), x.clone()),
        );
        z * n
    };
    let at = (s(0.7), s(0.9));
    let (value, push) = linearize(f, &at);
    let scalar = |x: f64, y: f64| f(&(s(x), s(y))).item::<f64>().unwrap();
    close(&value, &[scalar(0.7, 0.9)]);
    close(&push(&(s(1.0), s(0.0))), &[slope(|x| scalar(x, 0.9), 0.7)]);
    close(&push(&(s(0.0), s(1.0))), &[slope(|y| scalar(0.7, y), 0.9)]);
    let h = jacfwd(|x: &Tensor| f(&(x.clone(), s(0.9))));
    close(&h(&s(0.7)), &[slope(|x| scalar(x, 0.9), 0.7)]);
    // a loop that does not depend on what is differentiated may stand in a differentiated function
    let g = grad(|x: &Tensor| x * while_loop(|c: &Tensor| c.lt(9.0), |c: &Tensor| c * 2.0, &s(1.0)));
    close(&g(&s(3.0)), &[16.0]);
}

#[test]
fn mapped_and_differentiated_switches() {
    let f = |(i, x): &(Tensor, Tensor)| switch(i, [&|x: &Tensor| x.sin(), &|x: &Tensor| x * x * x], x);
    let x = v(&[0.5, 2.0]);
    let i = Tensor::from([0, 1]);
    let expected = [0.5f64.cos(), 12.0];
    close(&vmap(grad(f))(&(i.clone(), x.clone())).1, &expected);
    close(&grad(|a: &(Tensor, Tensor)| vmap(f)(a).sum(..))(&(i, x.clone())).1, &expected);
    let shared = Vmap::new().in_axes([None, Some(0)]);
    close(&vmap_with(shared.clone(), f)(&(Tensor::from(1), x.clone())), &[0.125, 8.0]);
    close(
        &grad(|a: &(Tensor, Tensor)| vmap_with(shared.clone(), f)(a).sum(..))(&(Tensor::from(1), x)).1,
        &[0.75, 12.0],
    );
}

#[test]
fn prefix_sums_under_every_transform() {
    let f = |x: &Tensor| associative_scan(|a: &Tensor, b: &Tensor| a * b, x);
    let x = Tensor::from([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]]);
    close(&vmap(f)(&x), &[1.0, 2.0, 6.0, 0.5, -0.5, -1.0]);
    close(&jit(|x: &Tensor| vmap(f)(x)).call(&x).unwrap(), &[1.0, 2.0, 6.0, 0.5, -0.5, -1.0]);
    let rows = vmap(grad(|x: &Tensor| f(x).sum(..)))(&x);
    close(&rows, &[1.0 + 2.0 + 6.0, 1.0 + 3.0, 2.0, 1.0 - 1.0 - 2.0, 0.5 + 1.0, -0.5]);
}

#[test]
fn reversed_scans_differentiate() {
    let f = |x: &Tensor| {
        let (c, ys) = scan_reverse(|c: &Tensor, x: &Tensor| (c * x + 1.0, c.clone()), &s(2.0), x);
        c + (ys * v(&[1.0, 10.0, 100.0])).sum(..)
    };
    let at = [0.5, -1.5, 2.0];
    let g = grad(f)(&v(&at));
    let numeric: Vec<f64> = (0..3)
        .map(|k| {
            let value = |h: f64| {
                let d: Vec<f64> = (0..3).map(|j| at[j] + if j == k { h } else { 0.0 }).collect();
                f(&v(&d)).item::<f64>().unwrap()
            };
            slope(value, 0.0)
        })
        .collect();
    close(&g, &numeric);
    close(&jit(grad(f)).call(&v(&at)).unwrap(), &numeric);
}

#[test]
fn collectives_differentiate_and_nest() {
    // each instance normalises by the sum over the mapped axis
    let soft = |x: &Tensor| {
        let e = x.exp();
        &e / psum(&e, "i")
    };
    let named = || Vmap::new().axis_name("i");
    let x = v(&[0.1, 0.7, -0.4]);
    let y = vmap_with(named(), soft)(&x);
    close(&y, &x.softmax(-1).to_vec::<f64>().unwrap());
    let w = v(&[1.0, 2.0, 3.0]);
    let a = grad(|x: &Tensor| (vmap_with(named(), soft)(x) * &w).sum(..))(&x);
    let b = grad(|x: &Tensor| (x.softmax(-1) * &w).sum(..))(&x);
    close(&a, &b.to_vec::<f64>().unwrap());
    // an outer map of another name does not catch the inner collective
    let two = vmap_with(Vmap::new().axis_name("j"), |r: &Tensor| vmap_with(named(), |x: &Tensor| psum(x, "j") + x)(r));
    close(&two(&Tensor::from([[1.0, 2.0], [10.0, 20.0]])), &[12.0, 24.0, 21.0, 42.0]);
}
