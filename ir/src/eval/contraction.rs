//! dot_general and convolution.

use super::scalar::ScalarOps;
use super::shaping::transpose;
use super::strided::{elements, for_each_index, position, undefined};
use crate::{Binary, Literal, Op, Result, Shape, Type, conv_geometry, with_element};

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
    let (lhs_shape, rhs_shape) = (&lhs.ty().shape, &rhs.ty().shape);
    with_element!(g.out.dtype, T => {
        let (l, r) = (elements::<T>(lhs)?, elements::<T>(rhs)?);
        let mut out: Vec<Option<T>> = Vec::with_capacity(g.out.numel());
        for_each_index(&g.out.shape, |index| {
            let (batch, feature) = (index[out_dims[0]], index[out_dims[1]]);
            let mut at_l = Shape::from_elem(0, spatial + 2);
            let mut at_r = Shape::from_elem(0, spatial + 2);
            at_l[lhs_dims[0]] = feature / per_batch_group * lhs_batch_per_group + batch;
            at_r[rhs_dims[0]] = feature;
            let first = feature / per_feature_group * g.group_features;
            let mut acc = Some(<T as ScalarOps>::ZERO);
            for_each_index(&g.rhs_spatial, |k| {
                for i in 0..spatial {
                    at_l[lhs_dims[2 + i]] = source(index[out_dims[2 + i]], k[i], i).unwrap_or(usize::MAX);
                    at_r[rhs_dims[2 + i]] = k[i];
                }
                for f in 0..g.group_features {
                    at_l[lhs_dims[1]] = first + f;
                    at_r[rhs_dims[1]] = f;
                    // outside lhs is padding, and zeros add nothing
                    if let (Some(i), Some(j)) = (position(lhs_shape, &at_l), position(rhs_shape, &at_r)) {
                        acc = acc.and_then(|acc| multiply_add::<T>(acc, l[i], r[j]));
                    }
                }
            });
            out.push(acc);
        });
        let out: Option<Vec<T>> = out.into_iter().collect();
        Ok(Literal::new(&g.out.shape, &out.ok_or_else(|| undefined(op.name(), lhs.ty()))?))
    })
}
