//! Families of ops at sizes that break loops: none, one, primes, around powers of two, ten million elements, eight axes,
//! broadcasts along every axis. Compiled code against the interpreter, or against closed forms.

use super::read;
use gradloom_frontend::prelude::*;
use gradloom_frontend::{ReduceKind, Tensor};

const SIZES: [usize; 22] = [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 257, 1023, 1031];
/// Where the work is more than linear, and whole matrices.
const SMALL: [usize; 11] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 17, 33];

type Function = fn(&Tensor) -> Tensor;

/// Numbers of any dtype that look random; small integers, floats in (-1, 1).
fn sample(shape: &[usize], dtype: DType) -> Tensor {
    let x = super::numbers(shape, 5);
    match dtype {
        DType::Bool => x.gt(0.0),
        d if d.is_int() => (x * 60.0 + 60.0).to(d),
        d if d.is_complex() => Tensor::complex(&x, &(x.flip(..) * 0.5)).to(d),
        d => x.to(d),
    }
}

fn numbers_of(x: &Tensor) -> Vec<f64> {
    match x.dtype().is_complex() {
        true => [x.real(), x.imag()].iter().flat_map(|x| read(x).1).collect(),
        false => read(x).1,
    }
}

/// Compiled code, with passes and without, is the interpreter.
#[track_caller]
fn same(name: &str, f: impl Fn(&Tensor) -> Tensor, x: &Tensor, tolerance: f64) {
    let want = jit(&f).on(Device::interp()).call(x).unwrap_or_else(|e| panic!("{name} of {:?}: {e}", x.shape()));
    let plain = jit(&f).pipeline(|p| p.disable("simplify").disable("cse").disable("fold"));
    for got in [jit(&f).call(x), plain.call(x)] {
        let got = got.unwrap_or_else(|e| panic!("{name} of {:?}: {e}", x.shape()));
        assert_eq!((got.shape(), got.dtype()), (want.shape(), want.dtype()), "{name} of {:?}", x.shape());
        let (w, g) = (numbers_of(&want), numbers_of(&got));
        for (i, (w, g)) in w.iter().zip(&g).enumerate() {
            let near = w == g || (w.is_nan() && g.is_nan()) || (w - g).abs() <= tolerance * w.abs().max(1.0);
            assert!(near, "{name} of {}{:?}: element {i} is {g}, not {w}", x.dtype(), x.shape());
        }
    }
}

fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 4e-3,
        DType::BF16 => 3e-2,
        DType::F32 | DType::C64 => 3e-5,
        DType::F64 | DType::C128 => 1e-11,
        _ => 0.0,
    }
}

#[test]
fn vectors_of_every_size() {
    let float: [(&str, Function); 22] = [
        ("elementwise", |x| (x.sin() * 2.0 + x).tanh() / (x.square() + 1.0)),
        ("choice", |x| x.gt(0.1).select(x, x * 0.5)),
        ("sum", |x| x.sum(0)),
        ("sums that share", |x| Tensor::stack(&[x.sum(0), x.square().sum(0), x.abs().sum(0)], 0)),
        ("softmax", |x| if x.size() == 0 { x.clone() } else { x.softmax(0) }),
        ("cumsum", |x| x.cumsum(0)),
        ("reverse cummax", |x| x.flip(0).cummax(0).flip(0)),
        ("every third", |x| x.i(step(.., 3)) * 2.0),
        ("backwards by two", |x| x.i(step(.., -2)) + 1.0),
        ("pad", |x| x.pad(&[(3, 2)], 0.5)),
        ("concatenate", |x| Tensor::concatenate(&[x.clone(), x * 2.0, x.flip(0)], 0)),
        ("rows", |x| x.expand_dims(0).broadcast_to([3, x.size()]) + x),
        ("columns", |x| (x.expand_dims(1).broadcast_to([x.size(), 3])).t().sum(1)),
        ("outer", |x| x.expand_dims(1) * x.i(..x.size().min(3))),
        ("product", |x| x.expand_dims(0).matmul(&x.expand_dims(1))),
        ("matrix by vector", |x| Tensor::stack(&[x.clone(), x * 0.5, x.flip(0)], 1).t().matmul(x)),
        ("window sums", |x| x.pad(&[(2, 2)], 0.0).reduce_window(ReduceKind::Sum, &[3], &[1], &Padding::Valid)),
        ("window maxima", |x| x.pad(&[(2, 2)], 0.0).reduce_window(ReduceKind::Max, &[4], &[3], &Padding::Valid)),
        ("convolution", |x| {
            let kernel = Tensor::full([3, 1, 2], 0.3, x.dtype());
            x.reshape([1, x.size() as i64, 1]).conv1d(&kernel, &Conv::new().padding(Padding::Same))
        }),
        ("gather", |x| if x.size() == 0 { x.clone() } else { x.i(&(Tensor::arange(x.size()) * 7 - 3)) }),
        ("scatter", |x| Tensor::full([5], 0, x.dtype()).at(&(Tensor::arange(x.size()) % 5)).add(x)),
        ("gradient", |x| grad(|x: &Tensor| (x.sin() * x.cumsum(0)).sum(..))(x)),
    ];
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let sizes: &[usize] = if dtype == DType::F32 { &SIZES } else { &[0, 1, 7, 33, 129] };
        for &n in sizes {
            let x = sample(&[n], dtype);
            for (name, f) in float {
                // running sums of 16-bit floats add their roundings up
                let scale = if dtype == DType::BF16 { n as f64 } else { 1.0 + n as f64 / 50.0 };
                same(name, f, &x, tolerance(dtype) * scale.max(1.0));
            }
        }
    }
}

#[test]
fn vectors_of_other_dtypes() {
    let any: [(&str, Function); 6] = [
        ("reverse", |x| x.flip(0)),
        ("concatenate", |x| Tensor::concatenate(&[x.flip(0), x.clone()], 0)),
        ("repeat", |x| x.repeat(3, 0)),
        ("matrix", |x| x.expand_dims(1).broadcast_to([x.size(), 3]).t().flatten()),
        ("equal", |x| x.eq(x.flip(0))),
        ("scatter", |x| x.at(&(Tensor::arange(x.size()) * 2)).set(x.flip(0))),
    ];
    let real: [(&str, Function); 4] = [
        ("sort", |x| x.sort(0)),
        ("argsort", |x| x.argsort(0)),
        ("maximum", |x| x.maximum(x.flip(0))),
        ("argmax", |x| if x.size() == 0 { x.argsort(0) } else { x.argmax(0) }),
    ];
    let numeric: [(&str, Function); 4] = [
        ("arithmetic", |x| x * x + x),
        ("sum", |x| x.sum(0)),
        ("cumsum", |x| x.cumsum(0)),
        ("prod", |x| x.i(..x.size().min(9)).prod(0)),
    ];
    for dtype in DType::ALL {
        for n in [0, 1, 5, 16, 63, 65] {
            let x = sample(&[n], dtype);
            let mut all: Vec<(&str, Function)> = any.to_vec();
            all.extend(if dtype.is_complex() { &[][..] } else { &real });
            all.extend(if dtype == DType::Bool { &[][..] } else { &numeric });
            for (name, f) in all {
                same(name, f, &x, tolerance(dtype) * 4.0);
            }
        }
    }
}

#[test]
fn matrices_of_every_size() {
    // symmetric positive definite, of a vector as its rank-one part
    fn definite(x: &Tensor) -> Tensor {
        Tensor::eye(x.size()).to(x.dtype()) * 2.0 + x.expand_dims(1) * x.expand_dims(0)
    }
    let all: [(&str, Function); 10] = [
        ("product", |x| definite(x).matmul(&definite(x))),
        ("transpose", |x| definite(x).t() + 1.0),
        ("cholesky", |x| linalg::cholesky(&definite(x))),
        ("solve", |x| linalg::solve(&definite(x), x)),
        ("qr", |x| linalg::qr(&definite(x)).1),
        ("eigenvalues", |x| linalg::eigvalsh(&definite(x))),
        ("singular values", |x| linalg::svdvals(&definite(x))),
        ("determinant", |x| linalg::slogdet(&definite(x)).1),
        ("fourier", |x| if x.size() == 0 { x.clone() } else { fft::rfft(x).abs() }),
        ("there and back", |x| if x.size() == 0 { x.clone() } else { fft::ifft(&fft::fft(x)).real() }),
    ];
    for dtype in [DType::F32, DType::F64] {
        for n in SMALL {
            for (name, f) in all {
                same(name, f, &sample(&[n], dtype), tolerance(dtype) * 10.0);
            }
        }
    }
    // rectangles with sides around the blocks of the product
    for (m, k, n) in [(1, 1, 1), (1, 9, 17), (17, 1, 9), (5, 0, 3), (0, 4, 4), (31, 33, 65), (64, 63, 2), (3, 257, 2)] {
        let f = |x: &Tensor| {
            let y = x.flatten().i(..k.min(x.size())).sum(..) + Tensor::iota([k, n], 0, DType::F32) * 0.01;
            x.matmul(&y)
        };
        same("rectangle", f, &sample(&[m, k], DType::F32), 1e-4);
    }
    let sums = |n: usize| {
        move |x: &Tensor| {
            let body = |c: &Tensor, x: &Tensor| (c * 0.5 + x, c.sin());
            let (last, all) = scan(body, &Tensor::zeros(()), x);
            Tensor::concatenate(&[last.expand_dims(0), all], 0).i(..n + 1)
        }
    };
    for n in SMALL {
        same("scan", sums(n), &sample(&[n], DType::F32), 1e-5);
    }
}

#[test]
fn eight_axes() {
    let shape = [2, 1, 3, 1, 2, 2, 1, 3];
    let mut all: Vec<(String, Box<dyn Fn(&Tensor) -> Tensor>)> = vec![
        ("elementwise".into(), Box::new(|x| x * x + x)),
        ("reversed axes".into(), Box::new(|x| x.transpose([7, 6, 5, 4, 3, 2, 1, 0]) * 2)),
        ("other order".into(), Box::new(|x| x.transpose([3, 0, 7, 4, 1, 6, 2, 5]))),
        ("flip".into(), Box::new(|x| x.flip([0, 2, 5, 7]))),
        ("reshape".into(), Box::new(|x| x.reshape([4, 6, 3]).transpose([2, 0, 1]).reshape([3, 2, 2, 2, 3, 1, 1, 1]))),
        ("slices".into(), Box::new(|x| x.i((1, .., step(.., -2))).i((.., step(.., 2))))),
        ("squeeze".into(), Box::new(|x| x.squeeze(1).squeeze(2).squeeze(4))),
        ("all".into(), Box::new(|x| x.sum(..))),
        ("some".into(), Box::new(|x| x.sum([0, 3, 5]))),
        ("others".into(), Box::new(|x| x.max([1, 2, 4, 6, 7]))),
        (
            "window".into(),
            Box::new(|x| x.reduce_window(ReduceKind::Sum, &[1, 1, 2, 1, 2, 1, 1, 3], &[1; 8], &Padding::Same)),
        ),
        ("contraction".into(), Box::new(|x| einsum("abcdefgh,abcdefgh->adhe", &[x, x]))),
    ];
    for axis in 0..8i64 {
        all.push((format!("sum {axis}"), Box::new(move |x| x.sum(axis))));
        all.push((format!("cumsum {axis}"), Box::new(move |x| x.cumsum(axis))));
        all.push((format!("sort {axis}"), Box::new(move |x| x.sort(axis))));
        all.push((format!("argmin {axis}"), Box::new(move |x| x.argmin(axis))));
        all.push((
            format!("concatenate {axis}"),
            Box::new(move |x| Tensor::concatenate(&[x.clone(), x.flip(..)], axis)),
        ));
        all.push((format!("take {axis}"), Box::new(move |x| x.take(&Tensor::from([1, 0, 5]), axis))));
        all.push((format!("repeat {axis}"), Box::new(move |x| x.repeat(2, axis))));
        all.push((format!("new axis {axis}"), Box::new(move |x| x.expand_dims(axis).squeeze(axis) + 1)));
        all.push((format!("mean taken off {axis}"), Box::new(move |x| x * 4 - x.sum_keepdims(axis))));
    }
    for dtype in [DType::F64, DType::I16] {
        for (name, f) in &all {
            same(name, f, &sample(&shape, dtype), tolerance(dtype));
        }
    }
    let (x, c) = (sample(&shape, DType::F32), sample(&shape, DType::C64));
    for (name, f) in &all[..6] {
        same(name, f, &x, 1e-6);
        same(name, f, &c, 1e-6);
    }
    same(
        "gradient",
        grad(|x: &Tensor| (x.transpose([7, 0, 1, 2, 3, 4, 5, 6]) * x.sum([2, 7])).square().sum(..)),
        &sample(&[2, 1, 3, 1, 2, 2, 1, 2], DType::F64),
        1e-11,
    );
}

/// Every set of axes of one side of length 1, against every set of the other's: elements by their indices.
#[test]
fn broadcasts_along_every_axis() {
    let full = [2, 3, 4, 5];
    let shape = |mask: usize| -> Vec<usize> { (0..4).map(|a| if mask >> a & 1 == 1 { 1 } else { full[a] }).collect() };
    let strides = |s: &[usize]| -> Vec<usize> {
        (0..4).map(|a| if s[a] == 1 { 0 } else { s[a + 1..].iter().product() }).collect()
    };
    for left in 0..16 {
        for right in 0..16 {
            let (sl, sr) = (shape(left), shape(right));
            let (x, y) = (super::numbers(&sl, 1), super::numbers(&sr, 2));
            let out: Vec<usize> = sl.iter().zip(&sr).map(|(a, b)| *a.max(b)).collect();
            let (dx, dy) = (read(&x).1, read(&y).1);
            let (tl, tr) = (strides(&sl), strides(&sr));
            let mut want = Vec::new();
            for i in 0..out.iter().product() {
                let (mut rest, mut at, mut bt) = (i, 0, 0);
                for a in (0..4).rev() {
                    at += rest % out[a] * tl[a];
                    bt += rest % out[a] * tr[a];
                    rest /= out[a];
                }
                want.push(dx[at] - dy[bt] * 2.0);
            }
            super::is(&(&x - &y * 2.0), &out, &want);
            // what a broadcast repeats, its transpose adds up
            let g = grad(|y: &Tensor| (&x - y * 2.0).sum(..))(&y);
            let copies = out.iter().product::<usize>() as f64 / y.size() as f64;
            super::near(&g, &sr, &vec![-2.0 * copies; y.size()], 1e-12);
        }
    }
    // fewer axes on one side
    for rank in 0..4 {
        let y = super::numbers(&full[rank..], 3);
        let x = super::numbers(&full, 4);
        let n = y.size();
        let (dx, dy) = (read(&x).1, read(&y).1);
        let want: Vec<f64> = dx.iter().enumerate().map(|(i, v)| v * dy[i % n]).collect();
        super::is(&(&x * &y), &full, &want);
    }
}

/// Ten million elements, against closed forms.
#[test]
fn ten_million_elements() {
    const N: usize = 10_000_000;
    let n = N as f64;
    let x = Tensor::arange(N);
    let at = |t: &Tensor, i: usize| read(&t.i(i)).1[0];
    let total = |f: &dyn Fn(&Tensor) -> Tensor| read(&jit(f).call(&x).unwrap()).1[0];
    let wide = |x: &Tensor| x.to(DType::F64);
    let whole = n * (n - 1.0) / 2.0;
    assert_eq!(total(&|x| wide(x).sum(..)), whole);
    assert_eq!(total(&|x| x.max(..)), n - 1.0);
    // the first of the greatest wrapped products
    let mixed = |i: i32| i.wrapping_mul(-1_640_531_527);
    let best = (0..N as i32).rev().max_by_key(|&i| mixed(i)).unwrap();
    assert_eq!(total(&|x| (x * -1_640_531_527).argmax(0)), f64::from(best));
    assert_eq!(total(&|x| (x % 2).eq(0).to(DType::F64).sum(..)), n / 2.0);
    // ones in f32, whose sum a single running total could not hold
    assert_eq!(total(&|x| x.zeros_like().to(DType::F32).exp().sum(..)), n);
    let reversed = jit(|x: &Tensor| x.flip(0)).call(&x).unwrap();
    assert_eq!((at(&reversed, 0), at(&reversed, N - 1)), (n - 1.0, 0.0));
    let sums = jit(|x: &Tensor| wide(x).cumsum(0)).call(&x).unwrap();
    assert_eq!((at(&sums, 1000), at(&sums, N - 1)), (500_500.0, whole));
    let sorted = jit(|x: &Tensor| (-x).sort(0)).call(&x).unwrap();
    assert_eq!((at(&sorted, 0), at(&sorted, 17), at(&sorted, N - 1)), (1.0 - n, 18.0 - n, 0.0));
    let picked = jit(|x: &Tensor| x.i(&(N as i32 - 1 - x)).i(step(.., 1_000_000))).call(&x).unwrap();
    assert_eq!(read(&picked).1, (0..10).map(|k| n - 1.0 - 1e6 * f64::from(k)).collect::<Vec<_>>());
    let counts =
        jit(|x: &Tensor| Tensor::zeros([10]).at(&(x % 10)).add(x.ones_like().to(DType::F32))).call(&x).unwrap();
    super::is(&counts, &[10], &[1e6; 10]);
    let square = |x: &Tensor| wide(x).reshape([10, 1000, 1000]);
    let moved = jit(|x: &Tensor| square(x).transpose([2, 0, 1]).i((3, 7, 11))).call(&x).unwrap();
    assert_eq!(read(&moved).1, [7e6 + 11e3 + 3.0]);
    let columns = jit(|x: &Tensor| square(x).sum([0, 1])).call(&x).unwrap();
    // of column c: the sum of 1000 k + c over k below 10,000
    assert_eq!(at(&columns, 3), 1e3 * 1e4 * 9999.0 / 2.0 + 3e4);
    let product = jit(|x: &Tensor| {
        let ones = wide(x).reshape([N / 4, 4]) * 0.0 + 1.0;
        ones.t().matmul(&wide(x).reshape([N / 4, 4]))
    });
    let got = product.call(&x).unwrap();
    // column c holds 4 k + c for k below N / 4
    let quarter = n / 4.0;
    let want: Vec<f64> = (0..16).map(|i| 4.0 * quarter * (quarter - 1.0) / 2.0 + f64::from(i % 4) * quarter).collect();
    super::near(&got, &[4, 4], &want, 1e-13);
    let joined = jit(|x: &Tensor| Tensor::concatenate(&[x.clone(), x + 1], 0).i(step(.., N as i64))).call(&x).unwrap();
    assert_eq!(read(&joined).1, [0.0, 1.0]);
    let windows = jit(|x: &Tensor| wide(x).reduce_window(ReduceKind::Sum, &[4], &[4], &Padding::Valid).i(-1)).call(&x);
    assert_eq!(read(&windows.unwrap()).1, [4.0 * n - 10.0]);
    let slope = jit(grad(|x: &Tensor| x.square().sum(..))).call(&wide(&x)).unwrap();
    assert_eq!(at(&slope, N - 1), 2.0 * n - 2.0);
    let halves = jit(|x: &Tensor| (x % 3).to(DType::BF16).sum(..)).call(&x).unwrap();
    let sum = (0..N as u64).map(|i| i % 3).sum::<u64>() as f32;
    assert_eq!(read(&halves).1, [f64::from(gradloom_frontend::bf16::from_f32(sum).to_f32())]);
}
