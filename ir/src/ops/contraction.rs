//! Shape rules of dot_general and convolution.

use super::Op;
use super::shaping::{check_axes, check_size, padded_length};
use crate::{DType, Error, Result, Shape, Type};

pub(super) fn dot_general(
    lhs: &Type,
    rhs: &Type,
    lhs_batch: &[usize],
    rhs_batch: &[usize],
    lhs_contract: &[usize],
    rhs_contract: &[usize],
) -> Result<Type> {
    let op = "dot_general";
    if lhs.dtype != rhs.dtype {
        return Err(Error::dtype_mismatch(op, lhs.dtype, rhs.dtype));
    }
    if lhs.dtype == DType::Bool {
        return Err(Error::bad_dtype(op, lhs.dtype, "a number"));
    }
    let all = |a: &[usize], b: &[usize]| a.iter().chain(b).copied().collect::<Shape>();
    check_axes(op, lhs, &all(lhs_batch, lhs_contract))?;
    check_axes(op, rhs, &all(rhs_batch, rhs_contract))?;
    for (ls, rs, what) in [(lhs_batch, rhs_batch, "batch"), (lhs_contract, rhs_contract, "contracted")] {
        if ls.len() != rs.len() {
            return Err(Error::user(op, format!("{} {what} axes on the left, {} on the right", ls.len(), rs.len())));
        }
        for (&l, &r) in ls.iter().zip(rs) {
            if lhs.shape[l] != rhs.shape[r] {
                let why = format!("{what} axes have lengths {} and {}", lhs.shape[l], rhs.shape[r]);
                return Err(Error::shape_mismatch(op, lhs, rhs, &why));
            }
        }
    }
    let mut shape: Shape = lhs_batch.iter().map(|&a| lhs.shape[a]).collect();
    shape.extend((0..lhs.rank()).filter(|a| !lhs_batch.contains(a) && !lhs_contract.contains(a)).map(|a| lhs.shape[a]));
    shape.extend((0..rhs.rank()).filter(|a| !rhs_batch.contains(a) && !rhs_contract.contains(a)).map(|a| rhs.shape[a]));
    check_size(op, &shape)?;
    Ok(Type { dtype: lhs.dtype, shape })
}

/// A convolution's sizes, read off its attributes and operand types.
#[derive(Clone, Debug)]
pub struct ConvGeometry {
    /// Result type.
    pub out: Type,
    /// Batch size of lhs.
    pub batch: usize,
    /// Input features of lhs.
    pub in_features: usize,
    /// Output features.
    pub out_features: usize,
    /// Input features a kernel position sees (`in_features / feature_groups`).
    pub group_features: usize,
    /// Spatial lengths of lhs, rhs and the result.
    pub lhs_spatial: Shape,
    /// Kernel lengths.
    pub rhs_spatial: Shape,
    /// Result lengths.
    pub out_spatial: Shape,
}

/// Checks a convolution and reads off its sizes.
pub fn conv_geometry(op: &Op, lhs: &Type, rhs: &Type) -> Result<ConvGeometry> {
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
        return Err(Error::internal("convolution", "not a convolution"));
    };
    let name = "convolution";
    if lhs.dtype != rhs.dtype {
        return Err(Error::dtype_mismatch(name, lhs.dtype, rhs.dtype));
    }
    if lhs.dtype == DType::Bool {
        return Err(Error::bad_dtype(name, lhs.dtype, "a number"));
    }
    let r = lhs.rank();
    if r < 2 || rhs.rank() != r {
        return Err(Error::shape_mismatch(
            name,
            lhs,
            rhs,
            "both need a batch/feature pair and equally many spatial axes",
        ));
    }
    let spatial = r - 2;
    for dims in [lhs_dims, rhs_dims, out_dims] {
        check_axes(name, lhs, dims)?;
        if dims.len() != r {
            return Err(Error::user(name, format!("dimension numbers {dims:?} must list all {r} axes")));
        }
    }
    if strides.len() != spatial
        || padding.len() != spatial
        || lhs_dilation.len() != spatial
        || rhs_dilation.len() != spatial
    {
        return Err(Error::user(name, format!("strides, padding and dilations need {spatial} entries each")));
    }
    if strides.iter().chain(lhs_dilation).chain(rhs_dilation).any(|&s| s == 0) {
        return Err(Error::user(name, "strides and dilations must be at least 1"));
    }
    let (batch, in_features) = (lhs.shape[lhs_dims[0]], lhs.shape[lhs_dims[1]]);
    let (out_features, group_features) = (rhs.shape[rhs_dims[0]], rhs.shape[rhs_dims[1]]);
    let (fg, bg) = (*feature_groups, *batch_groups);
    if fg == 0 || bg == 0 || (fg > 1 && bg > 1) {
        return Err(Error::user(
            name,
            format!("feature_groups {fg} and batch_groups {bg}: at least 1, and one of them 1"),
        ));
    }
    if group_features.checked_mul(fg) != Some(in_features) || out_features % fg != 0 {
        return Err(Error::shape_mismatch(
            name,
            lhs,
            rhs,
            &format!(
                "{in_features} input features in {fg} groups against a kernel of {group_features} -> {out_features}"
            ),
        ));
    }
    if batch % bg != 0 || out_features % bg != 0 {
        return Err(Error::user(
            name,
            format!("batch {batch} and features {out_features} must divide by {bg} batch groups"),
        ));
    }
    let lhs_spatial: Shape = lhs_dims[2..].iter().map(|&a| lhs.shape[a]).collect();
    let rhs_spatial: Shape = rhs_dims[2..].iter().map(|&a| rhs.shape[a]).collect();
    let mut out_spatial = Shape::new();
    for i in 0..spatial {
        let base = padded_length(name, lhs_spatial[i], lhs_dilation[i], padding[i])?;
        let window = padded_length(name, rhs_spatial[i], rhs_dilation[i], (0, 0))?;
        out_spatial.push(if base < window || base <= 0 || window == 0 {
            0
        } else {
            ((base - window) / strides[i] as i64 + 1) as usize
        });
    }
    let mut shape = Shape::from_elem(0, r);
    shape[out_dims[0]] = batch / bg;
    shape[out_dims[1]] = out_features;
    for i in 0..spatial {
        shape[out_dims[2 + i]] = out_spatial[i];
    }
    check_size(name, &shape)?;
    let out = lhs.with_shape(&shape);
    Ok(ConvGeometry { out, batch, in_features, out_features, group_features, lhs_spatial, rhs_spatial, out_spatial })
}
