//! Loop nests that a user wrote as the code of an op of their own.

use super::{LoopNest, interpret};
use gradloom_ir::{Error, Literal, Primitive, Result, Type};

/// The loop nest of a user's op on operands of these types, checked; `None` if the op is computed otherwise.
///
/// # Errors
/// What the op's rule returns, or what is wrong with the nest.
pub fn of_primitive(primitive: &Primitive, args: &[Type]) -> Result<Option<LoopNest>> {
    let Some(kernel) = primitive.kernel(args)? else { return Ok(None) };
    let nest = kernel.downcast::<LoopNest>().map_err(|_| {
        Error::user(primitive.name(), "its kernel is nothing that the CPU understands").help("return a `LoopNest`")
    })?;
    check(&nest, args, &primitive.infer(args)?).map_err(|e| Error::user(primitive.name(), e.message()))?;
    nest.widen_halves().map(Some)
}

/// What a loop nest computes of these operands, by the interpreter of loop nests.
///
/// # Errors
/// What is wrong with the nest.
pub fn evaluate(nest: &LoopNest, args: &[Literal], results: &[Type]) -> Result<Vec<Literal>> {
    let types: Vec<Type> = args.iter().map(|a| a.ty().clone()).collect();
    check(nest, &types, results)?;
    let nest = nest.clone().widen_halves()?;
    let mut buffers: Vec<Vec<u8>> = args.iter().map(|a| a.bytes().to_vec()).collect();
    buffers.extend(results.iter().map(|t| vec![0; t.bytes()]));
    interpret(&nest, &mut buffers.iter_mut().map(|b| &mut b[..]).collect::<Vec<_>>())?;
    let made = buffers.into_iter().skip(args.len()).zip(results);
    let made: Option<Vec<Literal>> = made.map(|(bytes, t)| Literal::from_bytes(t.clone(), bytes)).collect();
    made.ok_or_else(|| Error::internal("loop nest", "a result has lost its type"))
}

/// A nest that anybody may have written: sound by itself, of these params, and every element of each result is written.
fn check(nest: &LoopNest, args: &[Type], results: &[Type]) -> Result<()> {
    let fail = |what: String| Err(Error::user("loop nest", format!("kernel {}: {what}", nest.name)));
    let due = || args.iter().chain(results);
    let params = nest.params.iter().map(|p| (p.dtype, p.len));
    if !params.eq(due().map(|t| (t.dtype, t.numel()))) {
        return fail(format!("its params {:?} are not the operands {args:?} and results {results:?}", nest.params));
    }
    if let Some(t) = due().find(|t| t.dtype.is_complex()) {
        return fail(format!("there is {t}, but kernels compute on real numbers"));
    }
    nest.verify()?;
    let points: usize = nest.axes.iter().filter(|a| !a.reduce).map(|a| a.extent).product();
    for (i, t) in results.iter().enumerate() {
        // no element is stored twice, so that as many points as elements leave none out
        let stores = nest.stores.iter().filter(|s| s.param as usize == args.len() + i).count();
        if stores.checked_mul(points) != Some(t.numel()) {
            return fail(format!(
                "{stores} stores at {points} points do not write the {} elements of result {i}",
                t.numel()
            ));
        }
    }
    match nest.stores.iter().find(|s| (s.param as usize) < args.len()) {
        Some(s) => fail(format!("it writes operand {}", s.param)),
        None => Ok(()),
    }
}
