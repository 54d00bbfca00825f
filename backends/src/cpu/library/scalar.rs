//! Arithmetic on elements, and dispatch from dtypes to Rust types.

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
    ($($t:ty: $u:ty),*) => {$(
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
                const SIGN: $u = 1 << (<$u>::BITS - 1);
                let bits = self.to_bits();
                u64::from(if self != self { <$u>::MAX } else if bits & SIGN != 0 { !bits } else { bits | SIGN })
            }
        }
    )*};
}
float_scalar!(f32: u32, f64: u64);

/// Runs `$body` with `$T` the type elements of `$dtype` are computed in.
macro_rules! with_scalar {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            gradloom_ir::DType::Bool | gradloom_ir::DType::U8 => {
                type $T = u8;
                $body
            }
            gradloom_ir::DType::I8 => {
                type $T = i8;
                $body
            }
            gradloom_ir::DType::I16 => {
                type $T = i16;
                $body
            }
            gradloom_ir::DType::I32 => {
                type $T = i32;
                $body
            }
            gradloom_ir::DType::I64 => {
                type $T = i64;
                $body
            }
            gradloom_ir::DType::U16 => {
                type $T = u16;
                $body
            }
            gradloom_ir::DType::U32 => {
                type $T = u32;
                $body
            }
            gradloom_ir::DType::U64 => {
                type $T = u64;
                $body
            }
            gradloom_ir::DType::F32 => {
                type $T = f32;
                $body
            }
            gradloom_ir::DType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}
pub(super) use with_scalar;

/// As [`with_scalar`] where sign does not matter (wrapping sums and products): signed integers run as unsigned.
macro_rules! with_ring {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            gradloom_ir::DType::Bool | gradloom_ir::DType::U8 | gradloom_ir::DType::I8 => {
                type $T = u8;
                $body
            }
            gradloom_ir::DType::I16 | gradloom_ir::DType::U16 => {
                type $T = u16;
                $body
            }
            gradloom_ir::DType::I32 | gradloom_ir::DType::U32 => {
                type $T = u32;
                $body
            }
            gradloom_ir::DType::I64 | gradloom_ir::DType::U64 => {
                type $T = u64;
                $body
            }
            gradloom_ir::DType::F32 => {
                type $T = f32;
                $body
            }
            gradloom_ir::DType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}
pub(super) use with_ring;

/// Runs `$body` with `$T` the unsigned integer of `$size` bytes: for code that only moves elements.
macro_rules! with_size {
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
