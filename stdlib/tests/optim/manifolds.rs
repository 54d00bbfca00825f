//! Every manifold satisfies the identities of its maps, and Riemannian optimizers move on it.

use gradloom_frontend::{linalg, prelude::*};
use gradloom_stdlib::manifold::*;
use gradloom_stdlib::optim::*;

/// Points and tangent vectors of a manifold, and what its maps promise.
struct Case {
    name: &'static str,
    manifold: Box<dyn Manifold>,
    /// Shape of a point.
    shape: Vec<usize>,
    /// Whether `exp(x, log(x, y))` is `y`, or only a point at distance 0 from it.
    unique: bool,
    /// Whether transport keeps lengths.
    isometric: bool,
}

fn cases() -> Vec<Case> {
    let case =
        |name, manifold, shape: &[usize]| Case { name, manifold, shape: shape.to_vec(), unique: true, isometric: true };
    vec![
        case("ball", Box::new(PoincareBall::new(1.0)) as Box<dyn Manifold>, &[4]),
        case("curved ball", Box::new(PoincareBall::new(0.3)), &[3]),
        case("lorentz", Box::new(Lorentz::new(1.0)), &[4]),
        case("curved lorentz", Box::new(Lorentz::new(2.5)), &[3]),
        case("sphere", Box::new(Sphere), &[5]),
        case("spd", Box::new(Spd), &[3, 3]),
        Case { unique: false, ..case("grassmann", Box::new(Grassmann), &[5, 2]) },
        Case { isometric: false, ..case("stiefel", Box::new(Stiefel), &[5, 2]) },
    ]
}

impl Case {
    /// Six points near each other.
    fn points(&self, seed: u64) -> Tensor {
        // far from the ball's boundary, where points have few digits; frames near enough for their logarithm
        let size = if self.name.contains("ball") { 0.12 } else { 0.3 };
        let spread = if self.name == "stiefel" { 0.05 } else { size };
        let noise = random::normal(&Key::new(seed), [&[6], &self.shape[..]].concat()).to(DType::F64) * spread;
        let centre = random::normal(&Key::new(9), &self.shape).to(DType::F64) * size;
        let centre = if self.name == "spd" { centre + Tensor::eye(3).to(DType::F64) * 2.0 } else { centre };
        self.manifold.project(&(centre + noise))
    }

    fn tangents(&self, x: &Tensor, seed: u64) -> Tensor {
        let size = if self.name.contains("ball") { 0.1 } else { 0.3 };
        let v = random::normal(&Key::new(seed), x.shape()).to(DType::F64) * size;
        self.manifold.to_tangent(x, &v)
    }

    #[track_caller]
    fn close(&self, what: &str, a: &Tensor, b: &Tensor, tolerance: f64) {
        let error = (a - b).abs().max(..).item::<f64>().unwrap();
        assert!(error <= tolerance, "{}: {what} differs by {error:e}", self.name);
    }

    fn norm(&self, x: &Tensor, v: &Tensor) -> Tensor {
        self.manifold.inner(x, v, v).flatten().sqrt()
    }
}

#[test]
fn points_stay_and_tangents_stay_tangent() {
    for c in cases() {
        let (m, x) = (&c.manifold, c.points(1));
        let v = c.tangents(&x, 3);
        let y = m.exp(&x, &v);
        if c.name != "grassmann" {
            // the projection of a subspace may turn its matrix
            c.close("project twice", &m.project(&x), &x, 1e-12);
            c.close("exp stays", &m.project(&y), &y, 1e-12);
        } else {
            c.close("exp stays", &y.mt().matmul(&y), &Tensor::eye(2).to(DType::F64).broadcast_to([6, 2, 2]), 1e-12);
        }
        c.close("to_tangent twice", &m.to_tangent(&x, &v), &v, 1e-12);
        let carried = m.transport(&x, &y, &v);
        c.close("transport stays tangent", &m.to_tangent(&y, &carried), &carried, 1e-10);
    }
}

#[test]
fn log_and_exp_are_inverse_and_give_the_distance() {
    for c in cases() {
        let (m, x, y) = (&c.manifold, c.points(1), c.points(2));
        let v = m.log(&x, &y);
        let there = m.exp(&x, &v);
        if c.unique {
            c.close("exp log", &there, &y, 1e-9);
        } else {
            // distances near 0 are roots of roundings
            c.close("exp log", &m.dist(&there, &y), &m.dist(&y, &y), 1e-6);
        }
        c.close("length of log", &c.norm(&x, &v), &m.dist(&x, &y), 1e-9);
        c.close("symmetric distance", &m.dist(&y, &x), &m.dist(&x, &y), 1e-9);
        // exp first, for vectors as long as those
        let v = c.tangents(&x, 3);
        c.close("log exp", &m.log(&x, &m.exp(&x, &v)), &v, 1e-9);
        // points at constant speed
        let half = m.exp(&x, &(&v * 0.5));
        c.close("half way", &(m.dist(&x, &half) * 2.0), &c.norm(&x, &v), 1e-9);
        c.close("other half", &m.dist(&half, &m.exp(&x, &v)), &m.dist(&x, &half), 1e-9);
    }
}

#[test]
fn transport_keeps_inner_products_and_velocities() {
    for c in cases().iter().filter(|c| c.isometric) {
        let (m, x, y) = (&c.manifold, c.points(1), c.points(2));
        let (u, v) = (c.tangents(&x, 3), c.tangents(&x, 4));
        let (at_x, at_y) = (m.inner(&x, &u, &v), m.inner(&y, &m.transport(&x, &y, &u), &m.transport(&x, &y, &v)));
        c.close("inner products", &at_y, &at_x, 1e-9);
        // the velocity of the geodesic, carried along it, is the velocity at its end
        let (forth, back) = (m.log(&x, &y), m.log(&y, &x));
        c.close("velocity", &m.transport(&x, &y, &forth), &-back, 1e-9);
    }
}

/// ⟨grad f, v⟩ is the derivative of f along v.
#[test]
fn gradients_are_riemannian() {
    for c in cases() {
        let (m, x) = (&c.manifold, c.points(1));
        let v = c.tangents(&x, 3);
        let a = random::normal(&Key::new(5), x.shape()).to(DType::F64);
        let f = |x: &Tensor| ((x * &a).sin() + x.square() * 0.3).sum(..);
        let g = m.gradient(&x, &grad(f)(&x));
        c.close("gradient is tangent", &m.to_tangent(&x, &g), &g, 1e-12);
        let along = jvp(
            |t: &Tensor| f(&m.exp(&x, &(&v * t))),
            &Tensor::full((), 0.0, DType::F64),
            &Tensor::full((), 1.0, DType::F64),
        )
        .1;
        c.close("slope", &m.inner(&x, &g, &v).sum(..), &along, 1e-9);
    }
}

#[test]
fn derivatives_of_maps_match_differences() {
    for c in cases().iter().filter(|c| c.name != "stiefel") {
        let (m, x, y) = (&c.manifold, c.points(1).i(0), c.points(2).i(0));
        let v = c.tangents(&x, 3);
        let maps: [(&str, Box<dyn Fn(&Tensor) -> Tensor + '_>); 4] = [
            ("exp", Box::new(|t| m.exp(&m.exp(&x, &(&v * t)), &m.to_tangent(&x, &y)))),
            ("log", Box::new(|t| m.log(&m.exp(&x, &(&v * t)), &y))),
            ("dist", Box::new(|t| m.dist(&m.exp(&x, &(&v * t)), &y))),
            ("transport", Box::new(|t| m.transport(&m.exp(&x, &(&v * t)), &y, &v))),
        ];
        for (name, f) in maps {
            let at = |t: f64| f(&Tensor::full((), t, DType::F64));
            let h = 1e-5;
            let difference = (at(0.3 + h) - at(0.3 - h)) / (2.0 * h);
            let t = Tensor::full((), 0.3, DType::F64);
            let (_, forward) = jvp(&f, &t, &t.ones_like());
            c.close(name, &forward, &difference, 1e-6);
            let weight = random::normal(&Key::new(6), difference.shape()).to(DType::F64);
            let reverse = grad(|t: &Tensor| (f(t) * &weight).sum(..))(&t);
            c.close(&format!("{name} in reverse"), &reverse, &(difference * weight).sum(..), 1e-6);
        }
    }
}

/// At coinciding points derivatives are finite: hyperbolic networks start there.
#[test]
fn smooth_at_the_same_point() {
    for c in cases().iter().filter(|c| c.shape.len() == 1) {
        let (m, x) = (&c.manifold, c.points(1).i(0).to(DType::F32));
        let zero = x.zeros_like();
        let through = |v: &Tensor| m.exp(&x, v);
        let (y, dy) = jvp(through, &zero, &m.to_tangent(&x, &x.ones_like()));
        let gap = (y - &x).abs().max(..).item::<f32>().unwrap()
            + (dy - m.to_tangent(&x, &x.ones_like())).abs().max(..).item::<f32>().unwrap();
        assert!(gap < 1e-5, "{}: {gap}", c.name);
        let g = grad(|y: &Tensor| m.log(&x, y).sum(..) + m.dist(&x, y).sum(..))(&x);
        assert!(g.is_finite().all(..).item::<bool>().unwrap(), "{}: {g}", c.name);
        assert!(m.dist(&x, &x).sum(..).item::<f32>().unwrap() < 1e-3);
    }
}

#[test]
fn hyperbolic_models_agree() {
    // the ball is the hyperboloid seen from (-1, 0, ..): x / (1 + x₀)
    let (ball, lorentz) = (PoincareBall::new(1.0), Lorentz::new(1.0));
    let [a, b] = [1, 2].map(|seed| lorentz.from_space(&random::normal(&Key::new(seed), [10, 3]).to(DType::F64)));
    let down = |x: &Tensor| x.i((.., 1..)) / (x.i((.., 0..1)) + 1.0);
    let gap = (ball.dist(&down(&a), &down(&b)) - lorentz.dist(&a, &b)).abs().max(..).item::<f64>().unwrap();
    assert!(gap < 1e-12, "{gap}");
    // gyr[x, y] v = -(x ⊕ y) ⊕ (x ⊕ (y ⊕ v)), and r ⊗ x is r times the logarithm
    let [x, y] = [down(&a), down(&b)];
    let v = &x * 0.2 + &y * 0.1;
    let gyration = ball.add(&-ball.add(&x, &y), &ball.add(&x, &ball.add(&y, &v)));
    assert!((ball.gyration(&x, &y, &v) - gyration).abs().max(..).item::<f64>().unwrap() < 1e-10);
    let r = Tensor::full((), 0.7, DType::F64);
    let scaled = ball.exp0(&(ball.log0(&x) * 0.7));
    assert!((ball.scale(&r, &x) - scaled).abs().max(..).item::<f64>().unwrap() < 1e-12);
}

/// The mean of points: both optimizers find where the sum of squared distances is least, which is where the mean of
/// logarithms is 0.
#[test]
fn optimizers_find_the_mean() {
    fn mean<T: Transformation>(c: &Case, optimizer: T, steps: usize) {
        let (m, data) = (&c.manifold, c.points(2));
        let step = jit(|(x, s): &(Tensor, T::State<Tensor>)| {
            let loss = |x: &Tensor| m.dist(&x.expand_dims(0).broadcast_to(data.shape()), &data).square().sum(..) * 0.5;
            optimizer.step(x, &grad(loss)(x), s)
        });
        let x = c.points(1).i(0);
        let mut carry = (x.clone(), optimizer.init(&x));
        for _ in 0..steps {
            carry = step.call(&carry).unwrap();
        }
        let x = carry.0.expand_dims(0).broadcast_to(data.shape());
        let left = m.log(&x, &data).mean(0).abs().max(..).item::<f64>().unwrap();
        assert!(left < 1e-4, "{}: mean of logarithms {left}", c.name);
        assert!(m.check(&carry.0).is_ok());
    }
    for c in cases() {
        match c.name {
            "ball" => {
                mean(&c, riemannian_sgd(PoincareBall::new(1.0), 0.05, 0.5), 100);
                mean(&c, riemannian_adam(PoincareBall::new(1.0), Schedule::exponential(0.1, 0.5, 30)), 400);
            }
            "lorentz" => mean(&c, riemannian_adam(Lorentz::new(1.0), Schedule::exponential(0.1, 0.5, 30)), 400),
            "sphere" => mean(&c, riemannian_sgd(Sphere, 0.05, 0.5), 100),
            "spd" => mean(&c, riemannian_sgd(Spd, 0.05, 0.5), 100),
            "grassmann" => mean(&c, riemannian_sgd(Grassmann, 0.05, 0.5), 100),
            _ => {}
        }
    }
}

#[test]
fn frames_far_apart_have_no_logarithm() {
    let x = Tensor::from([[1.0f64], [0.0]]);
    assert!(Stiefel.log(&x, &-&x).is_nan().all(..).item::<bool>().unwrap());
}

/// The p leading eigenvectors, on frames; the point stays orthonormal over many steps although updates are added.
#[test]
fn frames_stay_orthonormal() {
    let a = random::normal(&Key::new(3), [6, 6]);
    let a = a.matmul(&a.t());
    let weights = Tensor::from([2.0f32, 1.0]);
    let optimizer = riemannian_adam(Stiefel, 0.05);
    let loss = |x: &Tensor| -(a.matmul(x) * x * &weights).sum(..);
    let step = jit(|(x, s): &(Tensor, RiemannianState<Tensor>)| optimizer.step(x, &grad(loss)(x), s));
    let x = Stiefel.project(&random::normal(&Key::new(4), [6, 2]));
    let mut carry = (x.clone(), optimizer.init(&x));
    for _ in 0..500 {
        carry = step.call(&carry).unwrap();
    }
    let gram = carry.0.t().matmul(&carry.0);
    assert!((gram - Tensor::eye(2)).abs().max(..).item::<f32>().unwrap() < 1e-5);
    let w = linalg::eigvalsh(&a).to_vec::<f32>().unwrap();
    let best = 2.0 * w[5] + w[4];
    let got = -loss(&carry.0).item::<f32>().unwrap();
    assert!((got - best).abs() < 1e-2 * best, "{got} is not {best}");
}
