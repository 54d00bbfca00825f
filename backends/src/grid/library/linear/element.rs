//! Real and complex numbers in registers: one word, or a real and an imaginary one.

use super::{Array, Plan, Result, run};
use crate::grid::ops::{Words, load_words, store_words};
use crate::grid::{Build, Reg, Source};
use crate::kernel::Inst;
use gradloom_ir::{Binary, Comparison, Literal, Unary};
use smallvec::SmallVec;

/// The words of a number.
pub(super) type Number = SmallVec<[Reg; 4]>;

pub(super) fn zero(b: &mut Build, w: Words) -> Number {
    let zero = b.constant(Literal::scalar(w.dtype, 0.0));
    (0..w.per_element).map(|_| zero).collect()
}

/// `p ? x : y`
pub(super) fn select(b: &mut Build, p: Reg, x: &Number, y: &Number) -> Number {
    x.iter().zip(y).map(|(&x, &y)| b.select(p, x, y)).collect()
}

pub(super) fn negated(b: &mut Build, x: Reg) -> Reg {
    b.set(b.dtype(x), Source::Scalar(Inst::Unary(Unary::Neg, x)))
}

pub(super) fn conjugate(b: &mut Build, mut x: Number) -> Number {
    if let Some(im) = x.get_mut(1) {
        *im = negated(b, *im);
    }
    x
}

/// x y
pub(super) fn times(b: &mut Build, x: &Number, y: &Number) -> Number {
    let mut product = |x: Reg, y: Reg| b.binary(Binary::Mul, x, y);
    match (&x[..], &y[..]) {
        ([x], [y]) => [product(*x, *y)].into_iter().collect(),
        ([x, ix], [y, iy]) => {
            let (rr, ii) = (product(*x, *y), product(*ix, *iy));
            let (ri, ir) = (product(*x, *iy), product(*ix, *y));
            [b.binary(Binary::Sub, rr, ii), b.binary(Binary::Add, ri, ir)].into_iter().collect()
        }
        _ => x.clone(),
    }
}

/// The square of the magnitude.
pub(super) fn square(b: &mut Build, x: &Number) -> Reg {
    let squares: Vec<Reg> = x.iter().map(|&x| b.binary(Binary::Mul, x, x)).collect();
    squares.into_iter().reduce(|x, y| b.binary(Binary::Add, x, y)).unwrap_or(x[0])
}

/// The square root.
pub(super) fn root(b: &mut Build, x: Reg) -> Reg {
    b.set(b.dtype(x), Source::Scalar(Inst::Unary(Unary::Sqrt, x)))
}

/// Vectors in memory: `count` a matrix, each of `n` elements.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    pub matrices: usize,
    pub count: usize,
    pub n: usize,
    /// Elements from an element of a vector to the next, from a vector to the next, from a matrix to the next.
    pub element: usize,
    pub line: usize,
    pub matrix: usize,
}

/// For each vector the factor that makes positive its first element within a tenth of the greatest magnitude, and of length 1 if
/// it is to be: an array of `count` numbers a matrix.
pub(super) fn phases(plan: &mut Plan, of: &Array, lines: Lines, to_unit: bool) -> Result<Array> {
    let l = lines;
    let factors = Array::scratch(plan, of.ty.dtype, l.matrices * l.count);
    let w = of.words();
    run(plan, "phases", &[of, &factors], l.matrices * l.count, |b, params, number| {
        let point = b.point(number, &[l.matrices, l.count]);
        let first = b.place(&point, &[l.matrix, l.line]);
        let read = |b: &mut Build, i: Reg| {
            let at = b.times(i, l.element as i64);
            let at = b.binary(Binary::Add, first, at);
            load_words(b, w, params[0], at)
        };
        let [zero, one] = [0.0, 1.0].map(|x| b.constant(Literal::scalar(w.dtype, x)));
        let (greatest, sum) = (b.variable(zero), b.variable(zero));
        b.times_over(l.n, |b, i| {
            let x = read(b, i);
            let size = square(b, &x);
            let most = b.binary(Binary::Max, greatest, size);
            b.assign(greatest, most);
            let more = b.binary(Binary::Add, sum, size);
            b.assign(sum, more);
        });
        // squares: a tenth less in magnitude
        let share = b.constant(Literal::scalar(w.dtype, 0.81));
        let least = b.binary(Binary::Mul, greatest, share);
        let searching = b.truth(true);
        let searching = b.variable(searching);
        let leader: Number = (0..w.per_element).map(|k| b.variable(if k == 0 { one } else { zero })).collect();
        b.times_over(l.n, |b, i| {
            let x = read(b, i);
            let size = square(b, &x);
            let large = b.compare(Comparison::Ge, size, least);
            let some = b.compare(Comparison::Gt, size, zero);
            let leads = b.both(large, some);
            let leads = b.both(leads, searching);
            b.when(leads, |b| {
                leader.iter().zip(&x).for_each(|(&l, &x)| b.assign(l, x));
                let found = b.truth(false);
                b.assign(searching, found);
            });
        });
        let mut factor: Number = if w.per_element == 1 {
            let negative = b.compare(Comparison::Lt, leader[0], zero);
            let minus = negated(b, one);
            [b.select(negative, minus, one)].into_iter().collect()
        } else {
            let size = square(b, &leader);
            let size = root(b, size);
            let conjugate = conjugate(b, leader.clone());
            conjugate.iter().map(|&x| b.binary(Binary::Div, x, size)).collect()
        };
        if to_unit {
            let length = root(b, sum);
            factor = factor.iter().map(|&x| b.binary(Binary::Div, x, length)).collect();
        }
        store_words(b, w, params[1], number, factor);
    })?;
    Ok(factors)
}
