//! Reductions in two stages: to few numbers, so that there is something to share between threads; of long rows, so that
//! memory is walked forwards.

use crate::kernel::combiner;
use gradloom_ir::{Binary, Builder, Graph, Node, Op, ReduceKind, Result, Shape, Type, Unary, Value};
use gradloom_passes::{Changed, map_bodies};
use smallvec::SmallVec;
use std::collections::HashMap;

/// For which machine a program is made ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum For {
    /// A few threads that each go through long pieces of memory.
    Processor,
    /// Hundreds of blocks of threads.
    Gpu,
}

/// Results of a reduction along memory, a block each, that keep a GPU busy, and the fewest elements of a part.
const BUSY_ALONG: (usize, usize) = (1 << 10, 1 << 11);

/// The same of a reduction across memory, where a block has 32 neighbours.
const BUSY_ACROSS: (usize, usize) = (1 << 14, 1 << 8);

/// Most parts on a GPU: the second reduction is not worth a third.
const MAX_PARTS_GPU: usize = 512;

/// A reduction to this many numbers has rows or columns enough for the threads.
const MANY_RESULTS: usize = 64;

/// A reduction of fewer elements a result is not worth a second loop nest.
const MIN_REDUCED: usize = 1 << 15;

/// Parts a reduction is cut into, if its lengths have divisors that allow it.
const MIN_PARTS: usize = 16;

/// Most parts; enough to balance the threads of large machines.
const MAX_PARTS: usize = 64;

/// Bytes from which on the columns of an array are reduced by blocks of rows.
const MIN_COLUMNS: usize = 1 << 20;

/// Bytes of a row of those: as many as one entry of the table of pages covers.
const PAGE: usize = 4096;

/// Rows of a block.
const BLOCK_ROWS: std::ops::RangeInclusive<usize> = 8..=32;

/// How far the operand of a reduction without such divisors is followed to what it is computed from.
const MAX_DEPTH: usize = 256;

/// Whether [`divide_reductions`] has anything to do here or in a nested program.
pub(super) fn has_long_reduction(g: &Graph, on: For) -> bool {
    g.nodes().iter().any(|n| division(g, n, on).is_some() || n.op.bodies().iter().any(|b| has_long_reduction(b, on)))
}

/// Rewrites a `reduce` of many elements to few, or of many long rows, as one that keeps an axis of parts, and one along
/// the parts.
///
/// **Requires** real arrays. **Ensures** that the cut depends on shapes alone, so that results do not depend on the
/// number of threads; that what the reduction reads can still be computed inside its loop nest. **Never** changes
/// results, but for the order in which floats are summed or multiplied.
pub(super) fn divide_reductions(g: &mut Graph, on: For) -> Result<Changed> {
    let inside = map_bodies(g, &mut |g| divide_reductions(g, on))?;
    if !g.nodes().iter().any(|n| division(g, n, on).is_some()) {
        return Ok(inside);
    }
    let mut b = Builder::new();
    let mut map: Vec<Value> = Vec::with_capacity(g.num_values());
    map.extend(g.inputs().map(|v| b.input(g.ty(v).clone(), &g.input_names()[v.index()])));
    let mut d = Divider { g, definitions: g.definitions(), b, map };
    for node in g.nodes() {
        d.b.set_loc(&node.loc);
        match (&node.op, division(g, node, on)) {
            (Op::Reduce { kind, axes }, Some(parts)) => {
                let y = d.divided(*kind, node.args[0], axes, &parts);
                d.map.push(y);
            }
            _ => {
                let args: SmallVec<[Value; 4]> = node.args.iter().map(|a| d.map[a.index()]).collect();
                let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
                d.map.extend(d.b.emit_typed(node.op.clone(), &args, types));
            }
        }
    }
    let outputs: Vec<Value> = g.outputs().iter().map(|v| d.map[v.index()]).collect();
    *g = d.b.finish(&outputs)?;
    Ok(Changed::Yes)
}

/// How a reduction is cut into parts.
struct Division {
    /// The operand's shape with the axes that are cut as two: parts, and the length of a part.
    shape: Shape,
    /// The axes of `shape` that are reduced first.
    first: Shape,
    /// The axes of what is left that are reduced then.
    second: Shape,
    /// An axis of the operand that has no such parts: where its last few elements, a reduction of their own, begin.
    rest: Option<(usize, usize)>,
}

/// The fewest and the most parts in which a reduction is cut, if it is.
fn parts_of(x: &Type, axes: &[usize], reduced: usize, on: For) -> Option<(usize, usize)> {
    let results = x.numel() / reduced;
    if on == For::Processor {
        return (reduced >= MIN_REDUCED && results < MANY_RESULTS).then_some((MIN_PARTS, MAX_PARTS));
    }
    let along = axes.contains(&(x.rank().checked_sub(1)?));
    let (busy, fewest) = if along { BUSY_ALONG } else { BUSY_ACROSS };
    let most = (busy / results).min(reduced / fewest).min(MAX_PARTS_GPU);
    // what has been cut has at least half as many results as it may, and is not cut again
    (most >= 4).then_some((most.div_ceil(2), most))
}

fn division(g: &Graph, node: &Node, on: For) -> Option<Division> {
    let Op::Reduce { axes, .. } = &node.op else { return None };
    let x = g.ty(node.args[0]);
    let reduced: usize = axes.iter().map(|&a| x.shape[a]).product();
    if x.dtype.is_complex() || x.numel() == 0 {
        return None;
    }
    if let [axis] = axes[..]
        && x.bytes() >= MIN_COLUMNS
        && on == For::Processor
    {
        let columns: usize = x.shape[axis + 1..].iter().product();
        if columns * x.dtype.size() >= PAGE {
            return blocks_of_rows(&x.shape, axis);
        }
    }
    let (fewest, most) = parts_of(x, axes, reduced, on)?;
    let mut d = Division { shape: Shape::new(), first: Shape::new(), second: Shape::new(), rest: None };
    // axes of `shape` that the first reduction leaves
    let (mut left, mut parts) = (0, 1);
    for (axis, &n) in x.shape.iter().enumerate() {
        let at = d.shape.len();
        if !axes.contains(&axis) {
            d.shape.push(n);
            left += 1;
            continue;
        }
        if parts >= fewest || n == 1 {
            d.shape.push(n);
            d.first.push(at);
            continue;
        }
        let room = most / parts;
        if n <= room {
            // the whole axis counts parts
            d.shape.push(n);
            d.second.push(left);
            left += 1;
            parts *= n;
            continue;
        }
        let divisor = (1..=room).rev().find(|m| n.is_multiple_of(*m)).unwrap_or(1);
        let (count, length) = if parts * divisor >= fewest {
            (divisor, n / divisor)
        } else {
            d.rest = Some((axis, n / room * room));
            (room, n / room)
        };
        d.shape.extend([count, length]);
        d.second.push(left);
        d.first.push(at + 1);
        left += 1;
        parts *= count;
    }
    Some(d)
}

/// Sums of long rows: a loop down a few columns at a time would touch a page for each row, so blocks of rows are summed
/// first.
fn blocks_of_rows(shape: &[usize], axis: usize) -> Option<Division> {
    let length = BLOCK_ROWS.rev().find(|m| shape[axis].is_multiple_of(*m) && shape[axis] > *m)?;
    let mut split: Shape = shape.into();
    split[axis] /= length;
    split.insert(axis + 1, length);
    let one = |a: usize| [a].into_iter().collect();
    Some(Division { shape: split, first: one(axis + 1), second: one(axis), rest: None })
}

struct Divider<'a> {
    g: &'a Graph,
    definitions: std::sync::Arc<[Option<usize>]>,
    b: Builder,
    /// By value of the old program: its value in the new one.
    map: Vec<Value>,
}

impl Divider<'_> {
    fn divided(&mut self, kind: ReduceKind, x: Value, axes: &[usize], d: &Division) -> Value {
        let dtype = self.g.ty(x).dtype;
        // a part's sum is not rounded before it is added to the others
        let sums = matches!(kind, ReduceKind::Sum | ReduceKind::Prod);
        let wide = if sums { dtype.accumulator() } else { dtype };
        let mut main = self.map[x.index()];
        if let Some((axis, from)) = d.rest {
            main = self.b.slice_axis(main, axis, 0, from);
        }
        main = self.b.convert(main, wide);
        main = self.b.reshape(main, &d.shape);
        main = self.b.reduce(kind, main, &d.first);
        let mut y = self.b.reduce(kind, main, &d.second);
        if let Some((axis, from)) = d.rest {
            let rest = self.rest(x, (axis, from), &mut HashMap::new(), MAX_DEPTH);
            let rest = self.b.convert(rest, wide);
            let rest = self.b.reduce(kind, rest, axes);
            y = self.b.binary(combiner(kind), y, rest);
        }
        self.b.convert(y, dtype)
    }

    /// The elements of `x` from `start` on along `axis`, computed from as many of what `x` is computed from: a slice of
    /// `x` itself would be a second use of it, for which it might be stored.
    fn rest(
        &mut self,
        x: Value,
        (axis, start): (usize, usize),
        known: &mut HashMap<(Value, usize), Value>,
        depth: usize,
    ) -> Value {
        if let Some(&y) = known.get(&(x, axis)) {
            return y;
        }
        let g = self.g;
        let node = self.definitions[x.index()].map(|i| &g.nodes()[i]).filter(|_| depth > 0);
        let y = match node.map(|n| (&n.op, &n.args)) {
            Some((op, args)) if is_elementwise(op) => {
                let args: SmallVec<[Value; 4]> =
                    args.iter().map(|&a| self.rest(a, (axis, start), known, depth - 1)).collect();
                self.b.op(op.clone(), &args)
            }
            Some((Op::Broadcast { shape, dims }, args)) => {
                let mut to = shape.clone();
                to[axis] -= start;
                let z = match dims.iter().position(|&d| d == axis) {
                    Some(k) if g.ty(args[0]).shape[k] == shape[axis] => {
                        self.rest(args[0], (k, start), known, depth - 1)
                    }
                    _ => self.map[args[0].index()],
                };
                self.b.broadcast(z, &to, dims)
            }
            _ => self.b.slice_axis(self.map[x.index()], axis, start, g.ty(x).shape[axis]),
        };
        known.insert((x, axis), y);
        y
    }
}

/// Whether the result's elements are functions of the operands' at the same place. The parts of complex numbers, which
/// are read from memory, are not.
pub(super) fn is_elementwise(op: &Op) -> bool {
    match op {
        Op::Unary(Unary::Real | Unary::Imag) | Op::Binary(Binary::Complex) => false,
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select {} => true,
        Op::Convert { .. } | Op::Bitcast { .. } | Op::Threefry { .. } => true,
        _ => false,
    }
}
