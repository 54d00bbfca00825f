"""Programs off the ladder, at the sizes that they are used in: `speed.py` runs them.

`@step` is a loss of parameters and data, timed with its gradient and an update of the parameters; `@call` is a function.
"""
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from programs import Maker

WORKLOADS = {}


def add(differentiated):
    def taking(args):
        def register(f):
            WORKLOADS[f.__name__] = (f, lambda: args(Maker(f.__name__)), differentiated)
            return f

        return register

    return taking


step, call = add(True), add(False)
tmap = jax.tree.map
cross_entropy = lambda logits, y: -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1))
layer_norm = lambda x, s: s * (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)
dense = lambda g, a, b: (g.w(a, b), jnp.zeros(b))
apply = lambda p, x: x @ p[0] + p[1]


def conv(x, w, stride=1, groups=1, padding="SAME", dilation=1):
    return lax.conv_general_dilated(x, w, (stride,) * (x.ndim - 2), padding, rhs_dilation=(dilation,) * (x.ndim - 2),
                                    dimension_numbers=lax.conv_dimension_numbers(x.shape, w.shape, ("NHWC", "HWIO", "NHWC") if x.ndim == 4 else ("NWC", "WIO", "NWC") if x.ndim == 3 else ("NDHWC", "DHWIO", "NDHWC")),
                                    feature_group_count=groups)


# vision

def batch_norm(x, s, b):
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) * lax.rsqrt(x.var(axes) + 1e-5) * s + b


def group_norm(x, s, groups=8):
    n, h, w, c = x.shape
    y = x.reshape(n, h, w, groups, c // groups)
    y = (y - y.mean((1, 2, 4), keepdims=True)) * lax.rsqrt(y.var((1, 2, 4), keepdims=True) + 1e-5)
    return y.reshape(x.shape) * s


def resnet_params(g):
    block = lambda a, b: [g.w(3, 3, a, b), jnp.ones(b), jnp.zeros(b), g.w(3, 3, b, b), jnp.ones(b), jnp.zeros(b), g.w(1, 1, a, b)]
    return [g.w(3, 3, 3, 32), block(32, 32), block(32, 64), block(64, 128), dense(g, 128, 10)]


@step(lambda g: (resnet_params(g), g.f(32, 32, 32, 3), g.i(10, 32)))
def resnet(p, x, y):
    h = conv(x, p[0])
    for i, (w1, s1, b1, w2, s2, b2, w3) in enumerate(p[1:-1]):
        s = 1 if i == 0 else 2
        r = jax.nn.relu(batch_norm(conv(h, w1, s), s1, b1))
        h = jax.nn.relu(batch_norm(conv(r, w2), s2, b2) + conv(h, w3, s))
    return cross_entropy(apply(p[-1], h.mean((1, 2))), y)


@step(lambda g: ([g.w(3, 3, 3, 32)] + [[g.w(3, 3, 1, a), jnp.ones(a), jnp.zeros(a), g.w(1, 1, a, b), jnp.ones(b), jnp.zeros(b)] for a, b in ((32, 64), (64, 128), (128, 128))] + [dense(g, 128, 10)], g.f(32, 32, 32, 3), g.i(10, 32)))
def depthwise(p, x, y):
    h = conv(x, p[0])
    for w, s, b, w1, s1, b1 in p[1:-1]:
        h = jax.nn.relu6(batch_norm(conv(h, w, groups=h.shape[-1]), s, b))
        h = jax.nn.relu6(batch_norm(conv(h, w1), s1, b1))
    return cross_entropy(apply(p[-1], h.mean((1, 2))), y)


@step(lambda g: ([g.w(3, 3, 1, 32), g.w(3, 3, 32, 32), g.w(3, 3, 32, 64), g.w(3, 3, 64, 64), g.w(2, 2, 64, 32), g.w(3, 3, 64, 32), g.w(3, 3, 32, 1), jnp.ones(32), jnp.ones(32), jnp.ones(64), jnp.ones(32)], g.f(8, 64, 64, 1), g.f(8, 64, 64, 1)))
def unet(p, x, y):
    a = jax.nn.silu(group_norm(conv(conv(x, p[0]), p[1]), p[7]))
    b = jax.nn.silu(group_norm(conv(a, p[2], 2), p[9]))
    b = b + jax.nn.silu(conv(b, p[3]))
    u = lax.conv_transpose(b, p[4], (2, 2), "SAME")
    h = jax.nn.silu(group_norm(conv(jnp.concatenate([u, a], -1), p[5]), p[10]))
    return jnp.mean((conv(h, p[6]) - y) ** 2)


@step(lambda g: ([g.w(3, 3, 3, 1, 16), g.w(3, 3, 3, 16, 32), dense(g, 32, 10)], g.f(4, 24, 24, 24, 1), g.i(10, 4)))
def conv3d(p, x, y):
    h = jax.nn.relu(conv(x, p[0]))
    h = jax.nn.relu(conv(h, p[1], 2))
    return cross_entropy(apply(p[2], h.mean((1, 2, 3))), y)


def attention(q, k, v, causal=False):
    s = jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    if causal:
        s = jnp.where(jnp.tril(jnp.ones(s.shape[-2:], bool)), s, -1e30)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(s), v)


def vit_params(g, d=192, layers=3):
    return [g.w(48, d), 0.02 * g.f(64, d), [[jnp.ones(d), g.w(d, 3 * d), g.w(d, d), jnp.ones(d), dense(g, d, 4 * d), dense(g, 4 * d, d)] for _ in range(layers)], dense(g, d, 10)]


@step(lambda g: (vit_params(g), g.f(32, 32, 32, 3), g.i(10, 32)))
def vit(p, x, y):
    h = x.reshape(32, 8, 4, 8, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(32, 64, 48) @ p[0] + p[1]
    for n1, qkv, o, n2, up, down in p[2]:
        q, k, v = [t.reshape(32, 64, 6, 32) for t in jnp.split(layer_norm(h, n1) @ qkv, 3, -1)]
        h = h + attention(q, k, v).reshape(h.shape) @ o
        h = h + apply(down, jax.nn.gelu(apply(up, layer_norm(h, n2)), approximate=False))
    return cross_entropy(apply(p[3], h.mean(1)), y)


# sequences

@step(lambda g: ([[g.w(256, 768), g.w(256, 256)] for _ in range(2)], g.f(2, 1024, 256)))
def long_context(p, x):
    for qkv, o in p:
        q, k, v = [t.reshape(2, 1024, 4, 64) for t in jnp.split(x @ qkv, 3, -1)]
        x = x + attention(q, k, v, causal=True).reshape(x.shape) @ o
    return (x**2).mean()


@step(lambda g: ([g.w(256, 256), g.w(256, 64), g.w(256, 64), g.w(256, 256)], g.f(2, 1024, 256)))
def sliding_window(p, x):
    """Two heads of keys for eight of queries, rotary places, a window of 256 keys."""
    rotate = lambda t, a: jnp.concatenate([t[..., ::2] * jnp.cos(a) - t[..., 1::2] * jnp.sin(a), t[..., ::2] * jnp.sin(a) + t[..., 1::2] * jnp.cos(a)], -1)
    i = jnp.arange(1024)
    a = (i[:, None] * 1e4 ** (-jnp.arange(16) / 16)).reshape(1024, 1, 16)
    q, k, v = rotate((x @ p[0]).reshape(2, 1024, 8, 32), a), rotate((x @ p[1]).reshape(2, 1024, 2, 32), a), (x @ p[2]).reshape(2, 1024, 2, 32)
    s = jnp.einsum("bqghd,bkgd->bghqk", q.reshape(2, 1024, 2, 4, 32), k) / 32**0.5
    seen = (i[:, None] >= i) & (i[:, None] - i < 256)
    w = jax.nn.softmax(jnp.where(seen, s, -jnp.inf))
    return ((jnp.einsum("bghqk,bkgd->bqghd", w, v).reshape(x.shape) @ p[3]) ** 2).mean()


@step(lambda g: ([g.w(64, 600), g.w(200, 600), jnp.zeros(600), dense(g, 200, 10)], g.f(100, 32, 64), g.i(10, 32)))
def gru(p, xs, y):
    wx, wh, b, out = p

    def cell(h, x):
        zx, rx, nx = jnp.split(x @ wx + b, 3, -1)
        zh, rh, nh = jnp.split(h @ wh, 3, -1)
        z, r = jax.nn.sigmoid(zx + zh), jax.nn.sigmoid(rx + rh)
        return (1 - z) * h + z * jnp.tanh(nx + r * nh), None

    h, _ = lax.scan(cell, jnp.zeros((32, 200)), xs)
    return cross_entropy(apply(out, h), y)


@step(lambda g: ([0.1 * g.f(20000, 128), dense(g, 128, 256), dense(g, 256, 2)], g.i(20000, 64, 200), g.i(2, 64)))
def text_classifier(p, x, y):
    h = p[0][x].mean(1)
    return cross_entropy(apply(p[2], jax.nn.relu(apply(p[1], h))), y)


@step(lambda g: ([0.1 * g.f(2, 10000, 128)], g.i(10000, 1024), g.i(10000, 1024), g.i(10000, 1024, 8)))
def word2vec(p, x, y, z):
    w = p[0]
    a, b, c = w[0][x], w[1][y], w[1][z]
    return -jnp.mean(jax.nn.log_sigmoid((a * b).sum(-1)) + jax.nn.log_sigmoid(-(a[:, None] * c).sum(-1)).sum(-1))


@step(lambda g: ([g.w(256, 32000)], g.f(512, 256), g.i(32000, 512)))
def large_vocabulary(p, h, y):
    return cross_entropy(h @ p[0], y)


@step(lambda g: ([g.w(128, 256), g.w(256, 16 + 16 + 8), g.w(8, 256), -jnp.exp(g.f(256, 16)), g.w(256, 128)], g.f(8, 128, 128)))
def selective_scan(p, x):
    win, wbcd, wd, a, wout = p
    u = jax.nn.silu(x @ win)
    b, c, d = jnp.split(u @ wbcd, [16, 32], -1)
    delta = jax.nn.softplus(d @ wd)
    decay = jnp.exp(delta[..., None] * a)
    drive = (delta * u)[..., None] * b[:, :, None, :]
    _, h = lax.associative_scan(lambda l, r: (l[0] * r[0], l[1] * r[0] + r[1]), (decay, drive), axis=1)
    return jnp.mean(((h * c[:, :, None, :]).sum(-1) @ wout - x) ** 2)


@step(lambda g: ([g.w(128, 384), g.w(128, 128)], g.f(8, 512, 128)))
def linear_attention(p, x):
    q, k, v = [t.reshape(8, 512, 4, 32) for t in jnp.split(x @ p[0], 3, -1)]
    q, k = jax.nn.elu(q) + 1, jax.nn.elu(k) + 1
    chunk = lambda t: t.reshape(8, 8, 64, 4, 32)
    q, k, v = chunk(q), chunk(k), chunk(v)
    kv = jnp.cumsum(jnp.einsum("bnchd,bnche->bnhde", k, v), 1)
    before = jnp.pad(kv, ((0, 0), (1, 0), (0, 0), (0, 0), (0, 0)))[:, :-1]
    s = jnp.einsum("bnqhd,bnkhd->bnhqk", q, k) * jnp.tril(jnp.ones((64, 64)))
    o = jnp.einsum("bnhqk,bnkhe->bnqhe", s, v) + jnp.einsum("bnqhd,bnhde->bnqhe", q, before)
    return jnp.mean((o.reshape(8, 512, 128) @ p[1] - x) ** 2)


@step(lambda g: ([g.w(128, 8), g.f(8, 128, 256, scale=0.08), g.f(8, 256, 128, scale=0.06)], g.f(1024, 128)))
def mixture_of_experts(p, x):
    gate, up, down = p
    probs = jax.nn.softmax(x @ gate)
    top, index = lax.top_k(probs, 2)
    weight = (jax.nn.one_hot(index, 8) * top[..., None]).sum(1)
    h = jax.nn.gelu(jnp.einsum("nd,edh->enh", x, up))
    return jnp.mean((jnp.einsum("enh,ehd,ne->nd", h, down, weight) - x) ** 2)


@step(lambda g: ([g.w(2, 64, 64) for _ in range(6)] + [g.w(1, 64)], g.f(8, 2048, 1), g.f(8, 2048, 64)))
def wavenet(p, x, y):
    h = x @ p[-1]
    for i, w in enumerate(p[:-1]):
        d = 2**i
        z = conv(jnp.pad(h, ((0, 0), (d, 0), (0, 0))), w, padding="VALID", dilation=d)
        h = h + jnp.tanh(z) * jax.nn.sigmoid(z)
    return jnp.mean((h - y) ** 2)


def rope(x):
    n, d = x.shape[1], x.shape[-1]
    angle = jnp.arange(n)[:, None] * 10000.0 ** (-jnp.arange(0, d, 2) / d)
    c, s = jnp.cos(angle)[:, None, :], jnp.sin(angle)[:, None, :]
    a, b = x[..., ::2], x[..., 1::2]
    return jnp.stack([a * c - b * s, a * s + b * c], -1).reshape(x.shape)


@step(lambda g: ([[jnp.ones(256), g.w(256, 512), g.w(256, 256), jnp.ones(256), g.w(256, 1366), g.w(683, 256)] for _ in range(2)], g.f(4, 256, 256), g.f(4, 256, 256)))
def llama_block(p, x, y):
    h = x
    rms = lambda x, s: x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * s
    for n1, qkv, o, n2, up, down in p:
        q, k, v = jnp.split(rms(h, n1) @ qkv, [256, 384], -1)
        q, k = rope(q.reshape(4, 256, 8, 32)), rope(k.reshape(4, 256, 4, 32))
        k, v = jnp.repeat(k, 2, 2), jnp.repeat(v.reshape(4, 256, 4, 32), 2, 2)
        h = h + attention(q, k, v, True).reshape(h.shape) @ o
        a, b = jnp.split(rms(h, n2) @ up, 2, -1)
        h = h + (jax.nn.silu(a) * b) @ down
    return jnp.mean((h - y) ** 2)


@call(lambda g: ([[jnp.ones(512), g.w(512, 1536), g.w(512, 512), jnp.ones(512), g.w(512, 2048), g.w(2048, 512)] for _ in range(4)], g.f(4, 2, 256, 8, 64), g.f(1, 512), jnp.int32(100)))
def decode_token(p, cache, x, pos):
    new = []
    for i, (n1, qkv, o, n2, up, down) in enumerate(p):
        q, k, v = jnp.split((layer_norm(x, n1) @ qkv).reshape(24, 64), 3)
        kv = lax.dynamic_update_slice(cache[i], jnp.stack([k, v])[:, None], (0, pos, 0, 0))
        s = jnp.einsum("hd,thd->ht", q, kv[0]) / 8
        a = jax.nn.softmax(jnp.where(jnp.arange(256) <= pos, s, -1e30))
        x = x + jnp.einsum("ht,thd->hd", a, kv[1]).reshape(1, 512) @ o
        x = x + jax.nn.gelu(layer_norm(x, n2) @ up) @ down
        new.append(kv)
    return x, jnp.stack(new)


# graphs and geometry

@step(lambda g: ([dense(g, 64, 128), dense(g, 128, 128), dense(g, 128, 7)], g.f(4096, 64), g.i(4096, 32768), g.i(4096, 32768), g.i(7, 4096)))
def graph_convolution(p, x, s, r, y):
    degree = jax.ops.segment_sum(jnp.ones(s.shape), r, 4096) + 1
    h = x
    for i, w in enumerate(p):
        m = apply(w, h)
        h = (jax.ops.segment_sum(m[s], r, 4096) + m) / degree[:, None]
        h = jax.nn.relu(h) if i < 2 else h
    return cross_entropy(h, y)


@step(lambda g: ([g.w(64, 8, 16), g.w(8, 16), g.w(8, 16), g.w(128, 7)], g.f(2048, 64), g.i(2048, 16384), g.i(2048, 16384), g.i(7, 2048)))
def graph_attention(p, x, s, r, y):
    h = jnp.einsum("nd,dhe->nhe", x, p[0])
    score = jax.nn.leaky_relu((h * p[1]).sum(-1)[s] + (h * p[2]).sum(-1)[r], 0.2)
    top = lax.stop_gradient(jax.ops.segment_max(score, r, 2048))
    e = jnp.exp(score - top[r])
    a = e / (jax.ops.segment_sum(e, r, 2048)[r] + 1e-9)
    out = jax.ops.segment_sum(a[..., None] * h[s], r, 2048)
    return cross_entropy(jax.nn.elu(out).reshape(2048, 128) @ p[3], y)


@step(lambda g: ([dense(g, 3, 64), dense(g, 64, 128), dense(g, 128, 256), dense(g, 256, 10)], g.f(32, 512, 3), g.i(10, 32)))
def point_net(p, x, y):
    h = x
    for w in p[:-1]:
        h = jax.nn.relu(apply(w, h))
    return cross_entropy(apply(p[-1], h.max(1)), y)


# probability

@step(lambda g: ([dense(g, 784, 400), dense(g, 400, 40), dense(g, 20, 400), dense(g, 400, 784)], g.u(128, 784), g.key()))
def vae(p, x, key):
    mu, lv = jnp.split(apply(p[1], jax.nn.relu(apply(p[0], x))), 2, -1)
    z = mu + jnp.exp(0.5 * lv) * jax.random.normal(key, mu.shape)
    l = apply(p[3], jax.nn.relu(apply(p[2], z)))
    bce = jnp.sum(jnp.maximum(l, 0) - l * x + jnp.log1p(jnp.exp(-jnp.abs(l))), -1)
    return jnp.mean(bce + 0.5 * jnp.sum(jnp.exp(lv) + mu**2 - 1 - lv, -1))


@step(lambda g: ([[dense(g, 16, 128), dense(g, 128, 128), dense(g, 128, 32)] for _ in range(6)], g.f(1024, 32)))
def real_nvp(p, x):
    total = 0.0
    for i, (a, b, c) in enumerate(p):
        u, v = jnp.split(x, 2, -1)
        s, t = jnp.split(apply(c, jnp.tanh(apply(b, jnp.tanh(apply(a, u))))), 2, -1)
        s = jnp.tanh(s)
        x, total = jnp.concatenate([v * jnp.exp(s) + t, u], -1), total + s.sum(-1)
    return jnp.mean(0.5 * (x**2).sum(-1) - total)


@step(lambda g: ([jnp.zeros(8), jnp.float32(0.0), jnp.float32(-1.0)], g.f(512, 8), g.f(512)))
def gaussian_process(p, x, y):
    z = x * jnp.exp(p[0])
    d2 = ((z[:, None] - z[None]) ** 2).sum(-1)
    k = jnp.exp(p[1] - 0.5 * d2) + jnp.exp(p[2]) * jnp.eye(512)
    c = jnp.linalg.cholesky(k)
    a = jax.scipy.linalg.solve_triangular(c, y, lower=True)
    return 0.5 * a @ a + jnp.log(jnp.diag(c)).sum()


@call(lambda g: (g.f(200, 2, scale=0.1), g.f(64, 20), g.f(64, 20) > 0, g.key()))
def leapfrog(q0, x, y, key):
    f = lambda q: jnp.sum(jax.nn.softplus(jnp.where(y[:, :1], -1, 1) * (x[:, :2] @ q.T))) + 0.5 * (q**2).sum()
    grad = jax.grad(f)

    def one(carry, _):
        q, m = carry
        m = m - 0.005 * grad(q)
        q = q + 0.01 * m
        m = m - 0.005 * grad(q)
        return (q, m), None

    (q, m), _ = lax.scan(one, (q0, jax.random.normal(key, q0.shape)), None, length=200)
    return q, m


@step(lambda g: ([0.9 * jnp.eye(6) + g.f(6, 6, scale=0.02), g.w(6, 3), jnp.eye(6) * 0.1, jnp.eye(3)], g.f(200, 3)))
def kalman(p, ys):
    a, h, q, r = p[0], p[1].T, p[2], p[3]

    def one(carry, y):
        m, c = carry
        m, c = a @ m, a @ c @ a.T + q
        s = h @ c @ h.T + r
        k = jnp.linalg.solve(s, h @ c).T
        e = y - h @ m
        ll = -0.5 * (e @ jnp.linalg.solve(s, e) + jnp.linalg.slogdet(s)[1])
        return (m + k @ e, c - k @ s @ k.T), ll

    _, ll = lax.scan(one, (jnp.zeros(6), jnp.eye(6)), ys)
    return -ll.sum()


@call(lambda g: (g.f(1 << 18), g.u(1 << 18, low=0.5, high=1.5), g.u(1 << 18, low=0.1, high=2.0)))
def black_scholes(x, k, t):
    s = jnp.exp(0.1 * x)
    d1 = (jnp.log(s / k) + (0.05 + 0.02) * t) / (0.2 * jnp.sqrt(t))
    n = lambda z: 0.5 * (1 + lax.erf(z * 0.70710678))
    price = lambda s: s * n((jnp.log(s / k) + 0.07 * t) / (0.2 * jnp.sqrt(t))) - k * jnp.exp(-0.05 * t) * n((jnp.log(s / k) + 0.07 * t) / (0.2 * jnp.sqrt(t)) - 0.2 * jnp.sqrt(t))
    return price(s), jax.grad(lambda s: price(s).sum())(s), d1


@call(lambda g: (g.key(),))
def monte_carlo_paths(key):
    z = jax.random.normal(key, (16384, 64))
    paths = jnp.exp(jnp.cumsum(0.01 * z - 0.00005, 1))
    return jnp.maximum(paths.mean(1) - 1, 0).mean(), jnp.quantile(paths[:, -1], jnp.array([0.05, 0.5, 0.95]))


@step(lambda g: ([g.f(256, 16)], g.f(256, 16)))
def sinkhorn(p, y):
    c = ((p[0][:, None] - y[None]) ** 2).sum(-1)
    f = lambda _, ab: (lambda b: (-jax.nn.logsumexp(b[None] - c, 1), b))(-jax.nn.logsumexp(ab[0][:, None] - c, 0))
    a, b = lax.fori_loop(0, 20, lambda i, ab: f(i, ab), (jnp.zeros(256), jnp.zeros(256)))
    return (jnp.exp(a[:, None] + b[None] - c) * c).sum()


# science

@call(lambda g: (g.f(2048, 3), g.f(2048, 3), g.u(2048)))
def n_body(x, v, m):
    def acceleration(x):
        d = x[None] - x[:, None]
        return (m[None, :, None] * d * (((d * d).sum(-1) + 0.01) ** -1.5)[..., None]).sum(1)

    return lax.fori_loop(0, 3, lambda _, s: (s[0] + 0.01 * s[1], s[1] + 0.01 * acceleration(s[0])), (x, v))


@call(lambda g: (g.u(256, 256), g.u(256, 256)))
def gray_scott(u, v):
    lap = lambda a: jnp.roll(a, 1, 0) + jnp.roll(a, -1, 0) + jnp.roll(a, 1, 1) + jnp.roll(a, -1, 1) - 4 * a

    def one(_, s):
        u, v = s
        r = u * v * v
        return u + 0.16 * lap(u) - r + 0.06 * (1 - u), v + 0.08 * lap(v) + r - 0.122 * v

    return lax.fori_loop(0, 100, one, (u, v))


@call(lambda g: (jnp.abs(g.f(9, 128, 256)) + 1,))
def lattice_boltzmann(f):
    cx, cy = np.array([0, 1, 0, -1, 0, 1, -1, -1, 1]), np.array([0, 0, 1, 0, -1, 1, 1, -1, -1])
    w = np.array([4 / 9] + [1 / 9] * 4 + [1 / 36] * 4, np.float32)

    def one(_, f):
        f = jnp.stack([jnp.roll(f[i], (cx[i], cy[i]), (0, 1)) for i in range(9)])
        rho = f.sum(0)
        ux, uy = (f * cx[:, None, None]).sum(0) / rho, (f * cy[:, None, None]).sum(0) / rho
        cu = 3 * (cx[:, None, None] * ux + cy[:, None, None] * uy)
        return f + 0.6 * (rho * w[:, None, None] * (1 + cu + 0.5 * cu**2 - 1.5 * (ux**2 + uy**2)) - f)

    return lax.fori_loop(0, 20, one, f)


@call(lambda g: (g.f(512, 512), g.f(512, 512)))
def mandelbrot(x, y):
    def one(s):
        i, a, b, n = s
        inside = a * a + b * b < 4
        return i + 1, jnp.where(inside, a * a - b * b + x, a), jnp.where(inside, 2 * a * b + y, b), n + inside

    return lax.while_loop(lambda s: s[0] < 50, one, (0, jnp.zeros_like(x), jnp.zeros_like(x), jnp.zeros(x.shape, jnp.int32)))[3]


@step(lambda g: ([dense(g, 3, 64), dense(g, 64, 64), dense(g, 64, 64), dense(g, 64, 1)], g.u(1024, 3)))
def poisson_pinn(p, xs):
    def u(x):
        for w in p[:-1]:
            x = jnp.tanh(apply(w, x))
        return apply(p[-1], x)[0]

    laplace = lambda x: jnp.trace(jax.hessian(u)(x))
    return jnp.mean((jax.vmap(laplace)(xs) - jnp.sin(xs).sum(-1)) ** 2)


@step(lambda g: ([dense(g, 4, 64), dense(g, 64, 64), dense(g, 64, 4)], g.f(256, 4), g.f(256, 4)))
def neural_ode(p, x, y):
    f = lambda z: apply(p[2], jnp.tanh(apply(p[1], jnp.tanh(apply(p[0], z)))))

    def rk4(z, _):
        k1 = f(z)
        k2 = f(z + 0.05 * k1)
        k3 = f(z + 0.05 * k2)
        k4 = f(z + 0.1 * k3)
        return z + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    z, _ = lax.scan(rk4, x, None, length=20)
    return jnp.mean((z - y) ** 2)


@step(lambda g: ([[dense(g, 100, 64), dense(g, 64, 64)], [dense(g, 2, 64), dense(g, 64, 64)]], g.f(256, 100), g.u(256, 100, 2), g.f(256, 100)))
def deep_o_net(p, u, x, y):
    net = lambda q, z: apply(q[1], jax.nn.gelu(apply(q[0], z)))
    return jnp.mean((jnp.einsum("bk,bqk->bq", net(p[0], u), net(p[1], x)) - y) ** 2)


@step(lambda g: ([g.f(32, 8, 64, scale=0.35), jnp.zeros((32, 64)), g.f(32, 64, 64, scale=0.12), jnp.zeros((32, 64)), g.f(32, 64, 1, scale=0.12)], g.f(256, 8), g.f(256, 1)))
def ensemble(p, x, y):
    one = lambda a, b, c, d, e: jnp.mean((jnp.tanh(jnp.tanh(x @ a + b) @ c + d) @ e - y) ** 2)
    return jax.vmap(one)(*p).sum()


@step(lambda g: ([dense(g, 2, 128), dense(g, 256, 256), dense(g, 256, 256), dense(g, 256, 3)], g.u(4096, 2), g.u(4096, 3)))
def fourier_features(p, x, y):
    h = x @ p[0][0] * 10
    h = jnp.concatenate([jnp.sin(h), jnp.cos(h)], -1)
    for w in p[1:-1]:
        h = jax.nn.relu(apply(w, h))
    return jnp.mean((jax.nn.sigmoid(apply(p[-1], h)) - y) ** 2)


@call(lambda g: ([dense(g, 8, 32), dense(g, 32, 8)], g.f(64, 8)))
def hessians(p, xs):
    f = lambda x: (jnp.tanh(apply(p[1], jnp.tanh(apply(p[0], x)))) ** 2).sum()
    return jax.vmap(jax.hessian(f))(xs)


@call(lambda g: (g.f(1024, 64), g.f(16, 64)))
def k_means(x, c):
    def one(_, c):
        d = ((x[:, None] - c[None]) ** 2).sum(-1)
        hot = jax.nn.one_hot(jnp.argmin(d, 1), 16)
        return (hot.T @ x) / (hot.sum(0)[:, None] + 1e-6)

    return lax.fori_loop(0, 10, one, c)


@call(lambda g: (g.f(512, 256),))
def power_iteration(x):
    a = x.T @ x

    def one(_, v):
        w = a @ v
        return w / jnp.linalg.norm(w)

    return lax.fori_loop(0, 200, one, jnp.ones(256) / 16)


@step(lambda g: ([dense(g, 4, 64), dense(g, 64, 64), dense(g, 64, 3)], g.f(2048, 4), g.i(2, 2048), g.f(2048), g.f(2048)))
def policy_gradient(p, obs, act, adv, old):
    h = obs
    for w in p[:-1]:
        h = jnp.tanh(apply(w, h))
    out = apply(p[-1], h)
    lp = jax.nn.log_softmax(out[:, :2])
    ratio = jnp.exp(jnp.take_along_axis(lp, act[:, None], 1)[:, 0] - old)
    surrogate = jnp.minimum(ratio * adv, jnp.clip(ratio, 0.8, 1.2) * adv)
    return -surrogate.mean() + 0.5 * ((out[:, 2] - adv) ** 2).mean() + 0.01 * (lp * jnp.exp(lp)).sum(-1).mean()


@call(lambda g: (g.f(1024, 64), g.f(1024, 64), g.f(1024, 64)))
def advantages(reward, value, following):
    def one(a, t):
        r, v, n = t
        a = r + 0.99 * n - v + 0.95 * 0.99 * a
        return a, a

    return lax.scan(one, jnp.zeros(64), (reward, value, following), reverse=True)[1]
