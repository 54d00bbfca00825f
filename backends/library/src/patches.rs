//! The patches a convolution sees, as addresses and as matrices (im2col).
//!
//! A convolution sums over taps (input feature and window position) for every position (batch and output position).
//! The element of lhs that tap `t` meets at position `p` lies where the sum of two vectors of coordinates says, one
//! from `p` and one from `t`; an element is read only if every coordinate is inside lhs and hits no dilation gap.

use super::strided::copy_run;
use smallvec::SmallVec;
use std::ops::Range;

/// Most spatial axes that need bounds checks.
pub(super) const MAX_CHECKED: usize = 8;

/// Most axes of a group: the spatial ones and a batch or feature axis.
pub(super) const MAX_AXES: usize = 12;

/// A spatial axis of lhs whose coordinate must be checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked {
    /// Valid coordinates are below this and at least 0.
    pub(super) limit: i64,
    /// Only multiples of this meet an element.
    pub(super) dilation: i64,
    /// Stride of the elements in lhs.
    pub(super) stride: isize,
}

/// One axis of positions or taps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) n: usize,
    /// Stride in lhs; 0 for an axis that moves a checked coordinate.
    pub(super) src: isize,
    /// Stride in the result (positions) or the kernel (taps).
    pub(super) mat: isize,
    /// The checked coordinate it moves, and by how much.
    pub(super) moves: Option<(usize, i64)>,
}

/// Several axes walked as one, outermost first.
#[derive(Clone, Debug, Default)]
pub(super) struct Axes(pub(super) SmallVec<[Axis; 4]>);

impl Axes {
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|a| a.n).product()
    }
}

/// Offset and checked coordinates, in lhs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Offset of the unchecked axes.
    pub(super) src: isize,
    /// Checked coordinates.
    pub(super) at: [i64; MAX_CHECKED],
}

impl Point {
    #[inline(always)]
    pub(super) fn plus(mut self, other: &Point) -> Point {
        self.src += other.src;
        self.at.iter_mut().zip(&other.at).for_each(|(x, y)| *x += y);
        self
    }

    /// Offset in lhs of the element here, with all coordinates but number `skip` checked; `None` outside.
    #[inline(always)]
    pub(super) fn address(&self, checked: &[Checked], skip: usize) -> Option<isize> {
        let mut src = self.src;
        for (d, c) in checked.iter().enumerate() {
            if d == skip {
                continue;
            }
            let x = self.at[d];
            if (x as u64) >= c.limit as u64 {
                return None;
            }
            if c.dilation == 1 {
                src += x as isize * c.stride;
            } else if x % c.dilation == 0 {
                src += (x / c.dilation) as isize * c.stride;
            } else {
                return None;
            }
        }
        Some(src)
    }
}

/// A walk over a group of axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    index: [usize; MAX_AXES],
    /// Where in lhs.
    pub(super) point: Point,
    /// Offset in the result or the kernel.
    pub(super) mat: isize,
}

impl Cursor {
    /// Point number `i` in row-major order.
    pub(super) fn new(axes: &[Axis], mut i: usize) -> Cursor {
        let point = Point { src: 0, at: [0; MAX_CHECKED] };
        let mut c = Cursor { index: [0; MAX_AXES], point, mat: 0 };
        for (k, a) in axes.iter().enumerate().rev() {
            let x = i % a.n;
            i /= a.n;
            c.index[k] = x;
            c.shift(a, x as isize);
        }
        c
    }

    #[inline(always)]
    fn shift(&mut self, a: &Axis, by: isize) {
        self.point.src += a.src * by;
        self.mat += a.mat * by;
        if let Some((d, step)) = a.moves {
            self.point.at[d] += step * by as i64;
        }
    }

    /// To the next point; from the last one to the first.
    #[inline(always)]
    pub(super) fn step(&mut self, axes: &[Axis]) {
        for (k, a) in axes.iter().enumerate().rev() {
            self.index[k] += 1;
            self.shift(a, 1);
            if self.index[k] < a.n {
                return;
            }
            self.index[k] = 0;
            self.shift(a, -(a.n as isize));
        }
    }
}

/// One axis along which windows slide over lhs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sliding {
    /// Number of windows and of taps in each.
    pub(super) counts: [usize; 2],
    /// Steps between windows and between taps.
    pub(super) steps: [i64; 2],
    /// Coordinate of the first tap of the first window.
    pub(super) low: i64,
    /// Length of lhs, step between its elements, and their stride.
    pub(super) len: usize,
    pub(super) dilation: i64,
    pub(super) stride: isize,
    /// Strides of windows and taps in the result and the kernel.
    pub(super) mats: [isize; 2],
}

/// Positions, taps, and what must be checked.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    pub(super) positions: Axes,
    pub(super) taps: Axes,
    pub(super) checked: SmallVec<[Checked; 2]>,
    /// The first tap of the first position.
    pub(super) start: Point,
}

impl Windows {
    pub(super) fn new() -> Windows {
        Windows {
            positions: Axes::default(),
            taps: Axes::default(),
            checked: SmallVec::new(),
            start: Point { src: 0, at: [0; MAX_CHECKED] },
        }
    }

    /// Adds an axis; `false` if there are too many.
    #[must_use]
    pub(super) fn slide(&mut self, s: Sliding) -> bool {
        let [out, win] = s.counts;
        let highest = s.low as i128 + (out as i128 - 1) * s.steps[0] as i128 + (win as i128 - 1) * s.steps[1] as i128;
        let plain = s.dilation == 1 && s.low >= 0 && highest < s.len as i128;
        let axis = |i: usize, n: usize, at: usize| {
            let (src, moves) = if plain { (s.steps[i] as isize * s.stride, None) } else { (0, Some((at, s.steps[i]))) };
            Axis { n, src: if n == 1 { 0 } else { src }, mat: s.mats[i], moves }
        };
        let at = self.checked.len();
        if plain {
            self.start.src += s.low as isize * s.stride;
        } else if at == MAX_CHECKED {
            return false;
        } else {
            self.start.at[at] = s.low;
            let limit = (s.len as i64 - 1) * s.dilation + 1;
            self.checked.push(Checked { limit, dilation: s.dilation, stride: s.stride });
        }
        for (axes, a) in [(&mut self.positions, axis(0, out, at)), (&mut self.taps, axis(1, win, at))] {
            if a.n != 1 {
                axes.0.push(a);
            }
        }
        self.positions.0.len().max(self.taps.0.len()) <= MAX_AXES
    }
}

/// Which of the coordinates `start, start + step, ..` (`n` of them) are in `0..limit`.
#[inline(always)]
pub(super) fn inside(start: i64, step: i64, n: usize, limit: i64) -> Range<usize> {
    let above = |bound: i64| if step == 1 { bound - start } else { (bound - start + step - 1).div_euclid(step) };
    let low = above(0).clamp(0, n as i64);
    low as usize..above(limit).clamp(low, n as i64) as usize
}

/// Writes blocks of the patch matrix: `rows` one a row, `cols` contiguous.
#[derive(Clone, Debug)]
pub(super) struct Patches {
    rows: Axes,
    /// The outer axes of `cols`, one point a run.
    runs: Axes,
    /// The checked coordinate that moves along a run, and by how much; none if runs are single units.
    along: Option<(usize, i64)>,
    /// Units in a run.
    positions: usize,
    /// Elements in a unit, and their stride in lhs.
    unit: usize,
    unit_stride: isize,
    checked: SmallVec<[Checked; 2]>,
}

impl Patches {
    pub(super) fn new(rows: &[Axis], cols: &[Axis], checked: &[Checked]) -> Patches {
        let mut cols: SmallVec<[Axis; 4]> = SmallVec::from_slice(cols);
        let (mut unit, mut unit_stride) = (1, 1);
        while let Some(a) = cols.last().copied() {
            if a.n != 1 && (a.moves.is_some() || (unit > 1 && a.src != unit_stride * unit as isize)) {
                break;
            }
            if a.n != 1 && unit == 1 {
                unit_stride = a.src;
            }
            unit *= a.n;
            cols.pop();
        }
        let (mut along, mut positions) = (None, 1);
        if let Some(Axis { n, moves: Some(m), .. }) = cols.last().copied() {
            (along, positions) = (Some(m), n);
            cols.pop();
        }
        Patches {
            rows: Axes(rows.into()),
            runs: Axes(cols),
            along,
            positions,
            unit,
            unit_stride,
            checked: checked.into(),
        }
    }

    /// Blocks of columns must start and end at multiples of this.
    pub(super) fn unit(&self) -> usize {
        self.unit
    }

    /// How many elements are read one after the other, at best.
    pub(super) fn contiguous(&self) -> usize {
        if self.unit_stride != 1 {
            return 1;
        }
        match self.along {
            Some((d, step)) if self.continues(d, step) => self.unit * self.positions,
            _ => self.unit,
        }
    }

    /// Whether the next unit of a run follows the previous one in memory.
    fn continues(&self, d: usize, step: i64) -> bool {
        let c = self.checked[d];
        c.dilation == 1 && self.unit_stride == 1 && step as isize * c.stride == self.unit as isize
    }

    /// Writes rows `rows` and columns `cols` to `dst`, densely, reading from `src`; `start` is added to all addresses.
    ///
    /// # Safety
    /// `src` is an lhs of the geometry the axes were made from, offset as they expect; `dst` has room.
    pub(super) unsafe fn fill<T: Copy + Default>(
        &self,
        start: &Point,
        rows: Range<usize>,
        cols: Range<usize>,
        src: *const T,
        dst: *mut T,
    ) {
        let run = self.unit * self.positions;
        let width = cols.len();
        let mut first = Cursor::new(&self.runs.0, cols.start / run);
        first.point = first.point.plus(start);
        let skip = self.along.map_or(usize::MAX, |(d, _)| d);
        let mut row = Cursor::new(&self.rows.0, rows.start);
        for r in 0..rows.len() {
            let mut at = first;
            let mut col = cols.start;
            // SAFETY: `dst` has room for `rows.len()` rows of `width`; reads are at checked coordinates.
            unsafe {
                let mut out = dst.add(r * width);
                while col < cols.end {
                    let from = col % run;
                    let n = (run - from).min(cols.end - col);
                    let point = row.point.plus(&at.point);
                    match point.address(&self.checked, skip) {
                        Some(base) => self.fill_run(&point, base, from / self.unit, n / self.unit, src, out),
                        None => zero(out, n),
                    }
                    out = out.add(n);
                    col += n;
                    at.step(&self.runs.0);
                }
            }
            row.step(&self.rows.0);
        }
    }

    /// Units `from .. from + n` of one run.
    #[inline(always)]
    unsafe fn fill_run<T: Copy + Default>(
        &self,
        point: &Point,
        base: isize,
        from: usize,
        n: usize,
        src: *const T,
        dst: *mut T,
    ) {
        let unit = self.unit;
        // SAFETY: units are read only at coordinates inside lhs, and `dst` has room for n units.
        unsafe {
            let Some((d, step)) = self.along else {
                return copy_unit(src.offset(base), self.unit_stride, dst, unit);
            };
            let c = self.checked[d];
            let start = point.at[d] + from as i64 * step;
            if c.dilation != 1 {
                for j in 0..n {
                    let (x, out) = (start + j as i64 * step, dst.add(j * unit));
                    if (x as u64) < c.limit as u64 && x % c.dilation == 0 {
                        let at = base + (x / c.dilation) as isize * c.stride;
                        copy_unit(src.offset(at), self.unit_stride, out, unit);
                    } else {
                        zero(out, unit);
                    }
                }
                return;
            }
            let Range { start: low, end: high } = inside(start, step, n, c.limit);
            zero(dst, low * unit);
            zero(dst.add(high * unit), (n - high) * unit);
            if low == high {
                return;
            }
            let from = src.offset(base + (start + low as i64 * step) as isize * c.stride);
            let (out, jump) = (dst.add(low * unit), step as isize * c.stride);
            if jump == unit as isize && self.unit_stride == 1 {
                copy_run(from, out, (high - low) * unit);
            } else if unit == 1 {
                for j in 0..high - low {
                    *out.add(j) = *from.offset(j as isize * jump);
                }
            } else {
                for j in 0..high - low {
                    copy_unit(from.offset(j as isize * jump), self.unit_stride, out.add(j * unit), unit);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn copy_unit<T: Copy>(src: *const T, stride: isize, dst: *mut T, n: usize) {
    // SAFETY: the caller's promise: n elements at both ends.
    unsafe {
        if stride == 1 {
            return copy_run(src, dst, n);
        }
        for i in 0..n {
            *dst.add(i) = *src.offset(i as isize * stride);
        }
    }
}

#[inline(always)]
unsafe fn zero<T: Copy + Default>(dst: *mut T, n: usize) {
    for i in 0..n {
        // SAFETY: the caller has room for n elements.
        unsafe { *dst.add(i) = T::default() };
    }
}
