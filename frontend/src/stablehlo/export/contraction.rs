//! Products, convolutions, Fourier transforms.

use super::writer::{Writer, array, list, pairs};
use gradloom_ir::{Builder, Error, FftKind, Op, Result, Shape, Type, Value, Values};
use smallvec::smallvec;

pub(super) fn lower(w: &mut Writer, op: &Op, args: &[Value], ty: &Type) -> Result<Values> {
    if args.iter().any(|&a| w.ty(a).numel() == 0) {
        return Ok(smallvec![w.full(ty, 0.0)]); // a sum of nothing
    }
    match op {
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
            let attrs = format!(
                "dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = {}, rhs_batching_dimensions = {}, \
                 lhs_contracting_dimensions = {}, rhs_contracting_dimensions = {}>",
                list(lhs_batch),
                list(rhs_batch),
                list(lhs_contract),
                list(rhs_contract)
            );
            Ok(smallvec![product(w, "dot_general", args, &attrs, ty)])
        }
        Op::Convolution { .. } => convolution(w, op, args, ty),
        Op::Fft { kind, lengths } => fft(w, *kind, lengths, args, ty),
        _ => Err(Error::internal(op.name(), "is no contraction")),
    }
}

/// A sum of products, which of 16-bit floats is made in f32.
fn product(w: &mut Writer, name: &str, args: &[Value], attrs: &str, ty: &Type) -> Value {
    let wide = w.one(name, args, attrs, &ty.with_dtype(ty.dtype.accumulator()));
    w.convert(wide, ty.dtype)
}

/// `[b, 0, f]`: what stands at each axis, `dims` being where the batch, the feature and the spatial axes stand.
fn layout(dims: &[usize], first: &str, second: &str) -> String {
    let mut names = vec![String::new(); dims.len()];
    for (i, &at) in dims.iter().enumerate() {
        names[at] = match i {
            0 => first.to_string(),
            1 => second.to_string(),
            i => (i - 2).to_string(),
        };
    }
    format!("[{}]", names.join(", "))
}

fn convolution(w: &mut Writer, op: &Op, args: &[Value], ty: &Type) -> Result<Values> {
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
        return Err(Error::internal(op.name(), "is no convolution"));
    };
    let attrs = format!(
        "dimension_numbers = #stablehlo.conv<{}x{}->{}>, window_strides = {}, padding = {}, lhs_dilation = {}, \
         rhs_dilation = {}, feature_group_count = {feature_groups} : i64, batch_group_count = {batch_groups} : i64",
        layout(lhs_dims, "b", "f"),
        layout(rhs_dims, "o", "i"),
        layout(out_dims, "b", "f"),
        array(strides),
        pairs(padding),
        array(lhs_dilation),
        array(rhs_dilation),
    );
    Ok(smallvec![product(w, "convolution", args, &attrs, ty)])
}

/// Most axes that XLA transforms at once.
const MAX_AXES: usize = 3;

fn fft(w: &mut Writer, kind: FftKind, lengths: &[usize], args: &[Value], ty: &Type) -> Result<Values> {
    if lengths.len() > MAX_AXES {
        return w.composed(args, |b, x| axis_by_axis(b, kind, lengths, x[0]));
    }
    let name = kind.name().to_ascii_uppercase();
    let attrs = format!("fft_type = #stablehlo<fft_type {name}>, fft_length = {}", array(lengths));
    Ok(smallvec![w.one("fft", args, &attrs, ty)])
}

/// One axis after the other; the last one, which may be halved, first or last.
fn axis_by_axis(b: &mut Builder, kind: FftKind, lengths: &[usize], x: Value) -> Result<Vec<Value>> {
    let last = lengths.len() - 1;
    let (inner, order): (FftKind, Vec<usize>) = match kind {
        FftKind::Fft | FftKind::Rfft => (FftKind::Fft, (0..=last).rev().collect()),
        FftKind::Ifft | FftKind::Irfft => (FftKind::Ifft, (0..=last).collect()),
    };
    let mut x = x;
    for i in order {
        let rank = b.ty(x).rank();
        let axis = rank - lengths.len() + i;
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(axis, rank - 1);
        let kind = if i == last { kind } else { inner };
        x = b.transpose(x, &perm);
        x = b.op(Op::Fft { kind, lengths: Shape::from_elem(lengths[i], 1) }, &[x]);
        x = b.transpose(x, &perm);
    }
    Ok(vec![x])
}
