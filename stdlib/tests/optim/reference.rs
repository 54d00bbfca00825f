//! Each optimizer takes the steps that `tests/reference/optim.py` stored: eager in f64, compiled in f32, and mapped over two
//! sets of parameters at once.

use gradloom_frontend::{io, prelude::*};
use gradloom_stdlib::optim::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A vector, a scalar, a matrix, and a table of integers that no optimizer may touch.
#[derive(Tree, Clone)]
pub struct Params {
    pub b: Tensor,
    pub s: Tensor,
    pub w: Tensor,
    pub table: Tensor,
}

static STORED: LazyLock<BTreeMap<String, Tensor>> =
    LazyLock::new(|| io::load_npz(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/optim.npz")).unwrap());

pub fn stored(name: &str) -> &'static Tensor {
    STORED.get(name).unwrap_or_else(|| panic!("nothing is stored for {name}"))
}

/// Stored leaves as parameters; row `row` of them if they are of several steps.
fn params(name: &str, row: Option<usize>) -> Params {
    let leaf = |k: &str| {
        let t = stored(&format!("{name}.{k}"));
        row.map_or_else(|| t.clone(), |r| t.i(r))
    };
    Params { b: leaf("b"), s: leaf("s"), w: leaf("w"), table: Tensor::from([7, 8]) }
}

fn cast(p: &Params, dtype: DType) -> Params {
    p.map(|t| if t.dtype().is_float() { t.to(dtype) } else { t.clone() })
}

/// The point and the gradients of all steps.
struct Problem {
    start: Params,
    grads: Vec<Params>,
}

impl Problem {
    fn new(grads: &str, dtype: DType) -> Problem {
        let steps = stored(&format!("{grads}.s")).size();
        let grads = (0..steps).map(|i| cast(&params(grads, Some(i)), dtype)).collect();
        Problem { start: cast(&params("start", None), dtype), grads }
    }

    /// Another problem of the same size.
    fn other(&self) -> Problem {
        let halved = |t: &Tensor| if t.dtype().is_float() { t * 0.5 + 0.25 } else { t.clone() };
        Problem { start: self.start.map(halved), grads: self.grads.iter().map(|g| g.map(halved)).collect() }
    }

    /// The parameters after each step.
    fn eager<T: Transformation>(&self, optimizer: &T) -> Vec<Params> {
        let mut carry = (self.start.clone(), optimizer.init(&self.start));
        let step = |g: &Params| {
            carry = optimizer.step(&carry.0, g, &carry.1);
            carry.0.clone()
        };
        self.grads.iter().map(step).collect()
    }

    fn compiled<T: Transformation>(&self, optimizer: &T) -> Vec<Params> {
        let step = jit(|(p, g, s): &(Params, Params, T::State<Params>)| optimizer.step(p, g, s));
        let mut carry = (self.start.clone(), optimizer.init(&self.start));
        let step = |g: &Params| {
            carry = step.call(&(carry.0.clone(), g.clone(), carry.1.clone())).unwrap();
            carry.0.clone()
        };
        self.grads.iter().map(step).collect()
    }
}

fn both(a: &Params, b: &Params) -> Params {
    a.zip_map(b, |a, b| Tensor::stack(&[a.clone(), b.clone()], 0))
}

/// Both problems at once under `vmap`: the parameters after each step of either.
fn mapped<T: Transformation>(optimizer: &T, a: &Problem, b: &Problem) -> [Vec<Params>; 2] {
    let start = both(&a.start, &b.start);
    let mut carry = (start.clone(), vmap(|p: &Params| optimizer.init(p))(&start));
    let step = jit(vmap(|(p, g, s): &(Params, Params, T::State<Params>)| optimizer.step(p, g, s)));
    let mut ends = [Vec::new(), Vec::new()];
    for (a, b) in a.grads.iter().zip(&b.grads) {
        carry = step.call(&(carry.0, both(a, b), carry.1)).unwrap();
        for (i, end) in ends.iter_mut().enumerate() {
            end.push(carry.0.map(|t| t.i(i)));
        }
    }
    ends
}

#[track_caller]
fn close(what: &str, got: &[Params], want: &[Params], tolerance: f64) {
    for (step, (got, want)) in got.iter().zip(want).enumerate() {
        for ((g, w), path) in got.leaves().iter().zip(want.leaves()).zip(want.paths()) {
            let (g, w) = (g.to_f64_vec().unwrap(), w.to_f64_vec().unwrap());
            let error = g.iter().zip(&w).map(|(g, w)| (g - w).abs() / w.abs().max(1.0)).fold(0.0, f64::max);
            // also false for NaN
            assert!(error <= tolerance, "{what}, step {step}, `{path}`: {error:e}\n{g:?}\n{w:?}");
        }
    }
}

/// `tolerance` is for f64.
#[track_caller]
fn check<T: Transformation>(name: &str, tolerance: f64, optimizer: T) {
    let grads = if name == "lbfgs" { "lbfgs_grads" } else { "grads" };
    let problem = Problem::new(grads, DType::F64);
    let want: Vec<Params> = (0..problem.grads.len()).map(|i| params(name, Some(i))).collect();
    close(&format!("{name}, eager"), &problem.eager(&optimizer), &want, tolerance);
    close(&format!("{name}, compiled f32"), &Problem::new(grads, DType::F32).compiled(&optimizer), &want, 1e-5);
    let other = problem.other();
    let [first, second] = mapped(&optimizer, &problem, &other);
    close(&format!("{name}, mapped"), &first, &want, tolerance);
    close(&format!("{name}, mapped, second"), &second, &other.compiled(&optimizer), 1e-9);
}

macro_rules! cases {
    ($($name:ident $tolerance:literal $optimizer:expr;)*) => {$(
        // a module each: the names are those of the functions
        mod $name {
            use super::check;
            use gradloom_stdlib::optim::*;

            #[test]
            fn follows_its_reference() {
                check(stringify!($name), $tolerance, $optimizer);
            }
        }
    )*};
}

// schedules are evaluated in f32, and so are some factors of optax
cases! {
    sgd 1e-12 sgd(0.1);
    momentum 1e-12 momentum(0.1, 0.9, false);
    nesterov 1e-12 momentum(0.1, 0.9, true);
    adam 1e-12 adam(0.1);
    adam_constants 1e-12 (ScaleByAdam { b1: 0.5, b2: 0.9, eps: 1e-2, eps_root: 1e-3, nesterov: false }, scale_by_learning_rate(0.1));
    nadam 1e-12 (ScaleByAdam { nesterov: true, ..Default::default() }, scale_by_learning_rate(0.1));
    adamw 1e-12 adamw(0.1, 0.3);
    adabelief 1e-12 adabelief(0.1);
    rmsprop 1e-12 rmsprop(0.1);
    rmsprop_centered 1e-12 (ScaleByRms { centered: true, eps: 1e-2, ..Default::default() }, scale_by_learning_rate(0.1));
    adagrad 1e-12 adagrad(0.1);
    lion 1e-12 lion(0.1, 0.2);
    lamb 1e-12 lamb(0.1, 0.2);
    radam 1e-12 radam(0.1);
    radam_short 1e-12 (ScaleByRadam { b2: 0.9, ..Default::default() }, scale_by_learning_rate(0.1));
    adafactor 1e-6 (ScaleByFactoredRms { min_dim: 2, ..Default::default() }, clip_by_rms(1.0), scale_by_learning_rate(0.1), ScaleByParamRms::default());
    adafactor_whole 1e-6 adafactor(0.1);
    muon 1e-10 muon(0.1, 0.2);
    prodigy 1e-11 Prodigy { d0: 1e-3, ..prodigy() };
    prodigy_decay 1e-6 Prodigy { d0: 1e-2, decay: 0.1, lr: Schedule::linear(1.0, 0.2, 6), ..prodigy() };
    lbfgs 1e-10 (ScaleByLbfgs { memory: 3 }, scale_by_learning_rate(0.1));
    clip 1e-12 (clip(0.5), scale_by_learning_rate(0.1));
    clip_by_global_norm 1e-12 (clip_by_global_norm(2.0), scale_by_learning_rate(0.1));
    adaptive_grad_clip 1e-12 (adaptive_grad_clip(0.1), scale_by_learning_rate(0.1));
    clip_by_rms 1e-12 (clip_by_rms(0.5), scale_by_learning_rate(0.1));
    ema 1e-12 (Ema { decay: 0.8, debias: true }, scale_by_learning_rate(0.1));
    ema_biased 1e-12 (Ema { decay: 0.8, debias: false }, scale_by_learning_rate(0.1));
    decay_then_adam 1e-12 (add_decayed_weights(0.3), adam(0.1));
    accumulate 1e-12 accumulate(3, adam(0.1));
    masked 1e-12 masked(adam(0.1), |path, _| path != "b");
    masked_norm 1e-12 (masked(clip_by_global_norm(0.5), |_, p| p.ndim() < 2), scale_by_learning_rate(0.1));
    freeze 1e-12 (adam(0.1), freeze(|path, _| path == "b"));
    adam_cosine 1e-6 adam(Schedule::cosine(0.1, 0.01, 6));
    sgd_decay_schedule 1e-6 (add_decayed_weights(Schedule::linear(0.0, 0.5, 5)), scale_by_learning_rate(0.1));
    soap 1e-9 (ScaleBySoap { b1: 0.95, b2: 0.9, beta: 0.8, every: 2, ..Default::default() }, scale_by_learning_rate(0.1));
    shampoo 1e-9 shampoo(0.1);
    shampoo_decay 1e-9 (ScaleByShampoo { decay: Some(0.9), eps: 1e-2, every: 3, ..Default::default() }, scale_by_learning_rate(0.1));
}

#[test]
fn the_average_of_parameters() {
    let problem = Problem::new("grads", DType::F64);
    let optimizer = chain((sgd(0.1), average_params(0.7)));
    let mut carry = (problem.start.clone(), optimizer.init(&problem.start));
    let mut got = Vec::new();
    for g in &problem.grads {
        carry = optimizer.step(&carry.0, g, &carry.1);
        got.push(carry.1.1.params.clone());
    }
    let want: Vec<Params> = (0..got.len()).map(|i| params("average", Some(i))).collect();
    close("average", &got, &want, 1e-12);
}

#[test]
fn schedules() {
    let cases = [
        ("linear", Schedule::linear(0.1, 0.7, 7)),
        ("polynomial", Schedule::polynomial(1.0, 0.2, 2.5, 9)),
        ("exponential", Schedule::exponential(0.5, 0.7, 4)),
        ("cosine", Schedule::cosine(0.5, 0.05, 12)),
        ("warmup_cosine", Schedule::warmup_cosine(0.05, 0.9, 5, 15, 0.01)),
        ("piecewise", Schedule::piecewise(&[(0, 0.8), (4, 0.4), (11, 0.1)])),
        ("one_cycle", Schedule::one_cycle(0.6, 16)),
    ];
    for (name, schedule) in cases {
        let want = stored(&format!("schedule.{name}")).to_vec::<f64>().unwrap();
        let compiled = jit(|t: &Tensor| schedule.at(t));
        for (t, want) in want.iter().enumerate() {
            for got in [schedule.at(&Tensor::from(t)), compiled.call(&Tensor::from(t)).unwrap()] {
                let got = f64::from(got.item::<f32>().unwrap());
                assert!((got - want).abs() < 1e-6, "{name} at {t}: {got} is not {want}");
            }
        }
    }
}
