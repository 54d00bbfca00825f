//! Padding and concatenation: a thread an element of the result.

use super::{Launches, Operand, each, each_by, index_within, load_words, position, store_words, undilated, words};
use crate::grid::{Memory, Reg};
use gradloom_ir::{Result, Type};

/// Each element reads its source, or the padding where there is none.
pub(super) fn pad(args: &[Type], low: &[i64], interior: &[usize], out: &Type) -> Result<Launches> {
    let (x, w) = (&args[0], words(out));
    let arrays = [x, &args[1], out];
    let step = |a: usize| interior[a].saturating_add(1);
    let extent = |a: usize| x.shape[a] as i128 * step(a) as i128 + i128::from(low[a]).abs();
    let index = index_within((0..low.len()).map(extent), arrays);
    let kernel = each_by("pad", &arrays, index, out.numel(), |b, number| {
        let index = b.point(number, &out.shape);
        let zero = b.index(0);
        let padding = load_words(b, w, Memory::Param(1), zero);
        let value: Vec<Reg> = padding.iter().map(|&r| b.variable(r)).collect();
        let mut inside = b.truth(true);
        let mut source = Vec::with_capacity(index.len());
        for (a, &i) in index.iter().enumerate() {
            let place = b.plus(i, low[a].wrapping_neg());
            let (exists, at) = undilated(b, place, x.shape[a], step(a));
            inside = b.both(inside, exists);
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
