//! Functions with derivatives of the user's own, recomputation, and cutting derivatives off.

use crate::tensor::{Tensor, apply_n};
use crate::trace::{Program, fill, fill_error, template, trace};
use crate::tree::Tree;
use gradloom_ir::{Builder, DType, Error, Graph, Loc, Op, Result, Value};
use std::sync::Arc;

/// A graph over `captures.., own inputs..` that ignores the captures it does not use.
fn widen(g: &Graph, own: usize, before: usize, captures: &[Tensor]) -> Result<Graph> {
    let mut b = Builder::new();
    let all: Vec<Value> = captures.iter().map(|c| b.input(c.ty(), "")).collect();
    let rest: Vec<Value> = g.inputs().skip(own).map(|v| b.input(g.ty(v).clone(), "")).collect();
    let args: Vec<Value> = all[before..before + own].iter().chain(&rest).copied().collect();
    let outs = b.inline(g, &args)?;
    b.finish(&outs)
}

/// The results of a function with a pullback, all traced; `bwd` takes what `fwd` keeps, then cotangents.
fn with_vjp(p: Program, f: Program, b: Program, leaves: Vec<Tensor>, loc: &Loc) -> Result<Vec<Tensor>> {
    // what bwd captures becomes a residual that fwd hands over
    let captures: Vec<Tensor> = [&p.captures[..], &f.captures, &b.captures].concat();
    let primal = widen(&p.graph, p.captures.len(), 0, &captures)?;
    let fwd_graph = widen(&f.graph, f.captures.len(), p.captures.len(), &captures)?;
    let n_b = b.captures.len();
    let n_out = p.graph.num_outputs();
    let fwd_graph = {
        let (mut gb, inputs) = Builder::with_inputs(&fwd_graph.input_types());
        let outs = gb.inline(&fwd_graph, &inputs)?;
        let from = captures.len() - n_b;
        if outs.len() < n_out {
            return Err(Error::user("custom_vjp", "the forward rule returns fewer values than the function"));
        }
        let all = [&outs[..n_out], &inputs[from..captures.len()], &outs[n_out..]].concat();
        gb.finish(&all)?
    };
    let residuals = fwd_graph.num_outputs() - n_out;
    let consts = captures.len();
    let op =
        Op::CustomVjp { primal: Arc::new(primal), fwd: Arc::new(fwd_graph), bwd: Arc::new(b.graph), consts, residuals };
    let operands: Vec<Tensor> = captures.into_iter().chain(leaves).collect();
    Ok(apply_n(op, &operands.iter().collect::<Vec<_>>(), loc)?.into_vec())
}

/// A function with a reverse-mode rule of its own: `fwd(x)` gives the result and what `bwd(residuals, ct)` needs to
/// pull a cotangent of the result back to one of `x`.
///
/// Forward-mode derivatives of it are an error. A value the closures capture must not be differentiated.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let sqrt = custom_vjp(
///     |x: &Tensor| x.sqrt(),
///     |x: &Tensor| { let y = x.sqrt(); (y.clone(), y) },
///     |y: &Tensor, ct: &Tensor| ct / (y * 2.0),
/// );
/// assert_eq!(grad(sqrt)(&Tensor::from(4.0f32)).item::<f32>().unwrap(), 0.25);
/// ```
#[track_caller]
pub fn custom_vjp<A: Tree, B: Tree, R: Tree>(
    f: impl Fn(&A) -> B,
    fwd: impl Fn(&A) -> (B, R),
    bwd: impl Fn(&R, &B) -> A,
) -> impl Fn(&A) -> B {
    let loc = Loc::caller();
    move |x| {
        let run = || -> Result<B> {
            let p = trace(x, &f)?;
            let f = trace(x, &fwd)?;
            let pair = (f.out.1.map(Tensor::clone), f.out.0.map(Tensor::clone));
            let b = trace(&pair, |(r, ct)| bwd(r, ct))?;
            Ok(fill(&p.out, with_vjp(p.program, f.program, b.program, x.leaves(), &loc)?))
        };
        run().unwrap_or_else(|e| fill_error(&template(x, &f), e, &loc))
    }
}

/// The results of a function with a pushforward, both traced.
fn with_jvp(p: Program, r: Program, leaves: Vec<Tensor>, loc: &Loc) -> Result<Vec<Tensor>> {
    let captures: Vec<Tensor> = [&p.captures[..], &r.captures].concat();
    let op = Op::CustomJvp {
        primal: Arc::new(widen(&p.graph, p.captures.len(), 0, &captures)?),
        rule: Arc::new(widen(&r.graph, r.captures.len(), p.captures.len(), &captures)?),
        consts: captures.len(),
    };
    let operands: Vec<Tensor> = captures.into_iter().chain(leaves).collect();
    Ok(apply_n(op, &operands.iter().collect::<Vec<_>>(), loc)?.into_vec())
}

/// A function with a forward-mode rule of its own, from which reverse mode follows: `rule(x, dx)` gives the result and
/// its tangent, which must be linear in `dx`. A value the closures capture must not be differentiated.
#[track_caller]
pub fn custom_jvp<A: Tree, B: Tree>(f: impl Fn(&A) -> B, rule: impl Fn(&A, &A) -> (B, B)) -> impl Fn(&A) -> B {
    let loc = Loc::caller();
    move |x| {
        let run = || -> Result<B> {
            let p = trace(x, &f)?;
            let pair = (x.map(Tensor::clone), x.map(Tensor::clone));
            let r = trace(&pair, |(x, dx)| rule(x, dx))?;
            Ok(fill(&p.out, with_jvp(p.program, r.program, x.leaves(), &loc)?))
        };
        run().unwrap_or_else(|e| fill_error(&template(x, &f), e, &loc))
    }
}

/// The same function, but differentiation computes its intermediates again instead of keeping them (rematerialisation;
/// Griewank and Walther 2000).
#[track_caller]
pub fn checkpoint<A: Tree, B: Tree>(f: impl Fn(&A) -> B) -> impl Fn(&A) -> B {
    let loc = Loc::caller();
    move |x| {
        let run = || -> Result<B> {
            let t = trace(x, &f)?;
            let operands = t.program.operands(x.leaves());
            let op = Op::Remat { body: Arc::new(t.program.graph) };
            Ok(fill(&t.out, apply_n(op, &operands.iter().collect::<Vec<_>>(), &loc)?))
        };
        run().unwrap_or_else(|e| fill_error(&template(x, &f), e, &loc))
    }
}

/// The same values, with derivative zero.
#[track_caller]
pub fn stop_gradient<A: Tree>(x: &A) -> A {
    // float to bits and back: no derivative passes an integer
    x.map(constant)
}

#[track_caller]
fn constant(t: &Tensor) -> Tensor {
    let bits = match t.dtype() {
        DType::F16 | DType::BF16 => DType::I16,
        DType::F32 => DType::I32,
        DType::F64 => DType::I64,
        DType::C64 | DType::C128 => return Tensor::complex(&constant(&t.real()), &constant(&t.imag())),
        _ => return t.clone(),
    };
    t.bitcast(bits).bitcast(t.dtype())
}
