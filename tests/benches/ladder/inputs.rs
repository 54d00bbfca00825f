//! Inputs any program can reproduce bit by bit: an integer hash in place of a random number library.

use gradloom::prelude::*;

/// Uniform in `[low, high)`: element `i` of array number `k` is hash(i + 1,000,003 k) / 2^32.
pub fn u_in(shape: &[usize], k: u64, low: f64, high: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let data: Vec<f32> = (0..n as u64)
        .map(|i| {
            let z = (i + 1_000_003 * k).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let unit = ((z ^ (z >> 31)) >> 32) as f64 / (1u64 << 32) as f64;
            (low + (high - low) * unit) as f32
        })
        .collect();
    Tensor::from_slice(shape, &data)
}

/// Uniform in `[-1, 1)`.
pub fn u(shape: &[usize], k: u64) -> Tensor {
    u_in(shape, k, -1.0, 1.0)
}

/// A weight: uniform in ±1/√(fan in), fan in being the product of all axes but the last.
pub fn init(shape: &[usize], k: u64) -> Tensor {
    let fan_in: usize = shape.iter().rev().skip(1).product();
    let s = 1.0 / (fan_in as f64).sqrt();
    u_in(shape, k, -s, s)
}

/// `n` labels below `classes`.
pub fn labels(n: usize, classes: usize, k: u64) -> Vec<i32> {
    let unit = u(&[n], k).to_vec::<f32>().expect("u makes f32 data");
    unit.iter().map(|x| ((x * 0.5 + 0.5) * classes as f32) as i32 % classes as i32).collect()
}

/// Dense layers through these widths: weights number `k`, `k + 1`, .. and zero biases.
pub fn dense(widths: &[usize], k: u64) -> Vec<(Tensor, Tensor)> {
    let pairs = widths.windows(2).zip(k..);
    pairs.map(|(w, k)| (init(w, k), Tensor::zeros([w[1]]))).collect()
}
