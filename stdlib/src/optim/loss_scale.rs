//! Loss scaling: gradients that 16-bit floats would round to 0 are computed of a multiple of the loss.

use super::Transformation;
use super::leafwise::{map_numbers, no_steps, numbers, over};
use crate::checks::{Checks, checked};
use gradloom_frontend::{DType, Result, Tensor, Tree, cond};

/// An optimizer whose gradients are those of a multiple of the loss, which adapts (Micikevicius et al. 2018,
/// arXiv 1710.03740; the rule is that of `torch.amp.GradScaler`). See [`loss_scaled`].
///
/// With `g` the gradient of `scale * loss`: if `g / scale` is finite, it is given to `inner`, and after `interval` such steps
/// in a row `scale ← scale * growth`, if that is finite. Otherwise parameters and state stay as they are, and `scale ←
/// max(scale * backoff, least)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScaled<T> {
    /// What takes the gradients.
    pub inner: T,
    /// The first scale, 65536.
    pub init: f64,
    /// 2; 1 keeps the scale from growing.
    pub growth: f64,
    /// 1/2.
    pub backoff: f64,
    /// 2000 steps.
    pub interval: usize,
    /// 1: what the scale does not fall below.
    pub least: f64,
}

/// `inner`, a whole optimizer, with dynamic loss scaling; stands outermost. What is differentiated must be multiplied by the
/// scale: [`Transformation::value_and_grad`] does so, and so does [`crate::train::Trainer::fit`].
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::optim::*;
/// let optimizer = LossScaled { interval: 100, ..loss_scaled(chain((clip_by_global_norm(1.0), adam(0.1)))) };
/// let x = random::normal(&Key::new(0), [32, 4]);
/// // in f16 its gradient is 0
/// let loss = mixed_precision(|w: &Tensor| (x.matmul(w) - 1.0).square().mean(..) * 1e-7, DType::F16);
/// let step = jit(|(w, state): &(Tensor, _)| {
///     let (loss, g) = optimizer.value_and_grad(&loss, w, state);
///     (loss, optimizer.step(w, &g, state))
/// });
/// let w = Tensor::zeros([4, 1]);
/// let (_, (w, state)) = step.call(&(w.clone(), optimizer.init(&w)))?;
/// assert!(w.abs().min(..).item::<f32>()? > 0.0);
/// assert_eq!(state.good_steps.item::<i32>()?, 1);
/// # Ok::<(), gradloom::Error>(())
/// ```
pub fn loss_scaled<T: Transformation>(inner: T) -> LossScaled<T> {
    LossScaled { inner, init: 65536.0, growth: 2.0, backoff: 0.5, interval: 2000, least: 1.0 }
}

/// The scale, and the state of the optimizer inside.
#[derive(Tree, Clone)]
pub struct LossScaleState<S> {
    /// What the loss is multiplied by (f32).
    pub scale: Tensor,
    /// Steps since the scale last changed (i32).
    pub good_steps: Tensor,
    /// State of the optimizer inside.
    pub inner: S,
}

impl<T> LossScaled<T> {
    fn check(&self) -> Result<()> {
        let Self { init, growth, backoff, interval, least, .. } = self;
        let (low, high) = (f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX));
        Checks::of("loss_scaled")
            .that(low <= *least && least <= init && *init <= high, || {
                format!(
                    "the scale starts at {init} and is at least {least}; both must be positive, and the first not less"
                )
            })
            .that(*growth >= 1.0 && *growth <= high, || format!("the scale grows by {growth}, it must be at least 1"))
            .that(*backoff > 0.0 && *backoff <= 1.0, || format!("the scale shrinks by {backoff}, it must be in (0, 1]"))
            .that(*interval > 0 && i32::try_from(*interval).is_ok(), || {
                format!("the scale grows after {interval} steps, it must be at least 1 and fit in 32 bits")
            })
            .result()
    }
}

/// Whether no leaf of floats or complex numbers holds an infinity or NaN.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::optim::all_finite;
/// let tree = (Tensor::from([1.0f32, 2.0]), Tensor::from([0.0f32]).reciprocal());
/// assert!(!all_finite(&tree).item::<bool>()?);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn all_finite<P: Tree>(tree: &P) -> Tensor {
    let parts = |x: Tensor| if x.dtype().is_complex() { vec![x.real(), x.imag()] } else { vec![x] };
    let finite = numbers(tree).into_iter().flat_map(parts).map(|x| x.is_finite().all(..));
    finite.reduce(|a, b| a & b).unwrap_or_else(|| Tensor::from(true))
}

/// x / scale; what has 16 bits is divided in 32.
fn unscaled(x: &Tensor, scale: &Tensor) -> Tensor {
    match x.dtype() {
        d if d.is_half() => (x.to(DType::F32) / scale).to(d),
        d => over(x, &scale.to(d.real())),
    }
}

impl<T: Transformation> Transformation for LossScaled<T> {
    type State<P: Tree + Clone> = LossScaleState<T::State<P>>;

    fn init<P: Tree + Clone>(&self, params: &P) -> Self::State<P> {
        let scale = checked(&Tensor::full((), self.init, DType::F32), self.check());
        LossScaleState { scale, good_steps: no_steps(), inner: self.inner.init(params) }
    }

    fn update<P: Tree + Clone>(&self, g: &P, s: &Self::State<P>, params: &P) -> (P, Self::State<P>) {
        let g = map_numbers(&checked(g, self.check()), |g| unscaled(g, &s.scale));
        let finite = all_finite(&g);
        type Args<P, S> = (P, S, P);
        let args: Args<P, T::State<P>> = (g, s.inner.clone(), params.clone());
        let (updates, inner) = cond(
            &finite,
            |(g, state, params): &Args<P, T::State<P>>| self.inner.update(g, state, params),
            |(g, state, _): &Args<P, T::State<P>>| (map_numbers(g, |g| g.zeros_like()), state.clone()),
            &args,
        );
        let good = &s.good_steps + 1;
        let full = good.ge(self.interval);
        let grown = &s.scale * self.growth;
        let grown = (&full & grown.is_finite()).select(&grown, &s.scale);
        let scale = finite.select(&grown, (&s.scale * self.backoff).maximum(self.least));
        let good_steps = (finite & !full).select(&good, 0);
        (updates, LossScaleState { scale, good_steps, inner })
    }

    fn loss_scale<P: Tree + Clone>(&self, s: &Self::State<P>) -> Option<Tensor> {
        let inner = self.inner.loss_scale::<P>(&s.inner);
        Some(inner.map_or_else(|| s.scale.clone(), |inner| inner * &s.scale))
    }
}
