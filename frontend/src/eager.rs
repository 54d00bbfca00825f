//! Running outside any transform: each op, or each transformed function, is a small program that is compiled once,
//! kept by its contents, and run.

use crate::debug::{nan_check_everywhere, with_nan_checks};
use crate::tensor::{Repr, Tensor};
use crate::trace::leaked;
use gradloom_backends::{Executable, compile};
use gradloom_ir::{Builder, Error, Graph, Literal, Loc, Op, Result};
use gradloom_passes::Pipeline;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// Compiled programs kept; when full, all are dropped (they are cheap to make again).
const CACHE_SIZE: usize = 4096;

static CACHE: LazyLock<Mutex<HashMap<Arc<Graph>, Arc<Executable>>>> = LazyLock::new(Mutex::default);

fn compiled(g: &Arc<Graph>) -> Result<Arc<Executable>> {
    if g.calls_host() || nan_check_everywhere() {
        // functions of the host are new each time, and keeping them would keep what they hold
        let mut program = if nan_check_everywhere() { with_nan_checks(g)? } else { (**g).clone() };
        Pipeline::standard().run(&mut program)?;
        return compile(&program).map(Arc::new);
    }
    let cache = || CACHE.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(exe) = cache().get(g) {
        return Ok(exe.clone());
    }
    let mut optimised = (**g).clone();
    Pipeline::standard().run(&mut optimised)?;
    let exe = Arc::new(compile(&optimised)?);
    let mut cache = cache();
    if cache.len() >= CACHE_SIZE {
        cache.clear();
    }
    cache.insert(g.clone(), exe.clone());
    Ok(exe)
}

/// Runs a program on concrete tensors.
pub(crate) fn run_graph(g: &Arc<Graph>, operands: &[Tensor], loc: &Loc) -> Result<Vec<Tensor>> {
    let exe = compiled(g).map_err(|e| e.at(loc))?;
    let mut buffers = SmallVec::<[_; 8]>::new();
    for t in operands {
        match t.repr() {
            Repr::Array(a) => buffers.push(a.buffer.clone()),
            Repr::Traced(t) => return Err(leaked(&t.ty).at(loc)),
            Repr::Error(e) => return Err((**e).clone()),
        }
    }
    let outs = exe.run(&buffers).map_err(|e| e.at(loc))?;
    Ok(g.outputs().iter().zip(outs).map(|(&v, b)| Tensor::from_buffer(g.ty(v).clone(), b)).collect())
}

/// Runs one op on concrete tensors.
pub(crate) fn run_op(op: Op, operands: &[&Tensor], loc: &Loc) -> Result<SmallVec<[Tensor; 2]>> {
    let mut b = Builder::new();
    b.set_loc(loc);
    let mut args = SmallVec::<[_; 4]>::new();
    let mut tensors = Vec::with_capacity(operands.len());
    for t in operands {
        if let Repr::Traced(t) = t.repr() {
            return Err(leaked(&t.ty).at(loc));
        }
        args.push(b.input(t.ty(), ""));
        tensors.push((*t).clone());
    }
    if let Op::HostCall { callback, results, .. } = &op {
        let args: Result<Vec<Literal>> = tensors.iter().map(Tensor::to_literal).collect();
        let outs = callback.call(&args?, results).map_err(|e| e.at(loc))?;
        return Ok(outs.iter().map(Tensor::from_literal).collect());
    }
    let results = b.emit(op, &args)?;
    let g = Arc::new(b.finish(&results)?);
    let outs = run_graph(&g, &tensors, loc)?;
    if outs.is_empty() {
        return Err(Error::internal("eager", "the op has no result"));
    }
    Ok(outs.into_iter().collect())
}
