//! Rules of the discrete Fourier transform, which is linear and works on trailing axes.

use super::{BatchArgs, Maybe, Operand, misrouted};
use gradloom_ir::{Binary, Builder, Comparison, DType, FftKind, Op, Result, Type, Unary, Value, Values};
use smallvec::smallvec;

/// The same transform of the tangent.
pub(super) fn jvp(b: &mut Builder, op: &Op, t: &[Option<Value>]) -> Result<Maybe> {
    Ok(smallvec![t[0].map(|t| b.op(op.clone(), &[t]))])
}

/// The matrix of a transform is symmetric; pairings are Re(ct t), without conjugation.
pub(super) fn transpose(b: &mut Builder, op: &Op, _: &[Operand], ct: &[Option<Value>]) -> Result<Maybe> {
    let Op::Fft { kind, lengths } = op else { return misrouted(op) };
    let Some(ct) = ct[0] else { return Ok(smallvec![None]) };
    Ok(smallvec![Some(match kind {
        FftKind::Fft | FftKind::Ifft => b.op(op.clone(), &[ct]),
        // y[k] = sum_n x[n] w^(nk) for k up to n / 2: x_bar[n] = sum_k Re(conj(ct[k]) w^(-nk)) = irfft(N / m conj(ct))
        FftKind::Rfft => {
            let z = conjugate_by_count(b, ct, lengths, |points, m| points / m);
            b.op(Op::Fft { kind: FftKind::Irfft, lengths: lengths.clone() }, &[z])
        }
        // y[n] = 1/N sum_k m[k] Re(x[k] w^(-nk)): x_bar = m / N conj(rfft(ct))
        FftKind::Irfft => {
            let y = b.op(Op::Fft { kind: FftKind::Rfft, lengths: lengths.clone() }, &[ct]);
            conjugate_by_count(b, y, lengths, |points, m| m / points)
        }
    })])
}

/// The conjugate of half a spectrum, scaled by `factor(N, m)`: N is the number of points, m how many frequencies of the whole
/// spectrum each stands for: 1 at 0 and n / 2 of the last axis, else 2.
fn conjugate_by_count(b: &mut Builder, z: Value, lengths: &[usize], factor: impl Fn(f64, f64) -> f64) -> Value {
    let ty = b.ty(z).with_dtype(b.ty(z).dtype.real());
    let last = ty.rank() - 1;
    let (n, half) = (lengths[lengths.len() - 1], ty.shape[last]);
    let points = lengths.iter().product::<usize>() as f64;
    let column = Type::new(ty.dtype, &[half]);
    // as wide as the numbers that loop nests have beside it
    let index = if half <= i32::MAX as usize { DType::I32 } else { DType::I64 };
    let k = b.iota(index, &[half], 0);
    let at = |b: &mut Builder, i: usize| {
        let i = b.full(&column.with_dtype(index), i as f64);
        b.compare(Comparison::Eq, k, i)
    };
    let mut single = at(b, 0);
    if n.is_multiple_of(2) {
        let middle = at(b, n / 2);
        single = b.binary(Binary::Or, single, middle);
    }
    let (one, two) = (b.full(&column, factor(points, 1.0)), b.full(&column, factor(points, 2.0)));
    let weights = b.select(single, one, two);
    let weights = b.broadcast(weights, &ty.shape, &[last]);
    let (re, im) = (b.unary(Unary::Real, z), b.unary(Unary::Imag, z));
    let im = b.neg(im);
    let (re, im) = (b.mul(re, weights), b.mul(im, weights));
    b.complex(re, Some(im))
}

/// The transform works on the last axes: the batch axis in front is one more outer axis.
pub(super) fn batch(b: &mut Builder, op: &Op, a: &BatchArgs) -> Result<Values> {
    let x = a.materialise(b, 0);
    b.emit(op.clone(), &[x])
}
