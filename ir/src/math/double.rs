//! f64 functions, by the standard library and `libm`.

use super::error_function::giles;
use super::series::{bessel_i0e, bessel_i1e, digamma};
use crate::Unary;
use std::f64::consts::{FRAC_2_SQRT_PI, PI};

/// The f64 function `op`. Those that are not from f64 to f64 give NaN.
pub fn unary_f64(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sign if x == 0.0 || x.is_nan() => x,
        Unary::Sign => 1f64.copysign(x),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::RoundAway => x.round(),
        Unary::Exp => x.exp(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Cbrt => x.cbrt(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tan => x.tan(),
        Unary::Asin => x.asin(),
        Unary::Acos => x.acos(),
        Unary::Atan => x.atan(),
        Unary::Sinh => x.sinh(),
        Unary::Cosh => x.cosh(),
        Unary::Tanh => x.tanh(),
        Unary::Asinh => libm::asinh(x),
        Unary::Acosh if x < 1.0 => f64::NAN,
        Unary::Acosh => libm::acosh(x),
        Unary::Atanh => libm::atanh(x),
        Unary::Logistic => {
            let e = (-x.abs()).exp();
            if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
        }
        Unary::Erf => libm::erf(x),
        Unary::Erfc => libm::erfc(x),
        Unary::ErfInv => erf_inv(x),
        Unary::Lgamma => libm::lgamma(x),
        Unary::Digamma => digamma(x),
        Unary::BesselI0e => bessel_i0e(x),
        Unary::BesselI1e => bessel_i1e(x),
        Unary::Not | Unary::PopulationCount | Unary::LeadingZeros => f64::NAN,
        Unary::IsFinite | Unary::Real | Unary::Imag => f64::NAN,
    }
}

/// x to the power y, with the special cases of IEEE 754.
pub fn pow_f64(x: f64, y: f64) -> f64 {
    x.powf(y)
}

/// Angle of the point (x, y), in [-pi, pi].
pub fn atan2_f64(y: f64, x: f64) -> f64 {
    y.atan2(x)
}

/// Inverse of erf: a single-precision start and three steps of Halley.
fn erf_inv(x: f64) -> f64 {
    let a = x.abs();
    if a >= 1.0 || x.is_nan() {
        return if a == 1.0 { f64::INFINITY.copysign(x) } else { f64::NAN };
    }
    let rest = 1.0 - a;
    let w = -(rest * (1.0 + a)).ln();
    let mut y = if w < 16.0 {
        a * giles(w)
    } else {
        // erfc(y) ~ e^(-y^2) / (y sqrt(pi))
        let log = -rest.ln() - PI.ln() / 2.0;
        (0..3).fold(log.sqrt(), |y, _| (log - y.ln()).sqrt())
    };
    for _ in 0..3 {
        let miss = if a < 0.5 { libm::erf(y) - a } else { rest - libm::erfc(y) };
        let step = miss / (FRAC_2_SQRT_PI * (-y * y).exp());
        y -= step / (1.0 + y * step);
    }
    y.copysign(x)
}
