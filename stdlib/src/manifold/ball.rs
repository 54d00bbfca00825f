//! The Poincaré ball.

use super::{Manifold, curved, dot, length, safe_sqrt, vectors};
use gradloom_frontend::{DType, Result, Tensor};

/// Hyperbolic space of curvature -c as the open ball of radius 1 / √c, with Möbius operations (Ungar 2008; Ganea et al.
/// 2018).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoincareBall {
    /// Minus the curvature.
    pub c: f64,
}

impl PoincareBall {
    /// Curvature -c.
    pub fn new(c: f64) -> PoincareBall {
        PoincareBall { c }
    }

    /// x ⊕ y = ((1 + 2c⟨x, y⟩ + c‖y‖²) x + (1 - c‖x‖²) y) / (1 + 2c⟨x, y⟩ + c²‖x‖²‖y‖²)
    #[track_caller]
    pub fn add(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let c = self.c;
        let (xy, xx, yy) = (dot(x, y) * (2.0 * c), dot(x, x) * c, dot(y, y) * c);
        (x * (&xy + &yy + 1.0) + y * (1.0 - &xx)) / (xy + xx * yy + 1.0)
    }

    /// gyr[x, y] v = -(x ⊕ y) ⊕ (x ⊕ (y ⊕ v)), which is linear in v.
    #[track_caller]
    pub fn gyration(&self, x: &Tensor, y: &Tensor, v: &Tensor) -> Tensor {
        // the closed form, which holds for tangent vectors of any length
        let c = self.c;
        let (xy, xx, yy) = (dot(x, y), dot(x, x), dot(y, y));
        let (xv, yv) = (dot(x, v), dot(y, v));
        let a = &yv * c + &xy * &yv * (2.0 * c * c) - &xv * &yy * (c * c);
        let b = -(&yv * &xx * (c * c) + &xv * c);
        let d = &xy * (2.0 * c) + xx * yy * (c * c) + 1.0;
        v + (x * a + y * b) * 2.0 / d
    }

    /// r ⊗ x = tanh(r artanh(√c‖x‖)) x / (√c‖x‖)
    #[track_caller]
    pub fn scale(&self, r: &Tensor, x: &Tensor) -> Tensor {
        let n = length(x) * self.c.sqrt();
        (r * n.atanh()).tanh() / n * x
    }

    /// λ_x = 2 / (1 - c‖x‖²), the length of a unit of the ball at x.
    #[track_caller]
    pub fn conformal(&self, x: &Tensor) -> Tensor {
        2.0 / (1.0 - dot(x, x) * self.c)
    }

    /// The exponential map at the centre: tanh(√c‖v‖) v / (√c‖v‖).
    #[track_caller]
    pub fn exp0(&self, v: &Tensor) -> Tensor {
        let n = length(v) * self.c.sqrt();
        n.tanh() / n * v
    }

    /// The logarithm at the centre: artanh(√c‖y‖) y / (√c‖y‖).
    #[track_caller]
    pub fn log0(&self, y: &Tensor) -> Tensor {
        let n = length(y) * self.c.sqrt();
        n.atanh() / n * y
    }
}

impl Manifold for PoincareBall {
    fn point_axes(&self) -> usize {
        1
    }

    fn check(&self, x: &Tensor) -> Result<()> {
        curved("PoincareBall", self.c)?;
        vectors("PoincareBall", 1, x)
    }

    /// Points outside, or so near the boundary that their distances lose all digits, are pulled inside.
    fn project(&self, x: &Tensor) -> Tensor {
        let margin = if x.dtype() == DType::F64 { 1e-5 } else { 4e-3 };
        let limit = (1.0 - margin) / self.c.sqrt();
        let n = length(x);
        x * (n.full_like(limit) / n.maximum(limit))
    }

    fn to_tangent(&self, _: &Tensor, v: &Tensor) -> Tensor {
        v.clone()
    }

    fn gradient(&self, x: &Tensor, partial: &Tensor) -> Tensor {
        partial / self.conformal(x).square()
    }

    fn inner(&self, x: &Tensor, u: &Tensor, v: &Tensor) -> Tensor {
        self.conformal(x).square() * dot(u, v)
    }

    /// x ⊕ tanh(√c λ_x ‖v‖ / 2) v / (√c‖v‖)
    fn exp(&self, x: &Tensor, v: &Tensor) -> Tensor {
        let n = length(v) * self.c.sqrt();
        self.add(x, &((self.conformal(x) * &n * 0.5).tanh() / n * v))
    }

    /// (2 / (√c λ_x)) artanh(√c‖w‖) w / ‖w‖ with w = -x ⊕ y
    fn log(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let w = self.add(&-x, y);
        let n = length(&w) * self.c.sqrt();
        n.atanh() / n * 2.0 / self.conformal(x) * w
    }

    /// (λ_x / λ_y) gyr[y, -x] v
    fn transport(&self, x: &Tensor, y: &Tensor, v: &Tensor) -> Tensor {
        self.conformal(x) / self.conformal(y) * self.gyration(y, &-x, v)
    }

    /// (2 / √c) artanh(√c‖-x ⊕ y‖), as arsinh(√c‖x - y‖ √(λ_x λ_y) / 2) of the same value, which keeps digits at both ends
    fn dist(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let root = self.c.sqrt();
        let apart = x - y;
        let half = safe_sqrt(&(dot(&apart, &apart) * self.conformal(x) * self.conformal(y))) * (root * 0.5);
        (half.asinh() * (2.0 / root)).squeeze(-1)
    }
}
