//! Convolution and pooling.

use super::arithmetic::binary_at;
use super::axes::settle;
use super::convert::scalar_at;
use super::{Tensor, apply};
use gradloom_ir::{Binary, Error, Loc, Op, ReduceKind, Result, Shape};

/// Largest stride or dilation, and largest window or padding: what keeps the arithmetic of geometry within 64 bits.
const MAX_STEP: usize = 1 << 20;
const MAX_LENGTH: usize = 1 << 40;

/// What stands around the spatial axes before a window slides over them.
#[derive(Clone, Debug, PartialEq, Default, Hash)]
pub enum Padding {
    /// Nothing: the window stays within the input.
    #[default]
    Valid,
    /// So much that the result has `ceil(length / stride)` elements; an odd rest goes to the end.
    Same,
    /// This much before and after each spatial axis; negative widths crop.
    Explicit(Vec<(i64, i64)>),
}

impl Padding {
    /// The widths for spatial `lengths` under windows of these (dilated) lengths.
    pub(crate) fn widths(
        &self,
        op: &str,
        lengths: &[usize],
        windows: &[usize],
        strides: &[usize],
    ) -> Result<Vec<(i64, i64)>> {
        match self {
            Padding::Valid => Ok(vec![(0, 0); lengths.len()]),
            Padding::Same => Ok((0..lengths.len()).map(|i| same(lengths[i], windows[i], strides[i])).collect()),
            Padding::Explicit(widths) => {
                if widths.len() != lengths.len() {
                    let what = format!("{} padding widths for {} spatial axes", widths.len(), lengths.len());
                    return Err(Error::user(op, what).help("give one (low, high) pair a spatial axis"));
                }
                if let Some(w) = widths.iter().find(|w| w.0.unsigned_abs().max(w.1.unsigned_abs()) > MAX_LENGTH as u64)
                {
                    return Err(Error::limit(op, format!("padding {w:?} is out of bounds")));
                }
                Ok(widths.clone())
            }
        }
    }
}

fn same(n: usize, window: usize, stride: usize) -> (i64, i64) {
    let out = n.div_ceil(stride.max(1));
    let total = (out.saturating_sub(1) * stride + window).saturating_sub(n);
    ((total / 2) as i64, (total - total / 2) as i64)
}

fn dilated(n: usize, dilation: usize) -> usize {
    n.saturating_sub(1) * dilation + n.min(1)
}

/// How a convolution slides: strides, padding, dilations and groups, each 1 or nothing unless set.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Conv, Padding, prelude::*};
/// let images = Tensor::ones([2, 8, 8, 3]);
/// let kernel = Tensor::ones([3, 3, 3, 16]);
/// let y = images.conv2d(&kernel, &Conv::new().strides([2, 2]).padding(Padding::Same));
/// assert_eq!(y.shape(), [2, 4, 4, 16]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub struct Conv {
    strides: Vec<usize>,
    padding: Padding,
    lhs_dilation: Vec<usize>,
    dilation: Vec<usize>,
    groups: usize,
    batch_groups: usize,
}

impl Conv {
    /// Stride 1, no padding, no dilation, one group.
    pub fn new() -> Conv {
        Conv { groups: 1, batch_groups: 1, ..Conv::default() }
    }

    /// Steps of the window along each spatial axis.
    pub fn strides(mut self, strides: impl Into<Vec<usize>>) -> Conv {
        self.strides = strides.into();
        self
    }

    /// What stands around the input.
    pub fn padding(mut self, padding: Padding) -> Conv {
        self.padding = padding;
        self
    }

    /// Steps between the elements of the kernel along each spatial axis (atrous convolution).
    pub fn dilation(mut self, dilation: impl Into<Vec<usize>>) -> Conv {
        self.dilation = dilation.into();
        self
    }

    /// Steps between the elements of the input along each spatial axis, zeros between them (fractional strides).
    pub fn input_dilation(mut self, dilation: impl Into<Vec<usize>>) -> Conv {
        self.lhs_dilation = dilation.into();
        self
    }

    /// Groups of features that do not mix; as many as input features for a depthwise convolution.
    pub fn groups(mut self, groups: usize) -> Conv {
        self.groups = groups;
        self
    }

    /// Groups of the batch, each convolved with its own part of the kernel's output features.
    pub fn batch_groups(mut self, groups: usize) -> Conv {
        self.batch_groups = groups;
        self
    }
}

/// One entry a spatial axis: none means 1 everywhere, one means the same everywhere.
pub(crate) fn per_axis(op: &str, name: &str, given: &[usize], spatial: usize) -> Result<Shape> {
    let most = if name == "window" { MAX_LENGTH } else { MAX_STEP };
    if let Some(n) = given.iter().find(|n| **n == 0 || **n > most) {
        return Err(Error::user(op, format!("{name} {n} must be at least 1 and at most {most}")));
    }
    match given {
        [] => Ok(Shape::from_elem(1, spatial)),
        [one] => Ok(Shape::from_elem(*one, spatial)),
        all if all.len() == spatial => Ok(all.into()),
        all => Err(Error::user(op, format!("{} entries of {name} for {spatial} spatial axes", all.len()))
            .help("give one entry a spatial axis, or one for all")),
    }
}

/// Where the two named axes and the spatial ones stand in a layout such as "NHWC".
fn layout_dims(op: &str, layout: &str, first: char, second: char, spatial: &[char]) -> Result<Shape> {
    let wrong = || {
        let axes: String = spatial.iter().collect();
        Error::user(
            op,
            format!("layout \"{layout}\" must name {first}, {second} and the spatial axes {axes} once each"),
        )
        .help("the default layouts are \"NHWC\", \"HWIO\" and \"NHWC\"")
    };
    let chars: Vec<char> = layout.chars().collect();
    if chars.len() != spatial.len() + 2 {
        return Err(wrong());
    }
    let names = [first, second].into_iter().chain(spatial.iter().copied());
    names.map(|c| chars.iter().position(|d| *d == c).ok_or_else(wrong)).collect()
}

fn conv_at(op: &str, x: &Tensor, w: &Tensor, layouts: (&str, &str, &str), conv: &Conv, loc: &Loc) -> Result<Tensor> {
    x.check()?;
    w.check()?;
    if x.dtype() != w.dtype() {
        return Err(Error::dtype_mismatch(op, x.dtype(), w.dtype()));
    }
    let spatial: Vec<char> = layouts.0.chars().filter(|c| *c != 'N' && *c != 'C').collect();
    let r = spatial.len() + 2;
    if x.ndim() != r || w.ndim() != r {
        let why = format!("both need {r} axes, laid out as {} and {}", layouts.0, layouts.1);
        return Err(Error::shape_mismatch(op, x.ty_ref(), w.ty_ref(), &why));
    }
    let lhs_dims = layout_dims(op, layouts.0, 'N', 'C', &spatial)?;
    let rhs_dims = layout_dims(op, layouts.1, 'O', 'I', &spatial)?;
    let out_dims = layout_dims(op, layouts.2, 'N', 'C', &spatial)?;
    let n = spatial.len();
    let strides = per_axis(op, "strides", &conv.strides, n)?;
    let lhs_dilation = per_axis(op, "input dilation", &conv.lhs_dilation, n)?;
    let rhs_dilation = per_axis(op, "dilation", &conv.dilation, n)?;
    let lengths: Shape = (0..n).map(|i| dilated(x.shape()[lhs_dims[2 + i]], lhs_dilation[i])).collect();
    let windows: Shape = (0..n).map(|i| dilated(w.shape()[rhs_dims[2 + i]], rhs_dilation[i])).collect();
    let padding = conv.padding.widths(op, &lengths, &windows, &strides)?;
    let node = Op::Convolution {
        lhs_dims,
        rhs_dims,
        out_dims,
        strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        feature_groups: conv.groups,
        batch_groups: conv.batch_groups,
    };
    Ok(apply(node, &[x, w], loc))
}

/// The letters of the 1 to 3 spatial axes of a channels-last array.
fn spatial_axes(op: &str, x: &Tensor) -> Result<&'static str> {
    match x.ndim() {
        3 => Ok("W"),
        4 => Ok("HW"),
        5 => Ok("DHW"),
        r => Err(Error::user(op, format!("{} has {r} axes, not 3 to 5", x.ty_ref()))
            .help("the array is laid out as batch, 1 to 3 spatial axes, features; see `conv_general`")),
    }
}

fn transposed_at(op: &str, x: &Tensor, kernel: &Tensor, conv: &Conv, loc: &Loc) -> Result<Tensor> {
    x.check()?;
    kernel.check()?;
    let spatial = spatial_axes(op, x)?;
    let n = spatial.len();
    if kernel.ndim() != n + 2 {
        return Err(Error::user(
            op,
            format!("the kernel {} has {} axes, not {}", kernel.ty_ref(), kernel.ndim(), n + 2),
        ));
    }
    if !conv.lhs_dilation.is_empty() {
        return Err(Error::user(op, "an input dilation has no meaning here").help("the strides spread the input out"));
    }
    let strides = per_axis(op, "strides", &conv.strides, n)?;
    let dilation = per_axis(op, "dilation", &conv.dilation, n)?;
    let width = |i: usize| {
        let (k, s) = (dilated(kernel.shape()[i], dilation[i]) as i64, strides[i] as i64);
        let total = k + s - 2;
        match conv.padding {
            Padding::Same if s > k - 1 => (k - 1, total - (k - 1)),
            Padding::Same => (total - total / 2, total / 2),
            _ => (k - 1, total + (k - s).max(0) - (k - 1)),
        }
    };
    let padding = match &conv.padding {
        Padding::Explicit(_) => conv.padding.clone(),
        _ => Padding::Explicit((0..n).map(width).collect()),
    };
    let conv = Conv { strides: Vec::new(), lhs_dilation: strides.to_vec(), padding, ..conv.clone() };
    let (layout, kernel_layout) = (format!("N{spatial}C"), format!("{spatial}IO"));
    conv_at(op, x, kernel, (&layout, &kernel_layout, &layout), &conv, loc)
}

/// A convolution of any number of spatial axes under any layouts: of the input (`N`, `C` and letters for the spatial
/// axes), the kernel (`I`, `O` and the same letters) and the result.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Conv, conv_general, prelude::*};
/// let x = Tensor::ones([1, 3, 8, 8]);
/// let w = Tensor::ones([16, 3, 3, 3]);
/// let y = conv_general(&x, &w, ("NCHW", "OIHW", "NCHW"), &Conv::new());
/// assert_eq!(y.shape(), [1, 16, 6, 6]);
/// ```
#[track_caller]
pub fn conv_general(x: &Tensor, w: &Tensor, layouts: (&str, &str, &str), conv: &Conv) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, conv_at("conv_general", x, w, layouts, conv, &loc))
}

/// The windows of a pooling: entries for all axes from those for the spatial axes of a channels-last array.
struct Pool {
    window: Shape,
    strides: Shape,
    padding: Vec<(i64, i64)>,
}

impl Pool {
    fn new(op: &str, x: &Tensor, window: &[usize], strides: &[usize], padding: &Padding) -> Result<Pool> {
        x.check()?;
        let n = window.len();
        if x.ndim() != n + 2 {
            return Err(Error::user(
                op,
                format!("a window of {n} axes over {}, which has {} axes", x.ty_ref(), x.ndim()),
            )
            .help("the array is laid out as batch, spatial axes, features; the window names the spatial axes"));
        }
        let w = per_axis(op, "window", window, n)?;
        let s = per_axis(op, "strides", strides, n)?;
        let widths = padding.widths(op, &x.shape()[1..=n], &w, &s)?;
        let around = |v: Shape| [1].into_iter().chain(v).chain([1]).collect();
        let padding = [(0, 0)].into_iter().chain(widths).chain([(0, 0)]).collect();
        Ok(Pool { window: around(w), strides: around(s), padding })
    }

    fn reduce(self, kind: ReduceKind, x: &Tensor, loc: &Loc) -> Tensor {
        let ones = Shape::from_elem(1, x.ndim());
        let Pool { window, strides, padding } = self;
        let op =
            Op::ReduceWindow { kind, window, strides, padding, base_dilation: ones.clone(), window_dilation: ones };
        apply(op, &[x], loc)
    }
}

impl Tensor {
    /// Convolution (cross-correlation) of a channels-last array, `N, spatial.., C`, with a kernel `spatial.., I, O`.
    #[track_caller]
    pub fn conv(&self, kernel: &Tensor, conv: &Conv) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let spatial = spatial_axes("conv", self)?;
            let (x, w) = (format!("N{spatial}C"), format!("{spatial}IO"));
            conv_at("conv", self, kernel, (&x, &w, &x), conv, &loc)
        };
        settle(&loc, run())
    }

    /// [`Tensor::conv`] of sequences: `NWC` with a kernel `WIO`.
    #[track_caller]
    pub fn conv1d(&self, kernel: &Tensor, conv: &Conv) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, conv_at("conv1d", self, kernel, ("NWC", "WIO", "NWC"), conv, &loc))
    }

    /// [`Tensor::conv`] of images: `NHWC` with a kernel `HWIO`.
    #[track_caller]
    pub fn conv2d(&self, kernel: &Tensor, conv: &Conv) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, conv_at("conv2d", self, kernel, ("NHWC", "HWIO", "NHWC"), conv, &loc))
    }

    /// [`Tensor::conv`] of volumes: `NDHWC` with a kernel `DHWIO`.
    #[track_caller]
    pub fn conv3d(&self, kernel: &Tensor, conv: &Conv) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, conv_at("conv3d", self, kernel, ("NDHWC", "DHWIO", "NDHWC"), conv, &loc))
    }

    /// Upsampling convolution of a channels-last array of 1 to 3 spatial axes with a kernel `spatial.., I, O`: each input
    /// element spreads the kernel, flipped as in a convolution, `strides` apart. `Same` gives `length * stride` elements,
    /// `Valid` those any input element reaches; explicit widths pad the spread-out input (the meaning of
    /// `jax.lax.conv_transpose`). It is not the derivative of a convolution: for that, flip the kernel's spatial axes and
    /// exchange its last two.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Conv, prelude::*};
    /// let x = Tensor::from([1.0f32, 2.0]).reshape([1, 2, 1]);
    /// let w = Tensor::ones([2, 1, 1]);
    /// let y = x.conv_transpose(&w, &Conv::new().strides([2]));
    /// assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, 1.0, 2.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn conv_transpose(&self, kernel: &Tensor, conv: &Conv) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, transposed_at("conv_transpose", self, kernel, conv, &loc))
    }

    /// [`Tensor::conv_transpose`] of images: `NHWC` with a kernel `HWIO`.
    #[track_caller]
    pub fn conv2d_transpose(&self, kernel: &Tensor, strides: [usize; 2], padding: &Padding) -> Tensor {
        let loc = Loc::caller();
        let conv = Conv::new().strides(strides).padding(padding.clone());
        let image = if self.ndim() == 4 || self.check().is_err() {
            transposed_at("conv2d_transpose", self, kernel, &conv, &loc)
        } else {
            Err(Error::user("conv2d_transpose", format!("{} has {} axes, not 4", self.ty_ref(), self.ndim())))
        };
        settle(&loc, image)
    }

    /// The greatest element of each window over the spatial axes of `N, spatial.., C`; padding never wins.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Padding, prelude::*};
    /// let x = Tensor::arange(4).reshape([1, 4, 1]);
    /// assert_eq!(x.max_pool(&[2], &[2], &Padding::Valid).to_vec::<i32>().unwrap(), [1, 3]);
    /// ```
    #[track_caller]
    pub fn max_pool(&self, window: &[usize], strides: &[usize], padding: &Padding) -> Tensor {
        let loc = Loc::caller();
        let pool = Pool::new("max_pool", self, window, strides, padding);
        settle(&loc, pool.map(|p| p.reduce(ReduceKind::Max, self, &loc)))
    }

    /// The mean of each window over the spatial axes of `N, spatial.., C`; padding counts as zeros.
    #[track_caller]
    pub fn avg_pool(&self, window: &[usize], strides: &[usize], padding: &Padding) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            let pool = Pool::new("avg_pool", self, window, strides, padding)?;
            if !self.dtype().is_float() {
                return Err(Error::bad_dtype("avg_pool", self.dtype(), "a float"));
            }
            let count: f64 = window.iter().map(|&n| n as f64).product();
            let sum = pool.reduce(ReduceKind::Sum, self, &loc);
            Ok(binary_at(Binary::Div, &sum, &scalar_at(self.dtype(), count, &loc), &loc))
        };
        settle(&loc, run())
    }

    /// Combines the elements of a window that slides over all axes; padding counts as the identity of `kind`.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{Padding, ReduceKind, prelude::*};
    /// let x = Tensor::arange(4).reduce_window(ReduceKind::Sum, &[2], &[1], &Padding::Valid);
    /// assert_eq!(x.to_vec::<i32>().unwrap(), [1, 3, 5]);
    /// ```
    #[track_caller]
    pub fn reduce_window(&self, kind: ReduceKind, window: &[usize], strides: &[usize], padding: &Padding) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            self.check()?;
            let op = "reduce_window";
            let r = self.ndim();
            if window.len() != r {
                return Err(Error::user(op, format!("a window of {} axes over {}", window.len(), self.ty_ref())));
            }
            let window = per_axis(op, "window", window, r)?;
            let strides = per_axis(op, "strides", strides, r)?;
            let padding = padding.widths(op, self.shape(), &window, &strides)?;
            Ok(Pool { window, strides, padding }.reduce(kind, self, &loc))
        };
        settle(&loc, run())
    }
}
