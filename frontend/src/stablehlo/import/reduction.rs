//! Reductions, windows, maps.

use super::combine::{Combiner, binary_of, combiner, identity, mapped, select_kind, step, unsupported};
use super::{Call, Closure, Lower};
use gradloom_ir::{
    Binary, Builder, DType, Error, Literal, Op, ReduceKind, Result, Shape, Type, Unary, Value, Values, WindowGeometry,
};
use smallvec::smallvec;
use std::sync::Arc;

pub(super) const RULES: &[(&str, Lower)] =
    &[("reduce", reduce), ("reduce_window", reduce_window), ("select_and_scatter", select_and_scatter), ("map", map)];

/// Operands and initial values, of which there are as many, the operands in the dtype they are combined in.
fn operands(c: &mut Call<'_, '_>) -> Result<(Vec<Value>, Vec<Value>)> {
    let n = c.args.len() / 2;
    if n == 0 || !c.args.len().is_multiple_of(2) {
        return Err(c.error("takes operands and as many initial values"));
    }
    let inits = c.args.split_off(n);
    let mut xs = std::mem::take(&mut c.args);
    let shape = c.ty(xs[0]).shape;
    for (x, &init) in xs.iter_mut().zip(&inits) {
        let (tx, ti) = (c.ty(*x), c.ty(init));
        if tx.shape != shape || ti.rank() != 0 {
            return Err(c.error("operands must have one shape and initial values must be scalars"));
        }
        *x = c.b().convert(*x, ti.dtype);
    }
    Ok((xs, inits))
}

/// Whether the initial value changes nothing.
fn starts_neutral(c: &mut Call<'_, '_>, kind: ReduceKind, init: Value) -> bool {
    let dtype = c.ty(init).dtype;
    c.literal(init).is_some_and(|l| identity(kind, dtype) == Some(l))
}

fn reduce(c: &mut Call<'_, '_>) -> Result<Values> {
    let axes = c.shape(&["dimensions"])?;
    let (how, closure) = combiner(c, 0)?;
    let (xs, inits) = operands(c)?;
    let shape = c.result(0)?.shape;
    match (how, &xs[..]) {
        (Combiner::Reduce(kind), &[x]) => {
            let neutral = starts_neutral(c, kind, inits[0]);
            let y = if axes.is_empty() { x } else { c.node(Op::Reduce { kind, axes }, &[x])?[0] };
            if neutral {
                return Ok(smallvec![y]);
            }
            let init = c.b().broadcast(inits[0], &shape, &[]);
            Ok(smallvec![c.b().binary(binary_of(kind), init, y)])
        }
        (Combiner::Arg(kind), &[x, index]) if is_arg_reduce(c, kind, &axes, x, index, &inits) => {
            let dtype = c.ty(index).dtype;
            let best = c.node(Op::Reduce { kind, axes: axes.clone() }, &[x])?[0];
            let at = c.node(Op::ArgReduce { kind, axis: axes[0] }, &[x])?[0];
            Ok(smallvec![best, c.b().convert(at, dtype)])
        }
        _ => fold(c, &closure, &xs, &inits, &axes),
    }
}

/// Whether the second operand counts along the one axis, the axis is not empty, and the initial pair never wins.
fn is_arg_reduce(
    c: &mut Call<'_, '_>,
    kind: ReduceKind,
    axes: &[usize],
    x: Value,
    index: Value,
    inits: &[Value],
) -> bool {
    let &[axis] = axes else { return false };
    let counts = |b: &Builder, v: Value| {
        let node = b.nodes().iter().rev().find(|n| n.results.contains(&v));
        match node.map(|n| (&n.op, &n.args[..])) {
            Some((Op::Iota { axis: along, .. }, _)) => *along == axis,
            Some((Op::Broadcast { dims, .. }, &[row])) => {
                let row = b.nodes().iter().rev().find(|n| n.results.contains(&row));
                matches!(row.map(|n| &n.op), Some(Op::Iota { shape, .. }) if shape.len() == 1 && dims[..] == [axis])
            }
            _ => false,
        }
    };
    let length = c.ty(x).shape.get(axis).copied().unwrap_or(0);
    let first = c.literal(inits[1]).is_some_and(|l| l.is_all(0.0));
    length > 0 && first && starts_neutral(c, kind, inits[0]) && counts(c.b(), index)
}

/// One row after the other, from the initial values.
fn fold(c: &mut Call<'_, '_>, closure: &Closure, xs: &[Value], inits: &[Value], axes: &[usize]) -> Result<Values> {
    let ty = c.ty(xs[0]);
    if let Some((_, &a)) = axes.iter().enumerate().find(|&(i, a)| *a >= ty.rank() || axes[..i].contains(a)) {
        return Err(c.error(format!("axis {a} is out of range for {ty}, or there twice")));
    }
    let kept: Vec<usize> = (0..ty.rank()).filter(|a| !axes.contains(a)).collect();
    let shape: Shape = kept.iter().map(|&a| ty.shape[a]).collect();
    let rows: usize = axes.iter().map(|&a| ty.shape[a]).product();
    let size: usize = shape.iter().product();
    let perm = [axes, &kept[..]].concat();
    let body = Arc::new(step(c, closure, inits, size)?);
    let b = c.b();
    let rows_of = |b: &mut Builder, x: Value| {
        let x = b.transpose(x, &perm);
        b.reshape(x, &[rows, size])
    };
    let start: Vec<Value> = inits.iter().map(|&i| b.broadcast(i, &[size], &[])).collect();
    let results = if rows == 0 || size == 0 {
        start
    } else {
        let scanned: Vec<Value> = xs.iter().map(|&x| rows_of(b, x)).collect();
        let args = [&closure.captures[..], &start, &scanned].concat();
        let (consts, carry) = (closure.captures.len(), start.len());
        b.emit(Op::Scan { body, length: rows, reverse: false, consts, carry }, &args)?.to_vec()
    };
    Ok(results.into_iter().map(|y| b.reshape(y, &shape)).collect())
}

/// The attributes of a windowed op.
struct Window {
    lengths: Shape,
    strides: Shape,
    padding: Vec<(i64, i64)>,
    base_dilation: Shape,
    dilation: Shape,
}

fn window(c: &Call<'_, '_>, rank: usize) -> Result<Window> {
    Ok(Window {
        lengths: c.shape_or(&["window_dimensions"], rank, 1)?,
        strides: c.shape_or(&["window_strides"], rank, 1)?,
        padding: c.pairs_or_zero(&["padding"], rank)?,
        base_dilation: c.shape_or(&["base_dilations"], rank, 1)?,
        dilation: c.shape_or(&["window_dilations"], rank, 1)?,
    })
}

impl Window {
    fn op(&self, kind: ReduceKind) -> Op {
        Op::ReduceWindow {
            kind,
            window: self.lengths.clone(),
            strides: self.strides.clone(),
            padding: self.padding.clone(),
            base_dilation: self.base_dilation.clone(),
            window_dilation: self.dilation.clone(),
        }
    }

    /// The axis along which this window makes a running combination, and whether from the back.
    fn running(&self, shape: &[usize]) -> Option<(usize, bool)> {
        let plain = |s: &[usize]| s.iter().all(|&n| n == 1);
        if !plain(&self.strides) || !plain(&self.base_dilation) || !plain(&self.dilation) {
            return None;
        }
        let mut wide = (0..shape.len()).filter(|&a| self.lengths[a] != 1);
        let (axis, None) = (wide.next()?, wide.next()) else { return None };
        let before = i64::try_from(shape[axis].checked_sub(1)?).ok()?;
        let others_bare = (0..shape.len()).all(|a| a == axis || self.padding[a] == (0, 0));
        if self.lengths[axis] != shape[axis] || !others_bare {
            return None;
        }
        match self.padding[axis] {
            p if p == (before, 0) => Some((axis, false)),
            p if p == (0, before) => Some((axis, true)),
            _ => None,
        }
    }
}

fn reduce_window(c: &mut Call<'_, '_>) -> Result<Values> {
    let (how, closure) = combiner(c, 0)?;
    let (xs, inits) = operands(c)?;
    let ty = c.ty(xs[0]);
    let w = window(c, ty.rank())?;
    let lengths = [w.lengths.len(), w.strides.len(), w.base_dilation.len(), w.dilation.len()];
    if lengths != [ty.rank(); 4] {
        return Err(c.error(format!("window, strides and dilations need {} entries for {ty}", ty.rank())));
    }
    let (Combiner::Reduce(kind), &[x]) = (how, &xs[..]) else {
        return fold_windows(c, &closure, &xs, &inits, w);
    };
    let op = match w.running(&ty.shape) {
        Some((axis, reverse)) if rounds_each_step(c, kind, x, axis) => {
            return Ok(smallvec![running_by_steps(c, kind, x, axis, reverse, inits[0])?]);
        }
        Some((axis, reverse)) => Op::Cumulative { kind, axis, reverse },
        None => w.op(kind),
    };
    let y = c.node(op, &[x])?[0];
    if starts_neutral(c, kind, inits[0]) {
        return Ok(smallvec![y]);
    }
    let shape = c.ty(y).shape;
    let init = c.b().broadcast(inits[0], &shape, &[]);
    Ok(smallvec![c.b().binary(binary_of(kind), init, y)])
}

/// Longest axis along which running sums and products of 16-bit floats, and products of complex numbers, are rounded at
/// every step, as the region says and as XLA does; over more elements the errors would add up, and halves are kept in f32.
const MAX_ROUNDED: usize = 16;

fn rounds_each_step(c: &Call<'_, '_>, kind: ReduceKind, x: Value, axis: usize) -> bool {
    let ty = c.ty(x);
    let rounded = match kind {
        ReduceKind::Sum => ty.dtype.is_half(),
        ReduceKind::Prod => ty.dtype.is_half() || ty.dtype == DType::C64,
        _ => false,
    };
    rounded && ty.shape[axis] <= MAX_ROUNDED
}

/// A running combination as a loop, whose state has the operand's dtype.
fn running_by_steps(
    c: &mut Call<'_, '_>,
    kind: ReduceKind,
    x: Value,
    axis: usize,
    reverse: bool,
    init: Value,
) -> Result<Value> {
    let ty = c.ty(x);
    let front: Vec<usize> = [axis].into_iter().chain((0..ty.rank()).filter(|&a| a != axis)).collect();
    let back: Vec<usize> = (1..=axis).chain([0]).chain(axis + 1..ty.rank()).collect();
    let row: Shape = front[1..].iter().map(|&a| ty.shape[a]).collect();
    let row_type = ty.with_shape(&row);
    let (mut body, inputs) = Builder::with_inputs(&[row_type.clone(), row_type]);
    let next = match (kind, ty.dtype) {
        (ReduceKind::Prod, DType::C64) => fused_product(&mut body, inputs[0], inputs[1]),
        _ => body.binary(binary_of(kind), inputs[0], inputs[1]),
    };
    let body = Arc::new(body.finish(&[next, next])?);
    let b = c.b();
    let start = b.broadcast(init, &row, &[]);
    let rows = b.transpose(x, &front);
    let op = Op::Scan { body, length: ty.shape[axis], reverse, consts: 0, carry: 1 };
    let stacked = b.emit(op, &[start, rows])?[1];
    Ok(b.transpose(stacked, &back))
}

/// The product of 32-bit complex numbers as XLA's code rounds it: of the two products of each part one is rounded alone,
/// the other with their sum. A product of two f32 is exact in f64.
fn fused_product(b: &mut Builder, x: Value, y: Value) -> Value {
    let [xr, yr] = [x, y].map(|z| b.unary(Unary::Real, z));
    let [xi, yi] = [x, y].map(|z| b.unary(Unary::Imag, z));
    let mut fused = |sum: Binary, x: Value, y: Value, rounded: [Value; 2]| {
        let rounded = b.mul(rounded[0], rounded[1]);
        let [x, y, rounded] = [x, y, rounded].map(|v| b.convert(v, DType::F64));
        let exact = b.mul(x, y);
        let sum = b.binary(sum, exact, rounded);
        b.convert(sum, DType::F32)
    };
    let (re, im) = (fused(Binary::Sub, xr, yr, [xi, yi]), fused(Binary::Add, xi, yr, [xr, yi]));
    b.complex(re, Some(im))
}

/// Windows of more elements than this are combined by a loop.
const MAX_SPELLED: usize = 64;

/// An arbitrary combination, element by element of the window: the k-th elements of all windows are one strided slice.
/// Padding and holes of dilation take no part.
fn fold_windows(c: &mut Call<'_, '_>, closure: &Closure, xs: &[Value], inits: &[Value], w: Window) -> Result<Values> {
    let ty = c.ty(xs[0]);
    let rank = ty.rank();
    let out = WindowGeometry::new(&w.op(ReduceKind::Max), &ty)?.out;
    let size: usize = out.iter().product();
    let interior: Shape = w.base_dilation.iter().map(|d| d - 1).collect();
    let (low, high) = w.padding.iter().copied().unzip();
    let pad = Op::Pad { low, high, interior };
    let step = step(c, closure, inits, size)?;
    let bare = w.padding.iter().all(|&p| p == (0, 0)) && w.base_dilation.iter().all(|&d| d == 1);
    let b = c.b();
    let start: Vec<Value> = inits.iter().map(|&i| b.broadcast(i, &[size], &[])).collect();
    if size == 0 {
        return Ok(start.into_iter().map(|y| b.reshape(y, &out)).collect());
    }
    let mut whole = Vec::new();
    for (&x, &init) in xs.iter().zip(inits) {
        whole.push(b.emit(pad.clone(), &[x, init])?[0]);
    }
    if !bare {
        let (yes, no) = (b.full(&ty.with_dtype(DType::Bool), 1.0), b.scalar(DType::Bool, 0.0));
        whole.push(b.emit(pad, &[yes, no])?[0]);
    }
    // one more element of every window: `parts` of the operands and, unless all are real, which of them are
    let combine = |b: &mut Builder, captures: &[Value], acc: &[Value], parts: &[Value]| -> Result<Vec<Value>> {
        let next = b.inline(&step, &[captures, acc, &parts[..acc.len()]].concat())?;
        Ok(match parts.get(acc.len()) {
            Some(&real) => next.iter().zip(acc).map(|(&new, &old)| b.select(real, new, old)).collect(),
            None => next,
        })
    };
    // what the elements at one place of all windows span
    let span: Shape = (0..rank).map(|a| (out[a] - 1) * w.strides[a] + 1).collect();
    let count: usize = w.lengths.iter().product();
    let place = |k: usize, a: usize| {
        let inner: usize = w.lengths[a + 1..].iter().product();
        k / inner % w.lengths[a] * w.dilation[a]
    };
    if count <= MAX_SPELLED {
        let mut acc = start;
        for k in 0..count {
            let first: Shape = (0..rank).map(|a| place(k, a)).collect();
            let limit: Shape = (0..rank).map(|a| first[a] + span[a]).collect();
            let mut parts = Vec::new();
            for &x in &whole {
                let op = Op::Slice { start: first.clone(), limit: limit.clone(), stride: w.strides.clone() };
                let part = b.emit(op, &[x])?[0];
                parts.push(b.reshape(part, &[size]));
            }
            acc = combine(b, &closure.captures, &acc, &parts)?;
        }
        return Ok(acc.into_iter().map(|y| b.reshape(y, &out)).collect());
    }
    let consts: Vec<Value> = closure.captures.iter().chain(&whole).copied().collect();
    let firsts: Vec<i32> =
        (0..count).flat_map(|k| (0..rank).map(move |a| (k, a))).map(|(k, a)| place(k, a) as i32).collect();
    let firsts = b.literal(Literal::new(&[count, rank], &firsts));
    let types = consts.iter().chain(&start).map(|&v| b.ty(v).clone()).chain([Type::new(DType::I32, &[rank])]);
    let (mut body, inputs) = Builder::with_inputs(&types.collect::<Vec<_>>());
    let (captures, rest) = inputs.split_at(closure.captures.len());
    let (whole, rest) = rest.split_at(whole.len());
    let (acc, first) = rest.split_at(start.len());
    let first: Vec<Value> = (0..rank)
        .map(|a| {
            let at = body.slice_axis(first[0], 0, a, a + 1);
            body.reshape(at, &[])
        })
        .collect();
    let mut parts = Vec::new();
    for &x in whole {
        let part = body.emit(Op::DynamicSlice { sizes: span.clone() }, &[&[x], &first[..]].concat())?[0];
        let every = Op::Slice { start: Shape::from_elem(0, rank), limit: span.clone(), stride: w.strides.clone() };
        let part = body.emit(every, &[part])?[0];
        parts.push(body.reshape(part, &[size]));
    }
    let next = combine(&mut body, captures, acc, &parts)?;
    let body = Arc::new(body.finish(&next)?);
    let args = [&consts[..], &start, &[firsts]].concat();
    let scan = Op::Scan { body, length: count, reverse: false, consts: consts.len(), carry: start.len() };
    let acc = b.emit(scan, &args)?;
    Ok(acc.into_iter().map(|y| b.reshape(y, &out)).collect())
}

/// A window's winner by `>=` or `<=`, to which the source is added.
fn select_and_scatter(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, source, init] = c.args()?;
    let select = c.closure(0)?;
    let kind = select_kind(&select);
    let kind = kind.ok_or_else(|| c.unsupported("unsupported combiner: the first region should be GE or LE"))?;
    let (scatter, closure) = combiner(c, 1)?;
    let any = matches!(scatter, Combiner::Reduce(ReduceKind::Or));
    if !any && !matches!(scatter, Combiner::Reduce(ReduceKind::Sum)) || any && c.ty(source).dtype != DType::Bool {
        return Err(unsupported(c, &closure));
    }
    let w = window(c, c.ty(x).rank())?;
    let op = Op::SelectAndScatter { kind, window: w.lengths, strides: w.strides, padding: w.padding };
    // for bools: whether any of those added is true
    let source = if any { c.b().convert(source, DType::I32) } else { source };
    let y = c.node(op, &[source, x])?[0];
    let y = if any { c.b().convert(y, DType::Bool) } else { y };
    let (kind, add) = if any { (ReduceKind::Or, Binary::Or) } else { (ReduceKind::Sum, Binary::Add) };
    if starts_neutral(c, kind, init) {
        return Ok(smallvec![y]);
    }
    let shape = c.ty(y).shape;
    let init = c.b().broadcast(init, &shape, &[]);
    Ok(smallvec![c.b().binary(add, init, y)])
}

/// A function of scalars on every element.
fn map(c: &mut Call<'_, '_>) -> Result<Values> {
    let closure = c.closure(0)?;
    let xs = std::mem::take(&mut c.args);
    let first = *xs.first().ok_or_else(|| c.error("takes at least one operand"))?;
    let ty = c.ty(first);
    let size = ty.numel();
    if xs.iter().any(|&x| c.ty(x).shape != ty.shape) {
        return Err(c.error("operands must have one shape"));
    }
    if size == 0 {
        let types: Vec<Type> = closure.graph.output_types();
        return Ok(types.iter().map(|t| c.b().full(&t.with_shape(&ty.shape), 0.0)).collect());
    }
    let g = mapped(&closure, size)?;
    let b = c.b();
    let flat: Vec<Value> = xs.iter().map(|&x| b.reshape(x, &[size])).collect();
    let outs = b.inline(&g, &[&closure.captures[..], &flat].concat())?;
    if outs.is_empty() {
        return Err(Error::user("map", "the region returns nothing"));
    }
    Ok(outs.into_iter().map(|y| b.reshape(y, &ty.shape)).collect())
}
