//! Elements in other places: padding with what is there, turning, diagonals, counted repetition.

use super::arithmetic::broadcast_at;
use super::axes::{Axes, IntoAxes, resolve_axes, resolve_axis, settle};
use super::checks::{self, position_dtype, settled, settled_list};
use super::convert::full_at;
use super::searching::count_below;
use super::shaping::{concatenate_at, diagonal_at, slice_axis_at, times, transpose_at, triangle};
use super::{Tensor, apply};
use gradloom_ir::{Comparison, DType, Error, Loc, Op, Result, Shape};

/// What [`Tensor::pad_with`] puts around an array, taken from the array itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// The element at the border: `a a | a b c | c c`.
    Edge,
    /// Mirrored at the border element, which is not repeated: `c b | a b c | b a`.
    Reflect,
    /// Mirrored at the border, so that its element is repeated: `b a | a b c | c b`.
    Symmetric,
    /// Around the other end: `b c | a b c | a b`.
    Wrap,
}

/// Widest padding on one side: what keeps positions within 64 bits.
const MAX_WIDTH: usize = 1 << 40;

/// The positions `-low..n + high` of an axis of length `n` brought into it.
#[track_caller]
fn padded_positions(n: usize, low: usize, high: usize, mode: PadMode) -> Tensor {
    let dtype = position_dtype(2 * n + low + high);
    let at = Tensor::iota([low + n + high], 0, dtype) - low;
    let last = n - 1;
    match mode {
        PadMode::Edge => at.clip(0, last),
        PadMode::Wrap => at.remainder(n),
        PadMode::Symmetric => {
            let at = at.remainder(2 * n);
            at.lt(n).select(&at, -(&at - (2 * n - 1)))
        }
        PadMode::Reflect => {
            let at = at.remainder((2 * last).max(1));
            at.lt(n).select(&at, -(&at - 2 * last))
        }
    }
}

#[track_caller]
fn pad_with(x: &Tensor, widths: &[(usize, usize)], mode: PadMode) -> Result<Tensor> {
    let op = "pad_with";
    x.check()?;
    if widths.len() != x.ndim() {
        return Err(Error::user(op, format!("{} pairs of widths for {}", widths.len(), x.ty_ref()))
            .help("give one (low, high) pair an axis"));
    }
    let mut y = x.clone();
    for (axis, (&(low, high), &n)) in widths.iter().zip(x.shape()).enumerate() {
        if (low, high) == (0, 0) {
            continue;
        }
        if n == 0 {
            return Err(Error::user(op, format!("axis {axis} of {} is empty, there is nothing to repeat", x.ty_ref()))
                .help("pad with a value: `x.pad(widths, 0.0)`"));
        }
        if low.max(high) > MAX_WIDTH {
            return Err(Error::limit(op, format!("widths ({low}, {high}) are out of bounds")));
        }
        y = y.take(&padded_positions(n, low, high, mode), axis as i64);
    }
    Ok(y)
}

fn roll_at(x: &Tensor, shifts: &Axes, axes: &Axes, loc: &Loc) -> Result<Tensor> {
    let op = "roll";
    x.check()?;
    let axes = resolve_axes(op, axes, x.ty_ref())?;
    let Axes::Listed(shifts) = shifts else {
        return Err(Error::user(op, "`..` is no number of places").help("give one number for all axes, or one an axis"));
    };
    if shifts.len() != 1 && shifts.len() != axes.len() {
        return Err(Error::user(op, format!("{} shifts for {} axes", shifts.len(), axes.len()))
            .help("give one number for all axes, or one an axis"));
    }
    let mut y = x.clone();
    for (i, &a) in axes.iter().enumerate() {
        let n = x.shape()[a];
        if n == 0 {
            continue;
        }
        let cut = n - shifts[if shifts.len() == 1 { 0 } else { i }].rem_euclid(n as i64) as usize;
        let back = slice_axis_at(&y, a, cut, n, 1, loc)?;
        y = concatenate_at(&[back, slice_axis_at(&y, a, 0, cut, 1, loc)?], a, loc);
    }
    Ok(y)
}

fn move_axis_at(x: &Tensor, from: &Axes, to: &Axes, loc: &Loc) -> Result<Tensor> {
    let op = "move_axis";
    x.check()?;
    let (from, to) = (resolve_axes(op, from, x.ty_ref())?, resolve_axes(op, to, x.ty_ref())?);
    if from.len() != to.len() {
        return Err(Error::user(op, format!("{} axes and {} places for them", from.len(), to.len()))
            .help("give each axis one place"));
    }
    let mut rest = (0..x.ndim()).filter(|a| !from.contains(a));
    let perm: Shape = (0..x.ndim())
        .filter_map(|i| to.iter().position(|&t| t == i).map(|k| from[k]).or_else(|| rest.next()))
        .collect();
    Ok(transpose_at(x, &perm, loc))
}

#[track_caller]
fn rot90(x: &Tensor, k: i64, axes: (i64, i64)) -> Result<Tensor> {
    let op = "rot90";
    x.check()?;
    let axes = resolve_axes(op, &Axes::Listed(vec![axes.0, axes.1]), x.ty_ref())?;
    let (a, b) = (axes[0], axes[1]);
    Ok(match k.rem_euclid(4) {
        0 => x.clone(),
        1 => x.flip(b).swapaxes(a as i64, b as i64),
        2 => x.flip([a, b]),
        _ => x.swapaxes(a as i64, b as i64).flip(b),
    })
}

/// The `k`-th diagonal over two axes as a new last axis.
fn diagonal_of(op: &str, x: &Tensor, k: i64, a: i64, b: i64, loc: &Loc) -> Result<Tensor> {
    x.check()?;
    let axes = resolve_axes(op, &Axes::Listed(vec![a, b]), x.ty_ref())?;
    let (a, b) = (axes[0], axes[1]);
    let (axis, skip) = if k < 0 { (a, k.unsigned_abs()) } else { (b, k.unsigned_abs()) };
    let n = x.shape()[axis];
    let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(n);
    diagonal_at(&slice_axis_at(x, axis, skip, n, 1, loc)?, a, b, loc)
}

/// Matrices with the last axis on their `k`-th diagonal.
fn on_diagonal(op: &str, x: &Tensor, k: i64, loc: &Loc) -> Result<Tensor> {
    x.check()?;
    let Some((&n, outer)) = x.shape().split_last() else {
        return Err(Error::user(op, format!("{} has no axes", x.ty_ref())));
    };
    let far = usize::try_from(k.unsigned_abs()).ok().filter(|&k| k < 1 << 31);
    let Some(side) = far.map(|k| n + k) else {
        return Err(Error::limit(op, format!("a matrix with {} on its diagonal {k}", x.ty_ref())));
    };
    let ahead = if k < 0 { side - n } else { 0 };
    // element i stands in row i + max(-k, 0): one copy of the row vector a column would repeat, chosen on the diagonal
    let mut widths = vec![(0, 0); x.ndim()];
    widths[x.ndim() - 1] = (ahead as i64, (side - n - ahead) as i64);
    let column = x.pad_at(&widths, &super::scalar_at(x.dtype(), 0.0, loc), loc)?;
    let shape: Shape = outer.iter().copied().chain([side, side]).collect();
    let dims: Shape = (0..x.ndim()).collect();
    let wide = apply(Op::Broadcast { shape: shape.clone(), dims }, &[&column], loc);
    let keep = broadcast_at(&triangle(Comparison::Eq, &[side, side], k, loc), &shape, loc);
    Ok(apply(Op::Select {}, &[&keep, &wide, &full_at(&x.ty_ref().with_shape(&shape), 0.0, loc)], loc))
}

#[track_caller]
fn repeat_counts(x: &Tensor, counts: &Tensor, axis: i64, total: usize) -> Result<Tensor> {
    let op = "repeat_counts";
    x.check()?;
    checks::integer(op, counts)?;
    let axis = resolve_axis(op, axis, x.ty_ref())?;
    let n = x.shape()[axis];
    if counts.shape() != [n] {
        return Err(Error::shape_mismatch(op, x.ty_ref(), counts.ty_ref(), "there must be one count an element")
            .help(format!("axis {axis} has length {n}; for one count for all use `repeat`")));
    }
    if n == 0 && total > 0 {
        return Err(Error::user(op, format!("axis {axis} of {} is empty, there is nothing to repeat", x.ty_ref())));
    }
    let ends = counts.to(DType::I64).maximum(0).cumsum(0);
    let at = Tensor::iota([total], 0, DType::I64);
    Ok(x.take(&count_below(&ends, &at, true)?, axis as i64))
}

#[track_caller]
fn kron(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let op = "kron";
    checks::same_dtype(op, a, b)?;
    checks::number(op, a)?;
    let rank = a.ndim().max(b.ndim());
    let (mut left, mut right, mut shape) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..rank {
        let m = (i + a.ndim()).checked_sub(rank).map_or(1, |k| a.shape()[k]);
        let n = (i + b.ndim()).checked_sub(rank).map_or(1, |k| b.shape()[k]);
        left.extend([m, 1]);
        right.extend([1, n]);
        shape.push(times(op, m, n)?);
    }
    Ok((a.reshape(left) * b.reshape(right)).reshape(shape))
}

impl Tensor {
    /// Elements of the array itself before and after each axis.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{PadMode, prelude::*};
    /// let x = Tensor::arange(3);
    /// assert_eq!(x.pad_with(&[(2, 1)], PadMode::Reflect).to_vec::<i32>().unwrap(), [2, 1, 0, 1, 2, 1]);
    /// assert_eq!(x.pad_with(&[(2, 1)], PadMode::Wrap).to_vec::<i32>().unwrap(), [1, 2, 0, 1, 2, 0]);
    /// ```
    #[track_caller]
    pub fn pad_with(&self, widths: &[(usize, usize)], mode: PadMode) -> Tensor {
        settled(pad_with(self, widths, mode))
    }

    /// Elements moved `shifts` places towards the end of an axis, around its end; several axes take one shift each, or
    /// one for all.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::arange(4).roll(1, 0).to_vec::<i32>().unwrap(), [3, 0, 1, 2]);
    /// let x = Tensor::arange(4).reshape([2, 2]);
    /// assert_eq!(x.roll([1, 1], [0, 1]).to_vec::<i32>().unwrap(), [3, 2, 1, 0]);
    /// ```
    #[track_caller]
    pub fn roll(&self, shifts: impl IntoAxes, axes: impl IntoAxes) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, roll_at(self, &shifts.axes(), &axes.axes(), &loc))
    }

    /// Axes `from` moved to positions `to`, the others in their order.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::zeros([2, 3, 4]);
    /// assert_eq!(x.move_axis(0, -1).shape(), [3, 4, 2]);
    /// assert_eq!(x.move_axis([0, 1], [-1, -2]).shape(), [4, 3, 2]);
    /// ```
    #[track_caller]
    pub fn move_axis(&self, from: impl IntoAxes, to: impl IntoAxes) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, move_axis_at(self, &from.axes(), &to.axes(), &loc))
    }

    /// The plane of two axes turned `k` times by a quarter, from the first axis towards the second.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([[1, 2], [3, 4]]);
    /// assert_eq!(x.rot90(1, (0, 1)).to_vec::<i32>().unwrap(), [2, 4, 1, 3]);
    /// ```
    #[track_caller]
    pub fn rot90(&self, k: i64, axes: (i64, i64)) -> Tensor {
        settled(rot90(self, k, axes))
    }

    /// The main diagonal of the last two axes; of a vector, the matrix that has it on its diagonal.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([1, 2]).diag().to_vec::<i32>().unwrap(), [1, 0, 0, 2]);
    /// assert_eq!(Tensor::from([[1, 2], [3, 4]]).diag().to_vec::<i32>().unwrap(), [1, 4]);
    /// ```
    #[track_caller]
    pub fn diag(&self) -> Tensor {
        self.diag_offset(0)
    }

    /// [`Tensor::diag`] with the `k`-th diagonal: positive ones lie above the main one.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let m = Tensor::from([5]).diag_offset(-1);
    /// assert_eq!(m.to_vec::<i32>().unwrap(), [0, 0, 5, 0]);
    /// assert_eq!(m.diag_offset(-1).to_vec::<i32>().unwrap(), [5]);
    /// ```
    #[track_caller]
    pub fn diag_offset(&self, k: i64) -> Tensor {
        let loc = Loc::caller();
        let result = if self.ndim() < 2 {
            on_diagonal("diag", self, k, &loc)
        } else {
            diagonal_of("diag", self, k, -2, -1, &loc)
        };
        settle(&loc, result)
    }

    /// Matrices that have the last axis on their `k`-th diagonal.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::ones([5, 3]).diag_embed(1).shape(), [5, 4, 4]);
    /// ```
    #[track_caller]
    pub fn diag_embed(&self, k: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, on_diagonal("diag_embed", self, k, &loc))
    }

    /// The `k`-th diagonal of the planes of axes `a` and `b`, as a new last axis; both axes disappear.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::arange(6).reshape([2, 3]);
    /// assert_eq!(x.diagonal(1, 0, 1).to_vec::<i32>().unwrap(), [1, 5]);
    /// ```
    #[track_caller]
    pub fn diagonal(&self, k: i64, a: i64, b: i64) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, diagonal_of("diagonal", self, k, a, b, &loc))
    }

    /// The sum of the main diagonal of the last two axes.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([[1, 2], [3, 4]]).trace().item::<i32>().unwrap(), 5);
    /// ```
    #[track_caller]
    pub fn trace(&self) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, diagonal_of("trace", self, 0, -2, -1, &loc)).sum(-1)
    }

    /// Element `i` of an axis `counts[i]` times in a row, `total` elements in all: what is beyond `total` is cut off,
    /// what lacks is the last element.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([7, 8, 9]).repeat_counts(&Tensor::from([2, 0, 1]), 0, 3);
    /// assert_eq!(x.to_vec::<i32>().unwrap(), [7, 7, 9]);
    /// ```
    #[track_caller]
    pub fn repeat_counts(&self, counts: &Tensor, axis: i64, total: usize) -> Tensor {
        settled(repeat_counts(self, counts, axis, total))
    }

    /// `n` parts along an axis whose lengths differ by one at most, the longer ones first.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let parts = Tensor::arange(5).array_split(3, 0);
    /// assert_eq!(parts.iter().map(|p| p.size()).collect::<Vec<_>>(), [2, 2, 1]);
    /// ```
    #[track_caller]
    pub fn array_split(&self, n: usize, axis: i64) -> Vec<Tensor> {
        let loc = Loc::caller();
        let run = || {
            let op = "array_split";
            self.check()?;
            let a = resolve_axis(op, axis, self.ty_ref())?;
            if n == 0 || n > 1 << 20 {
                return Err(Error::user(op, format!("{n} parts of axis {a} of {}", self.ty_ref())));
            }
            let (part, longer) = (self.shape()[a] / n, self.shape()[a] % n);
            let start = |i: usize| i * part + i.min(longer);
            (0..n).map(|i| slice_axis_at(self, a, start(i), start(i + 1), 1, &loc)).collect()
        };
        settled_list(n.clamp(1, 4096), run())
    }

    /// At least one axis: a scalar becomes a vector.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from(1).atleast_1d().shape(), [1]);
    /// ```
    #[track_caller]
    pub fn atleast_1d(&self) -> Tensor {
        if self.ndim() == 0 { self.reshape([1]) } else { self.clone() }
    }

    /// At least two axes: what lacks comes in front.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::arange(3).atleast_2d().shape(), [1, 3]);
    /// ```
    #[track_caller]
    pub fn atleast_2d(&self) -> Tensor {
        match *self.shape() {
            [] => self.reshape([1, 1]),
            [n] => self.reshape([1, n]),
            _ => self.clone(),
        }
    }

    /// At least three axes: a vector becomes `[1, n, 1]`, a matrix `[m, n, 1]`.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::arange(3).atleast_3d().shape(), [1, 3, 1]);
    /// ```
    #[track_caller]
    pub fn atleast_3d(&self) -> Tensor {
        match *self.shape() {
            [] => self.reshape([1, 1, 1]),
            [n] => self.reshape([1, n, 1]),
            [m, n] => self.reshape([m, n, 1]),
            _ => self.clone(),
        }
    }

    /// The Kronecker product: every element of `self` times the whole of `rhs`, axes aligned at the end.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let k = Tensor::from([1, 10]).kron(&Tensor::from([2, 3]));
    /// assert_eq!(k.to_vec::<i32>().unwrap(), [2, 3, 20, 30]);
    /// ```
    #[track_caller]
    pub fn kron(&self, rhs: &Tensor) -> Tensor {
        settled(kron(self, rhs))
    }
}
