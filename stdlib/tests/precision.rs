//! Handwritten digits in 16-bit floats with and without loss scaling, and with weights of 8 bits.

use gradloom_frontend::passes::QuantizeWeights;
use gradloom_frontend::{Tree, prelude::*};
use gradloom_stdlib::data::{batch_rows, digits};
use gradloom_stdlib::losses::cross_entropy;
use gradloom_stdlib::metrics::accuracy;
use gradloom_stdlib::nn::{Act, Mlp, Quantized, quantize, quantize_with};
use gradloom_stdlib::optim::*;
use gradloom_stdlib::train::Trainer;

/// Images in rows and labels: to train with, and held out.
fn data() -> [(Tensor, Tensor); 2] {
    let (train, test) = digits().unwrap().split(0.8, 1).unwrap();
    [train, test].map(|d| {
        let (x, y) = d.tensors();
        let n = x.shape()[0];
        (x.reshape([n, 64]), y)
    })
}

fn net() -> Mlp {
    Mlp::init(&Key::new(3), &[64, 128, 64, 10], Act::Relu)
}

/// The held-out accuracy in percent after training on `weight` times the loss, with the arithmetic that `cast` chooses.
fn trained<O: Transformation>(optimizer: &O, weight: f64, compute: Option<DType>) -> (Mlp, f64) {
    let [(x, y), held_out] = data();
    let predict = |net: &Mlp, x: &Tensor| match compute {
        Some(dtype) => mixed_precision(|(net, x): &(Mlp, Tensor)| net.forward(x), dtype)(&(net.clone(), x.clone())),
        None => net.forward(x),
    };
    let loss = |net: &Mlp, step: &Tensor| {
        let rows = batch_rows(&Key::new(4), step, y.shape()[0], 128);
        cross_entropy(&predict(net, &x.take(&rows, 0)), &y.take(&rows, 0)) * weight
    };
    let fitted = Trainer::new(250).quiet().fit(&net(), optimizer, loss, |_| Ok(vec![])).unwrap();
    let percent = percent(&predict(&fitted.state, &held_out.0), &held_out.1);
    (fitted.state, percent)
}

fn percent(scores: &Tensor, labels: &Tensor) -> f64 {
    f64::from(accuracy(scores, labels).item::<f32>().unwrap()) * 100.0
}

/// Adam with next to no floor under its denominator: the size of the loss changes nothing.
fn scale_free() -> impl Transformation + Clone {
    chain((ScaleByAdam { eps: 1e-30, ..Default::default() }, scale_by_learning_rate(2e-3)))
}

/// A loss that is a small part of a whole: in f16 its gradients are 0 (6e-8 is the least number), unless it is scaled.
#[test]
fn f16_needs_loss_scaling_to_learn_a_small_loss() {
    let weight = 1e-6;
    let (_, wide) = trained(&scale_free(), weight, None);
    assert!(wide > 95.0, "{wide}");

    let [(x, y), _] = data();
    let survivors = |scale: f64| {
        let forward = mixed_precision(|net: &Mlp| net.forward(&x), DType::F16);
        let g = grad(|net: &Mlp| cross_entropy(&forward(net), &y) * (weight * scale))(&net());
        g.layers.iter().map(|l| l.w.ne(0.0).to(DType::F32).sum(..).item::<f32>().unwrap()).sum::<f32>()
    };
    assert_eq!(survivors(1.0), 0.0);
    assert!(survivors(65536.0) > 5000.0);

    let (_, without) = trained(&scale_free(), weight, Some(DType::F16));
    assert!(without < 50.0, "{without}");
    let scaled = LossScaled { interval: 20, ..loss_scaled(scale_free()) };
    let (_, with) = trained(&scaled, weight, Some(DType::F16));
    assert!(with > wide - 1.0, "{with} where f32 reaches {wide}");
}

#[test]
fn bf16_learns_as_f32_does() {
    let (_, wide) = trained(&adam(2e-3), 1.0, None);
    let (net, low) = trained(&adam(2e-3), 1.0, Some(DType::BF16));
    assert!(low > wide - 1.0, "{low} where f32 reaches {wide}");
    assert!(net.leaves().iter().all(|w| w.dtype() == DType::F32));
}

/// The bytes of a tree's leaves.
fn bytes<T: Tree>(tree: &T) -> usize {
    tree.leaves().iter().map(|t| t.size() * t.dtype().size()).sum()
}

#[test]
fn weights_of_8_bits_recognise_as_many_digits() {
    let (net, _) = trained(&adam(2e-3), 1.0, None);
    let [_, (x, y)] = data();
    let whole = percent(&net.forward(&x), &y);
    let small = quantize(&net);
    let weights = |n: &Mlp| bytes(&n.layers.iter().map(|l| l.w.clone()).collect::<Vec<_>>());
    assert_eq!(weights(&small.values) * 4, weights(&net));
    assert!(bytes(&small) * 10 < bytes(&net) * 3, "{} of {}", bytes(&small), bytes(&net));

    let predict = jit(|(net, x): &(Quantized<Mlp>, Tensor)| net.dequantize().forward(x));
    let given = percent(&predict.call(&(small.clone(), x.clone())).unwrap(), &y);
    assert!(given > whole - 0.5, "{given} where f32 reaches {whole}");
    // no weight is there in f32
    let compiled = predict.lower(&(small, x.clone())).unwrap();
    assert!(!compiled.text().contains("multiply(%0"), "{}", compiled.text());
    let compiled = compiled.compile().unwrap();
    assert!(!compiled.schedule().contains("convert"), "{}", compiled.schedule());

    // captured, by the pass
    let captured = jit(|x: &Tensor| net.forward(x)).quantize_weights();
    let scores = captured.call(&x).unwrap();
    assert!(percent(&scores, &y) > whole - 0.5);
    let text = captured.lower(&x).unwrap().text();
    for ty in ["i8[64,128]", "i8[128,64]"] {
        assert!(text.contains(ty), "{text}");
    }
    // 64 x 10 is below the size that is worth it
    assert!(text.contains("f32[64,10]") && !text.contains("i8[64,10]"), "{text}");
    let all = jit(|x: &Tensor| net.forward(x)).quantize_weights();
    let all = all.pipeline(|p| p.replace("quantize_weights", QuantizeWeights { least: 1 }));
    let (a, b) = (all.call(&x).unwrap(), predict.call(&(quantize(&net), x.clone())).unwrap());
    assert!((a - b).abs().max(..).item::<f32>().unwrap() < 1e-4);
}

fn numbers(t: &Tensor) -> Vec<f32> {
    t.to(DType::F32).to_vec().unwrap()
}

/// Integers and scales as a loop on the host makes them, and the bound on what is lost.
#[test]
fn rounding_is_that_of_a_loop() {
    let spread = random::normal(&Key::new(1), [5, 7, 3]) * random::normal(&Key::new(2), [3]).exp();
    let zero = spread.clone() * Tensor::from([1.0f32, 0.0, 1.0]);
    for w in [spread, zero] {
        let Quantized { values, scales } = quantize(&w);
        assert_eq!((values.dtype(), scales[0].as_ref().unwrap().shape()), (DType::I8, &[1, 1, 3][..]));
        let (w, q, s) = (numbers(&w), numbers(&values), numbers(scales[0].as_ref().unwrap()));
        let back = numbers(&Quantized { values, scales }.dequantize());
        for (c, s) in s.iter().enumerate() {
            let channel = |x: &[f32]| x.iter().skip(c).step_by(3).copied().collect::<Vec<_>>();
            let (w, q, back) = (channel(&w), channel(&q), channel(&back));
            let most = w.iter().fold(0f32, |m, x| m.max(x.abs()));
            let scale = if most == 0.0 { 1.0 } else { most / 127.0 };
            assert_eq!(s.to_bits(), scale.to_bits());
            for ((w, q), back) in w.iter().zip(&q).zip(&back) {
                assert_eq!(*q, (w / scale).round_ties_even());
                assert_eq!(back.to_bits(), (q * scale).to_bits());
                // half a step, and the rounding of the quotient
                let lost = (f64::from(*w) - f64::from(*q) * f64::from(scale)).abs();
                assert!(lost <= f64::from(scale) * (0.5 + 127.0 * 2f64.powi(-23)), "{w} {q} {scale}");
            }
        }
    }
}

#[test]
fn what_is_rounded_and_what_stays() {
    let tree = (Tensor::ones([2, 3]), Tensor::ones([3]), Tensor::from([[1, 2]]), Tensor::ones([2, 2]).to(DType::F64));
    let Quantized { values, scales } = quantize(&tree);
    assert_eq!(scales.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false, false]);
    let dtypes = values.leaves().iter().map(Tensor::dtype).collect::<Vec<_>>();
    assert_eq!(dtypes, [DType::I8, DType::F32, DType::I32, DType::F64]);

    let w = Tensor::from([[1.0f32, -2.0], [0.5, 4.0]]);
    let rows = quantize_with(&w, |_, _| Some(0));
    assert_eq!(numbers(rows.scales[0].as_ref().unwrap()), [2.0 / 127.0, 4.0 / 127.0]);
    let (empty, kept) = (quantize(&Tensor::zeros([0, 3])), quantize_with(&w, |_, _| None));
    assert_eq!((empty.values.dtype(), kept.values.dtype()), (DType::F32, DType::F32));

    // a channel without meaning keeps none
    let broken = quantize(&Tensor::from([[1.0f32, f32::NAN, f32::INFINITY], [0.5, 1.0, 2.0]])).dequantize();
    let broken = numbers(&broken);
    assert!((broken[0] - 1.0).abs() < 1e-6 && [1, 2, 4, 5].iter().all(|&i| broken[i].is_nan()), "{broken:?}");
}

#[test]
fn mistakes_are_errors() {
    let says = |q: Quantized<(Tensor, Tensor)>, part: &str| {
        let e = q.values.check().unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    };
    let tree = (Tensor::ones([2, 3]), Tensor::from([[1, 2]]));
    says(quantize_with(&tree, |_, _| Some(2)), "leaf `0` is f32[2,3]: it is no f32 array with an axis 2");
    says(quantize_with(&tree, |_, _| Some(-3)), "no f32 array with an axis -3");
    says(quantize_with(&tree, |path, _| (path == "1").then_some(0)), "leaf `1` is i32[1,2]");
    says(quantize(&(Tensor::ones([2]).reshape([3]), tree.1.clone())), "reshape");
}
