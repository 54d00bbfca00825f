//! Configurations without meaning: one error, with the user's line, that the weights and all computed with them carry.

use gradloom_frontend::prelude::*;
use gradloom_stdlib::nn::*;

/// The first error of a model: what it says, and that it points here.
#[track_caller]
fn refused<T: Tree>(model: T, message: &str) {
    let e = model.check().expect_err(message);
    assert_eq!(e.message(), message);
    assert!(e.loc().to_string().contains("configurations.rs"), "{e}");
}

#[test]
fn every_refusal_says_why() {
    let key = Key::new(0);
    refused(Linear::init(&key, 0, 3), "inputs is 0, it must be at least 1");
    refused(Linear::unbiased(&key, 3, 0), "outputs is 0, it must be at least 1");
    refused(Embedding::init(&key, 0, 3), "count is 0, it must be at least 1");
    refused(LayerNorm::init(0), "features is 0, it must be at least 1");
    refused(RmsNorm::init(0), "features is 0, it must be at least 1");
    refused(InstanceNorm::init(0), "features is 0, it must be at least 1");
    refused(BatchNorm::init(0), "features is 0, it must be at least 1");
    refused(GroupNorm::init(6, 0), "groups is 0, it must be at least 1");
    refused(GroupNorm::init(6, 4), "4 groups do not divide 6 features");
    let widths = "widths [3] make no layers: list inputs, hidden widths and outputs, each at least 1";
    refused(Mlp::init(&key, &[3], Act::Relu), widths);
    refused(Mlp::init(&key, &[], Act::Relu), &widths.replace('3', ""));
    refused(Siren::init(&key, SirenConfig::new(2, [], 1)), "hidden widths [] make no layers");
    refused(
        Siren::init(&key, SirenConfig { omega: 0.0, ..SirenConfig::new(2, [4], 1) }),
        "ω_0 of 30 and 0 must be positive",
    );
    refused(FourierFeatures::init(&key, 2, 0, 1.0), "count is 0, it must be at least 1");
    refused(LstmCell::init(&key, 2, 0), "units is 0, it must be at least 1");
    refused(GruCell::init(&key, 0, 2), "inputs is 0, it must be at least 1");
    refused(RnnCell::init(&key, 0, 0), "inputs is 0, it must be at least 1");
}

#[test]
fn refused_convolutions() {
    let key = Key::new(0);
    let config = || ConvConfig::new([3, 3], 4, 6);
    let conv = |config| Convolution::init(&key, config);
    let cases = [
        (conv(config().groups(3)), "3 groups do not divide 4 inputs"),
        (conv(ConvConfig::new([3], 4, 6).groups(4)), "4 groups do not divide 6 outputs"),
        (conv(config().groups(0)), "groups is 0, it must be at least 1"),
        (conv(ConvConfig::new([], 4, 6)), "a window of 0 axes, there are convolutions over 1 to 3"),
        (conv(ConvConfig::new([1; 4], 4, 6)), "a window of 4 axes, there are convolutions over 1 to 3"),
        (conv(ConvConfig::new([3, 0], 4, 6)), "the window [3, 0] has lengths out of 1..=1048576"),
        (conv(config().strides([1, 2, 3])), "strides [1, 2, 3] do not fit 2 spatial axes"),
        (conv(config().strides([usize::MAX])), "strides [18446744073709551615] do not fit 2 spatial axes"),
        (conv(config().dilation([0])), "dilation [0] does not fit 2 spatial axes"),
        (conv(config().padding(Pad::Explicit(vec![(1, 1)]))), "padding Explicit([(1, 1)]) does not fit 2 spatial axes"),
    ];
    for (layer, message) in cases {
        assert_eq!(layer.check().unwrap_err().message(), message);
        // and so does all that is computed with it
        assert_eq!(layer.forward(&Tensor::ones([1, 8, 8, 4])).check().unwrap_err().message(), message);
        let compiled = jit(|x: &Tensor| layer.forward(x)).call(&Tensor::ones([1, 8, 8, 4]));
        assert_eq!(compiled.unwrap_err().message(), message);
    }
    let transposed = |config| TransposedConvolution::init(&key, config);
    refused(transposed(config().groups(2)), "channels of a transposed convolution form one group");
    refused(transposed(config().padding(Pad::Causal)), "padding Causal has no meaning, use Valid, Same or Circular");
}

#[test]
fn refused_attention() {
    let key = Key::new(0);
    let config = AttentionConfig::new;
    let attention = |config| Attention::init(&key, config);
    refused(attention(config(10, 3)), "3 heads do not divide the width 10");
    refused(attention(config(2, 3)), "3 heads do not divide the width 2");
    refused(attention(config(8, 0)), "heads is 0, it must be at least 1");
    refused(attention(config(0, 2)), "width is 0, it must be at least 1");
    let kv_heads = AttentionConfig { kv_heads: 3, ..config(8, 4) };
    refused(attention(kv_heads), "3 heads of keys do not divide 4 heads of queries");
    let rotary = AttentionConfig { positions: Positions::Rotary(Rope::default()), ..config(6, 2) };
    refused(attention(rotary), "rotary positions need pairs of numbers, a head has 3");
    let relative =
        |buckets| AttentionConfig { positions: Positions::Relative { buckets, max_distance: 9 }, ..config(6, 2) };
    refused(attention(relative(3)), "3 buckets cannot be told apart up to distance 9");
    refused(attention(relative(64)), "64 buckets cannot be told apart up to distance 9");
    let dropout = AttentionConfig { dropout: -0.5, ..config(8, 2) };
    refused(attention(dropout), "the dropout -0.5 is not between 0 and 1");
    let block = BlockConfig { dropout: 1.5, ..BlockConfig::new(8, 2) };
    refused(EncoderBlock::init(&key, block.clone()).attention, "the dropout 1.5 is not between 0 and 1");
    refused(DecoderBlock::init(&key, block).cross, "the dropout 1.5 is not between 0 and 1");
    refused(EncoderBlock::init(&key, BlockConfig::new(8, 3)).attention, "3 heads do not divide the width 8");
}

#[test]
fn refused_operands() {
    let key = Key::new(0);
    let attention = Attention::init(&key, AttentionConfig::new(8, 2));
    let x = |shape: &[usize]| Tensor::zeros(shape);
    refused(attention.forward(&x(&[4, 8]), None, None), "x is f32[4,8], it should be [batch, t, width]");
    let (y, _) = attention.decode(&x(&[1, 1, 8]), &attention.cache(1, 4));
    refused(y, "only causal attention can be decoded step by step");
    refused(attention.cache(1, 0), "capacity is 0, it must be at least 1");
    refused(GroupNorm::init(4, 2).forward(&x(&[4])), "x is f32[4], it should be [batch, places.., features]");
    refused(InstanceNorm::init(4).forward(&x(&[2, 4])), "x is f32[2,4], it should be [batch, places.., features]");
    refused(Embedding::init(&key, 3, 2).forward(&x(&[2])), "ids are f32[2], they should be integers");
    let cell = LstmCell::init(&key, 2, 3);
    let (ys, _) = unroll(&cell, &cell.start(1), &x(&[5, 2]));
    refused(ys, "the input is f32[5,2], it should be [batch, time, inputs]");
    refused(sinusoidal_positions(&Tensor::arange(3), 5), "the width 5 is not even");
    refused(
        Rope::default().rotate(&x(&[3, 4]), &Tensor::arange(2)),
        "positions i32[2] do not fit f32[3,4], they should be [time]",
    );
    refused(alibi(0, &Tensor::arange(3), &Tensor::arange(3)), "0 heads, there must be 1 to 65536");
    let pooled = adaptive_mean_pool(&x(&[1, 4, 4, 2]), &[5, 2]);
    let message = "[5, 2] windows do not cover the spatial axes of f32[1,4,4,2], which is [batch, spatial.., channels]";
    refused(pooled, message);
    // what a layer has no words of its own for, the operation inside says
    for wrong in [
        Linear::init(&key, 3, 2).forward(&x(&[4])),
        Linear::init(&key, 3, 2).forward(&x(&[])),
        LayerNorm::init(3).forward(&x(&[5])),
        Convolution::init(&key, ConvConfig::new([3, 3], 1, 1)).forward(&x(&[2])),
        Convolution::init(&key, ConvConfig::new([3], 1, 1).padding(Pad::Circular)).forward(&x(&[2])),
        TransposedConvolution::init(&key, ConvConfig::new([3], 1, 1).padding(Pad::Circular)).forward(&x(&[2])),
        cell.forward(&cell.start(1), &x(&[1, 3])).1,
        positional_encoding(&x(&[]), 2),
        FourierFeatures::init(&key, 2, 3, 1.0).forward(&x(&[3])),
        scaled_dot_product(&x(&[2]), &x(&[2]), &x(&[2]), None, None),
        glu(&x(&[3]), 0),
    ] {
        assert!(wrong.check().is_err());
    }
}
