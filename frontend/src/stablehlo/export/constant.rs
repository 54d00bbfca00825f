//! Constants as `dense<..>`: every bit survives.

use gradloom_ir::{Complex, DType, Literal, bf16, f16};
use std::fmt::Write;

/// Arrays of more elements are written as their bytes.
const MAX_LISTED: usize = 16;

/// Appends `dense<..>`.
pub(super) fn dense(out: &mut String, x: &Literal) {
    out.push_str("dense<");
    let ty = x.ty();
    let size = ty.dtype.size();
    if let Some(one) = x.splat_value() {
        element(out, ty.dtype, one.bytes());
    } else if ty.numel() == 0 {
    } else if ty.numel() <= MAX_LISTED || ty.dtype == DType::Bool {
        // a list opens wherever an element begins a row of its axis
        let rows: Vec<usize> = (0..ty.rank()).map(|a| ty.shape[a..].iter().product()).collect();
        for (i, bytes) in x.bytes().chunks_exact(size).enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            rows.iter().filter(|&n| i % n == 0).for_each(|_| out.push('['));
            element(out, ty.dtype, bytes);
            rows.iter().filter(|&n| (i + 1) % n == 0).for_each(|_| out.push(']'));
        }
    } else {
        blob(out, x);
    }
    out.push('>');
}

/// `"0x.."`: little-endian bytes.
fn blob(out: &mut String, x: &Literal) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(2 * x.bytes().len() + 4);
    out.push_str("\"0x");
    let part = x.ty().dtype.real().size();
    for number in x.bytes().chunks_exact(part) {
        let mut put = |b: &u8| {
            out.push(char::from(DIGITS[usize::from(b >> 4)]));
            out.push(char::from(DIGITS[usize::from(b & 15)]));
        };
        if cfg!(target_endian = "big") {
            number.iter().rev().for_each(&mut put)
        } else {
            number.iter().for_each(&mut put)
        }
    }
    out.push('"');
}

/// One element from its native bytes.
fn element(out: &mut String, dtype: DType, bytes: &[u8]) {
    use gradloom_ir::Element;
    macro_rules! plain {
        ($t:ty) => {
            write!(out, "{}", <$t>::from_bytes(bytes)).expect("a string takes any text")
        };
    }
    match dtype {
        DType::Bool => plain!(bool),
        DType::I8 => plain!(i8),
        DType::I16 => plain!(i16),
        DType::I32 => plain!(i32),
        DType::I64 => plain!(i64),
        DType::U8 => plain!(u8),
        DType::U16 => plain!(u16),
        DType::U32 => plain!(u32),
        DType::U64 => plain!(u64),
        DType::F16 => {
            let x = f16::from_bytes(bytes);
            float(out, format!("{:?}", x.to_f32()), u64::from(x.to_bits()), 4, |d| f16::from_f64(d).to_bits().into());
        }
        DType::BF16 => {
            let x = bf16::from_bytes(bytes);
            float(out, format!("{:?}", x.to_f32()), u64::from(x.to_bits()), 4, |d| bf16::from_f64(d).to_bits().into());
        }
        DType::F32 => f32_element(out, f32::from_bytes(bytes)),
        DType::F64 => f64_element(out, f64::from_bytes(bytes)),
        DType::C64 => {
            let z = Complex::<f32>::from_bytes(bytes);
            pair(out, |out| f32_element(out, z.re), |out| f32_element(out, z.im));
        }
        DType::C128 => {
            let z = Complex::<f64>::from_bytes(bytes);
            pair(out, |out| f64_element(out, z.re), |out| f64_element(out, z.im));
        }
    }
}

fn pair(out: &mut String, re: impl FnOnce(&mut String), im: impl FnOnce(&mut String)) {
    out.push('(');
    re(out);
    out.push_str(", ");
    im(out);
    out.push(')');
}

fn f32_element(out: &mut String, x: f32) {
    float(out, format!("{x:?}"), x.to_bits().into(), 8, |d| (d as f32).to_bits().into());
}

fn f64_element(out: &mut String, x: f64) {
    float(out, format!("{x:?}"), x.to_bits(), 16, f64::to_bits);
}

/// The decimal, where readers that go through f64 get the same number from it; else the bits.
fn float(out: &mut String, decimal: String, bits: u64, digits: usize, read: impl Fn(f64) -> u64) {
    let exact = decimal.parse::<f64>().is_ok_and(|d| d.is_finite() && read(d) == bits);
    if !exact {
        write!(out, "0x{bits:0digits$X}").expect("a string takes any text");
        return;
    }
    // a number of the text has a point before its exponent
    match decimal.split_once('e') {
        Some((head, exponent)) if !head.contains('.') => {
            write!(out, "{head}.0e{exponent}").expect("a string takes any text");
        }
        _ => out.push_str(&decimal),
    }
}
