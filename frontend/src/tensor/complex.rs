//! Complex numbers: parts, conjugates, angles.

use super::arithmetic::{Operand, binary_at};
use super::convert::scalar_at;
use super::{Tensor, apply};
use gradloom_ir::{Binary, Complex, DType, Error, Literal, Loc, Op, Unary};

/// A complex number takes the tensor's dtype, which must be complex.
impl Operand for Complex<f64> {
    fn with_dtype(&self, dtype: DType, loc: &Loc) -> Tensor {
        let value = match dtype {
            DType::C64 => Literal::new(&[], &[Complex::new(self.re as f32, self.im as f32)]),
            DType::C128 => Literal::new(&[], &[*self]),
            _ => {
                let e = Error::user("literal", format!("{self} has no value in dtype {dtype}"))
                    .help("make the tensor complex first, with `.to(DType::C64)` or `Tensor::complex(&re, &im)`");
                return Tensor::failed(e.at(loc));
            }
        };
        apply(Op::Constant { value }, &[], loc)
    }
}

/// As for `Complex<f64>`.
impl Operand for Complex<f32> {
    fn with_dtype(&self, dtype: DType, loc: &Loc) -> Tensor {
        Complex::new(f64::from(self.re), f64::from(self.im)).with_dtype(dtype, loc)
    }
}

impl Tensor {
    /// `re + i im`: c64 of f32 parts, c128 of f64 parts. The parts broadcast.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let z = Tensor::complex(&Tensor::from([3.0f32, 0.0]), &Tensor::from([4.0f32, 1.0]));
    /// assert_eq!(z.abs().to_vec::<f32>()?, [5.0, 1.0]);
    /// assert_eq!((&z * z.conj()).real().to_vec::<f32>()?, [25.0, 1.0]);
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the parts differ in dtype, are neither f32 nor f64, or their shapes do not broadcast.
    #[track_caller]
    pub fn complex(re: &Tensor, im: &Tensor) -> Tensor {
        binary_at(Binary::Complex, re, im, &Loc::caller())
    }

    /// The real part; a real tensor is its own.
    #[track_caller]
    pub fn real(&self) -> Tensor {
        if !self.dtype().is_complex() {
            return self.clone();
        }
        apply(Op::Unary(Unary::Real), &[self], &Loc::caller())
    }

    /// The imaginary part; zeros for a real tensor.
    #[track_caller]
    pub fn imag(&self) -> Tensor {
        if !self.dtype().is_complex() {
            return self.zeros_like();
        }
        apply(Op::Unary(Unary::Imag), &[self], &Loc::caller())
    }

    /// The complex conjugate; a real tensor is its own.
    #[track_caller]
    pub fn conj(&self) -> Tensor {
        if !self.dtype().is_complex() {
            return self.clone();
        }
        Tensor::complex(&self.real(), &-self.imag())
    }

    /// The angle of each number in (-pi, pi], radians: 0 or pi for real ones.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let z = Tensor::complex(&Tensor::from(0.0f32), &Tensor::from(-2.0f32));
    /// assert_eq!(z.angle().item::<f32>()?, -std::f32::consts::FRAC_PI_2);
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    #[track_caller]
    pub fn angle(&self) -> Tensor {
        let loc = Loc::caller();
        let re = self.real();
        let im = if self.dtype().is_complex() { self.imag() } else { scalar_at(re.dtype(), 0.0, &loc) };
        binary_at(Binary::Atan2, &im, &re, &loc)
    }
}
