//! 16-bit floats and complex numbers as a user meets them.

use gradloom_frontend::prelude::*;
use gradloom_frontend::{Complex, bf16, f16, io};

fn complex(z: &[(f32, f32)]) -> Tensor {
    Tensor::from_vec(z.iter().map(|&(re, im)| Complex::new(re, im)).collect())
}

/// 3,000 ones are 3,000 in both formats only if the sum is kept in more digits.
#[test]
fn sums_of_halves_are_kept_in_f32() {
    for dtype in [DType::F16, DType::BF16] {
        let ones = Tensor::full([3000], 1.0, dtype);
        let want = if dtype == DType::F16 { 3000.0 } else { f64::from(bf16::from_f32(3000.0).to_f32()) };
        assert_eq!(ones.sum(..).to_f64_vec().unwrap(), [want]);
        let row = ones.reshape([1, 3000]);
        assert_eq!(row.matmul(&row.t()).to_f64_vec().unwrap(), [want]);
        assert_eq!(ones.cumsum(0).i(-1).to_f64_vec().unwrap(), [want]);
    }
}

#[test]
fn arithmetic_rounds_once_to_the_nearest() {
    let x = Tensor::from([f16::from_f32(1.0), f16::from_f32(0.333), f16::MAX]);
    let y = jit(|x: &Tensor| x * 3.0 + 1.0).call(&x).unwrap().to_vec::<f16>().unwrap();
    let third = f16::from_f32(f16::from_f32(0.333).to_f32() * 3.0 + 1.0);
    assert_eq!(y, [f16::from_f32(4.0), third, f16::INFINITY]);
}

#[test]
fn a_training_step_in_bf16_runs_and_learns() {
    let x = random::normal(&Key::new(0), [64, 8]).to(DType::BF16);
    let w = random::normal(&Key::new(1), [8, 1]).to(DType::BF16);
    let y = x.matmul(&w);
    let step = jit(move |w: &Tensor| {
        let (loss, g) = value_and_grad(|w: &Tensor| (x.matmul(w) - &y).square().mean(..))(w);
        (loss, w - g * 0.1)
    });
    let mut w = Tensor::full([8, 1], 0.0, DType::BF16);
    let mut losses = Vec::new();
    for _ in 0..60 {
        let (loss, next) = step.call(&w).unwrap();
        losses.push(loss.to_f64_vec().unwrap()[0]);
        w = next;
    }
    assert!(losses[59] < losses[0] / 50.0, "{losses:?}");
}

#[test]
fn halves_do_not_mix_with_other_dtypes() {
    let e = (Tensor::full([2], 1.0, DType::BF16) + Tensor::ones([2])).check().unwrap_err().to_string();
    assert!(e.contains("bf16") && e.contains("f32") && e.contains("dtypes.rs"), "{e}");
}

#[test]
fn complex_arithmetic() {
    let (z, w) = (complex(&[(1.0, 2.0), (0.0, -1.0)]), complex(&[(3.0, -1.0), (2.0, 2.0)]));
    assert_eq!((&z * &w).to_vec::<Complex<f32>>().unwrap(), [Complex::new(5.0, 5.0), Complex::new(2.0, -2.0)]);
    assert_eq!((&z * Complex::new(0.0, 1.0)).to_vec::<Complex<f32>>().unwrap()[0], Complex::new(-2.0, 1.0));
    assert_eq!((z.conj() + &z).imag().to_vec::<f32>().unwrap(), [0.0, 0.0]);
    assert_eq!(format!("{}", &z), "c64[2] [1.0+2.0i, 0.0-1.0i]");
    let e = z.lt(&w).check().unwrap_err().to_string();
    assert!(e.contains("c64") && e.contains(".real()"), "{e}");
    let e = z.to(DType::F32).check().unwrap_err().to_string();
    assert!(e.contains(".real()"), "{e}");
}

/// |z|^2 of z = exp(i t) A x has the gradient of a real function of x; JAX's convention for complex arguments.
#[test]
fn gradients_through_complex_numbers() {
    let t = Tensor::from([0.3f32, -1.2]);
    let f = |t: &Tensor| {
        let z = Tensor::complex(&t.cos(), &t.sin()) * Tensor::complex(t, &t.ones_like());
        (&z * z.conj()).real().sum(..)
    };
    let g = jit(move |t: &Tensor| grad(f)(t)).call(&t).unwrap().to_vec::<f32>().unwrap();
    for (g, t) in g.iter().zip([0.3f32, -1.2]) {
        assert!((g - 2.0 * t).abs() < 1e-5, "{g} at {t}");
    }
    // jax.grad(lambda z: (z * z).real)(1 + 2j) is 2 + 4j
    let z = complex(&[(1.0, 2.0)]);
    let g = grad(|z: &Tensor| (z * z).real().sum(..))(&z).to_vec::<Complex<f32>>().unwrap();
    assert_eq!(g, [Complex::new(2.0, 4.0)]);
    let mapped = vmap(|z: &Tensor| grad(|z: &Tensor| z.abs())(z))(&complex(&[(3.0, 4.0), (0.0, 0.0)]));
    assert_eq!(mapped.to_vec::<Complex<f32>>().unwrap(), [Complex::new(0.6, -0.8), Complex::new(0.0, 0.0)]);
}

/// Complex values cross the boundaries of loops and branches whole.
#[test]
fn complex_numbers_in_loops() {
    let z = complex(&[(0.6, 0.8)]);
    let f = jit(|z: &Tensor| {
        let (last, all) = scan(|c: &Tensor, _: &Tensor| (c * c, c.imag()), z, &Tensor::arange(3));
        let r = while_loop(|z: &Tensor| z.real().sum(..).lt(5.0), |z: &Tensor| z * 2.0 + Complex::new(1.0, 0.0), &last);
        (last, all, r)
    });
    let (last, all, _) = f.call(&z).unwrap();
    let mut c = Complex::new(0.6f32, 0.8);
    for im in all.to_vec::<f32>().unwrap() {
        assert!((im - c.im).abs() < 1e-6);
        c = c * c;
    }
    assert!((last.to_vec::<Complex<f32>>().unwrap()[0] - c).norm() < 1e-5);
}

#[test]
fn files_hold_every_dtype() {
    let dir = std::env::temp_dir().join(format!("gradloom-dtypes-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let tree = (
        Tensor::from([f16::from_f32(1.5)]),
        Tensor::from([bf16::from_f32(-2.5)]),
        complex(&[(1.0, -1.0)]),
        Tensor::from([Complex::new(1.0f64, 0.5)]),
    );
    let back = {
        io::save_npz(dir.join("all.npz"), &tree).unwrap();
        io::load_npz(dir.join("all.npz")).unwrap()
    };
    let dtypes: Vec<DType> = back.values().map(|t| t.dtype()).collect();
    assert_eq!(dtypes, [DType::F16, DType::F32, DType::C64, DType::C128], "NumPy has no bf16");
    let weights = (tree.0.clone(), tree.1.clone(), tree.2.clone());
    io::save_safetensors(dir.join("w.safetensors"), &weights).unwrap();
    let back = io::load_safetensors(dir.join("w.safetensors"), &weights).unwrap();
    assert_eq!(back.1.to_vec::<bf16>().unwrap(), [bf16::from_f32(-2.5)]);
    assert_eq!(back.2.to_vec::<Complex<f32>>().unwrap(), [Complex::new(1.0, -1.0)]);
    let e = io::save_safetensors(dir.join("w.safetensors"), &tree).unwrap_err().to_string();
    assert!(e.contains("c128"), "{e}");
    std::fs::remove_dir_all(&dir).unwrap();
}
