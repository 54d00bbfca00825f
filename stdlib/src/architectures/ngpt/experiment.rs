//! nGPT beside GPT on chains and copies.

use super::{Gpt, NGpt, NGptConfig};
use crate::data::{Sequences, markov_copy};
use crate::losses::cross_entropy;
use crate::optim::{Schedule, Transformation, adam, adamw};
use crate::papers::{Figure, Report, Run};
use crate::train::plot::Plot;
use gradloom_frontend::Result;
use gradloom_frontend::prelude::*;

const LETTERS: usize = 16;
const CONTEXT: usize = 64;
const BATCH: usize = 16;
/// So many that GPT ends well above the entropy of the data, which is 0.61: (4 + 30 · 1.75) bits in 64 tokens. No model can
/// be ahead of another there.
const STEPS: u64 = 200;
const EVERY: u64 = 10;
/// Rates that each model is tuned on, from the first of the starts.
const RATES: [f64; 3] = [3e-3, 1e-2, 3e-2];
const STARTS: [u64; 3] = [1, 2, 3];
/// GPT's weight decay and warm-up, which nGPT does without.
const DECAY: f64 = 0.1;
const WARMUP: usize = 20;

/// Validation losses by step.
type Curve = Vec<(f64, f64)>;

struct Data {
    seen: Sequences,
    unseen: Sequences,
}

/// Trains a model; `finish` follows each step of the optimizer.
fn train<M: Tree + Clone, O: Transformation>(
    run: &Run,
    name: &str,
    data: &Data,
    (model, optimizer): (M, O),
    forward: impl Fn(&M, &Tensor) -> Tensor,
    finish: impl Fn(&M) -> M,
) -> Result<Curve> {
    let loss = |m: &M, data: &Sequences, i: &Tensor| {
        let (x, y) = data.batch(i, BATCH);
        cross_entropy(&forward(m, &x), &y)
    };
    let step = jit(|(model, state, i): &(M, O::State<M>, Tensor)| {
        let (loss, g) = value_and_grad(|m: &M| loss(m, &data.seen, i))(model);
        let (model, state) = optimizer.step(model, &g, state);
        (loss, (finish(&model), state))
    });
    let batches = data.unseen.len() / BATCH;
    let evaluate = jit(|m: &M| map(|i: &Tensor| loss(m, &data.unseen, i), &Tensor::arange(batches)).mean(..));
    let state = optimizer.init(&model);
    let fitted = run.trainer(name, STEPS).every(EVERY).run(
        (model, state),
        |i, (model, state)| step.run((model, state, Tensor::from(i as i32))),
        |(model, _)| Ok(vec![("validation loss", f64::from(evaluate.call(model)?.item::<f32>()?))]),
    )?;
    let values = fitted.curve.values.get("validation loss").cloned().unwrap_or_default();
    Ok(fitted.curve.steps.iter().map(|&s| s as f64).zip(values).collect())
}

fn last(curve: &Curve) -> f64 {
    curve.last().map_or(f64::NAN, |p| p.1)
}

/// The first step at which the loss is at most `goal`, between two measures by the line through them; infinite without one.
fn reached(curve: &Curve, goal: f64) -> f64 {
    let Some(i) = curve.iter().position(|p| p.1 <= goal) else { return f64::INFINITY };
    let (x1, y1) = curve[i];
    match i.checked_sub(1).map(|i| curve[i]) {
        Some((x0, y0)) => x0 + (x1 - x0) * (y0 - goal) / (y0 - y1),
        None => x1,
    }
}

/// The mean of curves.
fn mean(curves: &[Curve]) -> Curve {
    let value = |i: usize| curves.iter().map(|c| c[i].1).sum::<f64>() / curves.len() as f64;
    curves[0].iter().enumerate().map(|(i, p)| (p.0, value(i))).collect()
}

/// What a model reaches at each rate from the first start, and its curves from all starts at the best of them.
fn tuned(kind: &str, train: impl Fn(&str, f64, u64) -> Result<Curve>) -> Result<(Vec<Figure>, Vec<Curve>)> {
    let (mut figures, mut best) = (Vec::new(), (f64::NAN, Curve::new()));
    for rate in RATES {
        let name = format!("{kind}, rate {rate}");
        let curve = train(&name, rate, STARTS[0])?;
        figures.push(Figure::new(format!("{name}: last validation loss"), last(&curve)));
        if best.1.is_empty() || last(&curve) < last(&best.1) {
            best = (rate, curve);
        }
    }
    let (rate, curve) = best;
    let mut curves = vec![curve];
    for start in &STARTS[1..] {
        curves.push(train(&format!("{kind}, rate {rate}, start {start}"), rate, *start)?);
    }
    Ok((figures, curves))
}

pub(super) fn reproduce(run: &Run) -> Result<Report> {
    let data = Data {
        seen: markov_copy(run.pick(STEPS as usize * BATCH, BATCH), CONTEXT + 1, LETTERS, 1, 2)?,
        unseen: markov_copy(run.pick(8 * BATCH, BATCH), CONTEXT + 1, LETTERS, 1, 3)?,
    };
    let config = NGptConfig { hidden: 128, ..NGptConfig::new(LETTERS + 1, 64, 4, 2) };
    let (mut figures, normalized) = tuned("nGPT", |name, rate, start| {
        let model = NGpt::init(&Key::new(start), config.clone());
        let optimizer = adam(Schedule::cosine(rate, 0.0, STEPS as usize));
        train(run, name, &data, (model, optimizer), NGpt::forward, NGpt::normalized)
    })?;
    let (of_plain, plain) = tuned("GPT", |name, rate, start| {
        let model = Gpt::init(&Key::new(start), config.clone());
        let optimizer = adamw(Schedule::warmup_cosine(0.0, rate, WARMUP, STEPS as usize, 0.0), DECAY);
        train(run, name, &data, (model, optimizer), Gpt::forward, Gpt::clone)
    })?;
    figures.extend(of_plain);
    for (start, (normalized, plain)) in STARTS.iter().zip(normalized.iter().zip(&plain)) {
        figures.push(Figure::new(format!("start {start}: nGPT, last validation loss"), last(normalized)));
        figures.push(Figure::new(format!("start {start}: GPT, last validation loss"), last(plain)));
    }
    let (normalized, plain) = (mean(&normalized), mean(&plain));
    let steps = reached(&normalized, last(&plain));
    figures.push(Figure::new("steps of GPT", STEPS as f64));
    figures.push(Figure::new("steps of nGPT to GPT's last validation loss, means of the starts", steps));
    figures.push(Figure::at_most("nGPT's share of GPT's steps", steps / STEPS as f64, 0.7));
    let plot = Plot::new("Markov chains and copies, means of three starts").x_label("step").y_label("validation loss");
    Ok(Report::new(figures).plot("loss", plot.series("nGPT", &normalized).series("GPT", &plain)))
}
