//! Shape rules of reductions, windows and sorting.

use super::shaping::{check_axes, check_size, padded_length};
use super::{Op, ReduceKind, Types};
use crate::{DType, Error, Result, Shape, Type};

fn check_kind(op: &str, kind: ReduceKind, x: &Type) -> Result<()> {
    let ok = match kind {
        ReduceKind::Sum | ReduceKind::Prod => x.dtype != DType::Bool,
        ReduceKind::Max | ReduceKind::Min => !x.dtype.is_complex(),
        ReduceKind::And | ReduceKind::Or => !x.dtype.is_inexact(),
    };
    if ok {
        Ok(())
    } else {
        Err(Error::bad_dtype(&format!("{op} {}", kind.name()), x.dtype, "a dtype this combination is defined on"))
    }
}

fn check_extremum(op: &str, kind: ReduceKind) -> Result<()> {
    match kind {
        ReduceKind::Max | ReduceKind::Min => Ok(()),
        _ => Err(Error::internal(op, format!("kind must be max or min, got {}", kind.name()))),
    }
}

pub(super) fn reduce(kind: ReduceKind, x: &Type, axes: &[usize]) -> Result<Type> {
    check_axes("reduce", x, axes)?;
    check_kind("reduce", kind, x)?;
    Ok(Type { dtype: x.dtype, shape: (0..x.rank()).filter(|a| !axes.contains(a)).map(|a| x.shape[a]).collect() })
}

pub(super) fn arg_reduce(kind: ReduceKind, x: &Type, axis: usize) -> Result<Type> {
    check_extremum("arg_reduce", kind)?;
    check_axes("arg_reduce", x, &[axis])?;
    if x.shape[axis] == 0 {
        return Err(Error::user("arg_reduce", format!("axis {axis} of {x} is empty, there is no greatest element")));
    }
    if x.shape[axis] > i32::MAX as usize {
        return Err(Error::limit("arg_reduce", format!("axis {axis} of {x} is longer than an i32 can index")));
    }
    check_kind("arg_reduce", kind, x)?;
    Ok(reduce(ReduceKind::Max, x, &[axis])?.with_dtype(DType::I32))
}

pub(super) fn cumulative(kind: ReduceKind, x: &Type, axis: usize) -> Result<Type> {
    check_axes("cumulative", x, &[axis])?;
    check_kind("cumulative", kind, x)?;
    Ok(x.clone())
}

/// The sliding window of a `reduce_window`, `select_and_gather` or `select_and_scatter`.
#[derive(Clone, Debug)]
pub struct WindowGeometry {
    /// Window lengths.
    pub window: Shape,
    /// Steps between windows.
    pub strides: Shape,
    /// Padding before and after each axis (may be negative).
    pub padding: Vec<(i64, i64)>,
    /// Step between elements of the base (interior padding).
    pub base_dilation: Shape,
    /// Step between elements of the window.
    pub window_dilation: Shape,
    /// How many windows fit on each axis.
    pub out: Shape,
}

impl WindowGeometry {
    /// Checks a windowed op on a base of type `x` and reads off its sizes.
    pub fn new(op: &Op, x: &Type) -> Result<WindowGeometry> {
        let ones = Shape::from_elem(1, x.rank());
        let (window, strides, padding, base_dilation, window_dilation) = match op {
            Op::ReduceWindow { window, strides, padding, base_dilation, window_dilation, .. } => {
                (window, strides, padding, base_dilation, window_dilation)
            }
            Op::SelectAndGather { window, strides, padding, .. }
            | Op::SelectAndScatter { window, strides, padding, .. } => (window, strides, padding, &ones, &ones),
            _ => return Err(Error::internal(op.name(), "is not a windowed op")),
        };
        let r = x.rank();
        if [window.len(), strides.len(), padding.len(), base_dilation.len(), window_dilation.len()] != [r; 5] {
            return Err(Error::user(
                op.name(),
                format!("window, strides, padding and dilations need {r} entries for {x}"),
            ));
        }
        if window.iter().chain(strides).chain(base_dilation).chain(window_dilation).any(|&n| n == 0) {
            return Err(Error::user(op.name(), "window lengths, strides and dilations must be at least 1"));
        }
        let mut out = Shape::new();
        for i in 0..r {
            let base = padded_length(op.name(), x.shape[i], base_dilation[i], padding[i])?;
            let w = padded_length(op.name(), window[i], window_dilation[i], (0, 0))?;
            out.push(if base < w { 0 } else { ((base - w) / strides[i] as i64 + 1) as usize });
        }
        check_size(op.name(), &out)?;
        Ok(WindowGeometry {
            window: window.clone(),
            strides: strides.clone(),
            padding: padding.clone(),
            base_dilation: base_dilation.clone(),
            window_dilation: window_dilation.clone(),
            out,
        })
    }
}

pub(super) fn reduce_window(op: &Op, kind: ReduceKind, x: &Type) -> Result<Type> {
    check_kind("reduce_window", kind, x)?;
    Ok(x.with_shape(&WindowGeometry::new(op, x)?.out))
}

pub(super) fn select_and_gather(op: &Op, kind: ReduceKind, x: &Type, key: &Type) -> Result<Type> {
    check_extremum("select_and_gather", kind)?;
    check_kind("select_and_gather", kind, key)?;
    if x.shape != key.shape {
        return Err(Error::shape_mismatch("select_and_gather", x, key, "value and key must have one shape"));
    }
    Ok(x.with_shape(&WindowGeometry::new(op, key)?.out))
}

pub(super) fn select_and_scatter(op: &Op, kind: ReduceKind, source: &Type, key: &Type) -> Result<Type> {
    check_extremum("select_and_scatter", kind)?;
    check_kind("select_and_scatter", kind, key)?;
    check_kind("select_and_scatter", ReduceKind::Sum, source)?;
    let windows = WindowGeometry::new(op, key)?.out;
    if source.shape != windows {
        let why = format!("the source must have one element a window, {windows:?}");
        return Err(Error::shape_mismatch("select_and_scatter", source, key, &why));
    }
    Ok(source.with_shape(&key.shape))
}

pub(super) fn sort(args: &[Type], axis: usize, num_keys: usize) -> Result<Types> {
    let first = args.first().ok_or_else(|| Error::user("sort", "needs at least one operand"))?;
    check_axes("sort", first, &[axis])?;
    if num_keys == 0 || num_keys > args.len() {
        return Err(Error::user("sort", format!("{num_keys} keys among {} operands", args.len())));
    }
    for a in &args[1..] {
        if a.shape != first.shape {
            return Err(Error::shape_mismatch("sort", first, a, "all operands must have one shape"));
        }
    }
    Ok(args.iter().cloned().collect())
}

pub(super) fn all_reduce(kind: ReduceKind, x: &Type) -> Result<Type> {
    check_kind("all_reduce", kind, x)?;
    Ok(x.clone())
}
