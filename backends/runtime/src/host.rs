//! Calls of the host's functions: operands are copied out of the program's memory, results into it.

use crate::{Frame, Slot};
use gradloom_ir::{Callback, Error, Literal, Loc, Result, Type};

/// A host call of a program.
pub struct HostCall {
    /// The function.
    pub callback: Callback,
    /// Operands.
    pub args: Vec<(Slot, Type)>,
    /// Where results go.
    pub outs: Vec<Slot>,
    /// Their types.
    pub results: Vec<Type>,
    /// The user's line.
    pub loc: Loc,
}

impl HostCall {
    /// Calls the function on the calling thread, with no lock held.
    ///
    /// # Safety
    /// The slots are those of `frame`'s program, and set to memory of their types; the operands' memory is written.
    pub unsafe fn run(&self, frame: Frame) -> Result<()> {
        let mut args = Vec::with_capacity(self.args.len());
        for (slot, ty) in &self.args {
            // SAFETY: the slot holds a value of this type, written by an earlier step.
            let bytes = unsafe { std::slice::from_raw_parts(frame.get(*slot), ty.bytes()) }.to_vec();
            args.push(
                Literal::from_bytes(ty.clone(), bytes).ok_or_else(|| Error::internal("host_call", "bad operand"))?,
            );
        }
        let results = self.callback.call(&args, &self.results).map_err(|e| e.at(&self.loc))?;
        for (x, &slot) in results.iter().zip(&self.outs) {
            // SAFETY: `Callback::call` has checked the types, which are those of the slots.
            unsafe { frame.get(slot).copy_from_nonoverlapping(x.bytes().as_ptr(), x.bytes().len()) };
        }
        Ok(())
    }
}
