//! What a kernel of tiles computes, as data: its products, what it does at each place, what it sums up.

use super::online::{Dependence, Late, Online};
use super::program::{Program, Read, Writer};
use super::region::{Axes, Region, Side};
use gradloom_ir::{Builder, Error, Graph, Node, Op, ReduceKind, Result, Type, Value, row_major_strides};
use std::collections::{BTreeSet, HashMap};

/// The most bytes of factors at a place of a block: threads hold them in registers, and are not to spill any.
const MOST_HELD: usize = 512;

/// A factor of a product as it lies in memory: elements from each index to the next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Factor {
    /// Position among the arguments.
    pub arg: usize,
    /// Along each axis of the region; 0 where it has none.
    pub strides: Vec<usize>,
    /// Along the axis that the region does not have: terms of a score, columns of a sum.
    pub along: usize,
    /// The length of that axis.
    pub length: usize,
}

/// A product of the region's size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Score {
    /// Its number among those of the region.
    pub number: usize,
    /// The factor with the places of a block.
    pub own: Factor,
    /// The factor with the places that the block goes along.
    pub other: Factor,
}

/// How values are summed up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Sum {
    /// Combined with each other.
    Reduce(ReduceKind),
    /// Multiplied with a factor, whose `along` the result has, too.
    Product(Factor),
    /// Not at all: each is written.
    Store,
}

/// A result of a kernel. Its values are the result of the same number of [`Tile::values`].
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// The node whose result it is.
    pub node: usize,
    pub sum: Sum,
    /// What is done to a finished sum; a number is that of a result of [`Tile::rows`].
    pub late: Vec<(Late, usize)>,
    /// Of the result, along the axes of the region.
    pub strides: Vec<usize>,
    /// Of the result of a product, along the factor's own axis.
    pub along: usize,
    pub ty: Type,
}

/// The greatest number of each row, which a pass over columns finds as it goes along.
#[derive(Clone, Debug)]
pub(super) struct Greatest {
    pub node: usize,
    /// What it is the greatest of: the only result.
    pub of: Program,
    pub strides: Vec<usize>,
    pub ty: Type,
}

/// A kernel of tiles.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub axes: Axes,
    /// Whether a block has rows and goes along columns, or the other way round.
    pub own: Side,
    pub scores: Vec<Score>,
    pub greatest: Option<Greatest>,
    pub values: Program,
    /// What sums are multiplied with at the end, over batches and rows.
    pub rows: Option<Program>,
    pub outputs: Vec<Output>,
    /// The values that it reads, in the program around.
    pub args: Vec<Value>,
    pub arg_types: Vec<Type>,
}

/// Sinks that one kernel computes.
#[derive(Debug)]
pub(super) struct Part {
    /// Their numbers among those of the region; all over the same side.
    pub sinks: Vec<usize>,
    pub online: Option<Online>,
}

struct Maker<'a> {
    g: &'a Graph,
    region: &'a Region,
    args: Vec<Value>,
}

impl Maker<'_> {
    fn refused(&self) -> Error {
        Error::internal("tile_products", "an array does not have the axes of its region")
    }

    fn split(&self, v: Value) -> Result<Vec<Vec<usize>>> {
        self.region.axes.split(&self.g.ty(v).shape).ok_or_else(|| self.refused())
    }

    fn arg(&mut self, v: Value) -> usize {
        self.args.iter().position(|&a| a == v).unwrap_or_else(|| {
            self.args.push(v);
            self.args.len() - 1
        })
    }

    /// Strides of an array along the axes of the region, given which of them its axes are.
    fn strides<'t>(&self, shape: &[usize], pairs: impl IntoIterator<Item = (usize, &'t Vec<usize>)>) -> Vec<usize> {
        let whole = row_major_strides(shape);
        let mut strides = vec![0; self.region.axes.extents.len()];
        for (axis, targets) in pairs {
            let mut stride = whole[axis];
            for &t in targets.iter().rev() {
                strides[t] = stride;
                stride *= self.region.axes.extents[t];
            }
        }
        strides
    }

    fn factor(&mut self, v: Value, pairs: Vec<(usize, &Vec<usize>)>) -> Factor {
        let shape = self.g.ty(v).shape.clone();
        let strides = self.strides(&shape, pairs.iter().copied());
        let own = (0..shape.len()).find(|a| pairs.iter().all(|(axis, _)| axis != a));
        let whole = row_major_strides(&shape);
        let (along, length) = own.map_or((1, 1), |a| (whole[a], shape[a]));
        Factor { arg: self.arg(v), strides, along, length }
    }

    fn score(&mut self, number: usize, own: Side) -> Result<Score> {
        let node = &self.g.nodes()[self.region.scores[number]];
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else {
            return Err(self.refused());
        };
        let axes = self.split(node.results[0])?;
        let free = |v: Value, batch: &[usize], contract: &[usize]| -> Vec<usize> {
            (0..self.g.ty(v).rank()).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
        };
        let (l, r) = (free(node.args[0], lhs_batch, lhs_contract), free(node.args[1], rhs_batch, rhs_contract));
        let (batch, rest) = axes.split_at(lhs_batch.len());
        let (of_l, of_r) = rest.split_at(l.len());
        let pairs = |batches: &[usize], free: &[usize], of: &'_ [Vec<usize>]| -> Vec<(usize, Vec<usize>)> {
            let batches = batches.iter().copied().zip(batch.iter().cloned());
            batches.chain(free.iter().copied().zip(of.iter().cloned())).collect()
        };
        let (l, r) = (pairs(lhs_batch, &l, of_l), pairs(rhs_batch, &r, of_r));
        let left = self.factor(node.args[0], l.iter().map(|(a, t)| (*a, t)).collect());
        let right = self.factor(node.args[1], r.iter().map(|(a, t)| (*a, t)).collect());
        Ok(match own {
            Side::Rows => Score { number, own: left, other: right },
            Side::Columns => Score { number, own: right, other: left },
        })
    }

    /// The transposition that is all that reads a value.
    fn transposed(&self, v: Value) -> Option<(usize, &[usize])> {
        if self.g.use_counts()[v.index()] != 1 {
            return None;
        }
        let (i, node) = self.g.nodes().iter().enumerate().find(|(_, n)| n.args.contains(&v))?;
        match &node.op {
            Op::Transpose { perm } => Some((i, perm)),
            _ => None,
        }
    }

    fn output(&mut self, number: usize, late: Vec<(Late, usize)>) -> Result<Output> {
        let sink = self.region.sinks[number];
        let node = &self.g.nodes()[sink.node];
        let ty = self.g.ty(node.results[0]).clone();
        let axes = self.split(sink.value)?;
        if sink.is_stored {
            let strides = self.strides(&ty.shape, axes.iter().enumerate());
            return Ok(Output { node: sink.node, sum: Sum::Store, late, strides, along: 0, ty });
        }
        let operand = sink.operand(node);
        let (sum, pairs, along) = match &node.op {
            Op::Reduce { kind, axes: reduced } => {
                let kept = (0..axes.len()).filter(|a| !reduced.contains(a));
                (Sum::Reduce(*kind), kept.enumerate().map(|(i, a)| (i, &axes[a])).collect::<Vec<_>>(), 0)
            }
            Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
                let [of_x, of_y] = match operand {
                    0 => [(lhs_batch, lhs_contract), (rhs_batch, rhs_contract)],
                    _ => [(rhs_batch, rhs_contract), (lhs_batch, lhs_contract)],
                };
                let pairs = |y: &[usize], x: &[usize]| -> Vec<(usize, &Vec<usize>)> {
                    y.iter().copied().zip(x.iter().map(|&a| &axes[a])).collect()
                };
                let both = [pairs(of_y.0, of_x.0), pairs(of_y.1, of_x.1)].concat();
                let factor = self.factor(node.args[1 - operand], both);
                let free: Vec<usize> = (0..axes.len()).filter(|a| !of_x.0.contains(a) && !of_x.1.contains(a)).collect();
                let batches = of_x.0.len();
                // the result has the batch, the left factor's axes, the right one's
                let (first, own) = if operand == 0 { (batches, batches + free.len()) } else { (batches + 1, batches) };
                let mut out = pairs(&(0..batches).collect::<Vec<_>>(), of_x.0);
                out.extend(free.iter().enumerate().map(|(i, &a)| (first + i, &axes[a])));
                // where nothing but a transposition reads it, it is written so
                if let Some((transposed, perm)) = self.transposed(node.results[0]) {
                    let place = |axis: usize| perm.iter().position(|&p| p == axis).unwrap_or(axis);
                    let ty = self.g.ty(self.g.nodes()[transposed].results[0]).clone();
                    let strides = self.strides(&ty.shape, out.into_iter().map(|(axis, of)| (place(axis), of)));
                    let along = row_major_strides(&ty.shape)[place(own)];
                    return Ok(Output { node: transposed, sum: Sum::Product(factor), late, strides, along, ty });
                }
                (Sum::Product(factor), out, row_major_strides(&ty.shape)[own])
            }
            _ => return Err(self.refused()),
        };
        let strides = self.strides(&ty.shape, pairs);
        Ok(Output { node: sink.node, sum, late, strides, along, ty })
    }
}

impl Tile {
    /// The kernel of a part of a region.
    ///
    /// # Errors
    /// If it has no such kernel.
    pub fn new(g: &Graph, region: &Region, depends: &Dependence, part: &Part) -> Result<Tile> {
        let operand = |k: usize| region.sinks[k].value;
        let own = region.sinks[part.sinks[0]].over.other();
        let mut m = Maker { g, region, args: Vec::new() };
        let used = part.sinks.iter().fold(0, |all, &k| all | depends.scores[operand(k).index()]);
        let scores = (0..region.scores.len()).filter(|k| used >> k & 1 == 1);
        let scores = scores.map(|k| m.score(k, own)).collect::<Result<Vec<_>>>()?;
        let held: usize = scores.iter().map(|s| s.own.length * g.ty(m.args[s.own.arg]).dtype.size()).sum();
        if held > MOST_HELD {
            return Err(Error::internal("tile_products", format!("a place of {held} bytes does not fit registers")));
        }
        let none = HashMap::new();
        let mut greatest = None;
        let mut rows = None;
        // what is in the kernel's registers, and not in memory yet
        let mut inside: Vec<usize> = Vec::new();
        let mut sums: Vec<(usize, Vec<(Late, usize)>)> = Vec::new();
        let instead = match &part.online {
            None => {
                sums = part.sinks.iter().map(|&k| (k, Vec::new())).collect();
                &none
            }
            Some(online) => {
                inside = part.sinks.iter().map(|&k| region.sinks[k].node).collect();
                let mut w = Writer::new(g, region, &[], &none);
                let of = w.value(operand(online.greatest))?;
                let of = w.finish(&[of])?;
                let Output { node, strides, ty, .. } = m.output(online.greatest, Vec::new())?;
                greatest = Some(Greatest { node, of, strides, ty });
                let mut w = Writer::new(g, region, &inside, &none);
                let mut factors = Vec::new();
                for (k, late) in &online.sums {
                    let mut numbered = Vec::new();
                    for &step in late {
                        let number = factors.len();
                        if let Late::By(_, spread) = step {
                            factors.push(w.row_value(spread)?);
                        }
                        numbered.push((step, number));
                    }
                    sums.push((*k, numbered));
                }
                if !factors.is_empty() {
                    rows = Some(w.finish(&factors)?);
                }
                &online.instead
            }
        };
        let mut w = Writer::new(g, region, &inside, instead);
        let values = sums.iter().map(|(k, _)| w.value(operand(*k))).collect::<Result<Vec<_>>>()?;
        let values = w.finish(&values)?;
        let outputs = sums.into_iter().map(|(k, late)| m.output(k, late)).collect::<Result<Vec<_>>>()?;
        let of_greatest = greatest.as_ref().map(|g| g.node);
        let known = |read: &Read| !matches!(read, Read::Sink(i) if Some(*i) != of_greatest);
        if !values.reads.iter().all(known) {
            return Err(Error::internal("tile_products", "a place depends on a sum that is not finished"));
        }
        for read in [Some(&values), rows.as_ref(), greatest.as_ref().map(|g| &g.of)].into_iter().flatten() {
            for read in &read.reads {
                if let Read::Array(v) = read {
                    m.arg(*v);
                }
            }
        }
        let arg_types = m.args.iter().map(|&v| g.ty(v).clone()).collect();
        Ok(Tile { axes: region.axes.clone(), own, scores, greatest, values, rows, outputs, args: m.args, arg_types })
    }

    /// The nodes whose results it has, in their order.
    pub fn nodes(&self) -> Vec<usize> {
        self.greatest.iter().map(|g| g.node).chain(self.outputs.iter().map(|o| o.node)).collect()
    }

    /// Their types.
    pub fn types(&self) -> Vec<Type> {
        self.greatest.iter().map(|g| &g.ty).chain(self.outputs.iter().map(|o| &o.ty)).cloned().collect()
    }

    /// The part of a program that it computes, as a program of its own.
    pub fn meaning(&self, g: &Graph) -> Result<Graph> {
        let definitions = g.definitions();
        let mut needed = BTreeSet::new();
        let mut open: Vec<usize> = self.nodes();
        while let Some(i) = open.pop() {
            if needed.insert(i) {
                let args = g.nodes()[i].args.iter().filter(|a| !self.args.contains(a));
                open.extend(args.filter_map(|a| definitions[a.index()]));
            }
        }
        let (mut b, inputs) = Builder::with_inputs(&self.arg_types);
        let mut map: HashMap<Value, Value> = self.args.iter().copied().zip(inputs).collect();
        for &i in &needed {
            let Node { op, args, results, loc } = &g.nodes()[i];
            let missing = || Error::internal("tile_products", "a kernel reads what it does not have");
            let args = args.iter().map(|a| map.get(a).copied().ok_or_else(missing)).collect::<Result<Vec<_>>>()?;
            b.set_loc(loc);
            let made = b.emit_typed(op.clone(), &args, results.iter().map(|&r| g.ty(r).clone()));
            map.extend(results.iter().copied().zip(made));
        }
        let outputs: Vec<Value> = self.nodes().iter().map(|&i| map[&g.nodes()[i].results[0]]).collect();
        b.finish(&outputs)
    }
}
