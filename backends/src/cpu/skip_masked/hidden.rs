//! What is known of scores that are hidden, without computing them.

use super::cut::{Cutter, sliced};
use super::region::{Kind, factors};
use gradloom_ir::{Binary, Builder, Node, Op, Shape, Unary, Value};
use std::ops::Range;

/// What the hidden scores of a block of queries are.
#[derive(Clone, Debug)]
pub(super) enum Hidden {
    /// One number a row: `[.., queries]`.
    Row(Value),
    Sum(Sum),
    /// Nothing that can be said without computing them.
    Unknown,
}

/// Elements of products, each times one number a row, and one number a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    /// Where the products are in the old program, and what they are multiplied by.
    pub products: Vec<(usize, Option<Value>)>,
    pub row: Option<Value>,
}

impl Hidden {
    pub fn as_sum(&self) -> Option<Sum> {
        match self {
            Hidden::Row(v) => Some(Sum { row: Some(*v), ..Sum::default() }),
            Hidden::Sum(sum) => Some(sum.clone()),
            Hidden::Unknown => None,
        }
    }
}

impl Cutter<'_> {
    /// What the scores of block `i` are that are hidden.
    pub(super) fn hidden(&mut self, v: Value, i: usize) -> Option<Hidden> {
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
    pub(super) fn sum_of_product(&mut self, product: usize, scale: Option<Value>, i: usize) -> Option<Value> {
        let node = &self.g.nodes()[product];
        let [(query, q), (key, k)] = factors(self.g, node)?;
        let mut args = [self.as_whole(node.args[0])?, self.as_whole(node.args[1])?];
        let part = sliced(&mut self.b, args[query], q, self.region.cut.rows[i].clone());
        args[query] = self.widened(part);
        args[key] = self.sum_of_hidden(args[key], k, i)?;
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else { return None };
        // an axis is gone
        let left = |side: usize, axes: &Shape| -> Shape {
            axes.iter().map(|&a| a - usize::from(side == key && a > k)).collect()
        };
        let op = Op::DotGeneral {
            lhs_batch: left(0, lhs_batch),
            rhs_batch: left(1, rhs_batch),
            lhs_contract: left(0, lhs_contract),
            rhs_contract: left(1, rhs_contract),
        };
        let mut sum = self.b.op(op, &args);
        if let Some(scale) = scale {
            let scale = self.widened(scale);
            sum = self.b.mul(sum, scale);
        }
        Some(self.b.convert(sum, self.g.ty(node.results[0]).dtype))
    }

    /// In the dtype that sums are computed in.
    pub(super) fn widened(&mut self, x: Value) -> Value {
        let dtype = self.b.ty(x).dtype.accumulator();
        self.b.convert(x, dtype)
    }

    /// The sum of what belongs to the hidden keys of a block, along this axis; of 16-bit floats as f32, since it may be large where
    /// what it is multiplied by is small.
    pub(super) fn sum_of_hidden(&mut self, x: Value, axis: usize, i: usize) -> Option<Value> {
        let mut sum: Option<Value> = None;
        for keys in self.region.cut.hidden(i) {
            let part = sliced(&mut self.b, x, axis, keys);
            let part = self.widened(part);
            let part = self.b.sum(part, &[axis]);
            sum = Some(sum.map_or(part, |s| self.b.add(s, part)));
        }
        sum
    }
}
