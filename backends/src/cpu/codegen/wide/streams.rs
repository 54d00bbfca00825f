//! The pointers that loops move.

use super::asm::Asm;
use super::block::At;
use super::emit::Pointer;
use crate::kernel::Affine;
use iced_x86::Register;
use smallvec::SmallVec;

/// Registers for the pointers of the innermost loop.
pub(super) const POINTERS: [Register; 10] = {
    use Register::*;
    [RBX, RSI, RDI, R8, R9, R10, R11, R12, R13, R14]
};

/// A pointer into a param, or a number counted along.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stream {
    /// The param; `None` for a number.
    pub param: Option<u32>,
    /// Bytes (or ones) it moves by from one index of a loop to the next.
    pub steps: SmallVec<[i64; 6]>,
    /// Where it starts, from the param's first byte (or zero).
    pub start: i64,
    /// Where the frame keeps it before any loop, and inside each loop that moves it.
    before: i32,
    inside: SmallVec<[i32; 6]>,
    /// The register that holds it in the innermost loop.
    register: Option<Register>,
}

/// All streams of a kernel.
pub(super) struct Streams {
    pub list: Vec<Stream>,
    /// How many of the pointer registers are given away.
    registers: usize,
}

impl Streams {
    pub fn new() -> Streams {
        Streams { list: Vec::new(), registers: 0 }
    }

    /// The stream that reaches element `at` of a param whose elements have `size` bytes, or counts `at`.
    pub fn find(&mut self, asm: &mut Asm, param: Option<u32>, at: &Affine, size: usize) -> At {
        let size = size as i64;
        let steps: SmallVec<[i64; 6]> = at.strides.iter().map(|s| s * size).collect();
        let start = at.offset * size;
        let near = |s: &Stream| match param {
            Some(_) => i32::try_from(start - s.start).ok().filter(|d| d.unsigned_abs() < 1 << 30),
            None => (start == s.start).then_some(0),
        };
        let found = self.list.iter().enumerate().filter(|(_, s)| s.param == param && s.steps == steps);
        if let Some((stream, displacement)) = found.filter_map(|(i, s)| Some((i, near(s)?))).next() {
            return At { stream, displacement };
        }
        let before = asm.room(8);
        let inside = steps.iter().map(|s| if *s == 0 { 0 } else { asm.room(8) }).collect();
        // the innermost loop moves it
        let moves = steps.last().is_some_and(|s| *s != 0);
        let register = if moves && self.registers < POINTERS.len() {
            self.registers += 1;
            Some(POINTERS[self.registers - 1])
        } else {
            None
        };
        self.list.push(Stream { param, steps, start, before, inside, register });
        At { stream: self.list.len() - 1, displacement: 0 }
    }
}

impl Stream {
    /// Where the stream is with `depth` loops open.
    pub fn place(&self, depth: usize) -> Pointer {
        match self.steps[..depth].iter().rposition(|s| *s != 0) {
            Some(level) if level + 1 == self.steps.len() => {
                self.register.map_or(Pointer::Slot(self.inside[level]), Pointer::Register)
            }
            Some(level) => Pointer::Slot(self.inside[level]),
            None => Pointer::Slot(self.before),
        }
    }
}
