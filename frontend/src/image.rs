//! Images and their patches: resizing, windows laid out as features and back, channels for pixels.

use crate::tensor::checks::{self, settled};
use crate::tensor::convolution::per_axis;
use crate::tensor::{IntoShape, apply, plain_shape};
use crate::{Padding, Tensor};
use gradloom_ir::{DType, Error, Loc, Op, Result, Shape};

/// How [`Tensor::resize`] weighs the pixels around a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Nearest,
    Triangle,
    Cubic,
    Lanczos(u8),
}

impl Kernel {
    /// The weight of a pixel at distance `x` (in pixels, not negative).
    fn weight(self, x: f64) -> f64 {
        match self {
            Kernel::Nearest => f64::from(u8::from(x <= 0.5)),
            Kernel::Triangle => (1.0 - x).max(0.0),
            // Keys 1981, with a = -1/2
            Kernel::Cubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Kernel::Cubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Kernel::Cubic => 0.0,
            Kernel::Lanczos(_) if x < 1e-9 => 1.0,
            Kernel::Lanczos(r) => {
                let (r, t) = (f64::from(r), std::f64::consts::PI * x);
                if x < r { r * t.sin() * (t / r).sin() / (t * t) } else { 0.0 }
            }
        }
    }
}

/// How an array is resized: the kernel, and whether it is widened when the result is smaller, so that every element of
/// the input counts (antialiasing, as `jax.image.resize` does unless told otherwise).
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Resize, prelude::*};
/// let x = Tensor::from([0.0f32, 4.0]);
/// assert_eq!(x.resize([4], Resize::bilinear()).to_vec::<f32>().unwrap(), [0.0, 1.0, 3.0, 4.0]);
/// assert_eq!(x.resize([4], Resize::nearest()).to_vec::<f32>().unwrap(), [0.0, 0.0, 4.0, 4.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    kernel: Kernel,
    antialias: bool,
}

impl Resize {
    /// The nearest element.
    pub fn nearest() -> Resize {
        Resize { kernel: Kernel::Nearest, antialias: false }
    }

    /// Straight lines between elements.
    pub fn bilinear() -> Resize {
        Resize { kernel: Kernel::Triangle, antialias: true }
    }

    /// Cubic splines (Keys 1981, a = -1/2).
    pub fn bicubic() -> Resize {
        Resize { kernel: Kernel::Cubic, antialias: true }
    }

    /// A windowed sinc over 3 elements on each side.
    pub fn lanczos3() -> Resize {
        Resize { kernel: Kernel::Lanczos(3), antialias: true }
    }

    /// A windowed sinc over 5 elements on each side.
    pub fn lanczos5() -> Resize {
        Resize { kernel: Kernel::Lanczos(5), antialias: true }
    }

    /// The same without widening.
    pub fn plain(self) -> Resize {
        Resize { antialias: false, ..self }
    }

    /// What each of `m` elements contributes to each of `n`, as a matrix `[m, n]`.
    fn weights(self, m: usize, n: usize) -> Vec<f64> {
        let scale = m as f64 / n as f64;
        let widen = if self.antialias { scale.max(1.0) } else { 1.0 };
        let mut w = vec![0.0; m * n];
        for j in 0..n {
            let centre = (j as f64 + 0.5) * scale - 0.5;
            let mut total = 0.0;
            for i in 0..m {
                w[i * n + j] = self.kernel.weight((centre - i as f64).abs() / widen);
                total += w[i * n + j];
            }
            for i in 0..m {
                w[i * n + j] /= total;
            }
        }
        w
    }
}

/// Most entries a matrix of weights may have.
const MAX_WEIGHTS: usize = 1 << 28;

#[track_caller]
fn resize(x: &Tensor, shape: impl IntoShape, how: Resize) -> Result<Tensor> {
    let op = "resize";
    checks::float(op, x)?;
    let shape = plain_shape(op, shape)?;
    if shape.len() != x.ndim() {
        return Err(Error::user(op, format!("{} lengths for {}", shape.len(), x.ty_ref()))
            .help("give the length of every axis, those that stay too"));
    }
    let mut y = x.clone();
    for (axis, (&m, &n)) in x.shape().iter().zip(&shape).enumerate() {
        if m == n {
            continue;
        }
        if m == 0 && n > 0 {
            return Err(Error::user(
                op,
                format!("axis {axis} of {} is empty, there is nothing to stretch", x.ty_ref()),
            ));
        }
        if how.kernel == Kernel::Nearest {
            // floor((j + 1/2) m / n) in whole numbers
            let j = Tensor::iota([n], 0, DType::I64);
            y = y.take(&((j * 2 + 1) * m / (2 * n).max(1)), axis as i64);
            continue;
        }
        if m.checked_mul(n).is_none_or(|k| k > MAX_WEIGHTS) {
            return Err(Error::limit(op, format!("axis {axis} from {m} to {n} elements")));
        }
        let weights = Tensor::from_slice([m, n], &how.weights(m, n)).to(x.dtype());
        y = y.tensordot(&weights, axis, 0).move_axis(-1, axis);
    }
    Ok(y)
}

/// Windows over the spatial axes of a channels-last array.
struct Windows {
    /// Lengths of the input: batch, spatial axes, features.
    input: Shape,
    window: Shape,
    strides: Shape,
    padding: Vec<(i64, i64)>,
    /// How many windows each spatial axis has.
    grid: Shape,
}

impl Windows {
    fn new(op: &str, input: &[usize], window: &[usize], strides: &[usize], padding: &Padding) -> Result<Windows> {
        let n = window.len();
        if input.len() != n + 2 {
            return Err(Error::user(op, format!("a window of {n} axes over an array of {} axes", input.len()))
                .help("the array is laid out as batch, spatial axes, features; the window names the spatial axes"));
        }
        let w = per_axis(op, "window", window, n)?;
        let s = per_axis(op, "strides", strides, n)?;
        if w.iter().try_fold(1usize, |k, &n| k.checked_mul(n)).is_none_or(|k| k > 1 << 12) {
            return Err(Error::limit(op, format!("a window of {window:?} elements")));
        }
        let padding = padding.widths(op, &input[1..=n], &w, &s)?;
        let mut grid = Shape::new();
        for i in 0..n {
            let padded = input[i + 1] as i64 + padding[i].0 + padding[i].1;
            let room = usize::try_from(padded - w[i] as i64).ok();
            grid.push(room.map_or(0, |r| r / s[i] + 1));
        }
        Ok(Windows { input: input.into(), window: w, strides: s, padding, grid })
    }

    /// The places of a window, row-major.
    fn offsets(&self) -> Vec<Shape> {
        let mut all = vec![Shape::new()];
        for &n in &self.window {
            all = all.iter().flat_map(|o| (0..n).map(|i| o.iter().copied().chain([i]).collect())).collect();
        }
        all
    }

    /// Batch, windows, features: the shape of what stands at one place of every window.
    fn place_shape(&self) -> Vec<usize> {
        let n = self.grid.len();
        [self.input[0]].into_iter().chain(self.grid.iter().copied()).chain([self.input[n + 1]]).collect()
    }
}

#[track_caller]
fn unfold(x: &Tensor, window: &[usize], strides: &[usize], padding: &Padding) -> Result<Tensor> {
    x.check()?;
    let w = Windows::new("unfold", x.shape(), window, strides, padding)?;
    let n = w.grid.len();
    let mut shape = w.place_shape();
    shape[n + 1] *= w.window.iter().product::<usize>();
    if shape.contains(&0) {
        return Ok(Tensor::full(shape, 0, x.dtype()));
    }
    let around: Vec<(i64, i64)> = [(0, 0)].into_iter().chain(w.padding.iter().copied()).chain([(0, 0)]).collect();
    let padded = x.pad(&around, 0);
    let loc = Loc::caller();
    let mut places = Vec::new();
    for offset in w.offsets() {
        let mut start = Shape::from_elem(0, n + 2);
        let mut limit: Shape = w.place_shape().into();
        let mut stride = Shape::from_elem(1, n + 2);
        for i in 0..n {
            (start[i + 1], stride[i + 1]) = (offset[i], w.strides[i]);
            limit[i + 1] = offset[i] + (w.grid[i] - 1) * w.strides[i] + 1;
        }
        places.push(apply(Op::Slice { start, limit, stride }, &[&padded], &loc));
    }
    // features outside, places of the window inside
    Ok(Tensor::stack(&places, -1).reshape(shape))
}

#[track_caller]
fn fold(patches: &Tensor, lengths: &[usize], window: &[usize], strides: &[usize], padding: &Padding) -> Result<Tensor> {
    let op = "fold";
    checks::number(op, patches)?;
    let n = window.len();
    let size: usize = window.iter().fold(1, |k, &n| k.saturating_mul(n.max(1)));
    if patches.ndim() != n + 2 || lengths.len() != n || !patches.dim(-1).is_multiple_of(size) {
        return Err(Error::user(
            op,
            format!("{} holds no patches {window:?} of an array with spatial lengths {lengths:?}", patches.ty_ref()),
        )
        .help("fold takes what `unfold` gives: batch, windows, features times places of the window"));
    }
    let features = patches.dim(-1) / size;
    let shape: Vec<usize> = [patches.shape()[0]].into_iter().chain(lengths.iter().copied()).chain([features]).collect();
    let w = Windows::new(op, &shape, window, strides, padding)?;
    if patches.shape()[1..=n] != w.grid[..] {
        return Err(Error::user(
            op,
            format!("{} has not the {:?} windows of spatial lengths {lengths:?}", patches.ty_ref(), w.grid),
        )
        .help("use the window, strides and padding that `unfold` was given"));
    }
    let mut sum = Tensor::full(&shape[..], 0, patches.dtype());
    if patches.size() == 0 {
        return Ok(sum);
    }
    let zero = Tensor::full((), 0, patches.dtype());
    let loc = Loc::caller();
    let split: Vec<usize> = w.place_shape().into_iter().chain([size]).collect();
    let places = patches.reshape(split);
    for (k, offset) in w.offsets().iter().enumerate() {
        // spread out with zeros between, then moved to its place; what lay in the padding is cropped
        let (mut low, mut high, mut interior) = (vec![0; n + 2], vec![0; n + 2], Shape::from_elem(0, n + 2));
        for i in 0..n {
            let span = (w.grid[i] - 1) * w.strides[i] + 1;
            low[i + 1] = offset[i] as i64 - w.padding[i].0;
            high[i + 1] = lengths[i] as i64 - span as i64 - low[i + 1];
            interior[i + 1] = w.strides[i] - 1;
        }
        let place = places.i((.., k));
        sum = sum + apply(Op::Pad { low, high, interior }, &[&place, &zero], &loc);
    }
    Ok(sum)
}

/// Batch, rows, columns and features of an image.
fn image(op: &str, x: &Tensor, factor: usize) -> Result<[usize; 4]> {
    x.check()?;
    if factor == 0 || factor > 1 << 15 {
        return Err(Error::user(op, format!("a factor of {factor}")).help("it must be at least 1"));
    }
    <[usize; 4]>::try_from(x.shape()).map_err(|_| {
        Error::user(op, format!("{} has {} axes, not 4", x.ty_ref(), x.ndim()))
            .help("the array is laid out as batch, rows, columns, features")
    })
}

#[track_caller]
fn pixel_shuffle(x: &Tensor, r: usize) -> Result<Tensor> {
    let [n, h, w, c] = image("pixel_shuffle", x, r)?;
    if !c.is_multiple_of(r * r) {
        return Err(Error::user(
            "pixel_shuffle",
            format!("the {c} features of {} are no multiple of {r}²", x.ty_ref()),
        ));
    }
    let c = c / (r * r);
    Ok(x.reshape([n, h, w, c, r, r]).transpose([0, 1, 4, 2, 5, 3]).reshape([n, h * r, w * r, c]))
}

#[track_caller]
fn pixel_unshuffle(x: &Tensor, r: usize) -> Result<Tensor> {
    let [n, h, w, c] = image("pixel_unshuffle", x, r)?;
    if !h.is_multiple_of(r) || !w.is_multiple_of(r) {
        return Err(Error::user("pixel_unshuffle", format!("{} does not divide into squares of {r}", x.ty_ref())));
    }
    let (h, w) = (h / r, w / r);
    Ok(x.reshape([n, h, r, w, r, c]).transpose([0, 1, 3, 5, 2, 4]).reshape([n, h, w, c * r * r]))
}

impl Tensor {
    /// The array stretched or shrunk to `shape`, axis by axis, in the sense of [`Resize`]; element `i` of an axis stands
    /// at `i + 1/2`.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Resize, prelude::*};
    /// let x = Tensor::ones([1, 8, 8, 3]);
    /// assert_eq!(x.resize([1, 5, 12, 3], Resize::bicubic()).shape(), [1, 5, 12, 3]);
    /// ```
    #[track_caller]
    pub fn resize(&self, shape: impl IntoShape, how: Resize) -> Tensor {
        settled(resize(self, shape, how))
    }

    /// The windows of a channels-last array `N, spatial.., C` laid out as features: `N, windows.., C · places`, the
    /// places of a window inside (im2col, in the order of `jax.lax.conv_general_dilated_patches`).
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Padding, prelude::*};
    /// let x = Tensor::arange(4).reshape([1, 4, 1]);
    /// let y = x.unfold(&[2], &[1], &Padding::Valid);
    /// assert_eq!(y.to_vec::<i32>().unwrap(), [0, 1, 1, 2, 2, 3]);
    /// ```
    #[track_caller]
    pub fn unfold(&self, window: &[usize], strides: &[usize], padding: &Padding) -> Tensor {
        settled(unfold(self, window, strides, padding))
    }

    /// The transpose of [`Tensor::unfold`]: an array of the given spatial lengths in which every element is the sum of
    /// its copies in the patches (col2im).
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Padding, prelude::*};
    /// let patches = Tensor::ones([1, 3, 2]);
    /// let x = patches.fold(&[4], &[2], &[1], &Padding::Valid);
    /// assert_eq!(x.to_vec::<f32>().unwrap(), [1.0, 2.0, 2.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn fold(&self, lengths: &[usize], window: &[usize], strides: &[usize], padding: &Padding) -> Tensor {
        settled(fold(self, lengths, window, strides, padding))
    }

    /// Features of an image `N, H, W, C r²` as pixels, `N, H r, W r, C`: feature `c r² + i r + j` becomes pixel `(i, j)`
    /// of feature `c` (Shi et al. 2016).
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::arange(4).reshape([1, 1, 1, 4]).pixel_shuffle(2);
    /// assert_eq!(x.shape(), [1, 2, 2, 1]);
    /// ```
    #[track_caller]
    pub fn pixel_shuffle(&self, factor: usize) -> Tensor {
        settled(pixel_shuffle(self, factor))
    }

    /// The inverse of [`Tensor::pixel_shuffle`].
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::arange(16).reshape([1, 2, 2, 4]);
    /// assert_eq!(x.pixel_shuffle(2).pixel_unshuffle(2).to_vec::<i32>().unwrap(), x.to_vec::<i32>().unwrap());
    /// ```
    #[track_caller]
    pub fn pixel_unshuffle(&self, factor: usize) -> Tensor {
        settled(pixel_unshuffle(self, factor))
    }
}
