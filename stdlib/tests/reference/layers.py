"""Layers by flax.linen and PyTorch, as layers.npz. Needs jax, flax, torch (CPU).

    python layers.py
"""

import math
import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from store import draw, jax_case, rng, save, torch_case

HERE = os.path.dirname(os.path.abspath(__file__))


def flax(module, names):
    """A module applied with its parameters found by name: {"kernel": "w"} or {("out", "kernel"): "w_o"}."""

    def f(p, *x, **options):
        params = {}
        for path, name in names.items():
            path = (path,) if isinstance(path, str) else path
            at = params
            for part in path[:-1]:
                at = at.setdefault(part, {})
            at[path[-1]] = name(p) if callable(name) else p[name]
        return module.apply({"params": params}, *x, **options)

    return f


WB = {"kernel": "w", "bias": "b"}


def dense():
    jax_case("linear", flax(nn.Dense(4), WB), {"w": draw(3, 4), "b": draw(4)}, draw(2, 5, 3))
    jax_case("linear_unbiased", flax(nn.Dense(4, use_bias=False), {"kernel": "w"}), {"w": draw(3, 4)}, draw(5, 3))

    def mlp(p, x):
        for i in range(3):
            x = flax(nn.Dense(p[f"layers.{i}.b"].shape[0]), {"kernel": f"layers.{i}.w", "bias": f"layers.{i}.b"})(p, x)
            x = nn.tanh(x) if i < 2 else x
        return x

    widths = [2, 6, 5, 3]
    params = {f"layers.{i}.{k}": v for i in range(3) for k, v in (("w", draw(widths[i], widths[i + 1])), ("b", draw(widths[i + 1])))}
    jax_case("mlp", mlp, params, draw(4, 2))

    def siren(p, x):
        for i, omega in ((0, 30.0), (1, 10.0)):
            x = jnp.sin(omega * (x @ p[f"hidden.{i}.w"] + p[f"hidden.{i}.b"]))
        return x @ p["out.w"] + p["out.b"]

    params = {"hidden.0.w": draw(2, 4, scale=0.03), "hidden.0.b": draw(4, scale=0.1), "hidden.1.w": draw(4, 4, scale=0.1),
              "hidden.1.b": draw(4, scale=0.1), "out.w": draw(4, 1), "out.b": draw(1)}
    jax_case("siren", siren, params, draw(5, 2))

    ids = np.array([[3, 0, 6], [1, 3, 3]], np.int32)
    jax_case("embedding", flax(nn.Embed(7, 4), {"embedding": "table"}), {"table": draw(7, 4)}, ids)
    attend = lambda p, x: nn.Embed(7, 4).apply({"params": {"embedding": p["table"]}}, x, method="attend")
    jax_case("embedding_attend", attend, {"table": draw(7, 4)}, draw(2, 3, 4))
    with_ids = lambda p, x: F.embedding(x, p["table"])
    torch_case("embedding_torch", with_ids, {"table": draw(7, 4)}, ids.astype(np.int64))


def activations():
    x = np.array([-7, -3.5, -3, -1.5, -0.5, -1e-3, 0, 1e-3, 0.25, 1, 2.5, 3, 6, 8], np.float32)
    smooth = x[(x != 0) & (abs(x) != 3) & (x != 6) & (x != 1)]  # where a derivative jumps conventions differ
    table = {
        "relu": nn.relu, "relu6": jax.nn.relu6, "leaky_relu": nn.leaky_relu, "elu": nn.elu, "selu": nn.selu, "celu": nn.celu,
        "gelu": nn.gelu, "gelu_exact": lambda x: nn.gelu(x, approximate=False), "silu": nn.silu, "mish": jax.nn.mish,
        "softplus": nn.softplus, "soft_sign": nn.soft_sign, "squareplus": jax.nn.squareplus, "tanh": nn.tanh,
        "hard_tanh": nn.hard_tanh, "sigmoid": nn.sigmoid, "log_sigmoid": nn.log_sigmoid, "hard_sigmoid": jax.nn.hard_sigmoid,
        "hard_silu": jax.nn.hard_silu, "relu_squared": lambda x: jnp.where(x > 0, x * x, 0), "sin": jnp.sin,
        "gaussian": lambda x: jnp.exp(-(x**2)),
    }
    for name, f in table.items():
        kinks = {"relu6": smooth, "hard_tanh": smooth, "hard_sigmoid": smooth, "hard_silu": smooth}
        jax_case("act_" + name, lambda p, x: f(x), {}, kinks.get(name, x[x != 0] if name == "leaky_relu" else x))
    for name, f in {"hard_shrink": F.hardshrink, "soft_shrink": F.softshrink, "tanh_shrink": F.tanhshrink}.items():
        torch_case("act_" + name, lambda p, x: f(x), {}, x[x != -0.5])
    jax_case("glu", lambda p, x: nn.glu(x, axis=1), {}, draw(2, 6, 3))
    jax_case("elu_by", lambda p, x: nn.elu(x, 0.7), {}, x)
    jax_case("celu_by", lambda p, x: nn.celu(x, 0.7), {}, x)
    torch_case("prelu", lambda p, x: F.prelu(x, p["0"]), {"0": draw(3)}, draw(4, 3))


def convolutions():
    def conv(name, window, channels, shape, features=None, **options):
        features = features or 3
        groups = options.get("feature_group_count", 1)
        module = nn.Conv(features, window, **options)
        params = {"w": draw(*window, channels // groups, features), "b": draw(features)}
        jax_case(name, flax(module, WB), params, draw(*shape, channels))

    conv("conv1d_valid_stride", (3,), 2, (2, 8), padding="VALID", strides=(2,))
    conv("conv1d_causal", (3,), 2, (1, 6), padding="CAUSAL", kernel_dilation=(2,))
    conv("conv1d_circular", (4,), 2, (1, 7), padding="CIRCULAR", kernel_dilation=(2,))
    conv("conv2d_same", (3, 3), 2, (2, 4, 5), padding="SAME")
    conv("conv2d_same_stride", (3, 2), 2, (1, 6, 5), padding="SAME", strides=(2, 3))
    conv("conv2d_dilated", (2, 3), 2, (1, 6, 7), padding="VALID", kernel_dilation=(2, 1))
    conv("conv2d_grouped", (3, 3), 4, (1, 4, 4), features=6, padding="SAME", feature_group_count=2)
    conv("conv2d_depthwise_circular", (3, 5), 3, (1, 5, 6), features=6, padding="CIRCULAR", feature_group_count=3)
    conv("conv2d_reflect", (3, 4), 2, (1, 4, 5), padding="REFLECT")
    conv("conv2d_explicit", (3, 3), 2, (1, 4, 4), padding=((2, 0), (1, 3)), strides=(2, 2))
    conv("conv3d_same", (2, 3, 2), 2, (1, 3, 4, 3), features=2, padding="SAME", strides=(1, 2, 1))

    def transposed(name, window, channels, shape, **options):
        module = nn.ConvTranspose(2, window, **options)
        params = {"w": draw(*window, channels, 2), "b": draw(2)}
        jax_case(name, flax(module, WB), params, draw(*shape, channels))

    transposed("tconv1d_valid", (3,), 2, (2, 4), padding="VALID", strides=(2,))
    transposed("tconv1d_circular", (3,), 2, (1, 5), padding="CIRCULAR", strides=(2,))
    transposed("tconv2d_circular", (3, 3), 2, (1, 4, 3), padding="CIRCULAR", strides=(1, 1))
    transposed("tconv2d_same", (4, 3), 2, (1, 3, 4), padding="SAME", strides=(2, 2))
    transposed("tconv2d_dilated", (2, 3), 2, (1, 3, 3), padding="SAME", strides=(2, 1), kernel_dilation=(2, 2))
    transposed("tconv3d_valid", (2, 2, 1), 1, (1, 2, 2, 2), padding="VALID", strides=(2, 1, 2))


def norms():
    gb = {"scale": "gain", "bias": "bias"}
    params = lambda n: {"gain": draw(n, shift=1), "bias": draw(n)}
    exact = dict(use_fast_variance=False, epsilon=1e-5)
    jax_case("layer_norm", flax(nn.LayerNorm(**exact), gb), params(6), draw(2, 3, 6, shift=0.5))
    jax_case("rms_norm", flax(nn.RMSNorm(epsilon=1e-6), {"scale": "gain"}), {"gain": draw(6, shift=1)}, draw(2, 3, 6))
    jax_case("group_norm", flax(nn.GroupNorm(num_groups=3, **exact), gb), params(6), draw(2, 3, 2, 6, shift=0.5))
    jax_case("instance_norm", flax(nn.InstanceNorm(**exact), gb), params(3), draw(2, 4, 3, 3, shift=0.5))

    def batch_norm(training):
        def f(p, x, mean, var):
            module = nn.BatchNorm(use_running_average=not training, momentum=0.9, **exact)
            variables = {"params": {"scale": p["gain"], "bias": p["bias"]}, "batch_stats": {"mean": mean, "var": var}}
            y, new = module.apply(variables, x, mutable=["batch_stats"])
            if not training:
                return y
            # the derivative of the running statistics is none
            new = jax.lax.stop_gradient(new["batch_stats"])
            mean, var = 0.9 * mean + (new["mean"] - 0.9 * jax.lax.stop_gradient(mean)), 0.9 * var + (new["var"] - 0.9 * jax.lax.stop_gradient(var))
            return jnp.concatenate([y.ravel(), mean, var])

        return f

    for name, training in (("batch_norm", True), ("batch_norm_evaluate", False)):
        jax_case(name, batch_norm(training), params(4), draw(3, 2, 4, shift=0.5), draw(4), np.abs(draw(4)) + 0.5)


def pooling():
    x = draw(1, 5, 6, 2)
    mean = lambda p, x: nn.avg_pool(x, (3, 2), strides=(2, 2), padding="SAME", count_include_pad=False)
    jax_case("mean_pool", mean, {}, x)
    jax_case("global_mean_pool", lambda p, x: x.mean((1, 2)), {}, x)
    jax_case("global_max_pool", lambda p, x: x.max((1, 2)), {}, x)
    first = lambda x: x.movedim(-1, 1)
    torch_case("adaptive_mean_pool", lambda p, x: F.adaptive_avg_pool2d(first(x), (3, 4)).movedim(1, -1), {}, x)
    torch_case("adaptive_max_pool", lambda p, x: F.adaptive_max_pool2d(first(x), (3, 4)).movedim(1, -1), {}, x)


def features():
    turns = lambda p, v: jnp.concatenate([jnp.cos(2 * math.pi * v @ jax.lax.stop_gradient(p["frequencies"])), jnp.sin(2 * math.pi * v @ jax.lax.stop_gradient(p["frequencies"]))], -1)
    jax_case("fourier_features", turns, {"frequencies": draw(2, 3)}, draw(4, 2))

    def nerf(p, x):
        parts = []
        for i in range(x.shape[1]):
            for level in range(3):
                parts += [jnp.sin(2**level * math.pi * x[:, i]), jnp.cos(2**level * math.pi * x[:, i])]
        return jnp.stack(parts, -1)

    jax_case("positional_encoding", nerf, {}, draw(4, 2))

    def sinusoids(p, t):
        rows = []
        for pos in np.asarray(t):
            row = np.zeros(8)
            for i in range(4):
                row[2 * i], row[2 * i + 1] = math.sin(pos / 10000 ** (2 * i / 8)), math.cos(pos / 10000 ** (2 * i / 8))
            rows.append(row)
        return jnp.asarray(rows)

    jax_case("sinusoidal_positions", sinusoids, {}, np.array([0, 1, 7, 50], np.int32))


def rotated(x, neighbours, base=10000.0):
    """Rows of x [.., t, d] as complex numbers times e^(i m theta)."""
    d = x.shape[-1]
    theta = base ** (-2.0 * np.arange(d // 2) / d)
    turn = np.exp(1j * np.arange(x.shape[-2])[:, None] * theta)
    z = x[..., 0::2] + 1j * x[..., 1::2] if neighbours else x[..., : d // 2] + 1j * x[..., d // 2 :]
    z = z * turn
    if neighbours:
        return jnp.stack([z.real, z.imag], -1).reshape(x.shape)
    return jnp.concatenate([z.real, z.imag], -1)


def attend(q, k, v, bias=None, causal=True):
    """Heads of keys repeated for the heads of queries that share them; all in f64, which jax.nn's function is not."""
    k, v = (jnp.repeat(t, q.shape[2] // k.shape[2], axis=2) for t in (k, v))
    mask = nn.make_causal_mask(q[..., 0, 0], dtype=bool) if causal else None
    return nn.dot_product_attention(q, k, v, bias=bias, mask=mask)


def t5_bucket(relative, causal, buckets, max_distance):
    """One distance (key - query), by the definition in Raffel et al.'s code."""
    offset = 0
    if causal:
        n = max(-relative, 0)
    else:
        buckets //= 2
        offset = buckets if relative > 0 else 0
        n = abs(relative)
    exact = buckets // 2
    if n < exact:
        return offset + n
    large = exact + int(math.log(n / exact) / math.log(max_distance / exact) * (buckets - exact) + 1e-9)
    return offset + min(large, buckets - 1)


def attention():
    names = {(long, kind): value for long, at, w in (("query", 0, "w_q"), ("key", 1, "w_k"), ("value", 2, "w_v"), ("out", 3, "w_o"))
             for kind, value in (("kernel", w), ("bias", f"b.{at}"))}

    def params(width, heads, d, context=None, kv_heads=None, bias=True):
        context, kv_heads = context or width, kv_heads or heads
        p = {"w_q": draw(width, heads, d, scale=0.5), "w_k": draw(context, kv_heads, d, scale=0.5),
             "w_v": draw(context, kv_heads, d, scale=0.5), "w_o": draw(heads, d, width, scale=0.5)}
        b = {"b.0": draw(heads, d), "b.1": draw(kv_heads, d), "b.2": draw(kv_heads, d), "b.3": draw(width)}
        return {**p, **b} if bias else p

    heads = nn.MultiHeadDotProductAttention(num_heads=2)
    jax_case("attention", flax(heads, names), params(6, 2, 3), draw(2, 4, 6))
    causal = lambda p, x: flax(heads, names)(p, x, mask=nn.make_causal_mask(x[..., 0]))
    jax_case("attention_causal", causal, params(6, 2, 3), draw(2, 4, 6))
    masked = lambda p, x, mask: flax(heads, names)(p, x, mask=mask)
    mask = rng.random((2, 2, 4, 4)) < 0.6
    mask[..., 0] = True
    jax_case("attention_masked", masked, params(6, 2, 3), draw(2, 4, 6), mask)
    cross = lambda p, x, c: flax(heads, names)(p, x, c, c)
    jax_case("attention_cross", cross, params(6, 2, 3, context=5), draw(2, 4, 6), draw(2, 3, 5))

    def grouped(p, x, bias=None, turn=lambda x: x, causal=True):
        q, k, v = (jnp.einsum("btc,chd->bthd", x, p["w_" + n]) + p.get(f"b.{i}", 0) for i, n in enumerate("qkv"))
        q, k = (jnp.swapaxes(turn(jnp.swapaxes(t, 1, 2)), 1, 2) for t in (q, k))
        y = attend(q, k, v, bias, causal)
        return jnp.einsum("bthd,hdc->btc", y, p["w_o"]) + p.get("b.3", 0)

    gqa = params(8, 4, 2, kv_heads=2)
    jax_case("attention_grouped", grouped, gqa, draw(2, 4, 8))
    for name, neighbours in (("neighbours", True), ("halves", False)):
        jax_case("rope_" + name, lambda p, x: rotated(x, neighbours), {}, draw(2, 4, 6))
        turned = lambda p, x: grouped(p, x, turn=lambda t: rotated(t, neighbours))
        jax_case("attention_rope_" + name, turned, params(8, 2, 4, kv_heads=1, bias=False), draw(1, 5, 8))
    slopes = jnp.array([2.0**-i for i in range(1, 9)])  # the paper's example of 8 heads
    apart = -jnp.abs(jnp.arange(4)[:, None] - jnp.arange(4))
    linear = lambda p, x: grouped(p, x, bias=(slopes[:, None, None] * apart)[None])
    jax_case("attention_alibi", linear, params(8, 8, 1), draw(1, 4, 8))

    for causal in (True, False):
        name = "causal" if causal else "both"
        buckets = lambda p, d: jnp.asarray([t5_bucket(int(i), causal, 16, 60) for i in np.asarray(d)], jnp.int32).astype(float)
        jax_case("bucket_" + name, buckets, {}, np.arange(-100, 101).astype(np.int32))
        table = np.array([[t5_bucket(j - i, causal, 8, 5) for j in range(6)] for i in range(6)])
        relative = lambda p, x: grouped(p, x, bias=jnp.moveaxis(p["relative"][table], -1, 0)[None], causal=causal)
        jax_case("attention_relative_" + name, relative, {**params(4, 2, 2), "relative": draw(8, 2)}, draw(1, 6, 4))


def block_params(width, hidden, cross=False, heads=2):
    d = width // heads
    attention = lambda at: {f"{at}.w_q": draw(width, heads, d, scale=0.5), f"{at}.w_k": draw(width, heads, d, scale=0.5),
                            f"{at}.w_v": draw(width, heads, d, scale=0.5), f"{at}.w_o": draw(heads, d, width, scale=0.5),
                            f"{at}.b.0": draw(heads, d), f"{at}.b.1": draw(heads, d), f"{at}.b.2": draw(heads, d), f"{at}.b.3": draw(width)}
    norm = lambda at: {f"{at}_residual.norm.0.gain": draw(width, shift=1), f"{at}_residual.norm.0.bias": draw(width)}
    p = {**norm("attention"), **attention("attention"), **norm("network"),
         "network.input.w": draw(width, hidden, scale=0.5), "network.input.b": draw(hidden),
         "network.output.w": draw(hidden, width, scale=0.5), "network.output.b": draw(width)}
    return {**p, **norm("cross"), **attention("cross")} if cross else p


def torch_block(p, cross):
    width = p["attention.b.3"].shape[0]
    flat = lambda w: w.reshape(w.shape[0], -1).T
    out = {}
    for ours, theirs in [("attention", "self_attn"), ("cross", "multihead_attn")][: 2 if cross else 1]:
        out[theirs + ".in_proj_weight"] = torch.cat([flat(p[f"{ours}.w_{n}"]) for n in "qkv"])
        out[theirs + ".in_proj_bias"] = torch.cat([p[f"{ours}.b.{i}"].reshape(-1) for i in range(3)])
        out[theirs + ".out_proj.weight"] = p[ours + ".w_o"].reshape(-1, width).T
        out[theirs + ".out_proj.bias"] = p[ours + ".b.3"]
    for i, name in enumerate(["attention", "cross", "network"] if cross else ["attention", "network"]):
        out[f"norm{i + 1}.weight"], out[f"norm{i + 1}.bias"] = p[f"{name}_residual.norm.0.gain"], p[f"{name}_residual.norm.0.bias"]
    for theirs, ours in (("linear1", "network.input"), ("linear2", "network.output")):
        out[theirs + ".weight"], out[theirs + ".bias"] = p[ours + ".w"].T, p[ours + ".b"]
    return out


def transformers():
    for name, first in (("pre", True), ("post", False)):
        options = dict(d_model=6, nhead=2, dim_feedforward=5, dropout=0.0, batch_first=True, norm_first=first, dtype=torch.float64)
        encoder = torch.nn.TransformerEncoderLayer(activation="gelu", **options)
        f = lambda p, x: torch.func.functional_call(encoder, torch_block(p, False), (x,))
        torch_case("encoder_" + name, f, block_params(6, 5), draw(2, 4, 6))
        decoder = torch.nn.TransformerDecoderLayer(activation="relu", **options)
        future = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
        g = lambda p, x, c: torch.func.functional_call(decoder, torch_block(p, True), (x, c), {"tgt_mask": future})
        torch_case("decoder_" + name, g, block_params(6, 5, cross=True), draw(2, 4, 6), draw(2, 3, 6))

    def llama(p, x):
        norm = lambda at, x: nn.RMSNorm(epsilon=1e-6).apply({"params": {"scale": p[at + "_residual.norm.0.gain"]}}, x)
        h = norm("attention", x)
        q, k, v = (jnp.einsum("btc,chd->bthd", h, p["attention.w_" + n]) for n in "qkv")
        q, k = (jnp.swapaxes(rotated(jnp.swapaxes(t, 1, 2), False), 1, 2) for t in (q, k))
        x = x + jnp.einsum("bthd,hdc->btc", attend(q, k, v), p["attention.w_o"])
        h = norm("network", x)
        return x + (nn.silu(h @ p["network.gate.w"]) * (h @ p["network.input.w"])) @ p["network.output.w"]

    params = {"attention_residual.norm.0.gain": draw(8, shift=1), "network_residual.norm.0.gain": draw(8, shift=1)}
    for n, shape in (("w_q", (8, 4, 2)), ("w_k", (8, 2, 2)), ("w_v", (8, 2, 2)), ("w_o", (4, 2, 8))):
        params["attention." + n] = draw(*shape, scale=0.5)
    for n, shape in (("input", (8, 5)), ("gate", (8, 5)), ("output", (5, 8))):
        params[f"network.{n}.w"] = draw(*shape, scale=0.5)
    jax_case("encoder_llama", llama, params, draw(2, 4, 8))


def recurrent():
    side = lambda p, gates: (jnp.split(p["w_x"], gates, 1), jnp.split(p["w_h"], gates, 1), jnp.split(p["b"], gates))

    def simple(p):
        return {"i": {"kernel": p["w_x"], "bias": p["b"]}, "h": {"kernel": p["w_h"]}}

    def lstm(p):
        x, h, b = side(p, 4)
        return {**{"i" + n: {"kernel": x[i]} for i, n in enumerate("ifgo")}, **{"h" + n: {"kernel": h[i], "bias": b[i]} for i, n in enumerate("ifgo")}}

    def gru(p):
        x, h, b = side(p, 3)
        inputs = {"i" + n: {"kernel": x[i], "bias": b[i]} for i, n in enumerate("rzn")}
        return {**inputs, "hr": {"kernel": h[0]}, "hz": {"kernel": h[1]}, "hn": {"kernel": h[2], "bias": p["b_hn"]}}

    def params(inputs, units, gates):
        p = {"w_x": draw(inputs, gates * units, scale=0.5), "w_h": draw(units, gates * units, scale=0.5), "b": draw(gates * units)}
        return {**p, "b_hn": draw(units)} if gates == 3 else p

    def run(cell, convert, **options):
        def f(p, xs, *state):
            state = state[0] if len(state) == 1 else state
            ys = nn.RNN(cell, **options).apply({"params": {"cell": convert(p)}}, xs, initial_carry=state)
            return ys

        return f

    simple_cell = nn.SimpleCell(3, param_dtype=jnp.float64)
    jax_case("rnn", run(simple_cell, simple), params(2, 3, 1), draw(2, 5, 2), draw(2, 3))
    jax_case("rnn_reverse", run(simple_cell, simple, reverse=True, keep_order=True), params(2, 3, 1), draw(2, 5, 2), draw(2, 3))
    jax_case("lstm", run(nn.LSTMCell(3, param_dtype=jnp.float64), lstm), params(2, 3, 4), draw(2, 5, 2), draw(2, 3), draw(2, 3))
    jax_case("gru", run(nn.GRUCell(3, param_dtype=jnp.float64), gru), params(2, 3, 3), draw(2, 5, 2), draw(2, 3))

    def both(p, xs):
        part = lambda i: gru({k[2:]: v for k, v in p.items() if k.startswith(f"{i}.")})
        module = nn.Bidirectional(nn.RNN(nn.GRUCell(3, param_dtype=jnp.float64)), nn.RNN(nn.GRUCell(3, param_dtype=jnp.float64)))
        return module.apply({"params": {"forward_rnn": {"cell": part(0)}, "backward_rnn": {"cell": part(1)}}}, xs)

    jax_case("bidirectional", both, {f"{i}.{k}": v for i in range(2) for k, v in params(2, 3, 3).items()}, draw(2, 5, 2))


def dropouts():
    # what is kept is what flax.linen.Dropout keeps from this key in f32
    kept = lambda shape, rate: jax.random.bernoulli(jax.random.PRNGKey(3), np.float32(1 - rate), shape)
    jax_case("dropout", lambda p, x: jnp.where(kept(x.shape, 0.3), x / 0.7, 0), {}, draw(4, 5))
    p = {"w_q": draw(6, 2, 3), "w_k": draw(6, 2, 3), "w_v": draw(6, 2, 3), "w_o": draw(2, 3, 6)}

    def attention(p, x):
        q, k, v = (jnp.einsum("btc,chd->bthd", x, p["w_" + n]) for n in "qkv")
        weights = nn.dot_product_attention_weights(q, k, mask=nn.make_causal_mask(x[..., 0], dtype=bool))
        weights = jnp.where(kept(weights.shape, 0.4), weights / 0.6, 0)
        return jnp.einsum("bhts,bshe,hec->btc", weights, v, p["w_o"])

    jax_case("attention_dropout", attention, p, draw(2, 4, 6))


def windows():
    for n, window, strides in ((1, (3,), (2,)), (2, (3, 2), (2, 1)), (3, (2, 3, 1), (1, 2, 1))):
        x = draw(1, *(5, 6, 4)[:n], 2)
        for padding in ("SAME", "VALID"):
            options = dict(window_shape=window, strides=strides, padding=padding)
            jax_case(f"max_pool_{n}d_{padding.lower()}", lambda p, x: nn.max_pool(x, **options), {}, x)
            jax_case(f"avg_pool_{n}d_{padding.lower()}", lambda p, x: nn.avg_pool(x, **options), {}, x)


for part in (dense, activations, convolutions, norms, pooling, features, attention, transformers, recurrent, dropouts, windows):
    part()
save(os.path.join(HERE, "layers.npz"))
