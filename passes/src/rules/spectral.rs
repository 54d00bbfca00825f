//! Rules of the discrete Fourier transform, which is linear and works on trailing axes.

use super::{BatchArgs, Maybe, Operand, misrouted};
use gradloom_ir::{Builder, FftKind, Op, Result, Type, Unary, Value, Values};
use smallvec::smallvec;

/// The same transform of the tangent.
pub(super) fn jvp(b: &mut Builder, op: &Op, t: &[Option<Value>]) -> Result<Maybe> {
    Ok(smallvec![t[0].map(|t| b.op(op.clone(), &[t]))])
}

/// The matrix of a transform is symmetric; pairings are Re(ct t), without conjugation.
pub(super) fn transpose(b: &mut Builder, op: &Op, args: &[Operand], ct: &[Option<Value>]) -> Result<Maybe> {
    let Op::Fft { kind, lengths } = op else { return misrouted(op) };
    let Some(ct) = ct[0] else { return Ok(smallvec![None]) };
    let operand = args[0].ty(b).clone();
    Ok(smallvec![Some(match kind {
        FftKind::Fft | FftKind::Ifft => b.op(op.clone(), &[ct]),
        // y[k] = sum_n x[n] w^(nk) for k up to n / 2: x_bar = Re(fft(ct, 0, 0, ..))
        FftKind::Rfft => {
            let last = operand.rank() - 1;
            let missing = operand.shape[last] - b.ty(ct).shape[last];
            let ct = pad_end(b, ct, last, missing);
            let y = b.op(Op::Fft { kind: FftKind::Fft, lengths: lengths.clone() }, &[ct]);
            b.unary(Unary::Real, y)
        }
        // y[n] = 1/N sum_k m[k] Re(x[k] w^(-nk)), m = 1 at k = 0 and n / 2, else 2: x_bar = m / N conj(rfft(ct))
        FftKind::Irfft => {
            let y = b.op(Op::Fft { kind: FftKind::Rfft, lengths: lengths.clone() }, &[ct]);
            let (re, im) = (b.unary(Unary::Real, y), b.unary(Unary::Imag, y));
            let weights = weights(b, &operand, lengths);
            let im = b.neg(im);
            let (re, im) = (b.mul(re, weights), b.mul(im, weights));
            b.complex(re, Some(im))
        }
    })])
}

/// `x` with `n` zeros more at the end of `axis`.
fn pad_end(b: &mut Builder, x: Value, axis: usize, n: usize) -> Value {
    let mut ty = b.ty(x).clone();
    ty.shape[axis] = n;
    let zeros = b.full(&ty, 0.0);
    if n == 0 { x } else { b.concatenate(&[x, zeros], axis) }
}

/// How often each frequency of the last axis counts, over the number of points.
fn weights(b: &mut Builder, operand: &Type, lengths: &[usize]) -> Value {
    let last = operand.rank() - 1;
    let (n, half) = (lengths[lengths.len() - 1], operand.shape[last]);
    let points = lengths.iter().product::<usize>() as f64;
    let real = operand.with_dtype(operand.dtype.real());
    let column = |count: usize| {
        let mut ty = real.clone();
        ty.shape[last] = count;
        ty
    };
    let once = 1.0 / points;
    let inner = half.saturating_sub(if n.is_multiple_of(2) { 2 } else { 1 });
    let mut parts = vec![b.full(&column(1.min(half)), once)];
    parts.push(b.full(&column(inner), 2.0 * once));
    if n.is_multiple_of(2) && half > 1 {
        parts.push(b.full(&column(1), once));
    }
    b.concatenate(&parts, last)
}

/// The transform works on the last axes: the batch axis in front is one more outer axis.
pub(super) fn batch(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let x = a.materialise(b, 0);
    b.emit(op.clone(), &[x])
}
