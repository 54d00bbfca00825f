//! Initial weights against the numbers that JAX draws from the same keys, and layers against closed forms.

use gradloom_frontend::prelude::*;
use gradloom_stdlib::nn::*;

/// Each element within `tolerance` of max(1, |expected|).
#[track_caller]
fn close(got: &Tensor, expected: &[f32], tolerance: f32) {
    let got = got.to_vec::<f32>().unwrap();
    assert_eq!(got.len(), expected.len(), "{got:?}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * e.abs().max(1.0), "element {i}: {g} is not {e} in {got:?}");
    }
}

#[test]
fn linear_is_a_matrix_product_and_a_bias() {
    let l = Linear {
        w: Tensor::from_slice([2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]),
        b: Some(Tensor::from_vec(vec![0.5f32, 0.0, -0.5])),
    };
    close(&l.forward(&Tensor::from_slice([2, 2], &[1.0f32, 0.0, 2.0, -1.0])), &[1.5, 2.0, 2.5, -1.5, -1.0, -0.5], 0.0);
    let l = Linear::init(&Key::new(1), 4, 5);
    assert_eq!(l.paths(), ["w", "b"]);
    assert_eq!(l.forward(&Tensor::zeros([7, 2, 4])).shape(), [7, 2, 5]);
}

#[test]
fn initial_weights_are_those_of_jax() {
    type Init = fn(&Key, [usize; 2]) -> Tensor;
    type InitConv = fn(&Key, [usize; 4]) -> Tensor;
    #[track_caller]
    fn check(dense: Init, conv: InitConv, expected: [f32; 6], expected_conv: [f32; 4]) {
        let key = Key::new(7);
        close(&dense(&key, [2, 3]), &expected, 1e-6);
        close(&conv(&key, [2, 1, 2, 2]).flatten().slice_axis(0, 0, 4), &expected_conv, 1e-6);
    }
    use initial::*;
    check(
        lecun_normal,
        lecun_normal,
        [0.345_149_3, 1.346_394_3, -0.394_471_73, -0.108_111_03, 0.469_440_76, 0.256_086_56],
        [0.244_057_43, 0.952_044_6, -0.278_933_67, -0.076_446_05],
    );
    check(
        lecun_uniform,
        lecun_uniform,
        [0.426_431_45, 1.162_569_3, -0.482_932_66, -0.137_273_03, 0.565_554_3, 0.320_710_7],
        [0.301_532_57, 0.822_060_5, -0.341_484_93, -0.097_066_686],
    );
    check(
        he_normal,
        he_normal,
        [0.488_114_86, 1.904_089_2, -0.557_867_35, -0.152_892_1, 0.663_889_5, 0.362_161_1],
        [0.345_149_3, 1.346_394_3, -0.394_471_73, -0.108_111_03],
    );
    check(
        he_uniform,
        he_uniform,
        [0.603_065_13, 1.644_121, -0.682_969_87, -0.194_133_37, 0.799_814_6, 0.453_553_4],
        [0.426_431_45, 1.162_569_3, -0.482_932_66, -0.137_273_03],
    );
    check(
        glorot_normal,
        glorot_normal,
        [0.308_710_93, 1.204_251_8, -0.352_826_24, -0.096_697_44, 0.419_880_57, 0.229_050_79],
        [0.244_057_43, 0.952_044_6, -0.278_933_67, -0.076_446_05],
    );
    check(
        glorot_uniform,
        glorot_uniform,
        [0.381_411_88, 1.039_833_5, -0.431_948_13, -0.122_780_73, 0.505_847_16, 0.286_852_36],
        [0.301_532_57, 0.822_060_5, -0.341_484_93, -0.097_066_686],
    );
}

#[test]
fn further_initial_weights_are_those_of_jax() {
    use initial::*;
    let key = Key::new(7);
    let cut = [0.214_679_18, 0.837_442_9, -0.245_357_2, -0.067_243_9, 0.291_987_12, 0.159_283_1];
    close(&truncated_normal(&key, [2, 3], 0.5), &cut, 1e-6);
    let wide = [0.979_470_25, -1.120_571_3, 1.336_023_3, 1.739_524, 0.734_434_8, -0.659_288_76];
    close(&orthogonal(&key, [2, 3], 2.0), &wide, 2e-6);
    let kernel = [
        0.315_753_22,
        0.886_025_37,
        -0.150_249_24,
        -0.098_623_41,
        0.371_982_7,
        0.136_806_7,
        -0.090_495_35,
        -0.076_026_8,
        -0.978_695,
        -0.939_352_87,
        0.266_097_34,
        0.029_417_37,
    ];
    close(&orthogonal(&key, [2, 2, 3], 1.0), &kernel, 2e-6);
}

#[test]
fn initial_weights_of_odd_shapes() {
    for shape in [vec![], vec![3], vec![0, 3], vec![3, 0]] {
        let w = initial::glorot_normal(&Key::new(0), &shape);
        assert_eq!(w.shape(), &shape[..]);
        assert!(w.to_vec::<f32>().unwrap().iter().all(|x| x.is_finite()));
    }
    assert!(initial::he_uniform(&Key::new(0), [-1, 2]).check().is_err());
}

#[test]
fn dropout_keeps_the_mean() {
    let (key, x) = (Key::new(3), Tensor::ones([100, 100]));
    let y = dropout(Some(&key), 0.25, &x).to_vec::<f32>().unwrap();
    let kept = y.iter().filter(|&&v| v != 0.0).count() as f64;
    // 10,000 coins of probability 3/4: deviation 43
    assert!((kept - 7500.0).abs() < 6.0 * 43.4, "{kept}");
    assert!(y.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
    assert_eq!(y, dropout(Some(&key), 0.25, &x).to_vec::<f32>().unwrap());
    assert_ne!(y, dropout(Some(&Key::new(4)), 0.25, &x).to_vec::<f32>().unwrap());
    for same in [dropout(None, 0.5, &x), dropout(Some(&key), 0.0, &x)] {
        assert_eq!(same.to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
    }
    assert_eq!(dropout(Some(&key), 1.0, &x).sum(..).item::<f32>().unwrap(), 0.0);
    // what is shared is dropped as a whole
    let columns = dropout_shared(Some(&key), 0.5, &x, &[-2]);
    close(&columns, &columns.i(0..1).broadcast_to([100, 100]).to_vec::<f32>().unwrap(), 0.0);
    assert!(dropout(Some(&key), 1.5, &x).check().is_err());
    assert!(dropout_shared(None, 0.5, &x, &[2]).check().is_err());
}

#[test]
fn orthogonal_weights_have_orthonormal_rows_or_columns() {
    for shape in [vec![5, 3], vec![3, 5], vec![2, 2, 3]] {
        let w = initial::orthogonal(&Key::new(1), &shape, 2.0);
        assert_eq!(w.shape(), &shape[..]);
        let w = w.reshape([-1, shape[shape.len() - 1] as i64]);
        let product = if w.dim(0) > w.dim(1) { w.t().matmul(&w) } else { w.matmul(&w.t()) };
        close(&product, &(Tensor::eye(w.dim(0).min(w.dim(1))) * 4.0).to_vec::<f32>().unwrap(), 2e-6);
    }
    assert!(initial::orthogonal(&Key::new(1), [3], 1.0).check().is_err());
    assert!(initial::orthogonal(&Key::new(1), [-3, 2], 1.0).check().is_err());
}

#[test]
fn scaled_weights_have_their_scale() {
    let key = Key::new(5);
    let deviation = |w: &Tensor| w.std(..).item::<f32>().unwrap();
    let within = |w: &Tensor| w.abs().max(..).item::<f32>().unwrap();
    // of 10,000 numbers; a deviation is known to 1 / sqrt(20,000) of itself
    let w = initial::scaled_normal(&key, [100, 100], 0.5);
    assert!((deviation(&w) - 0.5).abs() < 0.02);
    let w = initial::scaled_uniform(&key, [100, 100], 0.3);
    assert!((deviation(&w) - 0.3 / 3f32.sqrt()).abs() < 0.01 && within(&w) <= 0.3);
    let w = initial::truncated_normal(&key, [100, 100], 0.5);
    assert!((deviation(&w) - 0.5 * 0.88).abs() < 0.02 && within(&w) <= 1.0);
}

#[test]
fn sines_start_with_the_bounds_of_the_paper() {
    let net = Siren::init(&Key::new(0), SirenConfig::new(2, [64, 64], 1));
    let within = |t: &Tensor, bound: f64| {
        let greatest = f64::from(t.abs().max(..).item::<f32>().unwrap());
        assert!(greatest <= bound && greatest > 0.8 * bound, "{greatest} of {bound}");
    };
    within(&net.hidden[0].w, 0.5);
    within(&net.hidden[1].w, (6.0f64 / 64.0).sqrt() / 30.0);
    within(&net.out.w, (6.0f64 / 64.0).sqrt() / 30.0);
    within(net.hidden[1].b.as_ref().unwrap(), 1.0 / 8.0);
}

#[test]
fn heads_that_are_no_power_of_two_take_slopes_between() {
    let at = |i: i32| Tensor::from([i]);
    let expected: Vec<f32> =
        (1..=8).map(|i| -(i as f32)).chain([-0.5, -1.5, -2.5, -3.5]).map(|e| -3.0 * e.exp2()).collect();
    close(&alibi(12, &at(5), &at(2)), &expected, 1e-6);
}
