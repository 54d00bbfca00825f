//! Discrete Fourier, cosine and sine transforms: any length, any axes, batched over the others, differentiable.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::{fft, prelude::*};
//! let x = Tensor::from([1.0f32, 2.0, 3.0, 4.0]);
//! let y = fft::rfft(&x);
//! assert_eq!(y.real().to_vec::<f32>()?, [10.0, -2.0, -2.0]);
//! assert_eq!(fft::irfft(&y).to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
//! # Ok::<(), gradloom::Error>(())
//! ```
//!
//! Shapes, defaults and normalisations are those of `numpy.fft` and `scipy.fft`.

use crate::tensor::axes::{resolve_axes, settle};
use crate::tensor::{Axes, IntoAxes, Tensor, apply};
use gradloom_ir::{DType, Error, FftKind, Loc, Op, Result, Shape};
use std::f64::consts::PI;

/// Where the factor 1/N of a transform and its inverse stands.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Norm {
    /// At the inverse.
    #[default]
    Backward,
    /// 1/sqrt(N) at both, which makes them isometries.
    Ortho,
    /// At the forward transform.
    Forward,
}

/// A transform with chosen axes, lengths and normalisation; the functions of this module are its common cases.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{fft::{Fft, Norm}, prelude::*};
/// let x = Tensor::arange(30).to(DType::F32).reshape([2, 3, 5]);
/// let t = Fft::over([0, 2]).norm(Norm::Ortho);
/// let y = t.rfft(&x);
/// assert_eq!(y.shape(), [2, 3, 3]);
/// let back = t.lengths(&[2, 5]).irfft(&y); // 5 is odd, which the 3 frequencies cannot tell
/// assert!((back - x).abs().max(..).item::<f32>()? < 1e-4);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fft {
    axes: Axes,
    lengths: Option<Vec<usize>>,
    norm: Norm,
}

impl Fft {
    /// The transform over these axes.
    pub fn over(axes: impl IntoAxes) -> Fft {
        Fft { axes: axes.axes(), lengths: None, norm: Norm::Backward }
    }

    /// With this many points on each axis: longer axes are cut, shorter ones filled with zeros. For `irfft` and
    /// `hfft` the length of the real result.
    pub fn lengths(mut self, lengths: &[usize]) -> Fft {
        self.lengths = Some(lengths.to_vec());
        self
    }

    /// With this normalisation.
    pub fn norm(mut self, norm: Norm) -> Fft {
        self.norm = norm;
        self
    }

    /// Complex to complex; a real operand is made complex.
    #[track_caller]
    pub fn fft(&self, x: &Tensor) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, self.run("fft", FftKind::Fft, x, &loc))
    }

    /// The inverse of [`Fft::fft`].
    #[track_caller]
    pub fn ifft(&self, x: &Tensor) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, self.run("ifft", FftKind::Ifft, x, &loc))
    }

    /// Real to complex: of the last listed axis the frequencies 0 to n/2.
    #[track_caller]
    pub fn rfft(&self, x: &Tensor) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, self.run("rfft", FftKind::Rfft, x, &loc))
    }

    /// The inverse of [`Fft::rfft`]; without [`Fft::lengths`] the last axis gets the even length 2 (m - 1).
    #[track_caller]
    pub fn irfft(&self, x: &Tensor) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, self.run("irfft", FftKind::Irfft, x, &loc))
    }

    /// The transform of a signal with Hermitian symmetry, of which the first half is given: real frequencies.
    #[track_caller]
    pub fn hfft(&self, x: &Tensor) -> Tensor {
        self.swapped().irfft(&x.conj())
    }

    /// The inverse of [`Fft::hfft`].
    #[track_caller]
    pub fn ihfft(&self, x: &Tensor) -> Tensor {
        self.swapped().rfft(x).conj()
    }

    /// With the factor at the other side: hfft is an inverse transform run forwards.
    fn swapped(&self) -> Fft {
        let norm = match self.norm {
            Norm::Backward => Norm::Forward,
            Norm::Ortho => Norm::Ortho,
            Norm::Forward => Norm::Backward,
        };
        Fft { norm, ..self.clone() }
    }

    fn run(&self, name: &str, kind: FftKind, x: &Tensor, loc: &Loc) -> Result<Tensor> {
        x.check()?;
        let ty = x.ty_ref().clone();
        let axes = resolve_axes(name, &self.axes, &ty)?;
        let Some(&last) = axes.last() else {
            return Err(Error::user(name, format!("no axis of {ty} is named")).help("name at least one axis"));
        };
        let x = match kind {
            FftKind::Rfft => x.clone(),
            _ => match ty.dtype.complex() {
                Some(dtype) => apply(Op::Convert { dtype }, &[x], loc),
                None => x.clone(),
            },
        };
        let mut lengths: Vec<usize> = axes.iter().map(|&a| ty.shape[a]).collect();
        if kind == FftKind::Irfft {
            let m = ty.shape[last];
            lengths[axes.len() - 1] = if m == 0 { 0 } else { 2 * (m - 1) };
        }
        if let Some(given) = &self.lengths {
            if given.len() != axes.len() {
                let what = format!("{} lengths for {} axes", given.len(), axes.len());
                return Err(Error::user(name, what).help("give one length for each axis"));
            }
            lengths.clone_from(given);
        }
        if lengths.contains(&0) {
            let what = format!("a transform of {lengths:?} points of {ty}");
            return Err(Error::user(name, what).help("every transformed axis needs at least one point"));
        }
        // what the op takes on each axis: of irfft's last one the frequencies up to n/2
        let mut taken = lengths.clone();
        if kind == FftKind::Irfft {
            taken[axes.len() - 1] = lengths[axes.len() - 1] / 2 + 1;
        }
        let mut widths = vec![(0, 0); ty.rank()];
        for (&a, &n) in axes.iter().zip(&taken) {
            widths[a].1 = n as i64 - ty.shape[a] as i64;
        }
        let x = if widths.iter().all(|w| w.1 == 0) {
            x
        } else {
            let zero = crate::tensor::scalar_at(x.dtype(), 0.0, loc);
            x.pad_at(&widths, &zero, loc)?
        };
        let order: Shape = (0..ty.rank()).filter(|a| !axes.contains(a)).chain(axes.iter().copied()).collect();
        let mut back = order.clone();
        order.iter().enumerate().for_each(|(i, &a)| back[a] = i);
        let moved = apply(Op::Transpose { perm: order }, &[&x], loc);
        let y = apply(Op::Fft { kind, lengths: lengths.as_slice().into() }, &[&moved], loc);
        let y = apply(Op::Transpose { perm: back }, &[&y], loc);
        y.check()?;
        let n: f64 = lengths.iter().map(|&n| n as f64).product();
        let forward = matches!(kind, FftKind::Fft | FftKind::Rfft);
        let factor = match (self.norm, forward) {
            (Norm::Backward, _) => return Ok(y),
            (Norm::Ortho, true) => 1.0 / n.sqrt(),
            (Norm::Ortho, false) => n.sqrt(),
            (Norm::Forward, true) => 1.0 / n,
            (Norm::Forward, false) => n,
        };
        let factor = crate::tensor::scalar_at(y.dtype(), factor, loc);
        let factor = crate::tensor::arithmetic::broadcast_at(&factor, y.shape(), loc);
        Ok(apply(Op::Binary(gradloom_ir::Binary::Mul), &[&y, &factor], loc))
    }
}

macro_rules! plain_transforms {
    ($($(#[$doc:meta])* $name:ident($x:ident $(, $axes:ident)?) = $over:expr => $method:ident;)*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name($x: &Tensor $(, $axes: impl IntoAxes)?) -> Tensor {
            Fft::over($over).$method($x)
        }
    )*};
}
plain_transforms! {
    /// Along the last axis; see [`Fft::fft`].
    fft(x) = -1 => fft;
    /// The inverse of [`fft`].
    ifft(x) = -1 => ifft;
    /// Of a real tensor along the last axis; see [`Fft::rfft`].
    rfft(x) = -1 => rfft;
    /// The inverse of [`rfft`] for an even number of points; see [`Fft::irfft`].
    irfft(x) = -1 => irfft;
    /// Along the last axis; see [`Fft::hfft`].
    hfft(x) = -1 => hfft;
    /// The inverse of [`hfft`] for an even number of points.
    ihfft(x) = -1 => ihfft;
    /// Over the last two axes.
    fft2(x) = [-2, -1] => fft;
    /// The inverse of [`fft2`].
    ifft2(x) = [-2, -1] => ifft;
    /// Of a real tensor over the last two axes.
    rfft2(x) = [-2, -1] => rfft;
    /// The inverse of [`rfft2`] for an even number of points on the last axis.
    irfft2(x) = [-2, -1] => irfft;
    /// Over the listed axes.
    fftn(x, axes) = axes => fft;
    /// The inverse of [`fftn`].
    ifftn(x, axes) = axes => ifft;
    /// Of a real tensor over the listed axes, the last of which is halved.
    rfftn(x, axes) = axes => rfft;
    /// The inverse of [`rfftn`] for an even number of points on the last listed axis.
    irfftn(x, axes) = axes => irfft;
}

/// The frequencies of [`fft`] of `n` points `spacing` apart, in cycles per unit: f32.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::fft;
/// assert_eq!(fft::fftfreq(5, 0.2).to_vec::<f32>()?, [0.0, 1.0, 2.0, -2.0, -1.0]);
/// # Ok::<(), gradloom::Error>(())
/// ```
pub fn fftfreq(n: usize, spacing: f64) -> Tensor {
    let number = |k: usize| if 2 * k < n + n % 2 { k as f64 } else { k as f64 - n as f64 };
    Tensor::from_vec((0..n).map(|k| (number(k) / (n as f64 * spacing)) as f32).collect())
}

/// The frequencies of [`rfft`] of `n` points `spacing` apart: f32.
pub fn rfftfreq(n: usize, spacing: f64) -> Tensor {
    let count = if n == 0 { 0 } else { n / 2 + 1 };
    Tensor::from_vec((0..count).map(|k| (k as f64 / (n as f64 * spacing)) as f32).collect())
}

/// Frequency 0 to the middle of each listed axis.
#[track_caller]
pub fn fftshift(x: &Tensor, axes: impl IntoAxes) -> Tensor {
    shift(x, &axes.axes(), |n| n / 2)
}

/// The inverse of [`fftshift`].
#[track_caller]
pub fn ifftshift(x: &Tensor, axes: impl IntoAxes) -> Tensor {
    shift(x, &axes.axes(), |n| n - n / 2)
}

#[track_caller]
fn shift(x: &Tensor, axes: &Axes, by: impl Fn(usize) -> usize) -> Tensor {
    match resolve_axes("fftshift", axes, x.ty_ref()) {
        Err(e) => Tensor::failed(x.check().err().unwrap_or(e.at(&Loc::caller()))),
        Ok(axes) => {
            let mut y = x.clone();
            for &a in &axes {
                let n = x.shape()[a];
                if n > 1 {
                    y = y.roll(by(n) as i64, a as i64);
                }
            }
            y
        }
    }
}

/// The cosine transform of type II along an axis: `y[k] = 2 sum_n x[n] cos(pi k (2n + 1) / 2N)`.
/// [`Norm::Ortho`] makes it an isometry, [`Norm::Forward`] divides by 2N.
///
/// By one complex transform of N points (Makhoul 1980).
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{fft::{self, Norm}, prelude::*};
/// let y = fft::dct(&Tensor::ones([4]), -1, Norm::Backward);
/// assert_eq!(y.i(0).item::<f32>()?, 8.0);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn dct(x: &Tensor, axis: i64, norm: Norm) -> Tensor {
    along("dct", x, axis, |x, n| {
        let dtype = x.dtype();
        // even places forwards, odd ones backwards
        let order: Vec<i32> = (0..n).step_by(2).chain((0..n).skip(1).step_by(2).rev()).map(|i| i as i32).collect();
        let v = x.take(&Tensor::from_vec(order), -1);
        let turned = fft(&v) * quarter_turns(n, -1.0, dtype);
        turned.real() * 2.0 * cosine_scale(n, norm, dtype)
    })
}

/// The inverse of [`dct`] of the same normalisation.
#[track_caller]
pub fn idct(y: &Tensor, axis: i64, norm: Norm) -> Tensor {
    along("idct", y, axis, |y, n| {
        let dtype = y.dtype();
        let y = y / (cosine_scale(n, norm, dtype) * 2.0);
        // y[N - k], which is 0 at k = 0
        let mirrored: Vec<i32> = (0..n).map(|k| if k == 0 { 0 } else { (n - k) as i32 }).collect();
        let inside = Tensor::from_vec((0..n).map(|k| f64::from(u8::from(k > 0))).collect()).to(dtype);
        let other = y.take(&Tensor::from_vec(mirrored), -1) * inside;
        let v = ifft(&(Tensor::complex(&y, &-other) * quarter_turns(n, 1.0, dtype))).real();
        let mut place = vec![0i32; n];
        (0..n).step_by(2).chain((0..n).skip(1).step_by(2).rev()).enumerate().for_each(|(i, at)| place[at] = i as i32);
        v.take(&Tensor::from_vec(place), -1)
    })
}

/// The sine transform of type II along an axis: `y[k] = 2 sum_n x[n] sin(pi (k + 1) (2n + 1) / 2N)`, normalised as
/// [`dct`], of which it is a reflection.
#[track_caller]
pub fn dst(x: &Tensor, axis: i64, norm: Norm) -> Tensor {
    along("dst", x, axis, |x, n| dct(&(x * alternating(n, x.dtype())), -1, norm).flip(-1))
}

/// The inverse of [`dst`] of the same normalisation.
#[track_caller]
pub fn idst(y: &Tensor, axis: i64, norm: Norm) -> Tensor {
    along("idst", y, axis, |y, n| idct(&y.flip(-1), -1, norm) * alternating(n, y.dtype()))
}

/// `f(x with the axis last, its length)`, the axis back in its place.
#[track_caller]
fn along(name: &str, x: &Tensor, axis: i64, f: impl Fn(&Tensor, usize) -> Tensor) -> Tensor {
    let loc = Loc::caller();
    let checked = || -> Result<usize> {
        x.check()?;
        let a = crate::tensor::axes::resolve_axis(name, axis, x.ty_ref())?;
        match x.dtype() {
            DType::F32 | DType::F64 => {}
            d => return Err(Error::bad_dtype(name, d, "f32 or f64").help("convert with `.to(DType::F32)` first")),
        }
        if x.shape()[a] == 0 {
            return Err(Error::user(name, format!("axis {axis} of {} is empty", x.ty_ref())));
        }
        Ok(a)
    };
    match checked() {
        Ok(a) => f(&x.move_axis(axis, -1), x.shape()[a]).move_axis(-1, axis),
        Err(e) => Tensor::failed(e.at(&loc)),
    }
}

/// `e^(sign i pi k / 2n)` for k below n.
fn quarter_turns(n: usize, sign: f64, dtype: DType) -> Tensor {
    let part = |f: fn(f64) -> f64, sign: f64| {
        let values = (0..n).map(|k| sign * f(PI * k as f64 / (2.0 * n as f64))).collect();
        Tensor::from_vec::<f64>(values).to(dtype)
    };
    Tensor::complex(&part(f64::cos, 1.0), &part(f64::sin, sign))
}

fn cosine_scale(n: usize, norm: Norm, dtype: DType) -> Tensor {
    let n64 = n as f64;
    let at = |k: usize| match norm {
        Norm::Backward => 1.0,
        Norm::Forward => 1.0 / (2.0 * n64),
        Norm::Ortho if k == 0 => (1.0 / (4.0 * n64)).sqrt(),
        Norm::Ortho => (1.0 / (2.0 * n64)).sqrt(),
    };
    Tensor::from_vec::<f64>((0..n).map(at).collect()).to(dtype)
}

/// 1, -1, 1, ..
fn alternating(n: usize, dtype: DType) -> Tensor {
    Tensor::from_vec::<f64>((0..n).map(|k| if k % 2 == 0 { 1.0 } else { -1.0 }).collect()).to(dtype)
}
