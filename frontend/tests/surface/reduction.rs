use super::{is, near, numbers, read};
use gradloom_frontend::Tensor;

#[test]
fn axes_in_every_form() {
    let x = Tensor::arange(24).reshape([2, 3, 4]);
    is(&x.sum(..), &[], &[276.0]);
    is(&x.sum([0, 1]), &[4], &[60.0, 66.0, 72.0, 78.0]);
    is(&x.sum(&[0usize, 1][..]), &[4], &[60.0, 66.0, 72.0, 78.0]);
    is(&x.sum(vec![-2i64, 0]), &[4], &[60.0, 66.0, 72.0, 78.0]);
    is(&x.sum(-1), &[2, 3], &[6.0, 22.0, 38.0, 54.0, 70.0, 86.0]);
    is(&x.sum_keepdims([0, 2]), &[1, 3, 1], &[60.0, 92.0, 124.0]);
    is(&x.sum([0i32; 0]), &[2, 3, 4], &read(&x).1);
    is(&x.max_keepdims(..), &[1, 1, 1], &[23.0]);
    is(&x.min(2), &[2, 3], &[0.0, 4.0, 8.0, 12.0, 16.0, 20.0]);
    is(&Tensor::arange(5).i(1..).prod(0), &[], &[24.0]);
    is(&x.gt(3).all([1, 2]), &[2], &[0.0, 1.0]);
    is(&x.gt(22).any_keepdims(-1).i((.., 2, 0)), &[2], &[0.0, 1.0]);
    is(&x.argmax(1), &[2, 4], &[2.0; 8]);
    is(&(-&x).argmax(-1), &[2, 3], &[0.0; 6]);
    is(&x.argmin(0), &[3, 4], &[0.0; 12]);
}

#[test]
fn moments() {
    let x = Tensor::from_slice([2, 3], &[1.0f64, 2.0, 3.0, 5.0, 8.0, 14.0]);
    near(&x.mean(1), &[2], &[2.0, 9.0], 1e-15);
    near(&x.var(1), &[2], &[2.0 / 3.0, 14.0], 1e-15);
    near(&x.std_keepdims(1), &[2, 1], &[(2.0f64 / 3.0).sqrt(), 14f64.sqrt()], 1e-15);
    near(&x.norm(..), &[], &[299f64.sqrt()], 1e-15);
    near(&x.norm_keepdims(1), &[2, 1], &[14f64.sqrt(), 285f64.sqrt()], 1e-15);
    near(&Tensor::zeros([0, 2]).mean(0), &[2], &[f64::NAN, f64::NAN], 0.0);
}

#[test]
fn reductions_of_nothing() {
    let x = Tensor::zeros([0, 2]);
    is(&x.sum(0), &[2], &[0.0, 0.0]);
    is(&x.prod(0), &[2], &[1.0, 1.0]);
    is(&x.max(0), &[2], &[f64::NEG_INFINITY; 2]);
    is(&x.sum(1), &[0], &[]);
    is(&x.softmax(0), &[0, 2], &[]);
    is(&x.cumsum(0), &[0, 2], &[]);
    is(&x.sort(0), &[0, 2], &[]);
    is(&x.eq(1.0).all(..), &[], &[1.0]);
}

#[test]
fn softmax_family_is_stable() {
    let x = Tensor::from_slice([2, 3], &[1000.0f64, 1001.0, 1002.0, -5.0, f64::NEG_INFINITY, -1005.0]);
    let e = [1.0f64, 1f64.exp(), 2f64.exp()];
    let total: f64 = e.iter().sum();
    let p: Vec<f64> = e.iter().map(|v| v / total).chain([1.0, 0.0, 0.0]).collect();
    near(&x.softmax(-1), &[2, 3], &p, 1e-15);
    let logs: Vec<f64> = e.iter().map(|v| (v / total).ln()).chain([0.0, f64::NEG_INFINITY, -1000.0]).collect();
    near(&x.log_softmax(-1), &[2, 3], &logs, 1e-12);
    near(&x.logsumexp(-1), &[2], &[1000.0 + total.ln(), -5.0], 1e-15);
    near(&x.logsumexp_keepdims([0, 1]), &[1, 1], &[1000.0 + total.ln()], 1e-15);
    let infinite = Tensor::from_slice([3], &[f64::NEG_INFINITY; 3]);
    near(&infinite.logsumexp(..), &[], &[f64::NEG_INFINITY], 0.0);
    near(&Tensor::from_slice([2], &[f64::INFINITY, 0.0]).logsumexp(..), &[], &[f64::INFINITY], 0.0);
}

#[test]
fn running_reductions() {
    let x = Tensor::from_slice([2, 3], &[1.0f64, -2.0, 3.0, 2.0, 0.5, 4.0]);
    is(&x.cumsum(1), &[2, 3], &[1.0, -1.0, 2.0, 2.0, 2.5, 6.5]);
    is(&x.cumsum_reverse(1), &[2, 3], &[2.0, 1.0, 3.0, 6.5, 4.5, 4.0]);
    is(&x.cumprod(-1), &[2, 3], &[1.0, -2.0, -6.0, 2.0, 1.0, 4.0]);
    is(&x.cummax(0), &[2, 3], &[1.0, -2.0, 3.0, 2.0, 0.5, 4.0]);
    is(&x.cummin(1), &[2, 3], &[1.0, -2.0, -2.0, 2.0, 0.5, 0.5]);
}

#[test]
fn sorting() {
    let x = Tensor::from_slice([2, 4], &[3.0f32, f32::NAN, -1.0, 3.0, 0.0, -0.0, 7.0, 7.0]);
    near(&x.sort(1), &[2, 4], &[-1.0, 3.0, 3.0, f64::NAN, -0.0, 0.0, 7.0, 7.0], 0.0);
    is(&x.argsort(-1), &[2, 4], &[2.0, 0.0, 3.0, 1.0, 0.0, 1.0, 2.0, 3.0]);
    let (values, at) = x.top_k(3);
    near(&values, &[2, 3], &[f64::NAN, 3.0, 3.0, 7.0, 7.0, 0.0], 0.0);
    is(&at, &[2, 3], &[1.0, 0.0, 3.0, 2.0, 3.0, 0.0]);
    let (k, v) = Tensor::sort_by_key(&Tensor::from_vec(vec![2, 1, 2, 0]), &[Tensor::arange(4)], 0);
    is(&k, &[4], &[0.0, 1.0, 2.0, 2.0]);
    is(&v[0], &[4], &[3.0, 1.0, 0.0, 2.0]);
    assert_eq!(numbers(&[3, 4], 0).top_k(0).0.shape(), [3, 0]);
}
