//! Fourier transforms against the reference evaluator.

use super::{Random, run};
use gradloom_ir::eval::eval_op;
use gradloom_ir::{DType, FftKind, Literal, Op, Type, infer};

fn parts(x: &Literal) -> Vec<f64> {
    let (dtype, bytes) = (x.ty().dtype.real(), x.bytes().chunks_exact(x.ty().dtype.real().size()));
    bytes.map(|b| Literal::from_bytes(Type::scalar(dtype), b.to_vec()).expect("a number").get_f64(0)).collect()
}

/// Along one to three axes, of lengths that fill blocks of columns and that do not.
#[test]
fn transforms_along_several_axes() {
    let mut rng = Random::new(1);
    let shapes: [&[usize]; 12] = [
        &[1],
        &[17],
        &[3, 1],
        &[5, 8],
        &[2, 64, 33],
        &[1, 300, 70],
        &[4, 3, 2],
        &[128, 9, 11],
        &[2, 400, 3],
        &[1, 5, 521],
        &[700, 2],
        &[0, 4, 6],
    ];
    for (real, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-13)] {
        for shape in shapes {
            for axes in 1..=shape.len().min(3) {
                let complex = if real == DType::F32 { DType::C64 } else { DType::C128 };
                for &kind in FftKind::ALL {
                    let ty = Type::new(if kind == FftKind::Rfft { real } else { complex }, shape);
                    let mut lengths = shape[shape.len() - axes..].to_vec();
                    if kind == FftKind::Irfft {
                        let last = &mut lengths[axes - 1];
                        *last = if *last == 1 { 1 } else { 2 * (*last - 1) + rng.below(2) };
                    }
                    let op = Op::Fft { kind, lengths: lengths.into() };
                    let x = rng.literal(&ty);
                    let Ok(results) = infer(&op, std::slice::from_ref(&ty)) else { continue };
                    let want = parts(&eval_op(&op, std::slice::from_ref(&x), &results).expect("evaluates")[0]);
                    let got = parts(&run(&op, &[x])[0]);
                    let scale = want.iter().fold(1.0, |s: f64, v| s.max(v.abs()));
                    for (g, w) in got.iter().zip(&want) {
                        assert!((g - w).abs() <= tolerance * scale, "{op:?} of {ty}: {g} instead of {w}");
                    }
                    assert_eq!(got.len(), want.len());
                }
            }
        }
    }
}
