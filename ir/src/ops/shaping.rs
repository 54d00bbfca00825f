//! Shape rules of ops that move elements without computing.

use crate::{DType, Error, Result, Shape, Type};

/// Largest number of elements an array may have: index arithmetic in generated code is 64-bit and byte offsets must not overflow.
pub const MAX_ELEMENTS: usize = 1 << 40;

/// Rejects shapes whose element count overflows or is absurd.
pub(super) fn check_size(op: &str, shape: &[usize]) -> Result<()> {
    let n = shape.iter().filter(|&&d| d != 0).try_fold(1usize, |n, &d| n.checked_mul(d).filter(|&n| n <= MAX_ELEMENTS));
    match n {
        Some(_) => Ok(()),
        None => Err(Error::limit(op, format!("shape {shape:?} has more than {MAX_ELEMENTS} elements"))),
    }
}

/// Length of an axis of `n` elements `dilation` apart, with padding before and after (may be negative).
pub(super) fn padded_length(op: &str, n: usize, dilation: usize, padding: (i64, i64)) -> Result<i64> {
    let dilated = if n == 0 { 0 } else { (n - 1) as i128 * dilation as i128 + 1 };
    let padded = dilated + i128::from(padding.0) + i128::from(padding.1);
    // each padding and dilation alone must stay in range too: index arithmetic adds them
    let limit = MAX_ELEMENTS as i128;
    let fits = [padded, dilated, padding.0.into(), padding.1.into()].iter().all(|x| (-limit..=limit).contains(x));
    if fits {
        Ok(padded as i64)
    } else {
        Err(Error::limit(op, format!("an axis of length {n}, dilation {dilation} and padding {padding:?} is too long")))
    }
}

/// Rejects axes that are out of range or repeated.
pub(super) fn check_axes(op: &str, ty: &Type, axes: &[usize]) -> Result<()> {
    for (i, &a) in axes.iter().enumerate() {
        if a >= ty.rank() {
            return Err(Error::bad_axis(op, a as i64, ty));
        }
        if axes[..i].contains(&a) {
            return Err(Error::user(op, format!("axis {a} is listed twice in {axes:?}")));
        }
    }
    Ok(())
}

pub(super) fn iota(dtype: DType, shape: &[usize], axis: usize) -> Result<Type> {
    let ty = Type::new(dtype, shape);
    check_size("iota", shape)?;
    if dtype == DType::Bool {
        return Err(Error::bad_dtype("iota", dtype, "a number"));
    }
    if axis >= shape.len() {
        return Err(Error::bad_axis("iota", axis as i64, &ty));
    }
    Ok(ty)
}

pub(super) fn broadcast(x: &Type, shape: &[usize], dims: &[usize]) -> Result<Type> {
    let op = "broadcast_in_dim";
    let out = x.with_shape(shape);
    check_size(op, shape)?;
    check_axes(op, &out, dims)?;
    if dims.len() != x.rank() {
        return Err(Error::user(op, format!("{} dims for an operand of rank {}", dims.len(), x.rank())));
    }
    for (&n, &d) in x.shape.iter().zip(dims) {
        if n != shape[d] && n != 1 {
            return Err(Error::shape_mismatch(
                op,
                x,
                &out,
                &format!("axis of length {n} cannot stretch to {}", shape[d]),
            )
            .help("only axes of length 1 stretch; reshape or transpose the operand first"));
        }
    }
    Ok(out)
}

pub(super) fn reshape(x: &Type, shape: &[usize]) -> Result<Type> {
    check_size("reshape", shape)?;
    let out = x.with_shape(shape);
    if x.numel() != out.numel() {
        return Err(Error::shape_mismatch(
            "reshape",
            x,
            &out,
            &format!("{} elements cannot become {}", x.numel(), out.numel()),
        ));
    }
    Ok(out)
}

pub(super) fn transpose(x: &Type, perm: &[usize]) -> Result<Type> {
    check_axes("transpose", x, perm)?;
    if perm.len() != x.rank() {
        return Err(Error::user("transpose", format!("permutation {perm:?} does not list every axis of {x} once")));
    }
    Ok(Type { dtype: x.dtype, shape: perm.iter().map(|&p| x.shape[p]).collect() })
}

pub(super) fn slice(x: &Type, start: &[usize], limit: &[usize], stride: &[usize]) -> Result<Type> {
    let r = x.rank();
    if start.len() != r || limit.len() != r || stride.len() != r {
        return Err(Error::user("slice", format!("start, limit and stride must have {r} entries for {x}")));
    }
    let mut shape = Shape::new();
    for i in 0..r {
        if start[i] > limit[i] || limit[i] > x.shape[i] || stride[i] == 0 {
            return Err(Error::user(
                "slice",
                format!("{}..{} step {} does not fit axis {i} of {x}", start[i], limit[i], stride[i]),
            ));
        }
        shape.push((limit[i] - start[i]).div_ceil(stride[i]));
    }
    Ok(Type { dtype: x.dtype, shape })
}

pub(super) fn pad(x: &Type, value: &Type, low: &[i64], high: &[i64], interior: &[usize]) -> Result<Type> {
    let r = x.rank();
    if low.len() != r || high.len() != r || interior.len() != r {
        return Err(Error::user("pad", format!("low, high and interior must have {r} entries for {x}")));
    }
    if *value != Type::scalar(x.dtype) {
        return Err(Error::user("pad", format!("padding value of {x} must be a scalar {}, got {value}", x.dtype)));
    }
    let mut shape = Shape::new();
    for i in 0..r {
        let n = x.shape[i] as i128;
        let d = n + (n - 1).max(0) * interior[i] as i128 + i128::from(low[i]) + i128::from(high[i]);
        if d < 0 || d > MAX_ELEMENTS as i128 {
            return Err(Error::user("pad", format!("axis {i} of {x} would have length {d}")));
        }
        shape.push(d as usize);
    }
    check_size("pad", &shape)?;
    Ok(Type { dtype: x.dtype, shape })
}

pub(super) fn concatenate(args: &[Type], axis: usize) -> Result<Type> {
    let op = "concatenate";
    let first = args.first().ok_or_else(|| Error::user(op, "needs at least one operand"))?;
    if axis >= first.rank() {
        return Err(Error::bad_axis(op, axis as i64, first));
    }
    let mut out = first.clone();
    for a in &args[1..] {
        if a.dtype != first.dtype {
            return Err(Error::dtype_mismatch(op, first.dtype, a.dtype));
        }
        let fits = a.rank() == first.rank() && (0..a.rank()).all(|i| i == axis || a.shape[i] == first.shape[i]);
        if !fits {
            return Err(Error::shape_mismatch(op, first, a, &format!("all axes but {axis} must agree")));
        }
        out.shape[axis] += a.shape[axis];
    }
    check_size(op, &out.shape)?;
    Ok(out)
}

pub(super) fn reverse(x: &Type, axes: &[usize]) -> Result<Type> {
    check_axes("reverse", x, axes)?;
    Ok(x.clone())
}
