//! Properties of the composed functions that a table of values does not show: derivatives at singular places, inverses,
//! transposes, costs of contraction paths.

use super::{is, near, numbers, read};
use gradloom_frontend::prelude::*;
use gradloom_frontend::{
    Overlap, Resize, Tensor, einsum_path, segment_logsumexp, segment_max, segment_min, segment_softmax,
};

fn f64s(data: &[f64]) -> Tensor {
    Tensor::from_slice([data.len()], data)
}

const INF: f64 = f64::INFINITY;

#[test]
fn derivatives_at_zero_distance() {
    let zero = Tensor::zeros([2, 3]).to(DType::F64);
    for order in [0.5, 1.0, 2.0, 3.0, INF, 0.0] {
        is(&grad(|x: &Tensor| x.norm_order(order, ..))(&zero), &[2, 3], &[0.0; 6]);
    }
    is(&grad(|x: &Tensor| x.norm(1).sum(..))(&zero), &[2, 3], &[0.0; 6]);
    is(&grad(|x: &Tensor| x.std(..))(&zero), &[2, 3], &[0.0; 6]);
    is(&grad(|x: &Tensor| x.std_ddof(.., 1.0))(&zero), &[2, 3], &[0.0; 6]);
    is(&grad(|x: &Tensor| x.hypot(x).sum(..))(&zero), &[2, 3], &[0.0; 6]);
    is(&hessian(|x: &Tensor| x.norm(..))(&zero.i(0)), &[3, 3], &[0.0; 9]);
    // the distance of a point to itself
    let points = numbers(&[3, 2], 1);
    let d = grad(|x: &Tensor| x.distances(x).sum(..))(&points);
    assert!(read(&d).1.iter().all(|v| v.is_finite()));
    let apart = |x: &Tensor| (x.i(0) - x.i(1)).norm(..) + (x.i(0) - x.i(2)).norm(..) + (x.i(1) - x.i(2)).norm(..);
    near(&d, &[3, 2], &read(&(grad(apart)(&points) * 2.0)).1, 1e-12);
}

#[test]
fn derivatives_of_logsumexps_are_weights() {
    let wide = f64s(&[-INF, -800.0, 800.0, 0.0]);
    is(&grad(|x: &Tensor| x.logcumsumexp(0).i(3))(&wide), &[4], &[0.0, 0.0, 1.0, 0.0]);
    is(&grad(|x: &Tensor| x.logcumsumexp(0).i(1))(&wide), &[4], &[0.0, 1.0, 0.0, 0.0]);
    let none = f64s(&[-INF; 3]);
    for f in [
        |x: &Tensor| x.logsumexp(..),
        |x: &Tensor| x.logsumexp_weighted(2.0, ..),
        |x: &Tensor| x.logcumsumexp(0).sum(..),
        |x: &Tensor| x.logaddexp(x).sum(..),
        |x: &Tensor| segment_logsumexp(x, &Tensor::from([0, 0, 1]), 3).sum(..),
    ] {
        assert!(read(&grad(f)(&none)).1.iter().all(|v| v.is_finite()));
    }
    // an entry of -inf among others takes no part
    let x = f64s(&[1.0, -INF, 2.0]);
    let p = grad(|x: &Tensor| x.logsumexp(..))(&x);
    near(&p, &[3], &read(&x.softmax(0)).1, 1e-15);
    let x = numbers(&[20], 3) * 30.0;
    near(&grad(|x: &Tensor| x.logcumsumexp(0).i(-1))(&x), &[20], &read(&x.softmax(0)).1, 1e-12);
}

#[test]
fn sinc_has_all_derivatives_at_zero() {
    let zero = Tensor::from_slice((), &[0.0f64]);
    let second = grad(|x: &Tensor| grad(|x: &Tensor| x.sinc())(x));
    let pi2 = std::f64::consts::PI.powi(2);
    near(&second(&zero), &[], &[-pi2 / 3.0], 1e-14);
    let fourth = grad(|x: &Tensor| grad(&second)(x));
    near(&fourth(&zero), &[], &[pi2 * pi2 / 5.0], 1e-13);
    // on both sides of the place where the series ends
    let x = f64s(&[0.159, 0.15915, 0.1592]);
    let exact: Vec<f64> = read(&x).1.iter().map(|x| (x * pi2.sqrt()).sin() / (x * pi2.sqrt())).collect();
    near(&x.sinc(), &[3], &exact, 1e-15);
}

#[test]
fn a_side_not_chosen_has_no_derivative() {
    let safe = |x: &Tensor| where_(&x.gt(0.0), where_(&x.gt(0.0), x, 1.0).log(), 0.0).sum(..);
    is(&grad(safe)(&f64s(&[-1.0, 0.0, 2.0])), &[3], &[0.0, 0.0, 0.5]);
}

#[test]
fn extremes_of_segments_share_their_derivative_among_equals() {
    let x = f64s(&[3.0, 3.0, 1.0, 9.0]);
    let ids = Tensor::from([0, 0, 0, 7]);
    is(&grad(|x: &Tensor| segment_max(x, &ids, 2).i(0))(&x), &[4], &[0.5, 0.5, 0.0, 0.0]);
    is(&grad(|x: &Tensor| segment_min(x, &ids, 2).i(0))(&x), &[4], &[0.0, 0.0, 1.0, 0.0]);
    // a segment with nothing in it, and one row alone
    let p = segment_softmax(&x, &Tensor::from([3, 1, 1, -4]), 5);
    let e = 2f64.exp();
    near(&p, &[4], &[1.0, e / (e + 1.0), 1.0 / (e + 1.0), 0.0], 1e-15);
    // only -inf in a segment: no weight is defined, as in softmax
    let none = segment_softmax(&f64s(&[-INF, 1.0]), &Tensor::from([0, 1]), 2);
    near(&none, &[2], &[f64::NAN, 1.0], 0.0);
}

#[test]
fn patches_and_pixels_have_inverses() {
    let x = numbers(&[2, 4, 6, 8], 1);
    assert_eq!(read(&x.pixel_shuffle(2).pixel_unshuffle(2)), read(&x));
    assert_eq!(read(&x.pixel_unshuffle(2).pixel_shuffle(2)), read(&x));
    // windows that tile the image: fold undoes unfold
    let tiles = x.unfold(&[2, 3], &[2, 3], &Padding::Valid);
    assert_eq!(read(&tiles.fold(&[4, 6], &[2, 3], &[2, 3], &Padding::Valid)), read(&x));
    // a convolution is a product with the patches
    let w = numbers(&[3, 3, 8, 5], 2);
    let flat = w.transpose([2, 0, 1, 3]).reshape([72, 5]);
    let y = x.unfold(&[3, 3], &[2], &Padding::Same).matmul(&flat);
    let conv = x.conv2d(&w, &Conv::new().strides([2]).padding(Padding::Same));
    near(&y, conv.shape(), &read(&conv).1, 1e-12);
    // and the transposed one with kernel flipped and sides exchanged is the derivative
    let pulled = vjp(|x: &Tensor| x.conv2d(&w, &Conv::new().strides([1, 2])), &x.i((0.., 0.., 1..))).1(&numbers(
        &[2, 2, 2, 5],
        3,
    ));
    let flipped = w.flip([0, 1]).swapaxes(-1, -2);
    let up = numbers(&[2, 2, 2, 5], 3).conv_transpose(&flipped, &Conv::new().strides([1, 2]));
    near(&up, &[2, 4, 5, 8], &read(&pulled).1, 1e-12);
}

#[test]
fn resizing_keeps_constants() {
    let x = numbers(&[1, 6, 4], 1);
    for how in [Resize::nearest(), Resize::bilinear(), Resize::bicubic(), Resize::lanczos3()] {
        near(&x.ones_like().resize([1, 11, 3], how), &[1, 11, 3], &[1.0; 33], 1e-12);
    }
    assert_eq!(read(&x.resize([1, 6, 4], Resize::bicubic())), read(&x));
}

/// The least cost over all orders, by trying them all.
fn cheapest(groups: &[Vec<char>], out: &[char], length: &dyn Fn(char) -> f64) -> f64 {
    if groups.len() == 1 {
        return 0.0;
    }
    let mut best = f64::INFINITY;
    for j in 1..groups.len() {
        for i in 0..j {
            let mut left: Vec<Vec<char>> =
                (0..groups.len()).filter(|k| *k != i && *k != j).map(|k| groups[k].clone()).collect();
            let mut all = groups[i].clone();
            all.extend(groups[j].iter().filter(|c| !groups[i].contains(c)));
            let kept: Vec<char> =
                all.iter().copied().filter(|c| out.contains(c) || left.iter().any(|g| g.contains(c))).collect();
            let sums = if kept.len() < all.len() { 2.0 } else { 1.0 };
            let cost = sums * all.iter().map(|&c| length(c)).product::<f64>();
            left.push(kept);
            best = best.min(cost + cheapest(&left, out, length));
        }
    }
    best
}

#[test]
fn contraction_paths_are_the_cheapest() {
    let length = |c: char| [2.0, 9.0, 3.0, 7.0, 5.0, 4.0][(c as usize) % 6];
    for spec in [
        "ab,bc->ac",
        "ab,bc,cd->ad",
        "ab,bc,cd,de,ef->af",
        "ab,bc,ca,ad,db->",
        "abc,cd,de,ebf,f->a",
        "a,b,c,d->abcd",
        "ab,ab,ab->a",
        "abc,bd,cd,ae,be->de",
    ] {
        let (inputs, out) = spec.split_once("->").unwrap();
        let groups: Vec<Vec<char>> = inputs.split(',').map(|g| g.chars().collect()).collect();
        let operands: Vec<Tensor> = (0..)
            .zip(&groups)
            .map(|(k, g)| numbers(&g.iter().map(|&c| length(c) as usize).collect::<Vec<_>>(), k))
            .collect();
        let operands: Vec<&Tensor> = operands.iter().collect();
        let path = einsum_path(spec, &operands).unwrap();
        assert_eq!(path.order.len(), operands.len() - 1);
        assert_eq!(path.flops, cheapest(&groups, &out.chars().collect::<Vec<_>>(), &length), "{spec}");
    }
}

/// Expected: `opt_einsum.contract_path(.., optimize="optimal")` of version 3.4.
#[test]
fn contraction_paths_as_opt_einsum() {
    let sizes: [&[usize]; 5] = [&[8, 30], &[30, 4, 16], &[16, 12], &[12, 4, 9], &[9, 8]];
    let operands: Vec<Tensor> = sizes.iter().map(|s| Tensor::zeros(*s)).collect();
    let path = einsum_path("ab,bcd,de,ecf,fg->ag", &operands.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(path.flops, 51072.0);
    // more operands than all orders are compared for
    let chain: Vec<Tensor> = (0..12).map(|_| numbers(&[2, 2], 1)).collect();
    let spec = (0..12u8).map(|k| format!("{}{}", (b'a' + k) as char, (b'b' + k) as char)).collect::<Vec<_>>().join(",");
    let path = einsum_path(&spec, &chain.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!((path.order.len(), path.flops, path.largest), (11, 11.0 * 16.0, 4.0));
    let product = chain.iter().skip(1).fold(chain[0].clone(), |p, x| p.matmul(x));
    near(&einsum(&spec, &chain.iter().collect::<Vec<_>>()), &[2, 2], &read(&product).1, 1e-12);
}

#[test]
fn rounding_to_decimals_at_its_limits() {
    let x = Tensor::from_slice([4], &[1234.567f32, -3e38, 1e-30, f32::INFINITY]);
    let all = [1234.567f32, -3e38, 1e-30, f32::INFINITY].map(f64::from);
    near(&x.round_to(i32::MAX), &[4], &all, 0.0);
    near(&x.round_to(i32::MIN), &[4], &[0.0, 0.0, 0.0, f64::INFINITY], 0.0);
    near(&x.round_to(-2), &[4], &[1200.0, all[1], 0.0, f64::INFINITY], 1e-6);
}

#[test]
fn differences_of_any_order() {
    let x = Tensor::arange(300);
    assert_eq!(x.diff(0, 0).shape(), [300]);
    assert_eq!(x.diff(usize::MAX, 0).shape(), [0]);
    is(&x.diff(256, 0).i(..2), &[2], &[0.0, 0.0]);
    let e = x.diff(257, 0).check().unwrap_err().to_string();
    assert!(e.contains("diff") && e.contains("at most 256"), "{e}");
}

#[test]
fn sixteen_bits_do_not_number_positions() {
    // 5000 elements, more than f16 and bf16 can count one by one
    for dtype in [DType::F16, DType::BF16] {
        let x = (Tensor::arange(5000).to(DType::F32) / 5000.0).to(dtype);
        near(&x.quantile(0.75, .., Default::default()), &[], &[0.75], 2e-3);
        near(&x.nanmedian(..), &[], &[0.5], 2e-3);
        let (counts, _) = x.histogram(2, Some((0.0, 1.0)), None);
        near(&counts, &[2], &[2500.0, 2500.0], 4e-3);
        near(&x.sinc().i(0), &[], &[1.0], 0.0);
        let top = Tensor::full((), f64::INFINITY, dtype).nan_to_num();
        assert!(read(&top.is_finite()).1 == [1.0] && read(&(&top * 1.01).is_inf()).1 == [1.0]);
        assert_eq!(read(&Tensor::full((), -0.0, dtype).sign_bit()).1, [1.0]);
    }
}

#[test]
fn products_of_complex_vectors() {
    let z = |re: &[f64], im: &[f64]| Tensor::complex(&f64s(re), &f64s(im));
    let (a, b) = (z(&[1.0, 2.0], &[3.0, -1.0]), z(&[0.5, -1.0], &[2.0, 4.0]));
    // (1 - 3i)(0.5 + 2i) + (2 + i)(-1 + 4i) = 6.5 + 0.5i - 6 + 7i
    let v = a.vdot(&b);
    near(&v.real(), &[], &[0.5], 1e-15);
    near(&v.imag(), &[], &[7.5], 1e-15);
    let c = a.correlate(&b, Overlap::Valid);
    near(&c.imag(), &[1], &[-7.5], 1e-15);
    near(&a.convolve(&b, Overlap::Full).real(), &[3], &[-5.5, -10.0, 2.0], 1e-14);
}

#[test]
fn eight_axes() {
    let shape = [1, 2, 1, 3, 2, 1, 2, 2];
    let x = numbers(&shape, 1);
    near(&x.logcumsumexp(3).i((0.., 0.., 0.., -1)), &[1, 2, 1, 2, 1, 2, 2], &read(&x.logsumexp(3)).1, 1e-13);
    assert_eq!(
        x.quantile(Tensor::zeros([2]).to(DType::F64), [1, -1], Default::default()).shape(),
        [2, 1, 1, 3, 2, 1, 2]
    );
    assert_eq!(x.kron(&x).dim(3), 9);
    assert_eq!(read(&x.move_axis([7, 0], [0, 7]).move_axis([0, 7], [7, 0])), read(&x));
    let y = numbers(&[4], 1).convolve(&f64s(&[1.0]), Overlap::Same);
    near(&y, &[4], &read(&numbers(&[4], 1)).1, 0.0);
}

#[test]
fn norms_of_complex_vectors_are_those_of_their_absolute_values() {
    let (re, im) = (f64s(&[3.0, 0.0, -1.0, 0.0]), f64s(&[4.0, 2.0, 0.0, 0.0]));
    let z = Tensor::complex(&re, &im);
    for order in [2.0, 1.0, 0.0, 3.0, f64::INFINITY, f64::NEG_INFINITY] {
        let (got, expected) = (z.norm_order(order, ..), z.abs().norm_order(order, ..));
        assert_eq!(got.dtype(), DType::F64);
        assert!((got - expected).abs().item::<f64>().unwrap() < 1e-15, "{order}");
    }
    // d|z| = conj(z) / |z|, and 0 at 0
    let g = grad(|z: &Tensor| z.norm_keepdims(0).sum(..))(&z);
    let expected = z.conj() / Tensor::complex(&z.norm(..), &Tensor::full((), 0.0, DType::F64));
    assert!((g - expected).abs().max(..).item::<f64>().unwrap() < 1e-15);
    let zero = grad(|z: &Tensor| z.norm(..))(&z.zeros_like());
    assert_eq!(zero.abs().max(..).item::<f64>().unwrap(), 0.0);
}
