//! Registers for a block and its instructions.
//!
//! A block is straight-line code, so the value whose next use is furthest away is the right one to put aside (Belady,
//! "A study of replacement algorithms for a virtual-storage computer", 1966).

use super::asm::{Asm, POOL, broadcast, frame, memory};
use super::block::{Access, At, Extent, Kind, Op, Sign, V, live};
use iced_x86::{Code, Instruction, MemoryOperand, Register};

/// Bits of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// 16 lanes.
    Bits32,
    /// 8 lanes.
    Bits64,
}

/// Set in the lanes inside the range of the vector loop.
pub(super) const REST: Register = Register::K1;
/// Set in lane 0.
pub(super) const FIRST: Register = Register::K7;
/// Masks that values are held in.
const MASKS: std::ops::Range<usize> = 2..7;
/// The vector register no value is held in.
const SCRATCH: Register = Register::XMM0;
/// Vector registers; accumulators are the last of them.
const VECTORS: usize = 32;
/// Holds an address or a number for one instruction.
pub(super) const TEMPORARY: Register = Register::RAX;

/// Where the loops keep the pointer of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pointer {
    /// In a register.
    Register(Register),
    /// In the frame.
    Slot(i32),
}

/// The register of an accumulator.
pub(super) fn accumulator(i: usize) -> Register {
    vector(VECTORS - 1 - i)
}

/// The low 32 bits of a 64-bit register.
pub(super) fn low_half(r: Register) -> Register {
    Register::EAX + (r as u32 - Register::RAX as u32)
}

fn vector(i: usize) -> Register {
    Register::ZMM0 + i as u32
}

fn mask(i: usize) -> Register {
    Register::K0 + i as u32
}

impl Lane {
    /// The code for lanes of this width.
    pub fn pick(self, of32: Code, of64: Code) -> Code {
        match self {
            Lane::Bits32 => of32,
            Lane::Bits64 => of64,
        }
    }

    fn splat(self) -> Code {
        self.pick(Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64)
    }
}

/// An operand that may be read from memory.
#[derive(Clone, Copy)]
enum Source {
    Register(Register),
    Memory(MemoryOperand),
}

struct Emitter<'a> {
    asm: &'a mut Asm,
    lane: Lane,
    ops: &'a [Op],
    pointers: &'a [Pointer],
    /// Register number of each value that is in one.
    held: Vec<Option<usize>>,
    /// Where a value was put aside.
    aside: Vec<Option<i32>>,
    /// Positions at which a value is still to be used, the next one last.
    uses: Vec<Vec<u32>>,
    /// The value in each register.
    vectors: [Option<V>; VECTORS],
    masks: [Option<V>; 8],
    /// Values the current op needs where they are.
    locked: Vec<V>,
    /// Vector registers that values may have: those before the accumulators.
    limit: usize,
    /// Room to be used again, and room that the current op may still read.
    free_room: Vec<i32>,
    leaving_room: Vec<i32>,
}

/// Writes the instructions of a block with `accumulators` accumulators.
pub(super) fn emit(asm: &mut Asm, lane: Lane, ops: &[Op], pointers: &[Pointer], accumulators: usize) {
    let live = live(ops);
    let mut uses: Vec<Vec<u32>> = vec![Vec::new(); ops.len()];
    for (i, op) in ops.iter().enumerate().rev().filter(|(i, _)| live[*i]) {
        op.operands().for_each(|o| uses[o as usize].push(i as u32));
    }
    let mut e = Emitter {
        asm,
        lane,
        ops,
        pointers,
        held: vec![None; ops.len()],
        aside: vec![None; ops.len()],
        uses,
        vectors: [None; VECTORS],
        masks: [None; 8],
        locked: Vec::new(),
        limit: VECTORS - accumulators,
        free_room: Vec::new(),
        leaving_room: Vec::new(),
    };
    for i in (0..ops.len()).filter(|i| live[*i]) {
        e.op(i);
        e.locked.clear();
        let left = std::mem::take(&mut e.leaving_room);
        e.free_room.extend(left);
    }
}

impl Emitter<'_> {
    fn put1(&mut self, code: Code, to: Register, from: Source, change: impl FnOnce(&mut Instruction)) {
        let instruction = match from {
            Source::Register(r) => Instruction::with2(code, to, r),
            Source::Memory(m) => Instruction::with2(code, to, m),
        };
        self.asm.put(instruction.map(|mut i| {
            change(&mut i);
            i
        }));
    }

    fn put2(&mut self, code: Code, to: Register, a: Register, b: Source, change: impl FnOnce(&mut Instruction)) {
        let instruction = match b {
            Source::Register(b) => Instruction::with3(code, to, a, b),
            Source::Memory(m) => Instruction::with3(code, to, a, m),
        };
        self.asm.put(instruction.map(|mut i| {
            change(&mut i);
            i
        }));
    }

    /// Whether nothing uses the value after op `i`.
    fn dies(&self, v: V, i: usize) -> bool {
        !matches!(self.ops[v as usize], Op::Accumulator(_)) && self.uses[v as usize].iter().all(|u| *u as usize == i)
    }

    /// A value that is made where it is used.
    fn is_lazy(&self, v: V) -> bool {
        match self.ops[v as usize] {
            Op::Constant(_) | Op::Lanes(_) | Op::Home(_) => true,
            Op::Count(s) => matches!(self.pointers[s], Pointer::Slot(_)),
            // later stores may change what is read
            Op::Load(_, Access::Full, Extent::Whole) => match self.uses[v as usize][..] {
                [only] => self.ops[only as usize].kind() != Kind::None || self.accumulates(only),
                _ => false,
            },
            _ => false,
        }
    }

    fn accumulates(&self, i: u32) -> bool {
        use Op::{Accumulate, AccumulateBy, AccumulateProduct};
        matches!(self.ops[i as usize], Accumulate(..) | AccumulateBy(..) | AccumulateProduct(..))
    }

    /// Where in memory the value is, if it is there for an instruction to read.
    fn in_memory(&mut self, v: V) -> Option<MemoryOperand> {
        if let Some(slot) = self.aside[v as usize] {
            return Some(frame(slot));
        }
        match self.ops[v as usize] {
            Op::Constant(at) => Some(broadcast(POOL, at)),
            Op::Lanes(at) => Some(memory(POOL, at)),
            Op::Home(slot) => Some(frame(slot)),
            Op::Count(s) => match self.pointers[s] {
                Pointer::Slot(slot) => Some(broadcast(Register::RSP, slot)),
                Pointer::Register(_) => None,
            },
            Op::Load(at, Access::Full, Extent::Whole) => Some(self.address(at)),
            _ => None,
        }
    }

    /// The address of an access; may use the temporary register.
    fn address(&mut self, at: At) -> MemoryOperand {
        let base = match self.pointers[at.stream] {
            Pointer::Register(r) => r,
            Pointer::Slot(slot) => {
                self.asm.put(Instruction::with2(Code::Mov_r64_rm64, TEMPORARY, frame(slot)));
                TEMPORARY
            }
        };
        memory(base, at.displacement)
    }

    /// A free register, if need be by putting a value aside.
    fn take(&mut self, kind: Kind) -> usize {
        let range = if kind == Kind::Vector { 1..self.limit } else { MASKS };
        let holder = |e: &Self, r: usize| if kind == Kind::Vector { e.vectors[r] } else { e.masks[r] };
        if let Some(free) = range.clone().find(|r| holder(self, *r).is_none()) {
            return free;
        }
        let next = |e: &Self, r: &usize| holder(e, *r).map_or(0, |v| e.uses[v as usize].last().copied().unwrap_or(0));
        let furthest = range
            .filter(|r| holder(self, *r).is_none_or(|v| !self.locked.contains(&v)))
            .max_by_key(|r| next(self, r))
            .expect("an op uses fewer registers than there are");
        let v = holder(self, furthest).expect("a register that is not free holds a value");
        self.put_aside(v, kind, furthest);
        furthest
    }

    fn put_aside(&mut self, v: V, kind: Kind, register: usize) {
        let again = self.is_lazy(v) && !matches!(self.ops[v as usize], Op::Load(..));
        if self.aside[v as usize].is_none() && !again && !matches!(self.ops[v as usize], Op::HomeMask(_)) {
            let slot = self.free_room.pop().unwrap_or_else(|| self.asm.room(64));
            self.aside[v as usize] = Some(slot);
            self.asm.put(match kind {
                Kind::Vector => Instruction::with2(Code::EVEX_Vmovaps_zmmm512_k1z_zmm, frame(slot), vector(register)),
                _ => Instruction::with2(Code::VEX_Kmovw_m16_kr, frame(slot), mask(register)),
            });
        }
        self.held[v as usize] = None;
        match kind {
            Kind::Vector => self.vectors[register] = None,
            _ => self.masks[register] = None,
        }
    }

    /// The register of a vector, which is brought into one if need be.
    fn vector(&mut self, v: V) -> Register {
        self.locked.push(v);
        if let Op::Accumulator(i) = self.ops[v as usize] {
            return accumulator(i);
        }
        if let Some(r) = self.held[v as usize] {
            return vector(r);
        }
        let r = self.take(Kind::Vector);
        self.hold(v, r);
        let from = self.in_memory(v).unwrap_or_else(|| unreachable!("a value is in a register or in memory"));
        let code = if from.is_broadcast { self.lane.splat() } else { Code::EVEX_Vmovups_zmm_k1z_zmmm512 };
        let plain = MemoryOperand { is_broadcast: false, ..from };
        self.put1(code, vector(r), Source::Memory(plain), |_| ());
        vector(r)
    }

    /// The register of a mask.
    fn mask(&mut self, v: V) -> Register {
        self.locked.push(v);
        if let Some(r) = self.held[v as usize] {
            return mask(r);
        }
        let r = self.take(Kind::Mask);
        self.hold(v, r);
        let slot = match self.ops[v as usize] {
            Op::HomeMask(slot) => slot,
            _ => self.aside[v as usize].unwrap_or_else(|| unreachable!("a mask is in a register or put aside")),
        };
        self.asm.put(Instruction::with2(Code::VEX_Kmovw_kr_km16, mask(r), frame(slot)));
        mask(r)
    }

    fn hold(&mut self, v: V, register: usize) {
        self.held[v as usize] = Some(register);
        match self.ops[v as usize].kind() {
            Kind::Mask => self.masks[register] = Some(v),
            _ => self.vectors[register] = Some(v),
        }
    }

    /// Whether reading the value from memory here is better than having it in a register.
    fn folds(&self, v: V) -> bool {
        if self.held[v as usize].is_some() || matches!(self.ops[v as usize], Op::Accumulator(_)) {
            return false;
        }
        match self.ops[v as usize] {
            Op::Constant(_) | Op::Count(_) | Op::Load(..) => true,
            _ => self.uses[v as usize].len() <= 1 || (1..self.limit).all(|r| self.vectors[r].is_some()),
        }
    }

    /// The value in a register or in memory.
    fn source(&mut self, v: V) -> Source {
        if self.folds(v)
            && let Some(m) = self.in_memory(v)
        {
            return Source::Memory(m);
        }
        Source::Register(self.vector(v))
    }

    /// What the operands of op `i` no longer need is free.
    fn release(&mut self, i: usize) {
        let operands: Vec<V> = self.ops[i].operands().collect();
        for v in operands {
            let uses = &mut self.uses[v as usize];
            while uses.last() == Some(&(i as u32)) {
                uses.pop();
            }
            if uses.is_empty() {
                if let Some(r) = self.held[v as usize].take() {
                    match self.ops[v as usize].kind() {
                        Kind::Mask => self.masks[r] = None,
                        _ => self.vectors[r] = None,
                    }
                }
                self.leaving_room.extend(self.aside[v as usize].take());
            }
        }
        self.locked.clear();
    }

    /// The register of op `i`'s result, after its operands are in place; they may give theirs up.
    fn result(&mut self, i: usize) -> Register {
        self.release(i);
        let kind = self.ops[i].kind();
        let r = self.take(kind);
        self.hold(i as V, r);
        if kind == Kind::Mask { mask(r) } else { vector(r) }
    }

    fn op(&mut self, i: usize) {
        let lane = self.lane;
        match self.ops[i] {
            Op::Constant(_) | Op::Lanes(_) | Op::Home(_) | Op::HomeMask(_) | Op::Accumulator(_) => {}
            Op::Count(s) => {
                if let Pointer::Register(r) = self.pointers[s] {
                    let to = self.result(i);
                    let code = lane.pick(Code::EVEX_Vpbroadcastd_zmm_k1z_r32, Code::EVEX_Vpbroadcastq_zmm_k1z_r64);
                    let from = if lane == Lane::Bits32 { low_half(r) } else { r };
                    self.put1(code, to, Source::Register(from), |_| ());
                }
            }
            Op::Load(..) if self.is_lazy(i as V) => {}
            Op::Load(at, access, extent) => self.load(i, at, access, extent),
            Op::Gather(at, distances, extent) => self.gather(i, at, distances, extent),
            Op::Unary(code, a) => {
                let a = self.source(a);
                let to = self.result(i);
                self.put1(code, to, a, |_| ());
            }
            Op::Immediate(code, a, number) => {
                let a = self.source(a);
                let to = self.result(i);
                self.asm.put(match a {
                    Source::Register(a) => Instruction::with3(code, to, a, u32::from(number)),
                    Source::Memory(m) => Instruction::with3(code, to, m, u32::from(number)),
                });
            }
            Op::Binary(code, a, b, commutes) => {
                let (a, b) = if commutes && self.folds(a) && !self.folds(b) { (b, a) } else { (a, b) };
                let a = self.vector(a);
                let b = self.source(b);
                let to = self.result(i);
                self.put2(code, to, a, b, |_| ());
            }
            Op::Fma(sign, a, b, c) => self.fma(i, sign, a, b, c),
            Op::Compare(code, a, b, condition) | Op::BinaryImmediate(code, a, b, condition) => {
                let a = self.vector(a);
                let b = self.source(b);
                let to = self.result(i);
                self.asm.put(match b {
                    Source::Register(b) => Instruction::with4(code, to, a, b, u32::from(condition)),
                    Source::Memory(m) => Instruction::with4(code, to, a, m, u32::from(condition)),
                });
            }
            Op::Test(a, b) => {
                let a = self.vector(a);
                let b = self.source(b);
                let to = self.result(i);
                let code =
                    lane.pick(Code::EVEX_Vptestmd_kr_k1_zmm_zmmm512b32, Code::EVEX_Vptestmq_kr_k1_zmm_zmmm512b64);
                self.put2(code, to, a, b, |_| ());
            }
            Op::Blend(m, a, b) => {
                let m = self.mask(m);
                let b = self.vector(b);
                let a = self.source(a);
                let to = self.result(i);
                let code =
                    lane.pick(Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64);
                self.put2(code, to, b, a, |i| i.set_op_mask(m));
            }
            Op::Keep(m, a) => {
                let m = self.mask(m);
                let a = self.source(a);
                let to = self.result(i);
                let (code, a) = match a {
                    Source::Memory(a) if a.is_broadcast => {
                        (lane.splat(), Source::Memory(MemoryOperand { is_broadcast: false, ..a }))
                    }
                    a => (lane.pick(Code::EVEX_Vmovups_zmm_k1z_zmmm512, Code::EVEX_Vmovupd_zmm_k1z_zmmm512), a),
                };
                self.put1(code, to, a, |i| {
                    i.set_op_mask(m);
                    i.set_zeroing_masking(true);
                });
            }
            Op::Masks(code, a, b) => {
                let (a, b) = (self.mask(a), self.mask(b));
                let to = self.result(i);
                self.put2(code, to, a, Source::Register(b), |_| ());
            }
            Op::Not(a) => {
                let a = self.mask(a);
                let to = self.result(i);
                self.put1(Code::VEX_Knotw_kr_kr, to, Source::Register(a), |_| ());
            }
            Op::Spread(a) => {
                let a = self.mask(a);
                let to = self.result(i);
                let code = lane.pick(Code::EVEX_Vpmovm2d_zmm_kr, Code::EVEX_Vpmovm2q_zmm_kr);
                self.put1(code, to, Source::Register(a), |_| ());
            }
            Op::Signs(a) => {
                let a = self.vector(a);
                let to = self.result(i);
                let code = lane.pick(Code::EVEX_Vpmovd2m_kr_zmm, Code::EVEX_Vpmovq2m_kr_zmm);
                self.put1(code, to, Source::Register(a), |_| ());
            }
            Op::Store(at, access, extent, v) => self.store(i, at, access, extent, v),
            Op::StoreHome(slot, v) => {
                let v = self.vector(v);
                self.asm.put(Instruction::with2(Code::EVEX_Vmovaps_zmmm512_k1z_zmm, frame(slot), v));
                self.release(i);
            }
            Op::StoreHomeMask(slot, v) => {
                let v = self.mask(v);
                self.asm.put(Instruction::with2(Code::VEX_Kmovw_m16_kr, frame(slot), v));
                self.release(i);
            }
            Op::Accumulate(k, v, rest) => {
                let v = self.vector(v);
                let code = lane.pick(Code::EVEX_Vmovaps_zmm_k1z_zmmm512, Code::EVEX_Vmovapd_zmm_k1z_zmmm512);
                self.put1(code, accumulator(k), Source::Register(v), |i| masked(i, rest));
                self.release(i);
            }
            Op::AccumulateBy(k, code, v, rest) => {
                let v = self.source(v);
                self.put2(code, accumulator(k), accumulator(k), v, |i| masked(i, rest));
                self.release(i);
            }
            Op::AccumulateProduct(k, a, b, rest) => {
                let (a, b) = if self.folds(a) && !self.folds(b) { (b, a) } else { (a, b) };
                let a = self.vector(a);
                let b = self.source(b);
                self.put2(self.fma_code(Form::AddTo, Sign::Plus), accumulator(k), a, b, |i| masked(i, rest));
                self.release(i);
            }
        }
    }

    fn fma_code(&self, form: Form, sign: Sign) -> Code {
        use Code::*;
        let (of32, of64) = match (form, sign) {
            (Form::AddTo, Sign::Plus) => {
                (EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er)
            }
            (Form::AddTo, Sign::Minus) => {
                (EVEX_Vfnmadd231ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfnmadd231pd_zmm_k1z_zmm_zmmm512b64_er)
            }
            (Form::AddTo, Sign::Less) => {
                (EVEX_Vfmsub231ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmsub231pd_zmm_k1z_zmm_zmmm512b64_er)
            }
            (Form::MultiplyThenAdd, Sign::Plus) => {
                (EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er)
            }
            (Form::MultiplyThenAdd, Sign::Minus) => {
                (EVEX_Vfnmadd213ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfnmadd213pd_zmm_k1z_zmm_zmmm512b64_er)
            }
            (Form::MultiplyThenAdd, Sign::Less) => {
                (EVEX_Vfmsub213ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmsub213pd_zmm_k1z_zmm_zmmm512b64_er)
            }
            (Form::MultiplyByLast, Sign::Plus) => {
                (EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmadd132pd_zmm_k1z_zmm_zmmm512b64_er)
            }
            (Form::MultiplyByLast, Sign::Minus) => {
                (EVEX_Vfnmadd132ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfnmadd132pd_zmm_k1z_zmm_zmmm512b64_er)
            }
            (Form::MultiplyByLast, Sign::Less) => {
                (EVEX_Vfmsub132ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmsub132pd_zmm_k1z_zmm_zmmm512b64_er)
            }
        };
        self.lane.pick(of32, of64)
    }

    /// The instruction overwrites one of its operands, best one nobody needs afterwards, and may read its last from memory.
    fn fma(&mut self, i: usize, sign: Sign, a: V, b: V, c: V) {
        let distinct = a != b && b != c && a != c;
        let from_memory = [c, b, a].into_iter().find(|v| distinct && self.folds(*v) && self.is_in_memory(*v));
        let (a, b) = if from_memory == Some(a) { (b, a) } else { (a, b) };
        // registers first: the address of a memory operand may use the temporary register
        for v in [a, b, c] {
            if from_memory != Some(v) {
                self.vector(v);
            }
        }
        let (form, overwritten, first, last) = if from_memory == Some(c) {
            let (over, other) = if !self.dies(a, i) && self.dies(b, i) { (b, a) } else { (a, b) };
            (Form::MultiplyThenAdd, over, other, c)
        } else if from_memory == Some(b) && !self.dies(c, i) && self.dies(a, i) {
            (Form::MultiplyByLast, a, c, b)
        } else if from_memory == Some(b) || self.dies(c, i) {
            (Form::AddTo, c, a, b)
        } else if self.dies(b, i) && !self.dies(a, i) {
            (Form::MultiplyThenAdd, b, a, c)
        } else if self.dies(a, i) {
            (Form::MultiplyThenAdd, a, b, c)
        } else {
            (Form::AddTo, c, a, b)
        };
        let first = self.vector(first);
        let over = self.vector(overwritten);
        let keeps = !self.dies(overwritten, i);
        let to = if keeps {
            let copy = self.take(Kind::Vector);
            self.put1(Code::EVEX_Vmovaps_zmm_k1z_zmmm512, vector(copy), Source::Register(over), |_| ());
            vector(copy)
        } else {
            over
        };
        let last = match from_memory {
            Some(v) => {
                let m = self.in_memory(v).unwrap_or_else(|| unreachable!("a folded value is in memory"));
                Source::Memory(m)
            }
            None => Source::Register(self.vector(last)),
        };
        self.put2(self.fma_code(form, sign), to, first, last, |_| ());
        self.release(i);
        self.hold(i as V, (to as u32 - Register::ZMM0 as u32) as usize);
    }

    fn is_in_memory(&self, v: V) -> bool {
        self.aside[v as usize].is_some() || self.is_lazy(v)
    }

    fn load(&mut self, i: usize, at: At, access: Access, extent: Extent) {
        let from = self.address(at);
        let to = self.result(i);
        match (access, extent) {
            (Access::Full, Extent::One) => self.put1(self.lane.splat(), to, Source::Memory(from), |_| ()),
            (Access::Full, _) => {
                let code = self.lane.pick(Code::EVEX_Vmovups_zmm_k1z_zmmm512, Code::EVEX_Vmovupd_zmm_k1z_zmmm512);
                self.put1(code, to, Source::Memory(from), |i| only(i, extent, true));
            }
            (Access::Narrow { load, .. }, _) => {
                self.put1(load, to, Source::Memory(from), |i| only(i, extent, true));
                if extent == Extent::One {
                    let code =
                        self.lane.pick(Code::EVEX_Vpbroadcastd_zmm_k1z_xmmm32, Code::EVEX_Vpbroadcastq_zmm_k1z_xmmm64);
                    let low = Register::XMM0 + (to as u32 - Register::ZMM0 as u32);
                    self.put1(code, to, Source::Register(low), |_| ());
                }
            }
            (Access::Bool, Extent::One) => {
                let wide = low_half(TEMPORARY);
                self.asm.put(Instruction::with2(Code::Movzx_r32_rm8, wide, from));
                self.asm.put(Instruction::with1(Code::Neg_rm32, wide));
                self.asm.put(Instruction::with2(Code::VEX_Kmovw_kr_r32, to, wide));
            }
            (Access::Bool, _) => {
                let code = match (self.lane, extent) {
                    (Lane::Bits64, Extent::Whole) => Code::EVEX_Vmovsd_xmm_k1z_m64,
                    _ => Code::EVEX_Vmovdqu8_xmm_k1z_xmmm128,
                };
                self.put1(code, SCRATCH, Source::Memory(from), |i| only(i, extent, true));
                let bytes = Source::Register(SCRATCH);
                self.put2(Code::EVEX_Vptestmb_kr_k1_xmm_xmmm128, to, SCRATCH, bytes, |_| ());
            }
        }
    }

    /// The instruction takes the bits of a mask of its own away, and its result must be another register than the distances.
    fn gather(&mut self, i: usize, at: At, distances: V, extent: Extent) {
        let index = self.vector(distances);
        let to = self.take(Kind::Vector);
        let lanes = mask(self.take(Kind::Mask));
        self.asm.put(match extent {
            Extent::Rest => Instruction::with2(Code::VEX_Kmovw_kr_km16, lanes, REST),
            _ => Instruction::with3(Code::VEX_Kxnorw_kr_kr_kr, lanes, lanes, lanes),
        });
        let zeros = Source::Register(vector(to));
        self.put2(Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, vector(to), vector(to), zeros, |_| ());
        let from = MemoryOperand { index, ..self.address(at) };
        let code = self.lane.pick(Code::EVEX_Vgatherdps_zmm_k1_vm32z, Code::EVEX_Vgatherqpd_zmm_k1_vm64z);
        self.put1(code, vector(to), Source::Memory(from), |i| i.set_op_mask(lanes));
        self.release(i);
        self.hold(i as V, to);
    }

    fn store(&mut self, i: usize, at: At, access: Access, extent: Extent, v: V) {
        let (code, from) = match access {
            Access::Full => {
                let code = self.lane.pick(Code::EVEX_Vmovups_zmmm512_k1z_zmm, Code::EVEX_Vmovupd_zmmm512_k1z_zmm);
                (code, self.vector(v))
            }
            Access::Narrow { store, .. } => (store, self.vector(v)),
            Access::Bool => {
                let m = self.mask(v);
                let ones = self.asm.constant(&[1; 16]);
                self.put1(Code::EVEX_Vmovdqu8_xmm_k1z_xmmm128, SCRATCH, Source::Memory(memory(POOL, ones)), |i| {
                    i.set_op_mask(m);
                    i.set_zeroing_masking(true);
                });
                let code = match (self.lane, extent) {
                    (Lane::Bits64, Extent::Whole) => Code::EVEX_Vmovsd_m64_k1_xmm,
                    _ => Code::EVEX_Vmovdqu8_xmmm128_k1z_xmm,
                };
                (code, SCRATCH)
            }
        };
        let to = self.address(at);
        self.asm.put(Instruction::with2(code, to, from).map(|mut i| {
            only(&mut i, extent, false);
            i
        }));
        self.release(i);
    }
}

/// What a fused multiply-add does with the operand it overwrites.
#[derive(Clone, Copy)]
enum Form {
    /// over += first * last
    AddTo,
    /// over = over * first + last
    MultiplyThenAdd,
    /// over = over * last + first
    MultiplyByLast,
}

fn masked(i: &mut Instruction, rest: bool) {
    if rest {
        i.set_op_mask(REST);
    }
}

/// Restricts an access to the lanes of `extent`.
fn only(i: &mut Instruction, extent: Extent, zeroing: bool) {
    match extent {
        Extent::Whole => return,
        Extent::Rest => i.set_op_mask(REST),
        Extent::One => i.set_op_mask(FIRST),
    }
    i.set_zeroing_masking(zeroing);
}
