//! What losses are at their edges.

use gradloom_frontend::prelude::*;
use gradloom_stdlib::losses::*;
use gradloom_stdlib::metrics::*;

/// Each element within `tolerance` of max(1, |expected|).
#[track_caller]
fn close(got: &Tensor, expected: &[f32], tolerance: f32) {
    let got = got.to_vec::<f32>().unwrap();
    assert_eq!(got.len(), expected.len(), "{got:?}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(g == e || (g - e).abs() <= tolerance * e.abs().max(1.0), "element {i}: {g} is not {e} in {got:?}");
    }
}

/// A few units in the last place of f32.
const EXACT: f32 = 5e-7;

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
fn what_has_no_probability_counts_nothing_in_distributions() {
    let scores = Tensor::from([[0.0f32, 0.0, f32::NEG_INFINITY]]);
    let q = Tensor::from([[0.5f32, 0.5, 0.0]]);
    close(&cross_entropy_soft_each(&scores, &q), &[2f32.ln()], EXACT);
    close(&kl_divergence_each(&scores.log_softmax(-1), &q), &[0.0], EXACT);
    // certain and right, certain and wrong
    let sure = Tensor::from([100.0f32, -100.0]);
    close(&binary_cross_entropy_each(&sure, &Tensor::from([1.0f32, 1.0])), &[0.0, 100.0], EXACT);
}

#[test]
fn distances_have_derivatives_where_nothing_is_wrong() {
    let t = Tensor::from([[1.0f32, -2.0]]);
    for f in [relative_l2, mse, mae, log_cosh, cosine] {
        let g = grad(|y: &Tensor| f(y, &t))(&t).to_vec::<f32>().unwrap();
        assert!(g.iter().all(|g| g.abs() < 1e-6), "{g:?}");
    }
    let zeros = Tensor::zeros([1, 2]);
    close(&cosine(&zeros, &t), &[1.0], EXACT);
    assert!(grad(|y: &Tensor| cosine(y, &t))(&zeros).is_finite().all(..).item::<bool>().unwrap());
}

#[test]
fn labels_that_cannot_be_spelled_have_an_infinite_loss() {
    let scores = Tensor::zeros([2, 3, 3]);
    let (labels, times) = (Tensor::from([[1, 1], [1, 2]]), Tensor::from([2, 2]));
    let f = |s: &Tensor| ctc_each(s, &labels, &times, &Tensor::from([2, 2]));
    // a repeated label needs a blank between; two labels in two steps have one way, of probability 1/9
    close(&f(&scores), &[f32::INFINITY, 9f32.ln()], EXACT);
    let g = grad(|s: &Tensor| f(s).i(1))(&scores);
    assert!(g.is_finite().all(..).item::<bool>().unwrap());
}

#[test]
fn metrics_at_the_edges() {
    let one = Tensor::from([1, 1]);
    assert!(roc_auc(&Tensor::from([0.5f32, 0.1]), &one).item::<f32>().unwrap().is_nan());
    close(&roc_auc(&Tensor::from([0.5f32, 0.5]), &Tensor::from([0, 1])), &[0.5], 0.0);
    let confusion = confusion_matrix(&Tensor::from([0, -1, 7, 1]), &Tensor::from([0, 0, 0, 9]), 2);
    assert_eq!(confusion.to_vec::<i32>().unwrap(), [1, 0, 0, 0]);
    let image = Tensor::ones([1, 11, 11, 1]);
    close(&psnr(&image, &image, 1.0), &[f32::INFINITY], 0.0);
    close(&ssim(&image, &image, 1.0), &[1.0], 1e-5);
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let x = |shape: &[usize]| Tensor::zeros(shape);
    let (column, labels) = (x(&[3, 1]), Tensor::arange(3));
    let cases = [
        (
            mse(&x(&[3]), &column),
            "the prediction is f32[3] and the target is f32[3,1]: they should have one shape and dtype",
        ),
        (mse(&labels, &labels), "the prediction is i32[3], it should be of floats"),
        (huber(&column, &column, 0.0), "delta 0 must be positive"),
        (relative_l2(&x(&[3]), &x(&[3])), "the prediction is f32[3], it should be [batch, ..]"),
        (cross_entropy(&column, &column), "labels are f32[3,1], they should be integers"),
        (cross_entropy_smoothed(&column, &labels, 1.5), "the smoothing 1.5 is not between 0 and 1"),
        (focal(&column, &column, -1.0, None), "gamma -1 must not be negative"),
        (focal(&column, &column, 1.0, Some(2.0)), "alpha Some(2.0) is not between 0 and 1"),
        (info_nce(&x(&[3]), &x(&[3]), 1.0), "the queries is f32[3], it should be [n, d]"),
        (info_nce(&column, &column, 0.0), "the temperature 0 must be positive"),
        (ctc(&column, &column, &labels, &labels), "scores is f32[3,1], it should be [batch, time, classes]"),
        (top_k_accuracy(&column, &labels, 2), "k is 2 for 1 classes"),
        (confusion_matrix(&labels, &labels, 0), "0 classes, there must be 1 to 32768"),
        (precision(&column), "f32[3,1] is no confusion matrix [classes, classes]"),
        (ssim(&x(&[1, 8, 8, 1]), &x(&[1, 8, 8, 1]), 1.0), "f32[1,8,8,1] is smaller than the window of 11"),
        (psnr(&column, &column, 0.0), "the range 0 must be positive"),
    ];
    for (got, message) in cases {
        let e = got.check().expect_err(message);
        assert_eq!(e.message(), message);
        assert!(e.loc().to_string().contains("edges.rs"), "{e}");
    }
}

#[test]
fn nothing_panics_whatever_comes() {
    let floats = [Tensor::zeros([-1]), Tensor::from(1.0f32), Tensor::zeros([0]), Tensor::zeros([4, 0])];
    let more = [Tensor::zeros([2, 3]), Tensor::zeros([0, 2, 3]), Tensor::zeros([1, 11, 11, 0])];
    let ints = [Tensor::arange(2), Tensor::zeros([2, 3]).to(DType::I32), Tensor::from([true, false])];
    let operands: Vec<Tensor> = floats.into_iter().chain(more).chain(ints).collect();
    type Two = fn(&Tensor, &Tensor) -> Tensor;
    let functions: [Two; 26] = [
        mse,
        mae,
        |a, b| huber(a, b, 1.0),
        log_cosh,
        relative_l2,
        cross_entropy,
        |a, b| cross_entropy_smoothed(a, b, 0.1),
        cross_entropy_soft,
        binary_cross_entropy,
        |a, b| focal(a, b, 2.0, Some(0.5)),
        kl_divergence,
        hinge,
        cosine,
        |a, b| info_nce(a, b, 0.1),
        |a, b| ctc(a, b, b, b),
        accuracy,
        |a, b| top_k_accuracy(a, b, 2),
        |a, b| confusion_matrix(a, b, 3),
        |a, _| precision(a),
        |a, _| recall(a),
        |a, _| f1(a),
        rmse,
        r2,
        roc_auc,
        |a, b| psnr(a, b, 1.0),
        |a, b| ssim(a, b, 1.0),
    ];
    for f in functions {
        for (a, b) in operands.iter().flat_map(|a| operands.iter().map(move |b| (a, b))) {
            let y = f(a, b);
            assert_eq!(y.check().is_ok(), y.to_f64_vec().is_ok());
        }
    }
}
