//! dot_general and convolution.

use super::scalar::ScalarOps;
use super::shaping::transpose;
use super::strided::{elements, for_each_index, undefined};
use crate::{Binary, Literal, Op, Result, Type, conv_geometry, row_major_strides, with_element};

/// acc + x y, rounded twice.
fn multiply_add<T: ScalarOps>(acc: T, x: T, y: T) -> Option<T> {
    T::binary(Binary::Add, acc, T::binary(Binary::Mul, x, y)?)
}

/// `axes` are the batch and contracted axes of lhs, then those of rhs.
pub(super) fn dot_general(lhs: &Literal, rhs: &Literal, axes: [&[usize]; 4], ty: &Type) -> Result<Literal> {
    let [lhs_batch, lhs_contract, rhs_batch, rhs_contract] = axes;
    let free = |x: &Literal, batch: &[usize], contract: &[usize]| -> Vec<usize> {
        (0..x.ty().rank()).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
    };
    let (lhs_free, rhs_free) = (free(lhs, lhs_batch, lhs_contract), free(rhs, rhs_batch, rhs_contract));
    let count = |x: &Literal, axes: &[usize]| -> usize { axes.iter().map(|&a| x.ty().shape[a]).product() };
    let (b, k) = (count(lhs, lhs_batch), count(lhs, lhs_contract));
    let (m, n) = (count(lhs, &lhs_free), count(rhs, &rhs_free));
    // matrices of m rows by k, and k rows by n
    let l = transpose(lhs, &[lhs_batch, &lhs_free, lhs_contract].concat());
    let r = transpose(rhs, &[rhs_batch, rhs_contract, &rhs_free].concat());
    with_element!(ty.dtype, T => {
        let (l, r) = (elements::<T>(&l)?, elements::<T>(&r)?);
        let mut out = vec![<T as ScalarOps>::ZERO; b * m * n];
        let mut defined = true;
        for row in 0..(if n == 0 { 0 } else { b * m }) {
            let out = &mut out[row * n..][..n];
            for p in 0..k {
                let x = l[row * k + p];
                let ys = &r[(row / m * k + p) * n..][..n];
                for (o, &y) in out.iter_mut().zip(ys) {
                    match multiply_add::<T>(*o, x, y) {
                        Some(sum) => *o = sum,
                        None => defined = false,
                    }
                }
            }
        }
        if defined { Ok(Literal::new(&ty.shape, &out)) } else { Err(undefined("dot_general", ty)) }
    })
}

pub(super) fn convolution(op: &Op, lhs: &Literal, rhs: &Literal) -> Result<Literal> {
    let g = conv_geometry(op, lhs.ty(), rhs.ty())?;
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
        return Err(undefined(op.name(), lhs.ty()));
    };
    let spatial = strides.len();
    // where the kernel position `k` of the window of output `o` lies on spatial axis `i` of lhs
    let source = |o: usize, k: usize, i: usize| -> Option<usize> {
        let at = (o * strides[i]) as i128 + (k * rhs_dilation[i]) as i128 - i128::from(padding[i].0);
        let at = usize::try_from(at).ok()?;
        (at % lhs_dilation[i] == 0).then_some(at / lhs_dilation[i])
    };
    let lhs_batch_per_group = g.batch / batch_groups;
    let (per_feature_group, per_batch_group) = (g.out_features / feature_groups, g.out_features / batch_groups);
    let lhs_shape = &lhs.ty().shape;
    let (lhs_strides, rhs_strides) = (row_major_strides(lhs_shape), row_major_strides(&rhs.ty().shape));
    with_element!(g.out.dtype, T => {
        let (l, r) = (elements::<T>(lhs)?, elements::<T>(rhs)?);
        let mut out: Vec<Option<T>> = Vec::with_capacity(g.out.numel());
        for_each_index(&g.out.shape, |index| {
            let (batch, feature) = (index[out_dims[0]], index[out_dims[1]]);
            let image = feature / per_batch_group * lhs_batch_per_group + batch;
            let first = feature / per_feature_group * g.group_features;
            let start_l = image * lhs_strides[lhs_dims[0]] + first * lhs_strides[lhs_dims[1]];
            let start_r = feature * rhs_strides[rhs_dims[0]];
            let mut acc = Some(<T as ScalarOps>::ZERO);
            for_each_index(&g.rhs_spatial, |k| {
                let (mut at_l, mut at_r) = (start_l, start_r);
                for i in 0..spatial {
                    let (axis_l, axis_r) = (lhs_dims[2 + i], rhs_dims[2 + i]);
                    // outside lhs is padding, and zeros add nothing
                    let at = source(index[out_dims[2 + i]], k[i], i).filter(|&at| at < lhs_shape[axis_l]);
                    let Some(at) = at else { return };
                    at_l += at * lhs_strides[axis_l];
                    at_r += k[i] * rhs_strides[axis_r];
                }
                for f in 0..g.group_features {
                    let (x, y) = (l[at_l + f * lhs_strides[lhs_dims[1]]], r[at_r + f * rhs_strides[rhs_dims[1]]]);
                    acc = acc.and_then(|acc| multiply_add::<T>(acc, x, y));
                }
            });
            out.push(acc);
        });
        let out: Option<Vec<T>> = out.into_iter().collect();
        Ok(Literal::new(&g.out.shape, &out.ok_or_else(|| undefined(op.name(), lhs.ty()))?))
    })
}
