//! The program with its scores cut into blocks.

use super::contract::Contraction;
use super::hidden::Hidden;
use super::known::Known;
use super::region::{Kind, Region, factors};
use gradloom_ir::{Binary, Builder, Graph, Node, Op, ReduceKind, Result, Shape, Value};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// Rewrites a program block by block. `None` says that a whole array is asked for that cannot be put together.
pub(super) struct Cutter<'a> {
    pub(super) g: &'a Graph,
    pub(super) region: &'a Region,
    pub(super) definitions: Arc<[Option<usize>]>,
    pub(super) known: Known<'a>,
    pub(super) b: Builder,
    /// Values as a whole, of the old program in the new one.
    pub(super) whole: Vec<Option<Value>>,
    /// The scores that are seen of a block, and the rows of a block.
    blocks: HashMap<(Value, usize), Value>,
    pub(super) hidden: HashMap<(Value, usize), Hidden>,
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

    pub(super) fn count(&self) -> usize {
        self.region.cut.rows.len()
    }

    /// The axis of the queries; that of the keys is the next.
    pub(super) fn axis(&self) -> usize {
        self.region.cut.batch()
    }

    pub(super) fn definition(&self, v: Value) -> Option<&'a Node> {
        self.definitions[v.index()].map(|i| &self.g.nodes()[i])
    }

    /// A value as one array, put together of its blocks if need be.
    pub(super) fn as_whole(&mut self, v: Value) -> Option<Value> {
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
    pub(super) fn block_shape(&self, i: usize, keys: usize) -> Shape {
        let cut = &self.region.cut;
        cut.shape[..cut.batch()].iter().copied().chain([cut.rows[i].len(), keys]).collect()
    }

    /// The scores of block `i` that are seen, or its rows.
    pub(super) fn block(&mut self, v: Value, i: usize) -> Option<Value> {
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
                let [(query, q), (key, k)] = factors(self.g, node)?;
                let mut args = [self.as_whole(node.args[0])?, self.as_whole(node.args[1])?];
                self.b.set_loc(&node.loc);
                args[query] = sliced(&mut self.b, args[query], q, rows);
                args[key] = sliced(&mut self.b, args[key], k, columns);
                Some(self.b.op(node.op.clone(), &args))
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
    pub(super) fn broadcast_operand(
        &mut self,
        x: Value,
        dims: &[usize],
        i: usize,
        part: &[(usize, Range<usize>)],
    ) -> Option<Value> {
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
pub(super) fn sliced(b: &mut Builder, x: Value, axis: usize, range: Range<usize>) -> Value {
    if range == (0..b.ty(x).shape[axis]) { x } else { b.slice_axis(x, axis, range.start, range.end) }
}
