//! Whether two arrays are the same by one of the rules of test programs.

use gradloom_frontend::stablehlo::Rule;
use gradloom_ir::{Complex, DType, Literal, Type};
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

/// How far results may be apart, relative to the element and to the floor.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Relative error; 0 for equality.
    pub relative: f64,
    /// What elements that cancel count as.
    pub floor: Floor,
}

/// What errors are relative to where an element is small.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Floor {
    /// 1 or the largest element of the array, whichever is less.
    OneOrLargest,
    /// The largest element: for sums in any order.
    Largest,
    /// 1: relative and absolute error allowed are the same.
    One,
}

/// The numbers of an array, to be compared by a [`Tolerance`].
#[derive(Clone)]
pub struct Numbers {
    ty: Type,
    parts: Vec<Number>,
}

impl Numbers {
    /// Those of an array.
    pub fn of(x: &Literal) -> Numbers {
        Numbers { ty: x.ty().clone(), parts: numbers(x) }
    }

    /// Type of the array.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    fn parts_each(&self) -> usize {
        if self.ty.dtype.is_complex() { 2 } else { 1 }
    }

    /// Every element.
    pub fn complex(&self) -> Vec<Complex<f64>> {
        let part = |p: &[Number], i: usize| p.get(i).map_or(0.0, |n| n.value);
        self.parts.chunks(self.parts_each()).map(|p| Complex::new(part(p, 0), part(p, 1))).collect()
    }

    /// The array with other elements; of real ones the real part.
    pub fn with(&self, elements: &[Complex<f64>]) -> Numbers {
        let part = |value: f64| Number { value, place: 0, bits: 0, float: true };
        let both = elements.iter().flat_map(|z| [part(z.re), part(z.im)]);
        let parts = both.step_by(2 / self.parts_each()).collect();
        Numbers { ty: self.ty.clone(), parts }
    }
}

/// `None` if the arrays are the same within the tolerance, NaN and infinities in the same places; else what differs.
/// An element may be as many times further apart as `leeway` says, if it says.
pub fn apart(t: Tolerance, got: &Numbers, want: &Numbers, leeway: Option<&[f64]>) -> Option<String> {
    if got.ty != want.ty {
        return Some(format!("{} where {} is expected", got.ty, want.ty));
    }
    let each = want.parts_each();
    let (got, want) = (&got.parts, &want.parts);
    let largest = want.iter().map(|w| w.value.abs()).filter(|w| w.is_finite()).fold(0.0, f64::max);
    let floor = match t.floor {
        Floor::OneOrLargest => largest.min(1.0),
        Floor::Largest => largest,
        Floor::One => 1.0,
    };
    // the parts of a complex element are as accurate as the element
    let element = |i: usize| {
        let size = want[i / each * each..][..each].iter().map(|n| n.value * n.value).sum::<f64>().sqrt();
        if size.is_finite() { size } else { want[i].value.abs() }
    };
    let error = |i: usize, a: Number, b: Number| -> f64 {
        if !a.float {
            return if a.bits == b.bits { 0.0 } else { f64::INFINITY };
        }
        if a.value == b.value || (a.value.is_nan() && b.value.is_nan()) {
            return 0.0;
        }
        let e = (a.value - b.value).abs() / (element(i) + floor);
        if e.is_finite() { e } else { f64::INFINITY }
    };
    let allowance = |i: usize| leeway.and_then(|l| l.get(i / each)).copied().unwrap_or(1.0);
    let weighted = |(i, (&a, &b)): (usize, (&Number, &Number))| {
        let (e, by) = (error(i, a, b), allowance(i));
        if by.is_infinite() { 0.0 } else { e / by }
    };
    let errors: Vec<f64> = got.iter().zip(want).enumerate().map(weighted).collect();
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
        let a = |x: &[f32]| Numbers::of(&Literal::new(&[x.len()], x));
        let t = |to_largest| Tolerance {
            relative: 1e-3,
            floor: if to_largest { Floor::Largest } else { Floor::OneOrLargest },
        };
        let same =
            |t: Tolerance, x: &[f32], y: &[f32], leeway: Option<&[f64]>| apart(t, &a(x), &a(y), leeway).is_none();
        assert!(same(t(false), &[1.001, f32::NAN], &[1.0, f32::NAN], None));
        assert!(!same(t(false), &[1.003], &[1.0], None));
        assert!(!same(t(false), &[0.01, 100.0], &[0.0, 100.0], None));
        assert!(same(t(true), &[0.01, 100.0], &[0.0, 100.0], None));
        let one = Tolerance { relative: 1e-3, floor: Floor::One };
        assert!(same(one, &[0.0009], &[0.0], None) && !same(t(false), &[0.0009], &[0.0], None));
        assert!(!same(one, &[0.0011, 100.0], &[0.0, 100.0], None));
        assert!(!same(t(false), &[f32::INFINITY], &[f32::MAX], None));
        assert!(!same(t(false), &[f32::NAN], &[1.0], None));
        assert!(same(t(false), &[1.003, 1.0], &[1.0, 1.0], Some(&[4.0, 1.0])));
        assert!(!same(t(false), &[1.003, 1.003], &[1.0, 1.0], Some(&[4.0, 1.0])));
        assert!(same(t(false), &[f32::NAN, 1.0], &[1.0, 1.0], Some(&[f64::INFINITY, 1.0])));
        let n = |x: i64| Numbers::of(&Literal::new(&[], &[x]));
        assert!(apart(t(false), &n(i64::MAX), &n(i64::MAX - 1), None).is_some());
        assert!(apart(t(false), &n(-1), &n(-1), None).is_none());
    }

    #[test]
    fn complex_elements() {
        let z = Literal::new(&[2], &[Complex::new(1.0f64, 2.0), Complex::new(3.0, -4.0)]);
        let numbers = Numbers::of(&z);
        let turned: Vec<_> = numbers.complex().iter().map(|z| z * Complex::new(0.0, 1.0)).collect();
        let want = Numbers::of(&Literal::new(&[2], &[Complex::new(-2.0f64, 1.0), Complex::new(4.0, 3.0)]));
        let exact = Tolerance { relative: 0.0, floor: Floor::OneOrLargest };
        let small = Numbers::of(&Literal::new(&[2], &[Complex::new(-2.0f64, 1.0005), Complex::new(4.0, 3.0)]));
        let infinite = Numbers::of(&Literal::new(&[1], &[Complex::new(f64::INFINITY, 1.0)]));
        let other = Numbers::of(&Literal::new(&[1], &[Complex::new(f64::INFINITY, 2.0)]));
        let close = Tolerance { relative: 2e-4, floor: Floor::OneOrLargest };
        assert_eq!(apart(close, &small, &want, None), None);
        assert!(apart(close, &infinite, &other, None).is_some());
        assert_eq!(apart(exact, &numbers.with(&turned), &want, None), None);
        assert!(apart(exact, &numbers, &want, None).is_some());
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
