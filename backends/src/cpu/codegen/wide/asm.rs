//! Encoding of x64 instructions, with jumps, a stack frame and a pool of constants.

use iced_x86::{Code, Encoder, IcedError, Instruction, MemoryOperand, Register};
use std::collections::HashMap;

/// Bytes of a vector register.
pub(super) const VECTOR: usize = 64;
/// Points to the pool of constants while the function runs.
pub(super) const POOL: Register = Register::R15;
/// Base of the frame.
const FRAME: Register = Register::RSP;
/// Saved on entry because the caller expects them back.
const SAVED: [Register; 5] = [Register::RBX, Register::R12, Register::R13, Register::R14, Register::R15];

/// A position in the code that jumps go to.
#[derive(Clone, Copy)]
pub(super) struct Label(usize);

/// One function being written.
pub(super) struct Asm {
    encoder: Encoder,
    /// Bytes written.
    at: u64,
    /// Positions of labels, once they are placed.
    labels: Vec<Option<u64>>,
    /// Ends of 32-bit distances to be filled in, and the labels they are to.
    jumps: Vec<(u64, usize)>,
    /// Ends of the 32-bit fields that hold the size of the frame, and the distance to the pool.
    frame_field: u64,
    pool_field: u64,
    pool: Vec<u8>,
    known: HashMap<Vec<u8>, i32>,
    frame: i32,
    error: Option<IcedError>,
}

/// An address of memory.
pub(super) fn memory(base: Register, displacement: i32) -> MemoryOperand {
    MemoryOperand::with_base_displ(base, displacement.into())
}

/// One element at an address, read into all lanes.
pub(super) fn broadcast(base: Register, displacement: i32) -> MemoryOperand {
    MemoryOperand::with_base_displ_bcst_seg(base, displacement.into(), true, Register::None)
}

/// An address in the frame.
pub(super) fn frame(slot: i32) -> MemoryOperand {
    memory(FRAME, slot)
}

impl Asm {
    /// A function with an empty frame that is to grow.
    pub fn new() -> Asm {
        let mut asm = Asm {
            encoder: Encoder::new(64),
            at: 0,
            labels: Vec::new(),
            jumps: Vec::new(),
            frame_field: 0,
            pool_field: 0,
            pool: Vec::new(),
            known: HashMap::new(),
            frame: 0,
            error: None,
        };
        asm.put(Instruction::with1(Code::Push_r64, Register::RBP));
        asm.put(Instruction::with2(Code::Mov_r64_rm64, Register::RBP, Register::RSP));
        for r in SAVED {
            asm.put(Instruction::with1(Code::Push_r64, r));
        }
        asm.put(Instruction::with2(Code::Sub_rm64_imm32, Register::RSP, i32::MAX));
        asm.frame_field = asm.at;
        asm.put(Instruction::with2(Code::And_rm64_imm8, Register::RSP, -(VECTOR as i32)));
        // lea with a distance from here that is filled in at the end
        let far = MemoryOperand::with_base_displ_size(Register::RIP, (asm.at + 7) as i64, 8);
        asm.put(Instruction::with2(Code::Lea_r64_m, POOL, far));
        asm.pool_field = asm.at;
        asm
    }

    /// Writes an instruction; what cannot be encoded is an error at the end.
    pub fn put(&mut self, instruction: Result<Instruction, IcedError>) {
        match instruction.and_then(|i| self.encoder.encode(&i, self.at)) {
            Ok(bytes) => self.at += bytes as u64,
            Err(e) => self.error = self.error.take().or(Some(e)),
        }
    }

    /// A position to be placed later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label here.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.at);
    }

    /// Jumps by a near jump of code `code`.
    pub fn jump(&mut self, code: Code, to: Label) {
        self.put(Instruction::with_branch(code, self.at));
        self.jumps.push((self.at, to.0));
    }

    /// Room in the frame: the displacement of `bytes` bytes aligned to their number.
    pub fn room(&mut self, bytes: usize) -> i32 {
        let bytes = bytes as i32;
        let slot = (self.frame + bytes - 1) / bytes * bytes;
        self.frame = slot + bytes;
        slot
    }

    /// Bytes of the frame so far.
    pub fn frame_bytes(&self) -> usize {
        self.frame as usize
    }

    /// Where in the pool these bytes are; their number is a power of two, and they are aligned to it.
    pub fn constant(&mut self, bytes: &[u8]) -> i32 {
        if let Some(at) = self.known.get(bytes) {
            return *at;
        }
        let at = self.pool.len().next_multiple_of(bytes.len());
        self.pool.resize(at, 0);
        self.pool.extend(bytes);
        self.known.insert(bytes.to_vec(), at as i32);
        at as i32
    }

    /// The code of the finished function, to be put at a multiple of [`VECTOR`].
    pub fn finish(mut self) -> Result<Vec<u8>, IcedError> {
        self.put(Instruction::with2(Code::Lea_r64_m, Register::RSP, memory(Register::RBP, -8 * SAVED.len() as i32)));
        for r in SAVED.iter().rev() {
            self.put(Instruction::with1(Code::Pop_r64, *r));
        }
        self.put(Instruction::with1(Code::Pop_r64, Register::RBP));
        self.put(Ok(Instruction::with(Code::VEX_Vzeroupper)));
        self.put(Ok(Instruction::with(Code::Retnq)));
        if let Some(e) = self.error {
            return Err(e);
        }
        let mut code = self.encoder.take_buffer();
        let mut fill = |end: u64, value: i64| {
            let end = end as usize;
            code[end - 4..end].copy_from_slice(&(value as i32).to_le_bytes());
        };
        fill(self.frame_field, i64::from(self.frame) + VECTOR as i64);
        let pool = self.at.next_multiple_of(VECTOR as u64);
        fill(self.pool_field, (pool - self.pool_field) as i64);
        for (end, label) in self.jumps {
            let to = self.labels[label].unwrap_or_else(|| unreachable!("a jump to a label that was never placed"));
            fill(end, to as i64 - end as i64);
        }
        code.resize(pool as usize, 0xcc);
        code.extend(&self.pool);
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displacements_and_fields_are_filled_in() {
        let mut asm = Asm::new();
        let slot = asm.room(64);
        assert_eq!((slot, asm.room(8), asm.room(64)), (0, 64, 128));
        let one = asm.constant(&1f32.to_le_bytes());
        assert_eq!((one, asm.constant(&[7; 64]), asm.constant(&1f32.to_le_bytes())), (0, 64, 0));
        let top = asm.label();
        asm.place(top);
        asm.put(Instruction::with3(
            Code::EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er,
            Register::ZMM17,
            Register::ZMM3,
            broadcast(POOL, one),
        ));
        asm.jump(Code::Jne_rel32_64, top);
        let code = asm.finish().expect("all of it can be encoded");
        // vaddps zmm17, zmm3, dword [r15 + 0]{1to16}; jne back over it
        let add = [0x62, 0xc1, 0x64, 0x58, 0x58, 0x4f, 0x00];
        let at = code.windows(add.len()).position(|w| w == add).expect("the addition is in the code");
        assert_eq!(code[at + 7..at + 13], [0x0f, 0x85, 0xf3, 0xff, 0xff, 0xff]);
        assert_eq!(code.len() % VECTOR, 0);
        assert_eq!(code[code.len() - 128..][..4], 1f32.to_le_bytes());
    }
}
