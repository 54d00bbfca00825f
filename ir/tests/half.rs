//! Conversions of 16-bit floats, by the bits of all of them and against the crate `half`.

use gradloom_ir::math::*;
use gradloom_ir::{bf16, f16};

#[test]
fn every_half_is_exact() {
    for bits in 0..=u16::MAX {
        let (f, b) = (f16::from_bits(bits), bf16::from_bits(bits));
        let got = f16_to_f32(&mut Scalar, i32::from(bits));
        assert!(got.to_bits() == f.to_f32().to_bits() || got.is_nan() && f.is_nan(), "f16 {bits:#x}");
        let got = bf16_to_f32(&mut Scalar, i32::from(bits));
        assert!(got.to_bits() == b.to_f32().to_bits() || got.is_nan() && b.is_nan(), "bf16 {bits:#x}");
    }
}

#[test]
fn rounding_is_to_nearest_even() {
    let check = |x: f32| {
        assert_eq!(f32_to_bf16(&mut Scalar, x), i32::from(bf16::from_f32(x).to_bits()), "bf16 {x:e}");
        assert_eq!(f32_to_f16(&mut Scalar, x), i32::from(f16::from_f32(x).to_bits()), "f16 {x:e}");
    };
    (0..=u32::MAX).step_by(9973).for_each(|bits| check(f32::from_bits(bits)));
    // ties and their neighbours
    for bits in (0..=u16::MAX).map(|b| f16::from_bits(b).to_f32().to_bits()) {
        [0, 0xFFF, 0x1000, 0x1001, 0x1FFF].into_iter().for_each(|d| check(f32::from_bits(bits.wrapping_add(d))));
    }
}

#[test]
fn doubles_are_rounded_once() {
    // just above the tie between 1 and the next half; f32 cannot tell it from the tie
    let (f, b) = (1.0 + 2f64.powi(-11) + 2f64.powi(-40), 1.0 + 2f64.powi(-8) + 2f64.powi(-40));
    assert_eq!(f64_to_f16(f).to_bits(), 0x3C01);
    assert_eq!(f64_to_f16(2.0 - f).to_bits(), 0x3BFF);
    assert_eq!(f64_to_bf16(b).to_bits(), 0x3F81);
    assert_eq!(f64_to_bf16(-b).to_bits(), 0xBF81);
    assert_eq!(f64_to_f16(65519.999999), f16::MAX);
    assert_eq!(f64_to_f16(1e300), f16::INFINITY);
    assert_eq!(f64_to_bf16(-f64::MAX), bf16::NEG_INFINITY);
    assert!(f64_to_f16(f64::NAN).is_nan());
    assert_eq!(f64_to_f16(1e-320).to_bits(), 0);
    for bits in 0..=u16::MAX {
        let x = f16::from_bits(bits);
        assert!(f64_to_f16(x.to_f64()) == x || x.is_nan());
    }
}
