//! Shape rule of the discrete Fourier transform.

use super::{FftKind, Op};
use crate::{DType, Error, Result, Shape, Type};

/// The result of transforming the last `lengths.len()` axes of `x`.
pub(super) fn fft(kind: FftKind, lengths: &[usize], x: &Type) -> Result<Type> {
    let op = Op::Fft { kind, lengths: lengths.into() };
    let name = op.name();
    let (accepts, expected) = match kind {
        FftKind::Rfft => (matches!(x.dtype, DType::F32 | DType::F64), "f32 or f64"),
        _ => (x.dtype.is_complex(), "complex"),
    };
    if !accepts {
        return Err(Error::bad_dtype(kind.name(), x.dtype, expected));
    }
    if lengths.is_empty() || lengths.len() > x.rank() {
        return Err(Error::user(name, format!("{} lengths for {x}: one for each transformed axis", lengths.len())));
    }
    let first = x.rank() - lengths.len();
    let mut wanted: Shape = x.shape[..first].iter().chain(lengths).copied().collect();
    let mut out = wanted.clone();
    let half = |n: usize| if n == 0 { 0 } else { n / 2 + 1 };
    let last = x.rank() - 1;
    match kind {
        FftKind::Rfft => out[last] = half(out[last]),
        FftKind::Irfft => wanted[last] = half(wanted[last]),
        FftKind::Fft | FftKind::Ifft => {}
    }
    if wanted != x.shape {
        let why = format!("{} to lengths {lengths:?} takes {:?}", kind.name(), &wanted[first..]);
        return Err(Error::user(name, format!("{x} does not fit: {why}")).help("pad or slice the operand first"));
    }
    let dtype = match kind {
        FftKind::Rfft => x.dtype.complex().unwrap_or(x.dtype),
        FftKind::Irfft => x.dtype.real(),
        FftKind::Fft | FftKind::Ifft => x.dtype,
    };
    Ok(Type { dtype, shape: out })
}
