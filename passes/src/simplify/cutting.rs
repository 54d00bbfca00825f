//! Rules of slices, pads, concatenations and reversals.

use crate::rewriting::View;
use gradloom_ir::{Binary, DType, Op, Shape, Type, Value};
use smallvec::SmallVec;

/// Positions `start, start + stride, ..` of an axis, `len` of them.
#[derive(Clone, Copy)]
struct Cut {
    start: usize,
    len: usize,
    stride: usize,
}

impl Cut {
    /// One past the last position; the least limit a slice op can have.
    fn limit(self) -> usize {
        if self.len == 0 { self.start } else { self.start + (self.len - 1) * self.stride + 1 }
    }

    /// The same positions as those a slice op may have: none are those from 0 to 0, wherever they were.
    fn canonical(self) -> Cut {
        match self.len {
            0 => Cut { start: 0, len: 0, stride: 1 },
            1 => Cut { stride: 1, ..self },
            _ => self,
        }
    }

    /// Whether all positions are in `from..to`.
    fn is_within(self, from: usize, to: usize) -> bool {
        from <= self.start && self.limit() <= to
    }
}

fn cuts(start: &[usize], limit: &[usize], stride: &[usize]) -> SmallVec<[Cut; 6]> {
    (0..start.len())
        .map(|i| Cut { start: start[i], len: (limit[i] - start[i]).div_ceil(stride[i]), stride: stride[i] })
        .collect()
}

fn cut(v: &mut View, x: Value, cuts: &[Cut]) -> Value {
    let cuts = || cuts.iter().map(|c| c.canonical());
    v.slice(
        x,
        cuts().map(|c| c.start).collect(),
        cuts().map(|c| c.limit()).collect(),
        cuts().map(|c| c.stride).collect(),
    )
}

pub(super) fn slice(v: &mut View, x: Value, start: &[usize], limit: &[usize], stride: &[usize]) -> Option<Value> {
    let outer = cuts(start, limit, stride);
    // slice(x) = x where all is kept
    if outer.iter().zip(v.shape(x)).all(|(c, &n)| c.len == n) {
        return Some(x);
    }
    let node = v.def(x)?;
    let args = node.args.clone();
    let y = *args.first()?;
    match &node.op {
        // slice(slice(x)) = slice(x)
        Op::Slice { start, limit, stride } => {
            let inner = cuts(start, limit, stride);
            let both = inner.iter().zip(&outer).map(|(i, o)| Cut {
                start: i.start + o.start * i.stride,
                len: o.len,
                stride: i.stride * o.stride,
            });
            let both: SmallVec<[Cut; 6]> = both.collect();
            Some(cut(v, y, &both))
        }
        // slice(broadcast(x)) = broadcast(slice(x))
        Op::Broadcast { dims, .. } => {
            let dims = dims.clone();
            // axes of y have the full length: the canonical form has no axes of length 1 that stretch
            if dims.iter().zip(v.shape(y)).any(|(&d, &n)| n != v.shape(x)[d]) {
                return None;
            }
            let inner: SmallVec<[Cut; 6]> = dims.iter().map(|&d| outer[d]).collect();
            let shape: Shape = outer.iter().map(|c| c.len).collect();
            let z = if inner.is_empty() { y } else { cut(v, y, &inner) };
            Some(v.broadcast(z, &shape, &dims))
        }
        // slice(concatenate(.., x, ..)) = slice(x) where it lies within one piece
        Op::Concatenate { axis } => {
            let (axis, mut from) = (*axis, 0);
            let piece = args.iter().find_map(|&p| {
                let to = from + v.shape(p)[axis];
                let found = outer[axis].is_within(from, to).then_some((p, from));
                from = to;
                found
            });
            let (piece, from) = piece?;
            let mut inner = outer;
            inner[axis].start -= from;
            Some(cut(v, piece, &inner))
        }
        Op::Pad { low, interior, .. } if interior.iter().all(|&i| i == 0) => {
            let low = low.clone();
            slice_of_pad(v, &args, &low, &outer)
        }
        _ => None,
    }
}

/// slice(pad(x)) = slice(x) where it lies within x, = broadcast(padding) where it lies outside
fn slice_of_pad(v: &mut View, args: &[Value], low: &[i64], outer: &[Cut]) -> Option<Value> {
    let ty = v.ty(args[0]).clone();
    let mut inner: SmallVec<[Cut; 6]> = outer.into();
    let mut within = true;
    for ((c, &low), &n) in inner.iter_mut().zip(low).zip(&ty.shape) {
        let (from, to) = (low.max(0) as usize, (low + n as i64).max(0) as usize);
        if c.len > 0 && (c.limit() <= from || to <= c.start) {
            let shape: Shape = outer.iter().map(|c| c.len).collect();
            return Some(v.broadcast(args[1], &shape, &[]));
        }
        within &= c.is_within(from, to);
        c.start = (c.start as i64 - low).max(0) as usize;
    }
    within.then(|| cut(v, args[0], &inner))
}

pub(super) fn pad(v: &mut View, args: &[Value], low: &[i64], high: &[i64], interior: &[usize]) -> Option<Value> {
    let (x, c) = (args[0], args[1]);
    let shape = v.shape(x).clone();
    let spread = |i: usize| interior[i] > 0 && shape[i] > 1;
    let pads = |i: usize| low[i] != 0 || high[i] != 0 || spread(i);
    // pad(x) = x where nothing is added or cropped
    if !(0..shape.len()).any(pads) {
        return Some(x);
    }
    // pad(x) = slice(x) where it only crops
    if (0..shape.len()).all(|i| low[i] <= 0 && high[i] <= 0 && !spread(i)) {
        let start: Shape = low.iter().map(|l| l.unsigned_abs() as usize).collect();
        let limit: Shape = (0..shape.len()).map(|i| shape[i] - high[i].unsigned_abs() as usize).collect();
        return Some(v.slice(x, start, limit, Shape::from_elem(1, shape.len())));
    }
    // pad(broadcast(c), c) = broadcast(c)
    let same = match (v.splat(x), v.splat(c)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    };
    if same || v.numel(x) == 0 {
        let types = [v.ty(x).clone(), v.ty(c).clone()];
        let op = Op::Pad { low: low.into(), high: high.into(), interior: interior.into() };
        let ty: Type = gradloom_ir::infer(&op, &types).ok()?.into_iter().next()?;
        return Some(v.broadcast(c, &ty.shape, &[]));
    }
    // pad(pad(x, c), c) = pad(x, c)
    let node = v.def(x)?;
    match &node.op {
        Op::Pad { low: l, high: h, interior: i } if node.args[1] == c || v.splat(node.args[1]) == v.splat(c) => {
            let plain = i.iter().chain(interior).all(|&n| n == 0);
            let grows = [l, h].iter().all(|p| p.iter().all(|&n| n >= 0)) && low.iter().chain(high).all(|&n| n >= 0);
            if !plain || !grows || (node.args[1] != c && v.splat(c).is_none()) {
                return None;
            }
            let sum = |a: &[i64], b: &[i64]| -> Vec<i64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
            let op = Op::Pad { low: sum(l, low), high: sum(h, high), interior: interior.into() };
            let y = node.args[0];
            Some(v.op(op, &[y, c]))
        }
        _ => None,
    }
}

/// Most terms of a sum that are looked at for pads.
const MAX_TERMS: usize = 16;

/// pad(x, 0) + pad(y, 0) = pad(concatenate(x, y), 0) where y begins at the end of x, other terms of the sum between them or
/// not: the derivative of taking an array apart (of floats: reassociates)
pub(super) fn sum_of_pads(v: &mut View, args: &[Value]) -> Option<Value> {
    if v.dtype(args[0]) == DType::Bool {
        return None;
    }
    let mut terms: Vec<Value> = Vec::new();
    let mut open: Vec<Value> = args.iter().rev().copied().collect();
    while let Some(x) = open.pop() {
        match v.binary_of(Binary::Add, x) {
            Some((a, b)) if v.single_use(x) && terms.len() + open.len() + 2 <= MAX_TERMS => open.extend([b, a]),
            _ => terms.push(x),
        }
    }
    let pads: Vec<(usize, ZeroPad)> =
        terms.iter().enumerate().filter_map(|(i, &x)| Some((i, ZeroPad::of(v, x)?))).collect();
    let pairs = pads.iter().flat_map(|x| pads.iter().map(move |y| (x, y)));
    let ((i, x), (j, y), axis) = pairs.into_iter().find_map(|(x, y)| Some((x, y, x.1.end_at(&y.1)?)))?;
    let both = v.op(Op::Concatenate { axis }, &[x.array, y.array]);
    let mut high = x.high.clone();
    high[axis] = y.high[axis];
    let interior = vec![0; high.len()].into();
    let pad = Op::Pad { low: x.low.clone(), high, interior };
    terms[*i] = v.op(pad, &[both, x.zero]);
    terms.remove(*j);
    terms.into_iter().reduce(|sum, x| v.binary(Binary::Add, sum, x))
}

/// An array with zeros around it, which nothing else uses.
struct ZeroPad {
    array: Value,
    zero: Value,
    shape: Shape,
    low: Vec<i64>,
    high: Vec<i64>,
}

impl ZeroPad {
    fn of(v: &View, x: Value) -> Option<ZeroPad> {
        let node = v.def(x).filter(|_| v.single_use(x))?;
        let Op::Pad { low, high, interior } = &node.op else { return None };
        let plain = interior.iter().all(|&i| i == 0) && low.iter().chain(high.iter()).all(|&n| n >= 0);
        let [array, zero] = node.args[..] else { return None };
        (plain && v.is_splat(zero, 0.0)).then(|| ZeroPad {
            array,
            zero,
            shape: v.shape(array).clone(),
            low: low.to_vec(),
            high: high.to_vec(),
        })
    }

    /// The axis along which the other array begins at the end of this one, and along all others is where this one is.
    fn end_at(&self, next: &ZeroPad) -> Option<usize> {
        let same = |a: usize| (self.low[a], self.shape[a]) == (next.low[a], next.shape[a]);
        let mut axes = (0..self.shape.len()).filter(|&a| !same(a));
        let axis = axes.next().filter(|_| axes.next().is_none())?;
        (self.low[axis] + self.shape[axis] as i64 == next.low[axis]).then_some(axis)
    }
}

pub(super) fn concatenate(v: &mut View, args: &[Value], axis: usize) -> Option<Value> {
    // concatenate(x) = x
    if let [x] = args {
        return Some(*x);
    }
    let mut pieces: Vec<Value> = Vec::new();
    for &a in args {
        match v.def(a) {
            // concatenate(.., empty, ..) = concatenate(.., ..)
            _ if v.shape(a)[axis] == 0 => {}
            // concatenate(concatenate(x, y), z) = concatenate(x, y, z)
            Some(n) if n.op == (Op::Concatenate { axis }) && v.single_use(a) => pieces.extend(&n.args),
            _ => pieces.push(a),
        }
    }
    // concatenate(broadcast(c), broadcast(c)) = broadcast(c) for a constant c
    let scalar = |v: &View, x: Value| v.splat(x).cloned();
    if let Some(c) = scalar(v, args[0])
        && args.iter().all(|&a| v.splat(a) == Some(&c))
    {
        let mut shape = v.shape(args[0]).clone();
        shape[axis] = args.iter().map(|&a| v.shape(a)[axis]).sum();
        let c = v.literal(c);
        return Some(v.broadcast(c, &shape, &[]));
    }
    // concatenate(x[a..b], x[b..c]) = x[a..c]
    let mut merged: Vec<Value> = Vec::new();
    for p in pieces {
        let joined = merged.last().and_then(|&last| join(v, last, p, axis));
        match joined {
            Some(x) => *merged.last_mut()? = x,
            None => merged.push(p),
        }
    }
    if merged[..] == *args {
        return None;
    }
    match merged[..] {
        [] => None,
        _ => Some(v.op(Op::Concatenate { axis }, &merged)),
    }
}

/// The slice that two slices of the same array make one after the other.
fn join(v: &mut View, x: Value, y: Value, axis: usize) -> Option<Value> {
    let slice = |z: Value| match v.def(z) {
        Some(n) => match &n.op {
            Op::Slice { start, limit, stride } => Some((n.args[0], start, limit, stride)),
            _ => None,
        },
        None => None,
    };
    let ((a, start, limit, stride), (b, start_b, limit_b, stride_b)) = (slice(x)?, slice(y)?);
    let fits = |i: usize| {
        if i == axis {
            limit[i] == start_b[i] && stride[i] == 1 && stride_b[i] == 1
        } else {
            (start[i], limit[i], stride[i]) == (start_b[i], limit_b[i], stride_b[i])
        }
    };
    if a != b || !(0..start.len()).all(fits) {
        return None;
    }
    let (start, limit, stride) = (start.clone(), limit_b.clone(), stride.clone());
    Some(v.slice(a, start, limit, stride))
}

pub(super) fn reverse(v: &mut View, x: Value, axes: &[usize]) -> Option<Value> {
    // reverse(x) = x along axes of length 1, and along repeated ones
    let repeated = |v: &View, a: usize| v.broadcast_of(x).is_some_and(|(_, _, dims)| !dims.contains(&a));
    let real: Shape = axes.iter().copied().filter(|&a| v.shape(x)[a] > 1 && !repeated(v, a)).collect();
    if real.is_empty() {
        return Some(x);
    }
    // reverse(reverse(x)) = reverse(x) along the axes that one of them has
    if let Some(n) = v.def(x)
        && let Op::Reverse { axes: inner } = &n.op
    {
        let y = n.args[0];
        let mut axes: Shape = inner.iter().filter(|a| !real.contains(a)).copied().collect();
        axes.extend(real.iter().filter(|a| !inner.contains(a)).copied());
        return Some(v.op(Op::Reverse { axes }, &[y]));
    }
    // reverse(broadcast(x)) = broadcast(reverse(x))
    if let Some((y, shape, dims)) = v.broadcast_of(x) {
        let (shape, dims) = (shape.clone(), dims.clone());
        let axes: Shape = (0..dims.len()).filter(|&i| real.contains(&dims[i])).collect();
        let y = v.op(Op::Reverse { axes }, &[y]);
        return Some(v.broadcast(y, &shape, &dims));
    }
    (real.len() < axes.len()).then(|| v.op(Op::Reverse { axes: real }, &[x]))
}
