//! What optimizers are beside their equations: states, dtypes, leaves, kernels.

use gradloom_frontend::prelude::*;
use gradloom_stdlib::optim::*;

#[test]
fn states_hold_what_is_needed() {
    let x = Tensor::zeros([3]);
    assert!(sgd(0.1).init(&x).leaves().is_empty());
    assert_eq!(sgd(Schedule::linear(0.1, 0.0, 5)).init(&x).leaves().len(), 1);
    assert_eq!(adam(0.1).init(&(x.clone(), x.clone())).paths(), ["0.m.0", "0.m.1", "0.v.0", "0.v.1", "0.t"]);
    let masked = masked(momentum(0.1, 0.9, false), |path, _| path == "0");
    assert_eq!(masked.init(&(x.clone(), x)).paths(), ["0.0"]);
}

#[test]
fn f64_stays_f64_and_f16_stays_f16() {
    for dtype in [DType::F64, DType::F16, DType::BF16] {
        let x = Tensor::ones([4, 4]).to(dtype);
        let optimizer = chain((
            clip_by_global_norm(1.0),
            adamw(Schedule::linear(0.1, 0.0, 9), 0.1),
            accumulate(2, lamb(0.1, 0.1)),
            average_params(0.9),
        ));
        let (y, s) = optimizer.step(&x, &x, &optimizer.init(&x));
        assert_eq!(y.dtype(), dtype);
        for (leaf, path) in s.leaves().iter().zip(s.paths()) {
            assert!(leaf.dtype() == dtype || leaf.dtype() == DType::I32, "{path} is {}", leaf.ty());
        }
    }
}

#[test]
fn leaves_of_mixed_dtypes_share_a_norm() {
    let p = (Tensor::from([3.0f32]), Tensor::from([4.0f64]), Tensor::from([9]));
    assert!((global_norm(&p) - 5.0).abs().item::<f64>().unwrap() < 1e-12);
    let (u, ()) = clip_by_global_norm(1.0).update(&p, &(), &p);
    assert!((u.0.item::<f32>().unwrap() - 0.6).abs() < 1e-7);
    assert!((u.1.item::<f64>().unwrap() - 0.8).abs() < 1e-12);
    assert_eq!(u.2.item::<i32>().unwrap(), 9);
    // under the bound, and at norm 0, nothing changes
    assert_eq!(clip_by_global_norm(6.0).update(&p, &(), &p).0.0.item::<f32>().unwrap(), 3.0);
    let zero = p.zeros_like();
    assert_eq!(clip_by_global_norm(6.0).update(&zero, &(), &zero).0.0.item::<f32>().unwrap(), 0.0);
}

#[test]
fn frozen_leaves_stay_even_where_gradients_are_not_finite() {
    let p = (Tensor::from([1.0f32]), Tensor::from([1.0f32]));
    let g = (Tensor::from([f32::NAN]), Tensor::from([1.0f32]));
    let by_path = chain((sgd(1.0), scale_by_path(|path| if path == "0" { 0.0 } else { 1.0 })));
    let by_mask = chain((sgd(1.0), freeze(|path, _| path == "0")));
    for (a, b) in [by_path.step(&p, &g, &by_path.init(&p)).0, by_mask.step(&p, &g, &by_mask.init(&p)).0] {
        assert_eq!((a.item::<f32>().unwrap(), b.item::<f32>().unwrap()), (1.0, 0.0));
    }
}

#[test]
fn the_first_step_of_adam_is_the_learning_rate() {
    let x = Tensor::ones([3]);
    let optimizer = adam(0.125);
    let (x, state) = optimizer.step(&x, &Tensor::from([1e-3f32, -1e3, 0.0]), &optimizer.init(&x));
    for (got, expected) in x.to_vec::<f32>().unwrap().iter().zip([0.875, 1.125, 1.0]) {
        assert!((got - expected).abs() < 2e-6, "{got} is not {expected}");
    }
    assert_eq!(state.0.t.item::<i32>().unwrap(), 1);
}

#[test]
fn soap_and_shampoo_take_leaves_of_any_shape() {
    let p = vec![
        Tensor::ones([3, 3, 2, 5]),
        Tensor::ones([7, 2]),
        Tensor::ones([1, 4]),
        Tensor::ones([6]),
        Tensor::ones(()),
    ];
    let targets: Vec<Tensor> = (0..).zip(&p).map(|(i, x)| random::normal(&Key::new(i), x.shape())).collect();
    let loss =
        |p: &Vec<Tensor>| p.iter().zip(&targets).fold(Tensor::from(0.0), |sum, (x, y)| sum + (x - y).square().sum(..));
    fn descends<T: Transformation>(optimizer: T, p: &Vec<Tensor>, loss: impl Fn(&Vec<Tensor>) -> Tensor) {
        let step = jit(|(p, s): &(Vec<Tensor>, T::State<Vec<Tensor>>)| {
            let (l, g) = value_and_grad(&loss)(p);
            (l, optimizer.step(p, &g, s))
        });
        let mut carry = (p.clone(), optimizer.init(p));
        let mut losses = Vec::new();
        for _ in 0..80 {
            let (l, next) = step.call(&carry).unwrap();
            losses.push(l.item::<f32>().unwrap());
            carry = next;
        }
        assert!(losses[79] < losses[0] * 0.1, "{losses:?}");
    }
    let small = 6;
    let falling = |lr: f64| Schedule::exponential(lr, 0.5, 15);
    descends(soap(falling(0.2), 0.0), &p, loss);
    descends((ScaleBySoap { max_dim: small, ..Default::default() }, scale_by_learning_rate(falling(0.2))), &p, loss);
    descends(shampoo(0.5), &p, loss);
    descends((ScaleByShampoo { max_dim: small, ..Default::default() }, scale_by_learning_rate(0.5)), &p, loss);
}

/// A step of Adam over 20 leaves reads and writes each leaf in one kernel; beside those there is one for the scalars.
#[test]
fn a_step_is_few_kernels() {
    let p: Vec<Tensor> = (0..20).map(|i| Tensor::ones([16 + i, 32])).collect();
    let optimizer = adam(1e-3);
    let state = optimizer.init(&p);
    let step = jit(|(p, g, s): &(Vec<Tensor>, Vec<Tensor>, _)| optimizer.step(p, g, s));
    let compiled = step.lower(&(p.clone(), p, state)).unwrap().compile().unwrap();
    let kernels = compiled.cost().kernels;
    assert!(kernels <= 21, "{kernels} kernels\n{}", compiled.schedule());
}
