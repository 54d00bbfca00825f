//! The unit sphere.

use super::{Manifold, dot, length, vectors};
use gradloom_frontend::{Result, Tensor};

/// Unit vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sphere;

/// The angle between unit vectors, right at both ends: 2 atan2(‖x - y‖, ‖x + y‖).
fn angle(x: &Tensor, y: &Tensor) -> Tensor {
    length(&(x - y)).atan2(length(&(x + y))) * 2.0
}

impl Manifold for Sphere {
    fn point_axes(&self) -> usize {
        1
    }

    fn check(&self, x: &Tensor) -> Result<()> {
        vectors("Sphere", 1, x)
    }

    fn project(&self, x: &Tensor) -> Tensor {
        x / length(x)
    }

    fn to_tangent(&self, x: &Tensor, v: &Tensor) -> Tensor {
        v - dot(x, v) * x
    }

    fn gradient(&self, x: &Tensor, partial: &Tensor) -> Tensor {
        self.to_tangent(x, partial)
    }

    fn inner(&self, _: &Tensor, u: &Tensor, v: &Tensor) -> Tensor {
        dot(u, v)
    }

    /// cos‖v‖ x + sin‖v‖ v / ‖v‖
    fn exp(&self, x: &Tensor, v: &Tensor) -> Tensor {
        let n = length(v);
        n.cos() * x + n.sin() / n * v
    }

    /// θ u / ‖u‖ with u = y - ⟨x, y⟩ x
    fn log(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let apart = y - x;
        // the tangent part of the difference is that of y
        let u = self.to_tangent(x, &apart);
        angle(x, y) / length(&u) * u
    }

    /// v - ⟨y, v⟩ / (1 + ⟨x, y⟩) (x + y)
    fn transport(&self, x: &Tensor, y: &Tensor, v: &Tensor) -> Tensor {
        v - dot(y, v) / (dot(x, y) + 1.0) * (x + y)
    }

    fn dist(&self, x: &Tensor, y: &Tensor) -> Tensor {
        angle(x, y).squeeze(-1)
    }
}
