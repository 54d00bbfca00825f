use super::{is, near, numbers, read};
use gradloom_frontend::Tensor;
use gradloom_frontend::prelude::*;
use std::collections::BTreeMap;

/// Einsum by its definition: a loop over all index values.
fn naive(spec: &str, operands: &[&Tensor]) -> (Vec<usize>, Vec<f64>) {
    let (inputs, out) = spec.split_once("->").unwrap();
    let inputs: Vec<Vec<char>> = inputs.split(',').map(|g| g.chars().collect()).collect();
    let mut lengths = BTreeMap::new();
    for (group, x) in inputs.iter().zip(operands) {
        lengths.extend(group.iter().copied().zip(x.shape().iter().copied()));
    }
    let letters: Vec<char> = lengths.keys().copied().collect();
    let out: Vec<char> = out.chars().collect();
    let shape: Vec<usize> = out.iter().map(|c| lengths[c]).collect();
    let mut result = vec![0.0; shape.iter().product()];
    let data: Vec<Vec<f64>> = operands.iter().map(|x| read(x).1).collect();
    let total: usize = lengths.values().product();
    for mut k in 0..total {
        let mut at = BTreeMap::new();
        for c in &letters {
            at.insert(*c, k % lengths[c]);
            k /= lengths[c];
        }
        let flat = |group: &[char]| group.iter().fold(0, |i, c| i * lengths[c] + at[c]);
        result[flat(&out)] += inputs.iter().zip(&data).map(|(g, d)| d[flat(g)]).product::<f64>();
    }
    (shape, result)
}

#[track_caller]
fn agrees(spec: &str, operands: &[&Tensor]) {
    let (shape, data) = naive(spec, operands);
    near(&einsum(spec, operands), &shape, &data, 1e-12);
}

#[test]
fn einsum_against_its_definition() {
    let [a, b, c] = [numbers(&[2, 3], 1), numbers(&[3, 4], 2), numbers(&[4, 2], 3)];
    agrees("ij,jk->ik", &[&a, &b]);
    agrees("ij,jk->ki", &[&a, &b]);
    agrees("ij,jk->ijk", &[&a, &b]);
    agrees("ij,jk->", &[&a, &b]);
    agrees("ij,kl->lj", &[&a, &b]);
    agrees("ij,jk,ki->", &[&a, &b, &c]);
    agrees("ij,jk,kl->il", &[&a, &b, &c]);
    agrees("ij,ij->j", &[&a, &a]);
    agrees("ij->ji", &[&a]);
    agrees("ij->", &[&a]);
    let s = numbers(&[3, 3, 2], 4);
    agrees("iij->ij", &[&s]);
    agrees("iij->j", &[&s]);
    agrees("iij,ki->kj", &[&s, &c.t().i((.., 0..3))]);
    let (q, k) = (numbers(&[2, 5, 3, 4], 5), numbers(&[2, 6, 3, 4], 6));
    agrees("bqhd,bkhd->bhqk", &[&q, &k]);
    let t = numbers(&[2, 2, 2], 7);
    agrees("aaa->a", &[&t]);
    agrees("abc,cba,bac->b", &[&t, &t, &t]);
    agrees("ij,->ij", &[&a, &numbers(&[], 1)]);
}

#[test]
fn einsum_ellipsis_and_implicit_output() {
    let (x, y) = (numbers(&[2, 1, 3, 4], 1), numbers(&[5, 4, 6], 2));
    let z = einsum("...ij,...jk->...ik", &[&x, &y]);
    assert_eq!(z.shape(), [2, 5, 3, 6]);
    near(&z, &[2, 5, 3, 6], &read(&x.matmul(&y)).1, 1e-14);
    let (a, b) = (numbers(&[2, 3], 1), numbers(&[3, 4], 2));
    is(&einsum("ij,jk", &[&a, &b]), &[2, 4], &read(&einsum("ij,jk->ik", &[&a, &b])).1);
    is(&einsum("ba", &[&a]), &[3, 2], &read(&a.t()).1);
    assert_eq!(einsum(" ...i -> ... ", &[&x]).shape(), [2, 1, 3]);
    assert_eq!(einsum("i...->...i", &[&x]).shape(), [1, 3, 4, 2]);
    near(&einsum("...ii", &[&numbers(&[4, 3, 3], 9)]), &[4], &read(&numbers(&[4, 3, 3], 9).diag().sum(-1)).1, 1e-14);
    assert_eq!(einsum("...,...->...", &[&x, &numbers(&[3, 1], 3)]).shape(), [2, 1, 3, 4]);
}

#[test]
fn einsum_of_empty_arrays() {
    is(&einsum("ij,jk->ik", &[&Tensor::zeros([2, 0]), &Tensor::zeros([0, 3])]), &[2, 3], &[0.0; 6]);
    assert_eq!(einsum("ij,jk->ik", &[&Tensor::zeros([0, 2]), &Tensor::zeros([2, 3])]).shape(), [0, 3]);
}

#[test]
fn matmul_by_rank() {
    let a = numbers(&[2, 3], 1);
    let v = numbers(&[3], 2);
    let stack = numbers(&[5, 3, 4], 3);
    near(&a.matmul(&v), &[2], &read(&einsum("ij,j->i", &[&a, &v])).1, 1e-14);
    near(&v.matmul(&a.t()), &[2], &read(&einsum("ij,j->i", &[&a, &v])).1, 1e-14);
    near(&v.matmul(&v), &[], &read(&v.square().sum(..)).1, 1e-14);
    near(&a.matmul(&stack), &[5, 2, 4], &naive("ij,bjk->bik", &[&a, &stack]).1, 1e-14);
    near(&v.matmul(&stack), &[5, 4], &naive("j,bjk->bk", &[&v, &stack]).1, 1e-14);
    near(&stack.mt().matmul(&v), &[5, 4], &naive("j,bjk->bk", &[&v, &stack]).1, 1e-14);
    near(&stack.mt().matmul(&a.t()), &[5, 4, 2], &naive("ij,bjk->bki", &[&a, &stack]).1, 1e-14);
    let wide = numbers(&[7, 1, 2, 3], 4);
    near(&wide.matmul(&stack), &[7, 5, 2, 4], &naive("cij,bjk->cbik", &[&wide.squeeze(1), &stack]).1, 1e-14);
    let one = numbers(&[1, 3, 4], 5);
    near(&one.matmul(&stack.mt()), &[5, 3, 3], &naive("ij,bkj->bik", &[&one.squeeze(0), &stack]).1, 1e-14);
    is(&Tensor::zeros([2, 0]).matmul(&Tensor::zeros([0, 2])), &[2, 2], &[0.0; 4]);
    let i = Tensor::arange(4).reshape([2, 2]);
    is(&i.matmul(&i), &[2, 2], &[2.0, 3.0, 6.0, 11.0]);
}

#[test]
fn dot_outer_tensordot() {
    let (a, b) = (numbers(&[2, 3], 1), numbers(&[4, 3, 5], 2));
    near(&a.dot(&b), &[2, 4, 5], &naive("ij,bjk->ibk", &[&a, &b]).1, 1e-14);
    let scalar = Tensor::from_slice((), &[2.0f64]);
    near(&a.dot(&scalar), &[2, 3], &read(&(&a * 2.0)).1, 0.0);
    near(&a.outer(&a), &[6, 6], &naive("i,j->ij", &[&a.flatten(), &a.flatten()]).1, 0.0);
    let c = numbers(&[3, 5, 2], 3);
    near(&b.tensordot(&c, [1, -1], [0, 1]), &[4, 2], &naive("bjk,jkl->bl", &[&b, &c]).1, 1e-13);
}
