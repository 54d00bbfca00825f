//! The loops of a kernel and the blocks in them.

use super::asm::{Asm, frame, memory};
use super::block::{At, Extent, Op, V};
use super::emit::{FIRST, Lane, Pointer, REST, TEMPORARY, emit, low_half};
use super::fill::{BlockBuilder, Home, Width};
use super::lower::Lower;
use super::streams::Streams;
use crate::cpu::codegen::plan::Plan;
use crate::kernel::{Affine, Inst, Reduction, Val, identity};
use iced_x86::{Code, Instruction, Register};
use std::collections::HashMap;

/// Counts the innermost loop down.
const COUNTER: Register = Register::RCX;
/// A second register for one instruction.
const SECOND: Register = Register::RDX;
/// What a kernel function is called with.
const ARGUMENTS: [Register; 3] = [Register::RDI, Register::RSI, Register::RDX];

pub(super) struct Function<'a> {
    plan: &'a Plan,
    lane: Lane,
    asm: Asm,
    streams: Streams,
    /// The memory each load reads or each index counts.
    reached: Vec<Option<At>>,
    /// The memory each store writes.
    stored: Vec<At>,
    homes: HashMap<(Val, usize), Home>,
    /// Whether a value is used by another block than its own.
    leaves: Vec<bool>,
    width: Width,
    /// The range of the split loop, in the frame.
    range: [i32; 2],
}

/// How many times a loop runs.
#[derive(Clone, Copy)]
enum Count {
    Known(i64),
    /// As long as the range of the split loop, of at most so many.
    Range(i64),
}

impl<'a> Function<'a> {
    /// `None` if some memory cannot be walked by vectors.
    pub fn new(plan: &'a Plan) -> Option<Function<'a>> {
        let lane = if plan.lanes == 16 { Lane::Bits32 } else { Lane::Bits64 };
        let mut asm = Asm::new();
        let mut streams = Streams::new();
        let mut reach = |asm: &mut Asm, param: Option<u32>, at: &Affine| {
            let size = param.map_or(1, |p| plan.nest.params[p as usize].dtype.size());
            streams.find(asm, param, at, size)
        };
        let mut reached = Vec::new();
        for (v, inst) in plan.nest.insts().enumerate() {
            reached.push(match inst {
                Inst::Load { param, at } if plan.used[v] => Some(reach(&mut asm, Some(*param), at)),
                Inst::Index { at, .. } if plan.used[v] => Some(reach(&mut asm, None, at)),
                _ => None,
            });
        }
        let stored = plan.nest.stores.iter().map(|s| reach(&mut asm, Some(s.param), &s.at)).collect();
        let range = [asm.room(8), asm.room(8)];
        let width = Width { vectors: 1, extent: Extent::One };
        let homes = HashMap::new();
        let mut f = Function { plan, lane, asm, streams, reached, stored, homes, leaves: vec![], width, range };
        f.leaves = f.leaving();
        Some(f)
    }

    /// Values that other blocks than their own use.
    fn leaving(&self) -> Vec<bool> {
        let nest = &self.plan.nest;
        let mut leaves = vec![false; self.plan.levels.len()];
        let innermost = nest.axes.len();
        for (v, inst) in nest.body.iter().enumerate().filter(|(v, _)| self.plan.used[*v]) {
            for o in inst.operands() {
                leaves[o as usize] |= self.plan.levels[o as usize] != self.plan.levels[v];
            }
        }
        let used = nest.reductions.iter().map(|r| r.value).chain(nest.stores.iter().map(|s| s.value));
        for v in used.filter(|v| (*v as usize) < nest.body.len()) {
            leaves[v as usize] |= self.plan.levels[v as usize] != innermost;
        }
        leaves
    }

    /// The whole function; `None` if an instruction has no wide form.
    pub fn write(mut self) -> Option<Asm> {
        self.enter();
        self.block(0)?;
        self.parallel(0)?;
        Some(self.asm)
    }

    // ---- integers ----

    fn put(&mut self, instruction: Result<Instruction, iced_x86::IcedError>) {
        self.asm.put(instruction);
    }

    fn load(&mut self, to: Register, slot: i32) {
        self.put(Instruction::with2(Code::Mov_r64_rm64, to, frame(slot)));
    }

    fn save(&mut self, slot: i32, from: Register) {
        self.put(Instruction::with2(Code::Mov_rm64_r64, frame(slot), from));
    }

    /// A number into a register.
    fn number(&mut self, to: Register, x: i64) {
        match i32::try_from(x) {
            Ok(x) => self.put(Instruction::with2(Code::Mov_rm64_imm32, to, x)),
            Err(_) => self.put(Instruction::with2(Code::Mov_r64_imm64, to, x)),
        }
    }

    /// Adds a number to a pointer; changes the second temporary register.
    fn advance(&mut self, pointer: Pointer, by: i64) {
        let small = i32::try_from(by).ok();
        if small.is_none() {
            self.number(SECOND, by);
        }
        let instruction = match (pointer, small) {
            (Pointer::Register(r), Some(by)) => Instruction::with2(Code::Add_rm64_imm32, r, by),
            (Pointer::Slot(slot), Some(by)) => Instruction::with2(Code::Add_rm64_imm32, frame(slot), by),
            (Pointer::Register(r), None) => Instruction::with2(Code::Add_r64_rm64, r, SECOND),
            (Pointer::Slot(slot), None) => Instruction::with2(Code::Add_rm64_r64, frame(slot), SECOND),
        };
        self.put(instruction);
    }

    /// Keeps the arguments and points every stream to where it starts.
    fn enter(&mut self) {
        let [table, start, end] = ARGUMENTS;
        self.save(self.range[0], start);
        self.save(self.range[1], end);
        let list = std::mem::take(&mut self.streams.list);
        for stream in &list {
            match stream.param {
                Some(p) => {
                    self.put(Instruction::with2(Code::Mov_r64_rm64, TEMPORARY, memory(table, 8 * p as i32)));
                    if stream.start != 0 {
                        self.advance(Pointer::Register(TEMPORARY), stream.start);
                    }
                }
                None => self.number(TEMPORARY, stream.start),
            }
            if let Pointer::Slot(slot) = stream.place(0) {
                self.save(slot, TEMPORARY);
            }
        }
        self.streams.list = list;
        self.number(TEMPORARY, 1);
        self.put(Instruction::with2(Code::VEX_Kmovw_kr_r32, FIRST, low_half(TEMPORARY)));
    }

    // ---- loops ----

    /// The parallel loops from `depth` on.
    fn parallel(&mut self, depth: usize) -> Option<()> {
        let plan = self.plan;
        if depth < plan.nest.parallel() {
            return self.open(depth, &mut |f| {
                f.block(depth + 1)?;
                f.parallel(depth + 1)
            });
        }
        if depth < plan.nest.axes.len() {
            self.identities()?;
            self.reduce(depth)?;
            self.epilogue()?;
        }
        Some(())
    }

    /// The reduce loops from `depth` on.
    fn reduce(&mut self, depth: usize) -> Option<()> {
        if depth == self.plan.nest.axes.len() {
            return Some(());
        }
        self.open(depth, &mut |f| {
            f.block(depth + 1)?;
            f.reduce(depth + 1)
        })
    }

    /// The loop over axis `depth`.
    fn open(&mut self, depth: usize, body: &mut dyn FnMut(&mut Self) -> Option<()>) -> Option<()> {
        let plan = self.plan;
        let extent = plan.nest.axes[depth].extent as i64;
        let is_split = plan.split == depth;
        let count = if is_split { Count::Range(extent) } else { Count::Known(extent) };
        self.start_streams(depth, is_split);
        let counter = if depth + 1 == plan.nest.axes.len() {
            Pointer::Register(COUNTER)
        } else {
            Pointer::Slot(self.asm.room(8))
        };
        self.start_counter(counter, count);
        if plan.vector == Some(depth) {
            return self.vectors(depth, counter, count, body);
        }
        self.repeat(depth, counter, 1, count, true, body)
    }

    /// Points the streams that a loop moves to its first iteration.
    fn start_streams(&mut self, depth: usize, is_split: bool) {
        let list = std::mem::take(&mut self.streams.list);
        for stream in list.iter().filter(|s| s.steps[depth] != 0) {
            match stream.place(depth) {
                Pointer::Slot(slot) => self.load(TEMPORARY, slot),
                Pointer::Register(r) => unreachable!("{r:?} moves in the innermost loop alone"),
            }
            if is_split {
                self.load(SECOND, self.range[0]);
                match i32::try_from(stream.steps[depth]) {
                    Ok(step) => self.put(Instruction::with3(Code::Imul_r64_rm64_imm32, SECOND, SECOND, step)),
                    Err(_) => {
                        // the counter is not set yet
                        self.number(COUNTER, stream.steps[depth]);
                        self.put(Instruction::with2(Code::Imul_r64_rm64, SECOND, COUNTER));
                    }
                }
                self.put(Instruction::with2(Code::Add_r64_rm64, TEMPORARY, SECOND));
            }
            match stream.place(depth + 1) {
                Pointer::Slot(slot) => self.save(slot, TEMPORARY),
                Pointer::Register(r) => self.put(Instruction::with2(Code::Mov_r64_rm64, r, TEMPORARY)),
            }
        }
        self.streams.list = list;
    }

    fn start_counter(&mut self, counter: Pointer, count: Count) {
        match count {
            Count::Known(n) => self.number(TEMPORARY, n),
            Count::Range(_) => {
                self.load(TEMPORARY, self.range[1]);
                self.put(Instruction::with2(Code::Sub_r64_rm64, TEMPORARY, frame(self.range[0])));
            }
        }
        match counter {
            Pointer::Register(r) => self.put(Instruction::with2(Code::Mov_r64_rm64, r, TEMPORARY)),
            Pointer::Slot(slot) => self.save(slot, TEMPORARY),
        }
    }

    fn compare_counter(&mut self, counter: Pointer, with: i32) {
        self.put(match counter {
            Pointer::Register(r) => Instruction::with2(Code::Cmp_rm64_imm32, r, with),
            Pointer::Slot(slot) => Instruction::with2(Code::Cmp_rm64_imm32, frame(slot), with),
        });
    }

    /// Runs `body` as long as the counter is at least `step`; with `whole` the counter is a multiple of it, else as
    /// long as it is positive if the step is one vector of a rest.
    fn repeat(
        &mut self,
        depth: usize,
        counter: Pointer,
        step: i64,
        count: Count,
        whole: bool,
        body: &mut dyn FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        let (top, done) = (self.asm.label(), self.asm.label());
        let least = if whole { step as i32 } else { 1 };
        let once = matches!(count, Count::Known(n) if n < least as i64 + step);
        if let Count::Range(_) = count {
            self.compare_counter(counter, least);
            self.asm.jump(Code::Jl_rel32_64, done);
        }
        self.asm.place(top);
        body(self)?;
        let list = std::mem::take(&mut self.streams.list);
        for stream in list.iter().filter(|s| s.steps[depth] != 0) {
            self.advance(stream.place(depth + 1), stream.steps[depth] * step);
        }
        self.streams.list = list;
        self.advance(counter, -step);
        if !once {
            self.compare_counter(counter, least);
            self.asm.jump(Code::Jge_rel32_64, top);
        }
        self.asm.place(done);
        Some(())
    }

    /// The vector loop: several vectors at a time, then the rest one by one under a mask.
    fn vectors(
        &mut self,
        depth: usize,
        counter: Pointer,
        count: Count,
        body: &mut dyn FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        let outside = self.width;
        let lanes = self.plan.lanes as i64;
        let step = lanes * self.plan.unroll as i64;
        let (Count::Known(extent) | Count::Range(extent)) = count;
        // threads cut at multiples of the step: only the end of the whole loop has a rest
        let rest = extent % step;
        if extent >= step {
            self.width = Width { vectors: self.plan.unroll, extent: Extent::Whole };
            self.repeat(depth, counter, step, count, true, body)?;
        }
        if rest > 0 {
            self.width = Width { vectors: 1, extent: Extent::Rest };
            let count = match count {
                Count::Known(_) => Count::Known(rest),
                range => range,
            };
            self.repeat(depth, counter, lanes, count, false, &mut |f| {
                f.rest_mask(counter);
                body(f)
            })?;
        }
        self.width = outside;
        Some(())
    }

    /// Sets the mask of the lanes that the counter still counts.
    fn rest_mask(&mut self, counter: Pointer) {
        let (short, second) = (low_half(TEMPORARY), low_half(SECOND));
        match counter {
            Pointer::Register(r) => self.put(Instruction::with2(Code::Mov_r64_rm64, TEMPORARY, r)),
            Pointer::Slot(slot) => self.load(TEMPORARY, slot),
        }
        self.number(SECOND, self.plan.lanes as i64);
        self.put(Instruction::with2(Code::Cmp_r64_rm64, TEMPORARY, SECOND));
        self.put(Instruction::with2(Code::Cmovg_r64_rm64, TEMPORARY, SECOND));
        self.number(SECOND, -1);
        self.put(Instruction::with3(Code::VEX_Bzhi_r32_rm32_r32, second, second, short));
        self.put(Instruction::with2(Code::VEX_Kmovw_kr_r32, REST, second));
    }

    // ---- blocks ----

    /// Where streams are with `depth` loops open.
    fn pointers(&self, depth: usize) -> Vec<Pointer> {
        self.streams.list.iter().map(|s| s.place(depth)).collect()
    }

    /// Accumulators of the reductions that matter.
    fn accumulators(&self) -> Vec<&'a Reduction> {
        self.plan.nest.reductions.iter().filter(|r| self.plan.used[r.value as usize]).collect()
    }

    /// Accumulators a reduction has.
    fn copies(&self) -> usize {
        if self.plan.is_row() { self.plan.unroll } else { self.width.vectors }
    }

    /// Starts the accumulators.
    fn identities(&mut self) -> Option<()> {
        let (reductions, copies) = (self.accumulators(), self.copies());
        let dtypes = &self.plan.dtypes;
        let mut lower = Lower::new(&mut self.asm, self.lane);
        for (k, r) in reductions.iter().enumerate() {
            let v = lower.literal(&identity(r.kind, dtypes[r.value as usize]), true)?;
            for u in 0..copies {
                lower.push(Op::Accumulate(k * copies + u, v, false));
            }
        }
        let ops = lower.ops;
        emit(&mut self.asm, self.lane, &ops, &[], reductions.len() * copies);
        Some(())
    }

    /// What is known with `depth` loops open and not before; with all of them open also what is accumulated or stored.
    fn block(&mut self, depth: usize) -> Option<()> {
        let plan = self.plan;
        let (pointers, reductions) = (self.pointers(depth), self.accumulators());
        let is_innermost = depth == plan.nest.axes.len();
        let reduces = plan.nest.parallel() < plan.nest.axes.len();
        let copies = self.copies();
        let mut b = self.begin(depth);
        for v in (0..plan.nest.body.len()).filter(|v| plan.used[*v] && plan.levels[*v] == depth && !plan.varying[*v]) {
            b.value(v as Val, 0)?;
        }
        for u in 0..b.width.vectors {
            for v in (0..plan.nest.body.len()).filter(|v| plan.used[*v] && plan.levels[*v] == depth && plan.varying[*v])
            {
                b.value(v as Val, u)?;
            }
            if is_innermost && !reduces {
                b.stores(u)?;
            }
            if is_innermost && reduces {
                for (k, r) in reductions.iter().enumerate() {
                    b.accumulate(k * copies + u, r, u)?;
                }
            }
        }
        let ops = b.lower.ops;
        let in_reduction = depth > plan.nest.parallel();
        let reserved = if in_reduction { reductions.len() * copies } else { 0 };
        emit(&mut self.asm, self.lane, &ops, &pointers, reserved);
        Some(())
    }

    /// What follows the reductions of a point.
    fn epilogue(&mut self) -> Option<()> {
        let plan = self.plan;
        let (pointers, reductions) = (self.pointers(plan.nest.parallel()), self.accumulators());
        let copies = self.copies();
        let mut b = self.begin(plan.nest.parallel());
        let mut finished: Vec<Vec<V>> = Vec::new();
        for (k, r) in reductions.iter().enumerate() {
            finished.push(b.finished(k * copies, copies, r)?);
        }
        // by the numbers of all reductions
        let mut finished = finished.into_iter();
        let all: Vec<Vec<V>> = plan
            .nest
            .reductions
            .iter()
            .map(|r| if plan.used[r.value as usize] { finished.next().unwrap_or_default() } else { Vec::new() })
            .collect();
        b.finished = all;
        for u in 0..b.width.vectors {
            for v in plan.nest.body.len()..plan.levels.len() {
                if plan.used[v] && (u == 0 || b.varies(v as Val)) {
                    b.value(v as Val, u)?;
                }
            }
            b.stores(u)?;
        }
        let ops = b.lower.ops;
        emit(&mut self.asm, self.lane, &ops, &pointers, reductions.len() * copies);
        Some(())
    }

    fn begin(&mut self, depth: usize) -> BlockBuilder<'_, 'a> {
        BlockBuilder {
            plan: self.plan,
            lane: self.lane,
            lower: Lower::new(&mut self.asm, self.lane),
            reached: &self.reached,
            stored: &self.stored,
            homes: &mut self.homes,
            leaves: &self.leaves,
            width: self.width,
            depth,
            known: HashMap::new(),
            finished: Vec::new(),
        }
    }
}
