//! Layers and losses against numbers that JAX computed from the same inputs, and against closed forms.

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

/// A few units in the last place of f32.
const EXACT: f32 = 5e-7;

/// An elementwise function and its derivative at -3, -1.5, -0.5, 0, 0.25, 1, 2.5.
#[track_caller]
fn activation(f: fn(&Tensor) -> Tensor, values: [f32; 7], slopes: [f32; 7]) {
    let x = Tensor::from_vec(vec![-3.0f32, -1.5, -0.5, 0.0, 0.25, 1.0, 2.5]);
    close(&f(&x), &values, EXACT);
    close(&grad(|x: &Tensor| f(x).sum(..))(&x), &slopes, EXACT);
    assert!(f(&Tensor::from(f32::NAN)).item::<f32>().unwrap().is_nan());
}

#[test]
fn activations() {
    activation(relu, [0.0, 0.0, 0.0, 0.0, 0.25, 1.0, 2.5], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    activation(
        silu,
        [-0.142_277_63, -0.273_638_3, -0.188_770_34, 0.0, 0.140_544_13, 0.731_058_6, 2.310_354_5],
        [-0.088_104_11, -0.041_294_172, 0.260_038_82, 0.5, 0.623_710_04, 0.927_670_54, 1.099_401_1],
    );
    activation(
        gelu,
        [-0.003_637_343_6, -0.100_428_43, -0.154_286, 0.0, 0.149_675_35, 0.841_192, 2.484_915_7],
        [-0.011_583_906, -0.127_710_8, 0.132_630_11, 0.5, 0.695_354_1, 1.082_964, 1.037_951_7],
    );
}

fn scores() -> Tensor {
    Tensor::from_slice([2, 3], &[1.0f32, 2.0, -1.0, 0.5, -0.5, 3.0])
}

#[test]
fn cross_entropy_of_integer_labels() {
    let labels = Tensor::from_vec(vec![1, 0]);
    close(&cross_entropy(&scores(), &labels), &[1.477_713_1], EXACT);
    let g = grad(|s: &Tensor| cross_entropy(s, &labels))(&scores());
    close(&g, &[0.129_748_24, -0.147_307_72, 0.017_559_513, -0.463_100_64, 0.013_574_513, 0.449_526_13], EXACT);
    // labels of other integer dtypes, and leading axes
    let stacked = Tensor::stack(&[scores(), scores()], 0);
    let labels = Tensor::stack(&[labels.clone(), labels], 0).to(DType::U8);
    close(&cross_entropy(&stacked, &labels), &[1.477_713_1], EXACT);
    assert_eq!(cross_entropy_each(&stacked, &labels).shape(), [2, 2]);
}

#[test]
fn cross_entropy_at_the_edges() {
    // uniform scores: ln n, however large they are
    for offset in [0.0f32, 1e4, -1e4] {
        let loss = cross_entropy_each(&Tensor::full([1, 4], offset, DType::F32), &Tensor::from_vec(vec![2]));
        close(&loss, &[4f32.ln()], EXACT);
    }
    // a class that is masked out by -inf changes neither the others' loss nor makes the derivative NaN
    let masked = Tensor::from_slice([1, 3], &[0.0f32, 0.0, f32::NEG_INFINITY]);
    let label = Tensor::from_vec(vec![1]);
    close(&cross_entropy_each(&masked, &label), &[2f32.ln()], EXACT);
    close(&grad(|s: &Tensor| cross_entropy(s, &label))(&masked), &[0.5, -0.5, 0.0], EXACT);
    // labels that are no class
    let each = cross_entropy_each(&scores(), &Tensor::from_vec(vec![-1, 3])).to_vec::<f32>().unwrap();
    assert!(each.iter().all(|x| x.is_nan()), "{each:?}");
    // what does not fit says so
    assert!(cross_entropy(&scores(), &Tensor::from_vec(vec![0, 1, 2])).item::<f32>().is_err());
}

#[test]
fn accuracy_counts_greatest_scores() {
    close(&accuracy(&scores(), &Tensor::from_vec(vec![1, 0])), &[0.5], 0.0);
    close(&accuracy(&scores(), &Tensor::from_vec(vec![1, 2])), &[1.0], 0.0);
}

#[test]
fn linear_is_a_matrix_product_and_a_bias() {
    let l = Linear {
        w: Tensor::from_slice([2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]),
        b: Tensor::from_vec(vec![0.5f32, 0.0, -0.5]),
    };
    close(&l.forward(&Tensor::from_slice([2, 2], &[1.0f32, 0.0, 2.0, -1.0])), &[1.5, 2.0, 2.5, -1.5, -1.0, -0.5], 0.0);
    let l = Linear::init(&Key::new(1), 4, 5);
    assert_eq!(l.paths(), ["w", "b"]);
    assert_eq!(l.forward(&Tensor::zeros([7, 2, 4])).shape(), [7, 2, 5]);
}

#[test]
fn convolution_keeps_the_size_and_adds_a_bias() {
    let count = |n: usize, scale: f32, offset: f32| (0..n).map(|i| i as f32 / scale + offset).collect::<Vec<f32>>();
    let mut c = Conv2d::init(&Key::new(0), 2, 2, 2);
    c.w = Tensor::from_slice([2, 2, 2, 2], &count(16, 8.0, -1.0));
    c.b = Tensor::from_vec(vec![0.5f32, -0.5]);
    let x = Tensor::from_slice([1, 3, 3, 2], &count(18, 4.0, -2.0));
    let expected = [
        5.0, 3.125, 4.5, 3.125, 2.25, 1.1875, 3.5, 3.125, 3.0, 3.125, 0.0, -0.3125, -2.625, -2.9375, -3.875, -3.9375,
        -3.1875, -3.65625,
    ];
    close(&c.forward(&x), &expected, EXACT);
}

#[test]
fn layer_norm_and_its_derivative() {
    let l = LayerNorm::init(3);
    close(
        &l.forward(&scores()),
        &[0.267_260_34, 1.069_041_4, -1.336_301_9, -0.339_682_3, -1.019_046_9, 1.358_729_2],
        EXACT,
    );
    let weights = Tensor::arange(6).to(DType::F32).reshape([2, 3]);
    let g = grad(|x: &Tensor| (l.forward(x) * &weights).sum(..))(&scores());
    close(&g, &[-0.687_241_7, 0.458_157_66, 0.229_084_01, -0.548_718_2, 0.391_939_4, 0.156_779_05], 2e-6);
    let scaled = LayerNorm {
        gain: Tensor::from_vec(vec![2.0f32, 0.0, 1.0]),
        bias: Tensor::from_vec(vec![0.0f32, 7.0, 1.0]),
        eps: 1e-5,
    };
    close(&scaled.forward(&scores()).i(0), &[0.534_520_7, 7.0, -0.336_301_9], EXACT);
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
}
