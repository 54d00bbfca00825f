//! Subspaces.

use super::{Manifold, frobenius, safe_sqrt, tall_matrices};
use gradloom_frontend::{Result, Tensor, linalg};

/// The subspaces of dimension p in n dimensions, each as an `[n, p]` matrix of orthonormal columns that span it (Edelman et
/// al. 1998). Two matrices of one subspace are the same point: [`Manifold::exp`] of [`Manifold::log`] gives the subspace, not
/// the matrix.
///
/// What the paper writes with the singular values s of a velocity v are here functions of vᵀ v, whose eigenvalues are s²:
/// these are smooth also where singular values repeat or vanish.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Grassmann;

/// f(vᵀ v), where `f` is the closed form for eigenvalues a that are not small, and its series Σ cₖ aᵏ near 0.
fn of_gram(v: &Tensor, small: f64, series: &[f64], f: impl Fn(&Tensor) -> Tensor) -> Tensor {
    linalg::spd_function(&v.mt().matmul(v), |a| {
        let near = a.lt(small);
        let x = near.select(a, 0.0);
        let sum = series.iter().rev().fold(x.zeros_like(), |sum, c| sum * &x + *c);
        near.select(sum, f(&near.select(1.0, a)))
    })
}

/// (-1)ᵏ / (2 k + `offset`)!
fn alternating(offset: u32) -> Vec<f64> {
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    (0..10).map(|k| (-1f64).powi(k) / factorial(2 * k as u32 + offset)).collect()
}

/// w cos(s) wᵀ for v = u s wᵀ
fn cosine(v: &Tensor) -> Tensor {
    of_gram(v, 0.5, &alternating(0), |a| a.sqrt().cos())
}

/// w (sin(s) / s) wᵀ
fn sine(v: &Tensor) -> Tensor {
    of_gram(v, 0.5, &alternating(1), |a| a.sqrt().sin() / a.sqrt())
}

/// w ((1 - cos(s)) / s²) wᵀ
fn versine(v: &Tensor) -> Tensor {
    of_gram(v, 0.5, &alternating(2), |a| (-a.sqrt().cos() + 1.0) / a)
}

/// w (arctan(s) / s) wᵀ
fn arctangent(v: &Tensor) -> Tensor {
    let series: Vec<f64> = (0..14).map(|k| (-1f64).powi(k) / f64::from(2 * k + 1)).collect();
    of_gram(v, 0.07, &series, |a| a.sqrt().atan() / a.sqrt())
}

impl Manifold for Grassmann {
    fn point_axes(&self) -> usize {
        2
    }

    fn check(&self, x: &Tensor) -> Result<()> {
        tall_matrices("Grassmann", x)
    }

    fn project(&self, x: &Tensor) -> Tensor {
        linalg::qr(x).0
    }

    /// (I - x xᵀ) v
    fn to_tangent(&self, x: &Tensor, v: &Tensor) -> Tensor {
        v - x.matmul(&x.mt().matmul(v))
    }

    fn gradient(&self, x: &Tensor, partial: &Tensor) -> Tensor {
        self.to_tangent(x, partial)
    }

    fn inner(&self, _: &Tensor, u: &Tensor, v: &Tensor) -> Tensor {
        frobenius(u, v)
    }

    /// x w cos(s) wᵀ + u sin(s) wᵀ for v = u s wᵀ
    fn exp(&self, x: &Tensor, v: &Tensor) -> Tensor {
        x.matmul(&cosine(v)) + v.matmul(&sine(v))
    }

    /// u arctan(s) wᵀ for (I - x xᵀ) y (xᵀ y)⁻¹ = u s wᵀ
    fn log(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let across = self.to_tangent(x, y);
        // across (xᵀ y)⁻¹ by the transposed system
        let ratio = linalg::solve(&y.mt().matmul(x), &across.mt()).mt();
        ratio.matmul(&arctangent(&ratio))
    }

    /// Along the geodesic with velocity d = u s wᵀ: v - u (1 - cos(s)) uᵀ v - x w sin(s) uᵀ v
    fn transport(&self, x: &Tensor, y: &Tensor, v: &Tensor) -> Tensor {
        let d = self.log(x, y);
        let dv = d.mt().matmul(v);
        let moved = v - d.matmul(&versine(&d).matmul(&dv)) - x.matmul(&sine(&d).matmul(&dv));
        // the geodesic ends at another matrix of y's subspace, y r; tangents turn with it
        moved.matmul(&self.exp(x, &d).mt().matmul(y))
    }

    /// The root of the sum of squares of the angles between the subspaces
    fn dist(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let v = self.log(x, y);
        safe_sqrt(&frobenius(&v, &v)).squeeze([-2, -1])
    }
}
