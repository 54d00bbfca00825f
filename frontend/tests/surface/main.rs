//! The array surface: what a user finds on `Tensor`, against NumPy's and JAX's values, closed forms and naive loops.

mod combining;
mod composed;
mod contraction;
mod convolution;
mod dtypes;
mod errors;
mod files;
mod fourier;
mod hostile;
mod indexing;
mod memory;
mod misuse;
mod randomness;
mod reduction;
mod reference;
mod shaping;
mod sizes;
mod special;
mod transformed;

use gradloom_frontend::Tensor;

/// Elements and shape of a tensor of any dtype.
#[track_caller]
fn read(t: &Tensor) -> (Vec<usize>, Vec<f64>) {
    let data = t.to_f64_vec().unwrap_or_else(|e| panic!("{e}"));
    (t.shape().to_vec(), data)
}

#[track_caller]
fn is(t: &Tensor, shape: &[usize], data: &[f64]) {
    let (s, d) = read(t);
    assert_eq!((s.as_slice(), d.as_slice()), (shape, data));
}

#[track_caller]
fn near(t: &Tensor, shape: &[usize], data: &[f64], relative: f64) {
    let (s, d) = read(t);
    assert_eq!(s, shape);
    assert_eq!(d.len(), data.len());
    for (i, (g, e)) in d.iter().zip(data).enumerate() {
        let same = g == e || (g.is_nan() && e.is_nan());
        assert!(same || (g - e).abs() <= relative * e.abs().max(1.0), "element {i}: {g} against {e}");
    }
}

/// Numbers that look random but are the same everywhere.
fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let n = shape.iter().product::<usize>() as u32;
    let mix = |i: u32| ((i + 1).wrapping_mul(2654435761).wrapping_add(seed.wrapping_mul(40503)) >> 8) as f64;
    let data: Vec<f64> = (0..n).map(|i| mix(i) / (1u32 << 23) as f64 - 1.0).collect();
    Tensor::from_slice(shape, &data)
}
