//! Elements linear algebra is computed in.

use faer::diag::DiagMut;
use faer::dyn_stack::MemStack;
use faer::linalg::evd::{evd_cplx, evd_real};
use faer::traits::ComplexField;
use faer::{MatMut, MatRef, Par};
use gradloom_ir::Complex;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

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
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
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
    fn imaginary_part(self) -> f64;
    fn conjugate(self) -> Self;
    fn finite(self) -> bool;
    /// The sum of the magnitudes of the parts: what pivots are chosen by.
    fn size(self) -> f64;
    fn to_magnitude(x: f64) -> Self::Magnitude;
    fn of_magnitude(x: Self::Magnitude) -> f64;

    /// The complex type of eigenvalues.
    type Eigenvalue: Number;
    /// Eigenvalues and right eigenvectors of a general matrix as the kernel has them; whether there are any.
    fn general(
        a: MatRef<'_, Self>,
        values: [&mut [Self]; 2],
        vectors: Option<MatMut<'_, Self>>,
        stack: &mut MemStack,
    ) -> bool;
    /// Eigenvalue `j`, and element `i` of its eigenvector.
    fn eigenpair(
        n: usize,
        values: [&[Self]; 2],
        vectors: &[Self],
        i: usize,
        j: usize,
    ) -> (Self::Eigenvalue, Self::Eigenvalue);
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
            fn imaginary_part(self) -> f64 { 0.0 }
            fn conjugate(self) -> $t { self }
            fn finite(self) -> bool { self.is_finite() }
            fn size(self) -> f64 { f64::from(self.abs()) }
            fn to_magnitude(x: f64) -> $t { x as $t }
            fn of_magnitude(x: $t) -> f64 { f64::from(x) }
            type Eigenvalue = Complex<$t>;
            fn general(
                a: MatRef<'_, $t>,
                [re, im]: [&mut [$t]; 2],
                vectors: Option<MatMut<'_, $t>>,
                stack: &mut MemStack,
            ) -> bool {
                let (re, im) = (DiagMut::from_slice_mut(re), DiagMut::from_slice_mut(im));
                evd_real(a, re, im, None, vectors, Par::Seq, stack, Default::default()).is_ok()
            }
            /// Of a conjugate pair the columns are the real and imaginary parts of the first.
            fn eigenpair(
                n: usize,
                [re, im]: [&[$t]; 2],
                vectors: &[$t],
                i: usize,
                j: usize,
            ) -> (Complex<$t>, Complex<$t>) {
                let value = Complex { re: re[j], im: im[j] };
                let at = |j: usize| vectors.get(j * n + i).copied().unwrap_or(0.0);
                // position in a run of pairs decides which of the two it is
                let start = (0..j).rev().take_while(|&k| im[k] != 0.0).count();
                let entry = match (im[j] != 0.0, start % 2) {
                    (false, _) => Complex { re: at(j), im: 0.0 },
                    (true, 0) => Complex { re: at(j), im: at(j + 1) },
                    (true, _) => Complex { re: at(j - 1), im: -at(j) },
                };
                (value, entry)
            }
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
            fn imaginary_part(self) -> f64 { f64::from(self.im) }
            fn conjugate(self) -> Self { Complex { re: self.re, im: -self.im } }
            fn finite(self) -> bool { self.re.is_finite() && self.im.is_finite() }
            fn size(self) -> f64 { f64::from(self.re.abs()) + f64::from(self.im.abs()) }
            fn to_magnitude(x: f64) -> $t { x as $t }
            fn of_magnitude(x: $t) -> f64 { f64::from(x) }
            type Eigenvalue = Self;
            fn general(
                a: MatRef<'_, Self>,
                [values, _]: [&mut [Self]; 2],
                vectors: Option<MatMut<'_, Self>>,
                stack: &mut MemStack,
            ) -> bool {
                let values = DiagMut::from_slice_mut(values);
                evd_cplx(a, values, None, vectors, Par::Seq, stack, Default::default()).is_ok()
            }
            fn eigenpair(n: usize, [values, _]: [&[Self]; 2], vectors: &[Self], i: usize, j: usize) -> (Self, Self) {
                (values[j], vectors.get(j * n + i).copied().unwrap_or(Self::ZERO))
            }
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
