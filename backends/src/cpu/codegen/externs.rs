//! Functions of this program that generated code calls: what the machine has no instruction for and is not worth a
//! straight-line program.

use super::emit::Emitter;
use cranelift_codegen::ir::{AbiParam, FuncRef, InstBuilder, Type, Value};
use cranelift_frontend::FunctionBuilder;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module};
use gradloom_ir::eval::ScalarOps;
use gradloom_ir::{Binary, Unary, math};
use std::collections::HashMap;

/// Names and addresses of f64 functions of one operand, which are called by the name of their op.
macro_rules! unary_table {
    ($($op:ident),* $(,)?) => {
        [$({
            extern "C" fn call(x: f64) -> f64 {
                math::unary_f64(Unary::$op, x)
            }
            (Unary::$op.name(), call as *const u8)
        }),*]
    };
}

extern "C" fn round_to_odd(x: f64) -> f64 {
    math::round_to_odd(x).into()
}

extern "C" fn remainder_f32(x: f32, y: f32) -> f32 {
    x % y
}

extern "C" fn remainder_f64(x: f64, y: f64) -> f64 {
    x % y
}

extern "C" fn power_f64(x: f64, y: f64) -> f64 {
    math::pow_f64(x, y)
}

extern "C" fn atan2_f64(y: f64, x: f64) -> f64 {
    math::atan2_f64(y, x)
}

extern "C" fn next_after_f64(x: f64, y: f64) -> f64 {
    math::next_after_f64(x, y)
}

extern "C" fn zeta_f32(s: f32, q: f32) -> f32 {
    math::zeta_f32(s, q)
}

extern "C" fn zeta_f64(s: f64, q: f64) -> f64 {
    math::zeta_f64(s, q)
}

extern "C" fn power_i64(x: i64, y: i64) -> i64 {
    ScalarOps::binary(Binary::Pow, x, y).expect("integers have powers")
}

extern "C" fn power_u64(x: u64, y: u64) -> u64 {
    ScalarOps::binary(Binary::Pow, x, y).expect("integers have powers")
}

/// The functions Cranelift itself calls on machines that lack the instruction, by the names it calls them.
macro_rules! libcalls {
    ($($name:literal: fn($($x:ident),*: $t:ty) $body:expr;)*) => {
        [$({
            extern "C" fn call($($x: $t),*) -> $t {
                $body
            }
            ($name, call as *const u8)
        }),*]
    };
}

/// Makes every function known to the linker.
pub(super) fn register(builder: &mut JITBuilder) {
    builder.symbols(unary_table![
        Sign, Exp, Expm1, Log, Log1p, Cbrt, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Tanh, Asinh, Acosh, Atanh,
        Logistic, Erf, ErfInv, Erfc, RoundAway, Lgamma, Digamma, BesselI0e, BesselI1e,
    ]);
    builder.symbols(libcalls! {
        "fmaf": fn(x, y, z: f32) x.mul_add(y, z);
        "fma": fn(x, y, z: f64) x.mul_add(y, z);
        "floorf": fn(x: f32) x.floor();
        "floor": fn(x: f64) x.floor();
        "ceilf": fn(x: f32) x.ceil();
        "ceil": fn(x: f64) x.ceil();
        "nearbyintf": fn(x: f32) x.round_ties_even();
        "nearbyint": fn(x: f64) x.round_ties_even();
    });
    builder.symbols([
        ("remainder_f32", remainder_f32 as *const u8),
        ("round_to_odd", round_to_odd as *const u8),
        (Binary::Rem.name(), remainder_f64 as *const u8),
        (Binary::Pow.name(), power_f64 as *const u8),
        (Binary::Atan2.name(), atan2_f64 as *const u8),
        (Binary::NextAfter.name(), next_after_f64 as *const u8),
        ("zeta_f32", zeta_f32 as *const u8),
        (Binary::Zeta.name(), zeta_f64 as *const u8),
        ("power_i64", power_i64 as *const u8),
        ("power_u64", power_u64 as *const u8),
    ]);
}

/// The functions a kernel has called so far.
pub(super) struct Externs<'a> {
    module: &'a mut JITModule,
    known: HashMap<&'static str, FuncRef>,
}

impl<'a> Externs<'a> {
    pub fn new(module: &'a mut JITModule) -> Externs<'a> {
        Externs { module, known: HashMap::new() }
    }

    /// The function `name` of `params` operands of type `ty` that returns one more.
    fn get(&mut self, b: &mut FunctionBuilder, name: &'static str, params: usize, ty: Type) -> FuncRef {
        *self.known.entry(name).or_insert_with(|| {
            let mut signature = self.module.make_signature();
            signature.params = vec![AbiParam::new(ty); params];
            signature.returns = vec![AbiParam::new(ty)];
            let id = self
                .module
                .declare_function(name, Linkage::Import, &signature)
                .expect("a name is always declared with the same signature");
            self.module.declare_func_in_func(id, b.func)
        })
    }
}

impl Emitter<'_> {
    /// Calls the registered function `name`, whose operands and result have type `ty`.
    pub fn call(&mut self, name: &'static str, args: &[Value], ty: Type) -> Value {
        let function = self.externs.get(&mut self.b, name, args.len(), ty);
        let call = self.b.ins().call(function, args);
        self.b.inst_results(call)[0]
    }
}
