//! Derivatives: jvp, vjp, grad, jacobians.

use crate::tensor::{Tensor, apply, apply_graph};
use crate::trace::{Program, fill, fill_error, template, trace};
use crate::tree::{Tree, same_structure};
use gradloom_ir::{Builder, DType, Error, Graph, Loc, Op, Result, Shape, Type, Value};
use gradloom_passes::transform as passes;
use std::sync::Arc;

/// Which inputs of a traced function are differentiated: the arguments' float leaves.
fn active_inputs(t: &Program) -> Vec<bool> {
    (0..t.graph.num_inputs()).map(|i| i >= t.captures.len() && t.graph.types()[i].dtype.is_inexact()).collect()
}

/// Leaves of a cotangent or tangent tree, checked against the leaves they belong to.
fn matching_leaves<T: Tree>(op: &str, like: &T, given: &T) -> Result<Vec<Tensor>> {
    same_structure(op, like, given)?;
    of_same_types(op, &like.leaves(), given.leaves(), like.paths())
}

fn of_same_types(op: &str, like: &[Tensor], leaves: Vec<Tensor>, paths: Vec<String>) -> Result<Vec<Tensor>> {
    for ((l, g), path) in like.iter().zip(&leaves).zip(paths) {
        g.check()?;
        if l.ty_ref() != g.ty_ref() {
            let what = format!("leaf `{path}` should be {} but is {}", l.ty_ref(), g.ty_ref());
            return Err(Error::user(op, what).help("a tangent or cotangent has the type of the value it belongs to"));
        }
    }
    Ok(leaves)
}

/// Scatters the values of active positions; zeros elsewhere.
fn spread(b: &mut Builder, active: &[bool], types: &[Type], values: &[Value]) -> Vec<Value> {
    let mut values = values.iter();
    active
        .iter()
        .zip(types)
        .map(|(&a, t)| match a.then(|| values.next()).flatten() {
            Some(&v) => v,
            None => b.full(t, 0.0),
        })
        .collect()
}

/// Residuals and cotangents of all outputs to cotangents of the arguments' leaves.
fn pullback_graph(lin: &passes::Linearized, g: &Graph, active: &[bool], skip: usize) -> Result<Graph> {
    let linear: Vec<bool> = (0..lin.linear.num_inputs()).map(|i| i >= lin.residuals).collect();
    let t = passes::transpose(&lin.linear, &linear)?.graph;
    let residual_types = &lin.linear.types()[..lin.residuals];
    let out_types = g.output_types();
    let (mut b, inputs) = Builder::with_inputs(&[residual_types, &out_types].concat());
    let (res, cts) = inputs.split_at(lin.residuals);
    let active_cts = cts.iter().zip(&lin.active_outputs).filter(|(_, a)| **a).map(|(c, _)| *c);
    let args: Vec<Value> = res.iter().copied().chain(active_cts).collect();
    let pulled = b.inline(&t, &args)?;
    let outs = spread(&mut b, &active[skip..], &g.types()[skip..g.num_inputs()], &pulled);
    b.finish(&outs)
}

/// Results, residuals, and the graph that pulls cotangents back.
fn pullback(t: &Program, leaves: Vec<Tensor>, loc: &Loc) -> Result<(Vec<Tensor>, Vec<Tensor>, Arc<Graph>)> {
    let active = active_inputs(t);
    let lin = passes::linearize(&t.graph, &active)?;
    let pull = pullback_graph(&lin, &t.graph, &active, t.captures.len())?;
    let mut outs = apply_graph(&Arc::new(lin.primal), &t.operands(leaves), loc)?;
    let residuals = outs.split_off(t.graph.num_outputs());
    Ok((outs, residuals, Arc::new(pull)))
}

/// `f(x)` and the function that pulls a cotangent of the result back to a cotangent of `x`.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let x = Tensor::from(0.0f32);
/// let (y, pull) = vjp(|x: &Tensor| x.exp(), &x);
/// assert_eq!(pull(&y).item::<f32>().unwrap(), 1.0);
/// ```
#[track_caller]
pub fn vjp<A: Tree, B: Tree, F: Fn(&A) -> B>(f: F, x: &A) -> (B, impl Fn(&B) -> A + use<A, B, F>) {
    let loc = Loc::caller();
    let run = || -> Result<(B, Vec<Tensor>, Arc<Graph>)> {
        let t = trace(x, &f)?;
        let (outs, residuals, pull) = pullback(&t.program, x.leaves(), &loc)?;
        Ok((fill(&t.out, outs), residuals, pull))
    };
    let result = run();
    let y = match &result {
        Ok((y, ..)) => y.map(Tensor::clone),
        Err(e) => fill_error(&template(x, &f), e.clone(), &loc),
    };
    let state = result.map(|(y, residuals, pull)| (y.map(Tensor::clone), residuals, pull));
    let like = x.map(Tensor::clone);
    let pull = move |ct: &B| {
        let run = || -> Result<A> {
            let (y, residuals, pull) = state.as_ref().map_err(Clone::clone)?;
            let cts = matching_leaves("vjp", y, ct)?;
            Ok(fill(&like, apply_graph(pull, &[&residuals[..], &cts].concat(), &loc)?))
        };
        run().unwrap_or_else(|e| fill_error(&like, e, &loc))
    };
    (y, pull)
}

/// Results and their tangents.
fn pushforward(
    t: &Program,
    leaves: Vec<Tensor>,
    tangents: Vec<Tensor>,
    loc: &Loc,
) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
    let active = active_inputs(t);
    let force: Vec<bool> = vec![true; t.graph.num_outputs()];
    let j = passes::jvp(&t.graph, &active, Some(&force))?;
    let (mut b, inputs) = Builder::with_inputs(&j.graph.input_types());
    let outs = b.inline(&j.graph, &inputs)?;
    let n = t.graph.num_outputs();
    let tangent_outs = spread(&mut b, &j.active_outputs, &t.graph.output_types(), &outs[n..]);
    let g = b.finish(&[&outs[..n], &tangent_outs].concat())?;
    let mut args = t.operands(leaves);
    let skip = t.captures.len();
    args.extend(tangents.into_iter().zip(&active[skip..]).filter(|(_, a)| **a).map(|(t, _)| t));
    let mut outs = apply_graph(&Arc::new(g), &args, loc)?;
    let dy = outs.split_off(n);
    Ok((outs, dy))
}

/// `f(x)` and its directional derivative at `x` along `dx`.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let (y, dy) = jvp(|x: &Tensor| x * x, &Tensor::from(3.0f32), &Tensor::from(1.0f32));
/// assert_eq!((y.item::<f32>().unwrap(), dy.item::<f32>().unwrap()), (9.0, 6.0));
/// ```
#[track_caller]
pub fn jvp<A: Tree, B: Tree>(f: impl Fn(&A) -> B, x: &A, dx: &A) -> (B, B) {
    let loc = Loc::caller();
    let run = || -> Result<(B, B)> {
        let t = trace(x, &f)?;
        let tangents = matching_leaves("jvp", x, dx)?;
        let (outs, dy) = pushforward(&t.program, x.leaves(), tangents, &loc)?;
        Ok((fill(&t.out, outs), fill(&t.out, dy)))
    };
    run().unwrap_or_else(|e| {
        let y = fill_error(&template(x, &f), e, &loc);
        (y.map(Tensor::clone), y)
    })
}

/// The derivative of a program at a point.
struct Linear {
    residuals: Vec<Tensor>,
    graph: Arc<Graph>,
    /// Which of the arguments' leaves have tangents.
    active: Vec<bool>,
}

impl Linear {
    /// The program's results and its derivative.
    fn of(t: &Program, leaves: Vec<Tensor>, loc: &Loc) -> Result<(Vec<Tensor>, Linear)> {
        let active = active_inputs(t);
        let lin = passes::linearize(&t.graph, &active)?;
        let (mut b, inputs) = Builder::with_inputs(&lin.linear.input_types());
        let outs = b.inline(&lin.linear, &inputs)?;
        let outs = spread(&mut b, &lin.active_outputs, &t.graph.output_types(), &outs);
        let graph = Arc::new(b.finish(&outs)?);
        let mut outs = apply_graph(&Arc::new(lin.primal), &t.operands(leaves), loc)?;
        let residuals = outs.split_off(t.graph.num_outputs());
        Ok((outs, Linear { residuals, graph, active: active[t.captures.len()..].to_vec() }))
    }

    fn apply(&self, tangents: Vec<Tensor>, loc: &Loc) -> Result<Vec<Tensor>> {
        let tangents = tangents.into_iter().zip(&self.active).filter(|(_, a)| **a).map(|(t, _)| t);
        apply_graph(&self.graph, &self.residuals.iter().cloned().chain(tangents).collect::<Vec<_>>(), loc)
    }
}

/// `f(x)` and its derivative at `x` as a linear function of the tangent, which may be called many times.
#[track_caller]
pub fn linearize<A: Tree, B: Tree, F: Fn(&A) -> B>(f: F, x: &A) -> (B, impl Fn(&A) -> B + use<A, B, F>) {
    let loc = Loc::caller();
    let run = || -> Result<(B, Linear)> {
        let t = trace(x, &f)?;
        let (outs, linear) = Linear::of(&t.program, x.leaves(), &loc)?;
        Ok((fill(&t.out, outs), linear))
    };
    let (y, state) = match run() {
        Ok((y, state)) => (y, Ok(state)),
        Err(e) => (fill_error(&template(x, &f), e.clone(), &loc), Err(e)),
    };
    let template = y.map(Tensor::clone);
    let like = x.map(Tensor::clone);
    let push = move |dx: &A| {
        let run = || -> Result<B> {
            let linear = state.as_ref().map_err(Clone::clone)?;
            Ok(fill(&template, linear.apply(matching_leaves("linearize", &like, dx)?, &loc)?))
        };
        run().unwrap_or_else(|e| fill_error(&template, e, &loc))
    };
    (y, push)
}

/// One program for value (with auxiliary outputs) and gradient of a traced function whose first output is the value.
fn value_and_grad_graph(name: &str, t: &Program) -> Result<Graph> {
    let value = t.graph.outputs().first().ok_or_else(|| Error::user(name, "the function returns no tensor"))?;
    let ty = t.graph.ty(*value);
    if ty.rank() != 0 || !ty.dtype.is_float() {
        return Err(Error::user(name, format!("the function must return a float scalar, it returns {ty}"))
            .help("reduce the result with `.sum(..)` or `.mean(..)`, or use jacrev/vjp for other shapes"));
    }
    let active = active_inputs(t);
    let lin = passes::linearize(&t.graph, &active)?;
    let pull = pullback_graph(&lin, &t.graph, &active, t.captures.len())?;
    let mut b = Builder::new();
    let inputs: Vec<Value> =
        t.graph.inputs().map(|v| b.input(t.graph.ty(v).clone(), &t.graph.input_names()[v.index()])).collect();
    let outs = b.inline(&lin.primal, &inputs)?;
    let n = t.graph.num_outputs();
    let mut args = outs[n..].to_vec();
    for (i, ty) in t.graph.output_types().iter().enumerate() {
        args.push(b.full(ty, if i == 0 { 1.0 } else { 0.0 }));
    }
    let grads = b.inline(&pull, &args)?;
    b.finish(&[&outs[..n], &grads].concat())
}

/// The results of a program whose first is the value, and the value's gradient.
fn value_and_grad_of(name: &str, t: &Program, leaves: Vec<Tensor>, loc: &Loc) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
    let g = value_and_grad_graph(name, t)?;
    let mut outs = apply_graph(&Arc::new(g), &t.operands(leaves), loc)?;
    let grads = outs.split_off(t.graph.num_outputs());
    Ok((outs, grads))
}

fn value_and_grad_run<A: Tree, B: Tree>(name: &str, f: &impl Fn(&A) -> B, x: &A, loc: &Loc) -> Result<(B, A)> {
    let t = trace(x, f)?;
    let (outs, grads) = value_and_grad_of(name, &t.program, x.leaves(), loc)?;
    Ok((fill(&t.out, outs), fill(x, grads)))
}

/// The gradient of a function that returns a scalar. Leaves that are no floats get zeros.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let g = grad(|x: &Tensor| x.square().sum(..))(&Tensor::from_slice([2], &[1.0f32, 2.0]));
/// assert_eq!(g.to_vec::<f32>().unwrap(), [2.0, 4.0]);
/// ```
#[track_caller]
pub fn grad<A: Tree>(f: impl Fn(&A) -> Tensor) -> impl Fn(&A) -> A {
    let loc = Loc::caller();
    move |x| value_and_grad_run("grad", &f, x, &loc).map_or_else(|e| fill_error(x, e, &loc), |(_, g)| g)
}

/// [`grad`] of a function that also returns something else, returned beside the gradient.
#[track_caller]
pub fn grad_aux<A: Tree, X: Tree>(f: impl Fn(&A) -> (Tensor, X)) -> impl Fn(&A) -> (A, X) {
    let vg = value_and_grad_aux(f);
    move |x| {
        let ((_, aux), g) = vg(x);
        (g, aux)
    }
}

/// The value and the gradient of a function that returns a scalar.
#[track_caller]
pub fn value_and_grad<A: Tree>(f: impl Fn(&A) -> Tensor) -> impl Fn(&A) -> (Tensor, A) {
    let loc = Loc::caller();
    move |x| {
        value_and_grad_run("value_and_grad", &f, x, &loc)
            .unwrap_or_else(|e| (Tensor::failed(e.clone().at(&loc)), fill_error(x, e, &loc)))
    }
}

/// [`value_and_grad`] of a function that also returns something else: `((value, aux), gradient)`.
#[track_caller]
pub fn value_and_grad_aux<A: Tree, X: Tree>(f: impl Fn(&A) -> (Tensor, X)) -> impl Fn(&A) -> ((Tensor, X), A) {
    let loc = Loc::caller();
    move |x| {
        value_and_grad_run("value_and_grad", &f, x, &loc)
            .unwrap_or_else(|e| (fill_error(&template(x, &f), e.clone(), &loc), fill_error(x, e, &loc)))
    }
}

/// The Jacobian by forward mode, one pass an input element: shape of the result followed by shape of the argument.
#[track_caller]
pub fn jacfwd(f: impl Fn(&Tensor) -> Tensor) -> impl Fn(&Tensor) -> Tensor {
    let loc = Loc::caller();
    move |x| {
        // jvp rather than linearize: it also serves functions with a while_loop
        let columns = super::vmap(|dx: &Tensor| jvp(&f, x, dx).1)(&basis(x, &loc));
        if let Err(e) = columns.check() {
            return Tensor::failed(e.at(&loc));
        }
        // the input element counts along the front; it belongs at the back
        let perm: Shape = (1..columns.ndim()).chain([0]).collect();
        let out = columns.shape()[1..].to_vec();
        apply(Op::Transpose { perm }, &[&columns], &loc).reshape([&out[..], x.shape()].concat())
    }
}

/// The standard basis of the space of `x`: one tensor like `x` an element, along the front.
fn basis(x: &Tensor, loc: &Loc) -> Tensor {
    if let Err(e) = x.check() {
        return Tensor::failed(e);
    }
    let n = x.size();
    let count = |axis| apply(Op::Iota { dtype: DType::I32, shape: Shape::from_slice(&[n, n]), axis }, &[], loc);
    let (i, j) = (count(0), count(1));
    i.eq(&j).to(x.dtype()).reshape([&[n], x.shape()].concat())
}

/// The Jacobian by reverse mode, one pass an output element: shape of the result followed by shape of the argument.
#[track_caller]
pub fn jacrev(f: impl Fn(&Tensor) -> Tensor) -> impl Fn(&Tensor) -> Tensor {
    let loc = Loc::caller();
    move |x| {
        let (y, pull) = vjp(&f, x);
        if let Err(e) = y.check() {
            return Tensor::failed(e.at(&loc));
        }
        let rows = super::vmap(pull)(&basis(&y, &loc));
        rows.reshape([y.shape(), x.shape()].concat())
    }
}

/// The matrix of second derivatives of a function that returns a scalar: forward over reverse.
#[track_caller]
pub fn hessian(f: impl Fn(&Tensor) -> Tensor) -> impl Fn(&Tensor) -> Tensor {
    jacfwd(grad(f))
}
