//! Running outside any transform: each op, or each transformed function, is a small program that is compiled once,
//! kept by its contents, and run.

use crate::debug::{nan_check_everywhere, with_nan_checks};
use crate::device::{Arrays, Host, device_of};
use crate::tensor::{Repr, Tensor};
use crate::trace::leaked;
use gradloom_backends::{Device, Executable, compile_for};
use gradloom_ir::{Builder, Error, Graph, Literal, Loc, Op, Result};
use gradloom_passes::Pipeline;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// Compiled programs kept; when full, all are dropped (they are cheap to make again).
const CACHE_SIZE: usize = 4096;

static CACHE: LazyLock<Mutex<HashMap<(Arc<Graph>, Device), Arc<Executable>>>> = LazyLock::new(Mutex::default);

fn compiled(g: &Arc<Graph>, device: Device) -> Result<Arc<Executable>> {
    if g.calls_host() || nan_check_everywhere() {
        // functions of the host are new each time, and keeping them would keep what they hold
        let mut program = if nan_check_everywhere() { with_nan_checks(g)? } else { (**g).clone() };
        Pipeline::standard().run(&mut program)?;
        return compile_for(&program, device).map(Arc::new);
    }
    let cache = || CACHE.lock().unwrap_or_else(|e| e.into_inner());
    let key = (g.clone(), device);
    if let Some(exe) = cache().get(&key) {
        return Ok(exe.clone());
    }
    let mut optimised = (**g).clone();
    Pipeline::standard().run(&mut optimised)?;
    let exe = Arc::new(compile_for(&optimised, device)?);
    let mut cache = cache();
    if cache.len() >= CACHE_SIZE {
        cache.clear();
    }
    cache.insert(key, exe.clone());
    Ok(exe)
}

/// Runs a program on concrete tensors.
pub(crate) fn run_graph(g: &Arc<Graph>, operands: &[Tensor], loc: &Loc) -> Result<Vec<Tensor>> {
    let operands = operands.iter();
    let traced = operands.clone().find_map(|t| if let Repr::Traced(t) = t.repr() { Some(leaked(&t.ty)) } else { None });
    if let Some(e) = traced {
        return Err(e.at(loc));
    }
    let device = device_of("device", Host::GoesAlong, operands.clone()).map_err(|e| e.at(loc))?;
    let exe = compiled(g, device).map_err(|e| e.at(loc))?;
    let run = || {
        let operands = operands.map(|t| match device {
            Device::Cuda(_) => t.moved(device),
            _ => Ok(t.clone()),
        });
        Arrays::none(device).and(device, operands.collect::<Result<SmallVec<[Tensor; 8]>>>()?)?.run(&exe, None)
    };
    let outs = run().map_err(|e| e.at(loc))?;
    Ok(outs.tensors(g.outputs().iter().map(|&v| g.ty(v))).collect())
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
