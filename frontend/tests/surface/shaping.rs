use super::{is, near, numbers, read};
use gradloom_frontend::Tensor;
use gradloom_frontend::prelude::*;

fn x() -> Tensor {
    Tensor::arange(6).reshape([2, 3])
}

#[test]
fn axes_move() {
    is(&x().t(), &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let y = numbers(&[2, 3, 4], 0);
    assert_eq!(y.mt().shape(), [2, 4, 3]);
    assert_eq!(y.t().shape(), [4, 3, 2]);
    assert_eq!(y.move_axis(0, -1).shape(), [3, 4, 2]);
    assert_eq!(y.swapaxes(0, 2).shape(), [4, 3, 2]);
    assert_eq!(read(&y.permute([1, 0, -1]).permute([1, 0, 2])), read(&y));
    assert_eq!(y.expand_dims([0, -1]).shape(), [1, 2, 3, 4, 1]);
    assert_eq!(y.expand_dims(1).squeeze(..).shape(), [2, 3, 4]);
    assert_eq!(y.expand_dims(1).squeeze(1).shape(), [2, 3, 4]);
    assert_eq!(y.flatten().shape(), [24]);
    assert_eq!(Tensor::from(1.0f32).t().shape(), [0; 0]);
    assert_eq!(Tensor::from(1.0f32).reshape([-1]).shape(), [1]);
    assert_eq!(y.reshape([4, -1]).shape(), [4, 6]);
}

#[test]
fn joining_and_splitting() {
    let a = x();
    is(&Tensor::concatenate(&[a.clone(), a.clone()], -1).i(0), &[6], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    is(&Tensor::stack(&[a.clone(), a.clone() + 6], 1).i((1, 1)), &[3], &[9.0, 10.0, 11.0]);
    assert_eq!(Tensor::stack(&[a.clone(), a.clone()], -1).shape(), [2, 3, 2]);
    let parts = a.split(3, 1);
    is(&parts[2], &[2, 1], &[2.0, 5.0]);
    let parts = a.split_at(&[0, 1], -1);
    assert_eq!(parts.iter().map(|p| p.dim(1)).collect::<Vec<_>>(), [0, 1, 2]);
    is(&a.slice_axis(1, 1, 3), &[2, 2], &[1.0, 2.0, 4.0, 5.0]);
}

#[test]
fn padding_and_repeating() {
    is(&x().pad(&[(0, 0), (1, -1)], 9), &[2, 3], &[9.0, 0.0, 1.0, 9.0, 3.0, 4.0]);
    is(&x().flip(..), &[2, 3], &[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
    is(&x().flip(0), &[2, 3], &[3.0, 4.0, 5.0, 0.0, 1.0, 2.0]);
    is(&x().roll(1, 1), &[2, 3], &[2.0, 0.0, 1.0, 5.0, 3.0, 4.0]);
    is(&x().roll(-4, 1), &[2, 3], &[1.0, 2.0, 0.0, 4.0, 5.0, 3.0]);
    is(&x().i(0).repeat(2, 0), &[6], &[0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    is(&x().repeat(0, 1), &[2, 0], &[]);
    is(&x().i(0).tile(&[2, 2]), &[2, 6], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    is(&x().tile(&[2]), &[2, 6], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 3.0, 4.0, 5.0]);
    let bits = Tensor::from(1.0f32).bitcast(DType::U32);
    assert_eq!(bits.item::<u32>().unwrap(), 0x3f80_0000);
}

#[test]
fn matrices() {
    let ones = Tensor::ones([3, 4]);
    is(&ones.tril(0), &[3, 4], &[1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
    is(&ones.tril(-1), &[3, 4], &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    is(&ones.triu(1), &[3, 4], &[0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    is(&ones.triu(i64::MAX), &[3, 4], &[0.0; 12]);
    is(&ones.tril(i64::MAX), &[3, 4], &[1.0; 12]);
    is(&Tensor::eye(2), &[2, 2], &[1.0, 0.0, 0.0, 1.0]);
    is(&Tensor::arange(2).diag(), &[2, 2], &[0.0, 0.0, 0.0, 1.0]);
    is(&Tensor::arange(6).reshape([2, 3]).diag(), &[2], &[0.0, 4.0]);
    is(&Tensor::arange(12).reshape([2, 3, 2]).diag(), &[2, 2], &[0.0, 3.0, 6.0, 9.0]);
    is(&Tensor::zeros([0, 0]).diag(), &[0], &[]);
    is(
        &Tensor::from_vec(vec![1i64, -1, 3]).one_hot(3, DType::I32),
        &[3, 3],
        &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    );
}

#[test]
fn linspace_includes_both_ends() {
    near(&Tensor::linspace(-1.0, 2.0, 7), &[7], &[-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0], 1e-7);
    is(&Tensor::linspace(3.0, 5.0, 1), &[1], &[3.0]);
    is(&Tensor::linspace(3.0, 5.0, 0), &[0], &[]);
    assert_eq!(Tensor::linspace(0.0, 0.3, 4).i(-1).item::<f32>().unwrap(), 0.3);
}

#[test]
fn prefixes_of_any_dtype() {
    // associative_scan takes rows apart and puts them together again
    for n in 0..9 {
        let x = Tensor::arange(n);
        assert_eq!(read(&associative_scan(|a: &Tensor, b: &Tensor| a + b, &x)), read(&x.cumsum(0)));
        let flags = x.ne(3);
        let all = associative_scan(|a: &Tensor, b: &Tensor| a & b, &flags);
        assert_eq!(all.to_vec::<bool>().unwrap(), (0..n).map(|i| i < 3).collect::<Vec<_>>());
    }
}
