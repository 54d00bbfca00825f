//! [`Lanes`] on Cranelift: the elementary functions of f32 on one scalar or on a vector of four.

use super::emit::lane_order;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{ConstantData, InstBuilder, MemFlagsData, Type, Value, types};
use cranelift_frontend::FunctionBuilder;
use gradloom_ir::math::Lanes;

/// Emits operations on `F32`/`I32` with truth values in `I8`, or on `F32X4`/`I32X4` with masks.
pub(super) struct Machine<'x, 'a> {
    pub b: &'x mut FunctionBuilder<'a>,
    pub is_vector: bool,
}

impl Machine<'_, '_> {
    fn float(&self) -> Type {
        if self.is_vector { types::F32X4 } else { types::F32 }
    }

    fn int(&self) -> Type {
        if self.is_vector { types::I32X4 } else { types::I32 }
    }

    fn splat(&mut self, ty: Type, bits: u32) -> Value {
        let bytes = bits.to_le_bytes().repeat(4);
        let constant = self.b.func.dfg.constants.insert(ConstantData::from(&bytes[..]));
        self.b.ins().vconst(ty, constant)
    }

    fn cast(&mut self, ty: Type, x: Value) -> Value {
        let flags = if self.is_vector { lane_order() } else { MemFlagsData::new() };
        self.b.ins().bitcast(ty, flags, x)
    }
}

impl Lanes for Machine<'_, '_> {
    type F = Value;
    type I = Value;
    type M = Value;

    fn f(&mut self, x: f32) -> Value {
        if self.is_vector { self.splat(types::F32X4, x.to_bits()) } else { self.b.ins().f32const(x) }
    }
    fn i(&mut self, x: i32) -> Value {
        if self.is_vector {
            self.splat(types::I32X4, x as u32)
        } else {
            self.b.ins().iconst(types::I32, i64::from(x as u32))
        }
    }
    fn add(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().fadd(a, b)
    }
    fn sub(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().fsub(a, b)
    }
    fn mul(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().fmul(a, b)
    }
    fn div(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().fdiv(a, b)
    }
    fn fma(&mut self, a: Value, b: Value, c: Value) -> Value {
        self.b.ins().fma(a, b, c)
    }
    fn sqrt(&mut self, a: Value) -> Value {
        self.b.ins().sqrt(a)
    }
    fn neg(&mut self, a: Value) -> Value {
        self.b.ins().fneg(a)
    }
    fn abs(&mut self, a: Value) -> Value {
        self.b.ins().fabs(a)
    }
    fn round(&mut self, a: Value) -> Value {
        self.b.ins().nearest(a)
    }
    fn to_int(&mut self, a: Value) -> Value {
        let ty = self.int();
        self.b.ins().fcvt_to_sint_sat(ty, a)
    }
    fn to_float(&mut self, a: Value) -> Value {
        let ty = self.float();
        self.b.ins().fcvt_from_sint(ty, a)
    }
    fn bits(&mut self, a: Value) -> Value {
        let ty = self.int();
        self.cast(ty, a)
    }
    fn from_bits(&mut self, a: Value) -> Value {
        let ty = self.float();
        self.cast(ty, a)
    }
    fn iadd(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().iadd(a, b)
    }
    fn isub(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().isub(a, b)
    }
    fn iand(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().band(a, b)
    }
    fn ior(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().bor(a, b)
    }
    fn ixor(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().bxor(a, b)
    }
    fn ishl(&mut self, a: Value, by: u32) -> Value {
        let by = self.b.ins().iconst(types::I32, i64::from(by));
        self.b.ins().ishl(a, by)
    }
    fn isar(&mut self, a: Value, by: u32) -> Value {
        let by = self.b.ins().iconst(types::I32, i64::from(by));
        self.b.ins().sshr(a, by)
    }
    fn lt(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().fcmp(FloatCC::LessThan, a, b)
    }
    fn eq(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().fcmp(FloatCC::Equal, a, b)
    }
    fn ieq(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().icmp(IntCC::Equal, a, b)
    }
    fn and(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().band(a, b)
    }
    fn or(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().bor(a, b)
    }
    fn select(&mut self, m: Value, a: Value, b: Value) -> Value {
        if !self.is_vector {
            return self.b.ins().select(m, a, b);
        }
        // On integers Cranelift sees that the mask is a comparison and blends.
        let (a, b) = (self.bits(a), self.bits(b));
        let r = self.b.ins().bitselect(m, a, b);
        self.from_bits(r)
    }
    fn iselect(&mut self, m: Value, a: Value, b: Value) -> Value {
        if self.is_vector { self.b.ins().bitselect(m, a, b) } else { self.b.ins().select(m, a, b) }
    }
}
