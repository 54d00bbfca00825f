//! Sweeps of the f32 functions against their f64 forms, shared by the test and by the example that writes the table.
#![allow(dead_code)] // each uses a part

use gradloom_ir::Unary;
use gradloom_ir::math::{Scalar, apply_unary, pow, unary_f64, zeta_f64};

/// What is promised of a function: at most so many units in the last place for |x| up to `range`. Errors below
/// `absolute` are never counted.
pub struct Bound {
    pub op: Unary,
    pub ulps: f64,
    pub range: f32,
    pub absolute: f64,
}

const fn bound(op: Unary, ulps: f64) -> Bound {
    Bound { op, ulps, range: f32::INFINITY, absolute: 0.0 }
}

/// For the circular functions, whose argument reduction is good up to this.
const fn angle(op: Unary) -> Bound {
    Bound { op, ulps: 2.0, range: 1e5, absolute: 0.0 }
}

/// For functions with zeros that are no simple numbers.
const fn with_zeros(op: Unary) -> Bound {
    Bound { op, ulps: 4.0, range: f32::INFINITY, absolute: 1e-7 }
}

pub const BOUNDS: &[Bound] = &[
    bound(Unary::Neg, 0.0),
    bound(Unary::Abs, 0.0),
    bound(Unary::Sign, 0.0),
    bound(Unary::Floor, 0.0),
    bound(Unary::Ceil, 0.0),
    bound(Unary::Round, 0.0),
    bound(Unary::RoundAway, 0.0),
    bound(Unary::Exp, 2.0),
    bound(Unary::Expm1, 2.0),
    bound(Unary::Log, 2.0),
    bound(Unary::Log1p, 2.0),
    bound(Unary::Sqrt, 0.5),
    bound(Unary::Rsqrt, 2.0),
    bound(Unary::Cbrt, 2.0),
    angle(Unary::Sin),
    angle(Unary::Cos),
    angle(Unary::Tan),
    bound(Unary::Asin, 4.0),
    bound(Unary::Acos, 4.0),
    bound(Unary::Atan, 4.0),
    bound(Unary::Sinh, 4.0),
    bound(Unary::Cosh, 4.0),
    bound(Unary::Tanh, 2.0),
    bound(Unary::Asinh, 4.0),
    bound(Unary::Acosh, 4.0),
    bound(Unary::Atanh, 4.0),
    bound(Unary::Logistic, 2.0),
    bound(Unary::Erf, 2.0),
    bound(Unary::ErfInv, 4.0),
    bound(Unary::Erfc, 4.0),
    with_zeros(Unary::Lgamma),
    with_zeros(Unary::Digamma),
    bound(Unary::BesselI0e, 4.0),
    bound(Unary::BesselI1e, 4.0),
];

/// How far `got` is from `want`, in units of the last place of the f32 nearest to it.
pub fn ulps(got: f32, want: f64) -> f64 {
    let near = want as f32;
    if near.is_nan() || got.is_nan() {
        return if near.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == near {
        return if got == 0.0 && got.is_sign_negative() != near.is_sign_negative() { f64::INFINITY } else { 0.0 };
    }
    if near.is_infinite() || got.is_infinite() {
        // one of them just below the threshold of overflow counts as one step
        let last = |x: f32| x.abs() >= f32::MAX;
        return if last(near) && last(got) && (got > 0.0) == (near > 0.0) { 1.0 } else { f64::INFINITY };
    }
    let step = (f64::from(near.abs().next_up()) - f64::from(near.abs())).min(f64::from(f32::MAX));
    (f64::from(got) - want).abs() / step
}

/// About `n` floats spread evenly over the bit patterns, and a few dozen on either side of every power of two.
pub fn samples(n: u32) -> impl Iterator<Item = f32> {
    let step = (u32::MAX / n) | 1;
    let even = (0..n).map(move |i| f32::from_bits(i.wrapping_mul(step)));
    let near = (0u32..=255).flat_map(|e| {
        (0u32..40)
            .flat_map(move |d| [(e << 23).wrapping_add(d), (e << 23).wrapping_sub(d)])
            .flat_map(|b| [b, b ^ 1 << 31])
    });
    even.chain(near.map(f32::from_bits))
}

/// The greatest error over the samples, and where it is.
pub fn worst(bound: &Bound, samples: impl Iterator<Item = f32>) -> (f64, f32) {
    let (mut worst, mut at) = (0.0, 0.0);
    for x in samples.filter(|x| x.is_nan() || x.abs() <= bound.range) {
        let got = apply_unary(&mut Scalar, bound.op, x).unwrap();
        let want = unary_f64(bound.op, f64::from(x));
        let e = if (f64::from(got) - want).abs() <= bound.absolute { 0.0 } else { ulps(got, want) };
        if e > worst {
            (worst, at) = (e, x);
        }
    }
    (worst, at)
}

/// What is promised of pow.
pub const POWER: f64 = 2.0;

/// The greatest error of pow over `n` pairs whose powers are floats of every size.
pub fn worst_power(n: u32) -> (f64, f32, f32) {
    let mut worst = (0.0, 0.0, 0.0);
    let mut bits = 1u32;
    for i in 0..n {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let x = match i % 4 {
            0 => f32::from_bits(bits >> 1),
            1 => f32::from_bits(0x3f80_0000 ^ (bits >> 14)), // around 1
            2 => f32::from_bits(0x3f80_0000 ^ (bits >> 9)),
            _ => (bits >> 24) as f32 / 8.0,
        };
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // exponents that make the result any float, and small round ones
        let reach = 150.0 / x.log2().abs().max(1e-6);
        let y =
            if i % 3 == 0 { (bits >> 26) as f32 / 4.0 - 8.0 } else { (bits as f32 / 2.0f32.powi(31) - 1.0) * reach };
        let e = ulps(pow(&mut Scalar, x, y), f64::from(x).powf(f64::from(y)));
        if e > worst.0 {
            worst = (e, x, y);
        }
    }
    worst
}

/// What is promised of an f64 function: two units in the last place where a library has it, more where it is ours
/// and for `libm`'s lgamma between its negative zeros.
pub fn stored_bound(name: &str) -> f64 {
    match name {
        "lgamma" | "digamma" | "zeta" => 8.0,
        "bessel_i0e" | "bessel_i1e" => 6.0,
        _ => 2.0,
    }
}

/// The greatest error of each f64 function at the points of `reference.txt`, values computed with 40 digits
/// (`src/math/reference.py`), and where it is. Errors of lgamma and digamma below 1e-15 are not counted.
pub fn stored() -> Vec<(String, f64, String)> {
    let mut worst: Vec<(String, f64, String)> = Vec::new();
    for line in include_str!("reference.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (name, numbers) = (words[0], &words[1..words.len() - 1]);
        let numbers: Vec<f64> = numbers.iter().map(|w| f64::from_bits(u64::from_str_radix(w, 16).unwrap())).collect();
        let (value, args) = numbers.split_last().unwrap();
        let got = match args {
            [x] => unary_f64(Unary::from_name(name).unwrap(), *x),
            [s, q] => zeta_f64(*s, *q),
            _ => panic!("{line}"),
        };
        let rest: f64 = words.last().unwrap().parse().unwrap();
        let step = value.abs().next_up() - value.abs();
        let small = matches!(name, "lgamma" | "digamma") && (got - value).abs() <= 1e-15;
        let e = if small { 0.0 } else { ((got - value) / step - rest).abs() };
        if worst.last().is_none_or(|w| w.0 != name) {
            worst.push((name.into(), 0.0, String::new()));
        }
        let entry = worst.last_mut().expect("one was pushed");
        if e > entry.1 {
            (entry.1, entry.2) = (e, format!("{args:?}"));
        }
    }
    worst
}
