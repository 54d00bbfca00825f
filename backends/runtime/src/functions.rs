//! Functions that generated code calls: what the machine has no instruction for and is not worth a straight-line
//! program. Code in this process finds them by address, object files by symbol.

use gradloom_ir::eval::ScalarOps;
use gradloom_ir::{Binary, Unary, math};

/// The symbol of the function that generated code calls by `name`: an op's name for f64, else as in the table.
pub fn symbol(name: &str) -> String {
    format!("gradloom_{name}")
}

/// The functions, as `symbol: (operands) result`, and [`functions`] which lists them.
macro_rules! table {
    ($($symbol:literal: ($($x:ident: $t:ty),*) $r:ty = $body:expr;)*) => {
        /// Symbols and addresses.
        pub fn functions() -> Vec<(&'static str, *const u8)> {
            vec![$({
                // SAFETY: the symbol belongs to this project alone.
                #[unsafe(export_name = $symbol)]
                extern "C" fn call($($x: $t),*) -> $r {
                    $body
                }
                ($symbol, call as *const u8)
            }),*]
        }
    };
}

table! {
    "gradloom_sign": (x: f64) f64 = math::unary_f64(Unary::Sign, x);
    "gradloom_exponential": (x: f64) f64 = math::unary_f64(Unary::Exp, x);
    "gradloom_exponential_minus_one": (x: f64) f64 = math::unary_f64(Unary::Expm1, x);
    "gradloom_log": (x: f64) f64 = math::unary_f64(Unary::Log, x);
    "gradloom_log_plus_one": (x: f64) f64 = math::unary_f64(Unary::Log1p, x);
    "gradloom_cbrt": (x: f64) f64 = math::unary_f64(Unary::Cbrt, x);
    "gradloom_sine": (x: f64) f64 = math::unary_f64(Unary::Sin, x);
    "gradloom_cosine": (x: f64) f64 = math::unary_f64(Unary::Cos, x);
    "gradloom_tan": (x: f64) f64 = math::unary_f64(Unary::Tan, x);
    "gradloom_asin": (x: f64) f64 = math::unary_f64(Unary::Asin, x);
    "gradloom_acos": (x: f64) f64 = math::unary_f64(Unary::Acos, x);
    "gradloom_atan": (x: f64) f64 = math::unary_f64(Unary::Atan, x);
    "gradloom_sinh": (x: f64) f64 = math::unary_f64(Unary::Sinh, x);
    "gradloom_cosh": (x: f64) f64 = math::unary_f64(Unary::Cosh, x);
    "gradloom_tanh": (x: f64) f64 = math::unary_f64(Unary::Tanh, x);
    "gradloom_asinh": (x: f64) f64 = math::unary_f64(Unary::Asinh, x);
    "gradloom_acosh": (x: f64) f64 = math::unary_f64(Unary::Acosh, x);
    "gradloom_atanh": (x: f64) f64 = math::unary_f64(Unary::Atanh, x);
    "gradloom_logistic": (x: f64) f64 = math::unary_f64(Unary::Logistic, x);
    "gradloom_erf": (x: f64) f64 = math::unary_f64(Unary::Erf, x);
    "gradloom_erf_inv": (x: f64) f64 = math::unary_f64(Unary::ErfInv, x);
    "gradloom_erfc": (x: f64) f64 = math::unary_f64(Unary::Erfc, x);
    "gradloom_round_nearest_afz": (x: f64) f64 = math::unary_f64(Unary::RoundAway, x);
    "gradloom_lgamma": (x: f64) f64 = math::unary_f64(Unary::Lgamma, x);
    "gradloom_digamma": (x: f64) f64 = math::unary_f64(Unary::Digamma, x);
    "gradloom_bessel_i0e": (x: f64) f64 = math::unary_f64(Unary::BesselI0e, x);
    "gradloom_bessel_i1e": (x: f64) f64 = math::unary_f64(Unary::BesselI1e, x);
    "gradloom_remainder": (x: f64, y: f64) f64 = x % y;
    "gradloom_power": (x: f64, y: f64) f64 = math::pow_f64(x, y);
    "gradloom_atan2": (y: f64, x: f64) f64 = math::atan2_f64(y, x);
    "gradloom_next_after": (x: f64, y: f64) f64 = math::next_after_f64(x, y);
    "gradloom_zeta": (s: f64, q: f64) f64 = math::zeta_f64(s, q);
    "gradloom_remainder_f32": (x: f32, y: f32) f32 = x % y;
    "gradloom_zeta_f32": (s: f32, q: f32) f32 = math::zeta_f32(s, q);
    "gradloom_round_to_odd": (x: f64) f64 = math::round_to_odd(x).into();
    "gradloom_power_i64": (x: i64, y: i64) i64 =
        ScalarOps::binary(Binary::Pow, x, y).expect("integers have powers");
    "gradloom_power_u64": (x: u64, y: u64) u64 =
        ScalarOps::binary(Binary::Pow, x, y).expect("integers have powers");
    // what Cranelift calls on machines that lack the instruction
    "gradloom_fmaf": (x: f32, y: f32, z: f32) f32 = x.mul_add(y, z);
    "gradloom_fma": (x: f64, y: f64, z: f64) f64 = x.mul_add(y, z);
    "gradloom_floorf": (x: f32) f32 = x.floor();
    "gradloom_floor": (x: f64) f64 = x.floor();
    "gradloom_ceilf": (x: f32) f32 = x.ceil();
    "gradloom_ceil": (x: f64) f64 = x.ceil();
    "gradloom_nearbyintf": (x: f32) f32 = x.round_ties_even();
    "gradloom_nearbyint": (x: f64) f64 = x.round_ties_even();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each symbol of an op is that op.
    #[test]
    fn symbols_are_those_of_the_ops() {
        let mut ops = 0;
        for (s, f) in functions() {
            let name = s.strip_prefix("gradloom_").expect("all symbols begin so");
            assert_eq!(symbol(name), s);
            let Some(op) = Unary::from_name(name) else { continue };
            // SAFETY: the functions named as unary ops are functions of one f64.
            let f = unsafe { std::mem::transmute::<*const u8, extern "C" fn(f64) -> f64>(f) };
            for x in [-2.5, -0.75, 0.0, 0.3, 0.75, 1.5, 4.0] {
                assert_eq!(f(x).to_bits(), math::unary_f64(op, x).to_bits(), "{name} of {x}");
            }
            ops += 1;
        }
        assert_eq!(ops, 29);
    }
}
