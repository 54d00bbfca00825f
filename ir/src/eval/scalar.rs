//! Functions of single elements, for every dtype.

use crate::math::{
    RealMachine, Scalar, apply_binary, apply_unary, atan2_f64, complex_abs, complex_binary, complex_unary, f64_to_bf16,
    f64_to_f16, next_after_f64, pow_f64, unary_f64, zeta_f32, zeta_f64,
};
use crate::{Binary, Comparison, Complex, Element, ReduceKind, Unary, bf16, f16};
use std::marker::PhantomData;

/// Any element without loss.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Wide {
    /// An integer or truth value.
    Int(i128),
    /// A float.
    Float(f64),
    /// A complex number.
    Complex(Complex<f64>),
}

/// What the ops do to elements of one dtype.
///
/// `None` means that the op does not accept the dtype, as [`Unary::accepts`] and [`Binary::accepts`] say.
pub trait ScalarOps: Element {
    /// 0 or false.
    const ZERO: Self;

    /// An elementwise function into the same dtype.
    fn unary(op: Unary, x: Self) -> Option<Self>;

    /// An elementwise function of two operands. On bool, sums are `or` and products `and`.
    fn binary(op: Binary, x: Self, y: Self) -> Option<Self>;

    /// The neutral element of a reduction.
    fn identity(kind: ReduceKind) -> Option<Self>;

    /// The element without loss.
    fn widen(self) -> Wide;

    /// The element nearest to `x`: integers wrap, floats truncate and saturate, NaN becomes 0, bool is `x != 0`. Of a
    /// complex number a real element is the real part.
    fn narrow(x: Wide) -> Self;

    /// A number whose order is that of `sort`: all NaN equal and last, -0 before 0; complex numbers by real, then
    /// imaginary part.
    fn order_key(self) -> u128;

    /// A comparison; false before true. Complex numbers are only equal or not: `None` for the other comparisons.
    fn compare(op: Comparison, x: Self, y: Self) -> Option<bool>;

    /// One step of a reduction.
    fn combine(kind: ReduceKind, acc: Self, x: Self) -> Option<Self> {
        let op = match kind {
            ReduceKind::Sum => Binary::Add,
            ReduceKind::Prod => Binary::Mul,
            ReduceKind::Max => Binary::Max,
            ReduceKind::Min => Binary::Min,
            ReduceKind::And => Binary::And,
            ReduceKind::Or => Binary::Or,
        };
        Self::binary(op, acc, x)
    }

    /// Whether `x` replaces `best` as the greatest (`Max`) or least (any other kind); the first NaN stays.
    fn beats(kind: ReduceKind, x: Self, best: Self) -> bool {
        let known = |x: Self| Self::compare(Comparison::Eq, x, x) == Some(true);
        let better = if kind == ReduceKind::Max { Comparison::Gt } else { Comparison::Lt };
        known(best) && (!known(x) || Self::compare(better, x, best) == Some(true))
    }

    /// The integer as an index, saturating at the ends of i64; 0 for NaN.
    fn to_index(self) -> i64 {
        match self.widen() {
            Wide::Int(i) => i.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
            Wide::Float(f) => f as i64,
            Wide::Complex(z) => z.re as i64,
        }
    }
}

/// `compare` of an ordered type.
macro_rules! ordered {
    () => {
        fn compare(op: Comparison, x: Self, y: Self) -> Option<bool> {
            Some(match op {
                Comparison::Eq => x == y,
                Comparison::Ne => x != y,
                Comparison::Lt => x < y,
                Comparison::Le => x <= y,
                Comparison::Gt => x > y,
                Comparison::Ge => x >= y,
            })
        }
    };
}

/// Integer power by repeated squaring; negative powers are 0 but for 1 and -1.
macro_rules! int_pow {
    ($t:ty, $x:expr, $y:expr) => {{
        let (mut base, mut n, mut y): ($t, $t, $t) = ($x, $y, 1);
        #[allow(unused_comparisons)]
        if n < 0 {
            let minus_one = (0 as $t).wrapping_sub(1);
            if base != 1 && base != minus_one {
                base = 0;
            }
            n &= 1; // (+-1)^-n depends on the parity of n alone
            if base == 0 {
                return Some(0);
            }
        }
        while n != 0 {
            if n & 1 == 1 {
                y = y.wrapping_mul(base);
            }
            base = base.wrapping_mul(base);
            n >>= 1;
        }
        y
    }};
}

macro_rules! int_ops {
    ($($t:ty, $unsigned:ty, $signed:ty;)*) => {$(
        impl ScalarOps for $t {
            const ZERO: $t = 0;

            fn unary(op: Unary, x: $t) -> Option<$t> {
                #[allow(unused_comparisons)]
                let negative = x < 0;
                match op {
                    Unary::Neg => Some(x.wrapping_neg()),
                    Unary::Abs => Some(if negative { x.wrapping_neg() } else { x }),
                    Unary::Sign => Some(if negative { (0 as $t).wrapping_sub(1) } else { (x != 0) as $t }),
                    Unary::Not => Some(!x),
                    Unary::PopulationCount => Some(x.count_ones() as $t),
                    Unary::LeadingZeros => Some(x.leading_zeros() as $t),
                    _ => None,
                }
            }

            fn binary(op: Binary, x: $t, y: $t) -> Option<$t> {
                let amount = u32::try_from(y).ok().filter(|&n| n < <$t>::BITS);
                Some(match op {
                    Binary::Add => x.wrapping_add(y),
                    Binary::Sub => x.wrapping_sub(y),
                    Binary::Mul => x.wrapping_mul(y),
                    Binary::Div => if y == 0 { !0 } else { x.wrapping_div(y) },
                    Binary::Rem => if y == 0 { x } else { x.wrapping_rem(y) },
                    Binary::Pow => int_pow!($t, x, y),
                    Binary::Max => x.max(y),
                    Binary::Min => x.min(y),
                    Binary::Atan2 | Binary::NextAfter | Binary::Zeta | Binary::Complex => return None,
                    Binary::And => x & y,
                    Binary::Or => x | y,
                    Binary::Xor => x ^ y,
                    Binary::ShiftLeft => amount.map_or(0, |n| x << n),
                    Binary::ShiftRightLogical => amount.map_or(0, |n| (x as $unsigned >> n) as $t),
                    // the top bit is the sign, for unsigned numbers too
                    Binary::ShiftRightArithmetic => (x as $signed >> amount.unwrap_or(<$t>::BITS - 1)) as $t,
                })
            }

            fn identity(kind: ReduceKind) -> Option<$t> {
                Some(match kind {
                    ReduceKind::Sum | ReduceKind::Or => 0,
                    ReduceKind::Prod => 1,
                    ReduceKind::Max => <$t>::MIN,
                    ReduceKind::Min => <$t>::MAX,
                    ReduceKind::And => !0,
                })
            }

            fn widen(self) -> Wide {
                Wide::Int(self.into())
            }

            fn narrow(x: Wide) -> $t {
                match x {
                    Wide::Int(i) => i as $t,
                    Wide::Float(f) => f as $t,
                    Wide::Complex(z) => z.re as $t,
                }
            }

            fn order_key(self) -> u128 {
                // only the order counts: shift the range so that the least is 0
                (i128::from(self) - i128::from(<$t>::MIN)) as u128
            }

            ordered!();
        }
    )*};
}
int_ops! {
    i8, u8, i8;
    i16, u16, i16;
    i32, u32, i32;
    i64, u64, i64;
    u8, u8, i8;
    u16, u16, i16;
    u32, u32, i32;
    u64, u64, i64;
}

impl ScalarOps for bool {
    const ZERO: bool = false;

    fn unary(op: Unary, x: bool) -> Option<bool> {
        (op == Unary::Not).then_some(!x)
    }

    fn binary(op: Binary, x: bool, y: bool) -> Option<bool> {
        match op {
            Binary::Or | Binary::Max | Binary::Add => Some(x | y),
            Binary::And | Binary::Min | Binary::Mul => Some(x & y),
            Binary::Xor => Some(x ^ y),
            _ => None,
        }
    }

    fn identity(kind: ReduceKind) -> Option<bool> {
        match kind {
            ReduceKind::Sum | ReduceKind::Or | ReduceKind::Max => Some(false),
            ReduceKind::Prod | ReduceKind::And | ReduceKind::Min => Some(true),
        }
    }

    fn widen(self) -> Wide {
        Wide::Int(self.into())
    }

    fn narrow(x: Wide) -> bool {
        match x {
            Wide::Int(i) => i != 0,
            Wide::Float(f) => f != 0.0,
            Wide::Complex(z) => z.re != 0.0,
        }
    }

    fn order_key(self) -> u128 {
        self.into()
    }

    ordered!();
}

macro_rules! float_ops {
    ($t:ty, $bits:ty, unary $unary:expr, $($op:ident => $binary:expr),*) => {
        impl ScalarOps for $t {
            const ZERO: $t = 0.0;

            fn unary(op: Unary, x: $t) -> Option<$t> {
                match op {
                    Unary::Not | Unary::PopulationCount | Unary::LeadingZeros => None,
                    Unary::IsFinite | Unary::Real | Unary::Imag => None,
                    _ => $unary(op, x),
                }
            }

            fn binary(op: Binary, x: $t, y: $t) -> Option<$t> {
                match op {
                    Binary::Add => Some(x + y),
                    Binary::Sub => Some(x - y),
                    Binary::Mul => Some(x * y),
                    Binary::Div => Some(x / y),
                    Binary::Rem => Some(x % y),
                    $(Binary::$op => $binary(x, y),)*
                    Binary::Complex
                    | Binary::And
                    | Binary::Or
                    | Binary::Xor
                    | Binary::ShiftLeft
                    | Binary::ShiftRightLogical
                    | Binary::ShiftRightArithmetic => None,
                }
            }

            fn identity(kind: ReduceKind) -> Option<$t> {
                match kind {
                    ReduceKind::Sum => Some(0.0),
                    ReduceKind::Prod => Some(1.0),
                    ReduceKind::Max => Some(<$t>::NEG_INFINITY),
                    ReduceKind::Min => Some(<$t>::INFINITY),
                    ReduceKind::And | ReduceKind::Or => None,
                }
            }

            fn widen(self) -> Wide {
                Wide::Float(self.into())
            }

            fn narrow(x: Wide) -> $t {
                match x {
                    Wide::Int(i) => i as $t,
                    Wide::Float(f) => f as $t,
                    Wide::Complex(z) => z.re as $t,
                }
            }

            ordered!();

            fn order_key(self) -> u128 {
                let b = self.to_bits();
                let top: $bits = 1 << (<$bits>::BITS - 1);
                let key = if self.is_nan() { <$bits>::MAX } else if b & top == 0 { b | top } else { !b };
                key.into()
            }
        }
    };
}
float_ops! {
    f32, u32,
    unary |op, x| apply_unary(&mut Scalar, op, x),
    Pow => |x, y| apply_binary(&mut Scalar, Binary::Pow, x, y),
    Max => |x, y| apply_binary(&mut Scalar, Binary::Max, x, y),
    Min => |x, y| apply_binary(&mut Scalar, Binary::Min, x, y),
    Atan2 => |x, y| apply_binary(&mut Scalar, Binary::Atan2, x, y),
    NextAfter => |x, y| apply_binary(&mut Scalar, Binary::NextAfter, x, y),
    Zeta => |s, q| Some(zeta_f32(s, q))
}
float_ops! {
    f64, u64,
    unary |op, x| Some(unary_f64(op, x)),
    Pow => |x, y| Some(pow_f64(x, y)),
    Max => |x: f64, y: f64| Some(if x.is_nan() || (!y.is_nan() && x.total_cmp(&y).is_gt()) { x } else { y }),
    Min => |x: f64, y: f64| Some(if x.is_nan() || (!y.is_nan() && x.total_cmp(&y).is_lt()) { x } else { y }),
    Atan2 => |y, x| Some(atan2_f64(y, x)),
    NextAfter => |x, y| Some(next_after_f64(x, y)),
    Zeta => |s, q| Some(zeta_f64(s, q))
}

/// The 16-bit floats: what f32 computes, rounded.
macro_rules! half_ops {
    ($($t:ty: $nearest:path),*) => {$(
        impl ScalarOps for $t {
            const ZERO: $t = <$t>::ZERO;

            fn unary(op: Unary, x: $t) -> Option<$t> {
                <f32 as ScalarOps>::unary(op, x.to_f32()).map(<$t>::from_f32)
            }

            fn binary(op: Binary, x: $t, y: $t) -> Option<$t> {
                if op == Binary::NextAfter {
                    return None; // the neighbour in f32 is none here
                }
                <f32 as ScalarOps>::binary(op, x.to_f32(), y.to_f32()).map(<$t>::from_f32)
            }

            fn identity(kind: ReduceKind) -> Option<$t> {
                <f32 as ScalarOps>::identity(kind).map(<$t>::from_f32)
            }

            fn widen(self) -> Wide {
                Wide::Float(self.to_f64())
            }

            fn narrow(x: Wide) -> $t {
                match x {
                    Wide::Int(i) => $nearest(i as f64),
                    Wide::Float(f) => $nearest(f),
                    Wide::Complex(z) => $nearest(z.re),
                }
            }

            fn order_key(self) -> u128 {
                self.to_f32().order_key()
            }

            ordered!();
        }
    )*};
}
half_ops!(f16: f64_to_f16, bf16: f64_to_bf16);

/// Computes on one real number at a time.
struct Numbers<T>(PhantomData<T>);

impl<T: ScalarOps> RealMachine for Numbers<T> {
    type V = T;
    type M = bool;

    fn constant(&mut self, x: f64) -> T {
        T::narrow(Wide::Float(x))
    }
    fn unary(&mut self, op: Unary, x: T) -> T {
        T::unary(op, x).expect("the functions of complex numbers use functions of floats alone")
    }
    fn binary(&mut self, op: Binary, x: T, y: T) -> T {
        T::binary(op, x, y).expect("the functions of complex numbers use functions of floats alone")
    }
    fn compare(&mut self, op: Comparison, x: T, y: T) -> bool {
        T::compare(op, x, y) == Some(true)
    }
    fn or(&mut self, x: bool, y: bool) -> bool {
        x || y
    }
    fn and(&mut self, x: bool, y: bool) -> bool {
        x && y
    }
    fn select(&mut self, m: bool, x: T, y: T) -> T {
        if m { x } else { y }
    }
}

/// The modulus.
pub(super) fn modulus<T: ScalarOps>(z: Complex<T>) -> T {
    complex_abs(&mut Numbers::<T>(PhantomData), [z.re, z.im])
}

macro_rules! complex_ops {
    ($($t:ty),*) => {$(
        impl ScalarOps for Complex<$t> {
            const ZERO: Self = Complex::new(0.0, 0.0);

            fn unary(op: Unary, x: Self) -> Option<Self> {
                complex_unary(&mut Numbers::<$t>(PhantomData), op, [x.re, x.im]).map(|[re, im]| Complex { re, im })
            }

            fn binary(op: Binary, x: Self, y: Self) -> Option<Self> {
                let machine = &mut Numbers::<$t>(PhantomData);
                complex_binary(machine, op, [x.re, x.im], [y.re, y.im]).map(|[re, im]| Complex { re, im })
            }

            fn identity(kind: ReduceKind) -> Option<Self> {
                match kind {
                    ReduceKind::Sum => Some(Complex::new(0.0, 0.0)),
                    ReduceKind::Prod => Some(Complex::new(1.0, 0.0)),
                    _ => None,
                }
            }

            fn widen(self) -> Wide {
                Wide::Complex(Complex::new(self.re.into(), self.im.into()))
            }

            fn narrow(x: Wide) -> Self {
                let (re, im) = match x {
                    Wide::Complex(z) => (Wide::Float(z.re), Wide::Float(z.im)),
                    x => (x, Wide::Float(0.0)),
                };
                Complex { re: ScalarOps::narrow(re), im: ScalarOps::narrow(im) }
            }

            fn order_key(self) -> u128 {
                self.re.order_key() << 64 | self.im.order_key()
            }

            fn compare(op: Comparison, x: Self, y: Self) -> Option<bool> {
                match op {
                    Comparison::Eq => Some(x == y),
                    Comparison::Ne => Some(x != y),
                    _ => None,
                }
            }
        }
    )*};
}
complex_ops!(f32, f64);

/// Both lanes of the threefry-2x32 block cipher, 20 rounds (Salmon et al. 2011).
pub fn threefry2x32(key: [u32; 2], count: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1bd1_1bda];
    let [mut x, mut y] = [count[0].wrapping_add(keys[0]), count[1].wrapping_add(keys[1])];
    for i in 0..5 {
        for r in ROTATIONS[i % 2] {
            x = x.wrapping_add(y);
            y = y.rotate_left(r) ^ x;
        }
        x = x.wrapping_add(keys[(i + 1) % 3]);
        y = y.wrapping_add(keys[(i + 2) % 3]).wrapping_add(i as u32 + 1);
    }
    [x, y]
}
