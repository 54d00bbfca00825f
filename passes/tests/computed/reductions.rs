//! Reductions and cumulative sums.

use super::source::Source;
use super::{Proof, form};
use gradloom_ir::{DType, Op, ReduceKind, Shape, Value};

pub const PROOFS: &[Proof] = &[
    (
        "reductions of nothing, of broadcasts, reductions, transposes, reshapes and reversals",
        &[
            form("reduce(empty) = broadcast(identity)", "constant broadcast_in_dim", |s| {
                let (kind, dtype) = kind(s);
                let mut shape = s.shape([1, 3], 0..=3);
                let at = s.below(shape.len());
                shape[at] = 0;
                let x = s.input(dtype, &shape);
                let axes = s.axes(shape.len());
                s.b.reduce(kind, x, &axes)
            }),
            form("reduce(x) = reduce(reshape(x))", "reshape reduce", |s| {
                let (kind, dtype) = kind(s);
                let shape = s.shape([1, 3], 1..=2);
                let x = s.input(dtype, &shape);
                let axes = s.some_axes(shape.len());
                s.b.reduce(kind, x, &axes)
            }),
            form("max(broadcast(x)) = broadcast(max(x))", "reduce broadcast_in_dim", |s| {
                let (kind, dtype) = kind(s);
                of_broadcast(s, kind, dtype)
            }),
            form("sum(broadcast(x)) = n sum(x)", "reduce constant broadcast_in_dim multiply broadcast_in_dim", |s| {
                let dtype = s.dtype_that(|d| d != DType::Bool);
                of_broadcast(s, ReduceKind::Sum, dtype)
            }),
            form("reduce(reduce(x)) = reduce(x)", "reduce", |s| {
                let (kind, dtype) = kind(s);
                // a product of many numbers is beyond what 16 bits hold
                let most = if kind == ReduceKind::Prod && dtype.is_half() { 2 } else { 4 };
                let shape = s.shape([2, most], 2..=3);
                let x = s.input(dtype, &shape);
                let one = s.below(shape.len());
                let y = s.b.reduce(kind, x, &[one]);
                let axes = s.some_axes(shape.len() - 1);
                s.b.reduce(kind, y, &axes)
            }),
            form("reduce(transpose(x)) = reduce(x)", "reduce", |s| {
                let (kind, dtype) = kind(s);
                let shape = s.shape([1, 3], 2..=3);
                let x = s.input(dtype, &shape);
                let perm = s.permutation(shape.len());
                let y = s.b.transpose(x, &perm);
                let axes = s.some_axes(shape.len());
                s.b.reduce(kind, y, &axes)
            }),
            form("reduce(reshape(x)) = reduce(x)", "reduce", |s| {
                let (kind, dtype) = kind(s);
                let shape = s.shape([1, 3], 2..=3);
                let x = s.input(dtype, &shape);
                let n: usize = shape.iter().product();
                let first = (2..n).find(|k| n.is_multiple_of(*k) && s.flip()).unwrap_or(n);
                let to: Shape =
                    if first == n { [n].into_iter().collect() } else { [first, n / first].into_iter().collect() };
                let y = s.b.reshape(x, &to);
                let axes: Shape = (0..to.len()).collect();
                s.b.reduce(kind, y, &axes)
            }),
            form("reduce(reverse(x)) = reduce(x)", "reduce", |s| {
                let (kind, dtype) = kind(s);
                let shape = s.shape([1, 3], 2..=3);
                let x = s.input(dtype, &shape);
                let axes = s.some_axes(shape.len());
                let y = s.b.op(Op::Reverse { axes }, &[x]);
                let axes = s.some_axes(shape.len());
                s.b.reduce(kind, y, &axes)
            }),
        ],
    ),
    (
        "cumulative(x) = x along an axis of length 1",
        &[form("of one", "", |s| {
            let dtype = s.dtype_that(|d| d != DType::Bool);
            let kinds: &[ReduceKind] = if dtype.is_complex() {
                &[ReduceKind::Sum, ReduceKind::Prod]
            } else {
                &[ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min]
            };
            let (kind, mut shape, reverse) = (s.pick(kinds), s.shape([1, 3], 0..=3), s.flip());
            let axis = s.below(shape.len());
            shape[axis] = s.below(2);
            let x = s.input(dtype, &shape);
            s.b.op(Op::Cumulative { kind, axis, reverse }, &[x])
        })],
    ),
];

/// A kind of reduction, and a dtype that has it.
fn kind(s: &mut Source) -> (ReduceKind, DType) {
    let dtype = s.dtype();
    let kinds: &[ReduceKind] = match dtype {
        DType::Bool => &[ReduceKind::And, ReduceKind::Or, ReduceKind::Max, ReduceKind::Min],
        d if d.is_int() => ReduceKind::ALL,
        d if d.is_complex() => &[ReduceKind::Sum, ReduceKind::Prod],
        _ => &[ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min],
    };
    (s.pick(kinds), dtype)
}

/// A reduction of repeated elements along some of the repeated axes and others.
fn of_broadcast(s: &mut Source, kind: ReduceKind, dtype: DType) -> Value {
    let shape = s.shape([0, 2], 1..=3);
    let x = s.input(dtype, &shape);
    let more = 1 + s.below(2);
    let (out, dims) = s.repeated(&shape, more);
    let y = s.b.broadcast(x, &out, &dims);
    let axes = s.some_axes(out.len());
    s.b.reduce(kind, y, &axes)
}
