//! Functions of f64 that neither the standard library nor `libm` has.

use std::f64::consts::PI;

/// The positive zero of digamma in two parts.
const ZERO: (f64, f64) = (1.4616321449683622, 9.549995429965697e-17);
/// digamma(zero + z) / z, 1 <= zero + z <= 2; by `fit.py`.
const DIGAMMA: [f64; 24] = [
    0.9676722454476212,
    -0.44276316898359214,
    0.2584997609556509,
    -0.16394270544239933,
    0.10782405069127954,
    -0.07219956125728176,
    0.04880428816323914,
    -0.033161126430834756,
    0.022597648248248545,
    -0.015424767205798105,
    0.010538791788919843,
    -0.0072045109574719185,
    0.004926769418388227,
    -0.0033700709071922902,
    0.0023053483271584774,
    -0.0015749355480831084,
    0.0010766128230576774,
    -0.000747499595599249,
    0.0005180490833340102,
    -0.0003193696671207108,
    0.00019075640343160688,
    -0.00019476490125987326,
    0.00019426548768522768,
    -8.153978973309418e-05,
];
/// The Bernoulli numbers B2, B4, ..
const BERNOULLI: [f64; 12] = [
    1.0 / 6.0,
    -1.0 / 30.0,
    1.0 / 42.0,
    -1.0 / 30.0,
    5.0 / 66.0,
    -691.0 / 2730.0,
    7.0 / 6.0,
    -3617.0 / 510.0,
    43867.0 / 798.0,
    -174611.0 / 330.0,
    854513.0 / 138.0,
    -236364091.0 / 2730.0,
];

/// digamma(x) for x >= 1.
fn digamma_right(mut x: f64) -> f64 {
    if x >= 10.0 {
        // ln x - 1 / (2 x) - sum B2k / (2k x^2k)
        let u = 1.0 / (x * x);
        let tail = (0..10).rev().fold(0.0, |t, k| (t + BERNOULLI[k] / (2 * k + 2) as f64) * u);
        return x.ln() - 0.5 / x - tail;
    }
    let mut sum = 0.0;
    while x >= 2.0 {
        x -= 1.0;
        sum += 1.0 / x;
    }
    let z = (x - ZERO.0) - ZERO.1;
    sum + z * DIGAMMA.iter().rev().fold(0.0, |y, c| y * z + c)
}

/// Derivative of ln gamma; infinite at 0 with the sign of -x, NaN at the negative integers.
pub(super) fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return -1.0 / x;
    }
    if x >= 1.0 {
        return digamma_right(x);
    }
    if x > 0.0 {
        let z = (x - (ZERO.0 - 1.0)) - ZERO.1;
        return z * DIGAMMA.iter().rev().fold(0.0, |y, c| y * z + c) - 1.0 / x;
    }
    // digamma(1 + a) + pi cot(pi a)
    let a = -x;
    let d = a - a.round();
    if d == 0.0 || x.is_nan() || x.is_infinite() {
        return f64::NAN;
    }
    let cot = if d.abs() > 0.25 { (PI * (0.5 - d.abs())).tan().copysign(d) } else { 1.0 / (PI * d).tan() };
    digamma_right(1.0 + a) + PI * cot
}

/// The sum over k >= 0 of (q + k)^-s for q > 0 and s > 1, by Euler and Maclaurin.
fn zeta_right(s: f64, mut q: f64) -> f64 {
    let mut sum = 0.0;
    while q < 10.0 + s {
        let term = q.powf(-s);
        sum += term;
        if term <= sum * 1e-18 {
            return sum;
        }
        q += 1.0;
    }
    let last = q.powf(-s);
    if last == 0.0 {
        return sum;
    }
    sum += q * last / (s - 1.0) + last / 2.0;
    // B2k s (s + 1) .. (s + 2k - 2) / (2k)! q^-(s + 2k - 1)
    let mut factor = last * s / q / 2.0;
    for (k, b) in BERNOULLI.iter().enumerate() {
        let term = factor * b;
        sum += term;
        if term.abs() < sum.abs() * 1e-18 {
            break;
        }
        let j = 2.0 * k as f64;
        factor *= (s + j + 1.0) * (s + j + 2.0) / ((j + 3.0) * (j + 4.0) * q * q);
    }
    sum
}

/// Hurwitz zeta function: the sum over k >= 0 of (q + k)^-s. For q < 0 it has a value where s is a whole number.
pub fn zeta_f64(s: f64, q: f64) -> f64 {
    if s.is_nan() || q.is_nan() || s < 1.0 {
        return f64::NAN;
    }
    if s == 1.0 {
        return f64::INFINITY;
    }
    if q > 0.0 {
        return zeta_right(s, q);
    }
    if q == q.floor() {
        return f64::INFINITY;
    }
    if s != s.floor() || s.is_infinite() {
        return f64::NAN;
    }
    // the sum over all integers has period 1; from it comes off what lies below q
    let sign = if s % 2.0 == 0.0 { 1.0 } else { -1.0 };
    let r = q - q.round();
    let all = r.powf(-s) + zeta_right(s, 1.0 + r) + sign * zeta_right(s, 1.0 - r);
    all - sign * zeta_right(s, 1.0 - q)
}

/// Hurwitz zeta function in f32, by way of f64.
pub fn zeta_f32(s: f32, q: f32) -> f32 {
    zeta_f64(f64::from(s), f64::from(q)) as f32
}

/// e^-a I_n(a) for a >= 0 and n = 0 or 1.
fn bessel(n: f64, a: f64) -> f64 {
    if a <= 20.0 {
        // (a / 2)^n sum t^k / (k! (k + n)!)
        let t = a * a / 4.0;
        let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
        while term > sum * 1e-17 {
            term *= t / (k * (k + n));
            sum += term;
            k += 1.0;
        }
        let front = if n == 0.0 { 1.0 } else { a / 2.0 };
        return front * sum * (-a).exp();
    }
    // 1 / sqrt(2 pi a) sum (-1)^k (4 n^2 - 1)(4 n^2 - 9) .. / (k! (8 a)^k)
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..30 {
        let (k, odd) = (f64::from(k), f64::from(2 * k - 1));
        term *= (odd * odd - 4.0 * n * n) / (8.0 * a * k);
        sum += term;
        if term.abs() < 1e-17 {
            break;
        }
    }
    sum / (2.0 * PI * a).sqrt()
}

/// e^-|x| I0(x)
pub(super) fn bessel_i0e(x: f64) -> f64 {
    if x.is_nan() { x } else { bessel(0.0, x.abs()) }
}

/// e^-|x| I1(x)
pub(super) fn bessel_i1e(x: f64) -> f64 {
    if x.is_nan() { x } else { bessel(1.0, x.abs()).copysign(x) }
}

/// The next f64 after x towards y.
pub fn next_after_f64(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    match x.partial_cmp(&y) {
        Some(std::cmp::Ordering::Less) => x.next_up(),
        Some(std::cmp::Ordering::Greater) => x.next_down(),
        _ => y,
    }
}
