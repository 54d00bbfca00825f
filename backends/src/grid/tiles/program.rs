//! What is computed at each place of a tile, as one loop nest over the region's axes.

use super::region::{Axes, Region, is_elementwise};
use crate::cpu::{Kernel, nest_of};
use crate::kernel::LoopNest;
use gradloom_ir::{Builder, Error, Graph, Op, Result, Type, Value};
use std::collections::{HashMap, HashSet};

/// What a program reads at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// The sum of a product, by its number among those of the region.
    Score(usize),
    /// What a sink of the same kernel has come to in the row, by its node.
    Sink(usize),
    /// An element of an array, by the value in the program around.
    Array(Value),
}

/// Where a value of a program is when it was run at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// What is read: read number so many.
    Read(usize),
    /// The value of an instruction.
    Computed(u32),
}

/// A program of places, what it reads and where its results are.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Over all axes; `None` if all results are read.
    pub nest: Option<LoopNest>,
    /// Which read each param of the nest is; those that it stores come after.
    pub params: Vec<usize>,
    /// What is read.
    pub reads: Vec<Read>,
    /// For each result what it is.
    pub results: Vec<Place>,
}

/// How deep an expression may be that is computed again in every kernel.
const MOST_DEPTH: usize = 8;

/// Writes programs of a region.
pub(super) struct Writer<'a> {
    g: &'a Graph,
    region: &'a Region,
    axes: Axes,
    /// What is read of the kernel's own sinks: any other is an array by then.
    own: &'a [usize],
    /// Values in whose place others are computed.
    instead: &'a HashMap<Value, Value>,
    b: Builder,
    known: HashMap<Value, Value>,
    small: HashMap<Value, Value>,
    reads: Vec<(Read, Value)>,
}

impl<'a> Writer<'a> {
    /// A writer of programs over all axes of the region.
    pub fn new(g: &'a Graph, region: &'a Region, own: &'a [usize], instead: &'a HashMap<Value, Value>) -> Writer<'a> {
        Writer {
            g,
            region,
            axes: region.axes.clone(),
            own,
            instead,
            b: Builder::new(),
            known: HashMap::new(),
            small: HashMap::new(),
            reads: Vec::new(),
        }
    }

    fn refused(&self, what: &str) -> Error {
        Error::internal("tile_products", what.to_string())
    }

    fn node(&self, v: Value) -> Option<usize> {
        self.g.definitions()[v.index()]
    }

    fn shape(&self) -> Vec<usize> {
        self.axes.extents.clone()
    }

    fn read(&mut self, read: Read, ty: Type) -> Value {
        let v = self.b.input(ty, "");
        self.reads.push((read, v));
        v
    }

    /// A value of the region's size, on the region's axes.
    pub fn value(&mut self, v: Value) -> Result<Value> {
        let mut v = v;
        while let Some(&other) = self.instead.get(&v) {
            v = other;
        }
        if let Some(&known) = self.known.get(&v) {
            return Ok(known);
        }
        let made = self.make(v)?;
        self.known.insert(v, made);
        Ok(made)
    }

    fn make(&mut self, v: Value) -> Result<Value> {
        let (g, shape) = (self.g, self.shape());
        let Some(i) = self.node(v) else { return self.array(v) };
        let node = &g.nodes()[i];
        let is_member = self.region.members.contains(&i);
        if let Some(k) = self.region.scores.iter().position(|&s| s == i) {
            return Ok(self.read(Read::Score(k), g.ty(v).with_shape(&shape)));
        }
        if !is_member && !is_cheap(g, v, 0) {
            return self.array(v);
        }
        match &node.op {
            op if is_elementwise(op) => {
                let args = node.args.iter().map(|&a| self.value(a)).collect::<Result<Vec<_>>>()?;
                Ok(self.b.op(op.clone(), &args))
            }
            Op::Reshape { .. } => self.value(node.args[0]),
            Op::Broadcast { dims, .. } => {
                let x = self.small(node.args[0])?;
                let axes = self.split(&g.ty(v).shape)?;
                let targets: Vec<Vec<usize>> = dims.iter().map(|&d| axes[d].clone()).collect();
                self.spread(x, &targets)
            }
            Op::Iota { dtype, axis, .. } => {
                let axes = self.split(&g.ty(v).shape)?;
                match axes[*axis][..] {
                    [axis] => Ok(self.b.iota(*dtype, &shape, axis)),
                    _ => self.array(v),
                }
            }
            Op::Constant { value } => match value.splat_value() {
                Some(one) => {
                    let one = self.b.literal(one);
                    Ok(self.b.broadcast(one, &shape, &[]))
                }
                None => self.array(v),
            },
            _ => self.array(v),
        }
    }

    fn split(&self, shape: &[usize]) -> Result<Vec<Vec<usize>>> {
        self.axes.split(shape).ok_or_else(|| self.refused("an array does not have the axes of its region"))
    }

    /// An array of the region's size that is read.
    fn array(&mut self, v: Value) -> Result<Value> {
        let x = self.read(Read::Array(v), self.g.ty(v).clone());
        let axes = self.split(&self.g.ty(v).shape)?;
        self.spread(x, &axes)
    }

    /// A small value over all axes of the program: its axis `i` becomes `targets[i]`.
    fn spread(&mut self, x: Value, targets: &[Vec<usize>]) -> Result<Value> {
        let (mut shape, mut dims) = (Vec::new(), Vec::new());
        let from = self.b.ty(x).shape.clone();
        for (&n, target) in from.iter().zip(targets) {
            // an axis of length 1 that stretches is none
            if n == 1 {
                continue;
            }
            for &axis in target {
                shape.push(self.axes.extents[axis]);
                dims.push(axis);
            }
        }
        let whole = self.shape();
        if dims.iter().any(|&d| d >= whole.len()) {
            return Err(self.refused("a row is spread over columns"));
        }
        let x = if from[..] == shape[..] { x } else { self.b.reshape(x, &shape) };
        Ok(if shape == whole { x } else { self.b.broadcast(x, &whole, &dims) })
    }

    /// A value of rows, columns or less, in its own shape.
    fn small(&mut self, v: Value) -> Result<Value> {
        if let Some(&known) = self.small.get(&v) {
            return Ok(known);
        }
        let g = self.g;
        let definition = self.node(v).map(|i| (i, &g.nodes()[i]));
        let made = match definition {
            Some((i, _)) if self.own.contains(&i) => self.read(Read::Sink(i), g.ty(v).clone()),
            Some((_, node)) if depends_on(g, v, self.own) => {
                let args = node.args.iter().map(|&a| self.small(a)).collect::<Result<Vec<_>>>()?;
                match &node.op {
                    op if is_elementwise(op) => self.b.op(op.clone(), &args),
                    op @ (Op::Reshape { .. } | Op::Broadcast { .. }) => self.b.op(op.clone(), &args),
                    op => return Err(self.refused(&format!("{} of what a kernel has in its registers", op.name()))),
                }
            }
            Some((_, node)) if matches!(&node.op, Op::Constant { value } if value.splat_value().is_some()) => {
                self.b.op(node.op.clone(), &[])
            }
            _ => self.read(Read::Array(v), g.ty(v).clone()),
        };
        self.small.insert(v, made);
        Ok(made)
    }

    /// A value of rows, spread over the axes before the columns, which are the program's from now on.
    pub fn row_value(&mut self, broadcast: usize) -> Result<Value> {
        self.axes.extents.truncate(self.axes.columns.start);
        let node = &self.g.nodes()[broadcast];
        let Op::Broadcast { dims, .. } = &node.op else { return Err(self.refused("no rows are spread")) };
        let x = self.small(node.args[0])?;
        let axes = self.region.axes.split(&self.g.ty(node.results[0]).shape);
        let axes = axes.ok_or_else(|| self.refused("an array does not have the axes of its region"))?;
        let targets: Vec<Vec<usize>> = dims.iter().map(|&d| axes[d].clone()).collect();
        self.spread(x, &targets)
    }

    /// The program of these values.
    ///
    /// # Errors
    /// If it is no loop nest.
    pub fn finish(self, values: &[Value]) -> Result<Program> {
        let read_of = |v: Value| self.reads.iter().position(|&(_, input)| input == v);
        let mut roots: Vec<Value> = Vec::new();
        for &v in values {
            if read_of(v).is_none() && !roots.contains(&v) {
                roots.push(v);
            }
        }
        // a root may be computed of those before it
        roots.sort_unstable();
        let place = |nest: Option<&LoopNest>, v: Value| match (read_of(v), nest) {
            (Some(read), _) if !matches!(self.reads[read].0, Read::Array(_)) => Ok(Place::Read(read)),
            (Some(_), _) => Err(Error::internal("tile_products", "a result is an array that is there")),
            (None, Some(nest)) => {
                let root = roots.iter().position(|&r| r == v).unwrap_or(usize::MAX);
                let stored = nest.stores.get(root).map(|s| Place::Computed(s.value));
                stored.ok_or_else(|| Error::internal("tile_products", "a result is not stored"))
            }
            (None, None) => Err(Error::internal("tile_products", "nothing is computed")),
        };
        let reads = self.reads.iter().map(|&(read, _)| read).collect();
        if roots.is_empty() {
            let results = values.iter().map(|&v| place(None, v)).collect::<Result<_>>()?;
            return Ok(Program { nest: None, params: Vec::new(), reads, results });
        }
        // a program's inputs are its first values, in the order in which they were added
        let Kernel { nest, params, written, .. } = nest_of(&self.b.finish(&roots)?)?;
        let params = params[..params.len() - written].iter().map(|v| v.index()).collect();
        let results = values.iter().map(|&v| place(Some(&nest), v)).collect::<Result<_>>()?;
        Ok(Program { nest: Some(nest), params, reads, results })
    }
}

/// Whether a value is computed of few small ones element by element, so that it is not worth to be read.
fn is_cheap(g: &Graph, v: Value, depth: usize) -> bool {
    let Some(i) = g.definitions()[v.index()] else { return false };
    let node = &g.nodes()[i];
    match &node.op {
        Op::Broadcast { .. } | Op::Iota { .. } => true,
        Op::Constant { value } => value.splat_value().is_some(),
        op if is_elementwise(op) || matches!(op, Op::Reshape { .. }) => {
            depth < MOST_DEPTH && node.args.iter().all(|&a| is_cheap(g, a, depth + 1))
        }
        _ => false,
    }
}

/// Whether the value depends on one of these nodes.
pub(super) fn depends_on(g: &Graph, v: Value, nodes: &[usize]) -> bool {
    let definitions = g.definitions();
    let first = nodes.iter().min().copied().unwrap_or(usize::MAX);
    let (mut open, mut seen) = (vec![v], HashSet::new());
    while let Some(v) = open.pop() {
        if let Some(i) = definitions[v.index()]
            && i >= first
            && seen.insert(i)
        {
            if nodes.contains(&i) {
                return true;
            }
            open.extend(&g.nodes()[i].args);
        }
    }
    false
}
