//! Function transforms: each takes a closure over one tree and returns a closure over the same tree.
//!
//! A transform traces the closure into a program, rewrites the program, and applies the result: recorded when the call
//! happens inside another transform, compiled and run otherwise. So transforms nest in any order.

mod combine;
mod control;
mod custom;
mod custom_op;
mod differentiate;
mod interpret;
mod map;
mod precision;

pub use combine::{reduce_window_with, reduce_with, sort_with};
pub use control::{associative_scan, cond, fori_loop, map, scan, scan_reverse, switch, while_loop};
pub use custom::{checkpoint, custom_jvp, custom_vjp, stop_gradient};
pub use custom_op::{CustomOp, UserOp, custom_op};
pub use differentiate::{
    grad, grad_aux, hessian, jacfwd, jacrev, jvp, linearize, value_and_grad, value_and_grad_aux, vjp,
};
pub use interpret::{Interpreter, interpret, walk};
pub use map::{Vmap, axis_index, pmax, pmean, pmin, psum, vmap, vmap_with};
pub use precision::mixed_precision;
