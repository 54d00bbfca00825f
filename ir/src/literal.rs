//! Constant arrays.

use crate::{Complex, DType, Element, Type, bf16, f16, math, with_element};
use std::fmt;
use std::sync::Arc;

/// A constant array: its type and its elements in row-major order. Equality is equality of bits, so a NaN
/// equals itself and `0.0` differs from `-0.0`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Literal {
    ty: Type,
    bytes: Arc<[u8]>,
}

impl Literal {
    /// An array of the given elements.
    ///
    /// # Panics
    /// If the number of elements is not the product of `shape` (an invariant of the caller).
    pub fn new<T: Element>(shape: &[usize], data: &[T]) -> Literal {
        let ty = Type::new(T::DTYPE, shape);
        assert_eq!(ty.numel(), data.len(), "a literal has as many elements as its shape");
        let mut bytes = Vec::with_capacity(ty.bytes());
        data.iter().for_each(|x| x.push_bytes(&mut bytes));
        Literal { ty, bytes: bytes.into() }
    }

    /// An array from its native-endian bytes; `None` if the length does not fit the type.
    pub fn from_bytes(ty: Type, bytes: Vec<u8>) -> Option<Literal> {
        (bytes.len() == ty.bytes()).then(|| Literal { ty, bytes: bytes.into() })
    }

    /// A scalar of `dtype` with the value nearest to `x`: saturating for integers, `x != 0` for bool.
    pub fn scalar(dtype: DType, x: f64) -> Literal {
        macro_rules! cast {
            ($t:ty) => {
                Literal::new(&[], &[x as $t])
            };
        }
        match dtype {
            DType::Bool => Literal::new(&[], &[x != 0.0]),
            DType::I8 => cast!(i8),
            DType::I16 => cast!(i16),
            DType::I32 => cast!(i32),
            DType::I64 => cast!(i64),
            DType::U8 => cast!(u8),
            DType::U16 => cast!(u16),
            DType::U32 => cast!(u32),
            DType::U64 => cast!(u64),
            DType::F16 => Literal::new(&[], &[math::f64_to_f16(x)]),
            DType::BF16 => Literal::new(&[], &[math::f64_to_bf16(x)]),
            DType::F32 => cast!(f32),
            DType::F64 => cast!(f64),
            DType::C64 => Literal::new(&[], &[Complex::new(x as f32, 0.0)]),
            DType::C128 => Literal::new(&[], &[Complex::new(x, 0.0)]),
        }
    }

    /// The array's type.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// The elements' native-endian bytes, row-major.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements, if `T` is the Rust type of the dtype.
    pub fn to_vec<T: Element>(&self) -> Option<Vec<T>> {
        (T::DTYPE == self.ty.dtype).then(|| self.bytes.chunks_exact(T::DTYPE.size()).map(T::from_bytes).collect())
    }

    /// Element `i` in row-major order as f64 (exact for every dtype but 64-bit integers); of a complex number the real
    /// part.
    pub fn get_f64(&self, i: usize) -> f64 {
        let size = self.ty.dtype.size();
        let b = &self.bytes[i * size..(i + 1) * size];
        match self.ty.dtype {
            DType::Bool => f64::from(u8::from(bool::from_bytes(b))),
            DType::I8 => f64::from(i8::from_bytes(b)),
            DType::I16 => f64::from(i16::from_bytes(b)),
            DType::I32 => f64::from(i32::from_bytes(b)),
            DType::I64 => i64::from_bytes(b) as f64,
            DType::U8 => f64::from(u8::from_bytes(b)),
            DType::U16 => f64::from(u16::from_bytes(b)),
            DType::U32 => f64::from(u32::from_bytes(b)),
            DType::U64 => u64::from_bytes(b) as f64,
            DType::F16 => f16::from_bytes(b).to_f64(),
            DType::BF16 => bf16::from_bytes(b).to_f64(),
            DType::F32 => f64::from(f32::from_bytes(b)),
            DType::F64 => f64::from_bytes(b),
            DType::C64 => f64::from(Complex::<f32>::from_bytes(b).re),
            DType::C128 => Complex::<f64>::from_bytes(b).re,
        }
    }

    /// All elements as [`Literal::get_f64`] gives them.
    pub fn to_f64(&self) -> Vec<f64> {
        (0..self.ty.numel()).map(|i| self.get_f64(i)).collect()
    }

    /// All elements as f64; of complex ones both parts, one after the other.
    pub fn to_numbers(&self) -> Vec<f64> {
        if !self.ty.dtype.is_complex() {
            return self.to_f64();
        }
        let numbers = Type::new(self.ty.dtype.real(), &[2 * self.ty.numel()]);
        Literal { ty: numbers, bytes: self.bytes.clone() }.to_f64()
    }

    /// The value every element has, if they all have the same bits and there is at least one.
    pub fn splat_value(&self) -> Option<Literal> {
        let size = self.ty.dtype.size();
        let first = self.bytes.get(..size)?;
        self.bytes
            .chunks_exact(size)
            .all(|c| c == first)
            .then(|| Literal { ty: Type::scalar(self.ty.dtype), bytes: first.into() })
    }

    /// The real number every element is, if there is one (see [`Literal::splat_value`]).
    pub fn splat_f64(&self) -> Option<f64> {
        let one = self.splat_value()?;
        let imaginary = match self.ty.dtype {
            DType::C64 => f64::from(Complex::<f32>::from_bytes(one.bytes()).im),
            DType::C128 => Complex::<f64>::from_bytes(one.bytes()).im,
            _ => 0.0,
        };
        (imaginary == 0.0).then(|| one.get_f64(0))
    }

    /// Whether every element equals `x` (NaN equals nothing).
    pub fn is_all(&self, x: f64) -> bool {
        self.splat_f64() == Some(x)
    }
}

impl fmt::Display for Literal {
    /// Elements as the text form has them: floats in shortest round-trip decimal, non-finite ones as hex bits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scalar = self.ty.rank() == 0;
        if !scalar {
            f.write_str("[")?;
        }
        with_element!(self.ty.dtype, T => {
            for (i, c) in self.bytes.chunks_exact(self.ty.dtype.size()).enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                <T as ElementText>::write(<T as Element>::from_bytes(c), f)?;
            }
        });
        if !scalar {
            f.write_str("]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self, self.ty)
    }
}

/// How one element is written and read in the text form.
pub(crate) trait ElementText: Element {
    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    fn read(text: &str) -> Option<Self>;
}

macro_rules! plain_text {
    ($($t:ty),*) => {$(
        impl ElementText for $t {
            fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}
plain_text!(bool, i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! float_text {
    ($($t:ty: $bits:ty),*) => {$(
        impl ElementText for $t {
            fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.is_finite() { write!(f, "{self:?}") } else { write!(f, "0x{:X}", self.to_bits()) }
            }
            fn read(text: &str) -> Option<Self> {
                match text.strip_prefix("0x") {
                    Some(hex) => <$bits>::from_str_radix(hex, 16).ok().map(<$t>::from_bits),
                    None => text.parse().ok(),
                }
            }
        }
    )*};
}
float_text!(f32: u32, f64: u64);

macro_rules! half_text {
    ($($t:ty: $nearest:path),*) => {$(
        impl ElementText for $t {
            fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.is_finite() { write!(f, "{:?}", self.to_f32()) } else { write!(f, "0x{:X}", self.to_bits()) }
            }
            fn read(text: &str) -> Option<Self> {
                match text.strip_prefix("0x") {
                    Some(hex) => u16::from_str_radix(hex, 16).ok().map(<$t>::from_bits),
                    None => text.parse().ok().map($nearest),
                }
            }
        }
    )*};
}
half_text!(f16: math::f64_to_f16, bf16: math::f64_to_bf16);

impl<T: ElementText> ElementText for Complex<T>
where
    Complex<T>: Element,
{
    /// The parts with a sign between them and an `i` at the end: `1.5-2.0i`, `0x7F800000+0.0i`.
    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Part<T>(T);
        impl<T: ElementText> fmt::Display for Part<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write(f)
            }
        }
        let im = Part(self.im).to_string();
        write!(f, "{}{}{im}i", Part(self.re), if im.starts_with('-') { "" } else { "+" })
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.strip_suffix('i')?;
        // a sign after an `e` belongs to an exponent
        let is_between = |i: usize| i > 0 && text.as_bytes()[i - 1] != b'e';
        let at = text.rmatch_indices(['+', '-']).map(|(i, _)| i).find(|&i| is_between(i))?;
        let (re, im) = text.split_at(at);
        Some(Complex { re: T::read(re)?, im: T::read(im.strip_prefix('+').unwrap_or(im))? })
    }
}
