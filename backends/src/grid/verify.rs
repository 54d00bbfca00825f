//! What is true of every grid kernel; the list is in the module doc of [`super`].

use super::{GridKernel, Memory, Reg, SHARED, Source, Stmt, WARP};
use crate::kernel::{Inst, Param, dtype_of_op};
use gradloom_ir::{DType, Error, Result};

impl GridKernel {
    /// Checks the invariants of the module doc.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn verify(&self) -> Result<()> {
        if self.threads == 0 || !self.threads.is_multiple_of(WARP) || self.threads > 1024 {
            return self.fail(format!("{} threads in a block", self.threads));
        }
        if self.shared_bytes() > SHARED {
            return self.fail(format!("{} bytes of shared memory", self.shared_bytes()));
        }
        self.block(&self.body)
    }

    pub(super) fn fail<T>(&self, what: String) -> Result<T> {
        Err(Error::internal("grid kernel", format!("{}: {what}", self.name)))
    }

    /// An array of the kernel, if there is one.
    pub(crate) fn array(&self, m: Memory) -> Option<&Param> {
        match m {
            Memory::Param(p) => self.params.get(p as usize),
            Memory::Shared(s) => self.shared.get(s as usize),
        }
    }

    fn dtype(&self, r: Reg) -> Result<DType> {
        match self.registers.get(r as usize) {
            Some(d) => Ok(*d),
            None => self.fail(format!("r{r} does not exist")),
        }
    }

    fn expect(&self, r: Reg, dtype: DType) -> Result<()> {
        match self.dtype(r)? {
            d if d == dtype => Ok(()),
            d => self.fail(format!("r{r} is {d}, not {dtype}")),
        }
    }

    fn access(&self, m: Memory, at: Reg, values: &[Reg]) -> Result<()> {
        let Some(array) = self.array(m) else { return self.fail(format!("{m:?} does not exist")) };
        if !matches!(self.dtype(at)?, DType::U32 | DType::U64) {
            return self.fail(format!("index r{at} is {}", self.dtype(at)?));
        }
        if !matches!(values.len(), 1 | 2 | 4 | 8 | 16) || values.len() * array.dtype.size() > 16.max(array.dtype.size())
        {
            return self.fail(format!("{} elements of {} are accessed at once", values.len(), array.dtype));
        }
        values.iter().try_for_each(|&v| self.expect(v, array.dtype))
    }

    fn block(&self, body: &[Stmt]) -> Result<()> {
        for s in body {
            match s {
                Stmt::Set(r, source) => {
                    let dtype = match source {
                        Source::Scalar(Inst::Const(c)) if c.ty().rank() == 0 => c.ty().dtype,
                        Source::Scalar(inst) => dtype_of_op(inst, &self.registers)?,
                        Source::Copy(from) => self.dtype(*from)?,
                        Source::Block | Source::Thread => DType::U32,
                        Source::Exchange { of, xor } if *xor < WARP => self.dtype(*of)?,
                        Source::Exchange { xor, .. } => return self.fail(format!("an exchange over {xor} threads")),
                    };
                    self.expect(*r, dtype)?;
                }
                Stmt::Load { to, from, at } => self.access(*from, *at, to)?,
                Stmt::Store { to, at, values } => self.access(*to, *at, values)?,
                Stmt::Atomic { to, at, value, .. } => self.access(*to, *at, &[*value])?,
                Stmt::For { counter, from, to, step, body } => {
                    let dtype = self.dtype(*counter)?;
                    [from, to, step].into_iter().try_for_each(|&r| self.expect(r, dtype))?;
                    if !matches!(dtype, DType::U32 | DType::U64) {
                        return self.fail(format!("r{counter} of dtype {dtype} counts"));
                    }
                    self.block(body)?;
                }
                Stmt::If { condition, then, otherwise } => {
                    self.expect(*condition, DType::Bool)?;
                    self.block(then)?;
                    self.block(otherwise)?;
                }
                Stmt::Multiply { sums, left, right } => {
                    let dtype = left.first().map_or(Ok(DType::F32), |&r| self.dtype(r))?;
                    let lengths = match dtype {
                        DType::F16 | DType::BF16 => (8, 4),
                        DType::F32 => (4, 2),
                        _ => return self.fail(format!("matrices of {dtype} are multiplied")),
                    };
                    if (left.len(), right.len()) != lengths {
                        return self.fail(format!(
                            "{} and {} elements of {dtype} are multiplied",
                            left.len(),
                            right.len()
                        ));
                    }
                    sums.iter().try_for_each(|&r| self.expect(r, DType::F32))?;
                    left.iter().chain(right).try_for_each(|&r| self.expect(r, dtype))?;
                }
                Stmt::Barrier => {}
            }
        }
        Ok(())
    }
}
