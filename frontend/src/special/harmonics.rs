//! Legendre polynomials and spherical harmonics.

use super::call;
use crate::tensor::Tensor;
use gradloom_ir::{Error, Loc};
use std::f64::consts::PI;

/// Degrees above this are refused: the functions unroll their recurrences.
const MOST_DEGREE: usize = 64;

fn too_high(name: &str, degree: usize, loc: &Loc) -> Option<Tensor> {
    (degree > MOST_DEGREE)
        .then(|| Tensor::failed(Error::limit(name, format!("degree {degree} is above {MOST_DEGREE}")).at(loc)))
}

/// Legendre polynomial P_n(x).
#[track_caller]
pub fn legendre(n: usize, x: &Tensor) -> Tensor {
    let loc = Loc::caller();
    too_high("legendre", n, &loc).unwrap_or_else(|| call("legendre", [x.clone()], |[x]| column(x, None, 0, n).1, &loc))
}

/// Associated Legendre function P_n^m(x) on \[-1, 1\], with the sign (-1)^m of Condon and Shortley; 0 for m > n.
#[track_caller]
pub fn assoc_legendre(n: usize, m: usize, x: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let body = |[x]: &[Tensor; 1]| {
        if m > n {
            return x.zeros_like();
        }
        let sine_square = (1.0 - x) * (x + 1.0);
        let mut front = x.full_like(if m % 2 == 1 { -1.0 } else { 1.0 });
        for _ in 0..m / 2 {
            front = front * &sine_square;
        }
        if m % 2 == 1 {
            front = front * sine_square.sqrt();
        }
        front * column(x, None, m, n).1
    };
    too_high("assoc_legendre", n, &loc).unwrap_or_else(|| call("assoc_legendre", [x.clone()], body, &loc))
}

/// The m-th derivative of P_n, and that of P_(n-1): (n - m) q_n = (2 n - 1) z q_(n-1) - (n + m - 1) r^2 q_(n-2), from
/// q_m = 1 3 5 .. (2 m - 1). `r2` is r^2, which makes the polynomials homogeneous.
fn column(z: &Tensor, r2: Option<&Tensor>, m: usize, n: usize) -> (Tensor, Tensor) {
    let first = (1..=m).map(|k| (2 * k - 1) as f64).product::<f64>();
    let (mut before, mut q) = (z.zeros_like(), z.full_like(first));
    for l in m + 1..=n {
        let next = step(z, r2, m, l, &before, &q);
        (before, q) = (q, next);
    }
    (before, q)
}

/// q_l from the two before it.
fn step(z: &Tensor, r2: Option<&Tensor>, m: usize, l: usize, before: &Tensor, q: &Tensor) -> Tensor {
    let (l, m) = (l as f64, m as f64);
    let lower = match r2 {
        Some(r2) => before * r2,
        None => before.clone(),
    };
    z * q * ((2.0 * l - 1.0) / (l - m)) - lower * ((l + m - 1.0) / (l - m))
}

/// Real spherical harmonics of degrees 0 to `degree` at unit vectors (x, y, z) in the last axis, which becomes
/// (degree + 1)^2 long: Y_l^m is at l^2 + l + m. Orthonormal on the sphere, without the sign of Condon and Shortley:
/// Y_1 is sqrt(3 / 4 pi) (y, z, x).
///
/// They are polynomials in x, y, z, so that derivatives are right everywhere, the poles included. A vector of length r
/// gives r^l Y_l.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{prelude::*, special};
/// let y = special::spherical_harmonics(1, &Tensor::from([0.0f64, 0.0, 1.0]));
/// assert_eq!(y.shape(), [4]);
/// assert!((y.to_vec::<f64>().unwrap()[2] - 0.4886025119029199).abs() < 1e-15);
/// ```
#[track_caller]
pub fn spherical_harmonics(degree: usize, vectors: &Tensor) -> Tensor {
    let loc = Loc::caller();
    if vectors.check().is_ok() && vectors.shape().last() != Some(&3) {
        let e = Error::user(
            "spherical_harmonics",
            format!("the last axis must hold x, y and z, the vectors are {}", vectors.ty_ref()),
        );
        return Tensor::failed(e.at(&loc));
    }
    let body = |[v]: &[Tensor; 1]| {
        let axis = v.ndim() - 1;
        let part = |i| v.slice_axis(axis, i, i + 1).squeeze(-1);
        solid(degree, &part(0), &part(1), &part(2))
    };
    too_high("spherical_harmonics", degree, &loc)
        .unwrap_or_else(|| call("spherical_harmonics", [vectors.clone()], body, &loc))
}

/// [`spherical_harmonics`] at polar angles `theta` (0 at the north pole) and azimuths `phi`, in a new last axis.
#[track_caller]
pub fn spherical_harmonics_angles(degree: usize, theta: &Tensor, phi: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let body = |[theta, phi]: &[Tensor; 2]| {
        let sine = theta.sin();
        solid(degree, &(&sine * phi.cos()), &(&sine * phi.sin()), &theta.cos())
    };
    too_high("spherical_harmonics", degree, &loc)
        .unwrap_or_else(|| call("spherical_harmonics", [theta.clone(), phi.clone()], body, &loc))
}

/// r^l Y_l^m as polynomials: the m-th derivative of P_l in z, times the real and imaginary parts of (x + i y)^m.
fn solid(degree: usize, x: &Tensor, y: &Tensor, z: &Tensor) -> Tensor {
    let r2 = x.square() + y.square() + z.square();
    let mut parts = vec![z.clone(); (degree + 1) * (degree + 1)];
    let (mut real, mut imaginary) = (x.ones_like(), x.zeros_like());
    for m in 0..=degree {
        let (mut before, mut q) = column(z, Some(&r2), m, m);
        for l in m..=degree {
            if l > m {
                let next = step(z, Some(&r2), m, l, &before, &q);
                (before, q) = (q, next);
            }
            // sqrt((2 l + 1) / (4 pi) (l - m)! / (l + m)!), twice that below the root for m > 0
            let ratio = (l - m + 1..=l + m).map(|k| k as f64).product::<f64>();
            let twice = if m == 0 { 1.0 } else { 2.0 };
            let norm = (twice * (2 * l + 1) as f64 / (4.0 * PI * ratio)).sqrt();
            let centre = l * l + l;
            parts[centre + m] = &q * &real * norm;
            if m > 0 {
                parts[centre - m] = &q * &imaginary * norm;
            }
        }
        (real, imaginary) = (&real * x - &imaginary * y, &real * y + &imaginary * x);
    }
    Tensor::stack(&parts, -1)
}
