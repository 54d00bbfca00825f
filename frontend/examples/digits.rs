//! Handwritten digits: a small convolutional network trained by one compiled step, saved, loaded again and looked at.
//!
//! `cargo run --release --example digits`

use clap::Parser;
use gradloom::data::{Labelled, digits};
use gradloom::losses::cross_entropy;
use gradloom::metrics::accuracy;
use gradloom::nn::{ConvConfig, Convolution, Linear, Pad, relu};
use gradloom::optim::{Adam, Transformation, adam};
use gradloom::prelude::*;
use gradloom::train::plot::Plot;
use gradloom::{Error, Padding, Result, io};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::time::Instant;

const SEED: u64 = 0;
const BATCH: usize = 64;

/// Trains a small network on 8x8 images of digits.
#[derive(Parser)]
struct Options {
    /// Where digits.svg and digits.safetensors go; created if missing.
    #[arg(long, default_value = "out")]
    out: PathBuf,
    /// Passes over the training images.
    #[arg(long, default_value_t = 15)]
    epochs: usize,
    /// Where to run: `cpu`, or a GPU, `cuda:0`.
    #[arg(long, default_value_t = Device::Cpu)]
    device: Device,
}

#[derive(Tree, Clone)]
struct Net {
    c1: Convolution,
    c2: Convolution,
    d1: Linear,
    d2: Linear,
}

impl Net {
    fn init(key: &Key) -> Net {
        let key = |i| key.fold_in(i);
        Net {
            c1: Convolution::init(&key(1), ConvConfig::new([3, 3], 1, 32).padding(Pad::Same)),
            c2: Convolution::init(&key(2), ConvConfig::new([3, 3], 32, 64).padding(Pad::Same)),
            d1: Linear::init(&key(3), 4 * 4 * 64, 128),
            d2: Linear::init(&key(4), 128, 10),
        }
    }

    /// Images `[batch, 8, 8, 1]` to scores `[batch, 10]`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = relu(&self.c1.forward(x));
        let x = relu(&self.c2.forward(&x)).max_pool(&[2, 2], &[2, 2], &Padding::Valid);
        let x = x.reshape([x.dim(0) as i64, -1]);
        self.d2.forward(&relu(&self.d1.forward(&x)))
    }
}

type State = (Net, <Adam as Transformation>::State<Net>);

fn main() -> Result<()> {
    run(std::env::args_os())
}

/// The example, on these arguments: the first is what the program is called.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<()> {
    let options = Options::parse_from(args);
    gradloom::set_default_device(options.device);
    std::fs::create_dir_all(&options.out).map_err(|e| Error::io(format!("create {}", options.out.display()), &e))?;
    let (train, test) = digits()?.split(0.8, SEED)?;
    let (net, curve) = fit(&train, &test, options.epochs)?;

    let svg = options.out.join("digits.svg");
    let accuracies: Vec<(f64, f64)> = curve.iter().map(|c| (c.step, c.accuracy)).collect();
    let losses: Vec<(f64, f64)> = curve.iter().map(|c| (c.step, c.loss)).collect();
    Plot::new("digits").x_label("step").series("loss", &losses).series("accuracy", &accuracies).save(&svg)?;
    let weights = options.out.join("digits.safetensors");
    io::save_safetensors(&weights, &net)?;
    println!("wrote {} and {}", svg.display(), weights.display());

    let net = io::load_safetensors(&weights, &net)?;
    show(&net, &test, 10)
}

/// Loss and accuracy on the held-out images after a number of steps.
struct Point {
    step: f64,
    loss: f64,
    accuracy: f64,
}

fn fit(train: &Labelled, test: &Labelled, epochs: usize) -> Result<(Net, Vec<Point>)> {
    let optimizer = adam(2e-3);
    let step = jit(|((net, state), x, y): &(State, Tensor, Tensor)| {
        let (loss, grads) = value_and_grad(|net: &Net| cross_entropy(&net.forward(x), y))(net);
        (loss, optimizer.step(net, &grads, state))
    });
    let evaluate = jit(|(net, x, y): &(Net, Tensor, Tensor)| {
        let scores = net.forward(x);
        (cross_entropy(&scores, y), accuracy(&scores, y))
    });

    let net = Net::init(&Key::new(SEED));
    let (held_x, held_y) = test.tensors();
    let mut state = (net.clone(), optimizer.init(&net));
    drop(net);
    let mut curve = Vec::new();
    let bar = progress(epochs * (train.len() / BATCH));
    let start = Instant::now();
    for epoch in 0..epochs {
        for (x, y) in train.batches(BATCH, SEED + 1 + epoch as u64)? {
            let (loss, next) = step.run((state, x, y))?;
            state = next;
            bar.inc(1);
            if bar.position().is_multiple_of(20) {
                let (_, accuracy) = evaluate.call(&(state.0.clone(), held_x.clone(), held_y.clone()))?;
                let (loss, accuracy) = (f64::from(loss.item::<f32>()?), f64::from(accuracy.item::<f32>()?));
                bar.set_message(format!("loss {loss:.4}, accuracy {:.1} %", 100.0 * accuracy));
                curve.push(Point { step: bar.position() as f64, loss, accuracy });
            }
        }
    }
    bar.finish();
    let (loss, accuracy) = evaluate.call(&(state.0.clone(), held_x, held_y))?;
    println!(
        "{:.2} % of {} held-out digits right, loss {:.4}, after {:.1} s",
        100.0 * accuracy.item::<f32>()?,
        test.len(),
        loss.item::<f32>()?,
        start.elapsed().as_secs_f64()
    );
    Ok((state.0, curve))
}

fn progress(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} step {pos}/{len}, {elapsed}, {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style)
}

/// Draws the first `count` images with what the network takes them for.
fn show(net: &Net, test: &Labelled, count: usize) -> Result<()> {
    let some = test.take(&(0..count.min(test.len())).collect::<Vec<_>>())?;
    let (x, _) = some.tensors();
    let predicted = jit(|(net, x): &(Net, Tensor)| net.forward(x).argmax(-1)).call(&(net.clone(), x))?;
    let predicted = predicted.to_vec::<i32>()?;
    for rows in (0..some.len()).collect::<Vec<_>>().chunks(5) {
        println!();
        for y in 0..8 {
            for &i in rows {
                print!("{}  ", some.example(i)?[8 * y..8 * y + 8].iter().map(|&p| shade(p)).collect::<String>());
            }
            println!();
        }
        for &i in rows {
            print!("{:18}", format!("{} (is {})", predicted[i], some.labels()[i]));
        }
        println!();
    }
    Ok(())
}

/// Two characters for an intensity from 0 to 1: about as wide as high.
fn shade(p: f32) -> String {
    let level = (p * 4.0).round().clamp(0.0, 4.0) as usize;
    [' ', '░', '▒', '▓', '█'][level].to_string().repeat(2)
}
