//! Whether two arrays are the same by one of the rules of test programs.

use gradloom_frontend::stablehlo::Rule;
use gradloom_ir::Literal;
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
    let name = x.ty().dtype.name();
    let (size, parts) = match name {
        "c64" => (4, true),
        "c128" => (8, true),
        _ => (x.ty().dtype.size(), false),
    };
    let width = 8 * size as u32;
    let float = parts || name.contains('f');
    let read = |(i, bytes): (usize, &[u8])| {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(bytes);
        if cfg!(target_endian = "big") {
            wide[..size].reverse();
        }
        let bits = u64::from_le_bytes(wide);
        let value = match (name, size) {
            ("f16", _) => f16::from_bits(bits as u16).to_f64(),
            ("bf16", _) => bf16::from_bits(bits as u16).to_f64(),
            (_, 4) if float => f64::from(f32::from_bits(bits as u32)),
            (_, 8) if float => f64::from_bits(bits),
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
    let wrong: Vec<usize> =
        pairs().enumerate().filter(|&(_, (a, b))| !same(rule, a, b)).map(|(i, _)| i).collect();
    let &first = wrong.first()?;
    let (a, b) = (got_numbers[first], want_numbers[first]);
    let mut text = format!("{} of {} differ, first at {first}: {} not {}", wrong.len(), got_numbers.len(), a.value, b.value);
    if a.float {
        let most = wrong.iter().map(|&i| ulps(got_numbers[i], want_numbers[i])).max().unwrap_or(0);
        text += &format!(", at most {most} ulp apart");
    }
    Some(text)
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
    fn integers_and_types() {
        let (a, b) = (Literal::new(&[1], &[i64::MAX]), Literal::new(&[1], &[i64::MAX - 1]));
        assert_eq!(difference(Rule::Eq, &a, &a), None);
        assert!(difference(Rule::Eq, &a, &b).is_some());
        let c = Literal::new(&[1], &[1i32]);
        assert_eq!(difference(Rule::Eq, &a, &c), Some("i64[1] where i32[1] is expected".into()));
    }
}
