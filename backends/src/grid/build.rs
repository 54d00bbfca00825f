//! Writing grid kernels.

use super::{GridKernel, Memory, Reg, Source, Stmt};
use crate::kernel::{Affine, Inst, Param};
use gradloom_ir::{Binary, Comparison, DType, Literal, Unary};
use smallvec::SmallVec;

/// A kernel that is being written: statements go to the innermost block that is open.
pub struct Build {
    kernel: GridKernel,
    open: Vec<Vec<Stmt>>,
    /// u32 where every index and count fits 31 bits, else u64; sums and products wrap.
    index: DType,
}

impl Build {
    /// A kernel of `blocks` blocks of `threads` threads whose indices are of dtype `index` (u32 or u64).
    pub fn new(name: &str, params: &[Param], blocks: u32, threads: u32, index: DType) -> Build {
        let kernel = GridKernel {
            name: name.to_string(),
            params: params.to_vec(),
            shared: Vec::new(),
            blocks,
            threads,
            registers: Vec::new(),
            body: Vec::new(),
        };
        Build { kernel, open: vec![Vec::new()], index }
    }

    /// The kernel.
    pub fn finish(mut self) -> GridKernel {
        self.kernel.body = self.open.pop().unwrap_or_default();
        self.kernel
    }

    /// A register that is not set.
    pub fn register(&mut self, dtype: DType) -> Reg {
        self.kernel.registers.push(dtype);
        (self.kernel.registers.len() - 1) as Reg
    }

    /// The dtype of a register.
    pub fn dtype(&self, r: Reg) -> DType {
        self.kernel.registers[r as usize]
    }

    /// An array of `len` elements for each block.
    pub fn shared(&mut self, dtype: DType, len: usize) -> Memory {
        self.kernel.shared.push(Param { dtype, len });
        Memory::Shared((self.kernel.shared.len() - 1) as u32)
    }

    /// Adds a statement.
    pub fn push(&mut self, s: Stmt) {
        self.open.last_mut().expect("the body stays open until the end").push(s);
    }

    /// A new register with a value.
    pub fn set(&mut self, dtype: DType, source: Source) -> Reg {
        let r = self.register(dtype);
        self.push(Stmt::Set(r, source));
        r
    }

    /// An index as a number of dtype `to`: what has wrapped is negative.
    pub fn number(&mut self, index: Reg, to: DType) -> Reg {
        let signed = if self.index == DType::U32 { DType::I32 } else { DType::I64 };
        let x = self.set(signed, Source::Scalar(Inst::Bitcast(signed, index)));
        if to == signed { x } else { self.set(to, Source::Scalar(Inst::Convert(to, x))) }
    }

    /// A register of its own that begins as another.
    pub fn variable(&mut self, from: Reg) -> Reg {
        self.set(self.dtype(from), Source::Copy(from))
    }

    /// An integer that is not negative, as an index.
    pub fn as_index(&mut self, x: Reg) -> Reg {
        self.converted(x, self.index)
    }

    /// The thread's number in the grid.
    pub fn grid_thread(&mut self) -> Reg {
        let (block, thread) = (self.block(), self.thread());
        let first = self.times(block, i64::from(self.kernel.threads));
        self.binary(Binary::Add, first, thread)
    }

    /// Gives a register another value.
    pub fn assign(&mut self, r: Reg, value: Reg) {
        self.push(Stmt::Set(r, Source::Copy(value)));
    }

    /// A constant.
    pub fn constant(&mut self, c: Literal) -> Reg {
        self.set(c.ty().dtype, Source::Scalar(Inst::Const(c)))
    }

    /// An index.
    pub fn index(&mut self, x: i64) -> Reg {
        let c = match self.index {
            DType::U32 => Literal::new(&[], &[x as u32]),
            _ => Literal::new(&[], &[x as u64]),
        };
        self.constant(c)
    }

    /// A function of two registers, of the first's dtype.
    pub fn binary(&mut self, op: Binary, x: Reg, y: Reg) -> Reg {
        self.set(self.dtype(x), Source::Scalar(Inst::Binary(op, x, y)))
    }

    /// A comparison.
    pub fn compare(&mut self, op: Comparison, x: Reg, y: Reg) -> Reg {
        self.set(DType::Bool, Source::Scalar(Inst::Compare(op, x, y)))
    }

    /// x + c
    pub fn plus(&mut self, x: Reg, c: i64) -> Reg {
        if c == 0 {
            return x;
        }
        let c = self.index(c);
        self.binary(Binary::Add, x, c)
    }

    /// x c
    pub fn times(&mut self, x: Reg, c: i64) -> Reg {
        if c == 1 {
            return x;
        }
        let c = self.index(c);
        self.binary(Binary::Mul, x, c)
    }

    /// The quotient and the remainder of an index and a count.
    pub fn divide(&mut self, x: Reg, by: usize) -> (Reg, Reg) {
        if by == 1 {
            return (x, self.index(0));
        }
        let by = self.index(by as i64);
        (self.binary(Binary::Div, x, by), self.binary(Binary::Rem, x, by))
    }

    /// A u32 as an index.
    fn widened(&mut self, x: Source) -> Reg {
        let x = self.set(DType::U32, x);
        self.as_index(x)
    }

    /// The block's number, as an index.
    pub fn block(&mut self) -> Reg {
        self.widened(Source::Block)
    }

    /// The thread's number in its block, as an index.
    pub fn thread(&mut self) -> Reg {
        self.widened(Source::Thread)
    }

    /// `sum(index[i] * strides[i])`
    pub fn place(&mut self, index: &[Reg], strides: &[usize]) -> Reg {
        self.affine(&Affine { offset: 0, strides: strides.iter().map(|&s| s as i64).collect() }, index)
    }

    /// The affine function of indices.
    pub fn affine(&mut self, at: &Affine, index: &[Reg]) -> Reg {
        let mut sum = None;
        for (&stride, &i) in at.strides.iter().zip(index) {
            if stride == 0 {
                continue;
            }
            let term = self.times(i, stride);
            sum = Some(match sum {
                Some(sum) => self.binary(Binary::Add, sum, term),
                None => term,
            });
        }
        match sum {
            Some(sum) => self.plus(sum, at.offset),
            None => self.index(at.offset),
        }
    }

    /// The indices of the point number `linear` of a box, the last axis fastest.
    pub fn point(&mut self, mut linear: Reg, extents: &[usize]) -> Vec<Reg> {
        let mut index = Vec::with_capacity(extents.len());
        for (i, &n) in extents.iter().enumerate().rev() {
            if i == 0 {
                index.push(linear);
            } else {
                let (quotient, remainder) = self.divide(linear, n);
                index.push(remainder);
                linear = quotient;
            }
        }
        index.reverse();
        index
    }

    /// An element.
    pub fn load(&mut self, from: Memory, at: Reg) -> Reg {
        self.loads(from, at, 1)[0]
    }

    /// `width` consecutive elements.
    pub fn loads(&mut self, from: Memory, at: Reg, width: usize) -> SmallVec<[Reg; 4]> {
        let dtype = match from {
            Memory::Param(p) => self.kernel.params[p as usize].dtype,
            Memory::Shared(s) => self.kernel.shared[s as usize].dtype,
        };
        let to: SmallVec<[Reg; 4]> = (0..width).map(|_| self.register(dtype)).collect();
        self.push(Stmt::Load { to: to.clone(), from, at });
        to
    }

    /// A number of a dtype that is computed in: a 16-bit float as f32, any other as it is.
    pub fn widened_half(&mut self, x: Reg) -> Reg {
        if self.dtype(x).is_half() { self.set(DType::F32, Source::Scalar(Inst::Convert(DType::F32, x))) } else { x }
    }

    /// A number in another dtype; 16-bit floats by way of f32, as kernels compute.
    pub fn converted(&mut self, x: Reg, to: DType) -> Reg {
        if self.dtype(x) == to { x } else { self.set(to, Source::Scalar(Inst::Convert(to, x))) }
    }

    /// `p ? x : y`
    pub fn select(&mut self, p: Reg, x: Reg, y: Reg) -> Reg {
        self.set(self.dtype(x), Source::Scalar(Inst::Select(p, x, y)))
    }

    /// Whether both hold.
    pub fn both(&mut self, p: Reg, q: Reg) -> Reg {
        self.binary(Binary::And, p, q)
    }

    /// Whether either holds.
    pub fn either(&mut self, p: Reg, q: Reg) -> Reg {
        self.binary(Binary::Or, p, q)
    }

    /// A truth value.
    pub fn truth(&mut self, x: bool) -> Reg {
        self.constant(Literal::new(&[], &[x]))
    }

    /// Whether it does not hold.
    pub fn negated(&mut self, p: Reg) -> Reg {
        self.set(DType::Bool, Source::Scalar(Inst::Unary(Unary::Not, p)))
    }

    /// A loop over `0 .. to`.
    pub fn times_over(&mut self, to: usize, body: impl FnOnce(&mut Build, Reg)) {
        let (from, to, step) = (self.index(0), self.index(to as i64), self.index(1));
        self.count(from, to, step, body);
    }

    /// Writes an element.
    pub fn store(&mut self, to: Memory, at: Reg, value: Reg) {
        self.push(Stmt::Store { to, at, values: SmallVec::from_slice(&[value]) });
    }

    /// All threads of the block wait for each other.
    pub fn barrier(&mut self) {
        self.push(Stmt::Barrier);
    }

    /// A loop over `from, from + step, ..` below `to`.
    pub fn count(&mut self, from: Reg, to: Reg, step: Reg, body: impl FnOnce(&mut Build, Reg)) {
        let counter = self.register(self.index);
        self.open.push(Vec::new());
        body(self, counter);
        let body = self.open.pop().unwrap_or_default();
        self.push(Stmt::For { counter, from, to, step, body });
    }

    /// What is done where `condition` is true.
    pub fn when(&mut self, condition: Reg, body: impl FnOnce(&mut Build)) {
        self.open.push(Vec::new());
        body(self);
        let then = self.open.pop().unwrap_or_default();
        self.push(Stmt::If { condition, then, otherwise: Vec::new() });
    }
}
