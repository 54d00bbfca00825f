//! Instructions on vector registers. A bool is a mask of the lane's width.

use super::emit::{Emitter, lane_order, vector_type};
use super::lanes::{Target, blend};
use super::plan::is_native;
use super::scalar::{float_condition, half_convert, int_condition};
use crate::kernel::{Inst, Val};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use gradloom_ir::{Binary, Comparison, DType, Unary, math};
use smallvec::SmallVec;

impl<'a> Emitter<'a> {
    /// Vector `u` of instruction `v`; `None` where it has to be computed lane by lane.
    pub fn vector_inst(&mut self, v: Val, operands: &[Val], u: usize) -> Option<Value> {
        let plan = self.plan;
        let to = plan.dtypes[v as usize];
        if !operands.iter().chain([&v]).all(|o| is_native(plan.dtypes[*o as usize], plan.lanes)) {
            return None;
        }
        let dtype = plan.dtypes[operands[0] as usize];
        let inst = plan.nest.inst(v);
        if let Inst::Binary(
            op @ (Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic),
            x,
            by,
        ) = inst
        {
            let Inst::Const(amount) = plan.nest.inst(*by) else { return None };
            let x = self.vector(*x, u);
            return Some(self.shift_by(*op, dtype, x, amount.get_f64(0)));
        }
        if !self.has_vector_form(inst, dtype) {
            return None;
        }
        let args: SmallVec<[Value; 4]> = operands.iter().map(|o| self.vector(*o, u)).collect();
        if let Inst::Binary(op @ (Binary::Max | Binary::Min), x, y) = inst
            && dtype.is_float()
        {
            let constant = |v: &Val| match plan.nest.inst(*v) {
                Inst::Const(c) => Some(c.get_f64(0)).filter(|c| !c.is_nan()),
                _ => None,
            };
            if let Some(c) = constant(y) {
                return Some(self.extremum_with(*op, args[0], args[1], c));
            }
            if let Some(c) = constant(x) {
                return Some(self.extremum_with(*op, args[1], args[0], c));
            }
        }
        match inst {
            Inst::Unary(op, _) => self.vector_unary(*op, dtype, args[0]),
            Inst::Binary(op, ..) => self.vector_binary(*op, dtype, args[0], args[1]),
            Inst::Compare(op, ..) => Some(self.vector_compare(*op, dtype, args[0], args[1])),
            Inst::Select(..) => Some(self.blend(args[0], args[1], args[2])),
            Inst::Convert(..) => self.vector_convert(dtype, to, args[0]),
            Inst::Bitcast(..) => Some(self.cast(vector_type(to, plan.lanes), args[0])),
            Inst::Threefry(lane, _) => Some(self.threefry(*lane, &args)),
            Inst::Const(_) | Inst::Load { .. } | Inst::Index { .. } | Inst::Acc(_) => None,
        }
    }

    /// Whether asking for vector operands is worth it: the forms below exist.
    fn has_vector_form(&self, inst: &Inst, dtype: DType) -> bool {
        let (float, single) = (dtype.is_float(), dtype == DType::F32);
        match inst {
            Inst::Unary(op, _) => {
                use Unary::*;
                single || !float || matches!(op, Neg | Abs | Sign | Floor | Ceil | Round | Sqrt | Rsqrt | IsFinite)
            }
            Inst::Binary(op, ..) => match op {
                Binary::Rem | Binary::Zeta => false,
                Binary::Div => float,
                Binary::Pow | Binary::Atan2 | Binary::NextAfter => single,
                _ => true,
            },
            Inst::Convert(..) => self.plan.lanes == 4 || !float,
            _ => true,
        }
    }

    fn cast(&mut self, ty: Type, x: Value) -> Value {
        if self.b.func.dfg.value_type(x) == ty { x } else { self.b.ins().bitcast(ty, lane_order(), x) }
    }

    fn blend(&mut self, mask: Value, x: Value, y: Value) -> Value {
        blend(&mut self.b, mask, x, y)
    }

    fn float_splat(&mut self, dtype: DType, x: f64) -> Value {
        match dtype {
            DType::F32 => self.splat_bytes(types::F32X4, &(x as f32).to_le_bytes()),
            _ => self.splat_bytes(types::F64X2, &x.to_le_bytes()),
        }
    }

    fn int_splat(&mut self, x: i64) -> Value {
        match self.plan.lanes {
            4 => self.splat_bytes(types::I32X4, &(x as i32).to_le_bytes()),
            _ => self.splat_bytes(types::I64X2, &x.to_le_bytes()),
        }
    }

    fn vector_unary(&mut self, op: Unary, dtype: DType, x: Value) -> Option<Value> {
        if op == Unary::Not {
            return Some(self.b.ins().bnot(x));
        }
        if !dtype.is_float() {
            return self.vector_int_unary(op, dtype, x);
        }
        Some(match op {
            Unary::Neg => self.b.ins().fneg(x),
            Unary::Abs => self.b.ins().fabs(x),
            Unary::Floor => self.b.ins().floor(x),
            Unary::Ceil => self.b.ins().ceil(x),
            Unary::Round => self.b.ins().nearest(x),
            Unary::Sqrt => self.b.ins().sqrt(x),
            Unary::Rsqrt => {
                let (one, root) = (self.float_splat(dtype, 1.0), self.b.ins().sqrt(x));
                self.b.ins().fdiv(one, root)
            }
            Unary::IsFinite => {
                let (a, inf) = (self.b.ins().fabs(x), self.float_splat(dtype, f64::INFINITY));
                self.b.ins().fcmp(FloatCC::LessThan, a, inf)
            }
            Unary::Sign if dtype == DType::F64 => {
                let (sign, one) = (self.float_splat(dtype, -0.0), self.float_splat(dtype, 1.0));
                let (a, zero) = (self.b.ins().fabs(x), self.float_splat(dtype, 0.0));
                let some = self.b.ins().fcmp(FloatCC::GreaterThan, a, zero);
                let signed = self.b.ins().band(x, sign);
                let signed = self.b.ins().bor(signed, one);
                self.blend(some, signed, x)
            }
            _ if dtype == DType::F32 => {
                return math::apply_unary(&mut self.machine(true), op, x);
            }
            _ => return None,
        })
    }

    fn vector_int_unary(&mut self, op: Unary, dtype: DType, x: Value) -> Option<Value> {
        let signed = dtype.is_signed_int();
        Some(match op {
            Unary::Neg => self.b.ins().ineg(x),
            Unary::Abs if signed => self.b.ins().iabs(x),
            Unary::Abs => x,
            Unary::Sign => {
                let zero = self.int_splat(0);
                if signed {
                    let above = self.b.ins().icmp(IntCC::SignedGreaterThan, x, zero);
                    let below = self.b.ins().icmp(IntCC::SignedLessThan, x, zero);
                    self.b.ins().isub(below, above)
                } else {
                    let none = self.b.ins().icmp(IntCC::Equal, x, zero);
                    let one = self.int_splat(1);
                    self.b.ins().iadd(none, one)
                }
            }
            _ => return None,
        })
    }

    /// A function of two vectors of a native dtype; `None` where it has to be computed lane by lane.
    pub fn vector_binary(&mut self, op: Binary, dtype: DType, x: Value, y: Value) -> Option<Value> {
        if dtype.is_float() {
            return Some(match op {
                Binary::Add => self.b.ins().fadd(x, y),
                Binary::Sub => self.b.ins().fsub(x, y),
                Binary::Mul => self.b.ins().fmul(x, y),
                Binary::Div => self.b.ins().fdiv(x, y),
                Binary::Max | Binary::Min => self.extremum(op, x, y),
                Binary::Pow | Binary::Atan2 | Binary::NextAfter if dtype == DType::F32 => {
                    return math::apply_binary(&mut self.machine(true), op, x, y);
                }
                _ => return None,
            });
        }
        let is_bool = dtype == DType::Bool;
        Some(match op {
            Binary::Add => self.b.ins().iadd(x, y),
            Binary::Sub => self.b.ins().isub(x, y),
            Binary::Mul => self.b.ins().imul(x, y),
            Binary::And => self.b.ins().band(x, y),
            Binary::Or => self.b.ins().bor(x, y),
            Binary::Xor => self.b.ins().bxor(x, y),
            Binary::Max if is_bool => self.b.ins().bor(x, y),
            Binary::Min if is_bool => self.b.ins().band(x, y),
            Binary::Max | Binary::Min if self.plan.lanes == 4 => match (op, dtype.is_signed_int()) {
                (Binary::Max, true) => self.b.ins().smax(x, y),
                (Binary::Max, false) => self.b.ins().umax(x, y),
                (_, true) => self.b.ins().smin(x, y),
                (_, false) => self.b.ins().umin(x, y),
            },
            Binary::Max | Binary::Min => {
                let greater = self.vector_compare(Comparison::Gt, dtype, x, y);
                if op == Binary::Max { self.blend(greater, x, y) } else { self.blend(greater, y, x) }
            }
            _ => return None,
        })
    }

    /// The greater or lesser of floats: NaN wins, -0 is below 0.
    fn extremum(&mut self, op: Binary, x: Value, y: Value) -> Value {
        if self.target != Target::X64 {
            return if op == Binary::Max { self.b.ins().fmax(x, y) } else { self.b.ins().fmin(x, y) };
        }
        // The machine's instruction gives the second operand if either is NaN or both are zeros. Both orders
        // differ only then; their bits combine to the right zero, and with the lesser to a NaN.
        let one = self.second_unless(op, x, y);
        let other = self.second_unless(op, y, x);
        if op == Binary::Min {
            return self.b.ins().bor(one, other);
        }
        let both = self.b.ins().band(one, other);
        let unknown = self.b.ins().fcmp(FloatCC::Unordered, x, y);
        let ty = self.b.func.dfg.value_type(x);
        let unknown = self.cast(ty, unknown);
        self.b.ins().bor(both, unknown)
    }

    /// `x` where it is strictly greater (lesser), else `y`: one instruction on x64.
    fn second_unless(&mut self, op: Binary, x: Value, y: Value) -> Value {
        let (low, high) = if op == Binary::Max { (y, x) } else { (x, y) };
        let first = self.b.ins().fcmp(FloatCC::LessThan, low, high);
        self.blend(first, x, y)
    }

    /// `extremum` of `x` and the vector `y` of constants `c`, no NaN.
    fn extremum_with(&mut self, op: Binary, x: Value, y: Value, c: f64) -> Value {
        // Equal values are the same but for zeros, of which max takes 0 and min takes -0.
        let tie_matters = c == 0.0 && (op == Binary::Max) == c.is_sign_positive();
        if !tie_matters {
            return self.second_unless(op, y, x);
        }
        let condition = if op == Binary::Max { FloatCC::LessThanOrEqual } else { FloatCC::GreaterThanOrEqual };
        let constant = self.b.ins().fcmp(condition, x, y);
        self.blend(constant, y, x)
    }

    fn vector_compare(&mut self, op: Comparison, dtype: DType, x: Value, y: Value) -> Value {
        if dtype.is_float() {
            return self.b.ins().fcmp(float_condition(op), x, y);
        }
        if matches!(op, Comparison::Eq | Comparison::Ne) {
            return self.b.ins().icmp(int_condition(op, true), x, y);
        }
        if dtype == DType::Bool {
            // As signed integers true is -1, below false.
            return self.b.ins().icmp(int_condition(op, true), y, x);
        }
        let (mut x, mut y) = (x, y);
        if dtype.is_unsigned_int() {
            let flip = self.int_splat(if self.plan.lanes == 4 { i64::from(i32::MIN) } else { i64::MIN });
            x = self.b.ins().bxor(x, flip);
            y = self.b.ins().bxor(y, flip);
        }
        match op {
            Comparison::Gt => self.b.ins().icmp(IntCC::SignedGreaterThan, x, y),
            Comparison::Lt => self.b.ins().icmp(IntCC::SignedGreaterThan, y, x),
            Comparison::Le => {
                let greater = self.b.ins().icmp(IntCC::SignedGreaterThan, x, y);
                self.b.ins().bnot(greater)
            }
            _ => {
                let less = self.b.ins().icmp(IntCC::SignedGreaterThan, y, x);
                self.b.ins().bnot(less)
            }
        }
    }

    /// A shift of all lanes by one constant.
    fn shift_by(&mut self, op: Binary, dtype: DType, x: Value, amount: f64) -> Value {
        let bits = dtype.size() as u32 * 8;
        let inside = amount >= 0.0 && amount < f64::from(bits);
        let amount = match (op, inside) {
            (_, true) => amount as i64,
            (Binary::ShiftRightArithmetic, false) => i64::from(bits) - 1,
            (_, false) => return self.int_splat(0),
        };
        let amount = self.b.ins().iconst(types::I32, amount);
        match op {
            Binary::ShiftLeft => self.b.ins().ishl(x, amount),
            Binary::ShiftRightLogical => self.b.ins().ushr(x, amount),
            _ => self.b.ins().sshr(x, amount),
        }
    }

    fn vector_convert(&mut self, from: DType, to: DType, x: Value) -> Option<Value> {
        if from == to || (from.is_int() && to.is_int()) {
            return Some(x);
        }
        Some(match (from, to) {
            (DType::Bool, _) if to.is_float() => {
                let one = self.float_splat(to, 1.0);
                let x = self.cast(vector_type(to, self.plan.lanes), x);
                self.b.ins().band(x, one)
            }
            (DType::Bool, _) => {
                let one = self.int_splat(1);
                self.b.ins().band(x, one)
            }
            (_, DType::Bool) if from.is_float() => {
                let zero = self.float_splat(from, 0.0);
                self.b.ins().fcmp(FloatCC::NotEqual, x, zero)
            }
            (_, DType::Bool) => {
                let zero = self.int_splat(0);
                self.b.ins().icmp(IntCC::NotEqual, x, zero)
            }
            (half, DType::F32) | (DType::F32, half) if half.is_half() => {
                half_convert(&mut self.machine(true), from, to, x)
            }
            (DType::F32, DType::I32) => self.b.ins().fcvt_to_sint_sat(types::I32X4, x),
            (DType::F32, DType::U32) => self.b.ins().fcvt_to_uint_sat(types::I32X4, x),
            (DType::I32, DType::F32) => self.b.ins().fcvt_from_sint(types::F32X4, x),
            (DType::U32, DType::F32) => self.b.ins().fcvt_from_uint(types::F32X4, x),
            _ => return None,
        })
    }
}
