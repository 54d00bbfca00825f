//! Functions of complex numbers in terms of real ones, written once for every machine.
//!
//! A [`RealMachine`] is the interpreter, which computes on one number, or a builder of graphs, through which a program
//! on complex arrays becomes one on their real and imaginary parts. Both execute the same real operations, so they
//! agree. Branch cuts are those of C99 and NumPy, signed zeros included. Inverse functions follow W. Kahan, "Branch
//! cuts for complex elementary functions" (1987); division is R. L. Smith's (1962).

use crate::{Binary, Comparison, Unary};

/// A machine that computes real elementwise ops.
pub trait RealMachine {
    /// A real number, or an array of them.
    type V: Copy;
    /// A truth value, or an array of them.
    type M: Copy;

    /// The constant `x`.
    fn constant(&mut self, x: f64) -> Self::V;
    /// An elementwise function.
    fn unary(&mut self, op: Unary, x: Self::V) -> Self::V;
    /// An elementwise function of two operands.
    fn binary(&mut self, op: Binary, x: Self::V, y: Self::V) -> Self::V;
    /// A comparison.
    fn compare(&mut self, op: Comparison, x: Self::V, y: Self::V) -> Self::M;
    /// Either.
    fn or(&mut self, x: Self::M, y: Self::M) -> Self::M;
    /// Both.
    fn and(&mut self, x: Self::M, y: Self::M) -> Self::M;
    /// m ? x : y
    fn select(&mut self, m: Self::M, x: Self::V, y: Self::V) -> Self::V;

    /// x + y
    fn add(&mut self, x: Self::V, y: Self::V) -> Self::V {
        self.binary(Binary::Add, x, y)
    }
    /// x - y
    fn sub(&mut self, x: Self::V, y: Self::V) -> Self::V {
        self.binary(Binary::Sub, x, y)
    }
    /// x y
    fn mul(&mut self, x: Self::V, y: Self::V) -> Self::V {
        self.binary(Binary::Mul, x, y)
    }
    /// x / y
    fn div(&mut self, x: Self::V, y: Self::V) -> Self::V {
        self.binary(Binary::Div, x, y)
    }
    /// -x
    fn neg(&mut self, x: Self::V) -> Self::V {
        self.unary(Unary::Neg, x)
    }
    /// |x|
    fn abs(&mut self, x: Self::V) -> Self::V {
        self.unary(Unary::Abs, x)
    }
    /// c x
    fn scale(&mut self, c: f64, x: Self::V) -> Self::V {
        let c = self.constant(c);
        self.mul(c, x)
    }
    /// c + x
    fn offset(&mut self, c: f64, x: Self::V) -> Self::V {
        let c = self.constant(c);
        self.add(c, x)
    }
    /// x == c
    fn is(&mut self, x: Self::V, c: f64) -> Self::M {
        let c = self.constant(c);
        self.compare(Comparison::Eq, x, c)
    }
    /// x < c
    fn below(&mut self, x: Self::V, c: f64) -> Self::M {
        let c = self.constant(c);
        self.compare(Comparison::Lt, x, c)
    }
}

/// Real and imaginary part.
pub type Parts<R> = [<R as RealMachine>::V; 2];

/// m ? z : w
fn select<R: RealMachine>(r: &mut R, m: R::M, z: Parts<R>, w: Parts<R>) -> Parts<R> {
    [r.select(m, z[0], w[0]), r.select(m, z[1], w[1])]
}

fn add<R: RealMachine>(r: &mut R, z: Parts<R>, w: Parts<R>) -> Parts<R> {
    [r.add(z[0], w[0]), r.add(z[1], w[1])]
}

fn sub<R: RealMachine>(r: &mut R, z: Parts<R>, w: Parts<R>) -> Parts<R> {
    [r.sub(z[0], w[0]), r.sub(z[1], w[1])]
}

fn mul<R: RealMachine>(r: &mut R, [a, b]: Parts<R>, [c, d]: Parts<R>) -> Parts<R> {
    let (ac, bd, ad, bc) = (r.mul(a, c), r.mul(b, d), r.mul(a, d), r.mul(b, c));
    [r.sub(ac, bd), r.add(ad, bc)]
}

/// i z
fn times_i<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    [r.neg(b), a]
}

/// -i z
fn over_i<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    [b, r.neg(a)]
}

/// conj(z) w
fn conj_mul<R: RealMachine>(r: &mut R, [a, b]: Parts<R>, w: Parts<R>) -> Parts<R> {
    let b = r.neg(b);
    mul(r, [a, b], w)
}

fn div<R: RealMachine>(r: &mut R, [a, b]: Parts<R>, [c, d]: Parts<R>) -> Parts<R> {
    let (abs_c, abs_d) = (r.abs(c), r.abs(d));
    let by_c = r.compare(Comparison::Ge, abs_c, abs_d);
    // the lesser part of the divisor over the greater
    let (large, small) = (r.select(by_c, c, d), r.select(by_c, d, c));
    let ratio = r.div(small, large);
    let rest = r.mul(small, ratio);
    let divisor = r.add(large, rest);
    // (a + b ratio, b - a ratio), or (a ratio + b, b ratio - a)
    let (p, q) = (r.select(by_c, a, b), r.select(by_c, b, a));
    let (q_ratio, a_ratio, b_ratio) = (r.mul(q, ratio), r.mul(a, ratio), r.mul(b, ratio));
    let re = r.add(p, q_ratio);
    let (im_c, im_d) = (r.sub(b, a_ratio), r.sub(b_ratio, a));
    let im = r.select(by_c, im_c, im_d);
    let quotient = [r.div(re, divisor), r.div(im, divisor)];
    let (no_c, no_d) = (r.is(c, 0.0), r.is(d, 0.0));
    let by_zero = r.and(no_c, no_d);
    let infinite = [r.div(a, c), r.div(b, c)];
    select(r, by_zero, infinite, quotient)
}

/// |z|, without overflow on the way.
pub fn complex_abs<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> R::V {
    let (a, b) = (r.abs(a), r.abs(b));
    let (large, small) = (r.binary(Binary::Max, a, b), r.binary(Binary::Min, a, b));
    let q = r.div(small, large);
    let s = r.mul(q, q);
    let s = r.offset(1.0, s);
    let s = r.unary(Unary::Sqrt, s);
    let m = r.mul(large, s);
    let zero = r.is(large, 0.0);
    let m = r.select(zero, large, m);
    let (a_inf, b_inf) = (r.is(a, f64::INFINITY), r.is(b, f64::INFINITY));
    let inf = r.or(a_inf, b_inf);
    let infinity = r.constant(f64::INFINITY);
    r.select(inf, infinity, m)
}

/// x big, and x where x is 0 though `big` may have overflowed
fn scaled<R: RealMachine>(r: &mut R, x: R::V, big: R::V) -> R::V {
    let zero = r.is(x, 0.0);
    let y = r.mul(x, big);
    r.select(zero, x, y)
}

fn exp<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let e = r.unary(Unary::Exp, a);
    let half = r.scale(0.5, a);
    let root = r.unary(Unary::Exp, half);
    let overflows = r.is(e, f64::INFINITY);
    [Unary::Cos, Unary::Sin].map(|f| {
        let turn = r.unary(f, b);
        let plain = r.mul(e, turn);
        let first = scaled(r, turn, root);
        let twice = scaled(r, first, root);
        r.select(overflows, twice, plain)
    })
}

fn expm1<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let [_, im] = exp(r, [a, b]);
    let m = r.unary(Unary::Expm1, a);
    let c = r.unary(Unary::Cos, b);
    let half = r.scale(0.5, b);
    let s = r.unary(Unary::Sin, half);
    let s2 = r.mul(s, s);
    let turn = r.scale(2.0, s2);
    let first = r.mul(m, c);
    [r.sub(first, turn), im]
}

/// ln |z|, by ln(1 + (|z|^2 - 1)) / 2 where |z| is near 1
fn log_abs<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> R::V {
    let m = complex_abs(r, [a, b]);
    let far = r.unary(Unary::Log, m);
    let (a, b) = (r.abs(a), r.abs(b));
    let (large, small) = (r.binary(Binary::Max, a, b), r.binary(Binary::Min, a, b));
    let (minus, plus) = (r.offset(-1.0, large), r.offset(1.0, large));
    let excess = r.mul(minus, plus);
    let s2 = r.mul(small, small);
    let excess = r.add(excess, s2);
    let l = r.unary(Unary::Log1p, excess);
    let near = r.scale(0.5, l);
    let distance = r.abs(excess);
    let is_near = r.below(distance, 0.5);
    r.select(is_near, near, far)
}

fn log<R: RealMachine>(r: &mut R, z: Parts<R>) -> Parts<R> {
    [log_abs(r, z), r.binary(Binary::Atan2, z[1], z[0])]
}

fn log1p<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let one_more = r.offset(1.0, a);
    let far = log_abs(r, [one_more, b]);
    // |1 + z|^2 - 1 = a (2 + a) + b^2
    let two_more = r.offset(2.0, a);
    let (p, q) = (r.mul(a, two_more), r.mul(b, b));
    let excess = r.add(p, q);
    let l = r.unary(Unary::Log1p, excess);
    let near = r.scale(0.5, l);
    let distance = r.abs(excess);
    let is_near = r.below(distance, 0.5);
    [r.select(is_near, near, far), r.binary(Binary::Atan2, b, one_more)]
}

/// Whether the sign bit is set; NaN counts as positive.
fn is_negative<R: RealMachine>(r: &mut R, x: R::V) -> R::M {
    let below = r.below(x, 0.0);
    let one = r.constant(1.0);
    let inverse = r.div(one, x);
    let minus_zero = r.below(inverse, 0.0);
    r.or(below, minus_zero)
}

fn sqrt<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let m = complex_abs(r, [a, b]);
    let (abs_a, abs_b) = (r.abs(a), r.abs(b));
    let (p, q) = (r.scale(0.5, abs_a), r.scale(0.5, m));
    let sum = r.add(p, q);
    let t = r.unary(Unary::Sqrt, sum);
    let twice = r.scale(2.0, t);
    let negative_b = is_negative(r, b);
    let minus_t = r.neg(t);
    let signed_t = r.select(negative_b, minus_t, t);
    let right = [t, r.div(b, twice)];
    let left = [r.div(abs_b, twice), signed_t];
    let is_left = r.below(a, 0.0);
    let z = select(r, is_left, left, right);
    let nothing = r.is(m, 0.0);
    let zero = r.constant(0.0);
    let z = select(r, nothing, [zero, b], z);
    let far = r.is(abs_b, f64::INFINITY);
    select(r, far, [abs_b, b], z)
}

/// conj(sqrt z) / |z|
fn rsqrt<R: RealMachine>(r: &mut R, z: Parts<R>) -> Parts<R> {
    let [c, d] = sqrt(r, z);
    let m = complex_abs(r, z);
    let d = r.neg(d);
    [r.div(c, m), r.div(d, m)]
}

/// z^w: |z|^c e^(-d arg z) at the angle c arg z + d ln |z|, for w = c + i d
fn pow<R: RealMachine>(r: &mut R, z: Parts<R>, [c, d]: Parts<R>) -> Parts<R> {
    let m = complex_abs(r, z);
    let [l, arg] = log(r, z);
    let power = r.binary(Binary::Pow, m, c);
    let turned = r.mul(d, arg);
    let turned = r.neg(turned);
    let decay = r.unary(Unary::Exp, turned);
    let size = r.mul(power, decay);
    let (p, q) = (r.mul(c, arg), r.mul(d, l));
    let angle = r.add(p, q);
    let (cos, sin) = (r.unary(Unary::Cos, angle), r.unary(Unary::Sin, angle));
    let y = [scaled(r, cos, size), scaled(r, sin, size)];
    // 0^0 = 1, 0^w = 0 for Re w > 0
    let nothing = r.is(m, 0.0);
    let (no_c, no_d) = (r.is(c, 0.0), r.is(d, 0.0));
    let no_power = r.and(no_c, no_d);
    let (zero, one) = (r.constant(0.0), r.constant(1.0));
    let grows = r.compare(Comparison::Gt, c, zero);
    let vanishes = r.and(nothing, grows);
    let y = select(r, vanishes, [zero, zero], y);
    select(r, no_power, [one, zero], y)
}

fn sinh<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let (s, c) = (r.unary(Unary::Sinh, a), r.unary(Unary::Cosh, a));
    let (sin, cos) = (r.unary(Unary::Sin, b), r.unary(Unary::Cos, b));
    [scaled(r, s, cos), scaled(r, sin, c)]
}

fn cosh<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let (s, c) = (r.unary(Unary::Sinh, a), r.unary(Unary::Cosh, a));
    let (sin, cos) = (r.unary(Unary::Sin, b), r.unary(Unary::Cos, b));
    [scaled(r, cos, c), scaled(r, sin, s)]
}

/// By the tangent t of the imaginary part and the hyperbolic sine s of the real one; beyond |a| = 20 the real part is
/// 1 to the last digit and the imaginary part 4 sin b cos b e^(-2 |a|).
fn tanh<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let t = r.unary(Unary::Tan, b);
    let t2 = r.mul(t, t);
    let beta = r.offset(1.0, t2);
    let abs_a = r.abs(a);
    let most = r.constant(20.0);
    let bounded = r.binary(Binary::Min, abs_a, most);
    let negative = r.below(a, 0.0);
    let minus = r.neg(bounded);
    let near_a = r.select(negative, minus, bounded);
    let s = r.unary(Unary::Sinh, near_a);
    let s2 = r.mul(s, s);
    let rho = r.offset(1.0, s2);
    let rho = r.unary(Unary::Sqrt, rho);
    let divisor = r.mul(beta, s2);
    let divisor = r.offset(1.0, divisor);
    let beta_rho = r.mul(beta, rho);
    let re = r.mul(beta_rho, s);
    let near = [r.div(re, divisor), r.div(t, divisor)];
    let one = r.unary(Unary::Sign, a);
    let (sin, cos) = (r.unary(Unary::Sin, b), r.unary(Unary::Cos, b));
    let turn = r.mul(sin, cos);
    let turn = r.scale(4.0, turn);
    let exponent = r.scale(-2.0, abs_a);
    let e = r.unary(Unary::Exp, exponent);
    let far = [one, r.mul(turn, e)];
    let is_far = r.compare(Comparison::Gt, abs_a, most);
    select(r, is_far, far, near)
}

/// sqrt(1 - z) and sqrt(1 + z)
fn roots_around_one<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> (Parts<R>, Parts<R>) {
    let minus_a = r.neg(a);
    let (below, above, minus_b) = (r.offset(1.0, minus_a), r.offset(1.0, a), r.neg(b));
    (sqrt(r, [below, minus_b]), sqrt(r, [above, b]))
}

fn asin<R: RealMachine>(r: &mut R, z: Parts<R>) -> Parts<R> {
    let (minus, plus) = roots_around_one(r, z);
    let [re, _] = mul(r, minus, plus);
    let [_, im] = conj_mul(r, minus, plus);
    [r.binary(Binary::Atan2, z[0], re), r.unary(Unary::Asinh, im)]
}

fn acos<R: RealMachine>(r: &mut R, z: Parts<R>) -> Parts<R> {
    let (minus, plus) = roots_around_one(r, z);
    let half = r.binary(Binary::Atan2, minus[0], plus[0]);
    let [_, im] = conj_mul(r, plus, minus);
    [r.scale(2.0, half), r.unary(Unary::Asinh, im)]
}

fn acosh<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let (below, above) = (r.offset(-1.0, a), r.offset(1.0, a));
    let (minus, plus) = (sqrt(r, [below, b]), sqrt(r, [above, b]));
    let [re, _] = conj_mul(r, minus, plus);
    let half = r.binary(Binary::Atan2, minus[1], plus[0]);
    [r.unary(Unary::Asinh, re), r.scale(2.0, half)]
}

/// Re = sign a log1p(4 |a| / ((1 - |a|)^2 + b^2)) / 4, on |a| so that the quotient is far from -1.
fn atanh<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let abs_a = r.abs(a);
    let minus = r.neg(abs_a);
    let (below, above) = (r.offset(1.0, minus), r.offset(1.0, abs_a));
    let (b2, below2) = (r.mul(b, b), r.mul(below, below));
    let distance = r.add(below2, b2);
    let four = r.scale(4.0, abs_a);
    let q = r.div(four, distance);
    let l = r.unary(Unary::Log1p, q);
    let side = r.unary(Unary::Sign, a);
    let l = r.mul(side, l);
    let product = r.mul(below, above);
    let x = r.sub(product, b2);
    let y = r.scale(2.0, b);
    let angle = r.binary(Binary::Atan2, y, x);
    [r.scale(0.25, l), r.scale(0.5, angle)]
}

/// 1 / (1 + e^-z), by e^z where Re z < 0, so that nothing overflows
fn logistic<R: RealMachine>(r: &mut R, [a, b]: Parts<R>) -> Parts<R> {
    let negative = r.below(a, 0.0);
    let (abs_a, minus_b) = (r.abs(a), r.neg(b));
    let decay = [r.neg(abs_a), r.select(negative, b, minus_b)];
    let e = exp(r, decay);
    let divisor = [r.offset(1.0, e[0]), e[1]];
    let one = [r.constant(1.0), r.constant(0.0)];
    let numerator = select(r, negative, e, one);
    div(r, numerator, divisor)
}

/// A function of a complex number with complex values; `None` for those that have none.
pub fn complex_unary<R: RealMachine>(r: &mut R, op: Unary, z: Parts<R>) -> Option<Parts<R>> {
    Some(match op {
        Unary::Neg => z.map(|x| r.neg(x)),
        Unary::Sign => {
            let m = complex_abs(r, z);
            let nothing = r.is(m, 0.0);
            let y = z.map(|x| r.div(x, m));
            select(r, nothing, z, y)
        }
        Unary::Exp => exp(r, z),
        Unary::Expm1 => expm1(r, z),
        Unary::Log => log(r, z),
        Unary::Log1p => log1p(r, z),
        Unary::Sqrt => sqrt(r, z),
        Unary::Rsqrt => rsqrt(r, z),
        Unary::Cbrt => {
            let third = [r.constant(1.0 / 3.0), r.constant(0.0)];
            pow(r, z, third)
        }
        Unary::Sin => {
            let w = times_i(r, z);
            let s = sinh(r, w);
            over_i(r, s)
        }
        Unary::Cos => {
            let w = times_i(r, z);
            cosh(r, w)
        }
        Unary::Tan => {
            let w = times_i(r, z);
            let t = tanh(r, w);
            over_i(r, t)
        }
        Unary::Asin => asin(r, z),
        Unary::Acos => acos(r, z),
        Unary::Atan => {
            let w = times_i(r, z);
            let t = atanh(r, w);
            over_i(r, t)
        }
        Unary::Sinh => sinh(r, z),
        Unary::Cosh => cosh(r, z),
        Unary::Tanh => tanh(r, z),
        Unary::Asinh => {
            let w = over_i(r, z);
            let s = asin(r, w);
            times_i(r, s)
        }
        Unary::Acosh => acosh(r, z),
        Unary::Atanh => atanh(r, z),
        Unary::Logistic => logistic(r, z),
        _ => return None,
    })
}

/// A function of two complex numbers; `None` for those that are not defined on them.
pub fn complex_binary<R: RealMachine>(r: &mut R, op: Binary, z: Parts<R>, w: Parts<R>) -> Option<Parts<R>> {
    Some(match op {
        Binary::Add => add(r, z, w),
        Binary::Sub => sub(r, z, w),
        Binary::Mul => mul(r, z, w),
        Binary::Div => div(r, z, w),
        Binary::Pow => pow(r, z, w),
        _ => return None,
    })
}
