//! Speed of small programs, compiled and run as a user's are:
//! `cargo run --release -p gradloom-backends --example program_speed [filter] [schedule]`.

use gradloom_backends::{Buffer, compile};
use gradloom_ir::{DType, Literal, Result, Type, parse};
use std::sync::Arc;
use std::time::Instant;

/// Numbers in [-1, 1); integers in `0..limit`, every one of them about as often.
fn data(ty: &Type, limit: usize) -> Buffer {
    let mut x = 1u64;
    let mut bytes = Vec::with_capacity(ty.bytes());
    for i in 0..ty.numel() {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match ty.dtype {
            DType::F32 => bytes.extend_from_slice(&((x >> 40) as f32 / (1 << 23) as f32 - 1.0).to_ne_bytes()),
            DType::I32 => bytes.extend_from_slice(&((i * 7919 % limit) as i32).to_ne_bytes()),
            d => bytes.extend_from_slice(Literal::scalar(d, (x >> 40) as f64 / (1 << 23) as f64 - 1.0).bytes()),
        }
    }
    Buffer::from_bytes(&bytes)
}

/// Prints the fastest and the median of many runs.
fn measure(name: &str, text: &str) -> Result<()> {
    let wanted = std::env::args().nth(1).is_none_or(|f| name.contains(&f));
    if !wanted {
        return Ok(());
    }
    let g = parse(text)?;
    let rows = g.types().iter().map(|t| t.shape.first().copied().unwrap_or(1)).min().unwrap_or(1).max(1);
    let args: Vec<Arc<Buffer>> = g.input_types().iter().map(|t| Arc::new(data(t, rows))).collect();
    let exe = compile(&g)?;
    let (mut times, begin) = (Vec::new(), Instant::now());
    while begin.elapsed().as_secs_f64() < 0.5 {
        let start = Instant::now();
        exe.run(&args)?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    println!("{name:40} best {:10.1} us  median {:10.1} us", times[0] * 1e6, times[times.len() / 2] * 1e6);
    if std::env::args().nth(2).is_some() {
        println!("{}", exe.schedule());
    }
    Ok(())
}

/// `reduce` of an array of f32.
fn reduction(name: &str, kind: &str, shape: &str, axes: &str, to: &str) -> Result<()> {
    measure(
        name,
        &format!(
            "graph(%0: f32[{shape}]) {{ %1 = reduce(%0) {{kind = \"{kind}\", axes = [{axes}]}} : f32[{to}] return %1 }}"
        ),
    )
}

/// A transpose of an array.
fn transposition(dtype: &str, from: &str, perm: &str, to: &str) -> Result<()> {
    measure(
        &format!("transpose {dtype}[{from}] {perm}"),
        &format!("graph(%0: {dtype}[{from}]) {{ %1 = transpose(%0) {{perm = [{perm}]}} : {dtype}[{to}] return %1 }}"),
    )
}

/// Rows, or elements, of the last operand added to the first at indices.
fn scatter(name: &str, rows: usize, n: usize, width: Option<usize>) -> Result<()> {
    let (row, window) = match width {
        Some(w) => (format!(",{w}"), "1"),
        None => (String::new(), ""),
    };
    measure(
        name,
        &format!(
            "graph(%0: f32[{rows}{row}], %1: i32[{n},1], %2: f32[{n}{row}]) {{
                %3 = scatter(%0, %1, %2) {{update_window_dims = [{window}], inserted_window_dims = [0],
                    input_batching_dims = [], scatter_indices_batching_dims = [], scatter_dims_to_operand_dims = [0],
                    index_vector_dim = 1, kind = \"add\"}} : f32[{rows}{row}]
                return %3 }}"
        ),
    )
}

/// The `k` greatest of each row, as `Tensor::top_k` finds them.
fn top_k(rows: usize, n: usize, k: usize, positions: bool) -> Result<()> {
    let slice = |x: &str| {
        format!(
            "slice({x}) {{start = [0, {}], limit = [{rows}, {n}], stride = [1, 1]}} : {}[{rows},{k}]",
            n - k,
            if x == "%4" { "f32" } else { "i32" }
        )
    };
    let (second, outs) = if positions {
        (format!("%8 = {} %9 = reverse(%8) {{axes = [1]}} : i32[{rows},{k}]", slice("%5")), "%7, %9")
    } else {
        (String::new(), "%7")
    };
    measure(
        &format!("top_k {k} of {rows}x{n}{}", if positions { " with positions" } else { "" }),
        &format!(
            "graph(%0: f32[{rows},{n}]) {{
                %1 = iota() {{dtype = i32, shape = [{rows}, {n}], axis = 1}} : i32[{rows},{n}]
                %2 = reverse(%0) {{axes = [1]}} : f32[{rows},{n}]
                %3 = reverse(%1) {{axes = [1]}} : i32[{rows},{n}]
                %4, %5 = sort(%2, %3) {{axis = 1, num_keys = 1}} : f32[{rows},{n}], i32[{rows},{n}]
                %6 = {}
                %7 = reverse(%6) {{axes = [1]}} : f32[{rows},{k}]
                {second}
                return {outs} }}",
            slice("%4")
        ),
    )
}

fn main() -> Result<()> {
    for (kind, name) in [("sum", "sum"), ("max", "maximum")] {
        reduction(&format!("{name} of all, 2048x2048"), kind, "2048,2048", "0, 1", "")?;
        reduction(&format!("{name} of all, 4194304"), kind, "4194304", "0", "")?;
        reduction(&format!("{name} of all, 4194301 (prime)"), kind, "4194301", "0", "")?;
        reduction(&format!("{name} of columns, 2048x2048"), kind, "2048,2048", "0", "2048")?;
        reduction(&format!("{name} of rows, 2048x2048"), kind, "2048,2048", "1", "2048")?;
    }
    reduction("sum of columns, 65536x64", "sum", "65536,64", "0", "64")?;
    reduction("sum of columns, 65536x256", "sum", "65536,256", "0", "256")?;
    reduction("sum of columns, 1048576x3", "sum", "1048576,3", "0", "3")?;
    reduction("sum of columns, 262144x16", "sum", "262144,16", "0", "16")?;
    reduction("sum of rows, 3x1048576", "sum", "3,1048576", "1", "3")?;
    reduction("sum of images, 64x32x32x32 to 32", "sum", "64,32,32,32", "0, 1, 2", "32")?;
    reduction("sum of channels, 64x32x32x32 to 32", "sum", "64,32,32,32", "0, 2, 3", "32")?;
    for parts in [4, 8, 16, 32, 64, 128] {
        let rows = 2048 / parts;
        measure(
            &format!("sum of columns, 2048x2048, {parts} parts"),
            &format!(
                "graph(%0: f32[2048,2048]) {{ %1 = reshape(%0) {{shape = [{parts}, {rows}, 2048]}} : f32[{parts},{rows},2048]
                    %2 = reduce(%1) {{kind = \"sum\", axes = [1]}} : f32[{parts},2048]
                    %3 = reduce(%2) {{kind = \"sum\", axes = [0]}} : f32[2048] return %3 }}"
            ),
        )?;
    }
    measure(
        "sum of tanh, 2048x2048",
        "graph(%0: f32[2048,2048]) { %1 = tanh(%0) : f32[2048,2048]
            %2 = reduce(%1) {kind = \"sum\", axes = [0, 1]} : f32[] return %2 }",
    )?;
    measure(
        "argmax, 4194304",
        "graph(%0: f32[4194304]) { %1 = arg_reduce(%0) {kind = \"max\", axis = 0} : i32[] return %1 }",
    )?;
    for (dtype, from, perm, to) in [
        ("f32", "2048,2048", "1, 0", "2048,2048"),
        ("f32", "2000,2000", "1, 0", "2000,2000"),
        ("f32", "2047,2049", "1, 0", "2049,2047"),
        ("f32", "512,512", "1, 0", "512,512"),
        ("f32", "64,64", "1, 0", "64,64"),
        ("f32", "65536,4", "1, 0", "4,65536"),
        ("f32", "4,65536", "1, 0", "65536,4"),
        ("f32", "64,128,128", "0, 2, 1", "64,128,128"),
        ("f32", "64,128,128", "2, 1, 0", "128,128,64"),
        ("f32", "32,28,28,64", "0, 3, 1, 2", "32,64,28,28"),
        ("f32", "32,128,8,64", "0, 2, 1, 3", "32,8,128,64"),
        ("f64", "2048,2048", "1, 0", "2048,2048"),
        ("bf16", "2048,2048", "1, 0", "2048,2048"),
        ("u8", "2048,2048", "1, 0", "2048,2048"),
    ] {
        transposition(dtype, from, perm, to)?;
    }
    scatter("scatter_add 65536 rows of 64 into 4096", 4096, 65536, Some(64))?;
    scatter("scatter_add 65536 rows of 8 into 4096", 4096, 65536, Some(8))?;
    scatter("scatter_add 1M numbers into 4096", 4096, 1 << 20, None)?;
    scatter("scatter_add 1M numbers into 1M", 1 << 20, 1 << 20, None)?;
    scatter("scatter_add 65536 numbers into 4096", 4096, 1 << 16, None)?;
    top_k(256, 4096, 16, false)?;
    top_k(256, 4096, 16, true)?;
    top_k(256, 4096, 1024, true)?;
    top_k(1, 1 << 20, 100, true)?;
    top_k(4096, 64, 8, true)?;
    Ok(())
}
