"""Optimisers, derivatives of every kind, and training steps."""
import functools

import jax
import jax.numpy as jnp
import jax.scipy.optimize
import jax.scipy.sparse.linalg
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

from . import program


def mlp_params(g, sizes=(4, 8, 8, 2)):
    return [(g.w(a, b), jnp.zeros(b) + 0.1) for a, b in zip(sizes, sizes[1:])]


def mlp(p, x):
    for w, b in p[:-1]:
        x = jnp.tanh(x @ w + b)
    return x @ p[-1][0] + p[-1][1]


def mse(p, x, y):
    return jnp.mean((mlp(p, x) - y) ** 2)


def batch(g):
    return mlp_params(g), g.f(6, 4), g.f(6, 2)


tmap = jax.tree.map


@program(batch)
def optimisers(p, x, y):
    g = jax.grad(mse)(p, x, y)
    size = jnp.sqrt(sum(jnp.vdot(v, v) for v in jax.tree.leaves(g)))
    clipped = tmap(lambda v: jnp.where(size > 0.5, v * 0.5 / size, v), g)
    nesterov = tmap(lambda p, v: p - 0.1 * (v + 0.9 * v), p, clipped)
    adamw = tmap(lambda p, v: p - 1e-2 * (0.1 * v / (1 - 0.9) / (jnp.sqrt(0.001 * v * v / (1 - 0.999)) + 1e-3) + 0.01 * p), p, g)
    lion = tmap(lambda p, v: p - 1e-2 * jnp.sign(jnp.round(v, 3)), p, g)
    lamb = tmap(lambda p, v: p - 0.1 * jnp.linalg.norm(p) / (jnp.linalg.norm(v) + 1e-6) * v, p, g)
    rms = tmap(lambda p, v: p - 0.01 * v * lax.rsqrt(0.1 * v * v + 1e-4), p, g)
    factored = [w - 0.1 * v * lax.rsqrt(jnp.outer((v * v).mean(1), (v * v).mean(0)) / (v * v).mean() + 1e-3) for (w, _), (v, _) in zip(p, g)]
    return size, nesterov, adamw, lion, lamb, rms, factored


@program(batch)
def accumulated_gradients(p, x, y):
    """Mean gradients of small batches in a scan; an average of the weights beside them."""

    def step(carry, xy):
        value, g = jax.value_and_grad(mse)(p, *xy)
        return (carry[0] + value / 3, tmap(lambda a, b: a + b / 3, carry[1], g)), value

    split = lambda t: t.reshape(3, 2, -1)
    (loss, g), each = lax.scan(step, (0.0, tmap(jnp.zeros_like, p)), (split(x), split(y)))
    new = tmap(lambda p, g: p - 0.1 * g, p, g)
    return loss, each, new, tmap(lambda a, b: 0.99 * a + 0.01 * b, p, new)


@program(lambda g: (*batch(g), jnp.float32(1024.0)), narrow="f16")
def scaled_loss_f16(p, x, y, scale):
    """Gradients in f16 by a scaled loss; a step with overflow is not taken and the scale halved."""
    half = lambda t: tmap(lambda v: v.astype(jnp.float16), t)
    grads = jax.grad(lambda p: mse(half(p), half(x), half(y)).astype(jnp.float32) * scale)(p)
    grads = tmap(lambda v: v / scale, grads)
    finite = jnp.stack([jnp.isfinite(v).all() for v in jax.tree.leaves(grads)]).all()
    new = lax.cond(finite, lambda: tmap(lambda p, g: p - 0.1 * g, p, grads), lambda: p)
    return new, jnp.where(finite, scale * 2, scale / 2), finite


@program(batch)
def per_example_gradients(p, x, y):
    each = jax.vmap(jax.grad(mse), (None, 0, 0))(p, x, y)
    sizes = jnp.sqrt(sum((v**2).reshape(6, -1).sum(1) for v in jax.tree.leaves(each)))
    factor = jnp.minimum(1, 0.5 / sizes)
    return sizes, tmap(lambda v: jnp.einsum("b,b...->...", factor, v), each)


@program(lambda g: (g.f(3), g.f(3), g.f(2, 3)))
def derivatives(x, v, w):
    f = lambda x: jnp.sin(x).prod() + jnp.dot(x, x) ** 1.5
    vector = lambda x: jnp.stack([jnp.exp(x).sum(), x[0] * x[1], jnp.cumsum(x)[-1] ** 2])
    g = lambda x, w: jnp.tanh(w @ x)
    hvp = jax.jvp(jax.grad(f), (x,), (v,))[1]
    mixed = jax.jacfwd(jax.grad(lambda x, w: g(x, w).sum(), 1), 0)(x, w)
    third = jax.jacfwd(jax.hessian(f))(x)
    pushed, pull = jax.vjp(vector, x)
    linear = jax.linearize(vector, x)[1](v)
    back = jax.linear_transpose(lambda v: jnp.convolve(v, w[0]), x)(jnp.arange(5.0))
    return jax.hessian(f)(x), hvp, mixed, third, pushed, pull(v), linear, back, jax.jacrev(g, (0, 1))(x, w), jax.vmap(pull)(jnp.eye(3))


@jax.custom_jvp
def log1pexp(x):
    return jnp.log(1 + jnp.exp(x))


log1pexp.defjvps(lambda t, ans, x: (1 - jnp.exp(-ans)) * t)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def clip_gradient(x, limit):
    return x


clip_gradient.defvjp(lambda x, limit: (x, None), lambda limit, _, g: (jnp.clip(g, -limit, limit),))


@program(lambda g: (g.f(6, scale=3.0),))
def rules_of_ones_own(x):
    straight = lambda x: x + lax.stop_gradient(jnp.round(x) - x)
    loss = lambda x: (clip_gradient(x, 0.5) ** 3).sum() + log1pexp(x).sum() + (straight(x) ** 2).sum()
    safe = lambda x: jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0).sum()
    return jax.value_and_grad(loss)(x), jax.grad(lambda x: jax.grad(loss)(x).sum())(x), jax.grad(safe)(x)


@program(lambda g: (mlp_params(g, (1, 6, 1)), g.f(3, 5, 1), g.f(3, 5, 1)))
def meta_learning(p, x, y):
    def inner(p, x, y):
        step = lambda i, p: tmap(lambda p, g: p - 0.1 * g, p, jax.grad(mse)(p, x[:3], y[:3]))
        return mse(lax.fori_loop(0, 2, step, p), x[3:], y[3:])

    return jax.value_and_grad(lambda p: jax.vmap(inner, (None, 0, 0))(p, x, y).mean())(p)


@program(lambda g: (g.spd(6, 6), g.f(6), g.u(4, low=1.0, high=9.0)))
def implicit_derivatives(a, b, x):
    solve = lambda a, b: lax.custom_linear_solve(lambda v: a @ v, b, lambda mv, b: jnp.linalg.solve(a, b), symmetric=True)
    root = lambda x: lax.custom_root(lambda y: y**2 - x, x, lambda f, y: lax.fori_loop(0, 20, lambda i, y: 0.5 * (y + x / y), y), lambda g, y: y / g(jnp.ones_like(y)))
    cg = lambda a: jax.scipy.sparse.linalg.cg(lambda v: a @ v, b, tol=1e-6)[0]
    bi = jax.scipy.sparse.linalg.bicgstab(lambda v: a @ v, b, tol=1e-6)[0]
    gm = jax.scipy.sparse.linalg.gmres(lambda v: a @ v, b, tol=1e-6, restart=6)[0]
    return jax.jacobian(solve, (0, 1))(a, b), jax.vmap(jax.value_and_grad(root))(x), cg(a), jax.grad(lambda a: cg(a).sum())(a), bi, gm


@program(lambda g: (g.f(4),), x64=True)
def minimisation(x):
    f = lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    x = x.astype(jnp.float64)
    r = jax.scipy.optimize.minimize(f, x, method="BFGS", tol=1e-7)

    def newton(s):
        y = s[0] - jnp.linalg.solve(jax.hessian(f)(s[0]) + jnp.eye(4) * 1e-2, jax.grad(f)(s[0]))
        return y, s[1] + 1

    y, steps = lax.while_loop(lambda s: s[1] < 40, newton, (jnp.ones(4) * 1.2, 0))
    return jnp.round(r.x, 4), r.success, y, steps


@program(lambda g: (mlp_params(g), g.f(6, 4), g.key(7)))
def dropout(p, x, key):
    def f(p, key):
        h = x
        for i, (w, b) in enumerate(p):
            key, sub = jax.random.split(key)
            h = h @ w + b
            if i + 1 < len(p):
                h = jax.nn.relu(h)
                h = jnp.where(jax.random.bernoulli(sub, 0.8, h.shape), h / 0.8, 0)
        return (h**2).mean()

    return jax.value_and_grad(f)(p, key)


@program(lambda g: (mlp_params(g, (3, 8, 2)), mlp_params(g, (3, 8, 2)), g.f(10, 3), g.i(2, 10), g.f(10), g.b(10), g.f(10, 3)))
def q_learning(p, target, s, a, r, done, s2):
    def loss(p):
        q = jnp.take_along_axis(mlp(p, s), a[:, None], 1)[:, 0]
        best = jnp.argmax(mlp(p, s2), 1)
        goal = r + 0.9 * (1 - done) * mlp(target, s2)[jnp.arange(10), best]
        error = q - lax.stop_gradient(goal)
        return jnp.where(jnp.abs(error) < 1, 0.5 * error**2, jnp.abs(error) - 0.5).mean(), error

    (value, error), g = jax.value_and_grad(loss, has_aux=True)(p)
    priority = jnp.argsort(-jnp.abs(error))[:3]
    return value, priority, tmap(lambda t, p, g: 0.95 * t + 0.05 * (p - 0.1 * g), target, p, g)


@program(lambda g: (mlp_params(g, (4, 8, 2)), g.f(12, 5, 4), g.i(2, 12, 5), g.f(12, 5), g.f(12, 5), g.b(12, 5), g.f(12, 5, scale=0.1)))
def policy_gradient(p, s, a, r, value, done, old):
    """Generalised advantages backwards through time, and the clipped objective of PPO."""

    def step(carry, x):
        r, v, nv, d = x
        delta = r + 0.99 * nv * (1 - d) - v
        adv = delta + 0.95 * 0.99 * (1 - d) * carry
        return adv, adv

    ahead = jnp.concatenate([value[1:], jnp.zeros((1, 5))])
    _, adv = lax.scan(step, jnp.zeros(5), (r, value, ahead, done.astype(jnp.float32)), reverse=True)
    adv = (adv - adv.mean()) / (adv.std() + 1e-8)

    def loss(p):
        logp = jax.nn.log_softmax(mlp(p, s))
        ratio = jnp.exp(jnp.take_along_axis(logp, a[..., None], -1)[..., 0] - jnp.log(0.5) - old)
        entropy = -(jnp.exp(logp) * logp).sum(-1).mean()
        return -jnp.minimum(ratio * adv, jnp.clip(ratio, 0.8, 1.2) * adv).mean() - 0.01 * entropy

    return adv, jax.value_and_grad(loss)(p)


@program(lambda g: (mlp_params(g, (4, 5, 2)), g.key(2)))
def rollouts(p, key):
    """A pole on a cart, balanced by a sampled policy, in a batch; a fallen one starts anew."""

    def env(s, a):
        x, v, t, w = s
        f = jnp.where(a == 1, 10.0, -10.0)
        acc = (f + 0.05 * w**2 * jnp.sin(t)) / 1.1
        alpha = (9.8 * jnp.sin(t) - jnp.cos(t) * acc) / (0.5 * (4 / 3 - 0.1 * jnp.cos(t) ** 2 / 1.1))
        return jnp.stack([x + 0.02 * v, v + 0.02 * acc, t + 0.02 * w, w + 0.02 * alpha])

    def step(carry, _):
        s, key = carry
        key, k1, k2 = jax.random.split(key, 3)
        a = jax.random.categorical(k1, mlp(p, s))
        s = env(s, a)
        done = (jnp.abs(s[2]) > 0.1) | (jnp.abs(s[0]) > 2.4)
        s = lax.cond(done, lambda k: jax.random.uniform(k, (4,), minval=-0.05, maxval=0.05), lambda k: s, k2)
        return (s, key), (a, done)

    run = lambda key: lax.scan(step, (jnp.zeros(4), key), None, length=15)
    (s, _), (a, done) = jax.vmap(run)(jax.random.split(key, 4))
    return s, a, done


@program(lambda g: (g.f(8), g.key(9)))
def evolution_strategy(x, key):
    f = lambda x: (x**2).sum(-1) + 3 * jnp.cos(2 * x).sum(-1)

    def step(carry, key):
        mean, sigma = carry
        noise = jax.random.normal(key, (10, 8))
        score = f(mean + sigma * noise)
        rank = jnp.argsort(jnp.argsort(score))
        weight = jnp.maximum(0, 5 - rank) / 15.0
        return (mean + sigma * weight @ noise, sigma * 0.97), score.min()

    return lax.scan(step, (x, 1.0), jax.random.split(key, 6))


@program(batch)
def tangent_kernel(p, x, y):
    jac = jax.jacrev(mlp)(p, x)
    flat = jnp.concatenate([j.reshape(12, -1) for j in jax.tree.leaves(jac)], 1)
    k = flat @ flat.T
    fisher = jax.tree.map(lambda j: (j.reshape(12, -1) ** 2).mean(0), jac)
    return k, jnp.linalg.solve(k + 0.1 * jnp.eye(12), y.reshape(-1)), fisher


MESH = Mesh(jax.devices()[:1], ("d",))


@program(lambda g: (g.f(8, 4), g.w(4, 6)))
def sharded_on_one_device(x, w):
    x = lax.with_sharding_constraint(x, NamedSharding(MESH, P("d", None)))
    body = lambda x, w: (lax.psum(x @ w, "d"), lax.all_gather(x, "d"), lax.axis_index("d"), lax.pmax(x.max(), "d"),
                         lax.ppermute(x, "d", [(0, 0)]), lax.psum_scatter(x, "d", tiled=True), lax.all_to_all(x[None], "d", 0, 1), lax.pmean(x, "d"))
    return jax.shard_map(body, mesh=MESH, in_specs=(P("d"), P()), out_specs=(P(), P("d"), P(), P(), P("d"), P("d"), P("d"), P()), check_vma=False)(x, w)


@program(lambda g: (g.f(6, 4), g.w(4, 4)), donate_argnums=0, static_argnums=())
def nested_jit(x, w):
    layer = jax.jit(lambda x, w: jax.nn.relu(x @ w) + x)
    deep = jax.jit(lambda x: layer(layer(x, w), w * 2))
    return deep(x) + deep(x * 2), jax.named_call(lambda x: x + 1, name="named")(x)
