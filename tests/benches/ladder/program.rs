//! A program from a file as a workload: its step is made by gradloom's derivatives (`tests/jax/speed.py` runs many).

use crate::measure::{Workload, case, sum_of_squares};
use gradloom::prelude::*;
use gradloom::{Error, Result, io, stablehlo};
use std::path::Path;

/// A StableHLO program on the arrays "0", "1", .. of an `.npz`. With `differentiated` inputs its first result is a loss of
/// the first so many: the step is the loss, its gradients, and the parameters less a thousandth of those. The check is the
/// sum of squares of all results.
pub fn workload(file: &Path, inputs: &Path, differentiated: usize) -> Result<Box<dyn Workload>> {
    let program = stablehlo::load(file)?;
    let mut arrays = io::load_npz(inputs)?;
    let types = program.graph().input_types();
    let wrong = |what: String| Error::user("ladder", format!("{}: {what}", inputs.display()));
    let mut args = Vec::new();
    for (i, ty) in types.iter().enumerate() {
        let x = arrays.remove(&i.to_string()).ok_or_else(|| wrong(format!("there is no array \"{i}\"")))?;
        // halves are stored as f32
        let x = if ty.dtype.is_half() { x.to(ty.dtype) } else { x };
        x.check()?;
        args.push(x);
    }
    if differentiated > args.len() {
        return Err(wrong(format!("{differentiated} inputs to differentiate, the program has {}", args.len())));
    }
    if differentiated > 0 && program.graph().num_outputs() == 0 {
        return Err(Error::user("ladder", format!("{} has no result to differentiate", file.display())));
    }
    let data = args.split_off(differentiated);
    let step = move |(params, data): &(Vec<Tensor>, Vec<Tensor>)| {
        let all = |p: &Vec<Tensor>| program.call(&[&p[..], data].concat());
        if params.is_empty() {
            return all(params);
        }
        let (loss, grads) = value_and_grad(|p: &Vec<Tensor>| all(p).swap_remove(0))(params);
        let stepped = params.iter().zip(&grads).map(|(p, g)| p - g * 1e-3);
        [loss].into_iter().chain(stepped).collect()
    };
    Ok(case((args, data), step, |out: &Vec<Tensor>| out.iter().map(|x| sum_of_squares(&x.abs().to(DType::F32))).sum()))
}
