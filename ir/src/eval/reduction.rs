//! Reductions, running reductions, windows and sorting.

use super::scalar::ScalarOps;
use super::strided::{elements, for_each_index, for_each_offset, literal, position, strides, undefined};
use crate::{Literal, Op, ReduceKind, Result, Shape, Type, WindowGeometry, with_element};

pub(super) fn reduce(kind: ReduceKind, x: &Literal, axes: &[usize], ty: &Type) -> Result<Literal> {
    let mut kept = strides(&ty.shape).into_iter();
    let by: Vec<i64> =
        (0..x.ty().rank()).map(|a| if axes.contains(&a) { 0 } else { kept.next().unwrap_or(0) }).collect();
    with_element!(ty.dtype, T => {
        let zero = <T as ScalarOps>::identity(kind).ok_or_else(|| undefined(kind.name(), ty))?;
        let mut out = vec![zero; ty.numel()];
        let mut xs = elements::<T>(x)?.into_iter();
        for_each_offset(&x.ty().shape, &by, 0, &mut |i| {
            if let Some(y) = xs.next().and_then(|x| <T as ScalarOps>::combine(kind, out[i], x)) {
                out[i] = y;
            }
        });
        Ok(Literal::new(&ty.shape, &out))
    })
}

/// The lanes of an array along an axis: the offset of each, and the step within it. An empty array has none.
fn lanes(ty: &Type, axis: usize) -> (impl Iterator<Item = usize> + use<>, usize) {
    let inner: usize = ty.shape[axis + 1..].iter().product();
    let outer: usize = if ty.numel() == 0 { 0 } else { ty.shape[..axis].iter().product() };
    let n = ty.shape[axis];
    ((0..outer).flat_map(move |o| (0..inner).map(move |i| o * n * inner + i)), inner)
}

pub(super) fn arg_reduce(kind: ReduceKind, x: &Literal, axis: usize, ty: &Type) -> Literal {
    let (lanes, step) = lanes(x.ty(), axis);
    let n = x.ty().shape[axis];
    with_element!(x.ty().dtype, T => {
        let x = x.to_vec::<T>().unwrap_or_default();
        let best = |lane: usize| {
            let mut best = 0;
            for i in 1..n {
                if <T as ScalarOps>::beats(kind, x[lane + i * step], x[lane + best * step]) {
                    best = i;
                }
            }
            best as i32
        };
        Literal::new(&ty.shape, &lanes.map(best).collect::<Vec<i32>>())
    })
}

pub(super) fn cumulative(kind: ReduceKind, x: &Literal, axis: usize, reverse: bool) -> Result<Literal> {
    let (lanes, step) = lanes(x.ty(), axis);
    let n = x.ty().shape[axis];
    with_element!(x.ty().dtype, T => {
        let zero = <T as ScalarOps>::identity(kind).ok_or_else(|| undefined(kind.name(), x.ty()))?;
        let mut y = elements::<T>(x)?;
        for lane in lanes {
            let mut acc = zero;
            for i in 0..n {
                let at = lane + step * if reverse { n - 1 - i } else { i };
                acc = <T as ScalarOps>::combine(kind, acc, y[at]).ok_or_else(|| undefined(kind.name(), x.ty()))?;
                y[at] = acc;
            }
        }
        Ok(Literal::new(&x.ty().shape, &y))
    })
}

/// Calls `f` with the position in the base of each element of the window at `out`, row-major, padding left out.
fn for_each_in_window(g: &WindowGeometry, base: &[usize], out: &[usize], mut f: impl FnMut(usize)) {
    for_each_index(&g.window, |k| {
        let at: Option<Shape> = (0..base.len())
            .map(|i| {
                let at = (out[i] * g.strides[i]) as i128 + (k[i] * g.window_dilation[i]) as i128;
                let at = usize::try_from(at - i128::from(g.padding[i].0)).ok()?;
                (at % g.base_dilation[i] == 0).then_some(at / g.base_dilation[i])
            })
            .collect();
        if let Some(i) = at.and_then(|at| position(base, &at)) {
            f(i);
        }
    });
}

pub(super) fn reduce_window(op: &Op, kind: ReduceKind, x: &Literal) -> Result<Literal> {
    let g = WindowGeometry::new(op, x.ty())?;
    with_element!(x.ty().dtype, T => {
        let xs = elements::<T>(x)?;
        let mut out: Vec<Option<T>> = Vec::new();
        for_each_index(&g.out, |o| {
            let mut acc = <T as ScalarOps>::identity(kind);
            for_each_in_window(&g, &x.ty().shape, o, |i| {
                acc = acc.and_then(|acc| <T as ScalarOps>::combine(kind, acc, xs[i]));
            });
            out.push(acc);
        });
        let out: Option<Vec<T>> = out.into_iter().collect();
        Ok(Literal::new(&g.out, &out.ok_or_else(|| undefined(kind.name(), x.ty()))?))
    })
}

/// For each window the position of its first greatest or least key; `None` where it holds only padding.
fn winners(g: &WindowGeometry, kind: ReduceKind, key: &Literal) -> Vec<Option<usize>> {
    with_element!(key.ty().dtype, T => {
        let keys = key.to_vec::<T>().unwrap_or_default();
        let mut out = Vec::new();
        for_each_index(&g.out, |o| {
            let mut best: Option<usize> = None;
            for_each_in_window(g, &key.ty().shape, o, |i| {
                if best.is_none_or(|b| <T as ScalarOps>::beats(kind, keys[i], keys[b])) {
                    best = Some(i);
                }
            });
            out.push(best);
        });
        out
    })
}

pub(super) fn select_and_gather(op: &Op, kind: ReduceKind, x: &Literal, key: &Literal) -> Result<Literal> {
    let g = WindowGeometry::new(op, key.ty())?;
    let winners = winners(&g, kind, key);
    with_element!(x.ty().dtype, T => {
        let xs = elements::<T>(x)?;
        let y: Vec<T> = winners.into_iter().map(|w| w.map_or(<T as ScalarOps>::ZERO, |i| xs[i])).collect();
        Ok(Literal::new(&g.out, &y))
    })
}

pub(super) fn select_and_scatter(op: &Op, kind: ReduceKind, source: &Literal, key: &Literal) -> Result<Literal> {
    let g = WindowGeometry::new(op, key.ty())?;
    let winners = winners(&g, kind, key);
    with_element!(source.ty().dtype, T => {
        let mut y = vec![<T as ScalarOps>::ZERO; key.ty().numel()];
        for (w, s) in winners.into_iter().zip(elements::<T>(source)?) {
            if let Some(i) = w {
                let sum = <T as ScalarOps>::combine(ReduceKind::Sum, y[i], s);
                y[i] = sum.ok_or_else(|| undefined(op.name(), source.ty()))?;
            }
        }
        Ok(Literal::new(&key.ty().shape, &y))
    })
}

pub(super) fn sort(args: &[Literal], axis: usize, num_keys: usize) -> Vec<Literal> {
    let ty = args[0].ty();
    let (lanes, step) = lanes(ty, axis);
    let keys: Vec<Vec<u128>> = args[..num_keys]
        .iter()
        .map(|k| {
            with_element!(k.ty().dtype, T => {
                k.to_vec::<T>().unwrap_or_default().into_iter().map(ScalarOps::order_key).collect()
            })
        })
        .collect();
    // where each element of the result comes from
    let mut source = vec![0; ty.numel()];
    for lane in lanes {
        let mut order: Vec<usize> = (0..ty.shape[axis]).map(|i| lane + i * step).collect();
        order.sort_by(|&a, &b| keys.iter().map(|k| k[a]).cmp(keys.iter().map(|k| k[b])));
        for (i, from) in order.into_iter().enumerate() {
            source[lane + i * step] = from;
        }
    }
    let sorted = |x: &Literal| {
        let size = x.ty().dtype.size();
        literal(x.ty(), source.iter().flat_map(|&i| &x.bytes()[i * size..(i + 1) * size]).copied().collect())
    };
    args.iter().map(sorted).collect()
}
