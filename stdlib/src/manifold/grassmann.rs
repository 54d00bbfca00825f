//! Subspaces.

use super::{Manifold, frobenius, safe_sqrt, tall_matrices};
use gradloom_frontend::{Result, Tensor, linalg};

/// The subspaces of dimension p in n dimensions, each as an `[n, p]` matrix of orthonormal columns that span it (Edelman et
/// al. 1998). Two matrices of one subspace are the same point: [`Manifold::exp`] of [`Manifold::log`] gives the subspace, not
/// the matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Grassmann;

/// x s for singular values as factors of columns.
fn columns(x: &Tensor, s: &Tensor) -> Tensor {
    x * s.expand_dims(-2)
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
        let (u, s, wt) = linalg::svd(v);
        let xw = x.matmul(&wt.mt());
        (columns(&xw, &s.cos()) + columns(&u, &s.sin())).matmul(&wt)
    }

    /// u arctan(s) wᵀ for (I - x xᵀ) y (xᵀ y)⁻¹ = u s wᵀ
    fn log(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let xty = x.mt().matmul(y);
        let across = self.to_tangent(x, y);
        // across · xty⁻¹ by the transposed system
        let ratio = linalg::solve(&xty.mt(), &across.mt()).mt();
        let (u, s, wt) = linalg::svd(&ratio);
        columns(&u, &s.atan()).matmul(&wt)
    }

    /// Along the geodesic with velocity u s wᵀ: (u cos(s) - x w sin(s)) uᵀ v + (I - u uᵀ) v
    fn transport(&self, x: &Tensor, y: &Tensor, v: &Tensor) -> Tensor {
        let (u, s, wt) = linalg::svd(&self.log(x, y));
        let uv = u.mt().matmul(v);
        let turned = columns(&u, &s.cos()) - columns(&x.matmul(&wt.mt()), &s.sin());
        let moved = turned.matmul(&uv) + v - u.matmul(&uv);
        // exp of the log is another matrix of y's subspace: y r; tangents turn with it
        let end = (columns(&x.matmul(&wt.mt()), &s.cos()) + columns(&u, &s.sin())).matmul(&wt);
        moved.matmul(&end.mt().matmul(y))
    }

    /// The root of the sum of squares of the angles between the subspaces
    fn dist(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let v = self.log(x, y);
        safe_sqrt(&frobenius(&v, &v)).squeeze([-2, -1])
    }
}
