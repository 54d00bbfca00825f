//! What kernels are compared with: nests as they read, and how closely.

use gradloom_backends::kernel::{LoopNest, interpret};
use gradloom_ir::{DType, Element};

/// The buffers after the nest ran.
pub fn interpreted(nest: &LoopNest, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut buffers = inputs.to_vec();
    let mut slices: Vec<&mut [u8]> = buffers.iter_mut().map(|b| &mut b[..]).collect();
    interpret(nest, &mut slices).unwrap_or_else(|e| panic!("{e}\n{nest}"));
    buffers
}

/// The first element at which buffers differ by more than `allowed(param, element)`.
pub fn difference(
    nest: &LoopNest,
    a: &[Vec<u8>],
    b: &[Vec<u8>],
    allowed: &dyn Fn(usize, usize) -> f64,
) -> Option<String> {
    for (p, param) in nest.params.iter().enumerate() {
        let size = param.dtype.size();
        for i in 0..param.len {
            let (x, y) = (&a[p][i * size..(i + 1) * size], &b[p][i * size..(i + 1) * size]);
            let number = |x: &[u8]| match param.dtype {
                DType::F32 => Some(f64::from(f32::from_bytes(x))),
                DType::F64 => Some(f64::from_bytes(x)),
                _ => None,
            };
            let close = match (number(x), number(y)) {
                (Some(x), Some(y)) => x.is_nan() && y.is_nan() || (x - y).abs() <= allowed(p, i) && allowed(p, i) > 0.0,
                _ => false,
            };
            if x != y && !close {
                return Some(format!("p{p}[{i}]: {x:02x?} ({:?}) is not {y:02x?} ({:?})", number(x), number(y)));
            }
        }
    }
    None
}

/// How far element `i` of param `p` may be from `expected` if the nest sums or multiplies positive values and its epilogue
/// only copies: the error of n additions or products in any order is below n epsilon times the sum of magnitudes; products
/// may fall below the normal numbers, where errors are absolute.
pub fn sum_error(nest: &LoopNest, expected: &[Vec<u8>], p: usize, i: usize) -> f64 {
    let n: usize = nest.axes.iter().filter(|a| a.reduce).map(|a| a.extent).product();
    let (epsilon, least, value) = match nest.params[p].dtype {
        DType::F32 => {
            let x = f32::from_bytes(&expected[p][4 * i..4 * i + 4]);
            (f32::EPSILON.into(), f32::MIN_POSITIVE.into(), x.into())
        }
        _ => (f64::EPSILON, f64::MIN_POSITIVE, f64::from_bytes(&expected[p][8 * i..8 * i + 8])),
    };
    2.0 * (n + 2) as f64 * (epsilon * value + least)
}
