//! Runs a grid kernel on this machine, one block after the other, and refuses what a GPU would not forgive.
//!
//! The threads of a block take each statement together, those for which it is not meant left out. That order hides no
//! missing barrier, since every access is compared with those before it: two threads may touch one element, one of them
//! writing, only if they are of one block and a barrier lies between, or both accesses are atomic.

use super::{GridKernel, MULTIPLY_COLUMNS, MULTIPLY_ROWS, Memory, Reg, Source, Stmt, TF32_IGNORED, WARP};
use crate::kernel::{Cell, Param, cell, combiner, element, padded, scalar};
use gradloom_ir::eval::{ScalarOps, Wide};
use gradloom_ir::{DType, Result, bf16, f16, with_element};

/// Runs a kernel on one buffer of native-endian bytes a param.
///
/// # Errors
/// A kernel that is not well formed, buffers that do not fit, and whatever would be undefined on a GPU: accesses outside of
/// an array or not aligned, values read before they are set, races, barriers and exchanges that not all threads reach.
pub fn emulate(kernel: &GridKernel, buffers: &mut [&mut [u8]]) -> Result<()> {
    kernel.verify()?;
    let fits = buffers.iter().zip(&kernel.params).all(|(b, p)| b.len() == p.len * p.dtype.size());
    if buffers.len() != kernel.params.len() || !fits {
        return kernel.fail("the buffers do not fit its params".into());
    }
    let params = kernel.params.iter().zip(buffers.iter()).map(|(p, b)| Array::new(p, Some(b))).collect();
    let mut run = Run { kernel, block: 0, epoch: 0, params, shared: Vec::new(), registers: Vec::new() };
    for block in 0..kernel.blocks {
        (run.block, run.epoch) = (block, 0);
        run.shared = kernel.shared.iter().map(|p| Array::new(p, None)).collect();
        run.registers = vec![vec![None; kernel.threads as usize]; kernel.registers.len()];
        run.statements(&kernel.body, &vec![true; kernel.threads as usize])?;
    }
    for (b, array) in buffers.iter_mut().zip(run.params) {
        b.copy_from_slice(&array.bytes);
    }
    Ok(())
}

/// Who touched an element, and after how many barriers of the block.
#[derive(Clone, Copy)]
struct Touch {
    block: u32,
    thread: u32,
    epoch: u32,
    atomic: bool,
}

impl Touch {
    /// Whether `later` surely comes after it, or their order does not matter.
    fn is_before(self, later: Touch) -> bool {
        let ordered = self.block == later.block && (self.thread == later.thread || self.epoch < later.epoch);
        ordered || (self.atomic && later.atomic)
    }
}

/// The accesses of an element that later ones must come after.
#[derive(Clone, Copy, Default)]
struct History {
    write: Option<Touch>,
    /// The last read.
    read: Option<Touch>,
    /// A read by another thread since the last barrier, or by another block.
    other_read: Option<Touch>,
}

struct Array {
    bytes: Vec<u8>,
    dtype: DType,
    /// Whether elements hold anything before they are written.
    is_set: bool,
    history: Vec<History>,
}

impl Array {
    fn new(p: &Param, contents: Option<&[u8]>) -> Array {
        let bytes = contents.map_or_else(|| vec![0; p.len * p.dtype.size()], <[u8]>::to_vec);
        Array { bytes, dtype: p.dtype, is_set: contents.is_some(), history: vec![History::default(); p.len] }
    }

    fn get(&self, at: usize) -> Cell {
        let size = self.dtype.size();
        padded(&self.bytes[at * size..(at + 1) * size])
    }

    fn set(&mut self, at: usize, value: &Cell) {
        let size = self.dtype.size();
        self.bytes[at * size..(at + 1) * size].copy_from_slice(&value[..size]);
    }

    /// Notes a read; what is wrong with it.
    fn read(&mut self, at: usize, now: Touch) -> Option<&'static str> {
        let h = &mut self.history[at];
        match h.write {
            None if !self.is_set => return Some("is read before it is written"),
            Some(w) if !w.is_before(now) => return Some("is read while another thread writes it"),
            _ => {}
        }
        if let Some(r) = h.read.filter(|r| !r.is_before(now)) {
            h.other_read = Some(r);
        }
        h.read = Some(now);
        None
    }

    /// Notes a write; what is wrong with it.
    fn write(&mut self, at: usize, now: Touch) -> Option<&'static str> {
        let h = &mut self.history[at];
        if h.write.is_some_and(|w| !w.is_before(now)) {
            return Some("is written by two threads");
        }
        if h.read.into_iter().chain(h.other_read).any(|r| !r.is_before(now)) {
            return Some("is written while another thread reads it");
        }
        h.write = Some(now);
        None
    }
}

struct Run<'k> {
    kernel: &'k GridKernel,
    block: u32,
    /// Barriers so far.
    epoch: u32,
    params: Vec<Array>,
    shared: Vec<Array>,
    /// By register, then by thread; `None` before it is set.
    registers: Vec<Vec<Option<Cell>>>,
}

impl Run<'_> {
    fn array(&mut self, m: Memory) -> &mut Array {
        match m {
            Memory::Param(p) => &mut self.params[p as usize],
            Memory::Shared(s) => &mut self.shared[s as usize],
        }
    }

    fn get(&self, r: Reg, thread: usize) -> Result<&Cell> {
        match &self.registers[r as usize][thread] {
            Some(x) => Ok(x),
            None => self.kernel.fail(format!("r{r} is read before it is set")),
        }
    }

    fn number(&self, r: Reg, thread: usize) -> Result<u64> {
        let x = self.get(r, thread)?;
        Ok(match self.kernel.registers[r as usize] {
            DType::U32 => element::<u32>(x).into(),
            _ => element::<u64>(x),
        })
    }

    /// The position of the first of `width` elements, which exist.
    fn position(&self, m: Memory, at: Reg, width: usize, thread: usize) -> Result<usize> {
        let (first, len) = (self.number(at, thread)?, self.kernel.array(m).map_or(0, |p| p.len));
        let end = first.checked_add(width as u64).filter(|&end| end <= len as u64);
        if end.is_none() || !first.is_multiple_of(width as u64) {
            return self.kernel.fail(format!("{width} elements at {first} of {m:?}, which has {len}"));
        }
        Ok(first as usize)
    }

    fn touch(&self, thread: usize, atomic: bool) -> Touch {
        Touch { block: self.block, thread: thread as u32, epoch: self.epoch, atomic }
    }

    fn refuse(&self, m: Memory, at: usize, what: Option<&'static str>) -> Result<()> {
        match what {
            Some(what) => self.kernel.fail(format!("element {at} of {m:?} {what}")),
            None => Ok(()),
        }
    }

    fn statements(&mut self, body: &[Stmt], active: &[bool]) -> Result<()> {
        body.iter().try_for_each(|s| self.statement(s, active))
    }

    fn statement(&mut self, s: &Stmt, active: &[bool]) -> Result<()> {
        let threads = || active.iter().enumerate().filter(|(_, a)| **a).map(|(t, _)| t);
        match s {
            Stmt::Set(r, source) => {
                // all read before any is set: threads may exchange a register for itself
                let mut values = vec![None; active.len()];
                for t in threads() {
                    values[t] = Some(self.source(*r, source, t, active)?);
                }
                for t in threads() {
                    self.registers[*r as usize][t] = values[t];
                }
            }
            Stmt::Load { to, from, at } => {
                for t in threads() {
                    let first = self.position(*from, *at, to.len(), t)?;
                    for (k, r) in to.iter().enumerate() {
                        let now = self.touch(t, false);
                        let array = self.array(*from);
                        let (what, x) = (array.read(first + k, now), array.get(first + k));
                        self.refuse(*from, first + k, what)?;
                        self.registers[*r as usize][t] = Some(x);
                    }
                }
            }
            Stmt::Store { to, at, values } => {
                for t in threads() {
                    let first = self.position(*to, *at, values.len(), t)?;
                    for (k, r) in values.iter().enumerate() {
                        let (now, x) = (self.touch(t, false), *self.get(*r, t)?);
                        let array = self.array(*to);
                        array.set(first + k, &x);
                        let what = array.write(first + k, now);
                        self.refuse(*to, first + k, what)?;
                    }
                }
            }
            Stmt::Atomic { kind, to, at, value } => {
                for t in threads() {
                    let first = self.position(*to, *at, 1, t)?;
                    let (now, x) = (self.touch(t, true), *self.get(*value, t)?);
                    let array = self.array(*to);
                    let (old, dtype) = (array.get(first), array.dtype);
                    let what = array.read(first, now).or_else(|| array.write(first, now));
                    let new = with_element!(dtype, T => <T as ScalarOps>::binary(combiner(*kind), element(&old), element(&x)).map(cell));
                    let Some(new) = new else { return self.kernel.fail(format!("{} of {dtype}", kind.name())) };
                    array.set(first, &new);
                    self.refuse(*to, first, what)?;
                }
            }
            Stmt::For { counter, from, to, step, body } => {
                let mut active = active.to_vec();
                let count = |run: &mut Self, t: usize, n: u64| {
                    let n = Wide::Int(n.into());
                    let x =
                        with_element!(run.kernel.registers[*counter as usize], T => cell(<T as ScalarOps>::narrow(n)));
                    run.registers[*counter as usize][t] = Some(x);
                };
                for t in (0..active.len()).filter(|&t| active[t]) {
                    let n = self.number(*from, t)?;
                    count(self, t, n);
                }
                loop {
                    for (t, active) in active.iter_mut().enumerate().filter(|(_, a)| **a) {
                        *active = self.number(*counter, t)? < self.number(*to, t)?;
                    }
                    if !active.contains(&true) {
                        break;
                    }
                    self.statements(body, &active)?;
                    for t in (0..active.len()).filter(|&t| active[t]) {
                        let (n, step) = (self.number(*counter, t)?, self.number(*step, t)?);
                        if step == 0 {
                            return self.kernel.fail(format!("r{counter} does not step"));
                        }
                        count(self, t, n + step);
                    }
                }
            }
            Stmt::If { condition, then, otherwise } => {
                let mut taken = vec![false; active.len()];
                for t in threads() {
                    taken[t] = element::<bool>(self.get(*condition, t)?);
                }
                let rest: Vec<bool> = taken.iter().zip(active).map(|(t, a)| *a && !t).collect();
                for (body, active) in [(then, taken), (otherwise, rest)] {
                    if active.contains(&true) {
                        self.statements(body, &active)?;
                    }
                }
            }
            Stmt::Multiply { sums, left, right } => {
                let warp = WARP as usize;
                for first in (0..active.len()).step_by(warp).filter(|&w| active[w..w + warp].contains(&true)) {
                    if active[first..first + warp].contains(&false) {
                        return self.kernel.fail("not all threads of a warp reach a product".into());
                    }
                    self.multiply(sums, left, right, first)?;
                }
            }
            Stmt::Barrier => {
                if active.contains(&false) {
                    return self.kernel.fail("not all threads of a block reach a barrier".into());
                }
                self.epoch += 1;
            }
        }
        Ok(())
    }

    /// A product of the warp whose first thread is `first`.
    fn multiply(&mut self, sums: &[Reg; 4], left: &[Reg], right: &[Reg], first: usize) -> Result<()> {
        let dtype = self.kernel.registers[left[0] as usize];
        let (depth, pair) = if dtype == DType::F32 { (8, 1) } else { (16, 2) };
        // the element number `k` of a lane: which row or column of its matrix, which term
        let place = |lane: usize, k: usize, halves: usize| {
            let (group, t) = (lane / 4, lane % 4);
            let (piece, within) = (k / pair, k % pair);
            (group + 8 * (piece % halves), pair * t + within + depth / 2 * (piece / halves))
        };
        let number = |run: &Self, r: Reg, lane: usize| -> Result<f32> {
            let x = run.get(r, first + lane)?;
            Ok(match dtype {
                DType::F16 => element::<f16>(x).to_f32(),
                DType::BF16 => element::<bf16>(x).to_f32(),
                _ => element::<f32>(x),
            })
        };
        let mut rows = vec![[0f32; 16]; MULTIPLY_ROWS];
        let mut columns = vec![[0f32; 16]; MULTIPLY_COLUMNS];
        for lane in 0..WARP as usize {
            for (k, &r) in left.iter().enumerate() {
                let (row, term) = place(lane, k, 2);
                rows[row][term] = number(self, r, lane)?;
            }
            for (k, &r) in right.iter().enumerate() {
                let (column, term) = place(lane, k, 1);
                columns[column][term] = number(self, r, lane)?;
            }
        }
        if dtype == DType::F32 && rows.iter().chain(&columns).flatten().any(|x| x.to_bits() % (1 << TF32_IGNORED) != 0)
        {
            return self.kernel.fail("bits are multiplied that tensor cores do not read".into());
        }
        for lane in 0..WARP as usize {
            for (k, &r) in sums.iter().enumerate() {
                let (row, column) = (lane / 4 + 8 * (k / 2), lane % 4 * 2 + k % 2);
                let old = element::<f32>(self.get(r, first + lane)?);
                let sum = (0..depth).fold(old, |sum, t| sum + rows[row][t] * columns[column][t]);
                self.registers[r as usize][first + lane] = Some(cell(sum));
            }
        }
        Ok(())
    }

    fn source(&self, r: Reg, source: &Source, thread: usize, active: &[bool]) -> Result<Cell> {
        let dtype = self.kernel.registers[r as usize];
        match source {
            Source::Copy(from) => Ok(*self.get(*from, thread)?),
            Source::Block => Ok(cell(self.block)),
            Source::Thread => Ok(cell(thread as u32)),
            Source::Exchange { of, xor } => {
                let warp = thread / WARP as usize * WARP as usize;
                if active[warp..warp + WARP as usize].contains(&false) {
                    return self.kernel.fail("not all threads of a warp reach an exchange".into());
                }
                Ok(*self.get(*of, thread ^ *xor as usize)?)
            }
            Source::Scalar(inst) => {
                for v in inst.operands() {
                    self.get(v, thread)?;
                }
                let of = |v: Reg| {
                    let x = self.registers[v as usize][thread].as_ref();
                    (x.expect("operands were asked for above"), self.kernel.registers[v as usize])
                };
                match scalar(inst, dtype, of) {
                    Some(x) => Ok(x),
                    None => self.kernel.fail(format!("{inst} is not defined on its operands")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Build;
    use super::*;
    use gradloom_ir::{Binary, Comparison, Literal};

    /// A kernel of two blocks of 64 threads over one array, and what becomes of 128 numbers 0, 1, ..
    fn run(write: impl FnOnce(&mut Build)) -> Result<Vec<u32>> {
        let params = [Param { dtype: DType::U32, len: 128 }, Param { dtype: DType::U32, len: 128 }];
        let mut b = Build::new("test", &params, 2, 64, DType::U32);
        write(&mut b);
        let mut x: Vec<u8> = (0..128u32).flat_map(u32::to_ne_bytes).collect();
        let mut y = vec![0; 512];
        emulate(&b.finish(), &mut [&mut x, &mut y])?;
        Ok(y.chunks(4).map(|c| u32::from_ne_bytes([c[0], c[1], c[2], c[3]])).collect())
    }

    const X: Memory = Memory::Param(0);
    const Y: Memory = Memory::Param(1);

    /// Block and thread, and the number of the thread in the grid.
    fn place(b: &mut Build) -> (Reg, Reg) {
        let (block, thread) = (b.block(), b.thread());
        let first = b.times(block, 64);
        (thread, b.binary(Binary::Add, first, thread))
    }

    /// Each block turns its part around by way of shared memory.
    fn turn(b: &mut Build, with_barrier: bool) {
        let (thread, at) = place(b);
        let tile = b.shared(DType::U32, 64);
        let x = b.load(X, at);
        b.store(tile, thread, x);
        if with_barrier {
            b.barrier();
        }
        let last = b.index(63);
        let other = b.binary(Binary::Sub, last, thread);
        let x = b.load(tile, other);
        b.store(Y, at, x);
    }

    fn error(write: impl FnOnce(&mut Build)) -> String {
        run(write).expect_err("it is refused").to_string()
    }

    #[test]
    fn blocks_share_memory_and_wait() {
        let turned: Vec<u32> = (0..64).rev().chain((64..128).rev()).collect();
        assert_eq!(run(|b| turn(b, true)).unwrap_or_else(|e| panic!("{e}")), turned);
    }

    #[test]
    fn warps_exchange_registers() {
        let y = run(|b| {
            let (_, at) = place(b);
            let x = b.load(X, at);
            let other = b.set(DType::U32, Source::Exchange { of: x, xor: 5 });
            b.store(Y, at, other);
        });
        assert_eq!(y.unwrap_or_else(|e| panic!("{e}")), (0..128).map(|i| i ^ 5).collect::<Vec<u32>>());
    }

    #[test]
    fn atomics_of_all_threads_add_up() {
        let y = run(|b| {
            let (_, at) = place(b);
            let (value, zero) = (b.load(X, at), b.index(0));
            b.push(Stmt::Atomic { kind: gradloom_ir::ReduceKind::Sum, to: Y, at: zero, value });
        });
        assert_eq!(y.unwrap_or_else(|e| panic!("{e}"))[0], 127 * 64);
    }

    #[test]
    fn what_a_gpu_would_not_forgive_is_refused() {
        let half = |b: &mut Build, body: fn(&mut Build, Reg)| {
            let (thread, at) = place(b);
            let middle = b.index(16);
            let low = b.compare(Comparison::Lt, thread, middle);
            b.when(low, |b| body(b, at));
        };
        assert!(error(|b| turn(b, false)).contains("is read while another thread writes it"));
        let all_write_one = |b: &mut Build| {
            let (_, at) = place(b);
            let zero = b.index(0);
            b.store(Y, zero, at);
        };
        assert!(error(all_write_one).contains("element 0 of Param(1) is written by two threads"));
        let neighbour = |b: &mut Build| {
            let (_, at) = place(b);
            let next = b.constant(Literal::new(&[], &[1u32]));
            let other = b.binary(Binary::Xor, at, next);
            let x = b.load(Y, other);
            b.store(Y, at, x);
        };
        assert!(error(neighbour).contains("is written while another thread reads it"));
        assert!(error(|b| half(b, |b, _| b.barrier())).contains("not all threads of a block reach a barrier"));
        let exchange = |b: &mut Build, at| {
            b.set(DType::U32, Source::Exchange { of: at, xor: 1 });
        };
        assert!(error(|b| half(b, exchange)).contains("not all threads of a warp reach an exchange"));
        let outside = |b: &mut Build| {
            let (_, at) = place(b);
            let at = b.plus(at, 1);
            b.load(X, at);
        };
        assert!(error(outside).contains("1 elements at 128 of Param(0), which has 128"));
        let unaligned = |b: &mut Build| {
            let at = b.index(2);
            b.loads(X, at, 4);
        };
        assert!(error(unaligned).contains("4 elements at 2 of Param(0)"));
        let unset = |b: &mut Build| {
            let (x, at) = (b.register(DType::U32), b.index(0));
            b.store(Y, at, x);
        };
        assert!(error(unset).contains("is read before it is set"));
        let mistyped = |b: &mut Build| {
            let (x, at) = (b.constant(Literal::new(&[], &[1f32])), b.index(0));
            b.store(Y, at, x);
        };
        assert!(error(mistyped).contains("is f32, not u32"));
    }
}
