//! Scatter, in the order of the updates whatever threads do: the updates are sorted by where they go (stable), and one thread
//! goes through all that go to one place. Results are those of the interpreter, bit for bit; the price is the sort, and that
//! many updates of one element are one thread's work.

use super::indexing::{copy, grid_axis, index_place, integer};
use super::sorting::order_of;
use super::{Launches, Operand, each_by, index_dtype, position, words};
use crate::grid::{Build, Memory, Reg, Stmt};
use gradloom_ir::{Binary, Comparison, DType, Error, Literal, Op, Result, ScatterKind, Shape, Type};

/// How updates lie: each *unit* goes to one place, and has a window of elements that go to places in step with it.
struct Geometry<'a> {
    out: &'a Type,
    indices: &'a Type,
    updates: &'a Type,
    index_vector_dim: usize,
    scatter_dims: &'a [usize],
    batching: Vec<(usize, usize)>,
    window_dims: &'a [usize],
    /// The operand's axes that windows extend along, in the order of `window_dims`.
    window_axes: Vec<usize>,
    /// Whether a unit is a whole window: no window extends along an axis that is indexed.
    whole: bool,
}

impl Geometry<'_> {
    fn is_window(&self, d: usize) -> bool {
        self.window_dims.contains(&d)
    }

    fn extents(&self, windows: bool) -> Shape {
        let dims = (0..self.updates.rank()).filter(|&d| self.is_window(d) == windows);
        dims.map(|d| self.updates.shape[d]).collect()
    }

    fn units(&self) -> usize {
        if self.whole { self.extents(false).iter().product() } else { self.updates.numel() }
    }

    fn window(&self) -> usize {
        if self.whole { self.extents(true).iter().product() } else { 1 }
    }

    /// The index of the updates' element `window` of a unit.
    fn update(&self, b: &mut Build, unit: Reg, window: Reg) -> Vec<Reg> {
        if !self.whole {
            return b.point(unit, &self.updates.shape);
        }
        let mut grid = b.point(unit, &self.extents(false)).into_iter();
        let mut inside = b.point(window, &self.extents(true)).into_iter();
        let next = |d| if self.is_window(d) { inside.next() } else { grid.next() };
        (0..self.updates.rank()).filter_map(next).collect()
    }

    /// Where element 0 of a unit goes, or the size of the result if its window does not lie inside.
    fn target(&self, b: &mut Build, indices: Memory, unit: Reg) -> Reg {
        let zero = b.index(0);
        let index = self.update(b, unit, zero);
        let grid: Vec<Reg> = (0..index.len()).filter(|&d| !self.is_window(d)).map(|d| index[d]).collect();
        let mut at = vec![zero; self.out.rank()];
        let mut inside = b.truth(true);
        let least = b.constant(Literal::new(&[], &[0i64]));
        let mut sizes = vec![1; self.out.rank()];
        for (&axis, &n) in self.window_axes.iter().zip(&self.extents(true)) {
            sizes[axis] = n;
        }
        for (k, &axis) in self.scatter_dims.iter().enumerate() {
            let place = index_place(b, &grid, k, self.indices, self.index_vector_dim);
            let start = integer(b, indices, place);
            let most = b.constant(Literal::new(&[], &[self.out.shape[axis] as i64 - sizes[axis] as i64]));
            let (low, high) = (b.compare(Comparison::Ge, start, least), b.compare(Comparison::Le, start, most));
            for holds in [low, high] {
                inside = b.both(inside, holds);
            }
            at[axis] = b.as_index(start);
        }
        for &(axis, d) in &self.batching {
            at[axis] = grid[grid_axis(d, self.index_vector_dim)];
        }
        for (&axis, &d) in self.window_axes.iter().zip(self.window_dims) {
            at[axis] = b.binary(Binary::Add, at[axis], index[d]);
        }
        let at = position(b, &at, &self.out.shape);
        let nowhere = b.index(self.out.numel() as i64);
        b.select(inside, at, nowhere)
    }

    /// How far element `window` of a unit lies from its element 0 in the result.
    fn offset(&self, b: &mut Build, window: Reg) -> Reg {
        let zero = b.index(0);
        let mut at = vec![zero; self.out.rank()];
        if self.whole {
            let inside = b.point(window, &self.extents(true));
            self.window_axes.iter().zip(inside).for_each(|(&axis, i)| at[axis] = i);
        }
        position(b, &at, &self.out.shape)
    }
}

pub(super) fn scatter(op: &Op, args: &[Type], out: &Type) -> Result<Launches> {
    let Op::Scatter {
        update_window_dims,
        inserted_window_dims,
        input_batching_dims,
        scatter_indices_batching_dims,
        scatter_dims_to_operand_dims,
        index_vector_dim,
        kind,
    } = op
    else {
        return Err(Error::internal(op.name(), "is no scatter"));
    };
    let is_bool = out.dtype == DType::Bool;
    let combine = match kind {
        ScatterKind::Set => None,
        // sums of truth values are `or`, products `and`
        ScatterKind::Add | ScatterKind::Max if is_bool => Some(Binary::Or),
        ScatterKind::Mul | ScatterKind::Min if is_bool => Some(Binary::And),
        ScatterKind::Add => Some(Binary::Add),
        ScatterKind::Mul => Some(Binary::Mul),
        ScatterKind::Min => Some(Binary::Min),
        ScatterKind::Max => Some(Binary::Max),
    };
    if out.dtype.is_complex() && !matches!(kind, ScatterKind::Set | ScatterKind::Add) {
        return Err(Error::limit(op.name(), format!("of products of {} has no form on GPUs", out.dtype)));
    }
    let is_window = |a: &usize| !inserted_window_dims.contains(a) && !input_batching_dims.contains(a);
    let window_axes: Vec<usize> = (0..out.rank()).filter(is_window).collect();
    let extends = |(&axis, &d): (&usize, &usize)| scatter_dims_to_operand_dims.contains(&axis) && args[2].shape[d] != 1;
    let g = Geometry {
        out,
        indices: &args[1],
        updates: &args[2],
        index_vector_dim: *index_vector_dim,
        scatter_dims: scatter_dims_to_operand_dims,
        batching: input_batching_dims.iter().copied().zip(scatter_indices_batching_dims.iter().copied()).collect(),
        window_dims: update_window_dims,
        whole: !window_axes.iter().zip(update_window_dims).any(extends),
        window_axes,
    };
    let mut all = copy(out)?;
    let (units, window) = (g.units(), g.window());
    if units * window == 0 || out.numel() == 0 {
        return Ok(all);
    }
    let arrays = [out, g.indices, g.updates];
    let index = index_dtype(arrays);
    let targets = Type::new(index, &[units]);
    let places = Type::new(DType::U32, &[units]);
    let find = each_by("scatter_targets", &[g.indices, &targets], index, units, |b, unit| {
        let target = g.target(b, Memory::Param(0), unit);
        b.store(Memory::Param(1), unit, target);
    })?;
    let found = all.take(targets.bytes());
    all.push(find, vec![Operand::Arg(1), found]);
    let order = order_of(&mut all, &targets, found)?;
    let (w, count) = (words(out), units * window);
    let add = each_by("scatter", &[g.updates, &targets, &places, out], index, count, |b, number| {
        let (first, inside) = b.divide(number, window);
        let target_of = |b: &mut Build, i: Reg| {
            let unit = b.load(Memory::Param(2), i);
            let unit = b.as_index(unit);
            (unit, b.load(Memory::Param(1), unit))
        };
        let (_, target) = target_of(b, first);
        let nowhere = b.index(out.numel() as i64);
        let begins = b.compare(Comparison::Lt, target, nowhere);
        let begins = b.variable(begins);
        let zero = b.index(0);
        let has_before = b.compare(Comparison::Gt, first, zero);
        b.when(has_before, |b| {
            let before = b.plus(first, -1);
            let (_, before) = target_of(b, before);
            let other = b.compare(Comparison::Ne, before, target);
            let both = b.both(begins, other);
            b.assign(begins, both);
        });
        b.when(begins, |b| {
            let offset = g.offset(b, inside);
            let at = b.binary(Binary::Add, target, offset);
            let at = b.times(at, w.per_element as i64);
            let old = b.loads(Memory::Param(3), at, w.per_element);
            let acc: Vec<Reg> = old.iter().map(|&x| b.variable(x)).collect();
            let count = b.index(units as i64);
            let end = b.variable(count);
            let one = b.index(1);
            b.count(first, end, one, |b, i| {
                let (unit, own) = target_of(b, i);
                let same = b.compare(Comparison::Eq, own, target);
                b.when(same, |b| {
                    let update = g.update(b, unit, inside);
                    let from = position(b, &update, &g.updates.shape);
                    let from = b.times(from, w.per_element as i64);
                    for (&acc, x) in acc.iter().zip(b.loads(Memory::Param(0), from, w.per_element)) {
                        let new = match combine {
                            None => x,
                            Some(op) => {
                                let (a, x) = (b.widened_half(acc), b.widened_half(x));
                                let sum = b.binary(op, a, x);
                                b.converted(sum, w.dtype)
                            }
                        };
                        b.assign(acc, new);
                    }
                });
                let another = b.negated(same);
                // the loop ends where its end is moved to the front
                b.when(another, |b| b.assign(end, zero));
            });
            b.push(Stmt::Store { to: Memory::Param(3), at, values: acc.into() });
        });
    })?;
    all.push(add, vec![Operand::Arg(2), found, order, Operand::Result(0)]);
    Ok(all)
}
