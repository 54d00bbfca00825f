use super::{is, near, numbers, read};
use gradloom_frontend::prelude::*;
use gradloom_frontend::{ReduceKind, Tensor, conv_general};

/// An NHWC by HWIO convolution by its definition.
fn naive(
    x: &Tensor,
    w: &Tensor,
    stride: [usize; 2],
    pad: [(i64, i64); 2],
    dilation: [usize; 2],
    groups: usize,
) -> (Vec<usize>, Vec<f64>) {
    let ([n, h, wd, c], [kh, kw, ci, co]) = (shape4(x), shape4(w));
    let (xd, wdata) = (read(x).1, read(w).1);
    let out = |len: usize, k: usize, a: usize| {
        let span = (k - 1) * dilation[a] + 1;
        ((len as i64 + pad[a].0 + pad[a].1 - span as i64) / stride[a] as i64 + 1) as usize
    };
    let (oh, ow) = (out(h, kh, 0), out(wd, kw, 1));
    let mut y = vec![0.0; n * oh * ow * co];
    for (i, v) in y.iter_mut().enumerate() {
        let (o, q, p, b) = (i % co, i / co % ow, i / co / ow % oh, i / co / ow / oh);
        for (a, b2, f) in (0..kh).flat_map(|a| (0..kw).flat_map(move |b| (0..ci).map(move |f| (a, b, f)))) {
            let r = (p * stride[0] + a * dilation[0]) as i64 - pad[0].0;
            let s = (q * stride[1] + b2 * dilation[1]) as i64 - pad[1].0;
            if r >= 0 && s >= 0 && r < h as i64 && s < wd as i64 {
                let feature = o / (co / groups) * ci + f;
                *v += xd[((b * h + r as usize) * wd + s as usize) * c + feature]
                    * wdata[((a * kw + b2) * ci + f) * co + o];
            }
        }
    }
    (vec![n, oh, ow, co], y)
}

fn shape4(t: &Tensor) -> [usize; 4] {
    t.shape().try_into().unwrap()
}

#[test]
fn conv2d_against_its_definition() {
    let (x, w) = (numbers(&[2, 7, 6, 4], 1), numbers(&[3, 2, 4, 5], 2));
    let grouped = numbers(&[3, 2, 2, 6], 3);
    let none = [(0, 0); 2];
    let (s, d) = naive(&x, &w, [1, 1], none, [1, 1], 1);
    near(&x.conv2d(&w, &Conv::new()), &s, &d, 1e-13);
    let (s, d) = naive(&x, &w, [2, 1], [(1, 2), (-1, 3)], [1, 2], 1);
    let c = Conv::new().strides([2, 1]).dilation([1, 2]).padding(Padding::Explicit(vec![(1, 2), (-1, 3)]));
    near(&x.conv2d(&w, &c), &s, &d, 1e-13);
    let (s, d) = naive(&x, &grouped, [1, 1], none, [1, 1], 2);
    near(&x.conv(&grouped, &Conv::new().groups(2)), &s, &d, 1e-13);
    // SAME as TensorFlow defines it: 7 by 3 at stride 2 needs 2 in all, 6 by 2 at stride 2 nothing
    let (s, d) = naive(&x, &w, [2, 2], [(1, 1), (0, 0)], [1, 1], 1);
    near(&x.conv2d(&w, &Conv::new().strides([2]).padding(Padding::Same)), &s, &d, 1e-13);
    let (s, d) = naive(&x, &w, [1, 1], [(1, 1), (0, 1)], [1, 1], 1);
    near(&x.conv2d(&w, &Conv::new().padding(Padding::Same)), &s, &d, 1e-13);
}

#[test]
fn layouts_are_permutations() {
    let (x, w) = (numbers(&[2, 5, 6, 3], 1), numbers(&[3, 2, 3, 4], 2));
    let conv = Conv::new().strides([1, 2]);
    let y = x.conv2d(&w, &conv);
    let z = conv_general(&x.permute([0, 3, 1, 2]), &w.permute([3, 2, 0, 1]), ("NCHW", "OIHW", "NCHW"), &conv);
    near(&z.permute([0, 2, 3, 1]), y.shape(), &read(&y).1, 1e-14);
    let (x, w) = (numbers(&[2, 8, 3], 3), numbers(&[3, 3, 4], 4));
    let flat = x.conv1d(&w, &Conv::new());
    let image = x.expand_dims(1).conv2d(&w.expand_dims(0), &Conv::new());
    near(&flat, &[2, 6, 4], &read(&image).1, 1e-14);
    let volume = x.expand_dims([1, 2]).conv3d(&w.expand_dims([0, 1]), &Conv::new());
    near(&flat, &[2, 6, 4], &read(&volume).1, 1e-14);
}

/// Expected values: `jax.lax.conv_transpose`.
#[test]
fn transposed_convolution_as_jax() {
    let x = Tensor::arange(6).reshape([1, 2, 3, 1]).to(DType::F32);
    let w = (Tensor::arange(9) + 1).reshape([3, 3, 1, 1]).to(DType::F32);
    let y = x.conv2d_transpose(&w, [2, 1], &Padding::Same);
    is(&y, &[1, 4, 3, 1], &[9.0, 26.0, 23.0, 6.0, 17.0, 14.0, 63.0, 106.0, 73.0, 39.0, 62.0, 41.0]);
    let y = x.conv2d_transpose(&w, [2, 1], &Padding::Valid);
    is(&y.i((0, 2, .., 0)), &[5], &[27.0, 63.0, 106.0, 73.0, 37.0]);
    let w = (Tensor::arange(4) + 1).reshape([2, 2, 1, 1]).to(DType::F32);
    let y = x.conv2d_transpose(&w, [3, 2], &Padding::Same);
    assert_eq!(y.shape(), [1, 6, 6, 1]);
    is(&y.i((0, 3, .., 0)), &[6], &[12.0, 9.0, 16.0, 12.0, 20.0, 15.0]);
}

#[test]
fn pooling() {
    let x = Tensor::arange(16).reshape([1, 4, 4, 1]).to(DType::F32);
    is(&x.max_pool(&[2, 2], &[2, 2], &Padding::Valid), &[1, 2, 2, 1], &[5.0, 7.0, 13.0, 15.0]);
    is(&x.avg_pool(&[2, 2], &[2], &Padding::Valid), &[1, 2, 2, 1], &[2.5, 4.5, 10.5, 12.5]);
    // one row and column of padding in front, counted as zeros
    near(&x.avg_pool(&[3, 3], &[3, 3], &Padding::Same).i((0, 0, 0, 0)), &[], &[(1.0 + 4.0 + 5.0) / 9.0], 1e-7);
    let same = (-&x).max_pool(&[3, 3], &[1, 1], &Padding::Same);
    is(&same.i((0, 0, .., 0)), &[4], &[0.0, 0.0, -1.0, -2.0]);
    let sums = Tensor::arange(5).reduce_window(ReduceKind::Sum, &[3], &[2], &Padding::Explicit(vec![(1, 1)]));
    is(&sums, &[3], &[1.0, 6.0, 7.0]);
    let least = Tensor::arange(5).reduce_window(ReduceKind::Min, &[2], &[], &Padding::Same);
    is(&least, &[5], &[0.0, 1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn empty_convolutions() {
    let y = Tensor::zeros([0, 5, 5, 1]).conv2d(&Tensor::zeros([3, 3, 1, 2]), &Conv::new());
    assert_eq!(y.shape(), [0, 3, 3, 2]);
    let y = Tensor::zeros([1, 2, 2, 1]).conv2d(&Tensor::zeros([3, 3, 1, 2]), &Conv::new());
    assert_eq!(y.shape(), [1, 0, 0, 2]);
}
