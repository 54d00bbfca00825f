//! L-BFGS: the directions as a transformation, and the whole method with its line search.

use super::Transformation;
use super::leafwise::{all_real, flat, one_dtype, unflat};
use super::line_search::{Point, Wolfe};
use crate::checks::{checked, failed, require};
use gradloom_frontend::{Result, Tensor, Tree, cond, scan, scan_reverse, value_and_grad, while_loop};

/// The last differences of points (s) and of gradients (y), oldest first, and what they start from.
#[derive(Tree, Clone)]
pub struct LbfgsMemory {
    /// Differences of points, `[memory, n]`; rows of 0 are not there yet.
    pub s: Tensor,
    /// Differences of gradients, `[memory, n]`.
    pub y: Tensor,
    /// 1 / ⟨s, y⟩, or 0.
    pub rho: Tensor,
    /// The last point.
    pub x: Tensor,
    /// The last gradient.
    pub g: Tensor,
    /// Steps taken (i32).
    pub t: Tensor,
}

impl LbfgsMemory {
    #[track_caller]
    fn new(memory: usize, x: &Tensor) -> LbfgsMemory {
        let rows = Tensor::full([memory, x.size()], 0.0, x.dtype());
        let (rho, zero) = (Tensor::full([memory], 0.0, x.dtype()), x.zeros_like());
        LbfgsMemory { s: rows.clone(), y: rows, rho, x: zero.clone(), g: zero, t: super::leafwise::no_steps() }
    }

    /// With the differences to a new point, unless their curvature is not positive.
    fn push(&self, x: &Tensor, g: &Tensor) -> LbfgsMemory {
        let (s, y) = (x - &self.x, g - &self.g);
        let sy = s.dot(&y);
        let counts = self.t.gt(0) & sy.gt(0.0);
        let shift = |rows: &Tensor, new: &Tensor| {
            let n = rows.dim(0);
            let shifted = Tensor::concatenate(&[rows.slice_axis(0, 1, n), new.expand_dims(0)], 0);
            counts.select(shifted, rows)
        };
        let rho = shift(&self.rho, &(1.0 / counts.select(&sy, 1.0)));
        LbfgsMemory { s: shift(&self.s, &s), y: shift(&self.y, &y), rho, x: x.clone(), g: g.clone(), t: &self.t + 1 }
    }

    /// H g for the approximation H of the inverse Hessian (Nocedal and Wright 2006, algorithm 7.4).
    fn times_gradient(&self) -> Tensor {
        let rows = (self.s.clone(), self.y.clone(), self.rho.clone());
        type Row = (Tensor, Tensor, Tensor);
        let (q, alpha) = scan_reverse(
            |q: &Tensor, (s, y, rho): &Row| {
                let alpha = rho * s.dot(q);
                (q - &alpha * y, alpha)
            },
            &self.g,
            &rows,
        );
        let last = self.rho.size() - 1;
        let (s, y) = (self.s.i(last), self.y.i(last));
        let yy = y.square().sum(..);
        let any = yy.gt(0.0);
        let norm = self.g.square().sum(..).sqrt();
        // before there is a difference, a step of length 1 at most
        let gamma = any.select(s.dot(&y) / any.select(&yy, 1.0), 1.0 / norm.maximum(1.0));
        scan(
            |r: &Tensor, ((s, y, rho), alpha): &(Row, Tensor)| (r + s * (alpha - rho * y.dot(r)), ()),
            &(q * gamma),
            &(rows, alpha),
        )
        .0
    }
}

/// L-BFGS directions as a transformation: the gradient times an approximation of the inverse Hessian from the last
/// `memory` steps (Nocedal 1980). For a fixed learning rate; [`Lbfgs`] searches along the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByLbfgs {
    /// Differences that are remembered.
    pub memory: usize,
}

impl Default for ScaleByLbfgs {
    fn default() -> Self {
        ScaleByLbfgs { memory: 10 }
    }
}

fn check_memory(memory: usize) -> Result<()> {
    require("lbfgs", memory > 0, || "a memory of 0 steps".into())
}

impl ScaleByLbfgs {
    fn check<P: Tree>(&self, tree: &P) -> Result<()> {
        check_memory(self.memory)?;
        all_real("lbfgs", tree)
    }
}

impl Transformation for ScaleByLbfgs {
    type State<P: Tree + Clone> = LbfgsMemory;

    fn init<P: Tree + Clone>(&self, params: &P) -> LbfgsMemory {
        LbfgsMemory::new(self.memory.max(1), &flat(&checked(params, self.check(params))))
    }

    fn update<P: Tree + Clone>(&self, g: &P, memory: &LbfgsMemory, params: &P) -> (P, LbfgsMemory) {
        let g = &checked(g, self.check(g));
        let memory = memory.push(&flat(params), &flat(g));
        (unflat(g, &memory.times_gradient()), memory)
    }
}

/// L-BFGS with a line search to the strong Wolfe conditions (Nocedal and Wright 2006, algorithm 7.5).
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::optim::Lbfgs;
/// // Rosenbrock's valley
/// let loss = |x: &Tensor| (x.i(1) - x.i(0).square()).square() * 100.0 + (x.i(0) - 1.0).square();
/// let start = Tensor::from([-1.2f64, 1.0]);
/// let end = jit(|x: &Tensor| Lbfgs::default().minimize(loss, x)).call(&start)?;
/// assert!(end.converged.item::<bool>()? && end.steps.item::<i32>()? < 60);
/// assert!(end.params.to_vec::<f64>()?.iter().all(|x| (x - 1.0).abs() < 1e-5));
/// # Ok::<(), gradloom::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lbfgs {
    /// Differences that are remembered.
    pub memory: usize,
    /// Most steps.
    pub max_steps: usize,
    /// The method ends where no element of the gradient is greater.
    pub tolerance: f64,
    /// Constant of sufficient decrease, c₁.
    pub c1: f64,
    /// Constant of curvature, c₂.
    pub c2: f64,
    /// Most evaluations of the loss in one step.
    pub max_tries: usize,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Lbfgs { memory: 10, max_steps: 200, tolerance: 1e-6, c1: 1e-4, c2: 0.9, max_tries: 25 }
    }
}

/// Where L-BFGS stands.
#[derive(Tree, Clone)]
pub struct LbfgsState<P> {
    /// The point.
    pub params: P,
    /// Loss at the point.
    pub value: Tensor,
    /// What the directions are made of; it has the gradient at the point.
    pub memory: LbfgsMemory,
    /// Evaluations of the loss so far (i32).
    pub evaluations: Tensor,
    /// Whether the last step got anywhere.
    pub moved: Tensor,
}

/// Where a minimisation ended.
#[derive(Tree, Clone)]
pub struct Minimum<P> {
    /// The point.
    pub params: P,
    /// Loss at the point.
    pub value: Tensor,
    /// Greatest element of the gradient at the point.
    pub gradient: Tensor,
    /// Steps taken (i32).
    pub steps: Tensor,
    /// Evaluations of loss and gradient (i32).
    pub evaluations: Tensor,
    /// Whether the gradient came below the tolerance.
    pub converged: Tensor,
}

impl Lbfgs {
    fn check<P: Tree>(&self, params: &P) -> Result<()> {
        check_memory(self.memory)?;
        require("lbfgs", 0.0 < self.c1 && self.c1 < self.c2 && self.c2 < 1.0, || {
            format!("the constants are c₁ = {}, c₂ = {}; they must satisfy 0 < c₁ < c₂ < 1", self.c1, self.c2)
        })?;
        require("lbfgs", self.max_tries > 0, || "0 evaluations in one step".into())?;
        one_dtype("lbfgs", params)
    }

    /// The state at the start.
    #[track_caller]
    pub fn init<P: Tree + Clone>(&self, loss: impl Fn(&P) -> Tensor, params: &P) -> LbfgsState<P> {
        let params = match self.check(params) {
            Ok(()) => params.clone(),
            Err(e) => failed(params, e),
        };
        let (value, g) = value_and_grad(&loss)(&params);
        let x = flat(&params);
        let memory = LbfgsMemory::new(self.memory.max(1), &x).push(&x, &flat(&g));
        LbfgsState { params, value, memory, evaluations: Tensor::from(1), moved: Tensor::from(true) }
    }

    /// One step along the line. If no point of it is better, the state stays and `moved` is false.
    #[track_caller]
    pub fn step<P: Tree + Clone>(&self, loss: impl Fn(&P) -> Tensor, state: &LbfgsState<P>) -> LbfgsState<P> {
        let LbfgsState { params, value, memory, .. } = state;
        let (x, g) = (&memory.x, &memory.g);
        let newton = -memory.times_gradient();
        let slope = newton.dot(g);
        // rounding can spoil the directions; the gradient always leads down
        let down = slope.lt(0.0);
        let p = down.select(&newton, -g);
        let slope = down.select(slope, -g.dot(g));
        let start = Point { a: value.zeros_like(), f: value.clone(), d: slope, g: g.clone() };
        let phi = |a: &Tensor| {
            let (f, g) = value_and_grad(&loss)(&unflat(params, &(x + &p * a)));
            let g = flat(&g);
            Point { a: a.clone(), f, d: g.dot(&p), g }
        };
        let wolfe = Wolfe { c1: self.c1, c2: self.c2, tries: self.max_tries };
        let (end, tries) = wolfe.search(phi, &start, &value.ones_like());
        let x = x + p * &end.a;
        let moved = end.a.gt(0.0);
        LbfgsState {
            params: unflat(params, &x),
            value: end.f,
            memory: cond(
                &moved,
                |(m, x, g): &(LbfgsMemory, Tensor, Tensor)| m.push(x, g),
                |(m, ..): &(LbfgsMemory, Tensor, Tensor)| m.clone(),
                &(memory.clone(), x, end.g),
            ),
            evaluations: &state.evaluations + tries,
            moved,
        }
    }

    /// Steps until the gradient is small, nothing moves, or `max_steps` are taken.
    #[track_caller]
    pub fn minimize<P: Tree + Clone>(&self, loss: impl Fn(&P) -> Tensor, params: &P) -> Minimum<P> {
        let start = (self.init(&loss, params), Tensor::from(0));
        let gradient = |s: &LbfgsState<P>| s.memory.g.abs().max(..);
        type Carry<P> = (LbfgsState<P>, Tensor);
        let (end, steps) = while_loop(
            |(s, n): &Carry<P>| gradient(s).gt(self.tolerance) & s.moved.clone() & n.lt(self.max_steps),
            |(s, n): &Carry<P>| (self.step(&loss, s), n + 1),
            &start,
        );
        let gradient = gradient(&end);
        Minimum {
            converged: gradient.le(self.tolerance),
            params: end.params,
            value: end.value,
            gradient,
            steps,
            evaluations: end.evaluations,
        }
    }
}
