//! The program with its scores cut into blocks.

use super::known::Known;
use super::region::{Kind, Region, free_axes};
use gradloom_ir::{Binary, Builder, Graph, Node, Op, ReduceKind, Result, Shape, Unary, Value};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// Of the products that are yet to be made, this many are looked at for some that can be made now.
const MAX_WAITING: usize = 16;

/// What the hidden scores of a block of queries are.
#[derive(Clone, Debug)]
enum Hidden {
    /// One number a row: `[.., queries]`.
    Row(Value),
    Sum(Sum),
    /// Nothing that can be said without computing them.
    Unknown,
}

/// Elements of products, each times one number a row, and one number a row.
#[derive(Clone, Debug, Default)]
struct Sum {
    /// Where the products are in the old program, and what they are multiplied by.
    products: Vec<(usize, Option<Value>)>,
    row: Option<Value>,
}

impl Hidden {
    fn as_sum(&self) -> Option<Sum> {
        match self {
            Hidden::Row(v) => Some(Sum { row: Some(*v), ..Sum::default() }),
            Hidden::Sum(sum) => Some(sum.clone()),
            Hidden::Unknown => None,
        }
    }
}

/// Rewrites a program block by block. `None` says that a whole array is asked for that cannot be put together.
pub(super) struct Cutter<'a> {
    g: &'a Graph,
    region: &'a Region,
    definitions: Arc<[Option<usize>]>,
    known: Known<'a>,
    b: Builder,
    /// Values as a whole, of the old program in the new one.
    whole: Vec<Option<Value>>,
    /// The scores that are seen of a block, and the rows of a block.
    blocks: HashMap<(Value, usize), Value>,
    hidden: HashMap<(Value, usize), Hidden>,
}

impl<'a> Cutter<'a> {
    pub fn new(g: &'a Graph, region: &'a Region) -> Cutter<'a> {
        let mut b = Builder::new();
        let mut whole = vec![None; g.num_values()];
        for v in g.inputs() {
            whole[v.index()] = Some(b.input(g.ty(v).clone(), &g.input_names()[v.index()]));
        }
        let definitions = g.definitions();
        let (blocks, hidden) = (HashMap::new(), HashMap::new());
        Cutter { g, region, definitions, known: Known::new(g), b, whole, blocks, hidden }
    }

    pub fn cut(mut self) -> Result<Option<Graph>> {
        let g = self.g;
        let mut products: VecDeque<Contraction> = g.nodes().iter().filter_map(|n| Contraction::new(&self, n)).collect();
        for node in g.nodes() {
            // made where they are read, or along with another product
            let is_made = |&r: &Value| {
                matches!(self.region.kind(r), Kind::Scores | Kind::Rows) || self.whole[r.index()].is_some()
            };
            if !node.results.is_empty() && node.results.iter().all(is_made) {
                continue;
            }
            let done = if products.front().is_some_and(|p| node.results.first() == Some(&p.result())) {
                self.products(&mut products)
            } else {
                self.node(node)
            };
            if done.is_none() {
                return Ok(None);
            }
        }
        let outputs: Option<Vec<Value>> = self.g.outputs().iter().map(|&o| self.as_whole(o)).collect();
        outputs.map(|outputs| self.b.finish(&outputs)).transpose()
    }

    /// A node that is not cut itself.
    fn node(&mut self, node: &Node) -> Option<()> {
        let args = node.args.iter().map(|&a| self.as_whole(a)).collect::<Option<Vec<_>>>()?;
        self.b.set_loc(&node.loc);
        let types = node.results.iter().map(|&r| self.g.ty(r).clone());
        for (r, new) in node.results.iter().zip(self.b.emit_typed(node.op.clone(), &args, types)) {
            self.whole[r.index()] = Some(new);
        }
        Some(())
    }

    /// The first product of scores, and what else can be made of the same scores now: the products of one block of queries
    /// come together, so that its scores need not be kept until those of all others are there.
    fn products(&mut self, waiting: &mut VecDeque<Contraction<'a>>) -> Option<()> {
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
            let result = if p.over_keys { self.over_keys(p, other, blocks) } else { self.over_queries(p, other, blocks) };
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

    fn count(&self) -> usize {
        self.region.cut.rows.len()
    }

    /// The axis of the queries; that of the keys is the next.
    fn axis(&self) -> usize {
        self.region.cut.batch()
    }

    fn definition(&self, v: Value) -> Option<&'a Node> {
        self.definitions[v.index()].map(|i| &self.g.nodes()[i])
    }

    /// A value as one array, put together of its blocks if need be.
    fn as_whole(&mut self, v: Value) -> Option<Value> {
        if let Some(new) = self.whole[v.index()] {
            return Some(new);
        }
        if !matches!(self.region.kind(v), Kind::Scores | Kind::Rows) {
            return None;
        }
        let axis = self.axis();
        let mut parts = Vec::with_capacity(self.count());
        for i in 0..self.count() {
            let seen = self.block(v, i)?;
            let part = match self.region.kind(v) {
                Kind::Scores => {
                    let columns = self.region.cut.columns[i].clone();
                    let mut sides = vec![(columns.start, seen)];
                    for hidden in self.region.cut.hidden(i) {
                        let Hidden::Row(row) = self.hidden(v, i)? else { return None };
                        let shape = self.block_shape(i, hidden.len());
                        let dims: Shape = (0..=axis).collect();
                        sides.push((hidden.start, self.b.broadcast(row, &shape, &dims)));
                    }
                    sides.sort_by_key(|(at, _)| *at);
                    let sides: Vec<Value> = sides.into_iter().map(|(_, v)| v).collect();
                    self.b.concatenate(&sides, axis + 1)
                }
                _ => seen,
            };
            parts.push(part);
        }
        let new = self.b.concatenate(&parts, axis);
        self.whole[v.index()] = Some(new);
        Some(new)
    }

    /// The shape of a block of scores with so many keys.
    fn block_shape(&self, i: usize, keys: usize) -> Shape {
        let cut = &self.region.cut;
        cut.shape[..cut.batch()].iter().copied().chain([cut.rows[i].len(), keys]).collect()
    }

    /// The scores of block `i` that are seen, or its rows.
    fn block(&mut self, v: Value, i: usize) -> Option<Value> {
        if let Some(&new) = self.blocks.get(&(v, i)) {
            return Some(new);
        }
        let new = match self.region.kind(v) {
            Kind::Whole => {
                let rows = self.region.cut.rows[i].clone();
                let whole = self.as_whole(v)?;
                self.b.slice_axis(whole, self.axis(), rows.start, rows.end)
            }
            Kind::WholeScores => {
                let (rows, columns) = (self.region.cut.rows[i].clone(), self.region.cut.columns[i].clone());
                let (whole, axis) = (self.as_whole(v)?, self.axis());
                let block = self.b.slice_axis(whole, axis, rows.start, rows.end);
                sliced(&mut self.b, block, axis + 1, columns)
            }
            Kind::Scores => self.scores(v, i)?,
            Kind::Rows => self.rows(v, i)?,
        };
        self.blocks.insert((v, i), new);
        Some(new)
    }

    fn scores(&mut self, v: Value, i: usize) -> Option<Value> {
        let (node, axis) = (self.definition(v)?, self.axis());
        let (rows, columns) = (self.region.cut.rows[i].clone(), self.region.cut.columns[i].clone());
        let shape = self.block_shape(i, columns.len());
        match &node.op {
            Op::Broadcast { dims, .. } => {
                let part = [(axis, rows), (axis + 1, columns)];
                let x = self.broadcast_operand(node.args[0], dims, i, &part)?;
                self.b.set_loc(&node.loc);
                Some(self.b.broadcast(x, &shape, dims))
            }
            Op::DotGeneral { .. } => {
                let [lhs, rhs] = free_axes(self.g, node)?;
                let (x, y) = (self.as_whole(node.args[0])?, self.as_whole(node.args[1])?);
                self.b.set_loc(&node.loc);
                let x = sliced(&mut self.b, x, lhs, rows);
                let y = sliced(&mut self.b, y, rhs, columns);
                Some(self.b.op(node.op.clone(), &[x, y]))
            }
            Op::Iota { dtype, axis: along, .. } => {
                self.b.set_loc(&node.loc);
                let first = [(axis, rows.start), (axis + 1, columns.start)].into_iter().find(|(a, _)| a == along);
                let iota = self.b.iota(*dtype, &shape, *along);
                Some(self.b.offset(iota, first.map_or(0.0, |(_, n)| n as f64)))
            }
            Op::Constant { value } => {
                let one = self.b.literal(value.splat_value()?);
                Some(self.b.broadcast(one, &shape, &[]))
            }
            _ => self.elementwise(node, i),
        }
    }

    fn rows(&mut self, v: Value, i: usize) -> Option<Value> {
        let (node, axis) = (self.definition(v)?, self.axis());
        let x = node.args[0];
        let block_of = |shape: &[usize], rows: usize| -> Shape {
            shape.iter().enumerate().map(|(a, &n)| if a == axis { rows } else { n }).collect()
        };
        let shape = block_of(&self.g.ty(v).shape, self.region.cut.rows[i].len());
        match &node.op {
            Op::Reduce { kind, .. } => {
                let seen = self.block(x, i)?;
                self.b.set_loc(&node.loc);
                let seen = self.b.reduce(*kind, seen, &[axis + 1]);
                let hidden: Vec<Range<usize>> = self.region.cut.hidden(i).collect();
                if hidden.is_empty() {
                    return Some(seen);
                }
                let of_hidden = match (self.hidden(x, i)?, kind) {
                    (Hidden::Row(row), ReduceKind::Max | ReduceKind::Min) => row,
                    (what, ReduceKind::Sum) => {
                        let sum = what.as_sum()?;
                        let count = hidden.iter().map(Range::len).sum::<usize>() as f64;
                        let mut all = sum.row.map(|row| self.b.scale(row, count));
                        for (node, scale) in sum.products {
                            let product = self.sum_of_product(node, scale, i)?;
                            all = Some(all.map_or(product, |s| self.b.add(s, product)));
                        }
                        all?
                    }
                    _ => return None,
                };
                Some(self.b.binary(combining(*kind)?, seen, of_hidden))
            }
            Op::Reshape { .. } => {
                let x = self.block(x, i)?;
                Some(self.b.reshape(x, &shape))
            }
            Op::Broadcast { dims, .. } => {
                let x = self.block(x, i)?;
                Some(self.b.broadcast(x, &shape, dims))
            }
            _ => self.elementwise(node, i),
        }
    }

    fn elementwise(&mut self, node: &Node, i: usize) -> Option<Value> {
        let args = node.args.iter().map(|&a| self.block(a, i)).collect::<Option<Vec<_>>>()?;
        self.b.set_loc(&node.loc);
        Some(self.b.op(node.op.clone(), &args))
    }

    /// The part of a broadcast's operand that ranges of the result's axes are made of.
    fn broadcast_operand(&mut self, x: Value, dims: &[usize], i: usize, part: &[(usize, Range<usize>)]) -> Option<Value> {
        let straight = dims.iter().enumerate().all(|(k, &d)| k == d);
        if self.region.kind(x) == Kind::Rows && straight {
            return self.block(x, i);
        }
        let mut new = self.as_whole(x)?;
        for (k, &d) in dims.iter().enumerate() {
            if let Some((_, range)) = part.iter().find(|(a, _)| *a == d)
                && self.b.ty(new).shape[k] != 1
            {
                new = sliced(&mut self.b, new, k, range.clone());
            }
        }
        Some(new)
    }

    /// What the scores of block `i` are that are hidden.
    fn hidden(&mut self, v: Value, i: usize) -> Option<Hidden> {
        if let Some(h) = self.hidden.get(&(v, i)) {
            return Some(h.clone());
        }
        let h = self.find_hidden(v, i)?;
        self.hidden.insert((v, i), h.clone());
        Some(h)
    }

    fn find_hidden(&mut self, v: Value, i: usize) -> Option<Hidden> {
        if self.region.kind(v) != Kind::Scores {
            return Some(Hidden::Unknown);
        }
        let (at, axis) = (self.definitions[v.index()]?, self.axis());
        let node = &self.g.nodes()[at];
        let rows = self.region.cut.rows[i].clone();
        let shape: Shape = self.block_shape(i, 0)[..=axis].into();
        Some(match &node.op {
            Op::DotGeneral { .. } => Hidden::Sum(Sum { products: vec![(at, None)], row: None }),
            Op::Constant { value } => {
                let one = self.b.literal(value.splat_value()?);
                Hidden::Row(self.b.broadcast(one, &shape, &[]))
            }
            Op::Iota { axis: along, .. } if *along == axis + 1 => Hidden::Unknown,
            Op::Iota { dtype, axis: along, .. } => {
                let iota = self.b.iota(*dtype, &shape, *along);
                let first = if *along == axis { rows.start } else { 0 };
                Hidden::Row(self.b.offset(iota, first as f64))
            }
            Op::Broadcast { dims, .. } => {
                let x = node.args[0];
                let along_keys = |(k, &d): (usize, &usize)| d == axis + 1 && self.g.ty(x).shape[k] != 1;
                if dims.iter().enumerate().any(along_keys) {
                    return Some(Hidden::Unknown);
                }
                let x = self.broadcast_operand(x, dims, i, &[(axis, rows)])?;
                // an axis of length 1 that stands for the keys is none of a row's
                let of_rows = |&(_, d): &(usize, &usize)| *d != axis + 1;
                let kept: Vec<(usize, &usize)> = dims.iter().enumerate().filter(of_rows).collect();
                let lengths: Shape = kept.iter().map(|(k, _)| self.b.ty(x).shape[*k]).collect();
                let dims: Shape = kept.iter().map(|(_, d)| **d).collect();
                let x = self.b.reshape(x, &lengths);
                Hidden::Row(self.b.broadcast(x, &shape, &dims))
            }
            Op::Select {} => {
                let part = |keys: Range<usize>| self.region.cut.part(i, keys);
                let parts: Vec<_> = self.region.cut.hidden(i).map(part).collect();
                let mut sides = parts.iter().map(|part| self.known.always(node.args[0], part));
                let first = sides.next().flatten();
                let same = sides.all(|s| s == first);
                match first.filter(|_| same) {
                    Some(side) => self.hidden(node.args[if side { 1 } else { 2 }], i)?,
                    None => self.hidden_elementwise(node, i)?,
                }
            }
            _ => self.hidden_elementwise(node, i)?,
        })
    }

    fn hidden_elementwise(&mut self, node: &Node, i: usize) -> Option<Hidden> {
        let args = node.args.iter().map(|&a| self.hidden(a, i)).collect::<Option<Vec<_>>>()?;
        self.b.set_loc(&node.loc);
        let rows: Option<Vec<Value>> =
            args.iter().map(|h| if let Hidden::Row(v) = h { Some(*v) } else { None }).collect();
        if let Some(rows) = rows {
            return Some(Hidden::Row(self.b.op(node.op.clone(), &rows)));
        }
        let sums: Option<Vec<Sum>> = args.iter().map(Hidden::as_sum).collect();
        let Some(mut sums) = sums else { return Some(Hidden::Unknown) };
        let sum = match (&node.op, &args[..]) {
            (Op::Unary(Unary::Neg), _) => self.times(sums.remove(0), i, |b, one| b.neg(one)),
            (Op::Binary(Binary::Add | Binary::Sub), _) => {
                let second = sums.remove(1);
                let second = match node.op {
                    Op::Binary(Binary::Sub) => self.times(second, i, |b, x| b.neg(x)),
                    _ => second,
                };
                let mut sum = sums.remove(0);
                sum.products.extend(second.products);
                sum.row = match (sum.row, second.row) {
                    (Some(x), Some(y)) => Some(self.b.add(x, y)),
                    (x, y) => x.or(y),
                };
                sum
            }
            (Op::Binary(Binary::Mul), [_, Hidden::Row(r)]) => self.times(sums.remove(0), i, |b, x| b.mul(x, *r)),
            (Op::Binary(Binary::Mul), [Hidden::Row(r), _]) => self.times(sums.remove(1), i, |b, x| b.mul(*r, x)),
            (Op::Binary(Binary::Div), [_, Hidden::Row(r)]) => self.times(sums.remove(0), i, |b, x| b.div(x, *r)),
            _ => return Some(Hidden::Unknown),
        };
        Some(Hidden::Sum(sum))
    }

    /// A sum of which each term's number a row becomes what `f` makes of it.
    fn times(&mut self, mut sum: Sum, i: usize, f: impl Fn(&mut Builder, Value) -> Value) -> Sum {
        for (node, scale) in &mut sum.products {
            let old = match *scale {
                Some(s) => s,
                None => self.ones(*node, i),
            };
            *scale = Some(f(&mut self.b, old));
        }
        sum.row = sum.row.map(|x| f(&mut self.b, x));
        sum
    }

    /// Ones, one for each row of a block.
    fn ones(&mut self, product: usize, i: usize) -> Value {
        let ty = self.g.ty(self.g.nodes()[product].results[0]);
        let shape: Shape = self.block_shape(i, 0)[..=self.axis()].into();
        self.b.full(&ty.with_shape(&shape), 1.0)
    }

    /// Sum over the hidden keys of a product's elements: the product with the sum of their rows.
    fn sum_of_product(&mut self, product: usize, scale: Option<Value>, i: usize) -> Option<Value> {
        let node = &self.g.nodes()[product];
        let [lhs, rhs] = free_axes(self.g, node)?;
        let (x, y) = (self.as_whole(node.args[0])?, self.as_whole(node.args[1])?);
        let x = sliced(&mut self.b, x, lhs, self.region.cut.rows[i].clone());
        let y = self.sum_of_hidden(y, rhs, i)?;
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else { return None };
        // an axis is gone
        let moved = |axes: &Shape| -> Shape { axes.iter().map(|&a| a - usize::from(a > rhs)).collect() };
        let op = Op::DotGeneral {
            lhs_batch: lhs_batch.clone(),
            rhs_batch: moved(rhs_batch),
            lhs_contract: lhs_contract.clone(),
            rhs_contract: moved(rhs_contract),
        };
        let sum = self.b.op(op, &[x, y]);
        Some(scale.map_or(sum, |s| self.b.mul(sum, s)))
    }

    /// The sum of what belongs to the hidden keys of a block, along this axis.
    fn sum_of_hidden(&mut self, x: Value, axis: usize, i: usize) -> Option<Value> {
        let mut sum: Option<Value> = None;
        for keys in self.region.cut.hidden(i) {
            let part = sliced(&mut self.b, x, axis, keys);
            let part = self.b.sum(part, &[axis]);
            sum = Some(sum.map_or(part, |s| self.b.add(s, part)));
        }
        sum
    }

    /// Each block gives the rows of its queries; to them comes what the hidden keys add.
    fn over_keys(&mut self, p: &Contraction, other: Value, mut blocks: Vec<Value>) -> Option<Value> {
        for (i, block) in blocks.iter_mut().enumerate() {
            let Some(sum) = self.sum_of_hidden(other, p.other_axis, i) else { continue };
            let Hidden::Row(row) = self.hidden(p.scores, i)? else { return None };
            self.b.set_loc(&p.node.loc);
            let shape = self.b.ty(*block).shape.clone();
            let batch = 0..self.axis();
            let row_dims: Shape = batch.clone().chain([p.scores_place]).collect();
            let row = self.b.broadcast(row, &shape, &row_dims);
            // where the axes of the sum are in the result
            let mut free = (batch.end..shape.len()).filter(|&a| a != p.scores_place);
            let rank = self.b.ty(sum).rank();
            let left = |a: usize| a + usize::from(a >= p.other_axis);
            let dims = (0..rank).map(|a| match p.other_batch.iter().position(|&k| k == left(a)) {
                Some(k) => Some(k),
                None => free.next(),
            });
            let dims: Shape = dims.collect::<Option<_>>()?;
            let sum = self.b.broadcast(sum, &shape, &dims);
            let added = self.b.mul(row, sum);
            *block = self.b.add(*block, added);
        }
        Some(self.b.concatenate(&blocks, p.scores_place))
    }

    /// Each block adds to the rows of the keys it sees, and to those of hidden keys what they have in common.
    fn over_queries(&mut self, p: &Contraction, other: Value, blocks: Vec<Value>) -> Option<Value> {
        let (cut, axis) = (&self.region.cut, self.axis());
        let mut commons = Vec::with_capacity(blocks.len());
        for i in 0..blocks.len() {
            if cut.hidden(i).next().is_none() {
                commons.push(None);
                continue;
            }
            let Hidden::Row(row) = self.hidden(p.scores, i)? else { return None };
            let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &p.node.op else { return None };
            self.b.set_loc(&p.node.loc);
            let part = sliced(&mut self.b, other, p.other_axis, cut.rows[i].clone());
            let op = Op::DotGeneral {
                lhs_batch: lhs_batch.clone(),
                rhs_batch: rhs_batch.clone(),
                lhs_contract: if p.on_left { [axis].into_iter().collect() } else { lhs_contract.clone() },
                rhs_contract: if p.on_left { rhs_contract.clone() } else { [axis].into_iter().collect() },
            };
            commons.push(Some(self.b.op(op, &p.in_order(row, part))));
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

/// A product of scores with something else over the keys or the queries.
struct Contraction<'a> {
    node: &'a Node,
    scores: Value,
    /// Whether the scores are the left operand.
    on_left: bool,
    over_keys: bool,
    other: Value,
    /// The axis of the other operand that is summed over.
    other_axis: usize,
    other_batch: Shape,
    /// Where the axis of scores that is left is in the result.
    scores_place: usize,
}

impl<'a> Contraction<'a> {
    /// The node as such a product, if it is one: the batch is all of the axes before that of the queries.
    fn new(cutter: &Cutter<'a>, node: &'a Node) -> Option<Contraction<'a>> {
        let axis = cutter.axis();
        let side = node.args.iter().position(|&a| cutter.region.kind(a) == Kind::Scores)?;
        if matches!(cutter.region.kind(*node.results.first()?), Kind::Scores | Kind::Rows) {
            return None;
        }
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else { return None };
        let on_left = side == 0;
        let (batch, contract, other_batch, other_contract) = match on_left {
            true => (lhs_batch, lhs_contract, rhs_batch, rhs_contract),
            false => (rhs_batch, rhs_contract, lhs_batch, lhs_contract),
        };
        let ([over], [other_axis]) = (&contract[..], &other_contract[..]) else { return None };
        let in_order = batch.len() == axis && batch.iter().enumerate().all(|(k, &a)| k == a);
        let rank = cutter.g.ty(node.results[0]).rank();
        (in_order && *over >= axis).then(|| Contraction {
            node,
            scores: node.args[side],
            on_left,
            over_keys: *over == axis + 1,
            other: node.args[1 - side],
            other_axis: *other_axis,
            other_batch: other_batch.clone(),
            scores_place: if on_left { axis } else { rank - 1 },
        })
    }

    fn result(&self) -> Value {
        self.node.results[0]
    }

    fn in_order(&self, scores: Value, other: Value) -> [Value; 2] {
        if self.on_left { [scores, other] } else { [other, scores] }
    }
}

fn combining(kind: ReduceKind) -> Option<Binary> {
    Some(match kind {
        ReduceKind::Sum => Binary::Add,
        ReduceKind::Max => Binary::Max,
        ReduceKind::Min => Binary::Min,
        ReduceKind::Prod | ReduceKind::And | ReduceKind::Or => return None,
    })
}

/// A range of one axis; all of it is the array itself.
fn sliced(b: &mut Builder, x: Value, axis: usize, range: Range<usize>) -> Value {
    if range == (0..b.ty(x).shape[axis]) { x } else { b.slice_axis(x, axis, range.start, range.end) }
}
