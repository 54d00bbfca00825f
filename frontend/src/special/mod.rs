//! Special functions, elementwise: gamma and beta functions, error functions, Bessel functions, the normal
//! distribution, Legendre polynomials, spherical harmonics.
//!
//! All are differentiable where they are smooth; each says if it is so only to second order. Operands are float tensors,
//! of one dtype where there are several; they broadcast, and one of them may be a number.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::{prelude::*, special};
//! let x = Tensor::from([0.5f64, 3.0]);
//! let p = special::gammainc(2.0, &x);
//! assert!((p.to_vec::<f64>().unwrap()[1] - 0.8008517265285442).abs() < 1e-14);
//! ```

mod harmonics;
mod incomplete;
mod integrals;
mod normal;
mod smooth;

pub use harmonics::{assoc_legendre, legendre, spherical_harmonics, spherical_harmonics_angles};
pub use incomplete::{betainc, gammainc, gammaincc, random_gamma_grad};
pub use integrals::{exp1, expi};
pub use normal::{log_ndtr, ndtr, ndtri};

use crate::tensor::arithmetic::{binary_at, broadcast_shapes, unary_at};
use crate::tensor::axes::settle;
use crate::tensor::{Operand, Tensor, apply_graph};
use crate::trace::{active, trace};
use gradloom_ir::{Binary, DType, Error, Loc, Result, Unary};
use std::f64::consts::{LN_2, PI};
use std::sync::Arc;

/// Operands of one float dtype, broadcast to one shape.
fn operands<const N: usize>(name: &str, args: [Tensor; N]) -> Result<[Tensor; N]> {
    let mut shape: gradloom_ir::Shape = Default::default();
    for x in &args {
        x.check()?;
        if !x.dtype().is_float() {
            return Err(Error::bad_dtype(name, x.dtype(), "a float"));
        }
        if x.dtype() != args[0].dtype() {
            return Err(Error::dtype_mismatch(name, args[0].dtype(), x.dtype()));
        }
        shape = broadcast_shapes(&shape, x.shape()).ok_or_else(|| {
            Error::shape_mismatch(name, args[0].ty_ref(), x.ty_ref(), "axes aligned at the end must be equal or 1")
        })?;
    }
    Ok(args.map(|x| x.broadcast_to(&shape[..])))
}

/// `f` of operands of one float dtype and shape, as one program.
fn call<const N: usize>(name: &str, args: [Tensor; N], f: impl Fn(&[Tensor; N]) -> Tensor, loc: &Loc) -> Tensor {
    let run = || {
        let args = operands(name, args)?;
        // 16-bit floats: what f32 gives, rounded
        let f = |args: &[Tensor; N]| match args[0].dtype() {
            d if d.size() < 4 => f(&args.each_ref().map(|x| x.to(DType::F32))).to(d),
            _ => f(args),
        };
        if active() {
            return Ok(f(&args));
        }
        let t = trace(&args, f)?.program;
        let inputs = t.operands(args.to_vec());
        let mut out = apply_graph(&Arc::new(t.graph), &inputs, loc)?;
        out.pop().ok_or_else(|| Error::internal(name, "the program has no result"))
    };
    settle(loc, run())
}

/// Two operands in the dtype of the one that is a tensor.
fn pair(a: impl Operand, b: impl Operand, loc: &Loc) -> [Tensor; 2] {
    let probe = b.with_dtype(DType::F32, &Loc::Unknown);
    let a = a.with_dtype(probe.dtype(), loc);
    let b = b.with_dtype(a.dtype(), loc);
    [a, b]
}

/// sum of c_k x^k
fn polynomial(x: &Tensor, c: impl DoubleEndedIterator<Item = f64>) -> Tensor {
    let mut c = c.rev();
    let mut y = x.full_like(c.next().unwrap_or(0.0));
    for k in c {
        y = y * x + k;
    }
    y
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                unary_at(Unary::$op, self, &Loc::caller())
            }
        )*}
    };
}
unary_methods! {
    /// 1 - erf(x), accurate where that is small.
    erfc Erfc;
    /// ln |gamma(x)|
    lgamma Lgamma;
    /// Derivative of ln gamma.
    digamma Digamma;
    /// Modified Bessel function I0, times e^-|x|.
    bessel_i0e BesselI0e;
    /// Modified Bessel function I1, times e^-|x|.
    bessel_i1e BesselI1e;
    /// Nearest integer, ties away from zero ([`Tensor::round`] takes them to even).
    round_away RoundAway;
    /// Number of bits that are 1, of an integer.
    count_ones PopulationCount;
    /// Number of zero bits above the topmost 1, of an integer.
    leading_zeros LeadingZeros;
}

impl Tensor {
    /// The next float after `self` towards `rhs`.
    #[track_caller]
    pub fn next_after(&self, rhs: impl Operand) -> Tensor {
        let loc = Loc::caller();
        let rhs = rhs.with_dtype(self.dtype(), &loc);
        if matches!(self.dtype(), DType::F16 | DType::BF16) && rhs.dtype() == self.dtype() {
            return next_half(self, &rhs);
        }
        binary_at(Binary::NextAfter, self, &rhs, &loc)
    }
}

/// The neighbour of a 16-bit float: the bits of floats of one sign are in the order of their magnitudes.
#[track_caller]
fn next_half(x: &Tensor, y: &Tensor) -> Tensor {
    let (up, down) = (y.gt(x), y.lt(x));
    let bits = x.bitcast(DType::I16);
    let grows = (&up & x.gt(0.0)) | (&down & x.lt(0.0));
    let moved = &bits + grows.select(bits.ones_like(), -bits.ones_like());
    let least = up.select(bits.ones_like(), bits.full_like(f64::from(i16::MIN + 1)));
    let moved = x.eq(0.0).select(least, moved).bitcast(x.dtype());
    // equal numbers give the second, as zeros differ in their sign; neither is above the other where one is NaN
    (up | down).select(moved, x.eq(y).select(y, x + y))
}

/// Functions of one operand: name, documentation, formula.
macro_rules! unary_functions {
    ($($(#[$doc:meta])* $name:ident |$x:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(x: &Tensor) -> Tensor {
            call(stringify!($name), [x.clone()], |[$x]| $body, &Loc::caller())
        }
    )*};
}
unary_functions! {
    /// Gauss error function.
    erf |x| x.erf();
    /// 1 - erf(x)
    erfc |x| x.erfc();
    /// Inverse of erf on (-1, 1).
    erfinv |x| x.erf_inv();
    /// ln |gamma(x)|
    gammaln |x| x.lgamma();
    /// Derivative of ln gamma.
    digamma |x| x.digamma();
    /// Gamma function; NaN at the negative integers.
    gamma |x| {
        // gamma changes its sign at each negative integer
        let half = x.floor() * 0.5;
        let odd = half.ne(half.floor()) & x.lt(0.0);
        let pole = x.lt(0.0) & x.eq(x.floor());
        let below = odd | (x.eq(0.0) & (x.ones_like() / x).lt(0.0));
        let sign = pole.select(x.full_like(f64::NAN), below.select(x.full_like(-1.0), x.ones_like()));
        x.lgamma().exp() * sign
    };
    /// x! = gamma(x + 1); 0 for x < 0.
    factorial |x| x.lt(0.0).select(0.0, (x + 1.0).lgamma().exp());
    /// Riemann zeta function for x > 1.
    riemann_zeta |x| zeta(x, 1.0);
    /// Modified Bessel function I0.
    i0 |x| x.abs().exp() * x.bessel_i0e();
    /// [`i0`] times e^-|x|.
    i0e |x| x.bessel_i0e();
    /// Modified Bessel function I1.
    i1 |x| x.abs().exp() * x.bessel_i1e();
    /// [`i1`] times e^-|x|.
    i1e |x| x.bessel_i1e();
    /// 1 / (1 + e^-x)
    expit |x| x.sigmoid();
    /// ln(x / (1 - x)), the inverse of [`expit`].
    logit |x| x.log() - (-x).log1p();
    /// -x ln x; 0 at 0 and -inf below.
    entr |x| {
        let inside = x.gt(0.0);
        let safe = inside.select(x, 1.0);
        inside.select(-(safe.log() * &safe), x.eq(0.0).select(x.zeros_like(), x.lt(0.0).select(f64::NEG_INFINITY, x)))
    };
    /// ln(1 - e^-x) for x > 0, accurate for small and large x (Mächler 2012).
    log1mexp |x| {
        let near = x.lt(LN_2);
        let (small, large) = (near.select(x, LN_2), near.select(LN_2, x));
        near.select((-(-small).expm1()).log(), (-(-large).exp()).log1p())
    };
    /// ln(e^x - 1) for x > 0, the inverse of softplus.
    log_expm1 |x| x + log1mexp(x);
    /// (e^x - 1) / x; 1 at 0.
    exprel |x| {
        let near = x.abs().lt(1.0);
        let far = near.select(1.0, x);
        let mut c = 1.0;
        let series = polynomial(&near.select(x, 0.0), (1..20).map(|k| { c /= f64::from(k); c }).collect::<Vec<_>>().into_iter());
        near.select(series, x.eq(f64::INFINITY).select(x, far.expm1() / &far))
    };
    /// sin(pi x) / (pi x); 1 at 0, with all its derivatives.
    sinc |x| {
        let y = x * PI;
        let near = y.abs().lt(1.0);
        let far = near.select(1.0, &y);
        let inner = near.select(&y, 0.0);
        let mut c = 1.0;
        let terms: Vec<f64> = (0..10).map(|k| { let t = c; c /= -f64::from((2 * k + 2) * (2 * k + 3)); t }).collect();
        near.select(polynomial(&inner.square(), terms.into_iter()), far.sin() / far)
    };
}

/// Functions of two operands: name, documentation, formula.
macro_rules! binary_functions {
    ($($(#[$doc:meta])* $name:ident |$a:ident, $b:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name($a: impl Operand, $b: impl Operand) -> Tensor {
            let loc = Loc::caller();
            call(stringify!($name), pair($a, $b, &loc), |[$a, $b]| $body, &loc)
        }
    )*};
}
binary_functions! {
    /// Hurwitz zeta function: the sum over k >= 0 of (q + k)^-s, for s > 1. For q < 0 it has a value where s is a whole
    /// number.
    zeta |s, q| binary_at(Binary::Zeta, s, q, &Loc::Unknown);
    /// ln |B(a, b)|
    betaln |a, b| {
        let (low, high) = (a.minimum(b), a.maximum(b));
        low.lgamma() + (high.lgamma() - (a + b).lgamma())
    };
    /// Beta function, for positive operands.
    beta |a, b| betaln(a, b).exp();
    /// x ln y; 0 where x is 0, whatever number y is.
    xlogy |x, y| {
        let zero = x.eq(0.0) & (y.le(0.0) | y.eq(f64::INFINITY));
        x * zero.select(1.0, y).log()
    };
    /// x ln(1 + y); 0 where x is 0, whatever number y is.
    xlog1py |x, y| {
        let zero = x.eq(0.0) & (y.le(-1.0) | y.eq(f64::INFINITY));
        x * zero.select(0.0, y).log1p()
    };
    /// x ln(x / y); 0 where x is 0 and y is not negative, inf where it is not defined.
    rel_entr |x, y| {
        let inside = x.gt(0.0) & y.gt(0.0);
        let (xs, ys) = (inside.select(x, 1.0), inside.select(y, 1.0));
        let value = (&xs / &ys).log() * &xs;
        let none = x.eq(0.0) & y.ge(0.0);
        let known = x.eq(x) & y.eq(y);
        inside.select(value, none.select(0.0, known.select(f64::INFINITY, x + y)))
    };
    /// x ln(x / y) - x + y
    kl_div |x, y| rel_entr(x, y) - x + y;
}

/// The derivative of order `n` of digamma.
#[track_caller]
pub fn polygamma(n: u32, x: &Tensor) -> Tensor {
    let body = |[x]: &[Tensor; 1]| {
        if n == 0 {
            return x.digamma();
        }
        let factorial = (1..=n).map(f64::from).product::<f64>();
        zeta(f64::from(n) + 1.0, x) * (if n % 2 == 1 { factorial } else { -factorial })
    };
    call("polygamma", [x.clone()], body, &Loc::caller())
}

/// Logarithm of the gamma function of positive definite d x d matrices, for x > (d - 1) / 2.
#[track_caller]
pub fn multigammaln(x: &Tensor, d: u32) -> Tensor {
    let body = |[x]: &[Tensor; 1]| {
        let d = f64::from(d);
        let start = x.full_like(d * (d - 1.0) / 4.0 * PI.ln());
        (0..d as u32).fold(start, |y, i| y + (x - f64::from(i) / 2.0).lgamma())
    };
    call("multigammaln", [x.clone()], body, &Loc::caller())
}
