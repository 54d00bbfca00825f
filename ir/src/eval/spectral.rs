//! The discrete Fourier transform, axis by axis, in f64.

use super::strided::{elements, for_each_index, strides};
use crate::{Complex, DType, FftKind, Literal, Result, Type};
use std::f64::consts::TAU;

type C = Complex<f64>;

/// `e^(sign 2 pi i k / n)`
fn root(k: usize, n: usize, sign: f64) -> C {
    let angle = sign * TAU * (k % n) as f64 / n as f64;
    C::new(angle.cos(), angle.sin())
}

/// sum_j x[j] e^(sign 2 pi i j k / n), by the least prime factor of n (Cooley and Tukey 1965).
fn dft(x: &[C], sign: f64) -> Vec<C> {
    let n = x.len();
    let Some(p) = (2..=n).find(|p| n.is_multiple_of(*p)) else { return x.to_vec() };
    if p == n {
        return (0..n).map(|k| (0..n).map(|j| x[j] * root(j * k, n, sign)).sum()).collect();
    }
    let parts: Vec<Vec<C>> =
        (0..p).map(|r| dft(&x.iter().skip(r).step_by(p).copied().collect::<Vec<C>>(), sign)).collect();
    let m = n / p;
    (0..n).map(|k| (0..p).map(|r| parts[r][k % m] * root(r * k, n, sign)).sum()).collect()
}

/// Transforms one axis of a complex array in place.
fn along(data: &mut [C], shape: &[usize], axis: usize, sign: f64) {
    let by = strides(shape);
    let mut starts = shape.to_vec();
    starts[axis] = starts[axis].min(1);
    for_each_index(&starts, |index| {
        let at: i64 = index.iter().zip(&by).map(|(&i, s)| i as i64 * s).sum();
        let place = |j: usize| (at + j as i64 * by[axis]) as usize;
        let lane: Vec<C> = (0..shape[axis]).map(|j| data[place(j)]).collect();
        dft(&lane, sign).into_iter().enumerate().for_each(|(j, y)| data[place(j)] = y);
    });
}

fn read(x: &Literal) -> Result<Vec<C>> {
    Ok(match x.ty().dtype {
        DType::C64 => elements::<Complex<f32>>(x)?.iter().map(|z| C::new(z.re.into(), z.im.into())).collect(),
        DType::C128 => elements::<C>(x)?,
        _ => x.to_f64().into_iter().map(|x| C::new(x, 0.0)).collect(),
    })
}

fn write(ty: &Type, data: impl Iterator<Item = C>) -> Literal {
    match ty.dtype {
        DType::C64 => {
            let narrow = data.map(|z| Complex::new(z.re as f32, z.im as f32)).collect::<Vec<_>>();
            Literal::new(&ty.shape, &narrow)
        }
        DType::C128 => Literal::new(&ty.shape, &data.collect::<Vec<_>>()),
        DType::F32 => Literal::new(&ty.shape, &data.map(|z| z.re as f32).collect::<Vec<_>>()),
        _ => Literal::new(&ty.shape, &data.map(|z| z.re).collect::<Vec<_>>()),
    }
}

pub(super) fn fft(kind: FftKind, lengths: &[usize], x: &Literal, ty: &Type) -> Result<Literal> {
    let rank = x.ty().rank();
    let first = rank - lengths.len();
    let full: Vec<usize> = x.ty().shape[..first].iter().chain(lengths).copied().collect();
    let mut data = read(x)?;
    if full.contains(&0) {
        return Ok(write(ty, std::iter::empty()));
    }
    let scale = 1.0 / lengths.iter().product::<usize>() as f64;
    match kind {
        FftKind::Fft | FftKind::Ifft => {
            let sign = if kind == FftKind::Fft { -1.0 } else { 1.0 };
            (first..rank).for_each(|axis| along(&mut data, &full, axis, sign));
            let scale = if kind == FftKind::Fft { 1.0 } else { scale };
            Ok(write(ty, data.into_iter().map(|z| z * scale)))
        }
        FftKind::Rfft => {
            (first..rank).for_each(|axis| along(&mut data, &full, axis, -1.0));
            let (n, half) = (full[rank - 1], ty.shape[rank - 1]);
            Ok(write(ty, data.chunks(n).flat_map(|row| row[..half].to_vec())))
        }
        FftKind::Irfft => {
            let half = x.ty().shape[rank - 1];
            let n = full[rank - 1];
            (first..rank - 1).for_each(|axis| along(&mut data, &x.ty().shape, axis, 1.0));
            // the other half of each row is the conjugate; imaginary parts that would have to be 0 count as 0
            let rows = data.chunks(half).flat_map(|row| {
                let full: Vec<C> = (0..n)
                    .map(|k| match k {
                        k if k == n - k || k == 0 => C::new(row[k].re, 0.0),
                        k if k < half => row[k],
                        k => row[n - k].conj(),
                    })
                    .collect();
                dft(&full, 1.0)
            });
            Ok(write(ty, rows.map(|z| z * scale).collect::<Vec<_>>().into_iter()))
        }
    }
}
