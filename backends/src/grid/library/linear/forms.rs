//! What is built on singular values and eigenvectors: products of the factors, a thread an element.

use super::element::{self, Number, conjugate, times};
use super::spectral::decomposed;
use super::{Array, Plan, Result, Site, Target, Vectors, Verdict, run, sizes, write};
use crate::grid::ops::{load_words, store_words};
use crate::grid::{Build, Memory, Reg};
use gradloom_ir::{Binary, Comparison, Literal};

/// The most directions of a spectral form: their orders are written out in the kernel.
pub(super) const MOST_ORDER: usize = 4;

fn add(b: &mut Build, x: &Number, y: &Number) -> Number {
    x.iter().zip(y).map(|(&x, &y)| b.binary(Binary::Add, x, y)).collect()
}

/// A real number times another.
fn weighted(b: &mut Build, weight: Reg, x: &Number) -> Number {
    x.iter().map(|&x| b.binary(Binary::Mul, weight, x)).collect()
}

/// A sum that begins as 0.
fn sum(b: &mut Build, w: crate::grid::ops::Words) -> Number {
    element::zero(b, w).iter().map(|&x| b.variable(x)).collect()
}

fn assign(b: &mut Build, to: &Number, x: Number) {
    to.iter().zip(x).for_each(|(&to, x)| b.assign(to, x));
}

/// V diag(1 / s) U^H over the singular values above the tolerance times the greatest.
pub(super) fn pinv(site: &Site) -> Result<Plan> {
    let mut plan = Plan::default();
    let (batch, m, n) = sizes(&site.args[0]);
    let k = m.min(n);
    let verdict = Verdict::new(&mut plan, batch)?;
    let (parts, verdict) = decomposed(&mut plan, site, Vectors::Thin, verdict)?;
    let tolerance = Array::arg(site, 1);
    let weights = Array::scratch(&mut plan, parts.values.ty.dtype, batch * k);
    run(&mut plan, "weights", &[&parts.values, &tolerance, &weights], batch * k, |b, params, number| {
        let point = b.point(number, &[batch, k]);
        let first = b.place(&point[..1], &[k]);
        let (value, greatest) = (b.load(params[0], number), b.load(params[0], first));
        let share = b.load(params[1], point[0]);
        let least = b.binary(Binary::Mul, share, greatest);
        let [zero, one] = [0.0, 1.0].map(|x| b.constant(Literal::scalar(weights.ty.dtype, x)));
        let counts = b.compare(Comparison::Gt, value, least);
        let divisor = b.select(counts, value, one);
        let inverse = b.binary(Binary::Div, one, divisor);
        let weight = b.select(counts, inverse, zero);
        b.store(params[2], number, weight);
    })?;
    let w = parts.left.array.words();
    let sources = [&parts.left.array, &parts.right.array, &weights];
    write(&mut plan, &Target::matrices(site, 0), &verdict, &sources, |b, params, [matrix, i, j]| {
        let total = sum(b, w);
        b.times_over(k, |b, l| {
            let at = parts.left.at(b, matrix, l, j);
            let u = load_words(b, w, params[0], at);
            let at = parts.right.at(b, matrix, l, i);
            let vh = load_words(b, w, params[1], at);
            let at = b.place(&[matrix, l], &[k, 1]);
            let weight = b.load(params[2], at);
            let product = times(b, &vh, &u);
            let term = conjugate(b, product);
            let term = weighted(b, weight, &term);
            let more = add(b, &total, &term);
            assign(b, &total, more);
        });
        total
    })?;
    Ok(plan)
}

/// Row-major square matrices of a product.
#[derive(Clone, Copy)]
struct Squares {
    batch: usize,
    n: usize,
}

impl Squares {
    /// `to = op(x) op(y)`, each as it is or adjoint.
    fn product(
        self,
        plan: &mut Plan,
        (x, x_adjoint): (&Array, bool),
        (y, y_adjoint): (&Array, bool),
        to: &Array,
    ) -> Result<()> {
        let (w, n) = (to.words(), self.n);
        run(plan, "square_product", &[x, y, to], self.batch * n * n, |b, params, number| {
            let point = b.point(number, &[self.batch, n, n]);
            let total = sum(b, w);
            b.times_over(n, |b, l| {
                let factor = |b: &mut Build, from: Memory, i: Reg, j: Reg, adjoint: bool| {
                    let (row, column) = if adjoint { (j, i) } else { (i, j) };
                    let at = b.place(&[point[0], row, column], &[n * n, n, 1]);
                    let x = load_words(b, w, from, at);
                    if adjoint { conjugate(b, x) } else { x }
                };
                let x = factor(b, params[0], point[1], l, x_adjoint);
                let y = factor(b, params[1], l, point[2], y_adjoint);
                let term = times(b, &x, &y);
                let more = add(b, &total, &term);
                assign(b, &total, more);
            });
            store_words(b, w, params[2], number, total);
        })
    }
}

/// All orders of `0..n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(n - 1);
    shorter.iter().flat_map(|o| (0..n).map(move |at| [&o[..at], &[n - 1], &o[at..]].concat())).collect()
}

/// v m v^H with m[i0, ik] = sum over inner indices and orders of the directions of d[i0, .., ik] e[i0, i1] e'[i1, i2] ..
pub(super) fn spectral_form(site: &Site, order: usize) -> Result<Plan> {
    let mut plan = Plan::default();
    let (batch, n, _) = sizes(&site.args[0]);
    let squares = Squares { batch, n };
    let (v, table) = (Array::arg(site, 1), Array::arg(site, 2));
    let directions = site.args.len() - order;
    let own = |plan: &mut Plan| Array::scratch(plan, v.ty.dtype, batch * n * n);
    let (half, inside_sum) = (own(&mut plan), own(&mut plan));
    let mut inside = Vec::with_capacity(order);
    for k in 0..order {
        let to = own(&mut plan);
        squares.product(&mut plan, (&Array::arg(site, directions + k), false), (&v, false), &half)?;
        squares.product(&mut plan, (&v, true), (&half, false), &to)?;
        inside.push(to);
    }
    let mut arrays = vec![&table];
    arrays.extend(&inside);
    arrays.push(&inside_sum);
    let w = v.words();
    // of the table: from a matrix to the next, and along its axes
    let strides: Vec<usize> = (0..order as u32 + 2).rev().map(|k| n.pow(k)).collect();
    run(&mut plan, "directions", &arrays, batch * n * n, |b, params, number| {
        let point = b.point(number, &[batch, n, n]);
        if order == 0 {
            // the function itself: its values on the diagonal
            let at = b.place(&point[..2], &[n, 1]);
            let value = b.load(params[0], at);
            let zero = element::zero(b, w);
            let mut on = zero.clone();
            on[0] = value;
            let diagonal = b.compare(Comparison::Eq, point[1], point[2]);
            let x = element::select(b, diagonal, &on, &zero);
            return store_words(b, w, params[1], number, x);
        }
        let total = sum(b, w);
        over(b, n, order - 1, &mut Vec::new(), &mut |b, inner| {
            let index = [&point[1..2], inner, &point[2..3]].concat();
            let at = b.place(&[&point[..1], &index].concat(), &strides);
            let weight = b.load(params[0], at);
            let permanent = sum(b, w);
            for order in orders(order) {
                let factors: Vec<Number> = order
                    .iter()
                    .enumerate()
                    .map(|(k, &e)| {
                        let at = b.place(&[point[0], index[k], index[k + 1]], &[n * n, n, 1]);
                        load_words(b, w, params[1 + e], at)
                    })
                    .collect();
                let product = factors.into_iter().reduce(|x, y| times(b, &x, &y));
                if let Some(product) = product {
                    let more = add(b, &permanent, &product);
                    assign(b, &permanent, more);
                }
            }
            let term = weighted(b, weight, &permanent);
            let more = add(b, &total, &term);
            assign(b, &total, more);
        });
        store_words(b, w, params[params.len() - 1], number, total);
    })?;
    squares.product(&mut plan, (&v, false), (&inside_sum, false), &half)?;
    squares.product(&mut plan, (&half, false), (&v, true), &Array::result(site, 0))?;
    Ok(plan)
}

/// `depth` loops over `0..n`, one in the other; `body` gets their counters.
fn over(b: &mut Build, n: usize, depth: usize, counters: &mut Vec<Reg>, body: &mut dyn FnMut(&mut Build, &[Reg])) {
    if counters.len() == depth {
        return body(b, counters);
    }
    b.times_over(n, |b, i| {
        counters.push(i);
        over(b, n, depth, counters, body);
        counters.pop();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders() {
        let mut three = orders(3);
        three.sort();
        let expected = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        assert_eq!(three, expected.map(|o| o.to_vec()));
    }
}
