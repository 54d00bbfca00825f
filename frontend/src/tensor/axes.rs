//! Axis arguments: one, several or all, counted from either end.

use super::Tensor;
use gradloom_ir::{Error, Loc, Result, Shape, Type};

/// Which axes an operation works on.
#[derive(Clone, Debug, PartialEq)]
pub enum Axes {
    /// Every axis.
    All,
    /// These, negative ones counted from the end.
    Listed(Vec<i64>),
}

/// An axes argument: `..` for all, a number for one, `[0, -1]`, a slice or a `Vec` for several.
pub trait IntoAxes {
    /// The axes as given.
    fn axes(&self) -> Axes;
}

impl IntoAxes for std::ops::RangeFull {
    fn axes(&self) -> Axes {
        Axes::All
    }
}

impl IntoAxes for Axes {
    fn axes(&self) -> Axes {
        self.clone()
    }
}

macro_rules! axes {
    ($($t:ty),*) => {$(
        impl IntoAxes for $t {
            fn axes(&self) -> Axes { Axes::Listed(vec![axis_number(*self)]) }
        }
        impl<const N: usize> IntoAxes for [$t; N] {
            fn axes(&self) -> Axes { listed(self) }
        }
        impl<const N: usize> IntoAxes for &[$t; N] {
            fn axes(&self) -> Axes { listed(&self[..]) }
        }
        impl IntoAxes for &[$t] {
            fn axes(&self) -> Axes { listed(self) }
        }
        impl IntoAxes for Vec<$t> {
            fn axes(&self) -> Axes { listed(self) }
        }
        impl IntoAxes for &Vec<$t> {
            fn axes(&self) -> Axes { listed(self) }
        }
    )*};
}
axes!(i32, i64, usize);

fn axis_number(a: impl TryInto<i64>) -> i64 {
    a.try_into().unwrap_or(i64::MAX)
}

fn listed<T: Copy + TryInto<i64>>(axes: &[T]) -> Axes {
    Axes::Listed(axes.iter().map(|&a| axis_number(a)).collect())
}

/// The axis counted from the front.
pub(crate) fn resolve_axis(op: &str, axis: i64, ty: &Type) -> Result<usize> {
    axis_below(axis, ty.rank()).ok_or_else(|| Error::bad_axis(op, axis, ty))
}

/// `axis` of an array of `rank` axes, counted from the front; `None` if there is no such axis.
pub(crate) fn axis_below(axis: i64, rank: usize) -> Option<usize> {
    let from_front = if axis < 0 { axis.checked_add(i64::try_from(rank).ok()?)? } else { axis };
    usize::try_from(from_front).ok().filter(|&a| a < rank)
}

/// The axes counted from the front, in the order given, each at most once.
pub(crate) fn resolve_axes(op: &str, axes: &Axes, ty: &Type) -> Result<Shape> {
    let Axes::Listed(axes) = axes else { return Ok((0..ty.rank()).collect()) };
    let mut out = Shape::new();
    for &a in axes {
        let a = resolve_axis(op, a, ty)?;
        if out.contains(&a) {
            return Err(Error::user(op, format!("axis {a} is listed twice in {axes:?}")).help("list each axis once"));
        }
        out.push(a);
    }
    Ok(out)
}

/// Where this crate's sources are, as the compiler names them.
const SOURCES: &str = file!().split_at(file!().len() - "tensor/axes.rs".len()).0;

/// The error with the caller's position if it has none, or one in this crate: functions made of others report their own
/// caller's line.
pub(crate) fn placed(e: Error, loc: &Loc) -> Error {
    let own = |l: &Loc| l.file_line().is_some_and(|(file, _)| file.starts_with(SOURCES));
    if own(e.loc()) && loc.is_known() { e.moved(loc) } else { e.at(loc) }
}

/// The result, or a tensor that carries the error.
pub(crate) fn settle(loc: &Loc, result: Result<Tensor>) -> Tensor {
    match result.and_then(|t| t.check().map(|()| t)) {
        Ok(t) => t,
        Err(e) => Tensor::failed(placed(e, loc)),
    }
}
