//! The order in which a product of several operands is contracted, pair by pair.
//!
//! Of up to [`OPTIMAL`] operands the order of least cost is found by dynamic programming over their subsets (the tree of
//! pairwise products that costs least for a set is a split of it into two sets and the best tree of each); of more,
//! the pair whose product grows least over what it replaces goes first.

use std::collections::HashMap;

/// Names an index.
pub(super) type Label = u32;

/// Up to so many operands all orders are compared: the work is 3 to this power.
const OPTIMAL: usize = 8;

/// An order of pairwise products, and what it costs; see [`crate::einsum_path`].
#[derive(Clone, Debug, PartialEq)]
pub struct EinsumPath {
    /// Positions of the two operands of each product in the list of those left; the product goes to its end.
    pub order: Vec<(usize, usize)>,
    /// Multiplications and additions of all products in that order.
    pub flops: f64,
    /// Elements of the greatest product.
    pub largest: f64,
}

/// Operands by their indices, which index is wanted in the result, and the lengths.
pub(super) struct Contraction<'a> {
    pub operands: &'a [Vec<Label>],
    pub out: &'a [Label],
    pub lengths: &'a HashMap<Label, usize>,
}

impl Contraction<'_> {
    /// Elements of an array with these indices.
    fn size(&self, labels: &[Label]) -> f64 {
        labels.iter().map(|l| self.lengths.get(l).copied().unwrap_or(1) as f64).product()
    }

    /// The path: of least cost for few operands, else greedy.
    pub fn path(&self) -> EinsumPath {
        let order = if self.operands.len() <= OPTIMAL { self.optimal() } else { self.greedy() };
        self.cost(order)
    }

    /// The cost of an order.
    fn cost(&self, order: Vec<(usize, usize)>) -> EinsumPath {
        let mut left = self.operands.to_vec();
        let (mut flops, mut largest) = (0.0, 0.0f64);
        for &(i, j) in &order {
            let (all, product) = self.product(&left, i, j);
            flops += self.flops(&all, product.len());
            largest = largest.max(self.size(&product));
            left.remove(j);
            left.remove(i);
            left.push(product);
        }
        EinsumPath { order, flops, largest }
    }

    /// One multiplication a combination of `all` indices, and one addition if only `kept` of them stay.
    fn flops(&self, all: &[Label], kept: usize) -> f64 {
        self.size(all) * if kept < all.len() { 2.0 } else { 1.0 }
    }

    /// All indices of operands `i < j` of `left`, and those their product keeps.
    fn product(&self, left: &[Vec<Label>], i: usize, j: usize) -> (Vec<Label>, Vec<Label>) {
        let mut all = left[i].clone();
        all.extend(left[j].iter().filter(|l| !left[i].contains(l)));
        let elsewhere = |l: &Label| left.iter().enumerate().any(|(k, x)| k != i && k != j && x.contains(l));
        let kept = all.iter().copied().filter(|l| self.out.contains(l) || elsewhere(l)).collect();
        (all, kept)
    }

    fn greedy(&self) -> Vec<(usize, usize)> {
        let mut left = self.operands.to_vec();
        let mut order = Vec::new();
        while left.len() > 1 {
            let mut best = (f64::INFINITY, 0, 1);
            for j in 1..left.len() {
                for i in 0..j {
                    let (_, product) = self.product(&left, i, j);
                    let grows = self.size(&product) - self.size(&left[i]) - self.size(&left[j]);
                    if grows < best.0 {
                        best = (grows, i, j);
                    }
                }
            }
            let (_, i, j) = best;
            let (_, product) = self.product(&left, i, j);
            left.remove(j);
            left.remove(i);
            left.push(product);
            order.push((i, j));
        }
        order
    }

    fn optimal(&self) -> Vec<(usize, usize)> {
        let n = self.operands.len();
        if n < 2 {
            return Vec::new();
        }
        let everything = (1usize << n) - 1;
        // which operands have each index
        let mut holders: Vec<(Label, usize)> = Vec::new();
        for (k, labels) in self.operands.iter().enumerate() {
            for &l in labels {
                match holders.iter_mut().find(|h| h.0 == l) {
                    Some(h) => h.1 |= 1 << k,
                    None => holders.push((l, 1 << k)),
                }
            }
        }
        // the indices that the product of a set of operands keeps
        let kept = |set: usize| -> Vec<Label> {
            let stays = |l: Label, m: usize| m & set != 0 && (m & !set != 0 || self.out.contains(&l));
            holders.iter().filter(|(l, m)| stays(*l, *m)).map(|(l, _)| *l).collect()
        };
        let kept: Vec<Vec<Label>> = (0..=everything).map(kept).collect();
        let mut best = vec![(0.0f64, 0usize); everything + 1];
        for set in 1..=everything {
            if set.is_power_of_two() {
                continue;
            }
            let lowest = set & set.wrapping_neg();
            best[set] = (f64::INFINITY, lowest);
            // each split once: the part with the lowest operand is `a`
            let mut a = (set - 1) & set;
            while a > 0 {
                let b = set & !a;
                if a & lowest != 0 {
                    let mut all = kept[a].clone();
                    all.extend(kept[b].iter().filter(|l| !kept[a].contains(l)));
                    let cost = best[a].0 + best[b].0 + self.flops(&all, kept[set].len());
                    if cost < best[set].0 {
                        best[set] = (cost, a);
                    }
                }
                a = (a - 1) & set;
            }
        }
        let mut left: Vec<usize> = (0..n).map(|k| 1 << k).collect();
        let mut order = Vec::new();
        emit(everything, &best, &mut left, &mut order);
        order
    }
}

/// Appends the products that make the product of `set`, and keeps the list of what is left.
fn emit(set: usize, best: &[(f64, usize)], left: &mut Vec<usize>, order: &mut Vec<(usize, usize)>) {
    if set.is_power_of_two() {
        return;
    }
    let (a, b) = (best[set].1, set & !best[set].1);
    emit(a, best, left, order);
    emit(b, best, left, order);
    let at = |part: usize| left.iter().position(|&s| s == part).unwrap_or(0);
    let (i, j) = (at(a).min(at(b)), at(a).max(at(b)));
    left.remove(j);
    left.remove(i);
    left.push(set);
    order.push((i, j));
}
