//! Procedural digits of 8 by 8 pixels.

use super::{Mps, SweepConfig, zigzag};
use crate::metrics::accuracy;
use crate::papers::{Figure, Report, Run};
use gradloom_frontend::random::{self, Key};
use gradloom_frontend::{DType, Result, Tensor, jit, linalg};

/// Glyphs of 5 by 7 pixels, a line a number, its highest bit left.
const GLYPHS: [[u8; 7]; 10] = [
    [14, 17, 19, 21, 25, 17, 14],
    [4, 12, 4, 4, 4, 4, 14],
    [14, 17, 1, 2, 4, 8, 31],
    [31, 2, 4, 2, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2],
    [31, 16, 30, 1, 1, 17, 14],
    [6, 8, 16, 30, 17, 17, 14],
    [31, 1, 2, 4, 8, 8, 8],
    [14, 17, 17, 14, 17, 17, 14],
    [14, 17, 17, 15, 1, 2, 12],
];
const SIDE: usize = 8;
const CLASSES: usize = 10;
const TRAIN: usize = 1500;
const TEST: usize = 4000;
const SWEEPS: usize = 5;
const BONDS: usize = 12;
const FEW_BONDS: usize = 2;
/// Deviation of the pixels' noise.
const NOISE: f64 = 0.3;
/// The palest ink; the darkest is 1.
const PALEST: f64 = 0.7;
/// Columns at which glyphs begin; they begin in the first or second line.
const SHIFTS: std::ops::RangeInclusive<usize> = 1..=2;
/// λ of the sweeps.
const DECAY: f64 = 2.0;

/// All glyphs at all their places, `[10, places, 64]`.
fn stencils() -> Tensor {
    let places: Vec<(usize, usize)> = (0..=SIDE - 7).flat_map(|dy| SHIFTS.map(move |dx| (dy, dx))).collect();
    let mut pixels = vec![0.0f32; CLASSES * places.len() * SIDE * SIDE];
    let images = pixels.chunks_mut(SIDE * SIDE);
    let of_glyph = GLYPHS.iter().flat_map(|glyph| places.iter().map(move |place| (glyph, place)));
    for (image, (glyph, (dy, dx))) in images.zip(of_glyph) {
        for (y, line) in glyph.iter().enumerate() {
            for x in (0..5).filter(|x| line >> (4 - x) & 1 == 1) {
                image[(y + dy) * SIDE + x + dx] = 1.0;
            }
        }
    }
    Tensor::from_slice([CLASSES, places.len(), SIDE * SIDE], &pixels)
}

/// Images `[count, 64]` and their classes, as many of each: a place at random, ink of some strength, noise.
fn digits(key: &Key, count: usize) -> Result<(Tensor, Tensor)> {
    let stencils = stencils();
    let make = |key: &Tensor| {
        let keys = Key::from_tensor(key.clone()).split(3);
        let labels = Tensor::arange(count).remainder(CLASSES);
        let place = random::randint(&keys[0], [count], 0, stencils.dim(1) as i32);
        let ink = random::uniform(&keys[1], [count, 1]) * (1.0 - PALEST) + PALEST;
        let noise = random::normal(&keys[2], [count, SIDE * SIDE]) * NOISE;
        let images = (stencils.i((&labels, &place)) * ink + noise).clip(0.0, 1.0);
        (zigzag(&images.reshape([count, SIDE, SIDE])), labels)
    };
    jit(make).call(&key.to_tensor())
}

type Data = (Tensor, Tensor);

fn score(scores: &Tensor, labels: &Tensor) -> Result<f64> {
    Ok(f64::from(accuracy(scores, labels).item::<f32>()?))
}

/// Accuracy on images that are not trained on, after every sweep.
fn train(run: &Run, name: &str, m: usize, data: &Data, unseen: &Data) -> Result<Vec<f64>> {
    let y = data.1.one_hot(CLASSES, DType::F32);
    let config = SweepConfig { decay: DECAY, ..SweepConfig::default() };
    let sweep = jit(|mps: &Mps| {
        let mps = mps.sweep(&data.0, &y, &config).mps;
        (mps.forward(&unseen.0), mps)
    });
    let mut mps = Mps::init(&Key::new(63), SIDE * SIDE, 2, m, CLASSES);
    let mut scores = Vec::new();
    for _ in run.each(name, 0..SWEEPS) {
        let f;
        (f, mps) = sweep.run(mps)?;
        scores.push(score(&f, &unseen.1)?);
    }
    Ok(scores)
}

/// The number of sweeps that is best for a third of the training images when the others are trained on, and the accuracies on
/// the test set after every sweep over all of them.
fn tuned(run: &Run, name: &str, m: usize, data: &Data, test: &Data) -> Result<(usize, Vec<f64>)> {
    let n = data.0.dim(0);
    let part = |from, to| (data.0.slice_axis(0, from, to), data.1.slice_axis(0, from, to));
    let held_out = train(run, &format!("{name}, a third held out"), m, &part(0, n - n / 3), &part(n - n / 3, n))?;
    let best = held_out.iter().copied().fold(0.0, f64::max);
    let sweeps = held_out.iter().position(|s| *s == best).unwrap_or(0) + 1;
    Ok((sweeps, train(run, name, m, data, test)?))
}

/// Least squares on the pixels and a constant.
fn linear(data: &Data, test: &Data) -> Result<f64> {
    let with_one = |x: &Tensor| x.pad(&[(0, 0), (0, 1)], 1.0);
    let w = linalg::lstsq(&with_one(&data.0), &data.1.one_hot(CLASSES, DType::F32));
    score(&with_one(&test.0).matmul(&w), &test.1)
}

pub(super) fn run(run: &Run) -> Result<Report> {
    let keys = Key::new(2026).split(2);
    let data = digits(&keys[0], run.pick(TRAIN, 50))?;
    let test = digits(&keys[1], run.pick(TEST, 20))?;
    let linear = linear(&data, &test)?;
    let (wide_sweeps, wide) = tuned(run, "bonds of 12", BONDS, &data, &test)?;
    let (narrow_sweeps, narrow) = tuned(run, "bonds of 2", FEW_BONDS, &data, &test)?;
    let after = |scores: &[f64], sweeps: usize| scores.get(sweeps - 1).copied().unwrap_or(f64::NAN);
    let (wide_score, narrow_score) = (after(&wide, wide_sweeps), after(&narrow, narrow_sweeps));
    let curve =
        |scores: &[f64]| -> Vec<(f64, f64)> { scores.iter().enumerate().map(|(i, s)| ((i + 1) as f64, *s)).collect() };
    let plot = crate::train::plot::Plot::new("Digits of 8 by 8 pixels: accuracy on unseen ones")
        .x_label("sweep")
        .y_label("accuracy")
        .series("m = 12", &curve(&wide))
        .series("m = 2", &curve(&narrow))
        .series("least squares on the pixels", &[(1.0, linear), (SWEEPS as f64, linear)]);
    Ok(Report::new(vec![
        Figure::new("least squares on the pixels: accuracy", linear),
        Figure::new("m = 2: sweeps, by a third of the training images", narrow_sweeps as f64),
        Figure::new("m = 2: accuracy", narrow_score),
        Figure::new("m = 12: sweeps, by a third of the training images", wide_sweeps as f64),
        Figure::at_least("m = 12: accuracy", wide_score, 0.90),
        Figure::at_least("m = 12: accuracy - that of least squares", wide_score - linear, 0.0),
        Figure::at_least("m = 12: accuracy - that of m = 2", wide_score - narrow_score, 0.05),
    ])
    .plot("curve", plot))
}
