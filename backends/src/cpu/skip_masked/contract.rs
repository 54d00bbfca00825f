//! Products of scores with something else, over the keys or the queries.

use super::cut::{Cutter, sliced};
use super::hidden::Hidden;
use super::region::{Kind, Place, places};
use gradloom_ir::{Node, Shape, Value};
use std::collections::{HashSet, VecDeque};

/// Of the products that are yet to be made, this many are looked at for some that can be made now.
const MAX_WAITING: usize = 16;

/// A product of scores with something else over the keys or the queries.
pub(super) struct Contraction<'a> {
    node: &'a Node,
    scores: Value,
    /// Whether the scores are the left operand.
    on_left: bool,
    over_keys: bool,
    /// What the axes of the scores and of the other operand are for.
    places: [Vec<Place>; 2],
    /// The axis of the scores that is summed over.
    axis: usize,
    other: Value,
    /// The axis of the other operand that is summed over with it.
    other_axis: usize,
    /// Where the other one of queries and keys is in the result.
    scores_place: usize,
}

impl<'a> Contraction<'a> {
    /// The node as such a product, if it is one: of queries and keys it sums over one, and has the other one in its result.
    pub fn new(cutter: &Cutter<'a>, node: &'a Node) -> Option<Contraction<'a>> {
        let [mut left, mut right] = places(cutter.g, node)?;
        let side = node.args.iter().position(|&a| cutter.region.kind(a) == Kind::Scores)?;
        if matches!(cutter.region.kind(*node.results.first()?), Kind::Scores | Kind::Rows) {
            return None;
        }
        if side == 1 {
            std::mem::swap(&mut left, &mut right);
        }
        let query = cutter.axis();
        let (axis, over, scores_place) = match (left[query], left[query + 1]) {
            (Place::Contracted(k), Place::Free(place)) => (query, k, place),
            (Place::Free(place), Place::Contracted(k)) => (query + 1, k, place),
            _ => return None,
        };
        let other_axis = right.iter().position(|&p| p == Place::Contracted(over))?;
        Some(Contraction {
            node,
            scores: node.args[side],
            on_left: side == 0,
            over_keys: axis != query,
            places: [left, right],
            axis,
            other: node.args[1 - side],
            other_axis,
            scores_place,
        })
    }

    pub fn result(&self) -> Value {
        self.node.results[0]
    }

    fn in_order(&self, scores: Value, other: Value) -> [Value; 2] {
        if self.on_left { [scores, other] } else { [other, scores] }
    }
}

impl<'a> Cutter<'a> {
    /// The first product of scores, and what else can be made of the same scores now: the products of one block of queries
    /// come together, so that its scores need not be kept until those of all others are there.
    pub(super) fn products(&mut self, waiting: &mut VecDeque<Contraction<'a>>) -> Option<()> {
        let mut now = vec![waiting.pop_front()?];
        let with = self.region.component(now[0].scores);
        let mut k = 0;
        while k < waiting.len().min(MAX_WAITING) {
            let p = &waiting[k];
            if self.region.component(p.scores) == with && self.is_ready([p.scores, p.other]) {
                now.extend(waiting.remove(k));
            } else {
                k += 1;
            }
        }
        let others = now.iter().map(|p| self.as_whole(p.other)).collect::<Option<Vec<_>>>()?;
        let mut blocks: Vec<Vec<Value>> = vec![Vec::with_capacity(self.count()); now.len()];
        for i in 0..self.count() {
            for ((p, &other), blocks) in now.iter().zip(&others).zip(&mut blocks) {
                let scores = self.block(p.scores, i)?;
                let (rows, columns) = (self.region.cut.rows[i].clone(), self.region.cut.columns[i].clone());
                self.b.set_loc(&p.node.loc);
                let part = sliced(&mut self.b, other, p.other_axis, if p.over_keys { columns } else { rows });
                blocks.push(self.b.op(p.node.op.clone(), &p.in_order(scores, part)));
            }
        }
        for ((p, other), blocks) in now.iter().zip(others).zip(blocks) {
            let result =
                if p.over_keys { self.over_keys(p, other, blocks) } else { self.over_queries(p, other, blocks) };
            self.whole[p.result().index()] = Some(result?);
        }
        Some(())
    }

    /// Whether everything that these are made of, and is not cut, is there.
    fn is_ready(&self, values: [Value; 2]) -> bool {
        let (mut open, mut seen) = (values.to_vec(), HashSet::new());
        while let Some(v) = open.pop() {
            if self.whole[v.index()].is_some() || !seen.insert(v) {
                continue;
            }
            match self.definition(v) {
                Some(node) if matches!(self.region.kind(v), Kind::Scores | Kind::Rows) => open.extend(&node.args),
                _ => return false,
            }
        }
        true
    }

    /// Each block gives the rows of its queries; to them comes what the hidden keys add.
    fn over_keys(&mut self, p: &Contraction, other: Value, mut blocks: Vec<Value>) -> Option<Value> {
        for (i, block) in blocks.iter_mut().enumerate() {
            let Some(sum) = self.sum_of_hidden(other, p.other_axis, i) else { continue };
            let Hidden::Row(row) = self.hidden(p.scores, i)? else { return None };
            self.b.set_loc(&p.node.loc);
            let added = self.product_of_rows(p, row, sum, *block);
            *block = self.b.add(*block, added);
        }
        Some(self.b.concatenate(&blocks, p.scores_place))
    }

    /// What each row's number and the sum over hidden keys make together: the product without the keys.
    fn product_of_rows(&mut self, p: &Contraction, row: Value, sum: Value, like: Value) -> Value {
        let mut shape = self.b.ty(like).shape.clone();
        let rank = shape.len();
        let row = self.widened(row);
        // what else is summed over comes behind the axes of the result
        let mut more: Vec<usize> = Vec::new();
        let places = [(row, &p.places[0], p.axis), (sum, &p.places[1], p.other_axis)].map(|(x, places, gone)| {
            let left = places.iter().enumerate().filter(|(a, _)| *a != gone);
            let lengths = self.b.ty(x).shape.clone();
            let dims = left.zip(lengths).map(|((_, place), n)| match *place {
                Place::Batch(a) | Place::Free(a) => a,
                Place::Contracted(k) => match more.iter().position(|&m| m == k) {
                    Some(at) => rank + at,
                    None => {
                        more.push(k);
                        shape.push(n);
                        shape.len() - 1
                    }
                },
            });
            (x, dims.collect::<Shape>())
        });
        let [row, sum] = places.map(|(x, dims)| self.b.broadcast(x, &shape, &dims));
        let product = self.b.mul(row, sum);
        let axes: Vec<usize> = (rank..shape.len()).collect();
        let product = self.b.sum(product, &axes);
        self.b.convert(product, self.b.ty(like).dtype)
    }

    /// Each block adds to the rows of the keys it sees, and to those of hidden keys what they have in common.
    fn over_queries(&mut self, p: &Contraction, other: Value, blocks: Vec<Value>) -> Option<Value> {
        let cut = &self.region.cut;
        let mut commons = Vec::with_capacity(blocks.len());
        for i in 0..blocks.len() {
            if cut.hidden(i).next().is_none() {
                commons.push(None);
                continue;
            }
            let Hidden::Row(row) = self.hidden(p.scores, i)? else { return None };
            self.b.set_loc(&p.node.loc);
            let part = sliced(&mut self.b, other, p.other_axis, cut.rows[i].clone());
            // the axis that a row's numbers lack is the last of the scores, so the others have their numbers
            commons.push(Some(self.b.op(p.node.op.clone(), &p.in_order(row, part))));
        }
        let mut ends: Vec<usize> = cut.columns.iter().flat_map(|c| [c.start, c.end]).chain([0, cut.keys()]).collect();
        ends.sort_unstable();
        ends.dedup();
        let mut parts = Vec::with_capacity(ends.len());
        for keys in ends.windows(2).map(|w| w[0]..w[1]) {
            let mut sum: Option<Value> = None;
            for (i, (&block, common)) in blocks.iter().zip(&commons).enumerate() {
                let columns = cut.columns[i].clone();
                let term = if columns.start <= keys.start && keys.end <= columns.end {
                    let from = keys.start - columns.start;
                    sliced(&mut self.b, block, p.scores_place, from..from + keys.len())
                } else {
                    let mut shape = self.b.ty(block).shape.clone();
                    shape[p.scores_place] = keys.len();
                    let dims: Shape = (0..shape.len()).filter(|&a| a != p.scores_place).collect();
                    self.b.broadcast((*common)?, &shape, &dims)
                };
                sum = Some(sum.map_or(term, |s| self.b.add(s, term)));
            }
            parts.push(sum?);
        }
        Some(self.b.concatenate(&parts, p.scores_place))
    }
}
