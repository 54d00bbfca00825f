//! Straight-line code on vectors: what a loop body computes before registers are chosen.
//!
//! A block is a list of [`Op`]s in SSA form; a value is known by the position of its op. Values are vectors ([`Kind::Vector`])
//! or one truth value a lane ([`Kind::Mask`]). Lanes have 32 bits in one block and 64 in another, never both.

use iced_x86::Code;

/// A value: the position of its op in the block.
pub(super) type V = u32;

/// Where a program's memory is accessed: relative to a pointer that loops move.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct At {
    /// Number of the moving pointer.
    pub stream: usize,
    /// Bytes from it.
    pub displacement: i32,
}

/// How elements in memory become lanes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Access {
    /// Elements as wide as a lane.
    Full,
    /// Narrower elements: the instructions that widen and narrow them.
    Narrow {
        /// Memory to register.
        load: Code,
        /// Register to memory.
        store: Code,
    },
    /// One byte a lane, as a mask.
    Bool,
}

/// Which lanes an access touches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Extent {
    /// All.
    Whole,
    /// Those inside the loop's range.
    Rest,
    /// One element: loads give it to all lanes, stores write lane 0.
    One,
}

/// What a value is held in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A vector register.
    Vector,
    /// A mask register.
    Mask,
    /// Nothing: the op is done for its effect.
    None,
}

/// What a fused multiply-add computes of a, b and c.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Sign {
    /// a b + c
    Plus,
    /// c - a b
    Minus,
    /// a b - c
    Less,
}

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Op {
    /// An element of the pool in all lanes.
    Constant(i32),
    /// A vector of the pool.
    Lanes(i32),
    /// A vector in the frame.
    Home(i32),
    /// A mask in the frame.
    HomeMask(i32),
    /// Accumulator number `.0`.
    Accumulator(usize),
    /// Elements of memory; a mask for [`Access::Bool`].
    Load(At, Access, Extent),
    /// Full elements of memory, as many bytes after the first as the lanes of a vector of integers say.
    Gather(At, V, Extent),
    /// The integer that the loops count for stream `.0`, in all lanes.
    Count(usize),
    /// A function of one vector.
    Unary(Code, V),
    /// A function of one vector and a constant.
    Immediate(Code, V, u8),
    /// A function of two vectors; `.3`: whether they may be exchanged.
    Binary(Code, V, V, bool),
    /// A function of two vectors and a constant.
    BinaryImmediate(Code, V, V, u8),
    /// A product and a sum.
    Fma(Sign, V, V, V),
    /// A truth value a lane: a comparison of condition `.3`.
    Compare(Code, V, V, u8),
    /// Truth values: where two vectors have a bit in common.
    Test(V, V),
    /// A vector where a mask is set, else another.
    Blend(V, V, V),
    /// A vector where a mask is set, else zero.
    Keep(V, V),
    /// A function of two masks.
    Masks(Code, V, V),
    /// The opposite mask.
    Not(V),
    /// All bits of a lane where the mask is set.
    Spread(V),
    /// The sign bits as a mask.
    Signs(V),
    /// Writes lanes of a vector, or of a mask for [`Access::Bool`].
    Store(At, Access, Extent, V),
    /// Writes a vector into the frame.
    StoreHome(i32, V),
    /// Writes a mask into the frame.
    StoreHomeMask(i32, V),
    /// Replaces accumulator `.0`, in the lanes inside the loop's range if `.2`.
    Accumulate(usize, V, bool),
    /// Adds to accumulator `.0` by `.1`, in the lanes inside the loop's range if `.3`.
    AccumulateBy(usize, Code, V, bool),
    /// Adds a product to accumulator `.0`, in the lanes inside the loop's range if `.3`.
    AccumulateProduct(usize, V, V, bool),
}

impl Op {
    /// The values the op uses.
    pub fn operands(&self) -> impl Iterator<Item = V> {
        use Op::*;
        let (list, n) = match *self {
            Constant(_) | Lanes(_) | Home(_) | HomeMask(_) | Accumulator(_) | Load(..) | Count(_) => ([0; 3], 0),
            Unary(_, a) | Immediate(_, a, _) | Not(a) | Spread(a) | Signs(a) | Gather(_, a, _) => ([a, 0, 0], 1),
            Store(.., a) | StoreHome(_, a) | StoreHomeMask(_, a) => ([a, 0, 0], 1),
            Accumulate(_, a, _) | AccumulateBy(_, _, a, _) => ([a, 0, 0], 1),
            Binary(_, a, b, _)
            | Compare(_, a, b, _)
            | BinaryImmediate(_, a, b, _)
            | Test(a, b)
            | Keep(a, b)
            | Masks(_, a, b) => ([a, b, 0], 2),
            AccumulateProduct(_, a, b, _) => ([a, b, 0], 2),
            Fma(_, a, b, c) | Blend(a, b, c) => ([a, b, c], 3),
        };
        list.into_iter().take(n)
    }

    /// Whether the value follows from the operands alone, so that equal ops are one.
    pub fn is_function(&self) -> bool {
        use Op::*;
        let reads = matches!(self, Home(_) | HomeMask(_) | Accumulator(_) | Load(..) | Gather(..) | Count(_));
        !reads && self.kind() != Kind::None
    }

    /// What holds the op's value.
    pub fn kind(&self) -> Kind {
        use Op::*;
        match self {
            HomeMask(_) | Load(_, Access::Bool, _) | Compare(..) | Test(..) | Masks(..) | Not(_) | Signs(_) => {
                Kind::Mask
            }
            Store(..) | StoreHome(..) | StoreHomeMask(..) => Kind::None,
            Accumulate(..) | AccumulateBy(..) | AccumulateProduct(..) => Kind::None,
            _ => Kind::Vector,
        }
    }
}

/// Which ops matter: those with effects and what they use.
pub(super) fn live(ops: &[Op]) -> Vec<bool> {
    let mut live: Vec<bool> = ops.iter().map(|op| op.kind() == Kind::None).collect();
    for i in (0..ops.len()).rev() {
        if live[i] {
            ops[i].operands().for_each(|o| live[o as usize] = true);
        }
    }
    live
}
