//! What the regions of reductions, windows and scatters compute.

use super::super::syntax::Attr;
use super::{Call, Closure};
use gradloom_ir::eval::{ScalarOps, eval};
use gradloom_ir::{
    Binary, Builder, DType, Error, Graph, Literal, Op, ReduceKind, Result, Type, Unary, Value, with_element,
};
use gradloom_passes::{dead_code, transform};

/// A function of an accumulated value (or several) and a new one.
pub(super) enum Combiner {
    /// The first parameter.
    Left,
    /// The second parameter.
    Right,
    /// One of gradloom's reductions.
    Reduce(ReduceKind),
    /// The first parameter less the second.
    Difference,
    /// On pairs (value, index): the greater or lesser value, the lesser index among equals, NaN before all.
    Arg(ReduceKind),
    /// Anything else.
    General,
}

/// The error for a region that only gradloom's own combinations are done for. Whatever generalises them begins here.
pub(super) fn unsupported(c: &Call<'_, '_>, closure: &Closure) -> Error {
    let names: Vec<&str> = closure.graph.nodes().iter().map(|n| n.op.name()).collect();
    let what = if names.is_empty() { "a parameter".to_string() } else { names.join(", ") };
    c.unsupported(format!("unsupported combiner: {what}"))
}

fn kind_of(op: Binary) -> Option<ReduceKind> {
    match op {
        Binary::Add => Some(ReduceKind::Sum),
        Binary::Mul => Some(ReduceKind::Prod),
        Binary::Max => Some(ReduceKind::Max),
        Binary::Min => Some(ReduceKind::Min),
        Binary::And => Some(ReduceKind::And),
        Binary::Or => Some(ReduceKind::Or),
        _ => None,
    }
}

/// The region, or `applies stablehlo.add`, as a program, and what it computes.
pub(super) fn combiner(c: &mut Call<'_, '_>, region: usize) -> Result<(Combiner, Closure)> {
    let closure = match c.attr(&["applies"]) {
        Some(Attr::Word(name)) => applied(c, super::plain_name(name))?,
        _ => c.closure(region)?,
    };
    Ok((recognise(&closure), closure))
}

fn applied(c: &mut Call<'_, '_>, name: &str) -> Result<Closure> {
    let op = Binary::from_name(name).ok_or_else(|| c.unsupported(format!("unsupported combiner: {name}")))?;
    let init = *c.args.last().ok_or_else(|| c.error("takes an operand and an initial value"))?;
    let ty = Type::scalar(c.ty(init).dtype);
    let op = match (op, ty.dtype) {
        (Binary::Add, DType::Bool) => Binary::Or,
        (Binary::Mul, DType::Bool) => Binary::And,
        _ => op,
    };
    let (mut b, args) = Builder::with_inputs(&[ty.clone(), ty]);
    let y = b.binary(op, args[0], args[1]);
    Ok(Closure { graph: b.finish(&[y])?, captures: Vec::new() })
}

fn recognise(closure: &Closure) -> Combiner {
    let g = dead_code(&closure.graph);
    if !closure.captures.is_empty() {
        return Combiner::General;
    }
    if let Some(kind) = arg_kind(&g) {
        return Combiner::Arg(kind);
    }
    let (&[y], 2) = (g.outputs(), g.num_inputs()) else { return Combiner::General };
    let (left, right) = (Value::from_index(0), Value::from_index(1));
    if y == left {
        return Combiner::Left;
    }
    if y == right {
        return Combiner::Right;
    }
    if let [node] = g.nodes()
        && let Op::Binary(op) = node.op
    {
        let straight = node.args[..] == [left, right];
        let swapped = node.args[..] == [right, left];
        if op == Binary::Sub && straight {
            return Combiner::Difference;
        }
        if let (Some(kind), true) = (kind_of(op), straight || swapped) {
            return Combiner::Reduce(kind);
        }
    }
    Combiner::General
}

/// Whether a program only compares and selects, so that it is known once it is known on every order its parameters can have.
fn compares_and_selects(g: &Graph) -> bool {
    g.nodes().iter().all(|n| match &n.op {
        Op::Compare(_) | Op::Select {} => true,
        Op::Binary(Binary::And | Binary::Or | Binary::Xor) | Op::Unary(Unary::Not) => {
            g.ty(n.results[0]).dtype == DType::Bool
        }
        Op::Constant { value } => value.ty().dtype == DType::Bool,
        _ => false,
    })
}

/// Recognises `(x, i), (y, j)` to the winning pair. Every order of x and y (and NaN) with every order of i and j is tried.
fn arg_kind(g: &Graph) -> Option<ReduceKind> {
    let types = g.input_types();
    let [x, i, y, j] = &types[..] else { return None };
    let fits = x == y && i == j && i.dtype.is_int() && x.dtype != DType::Bool && g.num_outputs() == 2;
    if !fits || g.output_types() != [x.clone(), i.clone()] || !compares_and_selects(g) {
        return None;
    }
    let mut values = vec![1.0, 2.0];
    if x.dtype.is_float() {
        values.push(f64::NAN);
    }
    let agrees = |kind: ReduceKind, x0: f64, y0: f64, i0: f64, j0: f64| -> Option<bool> {
        let inputs = [(x, x0), (i, i0), (y, y0), (j, j0)].map(|(t, v)| Literal::scalar(t.dtype, v));
        let out = eval(g, &inputs).ok()?;
        let better = |a: f64, b: f64| match kind {
            ReduceKind::Max => a > b,
            _ => a < b,
        };
        let (value, index) = (out[0].get_f64(0), out[1].get_f64(0));
        if x0.is_nan() && y0.is_nan() {
            return Some(value.is_nan()); // the accumulated one, or that of lesser index: both are written
        }
        let left = x0.is_nan() || (!y0.is_nan() && (better(x0, y0) || (x0 == y0 && i0 <= j0)));
        let want = if left { (x0, i0) } else { (y0, j0) };
        Some((value == want.0 || (value.is_nan() && want.0.is_nan())) && index == want.1)
    };
    [ReduceKind::Max, ReduceKind::Min].into_iter().find(|&kind| {
        values.iter().all(|&x0| {
            values.iter().all(|&y0| {
                [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)].iter().all(|&(i0, j0)| agrees(kind, x0, y0, i0, j0) == Some(true))
            })
        })
    })
}

/// Recognises whether the left element of a window stays, being the greater or lesser or as great. NaN wins in
/// gradloom, whatever the region says of it.
pub(super) fn select_kind(closure: &Closure) -> Option<ReduceKind> {
    let g = dead_code(&closure.graph);
    let types = g.input_types();
    let [x, y] = &types[..] else { return None };
    let fits = closure.captures.is_empty() && x == y && x.rank() == 0;
    if !fits || g.output_types() != [Type::scalar(DType::Bool)] || !compares_and_selects(&g) {
        return None;
    }
    let stays = |x0: f64, y0: f64| {
        let out = eval(&g, &[Literal::scalar(x.dtype, x0), Literal::scalar(x.dtype, y0)]).ok()?;
        Some(out[0].get_f64(0) != 0.0)
    };
    match [stays(0.0, 1.0)?, stays(1.0, 0.0)?, stays(1.0, 1.0)?] {
        [false, true, true] => Some(ReduceKind::Max),
        [true, false, true] => Some(ReduceKind::Min),
        _ => None,
    }
}

/// The value that changes nothing.
pub(in super::super) fn identity(kind: ReduceKind, dtype: DType) -> Option<Literal> {
    with_element!(dtype, T => <T as ScalarOps>::identity(kind).map(|x| Literal::new(&[], &[x])))
}

/// `kind` as an op of two operands.
pub(in super::super) fn binary_of(kind: ReduceKind) -> Binary {
    match kind {
        ReduceKind::Sum => Binary::Add,
        ReduceKind::Prod => Binary::Mul,
        ReduceKind::Max => Binary::Max,
        ReduceKind::Min => Binary::Min,
        ReduceKind::And => Binary::And,
        ReduceKind::Or => Binary::Or,
    }
}

/// [`mapped`], of a region that takes and gives as many values as there are in `state`, and takes as many again.
pub(super) fn step(c: &Call<'_, '_>, closure: &Closure, state: &[Value], size: usize) -> Result<Graph> {
    let g = &closure.graph;
    let types: Vec<Type> = state.iter().map(|&v| Type::scalar(c.ty(v).dtype)).collect();
    let params = &g.input_types()[closure.captures.len()..];
    let fits = params.len() == 2 * types.len() && params[..types.len()] == types[..] && g.output_types() == types;
    if !fits {
        return Err(c.error(format!("the region should combine two times {} scalars into as many", types.len())));
    }
    mapped(closure, size)
}

/// A program on scalars as one on arrays of `size` elements; captures stay as they are.
pub(super) fn mapped(closure: &Closure, size: usize) -> Result<Graph> {
    let g = &closure.graph;
    if g.output_types().iter().chain(&g.input_types()[closure.captures.len()..]).any(|t| t.rank() != 0) {
        return Err(Error::limit("map", "a region that combines elements must take and return scalars"));
    }
    let batched: Vec<bool> = (0..g.num_inputs()).map(|i| i >= closure.captures.len()).collect();
    Ok(transform::batch(g, &batched, size, None, Some(&vec![true; g.num_outputs()]))?.graph)
}
