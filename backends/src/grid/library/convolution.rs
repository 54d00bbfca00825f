//! Convolutions: which of the three functions of a library computes one, and how its arrays must lie.
//!
//! A library knows an input `x`, a filter `w` and an output `y`, with
//! `y[n, k, p] = sum over c, f of x[n, c, p s + f d - pad] w[k, c, f]`, and computes each of them from the other two: the output,
//! or what is transposed to it. An op that reads its input with gaps is the transposed of one with strides; where batch and
//! features have changed places, it is a filter's gradient. What no function reads as it is, kernels lay out: another order of
//! axes, padding that differs at the two ends of an axis, gaps, a reversed filter.

use super::{Plan, Routine, Site};
use crate::grid::ops::{Operand, each_by, index_within, undilated};
use crate::grid::{Build, Memory, Reg};
use gradloom_ir::{Binary, DType, Literal, Op, Result, Type, conv_geometry, row_major_strides};
use smallvec::SmallVec;

/// The most elements of an array that libraries count.
const MOST: usize = i32::MAX as usize;

/// What addresses must be multiples of: tensor cores read 128 bits at once.
const ALIGNED: usize = 16;

/// Filters of more places are not what libraries are made for: an op with such a window is a filter's gradient, most likely.
const LARGE: usize = 128;

/// The fewest spatial axes of a library's array, and the most.
const AXES: std::ops::RangeInclusive<usize> = 2..=3;

/// Which of the three arrays of a convolution is computed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// The output; from input and filter.
    Forward,
    /// The input's gradient; from the output's and the filter.
    BackwardData,
    /// The filter's gradient; from the input and the output's.
    BackwardFilter,
}

/// A convolution without reversal of its filter. Its arrays are dense; those that are read come in the order in which
/// [`Direction`] names them, then that which is written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Convolution {
    /// What is computed.
    pub direction: Direction,
    /// Of all arrays. 16-bit floats are added up as f32.
    pub dtype: DType,
    /// Of input and output.
    pub batch: usize,
    /// Features of the input, of all groups.
    pub inputs: usize,
    /// Features of the output, of all groups.
    pub outputs: usize,
    /// Groups of features; each has its part of the input's and the output's.
    pub groups: usize,
    /// Spatial lengths of the input: two or three.
    pub input: SmallVec<[usize; 3]>,
    /// Those of the filter.
    pub filter: SmallVec<[usize; 3]>,
    /// Those of the output: as many as the others make.
    pub output: SmallVec<[usize; 3]>,
    /// Zeros at both ends of each axis of the input.
    pub padding: SmallVec<[usize; 3]>,
    /// From one place of the filter to the next, in the input.
    pub strides: SmallVec<[usize; 3]>,
    /// From one element of the filter to the next, in the input.
    pub dilation: SmallVec<[usize; 3]>,
    /// Whether the features of all three arrays lie behind the spatial axes; else they lie before them. Batch (of the filter:
    /// the output's features) is first.
    pub features_last: bool,
}

impl Convolution {
    /// Elements of the arrays, in their order.
    pub fn lengths(&self) -> [usize; 3] {
        let count = |features: usize, spatial: &[usize]| features * spatial.iter().product::<usize>();
        let x = self.batch * count(self.inputs, &self.input);
        let w = self.outputs * count(self.inputs / self.groups, &self.filter);
        let y = self.batch * count(self.outputs, &self.output);
        match self.direction {
            Direction::Forward => [x, w, y],
            Direction::BackwardData => [y, w, x],
            Direction::BackwardFilter => [x, y, w],
        }
    }
}

/// An axis of a library's array, and which elements of the op's array stand along it. Where none stands there is a zero.
#[derive(Clone, Copy, Debug)]
struct Axis {
    /// Its length.
    len: usize,
    /// How many elements of the op's array there are.
    n: usize,
    /// How far apart they lie in the op's array.
    stride: usize,
    /// Where the first of them stands; those before 0 are left out.
    low: i128,
    /// How far apart they stand.
    dilation: usize,
    /// Whether the last of them stands first.
    reversed: bool,
}

impl Axis {
    fn new(n: usize, stride: usize) -> Axis {
        Axis { len: n, n, stride, low: 0, dilation: 1, reversed: false }
    }

    /// Whether all elements stand side by side, and nothing else.
    fn is_whole(&self) -> bool {
        self.len == self.n && self.low == 0 && (self.dilation == 1 || self.n == 1)
    }

    /// Whether it is the only element of its axis: it may lie anywhere.
    fn is_single(&self) -> bool {
        self.is_whole() && self.n == 1
    }
}

/// A library's array: its axes in the order in which it lies.
struct Array(Vec<Axis>);

impl Array {
    fn new(first: &[Axis], features: &[Axis], spatial: &[Axis], features_last: bool) -> Array {
        let (before, behind) = if features_last { (spatial, features) } else { (features, spatial) };
        Array([first, before, behind].concat())
    }

    fn lens(&self) -> Vec<usize> {
        self.0.iter().map(|a| a.len).collect()
    }

    fn ty(&self, dtype: DType) -> Type {
        Type::new(dtype, &self.lens())
    }

    /// The number of elements, if a library counts so far.
    fn numel(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, a| n.checked_mul(a.len)).filter(|&n| n <= MOST)
    }

    /// Whether the op's array is the library's.
    fn lies(&self) -> bool {
        let mut dense = 1;
        self.0.iter().rev().filter(|a| !a.is_single()).all(|a| {
            let next = dense;
            dense *= a.n;
            a.is_whole() && !a.reversed && a.stride == next
        })
    }
}

/// One way to compute an op.
struct Way {
    convolution: Convolution,
    /// Of the operands and the result.
    arrays: [Array; 3],
}

/// An axis of a library's input (or of its gradient), and the zeros at both of its ends.
struct Fit {
    axis: Axis,
    padding: i128,
}

/// How many places a filter has along an axis.
fn places(len: i128, padding: i128, window: usize, dilation: usize, stride: usize) -> i128 {
    let room = len + 2 * padding - (window as i128 - 1) * dilation as i128 - 1;
    if room < 0 { 0 } else { room / stride as i128 + 1 }
}

/// From the first place that is read to behind the last, where `points` places lie `stride` apart and elements `dilation`.
fn span((points, stride): (usize, usize), (window, dilation): (usize, usize)) -> i128 {
    (points as i128 - 1) * stride as i128 + (window as i128 - 1) * dilation as i128 + 1
}

/// How the op's input is read: with zeros that the library adds as it lies, or else with what else it needs at its ends.
fn fit_input(axis: Axis, low: i128, places_of: (usize, usize), window: (usize, usize)) -> Fit {
    let ((points, stride), (elements, dilation)) = (places_of, window);
    let is_dense = axis.dilation == 1 || axis.n == 1;
    if is_dense && low >= 0 && places(axis.n as i128, low, elements, dilation, stride) == points as i128 {
        return Fit { axis: Axis { dilation: 1, ..axis }, padding: low };
    }
    let own = (axis.n as i128 - 1) * axis.dilation as i128 + 1;
    let high = span(places_of, window) - low - own;
    let padding = low.min(high).max(0);
    let len = usize::try_from(span(places_of, window) - 2 * padding).unwrap_or(usize::MAX);
    Fit { axis: Axis { len, low: low - padding, ..axis }, padding }
}

/// How an input's gradient is written that is as long as `axis` and begins at `low` of all places that are reached.
fn fit_gradient(axis: Axis, low: i128, places_of: (usize, usize), window: (usize, usize)) -> Fit {
    let ((points, stride), (elements, dilation)) = (places_of, window);
    if low >= 0 && places(axis.n as i128, low, elements, dilation, stride) == points as i128 {
        return Fit { axis, padding: low };
    }
    let all = span(places_of, window);
    let high = all - axis.n as i128 - low;
    let padding = low.min(high).max(0);
    let len = usize::try_from(all - 2 * padding).unwrap_or(usize::MAX);
    Fit { axis: Axis { len, low: low - padding, ..axis }, padding }
}

/// An op's arrays by the role of their axes.
struct Roles {
    dtype: DType,
    groups: usize,
    /// Batch, groups and features of a group of the operand on the left, then its spatial axes.
    left: ([Axis; 3], Vec<Axis>),
    /// Groups, output features of a group, input features of a group, spatial axes.
    right: ([Axis; 3], Vec<Axis>),
    /// As those of the operand on the left.
    out: ([Axis; 3], Vec<Axis>),
    low: Vec<i128>,
    strides: Vec<usize>,
    lhs_dilation: Vec<usize>,
    rhs_dilation: Vec<usize>,
}

impl Roles {
    fn new(op: &Op, l: &Type, r: &Type, out: &Type) -> Result<Option<Roles>> {
        let Op::Convolution {
            lhs_dims,
            rhs_dims,
            out_dims,
            strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            feature_groups,
            batch_groups,
        } = op
        else {
            return Ok(None);
        };
        let geometry = conv_geometry(op, l, r)?;
        // of the two kinds of groups at least one is 1
        let groups = feature_groups * batch_groups;
        let (batch, inputs) = (geometry.batch / batch_groups, geometry.group_features);
        let outputs = geometry.out_features / groups;
        // libraries have no convolution of one axis: another one is put before it
        let missing = AXES.start().saturating_sub(strides.len());
        let spatial = |t: &Type, dims: &[usize]| -> Vec<Axis> {
            let of = row_major_strides(&t.shape);
            let own = dims[2..].iter().map(|&d| Axis::new(t.shape[d], of[d]));
            (0..missing).map(|_| Axis::new(1, 1)).chain(own).collect()
        };
        let all = |of: &[usize]| -> Vec<usize> { std::iter::repeat_n(1, missing).chain(of.iter().copied()).collect() };
        let (ls, rs, os) = (row_major_strides(&l.shape), row_major_strides(&r.shape), row_major_strides(&out.shape));
        let of_group = match *batch_groups {
            1 => inputs * ls[lhs_dims[1]],
            _ => batch * ls[lhs_dims[0]],
        };
        let left = [Axis::new(batch, ls[lhs_dims[0]]), Axis::new(groups, of_group), Axis::new(inputs, ls[lhs_dims[1]])];
        let right = [
            Axis::new(groups, outputs * rs[rhs_dims[0]]),
            Axis::new(outputs, rs[rhs_dims[0]]),
            Axis::new(inputs, rs[rhs_dims[1]]),
        ];
        let written = [
            Axis::new(batch, os[out_dims[0]]),
            Axis::new(groups, outputs * os[out_dims[1]]),
            Axis::new(outputs, os[out_dims[1]]),
        ];
        Ok(Some(Roles {
            dtype: out.dtype,
            groups,
            left: (left, spatial(l, lhs_dims)),
            right: (right, spatial(r, rhs_dims)),
            out: (written, spatial(out, out_dims)),
            low: std::iter::repeat_n(0, missing).chain(padding.iter().map(|p| i128::from(p.0))).collect(),
            strides: all(strides),
            lhs_dilation: all(lhs_dilation),
            rhs_dilation: all(rhs_dilation),
        }))
    }

    /// How a function of the library computes the op; `None` if it does not.
    fn way(&self, direction: Direction, features_last: bool) -> Option<Way> {
        let ([batch, group, inputs], [_, outputs, r_inputs]) = (self.left.0, self.right.0);
        let [o_batch, o_group, o_outputs] = self.out.0;
        let r_group = self.right.0[0];
        let axes = 0..self.strides.len();
        let array =
            |first: &[Axis], features: &[Axis], spatial: &[Axis]| Array::new(first, features, spatial, features_last);
        // where a window is read: elements of the op's window beside each other, and its places
        let window = |a: usize| (self.right.1[a].n, self.rhs_dilation[a]);
        let points = |a: usize| (self.out.1[a].n, self.strides[a]);
        let input = |a: usize| Axis { dilation: self.lhs_dilation[a], ..self.left.1[a] };
        let (arrays, fits, strides, dilation, sizes) = match direction {
            Direction::Forward => {
                let fits: Vec<Fit> = axes.map(|a| fit_input(input(a), self.low[a], points(a), window(a))).collect();
                let x: Vec<Axis> = fits.iter().map(|f| f.axis).collect();
                let arrays = [
                    array(&[batch], &[group, inputs], &x),
                    array(&[r_group, outputs], &[r_inputs], &self.right.1),
                    array(&[o_batch], &[o_group, o_outputs], &self.out.1),
                ];
                (arrays, fits, &self.strides, &self.rhs_dilation, [batch, inputs, outputs])
            }
            // the op's input is the output, read through a reversed filter at each place that a stride leaves out, too
            Direction::BackwardData => {
                if self.strides.iter().any(|&s| s != 1) {
                    return None;
                }
                let low = |a: usize| span((1, 1), window(a)) - 1 - self.low[a];
                let places_of = |a: usize| (self.left.1[a].n, self.lhs_dilation[a]);
                let fits: Vec<Fit> =
                    axes.map(|a| fit_gradient(self.out.1[a], low(a), places_of(a), window(a))).collect();
                let dx: Vec<Axis> = fits.iter().map(|f| f.axis).collect();
                let reversed: Vec<Axis> = self.right.1.iter().map(|a| Axis { reversed: true, ..*a }).collect();
                let arrays = [
                    array(&[batch], &[group, inputs], &self.left.1),
                    array(&[r_group, r_inputs], &[outputs], &reversed),
                    array(&[o_batch], &[o_group, o_outputs], &dx),
                ];
                (arrays, fits, &self.lhs_dilation, &self.rhs_dilation, [batch, outputs, inputs])
            }
            // the op's window is the output, its result the filter; what the op adds up is the batch
            Direction::BackwardFilter => {
                let fits: Vec<Fit> = axes.map(|a| fit_input(input(a), self.low[a], window(a), points(a))).collect();
                let x: Vec<Axis> = fits.iter().map(|f| f.axis).collect();
                let arrays = [
                    array(&[inputs], &[group, batch], &x),
                    array(&[r_inputs], &[r_group, outputs], &self.right.1),
                    array(&[o_group, o_outputs], &[o_batch], &self.out.1),
                ];
                (arrays, fits, &self.rhs_dilation, &self.strides, [inputs, batch, outputs])
            }
        };
        let lengths = |spatial: &[Axis]| spatial.iter().map(|a| a.len).collect::<SmallVec<[usize; 3]>>();
        let x: SmallVec<[usize; 3]> = fits.iter().map(|f| f.axis.len).collect();
        let (input, filter, output) = match direction {
            Direction::Forward => (x, lengths(&self.right.1), lengths(&self.out.1)),
            Direction::BackwardData => (x, lengths(&self.right.1), lengths(&self.left.1)),
            Direction::BackwardFilter => (x, lengths(&self.out.1), lengths(&self.right.1)),
        };
        let padding: Option<SmallVec<[usize; 3]>> =
            fits.iter().map(|f| usize::try_from(f.padding).ok().filter(|&n| n <= MOST)).collect();
        let steps = strides.iter().chain(dilation);
        if arrays.iter().any(|a| a.numel().is_none()) || steps.into_iter().any(|&n| n > MOST) {
            return None;
        }
        let [batch, inputs, outputs] = sizes.map(|a| a.n);
        let convolution = Convolution {
            direction,
            dtype: self.dtype,
            batch,
            inputs: self.groups * inputs,
            outputs: self.groups * outputs,
            groups: self.groups,
            input,
            filter,
            output,
            padding: padding?,
            strides: strides[..].into(),
            dilation: dilation[..].into(),
            features_last,
        };
        Some(Way { convolution, arrays })
    }

    /// All ways to compute the op, best first.
    fn ways(&self, is_aligned: &[bool; 3]) -> Vec<Way> {
        let has_gaps = self.lhs_dilation.iter().any(|&d| d != 1);
        let mut found: Vec<((bool, bool, usize, bool), Way)> = Vec::new();
        for direction in [Direction::Forward, Direction::BackwardData, Direction::BackwardFilter] {
            // without gaps it is but a forward convolution by the reversed filter
            if direction == Direction::BackwardData && !has_gaps {
                continue;
            }
            for features_last in [false, true] {
                let Some(way) = self.way(direction, features_last) else { continue };
                let c = &way.convolution;
                // gaps that are filled with zeros are multiplied, too
                let fills = has_gaps && direction != Direction::BackwardData;
                let is_large = c.filter.iter().product::<usize>() > LARGE;
                let moved = way.arrays.iter().zip(is_aligned).filter(|(a, aligned)| !(**aligned && a.lies()));
                let bytes = moved.map(|(a, _)| a.numel().unwrap_or(MOST)).sum();
                let turned = c.filter.iter().product::<usize>() > c.output.iter().product();
                found.push(((fills, is_large, bytes, turned), way));
            }
        }
        found.sort_by_key(|(key, _)| *key);
        found.into_iter().map(|(_, way)| way).collect()
    }
}

/// An element of the first array, or 0 where there is none.
fn read(b: &mut Build, dtype: DType, inside: Option<Reg>, index: &[Reg], strides: &[usize]) -> Reg {
    let Some(inside) = inside else {
        let at = b.place(index, strides);
        return b.load(Memory::Param(0), at);
    };
    let x = b.constant(Literal::scalar(dtype, 0.0));
    b.when(inside, |b| {
        let at = b.place(index, strides);
        let element = b.load(Memory::Param(0), at);
        b.assign(x, element);
    });
    x
}

/// Adds a kernel that writes the library's array, made of the op's.
fn lay_out(plan: &mut Plan, t: &Type, array: &Array, from: Operand) -> Result<Operand> {
    let to = array.ty(t.dtype);
    let extents = array.0.iter().map(|a| a.len as i128 + a.low.abs() + a.n as i128 * a.dilation as i128);
    let kernel = each_by("lay_out", &[t, &to], index_within(extents, [t, &to]), to.numel(), |b, number| {
        let point = b.point(number, &to.shape);
        let strides: Vec<usize> = array.0.iter().map(|a| a.stride).collect();
        let mut inside: Option<Reg> = None;
        let mut index = Vec::with_capacity(point.len());
        for (axis, i) in array.0.iter().zip(point) {
            index.push(if !axis.is_whole() {
                let place = b.plus(i, i64::try_from(-axis.low).unwrap_or(i64::MAX));
                let (exists, i) = undilated(b, place, axis.n, axis.dilation);
                inside = Some(inside.map_or(exists, |others| b.both(others, exists)));
                i
            } else if axis.reversed {
                let last = b.index(axis.n as i64 - 1);
                b.binary(Binary::Sub, last, i)
            } else {
                i
            });
        }
        let element = read(b, t.dtype, inside, &index, &strides);
        b.store(Memory::Param(1), number, element);
    })?;
    let own = plan.take(to.bytes());
    plan.kernel(kernel, vec![from, own]);
    Ok(own)
}

/// Adds a kernel that writes the op's result, made of the library's array.
fn lay_back(plan: &mut Plan, t: &Type, array: &Array, from: Operand) -> Result<()> {
    let library = array.ty(t.dtype);
    let shape: Vec<usize> = array.0.iter().map(|a| a.n).collect();
    let extents = array.0.iter().map(|a| a.len as i128 + a.low.abs() + a.n as i128);
    let kernel = each_by("lay_back", &[&library, t], index_within(extents, [t, &library]), t.numel(), |b, number| {
        let point = b.point(number, &shape);
        let strides: Vec<usize> = array.0.iter().map(|a| a.stride).collect();
        let to = b.place(&point, &strides);
        let mut inside: Option<Reg> = None;
        let mut index = Vec::with_capacity(point.len());
        for (axis, i) in array.0.iter().zip(point) {
            index.push(if axis.is_whole() {
                i
            } else {
                let place = b.plus(i, i64::try_from(axis.low).unwrap_or(i64::MAX));
                let (exists, place) = undilated(b, place, axis.len, 1);
                inside = Some(inside.map_or(exists, |others| b.both(others, exists)));
                place
            });
        }
        let x = read(b, t.dtype, inside, &index, &row_major_strides(&library.shape));
        b.store(Memory::Param(1), to, x);
    })?;
    plan.kernel(kernel, vec![from, Operand::Result(0)]);
    Ok(())
}

/// The plans of a convolution, best first; none if libraries have no form of it.
pub(super) fn convolution(site: &Site) -> Result<Vec<Plan>> {
    let (l, r, out) = (&site.args[0], &site.args[1], &site.results[0]);
    let is_float = matches!(out.dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64);
    if !is_float || l.dtype != out.dtype || r.dtype != out.dtype || [l, r, out].iter().any(|t| t.numel() == 0) {
        return Ok(Vec::new());
    }
    let Some(roles) = Roles::new(site.op, l, r, out)? else { return Ok(Vec::new()) };
    if !AXES.contains(&roles.strides.len()) {
        return Ok(Vec::new());
    }
    let is_aligned = [0, 1, 2].map(|i| site.alignment[i].is_multiple_of(ALIGNED));
    let plan = |way: Way| {
        let mut plan = Plan::default();
        let mut buffers = Vec::with_capacity(3);
        for (i, t) in [l, r].into_iter().enumerate() {
            let array = &way.arrays[i];
            buffers.push(match array.lies() && is_aligned[i] {
                true => Operand::Arg(i),
                false => lay_out(&mut plan, t, array, Operand::Arg(i))?,
            });
        }
        let array = &way.arrays[2];
        let written = match array.lies() && is_aligned[2] {
            true => Operand::Result(0),
            false => plan.take(array.ty(out.dtype).bytes()),
        };
        buffers.push(written);
        plan.routine(Routine::Convolution(way.convolution), buffers);
        if written != Operand::Result(0) {
            lay_back(&mut plan, out, array, written)?;
        }
        Ok(plan)
    };
    roles.ways(&is_aligned).into_iter().map(plan).collect()
}

#[cfg(test)]
mod tests;
