//! Mixed precision.

use crate::tensor::apply_graph;
use crate::trace::{fill, fill_error, template, trace};
use crate::tree::Tree;
use gradloom_ir::{DType, Loc, Result};
use gradloom_passes::{MixedPrecision, Pipeline};
use std::sync::Arc;

/// The same function, its products computed in 16-bit floats (`compute` is [`DType::BF16`] or [`DType::F16`]) and what
/// needs the digits in f32, as [`MixedPrecision`] says. Arguments and results keep their types: weights stay in f32, and
/// so do their gradients, which are rounded where the weights were.
///
/// Differentiate this function, rather than using it on a derivative: what an optimizer does with the gradients then stays
/// in f32. In f16, gradients below 6e-8 become 0: scale the loss (`stdlib::optim::loss_scaled`).
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let x = random::normal(&Key::new(0), [8, 4]);
/// let loss = |w: &Tensor| x.matmul(w).tanh().square().mean(..);
/// let w = random::normal(&Key::new(1), [4, 3]);
/// let (low, g) = value_and_grad(mixed_precision(loss, DType::BF16))(&w);
/// assert_eq!(g.dtype(), DType::F32);
/// assert!((low.item::<f32>()? - loss(&w).item::<f32>()?).abs() < 1e-2);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn mixed_precision<A: Tree, B: Tree>(f: impl Fn(&A) -> B, compute: DType) -> impl Fn(&A) -> B {
    let loc = Loc::caller();
    move |x| {
        let run = || -> Result<B> {
            let mut t = trace(x, &f)?;
            Pipeline::empty().push(MixedPrecision { compute }).run(&mut t.program.graph)?;
            let operands = t.program.operands(x.leaves());
            Ok(fill(&t.out, apply_graph(&Arc::new(t.program.graph), &operands, &loc)?))
        };
        run().unwrap_or_else(|e| fill_error(&template(x, &f), e, &loc))
    }
}
