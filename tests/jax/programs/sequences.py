"""Recurrent networks, transformers, state spaces, dynamic programs on strings."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from . import program


def lstm_cell(p, state, x):
    h, c = state
    i, f, g, o = jnp.split(x @ p["wx"] + h @ p["wh"] + p["b"], 4, -1)
    c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def lstm_params(g, n, m):
    return {"wx": g.w(n, 4 * m), "wh": g.w(m, 4 * m), "b": jnp.zeros(4 * m)}


@program(lambda g: (lstm_params(g, 3, 8), g.w(8, 2), g.f(9, 4, 3), g.f(9, 4, 2)))
def lstm_training(p, head, xs, ys):
    def loss(p, head):
        zero = jnp.zeros((4, 8))
        _, hs = lax.scan(functools.partial(lstm_cell, p), (zero, zero), xs)
        return jnp.mean((hs @ head - ys) ** 2)

    return jax.value_and_grad(loss, (0, 1))(p, head)


@program(lambda g: ([lstm_params(g, 3, 5), lstm_params(g, 3, 5)], g.f(7, 2, 3), g.i(8, 2, low=1)))
def lstm_bidirectional(p, xs, lengths):
    mask = (jnp.arange(7)[:, None] < lengths)[..., None]

    def cell(p, state, xm):
        x, m = xm
        new, y = lstm_cell(p, state, x)
        return jax.tree.map(lambda a, b: jnp.where(m, a, b), new, state), jnp.where(m, y, 0)

    zero = jnp.zeros((2, 5))
    _, a = lax.scan(functools.partial(cell, p[0]), (zero, zero), (xs, mask))
    _, b = lax.scan(functools.partial(cell, p[1]), (zero, zero), (xs, mask), reverse=True)
    return jnp.concatenate([a, b], -1)


@program(lambda g: (g.w(6, 12), g.w(6, 12), g.w(6, 6), g.w(6, 6), g.f(8, 3, 6)))
def gru_unrolled(wx, wh, ux, uh, xs):
    def cell(h, x):
        z, r = jnp.split(jax.nn.sigmoid(x @ wx + h @ wh), 2, -1)
        h = (1 - z) * h + z * jnp.tanh(x @ ux + (r * h) @ uh)
        return h, h

    f = lambda xs: lax.scan(cell, jnp.zeros((3, 6)), xs, unroll=3)
    return f(xs), jax.vjp(lambda xs: f(xs)[1].sum(), xs)[1](jnp.float32(1.0))


def gpt_params(g, layers=2, d=16, vocab=11, length=8, dtype="float32"):
    block = lambda: {"qkv": g.w(d, 3 * d, dtype=dtype), "o": g.w(d, d, dtype=dtype), "up": g.w(d, 4 * d, dtype=dtype),
                     "down": g.w(4 * d, d, dtype=dtype), "ln1": jnp.ones(d, dtype), "ln2": jnp.ones(d, dtype)}
    return {"embed": g.f(vocab, d, dtype=dtype, scale=0.5), "pos": g.f(length, d, dtype=dtype, scale=0.5), "ln": jnp.ones(d, dtype),
            "blocks": [block() for _ in range(layers)]}


def norm(x, scale):
    x32 = x.astype(jnp.float32)
    return (x32 * lax.rsqrt((x32**2).mean(-1, keepdims=True) + 1e-6)).astype(x.dtype) * scale


def attention(q, k, v, mask):
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k).astype(jnp.float32) / np.sqrt(q.shape[-1])
    weights = jax.nn.softmax(jnp.where(mask, scores, -1e9), -1).astype(q.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, v)


def gpt_block(p, h, mask, heads=4):
    b, t, d = h.shape
    q, k, v = [y.reshape(b, t, heads, -1) for y in jnp.split(norm(h, p["ln1"]) @ p["qkv"], 3, -1)]
    h = h + attention(q, k, v, mask).reshape(b, t, d) @ p["o"]
    return h + jax.nn.gelu(norm(h, p["ln2"]) @ p["up"]) @ p["down"]


def gpt(p, tokens, block=gpt_block):
    t = tokens.shape[1]
    h = p["embed"][tokens] + p["pos"][:t]
    mask = jnp.tril(jnp.ones((t, t), bool))
    for layer in p["blocks"]:
        h = block(layer, h, mask)
    return norm(h, p["ln"]) @ p["embed"].T


def cross_entropy(logits, targets):
    logp = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(logp, targets[..., None], -1).mean()


@program(lambda g: (gpt_params(g), g.i(11, 2, 8)))
def transformer(p, tokens):
    return gpt(p, tokens)


@program(lambda g: (gpt_params(g, dtype="bfloat16"), g.i(11, 2, 8)))
def transformer_bf16(p, tokens):
    return jax.nn.softmax(gpt(p, tokens).astype(jnp.float32)).astype(jnp.bfloat16)


def adam(p, m, v, g, t, lr=1e-2):
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, v, g)
    step = lambda p, m, v: p - lr * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.99**t)) + 1e-3)
    return jax.tree.map(step, p, m, v), m, v


def zeros_like(p):
    return jax.tree.map(jnp.zeros_like, p)


@program(lambda g: (lambda p: (p, zeros_like(p), zeros_like(p), g.i(11, 2, 9), jnp.float32(3)))(gpt_params(g)), narrow="bf16", donate_argnums=(0, 1, 2))
def transformer_training_bf16(p, m, v, tokens, t):
    """Master weights and moments in f32, the network in bf16."""

    def loss(p):
        small = jax.tree.map(lambda x: x.astype(jnp.bfloat16), p)
        return cross_entropy(gpt(small, tokens[:, :-1]), tokens[:, 1:])

    value, grads = jax.value_and_grad(loss)(p)
    scale = jnp.minimum(1.0, 1.0 / jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads))))
    return value, *adam(p, m, v, jax.tree.map(lambda g: g * scale, grads), t)


@program(lambda g: (gpt_params(g), g.i(11, 2, 9)))
def transformer_checkpointed(p, tokens):
    block = jax.checkpoint(gpt_block)
    return jax.grad(lambda p: cross_entropy(gpt(p, tokens[:, :-1], block), tokens[:, 1:]))(p)


@program(lambda g: (jax.tree.map(lambda *x: jnp.stack(x), *gpt_params(g, 3)["blocks"]), g.f(2, 6, 16)))
def transformer_scanned_layers(blocks, h):
    mask = jnp.tril(jnp.ones((6, 6), bool))
    body = jax.checkpoint(lambda h, p: (gpt_block(p, h, mask), h.mean()), policy=jax.checkpoint_policies.dots_saveable)
    f = lambda blocks: lax.scan(body, h, blocks)[0]
    return f(blocks), jax.grad(lambda b: (f(b) ** 2).mean())(blocks)


def rope(x, at):
    angle = at[:, None] * 10000.0 ** (-jnp.arange(0, x.shape[-1], 2) / x.shape[-1])
    cos, sin = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    a, b = x[..., ::2], x[..., 1::2]
    return jnp.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)


@program(lambda g: (g.f(2, 10, 4, 8), g.f(2, 10, 2, 8), g.f(2, 10, 2, 8)))
def attention_variants(q, k, v):
    at = jnp.arange(10)
    q, k = rope(q, at), rope(k, at)
    grouped = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    k, v = jnp.repeat(k, 2, 2), jnp.repeat(v, 2, 2)
    window = (at[:, None] >= at) & (at[:, None] - at < 4)
    alibi = -jnp.abs(at[:, None] - at) * 2.0 ** -jnp.arange(1, 5)[:, None, None]
    biased = jax.nn.dot_product_attention(q, k, v, bias=alibi[None])
    lengths = jax.nn.dot_product_attention(q, k, v, query_seq_lengths=jnp.array([10, 7]), key_value_seq_lengths=jnp.array([6, 10]))
    phi = lambda x: jax.nn.elu(x) + 1
    state = jnp.cumsum(jnp.einsum("bthd,bthe->bthde", phi(k), v), 1)
    linear = jnp.einsum("bthd,bthde->bthe", phi(q), state) / jnp.einsum("bthd,bthd->bth", phi(q), jnp.cumsum(phi(k), 1))[..., None]
    return grouped, attention(q, k, v, window), biased, lengths, linear


@program(lambda g: (g.f(2, 16, 2, 4), g.f(2, 16, 2, 4), g.f(2, 16, 2, 4)))
def attention_in_blocks(q, k, v):
    """The softmax of a row found block by block, as in FlashAttention."""
    blocks = lambda x: x.reshape(2, 4, 4, 2, 4).swapaxes(0, 1)

    def step(carry, kv):
        acc, top, total = carry
        s = jnp.einsum("bqhd,bkhd->bqhk", q, kv[0]) / 2.0
        new = jnp.maximum(top, s.max(-1))
        p, shrink = jnp.exp(s - new[..., None]), jnp.exp(top - new)
        return (acc * shrink[..., None] + jnp.einsum("bqhk,bkhd->bqhd", p, kv[1]), new, total * shrink + p.sum(-1)), None

    init = (jnp.zeros_like(q), jnp.full(q.shape[:3], -jnp.inf), jnp.zeros(q.shape[:3]))
    (acc, _, total), _ = lax.scan(step, init, (blocks(k), blocks(v)))
    return acc / total[..., None], jax.nn.dot_product_attention(q, k, v)


@program(lambda g: (gpt_params(g, 1, length=12), g.i(11, 2, 4)))
def decode_with_cache(p, prompt):
    """Greedy decoding: one token a round, keys and values kept in place, stops at the token 0."""
    layer, d, total = p["blocks"][0], 16, 12

    def forward(token, at, cache):
        h = p["embed"][token] + p["pos"][at]
        q, k, v = [y.reshape(2, 1, 4, 4) for y in jnp.split(norm(h, layer["ln1"]) @ layer["qkv"], 3, -1)]
        cache = tuple(lax.dynamic_update_slice(c, y, (0, at, 0, 0)) for c, y in zip(cache, (k, v)))
        h = h + attention(q, *cache, jnp.arange(total) <= at).reshape(2, d) @ layer["o"]
        h = h + jax.nn.gelu(norm(h, layer["ln2"]) @ layer["up"]) @ layer["down"]
        return norm(h, p["ln"]) @ p["embed"].T, cache

    cache = (jnp.zeros((2, total, 4, 4)), jnp.zeros((2, total, 4, 4)))
    tokens = jnp.zeros((2, total), jnp.int32).at[:, :4].set(prompt)

    def body(state):
        at, tokens, cache, done = state
        logits, cache = forward(tokens[:, at], at, cache)
        new = jnp.where(done, 0, jnp.argmax(logits, -1).astype(jnp.int32))
        new = jnp.where(at + 1 < 4, tokens[:, at + 1], new)
        return at + 1, lax.dynamic_update_slice(tokens, new[:, None], (0, at + 1)), cache, done | (at >= 4) & (new == 0)

    at, tokens, cache, done = lax.while_loop(lambda s: (s[0] < total - 1) & ~s[3].all(), body, (0, tokens, cache, jnp.zeros(2, bool)))
    return at, tokens, cache, done


@program(lambda g: (g.f(6, 9, scale=2.0), g.key(5)))
def sampling(logits, key):
    keys = jax.random.split(key, 6)
    plain = jax.vmap(jax.random.categorical)(keys, logits)
    values, at = lax.top_k(logits, 3)
    limited = jnp.take_along_axis(at, jax.vmap(jax.random.categorical)(keys, values)[:, None], 1)[:, 0]
    order = jnp.argsort(-logits, -1)
    sorted_p = jax.nn.softmax(jnp.take_along_axis(logits, order, -1))
    keep = jnp.cumsum(sorted_p, -1) - sorted_p < 0.8
    nucleus = jnp.put_along_axis(jnp.full_like(logits, -jnp.inf), order, jnp.where(keep, jnp.take_along_axis(logits, order, -1), -jnp.inf), -1, inplace=False)
    return plain, limited, jax.vmap(jax.random.categorical)(keys, nucleus), nucleus


@program(lambda g: (g.f(5, 7, 7),))
def beam_search(logp):
    logp = jax.nn.log_softmax(logp)

    def step(carry, table):
        scores, last = carry
        all_scores = scores[:, None] + table[last]
        best, at = lax.top_k(all_scores.reshape(-1), 3)
        return (best, at % 7), (at // 7, at % 7)

    first, at = lax.top_k(logp[0, 0], 3)
    (scores, last), (parents, tokens) = lax.scan(step, (first, at), logp[1:])

    def back(beam, pt):
        parent, token = pt
        return parent[beam], token[beam]

    return scores, lax.scan(back, jnp.arange(3), (parents, tokens), reverse=True)


def experts(g):
    return g.f(12, 8), g.w(8, 4), g.w(4, 8, 16), g.w(4, 16, 8)


@program(experts)
def mixture_dispatched(x, router, up, down):
    """Two experts a token by one-hot dispatch into slots of limited capacity."""

    def f(x, router, up, down):
        probs = jax.nn.softmax(x @ router)
        gates, at = lax.top_k(probs, 2)
        gates = gates / gates.sum(-1, keepdims=True)
        hot = jax.nn.one_hot(at, 4)
        place = (jnp.cumsum(hot.reshape(-1, 4), 0) - 1).reshape(hot.shape) * hot
        slots = jax.nn.one_hot(place.sum(-1).astype(jnp.int32), 7) * (place.sum(-1) < 7)[..., None]
        dispatch = jnp.einsum("tke,tkc->tec", hot, slots)
        combine = jnp.einsum("tke,tkc,tk->tec", hot, slots, gates)
        h = jax.nn.silu(jnp.einsum("ecd,edf->ecf", jnp.einsum("td,tec->ecd", x, dispatch), up))
        balance = (hot[:, 0].mean(0) * probs.mean(0)).sum() * 4
        return jnp.einsum("ecd,tec->td", jnp.einsum("ecf,efd->ecd", h, down), combine), balance

    return f(x, router, up, down), jax.grad(lambda *a: (f(*a)[0] ** 2).sum() + f(*a)[1], (1, 2))(x, router, up, down)


@program(experts)
def mixture_sorted(x, router, up, down):
    """Tokens sorted by expert, products of ragged groups, then back in place."""
    expert = jnp.argmax(x @ router, -1)
    order = jnp.argsort(expert, stable=True)
    sizes = jnp.bincount(expert, length=4)
    h = jax.nn.silu(lax.ragged_dot(x[order], up, sizes))
    y = lax.ragged_dot(h, down, sizes)
    return jnp.zeros_like(x).at[order].set(y), sizes


@program(lambda g: (g.u(14, 3, 4, low=0.2, high=0.95), g.f(14, 3, 4), g.f(14, 3), g.f(14, 3, 4)))
def selective_state_space(decay, inputs, x, c):
    def combine(a, b):
        return a[0] * b[0], a[1] * b[0] + b[1]

    def f(decay, inputs):
        _, h = lax.associative_scan(combine, (decay, inputs * x[..., None]))
        return (h * c).sum(-1)

    back = lax.associative_scan(jnp.add, inputs, reverse=True, axis=0)
    return f(decay, inputs), back, jax.grad(lambda d, i: (f(d, i) ** 2).sum(), (0, 1))(decay, inputs)


@program(lambda g: (g.c(6), g.c(6), g.f(2, 20)))
def state_space_by_fft(poles, weights, x):
    """A diagonal state space applied as a long convolution."""
    poles = jnp.exp(-jnp.abs(poles.real) * 0.3 + 1j * poles.imag)
    kernel = (weights * poles ** jnp.arange(20)[:, None]).sum(-1).real
    y = jnp.fft.irfft(jnp.fft.rfft(x, 40) * jnp.fft.rfft(kernel, 40), 40)[:, :20]
    step = lambda h, u: (poles * h + u, (weights * (poles * h + u)).sum().real)
    return y, jax.vmap(lambda u: lax.scan(step, jnp.zeros(6, jnp.complex64), u)[1])(x)


@program(lambda g: (g.f(9, 4, scale=2.0), g.f(4, 4), g.i(4, 9)))
def conditional_random_field(unary, pair, tags):
    forward = lambda a, u: (jax.nn.logsumexp(a[:, None] + pair, 0) + u, None)
    z = lambda unary: jax.nn.logsumexp(lax.scan(forward, unary[0], unary[1:])[0])

    def best(a, u):
        scores = a[:, None] + pair
        return scores.max(0) + u, scores.argmax(0)

    last, back = lax.scan(best, unary[0], unary[1:])
    end = jnp.argmax(last)
    _, path = lax.scan(lambda s, b: (b[s], b[s]), end, back, reverse=True)
    score = unary[jnp.arange(9), tags].sum() + pair[tags[:-1], tags[1:]].sum()
    return z(unary) - score, jax.grad(z)(unary), jnp.append(path, end), last.max()


@program(lambda g: (g.f(2, 10, 6), g.i(6, 2, 3, low=1)))
def connectionist_temporal_classification(logits, labels):
    """The loss of Graves et al. 2006, blank 0, in the log domain."""
    logp = jax.nn.log_softmax(logits)
    wide = jnp.zeros((2, 7), jnp.int32).at[:, 1::2].set(labels)
    skip = jnp.concatenate([jnp.zeros((2, 2), bool), (wide[:, 2:] != wide[:, :-2]) & (wide[:, 2:] != 0)], 1)
    low = -1e5

    def loss(logp):
        at = lambda t: jnp.take_along_axis(t, wide, 1)
        start = jnp.full((2, 7), low).at[:, :2].set(at(logp[:, 0])[:, :2])

        def step(a, t):
            one = jnp.pad(a, ((0, 0), (1, 0)), constant_values=low)[:, :-1]
            two = jnp.where(skip, jnp.pad(a, ((0, 0), (2, 0)), constant_values=low)[:, :-2], low)
            return jnp.logaddexp(jnp.logaddexp(a, one), two) + at(t), None

        a, _ = lax.scan(step, start, logp[:, 1:].swapaxes(0, 1))
        return -jnp.logaddexp(a[:, -1], a[:, -2]).sum()

    return jax.value_and_grad(loss)(logp)


@program(lambda g: (g.i(4, 3, 8), g.i(4, 3, 6)))
def edit_distance(a, b):
    def one(a, b):
        def row(prev, x):
            i, x = x
            cost = (b != x).astype(jnp.int32)
            diag = jnp.minimum(prev[:-1] + cost, prev[1:] + 1)

            def cell(left, d):
                new = jnp.minimum(left + 1, d)
                return new, new

            _, rest = lax.scan(cell, i + 1, diag)
            new = jnp.concatenate([(i + 1)[None], rest])
            return new, new

        last, table = lax.scan(row, jnp.arange(7), (jnp.arange(8), a))
        return last[-1], table

    return jax.vmap(one)(a, b)


@program(lambda g: (g.f(20, 6), g.f(20, 6), g.i(20, 5), g.i(20, 5), g.i(20, 5, 3)))
def word_embeddings(inside, outside, centre, context, negatives):
    def loss(inside, outside):
        c = inside[centre]
        good = jax.nn.log_sigmoid((c * outside[context]).sum(-1))
        bad = jax.nn.log_sigmoid(-jnp.einsum("bd,bnd->bn", c, jnp.take(outside, negatives, axis=0)))
        return -(good + bad.sum(-1)).mean()

    return jax.value_and_grad(loss, (0, 1))(inside, outside)


@program(lambda g: (g.f(3, 8), g.i(127, 8, 5, low=-127, dtype="int8"), g.u(5, low=0.01, high=0.02)))
def quantised_layer(x, w, scale):
    x_scale = jnp.abs(x).max(-1, keepdims=True) / 127
    q = jnp.clip(jnp.round(x / x_scale), -127, 127).astype(jnp.int8)
    y = lax.dot_general(q, w, (((1,), (0,)), ((), ())), preferred_element_type=jnp.int32)
    packed = (w[::2].astype(jnp.uint8) & 15) | (w[1::2].astype(jnp.uint8) << 4)
    low = ((packed & 15).astype(jnp.int8) ^ 8) - 8
    return y, y * x_scale * scale, packed, low
