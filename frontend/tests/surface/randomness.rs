//! Every expected number is JAX's (`jax_threefry_partitionable`, its default) for the same key.

use super::{near, read};
use gradloom_frontend::prelude::*;
use gradloom_frontend::{Tensor, linalg, random, special};

fn key(seed: u64) -> Key {
    Key::new(seed)
}

fn words(k: &Key) -> Vec<u32> {
    k.to_tensor().to_vec().unwrap()
}

#[test]
fn keys() {
    assert_eq!(words(&key(0)), [0, 0]);
    assert_eq!(words(&key(42)), [0, 42]);
    assert_eq!(words(&key(0x1234_5678_9abc_def0)), [0x1234_5678, 0x9abc_def0]);
    let rows: Vec<u32> = key(0).split(3).iter().flat_map(words).collect();
    assert_eq!(rows, [1797259609, 2579123966, 928981903, 3453687069, 4146024105, 2718843009]);
    let rows = key(2147483647).split_tensor(2);
    assert_eq!(rows.to_vec::<u32>().unwrap(), [3894554595, 3657610310, 2391852627, 3342111533]);
    assert_eq!(words(&key(0).fold_in(0)), [1797259609, 2579123966]);
    assert_eq!(words(&key(0).fold_in(1)), [928981903, 3453687069]);
    assert_eq!(words(&key(0).fold_in(Tensor::from(7u32))), [2716826189, 292468403]);
    assert_eq!(words(&key(0).fold_in(-1)), [743310391, 3789761811]);
    assert_eq!(words(&key(0).fold_in(u32::MAX)), [743310391, 3789761811]);
}

#[test]
fn bits() {
    let expected = [2098992034, 2919706841, 2646866425, 2409546199, 1935504149, 2516274904];
    assert_eq!(random::bits(&key(42), [2, 3]).to_vec::<u32>().unwrap(), expected);
    assert_eq!(random::bits(&key(9), ()).to_vec::<u32>().unwrap(), [175140440]);
    assert_eq!(random::bits(&key(9), [3, 0]).shape(), [3, 0]);
}

#[test]
fn uniform() {
    let u = random::uniform(&key(42), [5]).to_vec::<f32>().unwrap();
    assert_eq!(u, [0.48870957, 0.6797972, 0.6162715, 0.5610161, 0.4506446]);
    let u = random::uniform_as(&key(42), [3], DType::F64).to_vec::<f64>().unwrap();
    assert_eq!(u, [0.4267275666499091, 0.015010069515314584, 0.5741444178995352]);
    let u = random::uniform_range(&key(1), [4], -2.0, 3.0);
    near(&u, &[4], &[0.19316244, 0.6687646, 0.22959161, 0.19198167], 1e-6);
}

#[test]
fn distributions() {
    let n = random::normal(&key(42), [6]);
    near(&n, &[6], &[-0.028304616, 0.46713185, 0.29570296, 0.15354592, -0.12403282, 0.21692315], 1e-6);
    let n = random::normal_as(&key(42), [3], DType::F64);
    near(&n, &[3], &[-0.18471174528191162, -2.169824560397754, 0.18693555179382582], 1e-14);
    let g = random::gumbel(&key(2), [4]);
    near(&g, &[4], &[0.8095645, 2.256734, -0.38494107, 2.0714312], 1e-6);
    let t = random::truncated_normal(&key(2), -1.0, 2.0, [5]);
    near(&t, &[5], &[0.47667542, 1.2584372, -0.39354113, 1.1766709, 0.0025504408], 1e-6);
    let e = random::exponential(&key(2), [4]);
    near(&e, &[4], &[1.023851, 2.308623, 0.26140907, 2.1337724], 1e-6);
    let b = random::bernoulli(&key(8), 0.3, [12]);
    near(&b, &[12], &[1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0], 0.0);
}

#[test]
fn integers() {
    let r = random::randint(&key(5), [8], 1, 7).to_vec::<i32>().unwrap();
    assert_eq!(r, [4, 1, 4, 1, 3, 2, 2, 2]);
    let r = random::randint(&key(5), [4], i32::MIN, i32::MAX).to_vec::<i32>().unwrap();
    assert_eq!(r, [-1787507967, -1163020224, -1664956169, -994140664]);
    let r = random::randint(&key(6), [6], -1000, 1000).to_vec::<i32>().unwrap();
    assert_eq!(r, [-618, -658, 148, 31, -48, -652]);
    assert_eq!(random::randint(&key(6), [2], 3, 3).to_vec::<i32>().unwrap(), [3, 3]);
}

#[test]
fn orders_and_choices() {
    assert_eq!(random::permutation(&key(3), 10).to_vec::<i32>().unwrap(), [0, 5, 6, 7, 4, 2, 1, 3, 9, 8]);
    let long = random::permutation(&key(3), 2000).to_vec::<i32>().unwrap();
    assert_eq!(long[..6], [1883, 819, 811, 456, 1123, 377]);
    let rows = random::shuffle(&key(4), &Tensor::arange(8).reshape([4, 2]));
    assert_eq!(rows.to_vec::<i32>().unwrap(), [2, 3, 6, 7, 0, 1, 4, 5]);
    assert_eq!(random::permutation(&key(0), 1).to_vec::<i32>().unwrap(), [0]);
    assert_eq!(random::permutation(&key(0), 0).shape(), [0]);
    let logits = [0.0f32, 1.0, 2.0, -1.0, 3.0, 0.0, 0.0, 0.0, -1.0, -1.0, 2.0, 2.0];
    let logits = Tensor::from_slice([3, 4], &logits);
    assert_eq!(random::categorical(&key(11), &logits, -1).to_vec::<i32>().unwrap(), [2, 0, 1]);
    assert_eq!(random::categorical(&key(11), &logits, 0).to_vec::<i32>().unwrap(), [1, 2, 0, 2]);
}

#[test]
fn moments_of_many() {
    let x = random::normal(&key(7), [100_000]);
    let (mean, std) = (x.mean(..).item::<f32>().unwrap(), x.std(..).item::<f32>().unwrap());
    assert!(mean.abs() < 0.01 && (std - 1.0).abs() < 0.01, "{mean} {std}");
    let u = random::uniform(&key(7), [100_000]);
    let (lo, hi) = (u.min(..).item::<f32>().unwrap(), u.max(..).item::<f32>().unwrap());
    assert!((0.0..1e-3).contains(&lo) && (0.999..1.0).contains(&hi));
}

#[test]
fn keys_under_transforms() {
    let draw = |k: &Key| {
        let pair = k.split(2);
        (random::normal(&pair[0], [3]), random::randint(&pair[1].fold_in(5), [2], 0, 100))
    };
    let keys = key(1).split(4);
    let (n, r) = vmap(draw)(&key(1).split_batch(4));
    let (jn, jr) = jit(vmap(draw)).call(&key(1).split_batch(4)).unwrap();
    for (i, k) in keys.iter().enumerate() {
        let (n1, r1) = draw(k);
        assert_eq!(read(&n.i(i)), read(&n1));
        assert_eq!(read(&jn.i(i)), read(&n1));
        assert_eq!(read(&r.i(i)), read(&r1));
        assert_eq!(read(&jr.i(i)), read(&r1));
    }
    let shuffled = vmap(|k: &Key| random::permutation(k, 6))(&key(1).split_batch(3));
    for (i, k) in key(1).split(3).iter().enumerate() {
        assert_eq!(read(&shuffled.i(i)), read(&random::permutation(k, 6)));
    }
}

/// Complex numbers as real and imaginary parts in a last axis.
fn parts(x: &Tensor) -> Tensor {
    if x.dtype().is_complex() { Tensor::stack(&[x.real(), x.imag()], -1) } else { x.clone() }
}

/// Samples of the distributions of the file `randomness.txt`.
fn drawn(name: &str, key: &Key, dtype: DType, p: &[f64]) -> Tensor {
    use random::*;
    let p: Vec<Tensor> =
        p.iter().map(|&x| Tensor::full((), x, if dtype.is_float() { dtype } else { DType::F64 })).collect();
    let number = |i: usize| read(&p[i]).1[0] as i64;
    let n = [6];
    match name {
        "bits" => bits_as(key, [5], dtype),
        "randint" => randint_as(key, n, number(0), number(1), dtype),
        "uniform" => uniform_as(key, n, dtype),
        "normal" => parts(&normal_as(key, n, dtype)),
        "exponential" => exponential_as(key, n, dtype),
        "gumbel" => gumbel_as(key, n, dtype),
        "laplace" => laplace_as(key, n, dtype),
        "logistic" => logistic_as(key, n, dtype),
        "cauchy" => cauchy_as(key, n, dtype),
        "maxwell" => maxwell_as(key, n, dtype),
        "rademacher" => rademacher_as(key, n, dtype),
        "truncated_normal" => truncated_normal(key, &p[0], &p[1], n),
        "lognormal" => lognormal(key, &p[0], n),
        "wald" => wald(key, &p[0], n),
        "triangular" => triangular(key, &p[0], &p[1], &p[2], n),
        "pareto" => pareto(key, &p[0], n),
        "rayleigh" => rayleigh(key, &p[0], n),
        "weibull_min" => weibull_min(key, &p[0], &p[1], n),
        "gamma" => gamma(key, &p[0], n),
        "loggamma" => loggamma(key, &p[0], n),
        "beta" => beta(key, &p[0], &p[1], n),
        "dirichlet" => dirichlet(key, &Tensor::stack(&p, 0), [2]),
        "chisquare" => chisquare(key, &p[0], n),
        "student_t" => student_t(key, &p[0], n),
        "f_ratio" => f_ratio(key, &p[0], &p[1], n),
        "generalized_normal" => generalized_normal(key, read(&p[0]).1[0], n),
        "ball" => ball(key, 3, read(&p[0]).1[0], [2]),
        "poisson" => poisson(key, &p[0], n),
        "geometric" => geometric(key, &p[0], n),
        "binomial" => binomial(key, &p[0], &p[1], n),
        "permutation" => permutation(key, 9),
        "choice" => Choice::new().indices(key, 9, [4]),
        "choice_once" => Choice::new().without_replacement().indices(key, 9, [4]),
        "choice_weighted" => Choice::new().weights(&Tensor::stack(&p, 0)).indices(key, 6, [8]),
        "choice_weighted_once" => {
            Choice::new().weights(&Tensor::stack(&p, 0)).without_replacement().indices(key, 6, [4])
        }
        "categorical" => categorical_many(key, &Tensor::stack(&p, 0), 0, [8]),
        "multivariate_normal" | "multivariate_normal_of_factor" => {
            let (mean, matrix) = (Tensor::stack(&p[..2], 0), Tensor::stack(&p[2..], 0).reshape([2, 2]));
            if name == "multivariate_normal" {
                multivariate_normal(key, &mean, &matrix, [3])
            } else {
                multivariate_normal_of_factor(key, &mean, &matrix, [3])
            }
        }
        "next_after" => Tensor::stack(&p[..p.len() - 1], 0).next_after(&p[p.len() - 1]),
        "orthogonal" => {
            let shape: Vec<i64> = (2..p.len()).map(number).collect();
            parts(&orthogonal_as(key, number(0) as usize, number(1) as usize, shape, dtype))
        }
        _ => panic!("{name}"),
    }
}

/// Samples of JAX (`randomness.py`): integers exactly, floats up to the rounding of logarithms and powers.
#[test]
fn samples_are_those_of_jax() {
    let mut wrong = Vec::new();
    for line in include_str!("randomness.txt").lines() {
        let (call, values) = line.split_once(" =").unwrap();
        let words: Vec<&str> = call.split(' ').collect();
        let dtype = *DType::ALL.iter().find(|d| d.to_string() == words[1]).unwrap();
        let params: Vec<f64> = words[3..].iter().map(|w| w.parse().unwrap()).collect();
        let got = drawn(words[0], &key(words[2].parse().unwrap()), dtype, &params);
        if dtype == DType::U64 && words[0] == "bits" {
            // beyond what an f64 holds
            let values: Vec<u64> = values.split_whitespace().map(|v| v.parse().unwrap()).collect();
            assert_eq!(got.to_vec::<u64>().unwrap(), values);
            continue;
        }
        // the inverse error function and powers of a small 1 / a leave a few units
        let bound = match dtype {
            DType::F64 | DType::C128 => 2e-13,
            DType::F32 | DType::C64 => 4e-6,
            _ => 1.6e-2,
        };
        let bound = if ["uniform", "next_after"].contains(&words[0]) { 0.0 } else { bound };
        let values: Vec<f64> = values.split_whitespace().map(|v| v.parse().unwrap()).collect();
        let got = read(&got).1;
        let near = |(g, e): (&f64, &f64)| g == e || (dtype.is_inexact() && (g - e).abs() <= bound * e.abs().max(0.1));
        if got.len() != values.len() || !got.iter().zip(&values).all(near) {
            wrong.push(format!("{call}: {got:?}, not {values:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// Mean and variance of many samples, against those of the distribution, within five standard errors.
#[test]
fn moments() {
    use random::*;
    let pi2 = std::f64::consts::PI * std::f64::consts::PI;
    const N: usize = 20_000;
    let k = key(17);
    let s = [N];
    // name, samples, mean, variance, fourth central moment over the squared variance (an upper bound)
    let cases: Vec<(&str, Tensor, f64, f64, f64)> = vec![
        ("exponential", exponential(&k, s), 1.0, 1.0, 9.0),
        ("gumbel", gumbel(&k, s), 0.5772156649, pi2 / 6.0, 5.4),
        ("laplace", laplace(&k, s), 0.0, 2.0, 6.0),
        ("logistic", logistic(&k, s), 0.0, pi2 / 3.0, 4.2),
        ("maxwell", maxwell(&k, s), (8.0 / pi2.sqrt()).sqrt(), 3.0 - 8.0 / pi2.sqrt(), 3.2),
        ("rademacher", rademacher(&k, s), 0.0, 1.0, 1.0),
        ("lognormal", lognormal(&k, 0.5, s), 1.133148, 0.364696, 9.0),
        ("wald", wald(&k, 1.5, s), 1.5, 3.375, 26.0),
        ("triangular", triangular(&k, 0.0, 1.0, 4.0, s), 5.0 / 3.0, 13.0 / 18.0, 2.4),
        ("pareto", pareto(&k, 9.0, s), 1.125, 9.0 / (64.0 * 7.0), 30.0),
        ("rayleigh", rayleigh(&k, 2.0, s), 2.0 * (pi2.sqrt() / 2.0).sqrt(), 8.0 - 2.0 * pi2.sqrt(), 3.3),
        ("weibull_min", weibull_min(&k, 2.0, 1.0, s), 2.0, 4.0, 9.0),
        ("gamma", gamma(&k, 2.5, s), 2.5, 2.5, 5.4),
        ("small gamma", gamma(&k, 0.3, s), 0.3, 0.3, 23.0),
        ("loggamma", loggamma(&k, 1.0, s), -0.5772156649, pi2 / 6.0, 5.4),
        ("beta", beta(&k, 2.0, 3.0, s), 0.4, 0.04, 2.4),
        ("chisquare", chisquare(&k, 4.0, s), 4.0, 8.0, 6.0),
        ("student_t", student_t(&k, 10.0, s), 0.0, 1.25, 4.0),
        ("f_ratio", f_ratio(&k, 6.0, 20.0, s), 20.0 / 18.0, 0.6173, 12.0),
        ("generalized_normal", generalized_normal(&k, 2.0, s), 0.0, 0.5, 3.0),
        ("few", poisson(&k, 3.0, s), 3.0, 3.0, 3.4),
        ("many", poisson(&k, 50.0, s), 50.0, 50.0, 3.1),
        ("geometric", geometric(&k, 0.25, s), 4.0, 12.0, 9.1),
        ("binomial", binomial(&k, 10.0, 0.3, s), 3.0, 2.1, 3.0),
        ("large binomial", binomial(&k, 200.0, 0.7, s), 140.0, 42.0, 3.0),
        ("dirichlet", dirichlet(&k, &Tensor::from([1.0f32, 2.0, 3.0]), s).i((.., 1)), 1.0 / 3.0, 2.0 / 63.0, 3.0),
        ("truncated_normal", truncated_normal(&k, -1.0, 1.0, s), 0.0, 0.29112509, 2.2),
        ("bernoulli", bernoulli(&k, 0.3, s), 0.3, 0.21, 2.0),
    ];
    for (name, x, mean, variance, kurtosis) in cases {
        let x = read(&x).1;
        let m = x.iter().sum::<f64>() / N as f64;
        let v = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / N as f64;
        let (m_error, v_error) = ((variance / N as f64).sqrt(), variance * (kurtosis / N as f64).sqrt());
        assert!((m - mean).abs() <= 5.0 * m_error, "{name}: mean {m}, not {mean}");
        assert!((v - variance).abs() <= 5.0 * v_error + 1e-9, "{name}: variance {v}, not {variance}");
    }
    // the uniform ball: half the points are within radius 2^(-1/3)
    let r = ball(&k, 3, 2.0, s).square().sum(-1).sqrt();
    let share = r.lt(0.5f64.cbrt()).to(DType::F32).mean(..).item::<f32>().unwrap();
    assert!((share - 0.5).abs() < 0.02 && r.max(..).item::<f32>().unwrap() <= 1.0, "{share}");
    // the median of the Cauchy distribution's size is 1
    let share = cauchy(&k, s).abs().lt(1.0).to(DType::F32).mean(..).item::<f32>().unwrap();
    assert!((share - 0.5).abs() < 0.02, "{share}");
    let covariance = Tensor::from([[4.0f32, 2.0], [2.0, 1.25]]);
    let mean = Tensor::from([1.0f32, -1.0]);
    let factor = Tensor::from([[2.0f32, 0.0], [1.0, 0.5]]);
    let mut samples = vec![
        multivariate_normal(&k, &mean, &covariance, s),
        multivariate_normal_of_factor(&k, &mean, &factor, s),
        multivariate_normal(&k, &mean.expand_dims(0), &Tensor::stack(&vec![covariance.clone(); 2], 0), [N / 2, 2])
            .reshape([-1, 2]),
    ];
    samples.extend([Factor::Eigh, Factor::Svd].map(|f| multivariate_normal_by(&k, &mean, &covariance, s, f)));
    for x in samples {
        let d = &x - &mean;
        near(&(d.t().matmul(&d) / N as f64), &[2, 2], &[4.0, 2.0, 2.0, 1.25], 0.06);
        near(&d.mean(0), &[2], &[0.0; 2], 0.08);
    }
    // of a covariance without an inverse samples are on a line
    let line = Tensor::from([[4.0f64, 2.0], [2.0, 1.0]]);
    for f in [Factor::Eigh, Factor::Svd] {
        let x = multivariate_normal_by(&k, &Tensor::zeros([2]).to(DType::F64), &line, [50], f);
        near(&(x.i((.., 0)) - x.i((.., 1)) * 2.0), &[50], &[0.0; 50], 1e-6);
        assert!(x.i((.., 0)).std(..).item::<f64>().unwrap() > 1.0);
    }
}

/// Of a matrix uniform in O(n) the entries have the mean 0 and the variance 1 / n, and products of two rows of different
/// matrices the mean 0; both determinants are as likely; turning all of them changes none of this (here: the trace).
#[test]
fn orthogonal_matrices_are_uniform() {
    const N: usize = 4000;
    let q = random::orthogonal_as(&key(3), 3, 3, [N], DType::F64);
    let product = q.matmul(&q.mt());
    near(&(product - Tensor::eye(3).to(DType::F64)).abs().max(..), &[], &[0.0], 1e-13);
    near(&q.mean(0), &[3, 3], &[0.0; 9], 0.05);
    near(&q.square().mean(0), &[3, 3], &[1.0 / 3.0; 9], 0.03);
    // fourth moments 3 / (n (n + 2)), and of trace(q) the variance 1
    near(&q.square().square().mean(0), &[3, 3], &[0.2; 9], 0.02);
    near(&q.trace().square().mean(0), &[], &[1.0], 0.12);
    near(&linalg::det(&q).mean(0), &[], &[0.0], 0.08);
    let u = random::orthogonal_as(&key(3), 2, 2, [N], DType::C128);
    near(&u.matmul(&u.mt().conj()).imag().abs().max(..), &[], &[0.0], 1e-13);
    near(&(u.abs().square().mean(0)), &[2, 2], &[0.5; 4], 0.03);
    near(&(u.trace().abs().square().mean(0)), &[], &[1.0], 0.1);
    let half = random::orthogonal_as(&key(3), 4, 2, (), DType::BF16).to(DType::F32);
    near(&half.mt().matmul(&half), &[2, 2], &[1.0, 0.0, 0.0, 1.0], 0.02);
    // the derivative of a sample in the covariance
    let (mean, k) = (Tensor::zeros([2]).to(DType::F64), key(8));
    let f = |c: &Tensor| random::multivariate_normal(&k, &mean, c, [3]).square().sum(..);
    let c = Tensor::from([[2.0f64, 0.6], [0.6, 0.5]]);
    let z = random::normal_as(&k, [3, 2], DType::F64);
    let g = |c: &Tensor| z.matmul(&linalg::cholesky(c).mt()).square().sum(..);
    near(&grad(f)(&c), &[2, 2], &read(&grad(g)(&c)).1, 1e-12);
}

#[test]
fn mapping_over_keys_is_a_loop() {
    use random::*;
    let draws: Vec<(&str, Box<dyn Fn(&Key) -> Tensor>)> = vec![
        ("gamma", Box::new(|k| gamma(k, Tensor::from([0.3f32, 2.0, 9.0]), [3]))),
        ("beta", Box::new(|k| beta(k, 0.5, 2.0, [3]))),
        ("poisson", Box::new(|k| poisson(k, Tensor::from([0.5f32, 20.0, 300.0]), [3]))),
        ("binomial", Box::new(|k| binomial(k, 50.0, Tensor::from([0.1f32, 0.4, 0.9]), [3]))),
        ("choice", Box::new(|k| Choice::new().without_replacement().indices(k, 7, [3]))),
        ("randint", Box::new(|k| randint_as(k, [3], -9, 90, DType::I8))),
        ("ball", Box::new(|k| ball(k, 2, 1.0, [3]))),
        ("student_t", Box::new(|k| student_t(k, 3.0, [3]))),
        ("cauchy", Box::new(|k| cauchy(k, [3]))),
        ("orthogonal", Box::new(|k| orthogonal(k, 3, [2]))),
        ("semi-orthogonal", Box::new(|k| orthogonal_as(k, 2, 4, (), DType::F64))),
        ("unitary", Box::new(|k| parts(&orthogonal_as(k, 2, 2, (), DType::C64)))),
        ("multivariate_normal", {
            let (mean, c) = (Tensor::from([1.0f32, 2.0]), Tensor::from([[2.0f32, 0.6], [0.6, 0.5]]));
            Box::new(move |k| multivariate_normal(k, &mean, &c, [3]))
        }),
        ("truncated_normal", Box::new(|k| truncated_normal(k, -1.0, 2.0, [3]))),
    ];
    for (name, draw) in draws {
        let mapped = vmap(&draw)(&key(21).split_batch(4));
        let compiled = jit(vmap(&draw)).call(&key(21).split_batch(4)).unwrap();
        for (i, k) in key(21).split(4).iter().enumerate() {
            let one = read(&draw(k));
            assert_eq!(read(&mapped.i(i)), one, "{name}");
            assert_eq!(read(&compiled.i(i)), one, "{name}");
        }
    }
}

/// The derivative of a sample in its shape is that at fixed rank: P(a, x(a)) stays. JAX gives the values of gamma.
#[test]
fn gamma_samples_move_with_their_shape() {
    let a = Tensor::from([0.4f64, 1.0, 3.0, 20.0]);
    let k = key(5);
    let x = random::gamma(&k, &a, [4]);
    let slope = grad(|a: &Tensor| random::gamma(&k, a, [4]).sum(..))(&a);
    let log_slope = grad(|a: &Tensor| random::loggamma(&k, a, [4]).sum(..))(&a);
    near(&(&log_slope * &x), &[4], &read(&slope).1, 1e-10);
    // along (a, x(a)) the rank does not change
    let h = 1e-5;
    let rank = |d: f64| special::gammainc(&a + d, &x + &slope * d);
    near(&((rank(h) - rank(-h)) / (2.0 * h)), &[4], &[0.0; 4], 1e-8);
    // and so for second derivatives
    let second = grad(|a: &Tensor| grad(|a: &Tensor| random::gamma(&k, a, [4]).sum(..))(a).sum(..));
    let along = |d: f64| special::random_gamma_grad(&a + d, &x + &slope * d);
    let want = (along(h) - along(-h)) / (2.0 * h);
    let forward =
        jvp(|a: &Tensor| jvp(|a: &Tensor| random::gamma(&k, a, [4]), a, &a.ones_like()).1, &a, &a.ones_like());
    near(&forward.1, &[4], &read(&want).1, 1e-6);
    near(&second(&a), &[4], &read(&want).1, 1e-6);
    let log_second = grad(|a: &Tensor| grad(|a: &Tensor| random::loggamma(&k, a, [4]).sum(..))(a).sum(..))(&a);
    near(&log_second, &[4], &read(&(&want / &x - (&slope / &x).square())).1, 1e-6);
    let compiled = jit(second).call(&a).unwrap();
    near(&compiled, &[4], &read(&want).1, 1e-6);
    // reverse over reverse is forward over reverse, also of what is made of gamma samples
    let chi = |a: &Tensor| grad(|a: &Tensor| random::chisquare(&k, a, [4]).sum(..))(a);
    let (_, forward) = jvp(chi, &a, &a.ones_like());
    near(&grad(|a: &Tensor| chi(a).sum(..))(&a), &[4], &read(&forward).1, 1e-10);
    // the mean of gamma samples is a, so that of the slopes is 1
    let many = Tensor::full([20_000], 2.0, DType::F32);
    let mean = grad(|a: &Tensor| random::gamma(&k, a, [20_000]).sum(..))(&many).mean(..).item::<f32>().unwrap();
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
}

#[test]
fn wrong_parameters_are_errors() {
    let text = |t: Tensor| t.check().unwrap_err().to_string();
    let k = key(0);
    assert!(text(random::gamma(&k, Tensor::arange(3), [3])).contains("float"));
    assert!(text(random::gamma(&k, Tensor::ones([3]), [2])).contains("broadcast"));
    assert!(text(random::beta(&k, Tensor::ones([2]), Tensor::ones([2]).to(DType::F64), [2])).contains("f64"));
    assert!(text(random::bits_as(&k, [2], DType::I32)).contains("unsigned"));
    assert!(text(random::randint_as(&k, [2], 0, 3, DType::F32)).contains("integer"));
    assert!(text(random::rademacher_as(&k, [2], DType::U8)).contains("signed"));
    let choice = random::Choice::new();
    assert!(text(choice.indices(&k, 0, [1])).contains("nothing"));
    assert!(text(choice.clone().without_replacement().indices(&k, 3, [4])).contains("without replacement"));
    assert!(text(choice.weights(&Tensor::ones([2])).indices(&k, 3, [4])).contains("weights"));
    assert!(text(random::dirichlet(&k, &Tensor::ones(()), [4])).contains("scalar"));
    assert!(text(random::multivariate_normal(&k, &Tensor::ones([2]), &Tensor::ones([3, 3]), [4])).contains("matrix"));
    // parameters without a distribution
    let x = random::gamma(&k, Tensor::from([-1.0f32, f32::NAN, 0.0]), [3]);
    near(&x, &[3], &[f64::NAN, f64::NAN, 0.0], 0.0);
    let n = random::binomial(&k, Tensor::from([-1.0f32, 5.0, f32::INFINITY]), 1.5, [3]);
    near(&n, &[3], &[f64::NAN; 3], 0.0);
    let n = random::poisson(&k, Tensor::from([f32::INFINITY, f32::NAN, -1.0]), [3]);
    near(&n, &[3], &[-1.0; 3], 0.0);
}
