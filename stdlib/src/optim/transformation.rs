//! The trait of gradient transformations, how they chain, and how updates reach the parameters.

use super::leafwise::{conjugate, leafwise, own_state};
use crate::checks::checked;
use gradloom_frontend::{DType, Tensor, Tree, value_and_grad, value_and_grad_aux};

/// A gradient transformation: from gradients to updates, with a state that is a tree.
///
/// An optimizer is a chain of them: a tuple is a transformation that applies its members in order (see [`chain`]). What
/// the last one returns is added to the parameters. Leaves of integers and bools (tables, keys) stay as they are.
///
/// Parameters may be complex. The gradient of a real f by x + iy, as `grad` returns it, is df/dx - i df/dy; f grows fastest
/// along its conjugate. [`Transformation::step`] takes gradients, and conjugates them; `update` takes directions, so
/// who calls it with gradients conjugates complex ones first. Squares of complex numbers are |z|², as in optax; what
/// needs an order or a matrix of real numbers (clipping by value, Shampoo, SOAP, Muon, Prodigy, L-BFGS) refuses them.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::optim::*;
/// let goal = Tensor::complex(&Tensor::from(1.0f32), &Tensor::from(-2.0f32));
/// let loss = |z: &Tensor| (z - &goal).abs().square();
/// let (mut z, optimizer) = (goal.zeros_like(), adam(0.1));
/// let mut state = optimizer.init(&z);
/// for _ in 0..200 {
///     (z, state) = optimizer.step(&z, &grad(loss)(&z), &state);
/// }
/// assert!((z - goal).abs().item::<f32>()? < 1e-2);
/// # Ok::<(), gradloom::Error>(())
/// ```
///
/// A constant that has no meaning is an error in every tensor that `init`, `update` and `step` return.
pub trait Transformation {
    /// What is remembered between steps, for parameters of type `P`.
    type State<P: Tree + Clone>: Tree + Clone;

    /// The state before the first step.
    #[track_caller]
    fn init<P: Tree + Clone>(&self, params: &P) -> Self::State<P>;

    /// The updates made of `updates` (gradients, or what came before in a chain), and the new state.
    #[track_caller]
    fn update<P: Tree + Clone>(&self, updates: &P, state: &Self::State<P>, params: &P) -> (P, Self::State<P>);

    /// One whole step from gradients as `grad` returns them (complex ones too): the parameters with the updates added, and
    /// the new state.
    #[track_caller]
    fn step<P: Tree + Clone>(&self, params: &P, grads: &P, state: &Self::State<P>) -> (P, Self::State<P>) {
        let (updates, state) = self.update(&conjugate(grads), state, params);
        (apply_updates(params, &updates), state)
    }

    /// What a loss is to be multiplied by before it is differentiated for [`Transformation::update`], if anything (see
    /// [`super::loss_scaled`]). What wraps another transformation hands on that one's.
    fn loss_scale<P: Tree + Clone>(&self, _state: &Self::State<P>) -> Option<Tensor> {
        None
    }

    /// The loss, and its gradient as [`Transformation::update`] and [`Transformation::step`] take it: times the scale, if
    /// there is one.
    #[track_caller]
    fn value_and_grad<P: Tree + Clone>(
        &self,
        loss: impl Fn(&P) -> Tensor,
        params: &P,
        state: &Self::State<P>,
    ) -> (Tensor, P) {
        let Some(scale) = self.loss_scale::<P>(state) else { return value_and_grad(loss)(params) };
        let scaled = |params: &P| {
            let loss = loss(params);
            // 16 bits have no room for the multiple
            let dtype = if loss.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            (loss.to(dtype) * scale.to(dtype), loss)
        };
        let ((_, loss), g) = value_and_grad_aux(scaled)(params);
        (loss, g)
    }
}

/// params + updates, leaf by leaf where leaves are floats or complex.
#[track_caller]
pub fn apply_updates<P: Tree + Clone>(params: &P, updates: &P) -> P {
    let [params] = leafwise([params, updates], |[p, u]| [p + u]);
    params
}

/// The transformations of a tuple one after the other.
///
/// A tuple is such a chain by itself; the function only says so where it is read.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::optim::*;
/// let optimizer = chain((clip_by_global_norm(1.0), sgd(0.5)));
/// let x = Tensor::from([1.0f32, 2.0]);
/// let (x, _) = optimizer.step(&x, &Tensor::from([3.0f32, 4.0]), &optimizer.init(&x));
/// assert_eq!(x.to_vec::<f32>()?, [0.7, 1.6]);
/// # Ok::<(), gradloom::Error>(())
/// ```
pub fn chain<T: Transformation>(transformations: T) -> T {
    transformations
}

macro_rules! chains {
    ($(($($t:ident $i:tt),+))*) => {$(
        impl<$($t: Transformation),+> Transformation for ($($t,)+) {
            type State<P: Tree + Clone> = ($($t::State<P>,)+);

            fn init<P: Tree + Clone>(&self, params: &P) -> Self::State<P> {
                ($(self.$i.init(params),)+)
            }

            fn update<P: Tree + Clone>(&self, updates: &P, state: &Self::State<P>, params: &P) -> (P, Self::State<P>) {
                let mut updates = updates.clone();
                let state = ($({
                    let (next, state) = self.$i.update(&updates, &state.$i, params);
                    updates = next;
                    state
                },)+);
                (updates, state)
            }

            fn loss_scale<P: Tree + Clone>(&self, state: &Self::State<P>) -> Option<Tensor> {
                let scales = [$(self.$i.loss_scale::<P>(&state.$i)),+];
                scales.into_iter().flatten().reduce(|a, b| a * b)
            }
        }
    )*};
}
chains! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

/// `None` changes nothing.
impl<T: Transformation> Transformation for Option<T> {
    type State<P: Tree + Clone> = Option<T::State<P>>;

    fn init<P: Tree + Clone>(&self, params: &P) -> Self::State<P> {
        self.as_ref().map(|t| t.init(params))
    }

    fn update<P: Tree + Clone>(&self, updates: &P, state: &Self::State<P>, params: &P) -> (P, Self::State<P>) {
        match (self, state) {
            (Some(t), Some(state)) => {
                let (updates, state) = t.update(updates, state, params);
                (updates, Some(state))
            }
            _ => {
                let check = own_state("update", self.is_none() && state.is_none());
                (checked(updates, check), state.clone())
            }
        }
    }

    fn loss_scale<P: Tree + Clone>(&self, state: &Self::State<P>) -> Option<Tensor> {
        self.as_ref()?.loss_scale::<P>(state.as_ref()?)
    }
}

impl<T: Transformation> Transformation for &T {
    type State<P: Tree + Clone> = T::State<P>;

    fn init<P: Tree + Clone>(&self, params: &P) -> Self::State<P> {
        (**self).init(params)
    }

    fn update<P: Tree + Clone>(&self, updates: &P, state: &Self::State<P>, params: &P) -> (P, Self::State<P>) {
        (**self).update(updates, state, params)
    }

    fn loss_scale<P: Tree + Clone>(&self, state: &Self::State<P>) -> Option<Tensor> {
        (**self).loss_scale::<P>(state)
    }
}
