//! Loops that carry numbers: the other kernel IR, for loop bodies of scalars and short vectors.
//!
//! A [`Recurrence`] runs one list of scalar instructions a step. [`Inst::Acc`] is a carried number at the start of the
//! step, affine functions have one index, the number of the step. Arrays of the loop's body are taken apart into their
//! elements, so that the whole state of the loop lives in registers.
//!
//! What is true of every recurrence ([`Recurrence::dtypes`]):
//! 1. an instruction uses only earlier values, or carried numbers; operand dtypes fit as the op table says;
//! 2. a carried number keeps its dtype, which is that of the params it starts from and ends in;
//! 3. no access leaves its buffer; params that are written overlap no other.

use super::types::dtype_of_op;
use super::{Affine, Inst, Param, Store, Val};
use gradloom_ir::{DType, Error, Result};

/// A number carried from step to step.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Carried {
    /// Its type.
    pub dtype: DType,
    /// The param and the element it starts from.
    pub init: (u32, usize),
    /// The value it has after a step.
    pub next: Val,
    /// The param and the element it ends in.
    pub end: (u32, usize),
}

/// How many steps there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Steps {
    /// This many.
    Known(usize),
    /// As long as this value, one of the first `.1` instructions, holds at the start of a step.
    While(Val, usize),
}

/// A loop over scalar code with carried numbers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Recurrence {
    /// Name for dumps and profiles.
    pub name: String,
    /// The buffers, read ones and written ones.
    pub params: Vec<Param>,
    /// How often it runs.
    pub steps: Steps,
    /// Evaluated every step.
    pub body: Vec<Inst>,
    /// What goes from step to step.
    pub carried: Vec<Carried>,
    /// What a step writes.
    pub stores: Vec<Store>,
}

impl Recurrence {
    fn fail<T>(&self, what: String) -> Result<T> {
        Err(Error::internal("recurrence", format!("{}: {what}", self.name)))
    }

    /// The dtype of every value, and a check of what the module doc says.
    pub fn dtypes(&self) -> Result<Vec<DType>> {
        let mut known: Vec<DType> = Vec::with_capacity(self.body.len());
        for inst in &self.body {
            if let Some(v) = inst.operands().iter().find(|v| **v as usize >= known.len()) {
                return self.fail(format!("%{v} is used where it is not known"));
            }
            known.push(match inst {
                Inst::Const(literal) => literal.ty().dtype,
                Inst::Load { param, at } => {
                    self.check(*param, at)?;
                    self.params[*param as usize].dtype
                }
                Inst::Index { dtype, .. } => *dtype,
                Inst::Acc(k) => match self.carried.get(*k as usize) {
                    Some(c) => c.dtype,
                    None => return self.fail(format!("number {k} is not carried")),
                },
                inst => dtype_of_op(inst, &known)?,
            });
        }
        let of = |v: Val| known.get(v as usize).copied();
        for c in &self.carried {
            for (param, element) in [c.init, c.end] {
                self.check(param, &Affine { offset: element as i64, strides: [0].into_iter().collect() })?;
            }
            let fits = |p: u32| self.params[p as usize].dtype == c.dtype;
            if of(c.next) != Some(c.dtype) || !fits(c.init.0) || !fits(c.end.0) {
                return self.fail(format!("{c:?} changes its dtype"));
            }
        }
        for s in &self.stores {
            self.check(s.param, &s.at)?;
            if of(s.value) != Some(self.params[s.param as usize].dtype) {
                return self.fail(format!("%{} is stored as another dtype", s.value));
            }
        }
        if let Steps::While(v, head) = self.steps
            && (v as usize >= head || head > self.body.len() || of(v) != Some(DType::Bool))
        {
            return self.fail(format!("%{v} is no condition"));
        }
        Ok(known)
    }

    fn check(&self, param: u32, at: &Affine) -> Result<()> {
        let steps = match self.steps {
            Steps::Known(n) => n.max(1),
            // nothing is indexed by the step
            Steps::While(..) => 1,
        };
        let Some(p) = self.params.get(param as usize) else { return self.fail(format!("p{param} does not exist")) };
        let (low, high) = at.range(std::iter::once(steps));
        let moves = at.strides.len() != 1 || (at.strides[0] != 0 && matches!(self.steps, Steps::While(..)));
        if moves || low < 0 || high >= p.len as i128 {
            return self.fail(format!("p{param}[{at}] reaches {low}..={high} of {} elements", p.len));
        }
        Ok(())
    }
}
