//! Long reductions, which run in two stages, against the interpreter: to the bit, as every partial result is exact.

use gradloom_backends::{Buffer, Device, compile_for};
use gradloom_ir::eval::{ScalarOps, Wide};
use gradloom_ir::{DType, Literal, ReduceKind, Type, parse, with_element};
use std::sync::Arc;

/// Numbers whose sums and products are exact: small integers, or 1, -1 and a few twos; `special` puts a few others in.
fn numbers(ty: &Type, kind: ReduceKind, special: &[f64]) -> Literal {
    let mut x = 7u64;
    let mut next = |i: usize| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let r = x >> 40;
        match kind {
            _ if !special.is_empty() && r % 9_973 == 5 => special[i % special.len()],
            ReduceKind::Prod if ty.dtype.is_unsigned_int() => (1 + 2 * (r % 2)) as f64,
            ReduceKind::Prod => [1.0, -1.0][(r % 2) as usize] * if r.is_multiple_of(5_003) { 2.0 } else { 1.0 },
            _ if ty.dtype.is_unsigned_int() || ty.dtype == DType::Bool => (r % 2) as f64,
            _ => (r % 5) as f64 - 2.0,
        }
    };
    with_element!(ty.dtype, T => {
        let x: Vec<T> = (0..ty.numel()).map(|i| <T as ScalarOps>::narrow(Wide::Float(next(i)))).collect();
        Literal::new(&ty.shape, &x)
    })
}

fn same(dtype: DType, a: &[u8], b: &[u8]) -> bool {
    let of = |x: &[u8]| Literal::from_bytes(Type::scalar(dtype), x.to_vec()).expect("one element").get_f64(0);
    let nan = |x: &[u8]| dtype.is_float() && of(x).is_nan();
    a.chunks_exact(dtype.size()).zip(b.chunks_exact(dtype.size())).all(|(a, b)| a == b || nan(a) && nan(b))
}

/// Runs a program both ways, on two and three threads; returns the schedule.
#[track_caller]
fn check(text: &str, args: &[Literal]) -> String {
    let g = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let buffers: Vec<Arc<Buffer>> = args.iter().map(|a| Arc::new(Buffer::from_bytes(a.bytes()))).collect();
    let want = compile_for(&g, Device::Interp).and_then(|e| e.run(&buffers)).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let exe = compile_for(&g, Device::Cpu).unwrap_or_else(|e| panic!("{e}\n{text}"));
    for threads in [2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let got = pool.install(|| exe.run(&buffers)).unwrap_or_else(|e| panic!("{e}\n{text}"));
        for ((got, want), ty) in got.iter().zip(&want).zip(g.output_types()) {
            assert!(same(ty.dtype, got.bytes(), want.bytes()), "{text}\n{}", exe.schedule());
        }
    }
    exe.schedule()
}

fn list(x: &[usize]) -> String {
    x.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn of_every_kind_and_dtype() {
    let cases: [(&[usize], &[usize]); 15] = [
        (&[32_768], &[0]),
        (&[32_767], &[0]),
        (&[32_771], &[0]),
        (&[3, 40_009], &[1]),
        (&[40_000, 3], &[0]),
        (&[40_009, 3], &[0]),
        (&[13, 4_001, 5], &[0, 1]),
        (&[5, 13, 4_001], &[1, 2]),
        (&[2, 7, 9, 331, 3], &[0, 1, 2, 3, 4]),
        (&[256, 9, 256], &[0, 2]),
        (&[1, 65_536, 1], &[1]),
        (&[63, 33_001], &[1]),
        (&[96, 4_099], &[0]),
        (&[2, 34, 9_000], &[1]),
        (&[37, 8_192], &[0]),
    ];
    for dtype in DType::ALL.iter().copied().filter(|d| !d.is_complex()) {
        for &kind in ReduceKind::ALL {
            let defined = match kind {
                ReduceKind::Sum | ReduceKind::Prod => dtype != DType::Bool,
                ReduceKind::Max | ReduceKind::Min => true,
                ReduceKind::And | ReduceKind::Or => !dtype.is_float(),
            };
            // the sums of 16-bit floats leave their range of exact integers
            if !defined || dtype.is_half() && matches!(kind, ReduceKind::Sum | ReduceKind::Prod) {
                continue;
            }
            let special = if dtype.is_float() && !matches!(kind, ReduceKind::Sum | ReduceKind::Prod) {
                &[f64::INFINITY, -0.0, 0.0, f64::NEG_INFINITY, f64::NAN][..]
            } else {
                &[]
            };
            for (shape, axes) in cases {
                for special in [&special[..special.len().saturating_sub(1)], special] {
                    let ty = Type::new(dtype, shape);
                    let kept: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).map(|a| shape[a]).collect();
                    let text = format!(
                        "graph(%0: {ty}) {{ %1 = reduce(%0) {{kind = \"{}\", axes = [{}]}} : {dtype}[{}] return %1 }}",
                        kind.name(),
                        list(axes),
                        list(&kept).replace(' ', "")
                    );
                    check(&text, &[numbers(&ty, kind, special)]);
                }
            }
        }
    }
}

/// Partial sums of 16-bit floats keep the digits of f32.
#[test]
fn of_halves_accumulate_in_f32() {
    for dtype in [DType::F16, DType::BF16] {
        for n in [65_536, 65_537] {
            let text = format!(
                "graph(%0: {dtype}[{n}]) {{ %1 = reduce(%0) {{kind = \"sum\", axes = [0]}} : {dtype}[] return %1 }}"
            );
            let ty = Type::new(dtype, &[n]);
            let ones = numbers(&ty, ReduceKind::Max, &[]);
            check(&text, &[ones]);
        }
    }
}

/// What is reduced is computed inside the loop nest of the reduction, whatever its length.
#[test]
fn nothing_large_is_stored() {
    for n in [65_536, 65_537] {
        let ty = Type::new(DType::F32, &[n, 2]);
        let text = format!(
            "graph(%0: f32[{n},2], %1: f32[{n}]) {{
                %2 = broadcast_in_dim(%1) {{shape = [{n}, 2], dims = [0]}} : f32[{n},2]
                %3 = sqrt(%0) : f32[{n},2]
                %4 = divide(%3, %2) : f32[{n},2]
                %5 = iota() {{dtype = f32, shape = [{n}, 2], axis = 0}} : f32[{n},2]
                %6 = greater(%4, %5) : bool[{n},2]
                %7 = select(%6, %4, %5) : f32[{n},2]
                %8 = reduce(%7) {{kind = \"max\", axes = [0]}} : f32[2]
                %9 = sine(%8) : f32[2]
                return %9 }}"
        );
        let args = [numbers(&ty, ReduceKind::Max, &[]), numbers(&Type::new(DType::F32, &[n]), ReduceKind::Max, &[])];
        let schedule = check(&text, &args);
        let g = parse(&text).expect("parses");
        let exe = compile_for(&g, Device::Cpu).expect("compiles");
        assert!(exe.cost().peak_bytes < 4096, "{schedule}");
    }
}

/// A reduction inside a loop's body is cut as well.
#[test]
fn inside_loops() {
    let n = 40_000;
    let text = format!(
        "graph(%0: f32[], %1: f32[{n}]) {{
            %2 = scan(%1, %0) {{body = graph(%0: f32[{n}], %1: f32[]) {{
                %2 = broadcast_in_dim(%1) {{shape = [{n}], dims = []}} : f32[{n}]
                %3 = add(%0, %2) : f32[{n}]
                %4 = reduce(%3) {{kind = \"max\", axes = [0]}} : f32[]
                return %4
            }}, length = 3, reverse = false, consts = 1, carry = 1}} : f32[]
            return %2 }}"
    );
    let args = [Literal::scalar(DType::F32, 1.0), numbers(&Type::new(DType::F32, &[n]), ReduceKind::Max, &[])];
    check(&text, &args);
}
