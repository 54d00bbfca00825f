//! Programs and arrays between files, graphs and the machine.

use gradloom_backends::{Buffer, Executable, compile_for};
use gradloom_frontend::{Device, Element, Tensor, stablehlo};
use gradloom_ir::{Error, Graph, Literal, Result, Type, parse, with_element};
use gradloom_passes::Pipeline;
use std::path::Path;
use std::sync::Arc;

/// A file's text.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io(format!("read {}", path.display()), &e))
}

/// A program of either language: StableHLO, or gradloom's own, which begins with `graph(`.
pub fn load(path: &Path) -> Result<Graph> {
    let text = read(path)?;
    let own = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with("//"));
    if own.is_some_and(|l| l.starts_with("graph(") || l.starts_with("graph (")) {
        parse(&text)
    } else {
        stablehlo::import_named(&text, &path.display().to_string())
    }
}

/// The program after the standard passes.
pub fn optimised(g: &Graph) -> Result<Graph> {
    let mut g = g.clone();
    Pipeline::standard().run(&mut g)?;
    Ok(g)
}

/// Optimises and compiles.
pub fn compile(g: &Graph, device: Device) -> Result<Executable> {
    compile_for(&optimised(g)?, device)
}

/// The array as a buffer to run on.
pub fn buffer(x: &Literal) -> Arc<Buffer> {
    Arc::new(Buffer::from_bytes(x.bytes()))
}

/// The array in a buffer.
pub fn literal(ty: &Type, b: &Buffer) -> Result<Literal> {
    Literal::from_bytes(ty.clone(), b.bytes().to_vec())
        .ok_or_else(|| Error::internal("run", format!("a buffer of {} bytes for {ty}", b.len())))
}

/// Runs on arrays.
pub fn run(exe: &Executable, inputs: &[Literal], types: &[Type]) -> Result<Vec<Literal>> {
    let args: Vec<Arc<Buffer>> = inputs.iter().map(buffer).collect();
    let outs = exe.run(&args)?;
    types.iter().zip(&outs).map(|(t, b)| literal(t, b)).collect()
}

/// The tensor's elements as an array.
pub fn to_literal(t: &Tensor) -> Result<Literal> {
    with_element!(t.dtype(), T => Ok(Literal::new(t.shape(), &t.to_vec::<T>()?)))
}

/// The array as a tensor.
pub fn to_tensor(x: &Literal) -> Tensor {
    fn typed<T: Element>(x: &Literal) -> Option<Tensor> {
        x.to_vec::<T>().map(|v| Tensor::from_slice(&x.ty().shape[..], &v))
    }
    with_element!(x.ty().dtype, T => typed::<T>(x).expect("the macro names the dtype's own type"))
}
