//! Training by gradients.

use super::{Fitted, Trainer};
use crate::optim::Transformation;
use gradloom_frontend::{Result, Tensor, Tree, jit};

impl Trainer {
    /// Minimises `loss(model, step)` by an optimizer, with one compiled step; `step` is the number of the step as an i32
    /// scalar, by which the loss chooses its batch and draws its noise. `evaluate` gives measures beside the loss.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// use gradloom_stdlib::{data::batch_rows, nn::Linear, optim::adam, train::Trainer};
    /// let x = random::normal(&Key::new(0), [100, 2]);
    /// let y = x.sum_keepdims(-1) + 0.5;
    /// let loss = |net: &Linear, step: &Tensor| {
    ///     let rows = batch_rows(&Key::new(1), step, 100, 20);
    ///     (net.forward(&x.take(&rows, 0)) - y.take(&rows, 0)).square().mean(..)
    /// };
    /// let net = Linear::init(&Key::new(2), 2, 1);
    /// let fitted = Trainer::new(300).quiet().fit(&net, &adam(0.05), loss, |_| Ok(vec![]))?;
    /// assert!(fitted.curve.last("loss").unwrap() < 1e-3);
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first error of a step, an evaluation or a file.
    pub fn fit<M: Tree + Clone, O: Transformation>(
        &self,
        model: &M,
        optimizer: &O,
        loss: impl Fn(&M, &Tensor) -> Tensor,
        mut evaluate: impl FnMut(&M) -> Result<Vec<(&'static str, f64)>>,
    ) -> Result<Fitted<M>> {
        let step = jit(|(model, state, i): &(M, O::State<M>, Tensor)| {
            let (value, g) = optimizer.value_and_grad(|model: &M| loss(model, i), model, state);
            (value, optimizer.step(model, &g, state))
        });
        let start = (model.clone(), optimizer.init(model));
        let fitted = self.run(start, |i, (m, s)| step.run((m, s, Tensor::from(i as i64))), |(m, _)| evaluate(m))?;
        let Fitted { state: (state, _), steps, curve, stopped } = fitted;
        Ok(Fitted { state, steps, curve, stopped })
    }
}
