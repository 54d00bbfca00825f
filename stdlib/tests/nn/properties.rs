//! What must hold of layers beside their numbers.

use gradloom_frontend::prelude::*;
use gradloom_stdlib::nn::*;

#[track_caller]
fn close(got: &Tensor, expected: &Tensor) {
    let (g, e) = (got.to_f64_vec().unwrap(), expected.to_f64_vec().unwrap());
    assert_eq!(got.shape(), expected.shape());
    for (i, (g, e)) in g.iter().zip(&e).enumerate() {
        assert!((g - e).abs() <= 1e-5 * e.abs().max(1.0), "element {i}: {g} is not {e}");
    }
}

#[test]
fn nan_stays_nan_in_every_activation() {
    for (name, act) in Act::ALL {
        let y = act.apply(&Tensor::from(f32::NAN)).item::<f32>().unwrap();
        assert!(y.is_nan(), "{name}: {y}");
    }
}

#[test]
fn activations_are_finite_or_right_at_the_ends() {
    for (name, act) in Act::ALL {
        let x = Tensor::from([-1e4f32, 1e4]);
        let g = grad(|x: &Tensor| act.apply(x).sum(..))(&x).to_vec::<f32>().unwrap();
        assert!(g.iter().all(|g| g.is_finite()), "{name}: {g:?}");
    }
}

#[test]
fn smooth_activations_have_their_second_derivative_at_0() {
    for (act, expected) in [(Act::Softplus, 0.25), (Act::Silu, 0.5), (Act::LogSigmoid, -0.25), (Act::Tanh, 0.0)] {
        let h = hessian(|x: &Tensor| act.apply(x))(&Tensor::from(0.0f32)).item::<f32>().unwrap();
        assert!((h - expected).abs() < 1e-6, "{act:?}: {h}");
    }
}

/// Three places, then two, then one by one: as all at once.
#[track_caller]
fn decodes(config: AttentionConfig) {
    let attention = Attention::init(&Key::new(0), config);
    let table = attention.relative.as_ref().map(|t| random::normal(&Key::new(7), t.shape()));
    let attention = Attention { relative: table, ..attention };
    let x = random::normal(&Key::new(1), [2, 7, 8]);
    let all = attention.forward(&x, None, None);
    let step = jit(|(attention, x, cache): &(Attention, Tensor, KvCache)| attention.decode(x, cache));
    let (mut cache, mut at) = (attention.cache(2, 7), 0);
    for n in [3, 2, 1, 1] {
        let next = x.slice_axis(1, at, at + n);
        let (eager, _) = attention.decode(&next, &cache);
        let y;
        (y, cache) = step.call(&(attention.clone(), next, cache)).unwrap();
        close(&y, &all.slice_axis(1, at, at + n));
        close(&eager, &y);
        at += n;
    }
    assert_eq!(cache.length.item::<i32>().unwrap(), 7);
    // no room for another
    let (y, _) = attention.decode(&x.slice_axis(1, 0, 1), &cache);
    assert!(y.to_vec::<f32>().unwrap().iter().all(|y| y.is_nan()));
    // and never for so many at once
    assert!(attention.decode(&Tensor::zeros([2, 8, 8]), &attention.cache(2, 7)).0.check().is_err());
}

#[test]
fn decoding_is_attention_to_the_past() {
    let kinds = [
        Positions::Unknown,
        Positions::Rotary(Rope::default()),
        Positions::Linear,
        Positions::Relative { buckets: 4, max_distance: 6 },
    ];
    for positions in kinds {
        decodes(AttentionConfig { causal: true, kv_heads: 2, positions, ..AttentionConfig::new(8, 4) });
    }
}

#[test]
fn blocks_decode_as_they_run() {
    for order in [NormOrder::Pre, NormOrder::Post] {
        let config = BlockConfig { order, ..BlockConfig::new(8, 2) }.causal();
        let block = EncoderBlock::init(&Key::new(0), config);
        let x = random::normal(&Key::new(1), [1, 4, 8]);
        let (first, cache) = block.decode(&x.slice_axis(1, 0, 3), &block.attention.cache(1, 4));
        let (last, _) = block.decode(&x.slice_axis(1, 3, 4), &cache);
        close(&Tensor::concatenate(&[first, last], 1), &block.forward(&x, None, None));

        let attention = AttentionConfig { context_width: 5, causal: true, ..AttentionConfig::new(8, 2) };
        let block = DecoderBlock::init(&Key::new(0), BlockConfig { order, attention, ..BlockConfig::new(8, 2) });
        let context = random::normal(&Key::new(2), [1, 3, 5]);
        let mask = Tensor::from([true, false, true]);
        let (first, cache) = block.decode(&x.slice_axis(1, 0, 3), &context, Some(&mask), &block.attention.cache(1, 4));
        let (last, _) = block.decode(&x.slice_axis(1, 3, 4), &context, Some(&mask), &cache);
        let all = block.forward(&x, &context, None, Some(&mask), None);
        close(&Tensor::concatenate(&[first, last], 1), &all);
    }
}

#[test]
fn a_query_without_keys_gets_nothing_and_no_nan() {
    let [q, k, v] = [1, 2, 3].map(|i| random::normal(&Key::new(i), [1, 2, 4]));
    let mask = Tensor::from([[true, false], [false, false]]);
    let f = |q: &Tensor| scaled_dot_product(q, &k, &v, None, Some(&mask));
    close(&f(&q).i((0, 0)), &v.i((0, 0)));
    close(&f(&q).i((0, 1)), &Tensor::zeros([4]));
    let g = grad(|q: &Tensor| f(q).sum(..))(&q).to_vec::<f32>().unwrap();
    assert!(g.iter().all(|g| *g == 0.0), "{g:?}");
}

#[test]
fn rotated_products_depend_on_the_distance_alone() {
    let [q, k] = [1, 2].map(|i| random::normal(&Key::new(i), [1, 6]));
    for pairs in [Pairs::Neighbours, Pairs::Halves] {
        let rope = Rope { pairs, ..Rope::default() };
        let product = |i: i32, j: i32| {
            let turned = |x: &Tensor, at: i32| rope.rotate(x, &Tensor::from([at]));
            (turned(&q, i) * turned(&k, j)).sum(..)
        };
        close(&product(3, 5), &product(10, 12));
        let apart = (product(3, 5) - product(3, 6)).abs().item::<f32>().unwrap();
        assert!(apart > 1e-3);
    }
}

#[test]
fn periodic_convolutions_commute_with_shifts() {
    let config = ConvConfig::new([3, 4], 2, 3).padding(Pad::Circular).dilation([1, 2]);
    let layer = Convolution::init(&Key::new(0), config);
    let up = ConvConfig::new([3, 4], 2, 3).padding(Pad::Circular).strides([2]);
    let up = TransposedConvolution::init(&Key::new(0), up);
    let x = random::normal(&Key::new(1), [1, 5, 6, 2]);
    close(&layer.forward(&x.roll([2, 1], [1, 2])), &layer.forward(&x).roll([2, 1], [1, 2]));
    close(&up.forward(&x.roll([2, 1], [1, 2])), &up.forward(&x).roll([4, 2], [1, 2]));
}

#[test]
fn dropout_in_blocks_needs_a_key() {
    let block = EncoderBlock::init(&Key::new(0), BlockConfig { dropout: 0.5, ..BlockConfig::new(8, 2) });
    let x = random::normal(&Key::new(1), [1, 4, 8]);
    let (a, b) = (block.forward(&x, None, Some(&Key::new(2))), block.forward(&x, None, Some(&Key::new(3))));
    assert_ne!(a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    let none = EncoderBlock::init(&Key::new(0), BlockConfig::new(8, 2));
    close(&block.forward(&x, None, None), &none.forward(&x, None, None));
}

#[test]
fn dropout_of_attention_keeps_the_mean() {
    let attention = AttentionConfig { dropout: 0.4, ..AttentionConfig::new(8, 2) };
    let config = BlockConfig { attention, ..BlockConfig::new(8, 2) };
    let (block, decoder) = (EncoderBlock::init(&Key::new(0), config.clone()), DecoderBlock::init(&Key::new(0), config));
    let x = random::normal(&Key::new(1), [1, 4, 8]);
    // the output is linear in the weights that are dropped
    let keys = Key::new(2).split_batch(4000);
    let many = vmap(|key: &Key| block.attention.forward(&x, None, Some(key)))(&keys);
    let error = (many.mean(0) - block.attention.forward(&x, None, None)).abs() / (many.std(0) / 4000f64.sqrt());
    assert!(error.max(..).item::<f32>().unwrap() < 5.0, "{error}");
    // each attention of a block draws from a key of its own
    let of = |key: u64| {
        (block.forward(&x, None, Some(&Key::new(key))), decoder.forward(&x, &x, None, None, Some(&Key::new(key))))
    };
    let (a, b) = (of(5), of(6));
    for (a, b) in [(a.0, b.0), (a.1, b.1)] {
        assert!((a - b).abs().max(..).item::<f32>().unwrap() > 1e-3);
    }
}

#[test]
fn unknown_ids_are_seen() {
    let table = Embedding::init(&Key::new(0), 3, 2);
    let rows = table.forward(&Tensor::from_vec(vec![-1i32, 3, 2])).to_vec::<f32>().unwrap();
    assert!(rows[..4].iter().all(|x| x.is_nan()) && rows[4..].iter().all(|x| x.is_finite()), "{rows:?}");
    let rows = table.forward(&Tensor::from_vec(vec![255u8, 2])).to_vec::<f32>().unwrap();
    assert!(rows[..2].iter().all(|x| x.is_nan()) && rows[2].is_finite());
}

#[test]
fn ensembles_of_models_are_mapped_over_keys() {
    let keys = Key::new(0).split_batch(3);
    let models = vmap(|key: &Key| Mlp::init(key, &[2, 4, 1], Act::Silu))(&keys);
    let x = random::normal(&Key::new(1), [5, 2]);
    let ys = vmap(|m: &Mlp| m.forward(&x))(&models);
    let last = Key::from_tensor(keys.to_tensor().i(2));
    close(&ys.i(2), &Mlp::init(&last, &[2, 4, 1], Act::Silu).forward(&x));
}

#[test]
fn features_of_one_coordinate_stand_side_by_side() {
    let y = positional_encoding(&Tensor::from([0.5f32, 0.0]), 2);
    close(&y, &Tensor::from([1.0f32, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0, 1.0]));
}

#[test]
fn sequences_of_different_lengths_decode_together() {
    let config =
        AttentionConfig { causal: true, positions: Positions::Rotary(Rope::default()), ..AttentionConfig::new(8, 2) };
    let attention = Attention::init(&Key::new(0), config);
    let x = random::normal(&Key::new(1), [1, 4, 8]);
    let start = |n| attention.decode(&x.slice_axis(1, 0, n), &attention.cache(1, 6)).1;
    let (short, long) = (start(1), start(3));
    let both = short.zip_map(&long, |a, b| Tensor::stack(&[a.clone(), b.clone()], 0));
    let next = x.slice_axis(1, 3, 4);
    let y = vmap(|cache: &KvCache| attention.decode(&next, cache).0)(&both);
    close(&y.i(0), &attention.decode(&next, &short).0);
    close(&y.i(1), &attention.decode(&next, &long).0);
}

#[test]
fn causal_attention_takes_a_mask_too() {
    let attention = Attention::init(&Key::new(0), AttentionConfig { causal: true, ..AttentionConfig::new(8, 2) });
    let x = random::normal(&Key::new(1), [1, 3, 8]);
    // the second place is padding
    let mask = Tensor::from([true, false, true]).reshape([1, 1, 1, 3]);
    let y = attention.forward(&x, Some(&mask), None);
    let without = Tensor::concatenate(&[x.slice_axis(1, 0, 1), x.slice_axis(1, 2, 3)], 1);
    close(&y.slice_axis(1, 2, 3), &attention.forward(&without, None, None).slice_axis(1, 1, 2));
}

#[test]
fn nothing_panics_whatever_comes() {
    let key = Key::new(0);
    let attention = Attention::init(&key, AttentionConfig { causal: true, ..AttentionConfig::new(4, 2) });
    let block = EncoderBlock::init(&key, BlockConfig { dropout: 0.5, ..BlockConfig::new(4, 2) });
    let decoder = DecoderBlock::init(&key, BlockConfig::new(4, 2));
    let conv = Convolution::init(&key, ConvConfig::new([2, 3], 4, 4).padding(Pad::Reflect));
    let up = TransposedConvolution::init(&key, ConvConfig::new([2, 3], 4, 4).padding(Pad::Circular).strides([2]));
    let (lstm, gru, batch) = (LstmCell::init(&key, 4, 4), GruCell::init(&key, 4, 4), BatchNorm::init(4));
    let same = gradloom_frontend::Padding::Same;
    let odd = [
        Tensor::zeros([-1]),
        Tensor::from(1.0f32),
        Tensor::zeros([0]),
        Tensor::zeros([4]),
        Tensor::zeros([1, 4]),
        Tensor::zeros([0, 4]),
        Tensor::zeros([2, 0, 4]),
        Tensor::zeros([2, 1, 4]),
        Tensor::zeros([1, 1, 1, 4]),
        Tensor::zeros([0, 2, 3, 0]),
        Tensor::zeros([1, 0, 3, 4]),
        Tensor::zeros([1, 1, 1, 1, 1, 4]),
        Tensor::arange(4).reshape([1, 4]),
        Tensor::arange(4).reshape([1, 1, 4]),
        Tensor::zeros([1, 2, 4]).to(DType::F64),
        Tensor::from([true, false]),
    ];
    for x in &odd {
        let mut results = vec![
            Linear::init(&key, 4, 4).forward(x),
            Mlp::init(&key, &[4, 4], Act::Relu).forward(x),
            Siren::init(&key, SirenConfig::new(4, [4], 4)).forward(x),
            Embedding::init(&key, 4, 4).forward(x),
            Embedding::init(&key, 4, 4).attend(x),
            LayerNorm::init(4).forward(x),
            RmsNorm::init(4).forward(x),
            GroupNorm::init(4, 2).forward(x),
            InstanceNorm::init(4).forward(x),
            batch.forward(x, &batch.statistics()).0,
            batch.evaluate(x, &batch.statistics()),
            conv.forward(x),
            up.forward(x),
            attention.forward(x, None, None),
            attention.forward(&Tensor::zeros([1, 2, 4]), Some(x), Some(&key)),
            attention.cross(&Tensor::zeros([1, 2, 4]), x, None, None),
            attention.decode(x, &attention.cache(1, 3)).0,
            block.forward(x, None, Some(&key)),
            decoder.forward(x, x, None, Some(x), None),
            unroll(&lstm, &lstm.start(1), x).0,
            unroll_reverse(&gru, x, &Tensor::zeros([1, 2, 4])).0,
            bidirectional(&gru, &gru, x),
            dropout_shared(Some(&key), 0.5, x, &[0]),
            scaled_dot_product(x, x, x, Some(x), Some(x)),
            Rope::default().rotate(x, x),
            alibi(2, x, x),
            bucket(x, 8, 16, true),
            FourierFeatures::init(&key, 4, 4, 1.0).forward(x),
            positional_encoding(x, 3),
            sinusoidal_positions(x, 4),
            global_mean_pool(x),
            global_max_pool(x),
            mean_pool(x, &[2, 2], &[1, 1], &same),
            mean_pool(x, &[0, usize::MAX], &[0], &same),
            adaptive_mean_pool(x, &[1, 1]),
            adaptive_max_pool(x, &[1, 1]),
            glu(x, 7),
        ];
        results.extend(Act::ALL.iter().map(|(_, act)| act.apply(x)));
        // a value or an error, and the same of what is computed with it
        for y in results {
            assert_eq!(y.check().is_ok(), y.to_f64_vec().is_ok());
            assert!(y.check().is_ok() || (y + 1.0).check().is_err());
        }
    }
}

#[test]
fn second_derivatives_are_those_of_differences() {
    // a sine network and an unrolled cell, along one direction: in f64, central differences of the gradient
    let wide = |t: &Tensor| t.to(DType::F64);
    let siren =
        Siren::init(&Key::new(0), SirenConfig { first_omega: 3.0, omega: 2.0, ..SirenConfig::new(2, [8, 8], 1) })
            .map(wide);
    let cell = LstmCell::init(&Key::new(0), 2, 3).map(wide);
    let attention =
        Attention::init(&Key::new(0), AttentionConfig { causal: true, ..AttentionConfig::new(2, 1) }).map(wide);
    let functions: [&dyn Fn(&Tensor) -> Tensor; 3] =
        [&|x| siren.forward(x).square().sum(..), &|x| unroll(&cell, &cell.start(2), x).0.square().sum(..), &|x| {
            attention.forward(x, None, None).square().sum(..)
        }];
    let [x, v] = [1, 2].map(|i| random::normal_as(&Key::new(i), [2, 4, 2], DType::F64));
    for f in functions {
        let gradient = |x: &Tensor| grad(|x: &Tensor| f(x))(x);
        let (_, hv) = jvp(gradient, &x, &v);
        let step = 1e-5;
        let difference = (gradient(&(&x + &v * step)) - gradient(&(&x - &v * step))) / (2.0 * step);
        close(&hv, &difference);
    }
}
