//! Solvers: differential equations, fixed points, linear and nonlinear systems, roots, integrals.
//!
//! A function that is solved takes what it depends on as an argument of its own (`args`): its derivatives with respect to
//! them are those of the solution, by the implicit function theorem, and do not go through the iterations. A tensor that
//! the closure captures instead counts as a constant; differentiating it is an error. [`odeint`] alone differentiates
//! through its steps, whatever they depend on.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::prelude::*;
//! use gradloom_stdlib::solve::{Dopri5, odeint};
//! // y' = -k y from 1; the derivative of y(1) = e^-k by k is -e^-k
//! let end = |k: &Tensor| {
//!     let ts = Tensor::from([0.0f64, 1.0]);
//!     odeint(&Dopri5::default(), |_t, y: &Tensor, k: &Tensor| -(y * k), &k.ones_like(), &ts, k).ys.i(1)
//! };
//! let k = Tensor::full((), 2.0, DType::F64);
//! assert!((end(&k) - (-2f64).exp()).abs().item::<f64>()? < 1e-7);
//! assert!((grad(end)(&k) + (-2f64).exp()).abs().item::<f64>()? < 1e-6);
//! # Ok::<(), gradloom::Error>(())
//! ```

mod adjoint;
mod brownian;
mod controlled;
mod dopri;
mod exponential;
mod fixed_point;
mod krylov;
mod ode;
pub mod quadrature;
mod root;
mod sinkhorn;
mod stochastic;

pub use adjoint::odeint_adjoint;
pub use brownian::BrownianTree;
pub use controlled::{Control, cdeint, fill_missing};
pub use dopri::Dopri5;
pub use exponential::Etdrk4;
pub use fixed_point::FixedPoint;
pub use krylov::{Cg, Gmres, LinearSolution};
pub use ode::{FixedStep, Flow, OdeSolver, Solution, Tableau, odeint};
pub use root::{Bisection, Newton};
pub use sinkhorn::{Sinkhorn, Transport, sinkhorn, sinkhorn_implicit};
pub use stochastic::{ReversibleHeun, sdeint};

use gradloom_frontend::Tensor;

/// √Σ x²
fn norm(x: &Tensor) -> Tensor {
    x.square().sum(..).sqrt()
}
