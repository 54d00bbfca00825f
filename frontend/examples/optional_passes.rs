//! What optional passes gain: `cargo run --release --example optional_passes`.
//!
//! Each program is timed with and without the pass in turn; the medians are printed.
use gradloom::losses::cross_entropy;
use gradloom::nn::relu;
use gradloom::passes::{Pipeline, choose_layouts, pass_fn, sink_transposes};
use gradloom::prelude::*;
use gradloom::{Conv, ReduceKind, conv_general};
use std::time::Instant;

fn main() -> gradloom::Result<()> {
    layouts()?;
    transposes()?;
    weights()
}

/// Runs these in turn and prints the median time of each.
fn compare(title: &str, runs: usize, programs: &[(&str, &dyn Fn() -> gradloom::Result<()>)]) -> gradloom::Result<()> {
    let mut times = vec![Vec::new(); programs.len()];
    for _ in 0..=runs {
        for (times, (_, run)) in times.iter_mut().zip(programs) {
            let start = Instant::now();
            run()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!("{title}");
    for (times, (name, _)) in times.iter_mut().zip(programs) {
        times.remove(0); // compiles
        times.sort_by(f64::total_cmp);
        println!("  {name:36} {:9.3} ms", times[times.len() / 2]);
    }
    Ok(())
}

fn random(shape: &[usize], seed: u64) -> Tensor {
    random::normal(&Key::new(seed), shape) * 0.05
}

#[derive(Tree, Clone)]
struct Cnn {
    c1: Tensor,
    c2: Tensor,
    d1: Tensor,
    d2: Tensor,
}

/// A training step of the ladder's `cnn_train` (batch 128), in PyTorch's layout and in ours.
fn layouts() -> gradloom::Result<()> {
    fn block(x: &Tensor, w: &Tensor, layout: &str) -> Tensor {
        let kernel = if layout == "NCHW" { "OIHW" } else { "HWIO" };
        let x = relu(&conv_general(x, w, (layout, kernel, layout), &Conv::new().padding(Padding::Same)));
        let window: &[usize] = if layout == "NCHW" { &[1, 1, 2, 2] } else { &[1, 2, 2, 1] };
        x.reduce_window(ReduceKind::Max, window, window, &Padding::Valid)
    }
    let step = |layout: &'static str| {
        move |(p, x, y): &(Cnn, Tensor, Tensor)| {
            let loss = |p: &Cnn| {
                let h = block(&block(x, &p.c1, layout), &p.c2, layout);
                let h = h.reshape([h.dim(0) as i64, -1]);
                cross_entropy(&relu(&h.matmul(&p.d1)).matmul(&p.d2), y)
            };
            let (loss, g) = value_and_grad(loss)(p);
            (loss, p.zip_map(&g, |p, g| p - g * 0.01))
        }
    };
    let dense = [random(&[3136, 128], 2), random(&[128, 10], 3)];
    let network = |c1: &[usize], c2: &[usize]| Cnn {
        c1: random(c1, 0),
        c2: random(c2, 1),
        d1: dense[0].clone(),
        d2: dense[1].clone(),
    };
    let y = Tensor::from_vec((0..128).map(|i| i % 10).collect::<Vec<i32>>());
    let front = (network(&[32, 1, 3, 3], &[64, 32, 3, 3]), random(&[128, 1, 28, 28], 4), y.clone());
    let last = (network(&[3, 3, 1, 32], &[3, 3, 32, 64]), random(&[128, 28, 28, 1], 4), y);
    let with = |p: Pipeline| p.with(pass_fn("choose_layouts", |g, _| choose_layouts(g)));
    let [plain, turned] = [jit(step("NCHW")), jit(step("NCHW")).pipeline(with)];
    let ours = jit(step("NHWC"));
    compare(
        "a training step of a convolutional network",
        21,
        &[
            ("channels in front", &|| plain.call(&front).map(drop)),
            ("channels in front, choose_layouts", &|| turned.call(&front).map(drop)),
            ("channels last", &|| ours.call(&last).map(drop)),
        ],
    )
}

/// Four normalisations over the channels of an image with channels in front, as ConvNeXt has them.
fn transposes() -> gradloom::Result<()> {
    let normal = |x: &Tensor| {
        let x = x.permute([0, 2, 3, 1]);
        let x = &x - x.mean(-1).expand_dims(-1);
        let x = &x * ((&x * &x).mean(-1) + 1e-5).rsqrt().expand_dims(-1);
        x.permute([0, 3, 1, 2]).tanh()
    };
    let f = move |x: &Tensor| (0..4).fold(x.clone(), |x, _| normal(&x));
    let with = |p: Pipeline| p.with(pass_fn("sink_transposes", |g, _| sink_transposes(g)));
    let x = random(&[16, 64, 32, 32], 5);
    let [plain, sunk] = [jit(f), jit(f).pipeline(with)];
    compare(
        "normalisation of channels in front",
        21,
        &[("standard", &|| plain.call(&x).map(drop)), ("sink_transposes", &|| sunk.call(&x).map(drop))],
    )
}

/// A perceptron of four matrices of 2048 x 2048 on one row, as when a language model makes a token.
fn weights() -> gradloom::Result<()> {
    let layers: Vec<Tensor> = (0..4).map(|i| random(&[2048, 2048], 10 + i)).collect();
    let f = |x: &Tensor| layers.iter().fold(x.clone(), |h, w| h.matmul(w).tanh());
    let x = random(&[1, 2048], 20);
    let narrow = jit(f).quantize_weights().lower(&x)?;
    let constants = narrow.graph().nodes().iter().filter_map(|n| match &n.op {
        gradloom::ir::Op::Constant { value } => Some(value.bytes().len()),
        _ => None,
    });
    let wide: usize = layers.iter().map(|w| w.size() * 4).sum();
    println!("weights: {:.1} MB in f32, {:.1} MB in 8 bits", wide as f64 / 1e6, constants.sum::<usize>() as f64 / 1e6);
    let (plain, narrow) = (jit(f), narrow.compile()?);
    compare(
        "a perceptron on one row",
        51,
        &[("f32", &|| plain.call(&x).map(drop)), ("quantize_weights", &|| narrow.call(&x).map(drop))],
    )
}
