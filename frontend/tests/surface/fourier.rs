//! Fourier, cosine and sine transforms against their defining sums and NumPy's conventions.

use super::is;
use gradloom_frontend::fft::{self, Fft, Norm};
use gradloom_frontend::prelude::*;
use gradloom_frontend::{Complex, Device};
use std::f64::consts::{PI, TAU};

type C = Complex<f64>;

fn numbers(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * i * 7 + 3 * i) % 23) as f64 / 5.0 - 2.0).collect()
}

fn signal(n: usize) -> Vec<C> {
    numbers(n).into_iter().zip(numbers(n + 5).into_iter().skip(5)).map(|(re, im)| C::new(re, im)).collect()
}

/// The defining sum.
fn sum(x: &[C], sign: f64) -> Vec<C> {
    let n = x.len();
    let root = |k: usize| C::from_polar(1.0, sign * TAU * (k % n) as f64 / n as f64);
    (0..n).map(|k| (0..n).map(|j| x[j] * root(j * k)).sum()).collect()
}

#[track_caller]
fn close(got: &Tensor, want: &[C]) {
    let got = got.to(DType::C128).to_vec::<C>().unwrap();
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).norm() < 1e-9 * (1.0 + w.norm()), "{i}: {g} instead of {w}");
    }
}

#[test]
fn every_length_matches_the_sum() {
    for n in [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 16, 17, 30, 31, 97, 100, 128, 251] {
        let x = signal(n);
        let t = Tensor::from_vec(x.clone());
        close(&fft::fft(&t), &sum(&x, -1.0));
        close(&fft::ifft(&fft::fft(&t)), &x);
        let real: Vec<C> = x.iter().map(|z| C::new(z.re, 0.0)).collect();
        let r = fft::rfft(&t.real());
        close(&r, &sum(&real, -1.0)[..n / 2 + 1]);
        close(&Fft::over(-1).lengths(&[n]).irfft(&r), &real);
        let on_interpreter = jit(|t: &Tensor| fft::fft(t)).on(Device::interp()).call(&t).unwrap();
        close(&on_interpreter, &sum(&x, -1.0));
    }
}

#[test]
fn any_axes_in_any_order() {
    let x = Tensor::from_vec(numbers(2 * 3 * 4 * 5)).reshape([2, 3, 4, 5]);
    let slow = |x: &Tensor, axis: i64| {
        // one axis by a product with the matrix of the transform
        let n = x.dim(axis);
        let k = Tensor::iota([n, n], 0, DType::F64) * Tensor::iota([n, n], 1, DType::F64) * (-TAU / n as f64);
        let m = Tensor::complex(&k.cos(), &k.sin());
        x.to(DType::C128).move_axis(axis, -1).matmul(&m).move_axis(-1, axis)
    };
    let want = slow(&slow(&x, 2), 0).to_vec::<C>().unwrap();
    for axes in [[0, 2], [2, 0], [-4, -2]] {
        close(&fft::fftn(&x, axes), &want);
    }
    close(&fft::ifftn(&fft::fftn(&x, [1, 3]), [1, 3]), &x.to(DType::C128).to_vec::<C>().unwrap());
    let half = fft::rfftn(&x, [3, 1]);
    assert_eq!(half.shape(), [2, 2, 4, 5]);
    let back = Fft::over([3, 1]).lengths(&[5, 3]).irfft(&half);
    close(&back, &x.to(DType::C128).to_vec::<C>().unwrap());
    assert_eq!(fft::rfft2(&x).shape(), [2, 3, 4, 3]);
    assert_eq!(fft::irfft2(&fft::rfft2(&x)).shape(), [2, 3, 4, 4]);
    close(&fft::ifft2(&fft::fft2(&x)), &x.to(DType::C128).to_vec::<C>().unwrap());
}

#[test]
fn lengths_cut_and_fill() {
    let x = signal(6);
    let t = Tensor::from_vec(x.clone());
    close(&Fft::over(-1).lengths(&[4]).fft(&t), &sum(&x[..4], -1.0));
    let longer: Vec<C> = x.iter().copied().chain([C::ZERO; 3]).collect();
    close(&Fft::over(0).lengths(&[9]).fft(&t), &sum(&longer, -1.0));
}

#[test]
fn normalisations() {
    let x = signal(8);
    let t = Tensor::from_vec(x.clone());
    for norm in [Norm::Backward, Norm::Ortho, Norm::Forward] {
        let both = Fft::over(-1).norm(norm);
        close(&both.ifft(&both.fft(&t)), &x);
        close(&both.hfft(&both.ihfft(&t.real())), &x.iter().map(|z| C::new(z.re, 0.0)).collect::<Vec<_>>());
    }
    let isometric = Fft::over(-1).norm(Norm::Ortho).fft(&t).abs().square().sum(..).item::<f64>().unwrap();
    assert!((isometric - x.iter().map(|z| z.norm_sqr()).sum::<f64>()).abs() < 1e-9);
    // numpy.fft.hfft([1, 2 + 1j, 3]) is [8, 0, 0, -4] + ..: a real spectrum
    let h = fft::hfft(&Tensor::from_vec(vec![C::new(1.0, 0.0), C::new(2.0, 1.0), C::new(3.0, 0.0)]));
    is(&h, &[4], &[8.0, 0.0, 0.0, -4.0]);
}

#[test]
fn frequencies_and_shifts() {
    is(&fft::fftfreq(4, 1.0), &[4], &[0.0, 0.25, -0.5, -0.25]);
    is(&fft::rfftfreq(5, 0.5), &[3], &[0.0, f64::from(0.4f32), f64::from(0.8f32)]);
    let x = Tensor::arange(5);
    is(&fft::fftshift(&x, ..), &[5], &[3.0, 4.0, 0.0, 1.0, 2.0]);
    is(&fft::ifftshift(&fft::fftshift(&x, 0), 0), &[5], &[0.0, 1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn cosine_and_sine_transforms_match_their_sums() {
    for n in [1, 2, 3, 4, 7, 8, 15] {
        let x = numbers(n);
        let t = Tensor::from_vec(x.clone());
        let angle = |k: f64, j: usize| PI * k * (2 * j + 1) as f64 / (2 * n) as f64;
        let real = |v: Vec<f64>| v.into_iter().map(|v| C::new(v, 0.0)).collect::<Vec<C>>();
        let cosines = (0..n).map(|k| 2.0 * (0..n).map(|j| x[j] * angle(k as f64, j).cos()).sum::<f64>()).collect();
        let sines = (0..n).map(|k| 2.0 * (0..n).map(|j| x[j] * angle(k as f64 + 1.0, j).sin()).sum::<f64>()).collect();
        close(&fft::dct(&t, -1, Norm::Backward), &real(cosines));
        close(&fft::dst(&t, 0, Norm::Backward), &real(sines));
        for norm in [Norm::Backward, Norm::Ortho, Norm::Forward] {
            close(&fft::idct(&fft::dct(&t, -1, norm), -1, norm), &real(x.clone()));
            close(&fft::idst(&fft::dst(&t, -1, norm), -1, norm), &real(x.clone()));
        }
        let length = |y: &Tensor| y.square().sum(..).item::<f64>().unwrap();
        assert!((length(&fft::dct(&t, -1, Norm::Ortho)) - length(&t)).abs() < 1e-9);
    }
    let m = Tensor::from_vec(numbers(12)).reshape([3, 4]);
    let columns = fft::dct(&m, 0, Norm::Ortho);
    close(&columns.i((.., 2)), &fft::dct(&m.i((.., 2)), 0, Norm::Ortho).to(DType::C128).to_vec::<C>().unwrap());
}

/// sum |fft(x)|^2 = n sum |x|^2, whose gradient is 2 n x; the same for what is batched.
#[test]
fn gradients_and_batches() {
    let x = Tensor::from_vec(numbers(12)).reshape([2, 6]);
    let energy = |x: &Tensor| fft::fft(x).abs().square().sum(..);
    let g = vmap(|x: &Tensor| grad(energy)(x))(&x);
    close(&g, &(&x * 12.0).to(DType::C128).to_vec::<C>().unwrap());
    let filtered = |x: &Tensor| {
        let y = fft::rfft2(x);
        Fft::over([-2, -1]).lengths(&[2, 6]).irfft(&(&y * y.abs().to(DType::C128))).square().sum(..)
    };
    let g = grad(filtered)(&x).to_vec::<f64>().unwrap();
    let h = 1e-5;
    for (i, got) in g.iter().enumerate() {
        let at = |d: f64| {
            let mut v = numbers(12);
            v[i] += d;
            filtered(&Tensor::from_vec(v).reshape([2, 6])).item::<f64>().unwrap()
        };
        let want = (at(h) - at(-h)) / (2.0 * h);
        assert!((got - want).abs() < 1e-5 * (1.0 + want.abs()), "{i}: {got} instead of {want}");
    }
}

#[test]
fn what_cannot_be_transformed_says_so() {
    let says = |t: Tensor, parts: &[&str]| {
        let e = t.check().unwrap_err().to_string();
        parts.iter().for_each(|p| assert!(e.contains(p), "`{p}` is missing from: {e}"));
        assert!(e.contains("fourier.rs"), "{e}");
    };
    says(fft::rfft(&Tensor::complex(&Tensor::ones([2]), &Tensor::ones([2]))), &["rfft", "c64"]);
    says(fft::fft(&Tensor::ones([2]).to(DType::BF16)), &["bf16"]);
    says(fft::fft(&Tensor::ones(())), &["fft"]);
    says(fft::fftn(&Tensor::ones([2, 2]), [0, 0]), &["twice"]);
    says(fft::fft(&Tensor::ones([0])), &["at least one point"]);
    says(Fft::over([0]).lengths(&[2, 2]).fft(&Tensor::ones([2])), &["2 lengths for 1 axes"]);
    says(fft::dct(&Tensor::arange(3), 0, Norm::Ortho), &["dct", "i32"]);
    assert_eq!(fft::fft(&Tensor::ones([0, 3])).shape(), [0, 3]);
}
