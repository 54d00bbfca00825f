//! Loss scaling: the scale and the parameters step by step, and around every kind of optimizer.

use gradloom_frontend::Tree;
use gradloom_frontend::prelude::*;
use gradloom_stdlib::optim::*;

/// What torch 2's `GradScaler("cpu", init_scale=1024, growth_interval=3)` around `SGD(lr=0.5)` gives from (1, -2) with the
/// gradient (1/4, 1/2), or (inf, 1/2) where a step is bad: scale, good steps, parameters.
const TORCH: [(bool, f32, i32, [f32; 2]); 17] = [
    (true, 1024.0, 1, [0.875, -2.25]),
    (true, 1024.0, 2, [0.75, -2.5]),
    (true, 2048.0, 0, [0.625, -2.75]),
    (false, 1024.0, 0, [0.625, -2.75]),
    (true, 1024.0, 1, [0.5, -3.0]),
    (true, 1024.0, 2, [0.375, -3.25]),
    (false, 512.0, 0, [0.375, -3.25]),
    (false, 256.0, 0, [0.375, -3.25]),
    (true, 256.0, 1, [0.25, -3.5]),
    (true, 256.0, 2, [0.125, -3.75]),
    (true, 512.0, 0, [0.0, -4.0]),
    (true, 512.0, 1, [-0.125, -4.25]),
    (true, 512.0, 2, [-0.25, -4.5]),
    (true, 1024.0, 0, [-0.375, -4.75]),
    (true, 1024.0, 1, [-0.5, -5.0]),
    (false, 512.0, 0, [-0.5, -5.0]),
    (true, 512.0, 1, [-0.625, -5.25]),
];

fn gradient(good: bool, scale: f32) -> Tensor {
    Tensor::from([if good { 0.25 * scale } else { f32::INFINITY }, 0.5 * scale])
}

#[test]
fn the_scale_is_that_of_torch() {
    let optimizer = LossScaled { init: 1024.0, interval: 3, ..loss_scaled(sgd(0.5)) };
    let step = jit(|(x, g, s): &(Tensor, Tensor, _)| optimizer.step(x, g, s));
    let mut x = Tensor::from([1.0f32, -2.0]);
    let mut state = optimizer.init(&x);
    for (i, (good, scale, good_steps, params)) in TORCH.into_iter().enumerate() {
        let g = gradient(good, state.scale.item().unwrap());
        (x, state) = step.call(&(x, g, state)).unwrap();
        let now = (state.scale.item::<f32>().unwrap(), state.good_steps.item::<i32>().unwrap());
        assert_eq!((now, &x.to_vec::<f32>().unwrap()[..]), ((scale, good_steps), &params[..]), "step {i}");
    }
}

/// The rule as a loop in Rust, over thousands of steps that are bad at random.
#[test]
fn the_scale_is_that_of_a_loop() {
    let optimizer = LossScaled { init: 8.0, growth: 4.0, backoff: 0.25, interval: 5, least: 0.5, inner: sgd(1.0) };
    let step = jit(|(x, g, s): &(Tensor, Tensor, _)| optimizer.step(x, g, s));
    let mut x = Tensor::from(0.0f32);
    let mut state = optimizer.init(&x);
    let (mut scale, mut good_steps, mut taken, mut seed) = (8.0f32, 0, 0.0f32, 1u64);
    let mut range = (f32::MAX, 0f32);
    for i in 0..2000u64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // long good and long bad times
        let good = (seed >> 40) % 10 < if i / 100 % 2 == 0 { 9 } else { 3 };
        let g = Tensor::from(if good { -scale } else { [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][i as usize % 3] });
        (x, state) = step.call(&(x, g, state)).unwrap();
        if good {
            taken += 1.0;
            good_steps += 1;
            if good_steps == 5 {
                (scale, good_steps) = (if (scale * 4.0).is_finite() { scale * 4.0 } else { scale }, 0);
            }
        } else {
            (scale, good_steps) = ((scale * 0.25).max(0.5), 0);
        }
        range = (range.0.min(scale), range.1.max(scale));
        assert_eq!(state.scale.item::<f32>().unwrap(), scale, "step {i}");
        assert_eq!(state.good_steps.item::<i32>().unwrap(), good_steps, "step {i}");
        assert_eq!(x.item::<f32>().unwrap(), taken, "step {i}");
    }
    assert!(range.0 == 0.5 && range.1 > 1e6, "{range:?}");
}

#[test]
fn a_scale_that_would_be_infinite_stays() {
    let optimizer = LossScaled { init: 2f64.powi(127), interval: 1, ..loss_scaled(sgd(1.0)) };
    let x = Tensor::from(0.0f32);
    let (_, state) = optimizer.step(&x, &x, &optimizer.init(&x));
    assert_eq!(state.scale.item::<f32>().unwrap(), 2f32.powi(127));
}

/// In f32 a scale that is a power of two changes nothing; a bad step leaves everything as it was.
#[track_caller]
fn check<T: Transformation + Clone>(plain: T) {
    let scaled = loss_scaled(plain.clone());
    let loss = |(w, b): &(Tensor, Tensor)| ((w * 1.5 - b).sin() + w.square() * 0.25).sum(..);
    let start = (Tensor::from([[0.3f32, -0.2], [0.1, 0.7]]), Tensor::from([0.5f32, -0.4]));
    type Params = (Tensor, Tensor);
    let step = |optimizer: &T, p: &Params, s: &T::State<Params>| {
        let (value, g) = optimizer.value_and_grad(loss, p, s);
        (value, optimizer.step(p, &g, s))
    };
    let scaled_step = |p: &Params, s: &<LossScaled<T> as Transformation>::State<Params>| {
        let (value, g) = scaled.value_and_grad(loss, p, s);
        (value, scaled.step(p, &g, s))
    };
    let (mut a, mut b) = ((start.clone(), plain.init(&start)), (start.clone(), scaled.init(&start)));
    let bits = |t: &dyn Fn() -> Vec<Tensor>| -> Vec<u32> {
        t().iter()
            .filter(|t| t.dtype() == DType::F32)
            .flat_map(|t| t.to_vec::<f32>().unwrap())
            .map(f32::to_bits)
            .collect()
    };
    for _ in 0..4 {
        let (x, y);
        (x, a) = step(&plain, &a.0, &a.1);
        (y, b) = scaled_step(&b.0, &b.1);
        assert_eq!(x.item::<f32>().unwrap(), y.item::<f32>().unwrap());
        let [p, q] =
            [a.0.leaves(), b.0.leaves()].map(|l| l.iter().flat_map(|t| t.to_vec::<f32>().unwrap()).collect::<Vec<_>>());
        assert!(p.iter().zip(&q).all(|(p, q)| (p - q).abs() <= 1e-5 * p.abs().max(1.0)), "{p:?} {q:?}");
    }
    let nan = b.0.map(|x| x * f64::NAN);
    let (params, state) = scaled.step(&b.0, &nan, &b.1);
    assert_eq!(bits(&|| params.leaves()), bits(&|| b.0.leaves()));
    assert_eq!(bits(&|| state.inner.leaves()), bits(&|| b.1.inner.leaves()));
    assert_eq!(state.scale.item::<f32>().unwrap(), 32768.0);
}

#[test]
fn around_optimizers() {
    check(sgd(0.1));
    check(momentum(0.1, 0.9, true));
    check(adam(0.1));
    check(adamw(Schedule::cosine(0.1, 0.0, 10), 0.01));
    check(chain((clip_by_global_norm(0.5), adam(0.1))));
    check(accumulate(2, sgd(0.1)));
    check(chain((masked(add_decayed_weights(0.1), |_, p| p.ndim() > 1), scale_by_learning_rate(0.1))));
    check(Some(adam(0.1)));
    check((ScaleByShampoo::default(), scale_by_learning_rate(0.1)));
}

#[test]
fn the_scale_is_found_inside_of_what_wraps_it() {
    let x = Tensor::from([1.0f32, 2.0]);
    let inner = || LossScaled { init: 4.0, ..loss_scaled(sgd(0.1)) };
    #[track_caller]
    fn found<T: Transformation>(optimizer: T, x: &Tensor, scale: f32) {
        let state = optimizer.init(x);
        assert_eq!(optimizer.loss_scale::<Tensor>(&state).unwrap().item::<f32>().unwrap(), scale);
        let (value, g) = optimizer.value_and_grad(|x: &Tensor| x.square().sum(..), x, &state);
        assert_eq!((value.item::<f32>().unwrap(), g.to_vec::<f32>().unwrap()), (5.0, vec![2.0 * scale, 4.0 * scale]));
    }
    found(accumulate(2, inner()), &x, 4.0);
    found(Some(inner()), &x, 4.0);
    found(inner(), &x, 4.0);
    found(masked(inner(), |_, _| true), &x, 4.0);
    found((inner(),), &x, 4.0);
    found(LossScaled { init: 2.0, ..loss_scaled(inner()) }, &x, 8.0);
    assert!(adam(0.1).loss_scale::<Tensor>(&adam(0.1).init(&x)).is_none());
}

#[test]
fn leaves_of_every_dtype() {
    // 16-bit gradients are divided in 32 bits, where 65536 is a number
    let p = (Tensor::from([1.0f64]), Tensor::from([1.0f32]).to(DType::F16), Tensor::from([3]));
    let optimizer = loss_scaled(sgd(1.0));
    let g = (Tensor::from([0.5f64 * 65536.0]), Tensor::from([32768.0f32]).to(DType::F16), Tensor::from([0]));
    let (q, _) = optimizer.step(&p, &g, &optimizer.init(&p));
    assert_eq!(q.0.to_vec::<f64>().unwrap(), [0.5]);
    assert_eq!(q.1.to(DType::F32).to_vec::<f32>().unwrap(), [0.5]);
    assert_eq!(q.2.to_vec::<i32>().unwrap(), [3]);
    // a loss in f16 is multiplied in f32
    let (x, optimizer) = (Tensor::from(1.0f32), LossScaled { init: 1024.0, ..loss_scaled(sgd(1.0)) });
    let loss = |x: &Tensor| x.to(DType::F16) * 100.0;
    let (value, g) = optimizer.value_and_grad(loss, &x, &optimizer.init(&x));
    assert_eq!((value.dtype(), g.item::<f32>().unwrap()), (DType::F16, f32::INFINITY));
    let (value, g) = optimizer.value_and_grad(|x: &Tensor| loss(x) * 1e-2, &x, &optimizer.init(&x));
    assert!((value.to(DType::F32).item::<f32>().unwrap() - 1.0).abs() < 2e-3);
    assert!((g.item::<f32>().unwrap() / 1024.0 - 1.0).abs() < 2e-3, "{g}");
}
