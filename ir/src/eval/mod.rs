//! The interpreter: what every op computes, plainly.
//!
//! Every faster path is measured against it. It evaluates node by node on row-major arrays; the functions of
//! single elements are in [`ScalarOps`], the f32 ones in [`crate::math`].
//!
//! Fixed here beyond the ops' own descriptions:
//! - floating sums, products and contractions accumulate one element after the other in row-major order, in their
//!   own dtype, starting from the identity;
//! - the greater of -0 and 0 is 0, the lesser -0; NaN beats both;
//! - an index vector of a gather or scatter that is too large for i64 counts as the largest.

mod contraction;
mod control;
mod elementwise;
mod indexing;
mod linalg;
mod reduction;
mod scalar;
mod shaping;
mod spectral;
mod strided;

pub use scalar::{ScalarOps, Wide, threefry2x32};

use crate::{Error, Graph, Literal, Op, Result, Type, Value, infer};

/// Runs a graph on the given inputs.
///
/// ```
/// use gradloom_ir::{Literal, eval::eval, parse};
/// let g = parse("graph(%0: f32[3]) { %1 = add(%0, %0) : f32[3] return %1 }").unwrap();
/// let out = eval(&g, &[Literal::new(&[3], &[1f32, 2.0, 3.0])]).unwrap();
/// assert_eq!(out[0].to_vec::<f32>().unwrap(), [2.0, 4.0, 6.0]);
/// ```
pub fn eval(g: &Graph, inputs: &[Literal]) -> Result<Vec<Literal>> {
    if inputs.len() != g.num_inputs() {
        return Err(Error::user("eval", format!("the program takes {} inputs, got {}", g.num_inputs(), inputs.len())));
    }
    for (v, x) in g.inputs().zip(inputs) {
        if x.ty() != g.ty(v) {
            return Err(Error::user("eval", format!("input {} should be {} but is {}", v.index(), g.ty(v), x.ty())));
        }
    }
    run(g, inputs.to_vec())
}

/// Computes one op on constant operands; `results` are the types [`infer`] gives.
pub fn eval_op(op: &Op, args: &[Literal], results: &[Type]) -> Result<Vec<Literal>> {
    let types: Vec<Type> = args.iter().map(|a| a.ty().clone()).collect();
    let inferred = infer(op, &types)?;
    if inferred[..] != *results {
        return Err(Error::internal(op.name(), format!("gives {inferred:?}, not {results:?}")));
    }
    apply(op, args, results)
}

/// The values that are still needed, and how often.
struct Live {
    values: Vec<Option<Literal>>,
    uses: Vec<u32>,
}

impl Live {
    fn set(&mut self, v: Value, x: Literal) {
        if self.uses[v.index()] > 0 {
            self.values[v.index()] = Some(x);
        }
    }

    /// The value for one of its uses; the last one takes it away.
    fn take(&mut self, v: Value) -> Result<Literal> {
        let i = v.index();
        self.uses[i] -= 1;
        let value = if self.uses[i] == 0 { self.values[i].take() } else { self.values[i].clone() };
        value.ok_or_else(|| Error::internal("eval", format!("{v} has no value")))
    }
}

/// Runs a graph on inputs of the right types, dropping each value after its last use.
fn run(g: &Graph, inputs: Vec<Literal>) -> Result<Vec<Literal>> {
    let mut live = Live { values: vec![None; g.num_values()], uses: g.use_counts().to_vec() };
    for (v, x) in g.inputs().zip(inputs) {
        live.set(v, x);
    }
    for node in g.nodes() {
        let args = node.args.iter().map(|&a| live.take(a)).collect::<Result<Vec<_>>>()?;
        let types: Vec<Type> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
        let results = apply(&node.op, &args, &types).map_err(|e| e.at(&node.loc))?;
        for (&r, x) in node.results.iter().zip(results) {
            live.set(r, x);
        }
    }
    g.outputs().iter().map(|&v| live.take(v)).collect()
}

/// One op on operands that passed [`infer`], with the result types it gave.
fn apply(op: &Op, args: &[Literal], results: &[Type]) -> Result<Vec<Literal>> {
    let bytes = results.iter().map(Type::bytes).sum();
    if Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
        return Err(Error::limit(op.name(), format!("no memory for results {results:?}, {bytes} bytes")));
    }
    let one = |x: Literal| Ok(vec![x]);
    if op.accumulates() && results.iter().any(|r| r.dtype.is_half()) {
        let wide = |x: &Literal| elementwise::convert(x, x.ty().dtype.accumulator());
        let wide_results: Vec<Type> = results.iter().map(|r| r.with_dtype(r.dtype.accumulator())).collect();
        let sums = apply(op, &args.iter().map(wide).collect::<Vec<_>>(), &wide_results)?;
        return Ok(sums.iter().zip(results).map(|(x, r)| elementwise::convert(x, r.dtype)).collect());
    }
    match op {
        Op::Unary(u) => one(elementwise::unary(*u, &args[0])?),
        Op::Binary(b) => one(elementwise::binary(*b, &args[0], &args[1])?),
        Op::Compare(c) => one(elementwise::compare(*c, &args[0], &args[1])?),
        Op::Select {} => one(elementwise::select(&args[0], &args[1], &args[2])),
        Op::Convert { dtype } => one(elementwise::convert(&args[0], *dtype)),
        Op::Bitcast { .. } => one(strided::literal(&results[0], args[0].bytes().to_vec())),
        Op::Threefry { lane } => one(elementwise::threefry(*lane, args)),
        Op::Constant { value } => one(value.clone()),
        Op::Iota { dtype, shape, axis } => one(shaping::iota(*dtype, shape, *axis)),
        Op::Broadcast { shape, dims } => one(shaping::broadcast(&args[0], shape, dims)),
        Op::Reshape { .. } => one(strided::literal(&results[0], args[0].bytes().to_vec())),
        Op::Transpose { perm } => one(shaping::transpose(&args[0], perm)),
        Op::Slice { start, stride, .. } => one(shaping::slice(&args[0], start, stride, &results[0])),
        Op::Pad { low, interior, .. } => one(shaping::pad(&args[0], &args[1], low, interior, &results[0])),
        Op::Concatenate { axis } => one(shaping::concatenate(args, *axis, &results[0])),
        Op::Reverse { axes } => one(shaping::reverse(&args[0], axes)),
        Op::DynamicSlice { .. } => one(indexing::dynamic_slice(args, &results[0])),
        Op::DynamicUpdateSlice {} => one(indexing::dynamic_update_slice(args)),
        Op::Gather { .. } => one(indexing::gather(op, &args[0], &args[1], &results[0])?),
        Op::Scatter { kind, .. } => one(indexing::scatter(op, *kind, &args[0], &args[1], &args[2])?),
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
            let axes = [lhs_batch, lhs_contract, rhs_batch, rhs_contract].map(|a| &a[..]);
            one(contraction::dot_general(&args[0], &args[1], axes, &results[0])?)
        }
        Op::Convolution { .. } => one(contraction::convolution(op, &args[0], &args[1])?),
        Op::Reduce { kind, axes } => one(reduction::reduce(*kind, &args[0], axes, &results[0])?),
        Op::ArgReduce { kind, axis } => one(reduction::arg_reduce(*kind, &args[0], *axis, &results[0])),
        Op::Cumulative { kind, axis, reverse } => one(reduction::cumulative(*kind, &args[0], *axis, *reverse)?),
        Op::ReduceWindow { kind, .. } => one(reduction::reduce_window(op, *kind, &args[0])?),
        Op::SelectAndGather { kind, .. } => one(reduction::select_and_gather(op, *kind, &args[0], &args[1])?),
        Op::SelectAndScatter { kind, .. } => one(reduction::select_and_scatter(op, *kind, &args[0], &args[1])?),
        Op::Sort { axis, num_keys } => Ok(reduction::sort(args, *axis, *num_keys)),
        Op::Fft { kind, lengths } => one(spectral::fft(*kind, lengths, &args[0], &results[0])?),
        Op::AllReduce { axis_name, .. } | Op::AxisIndex { axis_name } => {
            Err(Error::unmapped_axis(op.name(), axis_name))
        }
        Op::Barrier {} => Ok(args.to_vec()),
        Op::HostCall { callback, .. } => callback.call(args, results),
        Op::Custom { primitive } => primitive.eval(args),
        Op::Scan { body, length, reverse, consts, carry } => {
            control::scan(args, body, *length, *reverse, *consts, *carry, results)
        }
        Op::While { cond, body, cond_consts, body_consts } => {
            control::while_loop(args, cond, body, *cond_consts, *body_consts)
        }
        Op::Switch { branches } => control::switch(args, branches),
        Op::CustomJvp { primal, .. } | Op::CustomVjp { primal, .. } => run(primal, args.to_vec()),
        Op::CustomLinear { .. } => Err(Error::reverse_mode_only()),
        Op::Remat { body } => run(body, args.to_vec()),
        crate::linalg_ops!() => linalg::eval(op, args, results),
    }
}
