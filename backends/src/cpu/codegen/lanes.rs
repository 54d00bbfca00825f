//! [`Lanes`] on Cranelift: the elementary functions of f32 on one scalar or on a vector of four.

use super::emit::lane_order;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{ConstantData, InstBuilder, MemFlagsData, Opcode, Type, Value, types};
use cranelift_frontend::FunctionBuilder;
use gradloom_ir::math::Lanes;

/// Emits operations on `F32`/`I32` with truth values in `I8`, or on `F32X4`/`I32X4` with masks.
pub(super) struct Machine<'x, 'a> {
    pub b: &'x mut FunctionBuilder<'a>,
    pub is_vector: bool,
    pub machine: Target,
}

/// The instruction sets code is made for, as far as the shape of the code depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    X64,
    Other,
}

/// `mask ? x : y` on vectors whose type may differ from the mask's.
pub(super) fn blend(b: &mut FunctionBuilder, mask: Value, x: Value, y: Value) -> Value {
    let (ty, mask_ty) = (b.func.dfg.value_type(x), b.func.dfg.value_type(mask));
    if ty == mask_ty {
        return b.ins().bitselect(mask, x, y);
    }
    // Cranelift blends when it sees that the mask is a comparison: of floats through a cast, of integers only bare.
    let is_float_comparison =
        b.func.dfg.value_def(mask).inst().is_some_and(|i| b.func.dfg.insts[i].opcode() == Opcode::Fcmp);
    if is_float_comparison {
        let mask = b.ins().bitcast(ty, lane_order(), mask);
        return b.ins().bitselect(mask, x, y);
    }
    let (x, y) = (b.ins().bitcast(mask_ty, lane_order(), x), b.ins().bitcast(mask_ty, lane_order(), y));
    let r = b.ins().bitselect(mask, x, y);
    b.ins().bitcast(ty, lane_order(), r)
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
        // The caller keeps to the i32 range, where the machine's own conversion is right.
        match self.machine {
            Target::X64 if self.is_vector => self.b.ins().x86_cvtt2dq(types::I32X4, a),
            _ => {
                let ty = self.int();
                self.b.ins().fcvt_to_sint_sat(ty, a)
            }
        }
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
        if self.is_vector { blend(self.b, m, a, b) } else { self.b.ins().select(m, a, b) }
    }
    fn iselect(&mut self, m: Value, a: Value, b: Value) -> Value {
        if self.is_vector { self.b.ins().bitselect(m, a, b) } else { self.b.ins().select(m, a, b) }
    }
}
