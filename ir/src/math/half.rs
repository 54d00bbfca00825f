//! The 16-bit floats as f32, written once for every machine. A half is the low 16 bits of an i32, the rest zeros.

use super::{Lanes, Scalar};
use half::{bf16, f16};

/// bf16 bits as f32; exact.
pub fn bf16_to_f32<L: Lanes>(l: &mut L, bits: L::I) -> L::F {
    let b = l.ishl(bits, 16);
    l.from_bits(b)
}

/// `bits >> by`, filling with zeros.
fn logical_shift<L: Lanes>(l: &mut L, bits: L::I, by: u32) -> L::I {
    let shifted = l.isar(bits, by);
    let mask = l.i((u32::MAX >> by) as i32);
    l.iand(shifted, mask)
}

/// f32 as bf16 bits, to nearest, ties to even; NaN stays quiet.
pub fn f32_to_bf16<L: Lanes>(l: &mut L, x: L::F) -> L::I {
    let bits = l.bits(x);
    let high = logical_shift(l, bits, 16);
    let one = l.i(1);
    let odd = l.iand(high, one);
    let half = l.i(0x7FFF);
    let up = l.iadd(bits, half);
    let up = l.iadd(up, odd);
    let rounded = logical_shift(l, up, 16);
    let quiet = l.i(0x40);
    let nan = l.ior(high, quiet);
    let ordered = l.eq(x, x);
    l.iselect(ordered, rounded, nan)
}

/// f16 bits as f32; exact.
pub fn f16_to_f32<L: Lanes>(l: &mut L, bits: L::I) -> L::F {
    let (magnitude_mask, sign_mask) = (l.i(0x7FFF), l.i(0x8000));
    let magnitude = l.iand(bits, magnitude_mask);
    let sign = l.iand(bits, sign_mask);
    let sign = l.ishl(sign, 16);
    // the exponent's bias differs by 112: a product sets it right, for subnormals too
    let wide = l.ishl(magnitude, 13);
    let small = l.from_bits(wide);
    let bias = l.f(f32::from_bits((127 + 112) << 23));
    let scaled = l.mul(small, bias);
    // infinities and NaN have the greatest exponent in both formats
    let scaled_bits = l.bits(scaled);
    let top = l.i(0x7F80_0000);
    let special = l.ior(wide, top);
    let limit = l.f(65536.0);
    let finite = l.lt(scaled, limit);
    let out = l.iselect(finite, scaled_bits, special);
    let out = l.ior(out, sign);
    l.from_bits(out)
}

/// f32 as f16 bits, to nearest, ties to even; NaN stays quiet.
pub fn f32_to_f16<L: Lanes>(l: &mut L, x: L::F) -> L::I {
    let bits = l.bits(x);
    let sign_mask = l.i(i32::MIN);
    let sign = l.iand(bits, sign_mask);
    let sign = logical_shift(l, sign, 16);
    let a = l.abs(x);
    let magnitude = l.bits(a);
    // normal results: round at bit 13 and shift the exponent's bias by 112
    let one = l.i(1);
    let odd = l.isar(magnitude, 13);
    let odd = l.iand(odd, one);
    let up = l.i(0xFFF - (112 << 23));
    let normal = l.iadd(magnitude, up);
    let normal = l.iadd(normal, odd);
    let normal = l.isar(normal, 13);
    // subnormal results: adding 0.5 leaves the rounded digits at the end of the sum
    let half = l.f(0.5);
    let sum = l.add(a, half);
    let sum = l.bits(sum);
    let half_bits = l.bits(half);
    let subnormal = l.isub(sum, half_bits);
    let least_normal = l.f(f32::from_bits((127 - 14) << 23));
    let is_subnormal = l.lt(a, least_normal);
    let finite = l.iselect(is_subnormal, subnormal, normal);
    // 65520 is the first number that rounds to infinity
    let limit = l.f(65520.0);
    let fits = l.lt(a, limit);
    let infinity = l.i(0x7C00);
    let out = l.iselect(fits, finite, infinity);
    let payload = l.isar(magnitude, 13);
    let payload_mask = l.i(0x3FF);
    let payload = l.iand(payload, payload_mask);
    let quiet = l.i(0x7E00);
    let nan = l.ior(payload, quiet);
    let ordered = l.eq(x, x);
    let out = l.iselect(ordered, out, nan);
    l.ior(out, sign)
}

/// The f32 towards zero, with its last bit set if that lost anything: rounding it further is rounding `x` once.
pub fn round_to_odd(x: f64) -> f32 {
    let y = x as f32;
    let away = f64::from(y).abs() > x.abs();
    let truncated = if away { f32::from_bits(y.to_bits() - 1) } else { y };
    if f64::from(truncated) == x || x.is_nan() { truncated } else { f32::from_bits(truncated.to_bits() | 1) }
}

/// The nearest f16, ties to even.
pub fn f64_to_f16(x: f64) -> f16 {
    f16::from_bits(f32_to_f16(&mut Scalar, round_to_odd(x)) as u16)
}

/// The nearest bf16, ties to even.
pub fn f64_to_bf16(x: f64) -> bf16 {
    bf16::from_bits(f32_to_bf16(&mut Scalar, round_to_odd(x)) as u16)
}
