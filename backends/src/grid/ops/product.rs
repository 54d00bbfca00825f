//! Products of matrices: a block computes a tile of the result, whose factors it reads into shared memory a slice at a time;
//! a thread keeps a small square of it in registers. The terms of an element are added in their order.

use super::{Launches, Operand, computed, each_by, index_dtype, load_computed, param};
use crate::grid::{Build, GridKernel, Memory, Reg, blocks};
use crate::kernel::Param;
use gradloom_ir::{Binary, Comparison, DType, Error, Literal, Op, Result, Type, row_major_strides};

/// Rows and columns of a block's tile.
const TILE: usize = 64;
/// Terms that a block reads at once.
const DEPTH: usize = 16;
/// Rows and columns of a thread's square.
const SQUARE: usize = 4;
/// Threads along a side of the tile.
const SIDE: usize = TILE / SQUARE;

/// Batches of products of `rows` by `depth` and `depth` by `columns` matrices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub batch: usize,
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
}

/// What a product reads and writes, given a batch, a row or a depth, and a depth or a column, that exist.
pub(super) struct Factors<L, R, S> {
    /// An element of the left factor at (batch, row, depth).
    pub left: L,
    /// An element of the right factor at (batch, depth, column).
    pub right: R,
    /// Takes the sum at (batch, row, column).
    pub store: S,
}

/// The kernel of a product that is computed in `dtype`.
pub(super) fn tiled<L, R, S>(
    name: &str,
    params: &[Param],
    index: DType,
    dtype: DType,
    s: Sizes,
    f: &Factors<L, R, S>,
) -> Result<GridKernel>
where
    L: Fn(&mut Build, Reg, Reg, Reg) -> Reg,
    R: Fn(&mut Build, Reg, Reg, Reg) -> Reg,
    S: Fn(&mut Build, Reg, Reg, Reg, Reg),
{
    let (down, across) = (s.rows.div_ceil(TILE), s.columns.div_ceil(TILE));
    let blocks = blocks(name, s.batch * down * across, 1)?;
    let mut build = Build::new(name, params, blocks, (SIDE * SIDE) as u32, index);
    let b = &mut build;
    let tiles = [b.shared(dtype, DEPTH * TILE), b.shared(dtype, DEPTH * TILE)];
    let block = b.block();
    let (rest, column) = b.divide(block, across);
    let (batch, row) = b.divide(rest, down);
    let first = [b.times(row, TILE as i64), b.times(column, TILE as i64)];
    let thread = b.thread();
    let (own_row, own_column) = b.divide(thread, SIDE);
    let zero = Literal::scalar(dtype, 0.0);
    let sums: Vec<Reg> = (0..SQUARE * SQUARE).map(|_| b.constant(zero.clone())).collect();
    let (from, depth, step) = (b.index(0), b.index(s.depth as i64), b.index(DEPTH as i64));
    let ends = [b.index(s.rows as i64), b.index(s.columns as i64)];
    b.count(from, depth, step, |b, at| {
        for side in 0..2 {
            for part in 0..DEPTH * TILE / (SIDE * SIDE) {
                let number = b.plus(thread, (part * SIDE * SIDE) as i64);
                // neighbours among the threads are neighbours among rows or columns
                let (k, i) = b.divide(number, TILE);
                let k = b.binary(Binary::Add, at, k);
                let i = b.binary(Binary::Add, first[side], i);
                let (k_exists, i_exists) =
                    (b.compare(Comparison::Lt, k, depth), b.compare(Comparison::Lt, i, ends[side]));
                let exists = b.both(k_exists, i_exists);
                let x = b.constant(zero.clone());
                b.when(exists, |b| {
                    let element = if side == 0 { (f.left)(b, batch, i, k) } else { (f.right)(b, batch, k, i) };
                    b.assign(x, element);
                });
                b.store(tiles[side], number, x);
            }
        }
        b.barrier();
        b.times_over(DEPTH, |b, k| {
            let slice = b.times(k, TILE as i64);
            let side = |b: &mut Build, tile: Memory, own: Reg| -> Vec<Reg> {
                let first = b.times(own, SQUARE as i64);
                let first = b.binary(Binary::Add, slice, first);
                (0..SQUARE as i64)
                    .map(|i| {
                        let at = b.plus(first, i);
                        b.load(tile, at)
                    })
                    .collect()
            };
            let (left, right) = (side(b, tiles[0], own_row), side(b, tiles[1], own_column));
            for (i, &x) in left.iter().enumerate() {
                for (j, &y) in right.iter().enumerate() {
                    let sum = sums[i * SQUARE + j];
                    let term = b.binary(Binary::Mul, x, y);
                    let more = b.binary(Binary::Add, sum, term);
                    b.assign(sum, more);
                }
            }
        });
        // the next slice overwrites what some may still read
        b.barrier();
    });
    let corner = |b: &mut Build, first: Reg, own: Reg| {
        let own = b.times(own, SQUARE as i64);
        b.binary(Binary::Add, first, own)
    };
    let (row, column) = (corner(b, first[0], own_row), corner(b, first[1], own_column));
    for i in 0..SQUARE {
        for j in 0..SQUARE {
            let (row, column) = (b.plus(row, i as i64), b.plus(column, j as i64));
            let (down, across) = (b.compare(Comparison::Lt, row, ends[0]), b.compare(Comparison::Lt, column, ends[1]));
            let exists = b.both(down, across);
            b.when(exists, |b| (f.store)(b, batch, row, column, sums[i * SQUARE + j]));
        }
    }
    Ok(build.finish())
}

/// Axes of an array that are walked as one: their extents and strides.
struct Walk {
    extents: Vec<usize>,
    strides: Vec<usize>,
}

impl Walk {
    fn new(t: &Type, axes: impl Iterator<Item = usize>) -> Walk {
        let strides = row_major_strides(&t.shape);
        let (extents, strides) = axes.map(|a| (t.shape[a], strides[a])).unzip();
        Walk { extents, strides }
    }

    fn count(&self) -> usize {
        self.extents.iter().product()
    }

    /// Where element `i` of the walk begins.
    fn place(&self, b: &mut Build, i: Reg) -> Reg {
        let index = b.point(i, &self.extents);
        b.place(&index, &self.strides)
    }
}

/// `sum(places of walks)`
fn place(b: &mut Build, walks: [(&Walk, Reg); 3]) -> Reg {
    let [x, y, z] = walks.map(|(walk, i)| walk.place(b, i));
    let sum = b.binary(Binary::Add, x, y);
    b.binary(Binary::Add, sum, z)
}

pub(super) fn dot_general(op: &Op, args: &[Type], out: &Type) -> Result<Launches> {
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = op else {
        return Err(Error::internal(op.name(), "is no product"));
    };
    let (l, r) = (&args[0], &args[1]);
    let walks = |t: &Type, batch: &[usize], contract: &[usize]| {
        let free = (0..t.rank()).filter(|a| !batch.contains(a) && !contract.contains(a));
        [Walk::new(t, batch.iter().copied()), Walk::new(t, free), Walk::new(t, contract.iter().copied())]
    };
    let (left, right) = (walks(l, lhs_batch, lhs_contract), walks(r, rhs_batch, rhs_contract));
    let s = Sizes { batch: left[0].count(), rows: left[1].count(), columns: right[1].count(), depth: left[2].count() };
    let computed = computed(out.dtype);
    let index = index_dtype([l, r, out]);
    let params = [l, r, out].map(param);
    // of two operands one may be of integers that stand for the floats of the other
    let read = |b: &mut Build, from: u32, at: Reg| {
        let x = load_computed(b, Memory::Param(from), at);
        b.converted(x, computed)
    };
    let f = Factors {
        left: |b: &mut Build, batch, row, k| {
            let at = place(b, [(&left[0], batch), (&left[1], row), (&left[2], k)]);
            read(b, 0, at)
        },
        right: |b: &mut Build, batch, k, column| {
            let at = place(b, [(&right[0], batch), (&right[1], column), (&right[2], k)]);
            read(b, 1, at)
        },
        store: |b: &mut Build, batch, row, column, sum| {
            let at = b.times(batch, s.rows as i64);
            let at = b.binary(Binary::Add, at, row);
            let at = b.times(at, s.columns as i64);
            let at = b.binary(Binary::Add, at, column);
            let sum = b.converted(sum, out.dtype);
            b.store(Memory::Param(2), at, sum);
        },
    };
    let operands = vec![Operand::Arg(0), Operand::Arg(1), Operand::Result(0)];
    if s.depth == 0 {
        let kernel = each_by("dot_general", &[l, r, out], index, out.numel(), |b, number| {
            let zero = b.constant(Literal::scalar(out.dtype, 0.0));
            b.store(Memory::Param(2), number, zero);
        })?;
        return Ok(Launches::one(kernel, operands));
    }
    Ok(Launches::one(tiled("dot_general", &params, index, computed, s, &f)?, operands))
}
