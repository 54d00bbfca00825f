//! [`Lanes`] on wide vectors: the elementary functions of f32.

use super::block::{Op, Sign, V};
use super::lower::{Lower, condition, rounding};
use gradloom_ir::math::Lanes;
use gradloom_ir::{Binary, Comparison};
use iced_x86::Code;

impl Lanes for Lower<'_> {
    type F = V;
    type I = V;
    type M = V;

    fn f(&mut self, x: f32) -> V {
        self.constant(x.to_bits().into())
    }
    fn i(&mut self, x: i32) -> V {
        self.int(x.into())
    }
    fn add(&mut self, a: V, b: V) -> V {
        self.float_op(Binary::Add, a, b)
    }
    fn sub(&mut self, a: V, b: V) -> V {
        self.float_op(Binary::Sub, a, b)
    }
    fn mul(&mut self, a: V, b: V) -> V {
        self.float_op(Binary::Mul, a, b)
    }
    fn div(&mut self, a: V, b: V) -> V {
        self.float_op(Binary::Div, a, b)
    }
    fn fma(&mut self, a: V, b: V, c: V) -> V {
        let of = |v: V| self.opposite.get(&v).copied();
        let op = match (of(a), of(b), of(c)) {
            (Some(a), ..) => Op::Fma(Sign::Minus, a, b, c),
            (_, Some(b), _) => Op::Fma(Sign::Minus, a, b, c),
            (.., Some(c)) => Op::Fma(Sign::Less, a, b, c),
            _ => Op::Fma(Sign::Plus, a, b, c),
        };
        self.push(op)
    }
    fn sqrt(&mut self, a: V) -> V {
        self.push(Op::Unary(Code::EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er, a))
    }
    fn neg(&mut self, a: V) -> V {
        let sign = self.int(i32::MIN.into());
        let minus = self.bit_xor(a, sign);
        self.opposite.insert(minus, a);
        minus
    }
    fn abs(&mut self, a: V) -> V {
        let mask = self.int(i32::MAX.into());
        self.bit_and(a, mask)
    }
    fn round(&mut self, a: V) -> V {
        self.push(Op::Immediate(Code::EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae, a, rounding::NEAREST_EVEN))
    }
    fn to_int(&mut self, a: V) -> V {
        self.truncated(a)
    }
    fn to_float(&mut self, a: V) -> V {
        self.push(Op::Unary(Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, a))
    }
    fn bits(&mut self, a: V) -> V {
        a
    }
    fn from_bits(&mut self, a: V) -> V {
        a
    }
    fn iadd(&mut self, a: V, b: V) -> V {
        self.integer_add(a, b)
    }
    fn isub(&mut self, a: V, b: V) -> V {
        self.integer_sub(a, b)
    }
    fn iand(&mut self, a: V, b: V) -> V {
        self.bit_and(a, b)
    }
    fn ior(&mut self, a: V, b: V) -> V {
        self.bit_or(a, b)
    }
    fn ixor(&mut self, a: V, b: V) -> V {
        self.bit_xor(a, b)
    }
    fn ishl(&mut self, a: V, by: u32) -> V {
        self.push(Op::Immediate(Code::EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8, a, by as u8))
    }
    fn isar(&mut self, a: V, by: u32) -> V {
        self.push(Op::Immediate(Code::EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8, a, by as u8))
    }
    fn lt(&mut self, a: V, b: V) -> V {
        self.float_compare(a, b, condition::LESS)
    }
    fn eq(&mut self, a: V, b: V) -> V {
        self.float_compare(a, b, condition::EQUAL)
    }
    fn ieq(&mut self, a: V, b: V) -> V {
        self.integer_compare(Comparison::Eq, true, a, b)
    }
    fn and(&mut self, a: V, b: V) -> V {
        self.masks(Code::VEX_Kandw_kr_kr_kr, a, b)
    }
    fn or(&mut self, a: V, b: V) -> V {
        self.masks(Code::VEX_Korw_kr_kr_kr, a, b)
    }
    fn select(&mut self, m: V, a: V, b: V) -> V {
        self.push(Op::Blend(m, a, b))
    }
    fn iselect(&mut self, m: V, a: V, b: V) -> V {
        self.push(Op::Blend(m, a, b))
    }
    fn clamp(&mut self, x: V, low: f32, high: f32) -> V {
        // the second operand where it is NaN
        let (low, high) = (self.f(low), self.f(high));
        let x = self.float_op(Binary::Max, low, x);
        self.float_op(Binary::Min, high, x)
    }
    fn scale(&mut self, p: V, n: V, _: V) -> V {
        let code = Code::EVEX_Vscalefps_zmm_k1z_zmm_zmmm512b32_er;
        self.push(Op::Binary(code, p, n, false))
    }
}
