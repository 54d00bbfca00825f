//! Instructions on scalars. A bool is an `I8` of 0 or 1.

use super::emit::{Emitter, scalar_type};
use super::lanes::Machine;
use crate::kernel::{Inst, Val};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use gradloom_ir::{Binary, Comparison, DType, Unary, math};

/// The condition of a float comparison.
pub(super) fn float_condition(op: Comparison) -> FloatCC {
    match op {
        Comparison::Eq => FloatCC::Equal,
        Comparison::Ne => FloatCC::NotEqual,
        Comparison::Lt => FloatCC::LessThan,
        Comparison::Le => FloatCC::LessThanOrEqual,
        Comparison::Gt => FloatCC::GreaterThan,
        Comparison::Ge => FloatCC::GreaterThanOrEqual,
    }
}

/// The condition of an integer comparison.
pub(super) fn int_condition(op: Comparison, signed: bool) -> IntCC {
    match (op, signed) {
        (Comparison::Eq, _) => IntCC::Equal,
        (Comparison::Ne, _) => IntCC::NotEqual,
        (Comparison::Lt, true) => IntCC::SignedLessThan,
        (Comparison::Le, true) => IntCC::SignedLessThanOrEqual,
        (Comparison::Gt, true) => IntCC::SignedGreaterThan,
        (Comparison::Ge, true) => IntCC::SignedGreaterThanOrEqual,
        (Comparison::Lt, false) => IntCC::UnsignedLessThan,
        (Comparison::Le, false) => IntCC::UnsignedLessThanOrEqual,
        (Comparison::Gt, false) => IntCC::UnsignedGreaterThan,
        (Comparison::Ge, false) => IntCC::UnsignedGreaterThanOrEqual,
    }
}

/// Between a 16-bit float and f32, on scalars or vectors.
pub(super) fn half_convert(m: &mut Machine, from: DType, to: DType, x: Value) -> Value {
    match (from, to) {
        (DType::F16, DType::F32) => math::f16_to_f32(m, x),
        (DType::BF16, DType::F32) => math::bf16_to_f32(m, x),
        (DType::F32, DType::F16) => math::f32_to_f16(m, x),
        (DType::F32, DType::BF16) => math::f32_to_bf16(m, x),
        _ => unreachable!("{from} becomes {to} by way of f32"),
    }
}

impl<'a> Emitter<'a> {
    /// Instruction `v`, which has operands, on scalars.
    pub fn scalar_inst(&mut self, v: Val, args: &[Value]) -> Value {
        let plan = self.plan;
        let inst = plan.nest.inst(v);
        let from = |v: &Val| plan.dtypes[*v as usize];
        match inst {
            Inst::Unary(op, x) => self.unary(*op, from(x), args[0]),
            Inst::Binary(op, x, _) => self.binary(*op, from(x), args[0], args[1]),
            Inst::Compare(op, x, _) => self.compare(*op, from(x), args[0], args[1]),
            Inst::Select(..) => self.b.ins().select(args[0], args[1], args[2]),
            Inst::Convert(to, x) => self.convert(from(x), *to, args[0]),
            Inst::Bitcast(to, x) => self.bitcast(from(x), *to, args[0]),
            Inst::Threefry(lane, _) => self.threefry(*lane, args),
            Inst::Const(_) | Inst::Load { .. } | Inst::Index { .. } | Inst::Acc(_) => {
                unreachable!("{inst} has no operands")
            }
        }
    }

    /// The machine on which functions of f32 are written.
    pub fn machine(&mut self, is_vector: bool) -> Machine<'_, 'a> {
        Machine { b: &mut self.b, is_vector, machine: self.target }
    }

    fn unary(&mut self, op: Unary, dtype: DType, x: Value) -> Value {
        match op {
            Unary::Not if dtype == DType::Bool => return self.b.ins().bxor_imm_u(x, 1),
            Unary::Not => return self.b.ins().bnot(x),
            Unary::IsFinite => {
                let a = self.b.ins().fabs(x);
                let inf = match dtype {
                    DType::F32 => self.b.ins().f32const(f32::INFINITY),
                    _ => self.b.ins().f64const(f64::INFINITY),
                };
                return self.b.ins().fcmp(FloatCC::LessThan, a, inf);
            }
            _ => {}
        }
        if !dtype.is_float() {
            return self.int_unary(op, dtype, x);
        }
        match op {
            Unary::Neg => self.b.ins().fneg(x),
            Unary::Abs => self.b.ins().fabs(x),
            Unary::Floor => self.b.ins().floor(x),
            Unary::Ceil => self.b.ins().ceil(x),
            Unary::Round => self.b.ins().nearest(x),
            Unary::Sqrt => self.b.ins().sqrt(x),
            Unary::Rsqrt if dtype == DType::F64 => {
                let (one, root) = (self.b.ins().f64const(1.0), self.b.ins().sqrt(x));
                self.b.ins().fdiv(one, root)
            }
            _ if dtype == DType::F32 => math::apply_unary(&mut self.machine(false), op, x)
                .unwrap_or_else(|| unreachable!("{} is handled above", op.name())),
            _ => self.call(op.name(), &[x], types::F64),
        }
    }

    fn int_unary(&mut self, op: Unary, dtype: DType, x: Value) -> Value {
        let signed = dtype.is_signed_int();
        let zero = self.b.ins().iconst(scalar_type(dtype), 0);
        match op {
            Unary::Neg => self.b.ins().ineg(x),
            Unary::Abs if signed => {
                let minus = self.b.ins().ineg(x);
                let below = self.b.ins().icmp(IntCC::SignedLessThan, x, zero);
                self.b.ins().select(below, minus, x)
            }
            Unary::Abs => x,
            Unary::PopulationCount => self.b.ins().popcnt(x),
            Unary::LeadingZeros => self.b.ins().clz(x),
            Unary::Sign => {
                let condition = if signed { IntCC::SignedGreaterThan } else { IntCC::UnsignedGreaterThan };
                let above = self.b.ins().icmp(condition, x, zero);
                let sign = if signed {
                    let below = self.b.ins().icmp(IntCC::SignedLessThan, x, zero);
                    self.b.ins().isub(above, below)
                } else {
                    above
                };
                self.convert(DType::I8, dtype, sign)
            }
            _ => unreachable!("{} is no function of {dtype}", op.name()),
        }
    }

    /// A function of two scalars of one dtype.
    pub fn binary(&mut self, op: Binary, dtype: DType, x: Value, y: Value) -> Value {
        if dtype.is_float() { self.float_binary(op, dtype, x, y) } else { self.int_binary(op, dtype, x, y) }
    }

    fn float_binary(&mut self, op: Binary, dtype: DType, x: Value, y: Value) -> Value {
        let single = dtype == DType::F32;
        match op {
            Binary::Add => self.b.ins().fadd(x, y),
            Binary::Sub => self.b.ins().fsub(x, y),
            Binary::Mul => self.b.ins().fmul(x, y),
            Binary::Div => self.b.ins().fdiv(x, y),
            Binary::Max => self.b.ins().fmax(x, y),
            Binary::Min => self.b.ins().fmin(x, y),
            Binary::Rem if single => self.call("remainder_f32", &[x, y], types::F32),
            Binary::Zeta if single => self.call("zeta_f32", &[x, y], types::F32),
            Binary::Pow | Binary::Atan2 | Binary::NextAfter if single => {
                math::apply_binary(&mut self.machine(false), op, x, y)
                    .unwrap_or_else(|| unreachable!("{} is a function of f32", op.name()))
            }
            _ => self.call(op.name(), &[x, y], types::F64),
        }
    }

    fn int_binary(&mut self, op: Binary, dtype: DType, x: Value, y: Value) -> Value {
        let signed = dtype.is_signed_int();
        match op {
            Binary::Add => self.b.ins().iadd(x, y),
            Binary::Sub => self.b.ins().isub(x, y),
            Binary::Mul => self.b.ins().imul(x, y),
            Binary::And => self.b.ins().band(x, y),
            Binary::Or => self.b.ins().bor(x, y),
            Binary::Xor => self.b.ins().bxor(x, y),
            Binary::Max | Binary::Min => {
                let comparison = if op == Binary::Max { Comparison::Gt } else { Comparison::Lt };
                let first = self.b.ins().icmp(int_condition(comparison, signed), x, y);
                self.b.ins().select(first, x, y)
            }
            Binary::Div | Binary::Rem => self.int_division(op, dtype, x, y),
            Binary::Pow => {
                let wide = if signed { DType::I64 } else { DType::U64 };
                let (x, y) = (self.convert(dtype, wide, x), self.convert(dtype, wide, y));
                let name = if signed { "power_i64" } else { "power_u64" };
                let power = self.call(name, &[x, y], types::I64);
                self.convert(wide, dtype, power)
            }
            Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => self.shift(op, dtype, x, y),
            Binary::Atan2 | Binary::NextAfter | Binary::Zeta | Binary::Complex => {
                unreachable!("{} is no function of {dtype}", op.name())
            }
        }
    }

    /// Division never traps: a divisor of 0 or -1 is replaced by 1 and its result by what is defined.
    fn int_division(&mut self, op: Binary, dtype: DType, x: Value, y: Value) -> Value {
        let ty = scalar_type(dtype);
        let signed = dtype.is_signed_int();
        let (zero, one) = (self.b.ins().iconst(ty, 0), self.b.ins().iconst(ty, 1));
        let ones = self.b.ins().bnot(zero);
        let by_zero = self.b.ins().icmp(IntCC::Equal, y, zero);
        let by_ones = self.b.ins().icmp(IntCC::Equal, y, ones);
        let odd = if signed { self.b.ins().bor(by_zero, by_ones) } else { by_zero };
        let divisor = self.b.ins().select(odd, one, y);
        let minus = self.b.ins().ineg(x);
        match (op, signed) {
            (Binary::Div, true) => {
                let q = self.b.ins().sdiv(x, divisor);
                let q = self.b.ins().select(by_ones, minus, q);
                self.b.ins().select(by_zero, ones, q)
            }
            (Binary::Div, false) => {
                let q = self.b.ins().udiv(x, divisor);
                self.b.ins().select(by_zero, ones, q)
            }
            (_, true) => {
                // x rem 1 = 0 is right for -1 too.
                let r = self.b.ins().srem(x, divisor);
                self.b.ins().select(by_zero, x, r)
            }
            (_, false) => {
                let r = self.b.ins().urem(x, divisor);
                self.b.ins().select(by_zero, x, r)
            }
        }
    }

    fn shift(&mut self, op: Binary, dtype: DType, x: Value, y: Value) -> Value {
        let ty = scalar_type(dtype);
        let bits = i64::from(ty.bits());
        // A negative amount is a great one when taken as unsigned.
        let inside = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThan, y, bits);
        let shifted = match op {
            Binary::ShiftLeft => self.b.ins().ishl(x, y),
            Binary::ShiftRightLogical => self.b.ins().ushr(x, y),
            _ => self.b.ins().sshr(x, y),
        };
        let otherwise = match op {
            Binary::ShiftRightArithmetic => self.b.ins().sshr_imm_u(x, bits - 1),
            _ => self.b.ins().iconst(ty, 0),
        };
        self.b.ins().select(inside, shifted, otherwise)
    }

    fn compare(&mut self, op: Comparison, dtype: DType, x: Value, y: Value) -> Value {
        if dtype.is_float() {
            self.b.ins().fcmp(float_condition(op), x, y)
        } else {
            self.b.ins().icmp(int_condition(op, dtype.is_signed_int()), x, y)
        }
    }

    /// A scalar as another dtype.
    pub fn convert(&mut self, from: DType, to: DType, x: Value) -> Value {
        match (from, to) {
            _ if from == to => x,
            (DType::F32, DType::Bool) => {
                let zero = self.b.ins().f32const(0.0);
                self.b.ins().fcmp(FloatCC::NotEqual, x, zero)
            }
            (DType::F64, DType::Bool) => {
                let zero = self.b.ins().f64const(0.0);
                self.b.ins().fcmp(FloatCC::NotEqual, x, zero)
            }
            (_, DType::Bool) => self.b.ins().icmp_imm_s(IntCC::NotEqual, x, 0),
            (DType::F64, to) if to.is_half() => {
                let odd = self.call("round_to_odd", &[x], types::F64);
                let odd = self.b.ins().fdemote(types::F32, odd);
                self.convert(DType::F32, to, odd)
            }
            _ if from.is_half() || to.is_half() => half_convert(&mut self.machine(false), from, to, x),
            (DType::F32, DType::F64) => self.b.ins().fpromote(types::F64, x),
            (DType::F64, DType::F32) => self.b.ins().fdemote(types::F32, x),
            _ if from.is_float() => self.float_to_int(to, x),
            _ if to.is_float() => self.int_to_float(from, to, x),
            _ => self.resize(from, to, x),
        }
    }

    fn resize(&mut self, from: DType, to: DType, x: Value) -> Value {
        let ty = scalar_type(to);
        match from.size().cmp(&to.size()) {
            std::cmp::Ordering::Equal => x,
            std::cmp::Ordering::Greater => self.b.ins().ireduce(ty, x),
            std::cmp::Ordering::Less if from.is_signed_int() => self.b.ins().sextend(ty, x),
            std::cmp::Ordering::Less => self.b.ins().uextend(ty, x),
        }
    }

    fn float_to_int(&mut self, to: DType, x: Value) -> Value {
        let ty = scalar_type(to);
        match to {
            DType::I32 | DType::I64 => self.b.ins().fcvt_to_sint_sat(ty, x),
            DType::U32 | DType::U64 => self.b.ins().fcvt_to_uint_sat(ty, x),
            _ => {
                let bits = ty.bits();
                let (low, high) = if to.is_signed_int() {
                    (-1i64 << (bits - 1), (1i64 << (bits - 1)) - 1)
                } else {
                    (0, (1 << bits) - 1)
                };
                let wide = self.b.ins().fcvt_to_sint_sat(types::I32, x);
                let low = self.b.ins().iconst(types::I32, low & 0xffff_ffff);
                let high = self.b.ins().iconst(types::I32, high);
                let wide = self.b.ins().smax(wide, low);
                let wide = self.b.ins().smin(wide, high);
                self.b.ins().ireduce(ty, wide)
            }
        }
    }

    fn int_to_float(&mut self, from: DType, to: DType, x: Value) -> Value {
        let ty = scalar_type(to);
        match from {
            DType::U64 => self.b.ins().fcvt_from_uint(ty, x),
            DType::I32 | DType::I64 => self.b.ins().fcvt_from_sint(ty, x),
            DType::U32 => {
                let wide = self.b.ins().uextend(types::I64, x);
                self.b.ins().fcvt_from_sint(ty, wide)
            }
            _ => {
                let wide = self.resize(from, DType::I32, x);
                self.b.ins().fcvt_from_sint(ty, wide)
            }
        }
    }

    fn bitcast(&mut self, from: DType, to: DType, x: Value) -> Value {
        if from.is_half() && !to.is_half() {
            return self.b.ins().ireduce(types::I16, x);
        }
        if to.is_half() && !from.is_half() {
            return self.b.ins().uextend(types::I32, x);
        }
        if scalar_type(from) == scalar_type(to) {
            return x;
        }
        self.b.ins().bitcast(scalar_type(to), MemFlagsData::new(), x)
    }

    /// One lane of threefry-2x32 (Salmon et al. 2011) on u32 scalars or vectors.
    pub fn threefry(&mut self, lane: u8, args: &[Value]) -> Value {
        const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
        let parity = {
            let x = self.b.ins().bxor(args[0], args[1]);
            let c = self.word(x, 0x1BD1_1BDA);
            self.b.ins().bxor(x, c)
        };
        let keys = [args[0], args[1], parity];
        let mut x = self.b.ins().iadd(args[2], keys[0]);
        let mut y = self.b.ins().iadd(args[3], keys[1]);
        for group in 0..5 {
            for by in ROTATIONS[group % 2] {
                x = self.b.ins().iadd(x, y);
                y = self.rotate(y, by);
                y = self.b.ins().bxor(x, y);
            }
            x = self.b.ins().iadd(x, keys[(group + 1) % 3]);
            y = self.b.ins().iadd(y, keys[(group + 2) % 3]);
            let count = self.word(y, group as u32 + 1);
            y = self.b.ins().iadd(y, count);
        }
        if lane == 0 { x } else { y }
    }

    /// A u32 constant of the type of `like`.
    fn word(&mut self, like: Value, bits: u32) -> Value {
        let ty = self.b.func.dfg.value_type(like);
        if ty.is_vector() {
            self.splat_bytes(ty, &bits.to_le_bytes())
        } else {
            self.b.ins().iconst(ty, i64::from(bits))
        }
    }

    fn rotate(&mut self, x: Value, by: u32) -> Value {
        let amount = self.b.ins().iconst(types::I32, i64::from(by));
        if !self.b.func.dfg.value_type(x).is_vector() {
            return self.b.ins().rotl(x, amount);
        }
        let rest = self.b.ins().iconst(types::I32, i64::from(32 - by));
        let (high, low) = (self.b.ins().ishl(x, amount), self.b.ins().ushr(x, rest));
        self.b.ins().bor(high, low)
    }
}
