//! How long automatic rematerialisation takes, and what it gains: `cargo run --release -p gradloom-passes --example
//! rematerialisation`.
//!
//! The programs are gradients of networks, of `tanh(h w + b)` and of `h + tanh(layer_norm(h) w) v`, of growing depth.

use gradloom_ir::{Builder, DType, Graph, Op, Result, Shape, Type, Unary, Value};
use gradloom_passes::analyses::Liveness;
use gradloom_passes::cost::graph_cost;
use gradloom_passes::transform::{Linearized, linearize, transpose};
use gradloom_passes::{Pass, PassContext, Pipeline, Rematerialise};
use std::time::Instant;

const ROWS: usize = 64;
const WIDTH: usize = 128;

fn main() -> Result<()> {
    println!("network        nodes  after         MB    after     work  seconds");
    for (name, layer) in [("tanh", tanh as Layer), ("residual", residual)] {
        for depth in [10, 50, 250] {
            let mut g = gradient(layer, depth)?;
            Pipeline::standard().run_with(&mut g, &mut PassContext::new())?;
            let before = g.clone();
            let start = Instant::now();
            Rematerialise::default().run(&mut g, &mut PassContext::new())?;
            let seconds = start.elapsed().as_secs_f64();
            let megabytes = |g: &Graph| g.analysis::<Liveness>().peak() as f64 / 1e6;
            let work = graph_cost(&g).flops as f64 / graph_cost(&before).flops as f64;
            println!(
                "{:12} {:>7} {:>6} {:>10.2} {:>8.2} {work:>8.2} {seconds:>8.3}",
                format!("{name} {depth}"),
                before.nodes().len(),
                g.nodes().len(),
                megabytes(&before),
                megabytes(&g),
            );
        }
    }
    Ok(())
}

type Layer = fn(&mut Builder, Value) -> Value;

/// tanh(h w + b)
fn tanh(b: &mut Builder, h: Value) -> Value {
    let w = b.input(Type::new(DType::F32, &[WIDTH, WIDTH]), "w");
    let bias = b.input(Type::new(DType::F32, &[WIDTH]), "b");
    let z = matmul(b, h, w);
    let bias = b.broadcast(bias, &[ROWS, WIDTH], &[1]);
    let z = b.add(z, bias);
    b.unary(Unary::Tanh, z)
}

/// h + tanh(normal(h) w) v
fn residual(b: &mut Builder, h: Value) -> Value {
    let w = b.input(Type::new(DType::F32, &[WIDTH, WIDTH]), "w");
    let v = b.input(Type::new(DType::F32, &[WIDTH, WIDTH]), "v");
    let mean = |b: &mut Builder, x: Value| {
        let sum = b.sum(x, &[1]);
        let mean = b.scale(sum, 1.0 / WIDTH as f64);
        b.broadcast(mean, &[ROWS, WIDTH], &[0])
    };
    let center = mean(b, h);
    let x = b.sub(h, center);
    let square = b.mul(x, x);
    let variance = mean(b, square);
    let variance = b.offset(variance, 1e-5);
    let scale = b.unary(Unary::Rsqrt, variance);
    let x = b.mul(x, scale);
    let x = matmul(b, x, w);
    let x = b.unary(Unary::Tanh, x);
    let x = matmul(b, x, v);
    b.add(h, x)
}

fn matmul(b: &mut Builder, x: Value, y: Value) -> Value {
    let axis = |a: usize| Shape::from_elem(a, 1);
    let none = Shape::new();
    let op = Op::DotGeneral { lhs_batch: none.clone(), rhs_batch: none, lhs_contract: axis(1), rhs_contract: axis(0) };
    b.op(op, &[x, y])
}

/// The gradient of the sum of the network's result with respect to all of its matrices, and its input.
fn gradient(layer: Layer, depth: usize) -> Result<Graph> {
    let mut b = Builder::new();
    let mut h = b.input(Type::new(DType::F32, &[ROWS, WIDTH]), "x");
    for _ in 0..depth {
        h = layer(&mut b, h);
    }
    let loss = b.sum(h, &[0, 1]);
    let forward = b.finish(&[loss])?;
    let Linearized { primal, linear, residuals, .. } = linearize(&forward, &vec![true; forward.num_inputs()])?;
    let tangents: Vec<bool> = (0..linear.num_inputs()).map(|i| i >= residuals).collect();
    let backward = transpose(&linear, &tangents)?.graph;
    let (mut b, args) = Builder::with_inputs(&primal.input_types());
    let results = b.inline(&primal, &args)?;
    let one = b.scalar(DType::F32, 1.0);
    let gradients = b.inline(&backward, &[&results[1..], &[one]].concat())?;
    b.finish(&gradients)
}
