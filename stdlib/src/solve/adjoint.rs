//! The continuous adjoint.

use super::ode::{OdeSolver, Solution, check, odeint, refused};
use crate::optim::leafwise::{flat, floats, unflat};
use gradloom_frontend::ir::Loc;
use gradloom_frontend::{Error, Tensor, Tree, custom_vjp, scan_reverse, vjp};

/// [`odeint`] with reverse-mode derivatives from the adjoint equation (Pontryagin 1962; Chen et al. 2018), which is solved
/// backwards with the same method: memory does not grow with the number of steps, and the derivatives are as exact as the
/// tolerances.
///
/// With a = ∂L/∂y: a' = -aᵀ ∂f/∂y, and ∂L/∂args = ∫ aᵀ ∂f/∂args dt. Between two of the times `ts` the state is integrated
/// back from the stored one. Float leaves of `args` need the state's dtype.
#[track_caller]
pub fn odeint_adjoint<S: OdeSolver, Y: Tree + Clone, A: Tree + Clone>(
    solver: &S,
    f: impl Fn(&Tensor, &Y, &A) -> Y,
    y0: &Y,
    ts: &Tensor,
    args: &A,
) -> Solution<Y> {
    let loc = Loc::caller();
    let fits = check(solver, y0, ts).and_then(|()| match floats(args).iter().find(|x| x.dtype() != ts.dtype()) {
        Some(x) => Err(Error::dtype_mismatch("odeint_adjoint", x.dtype(), ts.dtype())),
        None => Ok(()),
    });
    if let Err(e) = fits {
        return refused(y0, e.at(&loc));
    }
    type Inputs<Y, A> = (Y, Tensor, A);
    let solve = |(y0, ts, args): &Inputs<Y, A>| odeint(solver, &f, y0, ts, args);
    let solved = custom_vjp(
        solve,
        |x: &Inputs<Y, A>| {
            let solution = solve(x);
            (solution.clone(), (solution.ys, x.clone()))
        },
        |(ys, (y0, ts, args)): &(Y, Inputs<Y, A>), ct: &Solution<Y>| backward(solver, &f, ys, y0, ts, args, &ct.ys),
    );
    solved(&(y0.clone(), ts.clone(), args.clone()))
}

fn backward<S: OdeSolver, Y: Tree + Clone, A: Tree + Clone>(
    solver: &S,
    f: &impl Fn(&Tensor, &Y, &A) -> Y,
    ys: &Y,
    y0: &Y,
    ts: &Tensor,
    args: &A,
    ct: &Y,
) -> (Y, Tensor, A) {
    let times = ts.size();
    let rows = |y: &Y| {
        let parts: Vec<Tensor> = y.leaves().iter().map(|t| t.reshape([times as i64, -1])).collect();
        Tensor::concatenate(&parts, 1)
    };
    let (ys, ct) = (rows(ys), rows(ct));
    let field = |t: &Tensor, y: &Tensor, args: &A| flat(&f(t, &unflat(y0, y), args));
    let theta = if floats(args).is_empty() { Tensor::full([0], 0.0, ys.dtype()) } else { flat(args) };
    // (y, a, ∂L/∂args) backwards in time
    type Augmented = (Tensor, Tensor, Tensor);
    let augmented = |t: &Tensor, (y, a, _): &Augmented, (): &()| {
        let (dy, pull) =
            vjp(|(y, theta): &(Tensor, Tensor)| field(t, y, &unflat(args, theta)), &(y.clone(), theta.clone()));
        let (y_bar, theta_bar) = pull(a);
        (dy, -y_bar, -theta_bar)
    };
    let from = |t: &Tensor| t.slice_axis(0, 1, times);
    let to = |t: &Tensor| t.slice_axis(0, 0, times - 1);
    type Row = (Tensor, Tensor, Tensor, Tensor);
    let intervals: Row = (from(ts), to(ts), from(&ys), from(&ct));
    let ((a, theta_bar), ts_bar) = scan_reverse(
        |(a, theta_bar): &(Tensor, Tensor), (t1, t0, y1, ct1): &Row| {
            let span = Tensor::stack(&[t1.clone(), t0.clone()], 0);
            let start = (y1.clone(), a + ct1, theta_bar.clone());
            let (_, a, theta_bar) = odeint(solver, augmented, &start, &span, &()).ys;
            ((a.i(1), theta_bar.i(1)), ct1.dot(&field(t1, y1, args)))
        },
        &(ys.i(0).zeros_like(), theta.zeros_like()),
        &intervals,
    );
    // a later start is a solution that is behind by its velocity
    let t0_bar = -a.dot(&field(&ts.i(0), &ys.i(0), args));
    let ts_bar = Tensor::concatenate(&[t0_bar.expand_dims(0), ts_bar], 0);
    let none = args.map(|t| t.zeros_like());
    (unflat(y0, &(a + ct.i(0))), ts_bar, unflat(&none, &theta_bar))
}
