//! Fourier transforms by cuFFT.

use super::{check, check_text, gpu, graph, oracle};
use gradloom_backends::cuda::CudaProgram;
use gradloom_ir::eval::eval;

fn tolerance(real: &str) -> f64 {
    if real == "f32" { 3e-5 } else { 1e-12 }
}

fn list(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// A program of one transform of the last axes of `shape`, which real numbers have.
fn program(kind: &str, real: &str, shape: &[usize], axes: usize) -> String {
    let complex = if real == "f32" { "c64" } else { "c128" };
    let mut half = shape.to_vec();
    if let Some(last) = half.last_mut() {
        *last = if *last == 0 { 0 } else { *last / 2 + 1 };
    }
    let (from, to) = match kind {
        "rfft" => (format!("{real}[{}]", list(shape)), format!("{complex}[{}]", list(&half))),
        "irfft" => (format!("{complex}[{}]", list(&half)), format!("{real}[{}]", list(shape))),
        _ => (format!("{complex}[{}]", list(shape)), format!("{complex}[{}]", list(shape))),
    };
    let lengths = list(&shape[shape.len() - axes..]);
    format!("graph(%0: {from}) {{ %1 = fft(%0) {{kind = \"{kind}\", lengths = [{lengths}]}} : {to} return %1 }}")
}

const SHAPES: &[(&[usize], usize)] = &[
    (&[8], 1),
    (&[1], 1),
    (&[7], 1),
    (&[3, 12], 1),
    (&[2, 3, 5], 1),
    (&[4, 6], 2),
    (&[3, 5, 4], 2),
    (&[5, 3], 2),
    (&[2, 3, 4], 3),
    (&[2, 4, 3, 5], 3),
];

#[test]
fn every_kind_on_every_dtype() {
    let Some(gpu) = gpu() else { return };
    for real in ["f32", "f64"] {
        for kind in ["fft", "ifft", "rfft", "irfft"] {
            for &(shape, axes) in SHAPES {
                let text = program(kind, real, shape, axes);
                let schedule = check_text(gpu, &text, tolerance(real));
                assert!(schedule.contains("library fft"), "{text}\n{schedule}");
            }
        }
    }
}

/// Nothing is transformed where there is nothing.
#[test]
fn empty_arrays() {
    let Some(gpu) = gpu() else { return };
    for kind in ["fft", "rfft", "irfft"] {
        for shape in [&[0, 4][..], &[0], &[3, 0]] {
            let schedule = check_text(gpu, &program(kind, "f32", shape, 1), 0.0);
            assert!(!schedule.contains("library"), "{schedule}");
        }
    }
}

/// The operand of an inverse is read once more: it must not be overwritten.
#[test]
fn operands_stay() {
    let Some(gpu) = gpu() else { return };
    let text = "graph(%0: c64[3,5]) {
        %1 = fft(%0) {kind = \"irfft\", lengths = [8]} : f32[3,8]
        %2 = fft(%0) {kind = \"ifft\", lengths = [5]} : c64[3,5]
        %3 = add(%0, %2) : c64[3,5]
        %4 = fft(%1) {kind = \"rfft\", lengths = [8]} : c64[3,5]
        return %1, %3, %4 }";
    check_text(gpu, text, 3e-5);
}

/// Rows of real numbers of an odd length begin where no complex number does.
#[test]
fn rows_of_a_loop() {
    let Some(gpu) = gpu() else { return };
    let text = "graph(%0: f32[4,5], %1: c64[4,3]) {
        %2, %3 = scan(%0, %1) {body = graph(%0: f32[5], %1: c64[3]) {
            %2 = fft(%0) {kind = \"rfft\", lengths = [5]} : c64[3]
            %3 = fft(%1) {kind = \"irfft\", lengths = [5]} : f32[5]
            return %2, %3
        }, length = 4, reverse = true, consts = 0, carry = 0} : c64[4,3], f32[4,5]
        return %2, %3 }";
    let g = graph(text);
    check(gpu, &g, &oracle::inputs(2, &g, false), 3e-5);
}

#[test]
fn more_axes_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let g = graph(&program("fft", "f32", &[2, 2, 2, 2], 4));
    assert!(eval(&g, &oracle::inputs(1, &g, false)).is_ok());
    let refused = CudaProgram::new(&g, gpu).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused.contains("fft") && refused.contains("over 4 axes"), "{refused}");
}
