//! One point of the parallel loops: the reduce loops with their accumulators, the epilogue, the stores.

use super::emit::{Emitter, Held, LaneValues, Width};
use super::plan::is_native;
use crate::kernel::{Inst, Reduction, combiner, identity};
use cranelift_codegen::ir::{InstBuilder, Value};
use gradloom_ir::{Binary, DType, ReduceKind};
use smallvec::{SmallVec, smallvec};

/// The accumulators of one reduction. Lanes along a reduce axis keep one for each vector and, last, a scalar one.
type Accumulators = SmallVec<[Held; 4]>;

impl<'a> Emitter<'a> {
    /// What is done at each point of the parallel loops.
    pub fn point(&mut self) {
        let plan = self.plan;
        if plan.nest.parallel() < plan.nest.axes.len() {
            let start: Vec<Accumulators> = plan.nest.reductions.iter().map(|r| self.identities(r)).collect();
            let ended = if plan.nest.axes.iter().any(|a| a.extent == 0) {
                start
            } else {
                self.reduce_loop(plan.nest.parallel(), start)
            };
            self.acc = plan.nest.reductions.iter().zip(ended).map(|(r, acc)| self.finished(r, acc)).collect();
            self.epilogue();
        }
        self.stores();
    }

    fn dtype_of(&self, r: &Reduction) -> DType {
        self.plan.dtypes[r.value as usize]
    }

    /// None at all for a reduction nothing is made of.
    fn identities(&mut self, r: &Reduction) -> Accumulators {
        let plan = self.plan;
        if !plan.used[r.value as usize] {
            return Accumulators::new();
        }
        let dtype = self.dtype_of(r);
        let one = self.constant(&identity(r.kind, dtype));
        let wide = |e: &mut Self| {
            if is_native(dtype, plan.lanes) {
                let vector = e.as_vector(dtype, &Held::Uniform(one));
                Held::Vector(vector)
            } else {
                Held::Lanes(smallvec![one; plan.lanes])
            }
        };
        if plan.is_row() {
            return (0..plan.unroll).map(|_| wide(self)).chain([Held::Uniform(one)]).collect();
        }
        match self.width {
            Width::Vectors(n) if plan.varying[r.value as usize] => (0..n).map(|_| wide(self)).collect(),
            _ => smallvec![Held::Uniform(one)],
        }
    }

    fn reduce_loop(&mut self, depth: usize, accs: Vec<Accumulators>) -> Vec<Accumulators> {
        if depth == self.plan.nest.axes.len() {
            return self.accumulated(accs);
        }
        let shape = accs.clone();
        let carried = flatten(&accs);
        let ended = self.full_loop(depth, carried, &mut |e, carried| {
            e.values(depth + 1);
            let accs = e.reduce_loop(depth + 1, rebuild(&shape, &carried));
            flatten(&accs)
        });
        rebuild(&shape, &ended)
    }

    /// The accumulators after one more iteration of the innermost loop.
    fn accumulated(&mut self, mut accs: Vec<Accumulators>) -> Vec<Accumulators> {
        let plan = self.plan;
        let used = plan.nest.reductions.iter().zip(&mut accs).filter(|(_, acc)| !acc.is_empty());
        for (r, acc) in used {
            let updated = match self.width {
                Width::Scalar => acc.len() - 1..acc.len(),
                Width::Vectors(n) if plan.is_row() => 0..n,
                Width::Vectors(_) => 0..acc.len(),
            };
            for u in updated {
                acc[u] = self.accumulate(r, &acc[u].clone(), u);
            }
        }
        accs
    }

    fn accumulate(&mut self, r: &Reduction, acc: &Held, u: usize) -> Held {
        let dtype = self.dtype_of(r);
        if let (Inst::Binary(Binary::Mul, x, y), ReduceKind::Sum, true, true) =
            (self.plan.nest.inst(r.value), r.kind, dtype.is_float(), self.has_fma)
        {
            match acc {
                Held::Uniform(acc) => {
                    let (x, y) = (self.uniform(*x), self.uniform(*y));
                    return Held::Uniform(self.b.ins().fma(x, y, *acc));
                }
                Held::Vector(acc) => {
                    let (x, y) = (self.vector(*x, u), self.vector(*y, u));
                    return Held::Vector(self.b.ins().fma(x, y, *acc));
                }
                Held::Lanes(_) => {}
            }
        }
        let value = self.held(r.value, u).clone();
        self.combine(r.kind, dtype, acc, &value)
    }

    /// Two accumulators, or an accumulator and a value, as one accumulator held like the first.
    fn combine(&mut self, kind: ReduceKind, dtype: DType, acc: &Held, value: &Held) -> Held {
        let op = combiner(kind);
        match acc {
            Held::Uniform(x) => match value {
                Held::Uniform(y) => Held::Uniform(self.binary(op, dtype, *x, *y)),
                other => unreachable!("a scalar accumulator meets {other:?}"),
            },
            Held::Vector(x) => {
                let y = self.as_vector(dtype, value);
                if let Some(z) = self.vector_binary(op, dtype, *x, y) {
                    return Held::Vector(z);
                }
                let results = self.combine_lanes(op, dtype, acc, value);
                self.assemble(dtype, results)
            }
            Held::Lanes(_) => Held::Lanes(self.combine_lanes(op, dtype, acc, value)),
        }
    }

    fn combine_lanes(&mut self, op: Binary, dtype: DType, acc: &Held, value: &Held) -> LaneValues {
        let (x, y) = (self.as_lanes(dtype, acc), self.as_lanes(dtype, value));
        x.into_iter().zip(y).map(|(x, y)| self.binary(op, dtype, x, y)).collect()
    }

    /// What the epilogue sees: along a reduce axis all lanes of all vectors combine to one scalar.
    fn finished(&mut self, r: &Reduction, mut acc: Accumulators) -> Accumulators {
        if !self.plan.is_row() || acc.is_empty() {
            return acc;
        }
        let dtype = self.dtype_of(r);
        let rest = acc.pop().expect("lanes along a reduce axis keep a scalar accumulator");
        while acc.len() > 1 {
            let half = acc.len() / 2;
            acc = (0..half).map(|u| self.combine(r.kind, dtype, &acc[u], &acc[u + half])).collect();
        }
        let mut lanes = self.as_lanes(dtype, &acc[0]);
        let op = combiner(r.kind);
        while lanes.len() > 1 {
            let half = lanes.len() / 2;
            lanes = (0..half).map(|i| self.binary(op, dtype, lanes[i], lanes[i + half])).collect();
        }
        let all = self.combine(r.kind, dtype, &rest, &Held::Uniform(lanes[0]));
        smallvec![all]
    }
}

/// All SSA values of the accumulators, in a fixed order.
fn flatten(accs: &[Accumulators]) -> Vec<Value> {
    let mut out = Vec::new();
    for held in accs.iter().flatten() {
        match held {
            Held::Uniform(x) | Held::Vector(x) => out.push(*x),
            Held::Lanes(values) => out.extend(values),
        }
    }
    out
}

/// The inverse of `flatten` for accumulators held as those of `shape`.
fn rebuild(shape: &[Accumulators], values: &[Value]) -> Vec<Accumulators> {
    let mut values = values.iter().copied();
    let mut next = || values.next().expect("as many values as were flattened");
    shape
        .iter()
        .map(|acc| {
            acc.iter()
                .map(|held| match held {
                    Held::Uniform(_) => Held::Uniform(next()),
                    Held::Vector(_) => Held::Vector(next()),
                    Held::Lanes(lanes) => Held::Lanes(lanes.iter().map(|_| next()).collect()),
                })
                .collect()
        })
        .collect()
}
