//! What a loop nest computes at a point, or at a few consecutive ones, as registers of a thread.

use super::{Build, Memory, Reg, Source, Stmt};
use crate::kernel::{Affine, Inst, LoopNest, Reduction, Store, Val, combiner, identity};
use gradloom_ir::{Binary, DType, Result};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;
use std::ops::Range;

/// A value at each of the points, or one for all.
pub(super) type Lanes = SmallVec<[Reg; 4]>;

/// A nest, as instructions at points that differ in one axis.
pub(super) struct Points<'n> {
    pub nest: &'n LoopNest,
    dtypes: Vec<DType>,
    /// The axis the points lie along and their number; its index is not read.
    lanes: Option<(usize, usize)>,
    /// Where each param is.
    places: Vec<Place>,
}

/// An array, and the element of it at which a nest's param begins, if that is not the first.
pub(super) type Place = (Memory, Option<Reg>);

/// Params as those of the kernel.
fn as_params(nest: &LoopNest) -> Vec<Place> {
    (0..nest.params.len()).map(|p| (Memory::Param(p as u32), None)).collect()
}

/// Registers of a nest's values, by their numbers.
pub(super) type Values = Vec<Lanes>;

impl<'n> Points<'n> {
    pub fn new(nest: &'n LoopNest, lanes: Option<(usize, usize)>) -> Result<Points<'n>> {
        Ok(Points { nest, dtypes: nest.dtypes()?, lanes, places: as_params(nest) })
    }

    /// Single points of a nest whose values have these dtypes.
    pub fn of(nest: &'n LoopNest, dtypes: Vec<DType>) -> Points<'n> {
        Points { nest, dtypes, lanes: None, places: as_params(nest) }
    }

    /// The same with its params in other places.
    pub fn at(self, places: Vec<Place>) -> Points<'n> {
        Points { places, ..self }
    }

    pub fn dtype(&self, v: Val) -> DType {
        self.dtypes[v as usize]
    }

    /// How far an access moves from point to point.
    fn step(&self, at: &Affine) -> i64 {
        self.lanes.map_or(0, |(axis, _)| at.strides[axis])
    }

    fn width(&self) -> usize {
        self.lanes.map_or(1, |(_, width)| width)
    }

    /// Whether the elements at the points are one aligned piece of memory.
    fn is_one_access(&self, at: &Affine) -> bool {
        let Some((axis, width)) = self.lanes else { return false };
        let others = at.strides.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, s)| s);
        at.strides[axis] == 1 && others.chain([&at.offset]).all(|x| x % width as i64 == 0)
    }

    /// The array of a param, and where the first of the points is in it.
    fn element(&self, b: &mut Build, param: u32, first: Reg) -> (Memory, Reg) {
        let (memory, begin) = self.places[param as usize];
        (memory, begin.map_or(first, |begin| b.binary(Binary::Add, begin, first)))
    }

    /// Where the first of the points is.
    fn first(&self, b: &mut Build, at: &Affine, index: &[Reg]) -> Reg {
        let mut at = at.clone();
        if let Some((axis, _)) = self.lanes {
            at.strides[axis] = 0;
        }
        b.affine(&at, index)
    }

    /// Adds the values of the instructions `range`, at the points that begin at `index`.
    pub fn evaluate(&self, b: &mut Build, index: &[Reg], accs: &[Lanes], range: Range<usize>, values: &mut Values) {
        self.evaluate_with(b, index, accs, range, values, &HashMap::new());
    }

    /// As [`Points::evaluate`], with the values of some instructions known.
    pub fn evaluate_with(
        &self,
        b: &mut Build,
        index: &[Reg],
        accs: &[Lanes],
        range: Range<usize>,
        values: &mut Values,
        known: &HashMap<usize, Reg>,
    ) {
        let mut positions: HashMap<&Affine, Reg> = HashMap::new();
        values.resize(range.start, smallvec![]);
        for v in range {
            let lanes = match self.nest.inst(v as Val) {
                _ if known.contains_key(&v) => smallvec![known[&v]],
                Inst::Load { param, at } => {
                    let first = *positions.entry(at).or_insert_with(|| self.first(b, at, index));
                    let (from, first) = self.element(b, *param, first);
                    if self.is_one_access(at) {
                        b.loads(from, first, self.width())
                    } else {
                        self.apart(at, |k| {
                            let at = b.plus(first, k);
                            b.load(from, at)
                        })
                    }
                }
                Inst::Index { dtype, at } => {
                    let first = *positions.entry(at).or_insert_with(|| self.first(b, at, index));
                    self.apart(at, |k| {
                        let at = b.plus(first, k);
                        b.number(at, *dtype)
                    })
                }
                Inst::Acc(i) => accs[*i as usize].clone(),
                inst => {
                    let operands: SmallVec<[Lanes; 4]> =
                        inst.operands().iter().map(|&o| values[o as usize].clone()).collect();
                    let count = operands.iter().map(|o| o.len()).max().unwrap_or(1);
                    let scalar = |k: usize| {
                        let at = |i: usize| operands[i][k.min(operands[i].len() - 1)];
                        Source::Scalar(with_operands(inst, at))
                    };
                    (0..count).map(|k| b.set(self.dtypes[v], scalar(k))).collect()
                }
            };
            values.push(lanes);
        }
    }

    /// One register where all points share it, else one for each, made from how far the point is from the first.
    fn apart(&self, at: &Affine, mut make: impl FnMut(i64) -> Reg) -> Lanes {
        match self.step(at) {
            0 => smallvec![make(0)],
            step => (0..self.width() as i64).map(|k| make(k * step)).collect(),
        }
    }

    /// Writes what the nest stores at the points that begin at `index`.
    pub fn store(&self, b: &mut Build, index: &[Reg], values: &Values) {
        for Store { param, value, at } in &self.nest.stores {
            let first = self.first(b, at, index);
            let (to, first) = self.element(b, *param, first);
            let of = |k: usize| values[*value as usize][k.min(values[*value as usize].len() - 1)];
            if self.is_one_access(at) {
                let values = (0..self.width()).map(of).collect();
                b.push(Stmt::Store { to, at: first, values });
                continue;
            }
            for k in 0..self.width() {
                let at = b.plus(first, k as i64 * self.step(at));
                b.store(to, at, of(k));
            }
        }
    }
}

/// The same instruction on other operands, by their positions.
fn with_operands(inst: &Inst, of: impl Fn(usize) -> Reg) -> Inst {
    match inst {
        Inst::Unary(op, _) => Inst::Unary(*op, of(0)),
        Inst::Binary(op, ..) => Inst::Binary(*op, of(0), of(1)),
        Inst::Compare(op, ..) => Inst::Compare(*op, of(0), of(1)),
        Inst::Select(..) => Inst::Select(of(0), of(1), of(2)),
        Inst::Convert(to, _) => Inst::Convert(*to, of(0)),
        Inst::Bitcast(to, _) => Inst::Bitcast(*to, of(0)),
        Inst::Threefry(lane, _) => Inst::Threefry(*lane, [of(0), of(1), of(2), of(3)]),
        Inst::Const(_) | Inst::Load { .. } | Inst::Index { .. } | Inst::Acc(_) => inst.clone(),
    }
}

/// What the reductions of a nest have come to in a thread.
pub(super) struct Accumulators<'n> {
    nest: &'n LoopNest,
    registers: Vec<Reg>,
}

impl<'n> Accumulators<'n> {
    /// Of nothing yet.
    pub fn new(b: &mut Build, code: &Points<'n>) -> Accumulators<'n> {
        let nest = code.nest;
        let start = |r: &Reduction| b.constant(identity(r.kind, code.dtype(r.value)));
        Accumulators { nest, registers: nest.reductions.iter().map(start).collect() }
    }

    /// One register a reduction.
    pub fn registers(&self) -> &[Reg] {
        &self.registers
    }

    /// Combines a value into accumulator `k`.
    pub fn combine(&self, b: &mut Build, k: usize, x: Reg) {
        let acc = self.registers[k];
        let sum = b.binary(combiner(self.nest.reductions[k].kind), acc, x);
        b.assign(acc, sum);
    }

    /// Combines what `width` points give.
    pub fn add(&self, b: &mut Build, values: &Values, width: usize) {
        for (k, r) in self.nest.reductions.iter().enumerate() {
            let x = &values[r.value as usize];
            (0..width).for_each(|lane| self.combine(b, k, x[lane.min(x.len() - 1)]));
        }
    }

    /// Combines those of as many neighbouring threads of a warp, a power of two; each then has the result.
    pub fn exchange(&self, b: &mut Build, threads: u32) {
        let mut xor = threads;
        while xor > 1 {
            xor /= 2;
            for (k, &acc) in self.registers.iter().enumerate() {
                let other = b.set(b.dtype(acc), Source::Exchange { of: acc, xor });
                self.combine(b, k, other);
            }
        }
    }

    /// As the values that an epilogue reads.
    pub fn results(&self) -> Vec<Lanes> {
        self.registers.iter().map(|&acc| smallvec![acc]).collect()
    }
}
