//! Which arrays need not be stored: those of the size of a product's result, between that product and what reduces them.

use crate::cpu::split_axes;
use gradloom_ir::{DType, Graph, Node, Op, ReduceKind, Unary, Value};
use std::collections::BTreeSet;
use std::ops::Range;

/// The most terms of a product whose factors a block holds, and the most columns of one whose sums it does.
pub(super) const MOST_TERMS: usize = 128;

/// The fewest rows and columns that are worth tiles.
pub(super) const FEWEST: usize = 16;

/// The most arrays of a region: what depends on all of a program is none.
const MOST_MEMBERS: usize = 256;

/// The axes that all arrays of a region are made of, axes of length 1 left out: those of a batch, then rows, then columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Axes {
    pub extents: Vec<usize>,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// Rows or columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Rows,
    Columns,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Rows => Side::Columns,
            Side::Columns => Side::Rows,
        }
    }
}

impl Axes {
    pub fn side(&self, side: Side) -> Range<usize> {
        match side {
            Side::Rows => self.rows.clone(),
            Side::Columns => self.columns.clone(),
        }
    }

    pub fn batch(&self) -> Range<usize> {
        0..self.rows.start
    }

    /// For each axis of an array of the region, which axes it is.
    pub fn split(&self, shape: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(split_axes(shape, &self.extents)?.into_iter().map(|axes| axes.to_vec()).collect())
    }

    /// Which axes the given ones of an array of the region are, in order.
    fn of(&self, shape: &[usize], axes: &[usize]) -> Option<Vec<usize>> {
        let split = self.split(shape)?;
        let mut all: Vec<usize> = axes.iter().flat_map(|&a| split[a].iter().copied()).collect();
        all.sort_unstable();
        Some(all)
    }

    /// The side whose axes these are.
    fn side_of(&self, axes: &[usize]) -> Option<Side> {
        [Side::Rows, Side::Columns].into_iter().find(|&s| self.side(s).eq(axes.iter().copied()))
    }
}

/// The product of the last axes, from each on: where axes may be cut.
fn cuts(shape: &[usize]) -> BTreeSet<usize> {
    let mut product = 1;
    shape.iter().rev().map(|n| (product *= n, product).1).chain([1]).collect()
}

/// What ends a region: an array that is smaller again, or one that is needed as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sink {
    /// Whose result it is.
    pub node: usize,
    /// The array of the region that is summed up or stored.
    pub value: Value,
    /// What is summed over, or reduced.
    pub over: Side,
    pub is_stored: bool,
}

impl Sink {
    /// Which operand of its node is the array of the region.
    pub fn operand(&self, node: &Node) -> usize {
        usize::from(node.args.first() != Some(&self.value))
    }
}

/// Arrays of the size of products' results, and what they end in.
#[derive(Debug)]
pub(super) struct Region {
    pub axes: Axes,
    /// The nodes of arrays that depend on products: the products and what is computed of them element by element.
    pub members: BTreeSet<usize>,
    /// The products, in the order of the graph.
    pub scores: Vec<usize>,
    /// In the order of the graph.
    pub sinks: Vec<Sink>,
}

/// Whether the result's elements are functions of the operands' at the same place.
pub(super) fn is_elementwise(op: &Op) -> bool {
    match op {
        Op::Unary(Unary::Real | Unary::Imag) => false,
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select {} | Op::Convert { .. } => true,
        _ => false,
    }
}

fn is_factor(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32)
}

/// A program in which regions are looked for.
pub(super) struct Finder<'g> {
    pub g: &'g Graph,
    users: Vec<Vec<usize>>,
    is_output: Vec<bool>,
}

/// What depends on some products.
struct Closure {
    members: BTreeSet<usize>,
    /// Reductions and products, and which operand they read.
    sinks: BTreeSet<(usize, usize)>,
    /// Arrays that something else reads.
    stored: BTreeSet<Value>,
    /// Other products of the same size that are combined with them.
    beside: BTreeSet<usize>,
}

impl<'g> Finder<'g> {
    pub fn new(g: &'g Graph) -> Finder<'g> {
        let mut users = vec![Vec::new(); g.num_values()];
        for (i, node) in g.nodes().iter().enumerate() {
            node.args.iter().for_each(|a| users[a.index()].push(i));
        }
        let mut is_output = vec![false; g.num_values()];
        g.outputs().iter().for_each(|o| is_output[o.index()] = true);
        Finder { g, users, is_output }
    }

    /// The region that begins with product `seed`.
    pub fn find(&self, seed: usize) -> Option<Region> {
        self.sides(seed)?;
        let mut seeds = BTreeSet::from([seed]);
        let mut refused = BTreeSet::new();
        let mut found = self.closure(&seeds)?;
        while let Some(&next) = found.beside.iter().find(|b| !refused.contains(*b)) {
            seeds.insert(next);
            match self.has_sides(seed, next).then(|| self.closure(&seeds)).flatten() {
                Some(more) => found = more,
                // it is stored then, and read
                None => {
                    seeds.remove(&next);
                    refused.insert(next);
                }
            }
        }
        self.region(seed, found, &seeds)
    }

    fn node(&self, i: usize) -> &'g Node {
        &self.g.nodes()[i]
    }

    fn closure(&self, seeds: &BTreeSet<usize>) -> Option<Closure> {
        let mut found = Closure {
            members: seeds.clone(),
            sinks: BTreeSet::new(),
            stored: BTreeSet::new(),
            beside: BTreeSet::new(),
        };
        let size = |v: Value| self.g.ty(v).numel();
        let mut open: Vec<Value> = seeds.iter().map(|&i| self.node(i).results[0]).collect();
        let definitions = self.g.definitions();
        while let Some(v) = open.pop() {
            if found.members.len() > MOST_MEMBERS {
                return None;
            }
            if self.is_output[v.index()] {
                found.stored.insert(v);
            }
            for &i in &self.users[v.index()] {
                let node = self.node(i);
                match &node.op {
                    op if is_elementwise(op) || matches!(op, Op::Reshape { .. }) => {
                        if found.members.insert(i) {
                            open.push(node.results[0]);
                            for &a in node.args.iter().filter(|&&a| size(a) == size(v)) {
                                let product = definitions[a.index()]
                                    .filter(|&d| matches!(self.node(d).op, Op::DotGeneral { .. }));
                                found.beside.extend(product.filter(|d| !seeds.contains(d)));
                            }
                        }
                    }
                    Op::Reduce { kind: ReduceKind::Sum | ReduceKind::Max | ReduceKind::Min, .. } => {
                        found.sinks.insert((i, 0));
                    }
                    Op::DotGeneral { .. } if node.args[0] != node.args[1] => {
                        let operand = usize::from(node.args[1] == v);
                        // of both operands only one may depend on the products
                        if !found.sinks.insert((i, operand)) || found.sinks.contains(&(i, 1 - operand)) {
                            return None;
                        }
                    }
                    _ => drop(found.stored.insert(v)),
                }
            }
        }
        Some(found)
    }

    /// The extents of a product's batch, rows and columns, if a block can hold rows of its factors.
    fn sides(&self, product: usize) -> Option<[usize; 3]> {
        let node = self.node(product);
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else { return None };
        let (l, r, out) = (self.g.ty(node.args[0]), self.g.ty(node.args[1]), self.g.ty(node.results[0]));
        let (&[terms], &[_]) = (&lhs_contract[..], &rhs_contract[..]) else { return None };
        let terms = l.shape[terms];
        let free = |shape: &[usize], batch: &[usize], contract: &[usize]| -> usize {
            (0..shape.len()).filter(|a| !batch.contains(a) && !contract.contains(a)).map(|a| shape[a]).product()
        };
        let rows = free(&l.shape, lhs_batch, lhs_contract);
        let columns = free(&r.shape, rhs_batch, rhs_contract);
        let fits = (1..=MOST_TERMS).contains(&terms) && rows >= FEWEST && columns >= FEWEST;
        let dtypes = is_factor(out.dtype) && l.dtype == out.dtype && r.dtype == out.dtype;
        (fits && dtypes && out.numel() > 0).then(|| [out.numel() / (rows * columns), rows, columns])
    }

    fn has_sides(&self, seed: usize, other: usize) -> bool {
        self.sides(seed).is_some_and(|s| self.sides(other) == Some(s))
    }

    fn region(&self, seed: usize, found: Closure, seeds: &BTreeSet<usize>) -> Option<Region> {
        let [_, _, columns] = self.sides(seed)?;
        let shape = &self.g.ty(self.node(seed).results[0]).shape;
        let size: usize = shape.iter().product();
        let rows = self.sides(seed)?[1] * columns;
        // the axes that all shapes are made of
        let mut all = cuts(shape);
        all.extend([columns, rows, size]);
        for &i in &found.members {
            all.extend(cuts(&self.g.ty(self.node(i).results[0]).shape));
        }
        let all: Vec<usize> = all.into_iter().collect();
        let mut extents = Vec::with_capacity(all.len());
        for pair in all.windows(2) {
            if !pair[1].is_multiple_of(pair[0]) {
                return None;
            }
            extents.push(pair[1] / pair[0]);
        }
        extents.reverse();
        let from = |cut: usize| Some(all.len() - 1 - all.binary_search(&cut).ok()?);
        let (first_row, first_column) = (from(rows)?, from(columns)?);
        let axes = Axes { rows: first_row..first_column, columns: first_column..extents.len(), extents };
        let mut sinks = Vec::with_capacity(found.sinks.len());
        let mut stored = found.stored;
        for (node, operand) in found.sinks {
            let value = self.node(node).args[operand];
            match self.over(&axes, node, operand) {
                Some(over) => sinks.push(Sink { node, value, over, is_stored: false }),
                None => drop(stored.insert(value)),
            }
        }
        // what is stored anyway is worth making anew only for another product
        let is_product = |s: &Sink| matches!(self.node(s.node).op, Op::DotGeneral { .. });
        if sinks.is_empty() || !(stored.is_empty() || sinks.iter().any(is_product)) {
            return None;
        }
        let definitions = self.g.definitions();
        for value in stored {
            let node = definitions[value.index()]?;
            sinks.push(Sink { node, value, over: Side::Columns, is_stored: true });
        }
        sinks.sort_by_key(|s| s.node);
        Some(Region { axes, members: found.members, scores: seeds.iter().copied().collect(), sinks })
    }

    /// What a sink reduces; `None` if it is no sink.
    fn over(&self, axes: &Axes, sink: usize, operand: usize) -> Option<Side> {
        let node = self.node(sink);
        let (x, out) = (self.g.ty(node.args[operand]), self.g.ty(node.results[0]));
        match &node.op {
            Op::Reduce { axes: reduced, .. } => {
                let is_number = matches!(x.dtype, DType::F16 | DType::BF16 | DType::F32);
                axes.side_of(&axes.of(&x.shape, reduced)?).filter(|_| is_number)
            }
            Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
                let (batch, contract) = [(lhs_batch, lhs_contract), (rhs_batch, rhs_contract)][operand];
                let y = self.g.ty(node.args[1 - operand]);
                let dtypes = is_factor(x.dtype) && y.dtype == x.dtype && out.dtype == x.dtype;
                let batches = axes.of(&x.shape, batch)?.into_iter().eq(axes.batch());
                let free = (y.rank() == batch.len() + contract.len() + 1).then(|| {
                    let of = [rhs_batch, lhs_batch][operand];
                    let terms = [rhs_contract, lhs_contract][operand];
                    (0..y.rank()).find(|a| !of.contains(a) && !terms.contains(a)).map_or(0, |a| y.shape[a])
                })?;
                let over = axes.side_of(&axes.of(&x.shape, contract)?)?;
                (dtypes && batches && (1..=MOST_TERMS).contains(&free)).then_some(over)
            }
            _ => None,
        }
    }
}
