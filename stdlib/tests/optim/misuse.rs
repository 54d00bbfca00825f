//! Constants and parameters without meaning are one clear error.

use gradloom_frontend::prelude::*;
use gradloom_stdlib::manifold::*;
use gradloom_stdlib::optim::*;

/// The error of a step, eager and compiled; both say `part`.
#[track_caller]
fn refused<T: Transformation>(optimizer: T, part: &str) {
    let x = Tensor::ones([2, 2]);
    let (y, _) = optimizer.step(&x, &x, &optimizer.init(&x));
    let eager = y.check().expect_err(part).to_string();
    let step = jit(|x: &Tensor| optimizer.step(x, x, &optimizer.init(x)).0);
    let compiled = step.call(&x).expect_err(part).to_string();
    assert!(eager.contains(part), "{eager}");
    assert!(compiled.contains(part), "{compiled}");
}

#[test]
fn constants() {
    refused(sgd(f64::NAN), "a constant of it is NaN");
    refused(momentum(0.1, 1.0, false), "μ is 1");
    refused((ScaleByAdam { b1: -0.1, ..Default::default() }, scale_by_learning_rate(0.1)), "β₁ is -0.1");
    refused((ScaleByAdam { eps: -1.0, ..Default::default() }, scale_by_learning_rate(0.1)), "ε is -1");
    refused(ScaleByRadam { threshold: 1.0, ..Default::default() }, "the threshold is 1");
    refused(clip(0.0), "the bound is 0");
    refused(accumulate(0, sgd(0.1)), "0 gradients make no step");
    refused(LossScaled { init: 0.5, ..loss_scaled(sgd(0.1)) }, "the scale starts at 0.5 and is at least 1");
    refused(LossScaled { growth: 0.5, ..loss_scaled(sgd(0.1)) }, "the scale grows by 0.5");
    refused(LossScaled { backoff: 0.0, ..loss_scaled(sgd(0.1)) }, "the scale shrinks by 0");
    refused(LossScaled { interval: 0, ..loss_scaled(sgd(0.1)) }, "the scale grows after 0 steps");
    refused(ScaleByLbfgs { memory: 0 }, "a memory of 0 steps");
    refused(ScaleByShampoo { every: 0, ..Default::default() }, "roots every 0 steps");
    refused(ScaleBySoap { beta: 1.5, ..Default::default() }, "β is 1.5");
    refused(Prodigy { d0: 0.0, ..prodigy() }, "d₀ is 0");
    refused(scale_by_path(|_| f64::INFINITY), "the factor of leaf `` is inf");
    refused(average_params(1.0), "β is 1");
    refused(riemannian_sgd(Sphere, 0.1, 2.0), "μ is 2");
    refused(riemannian_adam(PoincareBall::new(-1.0), 0.1), "c is -1");
}

#[test]
fn schedules() {
    refused(sgd(Schedule::cosine(0.1, 0.0, 0)), "steps is 0");
    refused(sgd(Schedule::polynomial(0.1, 0.0, -1.0, 5)), "the power is -1");
    refused(sgd(Schedule::piecewise(&[(3, 0.1)])), "the first must start at 0");
    refused(sgd(Schedule::piecewise(&[])), "the first must start at 0");
    refused(sgd(Schedule::one_cycle_with(0.1, 10, 3.0, 25.0, 1e4)), "a part 3 of the steps");
    refused(sgd(|_: &Tensor| Tensor::ones([2])), "not a scalar");
    refused(adamw(0.1, Schedule::linear(0.0, 0.1, 0)), "steps is 0");
}

#[test]
fn parameters() {
    let muon = ScaleByMuon::default();
    let vector = Tensor::ones([3]);
    assert!(muon.init(&vector).m.check().unwrap_err().to_string().contains("no matrix"));
    assert!(riemannian_sgd(Stiefel, 0.1, 0.0).init(&vector).m.check().is_err());
    let wide = Tensor::ones([2, 3]);
    assert!(riemannian_sgd(Grassmann, 0.1, 0.0).init(&wide).m.check().is_err());
    assert!(riemannian_sgd(Spd, 0.1, 0.0).init(&wide).m.check().is_err());
    let mixed = (Tensor::ones([2]), Tensor::ones([2]).to(DType::F64));
    let loss = |(a, _): &(Tensor, Tensor)| a.sum(..);
    assert!(Lbfgs::default().minimize(loss, &mixed).value.check().is_err());
    let residuals = |(a, _): &(Tensor, Tensor)| a.clone();
    assert!(LevenbergMarquardt::default().minimize(residuals, &mixed).value.check().is_err());
    assert!(
        Lbfgs { c1: 0.9, c2: 0.1, ..Default::default() }
            .minimize(|x: &Tensor| x.sum(..), &vector)
            .value
            .check()
            .is_err()
    );
}

#[test]
fn states_of_other_optimizers() {
    let x = Tensor::ones([2]);
    let says = |t: Tensor| assert!(t.check().unwrap_err().to_string().contains("of the same optimizer"), "{t}");
    says(momentum(0.1, 0.9, false).step(&x, &x, &sgd(0.1).init(&x)).0);
    says(sgd(0.1).step(&x, &x, &momentum(0.1, 0.9, false).init(&x)).0);
    let centered = ScaleByRms { centered: true, ..Default::default() };
    says(centered.step(&x, &x, &ScaleByRms::default().init(&x)).0);
    says(ScaleByRms::default().step(&x, &x, &centered.init(&x)).0);
    let point = Sphere.project(&x);
    says(riemannian_adam(Sphere, 0.1).step(&point, &x, &riemannian_sgd(Sphere, 0.1, 0.0).init(&point)).0);
}

#[test]
fn complex_parameters() {
    let z = Tensor::complex(&Tensor::ones([2, 2]), &Tensor::ones([2, 2]));
    #[track_caller]
    fn refused<T: Transformation>(z: &Tensor, optimizer: T) {
        let (y, _) = optimizer.step(z, z, &optimizer.init(z));
        let e = y.check().unwrap_err().to_string();
        assert!(e.contains("a leaf is c64[2,2]; this works on real parameters only"), "{e}");
        assert!(e.contains("keep real and imaginary part as two leaves"), "{e}");
    }
    refused(&z, clip(1.0));
    refused(&z, shampoo(0.1));
    refused(&z, soap(0.1, 0.0));
    refused(&z, muon(0.1, 0.0));
    refused(&z, prodigy());
    refused(&z, ScaleByLbfgs::default());
    refused(&z, riemannian_sgd(Sphere, 0.1, 0.0));
    refused(&z, riemannian_adam(Sphere, 0.1));
    // not even beside real ones
    let both = (z.real(), z);
    let loss = |(a, z): &(Tensor, Tensor)| a.square().sum(..) + z.abs().square().sum(..);
    let minima = [
        Lbfgs::default().minimize(loss, &both).value,
        LevenbergMarquardt::default().minimize(|(a, _): &(Tensor, Tensor)| a.flatten(), &both).value,
    ];
    for m in minima {
        assert!(m.check().unwrap_err().to_string().contains("real parameters only"), "{m}");
    }
}

#[test]
fn trees_that_differ() {
    let optimizer = adam(0.1);
    let p = vec![Tensor::zeros([2]), Tensor::zeros([3])];
    let (updated, _) = optimizer.step(&p, &p[..1].to_vec(), &optimizer.init(&p));
    assert!(updated[0].to_vec::<f32>().unwrap_err().to_string().contains("structure"));
}
