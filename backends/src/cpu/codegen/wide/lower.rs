//! Instructions of a nest as ops of a block.

use super::asm::Asm;
use super::block::{Access, At, Extent, Op, V};
use super::emit::Lane;
use crate::kernel::combiner;
use gradloom_ir::math;
use gradloom_ir::{Binary, Comparison, DType, Literal, ReduceKind, Unary};
use iced_x86::Code;
use std::collections::HashMap;

/// Conditions of float comparisons; all are quiet.
pub(super) mod condition {
    pub const EQUAL: u8 = 0x00;
    pub const LESS: u8 = 0x11;
    pub const LESS_OR_EQUAL: u8 = 0x12;
    pub const UNORDERED: u8 = 0x03;
    pub const NOT_EQUAL: u8 = 0x04;
    pub const GREATER_OR_EQUAL: u8 = 0x1d;
    pub const GREATER: u8 = 0x1e;
}

/// Rounding to an integer without the inexact exception.
pub(super) mod rounding {
    pub const NEAREST_EVEN: u8 = 8;
    pub const DOWN: u8 = 9;
    pub const UP: u8 = 10;
}

/// Which of two floats, with its own sign.
mod range {
    pub const LESSER: u8 = 4;
    pub const GREATER: u8 = 5;
}

/// A block being filled.
pub(super) struct Lower<'a> {
    pub asm: &'a mut Asm,
    pub lane: Lane,
    pub ops: Vec<Op>,
    /// Functions of equal operands are one op.
    known: HashMap<Op, V>,
    /// What a value is the opposite of.
    pub opposite: HashMap<V, V>,
}

/// How elements of a dtype become lanes; `None` if they do not.
pub(super) fn access(dtype: DType, lane: Lane) -> Option<Access> {
    use Code::*;
    if dtype == DType::Bool {
        return Some(Access::Bool);
    }
    if lane == Lane::Bits64 {
        return (dtype.size() == 8).then_some(Access::Full);
    }
    let narrow = |load, store| Some(Access::Narrow { load, store });
    match dtype {
        DType::F32 | DType::I32 | DType::U32 => Some(Access::Full),
        DType::F16 | DType::BF16 | DType::U16 => narrow(EVEX_Vpmovzxwd_zmm_k1z_ymmm256, EVEX_Vpmovdw_ymmm256_k1z_zmm),
        DType::I16 => narrow(EVEX_Vpmovsxwd_zmm_k1z_ymmm256, EVEX_Vpmovdw_ymmm256_k1z_zmm),
        DType::U8 => narrow(EVEX_Vpmovzxbd_zmm_k1z_xmmm128, EVEX_Vpmovdb_xmmm128_k1z_zmm),
        DType::I8 => narrow(EVEX_Vpmovsxbd_zmm_k1z_xmmm128, EVEX_Vpmovdb_xmmm128_k1z_zmm),
        _ => None,
    }
}

impl<'a> Lower<'a> {
    pub fn new(asm: &'a mut Asm, lane: Lane) -> Lower<'a> {
        Lower { asm, lane, ops: Vec::new(), known: HashMap::new(), opposite: HashMap::new() }
    }

    pub fn push(&mut self, op: Op) -> V {
        let next = self.ops.len() as V;
        if op.is_function() {
            let v = *self.known.entry(op).or_insert(next);
            if v != next {
                return v;
            }
        }
        self.ops.push(op);
        next
    }

    fn pick(&self, of32: Code, of64: Code) -> Code {
        self.lane.pick(of32, of64)
    }

    /// Bits of one lane in all of them.
    pub fn constant(&mut self, bits: u64) -> V {
        let bytes = bits.to_le_bytes();
        let at = self.asm.constant(&bytes[..if self.lane == Lane::Bits32 { 4 } else { 8 }]);
        self.push(Op::Constant(at))
    }

    fn float(&mut self, x: f64) -> V {
        self.constant(if self.lane == Lane::Bits32 { u64::from((x as f32).to_bits()) } else { x.to_bits() })
    }

    /// An integer, cut to the lane.
    pub fn int(&mut self, x: i64) -> V {
        self.constant(if self.lane == Lane::Bits32 { u64::from(x as u32) } else { x as u64 })
    }

    /// A vector of integers, cut to the lane.
    pub fn lanes(&mut self, x: impl Fn(i64) -> i64) -> V {
        let bytes: Vec<u8> = match self.lane {
            Lane::Bits32 => (0..16).flat_map(|i| (x(i) as i32).to_le_bytes()).collect(),
            Lane::Bits64 => (0..8).flat_map(|i| x(i).to_le_bytes()).collect(),
        };
        let at = self.asm.constant(&bytes);
        self.push(Op::Lanes(at))
    }

    fn unary_op(&mut self, of32: Code, of64: Code, a: V) -> V {
        let code = self.pick(of32, of64);
        self.push(Op::Unary(code, a))
    }

    fn immediate(&mut self, of32: Code, of64: Code, a: V, number: u8) -> V {
        let code = self.pick(of32, of64);
        self.push(Op::Immediate(code, a, number))
    }

    fn apply(&mut self, of32: Code, of64: Code, a: V, b: V, commutes: bool) -> V {
        let code = self.pick(of32, of64);
        self.push(Op::Binary(code, a, b, commutes))
    }

    pub fn integer_add(&mut self, a: V, b: V) -> V {
        self.apply(Code::EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64, a, b, true)
    }

    pub fn integer_sub(&mut self, a: V, b: V) -> V {
        self.apply(Code::EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64, a, b, false)
    }

    pub fn bit_and(&mut self, a: V, b: V) -> V {
        self.apply(Code::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vpandq_zmm_k1z_zmm_zmmm512b64, a, b, true)
    }

    pub fn bit_or(&mut self, a: V, b: V) -> V {
        self.apply(Code::EVEX_Vpord_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vporq_zmm_k1z_zmm_zmmm512b64, a, b, true)
    }

    pub fn bit_xor(&mut self, a: V, b: V) -> V {
        self.apply(Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64, a, b, true)
    }

    pub fn float_op(&mut self, op: Binary, a: V, b: V) -> V {
        use Code::*;
        let (of32, of64, commutes) = match op {
            Binary::Add => (EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er, true),
            Binary::Sub => (EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er, false),
            Binary::Mul => (EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er, true),
            Binary::Div => (EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er, false),
            // the second operand where either is NaN or both are zeros
            Binary::Max => (EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae, EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae, false),
            Binary::Min => (EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae, EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae, false),
            _ => unreachable!("{} is no instruction on floats", op.name()),
        };
        self.apply(of32, of64, a, b, commutes)
    }

    pub fn float_compare(&mut self, a: V, b: V, condition: u8) -> V {
        let code =
            self.pick(Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae, Code::EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae);
        self.push(Op::Compare(code, a, b, condition))
    }

    pub fn integer_compare(&mut self, op: Comparison, signed: bool, a: V, b: V) -> V {
        let code = if signed {
            self.pick(Code::EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8, Code::EVEX_Vpcmpq_kr_k1_zmm_zmmm512b64_imm8)
        } else {
            self.pick(Code::EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8, Code::EVEX_Vpcmpuq_kr_k1_zmm_zmmm512b64_imm8)
        };
        let condition = match op {
            Comparison::Eq => 0,
            Comparison::Lt => 1,
            Comparison::Le => 2,
            Comparison::Ne => 4,
            Comparison::Ge => 5,
            Comparison::Gt => 6,
        };
        self.push(Op::Compare(code, a, b, condition))
    }

    pub fn masks(&mut self, code: Code, a: V, b: V) -> V {
        self.push(Op::Masks(code, a, b))
    }

    // ---- the ops of a nest ----

    /// A function of one value of dtype `dtype`; `None` if there is no code for it.
    pub fn unary(&mut self, op: Unary, dtype: DType, x: V) -> Option<V> {
        use Code::*;
        if op == Unary::Not {
            if dtype == DType::Bool {
                return Some(self.push(Op::Not(x)));
            }
            let ones = self.int(-1);
            return (dtype.size() >= 4).then(|| self.bit_xor(x, ones));
        }
        if !dtype.is_float() {
            return self.integer_unary(op, dtype, x);
        }
        let round = |l: &mut Self, mode| {
            l.immediate(
                EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae,
                EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae,
                x,
                mode,
            )
        };
        let is_single = self.lane == Lane::Bits32;
        let magnitude = if is_single { i64::from(i32::MAX) } else { i64::MAX };
        Some(match op {
            Unary::Floor => round(self, rounding::DOWN),
            Unary::Ceil => round(self, rounding::UP),
            Unary::Round => round(self, rounding::NEAREST_EVEN),
            Unary::IsFinite => {
                let (mask, inf) = (self.int(magnitude), self.float(f64::INFINITY));
                let a = self.bit_and(x, mask);
                self.float_compare(a, inf, condition::LESS)
            }
            _ if is_single => return math::apply_unary(self, op, x),
            Unary::Neg => {
                let sign = self.int(i64::MIN);
                self.bit_xor(x, sign)
            }
            Unary::Abs => {
                let mask = self.int(magnitude);
                self.bit_and(x, mask)
            }
            Unary::Sqrt => self.push(Op::Unary(EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er, x)),
            Unary::Rsqrt => {
                let root = self.push(Op::Unary(EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er, x));
                let one = self.float(1.0);
                self.float_op(Binary::Div, one, root)
            }
            Unary::Sign => {
                let (mask, sign) = (self.int(magnitude), self.int(i64::MIN));
                let (zero, one) = (self.float(0.0), self.float(1.0));
                let a = self.bit_and(x, mask);
                let some = self.float_compare(a, zero, condition::GREATER);
                let signed = self.bit_and(x, sign);
                let signed = self.bit_or(signed, one);
                self.push(Op::Blend(some, signed, x))
            }
            _ => return None,
        })
    }

    fn integer_unary(&mut self, op: Unary, dtype: DType, x: V) -> Option<V> {
        if dtype.size() < 4 {
            return None;
        }
        let signed = dtype.is_signed_int();
        Some(match op {
            Unary::Neg => {
                let zero = self.int(0);
                self.integer_sub(zero, x)
            }
            Unary::Abs if signed => {
                self.unary_op(Code::EVEX_Vpabsd_zmm_k1z_zmmm512b32, Code::EVEX_Vpabsq_zmm_k1z_zmmm512b64, x)
            }
            Unary::Abs => x,
            Unary::LeadingZeros => {
                self.unary_op(Code::EVEX_Vplzcntd_zmm_k1z_zmmm512b32, Code::EVEX_Vplzcntq_zmm_k1z_zmmm512b64, x)
            }
            Unary::Sign => {
                let (zero, one) = (self.int(0), self.int(1));
                let some = self.integer_compare(Comparison::Ne, true, x, zero);
                let magnitude = self.push(Op::Keep(some, one));
                if !signed {
                    return Some(magnitude);
                }
                let below = self.integer_compare(Comparison::Lt, true, x, zero);
                let minus = self.int(-1);
                self.push(Op::Blend(below, minus, magnitude))
            }
            _ => return None,
        })
    }

    /// A function of two values of dtype `dtype`; `None` if there is no code for it.
    pub fn binary(&mut self, op: Binary, dtype: DType, x: V, y: V) -> Option<V> {
        if dtype.is_float() {
            return match op {
                Binary::Add | Binary::Sub | Binary::Mul | Binary::Div => Some(self.float_op(op, x, y)),
                Binary::Max | Binary::Min => Some(self.extremum(op, x, y)),
                _ if self.lane == Lane::Bits32 => math::apply_binary(self, op, x, y),
                _ => None,
            };
        }
        use Code::*;
        if dtype == DType::Bool {
            return match op {
                Binary::And | Binary::Min => Some(self.masks(VEX_Kandw_kr_kr_kr, x, y)),
                Binary::Or | Binary::Max => Some(self.masks(VEX_Korw_kr_kr_kr, x, y)),
                Binary::Xor => Some(self.masks(VEX_Kxorw_kr_kr_kr, x, y)),
                _ => None,
            };
        }
        let signed = dtype.is_signed_int();
        let whole = dtype.size() >= 4;
        // narrow integers stay extended under these
        let (of32, of64, commutes) = match op {
            Binary::And => return Some(self.bit_and(x, y)),
            Binary::Or => return Some(self.bit_or(x, y)),
            Binary::Xor => return Some(self.bit_xor(x, y)),
            Binary::Max if signed => (EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpmaxsq_zmm_k1z_zmm_zmmm512b64, true),
            Binary::Max => (EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32, EVEX_Vpmaxuq_zmm_k1z_zmm_zmmm512b64, true),
            Binary::Min if signed => (EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpminsq_zmm_k1z_zmm_zmmm512b64, true),
            Binary::Min => (EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32, EVEX_Vpminuq_zmm_k1z_zmm_zmmm512b64, true),
            _ if !whole => return None,
            Binary::Add => return Some(self.integer_add(x, y)),
            Binary::Sub => return Some(self.integer_sub(x, y)),
            Binary::Mul => (EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32, EVEX_Vpmullq_zmm_k1z_zmm_zmmm512b64, true),
            // counts of a lane's bits and more, negative ones among them, shift everything out
            Binary::ShiftLeft => (EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpsllvq_zmm_k1z_zmm_zmmm512b64, false),
            Binary::ShiftRightLogical => {
                (EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpsrlvq_zmm_k1z_zmm_zmmm512b64, false)
            }
            Binary::ShiftRightArithmetic => {
                (EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpsravq_zmm_k1z_zmm_zmmm512b64, false)
            }
            _ => return None,
        };
        Some(self.apply(of32, of64, x, y, commutes))
    }

    /// The greater or lesser of floats: NaN wins, -0 is below 0.
    fn extremum(&mut self, op: Binary, x: V, y: V) -> V {
        // the instruction orders zeros, but prefers numbers to NaN
        let code = self.pick(
            Code::EVEX_Vrangeps_zmm_k1z_zmm_zmmm512b32_imm8_sae,
            Code::EVEX_Vrangepd_zmm_k1z_zmm_zmmm512b64_imm8_sae,
        );
        let which = if op == Binary::Max { range::GREATER } else { range::LESSER };
        let ordered = self.push(Op::BinaryImmediate(code, x, y, which));
        let unknown = self.float_compare(x, y, condition::UNORDERED);
        let nan = self.float_op(Binary::Add, x, y);
        self.push(Op::Blend(unknown, nan, ordered))
    }

    /// A comparison of values of dtype `dtype`.
    pub fn compare(&mut self, op: Comparison, dtype: DType, x: V, y: V) -> V {
        use Code::*;
        if dtype.is_float() {
            let condition = match op {
                Comparison::Eq => condition::EQUAL,
                Comparison::Ne => condition::NOT_EQUAL,
                Comparison::Lt => condition::LESS,
                Comparison::Le => condition::LESS_OR_EQUAL,
                Comparison::Gt => condition::GREATER,
                Comparison::Ge => condition::GREATER_OR_EQUAL,
            };
            return self.float_compare(x, y, condition);
        }
        if dtype != DType::Bool {
            return self.integer_compare(op, dtype.is_signed_int(), x, y);
        }
        // a and not b, for false < true
        let beyond = |l: &mut Self, a: V, b: V| l.masks(VEX_Kandnw_kr_kr_kr, b, a);
        match op {
            Comparison::Eq => self.masks(VEX_Kxnorw_kr_kr_kr, x, y),
            Comparison::Ne => self.masks(VEX_Kxorw_kr_kr_kr, x, y),
            Comparison::Gt => beyond(self, x, y),
            Comparison::Lt => beyond(self, y, x),
            Comparison::Le => {
                let greater = beyond(self, x, y);
                self.push(Op::Not(greater))
            }
            Comparison::Ge => {
                let less = beyond(self, y, x);
                self.push(Op::Not(less))
            }
        }
    }

    /// `p ? x : y` on values of dtype `dtype`.
    pub fn select(&mut self, dtype: DType, p: V, x: V, y: V) -> V {
        if dtype != DType::Bool {
            return self.push(Op::Blend(p, x, y));
        }
        let yes = self.masks(Code::VEX_Kandw_kr_kr_kr, p, x);
        let no = self.masks(Code::VEX_Kandnw_kr_kr_kr, p, y);
        self.masks(Code::VEX_Korw_kr_kr_kr, yes, no)
    }

    /// To another dtype; `None` if there is no code for it.
    pub fn convert(&mut self, from: DType, to: DType, x: V) -> Option<V> {
        use Code::*;
        if from == to {
            return Some(x);
        }
        let is_single = self.lane == Lane::Bits32;
        Some(match (from, to) {
            (DType::Bool, _) if to == DType::F32 || to == DType::F64 => {
                let one = self.float(1.0);
                self.push(Op::Keep(x, one))
            }
            (DType::Bool, _) if to.is_int() => {
                let one = self.int(1);
                self.push(Op::Keep(x, one))
            }
            (_, DType::Bool) if from.is_int() => self.push(Op::Test(x, x)),
            (DType::F32 | DType::F64, DType::Bool) => {
                let zero = self.float(0.0);
                self.float_compare(x, zero, condition::NOT_EQUAL)
            }
            (DType::F16, DType::F32) => math::f16_to_f32(self, x),
            (DType::BF16, DType::F32) => math::bf16_to_f32(self, x),
            (DType::F32, DType::F16) => math::f32_to_f16(self, x),
            (DType::F32, DType::BF16) => math::f32_to_bf16(self, x),
            _ if from.is_int() && to.is_int() => match to.size() {
                1 | 2 => {
                    let bits = 32 - 8 * to.size() as u8;
                    let up = self.push(Op::Immediate(EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8, x, bits));
                    let down = if to.is_signed_int() {
                        EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8
                    } else {
                        EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8
                    };
                    self.push(Op::Immediate(down, up, bits))
                }
                // what is narrower is extended as its own sign wants it
                _ => x,
            },
            (_, DType::F32 | DType::F64) if from.is_int() => {
                let (of32, of64) = if from.is_signed_int() || from.size() < 4 {
                    (EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, EVEX_Vcvtqq2pd_zmm_k1z_zmmm512b64_er)
                } else {
                    (EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er, EVEX_Vcvtuqq2pd_zmm_k1z_zmmm512b64_er)
                };
                self.unary_op(of32, of64, x)
            }
            (DType::F32, DType::I32) | (DType::F64, DType::I64) => {
                let limit = self.float(if is_single { 2f64.powi(31) } else { 2f64.powi(63) });
                let most = self.int(if is_single { i32::MAX.into() } else { i64::MAX });
                let truncated = self.truncated(x);
                let above = self.float_compare(x, limit, condition::GREATER_OR_EQUAL);
                let clamped = self.push(Op::Blend(above, most, truncated));
                let known = self.float_compare(x, x, condition::EQUAL);
                self.push(Op::Keep(known, clamped))
            }
            (DType::F32, DType::U32) | (DType::F64, DType::U64) => {
                // the second operand where x is NaN
                let zero = self.float(0.0);
                let positive = self.float_op(Binary::Max, x, zero);
                self.unary_op(
                    EVEX_Vcvttps2udq_zmm_k1z_zmmm512b32_sae,
                    EVEX_Vcvttpd2uqq_zmm_k1z_zmmm512b64_sae,
                    positive,
                )
            }
            _ => return None,
        })
    }

    /// A float as an integer of the lane's width; the least integer where it is outside.
    pub fn truncated(&mut self, x: V) -> V {
        self.unary_op(Code::EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae, Code::EVEX_Vcvttpd2qq_zmm_k1z_zmmm512b64_sae, x)
    }

    /// The same bits as another dtype of the same size; `None` if there is no code for it.
    pub fn bitcast(&mut self, from: DType, to: DType, x: V) -> Option<V> {
        let zero_extended = |d: DType| d.is_half() || d.is_unsigned_int();
        (from.size() >= 4 && from.size() == to.size() || zero_extended(from) && zero_extended(to)).then_some(x)
    }

    /// One lane of threefry-2x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
    pub fn threefry(&mut self, lane: u8, [k0, k1, c0, c1]: [V; 4]) -> V {
        const ROTATIONS: [[u8; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
        let parity = self.int(0x1BD1_1BDA);
        let k2 = self.bit_xor(k0, k1);
        let k2 = self.bit_xor(k2, parity);
        let keys = [k0, k1, k2];
        let (mut x, mut y) = (self.integer_add(c0, k0), self.integer_add(c1, k1));
        for group in 0..5 {
            for by in ROTATIONS[group % 2] {
                x = self.integer_add(x, y);
                y = self.push(Op::Immediate(Code::EVEX_Vprold_zmm_k1z_zmmm512b32_imm8, y, by));
                y = self.bit_xor(y, x);
            }
            let number = self.int(group as i64 + 1);
            x = self.integer_add(x, keys[(group + 1) % 3]);
            let key = self.integer_add(keys[(group + 2) % 3], number);
            y = self.integer_add(y, key);
        }
        if lane == 0 { x } else { y }
    }

    // ---- reductions ----

    /// Two values of a reduction as one; bools are spread over lanes.
    pub fn combine(&mut self, kind: ReduceKind, dtype: DType, x: V, y: V) -> Option<V> {
        if dtype == DType::Bool {
            return match kind {
                ReduceKind::And | ReduceKind::Min => Some(self.bit_and(x, y)),
                ReduceKind::Or | ReduceKind::Max => Some(self.bit_or(x, y)),
                _ => None,
            };
        }
        let op = combiner(kind);
        self.binary(op, dtype, x, y)
    }

    /// The instruction that combines, where it is one.
    pub fn combiner(&self, kind: ReduceKind, dtype: DType) -> Option<Code> {
        use Code::*;
        match (kind, dtype) {
            (ReduceKind::Sum, DType::F32 | DType::F64) => {
                Some(self.pick(EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er))
            }
            (ReduceKind::Prod, DType::F32 | DType::F64) => {
                Some(self.pick(EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er))
            }
            (ReduceKind::Sum, _) if dtype.is_int() && dtype.size() >= 4 => {
                Some(self.pick(EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64))
            }
            _ => None,
        }
    }

    /// All lanes combined, in every lane.
    pub fn across(&mut self, kind: ReduceKind, dtype: DType, mut x: V) -> Option<V> {
        let lanes = if self.lane == Lane::Bits32 { 16 } else { 8 };
        let mut half = lanes / 2;
        while half > 0 {
            let order = self.lanes(|i| (i + half) % lanes);
            let code = self.pick(Code::EVEX_Vpermps_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vpermpd_zmm_k1z_zmm_zmmm512b64);
            let turned = self.push(Op::Binary(code, order, x, false));
            x = self.combine(kind, dtype, x, turned)?;
            half /= 2;
        }
        Some(x)
    }

    /// A constant; a bool is spread over the lanes if `spread`, else a mask.
    pub fn literal(&mut self, literal: &Literal, spread: bool) -> Option<V> {
        let dtype = literal.ty().dtype;
        let mut bytes = [0; 8];
        bytes[..literal.bytes().len()].copy_from_slice(literal.bytes());
        let bits = u64::from_le_bytes(bytes);
        let bits = match (dtype, self.lane) {
            (DType::Bool, _) => {
                let all = self.constant(if bits == 0 { 0 } else { u64::MAX >> self.lane_shift() });
                return Some(if spread { all } else { self.push(Op::Signs(all)) });
            }
            (DType::F32 | DType::I32 | DType::U32, Lane::Bits32) => bits,
            (DType::F16 | DType::BF16 | DType::U16 | DType::U8, Lane::Bits32) => bits,
            (DType::I8, Lane::Bits32) => u64::from(i32::from(bits as u8 as i8) as u32),
            (DType::I16, Lane::Bits32) => u64::from(i32::from(bits as u16 as i16) as u32),
            (DType::F64 | DType::I64 | DType::U64, Lane::Bits64) => bits,
            _ => return None,
        };
        Some(self.constant(bits))
    }

    fn lane_shift(&self) -> u32 {
        if self.lane == Lane::Bits32 { 32 } else { 0 }
    }

    /// The greater or lesser of `x` and the constant `y`, which is `c` in all lanes and no NaN.
    pub fn extremum_with(&mut self, op: Binary, x: V, y: V, c: f64) -> V {
        // Equal values are the same but for zeros, of which max takes 0 and min takes -0.
        let tie_matters = c == 0.0 && (op == Binary::Max) == c.is_sign_positive();
        if !tie_matters {
            // the instruction gives its second operand where either is NaN
            return self.float_op(op, y, x);
        }
        let condition = if op == Binary::Max { condition::LESS_OR_EQUAL } else { condition::GREATER_OR_EQUAL };
        let constant = self.float_compare(x, y, condition);
        self.push(Op::Blend(constant, y, x))
    }

    pub fn load(&mut self, at: At, access: Access, extent: Extent) -> V {
        self.push(Op::Load(at, access, extent))
    }

    /// Elements that are `step` bytes apart.
    pub fn gather(&mut self, at: At, step: i64, extent: Extent) -> V {
        let distances = self.lanes(|i| i * step);
        self.push(Op::Gather(at, distances, extent))
    }
}
