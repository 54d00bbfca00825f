//! Whether two arrays are the same by one of the rules of test programs.

use gradloom_frontend::stablehlo::Rule;
use gradloom_ir::{DType, Literal};
use half::{bf16, f16};

/// Units in the last place that [`Rule::Close`] allows.
const CLOSE_ULP: u64 = 3;
/// What [`Rule::AlmostEq`] allows.
const ALMOST: f64 = 1e-3;

/// A real number of an array, widened, with its place in the order of its own format.
#[derive(Clone, Copy)]
struct Number {
    value: f64,
    /// For floats the position in the order of all floats; for others the bits.
    place: i64,
    bits: u64,
    float: bool,
}

/// The position of a float's bits in the order of numbers; both zeros have 0.
fn place(bits: u64, width: u32) -> i64 {
    let top = 1u64 << (width - 1);
    let size = (bits & (top - 1)) as i64;
    if bits & top == 0 { size } else { -size }
}

/// Every real number of the array; complex elements have two.
fn numbers(x: &Literal) -> Vec<Number> {
    let dtype = x.ty().dtype;
    let size = dtype.real().size();
    let width = 8 * size as u32;
    let float = dtype.is_inexact();
    let read = |(i, bytes): (usize, &[u8])| {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(bytes);
        if cfg!(target_endian = "big") {
            wide[..size].reverse();
        }
        let bits = u64::from_le_bytes(wide);
        let value = match dtype.real() {
            DType::F16 => f16::from_bits(bits as u16).to_f64(),
            DType::BF16 => bf16::from_bits(bits as u16).to_f64(),
            DType::F32 => f64::from(f32::from_bits(bits as u32)),
            DType::F64 => f64::from_bits(bits),
            _ => x.get_f64(i),
        };
        Number { value, place: if float { place(bits, width) } else { bits as i64 }, bits, float }
    };
    x.bytes().chunks_exact(size).enumerate().map(read).collect()
}

fn ulps(a: Number, b: Number) -> u64 {
    a.place.abs_diff(b.place)
}

fn same(rule: Rule, a: Number, b: Number) -> bool {
    if a.value.is_nan() || b.value.is_nan() {
        return a.value.is_nan() && b.value.is_nan();
    }
    match rule {
        Rule::Eq => a.bits == b.bits,
        Rule::Close if !a.value.is_finite() || !b.value.is_finite() => a.bits == b.bits,
        Rule::Close => ulps(a, b) <= CLOSE_ULP,
        Rule::AlmostEq => a.value == b.value || (a.value - b.value).abs() <= ALMOST,
    }
}

/// `None` if the arrays are the same by the rule; else what differs.
pub fn difference(rule: Rule, got: &Literal, want: &Literal) -> Option<String> {
    if got.ty() != want.ty() {
        return Some(format!("{} where {} is expected", got.ty(), want.ty()));
    }
    let (got_numbers, want_numbers) = (numbers(got), numbers(want));
    let pairs = || got_numbers.iter().copied().zip(want_numbers.iter().copied());
    let wrong: Vec<usize> = pairs().enumerate().filter(|&(_, (a, b))| !same(rule, a, b)).map(|(i, _)| i).collect();
    let &first = wrong.first()?;
    let (a, b) = (got_numbers[first], want_numbers[first]);
    let mut text =
        format!("{} of {} differ, first at {first}: {} not {}", wrong.len(), got_numbers.len(), a.value, b.value);
    if a.float {
        let most = wrong.iter().map(|&i| ulps(got_numbers[i], want_numbers[i])).max().unwrap_or(0);
        text += &format!(", at most {most} ulp apart");
    }
    Some(text)
}

/// How far results may be apart: relative to the element and (to allow for what cancels) to 1 or the largest element,
/// whichever is less; for sums in any order to the largest element.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Relative error; 0 for equality.
    pub relative: f64,
    /// Whether errors are relative to the largest element of the array.
    pub to_largest: bool,
    /// Whether only magnitudes are compared: vectors that are unique up to their sign or phase.
    pub magnitudes: bool,
}

/// The magnitude of each element.
fn magnitudes(x: &Literal) -> Vec<Number> {
    let parts = if x.ty().dtype.is_complex() { 2 } else { 1 };
    let size = |n: &[Number]| n.iter().map(|p| p.value * p.value).sum::<f64>().sqrt();
    numbers(x).chunks(parts).map(|n| Number { value: size(n), place: 0, bits: 0, float: n[0].float }).collect()
}

/// `None` if the arrays are the same within the tolerance, NaN and infinities in the same places; else what differs.
pub fn apart(t: Tolerance, got: &Literal, want: &Literal) -> Option<String> {
    if got.ty() != want.ty() {
        return Some(format!("{} where {} is expected", got.ty(), want.ty()));
    }
    let elements = if t.magnitudes { magnitudes } else { numbers };
    let (got, want) = (elements(got), elements(want));
    let largest = want.iter().map(|w| w.value.abs()).filter(|w| w.is_finite()).fold(0.0, f64::max);
    let floor = if t.to_largest { largest } else { largest.min(1.0) };
    let error = |a: Number, b: Number| -> f64 {
        if a.value == b.value || (a.value.is_nan() && b.value.is_nan()) {
            return 0.0;
        }
        let e = (a.value - b.value).abs() / (b.value.abs() + floor);
        if e.is_finite() && a.float { e } else { f64::INFINITY }
    };
    let errors: Vec<f64> = got.iter().zip(&want).map(|(&a, &b)| error(a, b)).collect();
    let wrong = errors.iter().filter(|&&e| e > t.relative).count();
    let worst = (0..errors.len()).max_by(|&i, &j| errors[i].total_cmp(&errors[j]))?;
    (wrong > 0).then(|| {
        let (a, b) = (got[worst].value, want[worst].value);
        format!("{wrong} of {} differ, most at {worst}: {a} not {b}, error {:.1e}", errors.len(), errors[worst])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: Rule, a: &[f32], b: &[f32], expected: bool) {
        let (a, b) = (Literal::new(&[a.len()], a), Literal::new(&[b.len()], b));
        assert_eq!(difference(rule, &a, &b).is_none(), expected, "{a:?} {b:?}");
    }

    #[test]
    fn floats_by_rule() {
        let next = |x: f32, n: u32| f32::from_bits(x.to_bits() + n);
        check(Rule::Eq, &[1.0, f32::NAN], &[1.0, -f32::NAN], true);
        check(Rule::Eq, &[0.0], &[-0.0], false);
        check(Rule::Close, &[1.0], &[next(1.0, 3)], true);
        check(Rule::Close, &[1.0], &[next(1.0, 4)], false);
        check(Rule::Close, &[f32::from_bits(1)], &[-f32::from_bits(2)], true);
        check(Rule::Close, &[f32::from_bits(2)], &[-f32::from_bits(2)], false);
        check(Rule::Close, &[f32::MAX], &[f32::INFINITY], false);
        check(Rule::Close, &[f32::NAN], &[1.0], false);
        check(Rule::AlmostEq, &[1.0, f32::INFINITY], &[1.0009, f32::INFINITY], true);
        check(Rule::AlmostEq, &[1.0], &[1.0011], false);
    }

    #[test]
    fn tolerances() {
        let a = |x: &[f32]| Literal::new(&[x.len()], x);
        let t = |relative, to_largest| Tolerance { relative, to_largest, magnitudes: false };
        assert_eq!(apart(t(1e-3, false), &a(&[1.001, f32::NAN]), &a(&[1.0, f32::NAN])), None);
        assert!(apart(t(1e-3, false), &a(&[1.003]), &a(&[1.0])).is_some());
        assert!(apart(t(1e-3, false), &a(&[0.01, 100.0]), &a(&[0.0, 100.0])).is_some());
        assert_eq!(apart(t(1e-3, true), &a(&[0.01, 100.0]), &a(&[0.0, 100.0])), None);
        assert!(apart(t(1e-3, false), &a(&[f32::INFINITY]), &a(&[f32::MAX])).is_some());
        assert!(apart(t(1e-3, false), &a(&[f32::NAN]), &a(&[1.0])).is_some());
        let n = |x: i32| Literal::new(&[], &[x]);
        assert!(apart(t(1e-3, false), &n(100_000), &n(100_001)).is_some());
    }

    #[test]
    fn integers_and_types() {
        let (a, b) = (Literal::new(&[1], &[i64::MAX]), Literal::new(&[1], &[i64::MAX - 1]));
        assert_eq!(difference(Rule::Eq, &a, &a), None);
        assert!(difference(Rule::Eq, &a, &b).is_some());
        let c = Literal::new(&[1], &[1i32]);
        assert_eq!(difference(Rule::Eq, &a, &c), Some("i64[1] where i32[1] is expected".into()));
    }
}
