//! Elements linear algebra is computed in.

use faer::traits::ComplexField;
use gradloom_ir::Complex;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A real or complex element.
pub(super) trait Number:
    ComplexField
    + Copy
    + PartialEq
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    const ZERO: Self;
    const ONE: Self;
    const NAN: Self;
    /// The type of magnitudes.
    type Magnitude: Copy + 'static;

    fn from_f64(x: f64) -> Self;
    fn magnitude(self) -> f64;
    fn real_part(self) -> f64;
    fn conjugate(self) -> Self;
    fn finite(self) -> bool;
    /// The sum of the magnitudes of the parts: what pivots are chosen by.
    fn size(self) -> f64;
    fn to_magnitude(x: f64) -> Self::Magnitude;
    fn of_magnitude(x: Self::Magnitude) -> f64;
}

macro_rules! real_number {
    ($($t:ty),*) => {$(
        impl Number for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const NAN: $t = <$t>::NAN;
            type Magnitude = $t;
            fn from_f64(x: f64) -> $t { x as $t }
            fn magnitude(self) -> f64 { f64::from(self.abs()) }
            fn real_part(self) -> f64 { f64::from(self) }
            fn conjugate(self) -> $t { self }
            fn finite(self) -> bool { self.is_finite() }
            fn size(self) -> f64 { f64::from(self.abs()) }
            fn to_magnitude(x: f64) -> $t { x as $t }
            fn of_magnitude(x: $t) -> f64 { f64::from(x) }
        }
    )*};
}
real_number!(f32, f64);

macro_rules! complex_number {
    ($($t:ty),*) => {$(
        impl Number for Complex<$t> {
            const ZERO: Self = Complex { re: 0.0, im: 0.0 };
            const ONE: Self = Complex { re: 1.0, im: 0.0 };
            const NAN: Self = Complex { re: <$t>::NAN, im: <$t>::NAN };
            type Magnitude = $t;
            fn from_f64(x: f64) -> Self { Complex { re: x as $t, im: 0.0 } }
            fn magnitude(self) -> f64 { f64::from(self.re).hypot(f64::from(self.im)) }
            fn real_part(self) -> f64 { f64::from(self.re) }
            fn conjugate(self) -> Self { Complex { re: self.re, im: -self.im } }
            fn finite(self) -> bool { self.re.is_finite() && self.im.is_finite() }
            fn size(self) -> f64 { f64::from(self.re.abs()) + f64::from(self.im.abs()) }
            fn to_magnitude(x: f64) -> $t { x as $t }
            fn of_magnitude(x: $t) -> f64 { f64::from(x) }
        }
    )*};
}
complex_number!(f32, f64);

/// The factor that makes positive the first entry within a tenth of the greatest magnitude.
pub(super) fn phase<T: Number>(x: &[T]) -> T {
    let greatest = x.iter().fold(0.0, |m: f64, x| m.max(x.magnitude()));
    let leader = x.iter().find(|x| x.magnitude() >= 0.9 * greatest && x.magnitude() > 0.0);
    leader.map_or(T::ONE, |x| x.conjugate() * T::from_f64(1.0 / x.magnitude()))
}

/// The power of two next to the greatest magnitude, or 1 if there is none.
pub(super) fn scale_of<T: Number>(x: impl Iterator<Item = T>) -> f64 {
    let greatest = x.fold(0.0, |m: f64, x| m.max(x.size()));
    if greatest == 0.0 { 1.0 } else { 2f64.powi(greatest.log2().floor().clamp(-1000.0, 1000.0) as i32) }
}
