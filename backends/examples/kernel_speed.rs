//! Speed of compiled kernels: `cargo run --release -p gradloom-backends --example kernel_speed`.

use gradloom_backends::cpu::codegen::{Jit, Kernel, Vectors};
use gradloom_backends::kernel::{Affine, Axis, Inst, LoopNest, Param, Reduction, Store};
use gradloom_ir::{Binary, DType, Error, Literal, ReduceKind, Result, Unary};
use std::time::Instant;

fn at(strides: &[i64]) -> Affine {
    Affine { offset: 0, strides: strides.into() }
}

fn load(param: u32, strides: &[i64]) -> Inst {
    Inst::Load { param, at: at(strides) }
}

fn constant(x: f64) -> Inst {
    Inst::Const(Literal::scalar(DType::F32, x))
}

/// A nest on f32 whose last body value is stored to the last param.
fn elementwise(name: &str, lens: &[usize], extents: &[usize], body: Vec<Inst>, to: &[i64]) -> LoopNest {
    LoopNest {
        name: name.into(),
        params: lens.iter().map(|len| Param { dtype: DType::F32, len: *len }).collect(),
        axes: extents.iter().map(|extent| Axis { extent: *extent, reduce: false }).collect(),
        stores: vec![Store { param: lens.len() as u32 - 1, value: body.len() as u32 - 1, at: at(to) }],
        body,
        reductions: vec![],
        epilogue: vec![],
    }
}

/// `rows x columns` f32 combined over the last loop, a loop over columns or rows.
fn reduction(name: &str, kind: ReduceKind, rows: usize, columns: usize, over_rows: bool) -> LoopNest {
    let (extents, from) =
        if over_rows { ([columns, rows], [1, columns as i64]) } else { ([rows, columns], [columns as i64, 1]) };
    let mut nest = elementwise(name, &[rows * columns, extents[0]], &extents, vec![load(0, &from)], &[1, 0]);
    nest.axes[1].reduce = true;
    nest.reductions = vec![Reduction { kind, value: 0 }];
    nest.epilogue = vec![Inst::Acc(0)];
    nest.stores[0].value = 1;
    nest
}

fn unary(op: Unary, n: usize) -> LoopNest {
    elementwise(op.name(), &[n, n], &[n], vec![load(0, &[1]), Inst::Unary(op, 0)], &[1])
}

fn transposition(rows: usize, columns: usize) -> LoopNest {
    let n = rows * columns;
    let name = format!("transposition, {rows}x{columns}");
    elementwise(&name, &[n, n], &[columns, rows], vec![load(0, &[1, columns as i64])], &[rows as i64, 1])
}

fn nests() -> Vec<(LoopNest, usize)> {
    let (m, k) = (1 << 20, 1 << 16);
    let axpb = vec![
        load(0, &[1]),
        constant(2.0),
        Inst::Binary(Binary::Mul, 0, 1),
        constant(1.0),
        Inst::Binary(Binary::Add, 2, 3),
    ];
    let threefry = (0..4)
        .map(|i| Inst::Index { dtype: DType::U32, at: Affine { offset: i, strides: [1].into_iter().collect() } })
        .chain([Inst::Threefry(0, [0, 1, 2, 3]), Inst::Bitcast(DType::F32, 4)])
        .collect();
    let relu = vec![load(0, &[1]), constant(0.0), Inst::Binary(Binary::Max, 0, 1)];
    let mut all = vec![
        (elementwise("x*2+1, 16k", &[1 << 14, 1 << 14], &[1 << 14], axpb.clone(), &[1]), 8 << 14),
        (elementwise("x*2+1, 1M", &[m, m], &[m], axpb, &[1]), 8 * m),
        (elementwise("max(x, 0), 64k", &[k, k], &[k], relu, &[1]), 8 * k),
        (transposition(1024, 1024), 8 * m),
        (transposition(1000, 1000), 8_000_000),
        (transposition(64, 512), 8 << 15),
        (reduction("row sum, 1024x1024", ReduceKind::Sum, 1024, 1024, false), 4 * m),
        (reduction("row sum, 64x1024", ReduceKind::Sum, 64, 1024, false), 4 * k),
        (reduction("row max, 64x1024", ReduceKind::Max, 64, 1024, false), 4 * k),
        (reduction("column sum, 1024x1024", ReduceKind::Sum, 1024, 1024, true), 4 * m),
        (reduction("column sum, 64x1024", ReduceKind::Sum, 64, 1024, true), 4 * k),
        (elementwise("threefry, 64k", &[k], &[k], threefry, &[1]), 4 * k),
    ];
    let ops = [Unary::Exp, Unary::Log, Unary::Tanh, Unary::Logistic, Unary::Sin, Unary::Erf, Unary::Sqrt];
    all.extend(ops.map(|op| (unary(op, k), 8 * k)));
    all
}

/// Seconds of the fastest of many runs.
fn fastest(kernel: Kernel, nest: &LoopNest) -> f64 {
    let mut buffers: Vec<Vec<f32>> =
        nest.params.iter().map(|p| (0..p.len).map(|i| (i % 1000) as f32 * 0.01).collect()).collect();
    let pointers: Vec<*mut u8> = buffers.iter_mut().map(|b| b.as_mut_ptr().cast()).collect();
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 0.2 {
        let start = Instant::now();
        // SAFETY: one buffer a param with as many f32 as the nest declares, nothing else uses them, the whole range.
        unsafe { (kernel.func)(pointers.as_ptr(), 0, kernel.split as i64) };
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// Compiles with vectors of a width and measures: milliseconds to compile, seconds to run.
fn measure(nest: &LoopNest, vectors: Vectors) -> Result<(f64, f64)> {
    let mut jit = Jit::with_vectors(vectors)?;
    let start = Instant::now();
    let id = jit.define(nest)?;
    let compile = start.elapsed().as_secs_f64() * 1e3;
    if vectors == Vectors::Bits128 && std::env::args().any(|a| a == nest.name) {
        println!("{}", jit.last_ir());
    }
    let code = jit.finish()?;
    Ok((compile, fastest(code.kernel(id), nest)))
}

fn main() -> Result<()> {
    println!(
        "{:28} {:>10} {:>11} {:>10} {:>8} {:>10} {:>11} {:>6}",
        "kernel", "128-bit us", "compile ms", "widest us", "GB/s", "G/s", "compile ms", "ratio"
    );
    for (nest, bytes) in nests() {
        let (narrow_compile, narrow) = measure(&nest, Vectors::Bits128)?;
        let (compile, seconds) = measure(&nest, Vectors::Widest)?;
        let points: usize = nest.axes.iter().map(|a| a.extent).product();
        let rate = |x: usize| x as f64 / seconds * 1e-9;
        println!(
            "{:28} {:10.1} {:11.2} {:10.1} {:8.1} {:10.2} {:11.2} {:6.2}",
            nest.name,
            narrow * 1e6,
            narrow_compile,
            seconds * 1e6,
            rate(bytes),
            rate(points),
            compile,
            narrow / seconds
        );
    }
    Ok::<(), Error>(())
}
