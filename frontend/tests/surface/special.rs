//! Special functions against stored values (`special.py`), against their own differences, and at their edges.

use super::{near, read};
use gradloom_frontend::prelude::*;
use special::*;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

type Function = (&'static str, fn(&[Tensor]) -> Tensor, f64, f64);

/// Name in the file, function, and the relative errors allowed in f64 and f32.
const FUNCTIONS: &[Function] = &[
    ("gammainc", |v| gammainc(&v[0], &v[1]), 2e-13, 4e-6),
    ("gammaincc", |v| gammaincc(&v[0], &v[1]), 2e-13, 2e-5),
    ("gammainc_a", |v| by_first(|a| gammainc(a, &v[1]), &v[0]), 1e-11, 1e-4),
    ("random_gamma_grad", |v| random_gamma_grad(&v[0], &v[1]), 1e-12, 1e-5),
    ("betainc", |v| betainc(&v[0], &v[1], &v[2]), 1e-12, 1e-5),
    ("exp1", |v| exp1(&v[0]), 1e-14, 2e-6),
    ("expi", |v| expi(&v[0]), 1e-13, 2e-5),
    ("ndtr", |v| ndtr(&v[0]), 2e-13, 2e-5),
    ("log_ndtr", |v| log_ndtr(&v[0]), 1e-14, 2e-6),
    ("ndtri", |v| ndtri(&v[0]), 1e-14, 2e-6),
    ("log1mexp", |v| log1mexp(&v[0]), 1e-15, 5e-7),
    ("exprel", |v| exprel(&v[0]), 1e-15, 1e-6),
    ("sinc", |v| sinc(&v[0]), 2e-14, 1e-5),
    ("i0", |v| i0(&v[0]), 1e-14, 1e-6),
    ("i1", |v| i1(&v[0]), 1e-14, 1e-6),
    ("gamma", |v| gamma(&v[0]), 1e-13, 1e-5),
    ("betaln", |v| betaln(&v[0], &v[1]), 1e-12, 2e-5),
    ("logit", |v| logit(&v[0]), 1e-14, 1e-6),
    ("polygamma1", |v| polygamma(1, &v[0]), 1e-14, 2e-7),
    ("polygamma3", |v| polygamma(3, &v[0]), 1e-14, 2e-7),
    ("multigammaln3", |v| multigammaln(&v[0], 3), 1e-14, 2e-6),
    ("legendre7", |v| legendre(7, &v[0]), 1e-14, 1e-5),
    ("assoc_legendre53", |v| assoc_legendre(5, 3, &v[0]), 1e-14, 1e-5),
];

fn by_first(f: impl Fn(&Tensor) -> Tensor, a: &Tensor) -> Tensor {
    grad(|a: &Tensor| f(a).sum(..))(a)
}

/// Operands, as one vector each, and values.
fn stored(name: &str) -> (Vec<Vec<f64>>, Vec<f64>) {
    let number = |s: &str| s.parse::<f64>().unwrap();
    let (mut operands, mut values): (Vec<Vec<f64>>, _) = (Vec::new(), Vec::new());
    for line in include_str!("special.txt").lines() {
        let (call, value) = line.split_once(" = ").unwrap();
        let mut words = call.split(' ');
        if words.next() == Some(name) {
            let args: Vec<f64> = words.map(number).collect();
            operands.resize(args.len(), Vec::new());
            operands.iter_mut().zip(args).for_each(|(o, a)| o.push(a));
            values.push(number(value));
        }
    }
    assert!(values.len() >= 25, "{name}");
    (operands, values)
}

/// The points where the error is greater than allowed.
fn compare(name: &str, operands: &[Tensor], got: &Tensor, want: &[f64], bound: f64) -> Vec<String> {
    let mut wrong = Vec::new();
    let operands: Vec<Vec<f64>> = operands.iter().map(|t| read(t).1).collect();
    for (i, (g, e)) in read(got).1.iter().zip(want).enumerate() {
        let at: Vec<f64> = operands.iter().map(|o| o[i]).collect();
        // around zeros and beyond the least f32 the error is absolute
        let error = (g - e).abs() / e.abs().max(1e-30);
        let small = (g - e).abs() <= bound * 0.01;
        if !(g == e || error <= bound || (small && has_zeros(name))) {
            wrong.push(format!("{name}{at:?} = {g}, not {e}: {error:.1e}\n"));
        }
    }
    wrong
}

fn has_zeros(name: &str) -> bool {
    matches!(name, "expi" | "betaln" | "sinc" | "legendre7" | "assoc_legendre53" | "multigammaln3" | "logit")
}

#[test]
fn stored_values() {
    let mut wrong = Vec::new();
    for &(name, f, double, single) in FUNCTIONS {
        let (operands, values) = stored(name);
        let x: Vec<Tensor> = operands.into_iter().map(Tensor::from_vec).collect();
        wrong.extend(compare(name, &x, &f(&x), &values, double));
        let x: Vec<Tensor> = x.iter().map(|t| t.to(DType::F32)).collect();
        let rounded: Vec<Tensor> = x.iter().map(|t| t.to(DType::F64)).collect();
        let values = read(&f(&rounded)).1;
        wrong.extend(compare(name, &x, &f(&x), &values, single));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// First and second derivatives in every operand, in reverse mode, against differences.
#[test]
fn derivatives_match_differences() {
    let cases: &[(&str, fn(&[Tensor]) -> Tensor, &[&[f64]])] = &[
        ("gammainc", |v| gammainc(&v[0], &v[1]), &[&[0.3, 2.0, 7.0, 12.0], &[0.2, 3.0, 5.0, 15.0]]),
        ("gammaincc", |v| gammaincc(&v[0], &v[1]), &[&[0.3, 2.0, 7.0, 12.0], &[0.2, 3.0, 5.0, 15.0]]),
        ("betainc", |v| betainc(&v[0], &v[1], &v[2]), &[&[0.7, 2.0, 5.0], &[1.3, 0.6, 4.0], &[0.3, 0.8, 0.45]]),
        ("betaln", |v| betaln(&v[0], &v[1]), &[&[0.7, 2.0], &[1.3, 0.6]]),
        ("zeta", |v| zeta(&v[0], &v[1]), &[&[1.7, 3.0], &[1.3, 0.6]]),
        ("xlogy", |v| xlogy(&v[0], &v[1]), &[&[0.7, 2.0], &[1.3, 0.6]]),
        ("xlog1py", |v| xlog1py(&v[0], &v[1]), &[&[0.7, 2.0], &[1.3, -0.6]]),
        ("rel_entr", |v| rel_entr(&v[0], &v[1]), &[&[0.7, 2.0], &[1.3, 0.6]]),
        ("kl_div", |v| kl_div(&v[0], &v[1]), &[&[0.7, 2.0], &[1.3, 0.6]]),
        ("entr", |v| entr(&v[0]), &[&[0.7, 2.0]]),
        ("exp1", |v| exp1(&v[0]), &[&[0.7, 3.0]]),
        ("expi", |v| expi(&v[0]), &[&[-3.0, -0.7, 0.7, 3.0, 45.0]]),
        ("ndtr", |v| ndtr(&v[0]), &[&[-3.0, 0.0, 0.7]]),
        ("log_ndtr", |v| log_ndtr(&v[0]), &[&[-25.0, -3.0, 0.0, 0.7]]),
        ("ndtri", |v| ndtri(&v[0]), &[&[0.13, 0.3, 0.7, 0.86]]),
        ("log1mexp", |v| log1mexp(&v[0]), &[&[0.2, 0.9]]),
        ("log_expm1", |v| log_expm1(&v[0]), &[&[0.2, 0.9]]),
        ("exprel", |v| exprel(&v[0]), &[&[-2.0, -0.3, 0.0, 0.9, 1.5]]),
        ("sinc", |v| sinc(&v[0]), &[&[-2.3, -0.2, 0.0, 0.1, 0.5, 1.0]]),
        ("i0", |v| i0(&v[0]), &[&[-7.0, -0.3, 0.0, 2.0]]),
        ("i1", |v| i1(&v[0]), &[&[-7.0, -0.3, 0.0, 2.0]]),
        ("gamma", |v| gamma(&v[0]), &[&[-1.3, 0.4, 2.5]]),
        ("factorial", |v| factorial(&v[0]), &[&[0.4, 2.5]]),
        ("logit", |v| logit(&v[0]), &[&[0.2, 0.9]]),
        ("polygamma2", |v| polygamma(2, &v[0]), &[&[-1.3, 0.4, 2.5]]),
        ("multigammaln", |v| multigammaln(&v[0], 2), &[&[0.9, 3.0]]),
        ("legendre", |v| legendre(4, &v[0]), &[&[-0.9, 0.0, 0.3]]),
        ("assoc_legendre", |v| assoc_legendre(4, 3, &v[0]), &[&[-0.6, 0.0, 0.3]]),
    ];
    for &(name, f, point) in cases {
        let x: Vec<Tensor> = point.iter().map(|p| Tensor::from_slice([p.len()], p)).collect();
        for i in 0..x.len() {
            let with = |t: &Tensor| {
                let mut v = x.clone();
                v[i] = t.clone();
                v
            };
            let value = |t: &Tensor| f(&with(t));
            let first = |t: &Tensor| grad(|t: &Tensor| value(t).sum(..))(t);
            differs_little(&format!("{name}, operand {i}"), value, first, &x[i]);
            // each first derivative, again in each operand
            for j in 0..x.len() {
                let all = |u: &Tensor| {
                    let mut v = x.clone();
                    v[j] = u.clone();
                    let g = grad(|t: &Tensor| {
                        let mut w = v.clone();
                        w[i] = t.clone();
                        f(&w).sum(..)
                    });
                    g(&v[i])
                };
                let second = |u: &Tensor| grad(|u: &Tensor| all(u).sum(..))(u);
                differs_little(&format!("{name}, operands {i} and {j}"), all, second, &x[j]);
            }
        }
    }
}

#[track_caller]
fn differs_little(name: &str, f: impl Fn(&Tensor) -> Tensor, slope: impl Fn(&Tensor) -> Tensor, x: &Tensor) {
    let h = 1e-3;
    let at = |d: f64| f(&(x + d * h));
    // error of order h^4
    let difference = ((at(1.0) - at(-1.0)) * 8.0 - (at(2.0) - at(-2.0))) / (12.0 * h);
    for (i, (g, e)) in read(&slope(x)).1.iter().zip(read(&difference).1).enumerate() {
        assert!((g - e).abs() <= 2e-7 * (1.0 + e.abs()), "{name}, element {i}: {g}, by difference {e}");
    }
}

#[test]
fn edges() {
    let t = |x: &[f64]| Tensor::from_slice([x.len()], x);
    let check = |got: Tensor, want: &[f64]| near(&got, &[want.len()], want, 0.0);
    let a = t(&[0.0, 0.0, 1.0, 2.0, -1.0, 1.0, INF, NAN, 1.0]);
    let x = t(&[1.0, 0.0, 0.0, INF, 1.0, -1.0, 1.0, 1.0, NAN]);
    check(gammainc(&a, &x), &[1.0, NAN, 0.0, 1.0, NAN, NAN, 0.0, NAN, NAN]);
    check(gammaincc(&a, &x), &[0.0, NAN, 1.0, 0.0, NAN, NAN, 1.0, NAN, NAN]);
    check(betainc(2.0, t(&[1.0, 1.0, -1.0, 1.0, 1.0]), t(&[0.0, 1.0, 0.5, 1.5, NAN])), &[0.0, 1.0, NAN, NAN, NAN]);
    check(ndtri(&t(&[0.0, 0.5, 1.0, -0.1, 1.1, NAN])), &[-INF, 0.0, INF, NAN, NAN, NAN]);
    check(ndtr(&t(&[-INF, INF, NAN])), &[0.0, 1.0, NAN]);
    check(log_ndtr(&t(&[-INF, INF, NAN])), &[-INF, 0.0, NAN]);
    check(exp1(&t(&[0.0, -1.0, INF, NAN])), &[INF, NAN, 0.0, NAN]);
    check(expi(&t(&[0.0, -INF, INF, NAN])), &[-INF, 0.0, INF, NAN]);
    check(logit(&t(&[0.0, 0.5, 1.0, -0.1, 1.1])), &[-INF, 0.0, INF, NAN, NAN]);
    check(xlogy(t(&[0.0, 0.0, 0.0, 1.0, 0.0]), t(&[0.0, -1.0, INF, 0.0, NAN])), &[0.0, 0.0, 0.0, -INF, NAN]);
    check(xlog1py(t(&[0.0, 0.0, 1.0]), t(&[-1.0, -2.0, -1.0])), &[0.0, 0.0, -INF]);
    check(entr(&t(&[0.0, -1.0, 1.0, NAN])), &[0.0, -INF, 0.0, NAN]);
    check(rel_entr(t(&[0.0, 1.0, 1.0, -1.0]), t(&[0.0, 0.0, 1.0, 1.0])), &[0.0, INF, 0.0, INF]);
    check(gamma(&t(&[0.0, -0.0, -1.0, 1.0, 2.0, INF])), &[INF, -INF, NAN, 1.0, 1.0, INF]);
    check(sinc(&t(&[0.0])), &[1.0]);
    check(exprel(&t(&[0.0, -INF, INF, NAN])), &[1.0, 0.0, INF, NAN]);
    check(factorial(&t(&[0.0, 1.0, -1.0])), &[1.0, 1.0, 0.0]);
    check(zeta(t(&[1.0, 0.5, 2.0, 2.5]), t(&[1.0, 1.0, 0.0, -0.5])), &[INF, NAN, INF, NAN]);
    check(t(&[1.0, 0.0, 1.0, NAN]).next_after(t(&[2.0, -1.0, 1.0, 1.0])), &[1.0 + f64::EPSILON, -5e-324, 1.0, NAN]);
    check(t(&[0.5, -0.5, 1.5, 2.4]).round_away(), &[1.0, -1.0, 2.0, 2.0]);
    let bits = Tensor::from_slice([3], &[0i32, 255, -1]);
    assert_eq!(bits.count_ones().to_vec::<i32>().unwrap(), [0, 8, 32]);
    assert_eq!(bits.leading_zeros().to_vec::<i32>().unwrap(), [32, 24, 0]);
}

#[test]
fn spherical_harmonics_of_points() {
    let (columns, values) = stored("harmonic");
    let (theta, phi) = (Tensor::from_vec(columns[2].clone()), Tensor::from_vec(columns[3].clone()));
    let (shape, all) = read(&spherical_harmonics_angles(10, &theta, &phi));
    assert_eq!(shape, [values.len(), 121]);
    for (i, value) in values.iter().enumerate() {
        let (l, m) = (columns[0][i], columns[1][i]);
        let got = all[i * 121 + (l * l + l + m) as usize];
        assert!((got - value).abs() <= 1e-13, "Y {l} {m}: {got}, not {value}");
    }
}

/// The sum over m of Y^2 is (2 l + 1) / 4 pi; integrals of products, by a rule that is exact to degree 20, are 0 or 1.
#[test]
fn spherical_harmonics_are_orthonormal() {
    // Gauss-Legendre in z of 12 points by Newton, 24 points in the azimuth
    let (mut points, mut weights) = (Vec::new(), Vec::new());
    for i in 0..12 {
        let mut z = (std::f64::consts::PI * (i as f64 + 0.75) / 12.5).cos();
        let mut slope = 1.0;
        for _ in 0..20 {
            let (mut p0, mut p1) = (1.0, z);
            for k in 2..=12 {
                (p0, p1) = (p1, ((2 * k - 1) as f64 * z * p1 - (k - 1) as f64 * p0) / k as f64);
            }
            slope = 12.0 * (z * p1 - p0) / (z * z - 1.0);
            z -= p1 / slope;
        }
        for j in 0..24 {
            let phi = std::f64::consts::TAU * j as f64 / 24.0;
            let s = (1.0 - z * z).sqrt();
            points.extend([s * phi.cos(), s * phi.sin(), z]);
            weights.push(2.0 / ((1.0 - z * z) * slope * slope) * std::f64::consts::TAU / 24.0);
        }
    }
    let v = Tensor::from_slice([288, 3], &points);
    let y = spherical_harmonics(10, &v);
    let weighted = &y * Tensor::from_slice([288, 1], &weights);
    let products = y.t().matmul(&weighted);
    let off = (products - Tensor::eye(121).to(DType::F64)).abs().max(..).item::<f64>().unwrap();
    assert!(off < 1e-13, "{off}");
}

/// At the pole the derivatives are those of the polynomials.
#[test]
fn spherical_harmonics_at_the_pole() {
    let pole = Tensor::from([0.0f64, 0.0, 1.0]);
    let j = jacfwd(|v: &Tensor| spherical_harmonics(3, v))(&pole);
    let back = jacrev(|v: &Tensor| spherical_harmonics(3, v))(&pole);
    near(&j, &[16, 3], &read(&back).1, 1e-15);
    for axis in 0..3 {
        let along = |d: f64| {
            let mut v = [0.0, 0.0, 1.0];
            v[axis] += d;
            read(&spherical_harmonics(3, &Tensor::from(v))).1
        };
        let (up, down) = (along(1e-5), along(-1e-5));
        for (i, got) in read(&j).1.chunks(3).enumerate() {
            let want = (up[i] - down[i]) / 2e-5;
            assert!((got[axis] - want).abs() < 1e-8, "{i} {axis}: {} {want}", got[axis]);
        }
    }
    // by angles too: at theta = 0 the slope of Y_1^1 in theta is that of sqrt(3 / 4 pi) sin(theta)
    let zero = Tensor::zeros(()).to(DType::F64);
    let slope = jacfwd(|t: &Tensor| spherical_harmonics_angles(1, t, &zero))(&zero);
    near(&slope, &[4], &[0.0, 0.0, 0.0, 0.4886025119029199], 1e-15);
}

#[test]
fn under_transforms() {
    let a = Tensor::from([0.5f64, 2.0, 9.0]);
    let x = Tensor::from([0.7f64, 1.0, 14.0]);
    let f = |(a, x): &(Tensor, Tensor)| gammainc(a, x) * betainc(a, 2.0, &(x / 20.0)) + ndtri(&(x / 15.0));
    let both = (a, x);
    let direct = read(&f(&both)).1;
    near(&jit(f).call(&both).unwrap(), &[3], &direct, 1e-15);
    near(&vmap(f)(&both), &[3], &direct, 1e-15);
    let slope = |p: &(Tensor, Tensor)| grad(|p: &(Tensor, Tensor)| f(p).sum(..))(p);
    let want = slope(&both);
    let mapped = vmap(|p: &(Tensor, Tensor)| grad(|p: &(Tensor, Tensor)| f(p))(p))(&both);
    let compiled = jit(slope).call(&both).unwrap();
    for got in [mapped, compiled] {
        near(&got.0, &[3], &read(&want.0).1, 1e-13);
        near(&got.1, &[3], &read(&want.1).1, 1e-13);
    }
}

#[test]
fn wrong_operands_are_errors() {
    let text = |t: Tensor| t.check().unwrap_err().to_string();
    let ints = Tensor::arange(3);
    assert!(text(gammaln(&ints)).contains("float"), "{}", text(gammaln(&ints)));
    let (f32s, f64s) = (Tensor::ones([3]), Tensor::ones([3]).to(DType::F64));
    assert!(text(beta(&f32s, &f64s)).contains("f64"));
    assert!(text(beta(&f32s, Tensor::ones([4]))).contains("aligned"));
    assert!(text(spherical_harmonics(2, &Tensor::ones([4]))).contains("last axis"));
    assert!(text(legendre(1000, &f32s)).contains("1000"));
    assert!(text(legendre(1000, &f32s)).contains("special.rs"));
    assert!(text(f32s.count_ones()).contains("integer"));
}
