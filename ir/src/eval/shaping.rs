//! Ops that move elements without computing.

use super::scalar::{ScalarOps, Wide};
use super::strided::{for_each_index, literal, position, strides, view};
use crate::{DType, Literal, Type, with_element};

pub(super) fn iota(dtype: DType, shape: &[usize], axis: usize) -> Literal {
    with_element!(dtype, T => {
        let mut data: Vec<T> = Vec::new();
        for_each_index(shape, |i| data.push(<T as ScalarOps>::narrow(Wide::Int(i[axis] as i128))));
        Literal::new(shape, &data)
    })
}

pub(super) fn broadcast(x: &Literal, shape: &[usize], dims: &[usize]) -> Literal {
    let mut by = vec![0; shape.len()];
    for (a, s) in strides(&x.ty().shape).into_iter().enumerate() {
        by[dims[a]] = if x.ty().shape[a] == 1 { 0 } else { s };
    }
    view(x, &x.ty().with_shape(shape), &by, 0)
}

pub(super) fn transpose(x: &Literal, perm: &[usize]) -> Literal {
    let by = strides(&x.ty().shape);
    let shape: Vec<usize> = perm.iter().map(|&p| x.ty().shape[p]).collect();
    let by: Vec<i64> = perm.iter().map(|&p| by[p]).collect();
    view(x, &x.ty().with_shape(&shape), &by, 0)
}

pub(super) fn slice(x: &Literal, start: &[usize], stride: &[usize], ty: &Type) -> Literal {
    let by = strides(&x.ty().shape);
    let offset = by.iter().zip(start).map(|(s, &i)| s * i as i64).sum();
    // a stride may be larger than any array; where it is, there is one element and no step
    let by: Vec<i64> = by.iter().zip(stride).map(|(s, &k)| s.wrapping_mul(k as i64)).collect();
    view(x, ty, &by, offset)
}

pub(super) fn pad(x: &Literal, value: &Literal, low: &[i64], interior: &[usize], ty: &Type) -> Literal {
    let size = ty.dtype.size();
    let mut bytes = value.bytes().repeat(ty.numel());
    let mut at = 0;
    for_each_index(&x.ty().shape, |index| {
        let target: Option<Vec<usize>> = (0..index.len())
            .map(|a| usize::try_from(i128::from(low[a]) + index[a] as i128 * (interior[a] as i128 + 1)).ok())
            .collect();
        if let Some(i) = target.and_then(|t| position(&ty.shape, &t)) {
            bytes[i * size..(i + 1) * size].copy_from_slice(&x.bytes()[at * size..(at + 1) * size]);
        }
        at += 1;
    });
    literal(ty, bytes)
}

pub(super) fn concatenate(args: &[Literal], axis: usize, ty: &Type) -> Literal {
    let outer: usize = if ty.numel() == 0 { 0 } else { ty.shape[..axis].iter().product() };
    let mut bytes = Vec::with_capacity(ty.bytes());
    for i in 0..outer {
        for x in args {
            let row = x.bytes().len() / outer;
            bytes.extend_from_slice(&x.bytes()[i * row..(i + 1) * row]);
        }
    }
    literal(ty, bytes)
}

pub(super) fn reverse(x: &Literal, axes: &[usize]) -> Literal {
    let ty = x.ty();
    let mut by = strides(&ty.shape);
    let mut offset = 0;
    for &a in axes {
        offset += by[a] * (ty.shape[a] as i64 - 1);
        by[a] = -by[a];
    }
    view(x, ty, &by, offset)
}
