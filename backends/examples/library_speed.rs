//! Speed of library kernels: `cargo run --release -p gradloom-backends --example library_speed [filter]`.

use gradloom_backends::cpu::library::prepare;
use gradloom_ir::{DType, Op, ReduceKind, Shape, Type, infer};
use std::time::Instant;

fn shape(s: &[usize]) -> Shape {
    Shape::from_slice(s)
}

fn f32s(s: &[usize]) -> Type {
    Type::new(DType::F32, s)
}

fn buffer(bytes: usize, seed: u32) -> Vec<[f32; 16]> {
    let mut x = seed;
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..bytes / 64 + 2).map(|_| std::array::from_fn(|_| next())).collect()
}

fn aligned(b: &mut [[f32; 16]]) -> *mut u8 {
    let p = b.as_mut_ptr().cast::<u8>();
    p.wrapping_add(p.align_offset(64))
}

/// Prints the best of many runs. Bytes are those of operands and results, each once.
fn measure(name: &str, op: &Op, args: &[Type]) {
    if std::env::args().nth(1).is_some_and(|f| !name.contains(&f)) {
        return;
    }
    let results = infer(op, args).expect("the op fits its operands");
    let Some(Ok(call)) = prepare(op, args, &results) else { return println!("{name:44} is not prepared") };
    let mut ins: Vec<_> = args.iter().enumerate().map(|(i, t)| buffer(t.bytes(), i as u32)).collect();
    let mut outs: Vec<_> = results.iter().map(|t| buffer(t.bytes(), 9)).collect();
    let mut scratch = buffer(call.scratch_bytes, 0);
    let ins: Vec<*const u8> = ins.iter_mut().map(|b| aligned(b).cast_const()).collect();
    let outs: Vec<*mut u8> = outs.iter_mut().map(|b| aligned(b)).collect();
    let scratch = aligned(&mut scratch);
    let (mut best, start) = (f64::INFINITY, Instant::now());
    while start.elapsed().as_secs_f64() < 0.4 {
        // Clocks are too coarse for one call of the shortest.
        let inner = if best > 1e-4 && best.is_finite() { 1 } else { 8 };
        let t = Instant::now();
        for _ in 0..inner {
            // SAFETY: buffers have the sizes of the types and are aligned.
            unsafe { call.run(&ins, &outs, scratch) };
        }
        best = best.min(t.elapsed().as_secs_f64() / f64::from(inner));
    }
    let bytes: usize = args.iter().chain(&results).map(Type::bytes).sum();
    println!(
        "{name:44} {:12.2} us {:9.1} GFLOP/s {:8.1} GB/s  scratch {} KiB",
        best * 1e6,
        call.flops as f64 / best / 1e9,
        bytes as f64 / best / 1e9,
        call.scratch_bytes / 1024
    );
}

fn dot(lhs_contract: usize, rhs_contract: usize, batch: usize) -> Op {
    let b: Vec<usize> = (0..batch).collect();
    Op::DotGeneral {
        lhs_batch: shape(&b),
        rhs_batch: shape(&b),
        lhs_contract: shape(&[lhs_contract]),
        rhs_contract: shape(&[rhs_contract]),
    }
}

fn conv(
    lhs: [usize; 4],
    rhs: [usize; 4],
    out: [usize; 4],
    pad: i64,
    stride: usize,
    lhs_dilation: usize,
    groups: usize,
) -> Op {
    Op::Convolution {
        lhs_dims: shape(&lhs),
        rhs_dims: shape(&rhs),
        out_dims: shape(&out),
        strides: shape(&[stride, stride]),
        padding: vec![(pad, pad); 2],
        lhs_dilation: shape(&[lhs_dilation, lhs_dilation]),
        rhs_dilation: shape(&[1, 1]),
        feature_groups: groups,
        batch_groups: 1,
    }
}

fn convolutions(name: &str, b: usize, hw: usize, i: usize, o: usize) {
    let nhwc = [0, 3, 1, 2];
    let (x, w, y) = (f32s(&[b, hw, hw, i]), f32s(&[3, 3, i, o]), f32s(&[b, hw, hw, o]));
    measure(&format!("conv {name} forward"), &conv(nhwc, [3, 2, 0, 1], nhwc, 1, 1, 1, 1), &[x.clone(), w.clone()]);
    measure(&format!("conv {name} input gradient"), &conv(nhwc, [2, 3, 0, 1], nhwc, 1, 1, 1, 1), &[y.clone(), w]);
    let kernel = conv([3, 0, 1, 2], [3, 0, 1, 2], [2, 3, 0, 1], 1, 1, 1, 1);
    measure(&format!("conv {name} kernel gradient"), &kernel, &[x, y]);
}

fn main() {
    println!("{} threads", std::thread::available_parallelism().map_or(1, |n| n.get()));
    for n in [1, 2, 4, 8, 16, 32, 64, 128] {
        measure(&format!("matmul {n}^3"), &dot(1, 0, 0), &[f32s(&[n, n]), f32s(&[n, n])]);
    }
    let sq = f32s(&[1024, 1024]);
    for (name, lc, rc) in [("A B", 1, 0), ("A^T B", 0, 0), ("A B^T", 1, 1)] {
        measure(&format!("matmul 1024^3 {name}"), &dot(lc, rc, 0), &[sq.clone(), sq.clone()]);
    }
    measure("matmul 256x784x512", &dot(1, 0, 0), &[f32s(&[256, 784]), f32s(&[784, 512])]);
    measure("matmul 784x256 (256 deep)", &dot(0, 0, 0), &[f32s(&[256, 784]), f32s(&[256, 512])]);
    measure("matmul 32x32 (100352 deep)", &dot(0, 0, 0), &[f32s(&[100_352, 32]), f32s(&[100_352, 32])]);
    measure("matrix-vector 1024", &dot(1, 0, 0), &[sq.clone(), f32s(&[1024])]);
    measure("vector-matrix 1024", &dot(0, 0, 0), &[f32s(&[1024]), sq.clone()]);
    measure("batch 64 of 128x64x128", &dot(2, 2, 1), &[f32s(&[64, 128, 64]), f32s(&[64, 128, 64])]);
    measure("batch 10000 of 4x4x4", &dot(2, 1, 1), &[f32s(&[10_000, 4, 4]), f32s(&[10_000, 4, 4])]);

    convolutions("14x14x32->64", 128, 14, 32, 64);
    convolutions("28x28x1->32", 128, 28, 1, 32);
    convolutions("8x8x256->256", 32, 8, 256, 256);
    let nhwc = [0, 3, 1, 2];
    let x = f32s(&[128, 28, 28, 32]);
    measure(
        "conv strided 28x28x32->64",
        &conv(nhwc, [3, 2, 0, 1], nhwc, 1, 2, 1, 1),
        &[x.clone(), f32s(&[3, 3, 32, 64])],
    );
    let y = f32s(&[128, 14, 14, 64]);
    measure("conv strided input gradient", &conv(nhwc, [2, 3, 0, 1], nhwc, 1, 1, 2, 1), &[y, f32s(&[3, 3, 32, 64])]);
    measure("conv 1x1 32->64", &conv(nhwc, [3, 2, 0, 1], nhwc, 0, 1, 1, 1), &[x.clone(), f32s(&[1, 1, 32, 64])]);
    measure("conv depthwise 3x3", &conv(nhwc, [3, 2, 0, 1], nhwc, 1, 1, 1, 32), &[x.clone(), f32s(&[3, 3, 1, 32])]);
    let nchw = [0, 1, 2, 3];
    let x2 = f32s(&[128, 32, 14, 14]);
    measure("conv NCHW 14x14x32->64", &conv(nchw, nchw, nchw, 1, 1, 1, 1), &[x2, f32s(&[64, 32, 3, 3])]);

    let (window, strides, padding) = (shape(&[1, 2, 2, 1]), shape(&[1, 2, 2, 1]), vec![(0, 0); 4]);
    let ones = shape(&[1; 4]);
    let kind = ReduceKind::Max;
    let pool = Op::ReduceWindow {
        kind,
        window: window.clone(),
        strides: strides.clone(),
        padding: padding.clone(),
        base_dilation: ones.clone(),
        window_dilation: ones,
    };
    measure("max pool forward", &pool, std::slice::from_ref(&x));
    let back =
        Op::SelectAndScatter { kind, window: window.clone(), strides: strides.clone(), padding: padding.clone() };
    measure("max pool backward", &back, &[f32s(&[128, 14, 14, 32]), x.clone()]);
    measure("select and gather", &Op::SelectAndGather { kind, window, strides, padding }, &[x.clone(), x]);

    measure("transpose 1024^2", &Op::Transpose { perm: shape(&[1, 0]) }, std::slice::from_ref(&sq));
    let perm = Op::Transpose { perm: shape(&[0, 2, 1, 3]) };
    measure("transpose 0213", &perm, &[f32s(&[32, 128, 8, 64])]);
    measure("sort 1M", &Op::Sort { axis: 0, num_keys: 1 }, &[f32s(&[1 << 20])]);
    measure(
        "cumulative sum",
        &Op::Cumulative { kind: ReduceKind::Sum, axis: 0, reverse: false },
        std::slice::from_ref(&sq),
    );
    measure("concatenate", &Op::Concatenate { axis: 1 }, &[sq.clone(), sq.clone()]);
    measure("argmax rows", &Op::ArgReduce { kind, axis: 1 }, &[sq]);
}
