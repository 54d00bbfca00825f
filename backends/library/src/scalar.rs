//! Arithmetic on elements, and dispatch from dtypes to Rust types.

use gradloom_ir::{bf16, f16};

/// The Rust type a dtype's elements are computed in; bool is computed as the bytes 0 and 1.
pub(super) trait Scalar: Copy + PartialOrd + Send + Sync + 'static {
    const ZERO: Self;
    const ONE: Self;
    /// Identity of `greater`.
    const LEAST: Self;
    /// Identity of `lesser`.
    const GREATEST: Self;
    /// Wraps for integers.
    fn add(self, other: Self) -> Self;
    /// Wraps for integers.
    fn mul(self, other: Self) -> Self;
    /// NaN wins; +0 is greater than -0.
    fn greater(self, other: Self) -> Self;
    /// NaN wins; -0 is less than +0.
    fn lesser(self, other: Self) -> Self;
    fn is_nan(self) -> bool;
    /// A key whose unsigned order is the order of `sort`: NaN last, -0 before 0.
    fn sort_key(self) -> u64;
}

macro_rules! int_scalar {
    ($($t:ty: $u:ty, $flip:expr);* $(;)?) => {$(
        impl Scalar for $t {
            const ZERO: $t = 0;
            const ONE: $t = 1;
            const LEAST: $t = <$t>::MIN;
            const GREATEST: $t = <$t>::MAX;
            #[inline(always)]
            fn add(self, other: $t) -> $t { self.wrapping_add(other) }
            #[inline(always)]
            fn mul(self, other: $t) -> $t { self.wrapping_mul(other) }
            #[inline(always)]
            fn greater(self, other: $t) -> $t { if other > self { other } else { self } }
            #[inline(always)]
            fn lesser(self, other: $t) -> $t { if other < self { other } else { self } }
            #[inline(always)]
            fn is_nan(self) -> bool { false }
            #[inline(always)]
            fn sort_key(self) -> u64 { u64::from(self as $u ^ $flip) }
        }
    )*};
}
int_scalar! {
    u8: u8, 0; u16: u16, 0; u32: u32, 0; u64: u64, 0;
    i8: u8, 1 << 7; i16: u16, 1 << 15; i32: u32, 1 << 31; i64: u64, 1 << 63;
}

macro_rules! float_scalar {
    ($($t:ty: $u:ty, $i:ty);*) => {$(
        impl Scalar for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const LEAST: $t = <$t>::NEG_INFINITY;
            const GREATEST: $t = <$t>::INFINITY;
            #[inline(always)]
            fn add(self, other: $t) -> $t { self + other }
            #[inline(always)]
            fn mul(self, other: $t) -> $t { self * other }
            #[inline(always)]
            fn greater(self, other: $t) -> $t {
                // Equal values differ at most in the sign of zero: the bitwise `and` of the signs is that of the greater.
                let equal = <$t>::from_bits(self.to_bits() & other.to_bits());
                if self == other { equal } else if self > other || self != self { self } else { other }
            }
            #[inline(always)]
            fn lesser(self, other: $t) -> $t {
                let equal = <$t>::from_bits(self.to_bits() | other.to_bits());
                if self == other { equal } else if self < other || self != self { self } else { other }
            }
            #[inline(always)]
            fn is_nan(self) -> bool { self != self }
            #[inline(always)]
            fn sort_key(self) -> u64 {
                const SIGN: u32 = <$u>::BITS - 1;
                // all bits change if the sign is set, else the sign: without a branch, which nobody could predict
                let bits = self.to_bits();
                let changed = (bits as $i >> SIGN) as $u | 1 << SIGN;
                u64::from(if self != self { <$u>::MAX } else { bits ^ changed })
            }
        }
    )*};
}
float_scalar!(f32: u32, i32; f64: u64, i64);

/// 16-bit floats: what f32 computes, rounded.
macro_rules! half_scalar {
    ($($t:ty),*) => {$(
        impl Scalar for $t {
            const ZERO: $t = <$t>::ZERO;
            const ONE: $t = <$t>::ONE;
            const LEAST: $t = <$t>::NEG_INFINITY;
            const GREATEST: $t = <$t>::INFINITY;
            #[inline(always)]
            fn add(self, other: $t) -> $t { <$t>::from_f32(self.to_f32() + other.to_f32()) }
            #[inline(always)]
            fn mul(self, other: $t) -> $t { <$t>::from_f32(self.to_f32() * other.to_f32()) }
            #[inline(always)]
            fn greater(self, other: $t) -> $t { <$t>::from_f32(self.to_f32().greater(other.to_f32())) }
            #[inline(always)]
            fn lesser(self, other: $t) -> $t { <$t>::from_f32(self.to_f32().lesser(other.to_f32())) }
            #[inline(always)]
            fn is_nan(self) -> bool { <$t>::is_nan(self) }
            #[inline(always)]
            fn sort_key(self) -> u64 { self.to_f32().sort_key() }
        }
    )*};
}
half_scalar!(f16, bf16);

/// A complex number. The order is there for the trait alone: the op table has no ordering op on complex numbers.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
#[repr(C)]
pub(super) struct Pair<T> {
    re: T,
    im: T,
}

macro_rules! complex_scalar {
    ($($t:ty),*) => {$(
        impl Pair<$t> {
            pub(super) fn to_ne_bytes(self) -> Vec<u8> {
                [self.re.to_ne_bytes(), self.im.to_ne_bytes()].concat()
            }
        }

        impl Scalar for Pair<$t> {
            const ZERO: Self = Pair { re: 0.0, im: 0.0 };
            const ONE: Self = Pair { re: 1.0, im: 0.0 };
            const LEAST: Self = Self::ZERO;
            const GREATEST: Self = Self::ZERO;
            #[inline(always)]
            fn add(self, o: Self) -> Self { Pair { re: self.re + o.re, im: self.im + o.im } }
            #[inline(always)]
            fn mul(self, o: Self) -> Self {
                Pair { re: self.re * o.re - self.im * o.im, im: self.re * o.im + self.im * o.re }
            }
            fn greater(self, _: Self) -> Self { unreachable!("complex numbers have no order") }
            fn lesser(self, _: Self) -> Self { unreachable!("complex numbers have no order") }
            fn is_nan(self) -> bool { self.re.is_nan() || self.im.is_nan() }
            fn sort_key(self) -> u64 { unreachable!("complex keys are sorted by their parts") }
        }
    )*};
}
complex_scalar!(f32, f64);

/// Runs `$body` with `$T` the type that one of the listed dtypes is computed in.
macro_rules! match_dtype {
    ($dtype:expr, $T:ident => $body:expr; $($($name:ident)|+ => $t:ty),* $(,)?) => {
        match $dtype {
            $($(gradloom_ir::DType::$name)|+ => {
                type $T = $t;
                $body
            })*
        }
    };
}
pub(super) use match_dtype;

/// Runs `$body` with `$T` the type elements of `$dtype` are computed in.
macro_rules! with_scalar {
    ($dtype:expr, $T:ident => $body:expr) => {
        super::scalar::match_dtype!($dtype, $T => $body;
            Bool | U8 => u8, I8 => i8, I16 => i16, I32 => i32, I64 => i64, U16 => u16, U32 => u32, U64 => u64,
            F16 => gradloom_ir::f16, BF16 => gradloom_ir::bf16, F32 => f32, F64 => f64,
            C64 => super::scalar::Pair<f32>, C128 => super::scalar::Pair<f64>)
    };
}
pub(super) use with_scalar;

/// As [`with_scalar`] where sign does not matter (wrapping sums and products): signed integers run as unsigned.
macro_rules! with_ring {
    ($dtype:expr, $T:ident => $body:expr) => {
        super::scalar::match_dtype!($dtype, $T => $body;
            Bool | U8 | I8 => u8, I16 | U16 => u16, I32 | U32 => u32, I64 | U64 => u64,
            F16 => gradloom_ir::f16, BF16 => gradloom_ir::bf16, F32 => f32, F64 => f64,
            C64 => super::scalar::Pair<f32>, C128 => super::scalar::Pair<f64>)
    };
}
pub(super) use with_ring;

/// Runs `$body` with `$T` the unsigned integer of `$size` bytes, 8 at most.
macro_rules! with_bits {
    ($size:expr, $T:ident => $body:expr) => {
        match $size {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            _ => {
                type $T = u64;
                $body
            }
        }
    };
}
pub(super) use with_bits;

/// Runs `$body` with `$T` a type of `$size` bytes: for code that only moves elements.
macro_rules! with_size {
    ($size:expr, $T:ident => $body:expr) => {
        match $size {
            16 => {
                type $T = [u64; 2];
                $body
            }
            size => super::scalar::with_bits!(size, $T => $body),
        }
    };
}
pub(super) use with_size;

/// A loop that is compiled several times, for the vector widths a machine may have.
///
/// `run` must be `#[inline(always)]`, so that it takes on the features of the function it is inlined into. No
/// version reassociates or fuses operations: results are the same on every machine.
pub(super) trait Loop {
    fn run(self);
}

/// Runs the widest version of a loop that this machine has.
#[inline]
pub(super) fn wide(l: impl Loop) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi1,bmi2")]
        fn v4(l: impl Loop) {
            l.run()
        }
        #[target_feature(enable = "avx2,bmi1,bmi2")]
        fn v3(l: impl Loop) {
            l.run()
        }
        if std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512dq")
        {
            // SAFETY: the features were just found; avx512 implies avx2 and bmi.
            return unsafe { v4(l) };
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi2") {
            // SAFETY: the features were just found.
            return unsafe { v3(l) };
        }
    }
    l.run()
}
