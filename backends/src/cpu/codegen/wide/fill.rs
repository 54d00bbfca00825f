//! A block, by instructions of the nest: values of this block and of earlier ones, stores, accumulators.

use super::block::{Access, At, Extent, Kind, Op, V};
use super::emit::Lane;
use super::lower::{Lower, access};
use crate::cpu::codegen::plan::Plan;
use crate::kernel::{Affine, Inst, Reduction, Store, Val};
use gradloom_ir::{Binary, DType, ReduceKind};
use std::collections::HashMap;

/// What the vector loop does at a time.
#[derive(Clone, Copy)]
pub(super) struct Width {
    /// Vectors.
    pub vectors: usize,
    /// Which lanes.
    pub extent: Extent,
}

/// Where a value is kept between blocks.
#[derive(Clone, Copy)]
pub(super) struct Home(pub i32);

/// One block, by instructions of the nest.
pub(super) struct BlockBuilder<'b, 'a> {
    pub plan: &'a Plan,
    pub lane: Lane,
    pub lower: Lower<'b>,
    pub reached: &'b [Option<At>],
    pub stored: &'b [At],
    pub homes: &'b mut HashMap<(Val, usize), Home>,
    pub leaves: &'b [bool],
    pub width: Width,
    /// Loops open.
    pub depth: usize,
    pub known: HashMap<(Val, usize), V>,
    /// Results of the reductions, by vector.
    pub finished: Vec<Vec<V>>,
}

impl BlockBuilder<'_, '_> {
    fn dtype(&self, v: Val) -> DType {
        self.plan.dtypes[v as usize]
    }

    /// Whether lanes and vectors of the value differ here.
    pub fn varies(&self, v: Val) -> bool {
        self.plan.varying[v as usize]
    }

    /// The op of a value made in this block or before.
    fn held(&mut self, v: Val, u: usize) -> Option<V> {
        let key = (v, if self.varies(v) { u } else { 0 });
        if let Some(known) = self.known.get(&key) {
            return Some(*known);
        }
        let op = match self.plan.nest.inst(v) {
            Inst::Const(literal) => self.lower.literal(literal, false)?,
            _ => {
                let Home(slot) = *self.homes.get(&key)?;
                let is_mask = self.dtype(v) == DType::Bool;
                self.lower.push(if is_mask { Op::HomeMask(slot) } else { Op::Home(slot) })
            }
        };
        self.known.insert(key, op);
        Some(op)
    }

    /// Computes a value.
    pub fn value(&mut self, v: Val, u: usize) -> Option<()> {
        let op = match self.plan.nest.inst(v) {
            Inst::Const(_) => return Some(()),
            _ => self.computed(v, u)?,
        };
        let key = (v, if self.varies(v) { u } else { 0 });
        self.known.insert(key, op);
        if self.leaves[v as usize] {
            let asm = &mut *self.lower.asm;
            let Home(slot) = *self.homes.entry(key).or_insert_with(|| Home(asm.room(64)));
            let is_mask = self.lower.ops[op as usize].kind() == Kind::Mask;
            self.lower.push(if is_mask { Op::StoreHomeMask(slot, op) } else { Op::StoreHome(slot, op) });
        }
        Some(())
    }

    /// Bytes from lane to lane; 0 if all lanes reach one element.
    fn step(&self, at: &Affine, dtype: DType) -> i64 {
        self.plan.vector.map_or(0, |axis| at.strides[axis]) * dtype.size() as i64
    }

    /// The access of memory `at` whose lanes are `step` bytes apart, vector `u`.
    fn at(&self, at: At, step: i64, u: usize) -> (At, Extent) {
        if step == 0 {
            return (at, Extent::One);
        }
        let further = (u * self.plan.lanes) as i32 * step as i32;
        (At { displacement: at.displacement + further, ..at }, self.width.extent)
    }

    fn computed(&mut self, v: Val, u: usize) -> Option<V> {
        let (plan, dtype) = (self.plan, self.dtype(v));
        let inst = plan.nest.inst(v);
        let dtype_of = |v: &Val| plan.dtypes[*v as usize];
        Some(match inst {
            Inst::Const(_) => return None,
            Inst::Load { at: affine, .. } => {
                let step = self.step(affine, dtype);
                let (at, extent) = self.at(self.reached[v as usize]?, step, u);
                match access(dtype, self.lane)? {
                    Access::Full if step != 0 && step != dtype.size() as i64 => self.lower.gather(at, step, extent),
                    access => self.lower.load(at, access, extent),
                }
            }
            Inst::Index { at, .. } => self.index(v, at, dtype, u)?,
            Inst::Acc(i) => *self.finished[*i as usize].get(u).or(self.finished[*i as usize].first())?,
            Inst::Unary(op, x) => {
                let a = self.held(*x, u)?;
                self.lower.unary(*op, dtype_of(x), a)?
            }
            Inst::Binary(op @ (Binary::Max | Binary::Min), x, y) if dtype.is_float() => {
                let constant = |v: &Val| match plan.nest.inst(*v) {
                    Inst::Const(c) => Some(c.get_f64(0)).filter(|c| !c.is_nan()),
                    _ => None,
                };
                let (a, b) = (self.held(*x, u)?, self.held(*y, u)?);
                match (constant(x), constant(y)) {
                    (_, Some(c)) => self.lower.extremum_with(*op, a, b, c),
                    (Some(c), _) => self.lower.extremum_with(*op, b, a, c),
                    _ => self.lower.binary(*op, dtype, a, b)?,
                }
            }
            Inst::Binary(op, x, y) => {
                let (a, b) = (self.held(*x, u)?, self.held(*y, u)?);
                self.lower.binary(*op, dtype_of(x), a, b)?
            }
            Inst::Compare(op, x, y) => {
                let (a, b) = (self.held(*x, u)?, self.held(*y, u)?);
                self.lower.compare(*op, dtype_of(x), a, b)
            }
            Inst::Select(p, x, y) => {
                let (p, a, b) = (self.held(*p, u)?, self.held(*x, u)?, self.held(*y, u)?);
                self.lower.select(dtype, p, a, b)
            }
            Inst::Convert(to, x) => {
                let a = self.held(*x, u)?;
                self.lower.convert(dtype_of(x), *to, a)?
            }
            Inst::Bitcast(to, x) => {
                let a = self.held(*x, u)?;
                self.lower.bitcast(dtype_of(x), *to, a)?
            }
            Inst::Threefry(lane, args) => {
                let mut held = [0; 4];
                for (slot, v) in held.iter_mut().zip(args) {
                    *slot = self.held(*v, u)?;
                }
                self.lower.threefry(*lane, held)
            }
        })
    }

    /// The value of an affine function of the loops.
    fn index(&mut self, v: Val, at: &Affine, dtype: DType, u: usize) -> Option<V> {
        let axes = &self.plan.nest.axes;
        let (low, high) = at.range(axes.iter().map(|a| a.extent));
        let fits = low >= i128::from(i32::MIN) && high <= i128::from(i32::MAX);
        let is_integer = dtype.is_int() && dtype.size() >= 4;
        // as a float it is converted from the lane's integer
        if !(is_integer || dtype == DType::F32 && fits || dtype == DType::F64) {
            return None;
        }
        let mut x = self.lower.push(Op::Count(self.reached[v as usize]?.stream));
        if self.varies(v) {
            let step = self.plan.vector.map_or(0, |axis| at.strides[axis]);
            let first = (u * self.plan.lanes) as i64;
            let steps = self.lower.lanes(|i| step.wrapping_mul(first + i));
            x = self.lower.integer_add(x, steps);
        }
        if is_integer {
            return Some(x);
        }
        self.lower.convert(if dtype == DType::F32 { DType::I32 } else { DType::I64 }, dtype, x)
    }

    pub fn stores(&mut self, u: usize) -> Option<()> {
        let plan = self.plan;
        let stores: Vec<(&Store, At)> = plan.nest.stores.iter().zip(self.stored.iter().copied()).collect();
        for (store, at) in stores {
            let dtype = self.dtype(store.value);
            let step = self.step(&store.at, dtype);
            if step == 0 && u > 0 {
                continue;
            }
            let v = self.held(store.value, u)?;
            let (at, extent) = self.at(at, step, u);
            self.lower.push(Op::Store(at, access(dtype, self.lane)?, extent, v));
        }
        Some(())
    }

    /// Adds the current value of a reduction to an accumulator.
    pub fn accumulate(&mut self, accumulator: usize, r: &Reduction, u: usize) -> Option<()> {
        let (plan, dtype) = (self.plan, self.dtype(r.value));
        // lanes along a reduce axis that are outside its range must not count
        let rest = plan.is_row() && self.width.extent == Extent::Rest;
        if let Inst::Binary(Binary::Mul, x, y) = plan.nest.inst(r.value)
            && (r.kind, dtype.is_float()) == (ReduceKind::Sum, true)
            && plan.levels[r.value as usize] == self.depth
        {
            let (a, b) = (self.held(*x, u)?, self.held(*y, u)?);
            self.lower.push(Op::AccumulateProduct(accumulator, a, b, rest));
            return Some(());
        }
        let mut v = self.held(r.value, u)?;
        if let Some(code) = self.lower.combiner(r.kind, dtype) {
            self.lower.push(Op::AccumulateBy(accumulator, code, v, rest));
            return Some(());
        }
        if dtype == DType::Bool {
            v = self.lower.push(Op::Spread(v));
        }
        let before = self.lower.push(Op::Accumulator(accumulator));
        let after = self.lower.combine(r.kind, dtype, before, v)?;
        self.lower.push(Op::Accumulate(accumulator, after, rest));
        Some(())
    }

    /// The results of a reduction: one for all lanes along a reduce axis, else one a vector.
    pub fn finished(&mut self, first: usize, copies: usize, r: &Reduction) -> Option<Vec<V>> {
        let dtype = self.dtype(r.value);
        let mut parts: Vec<V> = (first..first + copies).map(|k| self.lower.push(Op::Accumulator(k))).collect();
        if self.plan.is_row() {
            while parts.len() > 1 {
                let half = parts.len() / 2;
                let mut next = Vec::new();
                for i in 0..half {
                    next.push(self.lower.combine(r.kind, dtype, parts[i], parts[i + half])?);
                }
                parts = next;
            }
            parts = vec![self.lower.across(r.kind, dtype, parts[0])?];
        }
        if dtype == DType::Bool {
            parts = parts.into_iter().map(|v| self.lower.push(Op::Signs(v))).collect();
        }
        Some(parts)
    }
}
