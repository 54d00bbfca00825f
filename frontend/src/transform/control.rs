//! Control flow inside programs: scan, loops, branches.

use crate::tensor::{Tensor, apply_n};
use crate::trace::{Program, TracedFn, fill, fill_error, template, trace, trace_with};
use crate::tree::{Tree, same_structure};
use gradloom_ir::{Builder, DType, Error, Graph, Loc, Op, Result, Type, Value};
use std::sync::Arc;

/// Checks that a loop's carry keeps structure and types.
fn check_carry<C: Tree>(op: &str, before: &C, after: &C) -> Result<()> {
    let same = same_structure(op, before, after).is_ok();
    check_carry_leaves(op, same, [&before.leaves(), &after.leaves()], [&before.paths(), &after.paths()])
}

fn check_carry_leaves(op: &str, same: bool, [before, after]: [&[Tensor]; 2], paths: [&[String]; 2]) -> Result<()> {
    if !same {
        let what =
            format!("the carry changes its structure: it starts as {:?} and comes back as {:?}", paths[0], paths[1]);
        return Err(Error::user(op, what).help("return a carry of exactly the structure that came in"));
    }
    for ((b, a), path) in before.iter().zip(after).zip(paths[0]) {
        a.check()?;
        if b.ty_ref() != a.ty_ref() {
            let name = if path.is_empty() { "the carry".to_string() } else { format!("carry leaf `{path}`") };
            return Err(Error::user(
                op,
                format!("{name} changes its type: it starts as {} and comes back as {}", b.ty(), a.ty()),
            )
            .help(
                "give the initial carry the type the body returns, e.g. with `.to(dtype)` or `.broadcast_to(shape)`",
            ));
        }
    }
    Ok(())
}

/// What a scan goes over.
struct Rows {
    leaves: Vec<Tensor>,
    paths: Vec<String>,
    length: usize,
}

impl Rows {
    fn of(leaves: Vec<Tensor>, paths: Vec<String>, length: Option<usize>) -> Result<Rows> {
        let length = match (length, leaves.first()) {
            (Some(n), _) => n,
            (None, Some(x)) => *x.shape().first().ok_or_else(|| {
                Error::user("scan", format!("xs holds a scalar {}, which has no axis to scan over", x.ty()))
            })?,
            (None, None) => {
                let e = Error::user("scan", "xs has no leaves, so the number of steps is not known");
                return Err(e.help("use fori_loop"));
            }
        };
        Ok(Rows { leaves, paths, length })
    }

    /// A row of leaf `i`.
    fn row_type(&self, i: usize) -> Result<Type> {
        let t = &self.leaves[i];
        t.check()?;
        match t.shape().split_first() {
            Some((&n, rest)) if n == self.length => Ok(t.ty().with_shape(rest)),
            _ => Err(Error::user(
                "scan",
                format!(
                    "leaf `{}` of xs is {}, its leading axis should have length {}",
                    self.paths[i],
                    t.ty(),
                    self.length
                ),
            )),
        }
    }

    /// The last carry, and the stacked results, of a traced body.
    fn scan(&self, t: Program, init: Vec<Tensor>, reverse: bool, loc: &Loc) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
        let carry = init.len();
        let operands = t.operands([&init[..], &self.leaves].concat());
        let node = Op::Scan { body: Arc::new(t.graph), length: self.length, reverse, consts: t.captures.len(), carry };
        let mut outs = apply_n(node, &operands.iter().collect::<Vec<_>>(), loc)?.into_vec();
        let ys = outs.split_off(carry);
        Ok((outs, ys))
    }
}

fn scan_run<C: Tree, X: Tree, Y: Tree>(
    f: &impl Fn(&C, &X) -> (C, Y),
    init: &C,
    xs: &X,
    length: Option<usize>,
    reverse: bool,
    loc: &Loc,
) -> Result<(C, Y)> {
    let rows = Rows::of(xs.leaves(), xs.paths(), length)?;
    let carry = init.leaves();
    let t: TracedFn<(C, Y)> = trace_with(
        &(init.map(Tensor::clone), xs.map(Tensor::clone)),
        &mut |i, ty| match i.checked_sub(carry.len()) {
            None => Ok(ty.clone()),
            Some(k) => rows.row_type(k),
        },
        |(c, x)| f(c, x),
    )?;
    check_carry("scan", init, &t.out.0)?;
    let (outs, ys) = rows.scan(t.program, carry, reverse, loc)?;
    Ok((fill(&t.out.0, outs), fill(&t.out.1, ys)))
}

fn scan_or_error<C: Tree, X: Tree, Y: Tree>(
    f: impl Fn(&C, &X) -> (C, Y),
    init: &C,
    xs: &X,
    reverse: bool,
    loc: &Loc,
) -> (C, Y) {
    scan_run(&f, init, xs, None, reverse, loc).unwrap_or_else(|e| {
        let both = (init.map(Tensor::clone), xs.map(Tensor::clone));
        fill_error(&template(&both, |(c, x)| f(c, x)), e, loc)
    })
}

/// Runs `f(carry, row)` over the rows of `xs` from first to last; returns the last carry and the stacked results.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let xs = Tensor::from_slice([3], &[1.0f32, 2.0, 3.0]);
/// let (sum, running) = scan(|c: &Tensor, x: &Tensor| (c + x, c + x), &Tensor::from(0.0f32), &xs);
/// assert_eq!(sum.item::<f32>().unwrap(), 6.0);
/// assert_eq!(running.to_vec::<f32>().unwrap(), [1.0, 3.0, 6.0]);
/// ```
#[track_caller]
pub fn scan<C: Tree, X: Tree, Y: Tree>(f: impl Fn(&C, &X) -> (C, Y), init: &C, xs: &X) -> (C, Y) {
    scan_or_error(f, init, xs, false, &Loc::caller())
}

/// [`scan`] from the last row to the first; results stay at the position of their row.
#[track_caller]
pub fn scan_reverse<C: Tree, X: Tree, Y: Tree>(f: impl Fn(&C, &X) -> (C, Y), init: &C, xs: &X) -> (C, Y) {
    scan_or_error(f, init, xs, true, &Loc::caller())
}

/// Applies `f` to each row and stacks the results, one row after the other (see [`crate::vmap`] for all at once).
#[track_caller]
pub fn map<X: Tree, Y: Tree>(f: impl Fn(&X) -> Y, xs: &X) -> Y {
    scan_or_error(|(): &(), x: &X| ((), f(x)), &(), xs, false, &Loc::caller()).1
}

/// Runs `f(i, carry)` for `i` in `range` (i32). The trip count is static, so it differentiates in both modes.
#[track_caller]
pub fn fori_loop<C: Tree>(range: std::ops::Range<i32>, f: impl Fn(&Tensor, &C) -> C, init: &C) -> C {
    let loc = Loc::caller();
    let length = usize::try_from(i64::from(range.end) - i64::from(range.start)).unwrap_or(0);
    // the counter is part of the carry, so that no array of indices is stored
    let start = (crate::tensor::scalar_at(DType::I32, f64::from(range.start), &loc), init.map(Tensor::clone));
    let body = |(i, c): &(Tensor, C), (): &()| ((i + 1, f(i, c)), ());
    match scan_run(&body, &start, &(), Some(length), false, &loc) {
        Ok(((_, c), ())) => c,
        Err(e) => fill_error(init, e, &loc),
    }
}

/// Checks that a traced condition returns one bool scalar.
fn predicate(op: &str, g: &Graph) -> Result<()> {
    match g.output_types().as_slice() {
        [t] if t.rank() == 0 && t.dtype == DType::Bool => Ok(()),
        [t] => Err(Error::user(op, format!("the condition must return a bool scalar, it returns {t}"))
            .help("reduce it with `.all(..)` or `.any(..)`")),
        ts => {
            Err(Error::user(op, format!("the condition must return one bool scalar, it returns {} values", ts.len())))
        }
    }
}

/// The last carry of a loop of traced condition and body.
fn repeat(cond: Program, body: Program, init: Vec<Tensor>, loc: &Loc) -> Result<Vec<Tensor>> {
    let operands: Vec<Tensor> = cond.captures.iter().chain(&body.captures).cloned().chain(init).collect();
    let op = Op::While {
        cond: Arc::new(cond.graph),
        body: Arc::new(body.graph),
        cond_consts: cond.captures.len(),
        body_consts: body.captures.len(),
    };
    Ok(apply_n(op, &operands.iter().collect::<Vec<_>>(), loc)?.into_vec())
}

/// Runs `body` on the carry while `cond` of it holds.
///
/// Differentiable in both modes. In reverse mode the loop runs again to count its iterations, and states are computed
/// again from a fixed number of kept ones: where the number of iterations is known beforehand, [`scan`] and [`fori_loop`]
/// are faster.
///
/// ```
/// use gradloom_frontend::prelude::*;
/// // Newton's method for the square root
/// let root = |a: &Tensor| while_loop(
///     |x: &Tensor| (x.square() - a).abs().gt(1e-4),
///     |x: &Tensor| (x + a / x) * 0.5,
///     &Tensor::from(1.0),
/// );
/// let slope = grad(root)(&Tensor::from(9.0)).item::<f32>().unwrap();
/// assert!((slope - 1.0 / 6.0).abs() < 1e-4);
/// ```
#[track_caller]
pub fn while_loop<C: Tree>(cond: impl Fn(&C) -> Tensor, body: impl Fn(&C) -> C, init: &C) -> C {
    let loc = Loc::caller();
    let run = || -> Result<C> {
        let c = trace(init, &cond)?;
        predicate("while_loop", &c.program.graph)?;
        let b = trace(init, &body)?;
        check_carry("while_loop", init, &b.out)?;
        Ok(fill(init, repeat(c.program, b.program, init.leaves(), &loc)?))
    };
    run().unwrap_or_else(|e| fill_error(init, e, &loc))
}

/// One switch over traced branches, each given all branches' captures.
fn switch_run<A: Tree, B: Tree>(name: &str, index: &Tensor, branches: Vec<TracedFn<B>>, x: &A, loc: &Loc) -> Result<B> {
    let (programs, outs): (Vec<Program>, Vec<B>) = branches.into_iter().map(|b| (b.program, b.out)).unzip();
    let first = outs.first().ok_or_else(|| Error::user(name, "needs at least one branch"))?;
    for b in &outs[1..] {
        same_structure(name, first, b)?;
        same_types(name, &first.leaves(), &b.leaves(), &first.paths())?;
    }
    Ok(fill(first, choose(index, &programs, x.leaves(), loc)?))
}

fn same_types(name: &str, first: &[Tensor], other: &[Tensor], paths: &[String]) -> Result<()> {
    for ((l, r), path) in first.iter().zip(other).zip(paths) {
        if l.ty_ref() != r.ty_ref() {
            return Err(Error::user(name, format!("branches return {} and {} at `{path}`", l.ty(), r.ty()))
                .help("all branches must return the same types"));
        }
    }
    Ok(())
}

fn choose(index: &Tensor, branches: &[Program], leaves: Vec<Tensor>, loc: &Loc) -> Result<Vec<Tensor>> {
    let captures: Vec<Tensor> = branches.iter().flat_map(|b| b.captures.iter().cloned()).collect();
    let capture_types: Vec<_> = captures.iter().map(Tensor::ty).collect();
    let mut graphs = Vec::new();
    let mut before = 0;
    for t in branches {
        let n = t.captures.len();
        let types = [&capture_types[..], &t.graph.input_types()[n..]].concat();
        let (mut b, inputs) = Builder::with_inputs(&types);
        let args: Vec<Value> = inputs[before..before + n].iter().chain(&inputs[captures.len()..]).copied().collect();
        let outs = b.inline(&t.graph, &args)?;
        graphs.push(Arc::new(b.finish(&outs)?));
        before += n;
    }
    let operands: Vec<Tensor> = std::iter::once(index.clone()).chain(captures).chain(leaves).collect();
    Ok(apply_n(Op::Switch { branches: graphs }, &operands.iter().collect::<Vec<_>>(), loc)?.into_vec())
}

/// `pred ? on_true(x) : on_false(x)`; only the chosen branch runs (under `vmap` with a mapped `pred`, both).
#[track_caller]
pub fn cond<A: Tree, B: Tree>(pred: &Tensor, on_true: impl Fn(&A) -> B, on_false: impl Fn(&A) -> B, x: &A) -> B {
    let loc = Loc::caller();
    let run = || -> Result<B> {
        pred.check()?;
        if pred.ndim() != 0 || pred.dtype() != DType::Bool {
            return Err(Error::user("cond", format!("the predicate must be a bool scalar, it is {}", pred.ty()))
                .help("for an elementwise choice use `pred.select(a, b)`"));
        }
        switch_run("cond", &pred.to(DType::I32), vec![trace(x, &on_false)?, trace(x, &on_true)?], x, &loc)
    };
    run().unwrap_or_else(|e| fill_error(&template(x, &on_true), e, &loc))
}

/// `branches[index](x)`, the index (an integer scalar) clamped to the branches there are.
#[track_caller]
pub fn switch<A: Tree, B: Tree, const N: usize>(index: &Tensor, branches: [&dyn Fn(&A) -> B; N], x: &A) -> B {
    const { assert!(N > 0, "switch needs at least one branch") };
    let loc = Loc::caller();
    let run = || -> Result<B> {
        index.check()?;
        if index.ndim() != 0 || !index.dtype().is_int() {
            return Err(Error::user("switch", format!("the index must be an integer scalar, it is {}", index.ty())));
        }
        let traced: Result<Vec<TracedFn<B>>> = branches.iter().map(|f| trace(x, f)).collect();
        switch_run("switch", &index.to(DType::I32), traced?, x, &loc)
    };
    run().unwrap_or_else(|e| fill_error(&template(x, branches[0]), e, &loc))
}

/// All prefix combinations of the rows of `xs` under an associative `f` (which combines whole stacks of rows at
/// once), in a logarithmic number of steps (Blelloch 1990).
#[track_caller]
pub fn associative_scan<X: Tree>(f: impl Fn(&X, &X) -> X, xs: &X) -> X {
    let loc = Loc::caller();
    let leaves = xs.leaves();
    let Some(n) = leaves.first().map(|x| x.shape().first().copied().unwrap_or(0)) else { return xs.map(Tensor::clone) };
    if let Some(bad) = leaves.iter().find(|x| x.check().is_err() || x.shape().first() != Some(&n)) {
        let e = bad.check().err().unwrap_or_else(|| {
            Error::user("associative_scan", format!("leaf {} should have a leading axis of length {n}", bad.ty()))
        });
        return fill_error(xs, e, &loc);
    }
    prefix(&f, xs, n)
}

fn prefix<X: Tree>(f: &impl Fn(&X, &X) -> X, xs: &X, n: usize) -> X {
    if n < 2 {
        return xs.map(Tensor::clone);
    }
    let rows = |x: &X, from: usize, to: usize, step: usize| x.map(|t| t.slice_rows(from, to, step));
    let half = n / 2;
    // pairs (0,1), (2,3), ..: their prefixes are the odd positions
    let odd = prefix(f, &f(&rows(xs, 0, 2 * half, 2), &rows(xs, 1, 2 * half, 2)), half);
    // an even position is the odd prefix before it combined with its own row
    let evens = (n - 1) / 2;
    let even = f(&rows(&odd, 0, evens, 1), &rows(xs, 2, 2 + 2 * evens - evens.min(1), 2));
    let mut firsts = rows(xs, 0, 1, 1).leaves().into_iter();
    let (mut odd, mut even) = (odd.leaves().into_iter(), even.leaves().into_iter());
    xs.map_leaves(&mut |t| match (firsts.next(), odd.next(), even.next()) {
        (Some(first), Some(odd), Some(even)) => {
            let even = Tensor::concatenate(&[first, even], 0);
            Tensor::interleave_rows(&even, &odd, n)
        }
        _ => t.clone(),
    })
}
