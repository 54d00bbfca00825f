//! Orthonormal frames.

use super::{Manifold, frobenius, safe_sqrt, symmetric, tall_matrices};
use gradloom_frontend::{DType, Result, Tensor, linalg, while_loop};

/// `[n, p]` matrices of orthonormal columns with the metric of the space around them (Edelman et al. 1998, section 2.2).
///
/// The logarithm is found by shooting: frames that are too far apart (beyond about a quarter turn) have NaN, and its
/// derivative is that of the iteration. Vectors are transported by projection, which keeps them tangent but
/// not their length: the parallel transport has no closed form.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stiefel;

/// Most steps of the logarithm's iteration.
const MAX_STEPS: i32 = 200;

impl Manifold for Stiefel {
    fn point_axes(&self) -> usize {
        2
    }

    fn check(&self, x: &Tensor) -> Result<()> {
        tall_matrices("Stiefel", x)
    }

    /// The orthogonal factor of the polar decomposition, the nearest frame.
    fn project(&self, x: &Tensor) -> Tensor {
        let (u, _, wt) = linalg::svd(x);
        u.matmul(&wt)
    }

    /// v - x sym(xᵀ v)
    fn to_tangent(&self, x: &Tensor, v: &Tensor) -> Tensor {
        v - x.matmul(&symmetric(&x.mt().matmul(v)))
    }

    fn gradient(&self, x: &Tensor, partial: &Tensor) -> Tensor {
        self.to_tangent(x, partial)
    }

    fn inner(&self, _: &Tensor, u: &Tensor, v: &Tensor) -> Tensor {
        frobenius(u, v)
    }

    /// [x, v] exp([[a, -s], [I, a]]) [I; 0] exp(-a) with a = xᵀ v and s = vᵀ v
    fn exp(&self, x: &Tensor, v: &Tensor) -> Tensor {
        let p = x.dim(-1);
        let (a, s) = (x.mt().matmul(v), v.mt().matmul(v));
        let one = Tensor::eye(p).to(x.dtype()).broadcast_to(a.shape());
        let top = Tensor::concatenate(&[a.clone(), -s], -1);
        let bottom = Tensor::concatenate(&[one, a.clone()], -1);
        let flow = linalg::expm(&Tensor::concatenate(&[top, bottom], -2));
        let first = flow.slice_axis(flow.ndim() - 1, 0, p);
        Tensor::concatenate(&[x.clone(), v.clone()], -1).matmul(&first).matmul(&linalg::expm(&-a))
    }

    fn log(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let precision = if x.dtype() == DType::F64 { 1e-13 } else { 1e-6 };
        let missed = |v: &Tensor| y - self.exp(x, v);
        let start = self.to_tangent(x, &(y - x));
        type Carry = (Tensor, Tensor, Tensor);
        let (v, gap, _) = while_loop(
            |(_, gap, n): &Carry| gap.abs().max(..).gt(precision) & n.lt(MAX_STEPS),
            |(v, gap, n): &Carry| {
                let v = v + self.to_tangent(x, gap);
                let gap = missed(&v);
                (v, gap, n + 1)
            },
            &(start.clone(), missed(&start), Tensor::from(0)),
        );
        // an iteration that did not end at y has found nothing
        let found = gap.abs().max_keepdims([-2, -1]).le(precision * 1e3);
        found.select(v, f64::NAN)
    }

    fn transport(&self, _: &Tensor, y: &Tensor, v: &Tensor) -> Tensor {
        self.to_tangent(y, v)
    }

    fn dist(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let v = self.log(x, y);
        safe_sqrt(&frobenius(&v, &v)).squeeze([-2, -1])
    }
}
