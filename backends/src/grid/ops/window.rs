//! Windows: sums and extremes over them, and the elements they select. A thread a window; where windows add to one element,
//! a thread an element, which adds them in their order.

use super::search::beats;
use super::{Launches, Operand, computed, each_by, index_within, load_computed, position, undilated};
use crate::grid::{Build, Memory, Reg};
use crate::kernel::{combiner, identity};
use gradloom_ir::{Binary, Comparison, DType, Literal, Op, ReduceKind, Result, Type, WindowGeometry};

/// The dtype of indices into a base with padding and dilations, and into the arrays.
fn window_index<'a>(g: &WindowGeometry, base: &[usize], arrays: impl IntoIterator<Item = &'a Type>) -> DType {
    let extent = |a: usize| {
        let base = base[a] as i128 * g.base_dilation[a] as i128;
        let padding = i128::from(g.padding[a].0).abs() + i128::from(g.padding[a].1).abs();
        base + padding + g.window[a] as i128 * g.window_dilation[a] as i128 + g.strides[a] as i128
    };
    index_within((0..base.len()).map(extent), arrays)
}

/// Runs `body` for each element of the window `out`, in order, with its place in the base; padding is left out. Of a window
/// that is larger than the base only as many places are looked at as the base has.
fn in_window(b: &mut Build, g: &WindowGeometry, base: &[usize], out: &[Reg], body: impl FnOnce(&mut Build, Reg)) {
    let looked_at: Vec<usize> = (0..base.len())
        .map(|a| g.window[a].min(base[a].saturating_mul(g.base_dilation[a]).div_ceil(g.window_dilation[a])))
        .collect();
    // where each window starts, and the first of its places that may lie on the base
    let starts: Vec<(Reg, Reg)> = (0..base.len())
        .map(|a| {
            let start = b.times(out[a], g.strides[a] as i64);
            let begin = b.plus(start, g.padding[a].0.wrapping_neg());
            let zero = b.index(0);
            if looked_at[a] == g.window[a] || g.padding[a].0 <= 0 {
                return (begin, zero);
            }
            let padding = b.index(g.padding[a].0);
            let before = b.binary(Binary::Sub, padding, start);
            let up = b.plus(before, g.window_dilation[a] as i64 - 1);
            let (first, _) = b.divide(up, g.window_dilation[a]);
            let is_before = b.compare(Comparison::Lt, start, padding);
            (begin, b.select(is_before, first, zero))
        })
        .collect();
    b.times_over(looked_at.iter().product(), |b, k| {
        let k = b.point(k, &looked_at);
        let (mut inside, mut at) = (b.truth(true), Vec::with_capacity(k.len()));
        for (a, &(begin, first)) in starts.iter().enumerate() {
            let k = b.binary(Binary::Add, first, k[a]);
            let end = b.index(g.window[a] as i64);
            let of_window = b.compare(Comparison::Lt, k, end);
            let offset = b.times(k, g.window_dilation[a] as i64);
            let place = b.binary(Binary::Add, begin, offset);
            let (exists, i) = undilated(b, place, base[a], g.base_dilation[a]);
            inside = b.both(inside, of_window);
            inside = b.both(inside, exists);
            at.push(i);
        }
        b.when(inside, |b| {
            let at = position(b, &at, base);
            body(b, at);
        });
    });
}

pub(super) fn reduce_window(op: &Op, kind: ReduceKind, x: &Type, out: &Type) -> Result<Launches> {
    let g = WindowGeometry::new(op, x)?;
    let computed = computed(x.dtype);
    let kernel =
        each_by("reduce_window", &[x, out], window_index(&g, &x.shape, [x, out]), out.numel(), |b, number| {
            let index = b.point(number, &out.shape);
            let acc = b.constant(identity(kind, computed));
            in_window(b, &g, &x.shape, &index, |b, at| {
                let element = load_computed(b, Memory::Param(0), at);
                let sum = b.binary(combiner(kind), acc, element);
                b.assign(acc, sum);
            });
            let stored = b.converted(acc, x.dtype);
            b.store(Memory::Param(1), number, stored);
        })?;
    Ok(Launches::one(kernel, vec![Operand::Arg(0), Operand::Result(0)]))
}

/// The place of the first best key of the window, one more than it; 0 where there is only padding.
fn winner(b: &mut Build, g: &WindowGeometry, kind: ReduceKind, key: &Type, keys: Memory, index: &[Reg]) -> Reg {
    let computed = computed(key.dtype);
    let zero = b.index(0);
    let best = b.constant(Literal::scalar(computed, 0.0));
    let place = b.variable(zero);
    in_window(b, g, &key.shape, index, |b, at| {
        let x = load_computed(b, keys, at);
        let is_first = b.compare(Comparison::Eq, place, zero);
        let better = beats(b, kind, x, best);
        let wins = b.either(is_first, better);
        b.when(wins, |b| {
            b.assign(best, x);
            let next = b.plus(at, 1);
            b.assign(place, next);
        });
    });
    place
}

pub(super) fn select_and_gather(op: &Op, kind: ReduceKind, args: &[Type], out: &Type) -> Result<Launches> {
    let (x, key) = (&args[0], &args[1]);
    let g = WindowGeometry::new(op, key)?;
    let kernel = each_by(
        "select_and_gather",
        &[x, key, out],
        window_index(&g, &key.shape, [x, key, out]),
        out.numel(),
        |b, number| {
            let index = b.point(number, &out.shape);
            let place = winner(b, &g, kind, key, Memory::Param(1), &index);
            let zero = b.constant(Literal::scalar(out.dtype, 0.0));
            let value = b.variable(zero);
            let none = b.index(0);
            let any = b.compare(Comparison::Gt, place, none);
            b.when(any, |b| {
                let at = b.plus(place, -1);
                let element = b.load(Memory::Param(0), at);
                b.assign(value, element);
            });
            b.store(Memory::Param(2), number, value);
        },
    )?;
    Ok(Launches::one(kernel, vec![Operand::Arg(0), Operand::Arg(1), Operand::Result(0)]))
}

/// First each window's winner, then for each element of the result the sum of the windows that it has won, in order.
pub(super) fn select_and_scatter(op: &Op, kind: ReduceKind, args: &[Type], out: &Type) -> Result<Launches> {
    let (source, key) = (&args[0], &args[1]);
    let g = WindowGeometry::new(op, key)?;
    let places = Type::new(DType::U64, &source.shape);
    let index = window_index(&g, &key.shape, [source, key, &places]);
    let find = each_by("select_winners", &[key, &places], index, source.numel(), |b, number| {
        let index = b.point(number, &source.shape);
        let place = winner(b, &g, kind, key, Memory::Param(0), &index);
        let place = b.converted(place, DType::U64);
        b.store(Memory::Param(1), number, place);
    })?;
    let computed = computed(out.dtype);
    // the windows that may hold an element: along each axis those from the first that reaches it, at most so many
    let reach: Vec<usize> = (0..out.shape.len())
        .map(|a| {
            let span = g.window[a].saturating_sub(1).saturating_mul(g.window_dilation[a]);
            (span / g.strides[a] + 1).min(source.shape[a].max(1))
        })
        .collect();
    let add = each_by("select_and_scatter", &[source, &places, out], index, out.numel(), |b, number| {
        let index = b.point(number, &out.shape);
        let acc = b.constant(Literal::scalar(computed, 0.0));
        let own = b.plus(number, 1);
        let own = b.converted(own, DType::U64);
        b.times_over(reach.iter().product(), |b, k| {
            let k = b.point(k, &reach);
            let (mut exists, mut window) = (b.truth(true), Vec::with_capacity(k.len()));
            for a in 0..out.shape.len() {
                // the last window, of those that there are, that begins at or before the element, and so many before it
                let at = b.times(index[a], g.base_dilation[a] as i64);
                let at = b.plus(at, g.padding[a].0);
                let (last, _) = b.divide(at, g.strides[a]);
                let greatest = b.index(source.shape[a].max(1) as i64 - 1);
                let last = b.binary(Binary::Min, last, greatest);
                let first = b.index(reach[a] as i64 - 1);
                let back = b.binary(Binary::Sub, first, k[a]);
                let w = b.binary(Binary::Sub, last, back);
                let end = b.index(source.shape[a] as i64);
                // before the first window it wraps
                let within = b.compare(Comparison::Lt, w, end);
                exists = b.both(exists, within);
                window.push(w);
            }
            b.when(exists, |b| {
                let at = position(b, &window, &source.shape);
                let place = b.load(Memory::Param(1), at);
                let won = b.compare(Comparison::Eq, place, own);
                b.when(won, |b| {
                    let x = load_computed(b, Memory::Param(0), at);
                    let sum = b.binary(Binary::Add, acc, x);
                    b.assign(acc, sum);
                });
            });
        });
        let stored = b.converted(acc, out.dtype);
        b.store(Memory::Param(2), number, stored);
    })?;
    let mut all = Launches::default();
    let winners = all.take(places.bytes());
    all.push(find, vec![Operand::Arg(1), winners]);
    all.push(add, vec![Operand::Arg(0), winners, Operand::Result(0)]);
    Ok(all)
}
