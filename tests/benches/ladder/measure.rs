//! Timing one workload.

use gradloom::optim::{Adam, Transformation, adam};
use gradloom::prelude::*;
use gradloom::{Profile, Result};
use std::time::{Duration, Instant};

/// Something that can be timed.
pub trait Workload {
    /// Compiles, runs for about `seconds` and at least 5 times.
    fn measure(&self, seconds: f64) -> Result<Measurement>;

    /// Compiles, runs a few times, and measures each step of a last run; what runs as text, and the measurements.
    fn profile(&self) -> Result<(String, Profile)>;
}

/// What one workload's line says.
pub struct Measurement {
    step: Duration,
    compile: Duration,
    check: f64,
    runs: usize,
}

impl Measurement {
    /// The line. A check that is no number is written as Python's parser reads it.
    pub fn json(&self, name: &str) -> String {
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let check = if self.check.is_finite() { format!("{:?}", self.check) } else { "NaN".into() };
        format!(
            r#"{{"name": "{name}", "step_ms": {:.5}, "compile_ms": {:.2}, "check": {check}, "runs": {}}}"#,
            ms(self.step),
            ms(self.compile),
            self.runs
        )
    }
}

/// A function, what to call it with, and a number that tells whether its result is right.
pub struct Case<A, B, F> {
    f: Jit<A, B, F>,
    args: A,
    check: fn(&B) -> Result<f64>,
}

/// A workload that calls `f(&args)`.
pub fn case<A, B, F>(args: A, f: F, check: fn(&B) -> Result<f64>) -> Box<dyn Workload>
where
    A: Tree + 'static,
    B: Tree + 'static,
    F: Fn(&A) -> B + 'static,
{
    Box::new(Case { f: jit(f), args, check })
}

/// A workload that takes one Adam step on `loss`, called with parameters, optimizer state and data; the check is the loss.
pub fn trained<P, D>(params: P, data: D, loss: fn(&P, &D) -> Tensor) -> Box<dyn Workload>
where
    P: Tree + Clone + 'static,
    D: Tree + 'static,
{
    let optimizer = adam(1e-3);
    let state = optimizer.init(&params);
    let step = move |(params, state, data): &(P, <Adam as Transformation>::State<P>, D)| {
        let (l, grads) = value_and_grad(|p: &P| loss(p, data))(params);
        (l, optimizer.step(params, &grads, state))
    };
    case((params, state, data), step, |(l, _)| Ok(f64::from(l.item::<f32>()?)))
}

impl<A: Tree, B: Tree, F: Fn(&A) -> B> Workload for Case<A, B, F> {
    fn profile(&self) -> Result<(String, Profile)> {
        let compiled = self.f.lower(&self.args)?.compile()?;
        for _ in 0..3 {
            compiled.call(&self.args)?;
        }
        Ok((format!("{}\n{}", compiled.schedule(), compiled.cost()), compiled.profile(&self.args)?))
    }

    fn measure(&self, seconds: f64) -> Result<Measurement> {
        self.args.leaves().iter().try_for_each(Tensor::check)?;
        let start = Instant::now();
        let compiled = self.f.lower(&self.args)?.compile()?;
        let compile = start.elapsed();
        drop(compiled);
        let check = (self.check)(&self.f.call(&self.args)?)?;
        let device = gradloom::default_device()?;
        let mut times = Vec::new();
        let start = Instant::now();
        while times.len() < 5 || (start.elapsed().as_secs_f64() < seconds && times.len() < 20_000) {
            let t = Instant::now();
            let out = self.f.call(&self.args)?;
            device.synchronize()?;
            times.push(t.elapsed());
            drop(out);
        }
        times.sort_unstable();
        let step = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2;
        Ok(Measurement { step, compile, check, runs: times.len() })
    }
}

/// The sum of squares of all elements, in f64.
pub fn sum_of_squares(t: &Tensor) -> Result<f64> {
    Ok(t.to_vec::<f32>()?.iter().map(|&x| f64::from(x).powi(2)).sum())
}
