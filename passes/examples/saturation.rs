//! What equality saturation finds beyond the standard passes, and what it takes: `cargo run --release -p gradloom-passes
//! --example saturation`.

use gradloom_ir::{Graph, Result, parse};
use gradloom_passes::cost::graph_cost;
use gradloom_passes::transform::jvp;
use gradloom_passes::{Pipeline, ReassociateProducts, Saturate};
use std::time::{Duration, Instant};

/// Matrix product of two arrays of two axes.
const DOT: &str = "{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}";

/// Name, inputs, nodes; the last value is the result. `DOT` stands for the axes of a matrix product.
const PROGRAMS: &[(&str, &str, &str)] = &[
    (
        "a x + b x + c x",
        "%0: f32[1000], %1: f32[1000], %2: f32[1000], %3: f32[1000]",
        "%4 = multiply(%0, %3) : f32[1000] %5 = multiply(%1, %3) : f32[1000] %6 = multiply(%2, %3) : f32[1000]
         %7 = add(%4, %5) : f32[1000] %8 = add(%7, %6) : f32[1000]",
    ),
    (
        "A B + A C",
        "%0: f32[64,64], %1: f32[64,64], %2: f32[64,64]",
        "%3 = dot_general(%0, %1) DOT : f32[64,64] %4 = dot_general(%0, %2) DOT : f32[64,64]
         %5 = add(%3, %4) : f32[64,64]",
    ),
    (
        "A B v",
        "%0: f32[64,64], %1: f32[64,64], %2: f32[64]",
        "%3 = dot_general(%0, %1) DOT : f32[64,64] %4 = dot_general(%3, %2) DOT : f32[64]",
    ),
    (
        "log softmax",
        "%0: f32[32,100]",
        "%1 = exponential(%0) : f32[32,100] %2 = reduce(%1) {kind = \"sum\", axes = [1]} : f32[32]
         %3 = broadcast_in_dim(%2) {shape = [32,100], dims = [0]} : f32[32,100]
         %4 = divide(%1, %3) : f32[32,100] %5 = log(%4) : f32[32,100]",
    ),
    (
        "tanh layer",
        "%0: f32[32,64], %1: f32[64,64], %2: f32[32,64]",
        "%3 = dot_general(%0, %1) DOT : f32[32,64] %4 = add(%3, %2) : f32[32,64] %5 = tanh(%4) : f32[32,64]",
    ),
    (
        "normal density",
        "%0: f32[1000], %1: f32[1000], %2: f32[1000]",
        "%3 = subtract(%0, %1) : f32[1000] %4 = divide(%3, %2) : f32[1000] %5 = multiply(%4, %4) : f32[1000]
         %6 = constant() {value = dense<-0.5 : f32[]>} : f32[]
         %7 = broadcast_in_dim(%6) {shape = [1000], dims = []} : f32[1000] %8 = multiply(%5, %7) : f32[1000]
         %9 = exponential(%8) : f32[1000] %10 = divide(%9, %2) : f32[1000]",
    ),
];

fn program(inputs: &str, nodes: &str) -> Result<Graph> {
    let mut results = nodes.split('%').filter_map(|t| t.split_once(" =")).filter_map(|(n, _)| n.parse::<u32>().ok());
    let last = results.next_back().unwrap_or(0);
    parse(&format!("graph({inputs}) {{ {} return %{last} }}", nodes.replace("DOT", DOT)))
}

/// The program and how long the pipeline takes for it.
fn run(p: &Pipeline, g: &Graph) -> Result<(Graph, Duration)> {
    let mut new = g.clone();
    let start = Instant::now();
    p.run(&mut new)?;
    Ok((new, start.elapsed()))
}

fn row(name: &str, g: &Graph) -> Result<()> {
    let pipelines = [
        Pipeline::standard(),
        Pipeline::standard().with(ReassociateProducts::default()),
        Pipeline::standard().with(Saturate::of_all_numbers()),
        Pipeline::standard().with(Saturate::of_finite_numbers()),
    ];
    print!("{name:28}");
    for p in &pipelines {
        let (new, _) = run(p, g)?; // tables are made the first time
        let (_, time) = run(p, g)?;
        let c = graph_cost(&new);
        print!(" |{:4} {:9} {:7.2} ms", new.nodes().len(), c.flops + c.bytes, time.as_secs_f64() * 1e3);
    }
    println!();
    Ok(())
}

fn main() -> Result<()> {
    let columns = ["standard", "reassociate_products", "saturate, all numbers", "saturate, finite numbers"];
    print!("{:28}", "nodes, flops + bytes, time");
    columns.iter().for_each(|c| print!(" | {c:23}"));
    println!();
    for (name, inputs, nodes) in PROGRAMS {
        let g = program(inputs, nodes)?;
        row(name, &g)?;
        row(&format!("{name}, tangent"), &jvp(&g, &vec![true; g.num_inputs()], None)?.graph)?;
    }
    Ok(())
}
