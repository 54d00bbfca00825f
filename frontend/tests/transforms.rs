//! Transforms against closed forms, numeric derivatives and each other, nested in every order.

mod numeric;

use gradloom_frontend::prelude::*;
use gradloom_frontend::{Tensor, Tree, grad_aux, hessian, value_and_grad_aux};
use numeric::{close, eval, s, slope, v};

#[test]
fn first_to_third_derivatives_of_one_number() {
    let f = |x: &Tensor| (x.sin() * x).exp() / (x.square() + 1.0);
    let d1 = grad(f);
    let d2 = grad(grad(f));
    let d3 = grad(grad(grad(f)));
    let mixed = |x: &Tensor| jvp(grad(f), x, &s(1.0)).1;
    for x in [-1.3, 0.2, 0.9] {
        let (a, b, c) = (eval(&d1, x), eval(&d2, x), eval(&d3, x));
        assert!((a - slope(|x| eval(&f, x), x)).abs() < 1e-8);
        assert!((b - slope(|x| eval(&d1, x), x)).abs() < 1e-8);
        assert!((c - slope(|x| eval(&d2, x), x)).abs() < 1e-7);
        assert!((eval(&mixed, x) - b).abs() < 1e-12);
    }
}

#[test]
fn jit_of_vmap_of_grad() {
    let f = jit(|batch: &Tensor| vmap(|x: &Tensor| grad(|v: &Tensor| v.square().sum(..))(x))(batch));
    let batch = Tensor::from_slice([2, 3], &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let g = f.call(&batch).unwrap();
    assert_eq!(g.shape(), [2, 3]);
    close(&g, &[2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
}

#[test]
fn grad_of_scan_of_cond() {
    // the carry doubles while it is below 3 and gains x * w afterwards
    let f = |w: &Tensor| {
        let (c, ys) = scan(
            |c: &Tensor, x: &Tensor| {
                let c = cond(&c.lt(3.0), |c: &Tensor| c * w, |c: &Tensor| c + x * w, c);
                (c.clone(), c.square())
            },
            &s(1.0),
            &v(&[0.5, 1.5, 2.5, 3.5]),
        );
        c + ys.sum(..)
    };
    let g = grad(f);
    for w in [1.7, 2.2] {
        assert!((eval(&g, w) - slope(|w| eval(&f, w), w)).abs() < 1e-6 * eval(&g, w).abs());
    }
    let compiled = jit(grad(f));
    assert!((compiled.call(&s(1.7)).unwrap().item::<f64>().unwrap() - eval(&g, 1.7)).abs() < 1e-9);
    // second order, forward over reverse
    let h = |w: &Tensor| jvp(grad(f), w, &s(1.0)).1;
    assert!((eval(&h, 1.7) - slope(|w| eval(&g, w), 1.7)).abs() < 1e-5 * eval(&h, 1.7).abs());
}

#[test]
fn scan_differentiates_with_respect_to_captures_carries_and_rows() {
    let f = |(w, c0, xs): &(Tensor, Tensor, Tensor)| {
        let (c, ys) = scan(|c: &Tensor, x: &Tensor| ((c * w).sin() + x, c * x), c0, xs);
        c.square().sum(..) + ys.sum(..)
    };
    let args = (s(0.7), v(&[0.3, -0.2]), Tensor::from_slice([3, 2], &[0.1f64, 0.2, 0.3, 0.4, 0.5, 0.6]));
    let g = grad(f)(&args);
    let value = |a: &(Tensor, Tensor, Tensor)| f(a).item::<f64>().unwrap();
    let shift = |i: usize, h: f64| {
        let flat = args.ravel().to_vec::<f64>().unwrap();
        let flat: Vec<f64> = flat.iter().enumerate().map(|(j, x)| x + if i == j { h } else { 0.0 }).collect();
        args.unravel(&v(&flat))
    };
    let numeric: Vec<f64> = (0..9).map(|i| slope(|h| value(&shift(i, h)), 0.0)).collect();
    let got = g.ravel().to_vec::<f64>().unwrap();
    for (a, b) in got.iter().zip(&numeric) {
        assert!((a - b).abs() < 1e-8, "{got:?} {numeric:?}");
    }
}

#[test]
fn vmap_of_while_loop_runs_each_instance_to_its_own_end() {
    let f = |x: &Tensor| while_loop(|c: &Tensor| c.lt(10.0), |c: &Tensor| c * 2.0, x);
    close(&vmap(f)(&v(&[1.0, 3.0, 20.0, 9.5])), &[16.0, 12.0, 20.0, 19.0]);
    let (y, dy) = jvp(|x: &Tensor| f(x), &s(3.0), &s(1.0));
    close(&y, &[12.0]);
    close(&dy, &[4.0]);
    close(&grad(|x: &Tensor| f(x))(&s(3.0)), &[4.0]);
    close(&vmap(grad(|x: &Tensor| f(x)))(&v(&[1.0, 3.0, 20.0, 9.5])), &[16.0, 4.0, 1.0, 2.0]);
    close(&grad(|x: &Tensor| vmap(f)(x).square().sum(..))(&v(&[1.0, 3.0, 20.0])), &[2.0 * 256.0, 2.0 * 48.0, 40.0]);
}

/// Iterations below, at and beyond what is kept of a loop's states.
#[test]
fn reverse_mode_of_a_while_loop_is_that_of_a_loop_of_known_length() {
    let step = |a: &Tensor, x: &Tensor, i: &Tensor| (x * a + 0.3).sin() + i.to(DType::F64) * 1e-3;
    for n in [0usize, 1, 2, 15, 16, 17, 31, 255, 256, 257, 300, 700] {
        let unknown = |a: &Tensor, x: &Tensor| {
            let count = Tensor::from(n as i32);
            let start = (Tensor::from(0i32), x.clone());
            let end = while_loop(
                |(i, _): &(Tensor, Tensor)| i.lt(&count),
                |(i, x): &(Tensor, Tensor)| (i + 1, step(a, x, i)),
                &start,
            );
            end.1.sum(..)
        };
        let known = |a: &Tensor, x: &Tensor| fori_loop(0..n as i32, |i, x: &Tensor| step(a, x, i), x).sum(..);
        let (a, x) = (s(1.1), v(&[0.2, -0.7, 1.9]));
        let both = |f: &dyn Fn(&Tensor, &Tensor) -> Tensor| -> Vec<f64> {
            let (da, dx) = grad(|(a, x): &(Tensor, Tensor)| f(a, x))(&(a.clone(), x.clone()));
            let second = grad(|x: &Tensor| grad(|x: &Tensor| f(&a, x))(x).square().sum(..))(&x);
            [da.reshape([1]), dx, second].iter().flat_map(|t| t.to_vec::<f64>().unwrap()).collect()
        };
        let (got, expected) = (both(&unknown), both(&known));
        for (g, e) in got.iter().zip(&expected) {
            assert!((g - e).abs() <= 1e-11 * e.abs().max(1.0), "{n}: {got:?} {expected:?}");
        }
    }
}

#[test]
fn hessian_equals_its_closed_form() {
    // f = x0² x1 + sin(x1)
    let f = |x: &Tensor| x.i(0).square() * x.i(1) + x.i(1).sin();
    let h = jacfwd(jacrev(f))(&v(&[1.5, 0.4]));
    assert_eq!(h.shape(), [2, 2]);
    close(&h, &[0.8, 3.0, 3.0, -(0.4f64.sin())]);
    close(&hessian(f)(&v(&[1.5, 0.4])), &[0.8, 3.0, 3.0, -(0.4f64.sin())]);
    close(&jacrev(jacfwd(f))(&v(&[1.5, 0.4])), &[0.8, 3.0, 3.0, -(0.4f64.sin())]);
}

#[test]
fn jacobians_agree() {
    let f = |x: &Tensor| (x * x.sum(..)).cos();
    let x = v(&[0.1, 0.5, -0.7]);
    let (a, b) = (jacfwd(f)(&x), jacrev(f)(&x));
    close(&a, &b.to_vec::<f64>().unwrap());
}

#[test]
fn custom_vjp_under_vmap_and_grad() {
    // a gradient nobody would derive: 7 times the cotangent
    let f = custom_vjp(|x: &Tensor| x.sin(), |x: &Tensor| (x.sin(), x.clone()), |_: &Tensor, ct: &Tensor| ct * 7.0);
    close(&vmap(grad(|x: &Tensor| f(x).sum(..)))(&v(&[0.1, 0.2])), &[7.0, 7.0]);
    close(&grad(|x: &Tensor| vmap(&f)(x).sum(..))(&v(&[0.1, 0.2])), &[7.0, 7.0]);
    close(&jit(grad(|x: &Tensor| (f(x) * 2.0).sum(..))).call(&v(&[0.1])).unwrap(), &[14.0]);
    let e = jvp(&f, &s(1.0), &s(1.0)).1.check().unwrap_err();
    assert!(e.to_string().contains("forward mode"), "{e}");
}

#[test]
fn custom_vjp_refuses_a_differentiated_capture() {
    let outer = |w: &Tensor| {
        custom_vjp(|x: &Tensor| x * w, |x: &Tensor| (x * w, ()), |(): &(), ct: &Tensor| ct.clone())(&s(2.0))
    };
    let e = grad(outer)(&s(3.0)).check().unwrap_err();
    assert!(e.to_string().contains("captures a value that is being differentiated"), "{e}");
}

#[test]
fn custom_jvp_serves_both_modes() {
    let f = custom_jvp(|x: &Tensor| x.exp(), |x: &Tensor, dx: &Tensor| (x.exp(), dx * 5.0));
    close(&jvp(&f, &s(1.0), &s(2.0)).1, &[10.0]);
    close(&grad(&f)(&s(1.0)), &[5.0]);
    close(&vmap(grad(&f))(&v(&[1.0, 2.0])), &[5.0, 5.0]);
}

#[test]
fn checkpoint_changes_no_derivative() {
    let layer = |x: &Tensor| (x.sin() * x).tanh();
    let plain = |x: &Tensor| layer(&layer(x)).sum(..);
    let saved = |x: &Tensor| checkpoint(layer)(&checkpoint(layer)(x)).sum(..);
    let x = v(&[0.3, -0.8, 1.1]);
    close(&grad(saved)(&x), &grad(plain)(&x).to_vec::<f64>().unwrap());
    close(&jit(grad(saved)).call(&x).unwrap(), &grad(plain)(&x).to_vec::<f64>().unwrap());
    close(&hessian(saved)(&x), &hessian(plain)(&x).to_vec::<f64>().unwrap());
}

#[test]
fn stop_gradient_cuts() {
    close(&grad(|x: &Tensor| (x * stop_gradient(x)).sum(..))(&v(&[3.0])), &[3.0]);
}

#[test]
fn loops_with_static_trip_counts_differentiate() {
    let f = |x: &Tensor| fori_loop(0..5, |i, c: &Tensor| c * x + i.to(DType::F64), &s(1.0));
    let g = grad(f);
    assert!((eval(&g, 0.9) - slope(|x| eval(&f, x), 0.9)).abs() < 1e-8);
}

#[test]
fn switch_and_cond_choose_one_branch() {
    let f =
        |(i, x): &(Tensor, Tensor)| switch(i, [&|x: &Tensor| x.sin(), &|x: &Tensor| x.cos(), &|x: &Tensor| x * 2.0], x);
    for (i, expected) in [(-1, 0.5f64.sin()), (0, 0.5f64.sin()), (1, 0.5f64.cos()), (2, 1.0), (9, 1.0)] {
        close(&f(&(Tensor::from(i), s(0.5))), &[expected]);
    }
    let batched = vmap(f)(&(Tensor::from_vec(vec![0, 1, 2]), v(&[0.5, 0.5, 0.5])));
    close(&batched, &[0.5f64.sin(), 0.5f64.cos(), 1.0]);
    let g = grad(|x: &Tensor| cond(&x.gt(0.0), |x: &Tensor| x * 3.0, |x: &Tensor| x * -1.0, x));
    close(&g(&s(1.0)), &[3.0]);
    close(&g(&s(-1.0)), &[-1.0]);
}

#[test]
fn associative_scan_equals_a_running_sum_for_every_length() {
    for n in [1usize, 2, 3, 4, 5, 7, 8, 9, 16, 33] {
        let xs: Vec<f64> = (0..n).map(|i| (i * i % 7) as f64 + 0.5).collect();
        let mut running = xs.clone();
        (1..n).for_each(|i| running[i] += running[i - 1]);
        close(&associative_scan(|a: &Tensor, b: &Tensor| a + b, &v(&xs)), &running);
    }
    let g = grad(|x: &Tensor| associative_scan(|a: &Tensor, b: &Tensor| a * b, x).sum(..))(&v(&[2.0, 3.0, 4.0]));
    close(&g, &[1.0 + 3.0 + 12.0, 2.0 + 8.0, 6.0]);
}

#[test]
fn vmap_axes_and_names() {
    let x = Tensor::from_slice([2, 3], &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let sums = vmap_with(Vmap::new().in_axes([Some(1)]), |c: &Tensor| c.sum(..))(&x);
    close(&sums, &[5.0, 7.0, 9.0]);
    let t = vmap_with(Vmap::new().out_axis(1), |r: &Tensor| r * 1.0)(&x);
    assert_eq!(t.shape(), [3, 2]);
    let shared = vmap_with(Vmap::new().in_axes([Some(0), None]), |(r, w): &(Tensor, Tensor)| (r * w).sum(..));
    close(&shared(&(x.clone(), v(&[1.0, 0.0, 2.0]))), &[7.0, 16.0]);
    let centred = vmap_with(Vmap::new().axis_name("i"), |r: &Tensor| r - pmean(r, "i"));
    close(&centred(&x), &[-1.5, -1.5, -1.5, 1.5, 1.5, 1.5]);
    let index = vmap_with(Vmap::new().axis_name("i"), |r: &Tensor| axis_index("i").to(DType::F64) + r.i(0));
    close(&index(&x), &[1.0, 5.0]);
}

#[test]
fn jvp_and_vmap_commute() {
    let f = |x: &Tensor| (x.sin() * x.sum(..)).cumsum(0);
    let x = Tensor::from_slice([2, 3], &[0.1f64, 0.2, 0.3, 0.4, 0.5, 0.6]);
    let d = x.map(|t| t * 0.5 + 1.0);
    let a = jvp(|x: &Tensor| vmap(f)(x), &x, &d).1;
    let b = vmap(|(x, d): &(Tensor, Tensor)| jvp(f, x, d).1)(&(x.clone(), d.clone()));
    close(&a, &b.to_vec::<f64>().unwrap());
}

#[test]
fn linearize_and_vjp_may_be_called_again() {
    let f = |x: &Tensor| x.square() * 3.0;
    let (y, push) = linearize(f, &v(&[1.0, 2.0]));
    close(&y, &[3.0, 12.0]);
    close(&push(&v(&[1.0, 0.0])), &[6.0, 0.0]);
    close(&push(&v(&[0.0, 1.0])), &[0.0, 12.0]);
    let (_, pull) = vjp(f, &v(&[1.0, 2.0]));
    close(&pull(&v(&[1.0, 1.0])), &[6.0, 12.0]);
    close(&pull(&v(&[2.0, 0.0])), &[12.0, 0.0]);
}

#[test]
fn auxiliary_outputs_come_along() {
    let f = |x: &Tensor| (x.square().sum(..), x * 2.0);
    let ((y, aux), g) = value_and_grad_aux(f)(&v(&[3.0]));
    close(&y, &[9.0]);
    close(&aux, &[6.0]);
    close(&g, &[6.0]);
    close(&grad_aux(f)(&v(&[3.0])).0, &[6.0]);
}

#[test]
fn jit_equals_eager_and_compiles_once_a_signature() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let f = jit(|x: &Tensor| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        x.sin() + 1.0
    });
    for _ in 0..3 {
        close(&f.call(&v(&[0.5])).unwrap(), &[0.5f64.sin() + 1.0]);
    }
    close(&f.run(v(&[0.5, 0.6])).unwrap(), &[0.5f64.sin() + 1.0, 0.6f64.sin() + 1.0]);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn run_reuses_buffers_only_when_nobody_else_holds_them() {
    let f = jit(|x: &Tensor| x + 1.0);
    let x = v(&[1.0, 2.0]);
    let y = f.run(x.clone()).unwrap();
    close(&x, &[1.0, 2.0]);
    close(&y, &[2.0, 3.0]);
    drop(x);
    close(&f.run(y).unwrap(), &[3.0, 4.0]);
    let pair = jit(|(a, b): &(Tensor, Tensor)| (a + b, a - b));
    let t = v(&[5.0]);
    let (p, m) = pair.run((t.clone(), t)).unwrap();
    close(&p, &[10.0]);
    close(&m, &[0.0]);
}

#[test]
fn tensors_and_compiled_functions_cross_threads() {
    fn crosses<T: Send + Sync>(_: &T) {}
    let x = v(&[1.0, 2.0]);
    crosses(&x);
    let f = jit(|x: &Tensor| (x * 2.0).sum(..)).lower(&x).unwrap().compile().unwrap();
    crosses(&f);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..100).for_each(|_| close(&f.call(&x).unwrap(), &[6.0])));
        }
    });
}

#[test]
fn arrays_and_vectors_become_tensors() {
    let m = Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    assert_eq!(m.shape(), [2, 3]);
    close(&m.sum([0]), &[5.0, 7.0, 9.0]);
    close(&Tensor::from(vec![1.0, 2.0]), &Vec::try_from(&Tensor::from([1.0, 2.0])).unwrap());
}
