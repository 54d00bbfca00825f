//! The combining operations of running and windowed reductions, as types.

use super::scalar::Scalar;

/// How two elements combine, and what changes nothing.
pub(super) trait Combine<T>: 'static {
    const IDENTITY: T;
    fn combine(acc: T, x: T) -> T;
}

pub(super) struct Sum;
pub(super) struct Prod;
pub(super) struct Max;
pub(super) struct Min;
/// Bitwise, on unsigned integers.
pub(super) struct And;
/// Bitwise, on unsigned integers.
pub(super) struct Or;
/// Of the bytes 0 and 1.
pub(super) struct BoolAnd;

impl<T: Scalar> Combine<T> for Sum {
    const IDENTITY: T = T::ZERO;
    #[inline(always)]
    fn combine(acc: T, x: T) -> T {
        acc.add(x)
    }
}

impl<T: Scalar> Combine<T> for Prod {
    const IDENTITY: T = T::ONE;
    #[inline(always)]
    fn combine(acc: T, x: T) -> T {
        acc.mul(x)
    }
}

impl<T: Scalar> Combine<T> for Max {
    const IDENTITY: T = T::LEAST;
    #[inline(always)]
    fn combine(acc: T, x: T) -> T {
        acc.greater(x)
    }
}

impl<T: Scalar> Combine<T> for Min {
    const IDENTITY: T = T::GREATEST;
    #[inline(always)]
    fn combine(acc: T, x: T) -> T {
        acc.lesser(x)
    }
}

macro_rules! bitwise {
    ($($t:ty),*) => {$(
        impl Combine<$t> for And {
            const IDENTITY: $t = !0;
            #[inline(always)]
            fn combine(acc: $t, x: $t) -> $t {
                acc & x
            }
        }
        impl Combine<$t> for Or {
            const IDENTITY: $t = 0;
            #[inline(always)]
            fn combine(acc: $t, x: $t) -> $t {
                acc | x
            }
        }
    )*};
}
bitwise!(u8, u16, u32, u64);

impl Combine<u8> for BoolAnd {
    const IDENTITY: u8 = 1;
    #[inline(always)]
    fn combine(acc: u8, x: u8) -> u8 {
        acc & x
    }
}

/// Runs `$body` with `$T` the element type and `$C` the combination of `$kind` on `$dtype`.
macro_rules! with_combine {
    ($kind:expr, $dtype:expr, $T:ident, $C:ident => $body:expr) => {{
        use super::combine::{And, BoolAnd, Max, Min, Or, Prod, Sum};
        use super::scalar::{with_bits, with_ring, with_scalar};
        use gradloom_ir::{DType, ReduceKind};
        match ($kind, $dtype) {
            (ReduceKind::Min | ReduceKind::And, DType::Bool) => {
                type $T = u8;
                type $C = BoolAnd;
                $body
            }
            (ReduceKind::Sum, d) => with_ring!(d, $T => { type $C = Sum; $body }),
            (ReduceKind::Prod, d) => with_ring!(d, $T => { type $C = Prod; $body }),
            (ReduceKind::Max, d) => with_scalar!(d, $T => { type $C = Max; $body }),
            (ReduceKind::Min, d) => with_scalar!(d, $T => { type $C = Min; $body }),
            (ReduceKind::And, d) => with_bits!(d.size(), $T => { type $C = And; $body }),
            (ReduceKind::Or, d) => with_bits!(d.size(), $T => { type $C = Or; $body }),
        }
    }};
}
pub(super) use with_combine;
