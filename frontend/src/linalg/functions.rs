//! Functions of matrices.

use super::decomposition::{eigh, results};
use super::product::block_diag;
use super::{identity, matrix, same_dtype, square, symmetric, whole};
use crate::tensor::axes::settle;
use crate::tensor::{Tensor, apply};
use crate::transform::{cond, fori_loop, jvp, stop_gradient};
use gradloom_ir::{DType, Error, Loc, Op, Result};

/// Squarings [`expm`] can do: enough for matrices of 1-norm up to 5 * 2^24 (f64).
const MAX_SQUARINGS: i32 = 24;

/// The matrix exponential (Higham 2005): the Padé approximant of order 13 of a / 2^s, squared s times. NaN if the 1-norm
/// exceeds about 9e7, where the exponential overflows anyway unless the spectrum is far to the left.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{linalg, prelude::*};
/// let generator = Tensor::from_slice([2, 2], &[0.0f64, -1.0, 1.0, 0.0]);
/// let turn = linalg::expm(&(&generator * std::f64::consts::PI));
/// assert!((turn + Tensor::eye(2).to(DType::F64)).abs().max(..).item::<f64>()? < 1e-14);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn expm(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    match square("expm", a) {
        Err(e) => Tensor::failed(e.at(&loc)),
        Ok(0) => a.clone(),
        Ok(n) => whole(a, &loc, |a| expm_of(a, n)),
    }
}

fn expm_of(a: &Tensor, n: usize) -> Tensor {
    // the order-13 approximant is exact to rounding up to this 1-norm
    let reach = if a.dtype().real() == DType::F32 { 4.25 } else { 5.371920351148152 };
    let norm = stop_gradient(&a.abs().sum(-2).max(-1));
    let wanted = ((norm / reach).maximum(1.0).log() / std::f64::consts::LN_2).ceil();
    let within = wanted.le(f64::from(MAX_SQUARINGS));
    let squarings = wanted.minimum(f64::from(MAX_SQUARINGS)).to(DType::I32);
    let scale = wanted.full_like(0.5).pow(squarings.to(wanted.dtype())).to(a.dtype());
    let x = a * scale.expand_dims([-2, -1]);
    let one = identity(n, a.dtype());
    let c = pade_coefficients();
    let x2 = x.matmul(&x);
    let x4 = x2.matmul(&x2);
    let x6 = x4.matmul(&x2);
    // c_k+6 x^6 + c_k+4 x^4 + c_k+2 x^2
    let sum = |k: usize| &x6 * c[k + 6] + &x4 * c[k + 4] + &x2 * c[k + 2];
    // c_k + c_k+2 x^2 + .. + c_k+12 x^12
    let part = |k: usize| x6.matmul(&sum(k + 6)) + sum(k) + &one * c[k];
    // odd and even powers: x^13 c13 + .., x^12 c12 + ..
    let odd = x.matmul(&part(1));
    let even = part(0);
    let r = super::solve(&(&even - &odd), &(&even + &odd));
    let most = squarings.max(..);
    let squared = fori_loop(
        0..MAX_SQUARINGS,
        |i, r: &Tensor| {
            let again = i.lt(&most);
            let this = i.lt(&squarings).expand_dims([-2, -1]);
            cond(
                &again,
                |(r, this): &(Tensor, Tensor)| this.select(r.matmul(r), r),
                |(r, _): &(Tensor, Tensor)| r.clone(),
                &(r.clone(), this),
            )
        },
        &r,
    );
    within.expand_dims([-2, -1]).select(squared, f64::NAN)
}

/// c_k = (26 - k)! 13! / (26! k! (13 - k)!), padded with a zero.
fn pade_coefficients() -> [f64; 15] {
    let mut c = [0.0; 15];
    c[0] = 1.0;
    for k in 1..14 {
        c[k] = c[k - 1] * (14 - k) as f64 / ((27 - k) * k) as f64;
    }
    c
}

/// f(a) = v f(w) vᴴ of the symmetric (complex: Hermitian) part of `a` = v diag(w) vᴴ, for an elementwise `f`.
///
/// First and second derivatives are right at repeated eigenvalues: they are taken with divided differences of `f` (Daleckii
/// and Krein 1965), not through eigenvectors. A third derivative is an error. A traced value that `f` captures can be
/// differentiated in forward mode.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{linalg, prelude::*};
/// let a = Tensor::eye(3);
/// let g = grad(|a: &Tensor| linalg::spd_function(a, |w| w.log()).sum(..))(&a);
/// assert_eq!(g.to_vec::<f32>()?, [1.0; 9]);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn spd_function(a: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let loc = Loc::caller();
    spectral("spd_function", a, &loc, |w| {
        let d0 = f(w);
        if d0.ty_ref() != w.ty_ref() {
            return vec![d0];
        }
        let slope = |x: &Tensor| jvp(&f, x, &x.ones_like()).1;
        let curvature = |x: &Tensor| jvp(slope, x, &x.ones_like()).1;
        let d1 = first_differences(w, &d0, &slope);
        let d2 = second_differences(w, &d1, &curvature);
        vec![d0, d1, d2]
    })
}

/// The value of the order-0 form with the tables that `tables` makes of the eigenvalues.
fn spectral(op: &str, a: &Tensor, loc: &Loc, tables: impl Fn(&Tensor) -> Vec<Tensor>) -> Tensor {
    if let Err(e) = square(op, a) {
        return Tensor::failed(e.at(loc));
    }
    whole(a, loc, |a| {
        let a = symmetric(a);
        let run = || -> Result<Tensor> {
            let [w, v] = results(Op::Eigh { vectors: true }, &[&stop_gradient(&a)], loc)?;
            let tables = tables(&w);
            tables[0].check()?;
            if tables[0].ty_ref() != w.ty_ref() {
                let what = format!("the function maps {} to {}", w.ty_ref(), tables[0].ty_ref());
                return Err(Error::user(op, what).help("it must work element by element and keep the dtype"));
            }
            let operands: Vec<&Tensor> = [&a, &v].into_iter().chain(&tables).collect();
            Ok(apply(Op::SpectralForm { order: 0 }, &operands, loc))
        };
        settle(loc, run())
    })
}

/// Nodes and weights of Gauss and Legendre on 0..1.
fn quadrature(n: usize) -> (Vec<f64>, Vec<f64>) {
    (0..n)
        .map(|i| {
            let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..50 {
                let (mut before, mut p) = (1.0, x);
                for k in 2..=n {
                    (before, p) = (p, ((2 * k - 1) as f64 * x * p - (k - 1) as f64 * before) / k as f64);
                }
                slope = n as f64 * (x * p - before) / (x * x - 1.0);
                x -= p / slope;
            }
            ((1.0 - x) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
        })
        .unzip()
}

/// Two quadratures that agree this well are both right; else their span is wide enough for difference quotients.
fn agreement(dtype: DType) -> f64 {
    if dtype == DType::F32 { 1e-5 } else { 1e-9 }
}

fn constants(values: &[f64], dtype: DType) -> Tensor {
    Tensor::from_vec(values.to_vec()).to(dtype)
}

/// x / y where `far`, without a division by 0 elsewhere.
fn quotient(x: &Tensor, y: &Tensor, far: &Tensor) -> Tensor {
    x / far.select(y, 1.0)
}

/// f[a, b] at all pairs: the mean of f' between them where quadrature gives it, else (f(a) - f(b)) / (a - b).
fn first_differences(w: &Tensor, f: &Tensor, slope: &impl Fn(&Tensor) -> Tensor) -> Tensor {
    let (a, b) = (w.expand_dims(-1), w.expand_dims(-2));
    let gap = &b - &a;
    let mean = |n: usize| {
        let (nodes, weights) = quadrature(n);
        let at = a.expand_dims(-1) + gap.expand_dims(-1) * constants(&nodes, w.dtype());
        (slope(&at) * constants(&weights, w.dtype())).sum(-1)
    };
    let (fine, coarse) = (mean(8), mean(5));
    let near = (&fine - &coarse).abs().le(fine.abs() * agreement(w.dtype()));
    let far = gap.ne(0.0);
    let apart = quotient(&(f.expand_dims(-2) - f.expand_dims(-1)), &gap, &far);
    far.select(near.select(&fine, &apart), &fine)
}

/// f[a, b, c] at all triples: the mean of f'' over their triangle where quadrature gives it, else the quotient of first
/// differences over the widest gap.
fn second_differences(w: &Tensor, d1: &Tensor, curvature: &impl Fn(&Tensor) -> Tensor) -> Tensor {
    let (a, b, c) = (w.expand_dims([-2, -1]), w.expand_dims([-3, -1]), w.expand_dims([-3, -2]));
    let mean = |n: usize| {
        // t in 0..1, s in 0..t
        let (nodes, weights) = quadrature(n);
        let pairs = || nodes.iter().zip(&weights).flat_map(|x| nodes.iter().zip(&weights).map(move |y| (x, y)));
        let t: Vec<f64> = pairs().map(|((t, _), _)| *t).collect();
        let s: Vec<f64> = pairs().map(|((t, _), (u, _))| t * u).collect();
        let weight: Vec<f64> = pairs().map(|((t, p), (_, q))| t * p * q).collect();
        let [t, s, weight] = [t, s, weight].map(|x| constants(&x, w.dtype()));
        let at = a.expand_dims(-1) + (&b - &a).expand_dims(-1) * t + (&c - &b).expand_dims(-1) * s;
        (curvature(&at) * weight).sum(-1)
    };
    let (fine, coarse) = (mean(6), mean(4));
    let near = (&fine - &coarse).abs().le(fine.abs() * agreement(w.dtype()) * 10.0);
    let (ab, bc, ca) = (&a - &b, &b - &c, &c - &a);
    let of = |axis: i64| d1.expand_dims(axis);
    let (f_ab, f_bc, f_ac) = (of(-1), of(-3), of(-2));
    let width = |x: &Tensor| x.abs();
    let widest_ab = width(&ab).ge(width(&bc)).to(DType::I32) * width(&ab).ge(width(&ca)).to(DType::I32);
    let widest_bc = width(&bc).ge(width(&ca));
    let by = |x: &Tensor, y: &Tensor, gap: &Tensor| quotient(&(x - y), gap, &gap.ne(0.0));
    // f[a, c] - f[b, c] over a - b, and so on around
    let rest = widest_bc.select(by(&f_ab, &f_ac, &bc), by(&f_bc, &f_ab, &ca));
    let apart = widest_ab.ne(0).select(by(&f_ac, &f_bc, &ab), rest);
    let spread = width(&ab) + width(&bc) + width(&ca);
    spread.gt(0.0).select(near.select(&fine, &apart), &fine)
}

/// The logarithm of a symmetric positive definite matrix.
#[track_caller]
pub fn logm_spd(a: &Tensor) -> Tensor {
    spd_function(a, Tensor::log)
}

/// The power `p` of a symmetric positive definite matrix.
#[track_caller]
pub fn powm_spd(a: &Tensor, p: f64) -> Tensor {
    spd_function(a, |w| w.pow(p))
}

/// The inverse of the square root of a symmetric positive definite matrix.
#[track_caller]
pub fn inv_sqrtm_spd(a: &Tensor) -> Tensor {
    spd_function(a, Tensor::rsqrt)
}

/// The square root of a symmetric positive semidefinite matrix. Its derivatives (three of them) are those of positive
/// definite matrices.
#[track_caller]
pub fn sqrtm_spd(a: &Tensor) -> Tensor {
    let loc = Loc::caller();
    spectral("sqrtm_spd", a, &loc, |w| {
        let mut tables = vec![w.sqrt()];
        tables.extend(root_differences(&tables[0]));
        tables
    })
}

/// The divided differences of orders 1, 2 and 3 of the square root at the squares of `r`:
/// 1 / s_01, -1 / (s_01 s_02 s_12), (r_0 + .. + r_3) / product of all s_ij, where s_ij = r_i + r_j.
fn root_differences(r: &Tensor) -> [Tensor; 3] {
    let at = |place: usize, of: usize| {
        let axes: Vec<i64> = (0..of).filter(|&i| i != place).map(|i| i as i64 - of as i64).collect();
        r.expand_dims(axes)
    };
    let pairs = |of: usize| {
        let sums = (0..of).flat_map(|i| (i + 1..of).map(move |j| (i, j))).map(|(i, j)| at(i, of) + at(j, of));
        sums.fold(None::<Tensor>, |p, s| Some(p.map_or_else(|| s.clone(), |p| p * &s))).unwrap_or_else(|| r.clone())
    };
    let total = at(0, 4) + at(1, 4) + at(2, 4) + at(3, 4);
    let inverse = |x: Tensor| x.ones_like() / x;
    [inverse(pairs(2)), -inverse(pairs(3)), total / pairs(4)]
}

/// `x` with a x + x a = c, for symmetric positive definite `a` (Lyapunov). By the derivative of the square root at a²,
/// so that derivatives (two of them) are right at repeated eigenvalues.
#[track_caller]
pub fn solve_lyapunov_spd(a: &Tensor, c: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || -> Result<Tensor> {
        let op = "solve_lyapunov_spd";
        square(op, a)?;
        same_dtype(op, a, c)?;
        if a.shape() != c.shape() {
            let why = "the matrix and the right-hand side need one shape";
            return Err(Error::shape_mismatch(op, a.ty_ref(), c.ty_ref(), why));
        }
        Ok(whole(&(a.clone(), c.clone()), &loc, |(a, c)| {
            let a = symmetric(a);
            let (w, v) = eigh(&stop_gradient(&a));
            let [d1, d2, d3] = root_differences(&w);
            apply(Op::SpectralForm { order: 1 }, &[&a.matmul(&a), &v, &d1, &d2, &d3, c], &loc)
        }))
    };
    settle(&loc, run())
}

/// `x` with a x + x b = c, for symmetric positive definite `a` and `b` (Sylvester), by [`solve_lyapunov_spd`] of both at
/// once; for others see [`super::solve_sylvester`].
#[track_caller]
pub fn solve_sylvester_spd(a: &Tensor, b: &Tensor, c: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || -> Result<Tensor> {
        let op = "solve_sylvester_spd";
        let (m, n) = (square(op, a)?, square(op, b)?);
        same_dtype(op, a, b)?;
        same_dtype(op, a, c)?;
        if matrix(op, c)? != (m, n) {
            let what = format!("the right-hand side should be {m} x {n}, it is {}", c.ty_ref());
            return Err(Error::user(op, what).help("a is m x m, b is n x n, c and the result are m x n"));
        }
        let both = block_diag(&[a, b]);
        let mut widths = vec![(0, 0); c.ndim()];
        let rank = widths.len();
        (widths[rank - 2], widths[rank - 1]) = ((0, n as i64), (m as i64, 0));
        let x = solve_lyapunov_spd(&both, &c.pad(&widths, 0.0));
        x.check()?;
        Ok(x.slice_axis(rank - 2, 0, m).slice_axis(rank - 1, m, m + n))
    };
    settle(&loc, run())
}
