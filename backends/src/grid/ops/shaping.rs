//! Padding and concatenation: a thread an element of the result.

use super::{Launches, Operand, each, each_by, index_dtype, load_words, store_words, words};
use crate::grid::{Build, Memory, Reg};
use gradloom_ir::{Binary, Comparison, DType, Result, Type, row_major_strides};

/// `sum(index[i] * strides[i])` in row-major order of `shape`.
pub(super) fn position(b: &mut Build, index: &[Reg], shape: &[usize]) -> Reg {
    let mut sum = b.index(0);
    for (&i, &stride) in index.iter().zip(&row_major_strides(shape)) {
        let term = b.times(i, stride as i64);
        sum = b.binary(Binary::Add, sum, term);
    }
    sum
}

/// Each element reads its source, or the padding where there is none.
pub(super) fn pad(args: &[Type], low: &[i64], interior: &[usize], out: &Type) -> Result<Launches> {
    let (x, w) = (&args[0], words(out));
    // how many places an operand's axis takes, from `low` on
    let spans: Vec<i128> = (0..low.len())
        .map(|a| if x.shape[a] == 0 { 0 } else { (x.shape[a] as i128 - 1) * (interior[a] as i128 + 1) + 1 })
        .collect();
    let large = |x: i128| x.unsigned_abs() >= 1 << 31;
    let is_wide = spans.iter().any(|&s| large(s)) || low.iter().any(|&l| large(l.into()));
    let arrays = [x, &args[1], out];
    let index = if is_wide { DType::U64 } else { index_dtype(arrays) };
    let kernel = each_by("pad", &arrays, index, out.numel(), |b, number| {
        let index = b.point(number, &out.shape);
        let zero = b.index(0);
        let padding = load_words(b, w, Memory::Param(1), zero);
        let value: Vec<Reg> = padding.iter().map(|&r| b.variable(r)).collect();
        let mut inside = b.truth(true);
        let mut source = Vec::with_capacity(index.len());
        for (a, &i) in index.iter().enumerate() {
            // what lies before `low` wraps to beyond the span
            let at = b.plus(i, low[a].wrapping_neg());
            let end = b.index(i64::try_from(spans[a]).unwrap_or(i64::MAX));
            let within = b.compare(Comparison::Lt, at, end);
            let (at, rest) = if x.shape[a] > 1 { b.divide(at, interior[a].saturating_add(1)) } else { (zero, at) };
            let on_grid = b.compare(Comparison::Eq, rest, zero);
            for holds in [within, on_grid] {
                inside = b.both(inside, holds);
            }
            source.push(at);
        }
        b.when(inside, |b| {
            let at = position(b, &source, &x.shape);
            let element = load_words(b, w, Memory::Param(0), at);
            value.iter().zip(element).for_each(|(&v, e)| b.assign(v, e));
        });
        store_words(b, w, Memory::Param(2), number, value.into());
    })?;
    Ok(Launches::one(kernel, vec![Operand::Arg(0), Operand::Arg(1), Operand::Result(0)]))
}

/// A launch an operand, each of which writes its part of the result.
pub(super) fn concatenate(args: &[Type], axis: usize, out: &Type) -> Result<Launches> {
    let (w, mut before) = (words(out), 0);
    let mut all = Launches::default();
    for (k, x) in args.iter().enumerate().filter(|(_, x)| x.numel() > 0) {
        let kernel = each("concatenate", &[x, out], x.numel(), |b, number| {
            let mut index = b.point(number, &x.shape);
            index[axis] = b.plus(index[axis], before);
            let at = position(b, &index, &out.shape);
            let element = load_words(b, w, Memory::Param(0), number);
            store_words(b, w, Memory::Param(1), at, element);
        })?;
        all.push(kernel, vec![Operand::Arg(k), Operand::Result(0)]);
        before += x.shape[axis] as i64;
    }
    Ok(all)
}
