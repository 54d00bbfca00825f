//! One row a stored case: the layer as its `init` makes it, and what is computed with it.

use super::reference::Reference;
use gradloom_frontend::Padding;
use gradloom_frontend::prelude::*;
use gradloom_stdlib::nn::*;

fn key() -> Key {
    Key::new(0)
}

#[track_caller]
fn convolution(r: &Reference, case: &str, config: ConvConfig) {
    r.check(case, Convolution::init(&key(), config), |m, x| m.forward(&x[0]));
}

#[track_caller]
fn transposed(r: &Reference, case: &str, config: ConvConfig) {
    r.check(case, TransposedConvolution::init(&key(), config), |m, x| m.forward(&x[0]));
}

#[track_caller]
fn attention(r: &Reference, case: &str, config: AttentionConfig) {
    r.check(case, Attention::init(&key(), config), |m, x| m.forward(&x[0], None, None));
}

#[track_caller]
fn function(r: &Reference, case: &str, f: impl Fn(&Tensor) -> Tensor) {
    r.check(case, (), |(), x| f(&x[0]));
}

#[test]
fn layers_are_those_of_flax_and_torch() {
    let r = Reference::load("layers");
    dense(&r);
    activations(&r);
    convolutions(&r);
    norms(&r);
    pooling(&r);
    features(&r);
    attentions(&r);
    transformers(&r);
    recurrent(&r);
    dropouts(&r);
    r.finish();
}

fn dense(r: &Reference) {
    r.check("linear", Linear::init(&key(), 3, 4), |m, x| m.forward(&x[0]));
    r.check("linear_unbiased", Linear::unbiased(&key(), 3, 4), |m, x| m.forward(&x[0]));
    r.check("mlp", Mlp::init(&key(), &[2, 6, 5, 3], Act::Tanh), |m, x| m.forward(&x[0]));
    let config = SirenConfig { omega: 10.0, ..SirenConfig::new(2, [4, 4], 1) };
    r.check("siren", Siren::init(&key(), config), |m, x| m.forward(&x[0]));
    for case in ["embedding", "embedding_torch"] {
        r.check(case, Embedding::init(&key(), 7, 4), |m, x| m.forward(&x[0]));
    }
    r.check("embedding_attend", Embedding::init(&key(), 7, 4), |m, x| m.attend(&x[0]));
}

fn activations(r: &Reference) {
    for (name, act) in Act::ALL {
        function(r, &format!("act_{name}"), |x| act.apply(x));
    }
    function(r, "glu", |x| glu(x, 1));
    function(r, "elu_by", |x| elu_by(x, 0.7));
    function(r, "celu_by", |x| celu_by(x, 0.7));
    r.check("prelu", (Tensor::zeros([3]),), |(slope,), x| leaky_relu_by(&x[0], slope));
}

fn convolutions(r: &Reference) {
    convolution(r, "conv1d_valid_stride", ConvConfig::new([3], 2, 3).strides([2]));
    convolution(r, "conv1d_causal", ConvConfig::new([3], 2, 3).dilation([2]).padding(Pad::Causal));
    convolution(r, "conv1d_circular", ConvConfig::new([4], 2, 3).dilation([2]).padding(Pad::Circular));
    convolution(r, "conv2d_same", ConvConfig::new([3, 3], 2, 3).padding(Pad::Same));
    convolution(r, "conv2d_same_stride", ConvConfig::new([3, 2], 2, 3).strides([2, 3]).padding(Pad::Same));
    convolution(r, "conv2d_dilated", ConvConfig::new([2, 3], 2, 3).dilation([2, 1]));
    convolution(r, "conv2d_grouped", ConvConfig::new([3, 3], 4, 6).groups(2).padding(Pad::Same));
    convolution(r, "conv2d_depthwise_circular", ConvConfig::new([3, 5], 3, 6).groups(3).padding(Pad::Circular));
    convolution(r, "conv2d_reflect", ConvConfig::new([3, 4], 2, 3).padding(Pad::Reflect));
    let widths = Pad::Explicit(vec![(2, 0), (1, 3)]);
    convolution(r, "conv2d_explicit", ConvConfig::new([3, 3], 2, 3).strides([2]).padding(widths));
    convolution(r, "conv3d_same", ConvConfig::new([2, 3, 2], 2, 2).strides([1, 2, 1]).padding(Pad::Same));

    transposed(r, "tconv1d_valid", ConvConfig::new([3], 2, 2).strides([2]));
    transposed(r, "tconv1d_circular", ConvConfig::new([3], 2, 2).strides([2]).padding(Pad::Circular));
    transposed(r, "tconv2d_circular", ConvConfig::new([3, 3], 2, 2).padding(Pad::Circular));
    transposed(r, "tconv2d_same", ConvConfig::new([4, 3], 2, 2).strides([2]).padding(Pad::Same));
    transposed(r, "tconv2d_dilated", ConvConfig::new([2, 3], 2, 2).strides([2, 1]).dilation([2]).padding(Pad::Same));
    transposed(r, "tconv3d_valid", ConvConfig::new([2, 2, 1], 1, 2).strides([2, 1, 2]));
}

fn norms(r: &Reference) {
    r.check("layer_norm", LayerNorm::init(6), |m, x| m.forward(&x[0]));
    r.check("rms_norm", RmsNorm::init(6), |m, x| m.forward(&x[0]));
    r.check("group_norm", GroupNorm::init(6, 3), |m, x| m.forward(&x[0]));
    r.check("instance_norm", InstanceNorm::init(3), |m, x| m.forward(&x[0]));
    let statistics = |x: &[Tensor]| BatchStatistics { mean: x[1].clone(), variance: x[2].clone() };
    r.check("batch_norm", BatchNorm { decay: 0.9, ..BatchNorm::init(4) }, |m, x| {
        let (y, new) = m.forward(&x[0], &statistics(x));
        Tensor::concatenate(&[y.flatten(), new.mean, new.variance], 0)
    });
    r.check("batch_norm_evaluate", BatchNorm::init(4), |m, x| m.evaluate(&x[0], &statistics(x)));
}

fn pooling(r: &Reference) {
    function(r, "mean_pool", |x| mean_pool(x, &[3, 2], &[2, 2], &Padding::Same));
    function(r, "global_mean_pool", global_mean_pool);
    function(r, "global_max_pool", global_max_pool);
    function(r, "adaptive_mean_pool", |x| adaptive_mean_pool(x, &[3, 4]));
    function(r, "adaptive_max_pool", |x| adaptive_max_pool(x, &[3, 4]));
    let windows: [(&[usize], &[usize]); 3] = [(&[3], &[2]), (&[3, 2], &[2, 1]), (&[2, 3, 1], &[1, 2, 1])];
    for (window, strides) in windows {
        for (name, padding) in [("same", Padding::Same), ("valid", Padding::Valid)] {
            let case = |kind: &str| format!("{kind}_pool_{}d_{name}", window.len());
            function(r, &case("max"), |x| x.max_pool(window, strides, &padding));
            function(r, &case("avg"), |x| x.avg_pool(window, strides, &padding));
        }
    }
}

fn features(r: &Reference) {
    r.check("fourier_features", FourierFeatures::init(&key(), 2, 3, 1.0), |m, x| m.forward(&x[0]));
    function(r, "positional_encoding", |x| positional_encoding(x, 3));
    function(r, "sinusoidal_positions", |t| sinusoidal_positions(t, 8));
}

fn attentions(r: &Reference) {
    let small = || AttentionConfig::new(6, 2);
    attention(r, "attention", small());
    attention(r, "attention_causal", AttentionConfig { causal: true, ..small() });
    r.check("attention_masked", Attention::init(&key(), small()), |m, x| m.forward(&x[0], Some(&x[1]), None));
    let config = AttentionConfig { context_width: 5, ..small() };
    r.check("attention_cross", Attention::init(&key(), config), |m, x| m.cross(&x[0], &x[1], None, None));

    let causal = |width, heads, kv_heads, bias, positions| AttentionConfig {
        kv_heads,
        bias,
        positions,
        causal: true,
        ..AttentionConfig::new(width, heads)
    };
    attention(r, "attention_grouped", causal(8, 4, 2, true, Positions::Unknown));
    for (name, pairs) in [("neighbours", Pairs::Neighbours), ("halves", Pairs::Halves)] {
        let rope = Rope { pairs, ..Rope::default() };
        function(r, &format!("rope_{name}"), |x| rope.rotate(x, &Tensor::arange(4)));
        attention(r, &format!("attention_rope_{name}"), causal(8, 2, 1, false, Positions::Rotary(rope)));
    }
    attention(r, "attention_alibi", causal(8, 8, 8, true, Positions::Linear));
    for (name, only_past) in [("causal", true), ("both", false)] {
        let positions = Positions::Relative { buckets: 8, max_distance: 5 };
        let config = AttentionConfig { causal: only_past, ..causal(4, 2, 2, true, positions) };
        attention(r, &format!("attention_relative_{name}"), config);
        function(r, &format!("bucket_{name}"), |d| bucket(d, 16, 60, only_past).to(DType::F32));
    }
}

fn transformers(r: &Reference) {
    for (name, order) in [("pre", NormOrder::Pre), ("post", NormOrder::Post)] {
        let config = BlockConfig { hidden: 5, act: Act::GeluExact, order, ..BlockConfig::new(6, 2) };
        let encoder = EncoderBlock::init(&key(), config.clone());
        r.check(&format!("encoder_{name}"), encoder, |m, x| m.forward(&x[0], None, None));
        let decoder = DecoderBlock::init(&key(), BlockConfig { act: Act::Relu, ..config }.causal());
        r.check(&format!("decoder_{name}"), decoder, |m, x| m.forward(&x[0], &x[1], None, None, None));
    }
    let positions = Positions::Rotary(Rope { pairs: Pairs::Halves, ..Rope::default() });
    let attention = AttentionConfig { kv_heads: 2, causal: true, bias: false, positions, ..AttentionConfig::new(8, 4) };
    let config = BlockConfig {
        hidden: 5,
        act: Act::Silu,
        gated: true,
        norm: NormKind::Rms,
        attention,
        ..BlockConfig::new(8, 4)
    };
    r.check("encoder_llama", EncoderBlock::init(&key(), config), |m, x| m.forward(&x[0], None, None));
}

fn recurrent(r: &Reference) {
    r.check("rnn", RnnCell::init(&key(), 2, 3), |m, x| unroll(m, &x[1], &x[0]).0);
    r.check("rnn_reverse", RnnCell::init(&key(), 2, 3), |m, x| unroll_reverse(m, &x[1], &x[0]).0);
    r.check("gru", GruCell::init(&key(), 2, 3), |m, x| unroll(m, &x[1], &x[0]).0);
    r.check("lstm", LstmCell::init(&key(), 2, 3), |m, x| {
        unroll(m, &LstmState { c: x[1].clone(), h: x[2].clone() }, &x[0]).0
    });
    let pair = (GruCell::init(&key(), 2, 3), GruCell::init(&key(), 2, 3));
    r.check("bidirectional", pair, |(there, back), x| bidirectional(there, back, &x[0]));
}

fn dropouts(r: &Reference) {
    let key = Key::new(3);
    function(r, "dropout", |x| dropout(Some(&key), 0.3, x));
    let config = AttentionConfig { causal: true, bias: false, dropout: 0.4, ..AttentionConfig::new(6, 2) };
    r.check("attention_dropout", Attention::init(&key, config), |m, x| m.forward(&x[0], None, Some(&key)));
}
