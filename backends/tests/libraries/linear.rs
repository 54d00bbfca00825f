//! Linear algebra by cuSOLVER and cuBLAS.

use super::{check, check_text, gpu, graph, oracle, rows};
use gradloom_backends::cuda::{CudaProgram, Gpu};
use gradloom_ir::{DType, Graph, Literal};
use gradloom_passes::transform::batch;
use std::collections::BTreeSet;

/// Relative to the larger of 1 and the result, for matrices of a few rows that are far from singular.
fn tolerance(dtype: DType) -> f64 {
    if matches!(dtype, DType::F32 | DType::C64) { 2e-4 } else { 1e-10 }
}

const OPS: [&str; 9] = ["cholesky(", "triangular_solve(", "lu(", "qr(", "svd(", "eigh(", "eig(", "pinv(", "fft("];

/// What has no form: the error's first line, which names the op.
fn refusal(gpu: &'static Gpu, g: &Graph) -> Option<String> {
    let e = CudaProgram::new(g, gpu).err()?;
    let text = e.to_string();
    assert!(text.contains("no form on GPUs"), "{text}\n{g}");
    text.lines().next().map(str::to_string)
}

#[test]
fn every_row_of_the_table() {
    let Some(gpu) = gpu() else { return };
    let (mut run, mut refused) = (0, BTreeSet::new());
    for dtype in [DType::F32, DType::F64, DType::C64, DType::C128] {
        for row in rows::table() {
            if !OPS.iter().any(|op| row.text.contains(op)) {
                continue;
            }
            let rows::Instance::Row(row) = rows::on_dtype(&row, dtype) else { continue };
            let point = rows::Random(7).point(&row);
            if let Some(why) = refusal(gpu, &row.graph) {
                refused.insert(why);
                continue;
            }
            let schedule = check(gpu, &row.graph, &point, tolerance(dtype));
            assert!(schedule.contains("library"), "{}\n{schedule}", row.text);
            run += 1;
            if dtype == DType::F64 {
                let twice = vec![true; row.graph.num_inputs()];
                let Ok(b) = batch(&row.graph, &twice, 2, None, None) else { continue };
                let two = |l: &Literal| {
                    let mut ty = l.ty().clone();
                    ty.shape.insert(0, 2);
                    Literal::from_bytes(ty, [l.bytes(), l.bytes()].concat())
                };
                let inputs: Vec<Literal> = point.iter().filter_map(two).collect();
                if refusal(gpu, &b.graph).is_none() {
                    check(gpu, &b.graph, &inputs, tolerance(dtype));
                    run += 1;
                }
            }
        }
    }
    println!("{run} programs; refused: {refused:?}");
    assert!(run > 160, "{run}");
    assert!(refused.is_empty(), "{refused:?}");
}

/// A matrix, or a batch of them, whose diagonal is `diagonal` more than random numbers of -1..1.
fn matrices(seed: u64, ty: &str, diagonal: f64) -> Literal {
    let g = graph(&format!("graph(%0: {ty}) {{ return %0 }}"));
    let ty = g.input_types().remove(0);
    let x = oracle::unit_array(&mut oracle::Random(seed), &ty);
    let (n, parts) = (ty.shape[ty.rank() - 1], if ty.dtype.is_complex() { 2 } else { 1 });
    let rows = ty.shape[ty.rank() - 2];
    let mut numbers = x.to_numbers();
    for (at, number) in numbers.iter_mut().enumerate().filter(|(at, _)| at % parts == 0) {
        let (i, j) = (at / parts / n % rows, at / parts % n);
        if i == j {
            *number += diagonal * (1.0 + i as f64 / n as f64);
        }
    }
    rows::literal(&ty, &numbers)
}

/// Orders beyond one tile of anything, and batches.
#[test]
fn larger_matrices() {
    let Some(gpu) = gpu() else { return };
    for dtype in [DType::F64, DType::C128] {
        for (op, shape, results) in [
            ("cholesky(%0) {lower = true}", "2,19,19", vec!["2,19,19"]),
            ("cholesky(%0) {lower = false}", "19,19", vec!["19,19"]),
            ("lu(%0)", "2,21,13", vec!["2,21,13"]),
            ("lu(%0)", "13,21", vec!["13,21"]),
            ("qr(%0) {full = false}", "23,17", vec!["23,17", "17,17"]),
            ("qr(%0) {full = true}", "17,9", vec!["17,17", "17,9"]),
            ("qr(%0) {full = false}", "3,7,17", vec!["3,7,7", "3,7,17"]),
            ("svd(%0) {full = false, vectors = true}", "2,17,11", vec!["2,11", "2,17,11", "2,11,11"]),
            ("svd(%0) {full = false, vectors = true}", "11,17", vec!["11", "11,11", "11,17"]),
            ("svd(%0) {full = true, vectors = true}", "5,6", vec!["5", "5,5", "6,6"]),
            ("eigh(%0) {vectors = true}", "3,15,15", vec!["3,15", "3,15,15"]),
            ("eig(%0) {vectors = true}", "14,14", vec!["14", "14,14"]),
        ] {
            let (real, complex) = (dtype.real().name(), dtype.complex().unwrap_or(dtype).name());
            let mut types: Vec<String> = results
                .iter()
                .enumerate()
                .map(|(k, shape)| {
                    let of_values = k == 0 && (op.starts_with("svd") || op.starts_with("eigh"));
                    let name = if op.starts_with("eig(") {
                        complex
                    } else if of_values {
                        real
                    } else {
                        dtype.name()
                    };
                    format!("{name}[{shape}]")
                })
                .collect();
            if op.starts_with("lu") {
                let sizes: Vec<usize> = shape.split(',').filter_map(|n| n.parse().ok()).collect();
                let (m, n) = (sizes[sizes.len() - 2], sizes[sizes.len() - 1]);
                let batch = if sizes.len() == 3 { format!("{},", sizes[0]) } else { String::new() };
                types.push(format!("i32[{batch}{}]", m.min(n)));
                types.push(format!("i32[{batch}{m}]"));
            }
            let names: Vec<String> = (1..=types.len()).map(|i| format!("%{i}")).collect();
            let (names, types) = (names.join(", "), types.join(", "));
            let ty = format!("{}[{shape}]", dtype.name());
            let g = graph(&format!("graph(%0: {ty}) {{ {names} = {op} : {types} return {names} }}"));
            // definite; without an order of rows that is plain
            let diagonal = if op.starts_with("lu") { 0.0 } else { 20.0 };
            check(gpu, &g, &[matrices(5, &ty, diagonal)], 1e-9);
        }
    }
}

#[test]
fn solves() {
    let Some(gpu) = gpu() else { return };
    for dtype in [DType::F32, DType::C128] {
        for left in [true, false] {
            for lower in [true, false] {
                for op in ["none", "transpose", "adjoint"] {
                    for unit in [true, false] {
                        let (a, b) = if left { ("2,5,5", "2,5,3") } else { ("2,5,5", "2,3,5") };
                        let d = dtype.name();
                        let text = format!(
                            "graph(%0: {d}[{a}], %1: {d}[{b}]) {{
                                %2 = triangular_solve(%0, %1) {{left_side = {left}, lower = {lower}, transpose_a = \"{op}\", unit_diagonal = {unit}}} : {d}[{b}]
                                return %2, %1 }}"
                        );
                        let g = graph(&text);
                        let a = matrices(3, &format!("{d}[{a}]"), 2.0);
                        let b = matrices(4, &format!("{d}[{b}]"), 0.0);
                        check(gpu, &g, &[a, b], if dtype == DType::F32 { 1e-3 } else { 1e-10 });
                    }
                }
            }
        }
        for op in ["none", "transpose", "adjoint"] {
            let d = dtype.name();
            let text = format!(
                "graph(%0: {d}[2,4,4], %1: {d}[2,4,3]) {{
                    %2, %3, %4 = lu(%0) : {d}[2,4,4], i32[2,4], i32[2,4]
                    %5 = lu_solve(%0, %2, %4, %1) {{transpose_a = \"{op}\"}} : {d}[2,4,3]
                    return %5, %4 }}"
            );
            let inputs = [matrices(8, &format!("{d}[2,4,4]"), 0.5), matrices(9, &format!("{d}[2,4,3]"), 0.0)];
            check(gpu, &graph(&text), &inputs, if dtype == DType::F32 { 5e-3 } else { 1e-9 });
        }
    }
}

/// Matrices that have no result have NaN, beside others that have one.
#[test]
fn matrices_without_a_result() {
    let Some(gpu) = gpu() else { return };
    let nan = f64::NAN;
    // finite, not finite in the lower triangle, not finite in the upper triangle, not definite
    let four = [[3.0, 1.0, 1.0, 4.0], [3.0, 1.0, nan, 4.0], [3.0, nan, 1.0, 4.0], [1.0, 2.0, 2.0, 1.0]].concat();
    for (op, results) in [
        ("cholesky(%0) {lower = true}", "f64[4,2,2]"),
        ("cholesky(%0) {lower = false}", "f64[4,2,2]"),
        ("lu(%0)", "f64[4,2,2], i32[4,2], i32[4,2]"),
        ("qr(%0) {full = true}", "f64[4,2,2], f64[4,2,2]"),
        ("svd(%0) {full = false, vectors = true}", "f64[4,2], f64[4,2,2], f64[4,2,2]"),
        ("eigh(%0) {vectors = true}", "f64[4,2], f64[4,2,2]"),
        ("eig(%0) {vectors = true}", "c128[4,2], c128[4,2,2]"),
    ] {
        let count = results.matches('[').count();
        let names: Vec<String> = (1..=count).map(|i| format!("%{i}")).collect();
        let names = names.join(", ");
        let g = graph(&format!("graph(%0: f64[4,2,2]) {{ {names} = {op} : {results} return {names} }}"));
        check(gpu, &g, &[Literal::new(&[4, 2, 2], &four)], 1e-10);
    }
    // singular ones have factors
    let g = graph("graph(%0: f64[3,3]) { %1, %2, %3 = lu(%0) : f64[3,3], i32[3], i32[3] return %1, %2, %3 }");
    let x = Literal::new(&[3, 3], &[0.0, 1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 5.0, 6.0]);
    check(gpu, &g, &[x], 1e-12);
    let zeros = Literal::new(&[3, 3], &[0.0; 9]);
    check(gpu, &g, &[zeros], 0.0);
}

/// Eigenvalues that share a real part are ordered by their imaginary parts, whatever the order the library gives.
#[test]
fn groups_of_eigenvalues() {
    let Some(gpu) = gpu() else { return };
    let g = graph("graph(%0: f64[2,6,6]) { %1 = eig(%0) {vectors = false} : c128[2,6] return %1 }");
    let mut a = [0.0; 72];
    // pairs 1 +- 2i, 1 +- i and values 1 and -3; then a rotation by angles of one real part
    for (at, block) in [(0, [1.0, 2.0, -2.0, 1.0]), (2, [1.0, -1.0, 1.0, 1.0]), (4, [1.0, 0.0, 0.0, -3.0])] {
        for (k, x) in block.into_iter().enumerate() {
            a[(at + k / 2) * 6 + at + k % 2] = x;
        }
    }
    for (at, x) in [(0, 3.0), (2, 1.0), (4, 2.0)] {
        a[36 + at * 6 + at + 1] = x;
        a[36 + (at + 1) * 6 + at] = -x;
    }
    check(gpu, &g, &[Literal::new(&[2, 6, 6], &a)], 1e-10);
}

#[test]
fn empty_matrices() {
    let Some(gpu) = gpu() else { return };
    for text in [
        "graph(%0: f32[0,3,3]) { %1 = cholesky(%0) {lower = true} : f32[0,3,3] return %1 }",
        "graph(%0: f32[0,0]) { %1 = cholesky(%0) {lower = true} : f32[0,0] return %1 }",
        "graph(%0: f32[3,0]) { %1, %2 = qr(%0) {full = true} : f32[3,3], f32[3,0] return %1, %2 }",
        "graph(%0: f32[2,3,0]) { %1, %2, %3 = svd(%0) {full = true, vectors = true} : f32[2,0], f32[2,3,3], f32[2,0,0] return %1, %2, %3 }",
        "graph(%0: f32[3,0]) { %1, %2, %3 = lu(%0) : f32[3,0], i32[0], i32[3] return %1, %2, %3 }",
        "graph(%0: f32[3,3], %1: f32[3,0]) { %2 = triangular_solve(%0, %1) {left_side = true, lower = true, transpose_a = \"none\", unit_diagonal = false} : f32[3,0] return %2 }",
        "graph(%0: f32[1,1]) { %1, %2 = eigh(%0) {vectors = true} : f32[1], f32[1,1] return %1, %2 }",
    ] {
        check_text(gpu, text, 1e-6);
    }
}

/// Factorisations are captured with the kernels around them; iterations, which may look at how far they have come, are not.
#[test]
fn in_loops() {
    let Some(gpu) = gpu() else { return };
    let text = "graph(%0: f64[5,3,3], %1: f64[3,3]) {
        %2, %3 = scan(%1, %0) {body = graph(%0: f64[3,3], %1: f64[3,3]) {
            %2 = dot_general(%1, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f64[3,3]
            %3 = dot_general(%0, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f64[3,3]
            %4 = add(%2, %3) : f64[3,3]
            %5 = cholesky(%4) {lower = true} : f64[3,3]
            %6 = triangular_solve(%5, %1) {left_side = true, lower = true, transpose_a = \"none\", unit_diagonal = false} : f64[3,3]
            %7 = eigh(%4) {vectors = false} : f64[3]
            return %6, %7
        }, length = 5, reverse = false, consts = 0, carry = 1} : f64[3,3], f64[5,3]
        return %2, %3 }";
    let g = graph(text);
    let inputs = [matrices(1, "f64[5,3,3]", 2.0), matrices(2, "f64[3,3]", 2.0)];
    check(gpu, &g, &inputs, 1e-9);
    let factors = text
        .replace("%7 = eigh(%4) {vectors = false} : f64[3]", "%7 = reduce(%6) {kind = \"sum\", axes = [1]} : f64[3]");
    check(gpu, &graph(&factors), &inputs, 1e-9);
}

/// Loops that the GPU repeats by itself hold calls of each library that may be captured.
#[test]
fn in_loops_that_the_gpu_decides_on() {
    let Some(gpu) = gpu() else { return };
    let text = "graph(%0: f64[4,4], %1: f64[4,4]) {
        %2 = constant() {value = dense<0 : f64[]>} : f64[]
        %3, %4 = while(%0, %1, %2) {cond = graph(%0: f64[4,4], %1: f64[]) {
            %2 = constant() {value = dense<3 : f64[]>} : f64[]
            %3 = less(%1, %2) : bool[]
            return %3
        }, body = graph(%0: f64[4,4], %1: f64[4,4], %2: f64[]) {
            %3 = dot_general(%1, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]} : f64[4,4]
            %4 = add(%3, %0) : f64[4,4]
            %5 = cholesky(%4) {lower = true} : f64[4,4]
            %6 = triangular_solve(%5, %1) {left_side = true, lower = true, transpose_a = \"none\", unit_diagonal = false} : f64[4,4]
            %7 = fft(%6) {kind = \"rfft\", lengths = [4]} : c128[4,3]
            %8 = fft(%7) {kind = \"irfft\", lengths = [4]} : f64[4,4]
            %9 = constant() {value = dense<1 : f64[]>} : f64[]
            %10 = add(%2, %9) : f64[]
            return %8, %10
        }, cond_consts = 0, body_consts = 1} : f64[4,4], f64[]
        return %3, %4 }";
    let inputs = [matrices(1, "f64[4,4]", 8.0), matrices(2, "f64[4,4]", 2.0)];
    let mut symmetric = inputs[0].to_f64();
    for i in 0..4 {
        for j in 0..i {
            symmetric[i * 4 + j] = symmetric[j * 4 + i];
        }
    }
    let inputs = [Literal::new(&[4, 4], &symmetric), inputs[1].clone()];
    check(gpu, &graph(text), &inputs, 1e-9);
}

/// A program of one spectral form of so many directions.
fn spectral_form(dtype: &str, real: &str, order: usize) -> Graph {
    let n = if order > 3 { 2 } else { 3 };
    let matrix = format!("{dtype}[2,{n},{n}]");
    let table = format!("{real}[2{}]", format!(",{n}").repeat(order + 1));
    let mut types = vec![matrix.clone(), matrix.clone(), table];
    types.extend(vec![matrix.clone(); order]);
    let params: Vec<String> = types.iter().enumerate().map(|(i, t)| format!("%{i}: {t}")).collect();
    let args: Vec<String> = (0..types.len()).map(|i| format!("%{i}")).collect();
    let (out, params, args) = (types.len(), params.join(", "), args.join(", "));
    graph(&format!("graph({params}) {{ %{out} = spectral_form({args}) {{order = {order}}} : {matrix} return %{out} }}"))
}

#[test]
fn spectral_forms() {
    let Some(gpu) = gpu() else { return };
    for (dtype, real, tolerance) in [("f32", "f32", 2e-4), ("f64", "f64", 1e-11), ("c128", "f64", 1e-11)] {
        for order in 0..=3 {
            let g = spectral_form(dtype, real, order);
            check(gpu, &g, &oracle::inputs(order as u64, &g, false), tolerance);
        }
    }
}

/// Functions of singular values on either side of the tolerance, and of matrices without any.
#[test]
fn inverses_of_what_has_none() {
    let Some(gpu) = gpu() else { return };
    let g = graph("graph(%0: f64[3,3,2], %1: f64[3]) { %2 = pinv(%0, %1) : f64[3,2,3] return %2 }");
    let a = [1.0, 2.0, 2.0, 4.0, 3.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f64::NAN, 1.0, 2.0, 3.0, 4.0, 5.0];
    check(gpu, &g, &[Literal::new(&[3, 3, 2], &a), Literal::new(&[3], &[1e-8, 1e-8, 1e-8])], 1e-10);
}

#[test]
fn what_has_no_form_is_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let g = spectral_form("f64", "f64", 5);
    let refused = refusal(gpu, &g).unwrap_or_default();
    assert!(refused.contains("spectral_form"), "{refused}");
    let out_of_reach = spectral_form("f64", "f64", 4);
    assert_eq!(refusal(gpu, &out_of_reach), None);
}
