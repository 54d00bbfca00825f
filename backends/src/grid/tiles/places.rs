//! Programs of places as registers of a thread.

use super::program::{Place, Program, Read};
use crate::grid::nest::{Points, Values};
use crate::grid::{Build, Memory, Reg};
use crate::kernel::{Inst, LoopNest};
use gradloom_ir::{DType, Value};
use smallvec::smallvec;
use std::collections::HashMap;
use std::ops::Range;

/// A program, and what it reads of the kernel's own.
pub(super) struct Evaluator<'a> {
    pub program: &'a Program,
    /// The kernel's arguments.
    pub args: &'a [Value],
    /// Finished sinks of the thread's place, by their nodes: f32.
    pub sinks: &'a [(usize, Reg)],
}

/// Where the params of the program's nest are.
fn points<'n>(program: &Program, nest: &'n LoopNest, args: &[Value]) -> Points<'n> {
    let dtypes = nest.dtypes().unwrap_or_default();
    let place = |p: usize| {
        let read = program.params.get(p).map(|&r| program.reads[r]);
        let param = match read {
            Some(Read::Array(v)) => args.iter().position(|&a| a == v).unwrap_or(0),
            // what is in registers is known, what would be stored is not
            _ => 0,
        };
        (Memory::Param(param as u32), None)
    };
    Points::of(nest, dtypes).at((0..nest.params.len()).map(place).collect())
}

/// The registers of instructions that are the same at all indices of the axes `along`, at the others of `index`.
pub(super) fn registers_of_rows(
    b: &mut Build,
    program: &Program,
    args: &[Value],
    index: &[Reg],
    along: Range<usize>,
) -> HashMap<usize, Reg> {
    let Some(nest) = &program.nest else { return HashMap::new() };
    let points = points(program, nest, args);
    let mut is_fixed: Vec<bool> = Vec::with_capacity(nest.body.len());
    let mut values: Values = Vec::new();
    for (v, inst) in nest.body.iter().enumerate() {
        let fixed = match inst {
            Inst::Load { param, at } => {
                let read = program.reads[program.params[*param as usize]];
                matches!(read, Read::Array(_)) && at.strides[along.clone()].iter().all(|&s| s == 0)
            }
            Inst::Index { at, .. } => at.strides[along.clone()].iter().all(|&s| s == 0),
            inst => inst.operands().iter().all(|&o| is_fixed[o as usize]),
        };
        is_fixed.push(fixed);
        if fixed {
            points.evaluate(b, index, &[], v..v + 1, &mut values);
        } else {
            values.push(smallvec![]);
        }
    }
    values.into_iter().enumerate().filter_map(|(v, lanes)| Some((v, *lanes.first()?))).collect()
}

impl Evaluator<'_> {
    /// The results at an index, where products have come to `score` (f32) and some instructions are known.
    pub fn results(
        &self,
        b: &mut Build,
        index: &[Reg],
        score: &dyn Fn(usize) -> Reg,
        fixed: &HashMap<usize, Reg>,
    ) -> Vec<Reg> {
        let in_register = |read: usize| match self.program.reads[read] {
            Read::Score(k) => Some(score(k)),
            Read::Sink(node) => self.sinks.iter().find(|(n, _)| *n == node).map(|(_, r)| *r),
            Read::Array(_) => None,
        };
        let mut values: Values = Vec::new();
        if let Some(nest) = &self.program.nest {
            let mut known = fixed.clone();
            for (v, inst) in nest.body.iter().enumerate() {
                match inst {
                    Inst::Load { param, .. } => {
                        if let Some(x) = in_register(self.program.params[*param as usize]) {
                            // a sum is rounded as where it is stored: other kernels have made sums of it so
                            let dtype = nest.params[*param as usize].dtype;
                            known.insert(v, b.converted(x, dtype));
                        }
                    }
                    // what is of 16 bits already
                    Inst::Convert(DType::F32, x) => {
                        if let Inst::Load { param, .. } = &nest.body[*x as usize]
                            && let read = self.program.params[*param as usize]
                            && matches!(self.program.reads[read], Read::Sink(_))
                            && let Some(x) = in_register(read)
                        {
                            known.insert(v, x);
                        }
                    }
                    _ => {}
                }
            }
            let points = points(self.program, nest, self.args);
            points.evaluate_with(b, index, &[], 0..nest.body.len(), &mut values, &known);
        }
        let result = |place: &Place| match place {
            Place::Computed(v) => values[*v as usize][0],
            Place::Read(read) => in_register(*read).unwrap_or(0),
        };
        self.program.results.iter().map(result).collect()
    }
}
